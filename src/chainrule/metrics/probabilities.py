"""Scores of predicted probabilities against true labels.

>>> round(log_loss([0, 1], [0.1, 0.9]), 4)
0.1054
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.metrics.checks import (
    Floats,
    class_sums,
    finite_floats,
    row_weights,
    same_rows,
    true_codes,
    weighted_mean,
)

ROW_SUM_TOLERANCE = 0.01  # a float16 softmax passes, sigmoids of several classes do not


def log_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean of minus the logarithm of the probability that was given to the true class.

    ``-sum(w[i] * log(p[i, y_true[i]])) / sum(w)``, in nats; p is clipped to
    ``[eps, 1 - eps]`` of its dtype so that one sure mistake does not make the mean infinite.
    ``y_proba`` is (rows x classes), columns in the order of the sorted labels, or (rows,) with the
    probability of the second of two labels. ``labels`` names the classes when some of them are not
    in ``y_true``.

    >>> round(log_loss(["ham", "spam"], [0.2, 0.9]), 6)   # -(log 0.8 + log 0.9) / 2
    0.164252
    """
    code, probability = _probabilities(y_true, y_proba, labels)
    given = np.asarray(y_proba).dtype
    eps = np.finfo(given if given.kind == "f" else np.float64).eps
    chosen = np.clip(probability[np.arange(len(code)), code], eps, 1.0 - eps)
    return weighted_mean(-np.log(chosen), sample_weight)


def brier_score_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean squared distance between the probabilities and the truth (Brier, 1950).

    ``sum(w[i] * sum_c (p[i, c] - [y_true[i] == c])**2) / sum(w)``, halved for two classes, where
    it is ``mean (p - y)**2``. Arguments as in ``log_loss``.

    >>> round(brier_score_loss([0, 1], [0.2, 0.9]), 6)   # (0.2**2 + 0.1**2) / 2
    0.025
    """
    code, probability = _probabilities(y_true, y_proba, labels)
    error = probability.copy()
    error[np.arange(len(code)), code] -= 1.0
    score = weighted_mean(np.sum(error**2, axis=1), sample_weight)
    return score / 2.0 if error.shape[1] == 2 else score


def calibration_points(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    n_bins: int = 10,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[Floats, Floats, Floats]:
    """How sure the model was, how often it was right, and how many rows: one entry per bin.

    The confidence of a row is its largest probability; bin b holds the confidences in
    ``(b / n_bins, (b + 1) / n_bins]``, and empty bins are left out. Returned are the mean
    confidence, the share of right rows and the sum of weights. Arguments as in ``log_loss``.

    >>> confidence, share, rows = calibration_points([0, 1, 1], [[.9, .1], [.1, .9], [.6, .4]])
    >>> confidence.round(2), share, rows
    (array([0.6, 0.9]), array([0., 1.]), array([1., 2.]))
    """
    if n_bins < 1:
        message = f"n_bins is {n_bins}: expected 1 or more"
        raise ConfigError(message)
    code, probability = _probabilities(y_true, y_proba, labels)
    confidence = probability.max(axis=1)
    right = probability.argmax(axis=1) == code
    weight = row_weights(sample_weight, len(code))
    edges = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    place = np.searchsorted(edges, confidence)
    rows, sure, good = (
        class_sums(place, weight * value, n_bins)
        for value in (np.ones(len(code)), confidence, right)
    )
    used = rows > 0
    return sure[used] / rows[used], good[used] / rows[used], rows[used]


def expected_calibration_error(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    n_bins: int = 10,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean distance between how sure the model was and how often it was right (Guo et al., 2017).

    ``sum over bins (rows[b] / rows) * |share_right[b] - mean_confidence[b]|`` with the bins of
    ``calibration_points``: 0 is calibrated.

    >>> round(expected_calibration_error([0, 1, 1], [[.9, .1], [.1, .9], [.6, .4]]), 6)
    0.266667
    """
    confidence, share, rows = calibration_points(
        y_true, y_proba, n_bins=n_bins, labels=labels, sample_weight=sample_weight
    )
    return float(np.sum(rows * np.abs(share - confidence)) / np.sum(rows))


def _probabilities(
    y_true: ArrayLike, y_proba: ArrayLike, labels: ArrayLike | None
) -> tuple[NDArray[np.intp], Floats]:
    """Codes of the true classes, and the probabilities as float64 (rows x classes)."""
    probability = finite_floats("y_proba", y_proba)
    if probability.ndim not in (1, 2) or (probability.ndim == 2 and probability.shape[1] == 0):
        message = f"y_proba has shape {probability.shape}: expected (rows,) or (rows, classes)"
        raise ShapeError(message)
    outside = (probability < 0) | (probability > 1)
    if outside.any():
        place = np.argwhere(outside)[0].tolist()
        message = (
            f"y_proba is {probability[tuple(place)]:g} at index {place}: expected 0 ... 1; "
            "softmax or sigmoid turns logits into probabilities"
        )
        raise DataError(message)
    if probability.ndim == 1 or probability.shape[1] == 1:
        probability = probability.reshape(-1)
        probability = np.stack([1.0 - probability, probability], axis=1)
    total = probability.sum(axis=1)
    if (np.abs(total - 1.0) > ROW_SUM_TOLERANCE).any():
        row = int(np.argmax(np.abs(total - 1.0) > ROW_SUM_TOLERANCE))
        message = f"y_proba sums to {total[row]:g} in row {row}: expected 1"
        raise DataError(message)
    code = true_codes(y_true, labels, probability.shape[1])
    same_rows(len(code), len(probability))
    return code, probability
