"""What is to be predicted: classes or numbers, told from the target column.

>>> infer_task([1.5, 2.25, 8.0])
('regression', 'numbers with fractions')
"""

from typing import Any, Literal

import numpy as np

from chainrule.cells import Cells
from chainrule.errors import DataError, ShapeError
from chainrule.frames import read_targets

Task = Literal["binary", "multiclass", "regression"]

MOST_CLASSES = 20
"""Whole numbers with more different values than this are quantities, not names of classes."""

ROWS_PER_CLASS = 5
"""Whole numbers with fewer rows than this per value are quantities, not names of classes."""

FRACTIONS = "numbers with fractions"
"""The reason why a target cannot be classes."""


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


def check_class_rows(cells: Cells) -> None:
    """Refuse classes that are met less than twice on average, such as names of people."""
    n, known = len(cells.distinct()[0]), int((~cells.missing).sum())
    if 2 * n > known and n > 2:
        raise DataError(
            f"{n:,} different classes in {known:,} rows: to learn a class takes several rows of it"
        )


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
