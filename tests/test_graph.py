"""The graph: what is recorded and freed, depth, memory, threads, and faults in its use."""

import copy
import gc
import operator
import pickle
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

from chainrule import Spec, grad, no_grad, ops, tensor, trace
from chainrule.errors import ChainruleError, DtypeError, GraphError, ShapeError
from chainrule.graph import OPS, Op, Tensor, ancestors, constant, scope


def leaf(*numbers):
    return tensor(numbers, dtype=float, requires_grad=True)


# Faults: type and text (spec/faults.md, section 3.3).


def test_backward_twice():
    x = leaf(1.0, 2.0)
    y = ops.sum(ops.exp(x))
    y.backward()
    with pytest.raises(GraphError, match=r"used up by an earlier backward.*retain_graph=True"):
        y.backward()


def test_backward_through_a_part_that_was_freed():
    shared = ops.exp(leaf(1.0))
    ops.sum(shared).backward()
    with pytest.raises(GraphError, match="used up"):
        ops.sum(shared * 2).backward()


def test_backward_twice_with_retain_graph_adds_up():
    x = leaf(1.0, 2.0)
    y = ops.sum(x * x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.numpy().tolist() == [4.0, 8.0]


def test_backward_of_several_numbers():
    with pytest.raises(GraphError, match=r"needs a single number, not shape \(2,\).*ops.sum"):
        (leaf(1.0, 2.0) * 2).backward()


def test_backward_with_a_gradient():
    x = leaf(1.0, 2.0)
    (x * 3).backward(np.array([1.0, 10.0]))
    assert x.grad.numpy().tolist() == [3.0, 30.0]
    with pytest.raises(ShapeError, match=r"a gradient of \(3,\) for an output of \(2,\)"):
        (x * 3).backward(np.ones(3))


@pytest.mark.parametrize(
    "make", [lambda: tensor([1.0]), lambda: ops.argmax(leaf(1.0, 2.0)), lambda: leaf(1.0) < 2.0]
)
def test_backward_of_what_needs_no_gradient(make):
    with pytest.raises(GraphError, match=r"depends on nothing that requires a gradient.*argmax"):
        make().backward()


def test_assign_after_use_is_detected():
    w, x = leaf(2.0), leaf(3.0)
    y = ops.sum(w * x)
    with no_grad():
        w.assign([5.0])
    with pytest.raises(GraphError, match=r"an input of mul was changed by assign\(\) after"):
        y.backward()


def test_assign_after_backward_is_fine():
    w = leaf(2.0)
    for expected in (4.0, 10.0):
        ops.sum(w * w).backward()
        assert w.grad.item() == expected
        w.grad = None
        with no_grad():
            w.assign([5.0])


def test_changes_in_place_of_a_leaf():
    w = leaf(1.0, 2.0)
    message = r"cannot be changed in place.*w = w \+ \.\.\..*w\.assign\(new_value\)"
    for change in (operator.iadd, operator.isub, operator.imul, operator.itruediv):
        with pytest.raises(GraphError, match=message):
            change(w, 2)
    with pytest.raises(GraphError, match=message):
        w.assign([0.0, 0.0])
    with pytest.raises(GraphError, match=r"cannot be changed element by element.*ops\.where"):
        w[0] = 5.0


def test_in_place_operators_on_other_tensors_make_new_ones():
    y = before = leaf(1.0, 2.0) * 2
    y += 1
    y /= 2
    y -= 1
    assert before.detach().numpy().tolist() == [2.0, 4.0]
    assert y.detach().numpy().tolist() == [0.5, 1.5]


def test_assign_checks_shape_and_keeps_the_dtype():
    w = tensor(np.zeros(2, np.float32))
    w.assign([1, 2])
    assert w.dtype == np.float32
    with pytest.raises(ShapeError, match=r"assign\(\) got shape \(3,\) for a tensor of \(2,\)"):
        w.assign([1, 2, 3])
    with pytest.raises(GraphError, match="this tensor was computed by mul"):
        (leaf(1.0) * 2).assign([1.0])


def test_numpy_of_a_tensor_that_needs_a_gradient():
    with pytest.raises(GraphError, match=r"tensor\.detach\(\)\.numpy\(\)"):
        leaf(1.0).numpy()
    with pytest.raises(GraphError, match=r"tensor\.detach\(\)\.numpy\(\)"):
        np.asarray(leaf(1.0))


def test_numpy_gives_a_read_only_view():
    x = tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 5.0
    assert np.shares_memory(x.numpy(), x.numpy())


def test_tensor_copies_its_data():
    data = np.ones(2)
    x = tensor(data)
    data[0] = 5.0
    assert x.numpy().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("data", [["a"], [1 + 2j], [None], np.array(["2020-01-01"], "M8[D]")])
def test_tensors_hold_real_numbers(data):
    with pytest.raises(
        DtypeError, match=r"holds real numbers or booleans, not (<U1|complex128|object|date)"
    ):
        tensor(data)


def test_whole_numbers_have_no_gradient():
    with pytest.raises(DtypeError, match=r"not int64: tensor\(data, dtype=float"):
        tensor([1, 2], requires_grad=True)


def test_a_traced_tensor_has_no_value():
    def branch(x):
        return x if ops.sum(x) > 0 else -x

    with pytest.raises(GraphError, match=r"has no value yet.*ops\.where"):
        trace(branch, Spec((2,), float))


def test_the_error_of_an_op_names_its_scope():
    with (
        scope("model"),
        scope("layer"),
        pytest.raises(ShapeError, match=r"add in model/layer cannot take"),
    ):
        ops.add(leaf(1.0, 2.0), leaf(1.0, 2.0, 3.0))


def test_names_of_ops_are_taken_once():
    with pytest.raises(GraphError, match="an op named 'exp' exists already"):
        Op("exp", np.exp, lambda x: (x.shape, x.dtype))


def test_all_errors_are_chainrule_errors():
    assert issubclass(GraphError, ChainruleError)
    assert issubclass(ChainruleError, ValueError)


# Depth and fan-out.


def chain(n):
    x = leaf(1.0)
    y = x
    for _ in range(n):
        y = y + 1.0
    return x, y


@pytest.mark.slow
def test_a_graph_of_depth_100_000():
    x, y = chain(100_000)
    assert len(ancestors([y])) == 200_001  # with the constants
    ops.sum(y).backward()
    assert x.grad.item() == 1.0


def test_a_deep_graph_is_freed_without_recursion():
    x, y = chain(30_000)
    ref = weakref.ref(y.inputs[0])
    del x, y
    assert ref() is None


def test_a_chain_of_10_000_ops_differentiates():
    def f(x):
        for _ in range(5_000):
            x = x * 0.999 + 0.001
        return x

    assert grad(f)(2.0) == pytest.approx(0.999**5000, rel=1e-10)
    assert len(trace(f, Spec((), float)).nodes) > 10_000


def test_many_paths_add_up():
    w = leaf(1.0)
    y = w
    for _ in range(60):  # 2^60 paths, 60 nodes
        y = y + y
    ops.sum(y).backward()
    assert w.grad.item() == 2.0**60


def test_the_additive_chain_rule():
    """C = w^2 sin w at 1 (requirements, C02)."""
    assert grad(lambda w: w * w * ops.sin(w))(1.0) == pytest.approx(2.2232442755, abs=1e-10)


# Memory.


def step(w):
    loss = ops.mean(ops.tanh(w * 2.0 + 1.0))
    loss.backward()
    with no_grad():
        w.assign(w.detach().numpy() - 0.01 * w.grad.numpy())
    w.grad = None


@pytest.mark.slow
def test_memory_is_flat_over_10_000_steps_without_the_collector():
    w = leaf(*np.linspace(-1, 1, 50))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(1_500):  # NumPy keeps some hundred small blocks for later
            step(w)
        bytes_before = tracemalloc.get_traced_memory()[0]
        for _ in range(1_500):
            step(w)
        grown = tracemalloc.get_traced_memory()[0] - bytes_before
        tracemalloc.stop()
        objects_before = len(gc.get_objects())
        for _ in range(7_000):
            step(w)
        more = len(gc.get_objects()) - objects_before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 20_000
    assert more < 50


def test_a_graph_goes_with_its_result():
    gc.disable()
    try:
        x = leaf(1.0)
        middle = ops.exp(x)
        ref = weakref.ref(middle)
        y = ops.sum(middle)
        del middle
        assert ref() is not None
        del y
        assert ref() is None
        y = ops.sum(ops.exp(x))
        ref = weakref.ref(y.inputs[0])
        y.backward()
        assert ref() is None
    finally:
        gc.enable()


# Threads.


def test_no_grad_in_one_thread_does_not_affect_another():
    inside, done = threading.Event(), threading.Event()

    def quiet():
        with no_grad():
            inside.set()
            done.wait(10)

    other = threading.Thread(target=quiet)
    other.start()
    try:
        assert inside.wait(10)
        assert (leaf(1.0) * 2).requires_grad
        with scope("here"):
            assert (leaf(1.0) * 2).scope.path() == "here"
    finally:
        done.set()
        other.join()


def test_threads_number_their_nodes_apart():
    births = [[] for _ in range(4)]

    def work(mine):
        for _ in range(500):
            x = leaf(1.0)
            y = ops.sum(x * 3)
            y.backward()
            assert x.grad.item() == 3.0
            mine += [x.birth, y.birth]

    threads = [threading.Thread(target=work, args=(mine,)) for mine in births]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [len(mine) for mine in births] == [1000] * 4
    assert len({b for mine in births for b in mine}) == 4000


def test_modes_end_with_an_exception():
    with pytest.raises(ZeroDivisionError), no_grad():
        _ = 1 / 0
    assert (leaf(1.0) * 2).requires_grad
    with pytest.raises(ZeroDivisionError):
        trace(lambda x: 1 / 0, Spec((), float))
    assert (tensor([1.0]) * 2).op is None


# Copies.


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_leaves_of_their_own(copied):
    x = leaf(1.0, 2.0)
    y = copied(x)
    assert y.requires_grad
    assert y.birth != x.birth
    with no_grad():
        y.assign([5.0, 6.0])
    assert x.detach().numpy().tolist() == [1.0, 2.0]
    z = copied(x * 2)
    assert z.is_leaf
    assert z.detach().numpy().tolist() == [2.0, 4.0]


def test_a_deep_copy_keeps_what_is_shared():
    x = leaf(1.0)
    a, b = copy.deepcopy([x, x])
    assert a is b


# What a tensor can do.


def test_tensors_look_like_arrays():
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    assert (x.shape, x.ndim, x.size, len(x), x.is_leaf) == ((2, 2), 2, 4, 2, True)
    assert x.T.numpy().tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert x.sum(axis=0).numpy().tolist() == [4.0, 6.0]
    assert x.mean().item() == float(x.mean()) == 2.5
    assert int(tensor(3)) == float(tensor(3)) == 3
    assert bool(tensor(True))
    assert bool(tensor(0.5))
    assert not tensor(0.0)
    assert [row.sum().item() for row in x] == [3.0, 7.0]
    assert x.reshape(4).shape == x.reshape((4,)).shape == (4,)
    assert x.transpose(1, 0).shape == (2, 2)
    for turned in (x.transpose(), x.transpose(None), x.transpose((1, 0)), x.transpose([1, 0])):
        np.testing.assert_array_equal(turned.numpy(), x.numpy().T)
    assert x.astype(np.float32).dtype == np.float32
    assert (x @ x).numpy().tolist() == [[7.0, 10.0], [15.0, 22.0]]
    assert np.asarray(x).sum() == 10
    assert np.asarray(x, np.float32).dtype == np.float32
    assert len(tensor(np.zeros((3, 2)))) == 3
    with pytest.raises(ShapeError, match="item\\(\\) needs one element"):
        x.item()
    with pytest.raises(TypeError, match="no length"):
        len(tensor(1.0))


def test_operators_with_arrays_and_numbers_on_either_side():
    x = leaf(1.0, 4.0)
    array = np.array([2.0, 3.0])
    for result, expected in [
        (array + x, [3, 7]), (array - x, [1, -1]), (array * x, [2, 12]), (array / x, [2, 0.75]),
        (2 ** x, [2, 16]), (x ** 2, [1, 16]), (-x, [-1, -4]), (abs(-x), [1, 4]), (1 - x, [0, -3]),
        (8 / x, [8, 2]),
    ]:  # fmt: skip
        assert isinstance(result, Tensor)
        assert result.detach().numpy().tolist() == expected
    assert (x < 2).numpy().tolist() == [True, False]
    assert (x >= 4).numpy().tolist() == [False, True]
    assert (x <= 1).numpy().tolist() == (x <= 1).numpy().tolist() == [True, False]
    assert (x > array).numpy().tolist() == [False, True]


def test_the_repr_shows_the_numbers():
    assert repr(leaf(1.0, 2.0)) == "tensor([1., 2.], requires_grad=True)"
    assert repr(leaf(1.0) * 2) == "tensor([2.])"
    assert repr(tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"
    assert (
        repr(trace(lambda x: x * 2, Spec(("rows", 3))).output) == "<traced mul: float32[rows, 3]>"
    )


def test_a_node_says_how_it_was_made():
    x = leaf(1.0, 2.0)
    y = ops.sum(x, axis=0, keepdims=True)
    assert (y.op, y.inputs, y.attrs) == (OPS["sum"], (x,), {"axis": (0,), "keepdims": True})


def test_scopes_name_the_nodes():
    with scope("outer"), scope("inner"):
        y = leaf(1.0) * 2
    assert y.scope.path() == "outer/inner"
    assert (leaf(1.0) * 2).scope is None


def test_scalars_of_numpy_keep_to_the_dtype_of_arrays():
    assert constant(np.float64(2.0)).value == 2.0
    assert type(constant(np.float64(2.0)).value) is float
    with pytest.raises(DtypeError, match="not complex128 data"):
        constant(np.array([1j]))
    assert constant(2).item() == 2
    assert (tensor(np.ones(2, np.float32)) * np.float64(3.0)).dtype == np.float32


def test_gradients_do_not_share_memory_with_each_other():
    """add hands the same cotangent to both: changing one gradient may not change the other."""
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    ops.sum(a + b).backward()
    ops.sum(a * 5).backward()
    assert a.grad.numpy().tolist() == [6.0, 6.0]
    assert b.grad.numpy().tolist() == [1.0, 1.0]
    first, second = grad(lambda x, y: ops.sum(x + y), argnums=(0, 1))(np.ones(2), np.ones(2))
    first *= 7
    assert second.tolist() == [1.0, 1.0]


def test_a_tensor_of_a_tensor_is_a_new_leaf():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = tensor(x * 2.0)
    assert y.op is None
    assert not y.requires_grad
    assert np.array_equal(y.value, [2.0, 4.0])


def test_what_is_traced_cannot_be_copied():
    graph = trace(lambda x: x * 2.0, Spec((3,), float))
    for whole in (graph, graph.output):
        for copied in (copy.deepcopy, pickle.dumps):
            with pytest.raises(GraphError, match="cannot be copied or pickled: copy the module"):
                copied(whole)


def test_detach_in_a_trace_says_what_to_use():
    with pytest.raises(GraphError, match=r"ops\.stop_gradient\(x\) in place of x\.detach\(\)"):
        trace(lambda x: x.detach() * x, Spec((3,), float))
