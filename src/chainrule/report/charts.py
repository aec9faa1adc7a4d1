"""Charts as inline SVG: curves, scatter, histogram, bars; readable on a phone and by ear.

>>> svg = line_chart([Series("train", [1, 2, 3], [0.9, 0.5, 0.4])], about="loss per epoch")
>>> svg.startswith('<svg class="chart" viewBox="0 0 400 230" role="img" aria-label="loss per')
True

Numbers that are not finite are left out; a chart of nothing is empty text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.markup import Markup, coordinate, element, join, shorten_inside
from chainrule.report.axes import LETTER, TALL, WIDTH, Axes, chart, text
from chainrule.report.scale import labels, log_ticks, number, percent, score, ticks

MOST_POINTS = 1000  # of a scatter
MOST_BARS = 20
MOST_BUCKETS = 200  # of a line: each keeps its lowest and highest point
FORMS = (  # of the marks of classes: circle, square, triangle, diamond, cross, bar
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "m-3.5-3.5h7v7h-7z", "m0-4.5l4.5 8h-9z",
    "m0-5l5 5-5 5-5-5z", "m-4.5-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z", "m-5-1.5h10v3h-10z",
)  # fmt: skip
LARGEST = 1e300  # numbers beyond are drawn there, so that their distances stay finite

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A line of a chart; `style` is its class: train, validation or other."""

    name: str
    x: ArrayLike
    y: ArrayLike
    style: str = "train"


def line_chart(
    series: Sequence[Series],
    about: str,
    mark: float | None = None,
    log: bool = False,
    x_label: str = "epoch",
) -> Markup:
    """Lines over epochs or another axis, named at their ends, with a mark at the best epoch.

    Values that are not finite leave a gap; on a logarithmic axis, those not above zero too.
    """
    lines = [(line, *_finite(line.x, line.y, log)) for line in series]
    lines = [(line, x, y) for line, x, y in lines if np.isfinite(y).any()]
    if not lines:
        return Markup()
    values = np.concatenate([y[np.isfinite(y)] for _, _, y in lines])
    epochs = np.concatenate([x for _, x, _ in lines])
    first, last = float(epochs.min()), float(epochs.max())
    last = last if last > first else first + 1.0
    span = float(values.min()), float(values.max())
    whole = x_label == "epoch"
    x_ticks = [tick for tick in ticks(first, last, whole=whole) if first <= tick <= last]
    y_ticks = log_ticks(*span, most=5) if log else ticks(*span, most=5)
    room = 16 + LETTER * max(len(shorten_inside(line.name, 12)) for line, _, _ in lines)
    axes = Axes(x_ticks or [first, last], y_ticks, (first, last), log, right=room)
    parts = [axes.grid(x_label)]
    if mark is not None and first <= mark <= last:
        parts.append(_mark(axes, mark))
    for line, x, y in lines:
        parts.append(_line(axes, line.style, x, y))
    parts.append(_end_names(axes, [(line, y[np.isfinite(y)][-1]) for line, _, y in lines]))
    return chart(about, *parts)


def scatter_chart(actual: ArrayLike, predicted: ArrayLike, about: str, log: bool = False) -> Markup:
    """Predicted against true values: at most 1,000 points, and the line where both are equal."""
    truth, guess = _pairs(actual, predicted)
    if not len(truth):
        return Markup()
    low = float(min(truth.min(), guess.min()))
    high = float(max(truth.max(), guess.max()))
    both = log_ticks(low, high, most=5) if log else ticks(low, high, most=5)
    axes = Axes(both, both, (both[0], both[-1]), log, log, height=TALL)
    chosen = _sample(len(truth))
    dots = "".join(
        f"M{coordinate(axes.x(x))} {coordinate(axes.y(y))}h0"
        for x, y in zip(truth[chosen], guess[chosen], strict=True)
    )
    x1, x2, y1, y2 = axes.x(both[0]), axes.x(both[-1]), axes.y(both[0]), axes.y(both[-1])
    return chart(
        about,
        axes.grid("true value"),
        element("line", class_="equal", x1=x1, x2=x2, y1=y1, y2=y2),
        element("path", class_="dots", d=dots),
        text(axes.left, 12, "predicted value", class_="axis"),
        height=TALL,
    )


