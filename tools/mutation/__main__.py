"""The command `python -m tools.mutation`."""

import argparse
import difflib
import json
import math
import os
import random
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from tools.mutation.mutants import Mutant, mutants
from tools.mutation.reach import Reach, digest, note
from tools.mutation.trial import Tree, warm

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "chainrule"
KEPT = ROOT / ".mutation"
RESULTS = KEPT / "results.jsonl"
BUDGET = 10.0

MODULES = {
    "graph": ["graph.py"],
    "ops": ["ops/*.py"],
    "losses": ["losses.py", "loss_checks.py"],
    "optim": ["optim.py", "updating.py"],
    "save": ["save.py"],
    "transforms": ["transforms/run.py", "transforms/forward.py", "transforms/reverse.py"],
    "compile": ["transforms/compile/*.py"],
    "explain": ["transforms/explain/*.py"],
    "draw": ["transforms/draw/*.py"],
    "python": ["transforms/python/*.py"],
    "onnx": ["transforms/onnx/*.py"],
}
CLOSE = {
    "ops": ["ops", "notation", "onnx", "scripts", "compile", "explain"],
    "compile": ["compile", "compile_source", "compile_language", "compile_report",
                "compile_executor", "compile_blocks", "compile_machine"],
    "python": ["scripts"],
}  # fmt: skip
"""Files of tests that are tried first, where there are others than those of the module's name."""

TESTS = [
    "graph", "ops", "transforms", "losses", "optim", "save", "functional", "penalties",
    "averaging", "resume", "state_machines", "random_graphs", "atomic", "saves", "formats",
    "schedules", "compile", "compile_source", "compile_language", "compile_report",
    "compile_executor", "compile_blocks", "compile_machine", "compile_compiler",
    "compile_random", "compile_maths", "compile_products", "compile_cache", "step", "training",
    "predicting", "recurrent", "convolution", "nn", "nn_more", "complete", "aids", "files", "cli",
    "explain", "draw", "scripts", "notation", "onnx", "verbs", "package",
]  # fmt: skip
SLOW_TESTS = {
    "panels.py": ["compile_products"], "products.py": ["compile_products"],
    "tiles.py": ["compile_products"],
    "number.py": ["compile_maths"], "vector.py": ["compile_maths"],
    "compiler.py": ["compile_compiler", "compile_products"], "machine.py": ["compile_machine"],
}  # fmt: skip
"""Files whose code becomes machine code: tests that are run whole where no quick one notices."""
SLOW_SECONDS = 300


