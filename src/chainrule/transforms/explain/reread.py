"""What was printed, read back: every line with numbers is computed again, as a reader would.

A printed number stands for all numbers that are rounded to it. So a line is computed in intervals,
and must leave room for the next one.

>>> wrong_lines(["z = x + y", "  = 0.1 + 0.26", "  = 0.36"])
[]
>>> wrong_lines(["z = x + y", "  = 0.1 + 0.26", "  = 0.37"])
['0.1 + 0.26 = 0.37']
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(
    r"\s*(\d+(?:\.\d*)?(?:e[+-]?\d+)?|inf|nan|if|else|and|or|not|[A-Za-zσΦ_]+|.)", re.DOTALL
)


class Interval(NamedTuple):
    """All numbers between two."""

    low: float
    high: float

    def touches(self, other: "Interval") -> bool:
        """Whether some number is in both; one that is not a number is in all."""
        if any(x != x for x in (*self, *other)):
            return True
        room = 1e-9 * max(abs(self.low), abs(self.high), abs(other.low), abs(other.high), 1e-300)
        return self.low <= other.high + room and other.low <= self.high + room


def _over(f: Callable[..., float], *x: Interval) -> Interval:
    """Apply a function that rises or falls all the way, in each input."""
    ends = [()]
    for each in x:
        ends = [(*e, v) for e in ends for v in each]  # type: ignore[misc]
    values = []
    for e in ends:
        try:
            values.append(f(*e))
        except (OverflowError, ZeroDivisionError):
            values.append(math.inf)
        except ValueError:
            values.append(math.nan)
    if any(v != v for v in values):
        return Interval(math.nan, math.nan)
    return Interval(min(values), max(values))


def _divided(x: Interval, y: Interval) -> Interval:
    if y.low <= 0 <= y.high:
        return Interval(-math.inf, math.inf)
    return _over(lambda a, b: a / b, x, y)


def _power(x: Interval, y: Interval) -> Interval:
    if x.low < 0 < x.high and y.low == y.high and y.low % 2 == 0:
        return Interval(0.0, max(x.low**y.low, x.high**y.low))
    result = _over(lambda a, b: (a**b).real if a or b >= 0 else math.inf, x, y)
    return Interval(min(result), max(result))


def _whole(x: Interval) -> Interval:
    return Interval(-1.0, 1.0)


def _magnitude(x: Interval) -> Interval:
    ends = abs(x.low), abs(x.high)
    return Interval(0.0 if x.low <= 0 <= x.high else min(ends), max(ends))


def _silu(x: Interval) -> Interval:
    ends = _over(lambda v: v / (1 + math.exp(-v)), x)
    dips = x.low < -1.2785 < x.high
    return Interval(-0.2785 if dips else ends.low, ends.high)


def _sign(x: Interval) -> Interval:
    return Interval((x.low > 0) - (x.low < 0), (x.high > 0) - (x.high < 0))


FUNCTIONS: dict[str, Callable[..., Interval]] = {
    "σ": lambda x: _over(lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0, x),
    "exp": lambda x: _over(math.exp, x),
    "log": lambda x: _over(lambda v: math.log(v) if v > 0 else -math.inf, x),
    "tanh": lambda x: _over(math.tanh, x),
    "sin": _whole,
    "cos": _whole,
    "softplus": lambda x: _over(lambda v: max(v, 0.0) + math.log1p(math.exp(-abs(v))), x),
    "silu": _silu,
    "Φ": lambda x: _over(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), x),
    "√": lambda x: _over(lambda v: math.sqrt(max(v, 0.0)), x),
    "max": lambda *x: Interval(max(v.low for v in x), max(v.high for v in x)),
    "min": lambda *x: Interval(min(v.low for v in x), min(v.high for v in x)),
    "sign": _sign,
    "finite": lambda x: Interval(0.0, 1.0),
}


class _Reader:
    """Reads one formula of numbers."""

    def __init__(self, text: str) -> None:
        self.tokens = [m[1] for m in _TOKEN.finditer(text.replace("−", "-"))]
        self.at = 0

    def formula(self) -> Interval:
        result = self.sum()
        if self.at != len(self.tokens):
            raise ValueError(f"what does {self.tokens[self.at]!r} mean here?")
        return result

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise ValueError(f"expected {wanted or 'more'!r}, found {token!r}")
        self.at += 1
        return token

    def sum(self) -> Interval:
        result = self.product()
        while self.peek() in ("+", "-"):
            minus = self.take() == "-"
            x = self.product()
            x = Interval(-x.high, -x.low) if minus else x
            result = Interval(result.low + x.low, result.high + x.high)
        return result

    def product(self) -> Interval:
        result = self.signed()
        while self.peek() in ("·", "/"):
            divide = self.take() == "/"
            x = self.signed()
            result = _divided(result, x) if divide else _over(lambda a, b: a * b, result, x)
        return result

    def signed(self) -> Interval:
        if self.peek() == "-":
            self.take()
            x = self.signed()
            return Interval(-x.high, -x.low)
        base = self.atom()
        if self.peek() == "^":
            self.take()
            return _power(base, self.atom())
        return base

    def atom(self) -> Interval:
        token = self.take()
        if token[0].isdigit() or token in ("inf", "nan"):
            return _rounded(token)
        if token == "(":
            result = self.sum()
            if self.peek() == "if":
                result = self.choice(result)
            self.take(")")
            return result
        if token == "[":
            return self.bracket()
        if token in ("|", "⌊"):
            result = self.sum()
            self.take("|" if token == "|" else "⌋")
            return _magnitude(result) if token == "|" else _over(math.floor, result)
        if token in FUNCTIONS:
            self.take("(")
            arguments = [self.sum()]
            while self.peek() == ",":
                self.take()
                arguments.append(self.sum())
            self.take(")")
            return FUNCTIONS[token](*arguments)
        raise ValueError(f"what does {token!r} mean?")

    def choice(self, yes: Interval) -> Interval:
        self.take("if")
        condition = self.atom()
        self.take("else")
        no = self.sum()
        if condition.low == 1:
            return yes
        return no if condition.high == 0 else Interval(min(*yes, *no), max(*yes, *no))

    def bracket(self) -> Interval:
        """Read a statement: 1 if it must be true, 0 if it cannot be."""
        if self.peek() == "not":
            self.take()
            x = self.sum()
            self.take("]")
            return Interval(1 - bool(x.high), 1 - bool(x.low))
        left, sign, right = self.sum(), self.take(), self.sum()
        self.take("]")
        if sign in ("and", "or"):
            return FUNCTIONS["min" if sign == "and" else "max"](left, right)
        if sign in ("=", "≠"):
            same = Interval(left == right and left.low == left.high, left.touches(right))
            return same if sign == "=" else Interval(1 - same.high, 1 - same.low)
        if sign not in ("<", "≤"):
            raise ValueError(f"what does {sign!r} mean here?")
        return Interval(left.high < right.low, left.low <= right.high)


def _rounded(text: str) -> Interval:
    """Give the numbers that are rounded to this one; a whole number or few digits are exact."""
    x = float(text)
    mantissa, _, exponent = text.partition("e")
    digits = len(mantissa.replace(".", "").lstrip("0"))
    if not math.isfinite(x) or digits < 4:
        return Interval(x, x)
    places = len(mantissa.partition(".")[2])
    half = 0.5 * 10.0 ** (int(exponent or 0) - places)
    return Interval(x - half, x + half)


def value(text: str) -> Interval:
    """Compute a printed formula.

    >>> value("0.5·0.2 + max(0, −1)")
    Interval(low=0.1, high=0.1)
    """
    return _Reader(text).formula()


def wrong_lines(lines: Iterable[str]) -> list[str]:
    """Give the steps in which one printed line does not give the next."""
    wrong: list[str] = []
    for group in _groups(lines):
        for left, right in pairwise(group):
            try:
                if not value(left).touches(value(right)):
                    wrong.append(f"{left} = {right}")
            except ValueError as error:
                wrong.append(f"{left} = {right}: {error}")
    return wrong


def _groups(lines: Iterable[str]) -> Iterable[Sequence[str]]:
    """Give the lines of numbers of every equation: all but the one with names."""
    group: list[str] = []
    for line in lines:
        match = re.match(r"\s+[=≈] (.*)", line)
        if match:
            group.append(match[1])
            continue
        if len(group) > 1:
            yield group
        group = []
    if len(group) > 1:
        yield group


def results(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Give the name and the printed result of every equation.

    >>> results(["z[0] = x·y", "     = 2·0.5", "     = 1", "y = x W   2×1"])
    [('z[0]', '1')]
    """
    found = []
    for line, after in pairwise([*lines, ""]):
        head = re.match(r"(\S[^=]*?) = ", line)
        if head:
            name = head[1]
        step = re.match(r"\s+[=≈] (.*)", line)
        if step and not re.match(r"\s+[=≈] ", after):
            found.append((name, step[1]))
    return found


