"""What is said of optimizers and regularisation, measured on small tasks.

Each test names the rows of the requirements that it measures. Thresholds leave room: the numbers
behind them were the same on every run, since all is seeded.
"""

import numpy as np
import pytest

from chainrule import EarlyStopping, MLPRegressor, nn, ops, optim, penalties, train
from chainrule.errors import DivergedError
from chainrule.optim import SGD, Adagrad, Adam, RMSprop, Updater
from chainrule.schedules import Schedule


def neuron(inputs=1, bias=True):
    return nn.Sequential(nn.Linear(inputs, 1, bias=bias, seed=0)).astype(float)


# Bias (R19 to R21, R24).


def test_a_bias_is_one_number_per_unit():
    assert nn.mlp([3, 5, 2]).count_parameters() == 32
    without = nn.Sequential(nn.Linear(3, 5, bias=False), nn.Linear(5, 2, bias=False))
    assert without.count_parameters() == 32 - 5 - 2


def test_a_bias_shifts_the_activation():
    for b in (-4.0, 0.0, 4.0):
        layer = nn.Linear(1, 1).astype(float)
        layer.load_state_dict({"weight": [[2.0]], "bias": [b]})
        assert ops.sigmoid(layer.predict(np.array([[-b / 2.0]]))).item() == 0.5


def test_without_a_bias_a_line_goes_through_the_origin():
    x = np.array([[1.0], [2.0], [3.0]])
    plan = {"optimizer": SGD(0.05), "epochs": 2000, "batch_size": None}
    model = neuron(bias=False)
    history = train(model, "mse", x, x + 5, **plan)
    assert model[0].weight.item() == pytest.approx(3.14285714, abs=5e-9)
    assert history["loss"][-1] == pytest.approx(3.57142857, abs=5e-9)
    assert train(neuron(), "mse", x, x + 5, **plan)["loss"][-1] < 1e-12
    assert train(neuron(bias=False), "mse", x, 2 * x, **plan)["loss"][-1] < 1e-28
    assert ops.sigmoid(nn.Linear(4, 1, bias=False).predict(np.zeros((1, 4)))).item() == 0.5


# Regularisation (R06, R13).


def noisy(seed, rows=40):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (rows + 400, 8))
    y = np.sin(3 * x[:, :1]) + 0.4 * rng.normal(size=(rows + 400, 1))
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def errors(seed, dropout=0.0, epochs=300, **plan):
    """Train a net that is too large; give the errors of training and of new rows."""
    (x, y), (held_x, held_y) = noisy(seed)
    plan = {"validation": (held_x[:100], held_y[:100])} | plan
    model = nn.mlp([8, 64, 64, 1], "relu", dropout=dropout, seed=seed).astype(float)
    plan = {"optimizer": Adam(0.005), "epochs": epochs, "batch_size": 20, "seed": seed} | plan
    train(model, "mse", x, y, compile="numpy", **plan)
    return [((model.predict(a) - b) ** 2).mean() for a, b in ((x, y), (held_x[100:], held_y[100:]))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "aid",
    [
        {"penalty": penalties.L2(0.01)},
        {"penalty": penalties.L1(0.02)},
        {"penalty": penalties.ElasticNet(0.01, 0.01)},
        {"dropout": 0.5},
        {"early_stopping": EarlyStopping(20)},
        {"optimizer": Adam(0.005, weight_decay=2.0, decoupled_weight_decay=True)},
    ],
    ids=["ridge", "lasso", "elastic net", "dropout", "early stopping", "weight decay"],
)
def test_regularisation_helps_on_few_noisy_rows(aid):
    """R13: in at least four of five seeds the error on new rows is lower."""
    assert sum(errors(seed, **aid)[1] < errors(seed)[1] for seed in range(5)) >= 4


@pytest.mark.slow
def test_the_effect_of_the_dropout_rate():
    """R06: without dropout the gap is largest, with 0.8 the training error is."""
    rates = (0.0, 0.2, 0.5, 0.8)
    found = np.array([np.mean([errors(s, dropout=p) for s in range(3)], axis=0) for p in rates])
    gap = found[:, 1] - found[:, 0]
    assert gap.argmax() == 0
    assert found[:, 0].argmax() == 3


