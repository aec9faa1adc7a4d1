"""Checks of what is given to a loss, with errors that name the row.

>>> check_range("mse", "values", np.array([1.0, np.nan]))
Traceback (most recent call last):
...
chainrule.errors.DataError: mse: nan in row 1 is not allowed; expected numbers finite
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.graph import Value, shape_of, value_of


def check_classes(name: str, given: Any, target: Value) -> None:
    """Raise unless targets are class numbers, or probabilities, that fit the predictions."""
    if len(given) < 2:
        raise ShapeError(f"{name}: predictions have shape {given}, expected (rows, classes)")
    if given[-1] == 1:
        raise ShapeError(
            f"{name}: softmax of one number is always 1, so one output unit cannot learn; use "
            "binary_cross_entropy_with_logits, or two units"
        )
    expected = shape_of(target)
    whole = np.dtype(target.dtype).kind in "iub"
    if whole and expected == given[:-1]:
        labels = value_of(target)
        if labels is not None and np.size(labels):
            wrong = np.argwhere((labels < 0) | (labels >= given[-1]))
            if len(wrong):
                at = tuple(int(i) for i in wrong[0])
                raise DataError(
                    f"{name}: target {labels[at]} in row {at[0]} is outside the classes "
                    f"0 to {given[-1] - 1}"
                )
        return
    if expected != given:
        raise ShapeError(
            f"{name}: predictions have shape {given}, targets {np.dtype(target.dtype)}{expected}; "
            f"expected class numbers of shape {given[:-1]} or probabilities of shape {given}"
        )


_RANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "labels": (lambda t: (t >= 0) & (t <= 1), "between 0 and 1"),
    "signs": (lambda t: (t == 1) | (t == -1), "-1 or 1; for labels 0 and 1 pass 2 * y - 1"),
    "counts": (lambda t: t >= 0, "not negative"),
    "values": (np.isfinite, "finite"),
    "classes": (np.isfinite, "finite"),
}


def check_range(name: str, kind: str, values: Any) -> None:
    """Raise if a value is outside what the kind of target allows."""
    allowed, words = _RANGES[kind]
    wrong = np.argwhere(~allowed(values))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        row = f" in row {at[0]}" if at else ""
        raise DataError(f"{name}: {values[at]}{row} is not allowed; expected numbers {words}")


def check_smoothing(share: float) -> float:
    """Give a share of label smoothing, or say that it is none."""
    if not (isinstance(share, int | float) and 0 <= share < 1):
        raise ConfigError(f"label_smoothing={share!r}: expected a number of at least 0, below 1")
    return share
