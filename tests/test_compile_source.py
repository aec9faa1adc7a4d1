"""Whole programs as text: the source, the plan, the table and the memory of small graphs.

Each is in a file of `tests/golden`, and is run as it stands and compared with eager numbers. So a
change of what is generated shows as a difference that a person can read.
"""

import numpy as np
import pytest

import chainrule as cr
from chainrule import Callback, Spec, nn, ops, optim, penalties, trace, train
from chainrule.errors import ShapeError
from chainrule.graph import OPS, placeholder, tracing, value_of
from chainrule.ops.kinds import Elementwise
from chainrule.scan import scan
from chainrule.transforms.compile import Compiled
from chainrule.transforms.compile.calls import Foreign, Inner, Partial, Places, Products
from chainrule.transforms.compile.program import Program
from chainrule.transforms.compile.report import plan
from chainrule.tree import flatten
from golden import golden


def told(program, bound):
    """Say all that a program is: source, plan, what its table holds, where its memory lies."""

    def of_table(n, value):
        if isinstance(n, Places) and n.what in ("rows", "columns"):
            (found,) = (x for x in bound._kept if hasattr(x, "ctypes") and x.ctypes.data == value)
            return f"{n.what}[{','.join(map(str, found))}]"
        return (
            type(n).__name__ if isinstance(n, Foreign | Inner | Partial | Products) else str(value)
        )

    text = program.text
    lines = [text.source.rstrip(), "", plan(bound), "", f"numbers: {text.numbers}"]
    for what, first in (("sizes", 0), ("sizes of a short step", len(text.sizes))):
        values = [
            of_table(n, value)
            for n, value in zip(text.sizes, bound.table[bound._first + first :], strict=False)
        ]
        lines.append(f"{what}: {' '.join(values)}")
    lines += [_memory(program, bound, node) for node in text.memory]
    for call in text.calls:
        local = " ".join(sorted(text._memory_names.get(x, "?") for x in call.local))
        facts = f"share {call.share}, owner {call.owner}, meets {call.meets}"
        columns = ", by columns" if call.by_columns else ""
        lines.append(f"{call.name or call.node}: {facts}{columns}, local: {local or 'none'}")
    for order, inner in text.inner.items():
        within = next(v for key, v in bound._inner.items() if key[0] == order)
        name = text._memory_names[text.canonical(inner.node).order]
        lines += [f"\neach step of {name}", told(inner.program, within.bound)]
    return "\n".join(lines) + "\n"


def _memory(program, bound, node):
    """Say where the memory of a node lies, and what is special about it."""
    text, order = program.text, node.order
    shape, place = [bound.number(n) for n in node.shape], "from outside"
    array = bound.arrays.get(order)
    start = -1 if array is None else array.ctypes.data - bound.arena.ctypes.data
    if 0 <= start < bound.arena_bytes:
        place = f"at {start} to {start + array.nbytes}"
    if order in text.moves:
        place += f", moves by {bound.table[text.moves[order]]}"
    for fact, orders in (("brief", text.brief), ("turned", text.turned)):
        place += f", {fact}" if order in orders else ""
    return f"{text._memory_names[order]}: {node.dtype} {shape} {place}"


