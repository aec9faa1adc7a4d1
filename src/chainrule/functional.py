"""Activations: composites of ops, so that every verb works on them and none has a case for them.

Adding one is writing its formula under `@activation`; its derivative follows.

>>> from chainrule import functional as F, grad
>>> F.ACTIVATIONS["leaky_relu"](np.array([-2.0, 2.0]))
array([-0.02,  2.  ])
>>> float(grad(F.silu)(2.0))
1.0907842487848953
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import ConfigError
from chainrule.graph import Array, Value, dtype_of, shape_of
from chainrule.ops import log_softmax as log_softmax
from chainrule.ops import sigmoid as sigmoid
from chainrule.ops import silu as silu
from chainrule.ops import softmax as softmax
from chainrule.ops import softplus as softplus
from chainrule.ops import tanh as tanh

Activation = Callable[..., Value]

_LARGE = 3e38  # finite in float32, where infinity times 0, or over infinity, would be NaN

ACTIVATIONS: dict[str, Activation] = {
    "log_softmax": log_softmax,
    "sigmoid": sigmoid,
    "silu": silu,
    "softmax": softmax,
    "softplus": softplus,
    "tanh": tanh,
}
"""Every activation by name; the six that are ops or reductions live in `chainrule.ops`."""


def activation(function: Activation) -> Activation:
    """Register a function as an activation under its own name."""
    ACTIVATIONS[function.__name__] = function
    return function


def get_activation(name: str | Activation) -> Activation:
    """Look an activation up by name; a function is returned as it is.

    >>> get_activation("relu")(np.array([-1.0, 1.0]))
    array([0., 1.])
    """
    if callable(name):
        return name
    if not isinstance(name, str) or name not in ACTIVATIONS:
        known = ", ".join(sorted(ACTIVATIONS))
        raise ConfigError(f"activation {name!r} does not exist; there are {known}")
    return ACTIVATIONS[name]


@activation
def identity(x: Value) -> Value:
    """Leave x as it is."""
    return x


@activation
def relu(x: Value) -> Value:
    """max(0, x); the derivative at 0 is 0.

    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return ops.maximum(0.0, x)


@activation
def leaky_relu(x: Value, negative_slope: float = 0.01) -> Value:
    """Give x above 0 and negative_slope * x below (Maas et al., 2013)."""
    return ops.where(ops.less(0.0, x), x, ops.mul(x, negative_slope))


@activation
def prelu(x: Value, weight: Value = 0.25) -> Value:
    """Give x above 0 and weight * x below, the weight being learned (He et al., 2015)."""
    return ops.where(ops.less(0.0, x), x, ops.mul(weight, x))


@activation
def elu(x: Value, alpha: float = 1.0) -> Value:
    """Give x above 0 and alpha * (exp(x) - 1) below (Clevert et al., 2016).

    Its slope at 0 is alpha, the one from the left.
    """
    return ops.where(ops.less(0.0, x), x, ops.mul(ops.expm1(ops.minimum(x, 0.0)), alpha))


@activation
def selu(x: Value) -> Value:
    """Scaled ELU that keeps mean 0 and variance 1 through layers (Klambauer et al., 2017)."""
    return ops.mul(elu(x, 1.6732632423543772), 1.0507009873554805)


@activation
def logistic(x: Value, beta: Value = 1.0) -> Value:
    """Sigmoid of slope beta: 1 / (1 + exp(-beta x))."""
    return sigmoid(ops.mul(beta, x))


@activation
def log_sigmoid(x: Value) -> Value:
    """log(sigmoid(x)), without the underflow.

    >>> float(log_sigmoid(-1000.0))
    -1000.0
    """
    return ops.neg(softplus(ops.neg(x)))


@activation
def swish(x: Value, beta: Value = 1.0) -> Value:
    """Give x * sigmoid(beta * x) (Ramachandran et al., 2017); with beta = 1 it is `silu`."""
    return ops.mul(ops.maximum(x, -_LARGE), sigmoid(ops.mul(beta, x)))


@activation
def mish(x: Value) -> Value:
    """Give x * tanh(softplus(x)) (Misra, 2019)."""
    return ops.mul(ops.maximum(x, -1000.0), tanh(softplus(x)))  # -inf * 0 would be NaN


