"""Neurons as they were first told: threshold units, the perceptron, and the delta rule.

They are small and exact, work on NumPy arrays, and nothing else depends on them. The layers of
`chainrule.nn` learn by gradients of any net; these learn by the rules that came before.

>>> X, t = truth_table("and")
>>> McCullochPitts([1, 1], theta=1.5)(X)
array([0, 0, 0, 1])
>>> perceptron = Perceptron(init_std=0.0).fit(X, t)
>>> perceptron.mistakes_, perceptron.weights_.ravel().tolist()
([1, 3, 3, 2, 1, 0], [0.5, 0.25, 0.5])
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from chainrule import functional
from chainrule.errors import ConfigError, DataError, NotFittedError, ShapeError
from chainrule.graph import Array, Value, no_grad, value_of
from chainrule.nn.checks import check_size
from chainrule.nn.init import generator
from chainrule.nn.layers import Activation, Linear, Sequential
from chainrule.nn.module import Module

_TABLES = {
    "and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "xor": [0, 1, 1, 0],
    "nand": [1, 1, 1, 0], "nor": [1, 0, 0, 0],
}  # fmt: skip


def truth_table(name: str) -> tuple[Array, Array]:
    """Give the inputs, of shape (4, 2), and the outputs, of shape (4,), of a logical function.

    The names are "and", "or", "xor", "nand" and "nor".

    >>> truth_table("xor")[1]
    array([0, 1, 1, 0])
    """
    if name not in _TABLES:
        raise ConfigError(f"truth_table({name!r}): expected one of {', '.join(_TABLES)}")
    return np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array(_TABLES[name])


class McCullochPitts:
    """A neuron that fires, 1, if its weighted sum h = sum_i w_i x_i is above theta, else 0.

    At h = theta it does not fire. It cannot learn: its weights are given. Of McCulloch and Pitts
    (1943) are the threshold and absolute inhibition: `inhibitory` marks inputs, of 0 and 1, of
    which a single active one keeps the neuron silent; they take no part in the sum. Weights of
    different size, and an `activation` g other than the threshold, came later: the output is then
    g(h - theta).

    Inputs have shape (inputs,) or (rows, inputs).

    >>> McCullochPitts([1, 1, 0], 0.5, inhibitory=[False, False, True])([[1, 0, 0], [1, 1, 1]])
    array([1, 0])
    >>> McCullochPitts([1.0], 0.0, activation="sigmoid")([[0.0]])
    array([0.5])
    """

    def __init__(
        self,
        weights: Any,
        theta: float = 0.0,
        *,
        inhibitory: Sequence[bool] | None = None,
        activation: str | Callable[..., Value] | None = None,
    ) -> None:
        self.weights = _numbers(weights, "weights")
        if self.weights.ndim != 1 or not self.weights.size:
            raise ShapeError(
                f"McCullochPitts(weights=...) has shape {self.weights.shape}; expected one weight "
                "per input, such as [1, 1]"
            )
        self.theta = _finite("theta", theta)
        self.inhibitory = np.zeros(len(self.weights), bool)
        if inhibitory is not None:
            self.inhibitory = np.asarray(inhibitory)
            if self.inhibitory.shape != self.weights.shape or self.inhibitory.dtype != bool:
                raise ConfigError(
                    f"inhibitory={inhibitory!r}: expected {len(self.weights)} times True or False"
                )
        self.activation = None if activation is None else functional.get_activation(activation)

    def __call__(self, x: Any) -> Array:
        """Fire, or give the activation, for one input or for several rows of inputs."""
        x = _inputs(x, len(self.weights), "McCullochPitts")
        held = x[..., self.inhibitory]
        if not np.isin(held, (0, 1)).all():
            raise DataError("inhibitory inputs are 0 or 1, others were given")
        above = x @ np.where(self.inhibitory, 0.0, self.weights) - self.theta
        fired = (above > 0).astype(int) if self.activation is None else self.activation(above)
        return np.where(held.any(axis=-1), 0, np.asarray(value_of(fired)))


class Perceptron:
    """Threshold neurons that share inputs and learn by the rule of Rosenblatt (1958).

    For row after row, y_j = 1 if sum_i w_ij x_i > 0 else 0, and w_ij = w_ij + lr (t_j - y_j) x_i.
    The bias node gives each row one more input, `bias_input`, whose weight stands last and takes
    the place of a threshold. With `bias_input=0` that weight never changes and does nothing.

    `fit` takes rows of shape (rows, inputs) and targets of 0 and 1 of shape (rows,) or
    (rows, outputs); both numbers come from the data. Weights start from a normal distribution of
    standard deviation `init_std`, or at 0. It ends when an epoch has no mistake, after
    `max_epochs`, or after `patience` epochs in which the fewest mistakes so far were not undercut.

    Fitted: `weights_` of shape (inputs + 1, outputs), `mistakes_` per epoch, `converged_` (whether
    the last epoch had none, so that the weights are right for every row), and `multiply_adds_`,
    the multiplications of the net inputs and of the rule: 2 T N m n for T epochs of N rows, m
    inputs with the bias node, n outputs.

    >>> X, t = truth_table("xor")
    >>> perceptron = Perceptron(max_epochs=10, seed=0).fit(X, t)  # no line divides it
    >>> perceptron.converged_, len(perceptron.mistakes_), perceptron.multiply_adds_
    (False, 10, 240)
    """

    def __init__(
        self,
        *,
        lr: float = 0.25,
        max_epochs: int = 100,
        patience: int | None = None,
        bias_input: float = -1.0,
        init_std: float = 0.05,
        seed: Any = None,
    ) -> None:
        if _finite("lr", lr) <= 0:
            raise ConfigError(f"lr={lr!r}: expected a number above 0")
        if _finite("init_std", init_std) < 0:
            raise ConfigError(f"init_std={init_std!r}: expected a number of at least 0")
        check_size("max_epochs", max_epochs)
        if patience is not None:
            check_size("patience", patience)
        self.bias_input = _finite("bias_input", bias_input)
        if self.bias_input == 0:
            warnings.warn(
                "bias_input=0: its weight never changes, so that the perceptron has no threshold; "
                "use -1 or 1",
                stacklevel=2,
            )
        self.lr = lr
        self.max_epochs = max_epochs
        self.patience = patience
        self.init_std = init_std
        self.seed = seed

    def fit(self, X: Any, y: Any) -> Self:
        """Learn rows X and their outputs y of 0 and 1."""
        x, target = _numbers(X, "X"), np.asarray(y)
        if x.ndim != 2 or target.ndim not in (1, 2) or len(x) != len(target) or not len(x):
            raise ShapeError(
                f"X has shape {x.shape} and y {target.shape}; expected (rows, inputs) and "
                "(rows,) or (rows, outputs)"
            )
        if not np.isin(target, (0, 1)).all():
            raise DataError("a perceptron learns outputs of 0 and 1, y has others")
        self._flat = target.ndim == 1
        x, target = self._with_bias(x), target.reshape(len(x), -1).astype(float)
        outputs, inputs = target.shape[1], x.shape[1]
        # Drawn output by output, so that an output has the same start alone and among others.
        self.weights_ = generator(self.seed).normal(0, self.init_std, (outputs, inputs)).T.copy()
        self.mistakes_: list[int] = []
        self.multiply_adds_ = 0
        while not self._ends():
            self.mistakes_.append(self._epoch(x, target))
        self.converged_ = self.mistakes_[-1] == 0
        return self

    def _epoch(self, x: Array, target: Array) -> int:
        mistakes = 0
        for row, t in zip(x, target, strict=True):
            error = t - (row @ self.weights_ > 0)
            self.weights_ += self.lr * np.outer(row, error)
            self.multiply_adds_ += 2 * self.weights_.size
            mistakes += int(np.count_nonzero(error))
        return mistakes

    def _ends(self) -> bool:
        seen = self.mistakes_
        if not seen:
            return False
        waited = len(seen) - 1 - int(np.argmin(seen))
        tired = self.patience is not None and waited >= self.patience
        return seen[-1] == 0 or len(seen) >= self.max_epochs or tired

    def _with_bias(self, x: Array) -> Array:
        return np.column_stack([x, np.full(len(x), self.bias_input)])

    def predict(self, X: Any) -> Array:
        """Give 0 or 1 for each row, and each output if y had several columns."""
        if not hasattr(self, "weights_"):
            raise NotFittedError("this Perceptron has not learned yet: call fit(X, y) first")
        x = np.atleast_2d(_inputs(X, len(self.weights_) - 1, "Perceptron"))
        fired = (self._with_bias(x) @ self.weights_ > 0).astype(int)
        return fired[:, 0] if self._flat else fired


class TwoLayer:
    """Inputs, hidden and output neurons of slope beta that learn by the delta rule, one by one.

    h_j = sum_i x_i v_ij, a_j = g(h_j); h_k = sum_j a_j w_jk, y_k = g(h_k), with the logistic
    g(h) = 1 / (1 + exp(-beta h)). The errors are minus the slopes of E = sum_k (t_k - y_k)^2 / 2,

    delta_k = beta (t_k - y_k) y_k (1 - y_k)  and  delta_j = beta a_j (1 - a_j) sum_k w_jk delta_k,

    so the weights move along them: w_jk = w_jk + lr delta_k a_j and v_ij = v_ij + lr delta_j x_i,
    plus `momentum` times the change before. Both errors are computed before a weight changes
    (Rumelhart, Hinton and Williams, 1986). A negative lr climbs instead: the sign error that
    formulas with this delta and a minus have.

    `v` has shape (inputs + 1, hidden) and `w` (hidden + 1, outputs), the last row for a bias node
    of 1; without `bias` that row is not there. Weights start uniformly in [-1, 1].

    >>> X, t = truth_table("xor")
    >>> net = TwoLayer(2, 4, 1, seed=0)
    >>> errors = net.fit(X, t, lr=1.0, epochs=4000)
    >>> net.predict(X).round().ravel(), errors[-1] < 0.01
    (array([0., 1., 1., 0.]), True)
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        *,
        beta: float = 1.0,
        bias: bool = True,
        seed: Any = None,
    ) -> None:
        for name, n in (("inputs", inputs), ("hidden", hidden), ("outputs", outputs)):
            check_size(name, n)
        self.beta = _finite("beta", beta)
        self.bias = bias
        rng = generator(seed)
        self.v = rng.uniform(-1, 1, (inputs + bias, hidden))
        self.w = rng.uniform(-1, 1, (hidden + bias, outputs))
        self._changes: tuple[Any, Any] = (0.0, 0.0)

    def _with_bias(self, x: Array) -> Array:
        return np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1) if self.bias else x

    def forward(self, x: Any) -> tuple[Array, Array]:
        """Give the outputs a of the hidden neurons and y of the output neurons."""
        x = _inputs(x, len(self.v) - self.bias, "TwoLayer")
        a = np.asarray(functional.logistic(self._with_bias(x) @ self.v, self.beta))
        return a, np.asarray(functional.logistic(self._with_bias(a) @ self.w, self.beta))

    def predict(self, X: Any) -> Array:
        """Give y for each row."""
        return self.forward(X)[1]

    def deltas(self, x: Any, t: Any) -> tuple[Array, Array]:
        """Give delta_j of the hidden and delta_k of the output neurons."""
        a, y = self.forward(x)
        t = _numbers(t, "t")
        if t.shape != y.shape:
            raise ShapeError(f"targets have shape {t.shape}, outputs {y.shape}")
        delta_k = self.beta * (t - y) * y * (1 - y)
        back = delta_k @ self.w[: a.shape[-1]].T
        return self.beta * a * (1 - a) * back, delta_k

    def learn(self, x: Any, t: Any, lr: float, momentum: float = 0.0) -> None:
        """Learn one row x with targets t, or the sum over several rows."""
        delta_j, delta_k = self.deltas(x, t)
        a, _ = self.forward(x)
        given, passed = (np.atleast_2d(self._with_bias(np.asarray(part, float))) for part in (x, a))
        before_v, before_w = self._changes
        change_v = lr * given.T @ np.atleast_2d(delta_j) + momentum * before_v
        change_w = lr * passed.T @ np.atleast_2d(delta_k) + momentum * before_w
        self.v, self.w = self.v + change_v, self.w + change_w
        self._changes = change_v, change_w

    def fit(
        self, X: Any, y: Any, *, lr: float = 0.25, epochs: int = 1000, momentum: float = 0.0
    ) -> list[float]:
        """Learn the rows in their order; give the sum of (t - y)^2 after each epoch."""
        x = _inputs(X, len(self.v) - self.bias, "TwoLayer")
        target = _numbers(y, "y")
        target = target.reshape(-1, 1) if target.ndim == 1 else target
        expected = (len(x), self.w.shape[1])
        if x.ndim != 2 or target.shape != expected:
            raise ShapeError(f"X has shape {x.shape} and y {target.shape}; expected y {expected}")
        check_size("epochs", epochs)
        errors = []
        for _ in range(epochs):
            for row, t in zip(x, target, strict=True):
                self.learn(row, t, _finite("lr", lr), _finite("momentum", momentum))
            errors.append(float(((target - self.predict(x)) ** 2).sum()))
        return errors

    def to_module(self) -> Sequential:
        """Give the same net as layers, whose weights have the shape (out, in)."""
        layers: list[Module] = []
        for weights in (self.v, self.w):
            layer = Linear(len(weights) - self.bias, weights.shape[1], self.bias).astype(float)
            with no_grad():
                layer.weight.assign(weights[: layer.in_features].T)
                if layer.bias is not None:
                    layer.bias.assign(weights[-1])
            layers += [layer, Activation("logistic", beta=self.beta)]
        return Sequential(*layers)


def _numbers(values: Any, name: str) -> Array:
    """Take numbers as float64, or say what else was given."""
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected numbers, got {values!r}") from error
    if not np.isfinite(array).all():
        raise DataError(f"{name}: expected finite numbers, some are not")
    return array


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ConfigError(f"{name}={value!r}: expected a number")
    if not np.isfinite(value):
        raise ConfigError(f"{name}={value!r}: expected a finite number")
    return float(value)


def _inputs(x: Any, count: int, who: str) -> Array:
    array = _numbers(x, "inputs")
    if array.ndim not in (1, 2) or array.shape[-1] != count:
        raise ShapeError(
            f"{who} got inputs of shape {array.shape}; expected ({count},) or (rows, {count})"
        )
    return array
