"""Quick trials of scikit-learn's models: whether a linear model does, and which columns leak.

>>> rng = np.random.default_rng(0)
>>> x = rng.normal(size=(300, 3))
>>> found = compare(x, x[:, 0] - x[:, 1] + rng.normal(size=300), classes=False)
>>> found.verdict, found.gain.mean < 0.01
('linear', True)
>>> [score.model for score in found.scores]
['always the mean', 'ridge regression', 'lasso', 'support vector machine', 'random forest']

Rows are sampled, so that a trial takes seconds whatever the size of the table; the scores are those
of rows that the models did not see.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule import metrics
from chainrule.advise.hints import FEW_ROWS, IMBALANCE, Hint
from chainrule.errors import DataError, ShapeError, need
from chainrule.graph import Array

MOST_ROWS = 2_000
"""Rows of a trial."""

MOST_CELLS = 100_000
"""Rows times inputs of a trial: with over 50 inputs, or 20 classes, fewer rows are taken."""

LEAST_ROWS = 20
"""Rows below which no models are compared."""

FOLDS, REPEATS = 5, 2

SOFT = 3.0
"""The constant C of the support vector machine, whose kernel is scikit-learn's RBF."""

T_95 = 2.26
"""The 97.5 % quantile of Student's t with FOLDS * REPEATS - 1 = 9 degrees of freedom."""

MARGIN = 0.01
"""What a model has to be better by, in accuracy or R², to be worth it."""

LEAK = 0.98
"""Share of the errors of guessing that a single column takes away, from which on it is suspect."""

MOST_SUSPECTS = 200  # columns that are tried alone

LINEAR = ("ridge regression", "lasso", "logistic regression")

Verdict = Literal["linear", "nonlinear", "undecided", "nothing"]

_REMEDIES: Mapping[Verdict, str] = {
    "linear": "start with it, as it is simpler",
    "nonlinear": "a net or trees should beat it",
    "undecided": "train both, and compare",
    "nothing": "other columns or more rows are what is needed",
}


@dataclass(frozen=True)
class Score:
    """Mean score of a model over the folds, and half of the 95 % interval of that mean."""

    model: str
    mean: float
    margin: float


@dataclass(frozen=True)
class Comparison:
    """Scores of guessing, linear models and two that bend, on the same held-out rows.

    `linear` names the best linear model, `gain` is what the better of those that bend has ahead of
    it (of the folds, paired), `verdict` what follows: "linear" (they gain at most `MARGIN`),
    "nonlinear" (they gain more, beyond chance), "undecided" (more, but it may be chance) or
    "nothing" (no model beats guessing beyond chance).
    """

    score: str
    scores: tuple[Score, ...]
    linear: str
    gain: Score
    verdict: Verdict
    rows: int
    inputs: int

    @property
    def hint(self) -> Hint:
        """The verdict in words, with its figures."""
        linear, best = self._by_name(self.linear), self._by_name(self.gain.model)
        top = max(linear, best, key=lambda score: score.mean)
        rivals = (
            f"{linear.model} {self.score} {_interval(linear)}, {best.model} {_interval(best)}, "
            f"a gain of {_interval(self.gain, sign=True)}"
        )
        sparse = self.rows < FEW_ROWS * self.inputs
        found = {
            "linear": f"{linear.model} is likely to do as well here as a net: {rivals}",
            "nonlinear": (
                "the target depends on the columns in a way that is not linear"
                + f", or on few of the {self.inputs:,} inputs" * sparse
                + f": {rivals}"
            ),
            "undecided": (
                f"whether more than {linear.model} pays cannot be told from {self.rows:,} rows: "
                + rivals
            ),
            "nothing": (
                f"no model beats guessing on unseen rows: {self.score} "
                f"{_interval(self.scores[0])} by guessing, {_interval(top)} by {top.model}"
            ),
        }
        figures = {"linear": linear.mean, "best": best.mean, "gain": self.gain.mean}
        figures["margin"] = self.gain.margin
        return Hint(self.verdict, found[self.verdict], _REMEDIES[self.verdict], figures=figures)

    def _by_name(self, name: str) -> Score:
        return next(score for score in self.scores if score.model == name)


