"""The memory of a program: one arena, in which pieces that are not needed together overlap.

>>> room((2, 3), np.dtype(np.float32)).shape
(2, 3)
"""

import contextlib
import math
import mmap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph import Array
from chainrule.transforms.compile.source import Text

ALIGN = 64
"""Bytes of a cache line, where every piece of memory begins."""

_PAGE, _WORTH_PAGES = 2**21, 2**18
"""Bytes of a large page, and of an array that is worth one."""


def empty(count: int, dtype: Any, make: Callable[..., Array] = np.empty) -> Array:
    """Make memory for so many bytes at the start of a cache line."""
    itemsize = np.dtype(dtype).itemsize
    size = -(-max(count, itemsize) // itemsize) * itemsize
    room = make(size + ALIGN, np.uint8)
    start = -room.ctypes.data % ALIGN
    return room[start : start + size].view(dtype)


def room(
    shape: tuple[int, ...], dtype: np.dtype[Any], make: Callable[..., Array] = np.empty
) -> Array:
    """Make an array without contents that begins at a cache line."""
    count = math.prod(shape)
    return empty(count * dtype.itemsize, dtype, make)[:count].reshape(shape)


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Make an array of zeros that begins at a cache line; it takes memory once it is written."""
    return room(shape, dtype, np.zeros)


def in_few_pages(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Make an array without contents in pages of 2 MB, where the system has them and that pays.

    To read weights for a few rows then takes no longer than their bytes do: in pages of 4 KB the
    processor also has to find out where each of them lies.
    """
    size = bytes_of(shape, dtype)
    if size < _WORTH_PAGES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return room(shape, dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    block = mmap.mmap(-1, -(-size // _PAGE) * _PAGE + _PAGE, flags=flags)
    with contextlib.suppress(OSError):  # a system without them says so; its pages do as well
        block.madvise(mmap.MADV_HUGEPAGE)
    memory = np.frombuffer(block, np.uint8)
    start = -memory.ctypes.data % _PAGE
    return memory[start : start + size].view(dtype).reshape(shape)


def bytes_of(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Give the bytes of an array."""
    return math.prod(shape) * dtype.itemsize


def lifetimes(text: Text) -> dict[int, tuple[int, int]]:
    """Give the first and the last call that touches each piece of memory.

    Between two meetings of threads no order is known, so a piece lives for whole stretches.
    """
    stretch, stretches = 0, []
    for i, call in enumerate(text.calls):
        stretch += call.meets or (i == text.check_at and not text.apart)
        stretches.append(stretch)
    spans: dict[int, tuple[int, int]] = {}
    for call, now in zip(text.calls, stretches, strict=True):
        for order in call.reads | call.writes:
            first, last = spans.get(order, (now, now))
            spans[order] = min(first, now), max(last, now)
    for x in text.checks:
        order = text.canonical(x).order
        spans[order] = spans[order][0], max(spans[order][1], stretches[-1])
    return spans


def layout(pieces: Mapping[int, tuple[tuple[int, int], int]]) -> tuple[dict[int, int], int]:
    """Give each piece an offset so that pieces alive together do not overlap: largest first.

    >>> layout({1: ((0, 1), 100), 2: ((1, 2), 64), 3: ((2, 3), 100)})
    ({1: 0, 3: 0, 2: 128}, 192)
    """
    placed: list[tuple[tuple[int, int], int, int]] = []
    offsets: dict[int, int] = {}
    for order in sorted(pieces, key=lambda k: (-pieces[k][1], pieces[k][0])):
        (first, last), size = pieces[order]
        size = max(-(-size // ALIGN) * ALIGN, ALIGN)
        start = 0
        for _, begin, end in sorted(
            (p for p in placed if p[0][0] <= last and first <= p[0][1]), key=lambda p: p[1]
        ):
            if start + size <= begin:
                break
            start = max(start, end)
        offsets[order] = start
        placed.append(((first, last), start, start + size))
    return offsets, max((end for _, _, end in placed), default=0)
