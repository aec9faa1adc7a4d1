"""Products by a matrix unit, whose numbers are sums of two halves."""

import ctypes
import itertools
import os
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")

import chainrule as cr
from chainrule import nn
from chainrule.transforms.compile import ROWS, machine, tiles
from chainrule.transforms.compile.tiles import KEPT, LENGTH, panels_kept, pays_by_tiles, split_size
from multiplying import (
    FORMS,
    between_guards,
    inside,
    multiply,
    multiply_steps,
    operands,
    plain,
    scratch_of,
)

needs_tiles = pytest.mark.skipif(not machine.has_tiles(), reason="this processor has no such unit")

AROUND = (1, 15, 16, 17, 31, 32, 33)
SHAPES = [
    *[
        (m, n, (1, 2, 31, 32, 33, 64, 65)[(i + 3 * j) % 7])
        for (i, m), (j, n) in itertools.product(enumerate(AROUND), repeat=2)
    ],
    *[(64, 64, 64), (100, 7, 300), (7, 100, 129), (70, 130, 200), (130, 70, 96)],
]
MANY = KEPT // split_size(2000) * 32 + 17
"""Rows of which not all are kept at once."""


def bound(x, y):
    """Of the error: 2^-21 of each product, and what is lost where the sum is rounded."""
    k = x.shape[1]
    return (np.sqrt(k) + 8) * 2.0**-24 * (abs(x) @ abs(y))


@needs_tiles
@pytest.mark.parametrize("form", FORMS)
def test_equals_numpy_and_writes_nothing_else(form):
    for m, n, k in [*SHAPES, (MANY, MANY + 9, 2000), (20, 33, 2 * LENGTH + 5), (5, 17, LENGTH)]:
        a, b = operands(form, m, n, k, np.float32)
        outer, c = inside((m, n), np.float32)
        kept = [np.array(z.base) for z in (a, b)]
        multiply(form, a, b, c, kind="tiles")
        for z, before in zip((a, b), kept, strict=True):
            np.testing.assert_array_equal(z.base, before)
        x, y = (z.astype(float) for z in plain(form, a, b))
        assert np.all(abs(c - x @ y) <= bound(x, y)), (m, n, k)
        assert np.isnan(outer).sum() == outer.size - c.size


@needs_tiles
def test_a_sum_loses_less_than_one_of_float32():
    a, b = operands((0, 1), 100, 120, 700, np.float32)
    found, chain = np.empty((2, 100, 120), np.float32)
    multiply((0, 1), a, b, found, kind="tiles")
    multiply((0, 1), a, b, chain)
    exact = a.astype(float) @ b.astype(float).T
    lost, usual = (np.sqrt(np.mean((c - exact) ** 2)) for c in (found, chain))
    assert lost < 0.7 * usual


@needs_tiles
@pytest.mark.parametrize("form", FORMS)
def test_a_part_of_the_rows_or_columns_has_the_same_bits(form):
    m, n, k = 100, 90, 70
    a, b = operands(form, m, n, k, np.float32)
    whole = np.empty((m, n), np.float32)
    multiply(form, a, b, whole, kind="tiles")
    for rows, columns in [(slice(0, 48), slice(None)), (slice(48, 100), slice(None)),
                          (slice(None), slice(0, 5)), (slice(None), slice(5, 90)),
                          (slice(7, 8), slice(None)), (slice(9, 60), slice(8, 12))]:  # fmt: skip
        part = np.empty_like(whole[rows, columns], order="C")
        x = a[:, rows] if form[0] else a[rows]
        y = b[columns] if form[1] else b[:, columns]
        multiply(form, x, y, part, kind="tiles")
        np.testing.assert_array_equal(part, whole[rows, columns])


@needs_tiles
@pytest.mark.parametrize("form", FORMS)
def test_long_sums_have_the_same_bits_in_parts(form):
    k = LENGTH + 40
    a, b = operands(form, 60, 40, k, np.float32)
    whole, part = np.empty((60, 40), np.float32), np.empty((28, 40), np.float32)
    multiply(form, a, b, whole, kind="tiles")
    multiply(form, a[:, 32:] if form[0] else a[32:], b, part, kind="tiles")
    np.testing.assert_array_equal(part, whole[32:])
    x, y = plain(form, a, b)
    x[3, LENGTH + 1] = np.nan
    y[2, 5] = np.inf
    multiply(form, a, b, whole, kind="tiles")
    assert np.isnan(whole[3]).all()
    assert not np.isfinite(whole[:, 5]).any()
    assert np.isfinite(np.delete(np.delete(whole, 3, 0), 5, 1)).all()


