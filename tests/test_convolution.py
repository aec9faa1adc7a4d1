"""Convolution and pooling: PyTorch's numbers, gradients over a grid, faults, a net that learns."""

from itertools import product

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, ops, optim, train, vjp
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import value_of
from chainrule.testing import check_op

RNG = np.random.default_rng(0)
GRID = list(product((1, 2), (1, 2, 3), (0, 1, 2), (1, 2), (1, 2)))  # axes, stride, padding, ...


def drawn(axes, groups):
    x = RNG.normal(size=(2, 4, *[8, 7][:axes]))
    return x, RNG.normal(size=(6, 4 // groups, *[3, 2][:axes]))


def naive(x, w, stride, padding, dilation, groups):
    """Convolution by the formula, place by place."""
    axes = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *[(padding, padding)] * axes])
    counts = [
        (n - dilation * (k - 1) - 1) // stride + 1
        for n, k in zip(x.shape[2:], w.shape[2:], strict=True)
    ]
    y = np.zeros((len(x), len(w), *counts))
    for n, o in np.ndindex(len(x), len(w)):
        first = o // (len(w) // groups) * w.shape[1]
        for place in np.ndindex(*counts):
            for c, *k in np.ndindex(*w.shape[1:]):
                at = [stride * p + dilation * i for p, i in zip(place, k, strict=True)]
                y[(n, o, *place)] += w[(o, c, *k)] * x[(n, first + c, *at)]
    return y


@pytest.mark.parametrize(("axes", "stride", "padding", "dilation", "groups"), GRID)
def test_conv_over_a_grid(axes, stride, padding, dilation, groups):
    x, w = drawn(axes, groups)
    settings = (stride, padding, dilation, groups)
    np.testing.assert_allclose(ops.conv(x, w, *settings), naive(x, w, *settings), atol=1e-12)
    assert check_op(lambda x, w: ops.conv(x, w, *settings), x, w, rows=(0,), second=False) < 1e-6


def test_conv_is_twice_differentiable():
    x, w = drawn(2, 2)
    assert check_op(lambda x, w: ops.tanh(ops.conv(x, w, 2, 1, 1, 2)), x, w) < 1e-6


@pytest.mark.parametrize("padding", [(1, 0), ((1, 0), (0, 2))])
def test_padding_per_axis_and_per_side(padding):
    x, w = drawn(2, 1)
    pairs = [(p, p) if isinstance(p, int) else p for p in padding]
    padded = np.pad(x, [(0, 0), (0, 0), *pairs])
    expected = ops.conv(padded, w)
    np.testing.assert_allclose(ops.conv(x, w, padding=padding), expected, atol=1e-12)


def test_one_row_of_no_rows_and_one_place():
    w = RNG.normal(size=(3, 4, 2))
    assert ops.conv(np.zeros((0, 4, 5)), w).shape == (0, 3, 4)
    assert ops.conv(np.ones((1, 4, 2)), w).shape == (1, 3, 1)
    assert ops.window_max(np.zeros((0, 3)), (2,)).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.conv(np.zeros((1, 2, 3)), np.zeros((1, 2, 4))), "larger than the input"),
        (lambda: ops.conv(np.zeros((1, 3, 3)), np.zeros((1, 2, 1))), "3 / 1 channels"),
        (lambda: ops.conv(np.zeros((1, 4, 3)), np.zeros((3, 2, 1)), groups=2), "in 2 groups"),
        (lambda: ops.conv(np.zeros((1, 2, 3)), np.zeros((1, 2, 1)), stride=0), "stride=0"),
        (lambda: ops.conv(np.zeros((1, 2, 3)), np.zeros((1, 2, 1)), padding=-1), "padding=-1"),
        (lambda: ops.conv(np.zeros((1, 2, 3)), np.zeros((1, 2, 1, 1))), "3 axes each"),
        (lambda: ops.windows(np.zeros(3), (4,)), "do not fit"),
        (lambda: ops.windows(np.zeros(3), (2, 2)), "do not fit"),
        (lambda: nn.Conv2d(3, 4, 3)(np.zeros((1, 2, 5, 5))), r"expected \(rows, 3, height, width"),
        (lambda: nn.Conv1d(3, 4, 3)(np.zeros((1, 3, 2))), "larger than the input"),
        (lambda: nn.MaxPool2d(3)(np.zeros((1, 1, 2, 2))), "larger than the input"),
        (lambda: nn.MaxPool2d(2)(np.zeros((2, 2))), r"expected \(rows, channels, height, width"),
        (lambda: nn.MaxPool1d(2, padding=2), "half a window"),
        (lambda: nn.AdaptiveAvgPool1d(0), "output_size"),
        (lambda: nn.Conv1d(1, 1, 3, padding=5, padding_mode="reflect")(np.zeros((1, 1, 4))),
         "too large to reflect"),
        (lambda: nn.Flatten(3)(np.zeros((2, 2))), "without these axes"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(call, message):
    with pytest.raises(ShapeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Conv1d(3, 4, 3, groups=2), "multiples of the number of groups"),
        (
            lambda: nn.Flatten(end_dim=None),
            r"Flatten\(end_dim=None\): expected the number of an axis",
        ),
        (lambda: nn.Flatten(0.5), r"Flatten\(start_dim=0.5\)"),
        (lambda: nn.Conv1d(2, 4, 3, padding="same", stride=2), "stride=1"),
        (lambda: nn.Conv1d(2, 4, 3, padding_mode="mirror"), "one of zeros, reflect"),
        (lambda: nn.Conv1d(0, 4, 3), "in_channels=0"),
        (lambda: nn.GroupNorm(2, 3), "equal groups"),
    ],
)
def test_settings_that_do_not_fit(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_one_signal_without_rows():
    layer, x = nn.Conv1d(4, 2, 3, seed=0), RNG.normal(size=(4, 6))
    np.testing.assert_array_equal(value_of(layer(x)), value_of(layer(x[None]))[0])


def test_the_first_of_equal_elements_gets_the_gradient():
    x = np.zeros((1, 1, 3, 3))
    g = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)
    found = vjp(lambda x: ops.window_max(x, (2, 2)), x)[1](g)[0]
    np.testing.assert_array_equal(value_of(found)[0, 0], [[1, 2, 0], [3, 4, 0], [0, 0, 0]])


