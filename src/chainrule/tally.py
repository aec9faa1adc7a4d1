"""What the steps of an epoch gave, until a row of the history is made of it.

>>> tally = Tally(steps=3)
>>> tally.add(Steps(1, [0.5, 0.4], [1.0, 3.0], [0.1, 0.1], [20, 10]))
>>> tally.done, round(tally.losses()["loss"], 4), tally.rates()
(2, 0.4667, {'learning_rate': 0.1, 'gradient_norm': 2.0})
"""

from typing import Any, NamedTuple

import numpy as np

from chainrule.graph import Array


class Steps(NamedTuple):
    """Some steps that were done: the number of the first, and what each gave.

    `squares` are those of its statistics, if it was looked at.
    """

    first: int
    losses: Any
    norms: Any
    rates: Any
    counts: Any
    penalties: Any = None
    squares: Any = None


class Tally:
    """The steps that an epoch has done; its sums do not depend on how many were done at once."""

    def __init__(self, steps: int, *, penalized: bool = False) -> None:
        self.done = 0
        self.columns = np.zeros((4 + penalized, steps))

    def add(self, steps: Steps) -> None:
        """Take in steps that follow those before."""
        begin, self.done = self.done, self.done + len(steps.losses)
        given = (steps.losses, steps.norms, steps.rates, steps.counts, steps.penalties)
        for column, numbers in zip(self.columns, given, strict=False):
            column[begin : self.done] = numbers

    def losses(self) -> dict[str, float]:
        """Give the means over the rows that were learned from."""
        losses, _, _, counts, *penalties = self.columns[:, : self.done]
        columns = dict(zip(("loss", "penalty"), (losses, *penalties), strict=False))
        rows = float(counts.sum())
        return {name: float((column * counts).sum()) / rows for name, column in columns.items()}

    def rates(self) -> dict[str, float]:
        """Give the last learning rate, and the mean length of the gradient."""
        _, norms, rates, *_ = self.columns[:, : self.done]
        return {"learning_rate": float(rates[-1]), "gradient_norm": float(norms.sum()) / self.done}

    def clear(self) -> None:
        """Begin the next epoch."""
        self.done = 0

    def state(self) -> Array:
        """Give what a checkpoint in the middle of an epoch needs."""
        return self.columns[:, : self.done].copy()

    def restore(self, state: Array) -> None:
        """Go on from a checkpoint."""
        self.done = state.shape[1]
        self.columns[:, : self.done] = state
