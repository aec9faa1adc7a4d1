"""Which activation, loss and optimizer to start with for a task, and why.

>>> advice = advise("multiclass", rows=344, columns=7, independent_features=5)
>>> advice.output_activation, advice.hidden_activation, advice.loss, advice.optimizers
('softmax', 'relu', 'cross_entropy', ('adam', 'sgd'))
>>> print(advice.reasons["optimizers"])
5 independent features, less than 20: adam converges with little tuning, and sgd is able to as well
>>> infer_task([1.5, 2.25, 8.0])
('regression', 'numbers with fractions')

This is a starting point by rules of thumb, not a result: measure it against something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from chainrule.cells import Cells
from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.frames import read_targets
from chainrule.graph import Array

Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["table", "image", "sequence"]

MANY_FEATURES = 20
"""Independent features from which on there are "more" of them.

A squared or logistic loss of a linear net has one direction of curvature for each. Up to about 20
one step size that suits all is found by hand; beyond, steps of a size of their own for each weight
(Adam, RMSprop) are what needs no search.
"""

LARGE_ROWS = 10_000
"""Rows from which on a data set is "large".

Benchmarks of tables call 10,000 rows "medium-sized" (Grinsztajn et al., 2022), and a small net has
about as many weights: with fewer rows than weights the noise of single rows is what limits it, not
the speed of the optimizer.
"""

MOST_CLASSES = 20
"""Whole numbers with more different values than this are quantities, not names of classes."""

ROWS_PER_CLASS = 5
"""Whole numbers with fewer rows than this per value are quantities, not names of classes."""

FRACTIONS = "numbers with fractions"
"""The reason why a target cannot be classes."""

MOST_DEAD = 0.2
"""Share of units that never fire, from which on ReLU is replaced by one that cannot die."""


@dataclass(frozen=True)
class Advice:
    """What to start with; the names are those of `chainrule`'s registries.

    `output_activation` is what the outputs mean; a loss "from logits" has it inside, and the net
    ends in a linear layer. `reasons` has a line for each of the other fields.
    """

    output_activation: str
    hidden_activation: str
    loss: str
    optimizers: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)


_OUTPUTS = {
    "regression": (
        "none",
        "mse",
        "numbers of either sign and any size; a ReLU there could never be negative",
        "the mean squared error is least at the mean of what may happen",
    ),
    "binary": (
        "sigmoid",
        "binary_cross_entropy_with_logits",
        "one number becomes the probability of the second class",
        "the likelihood of the labels; it takes logits, the sigmoid is inside it",
    ),
    "multiclass": (
        "softmax",
        "cross_entropy",
        "the numbers become probabilities that add up to 1",
        "the likelihood of the labels; it takes logits, the softmax is inside it",
    ),
}


def advise(
    task: Task,
    rows: int,
    columns: int,
    *,
    independent_features: float | None = None,
    kind: Kind = "table",
    dead_units: float = 0.0,
) -> Advice:
    """Give activations, loss and optimizers for a task, each with its reason.

    `rows` and `columns` count the training data. What makes a difference to the optimizers is the
    number of independent features (`effective_rank`; without it, all columns count) for a table
    with several classes or numbers as targets, and the number of rows for two classes, images and
    sequences. `dead_units` is the share of units of a first attempt that never fire.

    >>> advise("binary", rows=50_000, columns=30).optimizers
    ('adam', 'rmsprop')
    >>> advise("regression", rows=500, columns=10, dead_units=0.4).hidden_activation
    'leaky_relu'
    """
    if task not in _OUTPUTS:
        raise ConfigError(f"task={task!r}: expected one of {', '.join(_OUTPUTS)}")
    if kind not in ("table", "image", "sequence"):
        raise ConfigError(f"kind={kind!r}: expected 'table', 'image' or 'sequence'")
    if rows < 1 or columns < 1:
        raise ConfigError(f"rows={rows}, columns={columns}: expected at least 1 of both")
    output, loss, why_output, why_loss = _OUTPUTS[task]
    hidden, why_hidden = _hidden(dead_units)
    if kind == "table" and task != "binary":
        n = columns if independent_features is None else independent_features
        optimizers, why_optimizers = _by_features(n)
    else:
        optimizers, why_optimizers = _by_rows(rows)
    reasons = {
        "output_activation": why_output,
        "hidden_activation": why_hidden,
        "loss": why_loss,
        "optimizers": why_optimizers,
    }
    return Advice(output, hidden, loss, optimizers, reasons)


def _hidden(dead_units: float) -> tuple[str, str]:
    if not 0 <= dead_units <= 1:
        raise ConfigError(f"dead_units={dead_units}: expected a share between 0 and 1")
    if dead_units > MOST_DEAD:
        return "leaky_relu", f"{dead_units:.0%} of the units never fire; this one has a slope there"
    return "relu", "cheap, and its slope of 1 keeps gradients alive through many layers"


def _by_features(n: float) -> tuple[tuple[str, ...], str]:
    n = float(f"{n:.3g}")  # as it is shown
    shown = f"{n:g} independent features"
    if n >= MANY_FEATURES:
        why = f"{shown}, {MANY_FEATURES} or more: a step size of its own for each weight pays"
        return ("adam", "rmsprop"), why
    why = f"{shown}, less than {MANY_FEATURES}: {_SMALL}"
    return ("adam", "sgd"), why


def _by_rows(rows: int) -> tuple[tuple[str, ...], str]:
    shown = f"{rows:,} rows"
    if rows >= LARGE_ROWS:
        why = f"{shown}, {LARGE_ROWS:,} or more: a step size of its own for each weight pays"
        return ("adam", "rmsprop"), why
    return ("adam", "sgd"), f"{shown}, less than {LARGE_ROWS:,}: {_SMALL}"


_SMALL = "adam converges with little tuning, and sgd is able to as well"


def effective_rank(X: Any) -> float:
    """Estimate the number of independent features: how many directions the rows spread in.

    ``exp(-sum(p * log(p)))`` with ``p`` the squared singular values of the standardized columns,
    divided by their sum: the number of columns if they are uncorrelated, less if some repeat
    others. Missing numbers count as the mean of their column; constant columns count nothing.

    Source: Roy and Vetterli (2007), there without the squares.

    >>> x = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> round(effective_rank(x), 6)
    2.0
    >>> round(effective_rank(np.column_stack([x[:, 0], x[:, 0], -3 * x[:, 0]])), 6)
    1.0
    """
    values = np.array(X, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ShapeError(
            f"X has shape {values.shape}: expected (rows, columns), at least 1 of both"
        )
    infinite = np.isinf(values)
    if infinite.any():
        row, column = np.argwhere(infinite)[0].tolist()
        raise DataError(f"X is {values[row, column]} in row {row}, column {column} (from 0)")
    scaled = _standardized(values)
    # The smaller of the two products of the matrix with itself has the same eigenvalues.
    product = scaled.T @ scaled if scaled.shape[0] > scaled.shape[1] else scaled @ scaled.T
    power = np.clip(np.linalg.eigvalsh(product), 0, None)
    if power.sum() == 0:
        return 0.0
    share = power / power.sum()
    share = share[share > 1e-12]
    return float(np.exp(-np.sum(share * np.log(share))))


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


def infer_task(y: Any) -> tuple[Task, str]:
    """Tell from a raw target column what is to be predicted, and why.

    Text, categories and booleans are classes. Numbers with fractions are numbers. Whole numbers
    are classes if there are two of them, or up to 20 different ones with at least 5 rows each on
    average. Missing targets are passed over; a `DataError` refuses a column with fewer than two
    different values.

    >>> infer_task(["yes", "no", None, "yes"])
    ('binary', 'text with 2 different values')
    >>> infer_task([0, 1, 2] * 10)
    ('multiclass', 'whole numbers with 3 different values, on average in 10 rows each')
    >>> infer_task(range(30))
    ('regression', 'whole numbers with 30 different values')
    """
    columns, one_vector = read_targets(list(y) if isinstance(y, range) else y)
    if not one_vector:
        raise ShapeError(f"a target is one column, this has {len(columns)}")
    return task_of_cells(columns[0])


def task_of_cells(cells: Cells) -> tuple[Task, str]:
    """Do what `infer_task` does, for a column that was read already."""
    values, codes = cells.distinct()
    n, rows = len(values), int(np.sum(codes >= 0))
    if n < 2:
        found = f"only the value {values[0]!r}" if values else "no value in any row"
        raise DataError(f"the target has {found}: there is nothing to tell apart")
    classes: Task = "binary" if n == 2 else "multiclass"
    if cells.kind != "number":
        what = "true and false" if cells.kind == "boolean" else "text"
        return classes, f"{what} with {n} different values" if what == "text" else what
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        return "regression", FRACTIONS
    shown = f"whole numbers with {n} different values"
    if n == 2 or (n <= MOST_CLASSES and rows >= ROWS_PER_CLASS * n):
        return classes, f"{shown}, on average in {rows / n:.3g} rows each"
    return "regression", shown
