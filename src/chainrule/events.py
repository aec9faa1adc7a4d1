"""What the training loop tells: typed events, and the callbacks that hear them.

A callback overrides the hooks it wants. Callbacks read; they never steer: training with them
gives the same bits as training without. One that replaces weights is an error; the mode of the
model and its buffers are put back.

>>> class Losses(Callback):
...     def __init__(self):
...         self.seen = []
...
...     def on_epoch_end(self, event):
...         self.seen.append(event.row["loss"])

A misspelt hook is an error, not silence:

>>> class Wrong(Callback):
...     def on_epoch_finish(self, event):
...         pass
Traceback (most recent call last):
...
chainrule.errors.ConfigError: Wrong has a hook on_epoch_finish that does not exist; the hooks are \
on_train_start, on_step_end, on_epoch_end, on_train_end
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import ConfigError
from chainrule.statistics import EpochStatistics, Norms


@dataclass(frozen=True)
class TrainStart:
    """Training begins: `first_epoch` is above 1 when it goes on from a checkpoint."""

    model: Any
    epochs: int
    steps_per_epoch: int
    rows: int
    first_epoch: int


@dataclass(frozen=True)
class StepEnd:
    """One batch was learned; the gradient norm is that before clipping.

    `statistics` are those of each parameter, in steps that were looked at (`Plan.statistics`).
    A program runs several steps at a time and tells of them afterwards, when the model has the
    weights of the last of them; with `compile=False` it has those of the step. Arrays taken from
    parameters are views that later steps of a program change: `model.state_dict()` copies them.
    """

    step: int
    epoch: int
    loss: float
    gradient_norm: float
    learning_rate: float
    statistics: Norms | None = None


@dataclass(frozen=True)
class EpochEnd:
    """One pass through the rows is done; `row` is the new row of the history."""

    epoch: int
    row: Mapping[str, float]
    is_best: bool
    model: Any
    statistics: EpochStatistics | None = None


@dataclass(frozen=True)
class TrainEnd:
    """Training is over; `reason` says why."""

    reason: str
    best_epoch: int | None
    model: Any


Event = TrainStart | StepEnd | EpochEnd | TrainEnd


class Callback:
    """Hears what happens in training; a subclass overrides the hooks it wants."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith("on_") and name not in _HOOKS:
                raise ConfigError(
                    f"{cls.__name__} has a hook {name} that does not exist; the hooks are "
                    + ", ".join(_HOOKS)
                )

    def on_train_start(self, event: TrainStart) -> None:
        """Hear of the start, before the first step."""

    def on_step_end(self, event: StepEnd) -> None:
        """Hear of a step."""

    def on_epoch_end(self, event: EpochEnd) -> None:
        """Hear of an epoch, validation included."""

    def on_train_end(self, event: TrainEnd) -> None:
        """Hear of the end: the best weights are restored, also when training failed."""


_HOOKS = ("on_train_start", "on_step_end", "on_epoch_end", "on_train_end")


class _EpochFunction(Callback):
    """A plain function as a callback: it is called after every epoch."""

    def __init__(self, function: Callable[[EpochEnd], Any]) -> None:
        self.function = function

    def on_epoch_end(self, event: EpochEnd) -> None:
        self.function(event)


def as_callbacks(given: Sequence[Any]) -> list[Callback]:
    """Check callbacks; a plain function is called after every epoch."""
    if not isinstance(given, Iterable):
        raise ConfigError(f"callbacks={given!r}: expected a list, such as callbacks=[callback]")
    callbacks: list[Callback] = []
    for item in given:
        if isinstance(item, Callback):
            callbacks.append(item)
        elif callable(item) and not isinstance(item, type):
            callbacks.append(_EpochFunction(item))
        else:
            raise ConfigError(
                f"callback {item!r}: expected an instance of chainrule.Callback or a function "
                "that takes an EpochEnd event"
            )
    return callbacks
