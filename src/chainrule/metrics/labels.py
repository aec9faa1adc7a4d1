"""Scores of predicted labels against true labels.

>>> confusion_matrix([0, 0, 1], [0, 1, 1]).tolist()
[[1, 1], [0, 1]]
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.metrics.checks import (
    Floats,
    class_labels,
    class_sums,
    codes,
    label_pair,
    ratio,
    row_weights,
    short,
    weighted_mean,
)

Average = Literal["macro", "micro", "weighted"]


def accuracy_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Share of rows that are right.

    ``sum(w[i] * (y_true[i] == y_pred[i])) / sum(w)``; with an indicator matrix (rows x labels),
    a row is right when all its labels are.

    >>> accuracy_score([0, 1, 1, 0], [0, 1, 0, 0])
    0.75
    >>> accuracy_score([0, 1, 1, 0], [0, 1, 0, 0], sample_weight=[1, 1, 6, 0])
    0.25
    """
    truth, prediction = label_pair(y_true, y_pred)
    right = truth == prediction
    return weighted_mean(right if right.ndim == 1 else right.all(axis=1), sample_weight)


def hamming_loss(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Share of labels that are wrong.

    ``sum(w[i] * (y_true[i, j] != y_pred[i, j])) / (sum(w) * labels)`` for an indicator matrix
    (rows x labels); ``1 - accuracy`` for one label a row.

    >>> hamming_loss([[1, 0], [1, 1]], [[1, 1], [1, 1]])
    0.25
    """
    truth, prediction = label_pair(y_true, y_pred)
    wrong = truth != prediction
    return weighted_mean(wrong if wrong.ndim == 1 else wrong.mean(axis=1), sample_weight)


def confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    normalize: Literal["true", "pred", "all"] | None = None,
) -> NDArray[Any]:
    """Count the pairs of true label (row) and predicted label (column).

    ``C[a, b] = sum of w[i] where y_true[i] == labels[a] and y_pred[i] == labels[b]``; integers
    without weights. ``labels`` gives the order and may leave labels out; without it, all labels
    found, sorted. ``normalize`` divides by the row sum (``"true"``), the column sum (``"pred"``)
    or the total (``"all"``), where an empty sum leaves zeros.

    >>> confusion_matrix(["a", "b", "b"], ["a", "a", "b"])
    array([[1, 0],
           [1, 1]])
    >>> confusion_matrix(["a", "b", "b"], ["a", "a", "b"], normalize="true")
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    if normalize not in (None, "true", "pred", "all"):
        message = f"normalize is {normalize!r}: expected None, 'true', 'pred' or 'all'"
        raise ConfigError(message)
    truth, prediction = label_pair(y_true, y_pred)
    if truth.ndim != 1:
        message = "confusion_matrix takes one label a row; for an indicator matrix, one column"
        raise ShapeError(message)
    classes = class_labels(labels, truth, prediction)
    weight = row_weights(sample_weight, len(truth))
    row, column = codes(truth, classes), codes(prediction, classes)
    if labels is not None and not (row >= 0).any():
        message = f"none of the labels {short(classes)} is in y_true {short(np.unique(truth))}"
        raise DataError(message)
    size = len(classes)
    pair = np.where((row >= 0) & (column >= 0), row * size + column, -1)
    cells = class_sums(pair, weight, size * size).reshape(size, size)
    if normalize is None:
        return cells if sample_weight is not None else cells.astype(np.int64)
    total = {
        "true": cells.sum(axis=1, keepdims=True),
        "pred": cells.sum(axis=0, keepdims=True),
        "all": cells.sum(keepdims=True),
    }[normalize]
    return ratio(cells, total)


def balanced_accuracy_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Mean of the recalls of the classes that are in ``y_true``.

    ``mean over a of C[a, a] / sum(C[a])``, C the confusion matrix: guessing one class scores
    ``1 / classes`` whatever the shares of the classes.

    >>> balanced_accuracy_score([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    cells = confusion_matrix(y_true, y_pred, sample_weight=sample_weight)
    support = cells.sum(axis=1)
    present = support > 0
    return float(np.mean(np.diag(cells)[present] / support[present]))


def precision_recall_f1(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    average: Average | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Precision, recall, F1 and support of each class, or their average.

    ``precision = TP / (TP + FP)``, ``recall = TP / (TP + FN)``,
    ``F1 = 2 TP / (2 TP + FP + FN)``, ``support = TP + FN``; 0 where nothing is divided by nothing.
    ``average=None`` gives four arrays in the order of ``labels`` (all labels found, sorted);
    ``"macro"`` the mean over classes, ``"weighted"`` the mean weighted by support, ``"micro"``
    the formulas on the summed counts: three floats, and None for the support.
    An indicator matrix (rows x labels) has one class per column; it takes no ``labels``.

    >>> precision_recall_f1([0, 0, 1], [0, 1, 1])
    (array([1. , 0.5]), array([0.5, 1. ]), array([0.66666667, 0.66666667]), array([2, 1]))
    >>> precision_recall_f1([0, 0, 1], [0, 1, 1], average="macro")[:2]
    (0.75, 0.75)
    """
    if average not in (None, "macro", "micro", "weighted"):
        message = f"average is {average!r}: expected None, 'macro', 'micro' or 'weighted'"
        raise ConfigError(message)
    hit, predicted, support = _counts(y_true, y_pred, labels, sample_weight)
    if average == "micro":
        hit, predicted, support = hit.sum(), predicted.sum(), support.sum()
    precision, recall = ratio(hit, predicted), ratio(hit, support)
    f1 = ratio(2.0 * hit, predicted + support)
    if average is None:
        return precision, recall, f1, support if sample_weight is not None else support.astype(int)
    weight = support if average == "weighted" and support.sum() > 0 else np.ones_like(support)
    means = [float(np.average(score, weights=weight)) for score in (precision, recall, f1)]
    return means[0], means[1], means[2], None


def f1_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Averaged F1, see ``precision_recall_f1``; the default is the mean over the classes.

    >>> round(f1_score([0, 0, 1], [0, 1, 1]), 6)
    0.666667
    """
    scores = precision_recall_f1(
        y_true, y_pred, labels=labels, average=average, sample_weight=sample_weight
    )
    return float(scores[2])


def _counts(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    labels: ArrayLike | None,
    sample_weight: ArrayLike | None,
) -> tuple[Floats, Floats, Floats]:
    """Weight of the rows that are right, predicted and true, one entry per class."""
    truth, prediction = label_pair(y_true, y_pred)
    weight = row_weights(sample_weight, len(truth))
    if truth.ndim == 2:
        if labels is not None:
            message = "labels is for one label a row: leave it out with an indicator matrix"
            raise ConfigError(message)
        return (weight @ (truth * prediction), weight @ prediction, weight @ truth)
    classes = class_labels(labels, truth, prediction)
    row, column = codes(truth, classes), codes(prediction, classes)
    size = len(classes)
    hit = class_sums(np.where(row == column, row, -1), weight, size)
    return hit, class_sums(column, weight, size), class_sums(row, weight, size)
