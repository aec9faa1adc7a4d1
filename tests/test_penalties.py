"""Penalties: ridge and lasso end where their formulas say, per layer, and by every optimizer."""

import re
from dataclasses import replace

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim, penalties, train
from chainrule.errors import ConfigError, GraphError
from chainrule.penalties import L1, L2, ElasticNet, Penalized, soft_threshold
from tables import OPTIMIZER_ROWS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
Y = X @ np.array([1.5, 0, -2, 0, 0.05]) + 0.1 * RNG.normal(size=60)
X, Y = X - X.mean(0), Y - Y.mean()
OLS = np.linalg.solve(X.T @ X, X.T @ Y)


def weights(penalty, loss="half_squared_error", optimizer=None, epochs=2000, **plan):
    model = nn.Sequential(nn.Linear(5, 1, bias=False, seed=0)).astype(float)
    optimizer = optimizer or optim.SGD(0.1)
    train(model, loss, X, Y[:, None], penalty=penalty, optimizer=optimizer, epochs=epochs,
          batch_size=None, seed=0, compile="numpy", **plan)  # fmt: skip
    return model[0].weight.value.ravel()


def lasso(strength, l2=0.0):
    """Least sum of (y - Xw)^2 / (2 n) + strength |w|_1 + l2 |w|^2, by coordinate descent."""
    w, n = np.zeros(5), len(X)
    for _ in range(10_000):
        for j in range(5):
            rest = Y - X @ w + X[:, j] * w[j]
            push = X[:, j] @ rest / n
            w[j] = np.sign(push) * max(abs(push) - strength, 0) / (X[:, j] @ X[:, j] / n + 2 * l2)
    return w


def test_ridge_has_its_closed_form():
    """R01: the loss is the mean, so the strength counts n times."""
    expected = np.linalg.solve(X.T @ X + 60 * 0.05 * np.eye(5), X.T @ Y)
    assert weights(L2(0.05), loss="mse", optimizer=optim.SGD(0.05)) == pytest.approx(
        expected, abs=1e-9
    )


def test_without_a_penalty_there_is_none():
    """E-57: a neuron does not find ridge or lasso by itself."""
    found = weights(None)
    assert found == pytest.approx(OLS, abs=1e-12)
    ridge = np.linalg.solve(X.T @ X + 10 * np.eye(5), X.T @ Y)
    assert np.abs(found - ridge).max() > 0.2
    assert (found != 0).all()


def test_lasso_makes_exact_zeros_and_its_gradient_does_not():
    """R02."""
    expected = lasso(0.1)
    found = weights(L1(0.1))
    assert found == pytest.approx(expected, abs=1e-12)
    assert (found == 0).tolist() == [False, True, False, True, False]
    followed = weights(L1(0.1, proximal=False))
    assert (followed != 0).all()
    assert followed == pytest.approx(expected, abs=0.02)


def test_elastic_net_is_both():
    """R03."""
    assert weights(ElasticNet(0.1, 0.3)) == pytest.approx(lasso(0.1, 0.3), abs=1e-12)
    assert weights(ElasticNet(0.0, 0.3)) == pytest.approx(weights(L2(0.3)), abs=1e-14)
    assert weights(ElasticNet(0.1, 0.0)) == pytest.approx(weights(L1(0.1)), abs=1e-14)


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.SGD(0.05, momentum=0.9),
        optim.SGD(0.05, momentum=0.9, nesterov=True),
        optim.SGD(0.1, momentum=0.5, dampening=0.5),
        optim.SGD(0.05, momentum=0.9, rate_inside=True),
        optim.Adagrad(0.2),
        optim.RMSprop(0.0005, momentum=0.9),
        optim.RMSprop(0.003, eps_inside=True),
        optim.Adadelta(),
        optim.Adam(0.01),
        optim.Adam(0.01, amsgrad=True, eps_hat=True),
        optim.NAdam(0.01),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_lasso_by_every_optimizer(optimizer):
    schedule = None if getattr(optimizer, "rate_inside", False) else "cosine"
    found = weights(L1(0.1), optimizer=optimizer, epochs=3000, schedule=schedule)
    assert found == pytest.approx(lasso(0.1), abs=1e-4)
    assert (found == 0).sum() == 2


