"""`chainrule predict` and `evaluate`: what is done with a model that was written."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.cli import scores
from chainrule.cli.account import Account, number
from chainrule.cli.model import MOST_CLASSES, model_file, note
from chainrule.cli.tables import Roles, check_classes, check_roles, counted, read, take_sample
from chainrule.columns import CategoryColumn, NumberColumn
from chainrule.errors import ConfigError, DataError, FormatError
from chainrule.estimators.tabular import TabularClassifier, TabularRegressor
from chainrule.files import csv_lines, write_csv
from chainrule.loading import load

Tabular = TabularClassifier | TabularRegressor


def predict(
    model: Path, table: Path, out: str, probabilities: bool | None, delimiter: str | None
) -> None:
    """Write predictions as CSV."""
    with _noting():
        fitted = load_tabular(model)
        inputs = select_inputs(fitted, read_for(fitted, table, delimiter), table)
        columns = prediction_columns(fitted, inputs, probabilities)
    if out == "-":
        sys.stdout.buffer.writelines(csv_lines(columns))
        sys.stdout.buffer.flush()
    else:
        write_csv(out, columns)
        note(f"{out}: {counted(inputs.num_rows, 'row')} predicted")


def evaluate(model: Path, table: Path, target: str | None, delimiter: str | None) -> None:
    """Print the scores of a model on a table that has the truth."""
    account = Account()
    with _noting():
        fitted = load_tabular(model)
        full = read_for(fitted, table, delimiter)
        target = target or _only_other(fitted, full, table)
        if _is_text(getattr(fitted, "classes_", ())):  # 01 is to stay text, as in training
            full = read_for(fitted, table, delimiter, target)
        inputs = select_inputs(fitted, full, table, besides=target)
        roles = Roles(target).among(inputs.column_names, full.column_names)
        check_roles(full, roles, table)
        classes = getattr(fitted, "classes_", None)
        sample = take_sample(full, roles, classes=classes is not None, inputs=inputs.column_names)
        if classes is not None:
            check_classes(sample, classes, target, table)
        for text in sample.notes:
            note(text)
        guess = scores.predicted(fitted, sample.X)
        found = scores.scores_of(guess, sample, classes)
        baseline = scores.guessing(sample, classes)
        guessed = scores.scores_of(baseline.predict(sample.X), sample, classes)
    account.line(f"{table.name}: {counted(len(sample), 'row')}, target {target}", "bold")
    rows = [(name, number(found[name]), number(guessed[name])) for name in found]
    account.table(("score", "model", baseline.name), rows)
    if classes is not None:
        account.table(
            ("class", "precision", "recall", "F1", "rows"),
            [
                (row.name, *(f"{x:.3f}" for x in (row.precision, row.recall, row.f1)),
                 f"{row.support:g}")
                for row in scores.class_rows(sample, guess.y, classes)[:MOST_CLASSES]
            ],
        )  # fmt: skip


def load_tabular(path: Path) -> Tabular:
    """Load a model that takes tables."""
    model = load(model_file(path))
    if not isinstance(model, Tabular):
        raise FormatError(
            f"{path} holds a {type(model).__name__}, which takes arrays and no tables: in Python, "
            f"chainrule.load({os.fspath(path)!r}).predict(...)"
        )
    return model


def read_for(model: Tabular, path: Path, delimiter: str | None, *more: str) -> Any:
    """Read a table; what was text in training is read as text, and what were numbers has to be."""
    columns = model.encoder_.columns
    text = [c.name for c in columns if isinstance(c, CategoryColumn) and _is_text(c.values)]
    numbers = [c.name for c in columns if isinstance(c, NumberColumn)]
    return read(path, delimiter, text=[*text, *more], numbers=numbers, mixed=True)[0]


def select_inputs(model: Tabular, table: Any, path: Path, besides: str | None = None) -> Any:
    """Give the columns that the model takes, and note those that it does not."""
    if not hasattr(model, "feature_names_in_"):  # it knows columns by position
        return table if besides is None else table.drop_columns([besides])
    wanted = model.feature_names_in_.tolist()
    absent = [name for name in wanted if name not in table.column_names]
    if absent:
        more = f" and {len(absent) - 10} more" if len(absent) > 10 else ""
        raise DataError(f"{path}: it lacks columns that the model takes: {absent[:10]}{more}")
    ignored = [name for name in table.column_names if name not in {*wanted, besides}]
    if ignored:
        more = f" and {len(ignored) - 10} more" if len(ignored) > 10 else ""
        note(f"not an input of the model, ignored: {', '.join(ignored[:10])}{more}")
    return table.select(wanted)


def prediction_columns(model: Tabular, inputs: Any, probabilities: bool | None) -> dict[str, Any]:
    """Give the columns of the CSV."""
    classifies = isinstance(model, TabularClassifier)
    if probabilities and not classifies:
        raise ConfigError("--probabilities: a regression has none")
    guess = scores.predicted(model, inputs)
    if guess.y.ndim != 1:
        raise ConfigError("this model has several targets: use it in Python")
    if not classifies or guess.p is None:
        return {"prediction": guess.y.astype(np.float32)}  # the precision that it has
    columns = {"prediction": guess.y}
    if probabilities is not False:
        rounded = np.round(guess.p, 6)
        columns |= {f"p({name})": rounded[:, i] for i, name in enumerate(model.classes_.tolist())}
    return columns


def _only_other(model: Tabular, table: Any, path: Path) -> str:
    """Find the target: the one column that the model does not take."""
    known = set(getattr(model, "feature_names_in_", ()))
    others = [name for name in table.column_names if name not in known]
    if not known or len(others) != 1:
        listed = f" of {others[:10]}" if others else ""
        raise ConfigError(f"{path}: which column{listed} is the truth? Say it with --target")
    note(f"the target is {others[0]!r}, the only column that the model does not take")
    return str(others[0])


def _is_text(values: Iterable[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


@contextmanager
def _noting() -> Iterator[None]:
    """Turn the warnings of a block into notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
        note(text)
