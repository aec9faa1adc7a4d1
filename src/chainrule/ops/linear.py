"""Ops that are linear in what they differentiate: products, sums, and moving elements about.

Each has its transpose beside it, often another op of this file: `sum` and `spread`, `slice` and
`place`, `take` and `scatter_add`. The inner product <op(x), g> = <x, transpose(g)> ties the two.

>>> from chainrule import ops
>>> ops.matmul(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]), transpose_b=True)
array([[1., 3.],
       [2., 4.]])
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.dims import Shape, broadcast_shapes, product
from chainrule.errors import ShapeError
from chainrule.graph import Tensor, Value, dtype_of, shape_of
from chainrule.ops.elementwise import cast
from chainrule.ops.kinds import Multilinear
from chainrule.ops.loops import Along, Element, Parts, Place, Product, Reduce
from chainrule.ops.notation import POWER, PRODUCT, Form, Notation, moved, silent
from chainrule.ops.opset import Use, in_onnx, transposed
from chainrule.ops.source import Call, in_numpy

Axes = tuple[int, ...]


# Transposes name ops that come later.
spread: Multilinear
reshape_op: Multilinear
transpose_op: Multilinear
cumsum_op: Multilinear


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


def _have_a_point(a: Any, b: Any, **attrs: Any) -> bool:
    return bool(a.dtype.kind == "f")


matmul_op = Multilinear(
    "matmul", _run_matmul, _infer_matmul, [_matmul_first, _matmul_second]
).looped(Parts(_matmul_of_one_dtype, only=_have_two_dtypes), Product(only=_have_a_point))


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


# How they are written.

_LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def _turned(between: str, turned: str) -> Callable[[dict[str, Any]], str]:
    """Give a product of matrices, those that are transposed being written as `turned`."""

    def template(attrs: dict[str, Any]) -> str:
        marks = (attrs.get("transpose_a"), attrs.get("transpose_b"))
        places = [f"{{{k}}}" for k in range(2)]
        return between.join(
            turned.replace("{0}", place) if mark else place
            for place, mark in zip(places, marks, strict=True)
        )

    return template


matmul_op.written(
    Notation(
        "the matrix product of {0} and {1}",
        Form(_turned(" ", "{0}ᵀ"), PRODUCT, tight=(0, 1)),
        Form(_turned(r" \, ", r"{{0}}^\top"), PRODUCT, tight=(0, 1)),
        elements="linear",
    )
)
sum_op.written(
    moved(
        "the sum of {0} over axis {axis}",
        lambda attrs: f"Σ{_axes(attrs).translate(_LOW)}({{0}})",
        lambda attrs: rf"\sum\nolimits_{{\mathrm{{axis}}\,{_axes(attrs)}}} \left({{0}}\right)",
    )
)
spread.written(silent("{0}, repeated"))
reshape_op.written(silent("{0}, in another shape"))
transpose_op.written(
    Notation(
        "{0}, its axes exchanged",
        Form("{0}ᵀ", POWER, tight=(0,)),
        Form(r"{{0}}^\top", POWER, tight=(0,)),
        elements="linear",
    )
)
cumsum_op.written(
    moved("the running sum of {0}", "cumsum({0})", r"\mathrm{cumsum}\left({0}\right)")
)


def _axes(attrs: dict[str, Any]) -> str:
    return "".join(str(axis) for axis in attrs["axis"])


def _product_in_numpy(call: Call) -> str:
    return " @ ".join(
        _turned_in_numpy(call, k) if call.attrs.get(f"transpose_{'ab'[k]}") else call.inputs[k]
        for k in range(2)
    )


def _turned_in_numpy(call: Call, k: int) -> str:
    x = call.inputs[k]
    return f"{x}.T" if call.ndim(k) == 2 else f"np.swapaxes({x}, -1, -2)"


def _sum_in_numpy(call: Call) -> str:
    axes = call.attrs["axis"]
    words = [call.inputs[0]]
    if len(axes) != call.ndim(0) or not axes:
        words.append(f"axis={call.text(axes[0] if len(axes) == 1 else axes)}")
    return f"np.sum({', '.join(words + ['keepdims=True'] * call.attrs['keepdims'])})"


def _spread_in_numpy(call: Call) -> str:
    axes, x = call.attrs["axis"], call.inputs[0]
    if not call.attrs["keepdims"] and axes != tuple(range(len(axes))):
        x = f"np.expand_dims({x}, {call.text(axes)})"
    return f"np.broadcast_to({x}, {call.text(call.attrs['shape'])})"


def _transpose_in_numpy(call: Call) -> str:
    axes, x = call.attrs["axes"], call.inputs[0]
    return f"{x}.T" if axes == (1, 0) else f"np.transpose({x}, {call.text(axes)})"


def _cumsum_in_numpy(call: Call) -> str:
    axis, x = call.attrs["axis"], call.inputs[0]
    if not call.attrs["reverse"]:
        return f"np.cumsum({x}, axis={axis})"
    return f"np.flip(np.cumsum(np.flip({x}, {axis}), axis={axis}), {axis})"


in_numpy(matmul_op, _product_in_numpy)
in_numpy(sum_op, _sum_in_numpy)
in_numpy(spread, _spread_in_numpy)
in_numpy(reshape_op, "np.reshape({0}, {shape})")
in_numpy(transpose_op, _transpose_in_numpy)
in_numpy(cumsum_op, _cumsum_in_numpy)


# In ONNX.


def _product_in_onnx(use: Use) -> str:
    parts = []
    for k, turned in enumerate(("transpose_a", "transpose_b")):
        x, ndim = use.input(k, use.dtype), len(use.input_shape(k))
        if use.attrs.get(turned):
            perm = [*range(ndim - 2), ndim - 1, ndim - 2]
            x = transposed(use, x, perm)
        parts.append(x)
    return use.node("MatMul", *parts)


def _sum_in_onnx(use: Use) -> str:
    x, axes = use.input(0, use.dtype), use.attrs["axis"]
    if not axes:
        return x
    keep = int(use.attrs["keepdims"])
    return use.node("ReduceSum", x, use.constant(axes, np.int64), keepdims=keep)


def _spread_in_onnx(use: Use) -> str:
    x = use.input(0)
    if not use.attrs["keepdims"] and use.attrs["axis"]:
        x = use.node("Unsqueeze", x, use.constant(use.attrs["axis"], np.int64))
    return use.node("Expand", x, use.sizes(use.attrs["shape"]))


def _reshape_in_onnx(use: Use) -> str:
    shape = use.attrs["shape"]
    unknown = [i for i, n in enumerate(shape) if not isinstance(n, int)]
    if len(unknown) == 1 and all(n for n in shape):
        sizes = use.constant([n if isinstance(n, int) else -1 for n in shape], np.int64)
        return use.node("Reshape", use.input(0), sizes)
    return use.node("Reshape", use.input(0), use.sizes(shape), allowzero=1)


def _cumsum_in_onnx(use: Use) -> str:
    axis = use.constant(use.attrs["axis"], np.int64)
    return use.node("CumSum", use.input(0, use.dtype), axis, reverse=int(use.attrs["reverse"]))


in_onnx(matmul_op, _product_in_onnx)
in_onnx(sum_op, _sum_in_onnx)
in_onnx(spread, _spread_in_onnx)
in_onnx(reshape_op, _reshape_in_onnx)
in_onnx(transpose_op, lambda use: transposed(use, use.input(0), use.attrs["axes"]))
in_onnx(cumsum_op, _cumsum_in_onnx)


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
