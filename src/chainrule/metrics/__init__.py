"""Scores of predictions, with scikit-learn's names and meanings, on NumPy alone.

>>> accuracy_score(["cat", "dog", "dog"], ["cat", "dog", "cat"])
0.6666666666666666
>>> METRICS["accuracy"].greater_is_better
True

Every function takes the truth first, then the prediction, then ``sample_weight`` by name: one
number per row, not negative, not all zero. ``METRICS`` finds a score by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from chainrule.errors import ConfigError
from chainrule.metrics.labels import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    hamming_loss,
    precision_recall_f1,
)
from chainrule.metrics.probabilities import (
    brier_score_loss,
    calibration_points,
    expected_calibration_error,
    log_loss,
)
from chainrule.metrics.ranking import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from chainrule.metrics.values import (
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)

__all__ = [
    "METRICS",
    "Metric",
    "accuracy_score",
    "average_precision_score",
    "balanced_accuracy_score",
    "brier_score_loss",
    "calibration_points",
    "confusion_matrix",
    "expected_calibration_error",
    "f1_score",
    "get_metric",
    "hamming_loss",
    "log_loss",
    "mean_absolute_error",
    "mean_squared_error",
    "precision_recall_curve",
    "precision_recall_f1",
    "r2_score",
    "roc_auc_score",
    "roc_curve",
    "root_mean_squared_error",
]


@dataclass(frozen=True)
class Metric:
    """A score, which way is better, and what it compares the truth with.

    ``needs`` is ``"labels"`` (predicted classes), ``"probabilities"`` (rows x classes; the function
    then takes ``labels=`` too) or ``"values"`` (predicted numbers).
    """

    function: Callable[..., float]
    greater_is_better: bool
    needs: Literal["labels", "probabilities", "values"]


# fmt: off
METRICS: Mapping[str, Metric] = MappingProxyType({
    "accuracy":                   Metric(accuracy_score,             True,  "labels"),
    "balanced_accuracy":          Metric(balanced_accuracy_score,    True,  "labels"),
    "f1":                         Metric(f1_score,                   True,  "labels"),
    "hamming_loss":               Metric(hamming_loss,               False, "labels"),
    "log_loss":                   Metric(log_loss,                   False, "probabilities"),
    "brier":                      Metric(brier_score_loss,           False, "probabilities"),
    "expected_calibration_error": Metric(expected_calibration_error, False, "probabilities"),
    "roc_auc":                    Metric(roc_auc_score,              True,  "probabilities"),
    "average_precision":          Metric(average_precision_score,    True,  "probabilities"),
    "r2":                         Metric(r2_score,                   True,  "values"),
    "mean_squared_error":         Metric(mean_squared_error,         False, "values"),
    "root_mean_squared_error":    Metric(root_mean_squared_error,    False, "values"),
    "mean_absolute_error":        Metric(mean_absolute_error,        False, "values"),
})
# fmt: on


def get_metric(name: str) -> Metric:
    """Find a metric of ``METRICS``, or say which names there are.

    >>> get_metric("r2").needs
    'values'
    """
    if name not in METRICS:
        message = f"unknown metric {name!r}: expected one of {', '.join(METRICS)}"
        raise ConfigError(message)
    return METRICS[name]
