r"""What is fuzzed: for each reader of files what it is given, and what has to hold.

>>> sorted(TARGETS)
['checkpoint', 'csv', 'model', 'onnx']
>>> TARGETS["csv"].check(b"x,y\n1,2\n3\n")
"DataError: 'table.csv':3: expected 2 cells, found 1"
"""

import contextlib
import csv
import io
import os
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.cli import use
from chainrule.errors import ChainruleError
from chainrule.files import BadRow, csv_lines, read_good_rows, read_table
from chainrule.nn import Module
from tools.fuzz import mutations, seeds


@dataclass(frozen=True)
class Target:
    """A reader: files that it takes, how they are changed, and what is done with one."""

    seeds: Callable[[], dict[str, bytes]]
    mutate: Callable[[bytes, random.Random], bytes | None]
    read: Callable[[bytes], None]

    def check(self, data: bytes) -> str:
        """Read bytes; give "read" or the error in words, and raise what is a finding."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                with _nothing_lost():
                    self.read(data)
            except ChainruleError as error:
                if not str(error).strip():
                    raise AssertionError("an error without words") from error
                return f"{type(error).__name__}: {error}".replace(f"{_folder()}{os.sep}", "")
        return "read"


@contextlib.contextmanager
def _nothing_lost() -> Iterator[None]:
    """Raise what would else be printed alone, such as an error in what a library calls."""
    lost: list[BaseException | None] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda caught: lost.append(caught.exc_value)
    try:
        yield
    finally:
        sys.unraisablehook = before
        if lost:
            raise AssertionError(f"an exception that nobody sees: {lost[0]!r}")


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz"))


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def read_model(data: bytes) -> None:
    """Load a model, show it, predict with it, and save it again: that has to load, too."""
    model = cr.load(_file("model.chainrule", data))
    repr(model)
    if isinstance(model, Module):
        with contextlib.suppress(ChainruleError):
            model.predict(np.ones((2, 3), np.float32))
    again = _folder() / "again.chainrule"
    model.save(again)
    cr.load(again)


def read_checkpoint(data: bytes) -> None:
    """Go on with a training from a checkpoint."""
    folder = _folder() / "checkpoints"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "step-3.checkpoint").write_bytes(data)
    history = seeds.training(folder)
    if not all(isinstance(row, dict) for row in history.rows):
        raise AssertionError("a history of something else than rows")


def read_csv(data: bytes) -> None:
    """Read a table strictly and leniently, which agree, and predict its rows."""
    path = _file("table.csv", data)
    try:
        table = read_table(path)
    except ChainruleError:
        _read_leniently(path)
        raise
    lenient, skipped = _read_leniently(path)
    if skipped or repr(lenient.to_pydict()) != repr(table.to_pydict()):  # where NaN equals NaN
        raise AssertionError("a table that is read strictly has rows that are skipped")
    model = _predictor()
    rows = use.read_for(model, path, None)
    with contextlib.redirect_stderr(io.StringIO()):
        inputs = use.select_inputs(model, rows, path)
    written = list(csv_lines(use.prediction_columns(model, inputs, probabilities=None)))
    if len(written) != table.num_rows + 1:
        raise AssertionError(f"{len(written) - 1} predictions for {table.num_rows} rows")


def _read_leniently(path: Path) -> tuple[Any, list[BadRow]]:
    """Read good rows, of which none is lost, and none has an infinite number."""
    table, skipped = read_good_rows(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = sum(bool(row) for row in csv.reader(file, strict=True)) - 1
    if table.num_rows + len(skipped) != rows:
        raise AssertionError(f"{table.num_rows} rows and {len(skipped)} skipped, not {rows}")
    for column in table.columns:
        if str(column.type) == "double" and np.isinf(column.to_numpy()).any():
            raise AssertionError("an infinite number in a good row")
    return table, skipped


@cache
def _predictor() -> cr.TabularClassifier:
    return seeds.tabular()


def read_onnx(data: bytes) -> None:
    """Import a net, show it, and predict with inputs of the shapes that it says it takes."""
    net = cr.from_onnx(_file("net.onnx", data))
    repr(net)
    sizes = [[n if isinstance(n, int) else 2 for n in given["shape"]] for given in net.inputs]
    if all(np.prod(size, dtype=float) < 1e6 > max(size, default=0) for size in sizes):
        net.predict(*[np.ones(size, given["dtype"])
                      for size, given in zip(sizes, net.inputs, strict=True)])  # fmt: skip


TARGETS = {
    "model": Target(seeds.models, mutations.model, read_model),
    "checkpoint": Target(seeds.checkpoints, mutations.model, read_checkpoint),
    "csv": Target(seeds.tables, mutations.table, read_csv),
    "onnx": Target(seeds.nets, mutations.onnx, read_onnx),
}
