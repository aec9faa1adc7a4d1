"""Neurons as they were first told: what they compute, what they learn, what they cannot."""

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.errors import ChainruleError, ConfigError, DataError, NotFittedError, ShapeError
from chainrule.nn import McCullochPitts, Perceptron, TwoLayer, truth_table
from chainrule.testing import check_gradient

AND, OR, XOR = (truth_table(name) for name in ("and", "or", "xor"))


# One neuron.


@pytest.mark.parametrize(
    ("weights", "theta", "fires"),
    [
        ((1, 1), 1.5, [0, 0, 0, 1]),
        ((1, 1), 0.5, [0, 1, 1, 1]),
        ((-1, -1), -0.5, [1, 0, 0, 0]),
        ((1, 1), 2, [0, 0, 0, 0]),  # at the threshold it does not fire
    ],
)
def test_threshold_neuron(weights, theta, fires):
    neuron = McCullochPitts(weights, theta)
    assert neuron(AND[0]).tolist() == fires
    assert [int(neuron(row)) for row in AND[0]] == fires


def test_one_active_inhibitory_input_keeps_it_silent():
    neuron = McCullochPitts([5, 5, 5], 0.5, inhibitory=[False, False, True])
    assert neuron([[1, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1]]).tolist() == [1, 0, 0, 0]
    logistic = McCullochPitts([1, 1], 0.0, inhibitory=[False, True], activation="sigmoid")
    assert logistic([[0, 0], [0, 1]]).tolist() == [0.5, 0.0]
    with pytest.raises(DataError, match="inhibitory inputs are 0 or 1"):
        neuron([1, 1, 0.5])


def test_another_activation():
    out = McCullochPitts([1, 2], 0.5, activation="logistic")(
        np.random.default_rng(0).normal(size=(50, 2))
    )
    assert ((out > 0) & (out < 1)).all()
    assert McCullochPitts([0.2, 0.4], -0.1, activation="sigmoid")([0.5, 0.8]) == pytest.approx(
        0.62714777, abs=5e-9
    )


def test_it_has_no_way_to_learn_and_a_perceptron_of_one_neuron_has():
    assert not hasattr(McCullochPitts([1], 0), "fit")
    perceptron = Perceptron(seed=0).fit(*OR)
    assert perceptron.converged_
    assert perceptron.weights_.shape == (3, 1)
    assert perceptron.predict(OR[0]).tolist() == OR[1].tolist()


def test_a_neuron_of_layers():
    neuron = nn.Sequential(nn.Linear(2, 1), nn.Activation("sigmoid")).astype(float)
    neuron.load_state_dict({"0.weight": [[0.2, 0.4]], "0.bias": [0.1]})
    assert neuron.predict(np.array([[0.5, 0.8]])).item() == pytest.approx(0.62714777, abs=5e-9)


def test_slope_of_the_logistic_function():
    value, slope = cr.value_and_grad(lambda h: cr.functional.logistic(h, 2.0))(0.3)
    assert float(slope) == pytest.approx(0.45756848, abs=5e-9)
    a = float(value)
    assert float(slope) == pytest.approx(2 * a * (1 - a))
    assert a * (1 - a) == pytest.approx(0.22878424, abs=5e-9)  # without beta it is half of that
    at = np.array([-1.0, 0.0, 0.7])
    check_gradient(lambda h: cr.functional.logistic(h, 1.3), at)
    check_gradient(lambda beta: cr.functional.logistic(at, beta), np.array(1.3))


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: nn.Activation("logistic", beta=1.0, trainable=["beta"]), "1.settings.beta"),
        (lambda: nn.Activation("swish", beta=1.0, trainable=["beta"]), "1.settings.beta"),
        (lambda: nn.PReLU(), "1.weight"),
        (lambda: nn.Activation("logistic"), "0.bias"),  # minus the threshold
    ],
)
@pytest.mark.parametrize("how", [False, "numpy"])
def test_parameters_of_activations_are_trained(layer, name, how):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    model = nn.Sequential(nn.Linear(2, 3, seed=0), layer(), nn.Linear(3, 1, seed=1)).astype(float)
    before = model.state_dict()[name]
    losses.mse(model(x), x[:, :1] ** 2).backward()
    assert np.abs(dict(model.named_parameters())[name].grad.numpy()).max() > 1e-4
    cr.train(
        model, "mse", x, x[:, :1] ** 2, epochs=3, seed=0, optimizer=optim.SGD(0.1), compile=how
    )
    assert np.abs(model.state_dict()[name] - before).max() > 1e-4


