"""`MLPClassifier` and `MLPRegressor`: scikit-learn's, parameter for parameter, and more.

With scikit-learn's parameters they draw the same starting weights and the same batches from
`random_state`, so the weights agree to rounding. On top come dropout, normalization, an activation
per layer, any loss, class weights, optimizers, schedules, clipping, callbacks and validation data.

>>> from sklearn.datasets import load_iris
>>> X, y = load_iris(return_X_y=True)
>>> net = MLPClassifier((32, 16), activation=["relu", "tanh"], dropout=0.1, class_weight="balanced",
...                     max_iter=500, learning_rate_init=0.01, random_state=0)
>>> net.fit(X, y).score(X, y) > 0.95
True
"""

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, shuffle
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from chainrule import ops
from chainrule.data import Rows
from chainrule.errors import ConfigError, DataError
from chainrule.estimators.base import (
    Targets,
    classification_loss,
    dense_rows,
    inverse_link,
    pair,
    r_squared,
    regression_loss,
    row_weights,
    unique_labels,
    validated,
)
from chainrule.estimators.lbfgs import minimize
from chainrule.estimators.persist import Saved
from chainrule.functional import ACTIVATIONS
from chainrule.graph import Array, Value, no_grad
from chainrule.history import History
from chainrule.losses import Loss
from chainrule.nn.layers import Dropout, Linear, mlp
from chainrule.optim import SGD, Adam, AdamW, Optimizer, get_optimizer
from chainrule.stopping import EarlyStopping, ReduceOnPlateau
from chainrule.training import Plan, Training, predict


