"""Over- or underfitting, told from the curves of a training.

The rules and their limits: a single epoch says nothing, since curves are noisy. Overfitting takes
a validation loss far above its best for several epochs, and a training loss that went on falling.
"""

from typing import Literal, NamedTuple

import numpy as np

from chainrule.errors import ConfigError
from chainrule.graph import Array
from chainrule.history import History

FEWEST = 5
"""Epochs that are needed to say anything, and for which the validation loss must be worse."""

RISEN, FALLEN = 1.2, 0.8
"""How far above its best the validation loss is, and below its own then the training loss."""

STEEP = 0.02
"""Share by which a loss that still falls does so in the last quarter of the epochs."""

POOR = 0.9
"""Share of the loss of a simple model, or of the first epoch, that a net should fall below."""


class Verdict(NamedTuple):
    """What the curves say, and why."""

    kind: Literal["overfitting", "underfitting", "still learning", "fits", "too short"]
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}"


def verdict(history: History, *, baseline: float | None = None) -> Verdict:
    """Say whether a training over- or underfitted, should go on, or went well.

    `baseline` is the loss of a simple model, such as a linear one, on the training rows; without it
    a loss that hardly fell counts as underfitting.

    >>> rows = [{"loss": 0.7} for _ in range(10)]
    >>> verdict(History(rows)).kind
    'underfitting'
    """
    if baseline is not None and not baseline > 0:
        raise ConfigError(f"baseline={baseline!r}: expected the loss of a simple model, above 0")
    if len(history) < FEWEST:
        return Verdict("too short", f"{len(history)} epochs; expected at least {FEWEST}")
    loss = np.array(history["loss"], float)
    validation = np.full(len(loss), np.nan)
    if "validation_loss" in history.columns():
        validation = np.array(history["validation_loss"], float)
    over = _overfits(loss, validation)
    if over is not None:
        return over
    judged = validation if np.isfinite(validation).sum() >= FEWEST else loss
    seen = judged[np.isfinite(judged)]
    if len(seen) < FEWEST:
        return Verdict("too short", "fewer than 5 epochs have a loss that is finite")
    before = seen[: -max(len(seen) // 4, 1)].min()
    if seen[-max(len(seen) // 4, 1) :].min() < before * (1 - STEEP):
        share = 1 - seen.min() / before
        return Verdict("still learning", f"in the last quarter of the epochs the loss fell by "
                       f"{share:.0%} more: train longer")  # fmt: skip
    limit = POOR * (loss[np.isfinite(loss)][0] if baseline is None else baseline)
    least = float(np.nanmin(loss))
    if least > limit:
        what = "its first value" if baseline is None else "that of the simple model"
        return Verdict("underfitting", f"the loss of the training rows ends at {least:.3g}, hardly "
                       f"below {what}, {limit / POOR:.3g}: another rate, more units, or other "
                       "inputs")  # fmt: skip
    return Verdict("fits", f"the loss of the training rows came down to {least:.3g} and levels off")


def _overfits(loss: Array, validation: Array) -> Verdict | None:
    looked = np.flatnonzero(np.isfinite(validation))
    if len(looked) < FEWEST + 1:
        return None
    best = looked[np.argmin(validation[looked])]
    last = looked[-FEWEST:]
    worse = best < last[0] and bool(np.all(validation[last] > RISEN * validation[best]))
    if not worse or not loss[last[-1]] < FALLEN * loss[best]:
        return None
    end = last[-1]
    return Verdict(
        "overfitting",
        f"since epoch {best + 1} the loss of the training rows fell from {loss[best]:.3g} to "
        f"{loss[end]:.3g}, that of the validation rows rose from {validation[best]:.3g} to "
        f"{validation[end]:.3g}: keep the weights of epoch {best + 1} (early stopping), or take "
        "more rows, a penalty, dropout, or fewer units",
    )
