"""What an explanation is made of, before it is text, LaTeX or a page."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, TypeGuard

import numpy as np

from chainrule.graph import Tensor
from chainrule.ops.notation import SUM
from chainrule.transforms.explain.expression import (
    Constant,
    Expression,
    Index,
    Ref,
    Rest,
    Written,
)
from chainrule.transforms.explain.writing import Script, computed

MOST_TERMS = 9
MOST_SHOWN = 5
"""Of a sum of more terms so many are shown, the largest, and what the others add up to."""


@dataclass(frozen=True)
class Heading:
    """The title of a section or, with level 2, of a part of it."""

    text: str
    level: int = 1


@dataclass(frozen=True)
class Math:
    """A name, a number or a formula within words or a table, as the script writes it."""

    text: str


Part: TypeAlias = str | Math


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Rule:
    """How a whole array is computed, in symbols, with the shapes of what stands in it."""

    node: Tensor
    expression: Expression
    also: tuple[str, ...] = ()
    note: tuple[Part, ...] = ()

    def shapes(self, script: Script) -> str:
        """Write the shape of the result and, of products, those of their factors."""
        times = "×" if script.kind == "text" else r" \times "
        shape = times.join(map(str, np.shape(self.node.value)))
        if not _multiplies(self.expression):
            return shape
        return f"{shape} = {script.write(self.expression, 'shapes')}"


def _multiplies(x: Expression) -> bool:
    """Whether there is a product of matrices, or the like, in an expression."""
    if not isinstance(x, Written):
        return False
    return (x.op.kind == "multilinear" and len(x.inputs) == 2) or any(map(_multiplies, x.inputs))


@dataclass(frozen=True)
class Equation:
    """How an element is computed: in symbols, with numbers, and the result."""

    node: Tensor
    index: Index
    expression: Expression
    note: tuple[Part, ...] = ()

    def stages(self, script: Script) -> list[tuple[str, str]]:
        """Give what stands after the name, line by line: a sign and what follows it.

        The sign is "≈" where the rounded numbers of a line do not give those of the next.
        """
        short = _shortened(self.expression)
        result = np.asarray(self.node.value)[self.index].item()
        lines: list[tuple[str, Expression]] = [(script.write(short), short)]
        if isinstance(short, Written | Ref):
            lines.append((script.write(short, "numbers"), short))
        if _is_sum(short) and any(isinstance(x, Written) for x in short.inputs):
            values = tuple(Constant(computed(x)) for x in short.inputs)
            terms = Written(short.op, values, {})
            lines.append((script.write(terms, "numbers"), terms))
        lines.append((script.number(result), Constant(result)))
        kept = [("=", lines[0][0])]
        for (before, left), (text, right) in pairwise(lines):
            if text == kept[-1][1]:
                continue
            exact = before == lines[0][0] or self._equal(script, left, right)
            kept.append(("=" if exact else "≈", text))
        return kept

    @staticmethod
    def _equal(script: Script, left: Expression, right: Expression) -> bool:
        return script.number(script.displayed(left)) == script.number(script.displayed(right))


@dataclass(frozen=True)
class Table:
    """Rows of cells; numbers are to the right."""

    header: tuple[Part, ...]
    rows: tuple[tuple[Part, ...], ...]


Block: TypeAlias = Heading | Words | Rule | Equation | Table


def _is_sum(x: Expression) -> TypeGuard[Written]:
    return isinstance(x, Written) and x.op.notation.joins and x.op.notation.text.binds == SUM


def _shortened(x: Expression) -> Expression:
    """Write the largest terms of a long sum, and what the rest adds up to."""
    if not isinstance(x, Written):
        return x
    inputs = [_shortened(y) for y in x.inputs]
    if len(inputs) > MOST_TERMS and x.op.notation.joins:
        sizes = [abs(computed(y)) for y in inputs]
        largest = sorted(np.argsort(sizes, kind="stable")[: -MOST_SHOWN - 1 : -1])
        rest = [y for i, y in enumerate(inputs) if i not in largest]
        value = computed(Written(x.op, tuple(rest), {}))
        inputs = [*(inputs[i] for i in largest), Rest(len(rest), value)]
    return Written(x.op, tuple(inputs), x.attrs, x.whole)
