"""Units of a net as SVG: columns of circles, and lines between them, blue or orange by sign."""

import math
from collections.abc import Iterator

from chainrule.markup import Markup, element, join
from chainrule.transforms.draw import Diagram, Node
from chainrule.transforms.draw.style import SMALL, style_sheet, widest, width
from chainrule.transforms.draw.svg import MARGIN, ROOT, description, document

RADIUS, SMALLER = 19.0, 14.0  # of units, of bias nodes
ACROSS, DOWN = 190.0, 62.0  # from column to column, from unit to unit
HEADER, FOOTER = 66.0, 64.0
MOST_WEIGHTS = 16  # of a layer, to be written on the lines
CROWDED = 60  # weights of a layer, of which lines are thinner
LEGEND = (("positive", "above 0"), ("negative", "below 0"))
_ALONG = (0.26, 0.36, 0.46, 0.2, 0.56, 0.66, 0.74)  # where on its line a weight may stand

Place = tuple[float, float]


def picture(diagram: Diagram) -> str:
    """Draw a diagram of units, whose frames are the columns."""
    places, down = _places(diagram)
    columns = len(diagram.frames)
    captions = [_caption(diagram, f) for f in range(columns)]
    total = diagram.parameters
    drawn = len(diagram.edges)
    biased = any(node.kind == "bias" for node in diagram.nodes)
    subtitle = f"{total:,} weights" + ", those of bias nodes included" * biased
    subtitle += f", {drawn:,} drawn" * (drawn < total)
    half = [widest([(line, SMALL) for line in lines]) / 2 for lines in captions]
    left = max(half[0], RADIUS) + MARGIN
    across = left + ACROSS * (columns - 1) + max(half[-1], RADIUS) + MARGIN
    across = max(across, widest([(diagram.title, 15.5), (subtitle, SMALL)]) + 2 * MARGIN)
    places = [(x + left, y + HEADER) for x, y in places]
    parts: list[str] = [
        element("title", f"Neurons of {diagram.title}"),
        element("desc", description(diagram)),
        element("style", Markup(style_sheet(ROOT))),
        element("rect", class_="paper", width=across, height=down + HEADER + FOOTER, rx=6.0),
        element("text", diagram.title, class_="title", x=MARGIN, y=MARGIN + 12),
        element("text", subtitle, class_="small muted", x=MARGIN, y=MARGIN + 29),
        *_weights(diagram, places),
        *(_unit(node, place) for node, place in zip(diagram.nodes, places, strict=True)),
    ]
    for f, lines in enumerate(captions):
        for k, words in enumerate(lines):
            y = HEADER + down + 8 + 14 * k
            look = "small middle label" if k == 0 else "small middle muted"
            parts.append(element("text", words, class_=look, x=left + ACROSS * f, y=y))
    parts.append(_legend(HEADER + down + 46))
    return document(parts, across, down + HEADER + FOOTER, f"Neurons of {diagram.title}")


def _legend(y: float) -> Markup:
    x, parts = MARGIN, []
    for look, words in LEGEND:
        line = f"M{x:.0f} {y - 4:.0f}h18"
        parts.append(element("path", class_=f"line {look}", d=line, style="stroke-width:2.5"))
        parts.append(element("text", words, class_="small muted", x=x + 24, y=y))
        x += 24 + width(words, SMALL) + 14
    return join(*parts)


def _caption(diagram: Diagram, f: int) -> list[str]:
    frame = diagram.frames[f]
    return [words for words in (frame.label, frame.detail) if words]


def _places(diagram: Diagram) -> tuple[list[Place], float]:
    """Give the middle of each circle, and how far down the lowest of them reaches."""
    columns: list[list[int]] = [[] for _ in diagram.frames]
    for i, node in enumerate(diagram.nodes):
        assert node.frame is not None
        columns[node.frame].append(i)
    tallest = max(sum(diagram.nodes[i].kind != "bias" for i in column) for column in columns)
    biased = any(node.kind == "bias" for node in diagram.nodes)
    top = RADIUS + DOWN * 0.9 * biased
    places: list[Place] = [(0.0, 0.0)] * len(diagram.nodes)
    for f, column in enumerate(columns):
        units = [i for i in column if diagram.nodes[i].kind != "bias"]
        first = top + (tallest - len(units)) / 2 * DOWN
        for k, i in enumerate(units):
            places[i] = (f * ACROSS, first + k * DOWN)
        for i in column:
            if diagram.nodes[i].kind == "bias":
                places[i] = (f * ACROSS, first - DOWN * 0.9)
    named = 12 if diagram.valued else 0  # under the circles
    return places, top + (tallest - 1) * DOWN + RADIUS + 14 + named


