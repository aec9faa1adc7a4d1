"""Ops that move elements about: slices, places, indices, and joining.

>>> take(np.array([10.0, 20.0, 30.0]), np.array([2, 0]))
array([30., 10.])
"""

from typing import Any

import numpy as np

from chainrule.dims import Dim, Shape, broadcast_shapes
from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor, Value, dtype_of, shape_of
from chainrule.ops.elementwise import mul
from chainrule.ops.kinds import General, Multilinear
from chainrule.ops.linear import broadcast_to, one_axis, reshape, reshape_op, spread
from chainrule.ops.loops import Element, Index, Place, Scatter, Span
from chainrule.ops.notation import moved
from chainrule.ops.opset import Use, gathered, in_onnx, transposed, zeros
from chainrule.ops.source import Call, in_jax, in_numpy

Slices = tuple[tuple[int | None, int | None, int], ...]  # start, stop, step of each axis


ALL = (None, None, 1)
"""A slice that takes all."""

# Transposes name ops that come later.
place: Multilinear
scatter_add: Multilinear
put_along: Multilinear


def _sliced(p: Place, index: Index) -> Index:
    """Give the places in the whole of the elements that a slice has at an index."""
    places = []
    for i, (start, _, step) in zip(index, p.attrs["slices"], strict=True):
        shifted = i if step == 1 else f"({i}) * {p.size(step)}"
        if start:
            shifted = f"{p.size(start)} + {shifted}"
        places.append(shifted)
    return places


def _key(slices: Slices) -> tuple[slice, ...]:
    return tuple(slice(*s) for s in slices)


def _infer_slice(x: Tensor, slices: Slices) -> tuple[Shape, Any]:
    shape = tuple(
        n if s == ALL else len(range(*slice(*s).indices(n)))
        for n, s in zip(x.shape, slices, strict=True)
    )
    return shape, x.dtype


def _run_place(x: Any, slices: Slices, shape: Shape) -> Array:
    result = np.zeros(shape, np.result_type(x))
    result[_key(slices)] = x
    return result


def _span(slices: Slices, shape: Shape) -> Span:
    """Give the one axis that is cut, and from where to where."""
    cut = [axis for axis, s in enumerate(slices) if s != ALL]
    if len(cut) != 1 or slices[cut[0]][2] != 1:
        return None
    start, stop, _ = slices[cut[0]]
    return cut[0], 0 if start is None else start, shape[cut[0]] if stop is None else stop


slice_op = Multilinear(
    "slice",
    lambda x, slices: x[_key(slices)],
    _infer_slice,
    [lambda g, x, slices: place(g, slices=slices, shape=shape_of(x))],
).looped(
    Element(lambda p: p.read(0, _sliced(p, p.index)), span=lambda x, slices: _span(slices, x.shape))
)
place = Multilinear(
    "place",
    _run_place,
    lambda x, slices, shape: (shape, x.dtype),
    [lambda g, x, slices, shape: slice_op(g, slices=slices)],
).looped(Scatter(lambda p, k, index: _sliced(p, index), span=_span))


def _picked(p: Place, index: Index, n: Any) -> Index:
    """Replace the axes of the indices, which are input 1, by the place that they name."""
    axis, count = p.attrs["axis"], len(p.shape(1))
    i = p.read(1, index[axis : axis + count])
    return [*index[:axis], p.wrap(i, n), *index[axis + count :]]


def _picked_along(p: Place, index: Index, n: Any) -> Index:
    axis = p.attrs["axis"]
    return [*index[:axis], p.wrap(p.read(1, index), n), *index[axis + 1 :]]


def _put_one(p: Place) -> str:
    """Give the element to the place that its line's only index names, and 0 to the others."""
    axis = p.attrs["axis"]
    line = [*p.index[:axis], "0", *p.index[axis + 1 :]]
    i = p.wrap(p.read(1, line), p.attrs["size"])
    return f"{p.read(0, line)} if {p.index[axis]} == {i} else {p.zero}"


def _run_scatter_add(x: Any, indices: Any, axis: int, size: int) -> Array:
    before, after = x.shape[:axis], x.shape[axis + np.ndim(indices) :]
    result = np.zeros((*before, size, *after), x.dtype)
    np.add.at(result, (*[slice(None)] * axis, indices), x)
    return result


def _infer_scatter_add(x: Tensor, indices: Tensor, axis: int, size: int) -> tuple[Shape, Any]:
    return (*x.shape[:axis], size, *x.shape[axis + indices.ndim :]), x.dtype


