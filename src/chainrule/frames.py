"""Read any table one column at a time: data frames, arrays, lists of rows, dictionaries of columns.

>>> frame = read_frame({"age": [31, None, 58], "city": ["Rome", "Oslo", None]})
>>> frame.names, frame.rows
(['age', 'city'], 3)
>>> frame.column(0).numbers()
array([31., nan, 58.])

pandas, polars and pyarrow tables are read through narwhals. Columns without names, or named
by numbers, are called x0, x1, ... Nothing is written to the table.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cells import Cells, cells_of_array, refused
from chainrule.errors import DataError, DtypeError, ShapeError, need


@dataclass(frozen=True)
class Frame:
    """A table: names of its columns, number of rows, and the cells of one column at a time."""

    names: list[str]
    rows: int
    named: bool
    """Whether the table had names; without, columns are known by position."""
    column: Callable[[int], Cells]
    selection: str = "table[{}]"
    """How columns are taken from a table of this type, for error messages."""


def read_frame(table: object) -> Frame:
    """Return a table of any supported type as a `Frame`.

    Supported: a data frame that narwhals knows, a 2-d array, a list of rows, a dictionary from
    names to columns. Sparse matrices and masked arrays are refused, with the call that works.

    >>> import numpy as np
    >>> read_frame(np.ones((5, 2))).names
    ['x0', 'x1']
    >>> read_frame(np.ones(5))
    Traceback (most recent call last):
    ...
    chainrule.errors.ShapeError: a table has rows and columns, this array has shape (5,). Reshape \
your data: table.reshape(-1, 1) if it is one column, table.reshape(1, -1) if it is one row
    """
    if isinstance(table, Mapping):
        return _read_mapping(table)
    if isinstance(table, np.ndarray | list | tuple):
        return _read_array(_array(table))
    if type(table).__module__.startswith("scipy.sparse"):
        raise DtypeError("a sparse matrix cannot be read as a table: pass table.toarray()")
    narwhals = need("narwhals", extra="data", why="to read a data frame")
    native = _native(table, narwhals)
    if isinstance(native, narwhals.Series):
        raise ShapeError("a table has rows and columns, this is a series: pass table.to_frame()")
    if isinstance(native, narwhals.DataFrame):
        return _read_data_frame(native, narwhals)
    return _read_array(_array(table))


def read_targets(targets: object) -> tuple[list[Cells], bool]:
    """Return the columns of targets, and whether they are one vector.

    A table of one column is taken for that column, with a warning: predictions of shape (n,) minus
    targets of shape (n, 1) would be a square of all pairs.

    >>> columns, one_vector = read_targets(["yes", "no"])
    >>> columns[0].distinct()[0], one_vector
    (['yes', 'no'], True)
    """
    if not isinstance(targets, Mapping):
        values = targets
        if not isinstance(targets, np.ndarray | list | tuple):
            narwhals = need("narwhals", extra="data", why="to read a series")
            values = _native(targets, narwhals)
            if isinstance(values, narwhals.Series):
                return [_series_cells("y", values, narwhals)], True
        if values is targets:  # neither a series nor a data frame
            array = _array(targets)
            if array.ndim == 1:
                return [cells_of_array("y", array)], True
    frame = read_frame(targets)
    columns = [frame.column(position) for position in range(len(frame.names))]
    if len(columns) == 1:
        message = f"targets of shape ({frame.rows}, 1) are taken as one vector: pass y.ravel()"
        warnings.warn(message, UserWarning, stacklevel=4)
    return columns, len(columns) == 1


def _native(table: object, narwhals: ModuleType) -> object:
    """Return the narwhals view of a data frame or series, anything else as it is."""
    try:
        return narwhals.from_native(table, eager_only=True, allow_series=True, pass_through=True)
    except narwhals.exceptions.DuplicateError:
        raise DataError("several columns of the table have the same name: rename them") from None


def _array(table: object) -> NDArray[Any]:
    """Return an array in which numbers stay numbers beside text."""
    if isinstance(table, np.ma.MaskedArray):
        raise DtypeError("a masked array would lose its mask: pass table.filled(np.nan)")
    try:
        array = np.asarray(table)
        if isinstance(table, list | tuple) and array.dtype.kind not in "biu":
            # NumPy makes text of the 1 in [1, "a"], and a float of it in [1, 2**63]
            array = np.array(table, dtype=object)
    except ValueError as error:
        raise ShapeError(f"the rows of a table have to be equally long: {error}") from None
    if array.ndim == 0:
        raise DtypeError(
            f"an object of type {type(table).__name__} cannot be read as a table: pass a data "
            "frame (a lazy one collected), a 2-d array, or a dictionary of columns"
        )
    return array


def _read_array(array: NDArray[Any]) -> Frame:
    if array.ndim != 2:
        remedy = "table.reshape(len(table), -1)"
        if array.ndim == 1:
            one_row = "table.reshape(1, -1) if it is one row"
            remedy = f"table.reshape(-1, 1) if it is one column, {one_row}"
        raise ShapeError(
            f"a table has rows and columns, this array has shape {array.shape}. "
            f"Reshape your data: {remedy}"
        )
    names = [f"x{position}" for position in range(array.shape[1])]

    def column(position: int) -> Cells:
        return cells_of_array(names[position], array[:, position])

    return Frame(names, len(array), named=False, column=column)


def _read_mapping(table: Mapping[Any, object]) -> Frame:
    names, named = _checked_names(list(table))
    arrays = [_array(values) for values in table.values()]
    shapes = {name: array.shape for name, array in zip(names, arrays, strict=True)}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        raise ShapeError(f"the columns of a table have one dimension and one length, not {shapes}")

    def column(position: int) -> Cells:
        return cells_of_array(names[position], arrays[position])

    selection = "{{name: table[name] for name in {}}}"
    return Frame(names, len(arrays[0]) if arrays else 0, named, column, selection)


def _read_data_frame(frame: Any, narwhals: ModuleType) -> Frame:
    names, named = _checked_names(list(frame.columns))

    def column(position: int) -> Cells:
        return _series_cells(names[position], frame[:, position], narwhals)

    selection = "table.select({})" if frame.implementation.is_pyarrow() else "table[{}]"
    return Frame(names, len(frame), named, column, selection)


def _series_cells(name: str, series: Any, narwhals: ModuleType) -> Cells:
    dtype = series.dtype
    if dtype.is_nested():
        raise refused(name, f"holds {dtype}")
    missing = series.is_null().to_numpy()
    if dtype in (narwhals.Decimal, narwhals.Int128, narwhals.UInt128):  # NumPy has none of these
        series = series.cast(narwhals.Float64)
    if dtype.is_numeric() and missing.any():
        series = series.fill_null(0)  # a null would make float64 of integers, exact to 2**53 only
    categorical = dtype in (narwhals.Categorical, narwhals.Enum)
    return cells_of_array(name, series.to_numpy(), missing, categorical)


def _checked_names(names: list[object]) -> tuple[list[str], bool]:
    """Return the names of columns, and whether they are names at all or only numbers."""
    text = [name for name in names if isinstance(name, str)]
    if len(text) == len(names):
        return text, True
    if text:
        other = next(name for name in names if not isinstance(name, str))
        raise DataError(
            f"column names are mixed: {text[0]!r} is text, {other!r} is of type "
            f"{type(other).__name__}: make all of them text"
        )
    return [f"x{position}" for position in range(len(names))], False
