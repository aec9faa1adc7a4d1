"""Take plain data from a file apart, trusting nothing: dictionaries, lists, text and numbers.

Whatever a model file holds beside its arrays is plain data. These readers return what was asked
for, of the type that was asked for, or raise a `FormatError` that names the place.

>>> entry({"rate": 0.5}, "rate", float)
0.5
>>> entry({"rate": "fast"}, "rate", float)
Traceback (most recent call last):
...
chainrule.errors.FormatError: entry 'rate' should be of type float, it is the str 'fast'
"""

import math
from collections.abc import Collection
from typing import TypeVar

from chainrule.errors import FormatError

T = TypeVar("T")


def entry(state: object, key: str, kind: type[T]) -> T:
    """Return `state[key]`, which has to be of exactly this type; numbers have to be finite.

    >>> entry({"width": True}, "width", int)
    Traceback (most recent call last):
    ...
    chainrule.errors.FormatError: entry 'width' should be of type int, it is the bool True
    """
    if type(state) is not dict:
        raise FormatError(f"expected a dictionary with {key!r}, found {_shown(state)}")
    if key not in state:
        raise FormatError(f"entry {key!r} is missing, found {_shown(sorted(map(str, state)))}")
    value = state[key]
    if type(value) is not kind:
        raise FormatError(f"entry {key!r} should be of type {kind.__name__}, it is {_shown(value)}")
    if not _finite(value):
        raise FormatError(f"entry {key!r} should be finite, it is {value}")
    return value


def items(state: object, key: str, kind: type[T]) -> list[T]:
    """Return `state[key]`, a list whose items are all of exactly this type.

    >>> items({"names": ["a", "b"]}, "names", str)
    ['a', 'b']
    """
    found: list[object] = entry(state, key, list)
    return [entry({f"{key}[{i}]": item}, f"{key}[{i}]", kind) for i, item in enumerate(found)]


def scalars(state: object, key: str) -> list[str | int | float | bool]:
    """Return `state[key]`, a list of different texts, numbers and booleans.

    >>> scalars({"classes": ["a", 1, 1.0]}, "classes")
    Traceback (most recent call last):
    ...
    chainrule.errors.FormatError: entry 'classes' holds a value twice
    """
    found: list[object] = entry(state, key, list)
    kinds = (str, int, float, bool)
    values = [value for value in found if isinstance(value, kinds) and type(value) in kinds]
    if len(values) < len(found) or not all(map(_finite, values)):
        raise FormatError(f"entry {key!r} should hold text, finite numbers and booleans")
    if len(set(values)) < len(values):
        raise FormatError(f"entry {key!r} holds a value twice")
    return values


def only(state: object, keys: Collection[str]) -> None:
    """Refuse entries that nobody reads: a newer format, or a file written by something else.

    >>> only({"rate": 0.5, "size": 3}, ["rate"])
    Traceback (most recent call last):
    ...
    chainrule.errors.FormatError: unknown entries ['size'], known are ['rate']
    """
    if type(state) is not dict:
        raise FormatError(f"expected a dictionary, found {_shown(state)}")
    unknown = sorted(str(key) for key in state if key not in keys)
    if unknown:
        raise FormatError(f"unknown entries {unknown}, known are {sorted(keys)}")


def _finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _shown(value: object) -> str:
    text = repr(value)
    return f"the {type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
