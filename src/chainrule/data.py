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

from chainrule.errors import ConfigError, DataError, DtypeError, ShapeError
from chainrule.graph import Array, native


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


def as_rows(inputs: Any, target: Any, weight: Any = None) -> Rows:
    """Put inputs, targets and weights together; inputs may be an array or a tuple of arrays.

    Targets that are whole numbers have the dtype that compiled code reads.

    >>> as_rows(np.ones((2, 3)), np.array([0, 1], np.uint8)).target.dtype
    dtype('int64')
    """
    if isinstance(inputs, tuple):
        arrays = tuple(row_array(x, f"inputs[{i}]") for i, x in enumerate(inputs))
    else:
        arrays = (row_array(inputs, "inputs"),)
    weights = None if weight is None else weight_array(weight)
    targets = row_array(target, "target")
    if targets.dtype.kind in "iu":
        targets = targets.astype(np.int64, copy=False)
    return Rows(arrays, targets, weights)


def row_array(x: Any, name: str) -> Array:
    """Give rows as an array in the byte order of this machine.

    >>> row_array(np.ones(2, ">f4"), "target").dtype
    dtype('float32')
    """
    if hasattr(x, "tocsr"):
        raise ConfigError("sparse rows are for the estimators, such as MLPClassifier and "
                          "NetClassifier, which make them dense batch by batch")  # fmt: skip
    refuse_masked(x, name)
    array = np.asarray(x)
    if not array.ndim:
        kind = f"{x!r}" if x is None or isinstance(x, str) else f"of type {type(x).__name__}"
        raise DataError(f"{name} is {kind}: expected an array whose first axis counts the rows")
    return array.astype(native(array.dtype), copy=False)


def weight_array(weight: Any) -> Array:
    """Give weights of rows as an array of numbers."""
    array = row_array(weight, "weight")
    if array.dtype.kind not in "biuf":
        raise DtypeError(
            f"weight holds {array.dtype} data: expected a number for each row, such as "
            "weight=np.where(y == 1, 10.0, 1.0)"
        )
    return array


def refuse_masked(array: Any, name: str) -> None:
    """Raise if an array is masked: its hidden numbers would be learned from."""
    if isinstance(array, np.ma.MaskedArray):
        raise DtypeError(
            f"{name} is a masked array, which would lose its mask: pass {name}.filled(value)"
        )


def given_order(order: Any, n: int) -> Array:
    """Check the order that a function gave: the number of a row n times, repeats included."""
    found = np.asarray(order)
    expected = (
        f"expected {n} whole numbers from 0 to {n - 1}, since {n} rows are trained (those held out "
        f"for validation have no number), such as np.random.default_rng(epoch).permutation({n})"
    )
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise DataError(f"shuffle gave {found.dtype} data of shape {found.shape}: {expected}")
    wrong = found[(found < 0) | (found >= n)]
    if len(wrong):
        raise DataError(f"shuffle gave row {wrong[0]}: {expected}")
    return found


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
