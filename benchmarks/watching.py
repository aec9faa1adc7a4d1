"""Measures what statistics of the layers add to a step.

    python benchmarks/watching.py --out docs/benchmarks/statistics.md

A step that is looked at has statements of its own for them, next to those of the usual step. By the
clocks of its profile, their share is that of the time of the usual ones. The time that many steps
take counts as well what it costs to go from one program to the other: CPU time of one thread, the
least of many runs that take turns.
"""

import time
from typing import TextIO

import click
import numpy as np
from host import told
from speed import VERSIONS, as_markdown

from chainrule import nn, optim
from chainrule.step import Step
from chainrule.training import training_step

NETS = {(2, 8, 8, 2): (32, 3000), (784, 256, 128, 10): (128, 200)}
"""Sizes of the layers; rows in a batch, and batches."""

EVERY = (1, 10, 100)


def shares(sizes: tuple[int, ...], batch: int, count: int, seconds: float) -> list[str]:
    """Give the number of statements, the shares of those for norms and slopes, and of all time."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count * batch, sizes[0])).astype(np.float32)
    y = rng.integers(0, sizes[-1], count * batch)
    steps = {
        k: training_step(
            nn.mlp(sizes, "relu", seed=0), "cross_entropy", x, y, batch_size=batch,
            optimizer=optim.Adam(), threads=1, statistics=k,
        )
        for k in (0, *EVERY)
    }  # fmt: skip
    found = steps[1].profile(seconds)
    taken = {"norms": 0.0, "slopes": 0.0, "rest": 0.0}
    for statement, taking in zip(found.statements, found.seconds, strict=True):
        of_units = statement.sizes.startswith(f"{batch}x") or statement.what.endswith(": add")
        kind = "slopes" if of_units else "norms"
        taken[kind if statement.what.startswith("statistics") else "rest"] += taking
    added = f"{len(found.statements)} ({len(steps[0].profile(0.01).statements)} without)"
    whole = least(steps, seconds)
    return [
        added,
        *(f"{taken[kind] / taken['rest']:.1%}" for kind in ("norms", "slopes")),
        *(f"{whole[k] / whole[0] - 1:+.1%}" for k in EVERY),
    ]


def least(steps: dict[int, Step], seconds: float) -> dict[int, float]:
    """Give the least CPU time that all steps of each take."""
    best = dict.fromkeys(steps, np.inf)
    for step in steps.values():
        step.order(None)
        step.numbers[:] = 1
        step.numbers[:, 0] = 1 + np.arange(step.count)
    began = time.perf_counter()
    while time.perf_counter() - began < 10 * seconds:
        for k, step in steps.items():
            started = time.thread_time()
            step.run(0, step.count)
            best[k] = min(best[k], time.thread_time() - started)
    return best


@click.command()
@click.option("--seconds", default=2.0, show_default=True, help="Time to run the steps of a net.")
@click.option("--out", type=click.File("w", "utf-8"), default="-", help="Markdown page to write.")
def main(seconds: float, out: TextIO) -> None:
    """Compare the statements for statistics with those of the usual step."""
    whole = [f"every {k}th step" if k > 1 else "every step" for k in EVERY]
    table = [["net", "batch", "statements", "norms", "slopes", *whole]]
    for sizes, (batch, count) in NETS.items():
        cells = shares(sizes, batch, count, seconds)
        table.append(["-".join(map(str, sizes)), str(batch), *cells])
    text = [
        "# Statistics of the layers",
        "",
        "Written by `benchmarks/watching.py`, which says what is measured, of nets of ReLU units",
        "that learn by Adam on one thread. Norms and slopes: the time of their statements by that",
        "of the others, in a step that is looked at. Then what all steps take longer. Other work",
        "was running on the machine: these are shares in one run, and the last digits say nothing.",
        "",
        told(VERSIONS),
        "",
        *as_markdown(table),
        "",
        "Norms are those of gradient, weights and update of each parameter; for that of the update",
        "the formula of the optimizer is computed once more. Where only some steps are looked at,",
        "Python calls one program after the other, which takes some microseconds: more than a step",
        "of the small net, so there it is cheaper to look at each step than at each tenth.",
    ]
    out.write("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
