"""Encode the columns of any table as numbers and codes for a net, and keep how it was done.

>>> rows = {"age": [31, None, 58, 44], "city": ["Rome", "Oslo", None, "Rome"]}
>>> encoder = TableEncoder().fit(rows)
>>> encoder.number_names
['age', 'age is missing', 'city = Rome']
>>> encoder.transform({"age": [31], "city": ["Paris"]}).numbers.round(3)
array([[-0.898,  0.   ,  0.   ]], dtype=float32)

Everything is learned from the rows given to `fit`: give it the training rows only. The encoder is
saved with the model as plain data (`to_state`) and comes back exactly (`from_state`).
"""

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cells import Cells
from chainrule.columns import (
    KINDS,
    CategoryColumn,
    Column,
    DroppedColumn,
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
    ``(-clip, clip)``.

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
        self, kinds: Mapping[str, str] | None = None, *, one_hot: int = 8, clip: float = 3.0
    ) -> None:
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
        if not 0 < clip < np.inf:
            raise ConfigError(f"clip is a positive finite number, not {clip!r}")

    def fit(self, table: object) -> "TableEncoder":
        """Learn from the rows of `table` how each column is encoded; returns the encoder itself.

        `table` is a data frame, a 2-d array, a list of rows or a dictionary of columns. Columns of
        an array are called x0, x1, ... A `ConfigError` refuses `kinds` of columns that are not
        there; a `DataError`, `DtypeError` or `ShapeError` what cannot be encoded.
        """
        frame = read_frame(table)
        self._check_kinds(frame)
        if frame.rows == 0 or not frame.names:
            raise DataError(
                f"a table of {frame.rows} rows and {len(frame.names)} columns has nothing to learn"
            )
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
            cells = replace_name
