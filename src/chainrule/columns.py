"""How one column of a table becomes numbers for a net: learned from training rows, then fixed.

>>> from chainrule.cells import cells_of_array
>>> import numpy as np
>>> ages = cells_of_array("age", np.array([20.0, 30.0, 40.0, 50.0, np.nan]))
>>> column = fit_column(ages, kind=None, one_hot=8, clip=3.0)
>>> column.number_names, column.median, column.spread
(['age', 'age is missing'], 35.0, 15.0)
>>> column.encode(ages).round(3)
array([[-0.949, -0.331,  0.331,  0.949,  0.   ],
       [ 0.   ,  0.   ,  0.   ,  0.   ,  1.   ]])

A column is a `NumberColumn`, a `CategoryColumn` or a `DroppedColumn`; each has `name`, `kind`,
`missing` (share of the training rows), `how` (words for a report), `number_names`, `cardinality`
and a plain `state`. Numbers and categories are encoded as in RealMLP (Holzmüller, Grinsztajn,
Steinwart 2024).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule import ops
from chainrule.cells import Cells, CodedCells, Value, in_order, place, shown
from chainrule.errors import ConfigError, DataError, FormatError
from chainrule.plain import entry, only, scalars

KINDS = ("number", "boolean", "category", "drop")

RARE = 0.05
"""Share of missing numbers up to which no column tells where they are."""

UNKNOWN, MISSING, FIRST_KNOWN = 0, 1, 2
"""Codes of embedded categories."""


SCALINGS = ("robust", "standard", "range")
"""By median and quartiles; to mean 0 and standard deviation 1; from -1 at the least to 1."""

UNLIMITED = 1e300
"""The `clip` of a column that is not clipped."""


@dataclass(frozen=True)
class NumberColumn:
    """Numbers, scaled and, if robustly, clipped smoothly.

    ``z = (x - median) / spread``, then ``z / sqrt(1 + (z / clip)**2)``, which stays within
    (-clip, clip). `spread` is the distance between the quartiles; where that is 0, half the
    distance between minimum and maximum; where that is 0 too, every number becomes 0. Scaled
    otherwise (`SCALINGS`), `median` is the number that becomes 0, `spread` the distance that
    becomes 1, and nothing is clipped.

    A missing number becomes 0; if more than `RARE` of the numbers were missing in training, a
    second column tells where (fewer would be learned by heart). `from_text` says that the numbers
    were written as text.
    """

    name: str
    missing: float
    median: float
    spread: float
    clip: float
    from_text: bool = False
    kind: Literal["number"] = "number"
    cardinality: None = None

    @property
    def number_names(self) -> list[str]:
        """Names of the columns of numbers that `encode` returns."""
        return [self.name, f"{self.name} is missing"] if self.indicated else [self.name]

    @property
    def indicated(self) -> bool:
        """Whether a second column tells where numbers are missing."""
        return self.missing > (RARE if self.spread > 0 else 0)

    @property
    def how(self) -> str:
        """Say in words how the column is encoded."""
        indicator = ", and a column tells where it is missing" if self.indicated else ""
        if self.spread == 0:
            return f"0, as training had only {self.median:g}{indicator}"
        limit = "" if self.clip == UNLIMITED else f", clipped to ±{self.clip:g}"
        return f"(x - {self.median:g}) / {self.spread:g}{limit}{indicator}"

    def encode(self, cells: Cells) -> NDArray[np.float64]:
        """Return one row of numbers for each name in `number_names`."""
        with np.errstate(all="ignore"):
            return np.stack(self.scaled(cells.numbers(text=self.from_text)))

    def scaled(self, numbers: Any) -> list[Any]:
        """Give a column of numbers for each name, of an array or a tensor with NaN for missing."""
        absent = ops.not_equal(numbers, numbers)
        z = ops.where(absent, self.median, numbers)
        if self.spread > 0:
            # Halves, because the distance of 1e308 from -1e308 is not a float64.
            z = ops.div(ops.sub(ops.div(z, 2.0), self.median / 2), self.spread / 2)
            z = ops.clip(z, -1e100, 1e100)
            z = ops.div(z, ops.sqrt(ops.add(ops.square(ops.div(z, self.clip)), 1.0)))
        else:
            z = ops.mul(z, 0.0)
        return [z, ops.cast(absent, dtype=np.dtype(float))] if self.indicated else [z]

    @property
    def state(self) -> dict[str, Any]:
        """Plain data from which `column_from_state` makes the column again."""
        return {
            "kind": self.kind,
            "name": self.name,
            "missing": self.missing,
            "median": self.median,
            "spread": self.spread,
            "clip": self.clip,
            "from_text": self.from_text,
        }


@dataclass(frozen=True)
class CategoryColumn:
    """Categories or booleans: one number for two, one-hot numbers for few, codes for many.

    ========== ======================= ======================= ===========================
    categories a known one             missing                 unknown, not in training
    ========== ======================= ======================= ===========================
    2          -1 or +1                0                       0
    few        1 in a column of its    1 in a column of its    0 in all columns
               own, 0 in others        own, if some were
                                       missing in training,
                                       else as unknown
    many       code 2, 3, ...          code 1                  code 0
    ========== ======================= ======================= ===========================

    The order is that of (type, value). Booleans always have the values False and True; another
    value is refused. Values of another type than those of training, numbers for text or text for
    numbers, are refused too.
    """

    name: str
    missing: float
    values: tuple[Value, ...]
    embedded: bool
    note: str = ""
    kind: Literal["category", "boolean"] = "category"

    @property
    def cardinality(self) -> int | None:
        """The number of codes, with those of unknown and missing; None if there are no codes."""
        return FIRST_KNOWN + len(self.values) if self.embedded else None

    @property
    def number_names(self) -> list[str]:
        """Names of the columns of numbers that `encode` returns."""
        if self.embedded:
            return []
        if len(self.values) == 2:
            return [f"{self.name} = {self.values[1]}"]
        names = [f"{self.name} = {value}" for value in self.values]
        return [*names, f"{self.name} is missing"] if self.missing > 0 else names

    @property
    def how(self) -> str:
        """Say in words how the column is encoded."""
        if self.embedded:
            words = f"codes {FIRST_KNOWN} to {len(self.values) + 1}, 0 unknown, 1 missing"
        elif len(self.values) == 2:
            low, high = map(shown, self.values)
            words = f"-1 is {low}, +1 is {high}, 0 is missing or unknown"
        else:
            indicator = ", and one for missing" if self.missing > 0 else ""
            words = f"one column of 0 and 1 for each category{indicator}"
        return f"{words}; {self.note}" if self.note else words

    def codes(self, cells: Cells) -> NDArray[np.intp]:
        """Return for each row 0 for an unknown category, 1 for missing, 2, 3, ... for known."""
        values, positions = cells.distinct()
        codes = {value: FIRST_KNOWN + i for i, value in enumerate(self.values)}
        families = {isinstance(value, str) for value in self.values}
        table = np.full(len(values) + 1, MISSING)  # the last for position -1
        for position, value in enumerate(values):
            table[position] = codes.get(value, UNKNOWN)
            foreign = isinstance(value, str) not in families
            if foreign or (self.kind == "boolean" and value not in codes):
                row = int(np.argmax(positions == position))
                expected = "True or False" if self.kind == "boolean" else shown(self.values[0])
                raise DataError(
                    f"{place(self.name, row)}: found {shown(value)} of type {type(value).__name__} "
                    f"in a column of kind {self.kind!r}, whose values are like {expected}"
                )
        codes_of_rows: NDArray[np.intp] = table[positions]
        return codes_of_rows

    def encode(self, cells: Cells) -> NDArray[np.float64]:
        """Return one row of numbers for each name in `number_names`."""
        if self.embedded:
            return np.zeros((0, len(cells.missing)))
        return np.stack(self.spread_out(self.codes(cells)))

    def spread_out(self, codes: Any) -> list[Any]:
        """Give a column of numbers for each name, of an array or a tensor of codes."""
        size = len(self.values)
        if size == 2:
            table = np.array([[0.0, 0.0, -1.0, 1.0]])
        else:
            table = np.zeros((len(self.number_names), FIRST_KNOWN + size))
            table[:size, FIRST_KNOWN:] = np.eye(size)
            table[size:, MISSING] = 1
        return [ops.take(row, codes) for row in table]

    def codes_of_numbers(self, numbers: Any) -> Any:
        """Give the codes of categories that are numbers or truth values, NaN for missing."""
        known = np.array([float(value) for value in self.values])
        same = ops.equal(ops.reshape(numbers, (-1, 1)), known)
        places = np.arange(FIRST_KNOWN, FIRST_KNOWN + len(known))
        codes = ops.sum(ops.where(same, places, 0), axis=1)
        return ops.where(ops.not_equal(numbers, numbers), MISSING, codes)

    @property
    def is_text(self) -> bool:
        """Whether the categories are text, or numbers and truth values; not both."""
        text = {isinstance(value, str) for value in self.values}
        if len(text) > 1:
            raise ConfigError(
                f"column {self.name!r} has text and numbers for categories: it cannot leave "
                "chainrule; make all of them text and fit again"
            )
        return text == {True}

    @property
    def state(self) -> dict[str, Any]:
        """Plain data from which `column_from_state` makes the column again."""
        return {
            "kind": self.kind,
            "name": self.name,
            "missing": self.missing,
            "values": list(self.values),
            "embedded": self.embedded,
            "note": self.note,
        }


@dataclass(frozen=True)
class DroppedColumn:
    """A column that the net does not see, and why."""

    name: str
    reason: str
    missing: None = None
    kind: Literal["drop"] = "drop"
    cardinality: None = None

    @property
    def number_names(self) -> list[str]:
        """No names: nothing of the column is left."""
        return []

    @property
    def how(self) -> str:
        """Say in words why the column is left out."""
        return f"left out: {self.reason}"

    def encode(self, cells: Cells) -> NDArray[np.float64]:
        """Return no rows of numbers."""
        return np.zeros((0, len(cells.missing)))

    @property
    def state(self) -> dict[str, Any]:
        """Plain data from which `column_from_state` makes the column again."""
        return {"kind": self.kind, "name": self.name, "reason": self.reason}


Column = NumberColumn | CategoryColumn | DroppedColumn


def fit_column(
    cells: Cells, kind: str | None, one_hot: int, clip: float, scaling: str = "robust"
) -> Column:
    """Learn from training rows how to encode a column.

    Without a `kind` it follows from the cells, and a column that tells nothing is dropped: one
    without values, with one value in all of several rows, or with text that is different in every
    row, an identifier, unless there are at most `one_hot` rows. With a `kind` nothing is dropped.

    >>> from chainrule.cells import cells_of_array
    >>> import numpy as np
    >>> city = cells_of_array("city", np.array(["Oslo", "Rome", "Rome", None], dtype=object))
    >>> fit_column(city, kind=None, one_hot=8, clip=3.0).encode(city)
    array([[-1.,  1.,  1.,  0.]])
    """
    if cells.missing.all():
        if kind is None:
            return DroppedColumn(cells.name, "it has no value in any row")
        raise DataError(
            f"column {cells.name!r} has no value in any row to learn kind {kind!r} from: leave it "
            f"out with kinds={{{cells.name!r}: 'drop'}}"
        )
    if (kind or cells.kind) == "number":
        return _fit_numbers(cells, kind, clip, scaling)
    return _fit_categories(cells, kind, one_hot)


def _fit_numbers(cells: Cells, kind: str | None, clip: float, scaling: str) -> Column:
    from_text = isinstance(cells, CodedCells) and any(isinstance(v, str) for v in cells.values)
    numbers = cells.numbers(text=from_text)
    present = ~np.isnan(numbers)
    # Of halves, because the distance of 1e308 from -1e308 is not a float64.
    halves = np.quantile(numbers[present] / 2, [0, 0.25, 0.5, 0.75, 1])
    low, first, median, third, high = halves.tolist()
    spread = third - first if third > first else (high - low) / 2
    if scaling == "range":
        median, spread = (low + high) / 2, (high - low) / 2
    elif scaling == "standard":
        half = numbers[present] / 2
        with np.errstate(over="ignore"):
            median, spread = float(half.mean()), float(half.std())
    if spread == 0 and kind is None and len(numbers) > 1 and present.all():
        return DroppedColumn(cells.name, f"it is {2 * median:g} in every row")
    return NumberColumn(
        cells.name,
        missing=float(np.mean(~present)),
        median=2 * median,
        spread=min(2 * spread, float(np.finfo(np.float64).max)),
        clip=clip if scaling == "robust" else UNLIMITED,
        from_text=from_text,
    )


def _fit_categories(cells: Cells, kind: str | None, one_hot: int) -> Column:
    values, _ = cells.distinct()
    known = tuple(in_order(values))
    present = int(np.sum(~cells.missing))
    missing = float(np.mean(cells.missing))
    note = ""
    if all(isinstance(value, str) and _is_number(value) for value in known):
        note = f"its text is numbers, kinds={{{cells.name!r}: 'number'}} reads it so"
    if kind is None and len(known) == 1 and missing == 0 and present > 1:
        return DroppedColumn(cells.name, f"it is {shown(known[0])} in every row")
    if kind is None and len(known) == present > one_hot and cells.kind == "category":
        reason = f"its {present} values are all different, as of an identifier"
        return DroppedColumn(cells.name, f"{reason}; {note}" if note else reason)
    if (kind or cells.kind) == "boolean":
        column = CategoryColumn(cells.name, missing, (False, True), False, kind="boolean")
        column.codes(cells)  # refuses values that are not booleans
        return column
    embedded = len(known) > max(one_hot, 2)
    return CategoryColumn(cells.name, missing, known, embedded, note)


def column_from_state(state: object) -> Column:
    """Make a column from its plain state; a `FormatError` refuses what no column has as state.

    >>> column = DroppedColumn("id", "asked for")
    >>> column_from_state(column.state) == column
    True
    """
    name, kind = entry(state, "name", str), entry(state, "kind", str)
    if kind not in KINDS:
        raise FormatError(f"column {name!r}: unknown kind {kind!r}, known are {list(KINDS)}")
    if kind == "drop":
        only(state, ["kind", "name", "reason"])
        return DroppedColumn(name, entry(state, "reason", str))
    missing = entry(state, "missing", float)
    if not 0 <= missing <= 1:
        raise FormatError(f"column {name!r}: the share of missing rows is {missing}")
    if kind == "number":
        return _number_from_state(state, name, missing)
    return _category_from_state(state, name, missing, kind)


def _number_from_state(state: object, name: str, missing: float) -> NumberColumn:
    only(state, ["kind", "name", "missing", "median", "spread", "clip", "from_text"])
    spread, clip = entry(state, "spread", float), entry(state, "clip", float)
    if spread < 0 or clip <= 0:
        raise FormatError(f"column {name!r}: spread {spread} and clip {clip} cannot be negative")
    median, from_text = entry(state, "median", float), entry(state, "from_text", bool)
    return NumberColumn(name, missing, median, spread, clip, from_text)


def _category_from_state(state: object, name: str, missing: float, kind: str) -> CategoryColumn:
    only(state, ["kind", "name", "missing", "values", "embedded", "note"])
    values = scalars(state, "values")
    embedded, note = entry(state, "embedded", bool), entry(state, "note", str)
    if not values or (kind == "boolean" and (values != [False, True] or embedded)):
        raise FormatError(f"column {name!r}: these are no values of kind {kind!r}: {values}")
    literal: Literal["category", "boolean"] = "boolean" if kind == "boolean" else "category"
    return CategoryColumn(name, missing, tuple(values), embedded, note, literal)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
