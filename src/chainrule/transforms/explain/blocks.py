"""What an explanation is made of, before it is text, LaTeX or a page."""

from collections.abc import Iterable, Iterator, Sequence
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

MOST_STAGES = 5
"""Stages of a flow in one table."""


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


@dataclass(frozen=True)
class Stage:
    """A layer within the flow: what it gives, and the gradient that comes back to it.

    `after` are the places of the stages whose results it takes. `gradient` is a root mean square,
    None where no gradient is known.
    """

    label: str
    kind: str
    result: Part
    shape: tuple[int, ...]
    mean: float
    std: float
    gradient: float | None
    after: tuple[int, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flow:
    """How values go through a network, from left to right, and gradients the other way."""

    stages: tuple[Stage, ...]

    def tables(self, script: Script) -> Iterator[Table]:
        """Write the flow as tables of a few stages each."""
        for start in range(0, len(self.stages), MOST_STAGES):
            part = range(start, min(start + MOST_STAGES, len(self.stages)))
            header, *rows = [
                _between(title, sign, [cells[k] for k in part], continued=start > 0)
                for title, sign, cells in self._rows(script)
            ]
            yield Table(header, tuple(rows))

    def _rows(self, script: Script) -> Iterator[tuple[str, str, list[Part]]]:
        """Give title, sign between the cells, and cells of each row."""
        yield "layer", "", [x.label for x in self.stages]
        yield "", "", [x.kind for x in self.stages]
        yield "result", "", [x.result for x in self.stages]
        if any(x.after not in ((), (k - 1,)) for k, x in enumerate(self.stages)):
            yield "takes", "", [self._taken(x) for x in self.stages]
        yield "shape", "", ["×".join(map(str, x.shape)) for x in self.stages]
        yield "mean", "→", [Math(script.number(x.mean)) for x in self.stages]
        yield "std", "", [Math(script.number(x.std)) for x in self.stages]
        if any(x.gradient is not None for x in self.stages):
            yield (
                "gradient RMS",
                "←",
                [
                    "" if x.gradient is None else Math(script.number(x.gradient))
                    for x in self.stages
                ],
            )

    def _taken(self, stage: Stage) -> Part:
        found = [self.stages[k].result for k in stage.after]
        return Math(", ".join(x.text if isinstance(x, Math) else x for x in found))


def _between(title: str, sign: str, cells: Sequence[Part], continued: bool) -> tuple[Part, ...]:
    """Put a sign between cells, and before the first where the row goes on from another table."""
    listed: list[Part] = [x for cell in cells for x in (sign, cell)]
    return (title, *listed) if continued else (title, *listed[1:])


Listed: TypeAlias = Heading | Words | Rule | Equation | Table
Block: TypeAlias = Listed | Flow


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


def tabulated(blocks: Iterable[Block], script: Script) -> Iterator[Listed]:
    """Write what can only be drawn in a page as tables."""
    for block in blocks:
        if isinstance(block, Flow):
            yield from block.tables(script)
        else:
            yield block
