"""Pooling: one number for each window of the last axes, the largest or the mean.

>>> x = np.array([[1.0, 3.0, 2.0, 5.0]])
>>> max_pool(x, (2,)), avg_pool(x, (2,))
(array([[3., 5.]]), array([[2. , 3.5]]))
>>> adaptive_avg_pool(x, (1,))
array([[2.75]])
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import ops
from chainrule.errors import ShapeError
from chainrule.graph import Array, Value, dtype_of, shape_of
from chainrule.ops.convolution import Pads
from chainrule.ops.windows import Sizes, count_windows, per_axis


class _Windows(NamedTuple):
    """Where the windows lie: `pads` is the padding, and what windows over the end need."""

    size: Sizes
    stride: Sizes
    dilation: Sizes
    padding: Sizes
    pads: Pads
    spatial: tuple[int, ...]

    @classmethod
    def of(
        cls, x: Value, size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
    ) -> "_Windows":
        sizes = per_axis(size, len(size), "pooling: size", 1)
        axes = len(sizes)
        steps = per_axis(sizes if stride is None else stride, axes, "pooling: stride", 1)
        gaps = per_axis(dilation, axes, "pooling: dilation", 1)
        padded = per_axis(padding, axes, "pooling: padding", 0)
        spatial = tuple(shape_of(x)[len(shape_of(x)) - axes :])
        check_padding(sizes, padded)
        if len(spatial) < axes:
            raise ShapeError(f"pooling of shape {list(shape_of(x))}: expected {axes} axes or more")
        pads = []
        for n, k, step, gap, p in zip(spatial, sizes, steps, gaps, padded, strict=True):
            count = count_windows(n + 2 * p, k, step, gap)
            span = gap * (k - 1) + 1
            if ceil_mode and count * step < n + p and (count - 1) * step + span < n + 2 * p:
                count += 1  # the last window begins inside and reaches over the end
            if count < 1:
                raise ShapeError(f"pooling: a window that spans {span} places is larger than the "
                                 f"input, of {n} places and {2 * p} of padding")  # fmt: skip
            pads.append((p, max(p, (count - 1) * step + span - n - p)))
        return cls(sizes, steps, gaps, padded, tuple(pads), spatial)


def check_padding(size: Sizes, padding: Sizes) -> None:
    """Raise if a window could lie in the padding alone."""
    if any(2 * p > k for p, k in zip(padding, size, strict=True)):
        raise ShapeError(
            f"pooling by windows of {size} with padding {padding}: expected at most half a window"
        )


def max_pool(
    x: Value,
    size: Sequence[int],
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    ceil_mode: bool = False,
) -> Value:
    """Give the largest element of each window of the last axes; `size` has one entry per axis.

    Padding never wins. With `ceil_mode` a last window may reach over the end. Of equal elements
    the first gets the gradient.

    >>> max_pool(np.arange(16.0).reshape(4, 4), (2, 2)).tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    w = _Windows.of(x, size, stride, padding, dilation, ceil_mode)
    padded = ops.pad(x, w.pads)
    if padded is not x:
        inside = ops.pad(np.ones(w.spatial, bool), w.pads)
        padded = ops.where(inside, padded, np.asarray(-np.inf, dtype_of(x)))
    return ops.window_max(padded, w.size, w.stride, w.dilation)


def avg_pool(
    x: Value,
    size: Sequence[int],
    stride: Any = None,
    padding: Any = 0,
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    """Give the mean of each window of the last axes; zeros of the padding count unless told not to.

    >>> avg_pool(np.ones((1, 2)), (2,), padding=1, count_include_pad=False)
    array([[1., 1.]])
    """
    w = _Windows.of(x, size, stride, padding, 1, ceil_mode)
    axes = tuple(range(-2 * len(w.size), -len(w.size)))
    total = ops.sum(ops.windows(ops.pad(x, w.pads), w.size, w.stride), axes)
    around = [(p, p) for p in w.padding]
    counted = np.pad(np.ones(w.spatial), around, constant_values=float(count_include_pad))
    beyond = [(0, after - p) for (_, after), p in zip(w.pads, w.padding, strict=True)]
    counts = ops.sum(ops.windows(np.pad(counted, beyond), w.size, w.stride), axes)
    if (counts == counts.flat[0]).all():
        return ops.mul(total, 1 / float(counts.flat[0]))
    return ops.mul(total, (1 / counts).astype(dtype_of(x)))


def adaptive_avg_pool(x: Value, output: Sequence[int | None]) -> Value:
    """Give the means of so many parts of each of the last axes, as equal as they can be.

    Part i of m takes the elements from floor(i n / m) to ceil((i + 1) n / m). None keeps an axis.

    >>> adaptive_avg_pool(np.array([1.0, 2.0, 6.0]), (2,))
    array([1.5, 4. ])
    """
    for axis, (n, m) in enumerate(_last(x, output), start=-len(output)):
        if m == n:
            continue
        if m == 1:
            x = ops.mean(x, axis, keepdims=True)
            continue
        weights = np.zeros((n, m), dtype_of(x))
        for i, (first, end) in enumerate(_parts(n, m)):
            weights[first:end, i] = 1 / (end - first)
        x = _along(x, axis, weights)
    return x


def _along(x: Value, axis: int, weights: Array) -> Value:
    """Multiply the lines along an axis by a matrix."""
    order = list(range(len(shape_of(x))))
    order[axis], order[-1] = order[-1], order[axis]
    return ops.transpose(ops.matmul(ops.transpose(x, order), weights), order)


def adaptive_max_pool(x: Value, output: Sequence[int | None]) -> Value:
    """Give the largest elements of so many parts of each of the last axes (`adaptive_avg_pool`).

    >>> adaptive_max_pool(np.array([1.0, 2.0, 6.0]), (2,))
    array([2., 6.])
    """
    lead = len(shape_of(x)) - len(output)
    for axis, (n, m) in enumerate(_last(x, output), start=lead):
        if m == n:
            continue
        if m == 1:
            x = ops.max(x, axis, keepdims=True)
            continue
        parts = _parts(n, m)
        longest = max(end - first for first, end in parts)
        places = [[min(first + k, end - 1) for k in range(longest)] for first, end in parts]
        x = ops.max(ops.take(x, np.array(places), axis), axis + 1)
    return x


def _last(x: Value, output: Sequence[int | None]) -> list[tuple[int, int]]:
    """Give the size of each of the last axes, and what it is to become."""
    spatial = shape_of(x)[len(shape_of(x)) - len(output) :]
    if len(spatial) < len(output):
        raise ShapeError(f"pooling of shape {list(shape_of(x))}: expected {len(output)} axes")
    wanted = [n if m is None else m for n, m in zip(spatial, output, strict=True)]
    per_axis(wanted, len(wanted), "pooling: output size", 1)
    return list(zip(spatial, wanted, strict=True))


def _parts(n: int, m: int) -> list[tuple[int, int]]:
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
