"""Losses by the table; accuracy; weights and reductions; what they refuse, and how they say so."""

import copy
import pickle

import mpmath
import numpy as np
import pytest

import tables
from accuracy import DIGITS, exactly, worst_ulp
from chainrule import grad, losses, ops
from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.losses import LOSSES, Loss, get_loss
from chainrule.testing import CheckError, check_gradient, check_loss


def label(row):
    return "-".join([row.name, *(f"{k}={v}" for k, v in row.settings.items())])


ROWS = pytest.mark.parametrize("row", tables.LOSS_ROWS, ids=label)


@ROWS
def test_loss(row):
    made = tables.loss_of(row)
    error = check_loss(made, row.prediction, row.target, perfect=row.perfect, least=row.least)
    assert error < 1e-6


@ROWS
def test_values(row):
    for prediction, target, expected in row.values:
        assert float(tables.loss_of(row)(prediction, target)) == pytest.approx(expected, abs=6e-9)


# Values from the notes (requirements.md, 1.6 and 4.4).


def test_half_squared_error_is_half_of_n_times_mse():
    p, t = tables.P, tables.T
    half = losses.half_squared_error(p, t, reduction="sum")
    assert half == pytest.approx(0.5 * p.size * losses.mse(p, t))
    g = grad(lambda x: losses.half_squared_error(x, t, reduction="sum"))(p)
    np.testing.assert_allclose(g, p - t)


@pytest.mark.parametrize(
    ("alpha", "golden"),
    [
        (2.0, (0, 0.005, 0.125, 0.5, 2.0, 50.0)),
        (1.0, (0, 0.00498756, 0.11803399, 0.41421356, 1.23606798, 9.04987562)),
        (0.0, (0, 0.00498754, 0.11778304, 0.40546511, 1.09861229, 3.93182563)),
        (-2.0, (0, 0.00498753, 0.11764706, 0.4, 1.0, 1.92307692)),
        (-np.inf, (0, 0.00498752, 0.11750310, 0.39346934, 0.86466472, 1.0)),
    ],
)
def test_adaptive_is_barrons_loss(alpha, golden):
    """G3."""
    x = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 10.0])
    each = losses.adaptive(x, 0 * x, alpha=alpha, reduction="none")
    np.testing.assert_allclose(each, golden, atol=6e-9)


def test_adaptive_is_continuous_in_alpha():
    x = np.array([0.1, 1.0, 10.0])
    for special in (0.0, 2.0):
        exact = losses.adaptive(x, 0 * x, alpha=special, reduction="none")
        for near in (special - 1e-5, special + 1e-5):
            beside = losses.adaptive(x, 0 * x, alpha=near, reduction="none")
            np.testing.assert_allclose(beside, exact, rtol=1e-3)
    far = losses.adaptive(x, 0 * x, alpha=-1e8, reduction="none")
    np.testing.assert_allclose(
        far, losses.adaptive(x, 0 * x, alpha=-np.inf, reduction="none"), rtol=1e-5
    )


def test_alpha_may_differ_from_element_to_element():
    x, alpha = np.array([0.5, 0.5, 3.0]), np.array([1.0, -2.0, 1.0])
    each = losses.adaptive(x, 0 * x, alpha=alpha, reduction="none")
    alone = [losses.adaptive(v, 0 * v, alpha=a) for v, a in zip(x, alpha, strict=True)]
    np.testing.assert_allclose(each, alone, rtol=1e-12)


def test_alpha_and_scale_can_be_learned():
    p, t = np.array([0.3, -2.0, 5.0]), np.array([0.1, 1.0, 0.0])

    def by_settings(alpha, scale):
        return losses.adaptive(p, t, alpha=alpha, scale=scale)

    for alpha in (1.3, 0.4, -1.7, 2.6):
        assert check_gradient(by_settings, np.array(alpha), np.array(0.8)) < 1e-6
    for alpha in (0.0, 2.0):
        assert np.isfinite(grad(by_settings, (0, 1))(np.array(alpha), np.array(1.0))).all()


