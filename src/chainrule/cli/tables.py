"""Tables for the command line: columns by name, targets, weights, and the rows of each part.

>>> import pyarrow
>>> table = pyarrow.table({"x": [1.0, 2.0, 3.0], "y": ["a", None, "b"]})
>>> sample = take_sample(table, Roles("y"), classes=True)
>>> sample.X.to_pydict(), sample.y, sample.notes
({'x': [1.0, 3.0]}, array(['a', 'b'], dtype=object), ("1 row is left out: its 'y' is missing",))
"""

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.cells import Cells
from chainrule.data import split
from chainrule.errors import ConfigError, DataError, DtypeError
from chainrule.files import read_good_rows, read_table
from chainrule.frames import read_frame
from chainrule.graph import Array

MOST_LISTED = 5


@dataclass(frozen=True)
class Roles:
    """Which columns are target and weights, and which are left out."""

    target: str
    weights: str | None = None
    drop: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    task: str = "auto"

    def __post_init__(self) -> None:
        others = dict.fromkeys(self.drop, "--drop leaves it out: give one of the two")
        others |= {self.target: "it is the target: --task says whether it is classes or numbers"}
        if self.weights is not None:
            others[self.weights] = "it is the weight of each row, a number"
        for name, kind in self.kinds.items():
            if name in others:
                raise ConfigError(f"--kind {name}={kind}: {others[name]}")

    def among(self, inputs: list[str], names: list[str]) -> "Roles":
        """Give the roles in another table, which may have more columns than the inputs."""
        drop = [n for n in names if n not in {*inputs, self.target, self.weights}]
        kinds = {name: kind for name, kind in self.kinds.items() if name in inputs}
        return Roles(self.target, self.weights, tuple(drop), kinds, self.task)

    @property
    def numbers(self) -> list[str]:
        """Give the columns that were said to be numbers."""
        named = [name for name, kind in self.kinds.items() if kind == "number"]
        named += [self.target] if self.task == "regression" else []
        return named if self.weights is None else [*named, self.weights]

    @property
    def mixed(self) -> list[str]:
        """Give the columns whose cells may be anything."""
        kinds = {name for name, kind in self.kinds.items() if kind in ("category", "drop")}
        target = {self.target} if self.task == "classification" else set()
        return sorted(kinds | target | set(self.drop))

    def inputs(self, names: Iterable[str]) -> list[str]:
        """Give the columns to learn from."""
        others = {self.target, self.weights, *self.drop}
        return [name for name in names if name not in others]


@dataclass(frozen=True)
class Sample:
    """Rows to learn from or to score: inputs, targets, weights, and what is to be told."""

    X: Any
    y: Array
    weight: Array | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Array) -> "Sample":
        """Give some of the rows."""
        weight = None if self.weight is None else self.weight[rows]
        return Sample(self.X.take(rows), self.y[rows], weight)


def read(
    path: Path,
    delimiter: str | None = None,
    *,
    skip: bool = False,
    text: Iterable[str] = (),
    numbers: Iterable[str] = (),
    mixed: Sequence[str] | bool = False,
    target: str | None = None,
) -> tuple[Any, list[str]]:
    """Read a table, and say which rows were skipped."""
    columns: dict[str, Any] = {"text": list(text), "numbers": list(numbers), "mixed": mixed}
    try:
        if not skip:
            return read_table(path, delimiter=delimiter, **columns), []
        table, bad = read_good_rows(path, delimiter=delimiter, **columns)
    except DataError as error:  # which tells the argument of a function
        raise DataError(in_shell(str(error), target)) from error
    if not bad:
        return table, []
    listed = ", ".join(f"line {row.line} ({row.reason})" for row in bad[:MOST_LISTED])
    more = f" and {len(bad) - MOST_LISTED} more" if len(bad) > MOST_LISTED else ""
    return table, [f"{counted(len(bad), 'row')} skipped in {path.name}: {listed}{more}"]


def check_names(table: Any, roles: Roles, path: Path) -> list[str]:
    """Refuse names of columns that are not there; give the columns to learn from."""
    names = table.column_names
    for option, wanted in (
        ("--target", [roles.target]),
        ("--weights", [roles.weights] if roles.weights is not None else []),
        ("--drop", roles.drop),
        ("--kind", roles.kinds),
    ):
        for name in wanted:
            if name not in names:
                raise DataError(f"{path}: {option}: {unknown(name, names)}")
    inputs = roles.inputs(names)
    if not inputs:
        raise DataError(f"{path}: no column is left to learn from")
    return inputs


def check_roles(table: Any, roles: Roles, path: Path) -> None:
    """Refuse names of columns that are not there, and columns that cannot be learned from."""
    inputs = check_names(table, roles, path)
    frame, faults = read_frame(table.select(inputs)), {}
    for place, name in enumerate(inputs):
        try:
            if roles.kinds.get(name) != "drop":
                frame.column(place)
        except DtypeError as error:
            faults[name] = str(error)
    if faults:
        drops = " ".join(f"--drop {shlex.quote(name)}" for name in faults)
        raise DataError(f"{path}: {next(iter(faults.values()))}, or leave it out: {drops}")


