"""Recurrence: one step applied to a sequence, each result going into the next step.

The step is a graph of its own, so that a sequence of 10,000 steps is one op. Its derivatives are
scans too: cotangents come back step by step, in the other direction. What a step computes
without its carry is computed for all steps at once, outside of the scan.

>>> decayed = scan(lambda s, x: 0.5 * s + x, np.zeros((1, 1)), [np.ones((4, 1, 1))])
>>> decayed[:, 0, 0].tolist()
[1.0, 1.5, 1.75, 1.875]
"""

from collections.abc import Callable, Container, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.dims import Dim, resolve
from chainrule.errors import GraphError, ShapeError
from chainrule.graph import Array, Attrs, Op, Tensor, Value, dtype_of, shape_of
from chainrule.ops.loops import Steps
from chainrule.transforms.forward import forward
from chainrule.transforms.reverse import reverse as reverse_walk
from chainrule.transforms.run import Graph, Spec, trace

ROWS = Dim.of("rows")
"""The first axis of a carry: what is computed row by row may be computed for all steps at once."""


def scan(
    step: Callable[..., Value],
    init: Value,
    xs: Sequence[Value],
    consts: Sequence[Value] = (),
    *,
    reverse: bool = False,
) -> Value:
    """Apply `carry = step(carry, *x, *consts)` to every element of a sequence; give all carries.

    `init` has shape (rows, ...), each of `xs` (length, rows, ...), the result (length, rows, ...).
    `consts` are what all steps share, such as weights; the step uses no other tensors, and
    computes each row by itself. With `reverse` the last element comes first. The gradient is
    backpropagation through time (Werbos, 1990).
    """
    length = _checked(init, xs)
    given = [*xs, *consts]
    dtype = dtype_of(*(x for x in (init, *given) if dtype_of(x).kind == "f"))
    graph = trace(
        step,
        Spec((ROWS, *shape_of(init)[1:]), dtype),
        *[Spec((ROWS, *shape_of(x)[2:]), dtype_of(x)) for x in xs],
        *[Spec(shape_of(c), dtype_of(c)) for c in consts],
    )
    _check_step(graph)
    return _without_the_rest(graph, ops.cast(init, dtype=dtype), given, len(xs), length, reverse)


def _checked(init: Value, xs: Sequence[Value]) -> int:
    """Give the length of the sequences."""
    shapes = [shape_of(x) for x in xs]
    if not shapes or any(len(s) < 2 or s[0] != shapes[0][0] for s in shapes):
        raise ShapeError(f"scan: sequences of shapes {[list(s) for s in shapes]}; expected at "
                         "least one, and (length, rows, ...) of one length")  # fmt: skip
    rows = shape_of(init)[:1]
    if not rows or any(s[1] != rows[0] for s in shapes):
        raise ShapeError(f"scan: a carry of shape {list(shape_of(init))} and sequences of shapes "
                         f"{[list(s) for s in shapes]}; expected as many rows in each")  # fmt: skip
    if isinstance(shapes[0][0], Dim):
        raise ShapeError(f"scan: a trace needs the length as a number, got {shapes[0][0]}")
    return int(shapes[0][0])


def _check_step(graph: Graph) -> None:
    known = {x.birth for x in graph.inputs}
    if not isinstance(graph.output, Tensor) or graph.output.shape != graph.inputs[0].shape:
        raise ShapeError(f"scan: the step gives {getattr(graph.output, 'shape', 'several results')}"
                         f" for a carry of {graph.inputs[0].shape}; expected the same")  # fmt: skip
    for x in graph.nodes:
        if x.op is None and x.birth not in known and (x.requires_grad or x.value is None):
            raise GraphError("scan: the step uses a tensor from outside; pass it in consts")


