"""What the commands print: paragraphs and tables that fit the terminal, however narrow.

>>> import io
>>> out = io.StringIO()
>>> Account(out, width=60).choices([("loss", "mse", "least at the mean of what may happen")])
>>> print(out.getvalue())
loss: mse
  least at the mean of what may happen
<BLANKLINE>
<BLANKLINE>
"""

import io
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chainrule.report.content import ScoreRow
from chainrule.report.words import value

WIDE = 72  # columns, from which choices and reasons stand side by side


class Account:
    """Prints for people; with `quiet` nothing."""

    def __init__(
        self, out: TextIO | None = None, *, width: int | None = None, quiet: bool = False
    ) -> None:
        out = out or sys.stdout
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors="replace")  # a terminal that has no ² shows a question mark
        self.console = Console(
            file=out, width=width, quiet=quiet, markup=False, emoji=False, highlight=False
        )

    def line(self, words: str, style: str = "") -> None:
        """Print a paragraph."""
        self._print(Text(_clean(words), style))

    def unbroken(self, words: str) -> None:
        """Print a line that is not broken, such as a path or a command."""
        self.console.print(Text(_clean(words)), soft_wrap=True)

    def gap(self) -> None:
        """Print an empty line."""
        self.console.print()

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Print names and what belongs to them in two columns."""
        self._grid([(Text(_clean(name)), Text(_clean(fact))) for name, fact in facts])

    def choices(self, choices: Sequence[tuple[str, str, str]]) -> None:
        """Print what was chosen and why: in columns, or below one another."""
        rows = [tuple(map(_clean, choice)) for choice in choices]
        if self.console.width >= WIDE:
            styled = [(Text(what), Text(chosen, "bold"), Text(why)) for what, chosen, why in rows]
            self._grid(styled, limits=(20, 24, None))
        else:
            for what, chosen, why in rows:
                self._print(Text.assemble(what, ": ", (chosen, "bold")))
                self._print(Padding(Text(why), (0, 0, 0, 2)))
        self.gap()

    def scores(self, name: str, rows: Sequence[ScoreRow]) -> None:
        """Print a row of scores for each model; parts without any score are left out."""
        parts = [
            part
            for part in ("train", "validation", "test")
            if any(value(row, part) is not None for row in rows)
        ]
        table = _table(name, *parts)
        for row in rows:
            style = "bold" if row.role == "model" else ""
            label = Text(_clean(row.name), style)
            if row.note:
                label.append(f" ({row.note})")
            numbers = (value(row, part) for part in parts)
            table.add_row(label, *(Text("–" if n is None else f"{n:.3f}", style) for n in numbers))
        self._print(table)
        self.gap()

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table whose first column is text, the others numbers."""
        table = _table(*head)
        for row in rows:
            table.add_row(*(Text(_clean(cell)) for cell in row))
        self._print(table)
        self.gap()

    def notes(self, notes: Iterable[str]) -> None:
        """Print warnings."""
        for note in notes:
            self._print(Text.assemble(("note: ", "yellow"), _clean(note)))

    def bullet(self, words: str) -> None:
        """Print an entry of a list, whose further lines stand below its first."""
        self._grid([(Text("*"), Text(_clean(words)))])

    def _grid(
        self, rows: Sequence[Sequence[Text]], limits: Sequence[int | None] = (None, None)
    ) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for limit in limits:
            grid.add_column(max_width=limit, overflow="fold")
        for row in rows:
            grid.add_row(*row)
        self._print(grid)

    def _print(self, what: Table | Padding | Text) -> None:
        """Print without the spaces that fill up a line."""
        with self.console.capture() as captured:
            self.console.print(what)
        self.console.file.write(re.sub(" +$", "", captured.get(), flags=re.MULTILINE))


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="underline")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    return table


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect the warnings of a block; afterwards they are in the list that it gives."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        if issubclass(warning.category, UserWarning) and str(warning.message) not in notes:
            notes.append(str(warning.message))


def number(value: float) -> str:
    """Show a score with four digits, or whole up to a billion.

    >>> number(1.0), number(0.008645), number(12345.6), number(1.25e30)
    ('1.000', '0.008645', '12,346', '1.250e+30')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:#.4g}"


def _clean(words: str) -> str:
    """Take out what a terminal would obey, such as escape sequences in the name of a column."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in words)
