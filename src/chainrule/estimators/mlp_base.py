"""How the multi-layer perceptrons of `chainrule.estimators.mlp` are fitted, step by step."""

import warnings
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight

from chainrule import ops
from chainrule.averaging import SWA
from chainrule.checkpoint import Checkpoint
from chainrule.data import Rows
from chainrule.errors import ConfigError, DataError
from chainrule.estimators.base import (
    dense_rows,
    fitting_batch_size,
    pair,
    seed_of,
    weighted,
)
from chainrule.estimators.inputs import validated, validated_rows
from chainrule.estimators.lbfgs import minimize
from chainrule.estimators.persist import Saved
from chainrule.estimators.whole import OfRows
from chainrule.functional import ACTIVATIONS
from chainrule.graph import Array, Value, no_grad
from chainrule.history import History
from chainrule.losses import Loss
from chainrule.nn.dropout import Dropout
from chainrule.nn.layers import Linear, mlp
from chainrule.optim import SGD, Adam, AdamW, Optimizer, get_optimizer
from chainrule.penalties import Penalized, Penalty, check_penalty
from chainrule.plan import Plan
from chainrule.predicting import predict
from chainrule.stopping import EarlyStopping, ReduceOnPlateau
from chainrule.training import Training


@dataclass(frozen=True)
class _Ridge:
    """alpha / 2 * sum(W^2) / rows, scikit-learn's penalty."""

    alpha: float
    weights: list[Any] = field(repr=False)

    def __call__(self, total_weight: Value) -> Value:
        squares = sum(ops.sum(ops.mul(w, w)) for w in self.weights)
        return ops.mul(squares, ops.div(0.5 * self.alpha, total_weight))


@dataclass(frozen=True)
class _InverseScaling:
    """1 / (rows seen + 1)^power, scikit-learn's "invscaling"; earlier fits saw those `before`.

    The first epoch has 1, unless it goes on with the optimizer of an earlier call.
    """

    power: float
    rows: int
    before: int
    goes_on: bool = field(default=False, repr=False)  # not in the words of a checkpoint

    def __call__(self, epoch: float) -> float:
        if not (epoch or self.goes_on):
            return 1.0
        return float((self.before + self.rows * epoch + 1) ** -self.power)


_OF_EPOCHS = (
    "history_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_",
    "_progress",
)  # fmt: skip
"""What a fit by epochs leaves behind, and L-BFGS has not."""