class Body:
    """One step of a scan, as a graph of (carry, *xs, *consts) that gives the new carry."""

    def __init__(self, graph: Graph, count: int) -> None:
        self.graph = graph
        self.count = count

    def __call__(self, *values: Value, rows: Any) -> Value:
        """Apply the step to so many rows."""
        return _replayed(self.graph, values, rows)[0]

    def __repr__(self) -> str:
        return f"<a step of {len(self.graph.nodes)} nodes>"

    def _traced(self, f: Callable[..., Any], *more: Tensor) -> Graph:
        """Trace a function of the inputs of a step, and of more like these."""
        return trace(f, *[Spec(x.shape, x.dtype) for x in (*self.graph.inputs, *more)])

    @cached_property
    def back(self) -> "tuple[Graph, list[int]]":
        """Cotangents of the inputs, by the inputs and that of the result: a graph, and of which."""
        inside = len(self.graph.inputs)
        found: list[int] = []

        def cotangents(*values: Tensor) -> list[Value]:
            given, g = list(values[:inside]), values[inside]
            y = self(*given, rows=ROWS)
            floats = [i for i, x in enumerate(given) if x.dtype.kind == "f"]
            each = reverse_walk([y], [g], [given[i] for i in floats], create_graph=True)
            found.extend(i for i, c in zip(floats, each, strict=True) if c is not None)
            return [c for c in each if c is not None]

        return self._traced(cotangents, self.graph.output), found

    def cotangent(self, of: Sequence[int], values: Sequence[Value], g: Value, rows: Any) -> Any:
        """Give the cotangents of some inputs, None for one on which nothing depends."""
        graph, found = self.back
        wanted = [graph.output[found.index(i)] for i in of if i in found]
        each = iter(_replayed(graph, [*values, g], rows, wanted))
        return [next(each) if i in found else None for i in of]

    def forward_graph(self, moving: Sequence[int]) -> Graph:
        """Tangent of the result, by the inputs and the tangents of the `moving` ones."""
        inside = len(self.graph.inputs)

        def tangent(*values: Tensor) -> Value:
            y = self(*values[:inside], rows=ROWS)
            chosen = [values[i] for i in moving]
            t = forward([y], chosen, values[inside:], create_graph=True)[0]
            return ops.mul(values[0], 0.0) if t is None else t

        return self._traced(tangent, *[self.graph.inputs[i] for i in moving])


def _replayed(
    graph: Graph, values: Sequence[Value], rows: Any, wanted: Sequence[Tensor] | None = None
) -> list[Value]:
    """Compute nodes of a graph, by default its output, with ops on these values."""
    roots = [graph.output] if wanted is None else list(wanted)
    found: dict[int, Value] = {
        x.birth: value for x, value in zip(graph.inputs, values, strict=True)
    }
    for node in _below(roots, found):
        if node.op is None:
            found[node.birth] = node.value
        else:
            attrs = {key: resolve(value, {"rows": rows}) for key, value in node.attrs.items()}
            found[node.birth] = node.op(*[found[x.birth] for x in node.inputs], **attrs)
    return [found[x.birth] for x in roots]


def _below(roots: Sequence[Tensor], known: Container[int]) -> list[Tensor]:
    """Give what has to be computed for some nodes, in order, where others are known."""
    needed: dict[int, Tensor] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.birth not in needed and node.birth not in known:
            needed[node.birth] = node
            stack.extend(node.inputs)
    return [needed[birth] for birth in sorted(needed)]


def _without_the_rest(
    graph: Graph, init: Value, given: Sequence[Value], count: int, length: int, reverse: bool
) -> Value:
    """Scan with what depends on the carry, and compute the rest for all steps at once."""
    follows = _followers(graph, graph.inputs[:1])
    moves = _followers(graph, graph.inputs[1 : count + 1])
    edge = {
        x.birth: x
        for node in graph.nodes
        if node.birth in follows
        for x in node.inputs
        if x.birth not in follows and (x.op is not None or x.value is None)
    }
    if graph.output.birth not in follows:
        edge[graph.output.birth] = graph.output
    moving = [x for birth, x in edge.items() if birth in moves]
    fixed = [x for birth, x in edge.items() if birth not in moves]
    if any(x.shape[:1] != (ROWS,) for x in moving):
        raise ShapeError("scan: the step mixes rows, such as by a sum over them; expected that "
                         "each row is computed by itself")  # fmt: skip
    rows = shape_of(init)[0]
    xs = _for_all_steps(graph, given, count, length, rows, moving)
    consts = _replayed(graph, [None, *given], rows, fixed)
    if graph.output.birth not in follows:  # no step needs the one before it
        return xs[moving.index(graph.output)] if graph.output in moving else ops.broadcast_to(
            consts[fixed.index(graph.output)], (length, *shape_of(init))
        )  # fmt: skip
    inside = [graph.inputs[0], *moving, *fixed]
    body = Body(_cut(graph, inside), len(moving))
    return scan_op(init, *xs, *consts, body=body, length=length, reverse=reverse)


def _followers(graph: Graph, inputs: Sequence[Tensor]) -> set[int]:
    """Give the nodes that depend on some inputs, and these."""
    found = {x.birth for x in inputs}
    for node in graph.nodes:
        if any(x.birth in found for x in node.inputs):
            found.add(node.birth)
    return found


def _for_all_steps(
    graph: Graph, given: Sequence[Value], count: int, length: int, rows: Any, nodes: list[Tensor]
) -> list[Value]:
    """Compute nodes that need no carry for every row of every step."""
    flat = [ops.reshape(x, (length * rows, *shape_of(x)[2:])) for x in given[:count]]
    results = _replayed(graph, [None, *flat, *given[count:]], length * rows, nodes)
    return [
        given[graph.inputs.index(x) - 1]
        if x.op is None
        else ops.reshape(y, (length, rows, *shape_of(y)[1:]))
        for x, y in zip(nodes, results, strict=True)
    ]


