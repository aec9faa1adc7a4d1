"""The verbs run, reverse and forward: what they mean together, nested, and in a trace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule import (
    Spec,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    nn,
    no_grad,
    ops,
    optim,
    run,
    tensor,
    trace,
    value_and_grad,
    vjp,
)  # fmt: skip
from chainrule import functional as F  # noqa: N812 (as users write it)
from chainrule.errors import DtypeError, GraphError, ShapeError
from chainrule.graph import OPS, Tensor, scope
from chainrule.ops.kinds import Elementwise, General
from chainrule.transforms.reverse import reverse
from chainrule.transforms.run import evaluate

X = np.array([0.3, -1.2, 2.0])


def cubic(x):
    return ops.sum(x**3) + x[0] * x[1] * x[2]


def cubic_gradient(x):
    return 3 * x**2 + np.array([x[1] * x[2], x[0] * x[2], x[0] * x[1]])


def cubic_hessian(x):
    return np.diag(6 * x) + np.array([[0, x[2], x[1]], [x[2], 0, x[0]], [x[1], x[0], 0]])


# grad and value_and_grad.


def test_gradient_of_arrays_and_numbers():
    np.testing.assert_allclose(grad(cubic)(X), cubic_gradient(X))
    assert grad(lambda x: x * x)(3.0) == 6.0
    assert grad(lambda x: x * x)(3) == 6.0
    assert grad(ops.exp)(np.float32(0.0)).dtype == np.float32


def test_value_and_gradient_by_several_arguments():
    value, (by_w, by_b) = value_and_grad(lambda w, b, k: (w * k + b) ** 2, (0, 1))(1.0, 1.0, 3)
    assert (value, by_w, by_b) == (16.0, 24.0, 8.0)


def test_the_first_argument_is_meant_unless_told():
    assert value_and_grad(lambda w, x: w * x)(2.0, 3.0) == (6.0, 3.0)
    assert grad(lambda w, x: w * x)(2.0, 3.0) == 3.0


def test_gradient_by_a_dictionary_and_a_list():
    def loss(p, x):
        return ops.sum((ops.matmul(x, p["w"]) + p["b"][0]) ** 2)

    parameters = {"w": np.array([1.0, 2.0]), "b": [np.array(0.5)]}
    x = np.array([[1.0, 1.0], [0.0, 2.0]])
    g = grad(loss)(parameters, x)
    residual = x @ parameters["w"] + 0.5
    np.testing.assert_allclose(g["w"], 2 * x.T @ residual)
    assert g["b"][0] == 2 * residual.sum()


def test_keyword_arguments_are_passed_on():
    assert grad(lambda x, power: x**power)(2.0, power=3) == 12.0


def test_gradient_of_what_does_not_depend_is_zero():
    g = grad(lambda x, y: ops.sum(x), argnums=1)(X, np.ones((2, 2), np.float32))
    assert g.dtype == np.float32
    assert g.tolist() == [[0, 0], [0, 0]]
    assert grad(lambda x: ops.sum(ops.stop_gradient(x) * x))(X).tolist() == X.tolist()
    assert grad(lambda x: 1.0)(2.0) == 0.0


def test_gradients_can_be_written_to():
    for g in (grad(ops.sum)(X), grad(lambda x: 1.0)(X), jvp(ops.exp, (X,), (X,))[1]):
        g += 1


def test_arguments_are_not_written_to():
    x = X.copy()
    x.flags.writeable = False
    grad(cubic)(x)
    hessian(cubic)(x)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: grad(lambda x: x)(X), ShapeError, r"returns one number, not shape \(3,\)"),
        (lambda: grad(lambda x: (x[0], x[1]))(X), ShapeError, "not several outputs"),
        (lambda: grad(lambda x: ops.argmax(x))(X), DtypeError, "int64: argmax, comparisons"),
        (
            lambda: grad(cubic)(np.array([1, 2, 3])),
            DtypeError,
            r"not int64: pass x.astype\(float\)",
        ),
        (lambda: grad(cubic, 1)(X), GraphError, "argnums=1, but only 1 arguments"),
        (lambda: vjp(ops.exp, X)[1](np.ones(2)), ShapeError, r"\[\(2,\)\], the outputs \[\(3,\)\]"),
        (lambda: jvp(ops.exp, (X,), (np.ones(2),)), ShapeError, r"tangents have shapes \[\(2,\)\]"),
        (lambda: jacobian(ops.exp, mode="both"), ShapeError, "expected 'auto', 'forward' or"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


# vjp and jvp.


def test_pulling_and_pushing():
    y, pull = vjp(lambda a, b: (a * b, a + 1.0), X, X + 1)
    np.testing.assert_allclose(y[0], X * (X + 1))
    by_a, by_b = pull((np.ones(3), 2 * np.ones(3)))
    np.testing.assert_allclose(by_a, X + 3)
    np.testing.assert_allclose(by_b, X)
    np.testing.assert_allclose(pull((np.zeros(3), np.ones(3)))[0], 1)  # a second time
    value, tangent = jvp(lambda a, b: a * b, (X, X + 1), (np.ones(3), np.zeros(3)))
    np.testing.assert_allclose(value, X * (X + 1))
    np.testing.assert_allclose(tangent, X + 1)


def test_cotangents_take_the_dtype_of_the_output_and_may_be_tensors():
    pull = vjp(lambda x: x * 2.0, X.astype(np.float32))[1]
    assert pull(np.arange(3))[0].dtype == pull(X)[0].dtype == np.float32
    c = tensor(X, requires_grad=True)
    ops.sum(vjp(ops.exp, X)[1](c)[0]).backward()
    np.testing.assert_allclose(c.grad.numpy(), np.exp(X))


def test_tangents_are_copies():
    given = np.ones(3)
    found = jvp(lambda x: x, (X,), (given,))[1]
    found += 1
    assert given.tolist() == [1.0] * 3


def test_one_forward_pass_gives_every_output():
    tangent = jvp(lambda t: ops.stack([ops.sin(t), ops.cos(t), t**2]), (0.5,), (1.0,))[1]
    np.testing.assert_allclose(tangent, [np.cos(0.5), -np.sin(0.5), 1.0])


def test_the_tangent_of_what_does_not_depend_is_zero():
    value, tangent = jvp(lambda x: (ops.sum(x), 2.0, ops.argmax(x)), (X,), (X,))
    assert [float(t) for t in tangent] == [X.sum(), 0.0, 0.0]
    assert value[1] == 2.0


# jacobian, hessian, hvp.


def warped(x):
    return ops.stack([x[0] * x[1], ops.sin(x[2]), ops.sum(x), x[1] / x[2]])


@pytest.mark.parametrize("mode", ["forward", "reverse", "auto"])
def test_jacobian(mode):
    a, b, c = X
    expected = [[b, a, 0], [0, 0, np.cos(c)], [1, 1, 1], [0, 1 / c, -b / c**2]]
    np.testing.assert_allclose(jacobian(warped, mode=mode)(X), expected, atol=1e-15)


@pytest.mark.parametrize(("inputs", "outputs", "expected"), [(1, 4, 2), (4, 1, 1), (3, 3, 1)])
def test_jacobian_takes_the_fewer_passes(inputs, outputs, expected):
    """A pass forward evaluates the function, and one backward does not."""
    calls = 0

    def f(x):
        nonlocal calls
        calls += 1
        return ops.broadcast_to(ops.sum(x), (outputs,))

    assert np.array_equal(jacobian(f)(np.zeros(inputs)), np.ones((outputs, inputs)))
    assert calls == expected


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_has_the_shape_of_output_and_input(mode):
    x = np.arange(6.0).reshape(2, 3)
    result = jacobian(lambda v: ops.sum(v * v, axis=0), mode=mode)(x)
    assert result.shape == (3, 2, 3)
    np.testing.assert_allclose(result[1, :, 1], 2 * x[:, 1])
    assert result[0, 0, 1] == 0


def test_jacobian_of_softmax():
    expected = [[0.08192507, -0.02203304, -0.05989202], [-0.02203304, 0.18483645, -0.16280340],
                [-0.05989202, -0.16280340, 0.22269543]]  # fmt: skip
    np.testing.assert_allclose(jacobian(F.softmax)(np.array([1.0, 2.0, 3.0])), expected, atol=5e-9)


def test_hessian_and_its_product():
    np.testing.assert_allclose(hessian(cubic)(X), cubic_hessian(X))
    v = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(hvp(cubic, X, v), cubic_hessian(X) @ v)


@pytest.mark.parametrize(
    ("surface", "signs"),
    [(lambda x: x[0] ** 2 - x[1] ** 2, [-1, 1]), (lambda x: -(x[0] ** 2) - x[1] ** 2, [-1, -1]),
     (lambda x: x[0] ** 2 + x[1] ** 2, [1, 1])],
)  # fmt: skip
def test_eigenvalues_tell_saddle_maximum_and_minimum(surface, signs):
    assert np.sign(np.linalg.eigvalsh(hessian(surface)(np.zeros(2)))).tolist() == signs


# Nesting.


def test_derivatives_of_every_order():
    f = np.polynomial.Polynomial([1.0, -2.0, 0.5, 3.0, 1.0])

    def ours(x):
        return 1.0 - 2.0 * x + 0.5 * x**2 + 3.0 * x**3 + x**4

    for _ in range(5):
        assert ours(1.3) == pytest.approx(f(1.3), rel=1e-12, abs=1e-12)
        ours, f = grad(ours), f.deriv()


def test_perturbations_are_not_confused():
    assert grad(lambda x: x * grad(lambda y: x + y)(2.0))(1.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6.0
    inner_forward = grad(lambda x: x * jvp(lambda y: x * y, (2.0,), (1.0,))[1])
    assert inner_forward(3.0) == 6.0
    outer_forward = jvp(lambda x: x * grad(lambda y: x * y)(2.0), (3.0,), (1.0,))
    assert outer_forward[1] == 6.0
    both = jvp(lambda x: x * jvp(lambda y: x * y, (2.0,), (1.0,))[1], (3.0,), (1.0,))
    assert both[1] == 6.0
    assert grad(lambda x: grad(lambda y: x * x)(1.0) + x)(5.0) == 1.0


def test_modes_nest_in_every_order():
    v = np.array([1.0, -2.0, 0.5])

    def directional(x):
        return jvp(cubic, (x,), (v,))[1]

    expected = cubic_hessian(X) @ v
    np.testing.assert_allclose(jvp(grad(cubic), (X,), (v,))[1], expected)
    np.testing.assert_allclose(grad(directional)(X), expected)
    np.testing.assert_allclose(grad(lambda x: ops.sum(grad(cubic)(x) * v))(X), expected)
    assert jvp(directional, (X,), (v,))[1] == pytest.approx(v @ expected)


def test_the_inner_gradient_reaches_the_outer_parameter():
    """A gradient penalty: the loss holds a gradient by the input."""

    def penalty(w, x):
        return ops.sum(grad(lambda v: ops.sum(ops.tanh(w * v)))(x) ** 2)

    w, x, h = 0.7, X, 1e-6
    numeric = (penalty(w + h, x) - penalty(w - h, x)) / (2 * h)
    assert grad(penalty)(w, x) == pytest.approx(numeric, rel=1e-7)


def test_gradients_inside_of_a_graph_with_leaves():
    w = tensor(2.0, requires_grad=True)
    slope = grad(lambda x: w * x**2)(3.0)  # 6 w, a tensor
    assert isinstance(slope, Tensor)
    (slope * slope).backward()
    assert w.grad.item() == 2 * 36 * 2.0


FUNCTIONS = st.sampled_from(["exp", "sin", "tanh", "softplus", "sigmoid"])


@given(st.lists(FUNCTIONS, min_size=1, max_size=4), st.floats(-1, 1))
def test_forward_and_reverse_agree_on_compositions(names, x):
    def f(v):
        for name in names:
            v = ops.sin(getattr(ops, name)(v) + v)
        return v

    assert jvp(f, (x,), (1.0,))[1] == pytest.approx(grad(f)(x), rel=1e-12, abs=1e-14)
    second = grad(grad(f))(x)
    assert jvp(grad(f), (x,), (1.0,))[1] == pytest.approx(second, rel=1e-10, abs=1e-12)


# backward.


def test_backward_adds_to_grad_of_leaves_alone():
    w = tensor(X, requires_grad=True)
    other = tensor(X)
    middle = w * other
    ops.sum(middle).backward()
    ops.sum(w * 2.0).backward()
    np.testing.assert_allclose(w.grad.numpy(), X + 2)
    assert other.grad is None
    assert middle.grad is None
    assert not w.grad.requires_grad


def test_detach_cuts_the_graph():
    w = tensor(2.0, requires_grad=True)
    (w * w.detach()).backward()
    assert w.grad.item() == 2.0


def test_backward_takes_a_gradient_that_is_a_tensor():
    x = tensor(X, requires_grad=True)
    ops.exp(x).backward(tensor(X, requires_grad=True))
    np.testing.assert_array_equal(x.grad.numpy(), X * np.exp(X))


def test_backward_equals_grad():
    w = tensor(X, requires_grad=True)
    cubic(w).backward()
    np.testing.assert_array_equal(w.grad.numpy(), grad(cubic)(X))


def test_gradients_are_of_the_dtype_of_their_leaf():
    w = tensor(np.ones(3, np.float32), requires_grad=True)
    ops.sum(w * X).backward()
    assert w.grad.dtype == np.float32
    v = tensor(np.ones(3), requires_grad=True)
    ops.sum(ops.cast(v, dtype=np.dtype(np.float32)) * np.float32(2)).backward()
    assert v.grad.dtype == np.float64


# trace and run.


def test_a_trace_serves_every_size():
    graph = trace(lambda x: ops.mean(ops.exp(x), axis=0), Spec(("rows", 2), np.float64))
    for n in (1, 3, 10):
        x = np.random.default_rng(n).normal(size=(n, 2))
        np.testing.assert_array_equal(graph(x), np.mean(np.exp(x), axis=0))


def test_every_node_may_be_evaluated():
    graph = trace(lambda x: x * x + 1.0, Spec((), float))
    assert [float(x) for x in evaluate(graph, 3.0).values()] == [3.0, 9.0, 1.0, 10.0]


def test_a_graph_computes_in_the_dtype_that_it_was_traced_with():
    graph = trace(lambda x: x * 2.0, Spec((2,), np.float32))
    assert graph([1, 2]).dtype == graph(TWO).dtype == np.float32


def test_what_was_in_one_scope_has_its_gradient_in_one():
    def f(x):
        with scope("outer"), scope("inner"):
            y = ops.exp(ops.sin(x))
        return ops.sum(y)

    nodes = trace(grad(f), Spec((3,), float)).nodes
    found = {id(x.scope): x.scope for x in nodes if x.scope and "∂" in x.scope.path()}
    assert [x.path() for x in found.values()] == ["∂outer/∂inner"]


def test_a_trace_holds_nested_outputs():
    graph = trace(lambda x: {"twice": x * 2, "rest": [x + 1, 3.0]}, Spec((2,), np.float64))
    result = graph(np.array([1.0, 2.0]))
    assert result["twice"].tolist() == [2.0, 4.0]
    assert result["rest"][0].tolist() == [2.0, 3.0]
    assert result["rest"][1] == 3.0


def test_a_spec_may_be_an_array():
    graph = trace(lambda x, y: ops.matmul(x, y), np.ones((2, 3)), tensor(np.ones((3, 1))))
    assert graph.output.shape == (2, 1)


def test_gradients_trace_with_a_named_dimension():
    def loss(w, x):
        return ops.mean((ops.matmul(x, w) - 1.0) ** 2)

    graph = trace(value_and_grad(loss), Spec((3,), np.float64), Spec(("rows", 3), np.float64))
    rng = np.random.default_rng(0)
    for n in (1, 5):
        w, x = rng.normal(size=3), rng.normal(size=(n, 3))
        value, g = graph(w, x)
        expected = value_and_grad(loss)(w, x)
        np.testing.assert_allclose(value, expected[0], rtol=1e-14)
        np.testing.assert_allclose(g, expected[1], rtol=1e-13)
    assert all(node.value is None or node.size <= 1 for node in graph.nodes)  # no baked-in batch


def test_gradients_by_a_named_input_trace():
    graph = trace(grad(lambda x: ops.sum(ops.tanh(x))), Spec(("rows", 2), np.float64))
    x = np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_allclose(graph(x), 1 - np.tanh(x) ** 2)
    zero = trace(
        grad(lambda x, y: ops.sum(y), 0), Spec(("rows", 2), np.float64), Spec((3,), np.float64)
    )
    assert zero(x, np.ones(3)).tolist() == np.zeros((4, 2)).tolist()


def test_forward_mode_traces_with_a_named_dimension():
    def f(x, t):
        return jvp(lambda v: (ops.tanh(v), 1.0), (x,), (t,))[1][0]

    spec = Spec(("rows", 2), np.float64)
    x = np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_allclose(trace(f, spec, spec)(x, x + 1), (1 - np.tanh(x) ** 2) * (x + 1))

    def by_weight(w, x):
        return jvp(lambda v: x + v * 2.0, (w,), (np.array([1.0, 10.0]),))[1]

    expected = np.tile([2.0, 20.0], (4, 1))
    np.testing.assert_allclose(trace(by_weight, Spec((2,), float), spec)(x[0], x), expected)


def test_a_trace_prints_as_a_list_of_nodes():
    text = str(trace(lambda x: ops.sum(x * 2.0, axis=1), Spec(("rows", 3), np.float32)))
    assert text.splitlines() == [
        "0 input: float32[rows, 3]",
        "1 constant 2.0: float64[]",
        "2 mul(0, 1): float32[rows, 3]",
        "3 sum(2): float32[rows]  axis=(1,) keepdims=False",
    ]
    assert str(trace(lambda n: n * TWO, Spec((), float))).splitlines() == [
        "0 input: float64[]",
        "1 constant: float64[2]",
        "2 mul(0, 1): float64[2]",
    ]


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ((np.ones((2, 3)),), "takes 2 arrays, 1 were given"),
        ((np.ones(3), np.ones(2)), r"input 0 has shape \(3,\), expected \[rows, 3\]"),
        ((np.ones((2, 4)), np.ones(2)), r"input 0 has shape \(2, 4\), expected \[rows, 3\]"),
        ((np.ones((2, 3)), np.ones(5)), r"input 1 has shape \(5,\), expected \[rows\]"),
    ],
)
def test_a_graph_refuses_other_shapes(arrays, text):
    graph = trace(lambda x, y: ops.sum(x, axis=1) * y, Spec(("rows", 3)), Spec(("rows",)))
    with pytest.raises(ShapeError, match=text):
        graph(*arrays)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: ops.concat([x, x], axis=0), "cannot join along the named dimension rows"),
        (lambda x: x[1:], r"the named dimension rows cannot be cut in a trace: only x\[:\]"),
        (lambda x: ops.reshape(x, (7, -1)), "rows is not a multiple of 7"),
        (lambda x: ops.matmul(x, np.ones((4, 1))), "inner sizes 3 and 4"),
        (lambda x: x + np.ones((5, 3)), "do not broadcast"),
    ],
)
def test_a_trace_refuses_what_a_named_dimension_cannot_do(f, text):
    with pytest.raises(ShapeError, match=text):
        trace(f, Spec(("rows", 3)))


def test_running_hands_back_updates_of_buffers():
    layer = nn.BatchNorm1d(2).train()
    graph = trace(layer, Spec(("rows", 2), np.float32))
    x = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 10.0]], np.float32)
    output, updates = run(graph, x)
    assert layer.running_mean.numpy().tolist() == [0, 0]  # running changes nothing
    layer.eval().train()
    with no_grad():
        np.testing.assert_allclose(
            output, layer(x).numpy() if isinstance(layer(x), Tensor) else layer(x)
        )
    fresh = nn.BatchNorm1d(2).train()
    fresh(x)
    np.testing.assert_allclose(updates[layer.running_mean], fresh.running_mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(updates[layer.running_var], fresh.running_var.numpy(), rtol=1e-6)
    assert updates[layer.num_batches_tracked] == 1


def test_a_buffer_may_be_assigned_an_array_in_a_trace():
    buffer = tensor(X)

    def f(x):
        buffer.assign(np.zeros(3))
        return x + buffer.latest()

    output, updates = run(trace(f, Spec((3,), float)), X)
    assert output.tolist() == X.tolist()
    assert updates[buffer].tolist() == [0.0] * 3


def test_a_buffer_that_is_assigned_twice_in_a_trace():
    counter = tensor(0.0)

    def f(x):
        counter.assign(counter.latest() + 1.0)
        counter.assign(counter.latest() * 2.0)
        return x

    graph = trace(f, Spec((), float))
    assert run(graph, np.array(5.0))[1][counter] == 2.0
    assert counter.item() == 0.0


def test_a_whole_training_step_traces():
    """Forward, loss, gradients and optimizer in one graph equal the eager step."""
    rng = np.random.default_rng(0)
    w, x, y = rng.normal(size=3), rng.normal(size=(6, 3)), rng.normal(size=6)
    adam = optim.Adam(lr=0.1)
    state = adam.init(w)

    def step(w, m, v, x, y):
        g = grad(lambda w: ops.mean((ops.matmul(x, w) - y) ** 2))(w)
        new, state = adam.update(w, g, {"mean": m, "mean_square": v}, 1, adam.lr)
        return new, state["mean"], state["mean_square"]

    graph = trace(step, *[Spec((3,), float)] * 3, Spec(("rows", 3), float), Spec(("rows",), float))
    arrays = (w, state["mean"], state["mean_square"], x, y)
    for a, b in zip(graph(*arrays), step(*arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_reverse_needs_one_pass_for_many_inputs(monkeypatch):
    """C16: a pass costs about as much as the function, whatever the number of inputs."""
    calls = 0
    real = ops.exp.vjp

    def counted(*args):
        nonlocal calls
        calls += 1
        return real(*args)

    monkeypatch.setattr(ops.exp, "vjp", counted)
    grad(lambda x: ops.sum(ops.exp(x)))(np.zeros(10_000))
    assert calls == 1


# Tangents that are nothing, or of another shape or dtype than the result.

TWO = np.array([1.0, 2.0])
TANGENTS = {
    "no slope anywhere": (lambda x: ops.floor(x) * 2.0, [0.0, 0.0]),
    "no gradient asked": (ops.stop_gradient, [0.0, 0.0]),
    "a choice of constants": (lambda x: ops.where(ops.less(x, 1.5), 3.0, 4.0), [0.0, 0.0]),
    "a condition of numbers": (lambda x: ops.where(x, 3.0, 4.0), [0.0, 0.0]),
    "a part without the input": (lambda x: x + ops.exp(tensor(TWO)), [1.0, 1.0]),
    "beside a constant": (lambda x: ops.concat([x, TWO]), [1.0, 1.0, 0.0, 0.0]),
    "repeated": (lambda x: ops.sum(x + np.ones((3, 2)), 0), [3.0, 3.0]),
}


@pytest.mark.parametrize("name", TANGENTS)
def test_tangents_of_every_kind(name):
    f, expected = TANGENTS[name]
    value, tangent = jvp(f, (TWO,), (np.ones(2),))
    assert np.array_equal(tangent, expected)
    assert np.shape(tangent) == np.shape(value)


def test_a_tangent_has_the_dtype_of_its_result():
    value, tangent = jvp(lambda x: ops.cast(x, dtype=np.dtype("f4")), (TWO,), (np.ones(2),))
    assert (value.dtype, tangent.dtype) == (np.float32, np.float32)
    narrow = TWO.astype(np.float32)
    value, tangent = jvp(lambda x: x + TWO, (narrow,), (narrow,))
    assert (value.dtype, tangent.dtype) == (np.float64, np.float64)


def test_infinite_slopes_are_results_without_a_warning():
    assert jvp(ops.sqrt, (0.0,), (1.0,))[1] == np.inf
    assert grad(ops.sqrt)(0.0) == np.inf


def test_a_tangent_passes_by_tensors_that_it_does_not_move():
    w = tensor(TWO, requires_grad=True)
    tangent = jvp(lambda x: x * ops.exp(w), (TWO,), (np.ones(2),))[1]
    assert isinstance(tangent, Tensor)
    np.testing.assert_array_equal(tangent.detach().numpy(), np.exp(TWO))


@pytest.mark.parametrize("x", [1.5, -0.5])
def test_slopes_of_steps_in_a_trace(x):
    def along(x):
        return jvp(lambda v: ops.floor(v) * v, (x,), (1.0,))[1]

    assert trace(grad(ops.floor), Spec((), float))(x) == 0
    assert trace(along, Spec((), float))(x) == np.floor(x)


def test_a_step_may_be_asked_for_its_own_gradient():
    def slopes(x):
        step = ops.floor(x)
        return reverse([step * x], [np.ones(())], [step, x])

    assert trace(slopes, Spec((), float))(2.5) == [2.5, 2.0]


def test_a_leaf_that_only_conditions_gets_no_gradient():
    condition, x = (tensor(TWO - 1, requires_grad=True) for _ in range(2))
    ops.sum(ops.where(condition, x, 0.0)).backward()
    assert condition.grad is None
    assert x.grad.numpy().tolist() == [0.0, 1.0]


# Rules that give less than they might.


def test_an_input_without_a_partial_is_held_fixed():
    scaled = Elementwise("scaled", np.multiply, [None, lambda out, a, x: a])
    OPS.pop("scaled")
    assert grad(lambda x: ops.sum(scaled(x, x)))(X).tolist() == X.tolist()
    assert jvp(lambda x: scaled(x, x), (X,), (np.ones(3),))[1].tolist() == X.tolist()


@pytest.mark.parametrize(
    "given", [2.0, np.float64(2.0), np.array(2.0), np.full(3, 2.0), np.full((2, 1), 2.0)], ids=repr
)
@pytest.mark.parametrize("shape", [(2, 3), ()], ids=str)
def test_a_rule_may_give_one_number_for_many(given, shape):
    if np.ndim(given) > len(shape):
        pytest.skip("a number has no rows")
    total = General("total", np.sum, lambda x: ((), x.dtype), lambda g, out, x: [given], None)
    OPS.pop("total")
    gradient = grad(lambda x: total(x))(np.ones(shape))
    assert np.array_equal(gradient, np.full(shape, 2.0))
    assert gradient.dtype == np.float64


def test_jacobians_without_inputs_or_outputs():
    assert jacobian(lambda x: x[:0])(np.ones(3, np.float32)).shape == (0, 3)
    assert hessian(lambda x: ops.sum(x * x))(np.ones(0)).shape == (0, 0)
    with pytest.raises(ShapeError, match="stack: needs at least one tensor"):
        ops.stack([])