def test_huber_is_smooth_at_delta():
    e = 1e-9
    for delta in (1.0, 2.5):
        slope = grad(lambda x, d=delta: losses.huber(x, np.zeros(()), delta=d))
        below, above = (float(slope(delta + sign * e)) for sign in (-1, 1))
        assert below == pytest.approx(above, abs=1e-8) == pytest.approx(delta)


@pytest.mark.parametrize(("name", "best"), [("mse", 22.0), ("mae", 3.0), ("huber", 3.0)])
def test_the_constant_that_fits_best(name, best):
    """L06: outliers pull the mean, not the median."""
    data = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    g = grad(lambda c: LOSSES[name](ops.add(np.zeros(5), c), data))
    assert float(g(best - 0.1)) < 0 < float(g(best + 0.1))


def test_quantile_is_least_at_the_quantile():
    data = np.arange(1.0, 12.0)
    g = grad(lambda c: losses.quantile(ops.add(np.zeros(11), c), data, q=0.9))
    assert float(g(9.9)) < 0 < float(g(10.1))


def test_slopes_at_zero_error():
    for name in ("mae", "huber", "mse"):
        assert float(grad(lambda x, f=LOSSES[name]: f(x, np.zeros(())))(0.0)) == 0


def test_the_slope_of_hinge_is_zero_from_a_margin_of_one():
    g = grad(lambda s: losses.hinge(s, np.ones(3), reduction="sum"))(np.array([0.9, 1.0, 1.1]))
    assert g.tolist() == [-1.0, 0.0, 0.0]
    loss = losses.multiclass_hinge.having(variant="weston-watkins")
    g = grad(lambda s: loss(s, np.array([0])))(np.array([[1.0, 0.0, 0.5]]))
    assert g.tolist() == [[-1.0, 0.0, 1.0]]


def test_predictions_and_targets_may_be_lists():
    assert losses.mse([1.0, 2.0], [0.0, 0.0]) == 2.5
    assert losses.cross_entropy([[0.0, 0.0]], [1]) == pytest.approx(np.log(2))


def test_cross_entropy_of_two_classes_is_binary_cross_entropy():
    assert losses.categorical_cross_entropy(np.array([[0.3, 0.7]]), np.array([0])) == pytest.approx(
        losses.binary_cross_entropy(np.array([0.3]), np.array([1.0]))
    )
    z = np.array([1.3, -0.4, 2.0])
    pairs = np.stack([0 * z, z], axis=1)
    y = np.array([1, 0, 1])
    assert losses.cross_entropy(pairs, y) == pytest.approx(
        losses.binary_cross_entropy_with_logits(z, y.astype(float)), rel=1e-14
    )


def test_class_numbers_are_the_same_as_one_hot_rows():
    z, y = tables.LOGITS, tables.CLASSES
    hot = np.eye(3)[y]
    for loss in (
        losses.cross_entropy,
        losses.focal,
        losses.cross_entropy.having(label_smoothing=0.2),
    ):
        np.testing.assert_allclose(
            loss(z, y, reduction="none"), loss(z, hot, reduction="none"), rtol=1e-13
        )


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (losses.cross_entropy, tables.CLASSES),
        (losses.cross_entropy.having(label_smoothing=0.2), tables.SOFT),
        (losses.focal, tables.CLASSES),
        (losses.focal, tables.SOFT),
        (losses.categorical_cross_entropy, tables.CLASSES),
        (losses.categorical_cross_entropy, tables.SOFT),
        (losses.multiclass_hinge, tables.CLASSES),
        (losses.multiclass_hinge.having(variant="weston-watkins"), tables.CLASSES),
    ],
    ids=str,
)
def test_classes_stand_along_the_last_axis(loss, target):
    """A row may be a sequence, with classes at each place."""
    each = loss(tables.SHARES, target, reduction="none")
    rows = loss(tables.SHARES[:, None], target[:, None], reduction="none")
    np.testing.assert_array_equal(rows, each[:, None])


