"""A diagram as SVG: boxes, frames and lines, a legend, words for those who do not see it.

>>> from chainrule.transforms.draw.diagram import Diagram, Edge, Node
>>> picture = render(Diagram("sine", [Node("input", "x"), Node("op", "sin")], [Edge(0, 1)]))
>>> picture[:4], picture.count('class="node')
('<svg', 2)
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from chainrule.markup import Markup, coordinate, element, join
from chainrule.transforms.draw.diagram import KINDS, ROUND, Diagram, Edge, Frame, Node, counted
from chainrule.transforms.draw.formats import text
from chainrule.transforms.draw.layout import Point
from chainrule.transforms.draw.marks import NO_GRADIENT, number
from chainrule.transforms.draw.nested import PAD, Box, Layout, lay_out
from chainrule.transforms.draw.style import (
    BOLD,
    LABEL,
    SMALL,
    shade,
    strengths,
    style_sheet,
    widest,
    width,
)

ROOT = "chainrule-graph"
MARGIN = 18.0
HEADER = 44.0
ROW = 15.0  # from line to line of a text
BAR = 180.0  # length of the legend of the ramp
MOST_SAID = 60  # lines of the description
ONE_LINE = (*ROUND, "parameter", "buffer")  # kinds whose shape stands beside their name

Line = tuple[str, float, str]  # a text, its font size, its classes


def render(diagram: Diagram) -> str:
    """Draw a diagram."""
    return picture(diagram, arrange(diagram))


def arrange(diagram: Diagram) -> Layout:
    """Lay a diagram out by the sizes of its texts."""
    sizes = [node_size(node) for node in diagram.nodes]
    titles = [widest([(words, SMALL * BOLD) for words in frame_words(f)]) for f in diagram.frames]
    return lay_out(diagram, sizes, titles)


def picture(diagram: Diagram, layout: Layout) -> str:
    """Draw a diagram whose layout is known."""
    legend, legend_width, legend_height = _legend(diagram)
    subtitle = _subtitle(diagram)
    inner = max(layout.width, legend_width, widest([(diagram.title, 15.5), (subtitle, SMALL)]))
    shift = (MARGIN + (inner - layout.width) / 2, MARGIN + HEADER)
    across, down = inner + 2 * MARGIN, shift[1] + layout.height + legend_height + MARGIN
    strength = strengths([node.gradient for node in diagram.nodes])
    parts: list[str] = [
        element("title", f"Graph of {diagram.title}"),
        element("desc", description(diagram)),
        element("style", Markup(style_sheet(ROOT))),
        element("rect", class_="paper", width=across, height=down, rx=6.0),
        element("text", diagram.title, class_="title", x=MARGIN, y=MARGIN + 12),
        element("text", subtitle, class_="small muted", x=MARGIN, y=MARGIN + 29),
        Markup(f'<g transform="{_moved(*shift)}">'),
        *(_frame(f, box) for f, box in zip(diagram.frames, layout.frames, strict=True)),
        *(
            _edge(diagram, edge, route)
            for edge, route in zip(diagram.edges, layout.routes, strict=True)
        ),
        *(
            _node(node, box, diagram.valued, part)
            for node, box, part in zip(diagram.nodes, layout.nodes, strength, strict=True)
        ),
        Markup("</g>"),
        element("g", legend, transform=_moved(MARGIN, shift[1] + layout.height)),
    ]
    return document(parts, across, down, f"Graph of {diagram.title}. {subtitle}")


def _moved(x: float, y: float) -> str:
    return f"translate({coordinate(x)} {coordinate(y)})"


def document(parts: Sequence[str], across: float, down: float, about: str) -> str:
    """Put the parts of a picture into its outermost element."""
    return element(
        "svg",
        *(join(part, "\n") for part in parts),
        xmlns="http://www.w3.org/2000/svg",
        class_=ROOT,
        width=math.ceil(across),
        height=math.ceil(down),
        viewBox=f"0 0 {coordinate(across)} {coordinate(down)}",
        role="img",
        aria_label=about,
        style="max-width: 100%; height: auto",
    )


# ---------------------------------------------------------------- boxes


def node_lines(node: Node) -> list[Line]:
    """List the lines of a box: label, details, shape, number of parameters, numbers."""
    if node.kind in ONE_LINE:
        first: list[Line] = [(f"{node.label} {node.shape}".rstrip(), LABEL, "")]
    else:
        more = [node.detail, node.shape, counted(node.parameters)]
        first = [(node.label, LABEL, "label")]
        first += [(line, SMALL, "small muted") for line in more if line]
    return first + [(line, SMALL, "small") for line in node.numbers]


def node_size(node: Node) -> tuple[float, float]:
    """Give width and height of a box, from the lines in it."""
    lines = node_lines(node)
    across = widest([(words, size * (BOLD if "label" in c else 1)) for words, size, c in lines])
    room = 24.0 if node.kind in ROUND else 20.0
    return max(across + room, 34.0), ROW * len(lines) + 11.0


def _node(node: Node, box: Box, valued: bool, part: float | None) -> Markup:
    classes = ["node", node.kind]
    fill = None
    if valued and part is not None:
        fill, strong = shade(part)
        classes.append("strong" if strong else "weak")
    elif any(NO_GRADIENT in line for line in node.numbers):
        classes.append("none")
    radius = min(box.height / 2, 14.0) if node.kind in ROUND else 6.0
    if node.kind == "parameter":
        radius = 0.0
    parts = [element("title", _tooltip(node))] if node.about or node.alarm else []
    corner = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    look = None if fill is None else f"fill:{fill}"
    parts.append(element("rect", class_="box", rx=radius, style=look, **corner))
    if node.alarm:
        grown = {"x": box.x - 4, "y": box.y - 4, "width": box.width + 8, "height": box.height + 8}
        parts.append(element("rect", class_="ring", rx=radius + 4, **grown))
    x, y = box.x + box.width / 2, box.y + 17.5
    for words, _, look_ in node_lines(node):
        parts.append(element("text", words, class_=f"middle {look_}".rstrip(), x=x, y=y))
        y += ROW
    return element("g", *parts, class_=" ".join(classes), tabindex="0")


def _tooltip(node: Node) -> str:
    lines = [f"{node.label} ({KINDS[node.kind]})", node.about, node.shape, *node.numbers]
    return "\n".join(line for line in [*lines, node.alarm] if line)


def frame_words(frame: Frame) -> list[str]:
    """Give the two lines of the title of a frame."""
    more = ", ".join(words for words in (frame.detail, counted(frame.parameters)) if words)
    return [frame.label, more]


def _frame(frame: Frame, box: Box) -> Markup:
    corner = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    label, more = frame_words(frame)
    x, y = box.x + PAD - 2, box.y + 17
    return element(
        "g",
        element("rect", rx=10.0, **corner),
        element("text", label, class_="small label", x=x, y=y),
        element("text", more, class_="small muted", x=x, y=y + 14) if more else "",
        class_="frame",
    )


# ---------------------------------------------------------------- lines


def _edge(diagram: Diagram, edge: Edge, route: Sequence[Point]) -> Markup:
    source, target = diagram.nodes[edge.source], diagram.nodes[edge.target]
    leaf = source.kind in ("parameter", "constant", "buffer", "data")
    parts = [
        element("title", f"{source.label} to {target.label} {edge.shape}".rstrip()),
        element("path", class_="line", d=curve(route)),
        element("path", class_="head", d=_head(route)),
    ]
    if words := diagram.said(edge):
        x, y = route[0]
        parts.append(element("text", words, class_="small muted halo", x=x + 5, y=y + 13))
    return element("g", *parts, class_="edge leaf" if leaf else "edge")


def curve(route: Sequence[Point]) -> str:
    """Write a line that is straight, or bends with vertical ends, from point to point.

    >>> curve([(0.0, 0.0), (0.0, 5.0), (10.0, 25.0)])
    'M0 0V5C0 15 10 15 10 25'
    """
    said = [f"M{coordinate(route[0][0])} {coordinate(route[0][1])}"]
    for (x0, y0), (x1, y1) in pairwise(route):
        if x0 == x1:
            said.append(f"V{coordinate(y1)}")
            continue
        middle = coordinate((y0 + y1) / 2)
        a, b, y = coordinate(x0), coordinate(x1), coordinate(y1)
        said.append(f"C{a} {middle} {b} {middle} {b} {y}")
    return "".join(said)


def _head(route: Sequence[Point]) -> str:
    (x, y), (_, before) = route[-1], route[-2]
    back = -7.0 if y >= before else 7.0
    a, b, c, d = (coordinate(v) for v in (x - 3.2, x + 3.2, x, y + back))
    return f"M{c} {coordinate(y)}L{a} {d}H{b}Z"


# ---------------------------------------------------------------- gradients, legend, words


def _legend(diagram: Diagram) -> tuple[Markup, float, float]:
    """Give the legend, its width and its height."""
    rows: list[Markup] = []
    y, across = 22.0, 0.0
    found = [n.gradient for n in diagram.nodes if n.gradient and math.isfinite(n.gradient)]
    if found:
        low = 10 ** min(math.log10(min(found)), math.log10(max(found)) - 1)
        steps = 36
        colors = [shade(i / (steps - 1))[0] for i in range(steps)]
        rows += [
            element("rect", x=i * BAR / steps, y=y + 6, width=BAR / steps + 0.5, height=10.0,
                    style=f"fill:{color}")
            for i, color in enumerate(colors)
        ]  # fmt: skip
        words = "size of the gradient, logarithmic"
        rows.append(element("text", words, class_="small muted", x=0.0, y=y))
        rows.append(element("text", number(low), class_="small muted", x=0.0, y=y + 29))
        end = number(max(found))
        x = BAR - width(end, SMALL)
        rows.append(element("text", end, class_="small muted", x=x, y=y + 29))
        y, across = y + 48, BAR
    swatches = _swatches(diagram)
    x = 0.0
    for look, words in swatches:
        room = 22 + width(words, SMALL) + 14
        if x and x + room > 420:
            x, y = 0.0, y + 20
        rows.append(_swatch(look, words, x, y))
        x += room
        across = max(across, x)
    return join(*rows), across, (y + 8 if rows else 0.0)


def _swatches(diagram: Diagram) -> list[tuple[str, str]]:
    kinds = {node.kind for node in diagram.nodes}
    named = [(kind, kind) for kind in KINDS if kind in kinds and kind not in ("op", "output")]
    named = [(kind, "layer or other scope" if kind == "group" else words) for kind, words in named]
    if any(NO_GRADIENT in line for node in diagram.nodes for line in node.numbers):
        named.append(("none", NO_GRADIENT))
    alarms = {part.split(":")[0] for n in diagram.nodes for part in n.alarm.split(", ") if part}
    if alarms:
        named.append(("alarm", " or ".join(sorted(alarms))))
    return named


def _swatch(look: str, words: str, x: float, y: float) -> Markup:
    radius = 5.0 if look in ROUND else 0.0 if look == "parameter" else 2.5
    class_ = "ring" if look == "alarm" else "box"
    mark = element("rect", class_=class_, x=x, y=y - 9, width=16.0, height=10.0, rx=radius)
    said = element("text", words, class_="small muted", x=x + 22, y=y)
    return join(element("g", mark, class_=look), said)


def _subtitle(diagram: Diagram) -> str:
    ops = sum(node.kind == "op" for node in diagram.nodes)
    groups = sum(node.kind == "group" for node in diagram.nodes)
    said = [f"{groups} box{'es' * (groups != 1)}"] if groups else []
    said += [f"{ops} operation{'s' * (ops != 1)}"] if ops else []
    return " · ".join([counted(diagram.parameters) or "no parameters", *said])


def description(diagram: Diagram) -> str:
    """Say a picture in words, the first lines of its text."""
    lines = text(diagram).splitlines()
    more = [f"… {len(lines) - MOST_SAID} more lines"] if len(lines) > MOST_SAID else []
    return "\n".join(lines[:MOST_SAID] + more)
