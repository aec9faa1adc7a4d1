"""Look at a table before a net is trained on it: what to start with, and what to beware of.

>>> rng = np.random.default_rng(0)
>>> x = rng.normal(size=(200, 2))
>>> table = {"a": x[:, 0], "b": x[:, 1], "c": 2 * x[:, 0] + 1, "id": np.arange(200)}
>>> found = examine(table, x[:, 0] + x[:, 1] + rng.normal(size=200))
>>> found.task, found.advice.optimizers, [hint.name for hint in found.hints]
('regression', ('adam', 'sgd'), ['identifier', 'repeats', 'linear'])
>>> found.rank.inputs, found.rank.numerical, round(found.rank.effective, 1)
(3, 2, 2.0)
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from chainrule.advise import trials
from chainrule.advise.hints import Hint, rows_per_input, table_hints
from chainrule.advise.rank import effective_rank, numerical_rank
from chainrule.advise.rules import Advice, recommend
from chainrule.advise.target import FRACTIONS, Task, check_class_rows, task_of_cells
from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.frames import read_frame, read_targets
from chainrule.graph import Array
from chainrule.table import TableEncoder

RANKED_ROWS = 5_000
"""Rows from which the number of independent features is estimated."""

MOST_CODES = 100
"""Categories of a column that the trials know; rarer ones count as one."""

ROUNDED = 1e-5
"""Tolerance of the numerical rank: encoded inputs are float32."""

_LEFT_OUT = {"identifier", "dates", "constant", "unreadable"}


@dataclass(frozen=True)
class Rank:
    """How many features there are, and how many of them are independent.

    `columns` are those of the table that are used, `inputs` what a net gets of them; `numerical`
    and `effective` are `numerical_rank` and `effective_rank` of the inputs, with 1 for each
    column of many categories, which a net learns a vector for.
    """

    columns: int
    inputs: int
    numerical: int
    effective: float


@dataclass(frozen=True)
class Examination:
    """What `examine` found: the task, how large it is, what to start with, and hints.

    `comparison` are the trials of other models (None where there are too few rows), `left_out` the
    columns that had no part in rank and trials, because of a hint.
    """

    task: Task
    why: str
    rows: int
    rank: Rank
    advice: Advice
    hints: tuple[Hint, ...]
    comparison: trials.Comparison | None = None
    left_out: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain data for JSON."""
        return asdict(self)


def examine(
    X: Any,
    y: Any,
    *,
    task: str = "auto",
    kinds: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Examination:
    """Find the task, the number of independent features, what to start with, and hints.

    `X` is any table that `TableEncoder` takes, with its `kinds`; `y` is the target. `task` is
    "auto" (`infer_task`), "classification" or "regression". Large tables are sampled: rank and
    trials take seconds. `pip install "chainrule[sklearn]"` brings the models that are tried. A
    `DataError` refuses a target with fewer than two values, a table without rows or columns, and
    `X` and `y` of different lengths.
    """
    frame, cells = read_frame(X), _one_column(y)
    if frame.rows != len(cells.missing):
        raise ShapeError(f"X has {frame.rows} rows, y has {len(cells.missing)}: expected as many")
    if not frame.rows or not frame.names:
        raise DataError(
            f"X has {frame.rows} rows and {len(frame.names)} columns: at least 1 of each"
        )
    found, why = find_task(cells, task)
    classes = found != "regression"
    if classes:
        check_class_rows(cells)
    hints = table_hints(X, y, kinds=kinds, classes=classes)
    out = {name for hint in hints if hint.name in _LEFT_OUT for name in hint.columns}
    used = dict(kinds or {}) | {name: "drop" for name in out}
    if all(used.get(name) == "drop" for name in frame.names):
        reasons = "; ".join(hint.text for hint in hints[:5])
        raise DataError(f"no column is left to learn from: {reasons}")
    encoder = TableEncoder(used).fit(X)
    known = np.flatnonzero(~cells.missing)
    target = _target(cells, classes)[known]
    blocks = _blocks(encoder, X, known)
    leaky = _leaks(blocks, target, classes, seed)
    suspects = {name for hint in leaky for name in hint.columns}
    if suspects < set(blocks):  # what is left is worth a look without them
        blocks = {name: block for name, block in blocks.items() if name not in suspects}
        encoder = TableEncoder(used | dict.fromkeys(suspects, "drop")).fit(X)
        out |= suspects
    rank = rank_of(encoder, X, known, seed)
    advice = recommend(found, len(known), rank.columns, independent_features=rank.effective)
    hints += [*leaky, *rows_per_input(len(known), rank.inputs)]
    more, comparison = _tried(blocks, target, classes, seed)
    left = tuple(name for name in frame.names if name in out)
    return Examination(found, why, len(known), rank, advice, (*hints, *more), comparison, left)


def find_task(cells: Any, asked: str = "auto") -> tuple[Task, str]:
    """Take the task as asked for, or find it from the target."""
    if asked not in ("auto", "classification", "regression"):
        raise ConfigError(f"task={asked!r}: expected 'auto', 'classification' or 'regression'")
    task, why = task_of_cells(cells)
    if asked == "regression":
        return "regression", "asked for"
    if asked == "classification":
        if why == FRACTIONS:
            raise ConfigError(f"task='classification': the target is {why}, not classes")
        return "binary" if len(cells.distinct()[0]) == 2 else "multiclass", "asked for"
    return task, why


def rank_of(encoder: TableEncoder, X: Any, rows: Array | None = None, seed: int = 0) -> Rank:
    """Count the independent features of a table, as a net gets them.

    >>> X = {"a": [1.0, 2.0, 4.0, 3.0], "b": [2.0, 4.0, 8.0, 6.0], "c": ["x", "y", "y", "x"]}
    >>> rank = rank_of(TableEncoder().fit(X), X)
    >>> rank.columns, rank.inputs, rank.numerical, round(rank.effective, 3)
    (3, 3, 2, 1.919)
    """
    numbers = encoder.transform(X).numbers
    rows = np.arange(len(numbers)) if rows is None else rows
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:RANKED_ROWS])
    codes = len(encoder.cardinalities)
    columns = sum(column.kind != "drop" for column in encoder.columns)
    if not numbers.shape[1] or not len(rows):
        return Rank(columns, codes, codes, float(codes))
    # Inputs are clipped, which bends them: a sum of columns is one before that.
    plain = TableEncoder(encoder.kinds, one_hot=encoder.one_hot, clip=1e6).fit(X).transform(X)
    return Rank(
        columns,
        numbers.shape[1] + codes,
        numerical_rank(plain.numbers[rows], ROUNDED) + codes,
        effective_rank(numbers[rows]) + codes,
    )


