"""The cells of one column of a table, read as numbers or as categories.

>>> import numpy as np
>>> age = cells_of_array("age", np.array([31, None, 58], dtype=object))
>>> age.kind, age.numbers()
('number', array([31., nan, 58.]))
>>> age.distinct()
([31, 58], array([ 0, -1,  1]))

Missing are `None`, NaN, `pandas.NA`, `pandas.NaT` and null. Rows are counted from 0. What a column
holds that is neither text, nor a number, nor true or false is refused, and so are infinities.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, DtypeError

Value = str | int | float | bool
Content = Literal["number", "boolean", "category"]

_NUMBERS = (int, float, np.number, np.bool_, Decimal)
_MISSING = ("NoneType", "NAType", "NaTType")  # pandas is not imported to compare with its objects
_REFUSED = {"M": "dates", "m": "durations", "S": "bytes", "V": "records"}


@dataclass(frozen=True)
class NumericCells:
    """A column that is an array of numbers or booleans; `missing` marks cells without a value."""

    name: str
    array: NDArray[np.generic]
    missing: NDArray[np.bool_]

    @property
    def kind(self) -> Content:
        """What the column holds: "number" or "boolean"."""
        return "boolean" if self.array.dtype.kind == "b" else "number"

    def numbers(self, text: bool = False) -> NDArray[np.float64]:
        """Return float64 numbers, NaN where missing. `text` has no meaning here."""
        numbers = np.array(self.array, dtype=np.float64)
        numbers[self.missing] = np.nan
        _refuse_infinite(self.name, numbers)
        return numbers

    def distinct(self) -> tuple[list[Value], NDArray[np.intp]]:
        """Return the different values and for each row the position of its value; -1 is missing."""
        if self.array.dtype.kind == "f":
            _refuse_infinite(self.name, np.where(self.missing, 0, self.array))
        values, positions = np.unique(self.array[~self.missing], return_inverse=True)
        codes = np.full(len(self.array), -1)
        codes[~self.missing] = positions
        return values.tolist(), codes


@dataclass(frozen=True)
class CodedCells:
    """A column of text or of mixed objects: different values, and a code for each row.

    Code -1 is missing. Two values may be equal where their types differ, as 1 and 1.0 do.
    """

    name: str
    values: list[Value]
    codes: NDArray[np.intp]
    categorical: bool = False

    @property
    def missing(self) -> NDArray[np.bool_]:
        """True for the rows without a value."""
        return self.codes < 0

    @property
    def kind(self) -> Content:
        """What the column holds: numbers or booleans if all values are, else categories."""
        if self.categorical or any(isinstance(value, str) for value in self.values):
            return "category"
        return "boolean" if all(isinstance(value, bool) for value in self.values) else "number"

    def numbers(self, text: bool = False) -> NDArray[np.float64]:
        """Return float64 numbers, NaN where missing; `text` allows numbers written as text."""
        table = np.full(len(self.values) + 1, np.nan)  # the last for the code -1
        for code, value in enumerate(self.values):
            table[code] = self._number(code, value, text)
        numbers: NDArray[np.float64] = table[self.codes]
        _refuse_infinite(self.name, numbers)
        return numbers

    def distinct(self) -> tuple[list[Value], NDArray[np.intp]]:
        """Return the different values and for each row the position of its value; -1 is missing."""
        for code, value in enumerate(self.values):
            if isinstance(value, float) and math.isinf(value):
                raise _infinite(self.name, self.row_of(code), value)
        return self.values, self.codes

    def row_of(self, code: int) -> int:
        """Return the first row that holds a value."""
        return int(np.argmax(self.codes == code))

    def _number(self, code: int, value: Value, text: bool) -> float:
        fault = f"{shown(value)} is not a number"
        if text or not isinstance(value, str):
            try:
                return float(value)
            except OverflowError:
                fault = "an integer beyond float64"
            except ValueError:
                fault = f"the text {fault}"
        raise DataError(f"{place(self.name, self.row_of(code))}: {fault}")


Cells = NumericCells | CodedCells


def cells_of_array(
    name: str,
    array: NDArray[np.generic],
    missing: NDArray[np.bool_] | None = None,
    categorical: bool = False,
) -> Cells:
    """Read a 1-d array; `missing` marks more missing cells than None and NaN do.

    A `DtypeError` refuses dates, complex numbers, bytes and other objects, with the remedy.
    """
    letter = array.dtype.kind
    if letter == "c":
        remedy = "pass real and imaginary part as two columns"
        raise DtypeError(f"Complex data not supported, as in column {name!r}: {remedy}")
    if letter in _REFUSED:
        raise refused(name, f"holds {_REFUSED[letter]}")
    if letter in "biuf" and not categorical:
        absent = np.zeros(len(array), dtype=bool) if missing is None else missing
        if letter == "f":
            absent = absent | np.isnan(array)
            if array.dtype.itemsize > 8:  # long doubles; those beyond float64 become inf, refused
                with np.errstate(over="ignore"):
                    array = array.astype(np.float64)
        return NumericCells(name, array, absent)
    objects = array.tolist()
    if missing is not None:
        for row in np.flatnonzero(missing).tolist():
            objects[row] = None
    types = set(map(type, objects)) - {type(None)}
    if types and all(issubclass(kind, float) for kind in types) and not categorical:
        numbers = np.array(objects, dtype=np.float64)
        return NumericCells(name, numbers, np.isnan(numbers))
    return _code(name, objects, types, categorical)


def in_order(values: Iterable[Value]) -> list[Value]:
    """Sort values by type and value; of equal ones only the first is kept.

    >>> in_order(["b", 2, "a", True, 1, 2.0])
    [True, 2.0, 'a', 'b']
    """
    return list(dict.fromkeys(sorted(values, key=lambda value: (type(value).__name__, value))))


def shown(value: Value) -> str:
    """Show a value in an error message, however long it is.

    >>> shown("a" * 1000)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
    """
    text = repr(value[:40] if isinstance(value, str) else value)
    return text if len(text) <= 40 else text[:37] + "..."


def refused(name: str, holds: str) -> DtypeError:
    """Return the error for a column of something else than text, numbers and booleans."""
    return DtypeError(
        f"column {name!r} {holds}, which cannot be encoded: make numbers or text of it"
    )


def place(name: str, row: int) -> str:
    """Say where a cell is.

    >>> place("age", 3)
    "column 'age', row 3 (counted from 0)"
    """
    return f"column {name!r}, row {row} (counted from 0)"


def _code(name: str, objects: list[object], types: set[type], categorical: bool) -> CodedCells:
    """Give each different object a number; loop in Python over those, not over rows."""
    # 1, 1.0 and True are one key of a dictionary: where numbers of several types meet, which of
    # them stands for all would depend on the order of the rows.
    mixed = sum(issubclass(kind, _NUMBERS) for kind in types) > 1
    keys: list[object] = list(zip(map(type, objects), objects, strict=True)) if mixed else objects
    try:
        first = dict.fromkeys(keys)
    except TypeError:
        row = next(i for i, item in enumerate(objects) if not _hashable(item))
        raise refused(name, _object_in_row(objects[row], row)) from None
    numbering = {key: number for number, key in enumerate(first)}
    codes = np.fromiter(map(numbering.__getitem__, keys), dtype=np.intp, count=len(objects))

    values: list[Value] = []
    new_code = np.full(len(first), -1)
    for old, key in enumerate(first):
        item = key[1] if mixed and isinstance(key, tuple) else key
        if type(item).__name__ in _MISSING:
            continue
        value = _plain(item)
        if value is None:
            row = int(np.argmax(codes == old))
            raise refused(name, _object_in_row(item, row))
        if value == value:  # NaN is missing
            new_code[old] = len(values)
            values.append(value)
    return CodedCells(name, values, new_code[codes], categorical)


def _plain(item: object) -> Value | None:
    """Return a value as Python's own type, None for an object that has no such form."""
    if isinstance(item, str):
        return str.__str__(item)
    if isinstance(item, bool | np.bool_):
        return bool(item)
    if isinstance(item, int | np.integer):
        return int(item)
    if isinstance(item, float | np.floating | Decimal):
        return float(item)
    return None


def _hashable(item: object) -> bool:
    try:
        hash(item)
    except TypeError:
        return False
    return True


def _refuse_infinite(name: str, numbers: NDArray[np.generic]) -> None:
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise _infinite(name, row, float(numbers[row]))


def _infinite(name: str, row: int, value: float) -> DataError:
    return DataError(f"{place(name, row)}: {value} is not finite: correct or remove it")


def _object_in_row(item: object, row: int) -> str:
    return f"holds an object of type {type(item).__name__} in row {row}"
