"""Ops with both rules written out, ops without a derivative, and reductions composed of others.

>>> from chainrule import ops
>>> ops.mean(np.array([[1.0, 2.0], [3.0, 6.0]]), axis=0)
array([2., 4.])
>>> ops.logsumexp(np.array([1000.0, 1000.0]))
np.float64(1000.6931471805599)
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.dims import Dim, Shape, product
from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor, Value, shape_of
from chainrule.ops import elementwise as e
from chainrule.ops import helpers
from chainrule.ops.kinds import Discrete, General
from chainrule.ops.linear import (
    all_axes,
    one_axis,
    reshape,
    sum,  # noqa: A004
    sum_op,
    transpose,
)
from chainrule.ops.loops import Along, Element, Parts, Reduce
from chainrule.ops.moving import put_along, take_along, take_along_op
from chainrule.ops.notation import Derivation, Form, Notation, function, given
from chainrule.ops.opset import Use, in_onnx, without_onnx
from chainrule.ops.source import Call, call_in_numpy, in_jax, in_numpy


def _infer_arg(x: Tensor, axis: int, keepdims: bool) -> tuple[Shape, Any]:
    return _without(x.shape, axis, keepdims), np.dtype(np.intp)


def _infer_max(x: Tensor, axis: Any, keepdims: bool) -> tuple[Shape, Any]:
    if isinstance(axis, tuple):  # in compiled code alone
        return tuple(n for i, n in enumerate(x.shape) if i not in axis), x.dtype
    return _without(x.shape, axis, keepdims), x.dtype


def _without(shape: Shape, axis: int, keepdims: bool) -> Shape:
    return (*shape[:axis], *([1] if keepdims else []), *shape[axis + 1 :])


def _max_vjp(g: Value, out: Value, x: Value, axis: int, keepdims: bool) -> list[Value]:
    """Send the cotangent to the first of the largest."""
    shape = _without(shape_of(x), axis, keepdims=True)
    first = argmax_op(x, axis=axis, keepdims=True)
    return [put_along(reshape(g, shape), first, axis=axis, size=shape_of(x)[axis])]


def _max_jvp(tangents: list[Value], out: Value, x: Value, axis: int, keepdims: bool) -> Value:
    first = argmax_op(x, axis=axis, keepdims=True)
    picked = take_along_op(tangents[0], first, axis=axis)
    return reshape(picked, shape_of(out))


def _run_log_softmax(x: Any, axis: int) -> Array:
    """Compute z_i - z_k - log1p(sum of exp(z_j - z_k), j != k) with z_k the largest.

    Leaving the largest out of the sum keeps all digits of a logarithm near 0. In float64 the
    rounding errors of the differences and of the sum are put back, for 2 units in the last place.
    """
    k = np.argmax(x, axis=axis, keepdims=True)
    top = np.take_along_axis(x, k, axis)
    with np.errstate(invalid="ignore"):
        d = x - top
        e_ = np.exp(d)
        np.put_along_axis(e_, k, 0, axis)
        if np.result_type(x) == np.float64 and x.shape[axis] <= 64:
            rest = _total(e_, axis) + np.sum(e_ * _lost(x, top, d), axis=axis, keepdims=True)
        else:
            rest = np.sum(e_, axis=axis, keepdims=True)
    return d - np.log1p(rest)  # type: ignore[no-any-return]


def _total(e_: Any, axis: int) -> Any:
    """Sum along an axis, with what rounding took from the partial sums."""
    sums = np.cumsum(e_, axis=axis)
    last = np.take(sums, [-1], axis=axis)
    before = np.roll(sums, 1, axis=axis)
    np.put_along_axis(before, np.zeros_like(last, dtype=np.intp), 0, axis)
    return last + np.sum(_lost(before, -e_, sums), axis=axis, keepdims=True)


def _lost(a: Any, b: Any, d: Any) -> Any:
    """Give what rounding took from d = a - b (Knuth's two-sum), or 0 if that is not finite."""
    bb = a - d
    lost = (a - (d + bb)) + (bb - b)
    return np.where(np.isfinite(lost), lost, 0)


def _infer_same(x: Tensor, **attrs: Any) -> tuple[Shape, Any]:
    return x.shape, x.dtype


def _log_softmax_vjp(g: Value, out: Value, x: Value, axis: int) -> list[Value]:
    total = sum_op(g, axis=(axis,), keepdims=True)
    return [e.sub(g, e.mul(e.exp(out), total))]


def _log_softmax_jvp(tangents: list[Value], out: Value, x: Value, axis: int) -> Value:
    t = tangents[0]
    mean = sum_op(e.mul(e.exp(out), t), axis=(axis,), keepdims=True)
    return e.sub(t, mean)


def _log_softmax_parts(x: Value, axis: int) -> Value:
    """Write z_i - z_k - log1p(sum of exp(z_j - z_k), j != k) in ops.

    All but one of the largest count as 1 each, or as NaN if they are infinite.
    """
    top = max_op(x, axis=axis, keepdims=True)
    d = e.sub(x, top)
    lower = e.where(e.less(x, top), e.exp(d), 0.0)
    largest = sum_op(e.cast(e.equal(x, top), dtype=d.dtype), axis=(axis,), keepdims=True)
    others = e.where(e.less(1.0, largest), e.sub(e.add(largest, e.sub(top, top)), 1.0), 0.0)
    return e.sub(d, e.log1p(e.add(sum_op(lower, axis=(axis,), keepdims=True), others)))


def _run_uniform(key: Any, shape: Shape) -> Array:
    """Hash the key and the position of each element (SplitMix64: Steele et al., 2014)."""
    n = math.prod(shape)
    start = np.asarray(key).astype(np.uint64) * np.uint64(0xD1342543DE82EF95)
    z = np.arange(1, n + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += start
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)) * 2.0**-53).reshape(shape)


