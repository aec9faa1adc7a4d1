"""Scans and recurrent layers: known numbers, PyTorch's numbers, masks, faults, compiled steps."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import Spec, grad, nn, ops, optim, tensor, trace, train, vjp
from chainrule.errors import ConfigError, GraphError, ShapeError
from chainrule.graph import ancestors, value_of
from chainrule.ops.loops import Steps
from chainrule.scan import scan
from chainrule.testing import check_layer, check_op
from chainrule.transforms.compile import calls
from chainrule.transforms.compile.program import Program
from chainrule.transforms.reverse import reverse
from turns import Turns

RNG = np.random.default_rng(0)
KINDS = [nn.RNN, nn.LSTM, nn.GRU]
VARIANTS = [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}]


def cell(s, x, w, u, b):
    drive = ops.matmul(x, w, transpose_b=True)
    return ops.tanh(ops.add(ops.add(drive, ops.matmul(s, u, transpose_b=True)), b))


def parts(length=4, rows=3, units=4, inputs=2):
    x = RNG.normal(size=(length, rows, inputs))
    w, u = RNG.normal(size=(units, inputs)), RNG.normal(size=(units, units)) / 2
    return RNG.normal(size=(rows, units)), x, w, u, RNG.normal(size=units)


# The op.


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_is_a_loop(reverse):
    h, x, *weights = parts()
    found = scan(cell, h, [x], weights, reverse=reverse)
    for t in reversed(range(4)) if reverse else range(4):
        h = cell(h, x[t], *weights)
        np.testing.assert_allclose(found[t], h, rtol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_scan_differentiates_to_any_order(length, reverse):
    def f(h, x, *weights):
        return scan(cell, h, [x], weights, reverse=reverse)

    assert check_op(f, *parts(length), second=length == 3) < 1e-6


def test_results_beside_the_carry_are_kept():
    def step(carry, x, w):
        kept = ops.mul(carry[:, :2], w)
        return ops.tanh(ops.add(kept, x)), ops.sin(kept)

    start, x, w = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 3, 2)), RNG.normal(size=2)
    assert check_op(lambda s, x, w: scan(step, s, [x], [w]), start, x, w) < 1e-6


def test_a_step_that_needs_no_carry():
    x = RNG.normal(size=(4, 3, 2))
    np.testing.assert_array_equal(scan(lambda s, x: ops.exp(x), x[0], [x]), np.exp(x))
    w = x[0, 0]
    constant = scan(lambda s, x, w: ops.broadcast_to(w, s.shape), x[0], [x], [w])
    np.testing.assert_array_equal(constant, np.broadcast_to(w, x.shape))


def way_back(layer, loss):
    """Give the scan that goes back through the steps of a layer."""
    graph = trace(grad(lambda x: loss(layer(x))), Spec((5, 2, 3), np.float32))
    (back,) = [x for x in graph.nodes if x.op and x.op.name == "scan" and x.attrs["reverse"]]
    return back


@pytest.mark.parametrize(
    ("kind", "kept", "arrives", "carry"),
    [("RNN", [(4,)], 4, 8), ("GRU", [(20,), (4,)], 4, 16), ("LSTM", [(24,), (4,)], 4, 24)],
)
def test_the_way_back_reads_results_and_states_and_no_slopes(kind, kept, arrives, carry):
    layer = getattr(nn, kind)(3, 4, seed=0)
    for loss in (
        lambda y: ops.sum(ops.square(y[0])),
        lambda y: ops.sum(ops.square(ops.stack([y[0][2], y[0][-1]]))),
    ):
        back = way_back(layer, loss)
        _, cotangent, *others = back.inputs[: back.attrs["body"].count + 1]
        assert [x.shape[2:] for x in others] == kept
        assert cotangent.shape[2:] == (arrives,)  # what is kept for the way back is not led back
        assert back.shape[2:] == (carry,)


def lstm_carries():
    """Give a function that gives all carries of an LSTM, and what it takes."""
    layer = nn.LSTM(3, 4, seed=0)
    weights = [getattr(layer, f"{name}_l0").value for name in
               ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
    given = [RNG.normal(size=(2, 24)), RNG.normal(size=(3, 2, 3)), *weights]
    return lambda start, x, *weights: scan(layer._step, start, [x], weights), given


def test_what_is_kept_may_be_used_as_well():
    f, given = lstm_carries()
    assert check_op(f, *given) < 1e-6  # with cotangents of all columns
    for columns in (slice(0, 4), slice(4, 8), slice(2, 10), slice(20, 24)):
        assert check_op(lambda *args, c=columns: f(*args)[:, :, c], *given) < 1e-6


def test_a_gradient_of_states_and_of_what_is_kept_is_compiled():
    f, given = lstm_carries()

    def loss(*args):
        carries = f(*args)
        return ops.sum(ops.square(carries[:, :, :4])) + ops.sum(ops.square(carries[:, :, 20:]))

    gradient = grad(loss, tuple(range(6)))
    compiled = cr.compile(gradient, *given, plain=True)
    for found, expected in zip(compiled(*given), gradient(*given), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_a_step_that_gives_its_carry():
    start, x = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 2, 1))
    assert check_op(lambda s, x: scan(lambda carry, y: carry, s, [x]), start, x) < 1e-6


def test_a_carry_of_which_a_step_reads_a_part_in_the_middle():
    def step(carry, x):
        a, b = carry[:, 1:3], carry[:, 2:4]
        return ops.tanh(a + x), ops.sin(b), ops.mul(a, x)

    start, x = RNG.normal(size=(2, 6)), RNG.normal(size=(3, 2, 2))
    assert check_op(lambda s, x: scan(step, s, [x]), start, x, second=True) < 1e-6


def test_a_long_sequence_has_a_graph_of_constant_size():
    def nodes(length):
        h, x, *weights = parts(length, rows=1)
        leaves = [tensor(v, requires_grad=True) for v in weights]
        return len(ancestors([ops.sum(scan(cell, h, [x], leaves))]))

    assert nodes(10_000) == nodes(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scan(cell, np.zeros((3, 4)), []), "at least one"),
        (lambda: scan(cell, np.zeros((3, 4)), [np.zeros((2, 5, 1))]), "as many rows"),
        (lambda: scan(cell, np.zeros((3, 4)), [np.zeros((2, 3)), np.zeros((1, 3))]), "one length"),
        (lambda: scan(lambda s, x: ops.sum(s), np.zeros((3, 4)), [np.zeros((2, 3))]),
         "expected the same"),
        (lambda: scan(lambda s, x: s + ops.mean(x, 0), np.zeros((3, 1)), [np.zeros((2, 3, 1))]),
         "mixes rows"),
        (lambda: scan(lambda s, x: s - ops.mean(s, 0, keepdims=True) + x, np.zeros((3, 1)),
                      [np.zeros((2, 3, 1))]), "mixes rows"),
        (lambda: scan(lambda s, x: ops.matmul(ops.matmul(s, x, transpose_b=True), s),
                      np.zeros((3, 1)), [np.zeros((2, 3, 1))]), "mixes rows"),
        (lambda: scan(lambda s, x: ops.cumsum(s, 0) + x, np.zeros((3, 1)),
                      [np.zeros((2, 3, 1))]), "cumsum of the step mixes rows"),
    ],
)  # fmt: skip
def test_scans_that_do_not_fit(call, message):
    with pytest.raises(ShapeError, match=message):
        call()


def test_a_tensor_from_outside_is_refused():
    w = tensor(np.ones(2), requires_grad=True)
    with pytest.raises(GraphError, match="pass it in consts"):
        scan(lambda s, x: ops.mul(ops.add(s, x), w), np.zeros((3, 2)), [np.zeros((4, 3, 2))])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plain", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_compiled_scans(plain, reverse):
    if not plain:
        pytest.importorskip("numba")

    def f(h, x, *weights):
        return ops.sum(ops.square(scan(cell, h, [x], weights, reverse=reverse)))

    arrays = parts()
    gradient = grad(f, (0, 1, 2, 3, 4))
    found = cr.compile(gradient, *arrays, plain=plain)(*arrays)
    for g, expected in zip(found, gradient(*arrays), strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-12, atol=1e-12)


def folded(h, x, w):
    """Add products of what a step gets, in the form of a carry with more axes."""
    y = ops.matmul(x, w)
    return ops.tanh(ops.add(h, ops.reshape(y, (y.shape[0], 2, 3))))


def from_two(h, x, y, w, v):
    return ops.tanh(ops.add(ops.add(ops.mul(h, 0.5), ops.matmul(x, w)), ops.matmul(y, v)))


def middle(carry, x):
    a, b = carry[:, 1:3], carry[:, 2:4]
    return ops.tanh(a + x), ops.sin(b), ops.mul(a, x)


def mixed(h, x, w):
    return ops.matmul(ops.mul(ops.tanh(h), x), w)


def of_a_part(h, x, w):
    """Take a sequence of which the layer itself has cut off the first step."""
    return scan(mixed, h, [x[1:]], [w])


COMPILED = {
    "inputs like the carry": (mixed, (4, 3), [(3,)], [(3, 3)]),
    "a carry of two axes": (folded, (4, 2, 3), [(5,)], [(5, 6)]),
    "products of two inputs": (from_two, (4, 6), [(5,), (2,)], [(5, 6), (2, 6)]),
    "columns in the middle": (middle, (4, 6), [(2,)], []),
    "gates that are kept": (nn.LSTM(2, 3)._step, (4, 18), [(2,)], [(12, 2), (12, 3)]),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("which", ["all", "end"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_gradients_of_scans(name, first, which, length, reverse):
    """As the eager ones, from the states of all steps or of the last, for every input.

    What comes back to the first carry is not kept where nobody asks for it.
    """
    step, start, moving, weights = COMPILED[name]
    arrays = [RNG.normal(size=start), *[RNG.normal(size=(length, 4, *s)) for s in moving],
              *[RNG.normal(size=s) for s in weights]]  # fmt: skip
    columns = (..., slice(0, 3))

    def f(h, *given):
        found = scan(step, h, given[: len(moving)], given[len(moving) :], reverse=reverse)
        end = found[0 if reverse else -1]
        return ops.sum(ops.square((found if which == "all" else end)[columns]))

    gradient = grad(f, tuple(range(first, len(arrays))))
    compiled = cr.compile(gradient, *arrays, plain=True)
    for g, expected in zip(compiled(*arrays), gradient(*arrays), strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-10, atol=1e-13)
    assert ("take_columns(" in compiled.source) == (first > 0)


def test_a_compiled_scan_of_a_part_of_a_sequence():
    arrays = [RNG.normal(size=s) for s in ((2, 3), (5, 2, 3), (3, 3))]
    found = cr.compile(of_a_part, *arrays, plain=True)(*arrays)
    np.testing.assert_allclose(found, of_a_part(*arrays), rtol=1e-12)


# Layers: known numbers.


def set_all(layer, weights, bias=0.0):
    for name, p in layer.named_parameters():
        p.renew(np.full(p.shape, weights if "weight" in name else bias))
    return layer


def test_an_elman_net_by_hand():
    layer = set_all(nn.RNN(1, 1, returns="sequence"), 0.5)
    y = value_of(layer(np.ones((2, 1, 1))))
    np.testing.assert_allclose(y.ravel(), [0.46211716, 0.62371255], atol=1e-8)


def test_an_lstm_by_hand():
    layer = set_all(nn.LSTM(1, 1), 0.5)
    for steps, h, c in ((1, 0.17426972, 0.28764914), (2, 0.30905893, 0.52411572)):
        _, states = layer(np.ones((steps, 1, 1)))
        np.testing.assert_allclose([value_of(s).item() for s in states], [h, c], atol=1e-8)


def test_forget_bias():
    plain, raised = (nn.LSTM(2, 3, seed=0, forget_bias=b) for b in (0.0, 2.0))
    difference = raised.bias_ih_l0.value - plain.bias_ih_l0.value
    np.testing.assert_allclose(difference, np.repeat([0, 2, 0, 0], 3), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind):
    layer = kind(2, 3, 2, bidirectional=True, batch_first=True, seed=0)
    x, lengths = RNG.normal(size=(3, 6, 2)), np.array([6, 2, 4])
    output, state = layer(x, lengths=lengths)
    for row, n in enumerate(lengths):
        alone, last = layer(x[row : row + 1, :n])
        np.testing.assert_allclose(value_of(output)[row, :n], value_of(alone)[0], atol=1e-12)
        assert not value_of(output)[row, n:].any()
        several = isinstance(state, tuple)
        for a, b in zip(state if several else [state], last if several else [last], strict=True):
            np.testing.assert_allclose(value_of(a)[:, row], value_of(b)[:, 0], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_from_a_state(kind):
    layer = kind(2, 3, 2, seed=0)
    x = RNG.normal(size=(6, 3, 2))
    whole, _ = layer(x)
    first, state = layer(x[:4])
    rest, _ = layer(x[4:], initial=state)
    joined = np.concatenate([value_of(first), value_of(rest)])
    np.testing.assert_allclose(joined, value_of(whole), atol=1e-12)


@pytest.mark.parametrize("returns", ["both", "sequence", "last"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_one_sequence_without_rows(batch_first, returns):
    layer = nn.LSTM(2, 3, batch_first=batch_first, returns=returns, seed=0)
    x = RNG.normal(size=(5, 2))
    alone, several = layer(x), layer(x[None] if batch_first else x[:, None])
    if returns == "both":
        alone, several = alone[0], several[0]
    np.testing.assert_array_equal(value_of(alone), value_of(several).reshape(value_of(alone).shape))


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_gradients(kind):
    """Outputs stay as they are; nothing goes back from one piece to the one before."""
    layer, x = kind(2, 3, returns="sequence", seed=0), RNG.normal(size=(6, 1, 2))
    y = value_of(layer(x))
    layer.truncate = 2
    np.testing.assert_array_equal(value_of(layer(x)), y)
    g = np.zeros_like(y)
    g[3] = 1
    reached = np.abs(value_of(vjp(layer, x)[1](g)[0])).sum((1, 2)) > 0
    np.testing.assert_array_equal(reached, [False, False, True, True, False, False])


def test_a_jordan_net_by_hand():
    layer = set_all(nn.Jordan(1, 1, 1), 0.5, 0.1)
    y, expected = 0.0, []
    for _ in range(3):
        y = 0.5 * np.tanh(0.5 * 2 + 0.5 * y + 0.1) + 0.1
        expected.append(y)
    np.testing.assert_allclose(value_of(layer(np.full((3, 1, 1), 2.0))).ravel(), expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.LSTM(2, 3)(np.zeros((0, 1, 2))), ShapeError, "sequences of length 0"),
        (lambda: nn.LSTM(2, 3)(np.zeros((4, 1, 5))), ShapeError, r"expected \(length, rows, 2\)"),
        (lambda: nn.GRU(2, 3)(np.zeros((4, 2, 2)), lengths=np.array([1, 5])), ShapeError,
         "expected 1 to 4"),
        (lambda: nn.GRU(2, 3)(np.zeros((4, 2, 2)), lengths=np.array([0, 2])), ShapeError,
         "expected 1 to 4"),
        (lambda: nn.GRU(2, 3)(np.zeros((4, 2, 2)), lengths=np.ones((4, 2))), ShapeError,
         "one for each"),
        (lambda: nn.LSTM(2, 3)(np.zeros((4, 1, 2)), initial=np.zeros((1, 1, 3))), ShapeError,
         "expected 2 of"),
        (lambda: nn.RNN(2, 3, nonlinearity="sigmoid"), ConfigError, "'tanh' or 'relu'"),
        (lambda: nn.RNN(2, 0), ConfigError, "hidden_size=0"),
        (lambda: nn.RNN(2, 3, returns="all"), ConfigError, "one of both"),
        (lambda: nn.RNN(2, 3, truncate=0), ConfigError, "truncate=0"),
        (lambda: nn.Jordan(2, 3, 1)(np.zeros((4, 2))), ShapeError, "at least one step"),
    ],
)  # fmt: skip
def test_faults(call, error, message):
    with pytest.raises(error, match=message):
        call()


# PyTorch's numbers.


@pytest.mark.parametrize("settings", VARIANTS)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_pytorch_give_the_same(kind, settings):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, kind.__name__)(2, 4, batch_first=True, **settings)
    ours = kind(2, 4, batch_first=True, **settings)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x, lengths = RNG.normal(size=(3, 5, 2)).astype(np.float32), [5, 2, 3]
    pack, pad = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    packed = pack(torch.tensor(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    results = [(theirs(torch.tensor(x)), ours(x))]
    y, state = theirs(packed)
    results.append(((pad(y, batch_first=True)[0], state), ours(x, lengths=np.array(lengths))))
    for (y, state), (y2, state2) in results:
        np.testing.assert_allclose(value_of(y2), y.detach().numpy(), atol=1e-6)
        several = isinstance(state, tuple)
        for a, b in zip(
            state if several else [state], state2 if several else [state2], strict=True
        ):
            np.testing.assert_allclose(value_of(b), a.detach().numpy(), atol=1e-6)


# Nets that learn, by every way to run their steps.


@pytest.mark.parametrize("how", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_steps_of_a_recurrent_net(kind, how):
    if how == "numba":
        pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(50, 7, 2)).astype(np.float32), rng.integers(2, 8, 50)
    y = (x[:, 0, :1] > 0).astype(np.float32)

    class Net(nn.Module):
        def __init__(self):
            self.layer = kind(2, 6, batch_first=True, bidirectional=True, returns="last", seed=0)
            self.head = nn.Linear(12, 1, seed=1)

        def forward(self, x, lengths):
            return self.head(self.layer(x, lengths=lengths))

    runs = []
    for compile_ in (how, False):
        history = train(
            Net(), "binary_cross_entropy_with_logits", (x, lengths), y, epochs=12, seed=0,
            batch_size=16, optimizer=optim.Adam(0.05), compile=compile_,
        )  # fmt: skip
        runs.append([row["loss"] for row in history])
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-3, atol=1e-4)
    assert runs[0][-1] < 0.5 * runs[0][0]


@pytest.mark.slow
def test_threads_give_the_same_bits():
    pytest.importorskip("numba")
    layer = nn.LSTM(3, 16, batch_first=True, returns="sequence", seed=0).astype(np.float32).eval()
    x = RNG.normal(size=(40, 9, 3)).astype(np.float32)
    one, two = (cr.compile(layer, x, threads=n) for n in (1, 2))
    assert one(x).tobytes() == two(x).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_threads_train_to_the_same_bits(kind):
    """Directions have a team of threads each, if the number is even."""
    pytest.importorskip("numba")
    x, y = RNG.normal(size=(30, 9, 3)).astype(np.float32), np.arange(30) % 2
    found = []
    for threads in (1, 2, 3, 4):
        model = nn.Sequential(
            kind(3, 16, 2, batch_first=True, bidirectional=True, returns="last"),
            nn.Linear(32, 2), seed=0,
        )  # fmt: skip
        settings = {"epochs": 3, "batch_size": 8, "seed": 0, "compile": "numba"}
        train(model, "cross_entropy", x, y, threads=threads, **settings)
        found.append([p.value.tobytes() for p in model.parameters()])
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("rows", [7, 8])
@pytest.mark.parametrize("most", [2, 20, 60])
def test_sums_over_all_steps_take_some_at_a_time(monkeypatch, kind, bidirectional, rows, most):
    """In halves, or for each direction; a step or more at a time, and all."""
    monkeypatch.setattr(calls, "SUMMED", most)
    settings = {"batch_first": True, "bidirectional": bidirectional, "returns": "sequence"}
    layer = kind(2, 3, seed=0, **settings).astype(np.float64)
    x = RNG.normal(size=(rows, 5, 2))

    def gradients(x):
        loss = ops.sum(ops.square(layer(x)))
        return reverse([loss], [np.ones(())], layer.parameters(), create_graph=True)

    graph = trace(gradients, Spec(x.shape, x.dtype))
    program, expected = Program(graph.inputs, graph.output), gradients(x)
    loops = program.text.source.count("for begin in range(0, ")
    assert (loops, "add_to(" in program.text.source) == (1 + bidirectional, not bidirectional)
    for threads in (1, 2, 3, 4):
        bound = program.bind({}, plain=True, threads=threads)
        bound.set(program.leaves[graph.inputs[0].birth], x)
        Turns(threads, seed=most).run(program.text.source, bound.table.ctypes.data)
        for i, y in enumerate(expected):
            np.testing.assert_allclose(bound.result(i), y.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "units"), [(1, 40), (5, 40), (40, 40), (200, 40), (24, 260)])
def test_sums_over_steps_train_to_the_same_bits(rows, units):
    """With any number of threads; many rows have products for each step, many units no halves."""
    pytest.importorskip("numba")
    x, y = RNG.normal(size=(rows, 20, 3)).astype(np.float32), np.arange(rows) % 2
    found = []
    for threads in (0, 1, 2, 3, 4):
        model = nn.Sequential(
            nn.LSTM(3, units, batch_first=True, returns="last"), nn.Linear(units, 2), seed=0
        )
        settings = {"epochs": 2, "batch_size": rows, "seed": 0, "optimizer": optim.SGD(0.1)}
        how = {"compile": "numba", "threads": threads} if threads else {"compile": False}
        train(model, "cross_entropy", x, y, **settings, **how)
        found.append([p.value for p in model.parameters()])
    for plain, compiled, *others in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-6)
        assert {z.tobytes() for z in others} == {compiled.tobytes()}


def test_a_carry_that_is_read_as_a_whole_is_kept():
    """All columns of it, and not only those that a step sends on."""

    def step(carry, x):
        h = ops.tanh(ops.add(carry[:, :3], x))
        return h, ops.mul(h, x)

    def f(x):
        return ops.sum(ops.square(scan(step, np.zeros((4, 6)), [x])))

    x = RNG.normal(size=(5, 4, 3))
    compiled = cr.compile(f, x, plain=True)
    np.testing.assert_allclose(compiled(x), f(x), rtol=1e-12)
    assert "take_columns(" not in compiled.source


def of_gradients(layer, *names):
    """A program of the gradients of a layer by all parameters, or by those of some names."""
    parameters = [p for name, p in layer.named_parameters() if not names or name in names]

    def gradients(x):
        loss = ops.sum(ops.square(layer(x)))
        return reverse([loss], [np.ones(())], parameters, create_graph=True)

    graph = trace(gradients, Spec((5, 6, 3), np.float32))
    return Program(graph.inputs, graph.output)


def loops_with(text, program):
    return [c.kernel.text for c in program.text.calls if c.kernel and text in c.kernel.text]


def test_gates_are_not_computed_again_on_the_way_back():
    """But for what is sent and for the cell state of the step before the cell is, once."""
    program = of_gradients(nn.LSTM(3, 4, batch_first=True, returns="last", seed=0))
    forth, back = (x.program for x in program.written.inner.values())
    assert not loops_with("sigmoid(", back)
    (loop,) = loops_with("tanh(", back)
    assert loop.count("tanh(") == 1
    assert sum(text.count("sigmoid(") for text in loops_with("sigmoid(", forth)) == 3


@pytest.mark.parametrize(("bidirectional", "teams"), [(True, True), (False, False)])
def test_two_directions_have_a_team_of_threads_each(bidirectional, teams):
    layer = nn.LSTM(3, 4, batch_first=True, bidirectional=bidirectional, returns="last", seed=0)
    program = of_gradients(layer)
    found = [c.team for c in program.text.calls if isinstance(c.node.loop, Steps)]
    assert found == ([0, 1, 1, 0] if teams else [None, None])
    products = [c.team for c in program.text.calls if c.is_product and c.team is not None]
    assert sorted(products) == [0, 0, 1, 1] * teams
    assert ("run_steps(scan_code, 0, 1, scan_first, mate, mates)" in program.source) == teams


def test_what_one_team_alone_would_compute_is_shared_out():
    layer = nn.LSTM(3, 4, batch_first=True, bidirectional=True, returns="last", seed=0)
    names = "weight_ih_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse"
    program = of_gradients(layer, *names)
    found = [c.team for c in program.text.calls if c.is_product]
    assert sorted(found, key=str) == [0, 1, None]


def test_recurrences_of_different_length_of_work_have_no_teams():
    def f(x, y):
        return scan(lambda h, x: ops.tanh(h + x), np.zeros((2, 3)), [x]), scan(
            lambda h, y: ops.tanh(h + y), np.zeros((2, 5)), [y]
        )

    graph = trace(f, Spec((4, 2, 3), float), Spec((4, 2, 5), float))
    calls = Program(graph.inputs, graph.output).text.calls
    assert {call.team for call in calls} == {None}


def test_threads_meet_in_the_steps_only_where_they_need_each_other():
    def inner(step):
        graph = trace(lambda x: scan(step, np.zeros((6, 4)), [x]), Spec((3, 6, 4), float))
        (found,) = Program(graph.inputs, [graph.output]).written.inner.values()
        return found.program.source

    assert "and 0 <= short - step <= 1" in inner(lambda h, x: ops.tanh(h + x))
    assert "and 0 <= short - step <= 1" not in inner(lambda h, x: ops.cumsum(h + x, axis=1))


def test_check_layer_with_an_initial_state_and_every_option():
    layer = nn.RNN(2, 3, 2, "relu", dropout=0.2, bidirectional=True, returns="sequence", seed=0)
    assert check_layer(layer, RNG.normal(size=(4, 2, 2)), rows=()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_layers_with_lengths(kind):
    class Padded(nn.Module):
        def __init__(self):
            self.layer = kind(
                2, 3, 2, bidirectional=True, batch_first=True, returns="sequence", seed=0
            )

        def forward(self, x, lengths):
            return self.layer(x, lengths=lengths)

    x = RNG.normal(size=(3, 4, 2))
    assert check_layer(Padded(), x, np.array([4, 1, 3]), rows=(0, 1)) < 1e-6
