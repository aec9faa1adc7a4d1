"""The products of compiled programs against NumPy's, and what they leave alone."""

import itertools
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

pytest.importorskip("numba")

from numba import njit

from chainrule import ops
from chainrule.transforms.compile import language, products, tiles
from chainrule.transforms.compile.machine import (
    product_address,
    steps_scratch_size,
    windows_scratch_size,
)
from chainrule.transforms.compile.products import (
    call_windows_product,
    turn,
)
from chainrule.transforms.compile.tiles import DEPTH, HEIGHT, LANES
from golden import golden
from multiplying import (
    FORMS,
    between_guards,
    inside,
    multiply,
    multiply_steps,
    operands,
    plain,
    pointer,
    scratch_of,
)

WIDTHS = [LANES // 2, LANES]  # elements of a vector: of float64, of float32
AROUND = sorted({1, 2, *(i * w + more for w in WIDTHS for i in (1, 2, 4) for more in (-1, 0, 1))})
SHAPES = [
    *[
        (m, n, k)
        for i, m in enumerate(range(1, 41))
        for j, n in enumerate(AROUND)
        for k in ((1, 3, 16, 21)[(i + j) % 4],)
        if (i + j) % 3 == 0
    ],
    *[(m, n, DEPTH + more) for m, n in ((5, 33), (40, 3), (2, 70)) for more in (-1, 0, 1)],
    *[(32, 64, 20), (32, 64, 64), (64, 20, 32), (100, 52, 40), (7, 70, 70), (97, 3, 70)],
    *[(1, 200, 530), (200, 1, 530), (3, 66, 1100), (HEIGHT + 10, 40, 5), (130, 600, 520)],
    *[(5, 1000, 1100), (35, 1000, 1100), (800, 40, 600), (HEIGHT + 1, 3, DEPTH + 9)],
    *[(64, 256, 1), (71, 300, 45), (300, 71, 140), (HEIGHT + 3, 260, DEPTH + 5)],
    *[(75, 40, 150), (130, 17, 513), (40, 39, 128)],
]


@pytest.mark.parametrize("form", FORMS)
def test_a_single_column_is_not_taken_for_a_transposed_matrix(form):
    """Its rows lie one element apart, too."""

    def whole(shape, dtype):
        return (np.zeros(shape, dtype),) * 2

    for m, n in ((100, 300), (300, 100)):
        a, b = operands(form, m, n, 1, np.float32, whole)
        c = np.zeros((m, n), np.float32)
        multiply(form, a, b, c)
        x, y = plain(form, a, b)
        np.testing.assert_array_equal(c, x * y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_equals_numpy_and_writes_nothing_else(form, dtype):
    for m, n, k in SHAPES:
        a, b = operands(form, m, n, k, dtype)
        outer, c = inside((m, n), dtype)
        kept = [np.array(z.base) for z in (a, b)]
        multiply(form, a, b, c)
        for z, before in zip((a, b), kept, strict=True):
            np.testing.assert_array_equal(z.base, before)
        x, y = (z.astype(np.float64) for z in plain(form, a, b))
        assert np.all(abs(c - x @ y) <= k * np.finfo(dtype).eps * (abs(x) @ abs(y)))
        if dtype == np.float64:
            np.testing.assert_allclose(c, x @ y, rtol=1e-13, atol=1e-13 * np.sqrt(k))
        assert np.isnan(outer).sum() == outer.size - c.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_a_sum_goes_on_where_it_was_left(form, dtype):
    """In pieces of k, down to none, the bits are those of one product."""
    for m, n, k in SHAPES:
        a, b = operands(form, m, n, k, dtype)
        whole, outer = np.zeros((m, n), dtype), inside((m, n), dtype)
        multiply(form, a, b, whole)
        for first, last in itertools.pairwise((0, k // 3, k // 3, k)):
            x = a[first:last] if form[0] else a[:, first:last]
            y = b[:, first:last] if form[1] else b[first:last]
            multiply(form, x, y, outer[1], done=first)
            if last == 0:
                assert not outer[1].any()
        np.testing.assert_array_equal(outer[1], whole)
        assert np.isnan(outer[0]).sum() == outer[0].size - m * n


STEPS = [
    (40, 17, 5, 3), (512, 128, 8, 16), (100, 16, 4, 17), (70, 300, 3, 7), (33, 5, 2, 1),
    (90, 130, 2, 100), (1500, 20, 6, 20), (700, 9, 16, 15), (1, 1, 3, 2), (8, 9, 0, 4),
    (8, 9, 3, 0),
]  # fmt: skip
"""m, n, steps and rows of each."""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "steps", "rows"), STEPS)
def test_sums_of_products_over_steps(dtype, m, n, steps, rows):
    rng = np.random.default_rng(m)
    a = rng.normal(size=(steps, rows + 2, m + 3)).astype(dtype)[:, 1 : rows + 1, 2 : m + 2]
    b, other = (
        rng.normal(size=(steps, rows + 1, s + 5)).astype(dtype)[:, :rows, 1 : s + 1]
        for s in (n, 21)
    )
    size = max(steps_scratch_size(m, s, 256, rows, 1) for s in (n, 21))
    scratch, rest = scratch_of(dtype, size)
    outer, whole = inside((m, n), dtype)
    multiply_steps(a, b, whole, scratch)
    x, y = (z.reshape(steps * rows, z.shape[2]).astype(float) for z in (a, b))
    bound = (1 + steps * rows) * np.finfo(dtype).eps * (abs(x).T @ abs(y))
    assert np.all(abs(whole - x.T @ y) <= bound)
    assert np.isnan(outer).sum() == outer.size - m * n
    _, parts = inside((m, n), dtype)
    multiply_steps(a[:1], b[:1], parts, scratch)
    multiply_steps(a[1:], b[1:], parts, scratch, done=rows if steps else 0)
    np.testing.assert_array_equal(parts, whole)
    second, expected = np.zeros((m, 21), dtype), np.zeros((m, 21), dtype)
    multiply_steps(a, other, expected, scratch)
    multiply_steps(a, b, whole, scratch)
    multiply_steps(a, other, second, scratch, again=1)
    np.testing.assert_array_equal(second, expected)
    assert np.isnan(rest).all()


def test_the_rows_of_steps_are_turned_once():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(4, 16, n)).astype(np.float32) for n in (40, 30))
    first, second = np.zeros((40, 30), np.float32), np.zeros((40, 30), np.float32)
    scratch, _ = scratch_of(np.float32, steps_scratch_size(40, 30, 256, 16, 1))
    multiply_steps(a, b, first, scratch)
    multiply_steps(np.full_like(a, np.nan), b, second, scratch, again=1)
    np.testing.assert_array_equal(second, first)


