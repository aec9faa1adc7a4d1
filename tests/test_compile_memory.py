"""Memory of compiled steps: little more than backpropagation keeps, and nobody in the way."""

import mmap
from functools import partial
from itertools import accumulate

import numpy as np
import pytest

from chainrule import losses, nn, ops, optim
from chainrule.data import Rows
from chainrule.graph import OPS, placeholder, tracing
from chainrule.ops.kinds import Elementwise
from chainrule.step import Step
from chainrule.step_graph import StepGraph
from chainrule.transforms.compile import arena
from chainrule.transforms.compile.arena import lifetimes
from chainrule.transforms.compile.calls import Block
from chainrule.transforms.compile.program import Program
from chainrule.transforms.reverse import reverse
from chainrule.updating import Updater
from turns import Turns


class PlainProgram(Program):
    """A program whose source runs as it stands, without a compiler."""

    def bind(self, *args, **kwargs):
        return super().bind(*args, **kwargs | {"plain": True})


def relu():
    return nn.Activation("relu")


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), relu(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), relu(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), relu(), nn.Linear(120, 84), relu(),
        nn.Linear(84, 10), seed=0,
    )  # fmt: skip


def recurrent(inputs, units, kind=nn.LSTM, returns="last"):
    layer = kind(inputs, units, batch_first=True, returns=returns)
    return nn.Sequential(layer, nn.Linear(units, 1), seed=0)


def graph_of(model, shape, rows, classes=0):
    """Trace a step of Adam on zeros."""
    x = np.zeros((rows, *shape), np.float32)
    y = np.zeros(rows, np.int64) if classes else np.zeros((rows, 1), np.float32)
    loss = losses.cross_entropy if classes else losses.mse
    updater = Updater(model.astype(np.float32).parameters(), optim.Adam())
    return StepGraph(model, loss, updater, Rows((x,), y))


LENET = 6 * 28 * 28 + 6 * 14 * 14 + 16 * 10 * 10 + 16 * 5 * 5 + 120 + 84 + 10
NETS = {  # the net, the shape of a row, classes, a batch, numbers kept for a row, and how much more
    "table": (nn.mlp([54, 256, 256, 7], "relu", seed=0), (54,), 7, 16384, 256 + 256 + 7, 1.05),
    "four layers": (nn.mlp([20, 99, 99, 99, 2], "tanh", seed=0), (20,), 2, 20000, 3 * 99 + 2, 1.15),
    "wide": (nn.mlp([1024, 2048, 2048, 1000], "relu", seed=0), (1024,), 1000, 256, 5096, 1.35),
    "lenet": (lenet(), (1, 28, 28), 10, 512, LENET, 1.2),
    "lstm": (recurrent(16, 128), (64, 16), 0, 64, 64 * 6 * 128 + 1, 1.05),
}


@pytest.mark.parametrize("name", NETS)
def test_the_arena_holds_little_more_than_backpropagation_keeps(name):
    model, shape, classes, batch, results, more = NETS[name]
    program = graph_of(model, shape, batch, classes).program(Program)
    bound = program.bind({"rows": batch, "batch": batch}, threads=2, plain=True)
    kept = 4 * batch * (results + int(np.prod(shape)))
    assert bound.arena_bytes <= more * kept


@pytest.mark.parametrize("name", NETS)
def test_gradients_lie_where_the_weights_before_are_kept(name):
    """Of matrices all do, and new weights are written there: nothing takes memory of its own."""
    model, shape, classes, batch, *_ = NETS[name]
    graph = graph_of(model, shape, batch, classes)
    program = graph.program(Program)
    leaves, text = program.leaves, program.text
    for p, before in graph.before.items():
        if p.ndim > 1:
            pair = leaves[p.birth], leaves[before.birth]
            assert pair in text.exchanged
            assert sum(x is pair[1] for x in text.shares.values()) == 3  # gradient, new, kept
    assert "call_python" not in program.source


@pytest.mark.parametrize("name", NETS)
def test_nothing_that_is_kept_is_written_before_the_loss_is_known(name):
    model, shape, classes, batch, *_ = NETS[name]
    graph = graph_of(model, shape, batch, classes)
    program = graph.program(Program)
    text = program.text
    kept = {program.leaves[x.birth].order for x in graph.before.values()}
    assert not any(call.writes & kept for call in text.calls[: text.first_check_at])
    assert any(call.writes & kept for call in text.calls[text.first_check_at : text.check_at])
    starts = list(accumulate((len(run) for run in text.runs), initial=0))
    assert {text.first_check_at, text.check_at} <= set(starts)


