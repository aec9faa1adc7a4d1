"""Activations against the golden values of requirements.md (4.3), exact arithmetic and NumPy."""

import mpmath
import numpy as np
import pytest

import tables
from accuracy import DIGITS, exactly, worst_ulp
from chainrule import functional as F  # noqa: N812 (as users write it)
from chainrule import grad, jacobian, ops, trace
from chainrule.errors import ConfigError
from chainrule.graph import OPS
from chainrule.ops.kinds import Elementwise
from chainrule.testing import CheckError, check_activation, check_gradient, check_op
from chainrule.transforms.run import Spec

AT = tables.GOLDEN_AT


def function(row):
    return lambda x: F.ACTIVATIONS[row.name](x, **row.settings)


def label(row):
    return "-".join([row.name, *map(str, row.settings.values())])


@pytest.mark.parametrize("row", tables.ACTIVATION_ROWS, ids=label)
def test_activation(row):
    assert check_activation(function(row), infinite=row.infinite) < 1e-6


@pytest.mark.parametrize("row", [r for r in tables.ACTIVATION_ROWS if r.golden], ids=label)
def test_golden_values(row):
    np.testing.assert_allclose(function(row)(AT), row.golden, atol=6e-9)
    for x, expected in zip(AT, row.golden, strict=True):
        assert float(function(row)(float(x))) == pytest.approx(expected, abs=6e-9)


@pytest.mark.parametrize("row", [r for r in tables.ACTIVATION_ROWS if r.slopes], ids=label)
def test_golden_slopes(row):
    slopes = [float(grad(function(row))(float(x))) for x in AT]
    np.testing.assert_allclose(slopes, row.slopes, atol=6e-9)


@pytest.mark.parametrize("row", [r for r in tables.ACTIVATION_ROWS if r.reference], ids=label)
def test_reference_formula(row):
    np.testing.assert_allclose(function(row)(AT), row.reference(AT), rtol=1e-12, atol=1e-14)


def test_slopes_at_zero_are_those_from_the_left():
    """ReLU 0, leaky its slope, ELU alpha: the convention of the docstrings."""
    for f, expected in [(F.relu, 0), (F.leaky_relu, 0.01), (lambda x: F.elu(x, 2.0), 2.0),
                        (lambda x: F.prelu(x, 0.25), 0.25)]:  # fmt: skip
        assert float(grad(f)(0.0)) == expected


def test_maxout():
    """Two pieces (1, 0) and (alpha, 0) are a leaky ReLU; {x, -x + .5} is golden."""
    for x, expected in zip(AT, (2.5, 1.0, 0.5, 0.5, 2.0), strict=True):
        assert F.maxout(np.array([x, -x + 0.5])) == [expected]
        assert F.maxout(np.array([x, 0.01 * x])) == F.leaky_relu(x)
    assert F.maxout(np.zeros((4, 6)), pieces=3).shape == (4, 2)
    with pytest.raises(ConfigError, match="5 units, no multiple of 2"):
        F.maxout(np.zeros((4, 5)))


def test_swish_slope_by_beta():
    slopes = [float(grad(lambda b, x=float(x): F.swish(x, b))(1.0)) for x in AT]
    np.testing.assert_allclose(
        slopes, (0.41997434, 0.05875093, 0, 0.05875093, 0.41997434), atol=6e-9
    )


def test_trainable_settings_have_gradients():
    x = np.array([[-1.3, 0.4], [2.0, -0.7]])
    assert check_gradient(lambda v, b: F.swish(v, b), x, np.array(1.3)) < 1e-6
    assert check_gradient(lambda v, b: F.logistic(v, b), x, np.array([0.7, 1.9])) < 1e-6
    assert check_gradient(lambda v, w: F.prelu(v, w), x, np.array(0.25)) < 1e-6
    assert float(grad(lambda w: F.prelu(-2.0, w))(0.25)) == -2.0  # E-62
    assert float(grad(lambda w: F.prelu(2.0, w))(0.25)) == 0.0


def test_swish_has_its_minimum_where_the_notes_say():
    assert float(F.swish(-1.2784645)) == pytest.approx(-0.27846454, abs=1e-8)
    assert abs(float(grad(F.silu)(-1.2784645427610738))) < 1e-9
    np.testing.assert_allclose(F.swish(AT), F.silu(AT), rtol=1e-15)