class _MLP(Saved, BaseEstimator):  # type: ignore[misc]
    """What the classifier and the regressor share."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "loss": [str, Loss, callable],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), "array-like", callable],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_norm": ["boolean"],
        "layer_norm": ["boolean"],
        "optimizer": [str, Optimizer, None],
        "schedule": [str, callable, None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "callbacks": [list, tuple, None],
    }

    saved_attributes = (
        "classes_", "n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_",
        "out_activation_", "n_iter_", "t_", "loss_", "best_loss_", "loss_curve_",
        "validation_scores_", "best_validation_score_", "_task", "_flat_target",
    )  # fmt: skip

    # Fitting, step by step.

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, incremental: bool
    ) -> Self:
        hidden = self._hidden_sizes()
        first = not hasattr(self, "module_") or not (self.warm_start or incremental)
        X, y = validated(self, X, y, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        target = self._encoded(y, first, incremental, X.dtype)
        weight = self._weights(sample_weight, y, X.dtype)
        self._random_state = check_random_state(self.random_state)
        if first:
            self._build([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        rows = Rows((dense_rows(X, X.dtype),), target, weight)
        if self._by_lbfgs():
            self._fit_lbfgs(rows)
        else:
            self._fit_stochastic(rows, y, validation_data, incremental)
        return self

    def _hidden_sizes(self) -> list[int]:
        given = self.hidden_layer_sizes
        sizes = list(given) if hasattr(given, "__iter__") else [given]
        for size in sizes:
            if isinstance(size, bool) or not isinstance(size, Integral):
                raise ConfigError(f"hidden_layer_sizes must be whole numbers, got {sizes}.")
        if any(size <= 0 for size in sizes):
            raise ConfigError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return [int(size) for size in sizes]

    def _build(self, units: list[int], dtype: Any) -> None:
        """Draw the starting weights in scikit-learn's order and range."""
        self.n_layers_ = len(units)
        self.out_activation_ = self._out_activation()
        activation = self.activation
        names = activation if isinstance(activation, str) or callable(activation) else None
        per_layer = [names] * (len(units) - 2) if names is not None else list(activation)
        self.module_ = mlp(
            units,
            per_layer,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
            layer_norm=self.layer_norm,
        ).astype(dtype)
        with no_grad():
            for i, layer in enumerate(self._linear()):
                logistic = i < len(per_layer) and per_layer[i] in ("logistic", "sigmoid")
                logistic = logistic or (i >= len(per_layer) and names == "logistic")
                bound = np.sqrt((2.0 if logistic else 6.0) / (units[i] + units[i + 1]))
                draw = self._random_state.uniform
                layer.weight.assign(draw(-bound, bound, (units[i], units[i + 1])).T)
                layer.bias.assign(draw(-bound, bound, units[i + 1]))
        for _, module in self.module_.named_modules():
            if isinstance(module, Dropout):
                module.initialize(self._random_state.randint(2**31))
        self.n_iter_ = 0
        self.t_ = 0
        self.module_.eval()
        if self._by_lbfgs():
            return
        self.loss_curve_: list[float] = []
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _linear(self) -> list[Any]:
        return [m for m in self.module_ if isinstance(m, Linear)]

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer, of shape (in, out); views that cannot be written to."""
        return [layer.weight.detach().numpy().T for layer in self._linear()]

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer; views that cannot be written to."""
        return [layer.bias.detach().numpy() for layer in self._linear()]

    def _penalty(self, total_weight: float) -> Value:
        weights = [layer.weight for layer in self._linear()]
        squares = sum(ops.sum(ops.mul(w, w)) for w in weights)
        return ops.mul(squares, 0.5 * float(self.alpha) / float(total_weight))

    def _fit_lbfgs(self, rows: Rows) -> None:
        penalty = self._penalty if self.alpha else None
        result = minimize(
            self.module_,
            self._loss,
            rows,
            penalty=penalty,
            max_iter=self.max_iter,
            max_fun=self.max_fun,
            tol=self.tol,
        )
        self.n_iter_, self.loss_ = result.iterations, result.loss
        if not result.converged:
            warnings.warn(
                f"lbfgs failed to converge after {result.iterations} iteration(s): "
                f"{result.message}. Increase max_iter or max_fun, or scale the data",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _fit_stochastic(self, rows: Rows, y: Any, validation_data: Any, incremental: bool) -> None:
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        rows, held_out = self._held_out(rows, y, validation_data)
        batch_size = self._batch_size(len(rows))
        updater = getattr(self, "_updater", None) if incremental else None
        training = Training(
            self.module_, self._loss, rows, held_out, self._plan(rows, batch_size, incremental),
            updater,
        )  # fmt: skip
        self._updater = training.updater
        try:
            training.run()
        finally:
            self._keep(training, len(rows))
        if training.history.reason == "interrupted":
            warnings.warn("Training interrupted by user.", stacklevel=4)
        elif training.history.reason == "epochs" and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _batch_size(self, n: int) -> int:
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped",
                stacklevel=5,
            )
        return int(min(self.batch_size, n))

    def _plan(self, rows: Rows, batch_size: int, incremental: bool) -> Plan:
        n, first = len(rows), self.t_
        index = [np.arange(n)]

        def order(epoch: int) -> Array:
            index[0] = shuffle(index[0], random_state=self._random_state)
            return index[0]

        def inverse_scaling(epoch: float) -> float:
            return float((first + n * epoch + 1) ** -self.power_t) if epoch else 1.0

        plain = self.schedule is None and self.optimizer is None and self.solver == "sgd"
        schedule = inverse_scaling if plain and self.learning_rate == "invscaling" else self.schedule
        return Plan(
            optimizer=self._optimizer(),
            epochs=1 if incremental else self.max_iter,
            batch_size=batch_size,
            shuffle=order if self.shuffle else False,
            schedule=schedule,
            schedule_by="epoch" if schedule is inverse_scaling else "step",
            clip_norm=self.clip_norm,
            penalty=self._penalty if self.alpha else None,
            early_stopping=EarlyStopping(
                patience=self.n_iter_no_change + 1,
                min_delta=self.tol,
                monitor="validation_score" if self.early_stopping else "loss",
                restore_best=self.early_stopping,
            ),
            plateau=ReduceOnPlateau() if plain and self.learning_rate == "adaptive" else None,
            score=self._raw_score,
            callbacks=self.callbacks or (),
            progress=bool(self.verbose),
        )

    def _optimizer(self) -> Optimizer:
        rate, decay = float(self.learning_rate_init), float(self.weight_decay)
        if self.optimizer is not None:
            given = {"lr": rate} | ({"weight_decay": decay} if decay else {})
            return get_optimizer(self.optimizer, **(given if isinstance(self.optimizer, str) else {}))
        if self.solver == "sgd":
            nesterov = bool(self.nesterovs_momentum) and self.momentum > 0
            return SGD(rate, decay, float(self.momentum), nesterov=nesterov, rate_inside=True)
        betas = {"beta1": self.beta_1, "beta2": self.beta_2, "eps": self.epsilon, "eps_hat": True}
        return AdamW(rate, decay, **betas) if decay else Adam(rate, **betas)

    def _held_out(self, rows: Rows, y: Any, validation_data: Any) -> tuple[Rows, Rows | None]:
        if validation_data is not None:
            X_val, y_val = validated(self, *pair(validation_data), reset=False)
            target = self._encoded_again(y_val, X_val.dtype)
            return rows, Rows((dense_rows(X_val, X_val.dtype),), target)
        if not self.early_stopping:
            return rows, None
        alike = self.n_outputs_ == 1 and isinstance(self, ClassifierMixin)
        keep, held = train_test_split(
            np.arange(len(rows)),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=y if alike else None,
        )
        if len(held) < 2:
            raise DataError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        return rows.take(keep), rows.take(held)

    def _keep(self, training: Training, n: int) -> None:
        """Take over what the training went through as scikit-learn's attributes."""
        history: History = training.history
        self.history_ = history
        if not len(history):
            return
        self.n_iter_ = len(history)
        self.t_ += n * len(history)
        self.loss_curve_ = [*self.loss_curve_, *history["loss"]]
        self.loss_ = history["loss"][-1]
        if self.early_stopping:
            scores = history["validation_score"]
            self.validation_scores_ = [*self.validation_scores_, *scores]
            self.best_validation_score_ = max([self.best_validation_score_, *scores])
        else:
            self.best_loss_ = min([self.best_loss_, *history["loss"]])

    def _raw(self, X: Any) -> Array:
        X = validate_data(
            self, X, accept_sparse=["csr", "csc"], reset=False, dtype=(np.float64, np.float32)
        )
        return predict(self.module_, (dense_rows(X, X.dtype),))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _by_lbfgs(self) -> bool:
        return bool(self.solver == "lbfgs" and self.optimizer is None)

    def _can_fit_partially(self) -> bool:
        if self._by_lbfgs():
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic."
            )
        return True