def test_gradients_of_cross_entropy():
    """p sum(y) - y: E-52."""
    z, y = np.array([[0.2, -0.4, 0.9]]), np.array([[1.0, 0.0, 1.0]])
    g = grad(lambda x: losses.cross_entropy(x, y))(z)
    np.testing.assert_allclose(g[0], [-0.43860663, 0.30809921, 0.13050742], atol=6e-9)
    p = ops.softmax(tables.LOGITS)
    g = grad(lambda x: losses.cross_entropy(x, tables.CLASSES, reduction="sum"))(tables.LOGITS)
    np.testing.assert_allclose(g, p - np.eye(3)[tables.CLASSES], atol=1e-15)


def test_gradients_of_a_wrong_sure_logit_do_not_vanish():
    """L25, E-53."""
    loss = losses.binary_cross_entropy_with_logits
    assert float(grad(lambda z: loss(z, np.array([1.0])))(np.array([-20.0]))[0]) == pytest.approx(
        -1.0
    )
    squared = grad(lambda z: losses.half_squared_error(ops.sigmoid(z), np.array([1.0])))
    assert float(squared(np.array([-20.0]))[0]) == pytest.approx(-2.06e-9, rel=1e-2)


def test_a_reshape_is_advised_where_it_helps():
    for shape in ((3,), (6, 1)):
        with pytest.raises(ShapeError) as caught:
            losses.mse(np.zeros((3, 2)), np.zeros(shape))
        assert "reshape" not in str(caught.value)
    with pytest.raises(ShapeError, match=r"target.reshape\(3, 1\)"):
        losses.mse(np.zeros((3, 1)), np.zeros(3))


def test_focal_with_gamma_zero_is_cross_entropy():
    z, y = tables.LOGITS, tables.CLASSES
    assert losses.focal(z, y, gamma=0.0) == pytest.approx(losses.cross_entropy(z, y), rel=1e-14)
    p, t = tables.P, tables.LABELS
    assert losses.binary_focal(p, t, gamma=0.0) == pytest.approx(
        losses.binary_cross_entropy_with_logits(p, t), rel=1e-14
    )


def test_focal_at_extremes_is_finite():
    z = np.array([[800.0, -800.0], [-800.0, 800.0], [0.0, 60.0]])
    for gamma in (0.0, 1.0, 2.0):
        value, g = (
            losses.focal(z, np.array([0, 0, 1]), gamma=gamma),
            grad(lambda x, k=gamma: losses.focal(x, np.array([0, 0, 1]), gamma=k))(z),
        )
        assert np.isfinite(value)
        assert np.isfinite(g).all()


def test_probabilities_at_their_ends():
    p, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    each = losses.binary_cross_entropy(p, t, reduction="none")
    assert each.tolist() == [0.0, 0.0, 100.0, 100.0]


def test_logits_at_infinity():
    """The right answer for sure costs 0, where 0 * inf would be NaN."""
    z = np.array([np.inf, -np.inf])
    assert losses.binary_cross_entropy_with_logits(z, np.array([1.0, 0.0])) == 0
    assert losses.binary_cross_entropy_with_logits(z, np.array([0.0, 1.0])) == np.inf
    g = grad(lambda x: losses.binary_cross_entropy_with_logits(x, np.array([1.0, 0.0])))(z)
    assert g.tolist() == [0.0, 0.0]
    assert losses.cross_entropy(np.array([[-np.inf, 0.0]]), np.array([[0.0, 1.0]])) == 0


# Accuracy: at most 2 units in the last place over the whole range.


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_binary_cross_entropy_with_logits_is_accurate(t):
    rng = np.random.default_rng(0)
    z = np.concatenate(
        [rng.uniform(-750, 750, 800), rng.normal(0, 3, 800), 10.0 ** rng.uniform(-15, 0, 200)]
    )
    value = losses.binary_cross_entropy_with_logits(z, np.full_like(z, t), reduction="none")
    sign = 1 if t == 0 else -1
    with DIGITS:
        assert worst_ulp(value, exactly(lambda v: mpmath.log1p(mpmath.exp(sign * v)), z)) <= 2


