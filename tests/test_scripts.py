"""Scripts that need NumPy alone: they compute what the graph computes, without chainrule."""

import re
import runpy
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import chainrule as cr
import fitted
from apart import results_of
from chainrule import Spec, nn, ops, optim, to_python, trace
from chainrule.errors import ConfigError, GraphError
from chainrule.graph import OPS
from chainrule.ops.kinds import Elementwise
from chainrule.ops.source import Source, in_numpy, source_of
from chainrule.scripts.script import put_together
from chainrule.transforms.python import rebuild, text
from chainrule.transforms.python.function import Writer
from golden import golden
from tables import LAYER_ROWS, LOSS_ROWS, OP_ROWS, OPTIMIZER_ROWS, X, loss_of
from test_compile_random import prepared, random_case


def script_of(graph, count, inline=True):
    parts = rebuild(graph, "compute", [f"a{i}" for i in range(count)])
    return put_together("A graph.", parts, "", inline)


def close(found, expected, tolerance):
    for y, e in zip(found, expected, strict=True):
        e = np.asarray(e)
        assert (y.shape, y.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(y, e, rtol=tolerance, atol=tolerance)


# Ops.


def op_cases():
    for row in OP_ROWS:
        arrays = [x for x in row.inputs if isinstance(x, np.ndarray)]
        cases = [(row.inputs, arrays, row.rows)]
        cases += [(given, [np.asarray(x) for x in given], None) for given, _ in row.values]
        for inputs, given, rows in cases:
            if rows is None:  # a value of the table: each input is an array
                inputs = given
            yield row, inputs, given, rows or ()


def traced(row, inputs, rows):
    op = OPS[row.name]
    known = [i for i, x in enumerate(inputs) if isinstance(x, np.ndarray)]
    attrs = {k: v for k, v in row.attrs.items()}

    def f(*values):
        full = list(inputs)
        for i, value in zip(known, values, strict=True):
            full[i] = value
        return op(*full, **attrs)

    specs = [
        Spec(("rows", *inputs[i].shape[1:]) if i in rows else inputs[i].shape, inputs[i].dtype)
        for i in known
    ]
    return trace(f, *specs)


def test_every_op_is_written_as_it_computes(tmp_path):
    jobs, expected = [], []
    for row, inputs, arrays, rows in op_cases():
        graph = traced(row, inputs, rows)
        jobs.append((script_of(graph, len(arrays)), "compute", [arrays], []))
        with np.errstate(all="ignore"):
            expected.append(graph(*arrays))
    for (*_, rest), found, value in zip(jobs, results_of(tmp_path, jobs), expected, strict=True):
        assert rest == []
        close(found, [value], 1e-12)


def test_every_op_has_its_source():
    lacking = []
    for op in OPS.values():
        try:
            source_of(op)
        except GraphError:
            lacking.append(op.name)
    assert [name for name in lacking if name in {row.name for row in OP_ROWS}] == []


def test_an_op_of_ones_own_says_how_it_is_written():
    cube = Elementwise("cube_of_a_test", lambda x: x**3, [lambda out, x: 3.0 * x * x])
    try:
        graph = trace(lambda x: cube(x), Spec(("rows",), float))
        with pytest.raises(GraphError, match="cube_of_a_test does not say how it is written"):
            script_of(graph, 1)
        in_numpy(cube, "{0} ** 3")
        assert "return x ** 3" in rebuild(graph, "compute", ["x"]).functions
    finally:
        del OPS["cube_of_a_test"]


def test_a_variable_that_is_one_number_stands_in_the_source():
    for number, source in ((3.0, "3.0"), (np.inf, "np.inf")):
        w = cr.tensor(number, requires_grad=True)
        graph = trace(lambda x, w=w: x * w, Spec(("rows",), float))
        assert f"return x * np.float64({source})" in rebuild(graph, "compute", ["x"]).functions


def test_a_graph_of_something_else_is_refused():
    other = trace(lambda x: x * 1.0, Spec(("others",), float)).inputs[0]
    graph = trace(lambda x: x + other, Spec((), float))
    with pytest.raises(GraphError, match="reads an input that the script has not"):
        rebuild(graph, "compute", ["x"])
    graph = trace(lambda x: ops.broadcast_to(x, (*other.shape, 3)), Spec((3,), float))
    with pytest.raises(GraphError, match="no input of the script has the dimension others"):
        rebuild(graph, "compute", ["x"])


LIMIT = 3.0


def limited(x):
    return np.minimum(x, LIMIT)


def test_a_helper_that_cannot_be_copied_is_refused(monkeypatch):
    graph = trace(lambda x: ops.tanh(x), Spec((3,), float))
    monkeypatch.setattr(OPS["tanh"], "in_numpy", Source("limited({0})", (limited,)))
    with pytest.raises(GraphError, match="limited uses LIMIT, which is neither a function nor a"):
        rebuild(graph, "compute", ["x"])
    space = {"__name__": "nowhere"}
    exec("def typed(x): return x", space)
    monkeypatch.setattr(OPS["tanh"], "in_numpy", Source("typed({0})", (space["typed"],)))
    with pytest.raises(GraphError, match=r"the source of nowhere.typed, .*is not to be found"):
        rebuild(graph, "compute", ["x"])


def test_a_wrong_source_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(OPS["mul"], "in_numpy", Source("{0} + {1}"))
    graph = trace(lambda x: x * 3.0, Spec(("rows",), float))
    ((found,),) = results_of(tmp_path, [(script_of(graph, 1), "compute", [[np.ones(2)]], [])])
    with pytest.raises(AssertionError, match="Not equal"):
        close([found], [np.full(2, 3.0)], 1e-12)


def test_random_expressions_and_their_gradients(tmp_path):
    ready = [case for case in map(prepared, map(random_case, range(120))) if case]
    jobs = [(script_of(g, len(a)), "compute", [a], []) for g, a, _, _ in ready]
    for (_, _, expected, largest), found in zip(ready, results_of(tmp_path, jobs), strict=True):
        for y, e in zip(found, expected, strict=True):
            assert (y.shape, y.dtype) == (e.shape, e.dtype)
            np.testing.assert_allclose(y, e, rtol=1e-9, atol=1e-11 * largest)


# Layers.


@pytest.mark.parametrize("inline", [True, False])
def test_every_layer_predicts_the_same(tmp_path, inline):
    jobs, expected = [], []
    for row in LAYER_ROWS:
        layer = row.layer()
        arrays = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in row.inputs]
        axis = 1 if row.name == "StackedLinear" else 0
        more = [np.concatenate([x, x.take([0], axis)], axis) for x in arrays]
        like = [Spec((2, "rows", 3))] if row.name == "StackedLinear" else arrays
        script = to_python(layer, *like, inline=inline)
        jobs.append((script, "predict", [more], []))
        expected.append(np.asarray(layer.predict(*more)))
    for row, found, value in zip(LAYER_ROWS, results_of(tmp_path, jobs), expected, strict=True):
        assert len(found) == 1, row
        close(found, [value], 1e-6)


