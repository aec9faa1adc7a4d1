"""What is done in a trial: cross-validate an estimator, or call a function.

>>> from chainrule.estimators.mlp import MLPRegressor
>>> X = np.linspace(-1, 1, 30).reshape(-1, 1)
>>> fits = CrossValidation(
...     MLPRegressor(solver="lbfgs", random_state=0), X, X[:, 0],
...     [(np.arange(0, 30, 2), np.arange(1, 30, 2))], get_scorer(None),
... )
>>> fits({"activation": "identity"}, lambda step, value: False).value > 0.99
True
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.errors import ConfigError, DataError, DivergedError, need
from chainrule.estimators.rows import first_column, take_rows
from chainrule.events import Callback, EpochEnd
from chainrule.metrics import log_loss
from chainrule.search.folds import Fold
from chainrule.search.space import Flat, Space, Stored, drawn, word

Report = Callable[[int, float], bool]
"""Tells the score at a step, and hears whether to give the trial up."""

FIRST_LOOK = 4
"""The epoch after which a trial is scored for the first time; then after twice as many, and so on:
so a search looks a few times at a training of any length."""

FIRST_FOLD = 1000
"""The step that is the end of the first fold; below it are those in the middle of that fold."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: the score, those of the folds, and how long it took."""

    state: str
    value: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Pruned(Exception):  # noqa: N818 (it is no error, and leaves a training from a callback)
    """A trial is given up."""


@dataclass(frozen=True)
class CrossValidation:
    """Scores settings of an estimator by the mean over folds."""

    estimator: Any
    X: Any
    y: Any
    folds: Sequence[Fold]
    scorer: "Scorer"
    weight: Any = None
    prune: bool = False

    def __call__(self, values: Mapping[str, Any], report: Report) -> Outcome:
        """Fit and score every fold; `report` hears scores as they come, and may end it."""
        scores: list[float] = []
        for number in range(len(self.folds)):
            score = self._fold(number, values, report)
            if not np.isfinite(score):
                raise DivergedError(f"the score of fold {number} is {score}")
            scores.append(score)
            last = number + 1 == len(self.folds)
            if self.prune and not last:
                mean = float(np.mean(scores))
                if report(FIRST_FOLD + number, mean):
                    raise Pruned
        return Outcome("finished", float(np.mean(scores)), {"scores": scores})

    def _fold(self, number: int, values: Mapping[str, Any], report: Report) -> float:
        train, held_out = self.folds[number]
        model = self._model(values)
        X, y = take_rows(self.X, held_out), take_rows(self.y, held_out)
        weight = None if self.weight is None else self.weight[held_out]

        def look(epoch: int) -> None:
            if report(int(np.log2(epoch / FIRST_LOOK)), self.scorer(model, X, y, weight)):
                raise Pruned

        settings = model.get_params(deep=False)
        by_epochs = "callbacks" in settings and settings.get("solver") != "lbfgs"
        if self.prune and number == 0 and by_epochs:
            model.set_params(callbacks=[*(model.callbacks or ()), _Watcher(look)])
        extra = {} if self.weight is None else {"sample_weight": self.weight[train]}
        with warnings.catch_warnings():
            # That a net has not converged is told by the last fit; here it would be told hundreds
            # of times.
            warnings.simplefilter("ignore", UserWarning)
            # A training that Ctrl-C ended gives a model, which is not the one to be scored.
            warnings.filterwarnings("error", "Training interrupted by user", UserWarning)
            try:
                model.fit(take_rows(self.X, train), take_rows(self.y, train), **extra)
            except UserWarning:
                raise KeyboardInterrupt from None
            return self.scorer(model, X, y, weight)

    def _model(self, values: Mapping[str, Any]) -> Any:
        clone = need("sklearn.base", extra="tune", why="to search for settings").clone
        model = clone(self.estimator)
        if "verbose" in model.get_params(deep=False):
            model.set_params(verbose=False)
        return model.set_params(**values)


