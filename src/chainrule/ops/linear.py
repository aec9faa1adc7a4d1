"""Ops that are linear in what they differentiate: products, sums, and moving elements about.

Each has its transpose beside it, often another op of this file: `sum` and `spread`, `slice` and
`place`, `take` and `scatter_add`. The inner product <op(x), g> = <x, transpose(g)> ties the two.

>>> from chainrule import ops
>>> ops.matmul(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]), transpose_b=True)
array([[1., 3.],
       [2., 4.]])
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.dims import Dim, Shape, broadcast_shapes, product
from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor, Value, dtype_of, shape_of
from chainrule.ops.elementwise import cast, mul
from chainrule.ops.kinds import General, Multilinear
from chainrule.ops.loops import Along, Element, Index, Parts, Place, Product, Reduce, Scatter

Axes = tuple[int, ...]
Slices = tuple[tuple[int | None, int | None, int], ...]  # start, stop, step of each axis


# Transposes name ops that come later.
spread: Multilinear
reshape_op: Multilinear
transpose_op: Multilinear
cumsum_op: Multilinear
place: Multilinear
scatter_add: Multilinear
put_along: Multilinear


def swap(x: Any, yes: bool) -> Any:
    """Exchange the last two axes of an array."""
    if not yes:
        return x
    return x.T if isinstance(x, np.ndarray) and x.ndim == 2 else np.swapaxes(x, -1, -2)


def _run_matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    return np.matmul(swap(a, transpose_a), swap(b, transpose_b))


def _infer_matmul(
    a: Tensor, b: Tensor, transpose_a: bool = False, transpose_b: bool = False
) -> tuple[Shape, Any]:
    n, k = (a.shape[-1], a.shape[-2]) if transpose_a else a.shape[-2:]
    k2, m = (b.shape[-1], b.shape[-2]) if transpose_b else b.shape[-2:]
    if k != k2:
        raise ShapeError(f"matmul: inner sizes {k} and {k2} of {a.shape} and {b.shape} differ")
    return (*broadcast_shapes(a.shape[:-2], b.shape[:-2]), n, m), dtype_of(a, b)


def _matmul_first(
    g: Value, a: Value, b: Value, transpose_a: bool = False, transpose_b: bool = False
) -> Value:
    if transpose_a:
        return matmul_op(b, g, transpose_a=transpose_b, transpose_b=True)
    return matmul_op(g, b, transpose_b=not transpose_b)


def _matmul_second(
    g: Value, a: Value, b: Value, transpose_a: bool = False, transpose_b: bool = False
) -> Value:
    if transpose_b:
        return matmul_op(g, a, transpose_a=True, transpose_b=transpose_a)
    return matmul_op(a, g, transpose_a=not transpose_a)


def _matmul_of_one_dtype(a: Value, b: Value, **attrs: Any) -> Value:
    dtype = dtype_of(a, b)
    return matmul_op(cast(a, dtype=dtype), cast(b, dtype=dtype), **attrs)


def _have_two_dtypes(a: Any, b: Any, **attrs: Any) -> bool:
    return bool(a.dtype != b.dtype)


matmul_op = Multilinear(
    "matmul", _run_matmul, _infer_matmul, [_matmul_first, _matmul_second]
).looped(Parts(_matmul_of_one_dtype, only=_have_two_dtypes), Product())


def _sum_dtype(dtype: Any) -> Any:
    return np.sum(np.zeros(1, dtype)).dtype


def _infer_sum(x: Tensor, axis: Axes, keepdims: bool) -> tuple[Shape, Any]:
    if keepdims:
        shape = tuple(1 if i in axis else n for i, n in enumerate(x.shape))
    else:
        shape = tuple(n for i, n in enumerate(x.shape) if i not in axis)
    return shape, _sum_dtype(x.dtype)


# Methods of arrays take half the time of NumPy's functions, which matters in small nets.


def _run_sum(x: Any, axis: Axes, keepdims: bool) -> Any:
    if isinstance(x, np.ndarray):
        return x.sum(axis=axis, keepdims=keepdims)
    return np.sum(x, axis=axis, keepdims=keepdims)


def _run_reshape(x: Any, shape: Shape) -> Any:
    return x.reshape(shape) if isinstance(x, np.ndarray) else np.reshape(x, shape)


def _run_spread(x: Any, axis: Axes, keepdims: bool, shape: Shape) -> Any:
    return np.broadcast_to(x if keepdims else np.expand_dims(x, axis), shape)


def _spread_element(p: Place) -> str:
    axis = p.attrs["axis"]
    if p.attrs["keepdims"]:
        return p.read(0, ["0" if a in axis else i for a, i in enumerate(p.index)])
    return p.read(0, [i for a, i in enumerate(p.index) if a not in axis])


sum_op = Multilinear(
    "sum",
    _run_sum,
    _infer_sum,
    [lambda g, x, axis, keepdims: spread(g, axis=axis, keepdims=keepdims, shape=shape_of(x))],
).looped(Reduce("0", "plus({0}, {x})"))
spread = Multilinear(
    "spread",
    _run_spread,
    lambda x, axis, keepdims, shape: (shape, x.dtype),
    [lambda g, x, axis, keepdims, shape: sum_op(g, axis=axis, keepdims=keepdims)],
).looped(Element(_spread_element))
reshape_op = Multilinear(
    "reshape",
    _run_reshape,
    lambda x, shape: (shape, x.dtype),
    [lambda g, x, shape: reshape_op(g, shape=shape_of(x))],
).looped(Element(order=True))
transpose_op = Multilinear(
    "transpose",
    lambda x, axes: np.transpose(x, axes),
    lambda x, axes: (tuple(x.shape[i] for i in axes), x.dtype),
    [lambda g, x, axes: transpose_op(g, axes=tuple(int(i) for i in np.argsort(axes)))],
).looped(
    Element(lambda p: p.read(0, [p.index[p.attrs["axes"].index(i)] for i in range(len(p.index))]))
)
cumsum_op = Multilinear(
    "cumsum",
    lambda x, axis, reverse: (
        np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)
    ),
    lambda x, axis, reverse: (x.shape, _sum_dtype(x.dtype)),
    [lambda g, x, axis, reverse: cumsum_op(g, axis=axis, reverse=not reverse)],
).looped(Along(lambda attrs: "cumsum_reversed" if attrs["reverse"] else "cumsum"))


def _sliced(p: Place, whole: Sequence[Any], index: Index) -> Index:
    """Give the places in the whole of the elements that a slice has at an index."""
    places = []
    for i, n, (start, _, step) in zip(index, whole, p.attrs["slices"], strict=True):
        shifted = i if step == 1 else f"({i}) * {p.size(step)}"
        if start is None and step < 0:
            shifted = f"{p.sum_of([n, -1])} + {shifted}"
        elif start:
            shifted = f"{p.size(start)} + {shifted}"
        places.append(shifted)
    return places


def _key(slices: Slices) -> tuple[slice, ...]:
    return tuple(slice(*s) for s in slices)


def _infer_slice(x: Tensor, slices: Slices) -> tuple[Shape, Any]:
    shape = tuple(
        n if s == (None, None, 1) else len(range(*slice(*s).indices(n)))
        for n, s in zip(x.shape, slices, strict=True)
    )
    return shape, x.dtype


def _run_place(x: Any, slices: Slices, shape: Shape) -> Array:
    result = np.zeros(shape, np.result_type(x))
    result[_key(slices)] = x
    return result


slice_op = Multilinear(
    "slice",
    lambda x, slices: x[_key(slices)],
    _infer_slice,
    [lambda g, x, slices: place(g, slices=slices, shape=shape_of(x))],
).looped(Element(lambda p: p.read(0, _sliced(p, p.shape(0), p.index))))
place = Multilinear(
    "place",
    _run_place,
    lambda x, slices, shape: (shape, x.dtype),
    [lambda g, x, slices, shape: slice_op(g, slices=slices)],
).looped(Scatter(lambda p, k, index: _sliced(p, p.attrs["shape"], index)))


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
        slices: list[tuple[int | None, int | None, int]] = [(None, None, 1)] * len(shape)
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
    everything = [(None, None, 1)] * (len(shape) - 1)
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


def one_axis(axis: int, ndim: int, name: str) -> int:
    """Give an axis as a number from 0, or say what is wrong with it."""
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{name}: axis {axis} does not exist in a tensor of {ndim} dimensions")
    return axis % ndim


def all_axes(axis: Any, ndim: int, name: str) -> Axes:
    """Give axes as a tuple of numbers from 0; None means all of them."""
    if axis is None:
        return tuple(range(ndim))
    listed = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(sorted(one_axis(int(i), ndim, name) for i in listed))


def sum(x: Value, axis: Any = None, keepdims: bool = False) -> Value:  # noqa: A001
    """Sum over an axis, several, or all.

    >>> sum(np.ones((2, 3)), axis=1)
    array([3., 3.])
    """
    return sum_op(x, axis=all_axes(axis, len(shape_of(x)), "sum"), keepdims=keepdims)


def matmul(a: Value, b: Value, transpose_a: bool = False, transpose_b: bool = False) -> Value:
    """Multiply matrices, or stacks of them; a vector is a row on the left, a column on the right.

    `transpose_b` multiplies by b with its last two axes exchanged, which costs nothing.
    """
    ndim_a, ndim_b = len(shape_of(a)), len(shape_of(b))
    if not ndim_a or not ndim_b:
        raise ShapeError("matmul: a number is no matrix; use a * b")
    left = reshape(a, (1, *shape_of(a))) if ndim_a == 1 else a
    right = reshape(b, (*shape_of(b), 1)) if ndim_b == 1 else b
    out = matmul_op(
        left, right, transpose_a=transpose_a and ndim_a > 1, transpose_b=transpose_b and ndim_b > 1
    )
    if ndim_a > 1 and ndim_b > 1:
        return out
    shape = shape_of(out)
    columns = shape[-1:] if ndim_b > 1 else ()
    rows = shape[-2:-1] if ndim_a > 1 else ()
    return reshape(out, (*shape[:-2], *rows, *columns))


def reshape(x: Value, shape: Any) -> Value:
    """Give the same elements another shape; one size may be -1.

    >>> reshape(np.arange(6), (2, -1))
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    wanted = list(shape) if isinstance(shape, tuple | list) else [shape]
    before = shape_of(x)
    if -1 in wanted:
        known = product(tuple(n for n in wanted if n != -1))
        total = product(before)
        if known == 0 or wanted.count(-1) > 1 or (isinstance(total, int) and total % known):
            raise ShapeError(f"reshape: shape {tuple(before)} does not fit into {tuple(wanted)}")
        wanted[wanted.index(-1)] = total // known
    if product(tuple(wanted)) != product(before):
        raise ShapeError(f"reshape: shape {tuple(before)} does not fit into {tuple(wanted)}")
    return reshape_op(x, shape=tuple(wanted))