def test_dropout_is_off_and_the_mode_of_the_model_stays():
    model = nn.mlp([2, 3, 1], dropout=0.5, seed=0).train()
    assert "uniform" not in to_python(model).source
    assert model.training


def test_the_name_of_a_column_does_not_become_code(capsys):
    column = 'b\nprint("run")\n#'
    table = {"a": np.linspace(-1, 1, 60), column: ["x", "y", "z"] * 20}
    net = cr.TabularClassifier(epochs=1, members=2, hidden=(4,), random_state=0)
    net.fit(table, ["u", "v"] * 30)
    space = {"__name__": "script"}
    exec(to_python(net, inline=True).source, space)
    assert np.array_equal(space["predict"](table), net.predict(table))
    assert capsys.readouterr().out == ""


def test_equal_steps_are_one_function():
    x = np.zeros((2, 6, 3), np.float32)
    source = to_python(
        nn.GRU(3, 4, 2, bidirectional=True, batch_first=True, returns="last"), x
    ).source
    assert source.count("def cell") == 1
    assert source.count("in_steps(cell, ") == 4


def test_names_of_layers_are_comments():
    source = to_python(nn.mlp([2, 3, 1], "tanh", seed=0)).source
    comments = [line.strip() for line in source.splitlines() if line.strip().startswith("#")]
    assert comments == ["# 0: Linear(2, 3)", "# 1: Activation(tanh)", "# 2: Linear(3, 1)"]


