"""The verb compile: every op, layer and loss as generated code, plain and by Numba."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule import Spec, grad, nn, no_grad, ops, trace
from chainrule.errors import GraphError, ShapeError
from chainrule.graph import OPS, constant, placeholder, tracing, value_of
from chainrule.ops.kinds import Elementwise
from chainrule.scan import scan
from chainrule.transforms.compile import Compiled
from chainrule.transforms.compile.arena import layout
from chainrule.transforms.compile.program import Program
from chainrule.transforms.compile.report import Profile, Statement
from chainrule.transforms.compile.simplify import simplify
from tables import LAYER_ROWS, LOSS_ROWS, OP_ROWS, loss_of

RNG = np.random.default_rng(0)
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}


def arrays_of(row, dtype):
    if "body" in row.attrs:  # traced for float64
        return list(row.inputs)
    return [
        x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for x in row.inputs
    ]


def with_arrays(row, inputs):
    """Give the op as a function of its arrays alone."""

    def f(*arrays):
        rest = iter(arrays)
        filled = [next(rest) if isinstance(x, np.ndarray) else x for x in inputs]
        return OPS[row.name](*filled, **row.attrs)

    return f, [x for x in inputs if isinstance(x, np.ndarray)]


def same(found, expected, tolerance):
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-300)


def compiled_and_run(functions, arrays, tolerance, plain):
    """Compile many functions of arrays of their own as one program, and compare with NumPy."""
    counts = np.cumsum([0, *[len(xs) for xs in arrays]])

    def all_of(*xs):
        return [f(*xs[a:b]) for f, a, b in zip(functions, counts[:-1], counts[1:], strict=True)]

    flat = [x for xs in arrays for x in xs]
    found = Compiled(trace(all_of, *[Spec(x.shape, x.dtype) for x in flat]), plain=plain)(*flat)
    with np.errstate(all="ignore"):
        for f, xs, y in zip(functions, arrays, found, strict=True):
            same(y, f(*xs), tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("row", OP_ROWS, ids=str)
def test_every_op_as_plain_source(row, dtype):
    f, arrays = with_arrays(row, arrays_of(row, dtype))
    compiled_and_run([f], [arrays], TOLERANCE[dtype], plain=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_op_by_numba(dtype):
    pytest.importorskip("numba")
    pairs = [with_arrays(row, arrays_of(row, dtype)) for row in OP_ROWS]
    compiled_and_run([f for f, _ in pairs], [xs for _, xs in pairs], TOLERANCE[dtype], plain=False)


def extremes(row):
    """Give an op of one or two arrays of numbers that are as far out as can be."""
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, 5e-324, -5e-324, 1e-310, 1.0])
    first = np.repeat(ends, len(ends))
    second = np.tile(ends, len(ends))
    return [first, second][: len(row.inputs)]


ELEMENTWISE = {
    row.name: row
    for row in OP_ROWS
    if OPS[row.name].kind in ("elementwise", "discrete") and not row.attrs and row.name != "where"
}


@pytest.mark.parametrize("plain", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_extreme_inputs(plain):
    if not plain:
        pytest.importorskip("numba")
    rows = [r for r in ELEMENTWISE.values() if not r.name.startswith("logical")]
    functions = [OPS[row.name] for row in rows]
    compiled_and_run(functions, [extremes(row) for row in rows], 1e-12, plain)


def test_every_op_has_a_loop():
    missing = [name for name, op in OPS.items() if not op.loops and "of_this_page" not in name]
    assert [name for name in missing if name in {row.name for row in OP_ROWS}] == []


@pytest.mark.parametrize("flags", [{}, {"transpose_a": True, "transpose_b": True}])
def test_a_product_of_two_dtypes(flags):
    a, b = np.random.default_rng(0).normal(size=(2, 3, 3))
    b = b.astype("f4")

    def loss(a, b):
        return ops.sum(ops.tanh(ops.matmul(a, b, **flags)))

    found = cr.compile(cr.grad(loss, argnums=(0, 1)), a, b, plain=True)(a, b)
    for g, expected in zip(found, cr.grad(loss, argnums=(0, 1))(a, b), strict=True):
        assert g.dtype == expected.dtype
        np.testing.assert_allclose(g, expected, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_named_dimensions_serve_every_size(rows):
    f = cr.compile(lambda x: ops.softmax(x) * ops.count(x, 0), Spec(("n", 3), float), plain=True)
    x = np.random.default_rng(0).normal(size=(rows, 3))
    same(f(x), ops.softmax(x) * rows, 1e-12)


def test_no_rows():
    f = cr.compile(lambda x: (x * 2.0, ops.sum(x, 0)), Spec(("n", 3), float), plain=True)
    double, total = f(np.zeros((0, 3)))
    assert double.shape == (0, 3)
    assert total.tolist() == [0, 0, 0]


def test_places_in_four_bytes():
    x, places = np.arange(8.0).reshape(4, 2), np.array([3, -1, 0], np.int32)
    f = cr.compile(lambda x, i: ops.take(x, i, axis=0), x, places, plain=True)
    same(f(x, places), x[places], 0)


@pytest.mark.parametrize("length", [0, 1, 4])
def test_a_recurrence_whose_step_takes_a_number(length):
    def f(start, x):
        return scan(lambda s, x, c: s * c + x, start, [x], [2.0])

    start, x = np.ones((3, 2)), np.arange(6.0 * length).reshape(length, 3, 2)
    compiled = cr.compile(f, Spec(("n", 2), float), Spec((length, "n", 2), float), plain=True)
    same(compiled(start, x), f(start, x), 1e-12)


def test_a_function_that_changes_buffers():
    net, twin = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    f = cr.compile(net, Spec(("n", 3)), plain=True)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32)
        np.testing.assert_allclose(f(x), value_of(twin(x)), rtol=1e-5)
    for name, array in twin.arrays().items():
        np.testing.assert_allclose(net.arrays()[name], array, rtol=1e-6)
    assert net.running_mean.value.any()


@pytest.fixture
def parts():
    """Give leaves of a program, and what is computed from one of them."""
    with tracing():
        a, b = placeholder((3,), float), placeholder((3,), float)
        y = a * 2.0
        return a, b, y, ops.sum(y)


def test_a_check_at_the_end_of_a_step(parts):
    a, _, y, total = parts
    program = Program([a], [y], checks=[total])
    bound, out = program.bind({}, plain=True), np.empty(3)
    bound.set(program.outputs[0], out)
    for values, end in (([1.0, 2.0, 3.0], 1), ([1.0, np.inf, 0.0], 0)):
        bound.set(program.leaves[a.birth], np.array(values))
        assert bound.run(0, 1) == end
        np.testing.assert_array_equal(out, 2 * np.array(values))


@pytest.mark.parametrize("value", [3.0, np.inf, True])
def test_a_leaf_that_becomes_a_number(parts, value):
    a, _, y, _ = parts
    with tracing():
        number = constant(np.array(value))
        leaf = placeholder((), number.dtype)
    program = Program([a], [y], {leaf: number})
    bound, memory = program.bind({}, plain=True), np.zeros((), number.dtype)
    bound.set(program.leaves[leaf.birth], memory)
    bound.set(program.leaves[a.birth], np.ones(3))
    bound.set(program.outputs[0], np.empty(3))
    bound.run()
    assert memory == value


def test_programs_that_cannot_be_are_refused(parts):
    a, b, y, _ = parts
    with pytest.raises(GraphError, match="two leaves exchange their values"):
        Program([], [], {a: b, b: a})
    with pytest.raises(GraphError, match="an output is a leaf that is updated"):
        Program([], [a], {a: y})
    with pytest.raises(GraphError, match="compiled code has no float16, which an input gives"):
        cr.compile(lambda x: x * 2.0, Spec((3,), np.float16))
    with pytest.raises(GraphError, match="compiled code has no uint8, which cast gives"):
        cr.compile(lambda x: ops.cast(x, dtype=np.dtype(np.uint8)), Spec((3,), float))
    step = scan_graph()
    with pytest.raises(GraphError, match="scan: a step for float64 got float32; trace it for that"):
        cr.compile(lambda s, x: OPS["scan"](s, x, **step), Spec(("n", 2)), Spec((4, "n", 2)))


def scan_graph():
    """Give the attributes of a scan of four steps in float64."""
    graph = trace(lambda s, x: scan(lambda s, x: s + x, s, [x]), Spec(("n", 2), float),
                  Spec((4, "n", 2), float))  # fmt: skip
    return next(x.attrs for x in graph.nodes if x.op is OPS["scan"])


def test_memory_that_does_not_fit_is_refused(parts):
    a, _, y, _ = parts
    program = Program([a], [y])
    bound = program.bind({}, plain=True)
    with pytest.raises(ShapeError, match="compiled code got float32 memory for float64"):
        bound.set(program.leaves[a.birth], np.ones(3, np.float32))
    with pytest.raises(ShapeError, match=r"compiled code got memory of \(4,\) for \[3\]"):
        bound.set(program.leaves[a.birth], np.ones(4))


def test_an_output_that_renames_axes_lies_where_it_is_told():
    graph = trace(lambda x: ops.reshape(ops.exp(x), (2, 3)), Spec((6,), float))
    program = Program(graph.inputs, [graph.output])
    bound = program.bind({}, plain=True)
    x, out = np.arange(6.0), np.zeros((2, 3))
    bound.set(program.leaves[graph.inputs[0].birth], x)
    bound.set(program.outputs[0], out)
    bound.run()
    same(out, np.exp(x).reshape(2, 3), 1e-14)


@pytest.mark.parametrize("rows", ["n", 4])
def test_a_profile_has_the_statements_of_the_plan(rows):
    weight = np.ones((3, 2))
    f = cr.compile(lambda x: ops.tanh(ops.matmul(x, weight)), Spec((rows, 3), float), plain=True)
    found = f.profile(np.ones((4, 3)), seconds=0.0)
    assert [s.what for s in found.statements] == ["matmul", "tanh"]
    assert len(found.seconds) == 2
    assert min(*found.seconds, found.peak) > 0
    assert found.total == sum(found.seconds)
    for line in str(found).splitlines()[1:3]:
        assert line.split()[1] in ("matmul", "tanh")


@pytest.mark.parametrize(
    ("seconds", "advice"),
    [
        ((0.1, 0.9), ["the optimizer takes 90%: a larger batch_size makes fewer"]),
        ((0.9, 0.1), ["the matrix products run at 56% of the peak and take most"]),
        ((6.0, 9.0), ["the optimizer takes 60%", "the matrix products are too small to fill"]),
        ((0.69, 0.31), []),
    ],
)
def test_a_profile_gives_advice_that_its_figures_show(seconds, advice):
    statements = [
        Statement("product", "matmul", "", 500.0, 0, True),
        Statement("loop_1", "Adam: mul", "", 1.0, 0, False),
    ]
    found = Profile(statements, list(seconds), 1000.0).advice()
    assert len(found) == len(advice)
    for text, start in zip(found, advice, strict=True):
        assert text.startswith(start)


@pytest.mark.slow
def test_a_program_is_ready_once_it_was_compiled(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    f = cr.compile(lambda x: ops.sin(ops.cos(ops.sin(ops.tanh(x)))) * 0.123, Spec((7,), float))
    assert not f.program.is_ready
    f(np.zeros(7))
    assert f.program.is_ready


def test_inputs_of_another_shape_are_refused():
    f = cr.compile(lambda x: x + 1.0, Spec(("n", 3), float), plain=True)
    with pytest.raises(ShapeError, match=r"input 0 has shape \(2, 4\), expected \[n, 3\]"):
        f(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match=r"input 0 has shape \(3,\)"):
        f(np.zeros(3))


@pytest.mark.parametrize("row", LOSS_ROWS, ids=lambda row: row.name)
def test_every_loss_with_its_gradient(row):
    loss, target = loss_of(row), np.asarray(row.target)
    prediction = np.asarray(row.prediction, float)
    both = cr.value_and_grad(lambda p: loss.value(p, target))
    found = cr.compile(both, Spec(prediction.shape, float), plain=True)(prediction)
    for y, e in zip(found, both(prediction), strict=True):
        np.testing.assert_allclose(y, e, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("row", LAYER_ROWS, ids=str)
def test_every_layer_when_predicting(row):
    layer = row.layer().astype(float).eval()
    found = cr.compile(layer, *row.inputs, plain=True)(*row.inputs)
    with no_grad():
        same(found, value_of(layer(*row.inputs)), 1e-12)


def test_names_of_what_is_not_computed_change_nothing(parts):
    a, b, y, _ = parts
    _, (root,) = simplify([y], [a], names={y.birth: "twice", b.birth: "other"})
    assert root.name == "twice"


def test_what_is_computed_twice_is_computed_once():
    graph = trace(lambda x: ops.exp(x) * ops.exp(x) + (x + 0.0) * 1.0, Spec(("n",), float))
    assert [str(node) for node in simplify([graph.output])[0] if node.op] == ["exp", "mul", "add"]


def test_the_source_can_be_read():
    f = cr.compile(lambda x: ops.tanh(x * 2.0) + 0.3, Spec(("n", 3), float))
    assert "tanh(" in f.source
    assert "0.3" not in f.source  # numbers and sizes are arguments, but for the commonest
    assert "float64(2.0)" in f.source


def test_an_op_without_a_formula_runs_through_numpy():
    op = Elementwise("cube_of_this_test", lambda x: x**3, [lambda out, x: 3.0 * x * x])
    try:
        f = cr.compile(lambda x: ops.exp(op(x * 2.0)) + 1.0, Spec(("n", 2), float))
        x = np.array([[0.1, -0.2], [0.3, 0.0]])
        same(f(x), np.exp((2 * x) ** 3) + 1, 1e-12)
        assert "call_python" in f.source
    finally:
        del OPS[op.name]


@pytest.mark.parametrize("plain", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_error_of_such_an_op_comes_through(plain):
    def fail(x):
        raise ZeroDivisionError("no")

    op = Elementwise("fails_in_this_test", fail, [None])
    try:
        f = cr.compile(lambda x: op(x) + 1.0, Spec((2,), float), plain=plain)
        with pytest.raises(ZeroDivisionError, match="no"):
            f(np.zeros(2))
    finally:
        del OPS[op.name]


def test_memory_is_used_again():
    chain = cr.compile(lambda x: ops.sort(ops.sort(ops.sort(ops.sort(x)))), Spec((100,), float))
    bound = chain.program.bind({}, plain=True)
    assert bound.arena_bytes <= 4 * 832


def convolved(rows=9):
    """Give the program of a step of convolution, and what it computes."""

    def step(x, w):
        return grad(lambda w: ops.sum(ops.square(ops.tanh(ops.conv(x, w, padding=1)))))(w)

    graph = trace(step, Spec((rows, 2, 8), float), Spec((3, 2, 3), float))
    return Program(graph.inputs, [graph.output]), graph.inputs, step


@pytest.mark.parametrize("threads", [1, 2])
def test_what_lives_for_a_turn_has_memory_for_one_of_each_thread(threads):
    program, (x, w), step = convolved()
    brief = [node for node in program.text.memory if node.order in program.text.brief]
    assert [node.op.name for node in brief] == ["place", "matmul"]
    bound = program.bind({}, threads=threads, plain=True)
    shapes = [bound.arrays[node.order].shape for node in brief]
    assert shapes == [(threads, 2, 10), (threads, 1, 3, 8)]
    values = np.sin(np.arange(9.0 * 16)).reshape(9, 2, 8), np.cos(np.arange(18.0)).reshape(3, 2, 3)
    for leaf, value in zip((x, w), values, strict=True):
        bound.set(program.leaves[leaf.birth], value)
    bound.run()
    same(bound.result(0), step(*values), 1e-12)


def test_products_read_windows_where_they_lie():
    program, _, _ = convolved()
    assert "windows" not in [call.node.op.name for call in program.text.calls]

    def f(x, w):  # windows that something else reads as well are cut out
        return ops.conv(x, w), ops.cumsum(ops.windows(x, (3,)))

    x, w = np.sin(np.arange(80.0)).reshape(5, 2, 8), np.cos(np.arange(18.0)).reshape(3, 2, 3)
    compiled = cr.compile(f, x, w, plain=True)
    for found, expected in zip(compiled(x, w), f(x, w), strict=True):
        same(found, expected, 1e-12)
    names = [call.node.op.name for call in compiled.program.text.calls]
    assert sorted(names) == ["cumsum", "matmul", "windows"]


@pytest.mark.parametrize(
    ("f", "names"),
    [
        # Columns of an input, and of a result that lies in memory.
        (lambda x, w: ops.matmul(ops.reshape(x[:, :, 1:5], (12, 4)), ops.cumsum(w)[:, 2:5],
                                 transpose_a=True), ["cumsum", "matmul"]),
        # Rows, every second column, and columns of what would not be kept, are cut out.
        (lambda x, w: ops.matmul(w[3:7], ops.exp(x)[0][:, 1:]), ["slice", "slice", "matmul"]),
        (lambda x, w: ops.matmul(w[:4, :4], ops.transpose(x[1])[::2], transpose_b=True),
         ["slice", "slice", "matmul"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("plain", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_products_read_columns_where_they_lie(plain, f, names):
    x, w = np.sin(np.arange(72.0)).reshape(3, 4, 6), np.cos(np.arange(60.0)).reshape(12, 5)
    x, w = (x[:, :, :4], w[:, :4]) if "cumsum" not in names else (x, w)
    program = cr.compile(f, x, w, plain=plain)
    same(program(x, w), f(x, w), 1e-13)
    assert [call.node.op.name for call in program.program.text.calls] == names


def halves(x, first, second):
    """Give the sum of two parts, each placed among zeros."""
    left, right = (ops.place(ops.tanh(x), slices=((None, None, 1), cut), shape=(4, 6))
                   for cut in (first, second))  # fmt: skip
    return left + right


@pytest.mark.parametrize(
    ("cuts", "covers"),
    [
        (((0, 3, 1), (3, 6, 1)), True),
        (((3, 6, 1), (0, 3, 1)), True),
        (((None, 3, 1), (3, None, 1)), True),
        (((0, 3, 1), (0, 3, 1)), False),
        (((0, 3, 1), (2, 5, 1)), False),
        (((1, 4, 1), (3, 6, 1)), False),
        (((0, 6, 2), (1, 6, 2)), False),
    ],
)
def test_parts_that_cover_a_result_are_written_and_not_added(cuts, covers):
    x = np.arange(12.0).reshape(4, 3) / 7
    f = cr.compile(lambda x: halves(x, *cuts), Spec((4, 3), float), plain=True)
    same(f(x), halves(x, *cuts), 1e-15)
    assert ("plus(" not in f.source) == covers
    assert f.source.count("def loop_") == (1 if covers else 2)


def test_parts_of_one_shape_share_a_loop_unless_one_waits_for_the_other():
    def f(x, chained):
        gate = ops.sigmoid(x)
        return ops.concat([gate, ops.tanh(gate if chained else x)], axis=1)

    for chained, loops in ((False, 1), (True, 2)):
        program = cr.compile(lambda x, c=chained: f(x, c), Spec((4, 3), float), plain=True)
        assert program.source.count("def loop_") == loops
        x = np.arange(12.0).reshape(4, 3) / 7
        same(program(x), f(x, chained), 1e-15)


def test_zeros_that_are_moved_about_are_not_added():
    for number, adds in ((0.0, False), (1.0, True)):
        graph = trace(
            lambda x, n=number: x + ops.broadcast_to(np.full((), n), x.shape), Spec(("n", 3), float)
        )
        assert ("add" in map(str, simplify([graph.output])[0])) == adds


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(1, 500)), max_size=12))
def test_pieces_alive_together_do_not_overlap(drawn):
    pieces = {i: ((first, first + more), size) for i, (first, more, size) in enumerate(drawn)}
    offsets, total = layout(pieces)
    for i, (a, n) in pieces.items():
        assert offsets[i] % 64 == 0
        assert offsets[i] + n <= total
        for j, (b, m) in pieces.items():
            if i < j and a[0] <= b[1] and b[0] <= a[1]:
                assert offsets[i] + n <= offsets[j] or offsets[j] + m <= offsets[i]


def halved(step, keepdims=True):
    """Sum up the results of a recurrence over steps and rows."""

    def f(x):
        carries = scan(step, np.zeros(x.shape[1:]), [x])
        return ops.sum(ops.square(carries), (0, 1), keepdims=keepdims)

    return f


def given_carry(step):
    return lambda c, x, k: scan(step, c, [x], [k])


CARRY = [RNG.normal(size=s) for s in ((3, 2), (4, 3, 2), (2, 2))]
CORNERS = {
    "log_softmax of infinities": (
        lambda x: ops.log_softmax(x, 1),
        [np.array([[np.inf, np.inf, 0.0], [np.inf, 1.0, 0.0], [-np.inf, -np.inf, 0.0]])],
    ),
    "mean of truth values": (ops.mean, [np.ones((300, 2), bool)]),
    "var with a large correction": (lambda x: ops.var(x, 0, correction=2), [np.ones((1, 2))]),
    "cumsum of truth values": (lambda x: ops.cumsum(x, 0), [np.ones((4, 2), bool)]),
    "product of whole numbers": (
        lambda x: ops.matmul(x, x, transpose_b=True), [np.arange(6).reshape(2, 3)],
    ),
    "product of truth values": (
        lambda x: ops.matmul(x, x, transpose_a=True), [RNG.normal(size=(4, 3)) > 0],
    ),
    "sum over one row": (halved(lambda c, x: c * 0.5 + x), [RNG.normal(size=(3, 1, 2))]),
    "sum over one step": (halved(lambda c, x: c * 0.5 + x), [RNG.normal(size=(1, 3, 2))]),
    "a step gives its carry": (given_carry(lambda c, x, k: c), CARRY),
    "a step adds nothing": (given_carry(lambda c, x, k: c + 0.0), CARRY),
    "a step gives what it reads": (given_carry(lambda c, x, k: x), CARRY),
    "a step gives what it chooses": (given_carry(lambda c, x, k: ops.where(True, c, x)), CARRY),
}  # fmt: skip


def as_by_numpy(f, arrays, named):
    specs = [Spec(x.shape, x.dtype) for x in arrays]
    if named:
        specs[0] = Spec(("n", *arrays[0].shape[1:]), arrays[0].dtype)
    with np.errstate(all="ignore"):
        same(cr.compile(f, *specs, plain=True)(*arrays), f(*arrays), 1e-12)


@pytest.mark.parametrize("name", CORNERS)
def test_corners_are_computed_as_by_numpy(name):
    f, arrays = CORNERS[name]
    as_by_numpy(f, arrays, named=arrays[0].ndim == 2 and len(arrays) == 1)


@pytest.mark.parametrize("name", [name for name in CORNERS if "sum over" in name or "step" in name])
def test_gradients_of_corners(name):
    f, arrays = CORNERS[name]
    as_by_numpy(grad(lambda *xs: ops.sum(ops.square(f(*xs)))), arrays, named=False)


def test_small_whole_numbers_are_counted_without_an_overflow():
    x = np.arange(600).reshape(300, 2) % 100
    for dtype in (np.int8, np.uint8, bool):
        y = x.astype(dtype)
        same(trace(ops.mean, Spec(("n", 2), dtype))(y), np.mean(y), 1e-12)


def test_whole_numbers_are_multiplied_in_machine_code():
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    f = cr.compile(lambda x: ops.matmul(x, x, transpose_b=True) + 1, Spec(("n", 3), np.int32))
    np.testing.assert_array_equal(f(x), x @ x.T + 1)
    assert "matmul" in f.plan(n=2).splitlines()[-1]


@pytest.mark.parametrize("plain", [True, False])
def test_bytes_in_another_order(plain):
    x, w = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    for spec in (Spec(("n", 3), ">f8"), x.astype(">f8")):
        f = cr.compile(lambda x: x * w.astype(">f8"), spec, plain=plain)
        for array in (x, x.astype(">f8"), x.astype(">f4")):
            found = f(array)
            np.testing.assert_array_equal(found, x * w)
            assert found.dtype.isnative
