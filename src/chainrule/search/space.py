"""Spaces: the values from which a search draws a setting.

>>> space = checked({"lr": LogUniform(1e-4, 1e-1), "layers": Int(1, 3), "act": ["relu", "tanh"]})
>>> list(space)
['lr', 'layers', 'act']
>>> len(grid(space, points=4))  # 4 rates, 3 numbers of layers, 2 activations
24

What the values are made of may be searched, too:

>>> from chainrule import losses, optim
>>> space = checked({
...     "loss": Choice(["squared_error", Call(losses.huber.having, delta=LogUniform(0.1, 10))]),
...     "optimizer": Choice([Call(optim.Adam, lr=LogUniform(1e-4, 1e-2)),
...                          Call(optim.SGD, lr=LogUniform(1e-3, 1), momentum=Uniform(0, 0.99))]),
... })
>>> stored = Stored({"loss": 1, "loss.huber.delta": 2.0, "optimizer": 0, "optimizer.Adam.lr": 1e-3})
>>> values = drawn(space, stored)
>>> values["loss"], values["optimizer"].lr
(losses.huber.having(delta=2.0), 0.001)
"""

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from chainrule.errors import ConfigError

Flat = dict[str, Any]
"""What was drawn, as numbers by name; of a choice, the number of the option."""


class Source(Protocol):
    """Where a space gets its values from: a sampler, or a trial that was stored."""

    def uniform(self, name: str, low: float, high: float, log: bool) -> float:
        """Give a number from low to high."""

    def whole(self, name: str, low: int, high: int, log: bool) -> int:
        """Give a whole number from low to high, both included."""

    def option(self, name: str, options: Sequence[Any]) -> int:
        """Give the number of an option."""


class Space(ABC):
    """A set of values that a setting may have."""

    @abstractmethod
    def draw(self, name: str, source: Source) -> Any:
        """Take a value from a source."""

    @abstractmethod
    def grid(self, name: str, points: int) -> list[Flat]:
        """List values that are spread over the space, at most `points` of a range."""


@dataclass(frozen=True)
class Uniform(Space):
    """A number between `low` and `high`, every one as likely as another.

    >>> Uniform(0, 0.5).grid("dropout", points=3)
    [{'dropout': 0.0}, {'dropout': 0.25}, {'dropout': 0.5}]
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self, float)

    def draw(self, name: str, source: Source) -> float:
        """Take a number from a source."""
        return float(source.uniform(name, self.low, self.high, log=False))

    def grid(self, name: str, points: int) -> list[Flat]:
        """List equally spaced numbers, both ends included."""
        return [{name: float(x)} for x in _unique(np.linspace(self.low, self.high, points))]


@dataclass(frozen=True)
class LogUniform(Space):
    """A number between `low` and `high` whose logarithm is uniform: for rates and penalties.

    The median is the geometric mean of the ends (Bergstra and Bengio, 2012).

    >>> [round(x["lr"], 6) for x in LogUniform(1e-4, 1e-2).grid("lr", points=3)]
    [0.0001, 0.001, 0.01]
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self, float, positive=True)

    def draw(self, name: str, source: Source) -> float:
        """Take a number from a source."""
        return float(source.uniform(name, self.low, self.high, log=True))

    def grid(self, name: str, points: int) -> list[Flat]:
        """List numbers with equal ratios, both ends included."""
        return [{name: float(x)} for x in _unique(np.geomspace(self.low, self.high, points))]


