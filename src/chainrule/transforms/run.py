"""The verb *run*: trace a function once, evaluate its graph on arrays of any size.

>>> from chainrule import ops
>>> graph = trace(lambda x: ops.mean(x * x, axis=0), Spec(("batch", 2), float))
>>> print(graph)
0 input: float64[batch, 2]
1 mul(0, 0): float64[batch, 2]
2 size(1): float64[]  dims=(batch,)
3 cast(2): float64[]  dtype=float64
4 sum(1): float64[2]  axis=(0,) keepdims=False
5 div(4, 3): float64[2]
>>> graph(np.array([[1.0, 2.0], [3.0, 4.0]]))
array([ 5., 10.])
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from chainrule.dims import Dim, resolve
from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor, ancestors, constant, placeholder, tracing
from chainrule.tree import flatten, rebuild, tree_map


class Spec(NamedTuple):
    """Shape and dtype of an input of a trace; a dimension may be a name.

    >>> Spec(("batch", 20), np.float32).shape
    ('batch', 20)
    """

    shape: tuple[int | str | Dim, ...]
    dtype: Any = np.float32


class Graph:
    """A traced function: its inputs, outputs and nodes in birth order.

    Calling it runs it. `updates` maps each buffer that the function changes (the running mean of
    a batch norm) to the node of its new value; `run` hands the new values back.
    """

    def __init__(self, inputs: list[Tensor], output: Any, updates: Mapping[Tensor, Tensor]) -> None:
        self.inputs = inputs
        self.output = output
        self.updates = dict(updates)
        self.nodes = ancestors([*inputs, *flatten(output), *self.updates.values()])

    def __call__(self, *arrays: Any) -> Any:
        """Evaluate the function on arrays, leaving buffers as they are."""
        return run(self, *arrays)[0]

    def __str__(self) -> str:
        number = {node.birth: i for i, node in enumerate(self.nodes)}
        return "\n".join(_line(node, number) for node in self.nodes)


def _line(node: Tensor, number: dict[int, int]) -> str:
    kind = f"{node.dtype}[{', '.join(map(str, node.shape))}]"
    if node.op is None:
        what = "input" if node.value is None else "constant"
        if node.value is not None and node.shape == ():
            what += f" {node.value}"
        return f"{number[node.birth]} {what}: {kind}"
    inputs = ", ".join(str(number[x.birth]) for x in node.inputs)
    attrs = " ".join(f"{key}={value}" for key, value in node.attrs.items())
    return f"{number[node.birth]} {node.op.name}({inputs}): {kind}" + (f"  {attrs}" * bool(attrs))


def trace(f: Callable[..., Any], *specs: Any) -> Graph:
    """Record what a function does to inputs of these shapes, without numbers.

    A spec is a `Spec`, or an array or tensor whose shape and dtype are taken.
    """
    inputs = []
    for spec in specs:
        if not isinstance(spec, Spec):
            node = constant(spec) if not isinstance(spec, Tensor) else spec
            spec = Spec(node.shape, node.dtype)
        inputs.append(placeholder(spec.shape, spec.dtype))
    with tracing() as updates:
        output = f(*inputs)
    output = tree_map(lambda x: x if isinstance(x, Tensor) else constant(x), output)
    return Graph(inputs, output, updates)


def run(graph: Graph, *arrays: Any) -> tuple[Any, dict[Tensor, Array]]:
    """Evaluate a graph: give its output, and the new value of each buffer that it updates."""
    results = [*flatten(graph.output), *graph.updates.values()]
    values = _values(graph, arrays, {node.birth for node in results})
    output = rebuild(graph.output, iter([values[x.birth] for x in flatten(graph.output)]))
    return output, {buffer: values[new.birth] for buffer, new in graph.updates.items()}


def evaluate(graph: Graph, *arrays: Any) -> dict[int, Any]:
    """Give the value of every node of a graph, by its birth.

    >>> graph = trace(lambda x: x * x + 1.0, Spec((), float))
    >>> list(evaluate(graph, 3.0).values())
    [array(3.), np.float64(9.0), 1.0, np.float64(10.0)]
    """
    return _values(graph, arrays, {node.birth for node in graph.nodes})


def _values(graph: Graph, arrays: tuple[Any, ...], keep: set[int]) -> dict[int, Any]:
    """Compute all nodes; what is not kept is forgotten after its last reader."""
    values, sizes = given_values(graph, arrays)
    last_reader = {x.birth: node.birth for node in graph.nodes for x in node.inputs}
    for node in graph.nodes:
        if node.birth in values:
            continue
        if node.op is None:
            values[node.birth] = node.value
            continue
        attrs = {key: resolve(value, sizes) for key, value in node.attrs.items()}
        compute = partial(as_number, node.op.run) if node.weak else node.op.run
        values[node.birth] = compute(*[values[x.birth] for x in node.inputs], **attrs)
        for x in node.inputs:
            if last_reader[x.birth] == node.birth and x.birth not in keep:
                values.pop(x.birth, None)
    return values


def as_number(run: Callable[..., Any], *inputs: Any, **attrs: Any) -> Any:
    """Run an op of numbers, whose result is a Python number: it takes the dtype of what it meets.

    >>> as_number(np.sqrt, 4.0)
    2.0
    """
    result = run(*inputs, **attrs)
    return result if np.ndim(result) else np.asarray(result).item()


def given_values(graph: Graph, arrays: tuple[Any, ...]) -> tuple[dict[int, Any], dict[str, int]]:
    """Give each input its array and each named dimension its size."""
    if len(arrays) != len(graph.inputs):
        raise ShapeError(f"this graph takes {len(graph.inputs)} arrays, {len(arrays)} were given")
    values: dict[int, Any] = {}
    sizes: dict[str, int] = {}
    for i, (node, given) in enumerate(zip(graph.inputs, arrays, strict=True)):
        array = np.asarray(given, dtype=node.dtype)
        if array.ndim != node.ndim:
            raise ShapeError(f"input {i} has shape {array.shape}, expected {list(node.shape)}")
        for n, expected in zip(array.shape, node.shape, strict=True):
            if isinstance(expected, Dim) and len(expected.names) == 1:
                expected = sizes.setdefault(expected.names[0], n)
            if n != expected:
                raise ShapeError(f"input {i} has shape {array.shape}, expected {list(node.shape)}")
        values[node.birth] = array.item() if node.weak else array
    return values, sizes