def residual_chart(actual: ArrayLike, predicted: ArrayLike, about: str) -> Markup:
    """Histogram of the errors, predicted minus true, of all rows but the outliers."""
    error, low, high = _errors(actual, predicted)
    if not len(error):
        return Markup()
    error = error[(error >= low) & (error <= high)]
    edges = ticks(float(error.min()), float(error.max()), most=24)
    counts, _ = np.histogram(error, bins=np.array(edges))
    marks = ticks(edges[0], edges[-1], most=5)
    inside = [tick for tick in marks if edges[0] <= tick <= edges[-1]]
    rows = ticks(0, float(counts.max()), most=4, whole=True)
    axes = Axes(inside, rows, (edges[0], edges[-1]), height=TALL)
    bars = [
        element(
            "rect",
            element("title", f"{number(low)} to {number(high)}: {count:,} rows"),
            class_="bar",
            x=axes.x(low) + 0.5,
            width=max(axes.x(high) - axes.x(low) - 1, 0.5),
            y=axes.y(count),
            height=axes.y(0) - axes.y(count),
        )
        for (low, high), count in zip(pairwise(edges), counts.tolist(), strict=True)
        if count
    ]
    label = text(axes.left, 12, "rows", class_="axis")
    return chart(about, axes.grid("predicted − true"), *bars, label, height=TALL)


def outliers(actual: ArrayLike, predicted: ArrayLike) -> int:
    """Count the errors that ``residual_chart`` leaves out: far outside 99 of 100 errors.

    >>> outliers(np.zeros(1000), np.append(np.linspace(-1, 1, 999), 50))
    1
    """
    error, low, high = _errors(actual, predicted)
    return int(np.sum((error < low) | (error > high)))


def bar_chart(rows: Sequence[tuple[str, float, float]], about: str) -> Markup:
    """Horizontal bars with a line of one standard deviation to both sides, the longest first."""
    finite = [row for row in rows if math.isfinite(row[1])]
    shown = sorted(finite, key=lambda row: -row[1])[:MOST_BARS]
    if not shown:
        return Markup()
    spread = [
        (min(max(mean, -LARGEST), LARGEST), min(abs(std), LARGEST) if math.isfinite(std) else 0.0)
        for _, mean, std in shown
    ]
    low = min(0.0, *(mean - std for mean, std in spread))
    high = max(0.0, *(mean + std for mean, std in spread))
    marks = ticks(low, high, most=4)
    left, right = 150.0, WIDTH - 50
    scale = (right - left) / (marks[-1] - marks[0])

    def place(value: float) -> float:
        return left + (value - marks[0]) * scale

    bottom = 24.0 * len(shown) + 8
    parts = []
    for tick, label in zip(marks, labels(marks), strict=True):
        x = place(tick)
        style = "tick" if tick == 0 else "grid"
        parts.append(element("line", class_=style, x1=x, x2=x, y1=4, y2=bottom))
        parts.append(text(x, bottom + 15, label, "middle"))
    for index, ((column, _, _), (mean, std)) in enumerate(zip(shown, spread, strict=True)):
        y = 24.0 * index + 10
        from_, to = sorted((place(0), place(mean)))
        parts.append(text(left - 8, y + 11, column, "end", "name", longest=17))
        parts.append(element("rect", class_="bar", x=from_, width=to - from_, y=y, height=14))
        x1, x2 = place(mean - std), place(mean + std)
        parts.append(element("line", class_="error", x1=x1, x2=x2, y1=y + 7, y2=y + 7))
        parts.append(text(max(to, x2) + 5, y + 11, score(mean)))
    return chart(about, *parts, height=bottom + 22)