class Awkward(nn.Module):
    """Has names that scripts use themselves."""

    def __init__(self):
        self.h1 = nn.Parameter(np.array([0.5, -0.5]))
        self.rows = nn.Parameter(np.array([0.3, 0.1]))
        self.read, self.t, self.batch = (nn.Parameter(np.ones(2)) for _ in range(3))
        self.sigmoid = nn.Parameter(np.full(2, -0.0))

    def forward(self, len, number):  # noqa: A002
        y = cr.ops.sigmoid(len * self.h1) + self.rows * cr.ops.mean(number, 0) + self.read
        y = y * self.t + cr.ops.sigmoid(y * number) * self.batch
        return cr.ops.reshape(y, (y.shape[0], 2, 1)) + cr.ops.reshape(self.sigmoid, (1, 2, 1))


def test_names_that_scripts_use_themselves(tmp_path):
    model, x = Awkward(), X[:, :2].astype(np.float32)
    script = to_python(model, x, x, inline=True)
    ((found,),) = results_of(tmp_path, [(script, "predict", [[x, x]], [])])
    np.testing.assert_allclose(found, model.predict(x, x), rtol=1e-6)
    target = np.zeros((4, 2, 1), np.float32)
    job = jobs_of_a_step(model, "mse", [x, x], target, optimizer=optim.Adam())
    ((loss,),) = results_of(tmp_path, [job])
    history = trained(model, "mse", [x, x], target, 3, optimizer=optim.Adam())
    np.testing.assert_allclose(loss, history["loss"][-1], rtol=1e-6)


# The training step.


def jobs_of_a_step(model, loss, inputs, target, steps=3, names=(), **plan):
    script = to_python(model, *inputs, target, loss=loss, inline=True, **plan)
    return script, "step", [[*inputs, target]] * steps, list(names)


def trained(model, loss, inputs, target, steps, **plan):
    given = inputs if len(inputs) > 1 else inputs[0]
    return cr.train(
        model, loss, tuple(given) if len(inputs) > 1 else given, target, epochs=steps,
        batch_size=len(target), shuffle=False, compile=False, **plan,
    )  # fmt: skip


def check_steps(tmp_path, cases, tolerance):
    """Train each as the script does, and compare losses and all that training changes."""
    jobs, kept = [], []
    for model, loss, inputs, target, plan in cases:
        tensors = [*model.named_parameters(), *model.named_buffers()]
        names = []
        for name, _ in tensors:
            path, _, own = name.rpartition(".")
            names.append(f"{own}_{path}".replace(".", "_") if path else own)
        jobs.append(jobs_of_a_step(model, loss, inputs, target, names=[], **plan))
        used = [n for n in names if f"\n{n} = " in jobs[-1][0].source]
        jobs[-1][3].extend(used)
        kept.append((used, dict(zip(names, [x for _, x in tensors], strict=True))))
    found = results_of(tmp_path, jobs)
    for (model, loss, inputs, target, plan), (used, tensors), (value, *rest) in zip(
        cases, kept, found, strict=True
    ):
        history = trained(model, loss, inputs, target, 3, **plan)
        np.testing.assert_allclose(value, history["loss"][-1], rtol=tolerance, atol=tolerance)
        for name, array in zip(used, rest, strict=True):
            x = tensors[name].value
            assert array.dtype == x.dtype
            np.testing.assert_allclose(array, x, rtol=tolerance, atol=tolerance, err_msg=name)
        assert {name for name in tensors if tensors[name].requires_grad} <= set(used)


