"""Measures waits besides the steps: for a cached program, and for a core that is taken away.

    python benchmarks/latency.py --out docs/benchmarks/latency.md

Start: fresh processes that ask for a training step which an earlier process has compiled, at once,
as users do, and after importing Numba, which is not needed then. Busy core: epochs of a net alone,
and beside another process that computes all the time. On two cores, what is left is between one
core and four thirds of one, so that two threads should take 1.5 to 2 times as long, and one thread
as long as before.
"""

import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from host import cores, installed, processor

import chainrule as cr

START = """
import time
t0 = time.perf_counter()
import numpy as np, chainrule as cr, chainrule.training
x, y = np.zeros((640, 64), np.float32), np.zeros(640, np.int64)
net = cr.nn.mlp([64, 64, 64, 10], seed=0)
t1 = time.perf_counter()
{first}
t2 = time.perf_counter()
from chainrule.transforms.compile import machine
t3 = time.perf_counter()
step = cr.training_step(net, "cross_entropy", x, y, compile="numba")
t4 = time.perf_counter()
print(t1 - t0, t2 - t1, t3 - t2, t4 - t3, machine.compilations)
"""
BEFORE = {"at once": "", "after Numba was imported": "import numba"}
NETS = {"64-64-64-10, batch 64": ((64, 64, 64, 10), 64), "784-256-128-10, batch 128":
        ((784, 256, 128, 10), 128), "1024-2048-2048-1000, batch 256":
        ((1024, 2048, 2048, 1000), 256)}  # fmt: skip


def starts(repeats: int, first: str) -> np.ndarray:
    """Start processes with a used cache: ms of each import, of the step, and of the whole."""
    with tempfile.TemporaryDirectory() as cache:
        found = []
        for repeat in range(repeats + 1):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", START.format(first=first)],
                env=os.environ | {"CHAINRULE_CACHE": cache},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            whole = time.perf_counter() - began
            *seconds, compilations = map(float, done.stdout.split())
            if repeat:  # the first has compiled
                assert compilations == 0
                found.append([*seconds, whole])
    return np.array(found) * 1e3


def hog() -> None:
    """Keep a core busy."""
    while True:
        pass


def epochs(sizes: tuple[int, ...], batch: int, repeats: int) -> tuple[float, float]:
    """Give the median seconds of an epoch alone and beside a busy process, taken in turn."""
    rng = np.random.default_rng(0)
    rows = 60 * batch
    x = rng.standard_normal((rows, sizes[0]), np.float32)
    y = rng.integers(0, sizes[-1], rows)
    y[: sizes[-1]] = np.arange(sizes[-1])
    found: dict[bool, list[float]] = {False: [], True: []}
    times = 12
    for repeat in range(2 * repeats + 1):
        busy = repeat % 2 == 1
        process = multiprocessing.Process(target=hog, daemon=True)
        if busy:
            process.start()
            time.sleep(0.2)
        clock = Clock()
        cr.train(
            cr.nn.mlp(sizes, seed=0), "cross_entropy", x, y, epochs=times, batch_size=batch,
            compile="numba", seed=0, callbacks=[clock],
        )  # fmt: skip
        if repeat:  # the first has compiled
            found[busy].append(median(np.diff(clock.ends)))
        if busy:
            process.kill()
            process.join()
    return median(found[False]), median(found[True])


class Clock(cr.Callback):
    """Notes when epochs end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_epoch_end(self, event: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


@click.command()
@click.option("--repeats", default=9, show_default=True, help="Times of each kind.")
@click.option("--out", type=click.Path(path_type=Path), help="Markdown page to write.")
def main(repeats: int, out: Path | None) -> None:
    """Measure both, and print or write a page."""
    versions = ", ".join(f"{n} {installed(n)}" for n in ("numpy", "numba", "chainrule"))
    lines = [
        "# Latency",
        "",
        "Written by `benchmarks/latency.py`, which says what is measured.",
        "",
        f"{date.today().isoformat()}; {processor()}, {cores()} cores; Python "
        f"{platform.python_version()}; {versions}. Medians of {repeats}.",
        "",
        "## A program from the cache",
        "",
        "| | imports of NumPy and chainrule, ms | of Numba | of LLVM | the step, ready to run "
        "| from start to end of the process | range |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, first in BEFORE.items():
        found = starts(repeats, first)
        shown = " | ".join(f"{median(column):.0f}" for column in found.T)
        whole = found[:, -1]
        lines.append(f"| {name} | {shown} | {min(whole):.0f}–{max(whole):.0f} |")
    lines += ["", "## A core that is taken away", ""]
    lines += ["| net | alone, ms an epoch | beside a busy process | ratio |", "|---|---|---|---|"]
    for name, (sizes, batch) in NETS.items():
        alone, busy = epochs(sizes, batch, max(repeats // 2, 1))
        lines.append(f"| {name} | {alone * 1e3:.1f} | {busy * 1e3:.1f} | {busy / alone:.2f} |")
    text = "\n".join(lines) + "\n"
    click.echo(text)
    if out:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
