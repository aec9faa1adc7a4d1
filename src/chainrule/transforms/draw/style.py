"""Colors and fonts of pictures, for light and dark screens, and how wide a text is.

>>> round(width("matmul", 12)), round(width("W", 12)), round(width("i", 12))
(45, 10, 4)
>>> shade(0.0), shade(1.0)
(('#f6f3d0', False), ('#1d2f6f', True))
"""

import math
from collections.abc import Sequence

LABEL, SMALL = 12.5, 11.0  # font sizes
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

# Widths of letters, those of wide fonts: boxes are rather too large than too small.
_WIDTHS = {
    **dict.fromkeys("ijl|'.,:;!", 0.33), **dict.fromkeys("frt()[]{}/- ", 0.41), "_": 0.5,
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 0.73), **dict.fromkeys("mwMW@%×÷−=<>±≤≥≠+", 0.87),
}  # fmt: skip
_OTHER = 0.63
FULL_WIDTH = "\u2e80"  # from here on letters are as wide as high
BOLD = 1.13

# From weak to strong: one direction of lightness, and blue to yellow, which all eyes tell apart.
RAMP = ("#f6f3d0", "#cfe4b6", "#92cbb5", "#4eabb9", "#2c80ae", "#26549b", "#1d2f6f")

_COLORS = """
.paper                 fill    #ffffff  #14171a
text                   fill    #1c1f23  #e4e7ea
.muted                 fill    #5a616b  #a2a9b2
.box                   fill    #ffffff  #1d2125
.box                   stroke  #aab2bc  #59626c
.group .box            fill    #e9f1fa  #1c2c3c
.group .box            stroke  #6f9bc7  #5c8fc0
.input .box            fill    #e2f3ee  #14332c
.input .box            stroke  #3f9480  #4fae98
.output .box           fill    #2b3a4b  #d3dce6
.output .box           stroke  #2b3a4b  #d3dce6
.output text           fill    #ffffff  #14171a
.parameter .box        fill    #fdf1d6  #3a2e12
.parameter .box        stroke  #c9942c  #c9942c
.variable .box         fill    #fdf1d6  #3a2e12
.variable .box         stroke  #c9942c  #c9942c
.data .box             fill    #eff1f3  #262b30
.constant .box         fill    #eff1f3  #262b30
.constant .box         stroke  #eff1f3  #262b30
.buffer .box           fill    #f3e9f5  #33243a
.buffer .box           stroke  #a374b0  #a374b0
.update .box           fill    #f3e9f5  #33243a
.update .box           stroke  #a374b0  #a374b0
.frame rect            fill    #f7f9fb  #181c20
.frame rect            stroke  #c4ccd6  #3c454e
.line                  stroke  #77808b  #8b949e
.head                  fill    #77808b  #8b949e
.positive              stroke  #0069a8  #63b8ec
.negative              stroke  #b34700  #f09a3e
.halo                  stroke  #ffffff  #14171a
.ring                  stroke  #d0021b  #ff5c6c
.strong text           fill    #ffffff  #ffffff
.weak text             fill    #000000  #000000
"""

_SHAPES = f"""
text {{ font: {LABEL}px {FONT}; font-variant-numeric: tabular-nums; }}
.small {{ font-size: {SMALL}px; }}
.title {{ font-weight: 650; font-size: 15px; }}
.label {{ font-weight: 600; }}
.middle {{ text-anchor: middle; }}
.line {{ fill: none; stroke-width: 1.4; }}
.leaf .line {{ stroke-width: 1; stroke-opacity: .65; }}
.none .box {{ stroke-dasharray: 4 3; }}
.ring {{ fill: none; stroke-width: 2.5; }}
.halo {{ stroke-width: 4; stroke-linejoin: round; paint-order: stroke; }}
.node:focus {{ outline: none; }}
.node:focus .box, .edge:hover .line {{ stroke-width: 3; }}
"""


def width(text: str, size: float) -> float:
    """Give the width of a text, rather too much than too little.

    >>> width("中文", 10)
    21.0
    """
    return size * sum(_WIDTHS.get(x, _OTHER if x < FULL_WIDTH else 1.05) for x in text)


def strengths(gradients: Sequence[float | None]) -> list[float | None]:
    """Place each gradient between the smallest and the largest, by its logarithm.

    >>> strengths([1e-4, 1e-2, 1.0, 0.0, None, float("inf")])
    [0.0, 0.5, 1.0, 0.0, None, 1.0]
    """
    logs = [math.log10(g) for g in gradients if g and math.isfinite(g)] or [0.0]
    high = max(logs)
    span = max(high - min(logs), 1.0)

    def part(gradient: float | None) -> float | None:
        if gradient is None:
            return None
        if not math.isfinite(gradient):
            return 1.0
        return 0.0 if gradient == 0 else (math.log10(gradient) - high) / span + 1

    return [part(gradient) for gradient in gradients]


def shade(part: float) -> tuple[str, bool]:
    """Give the color of a part of the ramp, and whether the text on it is to be white."""
    place = min(max(part, 0.0), 1.0) * (len(RAMP) - 1)
    low = min(int(place), len(RAMP) - 2)
    mixed = [
        round(a + (b - a) * (place - low))
        for a, b in zip(_channels(RAMP[low]), _channels(RAMP[low + 1]), strict=True)
    ]
    red, green, blue = ((c / 255) ** 2.2 for c in mixed)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#" + "".join(f"{c:02x}" for c in mixed), light < 0.179


def _channels(color: str) -> list[int]:
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]


def style_sheet(root: str) -> str:
    """Give the rules for everything in elements of the class `root`."""
    rows = [line.rsplit(maxsplit=3) for line in _COLORS.strip().splitlines()]
    light = [f".{root} {where.strip()} {{ {what}: {color}; }}" for where, what, color, _ in rows]
    dark = [f".{root} {where.strip()} {{ {what}: {color}; }}" for where, what, _, color in rows]
    shapes = [_scoped(line, root) for line in _SHAPES.strip().splitlines()]
    return "\n".join([*shapes, *light, "@media (prefers-color-scheme: dark) {", *dark, "}"])


def _scoped(rule: str, root: str) -> str:
    where, rest = rule.split("{", 1)
    return ", ".join(f".{root} {part.strip()}" for part in where.split(",")) + " {" + rest


def widest(lines: Sequence[tuple[str, float]]) -> float:
    """Give the width of the widest of several texts with their font sizes."""
    return max((width(text, size) for text, size in lines), default=0.0)
