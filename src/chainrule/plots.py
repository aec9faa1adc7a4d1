"""Plots for learning: activations with their derivatives, and decision boundaries.

>>> from chainrule import nn
>>> len(activations(["relu", "tanh"]).charts)
2
>>> X, t = nn.truth_table("and")
>>> boundary(nn.Perceptron(seed=0).fit(X, t), X, t).save("and.svg")  # doctest: +SKIP
"""

import importlib.resources
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.functional import ACTIVATIONS, get_activation
from chainrule.graph import Array, value_of
from chainrule.markup import Markup, coordinate, element, join
from chainrule.picture import Picture
from chainrule.report.axes import HEIGHT, TALL, WIDTH
from chainrule.report.charts import Series, line_chart, region_chart
from chainrule.transforms.forward import jvp

ROOT = "chainrule-plot"
_SOURCE = re.compile(r" \([^()]*\d{4}\)\.?$")  # the authors and the year at the end of a line
COLUMNS = 3
TITLE, GAP, MARGIN = 46.0, 24.0, 18.0
POINTS = 161  # of a curve
STYLES = ("validation", "train", "other")  # of lines
LONGEST = 64  # letters of a note
CELLS = 160  # of a decision boundary, along each axis


class Plot(Picture):
    """Charts side by side; `.svg()`, `.html()`, `.save(path)`, and a notebook shows it.

    `charts` has a title, a note and the SVG of each.
    """

    def __init__(self, title: str, charts: Sequence[tuple[str, str, Markup]], tall: float) -> None:
        self.title = title
        self.charts = list(charts)
        self._tall = tall

    def svg(self) -> str:
        """Give the charts as one SVG that needs no other file, for light and for dark screens."""
        columns = min(COLUMNS, len(self.charts)) or 1
        rows = -(-len(self.charts) // columns)
        across = columns * WIDTH + (columns - 1) * GAP + 2 * MARGIN
        step = self._tall + TITLE + GAP
        down = rows * step - GAP + 2 * MARGIN
        parts: list[str] = [
            element("title", self.title),
            element("style", Markup(_style())),
            element("rect", class_="paper", width=across, height=down, rx=6.0),
        ]
        for k, (title, note, chart) in enumerate(self.charts):
            x = MARGIN + k % columns * (WIDTH + GAP)
            y = MARGIN + k // columns * step
            parts.append(element("text", title, class_="name", x=x + 14, y=y + 16))
            parts.append(element("text", note, class_="note", x=x + 14, y=y + 33))
            parts.append(_at(chart, x, y + TITLE, self._tall))
        return element(
            "svg",
            *(join(part, "\n") for part in parts),
            xmlns="http://www.w3.org/2000/svg",
            class_=f"{ROOT} chart",
            width=across,
            height=down,
            viewBox=f"0 0 {coordinate(across)} {coordinate(down)}",
            role="img",
            aria_label=f"{self.title}: {', '.join(title for title, _, _ in self.charts)}",
            style="max-width: 100%; height: auto",
        )


def _at(chart: Markup, x: float, y: float, height: float) -> Markup:
    """Put the SVG of a chart at a place of another."""
    place = f'<svg x="{coordinate(x)}" y="{coordinate(y)}" width="{WIDTH:.0f}" '
    return Markup(str(chart).replace("<svg ", f'{place}height="{height:.0f}" ', 1))


def _style() -> str:
    """Take the colors and the charts out of the style of the report, for this root alone."""
    whole = (importlib.resources.files("chainrule.report") / "style.css").read_text("utf-8")
    colors, rest = whole.split("* {", 1)
    charts = [line for line in rest.splitlines() if line.startswith(".chart")]
    own = [
        f".{ROOT} {{ font-family: system-ui, sans-serif; }}",
        f".{ROOT} .paper {{ fill: var(--paper); }}",
        f".{ROOT} .name {{ font-weight: 650; font-size: 15px; }}",
        f".{ROOT} .chart {{ max-width: none; }}",
    ]
    return "\n".join([colors.replace(":root", f".{ROOT}"), *charts, *own])


def activations(
    names: Sequence[str | Callable[..., Any]] | None = None, low: float = -4.0, high: float = 4.0
) -> Plot:
    """Plot activations, all of them unless named, and their derivatives.

    The derivatives are those of the graph, by forward mode. An activation of several numbers, such
    as softmax, is shown as its first result for the numbers x and 0.

    >>> [title for title, _, _ in activations(["softplus", "gelu"]).charts]
    ['softplus', 'gelu']
    """
    x = np.linspace(low, high, POINTS)
    charts = []
    for function in ACTIVATIONS if names is None else names:
        f = get_activation(function)
        name = function if isinstance(function, str) else f.__name__
        y, slope = value_and_slope(f, x)
        series = [Series("f", x, y, "validation"), Series("f′", x, slope, "train")]
        about = f"{name} from {low:g} to {high:g}: f from {y.min():.3g} to {y.max():.3g}, "
        about += f"its derivative f′ from {slope.min():.3g} to {slope.max():.3g}"
        note = "" if _alone(f) else "first result for x and 0"
        charts.append((name, note or _formula(f), line_chart(series, about, x_label="x")))
    return Plot("Activations and their derivatives", charts, HEIGHT)


def curves(
    functions: Mapping[str, Callable[..., Any]],
    low: float = -4.0,
    high: float = 4.0,
    title: str = "Curves",
) -> Plot:
    """Plot functions of one number in one chart, each named at its end.

    >>> from chainrule.functional import sigmoid
    >>> curves({f"b = {b}": lambda x, b=b: sigmoid(2 * x + b) for b in (-4, 0, 4)}).charts[0][1]
    '3 functions of x'
    """
    x = np.linspace(low, high, POINTS)
    series = [
        Series(name, x, np.asarray(value_of(f(x)), float), STYLES[k % len(STYLES)])
        for k, (name, f) in enumerate(functions.items())
    ]
    about = f"{', '.join(functions)} from {low:g} to {high:g}"
    note = f"{len(series)} function{'s' * (len(series) != 1)} of x"
    return Plot(title, [(title, note, line_chart(series, about, x_label="x"))], HEIGHT)


def value_and_slope(f: Callable[..., Any], x: Array) -> tuple[Array, Array]:
    """Give f and its derivative at each number of x, beside which there is a 0.

    >>> from chainrule.functional import relu, softmax
    >>> [a.tolist() for a in value_and_slope(relu, np.array([-1.0, 2.0]))]
    [[0.0, 2.0], [0.0, 1.0]]
    >>> [a.tolist() for a in value_and_slope(softmax, np.zeros(1))]
    [[0.5], [0.25]]
    """
    pairs = np.stack([x, np.zeros_like(x)], axis=-1)
    y, slope = jvp(f, (pairs,), (np.broadcast_to([1.0, 0.0], pairs.shape),))
    return np.asarray(value_of(y))[:, 0], np.asarray(value_of(slope))[:, 0]


def _alone(f: Callable[..., Any]) -> bool:
    """Whether a result depends on one number alone."""
    first, second = (np.asarray(value_of(f(np.array([[-1.0, other]])))) for other in (0.0, 5.0))
    return first.shape == (1, 2) and bool(first[0, 0] == second[0, 0])


def _formula(f: Callable[..., Any]) -> str:
    """Give the first line of a docstring without its source, if it is short; of an op nothing."""
    doc = inspect.getdoc(f) or "" if inspect.isfunction(f) else ""
    line = _SOURCE.sub("", doc.split("\n")[0]).rstrip(".")
    return line if len(line) <= LONGEST else ""


def boundary(
    models: Any, X: Any, y: Any, *, title: str = "Decision boundary", around: float = 0.4
) -> Plot:
    """Plot the regions of the plane that models give to each class, and the rows.

    `models` has a method `predict`, or is a function, that gives a class for each row of an array
    (rows, 2); or is a mapping from titles to such models, which are drawn side by side. The part of
    the plane is that of the rows and `around` of their range on each side.

    >>> rows, t = np.array([[0.0, 0.0], [1.0, 1.0]]), [0, 1]
    >>> plot = boundary({"sum above 1": lambda x: x.sum(axis=1) > 1.0}, rows, t)
    >>> plot.charts[0][1]
    '2 of 2 rows right'
    """
    rows, target = np.asarray(X, dtype=float), np.asarray(y).ravel()
    if rows.ndim != 2 or rows.shape[1] != 2 or len(rows) != len(target) or not len(rows):
        raise ShapeError(
            f"boundary() got X of {rows.shape} and y of {np.shape(y)}; expected (rows, 2), as a "
            "plane has two axes, and a class for each row"
        )
    every = models if isinstance(models, Mapping) else {title: models}
    low, high = rows.min(axis=0), rows.max(axis=0)
    room = np.where(high > low, high - low, 1.0) * around
    axes = [np.linspace(a, b, CELLS + 1) for a, b in zip(low - room, high + room, strict=True)]
    middles = [(a[1:] + a[:-1]) / 2 for a in axes]
    plane = np.stack(np.meshgrid(*middles), axis=-1).reshape(-1, 2)
    charts = []
    for name, model in every.items():
        predict = model.predict if hasattr(model, "predict") else model
        guess, regions = (_classes(predict(at), len(at), name) for at in (rows, plane))
        classes = np.unique(np.concatenate([target, guess, regions]))
        right = int((guess == target).sum())
        note = f"{right:,} of {len(rows):,} rows right"
        chart = region_chart(
            axes, np.searchsorted(classes, regions).reshape(CELLS, CELLS), rows,
            np.searchsorted(classes, target), [str(c) for c in classes], f"{name}: {note}",
        )  # fmt: skip
        charts.append((name, note, chart))
    return Plot(title, charts, TALL)


def _classes(given: Any, rows: int, name: str) -> Array:
    found = np.asarray(value_of(given))
    if found.size != rows:
        raise ShapeError(
            f"boundary(): {name} gave shape {found.shape} for {rows} rows; expected one class per "
            "row, such as net.predict(x).argmax(axis=1)"
        )
    found = found.ravel()
    return found.astype(int) if found.dtype == bool else found


__all__ = ["Plot", "activations", "boundary", "curves", "value_and_slope"]
