"""The learning-rate range test: one short training in which the rate grows until it fails.

>>> from chainrule import nn
>>> x = np.linspace(-1, 1, 256, dtype=np.float32).reshape(-1, 1)
>>> model = nn.mlp([1, 16, 1], "tanh", seed=0)
>>> test = lr_range_test(model, "mse", x, x**2, seed=0)
>>> 1e-3 < test.suggestion < 1
True
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.data import as_rows, epoch_order
from chainrule.errors import ConfigError, DivergedError, need
from chainrule.events import Callback, StepEnd
from chainrule.graph import Array
from chainrule.losses import Loss, get_loss
from chainrule.nn.module import Module
from chainrule.optim import MovingAverage
from chainrule.plan import plan_of
from chainrule.training import Training

_SET = ("epochs", "schedule", "schedule_by", "early_stopping", "plateau", "average", "checkpoint",
        "callbacks", "progress", "score", "validate_every")  # fmt: skip
"""Arguments of a plan that a range test sets, or has no use for."""

_TOO_MUCH = 4.0  # times the first loss above the least: the end, as the rates beyond diverge


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured, ready to be plotted: losses over the logarithm of the rates.

    `rates` and `losses` are those of each step. Batches differ, so from each loss that of the same
    batch under the first weights is taken, and their mean is added. `smoothed` and `slopes` are of
    straight lines over log(rate), each fitted to the steps around.
    """

    rates: Array
    losses: Array
    smoothed: Array
    slopes: Array

    @property
    def least(self) -> float:
        """Rate where the smoothed loss is least: too high to train with, a tenth of it is safe."""
        return float(self.rates[int(np.argmin(self.smoothed))])

    @property
    def suggestion(self) -> float:
        """Rate where the loss falls fastest over the logarithm of the rate."""
        end = int(np.argmin(self.smoothed)) + 1
        slopes = self.slopes[:end]
        if not slopes.min() < 0:
            raise ConfigError(
                f"the loss never fell from the rate {self.rates[0]:.2g} on: pass a smaller lowest="
            )
        return float(self.rates[int(np.argmin(slopes))])

    def __str__(self) -> str:
        tested = f"{len(self.rates)} rates from {self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        falls = self.slopes[: int(np.argmin(self.smoothed)) + 1].min() < 0
        advice = f"suggested: {self.suggestion:.2g}, " if falls else ""
        return f"{tested}; {advice}least loss at {self.least:.2g}"

    def to_frame(self) -> Any:
        """Give rates and losses as a pandas data frame."""
        pandas = need("pandas", extra="all", why="to give the range test as a data frame")
        columns = {
            "rate": self.rates, "loss": self.losses, "smoothed": self.smoothed,
            "slope": self.slopes,
        }  # fmt: skip
        return pandas.DataFrame(columns)


def lr_range_test(
    model: Module,
    loss: str | Loss,
    inputs: Any,
    target: Any,
    *,
    weight: Any = None,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    **plan: Any,
) -> RangeTest:
    """Find a learning rate: train a copy of the model while the rate grows with every step.

    rate_t = lowest (highest / lowest)^(t / (steps - 1)). It ends early where the loss, averaged
    over about ten steps, has risen by four times the first one (Smith, 2017). The arguments are
    those of `train`, with the optimizer of the training to come; its own rate does not count. The
    model stays as it is.
    """
    if not (0 < lowest < highest < np.inf):
        raise ConfigError(f"lowest={lowest!r}, highest={highest!r}: expected 0 < lowest < highest")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 5:
        raise ConfigError(f"steps={steps!r}: expected a whole number of at least 5")
    for name in _SET:
        if name in plan:
            raise ConfigError(f"lr_range_test has no argument {name!r}: it sets the rate itself")
    settings = plan_of(plan)
    rows = as_rows(inputs, target, weight)
    seed = int(np.random.default_rng(settings.seed).integers(2**31))
    taken = steps * settings.accumulate * (settings.batch_size or len(rows))
    if taken < len(rows):
        rows = rows.take(epoch_order(len(rows), seed, 0)[:taken])
    steps_per_epoch = -(-len(rows) // ((settings.batch_size or len(rows)) * settings.accumulate))
    optimizer, epochs = replace(settings.optimizer, lr=lowest), -(-steps // steps_per_epoch)

    def losses(factor: Callable[[float], float]) -> Array:
        """Give rate and loss of each step, until it diverges."""
        heard = _Steps()
        chosen = replace(
            settings,
            optimizer=optimizer,
            epochs=epochs,
            schedule=factor,
            callbacks=[heard],
            seed=seed,
        )
        try:
            copied, groups = copy.deepcopy((model, chosen.groups))  # of the parameters copied
            chosen = replace(chosen, groups=groups)
            Training(copied, get_loss(loss), rows, None, chosen).run()
        except DivergedError:
            if not heard.seen:
                raise
        return np.array(heard.seen[:steps])

    own = losses(lambda t: float((highest / lowest) ** (min(t, steps - 1) / (steps - 1))))
    before = losses(lambda t: 0.0)[: len(own), 1]
    return _record(own[:, 0], own[:, 1] - before + before.mean())


class _Steps(Callback):
    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_step_end(self, event: StepEnd) -> None:
        self.seen.append((event.learning_rate, event.loss))


def _record(rates: Array, losses: Array) -> RangeTest:
    average, least, end = MovingAverage(0.9), np.inf, 0
    first = losses[0]
    for loss in losses:
        now, end = float(average.update(loss)), end + 1
        least = min(least, now)
        if now - least > _TOO_MUCH * abs(first):
            break
    rates, losses = rates[:end], losses[:end]
    reach = max(end // 20, 2)
    fits = []
    for i in range(end):
        begin = min(max(i - reach, 0), max(end - 2 * reach - 1, 0))
        around = slice(begin, begin + 2 * reach + 1)
        x, y = np.log(rates[around] / rates[i]), losses[around]
        centred = x - x.mean()
        slope = centred @ y / (centred @ centred)
        fits.append((y.mean() - slope * x.mean(), slope))
    smoothed, slopes = np.array(fits).T
    return RangeTest(rates, losses, smoothed, slopes)