def calibration_chart(points: Sequence[tuple[float, float, float]], about: str) -> Markup:
    """How often predictions were right, by how sure the model was; larger dots are more rows."""
    used = [point for point in points if all(map(math.isfinite, point)) and point[2] > 0]
    if not used:
        return Markup()
    largest = max(rows for _, _, rows in used)
    unit = ticks(0, 1, most=5)
    axes = Axes(unit, unit, (0.0, 1.0), height=TALL)
    dots = [
        element(
            "circle",
            element("title", f"{number(rows)} rows: {percent(sure)} sure, {percent(right)} right"),
            class_="dot",
            cx=axes.x(sure),
            cy=axes.y(right),
            r=2.5 + 7 * math.sqrt(rows / largest),
        )
        for sure, right, rows in used
    ]
    equal = element("line", class_="equal", x1=axes.x(0), x2=axes.x(1), y1=axes.y(0), y2=axes.y(1))
    label = text(axes.left, 12, "share that was right", class_="axis")
    return chart(about, axes.grid("confidence"), equal, *dots, label, height=TALL)


def region_chart(
    edges: Sequence[Floats],
    regions: NDArray[np.integer],
    rows: Floats,
    target: NDArray[np.integer],
    names: Sequence[str],
    about: str,
) -> Markup:
    """Regions of the plane by class, and rows as marks whose form and color tell their class.

    ``edges`` are those of the cells along both axes, ``regions`` the classes (up, right) of cells.
    """
    (left, right), (low, high) = ((float(e[0]), float(e[-1])) for e in edges)
    axes = Axes([left, right], [low, high], (left, right), height=TALL)
    parts = [_cells(axes, edges, regions == k, k) for k in range(len(names))]
    marks = [
        text(axes.x(x), axes.y(low) + 17, label, "middle") for x, label in _within(left, right)
    ]
    marks += [text(axes.left - 6, axes.y(y) + 4, label, "end") for y, label in _within(low, high)]
    spots = [
        element("path", element("title", f"{names[k]}: {number(x)}, {number(y)}"),
                class_=f"spot class-{k % len(FORMS)}",
                d=f"M{axes.x(x):.1f} {axes.y(y):.1f}{FORMS[k % len(FORMS)]}")
        for (x, y), k in zip(rows[_sample(len(rows))], target[_sample(len(rows))], strict=True)
    ]  # fmt: skip
    return chart(about, *parts, *spots, *marks, _class_names(axes, names), height=TALL)


def _within(low: float, high: float) -> list[tuple[float, str]]:
    """Give the ticks between two numbers, with their labels."""
    every = ticks(low, high, most=5)
    return [(x, label) for x, label in zip(every, labels(every), strict=True) if low <= x <= high]


def _cells(
    axes: Axes, edges: Sequence[Floats], mine: NDArray[np.bool_], number_of_class: int
) -> Markup:
    """Fill the cells of a class, those beside one another at once."""
    found = []
    for j, row in enumerate(mine):
        steps = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        y0, y1 = axes.y(edges[1][j]), axes.y(edges[1][j + 1])
        for start, stop in steps.reshape(-1, 2).tolist():
            x0, x1 = axes.x(edges[0][start]), axes.x(edges[0][stop])
            found.append(f"M{x0:.1f} {y0:.2f}H{x1:.1f}V{y1:.2f}H{x0:.1f}Z")
    look = f"region class-{number_of_class % len(FORMS)}"
    return element("path", class_=look, d="".join(found)) if found else Markup()


