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

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call

from chainrule.checkpoint import Checkpoint
from chainrule.errors import DataError
from chainrule.estimators.base import (
    Targets,
    row_weights,
    unique_labels,
)
from chainrule.estimators.kinds import ForClasses, ForNumbers
from chainrule.estimators.mlp_base import BaseMLP
from chainrule.graph import Array


class MLPClassifier(ForClasses, BaseMLP):
    """Multi-layer perceptron for classes or labels, with scikit-learn's parameters and more.

    The loss is -sum_j t_j log(p_j) of softmax probabilities p for several classes, the same for
    two classes with one sigmoid unit, and its sum over the labels for a multi-label y; plus
    alpha / 2 * sum(W^2) / rows. `hidden_layer_sizes` to `max_fun` mean what they mean in
    scikit-learn. Beyond them:

    * `loss`: "log_loss", "focal", "hinge", any loss of `chainrule.losses`, or a function;
    * `activation`: any of `chainrule.functional`, or one per hidden layer;
    * `dropout`, `batch_norm`, `layer_norm` act in every hidden layer; with `batch_norm`, batches
      that leave a last row alone are of another size;
    * `class_weight`: a dictionary or "balanced"; `label_smoothing` of "log_loss";
    * `penalty`: one of `chainrule.penalties`, or a mapping from layers ("0", "2", ... in `module_`)
      to them, besides alpha; `average`: a number such as 0.99, or `chainrule.SWA()`;
    * `optimizer`, `schedule`, `clip_norm`, `weight_decay` (decoupled for Adam), `callbacks`;
    * `statistics`: True, or k for every k-th step, puts those of each layer into
      `history_.statistics`;
    * `compile`: "numba", "numpy", "jax" for a GPU, False, or "auto" for machine code where one fit
      repays it; a search of many short fits is several times faster with "numba";
    * `fit(..., validation_data=(X, y))` fills `history_` and serves `early_stopping`;
      `fit(..., checkpoint=DIR)` goes on from where a fit was stopped (docs/checkpoints.md).

    Fitted: `module_`, `history_`, `coefs_`, `intercepts_`, `classes_`, `loss_curve_`, `best_loss_`,
    `validation_scores_`, `n_iter_`, `t_`, `n_layers_`, `n_outputs_`, `out_activation_`.

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    >>> MLPClassifier((), solver="lbfgs", alpha=0.01, random_state=0).fit(X, y).predict([[2.5]])
    array([1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
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
        label_smoothing: float = 0.0,
        optimizer: Any = None,
        schedule: Any = None,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
        penalty: Any = None,
        average: Any = None,
        callbacks: Any = None,
        statistics: bool | int = False,
        compile: Any = "auto",  # noqa: A002 (the word of `chainrule.train`)
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
        self.label_smoothing = label_smoothing
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.weight_decay = weight_decay
        self.penalty = penalty
        self.average = average
        self.callbacks = callbacks
        self.statistics = statistics
        self.compile = compile

    @_fit_context(prefer_skip_nested_validation=True)
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
        return self._fit(X, y, sample_weight, validation_data, kept, incremental=False)

    @available_if(lambda self: self._can_fit_partially())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Make one pass over rows; the first call names all `classes`."""
        if _check_partial_fit_first_call(self, classes):
            del self.classes_  # until it is known that y has them
            labels, known = Targets.of_labels(np.asarray(y)), unique_labels(classes)
            several = labels.task == "multilabel"
            if several and list(known) != list(labels.classes):
                raise DataError(
                    f"classes={list(known)}: expected a number for each label, "
                    f"range({labels.outputs}), as y has {labels.outputs} columns"
                )
            self._targets = labels if several else Targets.of_classes(known)
            self.classes_ = self._targets.classes
        return self._fit(X, y, sample_weight, None, None, incremental=True)

    def _encoded(self, y: Any, first: bool, incremental: bool, dtype: Any) -> Array:
        targets = self._targets if incremental else Targets.of_labels(y)
        if not first and not incremental and list(targets.classes) != list(self.classes_):
            raise DataError(
                "warm_start can only be used where `y` has the same classes as in the "
                f"previous call to fit. Previously got {self.classes_}, `y` has {targets.classes}"
            )
        self._set_targets(targets)
        return self._encoded_again(y, dtype)

    def _weights(self, sample_weight: Any, y: Any, dtype: Any) -> Array | None:
        return row_weights(sample_weight, self.class_weight, y, dtype)

    def _out_activation(self) -> str:
        return "softmax" if self._targets.task == "multiclass" else "logistic"


class MLPRegressor(ForNumbers, BaseMLP):
    """Multi-layer perceptron for numbers, with scikit-learn's parameters and more.

    The loss is half of the squared error, or half of the Poisson deviance with an exponential
    output, summed over the outputs; plus alpha / 2 * sum(W^2) / rows. What comes beyond
    scikit-learn's parameters is described in `MLPClassifier`.

    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> net = MLPRegressor(activation="tanh", solver="lbfgs", random_state=0)
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
        penalty: Any = None,
        average: Any = None,
        callbacks: Any = None,
        statistics: bool | int = False,
        compile: Any = "auto",  # noqa: A002 (the word of `chainrule.train`)
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
        self.penalty = penalty
        self.average = average
        self.callbacks = callbacks
        self.statistics = statistics
        self.compile = compile

    @_fit_context(prefer_skip_nested_validation=True)
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
        return self._fit(X, y, sample_weight, validation_data, kept, incremental=False)

    @available_if(lambda self: self._can_fit_partially())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Make one pass over rows."""
        return self._fit(X, y, sample_weight, None, None, incremental=True)

    def _encoded(self, y: Any, first: bool, incremental: bool, dtype: Any) -> Array:
        self._set_outputs(y)
        return self._encoded_again(y, dtype)

    def _weights(self, sample_weight: Any, y: Any, dtype: Any) -> Array | None:
        return row_weights(sample_weight, None, y, dtype)

    def _out_activation(self) -> str:
        return "exp" if self._loss.output == "log rates" else "identity"
