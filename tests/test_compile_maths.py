"""Functions of one element in compiled code: their plain meaning, their accuracy, their form."""

import functools
import platform
import re
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest

from accuracy import DIGITS, exactly, worst_ulp
from chainrule import ops
from chainrule.transforms.compile import maths


@dataclass(frozen=True)
class Row:
    """A function: the op that it is, exactly, where it is tried, and units in the last place.

    The units are those of float32 and of float64: about a tenth more than what is found, whether
    the machine fuses products and sums or not. 0 means exact.
    """

    name: str
    op: Any
    exact: Any
    low: float = -np.inf
    high: float = np.inf
    units: tuple[float, float] = (0, 0)
    binary: bool = False

    def __str__(self):
        return self.name


ROWS = [
    Row("exp", ops.exp, mpmath.exp, high=709, units=(1, 0.95)),
    Row("expm1", ops.expm1, mpmath.expm1, high=709, units=(1.45, 1.15)),
    Row("log", ops.log, mpmath.log, low=0, units=(0.9, 0.9)),
    Row("log1p", ops.log1p, mpmath.log1p, low=-1, units=(1.45, 0.85)),
    Row("sqrt", ops.sqrt, mpmath.sqrt, low=0, units=(0.51, 0.51)),
    Row("sin", ops.sin, mpmath.sin, units=(0.51, 1)),
    Row("cos", ops.cos, mpmath.cos, units=(0.51, 1)),
    Row("tanh", ops.tanh, mpmath.tanh, units=(1.55, 1.45)),
    Row("sigmoid", ops.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), low=-745, units=(2.4, 1.8)),
    Row(
        "softplus",
        ops.softplus,
        lambda x: mpmath.log1p(mpmath.exp(x)),
        low=-745,
        high=745,
        units=(1.7, 1.55),
    ),
    Row("silu", ops.silu, lambda x: x / (1 + mpmath.exp(-x)), low=-751, units=(2.6, 1.9)),
    Row("ndtr", ops.ndtr, lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2, low=-37, units=(0.51, 3)),
    Row("power", ops.pow, lambda x, y: x**y, low=0, binary=True, units=(0.51, 1)),
    Row("absolute", ops.abs, abs),
    Row("sign", ops.sign, mpmath.sign),
    Row("floor", ops.floor, mpmath.floor),
    Row("maximum", ops.maximum, max, binary=True),
    Row("minimum", ops.minimum, min, binary=True),
    Row("is_finite", ops.is_finite, mpmath.isfinite),
]
FLOATS = [np.float32, np.float64]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, 1e-44, -1e-44, 1e-38, 1, -1, 2, -3, 0.5]


def special(dtype, binary):
    """Inputs at which rules apart from accuracy hold: one array, or all pairs as two."""
    x = np.array(SPECIAL, dtype)
    return [a.ravel() for a in np.meshgrid(x, x)] if binary else [x]


def samples(row, dtype, n):
    rng = np.random.default_rng(0)
    tiny, top = (-44, 38) if dtype == np.float32 else (-320, 308)
    parts = [rng.uniform(-110, 110, n), rng.uniform(-750, 750, n), rng.uniform(-1.5, 1.5, n)]
    parts += [rng.choice([-1, 1], n) * 10 ** rng.uniform(tiny, top, n), rng.uniform(0.9, 1.1, n)]
    x = np.concatenate(parts).astype(dtype)
    x = x[(x > row.low) & (x < row.high)]
    y = rng.uniform(-1, 1, x.size) * 80 / np.maximum(np.abs(np.log(np.abs(x))), 1e-2)
    return [x, y.astype(dtype)] if row.binary else [x]


