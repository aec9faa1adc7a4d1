"""Maxout with its own pieces, dropout of whole channels, and the loss that learns its shape."""

import shutil

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import k1

import chainrule as cr
from chainrule import losses, nn, no_grad, optim
from chainrule.errors import ConfigError, ShapeError
from chainrule.nn.adaptive import log_partition


def numbers(x):
    return x.detach().numpy()


# Maxout.


def test_maxout_layer():
    """A10: the formula by hand, the parameter counts of the notes, and leaky ReLU as two pieces."""
    assert [nn.Maxout(4, 3, k).count_parameters() for k in (1, 2, 3)] == [15, 30, 45]
    layer = nn.Maxout(4, 3, 2, seed=0).astype(float)
    layer.linear.bias.renew(np.arange(6.0))
    x = np.random.default_rng(0).normal(size=(5, 4))
    pieces = x @ numbers(layer.linear.weight).T + np.arange(6.0)
    expected = np.stack([pieces[:, 2 * j : 2 * j + 2].max(axis=1) for j in range(3)], axis=1)
    np.testing.assert_allclose(layer.predict(x), expected, rtol=1e-12)
    leaky = nn.Maxout(1, 1, bias=False).astype(float)
    leaky.linear.weight.renew(np.array([[1.0], [0.01]]))
    at = np.array([[-2.0], [0.0], [3.0]])
    np.testing.assert_array_equal(leaky.predict(at), cr.functional.leaky_relu(at))


def test_maxout_learns_a_convex_function():
    """One unit of four straight pieces can follow |x|, which a linear unit cannot."""
    x = np.linspace(-1, 1, 81).reshape(-1, 1)
    plan = {"optimizer": optim.Adam(0.05), "epochs": 200, "seed": 0}
    loss = {
        k: cr.train(nn.Maxout(1, 1, k, seed=1).astype(float), "mse", x, abs(x), **plan)["loss"][-1]
        for k in (1, 4)
    }
    assert loss[4] < 1e-3 < 0.05 < loss[1]


# Dropout of channels, features and times.


@pytest.mark.parametrize(
    ("layer", "shape", "together"),
    [
        (nn.Dropout1d(0.5, seed=0), (40, 50, 6), (2,)),
        (nn.Dropout1d(0.5, seed=0), (400, 6), (1,)),
        (nn.Dropout2d(0.5, seed=0), (40, 50, 3, 4), (2, 3)),
        (nn.Dropout(0.5, shared=-1, seed=0), (40, 50, 6), (2,)),
        (nn.Dropout(0.5, shared=1, seed=0), (40, 6, 50), (1,)),
        (nn.Dropout(0.5, shared=(0, 1), seed=0), (4, 3, 2000), (0, 1)),
    ],
)
def test_shared_elements_are_dropped_together(layer, shape, together):
    x = np.ones(shape)
    with no_grad():
        y = np.asarray(layer.train()(x).value)
    least, most = y.min(axis=together), y.max(axis=together)
    np.testing.assert_array_equal(least, most)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(y.mean() - 1) < 0.1
    np.testing.assert_array_equal(layer.predict(x), x)


def test_channel_dropout_is_that_of_torch():
    """The random numbers differ; which elements stand or fall together does not."""
    torch = pytest.importorskip("torch")
    for name, shape in (("Dropout1d", (20, 30, 5)), ("Dropout2d", (20, 30, 4, 5))):
        x = np.ones(shape, np.float32)
        theirs = getattr(torch.nn, name)(0.25).train()(torch.tensor(x)).numpy()
        with no_grad():
            ours = np.asarray(getattr(nn, name)(0.25, seed=0).train()(x).value)
        for y in (theirs, ours):
            flat = y.reshape(*shape[:2], -1)
            np.testing.assert_array_equal(flat.min(axis=2), flat.max(axis=2))
            np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)


def test_errors_of_dropout():
    with pytest.raises(ShapeError, match=r"Dropout1d got an input of shape \(2, 3, 4, 5\)"):
        nn.Dropout1d().train()(np.ones((2, 3, 4, 5)))
    with pytest.raises(ConfigError, match=r"Dropout2d\(p=1.5\)"):
        nn.Dropout2d(1.5)
    with pytest.raises(ConfigError, match=r"shared axis 2 of an input of shape \(3, 4\)"):
        nn.Dropout(shared=2).train()(np.ones((3, 4)))


# The loss that learns its shape.


