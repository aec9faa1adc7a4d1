"""Encode the columns of any table as numbers and codes for a net, and keep how it was done.

>>> rows = {"age": [31, None, 58, 44], "city": ["Rome", "Oslo", None, "Rome"]}
>>> encoder = TableEncoder().fit(rows)
>>> encoder.number_names
['age', 'age is missing', 'city = Rome']
>>> encoder.transform({"age": [31], "city": ["Paris"]}).numbers.round(3)
array([[-0.917,  0.   ,  0.   ]], dtype=float32)

Everything is learned from the rows given to `fit`: give it the training rows only. The encoder is
saved with the model as plain data (`to_state`) and comes back exactly (`from_state`).
"""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import ops
from chainrule.columns import (
    KINDS,
    SCALINGS,
    CategoryColumn,
    Column,
    DroppedColumn,
    NumberColumn,
    column_from_state,
    fit_column,
)
from chainrule.errors import (
    ConfigError,
    DataError,
    DtypeError,
    FormatError,
    NotFittedError,
    ShapeError,
)
from chainrule.frames import Frame, read_frame
from chainrule.graph import scope, shape_of
from chainrule.plain import entry, items, only


@dataclass(frozen=True)
class EncodedTable:
    """Rows of a table as a net takes them.

    `numbers` is float32 of shape (rows, numbers): scaled numbers, one-hot and indicator columns,
    named by `TableEncoder.number_names`. `categories` is int32 of shape (rows, embedded columns):
    codes below `TableEncoder.cardinalities`, for embeddings.
    """

    numbers: NDArray[np.float32]
    categories: NDArray[np.int32]


@dataclass(frozen=True)
class ColumnReport:
    """What became of a column: a row of `TableEncoder.describe`.

    `missing` is the share of training rows without a value, `categories` the number of different
    values; each is None where it was not looked at.
    """

    name: str
    kind: str
    how: str
    missing: float | None
    categories: int | None


