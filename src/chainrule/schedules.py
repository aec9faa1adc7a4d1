"""Learning-rate schedules: functions of time that give a factor for the rate.

Time is counted in steps or in epochs, as the training loop is told. A schedule that needs the end
takes it from `total`, or from the length of the training when that is None.

>>> [float(Step(every=10, factor=0.5)(t)) for t in (0, 9, 10, 25)]
[1.0, 1.0, 0.5, 0.25]
>>> [round(0.1 * InverseTime(k=0.1)(t), 8) for t in (0, 1, 10)]
[0.1, 0.09090909, 0.05]
>>> WarmUp(5, Cosine(total=10))(2.5)
0.5
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from chainrule.errors import ConfigError

SCHEDULES: dict[str, "type[Schedule]"] = {}
"""Every schedule by name, in lower case."""


def schedule(cls: "type[Schedule]") -> "type[Schedule]":
    """Register a schedule under its name in lower case."""
    SCHEDULES[cls.__name__.lower()] = cls
    return cls


@dataclass(frozen=True)
class Schedule:
    """A factor for the learning rate as a function of time t = 0, 1, 2, ..."""

    def __call__(self, t: float) -> float:
        """Give the factor at time t."""
        raise NotImplementedError

    def over(self, total: float) -> "Schedule":
        """Give the schedule with its end at `total` if it has none of its own."""
        if getattr(self, "total", 1.0) is not None:
            return self
        return replace(self, total=total)  # type: ignore[call-arg]


@schedule
@dataclass(frozen=True)
class Constant(Schedule):
    """The factor 1."""

    def __call__(self, t: float) -> float:
        """Give 1."""
        return 1.0


@schedule
@dataclass(frozen=True)
class Step(Schedule):
    """factor^floor(t / every)."""

    every: float = 10
    factor: float = 0.1

    def __post_init__(self) -> None:
        _positive(self, "every", self.every)

    def __call__(self, t: float) -> float:
        """Multiply by `factor` every `every`."""
        return float(self.factor ** math.floor(t / self.every))


@schedule
@dataclass(frozen=True)
class Exponential(Schedule):
    """exp(-k t)."""

    k: float = 0.05

    def __call__(self, t: float) -> float:
        """Give exp(-k t)."""
        return math.exp(-self.k * t)


@schedule
@dataclass(frozen=True)
class InverseTime(Schedule):
    """1 / (1 + k t)."""

    k: float = 0.1

    def __call__(self, t: float) -> float:
        """Give 1 / (1 + k t)."""
        return 1 / (1 + self.k * t)


@schedule
@dataclass(frozen=True)
class InverseScaling(Schedule):
    """1 / (t + 1)^power, scikit-learn's "invscaling"."""

    power: float = 0.5

    def __call__(self, t: float) -> float:
        """Give (t + 1)^-power."""
        return float((t + 1) ** -self.power)


@schedule
@dataclass(frozen=True)
class Linear(Schedule):
    """From 1 at the start to `final` at the end, in a straight line."""

    total: float | None = None
    final: float = 0.0

    def __call__(self, t: float) -> float:
        """Give 1 - (1 - final) t / total."""
        return 1 - (1 - self.final) * _progress(self, t, self.total)


@schedule
@dataclass(frozen=True)
class Cosine(Schedule):
    """final + (1 - final) (1 + cos(pi t / total)) / 2 (Loshchilov and Hutter, 2017)."""

    total: float | None = None
    final: float = 0.0

    def __call__(self, t: float) -> float:
        """Follow half a cosine."""
        wave = (1 + math.cos(math.pi * _progress(self, t, self.total))) / 2
        return self.final + (1 - self.final) * wave


@schedule
@dataclass(frozen=True)
class FlatCosine(Schedule):
    """1 until the share `flat` of the time, then half a cosine to 0."""

    total: float | None = None
    flat: float = 0.5

    def __call__(self, t: float) -> float:
        """Stay, then follow half a cosine."""
        rest = max(_progress(self, t, self.total) - self.flat, 0.0) / (1 - self.flat)
        return (1 + math.cos(math.pi * rest)) / 2


@schedule
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rise from 1 / start to 1 within the share `rise`, then fall to 1 / (start end).

    Both parts follow half a cosine (Smith and Topin, 2018), with PyTorch's defaults.
    """

    total: float | None = None
    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4

    def __call__(self, t: float) -> float:
        """Rise, then fall."""
        done = _progress(self, t, self.total)
        if done < self.rise:
            return _cosine_between(1 / self.start, 1.0, done / self.rise)
        return _cosine_between(
            1.0, 1 / (self.start * self.end), (done - self.rise) / (1 - self.rise)
        )


@schedule
@dataclass(frozen=True)
class WarmUp(Schedule):
    """Rise in a straight line from 0 to 1 within `time`, then follow another schedule."""

    time: float = 5
    then: Schedule | Callable[[float], float] = field(default_factory=Constant)

    def __post_init__(self) -> None:
        _positive(self, "time", self.time)

    def __call__(self, t: float) -> float:
        """Rise, then hand over."""
        return t / self.time if t < self.time else self.then(t - self.time)

    def over(self, total: float) -> Schedule:
        """Give the rest of the time to the schedule that follows."""
        if isinstance(self.then, Schedule):
            return replace(self, then=self.then.over(max(total - self.time, 1)))
        return self


def get_schedule(
    name: "str | Schedule | Callable[[float], float]",
) -> "Schedule | Callable[[float], float]":
    """Look a schedule up by name; a schedule or a function of time is returned as it is.

    >>> get_schedule("cosine").over(10)(5)
    0.5
    """
    if callable(name):
        return name
    if name not in SCHEDULES:
        known = ", ".join(sorted(SCHEDULES))
        raise ConfigError(f"schedule {name!r} does not exist; there are {known}")
    return SCHEDULES[name]()


def _progress(given: Schedule, t: float, total: float | None) -> float:
    if total is None:
        name = type(given).__name__
        raise ConfigError(f"{name} needs to know the end: {name}(total=100), or {name}().over(100)")
    return min(max(t / total, 0.0), 1.0) if total > 0 else 1.0


def _cosine_between(a: float, b: float, share: float) -> float:
    return b + (a - b) * (1 + math.cos(math.pi * share)) / 2


def _positive(given: Schedule, name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{type(given).__name__}({name}={value}): expected a number above 0")
