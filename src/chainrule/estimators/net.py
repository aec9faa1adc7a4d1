"""`NetClassifier` and `NetRegressor`: any module as a scikit-learn estimator.

>>> from chainrule import nn
>>> from sklearn.datasets import load_iris
>>> X, y = load_iris(return_X_y=True)
>>> module = nn.Sequential(
...     nn.Linear(4, 32), nn.Activation("tanh"), nn.Residual(nn.Linear(32, 32)), nn.Linear(32, 3)
... )
>>> net = NetClassifier(module, epochs=60, lr=0.01, random_state=0)
>>> net.fit(X, y).score(X, y) > 0.95
True
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from chainrule.checkpoint import Checkpoint
from chainrule.data import Rows, split
from chainrule.errors import ConfigError, ShapeError
from chainrule.estimators.base import (
    Targets,
    dense_rows,
    fitting_batch_size,
    pair,
    row_weights,
    seed_of,
    weighted,
)
from chainrule.estimators.builders import HiddenLayers
from chainrule.estimators.inputs import validated, validated_rows
from chainrule.estimators.kinds import ForClasses, ForNumbers
from chainrule.estimators.persist import Saved
from chainrule.estimators.whole import OfRows
from chainrule.graph import Array, shape_of, value_of
from chainrule.nn.module import Module
from chainrule.optim import get_optimizer
from chainrule.plan import Plan
from chainrule.predicting import predict
from chainrule.training import Training


class _Net(OfRows, Saved, BaseEstimator):  # type: ignore[misc]
    """What the classifier and the regressor share."""

    saved_attributes: ClassVar[tuple[str, ...]] = (
        "classes_", "n_features_in_", "feature_names_in_", "n_outputs_", "n_iter_", "_task",
        "_flat_target", "_row_shape",
    )  # fmt: skip

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, kept: Checkpoint | None
    ) -> Self:
        X, y = validated(self, X, y, reset=True, allow_nd=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        target = self._encoded(y, X.dtype)
        weight = row_weights(sample_weight, getattr(self, "class_weight", None), y, X.dtype)
        seed = seed_of(self.random_state, kept)
        self._build(X, seed)
        rows, held_out = Rows((dense_rows(X, X.dtype),), target, weight), None
        if validation_data is not None:
            X_val, y_val = validated(self, *pair(validation_data), reset=False, allow_nd=True)
            self._check_row_shape(X_val)
            held_out = Rows((dense_rows(X_val, X.dtype),), self._encoded_again(y_val, X.dtype))
        elif self.validation_fraction:
            labels = y if getattr(self, "_task", "") in ("binary", "multiclass") else None
            keep, held = split(len(rows), self.validation_fraction, seed=seed, labels=labels)
            rows, held_out = rows.take(keep), rows.take(held)
        plan = self._plan(seed, rows, held_out, kept)
        training = Training(self.module_, self._loss, rows, held_out, plan)
        try:
            training.run()
        finally:
            self.history_ = training.history
            self.n_iter_ = len(training.history)
        return self

    def _build(self, X: Any, seed: int) -> None:
        """Copy the module, or let the function build one for the numbers of the data."""
        self._row_shape = tuple(X.shape[1:])
        given = HiddenLayers() if self.module is None else self.module
        if isinstance(given, Module):
            self.module_ = copy.deepcopy(given)
        elif callable(given):
            self.module_ = given(int(X.shape[1]), self.n_outputs_)
            if not isinstance(self.module_, Module):
                raise ConfigError(f"module: the function returned {self.module_!r}, no Module")
        else:
            raise ConfigError(
                f"module={given!r}: expected a chainrule.nn.Module, or a function of the numbers "
                "of inputs and outputs that builds one"
            )
        if self.initialize:
            self.module_.initialize(seed)
        self.module_.astype(X.dtype).eval()
        shape = shape_of(value_of(self.module_(dense_rows(X[:1])[:])))
        if shape != (1, self.n_outputs_):
            both = shape == (1, 2) and len(getattr(self, "classes_", ())) == 2
            raise ConfigError(
                f"module gives an output of shape {shape} for one row; the targets need "
                f"(1, {self.n_outputs_})" + ": one logit tells two classes apart" * both
            )

    def _plan(self, seed: int, rows: Rows, held_out: Rows | None, kept: Checkpoint | None) -> Plan:
        return Plan(
            optimizer=get_optimizer(
                self.optimizer, **({"lr": self.lr} if isinstance(self.optimizer, str) else {})
            ),
            epochs=self.epochs,
            batch_size=self._batch_size(rows),
            seed=seed,
            schedule=self.schedule,
            clip_norm=self.clip_norm,
            penalty=self.penalty,
            accumulate=self.accumulate,
            average=self.average,
            early_stopping=self.early_stopping,
            score=weighted(self._raw_score, held_out),
            checkpoint=kept,
            callbacks=self.callbacks or (),
            progress=bool(self.verbose),
            statistics=self.statistics,
            compile=self.compile,
        )

    def _batch_size(self, rows: Rows) -> Any:
        size, n = self.batch_size, len(rows)
        if size == "auto":
            return fitting_batch_size(self.module_, rows, min(200, n), warn=False)
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            return size  # which the plan refuses, or takes for all rows
        if size > n:
            warnings.warn(
                f"batch_size={size} is more than the {n} rows: a batch takes all", stacklevel=5
            )
        return fitting_batch_size(self.module_, rows, int(size), warn=True)

    def _raw(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validated_rows(self, X, allow_nd=True)
        self._check_row_shape(X)
        return predict(self.module_, (dense_rows(X),), self.compile)

    def _check_row_shape(self, X: Any) -> None:
        """Raise if a row has another shape than in training, which a layer might broadcast."""
        if X.shape[1:] != self._row_shape:
            raise ShapeError(
                f"X has shape {X.shape}; expected (rows, {str(self._row_shape)[1:-1].rstrip(',')})"
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class NetClassifier(ForClasses, _Net):
    """A module that gives logits, as a classifier.

    `module` is a `Module`, which is copied, or a function of the numbers of inputs and outputs that
    builds one: one output for two classes, one per class for more, one per label for a multi-label
    y; None is `chainrule.estimators.builders.HiddenLayers()`, 64 ReLU units. With `initialize` its
    weights are drawn anew from `random_state`; `initialize=False` goes on from the weights it has.
    `loss` is "log_loss" or another loss for classes, such as "focal"; `class_weight` is a
    dictionary or "balanced"; `label_smoothing` keeps probabilities away from 0 and 1. The rest is
    that of `chainrule.train` (docs/training.md), with batches of min(200, rows) for "auto"; where
    they leave a last row alone that the module refuses, as batch normalization does, they are of
    another size. It computes in the dtype of X, float32 or float64. `fit(..., checkpoint=DIR)` goes
    on from where a fit was stopped (docs/checkpoints.md).

    Fitted: `module_`, `history_`, `classes_`, `n_iter_`.

    >>> NetClassifier(epochs=5, random_state=0).fit([[0.0], [1.0]], ["a", "b"]).classes_
    array(['a', 'b'], dtype='<U1')
    """

    def __init__(
        self,
        module: Module | Callable[[int, int], Module] | None = None,
        *,
        loss: Any = "log_loss",
        optimizer: Any = "adam",
        lr: float = 1e-3,
        epochs: int = 100,
        batch_size: Any = "auto",
        schedule: Any = None,
        clip_norm: float | None = None,
        penalty: Any = None,
        accumulate: int = 1,
        average: Any = None,
        early_stopping: Any = None,
        validation_fraction: float | None = None,
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        initialize: bool = True,
        callbacks: Any = None,
        statistics: bool | int = False,
        verbose: Any = False,
        random_state: Any = None,
        compile: Any = "auto",  # noqa: A002 (the word of `chainrule.train`)
    ) -> None:
        self.module = module
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.penalty = penalty
        self.accumulate = accumulate
        self.average = average
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.initialize = initialize
        self.callbacks = callbacks
        self.statistics = statistics
        self.verbose = verbose
        self.random_state = random_state
        self.compile = compile

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        checkpoint: Any = None,
        every: Any = None,
    ) -> Self:
        """Fit to rows X and their classes y, or a matrix y of 0 and 1 with a column per label."""
        kept = Checkpoint.of(checkpoint, every)
        return self._fit(X, y, sample_weight, validation_data, kept)

    def _encoded(self, y: Any, dtype: Any) -> Array:
        self._set_targets(Targets.of_labels(y))
        return self._encoded_again(y, dtype)


class NetRegressor(ForNumbers, _Net):
    """A module that gives numbers, as a regressor; its parameters are those of `NetClassifier`.

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 20).reshape(-1, 1)
    >>> NetRegressor(epochs=100, lr=0.01, random_state=0).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.9
    True
    """

    def __init__(
        self,
        module: Module | Callable[[int, int], Module] | None = None,
        *,
        loss: Any = "squared_error",
        optimizer: Any = "adam",
        lr: float = 1e-3,
        epochs: int = 100,
        batch_size: Any = "auto",
        schedule: Any = None,
        clip_norm: float | None = None,
        penalty: Any = None,
        accumulate: int = 1,
        average: Any = None,
        early_stopping: Any = None,
        validation_fraction: float | None = None,
        initialize: bool = True,
        callbacks: Any = None,
        statistics: bool | int = False,
        verbose: Any = False,
        random_state: Any = None,
        compile: Any = "auto",  # noqa: A002 (the word of `chainrule.train`)
    ) -> None:
        self.module = module
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.penalty = penalty
        self.accumulate = accumulate
        self.average = average
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.initialize = initialize
        self.callbacks = callbacks
        self.statistics = statistics
        self.verbose = verbose
        self.random_state = random_state
        self.compile = compile

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        checkpoint: Any = None,
        every: Any = None,
    ) -> Self:
        """Fit to rows X and numbers y, of shape (rows,) or (rows, outputs)."""
        kept = Checkpoint.of(checkpoint, every)
        return self._fit(X, y, sample_weight, validation_data, kept)

    def _encoded(self, y: Any, dtype: Any) -> Array:
        self._set_outputs(y)
        return self._encoded_again(y, dtype)
