"""The flow through a network as SVG: values go to the right, gradients come back to the left."""

import math
from collections.abc import Iterator, Sequence

from chainrule.markup import Markup, element, join
from chainrule.transforms.draw.style import LABEL, SMALL, shade, strengths, widest
from chainrule.transforms.explain.blocks import Flow, Stage
from chainrule.transforms.explain.writing import number

MARGIN, ROW, PAD = 6.0, 15.0, 10.0
GAP = 34.0
"""Between two boxes."""

ARC = 14.0
"""How much higher a line is that passes over one more box."""

STYLE = """
.e-flow svg { font: 12.5px system-ui, sans-serif; fill: currentColor; display: block; }
.e-flow .small { font-size: 11px; } .e-flow .label { font-weight: 600; }
.e-flow .muted { opacity: .65; } .e-flow text { text-anchor: middle; }
.e-flow .box { fill: none; stroke: currentColor; stroke-opacity: .5; }
.e-flow .odd { stroke: #d0021b; stroke-width: 2.5; stroke-opacity: 1; }
.e-flow .line { fill: none; stroke: currentColor; stroke-opacity: .6; stroke-width: 1.4; }
"""


def picture(flow: Flow, digits: int) -> Markup:
    """Draw the boxes of a flow, arrows between them, and under them what is unusual."""
    stages = flow.stages
    lines = [_lines(x, digits) for x in stages]
    widths = [widest([(text, LABEL if k == 0 else SMALL) for k, (text, _) in enumerate(each)])
              + 2 * PAD for each in lines]  # fmt: skip
    left = [MARGIN + sum(widths[:k]) + GAP * k for k in range(len(stages))]
    jumps = [(j, k) for k, x in enumerate(stages) for j in x.after if j < k - 1]
    top = MARGIN + ARC * max((k - j for j, k in jumps), default=0)
    tall = ROW * max(map(len, lines)) + PAD
    strength = strengths([x.gradient for x in stages])
    middles = [x + w / 2 for x, w in zip(left, widths, strict=True)]
    parts: list[str] = [element("title", "Flow through the network"),
                        element("desc", _words(stages, digits))]  # fmt: skip
    for k, stage in enumerate(stages):
        at = (left[k], top, widths[k], tall)
        parts += _box(stage, lines[k], at)
        part = strength[k]
        if stage.gradient is not None and part is not None:
            parts += _gradient(number(stage.gradient, digits), part, at)
        if k - 1 in stage.after:
            parts += _arrow(left[k] - GAP, left[k], top + tall / 2)
            if stage.gradient is not None and stages[k - 1].gradient is not None:
                parts += _arrow(left[k], left[k] - GAP, top + tall + PAD + ROW / 2)
    parts += [_arc(middles[j], middles[k], top, ARC * (k - j)) for j, k in jumps]
    across, down = left[-1] + widths[-1] + MARGIN, top + tall + 2 * PAD + ROW + MARGIN
    return element(
        "svg", *parts, role="img",
        aria_label="Flow: values to the right, gradients to the left",
        width=math.ceil(across), height=math.ceil(down),
        viewBox=f"0 0 {math.ceil(across)} {math.ceil(down)}",
    )  # fmt: skip


def _lines(x: Stage, digits: int) -> list[tuple[str, str]]:
    shape = " × ".join(map(str, x.shape))
    listed = [
        (f"{x.label}: {x.kind}" if x.kind else x.label, "label"),
        (shape, "small muted"),
        (f"{_signed(x.mean, digits)} ± {number(x.std, digits)}", "small"),
    ]
    if not x.shape:
        listed = [listed[0], ("", ""), (_signed(x.mean, digits), "small")]
    return listed


def _signed(x: float, digits: int) -> str:
    return number(x, digits).replace("-", "−")


def _box(x: Stage, lines: Sequence[tuple[str, str]], at: Sequence[float]) -> Iterator[Markup]:
    left, top, across, tall = at
    odd = " odd" if x.notes else ""
    parts = [element("rect", class_=f"box{odd}", x=left, y=top, width=across, height=tall, rx=6.0)]
    for k, (text, look) in enumerate(lines):
        y = top + ROW * (k + 1)
        parts.append(element("text", text, class_=look, x=left + across / 2, y=y))
    told = [element("title", "; ".join(x.notes))] if x.notes else []
    yield element("g", *told, *parts)


def _gradient(text: str, part: float, at: Sequence[float]) -> Iterator[Markup]:
    """Draw the size of a gradient under its box, darker where it is larger."""
    left, top, across, tall = at
    color, strong = shade(part)
    y = top + tall + PAD
    yield element("rect", x=left, y=y, width=across, height=ROW + 2, rx=8.0, style=f"fill:{color}")
    look = f"fill:{'#fff' if strong else '#000'}"
    yield element("text", f"∂ {text}", class_="small", x=left + across / 2, y=y + 12.5, style=look)


def _arrow(start: float, stop: float, y: float) -> Iterator[Markup]:
    back = -7.0 if stop > start else 7.0
    room = 4.0 if stop > start else -4.0
    tip = stop - room
    yield element("path", class_="line", d=f"M{start + room:.1f} {y:.1f}H{tip + back:.1f}")
    yield element(
        "path", d=f"M{tip:.1f} {y:.1f}L{tip + back:.1f} {y - 3.2:.1f}V{y + 3.2:.1f}Z", opacity=0.6
    )


def _arc(start: float, stop: float, top: float, high: float) -> Markup:
    """Draw a line over the boxes between two that are no neighbours."""
    y = top - high
    d = f"M{start:.1f} {top:.1f}C{start:.1f} {y:.1f} {stop:.1f} {y:.1f} {stop:.1f} {top - 7:.1f}"
    head = f"M{stop:.1f} {top:.1f}L{stop - 3.2:.1f} {top - 7:.1f}H{stop + 3.2:.1f}Z"
    return join(element("path", class_="line", d=d), element("path", d=head, opacity=0.6))


def _words(stages: Sequence[Stage], digits: int) -> str:
    """Say a flow in words."""
    said = []
    for x in stages:
        g = "" if x.gradient is None else f", gradient {number(x.gradient, digits)}"
        notes = "".join(f"; {note}" for note in x.notes)
        said.append(f"{x.label} {x.kind}".strip() + f": {number(x.mean, digits)}{g}{notes}")
    return ". ".join(said)
