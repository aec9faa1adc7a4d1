"""The training step as a program: the same numbers as the eager step, whatever it is made of."""

import copy
import os
import signal

import numpy as np
import pytest

from chainrule import SWA, Callback, losses, nn, ops, optim, penalties, train
from chainrule.data import Rows
from chainrule.errors import ConfigError, DivergedError, GraphError, ShapeError
from chainrule.graph import ancestors
from chainrule.nn.tabular import TabularNet
from chainrule.penalties import Penalized
from chainrule.step import Step
from chainrule.step_graph import StepGraph
from chainrule.transforms.compile.executor import NumpyProgram
from chainrule.transforms.compile.program import Program
from chainrule.transforms.device import JaxProgram
from chainrule.updating import Updater
from programs import PlainProgram
from standin import jax_or_stand_in
from tables import LAYER_ROWS, OPTIMIZER_ROWS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3))
Y = RNG.normal(size=(50, 2))


@pytest.fixture(autouse=True)
def _with_jax(as_asked):
    with jax_or_stand_in():
        yield


def eager(model, loss, x, y, **plan):
    recorder = Recorder()
    train(model, loss, x, y, seed=0, compile=False, callbacks=[recorder], **plan)
    return recorder.losses, model.arrays()


class Recorder(Callback):
    def __init__(self):
        self.losses = []

    def on_step_end(self, event):
        self.losses.append((event.loss, event.gradient_norm, event.learning_rate))


def programmed(kind, model, loss, x, y, weight=None, **plan):
    """Train by a program of a kind, as `train` does."""
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chainrule.stepping.Program", kind)
        how = {NumpyProgram: "numpy", JaxProgram: "jax"}.get(kind, "numba")
        train(model, loss, x, y, weight=weight, seed=0, compile=how, callbacks=[recorder], **plan)
    return recorder.losses, model.arrays()


def agree(found, expected, tolerance=1e-11, least=1e-13):
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerance)
    for name, value in expected[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol=tolerance, atol=least, err_msg=name)


KINDS = pytest.mark.parametrize("kind", [NumpyProgram, PlainProgram, JaxProgram])


def net(dtype=float):
    return nn.mlp([3, 4, 2], "tanh", seed=0).astype(dtype)


@KINDS
@pytest.mark.parametrize("row", OPTIMIZER_ROWS, ids=lambda row: repr(row.optimizer))
def test_every_optimizer(kind, row):
    plan = {"optimizer": row.optimizer, "epochs": 3, "batch_size": 16, "average": 0.9}
    agree(programmed(kind, net(), "mse", X, Y, **plan), eager(net(), "mse", X, Y, **plan), 1e-9)


def target_like(layer, inputs):
    return np.full(layer(*inputs).shape, 0.3)


@KINDS
@pytest.mark.parametrize("row", [r for r in LAYER_ROWS if r.parameters], ids=str)
def test_every_layer(kind, row):
    inputs = tuple(np.repeat(x, 3, axis=0) for x in row.inputs)
    if row.name == "StackedLinear":
        pytest.skip("its first axis is no batch")
    models = [row.layer().astype(float) for _ in range(2)]
    y = target_like(row.layer().astype(float), inputs)
    plan = {"optimizer": optim.Adam(0.01), "epochs": 2, "batch_size": 5}
    agree(
        programmed(kind, models[0], "mse", inputs, y, **plan),
        eager(models[1], "mse", inputs, y, **plan),
        1e-9,
        1e-13 if kind is not JaxProgram else 1e-8,  # Adam makes much of a gradient that is rounding
    )


PLANS = {
    "clip_norm": {"clip_norm": 0.1},
    "clip_value": {"clip_value": 0.01},
    "schedule": {"schedule": "cosine"},
    "by epoch": {"schedule": "exponential", "schedule_by": "epoch"},
    "penalty": {"penalty": lambda rows: ops.div(0.1, rows)},
    "ridge": {"penalty": penalties.L2(0.01)},
    "lasso": {"penalty": penalties.L1(0.5), "optimizer": optim.SGD(0.1, momentum=0.5)},
    "lasso by adam": {"penalty": penalties.L1(0.5), "optimizer": optim.Adam(0.1)},
    "lasso by its gradient": {"penalty": penalties.L1(0.05, proximal=False)},
    "layers": {"penalty": {"0": penalties.L1(0.02), "2.weight": penalties.ElasticNet(0.01, 0.1)}},
    "fixed penalty": {"penalty": lambda rows: 0.5},
    "decoupled": {"optimizer": optim.SGD(0.1, 0.1, 0.9, decoupled_weight_decay=True)},
    "accumulate": {"accumulate": 3},
    "accumulate and more": {"accumulate": 2, "penalty": penalties.ElasticNet(0.01, 0.01),
                            "clip_norm": 0.5, "clip_value": 0.1, "average": 0.9,
                            "schedule": "cosine", "optimizer": optim.NAdam(0.01)},
    "accumulate weights": {"accumulate": 3, "weight": np.arange(50.0),
                           "penalty": lambda rows: ops.div(0.1, rows)},
    "swa": {"average": SWA(0.5), "epochs": 4},
    "unshuffled": {"shuffle": False},
    "all rows": {"batch_size": None},
    "one row": {"batch_size": 1, "epochs": 1},
    "weights": {"weight": np.arange(50.0)},
}  # fmt: skip