@dataclass(frozen=True)
class Int(Space):
    """A whole number from `low` to `high`, both included; with `log` its logarithm is uniform.

    >>> Int(16, 256, log=True).grid("units", points=3)
    [{'units': 16}, {'units': 64}, {'units': 256}]
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self, int, positive=self.log)

    def draw(self, name: str, source: Source) -> int:
        """Take a whole number from a source."""
        return int(source.whole(name, self.low, self.high, self.log))

    def grid(self, name: str, points: int) -> list[Flat]:
        """List spread numbers, both ends included; all of them where there are few."""
        if self.high - self.low < points:
            return [{name: i} for i in range(self.low, self.high + 1)]
        spread = (np.geomspace if self.log else np.linspace)(self.low, self.high, points)
        return [{name: int(i)} for i in _unique(np.rint(spread))]


class Choice(Space):
    """One of some options, which may be of any type; an option may be a space itself.

    A list in a space means the same.

    >>> len(Choice(["relu", Call(dict, slope=Uniform(0, 1))]).grid("activation", points=3))
    4
    """

    def __init__(self, options: Sequence[Any]) -> None:
        if isinstance(options, str) or not isinstance(options, Sequence) or not len(options):
            raise ConfigError(f"Choice({options!r}): expected a list with at least one option")
        self.options = tuple(options)

    def __repr__(self) -> str:
        return f"Choice([{', '.join(word(option) for option in self.options)}])"

    def draw(self, name: str, source: Source) -> Any:
        """Take an option from a source, and what it is made of."""
        number = source.option(name, self.options)
        option = self.options[number]
        return option.draw(self._inner(name, number), source) if _made(option) else option

    def grid(self, name: str, points: int) -> list[Flat]:
        """List the options, and those that are spaces with their values."""
        return [
            {name: i} | inner
            for i, option in enumerate(self.options)
            for inner in (option.grid(self._inner(name, i), points) if _made(option) else [{}])
        ]

    def _inner(self, name: str, number: int) -> str:
        """Name what an option is made of, apart from the others: "optimizer.Adam"."""
        titles = [title(option) for option in self.options]
        own = titles[number]
        return f"{name}.{own if titles.count(own) == 1 else number}"


class Call(Space):
    """What a function makes of arguments that are spaces, or fixed.

    >>> from chainrule import losses
    >>> Call(losses.huber.having, delta=LogUniform(0.1, 10.0)).grid("loss", points=3)[0]
    {'loss.delta': 0.1}
    """

    def __init__(self, function: Callable[..., Any], /, **arguments: Any) -> None:
        if not callable(function):
            raise ConfigError(f"Call({function!r}): expected a function, such as optim.Adam")
        self.function = function
        self.arguments = arguments
        self.spaces = {
            key: as_space(key, value)
            for key, value in arguments.items()
            if isinstance(value, Space | list)
        }

    def __repr__(self) -> str:
        given = [f"{key}={word(value)}" for key, value in self.arguments.items()]
        return f"Call({', '.join([word(self.function), *given])})"

    def draw(self, name: str, source: Source) -> Any:
        """Take the arguments from a source, and call the function."""
        drawn = {key: space.draw(f"{name}.{key}", source) for key, space in self.spaces.items()}
        return self.function(**(self.arguments | drawn))

    def grid(self, name: str, points: int) -> list[Flat]:
        """List the product of the arguments."""
        parts = [space.grid(f"{name}.{key}", points) for key, space in self.spaces.items()]
        return _product(parts)


def widths(layers: tuple[int, int], units: tuple[int, int]) -> Call:
    """Hidden layers of equal width: how many, and how wide, each from low to high.

    >>> space = {"hidden_layer_sizes": widths(layers=(1, 3), units=(16, 256))}
    >>> drawn(space, Stored({"hidden_layer_sizes.layers": 2, "hidden_layer_sizes.units": 40}))
    {'hidden_layer_sizes': (40, 40)}
    """
    return Call(equal_layers, layers=Int(*layers), units=Int(*units, log=True))


def equal_layers(layers: int, units: int) -> tuple[int, ...]:
    """Give the widths of some layers that are equally wide."""
    return (units,) * layers


class Stored:
    """A source that has what was drawn before, and remembers how to show it."""

    def __init__(self, flat: Mapping[str, Any]) -> None:
        self.flat = flat
        self.shown: Flat = {}

    def uniform(self, name: str, low: float, high: float, log: bool) -> float:
        """Give the stored number."""
        self.shown[name] = float(self.flat[name])
        return float(self.flat[name])

    def whole(self, name: str, low: int, high: int, log: bool) -> int:
        """Give the stored whole number."""
        self.shown[name] = int(self.flat[name])
        return int(self.flat[name])

    def option(self, name: str, options: Sequence[Any]) -> int:
        """Give the number of the stored option, and show the option itself."""
        option = options[self.flat[name]]
        self.shown[name] = title(option) if _made(option) else option
        return int(self.flat[name])


def drawn(space: Mapping[str, Space], source: Source) -> dict[str, Any]:
    """Take a value for every setting from a source."""
    return {name: part.draw(name, source) for name, part in space.items()}


def as_space(name: str, value: Any) -> Space:
    """Give a space as it is, and make a choice of a list."""
    if isinstance(value, Space):
        return value
    if isinstance(value, list) and value:
        return Choice(value)
    if isinstance(value, list):
        raise ConfigError(f"{name}=[]: there is nothing to choose from")
    raise ConfigError(
        f"{name}={value!r}: expected a list of options, or a space such as "
        "chainrule.search.LogUniform(1e-4, 1e-1)"
    )


def checked(space: Any) -> dict[str, Space]:
    """Refuse what is no space, and a space with nothing in it."""
    if not isinstance(space, Mapping):
        raise ConfigError(f"space={space!r}: expected a dictionary from settings to spaces")
    if not space:
        raise ConfigError("space={}: there is nothing in it to search")
    for name in space:
        if not isinstance(name, str):
            raise ConfigError(f"space: the setting {name!r} is no text")
    return {name: as_space(name, value) for name, value in space.items()}


def grid(space: Mapping[str, Space], points: int) -> list[Flat]:
    """List the product of the values of all settings (the last changes fastest)."""
    return _product([part.grid(name, points) for name, part in space.items()])


def title(option: Any) -> str:
    """Name an option by the function that makes it, or the loss that it is a form of.

    >>> title(Call(dict, a=Int(1, 2)))
    'dict'
    """
    if not isinstance(option, Call):
        return type(option).__name__
    name = getattr(getattr(option.function, "__self__", None), "name", None)
    return name if isinstance(name, str) else getattr(option.function, "__name__", "made")


def _made(option: Any) -> bool:
    return isinstance(option, Space)


def word(value: Any) -> str:
    """Write a value so that it is the same in every process: without addresses in memory.

    >>> word(math.sqrt), word([1, "a"])
    ('math.sqrt', "[1, 'a']")
    """
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, type(math)):
        return f"{word(owner)}.{value.__name__}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _product(parts: Sequence[Sequence[Flat]]) -> list[Flat]:
    return [
        {name: value for part in combination for name, value in part.items()}
        for combination in itertools.product(*parts)
    ]


def _unique(values: Any) -> list[float]:
    return list(dict.fromkeys(values.tolist()))


def _check_range(space: Any, kind: type, *, positive: bool = False) -> None:
    """Refuse ends that are no numbers, or in the wrong order."""
    numbers = (int, np.integer) if kind is int else (int, float, np.number)
    for end in (space.low, space.high):
        if isinstance(end, bool) or not isinstance(end, numbers) or not math.isfinite(end):
            expected = "whole numbers" if kind is int else "numbers"
            raise ConfigError(f"{space!r}: expected two {expected}, the lower first")
    if space.low > space.high:
        raise ConfigError(f"{space!r}: nothing is between {space.low} and {space.high}")
    if positive and space.low <= 0:
        raise ConfigError(f"{space!r}: a logarithm needs low above 0")
