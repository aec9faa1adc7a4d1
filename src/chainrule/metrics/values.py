"""Scores of predicted numbers against true numbers.

>>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
1.0
"""

import numpy as np
from numpy.typing import ArrayLike

from chainrule.metrics.checks import row_weights, value_pair, weighted_mean


def mean_squared_error(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Mean of the squared errors: ``sum(w * (y_true - y_pred)**2) / sum(w)``.

    Several outputs (rows x outputs) are averaged.

    >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    truth, prediction = value_pair(y_true, y_pred)
    return weighted_mean(np.mean((truth - prediction) ** 2, axis=1), sample_weight)


def root_mean_squared_error(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Root of the mean squared error, in the unit of y; the mean of the roots for several outputs.

    >>> root_mean_squared_error([1.0, 2.0], [1.0, 4.0])
    1.4142135623730951
    """
    truth, prediction = value_pair(y_true, y_pred)
    weight = row_weights(sample_weight, len(truth))
    return float(np.mean(np.sqrt(np.average((truth - prediction) ** 2, axis=0, weights=weight))))


def mean_absolute_error(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Mean of the absolute errors: ``sum(w * |y_true - y_pred|) / sum(w)``, in the unit of y.

    >>> mean_absolute_error([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    truth, prediction = value_pair(y_true, y_pred)
    return weighted_mean(np.mean(np.abs(truth - prediction), axis=1), sample_weight)


def r2_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Share of the variance of y that is explained; 0 is as good as predicting the mean.

    ``1 - sum(w * (y_true - y_pred)**2) / sum(w * (y_true - mean)**2)``, mean weighted; if y is
    constant, 1 for an exact prediction and 0 otherwise; nan for a single row. Several outputs
    (rows x outputs) are averaged.

    >>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    truth, prediction = value_pair(y_true, y_pred)
    weight = row_weights(sample_weight, len(truth))[:, None]
    if len(truth) < 2:
        return float("nan")
    mean = np.average(truth, axis=0, weights=weight[:, 0])
    error = np.sum(weight * (truth - prediction) ** 2, axis=0)
    total = np.sum(weight * (truth - mean) ** 2, axis=0)
    score = np.where(error == 0.0, 1.0, 0.0)
    varied = (total != 0.0) & (error != 0.0)
    score[varied] = 1.0 - error[varied] / total[varied]
    return float(np.mean(score))