def _tried(
    blocks: dict[str, Array], y: Array, classes: bool, seed: int
) -> tuple[list[Hint], trials.Comparison | None]:
    """Compare models, and put in words what came out."""
    if not blocks:  # of categories that are met once each
        return [], None
    if len(y) >= trials.LEAST_ROWS:
        comparison = trials.compare(np.hstack(list(blocks.values())), y, classes=classes, seed=seed)
        return [comparison.hint], comparison
    text = f"{len(y)} rows are too few to compare models on"
    remedy = f"it takes {trials.LEAST_ROWS}"
    return [Hint("few-rows", text, remedy, figures={"rows": len(y)})], None


def leak_hints(
    encoder: TableEncoder, X: Any, y: Any, *, classes: bool, seed: int = 0
) -> list[Hint]:
    """Find columns that predict the target nearly alone, see `leaks`; no target is missing.

    >>> X = {"paid": [0.0, 1.0] * 30, "age": [30, 31, 32] * 20}
    >>> encoder = TableEncoder().fit(X)
    >>> [hint.columns for hint in leak_hints(encoder, X, ["no", "yes"] * 30, classes=True)]
    [('paid',)]
    """
    y = np.asarray(y)
    return _leaks(_blocks(encoder, X, np.arange(len(y))), y, classes, seed)


def _leaks(blocks: dict[str, Array], y: Array, classes: bool, seed: int) -> list[Hint]:
    codes = np.unique(y, return_inverse=True)[1] if classes else y
    found = trials.leaks(blocks, codes, classes=classes, seed=seed)
    return [trials.leak_hint(name, *what) for name, what in found.items()]


def _blocks(encoder: TableEncoder, X: Any, rows: Array) -> dict[str, Array]:
    """Give the inputs of each column; codes of many categories become columns of 0 and 1.

    The encoder has seen all rows, the held-out ones too: their medians, but never their targets.
    """
    table = encoder.transform(X)
    found, left, coded = {}, 0, 0
    for column in encoder.columns:
        width = len(column.number_names)
        block = table.numbers[rows, left : left + width].astype(np.float64)
        left += width
        if column.cardinality is not None:
            codes = table.categories[rows, coded]
            coded += 1
            counts = np.bincount(codes)
            common = np.argsort(-counts, kind="stable")[:MOST_CODES]
            block = (codes[:, None] == common[counts[common] > 1]).astype(np.float64)
        if block.shape[1]:
            found[column.name] = block
    return found


def _one_column(y: Any) -> Any:
    columns, one_vector = read_targets(y)
    if not one_vector:
        raise ShapeError(f"a target is one column, this has {len(columns)}")
    return columns[0]


def _target(cells: Any, classes: bool) -> Array:
    """Give codes of classes, or numbers."""
    target: Array = cells.distinct()[1] if classes else cells.numbers()
    return target