@pytest.mark.parametrize("row", OPTIMIZER_ROWS, ids=lambda row: repr(row.optimizer))
def test_the_gain_is_what_a_steady_gradient_does(row):
    chosen = replace(row.optimizer, weight_decay=0.0)
    p, g = np.zeros(2), np.array([1.0, -0.3])
    state = chosen.init(p)
    for t in range(1, 3001):
        before = p
        p, state = chosen.update(p, g, state, t, chosen.lr)
    if not getattr(chosen, "centered", False):  # there a steady gradient has no spread
        steady = -chosen.lr * chosen.gain(state, 3000) * g
        assert p - before == pytest.approx(steady, rel=0.01)


@pytest.mark.parametrize("t", [1, 3])
@pytest.mark.parametrize(
    "chosen", [optim.RMSprop(0.01, centered=True), optim.Adagrad(0.01, lr_decay=0.5)], ids=repr
)
def test_the_gain_divides_as_the_step_does(chosen, t):
    state = chosen.init(np.zeros(3))
    g = np.array([0.3, -1.0, 2.0])
    new, state = chosen.update(np.zeros(3), g, state, t, 0.01)
    assert new == pytest.approx(-0.01 * g * chosen.gain(state, t))


def test_an_optimizer_of_ones_own_needs_a_gain():
    class Plain(optim.Optimizer):
        def update(self, p, g, state, t, lr):
            return p - lr * g, {}

    assert weights(L2(0.0), optimizer=Plain(0.1)) == pytest.approx(OLS)
    with pytest.raises(ConfigError, match=r"Plain has no method gain\(state, t\)"):
        weights(L1(0.1), optimizer=Plain(0.1))


@pytest.mark.parametrize("momentum", ["SGD", "RMSprop"])
def test_momentum_of_one_has_no_gain(momentum):
    with pytest.raises(ConfigError, match="an L1 penalty needs momentum < 1"):
        getattr(optim, momentum)(momentum=1.0).gain({}, 1)


def test_soft_threshold():
    x = np.array([-3.0, -1.0, -0.0, 0.5, 1.0, 1.5, np.inf])
    assert soft_threshold(x, 1.0).tolist() == [-2, 0, 0, 0, 0, 0.5, np.inf]
    grid = np.linspace(-3, 3, 6001)
    for at in (-2.0, 0.3, 1.7):
        least = grid[np.argmin((grid - at) ** 2 / 2 + np.abs(grid))]
        assert float(soft_threshold(np.array(at), 1.0)) == pytest.approx(least, abs=1e-3)


def test_each_layer_its_penalty_once():
    """R26: the change of a step is that of the gradient and of the layer's own penalty."""
    model = nn.mlp([5, 4, 1], "tanh", seed=0).astype(float)
    before = model.state_dict()
    start = nn.mlp([5, 4, 1], "tanh", seed=0).astype(float)
    plan = {"optimizer": optim.SGD(0.1), "epochs": 1, "batch_size": None, "compile": False}
    history = train(model, "mse", X, Y[:, None], penalty={"0": L2(0.2), "2": L2(0.7)}, **plan)
    train(start, "mse", X, Y[:, None], **plan)
    for name, strength in {"0.weight": 0.2, "2.weight": 0.7, "0.bias": 0, "2.bias": 0}.items():
        pulled = start.state_dict()[name] - model.state_dict()[name]
        assert pulled == pytest.approx(0.1 * 2 * strength * before[name], abs=1e-14), name
    expected = 0.2 * (before["0.weight"] ** 2).sum() + 0.7 * (before["2.weight"] ** 2).sum()
    assert history["penalty"] == pytest.approx([expected])


