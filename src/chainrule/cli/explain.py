"""`chainrule explain`: every number of a prediction, or of a step of training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.cli.account import Account
from chainrule.cli.example import show, told
from chainrule.cli.model import MOST_CLASSES, model_file
from chainrule.cli.tables import read
from chainrule.cli.use import Tabular, read_for, select_inputs
from chainrule.errors import ConfigError, DataError, DtypeError
from chainrule.estimators.rows import take_rows
from chainrule.estimators.tabular import TabularClassifier
from chainrule.explaining import explain
from chainrule.loading import load
from chainrule.nn.module import Module


def explain_row(
    model: Path, table: Path, target: str | None, row: int, options: dict[str, Any]
) -> int:
    """Explain what a model predicts for a row of a table, or with a target, a step on this row."""
    loaded = load(model_file(model))
    delimiter = options.pop("delimiter")
    if not isinstance(loaded, Tabular):
        return _explain_numbers(loaded, read(table, delimiter)[0], table, target, row, options)
    full = read_for(loaded, table, delimiter)
    if target is not None and target not in full.column_names:
        raise ConfigError(f"--target {target}: {table} has no such column")
    inputs = select_inputs(loaded, full, table, besides=target)
    _check_row(row, inputs.num_rows, table)
    chosen = take_rows(inputs, np.array([row]))
    truth = None if target is None else [full.column(target)[row].as_py()]
    with _told_of(table, row):
        predicted = loaded.predict(chosen)[0]
    with _told_of(table, row, target):
        explanation = loaded.explain(chosen, truth)
    text = told(explanation, options)
    account = Account()
    account.line(f"{table.name}, row {row}: predicted {predicted}", "bold")
    if isinstance(loaded, TabularClassifier) and len(loaded.classes_) <= MOST_CLASSES:
        p = loaded.predict_proba(chosen)[0]
        classes = [str(name) for name in loaded.classes_.tolist()]
        account.table(
            ("class", "probability"),
            [(name, f"{x:.4f}") for name, x in zip(classes, p, strict=False)],
        )
    return show(explanation, text, account, options)


def _explain_numbers(
    loaded: Any, full: Any, table: Path, target: str | None, row: int, options: dict[str, Any]
) -> int:
    """Explain what a module, or an estimator that takes numbers, makes of a row of them."""
    if target is not None:
        raise ConfigError(
            f"--target is for models of tables; for a {type(loaded).__name__}, in Python: "
            "chainrule.explain(model, loss, x, y)"
        )
    _check_row(row, full.num_rows, table)
    module = loaded if isinstance(loaded, Module) else loaded.module_
    cells = [full.column(name)[row].as_py() for name in full.column_names]
    wrong = [name for name, x in zip(full.column_names, cells, strict=True)
             if not isinstance(x, int | float)]  # fmt: skip
    if wrong:
        raise DataError(f"{table}, row {row}: column {wrong[0]!r} is no number, which a "
                        f"{type(loaded).__name__} takes")  # fmt: skip
    x = np.array([cells], module.parameters()[0].dtype)
    explanation = explain(module, None, x, columns=[full.column_names])
    text = told(explanation, options)
    account = Account()
    account.line(f"{table.name}, row {row}", "bold")
    return show(explanation, text, account, options)


@contextmanager
def _told_of(table: Path, row: int, target: str | None = None) -> Iterator[None]:
    """Let errors about a row by itself, and its target y, name them as the table does."""
    try:
        yield
    except (DataError, DtypeError) as error:
        message = str(error).replace("row 0 (counted from 0)", f"row {row} (counted from 0)")
        if target is not None:
            message = message.replace("column 'y'", f"column {target!r}")
        raise type(error)(f"{table}: {message}") from error


def _check_row(row: int, rows: int, table: Path) -> None:
    if not 0 <= row < rows:
        raise ConfigError(f"--row {row}: expected a number from 0 to {rows - 1}; {table} has "
                          f"{rows:,} rows, counted from 0")  # fmt: skip
