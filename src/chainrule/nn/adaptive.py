"""A loss that learns how much to mind outliers, while the model is trained.

>>> from chainrule import nn, optim, train
>>> rng = np.random.default_rng(0)
>>> x = rng.uniform(-1, 1, (200, 1))
>>> y = 3 * x + 0.1 * rng.normal(size=x.shape)
>>> y[::5] += 10  # every fifth row is an outlier
>>> model, loss = nn.Linear(1, 1, seed=0).astype(float), nn.AdaptiveLoss().astype(float)
>>> history = train(model, loss, x, y, optimizer=optim.Adam(0.05), epochs=100, seed=0)
>>> abs(float(model.weight) - 3) < 0.1, float(loss.alpha) < 0.5
(True, True)
"""

import math
from typing import Any, Self

import numpy as np

from chainrule import losses, ops
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import Value, dtype_of, no_grad, shape_of
from chainrule.nn.checks import check_memory, check_size
from chainrule.nn.module import Module, Parameter, register

_LOW, _HIGH = 0.001, 1.999  # shapes that are learned; at 0 and 2 the formula is 0 / 0
_LEAST = 1e-5  # the scale: residuals of exactly 0 would make it 0, and the likelihood infinite

# Trapezoids of x = sinh(pi / 2 sinh t), whose error is below 1e-9 for every shape in the range.
_STEP = 0.06
_T = _STEP * np.arange(61)
_NODES = np.sinh(np.pi / 2 * np.sinh(_T))
_WEIGHTS = _STEP * np.pi * np.cosh(_T) * np.cosh(np.pi / 2 * np.sinh(_T))
_WEIGHTS[0] /= 2  # the other half line is counted in the rest, by symmetry


def log_partition(alpha: Value) -> Value:
    """Logarithm of the integral of exp(-rho(x, alpha, 1)) over all x, for 0 < alpha < 2.

    That is log(sqrt(2) pi) at 0, log(2 e K_1(1)) at 1 and log(2 pi) / 2 at 2 (Barron, 2019).

    >>> float(np.exp(log_partition(np.array([1.999999]))[0]).round(4))  # sqrt(2 pi)
    2.5066
    """
    column = (-1, *[1] * len(shape_of(alpha)))
    dtype = dtype_of(alpha)
    nodes, weights = (x.astype(dtype).reshape(column) for x in (_NODES, _WEIGHTS))
    rho = losses.adaptive.formula(nodes, np.zeros((), dtype), alpha=alpha)
    return ops.log(ops.sum(ops.mul(ops.exp(ops.neg(rho)), weights), axis=0))


@register
class AdaptiveLoss(Module):
    """Negative log likelihood of the general robust distribution, alpha and scale being learned.

    rho(d, alpha, scale) + log(scale) + log Z(alpha), with the rho of `losses.adaptive` and Z its
    partition function, of d = prediction - target (Barron, 2019). Without log Z, alpha would
    fall forever: small shapes make all outliers cheap. alpha stays between 0.001 (Cauchy: almost
    no notice of outliers) and 1.999 (normal: mean squared error).

    `train(model, AdaptiveLoss(), ...)` learns its two parameters with those of the model; with
    `num_parameters` above 1 each column of the targets has its own.

    >>> loss = AdaptiveLoss(alpha=1.0, scale=0.5)
    >>> round(float(loss.alpha), 5), round(float(loss.scale), 5)
    (1.0, 0.5)
    """

    def __init__(self, num_parameters: int = 1, alpha: float = 1.0, scale: float = 1.0) -> None:
        check_size("num_parameters", num_parameters)
        check_memory(2 * num_parameters)
        if not _LOW < alpha < _HIGH:
            raise ConfigError(
                f"AdaptiveLoss(alpha={alpha}): expected a start between {_LOW} and {_HIGH}; with "
                "a shape that stays, take losses.adaptive.having(alpha=...)"
            )
        if not (scale > _LEAST and math.isfinite(scale)):
            raise ConfigError(f"AdaptiveLoss(scale={scale}): expected a number above {_LEAST}")
        self.num_parameters = num_parameters
        self.start = (alpha, scale)
        self.raw_alpha = Parameter(np.zeros(num_parameters))
        self.raw_scale = Parameter(np.zeros(num_parameters))
        self.initialize()

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Set shape and scale to their start."""
        alpha, scale = self.start
        share = (alpha - _LOW) / (_HIGH - _LOW)
        above = scale - _LEAST
        n = self.num_parameters
        with no_grad():
            self.raw_alpha.assign(np.full(n, math.log(share / (1 - share))))
            self.raw_scale.assign(np.full(n, above + math.log(-math.expm1(-above))))
        return self

    @property
    def alpha(self) -> Value:
        """The shape: 0.001 + 1.998 sigmoid(raw_alpha)."""
        return ops.add(ops.mul(ops.sigmoid(self.raw_alpha), _HIGH - _LOW), _LOW)

    @property
    def scale(self) -> Value:
        """The size of usual errors: softplus(raw_scale) + 0.00001."""
        return ops.add(ops.softplus(self.raw_scale), _LEAST)

    @property
    def loss(self) -> losses.Loss:
        """The same as a `Loss`, with reduction, weights and checks."""
        return losses.Loss("adaptive_likelihood", self.forward, "values", "values")

    def forward(self, prediction: Value, target: Value) -> Value:
        """Give the negative log likelihood of each target: the shape of the predictions."""
        shape = shape_of(prediction)
        if self.num_parameters > 1 and shape[-1:] != (self.num_parameters,):
            raise ShapeError(
                f"AdaptiveLoss({self.num_parameters}) got predictions of shape {shape}; expected "
                f"(rows, {self.num_parameters})"
            )
        alpha, scale = self.alpha, self.scale
        rho = losses.adaptive.formula(prediction, target, alpha=alpha, scale=scale)
        return ops.add(rho, ops.add(ops.log(scale), log_partition(alpha)))

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        alpha, scale = self.start
        return {"num_parameters": self.num_parameters, "alpha": alpha, "scale": scale}

    def extra_repr(self) -> str:
        """Give the number of shapes, and the start."""
        return f"{self.num_parameters}, alpha={self.start[0]}, scale={self.start[1]}"
