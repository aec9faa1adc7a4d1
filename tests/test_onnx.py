"""Export to ONNX: what a runtime computes is what chainrule computes."""

import warnings

import numpy as np
import pytest

import fitted
from chainrule import Spec, TabularClassifier, nn, ops, to_onnx, trace
from chainrule.errors import ConfigError, GraphError
from chainrule.graph import OPS
from chainrule.ops.kinds import Elementwise
from chainrule.ops.loops import Parts
from chainrule.ops.opset import in_onnx
from chainrule.transforms.onnx import model_of
from chainrule.tree import flatten
from golden import golden
from tables import LAYER_ROWS, OP_ROWS
from test_compile_random import prepared, random_case
from test_scripts import op_cases, traced

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
REFUSED = ["uniform"]  # by a fact of its own


def session(model):
    """Load a model, or its file, into the runtime."""
    data = str(model) if not hasattr(model, "SerializeToString") else model.SerializeToString()
    return runtime.InferenceSession(data, providers=["CPUExecutionProvider"])


def answers(running, arrays):
    """Give all outputs by name; inputs are given by name, or in their order."""
    names = [x.name for x in running.get_inputs()]
    feed = arrays if isinstance(arrays, dict) else dict(zip(names, arrays, strict=True))
    found = running.run(None, {name: feed[name] for name in names})
    return dict(zip([x.name for x in running.get_outputs()], found, strict=True))


