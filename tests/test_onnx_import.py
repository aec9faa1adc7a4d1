"""Import of ONNX: models of PyTorch and our own, trained further, and files that are refused.

The models in `onnx_models` were exported by PyTorch 2.13, by both of its exporters (the name says
which), with random weights; beside each lie inputs and what PyTorch computed.
"""

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
import fitted
from chainrule import from_onnx, nn, optim, to_onnx
from chainrule.errors import ChainruleError, ConfigError, FormatError
from chainrule.exchange.arriving import MOST_NODES
from chainrule.nn.onnx.layers import READERS
from chainrule.nn.onnx.readers import Given
from tables import LAYER_ROWS
from test_onnx import answers, random_net, session

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
FOLDER = Path(__file__).parent / "onnx_models"
MODELS = sorted(path.stem for path in FOLDER.glob("*.onnx"))
X = np.array([[0.7, -1.3, 2.1], [-0.4, 1.6, -2.2], [0.3, 0.9, 0.15]], np.float32)


def torch_case(name):
    with np.load(FOLDER / f"{name.rsplit('_', 1)[0]}.npz") as file:
        return from_onnx(FOLDER / f"{name}.onnx"), file["x"], file["y"]


@pytest.mark.parametrize("name", MODELS)
def test_models_of_pytorch_predict_and_leave_again(tmp_path, name):
    net, x, y = torch_case(name)
    np.testing.assert_allclose(net.predict(x), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.predict(x[:1]), y[:1], rtol=1e-5, atol=1e-6)
    to_onnx(net, tmp_path / "again.onnx")
    (found,) = answers(session(tmp_path / "again.onnx"), [x]).values()
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-6)
    net.save(tmp_path / "net.chainrule")
    assert np.array_equal(cr.load(tmp_path / "net.chainrule").predict(x), net.predict(x))


@pytest.mark.parametrize("compiled", [False, "numpy"])
@pytest.mark.parametrize("name", ["mlp_dynamo", "cnn_script", "lstm_script", "gru_dynamo"])
def test_models_of_pytorch_are_trained_further(name, compiled):
    net, x, y = torch_case(name)
    before = net.state_dict()
    target = np.ones_like(y) * 0.3
    history = cr.train(
        net, "mse", x, target, optimizer=optim.Adam(0.01), epochs=20, batch_size=None, seed=0,
        compile=compiled,
    )  # fmt: skip
    assert history["loss"][-1] < history["loss"][0] / 2
    changed = {
        key for key, value in net.state_dict().items() if not np.array_equal(value, before[key])
    }
    assert changed >= {key for key, p in net.named_parameters() if p.ndim > 1}


def test_names_of_pytorch_stay():
    net, *_ = torch_case("cnn_script")
    assert {"f.weight", "f.bias"} <= {name for name, _ in net.named_parameters()}


def test_a_net_that_was_read_is_differentiated_and_written_as_python():
    net, x, _ = torch_case("mlp2_script")
    cr.check_gradient(lambda v: cr.ops.sum(net.astype(float)(v)), x.astype(float))
    assert "np.matmul" in str(cr.to_python(net)) or " @ " in str(cr.to_python(net))


@pytest.mark.parametrize("row", LAYER_ROWS, ids=str)
def test_every_layer_comes_back(tmp_path, row):
    layer = row.layer()
    arrays = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in row.inputs]
    like = [cr.Spec((2, "rows", 3))] if row.name == "StackedLinear" else arrays
    expected = np.asarray(layer.predict(*arrays))
    to_onnx(layer, tmp_path / "layer.onnx", *like)
    for _ in range(2):
        net = from_onnx(tmp_path / "layer.onnx")
        np.testing.assert_allclose(net.predict(*arrays), expected, rtol=1e-5, atol=1e-5)
        to_onnx(net, tmp_path / "layer.onnx")


@pytest.mark.parametrize("seed", range(15))
def test_random_nets_come_back(tmp_path, seed):
    net, shape = random_net(seed)
    codes = isinstance(net[0], nn.Embedding)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 7, (5, *shape)) if codes else rng.normal(size=(5, *shape))
    x = x if codes else x.astype(np.float32)
    to_onnx(net, tmp_path / "net.onnx", x)
    again = from_onnx(tmp_path / "net.onnx")
    np.testing.assert_allclose(again.predict(x), net.predict(x), rtol=1e-5, atol=1e-5)
    assert set(dict(again.named_parameters())) >= set(dict(net.named_parameters())) - {"0.bias"}


