"""How many threads a matrix product may use while a net is trained.

>>> with blas_threads(largest_product=1e6):
...     pass

A product of two small matrices takes tens of microseconds; to share it between threads costs more
than it saves, and a hundred times as much when another process wants the core. So small nets are
trained with one thread for the products, large ones with all.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

WORTH_SHARING = 1e8
"""Multiplications in one product above which all threads are used."""


@contextmanager
def blas_threads(largest_product: float) -> Iterator[None]:
    """Limit products to one thread inside the block, if the largest is small.

    Without threadpoolctl (it comes with scikit-learn) nothing is limited.
    """
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        threadpoolctl = None
    if threadpoolctl is None or largest_product > WORTH_SHARING:
        yield
        return
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        yield
