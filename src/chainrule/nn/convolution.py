"""Convolution: the same small weights for every place of a signal or an image.

>>> Conv2d(1, 6, 5, padding=2, seed=0)(np.zeros((3, 1, 28, 28))).shape
(3, 6, 28, 28)
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from chainrule import ops
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import Value, no_grad, shape_of
from chainrule.nn.checks import check_memory, check_size
from chainrule.nn.init import generator, get_initializer
from chainrule.nn.module import Module, Parameter, register
from chainrule.ops.convolution import Pads, pads_of
from chainrule.ops.windows import per_axis

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""Names of PyTorch for what stands beyond the edge, and NumPy's."""


class _Conv(Module):
    """What convolutions along any number of axes have in common."""

    symbol: ClassVar[str] = "z"

    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        init: str | Callable[..., Any] = "auto",
        seed: Any = None,
    ) -> None:
        check_size("in_channels", in_channels)
        check_size("out_channels", out_channels)
        check_size("groups", groups)
        name = type(self).__name__
        if in_channels % groups or out_channels % groups:
            raise ConfigError(f"{name}: {in_channels} and {out_channels} channels in {groups} "
                              "groups; expected multiples of the number of groups")  # fmt: skip
        if padding_mode not in ("zeros", *_MODES):
            known = ", ".join(["zeros", *_MODES])
            raise ConfigError(f"{name}: padding_mode={padding_mode!r}, expected one of {known}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(kernel_size, self.axes, f"{name}: kernel_size", 1)
        self.stride = per_axis(stride, self.axes, f"{name}: stride", 1)
        self.dilation = per_axis(dilation, self.axes, f"{name}: dilation", 1)
        self.padding, self.padding_mode, self.init = padding, padding_mode, init
        self.pads = self._pads()
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        check_memory(int(np.prod(shape)))
        self.weight = Parameter(np.zeros(shape))
        self.bias = Parameter(np.zeros(out_channels)) if bias else None
        self.initialize(seed)

    def _pads(self) -> Pads:
        """Give the padding before and after each axis."""
        if self.padding == "valid":
            return pads_of(0, self.axes)
        if self.padding != "same":
            return pads_of(self.padding, self.axes)
        if any(n != 1 for n in self.stride):
            raise ConfigError(f"{type(self).__name__}: padding='same' keeps the number of places, "
                              f"which needs stride=1; got stride={self.stride}")  # fmt: skip
        totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return tuple((n // 2, n - n // 2) for n in totals)

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw the kernels to match the activation, and set the bias to 0."""
        draw = get_initializer(self.init, activation)
        with no_grad():
            self.weight.assign(draw(self.weight.shape, generator(seed)))
            if self.bias is not None:
                self.bias.assign(np.zeros(self.out_channels))
        return self

    def forward(self, x: Value) -> Value:
        """Convolve x (rows, channels, *places), or (channels, *places) alone."""
        shape = shape_of(x)
        if len(shape) == self.axes + 1:
            return ops.reshape(y := self.forward(ops.reshape(x, (1, *shape))), shape_of(y)[1:])
        if len(shape) != self.axes + 2 or shape[1] != self.in_channels:
            places = ", ".join(["length"] if self.axes == 1 else ["height", "width"])
            raise ShapeError(f"{self} got an input of shape {list(shape)}; expected "
                             f"(rows, {self.in_channels}, {places})")  # fmt: skip
        pads = self.pads
        if self.padding_mode != "zeros":
            x, pads = self._beyond_the_edge(x), pads_of(0, self.axes)
        y = ops.conv(x, self.weight, self.stride, pads, self.dilation, self.groups)
        if self.bias is None:
            return y
        return ops.add(y, ops.reshape(self.bias, (1, self.out_channels, *[1] * self.axes)))

    def _beyond_the_edge(self, x: Value) -> Value:
        for axis, pair in enumerate(self.pads, start=2):
            n = int(shape_of(x)[axis])
            most = n - 1 if self.padding_mode == "reflect" else n
            if max(pair) > most and self.padding_mode != "replicate":
                raise ShapeError(f"{self}: padding {pair} is too large to {self.padding_mode} "
                                 f"{n} places; expected at most {most}")  # fmt: skip
            if any(pair):
                places: Any = np.pad(np.arange(n), pair, mode=_MODES[self.padding_mode])  # type: ignore[call-overload]
                x = ops.take(x, places, axis)
        return x

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation",
                 "groups", "padding_mode")  # fmt: skip
        plain = {name: getattr(self, name) for name in names}
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
        return listed | {"bias": self.bias is not None}

    def extra_repr(self) -> str:
        """Give the sizes, and what is not as usual."""
        words = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        usual = {"stride": (1,) * self.axes, "padding": 0, "dilation": (1,) * self.axes,
                 "groups": 1, "padding_mode": "zeros"}  # fmt: skip
        words += [f"{k}={getattr(self, k)!r}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join(words + ["bias=False"] * (self.bias is None))


@register
class Conv1d(_Conv):
    """Convolve along one axis: x (rows, in_channels, length), as in PyTorch (LeCun et al., 1989).

    W has shape (out_channels, in_channels / groups, kernel_size). `padding` is a number, "same"
    or "valid"; `padding_mode` says what stands there: "zeros", "reflect", "replicate", "circular".

    >>> Conv1d(2, 3, 5, stride=2, seed=0)(np.zeros((4, 2, 11))).shape
    (4, 3, 4)
    """

    axes = 1


@register
class Conv2d(_Conv):
    """Convolve images: x (rows, in_channels, height, width), as in PyTorch (LeCun et al., 1989).

    W has shape (out_channels, in_channels / groups, *kernel_size); sizes, stride, padding and
    dilation are numbers or pairs; padding may be "same" or "valid".

    >>> Conv2d(3, 8, (3, 5), padding="same", seed=0)(np.zeros((2, 3, 9, 9))).shape
    (2, 8, 9, 9)
    """

    axes = 2
