"""What `x[key]` means: slices, whole numbers, new axes, index arrays and masks, as in NumPy.

>>> from chainrule import tensor
>>> x = tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
>>> x[1, ::2], x[:, None, 0].shape, x[[0, 1], [2, 0]]
(tensor([4., 6.]), (2, 1), tensor([3., 4.]))
"""

from typing import Any

import numpy as np

from chainrule.dims import Dim, product
from chainrule.errors import ShapeError
from chainrule.graph import Tensor, Value, shape_of
from chainrule.ops.elementwise import add, less, mul, where
from chainrule.ops.linear import reshape, transpose
from chainrule.ops.moving import ALL, slice_op, take


def getitem(x: Value, key: Any) -> Value:
    """Give the elements that the key names."""
    parts = list(key) if isinstance(key, tuple) else [key]
    parts = _expanded(parts, len(shape_of(x)))
    if any(_is_array(part) for part in parts):  # then NumPy takes a number for an array, too
        parts = [np.asarray(p) if isinstance(p, int | np.integer) else p for p in parts]
    shape, slices, kept = shape_of(x), [], []
    arrays: list[tuple[int, Any]] = []
    axis, before_ellipsis = 0, 0
    for part in parts:
        if part is Ellipsis:  # it parts the arrays before and after it, even of no axis
            before_ellipsis = len(arrays)
            continue
        if part is None:
            kept.append(1)
            continue
        n = shape[axis]
        if isinstance(part, slice):
            slices.append(_bounds(part, n))
            kept.append(len(range(*part.indices(n))) if slices[-1] != ALL else n)
        elif isinstance(part, int | np.integer):
            if isinstance(n, int) and not -n <= part < n:
                raise ShapeError(f"index {part} is outside axis {axis} of size {n}")
            slices.append(_bounds(slice(part, part + 1 or None), n))
        else:
            arrays.append((len(kept), part))
            slices.append(ALL)
            kept.append(n)
        axis += 1
    if any(s != ALL for s in slices):
        x = slice_op(x, slices=tuple(slices))
    if tuple(kept) != shape_of(x):
        x = reshape(x, tuple(kept))
    return _pick(x, arrays, 0 < before_ellipsis < len(arrays)) if arrays else x


def _is_array(part: Any) -> bool:
    return isinstance(part, Tensor | np.ndarray)


def _expanded(parts: list[Any], ndim: int) -> list[Any]:
    """Write out the ellipsis, masks as index arrays, and the axes not named."""
    written: list[Any] = []
    for part in parts:
        if isinstance(part, bool):
            raise ShapeError(f"index {part} is no position; a mask is an array of booleans")
        array = part.value if isinstance(part, Tensor) and part.value is not None else part
        if isinstance(array, list | np.ndarray) and np.asarray(array).dtype == bool:
            written.extend(np.nonzero(array))
        else:
            written.append(np.asarray(part) if isinstance(part, list) else part)
    named = sum(part is not None and part is not Ellipsis for part in written)
    if named > ndim:
        raise ShapeError(f"{named} indices for a tensor of {ndim} dimensions")
    rest: list[Any] = [slice(None)] * (ndim - named)
    for i, part in enumerate(written):
        if part is Ellipsis:
            return written[: i + 1] + rest + written[i + 1 :]
    return written + rest


def _bounds(part: slice, n: Any) -> tuple[int | None, int | None, int]:
    step = 1 if part.step is None else int(part.step)
    if part.start is None and part.stop is None and step == 1:
        return ALL
    if isinstance(n, Dim):
        raise ShapeError(f"the named dimension {n} cannot be cut in a trace: only x[:] is possible")
    start, stop, step = part.indices(n)
    if start < 0:  # backwards from before the first element: nothing
        return 0, 0, 1
    return start, stop if stop >= 0 else None, step


def _pick(x: Value, arrays: list[tuple[int, Any]], parted: bool) -> Value:
    """Index with whole-number arrays, which NumPy broadcasts against each other.

    Their axes stay in place if they are neighbors, and come first if anything parted them.
    """
    axes = [axis for axis, _ in arrays]
    if len(axes) == 1:
        return take(x, arrays[0][1], axes[0])
    ndim = len(shape_of(x))
    others = [i for i in range(ndim) if i not in axes]
    neighbors = not parted and axes == list(range(axes[0], axes[-1] + 1))
    x = transpose(x, axes + others)
    sizes = shape_of(x)[: len(axes)]
    flat: Value = 0
    for (_, index), n in zip(arrays, sizes, strict=True):
        index = index if isinstance(index, Tensor) else np.asarray(index)
        if (
            not isinstance(index, Tensor)
            and index.size
            and not -n <= index.min() <= index.max() < n
        ):
            raise ShapeError(
                f"an index is outside the axis of size {n}: {index.min()}..{index.max()}"
            )
        flat = add(mul(flat, n), where(less(index, 0), add(index, n), index))
    picked = take(reshape(x, (product(sizes), *shape_of(x)[len(axes) :])), flat)
    if not neighbors or axes[0] == 0:
        return picked
    new = len(shape_of(picked)) - len(others)
    order = list(range(new, new + axes[0])) + list(range(new))
    return transpose(picked, order + list(range(new + axes[0], len(shape_of(picked)))))
