"""Verdicts from curves, and dead units."""

import numpy as np
import pytest

from chainrule import nn, ops, optim, train
from chainrule.advise import recommend
from chainrule.diagnose import dead_units, verdict
from chainrule.errors import ConfigError
from chainrule.history import History

N = np.arange(1.0, 41)
NOISE = 1 + 0.02 * np.random.default_rng(0).normal(size=40)
FALLING = 1 / N
LEVEL = 0.2 + 0.8 * np.exp(-N / 3)


def history(loss, validation=None):
    rows = [{"loss": float(x)} for x in loss]
    if validation is not None:
        for row, x in zip(rows, validation, strict=True):
            row["validation_loss"] = float(x)
    return History(rows)


@pytest.mark.parametrize(
    ("kind", "loss", "validation"),
    [
        ("overfitting", FALLING, LEVEL + 0.02 * np.maximum(N - 12, 0)),
        ("overfitting", FALLING * NOISE, (LEVEL + 0.02 * np.maximum(N - 12, 0)) * NOISE),
        ("fits", LEVEL, LEVEL + 0.03),
        ("fits", LEVEL * NOISE, (LEVEL + 0.03) * NOISE),
        ("fits", LEVEL, LEVEL + 0.001 * np.maximum(N - 12, 0)),  # a little worse is no alarm
        ("fits", LEVEL, None),
        ("still learning", 1 - N / 50, 1.05 - N / 50),
        ("underfitting", 0.7 - 0.001 * np.minimum(N, 5), 0.71 - 0.001 * np.minimum(N, 5)),
        ("underfitting", 0.7 * np.ones(40), None),
        ("too short", FALLING[:4], None),
        ("too short", np.full(40, np.nan), None),
    ],
)
def test_constructed_histories(kind, loss, validation):
    found = verdict(history(loss, validation))
    assert found.kind == kind, found
    assert str(found).startswith(f"{kind}: ")


def test_one_bad_epoch_is_no_overfitting():
    validation = LEVEL.copy()
    validation[-1] *= 3
    assert verdict(history(FALLING, validation)).kind != "overfitting"


def test_validation_that_is_rarely_looked_at():
    rows = [{"loss": float(x)} for x in FALLING]
    for i in range(0, 40, 3):
        rows[i]["validation_loss"] = float(LEVEL[i] + 0.03 * max(i - 10, 0))
    assert verdict(History(rows)).kind == "overfitting"


def test_a_simple_model_that_does_as_well():
    assert verdict(history(LEVEL), baseline=0.21).kind == "underfitting"
    assert verdict(history(LEVEL), baseline=2.0).kind == "fits"
    with pytest.raises(ConfigError, match="above 0"):
        verdict(history(LEVEL), baseline=-1.0)


def test_a_net_that_memorises_noise():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 10)), rng.normal(size=(40, 1))
    x, y = x.astype(np.float32), y.astype(np.float32)
    found = train(
        nn.mlp([10, 64, 1], "relu", seed=0), "mse", x[:20], y[:20], validation=(x[20:], y[20:]),
        optimizer=optim.Adam(0.01), epochs=80, seed=0,
    )  # fmt: skip
    assert verdict(found).kind == "overfitting"


X = np.random.default_rng(1).normal(size=(200, 3))


def with_bias(activation, bias):
    net = nn.Sequential(nn.Linear(3, 5, seed=0), nn.Activation(activation), nn.Linear(5, 1, seed=1))
    return net.load_state_dict(net.state_dict() | {"0.bias": np.full(5, bias)})


def test_units_below_zero_for_all_rows_are_dead():
    (layer,) = dead_units(with_bias("relu", -10.0), X)
    assert (layer.name, layer.kind, layer.units, layer.share) == ("1", "Activation(relu)", 5, 1.0)
    advice = recommend("regression", rows=500, columns=3, dead_units=layer.share)
    assert advice.hidden_activation == "leaky_relu"
    (healthy,) = dead_units(with_bias("relu", 0.0), X)
    assert healthy.share == 0.0
    assert healthy.dead.tolist() == []


@pytest.mark.parametrize("activation", ["leaky_relu", "elu", "tanh", "softplus"])
def test_a_slope_keeps_units_alive(activation):
    assert dead_units(with_bias(activation, -10.0), X)[0].share == 0.0


def test_an_activation_that_mixes_units_has_no_dead_ones():
    assert dead_units(with_bias("softmax", 0.0), X) == []


def test_channels_of_images_and_shared_activations():
    relu = nn.Activation("relu")
    dense = nn.Linear(8, 3, seed=0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, seed=0), relu, nn.Flatten(), dense, relu)
    net.load_state_dict(net.state_dict() | {"0.bias": np.array([-100.0, 0.0])})
    first, second = dead_units(net, np.random.default_rng(0).normal(size=(50, 1, 4, 4)))
    assert (first.units, first.dead.tolist()) == (2, [0])
    assert (first.name, second.name) == ("1", "1:2")
    assert second.units == 3


def test_looking_changes_nothing():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Activation("relu"), nn.PReLU(), nn.Dropout(0.5))
    net.train()
    before = {k: v.tobytes() for k, v in net.arrays().items()}
    names = [layer.name for layer in dead_units(net, X)]
    assert names == ["1", "2"]
    assert {k: v.tobytes() for k, v in net.arrays().items()} == before
    assert all(module.training for _, module in net.named_modules())


def test_a_custom_model_with_an_activation_first():
    class Net(nn.Module):
        def __init__(self):
            self.first = nn.Activation("relu")

        def forward(self, x):
            return ops.sum(self.first(x), axis=1)

    assert dead_units(Net(), -np.abs(X))[0].share == 1.0