max_op = General(
    "max",
    lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    _infer_max, _max_vjp, _max_jvp,
).looped(Reduce("lowest", "maximum({0}, {x})"))  # fmt: skip
log_softmax_op = General(
    "log_softmax", _run_log_softmax, _infer_same, _log_softmax_vjp, _log_softmax_jvp
).looped(Parts(_log_softmax_parts))
argmax_op = Discrete(
    "argmax", lambda x, axis, keepdims: np.argmax(x, axis=axis, keepdims=keepdims), _infer_arg
).looped(Reduce("lowest", "{x} > {0} or ({x} != {x} and {0} == {0})", position=True))
argsort_op = Discrete(
    "argsort",
    lambda x, axis: np.argsort(x, axis=axis, kind="stable"),
    lambda x, axis: (x.shape, np.dtype(np.intp)),
).looped(Along(lambda attrs: "argsort"))
size_op = Discrete(
    "size", lambda x, dims: np.float64(product(dims)), lambda x, dims: ((), np.dtype(np.float64))
).looped(Element(lambda p: f"float64({p.product_of(p.attrs['dims'])})"))
uniform_op = Discrete(
    "uniform", _run_uniform, lambda key, shape: (shape, np.dtype(np.float64))
).looped(Element(lambda p: f"uniform({p.read(0, [])}, {p.flat()})", costly=True))


# How they are written.


def _log_softmax_opened(x: Value, axis: int) -> Value:
    """Write log softmax as it is defined; it overflows where the op does not."""
    return e.sub(x, e.log(sum_op(e.exp(x), axis=(axis,), keepdims=True)))


def _log_softmax_letters(g: Array, out: Array, x: Array, axis: int) -> list[tuple[str, str, Array]]:
    """Give what the letters of the derivation are worth; c is 0 in a row without weight."""
    p, share = np.exp(out), -np.sum(g, axis=axis, keepdims=True)
    wanted = np.divide(-g, share, out=np.zeros_like(g), where=share != 0)
    return [
        ("p", "p", p), ("t", "t", g), ("c", "c", share), ("q", "q", wanted),
        ("c·(p − q)", r"c \cdot (p - q)", share * (p - wanted)),
    ]  # fmt: skip


_FROM_LOGITS = Derivation(
    (
        (
            "p = softmax(z) and log p = z − log Σ exp(z), so ∂ log p[k]/∂z[j] = [k = j] − p[j]",
            r"p = \mathrm{softmax}(z),\; \log\, p = z - \log \textstyle\sum \exp z"
            r" \;\Rightarrow\; \frac{\partial \log\, p_k}{\partial z_j} = [k = j] - p_j",
        ),
        (
            "∂L/∂z[j] = Σ t[k]·([k = j] − p[j]) over all k = t[j] − p[j]·Σ t, with t = ∂L/∂ log p",
            r"\frac{\partial L}{\partial z_j} = \textstyle\sum_k t_k \left([k = j] - p_j\right)"
            r" = t_j - p_j \sum_k t_k, \quad t = \frac{\partial L}{\partial \log\, p}",
        ),
        (
            "with c = −Σ t, and q = −t/c, which adds up to 1: ∂L/∂z = c·(p − q)",
            r"c = -\textstyle\sum t,\; q = -\frac{t}{c},\; \sum q = 1 \;\Rightarrow\;"
            r" \frac{\partial L}{\partial z} = c \cdot (p - q)",
        ),
    ),
    _log_softmax_letters,
)
"""Why the gradient of cross-entropy by logits is p - y (Bridle, 1990): q is y as probabilities."""