def _radius(node: Node) -> float:
    return {"bias": SMALLER, "more": 0.0}.get(node.kind, RADIUS)


def _unit(node: Node, place: Place) -> Markup:
    x, y = place
    if node.kind == "more":
        half = width(node.label, SMALL) / 2 + 3
        behind = element("rect", class_="paper", x=x - half, y=y - 9, width=2 * half, height=18.0)
        return join(behind, element("text", node.label, class_="small middle", x=x, y=y + 4))
    said = (
        f"bias node {node.label}" if node.kind == "bias" else f"{node.label} {node.detail}".strip()
    )
    kind = "constant" if node.kind == "bias" else "group" if node.frame else "input"
    words = [*node.numbers, node.label] if node.numbers else [node.label]
    parts = [
        element("title", ", ".join([said, *node.numbers])),
        element("circle", class_="box", cx=x, cy=y, r=_radius(node)),
        element("text", words[0], class_=_look(words[0], _radius(node)), x=x, y=y + 4),
    ]
    if node.numbers:
        parts.append(
            element("text", node.label, class_="small middle muted", x=x, y=y + RADIUS + 12)
        )
    return element("g", *parts, class_=f"node {node.kind} {kind}", tabindex="0")


def _look(words: str, radius: float) -> str:
    fits = width(words, SMALL) < 2 * radius - 4
    return "middle label" if fits and len(words) < 4 else "middle small"


def _weights(diagram: Diagram, places: list[Place]) -> Iterator[Markup]:
    """Draw a line for each weight, then all that is written on them."""
    sizes = [_value(edge.shape) for edge in diagram.edges]
    largest = max((abs(size) for size in sizes), default=0.0) or 1.0
    crowded: dict[int | None, int] = {}
    for edge in diagram.edges:
        column = diagram.nodes[edge.target].frame
        crowded[column] = crowded.get(column, 0) + 1
    taken = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in places]
    said = []
    for edge, size in zip(diagram.edges, sizes, strict=True):
        source, target = diagram.nodes[edge.source], diagram.nodes[edge.target]
        ends = _ends(places[edge.source], places[edge.target], _radius(source), _radius(target))
        sign = "negative" if size < 0 else "positive"
        thick = 0.8 + 3 * abs(size) / largest
        if crowded[target.frame] > CROWDED:
            thick /= 2
        kind = "bias-weight" if source.kind == "bias" else "weight"
        (x1, y1), (x2, y2) = ends
        line = element(
            "path", class_=f"line {sign}", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}",
            style=f"stroke-width:{thick:.2f}",
        )  # fmt: skip
        about = element("title", f"{source.label} to {target.label}: {edge.shape}")
        yield element("g", about, line, class_=f"edge {kind}")
        if crowded[target.frame] <= MOST_WEIGHTS:
            said.append(_written(edge.shape, *ends, taken))
    yield from said


def _value(weight: str) -> float:
    """Read the number on a line again; an inhibiting line has none, and counts as negative."""
    return -1.0 if weight == "inhibits" else float(weight.replace("−", "-"))


def _ends(a: Place, b: Place, from_: float, to: float) -> tuple[Place, Place]:
    """Give the points where the line between two middles leaves and enters the circles."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = math.hypot(dx, dy)
    u, v = dx / length, dy / length
    return (a[0] + u * from_, a[1] + v * from_), (b[0] - u * to, b[1] - v * to)


def _written(
    words: str, a: Place, b: Place, taken: list[tuple[float, float, float, float]]
) -> Markup:
    """Write a weight on its line where nothing else is written yet."""
    half = width(words, SMALL) / 2 + 2

    def box(t: float) -> tuple[float, float, float, float]:
        x, y = a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])
        return x - half, y - 7, x + half, y + 7

    free = [t for t in _ALONG if not any(_touch(box(t), other) for other in taken)]
    place = box(free[0] if free else _ALONG[0])
    taken.append(place)
    x, y = (place[0] + place[2]) / 2, place[1] + 11
    behind = element("rect", class_="paper", x=place[0], y=place[1], width=2 * half, height=14.0)
    return join(behind, element("text", words, class_="small middle", x=x, y=y))


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