Y = np.array([[0.3], [-0.7], [1.2], [0.1]])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_steps_of_every_optimizer_are_those_of_train(tmp_path, dtype, tolerance):
    cases = []
    for row in OPTIMIZER_ROWS:
        model = nn.mlp([3, 4, 1], "tanh", seed=0).astype(dtype)
        plan = {"optimizer": row.optimizer, "clip_norm": 0.5}
        cases.append((model, "mse", [X.astype(dtype)], Y.astype(dtype), plan))
    check_steps(tmp_path, cases, tolerance)


@dataclass(frozen=True)
class Falling(optim.Optimizer):
    """Gradient descent with a rate that falls with the root of the step."""

    def init(self, p):
        return {}

    def update(self, p, g, state, t, lr):
        return p - g * (lr / ops.sqrt(t)), {}


def test_numbers_of_a_step_do_not_widen_float32(tmp_path):
    x, y = X.astype(np.float32), Y.astype(np.float32)
    plan = {"optimizer": Falling(0.1)}
    check_steps(tmp_path, [(nn.Linear(3, 1, seed=0), "mse", [x], y, plan)], 1e-6)
    assert "float(np.sqrt(" in to_python(nn.Linear(3, 1), x, y, loss="mse", **plan).source


def test_steps_of_every_layer_are_those_of_train(tmp_path, monkeypatch):
    # Adam divides by gradients that round to 0: compiled steps round otherwise.
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)
    cases = []
    for row in LAYER_ROWS:
        layer = row.layer()
        if not row.parameters or row.name in ("AdaptiveLoss", "StackedLinear"):
            continue  # one is a loss, and rows are not the first axis of the other
        layer.astype(np.float64)
        target = np.sin(np.arange(float(np.prod(row.output)))).reshape(row.output)
        plan = {"optimizer": optim.Adam(0.01)}
        cases.append((layer, "mse", list(row.inputs), target, plan))
    check_steps(tmp_path, cases, 1e-12)


class Bias(nn.Module):
    """Predicts what it is given, and a little more."""

    def __init__(self, shape):
        self.bias = nn.Parameter(np.zeros(shape), dtype=float)

    def forward(self, x):
        return x + self.bias


def test_steps_of_every_loss_are_those_of_train(tmp_path):
    cases = []
    for row in LOSS_ROWS:
        model = Bias(np.shape(row.prediction)[1:])
        plan = {"optimizer": optim.SGD(0.01, momentum=0.9)}
        cases.append((model, loss_of(row), [np.asarray(row.prediction)], row.target, plan))
    check_steps(tmp_path, cases, 1e-12)


def test_a_step_with_a_penalty_groups_and_a_loss_with_parameters(tmp_path):
    x, y = X.astype(float), Y.astype(float)
    model = nn.mlp([3, 4, 1], "tanh", seed=0).astype(float)
    groups = [([model[0].bias], {"lr": 0.5})]
    plan = {"optimizer": optim.SGD(0.1), "groups": groups, "penalty": cr.penalties.L2(0.1)}
    check_steps(tmp_path, [(model, "mse", [x], y, plan)], 1e-12)