@pytest.mark.parametrize("classes", range(2, 11))
@pytest.mark.parametrize("spread", [0.5, 5.0, 50.0])
def test_cross_entropy_is_accurate(classes, spread):
    rng = np.random.default_rng(classes)
    z, y = rng.normal(0, spread, (150, classes)), rng.integers(classes, size=150)
    y[:75] = z[:75].argmax(axis=1)  # where the loss is nearly 0
    with DIGITS:
        many = [exactly(lambda v: v, row) for row in z]
        exact = [
            mpmath.log(mpmath.fsum(mpmath.exp(v - row[k]) for v in row))
            for row, k in zip(many, y, strict=True)
        ]
        assert worst_ulp(losses.cross_entropy(z, y, reduction="none"), exact) <= 2


# Weights and reductions.


def test_the_mean_divides_by_the_weights():
    """L21: a weight of 2 for the positive rows."""
    p, t = np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 1.0])
    w = 1 + t
    assert losses.binary_cross_entropy(p, t, weight=w) == pytest.approx(0.29110317, abs=6e-9)
    assert losses.binary_cross_entropy(p, t, weight=w, reduction="sum") / 3 == pytest.approx(
        0.48517194, abs=6e-9
    )


def test_the_mean_of_a_doubled_batch_is_the_same():
    """O07."""

    def g(p, t):
        return grad(lambda x: losses.mse(x, t))(p)

    p, t = tables.P, tables.T
    np.testing.assert_allclose(2 * g(np.tile(p, (2, 1)), np.tile(t, (2, 1)))[:3], g(p, t))


def test_weights_of_single_outputs():
    w = np.array([[1.0, 0.0], [2.0, 1.0], [0.5, 3.0]])
    each = losses.mse(tables.P, tables.T, reduction="none")
    assert losses.mse(tables.P, tables.T, weight=w) == pytest.approx((each * w).sum() / w.sum())
    np.testing.assert_allclose(losses.mse(tables.P, tables.T, weight=w, reduction="none"), each * w)


def test_class_weights_multiply_the_loss_of_each_class():
    z, y, w = tables.LOGITS, tables.CLASSES, np.array([1.0, 2.0, 0.5])
    each = losses.cross_entropy(z, y, reduction="none")
    np.testing.assert_allclose(
        losses.cross_entropy(z, y, class_weight=w, reduction="none"), each * w[y]
    )


def test_float32_stays():
    for row in tables.LOSS_ROWS:
        p = np.asarray(row.prediction, np.float32)
        t = np.asarray(row.target)
        t = t.astype(np.float32) if t.dtype.kind == "f" else t
        settings = {k: v for k, v in row.settings.items() if k != "class_weight"}
        assert LOSSES[row.name](p, t, **settings).dtype == np.float32, row.name
        assert (
            grad(lambda x, r=row, y=t, s=settings: LOSSES[r.name](x, y, **s))(p).dtype == np.float32
        )


# What they refuse.