# PyTorch's numbers.

LAYERS = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1}, 1),
    ("Conv1d", (4, 6, 3), {"padding": "same", "dilation": 2, "groups": 2, "bias": False}, 1),
    ("Conv1d", (4, 2, 4), {"padding": "same"}, 1),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0)}, 2),
    *[("Conv2d", (4, 2, 3), {"padding": (1, 2), "padding_mode": mode}, 2)
      for mode in ("reflect", "replicate", "circular")],
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, 1),
    ("MaxPool1d", (2,), {"dilation": 3}, 1),
    ("MaxPool2d", (3, 2), {"ceil_mode": True, "padding": 1}, 2),
    ("AvgPool1d", (3, 2, 1), {"ceil_mode": True}, 1),
    ("AvgPool2d", ((3, 2), (2, 2)), {"ceil_mode": True}, 2),
    ("AvgPool2d", (3, 2, 1), {"count_include_pad": False}, 2),
    ("AdaptiveAvgPool1d", (3,), {}, 1),
    ("AdaptiveAvgPool2d", ((3, None),), {}, 2),
    ("AdaptiveMaxPool1d", (3,), {}, 1),
    ("AdaptiveMaxPool2d", (1,), {}, 2),
    ("GroupNorm", (2, 4), {}, 2),
    ("BatchNorm2d", (4,), {}, 2),
    ("Flatten", (), {}, 2),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("name", "arguments", "settings", "axes"), LAYERS)
def test_weights_of_pytorch_give_the_same(name, arguments, settings, axes):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, name)(*arguments, **settings)
    if name in ("AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "MaxPool1d", "MaxPool2d"):
        theirs.return_indices = False
    ours = getattr(nn, name)(*arguments, **settings)
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    x = RNG.normal(size=(3, 4, *[9, 7][:axes])).astype(np.float32)
    given = torch.tensor(x, requires_grad=True)
    expected = theirs(given)
    np.testing.assert_allclose(value_of(ours(x)), expected.detach().numpy(), atol=1e-6)
    weight = RNG.normal(size=expected.shape).astype(np.float32)
    expected.backward(torch.tensor(weight))
    found = value_of(vjp(ours, x)[1](weight)[0])
    np.testing.assert_allclose(found, given.grad.numpy(), rtol=1e-5, atol=1e-5)


# A net that learns, by every way to run its steps.


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 2), nn.Activation("tanh"), nn.AvgPool2d(2, 1), nn.Flatten(),
        nn.Linear(16, 2), seed=0,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_compiled_steps_of_a_convolutional_net(how):
    if how == "numba":
        pytest.importorskip("numba")
    x = np.random.default_rng(0).normal(size=(40, 1, 8, 8)).astype(np.float32)
    y = (x[:, 0, :4].mean((1, 2)) > x[:, 0, 4:].mean((1, 2))).astype(np.int64)
    histories = []
    for compile_ in (how, False):
        model = lenet()
        history = train(model, losses.cross_entropy, x, y, epochs=30, batch_size=16, seed=0,
                        optimizer=optim.Adam(0.02), compile=compile_)  # fmt: skip
        histories.append([row["loss"] for row in history])
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-4, atol=1e-5)
    assert histories[0][-1] < 0.5 * histories[0][0]


@pytest.mark.parametrize("size", [2, 6], ids=["written out", "in loops"])
def test_windows_of_few_and_of_many_elements_are_compiled(size):
    def gradient(x):
        return cr.grad(lambda z: ops.sum(nn.MaxPool2d(size)(z) ** 2))(x)

    x = RNG.integers(0, 5, (3, 2, 13, 13)).astype(np.float64)
    np.testing.assert_allclose(cr.compile(gradient, x, plain=True)(x), gradient(x))


def test_a_row_goes_through_all_calls_before_the_next():
    net = nn.Sequential(nn.Conv2d(2, 3, 3, seed=0), nn.MaxPool2d(2)).eval()
    program = cr.compile(net, cr.Spec(("rows", 2, 8, 8), np.float32), plain=True)
    start = program.source.index("for one in range(rows_first, rows_last):")
    rest = program.source[start:]
    assert rest.count("for one in") == 1
    assert [rest.count(call) for call in ("windows_product(", "loop_")] == [1, 1]
    x = RNG.normal(size=(5, 2, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(program(x), net(x).value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, (1, 1), "1"])
@pytest.mark.parametrize("setting", ["stride", "dilation", "groups", "padding"])
def test_settings_of_convolution_are_whole_numbers(setting, wrong):
    if (setting, wrong) == ("padding", 0):
        wrong = -1
    with pytest.raises(ShapeError, match=f"{setting}.*expected"):
        ops.conv(np.ones((1, 1, 4)), np.ones((1, 1, 2)), **{setting: wrong})


@pytest.mark.parametrize("setting", ["size", "stride", "dilation"])
def test_settings_of_windows_are_whole_numbers(setting):
    settings = {"size": (2,), "stride": 1, "dilation": 1} | {setting: (0,)}
    with pytest.raises(ShapeError, match=f"windows: {setting}.*at least 1"):
        ops.windows(np.ones(4), **settings)
