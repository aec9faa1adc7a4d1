"""Measures waits besides the steps: for a cached program, and for a core that is taken away.

    python benchmarks/latency.py --out docs/benchmarks/latency.md

Start: fresh processes that compile a training step which an earlier process has compiled; the times
are of the imports, of loading Numba (it loads most when it is given the first program), and of the
step until it could run. Busy core: epochs of a net alone, and beside another process that computes
all the time. On two cores, what is left is between one core and four thirds of one, so that two
threads should take 1.5 to 2 times as long, and one thread as long as before.
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

import click
import numpy as np
from host import cores, installed, processor

import chainrule as cr
from chainrule.data import Rows
from chainrule.plan import Plan
from chainrule.training import Training

START = """
import time
t0 = time.perf_counter()
import numpy as np, chainrule as cr
x, y = np.zeros((640, 64), np.float32), np.zeros(640, np.int64)
net = cr.nn.mlp([64, 64, 64, 10], seed=0)
t1 = time.perf_counter()
from chainrule.transforms.compile import machine
cr.compile(lambda x: x + 1, cr.Spec(("rows", 2)))(np.zeros((3, 2), np.float32))
t2 = time.perf_counter()
step = cr.training_step(net, "cross_entropy", x, y)
t3 = time.perf_counter()
print(t1 - t0, t2 - t1, t3 - t2, machine.compilations)
"""
NETS = {"64-64-64-10, batch 64": ((64, 64, 64, 10), 64), "784-256-128-10, batch 128":
        ((784, 256, 128, 10), 128), "1024-2048-2048-1000, batch 256":
        ((1024, 2048, 2048, 1000), 256)}  # fmt: skip


def starts(repeats: int) -> list[list[float]]:
    """Start processes with a used cache: seconds of imports, Numba, program, and of the whole."""
    with tempfile.TemporaryDirectory() as cache:
        found = []
        for repeat in range(repeats + 1):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", START], env=os.environ | {"CHAINRULE_CACHE": cache},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            whole = time.perf_counter() - began
            *seconds, compilations = map(float, done.stdout.split())
            if repeat:  # the first has compiled
                assert compilations == 0
                found.append([*seconds, whole])
    return found


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
    plan = Plan(epochs=1, batch_size=batch, compile="numba", seed=0)
    model = cr.nn.mlp(sizes, seed=0)
    training = Training(model, cr.losses.cross_entropy, Rows((x,), y), None, plan)
    training.run()
    began = time.perf_counter()
    training.run()
    times = max(int(0.5 / (time.perf_counter() - began)), 1)
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(repeats):
        for busy in (False, True):
            process = multiprocessing.Process(target=hog, daemon=True)
            if busy:
                process.start()
                time.sleep(0.2)
            training.run()  # the pace may adapt
            began = time.perf_counter()
            for _ in range(times):
                training.run()
            found[busy].append((time.perf_counter() - began) / times)
            if busy:
                process.kill()
                process.join()
    return median(found[False]), median(found[True])


@click.command()
@click.option("--repeats", default=9, show_default=True, help="Times of each kind.")
@click.option("--out", type=click.Path(path_type=Path), help="Markdown page to write.")
def main(repeats: int, out: Path | None) -> None:
    """Measure both, and print or write a page."""
    versions = ", ".join(f"{n} {installed(n)}" for n in ("numpy", "numba", "chainrule"))
    found = np.array(starts(repeats)) * 1e3
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
        "| ms | median | range |",
        "|---|---|---|",
    ]
    names = ("imports of NumPy and chainrule", "loading Numba, with a program of one loop",
             "the step, ready to run", "the whole process")  # fmt: skip
    for name, column in zip(names, found.T, strict=True):
        lines.append(f"| {name} | {median(column):.0f} | {min(column):.0f}–{max(column):.0f} |")
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
