"""Windows that move over the last axes of a tensor: cut out, laid back, and their largest elements.

>>> windows(np.arange(5), (3,)).tolist()
[[0, 1, 2], [1, 2, 3], [2, 3, 4]]

Here the columns are the windows; the axes of a window come first, then the axis that counts them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.dims import Constant, Shape, product
from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor, Value, shape_of
from chainrule.ops.elementwise import equal, logical_or, neg, not_equal, where
from chainrule.ops.general import max_op
from chainrule.ops.kinds import Discrete, General, Multilinear
from chainrule.ops.linear import reshape
from chainrule.ops.loops import Element, Index, Parts, Place, Scatter
from chainrule.ops.moving import ALL, place, put_along, take_along_op
from chainrule.ops.notation import Form, Notation, given, moved
from chainrule.ops.opset import Use, gathered, in_onnx, transposed, zeros
from chainrule.ops.source import Call, in_jax

Sizes = tuple[int, ...]
# Transposes name ops that come later.
fold_op: Multilinear


def count_windows(n: int, size: int, stride: int, dilation: int) -> int:
    """Give the places at which a window fits into n elements."""
    return (n - dilation * (size - 1) - 1) // stride + 1


# Windows and their transpose.


def _run_windows(x: Array, size: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    lead, spatial = x.ndim - len(size), x.shape[x.ndim - len(size) :]
    counts = [count_windows(*each) for each in zip(spatial, size, stride, dilation, strict=True)]
    steps = x.strides[lead:]
    inside = [d * s for d, s in zip(dilation, steps, strict=True)]
    between = [d * s for d, s in zip(stride, steps, strict=True)]
    return np.lib.stride_tricks.as_strided(
        x, (*x.shape[:lead], *size, *counts), (*x.strides[:lead], *inside, *between),
        writeable=False,
    )  # fmt: skip


def _infer_windows(x: Tensor, size: Sizes, stride: Sizes, dilation: Sizes) -> tuple[Shape, Any]:
    lead = x.ndim - len(size)
    counts = [
        count_windows(*each) for each in zip(x.shape[lead:], size, stride, dilation, strict=True)
    ]
    return (*x.shape[:lead], *[Constant(n) for n in size], *counts), x.dtype


def _run_fold(y: Array, shape: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    lead = y.ndim - 2 * len(size)
    result = np.zeros((*y.shape[:lead], *shape), y.dtype)
    counts = y.shape[y.ndim - len(size) :]
    for offset in np.ndindex(*size):
        inside: Any = tuple(
            slice(d * k, d * k + s * (n - 1) + 1, s)
            for k, n, s, d in zip(offset, counts, stride, dilation, strict=True)
        )
        result[(..., *inside)] += y[(*[slice(None)] * lead, *offset)]
    return result


def _window_place(p: Place, index: Index) -> Index:
    """Give the place in the whole of an element of a window."""
    axes = len(p.attrs["size"])
    lead = len(index) - 2 * axes
    places = []
    for axis in range(axes):
        k, at = index[lead + axis], index[lead + axes + axis]
        step, gap = p.attrs["stride"][axis], p.attrs["dilation"][axis]
        moved = at if step == 1 else f"({at}) * {p.size(Constant(step))}"
        within = k if gap == 1 else f"({k}) * {p.size(Constant(gap))}"
        places.append(f"{moved} + {within}")
    return [*index[:lead], *places]


windows_op = Multilinear(
    "windows",
    _run_windows,
    _infer_windows,
    [
        lambda g, x, **attrs: fold_op(
            g, shape=tuple(shape_of(x)[len(shape_of(x)) - len(attrs["size"]) :]), **attrs
        )
    ],
).looped(
    Element(lambda p: p.read(0, _window_place(p, p.index)), columns=lambda size, **attrs: len(size))
)
fold_op = Multilinear(
    "fold",
    _run_fold,
    lambda y, shape, size, stride, dilation: (
        (*y.shape[: y.ndim - 2 * len(size)], *shape),
        y.dtype,
    ),
    [lambda g, y, shape, **attrs: windows_op(g, **attrs)],
).looped(Scatter(lambda p, k, index: _window_place(p, index), add=True))


# The largest element of each window.


def _window_axes(ndim: int, size: Sizes) -> tuple[int, ...]:
    """Give the axes of the result of `windows` that run within a window."""
    return tuple(range(ndim, ndim + len(size)))


def _run_window_max(x: Array, size: Sizes, **attrs: Any) -> Array:
    parts = _run_windows(x, size, **attrs)
    largest: Array = np.max(parts, axis=_window_axes(x.ndim - len(size), size))
    return largest


def _run_places(x: Array, size: Sizes, **attrs: Any) -> Array:
    spatial = x.shape[x.ndim - len(size) :]
    grid = np.arange(np.prod(spatial), dtype=np.int32).reshape(spatial)
    return _run_windows(grid, size, **attrs)


def _run_window_argmax(x: Array, size: Sizes, **attrs: Any) -> Array:
    grid, parts = _run_places(x, size, **attrs), _run_windows(x, size, **attrs)
    lead, counts, inside = x.shape[: x.ndim - len(size)], grid.shape[len(size) :], np.prod(size)
    first = np.argmax(parts.reshape(*lead, inside, np.prod(counts)), axis=-2)
    flat = grid.reshape(inside, -1)
    found: Array = np.take_along_axis(flat, first.reshape(-1, flat.shape[1]), 0)
    return found.reshape(*lead, *counts)


def _infer_window_max(x: Tensor, size: Sizes, **attrs: Any) -> tuple[Shape, Any]:
    lead = x.ndim - len(size)
    shape = _infer_windows(x, size, **attrs)[0]
    return (*shape[:lead], *shape[lead + len(size) :]), x.dtype


def _max_in_parts(x: Value, size: Sizes, **attrs: Any) -> Value:
    axes = _window_axes(len(shape_of(x)) - len(size), size)
    return max_op(windows_op(x, size=size, **attrs), axis=axes, keepdims=False)


def _argmax_in_parts(x: Value, size: Sizes, **attrs: Any) -> Value:
    """Find the least place of those whose element is the largest, or not a number."""
    lead = len(shape_of(x)) - len(size)
    parts = windows_op(x, size=size, **attrs)
    largest = _max_in_parts(x, size, **attrs)
    shape = shape_of(largest)
    largest = reshape(largest, (*shape[:lead], *[1] * len(size), *shape[lead:]))
    is_it = logical_or(equal(parts, largest), not_equal(parts, parts))
    found = where(is_it, neg(window_places(x, size=size, **attrs)), np.int32(-(2**31)))
    return neg(max_op(found, axis=_window_axes(lead, size), keepdims=False))


def _place_element(p: Place) -> str:
    """Give the place in the last axes, as if they were one."""
    spatial = p.shape(0)[len(p.shape(0)) - len(p.attrs["size"]) :]
    source = ""
    for n, i in zip(spatial, _window_place(p, p.index), strict=True):
        source = f"({source}) * {p.size(n)} + {i}" if source else i
    return f"int32({source})"


def _lines(x: Value, axes: int) -> Value:
    """Join the last axes."""
    shape = shape_of(x)
    lead = len(shape) - axes
    return reshape(x, (*shape[:lead], product(shape[lead:])))


def _window_max_vjp(g: Value, out: Value, x: Value, size: Sizes, **attrs: Any) -> list[Value]:
    """Send the cotangent to the first of the largest."""
    axes, shape = len(size), shape_of(x)
    lead = len(shape) - axes
    places = _lines(window_argmax(x, size=size, **attrs), axes)
    total = product(tuple(shape[lead:]))
    return [reshape(put_along(_lines(g, axes), places, axis=lead, size=total), shape)]


def _window_max_jvp(
    tangents: list[Value], out: Value, x: Value, size: Sizes, **attrs: Any
) -> Value:
    axes = len(size)
    places = _lines(window_argmax(x, size=size, **attrs), axes)
    picked = take_along_op(_lines(tangents[0], axes), places, axis=len(shape_of(x)) - axes)
    return reshape(picked, shape_of(out))


window_places = Discrete(
    "window_places",
    _run_places,
    lambda x, size, **attrs: (
        _infer_windows(x, size, **attrs)[0][x.ndim - len(size) :],
        np.dtype(np.int32),
    ),
).looped(Element(_place_element))
window_argmax = Discrete(
    "window_argmax",
    _run_window_argmax,
    lambda x, **attrs: (_infer_window_max(x, **attrs)[0], np.dtype(np.int32)),
).looped(Parts(_argmax_in_parts))
window_max_op = General(
    "window_max", _run_window_max, _infer_window_max, _window_max_vjp, _window_max_jvp
).looped(Parts(_max_in_parts))


# How they are written.

windows_op.written(moved("the windows of {0}", "windows({0})", r"\mathrm{windows}\left({0}\right)"))
fold_op.written(
    moved("the windows {0}, laid back and added up", "fold({0})", r"\mathrm{fold}\left({0}\right)")
)
window_places.written(given("the places of a window", "places", "i"))
window_argmax.written(given("the place of the largest of each window", "argmax", "i"))
window_max_op.written(
    Notation(
        "the largest element of each window of {0}",
        Form("window max({0})"),
        Form(r"\mathrm{window\,max}\left({0}\right)"),
        elements="given",
        opened=_max_in_parts,
    )
)


def _places_of_windows(n: int, size: int, stride: int, dilation: int) -> Array:
    """Give the places of the elements of windows on an axis of n: (size, count)."""
    count = count_windows(n, size, stride, dilation)
    places: Array = np.arange(count) * stride + np.arange(size)[:, None] * dilation
    return places


# For JAX.


def _window_index(shape: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> tuple[Any, ...]:
    """Give the index of all windows in the last axes, of this shape: (*size, *counts)."""
    axes, index = len(size), []
    for k in range(axes):
        places = _places_of_windows(shape[k], size[k], stride[k], dilation[k])
        around = [1] * (2 * axes)
        around[k], around[axes + k] = places.shape
        index.append(places.reshape(around))
    return (..., *index)


def _cut_windows(x: Any, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """Give the windows of the last axes of x: (..., *size, *counts)."""
    return x[_window_index(x.shape[x.ndim - len(size) :], size, stride, dilation)]


def _add_windows(zeros: Any, y: Any, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """Lay windows back to where they were cut, and add them up."""
    spatial = zeros.shape[zeros.ndim - len(size) :]
    return zeros.at[_window_index(spatial, size, stride, dilation)].add(y)


def _fold_in_jax(call: Call) -> str:
    a, shape = call.attrs, call.shapes[0]
    whole = call.text((*shape[: len(shape) - 2 * len(a["size"])], *a["shape"]))
    words = [call.text(a[name]) for name in ("size", "stride", "dilation")]
    zeros = f"np.zeros({whole}, {call.text(call.dtypes[0])})"
    return f"add_windows({', '.join([zeros, *call.inputs, *words])})"


def _window_places_in_jax(call: Call) -> str:
    words = [call.text(call.attrs[name]) for name in ("size", "stride", "dilation")]
    spatial = call.shapes[0][call.ndim(0) - len(call.attrs["size"]) :]
    grid = f"np.arange({product(spatial)}, dtype=np.int32).reshape({call.text(spatial)})"
    return f"cut_windows({', '.join([grid, *words])})"


in_jax(windows_op, "cut_windows({0}, {size}, {stride}, {dilation})", _cut_windows)
in_jax(fold_op, _fold_in_jax, _add_windows)
in_jax(window_places, _window_places_in_jax, _cut_windows)


# In ONNX.


def _windows_in_onnx(use: Use) -> str:
    """Pick the windows of one axis after the other, then put the axes within windows first."""
    a, x, shape = use.attrs, use.input(0), use.input_shape(0)
    axes = len(a["size"])
    lead = len(shape) - axes
    for i in reversed(range(axes)):
        each = (shape[lead + i], a["size"][i], a["stride"][i], a["dilation"][i])
        x = gathered(use, x, _places_of_windows(*each), lead + i)
    within = [lead + 2 * i for i in range(axes)]
    return transposed(use, x, [*range(lead), *within, *[i + 1 for i in within]])


def _fold_in_onnx(use: Use) -> str:
    """Add the elements of windows, as rows, to those of the whole, and turn rows back."""
    a, shape = use.attrs, use.input_shape(0)
    size, whole = a["size"], a["shape"]
    lead = shape[: len(shape) - 2 * len(size)]
    grid = np.arange(int(np.prod(whole))).reshape(whole)
    places = _run_windows(grid, size, a["stride"], a["dilation"]).reshape(-1, 1)
    rows = use.node("Reshape", use.input(0), use.sizes([product(lead), len(places)]))
    rows = transposed(use, rows, [1, 0])
    start = zeros(use, [grid.size, product(lead)])
    index = use.constant(places, np.int64)
    total = use.node("ScatterND", start, index, rows, reduction="add")
    total = transposed(use, total, [1, 0])
    return use.node("Reshape", total, use.sizes([*lead, *whole]))


def _window_max_in_onnx(use: Use) -> str:
    a, shape = use.attrs, use.input_shape(0)
    lead = shape[: len(shape) - len(a["size"])]
    images = [product(lead), 1, *shape[len(lead) :]]
    x = use.node("Reshape", use.input(0), use.sizes(images))
    settings = {"strides": list(a["stride"]), "dilations": list(a["dilation"])}
    y = use.node("MaxPool", x, kernel_shape=list(a["size"]), **settings)
    return use.node("Reshape", y, use.sizes(use.shape))


def _window_places_in_onnx(use: Use) -> str:
    a, shape = use.attrs, use.input_shape(0)
    spatial = tuple(int(n) for n in shape[len(shape) - len(a["size"]) :])
    grid = np.arange(int(np.prod(spatial)), dtype=np.int32).reshape(spatial)
    return use.constant(_run_windows(grid, a["size"], a["stride"], a["dilation"]), np.int32)


in_onnx(windows_op, _windows_in_onnx)
in_onnx(fold_op, _fold_in_onnx)
in_onnx(window_max_op, _window_max_in_onnx)
in_onnx(window_places, _window_places_in_onnx)


# What people call.


def pad(x: Value, padding: Sequence[Sequence[int]]) -> Value:
    """Put zeros around the last axes, of which each has a pair (before, after).

    >>> pad(np.ones(2), [(1, 2)])
    array([0., 1., 1., 0., 0.])
    """
    if not any(before or after for before, after in padding):
        return x
    whole = shape_of(x)
    lead = len(whole) - len(padding)
    sizes = [n + before + after for n, (before, after) in zip(whole[lead:], padding, strict=True)]
    slices = [(before, before + n, 1) for n, (before, _) in zip(whole[lead:], padding, strict=True)]
    everything = [ALL] * lead
    return place(x, slices=(*everything, *slices), shape=(*whole[:lead], *sizes))


def per_axis(value: Any, axes: int, name: str, least: int) -> Sizes:
    """Give a whole number for each axis, of one number or several."""
    several = tuple(value) if isinstance(value, Sequence | np.ndarray) else (value,) * axes
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in several)
    if len(several) != axes or not whole or any(n < least for n in several):
        what = f"a whole number of at least {least}, or {axes} of them"
        raise ShapeError(f"{name}={value!r}: expected {what}")
    return tuple(several)


def _checked(x: Value, size: Sequence[int], stride: Any, dilation: Any) -> dict[str, Sizes]:
    """Give the attributes of windows that fit."""
    axes = len(size)
    sizes = per_axis(size, axes, "windows: size", 1)
    steps = per_axis(stride, axes, "windows: stride", 1)
    gaps = per_axis(dilation, axes, "windows: dilation", 1)
    spatial = shape_of(x)[len(shape_of(x)) - axes :]
    if len(spatial) < axes or any(
        count_windows(*each) < 1 for each in zip(spatial, sizes, steps, gaps, strict=True)
    ):
        raise ShapeError(f"windows of size {sizes} do not fit into shape {list(shape_of(x))}")
    return {"size": sizes, "stride": steps, "dilation": gaps}


def windows(x: Value, size: Sequence[int], stride: Any = 1, dilation: Any = 1) -> Value:
    """Give the windows of the last axes, of which `size` has an entry each: (..., *size, *counts).

    Element k of window p is x[stride * p + dilation * k].

    >>> windows(np.arange(6), (2,), stride=2).tolist()
    [[0, 2, 4], [1, 3, 5]]
    """
    return windows_op(x, **_checked(x, size, stride, dilation))


def window_max(x: Value, size: Sequence[int], stride: Any = 1, dilation: Any = 1) -> Value:
    """Give the largest element of each window of the last axes.

    Of equal elements the first gets the gradient.

    >>> window_max(np.array([1.0, 3.0, 2.0, 0.0]), (2,))
    array([3., 3., 2.])
    """
    return window_max_op(x, **_checked(x, size, stride, dilation))
