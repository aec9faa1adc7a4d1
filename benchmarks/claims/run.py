"""Measure the claims of the notes, print the table, and write docs/claims.md.

python benchmarks/claims/run.py              all, in a few minutes on one core
python benchmarks/claims/run.py A16 O22      these rows; the page is not written
python benchmarks/claims/run.py --quick      fewer seeds and less work; the page is not written
"""

import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import host  # noqa: E402

import benchmarks.claims  # noqa: E402, F401  (registers the claims)
from benchmarks.claims.book import Result, measured, page  # noqa: E402

PAGE = ROOT / "docs" / "claims.md"


def main(arguments: list[str]) -> None:
    """Measure what the arguments name."""
    quick = "--quick" in arguments
    names = [word for word in arguments if word != "--quick"]
    started, last, results = time.perf_counter(), time.perf_counter(), list[Result]()
    for found in measured(names, quick=quick):
        results.append(found)
        now = time.perf_counter()
        print(f"{found.claim.id:4} {found.claim.quote}\n     {found.measured}")
        print(f"     {found.verdict.upper()}  ({found.claim.rule}; {now - last:.1f} s)", flush=True)
        last = now
    minutes = (time.perf_counter() - started) / 60
    if not names and not quick:
        versions = ", ".join(f"{name} {host.installed(name)}" for name in ("numpy", "chainrule"))
        about = f"Measured on {host.processor()} in {minutes:.0f} minutes, with {versions}."
        PAGE.write_text(page(results, about), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