class BaseMLP(OfRows, Saved, BaseEstimator):  # type: ignore[misc]
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
        "penalty": [Penalty, dict, list, callable, None],
        "average": [Interval(Real, 0, 1, closed="neither"), SWA, None],
        "callbacks": [list, tuple, None],
        "statistics": ["boolean", Interval(Integral, 0, None, closed="left")],
        "compile": ["boolean", StrOptions({"auto", "numba", "numpy", "jax"})],
    }

    saved_attributes = (
        "classes_", "n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_",
        "out_activation_", "n_iter_", "t_", "loss_", "best_loss_", "loss_curve_",
        "validation_scores_", "best_validation_score_", "_task", "_flat_target",
    )  # fmt: skip

    # Fitting, step by step.

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation_data: Any,
        kept: Checkpoint | None,
        *,
        incremental: bool,
    ) -> Self:
        hidden = self._hidden_sizes()
        first = not hasattr(self, "module_") or not (self.warm_start or incremental)
        if kept is not None and (self._by_lbfgs() or not first):
            what = "solver='lbfgs' keeps none" if first else "warm_start goes on from other weights"
            raise ConfigError(f"checkpoint={str(kept.folder)!r}: {what}")
        X, y = validated(self, X, y, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        target = self._encoded(y, first, incremental, X.dtype)
        weight = self._weights(sample_weight, y, X.dtype)
        seed = self.random_state
        self._seed = int(seed) if isinstance(seed, Integral) else None
        if kept is not None and self.random_state is None:
            self._seed = seed_of(None, kept)
        given = self.random_state if self._seed is None else self._seed
        self._random_state = check_random_state(given)
        if first:
            self._build([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        rows = Rows((dense_rows(X, X.dtype),), target, weight)
        if self._by_lbfgs():
            self._fit_lbfgs(rows, validation_data)
        else:
            self._fit_stochastic(rows, y, validation_data, kept, incremental)
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
        self._forget("_updater", "_progress")
        if self._by_lbfgs():
            return
        self.loss_curve_: list[float] = []
        self.best_loss_: Any = None if self.early_stopping else np.inf
        self.validation_scores_: Any = [] if self.early_stopping else None
        self.best_validation_score_: Any = -np.inf if self.early_stopping else None

    def _forget(self, *names: str) -> None:
        for name in names:
            self.__dict__.pop(name, None)

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

    def _penalties(self) -> list[Any] | None:
        """Put alpha and the penalty together."""
        own = self.penalty if isinstance(self.penalty, list) else [self.penalty]
        ridge = _Ridge(float(self.alpha), [layer.weight for layer in self._linear()])
        found = [ridge if self.alpha else None, *own]
        return [part for part in found if part is not None] or None

    def _fit_lbfgs(self, rows: Rows, validation_data: Any) -> None:
        given = self._penalties()
        check_penalty(given)
        penalty = None if given is None else Penalized(given, dict(self.module_.named_parameters()))
        missing = {
            "average": self.average is not None,
            "statistics": self.statistics,
            "weight_decay": self.weight_decay,
            "clip_norm": self.clip_norm is not None,
            "schedule": self.schedule is not None,
            "callbacks": self.callbacks,
            "validation_data": validation_data is not None,
            "an L1 penalty with exact zeros": penalty and penalty.thresholds,
        }
        for what in (name for name, asked in missing.items() if asked):
            raise ConfigError(f"solver='lbfgs' has no {what}: use solver='adam' or 'sgd'")
        result = minimize(
            self.module_,
            self._loss,
            rows,
            penalty=penalty.term if penalty else None,
            max_iter=self.max_iter,
            max_fun=self.max_fun,
            tol=self.tol,
        )
        self._forget(*_OF_EPOCHS)
        self.n_iter_, self.loss_ = result.iterations, result.loss
        if not result.converged:
            warnings.warn(
                f"lbfgs failed to converge after {result.iterations} iteration(s): "
                f"{result.message}. Increase max_iter or max_fun, or scale the data",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _fit_stochastic(
        self, rows: Rows, y: Any, validation_data: Any, kept: Checkpoint | None, incremental: bool
    ) -> None:
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.average is not None and incremental:
            raise ValueError("partial_fit does not support average")
        rows, held_out = self._held_out(rows, y, validation_data)
        batch_size = self._batch_size(rows)
        updater = getattr(self, "_updater", None) if incremental else None
        training = Training(
            self.module_, self._loss, rows, held_out,
            self._plan(rows, held_out, batch_size, kept, incremental), updater,
        )  # fmt: skip
        self._updater = training.updater
        self._go_on(training, incremental)
        try:
            training.run()
        finally:
            self._keep(training, len(rows))
        if training.history.reason == "epochs" and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _go_on(self, training: Training, incremental: bool) -> None:
        """Go on from the epochs without progress, and in `partial_fit` from the learning rate."""
        if not hasattr(self, "_progress"):
            return
        before, factor = self._progress
        watch = training.watch
        if watch and before and watch.rule.monitor == before.rule.monitor:
            watch.restore(before.state() | {"best_epoch": None})
            training.best = training.kept if watch.rule.restore_best else None
        if incremental:
            training.rate_factor = factor

    def _batch_size(self, rows: Rows) -> int:
        n = len(rows)
        if self.batch_size == "auto":
            return fitting_batch_size(self.module_, rows, min(200, n), warn=False)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped",
                stacklevel=5,
            )
        return fitting_batch_size(self.module_, rows, int(min(self.batch_size, n)), warn=True)

    def _plan(
        self,
        rows: Rows,
        held_out: Rows | None,
        batch_size: int,
        kept: Checkpoint | None,
        incremental: bool,
    ) -> Plan:
        n = len(rows)
        index = [np.arange(n)]

        def order(epoch: int) -> Array:
            drawn = np.arange(n)  # as scikit-learn draws it
            self._random_state.shuffle(drawn)
            index[0] = index[0][drawn]
            return index[0]

        plain = self.schedule is None and self.optimizer is None and self.solver == "sgd"
        schedule = self.schedule
        if plain and self.learning_rate == "invscaling":
            schedule = _InverseScaling(self.power_t, n, self.t_, incremental)
        return Plan(
            optimizer=self._optimizer(),
            epochs=1 if incremental else self.max_iter,
            batch_size=batch_size,
            shuffle=order if self.shuffle else False,
            seed=self._seed,
            schedule=schedule,
            schedule_by="epoch" if isinstance(schedule, _InverseScaling) else "step",
            clip_norm=self.clip_norm,
            penalty=self._penalties(),
            average=self.average,
            early_stopping=EarlyStopping(
                patience=self.n_iter_no_change + 1,
                min_delta=self.tol,
                monitor="validation_score" if self.early_stopping else "loss",
                restore_best=self.early_stopping,
            ),
            plateau=ReduceOnPlateau() if plain and self.learning_rate == "adaptive" else None,
            score=weighted(self._raw_score, held_out),
            checkpoint=kept,
            callbacks=self.callbacks or (),
            progress=bool(self.verbose),
            statistics=self.statistics,
            compile=self.compile,
        )

    def _optimizer(self) -> Optimizer:
        rate, decay = float(self.learning_rate_init), float(self.weight_decay)
        if isinstance(self.optimizer, Optimizer) and decay:
            raise ConfigError(
                f"weight_decay={decay:g} with optimizer={self.optimizer!r}: an optimizer that is "
                f"an object has its own, such as optim.AdamW({self.optimizer.lr:g}, "
                f"weight_decay={decay:g})"
            )
        if self.optimizer is not None:
            given = {"lr": rate} | ({"weight_decay": decay} if decay else {})
            return get_optimizer(
                self.optimizer, **(given if isinstance(self.optimizer, str) else {})
            )
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
        self._progress = training.watch, training.rate_factor
        self.loss_curve_ = [*getattr(self, "loss_curve_", []), *history["loss"]]
        self.loss_ = history["loss"][-1]
        if self.early_stopping:
            scores = getattr(self, "validation_scores_", None) or []
            self.validation_scores_ = [*scores, *history["validation_score"]]
            self.best_validation_score_ = max([-np.inf, *self.validation_scores_])
            self.best_loss_ = None
        else:
            self.validation_scores_ = self.best_validation_score_ = None
            self.best_loss_ = min([np.inf, *self.loss_curve_])

    def _raw(self, X: Any) -> Array:
        X = validated_rows(self, X)
        return predict(self.module_, (dense_rows(X, X.dtype),), self.compile)

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
