"""`tune` searches settings of an estimator by cross-validation, `optimize` any function.

>>> from chainrule.search.space import Uniform
>>> found = optimize(lambda p: (p["x"] - 1) ** 2, {"x": Uniform(-5, 5)}, trials=30, seed=0)
>>> len(found), found.best_score < 0.5
(30, True)
"""

import difflib
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ConfigError, need
from chainrule.graph import Array
from chainrule.search.defaults import default_space
from chainrule.search.fingerprint import of_rows
from chainrule.search.folds import chosen_folds
from chainrule.search.result import Result
from chainrule.search.running import Search
from chainrule.search.scoring import (
    CrossValidation,
    Function,
    check_lengths,
    get_scorer,
)
from chainrule.search.space import Flat, Space, checked, grid, word
from chainrule.search.study import METHODS, Study

TRIALS = 50
POINTS = 3


def optimize(
    function: Callable[[dict[str, Any]], float],
    space: Mapping[str, Any],
    *,
    method: str = "bayes",
    direction: str = "minimize",
    trials: int | None = None,
    points: int = POINTS,
    seed: int = 0,
    jobs: int = 1,
    study: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Result:
    """Search the settings for which a function of them is least, or largest.

    `function` takes a dictionary with a value for every name of `space`, and gives a number. The
    other arguments are those of `tune`; direction is "minimize" or "maximize".

    >>> space = {"x": [1.0, 2.0, 3.0], "y": [True, False]}
    >>> found = optimize(lambda p: p["x"] if p["y"] else 9.0, space, method="grid")
    >>> len(found), found.best_params
    (6, {'x': 1.0, 'y': True})
    """
    spaces = checked(space)
    if direction not in ("minimize", "maximize"):
        raise ConfigError(f"direction={direction!r}: expected 'minimize' or 'maximize'")
    identity = {"function": word(function), "direction": direction}
    search = _Settings(method, trials, points, seed, jobs, progress)
    return search.run(Function(function), spaces, identity, direction, study)


def tune(
    estimator: Any,
    X: Any,
    y: Any,
    space: Mapping[str, Any] | None = None,
    *,
    method: str = "bayes",
    trials: int | None = None,
    points: int = POINTS,
    cv: Any = 5,
    groups: Any = None,
    scoring: Any = None,
    sample_weight: Any = None,
    prune: bool = True,
    seed: int = 0,
    jobs: int = 1,
    baseline: bool = False,
    study: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Result:
    """Search settings of an estimator by the mean score over k folds.

    * `space` names settings and what they may be (`LogUniform`, `Uniform`, `Int`, `Choice` or a
      list, `Call`, `widths`); `default_space` gives it for the estimators of chainrule. Any
      estimator of scikit-learn will do, also a pipeline, whose settings are called "step__name".
    * `method`: "bayes" (a tree-structured Parzen estimator: Bergstra et al., 2011), "random", or
      "grid": the product of all options, with `points` values of each range.
    * `trials` is how many the study has in the end: 50, or all of a grid.
    * `cv`: a number of folds (shuffled; stratified for a classifier; by `groups`, rows of one group
      stay together), a splitter of scikit-learn, or pairs of row numbers.
    * `scoring`: a name or function as in scikit-learn; None is the estimator's `score`.
    * `prune` gives up a trial that does worse than three quarters of the others after 4, 8, 16, ...
      epochs of its first fold (for estimators with `callbacks`), or worse than half of them after
      a fold.
    * `baseline` scores the estimator as it is given, too, to compare with.
    * `study` is a file that keeps the trials. The same call goes on from it: finished trials are
      not done again. The file of another search is refused.
    * `jobs` processes work at the same time. The seed gives the same trials again with jobs=1;
      with more, the same settings by "random" and "grid", while those of "bayes" depend on which
      trials had finished, and so does what is pruned.

    An estimator without `random_state` gets `seed`.

    >>> from sklearn.datasets import load_iris
    >>> from chainrule import NetClassifier
    >>> from chainrule.search import LogUniform
    >>> X, y = load_iris(return_X_y=True)
    >>> space = {"lr": LogUniform(1e-4, 0.1), "batch_size": [16, 32]}
    >>> found = tune(NetClassifier(epochs=30), X, y, space, trials=6, cv=3)
    >>> found.best_estimator().fit(X, y).score(X, y) > 0.9
    True
    """
    rows = check_lengths(X, y, sample_weight)
    estimator = _prepared(estimator, seed)
    spaces = checked(default_space(estimator, rows) if space is None else space)
    _check_names(estimator, spaces)
    labels = _labels(estimator, y)
    parts = chosen_folds(cv, rows, labels=labels, groups=groups, y=y, seed=seed)
    scorer = get_scorer(scoring)
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    identity = {
        "estimator": described(estimator),
        "table": of_rows(X, y, weight),
        "folds": of_rows(*[part for fold in parts for part in fold]),
        "scoring": scorer.name,
        "pruning": str(bool(prune)),
    }
    task = CrossValidation(estimator, X, y, parts, scorer, weight, bool(prune))
    search = _Settings(method, trials, points, seed, jobs, progress)
    return search.run(task, spaces, identity, "maximize", study, estimator, baseline)


class _Settings:
    """What both searches have in common, checked."""

    def __init__(
        self, method: str, trials: int | None, points: int, seed: int, jobs: int, progress: bool
    ) -> None:
        if method not in METHODS:
            raise ConfigError(f"method={method!r}: expected one of {', '.join(METHODS)}")
        for name, value, low in (
            ("trials", trials, 1), ("points", points, 2), ("jobs", jobs, 1), ("seed", seed, 0)
        ):  # fmt: skip
            if value is None and name == "trials":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
                raise ConfigError(f"{name}={value!r}: expected a whole number of at least {low}")
        self.method, self.points, self.seed = method, int(points), int(seed)
        self.trials, self.jobs, self.progress = trials, int(jobs), progress

    def run(
        self,
        task: Any,
        space: dict[str, Space],
        identity: Mapping[str, str],
        direction: str,
        study: Any,
        estimator: Any = None,
        baseline: bool = False,
    ) -> Result:
        """Open the study, and search."""
        combinations: list[Flat] = grid(space, self.points) if self.method == "grid" else []
        trials = TRIALS if self.trials is None else int(self.trials)
        if self.method == "grid":
            trials = min(len(combinations), self.trials or len(combinations))
        own = {
            "method": self.method + (f" of {self.points} points" if combinations else ""),
            "seed": str(self.seed),
            "space": word(space),
        }
        with Study(
            study,
            {**identity, **own},
            direction,
            method=self.method,
            seed=self.seed,
            points=combinations,
        ) as opened:
            return Search(
                opened,
                task,
                space,
                trials=trials,
                jobs=self.jobs,
                progress=self.progress,
                estimator=estimator,
                baseline=baseline,
            ).run()


def described(estimator: Any) -> str:
    """Write an estimator with the parameters that decide how it learns."""
    params = {
        name: value
        for name, value in estimator.get_params().items()
        if name not in ("callbacks", "verbose")
    }
    listed = ", ".join(f"{name}={word(params[name])}" for name in sorted(params))
    return f"{type(estimator).__name__}({listed})"


def _prepared(estimator: Any, seed: int) -> Any:
    """Copy the estimator, and seed it if it is not."""
    if not (hasattr(estimator, "get_params") and hasattr(estimator, "fit")):
        raise ConfigError(
            f"estimator={estimator!r}: expected an estimator such as chainrule.MLPClassifier()"
        )
    copy = need("sklearn.base", extra="tune", why="to search for settings").clone(estimator)
    unseeded = {
        name: seed
        for name, value in copy.get_params().items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return copy.set_params(**unseeded)


def _check_names(estimator: Any, space: Mapping[str, Space]) -> None:
    """Refuse a setting that the estimator does not have."""
    known = estimator.get_params()
    for name in space:
        if name not in known:
            close = difflib.get_close_matches(name, list(known), 1)
            meant = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"
            raise ConfigError(f"space: {type(estimator).__name__} has no setting {name!r}{meant}")


def _labels(estimator: Any, y: Any) -> Array | None:
    """Give the labels by which folds are stratified, or None."""
    base = need("sklearn.base", extra="tune", why="to search for settings")
    labels = np.asarray(y)
    if not base.is_classifier(estimator) or labels.ndim > 1:
        return None
    return labels
