"""Starting values for weights: the spread that keeps signals alive through layers.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> w = he_normal((128, 256), rng)
>>> abs(w.std() / np.sqrt(2 / 256) - 1) < 0.02
np.True_

A weight of shape (out, in, ...) has fan-in in * ... and fan-out out * ... .
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ConfigError
from chainrule.graph import Array

Initializer = Callable[[tuple[int, ...], np.random.Generator], Array]

INITIALIZERS: dict[str, Initializer] = {}
"""Every initializer by name."""


def initializer(function: Initializer) -> Initializer:
    """Register an initializer under its name."""
    INITIALIZERS[function.__name__] = function
    return function


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Give the numbers of inputs and outputs of one unit.

    >>> fans((8, 3, 5, 5))
    (75, 200)
    """
    field = math.prod(shape[2:])
    if len(shape) < 2:
        return shape[0] if shape else 1, shape[0] if shape else 1
    return shape[1] * field, shape[0] * field


@initializer
def xavier_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw uniformly within sqrt(6 / (in + out)), for tanh, sigmoid (Glorot and Bengio, 2010)."""
    fan_in, fan_out = fans(shape)
    return _uniform(shape, math.sqrt(6 / (fan_in + fan_out)), rng)


@initializer
def xavier_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of standard deviation sqrt(2 / (in + out)) (Glorot and Bengio, 2010)."""
    fan_in, fan_out = fans(shape)
    return rng.normal(0, math.sqrt(2 / (fan_in + fan_out)), shape)


@initializer
def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw uniformly within sqrt(6 / in), for ReLU (He et al., 2015)."""
    return _uniform(shape, math.sqrt(6 / fans(shape)[0]), rng)


@initializer
def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of standard deviation sqrt(2 / in), for ReLU (He et al., 2015)."""
    return rng.normal(0, math.sqrt(2 / fans(shape)[0]), shape)


@initializer
def lecun_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of standard deviation sqrt(1 / in), for SELU (LeCun et al., 1998)."""
    return rng.normal(0, math.sqrt(1 / fans(shape)[0]), shape)


@initializer
def lecun_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw uniformly within sqrt(3 / in) (LeCun et al., 1998)."""
    return _uniform(shape, math.sqrt(3 / fans(shape)[0]), rng)


@initializer
def torch_linear(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw uniformly within 1 / sqrt(in), PyTorch's start of a linear layer."""
    return _uniform(shape, 1 / math.sqrt(fans(shape)[0]), rng)


@initializer
def small_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of standard deviation 0.01; through many layers signals die out."""
    return rng.normal(0, 0.01, shape)


@initializer
def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Zero everywhere: right for biases; hidden units of zero weights stay alike for ever."""
    return np.zeros(shape)


@initializer
def ones(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """One everywhere: right for the scales of normalization."""
    return np.ones(shape)


def _uniform(shape: tuple[int, ...], limit: float, rng: np.random.Generator) -> Array:
    return rng.uniform(-limit, limit, shape)


_MATCHING = {
    "relu": he_uniform, "leaky_relu": he_uniform, "prelu": he_uniform, "elu": he_uniform,
    "gelu": he_uniform, "silu": he_uniform, "swish": he_uniform, "mish": he_uniform,
    "softplus": he_uniform, "hardswish": he_uniform, "selu": lecun_normal,
}  # fmt: skip


def matching(activation: str) -> Initializer:
    """Give the initializer that fits what follows: He, LeCun (SELU) or Xavier (the others).

    >>> matching("relu").__name__, matching("tanh").__name__
    ('he_uniform', 'xavier_uniform')
    """
    return _MATCHING.get(activation, xavier_uniform)


def get_initializer(name: str | Initializer, activation: str = "identity") -> Initializer:
    """Look an initializer up by name; "auto" takes the one that matches the activation."""
    if callable(name):
        return name
    if name == "auto":
        return matching(activation)
    if name not in INITIALIZERS:
        known = ", ".join(sorted(INITIALIZERS))
        raise ConfigError(f"initializer {name!r} does not exist; there are auto, {known}")
    return INITIALIZERS[name]


def generator(seed: Any) -> np.random.Generator:
    """Give a random generator for a seed, a generator, or None (a new one every time)."""
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
