"""ONNX nodes that move elements about, and those that tell and make shapes.

>>> flatten = READERS["Flatten"]
>>> flatten(Given("Flatten", [np.zeros((2, 3, 4))], {}, 20)).shape
(2, 12)
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.dims import product
from chainrule.errors import ConfigError
from chainrule.graph import Value, shape_of
from chainrule.nn.onnx.readers import READERS, Given, axis_of, reader
from chainrule.nn.onnx.sizes import known

MOST_ELEMENTS = 2**28
"""Elements that a node may make of few."""


def _check_size(kind: str, shape: Sequence[Any]) -> None:
    """Refuse to make what would fill the memory."""
    total = product(tuple(shape))
    if isinstance(total, int) and total > MOST_ELEMENTS:
        raise ConfigError(f"{kind} makes {total:,} elements: at most {MOST_ELEMENTS:,}")


def _shape(x: Value) -> tuple[Any, ...]:
    return tuple(shape_of(x))


@reader("Shape")
def _shape_of(node: Given) -> Any:
    sizes = np.empty(len(_shape(node[0])), object)
    sizes[:] = _shape(node[0])
    return sizes[node.attr("start", 0) : node.attr("end", None)]


@reader("Flatten")
def _flatten(node: Given) -> Value:
    shape = _shape(node[0])
    axis = node.attr("axis", 1)
    axis = len(shape) if axis == len(shape) else axis_of(axis, node[0])
    return ops.reshape(node[0], (product(shape[:axis]), product(shape[axis:])))


@reader("Reshape")
def _reshape(node: Given) -> Value:
    before = _shape(node[0])
    wanted = node.numbers(1, "shape")
    if not node.attr("allowzero", 0):
        wanted = [before[i] if isinstance(n, int) and n == 0 else n for i, n in enumerate(wanted)]
    return ops.reshape(node[0], tuple(wanted))


@reader("Transpose")
def _transpose(node: Given) -> Value:
    return ops.transpose(node[0], node.attr("perm", None))


@reader("Squeeze")
def _squeeze(node: Given) -> Value:
    shape = _shape(node[0])
    axes = node.numbers(1, "axes")
    if axes is None:
        axes = [i for i, n in enumerate(shape) if isinstance(n, int) and n == 1]
    gone = {axis_of(int(i), node[0]) for i in axes}
    return ops.reshape(node[0], tuple(n for i, n in enumerate(shape) if i not in gone))


@reader("Unsqueeze")
def _unsqueeze(node: Given) -> Value:
    shape, axes = _shape(node[0]), node.numbers(1, "axes")
    ndim = len(shape) + len(axes)
    new, rest = {int(i) % ndim for i in axes}, iter(shape)
    if len(new) < len(axes):
        raise ConfigError(f"Unsqueeze with axes {axes} of shape {shape}: an axis occurs twice")
    return ops.reshape(node[0], tuple(1 if i in new else next(rest) for i in range(ndim)))


@reader("Expand")
def _expand(node: Given) -> Value:
    shape = tuple(node.numbers(1, "shape"))
    before = _shape(node[0])
    whole = [1] * max(len(shape), len(before))
    for i, n in enumerate(shape):
        whole[len(whole) - len(shape) + i] = n
    for i, n in enumerate(before):
        at = len(whole) - len(before) + i
        whole[at] = n if whole[at] == 1 else whole[at]
    _check_size(node.kind, whole)
    return ops.broadcast_to(node[0], tuple(whole))


@reader("Concat")
def _concat(node: Given) -> Value:
    return ops.concat(node.inputs, node.attr("axis", 0))


@reader("Split")
def _split(node: Given) -> Any:
    axis = axis_of(node.attr("axis", 0), node[0])
    n, sizes = _shape(node[0])[axis], node.numbers(1, "split")
    if sizes is None:
        count = node.attr("num_outputs", node.attr("outputs", 1))
        each = -(-n // count)
        sizes = [min(each, n - i * each) for i in range(count)]
    ends = np.cumsum([0, *sizes]).tolist()
    whole = (slice(None),) * axis
    return tuple(ops.getitem(node[0], (*whole, slice(a, b))) for a, b in pairwise(ends))


@reader("Slice")
def _slice(node: Given) -> Value:
    starts, ends = node.numbers(1, "starts"), node.numbers(2, "ends")
    axes = node.numbers(3, "axes", list(range(len(starts))))
    steps = node.numbers(4, "steps", [1] * len(starts))
    shape = _shape(node[0])
    key: list[Any] = [slice(None)] * len(shape)
    for start, stop, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = axis_of(int(axis), node[0])
        whole = step == 1 and start == 0 and (stop == shape[at] or _is_far(stop))
        if not whole:
            stop = None if step < 0 and isinstance(stop, int) and stop < -(2**30) else stop
            key[at] = slice(int(start), stop if stop is None else int(stop), int(step))
    return ops.getitem(node[0], tuple(key))


def _is_far(n: Any) -> bool:
    return isinstance(n, int) and n >= 2**30


@reader("Gather")
def _gather(node: Given) -> Value:
    return ops.take(node[0], node[1], axis_of(node.attr("axis", 0), node[0]))


@reader("GatherElements")
def _gather_elements(node: Given) -> Value:
    return ops.take_along(node[0], node[1], node.attr("axis", 0))


@reader("ConstantOfShape")
def _constant_of_shape(node: Given) -> Value:
    shape = tuple(node.numbers(0, "shape"))
    value = np.asarray(node.attr("value", [0.0]), node.attr("dtype", "float32")).reshape(())
    _check_size(node.kind, shape)
    return ops.broadcast_to(value, shape)


@reader("Pad")
def _pad(node: Given) -> Value:
    node.only(mode=["constant"])
    pads = node.numbers(1, "pads")
    value = node[2] if node.has(2) else node.attr("value", 0.0)
    if np.any(known(value, "the number of Pad") != 0):
        raise ConfigError("a Pad node puts other numbers than 0 around; known: 0")
    ndim = len(_shape(node[0]))
    axes = [axis_of(int(i), node[0]) for i in node.numbers(3, "axes", list(range(ndim)))]
    both = [(0, 0)] * ndim
    for i, axis in enumerate(axes):
        both[axis] = (int(pads[i]), int(pads[i + len(axes)]))
    first = next((i for i, pair in enumerate(both) if pair != (0, 0)), ndim)
    if any(n < 0 for pair in both for n in pair):
        raise ConfigError(
            "a Pad node cuts off elements, with pads below 0; known: pads of at least 0"
        )
    after = [n if p == (0, 0) else n + sum(p) for n, p in zip(_shape(node[0]), both, strict=True)]
    _check_size(node.kind, after)
    return ops.pad(node[0], both[first:])


__all__ = ["READERS"]