def test_a_script_of_a_step_learns_when_it_is_run(tmp_path):
    model = nn.mlp([3, 4, 1], "tanh", seed=0)
    to_python(
        model, X.astype(np.float32), Y.astype(np.float32), loss="mse",
        optimizer=optim.Adam(0.05), path=tmp_path / "learn.py",
    )  # fmt: skip
    np.save(tmp_path / "x.npy", X)
    np.savetxt(tmp_path / "y.csv", Y, delimiter=",")
    done = run(tmp_path / "learn.py", tmp_path / "x.npy", tmp_path / "y.csv")
    losses = [float(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(losses) == 100
    assert losses[-1] < losses[0] / 10


# Files and the command.


def run(*words):
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=True
    )


def test_a_script_is_run_with_rows_of_a_file(tmp_path):
    model = nn.mlp([3, 64, 2], seed=0)
    script = to_python(model, path=tmp_path / "net.py")
    assert (tmp_path / "net.npz").exists()
    with np.load(tmp_path / "net.npz") as file:
        assert set(file.files) == set(model.state_dict()) == set(script.arrays)
    np.savetxt(tmp_path / "rows.csv", X, delimiter=",")
    found = np.loadtxt(run(tmp_path / "net.py", tmp_path / "rows.csv").stdout.splitlines(),
                       delimiter=",")  # fmt: skip
    np.testing.assert_allclose(found, model.predict(X.astype(np.float32)), rtol=1e-5, atol=1e-6)
    example = run(tmp_path / "net.py")
    assert "an example" in example.stderr
    assert len(example.stdout.split(",")) == 2


def test_weights_stand_in_the_script_if_they_are_few():
    small, large = nn.Linear(3, 2, seed=0), nn.Linear(30, 20, seed=0)
    assert not to_python(small).arrays
    assert set(to_python(large).arrays) == {"weight", "bias"}
    assert not to_python(large, inline=True).arrays
    assert set(to_python(small, inline=False).arrays) == {"weight", "bias"}


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, -0.0, 1e-45, 3.4e38, 1 / 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_written_to_the_bit(value, dtype):
    x = np.array([[value, 0.1], [2.0, -1.5]]).astype(dtype)
    space = {"np": np}
    exec(text.array_statement("x", x), space)
    assert space["x"].tobytes() == x.tobytes()
    assert space["x"].dtype == dtype


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,), (40,), (3, 50), (2, 3, 30)])
def test_arrays_of_every_shape_are_written(shape):
    x = np.random.default_rng(0).normal(size=shape)
    space = {"np": np}
    exec(text.array_statement("x", x), space)
    np.testing.assert_array_equal(space["x"], x)


def test_what_cannot_be_written_is_refused(tmp_path):
    net = nn.mlp([2, 3, 1], seed=0)
    x = np.zeros((4, 2), np.float32)
    with pytest.raises(ConfigError, match=r"expected a chainrule.nn.Module"):
        to_python(lambda x: x)
    with pytest.raises(ConfigError, match="give the module_ of an estimator"):
        to_python(fitted.of_rows()["binary"][0], x, x[:, :1], loss="mse")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        to_python(cr.TabularClassifier())
    with pytest.raises(ConfigError, match=r"what does LSTM take\? Say it with an array of rows"):
        to_python(nn.LSTM(3, 2))
    with pytest.raises(ConfigError, match="optimizer= is for a training step: give a loss="):
        to_python(net, optimizer=optim.SGD())
    with pytest.raises(ConfigError, match="a step has no epochs=; it takes optimizer"):
        to_python(net, x, x[:, :1], loss="mse", epochs=3)
    with pytest.raises(ConfigError, match="give inputs and targets"):
        to_python(net, x, loss="mse")
    with pytest.raises(ConfigError, match="expected the name of a script"):
        to_python(net, path=tmp_path / "net.txt")
    with pytest.raises(ConfigError, match="has no rows"):
        to_python(net, 3.0)


# Estimators.


def lists_of(frame):
    return {
        str(name): [None if cell is None or cell != cell else cell for cell in frame[name].tolist()]
        for name in frame
    }


@pytest.mark.parametrize("name", fitted.tabular())
def test_tabular_estimators(tmp_path, name):
    net = fitted.tabular()[name]
    module = loaded(tmp_path, to_python(net))
    for frame in (fitted.table(), fitted.unseen()):
        frame = frame[list(net.feature_names_in_)]
        given = lists_of(frame)
        expected = net.predict(frame)
        found = module["predict"](given)
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-9)
        else:
            assert found.tolist() == expected.tolist()
        if hasattr(net, "predict_proba"):
            np.testing.assert_allclose(
                module["predict_proba"](given), net.predict_proba(frame), rtol=1e-6
            )