class TableEncoder:
    """Encode tables: numbers scaled and clipped, categories one-hot or as codes, missing values.

    The kind of a column follows from its values: numbers are "number", True and False "boolean",
    text and data frame categories "category"; a column that tells nothing is "drop" (see
    `chainrule.columns`). `kinds` overrules this for columns by name. Categories up to `one_hot`
    become columns of 0 and 1, more become codes for an embedding. Scaled numbers stay within
    ``(-clip, clip)``; `scaling="standard"` gives mean 0 and standard deviation 1 instead, and
    "range" numbers from -1 to 1, both without a limit for rows that come later.

    Source: Holzmüller, Grinsztajn, Steinwart (2024), "Better by default" (RealMLP).

    >>> encoder = TableEncoder(kinds={"zip": "category"})
    >>> encoder.fit({"zip": [1010, 2020, 1010], "note": ["", "", ""]}).number_names
    ['zip = 2020']
    >>> for row in encoder.describe():
    ...     print(row.name, row.kind, row.how, sep=": ")
    zip: category: -1 is 1010, +1 is 2020, 0 is missing or unknown
    note: drop: left out: it is '' in every row
    """

    def __init__(
        self,
        kinds: Mapping[str, str] | None = None,
        *,
        one_hot: int = 8,
        clip: float = 3.0,
        scaling: str = "robust",
    ) -> None:
        if scaling not in SCALINGS:
            raise ConfigError(f"scaling={scaling!r}: expected one of {', '.join(SCALINGS)}")
        self.scaling = scaling
        self.kinds = dict(kinds or {})
        self.one_hot = one_hot
        self.clip = clip
        self._columns: list[Column] = []
        self._named = False
        for name, kind in self.kinds.items():
            if kind not in KINDS:
                raise ConfigError(f"kinds[{name!r}] is {kind!r}, possible are {list(KINDS)}")
        if isinstance(one_hot, bool) or not isinstance(one_hot, int) or one_hot < 0:
            raise ConfigError(f"one_hot is a number of categories, 0 or more, not {one_hot!r}")
        if not isinstance(clip, int | float) or not 0 < clip < np.inf:
            raise ConfigError(f"clip is a positive finite number, not {clip!r}")

    def fit(self, table: object) -> "TableEncoder":
        """Learn from the rows of `table` how each column is encoded; returns the encoder itself.

        `table` is a data frame, a 2-d array, a list of rows or a dictionary of columns. Columns of
        an array are called x0, x1, ... A `ConfigError` refuses `kinds` of columns that are not
        there; a `DataError`, `DtypeError` or `ShapeError` what cannot be encoded.
        """
        frame = read_frame(table)
        self._check_kinds(frame)
        shape = (frame.rows, len(frame.names))
        if 0 in shape:
            absent = "sample(s)" if frame.rows == 0 else "feature(s)"
            raise DataError(f"0 {absent} (shape={shape}) while a minimum of 1 is required.")
        columns = [self._fit_column(frame, position) for position in range(len(frame.names))]
        if all(isinstance(column, DroppedColumn) for column in columns):
            reasons = "; ".join(f"{column.name!r}: {column.how}" for column in columns[:10])
            raise DataError(f"no column is left to learn from: {reasons}")
        self._columns, self._named = columns, frame.named
        return self

    def transform(self, table: object) -> EncodedTable:
        """Encode the rows of a table that has the same columns, in the same order, as in `fit`.

        A table of 0 rows gives arrays of 0 rows. Where one of the two tables has no names, columns
        are taken by position, with a warning. A `DataError` refuses other columns, and a cell of
        another kind than in training by column, row and value.
        """
        columns = self.columns
        frame = read_frame(table)
        self._check_columns(frame)
        numbers = np.empty((frame.rows, len(self.number_names)), dtype=np.float32)
        categories = np.empty((frame.rows, len(self.cardinalities)), dtype=np.int32)
        left = coded = 0
        for position, column in enumerate(columns):
            if isinstance(column, DroppedColumn):
                continue
            cells = frame.column(position)
            if isinstance(column, CategoryColumn) and column.embedded:
                categories[:, coded] = column.codes(cells)
                coded += 1
            block = column.encode(cells)
            numbers[:, left : left + len(block)] = block.T
            left += len(block)
        return EncodedTable(numbers, categories)

    def encode(self, cells: Sequence[Any]) -> tuple[Any, Any]:
        """Encode what `inputs` names, as arrays or tensors, where there are no tables.

        Missing numbers are NaN. Gives numbers and categories as `transform` does.
        """
        numbers: list[Any] = []
        codes: list[Any] = []
        for column, x in zip(self.inputs, cells, strict=True):
            with scope(f"column {column.name}"):
                if isinstance(column, NumberColumn):
                    numbers += column.scaled(x)
                    continue
                own = x if column.is_text else column.codes_of_numbers(x)
                if column.embedded:
                    codes.append(own)
                else:
                    numbers += column.spread_out(own)
        rows = shape_of(cells[0])[0]
        return _side_by_side(numbers, rows, np.float32), _side_by_side(codes, rows, np.int32)

    @property
    def inputs(self) -> list[NumberColumn | CategoryColumn]:
        """The columns that are not dropped."""
        return [x for x in self.columns if not isinstance(x, DroppedColumn)]

    @property
    def columns(self) -> list[Column]:
        """The columns of the training table, dropped ones too; `NotFittedError` before `fit`."""
        if not self._columns:
            raise NotFittedError("this TableEncoder has learned no columns: call fit(table) first")
        return self._columns

    @property
    def feature_names(self) -> list[str]:
        """Names of the columns of a table, as `fit` met them and `transform` expects them."""
        return [column.name for column in self.columns]

    @property
    def number_names(self) -> list[str]:
        """Names of the columns of `EncodedTable.numbers`."""
        return [name for column in self.columns for name in column.number_names]

    @property
    def cardinalities(self) -> list[int]:
        """Numbers of codes of the columns of `EncodedTable.categories`, 0 unknown and 1 missing."""
        return [column.cardinality for column in self.columns if column.cardinality is not None]

    def describe(self) -> list[ColumnReport]:
        """Return for each column of the table its kind, and in words how it is encoded."""
        return [
            ColumnReport(
                name=column.name,
                kind=column.kind,
                how=column.how,
                missing=column.missing,
                categories=len(column.values) if isinstance(column, CategoryColumn) else None,
            )
            for column in self.columns
        ]

    def to_state(self) -> dict[str, Any]:
        """Return all of the encoder as plain data, which JSON keeps exactly."""
        return {
            "kinds": dict(self.kinds),
            "one_hot": self.one_hot,
            "clip": float(self.clip),
            "named": self._named,
            "columns": [column.state for column in self.columns],
        } | ({} if self.scaling == "robust" else {"scaling": self.scaling})

    @classmethod
    def from_state(cls, state: object) -> "TableEncoder":
        """Make an encoder from `to_state`; a `FormatError` refuses anything else.

        >>> import json
        >>> encoder = TableEncoder().fit([[0.1, "a"], [0.7, "b"]])
        >>> text = json.dumps(encoder.to_state())
        >>> TableEncoder.from_state(json.loads(text)).columns == encoder.columns
        True
        """
        only(state, ["kinds", "one_hot", "clip", "named", "columns", "scaling"])
        kinds = entry(state, "kinds", dict)
        scaling = entry(state, "scaling", str) if "scaling" in dict(state) else "robust"  # type: ignore[call-overload]
        try:
            encoder = cls(
                {name: entry(kinds, name, str) for name in kinds},
                one_hot=entry(state, "one_hot", int),
                clip=entry(state, "clip", float),
                scaling=scaling,
            )
        except ConfigError as error:
            raise FormatError(f"the state of a table encoder is wrong: {error}") from None
        encoder._named = entry(state, "named", bool)
        encoder._columns = [column_from_state(column) for column in items(state, "columns", dict)]
        names = [column.name for column in encoder._columns]
        if not names or len(set(names)) < len(names):
            raise FormatError("the columns of a table encoder need names, each another one")
        return encoder

    def _fit_column(self, frame: Frame, position: int) -> Column:
        name = frame.names[position]
        kind = self.kinds.get(name)
        if kind == "drop":  # never read, whatever it holds
            return DroppedColumn(name, f"kinds={{{name!r}: 'drop'}}")
        try:
            return fit_column(
                frame.column(position), kind, self.one_hot, float(self.clip), self.scaling
            )
        except DtypeError as error:
            remedy = f"or leave it out with kinds={{{name!r}: 'drop'}}"
            raise DtypeError(f"{error}, {remedy}") from None

    def _check_kinds(self, frame: Frame) -> None:
        for name in self.kinds:
            if name not in frame.names:
                near = difflib.get_close_matches(str(name), frame.names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {_listed(frame.names)}"
                raise ConfigError(f"kinds names a column {name!r}, which the table lacks: {hint}")

    def _check_columns(self, frame: Frame) -> None:
        expected = self.feature_names
        if not (self._named and frame.named):
            if len(frame.names) != len(expected):
                raise ShapeError(
                    f"X has {len(frame.names)} features, but TableEncoder is expecting "
                    f"{len(expected)} features as input: {_listed(expected)}"
                )
            if self._named != frame.named:
                having = "had names, this one has none" if self._named else "had no names"
                message = f"columns are taken by position: the table of training {having}"
                warnings.warn(message, UserWarning, stacklevel=3)
        elif frame.names != expected:
            given, wanted = set(frame.names), set(expected)
            missing = [name for name in expected if name not in given]
            extra = [name for name in frame.names if name not in wanted]
            faults = [f"lacks columns {_listed(missing)}"] if missing else []
            faults += [f"has columns {_listed(extra)} that training had not"] if extra else []
            fault = " and ".join(faults) or "has the columns of training in another order"
            names = str(expected) if len(expected) <= 8 else "encoder.feature_names"
            remedy = "add or rename them" if missing else f"pass {frame.selection.format(names)}"
            raise DataError(f"the table {fault}: {remedy}")


def _side_by_side(columns: list[Any], rows: Any, dtype: Any) -> Any:
    if not columns:
        return ops.broadcast_to(np.zeros((1, 0), dtype), (rows, 0))
    return ops.cast(ops.stack(columns, axis=1), dtype=np.dtype(dtype))


def _listed(names: list[str]) -> str:
    """Show names, at most ten of them."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{names[:10]}{more}"
