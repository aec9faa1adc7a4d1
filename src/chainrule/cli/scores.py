"""How good a model is: scores, next to those of a linear model and of guessing.

>>> names = score(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
>>> {name: round(value, 3) for name, value in names.items()}
{'R²': 0.786, 'RMSE': 0.577, 'MAE': 0.333}

The first score of `score` is the one that tables and sentences are about.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule import metrics
from chainrule.cli.tables import Sample
from chainrule.errors import need
from chainrule.graph import Array
from chainrule.report.content import ClassRow, ScoreRow

REPEATS = 5
MOST_IMPORTANT = 100  # columns whose importance is measured
MOST_PREDICTED = 200_000  # rows that importance may cost, in all: a few seconds
MOST_ROWS = 2_000  # of one shuffling, which tell enough

Scores = dict[str, float]


class Prediction(NamedTuple):
    """What a model says about rows: classes or numbers, and the probabilities of all classes."""

    y: Array
    p: Array | None = None


class Rival(NamedTuple):
    """A model to compare with."""

    name: str
    role: str
    predict: Callable[[Any], Prediction]
    note: str = ""


def predicted(model: Any, X: Any) -> Prediction:
    """Predict with an estimator."""
    if hasattr(model, "predict_proba"):
        p = model.predict_proba(X)
        return Prediction(model.classes_[p.argmax(axis=1)], p)
    return Prediction(model.predict(X))


def score(
    y: Array, guess: Array, p: Array | None = None, *, classes: Any = None, weight: Any = None
) -> Scores:
    """Give the scores of classes with `classes`, else of numbers."""
    if classes is None:
        return {
            "R²": metrics.r2_score(y, guess, sample_weight=weight),
            "RMSE": metrics.root_mean_squared_error(y, guess, sample_weight=weight),
            "MAE": metrics.mean_absolute_error(y, guess, sample_weight=weight),
        }
    found = {
        "accuracy": metrics.accuracy_score(y, guess, sample_weight=weight),
        "balanced accuracy": metrics.balanced_accuracy_score(y, guess, sample_weight=weight),
    }
    if p is not None:
        found["log-loss"] = metrics.log_loss(y, p, labels=classes, sample_weight=weight)
    return found


def scores_of(prediction: Prediction, sample: Sample, classes: Any) -> Scores:
    """Score a prediction of the rows of a sample."""
    return score(sample.y, prediction.y, prediction.p, classes=classes, weight=sample.weight)


def linear_model(encoder: Any, train: Sample, classes: bool, class_weight: Any) -> Rival:
    """Fit scikit-learn's linear model to the inputs that the network has."""
    linear = need("sklearn.linear_model", extra="sklearn", why="to compare with a linear model")
    columns = _Columns(encoder, train.X)
    model = linear.LogisticRegression(max_iter=1000, class_weight=class_weight)
    model = model if classes else linear.Ridge()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(columns(train.X), train.y.tolist(), sample_weight=train.weight)
    late = any(issubclass(w.category, UserWarning) for w in caught)
    note = "stopped before it converged" if late else ""
    return Rival("linear model", "linear", lambda X: predicted(model, columns(X)), note)


class _Columns:
    """The columns of an encoded table as a matrix: codes become columns of 0 and 1."""

    def __init__(self, encoder: Any, X: Any) -> None:
        self.encoder = encoder
        self.one_hot: Any = None
        if encoder.cardinalities:
            sklearn = need("sklearn.preprocessing", "sklearn", "to compare with a linear model")
            self.one_hot = sklearn.OneHotEncoder(handle_unknown="ignore")
            self.one_hot.fit(encoder.transform(X).categories)

    def __call__(self, X: Any) -> Any:
        table = self.encoder.transform(X)
        if self.one_hot is None:
            return table.numbers.astype(np.float64)
        sparse = need("scipy.sparse", extra="fast", why="to compare with a linear model")
        parts = [sparse.csr_matrix(table.numbers), self.one_hot.transform(table.categories)]
        return sparse.hstack(parts).tocsr().astype(np.float64)


def guessing(train: Sample, classes: Any) -> Rival:
    """Make the model that looks at no column: the commonest class, or the mean."""
    weight = np.ones(len(train)) if train.weight is None else train.weight
    if classes is None:
        mean = float(np.average(train.y, weights=weight))
        return Rival("always the mean", "baseline", lambda X: Prediction(np.full(X.num_rows, mean)))
    share = np.array([weight[train.y == label].sum() for label in classes]) / weight.sum()
    commonest = int(share.argmax())

    def predict(X: Any) -> Prediction:
        guess = np.full(X.num_rows, classes[commonest], dtype=classes.dtype)
        return Prediction(guess, np.tile(share, (X.num_rows, 1)))

    return Rival(f"always {classes[commonest]}", "baseline", predict)


def score_rows(
    rivals: list[Rival], parts: dict[str, Sample], classes: Any
) -> tuple[list[ScoreRow], dict[str, dict[str, Scores]]]:
    """Score every model on every part: rows of a report, and all scores by model and part."""
    every: dict[str, dict[str, Scores]] = {}
    rows = []
    for rival in rivals:
        found = {
            part: scores_of(rival.predict(sample.X), sample, classes)
            for part, sample in parts.items()
        }
        every[rival.role] = found
        first = {part: next(iter(scores.values())) for part, scores in found.items()}
        rows.append(ScoreRow(rival.name, role=rival.role, note=rival.note, **first))  # type: ignore[arg-type]
    return rows, every


def class_rows(sample: Sample, guess: Array, classes: Any) -> list[ClassRow]:
    """Give precision, recall, F1 and rows of each class."""
    columns = metrics.precision_recall_f1(
        sample.y, guess, labels=classes, sample_weight=sample.weight
    )
    return [
        ClassRow(str(name), *(float(value) for value in values))
        for name, *values in zip(classes.tolist(), *columns, strict=True)
    ]


def calibration(sample: Sample, p: Array, classes: Any) -> list[tuple[float, float, float]]:
    """Give (confidence, share that was right, rows) of ten bins."""
    points = metrics.calibration_points(sample.y, p, labels=classes, sample_weight=sample.weight)
    return [(float(a), float(b), float(c)) for a, b, c in zip(*points, strict=True)]


def importance(
    model: Any, sample: Sample, columns: list[str], classes: Any, seed: int
) -> list[tuple[str, float, float]]:
    """Give for each column how much the score drops when its values are shuffled.

    Mean and standard deviation of 5 shufflings (Breiman, 2001; Fisher et al., 2019).
    """
    columns = columns[:MOST_IMPORTANT]
    affordable = max(MOST_PREDICTED // (REPEATS * len(columns)), 100)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(sample))[: min(affordable, MOST_ROWS)]
    sample = sample.take(np.sort(rows))
    n = len(sample)
    if n < 2:
        return []

    def first_score(guess: Array) -> float:
        found = score(sample.y, guess, classes=classes, weight=sample.weight)
        return next(iter(found.values()))

    before = first_score(predicted(model, sample.X).y)
    several = sample.X.take(np.tile(np.arange(n), REPEATS))
    found = []
    for name in columns:
        shuffled = np.concatenate([rng.permutation(n) for _ in range(REPEATS)])
        place = several.column_names.index(name)
        table = several.set_column(place, name, sample.X.column(name).take(shuffled))
        guess = predicted(model, table).y.reshape(REPEATS, n)
        drops = [before - first_score(part) for part in guess]
        found.append((name, float(np.mean(drops)), float(np.std(drops))))
    return sorted(found, key=lambda entry: -entry[1])
