"""Measures the memory that a training takes, of chainrule and its peers.

    python benchmarks/memory.py --out docs/benchmarks/memory.md

Each training runs in a process of its own, twice: the first time loads and compiles all that there
is, the second counts. What counts is how far the resident memory rises at its highest above what
it was before the rows were read; the first weights, which the benchmark gives everyone to copy,
are there already. Needed are the weights, the two averages of Adam, the gradients, the rows, and
the results of all layers for one batch. Linux alone says how high it rose.
"""

import tempfile
from pathlib import Path
from statistics import median

import click
import numpy as np
from architectures import ARCHITECTURES
from host import cores, installed, told
from speed import PACKAGES, VERSIONS, Net, Worker, as_markdown, chosen, write_workload

NETS = {
    "table": Net((54, 256, 256, 7), 16384, 32768, 0, 0),
    "wide": Net((1024, 2048, 2048, 1000), 256, 2560, 0, 0),
    "lenet": Net((), 2048, 8192, 0, 0, architecture=ARCHITECTURES["lenet"]),
    "lstm": Net((), 512, 2048, 0, 0, architecture=ARCHITECTURES["lstm"]),
}
"""Nets and batches so large that what a library holds besides does not count."""
RESULTS = {
    "lenet": 6 * 28 * 28 + 6 * 14 * 14 + 16 * 10 * 10 + 16 * 5 * 5 + 120 + 84 + 10,
    "lstm": 64 * 6 * 128 + 1,
}
"""Numbers that the layers give for a row; of an LSTM the gates and both states of each step."""
CONTESTANTS = ["chainrule", "scikit-learn", "PyTorch", "JAX"]


def needed(net: Net, path: Path) -> dict[str, float]:
    """Give the MB of what a training cannot do without."""
    with np.load(path) as found:
        rows = found["x"].nbytes
        weights = sum(v.nbytes for k, v in found.items() if k not in ("x", "y", "name"))
    results = RESULTS.get(path.stem, sum(net.sizes[1:]))
    batch = 4 * net.batch * (results + rows // 4 // net.rows)
    parts = {"weights": weights, "Adam": 2 * weights, "gradients": weights}
    return {k: v / 1e6 for k, v in (parts | {"rows": rows, "batch": batch}).items()}


def rise(kind: str, net: Net, path: Path, threads: int) -> float:
    """Give the MB that a training takes in a new process."""
    worker = Worker(kind, threads, path.parent / "cache", MALLOC_MMAP_THRESHOLD_="65536")
    try:
        worker.ask("load")
        return worker.ask("memory", path=str(path), batch=net.batch, rows=net.rows) / 1e6
    finally:
        worker.close()


@click.command()
@click.option("--only", help=f"Nets, separated by commas: {', '.join(NETS)}.")
@click.option("--repeats", default=3, show_default=True, help="Processes of each contestant.")
@click.option("--threads", default=cores(), show_default=True, help="Threads of each library.")
@click.option("--out", type=click.Path(path_type=Path), help="Markdown page to write.")
def main(only: str | None, repeats: int, threads: int, out: Path | None) -> None:
    """Compare the memory of a training with that of peers."""
    kinds = [k for k in CONTESTANTS if all(installed(package) for package in PACKAGES[k])]
    table = [["net", "batch", "needed", "with gradients", *kinds, "chainrule ÷ needed"]]
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen(only, list(NETS), "net"):
            net, path = NETS[name], Path(folder) / f"{name}.npz"
            write_workload(net, path)
            found = needed(net, path)
            whole = sum(found.values())
            least = whole - found["gradients"]
            took = {}
            for kind in kinds:
                if kind != "scikit-learn" or net.architecture is None:
                    took[kind] = median(rise(kind, net, path, threads) for _ in range(repeats))
            cells = [f"{took[kind]:.0f}" if kind in took else "–" for kind in kinds]
            ratio = f"{took['chainrule'] / least:.2f} ({took['chainrule'] / whole:.2f})"
            table.append([name, f"{net.batch:,}", f"{least:.0f}", f"{whole:.0f}", *cells, ratio])
            parts.append(f"* {name}: " + ", ".join(f"{k} {v:.1f}" for k, v in found.items()))
            print(dict(zip(table[0], table[-1], strict=True)), flush=True)
    text = [
        "# Memory",
        "",
        "Written by `benchmarks/memory.py`, which says what is measured. MB (10⁶ bytes) by which a",
        f"process grows while it trains a net, median of {repeats} processes. In brackets: with",
        "the gradients among what is needed. The first weights, which the benchmark gives to",
        "everyone, are not counted.",
        "",
        told(VERSIONS),
        "",
        *as_markdown(table),
        "",
        "What is needed, in MB:",
        "",
        *parts,
    ]
    page = "\n".join(text) + "\n"
    if out is None:
        print(page)
    else:
        out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
