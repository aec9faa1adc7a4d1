"""Sizes of layers, checked before memory is taken."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule.errors import ConfigError


def check_size(name: str, n: Any) -> None:
    """Raise unless n is a whole number of at least 1."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ConfigError(f"{name}={n!r}: expected a whole number of at least 1")


def check_number(name: str, x: Any, most: float = np.inf) -> None:
    """Raise unless x is a finite number from 0 to `most`."""
    is_number = isinstance(x, int | float | np.number) and not isinstance(x, bool)
    if not is_number or not 0 <= x <= most or not np.isfinite(x):
        limit = f"from 0 to {most:g}" if np.isfinite(most) else "of at least 0"
        raise ConfigError(f"{name}={x!r}: expected a number {limit}")


_left: ContextVar[list[int] | None] = ContextVar("left", default=None)


@contextmanager
def at_most(numbers: int) -> Iterator[None]:
    """Refuse layers with more weights than so many, all layers together: those of a file.

    >>> with at_most(10):
    ...     check_memory(11)
    Traceback (most recent call last):
    ...
    chainrule.errors.ConfigError: a layer of 11 weights is larger than its file
    """
    token = _left.set([numbers])
    try:
        yield
    finally:
        _left.reset(token)


def check_memory(numbers: int) -> None:
    """Raise if a layer of so many weights cannot be trained in the memory of this machine."""
    left = _left.get()
    if left is not None:
        left[0] -= numbers
        if left[0] < 0:
            raise ConfigError(f"a layer of {numbers:,} weights is larger than its file")
    gib = numbers * 4 * 4 / 2**30  # weights, gradient and two arrays of an optimizer, in float32
    if gib > _memory_gib():
        raise ConfigError(
            f"a layer of {numbers:,} weights needs about {gib:,.0f} GiB to train, more than the "
            f"{_memory_gib():,.0f} GiB of this machine: use fewer units"
        )


def _memory_gib() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):  # not known on this system
        return 64.0
