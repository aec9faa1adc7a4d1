"""The box of a chart, its labels, and the SVG element around it.

>>> axes = Axes([0.0, 1.0], [0.0, 1.0], x_range=(0.0, 1.0))
>>> axes.y(0.0) > axes.y(1.0)
True

All charts are 400 units wide and scale with the page; colors come from the style sheet, by class.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.markup import Markup, coordinate, element, join, shorten, shorten_inside
from chainrule.report.scale import labels

WIDTH, HEIGHT, TALL = 400.0, 230.0, 330.0
LETTER = 6.9  # width of a letter at the font size of the charts


@dataclass(frozen=True)
class Axes:
    """The box of a chart: ticks, margins, and from values to coordinates."""

    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    x_range: tuple[float, float]
    log: bool = False
    log_x: bool = False
    height: float = HEIGHT
    right: float = 14.0

    @property
    def left(self) -> float:
        """Room for the longest label of the y axis."""
        return 14.0 + LETTER * max(len(label) for label in self.y_labels)

    @property
    def y_labels(self) -> list[str]:
        """Labels of the y axis."""
        return labels(self.y_ticks, self.log)

    def x(self, value: float) -> float:
        """Horizontal coordinate of a value."""
        part = _part(value, *self.x_range, self.log_x)
        return self.left + part * (WIDTH - self.left - self.right)

    def y(self, value: float) -> float:
        """Vertical coordinate of a value; small values are low."""
        part = _part(value, self.y_ticks[0], self.y_ticks[-1], self.log)
        return (self.height - 42) - part * (self.height - 62)

    def grid(self, x_label: str) -> Markup:
        """Lines and labels of both axes."""
        bottom, right = self.y(self.y_ticks[0]), WIDTH - self.right
        parts = []
        for tick, label in zip(self.y_ticks, self.y_labels, strict=True):
            y = self.y(tick)
            parts.append(element("line", class_="grid", x1=self.left, x2=right, y1=y, y2=y))
            parts.append(text(self.left - 6, y + 4, label, "end"))
        for tick, label in zip(self.x_ticks, labels(self.x_ticks, self.log_x), strict=True):
            x = self.x(tick)
            parts.append(element("line", class_="tick", x1=x, x2=x, y1=bottom, y2=bottom + 4))
            parts.append(text(x, bottom + 17, label, "middle"))
        middle = (self.left + right) / 2
        parts.append(text(middle, self.height - 6, x_label, "middle", "axis"))
        return join(*parts)


def chart(about: str, *parts: str, height: float = HEIGHT) -> Markup:
    """Wrap the parts of a chart; `about` is what a screen reader says."""
    return element(
        "svg",
        *parts,
        class_="chart",
        viewBox=f"0 0 {coordinate(WIDTH)} {coordinate(height)}",
        role="img",
        aria_label=about,
    )


def text(
    x: float,
    y: float,
    content: str,
    anchor: str | None = None,
    class_: str | None = None,
    longest: int = 40,
) -> Markup:
    """Write a text at a point; a long one is shortened, with a tooltip."""
    shown = shorten_inside(content, longest)
    more = element("title", shorten(content, 100)) if shown != content else Markup()
    return element("text", more, shown, x=x, y=y, text_anchor=anchor, class_=class_)


def _part(value: float, low: float, high: float, log: bool) -> float:
    """Where a value lies between low (0) and high (1)."""
    if log:
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return (value - low) / (high - low)
