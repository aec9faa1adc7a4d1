"""Expressions as text or LaTeX: in symbols, or with numbers in their place.

>>> from chainrule.transforms.explain.expression import Constant, product, total
>>> text = Script("text")
>>> text.write(product([Constant(2), total([Constant(0.25), Constant(-0.5)])]))
'−0.5'
>>> number(1.23456e-7, 4), number(12345.678, 4), number(0.1, 4), number(0.30001, 4)
('1.235e-07', '12346', '0.1', '0.3000')
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

import numpy as np

from chainrule.graph import Tensor
from chainrule.ops.notation import ATOM, PRODUCT, SIGN, SUM, Form
from chainrule.transforms.explain.expression import (
    Expression,
    Index,
    Ref,
    Rest,
    Written,
)

MINUS = {"text": "−", "latex": "-"}
Show = Literal["names", "numbers", "shapes"]

DOTS = {"text": "⋯", "latex": r"\cdots"}


def number(x: Any, digits: int) -> str:
    """Write a number with so many digits, in fixed notation from 1e-4 to 1e5.

    Zeros at the end stand where there are digits below, and are left out where there are none,
    but for rounding errors.
    """
    x = float(x)
    if not np.isfinite(x):
        return "nan" if x != x else "inf" if x > 0 else "-inf"
    if x == 0:
        return "0"
    if 1e-4 <= abs(x) < 1e5:
        places = max(digits - 1 - int(f"{x:.{digits - 1}e}".partition("e")[2]), 0)
        rounded = f"{x:.{places}f}"
        exact = abs(float(rounded) - x) <= 1e-12 * abs(x)
        return rounded.rstrip("0").rstrip(".") if exact and "." in rounded else rounded
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    if abs(float(f"{mantissa}e{exponent}") - x) <= 1e-12 * abs(x):
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{exponent}"


@dataclass(frozen=True)
class Name:
    """What a node is called; `@` marks where the index of an element goes.

    A `label` is the name in the user's program.
    """

    text: str
    latex: str
    label: str = ""


@dataclass
class Script:
    """A way to write: text or LaTeX, with the names of nodes, and digits of their numbers.

    The first index of the nodes in `single` is left out: they have a single row.
    """

    kind: Literal["text", "latex"]
    names: Mapping[int, Name] = field(default_factory=dict)
    digits: int = 4
    single: Set[int] = frozenset()

    def write(self, x: Expression, show: Show = "names") -> str:
        """Write an expression in symbols, or with numbers or shapes in the place of names."""
        return self._write(x, show)[0]

    def name(self, node: Tensor, index: Index | None = None) -> str:
        """Write the name of a node, or of an element."""
        name: str = getattr(self.names[node.birth], self.kind)
        return name.replace("@", self.index(node, index))

    def index(self, node: Tensor, index: Index | None) -> str:
        """Write an index, such as [3,2]."""
        if index is not None and node.birth in self.single:
            index = index[1:]
        return "[" + ",".join(map(str, index)) + "]" if index else ""

    def number(self, x: Any) -> str:
        """Write a number."""
        if isinstance(x, bool | np.bool_):
            return str(int(x))
        text = number(x, self.digits)
        if self.kind == "text":
            return text.replace("-", "−", 1) if text.startswith("-") else text
        if "inf" in text:
            return text.replace("inf", r"\infty")
        if "nan" in text:
            return r"\mathrm{nan}"
        mantissa, e, exponent = text.partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else mantissa

    def _write(self, x: Expression, show: Show) -> tuple[str, int]:
        """Give what is written, and how tightly it binds."""
        if isinstance(x, Written):
            return self._op(x, show)
        if isinstance(x, Ref) and show == "shapes":
            times = "×" if self.kind == "text" else r" \times "
            return f"({times.join(map(str, np.shape(x.value)))})", ATOM
        if isinstance(x, Ref) and show == "names":
            name = self.name(x.node, x.index)
            return name, SIGN if "∂" in name or "partial" in name else ATOM
        if isinstance(x, Rest) and show == "names":
            return DOTS[self.kind], ATOM
        text = self.number(x.value)
        if text.startswith(MINUS[self.kind]):
            return text, SUM
        return text, PRODUCT if r"\cdot" in text else ATOM

    def _op(self, x: Written, show: Show) -> tuple[str, int]:
        notation = x.op.notation
        form: Form = getattr(notation, self.kind)
        if x.whole and notation.arrays and sum(map(_is_array, x.inputs)) > 1:
            form = notation.arrays[self.kind == "latex"]
        parts = [self._write(y, show) for y in x.inputs]
        if not notation.joins:
            written = [self._enclosed(part, form.needs(k)) for k, part in enumerate(parts)]
            return form.fill(x.attrs, written), form.binds
        between = form.fill({}, ["", ""])
        text = self._enclosed(parts[0], form.binds if form.binds > SUM else 0)
        for part in parts[1:]:
            minus = MINUS[self.kind]
            if form.binds == SUM and part[0].startswith(minus):
                text += f" {minus} {part[0].removeprefix(minus).lstrip()}"
            else:
                text += between + self._enclosed(part, form.needs(0))
        return text, form.binds

    def _enclosed(self, part: tuple[str, int], needs: int) -> str:
        text, binds = part
        if binds >= needs:
            return text
        return f"({text})" if self.kind == "text" else rf"\left({text}\right)"

    def displayed(self, x: Expression) -> float:
        """Compute an expression from its numbers as they are written, rounded."""
        return computed(x, lambda value: float(number(value, self.digits)))


def _is_array(x: Expression) -> bool:
    if isinstance(x, Written):
        return any(map(_is_array, x.inputs))
    return isinstance(x, Ref) and np.ndim(x.value) > 0


def computed(x: Expression, read: Callable[[Any], float] = float) -> float:
    """Compute an expression of elements from its numbers."""
    if not isinstance(x, Written):
        return read(x.value)
    values = [computed(y, read) for y in x.inputs]
    with np.errstate(all="ignore"):
        if x.op.notation.joins:
            return float(reduce(x.op.run, values))
        if x.op.notation.elements == "line":
            return float(x.op.run(np.array(values), **x.attrs))
        return float(x.op.run(*values, **x.attrs))
