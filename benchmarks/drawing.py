"""Measures how long graphs take to draw, from the recorded graph to the bytes of the SVG.

    python benchmarks/drawing.py --out docs/benchmarks/drawing.md

Each graph is drawn in full (`level="ops"`), those of nets also with layers as boxes. "bent" are the
places that long lines take between boxes, "lanes" the ways beside all boxes that the longest share.
"""

import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median

import click
import numpy as np
from host import cores, installed, processor

from chainrule import draw, grad, nn, ops, trace
from chainrule.transforms.draw import arrange
from chainrule.transforms.run import Graph

X = np.zeros((5, 8), np.float32)


def chain() -> Graph:
    def f(x: object) -> object:
        for _ in range(1998):
            x = ops.sin(x)
        return x

    return trace(f, X)


def tangle() -> Graph:
    rng = np.random.default_rng(0)

    def f(x: object) -> object:
        values = [x]
        for i in range(2600):
            a, b = rng.integers(max(0, len(values) - 40), len(values), 2)
            values.append(ops.add(values[a], values[b]) if i % 3 else ops.tanh(values[a]))
        return values[-600:]

    return trace(f, X)


def deep() -> Graph:
    return trace(nn.mlp([8, *[8] * 399, 1], activation="tanh", seed=0), X)


def gradient() -> Graph:
    net = nn.mlp([8, *[8] * 199, 1], activation="tanh", seed=0)
    return trace(grad(lambda x: ops.sum(net(x))), X)


def wide() -> Graph:
    return trace(lambda x: [ops.tanh(ops.sum(ops.mul(x, float(i)))) for i in range(400)], X)


GRAPHS: dict[str, tuple[Callable[[], Graph], tuple[object, ...]]] = {
    "operations, one after another": (chain, ("ops",)),
    "operations that take any two of the 40 before them": (tangle, ("ops",)),
    "a net of 400 dense layers": (deep, ("ops", 1)),
    "the gradient of a net of 200 dense layers": (gradient, ("ops", 1)),
    "400 ways from one input": (wide, ("ops",)),
}


def row(what: str, make: Callable[[], Graph], level: object, repeats: int) -> str:
    """Measure one graph at one level."""
    graph, seconds = make(), []
    for _ in range(repeats):
        began = time.perf_counter()
        drawing = draw(graph, level=level)
        drawing.svg()
        seconds.append(time.perf_counter() - began)
    layout, diagram = arrange(drawing.diagram), drawing.diagram
    bent, lanes = (sum(getattr(p, key) for p in layout.plans) for key in ("places", "lanes"))
    shown = "all" if level == "ops" else "layers"
    return (
        f"| {what} | {shown} | {len(diagram.nodes):,} | {len(diagram.edges):,} | {bent:,} | "
        f"{lanes:,} | {median(seconds):.2f} | {max(seconds):.2f} | "
        f"{len(drawing.svg()) / 1e3:,.0f} |"
    )


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Where the page goes.")
@click.option("--repeats", default=5, show_default=True)
def main(out: Path | None, repeats: int) -> None:
    """Measure, and print or write the page."""
    packages = ", ".join(f"{name} {installed(name)}" for name in ("numpy", "chainrule"))
    lines = [
        "# Drawing",
        "",
        "Written by `benchmarks/drawing.py`, which says what is measured.",
        "",
        f"{date.today()}; {processor()}, {cores()} cores; Python {platform.python_version()}; "
        f"{packages}. Seconds from the graph to the SVG, median and worst of {repeats}.",
        "",
        "| graph | shown | boxes | lines | bent | lanes | s | worst | kB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for what, (make, levels) in GRAPHS.items():
        lines += [row(what, make, level, repeats) for level in levels]
    page = "\n".join(lines) + "\n"
    if out is None:
        print(page)
    else:
        out.write_text(page)


if __name__ == "__main__":
    main()
