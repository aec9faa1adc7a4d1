"""`load`: read any model that was saved, module or estimator.

>>> import tempfile
>>> from pathlib import Path
>>> from chainrule import nn
>>> path = Path(tempfile.mkdtemp()) / "layer.chainrule"
>>> nn.Linear(2, 1, seed=0).save(path)
>>> load(path)
Linear(2, 1)
"""

import os
from typing import Any

from chainrule.errors import FormatError, need
from chainrule.nn.checks import at_most
from chainrule.nn.module import from_plain
from chainrule.save import ModelFile, read_model

_ESTIMATORS = {
    "MLPClassifier": "mlp",
    "MLPRegressor": "mlp",
    "NetClassifier": "net",
    "NetRegressor": "net",
    "TabularClassifier": "tabular",
    "TabularRegressor": "tabular",
}

_SPARE = 1 << 20
"""Weights that modules of a file may have beyond four times its numbers: an estimator keeps the
module that it was given beside the trained one, and may have been given a larger one since."""


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model file; nothing in it is unpickled, imported or evaluated.

    Raises FormatError, in one line, for a file that is truncated, altered, foreign or newer.
    """
    file = read_model(path)
    try:
        with at_most(_SPARE + 4 * sum(x.size for x in file.arrays.values())):
            return _built(file)
    except FormatError as error:
        raise FormatError(f"{os.fspath(path)!r} {error}") from error


def _built(file: ModelFile) -> Any:
    if file.kind == "module":
        return from_plain(file.config.get("module")).load_arrays(file.arrays).eval()
    if file.kind in _ESTIMATORS:
        need("sklearn", extra="sklearn", why="to load an estimator")
        module = need(f"chainrule.estimators.{_ESTIMATORS[file.kind]}", "sklearn", "to load")
        return getattr(module, file.kind).from_file(file)
    raise FormatError(f"holds a {file.kind}, which is no model")