@needs_tiles
def test_scratch_does_not_grow_with_the_length_of_sums():
    sizes = {tiles.tile_scratch_size(256, 256, k) for k in (LENGTH, 10 * LENGTH, 10**6)}
    assert len(sizes) == 1
    assert sizes.pop() * 4 < 1.5e6


@needs_tiles
@pytest.mark.parametrize("form", FORMS)
def test_terms_are_added_to_a_sum(form):
    a, b = operands(form, 40, 50, 66, np.float32)
    product, found = np.empty((2, 40, 50), np.float32)
    multiply(form, a, b, product, kind="tiles")
    found[:] = before = np.random.default_rng(0).normal(size=found.shape).astype(np.float32)
    multiply(form, a, b, found, done=1, kind="tiles")
    np.testing.assert_array_equal(found, before + product)


SIZES = {
    "as large as they can be": (1e19, 1e19),
    "the largest with the smallest": (3e38, 1e-38),
    "subnormal": (1e-41, 1e5),
    "small with small": (1e-18, 1e-18),
}


@needs_tiles
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("form", FORMS)
def test_numbers_of_any_size(form, name):
    """Each row and column may have its own."""
    a, b = operands(form, 40, 35, 50, np.float32)
    (x, y), (first, second) = plain(form, a, b), SIZES[name]
    x /= abs(x).max()
    y /= abs(y).max()
    x[::2] *= np.float32(first)
    y[:, ::2] *= np.float32(second)
    x[1], y[:, 1] = 0, 0
    c = np.empty((40, 35), np.float32)
    multiply(form, a, b, c, kind="tiles")
    x, y = x.astype(float), y.astype(float)
    with np.errstate(over="ignore"):
        exact = (x @ y).astype(np.float32)
    close = abs(np.where(np.isinf(exact), 0, c - x @ y)) <= 2 * bound(x, y) + 2.0**-149
    assert np.all(close | (c == exact))
    np.testing.assert_array_equal(c[1], 0)
    np.testing.assert_array_equal(c[:, 1], 0)


@needs_tiles
def test_numbers_far_below_the_largest_of_their_row():
    """They lose digits: 2^-39 of the largest ones is lost of each product."""
    a, b = operands((0, 0), 33, 20, 40, np.float32)
    a *= np.float32(2.0) ** -np.arange(40, dtype=np.float32)
    b[:20] *= np.float32(2.0) ** -np.arange(20, dtype=np.float32)
    c = np.empty((33, 20), np.float32)
    multiply((0, 0), a, b, c, kind="tiles")
    x, y = a.astype(float), b.astype(float)
    largest = np.outer(abs(x).max(1), abs(y).max(0))
    assert np.all(abs(c - x @ y) <= bound(x, y) + 40 * 2.0**-39 * largest)


@needs_tiles
@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_nan_and_infinity_are_as_in_plain_loops(form, done):
    """Where rows or columns have any, the bits are those of the other product."""
    a, b = operands(form, 50, 40, 60, np.float32)
    x, y = plain(form, a, b)
    x[0, 2], x[3, 4], x[5, 6], x[45:48] = np.nan, np.nan, np.inf, -np.inf
    y[6, 1], y[0, 39], y[9, 38], y[10, 38] = 0, np.nan, np.inf, -np.inf
    found, usual, finite = np.ones((3, 50, 40), np.float32)
    multiply(form, a, b, found, done=done, kind="tiles")
    multiply(form, a, b, usual, done=done)
    rows, columns = [0, 3, 5, 45, 46, 47], [38, 39]
    np.testing.assert_array_equal(found[rows], usual[rows])
    np.testing.assert_array_equal(found[:, columns], usual[:, columns])
    x[rows], y[:, columns] = 0, 0
    multiply(form, a, b, finite, done=done, kind="tiles")
    left = np.ix_(np.delete(np.arange(50), rows), np.delete(np.arange(40), columns))
    np.testing.assert_array_equal(found[left], finite[left])
    assert np.isfinite(found[left]).all()