def close(found, expected):
    for y, e in zip(flatten(found), flatten(expected), strict=True):
        y, e = np.asarray(y), np.asarray(value_of(e))
        assert (y.shape, y.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(y, e, rtol=1e-6, atol=1e-8)


def gradient(f, *places):
    return cr.value_and_grad(lambda *xs: ops.sum(ops.square(f(*xs))), argnums=places or (0,))


def elements(x, y, i):
    low = ops.less(x, y)
    big = ops.where(low, ops.tanh(x) * 3.5, ops.exp(y) - 0.5)
    return big + ops.pow(x, 3.0), ops.logical_and(low, ops.less(i, 2)), i * 2 + 7, x / y


def rows(x):
    centered = x - ops.mean(x, 1, True)
    return ops.softmax(centered), ops.sum(x), ops.max(x, (0, 2)), ops.var(x, -1)


def columns(x):
    return ops.sum(x, 0), ops.max(x, (0, 1)), ops.sum(ops.exp(x), 1)


def positions(x):
    return ops.argmax(x, 1), ops.argmax(x, 0), ops.argmax(ops.square(x) - 0.3, 1, True)


def products(a, b, c):
    both = ops.matmul(a, b) + ops.matmul(a, c, transpose_b=True)
    return ops.matmul(both, both, transpose_a=True), ops.matmul(
        b, a, transpose_a=True, transpose_b=True
    )


def stacks(a, b, c):
    return ops.matmul(a, b), ops.matmul(ops.tanh(a), c, transpose_a=True, transpose_b=True)


def lines(x):
    return ops.cumsum(x, 1), ops.sort(x, 0), gradient(lambda x: ops.cumsum(x, 0))(x)


def places(x, y, i):
    both = ops.concat([ops.tanh(x), y * 2.0, x], 1)
    return both, x + ops.scatter_add(y, i, axis=1, size=3), ops.take(x, i, 1)


def axes(x):
    turned = ops.transpose(x, (2, 0, 1))
    return (
        ops.reshape(turned, (4, 6)) * 2.0,
        ops.reshape(ops.exp(x), (2, 2, 3, 2, 1)),
        x[:, ::-1, 1:],
    )


def recurrence(start, x, w):
    return scan(lambda s, x, w: ops.tanh(ops.matmul(s, w, transpose_b=True) + x), start, [x], [w])


def pooled(x):
    return gradient(lambda x: ops.window_max(x, (2, 2), (2, 2)))(x)


def embedded(table, i):
    return gradient(lambda table, i: ops.take(table, i, 0))(table, i)


def uniform(x):
    kept = ops.less(ops.uniform(7, (2, 3)), 0.75)
    return ops.where(kept, x / 0.75, 0.0)


def norms(x, y):
    size = ops.sqrt(ops.sum(x * x) + ops.sum(y * y))
    return x / size, y / size, ops.sum(ops.sin(x)), ops.sum(ops.cos(y))


def several(x):
    first = ops.exp(x)
    total = ops.sum(first, 1, True)
    again = ops.sum(ops.square(first / total), 1, True)
    return ops.sum(first / again, 0), ops.log(total)


def comparisons(x, y, i, k):
    """Weak numbers take the dtype of what they are compared with."""
    return (
        ops.less(x, 0.1), ops.equal(i, k), ops.less_equal(0.1, y), ops.maximum(x, 1), i * k,
        ops.logical_not(ops.less(k, 2)), ops.where(ops.less(x, y), i, 3), x + i, ops.floor(-y),
        ops.cast(ops.less(i, 1), dtype=np.dtype(np.float32)),
    )  # fmt: skip


def reductions_of_others(x, i):
    low = ops.less(x, 0.5)
    return (ops.max(i, 0), ops.max(low, 1), ops.sum(low, 0), ops.argmax(i, 1), ops.sum(i),
            ops.min(x), ops.max(ops.reshape(x, (1, 2, 3, 4)), 0))  # fmt: skip


def dear_twice(x, w):
    first = ops.exp(x)
    second = ops.tanh(ops.matmul(x, w)) / 3.0
    return ops.sum(first, 0), ops.sum(first, 1), ops.sum(second, 0), ops.matmul(second, first)


def turned(x, w, v):
    """Few rows of many columns: threads share the columns of a product."""
    return ops.matmul(x, w, transpose_b=True), ops.matmul(x, v)


def joined(x, y, i):
    """Elements put into places of one sum, on top of what is there, or in their own loops."""
    front = ops.pad(ops.tanh(x), ((0, 0), (0, 2)))
    back = ops.pad(y * 2.0, ((0, 0), (3, 0)))
    taken = ops.take(ops.tanh(ops.sin(x)), i, 1)
    return front + back, front * 1.5, taken, ops.take_along(x, ops.argmax(x, 1, True), 1)


def short_turns(x, y):
    """A turn of the first loop is a line alone: it does not go on within that of the second."""
    lines = ops.tanh(x)
    both = ops.exp(y * ops.reshape(lines, (4, 3, 1)))
    return lines, ops.matmul(both, both, transpose_b=True)


def regrouped(x, y):
    """Axes that become one, and one that becomes several, read where they are computed from."""
    joined = ops.reshape(ops.transpose(x, (2, 0, 1, 3)), (24, 5))
    return joined * 2.0, ops.reshape(ops.transpose(y), (2, 3, 4, 5)) + x


def stepwise(x):
    """Several loops of one shape, of which some wait for others."""
    total = ops.sum(x, 1)
    scaled = x / ops.reshape(total, (-1, 1))
    top = ops.max(scaled, 1, True)
    return ops.sum(ops.square(scaled - top), 1), ops.log(total), ops.sum(scaled, 0), ops.norm(x)


N = Spec(("n", 3), float)
F4 = np.float32
CASES = {
    "elements": (elements, [N, Spec(("n", 1), float), Spec(("n", 3), np.int64)]),
    "rows": (rows, [Spec(("n", 3, 4), F4)]),
    "columns": (columns, [Spec((5, 2, 3), float)]),
    "positions": (positions, [Spec((4, 3), float)]),
    "products": (products, [Spec((4, 3), float), Spec((3, 4), float), Spec((4, 3), float)]),
    "stacks": (stacks, [Spec((2, 3, 2, 2), F4), Spec((3, 2, 4), F4), Spec((2, 1, 5, 2), F4)]),
    "lines": (lines, [Spec((4, 3), float)]),
    "places": (places, [Spec((2, 3), float), Spec((2, 2), float), Spec((2,), np.int32)]),
    "axes": (axes, [Spec((2, 3, 4), float)]),
    "recurrence": (recurrence, [Spec((2, 3), float), Spec((4, 2, 3), float), Spec((3, 3), float)]),
    "recurrence_back": (
        lambda s, x, w: gradient(recurrence, 0, 2)(s, x, w)[1],
        [Spec((2, 3), float), Spec((4, 2, 3), float), Spec((3, 3), float)],
    ),
    "convolution": (
        gradient(lambda x, w: ops.conv(x, w, padding=1), 0, 1),
        [Spec((3, 2, 5), float), Spec((2, 2, 3), float)],
    ),
    "pooling": (pooled, [Spec((2, 1, 4, 4), float)]),
    "embedding": (embedded, [Spec((4, 3), float), Spec(("n",), np.int64)]),
    "comparisons": (
        comparisons,
        [
            Spec(("n", 2), F4),
            Spec(("n", 2), F4),
            Spec(("n", 2), np.int64),
            Spec(("n", 2), np.int32),
        ],
    ),
    "reductions_of_others": (
        reductions_of_others,
        [Spec((2, 3, 4), float), Spec((2, 3), np.int64)],
    ),
    "dear_twice": (dear_twice, [Spec((4, 3), float), Spec((3, 4), float)]),
    "columns_shared": (turned, [Spec(("n", 2), F4), Spec((1000, 2), F4), Spec((2, 1000), F4)]),
    "joined": (joined, [Spec((2, 3), float), Spec((2, 2), float), Spec((2,), np.int64)]),
    "regrouped": (regrouped, [Spec((2, 3, 4, 5), float), Spec((5, 24), float)]),
    "short_turns": (short_turns, [Spec((4, 3), float), Spec((4, 3, 2), float)]),
    "stepwise": (stepwise, [Spec((4, 3), float)]),
    "recurrence_of_nothing": (
        recurrence,
        [Spec((2, 3), float), Spec((0, 2, 3), float), Spec((3, 3), float)],
    ),
    "uniform": (uniform, [Spec((2, 3), float)]),
    "norms": (norms, [Spec((3, 4), float), Spec((5, 2), float)]),
    "several_phases": (several, [Spec(("n", 4), float)]),
    "blocks_of_rows": (nn.mlp([3, 4, 2], "relu", seed=0).astype(float), [N]),
}


def array_of(spec, seed):
    shape = tuple(n if isinstance(n, int) else 4 for n in spec.shape)
    rng = np.random.default_rng(seed)
    if np.dtype(spec.dtype).kind == "i":
        return rng.integers(0, 3, shape).astype(spec.dtype)
    return rng.normal(size=shape).astype(spec.dtype)


def bound_of(compiled):
    """Give the memory that a few rows were computed in."""
    return (compiled._few if compiled._in_blocks else compiled._last[1]).bound


@pytest.mark.parametrize("name", CASES)
def test_a_function(name):
    f, specs = CASES[name]
    arrays = [array_of(spec, seed) for seed, spec in enumerate(specs)]
    compiled = Compiled(trace(f, *specs), plain=True)
    with np.errstate(all="ignore"):
        close(compiled(*arrays), f(*arrays))
    golden(f"compiled_{name}.txt", told(compiled.program, bound_of(compiled)))


@pytest.mark.parametrize("n", [3, 5, 4])
def test_a_source_that_is_taken_over_works_for_other_sizes(n):
    """Of a graph of equal structure; memory of the sizes of the other does not fit."""

    def f(x, w):
        lines = ops.reshape(x, -1)  # a number times a named dimension
        turned = ops.reshape(x, (-1, x.shape[1], 1))
        return ops.sum(ops.tanh(ops.matmul(x, w)), 1), turned * 2.0, lines * 3.0

    def compiled_for(n):
        specs = Spec(("rows", n), float), Spec((n, 2 * n), float)
        return specs, Compiled(trace(f, *specs), plain=True)

    specs, compiled = compiled_for(n)
    x, w = (array_of(spec, n) for spec in specs)
    close(compiled(x, w), f(x, w))
    bound = bound_of(compiled)
    for leaf in (node for node in compiled.program.text.memory if node.op is None):
        size = 7 if leaf is compiled.program.leaves[compiled.graph.inputs[0].birth] else n
        with pytest.raises(ShapeError, match=rf"compiled code got memory of \({size}, 99\)"):
            bound.set(leaf, np.zeros((size, 99)))
    assert compiled_for(6)[1].program.written is compiled.program.written


@pytest.mark.parametrize("checked", [True, False])
def test_a_program_that_updates_and_checks(checked):
    """In two steps of which the second is shorter, with leaves that move and others that stay."""
    with tracing():
        shapes = ("n", 2), (2,), (2,), (), (2, 3), (2, 3), (3, 2)
        leaves = x, old, held, count, left, right, flat = [placeholder(s, float) for s in shapes]
        total = ops.reshape(ops.sum(ops.exp(x), None, True), ())
        new = old * 0.5 + ops.sum(x, 0)
        both = left * 0.5
    names = {x.birth: "x", old.birth: "weight", total.birth: "sum of exp", new.birth: "range"}
    updates = {old: new, held: ops.square(new), count: count + 1.0, left: both, right: both}
    with tracing():
        updates[flat] = ops.reshape(left - 1.0, (3, 2))
    program = Program(
        [x], [total], updates, streams=[x, total], checks=[total] if checked else [], names=names
    )
    bound = program.bind({"n": 4}, {"n": 3}, threads=2, plain=True)
    data, totals = np.arange(16.0).reshape(8, 2) / 10, np.zeros(2)
    starts = [np.ones(s) for s in shapes[1:]]
    ends = [program.leaves[y.birth] for y in leaves]
    for short, parts in ((1, (data[:4], data[4:7])), (-1, (data[:4], data[4:]))):
        memory = [y.copy() for y in starts]
        for node, array in zip([*ends, program.outputs[0]], [data, *memory, totals], strict=True):
            bound.set(node, array)
        bound.move(ends[0], 8)
        bound.move(program.outputs[0], 1)
        assert (bound.run(0, 2, short) if short > 0 else bound.run(0, 2)) == 2
        weight = np.ones(2)
        for step, part in enumerate(parts):
            weight = weight * 0.5 + part.sum(0)
            np.testing.assert_allclose(totals[step], np.exp(part).sum())
        quarter = np.full((2, 3), 0.25)
        close(memory, [weight, weight**2, np.array(3.0), quarter, quarter, np.full((3, 2), -0.5)])
    assert program.bind({"n": 4}, plain=True).threads == 1
    timed = program.written.write(timed=True).source.partition("def program")[2]
    golden(f"compiled_updates{'_checked' * checked}.txt", told(program, bound) + "\ntimed" + timed)


def test_a_function_that_calls_python():
    op = Elementwise("third_of_this_test", lambda x: x / 3, [None])
    try:
        graph = trace(lambda x: op(x + 1.0) * 2.0, Spec(("n", 2), float))
        f, x = Compiled(graph, plain=True), np.arange(6.0).reshape(3, 2)
        close(f(x), (x + 1) / 3 * 2)
        golden("compiled_foreign.txt", told(f.program, bound_of(f)))
    finally:
        del OPS[op.name]


class Told(Program):
    """A program that runs as it stands, and is kept to be told."""

    made: "list[tuple[Program, object]]" = []  # noqa: RUF012

    def bind(self, *args, **kwargs):
        bound = super().bind(*args, **kwargs, plain=True)
        self.made.append((self, bound))
        return bound


class Losses(Callback):
    def __init__(self):
        self.found = []

    def on_step_end(self, event):
        self.found.append((event.loss, event.gradient_norm))


class Recurrent(nn.Module):
    def __init__(self):
        self.inner = nn.LSTM(2, 3, batch_first=True, seed=0)
        self.outer = nn.Linear(3, 1, seed=1)

    def forward(self, x):
        return self.outer(self.inner(x)[0][:, -1])


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, seed=0), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8, 2, seed=1),
    )  # fmt: skip


