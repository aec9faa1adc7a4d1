"""The words of generated code have their plain meaning."""

import itertools

import numpy as np
import pytest

from chainrule.transforms.compile import language

KINDS = ["float32", "float64", "int64", "int32", "uint64", "bool_"]


@pytest.mark.parametrize("kind", KINDS)
def test_memory_at_an_address(kind):
    """What is written at an address is in the array that lies there, and back."""
    array = np.array([0, 1, 1, 0, 1], getattr(np, kind))
    memory = language.WORDS[f"{kind}s"](array.ctypes.data)
    assert memory.dtype == array.dtype
    np.testing.assert_array_equal(memory[:5], array)
    part = language.at(memory, 2)
    assert language.address_of(part) == array.ctypes.data + 2 * array.itemsize
    part[1] = 1
    np.testing.assert_array_equal(array, [0, 1, 1, 1, 1])


def test_the_words_are_known_by_their_names():
    for name, word in language.WORDS.items():
        if callable(word) and not isinstance(word, type):
            assert word.__name__ == name


@pytest.mark.parametrize(("turn_a", "turn_b"), [*itertools.product([False, True], repeat=2)])
@pytest.mark.parametrize(("m", "n", "k"), [(2, 3, 4), (1, 1, 5), (3, 1, 2), (2, 3, 0), (0, 3, 2),
                                           (2, 0, 2)])  # fmt: skip
def test_a_product_with_rows_far_apart(turn_a, turn_b, m, n, k):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(k, m + 1) if turn_a else (m, k + 1))
    b = rng.normal(size=(n, k + 2) if turn_b else (k, n + 2))
    c = np.full((m + 1, n + 3), np.nan)
    strides = (a.shape[1], b.shape[1], c.shape[1])
    places = [
        x for pair in zip((a, b, c), strides, strict=True) for x in (pair[0].ravel(), pair[1])
    ]
    places[4] = c.reshape(-1)
    language.product(0, turn_a, turn_b, m, n, k, *places, None)
    left = a[:, :m].T if turn_a else a[:, :k]
    right = b[:, :k].T if turn_b else b[:, :n]
    np.testing.assert_allclose(c[:m, :n], left @ right, rtol=1e-14)
    assert np.isnan(c).sum() == c.size - m * n
    assert language.scratch_size(m, n, k) == 0


@pytest.mark.parametrize("shape", [(2, 4, 3), (1, 5, 1), (3, 1, 2), (0, 3, 2), (2, 0, 3)])
def test_functions_of_lines(shape):
    x = np.random.default_rng(0).integers(-2, 3, shape).astype(float)
    x.ravel()[::7] = np.nan
    x.ravel()[1::9] = -np.inf
    given = x.copy().ravel() if x.size else np.zeros(1)

    def run(word, dtype=float):
        out = np.full(max(x.size, 1), 7, dtype)
        word(given, out, *shape)
        return out[: x.size].reshape(shape)

    np.testing.assert_array_equal(run(language.cumsum), np.cumsum(x, 1))
    np.testing.assert_array_equal(run(language.cumsum_reversed), np.cumsum(x[:, ::-1], 1)[:, ::-1])
    np.testing.assert_array_equal(run(language.argsort, int), np.argsort(x, 1, kind="stable"))


def test_a_matrix_is_turned_where_asked():
    x, out = np.arange(12.0), np.full(12, np.nan)
    language.turn(x, out, 3, 4, 1, 3)
    whole = np.full((4, 3), np.nan)
    whole[:, 1:] = x.reshape(3, 4).T[:, 1:]
    np.testing.assert_array_equal(out.reshape(4, 3), whole)


def test_clocks_tell_the_time_between_ticks(monkeypatch):
    times = iter([5, 7, 12, 20])
    monkeypatch.setattr(language.time, "perf_counter_ns", lambda: next(times))
    clocks = np.zeros(3, int)
    for i in (2, 0, 1, 0):
        language.tick(clocks, i, 2)
    assert clocks.tolist() == [2 + 8, 5, 20]


def test_steps_of_a_kept_program():
    said = []
    first, second = (language.keep(lambda *given, k=k: said.append((k, given))) for k in (1, 2))
    assert second == first + 1
    language.run_steps(first, 3, 4, 50, 1, 2)
    language.run_steps(second, 0, 1, 60, 0, 1)
    assert said == [(1, (3, 4, -1, 50, 1, 2)), (2, (0, 1, -1, 60, 0, 1))]


def test_a_module_shows_its_source():
    """Tracebacks show lines of generated code, which lies in no file."""
    module = language.module_of("def f():\n    return inf\n", "made_here", "<made>", language.WORDS)
    assert module.f() == np.inf
    assert module.__loader__.get_source("made_here").splitlines()[1] == "    return inf"
    assert module.f.__code__.co_filename == "<made>"