def agrees(graph, arrays, expected, tolerance=1e-5, scale=1.0):
    names = [f"a{i}" for i in range(len(arrays))]
    outputs = [f"y{i}" for i in range(len(expected))]
    running = session(model_of(graph, names, outputs))
    found = answers(running, dict(zip(names, arrays, strict=True)))
    for name, e in zip(outputs, expected, strict=True):
        y, e = found[name], np.asarray(e)
        assert (y.shape, y.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(y, e, rtol=tolerance, atol=tolerance * scale)


# Ops.


def finite_cases():
    """Rows and values of the table; runtimes have rules of their own for NaN and infinity."""
    for row, inputs, arrays, rows in op_cases():
        if row.name not in REFUSED and all(np.isfinite(x).all() for x in arrays):
            yield row, inputs, arrays, rows


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_op_is_computed_by_a_runtime(dtype):
    for row, inputs, arrays, rows in finite_cases():
        if row.name == "scan" and dtype == np.float32:
            continue  # the graph of its step in the table is one of float64

        def cast(x):
            is_float = isinstance(x, np.ndarray) and x.dtype.kind == "f"
            return np.asarray(np.clip(x, -1e30, 1e30), dtype) if is_float else x

        graph = traced(row, [cast(x) for x in inputs], rows)
        given = [cast(x) for x in arrays]
        with np.errstate(all="ignore"):
            expected = graph(*given)
        if np.isfinite(expected).all():
            agrees(graph, given, [expected])


def test_every_op_says_how_onnx_says_it():
    lacking = [
        op.name
        for op in OPS.values()
        if op.in_onnx is None and not any(isinstance(fact, Parts) for fact in op.loops)
    ]
    assert [name for name in lacking if name in {row.name for row in OP_ROWS}] == []


def test_random_numbers_are_refused():
    graph = trace(lambda key: ops.uniform(key, (3,)), Spec((), np.uint64))
    with pytest.raises(GraphError, match="cannot be said in ONNX: it draws random numbers"):
        model_of(graph, ["x"], ["y"])


def test_an_op_of_ones_own():
    cube = Elementwise("cube_of_a_test", lambda x: x**3, [lambda out, x: 3.0 * x * x])
    try:
        graph = trace(lambda x: cube(x), Spec(("rows",), float))
        with pytest.raises(GraphError, match="cube_of_a_test does not say how ONNX says it"):
            model_of(graph, ["x"], ["y"])
        in_onnx(cube, lambda use: use.node("Pow", use.input(0), use.constant(3, use.dtype)))
        x = np.array([1.0, -2.0])
        agrees(graph, [x], [x**3])
    finally:
        del OPS["cube_of_a_test"]


def test_nodes_that_nothing_reads_are_left_out(monkeypatch):
    def with_more(use):
        use.node("Neg", use.input(0))
        return use.node("Tanh", use.input(0))

    monkeypatch.setattr(OPS["tanh"], "in_onnx", with_more)
    model = model_of(trace(lambda x: ops.tanh(x), Spec(("rows",), float)), ["x"], ["y"])
    assert [node.op_type for node in model.graph.node] == ["Tanh", "Identity"]


def test_a_graph_of_something_else_is_refused(monkeypatch):
    other = trace(lambda x: x * 1.0, Spec(("others",), float)).inputs[0]
    graph = trace(lambda x: x + other, Spec((), float))
    with pytest.raises(GraphError, match="reads an input that the model has not"):
        model_of(graph, ["x"], ["y"])
    graph = trace(lambda x: ops.broadcast_to(x, (*other.shape, 3)), Spec((3,), float))
    with pytest.raises(GraphError, match="no input of the model has the dimension others"):
        model_of(graph, ["x"], ["y"])
    monkeypatch.setattr(OPS["tanh"], "in_onnx", "NoSuchOp")
    graph = trace(lambda x: ops.tanh(x), Spec((3,), float))
    with pytest.raises(GraphError, match=r"does not pass ONNX.s checker: .*NoSuchOp"):
        model_of(graph, ["x"], ["y"])
    turned = lambda use: use.node("Transpose", use.input(0), perm=[1, 0])  # noqa: E731
    monkeypatch.setattr(OPS["tanh"], "in_onnx", turned)
    with pytest.raises(GraphError, match=r"does not pass ONNX.s checker: .*ShapeInference"):
        model_of(graph, ["x"], ["y"])


@pytest.mark.parametrize("start", [0, 60])
def test_random_expressions_and_their_gradients(start):
    ready = [case for case in map(prepared, map(random_case, range(start, start + 60))) if case]
    assert len(ready) > 20
    for graph, arrays, expected, largest in ready:
        if not any(node.op is OPS["uniform"] for node in graph.nodes):
            agrees(graph, arrays, expected, scale=largest)


# Layers and nets.


@pytest.mark.parametrize("row", LAYER_ROWS, ids=str)
def test_every_layer_for_any_number_of_rows(tmp_path, row):
    layer = row.layer()
    arrays = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in row.inputs]
    axis = 1 if row.name == "StackedLinear" else 0
    like = [Spec((2, "rows", 3))] if axis else arrays
    to_onnx(layer, tmp_path / "layer.onnx", *like)
    running = session(tmp_path / "layer.onnx")
    several = [np.concatenate([x, x.take([0], axis)], axis) for x in arrays]
    for given in (arrays, several, [x.take([0], axis) for x in arrays]):
        (found,) = answers(running, given).values()
        expected = np.asarray(layer.predict(*given))
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def random_net(seed):
    """Draw a net of some layers, and the shape of a row."""
    rng = np.random.default_rng(seed)
    kind = ["dense", "image", "signal", "sequence", "codes"][seed % 5]
    activation = rng.choice(["relu", "tanh", "gelu", "selu", "silu", "mish", "softplus", "elu"])
    width = int(rng.integers(1, 6))
    if kind == "dense":
        size = int(rng.integers(1, 5))
        net = nn.mlp(
            [size, width, width, 2], str(activation), batch_norm=bool(rng.random() < 0.5),
            layer_norm=bool(rng.random() < 0.5), dropout=0.2, seed=seed,
        )  # fmt: skip
        return net, (size,)
    if kind == "codes":
        return nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(12, 2), seed=seed), (4,)
    if kind == "sequence":
        layer = [nn.RNN, nn.LSTM, nn.GRU][seed // 5 % 3]
        settings = {"returns": "last", "batch_first": True, "bidirectional": bool(seed % 2)}
        outputs = width * (1 + seed % 2)
        return nn.Sequential(layer(3, width, **settings), nn.Linear(outputs, 2), seed=seed), (4, 3)
    axes = 2 if kind == "image" else 1
    conv = [nn.Conv1d, nn.Conv2d][axes - 1]
    pool = [[nn.MaxPool1d, nn.AvgPool1d], [nn.MaxPool2d, nn.AvgPool2d]][axes - 1][seed // 5 % 2]
    norm = (
        nn.GroupNorm(2, 4) if rng.random() < 0.5 else [nn.BatchNorm1d, nn.BatchNorm2d][axes - 1](4)
    )
    last = [nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d][axes - 1](1)
    layers = [
        conv(2, 4, 3, stride=int(rng.integers(1, 3)), padding=int(rng.integers(0, 2))), norm,
        nn.Activation(str(activation)), pool(2), conv(4, width, 1), last, nn.Flatten(),
        nn.Linear(width, 2),
    ]  # fmt: skip
    return nn.Sequential(*layers, seed=seed), (2, *[8] * axes)


def check_random_net(path, seed):
    net, shape = random_net(seed)
    rng = np.random.default_rng(seed)
    codes = isinstance(net[0], nn.Embedding)
    x = rng.integers(0, 7, (9, *shape)) if codes else rng.normal(size=(9, *shape))
    x = x if codes else x.astype(np.float32)
    for _, buffer in net.named_buffers():  # running statistics that are not 0 and 1
        if buffer.dtype.kind == "f":
            buffer.renew(np.abs(rng.normal(size=buffer.shape)).astype(buffer.dtype) + 0.5)
    to_onnx(net, path, x)
    running = session(path)
    for given in (x, x[:1]):
        (found,) = answers(running, [given]).values()
        np.testing.assert_allclose(found, net.predict(given), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", range(5))
def test_random_nets(tmp_path, kind):
    for seed in range(kind, 40, 5):
        check_random_net(tmp_path / "net.onnx", seed)


@pytest.mark.slow
def test_500_random_nets(tmp_path):
    for seed in range(40, 540):
        check_random_net(tmp_path / "net.onnx", seed)


def test_nothing_is_in_the_file_that_is_not_read(tmp_path):
    for seed in range(5):
        net, shape = random_net(seed)
        dtype = np.int64 if isinstance(net[0], nn.Embedding) else np.float32
        to_onnx(net, tmp_path / "net.onnx", Spec(("rows", *shape), dtype))
        graph = onnx.load(tmp_path / "net.onnx").graph
        read = {name for node in graph.node for name in node.input}
        read |= {
            name for n in graph.node for a in n.attribute for i in a.g.node for name in i.input
        }
        assert {x.name for x in graph.initializer} <= read
        assert {x.name for x in graph.output} == {"output"}


def test_what_the_file_says(tmp_path):
    net = nn.mlp([3, 4, 2], "tanh", seed=0)
    to_onnx(net, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert model.ir_version == 10
    assert [(x.domain, x.version) for x in model.opset_import] == [("", 20)]
    assert {x.name for x in model.graph.initializer} == set(net.state_dict())
    (given,), (made,) = model.graph.input, model.graph.output
    assert (given.name, made.name) == ("x", "output")
    assert [d.dim_param or d.dim_value for d in made.type.tensor_type.shape.dim] == ["rows", 2]
    assert not net.training or net.train()


class Same(nn.Module):
    """Has names that a model has, too."""

    def __init__(self):
        self.output, self.weight = nn.Parameter(np.ones(2)), nn.Parameter(np.full(2, 3.0))

    def forward(self, weight, output_2):
        return weight * self.weight + self.output * output_2


def test_a_name_is_that_of_one_thing(tmp_path):
    x = np.array([[1.0, 2.0]], np.float32)
    to_onnx(Same(), tmp_path / "net.onnx", x, x)
    running = session(tmp_path / "net.onnx")
    assert [i.name for i in running.get_inputs()] == ["weight", "output_2"]
    np.testing.assert_array_equal(answers(running, [x, x])["output"], x * 4)


def test_a_column_that_is_called_as_an_output(tmp_path):
    frame = {"label": np.arange(40.0), "probabilities": np.arange(40.0) % 7}
    net = TabularClassifier(members=1, hidden=(2,), epochs=1).fit(frame, np.arange(40) > 9)
    to_onnx(net, tmp_path / "net.onnx")
    found = [x.name for x in session(tmp_path / "net.onnx").get_outputs()]
    assert found == ["label_2", "probabilities_2"]


# Whole models.


def listed(model):
    """Write a model down: versions, inputs, arrays, nodes with their attributes, outputs."""
    head = f"{model.producer_name}, IR {model.ir_version}"
    versions = ", ".join(f"{x.domain or 'ai.onnx'} {x.version}" for x in model.opset_import)
    notes = [f"note {x.key}: {x.value}" for x in model.metadata_props]
    return "\n".join([f"{head}, {versions}", *notes, *lines_of(model.graph)]) + "\n"


def lines_of(graph, indent=""):
    """Write a graph down, those inside of it further to the right."""
    name = onnx.TensorProto.DataType.Name

    def described(x):
        kind = x.type.tensor_type
        sizes = [d.dim_param or (d.dim_value if d.HasField("dim_value") else "?")
                 for d in kind.shape.dim]  # fmt: skip
        return f"{x.name}: {name(kind.elem_type)} {sizes}"

    yield f"{indent}graph {graph.name}"
    yield from (f"{indent}input {described(x)}" for x in graph.input)
    for x in graph.initializer:
        array = onnx.numpy_helper.to_array(x)
        values = f" = {array.tolist()}" if array.size <= 6 else ""
        yield f"{indent}array {x.name}: {name(x.data_type)} {list(x.dims)}{values}"
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        inner = [x for x in attributes.values() if isinstance(x, onnx.GraphProto)]
        shown = ", ".join(f"{k}={v}" for k, v in sorted(attributes.items()) if v not in inner)
        kind = ".".join(filter(None, [node.domain, node.op_type]))
        called = "" if [node.name] == list(node.output) else f"{node.name}: "
        yield (f"{indent}{called}{', '.join(node.output)} = {kind}({', '.join(node.input)})"
               + (f" with {shown}" if shown else ""))  # fmt: skip
        for x in inner:
            yield from lines_of(x, indent + "    ")
    yield from (f"{indent}output {described(x)}" for x in graph.output)


class Sizes(nn.Module):
    """Has sizes that are known only when it runs, and numbers of several kinds."""

    def forward(self, x, places):
        twice = ops.broadcast_to(ops.reshape(x, (-1, 1, 3)), (*x.shape[:1], 2, 3))
        first = ops.broadcast_to(ops.max(x), x.shape[:1])
        chosen = ops.where(places < 2, x, ops.cast(places, dtype=x.dtype) - x)
        return ops.reshape(twice, (-1, 3)), first, chosen, ops.cumsum(places <= x, axis=0)


def in_quarters(net):
    """Give a net short numbers that are not drawn."""
    for _, p in net.named_parameters():
        p.value[...] = ((np.arange(p.value.size) % 7 - 3) / 4).reshape(p.value.shape)
    return net


ROWS = Spec(("rows", 3))
NETS = {
    "dense": lambda: (nn.Sequential(
        nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Activation("gelu"), nn.Residual(nn.Linear(2, 2)),
    ), [ROWS]),
    "convolution": lambda: (nn.Sequential(
        nn.Conv1d(2, 4, 3, groups=2, dilation=2, stride=2, padding=1), nn.MaxPool1d(2),
        nn.Flatten(), nn.Linear(8, 1),
    ), [Spec(("rows", 2, 10))]),
    "recurrence": lambda: (nn.RNN(3, 2, batch_first=True, bidirectional=True, returns="last"),
                           [Spec(("rows", 4, 3))]),
    "embedding": lambda: (nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(6, 1)),
                          [Spec(("rows", 3), np.int64)]),
    "names": lambda: (Same(), [Spec(("rows", 2)), Spec(("rows", 2))]),
    "sizes": lambda: (Sizes(), [ROWS, Spec(("rows", 3), np.int64)]),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_whole_models(tmp_path, name):
    net, inputs = NETS[name]()
    to_onnx(in_quarters(net), tmp_path / "net.onnx", *inputs)
    golden(f"onnx/{name}.txt", listed(onnx.load(tmp_path / "net.onnx")))


def test_arrays_that_lie_otherwise_in_memory(tmp_path):
    net = nn.Linear(3, 2, seed=0)
    net.weight.value = np.asfortranarray(net.weight.value)[:, ::-1]
    to_onnx(net, tmp_path / "net.onnx")
    (weight, _) = onnx.load(tmp_path / "net.onnx").graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weight), net.weight.value)


def test_whole_model_of_a_function():
    def f(x, n):
        return ops.tanh(x * 2.0 + 1.0), n < 3, n + 1, ops.equal(x, n)

    graph = trace(f, Spec(("rows", 2), float), Spec((), np.int32))
    golden("onnx/function.txt", listed(model_of(graph, ["x", "n"], ["x", "y", "n", "y"])))


def test_whole_model_of_a_table(tmp_path):
    rows = {"age": np.arange(8.0), "city": np.array(["Rome", "Oslo"] * 4, object)}
    kinds = {"city": "category"}
    net = TabularClassifier(members=1, hidden=(2,), epochs=1, kinds=kinds, random_state=0)
    net.fit(rows, np.array(["no", "yes"] * 4))
    in_quarters(net.module_)
    to_onnx(net, tmp_path / "net.onnx")
    golden("onnx/table.txt", listed(onnx.load(tmp_path / "net.onnx")))


def test_what_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(ConfigError, match=r"to_onnx\(function\): expected a chainrule.nn.Module"):
        to_onnx(lambda x: x, path)
    with pytest.raises(ConfigError, match="what does Conv1d take"):
        to_onnx(nn.Conv1d(1, 1, 1), path)
    with pytest.raises(ConfigError, match="TabularClassifier knows what it takes"):
        to_onnx(fitted.tabular()["binary"], path, np.zeros((1, 2)))
    assert not path.exists()


# Estimators.


def cells_of(running, frame):
    """Give columns of cells as the inputs of a model want them."""
    cells = {}
    for given in running.get_inputs():
        column = frame[given.name]
        if "string" in given.type:
            text = ["" if cell is None or cell != cell else cell for cell in column.tolist()]
            cells[given.name] = np.array(text, object).reshape(-1, 1)
        else:
            cells[given.name] = column.to_numpy(np.float64).reshape(-1, 1)
    return cells


@pytest.mark.parametrize("name", fitted.tabular())
def test_tabular_estimators(tmp_path, name):
    net = fitted.tabular()[name]
    to_onnx(net, tmp_path / "net.onnx")
    running = session(tmp_path / "net.onnx")
    strange = fitted.unseen().replace({"": "??"})  # in ONNX, empty text is missing
    for frame in (fitted.table(), strange, fitted.table(1)):
        frame = frame[list(net.feature_names_in_)]
        found, expected = answers(running, cells_of(running, frame)), net.predict(frame)
        if "prediction" in found:
            np.testing.assert_allclose(found["prediction"], expected, rtol=1e-5)
            continue
        assert found["label"].tolist() == expected.tolist()
        np.testing.assert_allclose(found["probabilities"], net.predict_proba(frame), atol=1e-5)


@pytest.mark.parametrize("name", fitted.of_rows())
def test_estimators_of_rows(tmp_path, name):
    net, X = fitted.of_rows()[name]
    to_onnx(net, tmp_path / "net.onnx")
    found, expected = answers(session(tmp_path / "net.onnx"), [X]), net.predict(X)
    assert set(found) in ({"prediction"}, {"label"}, {"label", "probabilities"})
    if "prediction" in found:
        np.testing.assert_allclose(found["prediction"], expected, rtol=1e-5, atol=1e-5)
    else:
        assert found["label"].tolist() == expected.tolist()
    if name != "hinge" and "label" in found:
        np.testing.assert_allclose(found["probabilities"], net.predict_proba(X), atol=1e-5)


def test_no_input_is_lost_that_a_model_does_not_read(tmp_path):
    net = fitted.tabular()["one"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        to_onnx(net, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert [x.name for x in model.graph.input] == list(net.feature_names_in_)


def test_several_outputs(tmp_path):
    net, x = nn.LSTM(3, 2, seed=0).eval(), np.ones((4, 5, 3), np.float32)
    to_onnx(net, tmp_path / "net.onnx", Spec((4, "rows", 3)))
    found = answers(session(tmp_path / "net.onnx"), [x])
    assert list(found) == ["output_0", "output_1", "output_2"]
    for y, e in zip(found.values(), flatten(net(x)), strict=True):
        np.testing.assert_allclose(y, e.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_wrong_fact_is_found(monkeypatch):
    monkeypatch.setattr(OPS["mul"], "in_onnx", "Add")
    graph = trace(lambda x: x * 3.0, Spec(("rows",), float))
    with pytest.raises(AssertionError, match="Not equal"):
        agrees(graph, [np.ones(2)], [np.full(2, 3.0)])