take_op = Multilinear(
    "take",
    lambda x, indices, axis: np.take(x, indices, axis=axis),
    lambda x, indices, axis: (
        (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]),
        x.dtype,
    ),
    [lambda g, x, indices, axis: scatter_add(g, indices, axis=axis, size=shape_of(x)[axis]), None],
).looped(Element(lambda p: p.read(0, _picked(p, p.index, p.shape(0)[p.attrs["axis"]])), picks=True))
scatter_add = Multilinear(
    "scatter_add",
    _run_scatter_add,
    _infer_scatter_add,
    [lambda g, x, indices, axis, size: take_op(g, indices, axis=axis), None],
).looped(Scatter(lambda p, k, index: _picked(p, index, p.attrs["size"]), add=True))


def _run_put_along(x: Any, indices: Any, axis: int, size: int) -> Array:
    shape = (*indices.shape[:axis], size, *indices.shape[axis + 1 :])
    result = np.zeros(shape, np.result_type(x))
    grid = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grid[axis] = indices
    np.add.at(result, tuple(grid), x)
    return result


take_along_op = Multilinear(
    "take_along",
    lambda x, indices, axis: np.take_along_axis(x, indices, axis),
    lambda x, indices, axis: (
        (*x.shape[:axis], indices.shape[axis], *x.shape[axis + 1 :]),
        x.dtype,
    ),
    [lambda g, x, indices, axis: put_along(g, indices, axis=axis, size=shape_of(x)[axis]), None],
).looped(
    Element(lambda p: p.read(0, _picked_along(p, p.index, p.shape(0)[p.attrs["axis"]])), picks=True)
)
put_along = Multilinear(
    "put_along",
    _run_put_along,
    lambda x, indices, axis, size: ((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype),
    [lambda g, x, indices, axis, size: take_along_op(g, indices, axis=axis), None],
).looped(
    Element(_put_one, only=lambda x, indices, axis, size: indices.shape[axis] == 1),
    Scatter(lambda p, k, index: _picked_along(p, index, p.attrs["size"]), add=True),
)


def _infer_concat(*parts: Tensor, axis: int) -> tuple[Shape, Any]:
    sizes = [p.shape[axis] for p in parts]
    if any(isinstance(n, Dim) for n in sizes):
        raise ShapeError(f"concatenate: a trace cannot join along the named dimension {sizes[0]}")
    first, total = parts[0].shape, sizes[0]
    for n in sizes[1:]:
        total += n
    return (*first[:axis], total, *first[axis + 1 :]), dtype_of(*parts)


def _concat_vjp(g: Value, out: Value, *parts: Value, axis: int) -> list[Value]:
    cotangents, start = [], 0
    for part in parts:
        shape = shape_of(part)
        slices: list[tuple[int | None, int | None, int]] = [ALL] * len(shape)
        slices[axis] = (start, start + shape[axis], 1)
        cotangents.append(slice_op(g, slices=tuple(slices)))
        start += shape[axis]
    return cotangents


def _concat_jvp(tangents: list[Value], out: Value, *parts: Value, axis: int) -> Value:
    filled = [mul(x, 0.0) if t is None else t for t, x in zip(tangents, parts, strict=True)]
    return concat_op(*filled, axis=axis)


def _concat_target(p: Place, k: int, index: Index) -> Index:
    axis = p.attrs["axis"]
    before = [p.shape(j)[axis] for j in range(k)]
    moved = f"{p.sum_of(before)} + {index[axis]}" if k else index[axis]
    return [*index[:axis], moved, *index[axis + 1 :]]


concat_op = General(
    "concat",
    lambda *parts, axis: np.concatenate(parts, axis=axis),
    _infer_concat,
    _concat_vjp,
    _concat_jvp,
).looped(Scatter(_concat_target, parts=range, covers=True))


def _run_shift(x: Array, start: Array, reverse: bool) -> Array:
    result = np.empty(np.shape(x), np.result_type(x, start))
    if len(result):
        these, others = (slice(None, -1), slice(1, None))[:: 1 if reverse else -1]
        result[these] = x[others]
        result[-1 if reverse else 0] = start
    return result


def _shifted(p: Place) -> str:
    """Read the element before, or the start; either way, read nothing outside of x."""
    i, rest = p.index[0], p.index[1:]
    at_start, before = f"({i} == 0)", f"{i} - ({i} > 0)"
    if p.attrs["reverse"]:
        at_start = f"({i} == {p.sum_of([p.shape(0)[0], -1])})"
        before = f"{i} + 1 - {at_start}"
    return f"{p.read(1, rest)} if {at_start} else {p.read(0, [before, *rest])}"


def _shift_start(g: Value, x: Value, start: Value, reverse: bool) -> Value:
    shape = shape_of(g)
    if shape[0] == 0:
        return _zeros(shape[1:], dtype_of(g))
    at = (shape[0] - 1, shape[0], 1) if reverse else (0, 1, 1)
    everything = [ALL] * (len(shape) - 1)
    return reshape_op(slice_op(g, slices=(at, *everything)), shape=shape[1:])


def _zeros(shape: Shape, dtype: Any) -> Value:
    axes = tuple(range(len(shape)))
    return spread(np.zeros((), dtype), axis=axes, keepdims=False, shape=tuple(shape))


def _shift_vjp(g: Value, out: Value, x: Value, start: Value, reverse: bool) -> list[Value]:
    zeros = _zeros(shape_of(g)[1:], dtype_of(g))
    return [shift(g, zeros, reverse=not reverse), _shift_start(g, x, start, reverse)]


def _shift_jvp(tangents: list[Value], out: Value, x: Value, start: Value, reverse: bool) -> Value:
    shape, dtype = shape_of(x), dtype_of(x)
    dx, ds = tangents
    dx = _zeros(shape, dtype) if dx is None else dx
    return shift(dx, _zeros(shape[1:], dtype) if ds is None else ds, reverse=reverse)


shift: General = General(
    "shift",
    _run_shift,
    lambda x, start, reverse: (x.shape, dtype_of(x, start)),
    _shift_vjp,
    _shift_jvp,
).looped(Element(_shifted))
"""Each element of x moved one place along the first axis, after `start`; back with `reverse`."""

# How they are written.


def _cut(attrs: dict[str, Any]) -> str:
    """Write slices as Python does, those of a single element as its number."""
    return ",".join(_cut_of_axis(*s) for s in attrs["slices"])


def _cut_of_axis(start: int | None, stop: int | None, step: int) -> str:
    if start is not None and stop == start + 1:
        return str(start)
    ends = ["" if n is None else str(n) for n in (start, stop)]
    return ":".join([*ends, *([str(step)] if step != 1 else [])])


# fmt: off
slice_op.written(moved("a part of {0}", lambda attrs: f"{{0}}[{_cut(attrs)}]",
                       lambda attrs: rf"{{0}}\left[{_cut(attrs)}\right]"))
place.written(moved("{0} among zeros", lambda attrs: f"placed({{0}} at [{_cut(attrs)}])",
                    lambda attrs: rf"\mathrm{{placed}}\left({{0}}, [{_cut(attrs)}]\right)"))
take_op.written(moved("entries of {0} by the numbers {1}", "{0}[{1}]", r"{0}\left[{1}\right]"))
scatter_add.written(moved("{0} added up at the places {1}", "added({0} at {1})",
                          r"\mathrm{added}\left({0}, {1}\right)"))
take_along_op.written(moved("the entry of each line of {0} that {1} names", "{0}[{1}]",
                            r"{0}\left[{1}\right]"))
put_along.written(moved("{0} at the place of each line that {1} names", "placed({0} at {1})",
                        r"\mathrm{placed}\left({0}, {1}\right)"))
concat_op.written(moved("what is joined of {0} and the others", "[{*}]", r"\left[{*}\right]"))
shift.written(moved("the element before each of {0}", "before({0}; {1})",
                    r"\mathrm{before}\left({0}; {1}\right)"))
# fmt: on


def _slice_in_numpy(call: Call) -> str:
    cut = _cut_in_numpy(call.attrs["slices"], call.shapes[0])
    return f"{call.inputs[0]}[{cut}]" if cut else call.inputs[0]


def _cut_in_numpy(slices: Slices, shape: Shape) -> str:
    """Write slices as they stand in brackets; nothing if they take all."""
    parts = []
    for n, (start, stop, step) in zip(shape, slices, strict=True):
        ends = [
            "" if i is None or (step > 0 and i == edge) else str(int(i))
            for i, edge in ((start, 0), (stop, n))
        ]
        parts.append(":".join(ends + ([] if step == 1 else [str(int(step))])))
    while parts and parts[-1] == ":":
        parts.pop()
    return ", ".join(parts)


def _concat_in_numpy(call: Call) -> str:
    if len(call.inputs) == 1:
        return call.inputs[0]
    return f"np.concatenate([{', '.join(call.inputs)}], axis={call.attrs['axis']})"


def _take_in_numpy(call: Call) -> str:
    x, i = call.inputs
    return f"np.take({x}, {i}, axis={call.attrs['axis']})" if call.attrs["axis"] else f"{x}[{i}]"


in_numpy(slice_op, _slice_in_numpy)
in_numpy(take_op, _take_in_numpy)
in_numpy(take_along_op, "np.take_along_axis({0}, {1}, {axis})")
in_numpy(concat_op, _concat_in_numpy)


# For JAX, whose arrays do not change: `at[...]` gives a new one.


def _zeros_in_jax(call: Call, shape: Shape) -> str:
    return f"np.zeros({call.text(shape)}, {call.text(call.dtypes[0])})"


def _place_in_jax(call: Call) -> str:
    shape = call.attrs["shape"]
    cut = _cut_in_numpy(call.attrs["slices"], shape) or "..."
    return f"{_zeros_in_jax(call, shape)}.at[{cut}].set({call.inputs[0]})"


def _scatter_in_jax(call: Call) -> str:
    axis, size, shape = call.attrs["axis"], call.attrs["size"], call.shapes[0]
    whole = (*shape[:axis], size, *shape[axis + call.ndim(1) :])
    places = ", ".join([":"] * axis + [call.inputs[1]])
    return f"{_zeros_in_jax(call, whole)}.at[{places}].add({call.inputs[0]})"


def _add_along(zeros: Any, indices: Any, x: Any, axis: int) -> Any:
    """Add x to zeros at the places along an axis."""
    grid = list(np.ogrid[tuple([slice(n) for n in indices.shape])])
    grid[axis] = indices
    return zeros.at[tuple(grid)].add(x)


def _put_along_in_jax(call: Call) -> str:
    """Write a choice for each place if a line has one index, which takes no order of sums."""
    (x, i), axis, size, shape = call.inputs, call.attrs["axis"], call.attrs["size"], call.shapes[1]
    if shape[axis] == 1:
        line = tuple(-1 if k == axis else 1 for k in range(len(shape)))
        places = f"np.arange({call.text(size)}).reshape({line})"
        return f"np.where({places} == {i} % {call.text(size)}, {x}, 0)"
    zeros = _zeros_in_jax(call, (*shape[:axis], size, *shape[axis + 1 :]))
    return f"add_along({zeros}, {i}, {x}, {axis})"


def _shift_in_jax(call: Call) -> str:
    (x, start), shape = call.inputs, call.shapes[0]
    if shape[0] == 0:
        return x
    first = f"np.broadcast_to({start}, {call.text((1, *shape[1:]))})"
    parts = f"{x}[1:], {first}" if call.attrs["reverse"] else f"{first}, {x}[:-1]"
    return f"np.concatenate([{parts}])"


in_jax(place, _place_in_jax)
in_jax(scatter_add, _scatter_in_jax)
in_jax(put_along, _put_along_in_jax, _add_along)
in_jax(shift, _shift_in_jax)


# In ONNX.


def _slice_in_onnx(use: Use) -> str:
    far = 2**31 - 1
    ends: list[list[int]] = [[], [], [], []]
    for axis, (start, stop, step) in enumerate(use.attrs["slices"]):
        if (start, stop, step) == ALL:
            continue
        last = (far if step > 0 else -far) if stop is None else stop
        for each, n in zip(ends, (start, last, axis, step), strict=True):
            each.append(int(n))
    return use.node("Slice", use.input(0), *[use.constant(each, np.int64) for each in ends])


def _place_in_onnx(use: Use) -> str:
    """Put zeros behind each axis that is cut, and pick from it the elements or a zero."""
    x = use.input(0)
    for axis, (cut, n) in enumerate(zip(use.attrs["slices"], use.attrs["shape"], strict=True)):
        if cut == ALL:
            continue
        places = range(*slice(*cut).indices(n))
        if places.step == 1 and len(places):
            before, after = places.start, n - places.stop
            pads = [before, after]
            x = use.node("Pad", x, use.constant(pads, np.int64), "", use.constant([axis], np.int64))
            continue
        index = np.full(n, len(places))
        index[list(places)] = np.arange(len(places))
        pads = [0, 1]
        x = use.node("Pad", x, use.constant(pads, np.int64), "", use.constant([axis], np.int64))
        x = gathered(use, x, index, axis)
    return x


def _take_along_in_onnx(use: Use) -> str:
    x, index = use.input(0), use.input(1, np.int64)
    return use.node("GatherElements", x, index, axis=use.attrs["axis"])


def _put_along_in_onnx(use: Use) -> str:
    x, index = use.input(0), use.input(1, np.int64)
    kind = {"axis": use.attrs["axis"], "reduction": "add"}
    return use.node("ScatterElements", zeros(use, use.shape), index, x, **kind)


def _scatter_in_onnx(use: Use) -> str:
    """Add along the first axis, to which the others are moved and back."""
    axis, ndim, more = use.attrs["axis"], len(use.shape), len(use.input_shape(1))
    x, size = use.input(0), use.attrs["size"]
    first = [*range(axis, axis + more), *range(axis), *range(axis + more, ndim - 1 + more)]
    x = transposed(use, x, first)
    rest = [*use.shape[:axis], *use.shape[axis + 1 :]]
    index = use.node("Unsqueeze", use.input(1, np.int64), use.constant([more], np.int64))
    total = use.node("ScatterND", zeros(use, [size, *rest]), index, x, reduction="add")
    return transposed(use, total, [*range(1, axis + 1), 0, *range(axis + 1, ndim)])


def _concat_in_onnx(use: Use) -> str:
    parts = [use.input(k, use.dtype) for k in range(use.count)]
    return use.node("Concat", *parts, axis=use.attrs["axis"])


def _shift_in_onnx(use: Use) -> str:
    ends = ([1], [2**31 - 1]) if use.attrs["reverse"] else ([0], [-1])
    cut = [use.constant(n, np.int64) for n in (*ends, [0])]
    most = use.node("Slice", use.input(0, use.dtype), *cut)
    start = use.node("Unsqueeze", use.input(1, use.dtype), use.constant([0], np.int64))
    start = use.node("Expand", start, use.sizes([1, *use.shape[1:]]))
    parts = (most, start) if use.attrs["reverse"] else (start, most)
    return use.node("Concat", *parts, axis=0)


def _take_in_onnx(use: Use) -> str:
    return use.node("Gather", use.input(0), use.input(1, np.int64), axis=use.attrs["axis"])


in_onnx(slice_op, _slice_in_onnx)
in_onnx(place, _place_in_onnx)
in_onnx(take_op, _take_in_onnx)
in_onnx(take_along_op, _take_along_in_onnx)
in_onnx(put_along, _put_along_in_onnx)
in_onnx(scatter_add, _scatter_in_onnx)
in_onnx(concat_op, _concat_in_onnx)
in_onnx(shift, _shift_in_onnx)


def concat(parts: Any, axis: int = 0) -> Value:
    """Join tensors along an axis that exists.

    >>> concat([np.zeros(1), np.ones(2)])
    array([0., 1., 1.])
    """
    parts = list(parts)
    if not parts:
        raise ShapeError("concat: needs at least one tensor")
    return concat_op(*parts, axis=one_axis(axis, len(shape_of(parts[0])), "concat"))


def stack(parts: Any, axis: int = 0) -> Value:
    """Join tensors of one shape along a new axis.

    >>> stack([np.zeros(2), np.ones(2)], axis=1)
    array([[0., 1.],
           [0., 1.]])
    """
    parts = list(parts)
    if not parts:
        raise ShapeError("stack: needs at least one tensor")
    shape = shape_of(parts[0])
    axis = one_axis(axis, len(shape) + 1, "stack")
    return concat([reshape(x, (*shape[:axis], 1, *shape[axis:])) for x in parts], axis)


def take(x: Value, indices: Value, axis: int = 0) -> Value:
    """Pick entries of an axis by whole numbers, as `x[indices]` does for axis 0.

    >>> take(np.array([10, 20, 30]), np.array([2, 0, 0]))
    array([30, 10, 10])
    """
    return take_op(x, _index(indices), axis=one_axis(axis, len(shape_of(x)), "take"))


def take_along(x: Value, indices: Value, axis: int = -1) -> Value:
    """Pick along an axis with one index array per position (NumPy's take_along_axis).

    >>> take_along(np.array([[1, 2], [3, 4]]), np.array([[1], [0]]), axis=1)
    array([[2],
           [3]])
    """
    indices, axis = _index(indices), one_axis(axis, len(shape_of(x)), "take_along")
    own, other = shape_of(x), shape_of(indices)
    if len(own) != len(other):
        raise ShapeError(f"take_along: indices of shape {other} for a tensor of shape {own}")
    before = broadcast_shapes(own[:axis], other[:axis])
    after = broadcast_shapes(own[axis + 1 :], other[axis + 1 :])
    x = broadcast_to(x, (*before, own[axis], *after))
    indices = broadcast_to(indices, (*before, other[axis], *after))
    return take_along_op(x, indices, axis=axis)


def _index(indices: Value) -> Value:
    indices = indices if isinstance(indices, Tensor) else np.asarray(indices)
    if np.dtype(indices.dtype).kind not in "iu":
        raise ShapeError(f"indices must be whole numbers, not {indices.dtype}")
    return indices
