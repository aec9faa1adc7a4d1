"""The package as a whole: imports, layers, documentation."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "chainrule"
FILES = sorted(SOURCE.rglob("*.py"))

# Whoever stands further down may import those above; `same` means within one level.
LEVELS = [
    ["errors"],
    ["atomic", "dims", "markup", "pace", "plain", "tree", "threads", "interruption"],
    ["save", "cells", "picture", "scopes"],
    ["graph", "frames", "strays"],
    ["ops", "columns", "targets", "files"],
    ["carries"],
    ["transforms", "table", "metrics"],
    [
        "functional",
        "pooling",
        "scan",
        "losses",
        "loss_checks",
        "updating",
        "penalties",
        "optim",
        "schedules",
        "data",
        "events",
        "history",
        "statistics",
        "stopping",
        "tally",
    ],
    ["nn"],
    [
        "testing",
        "contract",
        "progress",
        "loading",
        "restarts",
        "places",
        "drawing",
        "sizing",
        "slopes",
    ],
    ["averaging", "checkpoint", "observing", "step_graph", "step", "resuming"],
    ["plan"],
    ["predicting", "naming", "stepping"],
    ["training"],
    ["advise", "range_test", "report", "explaining", "textbook", "diagnose"],
    ["plots"],
    ["estimators"],
    ["search", "scripts"],
    ["exchange"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: i for i, names in enumerate(LEVELS) for name in names}
THIRD_PARTY = {
    "numpy", "safetensors", "click", "rich", "latex2mathml",  # the core
    "sklearn", "scipy",  # estimators alone
    "numba", "llvmlite",  # the compiler of compiled steps alone
}  # fmt: skip


def part(path):
    inside = path.relative_to(SOURCE).parts
    return inside[0].removesuffix(".py")


def imports(path):
    """Give (module, line, inside a function, only for type checkers) of every import."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
            if isinstance(node, ast.ImportFrom) and node.module == "chainrule":
                names = [f"chainrule.{a.name}" for a in node.names]
            outer, function, typing = node, False, False
            while hasattr(outer, "parent"):
                outer = outer.parent
                function |= isinstance(outer, ast.FunctionDef | ast.Lambda)
                typing |= isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.dump(outer.test)
            for name in names:
                yield name, node.lineno, function, typing


def test_import_needs_numpy_alone():
    code = (
        "import sys, numpy; before = set(sys.modules); import chainrule; "
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before} "
        "- set(sys.stdlib_module_names)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() in ("['chainrule']", "['chainrule', 'numpy']")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_keep_the_layers(path):
    own = part(path)
    if own == "__init__":
        return
    for name, line, function, typing in imports(path):
        place = f"{path.name}:{line} imports {name}"
        top = name.split(".")[0]
        if top == "chainrule":
            other = name.split(".")[1] if "." in name else "__init__"
            if typing or own == other:
                continue
            assert not function, f"{place} inside a function"
            if other[0].isupper() or other in ("__version__", "load", "train"):
                continue
            lower = LEVEL[other] <= LEVEL[own]
            assert lower, f"{place}, which stands above {own}"
        elif top not in sys.stdlib_module_names:
            assert top in THIRD_PARTY, f"{place}, which is no dependency"
            if top in ("sklearn", "scipy"):
                assert own == "estimators", f"{place} outside the estimators"
            if top in ("numba", "llvmlite"):
                assert path.parent.name == "compile", f"{place} outside of compile"
            if top in ("click", "rich"):
                assert own == "cli", f"{place} outside the command line"
            assert not function, f"{place} inside a function"


def test_every_part_has_a_level():
    assert {part(p) for p in FILES} - {"__init__"} <= set(LEVEL)


def test_public_names_exist_and_are_documented():
    reference = (ROOT / "docs" / "reference.md").read_text()
    for name in chainrule.__all__:
        thing = getattr(chainrule, name)
        assert inspect.getdoc(thing), f"chainrule.{name} has no docstring"
        assert f"`{name}`" in reference, (
            f"chainrule.{name} is not in docs/reference.md: make reference"
        )
    assert set(chainrule.__all__) <= set(dir(chainrule))
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = chainrule.no_such_name


@pytest.mark.slow
def test_reference_is_up_to_date():
    made = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "reference.py"), "--print"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert made.stdout == (ROOT / "docs" / "reference.md").read_text(), "run `make reference`"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_public_things_have_docstrings_and_files_stay_short(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{path.name} has no docstring"
    alone = path.name == "replay.py"  # one file, so that it can be copied and run by itself
    assert len(text.splitlines()) <= (700 if alone else 600), f"{path.name} does two things"


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))],
                         ids=lambda p: p.name)  # fmt: skip
def test_links_in_the_documentation_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.slow
def test_nothing_is_unpickled_or_evaluated():
    forbidden = {"pickle", "marshal", "shelve", "joblib", "cloudpickle", "dill"}
    for path in FILES:
        assert not {name.split(".")[0] for name, *_ in imports(path)} & forbidden
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile"), path