@activation
def gelu(x: Value, approximate: str = "none") -> Value:
    """Give x times the normal distribution function of x (Hendrycks and Gimpel, 2016).

    `approximate="tanh"` is the formula of the paper with a hyperbolic tangent.
    """
    if approximate == "tanh":
        inner = ops.mul(ops.add(x, ops.mul(0.044715, ops.pow(x, 3))), math.sqrt(8 / math.pi))
        return ops.mul(ops.maximum(x, -40.0), sigmoid(inner))  # (1 + tanh(u)) / 2 = sigmoid(2 u)
    if approximate != "none":
        raise ConfigError(f"gelu: approximate={approximate!r}, expected 'none' or 'tanh'")
    return ops.mul(ops.maximum(x, -40.0), ops.ndtr(x))


@activation
def hardsigmoid(x: Value) -> Value:
    """Sigmoid in three straight pieces: x/6 + 1/2, kept in [0, 1]."""
    return ops.clip(ops.add(ops.div(x, 6.0), 0.5), 0.0, 1.0)


@activation
def hardswish(x: Value) -> Value:
    """Give x * hardsigmoid(x) (Howard et al., 2019)."""
    return ops.mul(ops.maximum(x, -3.0), hardsigmoid(x))


@activation
def softsign(x: Value) -> Value:
    """Give x / (1 + |x|)."""
    x = ops.clip(x, -_LARGE, _LARGE)
    return ops.div(x, ops.add(ops.abs(x), 1.0))


@activation
def step(x: Value, threshold: float = 0.0) -> Value:
    """1 where x > threshold, else 0; it has no gradient (McCulloch and Pitts, 1943)."""
    return ops.cast(ops.less(threshold, x), dtype=dtype_of(x, 1.0))


@activation
def maxout(x: Value, pieces: int = 2) -> Value:
    """Largest of each group of `pieces` neighbors on the last axis (Goodfellow et al., 2013).

    >>> maxout(np.array([1.0, 3.0, 5.0, 4.0]))
    array([3., 5.])
    """
    shape = shape_of(x)
    if shape[-1] % pieces:
        raise ConfigError(f"maxout: the last axis has {shape[-1]} units, no multiple of {pieces}")
    return ops.max(ops.reshape(x, (*shape[:-1], shape[-1] // pieces, pieces)), axis=-1)


def dropout(x: Value, p: float, key: Value, shared: Sequence[int] = ()) -> Value:
    """Set each element to 0 with probability p and divide the rest by 1 - p.

    The key decides which: equal keys drop the same elements. Elements along the axes `shared` are
    dropped together. (Srivastava et al., 2014; "inverted" scaling keeps the mean, so that nothing
    is to be done when predicting.)
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"dropout: p={p}, expected a probability between 0 and 1")
    if p == 0:
        return x
    if p == 1:
        return ops.mul(x, 0.0)
    shape = list(shape_of(x))
    for axis in shared:
        if not -len(shape) <= axis < len(shape):
            raise ConfigError(f"dropout: shared axis {axis} of an input of shape {tuple(shape)}")
        shape[axis] = 1
    keep = ops.less_equal(p, ops.uniform(key, tuple(shape)))
    return ops.where(keep, ops.mul(x, 1 / (1 - p)), 0.0)


def normalize(x: Value, axis: Any, eps: float = 1e-5) -> tuple[Value, Value, Value]:
    """Subtract the mean and divide by the standard deviation: (result, mean, variance).

    The variance divides by the count, and eps is added to it under the root.

    >>> float(normalize(np.array([1.0, 3.0, 5.0]), axis=0)[0][2].round(8))
    1.22474258
    """
    mean = ops.mean(x, axis, keepdims=True)
    centered = ops.sub(x, mean)
    variance = ops.mean(ops.mul(centered, centered), axis, keepdims=True)
    return ops.div(centered, ops.sqrt(ops.add(variance, eps))), mean, variance


def one_hot(indices: Any, classes: int, dtype: Any = np.float32) -> Array:
    """Write class numbers as rows with a single 1.

    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    rows: Array = np.eye(classes, dtype=dtype)[np.asarray(indices)]
    return rows