def _class_names(axes: Axes, names: Sequence[str]) -> Markup:
    """Tell the marks of the classes, below the chart."""
    x, parts = axes.left, []
    for k, name in enumerate(names[: len(FORMS)]):
        form = f"M{x + 5:.1f} {axes.height - 10:.1f}{FORMS[k]}"
        parts.append(element("path", class_=f"spot class-{k}", d=form))
        shown = shorten_inside(name, 14)
        parts.append(text(x + 14, axes.height - 6, shown, class_="axis"))
        x += 30 + LETTER * len(shown)
    return join(*parts)


def _finite(x: ArrayLike, y: ArrayLike, positive: bool) -> tuple[Floats, Floats]:
    """Float arrays where what cannot be drawn is nan."""
    place, value = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    drawn = np.isfinite(value) & ((value > 1 / LARGEST) if positive else True)
    return place, np.where(drawn, np.clip(value, -LARGEST, LARGEST), np.nan)


def _line(axes: Axes, style: str, x: Floats, y: Floats) -> Markup:
    """One path; the pen is lifted at gaps, and a point alone is a dot."""
    drawn = np.flatnonzero(np.isfinite(y))
    parts, before = [], -2
    gaps = np.cumsum(~np.isfinite(y))
    for index in _kept(y, drawn):
        together = before >= 0 and gaps[index] == gaps[before]
        point = f"{coordinate(axes.x(x[index]))} {coordinate(axes.y(y[index]))}"
        parts.append(f"L{point}" if together else f"M{point}h0")
        before = index
    return element("path", class_=f"line {style}", d="".join(parts))


def _kept(y: Floats, drawn: NDArray[np.intp]) -> list[int]:
    """Few enough points for a picture: the lowest and the highest of each stretch."""
    if len(drawn) <= 2 * MOST_BUCKETS:
        return [int(index) for index in drawn]
    kept = {int(drawn[0]), int(drawn[-1])}
    for part in np.array_split(drawn, MOST_BUCKETS):
        kept |= {int(part[np.argmin(y[part])]), int(part[np.argmax(y[part])])}
    return sorted(kept)


def _mark(axes: Axes, epoch: float) -> Markup:
    x, top, bottom = axes.x(epoch), axes.y(axes.y_ticks[-1]), axes.y(axes.y_ticks[0])
    label = f"best {epoch:,.0f}"
    half = LETTER * len(label) / 2
    middle = min(max(x, axes.left + half), WIDTH - axes.right - half)
    return join(
        element("line", class_="best", x1=x, x2=x, y1=top, y2=bottom),
        text(middle, 13, label, "middle", "best-name"),
    )


def _end_names(axes: Axes, ends: Sequence[tuple[Series, float]]) -> Markup:
    """Name the lines where they end, pushed apart where two would overlap."""
    parts, free = [], -math.inf
    for line, value in sorted(ends, key=lambda end: axes.y(end[1])):
        free = max(axes.y(value) + 4, free)
        x = WIDTH - axes.right + 7
        parts.append(text(x, free, line.name, class_=f"line-name {line.style}", longest=12))
        free += 15
    return join(*parts)


def _pairs(actual: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    """Pairs of two finite numbers."""
    truth, guess = _finite(actual, predicted, positive=False)
    known = np.isfinite(truth) & np.isfinite(guess)
    return np.clip(truth[known], -LARGEST, LARGEST), guess[known]


def _errors(actual: ArrayLike, predicted: ArrayLike) -> tuple[Floats, float, float]:
    """Predicted minus true values, and the range that is drawn."""
    truth, guess = _pairs(actual, predicted)
    error = np.clip(guess - truth, -LARGEST, LARGEST)
    if not len(error):
        return error, 0.0, 0.0
    low, high = (float(edge) for edge in np.quantile(error, [0.005, 0.995]))
    room = (high - low) / 2
    return error, low - room, high + room


def _sample(rows: int) -> NDArray[np.intp]:
    """At most 1,000 of the rows, the same ones each time."""
    if rows <= MOST_POINTS:
        return np.arange(rows)
    return np.random.default_rng(0).choice(rows, MOST_POINTS, replace=False)