def transpose(x: Value, axes: Any = None) -> Value:
    """Permute the axes; reverse them when none is named.

    >>> transpose(np.ones((2, 3, 4)), (1, 0, 2)).shape
    (3, 2, 4)
    """
    ndim = len(shape_of(x))
    order = range(ndim)[::-1] if axes is None else [one_axis(i, ndim, "transpose") for i in axes]
    if sorted(order) != list(range(ndim)):
        raise ShapeError(f"transpose: axes {tuple(axes)} are no permutation of {ndim} axes")
    return transpose_op(x, axes=tuple(order))


def broadcast_to(x: Value, shape: Any) -> Value:
    """Repeat x along axes of size 1 and along new axes in front.

    >>> broadcast_to(np.array([1, 2]), (2, 2))
    array([[1, 2],
           [1, 2]])
    """
    before, after = shape_of(x), tuple(shape)
    if broadcast_shapes(before, after) != after:
        raise ShapeError(f"broadcast_to: shape {before} does not broadcast to {after}")
    new = len(after) - len(before)
    grown = tuple(i for i, n in enumerate(before) if n == 1 and after[i + new] != 1)
    if grown:
        x = spread(x, axis=grown, keepdims=True, shape=after[new:])
    return spread(x, axis=tuple(range(new)), keepdims=False, shape=after) if new else x


def cumsum(x: Value, axis: int = -1) -> Value:
    """Sum of the elements up to each one, along an axis.

    >>> cumsum(np.array([1, 2, 3]))
    array([1, 3, 6])
    """
    return cumsum_op(x, axis=one_axis(axis, len(shape_of(x)), "cumsum"), reverse=False)


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
    return take_along_op(x, _index(indices), axis=one_axis(axis, len(shape_of(x)), "take_along"))


def _index(indices: Value) -> Value:
    indices = indices if isinstance(indices, Tensor) else np.asarray(indices)
    if np.dtype(indices.dtype).kind not in "iu":
        raise ShapeError(f"indices must be whole numbers, not {indices.dtype}")
    return indices
