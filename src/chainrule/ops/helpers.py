"""Functions that scripts get where the `run` of an op is long for the sake of speed or last digits.

Each is short NumPy, within some units in the last place of what the op computes.

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
