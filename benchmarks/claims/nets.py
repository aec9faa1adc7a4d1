"""Data and trainings that several claims share."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import History, functional, grad, losses, nn, ops, optim, train

Data = tuple[Any, Any]


def moons(seed: int, rows: int, noise: float = 0.2) -> Data:
    """Two half circles that reach into each other, with labels 0 and 1 of shape (rows, 1)."""
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=rows)
    angle = rng.uniform(0, np.pi, rows)
    x = np.column_stack([np.cos(angle), np.sin(angle)])
    x = np.where(label[:, None] == 1, [1.0, 0.5] - x, x) + noise * rng.normal(size=(rows, 2))
    return x.astype(np.float32), label[:, None].astype(np.float32)


def waves(seed: int, rows: int, noise: float = 0.3) -> Data:
    """Noisy values of a function of two inputs; targets have shape (rows, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (rows, 2))
    y = np.sin(2 * x[:, 0]) + x[:, 1] ** 2 / 2 + noise * rng.normal(size=rows)
    return x.astype(np.float32), y[:, None].astype(np.float32)


def line(seed: int, rows: int, columns: int, noise: float = 0.5) -> Data:
    """Draw rows of a linear function of independent normal inputs, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    y = x @ rng.normal(size=columns) + noise * rng.normal(size=rows)
    return x.astype(np.float32), y[:, None].astype(np.float32)


def fitted(
    model: Any, loss: Any, data: Data, optimizer: optim.Optimizer, epochs: int, **plan: Any
) -> History:
    """Train a model and give the history; one row of the history per epoch."""
    return train(model, loss, *data, optimizer=optimizer, epochs=epochs, **plan)


def mse(model: Any, data: Data) -> float:
    """Mean squared error of a model on data."""
    return float(losses.mse(model.predict(data[0]), data[1]))


def accuracy(model: Any, data: Data) -> float:
    """Share of rows that the sign of a logit gets right."""
    return float(np.mean((model.predict(data[0]) > 0) == (data[1] > 0.5)))


def epochs_to(history: History, loss: float, never: int) -> int:
    """Give the first epoch whose training loss is at most `loss`, or `never`."""
    reached = np.flatnonzero(np.asarray(history["loss"]) <= loss)
    return int(reached[0]) + 1 if len(reached) else never


def mlp(sizes: Sequence[int], activation: str = "relu", seed: int = 0, **more: Any) -> Any:
    """Build a net; maxout gets two pieces per unit."""
    return nn.mlp(list(sizes), activation, seed=seed, **more)


def seconds(call: Callable[[], Any], repeats: int = 20) -> float:
    """Give the least time that a call takes."""
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def normal_mean(f: Callable[[Any], Any], seeds: Sequence[int]) -> list[float]:
    """Mean of f over 10,000 standard normal numbers for each seed."""
    return [float(np.mean(f(np.random.default_rng(s).normal(size=10_000)))) for s in seeds]


def slopes(name: str, x: Any, **settings: Any) -> Any:
    """Differentiate an activation at each number of x."""
    f = functional.get_activation(name)
    return grad(lambda v: ops.sum(f(v, **settings)))(np.asarray(x, dtype=float))
