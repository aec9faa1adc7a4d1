"""Rows of the coverage, and the page that they make.

>>> row = read("F01 | I | Single neuron | nn.Linear | test_neurons::test_a_neuron_of_layers | ")
>>> row.id, row.made, row.status
('F01', ['nn.Linear'], 'shown')
>>> read("C21 | V | Picture of a graph | | | later: drawing").status
'later'
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("rows.txt")
PAGE = Path(__file__).parents[2] / "docs" / "notes.md"

KINDS = {"I": "built", "D": "demonstrated", "M": "measured claim", "T": "task", "V": "picture"}
STATUS = {
    "shown": "made, and shown by what the last column names",
    "in part": "made and shown, but for what is said to be missing",
    "not yet": "nothing shows it yet",
    "later": "planned, in a part of its own",
}

INTRODUCTION = """# The study notes, item by item

chainrule implements what two sets of study notes describe, one on fundamentals and one on deep
learning. This page lists every item in them that software can implement, demonstrate or measure:
what makes it, and which test, measurement or page shows it.

`test_x::test_y` is a test in `tests/test_x.py`; "claim" is a row of [claims](claims.md), with what
was measured; "erratum" is a row of [errata](errata.md), with the mistake and its correct form.
Kinds: {kinds}.

`make notes` writes the page from `tools/coverage/rows.txt`. A test fails when an item is missing,
when a name, file, test, claim or erratum in it does not exist, or when the test may be skipped.
"""


class Row(NamedTuple):
    """An item: ID, kind, what it is, what makes it, what shows it, and what is missing."""

    id: str
    kind: str
    item: str
    made: list[str]
    shown: list[str]
    missing: str

    @property
    def status(self) -> str:
        """Whether the item is shown, in part, not yet, or is left for later."""
        if self.missing.startswith("later: "):
            return "later"
        if not self.shown:
            return "not yet"
        return "in part" if self.missing else "shown"


def read(line: str) -> Row:
    """Read a row; its cells are separated by bars, things in a cell by semicolons."""
    cells = [cell.strip() for cell in line.split("|")]
    if len(cells) != 6:
        raise ValueError(f"{line!r} has {len(cells)} cells, expected 6")
    name, kind, item, made, shown, missing = cells
    return Row(name, kind, item, _things(made), _things(shown), missing)


def _things(cell: str) -> list[str]:
    return [thing.strip() for thing in cell.split(";") if thing.strip()]


def sections(text: str) -> dict[str, list[Row]]:
    """Read the rows under the title of their section."""
    found: dict[str, list[Row]] = {}
    for line in text.splitlines():
        if line.startswith("# "):
            found[line[2:]] = []
        elif line.strip():
            found[list(found)[-1]].append(read(line))
    return found


SECTIONS = sections(FILE.read_text(encoding="utf-8"))


def page(found: dict[str, list[Row]]) -> str:
    """Put the page together: the counts, what is missing, and the sections."""
    rows = [row for part in found.values() for row in part]
    counts = Counter(row.status for row in rows)
    kinds = ", ".join(f"**{kind}** {words}" for kind, words in KINDS.items())
    lines = [INTRODUCTION.format(kinds=kinds), "| | items | |", "| --- | ---: | --- |"]
    lines += [f"| {name} | {counts[name]} | {words} |" for name, words in STATUS.items()]
    lines += [f"| all | {len(rows)} | |", "", "## What is missing", "",
              "| Row | Item | Missing |", "| --- | --- | --- |"]  # fmt: skip
    for status in ("not yet", "in part", "later"):
        lines += [
            f"| **{row.id}** | {row.item} | {_reason(row)} |"
            for row in rows
            if row.status == status
        ]
    for title, part in found.items():
        lines += ["", f"## {title}", "", "| Row | Item | Made by | Shown by |",
                  "| --- | --- | --- | --- |"]  # fmt: skip
        lines += [_line(row) for row in part]
    return "\n".join(lines) + "\n"


def _reason(row: Row) -> str:
    return row.missing if row.status == "later" else f"{row.status}: {row.missing}"


def _line(row: Row) -> str:
    made = ", ".join(_linked(name) if "/" in name else f"`{name}`" for name in row.made)
    shown = ", ".join(_evidence(thing) for thing in row.shown)
    note = "" if row.status == "shown" else f"**{row.status}**"
    last = ", ".join(filter(None, [shown, note]))
    return f"| **{row.id}** {row.kind} | {row.item} | {made} | {last} |"


def _evidence(thing: str) -> str:
    return _linked(thing) if "/" in thing else f"`{thing}`" if "::" in thing else thing


def _linked(path: str) -> str:
    """Link a file, as seen from the folder of the page."""
    inside = path.removeprefix("docs/")
    return f"[{path}]({inside if inside != path else '../' + path})"
