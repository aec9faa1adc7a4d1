"""The record of a computation: every node of a graph with its numbers, as plain data.

>>> from chainrule import ops, trace
>>> graph = trace(lambda x: ops.exp(x) * 2.0, np.zeros(2))
>>> plain = record(graph.nodes, evaluate(graph.nodes, {graph.inputs[0].birth: np.zeros(2)}, {}))
>>> [(node["op"], node["value"]) for node in plain]
[(None, [0.0, 0.0]), ('exp', [1.0, 1.0]), (None, 2.0), ('mul', [2.0, 2.0])]
>>> rebuild(plain)[-1]
tensor([2., 2.])
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.dims import resolve
from chainrule.errors import FormatError
from chainrule.graph import OPS, Array, Tensor, placeholder

Plain = dict[str, Any]


@np.errstate(all="ignore")  # a number that is not finite is a finding, not an accident
def evaluate(
    nodes: Sequence[Tensor], known: Mapping[int, Any], sizes: Mapping[str, int]
) -> dict[int, Any]:
    """Compute every node from the known ones; `sizes` are those of named dimensions."""
    values = dict(known)
    for node in nodes:
        if node.birth in values:
            continue
        if node.op is None:
            values[node.birth] = node.value
            continue
        attrs = {key: resolve(value, dict(sizes)) for key, value in node.attrs.items()}
        values[node.birth] = node.op.run(*[values[x.birth] for x in node.inputs], **attrs)
    return values


def record(
    nodes: Sequence[Tensor], values: Mapping[int, Any], sizes: Mapping[str, int] | None = None
) -> list[Plain]:
    """Write nodes and their values as plain data; a node is named by its place in the list."""
    place = {node.birth: i for i, node in enumerate(nodes)}
    written = []
    for node in nodes:
        value = np.asarray(values[node.birth])
        cut = node.op is None or any(x.birth not in place for x in node.inputs)
        attrs = {} if cut else {k: resolve(v, dict(sizes or {})) for k, v in node.attrs.items()}
        written.append(
            {
                "op": None if cut or node.op is None else node.op.name,
                "inputs": [] if cut else [place[x.birth] for x in node.inputs],
                "attrs": {key: _plain(attr) for key, attr in attrs.items()},
                "shape": list(value.shape),
                "dtype": str(value.dtype),
                "value": numbers(value),
            }
        )
    return written


def numbers(value: Any) -> Any:
    """Write an array as numbers, those that JSON does not have as words."""
    flat = [_number(x) for x in np.ravel(value).tolist()]
    return flat if np.ndim(value) else flat[0]


def _number(x: Any) -> Any:
    return x if not isinstance(x, float) or np.isfinite(x) else str(x)


def array(node: Plain) -> Array:
    """Read the numbers of a node back."""
    value = node["value"]
    flat = value if isinstance(value, list) else [value]
    if len(flat) != int(np.prod(node["shape"], dtype=int)):
        raise FormatError(f"a trace gives {len(flat)} numbers for a shape of {node['shape']}")
    return np.array([float(x) if isinstance(x, str) else x for x in flat], node["dtype"]).reshape(
        node["shape"]
    )


def rebuild(plain: Sequence[Plain]) -> list[Tensor]:
    """Make the nodes of a record again, with their values."""
    nodes: list[Tensor] = []
    for i, written in enumerate(plain):
        node = placeholder(written["shape"], written["dtype"])
        node.value = array(written)
        if written["op"] is not None:
            if written["op"] not in OPS or any(not 0 <= k < i for k in written["inputs"]):
                raise FormatError(f"node {i} of a trace is no op on the nodes before it")
            node.op = OPS[written["op"]]
            node.inputs = tuple(nodes[k] for k in written["inputs"])
            node.attrs = {key: _attr(key, value) for key, value in written["attrs"].items()}
        nodes.append(node)
    return nodes


def _plain(attr: Any) -> Any:
    if isinstance(attr, tuple | list):
        return [_plain(x) for x in attr]
    if isinstance(attr, np.dtype | type):
        return str(np.dtype(attr))
    return int(attr) if isinstance(attr, np.integer) else attr


def _attr(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_attr(key, x) for x in value)
    return np.dtype(value) if key == "dtype" else value
