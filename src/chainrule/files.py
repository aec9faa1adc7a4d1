"""Read tables from CSV and Parquet files, strictly, and write CSV files.

>>> import tempfile
>>> from pathlib import Path
>>> path = Path(tempfile.mkdtemp()) / "people.csv"
>>> write_csv(path, {"name": ["Ada", "Bo, Jr."], "age": [36, None]})
>>> path.read_text().splitlines()
['name,age', 'Ada,36', '"Bo, Jr.",']
>>> read_table(path).to_pydict()
{'name': ['Ada', 'Bo, Jr.'], 'age': [36, None]}

A file that is not what it seems is refused with its name and line; no row is lost without a word.
"""

import codecs
import csv
import difflib
import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import ArrayLike

from chainrule import strays
from chainrule.atomic import atomic_write
from chainrule.errors import ConfigError, DataError, FormatError, ShapeError, need
from chainrule.strays import Stray

MISSING_TEXT = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?")
"""Cells of a CSV file that are missing values, within quotes too."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BLOCK = 1 << 24  # bytes; a longer row is one with a quote too many, not one to learn from
_MOST_COLUMNS = 1 << 16
_SPECIAL = re.compile(r'[,"\r\n]')


@dataclass(frozen=True)
class BadRow:
    """A row that was skipped: the line where it starts, counted from 1, and why.

    A Parquet file has no lines; there it is the number of the row, counted from 1.
    """

    line: int
    reason: str


def read_table(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    text: Sequence[str] = (),
    numbers: Sequence[str] = (),
    mixed: Sequence[str] | bool = False,
) -> Any:
    """Read a ``.csv``, ``.tsv`` or ``.parquet`` file as a `pyarrow.Table`.

    Only `columns` are read, in their order, if given. The first row of a CSV file names the
    columns; it is UTF-8, with or without a byte order mark; the cells in `MISSING_TEXT` are
    missing; blank lines are no rows; a column of numbers, of true and false, or of dates is read
    as such, any other as text, and so are the columns named in `text`. The delimiter is a tab in
    ``.tsv`` and a comma in ``.csv`` files, unless given.

    A `DataError` with file and line refuses rows with too many or too few cells, quotes that are
    not closed, doubled column names, files without rows, and columns that are not there; a
    `FormatError` refuses files that are not CSV or Parquet, and text that is not UTF-8. A
    `DataError` with file, line and column refuses cells that do not belong in their column:
    infinite ones, and text in a column of a CSV file whose other cells (95 % at least) are more
    than a few numbers. In a column named in `numbers` every cell has to be one, and one named in
    `mixed` may hold anything (True: all columns but those in `numbers`).
    """
    return _read(path, columns, delimiter, skip=False, text=text, numbers=numbers, mixed=mixed)[0]


def read_good_rows(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    text: Sequence[str] = (),
    numbers: Sequence[str] = (),
    mixed: Sequence[str] | bool = False,
) -> tuple[Any, list[BadRow]]:
    r"""Read as `read_table` does, but skip rows that it would refuse, and list them.

    These are rows with too many or too few cells, or with one that does not belong in its column.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "ragged.csv"
    >>> _ = path.write_text("x,y\n1,2\n3\n5,6\n")
    >>> table, skipped = read_good_rows(path)
    >>> table.to_pydict(), skipped
    ({'x': [1, 5], 'y': [2, 6]}, [BadRow(line=3, reason='expected 2 cells, found 1')])
    """
    return _read(path, columns, delimiter, skip=True, text=text, numbers=numbers, mixed=mixed)


def write_csv(path: str | os.PathLike[str], columns: Mapping[str, ArrayLike]) -> None:
    """Write columns of equal length as a CSV file, whole or not at all.

    Numbers are written with as many digits as give the same number back, None and NaN as an empty
    cell; text is quoted where it has to be. A `ShapeError` refuses columns of unequal length.
    """
    lines = csv_lines(columns)
    with atomic_write(path) as file:
        file.writelines(lines)


def csv_lines(columns: Mapping[str, ArrayLike]) -> Iterator[bytes]:
    r"""Give the lines that `write_csv` writes, the names first.

    >>> list(csv_lines({"x": [1.5, None]}))
    [b'x\n', b'1.5\n', b'""\n']
    """
    arrays = {name: _column_array(values) for name, values in columns.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ShapeError(f"columns of a CSV file have one dimension and one length, not {shapes}")
    rows = zip(*map(_written, arrays.values()), strict=True)
    return map(_csv_line, chain([list(arrays)], rows))


def _read(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None,
    delimiter: str | None,
    *,
    skip: bool,
    text: Sequence[str],
    numbers: Sequence[str],
    mixed: Sequence[str] | bool,
) -> tuple[Any, list[BadRow]]:
    if delimiter is not None and len(delimiter.encode()) != 1:
        raise ConfigError(f"the delimiter is one ASCII letter, not {delimiter!r}")
    if columns is not None and (isinstance(columns, str) or not columns):
        raise ConfigError(f"columns is a list of names, not {columns!r}")
    if columns is not None and len(set(columns)) < len(columns):
        twice = next(name for name in columns if list(columns).count(name) > 1)
        raise ConfigError(
            f"columns has {twice!r} twice, expected each name once: list(dict.fromkeys(columns))"
        )
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in (*_DELIMITERS, ".parquet"):
        raise FormatError(f"{file}: unknown type {suffix!r}, possible are .csv, .tsv and .parquet")
    if not file.is_file():
        problem = "this is not a file" if file.exists() else "there is no such file"
        raise DataError(f"{file}: {problem}")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty")
    skipped: list[BadRow] = []
    letter = delimiter or _DELIMITERS.get(suffix)
    if letter is None:
        table = _read_parquet(file, columns)
    else:
        guessed = delimiter is None
        table, skipped = _read_csv(file, columns, letter, skip, guessed=guessed, text=text)
    anything = mixed if mixed is True else [*(mixed or ()), *text]
    found = strays.find(table, numbers=numbers, mixed=anything, typed=suffix == ".parquet")
    if found and not skip:
        raise _stray_error(file, found[0], letter, sure=found[0].column in numbers)
    if found:
        table = strays.without(table, found)
        skipped = sorted([*skipped, *_stray_rows(file, found, letter)], key=lambda row: row.line)
    if table.num_rows == 0:
        raise DataError(f"{file}: the file has {table.num_columns} columns but no rows")
    return table, skipped


def _read_parquet(file: Path, columns: Sequence[str] | None) -> Any:
    parquet = need("pyarrow.parquet", extra="data", why="to read Parquet files")
    try:
        content = parquet.ParquetFile(file, page_checksum_verification=True)
        names = content.schema_arrow.names
        _check_names(file, names, columns)
        table = content.read(columns=columns)
    except DataError:
        raise
    except (OSError, ValueError, NotImplementedError, LookupError, OverflowError) as error:
        raise FormatError(f"{file}: not a Parquet file, or a damaged one: {_line(error)}") from None
    return table if columns is None else table.select(list(columns))


def _read_csv(
    file: Path,
    columns: Sequence[str] | None,
    delimiter: str,
    skip: bool,
    *,
    guessed: bool,
    text: Sequence[str],
) -> tuple[Any, list[BadRow]]:
    arrow = need("pyarrow", extra="data", why="to read CSV files")
    has_quotes = _check_bytes(file)
    header = _csv_header(file, delimiter)
    other = next((letter for letter in ";\t|" if letter in header[0]), None)
    if guessed and len(header) == 1 and other:
        raise DataError(f"{file}: one column {header[0]!r}: pass delimiter={other!r}")
    _check_names(file, header, columns)
    bad: list[BadRow] = []
    if has_quotes or skip:  # pyarrow takes an open quote for text to the end of the file
        bad = _bad_rows(file, delimiter)
        if bad and not skip:
            raise _error(file, bad[0])
        if bad:
            _check_text(file)  # pyarrow decodes the rows that it skips
    try:
        table = _parse(file, columns, delimiter, skip, text)
    except arrow.ArrowInvalid as error:
        _check_text(file)
        found = _bad_rows(file, delimiter)
        if found and not skip:
            raise _error(file, found[0]) from None
        straddles = "block boundaries" in str(error)
        reason = f"a row is longer than {_BLOCK} bytes" if straddles else _line(error)
        raise FormatError(f"{file}: {reason}") from None
    if any(arrow.types.is_binary(field.type) for field in table.schema):
        _check_text(file)  # pyarrow makes bytes of text that is not UTF-8
    return table, bad


def _parse(
    file: Path, columns: Sequence[str] | None, delimiter: str, skip: bool, text: Sequence[str]
) -> Any:
    reader = need("pyarrow.csv", extra="data", why="to read CSV files")
    return reader.read_csv(
        file,
        read_options=reader.ReadOptions(block_size=_BLOCK),
        parse_options=reader.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=True,
            invalid_row_handler=(lambda row: "skip") if skip else None,
        ),
        convert_options=reader.ConvertOptions(
            null_values=list(MISSING_TEXT),
            strings_can_be_null=True,
            include_columns=None if columns is None else list(columns),
            column_types=dict.fromkeys(text, "string"),
        ),
    )


def _check_bytes(file: Path) -> bool:
    """Refuse NUL bytes, and return whether there are quotes."""
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        nul = data.find(b"\0")
        if nul >= 0:
            line = data[:nul].count(b"\n") + 1
            hint = " (the file seems to be UTF-16: save it as UTF-8)" if nul < 4 else ""
            raise FormatError(f"{file}:{line}: NUL byte at position {nul}{hint}")
        return data.find(b'"') >= 0


def _check_text(file: Path) -> None:
    """Refuse text that is not UTF-8, by line."""
    position = 0
    with open(file, "rb") as opened:
        for number, line in enumerate(opened, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise FormatError(
                    f"{file}:{number}: byte {line[error.start]:#04x} at position "
                    f"{position + error.start} is not UTF-8: save the file as UTF-8"
                ) from None
            position += len(line)


def _rows(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield for each row that is not blank the line where it starts, and its cells.

    As Latin-1, which any bytes are: this reader looks at structure only.
    """
    with open(file, encoding="latin-1", newline="") as opened:
        if opened.read(3) != codecs.BOM_UTF8.decode("latin-1"):
            opened.seek(0)
        reader = csv.reader(_lines(file, opened), delimiter=delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            reason = str(error)
            if "end of data" in reason:
                reason = "a quote is opened here and never closed"
            raise DataError(f"{file}:{line}: {reason}") from None


def _lines(file: Path, opened: TextIO) -> Iterator[str]:
    number = 0
    while line := opened.readline(_BLOCK + 1):
        number += 1
        if len(line) > _BLOCK:
            raise DataError(f"{file}:{number}: the line is longer than {_BLOCK} bytes")
        yield line


def _csv_header(file: Path, delimiter: str) -> list[str]:
    first = list(islice(_rows(file, delimiter), 2))
    if not first:
        raise DataError(f"{file}: the file is empty")
    header = first[0][1]
    if len(first) == 1:
        raise DataError(f"{file}: the file has {len(header)} columns but no rows")
    if len(header) > _MOST_COLUMNS:
        raise DataError(f"{file}: {len(header)} columns, at most {_MOST_COLUMNS} are read")
    try:
        return [name.encode("latin-1").decode() for name in header]
    except UnicodeDecodeError:
        _check_text(file)
        raise


def _bad_rows(file: Path, delimiter: str) -> list[BadRow]:
    """Return the rows with another number of cells than the first."""
    rows = _rows(file, delimiter)
    _, header = next(rows)
    return [
        BadRow(line, f"expected {len(header)} cells, found {len(row)}")
        for line, row in rows
        if len(row) != len(header)
    ]


def _error(file: Path, bad: BadRow) -> DataError:
    return DataError(f"{file}:{bad.line}: {bad.reason}")


def _stray_error(file: Path, stray: Stray, delimiter: str | None, *, sure: bool) -> DataError:
    """Say where a cell is that does not belong: by line, in a file that has lines."""
    remedy = "correct or remove it"
    if "number" in stray.reason and not sure:
        remedy += f", or take the column for text with mixed=[{stray.column!r}]"
    if delimiter is None:
        place = f"{file}: column {stray.column!r}, row {stray.row} (counted from 0)"
    else:
        place = f"{file}:{_lines_of(file, [stray.row], delimiter)[0]}: column {stray.column!r}"
    return DataError(f"{place}: {stray.reason}: {remedy}")


def _stray_rows(file: Path, found: list[Stray], delimiter: str | None) -> list[BadRow]:
    reasons: dict[int, str] = {}
    for stray in found:
        reasons.setdefault(stray.row, f"column {stray.column!r}: {stray.reason}")
    rows = list(reasons)
    lines = [row + 1 for row in rows] if delimiter is None else _lines_of(file, rows, delimiter)
    return [BadRow(line, reasons[row]) for line, row in zip(lines, rows, strict=True)]


def _lines_of(file: Path, rows: Sequence[int], delimiter: str) -> list[int]:
    """Give the lines where rows of the table start; rows that were skipped are none of it."""
    given = _rows(file, delimiter)
    width = len(next(given)[1])
    lines = [line for line, row in given if len(row) == width]
    return [lines[row] for row in rows]


def _check_names(file: Path, names: list[str], columns: Sequence[str] | None) -> None:
    """Refuse names that occur twice, and columns asked for that are not there."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{file}: two columns have the name {name!r}: rename one")
        seen.add(name)
    for name in columns or ():
        if name not in seen:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {names[:10]}"
            raise DataError(f"{file}: there is no column {name!r}: {hint}")


def _line(error: BaseException) -> str:
    """Return the first line of an error of another library."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _column_array(values: ArrayLike) -> np.ndarray[Any, Any]:
    """Return an array in which numbers stay numbers beside None and text."""
    return np.array(values, dtype=object) if isinstance(values, list) else np.asarray(values)


def _written(array: np.ndarray[Any, Any]) -> list[str]:
    """Return cells as text."""
    # The float64 of a float32 has more digits than the float32 needs.
    is_short = array.dtype.kind == "f" and array.dtype != np.float64
    cells = list(array) if is_short else array.tolist()
    return ["" if cell is None or cell != cell else str(cell) for cell in cells]


def _csv_line(cells: Sequence[str]) -> bytes:
    # Python's own writer leaves a carriage return without quotes, its reader ends a row there.
    quoted = [
        '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell for cell in cells
    ]
    line = ",".join(quoted) or '""'  # an empty line would be no row
    return f"{line}\n".encode()
