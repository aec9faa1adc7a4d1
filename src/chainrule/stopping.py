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

    `monitor` names a column of the history. With `mode` "min" it is to fall, with "max" to rise;
    "auto" takes one that ends in "loss" or "norm" for falling, and any other for rising.

    * `restore_best` puts the weights of the best epoch back.
    * `min_epochs`: patience is not counted before that many epochs.
    * `max_rise` stops at once when the value is worse than the best by more than this share of
      it, such as 0.05: the generalization loss of Prechelt (1998).
    * `target` stops as soon as it is reached, such as a `gradient_norm` of 1e-6. With more than
      one batch that is the mean over batches, which does not go to 0.

    >>> stop = EarlyStopping(patience=10, max_rise=0.05, monitor="loss").start()
    >>> [stop.update(epoch, {"loss": loss}) for epoch, loss in enumerate([2.0, 2.05, 2.2])]
    [False, False, True]
    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: str = "validation_loss"
    restore_best: bool = True
    target: float | None = None
    mode: str = "auto"
    min_epochs: int = 0
    max_rise: float | None = None

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"EarlyStopping(patience={self.patience}): expected at least 1")
        if self.mode not in ("auto", "min", "max"):
            raise ConfigError(f"EarlyStopping(mode={self.mode!r}): expected 'auto', 'min' or 'max'")
        for name in ("min_delta", "min_epochs", "max_rise"):
            value = getattr(self, name)
            if not (value is None and name == "max_rise") and not (
                isinstance(value, int | float | np.number) and value >= 0
            ):
                raise ConfigError(
                    f"EarlyStopping({name}={value!r}): expected a number of at least 0"
                )

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
        own = "min" if rule.monitor.endswith(("loss", "norm")) else "max"
        self.falling = (own if rule.mode == "auto" else rule.mode) == "min"
        self.best = np.inf if self.falling else -np.inf
        self.best_epoch: int | None = None
        self.waited = 0
        self.ended = ""
        """Why there is nothing more to wait for, if that is so."""

    def update(self, epoch: int, row: Mapping[str, float]) -> bool:
        """Take in the row of an epoch; say whether patience has run out."""
        rule, value = self.rule, row[self.rule.monitor]
        gain = self.best - value if self.falling else value - self.best
        # The first value counts as an improvement over nothing, NaN never does.
        better = gain > rule.min_delta or epoch <= rule.min_epochs
        self.waited = 0 if better else self.waited + 1
        if gain > 0:
            self.best, self.best_epoch = value, epoch
        elif rule.max_rise is not None and -gain > rule.max_rise * abs(self.best):
            self.ended = "early stopping" if epoch > rule.min_epochs else ""
        if rule.target is not None and (
            value <= rule.target if self.falling else value >= rule.target
        ):
            self.ended = "target reached"
        return bool(self.ended) or self.waited >= rule.patience

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
