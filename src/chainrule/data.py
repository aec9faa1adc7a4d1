"""Rows in order: batches with seeded shuffling, and splits into training and validation rows.

>>> from chainrule.data import Rows, split
>>> rows = Rows((np.arange(5.0).reshape(5, 1),), np.arange(5))
>>> [len(target) for _, target, _ in rows.batches(2)]
[2, 2, 1]
>>> train, held_out = split(10, 0.2, seed=0)
>>> len(train), len(held_out), set(train) & set(held_out)
(8, 2, set())
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.graph import Array


@dataclass(frozen=True)
class Rows:
    """Inputs, targets and weights whose first axis counts the same rows."""

    inputs: tuple[Array, ...]
    target: Array
    weight: Array | None = None

    def __post_init__(self) -> None:
        counts = {"target": len(self.target)}
        counts |= {f"input {i}": len(x) for i, x in enumerate(self.inputs)}
        if self.weight is not None:
            counts["weight"] = len(self.weight)
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {n}" for name, n in counts.items())
            raise ShapeError(f"the numbers of rows differ: {listed}")

    def __len__(self) -> int:
        return len(self.target)

    def take(self, indices: Array) -> "Rows":
        """Give the rows of these numbers; sparse rows stay sparse."""
        weight = None if self.weight is None else self.weight[indices]
        inputs = tuple(x.take(indices, axis=0) for x in self.inputs)
        return Rows(inputs, self.target[indices], weight)

    def batches(
        self, size: int, order: Array | None = None, first: int = 0
    ) -> Iterator[tuple[tuple[Array, ...], Array, Array | None]]:
        """Give batch after batch from number `first` on, in the order given.

        The last may be shorter.
        """
        for start in range(first * size, len(self), size):
            chosen: Any = slice(start, start + size)
            if order is not None:
                chosen = order[chosen]
            weight = None if self.weight is None else self.weight[chosen]
            yield tuple(x[chosen] for x in self.inputs), self.target[chosen], weight


def epoch_order(n: int, seed: int, epoch: int) -> Array:
    """Give the order of the rows in an epoch, which depends on the seed and the epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def split(
    n: int, share: float, *, seed: Any = None, labels: Array | None = None
) -> tuple[Array, Array]:
    """Divide row numbers at random into (training, held out).

    With `labels`, every class gives the same share (a stratified split), as far as it goes.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share={share}: expected the share of held-out rows, between 0 and 1")
    rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
    held = int(np.ceil(n * share))
    if held >= n:
        raise DataError(f"{n} rows are too few to hold out a share of {share}")
    order = rng.permutation(n)
    if labels is not None:
        # Spread each class evenly over [0, 1); the first `held` rows by that rank are held out.
        classes, codes = np.unique(labels, return_inverse=True)
        rank = np.empty(n)
        for code in range(len(classes)):
            members = order[codes[order] == code]
            rank[members] = (np.arange(len(members)) + rng.random()) / len(members)
        order = np.argsort(rank, kind="stable")
    return np.sort(order[held:]), np.sort(order[:held])
