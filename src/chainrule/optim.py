"""Optimizers: each is a frozen record of its settings and two small functions.

`init(p)` makes the state of one parameter, `update(p, g, state, t, lr)` gives its new value and
state. They are written in ops for one array, so they serve eager and compiled training alike.
Formulas and defaults are PyTorch's. An `Updater` walks the parameters of a model:

>>> from chainrule import tensor
>>> w = tensor([1.0, 1.0], requires_grad=True)
>>> updater = Updater([w], Adam(lr=0.1))
>>> for _ in range(3):
...     (w * w * np.array([0.5, 5.0])).sum().backward()
...     updater.step()
>>> w.detach().numpy().round(8)
array([0.70158627, 0.70158627])
"""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from chainrule import ops
from chainrule.errors import ConfigError
from chainrule.graph import Array, Value, value_of
from chainrule.updating import MovingAverage as MovingAverage
from chainrule.updating import Updater as Updater
from chainrule.updating import clip_by_norm as clip_by_norm
from chainrule.updating import clip_by_value as clip_by_value
from chainrule.updating import global_norm as global_norm

State = dict[str, Any]

OPTIMIZERS: dict[str, "type[Optimizer]"] = {}
"""Every optimizer by name, in lower case."""

_RANGES = {
    "lr": (0, np.inf), "eps": (0, np.inf), "weight_decay": (0, np.inf),
    "momentum": (0, np.nextafter(1, 2)), "dampening": (0, np.nextafter(1, 2)),
    "beta1": (0, 1), "beta2": (0, 1), "rho": (0, 1), "alpha": (0, 1),
    "initial_accumulator": (0, np.inf), "lr_decay": (0, np.inf), "momentum_decay": (0, np.inf),
}  # fmt: skip


def optimizer(cls: "type[Optimizer]") -> "type[Optimizer]":
    """Register an optimizer under its name in lower case."""
    OPTIMIZERS[cls.__name__.lower()] = cls
    return cls


@dataclass(frozen=True)
class Optimizer:
    """What every optimizer has: a learning rate and a weight decay.

    `weight_decay` adds weight_decay * p to the gradient (the gradient of an L2 penalty of
    weight_decay / 2 * p^2). With `decoupled_weight_decay` it multiplies the weights by
    1 - lr weight_decay instead, apart from the gradient (Loshchilov and Hutter, 2019).
    """

    lr: float = 1e-3
    weight_decay: float = 0.0
    decoupled_weight_decay: bool = field(default=False, kw_only=True)
    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays that the state keeps, each of the shape of the parameter."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in _RANGES:
                continue
            low, high = _RANGES[item.name]
            if not isinstance(value, int | float) or not low <= value < high:
                raise ConfigError(
                    f"{type(self).__name__}({item.name}={value!r}): expected a number from {low} "
                    f"to {high:.3g}"
                )

    def init(self, p: Value) -> State:
        """Make the state of a parameter before its first step."""
        return {name: _zeros(p) for name in self.slots}

    def update(self, p: Value, g: Value, state: State, t: int, lr: float) -> tuple[Value, State]:
        """Give the new value and state of parameter p with gradient g at step t = 1, 2, ..."""
        raise NotImplementedError

    def gain(self, state: State, t: int) -> Value:
        """Say how far a steady gradient of 1 moves each weight per step, in units of lr.

        A proximal step needs it: an L1 penalty moves weights towards 0 by lr * gain * strength,
        so that it balances the gradient where the penalized loss is least.
        """
        raise ConfigError(
            f"{type(self).__name__} has no method gain(state, t), which an L1 penalty needs to "
            "make weights exactly 0; write one, or use penalties.L1(..., proximal=False)"
        )

    def _decayed(self, p: Value, g: Value, lr: float) -> tuple[Value, Value]:
        """Give the parameter and the gradient that weight decay leaves to the step."""
        if not self.weight_decay:
            return p, g
        if self.decoupled_weight_decay:
            return ops.mul(p, 1 - lr * self.weight_decay), g
        return p, ops.add(g, ops.mul(p, self.weight_decay))


def _zeros(p: Value) -> Array:
    """Make zeros of the form of a parameter, which take memory once they are written."""
    x = value_of(p)
    return np.zeros(x.shape, x.dtype)


def _blend(old: Value, new: Value, keep: float) -> Value:
    """Give keep * old + (1 - keep) * new."""
    return ops.add(ops.mul(old, keep), ops.mul(new, 1 - keep))


def _descend(p: Value, step: Value, lr: float) -> Value:
    return ops.sub(p, ops.mul(step, lr))


