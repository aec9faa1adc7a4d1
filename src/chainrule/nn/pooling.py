"""Layers that take one number from each window: pooling, and flattening what is left.

>>> import numpy as np
>>> MaxPool2d(2)(np.zeros((3, 6, 28, 28))).shape, Flatten()(np.zeros((3, 6, 4, 4))).shape
((3, 6, 14, 14), (3, 96))
"""

from typing import Any, ClassVar

from chainrule import ops, pooling
from chainrule.dims import product
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import Value, shape_of
from chainrule.nn.module import Module, register
from chainrule.ops.windows import per_axis


class _Pool(Module):
    """What layers over windows have in common."""

    symbol: ClassVar[str] = "p"
    axes: ClassVar[int]
    names: ClassVar[tuple[str, ...]]

    def _set(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        name = type(self).__name__
        self.kernel_size = per_axis(kernel_size, self.axes, f"{name}: kernel_size", 1)
        given = self.kernel_size if stride is None else stride
        self.stride = per_axis(given, self.axes, f"{name}: stride", 1)
        self.padding = per_axis(padding, self.axes, f"{name}: padding", 0)
        pooling.check_padding(self.kernel_size, self.padding)
        self.ceil_mode = ceil_mode

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        given = {name: getattr(self, name) for name in self.names}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}

    def extra_repr(self) -> str:
        """Give the arguments of the constructor."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.names)

    def _check(self, x: Value) -> None:
        ndim = len(shape_of(x))
        if ndim not in (self.axes + 1, self.axes + 2):
            places = "length" if self.axes == 1 else "height, width"
            raise ShapeError(f"{self} got an input of shape {list(shape_of(x))}; expected "
                             f"(rows, channels, {places})")  # fmt: skip


class _MaxPool(_Pool):
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self._set(kernel_size, stride, padding, ceil_mode)
        self.dilation = per_axis(dilation, self.axes, f"{type(self).__name__}: dilation", 1)

    def forward(self, x: Value) -> Value:
        """Take the largest element of each window."""
        self._check(x)
        return pooling.max_pool(
            x, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode
        )


class _AvgPool(_Pool):
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Value) -> Value:
        """Take the mean of each window."""
        self._check(x)
        return pooling.avg_pool(
            x, self.kernel_size, self.stride, self.padding,
            ceil_mode=self.ceil_mode, count_include_pad=self.count_include_pad,
        )  # fmt: skip


class _Adaptive(_Pool):
    names = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        several = output_size if isinstance(output_size, tuple | list) else None
        sizes = (output_size,) * self.axes if several is None else tuple(several)
        known = [1 if n is None else n for n in sizes]
        per_axis(known, self.axes, f"{type(self).__name__}: output_size", 1)
        self.output_size = sizes


class _AdaptiveAvgPool(_Adaptive):
    def forward(self, x: Value) -> Value:
        """Take the mean of each part."""
        self._check(x)
        return pooling.adaptive_avg_pool(x, self.output_size)


class _AdaptiveMaxPool(_Adaptive):
    def forward(self, x: Value) -> Value:
        """Take the largest element of each part."""
        self._check(x)
        return pooling.adaptive_max_pool(x, self.output_size)


@register
class MaxPool1d(_MaxPool):
    """Largest element of each window of x (rows, channels, length); see `pooling.max_pool`."""

    axes = 1


@register
class MaxPool2d(_MaxPool):
    """Largest element of each window of x (rows, channels, height, width); see `pooling.max_pool`.

    >>> import numpy as np
    >>> MaxPool2d(2)(np.arange(16.0).reshape(1, 4, 4)).tolist()
    [[[5.0, 7.0], [13.0, 15.0]]]
    """

    axes = 2


@register
class AvgPool1d(_AvgPool):
    """Mean of each window of x (rows, channels, length); see `pooling.avg_pool`."""

    axes = 1


@register
class AvgPool2d(_AvgPool):
    """Mean of each window of x (rows, channels, height, width); see `pooling.avg_pool`."""

    axes = 2


@register
class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of `output_size` parts of the length; 1 is global average pooling."""

    axes = 1


@register
class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of `output_size` parts of height and width; 1 is global average pooling.

    >>> import numpy as np
    >>> AdaptiveAvgPool2d(1)(np.arange(16.0).reshape(1, 4, 4)).tolist()
    [[[7.5]]]
    """

    axes = 2


@register
class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Largest elements of `output_size` parts of the length; 1 is global max pooling."""

    axes = 1


@register
class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Largest elements of `output_size` parts of height and width; 1 is global max pooling."""

    axes = 2


@register
class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` into one; by default all but the rows."""

    symbol: ClassVar[str] = "f"

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        for name, axis in (("start_dim", start_dim), ("end_dim", end_dim)):
            if isinstance(axis, bool) or not isinstance(axis, int):
                raise ConfigError(f"Flatten({name}={axis!r}): expected the number of an axis")
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Value) -> Value:
        """Join the axes."""
        shape = tuple(shape_of(x))
        start, end = (i + len(shape) if i < 0 else i for i in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < len(shape):
            raise ShapeError(f"{self} got an input of shape {list(shape)}, without these axes")
        joined = product(shape[start : end + 1])
        return ops.reshape(x, (*shape[:start], joined, *shape[end + 1 :]))

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {"start_dim": self.start_dim, "end_dim": self.end_dim}

    def extra_repr(self) -> str:
        """Give the axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
