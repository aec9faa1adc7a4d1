"""How many threads may work while a net is trained or used.

>>> with blas_threads(largest_product=1e6):
...     pass
>>> usable_threads(1)
1

A product of two small matrices takes tens of microseconds; to share it between threads costs more
than it saves, and a hundred times as much when another process wants the core. So small nets are
trained with one thread for the products, large ones with all.
"""

import functools
import importlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

WORTH_SHARING = 1e8
"""Multiplications in one product above which all threads are used."""


def usable_threads(asked: int | None = None) -> int:
    """Give the threads that may be used: those asked for, or one per core that is ours.

    OMP_NUM_THREADS, by which process pools share the cores out, is heeded.
    """
    if asked is not None:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(min(cores or 1, int(limit) if limit.isdigit() else cores or 1), 1)


def largest_matrix(arrays: Iterable[Any]) -> int:
    """Give the number of elements of the largest matrix, or of one of a stack of matrices."""
    return max((x.shape[-1] * x.shape[-2] for x in arrays if x.ndim > 1), default=1)


@contextmanager
def blas_threads(largest_product: float) -> Iterator[None]:
    """Limit products to one thread inside the block, if the largest is small.

    The limit is that of the process: of several blocks at once, in threads, the last one lifts it.
    Without threadpoolctl (it comes with scikit-learn) nothing is limited.
    """
    controller = _controller() if largest_product <= WORTH_SHARING else None
    if controller is None:
        yield
        return
    with _lock:
        _limits.append(None if _limits else controller.limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            if len(_limits) > 1:
                _limits.pop()
            else:
                _limits.pop().restore_original_limits()


_lock = threading.Lock()
_limits: list[Any] = []
"""The limit that holds now, and a place for each further block that needs it."""


@functools.cache
def _controller() -> Any:
    """Find the libraries that multiply matrices; that takes milliseconds, so it is done once."""
    try:
        return importlib.import_module("threadpoolctl").ThreadpoolController()
    except ImportError:
        return None