class MLPClassifier(ClassifierMixin, _MLP):  # type: ignore[misc]
    """Multi-layer perceptron for classes or labels, with scikit-learn's parameters and more.

    The loss is -sum_j t_j log(p_j) of softmax probabilities p for several classes, the same for
    two classes with one sigmoid unit, and its sum over the labels for a multi-label y; plus
    alpha / 2 * sum(W^2) / rows. `hidden_layer_sizes` to `max_fun` mean what they mean in
    scikit-learn. Beyond them:

    * `loss`: "log_loss", "focal", "hinge", any loss of `chainrule.losses`, or a function;
    * `activation`: any of `chainrule.functional`, or one per hidden layer;
    * `dropout`, `batch_norm`, `layer_norm` act in every hidden layer;
    * `class_weight`: a dictionary or "balanced";
    * `optimizer`, `schedule`, `clip_norm`, `weight_decay` (decoupled for Adam), `callbacks`;
    * `fit(..., validation_data=(X, y))` fills `history_` and serves `early_stopping`.

    Fitted: `module_`, `history_`, `coefs_`, `intercepts_`, `classes_`, `loss_curve_`, `best_loss_`,
    `validation_scores_`, `n_iter_`, `t_`, `n_layers_`, `n_outputs_`, `out_activation_`.

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    >>> MLPClassifier((), solver="lbfgs", alpha=0.01, random_state=0).fit(X, y).predict([[2.5]])
    array([1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_MLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        loss: Any = "log_loss",
        dropout: float = 0.0,
        batch_norm: bool = False,
        layer_norm: bool = False,
        class_weight: Any = None,
        optimizer: Any = None,
        schedule: Any = None,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
        callbacks: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.layer_norm = layer_norm
        self.class_weight = class_weight
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.weight_decay = weight_decay
        self.callbacks = callbacks

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None) -> Self:
        """Fit to rows X and their classes y, or a matrix y of 0 and 1 with a column per label."""
        return self._fit(X, y, sample_weight, validation_data, incremental=False)

    @available_if(lambda self: self._can_fit_partially())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Make one pass over rows; the first call names all `classes`."""
        if _check_partial_fit_first_call(self, classes):
            labels = Targets.of_labels(np.asarray(y))
            known = unique_labels(classes)
            self._targets = labels if labels.task == "multilabel" else Targets.of_classes(known)
            self.classes_ = self._targets.classes
        return self._fit(X, y, sample_weight, None, incremental=True)

    def _after_load(self) -> None:
        self._targets = Targets(self._task, self.classes_)
        self._loss = classification_loss(self.loss, self._task)

    def _encoded(self, y: Any, first: bool, incremental: bool, dtype: Any) -> Array:
        if not incremental:
            targets = Targets.of_labels(y)
            if not first and list(targets.classes) != list(self.classes_):
                raise DataError(
                    "warm_start can only be used where `y` has the same classes as in the "
                    f"previous call to fit. Previously got {self.classes_}, `y` has "
                    f"{targets.classes}"
                )
            self._targets, self.classes_ = targets, targets.classes
        self.n_outputs_, self._task = self._targets.outputs, self._targets.task
        self._loss = classification_loss(self.loss, self._targets.task)
        return self._encoded_again(y, dtype)

    def _encoded_again(self, y: Any, dtype: Any) -> Array:
        return self._targets.encode(y, dtype)

    def _weights(self, sample_weight: Any, y: Any, dtype: Any) -> Array | None:
        return row_weights(sample_weight, self.class_weight, y, dtype)

    def _out_activation(self) -> str:
        return "softmax" if self._targets.task == "multiclass" else "logistic"

    def _raw_score(self, raw: Array, target: Array) -> float:
        return self._targets.accuracy(raw, target, self._loss)

    def predict(self, X: Any) -> Array:
        """Give the most probable class of each row, or the labels that are more likely than not."""
        check_is_fitted(self)
        return self._targets.decide(self._raw(X), self._loss)

    def predict_proba(self, X: Any) -> Array:
        """Give the probability of each class or label: shape (rows, classes)."""
        check_is_fitted(self)
        return self._targets.probabilities(self._raw(X), self._loss)

    def predict_log_proba(self, X: Any) -> Array:
        """Give the logarithm of the probabilities."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, _MLP):  # type: ignore[misc]
    """Multi-layer perceptron for numbers, with scikit-learn's parameters and more.

    The loss is half of the squared error, or half of the Poisson deviance with an exponential
    output, summed over the outputs; plus alpha / 2 * sum(W^2) / rows. What comes beyond
    scikit-learn's parameters is described in `MLPClassifier`.

    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> net = MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", random_state=0)
    >>> net.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.99
    True
    """

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        batch_norm: bool = False,
        layer_norm: bool = False,
        optimizer: Any = None,
        schedule: Any = None,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
        callbacks: Any = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.layer_norm = layer_norm
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.weight_decay = weight_decay
        self.callbacks = callbacks

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None) -> Self:
        """Fit to rows X and numbers y, of shape (rows,) or (rows, outputs)."""
        return self._fit(X, y, sample_weight, validation_data, incremental=False)

    @available_if(lambda self: self._can_fit_partially())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Make one pass over rows."""
        return self._fit(X, y, sample_weight, None, incremental=True)

    def _after_load(self) -> None:
        self._loss = regression_loss(self.loss)

    def _encoded(self, y: Any, first: bool, incremental: bool, dtype: Any) -> Array:
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self._flat_target = y.ndim == 1
        self._loss = regression_loss(self.loss)
        return self._encoded_again(y, dtype)

    def _encoded_again(self, y: Any, dtype: Any) -> Array:
        target = np.asarray(y, dtype=dtype).reshape(len(y), -1)
        if self._loss.output == "log rates" and (target < 0).any():
            row = int(np.flatnonzero((target < 0).any(axis=1))[0])
            raise DataError(f"loss poisson needs y >= 0, but y is {target[row]} in row {row}")
        return target

    def _weights(self, sample_weight: Any, y: Any, dtype: Any) -> Array | None:
        return row_weights(sample_weight, None, y, dtype)

    def _out_activation(self) -> str:
        return "exp" if self._loss.output == "log rates" else "identity"

    def _raw_score(self, raw: Array, target: Array) -> float:
        return r_squared(inverse_link(raw, self._loss), target)

    def predict(self, X: Any) -> Array:
        """Give the predicted number or numbers of each row."""
        check_is_fitted(self)
        prediction = inverse_link(self._raw(X), self._loss)
        return prediction[:, 0] if self._flat_target else prediction


