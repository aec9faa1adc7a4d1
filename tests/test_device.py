"""What runs by JAX: the same numbers as by NumPy, from text that a person can read.

Where JAX is not installed, a stand-in shows what is written and how it is run (`standin.py`); how
JAX itself rounds and promotes is then left out.
"""

import importlib.util
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import assume, given, settings
from sklearn.base import clone

import chainrule as cr
from chainrule import Spec, functional, nn, ops, optim, train, training_step
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import OPS, constant, placeholder, tracing, value_of
from chainrule.ops.helpers import in_steps, scanned
from chainrule.ops.source import Call, helper_name, source_of
from chainrule.penalties import L2
from chainrule.predicting import Prediction, predict
from chainrule.scan import scan
from chainrule.transforms.device import JaxFunction, JaxProgram, _steps
from chainrule.tree import flatten
from standin import jax_or_stand_in
from tables import ACTIVATION_ROWS, LAYER_ROWS, LOSS_ROWS, OP_ROWS, loss_of
from test_compile_random import CASES, agree, prepared
from test_ops import text_of
from test_scripts import op_cases, traced

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)).astype(np.float32)
Y = RNG.normal(size=(50, 2)).astype(np.float32)

FOUND = ["stand-in", *["jax"] * (importlib.util.find_spec("jax") is not None)]


@pytest.fixture(autouse=True, params=FOUND)
def _found(request, monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)
    with jax_or_stand_in(always=request.param == "stand-in"):
        yield


