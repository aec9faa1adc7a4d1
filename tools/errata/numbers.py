"""Numbers for the page: compared with what is expected, and written with as many digits.

>>> same(2 / 3, "0.667")
'0.667'
>>> same([1 / 3, 2 / 3], "0.33 0.67")
'(0.33, 0.67)'
>>> same(2 / 3, "0.666")
Traceback (most recent call last):
...
tools.errata.numbers.DisagreementError: computed 0.6666666666666666, expected 0.666
"""

import math
from typing import Any

import numpy as np


class DisagreementError(AssertionError):
    """A number is not what the errata say."""


def same(value: Any, expected: str) -> str:
    """Write a number with the digits of `expected`, from which it must not differ.

    Numbers of a vector are separated by blanks, rows of a matrix by semicolons.
    """
    array = np.asarray(value, dtype=float)
    if array.ndim == 0:
        return _written(float(array), expected)
    parts = expected.split(";") if array.ndim == 2 else expected.split()
    if len(parts) != len(array):
        raise DisagreementError(f"computed {array.tolist()}, expected {expected}")
    inside = ", ".join(same(x, part.strip()) for x, part in zip(array, parts, strict=True))
    return f"[{inside}]" if array.ndim == 2 else f"({inside})"


def _written(value: float, expected: str) -> str:
    goal = float(expected)
    if not math.isfinite(goal):
        if str(value) != str(goal):
            raise DisagreementError(f"computed {value}, expected {expected}")
        return str(value)
    mantissa, _, exponent = expected.partition("e")
    digits = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - digits)
    if not abs(value - goal) <= 0.51 * unit:
        raise DisagreementError(f"computed {value}, expected {expected}")
    shown = f"{value:.{digits}{'e' if exponent else 'f'}}"
    if exponent:
        mantissa, _, exponent = shown.partition("e")
        shown = f"{mantissa}e{int(exponent)}"
    return shown.lstrip("-") if float(shown) == 0 else shown


def below(value: Any, limit: float) -> str:
    """Say that numbers are at most `limit` in size, for those that are rounding alone."""
    largest = float(np.max(np.abs(value)))
    if not largest <= limit:
        raise DisagreementError(f"computed {largest}, expected at most {limit}")
    return f"at most {limit:g}"


def near(value: float, expected: float, share: float, digits: int = 3) -> str:
    """Write a number that must be within a share of `expected`, as one from random data is."""
    if not abs(value - expected) <= share * abs(expected):
        raise DisagreementError(f"computed {value}, expected {expected} to a share of {share}")
    return f"{value:.{digits}f}"


def holds(condition: Any, words: str) -> str:
    """Say the words if the condition is true."""
    if not np.all(condition):
        raise DisagreementError(f"it is not so that {words}")
    return words


def quotient(f: Any, x: Any, h: float = 1e-6) -> Any:
    """Give the central difference quotient of a function of one number or array element-wise."""
    return (f(x + h) - f(x - h)) / (2 * h)