def _cut(graph: Graph, inputs: Sequence[Tensor]) -> Graph:
    """Give the graph that computes the output from these nodes."""
    known = {x.birth: i for i, x in enumerate(inputs)}

    def inner(*values: Tensor) -> Value:
        stand_in = Graph(list(inputs), graph.output, {})
        return _replayed(stand_in, values, ROWS)[0]

    assert graph.output.birth not in known
    return trace(inner, *[Spec(x.shape, x.dtype) for x in inputs])


class Scan(Op):
    """The op of a recurrence: inputs are init, what moves with the steps, and what stays."""

    kind = "general"

    def vjp(
        self, g: Value, out: Value, inputs: list[Value], attrs: Attrs, wanted: list[bool]
    ) -> list[Value]:
        """Send cotangents back step by step; those of all other inputs follow from them."""
        body, length, reverse = attrs["body"], attrs["length"], attrs["reverse"]
        if length == 0:
            return [None] * len(inputs)
        xs, consts = inputs[1 : body.count + 1], inputs[body.count + 1 :]
        before = _before(out, inputs[0], reverse)
        total = self._all_cotangents(g, before, xs, consts, body, reverse)
        at = length - 1 if reverse else 0
        rows = shape_of(inputs[0])[0]
        result: list[Value] = [None] * len(inputs)
        if wanted[0]:
            first = [inputs[0], *[x[at] for x in xs], *consts]
            result[0] = body.cotangent([0], first, total[at], rows)[0]
        others = [i for i in range(1, len(inputs)) if wanted[i]]
        flat = [_flat(x) for x in (before, *xs)]
        each = body.cotangent(others, [*flat, *consts], _flat(total), length * rows)
        for i, c in zip(others, each, strict=True):
            moves = c is not None and i <= body.count
            result[i] = ops.reshape(c, shape_of(inputs[i])) if moves else c
        return result

    @staticmethod
    def _all_cotangents(
        g: Value, before: Value, xs: list[Value], consts: list[Value], body: Body, reverse: bool
    ) -> Value:
        """Give the cotangent of every carry: its own, and what comes back from the next step."""
        if 0 not in body.back[1]:
            return g

        def back(later: Value, own: Value, *inputs: Value) -> Value:
            return ops.add(own, body.cotangent([0], inputs, later, ROWS)[0])

        # The step that follows a carry took it in: its inputs move one place along.
        these, following = (slice(1, None), slice(None, -1))[:: 1 if reverse else -1]
        moved = [g[these], *[x[following] for x in (before, *xs)]]
        last = g[:1] if reverse else g[-1:]
        rest = scan(back, last[0], moved, consts, reverse=not reverse)
        return ops.concat([last, rest] if reverse else [rest, last], axis=0)

    def jvp(self, tangents: list[Value], out: Value, inputs: list[Value], attrs: Attrs) -> Value:
        """Carry the tangent along: a scan in the same direction."""
        body, reverse = attrs["body"], attrs["reverse"]
        xs, consts = inputs[1 : body.count + 1], inputs[body.count + 1 :]
        moving = [i for i, t in enumerate(tangents) if t is not None and i]
        along = [i for i in moving if i <= body.count]
        graph = body.forward_graph([0, *moving])
        n = len(xs)

        def tangent(t: Value, before: Value, *rest: Value) -> Value:
            x, dx = rest[:n], rest[n : n + len(along)]
            c, dc = rest[n + len(along) :][: len(consts)], rest[n + len(along) + len(consts) :]
            return _replayed(graph, [before, *x, *c, t, *dx, *dc], ROWS)[0]

        start = ops.mul(inputs[0], 0.0) if tangents[0] is None else tangents[0]
        moved = [_before(out, inputs[0], reverse), *xs, *[tangents[i] for i in along]]
        fixed = [*consts, *[tangents[i] for i in moving if i > body.count]]
        return scan(tangent, start, moved, fixed, reverse=reverse)


def _flat(x: Value) -> Value:
    shape = shape_of(x)
    return ops.reshape(x, (shape[0] * shape[1], *shape[2:]))


def _before(out: Value, init: Value, reverse: bool) -> Value:
    """Give the carry that each step started from."""
    start = ops.reshape(init, (1, *shape_of(init)))
    return ops.concat([out[1:], start] if reverse else [start, out[:-1]], axis=0)


def _run(*inputs: Array, body: Body, length: int, reverse: bool) -> Array:
    carry, xs, consts = inputs[0], inputs[1 : body.count + 1], inputs[body.count + 1 :]
    result = np.empty((length, *carry.shape), carry.dtype)
    for t in reversed(range(length)) if reverse else range(length):
        carry = body(carry, *[x[t] for x in xs], *consts, rows=len(carry))
        result[t] = carry
    return result


scan_op = Scan(
    "scan",
    _run,
    lambda init, *rest, body, length, reverse: ((length, *init.shape), init.dtype),
).looped(Steps())
