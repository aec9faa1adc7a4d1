"""Layout of a diagram: each frame is laid out by itself, and is a box in the frame around it.

A line that crosses the border of a frame does so at a port, a box of no size in the first or last
rank of the frame. So boxes of different frames are never in each other's way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from chainrule.transforms.draw.diagram import Diagram, Frame
from chainrule.transforms.draw.layout import GAP, Link, Plan, Point, Size, layered

PAD = 14.0  # between the border of a frame and what is in it
TITLE = 38.0  # height of the title of a frame
PORT = 4.0
OUTSIDE = -1  # stands for a frame around all

_Item = tuple[str, int]  # "node", "frame", "in" or "out", and its number
# What a line begins or ends at within one frame, and the signal of a frame or the turn of a node.
# A signal, and so the number of a port, is the number of the node that it comes from.
_End = tuple[_Item, int]
_Hop = tuple[int, tuple[_End, _End]]  # a frame, and a line in it


@dataclass
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Layout:
    """Where the boxes of nodes and frames are, and the points of each edge."""

    nodes: list[Box]
    frames: list[Box]
    routes: list[list[Point]]
    width: float
    height: float
    plans: list[Plan]


@dataclass
class _Inside:
    """What is directly in one frame: boxes, lines, ports, and later its layout."""

    items: dict[_Item, int] = field(default_factory=dict)
    links: dict[tuple[_End, _End], int] = field(default_factory=dict)
    plan: Plan | None = None
    shift: float = 0.0
    top: float = 0.0
    width: float = 0.0
    height: float = 0.0


def lay_out(
    diagram: Diagram, sizes: Sequence[tuple[float, float]], titles: Sequence[float]
) -> Layout:
    """Place everything, given the sizes of nodes and the widths of the titles of frames."""
    paths = _paths(diagram.frames)
    repeated: dict[tuple[int, int], int] = {}
    hops = []
    for edge in diagram.edges:
        ends = edge.source, edge.target
        repeated[ends] = repeated.get(ends, 0) + 1
        hops.append(_hops(diagram, paths, edge.source, edge.target, repeated[ends]))
    insides = {f: _Inside() for f in range(OUTSIDE, len(diagram.frames))}
    for route in hops:
        for f, line in route:
            insides[f].links.setdefault(line, len(insides[f].links))
    children = _children(diagram, paths)
    light = [node.kind not in ("op", "group", "input") for node in diagram.nodes]
    for f in reversed(range(OUTSIDE, len(diagram.frames))):
        _lay_out_inside(insides[f], children[f], insides, sizes, light)
        if f != OUTSIDE:
            _add_border(insides[f], titles[f])
    return _absolute(diagram, insides, hops, sizes)


def _paths(frames: Sequence[Frame]) -> list[tuple[int, ...]]:
    """Give for each frame those around it and itself, from the outermost."""
    paths: list[tuple[int, ...]] = []
    for f, frame in enumerate(frames):
        paths.append((*(() if frame.frame is None else paths[frame.frame]), f))
    return paths


def _hops(
    diagram: Diagram, paths: list[tuple[int, ...]], source: int, target: int, turn: int
) -> list[_Hop]:
    """Split an edge at the borders that it crosses; `turn` tells edges of the same ends apart."""
    up, down = (() if (f := diagram.nodes[i].frame) is None else paths[f] for i in (source, target))
    common = 0
    while common < min(len(up), len(down)) and up[common] == down[common]:
        common += 1
    hops: list[_Hop] = []
    at: _End = ("node", source), 0
    for f in reversed(up[common:]):
        hops.append((f, (at, (("out", source), 0))))
        at = ("frame", f), source
    around = up[common - 1] if common else OUTSIDE
    for f in down[common:]:
        hops.append((around, (at, (("frame", f), source))))
        around, at = f, (("in", source), 0)
    hops.append((around, (at, (("node", target), turn))))
    return hops


def _children(diagram: Diagram, paths: list[tuple[int, ...]]) -> dict[int, list[_Item]]:
    """List the nodes and frames directly in each frame, in the order of their first nodes."""
    children: dict[int, list[_Item]] = {f: [] for f in range(OUTSIDE, len(diagram.frames))}
    met: set[int] = set()
    for i, node in enumerate(diagram.nodes):
        path = () if node.frame is None else paths[node.frame]
        for around, f in zip((OUTSIDE, *path), path, strict=False):
            if f not in met:
                met.add(f)
                children[around].append(("frame", f))
        children[path[-1] if path else OUTSIDE].append(("node", i))
    return children


def _lay_out_inside(
    own: _Inside,
    children: list[_Item],
    insides: dict[int, _Inside],
    sizes: Sequence[tuple[float, float]],
    light: Sequence[bool],
) -> None:
    """Lay out what is directly in one frame; the frames in it are laid out already."""
    ports = {item: None for line in own.links for item, _ in line if item[0] in ("in", "out")}
    ins, outs = ([p for p in ports if p[0] == side] for side in ("in", "out"))
    items = [*ins, *children, *outs]
    own.items = {item: n for n, item in enumerate(items)}
    boxes = [Size(PORT, 0.0, -1)] * len(ins)
    for kind, i in children:
        boxes.append(
            Size(*sizes[i]) if kind == "node" else Size(insides[i].width, insides[i].height)
        )
    boxes += [Size(PORT, 0.0, 1)] * len(outs)
    links = [
        Link(
            own.items[source[0]],
            own.items[target[0]],
            _port(source, "out", insides),
            _port(target, "in", insides),
            light=source[0][0] == "node" and light[source[0][1]],
        )
        for source, target in own.links
    ]
    own.plan = layered(boxes, links)
    own.width, own.height = own.plan.width, own.plan.height


def _port(end: _End, side: str, insides: dict[int, _Inside]) -> float | None:
    """Give the distance of a port of a frame from the middle of the frame."""
    (kind, frame), signal = end
    if kind != "frame":
        return None
    inner = insides[frame]
    assert inner.plan is not None
    x, _ = inner.plan.corners[inner.items[side, signal]]
    return inner.shift + x + PORT / 2 - inner.width / 2


def _add_border(own: _Inside, title: float) -> None:
    """Add room for the border, and for a title that no line goes through."""
    assert own.plan is not None
    ports = [
        own.plan.corners[n][0] + PORT / 2 for (kind, _), n in own.items.items() if kind == "in"
    ]
    room = title + 2 * PAD
    own.width = max(own.width + 2 * PAD, room)
    low = min((x + (own.width - own.plan.width) / 2 for x in ports), default=room)
    own.width += 2 * max(title + PAD + 4 - low, 0)
    own.shift = (own.width - own.plan.width) / 2
    # Between ports and the boxes below or above them there is room already.
    bends = [
        x + own.shift
        for (source, _), n in own.links.items()
        for x, y in own.plan.routes[n]
        if source[0][0] == "in" and y <= GAP
    ]
    own.top = 8.0 if bends and min(bends) >= title + PAD + 4 else TITLE
    own.height += own.top + (0.0 if any(kind == "out" for kind, _ in own.items) else PAD)


def _absolute(
    diagram: Diagram,
    insides: dict[int, _Inside],
    hops: list[list[_Hop]],
    sizes: Sequence[tuple[float, float]],
) -> Layout:
    """Add the corners of frames to what is in them, from the outside in."""
    corner: dict[int, Point] = {OUTSIDE: (0.0, 0.0)}
    boxes: dict[_Item, Box] = {}
    for f in range(OUTSIDE, len(diagram.frames)):
        own = insides[f]
        assert own.plan is not None
        x0, y0 = corner[f]
        for (kind, i), n in own.items.items():
            x, y = own.plan.corners[n]
            if kind == "node":
                boxes[kind, i] = Box(x0 + x, y0 + y, *sizes[i])
            elif kind == "frame":
                inner = insides[i]
                boxes[kind, i] = Box(x0 + x, y0 + y, inner.width, inner.height)
                corner[i] = (x0 + x + inner.shift, y0 + y + inner.top)
    routes = []
    for route in hops:
        points: list[Point] = []
        for f, line in route:
            own = insides[f]
            assert own.plan is not None
            x0, y0 = corner[f]
            points += [(x0 + x, y0 + y) for x, y in own.plan.routes[own.links[line]]]
        routes.append([p for n, p in enumerate(points) if n == 0 or p != points[n - 1]])
    outside = insides[OUTSIDE]
    nodes = [boxes["node", i] for i in range(len(sizes))]
    frames = [boxes["frame", f] for f in range(len(diagram.frames))]
    plans = [own.plan for own in insides.values() if own.plan is not None]
    return Layout(nodes, frames, routes, outside.width, outside.height, plans)
