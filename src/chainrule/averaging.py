"""Averages of the weights of a training, which validate and are what remains.

`train(..., average=0.999)` keeps an exponential moving average, `average=SWA()` the plain mean of
the weights at the ends of late epochs.

>>> from chainrule import nn, train
>>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
>>> model = nn.mlp([1, 8, 1], "tanh", batch_norm=True, seed=0)
>>> history = train(model, "mse", x, x**2, average=SWA(start=0.5), epochs=10, seed=0)
>>> history.reason
'epochs'
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data import Rows
from chainrule.errors import ConfigError
from chainrule.graph import Array, Tensor
from chainrule.nn.module import Module
from chainrule.nn.normalization import has_batch_statistics, update_bn


@dataclass(frozen=True)
class SWA:
    """Stochastic weight averaging: the mean of the weights at the ends of epochs.

    mean = mean + (w - mean) / n, from epoch `start` on (a share of all epochs where it is below 1),
    after every `every`-th epoch. The running statistics of batch normalization are computed anew
    for the mean, in a pass over the training rows. It pays with a rate that stays high until the
    end, so that the weights travel around a wide minimum (Izmailov et al., 2018).

    >>> SWA(start=0.75).first(100), SWA(start=60).first(100)
    (76, 60)
    """

    start: float = 0.75
    every: int = 1

    def __post_init__(self) -> None:
        whole = isinstance(self.start, int | np.integer) and self.start >= 1
        if isinstance(self.start, bool) or not (
            whole or (isinstance(self.start, float | int) and 0 <= self.start < 1)
        ):
            raise ConfigError(
                f"SWA(start={self.start!r}): expected an epoch, or a share of all epochs below 1"
            )
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise ConfigError(f"SWA(every={self.every!r}): expected a whole number of at least 1")

    def first(self, epochs: int) -> int:
        """Give the first epoch whose weights take part."""
        return int(self.start) if self.start >= 1 else int(self.start * epochs) + 1


def check_average(given: Any, epochs: int) -> None:
    """Raise unless this says how to average."""
    if given is None or (isinstance(given, int | float) and 0 < given < 1):
        return
    if not isinstance(given, SWA):
        raise ConfigError(
            f"average={given!r}: expected a number between 0 and 1, such as 0.999, or "
            "chainrule.SWA(start=0.75)"
        )
    if given.first(epochs) > epochs:
        raise ConfigError(f"average={given}: training ends before, after {epochs} epochs")


class Average:
    """The averaged weights of a training, None before there are any."""

    def __init__(self, rule: float | SWA | None, parameters: Sequence[Tensor], epochs: int) -> None:
        self.beta = None if isinstance(rule, SWA) else rule
        self.swa = rule if isinstance(rule, SWA) else None
        self.first = self.swa.first(epochs) if self.swa else 0
        self.parameters = parameters
        self.mean: list[Array] | None = None
        self._began = -1

    def keep(self, t: Array) -> Array:
        """Say how much the moving average keeps in steps t: it follows closely at the start."""
        assert self.beta is not None
        if self.mean is None:
            self._began = int(t[0])
        return np.where(t == self._began, 0.0, np.minimum(self.beta, t / (t + 9)))

    def step(self, t: int) -> None:
        """Take the weights after step t into the moving average."""
        if self.beta is None:
            return
        now = [p.value for p in self.parameters]
        if self.mean is None:
            self.mean = [np.array(x) for x in now]
            return
        share = 1 - min(self.beta, t / (t + 9))
        self._move(now, share)

    def epoch(self, epoch: int) -> None:
        """Take the weights at the end of an epoch into the mean."""
        if self.swa is None or epoch < self.first or (epoch - self.first) % self.swa.every:
            return
        now = [np.array(p.value) for p in self.parameters]
        if self.mean is None:
            self.mean = now
            return
        self._move(now, 1 / ((epoch - self.first) // self.swa.every + 1))

    def _move(self, now: list[Array], share: float) -> None:
        assert self.mean is not None
        self.mean = [
            m + np.asarray(share, m.dtype) * (v - m) if v.dtype.kind == "f" else v
            for m, v in zip(self.mean, now, strict=True)
        ]

    def put(self, model: Module, rows: Rows, batch_size: int) -> None:
        """Put the average into the model, with the batch statistics of `SWA`, to stay."""
        if self.mean is None:
            return
        for p, value in zip(self.parameters, self.mean, strict=True):
            p.renew(value)
        if self.swa is not None and has_batch_statistics(model):
            with np.errstate(all="ignore"):  # the loss says what is not finite
                update_bn(model, rows.inputs, batch_size=batch_size)

    @contextmanager
    def shown(self, model: Module, rows: Rows, batch_size: int) -> Iterator[None]:
        """Put the average into the model for a while."""
        if self.mean is None:
            yield
            return
        tensors = [*self.parameters, *(b for _, b in model.named_buffers())]
        before = [x.value for x in tensors]
        self.put(model, rows, batch_size)
        try:
            yield
        finally:
            for x, value in zip(tensors, before, strict=True):
                x.renew(value)
