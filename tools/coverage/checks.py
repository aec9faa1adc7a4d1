"""Whether what a row of the coverage names exists.

>>> missing_name("nn.Linear"), missing_name("nn.Linnear")
('', "chainrule has no 'nn.Linnear'")
>>> missing_test("test_neurons::test_truth_tables")
''
"""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import chainrule
from chainrule.losses import Loss
from chainrule.plan import Plan
from tools.coverage.book import KINDS, Row

ROOT = Path(__file__).parents[2]


def problems(row: Row) -> Iterator[str]:
    """Say what is wrong with a row."""
    if row.kind not in KINDS:
        yield f"{row.id}: kind {row.kind!r}, expected one of {', '.join(KINDS)}"
    if not row.item:
        yield f"{row.id}: no item"
    if row.status == "later" and row.shown:
        yield f"{row.id}: left for later, and shown"
    if row.status == "not yet" and not row.missing:
        yield f"{row.id}: neither shown nor said to be missing"
    if row.status in ("shown", "in part") and not row.made:
        yield f"{row.id}: shown, but nothing makes it"
    for name in row.made:
        wrong = missing_file(name) if "/" in name else missing_name(name)
        if wrong:
            yield f"{row.id}: {wrong}"
    for thing in row.shown:
        if wrong := missing_evidence(thing):
            yield f"{row.id}: {wrong}"


def missing_evidence(thing: str) -> str:
    """Say what is wrong with a test, claim, erratum or file, or nothing."""
    if "::" in thing:
        return missing_test(thing)
    if "/" in thing:
        return missing_file(thing)
    kind, _, name = thing.partition(" ")
    known = {"claim": _rows("claims"), "erratum": _rows("errata")}
    if kind not in known:
        return f"{thing!r}: expected file::test, a path, 'claim A00' or 'erratum E-00'"
    return "" if name in known[kind] else f"there is no {kind} {name}"


@cache
def _rows(name: str) -> frozenset[str]:
    """Give the IDs of the rows of a page."""
    lines = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").splitlines()
    return frozenset(line.split("**")[1] for line in lines if line.startswith("| **"))


def missing_file(path: str) -> str:
    """Say that a file, or a heading of it, does not exist, or nothing."""
    name, _, heading = path.partition("#")
    file = ROOT / name
    if not file.is_file():
        return f"there is no file {name}"
    if heading:
        lines = file.read_text(encoding="utf-8").splitlines()
        anchors = {_anchor(line) for line in lines if line.startswith("#")}
        if heading not in anchors:
            return f"{name} has no heading #{heading}"
    return ""


def _anchor(line: str) -> str:
    title = line.lstrip("#").strip().lower()
    return "".join(c for c in title if c.isalnum() or c in " -_").replace(" ", "-")


def missing_name(name: str) -> str:
    """Say that chainrule has no such name, or the thing no such argument, or nothing."""
    path, _, arguments = name.partition("(")
    thing: Any = chainrule
    for part in path.split("."):
        thing = _member(thing, part)
        if thing is None:
            return f"chainrule has no {path!r}"
    for argument in arguments.rstrip(")").split(",") if arguments else ():
        key = argument.strip().rstrip("=")
        if key not in _arguments(thing):
            return f"{path} takes no {key!r}"
    return ""


def _member(thing: Any, name: str) -> Any:
    if hasattr(thing, name):
        return getattr(thing, name)
    if inspect.ismodule(thing):
        try:
            return import_module(f"{thing.__name__}.{name}")
        except ModuleNotFoundError:
            return None
    return None


def _arguments(thing: Any) -> set[str]:
    if isinstance(thing, Loss):
        return set(thing.formula.__kwdefaults__ or ()) | {"weight", "reduction"}
    if inspect.isclass(thing):  # a constructor may hand arguments on to that of its base
        makers: list[Any] = [cls.__init__ for cls in thing.__mro__]
    else:
        makers = [thing]
    found = {name for make in makers for name in inspect.signature(make).parameters}
    plan = thing in (chainrule.train, chainrule.training_step)
    return found | (set(inspect.signature(Plan).parameters) if plan else set())


def missing_test(node: str) -> str:
    """Say that there is no such test, or that it may be skipped, or nothing."""
    name, _, test = node.partition("::")
    if not (ROOT / "tests" / f"{name}.py").is_file():
        return f"there is no file tests/{name}.py"
    function = _tests(name).get(test)
    if function is None:
        return f"tests/{name}.py has no test {test}"
    words = {getattr(n, "attr", getattr(n, "id", "")) for n in ast.walk(function)}
    if words & {"skip", "skipif", "importorskip", "xfail"}:
        return f"{node} may be skipped: it shows nothing for certain"
    return ""


@cache
def _tests(name: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse((ROOT / "tests" / f"{name}.py").read_text(encoding="utf-8"))
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
