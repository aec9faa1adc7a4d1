"""The coverage of the notes: all 274 items stand there, and what they name exists."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

import chainrule
from tools.coverage import SECTIONS
from tools.coverage.book import PAGE, page, read, sections
from tools.coverage.checks import missing_evidence, missing_file, missing_name, problems

COUNTS = {"F": 16, "P": 18, "C": 25, "W": 8, "A": 26, "L": 31, "O": 32, "S": 12, "R": 26, "V": 9,
          "N": 11, "T": 18, "H": 10, "D": 8, "Z": 7, "Q": 17}  # fmt: skip
IDS = [f"{letter}{n:02}" for letter, count in COUNTS.items() for n in range(1, count + 1)]
ROWS = {row.id: row for part in SECTIONS.values() for row in part}

# What is missing is listed here too, so that no item loses its proof unnoticed.
INCOMPLETE = {
    "not yet": "",
    "in part": "",
    "later": "D01 D03 D04 D05 D06 Z01 Z03 Z04",
}


def test_every_item_stands_once():
    listed = [row.id for part in SECTIONS.values() for row in part]
    assert listed == IDS
    assert len(listed) == 274


@pytest.mark.parametrize("name", IDS)
def test_what_a_row_names_exists(name):
    assert list(problems(ROWS[name])) == []


@pytest.mark.parametrize("status", INCOMPLETE)
def test_what_is_missing_is_known(status):
    assert [row.id for row in ROWS.values() if row.status == status] == INCOMPLETE[status].split()


def test_checks_of_the_notes_are_listed_where_they_say():
    """A test of test_notes.py that names rows is named by them."""
    tree = ast.parse((Path(__file__).parent / "test_notes.py").read_text(encoding="utf-8"))
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    for test in tests:
        words = ast.get_docstring(test) or ""
        named = set(re.findall(r"\b[A-Z]\d\d\b", words.partition(":")[0]))
        listed = {row.id for row in ROWS.values() if f"test_notes::{test.name}" in row.shown}
        if test.name.startswith("test_"):
            assert named, f"{test.name} says of no row that it shows it"
            assert named == listed, test.name


def test_page_is_up_to_date():
    assert page(SECTIONS) == PAGE.read_text(encoding="utf-8"), "run `make notes`"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("F01 | X | item | nn.Linear | claim A15 | ", "F01: kind 'X'"),
        ("F01 | I | | nn.Linear | claim A15 | ", "F01: no item"),
        ("F01 | I | item | nn.Linear | | ", "neither shown nor said to be missing"),
        ("F01 | I | item | | claim A15 | ", "nothing makes it"),
        ("F01 | I | item | nn.Linear | claim A15 | later: soon", "left for later, and shown"),
        ("F01 | I | item | nn.Linnear | claim A15 | ", "F01: chainrule has no 'nn.Linnear'"),
        ("F01 | I | item | nn.Linear(width=) | claim A15 | ", "nn.Linear takes no 'width'"),
        ("F01 | I | item | losses.huber(beta=) | claim A15 | ", "losses.huber takes no 'beta'"),
        ("F01 | I | item | tools/none.py | claim A15 | ", "there is no file tools/none.py"),
        ("F01 | I | item | nn.Linear | claim F01 | ", "there is no claim F01"),
        ("F01 | I | item | nn.Linear | erratum E-99 | ", "there is no erratum E-99"),
        ("F01 | I | item | nn.Linear | idea | ", "expected file::test"),
        (
            "F01 | I | item | nn.Linear | test_none::test_x | ",
            "no file tests/test_none.py",
        ),
        ("F01 | I | item | nn.Linear | test_nn::test_none | ", "test_nn.py has no test test_none"),
        ("F01 | I | item | nn.Linear | docs/none.md | ", "there is no file docs/none.md"),
        ("F01 | I | item | nn.Linear | docs/training.md#none | ", "has no heading #none"),
        (
            "F01 | I | item | nn.Linear | test_nn::test_state_and_outputs_are_those_of_torch | ",
            "may be skipped",
        ),
    ],
)
def test_a_row_that_claims_too_much_is_found(line, text):
    assert any(text in found for found in problems(read(line)))


def test_what_exists_is_found():
    assert missing_name("train(validation=, epochs=)") == ""
    assert missing_name("nn.LSTM(bias=)") == ""
    assert missing_name("losses.adaptive(alpha=, reduction=)") == ""
    assert missing_file("docs/training.md#rare-classes") == ""
    assert missing_evidence("erratum E-16a") == missing_evidence("claim L24") == ""
    assert chainrule.nn.Linear is not None


def test_rows_have_six_cells():
    with pytest.raises(ValueError, match="has 3 cells, expected 6"):
        sections("# Title\nF01 | I | item")


@pytest.mark.parametrize("name", ["", ".book", ".checks"])
def test_examples_of_the_tool(name):
    found = doctest.testmod(importlib.import_module(f"tools.coverage{name}"))
    assert found.attempted
    assert not found.failed