ONE, TWO = np.zeros((4, 1)), np.zeros((4, 2))
CLASSES = np.array([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: losses.mse(ONE, np.zeros(4)),
            ShapeError,
            r"mse: predictions have shape \(4, 1\), targets \(4,\); broadcasting them would be "
            r"wrong: "
            r"target.reshape\(4, 1\)",
        ),
        (lambda: losses.mse(ONE, np.zeros((5, 1))), ShapeError, r"\(4, 1\), targets \(5, 1\)$"),
        (
            lambda: losses.mse(np.zeros(2), np.array([0.0, np.nan])),
            DataError,
            "mse: nan in row 1 is not allowed; expected numbers finite",
        ),
        (
            lambda: losses.cross_entropy(ONE, CLASSES),
            ShapeError,
            "softmax of one number is always 1.*binary_cross_entropy_with_logits, or two units",
        ),
        (
            lambda: losses.cross_entropy(np.zeros(4), CLASSES),
            ShapeError,
            r"expected \(rows, classes\)",
        ),
        (
            lambda: losses.cross_entropy(TWO, np.array([0, 1, 2, 0])),
            DataError,
            "cross_entropy: target 2 in row 2 is outside the classes 0 to 1",
        ),
        (
            lambda: losses.cross_entropy(TWO, np.array([0, -1, 1, 0])),
            DataError,
            "target -1 in row 1",
        ),
        (
            lambda: losses.cross_entropy(TWO, CLASSES[:3]),
            ShapeError,
            r"targets int64\(3,\); expected class numbers of shape \(4,\) or probabilities of "
            r"shape \(4, 2\)",
        ),
        (
            lambda: losses.cross_entropy(TWO, CLASSES.astype(float)),
            ShapeError,
            r"targets float64\(4,\)",
        ),
        (
            lambda: losses.binary_cross_entropy_with_logits(np.zeros(2), np.array([0.0, 2.0])),
            DataError,
            "2.0 in row 1 is not allowed; expected numbers between 0 and 1",
        ),
        (
            lambda: losses.binary_cross_entropy(np.array([0.5, 1.5]), np.zeros(2)),
            DataError,
            "binary_cross_entropy predictions: 1.5 in row 1",
        ),
        (
            lambda: losses.binary_cross_entropy(np.array([0.5, np.nan]), np.zeros(2)),
            DataError,
            "nan in row 1",
        ),
        (
            lambda: losses.hinge(np.zeros(2), np.array([0.0, 1.0])),
            DataError,
            r"0.0 in row 0 is not allowed; expected numbers -1 or 1; for labels 0 and 1 "
            r"pass 2 \* y - 1",
        ),
        (
            lambda: losses.poisson(np.zeros(2), np.array([1.0, -1.0])),
            DataError,
            "-1.0 in row 1.*not negative",
        ),
        (
            lambda: losses.mse(ONE, ONE, reduction="avg"),
            ConfigError,
            r"reduction='avg', expected one of \('mean', 'sum', 'none'\)",
        ),
        (
            lambda: losses.huber(ONE, ONE, beta=1),
            ConfigError,
            "huber has no setting 'beta'; it has delta",
        ),
        (
            lambda: losses.mse.having(delta=1),
            ConfigError,
            "mse has no setting 'delta'; it has no settings",
        ),
        *(
            (
                lambda share=share: losses.cross_entropy(TWO, CLASSES, label_smoothing=share),
                ConfigError,
                "expected a number of at least 0, below 1",
            )
            for share in (1.0, 1.5, -0.1, "x", None)
        ),
        (
            lambda: losses.mse(np.zeros((3, 2)), np.array([[0, 0], [0, 0], [0, np.nan]])),
            DataError,
            "nan in row 2 is not",
        ),
        (
            lambda: losses.multiclass_hinge(TWO, CLASSES, variant="x"),
            ConfigError,
            "variant='x', expected",
        ),
        (lambda: get_loss("msee"), ConfigError, "loss 'msee' does not exist; there are adaptive"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_lists_are_taken_for_arrays():
    assert losses.mse([1.0, 2.0], [1.0, 4.0]) == 2.0


# As objects.


def test_get_loss():
    assert get_loss("huber") is losses.huber
    assert get_loss(losses.huber) is losses.huber
    assert repr(losses.huber.having(delta=2.0)) == "losses.huber.having(delta=2.0)"
    assert losses.huber.settings == {}


def test_copies_and_pickles():
    loss = losses.huber.having(delta=2.0)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other(np.array([10.0]), np.zeros(1)) == 18.0
    assert pickle.loads(pickle.dumps(losses.mse)).formula is losses.mse.formula


def _squared(prediction, target):
    d = ops.sub(prediction, target)
    return ops.mul(d, d)


def _one_sided(prediction, target):
    return ops.maximum(0.0, ops.sub(target, prediction))


def test_a_loss_of_ones_own():
    own = Loss("one_sided", _one_sided, "values", "values")
    assert check_loss(own, tables.P, tables.T, perfect=tables.T) < 1e-6
    assert "one_sided" not in LOSSES
    assert pickle.loads(pickle.dumps(own))(np.zeros(1), np.ones(1)) == 1.0


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda p, t: ops.sub(_squared(p, t), 1.0), "below its least value"),
        (lambda p, t: _squared(p, ops.add(t, 2.0)), "at its best predictions"),
        (
            lambda p, t: ops.mul(_squared(p, t), np.float64(2.0) * np.ones(1)),
            "turns float32 into float64",
        ),
    ],
)
def test_check_loss_finds(wrong, text):
    with pytest.raises(CheckError, match=text):
        check_loss(Loss("wrong", wrong, "values", "values"), tables.P, tables.T, perfect=tables.T)
