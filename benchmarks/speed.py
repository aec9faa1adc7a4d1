"""Times training steps, predictions and whole fits of chainrule and its peers, in turn.

    python benchmarks/speed.py --quick
    python benchmarks/speed.py --only tiny,mnist --repeats 15
    python benchmarks/speed.py --out docs/benchmarks/speed.md

Everything is float32. Contestants get the same rows in the same order, the same first weights and
Adam's same formula; before any time counts, their mean losses over the first steps, or their
predictions, must agree. Each runs in a process of its own (`peers.py` says how it is set up), once
with one thread and once with all, and the better counts. A repeat takes one time of everyone, one
after the other while the rest sleep, so that a busy machine is unfair to all alike; figures are
medians over repeats. The peak is that of NumPy's product of large float32 matrices, measured in the
same repeats. A contestant whose package is not installed is named and left out.

First fit: whole processes, from their start to a net trained for 20 epochs on scikit-learn's
digits; chainrule with a fresh folder for compiled code (cold) and a used one (warm). Search: fits
of many widths within a process, after the imports.
"""

import importlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from architectures import ARCHITECTURES, Architecture, chainrule_model
from fits import FIRST_FIT, SEARCH
from host import cores, installed, processor
from rich.console import Console
from rich.table import Table

PACKAGES = {
    "chainrule": ("chainrule",),
    "scikit-learn": ("scikit-learn",),
    "PyTorch": ("torch",),
    "torch.compile": ("torch",),
    "JAX": ("jax", "optax"),
}
"""What each contestant of `peers.py` needs."""
VERSIONS = ("numpy", "scipy", "numba", "chainrule", "torch", "jax", "optax", "scikit-learn")
REASONS = {
    "tiny": "JAX compiles its epoch, too. The target would take about 90 % of the peak of a core "
    "for everything: 5.7 µs with AVX-512 and 14 with AVX2, where the products alone take 4.4 and "
    "11.6 at that peak. Of matrices that come from the second-level cache they reach 65 %, and the "
    "roots and quotients of Adam take 2 µs, for which a core has one slow unit.",
    "tabular": "Without a matrix unit the ratio is 1.4 to 1.6: the best peers share their "
    "products, too, between both cores, and what one core has written reaches the other slowly.",
    "mnist": "Without a matrix unit the ratio is 1.2 to 1.4: JAX shares its products between both "
    "cores, too, and weights and their averages fill both second-level caches.",
    "wide": "Without a matrix unit the products of all run near the peak of both cores; Adam moves "
    "230 MB in a step.",
    "lenet": "The products take half of the time and run at 22 to 75 % of the peak, since they are "
    "of 6 and 16 units and of rows of 10 and 28 places; putting gradients back and pooling take "
    "the rest.",
    "lstm": "Without a matrix unit the products take 2.3 ms at the peak of both cores, and six "
    "functions of each unit in every step 0.5 ms where nothing waits for memory.",
    "gru": "As for the LSTM.",
    "bilstm": "As for the LSTM.",
    "predict 1": "The weights are 0.94 MB, which takes 6 to 8 µs to read from a second-level cache "
    "of 2 MB, nearly as long as the target would take for all; the call of Python around them "
    "takes 3 to 5 more. Where that cache has 512 KB they come from the third level, which takes "
    "longer.",
    "predict 100k": "Without a matrix unit the target would take more than both cores have.",
    "search": "Of a fit, machine code takes 4 to 5 ms, tracing the net 2, scikit-learn's checks "
    "and validation of the estimator 3; `chainrule.train`, without those, takes four fifths of it.",
}
"""What is in the way where a target is missed; kept true by whoever changes the figures."""
TOLERANCE = 1e-3  # relative difference of losses, absolute difference of probabilities
PAUSE = 0.4  # seconds between contestants: until then threads of some go on, waiting for work
ONE = " 1 thread"  # how the name of a contestant with one thread ends
console = Console(highlight=False)


