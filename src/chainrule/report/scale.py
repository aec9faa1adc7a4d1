"""Axes and numbers for people: ticks at 1, 2 and 5, three significant digits.

>>> ticks(0, 0.93)
[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
>>> number(0.94712), number(12345.6), number(-0.000123)
('.947', '12,346', '−1.23×10⁻⁴')
"""

import math
from collections.abc import Sequence
from itertools import pairwise

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NOTHING = "–"  # shown for a number that does not exist


def ticks(low: float, high: float, most: int = 6, whole: bool = False) -> list[float]:
    """Ticks from below `low` to above `high`, at multiples of 1, 2 or 5 times a power of ten.

    At most `most` + 1 of them, at least two. ``whole`` allows integers only.

    >>> ticks(3, 58), ticks(1, 3, whole=True)
    ([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0], [1.0, 2.0, 3.0])
    """
    if not high - low > 1e-12 * max(abs(low), abs(high), 1e-288):
        room = abs(low) * 0.1 if abs(low) > 1e-290 else 1.0
        low, high = low - room, high + room
    power = math.floor(math.log10((high - low) / most))
    if whole:
        power = max(power, 0)
    for factor in (1, 2, 5, 10, 20, 50):
        first = math.floor(_divide(low, factor, power) + 1e-9)
        last = math.ceil(_divide(high, factor, power) - 1e-9)
        if last - first <= most:
            break
    return [_multiply(index * factor, power) for index in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Ticks of a logarithmic axis from below `low` to above `high`, both positive.

    Powers of ten, or 1, 2 and 5 times them where the range is short.

    >>> log_ticks(0.004, 3), log_ticks(0.3, 1.5)
    ([0.001, 0.01, 0.1, 1.0, 10.0], [0.2, 0.5, 1.0, 2.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors, step in (((1, 2, 5), 1), ((1,), 1), ((1,), 1 + len(powers) // most)):
        steps = range(powers[0], powers[-1] + step + 1, step)
        candidates = [_multiply(factor, power) for power in steps for factor in factors]
        first = max(index for index, tick in enumerate(candidates) if tick <= low * (1 + 1e-9))
        last = min(index for index, tick in enumerate(candidates) if tick >= high * (1 - 1e-9))
        if last - first <= most:
            break
    return candidates[first : max(last, first + 1) + 1]


def labels(values: Sequence[float], log: bool = False) -> list[str]:
    """Label ticks: with the decimals of their distance, or each with its own on a log axis.

    >>> labels([0.0, 0.5, 1.0]), labels([0.01, 1.0, 1000.0], log=True), labels([0.0, 2e7])
    (['0', '.5', '1.0'], ['.01', '1', '1,000'], ['0', '2×10⁷'])
    """
    largest = max(abs(value) for value in values)
    if log or largest >= 1e6 or largest < 1e-3:
        return [_brief(value) for value in values]
    step = min((b - a for a, b in pairwise(values)), default=1.0)
    decimals = max(math.ceil(-math.log10(step) - 1e-9), 0)
    return ["0" if value == 0 else _trim(f"{value:,.{decimals}f}") for value in values]


def number(value: float | None) -> str:
    """Write a number with three significant digits; integers whole.

    >>> number(98.46), number(0.5), number(3.0), number(2.5e9), number(None), number(float("inf"))
    ('98.5', '.500', '3', '2.50×10⁹', '–', '∞')
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e6:
        return _trim(f"{value:,.0f}")
    mantissa, exponent = f"{value:.2e}".split("e")
    power = int(exponent)
    if -4 < power < 6:
        return _trim(f"{value:,.{max(2 - power, 0)}f}")
    return _trim(mantissa) + "×10" + str(power).translate(_SUPERSCRIPT)


def score(value: float | None) -> str:
    """Write a score with three decimals, so that a column of them lines up.

    >>> score(0.98529), score(1.0), score(-0.25), score(123.4), score(None)
    ('.985', '1.000', '−.250', '123', '–')
    """
    if value is None or not math.isfinite(value) or abs(value) >= 10:
        return number(value)
    return _trim(f"{value:.3f}".replace("-0.000", "0.000"))


def percent(share: float) -> str:
    """Write a share in percent; neither all nor nothing unless it is.

    >>> percent(0.98529), percent(1.0), percent(0.99999), percent(0.0001)
    ('98.5\u202f%', '100\u202f%', '> 99.9\u202f%', '< 0.1\u202f%')
    """
    if math.isnan(share):
        return NOTHING
    if 0 < share < 0.0005:
        return "< 0.1\u202f%"
    if 0.9995 <= share < 1:
        return "> 99.9\u202f%"
    text = f"{100 * share:,.1f}".removesuffix(".0") if share in (0, 1) else f"{100 * share:,.1f}"
    return text.replace("-", "−") + "\u202f%"


def _brief(value: float) -> str:
    """Write a tick with as few digits as it has."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return _trim(f"{value:,.15g}")
    mantissa, exponent = f"{value:.14e}".split("e")
    digits = _trim(mantissa.rstrip("0").rstrip("."))
    factor = {"1": "", "−1": "−"}.get(digits, digits + "×")
    return f"{factor}10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def _divide(value: float, factor: int, power: int) -> float:
    return value / factor / 10.0**power if power >= 0 else value / factor * 10.0**-power


def _multiply(value: int, power: int) -> float:
    return float(value * 10**power) if power >= 0 else value / 10**-power


def _trim(text: str) -> str:
    """Write 0.5 as .5 and -1 with a minus sign."""
    sign, digits = ("−", text[1:]) if text.startswith("-") else ("", text)
    return sign + (digits[1:] if digits.startswith("0.") else digits)
