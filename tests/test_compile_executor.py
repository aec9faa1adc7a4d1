"""Graphs run by NumPy, op by op: what they cost, and what they keep."""

import numpy as np
import pytest

from chainrule import Spec, ops, trace
from chainrule.graph import placeholder, tracing
from chainrule.scan import scan
from chainrule.transforms.compile.executor import NumpyProgram
from chainrule.transforms.run import Graph

CALL, ELEMENT = 1.5e-6, 1e-9


def program_of(f, *specs):
    graph = trace(f, *specs)
    return NumpyProgram(graph.inputs, [graph.output]), graph


@pytest.mark.parametrize(
    ("f", "shapes", "seconds"),
    [
        (lambda x, y: x + y, [("n", 4), (4,)], CALL + 20 * ELEMENT),
        (lambda x: ops.tanh(x) * x, [("n", 4)], 2 * CALL + 9 * 20 * ELEMENT),
        (lambda x: ops.sum(x), [("n", 4)], CALL + ELEMENT),
        (lambda x, w: ops.matmul(x, w), [("n", 4), (4, 3)], CALL + 0.02 * 4 * 15 * ELEMENT),
        (lambda x, w: ops.matmul(x, w, transpose_a=True), [("n", 4), ("n", 3)],
         CALL + 0.02 * 5 * 12 * ELEMENT),
        (lambda s, x: scan(lambda s, x: s * x + 1.0, s, [x]), [("n", 4), (6, "n", 4)],
         6 * (2 * CALL + 2 * 20 * ELEMENT)),
    ],
)  # fmt: skip
def test_the_seconds_of_a_step_are_calls_multiplications_and_elements(f, shapes, seconds):
    program, _ = program_of(f, *[Spec(s, float) for s in shapes])
    assert program.seconds({"n": 5}) == pytest.approx(seconds, rel=1e-12)


def test_what_nobody_reads_later_is_dropped():
    program, graph = program_of(
        lambda x: ops.sum(ops.exp(ops.tanh(x)) + ops.sin(x)), Spec((3,), float)
    )
    bound = program.bind({})
    bound.set(program.leaves[graph.inputs[0].birth], np.ones(3))
    assert bound.run() == 1
    kept = {str(node) for node in program.nodes if bound.slots[node.order] is not None and node.op}
    assert kept == {"sum"}
    assert bound.result(0) == np.sum(np.exp(np.tanh(np.ones(3))) + np.sin(1.0))
    assert bound.plan() == "run by NumPy, op by op:\ntanh\nexp\nsin\nadd\nsum"


def test_steps_move_on_and_stop_at_a_check():
    """Rows and a number for each step; the last step is shorter, and what is updated stays."""
    with tracing():
        x, factor, weight = (
            placeholder(("n", 2), float),
            placeholder((), float),
            placeholder((2,), float),
        )
        total = ops.sum(x * factor)
        new = weight + ops.sum(x, 0)
    given = {"streams": [x, factor, total], "checks": [total]}
    program = NumpyProgram([x, factor], [total], {weight: new}, **given)
    rows = np.arange(14.0).reshape(7, 2)
    for factors, end in (([1.0, 2.0, 3.0], 3), ([1.0, np.inf, 3.0], 1)):
        bound = program.bind({"n": 3}, {"n": 1})
        totals, memory = np.zeros(3), np.zeros(2)
        arrays = {x: rows, factor: np.array(factors), weight: memory}
        for leaf, array in arrays.items():
            bound.set(program.leaves[leaf.birth], array)
        bound.set(program.outputs[0], totals)
        bound.move(program.leaves[x.birth], 6)
        assert bound.run(0, 3, 2) == end
        parts = [rows[:3], rows[3:6], rows[6:]]
        np.testing.assert_array_equal(memory, sum(part.sum(0) for part in parts[:end]))
        for i in range(min(end + 1, 3)):
            assert totals[i] == np.sum(parts[i] * factors[i])
        assert not totals[end + 1 :].any()


def test_results_of_numbers_take_the_dtype_of_what_they_meet():
    """As in the eager step: np.sqrt of a Python number would be a float64 that stays one."""
    with tracing():
        x, t = placeholder(("n",), np.float32), placeholder((), np.float64, weak=True)
        scaled = x * ops.sqrt(t)
    program = NumpyProgram([x, t], [scaled], streams=[t])
    bound = program.bind({"n": 2})
    bound.set(program.leaves[x.birth], np.ones(2, np.float32))
    bound.set(program.leaves[t.birth], np.array([4.0]))
    assert bound.run() == 1
    for found in (bound.result(0), Graph([x, t], scaled, {})(np.ones(2, np.float32), 4.0)):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, [2.0, 2.0])