@dataclass(frozen=True)
class Net:
    """A net to train: the steps of an epoch are `rows` / `batch`."""

    sizes: tuple[int, ...]
    batch: int
    rows: int
    ratio: float  # times faster than the best peer: the target
    share: float  # of the peak: the target
    one_core: bool = False  # whether that is the peak of one core
    architecture: Architecture | None = None  # of a net that is no stack of layers

    @property
    def flops(self) -> int:
        """Operations of a step: forward, and backward twice that without the inputs' gradient."""
        if self.architecture is not None:
            return self.architecture.flops(self.batch)
        layers = [2 * self.batch * i * o for i, o in zip(self.sizes, self.sizes[1:], strict=False)]
        return 3 * sum(layers) - layers[0]


NETS = {
    "tiny": Net((20, 64, 64, 1), 32, 3200, 3, 0.5, one_core=True),
    "tabular": Net((54, 256, 256, 7), 256, 25600, 1.6, 0.5),
    "mnist": Net((784, 256, 128, 10), 128, 12800, 1.5, 0.6),
    "wide": Net((1024, 2048, 2048, 1000), 256, 2560, 1.1, 0.7),
}
BATCHES = {"lenet": (64, 3.0), "lstm": (32, 1.6), "gru": (32, 1.5), "bilstm": (32, 1.5),
           "cnn 1d": (64, 1.5)}  # fmt: skip
"""Rows of a batch, and the target, of the nets of `architectures.py`."""
NETS |= {
    name: Net((), batch, 40 * batch, ratio, 0, architecture=ARCHITECTURES[name])
    for name, (batch, ratio) in BATCHES.items()
}
PREDICTIONS = {"predict 1": (1, 3.0), "predict 100k": (100_000, 1.2)}
FITS = {"first fit": {"cold": 1.0, "warm": 2.0}, "search": {"MLPClassifier warm": 5.0}}
WORKLOADS = [*NETS, *PREDICTIONS, *FITS]


@dataclass
class Result:
    """What was measured of one workload."""

    seconds: dict[str, list[float]]  # of a step, a call or a fit, by contestant
    unit: str = "µs"
    flops: float = 0.0
    peaks: dict[str, list[float]] = field(default_factory=dict)  # GFLOP/s: "one", "all"
    check: str = ""

    def median(self, name: str) -> float:
        """Give the median seconds of a contestant."""
        return median(self.seconds[name])

    def best(self, ours: bool, prefix: str = "") -> str | None:
        """Name the fastest contestant of chainrule whose name starts so, or the fastest peer."""
        names = [
            name
            for name in self.seconds
            if name.startswith("chainrule") == ours and name.startswith(prefix)
        ]
        return min(names, key=self.median, default=None)

    def share(self, name: str, threads: str) -> float:
        """Give the share of the peak with "one" thread or "all"."""
        return self.flops / self.median(name) / 1e9 / median(self.peaks[threads])


