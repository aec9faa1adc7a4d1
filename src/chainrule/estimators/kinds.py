"""What classifiers of one net have in common, and regressors: targets, scores and predictions.

They stand before the class that fits `module_` and gives `_raw(X)`, what the module says:

>>> from chainrule.estimators.mlp import MLPClassifier
>>> issubclass(MLPClassifier, ForClasses)
True
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from chainrule.errors import DataError
from chainrule.estimators.base import (
    Targets,
    classification_loss,
    inverse_link,
    r_squared,
    regression_loss,
)
from chainrule.graph import Array, Value


class ForClasses(ClassifierMixin):  # type: ignore[misc]
    """A classifier, for two classes, several, or several labels per row."""

    loss: Any
    label_smoothing: float
    _task: str
    _raw: Callable[[Any], Array]

    def _set_targets(self, targets: Targets) -> None:
        self._targets, self._task = targets, targets.task
        self.classes_, self.n_outputs_ = targets.classes, targets.outputs
        self._loss = classification_loss(self.loss, targets.task, self.label_smoothing)

    def _after_load(self) -> None:
        self._set_targets(Targets(self._task, self.classes_))

    def _encoded_again(self, y: Any, dtype: Any) -> Array:
        return self._targets.encode(y, dtype)

    def _raw_score(self, raw: Array, target: Array, weight: Array | None = None) -> float:
        return self._targets.accuracy(raw, target, self._loss, weight)

    def predict(self, X: Any) -> Array:
        """Give the most probable class of each row, or the labels that are more likely than not."""
        check_is_fitted(self)
        return self._targets.decide(self._raw(X), self._loss)

    def predict_proba(self, X: Any) -> Array:
        """Give the probability of each class or label: shape (rows, classes)."""
        check_is_fitted(self)
        return self._targets.probabilities(self._raw(X), self._loss)

    def _outputs(self, raw: Value) -> dict[str, Value]:
        found = {"label": self._targets.positions(raw, self._loss)}
        if self._loss.output not in ("margins", "scores"):
            found["probabilities"] = self._targets.probabilities(raw, self._loss)
        return found

    def predict_log_proba(self, X: Any) -> Array:
        """Give the logarithm of the probabilities."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class ForNumbers(RegressorMixin):  # type: ignore[misc]
    """A regressor, of one number or several per row."""

    loss: Any
    _raw: Callable[[Any], Array]

    def _set_outputs(self, y: Any) -> None:
        self._flat_target = y.ndim == 1
        self.n_outputs_ = 1 if y.ndim == 1 else int(y.shape[1])
        self._after_load()

    def _after_load(self) -> None:
        self._loss = regression_loss(self.loss)

    def _encoded_again(self, y: Any, dtype: Any) -> Array:
        target = np.asarray(y, dtype=dtype).reshape(len(y), -1)
        if self._loss.output == "log rates" and (target < 0).any():
            row = int(np.flatnonzero((target < 0).any(axis=1))[0])
            raise DataError(f"loss poisson needs y >= 0, but y is {target[row]} in row {row}")
        return target

    def _raw_score(self, raw: Array, target: Array, weight: Array | None = None) -> float:
        return r_squared(inverse_link(raw, self._loss), target, weight)

    def predict(self, X: Any) -> Array:
        """Give the predicted number or numbers of each row."""
        check_is_fitted(self)
        prediction: Array = self._outputs(self._raw(X))["prediction"]
        return prediction

    def _outputs(self, raw: Value) -> dict[str, Value]:
        values = inverse_link(raw, self._loss)
        return {"prediction": values[:, 0] if self._flat_target else values}
