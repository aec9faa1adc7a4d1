"""Functions that scripts get where the `run` of an op is long for the sake of speed or last digits.

Each is short, within some units in the last place of what the op computes.

>>> sigmoid(np.array([-800.0, 0.0, 800.0]))
array([0. , 0.5, 1. ])
"""

import math
from typing import Any

import numpy as np


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def silu(x: Any) -> Any:
    """X * sigmoid(x)."""
    return np.where(x == -np.inf, 0, x) * sigmoid(x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def ndtr(x: Any) -> Any:
    """Probability that a standard normal number is below x."""
    p = [math.erfc(-z / math.sqrt(2)) / 2 for z in np.ravel(x).tolist()]
    return np.reshape(np.array(p, np.result_type(x, 0.0)), np.shape(x))


def log_softmax(x: Any, axis: int) -> Any:
    """Logarithm of exp(x_i) / sum of exp(x_j) along an axis, without overflow."""
    d = x - np.max(x, axis=axis, keepdims=True)
    return d - np.log(np.sum(np.exp(d), axis=axis, keepdims=True))


def in_steps(step: Any, carry: Any, xs: Any, weights: Any, reverse: bool = False) -> Any:
    """Apply carry = step(carry, *x, *weights) to each element of sequences; give all carries."""
    result = np.empty((len(xs[0]), *carry.shape), carry.dtype)
    for t in reversed(range(len(result))) if reverse else range(len(result)):
        result[t] = carry = step(carry, *[x[t] for x in xs], *weights)
    return result


def scanned(jax: Any, step: Any, carry: Any, xs: Any, weights: Any, reverse: bool = False) -> Any:
    """Do as `in_steps` does, in JAX."""

    def one(carry: Any, x: Any) -> Any:
        new = step(carry, *x, *weights).astype(carry.dtype)
        return new, new

    return jax.lax.scan(one, carry, tuple(xs), reverse=reverse)[1]