@pytest.mark.slow
def test_batch_norm_needs_fewer_epochs_in_a_deep_net():
    """R08: eight sigmoid layers at a high rate."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    y = (x[:, :1] * x[:, 1:2] > 0).astype(float)
    loss = "binary_cross_entropy_with_logits"

    def epochs(batch_norm):
        model = nn.mlp([5, *[16] * 8, 1], "sigmoid", batch_norm=batch_norm, seed=0).astype(float)
        stop = EarlyStopping(1000, monitor="loss", target=0.3)
        history = train(model, loss, x, y, optimizer=SGD(0.5, momentum=0.9),
                        epochs=100, batch_size=50, seed=0, early_stopping=stop)  # fmt: skip
        return len(history), history.reason

    with_norm, without = epochs(True), epochs(False)
    assert with_norm[1] == "target reached"
    assert without == (100, "epochs")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_bias_and_variance():
    """R12: polynomials of three degrees, each fitted to 60 sets of 25 rows with noise 0.3."""
    rng = np.random.default_rng(0)
    new = np.linspace(-0.9, 0.9, 40)

    def features(x, degree):
        return np.polynomial.legendre.legvander(x, degree)[:, 1:]

    def parts(degree):
        fits = []
        for _ in range(60):
            x = np.linspace(-1, 1, 25)
            y = np.sin(3 * x) + 0.3 * rng.normal(size=25)
            model = MLPRegressor(
                hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, tol=1e-9, random_state=0
            )
            with np.errstate(all="ignore"):
                fits.append(model.fit(features(x, degree), y).predict(features(new, degree)))
        fits, truth = np.array(fits), np.sin(3 * new)
        fresh = truth + 0.3 * rng.normal(size=(40, 60, 40))
        bias = ((fits.mean(0) - truth) ** 2).mean()
        variance = fits.var(0).mean()
        return bias, variance, ((fits - fresh) ** 2).mean()

    found = np.array([parts(degree) for degree in (1, 3, 9)])
    bias, variance, error = found.T
    assert bias[0] > bias[1] > bias[2]
    assert (np.diff(variance) > 0).all()
    assert error[1] < min(error[0], error[2])
    assert bias + variance + 0.3**2 == pytest.approx(error, rel=0.05)


# Batches (O18 to O21).


def cloud():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 4))
    return x, x @ np.array([[1.0], [-2.0], [0.5], [0.0]]) + 0.5 * rng.normal(size=(512, 1))


def test_gradient_noise_halves_with_four_times_the_batch():
    """O18: the root mean square of the gradient at the optimum, over batches of B rows."""
    x, y = cloud()
    w = np.linalg.lstsq(x, y, rcond=None)[0]
    rows = 2 * x * (x @ w - y)
    rng = np.random.default_rng(1)
    norms = []
    for b in (1, 4, 16, 64):
        picks = rng.integers(0, 512, (4000, b))
        norms.append(np.sqrt((rows[picks].mean(1) ** 2).sum(1).mean()))
    assert np.abs(rows.mean(0)).max() < 1e-13
    assert norms[0] / np.array(norms) == pytest.approx([1, 2, 4, 8], rel=0.05)


def test_small_batches_need_fewer_rows():
    """O19: rows seen until the loss is within a tenth of its least."""
    x, y = cloud()
    least = ((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2).mean()

    def rows(batch_size):
        model = neuron(4)
        stop = EarlyStopping(1000, monitor="validation_loss", target=1.1 * least)
        history = train(model, "mse", x, y, optimizer=SGD(0.05), epochs=100, batch_size=batch_size,
                        seed=0, validation=(x, y), early_stopping=stop)  # fmt: skip
        assert history.reason == "target reached"
        return len(history)

    assert rows(16) <= 2 < 10 < rows(None)


def test_noise_leaves_a_shallow_minimum_and_plain_descent_does_not():
    """O20: the double well from x = 2 with rate 0.01; gradients with noise, and without."""

    def end(noise, seed=0):
        rng, x = np.random.default_rng(seed), 2.0
        for step in range(4000):
            fading = noise * max(0.0, 1 - step / 3000)
            x -= 0.01 * (4 * x**3 - 6 * x + 1 + fading * rng.normal())
        return x**4 - 3 * x**2 + x

    assert end(0.0) == pytest.approx(-1.0702, abs=1e-3)
    share = np.mean([abs(end(20.0, seed) + 3.5139) < 0.01 for seed in range(20)])
    assert share > 0.5


def test_many_rows_at_once_and_one_by_one(monkeypatch):
    """O04, O05, O28: updates per epoch, and pairs of rows that stay pairs."""
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)  # the model looks at its rows in Python
    x = np.arange(40.0).reshape(20, 2)
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(2, 2, seed=0).astype(float)

        def forward(self, batch):
            seen.append(np.array(batch if isinstance(batch, np.ndarray) else batch.value))
            return self.inner(batch) * 0.0 + batch

    for batch_size, updates in ((None, 1), (1, 20)):
        seen.clear()
        history = train(Spy(), "mse", x, x, epochs=2, batch_size=batch_size, seed=0, compile=False)
        assert history["loss"] == [0.0, 0.0]  # each row met its own target
        first, second = (
            np.concatenate(half) for half in (seen[-2 * updates : -updates], seen[-updates:])
        )
        assert sorted(first[:, 0]) == sorted(second[:, 0]) == x[:, 0].tolist()
        assert not np.array_equal(first, second)


def test_online_learning_is_training_by_single_rows():
    """O27: `partial_fit` on a stream, and one epoch of batches of one row in the same order."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    settings = {"hidden_layer_sizes": (4,), "solver": "sgd", "batch_size": 1, "shuffle": False,
                "random_state": 0, "alpha": 0.01}  # fmt: skip
    stream = MLPRegressor(**settings)
    for i in range(30):
        stream.partial_fit(x[i : i + 1], y[i : i + 1])
    whole = MLPRegressor(**settings, max_iter=1)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        whole.fit(x, y)
    for a, b in zip(stream.coefs_, whole.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


# Optimizers (O25, O29, O31).


def path(optimizer, gradient, start, steps):
    from chainrule import tensor

    w = tensor(np.array(start, float), requires_grad=True)
    updater = Updater([w], optimizer)
    found = []
    for t in range(steps):
        updater.step([np.asarray(gradient(w.value, t))])
        found.append(w.value.copy())
    return np.array(found)


def test_rmsprop_follows_a_moving_target_better_than_adagrad():
    """O25: Adagrad's steps become smaller with every gradient."""
    target = np.sin(np.arange(3000) / 100)

    def lag(optimizer):
        found = path(optimizer, lambda w, t: 2 * (w - target[t]), [0.0], 3000)[:, 0]
        return np.sqrt(((found - target) ** 2)[500:].mean())

    assert lag(RMSprop(0.02)) < 0.5 * lag(Adagrad(0.02))


def test_features_of_different_scale():
    """O29: on a parabola 10,000 times as steep in one direction, adaptive steps are equal."""
    for optimizer in (Adagrad(0.1), RMSprop(0.01), Adam(0.1)):
        w = path(optimizer, lambda w, t: w * np.array([1.0, 1e4]), [1.0, 1.0], 50)
        assert w[:, 0] == pytest.approx(w[:, 1], abs=1e-4)
    plain = path(SGD(1e-4), lambda w, t: w * np.array([1.0, 1e4]), [1.0, 1.0], 50)
    assert plain[-1, 0] > 0.99
    assert plain[-1, 1] == 0.0


def test_momentum_may_run_the_wrong_way():
    """O31: after the slope turns, the velocity goes on for a while."""

    def turn(optimizer):
        w = path(optimizer, lambda w, t: np.array([-1.0 if t < 20 else 1.0]), [0.0], 40)[:, 0]
        return int(w.argmax()) - 19

    assert turn(SGD(0.01)) == 0
    assert turn(SGD(0.01, momentum=0.9)) >= 5


def test_a_rate_that_is_too_high_ends_with_a_word():
    """O16: x^2 beyond rate 1, by `train`."""
    x = np.ones((4, 1))
    with pytest.raises(DivergedError, match="learning rate"):
        train(neuron(bias=False), "mse", x, 0 * x, optimizer=SGD(1.1), epochs=5000)


def test_a_schedule_serves_every_optimizer():
    class Half(Schedule):
        def __call__(self, t):
            return 0.5

    x = np.linspace(-1, 1, 20).reshape(-1, 1)
    for cls in optim.OPTIMIZERS.values():
        ends = []
        for rate, schedule in ((0.02, Half()), (0.01, None)):
            model = neuron()
            train(model, "mse", x, x, optimizer=cls(rate), schedule=schedule, epochs=3, seed=0)
            ends.append(model.arrays()["0.weight"])
        np.testing.assert_allclose(*ends, rtol=1e-12)