def unknown(name: str, names: list[str]) -> str:
    """Say that a column is not there, and which may be meant.

    >>> unknown("specis", ["species", "sex"])
    "there is no column 'specis', did you mean 'species'?"
    """
    near = difflib.get_close_matches(name, names, n=1)
    near = near or [n for n in names if n.lower() == name.lower()]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    hint = f"did you mean {near[0]!r}?" if near else f"it has {names[:10]}{more}"
    return f"there is no column {name!r}, {hint}"


def target_cells(table: Any, name: str) -> Cells:
    """Read the target column."""
    return read_frame(table.select([name])).column(0)


def take_sample(
    table: Any, roles: Roles, *, classes: bool, inputs: list[str] | None = None
) -> Sample:
    """Divide a table into inputs, targets and weights; rows without a target are left out."""
    cells = target_cells(table, roles.target)
    known = np.flatnonzero(~cells.missing)
    if not len(known):
        raise DataError(f"the target {roles.target!r} has no value in any row")
    if classes:
        values, codes = cells.distinct()
        text = any(isinstance(value, str) for value in values)
        y: Array = np.array(values, dtype=object if text else None)[codes[known]]
    else:
        y = cells.numbers()[known]
    weight = None if roles.weights is None else _weights(table, roles.weights)[known]
    chosen = table.select(inputs or roles.inputs(table.column_names))
    absent = table.num_rows - len(known)
    if not absent:
        return Sample(chosen, y, weight)
    verb, whose = ("is", "its") if absent == 1 else ("are", "their")
    note = f"{counted(absent, 'row')} {verb} left out: {whose} {roles.target!r} is missing"
    return Sample(chosen.take(known), y, weight, (note,))


def check_classes(sample: Sample, classes: Array, target: str, path: Path) -> None:
    """Refuse labels that the model does not know."""
    known = set(classes.tolist())
    new = [label for label in dict.fromkeys(sample.y.tolist()) if label not in known]
    if new:
        more = f" and {len(new) - MOST_LISTED} more" if len(new) > MOST_LISTED else ""
        raise DataError(
            f"{path}: {target!r} has classes that were not in training: {new[:MOST_LISTED]}{more}; "
            f"it had {classes[:MOST_LISTED].tolist()}"
        )


def _weights(table: Any, name: str) -> Array:
    numbers = target_cells(table, name).numbers()
    wrong = ~(numbers >= 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        shown = "missing" if np.isnan(numbers[row]) else f"{numbers[row]:g}"
        raise DataError(f"the weight {name!r} in row {row} (counted from 0) is {shown}")
    if not numbers.any():
        raise DataError(f"the weight {name!r} is 0 in every row")
    return numbers


def split_sample(sample: Sample, share: float, seed: int, classes: bool) -> tuple[Sample, Sample]:
    """Divide rows into (training, test), of each class the same share, as far as it goes."""
    labels = np.unique(sample.y, return_inverse=True)[1] if classes else None
    train, test = split(len(sample), share, seed=seed, labels=labels)
    if labels is not None:  # no class is to be known from the test rows only
        lost = np.setdiff1d(labels[test], labels[train])
        back = np.array([test[labels[test] == code][0] for code in lost], dtype=test.dtype)
        train, test = np.union1d(train, back), np.setdiff1d(test, back)
    if not len(test):
        raise DataError(f"{counted(len(sample), 'row')}: too few to test on some, --test-share 0")
    return sample.take(train), sample.take(test)


def in_shell(message: str, target: str | None = None) -> str:
    """Turn the arguments that a message of the library names into options.

    >>> in_shell("leave it out with kinds={'zip code': 'drop'}")
    "leave it out with --drop 'zip code'"
    >>> in_shell("kinds={'zip': 'number'} reads it so")
    '--kind zip=number reads it so'
    """
    message = message.replace("pass delimiter=", "use --delimiter ")
    message = message.replace("class_weight='balanced'", "--class-weight balanced")
    message = message.replace("task='classification'", "--task classification")
    message = re.sub(
        r"""take the column for text with mixed=\[(["'])(.+?)\1\]""",
        lambda found: (
            f"{_text_option(found[2], target)}, or leave out such rows with --on-bad-rows skip"
        ),
        message,
    )
    return re.sub(r"""kinds=\{(["'])(.+?)\1: '(\w+)'\}""", _kind_option, message)


def _text_option(name: str, target: str | None) -> str:
    if name == target:
        return "--task classification"
    return f"--kind {shlex.quote(f'{name}=category')}"


def _kind_option(found: re.Match[str]) -> str:
    name, kind = found[2], found[3]
    if kind == "drop":
        return f"--drop {shlex.quote(name)}"
    return f"--kind {shlex.quote(f'{name}={kind}')}"


def counted(n: int, noun: str) -> str:
    """Count things.

    >>> counted(1, "row"), counted(2000, "row"), counted(3, "class")
    ('1 row', '2,000 rows', '3 classes')
    """
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending}"
