"""How many features are independent: numerical rank, effective rank, and columns that repeat.

>>> x = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
>>> X = np.column_stack([x, x.sum(axis=1), np.ones(4)])
>>> numerical_rank(X), round(effective_rank(X), 2)
(2, 1.97)
>>> repeated_columns(np.column_stack([x[:, 0], x[:, 1], 5 - 2 * x[:, 0]]))
[(0, 2)]

Columns are centered and scaled to the same norm first, so that units and shifts do not matter: a
constant column counts nothing, and a category of k values in k columns of 0 and 1 counts k - 1,
since each column follows from the others. Missing numbers count as the mean of their column.
"""

from typing import Any

import numpy as np

from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.graph import Array

SAME = 1e-6
"""How far from 1 the correlation of two columns may be that repeat each other."""


def numerical_rank(X: Any, rtol: float | None = None) -> int:
    """Count the directions in which the rows spread at all: the singular values above a tolerance.

    A singular value counts if it is above ``rtol`` times the largest; by default ``rtol`` is
    ``max(rows, columns)`` times the precision of float64, as in `numpy.linalg.matrix_rank`. Data
    that were rounded need more: 1e-5 for float32. A `ConfigError` refuses an ``rtol`` outside
    [0, 1).

    Source: Golub and Van Loan (2013), section 5.4.

    >>> a, b = np.random.default_rng(0).normal(size=(2, 50))
    >>> numerical_rank(np.column_stack([a, b, a + b, a]))
    2
    """
    values = _checked(X)
    if rtol is None:
        rtol = max(values.shape) * float(np.finfo(np.float64).eps)
    if not 0 <= rtol < 1:
        raise ConfigError(f"rtol={rtol}: expected a number from 0 up to 1, such as 1e-5")
    spread = np.linalg.svd(_standardized(values), compute_uv=False)
    return int(np.sum(spread > rtol * spread[0]))


def effective_rank(X: Any) -> float:
    """Estimate the number of independent features: how many directions the rows spread in.

    ``exp(-sum(p * log(p)))`` with ``p`` the singular values of the standardized columns, divided by
    their sum: the number of columns if they are uncorrelated, less if some repeat others. Where
    `numerical_rank` counts a direction or not, this one counts a narrow direction for little.

    Source: Roy and Vetterli (2007), "The effective rank: a measure of effective dimensionality".

    >>> x = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> round(effective_rank(x), 6)
    2.0
    >>> round(effective_rank(np.column_stack([x[:, 0], x[:, 0], -3 * x[:, 0]])), 6)
    1.0
    """
    spread = np.linalg.svd(_standardized(_checked(X)), compute_uv=False)
    if spread[0] == 0:
        return 0.0
    share = spread / spread.sum()
    share = share[share > 1e-12]
    return float(np.exp(-np.sum(share * np.log(share))))


def repeated_columns(X: Any) -> list[tuple[int, int]]:
    """List the columns that repeat an earlier one, up to unit and shift: (earlier, later).

    Two columns repeat each other if their correlation is 1 or -1, up to `SAME`. Of several copies
    each is listed with the first.

    >>> a, b = np.random.default_rng(0).normal(size=(2, 50))
    >>> repeated_columns(np.column_stack([a, b, -a, 3 * b + 1, a]))
    [(0, 2), (1, 3), (0, 4)]
    """
    scaled = _standardized(_checked(X))
    same = np.abs(scaled.T @ scaled) > 1 - SAME
    first = same.argmax(axis=0)  # a column that does not vary is like none, not even itself
    return [(int(i), j) for j, i in enumerate(first) if i < j and same[i, j]]


def _checked(X: Any) -> Array:
    values = np.array(X, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ShapeError(
            f"X has shape {values.shape}: expected (rows, columns), at least 1 of both"
        )
    infinite = np.isinf(values)
    if infinite.any():
        row, column = np.argwhere(infinite)[0].tolist()
        raise DataError(f"X is {values[row, column]} in row {row}, column {column} (from 0)")
    return values


def _standardized(values: Array) -> Array:
    """Give columns of mean 0 and norm 1; those that do not vary become 0."""
    largest = np.nanmax(np.abs(values), axis=0, initial=0.0, where=~np.isnan(values))
    values = values / np.where(largest > 0, largest, 1.0)
    known = ~np.isnan(values)
    total = np.sum(values, axis=0, where=known)
    centered = np.where(known, values - total / np.maximum(known.sum(axis=0), 1), 0.0)
    norm = np.sqrt(np.sum(centered**2, axis=0))
    varies = norm > 1e-9 * np.sqrt(len(values))  # a constant differs from its mean by rounding
    return np.where(varies, centered / np.where(varies, norm, 1.0), 0.0)