@needs_tiles
@pytest.mark.parametrize("form", FORMS)
def test_nan_where_not_all_rows_are_kept_at_once(form):
    for m, n in ((MANY, MANY + 40), (MANY + 40, MANY)):
        a, b = operands(form, m, n, 2000, np.float32)
        x, y = plain(form, a, b)
        x[-3, 7], y[9, -2] = np.nan, np.inf
        found, usual = np.empty((2, m, n), np.float32)
        multiply(form, a, b, found, kind="tiles")
        multiply(form, a, b, usual)
        np.testing.assert_array_equal(found[-3], usual[-3])
        np.testing.assert_array_equal(found[:, -2], usual[:, -2])
        assert np.isfinite(np.delete(np.delete(found, -3, 0), -2, 1)).all()


_WHOLE, _PLACE = ctypes.c_int64, ctypes.c_void_p
SPLIT = ctypes.CFUNCTYPE(None, *[_WHOLE] * 5, _PLACE, _WHOLE, _PLACE)
PRODUCT = ctypes.CFUNCTYPE(None, *[_WHOLE] * 6, *[_PLACE, _WHOLE] * 3, _PLACE)


def multiply_fixed(form, a, b, c, done=0, threads=1):
    """Write op(a) op(b) to c, or add it, by tiles of b that several threads made before."""
    (m, n), k = c.shape, a.shape[0 if form[0] else 1]
    (lda,), (ldb,), (ldc,) = ([x.strides[0] // 4] for x in (a, b, c))
    made, beside = scratch_of(np.float32, tiles.fixed_tiles_size(n, k))
    for thread in reversed(range(threads)):
        split = SPLIT(machine.product_address("float32", "split"))
        split(form[1], n, k, thread, threads, b.ctypes.data, ldb, made.ctypes.data)
    scratch, rest = scratch_of(np.float32, tiles.fixed_tile_scratch_size(m, k))
    product = PRODUCT(machine.product_address("float32", "fixed by tiles"))
    product(
        done, form[0], 0, m, n, k, a.ctypes.data, lda, made.ctypes.data, 0, c.ctypes.data, ldc,
        scratch.ctypes.data,
    )  # fmt: skip
    assert np.isnan(beside).all()
    assert np.isnan(rest).all()


@needs_tiles
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("form", FORMS)
def test_tiles_made_once_give_the_same_bits(form, threads):
    for m, n, k in [(16, 512, 128), (33, 70, 40), (1, 1, 1), (64, 31, 65), (0, 40, 8), (5, 33, 32)]:
        a, b = operands(form, m, n, k, np.float32)
        outer, found = inside((m, n), np.float32)
        expected = np.empty((m, n), np.float32)
        multiply(form, a, b, expected, kind="tiles")
        multiply_fixed(form, a, b, found, threads=threads)
        np.testing.assert_array_equal(found, expected)
        assert np.isnan(outer).sum() == outer.size - m * n
        multiply_fixed(form, a, b, found, done=1, threads=threads)
        np.testing.assert_array_equal(found, expected + expected)


@needs_tiles
@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_tiles_made_once_know_nan_and_infinity(form, done):
    a, b = operands(form, 50, 40, 60, np.float32)
    x, y = plain(form, a, b)
    x[0, 2], x[33, 4], x[49, 6], y[6, 1], y[0, 39], y[9, 33] = (
        np.nan,
        np.inf,
        np.nan,
        0,
        np.nan,
        np.inf,
    )
    found, expected = np.ones((2, 50, 40), np.float32)
    multiply_fixed(form, a, b, found, done=done)
    multiply(form, a, b, expected, done=done, kind="tiles")
    np.testing.assert_array_equal(found, expected)


@needs_tiles
@pytest.mark.parametrize("form", FORMS)
def test_sizes_of_zero(form):
    for m, n, k in [(0, 3, 2), (3, 0, 2), (0, 0, 0)]:
        a, b = operands(form, m, n, k, np.float32)
        multiply(form, a, b, np.empty((m, n), np.float32), kind="tiles")
    a, b = operands(form, 3, 40, 0, np.float32)
    c = np.full((3, 40), np.nan, np.float32)
    multiply(form, a, b, c, kind="tiles")
    np.testing.assert_array_equal(c, 0)


@needs_tiles
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("last", [False, True])
def test_reads_nothing_outside(form, last):
    for m, n, k in [(1, 1, 1), (16, 16, 32), (33, 17, 19), (5, 70, 100), (70, 5, 65)]:

        def guarded(shape, dtype):
            return between_guards(shape, dtype, last)

        a, b = operands(form, m, n, k, np.float32, guarded)
        _, c = guarded((m, n), np.float32)
        multiply(form, a, b, c, kind="tiles")
        x, y = (z.astype(float) for z in plain(form, a, b))
        assert np.all(abs(c - x @ y) <= bound(x, y))


@needs_tiles
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_step_has_the_same_bits_for_any_number_of_threads(threads):
    from test_compile_cache import step_of

    steps = [step_of(400, batch=160, sizes=(90, 160, 70, 5), threads=n) for n in (1, threads)]
    for step, count in zip(steps, (1, threads), strict=True):
        assert len({step.bound.is_by_tiles(call) for call in step.bound.text.calls}) == 2
        assert {line.split()[0] for line in step.plan().splitlines()} >= {"tiles", "product"}
        assert step.run(0, step.count, count) == step.count
    for one, other in zip(*(s.memory.values() for s in steps), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(steps[0].losses, steps[1].losses)


@needs_tiles
@pytest.mark.parametrize("contiguous", [False, True])
@pytest.mark.parametrize(
    ("m", "n", "steps", "rows"),
    [(40, 17, 5, 3), (512, 128, 8, 16), (33, 65, 2, 50), (1, 1, 3, 2), (70, 40, 1, 200)],
)
def test_sums_of_products_over_steps(contiguous, m, n, steps, rows):
    rng, kind, more = np.random.default_rng(m), "steps by tiles", 0 if contiguous else 2
    a = rng.normal(size=(steps, rows + more, m + more)).astype(np.float32)[:, :rows, :m]
    b, other = (
        rng.normal(size=(steps, rows + more, s + more)).astype(np.float32)[:, :rows, :s]
        for s in (n, 21)
    )
    size = tiles.tile_steps_scratch_size(m, steps * rows, rows, 1)
    scratch, rest = scratch_of(np.float32, size)
    outer, whole = inside((m, n), np.float32)
    multiply_steps(a, b, whole, scratch, kind=kind)
    x, y = (z.reshape(steps * rows, z.shape[2]).astype(float) for z in (a, b))
    assert np.all(abs(whole - x.T @ y) <= bound(x.T, y))
    assert np.isnan(outer).sum() == outer.size - m * n
    added = np.ones_like(whole)
    multiply_steps(a, b, added, scratch, done=1, kind=kind)
    np.testing.assert_array_equal(added, 1 + whole)
    second, expected = np.zeros((2, m, 21), np.float32)
    multiply_steps(a, other, expected, scratch, kind=kind)
    multiply_steps(a, b, whole, scratch, kind=kind)
    multiply_steps(np.full_like(a, np.nan), other, second, scratch, again=1, kind=kind)
    np.testing.assert_array_equal(second, expected)
    part = np.empty((m - m // 2, n), np.float32)
    multiply_steps(a[:, :, m // 2 :], b, part, scratch, kind=kind)
    np.testing.assert_array_equal(part, whole[m // 2 :])
    assert np.isnan(rest).all()


@needs_tiles
@pytest.mark.parametrize("done", [0, 5])
def test_sums_over_steps_with_nan_and_infinity(done):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(3, 20, n)).astype(np.float32) for n in (40, 50))
    a[1, 2, 7], a[2, 3, 39], b[0, 0, 33], b[1, 5, 49] = np.nan, np.inf, -np.inf, np.nan
    found, usual = np.ones((2, 40, 50), np.float32)
    for c, kind in ((found, "steps by tiles"), (usual, "steps")):
        scratch, _ = scratch_of(np.float32, 2**20)
        multiply_steps(a, b, c, scratch, done=done, kind=kind)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(usual))
    np.testing.assert_allclose(found, usual, rtol=1e-5, atol=1e-5)
    assert not np.isfinite(found[[7, 39]]).any()
    assert np.isfinite(np.delete(np.delete(found, [7, 39], 0), [33, 49], 1)).all()


@needs_tiles
def test_sums_over_no_steps():
    c = np.full((40, 5), np.nan, np.float32)
    a, b = np.empty((0, 4, 40), np.float32), np.empty((0, 4, 5), np.float32)
    scratch, _ = scratch_of(np.float32, 2**20)
    multiply_steps(a, b, c, scratch, kind="steps by tiles")
    np.testing.assert_array_equal(c, 0)


@needs_tiles
def test_a_recurrence_has_the_same_bits_for_any_number_of_threads():
    rng, ends = np.random.default_rng(0), []
    x = rng.normal(size=(96, 9, 16)).astype(np.float32)
    y = rng.normal(size=(96, 3)).astype(np.float32)

    def step_by(how, threads=1):
        model = nn.Sequential(
            nn.LSTM(16, 64, seed=0, batch_first=True, returns="last"), nn.Linear(64, 3, seed=1)
        )
        step = cr.training_step(model, "mse", x, y, batch_size=32, threads=threads, compile=how)
        step.order(None)
        step.numbers[:] = [[t + 1, 1, 0] for t in range(step.count)]
        return step

    for threads in (1, 2, 3, 4):
        step = step_by("numba", threads)
        kinds = [step.bound._kind(c.products) for c in step.bound.text.calls if c.products]
        assert kinds.count("steps by tiles") == 2
        inner = [x for found in step.bound._inner.values() for x in found.tiles]
        assert len(inner) == 2  # the weights of the carry, on both ways
        assert len(re.findall(r"if (\w+_tiles\w*):\n +split_matrix\(", step.source)) == 3
        assert step.run(0, step.count, threads) == step.count
        ends.append([step.losses, *step.memory.values()])
    slow = step_by("numpy")
    slow.run(0, slow.count)
    np.testing.assert_allclose(ends[0][0], slow.losses, rtol=1e-5)
    for other in ends[1:]:
        for array, expected in zip(other, ends[0], strict=True):
            np.testing.assert_array_equal(array, expected)


def test_what_is_kept_fits():
    for k in (1, 32, 700, 10**6):
        panels = panels_kept(10**6, k)
        assert panels == max(KEPT // split_size(k), 1)
        assert panels_kept(40, k) == min(panels, 2)


def test_small_products_do_not_pay():
    for m, n, k in [
        (1, 10**4, 10**4),
        (10**4, 1, 10**4),
        (10**4, 10**4, 1),
        (0, 0, 0),
        (32, 64, 64),
    ]:
        assert not pays_by_tiles(m, n, k)
    assert pays_by_tiles(128, 128, 128)
    for n, k in itertools.product((1, 16, 33, 100, 1000), repeat=2):
        assert len({pays_by_tiles(threads * ROWS, n, k) for threads in range(1, 9)}) == 1


@pytest.fixture
def asked(monkeypatch):
    """A processor with the unit, and Linux, which answers 0 to what is asked."""
    features = {"amx-tile": True, "amx-bf16": True, "avx512f": True}
    answers = [0]
    library = type("Library", (), {"syscall": lambda self, *numbers: answers[0]})
    monkeypatch.setattr(machine.binding, "get_host_cpu_features", lambda: features)
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: library())
    monkeypatch.setattr(machine, "BYTES", 64)
    monkeypatch.setattr(sys, "platform", "linux")
    return features, answers


def test_whether_there_is_a_unit(asked, monkeypatch):
    features, answers = asked
    has_tiles = machine.has_tiles.__wrapped__
    assert has_tiles()
    answers[0] = -1  # a system that does not allow it, or does not know what is asked
    assert not has_tiles()
    answers[0] = 0
    for name in list(features):
        features[name] = False
        assert not has_tiles()
        features[name] = True
    monkeypatch.setattr(machine, "BYTES", 32)
    assert not has_tiles()
    monkeypatch.setattr(machine, "BYTES", 64)
    monkeypatch.setattr(sys, "platform", "win32")
    assert not has_tiles()


@needs_tiles
def test_predictions_of_few_rows_split_no_weights():
    model = nn.mlp([100, 128, 90, 5], "relu", seed=0).eval()
    f = cr.compile(model, cr.Spec(("rows", 100), np.float32))
    x = np.random.default_rng(0).normal(size=(300, 100)).astype(np.float32)
    many, few = f(x), f(x[:16])
    for memory, by_tiles in (f._many, 2), (f._few, 0):
        bound = memory.bound
        assert sum(bound.is_by_tiles(call) for call in bound.text.calls) == by_tiles
    np.testing.assert_allclose(few, many[:16], atol=1e-5)
    np.testing.assert_array_equal(f(x[:16]), few)
    np.testing.assert_array_equal(f(x), many)


THREE_PARTS = """
import sys
import pytest
from llvmlite import binding

features = binding.get_host_cpu_features()
features["amx-fp16"] = False
binding.get_host_cpu_features = lambda: features
from chainrule.transforms.compile import tiles

assert tiles.PARTS == 3
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "not bfloat16", sys.argv[1]]))
"""


@pytest.mark.slow
@needs_tiles
@pytest.mark.skipif(tiles.PARTS == 3, reason="it is what all tests use here")
def test_units_that_know_bfloat16_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", THREE_PARTS, __file__],
        env=os.environ | {"CHAINRULE_CACHE": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "skipped" not in done.stdout
