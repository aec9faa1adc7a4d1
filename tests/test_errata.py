"""The errata: all 105 are there, every number is what it should be, the page is up to date."""

import doctest
import importlib
from pathlib import Path

import pytest

from chainrule import functional
from tools.errata import SECTIONS, formulas
from tools.errata.book import Section, computed, page
from tools.errata.numbers import DisagreementError, below, holds, near, same

PAGE = Path(__file__).parents[1] / "docs" / "errata.md"

# E-16 has seven parts, three numbers have a second or third part, and there is no E-81.
IDS = {f"E-{n:02}" for n in range(1, 98)} - {"E-16", "E-81"}
IDS |= {f"E-16{part}" for part in "abcdefg"} | {"E-11b", "E-74b", "E-74c"}

ROWS = {row.id: row for section in SECTIONS for row in section.rows}


def test_every_row_stands_once():
    listed = [row.id for section in SECTIONS for row in section.rows]
    assert len(listed) == len(IDS) == 105
    assert set(listed) == IDS


def test_every_row_is_filled():
    for row in ROWS.values():
        assert row.where.startswith(("A:L", "B:L")), row.id
        assert row.quote, row.id
        assert row.right.endswith("."), row.id


@pytest.mark.slow
def test_page_is_up_to_date(monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)  # a row counts calls of NumPy
    assert page(SECTIONS) == PAGE.read_text(encoding="utf-8"), "run `make errata`"


def test_a_wrong_number_names_its_row():
    section = Section("Planted", register=False)

    @section.row("E-00", "W", "A:L1", "1 + 1 = 3", "2.")
    def planted():
        return same(1 + 1, "3")

    with pytest.raises(DisagreementError, match=r"E-00: computed 2\.0, expected 3"):
        page([section])
    with pytest.raises(ValueError, match="class 'X'"):
        section.row("E-00", "X", "A:L1", "", "")


def test_a_mistake_in_the_library_is_found(monkeypatch):
    computed(ROWS["E-03"])
    right = functional.logistic
    monkeypatch.setattr(formulas.functional, "logistic", lambda x, beta=1.0: right(x, beta * 1.001))
    with pytest.raises(DisagreementError, match="E-03"):
        computed(ROWS["E-03"])


@pytest.mark.parametrize("check", [
    lambda: same(0.12346, "0.1234"),
    lambda: same(float("nan"), "0.0"),
    lambda: same(1.0, "inf"),
    lambda: same([1.0, 2.0], "1 3"),
    lambda: same([1.0, 2.0], "1 2 3"),
    lambda: same(1.24e-9, "1.2e-8"),
    lambda: below([1e-16, float("nan")], 1e-15),
    lambda: below(2e-15, 1e-15),
    lambda: near(1.2, 1.0, 0.1),
    lambda: holds([True, False], "both"),
])  # fmt: skip
def test_checks_refuse_what_is_wrong(check):
    with pytest.raises(DisagreementError):
        check()


def test_numbers_are_written_as_expected():
    assert same(-0.00001, "0.000") == "0.000"
    assert same(9.98e8, "9.98e8") == "9.98e8"
    assert same(-0.5, "-.50") == "-0.50"
    assert same([[1, 2], [3, 4]], "1 2; 3 4") == "[(1, 2), (3, 4)]"


@pytest.mark.parametrize("name", ["", ".book", ".numbers", ".runs", ".example", ".perceptron"])
def test_examples_of_the_tool(name):
    found = doctest.testmod(importlib.import_module(f"tools.errata{name}"))
    assert found.attempted
    assert not found.failed