@functools.cache
def compiled(row):
    """The function over arrays, in a loop that Numba compiles as it compiles training steps."""
    numba = pytest.importorskip("numba")
    pytest.importorskip("chainrule.transforms.compile.vector")
    function = getattr(maths, row.name)

    def one(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    def two(x, y, out):
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    options = {"fastmath": {"contract"}, "error_model": "numpy", "nogil": True}
    return numba.njit(two if row.binary else one, **options)


def run(row, *inputs):
    out = np.empty(inputs[0].size, bool if row.name == "is_finite" else inputs[0].dtype)
    compiled(row)(*inputs, out)
    return out


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_plain(row, dtype):
    """On numbers the functions are the ops, and keep the dtype."""
    with np.errstate(all="ignore"):
        for numbers in zip(*special(dtype, row.binary), strict=True):
            result = getattr(maths, row.name)(*numbers)
            assert isinstance(result, np.bool_ if row.name == "is_finite" else dtype)
            np.testing.assert_array_equal(result, row.op(*numbers))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_special_values(row, dtype):
    inputs = special(dtype, row.binary)
    with np.errstate(all="ignore"):
        expected = row.op(*inputs)
    tolerance = 5 * np.finfo(dtype).eps * (row.units[0] > 0)
    least = 2 * np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(run(row, *inputs), expected, rtol=tolerance, atol=least)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_float32(row):
    """In units in the last place, against float64; denormal results included."""
    inputs = samples(row, np.float32, 40000)
    with np.errstate(all="ignore"):
        exact = row.op(*(x.astype(np.float64) for x in inputs))
        nearest = np.asarray(exact).astype(np.float32)
    result = run(row, *inputs)
    finite = np.isfinite(nearest)
    np.testing.assert_array_equal(result[~finite], nearest[~finite])
    units = np.spacing(np.abs(nearest[finite])).astype(np.float64)
    assert np.max(np.abs(result[finite] - exact[finite] * 1.0) / units) <= row.units[0]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_float64(row):
    """In units in the last place, against arithmetic of many digits."""
    inputs = samples(row, np.float64, 100)
    result = run(row, *inputs)
    with DIGITS:
        if row.binary:
            numbers = ([mpmath.mpf(float(v)) for v in x] for x in inputs)
            exact = [row.exact(*pair) for pair in zip(*numbers, strict=True)]
        else:
            exact = exactly(row.exact, inputs[0])
        assert worst_ulp(result, exact) <= row.units[1]


def test_sine_next_to_multiples_of_pi():
    """Where a float32 comes nearest to a multiple of pi / 2."""
    x = np.array([16367173 * 2.0**72, 12345671 * 2.0**100, 355.0, 1e22, 3e38], np.float32)
    for row in ROWS:
        if row.name in ("sin", "cos"):
            with DIGITS:
                exact = np.array([float(v) for v in exactly(row.exact, x)])
            np.testing.assert_allclose(run(row, x), exact, rtol=2.5e-7)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_])
@pytest.mark.parametrize("name", ["absolute", "sign", "floor", "maximum", "minimum", "is_finite"])
def test_whole_numbers(name, dtype):
    if name == "sign" and dtype == np.bool_:
        pytest.skip("NumPy has no sign of truth values")
    row = next(row for row in ROWS if row.name == name)
    x = np.array([0, 1, 1, 0, 100, -100]).astype(dtype)
    inputs = [x, x[::-1].copy()][: 1 + row.binary]
    np.testing.assert_array_equal(run(row, *inputs), row.op(*inputs))


@pytest.mark.parametrize("key", [0, 7, 2**63 + 5])
def test_uniform_has_the_bits_of_the_op(key):
    numba = pytest.importorskip("numba")
    pytest.importorskip("chainrule.transforms.compile.vector")
    expected = ops.uniform(np.uint64(key), (1000,))
    plain = [maths.uniform(np.uint64(key), np.int64(i)) for i in range(1000)]
    np.testing.assert_array_equal(plain, expected)

    @numba.njit
    def fill(key, out):
        for i in range(out.size):
            out[i] = maths.uniform(key, i)

    out = np.empty(1000)
    fill(np.uint64(key), out)
    np.testing.assert_array_equal(out, expected)


def reduction(step, start):
    numba = pytest.importorskip("numba")
    pytest.importorskip("chainrule.transforms.compile.vector")

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def fold(x):
        total = start
        for i in range(x.size):
            total = step(total, maths.exp(x[i]))
        return total

    return fold


def test_only_plus_is_taken_apart():
    x = np.linspace(-3, 3, 1001, dtype=np.float32)
    fold = reduction(maths.plus, np.float32(0))
    np.testing.assert_allclose(fold(x), np.sum(np.exp(x.astype(float))), rtol=1e-6)
    (code,) = fold.inspect_llvm().values()
    free = [line for line in code.splitlines() if re.search("reassoc|fast ", line)]
    assert all("fadd reassoc contract" in line for line in free)
    assert any(re.search(r"<\d+ x float>", line) for line in free)
    assert re.search(r"fadd contract <\d+ x float>", code), "the sums inside of exp"


def test_maximum_of_many():
    x = np.linspace(-3, 3, 1001, dtype=np.float32)
    fold = reduction(maths.maximum, np.float32(0))
    np.testing.assert_allclose(fold(x), np.exp(np.float32(3)), rtol=1e-6)
    x[500] = np.nan
    assert np.isnan(fold(x))
    assert re.search(r"llvm.maximum.v\d+f32", next(iter(fold.inspect_llvm().values())))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="looks for x86 code")
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "softplus", "silu", "log1p"])
def test_several_elements_at_once(name):
    loop = compiled(next(row for row in ROWS if row.name == name))
    for dtype in FLOATS:
        loop(np.zeros(3, dtype), np.zeros(3, dtype))
    for signature, code in loop.inspect_asm().items():
        suffix = {"float32": "ps", "float64": "pd"}[signature[0].dtype.name]
        assert re.search(rf"\bv?(mul|fn?m(add|sub)\d+){suffix}\s.*%[xyz]mm", code)
