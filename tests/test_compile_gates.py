"""What compiled recurrences keep of gates."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import Spec, grad, nn, ops, trace
from chainrule.scan import scan
from chainrule.transforms.compile.beside import Beside
from chainrule.transforms.compile.gates import gate_of, kept_of, logistic_of
from chainrule.transforms.compile.program import Program
from chainrule.transforms.reverse import reverse

RNG = np.random.default_rng(0)
EXTREME = [0.0, -0.0, 1e-40, 0.3, 2.0, 9.0, 40.0, 88.0, 104.0, 700.0, 1e4, np.inf, np.nan]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_kept_tells_the_gate_and_its_slope(dtype):
    z = np.array([*EXTREME, *(-x for x in EXTREME), *RNG.normal(size=50)], dtype)
    kept, eps, tiny = kept_of(z), np.finfo(dtype).eps, np.finfo(dtype).tiny
    for found, given in ((logistic_of(kept), z), (logistic_of(-kept), -z), (gate_of(z), z)):
        np.testing.assert_allclose(found, ops.sigmoid(given), rtol=2 * eps, atol=tiny)
        assert found.dtype == dtype
    slope = ops.sigmoid(z) * ops.sigmoid(-z)
    np.testing.assert_allclose(abs(kept) * (1 - abs(kept)), slope, rtol=4 * eps, atol=tiny)


def gated(z, x):
    """A step whose gate is kept as its sum."""
    gate = ops.sigmoid(z)
    return ops.add(ops.mul(gate, x), ops.mul(ops.sub(1.0, gate), ops.tanh(x))), z


def twice_gated(z, x):
    """The gate times itself is no slope."""
    return ops.mul(ops.mul(ops.sigmoid(z), ops.sigmoid(z)), x), z


def softly_gated(z, x):
    """The slope of this function asks for z itself."""
    return ops.mul(ops.silu(z), x), z


def mirrored(z, x):
    return ops.mul(ops.sigmoid(ops.neg(z)), ops.sigmoid(x)), z


def of_states(out):
    return out[:, :, :3]


def of_all(out):
    return out


def of_parts(out):
    """Columns of both the state and what is kept."""
    return out[:, :, 2:5]


def of_last_step(out):
    return out[-1][:, :3]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize(
    ("step", "read", "keeps"),
    [
        (gated, of_states, True), (gated, of_last_step, True), (gated, of_all, False),
        (gated, of_parts, False), (twice_gated, of_states, True),
        (softly_gated, of_states, False), (mirrored, of_states, False),
    ],
)  # fmt: skip
def test_gates_are_kept_where_nothing_else_reads_their_sums(step, read, keeps, scale, reverse):
    def one(carry, x, w):
        return step(ops.add(ops.matmul(carry[:, :3], w), x), x)

    def loss(start, x, w):
        return ops.sum(ops.square(read(scan(one, start, [x], [w], reverse=reverse))))

    given = RNG.normal(size=(2, 6)), scale * RNG.normal(size=(4, 2, 3)), RNG.normal(size=(3, 3))
    gradient = grad(loss, (0, 2))  # that of x would be computed of gates after all steps
    compiled = cr.compile(gradient, *given, plain=True)
    with np.errstate(all="ignore"):
        for found, expected in zip(compiled(*given), gradient(*given), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * scale)
    graph = trace(gradient, *[Spec(x.shape, np.float64) for x in given])
    programs = [x.program for x in Program(graph.inputs, graph.output).written.inner.values()]
    texts = "".join(c.kernel.text for p in programs for c in p.text.calls if c.kernel)
    assert (" < " in texts) == keeps


def test_what_is_observed_reads_sums_and_not_what_is_kept():
    def one(carry, x, w):
        return gated(ops.add(ops.matmul(carry[:, :3], w), x), x)

    def loss(out):
        return ops.sum(ops.square(of_states(out)))

    def f(start, x, w):
        out = scan(one, start, [x], [w])
        return *reverse([loss(out)], [np.ones(())], [w], create_graph=True), ops.sum(out[:, :, 3:])

    given = RNG.normal(size=(2, 6)), RNG.normal(size=(4, 2, 3)), RNG.normal(size=(3, 3))
    graph = trace(f, *[Spec(x.shape, np.float64) for x in given])
    gradient, observed = graph.output
    program = Program(graph.inputs, [gradient], beside=Beside((observed,), {}))
    bound = program.bind({}, plain=True)
    for x, array in zip(graph.inputs, given, strict=True):
        bound.set(program.leaves[x.birth], array)
    bound.run()
    slope = grad(lambda start, x, w: loss(scan(one, start, [x], [w])), 2)(*given)
    np.testing.assert_allclose(bound.result(0), slope, rtol=1e-10)
    start, x, w = given
    np.testing.assert_allclose(bound.result(1), np.sum(scan(one, start, [x], [w])[:, :, 3:]))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_of_layers(kind, scale):
    layer = kind(2, 3, 2, batch_first=True, bidirectional=True, returns="last", seed=0)
    layer.astype(np.float64)
    x = scale * RNG.normal(size=(4, 5, 2))
    gradient = grad(lambda x: ops.sum(ops.square(layer(x))))
    found = cr.compile(gradient, x, plain=True)(x)
    np.testing.assert_allclose(found, gradient(x).detach(), rtol=1e-9, atol=1e-12)


def test_gradients_of_gradients():
    layer = nn.LSTM(2, 3, batch_first=True, returns="last", seed=0).astype(np.float64)
    x = RNG.normal(size=(2, 4, 2))
    first = grad(lambda x: ops.sum(ops.square(layer(x))))
    second = grad(lambda x: ops.sum(ops.square(first(x))))
    found = cr.compile(second, x, plain=True)(x)
    np.testing.assert_allclose(found, second(x).detach(), rtol=1e-8, atol=1e-12)