max_op.written(
    Notation("the largest of {0}", Form("max({*})"), Form(r"\max\left({*}\right)"), elements="line")
)
log_softmax_op.written(
    replace(
        function("the logarithm of the softmax", "log softmax", r"\log\,\mathrm{softmax}"),
        elements="given",
        letter="logp",
        opened=_log_softmax_opened,
        derivation=_FROM_LOGITS,
    )
)
argmax_op.written(given("the place of the largest", "argmax", "i"))
argsort_op.written(given("the order of the elements", "order", "i"))
size_op.written(given("the number of elements", "count", "n"))
uniform_op.written(given("random numbers from 0 to 1", "random", "u"))


def _along_in_numpy(name: str) -> Any:
    def source(call: Call) -> str:
        keep = ", keepdims=True" * call.attrs["keepdims"]
        return f"{name}({call.inputs[0]}, axis={call.text(call.attrs['axis'])}{keep})"

    return source


in_numpy(max_op, _along_in_numpy("np.max"))
in_numpy(argmax_op, _along_in_numpy("np.argmax"))
in_numpy(argsort_op, 'np.argsort({0}, axis={axis}, kind="stable")')
in_jax(argsort_op, "np.argsort({0}, axis={axis})")  # which is stable there
in_numpy(size_op, lambda call: f"np.float64({call.text(product(call.attrs['dims']))})")
call_in_numpy(log_softmax_op, helpers.log_softmax)


# In ONNX.


def _max_in_onnx(use: Use) -> str:
    axis = use.attrs["axis"]
    axes = use.constant(axis if isinstance(axis, tuple) else [axis], np.int64)
    return use.node("ReduceMax", use.input(0), axes, keepdims=int(use.attrs["keepdims"]))


def _argmax_in_onnx(use: Use) -> str:
    x = use.input(0, np.int32 if use.input_dtype(0).kind == "b" else None)
    keep = int(use.attrs["keepdims"])
    return use.node("ArgMax", x, axis=use.attrs["axis"], keepdims=keep)


def _argsort_in_onnx(use: Use) -> str:
    axis = use.attrs["axis"]
    x = use.input(0, np.int32 if use.input_dtype(0).kind == "b" else None)
    k = use.sizes([use.shape[axis]])
    return use.node("TopK", x, k, outputs=2, axis=axis, largest=0, sorted=1)


def _size_in_onnx(use: Use) -> str:
    sizes = use.sizes(use.attrs["dims"])
    total = use.node("ReduceProd", sizes, use.constant([0], np.int64), keepdims=0)
    return use.node("Cast", total, to=use.dtype)


in_onnx(max_op, _max_in_onnx)
in_onnx(log_softmax_op, lambda use: use.node("LogSoftmax", use.input(0), axis=use.attrs["axis"]))
in_onnx(argmax_op, _argmax_in_onnx)
in_onnx(argsort_op, _argsort_in_onnx)
in_onnx(size_op, _size_in_onnx)
in_onnx(uniform_op, without_onnx("it draws random numbers, and ONNX has other ones"))


def max(x: Value, axis: Any = None, keepdims: bool = False) -> Value:  # noqa: A001
    """Largest element over an axis, several, or all; the gradient goes to the first of equals.

    >>> max(np.array([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    array([5., 7.])
    """
    shape = shape_of(x)
    axes = all_axes(axis, len(shape), "max")
    if any(shape[i] == 0 for i in axes):
        raise ShapeError(f"max: shape {shape} has no element along axis {axis}")
    if len(axes) == 1:
        return max_op(x, axis=axes[0], keepdims=keepdims)
    rest = [i for i in range(len(shape)) if i not in axes]
    kept = tuple(shape[i] for i in rest)
    x = reshape(transpose(x, [*rest, *axes]), (*kept, product(tuple(shape[i] for i in axes))))
    x = max_op(x, axis=len(rest), keepdims=False)
    return reshape(x, tuple(1 if i in axes else n for i, n in enumerate(shape))) if keepdims else x


