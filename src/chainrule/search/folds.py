"""Which rows are trained on, and which score: k folds, or three parts.

>>> [len(held_out) for _, held_out in folds(10, 3, seed=0)]
[4, 3, 3]
>>> [len(part) for part in three_parts(10, validation=0.2, test=0.2, seed=0)]
[6, 2, 2]

Rows are given by their numbers. The folds are scikit-learn's.
"""

import warnings
from typing import Any

import numpy as np

from chainrule.data import split
from chainrule.errors import ConfigError, DataError, need
from chainrule.graph import Array

Fold = tuple[Array, Array]
"""Row numbers to train on, and to score."""


def folds(
    rows: int,
    k: int = 5,
    *,
    labels: Any = None,
    groups: Any = None,
    shuffle: bool = True,
    seed: int | None = 0,
) -> list[Fold]:
    """Divide row numbers into k folds: (training, held out) for each, every row held out once.

    With `labels` each fold has about the same share of each class; rows of the same value of
    `groups`, such as those of one patient, stay together; both may be given. `shuffle=False`
    keeps the order of the rows.

    >>> patients = [1, 1, 2, 2, 3, 3]
    >>> sorted(held_out.tolist() for _, held_out in folds(6, 3, groups=patients))
    [[0, 1], [2, 3], [4, 5]]
    """
    parts = {"labels": labels, "groups": groups}
    for name, given in parts.items():
        if given is not None and len(given) != rows:
            raise DataError(f"folds: {rows} rows, but {len(given)} {name}")
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 2 <= k <= rows:
        raise ConfigError(f"folds({rows}, {k!r}): expected a whole number of folds from 2 to rows")
    sklearn = need("sklearn.model_selection", extra="tune", why="to divide rows into folds")
    name = ("Stratified" * (labels is not None)) + ("Group" * (groups is not None)) + "KFold"
    if labels is not None:
        _check_classes(np.asarray(labels))
        k_max = int(np.unique(np.asarray(labels), return_counts=True)[1].max())
        if k > k_max:
            raise DataError(f"folds: {k} folds, but no class has more than {k_max} rows")
    if groups is not None and k > len(np.unique(np.asarray(groups))):
        raise DataError(f"folds: {k} folds, but only {len(np.unique(np.asarray(groups)))} groups")
    splitter = getattr(sklearn, name)(k, shuffle=shuffle, random_state=seed if shuffle else None)
    return _divided(splitter, np.zeros(rows), labels, groups)


def three_parts(
    rows: int,
    *,
    validation: float = 0.2,
    test: float = 0.2,
    labels: Any = None,
    seed: int | None = 0,
) -> tuple[Array, Array, Array]:
    """Divide row numbers at random into training, validation and test rows.

    `validation` and `test` are shares of all rows; with `labels` each part has about the same
    share of each class.

    >>> train, validation, test = three_parts(100, labels=[0] * 80 + [1] * 20)
    >>> [(len(part), int((part >= 80).sum())) for part in (train, validation, test)]
    [(60, 12), (20, 4), (20, 4)]
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ConfigError(
            f"validation={validation}, test={test}: expected two shares above 0 that leave rows "
            "to train on"
        )
    codes = None
    if labels is not None:
        if len(labels) != rows:
            raise DataError(f"three_parts: {rows} rows, but {len(labels)} labels")
        codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    wanted = [max(round(rows * share), 1) for share in (test, validation)]
    if sum(wanted) >= rows:
        raise DataError(f"{rows} rows are too few for shares of {validation} and {test}")
    # Half a row less, so that rounding up gives the number that is wanted.
    rest, tested = split(rows, (wanted[0] - 0.5) / rows, seed=seed, labels=codes)
    inner = None if codes is None else codes[rest]
    kept, held = split(len(rest), (wanted[1] - 0.5) / len(rest), seed=seed, labels=inner)
    return rest[kept], rest[held], tested


def chosen_folds(
    cv: Any, rows: int, *, labels: Any, groups: Any, y: Any, seed: int | None
) -> list[Fold]:
    """Give the folds of a number, of a splitter of scikit-learn, or of a list of pairs."""
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        return folds(rows, int(cv), labels=labels, groups=groups, seed=seed)
    if hasattr(cv, "split") and not isinstance(cv, str):
        return _divided(cv, np.zeros(rows), y, groups)
    pairs = list(cv) if isinstance(cv, list | tuple) else []
    if not pairs or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise ConfigError(
            f"cv={cv!r}: expected a number of folds, a splitter such as "
            "sklearn.model_selection.KFold(5), or a list of pairs of row numbers"
        )
    found = [(np.asarray(train), np.asarray(held)) for train, held in pairs]
    for train, held in found:
        if not (len(train) and len(held)) or max(train.max(), held.max()) >= rows:
            raise DataError(f"cv: a fold is empty, or names rows beyond the {rows} that there are")
    return found


def _divided(splitter: Any, rows: Array, labels: Any, groups: Any) -> list[Fold]:
    labels = None if labels is None else np.asarray(labels)
    groups = None if groups is None else np.asarray(groups)
    with warnings.catch_warnings():
        # That a class has fewer rows than there are folds: the folds that lack it are scored, too.
        warnings.filterwarnings("ignore", "The least populated class")
        return [(train, held) for train, held in splitter.split(rows, labels, groups)]


def _check_classes(labels: Array) -> None:
    """Refuse a class that could only be trained on, or only be scored."""
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        name = names[counts.argmin()]
        raise DataError(
            f"class {name} has only 1 row, which cannot be both trained on and scored: leave it "
            "out, or pass cv=sklearn.model_selection.KFold(5, shuffle=True)"
        )
