"""Short trainings that several rows need.

>>> descend(lambda x: x * x, 1.0, optim.SGD(0.1), 10).round(8)
np.float64(0.10737418)
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import grad, ops, optim

XOR_INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_TARGETS = np.array([0.0, 1.0, 1.0, 0.0])


def path(
    f: Callable[[Any], Any], start: Any, optimizer: optim.Optimizer, steps: int, sign: float = 1.0
) -> list[Any]:
    """Give the points that an optimizer visits on its way down f; with sign = -1, up."""
    x = np.asarray(start, dtype=float)
    state, points, slope = optimizer.init(x), [x], grad(f)
    for t in range(1, steps + 1):
        x, state = optimizer.update(x, sign * slope(x), state, t, optimizer.lr)
        points.append(x)
    return points


def descend(f: Callable[[Any], Any], start: Any, optimizer: optim.Optimizer, steps: int) -> Any:
    """Give the point that an optimizer reaches after some steps down f."""
    return path(f, start, optimizer, steps)[-1]


def first_step(optimizer: optim.Optimizer, gradient: float) -> float:
    """Give how far an optimizer moves a weight of 0 in its first step."""
    zero = np.zeros(())
    return float(optimizer.update(zero, np.array(gradient), optimizer.init(zero), 1,
                                  optimizer.lr)[0])  # fmt: skip


def double_well(x: Any) -> Any:
    """x^4 - 3 x^2 + x: a minimum of -1.0702 at 1.1309, and one of -3.5139 at -1.3008."""
    return x**4 - 3 * x**2 + x


def linear_fit(inputs: Any, targets: Any) -> Any:
    """Give the least-squares weights, by one Newton step of the library's derivatives."""
    from chainrule import hessian

    def cost(w: Any) -> Any:
        residual = ops.matmul(inputs, w) - targets
        return ops.sum(residual * residual)

    start = np.zeros(inputs.shape[1])
    return start - np.linalg.solve(hessian(cost)(start), grad(cost)(start))
