"""Slopes of activations: as their gradients are, and none for what mixes elements."""

import numpy as np
import pytest

from chainrule import functional, grad, nn, ops
from chainrule.slopes import calls_in, largest_slope, slopes_of, totals

X = np.linspace(-4, 4, 24).reshape(6, 4)
MIXING = ("identity", "log_softmax", "maxout", "softmax", "step")  # or without a slope, or a node


def behind_a_layer(activation):
    net = nn.Sequential(nn.Linear(4, 4, seed=0), activation).astype(float)
    net.load_state_dict(net.state_dict() | {"0.weight": np.eye(4)})
    return net


@pytest.mark.parametrize("name", [x for x in functional.ACTIVATIONS if x not in MIXING])
def test_slopes_are_the_gradient_of_each_element(name):
    net = behind_a_layer(nn.Activation(name))
    (call,) = calls_in([ops.sum(net(X))], net)
    expected = grad(lambda x: ops.sum(functional.ACTIVATIONS[name](x)))(X)
    np.testing.assert_allclose(slopes_of(call), expected, rtol=1e-12, atol=1e-15)
    total, count = totals(call)
    np.testing.assert_allclose(total, np.abs(expected).sum(0), rtol=1e-12, atol=1e-15)
    assert count == 6
    near = np.linspace(-1, 1, 2001)
    most = np.abs(grad(lambda x: ops.sum(functional.ACTIVATIONS[name](x)))(near)).max()
    assert largest_slope(call.owner, (4,)) == pytest.approx(most, rel=1e-3)


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_elements_or_has_no_slope_is_left_out(name):
    net = behind_a_layer(nn.Activation(name))
    assert [totals(call) for call in calls_in([ops.sum(net(X))], net)] in ([], [None])


def test_a_softmax_that_keeps_the_shape_is_no_activation_of_elements():
    def squash(x):
        return ops.div(ops.exp(x), ops.sum(ops.exp(x), axis=-1, keepdims=True))

    net = behind_a_layer(nn.Activation(squash))
    (call,) = calls_in([net(X)], net)
    assert slopes_of(call) is None


def test_settings_that_are_learned_count_as_they_are():
    prelu = nn.PReLU(4)
    net = behind_a_layer(prelu)
    net.load_state_dict(net.state_dict() | {"1.weight": np.array([0.0, 0.5, -3.0, 1.0])})
    (call,) = calls_in([net(X)], net)
    expected = np.where(X > 0, 1.0, [0.0, 0.5, -3.0, 1.0])
    np.testing.assert_array_equal(slopes_of(call), expected)
    assert largest_slope(prelu, (4,)) == largest_slope(prelu, (4, 7, 7)) == 3
    steep = nn.Activation("logistic", beta=8.0, trainable=["beta"])
    assert largest_slope(steep, (1,)) == 2
    assert largest_slope(steep, (3, 5, 5)) == 2


def test_a_parameter_for_each_place_of_a_row_leaves_the_largest_slope_open():
    class Scaled(nn.Activation):
        def __init__(self):
            super().__init__("tanh")
            self.scale = nn.Parameter(np.full((2, 3, 3), 0.01))

        def forward(self, x):
            return ops.tanh(ops.mul(x, self.scale))

    scaled = Scaled()
    net = nn.Sequential(nn.Conv2d(1, 2, 3, seed=0), scaled)
    (call,) = calls_in([net(np.random.default_rng(0).normal(size=(5, 1, 5, 5)))], net)
    assert (np.abs(slopes_of(call)) <= 0.011).all()
    assert largest_slope(scaled, (2, 3, 3)) == 0


def test_units_are_channels_of_images_and_a_shared_activation_has_two_names():
    relu = nn.Activation("relu")
    net = nn.Sequential(nn.Conv2d(1, 2, 3, seed=0), relu, nn.Flatten(), nn.Linear(8, 3, seed=0))
    both = nn.Sequential(net, relu)
    net.load_state_dict(net.state_dict() | {"0.bias": np.array([-100.0, 0.0])})
    first, second = calls_in([both(np.random.default_rng(0).normal(size=(5, 1, 4, 4)))], both)
    assert (first.name, second.name) == ("0.1", "0.1:2")
    total, count = totals(first)
    assert total.shape == (2,)
    assert total[0] == 0
    assert total[1] > 0
    assert count == 5 * 2 * 2
    assert totals(second)[0].shape == (3,)


def test_a_number_for_each_row_has_no_units():
    net = behind_a_layer(nn.Activation("tanh"))
    rows = net[1](ops.sum(net[0](X), axis=1))
    (call,) = calls_in([rows], net)
    assert totals(call) is None


def test_looking_for_the_largest_slope_changes_nothing():
    class Counting(nn.Activation):
        def __init__(self):
            super().__init__("tanh")
            self.calls = nn.Buffer(np.zeros(()))

        def forward(self, x):
            self.calls.assign(self.calls.latest() + 1.0)
            return super().forward(x)

    module = Counting()
    assert largest_slope(module, (3,)) == 1
    assert module.calls.value == 0