@optimizer
@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's look-ahead when asked.

    v = momentum v + (1 - dampening) g, p = p - lr v; Nesterov: p = p - lr (g + momentum v).
    The rate multiplies the velocity as in PyTorch. With `rate_inside` it multiplies the gradient
    that enters the velocity, v = momentum v + lr g, p = p - v; that is the same while the rate
    stays the same.
    """

    lr: float = 1e-3
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    rate_inside: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and (self.momentum <= 0 or self.dampening):
            raise ConfigError("SGD(nesterov=True) needs momentum > 0 and dampening = 0")

    def init(self, p: Value) -> State:
        """Keep a velocity if there is momentum."""
        return {"velocity": _zeros(p)} if self.momentum else {}

    def update(self, p: Value, g: Value, state: State, t: int, lr: float) -> tuple[Value, State]:
        """Step against the gradient or the velocity."""
        p, g = self._decayed(p, g, lr)
        if not self.momentum:
            return _descend(p, g, lr), {}
        if self.rate_inside:
            g, lr = ops.mul(g, lr), 1.0
        fresh = g
        if self.dampening:
            fresh = ops.where(ops.equal(t, 1), g, ops.mul(g, 1 - self.dampening))
        v = ops.add(ops.mul(state["velocity"], self.momentum), fresh)
        step = ops.add(g, ops.mul(v, self.momentum)) if self.nesterov else v
        return _descend(p, step, lr), {"velocity": v}

    def gain(self, state: State, t: int) -> Value:
        """Give (1 - dampening) / (1 - momentum), to which a steady gradient of 1 adds up.

        With `rate_inside` that is so while the rate changes slowly.
        """
        if self.momentum == 1:
            raise ConfigError("SGD(momentum=1): an L1 penalty needs momentum < 1")
        return (1 - self.dampening * bool(self.momentum)) / (1 - self.momentum)


@optimizer
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """p = p - lr g / (sqrt(G) + eps), G the sum of g^2 so far (Duchi et al., 2011).

    `eps_inside` takes sqrt(G + eps) instead; `lr_decay` divides the rate by 1 + (t - 1) lr_decay.
    """

    lr: float = 1e-2
    lr_decay: float = 0.0
    eps: float = 1e-10
    initial_accumulator: float = 0.0
    eps_inside: bool = False

    def init(self, p: Value) -> State:
        """Start the sum of squares at `initial_accumulator`."""
        return {"total": np.full_like(value_of(p), self.initial_accumulator)}

    def update(self, p: Value, g: Value, state: State, t: int, lr: float) -> tuple[Value, State]:
        """Divide each gradient by the root of its own sum of squares."""
        p, g = self._decayed(p, g, lr)
        total = ops.add(state["total"], ops.mul(g, g))
        step = ops.div(g, _root(total, self.eps, self.eps_inside))
        return _descend(p, step, lr / (1 + (t - 1) * self.lr_decay)), {"total": total}

    def gain(self, state: State, t: int) -> Value:
        """Divide by the root of the sum of squares, as a step does."""
        root = _root(state["total"], self.eps, self.eps_inside)
        return ops.div(1 / (1 + (t - 1) * self.lr_decay), root)


def _root(x: Value, eps: float, inside: bool) -> Value:
    return ops.sqrt(ops.add(x, eps)) if inside else ops.add(ops.sqrt(x), eps)


@optimizer
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """p = p - lr g / (sqrt(E) + eps), E the running mean of g^2 (Hinton, 2012).

    `centered` subtracts the square of the running mean of g; `eps_inside` takes sqrt(E + eps).
    """

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    eps_inside: bool = False
    initial_accumulator: float = 0.0

    def init(self, p: Value) -> State:
        """Keep the mean square, and what momentum and centering need."""
        zero = _zeros(p)
        state = {"mean_square": np.full_like(zero, self.initial_accumulator)}
        if self.centered:
            state["mean"] = zero
        if self.momentum:
            state["velocity"] = zero
        return state

    def update(self, p: Value, g: Value, state: State, t: int, lr: float) -> tuple[Value, State]:
        """Divide each gradient by the root of its running mean square."""
        p, g = self._decayed(p, g, lr)
        new = {"mean_square": _blend(state["mean_square"], ops.mul(g, g), self.alpha)}
        if self.centered:
            new["mean"] = _blend(state["mean"], g, self.alpha)
        step = ops.div(g, self._divisor(new))
        if self.momentum:
            step = new["velocity"] = ops.add(ops.mul(state["velocity"], self.momentum), step)
        return _descend(p, step, lr), new

    def _divisor(self, state: State) -> Value:
        spread = state["mean_square"]
        if self.centered:
            spread = ops.sub(spread, ops.mul(state["mean"], state["mean"]))
        return _root(spread, self.eps, self.eps_inside)

    def gain(self, state: State, t: int) -> Value:
        """Divide by the root, as a step does; momentum adds up to 1 / (1 - momentum)."""
        if self.momentum == 1:
            raise ConfigError("RMSprop(momentum=1): an L1 penalty needs momentum < 1")
        return ops.div(1 / (1 - self.momentum), self._divisor(state))


@optimizer
@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Step sqrt(D + eps) / sqrt(E + eps) g, D and E the running means of step^2 and g^2.

    (Zeiler, 2012.) With eps = 0 it would never move.
    """

    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    slots: ClassVar[tuple[str, ...]] = ("mean_square", "mean_square_step")

    def update(self, p: Value, g: Value, state: State, t: int, lr: float) -> tuple[Value, State]:
        """Scale each gradient by the ratio of past steps to past gradients."""
        p, g = self._decayed(p, g, lr)
        squares = _blend(state["mean_square"], ops.mul(g, g), self.rho)
        past = ops.sqrt(ops.add(state["mean_square_step"], self.eps))
        step = ops.mul(ops.div(past, ops.sqrt(ops.add(squares, self.eps))), g)
        steps = _blend(state["mean_square_step"], ops.mul(step, step), self.rho)
        return _descend(p, step, lr), {"mean_square": squares, "mean_square_step": steps}

    def gain(self, state: State, t: int) -> Value:
        """Give the ratio of past steps to past gradients."""
        ratio = (ops.sqrt(ops.add(state[name], self.eps)) for name in reversed(self.slots))
        return ops.div(*ratio)


