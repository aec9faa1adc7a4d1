"""Every op by the table; reductions, indexing and shapes against NumPy; the checker itself."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tables
from accuracy import DIGITS, exactly, worst_ulp
from chainrule import grad, no_grad, ops, tensor
from chainrule.dims import Dim
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import OPS, Tensor, constant, value_of
from chainrule.ops import helpers
from chainrule.ops.kinds import Elementwise, General, Multilinear
from chainrule.ops.source import Call, helper_name, source_of
from chainrule.testing import CheckError, check_gradient, check_op


def call(row):
    return lambda *inputs: OPS[row.name](*inputs, **row.attrs)


@pytest.mark.parametrize("row", tables.OP_ROWS, ids=str)
def test_op(row):
    assert check_op(call(row), *row.inputs, rows=row.rows) < 1e-6


@pytest.mark.parametrize("row", [row for row in tables.OP_ROWS if row.values], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_at_extremes(row, dtype):
    """Without warnings, which are errors here; also in float32 where the number exists there."""
    for inputs, expected in row.values:
        arrays, exact = [np.asarray(x) for x in inputs], np.asarray(expected, float)
        known = np.concatenate([np.ravel(x).astype(float) for x in (*arrays, exact)])
        if np.abs(known[np.isfinite(known)]).max(initial=0) > np.finfo(dtype).max:
            continue
        arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays]
        rounded = exact.astype(dtype)
        with np.errstate(over="ignore" if row.name == "add" else "raise"):
            result = call(row)(*arrays)
        np.testing.assert_allclose(
            np.asarray(result, float), rounded.astype(float), rtol=4 * np.finfo(dtype).eps
        )


# Accuracy, in units in the last place, over the whole range.


def points(low, high, n):
    rng = np.random.default_rng(0)
    spread = rng.uniform(low, high, n)
    near = rng.choice([-1, 1], n // 3) * 10.0 ** rng.uniform(-12, 1, n // 3)
    return np.concatenate([spread, near[(near > low) & (near < high)]])


ACCURACY = {  # function, exact, range, units in the last place
    "exp": (ops.exp, mpmath.exp, (-745, 709), 1),
    "expm1": (ops.expm1, mpmath.expm1, (-50, 709), 1),
    "log": (lambda x: ops.log(np.abs(x)), lambda x: mpmath.log(abs(x)), (-1e4, 1e4), 1),
    "log1p": (ops.log1p, mpmath.log1p, (-0.999, 50), 1),
    "tanh": (ops.tanh, mpmath.tanh, (-22, 22), 2),
    "sigmoid": (ops.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), (-750, 50), 2),
    "softplus": (ops.softplus, lambda x: mpmath.log1p(mpmath.exp(x)), (-750, 750), 2),
    "silu": (ops.silu, lambda x: x / (1 + mpmath.exp(-x)), (-750, 750), 2),
    "ndtr": (ops.ndtr, lambda x: mpmath.ncdf(x), (-37, 9), 16),
}


@pytest.mark.parametrize("n", [60, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy(name, n):
    function, exact, (low, high), allowed = ACCURACY[name]
    x = points(low, high, n)
    with DIGITS:
        assert worst_ulp(function(x), exactly(exact, x)) <= allowed


# Non-differentiable points (design.md, section 5).


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [
        (ops.abs, 0.0, 0.0),
        (lambda x: ops.maximum(0.0, x), 0.0, 0.0),
        (ops.norm, np.zeros(3), np.zeros(3)),
        (lambda x: ops.pow(x, 0.0), 0.0, 0.0),
        (lambda x: ops.pow(x, 2.0), 0.0, 0.0),
        (lambda x: ops.pow(x, x * 0.0 + 1.0), 0.0, 1.0),
        (lambda x: ops.clip(x, -1.0, 1.0), 1.0, 1.0),
        (lambda x: ops.sum(ops.clip(x, -1.0, 1.0)), np.array([-1.0, 2.0]), np.array([1.0, 0.0])),
    ],
)
def test_slope_at_a_kink(f, at, slope):
    np.testing.assert_array_equal(grad(f)(at), slope)


def test_slope_of_the_square_root_at_zero_is_infinite():
    with np.errstate(divide="ignore"):
        assert grad(ops.sqrt)(0.0) == np.inf


@pytest.mark.parametrize("reverse", [False, True])
def test_there_is_nothing_before_the_first_of_none(reverse):
    def f(x, start):
        return OPS["shift"](x, start, reverse=reverse)

    assert check_op(f, np.zeros((0, 3)), tables.ROW) == 0
    assert grad(lambda s: ops.sum(f(np.zeros((0, 3)), s)))(tables.ROW).tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("x", "index", "axis"),
    [(tables.A, [[2, 0]], 1), (tables.ROW[None], [[2, 0], [1, 1]], -1), (tables.CUBE, [[[1]]], 1)],
)
def test_taking_along_an_axis_broadcasts_the_others(x, index, axis):
    index = np.array(index)
    expected = (
        np.take_along_axis(*np.broadcast_arrays(x, index), axis)
        if axis == 0
        else (np.take_along_axis(x, index, axis))
    )
    np.testing.assert_array_equal(ops.take_along(x, index, axis), expected)
    assert check_op(lambda v: ops.take_along(v, index, axis), x) < 1e-6


@pytest.mark.parametrize("reduce", [ops.max, ops.min])
def test_ties_go_to_the_first(reduce):
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    x = x if reduce is ops.max else -x
    first = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(grad(lambda v: ops.sum(reduce(v, axis=1)))(x), first)


def test_ties_of_two_tensors_go_to_the_first():
    a, b = grad(lambda a, b: ops.maximum(a, b), argnums=(0, 1))(2.0, 2.0)
    assert (a, b) == (1, 0)
    a, b = grad(lambda a, b: ops.minimum(a, b), argnums=(0, 1))(2.0, 2.0)
    assert (a, b) == (1, 0)


@pytest.mark.parametrize(
    "dead", [ops.log, ops.log1p, ops.sqrt, lambda x: ops.div(1.0, x), lambda x: x**-0.5]
)
def test_where_masks_the_dead_branch(dead):
    x = np.array([-1.0, 0.0, 4.0])
    with np.errstate(all="ignore"):
        g = grad(lambda v: ops.sum(ops.where(ops.less(1.0, v), dead(v), v)))(x)
    assert g[:2].tolist() == [1.0, 1.0]
    assert np.isfinite(g).all()


def test_x_log_x_at_zero_by_where():
    """The product would make 0 * inf of a masked p log p, so the mask goes around p as well."""

    def entropy(p):
        used = ops.less(0.0, p)
        return ops.sum(ops.where(used, p * ops.log(ops.where(used, p, 1.0)), 0.0))

    assert grad(entropy)(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


# Reductions, shapes and indexing against NumPy.

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def numbers(shape):
    n = int(np.prod(shape))
    return np.random.default_rng(n).permutation(np.arange(1.0, n + 1)).reshape(shape) / 7


def both(f, x):
    """Result for arrays, after seeing that tensors give the same."""
    expected = np.asarray(f(x))
    recorded = f(tensor(x, requires_grad=True))
    assert recorded.shape == expected.shape
    np.testing.assert_array_equal(recorded.detach().numpy(), expected)
    return expected


@given(SHAPES, st.data())
def test_reductions_are_those_of_numpy(shape, data):
    axes = st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda i: i % len(shape))
    axis = data.draw(st.none() | axes.map(tuple)) if shape else None
    keepdims = data.draw(st.booleans())
    x = numbers(shape)
    for ours, theirs in [
        (ops.sum, np.sum), (ops.mean, np.mean), (ops.var, np.var), (ops.max, np.max),
        (ops.min, np.min), (ops.logsumexp, _logsumexp), (ops.norm, _norm),
    ]:  # fmt: skip
        expected = theirs(x, axis=axis, keepdims=keepdims)
        result = both(lambda v, f=ours: f(v, axis, keepdims), x)
        assert result.shape == np.shape(expected), ours
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-14)


def _logsumexp(x, axis, keepdims):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def _norm(x, axis, keepdims):
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


@pytest.mark.parametrize(
    "reduce", [ops.sum, ops.mean, ops.var, ops.max, ops.min, ops.logsumexp, ops.norm]
)
def test_reductions_are_over_all_axes_and_drop_them_unless_told(reduce):
    assert np.shape(reduce(tables.A)) == reduce(tensor(tables.A)).shape == ()
    assert np.shape(reduce(tables.A, 0)) == reduce(tensor(tables.A), 0).shape == (3,)


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1), -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_gradients_of_reductions(axis, keepdims):
    for reduce in (ops.sum, ops.mean, ops.var, ops.max, ops.min, ops.logsumexp, ops.norm):
        check_op(lambda x, f=reduce: f(x, axis, keepdims), tables.A + 0.3, rows=(0,))


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_broadcasting_is_that_of_numpy(shapes):
    a, b = (numbers(s) for s in shapes.input_shapes)
    assert both(lambda v: ops.mul(v, b), a).shape == shapes.result_shape
    np.testing.assert_array_equal(both(lambda v: ops.broadcast_to(v, shapes.result_shape), a),
                                  np.broadcast_to(a, shapes.result_shape))  # fmt: skip
    g = grad(lambda v, w: ops.sum(ops.mul(v, w)), argnums=(0, 1))(a, b)
    for gradient, given_, other in zip(g, (a, b), (b, a), strict=True):
        full = np.broadcast_to(other, shapes.result_shape)
        expected = full.sum(axis=tuple(range(full.ndim - given_.ndim)))
        repeated = tuple(i for i, n in enumerate(given_.shape) if n == 1)
        expected = np.asarray(expected).sum(axis=repeated, keepdims=True)
        np.testing.assert_allclose(gradient, expected.reshape(given_.shape), rtol=1e-12)


@given(SHAPES, st.data())
def test_reshape_and_transpose_chains(shape, data):
    x = numbers(shape)
    ours, theirs = tensor(x, requires_grad=True), x
    for _ in range(3):
        order = data.draw(st.permutations(range(theirs.ndim)))
        ours, theirs = ops.transpose(ours, order), theirs.transpose(order)
        new = data.draw(st.sampled_from([(-1,), (1, -1), (*theirs.shape, 1), theirs.shape[::-1]]))
        ours, theirs = ops.reshape(ours, new), theirs.reshape(new)
    np.testing.assert_array_equal(ours.detach().numpy(), theirs)
    weights = numbers(theirs.shape)
    leaf = tensor(x, requires_grad=True)
    ops.sum(ops.mul(ops.reshape(ops.transpose(leaf), theirs.shape), weights)).backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), weights.reshape(x.shape[::-1]).T)


@st.composite
def keys(draw, shape):
    """Whatever NumPy takes between the brackets."""
    if shape and draw(st.integers(0, 5)) == 0:
        mask_ndim = draw(st.integers(1, len(shape)))
        return draw(hnp.arrays(bool, shape[:mask_ndim]))
    parts = []
    length = draw(st.one_of(st.none(), st.integers(1, 3)))
    for n in shape[: draw(st.integers(0, len(shape)))]:
        kind = draw(st.sampled_from(["slice", "slice", "number", "array", "new"]))
        if kind == "new":
            parts.append(None)
            kind = "slice"
        if kind == "slice":
            parts.append(draw(st.slices(n)))
        elif kind == "number":
            parts.append(draw(st.integers(-n, n - 1)))
        else:
            size = (
                draw(st.sampled_from([(2,), (1, 2), (2, 1), ()])) if length is None else (length,)
            )
            parts.append(draw(hnp.arrays(np.int64, size, elements=st.integers(-n, n - 1))))
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), ...)
    return tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]


@settings(max_examples=200)
@given(hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4), st.data())
def test_indexing_is_that_of_numpy(shape, data):
    key = data.draw(keys(shape))
    x = numbers(shape)
    try:
        expected = x[key]
    except IndexError:
        refused = False
        try:
            result = tensor(x)[key]
        except ShapeError:
            refused = True
        assert refused or result.size == 0  # NumPy takes any entry of nothing
        return
    leaf = tensor(x, requires_grad=True)
    result = leaf[key]
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result.detach().numpy(), expected)
    weights = numbers(expected.shape)
    ops.sum(ops.mul(result, weights)).backward()
    places = np.zeros(shape)
    np.add.at(places, key, weights)
    np.testing.assert_allclose(leaf.grad.numpy(), places, rtol=1e-12)


NUMBER, LIST, MASK = 0, [1, 0], np.array([True, False, True])


@pytest.mark.parametrize(
    "key",
    [
        (NUMBER, slice(None), LIST),
        (NUMBER, None, LIST),
        (NUMBER, ..., LIST),
        (slice(None), MASK, -1),
        (NUMBER, MASK),
        (LIST, NUMBER, LIST),
        (LIST, None, np.array([[1], [2]])),
        (MASK[:2], 0),
        (slice(None), slice(None), LIST, ..., 0),
    ],
)
def test_numbers_beside_arrays_count_as_arrays(key):
    x = numbers((2, 3, 4, 5))
    np.testing.assert_array_equal(tensor(x)[key].numpy(), x[key])


def test_slices_that_start_before_the_axis():
    x = np.arange(4.0)
    for key in (slice(-10, None, -1), slice(None, None, -1), slice(-10, 2), slice(9, None, -2)):
        np.testing.assert_array_equal(tensor(x)[key].numpy(), x[key])


@pytest.mark.parametrize(
    "shapes",
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((4, 2, 3), (3, 5)),
        ((2, 3), (4, 3, 5)),
        ((3,), (4, 3, 5)),
        ((4, 2, 3), (3,)),
    ],
)
def test_matmul_is_that_of_numpy(shapes):
    a, b = (numbers(s) for s in shapes)
    np.testing.assert_allclose(both(lambda v: ops.matmul(v, b), a), a @ b, rtol=1e-14)
    np.testing.assert_allclose((a @ tensor(b)).numpy(), a @ b, rtol=1e-14)
    check_op(ops.matmul, a, b)


def test_joining_and_picking():
    a, b = tables.A, tables.B
    for axis in (0, 1, -1, 2):
        np.testing.assert_array_equal(ops.stack([a, b], axis), np.stack([a, b], axis))
        check_op(lambda x, y, i=axis: ops.stack([x, y], i), a, b)
    check_op(lambda x, y: ops.concat([x, y, x], 1), a, b, rows=(0, 1))
    check_op(ops.sort, a, rows=(0,))
    np.testing.assert_array_equal(ops.sort(a), np.sort(a))
    check_op(ops.softmax, a, rows=(0,))
    check_op(lambda x: ops.clip(x, -1.0, 1.7), a, rows=(0,))
    check_op(ops.square, a, rows=(0,))
    check_op(lambda x: ops.cumsum(x, 0), a, rows=(0,))
    assert [
        ops.argmax(np.array([1, 3, 3])),
        ops.argmax(np.array([[1, 2], [4, 3]]), 0).tolist(),
    ] == [1, [1, 1]]


def test_reductions_of_nothing():
    empty = np.zeros((0, 2))
    assert np.isnan(ops.mean(empty))
    assert np.isnan(ops.var(np.ones(1), correction=1))
    assert ops.sum(empty) == 0
    with pytest.raises(ShapeError, match=r"max: shape \(0, 2\) has no element along axis 0"):
        ops.max(empty, axis=0)
    assert np.isnan(grad(lambda x: ops.mean(x))(np.zeros(0))).all()


def test_logsumexp_at_extremes():
    assert ops.logsumexp(np.array([1000.0, 1001.0])) == pytest.approx(1001.3132616875182, abs=1e-10)
    with np.errstate(divide="ignore"):
        assert ops.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    assert ops.logsumexp(np.array([np.inf, 0.0])) == np.inf
    assert ops.softmax(np.array([1000.0, 0.0])).tolist() == [1.0, 0.0]


def test_uniform_depends_on_key_and_position_alone():
    u = ops.uniform(7, (100_000,))
    np.testing.assert_array_equal(u[:10], ops.uniform(7, (10,)))
    assert not np.array_equal(u[:10], ops.uniform(8, (10,)))
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(u.var() - 1 / 12) < 0.002
    assert u.min() >= 0
    assert u.max() < 1
    following = ops.uniform(8, (100_000,))
    assert abs(np.corrcoef(u, following)[0, 1]) < 0.01
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.01


def test_numbers_keep_the_dtype_of_what_they_meet():
    x = tensor(np.ones(2, np.float32), requires_grad=True)
    for y in (x + 1, 2.0 * x, x / 3, 1 - x, x**2, ops.maximum(0.0, x), ops.mean(x), ops.var(x)):
        assert y.dtype == np.float32
    (x * np.float64(2.0)).sum().backward()
    assert x.grad.dtype == np.float32


def test_arrays_record_nothing():
    assert not isinstance(ops.exp(np.ones(2)), Tensor)
    assert ops.exp(1.0) == np.e
    with no_grad():
        y = ops.exp(tensor([1.0], requires_grad=True))
    assert y.op is None
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("call_it", "text"),
    [
        (
            lambda x: ops.matmul(x, np.ones((4, 2))),
            r"matmul cannot take float64\[2, 3\], float64\[4, 2\]",
        ),
        (lambda x: ops.matmul(x, 2.0), "a number is no matrix"),
        (lambda x: ops.add(x, np.ones(4)), r"add cannot take float64\[2, 3\], float64\[4\]"),
        (lambda x: ops.take_along(x, np.array([0]), 1), r"of shape \(1,\) for a tensor of shape"),
        (lambda x: ops.sum(x, axis=2), "sum: axis 2 does not exist in a tensor of 2 dimensions"),
        (lambda x: ops.reshape(x, (4, -1)), r"shape \(2, 3\) does not fit into \(4, -1\)"),
        (lambda x: ops.reshape(x, (7,)), r"shape \(2, 3\) does not fit into \(7,\)"),
        (lambda x: ops.transpose(x, (0, 0)), "no permutation of 2 axes"),
        (lambda x: ops.broadcast_to(x, (3, 3)), r"shape"),
        (lambda x: ops.concat([]), "at least one tensor"),
        (lambda x: ops.take(x, np.array([0.5])), "whole numbers, not float64"),
        (lambda x: ops.take(x, np.array([5])), "take cannot take"),
        (lambda x: x[True], "index True is no position; a mask is an array of booleans"),
        (lambda x: x[2], "index 2 is outside axis 0 of size 2"),
        (lambda x: x[0, 0, 0], "3 indices for a tensor of 2 dimensions"),
        (lambda x: x[[0, 1], [0, 3]], r"outside the axis of size 3: 0..3"),
    ],
)
def test_shape_errors_say_what_was_given(call_it, text):
    with pytest.raises(ShapeError, match=text):
        call_it(tensor(np.ones((2, 3)), requires_grad=True))


# Named dimensions.


def test_arithmetic_of_named_dimensions():
    batch, time = Dim.of("batch"), Dim.of("time")
    assert str(batch * 8) == "8*batch"
    assert (batch * time * 6) // (time * 3) == batch * 2
    assert (batch * 8) // batch == 8
    assert batch * 0 == 0
    assert batch * time == time * batch
    assert len({batch * 2, 2 * batch}) == 1
    assert (batch * time * 2).size({"batch": 3, "time": 5}) == 30
    with pytest.raises(ShapeError, match="batch is not a multiple of 2"):
        batch // 2
    with pytest.raises(ShapeError, match="batch is not a multiple of time"):
        batch // time


# The checker has to find what is wrong.


def _wrong(name, run=np.sin, partial=None, **settings):
    partial = partial or (lambda out, x: ops.cos(x))
    made = Elementwise(name, run, [partial], **settings)
    OPS.pop(name)
    return made


X = np.array([[0.3, 1.2], [-0.7, 2.0]])
WRONG = {
    "derivative wrong by a thousandth": (
        lambda: _wrong("w1", partial=lambda out, x: ops.mul(ops.cos(x), 1.001)),
        "gradient of input 0",
    ),
    "sign": (
        lambda: _wrong("w2", partial=lambda out, x: ops.neg(ops.cos(x))),
        "gradient of input 0",
    ),
    "shape rule": (
        lambda: _wrong("w3", infer=lambda x: (x.shape[:1], x.dtype)),
        r"traced has shape \(2,\), arrays give \(2, 2\)",
    ),
    "dtype rule": (
        lambda: _wrong("w4", infer=lambda x: (x.shape, np.dtype(np.float64))),
        "traced has dtype float64, arrays give float32",
    ),
    "second derivative": (
        lambda: _wrong("w5", partial=lambda out, x: np.cos(value_of(x))),
        "second derivatives of input 0",
    ),
    "writes to its input": (
        lambda: _wrong("w6", run=_sine_in_place),
        "input 0 was changed",
    ),
}  # fmt: skip


def _sine_in_place(x):
    result = np.sin(x)
    if isinstance(x, np.ndarray) and x.strides[0] < 0:
        x += 1
    return result


@pytest.mark.parametrize("what", WRONG)
def test_the_checker_finds_a_wrong(what):
    make, text = WRONG[what]
    with pytest.raises(CheckError, match=text):
        check_op(make(), X)


def test_the_checker_finds_a_wrong_transpose():
    def infer(x):
        return x.shape, x.dtype

    for factor, text in (
        (1.001, "gradient of input 0"),
        (1 + 1e-9, "forward and reverse mode differ"),
    ):
        wrong = Multilinear(
            "w7", lambda x: 2.0 * x, infer, [lambda g, x, k=factor: ops.mul(g, 2.0 * k)]
        )
        OPS.pop("w7")
        with pytest.raises(CheckError, match=text):
            check_op(wrong, X)


def test_the_checker_finds_a_wrong_tangent():
    wrong = General(
        "w10", np.sin, lambda x: (x.shape, x.dtype), lambda g, out, x: [ops.mul(g, ops.cos(x))],
        lambda tangents, out, x: ops.mul(tangents[0], ops.mul(ops.cos(x), 1.001)),
    )  # fmt: skip
    OPS.pop("w10")
    with pytest.raises(CheckError, match=r"tangent of output 0 at index \(0, 0\): 0\.0226\d+ by"):
        check_op(wrong, X)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: tensor(np.floor(value_of(x))), "given arrays the function gives a tensor"),
        (
            lambda x: ops.floor(x) if isinstance(x, Tensor) else np.ceil(x),
            r"(?s)output 0 of tensors is \[\[ 0.* arrays give \[\[ 1",
        ),
        (
            lambda x: ops.floor(x) if isinstance(x, Tensor) else np.floor(x) > 0,
            r"output 0 of tensors is float64\[2, 2\], arrays give bool\[2, 2\]",
        ),
        (
            lambda x: ops.floor(x) if value_of(x) is None or value_of(x).flags.c_contiguous else -x,
            r"output 0 of (read_only|strided) arrays is",
        ),
    ],
)
def test_the_checker_finds_functions_that_treat_arrays_otherwise(f, text):
    with pytest.raises(CheckError, match=text):
        check_op(f, X)


def test_what_the_checkers_cannot_examine_is_refused():
    with pytest.raises(ConfigError, match=r"rows=\(1,\): only arrays have rows"):
        check_op(lambda x, n: ops.mul(x, n), X, 2.0, rows=(1,))
    with pytest.raises(ConfigError, match="at least one array of floating-point numbers"):
        check_gradient(ops.neg, np.arange(3))


def test_outputs_without_a_slope_are_passed_over():
    assert check_op(lambda x: (ops.sin(x), ops.less(x, 0.0)), X) < 1e-8


def test_the_error_names_input_index_and_both_numbers():
    wrong = _wrong("w8", partial=lambda out, x: ops.mul(ops.cos(x), 1.001))
    message = r"gradient of input 1 at index \(0, 0\): 0\.51732\d+ by the rule, 0\.51681\d+ by diff"
    with pytest.raises(CheckError, match=message) as caught:
        check_gradient(lambda a, b: ops.add(a, wrong(b)), X, X)
    assert isinstance(caught.value, AssertionError)


def test_check_gradient_gives_the_error_it_saw():
    assert 0 < check_gradient(ops.exp, X) < 1e-8


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ops.broadcast_to(np.ones((2, 3)), (3,)), r"does not broadcast to \(3,\)"),
        (lambda: ops.conv(np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), padding=[(0, 1)]),
         r"padding=\[\(0, 1\)\]: expected 2 pairs"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(call, text):
    with pytest.raises(ShapeError, match=text):
        call()


# In scripts: what an op is written as.


def text_of(value):
    """Write an attribute, as `transforms/python` does."""
    if isinstance(value, tuple):
        return "(" + "".join(f"{text_of(x)}, " for x in value) + ")"
    return f"np.{value.name}" if isinstance(value, np.dtype) else repr(value)


@pytest.mark.parametrize(
    "row", [row for row in tables.OP_ROWS if row.name != "scan"], ids=str
)  # a scan is written as a loop around what its step is written as
def test_the_source_of_an_op_computes_the_same(row):
    inputs = {f"x{i}": x for i, x in enumerate(row.inputs)}
    nodes = [x if isinstance(x, Tensor) else constant(x) for x in row.inputs]
    call = Call(
        tuple(inputs), [x.shape for x in nodes], [x.dtype for x in nodes],
        [x.weak for x in nodes], row.attrs, text_of,
    )  # fmt: skip
    source = source_of(OPS[row.name])
    names = {helper_name(helper): helper for helper in source.helpers} | {"np": np}
    found = np.asarray(eval(source(call), names, inputs))
    expected = np.asarray(OPS[row.name].run(*row.inputs, **row.attrs))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "silu", "ndtr", "log_softmax"])
def test_what_scripts_get_for_long_ops_holds_far_from_zero(name):
    x = np.array([-np.inf, -1e4, -300.0, -30.0, -1.0, 0.0, 2.0, 40.0, 800.0, 1e4])
    attrs = {"axis": 0} if name == "log_softmax" else {}
    short = getattr(helpers, name)(x, **attrs)
    np.testing.assert_allclose(short, OPS[name].run(x, **attrs), rtol=1e-12, atol=1e-300)
