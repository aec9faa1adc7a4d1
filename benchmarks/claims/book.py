"""Claims, their measurements with uncertainty, and the page that they make.

>>> print(Sample([1.0, 2.0, 3.0]))
2.00 ± 0.58
>>> Sample([1.0, 1.1, 0.9]).below(Sample([2.0, 2.2, 2.1]))
True
>>> verdict(False, only_if=("x < 1", True))
'holds only if x < 1'
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Sample:
    """One number per seed, with its mean and the standard error of the mean."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = np.asarray(list(values), dtype=float)

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        n = len(self.values)
        return float(self.values.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0

    def below(self, other: "Sample") -> bool:
        """Whether this is smaller, seed by seed, by more than two standard errors."""
        gap = Sample(other.values - self.values)
        return gap.mean > 2 * gap.error

    def __str__(self) -> str:
        size = max(abs(self.mean), self.error)
        if size and not 1e-3 <= size < 1e5:
            return f"{self.mean:.1e} ± {self.error:.0e}"
        digits = max(0, 2 - math.floor(math.log10(size))) if size else 0
        digits = min(digits, 3) if size >= 1 else digits
        return f"{self.mean:.{digits}f} ± {self.error:.{digits}f}"


def verdict(general: bool, *, only_if: tuple[str, bool] | None = None) -> str:
    """Say "holds", "holds only if …" where the claim is true under a condition, or "fails"."""
    if general:
        return "holds"
    return f"holds only if {only_if[0]}" if only_if and only_if[1] else "fails"


class Run:
    """How much to measure: all of it, or a quick look with fewer seeds and less work."""

    def __init__(self, *, quick: bool = False) -> None:
        self.quick = quick

    def seeds(self, count: int) -> range:
        """Give the numbers of the seeds."""
        return range(min(count, 3) if self.quick else count)

    def amount(self, full: int, quick: int) -> int:
        """Give a size or a number of steps."""
        return quick if self.quick else full


class Claim(NamedTuple):
    """What the notes say, where, and by which rule a measurement decides."""

    id: str
    where: str
    quote: str
    rule: str
    measure: Callable[[Run], tuple[str, str]]


class Result(NamedTuple):
    """A claim with what was measured and the verdict."""

    claim: Claim
    measured: str
    verdict: str


CLAIMS: list[Claim] = []

Measurement = Callable[[Run], tuple[str, str]]


def claim(name: str, where: str, quote: str, rule: str) -> Callable[[Measurement], Measurement]:
    """Register a function that gives what was measured and the verdict."""

    def add(measure: Measurement) -> Measurement:
        CLAIMS.append(Claim(name, where, quote, rule, measure))
        return measure

    return add


def ids() -> list[str]:
    """List the IDs of the rows that are measured, each once, in order."""
    return sorted({claim.id for claim in CLAIMS}, key=lambda name: (name[0], int(name[1:])))


def measured(names: Sequence[str] = (), *, quick: bool = False) -> Iterable[Result]:
    """Measure the claims of these rows, or all, one after the other."""
    unknown = set(names) - set(ids())
    if unknown:
        raise ValueError(f"no claim {', '.join(sorted(unknown))}; there are {', '.join(ids())}")
    for name in names or ids():
        for one in (one for one in CLAIMS if one.id == name):
            yield Result(one, *one.measure(Run(quick=quick)))


INTRODUCTION = """# Claims of the study notes, measured

What the two sets of study notes that chainrule implements claim without a proof, measured with
chainrule. **A** is the one on fundamentals, **B** the one on deep learning; A:L48 is line 48 of A.
Numbers are means over seeds ± the standard error of the mean; "more" and "fewer" mean by over two
standard errors of the difference. The verdict follows from the rule by code, in
`benchmarks/claims/`; `python benchmarks/claims/run.py` measures all and writes this page,
`python benchmarks/claims/run.py A16 --quick` looks at one. What is measured is small on purpose: it
says whether a claim holds there, not everywhere.

"""


def page(results: Iterable[Result], about: str) -> str:
    """Put the results into a table."""
    lines = ["| Row | Claim | Measured | Rule | Verdict |", "| --- | --- | --- | --- | --- |"]
    counts: dict[str, int] = {}
    for found in results:
        kind = found.verdict if found.verdict in ("holds", "fails") else "holds only if …"
        counts[kind] = counts.get(kind, 0) + 1
        one = found.claim
        words, _, subject = one.quote.partition(" (")
        quote = f'"{words}"' + (f" ({subject}" if subject else "")
        cells = (f"**{one.id}**<br>{one.where}", quote, found.measured, one.rule,
                 f"**{found.verdict}**")  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    total = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    return f"{INTRODUCTION}{about}\n\nVerdicts: {total}.\n\n" + "\n".join(lines) + "\n"
