"""Normalization: activations of mean 0 and variance 1, over the batch or within each row.

>>> BatchNorm1d(2)(np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 10.0]])).detach().numpy().round(4)
array([[-1.2247, -1.2247],
       [ 0.    ,  0.    ],
       [ 1.2247,  1.2247]])
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from chainrule import functional, ops
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import Tensor, Value, no_grad, shape_of
from chainrule.nn.checks import check_memory, check_number, check_size
from chainrule.nn.module import Buffer, Module, Parameter, register


class _BatchNorm(Module):
    """What batch normalization of rows and of images have in common."""

    symbol: ClassVar[str] = "u"

    places: ClassVar[tuple[str, ...]]

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ) -> None:
        check_size("num_features", num_features)
        check_memory(num_features)
        check_number("eps", eps)
        check_number("momentum", momentum, 1)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(np.ones(num_features)) if affine else None
        self.bias = Parameter(np.zeros(num_features)) if affine else None
        self.running_mean = Buffer(np.zeros(num_features, np.float32))
        self.running_var = Buffer(np.ones(num_features, np.float32))
        self.num_batches_tracked = Buffer(np.int64(0))

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Set scale 1, shift 0, and running statistics to mean 0 and variance 1."""
        _assign_ones(self.weight, self.running_var)
        _assign_zeros(self.bias, self.running_mean, self.num_batches_tracked)
        return self

    def forward(self, x: Value) -> Value:
        """Normalize, scale and shift."""
        shape = shape_of(x)
        known = [f"(rows, {self.num_features}{places})" for places in self.places]
        if len(shape) not in [text.count(",") + 1 for text in known] or (
            shape[1] != self.num_features
        ):
            raise ShapeError(
                f"{type(self).__name__}({self.num_features}) got an input of shape {shape}; "
                f"expected {' or '.join(known)}"
            )
        per_channel = (1, self.num_features, *[1] * (len(shape) - 2))
        axes = (0, *range(2, len(shape)))
        if self.training:
            y = self._by_batch(x, axes)
        else:
            mean = ops.reshape(self.running_mean.latest(), per_channel)
            variance = ops.reshape(self.running_var.latest(), per_channel)
            y = ops.div(ops.sub(x, mean), ops.sqrt(ops.add(variance, self.eps)))
        if self.weight is None or self.bias is None:
            return y
        scale, shift = ops.reshape(self.weight, per_channel), ops.reshape(self.bias, per_channel)
        return ops.add(ops.mul(y, scale), shift)

    def _by_batch(self, x: Value, axes: tuple[int, ...]) -> Value:
        n = ops.count(x, axes)
        if isinstance(n, float) and n < 2:
            raise ShapeError(
                f"{type(self).__name__} in training needs more than one value per channel, got an "
                f"input of shape {shape_of(x)}: use larger batches, or model.eval()"
            )
        y, mean, variance = functional.normalize(x, axes, self.eps)
        unbiased = ops.mul(variance, ops.div(n, ops.sub(n, 1.0)))
        self._track(self.running_mean, mean)
        self._track(self.running_var, unbiased)
        counted = ops.add(self.num_batches_tracked.latest(), np.ones((), np.int64))
        self.num_batches_tracked.assign(counted)
        return y

    def _track(self, running: Buffer, new: Value) -> None:
        new = ops.reshape(ops.stop_gradient(new), running.shape)
        kept = ops.mul(running.latest(), 1 - self.momentum)
        running.assign(ops.add(kept, ops.mul(new, self.momentum)))

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {
            "num_features": self.num_features,
            "eps": self.eps,
            "momentum": self.momentum,
            "affine": self.weight is not None,
        }

    def extra_repr(self) -> str:
        """Give the number of channels."""
        return f"{self.num_features}"


@register
class BatchNorm1d(_BatchNorm):
    """Normalize each channel by the mean and variance of the batch (Ioffe and Szegedy, 2015).

    Input (rows, channels) or (rows, channels, length). In training the running statistics move
    by `momentum` towards those of the batch (the variance divided by count - 1, as in PyTorch);
    when predicting they are used instead.
    """

    places = ("", ", length")


