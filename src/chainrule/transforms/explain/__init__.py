"""The verb *explain*: a derivation of a graph, with the real numbers.

A trace is the record of a computation: every node with its value. What is shown of it is made of
blocks, which are written as text, LaTeX, Markdown or a page. The words and the signs come from
the notation of each op.
"""

import difflib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.atomic import atomic_write
from chainrule.errors import ConfigError
from chainrule.graph import Tensor
from chainrule.transforms.explain import latex, page, replay
from chainrule.transforms.explain import text as plain_text
from chainrule.transforms.explain.blocks import Block
from chainrule.transforms.explain.choosing import most_affected, most_contributing
from chainrule.transforms.explain.expression import Index
from chainrule.transforms.explain.reading import Trace, Weight
from chainrule.transforms.explain.record import Plain
from chainrule.transforms.explain.reread import Interval, results, value, wrong_lines
from chainrule.transforms.explain.sections import LEVELS, sections
from chainrule.transforms.explain.view import View, largest_correction

MOST_ELEMENTS = 150
"""A computation of at most so many elements is written out in full."""


@dataclass(frozen=True)
class Verdict:
    """What checking an explanation found: how many numbers were looked at, and what is wrong."""

    numbers: int
    lines: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.problems

    def __str__(self) -> str:
        what = f"{self.numbers:,} numbers computed again, {self.lines:,} printed lines read back"
        if self.ok:
            return f"{what}: all agree"
        return "\n".join([f"{what}: {len(self.problems)} problems", *self.problems])


