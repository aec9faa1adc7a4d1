"""Use models from many threads and processes, and train for long: the bits and the memory stay.

python -m tools.trust.load

Sixteen threads make 10,000 predictions with one model of each kind, and with one compiled function;
forked and spawned processes train and predict; the resident memory of a training is compared at
step 1,000 and at step 100,000, with the garbage collector off.
"""

import argparse
import gc
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import has

MOST_GROWN = 1 << 20
X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
SIZES = (1, 3, 40, 256, 300, 500)


def models() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Give predictors of each kind."""
    y = (X[:, 0] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp = cr.MLPClassifier((16,), max_iter=2, random_state=0).fit(X, y)
    net = cr.NetRegressor(epochs=2, random_state=0).fit(X, X[:, 1])
    table = cr.TabularClassifier(hidden=(8,), members=2, epochs=2, random_state=0).fit(X, y)
    module = nn.mlp([6, 32, 3], "tanh", batch_norm=True, dropout=0.5, seed=0).train()
    found = {"MLPClassifier": mlp.predict_proba, "NetRegressor": net.predict,
             "TabularClassifier": table.predict_proba, "Module": module.predict}  # fmt: skip
    if has("numba"):
        spec = cr.Spec(("rows", 6), np.float32)
        found["compile"] = cr.compile(module.evaluating(), spec, threads=2)
    return found


def by_threads(count: int) -> list[str]:
    """Predict in sixteen threads at once; list what differed."""
    problems = []
    for name, predict in models().items():
        expected = {n: np.array(predict(X[:n])).tobytes() for n in SIZES}

        def differs(i: int, predict: Any = predict, expected: Any = expected) -> bool:
            n = SIZES[i % len(SIZES)]
            return bool(np.asarray(predict(X[:n])).tobytes() != expected[n])

        with ThreadPoolExecutor(16) as pool:
            wrong = sum(pool.map(differs, range(count)))
        print(f"{name}: {count} predictions by 16 threads, {wrong} differ", flush=True)
        problems += [name] * (wrong > 0)
    return problems


def trained(seed: int) -> bytes:
    """Train a net and predict, in whatever process."""
    model = nn.mlp([6, 16, 1], "tanh", dropout=0.1, seed=seed)
    cr.train(model, "mse", X, X[:, :1] ** 2, epochs=2, seed=seed, threads=2)
    return bytes(model.predict(X).tobytes())


def by_trainings(count: int) -> list[str]:
    """Train in four threads at once, each with threads of its own; list what differed."""
    expected = [trained(seed) for seed in range(4)]
    found: list[bytes] = []
    for _ in range(count):
        with ThreadPoolExecutor(4) as pool:
            found += list(pool.map(trained, range(4)))
    wrong = sum(a != expected[i % 4] for i, a in enumerate(found))
    print(f"{len(found)} trainings in 4 threads at once, {wrong} differ", flush=True)
    return ["trainings"] * (wrong > 0)


def by_processes(ways: list[str]) -> list[str]:
    """Train and predict in processes of each way to start them; list what differed."""
    problems = []
    expected = [trained(seed) for seed in range(4)]
    for way in ways:
        context = multiprocessing.get_context(way)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            wrong = sum(a != b for a, b in zip(pool.map(trained, range(4)), expected, strict=True))
        print(f"{way}: 4 trainings in 2 processes, {wrong} differ", flush=True)
        problems += [way] * (wrong > 0)
    return problems


class Memory(cr.Callback):
    """Notes the resident memory after some steps."""

    def __init__(self, steps: tuple[int, int]) -> None:
        self.at = {step: 0 for step in steps}

    def on_step_end(self, event: Any) -> None:
        """Look at the steps that were asked for."""
        if event.step in self.at:
            self.at[event.step] = resident()


def resident() -> int:
    """Give the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def by_steps(first: int, last: int, ways: list[Any]) -> list[str]:
    """Train without the garbage collector, and list the ways whose memory grew."""
    problems = []
    for way in ways:
        epochs = 50
        rows = np.resize(X, (last // epochs * 4, 6)).astype(np.float32)
        model = nn.mlp([6, 16, 1], "tanh", dropout=0.1, batch_norm=True, seed=0)
        memory = Memory((first, last))
        gc.collect()
        gc.disable()
        try:
            cr.train(
                model, "mse", rows, rows[:, :1], epochs=epochs, batch_size=4, seed=0, compile=way,
                optimizer=optim.Adam(0.001), callbacks=[memory],
            )  # fmt: skip
        finally:
            gc.enable()
        grown = memory.at[last] - memory.at[first]
        print(
            f"compile={way!r}: {grown / 1024:,.0f} KiB from step {first:,} to {last:,}", flush=True
        )
        problems += [f"memory, compile={way!r}"] * (grown > MOST_GROWN)
    return problems


def main() -> int:
    """Do all of it, and say what differed or grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000, metavar="N")
    parser.add_argument("--steps", type=int, default=100_000, metavar="N")
    parser.add_argument("--numpy", action="store_true", help="leave Numba out, which is quicker")
    options = parser.parse_args()
    began = time.perf_counter()
    ways: list[Any] = [False, "numpy"] + ["numba"] * (has("numba") and not options.numpy)
    problems = []
    if Path("/proc/self/statm").exists():
        problems += by_steps(options.steps // 100, options.steps, ways)
    processes = [way for way in ("spawn", "fork") if way in multiprocessing.get_all_start_methods()]
    problems += by_processes(processes)
    problems += by_threads(options.calls)
    problems += by_trainings(max(options.calls // 1000, 1))
    assert threading.active_count() < 100
    print(f"{len(problems)} problems {problems}, {time.perf_counter() - began:.0f} s")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
