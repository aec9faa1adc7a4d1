"""Rows and targets as an estimator of numbers takes them, and words for those that it does not.

scikit-learn checks shapes and features; what it lets pass, or refuses without naming the place,
is refused here by column and row.

>>> refuse_other_than_numbers(np.array([[1, "red"], [2, "blue"]], dtype=object))
Traceback (most recent call last):
...
chainrule.errors.DtypeError: column 1 of X, row 0 (counted from 0), holds 'red', which is no \
number: encode it, or use TabularClassifier or TabularRegressor, which take text and missing values
"""

from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.utils.validation import column_or_1d, validate_data

from chainrule.cells import shown
from chainrule.data import refuse_masked
from chainrule.errors import DataError, DtypeError
from chainrule.frames import read_frame
from chainrule.graph import Array

_REMEDY = (
    "encode it, or use TabularClassifier or TabularRegressor, which take text and missing values"
)
_MAKE_NUMBERS = "make numbers of them, such as days since a first day"
_ROWS: dict[str, Any] = {
    "accept_sparse": ["csr", "csc"],
    "dtype": (np.float64, np.float32),
    "ensure_all_finite": False,  # `refuse_not_finite` names the place
}


def validated(estimator: Any, X: Any, y: Any, *, reset: bool, **kwargs: Any) -> tuple[Any, Any]:
    """Check rows and targets: float32 and float64 stay, a column y is flat."""
    refuse_other_than_numbers(X)
    refuse_masked(y, "y")
    given = X
    X, y = validate_data(
        estimator,
        X,
        as_array(y),
        multi_output=True,
        y_numeric=is_regressor(estimator),
        reset=reset,
        **_ROWS,
        **kwargs,
    )
    refuse_not_finite(X, given)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    return X, y


def validated_rows(estimator: Any, X: Any, **kwargs: Any) -> Any:
    """Check rows to predict."""
    refuse_other_than_numbers(X)
    checked = validate_data(estimator, X, reset=False, **_ROWS, **kwargs)
    refuse_not_finite(checked, X)
    return checked


def as_array(y: Any) -> Any:
    """Give a list in which text stands beside numbers as objects: NumPy would make all of it text.

    >>> as_array(["a", 1])
    array(['a', 1], dtype=object)
    """
    if isinstance(y, list | tuple) and len({isinstance(value, str) for value in y}) == 2:
        return np.array(y, dtype=object)
    return y


def refuse_other_than_numbers(X: Any) -> None:
    """Raise if X is a masked array, or has a column of text, categories or dates, or bad names."""
    refuse_masked(X, "X")
    if hasattr(X, "tocsr"):
        return
    if hasattr(X, "columns"):
        _check_frame(X)
        return
    array = X if isinstance(X, np.ndarray) else np.asarray(X) if isinstance(X, list) else None
    if array is None or array.ndim != 2:
        return
    if array.dtype.kind in "mM":
        raise DtypeError(f"X holds dates or durations ({array.dtype}): {_MAKE_NUMBERS}")
    for position, column in enumerate(array.T if array.dtype.kind in "OU" else ()):
        _refuse_text(f"{position} of X", column)


def _check_frame(X: Any) -> None:
    frame = read_frame(X)  # refuses names that occur twice or are mixed
    for position, name in enumerate(frame.names):
        cells = frame.column(position)  # refuses dates and lists
        if cells.kind == "category":
            values, positions = cells.distinct()
            row = int(np.argmax(positions >= 0))
            raise DtypeError(
                f"column {name!r}, row {row} (counted from 0), holds "
                f"{shown(values[positions[row]])}, a category: {_REMEDY}"
            )


def _refuse_text(column: str, cells: Array) -> None:
    for row, value in enumerate(cells):
        if isinstance(value, str) and not _is_number(value):
            raise DtypeError(
                f"column {column}, row {row} (counted from 0), holds {str(value)!r}, which is no "
                f"number: {_REMEDY}"
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def refuse_not_finite(X: Any, given: Any) -> None:
    """Raise if checked rows hold NaN or infinity, and name the column as it was given."""
    values = X.data if hasattr(X, "tocsr") else X
    with np.errstate(all="ignore"):
        if np.isfinite(np.sum(values)) or np.isfinite(values).all():
            return
    if hasattr(X, "tocsr"):
        X = X.tocoo()
        first = int(np.argmax(~np.isfinite(X.data)))
        value, place = X.data[first], [int(X.row[first]), int(X.col[first])]
    else:
        place = np.argwhere(~np.isfinite(X))[0].tolist()
        value = X[tuple(place)]
    column = str(place[1:])[1:-1]
    if hasattr(given, "columns"):
        column = repr(read_frame(given).names[place[1]])
    where = f"in row {place[0]} (counted from 0), column {column}"
    if np.isnan(value):
        raise DataError(
            f"X contains NaN {where}: fill or drop missing values, or use TabularClassifier or "
            "TabularRegressor, which take them"
        )
    raise DataError(f"X contains infinity {where}, or a number beyond {X.dtype}: correct it")