def compare(X: Any, y: Any, *, classes: bool, seed: int = 0) -> Comparison:
    """Score guessing, linear models, and two that bend, by 5-fold splits, twice.

    Those that bend are a support vector machine and a random forest.

    `X` are encoded inputs of shape (rows, inputs), `y` class names or numbers. Scores are R² of
    numbers, accuracy of classes; balanced accuracy, with balanced models, where the commonest class
    has `IMBALANCE` times the rows of the rarest. Margins take into account that the folds share
    rows. A `DataError` refuses fewer than `LEAST_ROWS` rows, or one value in ``y``.

    Sources: Nadeau and Bengio (2003) for the margins; Cortes and Vapnik (1995) and Breiman (2001)
    for the models that bend.
    """
    X, y = _checked(X, y, classes)
    outputs = max(len(np.unique(y)) // 10, 1) if classes else 1
    rows = sampled(len(y), X.shape[1] * outputs, seed)
    X, y = X[rows], y[rows]
    balanced = classes and _ratio(y) >= IMBALANCE
    score, name = _scorer(classes, balanced)
    models = _models(classes, balanced, seed)
    splits = _splits(y, classes, seed)
    ratio = len(splits[0][1]) / len(splits[0][0])
    each = {model: _fold_scores(make, X, y, splits, score) for model, make in models.items()}
    guess, *others = each
    linear, best = (
        max(names, key=lambda model: float(each[model].mean()))
        for names in (
            [model for model in others if model in LINEAR],
            [model for model in others if model not in LINEAR],
        )
    )
    gain = _summary(best, each[best] - each[linear], ratio)
    top = max(linear, best, key=lambda model: float(each[model].mean()))
    over_guess = _summary(top, each[top] - each[guess], ratio)
    verdict: Verdict = "undecided"
    if over_guess.mean <= over_guess.margin:
        verdict = "nothing"
    elif gain.mean <= MARGIN:
        verdict = "linear"
    elif gain.mean > gain.margin:
        verdict = "nonlinear"
    scores = tuple(_summary(model, values, ratio) for model, values in each.items())
    return Comparison(name, scores, linear, gain, verdict, len(y), X.shape[1])


def leaks(
    blocks: Mapping[str, Array], y: Any, *, classes: bool, seed: int = 0
) -> dict[str, tuple[float, str]]:
    """Give the columns that predict the target nearly alone: name to (score, name of the score).

    `blocks` has the encoded inputs of each column, shape (rows, inputs). A small tree on the column
    alone is scored on held-out rows; a column is suspect if that takes away `LEAK` of the errors of
    guessing. The suspect knows the target, or came after it; or the task is easy.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=200)
    >>> blocks = {"price in cents": y[:, None] * 100, "noise": rng.normal(size=(200, 1))}
    >>> list(leaks(blocks, y, classes=False))
    ['price in cents']
    """
    y = np.asarray(y)
    if len(y) < LEAST_ROWS or not blocks:
        return {}
    rows = sampled(len(y), 1, seed)
    y = y[rows]
    if len(np.unique(y)) < 2:
        return {}
    tree = need("sklearn.tree", extra="sklearn", why="to try columns alone")
    kind = tree.DecisionTreeClassifier if classes else tree.DecisionTreeRegressor
    score, name = _scorer(classes, classes)
    splits = _splits(y, classes, seed)[:FOLDS]
    lowest = 1 / len(np.unique(y)) if classes else 0.0
    found = {}
    for column, block in list(blocks.items())[:MOST_SUSPECTS]:
        values = _fold_scores(
            lambda: kind(max_leaf_nodes=256, random_state=0), block[rows], y, splits, score
        )
        if values.mean() - lowest >= LEAK * (1 - lowest):
            found[column] = (float(values.mean()), name)
    return found


def leak_hint(column: str, score: float, name: str) -> Hint:
    """Say what a leak is, and what to ask about it."""
    return Hint(
        "leak",
        f"column {column!r} predicts the target almost alone: {name} {score:.3f} on unseen rows",
        "if it is not known before the target is, or was made from it, leave it out with "
        f"kinds={{{column!r}: 'drop'}}",
        (column,),
        {"score": score},
    )


def sampled(rows: int, inputs: int, seed: int) -> Array:
    """Draw the rows of a trial, in their order; `inputs` counts what a row costs."""
    size = int(np.clip(MOST_CELLS // max(inputs, 1), 10 * LEAST_ROWS, MOST_ROWS))
    return np.sort(np.random.default_rng(seed).permutation(rows)[:size])


def _checked(X: Any, y: Any, classes: bool) -> tuple[Array, Array]:
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y)
    if X.ndim != 2 or not X.shape[1] or len(X) != len(y):
        raise ShapeError(
            f"X has shape {X.shape}, y has {len(y)} rows: expected (rows, inputs) and as many rows"
        )
    if len(y) < LEAST_ROWS:
        raise DataError(f"{len(y)} rows are too few to compare models on: {LEAST_ROWS} at least")
    if len(set(y.tolist())) < 2:
        raise DataError(
            f"the target is {y.tolist()[0]!r} in every row: there is nothing to predict"
        )
    # scikit-learn takes codes of classes for sure, whatever their names are
    return X, np.unique(y, return_inverse=True)[1] if classes else y.astype(np.float64)


def _ratio(y: Array) -> float:
    counts = np.unique(y, return_counts=True)[1]
    return float(counts.max() / counts.min())


def _scorer(classes: bool, balanced: bool) -> tuple[Callable[[Array, Array], float], str]:
    if not classes:
        return metrics.r2_score, "R²"
    if balanced:
        return metrics.balanced_accuracy_score, "balanced accuracy"
    return metrics.accuracy_score, "accuracy"


def _models(classes: bool, balanced: bool, seed: int) -> dict[str, Callable[[], Any]]:
    """Name the models, with calls that make them: guessing first."""
    dummy, linear, svm, forest, pipe, scale, compose = (
        need(f"sklearn.{name}", extra="sklearn", why="to compare models")
        for name in (
            *("dummy", "linear_model", "svm", "ensemble"),
            *("pipeline", "preprocessing", "compose"),
        )
    )
    trees = {"n_estimators": 50, "min_samples_leaf": 2, "random_state": seed}

    def scaled(model: Any) -> Any:
        return pipe.make_pipeline(scale.StandardScaler(), model)

    def target_scaled(model: Any) -> Any:
        return compose.TransformedTargetRegressor(scaled(model), transformer=scale.StandardScaler())

    if classes:
        weight = "balanced" if balanced else None
        return {
            "always the commonest": lambda: dummy.DummyClassifier(),
            "logistic regression": lambda: scaled(
                linear.LogisticRegression(max_iter=300, class_weight=weight)
            ),
            "support vector machine": lambda: scaled(svm.SVC(C=SOFT, class_weight=weight)),
            "random forest": lambda: forest.RandomForestClassifier(class_weight=weight, **trees),
        }
    return {
        "always the mean": lambda: dummy.DummyRegressor(),
        "ridge regression": lambda: scaled(linear.RidgeCV(np.logspace(-3, 3, 13))),
        "lasso": lambda: target_scaled(linear.LassoCV(alphas=np.logspace(-3, 0, 13), cv=3)),
        "support vector machine": lambda: target_scaled(svm.SVR(C=SOFT)),
        "random forest": lambda: forest.RandomForestRegressor(max_features=1 / 3, **trees),
    }


def _splits(y: Array, classes: bool, seed: int) -> list[tuple[Array, Array]]:
    """Divide rows into folds, twice, with even shares of each class as far as it goes."""
    selection = need("sklearn.model_selection", extra="sklearn", why="to compare models")
    even = classes and np.unique(y, return_counts=True)[1].max() >= FOLDS
    kind = selection.RepeatedStratifiedKFold if even else selection.RepeatedKFold
    splitter = kind(n_splits=FOLDS, n_repeats=REPEATS, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        return list(splitter.split(np.zeros((len(y), 1)), y))


def _fold_scores(
    make: Callable[[], Any],
    X: Array,
    y: Array,
    splits: list[tuple[Array, Array]],
    score: Callable[[Array, Array], float],
) -> Array:
    """Give the scores of the held-out rows of each fold."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a regression that stops early is scored as it is
        for train, held in splits:
            guess = np.asarray(make().fit(X[train], y[train]).predict(X[held]))
            found.append(float(score(y[held], guess)))
    return np.array(found)


def _summary(model: str, values: Array, ratio: float) -> Score:
    """Give the mean of the folds, and half of its 95 % interval.

    ``t * sqrt((1 / folds + test rows / training rows) * variance)``: folds share training rows, so
    that the plain standard error is too small.
    """
    error = np.sqrt((1 / len(values) + ratio) * values.var(ddof=1))
    return Score(model, float(values.mean()), float(T_95 * error))


def _interval(score: Score, *, sign: bool = False) -> str:
    return f"{score.mean:{'+' if sign else ''}.3f} ± {score.margin:.3f}"