def test_an_activation_with_a_trained_setting_is_saved(tmp_path):
    model = nn.Sequential(nn.Linear(1, 1), nn.Activation("swish", beta=2.0, trainable=["beta"]))
    model[1].settings["beta"].renew(np.array(0.5))
    model.save(tmp_path / "m")
    again = cr.load(tmp_path / "m")
    assert float(again[1].settings["beta"].value) == 0.5
    assert "beta=2.0" in repr(again)
    assert float(again.initialize(0)[1].settings["beta"].value) == 2.0
    with pytest.raises(ConfigError, match=r"give beta its start, such as beta=1\.0"):
        nn.Activation("swish", trainable=["beta"])


# The perceptron.


def test_the_rule_step_by_step():
    for bias_input, bias_weight in ((-1, 0.5), (1, -0.5)):
        p = Perceptron(lr=0.25, init_std=0.0, bias_input=bias_input).fit(*AND)
        assert p.mistakes_ == [1, 3, 3, 2, 1, 0]
        assert p.weights_.ravel().tolist() == [0.5, 0.25, bias_weight]
        assert p.converged_
        assert p.predict(AND[0]).tolist() == AND[1].tolist()
    assert Perceptron(init_std=0.0).fit(*OR).mistakes_[-1] == 0
    assert len(Perceptron(init_std=0.0).fit(*OR).mistakes_) == 4


def test_without_a_bias_there_is_no_threshold():
    with pytest.warns(UserWarning, match="bias_input=0: its weight never changes"):
        p = Perceptron(bias_input=0, init_std=0.0)
    assert p.fit(*AND).mistakes_[-1] == 3
    assert len(p.mistakes_) == 100
    assert not p.converged_
    assert p.weights_[-1].item() == 0.0
    assert not p.fit(*truth_table("nand")).converged_
    assert p.fit(*OR).converged_


def test_an_input_of_zeros_is_decided_by_the_bias_weight_alone():
    p = Perceptron(seed=1).fit(*truth_table("nor"))
    assert p.predict([[0, 0]]).item() == int(-p.weights_[-1].item() > 0) == 1


@pytest.mark.parametrize("std", [0.0, 0.05])
def test_the_rate_only_scales_the_weights(std):
    found = []
    for rate in (0.1, 0.25, 0.4, 1, 7):
        p = Perceptron(lr=rate, init_std=std * rate, seed=0).fit(*AND)
        found.append((p.mistakes_, (p.weights_ / rate).round(9).ravel().tolist()))
    assert all(x == found[0] for x in found)
    if std == 0:
        assert found[0] == ([1, 3, 3, 2, 1, 0], [2, 1, 2])


def test_xor_has_no_line():
    p = Perceptron(init_std=0.0).fit(*XOR)
    assert len(p.mistakes_) == 100
    assert min(p.mistakes_) >= 1
    assert p.mistakes_[-50:] == [4] * 50
    assert p.converged_ is False
    tired = Perceptron(init_std=0.0, patience=5).fit(*XOR)
    assert tired.mistakes_ == p.mistakes_[:6]  # the first epoch was the best
    assert tired.converged_ is False


def test_outputs_learn_independently():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = (X @ rng.normal(size=(4, 3)) > 0.2).astype(int)
    joint = Perceptron(seed=3, max_epochs=30).fit(X, y)
    start = Perceptron(seed=3, max_epochs=1, lr=1e-300).fit(X, y).weights_
    for j in range(3):
        alone = Perceptron(max_epochs=30, init_std=0.0)
        alone.fit(X, y[:, j])
        zero = Perceptron(max_epochs=30, init_std=0.0).fit(X, y)
        assert np.array_equal(alone.weights_[:, 0], zero.weights_[:, j])
    first = Perceptron(seed=3, max_epochs=30).fit(X, y[:, 0])
    assert np.array_equal(first.weights_[:, 0], joint.weights_[:, 0])
    assert not np.array_equal(start[:, 0], start[:, 1])


