"""Cells of a table that are not what the rest of their column is: text among numbers, infinity.

One such cell makes text of a whole column of a CSV file, and so a category of each number.

>>> import pyarrow
>>> cells = [str(n / 7) for n in range(40)]
>>> cells[33] = "4;7"
>>> find(pyarrow.table({"size": cells, "city": ["Rome", "1"] * 20}))
[Stray(row=33, column='size', reason="'4;7' is not a number, as the other 39 cells are")]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.cells import shown
from chainrule.errors import need

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_LEAST = 20
"""Cells, and different numbers, from which on a column with strays is one of numbers."""
_SHARE = 0.05
"""The share of cells up to which they are strays, and not the nature of the column."""


@dataclass(frozen=True)
class Stray:
    """A cell that does not belong: its row, counted from 0, its column, and why."""

    row: int
    column: str
    reason: str


def find(
    table: Any,
    *,
    numbers: Sequence[str] = (),
    mixed: Sequence[str] | bool = False,
    typed: bool = False,
) -> list[Stray]:
    """List the strays of a `pyarrow.Table`, in the order of rows.

    Columns named in `numbers` have to be numbers; those in `mixed`, or with True all others, may
    hold anything. Of a `typed` table, such as one from a Parquet file, a column of text is one,
    whatever the text says.
    """
    types = need("pyarrow", extra="data", why="to read tables").types
    found: list[Stray] = []
    for name in table.column_names:
        kind = table.schema.field(name).type
        if name not in numbers if mixed is True else name in (mixed or ()):
            continue
        if types.is_floating(kind):
            values = table[name].to_numpy()
            rows = np.flatnonzero(np.isinf(values)).tolist()
            found += [Stray(row, name, f"{values[row]} is not finite") for row in rows]
        elif types.is_string(kind) or types.is_large_string(kind):
            found += _text_among_numbers(table[name], name, name in numbers, typed)
    return sorted(found, key=lambda stray: stray.row)


def _text_among_numbers(column: Any, name: str, sure: bool, typed: bool) -> list[Stray]:
    compute = need("pyarrow.compute", extra="data", why="to read tables")
    is_number = compute.match_substring_regex(column, _NUMBER)
    right, known = compute.sum(is_number).as_py() or 0, len(column) - column.null_count
    wrong = known - right
    if not wrong or not (sure or (not typed and known >= _LEAST and wrong <= _SHARE * known)):
        return []
    if not sure and len(compute.unique(column.filter(is_number))) < _LEAST:
        return []  # a few codes, of which one is no number
    rows = np.flatnonzero(compute.fill_null(compute.invert(is_number), False).to_numpy())
    others = f", as the other {right:,} cells are" if wrong == 1 and right else ""
    infinite = np.isinf(_as_numbers(compute.if_else(is_number, column, None)).to_numpy())
    reasons = dict.fromkeys(rows.tolist(), f"a number{others}")
    reasons |= dict.fromkeys(np.flatnonzero(infinite).tolist(), "finite")
    return [Stray(row, name, f"{shown(column[row].as_py())} is not {reason}")
            for row, reason in reasons.items()]  # fmt: skip


def _as_numbers(column: Any) -> Any:
    """Give the numbers that text says, with spaces around it or without."""
    arrow = need("pyarrow", extra="data", why="to read tables")
    compute = need("pyarrow.compute", extra="data", why="to read tables")
    return compute.utf8_trim_whitespace(column).cast(arrow.float64())


def without(table: Any, strays: list[Stray]) -> Any:
    """Leave out the rows of strays; a column that then holds numbers alone is one of numbers."""
    arrow = need("pyarrow", extra="data", why="to read tables")
    keep = np.ones(table.num_rows, dtype=bool)
    keep[[stray.row for stray in strays]] = False
    left = table.filter(arrow.array(keep))
    for name in {stray.column for stray in strays}:
        place, column = left.column_names.index(name), left[name]
        if not arrow.types.is_floating(column.type):
            left = left.set_column(place, name, _as_numbers(column))
    return left