def test_the_partition_function():
    """Its closed forms, and the integral by another method."""
    assert float(log_partition(np.array(1.0))) == pytest.approx(np.log(2 * np.e * k1(1)), abs=1e-9)
    near = log_partition(np.array([1e-5, 2 - 1e-5]))
    np.testing.assert_allclose(near, np.log([2**0.5 * np.pi, (2 * np.pi) ** 0.5]), atol=5e-5)
    for alpha in (0.001, 0.3, 1.7):

        def density(angle, alpha=alpha):
            rho = losses.adaptive.formula(np.tan(angle), 0.0, alpha=np.array(alpha))
            return float(np.exp(-rho)) / np.cos(angle) ** 2

        whole = 2 * quad(density, 0, np.pi / 2 - 1e-12, limit=200)[0]
        assert float(log_partition(np.array(alpha))) == pytest.approx(np.log(whole), abs=1e-8)
    single = log_partition(np.array([0.001, 1.0, 1.999], np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, log_partition(np.array([0.001, 1.0, 1.999])), rtol=1e-6)


def test_the_likelihood_is_normalized():
    """exp(-loss) of all targets together is 1, whatever shape and scale."""
    t = np.tan(np.linspace(-np.pi / 2, np.pi / 2, 200_003)[1:-1])
    for alpha, scale in ((0.01, 0.5), (1.0, 3.0), (1.9, 1.0)):
        loss = nn.AdaptiveLoss(alpha=alpha, scale=scale).astype(float)
        with no_grad():
            density = np.exp(-np.asarray(loss(np.zeros_like(t), t).value))
        assert np.trapezoid(density, t) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("how", [False, "numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_shape_and_scale_are_learned(how):
    """P05, L20: few outliers move alpha down; without any it goes up to the normal end."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (300, 1))
    clean = 3 * x + 0.2 * rng.normal(size=x.shape)
    dirty = np.where(rng.random(x.shape) < 0.2, 20.0, clean)
    plan = {"optimizer": optim.Adam(0.05), "epochs": 150, "seed": 0, "compile": how}
    found, seen = [], []
    for y in (clean, dirty):
        model, loss = nn.Linear(1, 1, seed=0).astype(float), nn.AdaptiveLoss().astype(float)
        history = cr.train(
            model, loss, x, y, validation=(x, clean), callbacks=[seen.append], **plan
        )
        assert np.isfinite(history["validation_loss"]).all()
        assert seen[-1].model is model
        found.append((float(loss.alpha), float(loss.scale), float(model.weight)))
    (alpha, scale, slope), (low, narrow, robust) = found
    assert alpha > 1.5 > 0.5 > low
    assert scale == pytest.approx(0.2, abs=0.05)
    assert narrow < 0.4
    assert slope == pytest.approx(3, abs=0.05)
    assert robust == pytest.approx(3, abs=0.1)


def test_columns_have_shapes_of_their_own():
    rng = np.random.default_rng(1)
    y = np.stack([rng.normal(size=400), rng.standard_cauchy(400)], axis=1)
    loss = nn.AdaptiveLoss(2).astype(float)
    model = nn.Linear(1, 2, seed=0).astype(float)
    cr.train(model, loss, np.zeros((400, 1)), y, optimizer=optim.Adam(0.05), epochs=80, seed=0)
    normal, cauchy = numbers(loss.alpha)
    assert normal > 1.5 > 0.3 > cauchy


def test_a_loss_with_parameters_goes_on_from_a_checkpoint(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 2))

    def train(epochs):
        model, loss = nn.Linear(2, 1, seed=0), nn.AdaptiveLoss()
        checkpoint = cr.Checkpoint(tmp_path / "c")
        cr.train(model, loss, x, x[:, :1] ** 3, epochs=epochs, seed=0, checkpoint=checkpoint)
        return [numbers(p).tolist() for p in (*model.parameters(), *loss.parameters())]

    train(2)
    resumed = train(4)
    shutil.rmtree(tmp_path / "c")
    assert train(4) == resumed


def test_errors_of_the_adaptive_loss():
    for wrong in ({"alpha": 2.0}, {"alpha": -1.0}, {"scale": 0.0}, {"scale": np.nan}):
        with pytest.raises(ConfigError, match=r"AdaptiveLoss\("):
            nn.AdaptiveLoss(**wrong)
    with pytest.raises(ShapeError, match=r"AdaptiveLoss\(2\) got predictions of shape \(3,\)"):
        nn.AdaptiveLoss(2)(np.zeros(3), np.zeros(3))
    with pytest.raises(ConfigError, match=r"Linear is no loss.*nn\.AdaptiveLoss"):
        cr.train(nn.Linear(1, 1), nn.Linear(1, 1), np.zeros((2, 1)), np.zeros((2, 1)))
    for estimator in (cr.NetRegressor(nn.Linear(1, 1)), cr.MLPRegressor()):
        with pytest.raises(ConfigError, match=r"estimators do not train: .*chainrule\.train"):
            estimator.set_params(loss=nn.AdaptiveLoss()).fit([[0.0], [1.0]], [0.0, 1.0])