@optimizer
@dataclass(frozen=True)
class Adam(Optimizer):
    """p = p - lr m' / (sqrt(v') + eps), m and v the running means of g and g^2.

    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) correct their start at 0 (Kingma and Ba,
    2015). `amsgrad` divides by the largest v so far (Reddi et al., 2018). `eps_hat` adds eps to
    sqrt(v) before the correction, the faster form at the end of section 2 of the paper.
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    amsgrad: bool = False
    eps_hat: bool = False

    def init(self, p: Value) -> State:
        """Keep the two running means."""
        names = ("mean", "mean_square", *(("largest",) if self.amsgrad else ()))
        return {name: _zeros(p) for name in names}

    def update(self, p: Value, g: Value, state: State, t: int, lr: float) -> tuple[Value, State]:
        """Step by the mean gradient over the root of the mean square."""
        p, g = self._decayed(p, g, lr)
        m = _blend(state["mean"], g, self.beta1)
        v = _blend(state["mean_square"], ops.mul(g, g), self.beta2)
        new = {"mean": m, "mean_square": v}
        if self.amsgrad:
            new["largest"] = ops.maximum(state["largest"], v)
        divisor, factor = self._divisor(new, t)
        return _descend(p, ops.div(m, divisor), lr * factor / (1 - self.beta1**t)), new

    def _divisor(self, state: State, t: int) -> tuple[Value, float]:
        """Give what divides the mean gradient, and a factor for the rate."""
        v = state["largest" if self.amsgrad else "mean_square"]
        scale = (1 - self.beta2**t) ** 0.5
        if self.eps_hat:
            return ops.add(ops.sqrt(v), self.eps), scale
        return ops.add(ops.mul(ops.sqrt(v), 1 / scale), self.eps), 1.0

    def gain(self, state: State, t: int) -> Value:
        """Divide by the root of the mean square, as a step does."""
        divisor, factor = self._divisor(state, t)
        return ops.div(factor, divisor)


@optimizer
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Under Adam an L2 penalty would be scaled away.
    """

    weight_decay: float = 1e-2
    decoupled_weight_decay: bool = field(default=True, init=False, repr=False)


@optimizer
@dataclass(frozen=True)
class NAdam(Adam):
    """Adam with Nesterov's look-ahead (Dozat, 2016)."""

    lr: float = 2e-3
    momentum_decay: float = 4e-3
    amsgrad: bool = field(default=False, init=False)
    eps_hat: bool = field(default=False, init=False)

    def init(self, p: Value) -> State:
        """Keep the two running means and the product of the momenta."""
        return super().init(p) | {"product": np.ones((), np.float64)}

    def update(self, p: Value, g: Value, state: State, t: int, lr: float) -> tuple[Value, State]:
        """Step by the mean that the next step will see."""
        p, g = self._decayed(p, g, lr)
        mu, following = (
            self.beta1 * (1 - 0.5 * 0.96 ** (step * self.momentum_decay)) for step in (t, t + 1)
        )
        product = ops.mul(state["product"], mu)
        m = _blend(state["mean"], g, self.beta1)
        v = _blend(state["mean_square"], ops.mul(g, g), self.beta2)
        root = ops.add(ops.sqrt(ops.div(v, 1 - self.beta2**t)), self.eps)
        now = ops.cast(ops.div((1 - mu) * lr, ops.sub(1.0, product)), dtype=g.dtype)
        ahead = ops.div(following * lr, ops.sub(1.0, ops.mul(product, following)))
        step = ops.add(ops.mul(g, now), ops.mul(m, ops.cast(ahead, dtype=g.dtype)))
        new = {"mean": m, "mean_square": v, "product": product}
        return ops.sub(p, ops.div(step, root)), new


def get_optimizer(name: str | Optimizer, **settings: Any) -> Optimizer:
    """Look an optimizer up by name and give it settings; an optimizer is returned as it is.

    >>> get_optimizer("adam", lr=0.01).lr
    0.01
    """
    if isinstance(name, Optimizer):
        return name
    if name not in OPTIMIZERS:
        known = ", ".join(sorted(OPTIMIZERS))
        raise ConfigError(f"optimizer {name!r} does not exist; there are {known}")
    return OPTIMIZERS[name](**settings)