@KINDS
@pytest.mark.parametrize("name", PLANS)
def test_every_way_to_train(kind, name):
    plan = {"epochs": 2, "batch_size": 16} | PLANS[name]
    agree(programmed(kind, net(), "mse", X, Y, **plan), eager(net(), "mse", X, Y, **plan), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lasso", "lasso by adam", "layers", "accumulate and more", "swa"])
def test_machine_code_has_the_numbers_of_the_eager_step(name):
    pytest.importorskip("numba")
    plan = {"epochs": 2, "batch_size": 16} | PLANS[name]
    found = programmed(Program, net(), "mse", X, Y, **plan)
    expected = eager(net(), "mse", X, Y, **plan)
    agree(found, expected, 1e-10)
    for parameter, value in expected[1].items():  # a threshold is a threshold in machine code too
        assert np.array_equal(found[1][parameter] == 0, value == 0), parameter
    if name.startswith("lasso"):
        assert (found[1]["0.weight"] == 0).any()


@KINDS
def test_groups_have_their_own_settings(kind):
    def groups(model):
        return [([model[0].bias], {"lr": 0.1, "weight_decay": 0.5})]

    a, b = net(), net()
    agree(
        programmed(kind, a, "mse", X, Y, epochs=2, groups=groups(a), optimizer=optim.NAdam()),
        eager(b, "mse", X, Y, epochs=2, groups=groups(b), optimizer=optim.NAdam()),
        1e-9,
    )


@KINDS
def test_state_that_is_loaded_counts_in_the_next_run(kind):
    def step_of(model):
        updater = Updater(model.parameters(), optim.SGD(0.1, momentum=0.9))
        graph = StepGraph(model, losses.mse, updater, Rows((X,), Y), flat=kind is NumpyProgram)
        step = Step(graph, 25, kind)
        step.load(updater)
        step.order(None)
        step.numbers[:] = [[t + 1, 1, 0] for t in range(step.count)]
        return step

    model, fresh = net(), Updater(net().parameters(), optim.SGD(0.1, momentum=0.9))
    step = step_of(model)
    assert step.run(0, 1) == 1
    twin = step_of(model)  # the momentum of the first step is lost
    step.load(fresh)
    assert step.run(1, 2) == twin.run(1, 2) == 2
    found, expected = ([step.memory[x] for x in step.graph.updates] for step in (step, twin))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert step.losses[1] == pytest.approx(twin.losses[1], rel=1e-12)


@KINDS
def test_frozen_parameters_stay(kind):
    model = net()
    model[0].freeze()
    before = model[0].weight.numpy() if not model[0].weight.requires_grad else None
    programmed(kind, model, "mse", X, Y, epochs=1)
    assert np.array_equal(model[0].weight.value, before)


def convolution():
    return nn.Sequential(
        nn.Conv1d(1, 4, 3, padding=1), nn.Activation("relu"), nn.MaxPool1d(2), nn.Flatten(),
        nn.Linear(4, 5), nn.Activation("relu"), nn.Linear(5, 2), seed=0,
    )  # fmt: skip


def recurrence():
    layer = nn.LSTM(1, 5, batch_first=True, returns="last")
    return nn.Sequential(layer, nn.Linear(5, 2), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape", "dtype"),
    [
        (net, (3,), np.float64),
        (net, (3,), np.float32),
        (convolution, (1, 3), np.float32),
        (recurrence, (3, 1), np.float32),
    ],
)
def test_machine_code_with_one_and_two_threads(make, shape, dtype, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr("chainrule.transforms.compile.calls.BLOCK", 5)
    inputs = X.astype(dtype).reshape(-1, *shape)
    rows = Rows((inputs,), Y.astype(dtype))
    found = []
    for threads in (1, 2):
        model = make().astype(dtype)
        updater = Updater(model.parameters(), optim.Adam(0.01))
        step = Step(StepGraph(model, losses.mse, updater, rows), 16, Program, threads=threads)
        step.load(updater)
        step.order(None)
        step.numbers[:] = [[t + 1, 1, 0] for t in range(step.count)]
        assert step.run(0, step.count, threads) == step.count
        found.append((step.losses, model.arrays()))
    assert np.array_equal(found[0][0], found[1][0])
    for name, value in found[0][1].items():
        assert np.array_equal(value, found[1][1][name]), name
    plan = {"optimizer": optim.Adam(0.01), "epochs": 1, "batch_size": 16, "shuffle": False}
    expected = eager(make().astype(dtype), "mse", inputs, Y.astype(dtype), **plan)
    tolerance = 1e-11 if dtype is np.float64 else 1e-4
    np.testing.assert_allclose(found[0][0], [x[0] for x in expected[0]], rtol=tolerance)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_threads_after_a_fork():
    pytest.importorskip("numba")
    model = net()
    updater = Updater(model.parameters(), optim.SGD(0.01))
    step = Step(StepGraph(model, losses.mse, updater, Rows((X,), Y)), 25, Program, threads=2)
    step.order(None)
    step.numbers[:, :2] = 1
    assert step.run(0, 2, 2) == 2
    child = os.fork()
    if not child:
        os._exit(0 if step.run(0, 2, 2) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.slow
def test_other_widths_batches_and_rows_compile_nothing():
    pytest.importorskip("numba")
    from chainrule.transforms.compile import machine

    def fit(width, batch, rows, rate):
        model = nn.mlp([3, width, width + 1, 2], "relu", seed=0)
        train(
            model, "mse", X[:rows].astype("f4"), Y[:rows].astype("f4"), epochs=1,
            optimizer=optim.Adam(rate), batch_size=batch, compile="numba",
        )  # fmt: skip

    fit(4, 16, 50, 0.01)
    before = machine.compilations
    for width, batch, rows, rate in ((5, 16, 50, 0.01), (64, 7, 43, 0.003), (33, 20, 40, 1e-4)):
        fit(width, batch, rows, rate)
    assert machine.compilations == before


@KINDS
def test_a_loss_that_is_not_finite_changes_nothing_and_is_named(kind):
    class Log(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(3, 2, seed=0)

        def forward(self, x):
            return ops.log(self.inner(x) * 0.0 - 1.0)

    model = Log()
    before = model.arrays()["inner.weight"].copy()
    with pytest.raises(DivergedError, match=r"step 1 .*first not finite was the result of log"):
        programmed(kind, model, "mse", X, Y, epochs=1)
    assert np.array_equal(model.arrays()["inner.weight"], before)


@KINDS
@pytest.mark.parametrize(("code", "row"), [(7, 4), (-9, 3)])
def test_an_index_outside_of_the_embedding_is_named(kind, code, row):
    codes = np.tile(np.array([[0, 3], [4, 1]]), (10, 1))
    codes[row, 1] = code
    model = TabularNet(3, [5, 4], outputs=2, members=2, hidden=(4,)).initialize(0)
    target = np.zeros((20, 2, 2), np.float32)
    with pytest.raises(ShapeError, match=rf"got the index {code} in row {row}; expected 0 to 3"):
        programmed(kind, model, "mse", (X[:20].astype("f4"), codes), target, epochs=1)


def test_a_model_that_cannot_be_traced_is_trained_as_it_is_written():
    class Branches(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(3, 2, seed=0)

        def forward(self, x):
            return self.inner(x) if float(ops.sum(x)) > 0 else ops.neg(self.inner(x))

    _, state = eager(Branches(), "mse", X, Y, epochs=1)
    model = Branches()
    history = train(model, "mse", X, Y, epochs=1, seed=0, compile="auto")
    assert np.array_equal(model.arrays()["inner.weight"], state["inner.weight"])
    assert "traced tensor has no value" in history.obstacle
    assert not train(nn.Linear(3, 2, seed=0), "mse", X, Y, epochs=1).obstacle
    with pytest.raises(Exception, match="traced tensor has no value"):
        train(Branches(), "mse", X, Y, epochs=1, compile="numpy")


def test_a_model_with_random_numbers_of_its_own_is_trained_as_it_is_written():
    class Noisy(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(3, 2, seed=0)
            self.rng = np.random.default_rng(0)

        def forward(self, x):
            return self.inner(x) * float(self.rng.normal(1, 0.1))

    recorder = Recorder()
    train(Noisy(), "mse", X, Y, epochs=2, shuffle=False, batch_size=None, compile="auto",
          optimizer=optim.SGD(0.0), callbacks=[recorder])  # fmt: skip
    assert recorder.losses[0][0] != recorder.losses[1][0]
    with pytest.raises(GraphError, match="computes something else each time"):
        train(Noisy(), "mse", X, Y, epochs=1, compile="numpy")


OWN_LOSS = losses.Loss("own", lambda p, t: ops.square(ops.sub(p, t)), "values", "values")


def own_layer():
    class Own(nn.Linear):
        pass

    return Own(3, 2, seed=0)


def method_in_c():
    """A layer that holds a method that names no module."""
    layer = nn.Linear(3, 2, seed=0)
    layer.remember = [].append
    return layer


@pytest.mark.parametrize(
    ("make", "loss", "penalty", "again"),
    [
        (lambda: nn.mlp([3, 4, 2], "tanh", dropout=0.1, seed=0), "mse", penalties.L2(0.1), False),
        (own_layer, "mse", None, True),
        (lambda: nn.Sequential(nn.Linear(3, 3), own_layer()), "mse", None, True),
        (lambda: nn.mlp([3, 4, 2], [lambda x: ops.mul(x, x)], seed=0), "mse", None, True),
        (lambda: nn.Linear(3, 2, seed=0), OWN_LOSS, None, True),
        (method_in_c, "mse", None, True),
        (lambda: nn.Linear(3, 2, seed=0), "mse", lambda rows: ops.div(0.1, rows), True),
    ],
)  # fmt: skip
def test_code_of_others_is_traced_twice(make, loss, penalty, again, monkeypatch):
    """It may draw random numbers in Python, which this package does not."""
    seen = []
    monkeypatch.setattr(StepGraph, "check_repeats", lambda *_: seen.append(1))
    train(make(), loss, X, Y, epochs=1, penalty=penalty, compile="numpy")
    assert bool(seen) == again


@pytest.mark.parametrize("kind", [None, NumpyProgram, PlainProgram, JaxProgram])
@pytest.mark.parametrize("several", [1, 2])
@pytest.mark.parametrize("penalty", [None, penalties.L2(0.1), lambda rows: ops.div(0.1, rows)])
def test_a_batch_without_weight_teaches_nothing(kind, several, penalty):
    """With plain descent the weights are those of a training without such batches."""
    weight = np.ones(50)
    weight[10:30] = 0.0  # two batches, or one update of two
    plan = {"optimizer": optim.SGD(0.1), "batch_size": 10, "shuffle": False, "penalty": penalty}
    plan |= {"epochs": 3, "accumulate": several, "schedule": None}
    if several == 2:
        weight[:] = 1.0
        weight[:20] = 0.0
    used = weight > 0
    expected = eager(net(), "mse", X[used], Y[used], **plan)[1]
    model = net()
    if kind is None:
        found = eager(model, "mse", X, Y, weight=weight, **plan)[1]
    else:
        found = programmed(kind, model, "mse", X, Y, weight=weight, **plan)[1]
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-11, atol=1e-13, err_msg=name)


@KINDS
def test_interrupted_before_the_first_step_of_an_epoch(kind):
    def order(epoch):
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)
        return np.arange(50)

    with pytest.warns(UserWarning, match="interrupted"):
        losses, _ = programmed(kind, net(), "mse", X, Y, epochs=5, shuffle=order, batch_size=10)
    assert 5 < len(losses) <= 10


def test_wrong_word_in_the_environment(monkeypatch):
    monkeypatch.setenv("CHAINRULE_COMPILE", "yes")
    with pytest.raises(ConfigError, match="CHAINRULE_COMPILE='yes': expected 'numba', 'numpy'"):
        train(net(), "mse", X, Y, epochs=1)


def test_wrong_word_for_compile():
    with pytest.raises(ConfigError, match="compile='fast': expected 'auto', 'numba', 'numpy'"):
        train(net(), "mse", X, Y, compile="fast")


class Weights(Callback):
    """The weights and buffers after every step of an eager training, and before the first."""

    def __init__(self, model):
        self.model = model
        self.after = [model.arrays()]

    def on_step_end(self, event):
        self.after.append(self.model.arrays())


@KINDS
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("explodes", [0, 4, 6])
def test_the_last_good_weights_are_those_before_the_last_update(kind, explodes, batch_norm):
    """Diverge after the first step, after the last of an epoch, and in the middle of one."""

    def diverged(run):
        model, rates = made(), [1.0] * explodes + [1e200] * 10
        with pytest.raises(DivergedError, match=f"step {explodes + 2} "):
            run(model, "mse", X, Y, epochs=3, batch_size=10, optimizer=optim.SGD(0.01),
                schedule=lambda t: rates[t], schedule_by="step")  # fmt: skip
        return model.arrays()

    def made():
        return nn.mlp([3, 4, 2], "tanh", batch_norm=batch_norm, seed=0).astype(float)

    seen = Weights(model := made())
    train(model, "mse", X, Y, epochs=3, batch_size=10, optimizer=optim.SGD(0.01), seed=0,
          compile=False, callbacks=[seen])  # fmt: skip
    for found in (diverged(eager), diverged(lambda *a, **k: programmed(kind, *a, **k))):
        for name, value in seen.after[explodes].items():
            np.testing.assert_allclose(found[name], value, rtol=1e-11, err_msg=name)


@KINDS
def test_weights_stay_where_the_gradient_alone_is_not_finite(kind):
    """Their loss was finite; those before them have been written over by then."""

    class Root(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(np.full((2, 1), 4.0))

        def forward(self, x):
            return ops.sqrt(ops.matmul(x, self.w))

    x, y = np.ones((8, 2)), np.ones((8, 1))
    x[5] = 0.0
    plan = {"shuffle": False, "batch_size": 2, "optimizer": optim.SGD(0.1), "epochs": 1}
    seen = Weights(good := Root())
    train(good, "mse", x[:4], y[:4], compile=False, callbacks=[seen], **plan)
    for run in (eager, lambda *a, **k: programmed(kind, *a, **k)):
        model = Root()
        with pytest.raises(DivergedError, match="step 3 "):
            run(model, "mse", x, y, **plan)
        np.testing.assert_allclose(model.w.value, seen.after[2]["w"], rtol=1e-12)
        assert not np.allclose(model.w.value, seen.after[1]["w"])


@KINDS
def test_weights_are_good_when_all_batches_of_an_update_are(kind):
    class Steep(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(np.zeros(1))

        def forward(self, x):
            return ops.where(ops.equal(x, 0.0), self.w, ops.exp(self.w * x))

    x, y = np.array([[0.0], [1000.0]]), np.ones((2, 1))
    plan = {"epochs": 3, "batch_size": 1, "accumulate": 2, "shuffle": False}
    for run in (eager, lambda *a, **k: programmed(kind, *a, **k)):
        model = Steep()
        with pytest.raises(DivergedError, match="step 2 "):
            run(model, "mse", x, y, optimizer=optim.SGD(2.0), **plan)
        assert model.w.value == [0.0]


def test_a_trace_keeps_no_values_of_its_weights():
    model = net()
    updater = Updater(model.parameters(), optim.SGD(0.1))
    penalty = Penalized(penalties.L2(0.1), dict(model.named_parameters()))
    graph = StepGraph(model, losses.mse, updater, Rows((X,), Y), penalty=penalty)
    nodes = ancestors([graph.loss, *graph.updates.values(), *graph.kept.values()])
    assert sum(x.op is not None for x in nodes) > 50
    assert [x for x in nodes if x.op is not None and x.value is not None] == []


@KINDS
def test_what_a_step_keeps_goes_with_it(kind):
    model = net()
    updater = Updater(model.parameters(), optim.SGD(0.1, momentum=0.9))
    step = Step(StepGraph(model, losses.mse, updater, Rows((X,), Y)), 25, kind)
    assert len(step.graph.before) > 3
    step.load(updater)
    step.close(updater)
    assert set(step.memory) == {*step.graph.parameters}


@KINDS
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_rows_are_counted_whatever_the_targets_are(kind, dtype):
    if kind is PlainProgram and dtype is np.int8:
        pytest.skip("compiled code has no int8")
    x = RNG.normal(size=(600, 3)).astype(np.float32)
    y = (x[:, :1] > 0).astype(dtype)
    plan = {"epochs": 1, "batch_size": 300, "accumulate": 2, "penalty": lambda rows: 10 / rows}
    loss = "binary_cross_entropy_with_logits"

    def small():
        return nn.mlp([3, 4, 1], "tanh", seed=0)

    agree(programmed(kind, small(), loss, x, y, **plan), eager(small(), loss, x, y, **plan), 1e-5)


@KINDS
def test_a_model_that_keeps_an_activation_can_be_copied_after_a_training(kind):
    class Keeps(nn.Module):
        def __init__(self):
            self.layer, self.hidden = nn.Linear(3, 2, seed=0), None

        def forward(self, x):
            self.hidden = self.layer(x)
            return self.hidden

    model = Keeps()
    programmed(kind, model, "mse", X.astype(np.float32), Y.astype(np.float32), epochs=1)
    assert np.array_equal(copy.deepcopy(model).predict(X), model.predict(X))