def mlp():
    return nn.Sequential(nn.Linear(3, 4, seed=0), nn.Activation("tanh"),
                         nn.Dropout(0.25, seed=2), nn.Linear(4, 2, seed=1))  # fmt: skip


STEPS = {
    "mlp": (mlp, "mse", (10, 3), (10, 2), {
        "optimizer": optim.Adam(0.01), "clip_norm": 0.1, "weight": np.arange(10.0),
        "penalty": penalties.L2(0.01), "average": 0.9}),
    "cnn": (small_cnn, "cross_entropy", (5, 1, 4, 4), None, {
        "optimizer": optim.SGD(0.1, momentum=0.9), "clip_value": 0.1}),
    "lstm": (Recurrent, "mse", (6, 3, 2), (6, 1), {"optimizer": optim.SGD(0.1)}),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_a_training_step(name, monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)
    make, loss, x_shape, y_shape, plan = STEPS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=x_shape)
    y = rng.integers(0, 2, x_shape[0]) if y_shape is None else rng.normal(size=y_shape)
    monkeypatch.setattr("chainrule.stepping.Program", Told)
    found = []
    for how in (False, "numba"):
        model, recorder = make().astype(float), Losses()
        train(model, loss, x, y, epochs=2, batch_size=4, seed=0, compile=how, threads=1,
              callbacks=[recorder], **plan)  # fmt: skip
        found.append((recorder.found, *(p.value for p in model.parameters())))
    close(found[1], found[0])
    lines = told(*Told.made[-1]).splitlines(keepends=True)  # sizes are in the smaller files
    golden(f"compiled_step_{name}.txt", "".join(x for x in lines if " = table[row" not in x))