@pytest.mark.parametrize("name", fitted.of_rows())
def test_estimators_of_rows(tmp_path, name):
    net, X = fitted.of_rows()[name]
    module = loaded(tmp_path, to_python(net))
    expected, found = net.predict(X), module["predict"](X)
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    else:
        assert found.tolist() == expected.tolist()
    if hasattr(net, "predict_proba") and name != "hinge":
        np.testing.assert_allclose(module["predict_proba"](X), net.predict_proba(X), rtol=1e-6)
    assert ("predict_proba" in module) == (expected.dtype.kind != "f" and name != "hinge")


def loaded(folder, script):
    script.save(folder / "script.py")
    return runpy.run_path(str(folder / "script.py"))


def test_the_script_of_a_table_reads_csv(tmp_path):
    net, frame = fitted.tabular()["multiclass"], fitted.table()
    to_python(net, path=tmp_path / "net.py")
    frame.to_csv(tmp_path / "rows.csv", index=False, na_rep="NA", encoding="utf-8-sig")
    found = run(tmp_path / "net.py", tmp_path / "rows.csv").stdout.split()
    assert found == net.predict(frame).tolist()


def test_categories_of_two_types_cannot_leave():
    frame = {"mixed": ["a", 1, "b", 2] * 10, "x": list(range(40))}
    net = cr.TabularRegressor(members=1, hidden=(2,), epochs=1).fit(frame, np.arange(40.0))
    with pytest.raises(ConfigError, match="column 'mixed' has text and numbers for categories"):
        to_python(net)


# Whole texts.


def rounded(source):
    """Shorten numbers of many digits, whose last ones another machine may round otherwise."""
    return re.sub(r"\d+\.\d{7,}", lambda found: f"{float(found[0]):.3g}", source)


class Shifts(nn.Module):
    """Adds a number to each of two."""

    def __init__(self):
        self.w = nn.Parameter(np.array([0.5, -0.25]), dtype=float)

    def forward(self, x):
        return x + self.w


def of_quarters():
    net = nn.mlp([2, 3, 1], "tanh")
    net.load_state_dict({  # short and exact
        name: (np.arange(x.size) - 2.0).reshape(x.shape) / 4 for name, x in net.arrays().items()
    })  # fmt: skip
    return to_python(net)


def of_a_recurrence():
    rows = np.zeros((2, 6, 3), np.float32)
    return to_python(nn.GRU(3, 4, bidirectional=True, batch_first=True), rows, inline=False)


def of_a_step():
    x, y = X.astype(np.float32), Y.astype(np.float32)
    plan = {"optimizer": optim.NAdam(0.1), "clip_norm": 0.5, "inline": False}
    return to_python(nn.mlp([3, 2, 1], "tanh"), x, y, loss="mse", **plan)


WHOLE = {
    "net": of_quarters,
    "recurrence": of_a_recurrence,
    "step": of_a_step,
    "table": lambda: to_python(fitted.tabular()["multiclass"], inline=False),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_script(name):
    golden(f"script_{name}.txt", rounded(str(WHOLE[name]())))


def test_the_update_of_every_optimizer_in_full():
    x = np.zeros((4, 2))
    parts = []
    for row in OPTIMIZER_ROWS:
        step = to_python(Shifts(), x, x, loss="mse", optimizer=row.optimizer).part("step")
        update = step.partition("    # gradient of Shifts()\n")[2]
        parts.append(f"{row.optimizer}\n{update}\n")
    golden("script_updates.txt", rounded("\n".join(parts)))


def test_the_function_of_every_layer_in_full():
    parts = {}
    for row in LAYER_ROWS:
        if row.name not in (*parts, "StackedLinear"):  # whose rows are not the first axis
            given = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in row.inputs]
            parts[row.name] = to_python(row.layer(), *given, inline=False).part("predict")
    golden("script_layers.txt", rounded("\n\n\n".join(parts.values()) + "\n"))


