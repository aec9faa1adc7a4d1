"""Windows that move over the last axes of a tensor, and convolution, which weighs them.

>>> import numpy as np
>>> conv(np.arange(16.0).reshape(1, 1, 4, 4), np.array([[[[1.0, 0.0], [0.0, -1.0]]]])).tolist()
[[[[-5.0, -5.0, -5.0], [-5.0, -5.0, -5.0], [-5.0, -5.0, -5.0]]]]

What is called convolution in neural networks is cross-correlation: the kernel is not turned round.
With stride s, dilation d and padding b, for row n, unit o, channels c and places p and k,

    conv(x, w)[n, o, p] = sum over c, k of  w[o, c, k] * x[n, c, s p + d k - b]

It is linear in x and in w. Its transposes, `conv_input` and `conv_kernel`, are each other's
transposes too, so that gradients of any order are made of these three.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.dims import Shape, product
from chainrule.errors import ShapeError
from chainrule.graph import Array, Value, dtype_of, shape_of
from chainrule.ops.kinds import Multilinear
from chainrule.ops.linear import matmul, reshape, sum_op
from chainrule.ops.loops import Parts
from chainrule.ops.moving import ALL, slice_op
from chainrule.ops.notation import PRODUCT, Form, Notation
from chainrule.ops.opset import Use, in_float32, in_onnx
from chainrule.ops.source import call_in_jax, call_in_numpy
from chainrule.ops.windows import (
    Sizes,
    _run_fold,
    _run_windows,
    count_windows,
    fold_op,
    pad,
    per_axis,
    windows_op,
)

Pads = tuple[tuple[int, int], ...]
"""Zeros before and after each axis."""

# Transposes name ops that come later.
conv_input: Multilinear
conv_kernel: Multilinear


def _columns(x: Value, size: Sizes, stride: Sizes, dilation: Sizes, groups: int) -> Value:
    """Give (rows, groups, elements of a window, windows) of x that is padded."""
    parts = windows_op(x, size=size, stride=stride, dilation=dilation)
    shape = shape_of(parts)
    inside = shape[1] // groups * product(size)
    return reshape(parts, (shape[0], groups, inside, product(shape[2 + len(size) :])))


def _kernels(w: Value, groups: int) -> Value:
    """Give (groups, channels of a group, elements of a window) of a kernel."""
    shape = shape_of(w)
    return reshape(w, (groups, shape[0] // groups, product(shape[1:])))


def _results(g: Value, groups: int) -> Value:
    """Give (rows, groups, channels of a group, windows) of a result."""
    shape = shape_of(g)
    return reshape(g, (shape[0], groups, shape[1] // groups, product(shape[2:])))


def _conv(x: Value, w: Value, stride: Sizes, padding: Pads, dilation: Sizes, groups: int) -> Value:
    whole = _conv_shape(shape_of(x), shape_of(w), stride, padding, dilation, groups)
    parts = _columns(pad(x, padding), shape_of(w)[2:], stride, dilation, groups)
    return reshape(matmul(_kernels(w, groups), parts), whole)


def _conv_input(
    g: Value, w: Value, shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Value:
    """Give the cotangent of x, whose last axes have this shape, for the cotangent of conv."""
    parts = matmul(_kernels(w, groups), _results(g, groups), transpose_a=True)
    counts, size = shape_of(g)[2:], shape_of(w)[2:]
    channels = shape_of(w)[1] * groups
    parts = reshape(parts, (shape_of(g)[0], channels, *size, *counts))
    whole = tuple(n + before + after for n, (before, after) in zip(shape, padding, strict=True))
    x = fold_op(parts, shape=whole, size=size, stride=stride, dilation=dilation)
    if whole == shape:
        return x
    inside = [(before, before + n, 1) for n, (before, _) in zip(shape, padding, strict=True)]
    return slice_op(x, slices=(ALL, ALL, *inside))


def _conv_kernel(
    x: Value, g: Value, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Value:
    """Give the cotangent of w, whose last axes have this size, for the cotangent of conv."""
    parts = _columns(pad(x, padding), size, stride, dilation, groups)
    each = matmul(_results(g, groups), parts, transpose_b=True)
    return reshape(
        sum_op(each, axis=(0,), keepdims=False), (shape_of(g)[1], shape_of(x)[1] // groups, *size)
    )


def _conv_shape(
    x: Shape, w: Shape, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Shape:
    if len(x) != len(w) or len(x) != len(stride) + 2:
        raise ShapeError(
            f"conv: input {list(x)} and kernel {list(w)}; expected {len(stride) + 2} axes each: "
            "rows or units, channels, places"
        )
    if w[1] * groups != x[1] or w[0] % groups:
        raise ShapeError(
            f"conv: input {list(x)} and kernel {list(w)} with groups={groups}; expected "
            f"{x[1]} / {groups} channels in the kernel, for units in {groups} groups"
        )
    counts = []
    for n, size, step, (before, after), gap in zip(
        x[2:], w[2:], stride, padding, dilation, strict=True
    ):
        count = count_windows(n + before + after, size, step, gap)
        if count < 1:
            raise ShapeError(
                f"conv: a kernel that spans {gap * (size - 1) + 1} places is larger than the "
                f"input, of {n} places and {before + after} of padding"
            )
        counts.append(count)
    return (x[0], w[0], *counts)


conv_op = Multilinear(
    "conv",
    _conv,
    lambda x, w, **attrs: (_conv_shape(x.shape, w.shape, **attrs), dtype_of(x, w)),
    [
        lambda g, x, w, **attrs: conv_input(g, w, shape=tuple(shape_of(x)[2:]), **attrs),
        lambda g, x, w, **attrs: conv_kernel(x, g, size=tuple(shape_of(w)[2:]), **attrs),
    ],
).looped(Parts(_conv))
conv_input = Multilinear(
    "conv_input",
    _conv_input,
    lambda g, w, shape, groups, **attrs: (
        (g.shape[0], w.shape[1] * groups, *shape),
        dtype_of(g, w),
    ),
    [
        lambda u, g, w, shape, **attrs: conv_op(u, w, **attrs),
        lambda u, g, w, shape, **attrs: conv_kernel(u, g, size=tuple(shape_of(w)[2:]), **attrs),
    ],
).looped(Parts(_conv_input))
conv_kernel = Multilinear(
    "conv_kernel",
    _conv_kernel,
    lambda x, g, size, groups, **attrs: (
        (g.shape[1], x.shape[1] // groups, *size),
        dtype_of(x, g),
    ),
    [
        lambda v, x, g, size, **attrs: conv_input(g, v, shape=tuple(shape_of(x)[2:]), **attrs),
        lambda v, x, g, size, **attrs: conv_op(x, v, **attrs),
    ],
).looped(Parts(_conv_kernel))


# How they are written.


def _weighed(words: str, mark: str, latex: str) -> Notation:
    return Notation(
        words,
        Form(f"{{0}} {mark} {{1}}", PRODUCT, tight=(0, 1)),
        Form(f"{{0}} {latex} {{1}}", PRODUCT, tight=(0, 1)),
        elements="linear",
    )


conv_op.written(_weighed("the windows of {0}, weighed by {1}", "∗", r"\ast"))
conv_input.written(_weighed("{0}, sent back through the kernel {1}", "∗ᵀ", r"\mathbin{\ast^\top}"))
conv_kernel.written(_weighed("the windows of {0}, weighed by {1}", "∗ₖ", r"\mathbin{\ast_k}"))


# In scripts.


def _run_columns(x: Array, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Array:
    """Give the windows of x with zeros around it: (rows, channels, *size, *counts)."""
    return _run_windows(np.pad(x, ((0, 0), (0, 0), *padding)), size, stride, dilation)


def _run_conv(
    x: Array, w: Array, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Array:
    """Weigh the windows of x: (rows, channels, *places) becomes (rows, units, *counts)."""
    parts = _run_columns(x, w.shape[2:], stride, padding, dilation)
    counts = parts.shape[w.ndim :]
    parts = parts.reshape(len(x), groups, int(np.prod(w.shape[1:])), int(np.prod(counts)))
    y: Array = w.reshape(groups, len(w) // groups, -1) @ parts
    return y.reshape(len(x), len(w), *counts)


def _run_conv_input(
    g: Array, w: Array, shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Array:
    """Give the gradient of the input of conv, whose last axes have this shape."""
    size, counts, n = w.shape[2:], g.shape[2:], len(g)
    kernels = w.reshape(groups, len(w) // groups, -1)
    results = g.reshape(n, groups, len(w) // groups, int(np.prod(counts)))
    parts = (np.swapaxes(kernels, -1, -2) @ results).reshape(n, groups * w.shape[1], *size, *counts)
    whole = tuple(k + a + b for k, (a, b) in zip(shape, padding))  # noqa: B905 (short in scripts)
    inside = [slice(a, a + k) for k, (a, b) in zip(shape, padding)]  # noqa: B905
    return _run_fold(parts, whole, size, stride, dilation)[(slice(None), slice(None), *inside)]


def _run_conv_kernel(
    x: Array, g: Array, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Array:
    """Give the gradient of the weights of conv, whose last axes have this size."""
    parts = _run_columns(x, size, stride, padding, dilation)
    n, units, channels, places = len(x), g.shape[1], x.shape[1] // groups, int(np.prod(g.shape[2:]))
    parts = parts.reshape(n, groups, channels * int(np.prod(size)), places)
    results = g.reshape(n, groups, units // groups, places)
    w: Array = (results @ np.swapaxes(parts, -1, -2)).sum(axis=0)
    return w.reshape(units, channels, *size)


call_in_numpy(conv_op, _run_conv)
call_in_numpy(conv_input, _run_conv_input)
call_in_numpy(conv_kernel, _run_conv_kernel)


# For JAX, which has convolution, and turns it round.


def _conv_in_jax(
    jax: Any, x: Any, w: Any, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Any:
    """Weigh the windows of x."""
    kind = np.result_type(x, w)
    x, w = x.astype(kind), w.astype(kind)
    return jax.lax.conv_general_dilated(
        x, w, stride, padding, rhs_dilation=dilation, feature_group_count=groups
    )


def _conv_input_in_jax(jax: Any, g: Any, w: Any, shape: Sizes, groups: int, **settings: Any) -> Any:
    """Give the gradient of the input of conv, whose last axes have this shape."""
    like = jax.ShapeDtypeStruct((len(g), w.shape[1] * groups, *shape), g.dtype)
    back = jax.linear_transpose(lambda x: _conv_in_jax(jax, x, w, groups=groups, **settings), like)
    return back(g)[0]


def _conv_kernel_in_jax(jax: Any, x: Any, g: Any, size: Sizes, groups: int, **settings: Any) -> Any:
    """Give the gradient of the weights of conv, whose last axes have this size."""
    like = jax.ShapeDtypeStruct((g.shape[1], x.shape[1] // groups, *size), x.dtype)
    back = jax.linear_transpose(lambda w: _conv_in_jax(jax, x, w, groups=groups, **settings), like)
    return back(g)[0]


call_in_jax(conv_op, _conv_in_jax)
call_in_jax(conv_input, _conv_input_in_jax)
call_in_jax(conv_kernel, _conv_kernel_in_jax)


# In ONNX; the transposes are exported as their parts.


def _conv_in_onnx(use: Use) -> str:
    a = use.attrs
    pads = [*[before for before, _ in a["padding"]], *[after for _, after in a["padding"]]]
    settings = {"strides": list(a["stride"]), "pads": pads, "dilations": list(a["dilation"])}
    return in_float32(use, lambda given: use.node("Conv", *given, **settings, group=a["groups"]))


in_onnx(conv_op, _conv_in_onnx)


# What people call.


def conv(
    x: Value,
    weight: Value,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """Weigh the windows of x: x (rows, channels, *places), weight (units, channels, *size).

    There is a result for each unit and window: (rows, units, *counts). `padding` is the number
    of zeros on both sides of an axis, or a pair; with `groups`, units and channels fall into so
    many parts that do not see each other.
    """
    axes = len(shape_of(x)) - 2
    return conv_op(
        x,
        weight,
        stride=per_axis(stride, axes, "conv: stride", 1),
        padding=pads_of(padding, axes),
        dilation=per_axis(dilation, axes, "conv: dilation", 1),
        groups=per_axis(groups, 1, "conv: groups", 1)[0],
    )


def pads_of(padding: Any, axes: int) -> Pads:
    """Give zeros before and after each axis, of a number, one per axis, or a pair per axis."""
    if isinstance(padding, Sequence) and padding and isinstance(padding[0], Sequence):
        pairs = [per_axis(pair, 2, "padding", 0) for pair in padding]
        if len(pairs) != axes:
            raise ShapeError(f"padding={padding!r}: expected {axes} pairs")
        return tuple((before, after) for before, after in pairs)
    return tuple((n, n) for n in per_axis(padding, axes, "padding", 0))
