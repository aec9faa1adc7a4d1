"""Contests of optimizers: each with its best rate, on rare columns, a net, or a walking target."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.claims.book import Run, Sample
from benchmarks.claims.nets import fitted, mlp, moons
from chainrule import losses, nn, ops, optim

Makers = dict[str, Callable[[float], optim.Optimizer]]
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
bce = losses.binary_cross_entropy_with_logits
CURVATURES = np.array([1.0, 100.0])


def bowl(x: Any) -> Any:
    """Give half the sum of curvature times x²."""
    return ops.sum(x * x * CURVATURES) / 2


def _best(tries: dict[float, Sample]) -> tuple[float, Sample]:
    """Give the setting of least mean."""
    chosen = min(tries, key=lambda setting: tries[setting].mean)
    return chosen, tries[chosen]


def tuned(
    kinds: Makers,
    rates: tuple[float, ...],
    score: Callable[[optim.Optimizer, int], float],
    seeds: range,
) -> dict[str, tuple[float, Sample]]:
    """Score each optimizer with the best of some rates; a divergence counts as a bad score."""

    def careful(optimizer: optim.Optimizer, seed: int) -> float:
        try:
            with np.errstate(all="ignore"):
                value = score(optimizer, seed)
        except ValueError:  # it diverged
            return 1e6
        return value if math.isfinite(value) else 1e6

    return {
        name: _best({rate: Sample(careful(make(rate), s) for s in seeds) for rate in rates})
        for name, make in kinds.items()
    }


def listed(found: dict[str, tuple[float, Sample]]) -> str:
    return ", ".join(f"{name} {sample} (η = {rate:g})" for name, (rate, sample) in found.items())


def _sparse(seed: int, rows: int = 600, columns: int = 100) -> tuple[Any, Any]:
    """Columns that are seldom 1, the later the rarer; labels by a linear rule."""
    rng = np.random.default_rng(seed)
    x = (rng.random((rows, columns)) < 1 / np.arange(2, columns + 2)).astype(np.float32)
    logit = x @ (3 * rng.normal(size=columns))
    return x, (logit - np.median(logit) + rng.logistic(size=rows) > 0).astype(np.float32)[:, None]


def sparse_loss(run: Run) -> Callable[[optim.Optimizer, int], float]:
    def score(optimizer: optim.Optimizer, seed: int) -> float:
        data = _sparse(seed)
        model = nn.Linear(data[0].shape[1], 1, init="zeros")
        fitted(model, bce, data, optimizer, run.amount(5, 2), seed=seed)
        return float(bce(model.predict(data[0]), data[1]))

    return score


def tracking(kinds: Makers, run: Run) -> dict[str, tuple[float, Sample]]:
    """Measure the squared error in following a target that walks, one noisy row at a time."""
    steps = run.amount(3000, 300)

    def score(optimizer: optim.Optimizer, seed: int) -> float:
        rng = np.random.default_rng(seed)
        w, target = np.zeros(3), np.zeros(3)
        state, total = optimizer.init(w), 0.0
        for t in range(1, steps + 1):
            target = target + 0.05 * rng.normal(size=3)
            x = rng.normal(size=3)
            g = 2 * (x @ (w - target) + 0.1 * rng.normal()) * x  # of the squared error of this row
            w, state = optimizer.update(w, g, state, t, optimizer.lr)
            total += float(np.sum((w - target) ** 2))
        return total / steps

    return tuned(kinds, (0.01, 0.03, 0.1, 0.3, 1.0), score, run.seeds(5))


def net_loss(run: Run, epochs: int = 20) -> Callable[[optim.Optimizer, int], float]:
    def score(optimizer: optim.Optimizer, seed: int) -> float:
        model, data = mlp([2, 32, 32, 1], "relu", seed), moons(seed, 300)
        fitted(model, bce, data, optimizer, run.amount(epochs, 3), seed=seed)
        return float(bce(model.predict(data[0]), data[1]))

    return score
