"""What is wrong with a layout: boxes that overlap, lines that hang in the air or cross a box."""

from itertools import combinations, pairwise

from chainrule.transforms.draw.nested import PAD
from chainrule.transforms.draw.style import SMALL, widest
from chainrule.transforms.draw.svg import frame_words

TOLERANCE = 0.01


def problems(diagram, layout):
    """List everything that is wrong."""
    return [
        *overlaps(diagram, layout),
        *loose_ends(diagram, layout),
        *crossed_boxes(diagram, layout),
        *crossed_titles(diagram, layout),
    ]


def around(diagram, frame):
    """Give the frames around a thing."""
    path = []
    while frame is not None:
        path.append(frame)
        frame = diagram.frames[frame].frame
    return path


def apart(a, b):
    return (
        a.x + a.width <= b.x + TOLERANCE
        or b.x + b.width <= a.x + TOLERANCE
        or a.y + a.height <= b.y + TOLERANCE
        or b.y + b.height <= a.y + TOLERANCE
    )


def inside(a, b):
    return (
        a.x >= b.x - TOLERANCE
        and a.y >= b.y - TOLERANCE
        and a.x + a.width <= b.x + b.width + TOLERANCE
        and a.y + a.height <= b.y + b.height + TOLERANCE
    )


def overlaps(diagram, layout):
    things = [(f"node {i}", layout.nodes[i], around(diagram, node.frame), None)
              for i, node in enumerate(diagram.nodes)]  # fmt: skip
    things += [(f"frame {f}", layout.frames[f], around(diagram, frame.frame), f)
               for f, frame in enumerate(diagram.frames)]  # fmt: skip
    for (name, a, path, f), (other, b, path_b, g) in combinations(things, 2):
        if g in path and g is not None:
            if not inside(a, b):
                yield f"{name} is not inside of {other}"
        elif f in path_b and f is not None:
            if not inside(b, a):
                yield f"{other} is not inside of {name}"
        elif not apart(a, b):
            yield f"{name} overlaps {other}"
    whole = type(layout.nodes[0])(0, 0, layout.width, layout.height)
    for name, a, _, _ in things:
        if not inside(a, whole):
            yield f"{name} is outside of the picture"


def on_border(box, point):
    x, y = point
    level = abs(y - box.y) < TOLERANCE or abs(y - box.y - box.height) < TOLERANCE
    return level and box.x - TOLERANCE <= x <= box.x + box.width + TOLERANCE


def loose_ends(diagram, layout):
    for n, (edge, route) in enumerate(zip(diagram.edges, layout.routes, strict=True)):
        if not on_border(layout.nodes[edge.source], route[0]):
            yield f"edge {n} does not start at node {edge.source}"
        if not on_border(layout.nodes[edge.target], route[-1]):
            yield f"edge {n} does not end at node {edge.target}"


def crossed_boxes(diagram, layout):
    """Look along every line at nodes that it has nothing to do with."""
    for n, (edge, route) in enumerate(zip(diagram.edges, layout.routes, strict=True)):
        points = [p for a, b in pairwise(route) for p in along(a, b)]
        low, high = min(y for _, y in points), max(y for _, y in points)
        for i, box in enumerate(layout.nodes):
            if i in (edge.source, edge.target) or box.y > high or box.y + box.height < low:
                continue
            if any(
                box.x + TOLERANCE < x < box.x + box.width - TOLERANCE
                and box.y + TOLERANCE < y < box.y + box.height - TOLERANCE
                for x, y in points
            ):
                yield f"edge {n} crosses node {i}"


def crossed_titles(diagram, layout):
    """Look along every line at the titles of frames."""
    titles = []
    for frame, box in zip(diagram.frames, layout.frames, strict=True):
        words = [(line, SMALL) for line in frame_words(frame)]
        titles.append(
            (box.x + PAD, box.y + 6, widest(words), 13.0 * sum(bool(w) for w, _ in words))
        )
    for n, route in enumerate(layout.routes):
        points = [p for a, b in pairwise(route) for p in along(a, b)]
        for f, (left, top, width, height) in enumerate(titles):
            if any(left < x < left + width and top < y < top + height for x, y in points):
                yield f"edge {n} crosses the title of frame {f}"


def along(a, b, steps=8):
    """Give points of the curve that is drawn between two points: vertical at both ends."""
    (x0, y0), (x1, y1) = a, b
    for k in range(steps + 1):
        t = k / steps
        part = 3 * t * t * (1 - t) + t**3  # of the curve with controls (x0, middle), (x1, middle)
        middle = (y0 + y1) / 2
        y = (
            y0 * (1 - t) ** 3
            + 3 * middle * t * (1 - t) ** 2
            + 3 * middle * t * t * (1 - t)
            + y1 * t**3
        )
        yield x0 + (x1 - x0) * part, y