def min(x: Value, axis: Any = None, keepdims: bool = False) -> Value:  # noqa: A001
    """Smallest element; the gradient goes to the first of equals."""
    return e.neg(max(e.neg(x), axis, keepdims))


def argmax(x: Value, axis: int = -1, keepdims: bool = False) -> Value:
    """Position of the largest element along an axis, the first of equals; it has no gradient.

    >>> int(argmax(np.array([1, 3, 3])))
    1
    """
    return argmax_op(x, axis=one_axis(axis, len(shape_of(x)), "argmax"), keepdims=keepdims)


def sort(x: Value, axis: int = -1) -> Value:
    """Elements in rising order along an axis.

    >>> sort(np.array([3, 1, 2]))
    array([1, 2, 3])
    """
    axis = one_axis(axis, len(shape_of(x)), "sort")
    return take_along(x, argsort_op(x, axis=axis), axis)


def count(x: Value, axis: Any = None) -> Value:
    """Give the number of elements along the axes: a number, or a node for a named dimension."""
    shape = shape_of(x)
    dims = tuple(shape[i] for i in all_axes(axis, len(shape), "count"))
    if any(isinstance(n, Dim) for n in dims):
        n = size_op(x, dims=dims)
        return e.cast(n, dtype=x.dtype) if x.dtype.kind == "f" else n
    return float(product(dims))


def mean(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Mean over an axis, several, or all; of no elements it is NaN."""
    n = count(x, axis)
    total = sum(x, axis, keepdims)
    return e.mul(total, float("nan")) if isinstance(n, float) and n == 0 else e.div(total, n)


def var(x: Value, axis: Any = None, keepdims: bool = False, correction: float = 0) -> Value:
    """Mean squared distance from the mean, divided by count - correction.

    >>> float(var(np.array([1.0, 3.0]))), float(var(np.array([1.0, 3.0]), correction=1))
    (1.0, 2.0)
    """
    d = e.sub(x, mean(x, axis, keepdims=True))
    n = e.sub(count(x, axis), float(correction))
    total = sum(e.mul(d, d), axis, keepdims)
    if isinstance(n, Tensor):
        n = e.where(e.less(0.0, n), n, float("nan")) if correction > 0 else n
    elif n <= 0:
        n = float("nan")
    return e.div(total, n)


def logsumexp(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Logarithm of the sum of exponentials, without overflow."""
    top = e.stop_gradient(max(x, axis, keepdims=True))
    top = e.where(e.is_finite(top), top, 0.0)
    out = e.add(e.log(sum(e.exp(e.sub(x, top)), axis, keepdims=True)), top)
    axes = all_axes(axis, len(shape_of(x)), "logsumexp")
    return out if keepdims else sum(out, axes)


def log_softmax(x: Value, axis: int = -1) -> Value:
    """Logarithm of softmax along an axis, accurate where a probability is nearly 1.

    >>> float(log_softmax(np.array([0.0, 40.0]))[1])
    -4.248354255291589e-18
    """
    return log_softmax_op(x, axis=one_axis(axis, len(shape_of(x)), "log_softmax"))


def softmax(x: Value, axis: int = -1) -> Value:
    """exp(x_i) / sum of exp(x_j) along an axis.

    >>> softmax(np.array([1.0, 2.0, 3.0])).round(8)
    array([0.09003057, 0.24472847, 0.66524096])
    """
    top = e.stop_gradient(max(x, axis, keepdims=True))
    weights = e.exp(e.sub(x, top))
    return e.div(weights, sum(weights, axis, keepdims=True))


def norm(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Euclidean length; its gradient at 0 is 0.

    >>> float(norm(np.array([3.0, 4.0])))
    5.0
    """
    total = sum(e.mul(x, x), axis, keepdims)
    zero = e.equal(total, 0)
    return e.where(zero, 0.0, e.sqrt(e.where(zero, 1.0, total)))


def uniform(key: Value, shape: Any) -> Value:
    """Numbers in [0, 1) that depend on the key and the position alone (float64).

    Equal keys give equal numbers, eager or compiled, whatever the number of threads.

    >>> uniform(7, (2,)) == uniform(7, (3,))[:2]
    array([ True,  True])
    """
    return uniform_op(key, shape=tuple(shape))
