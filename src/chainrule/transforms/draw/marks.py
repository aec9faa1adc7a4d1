"""What a picture says of the numbers of a node: value, gradient, and whether something is wrong.

>>> number(0.25), number(-1234.5678), number(1e-7), number(float("nan"))
('0.25', '−1235', '1e−07', 'nan')
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.graph import Array

DIGITS = 4
NO_GRADIENT = "no gradient"


def number(x: float, digits: int = DIGITS) -> str:
    """Write a number with so many significant digits.

    >>> number(123456.0), number(12345.6), number(0.30000000000000004)
    ('1.235e+05', '12346', '0.3')
    """
    text = f"{x:.{digits}g}"
    if "e+" in text and abs(x) < 1e5:
        text = f"{x:.0f}"
    return text.replace("-", "−")


def value_text(value: Any) -> str:
    """Write a scalar as it is, of an array mean and standard deviation.

    >>> value_text(0.5), value_text(np.array([1.0, 3.0])), value_text(np.zeros(0))
    ('0.5', '2 ± 1', 'empty')
    """
    array = np.asarray(value)
    if not array.size:
        return "empty"
    if array.size == 1:
        array = array.reshape(())
        return str(array) if array.dtype == bool else number(array.item())
    with np.errstate(all="ignore"):
        exact = array.astype(np.float64)
        return f"{number(exact.mean())} ± {number(exact.std())}"


def gradient_text(gradient: Array | None) -> str:
    """Write the gradient of a scalar as it is, of an array its norm.

    >>> gradient_text(np.array(-0.5)), gradient_text(np.array([3.0, 4.0])), gradient_text(None)
    ('−0.5', '‖5‖', 'no gradient')
    """
    if gradient is None:
        return NO_GRADIENT
    if np.size(gradient) == 1:
        return number(np.asarray(gradient).item())
    return f"‖{number(norm(gradient))}‖"


def norm(array: Any) -> float:
    """Give the root of the sum of squares, in double precision."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.sum(np.square(np.asarray(array, dtype=np.float64)))))


def alarm(value: Any, inputs: Iterable[Any]) -> str:
    """Say that numbers are not finite, or all zero although nothing they are made of is.

    >>> alarm(np.array([1.0, np.inf]), [])
    'not finite'
    >>> alarm(np.zeros(2), [np.array([-1.0, -2.0])]), alarm(np.zeros(2), [np.zeros(2), 1.0])
    ('all zero', '')
    """
    array = np.asarray(value)
    if array.dtype.kind != "f" or not array.size:
        return ""
    if not np.isfinite(array).all():
        return "not finite"
    made_of = list(inputs)
    if made_of and not array.any() and all(np.any(x) for x in made_of):
        return "all zero"
    return ""
