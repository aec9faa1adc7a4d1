"""Predictions by a program are those of the model as written."""

import numpy as np
import pytest

from chainrule import losses, nn, ops
from chainrule.data import Rows
from chainrule.errors import ShapeError
from chainrule.graph import shape_of, value_of
from chainrule.plan import Plan
from chainrule.predicting import Prediction, predict
from chainrule.training import Training

RNG = np.random.default_rng(0)


class Reshaped(nn.Module):
    """A module for rows of another shape than (6,)."""

    def __init__(self, module, *shape):
        self.module, self.shape = module, shape

    def forward(self, x):
        return self.module(ops.reshape(x, (shape_of(x)[0], *self.shape)))


NETS = {
    "mlp": (lambda: nn.mlp([6, 8, 3], "mish", seed=0), "f4"),
    "dropout and norm": (
        lambda: nn.Sequential(
            nn.Linear(6, 5, seed=0), nn.BatchNorm1d(5), nn.Dropout(0.5, seed=0), nn.Linear(5, 2)
        ),
        "f4",
    ),
    "double rows": (lambda: nn.mlp([6, 4, 1], "relu", seed=0), "f8"),
    "recurrent": (
        lambda: Reshaped(nn.LSTM(2, 3, batch_first=True, returns="sequence", seed=0), 3, 2),
        "f4",
    ),
    "both directions": (
        lambda: Reshaped(nn.GRU(1, 3, bidirectional=True, batch_first=True, returns="last"), 6, 1),
        "f4",
    ),
    "convolutional": (
        lambda: Reshaped(
            nn.Sequential(nn.Conv2d(1, 3, 2, seed=0), nn.MaxPool2d((1, 2)), nn.Flatten()), 1, 2, 3
        ),
        "f4",
    ),
    "embedding": (lambda: nn.Embedding(9, 4, seed=0), "i8"),
}


@pytest.fixture(autouse=True)
def with_numba(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)


def rows_of(dtype, n):
    return RNG.integers(0, 9, (n, 6)) if dtype == "i8" else RNG.normal(size=(n, 6)).astype(dtype)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("n", [0, 1, 5, 700])
def test_a_program_predicts_the_same(net, n):
    make, dtype = NETS[net]
    model, x = make(), rows_of(dtype, n)
    written = Prediction(model, (x,), compile=False)
    compiled = Prediction(model, (x,), compile="numba")
    assert written.program is None
    assert compiled.program is not None
    y, expected = compiled((x,)), written((x,))
    assert y.shape == expected.shape
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert all(module.training for _, module in model.named_modules())


def test_it_follows_the_weights():
    model, x = nn.mlp([6, 8, 3], "tanh", seed=0), rows_of("f4", 10)
    compiled = Prediction(model, (x,), compile="numba")
    compiled((x,))
    for p in model.parameters():
        p.renew(p.value * 2)
    np.testing.assert_allclose(compiled((x,)), predict(model, (x,)), rtol=1e-5)


@pytest.mark.parametrize("wrong", [9, -10])
def test_an_index_that_does_not_exist(wrong):
    model, x = NETS["embedding"][0](), rows_of("i8", 5)
    compiled = Prediction(model, (x,), compile="numba")
    x[3, 2] = wrong
    with pytest.raises(ShapeError, match=rf"index {wrong} in row 3; expected 0 to 8"):
        compiled((x,))


class Untraceable(nn.Module):
    def forward(self, x):
        return x * 2 if float(value_of(ops.sum(x))) > 0 else x


def test_a_model_that_cannot_be_traced_predicts_as_written():
    x = np.ones((5000, 600), np.float32)
    model = Untraceable()
    model.weight = nn.Parameter(np.ones((1000, 1000), np.float32))  # work that would pay
    prediction = Prediction(model, (x,))
    assert prediction.program is None
    assert (prediction((x,)) == 2 * x).all()
    with pytest.raises(Exception, match=r"NoneType|value"):
        Prediction(model, (x,), compile="numba")


def test_small_work_is_not_traced(monkeypatch):
    monkeypatch.setattr(Prediction, "_traced", None)
    model, x = nn.mlp([6, 8, 3], seed=0), rows_of("f4", 100)
    assert predict(model, (x,)).shape == (100, 3)


def test_large_work_is_compiled():
    model = nn.mlp([6, 512, 512, 1], "mish", seed=0)
    assert Prediction(model, (rows_of("f4", 50),), times=1).program is None
    assert Prediction(model, (rows_of("f4", 50_000),)).program is not None
    assert Prediction(model, (rows_of("f4", 5000),), times=10).program is not None


@pytest.mark.parametrize("compile_", ["numba", "numpy", False])
def test_validation_is_compiled_with_the_step(compile_):
    x, y = rows_of("f4", 60), RNG.normal(size=(60, 1)).astype("f4")
    held_out = Rows((rows_of("f4", 30),), RNG.normal(size=(30, 1)).astype("f4"))
    plan = Plan(epochs=4, batch_size=20, seed=0, compile=compile_, average=0.9)
    trainings = [
        Training(nn.mlp([6, 5, 1], "tanh", seed=0), losses.mse, Rows((x,), y), held_out, p)
        for p in (plan, Plan(epochs=4, batch_size=20, seed=0, compile=False, average=0.9))
    ]
    histories = [training.run() for training in trainings]
    assert (trainings[0].prediction.program is not None) == (compile_ == "numba")
    found, expected = ([row["validation_loss"] for row in history] for history in histories)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