class _Watcher(Callback):
    """Looks at a training after 4, 8, 16, ... epochs."""

    def __init__(self, look: Callable[[int], None]) -> None:
        self.look = look

    def on_epoch_end(self, event: EpochEnd) -> None:
        """Score the held-out rows, if it is time."""
        epoch = event.epoch
        if epoch >= FIRST_LOOK and epoch % FIRST_LOOK == 0 and epoch & (epoch - 1) == 0:
            self.look(epoch)


@dataclass(frozen=True)
class Function:
    """Calls a function of the settings, which gives a number."""

    function: Callable[[dict[str, Any]], float]

    def __call__(self, values: Mapping[str, Any], report: Report) -> Outcome:
        """Call the function."""
        value = self.function(dict(values))
        if isinstance(value, bool) or not isinstance(value, int | float | np.number | np.ndarray):
            raise ConfigError(f"{word(self.function)} returned {value!r}: expected a number")
        if not np.isfinite(float(value)):
            raise DivergedError(f"{word(self.function)} returned {value}")
        return Outcome("finished", float(value))


@dataclass(frozen=True)
class Scorer:
    """Scores a fitted estimator on rows; a higher score is better."""

    name: str
    function: Callable[..., Any] | None
    sign: int = 1
    """-1 if people know the score with the other sign, as that of a loss."""

    def __call__(self, model: Any, X: Any, y: Any, weight: Any = None) -> float:
        """Give the score of a model on rows."""
        extra = {} if weight is None else {"sample_weight": weight}
        if self.function is None:
            return float(model.score(X, y, **extra))
        return float(self.function(model, X, y, **extra))


def get_scorer(scoring: Any) -> Scorer:
    """Give the scorer of a name, of a function (model, X, y), or the model's own for None."""
    if scoring is None:
        return Scorer("the score of the estimator", None)
    if scoring == "neg_log_loss":
        return Scorer("neg_log_loss", _neg_log_loss)
    if callable(scoring):
        return Scorer(word(scoring), scoring, getattr(scoring, "sign", 1))
    metrics = need("sklearn.metrics", extra="tune", why="to score by name")
    if scoring not in metrics.get_scorer_names():
        known = ", ".join(metrics.get_scorer_names())
        raise ConfigError(f"scoring={scoring!r}: expected None, a function or one of {known}")
    return Scorer(scoring, metrics.get_scorer(scoring))


def _neg_log_loss(model: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    """Score like scikit-learn's scorer, also where a fold lacks a class that the model knows."""
    p = model.predict_proba(X)
    return -log_loss(y, p, labels=model.classes_, sample_weight=sample_weight)


def at_fold_end(step: int) -> bool:
    """Whether a step is the end of a fold."""
    return step >= FIRST_FOLD


def attempt(task: Any, space: Mapping[str, Space], flat: Flat, report: Report) -> Outcome:
    """Do a trial; what goes wrong in it is how it ended."""
    started = time.perf_counter()
    try:
        outcome = task(drawn(space, Stored(flat)), report)
    except Pruned:
        outcome = Outcome("pruned")
    except (DivergedError, FloatingPointError) as error:
        outcome = Outcome("diverged", facts={"error": _line(error)})
    except Exception as error:  # settings that the estimator refuses are no end of the search
        outcome = Outcome("failed", facts={"error": _line(error)})
    seconds = round(time.perf_counter() - started, 3)
    return Outcome(outcome.state, outcome.value, {**outcome.facts, "seconds": seconds})


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def check_lengths(X: Any, y: Any, weight: Any) -> int:
    """Give the number of rows, which has to be the same everywhere."""
    rows = len(y)
    n = X.shape[0] if hasattr(X, "shape") else len(first_column(X))
    if n != rows:
        raise DataError(f"X has {n} rows, y has {rows}")
    if weight is not None and len(weight) != rows:
        raise DataError(f"sample_weight has {len(weight)} entries, X has {rows} rows")
    return rows
