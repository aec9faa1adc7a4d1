"""What a profile measures, says and advises."""

import numpy as np
import pytest

from chainrule import Spec, ops, trace
from chainrule.scan import scan
from chainrule.transforms.compile import language, report
from chainrule.transforms.compile.program import Program
from chainrule.transforms.compile.report import Profile, Statement, plan, profile, statements, work


def measured(*parts, peak=1e9):
    """Give a profile of statements, each with its operations, seconds, and whether it is a product.

    A name that ends in a colon stands for a statement of the optimizer.
    """
    listed = [
        Statement("product" if product else f"loop_{i}", what, "4x2", operations, 8, product)
        for i, (what, operations, _, product) in enumerate(parts)
    ]
    return Profile(listed, [seconds for _, _, seconds, _ in parts], peak)


LONG = "the optimizer takes {}: a larger batch_size makes fewer updates of the same cost"
SMALL = (
    "the matrix products are too small to fill the processor: a larger batch or wider layers cost "
    "little more"
)
MOST = (
    "the matrix products run at {} of the peak and take most of the time: only a smaller net or a "
    "second thread is faster"
)


@pytest.mark.parametrize(
    ("product", "adam", "other", "speed", "advice"),
    [
        (0.64, 0.36, 0.0, 0.4, [LONG.format("36%")]),
        (0.64, 0.34, 0.02, 0.4, []),
        (0.65, 0.35, 0.0, 0.4, []),
        (0.5, 0.5, 0.0, 0.3, [LONG.format("50%"), SMALL]),
        (0.71, 0.1, 0.19, 0.41, [MOST.format("41%")]),
        (0.69, 0.1, 0.21, 0.41, []),
        (0.71, 0.1, 0.19, 0.39, [SMALL]),
        (0.0, 0.1, 0.9, 0.0, []),
    ],
)
def test_advice(product, adam, other, speed, advice):
    """`speed` is that of the products as a share of the peak."""
    parts = [
        ("matmul", speed * 1e9 * product / 2, product / 2, True),
        ("head: matmul", speed * 1e9 * product / 2, product / 2, True),
        ("Adam: mul", 5e9, adam, False),
        ("batch: take", 5e9, other, False),
    ]
    found = measured(*parts)
    assert found.total == pytest.approx(1)
    assert found.advice() == advice


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Adadelta"]
)
def test_the_optimizer_is_known_by_its_name(name):
    assert (
        LONG.format("90%")
        in measured((f"{name}: mul", 1, 0.9, False), ("x", 1, 0.1, False)).advice()
    )
    assert not measured((f"no{name}: mul", 1, 0.9, False), ("x", 1, 0.1, False)).advice()


def test_a_profile_as_a_table():
    found = measured(("matmul", 3e6, 4e-3, True), ("Adam: mul", 2e3, 12e-3, False), peak=3e9)
    assert (
        str(found)
        == """\
statement  what it computes  sizes        us   share  GFLOP/s  of peak
product    matmul            4x2     4000.00   25.0%      0.8      25%
loop_1     Adam: mul         4x2    12000.00   75.0%
total                               16000.00  100.0%
peak of one thread here: 3 GFLOP/s
* the optimizer takes 75%: a larger batch_size makes fewer updates of the same cost
* the matrix products are too small to fill the processor: a larger batch or wider layers cost \
little more"""
    )
    nothing = str(measured(("matmul", 0.0, 0.0, True))).splitlines()
    assert nothing[1].split() == ["product", "matmul", "4x2", "0.00", "0.0%", "0.0", "0%"]


def layered(n="n"):
    """Give the program of a product, a function and a recurrence over named rows."""

    def f(x, w, steps):
        return scan(lambda s, x: ops.tanh(s * 2.0 + x), ops.matmul(x, w), [steps]), ops.exp(x)

    specs = Spec((n, 3), float), Spec((3, 2), float), Spec((4, n, 2), float)
    graph = trace(f, *specs)
    return Program(graph.inputs, list(graph.output)), graph.inputs


def test_statements_for_other_sizes():
    program, _ = layered()
    bound = program.bind({"n": 5}, plain=True)
    for rows, sizes in ((5, None), (2, {"n": 2})):
        found = {s.what: s for s in statements(bound, sizes)}
        matmul, exp, steps = (found[what] for what in ("matmul", "exp", "scan"))
        assert (matmul.name, matmul.sizes, matmul.is_product) == ("product", f"{rows}x2x3", True)
        assert (matmul.operations, matmul.bytes) == (2 * rows * 2 * 3, 8 * (rows * 5 + 6))
        assert (exp.name, exp.sizes, exp.is_product) == ("loop_1", f"{3 * rows}", False)
        assert exp.bytes == 8 * 6 * rows
        assert (steps.name, steps.sizes, steps.is_product) == ("steps", f"4x{rows}x2", False)
        assert steps.operations % (4 * rows * 2) == 0
        assert steps.operations > 0
    assert work(bound) == sum(s.operations for s in statements(bound))
    assert f"{work(bound):,.0f}" in plan(bound)


class Clock:
    """Stands for the module `time`: each look at a clock finds it a second later."""

    def __init__(self):
        self.seconds = 0

    def perf_counter(self):
        self.seconds += 1
        return float(self.seconds)

    def perf_counter_ns(self):
        return int(self.perf_counter() * 1e9)


def test_seconds_of_each_statement(monkeypatch):
    """With a clock that every look moves on, each of three statements takes a third of a step.

    A run of s steps looks 3 s + 1 times within, and twice from outside.
    """
    program, leaves = layered()
    clock = Clock()
    for module in (report, language):
        monkeypatch.setattr(module, "time", clock)
    bound = program.bind({"n": 5}, {"n": 2}, plain=True)
    for x in leaves:
        shape = tuple(n if isinstance(n, int) else 5 for n in x.shape)
        bound.set(program.leaves[x.birth], np.ones(shape))
    before = bound.arena.copy()
    for steps, short in ((1, -1), (4, 3), (1, 0)):
        found = profile(bound, seconds=0, short=short, steps=steps)
        wall = 3 * steps + 2
        np.testing.assert_allclose(found.seconds, [wall / 3 / steps] * 3)
        assert found.peak == 2 * 256**3 * 8
        rows = 2 if (steps, short) == (1, 0) else 5
        assert [s.sizes for s in found.statements if s.is_product] == [f"{rows}x2x3"]
    np.testing.assert_array_equal(bound.arena, before)


def test_a_profile_goes_on_for_as_long_as_asked(monkeypatch):
    program, _ = layered()
    monkeypatch.setattr(report, "time", Clock())
    bound = program.bind({"n": 1}, plain=True)
    runs = []
    monkeypatch.setattr(type(bound), "run", lambda self, *given: runs.append(given))
    monkeypatch.setattr(type(bound), "timed", lambda self: self)
    profile(bound, seconds=7, short=2, steps=3)
    assert runs == [(0, 1, 2)] + [(0, 3, 2)] * 3
    runs.clear()
    profile(bound)
    assert runs == [(0, 1, -1)] * 2
