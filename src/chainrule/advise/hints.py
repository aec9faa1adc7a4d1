"""Hints on a table before anything is trained: what makes learning hard, or a score a lie.

>>> rows = {"id": list(range(1, 41)), "x": [0.5, 2.5] * 20, "twice": [1.0, 5.0] * 20}
>>> for hint in table_hints(rows, ["a", "b"] * 20):
...     print(hint.name, hint.columns)
identifier ('id',)
repeats ('x', 'twice')
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from chainrule.advise.rank import repeated_columns
from chainrule.cells import Cells
from chainrule.errors import DtypeError
from chainrule.frames import Frame, read_frame, read_targets
from chainrule.graph import Array

FEW_ROWS = 10
"""Rows of a class, and rows for each input of a net, below which little can be learned."""

IMBALANCE = 10
"""How many times as many rows the commonest class has as the rarest, from which on it is told."""

MOST_MISSING = 0.5
"""Share of missing cells from which on a column is told."""

MANY_CATEGORIES = 0.5
"""Share of different values from which on categories are hardly ever met again."""

MOST_ROWS = 5_000
"""Rows from which repeated columns are found."""

MOST_NAMED = 5
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y%m%d")
_LOOKED_AT = 50  # different values of a column, which tell whether it holds dates


@dataclass(frozen=True)
class Hint:
    """Something found in the data: what, where, by which figures, and what to do about it.

    `name` is the kind of finding, the same in every table: "imbalance", "few-rows",
    "rows-per-input", "repeats", "identifier", "many-categories", "dates", "constant", "missing",
    "unreadable", "leak"; and of `compare` "linear", "nonlinear", "undecided" and "nothing".
    """

    name: str
    text: str
    remedy: str = ""
    columns: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


def table_hints(
    X: Any, y: Any = None, *, kinds: Mapping[str, str] | None = None, classes: bool = True
) -> list[Hint]:
    """Find what every column tells by itself, columns that repeat others, and rare classes.

    `X` is any table that `TableEncoder` takes, `y` the target (None looks at `X` alone), `classes`
    whether it names classes; `kinds` are those of `TableEncoder`, and columns of kind "drop" are
    passed over. Rows without a target count in the columns, and not in the classes.
    """
    frame, kinds = read_frame(X), dict(kinds or {})
    found: list[Hint] = []
    read: dict[str, Cells] = {}
    for place, name in enumerate(frame.names):
        if kinds.get(name) == "drop":
            continue
        cells, hint = _read(frame, place)
        if cells is not None:
            read[name] = cells
            hint = _of_column(cells, kinds.get(name))
        if hint is not None:
            found.append(hint)
    found += _repeats(read)
    return found if y is None or not classes else [*found, *class_hints(y)]


def class_hints(y: Any) -> list[Hint]:
    """Find classes with too few rows to learn from, and classes that others outnumber.

    >>> [hint.text for hint in class_hints(["no"] * 190 + ["yes"] * 10)]
    ['class no has 19 times as many rows as yes (190 and 10)']
    """
    values, codes = read_targets(y)[0][0].distinct()
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    few = [i for i in np.argsort(counts, kind="stable").tolist() if counts[i] < FEW_ROWS]
    found = [
        Hint(
            "few-rows",
            f"class {values[i]} has only {_rows(counts[i])} to learn from",
            figures={"rows": int(counts[i])},
        )
        for i in few[:MOST_NAMED]
    ]
    if len(few) > MOST_NAMED:
        more = len(few) - MOST_NAMED
        text = f"{more} more classes have fewer than {FEW_ROWS} rows"
        found.append(Hint("few-rows", text, figures={"classes": more}))
    most, least = int(counts.argmax()), int(counts.argmin())
    ratio = counts[most] / counts[least]
    if ratio >= IMBALANCE:
        text = (
            f"class {values[most]} has {ratio:,.0f} times as many rows as {values[least]} "
            f"({counts[most]:,} and {counts[least]:,})"
        )
        remedy = "class_weight='balanced' lets both count the same; look at balanced accuracy"
        found.append(Hint("imbalance", text, remedy, figures={"ratio": float(ratio)}))
    return found


def rows_per_input(rows: int, inputs: int) -> list[Hint]:
    """Tell whether there are too few rows for so many inputs of a net.

    >>> print(*rows_per_input(100, 40))
    100 rows for 40 inputs, 2.5 for each; take fewer columns, or a penalty (docs/training.md)
    """
    each = rows / max(inputs, 1)
    if each >= FEW_ROWS:
        return []
    text = f"{_rows(rows)} for {inputs:,} inputs, {each:.2g} for each"
    remedy = "take fewer columns, or a penalty (docs/training.md)"
    return [Hint("rows-per-input", text, remedy, figures={"rows": rows, "inputs": inputs})]


def _read(frame: Frame, place: int) -> tuple[Cells | None, Hint | None]:
    """Read a column, or say why it cannot be read."""
    name = frame.names[place]
    try:
        return frame.column(place), None
    except DtypeError as error:
        if re.search("holds dates|of type (date|datetime|Timestamp) ", str(error)):
            return None, _dates(name)
        return None, Hint("unreadable", str(error).split(":")[0], _drop(name), (name,))


def _of_column(cells: Cells, kind: str | None) -> Hint | None:
    """Find what makes one column a bad input."""
    name, share = cells.name, float(cells.missing.mean()) if len(cells.missing) else 0.0
    values, codes = cells.distinct()
    present = int(np.sum(codes >= 0))
    if kind is None and _holds_dates(values):
        return _dates(name)
    if kind is None and present and _identifies(cells, len(values), present):
        text = f"column {name!r} {_identity(cells)}, which tells nothing about new ones"
        return Hint("identifier", text, _drop(name), (name,), {"values": len(values)})
    if len(values) < 2 and not (0 < share < 1 and values):
        what = f"is {values[0]!r} in every row" if values else "has no value in any row"
        return Hint("constant", f"column {name!r} {what}", _drop(name), (name,))
    if share >= MOST_MISSING:
        text = f"column {name!r} lacks {share:.0%} of its values"
        remedy = f"see whether the rest is worth it, or {_drop(name)}"
        return Hint("missing", text, remedy, (name,), {"missing": share})
    if cells.kind == "category" and len(values) > max(MANY_CATEGORIES * present, FEW_ROWS):
        text = (
            f"column {name!r} has {len(values):,} different values in {_rows(present)}: most are "
            "met once, and new rows bring others"
        )
        remedy = f"make coarser groups of them, or {_drop(name)}"
        return Hint("many-categories", text, remedy, (name,), {"values": len(values)})
    return None


def _identifies(cells: Cells, distinct: int, present: int) -> bool:
    """Tell whether a column numbers or names the rows: a new value in every row.

    Numbers do if they are whole, and nearly all whole numbers between the least and the largest
    are there.
    """
    if distinct < present or present < 3:
        return False
    if cells.kind == "category":
        return present > 8  # fewer may be different by chance; the encoder keeps those, too
    if cells.kind != "number":
        return False
    numbers = cells.numbers()
    numbers = numbers[~np.isnan(numbers)]
    if np.any(numbers != np.floor(numbers)):
        return False
    counts_up = bool(np.all(np.diff(numbers) == 1))
    return counts_up or (present > 20 and numbers.max() - numbers.min() < 1.5 * present)


def _identity(cells: Cells) -> str:
    if cells.kind == "category":
        return "names the rows, each with another text"
    return "numbers the rows"


def _holds_dates(values: Sequence[Any]) -> bool:
    """Tell whether values are dates written as text, or as numbers such as 20240131."""
    some = [v for v in values if isinstance(v, str) or (isinstance(v, int) and v > 19_000_000)]
    if len(some) < len(values) or len(some) < 2:
        return False
    return all(_is_date(str(value)) for value in some[:_LOOKED_AT])


def _is_date(text: str) -> bool:
    if not re.match(r"\d", text) or len(text) < 8:
        return False
    for form in _DATES:
        try:
            return 1900 <= datetime.strptime(text, form).year <= 2100
        except ValueError:
            continue
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(re.findall("[-/.:T]", text)) >= 2


def _dates(name: str) -> Hint:
    text = f"column {name!r} holds dates, of which new rows bring later ones"
    remedy = (
        "make numbers of them (year, month, weekday, days since something), and test on the latest "
        f"rows, not on random ones; or {_drop(name)}"
    )
    return Hint("dates", text, remedy, (name,))


def _repeats(read: Mapping[str, Cells]) -> list[Hint]:
    """Find numbers that are others in another unit, and categories that are others renamed."""
    numbers = {n: c for n, c in read.items() if c.kind == "number" and not c.missing.all()}
    pairs = []
    if numbers:
        block = np.column_stack([cells.numbers()[:MOST_ROWS] for cells in numbers.values()])
        names = list(numbers)
        gaps = np.isnan(block)
        pairs = [
            (names[i], names[j])
            for i, j in repeated_columns(block)
            if np.array_equal(gaps[:, i], gaps[:, j])
        ]
    groups: dict[bytes, str] = {}
    for name, cells in read.items():
        values, codes = cells.distinct()
        if name not in numbers and len(values) > 1:
            first = groups.setdefault(_by_appearance(codes).tobytes(), name)
            if first != name:
                pairs.append((first, name))
    return [
        Hint("repeats", f"column {b!r} repeats {a!r}", f"one tells all: {_drop(b)}", (a, b))
        for a, b in pairs
    ]


def _by_appearance(codes: Array) -> Array:
    """Renumber the values of a column in the order in which they appear; -1 stays.

    >>> _by_appearance(np.array([2, -1, 2, 0]))
    array([ 0, -1,  0,  1])
    """
    known = codes >= 0
    _, first, inverse = np.unique(codes[known], return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    renamed = np.full(len(codes), -1, dtype=np.int64)
    renamed[known] = order[inverse]
    return renamed


def _drop(name: str) -> str:
    return f"leave it out with kinds={{{name!r}: 'drop'}}"


def _rows(n: int) -> str:
    return f"{n:,} row" if n == 1 else f"{n:,} rows"
