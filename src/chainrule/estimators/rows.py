"""Rows as a multiset: equal rows count, their order does not.

>>> repeated(np.array([2.0, 0.0, 1.0]))
array([0, 0, 2])
>>> a = np.array([[3.0], [1.0], [2.0]])
>>> bool((a[canonical_order(a)] == a[::-1][canonical_order(a[::-1])]).all())
True
"""

from typing import Any

import numpy as np

from chainrule.errors import need
from chainrule.graph import Array


def repeated(weight: Array) -> Array | None:
    """Give row numbers that repeat each row by its weight, if all weights are whole numbers.

    None if one is not, or if that made the rows more than four times as many (and over 1,000):
    then the weights go into the loss instead.
    """
    if np.any(weight != np.floor(weight)) or weight.sum() > max(1000, 4 * len(weight)):
        return None
    return np.repeat(np.arange(len(weight)), weight.astype(np.int64))


def take_rows(table: Any, indices: Array) -> Any:
    """Give rows of an array, a list, a sparse matrix, or any data frame."""
    if isinstance(table, np.ndarray):
        return table[indices]
    if hasattr(table, "tocsr"):
        return table.tocsr()[indices]
    if isinstance(table, list | tuple):
        return [table[i] for i in indices]
    if isinstance(table, dict):
        return {name: [column[i] for i in indices] for name, column in table.items()}
    narwhals = need("narwhals", extra="sklearn", why="to take rows of a data frame")
    frame = narwhals.from_native(table, allow_series=True, pass_through=True)
    if frame is table:  # no data frame: something that NumPy understands
        return np.asarray(table)[indices]
    return narwhals.to_native(frame[indices.tolist()])


def first_column(table: Any) -> Any:
    """Give something that is as long as a table has rows: a dictionary is not."""
    return next(iter(table.values()), []) if isinstance(table, dict) else table


def canonical_order(*arrays: Array | None) -> Array:
    """Give an order of the rows that depends on what they hold, not on where they stand."""
    present = [np.ascontiguousarray(a) for a in arrays if a is not None and a.size]
    total = np.zeros(len(present[0]), np.uint64)
    position = 0
    for array in present:
        for column in array.reshape(len(array), -1).T:
            position += 1
            bits = np.ascontiguousarray(column, np.float64).view(np.uint64) + np.uint64(position)
            total += _mixed(bits * np.uint64(2 * position + 1))
    return np.argsort(total, kind="stable")


def _mixed(z: Array) -> Array:
    """Scramble bits (SplitMix64: Steele et al., 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return z ^ (z >> np.uint64(31))  # type: ignore[no-any-return]


def dealt(n: int, members: int, seed: int, labels: Array | None = None) -> Array:
    """Deal rows like cards: 1.0 at (row, member) where the member goes without the row.

    With labels the rows of each class are dealt evenly.

    >>> dealt(4, 2, seed=0).sum(axis=0)
    array([2., 2.], dtype=float32)
    """
    order = np.random.default_rng(seed).permutation(n)
    if labels is not None:
        order = order[np.argsort(np.ravel(labels)[order], kind="stable")]
    out = np.zeros((n, members), np.float32)
    out[order, np.arange(n) % members] = 1
    return out
