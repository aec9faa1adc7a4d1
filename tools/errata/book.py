"""Rows of the errata, and the page that they make.

>>> section = Section("Signs", register=False)
>>> @section.row("E-00", "W", "A:L1", "2 + 2 = 5", "2 + 2 = 4.")
... def sum_of_two():
...     return f"2 + 2 is {same(2 + 2, '4')}."
>>> section.rows[0].evidence()
'2 + 2 is 4.'
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tools.errata.numbers import DisagreementError
from tools.errata.numbers import same as same

Evidence = Callable[[], str]

KINDS = {
    "W": "wrong",
    "I": "inconsistent",
    "U": "undefined or incomplete",
    "D": "dubious or overstated",
}

SECTIONS: list["Section"] = []

INTRODUCTION = f"""# Errata of the study notes

chainrule implements what two sets of study notes describe: **A** (fundamentals) and **B** (deep
learning). A:L48 is line 48 of A. Where they are mistaken the code is right, and this page says what
the mistake is, what is right, and how that shows in numbers.

Classes: {", ".join(f"**{kind}** {words}" for kind, words in KINDS.items())}.

Results in the column "Evidence" are not typed: the library computes each when the page is written,
and compares it with what the row expects. `make errata` writes the page; `tests/test_errata.py`
fails when it is out of date, or a result is not what it should be. The functions stand in
`tools/errata/`.
"""


class Row(NamedTuple):
    """A mistake: ID, class, place, quotation, what is right, and a function that shows it."""

    id: str
    kind: str
    where: str
    quote: str
    right: str
    evidence: Evidence


class Section:
    """Rows on one subject; `row` is the decorator that adds one."""

    def __init__(self, title: str, *, register: bool = True) -> None:
        self.title = title
        self.rows: list[Row] = []
        if register:
            SECTIONS.append(self)

    def row(
        self,
        id: str,  # noqa: A002
        kind: str,
        where: str,
        quote: str,
        right: str,
    ) -> Callable[[Evidence], Evidence]:
        """Add a row whose evidence is the function that follows."""
        unknown = set(kind.split("/")) - set(KINDS)
        if unknown:
            raise ValueError(f"{id}: class {kind!r}, expected {', '.join(KINDS)}")

        def add(evidence: Evidence) -> Evidence:
            self.rows.append(Row(id, kind, where, quote, right, evidence))
            return evidence

        return add


def computed(row: Row) -> str:
    """Compute the evidence of a row; a disagreement names the row."""
    try:
        return row.evidence()
    except DisagreementError as error:
        raise DisagreementError(f"{row.id}: {error}") from error


def page(sections: Sequence[Section]) -> str:
    """Compute every row and put the page together."""
    return "\n".join([INTRODUCTION, *(_section(section) for section in sections)])


def _section(section: Section) -> str:
    lines = [f"## {section.title}\n", "| Row | The notes | Correct | Evidence |",
             "| --- | --- | --- | --- |"]  # fmt: skip
    for row in section.rows:
        cells = (f"**{row.id}** {row.kind}<br>{row.where}", row.quote, row.right, computed(row))
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