@pytest.mark.parametrize("how", [False, "numpy"])
@pytest.mark.parametrize("penalty", [L2(0.1), L1(0.1), ElasticNet(0.1, 0.2), lambda rows: 0.25])
def test_loss_and_penalty_are_both_in_the_history(how, penalty):
    """R25: the loss of the history is that of the data plus the penalty."""
    model = nn.mlp([5, 4, 1], "tanh", seed=0).astype(float)
    data = float(cr.losses.mse(model.predict(X), Y[:, None]))
    squares = sum(float((model[i].weight.value ** 2).sum()) for i in (0, 2))
    sizes = sum(float(np.abs(model[i].weight.value).sum()) for i in (0, 2))
    parts = {L2: 0.1 * squares, L1: 0.1 * sizes, ElasticNet: 0.1 * sizes + 0.2 * squares}
    expected = parts.get(type(penalty), 0.25)
    history = train(
        model, "mse", X, Y[:, None], penalty=penalty, epochs=1, batch_size=None, compile=how
    )
    assert history["penalty"] == pytest.approx([expected])
    assert history["loss"] == pytest.approx([data + expected])
    assert "penalty" not in train(model, "mse", X, Y[:, None], epochs=1, compile=how).columns()


def test_what_is_penalized():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.PReLU(), nn.Linear(4, 1))
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def names(given):
        chosen = Penalized(given, named).items
        return [name for name, p in named.items() if any(p is q for q, _ in chosen)]

    assert names(L2(0.1)) == ["0.weight", "3.weight"]
    assert names({"3": L2(0.1)}) == ["3.weight"]
    assert names({"0.bias": L2(0.1)}) == ["0.bias"]
    longest = Penalized({"": L2(0.1), "3": L1(0.2)}, named)
    assert [x for _, x in longest.items] == [L2(0.1), L1(0.2)]
    both = Penalized([L1(0.1), {"3": L1(0.2)}, lambda rows: 1.5], named)
    assert both.thresholds == {named["0.weight"].birth: 0.1, named["3.weight"].birth: 0.1 + 0.2}
    sizes = [float(np.abs(named[name].value).sum()) for name in ("0.weight", "3.weight")]
    assert float(both.term(4).value) == pytest.approx(1.5 + 0.1 * sizes[0] + 0.3 * sizes[1])
    assert longest.thresholds == {named["3.weight"].birth: 0.2}
    model[0].freeze()
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert names(L2(0.1)) == ["3.weight"]


def test_a_checkpoint_of_a_lasso_goes_on_to_the_same_bits(tmp_path):
    def run(epochs, path):
        model = nn.mlp([5, 4, 1], "tanh", seed=0)
        train(model, "mse", X.astype("f4"), Y[:, None].astype("f4"), penalty={"0": L1(0.02)},
              epochs=epochs, seed=0, checkpoint=cr.Checkpoint(tmp_path / path))  # fmt: skip
        return model.state_dict()["0.weight"]

    run(2, "a")
    assert np.array_equal(run(5, "a"), run(5, "b"))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: L2(-1), "L2(l2=-1): expected a number of at least 0"),
        (lambda: L1("a"), "L1(l1='a')"),
        (lambda: ElasticNet(0.1, np.nan), "ElasticNet(l2=nan)"),
        (lambda: weights("l2"), "penalty='l2': expected a penalty such as"),
        (lambda: weights(L2), "expected a penalty such as"),
        (lambda: weights({}), "penalty={}: expected a penalty"),
        (lambda: weights([]), "penalty=[]: expected a penalty"),
        (lambda: weights([L2(0.1), "l1"]), "expected a penalty such as"),
        (lambda: weights({"0": 0.1}), "expected a penalty such as"),
        (lambda: weights({"1": L2(0.1)}), "nothing that is trained is named '1'; there are"),
        (lambda: Penalized(L2(0.1), {}), "the model has no weights that are trained"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        call()


@pytest.mark.parametrize("how", [False, "numpy"])
def test_a_penalty_is_one_number(how):
    with pytest.raises(GraphError, match=r"the penalty has shape \(3,\), expected one number"):
        train(nn.mlp([5, 1]), "mse", X, Y[:, None], penalty=lambda rows: np.ones(3), compile=how)


def test_every_penalty_is_registered():
    assert set(penalties.PENALTIES) == {"l1", "l2", "elasticnet"}