def test_an_mlp_trains_as_before_it_left(tmp_path):
    net = nn.mlp([3, 4, 1], "tanh", seed=0)
    to_onnx(net, tmp_path / "net.onnx")
    again = from_onnx(tmp_path / "net.onnx")
    for model in (net, again):
        cr.train(model, "mse", X, X[:, :1], optimizer=optim.SGD(0.1), epochs=5, compile=False)
    for name, value in net.state_dict().items():
        np.testing.assert_allclose(again.state_dict()[name], value, rtol=1e-5, atol=1e-6)


# Nodes, one by one, against ONNX's own evaluator.


def made(nodes, inputs, constants=None, opset=20, outputs=("y",)):
    """Make a model of nodes."""
    h = onnx.helper
    infos = [
        h.make_tensor_value_info(k, h.np_dtype_to_tensor_dtype(x.dtype), list(x.shape))
        for k, x in inputs.items()
    ]
    ends = [h.make_tensor_value_info(name, 1, []) for name in outputs]
    tensors = [onnx.numpy_helper.from_array(np.asarray(x), k) for k, x in (constants or {}).items()]
    graph = h.make_graph(nodes, "g", infos, ends, tensors)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=8)


A = np.array([[0.7, -1.3, 2.1, 0.0], [-0.4, 1.6, -2.2, 3.0]], np.float32)
B = np.array([[1.9, 0.6, -1.1, 2.0], [0.8, -0.3, 1.4, -1.0]], np.float32)
SIGNAL = np.linspace(-1.3, 1.1, 40, dtype=np.float32).reshape(2, 4, 5) ** 3
IMAGE = np.sin(np.arange(72.0, dtype=np.float32)).reshape(2, 1, 6, 6)
KERNEL = np.cos(np.arange(18.0, dtype=np.float32)).reshape(2, 1, 3, 3)
WHOLE = np.array([[7, -7, 5], [3, 2, -9]])
CHANNELS = np.linspace(0.5, 2, 4, dtype=np.float32)

