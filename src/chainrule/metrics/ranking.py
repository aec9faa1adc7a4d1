"""Scores of a ranking by score, for two classes: ROC, precision and recall.

>>> roc_auc_score(["no", "yes", "no"], [0.2, 0.9, 0.4])
1.0
"""

import numpy as np
from numpy.typing import ArrayLike

from chainrule.errors import ShapeError
from chainrule.metrics.checks import (
    Floats,
    finite_floats,
    ratio,
    row_weights,
    same_rows,
    true_codes,
)


def roc_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Compute the false positive rate, the true positive rate and the thresholds that give them.

    At threshold t a row counts as positive when ``y_score >= t``. Rows of equal score are one
    step; the curve starts at (0, 0) with threshold infinity. A rate over no rows is nan.
    ``y_score`` is (rows,), higher for the positive class, or (rows x 2). The positive class is the
    greater of the two; ``labels`` names both when only one of them is in ``y_true``.

    >>> roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])[0]
    array([0. , 0. , 0.5, 0.5, 1. ])
    """
    false, true, threshold = _steps(y_true, y_score, labels, sample_weight)
    start = np.zeros(1)
    false, true = np.concatenate([start, false]), np.concatenate([start, true])
    return (
        ratio(false, false[-1], empty=np.nan),
        ratio(true, true[-1], empty=np.nan),
        np.concatenate([[np.inf], threshold]),
    )


def roc_auc_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the ROC curve, for two classes.

    The trapezoid rule over ``roc_curve``: the probability that a positive row scores above a
    negative one, ties counting half (Hanley and McNeil, 1982). nan if a class has no rows.

    >>> roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    false, true, _ = roc_curve(y_true, y_score, labels=labels, sample_weight=sample_weight)
    return float(np.trapezoid(true, false))


def precision_recall_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and the thresholds that give them, thresholds ascending.

    Arguments as in ``roc_curve``. A last point (1, 0) without threshold closes the curve; recall
    is 1 everywhere if no row is positive.

    >>> precision_recall_curve([0, 1, 1], [0.1, 0.4, 0.8])[1]
    array([1. , 1. , 0.5, 0. ])
    """
    false, true, threshold = _steps(y_true, y_score, labels, sample_weight)
    precision = ratio(true, true + false)
    recall = ratio(true, true[-1], empty=1.0)
    return (
        np.concatenate([precision[::-1], [1.0]]),
        np.concatenate([recall[::-1], [0.0]]),
        threshold[::-1],
    )


def average_precision_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Precision averaged over the steps of recall, for two classes.

    ``sum over k of (R[k] - R[k-1]) * P[k]`` over thresholds, not interpolated; 0 if no row is
    positive. Arguments as in ``roc_curve``.

    >>> round(average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    """
    precision, recall, _ = precision_recall_curve(
        y_true, y_score, labels=labels, sample_weight=sample_weight
    )
    return max(0.0, float(-np.sum(np.diff(recall) * precision[:-1])))


def _steps(
    y_true: ArrayLike,
    y_score: ArrayLike,
    labels: ArrayLike | None,
    sample_weight: ArrayLike | None,
) -> tuple[Floats, Floats, Floats]:
    """Weight of false and of true positives at each distinct score, from high to low."""
    score = finite_floats("y_score", y_score)
    if score.ndim == 2 and score.shape[1] == 2:
        score = score[:, 1]
    if score.ndim != 1:
        message = f"y_score has shape {score.shape}: expected (rows,) or (rows, 2), two classes"
        raise ShapeError(message)
    positive = true_codes(y_true, labels, columns=2)
    same_rows(len(positive), len(score))
    weight = row_weights(sample_weight, len(score))
    order = np.argsort(-score, kind="stable")
    order = order[weight[order] > 0]  # a row of weight 0 makes no step
    score, positive, weight = score[order], positive[order], weight[order]
    last = np.append(np.nonzero(np.diff(score))[0], len(score) - 1)
    true = np.cumsum(weight * positive)[last]
    false = np.cumsum(weight * (1 - positive))[last]
    return false, true, score[last]