def trained(model, shape, classes, run, threads=1):
    """Run one step of 7 rows in plain source, and give its loss and the new weights.

    What they were before is there, too.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, *shape))
    y = rng.integers(0, classes, 9) if classes else rng.normal(size=(9, 1))
    loss = losses.cross_entropy if classes else losses.mse
    model = model.astype(float)
    state = {name: np.array(value) for name, value in model.state_dict().items()}
    updater = Updater(model.parameters(), optim.Adam(0.1))
    step = Step(StepGraph(model, loss, updater, Rows((x,), y)), 7, PlainProgram, threads)
    step.load(updater)
    step.order(None)
    step.numbers[:] = [[1, 1, 0], [2, 1, 0]]
    for memory in (step.bound.arena, *step.before(updater.parameters)):
        memory[...] = 0xFF if memory.dtype == np.uint8 else np.nan
    run(step)
    before = step.before(updater.parameters)
    for name, value in zip(dict(model.named_parameters()), before, strict=True):
        assert np.array_equal(value, state[name])
    found = [step.losses[0], *[np.array(p.value) for p in model.parameters()]]
    step.close(updater)
    model.load_state_dict(state)
    return found


SMALL = {
    "relu": (lambda: nn.mlp([3, 5, 4, 2], "relu", seed=0), (3,), 2),
    "tanh": (lambda: nn.mlp([3, 5, 4, 1], "tanh", dropout=0.2, seed=0), (3,), 0),
    "convolution": (
        lambda: nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), relu(), nn.MaxPool1d(2), nn.Flatten(),
                              nn.Linear(6, 4), relu(), nn.Linear(4, 2), seed=0), (1, 6), 2),
    "lstm": (lambda: recurrent(2, 3), (4, 2), 0),
    "one step": (lambda: recurrent(2, 3), (1, 2), 0),
    "wide lstm": (lambda: recurrent(40, 2), (3, 40), 0),
    "gru": (lambda: recurrent(2, 3, nn.GRU), (4, 2), 0),
    "rnn": (lambda: recurrent(2, 3, nn.RNN), (4, 2), 0),
    "both ways": (
        lambda: nn.Sequential(
            nn.LSTM(2, 3, 2, batch_first=True, bidirectional=True, returns="last"),
            nn.Linear(6, 1), seed=0,
        ), (4, 2), 0),
}  # fmt: skip


def in_turns(turns, step):
    table = step.bound.table.ctypes.data
    step.bound.run = lambda *given: turns.run(step.source, table) or 1
    step.run(0, 1)


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("name", SMALL)
def test_no_thread_writes_over_what_another_still_reads(name, threads, monkeypatch):
    """Blocks of two rows, and sums of few images, so that each thread has several."""
    make, shape, classes = SMALL[name]
    expected = trained(make(), shape, classes, lambda step: step.run(0, 1))
    assert np.isfinite(expected[0])
    monkeypatch.setattr("chainrule.transforms.compile.calls.BLOCK", 2)
    for seed in range(3):
        found = trained(make(), shape, classes, partial(in_turns, Turns(threads, seed)), threads)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_threads_that_do_not_meet_share_no_memory_one_after_the_other():
    """A step of a recurrence that passes its carry on: a thread may be a step ahead of another."""
    model, shape, classes = SMALL["gru"]
    program = graph_of(model(), shape, 7, classes).program(Program)
    (text,) = (x.program.text for x in program.written.inner.values() if "passes" in x.node.attrs)
    assert text.apart
    assert text.check_at < len(text.calls)
    assert {first == last == 0 for first, last in lifetimes(text).values()} == {True}


@pytest.mark.parametrize("writes_over", [False, True])
def test_a_product_is_not_moved_behind_what_writes_over_its_rows(writes_over):
    """The row sums read a product of a; between them a u is written over a, or is not."""
    x, w, v = (placeholder(s, np.dtype(float)) for s in ((6, 3), (3, 4), (3, 3)))
    total = placeholder((), np.dtype(float))
    with tracing():
        a = ops.tanh(x)
        product = ops.matmul(a, w)
        u = ops.matmul(x, v)
        other = ops.matmul(ops.mul(a, u), v) if writes_over else u
        loss = ops.add(ops.sum(other), ops.sum(ops.sum(ops.square(product), 1)))
        updates = {total: ops.add(total, loss)}
    program = Program([x, w, v], [loss], updates)
    (of_a,) = (call for call in program.text.calls if call.is_product and call.node.shape == (6, 4))
    assert of_a.joins == (not writes_over)
    bound = program.bind({}, plain=True)
    rng = np.random.default_rng(0)
    X, W, V = arrays = [rng.normal(size=leaf.shape) for leaf in (x, w, v)]
    for leaf, array in zip((x, w, v, total), [*arrays, np.zeros(())], strict=True):
        bound.set(program.leaves[leaf.birth], array)
    bound.run()
    A, U = np.tanh(X), X @ V
    expected = (A * U @ V if writes_over else U).sum() + ((A @ W) ** 2).sum()
    np.testing.assert_allclose(bound.result(0), expected, rtol=1e-12)


@pytest.mark.parametrize(("rows", "block"), [(0, 1), (1, 1), (960, 960), (961, 481), (16384, 911)])
def test_blocks_are_of_equal_size(rows, block):
    assert Block("rows").count(rows) == block


def test_large_arrays_lie_in_few_pages(monkeypatch):
    large, small = ((1000, 70), np.dtype(np.float32)), ((10, 7), np.dtype(np.float32))
    for shape, dtype in (large, small):
        array = arena.in_few_pages(shape, dtype)
        array[...] = 1
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, dtype, True)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        assert arena.in_few_pages(*large).ctypes.data % 2**21 == 0

    class Refusing(mmap.mmap):
        def madvise(self, *args):
            raise OSError("no such pages")

    monkeypatch.setattr(arena.mmap, "mmap", Refusing)
    arena.in_few_pages(*large)[...] = 1
    monkeypatch.delattr(arena.mmap, "MADV_HUGEPAGE", raising=False)
    monkeypatch.delattr(arena.mmap, "mmap")
    arena.in_few_pages(*large)[...] = 1  # as on another system


def updating(loss_of, x, **leaves):
    """Run two steps that subtract gradients from parameters and keep what these were.

    Gives the program, and what parameters, kept ones and outputs are after each.
    """
    with tracing():
        ps = [placeholder(p.shape, float) for p in leaves.values()]
        olds = [placeholder(p.shape, float) for p in leaves.values()]
        given = placeholder(x.shape, float)
        loss, also = loss_of(given, *ps)
        found = reverse([loss], [np.ones(())], ps, create_graph=True)
        updates = {p: p - 0.1 * g for p, g in zip(ps, found, strict=True)}
        updates |= {old: ops.identity(p) for old, p in zip(olds, ps, strict=True)}
        outputs = [loss, *(found if also else [])]
    program = Program([given], outputs, updates, checks=[loss])
    bound = program.bind({}, plain=True)
    ends = [program.leaves[y.birth] for y in (*ps, *olds)]
    memory = [np.array(p) for p in leaves.values()] + [np.zeros(p.shape) for p in leaves.values()]
    results = [np.zeros(y.shape) for y in outputs]
    everything = [*zip(ends, memory, strict=True), *zip(program.outputs, results, strict=True)]
    for node, array in [(program.leaves[given.birth], x), *everything]:
        bound.set(node, array)
    assert bound.run(0, 2) == 2  # an even number of steps exchanges all memory back
    return program, memory[: len(ps)], memory[len(ps) :], results


def test_a_gradient_that_is_an_output_has_memory_of_its_own():
    def loss_of(x, w):
        return ops.mean(ops.square(ops.matmul(x, w))), True

    x, w = np.arange(12.0).reshape(4, 3) / 12, np.ones((3, 2))
    _, news, olds, (_, gradient) = updating(loss_of, x, w=w)
    for _ in range(2):
        expected = x.T @ (x @ w) / 4
        before, w = w, w - 0.1 * expected
    np.testing.assert_allclose(gradient, expected)
    np.testing.assert_allclose(news[0], w)
    np.testing.assert_allclose(olds[0], before)


@pytest.mark.parametrize("in_python", [False, True])
def test_weights_that_python_reads_stay_where_they_are(in_python):
    own = Elementwise("cube_of_this_test", lambda x: x**3, [lambda out, x: 3.0 * x * x])
    cube = own if in_python else lambda w: w * w * w

    def loss_of(x, w):
        return ops.mean(ops.square(ops.matmul(x, w))) + ops.sum(cube(w)), False

    x, w = np.arange(12.0).reshape(4, 3) / 12, np.ones((3, 2))
    try:
        program, news, olds, (loss,) = updating(loss_of, x, w=w)
    finally:
        del OPS[own.name]
    for _ in range(2):
        expected = np.mean((x @ w) ** 2) + np.sum(w**3)
        before, w = w, w - 0.1 * (x.T @ (x @ w) / 4 + 3 * w * w)
    np.testing.assert_allclose(loss, expected)
    np.testing.assert_allclose(news[0], w)
    np.testing.assert_allclose(olds[0], before)
    assert ("call_python" in program.source) == in_python
    assert len(program.text.exchanged) == (not in_python)
