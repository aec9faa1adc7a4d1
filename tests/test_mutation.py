"""Mutation testing itself: what a test catches is killed, and what none catches survives."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutation.__main__ import difference, interval, place, report
from tools.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[1]
SOURCE = """\
def half(x: "int | None" = None, *, least=0):
    while x > 100:
        x = x - 100
    return max(x, least) // 2


SIZE = half(4)
"""
TESTS = """\
from toy import SIZE, half

def test_size():
    assert SIZE == 2

def test_half():
    assert half(6) == 3

def test_large():
    assert half(250) == 25
"""
SLOW = """\
import pytest
from toy import half

@pytest.mark.slow
def test_nothing():
    assert half(-4) == 0
"""
RUN = """
import sys
from pathlib import Path
from tools.mutation.__main__ import SLOW_TESTS, attempt
from tools.mutation.mutants import Mutant
from tools.mutation.reach import Reach, note
from tools.mutation.trial import Tree

root = Path(sys.argv[1])
tree = Tree(root, root / ".mutation" / "tree")
assert tree.run(lambda: note(tree.folder, "tests", root / "noted"), 60) == 0
reach, path = Reach([root / "noted"]), root / "src" / "toy.py"
text = path.read_text()
print(sorted(reach.tests(root, path, 3, 3)))
print(sorted(reach.tests(root, path, 7, 7)))
for line, old, new in [(4, "// 2", "// 3"), (1, "least=0", "least=-1"), (3, "- 100", "- 0"),
                       (7, "half(4)", "half(5, 1)"), (7, "half(4)", "2"), (1, "", "")]:
    mutant = Mutant(path, "calls", 0, line, line)
    print(attempt(tree, reach, mutant, text.replace(old, new), seconds=2, root=root))
print(attempt(tree, Reach([]), mutant, text.replace("2", "3"), seconds=2, root=root))
SLOW_TESTS["toy.py"] = ["slow"]
for new in ("least=-1", "least=0 + 0"):
    print(attempt(tree, reach, mutant, text.replace("least=0", new), seconds=2, root=root))
assert (tree.folder / "src" / "toy.py").read_text() == text == path.read_text()
"""


@pytest.fixture
def toy(tmp_path):
    """A project of one module, three tests and a slow one, under git."""
    for name, text in {
        "src/toy.py": SOURCE, "tests/test_toy.py": TESTS, "tests/test_slow.py": SLOW,
        ".gitignore": ".mutation\n",
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--strict-markers"\n'
        'markers = ["slow: long"]\n',
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.slow
def test_planted_changes_are_killed_or_survive_or_take_too_long(toy):
    done = subprocess.run(
        [sys.executable, "-c", RUN, toy], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    large, every, *said = done.stdout.splitlines()
    assert large == "['tests/test_toy.py::test_large']"
    assert len(ast.literal_eval(every)) == 3, "a row that runs at import is every test's"
    assert said == [
        "killed",  # by test_half
        "survived",  # nothing asks for less than nothing
        "timeout",  # it never ends
        "killed",  # it cannot be imported
        "survived",  # another way to say the same
        "survived",  # unchanged
        "unreached",
        "killed",  # by a slow test, which is tried where a file asks for it
        "survived",
    ]
    assert os.listdir(toy / ".mutation") == ["tree"]


def test_changes_of_calls_keep_the_lines(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        "x = 1\ny = round(\n    float(x),  # é\n    ndigits=2,\n)\nz = min(x, add(y, 2))\n"
    )
    made = {Mutant(path, "calls", i, 1, 1).code for i in range(3)}
    assert made == {
        "x = 1\ny = (round(float(x))\n\n\n)\nz = min(x, add(y, 2))\n",
        "x = 1\ny = round(\n    (x),  # é\n    ndigits=2,\n)\nz = min(x, add(y, 2))\n",
        "x = 1\ny = round(\n    float(x),  # é\n    ndigits=2,\n)\nz = (min(add(y, 2), x))\n",
    }


def test_changes_of_cosmic_ray_leave_out_annotations_and_stars(tmp_path):
    pytest.importorskip("cosmic_ray")
    path = tmp_path / "toy.py"
    path.write_text(SOURCE)
    found = mutants(path)
    assert len({m.key for m in found}) == len(found) == len({m.code for m in found})
    assert all('x: "int | None" = None, *, least' in m.code for m in found)
    changed = {m.code.splitlines()[1].strip() for m in found if m.first == 2}
    assert changed == {
        "while not x > 100:", "while x >= 100:", "while x <= 100:", "while x > 101:",
        "while x > 99:",
    }  # fmt: skip


def test_a_change_that_cosmic_ray_cannot_make_changes_nothing(tmp_path):
    pytest.importorskip("cosmic_ray")
    path = tmp_path / "toy.py"
    path.write_text("try:\n    f()\nexcept (a.b, c.d):\n    pass\n")
    found = [m.code for m in mutants(path) if m.operator == "ExceptionReplacer"]
    assert found
    assert set(found) == {path.read_text()}


def test_the_report_shows_survivors_and_the_score(capsys):
    made = [Mutant(ROOT / "src/chainrule/tree.py", "calls", i, 1, 1) for i in range(4)]
    said = dict(zip(made, ["killed", "survived", "unreached", "timeout"], strict=True))
    assert report({"graph": (made, 5)}, {m.key: word for m, word in said.items()}) == 0
    printed = capsys.readouterr().out
    for word in ("survived", "unreached"):
        (mutant,) = (m for m in made if said[m] == word)
        assert f"{word.upper()} {place(mutant)}\n{difference(mutant)}" in printed
    assert printed.count("\n+") == 2, "no diff of those that were killed"
    row = printed.splitlines()[-1].split()
    assert row[:10] == ["graph", "4", "of", "5", "2", "1", "1", "1", "50.0%", "15.0%"]


def test_the_interval_is_wilsons():
    low, high = interval(90, 100)
    assert (round(low, 3), round(high, 3)) == (0.826, 0.945)
    assert interval(10, 10)[1] == 1