def main() -> int:
    """Try changes of modules, and say which of them no test noticed."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutation", description=main.__doc__)
    parser.add_argument("--module", action="append", choices=MODULES, help="all, if none is named")
    parser.add_argument("--sample", type=int, metavar="N", help="so many of each module")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="S",
                        help="seconds of tests that are tried on a change at most")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="try those again that survived")
    parser.add_argument("--report", action="store_true", help="try none")
    parser.add_argument("--control", action="store_true", help="run the tests without the change")
    options = parser.parse_args()
    names = options.module or list(MODULES)
    known = results()
    warm()
    tree = Tree(ROOT, KEPT / f"tree-{os.getpid()}")
    try:
        reach = None if options.report else reached(tree)
        drawn = {name: draw(name, options.sample, options.seed) for name in names}
        for name, (chosen, _) in drawn.items():
            for mutant in chosen if reach else ():
                old = known.get(mutant.key)
                if options.control:
                    said = attempt(
                        tree, reach, mutant, mutant.path.read_text(encoding="utf-8"), options.budget
                    )
                    if said in ("killed", "timeout"):
                        print(f"CONTROL {place(mutant)}: its tests fail without the change")
                elif old is None or (options.again and old != "killed"):
                    known[mutant.key] = attempt(tree, reach, mutant, mutant.code, options.budget)
                    keep(mutant, known[mutant.key])
            if reach:
                print(f"{name}: {len(chosen)} tried", flush=True)
    finally:
        shutil.rmtree(tree.folder, ignore_errors=True)
    return report(drawn, known)


def draw(name: str, sample: int | None, seed: int) -> tuple[list[Mutant], int]:
    """Give changes of a module, at random if not all, and say how many there are."""
    found = [m for part in MODULES[name] for p in sorted(SOURCE.glob(part)) for m in mutants(p)]
    chosen = random.Random(f"{name} {seed}").sample(found, min(sample or len(found), len(found)))
    return [m for m in chosen if m.code != m.path.read_text(encoding="utf-8")], len(found)


def attempt(
    tree: Tree,
    reach: Reach,
    mutant: Mutant,
    code: str,
    budget: float = BUDGET,
    seconds: float = 20,
    root: Path = ROOT,
) -> str:
    """Try a change: first on the tests of its module for a few seconds, then on others."""
    near = (CLOSE.get(n, [n]) for n, parts in MODULES.items() if any(map(mutant.path.match, parts)))
    tests = reach.tests(root, mutant.path, mutant.first, mutant.last, next(near, ()))
    spent, batches = 0.0, ([], [])  # type: tuple[float, tuple[list[str], list[str]]]
    for test in tests:
        if spent < budget:
            batches[spent > budget / 5].append(test)
            spent += reach.seconds[test]
    for batch in batches:
        limit = seconds + 5 * sum(reach.seconds[test] for test in batch)
        said = tree.tried(mutant.path, code, batch, limit) if batch else "survived"
        if said != "survived":
            return said
    slow = [f"tests/test_{name}.py" for name in SLOW_TESTS.get(mutant.path.name, ())]
    if slow:  # which lines become which machine code cannot be seen
        return tree.tried(mutant.path, code, slow, SLOW_SECONDS)
    return "survived" if tests else "unreached"


def reached(tree: Tree) -> Reach:
    """Note what the tests reach, where they are not what they were."""
    folder = KEPT / "reach"
    folder.mkdir(parents=True, exist_ok=True)
    common = [path for path in (ROOT / "tests").glob("*.py") if path.stem[:5] != "test_"]
    files = [ROOT / f"tests/test_{name}.py" for name in TESTS]
    files.append(SOURCE)
    noted = []
    for file in files:
        now = digest([*common, *(file.rglob("*.py") if file.is_dir() else [file])])
        into = folder / f"{str(file.relative_to(ROOT)).replace('/', '-')}-{now}"
        if not into.exists():
            for old in folder.glob(f"{into.name[:-13]}-????????????"):
                old.unlink()
            print(f"running {file.relative_to(ROOT)}", flush=True)
            name = str(file.relative_to(ROOT))
            status = tree.run(partial(note, tree.folder, name, into), 3600)
            if status != 0:
                sys.exit((tree.folder / "log.txt").read_text(errors="replace")[-5000:])
        noted.append(into)
    return Reach(noted)


def results() -> dict[str, str]:
    """Read what is known; the last word on a change counts."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {x["key"]: x["said"] for x in map(json.loads, lines)}


def keep(mutant: Mutant, said: str) -> None:
    """Write down a result at once."""
    with RESULTS.open("a") as file:
        file.write(json.dumps({"key": mutant.key, "said": said, "where": place(mutant)}) + "\n")


def place(mutant: Mutant) -> str:
    """Say where a change is, and what it is."""
    return f"{mutant.path.relative_to(ROOT)}:{mutant.first} {mutant.operator}"


def interval(killed: int, tried: int) -> tuple[float, float]:
    """Give Wilson's interval, which holds the share in all with a probability of 95 %."""
    z, share = 1.96, killed / tried
    middle = share + z * z / (2 * tried)
    half = z * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    return tuple((middle + sign * half) / (1 + z * z / tried) for sign in (-1, 1))  # type: ignore[return-value]


def report(drawn: dict[str, tuple[list[Mutant], int]], known: dict[str, str]) -> int:
    """Print the changes that survived, and the score of each module."""
    lines = []
    for name, (chosen, every) in drawn.items():
        said = {m: known[m.key] for m in chosen if m.key in known}
        if not said:
            continue
        counts = Counter(said.values())
        for mutant in sorted(said, key=lambda m: (m.path, m.first)):
            if said[mutant] in ("survived", "unreached"):
                print(f"\n{said[mutant].upper()} {place(mutant)}\n{difference(mutant)}")
        killed, tried = counts["killed"] + counts["timeout"], len(said)
        low, high = interval(killed, tried)
        lines.append(
            f"{name:12}{tried:6} of {every:5}{killed:8}{counts['timeout']:9}"
            f"{counts['survived']:10}{counts['unreached']:11}{killed / tried:9.1%}"
            + (f"   {low:.1%} to {high:.1%}" if tried < every else "")
        )
    print("\nmodule          tried        killed  by time  survived  unreached    score   interval")
    print(*lines, sep="\n")
    return 0


def difference(mutant: Mutant) -> str:
    """Give a change as a diff, without its head."""
    before, after = mutant.path.read_text(encoding="utf-8"), mutant.code
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


if __name__ == "__main__":
    sys.exit(main())