def environment(threads: int, cache: Path) -> dict[str, str]:
    """Give the environment of a contestant: so many threads in every library."""
    pools = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    names = [f"{pool}_NUM_THREADS" for pool in pools] + ["NPROC"]  # the last is read by JAX
    found = dict.fromkeys(names, str(threads)) | {"CHAINRULE_CACHE": str(cache)}
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        found["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    return os.environ | found


class Worker:
    """A process of `peers.py`."""

    def __init__(self, kind: str, threads: int, cache: Path, **settings: str) -> None:
        program = [sys.executable, str(Path(__file__).with_name("peers.py")), kind]
        self.process = subprocess.Popen(
            program,
            env=environment(threads, cache) | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, do: str, **arguments: Any) -> None:
        """Send a command."""
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to the oldest command."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"its process ended with {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def ask(self, do: str, **arguments: Any) -> Any:
        """Send a command and wait for the answer."""
        self.tell(do, **arguments)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Bench:
    """The workers and settings of a run."""

    names: list[str]
    threads: int
    repeats: int
    seconds: float
    quick: bool
    folder: Path
    workload: str = "start"  # what is measured now
    notes: list[str] = field(default_factory=list)  # what was left out, and why
    workers: dict[str, Worker] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Say and keep why something was left out."""
        if text not in self.notes:
            self.notes.append(text)
            console.print(f"left out: {text}", style="yellow")

    def variants(self, names: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Give contestants with all threads and, unless in a hurry, with one, by label."""
        found = {name: (name, self.threads) for name in names}
        if self.threads > 1 and not self.quick:
            found |= {name + ONE: (name, 1) for name in names}
        return found

    def start(self) -> None:
        """Start all workers, and let them import at the same time."""
        cache = self.folder / "cache"
        for which, threads in (("one", 1), ("all", self.threads)):
            self.workers[f"peak {which}"] = Worker("peak", threads, cache)
        for label, (kind, threads) in self.variants(self.names).items():
            self.workers[label] = Worker(kind, threads, cache)
        for worker in self.workers.values():
            worker.tell("load")
        self.each(self.workers, lambda worker: worker.answer())

    def close(self) -> None:
        """End all workers."""
        while self.workers:
            self.workers.popitem()[1].close()

    def net(self, name: str) -> Net:
        """Give a net to train, in a hurry with 5 steps an epoch."""
        net = NETS[name]
        return replace(net, rows=5 * net.batch) if self.quick else net

    def each(self, labels: Iterable[str], action: Callable[[Worker], Any]) -> dict[str, Any]:
        """Let workers act one after the other; those that fail are noted and not in the answer."""
        found = {}
        for label in labels:
            try:
                found[label] = action(self.workers[label])
            except (RuntimeError, OSError) as error:
                self.note(f"{self.workload}: {label} ({error})")
        return found

    def rounds(
        self, labels: list[str], action: Callable[[str], float], most: int = 1000
    ) -> dict[str, list[float]]:
        """Take one time of everyone in each repeat, `most` repeats at most; who starts changes."""
        found: dict[str, list[float]] = {label: [] for label in labels}
        for repeat in range(min(self.repeats, most)):
            first = repeat % max(len(labels), 1)
            for label in labels[first:] + labels[:first]:
                if label not in found:
                    continue
                time.sleep(PAUSE)
                try:
                    found[label].append(action(label))
                except (RuntimeError, OSError) as error:
                    self.note(f"{self.workload}: {label} ({error})")
                    del found[label]
        return found

    def agreeing(self, values: dict[str, Any], relative: bool) -> tuple[list, str]:
        """Name the contestants whose values agree with the middle one, and say by how much."""
        if not values:
            return [], ""
        middle = np.median(list(values.values()), axis=0)
        scale = np.abs(middle) if relative else 1.0
        off = {name: float(np.max(np.abs(v - middle) / scale)) for name, v in values.items()}
        kept = [name for name, distance in off.items() if distance <= TOLERANCE]
        for name in set(off) - set(kept):
            self.note(f"{self.workload}: {name} (differs by {off[name]:.1e} from the others)")
        return kept, f"{max((off[name] for name in kept), default=0):.0e}"


def write_workload(net: Net, path: Path) -> None:
    """Draw rows, a target that can be learned in part, and the first weights.

    Classes are equally frequent, so that all are there.
    """
    rng = np.random.default_rng(0)
    if net.architecture is not None:
        write_architecture(net, path, rng)
        return
    x = rng.standard_normal((net.rows, net.sizes[0]), np.float32)
    hidden = np.sin(x @ rng.standard_normal(net.sizes[0])) + rng.normal(0, 0.3, net.rows)
    if net.sizes[-1] == 1:
        y = hidden.astype(np.float32)[:, None]
    else:
        y = hidden.argsort().argsort() * net.sizes[-1] // net.rows
    arrays = {"x": x, "y": y}
    for i, (inputs, outputs) in enumerate(zip(net.sizes, net.sizes[1:], strict=False)):
        spread = np.float32((2 / inputs) ** 0.5)
        arrays[f"w{i}"] = spread * rng.standard_normal((inputs, outputs), np.float32)
        arrays[f"b{i}"] = np.zeros(outputs, np.float32)
    np.savez(path, **arrays)


def write_architecture(net: Net, path: Path, rng: np.random.Generator) -> None:
    """Draw rows, a target, and the weights with which chainrule starts."""
    name = path.stem
    x = rng.standard_normal((net.rows, *net.architecture.shape), np.float32)
    hidden = np.sin(x.reshape(net.rows, -1)[:, :16].sum(1)) + rng.normal(0, 0.3, net.rows)
    y = hidden.astype(np.float32)[:, None]
    if net.architecture.classes:
        y = hidden.argsort().argsort() * net.architecture.classes // net.rows
    state = chainrule_model(name).state_dict()
    np.savez(path, x=x, y=y, name=name, **{f"state.{k}": v for k, v in state.items()})


def opened(bench: Bench, name: str, net: Net) -> list[str]:
    """Hand a net to all workers; name those that have it."""
    path = bench.folder / f"{name}.npz"
    if not path.exists():
        write_workload(net, path)
    contestants = [label for label in bench.workers if not label.startswith("peak")]
    if net.architecture is not None:  # scikit-learn has no such layers
        contestants = [label for label in contestants if not label.startswith("scikit-learn")]
    if bench.quick and name != "tiny" and "torch.compile" in contestants:
        contestants.remove("torch.compile")  # it compiles for long
    return list(bench.each(contestants, lambda w: w.ask("open", path=str(path), batch=net.batch)))


def time_training(bench: Bench, name: str) -> Result:
    """Time the steps of a net."""
    net = bench.net(name)
    steps = net.rows // net.batch
    first = min(20, steps)
    labels = opened(bench, name, net)
    short = {"rows": first * net.batch, "epochs": 1}
    losses = bench.each(labels, lambda w: w.ask("train", **short)["loss"])
    labels, off = bench.agreeing(losses, relative=True)

    long = {"rows": net.rows, "epochs": 1}
    bench.each(labels, lambda w: w.ask("train", **long))  # compiles, and warms up
    trial = bench.each(labels, lambda w: w.ask("train", **long))
    kept, later = bench.agreeing({k: run["loss"] for k, run in trial.items()}, relative=True)
    epochs = {label: math.ceil(bench.seconds / trial[label]["seconds"]) for label in kept}

    def once(label: str) -> float:
        if label.startswith("peak"):
            return bench.workers[label].ask("peak", seconds=bench.seconds)
        run = bench.workers[label].ask("train", rows=net.rows, epochs=epochs[label])
        return run["seconds"] / (epochs[label] * steps)

    times = bench.rounds(["peak one", "peak all", *epochs], once)
    peaks = {which: times.pop(f"peak {which}") for which in ("one", "all")}
    check = f"The mean losses of the first {first} steps agree within {TOLERANCE:g}; they differ "
    check += f"by {off} at most, those of the first {steps} steps by {later}."
    return Result(times, flops=net.flops, peaks=peaks, check=check)


def time_prediction(bench: Bench, name: str) -> Result:
    """Time predictions of the mnist net."""
    rows = min(PREDICTIONS[name][0], 10_000 if bench.quick else 100_000)
    labels = opened(bench, "mnist", bench.net("mnist"))
    outputs = bench.each(labels, lambda w: w.ask("prepare_predictions", rows=rows))
    labels, off = bench.agreeing(outputs, relative=False)
    trial = bench.each(labels, lambda w: w.ask("predict", times=max(1, 100 // rows)))
    times = {
        label: math.ceil(bench.seconds / seconds * max(1, 100 // rows))
        for label, seconds in trial.items()
    }
    result = bench.rounds(
        list(times), lambda label: bench.workers[label].ask("predict", times=times[label])
    )
    seconds = {label: [s / times[label] for s in values] for label, values in result.items()}
    check = (
        f"Rows: {rows:,}. Probabilities agree within {TOLERANCE:g}; they differ by {off} at most."
    )
    return Result(seconds, "µs" if rows == 1 else "ms", check=check)


def run_script(script: str, *arguments: Any, env: dict[str, str]) -> tuple[float, list[float]]:
    """Run Python code in a process; give the seconds and the numbers that it prints."""
    program = [sys.executable, "-c", script, *map(str, arguments)]
    started = time.perf_counter()
    done = subprocess.run(program, env=env, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or "no message").splitlines()[-1])
    return seconds, [float(word) for word in done.stdout.split()]


def digits(bench: Bench) -> Path:
    """Write scikit-learn's digits to a file."""
    from sklearn.datasets import load_digits

    path = bench.folder / "digits.npz"
    x, y = load_digits(return_X_y=True)
    np.savez(path, x=(x / 16).astype(np.float32), y=y)
    return path


def scripted(
    bench: Bench, scripts: dict[str, str], names: dict[str, str]
) -> dict[str, tuple[str, int, bool]]:
    """Give script, threads, and whether compiled code is to be forgotten, by label."""
    kinds = [kind for kind in scripts if kind.partition(".")[0] in bench.names]
    found = {}
    for label, (kind, threads) in bench.variants(kinds).items():
        name, end = names.get(kind, kind), label.removeprefix(kind)
        if not name.startswith("chainrule"):
            found[label] = kind, threads, False
            continue
        found[f"{name} warm{end}"] = kind, threads, False
        if not end or scripts is FIRST_FIT:  # a cold search takes long
            found[f"{name} cold{end}"] = kind, threads, True
    return found


def time_fits(
    bench: Bench, scripts: dict[str, str], names: dict[str, str], *arguments: Any
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Run whole processes in turn; give their seconds, and the last numbers they printed."""
    from sklearn.datasets import load_digits

    data = bench.folder / "digits.npz"
    x, y = load_digits(return_X_y=True)
    np.savez(data, x=(x / 16).astype(np.float32), y=y)
    variants = scripted(bench, scripts, names)
    printed: dict[str, list[float]] = {}

    def once(label: str) -> float:
        kind, threads, cold = variants[label]
        with tempfile.TemporaryDirectory(dir=bench.folder) as fresh:
            env = environment(threads, Path(fresh) if cold else bench.folder / "cache")
            seconds, printed[label] = run_script(scripts[kind], data, *arguments, env=env)
        return printed[label][1] if len(printed[label]) > 1 else seconds

    return bench.rounds(warmed(bench, variants, once), once, most=1 if bench.quick else 5), printed


def time_first_fit(bench: Bench) -> Result:
    """Time processes that import, compile and fit."""
    seconds, printed = time_fits(bench, FIRST_FIT, {})
    for label in [label for label in seconds if printed[label][0] > 0.5]:
        bench.note(f"first fit: {label} (has not learned: loss {printed[label][0]})")
        del seconds[label]
    losses = [printed[label][0] for label in seconds]
    check = f"All nets learned: their losses after 20 epochs are {span(losses)}."
    return Result(seconds, "s", check=check)


def time_search(bench: Bench) -> Result:
    """Time many fits of different widths."""
    fits = 3 if bench.quick else 100
    names = {"chainrule": "chainrule MLPClassifier"}
    seconds, printed = time_fits(bench, SEARCH, names, fits)
    losses = {label: numbers[0] for label, numbers in printed.items() if label in seconds}
    same = {label: loss for label, loss in losses.items() if "chainrule.train" not in label}
    kept, off = bench.agreeing(same, relative=True)
    each = {
        label: [s / fits for s in values]
        for label, values in seconds.items()
        if label in kept or label not in same
    }
    check = f"{fits} fits of 10 epochs, widths from 10 on; milliseconds of a fit. The last losses "
    check += f"of the two MLPClassifiers agree; they differ by {off} at most. The weights of "
    check += f"`chainrule.train` start differently; all mean losses: {span(losses.values())}."
    return Result(each, "ms", check=check)


def warmed(bench: Bench, labels: Iterable[str], once: Callable[[str], float]) -> list[str]:
    """Run everyone once, so that files and caches are there; name those that can run."""
    found = []
    for label in labels:
        try:
            once(label)
            found.append(label)
        except RuntimeError as error:
            bench.note(f"{bench.workload}: {label} ({error})")
    return found


def span(values: Iterable[float]) -> str:
    """Write the range of some numbers."""
    values = list(values)
    return f"{min(values):.3f} to {max(values):.3f}" if values else "none"


def lines(name: str, result: Result, threads: int) -> list[list[str]]:
    """Return the table of a workload, a line per contestant, the fastest first."""
    scale = {"µs": 1e6, "ms": 1e3, "s": 1.0}[result.unit]
    ours = result.best(ours=True, prefix=targets(name)[0][0])
    header = ["contestant", f"{result.unit} (median)", "range", "÷ chainrule"]
    if result.flops:
        header += ["GFLOP/s", "of 1 core's peak", f"of {threads} cores' peak"]
    table = [header]
    for label in sorted(result.seconds, key=result.median):
        seconds = [scale * s for s in result.seconds[label]]
        line = [label, number(median(seconds)), f"{number(min(seconds))}–{number(max(seconds))}"]
        line.append(f"{result.median(label) / result.median(ours):.2f}" if ours else "–")
        if result.flops:
            line.append(f"{result.flops / result.median(label) / 1e9:.1f}")
            line += [f"{result.share(label, which):.2f}" for which in ("one", "all")]
        table.append(line)
    return table


def number(x: float) -> str:
    """Write a time with three digits."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def targets(name: str) -> list[tuple[str, float]]:
    """Give the target of a workload: what ours starts with, times faster than the best peer."""
    if name in NETS:
        return [("chainrule", NETS[name].ratio)]
    if name in PREDICTIONS:
        return [("chainrule", PREDICTIONS[name][1])]
    return [(f"chainrule {kind}", ratio) for kind, ratio in FITS[name].items()]


def summary(results: dict[str, Result]) -> list[list[str]]:
    """Return the table of targets."""
    table = [["workload", "chainrule", "best peer", "times faster", "target", "peak", "target"]]
    for name, result in results.items():
        peer = result.best(ours=False)
        for prefix, target in targets(name):
            ours = result.best(ours=True, prefix=prefix)
            ratio = f"{result.median(peer) / result.median(ours):.2f}" if ours and peer else "–"
            line = [name, ours or "–", peer or "–", ratio, f"{target:g}", "", ""]
            if name in NETS and ours:
                one = NETS[name].one_core
                share = result.share(ours, "one" if one else "all")
                aim = f"{NETS[name].share:g} of {'1' if one else 'all'}" if NETS[name].share else ""
                line[5:] = [f"{share:.2f}", aim]
            table.append(line)
    return table


def as_markdown(table: list[list[str]]) -> list[str]:
    rows = ["| " + " | ".join(line) + " |" for line in table]
    return [rows[0], "|---" * len(table[0]) + "|", *rows[1:]]


def by_unit() -> list[str]:
    """Say whether chainrule multiplies by a matrix unit here; NumPy's peak knows nothing of it."""
    machine = importlib.import_module("chainrule.transforms.compile.machine")
    if not machine.has_tiles():
        return []
    return [
        "This processor has a matrix unit (AMX). Larger float32 products of chainrule are",
        "computed by it, as sums of products of halves, with errors no larger than those of",
        "float32 ([decision 0024](../decisions/0024-sums-of-halves.md)). The others use it for",
        "numbers of 16 bits, or for float32 products that lose the lower half of each number; that",
        "was not asked of them.",
        "",
    ]


def page(bench: Bench, results: dict[str, Result], remarks: list[str]) -> str:
    """Write everything as one Markdown page."""
    versions = ", ".join(f"{name} {installed(name)}" for name in VERSIONS if installed(name))
    text = [
        "# Speed",
        "",
        "Written by `benchmarks/speed.py`, which says what is measured; `benchmarks/peers.py` says",
        "how each contestant is set up.",
        "",
        f"* Command: `python {' '.join([Path(sys.argv[0]).as_posix(), *sys.argv[1:]])}`",
        f"* {bench.repeats} repeats of at least {bench.seconds:g} s each; of whole fits 5 at most",
        f"* {date.today().isoformat()}; {processor()}, {cores()} cores; "
        f"Python {platform.python_version()}; {versions}",
        *[f"* {remark}" for remark in remarks],
        *[f"* Left out: {note}" for note in bench.notes],
        "",
        "Times faster: the median of the best peer over the median of chainrule. Peak: the share",
        "of the peak of NumPy's float32 product, of one core or of all. A name without a number of",
        "threads: all.",
        "",
        *by_unit(),
        *as_markdown(summary(results)),
        *in_the_way(results),
    ]
    for name, result in results.items():
        text += ["", f"## {name}", "", *as_markdown(lines(name, result, bench.threads)), ""]
        if result.peaks:
            one, every = (median(result.peaks[which]) for which in ("one", "all"))
            text.append(f"Peak: {one:.0f} GFLOP/s with 1 thread, {every:.0f} with all.")
        text.append(result.check)
    return "\n".join(text) + "\n"


def in_the_way(results: dict[str, Result]) -> list[str]:
    """Say for each target that was missed what stands in the way."""
    missed = []
    for line in summary(results)[1:]:
        short = line[3] != "–" and float(line[3]) < float(line[4])
        if short and line[0] in REASONS:
            missed.append(f"* **{line[0]}**: {REASONS[line[0]]}")
    return ["", "What is in the way where the target is missed:", "", *missed] if missed else []


def show(title: str, table: list[list[str]]) -> None:
    """Print a table, without the ranges, for which there is no room."""
    columns = [i for i, name in enumerate(table[0]) if name != "range"]
    shown = Table(title=title)
    for i in columns:
        shown.add_column(table[0][i], no_wrap=i == 0)
    for line in table[1:]:
        shown.add_row(*(line[i] for i in columns), style="bold" if "chainrule" in line[0] else None)
    console.print(shown)


def chosen(text: str | None, known: list[str], what: str) -> list[str]:
    """Split a list of names at commas, refuse unknown names."""
    if text is None:
        return known
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.BadParameter(f"unknown {what} {unknown[0]!r}; choose from: {', '.join(known)}")
    return names


def warnings_of_the_machine() -> list[str]:
    """Say what makes this machine's times worse than they could be."""
    remarks = [
        f"{name}={os.environ[name]} is set, which may slow NumPy's products"
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        if name in os.environ
    ]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        remarks.append(f"The machine was busy at the start: load {load:.1f}")
    return remarks


@click.command()
@click.option("--only", help=f"Workloads, separated by commas: {', '.join(WORKLOADS)}.")
@click.option("--contestants", help=f"Separated by commas: {', '.join(PACKAGES)}. Default: all.")
@click.option("--repeats", default=11, show_default=True, help="Times taken of everyone.")
@click.option("--seconds", default=0.3, show_default=True, help="Least length of a time.")
@click.option("--threads", default=cores(), show_default=True, help="What all threads means.")
@click.option("--out", type=click.Path(path_type=Path), help="Markdown page to write.")
@click.option("--quick", is_flag=True, help="Two short repeats of a part, to see that all runs.")
def main(
    only: str | None,
    contestants: str | None,
    repeats: int,
    seconds: float,
    threads: int,
    out: Path | None,
    quick: bool,
) -> None:
    """Compare the speed of chainrule with that of its peers."""
    workloads = chosen(only, WORKLOADS, "workload")
    names = chosen(contestants, list(PACKAGES), "contestant")
    if quick:
        repeats, seconds = 2, 0.02
    remarks = warnings_of_the_machine()
    for remark in remarks:
        console.print(f"warning: {remark}", style="bold red")
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench([], threads, repeats, seconds, quick, Path(folder))
        for name in names:
            missing = [package for package in PACKAGES[name] if installed(package) is None]
            if missing:
                bench.note(f"{name} ({missing[0]} is not installed)")
            else:
                bench.names.append(name)
        if installed("scikit-learn") is None and any(name in FITS for name in workloads):
            bench.note("whole fits (the digits come with scikit-learn, which is not installed)")
            workloads = [name for name in workloads if name not in FITS]
        workloads = [name for name in WORKLOADS if name in workloads]
        try:
            if any(name not in FITS for name in workloads):
                bench.start()
            for name in workloads:
                bench.workload = name
                console.print(f"{time.strftime('%H:%M:%S')} {name}", style="dim")
                if name in NETS:
                    results[name] = time_training(bench, name)
                elif name in PREDICTIONS:
                    results[name] = time_prediction(bench, name)
                else:
                    bench.close()
                    results[name] = (time_first_fit if name == "first fit" else time_search)(bench)
                show(name, lines(name, results[name], threads))
                console.print(results[name].check)
        finally:
            bench.close()
        show("Targets", summary(results))
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(page(bench, results, remarks), encoding="utf-8")
            console.print(f"wrote {out}")


if __name__ == "__main__":
    main()