@register
class BatchNorm2d(_BatchNorm):
    """Normalize each channel of images (rows, channels, height, width), as `BatchNorm1d` does.

    >>> BatchNorm2d(3)(np.zeros((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    places = (", height, width",)


@register
class GroupNorm(Module):
    """Normalize groups of channels of each row: (rows, channels, *places) (Wu and He, 2018).

    One group is layer normalization over channels and places, a group per channel is instance
    normalization. The scale and shift are one per channel.

    >>> GroupNorm(2, 4)(np.zeros((3, 4, 5))).shape
    (3, 4, 5)
    """

    symbol: ClassVar[str] = "u"

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        check_size("num_groups", num_groups)
        check_size("num_channels", num_channels)
        check_memory(num_channels)
        check_number("eps", eps)
        if num_channels % num_groups:
            raise ConfigError(f"GroupNorm: {num_channels} channels do not fall into {num_groups} "
                              "equal groups")  # fmt: skip
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(np.ones(num_channels)) if affine else None
        self.bias = Parameter(np.zeros(num_channels)) if affine else None

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Set scale 1 and shift 0."""
        _assign_ones(self.weight)
        _assign_zeros(self.bias)
        return self

    def forward(self, x: Value) -> Value:
        """Normalize each group of each row, scale and shift."""
        shape = shape_of(x)
        if len(shape) < 2 or shape[1] != self.num_channels:
            raise ShapeError(
                f"GroupNorm({self.num_groups}, {self.num_channels}) got an input of shape {shape}; "
                f"expected (rows, {self.num_channels}, ...)"
            )
        size = self.num_channels // self.num_groups
        grouped = ops.reshape(x, (shape[0], self.num_groups, size, *shape[2:]))
        y = functional.normalize(grouped, tuple(range(2, len(shape) + 1)), self.eps)[0]
        y = ops.reshape(y, shape)
        if self.weight is None or self.bias is None:
            return y
        per_channel = (1, self.num_channels, *[1] * (len(shape) - 2))
        y = ops.mul(y, ops.reshape(self.weight, per_channel))
        return ops.add(y, ops.reshape(self.bias, per_channel))

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {
            "num_groups": self.num_groups,
            "num_channels": self.num_channels,
            "eps": self.eps,
            "affine": self.weight is not None,
        }

    def extra_repr(self) -> str:
        """Give the sizes."""
        return f"{self.num_groups}, {self.num_channels}"


@register
class LayerNorm(Module):
    """Normalize each row by its own mean and variance (Ba et al., 2016)."""

    symbol: ClassVar[str] = "u"

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        sizes = [normalized_shape] if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(int(n) for n in sizes)
        check_memory(math.prod(self.normalized_shape))
        check_number("eps", eps)
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape)) if elementwise_affine else None
        shifted = elementwise_affine and bias
        self.bias = Parameter(np.zeros(self.normalized_shape)) if shifted else None

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Set scale 1 and shift 0."""
        _assign_ones(self.weight)
        _assign_zeros(self.bias)
        return self

    def forward(self, x: Value) -> Value:
        """Normalize over the last axes, scale and shift."""
        n = len(self.normalized_shape)
        shape = shape_of(x)
        if shape[len(shape) - n :] != self.normalized_shape:
            raise ShapeError(
                f"LayerNorm({self.normalized_shape}) got an input of shape {shape}; its last axes "
                f"must be {self.normalized_shape}"
            )
        y = functional.normalize(x, tuple(range(-n, 0)), self.eps)[0]
        y = y if self.weight is None else ops.mul(y, self.weight)
        return y if self.bias is None else ops.add(y, self.bias)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {
            "normalized_shape": list(self.normalized_shape),
            "eps": self.eps,
            "elementwise_affine": self.weight is not None,
            "bias": self.bias is not None,
        }

    def extra_repr(self) -> str:
        """Give the shape of what is normalized."""
        return ", ".join(map(str, self.normalized_shape))


def has_batch_statistics(model: Module) -> bool:
    """Say whether a layer of the model keeps running statistics of batches."""
    return bool(_tracking(model))


def _tracking(model: Module) -> list[Any]:
    return [m for _, m in model.named_modules() if hasattr(m, "running_var")]


def update_bn(model: Module, inputs: Any, *, batch_size: int = 256) -> None:
    """Compute the running statistics of batch normalization anew, for the weights of now.

    They become the means, weighted by rows, of the statistics of the batches in one pass over
    `inputs`, an array or a tuple of arrays; dropout is off. Needed after weights were averaged,
    whose activations have other means and variances (Izmailov et al., 2018). A last batch of a
    single row is left out.

    >>> from chainrule import nn
    >>> model = nn.Sequential(nn.BatchNorm1d(1))
    >>> update_bn(model, np.array([[1.0], [2.0], [3.0], [6.0]]), batch_size=2)
    >>> model[0].running_mean, model[0].running_var
    (tensor([3.]), tensor([2.5]))
    """
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    layers, modes = _tracking(model), [(m, m.training) for _, m in model.named_modules()]
    momenta = [layer.momentum for layer in layers]
    rows, seen = len(parts[0]), 0
    try:
        model.eval()
        for layer in layers:
            layer.training = True
        with no_grad():
            for start in range(0, rows, batch_size):
                batch = [x[start : start + batch_size] for x in parts]
                if start and len(batch[0]) < 2:
                    break
                seen += len(batch[0])
                for layer in layers:
                    layer.momentum = len(batch[0]) / seen
                model(*batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, mode in modes:
            module.training = mode


def _assign_ones(*tensors: Tensor | None) -> None:
    with no_grad():
        for x in tensors:
            if x is not None:
                x.assign(np.ones(x.shape))


def _assign_zeros(*tensors: Tensor | None) -> None:
    with no_grad():
        for x in tensors:
            if x is not None:
                x.assign(np.zeros(x.shape))
