"""What a program computes beside the rest: right numbers, and the rest as it was."""

import numpy as np
import pytest

from chainrule import ops
from chainrule.graph import placeholder, scope, tracing
from chainrule.transforms.compile.beside import Beside
from chainrule.transforms.compile.executor import NumpyProgram
from chainrule.transforms.compile.program import Program
from programs import PlainProgram, loops

ROWS, UNITS = 6, 3
X = np.random.default_rng(0).normal(size=(4, ROWS, UNITS))
W = np.random.default_rng(1).normal(size=(UNITS, UNITS))


KINDS = [NumpyProgram, PlainProgram]


def plus_one(w, g):
    return ops.sub(w, ops.mul(g, 0.1))


def normalized(w, g):
    """Update by a sum over all of it, which is computed anew beside, for it comes too late."""
    return ops.sub(w, ops.div(g, ops.sqrt(ops.sum(ops.mul(g, w)) ** 2 + 1.0)))


def turned(w, g):
    """Update by a product of matrices, which lies in memory too late as well."""
    return ops.sub(w, ops.mul(ops.matmul(ops.exp(w), g), 0.01))


class Example:
    """A step: y = tanh(x w), the mean of y is checked, and w is updated."""

    def __init__(self, kind, update, beside):
        x = placeholder(("rows", UNITS), np.float64)
        w = placeholder((UNITS, UNITS), np.float64)
        seen, sums = placeholder((UNITS,), np.float64), placeholder((), np.float64)
        with tracing():
            y = ops.tanh(ops.add(ops.matmul(x, w), 1.0))
            check = ops.div(1.0, ops.sum(ops.mul(y, y)))
            new = update(w, ops.matmul(x, y, transpose_a=True))
            with scope("beside"):
                change = ops.sub(new, w)
                outputs = [ops.sum(ops.mul(w, w)), ops.sum(ops.mul(change, change))]
                slopes = ops.sum(ops.sub(1.0, ops.mul(y, y)), axis=0)
                updates = {seen: ops.add(seen, slopes), sums: ops.add(sums, ops.count(x, 0))}
        also = Beside(tuple(outputs), updates) if beside else None
        streams = [check, *(outputs if beside else [])]
        self.program = kind([x], [check], {w: new}, streams=streams, checks=[check], beside=also)
        self.bound = self.program.bind({"rows": ROWS})
        self.w, self.checks, self.numbers = W.copy(), np.zeros(4), np.zeros((4, 2))
        self.seen, self.sums = np.zeros(UNITS), np.zeros(())
        leaves = [(x, X[0]), (w, self.w)]
        leaves += [(seen, self.seen), (sums, self.sums)] if beside else []
        for leaf, array in leaves:
            self.bound.set(self.program.leaves[leaf.birth], array)
        given = [self.checks, *self.numbers.T]
        for k, (node, array) in enumerate(zip(self.program.outputs, given, strict=False)):
            self.bound.set(node, array)
            self.bound.move(node, 2 if k else 1)
        self.x = self.program.leaves[x.birth]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("update", [plus_one, normalized, turned])
def test_numbers_beside_a_step(kind, update):
    example, alone = Example(kind, update, True), Example(kind, update, False)
    w, seen = W.copy(), np.zeros(UNITS)
    for step in range(3):
        y = np.tanh(X[0] @ w + 1)
        new = update(w, X[0].T @ y)
        seen += (1 - y**2).sum(0)
        assert example.bound.run(step, step + 1) == alone.bound.run(step, step + 1) == step + 1
        np.testing.assert_allclose(example.numbers[step], [(w**2).sum(), ((new - w) ** 2).sum()])
        w = new
    np.testing.assert_allclose(example.w, w)
    np.testing.assert_allclose(example.seen, seen)
    assert example.sums == 3 * ROWS
    assert example.w.tobytes() == alone.w.tobytes()
    assert example.checks.tobytes() == alone.checks.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_fails_adds_nothing(kind):
    example = Example(kind, plus_one, True)
    example.bound.set(example.x, np.full((ROWS, UNITS), np.nan))
    assert example.bound.run(0, 2) == 0
    assert example.w.tobytes() == W.tobytes()
    assert not example.seen.any()
    assert example.sums == 0


@pytest.mark.parametrize("update", [plus_one, normalized, turned])
def test_the_loops_of_the_rest_are_the_same_text(update):
    beside, alone = Example(Program, update, True), Example(Program, update, False)
    assert loops(alone.program.source) < loops(beside.program.source)
    assert "beside: sum" in beside.program.source


def test_numpy_drops_what_is_read_beside_as_early():
    """The slopes are summed before the check, and not kept for after it."""
    program = Example(NumpyProgram, plus_one, True).program
    orders = [node.order for node in program.nodes]
    sums = next(node for node in program.nodes if str(node) == "sum" and node.shape == (UNITS,))
    assert sums.order in program.first
    assert orders != sorted(orders)
    assert orders.index(sums.order) < orders.index(program.news[0].order)
