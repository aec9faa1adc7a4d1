"""How many threads may work: what is asked for, what the process may use, limits of products."""

import contextlib
import sys

import pytest

from chainrule import threads
from chainrule.threads import WORTH_SHARING, blas_threads, usable_threads


@pytest.mark.parametrize(("limit", "expected"), [("1", 1), ("1,4", 1), ("0", 1), ("many", None)])
def test_the_variable_of_process_pools_is_heeded(limit, expected, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = usable_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert usable_threads() == (expected or cores)
    assert usable_threads(3) == 3


def of_products():
    """The number of threads of each library of products."""
    control = pytest.importorskip("threadpoolctl")
    return [x["num_threads"] for x in control.threadpool_info() if x["user_api"] == "blas"]


def test_small_products_use_one_thread_inside_the_block():
    before = of_products()
    with blas_threads(WORTH_SHARING):
        assert set(of_products()) == {1}
    assert of_products() == before
    with blas_threads(2 * WORTH_SHARING):
        assert of_products() == before
    with contextlib.suppress(KeyError), blas_threads(0):
        raise KeyError
    assert of_products() == before


def test_the_last_of_several_blocks_lifts_the_limit():
    """Two trainings in threads, of which the first to begin ends first."""
    before = of_products()
    first, second = blas_threads(0), blas_threads(0)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(of_products()) == {1}
    second.__exit__(None, None, None)
    assert of_products() == before


def test_without_threadpoolctl_nothing_is_limited(monkeypatch):
    before = of_products()
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    threads._controller.cache_clear()
    with blas_threads(0):
        monkeypatch.undo()
        assert of_products() == before
    threads._controller.cache_clear()