def test_sigmoid_and_tanh_at_extremes():
    assert F.sigmoid(np.array([1000.0, -1000.0])).tolist() == [1.0, 0.0]
    assert F.tanh(np.array([710.0, -710.0])).tolist() == [1.0, -1.0]
    x = np.linspace(-5, 5, 101)
    np.testing.assert_allclose(F.tanh(x), 2 * F.sigmoid(2 * x) - 1, atol=4e-16)
    assert float(grad(F.sigmoid)(0.0)) == 0.25
    assert float(grad(F.sigmoid)(40.0)) == pytest.approx(4.248354255291589e-18, rel=1e-12)


def test_softplus_is_a_smooth_relu():
    x = np.linspace(-30, 30, 601)
    distance = F.softplus(x) - F.relu(x)
    assert distance.max() == pytest.approx(np.log(2), abs=1e-12)
    assert distance.argmax() == 300
    assert F.softplus(-40.0) == pytest.approx(4.248354255291589e-18, rel=1e-15)
    assert F.softplus(25.0) > 25.0
    assert float(grad(F.softplus)(-20.0)) == pytest.approx(2.06115e-9, rel=1e-5)


def test_softmax():
    np.testing.assert_allclose(
        F.softmax(np.array([1.0, 2.0, 3.0])), [0.09003057, 0.24472847, 0.66524096], atol=6e-9
    )
    x = np.random.default_rng(0).normal(0, 20, (200, 5))
    assert np.abs(F.softmax(x).sum(axis=1) - 1).max() < 1e-12
    np.testing.assert_allclose(F.softmax(x, axis=0).sum(axis=0), 1)
    np.testing.assert_allclose(np.exp(F.log_softmax(x)), F.softmax(x), rtol=1e-12)
    for row in x[:40]:
        j = jacobian(F.softmax)(row)
        assert np.abs(j).max() <= 0.25 + 1e-12  # E-37
        assert np.linalg.norm(j, 2) <= 0.5 + 1e-12
    assert F.log_softmax(np.array([710.0, -710.0])).tolist() == [0.0, -1420.0]


def test_selu_keeps_mean_and_variance():
    y = F.selu(np.random.default_rng(0).normal(size=1_000_000))
    assert abs(y.mean()) < 0.01
    assert abs(y.var() - 1) < 0.01


@pytest.mark.parametrize(("name", "mean"), [("relu", 0.3989), ("leaky_relu", 0.395), ("tanh", 0.0),
                                            ("sigmoid", 0.5)])  # fmt: skip
def test_means_over_a_normal_input(name, mean):
    """A15 to A18, E-34: neither ReLU nor leaky ReLU is zero-centered."""
    y = F.ACTIVATIONS[name](np.random.default_rng(0).normal(size=1_000_000))
    assert abs(y.mean() - mean) < 0.003


def test_tanh_is_steeper_than_sigmoid_only_near_zero():
    """E-35: the slopes cross at 1.66289."""
    for x, steeper in [(0.0, True), (1.66, True), (1.67, False), (3.0, False)]:
        assert (grad(F.tanh)(x) > grad(F.sigmoid)(x)) == steeper
    assert float(grad(F.tanh)(3.0)) == pytest.approx(0.00986604, abs=1e-8)


# Accuracy in units in the last place.

RANDOM = np.random.default_rng(1)
NEAR_ZERO = RANDOM.choice([-1.0, 1.0], 300) * 10.0 ** RANDOM.uniform(-15, 0.5, 300)


@pytest.mark.parametrize(
    ("f", "exact", "low", "high", "allowed"),
    [
        (F.log_sigmoid, lambda x: -mpmath.log1p(mpmath.exp(-x)), -750, 750, 2),
        (F.silu, lambda x: x / (1 + mpmath.exp(-x)), -750, 750, 2),
        (F.gelu, lambda x: x * mpmath.ncdf(x), -10, 10, 16),
        (F.mish, lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))), -700, 40, 6),
        (F.elu, lambda x: mpmath.expm1(x) if x < 0 else x, -40, 5, 2),
        (F.softsign, lambda x: x / (1 + abs(x)), -1e3, 1e3, 2),
    ],
    ids=["log_sigmoid", "silu", "gelu", "mish", "elu", "softsign"],
)
def test_accuracy(f, exact, low, high, allowed):
    x = np.concatenate([RANDOM.uniform(low, high, 1000), NEAR_ZERO])
    with DIGITS:
        assert worst_ulp(f(x), exactly(exact, x)) <= allowed