def in_pages(shape, dtype):
    """Give a matrix whose rows are a multiple of a page apart, the rest NaN."""
    outer = np.full((shape[0], -(-shape[1] // 1024) * 1024), np.nan, dtype)
    return outer, outer[:, : shape[1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_rows_a_multiple_of_a_page_apart(form, dtype):
    for m, n, k in [(64, 256, 64), (71, 300, DEPTH + 9), (HEIGHT + 3, 260, 70), (64, 255, 63)]:
        a, b = operands(form, m, n, k, dtype, in_pages)
        outer, c = in_pages((m, n), dtype)
        multiply(form, a, b, c)
        apart = np.empty((m, n), dtype)
        multiply(form, np.array(a), np.array(b), apart)
        np.testing.assert_array_equal(c, apart)
        x, y = (z.astype(np.float64) for z in plain(form, a, b))
        assert np.all(abs(c - x @ y) <= k * np.finfo(dtype).eps * (abs(x) @ abs(y)))
        assert np.isnan(outer).sum() == outer.size - c.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("m", "n", "k"), [(61, 75, 600), (62, 61, 600)])
def test_a_part_of_the_rows_or_columns_has_the_same_bits(form, m, n, k, dtype):
    a, b = operands(form, m, n, k, dtype)
    whole = np.empty((m, n), dtype)
    multiply(form, a, b, whole)
    for rows, columns in [(slice(0, 30), slice(None)), (slice(30, 61), slice(None)),
                          (slice(None), slice(0, 40)), (slice(None), slice(40, 61)),
                          (slice(7, 8), slice(None)), (slice(None), slice(7, 8)),
                          (slice(2, 60), slice(3, 8)), (slice(9, 12), slice(8, 60))]:  # fmt: skip
        part = np.empty_like(whole[rows, columns], order="C")
        x = a[:, rows] if form[0] else a[rows]
        y = b[columns] if form[1] else b[:, columns]
        multiply(form, x, y, part)
        np.testing.assert_array_equal(part, whole[rows, columns])


@pytest.mark.parametrize("form", FORMS)
def test_sizes_of_zero(form):
    for m, n, k in [(0, 3, 2), (3, 0, 2), (0, 0, 0), (1, 0, 0)]:
        a, b = operands(form, m, n, k, np.float32)
        multiply(form, a, b, np.empty((m, n), np.float32))
    a, b = operands(form, 3, 4, 0, np.float32)
    c = np.full((3, 4), np.nan, np.float32)
    multiply(form, a, b, c)
    np.testing.assert_array_equal(c, 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [3, 40])
def test_nan_and_infinity_stay_in_their_rows(form, n):
    a, b = operands(form, 20, n, 30, np.float32)
    c = np.empty((20, n), np.float32)
    x, y = plain(form, a, b)
    x[3, 4], x[5, 6], y[6, 1] = np.nan, np.inf, 0
    multiply(form, a, b, c)
    finite = np.isfinite(c)
    assert not finite[[3, 5]].any()
    assert np.delete(finite, [3, 5], axis=0).all()
    assert np.isnan(c[3]).all()
    assert np.isnan(c[5, 1])
    assert np.isinf(np.delete(c[5], 1)).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses mprotect")
@pytest.mark.parametrize("form", FORMS)
def test_reads_nothing_outside(form):
    for (m, n, k), last in itertools.product(
        [
            (1, 1, 1),
            (5, 3, 7),
            (13, 17, 19),
            (3, 50, 9),
            (100, 9, 33),
            (100, 530, 20),
            (60, 33, 130),
            (800, 35, 40),
            (20, 1, 600),
            (64, 64, DEPTH),
        ],
        [False, True],
    ):

        def guarded(shape, dtype, last=last):
            return between_guards(shape, dtype, last)

        a, b = operands(form, m, n, k, np.float32, guarded)
        _, c = guarded((m, n), np.float32)
        multiply(form, a, b, c)
        x, y = plain(form, a, b)
        np.testing.assert_allclose(c, x @ y, rtol=1e-4, atol=1e-4)


def test_other_types_have_no_product():
    with pytest.raises(KeyError):
        product_address("int64")


@njit
def run_windows(
    function, turned, sizes, a, lda, x, rows, columns, run, c, ldc, times, next_a, next_x, scratch
):
    call_windows_product(
        function, turned, sizes[0], sizes[1], sizes[2], pointer(a, scratch), lda,
        pointer(x, scratch), rows, columns, run, pointer(c, scratch), ldc,
        times, next_a, next_x, pointer(scratch.ctypes.data, scratch),
    )  # fmt: skip


def multiply_by_windows(turned, a, x, rows, columns, c, times=1, next_a=0, next_x=0):
    """Write a B to c, or a B^T, where B[i, j] is x[rows[i] + columns[j]], or a sum of such."""
    (m, n), k = c.shape, a.shape[1]
    gaps = np.flatnonzero(np.diff(columns) != 1)
    run = int(gaps[0]) + 1 if gaps.size else len(columns)
    space = np.full(windows_scratch_size(n, k) + 32, np.nan, c.dtype)
    start = -space.ctypes.data % 64 // c.itemsize
    scratch, rest = np.split(space[start:], [windows_scratch_size(n, k)])
    lda, ldc = (z.strides[0] // z.itemsize for z in (a, c))
    run_windows(
        product_address(c.dtype.name, "windows"), turned, (m, n, k), a.ctypes.data, lda,
        x.ctypes.data, rows.ctypes.data, columns.ctypes.data, run, c.ctypes.data, ldc,
        times, next_a, next_x, scratch,
    )  # fmt: skip
    assert np.isnan(rest).all()


IMAGES = [  # channels and places, size, stride, dilation
    ((1, 8), (3,), (1,), (1,)), ((2, 40), (5,), (1,), (2,)), ((3, 41), (3,), (2,), (1,)),
    ((1, 32, 32), (5, 5), (1, 1), (1, 1)), ((6, 14, 14), (5, 5), (1, 1), (1, 1)),
    ((2, 7, 9), (3, 2), (2, 1), (1, 2)), ((4, 5, 5), (1, 1), (1, 1), (1, 1)),
    ((60, 5, 6), (3, 3), (1, 1), (1, 1)), ((3, 30, 30), (2, 2), (1, 2), (1, 1)),
]  # fmt: skip


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses mprotect")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("shape", "size", "stride", "dilation"), IMAGES)
def test_windows_are_multiplied_where_they_lie(dtype, turned, shape, size, stride, dilation):
    rng = np.random.default_rng(len(shape))
    windows = partial(ops.windows, size=size, stride=stride, dilation=dilation)
    places = windows(np.arange(np.prod(shape)).reshape(shape)).reshape(shape[0] * np.prod(size), -1)
    rows, columns = places[:, 0].copy(), places[0] - places[0, 0]
    for m, last in itertools.product([1, 2, 6, 16, 35], [False, True]):
        _, x = between_guards(shape, dtype, last)
        x[:] = rng.standard_normal(shape)
        cut = windows(x).reshape(places.shape)
        k, n = cut.shape[::-1] if turned else cut.shape
        _, a = inside((m, k), dtype)
        a[:] = rng.standard_normal((m, k))
        outer, c = inside((m, n), dtype)
        multiply_by_windows(turned, a, x, rows, columns, c)
        assert np.isnan(outer).sum() == outer.size - c.size
        expected = np.empty((m, n), dtype)
        multiply((0, int(turned)), a, cut, expected)
        np.testing.assert_array_equal(c, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "m", "times"), [((3, 9), 4, 3), ((1, 700), 40, 2)])
def test_products_with_the_windows_of_several_images_are_added_up(dtype, shape, m, times):
    rng = np.random.default_rng(times)
    x = rng.standard_normal((times, *shape)).astype(dtype)
    places = ops.windows(np.arange(np.prod(shape)).reshape(shape), (2,))
    places = places.reshape(shape[0] * 2, -1)
    rows, columns = places[:, 0].copy(), places[0].copy()
    a = rng.standard_normal((times, m, places.shape[1])).astype(dtype)
    found, plain = np.full((2, m, places.shape[0]), np.nan, dtype)
    multiply_by_windows(True, a[0], x, rows, columns, found, times, a[0].size, x[0].size)
    expected = sum(y @ z.ravel()[places].T for y, z in zip(a.astype(float), x, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == np.float32 else 1e-12)
    language.windows_product(
        0, True, m, places.shape[0], places.shape[1], a.ravel(), a.shape[2], x.ravel(),
        rows.ctypes.data, columns.ctypes.data, 1, plain.ravel(), plain.shape[1], times, a[0].size,
        x[0].size, None,
    )  # fmt: skip
    np.testing.assert_allclose(plain, expected, rtol=1e-4 if dtype == np.float32 else 1e-12)


@njit
def run_turn(x, out, shape, part, like):
    turn(pointer(x, like), pointer(out, like), shape[0], shape[1], part[0], part[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (33, 40), (5, 70), (64, 3)])
def test_a_matrix_is_turned_in_parts(shape, dtype):
    x = np.arange(shape[0] * shape[1], dtype=dtype).reshape(shape)
    out, slow = np.full((2, x.size + 8), np.nan, dtype)
    middle = shape[0] // 3
    for part in [(0, middle), (middle, shape[0])]:
        run_turn(x.ctypes.data, out.ctypes.data, shape, part, x.ravel())
        language.turn(x.ravel(), slow, *shape, *part)
    for found in (out, slow):
        np.testing.assert_array_equal(found[: x.size].reshape(shape[::-1]), x.T)
        assert np.isnan(found[x.size :]).all()


CUTS = [  # (form, m, n, k, ldc), on both sides of where a product is cut up in another way
    *[((0, 0), m, 20, 66, 20) for m in (3, 4, 31, 32)],
    *[((0, 0), m, 5, 8, 9) for m in (767, 768, 961)],
    *[((0, 1), m, 9, 140, 9) for m in (95, 96)],
    ((1, 0), 6, 40, 20, 40), ((1, 0), 31, 40, 19, 40), ((1, 1), 5, 17, 20, 17),
    ((0, 1), 2, 70, 130, 70),
    ((0, 0), 9, 4, 7, 4), ((0, 1), 9, 3, 7, 3), ((1, 0), 9, 1, 5, 1), ((1, 1), 9, 1, 5, 2),
    ((0, 0), 4, 4, 3, 4), ((0, 0), 2, 3, 0, 5),
]  # fmt: skip


WINDOWS = [
    (0, 6, (1, 5, 30), (2, 2), (1, 1)), (0, 2, (2, 3, 36), (1, 3), (1, 1)),
    (0, 40, (2, 4, 7), (2, 3), (1, 1)), (0, 5, (1, 9), (3,), (2,)), (0, 60, (35, 4), (2,), (1,)),
    (1, 20, (2, 9), (3,), (1,)), (1, 3, (1, 80), (2,), (1,)),
]  # fmt: skip


def test_how_products_are_cut_up(monkeypatch):
    """Panels, and what is packed for them, for a machine of 8 numbers in a vector."""
    lines = []

    def place(x, offset):
        name, _, start = x.partition("+")
        return f"{name}+{int(start or 0) + offset}"

    class Memory(str):
        """A name of memory, which tells what is written and read by itself."""

        def __setitem__(self, at, value):
            lines.append(f"  {self}[{at}] = {value}")

        def __getitem__(self, at):
            return f"{self}[{at}]"

    class List(list):
        """A list in memory, whose address may be moved on."""

        def __add__(self, moved):
            return List(self[moved // 8 :])

        def __str__(self):
            return f"[{self[0]} to {self[-1]}]"

    def told(word):
        return lambda *x: lines.append(" ".join(["  " + word, *map(str, x)]))

    fakes = {
        "at": lambda x, offset: Memory(place(x, offset)), "width_of": lambda x: 8,
        "entry": lambda numbers, i: numbers[i], "multiply_panel": told("panel"),
        "multiply_listed_a": told("panel of listed A"), "copy": told("copy"),
        "multiply_listed_b": told("panel of listed B"), "turn_whole": told("turn"),
        "turn_part": told("turn a part"), "FAR": 1000, "MASKS": True, "DEPTH": 64,
        "height_of_block": lambda k, width: 960,
        "THIN": 3, "WIDE": 4, "PACKED": 8, "COPY": 18, "LONG": 20, "SWAPPED": (30, 300),
        "MUCH": 41000,
        "moved": lambda m, n: m >= 30 and n >= 40,
        "packed": lambda k: 64 * (min(k, 64) + 8),
    }  # fmt: skip
    for name in ("_turn", "_turn_exactly", "_multiply", "_by_windows", "_by_packed_windows",
                 "_by_turned_windows"):  # fmt: skip
        fakes[name] = getattr(products, name).py_func
    for name, value in fakes.items():
        monkeypatch.setattr(products, name, value)
    for form, m, n, k, ldc in CUTS:
        lines.append(f"{m}x{n}x{k}, transposed {form[0]} {form[1]}")
        lda, ldb = (m if form[0] else k), (k if form[1] else n)
        products.product(0, *form, m, n, k, "a", lda, "b", ldb, Memory("c"), ldc, "scratch")
    monkeypatch.setattr(products, "MUCH", 10**6)
    for m, k, ldb in ((32, 64, 512), (31, 64, 512), (32, 63, 512), (32, 64, 520)):
        lines.append(f"{m}x9x{k}, rows of B {ldb} apart")
        products.product(0, 0, 0, m, 9, k, "a", k, "b", ldb, Memory("c"), 9, "scratch")
    for k, lda in ((64, 512), (63, 512), (64, 520)):
        lines.append(f"30x40x{k}, rows of A {lda} apart")
        products.product(0, 0, 0, 30, 40, k, "a", lda, "b", 40, Memory("c"), 40, "scratch")
    monkeypatch.setattr(products, "MASKS", False)
    lines.append("without masks, 4x20x9")
    products.product(0, 0, 0, 4, 20, 9, "a", 9, "b", 20, "c", 20, "scratch")
    monkeypatch.setattr(products, "MASKS", True)
    for turned, m, shape, size, stride in WINDOWS:
        lines.append(f"{m} units, windows {size} of {shape} by {stride}, transposed {turned}")
        found = ops.windows(np.arange(np.prod(shape)).reshape(shape), size, stride)
        found = found.reshape(shape[0] * np.prod(size), -1)
        rows, columns = List(found[:, 0].tolist()), List(found[0].tolist())
        n, k = found.shape if turned else found.shape[::-1]
        run = (shape[-1] - size[-1]) // stride[-1] + 1 if stride[-1] == 1 else 1
        products.windows_product(
            turned, m, n, k, "a", k, "x", rows, columns, run, Memory("c"), n, 1 + turned, m * k,
            np.prod(shape), Memory("scratch"),
        )  # fmt: skip
    lines.append("a matrix of 18x9, its rows 2 to 11, turned")
    products.turn.py_func(Memory("x"), Memory("y"), 18, 9, 2, 11)
    golden("compiled_products_cut.txt", "\n".join(lines) + "\n")


NARROWER = """
import sys
import pytest
from llvmlite import binding

features = binding.get_host_cpu_features()
features |= {"avx512f": False, "avx2": sys.argv[1] == "32"}
binding.get_host_cpu_features = lambda: features
from chainrule.transforms.compile import tiles

assert tiles.BYTES == int(sys.argv[1])
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "not narrower", sys.argv[2]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [16, 32])
def test_processors_with_narrower_vectors(width, tmp_path):
    if width >= tiles.BYTES:
        pytest.skip("no narrower than those here")
    done = subprocess.run(
        [sys.executable, "-c", NARROWER, str(width), __file__],
        env=os.environ | {"CHAINRULE_CACHE": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