# LaTeX is turned into plain text before.

_PLAIN = [
    (r"\\left|\\right|\\,|\\text", ""), (r"\\cdot 10\^\{(-?\d+)\}", r"e\1"), (r" ?\\cdot ?", "·"),
    (r"\\sigma", "σ"), (r"\\Phi", "Φ"), (r"\\infty", "inf"), (r"\\le\b", "≤"), (r"\\ne\b", "≠"),
    (r"\\neg", "not"), (r"\\wedge", "and"), (r"\\vee", "or"), (r"\\lfloor", "⌊"),
    (r"\\rfloor", "⌋"), (r"\\(max|min|exp|log|tanh|sin|cos)", r"\1"), (r"\\mathrm\{(\w+)\}", r"\1"),
    (r" e(-?\d)", r"e\1"),
]  # fmt: skip


def plain(latex: str) -> str:
    r"""Write a formula of numbers in LaTeX as plain text.

    >>> plain(r"\frac{1}{2} \cdot \sigma\left(-0.5\right) + 1.2 \cdot 10^{-6}")
    '((1)/(2))·σ(-0.5) + 1.2e-6'
    """
    for pattern, text in _PLAIN:
        latex = re.sub(pattern, text, latex)
    while True:
        match = re.search(r"\\(frac|sqrt|begin\{cases\})|\^(?=\{)", latex)
        if match is None:
            return latex.replace("{", "").replace("}", "")
        start = match.end()
        if match[0] == r"\frac":
            top, middle = _braced(latex, start)
            bottom, end = _braced(latex, middle)
            new = f"(({top})/({bottom}))"
        elif match[0] == r"\sqrt":
            inner, end = _braced(latex, start)
            new = f"√({inner})"
        elif match[0] == "^":
            inner, end = _braced(latex, start)
            new = f"^({inner})"
        else:
            end = latex.index(r"\end{cases}", start)
            yes, condition, no = re.split(r" & | \\\\ ", latex[start:end].strip())[:3]
            new, end = f"({yes} if {condition} else {no})", end + len(r"\end{cases}")
        latex = latex[: match.start()] + new + latex[end:]


def _braced(text: str, start: int) -> tuple[str, int]:
    """Give what stands in the braces that open here, and the place after them."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[start + 1 : i], i + 1
    raise ValueError(f"a brace is not closed: {text[start:]}")
