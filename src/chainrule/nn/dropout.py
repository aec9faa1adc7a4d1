"""Dropout: of single elements, of whole channels, of whole rows of a sequence.

>>> from chainrule import nn
>>> words = nn.Dropout(0.5, shared=-1, seed=3).train()  # x is (rows, time, features)
>>> words(np.ones((1, 4, 3)))[0]
tensor([[2., 2., 2.],
        [2., 2., 2.],
        [2., 2., 2.],
        [0., 0., 0.]])
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from chainrule import functional, ops
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import Value, shape_of
from chainrule.nn.init import generator
from chainrule.nn.module import Buffer, Module, register


@register
class Dropout(Module):
    """Set each element to 0 with probability p in training, and scale the rest by 1 / (1 - p).

    What is dropped depends on a counter that starts at the seed: the same seed drops the same.
    Elements along the axes `shared` are dropped together: of x (rows, time, features), -1 drops
    whole times, and 1 the same features at all times (Gal and Ghahramani, 2016).
    """

    symbol: ClassVar[str] = "d"

    def __init__(
        self, p: float = 0.5, *, shared: int | Sequence[int] = (), seed: Any = None
    ) -> None:
        if not 0 <= p <= 1:
            raise ConfigError(
                f"{type(self).__name__}(p={p}): expected a probability between 0 and 1"
            )
        self.p = p
        self.shared = (shared,) if isinstance(shared, int) else tuple(shared)
        self.key = Buffer(np.uint64(0), persistent=False)
        self.initialize(seed)

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Start the counter at a random number."""
        self.key.assign(generator(seed).integers(2**63, dtype=np.uint64))
        return self

    def forward(self, x: Value) -> Value:
        """Drop in training, and leave x as it is otherwise."""
        if not self.training or self.p == 0:
            return x
        key = self.key.latest()
        dropped = functional.dropout(x, self.p, key, self.shared)  # before the counter moves on
        self.key.assign(ops.add(key, np.ones((), np.uint64)))
        return dropped

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {"p": self.p} | ({"shared": list(self.shared)} if self.shared else {})

    def extra_repr(self) -> str:
        """Give the probability, and the axes that are dropped together."""
        return f"p={self.p}" + (f", shared={list(self.shared)}" if self.shared else "")


class _ChannelDropout(Dropout):
    """Dropout of whole channels: the axes after them are shared."""

    axes: tuple[str, ...]

    def __init__(self, p: float = 0.5, *, seed: Any = None) -> None:
        super().__init__(p, shared=range(-len(self.axes), 0), seed=seed)

    def forward(self, x: Value) -> Value:
        """Drop whole channels in training, and leave x as it is otherwise."""
        n, shape = len(self.axes), shape_of(x)
        if len(shape) not in (n + 1, n + 2):
            sizes = ", ".join(self.axes)
            raise ShapeError(
                f"{type(self).__name__} got an input of shape {shape}; expected "
                f"(rows, channels, {sizes}) or (channels, {sizes})"
            )
        return super().forward(x)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {"p": self.p}

    def extra_repr(self) -> str:
        """Give the probability."""
        return f"p={self.p}"


@register
class Dropout1d(_ChannelDropout):
    """Set whole channels of x (rows, channels, length) to 0 (Tompson et al., 2015).

    Neighbors in a channel are much alike, so that dropping single ones takes little away.

    >>> Dropout1d(0.5, seed=0).train()(np.ones((1, 3, 2)))[0]
    tensor([[2., 2.],
            [2., 2.],
            [0., 0.]])
    """

    axes = ("length",)


@register
class Dropout2d(_ChannelDropout):
    """Set whole channels of x (rows, channels, height, width) to 0 (Tompson et al., 2015)."""

    axes = ("height", "width")