def test_gelu_in_float32_is_right_far_down():
    x = np.linspace(-10, 10, 401, dtype=np.float32)
    exact = np.array([float(v * mpmath.ncdf(v)) for v in map(mpmath.mpf, x.astype(float))])
    y = F.gelu(x)
    assert y.dtype == np.float32
    assert (np.abs(y - exact) <= 4 * np.spacing(np.abs(exact).astype(np.float32))).all()


# Dropout, normalization, one-hot.


def test_dropout_keeps_the_mean():
    """R05: inverted scaling."""
    y = F.dropout(np.ones(200_000), 0.5, 3)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(y.mean() - 1) < 0.01
    assert abs((F.dropout(np.ones(200_000), 0.2, 3) == 0).mean() - 0.2) < 0.005


def test_dropout_drops_the_same_going_back():
    y = F.dropout(np.ones(1000), 0.3, 5)
    g = grad(lambda x: ops.sum(F.dropout(x, 0.3, 5)))(np.ones(1000))
    np.testing.assert_array_equal(g, y)
    assert not np.array_equal(y, F.dropout(np.ones(1000), 0.3, 6))


def test_dropout_at_its_ends():
    x = np.arange(5.0)
    assert F.dropout(x, 0.0, 1) is x
    assert F.dropout(x, 1.0, 1).tolist() == [0.0] * 5
    assert F.dropout(np.ones(9, np.float32), 0.5, 1).dtype == np.float32
    with pytest.raises(ConfigError, match="p=2, expected a probability"):
        F.dropout(x, 2, 1)


def test_dropout_traces_with_a_named_dimension():
    graph = trace(lambda x: F.dropout(x, 0.4, 11), Spec(("rows", 3), np.float64))
    np.testing.assert_array_equal(graph(np.ones((7, 3))), F.dropout(np.ones((7, 3)), 0.4, 11))


def test_normalize():
    x = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 10.0]])
    y, mean, variance = F.normalize(x, axis=0)
    golden = [[-1.22474258, -1.22474430], [0, 0], [1.22474258, 1.22474430]]
    np.testing.assert_allclose(y, golden, atol=6e-9)  # G5
    np.testing.assert_allclose(mean, [[3.0, 6.0]])
    np.testing.assert_allclose(variance, np.var(x, axis=0, keepdims=True))
    check_op(lambda v: F.normalize(v, 0)[0], x + np.sin(x), rows=(0,))
    check_op(lambda v: F.normalize(v, (-1,))[0], np.sin(np.arange(12.0)).reshape(3, 4), rows=(0,))


def test_one_hot():
    assert F.one_hot([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert F.one_hot([[1], [0]], 2, dtype=float).shape == (2, 1, 2)


# Looking up and registering.


def test_get_activation():
    assert F.get_activation("relu") is F.relu
    assert F.get_activation(np.tanh) is np.tanh
    with pytest.raises(ConfigError, match="activation 'rellu' does not exist; there are elu, gelu"):
        F.get_activation("rellu")
    with pytest.raises(ConfigError, match="approximate='erf', expected 'none' or 'tanh'"):
        F.gelu(0.0, approximate="erf")


def test_an_activation_of_ones_own(monkeypatch):
    monkeypatch.setattr(F, "ACTIVATIONS", dict(F.ACTIVATIONS))

    @F.activation
    def cloglog(x):
        return ops.neg(ops.expm1(ops.neg(ops.exp(ops.minimum(x, 500.0)))))

    assert F.get_activation("cloglog") is cloglog
    with np.errstate(over="ignore"):
        assert check_op(cloglog, np.array([[-1.0], [0.5]]), rows=(0,)) < 1e-6


# The checker finds what is wrong.


def _made(name, run, partial):
    op = Elementwise(name, run, [partial])
    OPS.pop(name)
    return op


def _overflowing(x):
    return np.exp(x) / (1 + np.exp(x))


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (
            _made("naive", _overflowing, lambda out, x: ops.mul(out, ops.sub(1.0, out))),
            RuntimeWarning,
            "overflow",
        ),
        (
            lambda x: ops.add(ops.mul(x, 0.0), np.float64(1.0) * np.ones(1)),
            CheckError,
            "into float64",
        ),
        (lambda x: ops.where(ops.less(1e3, x), np.float32(np.nan), x), CheckError, "NaN at 10000"),
        (
            _made("steep", np.tanh, lambda out, x: ops.mul(1.001, ops.sub(1.0, ops.mul(out, out)))),
            CheckError,
            "gradient of input 0",
        ),
    ],
    ids=["overflow", "dtype", "nan", "derivative"],
)
def test_check_activation_finds(wrong, error, text):
    with pytest.raises(error, match=text):
        check_activation(wrong)
