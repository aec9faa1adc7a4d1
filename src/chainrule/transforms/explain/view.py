"""How a trace is looked at: what is opened, and how names and numbers are written."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph import Tensor
from chainrule.transforms.explain.blocks import Math
from chainrule.transforms.explain.expression import Index
from chainrule.transforms.explain.reading import Trace, Weight
from chainrule.transforms.explain.writing import Script

MOST_ROWS = 10
"""Rows of a batch that are listed."""


@dataclass(frozen=True)
class View:
    """How a trace is looked at: which elements are opened, in which row, with which digits.

    `opened` are the elements to write out, None for all; `weight` is the one whose update is told,
    `asked` if somebody wanted to know.
    """

    trace: Trace
    script: Script
    opened: tuple[tuple[Tensor, Index], ...] | None
    row: int
    weight: tuple[Weight, Index] | None
    asked: bool

    def number(self, x: Any) -> Math:
        """Write a number."""
        return Math(self.script.number(x))

    def name(self, node: Tensor, index: Index | None = None) -> Math:
        """Write a name."""
        return Math(self.script.name(node, index))

    def signed(self, x: float) -> Math:
        """Write a number with its sign."""
        text = self.script.number(x)
        return Math(text if text[0] in "−-" else f"+{text}")

    def listed(self, value: Any) -> Math:
        """Write a number, or some numbers in brackets."""
        if np.ndim(value) == 0:
            return self.number(value)
        flat = np.ravel(value)
        shown = [self.script.number(x) for x in flat[:MOST_ROWS]]
        if len(flat) > MOST_ROWS:
            shown.append("…" if self.script.kind == "text" else r"\ldots")
        left, right = ("[", "]") if self.script.kind == "text" else (r"\left[", r"\right]")
        return Math(f"{left}{', '.join(shown)}{right}")

    def elements(self, node: Tensor) -> list[Index]:
        """Give the elements of a node to write out."""
        if self.opened is not None:
            return [index for x, index in self.opened if x is node]
        return list(np.ndindex(np.shape(node.value)))


def _correction(weight: Weight) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(weight.new.value - weight.node.value), initial=0.0))


def largest_place(x: Any) -> Index:
    """Give the place of the largest magnitude."""
    return tuple(int(n) for n in np.unravel_index(np.argmax(np.abs(x)), np.shape(x)))


def largest_correction(trace: Trace, first: bool = False) -> tuple[Weight, Index] | None:
    """Give the weight that changes most, if there is an update; or that of the `first` layer."""
    changed = trace.weights
    if not changed:
        return None
    if first:
        changed = [w for w in changed if np.ndim(w.node.value) > 1][:1] or changed
    weight = max(changed, key=_correction)
    return weight, largest_place(np.asarray(weight.new.value) - weight.node.value)