class Explanation:
    """A trace of a prediction or of a step of training, and the ways to show it.

    All of them take the same settings. `level` picks what is told, one or several of: 0 one
    sentence, 1 every number, 2 whole layers in symbols, 3 a table of the network, 4 the update,
    5 the loss row by row, 6 checks. A small net is written out in full; of a large one, the
    computation of one weight is opened, the one that changes most, or the one that `opened` names,
    such as "0.weight[3,2]" or "a1[0,5]". `row` is the row of the batch that is followed, `digits`
    the number of significant digits shown; results are computed from full values.
    """

    def __init__(self, trace: Plain, level: Any = None) -> None:
        self.trace = trace
        self.level = LEVELS if level is None else level
        self._read = Trace(trace)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Explanation":
        """Read an explanation that `json` wrote."""
        return cls(json.loads(Path(path).read_text("utf-8")))

    def text(
        self, *, level: Any = None, opened: str | None = None, row: int = 0, digits: int = 4
    ) -> str:
        """Explain in plain text."""
        blocks, view = self._blocks("text", level, opened, row, digits)
        return plain_text.render(blocks, view.script)

    def markdown(
        self, *, level: Any = None, opened: str | None = None, row: int = 0, digits: int = 4
    ) -> str:
        """Explain in Markdown, with formulas in LaTeX between dollar signs."""
        blocks, view = self._blocks("latex", level, opened, row, digits)
        return latex.markdown(blocks, view.script)

    def latex(
        self, *, level: Any = None, opened: str | None = None, row: int = 0, digits: int = 4
    ) -> str:
        """Explain in a LaTeX document."""
        blocks, view = self._blocks("latex", level, opened, row, digits)
        return latex.document(blocks, view.script)

    def html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        level: Any = None,
        opened: str | None = None,
        row: int = 0,
        digits: int = 4,
    ) -> str:
        """Explain in a page with MathML, which needs no network; it is written to `path`."""
        blocks, view = self._blocks("latex", level, opened, row, digits)
        written = page.page(blocks, view.script, "chainrule: explanation")
        if path is not None:
            self.write(path, written)
        return written

    def json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Give the trace as JSON; it is written to `path`."""
        written = json.dumps(self.trace)
        if path is not None:
            self.write(path, written)
        return written

    @staticmethod
    def write(path: str | os.PathLike[str], text: str) -> None:
        """Write a text to a file, whole or not at all."""
        with atomic_write(path) as file:
            file.write(text.encode())

    def value(self, name: str) -> float:
        """Give the number of a name, such as "W1[0,1]" or "∂L/∂a1[0]"."""
        node, index = self._found(name)
        return float(np.asarray(node.value)[index])

    def verify(self) -> Verdict:
        """Check every number by a second evaluator, and every printed line by reading it back.

        The evaluator is a file that imports nothing of the library and computes in plain Python
        floats (`chainrule/transforms/explain/replay.py`); it can be run by itself on the JSON.
        """
        problems = replay.check(self.trace)
        lines = self.text(level=LEVELS).splitlines()
        problems += [f"printed: {line}" for line in wrong_lines(lines)]
        problems += [
            f"printed: {name} = {shown}, but it is {self.value(name)}"
            for name, shown in results(lines)
            if not value(shown).touches(Interval(self.value(name), self.value(name)))
        ]
        count = sum(int(np.size(x.value)) for x in self._read.nodes if x.op is not None)
        printed = sum(bool(re.match(r"\s+[=≈] ", line)) for line in lines)
        return Verdict(count, printed, tuple(problems))

    def fragment(
        self,
        *,
        level: Any = None,
        opened: str | None = None,
        row: int = 0,
        digits: int = 4,
        heading: str = "h2",
    ) -> str:
        """Explain in a part of a page, whose titles are of the kind `heading`."""
        blocks, view = self._blocks("latex", level, opened, row, digits)
        return page.fragment(blocks, view.script, heading)

    def _repr_html_(self) -> str:
        return self.fragment()

    def __repr__(self) -> str:
        return f"<explanation: {self.text(level=0)}>"

    def _blocks(
        self, kind: str, level: Any, opened: str | None, row: int, digits: int
    ) -> tuple[list[Block], View]:
        level = self.level if level is None else level
        levels = level if isinstance(level, Sequence) else (level,)
        wrong = [x for x in levels if x not in LEVELS]
        if wrong:
            raise ConfigError(f"level={wrong[0]!r}: expected numbers from 0 to 6")
        rows = self._read.settings["rows"]
        if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < rows:
            raise ConfigError(f"row={row!r}: expected a number from 0 to {rows - 1}")
        if not isinstance(digits, int) or not 2 <= digits <= 17:
            raise ConfigError(f"digits={digits!r}: expected a number from 2 to 17")
        chosen, weight = self._chosen(opened, row)
        asked = opened is not None and weight is not None
        view = View(self._read, self._read.script(kind, digits), chosen, row, weight, asked)
        return sections(view, levels), view

    def _chosen(
        self, opened: str | None, row: int
    ) -> tuple[tuple[tuple[Tensor, Index], ...] | None, tuple[Weight, Index] | None]:
        """Give the elements to write out, None for all, and the weight whose update is told."""
        trace = self._read
        weight = largest_correction(trace)
        if opened is None:
            count = sum(int(np.size(x.value)) for x in trace.shown("forward", "loss", "backward"))
            if count <= MOST_ELEMENTS:
                return None, weight
            weight = largest_correction(trace, first=True)
            if weight is None:
                return self._largest_prediction(row), None
            return most_affected(trace, weight[0].node, weight[1], row), weight
        node, index = self._found(opened)
        own = [w for w in trace.weights if w.node is node]
        if own:
            weight = own[0], index
        if trace.loss is None and node.op is not None:
            return most_contributing(trace, node, index), None
        return most_affected(trace, node, index, row), weight

    def _largest_prediction(self, row: int) -> tuple[tuple[Tensor, Index], ...]:
        """Give the largest output of a row, and what it owes most to."""
        output = self._read.predictions[0]
        size = np.asarray(output.value, float)
        if size.ndim and self._read.fact(output, "rows"):
            size = size[row]
            own = np.unravel_index(np.argmax(size), size.shape)
            return most_contributing(self._read, output, (row, *(int(n) for n in own)))
        own = np.unravel_index(np.argmax(size), size.shape)
        return most_contributing(self._read, output, tuple(int(n) for n in own))

    def _found(self, opened: str) -> tuple[Tensor, Index]:
        """Find what a name such as W1[3,2] or 0.weight[3,2] means."""
        match = re.fullmatch(r"(.*?)\s*(?:\[\s*([\d\s,]*)\])?", opened.strip())
        name, place = (match[1], match[2]) if match else (opened, None)
        node = self._read.find(name)
        if node is None:
            known = self._read.all_names()
            near = difflib.get_close_matches(name, known, 3, 0.4)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(f"opened={opened!r}: there is no {name!r} here{hint}")
        shape = np.shape(node.value)
        index = tuple(int(n) for n in (place or "").split(",") if n.strip())
        if len(index) == len(shape) - 1 and shape[:1] == (1,) and self._read.fact(node, "rows"):
            index = (0, *index)
        if len(index) != len(shape) or any(i >= n for i, n in zip(index, shape, strict=True)):
            raise ConfigError(
                f"opened={opened!r}: {name} has shape {list(shape)}; expected an element such as "
                f"{name}[{','.join('0' * len(shape))}]"
            )
        return node, index
