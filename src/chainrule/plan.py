"""The plan of a training: everything but the model, the loss and the rows.

>>> Plan(epochs=10, schedule="cosine").batch_size
32
>>> Plan(epochs=0)
Traceback (most recent call last):
...
chainrule.errors.ConfigError: epochs=0: expected a whole number of at least 1
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.averaging import SWA, check_average
from chainrule.checkpoint import Checkpoint
from chainrule.errors import ConfigError
from chainrule.graph import Array, Value
from chainrule.optim import Adam, Optimizer
from chainrule.penalties import Penalty, check_penalty
from chainrule.schedules import Schedule
from chainrule.stopping import EarlyStopping, ReduceOnPlateau
from chainrule.updating import as_groups

Score = Callable[[Array, Array], float]
Penalties = Penalty | Mapping[str, Penalty] | Callable[[float], Value]

_KINDS: dict[str, tuple[type, str]] = {
    "optimizer": (Optimizer, "chainrule.optim.Adam(0.001)"),
    "early_stopping": (EarlyStopping, "chainrule.EarlyStopping(patience=10)"),
    "plateau": (ReduceOnPlateau, "chainrule.ReduceOnPlateau()"),
}


def compiling(wanted: bool | str) -> bool | str:
    """Give what CHAINRULE_COMPILE says ("numba", "numpy", "jax" or "off"), else what is wanted."""
    forced = os.environ.get("CHAINRULE_COMPILE") or wanted
    if forced not in ("auto", "numba", "numpy", "jax", "off", True, False):
        expected = "expected 'numba', 'numpy', 'jax', 'off' or nothing"
        raise ConfigError(f"CHAINRULE_COMPILE={forced!r}: {expected}")
    return False if forced == "off" else forced


def plan_of(settings: Mapping[str, Any]) -> "Plan":
    """Make a plan of the arguments that `train` was given.

    >>> plan_of({"lr": 0.1})
    Traceback (most recent call last):
    ...
    chainrule.errors.ConfigError: there is no argument lr: pass optimizer=optim.Adam(0.1)
    """
    known = [item.name for item in fields(Plan)]
    for name, value in settings.items():
        if name in ("lr", "learning_rate"):
            raise ConfigError(f"there is no argument {name}: pass optimizer=optim.Adam({value!r})")
        if name not in known:
            raise ConfigError(f"there is no argument {name}; there are {', '.join(known)}")
    return Plan(**settings)


@dataclass(frozen=True)
class Plan:
    """How to train: everything but the model, the loss and the rows.

    * `epochs`, `batch_size` (None: all rows at once), `shuffle` (True, False, or a function of
      the epoch that gives the order: as many row numbers as rows are trained, repeats included),
      `seed`.
    * `schedule` multiplies the learning rate as a function of steps, or of epochs with
      `schedule_by="epoch"`.
    * `clip_norm` and `clip_value` limit the gradients. `accumulate` batches give one update, by the
      gradient of all their rows: a step then counts them all, and takes the memory of one.
    * `penalty` is one of `chainrule.penalties`, a mapping from names of layers to them, a function
      of the number of rows, or their total weight, that gives a term to add to the loss, or a list
      of these.
    * `early_stopping` watches the history, and with `plateau` lowers the rate before it stops.
      `average` keeps an average of the weights, which validates and is what remains, unless the
      training diverges: a number is the beta of an exponential moving average, `chainrule.SWA()`
      the mean of late epochs.
    * `score` is a function of predictions and targets for the validation rows, which are looked
      at after every `validate_every` epochs and after the last.
    * `statistics` looks at each layer in every step (True), or in every k-th (a number k): norms of
      gradient, weights and update, and units that are dead or saturated. They are in
      `history.statistics`, and cost nothing in the other steps (docs/training.md).
    * `compile` says how the step runs: "numba" (or True) as machine code, "numpy" as a list of
      NumPy calls, "jax" on the device that JAX has, such as a GPU, False as written; "auto" takes
      machine code where that pays. It uses at most `threads` threads, by default one per core,
      and only where that is faster.
    * `checkpoint` is a folder, or a `chainrule.Checkpoint`, where the state is kept and from which
      the same training goes on to the same bits; `every` says how often, such as "10 minutes",
      "500 steps" or a number of epochs (docs/checkpoints.md).
    """

    optimizer: Optimizer = field(default_factory=Adam)
    epochs: int = 100
    batch_size: int | None = 32
    shuffle: bool | Callable[[int], Array] = True
    seed: int | None = None
    schedule: str | Schedule | Callable[[float], float] | None = None
    schedule_by: str = "step"
    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate: int = 1
    penalty: Penalties | Sequence[Penalties] | None = None
    early_stopping: EarlyStopping | None = None
    plateau: ReduceOnPlateau | None = None
    average: float | SWA | None = None
    score: Score | None = None
    validate_every: int = 1
    groups: Any = None
    checkpoint: Checkpoint | str | Path | None = None
    every: int | str | None = None
    callbacks: Sequence[Any] = ()
    progress: bool = False
    statistics: bool | int = False
    compile: bool | str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, (kind, example) in _KINDS.items():
            value = getattr(self, name)
            if not (isinstance(value, kind) or (value is None and name != "optimizer")):
                raise ConfigError(f"{name}={value!r}: expected an object such as {example}")
        if self.plateau is not None and self.early_stopping is None:
            raise ConfigError(
                "plateau lowers the rate when the patience of early stopping has run out: pass "
                "early_stopping=chainrule.EarlyStopping(patience=10) too"
            )
        if self.score is not None and not callable(self.score):
            raise ConfigError(
                f"score={self.score!r}: expected a function of predictions and targets, such as "
                "score=lambda p, t: (p.argmax(1) == t).mean()"
            )
        if self.seed is not None:
            try:
                np.random.default_rng(self.seed)
            except (TypeError, ValueError) as error:
                expected = "expected a whole number of at least 0, or None"
                raise ConfigError(f"seed={self.seed!r}: {expected}") from error
        if self.groups is not None:
            object.__setattr__(self, "groups", as_groups(self.groups))
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "threads"):
            value = getattr(self, name)
            if value is None and name in ("batch_size", "threads"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ConfigError(f"{name}={value!r}: expected a whole number of at least 1")
        if not isinstance(self.statistics, bool | int | np.integer) or self.statistics < 0:
            expected = "expected True, False, or a number k for every k-th step"
            raise ConfigError(f"statistics={self.statistics!r}: {expected}")
        for name in ("clip_norm", "clip_value"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float | np.number) and value > 0):
                raise ConfigError(f"{name}={value!r}: expected a number above 0, or None")
        object.__setattr__(self, "checkpoint", Checkpoint.of(self.checkpoint, self.every))
        object.__setattr__(self, "every", None)  # the checkpoint has it now
        check_average(self.average, self.epochs)
        check_penalty(self.penalty)
        if self.compile not in ("auto", "numba", "numpy", "jax", True, False):
            expected = "expected 'auto', 'numba', 'numpy', 'jax', True or False"
            raise ConfigError(f"compile={self.compile!r}: {expected}")
        if self.schedule_by not in ("step", "epoch"):
            raise ConfigError(f"schedule_by={self.schedule_by!r}: expected 'step' or 'epoch'")