def test_sizes_come_from_the_data():
    rng = np.random.default_rng(0)
    for rows in (100, 200):
        p = Perceptron(max_epochs=1, seed=0).fit(
            rng.normal(size=(rows, 7)), rng.integers(0, 2, (rows, 3))
        )
        assert p.weights_.shape == (8, 3)  # inputs and bias, whatever the number of rows
        assert p.predict(np.zeros((5, 7))).shape == (5, 3)


def test_the_start_is_small_random_and_seeded():
    X, y = np.zeros((1, 400)), [0]
    a, b, c = (Perceptron(max_epochs=1, seed=s).fit(X, y).weights_ for s in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert np.std(a[:-1]) == pytest.approx(0.05, rel=0.15)


def test_operations_are_counted():
    rng = np.random.default_rng(0)

    def count(epochs, rows, inputs, outputs):
        X, y = rng.normal(size=(rows, inputs - 1)), rng.integers(0, 2, (rows, outputs))
        return Perceptron(max_epochs=epochs, seed=0).fit(X, y).multiply_adds_

    assert count(1, 4, 3, 1) == 24
    assert count(1, 8, 3, 1) == 48
    base = count(3, 50, 4, 2)
    assert base == 2 * 3 * 50 * 4 * 2
    assert [count(6, 50, 4, 2), count(3, 100, 4, 2), count(3, 50, 8, 2), count(3, 50, 4, 4)] == [
        2 * base
    ] * 4


def test_truth_tables():
    rows = [[0, 0], [0, 1], [1, 0], [1, 1]]
    for name, truth in (("and", [0, 0, 0, 1]), ("or", [0, 1, 1, 1]), ("xor", [0, 1, 1, 0])):
        X, t = truth_table(name)
        assert X.tolist() == rows
        assert t.tolist() == truth


# The delta rule.


def worked_example():
    net = TwoLayer(2, 2, 1)
    net.v = np.array([[0.2, 0.3], [0.4, 0.7], [0.1, 0.2]])
    net.w = np.array([[0.5], [0.6], [0.3]])
    return net


X0, T0 = [0.5, 0.8], [1.0]


def test_errors_are_minus_the_slopes():
    net = worked_example()
    a, y = net.forward(X0)
    assert a == pytest.approx([0.6271477663131956, 0.7130001627522816], abs=1e-15)
    assert y == pytest.approx([0.739115029592156], abs=1e-15)
    delta_j, delta_k = net.deltas(X0, T0)
    assert delta_k == pytest.approx([0.050304884218260515], abs=1e-15)
    assert delta_j == pytest.approx([0.005881482201659628, 0.006176361164822136], abs=1e-15)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_changes_are_minus_the_gradient(bias, beta):
    rng = np.random.default_rng(0)
    net = TwoLayer(3, 4, 2, beta=beta, bias=bias, seed=1)
    module = net.to_module()
    x, t = rng.normal(size=(5, 3)), rng.uniform(size=(5, 2))
    assert module.predict(x) == pytest.approx(net.predict(x), abs=1e-15)
    losses.half_squared_error(module(x), t, reduction="sum").backward()
    v, w = net.v, net.w
    net.learn(x, t, lr=1.0)
    grads = {name: p.grad.numpy() for name, p in module.named_parameters()}
    assert net.v[:3] - v[:3] == pytest.approx(-grads["0.weight"].T, abs=1e-12)
    assert net.w[:4] - w[:4] == pytest.approx(-grads["2.weight"].T, abs=1e-12)
    if bias:
        assert net.w[4] - w[4] == pytest.approx(-grads["2.bias"], abs=1e-12)


def test_all_errors_are_computed_before_a_weight_changes():
    net = worked_example()
    before = net.v
    net.learn(X0, T0, lr=1.0)
    right = [
        [-0.002940741100829814, -0.004705185761327703],
        [-0.003088180582411068, -0.004941088931857709],
    ]
    np.testing.assert_allclose((before - net.v)[:2].T, right, atol=1e-15)
    assert net.w.ravel() == pytest.approx([0.53154860, 0.63586739, 0.35030488], abs=5e-9)
    late = worked_example()  # the mistake: the errors of the hidden neurons with new weights w
    _, y = late.forward(X0)
    late.w = net.w
    a, _ = late.forward(X0)
    delta_k = (1 - y) * y * (1 - y)
    wrong = -np.outer(a * (1 - a) * (late.w[:2] @ delta_k), X0)
    assert wrong == pytest.approx(
        np.array([[-0.00312629, -0.00500207], [-0.00327279, -0.00523646]]), abs=5e-9
    )


def test_the_sign_of_one_step():
    def error(sign):
        w = 0.2
        y = cr.functional.sigmoid(w)
        w += sign * (1 - y) * y * (1 - y)
        return 0.5 * (1 - cr.functional.sigmoid(w)) ** 2, 0.5 * (1 - y) ** 2

    assert error(1) == pytest.approx((0.08936610, 0.10132471), abs=5e-9)
    assert error(-1)[0] == pytest.approx(0.11418004, abs=5e-9)


@pytest.mark.slow
def test_xor_is_learned_with_the_right_sign_only():
    net = TwoLayer(2, 4, 1, seed=0)
    errors = net.fit(*XOR, lr=1.0, epochs=4000)
    assert errors[-1] < 0.01
    assert (net.predict(XOR[0])[:, 0] > 0.5).tolist() == [False, True, True, False]
    assert TwoLayer(2, 4, 1, seed=0).fit(*XOR, lr=-1.0, epochs=4000)[-1] > 0.9


def test_momentum_adds_the_change_before():
    net, plain = worked_example(), worked_example()
    start = net.w.copy()
    net.learn(X0, T0, 0.5, momentum=0.9)
    plain.learn(X0, T0, 0.5)
    first = net.w - start
    assert np.array_equal(net.w, plain.w)
    net.learn(X0, T0, 0.5, momentum=0.9)
    plain.learn(X0, T0, 0.5)
    assert net.w - plain.w == pytest.approx(0.9 * first, abs=1e-15)


# Errors.


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: truth_table("if"), ConfigError, "expected one of and, or, xor, nand, nor"),
        (lambda: McCullochPitts([[1]], 0), ShapeError, "shape (1, 1); expected one weight"),
        (lambda: McCullochPitts([1, "a"], 0), DataError, "weights: expected numbers"),
        (lambda: McCullochPitts([1], "a"), ConfigError, "theta='a': expected a number"),
        (lambda: McCullochPitts([1], 0, inhibitory=[1]), ConfigError, "1 times True or False"),
        (lambda: McCullochPitts([1], 0, activation="no"), ConfigError, "'no' does not exist"),
        (lambda: McCullochPitts([1, 1], 0)([1]), ShapeError, "(1,); expected (2,) or (rows, 2)"),
        (lambda: Perceptron(lr=0), ConfigError, "lr=0: expected a number above 0"),
        (lambda: Perceptron(max_epochs=0), ConfigError, "max_epochs=0"),
        (lambda: Perceptron(patience=0), ConfigError, "patience=0"),
        (lambda: Perceptron(init_std=-1), ConfigError, "init_std=-1"),
        (lambda: Perceptron(bias_input=np.inf), ConfigError, "expected a finite number"),
        (lambda: Perceptron().predict([[1]]), NotFittedError, "call fit(X, y) first"),
        (lambda: Perceptron().fit([[0], [1]], [0]), ShapeError, "X has shape (2, 1) and y (1,)"),
        (lambda: Perceptron().fit([[0], [1]], [-1, 1]), DataError, "outputs of 0 and 1"),
        (lambda: Perceptron().fit([[0], [np.nan]], [0, 1]), DataError, "finite numbers"),
        (lambda: Perceptron().fit(*AND).predict([[1, 2, 3]]), ShapeError, "expected (2,) or"),
        (lambda: TwoLayer(2, 0, 1), ConfigError, "hidden=0"),
        (lambda: TwoLayer(2, 2, 1).forward([1]), ShapeError, "TwoLayer got inputs of shape (1,)"),
        (lambda: TwoLayer(2, 2, 1).deltas([1, 1], [1, 1]), ShapeError, "shape (2,), outputs (1,)"),
        (lambda: TwoLayer(2, 2, 1).fit(AND[0], [0, 1]), ShapeError, "expected y (4, 1)"),
        (lambda: TwoLayer(2, 2, 1).fit(*AND, lr=np.nan), ConfigError, "lr=nan: expected a finite"),
    ],
)  # fmt: skip
def test_errors(call, error, text):
    assert issubclass(error, ChainruleError)
    with pytest.raises(error, match=re.escape(text)):
        call()