@contextmanager
def without_jax():
    """Let JAX be missing; unlike `monkeypatch`, this ends before the stand-in is put away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "jax", None)
        yield


def close(found, expected, tolerance):
    for y, e in zip(flatten(found), flatten(expected), strict=True):
        e = np.asarray(value_of(e))
        assert (y.shape, y.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(y, e, rtol=tolerance, atol=tolerance)


# Every op, activation, loss and layer.


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_every_op_computes_the_same(dtype, tolerance):
    """D07: to 1e-5 in float32, and to 1e-12 in float64."""
    seen = set()
    for row, inputs, arrays, rows in op_cases():
        if row.name == "scan" and dtype is np.float32:  # its step is traced for float64
            continue
        with np.errstate(all="ignore"):
            both = [[_as(x, dtype) for x in given] for given in (inputs, arrays)]
            graph = traced(row, both[0], rows)
            close(JaxFunction(graph)(*both[1]), graph(*both[1]), tolerance)
        seen.add(row.name)
    assert len(seen) >= 60


def _as(x, dtype):
    return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype == float else x


@pytest.mark.parametrize(
    "row", [r for r in OP_ROWS if OPS[r.name].in_jax and r.name != "scan"], ids=str
)
def test_what_jax_is_told_of_an_op(row):
    jax, nodes = importlib.import_module("jax"), map(constant, row.inputs)
    inputs = {f"x{i}": x for i, x in enumerate(row.inputs)}
    *known, _ = zip(*[(x.shape, x.dtype, x.weak, x) for x in nodes], strict=True)
    source = source_of(OPS[row.name], jax=True)
    names = {helper_name(f): f for f in source.helpers} | {"np": jax.numpy, "jax": jax}
    with jax.enable_x64(True):
        found = eval(source(Call(tuple(inputs), *known, row.attrs, text_of)), names, inputs)
        close(np.asarray(found), OPS[row.name].run(*row.inputs, **row.attrs), 1e-12)


def test_jax_is_told_of_steps():
    jax = importlib.import_module("jax")
    for reverse in (False, True):
        given = lambda s, x, w: s * w + x, np.ones(3), [np.arange(12.0).reshape(4, 3)], [0.5]
        with jax.enable_x64(True):
            close(np.asarray(scanned(jax, *given, reverse)), in_steps(*given, reverse), 1e-12)


@pytest.mark.parametrize("row", ACTIVATION_ROWS, ids=lambda row: row.name)
def test_every_activation_and_its_slope(row):
    f = functional.ACTIVATIONS[row.name]
    both = cr.value_and_grad(lambda x: ops.sum(f(x, **row.settings)))
    x = np.linspace(-3.0, 3.0, 16).reshape(2, 8)
    close(cr.compile(both, x, by="jax")(x), both(x), 1e-12)


@pytest.mark.parametrize("row", LOSS_ROWS, ids=lambda row: row.name)
def test_every_loss_with_its_gradient(row):
    loss, target = loss_of(row), np.asarray(row.target)
    prediction = np.asarray(row.prediction, float)
    both = cr.value_and_grad(lambda p: loss.value(p, target))
    close(cr.compile(both, prediction, by="jax")(prediction), both(prediction), 1e-10)


@pytest.mark.parametrize("row", LAYER_ROWS, ids=str)
def test_every_layer_when_predicting(row):
    layer = row.layer().astype(float).eval()
    found = cr.compile(layer, *row.inputs, by="jax")(*row.inputs)
    with cr.no_grad():
        close(found, layer(*row.inputs), 1e-11)


@pytest.mark.parametrize("length", [0, 1, 4])
def test_recurrences_of_every_length_and_their_gradients(length):
    def total(start, x):
        return ops.sum(ops.tanh(scan(lambda s, x, c: s * c + x, start, [x], [2.0])))

    start, x = np.ones((3, 2)), np.arange(6.0 * length).reshape(length, 3, 2) / 9
    f = cr.value_and_grad(total, argnums=(0, 1))
    close(cr.compile(f, start, x, by="jax")(start, x), f(start, x), 1e-12)


def test_an_array_that_a_step_has_in_it_keeps_its_digits():
    table = np.array([1 / 3, 2 / 3])
    start, x = np.ones((3, 2)), np.linspace(0, 1, 24).reshape(4, 3, 2)

    def f(start, x):
        return scan(lambda s, x: ops.tanh(s * table + x), start, [x])

    close(cr.compile(f, start, x, by="jax")(start, x), f(start, x), 1e-14)


@settings(max_examples=60)
@given(CASES)
def test_random_expressions(case):
    assume(ready := prepared(case))
    graph, arrays, expected, largest = ready
    agree(flatten(JaxFunction(graph)(*arrays)), expected, largest)


# Dtypes, where JAX has rules of its own.


@pytest.mark.parametrize(
    "f",
    [
        lambda i, x: i * x,
        lambda i, x: i / 2 + x,
        lambda i, x: ops.sum(i * 1.5) * x,
        lambda i, x: ops.less(i, x) * x,
        lambda i, x: ops.where(ops.less(x, 0.5), i, x),
        lambda i, x: ops.sqrt(i) + x,
        lambda i, x: ops.pow(x, 2) - i,
        lambda i, x: ops.matmul(i, x),
        lambda i, x: ops.sum(ops.cast(i, dtype=np.dtype(np.int32))),
        lambda i, x: ops.cumsum(ops.less(x, 0.5)),
    ],
)
def test_what_is_mixed_gets_the_dtype_that_numpy_gives_it(f):
    i, x = np.arange(9).reshape(3, 3) + 2**30, np.linspace(0, 1, 9, dtype="f4").reshape(3, 3)
    close(cr.compile(f, i, x, by="jax")(i, x), f(i, x), 1e-12)


class Scaled(nn.Module):
    NAME = "scale" + "_of_the_output" * 9

    def __init__(self):
        self.inner = nn.Linear(3, 2, seed=0)
        setattr(self, self.NAME, nn.Parameter(np.ones(2, np.float32)))

    def forward(self, x):
        return self.inner(x) * getattr(self, self.NAME)


def test_names_may_be_long():
    step = training_step(Scaled(), "mse", X, Y, compile="jax", optimizer=optim.SGD(0.1))
    assert f"def step(\n    {Scaled.NAME},\n" in step.source
    step.order(None)
    step.numbers[:, :2] = 1
    assert step.run(0, 2) == 2


def test_random_numbers_are_the_same_bits():
    f = cr.compile(lambda key: ops.uniform(key, (500,)), np.array(7), by="jax")
    assert f(12345).tobytes() == ops.uniform(12345, (500,)).tobytes()


# Steps.


def test_steps_move_on_and_stop_at_a_check():
    """Rows and a number for each step; the last step is shorter, and what is updated stays."""
    with tracing():
        x, factor, weight = (
            placeholder(("n", 2), float), placeholder((), float), placeholder((2,), float),
        )  # fmt: skip
        total, new = ops.sum(x * factor), weight + ops.sum(x, 0)
    given = {"streams": [x, factor, total], "checks": [total]}
    program = JaxProgram([x, factor], [total], {weight: new}, **given)
    rows = np.arange(14.0).reshape(7, 2)
    for factors, end in (([1.0, 2.0, 3.0], 3), ([1.0, np.inf, 3.0], 1), ([1.0, 2.0, np.nan], 2)):
        bound = program.bind({"n": 3}, {"n": 1})
        totals, memory, numbers = np.zeros(3), np.zeros(2), np.ones(3)
        for leaf, array in {x: rows, factor: numbers, weight: memory}.items():
            bound.set(program.leaves[leaf.birth], array)
        bound.set(program.outputs[0], totals)
        bound.move(program.leaves[x.birth], 6)
        assert bound.run(0, 1, 2) == 1
        numbers[:] = factors  # numbers of steps are read in each run
        assert bound.run(1, 3, 2) == end
        parts = [rows[:3], rows[3:6], rows[6:]]
        np.testing.assert_array_equal(memory, sum(part.sum(0) for part in parts[:end]))
        for i in range(min(end + 1, 3)):
            np.testing.assert_equal(totals[i], np.sum(parts[i] * factors[i]))
        assert not totals[end + 1 :].any()
        memory[:] = 5.0
        bound.set(program.leaves[weight.birth], memory)  # what is set is read anew
        assert bound.run(0, 1, 2) == 1
        np.testing.assert_array_equal(memory, 5.0 + parts[0].sum(0))


def test_the_step_can_be_read():
    model = nn.mlp([3, 4, 2], "tanh", seed=0)
    step = training_step(model, "mse", X, Y, optimizer=optim.SGD(0.1), compile="jax", batch_size=20)
    for line in (
        "import jax.numpy as np",
        "def step(",
        "    weight_0, bias_0, weight_2, bias_2, weight_0_before, bias_0_before, weight_2_before,",
        "    bias_2_before, input_rows, target_rows, index, t, factor, keep",
        "    # Sequential/Activation",
        "    h4 = np.tanh(h3)",
        "    weight_2_gradient = h9.T @ h4",
    ):
        assert line in step.source.splitlines()
    assert step.source.endswith(
        "loss, gradient_norm, new_weight_0, new_bias_0, new_weight_2, new_bias_2, weight_0,\n"
        "        bias_0, weight_2, bias_2\n    )\n"
    )
    lines = step.plan().splitlines()
    assert lines[0].startswith("run by JAX on cpu (")
    assert "weight_0: float32[4, 3], 48 bytes" in lines
    assert "input_rows: float32[50, 3], 600 bytes" in lines
    assert lines[-1].startswith("in all: ")
    assert step.operations == 0
    with pytest.raises(ConfigError, match="steps run by JAX have no profile"):
        step.profile()


IMAGES = RNG.normal(size=(50, 1, 6, 6)).astype(np.float32)
SEQUENCES = RNG.normal(size=(50, 5, 3)).astype(np.float32)
CODES, LABELS = RNG.integers(0, 4, (50, 2)), RNG.integers(0, 3, 50)


def convolution():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, seed=0), nn.BatchNorm2d(4), nn.Activation("relu"),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3, seed=0), nn.Linear(36, 3, seed=1),
    )  # fmt: skip


def recurrence():
    lstm = nn.LSTM(3, 4, batch_first=True, returns="last", seed=0)
    return nn.Sequential(lstm, nn.Linear(4, 3, seed=0))


def embedding():
    return nn.Sequential(nn.Embedding(4, 3, seed=0), nn.Flatten(), nn.Linear(6, 2, seed=0))


NETS = {
    "dense": (lambda: nn.mlp([3, 8, 2], "gelu", seed=0), "mse", X, Y),
    "convolution": (convolution, "cross_entropy", IMAGES, LABELS),
    "recurrence": (recurrence, "cross_entropy", SEQUENCES, LABELS),
    "embedding": (embedding, "mse", CODES, Y),
}


def trained(name, how, **plan):
    make, loss, x, y = NETS[name]
    model = make()
    plan = {"epochs": 3, "batch_size": 16, "seed": 0, "validation": 0.2} | plan
    return train(model, loss, x, y, compile=how, **plan), model.arrays()


@pytest.mark.parametrize("name", NETS)
def test_nets_learn_the_same_in_float32(name):
    """D07: losses and weights, dropout, validation and a short last batch among it, to 1e-5."""
    plan = {"optimizer": optim.SGD(0.05, momentum=0.9), "average": 0.9}
    expected, weights = trained(name, "numpy", **plan)
    found, others = trained(name, "jax", **plan)
    for column in ("loss", "gradient_norm", "validation_loss"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-5)
    assert found["loss"][-1] != found["loss"][0]
    for key, value in weights.items():
        assert others[key].dtype == value.dtype
        np.testing.assert_allclose(others[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


def test_layers_are_watched_as_by_numpy():
    found = {}
    for way in ("numpy", "jax"):
        net = nn.mlp([3, 8, 2], "relu", dropout=0.2, seed=0)
        plan = {"epochs": 3, "batch_size": 8, "seed": 0, "penalty": L2(0.1), "statistics": True}
        found[way] = train(net, "mse", X, Y, compile=way, **plan).statistics
    for by_jax, by_numpy in zip(*(found[way] for way in ("jax", "numpy")), strict=True):
        np.testing.assert_allclose(by_jax.squares, by_numpy.squares, rtol=1e-4)
        assert (by_jax.steps, by_jax.rows) == (by_numpy.steps, by_numpy.rows)
        for name, slopes in by_numpy.slopes.items():
            np.testing.assert_allclose(by_jax.slopes[name], slopes, rtol=1e-4)
    with pytest.raises(ConfigError, match="statistics=2: by JAX"):
        train(net, "mse", X, Y, compile="jax", statistics=2)


def test_a_training_goes_on_to_the_same_bits(tmp_path):
    plan = {"optimizer": optim.Adam(0.01), "checkpoint": tmp_path, "every": 1}
    trained("convolution", "jax", **plan | {"epochs": 2})
    _, found = trained("convolution", "auto", **plan)  # which keeps to how it began
    _, expected = trained("convolution", "jax", optimizer=optim.Adam(0.01))
    for key, value in expected.items():
        assert found[key].tobytes() == value.tobytes(), key


def test_a_training_goes_on_without_jax(tmp_path):
    plan = {"optimizer": optim.Adam(0.01), "checkpoint": tmp_path, "every": 1}
    trained("dense", "jax", **plan | {"epochs": 2})
    said = "steps that ran by JAX, which compile='auto' does not do"
    with without_jax(), pytest.warns(UserWarning, match=said):
        history, found = trained("dense", "auto", **plan)
    assert len(history) == 3
    _, expected = trained("dense", "numpy", optimizer=optim.Adam(0.01))
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


def test_a_second_training_of_the_same_form_compiles_nothing():
    _steps.cache_clear()
    trained("dense", "jax")
    known = _steps.cache_info().misses
    assert known == 2  # whole batches, and a short one
    trained("dense", "jax", seed=1, epochs=2, schedule="cosine")
    assert _steps.cache_info().misses == known
    trained("dense", "jax", batch_size=10)
    assert _steps.cache_info().misses == known + 1


# Whether JAX is there.


@pytest.mark.parametrize(
    "use",
    [
        lambda: train(nn.mlp([3, 2]), "mse", X, Y, compile="jax"),
        lambda: training_step(nn.mlp([3, 2]), "mse", X, Y, compile="jax"),
        lambda: cr.compile(ops.exp, X, by="jax"),
        lambda: cr.MLPRegressor(compile="jax", max_iter=1).fit(X, Y),
    ],
)
def test_without_jax_it_is_said_how_to_install_it(use):
    said = r'jax is needed to .*pip install "chainrule\[jax\]"'
    with without_jax(), pytest.raises(ImportError, match=said):
        use()


class Watch:
    """Hears for which modules Python looks."""

    def __init__(self):
        self.names = []

    def find_spec(self, name, path=None, target=None):
        self.names.append(name)


def test_by_default_nobody_looks_for_jax():
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.split(".")[0] == "jax"]:
            patch.delitem(sys.modules, name)
        patch.setattr(sys, "meta_path", [watch, *sys.meta_path])
        train(nn.mlp([3, 4, 2], seed=0), "mse", X, Y, epochs=1, validation=0.2)
        cr.NetRegressor(nn.mlp([3, 4, 2], seed=0), epochs=1).fit(X, Y).predict(X)
    assert not any(name.split(".")[0] == "jax" for name in watch.names)


def test_the_environment_may_ask_for_it(monkeypatch):
    monkeypatch.setenv("CHAINRULE_COMPILE", "jax")
    history, found = trained("dense", False)
    monkeypatch.delenv("CHAINRULE_COMPILE")
    expected, weights = trained("dense", "jax")
    assert history["loss"] == expected["loss"]
    assert all(found[key].tobytes() == weights[key].tobytes() for key in weights)


def test_settings_of_jax_are_as_before():
    config = importlib.import_module("jax").config
    trained("dense", "jax", epochs=1)
    assert (config.jax_enable_x64, config.jax_default_matmul_precision) == (False, None)


# Predictions.


@pytest.mark.parametrize("n", [0, 1, 50, 5000])
def test_predictions_follow_the_weights(n):
    model, x = nn.mlp([3, 8, 2], "tanh", seed=0), np.resize(X, (n, 3))
    prediction = Prediction(model, (x,), compile="jax")
    assert prediction.by == "jax"
    for _ in range(2):
        close(prediction((x,)), predict(model, (x,)), 1e-5)
        for p in model.parameters():
            p.renew(p.value * 2)


def test_a_function_that_changes_buffers():
    net, twin = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    f = cr.compile(net, Spec(("n", 3)), by="jax")
    for n in (20, 30):
        close(f(X[:n]), twin(X[:n]), 1e-5)
    for name, array in twin.arrays().items():
        np.testing.assert_allclose(net.arrays()[name], array, rtol=1e-6)
    assert net.running_mean.value.any()


def test_inputs_that_do_not_fit_are_refused():
    f = cr.compile(lambda x: x + 1.0, Spec(("n", 3)), by="jax")
    with pytest.raises(ShapeError, match=r"input 0 has shape \(2, 4\), expected \[n, 3\]"):
        f(np.zeros((2, 4)))
    with pytest.raises(ConfigError, match="by='cuda': expected 'numba' or 'jax'"):
        cr.compile(lambda x: x + 1.0, Spec(("n", 3)), by="cuda")


UNFINISHED = pytest.mark.filterwarnings("ignore:Stochastic Optimizer. Maximum iterations")


@UNFINISHED
def test_estimators_train_and_predict_by_jax():
    labels = np.array(["a", "b", "c"])[LABELS]
    for net in (
        cr.MLPClassifier(hidden_layer_sizes=(5,), max_iter=3, random_state=0),
        cr.NetClassifier(nn.mlp([3, 5, 3], seed=0), epochs=3, random_state=0),
        cr.TabularClassifier(epochs=3, members=2, hidden=(4,), random_state=0),
    ):
        by_numpy, by_jax = (
            clone(net).set_params(compile=how).fit(X, labels) for how in ("numpy", "jax")
        )
        found = by_jax.predict_proba(X)
        np.testing.assert_allclose(found, by_numpy.predict_proba(X), rtol=1e-5, atol=1e-5)


@UNFINISHED
def test_a_model_that_jax_has_trained_predicts_without_it():
    net = cr.MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0, compile="jax").fit(
        X, Y
    )
    found = net.predict(X)
    with without_jax():
        np.testing.assert_allclose(net.predict(X), found, rtol=1e-5, atol=1e-6)


@UNFINISHED
def test_sparse_rows_are_sent_in_parts(monkeypatch):
    monkeypatch.setattr("chainrule.step._WRITTEN_OUT", 60)
    sparse = importlib.import_module("scipy.sparse").csr_matrix(np.where(X > 0, X, 0))
    nets = [
        cr.MLPRegressor(
            hidden_layer_sizes=(5,), max_iter=2, batch_size=8, random_state=0, compile=how
        ).fit(sparse, Y)
        for how in ("numpy", "jax")
    ]
    for expected, found in zip(nets[0].coefs_, nets[1].coefs_, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# The stand-in, which is no better than it is strict.


def test_what_is_not_jax_is_found_out(monkeypatch):
    graph = cr.trace(lambda x: ops.scatter_add(x, np.array([0, 0]), axis=0, size=2), Spec((2,)))
    monkeypatch.setattr(OPS["scatter_add"], "in_jax", None)  # NumPy's writes into an array
    with pytest.raises(Exception, match=r"no attribute .at|inplace"):
        JaxFunction(graph)(np.ones(2, np.float32))