# fmt: off
NODES = [
    *[(kind, [A], {}, {}) for kind in (
        "Abs", "Cos", "Erf", "Exp", "Floor", "Ceil", "HardSwish", "Identity", "IsNaN", "IsInf",
        "Mish", "Neg", "Relu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh", "Elu",
        "Selu", "LeakyRelu", "HardSigmoid", "Gelu", "Softmax", "LogSoftmax", "Flatten", "Transpose",
        "Shape", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ArgMax", "Dropout")],
    *[(kind, [A, B], {}, {}) for kind in (
        "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Less", "LessOrEqual", "Greater",
        "GreaterOrEqual", "Equal", "PRelu")],
    *[(kind, [np.abs(A) + 1], {}, {}) for kind in ("Log", "Sqrt", "Reciprocal")],
    *[(kind, [A > 0, B > 0], {}, {}) for kind in ("And", "Or")],
    ("Not", [A > 0], {}, {}), ("Where", [A > 0, A, B], {}, {}), ("Pow", [np.abs(A), B], {}, {}),
    ("Div", [WHOLE], {"d": np.array(2)}, {}), ("Mod", [WHOLE], {"d": np.array(4)}, {}),
    ("MatMul", [A, B.T.copy()], {}, {}), ("Gemm", [A, B], {}, {"transB": 1}),
    ("Gemm", [A.T.copy(), B.T.copy(), A[:, :1]], {}, {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    ("Elu", [A], {}, {"alpha": 2.0}), ("Selu", [A], {}, {"alpha": 2.0, "gamma": 0.5}),
    ("LeakyRelu", [A], {}, {"alpha": 0.3}), ("HardSigmoid", [A], {}, {"alpha": 0.3, "beta": 0.1}),
    ("Gelu", [A], {}, {"approximate": "tanh"}), ("Softmax", [SIGNAL], {}, {"axis": 1}),
    ("Clip", [A], {"low": np.float32(-1), "high": np.float32(1)}, {}),
    ("Clip", [A], {"low": np.float32(0)}, {}), ("Cast", [A], {}, {"to": 7}),
    ("Reshape", [SIGNAL], {"shape": np.array([0, -1])}, {}),
    ("Flatten", [SIGNAL], {}, {"axis": -1}),
    ("Transpose", [SIGNAL], {}, {"perm": [2, 0, 1]}),
    ("Squeeze", [IMAGE], {"axes": np.array([1])}, {}), ("Squeeze", [IMAGE], {}, {}),
    ("Unsqueeze", [A], {"axes": np.array([0, -1])}, {}),
    ("Expand", [A[:, :1]], {"shape": np.array([3, 1, 4])}, {}),
    ("Concat", [A, B], {}, {"axis": -1}),
    ("Slice", [SIGNAL], {"starts": np.array([1, -1]), "ends": np.array([9, -9]),
                         "axes": np.array([1, 2]), "steps": np.array([2, -2])}, {}),
    ("Slice", [A], {"starts": np.array([0]), "ends": np.array([2**63 - 1])}, {}),
    ("Gather", [SIGNAL], {"i": np.array([[0, -1], [2, 1]])}, {"axis": 1}),
    ("Gather", [A], {"i": np.array(1)}, {}),
    ("GatherElements", [A], {"i": np.array([[0, 1, 1, 0]])}, {"axis": 0}),
    ("Pad", [A], {"pads": np.array([0, 1, 2, 0])}, {}),
    ("Pad", [A], {"pads": np.array([1, 2]), "v": np.float32(0), "axes": np.array([-1])}, {}),
    ("ReduceSum", [SIGNAL], {"axes": np.array([0, -1])}, {"keepdims": 0}),
    ("ReduceSum", [A], {}, {"noop_with_empty_axes": 1}),
    ("ReduceMax", [SIGNAL], {"axes": np.array([1])}, {}),
    ("ArgMax", [SIGNAL], {}, {"axis": 1, "keepdims": 0}),
    ("CumSum", [A], {"axis": np.array(1)}, {}),
    ("Conv", [IMAGE], {"w": KERNEL, "b": np.array([0.5, -1.0], np.float32)},
     {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ("Conv", [IMAGE], {"w": KERNEL}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", [IMAGE], {"w": KERNEL}, {"auto_pad": "SAME_LOWER", "dilations": [2, 1]}),
    ("MaxPool", [IMAGE], {}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}),
    ("MaxPool", [IMAGE], {}, {"kernel_shape": [2, 2], "strides": [4, 4], "ceil_mode": 1}),
    ("AveragePool", [IMAGE], {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
    ("AveragePool", [IMAGE], {},
     {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}),
    ("GlobalAveragePool", [IMAGE], {}, {}), ("GlobalMaxPool", [IMAGE], {}, {}),
    ("BatchNormalization", [SIGNAL], dict.fromkeys("abcd", CHANNELS), {}),
    ("LayerNormalization", [SIGNAL], {"s": B[0, :1] + np.arange(5, dtype=np.float32),
                                      "b": np.ones(5, np.float32)}, {}),
    ("InstanceNormalization", [SIGNAL], dict.fromkeys("ab", CHANNELS), {}),
    ("ConstantOfShape", [], {"shape": np.array([2, 3])}, {}),
]
# fmt: on


@pytest.mark.parametrize(("kind", "inputs", "constants", "attributes"), NODES,
                         ids=[f"{case[0]}-{i}" for i, case in enumerate(NODES)])  # fmt: skip
def test_nodes_mean_what_onnx_says(tmp_path, kind, inputs, constants, attributes):
    named = {f"x{i}": x for i, x in enumerate(inputs)}
    node = onnx.helper.make_node(kind, [*named, *constants], ["y"], **attributes)
    model = made([node], named, constants)
    expected = reference.ReferenceEvaluator(model).run(None, named)[0]
    onnx.save(model, tmp_path / "node.onnx")
    found = from_onnx(tmp_path / "node.onnx").predict(*inputs)
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_every_node_type_that_is_read_is_tested():
    tested = {case[0] for case in NODES} | {"Split", "RNN", "LSTM", "GRU"}
    assert set(READERS) - tested == set()


def test_names_in_a_file_do_not_become_code(tmp_path, capsys):
    """Of nodes, which are comments in what is generated, and of sizes, which are in docstrings."""
    h, kind = onnx.helper, onnx.TensorProto.FLOAT
    size = 'n"""\n    print("run")\n    """'
    node = h.make_node("Tanh", ["x"], ["y"], name='a\r        print("run")\n        #')
    ends = [[h.make_tensor_value_info(name, kind, [size, 3])] for name in "xy"]
    model = h.make_model(
        h.make_graph([node], "net", *ends), opset_imports=[h.make_opsetid("", 20)], ir_version=10
    )
    onnx.save(model, tmp_path / "net.onnx")
    net = from_onnx(tmp_path / "net.onnx")
    compiled = cr.compile(net, *net.specs(), plain=True)
    np.testing.assert_array_equal(compiled(X), np.tanh(X))
    space = {"__name__": "script"}
    exec(cr.to_python(net).source, space)
    np.testing.assert_array_equal(space["predict"](X), np.tanh(X))
    assert capsys.readouterr().out == ""
    assert '# OnnxNet/a print("run") #: tanh' in compiled.source


def test_split_gives_several_results(tmp_path):
    node = onnx.helper.make_node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2)
    onnx.save(made([node], {"x": A}, outputs=("y", "z")), tmp_path / "net.onnx")
    y, z = from_onnx(tmp_path / "net.onnx").predict(A)
    assert np.array_equal(y, A[:, :2])
    assert np.array_equal(z, A[:, 2:])


def test_older_opsets_have_attributes_where_newer_ones_have_inputs(tmp_path):
    h = onnx.helper
    nodes = [
        h.make_node("Unsqueeze", ["x"], ["a"], axes=[1]),
        h.make_node("ReduceSum", ["a"], ["b"], axes=[2], keepdims=1),
        h.make_node("Squeeze", ["b"], ["c"], axes=[1, 2]),
        h.make_node("Clip", ["c"], ["d"], min=-1.0, max=1.0),
        h.make_node("Softmax", ["x"], ["e"]),
        h.make_node("ReduceMax", ["e"], ["f"], axes=[1], keepdims=0),
        h.make_node("Add", ["d", "f"], ["y"]),
    ]
    onnx.save(made(nodes, {"x": A}, opset=9), tmp_path / "net.onnx")
    e = np.exp(A) / np.exp(A).sum(1, keepdims=True)
    expected = np.clip(A.sum(1), -1, 1) + e.max(1)
    np.testing.assert_allclose(from_onnx(tmp_path / "net.onnx").predict(A), expected, rtol=1e-5)


# What is refused.


def test_unknown_nodes_are_named_with_all_that_are_known(tmp_path):
    nodes = [
        onnx.helper.make_node("Det", ["x"], ["a"]),
        onnx.helper.make_node("Einsum", ["a"], ["y"], equation="i"),
    ]
    onnx.save(made(nodes, {"x": A}), tmp_path / "net.onnx")
    with pytest.raises(FormatError, match="types Det, Einsum are not known; known are Abs, Add, "):
        from_onnx(tmp_path / "net.onnx")


def test_tables_with_text_are_refused(tmp_path):
    to_onnx(fitted.tabular()["binary"], tmp_path / "net.onnx")
    with pytest.raises(FormatError, match=r"ai\.onnx\.ml\.LabelEncoder.* not known"):
        from_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize("change", ["cut", "empty", "text", "opset", "nodes", "shape", "huge"])
def test_bad_files(tmp_path, change, monkeypatch):
    path = tmp_path / "net.onnx"
    to_onnx(nn.mlp([2, 30, 1], seed=0), path)
    data = path.read_bytes()
    model = onnx.load(path)
    expected = "no valid ONNX model"
    if change in ("cut", "empty", "text"):
        path.write_bytes({"cut": data[:100], "empty": b"", "text": b"x" * 50}[change])
    if change == "opset":
        model.opset_import[0].version, expected = 6, "opset 6; known are 7 to 24"
    if change == "nodes":
        monkeypatch.setattr("chainrule.exchange.arriving.MOST_NODES", 2)
        expected = "nodes; at most 2 are read"
        assert MOST_NODES == 100_000
    if change == "shape":
        model.graph.input[0].type.tensor_type.ClearField("shape")
        expected = "the input x has no shape|no valid ONNX model"
    if change == "huge":
        monkeypatch.setattr("chainrule.exchange.arriving.MOST_BYTES", 10)
        expected = "larger than 2 GiB"
    if change in ("opset", "nodes", "shape"):
        onnx.save(model, path)
    with pytest.raises(FormatError, match=expected):
        from_onnx(path)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "link.bin", "none.bin", ""])
def test_weights_outside_of_the_folder_are_not_read(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 4000)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = made([onnx.helper.make_node("Add", ["x", "w"], ["y"])], {"x": A}, {"w": A})
    _outside(model, location=location)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match=r"no file in the folder|no valid ONNX model"):
        from_onnx(folder / "net.onnx")


def _outside(model, **where):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in where.items():
        tensor.external_data.add(key=key, value=str(value))


def test_weights_in_a_file_of_the_folder_are_read(tmp_path):
    model = made([onnx.helper.make_node("Add", ["x", "w"], ["y"])], {"x": A}, {"w": A})
    (tmp_path / "weights.bin").write_bytes(b"\1" * 8 + B.tobytes())
    _outside(model, location="weights.bin", offset=8, length=B.nbytes)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    np.testing.assert_array_equal(from_onnx(tmp_path / "net.onnx").predict(A), A + B)
    (tmp_path / "weights.bin").write_bytes(b"\1" * 8)
    with pytest.raises(FormatError, match="takes 32 bytes, which are not there"):
        from_onnx(tmp_path / "net.onnx")


def test_huge_constants_are_not_made():
    with pytest.raises(ConfigError, match="at most 268,435,456"):
        READERS["ConstantOfShape"](Given("ConstantOfShape", [np.array([2**20, 2**20])], {}, 20))


def test_settings_without_counterpart_are_refused(tmp_path):
    for kind, attributes, words in [
        ("Pad", {"mode": "reflect"}, "mode='reflect'"),
        ("CumSum", {"reverse": 1}, "reverse=1"),
        ("ArgMax", {"select_last_index": 1}, "select_last_index=1"),
    ]:
        with pytest.raises(ConfigError, match=f"a {kind} node has {words}"):
            READERS[kind](Given(kind, [A, np.array([0, 0, 1, 1])], attributes, 20))


def test_the_wrong_number_of_inputs(tmp_path):
    net, x, _ = torch_case("mlp_dynamo")
    with pytest.raises(ConfigError, match="this net takes 1 inputs: "):
        net(x, x)


def test_damaged_bytes_raise_what_chainrule_raises(tmp_path):
    """Change bytes of a model: it is refused in words, or is read, and computes or refuses to."""
    data = (FOLDER / "cnn_script.onnx").read_bytes()
    x = np.zeros((1, 1, 8, 8), np.float32)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "net.onnx").write_bytes(damaged)
        try:
            net = from_onnx(tmp_path / "net.onnx")
        except ChainruleError:
            refused += 1
            continue
        try:
            with np.errstate(all="ignore"):
                net.predict(x)
        except (ChainruleError, ImportError):
            refused += 1
    assert 30 < refused < 300


# What changing bytes found once.


def saved(tmp_path, model):
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "net.onnx"


def test_a_constant_without_a_value(tmp_path):
    make = onnx.helper.make_node
    nodes = [make("Constant", [], ["c"]), make("Add", ["x", "c"], ["y"])]
    with pytest.raises(FormatError, match=r"has other than one value|no valid ONNX model"):
        from_onnx(saved(tmp_path, made(nodes, {"x": A})))


def test_a_tensor_of_a_type_that_does_not_exist(tmp_path):
    model = made([onnx.helper.make_node("Add", ["x", "w"], ["y"])], {"x": A}, {"w": A})
    model.graph.initializer[0].data_type = 127
    with pytest.raises(FormatError, match=r"tensors of type 127 do not exist|no valid ONNX model"):
        from_onnx(saved(tmp_path, model))


@pytest.mark.parametrize(
    ("kind", "constants", "attributes", "words"),
    [
        ("LayerNormalization", {"s": B[0]}, {"axis": -(2**40)}, "axis -1099511627776 does not"),
        ("Expand", {"s": np.array([2**40, 1, 1])}, {}, "Expand makes .* elements: at most"),
        ("Pad", {"p": np.array([2**40, 0, 0, 0])}, {}, "Pad makes .* elements: at most"),
        ("Transpose", {}, {"perm": [0, 7]}, "axis 7 does not exist"),
        ("Concat", {"b": B}, {"axis": 5}, "axis 5 does not exist"),
        ("Gather", {"i": np.array([9])}, {"axis": 0}, "index 9 is out of bounds"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, kind, constants, attributes, words):
    node = onnx.helper.make_node(kind, ["x", *constants], ["y"], **attributes)
    net = from_onnx(saved(tmp_path, made([node], {"x": A}, constants)))
    with pytest.raises(ChainruleError, match=words):
        net.predict(A)


def test_the_hidden_size_is_that_of_the_weights():
    net, x, _ = torch_case("gru_dynamo")
    node = next(node for node in net.nodes if node["kind"] == "GRU")
    node["attributes"]["hidden_size"] = 10**12
    with pytest.raises(ConfigError, match="hidden_size=1000000000000"):
        net.predict(x)
