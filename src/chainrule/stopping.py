"""When to stop: patience with the best weights restored, and a lower rate on a plateau.

>>> stop = EarlyStopping(patience=2, monitor="loss").start()
>>> for epoch, loss in enumerate([5, 4, 3, 3.1, 3.2, 2.9], start=1):
...     if stop.update(epoch, {"loss": loss}):
...         break
>>> epoch, stop.best_epoch, stop.best
(5, 3, 3)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ConfigError


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs without an improvement of more than `min_delta`.

    `monitor` names a column of the history: one that ends in "loss" is to fall, any other to
    rise. `restore_best` puts the weights of the best epoch back; `target` stops as soon as it is
    reached.
    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: str = "validation_loss"
    restore_best: bool = True
    target: float | None = None

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"EarlyStopping(patience={self.patience}): expected at least 1")

    def start(self, columns: Sequence[str] | None = None) -> "Watch":
        """Begin to watch; `columns` are those that the history will have."""
        if columns is not None and self.monitor not in columns:
            raise ConfigError(
                f"EarlyStopping(monitor={self.monitor!r}): the history will have only "
                f"{', '.join(columns)}; pass validation data, or monitor='loss'"
            )
        return Watch(self)


class Watch:
    """An `EarlyStopping` at work: the best value so far, and for how long there was no better."""

    def __init__(self, rule: EarlyStopping) -> None:
        self.rule = rule
        self.falling = rule.monitor.endswith("loss")
        self.best = np.inf if self.falling else -np.inf
        self.best_epoch: int | None = None
        self.waited = 0
        self.reached = False

    def update(self, epoch: int, row: Mapping[str, float]) -> bool:
        """Take in the row of an epoch; say whether patience has run out."""
        value = row[self.rule.monitor]
        gain = self.best - value if self.falling else value - self.best
        # The first value counts as an improvement over nothing, NaN never does.
        self.waited = 0 if gain > self.rule.min_delta else self.waited + 1
        if gain > 0:
            self.best, self.best_epoch = value, epoch
        if self.rule.target is not None:
            self.reached = value <= self.rule.target if self.falling else value >= self.rule.target
        return self.reached or self.waited >= self.rule.patience

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint needs."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.waited = state["waited"]


@dataclass(frozen=True)
class ReduceOnPlateau:
    """When patience has run out, multiply the rate by `factor` and wait again.

    Training stops when the rate has fallen to `minimum`. The values are scikit-learn's for
    `learning_rate="adaptive"`.
    """

    factor: float = 0.2
    minimum: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ConfigError(f"ReduceOnPlateau(factor={self.factor}): expected 0 < factor < 1")
