"""Modules and layers by the table; PyTorch's names and numbers; state, copies, faults."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tables
from chainrule import grad, load, losses, nn, no_grad, ops, optim, tensor, trace
from chainrule.errors import ConfigError, FormatError, ShapeError
from chainrule.graph import Tensor
from chainrule.nn import init
from chainrule.nn.module import from_plain
from chainrule.testing import CheckError, check_initializer, check_layer
from chainrule.transforms.run import Spec

X = tables.X
ROWS = pytest.mark.parametrize("row", tables.LAYER_ROWS, ids=str)


def rows_of(row):
    """The inputs whose first axis counts rows; a stack of members has them second."""
    return () if row.name == "StackedLinear" else tuple(range(len(row.inputs)))


@ROWS
def test_layer(row):
    assert check_layer(row.layer(), *row.inputs, rows=rows_of(row)) < 1e-6


@ROWS
def test_shapes_and_counts(row):
    layer = row.layer()
    assert layer.count_parameters() == row.parameters
    with no_grad():
        output = layer(*row.inputs)
    assert output.shape == row.output


@ROWS
def test_files_bring_a_layer_back(row, tmp_path):
    layer = row.layer().train()
    with no_grad():
        layer(*row.inputs)  # moves buffers
    layer.save(tmp_path / "layer.chainrule")
    again = load(tmp_path / "layer.chainrule")
    assert type(again) is type(layer)
    for name, array in layer.arrays().items():
        assert again.arrays()[name].tobytes() == array.tobytes()
    with no_grad():
        a, b = (m.train()(*row.inputs) for m in (layer, again))  # the next dropout, too
    np.testing.assert_array_equal(_array(a), _array(b))


def _array(x):
    return x.detach().numpy() if isinstance(x, Tensor) else x


# PyTorch's names, layouts and numbers.


def test_linear_is_that_of_torch():
    """y = x W^T + b, W of shape (out, in)."""
    layer = nn.Linear(3, 2)
    layer.load_state_dict({"weight": [[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]], "bias": [0.5, -0.5]})
    assert layer.predict(np.array([[1.0, 1.0, 2.0]])).tolist() == [[9.5, -0.5]]


def test_batch_norm_of_the_notes():
    """G5; the running variance divides by count - 1, as in PyTorch."""
    layer = nn.BatchNorm1d(2).train()
    x = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 10.0]])
    with no_grad():
        y = _array(layer(x))
    golden = [[-1.22474258, -1.22474430], [0, 0], [1.22474258, 1.22474430]]
    np.testing.assert_allclose(y, golden, atol=6e-9)
    np.testing.assert_allclose(layer.running_mean.numpy(), [0.3, 0.6], rtol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), [0.9 + 0.4, 0.9 + 1.6], rtol=1e-6)
    assert layer.num_batches_tracked.item() == 1
    one_row = layer.eval().predict(x[:1])
    np.testing.assert_allclose(
        one_row, (x[:1] - [0.3, 0.6]) / np.sqrt([1.3 + 1e-5, 2.5 + 1e-5]), rtol=1e-6
    )


def test_batch_norm_centers_large_numbers():
    x = (1e4 + np.random.default_rng(0).normal(size=(64, 3))).astype(np.float32)
    with no_grad():
        y = _array(nn.BatchNorm1d(3).train()(x))
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-2)
    np.testing.assert_allclose(y.std(axis=0), 1, atol=1e-2)


def test_layer_norm_does_not_see_other_rows():
    x = np.random.default_rng(0).normal(size=(5, 4))
    layer = nn.LayerNorm(4)
    np.testing.assert_allclose(layer.predict(x)[2:3], layer.predict(x[2:3]), rtol=1e-12)


def test_bias_before_normalization():
    """E-54: redundant before batch norm, not before layer norm."""
    x, b = np.random.default_rng(0).normal(size=(6, 3)), np.array([0.5, -1.0, 2.0])

    def shifted(layer):
        return grad(lambda b: ops.sum(layer(x + b) * np.cos(np.arange(18.0)).reshape(6, 3)))(b)

    batch, row = nn.BatchNorm1d(3).astype(float), nn.LayerNorm(3).astype(float)
    for layer, redundant in [(batch.train(), True), (row, False)]:
        g = np.asarray(_array(shifted(layer)))
        assert (np.abs(g).max() < 1e-12) == redundant


TORCH_MODELS = {
    "mlp": (
        lambda t: t.Sequential(t.Linear(3, 5), t.ReLU(), t.Linear(5, 2)),
        lambda: nn.mlp([3, 5, 2]),
    ),
    "norms": (
        lambda t: t.Sequential(t.Linear(3, 4), t.BatchNorm1d(4), t.Tanh(), t.LayerNorm(4)),
        lambda: nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Activation("tanh"), nn.LayerNorm(4)
        ),
    ),
    "prelu": (
        lambda t: t.Sequential(t.PReLU(3), t.PReLU(), t.Linear(3, 1, bias=False)),
        lambda: nn.Sequential(nn.PReLU(3), nn.PReLU(), nn.Linear(3, 1, bias=False)),
    ),
    "activations": (
        lambda t: t.Sequential(
            t.GELU(),
            t.GELU("tanh"),
            t.SiLU(),
            t.ELU(),
            t.SELU(),
            t.Mish(),
            t.Softplus(),
            t.LeakyReLU(),
            t.Hardswish(),
            t.Hardsigmoid(),
            t.Softsign(),
            t.LogSigmoid(),
            t.Softmax(-1),
            t.LogSoftmax(-1),
        ),
        lambda: nn.Sequential(
            nn.Activation("gelu"),
            nn.Activation("gelu", approximate="tanh"),
            *map(
                nn.Activation,
                [
                    "silu",
                    "elu",
                    "selu",
                    "mish",
                    "softplus",
                    "leaky_relu",
                    "hardswish",
                    "hardsigmoid",
                    "softsign",
                    "log_sigmoid",
                    "softmax",
                    "log_softmax",
                ],
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", TORCH_MODELS)
def test_state_and_outputs_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs, ours = TORCH_MODELS[name][0](torch.nn), TORCH_MODELS[name][1]()
    values = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(values)
    assert {k: (v.shape, v.dtype) for k, v in ours.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in values.items()
    }
    ours.load_state_dict(values)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    for _ in range(2):  # in training, where batch norm moves its statistics
        target, ours_x = torch.tensor(x, requires_grad=True), tensor(x, requires_grad=True)
        a, b = theirs.train()(target), ours.train()(ours_x)
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-5, atol=1e-6)
        (a * a).sum().backward()
        ops.sum(b * b).backward()
        np.testing.assert_allclose(ours_x.grad.numpy(), target.grad.numpy(), rtol=1e-4, atol=1e-5)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-5, atol=1e-6)
    expected = theirs.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours.predict(x), expected, rtol=1e-5, atol=1e-6)


def test_embedding_and_lengths_are_those_of_torch():
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Embedding(5, 3), nn.Embedding(5, 3)
    ours.load_state_dict({"weight": theirs.weight.detach().numpy()})
    np.testing.assert_array_equal(
        ours.predict(tables.CODES), theirs(torch.tensor(tables.CODES)).detach().numpy()
    )
    theirs, ours = torch.nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    x = tables.CUBE.astype(np.float32)
    with no_grad():
        np.testing.assert_allclose(
            _array(ours.train()(x)), theirs(torch.tensor(x)).detach().numpy(), atol=1e-5
        )
    np.testing.assert_allclose(ours.running_var.numpy(), theirs.running_var.numpy(), rtol=1e-5)


# Dropout.


def test_dropout_in_training_and_predicting():
    """R05."""
    layer = nn.Dropout(0.5, seed=0)
    x = np.ones((200, 1000), np.float32)
    with no_grad():
        first, second = layer.train()(x), layer(x)
    assert set(np.unique(_array(first))) == {0.0, 2.0}
    assert abs(_array(first).mean() - 1) < 0.01
    assert not np.array_equal(_array(first), _array(second))
    np.testing.assert_array_equal(layer.predict(x), x)


def test_the_same_seed_drops_the_same():
    x = np.ones((4, 5))
    with no_grad():
        a, b, c = (_array(nn.Dropout(0.5, seed=s).train()(x)) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_predict_leaves_the_mode_and_the_counter():
    model = nn.Sequential(nn.Dropout(0.5, seed=0), nn.BatchNorm1d(3).eval())
    model[0].train()
    before = {k: v.copy() for k, v in model.arrays().items()}
    model.predict(X)
    assert model[0].training
    assert not model[1].training
    for key, value in model.arrays().items():
        np.testing.assert_array_equal(value, before[key])


def test_predict_takes_what_forward_takes():
    class Sum(nn.Module):
        def forward(self, a, b):
            return ops.add(a, b)

    assert Sum().predict(np.ones(2), np.ones(2)).tolist() == [2.0, 2.0]


def test_zero_grad_forgets():
    layer = nn.Linear(2, 1, seed=0)
    for _ in range(2):
        layer.zero_grad()
        ops.sum(layer(np.ones((1, 2)))).backward()
    assert layer.weight.grad.value.tolist() == [[1.0, 1.0]]


def test_sixteen_threads_predict_with_one_model_in_training():
    model = nn.mlp([3, 32, 2], batch_norm=True, dropout=0.5, seed=0).train()
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    expected, before = model.predict(x), model.arrays()
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(model.predict, [x] * 64))
    assert all(r.tobytes() == expected.tobytes() for r in results)
    assert all(module.training for _, module in model.named_modules())
    for name, array in model.arrays().items():
        assert array is before[name]


def test_evaluating_shares_the_tensors():
    model = nn.mlp([3, 4, 2], dropout=0.5, seed=0).train()
    ready = model.evaluating()
    assert not ready.training
    assert model.training
    assert ready.parameters() == model.parameters()
    assert ready.evaluating() is ready


# What belongs to a module.


class Pair(nn.Module):
    def __init__(self):
        self.layers = [nn.Linear(2, 2, seed=0), nn.Linear(2, 1, seed=1)]
        self.named = {"scale": nn.Parameter(np.ones(2)), "rest": (nn.Parameter(np.zeros(1)),)}
        self.count = nn.Buffer(np.int64(3))
        self.hidden = nn.Buffer(np.ones(1), persistent=False)
        self.note = "not a tensor"

    def forward(self, x):
        return self.layers[1](self.layers[0](x) * self.named["scale"]) + self.named["rest"][0]


def test_lists_and_dictionaries_are_searched():
    assert [name for name, _ in Pair().named_parameters()] == [
        "named.scale", "named.rest.0", "layers.0.weight", "layers.0.bias",
        "layers.1.weight", "layers.1.bias",
    ]  # fmt: skip
    assert [name for name, _ in Pair().named_buffers()] == ["count", "hidden"]
    assert "count" in Pair().state_dict()
    assert "hidden" not in Pair().state_dict()
    assert check_layer(Pair(), X[:, :2]) < 1e-6


def test_attribute_names_of_dictionaries_and_modules_do_no_harm():
    class Named(nn.Module):
        def __init__(self):
            self.keys = nn.Linear(2, 2, seed=0)
            self.values = nn.Linear(2, 2, seed=1)
            self.items = nn.Parameter(np.ones(2))
            self.update = nn.Parameter(np.ones(2))

        def forward(self, x):
            return self.values(self.keys(x)) * self.items + self.update

    assert [name for name, _ in Named().named_parameters()] == [
        "items", "update", "keys.weight", "keys.bias", "values.weight", "values.bias",
    ]  # fmt: skip
    assert check_layer(Named(), X[:, :2]) < 1e-6


@pytest.mark.parametrize(
    "name", ["parameters", "forward", "training", "state_dict", "train", "config"]
)
def test_attributes_that_hide_a_method_are_refused(name):
    class Hiding(nn.Module):
        def __init__(self):
            setattr(self, name, nn.Parameter(np.ones(2)))

    with pytest.raises(ConfigError, match=rf"attribute Hiding\.{name} hides what every Module has"):
        nn.Sequential(Hiding()).count_parameters()


def shared_model():
    layer = nn.Linear(3, 3, seed=0)
    return nn.Sequential(layer, nn.Activation("tanh"), layer)


def test_shared_weights_count_once():
    model = shared_model()
    assert model.count_parameters() == 12
    assert len(model.parameters()) == 2
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]  # as PyTorch
    other = copy.deepcopy(model)
    assert other[0].weight is other[2].weight
    assert other[0].weight is not model[0].weight
    ops.sum(model(X)).backward()
    assert model[0].weight.grad is not None
    optim.Updater(model.parameters(), optim.SGD(lr=0.1)).step()


def test_freezing():
    model = nn.mlp([3, 4, 2], seed=0)
    model[0].freeze()
    ops.sum(model(X)).backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]
    assert model.count_parameters() == 26
    assert model.count_parameters(trainable=True) == 10
    model[0].freeze(False)
    assert model.count_parameters(trainable=True) == 26


def test_astype():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).astype(np.float64)
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    assert model[1].running_mean.dtype == np.float64
    assert model[1].num_batches_tracked.dtype == np.int64
    assert model.predict(X).dtype == np.float64


def test_copies_are_apart():
    model = nn.mlp([3, 4, 1], batch_norm=True, dropout=0.1, seed=0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert not {p.birth for p in model.parameters()} & {p.birth for p in other.parameters()}
        other[0].weight.renew(np.zeros((4, 3), np.float32))
    assert model.state_dict()["0.weight"].any()


def test_loaded_arrays_are_copied():
    given = {"weight": np.ones((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    model = nn.Linear(2, 1).load_state_dict(given)
    given["weight"][:] = 99
    assert model.state_dict()["weight"].max() == 1


def test_state_dict_is_a_copy():
    model = nn.Linear(2, 1, seed=0)
    taken = model.state_dict()
    taken["weight"][:] = 99
    assert model.state_dict()["weight"].max() < 99


def test_load_state_dict_lists_every_problem():
    model = nn.mlp([2, 3, 1], seed=0)
    given = {
        "0.weight": np.zeros((2, 3)),
        "0.bias": np.zeros(3),
        "2.bias": np.zeros(1),
        "4.weight": np.zeros(1),
    }
    before = model.state_dict()
    with pytest.raises(ShapeError) as caught:
        model.load_state_dict(given)
    for text in (
        "0.weight: shape (2, 3), expected (3, 2)",
        "2.weight: missing",
        "4.weight: not in this module",
    ):
        assert text in str(caught.value)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    del given["0.weight"]
    model.load_state_dict(given, strict=False)
    assert model.state_dict()["0.bias"].tolist() == [0, 0, 0]


# Text.


def test_repr():
    rest = [nn.Dropout(0.25), nn.BatchNorm1d(3), nn.LayerNorm(3), nn.PReLU(), nn.Embedding(4, 2)]
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Residual(nn.Activation("relu")), *rest)
    assert repr(model).splitlines() == [
        "Sequential(",
        "  (0): Linear(2, 3, bias=False)",
        "  (1): Residual(",
        "    (module): Activation(relu)",
        "  )",
        "  (2): Dropout(p=0.25)",
        "  (3): BatchNorm1d(3)",
        "  (4): LayerNorm(3)",
        "  (5): PReLU(num_parameters=1)",
        "  (6): Embedding(4, 2)",
        ")",
    ]


def test_summary():
    """F11: a 2-2-1 net has 9 parameters."""
    text = nn.mlp([2, 2, 1], activation="sigmoid").summary(2)
    assert text.splitlines()[-1].split() == ["total", "9"]
    assert "(batch, 2)" in text
    assert "(batch" not in nn.mlp([2, 2, 1]).summary()
    assert shared_model().summary(3).splitlines()[-1].split() == ["total", "12"]


# Building.


def test_mlp_options():
    kinds = [
        type(m).__name__
        for m in nn.mlp([2, 3, 3, 1], ["tanh", "relu"], batch_norm=True, dropout=0.1)
    ]
    assert kinds == ["Linear", "BatchNorm1d", "Activation", "Dropout"] * 2 + ["Linear"]
    assert [
        m.name for m in nn.mlp([2, 3, 3, 1], ["tanh", "relu"]) if isinstance(m, nn.Activation)
    ] == ["tanh", "relu"]
    assert len(nn.mlp([2, 1])) == 1
    a, b, c = (nn.mlp([2, 3, 1], seed=s).state_dict()["0.weight"] for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_linear_stack_is_one_matrix():
    """F12."""
    model = nn.mlp([3, 5, 4, 2], "identity", seed=0).astype(float)
    whole = model[4].weight @ model[2].weight @ model[0].weight
    x = np.random.default_rng(0).normal(size=(6, 3))
    np.testing.assert_allclose(model.predict(x), x @ whole.detach().numpy().T, atol=1e-12)


def test_rows_are_samples():
    """F02, with as many rows as units."""
    layer = nn.Linear(3, 3, seed=0).astype(float)
    layer.bias.renew(np.array([1.0, 2.0, 3.0]))
    x = np.random.default_rng(0).normal(size=(3, 3))
    each = [layer.weight.detach().numpy() @ row + [1.0, 2.0, 3.0] for row in x]
    np.testing.assert_allclose(layer.predict(x), each, rtol=1e-12)


def test_maxout_as_a_layer():
    """A10: k (in out + out) parameters."""
    for k in (1, 2, 3):
        model = nn.Sequential(nn.Linear(4, 3 * k, seed=0), nn.Activation("maxout", pieces=k))
        assert model.count_parameters() == 15 * k
        assert check_layer(model, np.sin(np.arange(8.0)).reshape(2, 4)) < 1e-6


def test_the_worked_example():
    """G0: loss and all nine gradients of the 2-2-1 net, and a step of size 1."""
    model = nn.mlp([2, 2, 1], "sigmoid").astype(float)
    model.load_state_dict({"0.weight": [[0.2, 0.4], [0.3, 0.7]], "0.bias": [0.1, 0.2],
                           "2.weight": [[0.5, 0.6]], "2.bias": [0.3]})  # fmt: skip
    x, y = np.array([[0.5, 0.8]]), np.array([[1.0]])

    def loss():
        return losses.half_squared_error(ops.sigmoid(model(x)), y)

    value = loss()
    assert value.item() == pytest.approx(0.03403048389235081, rel=1e-14)
    value.backward()
    golden = {
        "0.weight": [[-0.002940741100829814, -0.004705185761327703],
                     [-0.003088180582411068, -0.004941088931857709]],
        "0.bias": [-0.005881482201659628, -0.006176361164822136],
        "2.weight": [[-0.03154859577212601, -0.03586739063485443]],
        "2.bias": [-0.050304884218260515],
    }  # fmt: skip
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), golden[name], rtol=1e-12)
    optim.Updater(model.parameters(), optim.SGD(lr=1.0)).step()
    assert loss().item() == pytest.approx(0.0293625701, abs=1e-10)


def test_equal_starts_stay_equal():
    """R18: hidden units of constant weights never part, and XOR is not learned."""
    x, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [0]])

    def train(start):
        model = nn.Sequential(nn.Linear(2, 4, init=start, seed=3), nn.Activation("tanh"),
                              nn.Linear(4, 1, init=start, seed=4)).astype(float)  # fmt: skip
        updater = optim.Updater(model.parameters(), optim.SGD(lr=0.5))
        for _ in range(400):
            losses.mse(ops.sigmoid(model(x)), y).backward()
            updater.step()
        return model, ops.sigmoid(model.predict(x))

    for start in ("zeros", "ones"):
        model, p = train(start)
        rows = model.state_dict()["0.weight"]
        assert np.ptp(rows, axis=0).max() == 0
        assert ((p - 0.5) * (y - 0.5)).min() < 0.01
    _, p = train("xavier_normal")
    assert np.abs(p - y).max() < 0.3


# Initializers.


@pytest.mark.parametrize(("name", "std", "limit"), tables.INITIALIZER_ROWS)
def test_initializer(name, std, limit):
    check_initializer(init.INITIALIZERS[name], std=std, limit=limit)


def test_constant_initializers():
    assert init.zeros((2, 3), None).tolist() == [[0.0] * 3] * 2
    assert init.ones((2,), None).tolist() == [1.0, 1.0]


def test_auto_matches_the_activation_that_follows():
    spread = {}
    for name in ("relu", "tanh", "selu", "gelu"):
        spread[name] = nn.mlp([256, 128, 1], name, seed=0)[0].weight.detach().numpy().std()
    assert spread["relu"] == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert spread["gelu"] == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert spread["tanh"] == pytest.approx((2 / 384) ** 0.5, rel=0.02)
    assert spread["selu"] == pytest.approx((1 / 256) ** 0.5, rel=0.02)
    through = (
        nn.mlp([256, 128, 1], "relu", batch_norm=True, seed=0)[0].weight.detach().numpy().std()
    )
    assert through == pytest.approx((2 / 256) ** 0.5, rel=0.02)


def test_signals_through_thirty_layers():
    """R17."""
    x = np.random.default_rng(0).normal(size=(32, 64))

    def spread(start):
        y = x
        for i in range(30):
            y = ops.maximum(0.0, nn.Linear(64, 64, init=start, seed=i).predict(y))
        return y.std()

    assert 0.1 < spread("he_normal") < 10
    assert spread("small_normal") < 1e-10


def test_biases_start_at_zero():
    """R23."""
    assert not nn.Linear(3, 4, seed=0).bias.detach().numpy().any()


def test_initializers_of_ones_own():
    layer = nn.Linear(2, 2, init=lambda shape, rng: np.full(shape, 7.0))
    assert layer.weight.detach().numpy().tolist() == [[7.0, 7.0], [7.0, 7.0]]
    with pytest.raises(
        ConfigError, match="initializer 'xaviar' does not exist; there are auto, he_normal"
    ):
        nn.Linear(2, 2, init="xaviar")


# Faults.


class Unsaved(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: nn.Linear(3, 2)(np.ones((4, 5))),
            ShapeError,
            r"Linear\(3, 2\) got an input of shape \(4, 5\); expected \(rows, 3\)",
        ),
        (
            lambda: nn.Linear(0, 2),
            ConfigError,
            "in_features=0: expected a whole number of at least 1",
        ),
        (lambda: nn.Linear(2, -1), ConfigError, "out_features=-1"),
        (lambda: nn.Linear(2, "a"), ConfigError, "out_features='a'"),
        (
            lambda: nn.Linear(10**5, 10**5),
            ConfigError,
            r"10,000,000,000 weights needs about 149 GiB",
        ),
        (lambda: nn.Dropout(2), ConfigError, r"Dropout\(p=2\)"),
        (lambda: nn.Activation("rellu"), ConfigError, "activation 'rellu' does not exist"),
        (
            lambda: nn.BatchNorm1d(3)(np.ones((4, 2))),
            ShapeError,
            r"BatchNorm1d\(3\) got an input of shape \(4, 2\)",
        ),
        (
            lambda: nn.BatchNorm1d(3)(np.ones((1, 3))),
            ShapeError,
            r"more than one value per channel.*model.eval\(\)",
        ),
        (
            lambda: nn.LayerNorm((3, 4))(np.ones((2, 3))),
            ShapeError,
            r"its last axes must be \(3, 4\)",
        ),
        (
            lambda: nn.Embedding(3, 2)(np.array([0, 3])),
            ShapeError,
            r"indices from 0 to 3; expected 0 to 2",
        ),
        (
            lambda: nn.Sequential("relu"),
            ConfigError,
            r"item 0 is 'relu'.*nn.Activation\(\"relu\"\)",
        ),
        (
            lambda: nn.Residual(nn.Linear(3, 2))(X),
            ShapeError,
            r"turns shape \(4, 3\) into \(4, 2\)",
        ),
        (
            lambda: nn.Residual({"units": 3}),
            ConfigError,
            r"Residual\(\{'units': 3\}\): expected a module",
        ),
        (
            lambda: nn.mlp([3]),
            ConfigError,
            r"mlp\(\[3\]\): expected at least an input and an output size",
        ),
        (
            lambda: nn.mlp([3, 4, 1], ["relu", "tanh"]),
            ConfigError,
            "2 activations for 1 hidden layers",
        ),
        (
            lambda: Unsaved().config(),
            ConfigError,
            r"Unsaved cannot be saved.*config\(\).*nn.register",
        ),
        (
            lambda: nn.Activation(np.tanh).config(),
            ConfigError,
            "the activation tanh cannot be saved",
        ),
        (lambda: nn.Module()(X), NotImplementedError, "Module has no method forward"),
        (
            lambda: from_plain({"class": "Evil", "config": {}}),
            FormatError,
            "names the module Evil, which is not known",
        ),
        (
            lambda: from_plain({"class": "Linear", "config": {"size": 3}}),
            FormatError,
            "module Linear cannot be built",
        ),
        (
            lambda: nn.Linear(2, 1).load_arrays({"weight": np.zeros((1, 2))}),
            FormatError,
            "bias is on one side only",
        ),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_errors_name_the_layer():
    model = nn.Sequential(nn.Linear(3, 2), nn.Activation(lambda x: ops.add(x, np.ones(7))))
    with pytest.raises(ShapeError, match="add in Sequential/Activation cannot take"):
        model(tensor(X))


def test_a_module_of_ones_own_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("chainrule.nn.module.MODULES", dict(nn.MODULES))

    @nn.register
    class Twice(nn.Module):
        def __init__(self, inner):
            self.inner = inner

        def forward(self, x):
            return self.inner(self.inner(x))

        def config(self):
            return {"inner": self.inner}

    model = nn.Sequential(Twice(nn.Linear(3, 3, seed=0)))
    model.save(tmp_path / "twice.chainrule")
    np.testing.assert_array_equal(load(tmp_path / "twice.chainrule").predict(X), model.predict(X))


# The checker finds what is wrong.


class _Broken(nn.Module):
    def __init__(self, fault):
        self.fault = fault
        self.weight = nn.Parameter(np.array([0.5, -1.0, 2.0]))
        self.seen = nn.Buffer(np.zeros(3, np.float32))

    def forward(self, x):
        y = ops.mul(x, self.weight)
        if self.fault == "gradient":
            y = ops.add(y, ops.stop_gradient(ops.mul(self.weight, 1e-3)))
        if self.fault == "rows":
            y = ops.sub(y, ops.mean(y, axis=0))
        if self.fault == "dtype":
            y = ops.mul(y, np.ones(1))
        if self.fault == "eval":
            self.seen.assign(ops.add(self.seen.latest(), np.ones(3, np.float32)))
        if self.fault == "trace" and isinstance(x, Tensor) and x.value is None:
            y = ops.mul(y, 2.0)
        return y

    def config(self):
        return {"fault": self.fault}


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("gradient", "gradient of parameter weight at index"),
        ("rows", "output 0 of row 0 alone"),
        ("dtype", "float32 inputs and weights is float64"),
        ("eval", "eval mode changed seen"),
        ("trace", "output 0 of the trace"),
    ],
)
def test_check_layer_finds(fault, text):
    with pytest.raises(CheckError, match=text):
        check_layer(_Broken(fault), X)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda shape, rng: rng.normal(0, 0.1, shape), "the standard deviation is"),
        (lambda shape, rng: rng.normal(0.05, 0.0625, shape), "the mean is"),
        (lambda shape, rng: rng.normal(0, 0.0625, shape[::-1]), "another shape"),
        (
            lambda shape, rng: np.random.default_rng().normal(0, 0.0625, shape),
            "two answers for one seed",
        ),
        (lambda shape, rng: rng.normal(0, 0.0625, (128, 256)), "cannot make a vector"),
        (lambda shape, rng: rng.normal(0, 0.0625, shape), "the largest element is 0.28"),
    ],
)
def test_check_initializer_finds(wrong, text):
    with pytest.raises(CheckError, match=text):
        check_initializer(wrong, std=0.0625, limit=0.2)


def test_a_model_traces_for_every_batch():
    model = nn.mlp([3, 4, 2], batch_norm=True, seed=0).eval()
    graph = trace(model, Spec(("rows", 3), np.float32))
    for n in (1, 2, 9):
        x = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
        np.testing.assert_allclose(graph(x), model.predict(x), rtol=1e-6)