def test_arrays_are_written_as_short_as_they_can_be():
    quarters = np.arange(40.0) / 4
    arrays = [
        np.array(0.5), np.zeros(0), np.zeros((2, 0)), np.zeros(2), np.zeros(3), np.full(2, 0.5),
        np.full(3, 0.5), np.full((2, 2), -1.5), np.array([0.0, -0.0, 0.0]), np.full(3, -0.0),
        np.array([np.inf, -np.inf, np.nan]), np.array([1e-45, 0.1], np.float32),
        np.array([3, 1, 2]), np.array([True, False]), quarters, quarters.reshape(2, 20),
        np.stack([quarters, -quarters]), quarters.reshape(2, 4, 5),
    ]  # fmt: skip
    golden("arrays.txt", "\n".join(text.array_statement("x", x) for x in arrays) + "\n")


def test_lines_are_as_long_as_they_may_be():
    assert text.array_statement("x" * 56, np.arange(3.0)).count("\n") == 0
    assert text.array_statement("x" * 57, np.arange(3.0)).count("\n") == 2
    for start in ("x", "return x"):
        line = f"{start} = " if start == "x" else "return "
        line += "y" * (96 - len(line))
        assert text.wrapped(line) == line
    long = f"    x = {'y' * 100} + z-1 + {'z' * 80}"
    assert text.wrapped(long).splitlines() == [
        "    x = (", f"        {'y' * 100}", f"        + z-1 + {'z' * 80}", "    )",
    ]  # fmt: skip
    assert text.wrapped("f(" + "y" * 95 + ")") == "f(" + "y" * 95 + ")"

    def computed(f, *names):
        graph = trace(f, *[Spec((), float)] * len(names))
        lines = rebuild(graph, "f", names).functions.splitlines()
        return [line.strip() for line in lines if re.match(r" +(h\d|return)", line)]

    def product(x):
        return ops.tanh(x * 2.0)

    def both(x, y):
        return x * 2.0 + y * 3.0

    a, b = "a" * 50, "b" * 51
    assert computed(product, a) == [f"return np.tanh({a} * 2.0)"]
    assert computed(product, b) == [f"h1 = {b} * 2.0", "return np.tanh(h1)"]
    a, b = "a" * 30, "b" * 35
    assert computed(both, a, b) == [f"return {a} * 2.0 + {b} * 3.0"]
    assert computed(both, a, b + "b") == [f"h1 = {b}b * 3.0", f"return {a} * 2.0 + h1"]


def test_names_are_taken_once():
    writer = Writer({})
    wanted = ["rows", "rows", "rows_2", "rows", "zip", "h1", "carry", "sigmoid", "2 a", "", "np"]
    assert [writer.fresh(name) for name in wanted] == [
        "rows", "rows_2", "rows_2_2", "rows_3", "zip_2", "h1_2", "carry_2", "sigmoid_2", "x2_a",
        "x", "np_2",
    ]  # fmt: skip


def test_a_long_description_of_a_function_is_cut():
    def said(f, names):
        graph = trace(f, *[Spec(("rows",), float)] * len(names))
        return re.search('"""(.*)"""', rebuild(graph, "f", names).functions)[1]

    one = said(lambda x: x * 2.0, ["x"])
    assert one == "Give float64 of shape (rows,) for x: float64 of shape (rows,)."
    longest = "x" * (1 + 86 - len(one))
    assert said(lambda x: x * 2.0, [longest]) == one.replace("x:", longest + ":")
    assert said(lambda x: x * 2.0, [longest + "x"]) == "Give float64 of shape (rows,)."
    assert said(lambda x: (x * 2.0, x), [longest]) == "Give results: 2."
    assert said(lambda x: {"a": x * 2.0, "b": x}, [longest]) == "Give results: a, b."
