"""Functions of rows that do not depend on one another are computed in blocks of rows."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import Spec, ops
from chainrule.errors import ShapeError
from chainrule.transforms.compile import FEW, ROWS, Compiled
from chainrule.transforms.compile.program import Program
from chainrule.transforms.compile.report import work

N = Spec(("n", 3), float)
WEIGHT = np.arange(6.0).reshape(3, 2) / 5


def rows_apart(x):
    return ops.tanh(ops.matmul(x, WEIGHT)), ops.sum(x * x, 1)


@pytest.fixture
def bound(monkeypatch):
    """Give what is bound and run, for any number of threads: by one, as plain ones never meet."""
    made, bind = [], Program.bind

    def plain(self, sizes, *args, threads=1, **kwargs):
        found = bind(self, sizes, threads=threads, plain=True)
        found.runs, run = [], found.run
        found.run = lambda *given: (found.runs.append(given), run(*given[:3]))[1]
        made.append(found)
        return found

    monkeypatch.setattr(Program, "bind", plain)
    return made


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [0, 1, FEW, FEW + 1, 2 * ROWS, 2 * ROWS + 1, 4 * ROWS])
def test_blocks_of_rows(bound, monkeypatch, rows, threads):
    monkeypatch.setattr("chainrule.transforms.compile.WORTH_SHARING", 0)
    f = cr.compile(rows_apart, N, threads=threads)
    for n in (rows, 5, rows):
        x = np.random.default_rng(n).normal(size=(n, 3))
        for found, expected in zip(f(x), rows_apart(x), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    first, block = bound[0], FEW if rows <= FEW else ROWS * threads
    steps = -(-rows // block)
    assert first.runs[0] == (0, steps, steps - 1, threads if rows else 1)
    assert (first.threads, first.sizes) == (threads, {"n": block})
    assert [found.sizes["n"] for found in bound[1:]] == [FEW] * (rows > FEW)
    assert len(first.runs) == (2 if rows > FEW else 3)


def test_little_work_is_not_shared(bound, monkeypatch):
    f = cr.compile(rows_apart, N, threads=2)
    f(np.ones((1, 3)))
    per_row = work(bound[0]) / FEW
    monkeypatch.setattr("chainrule.transforms.compile.WORTH_SHARING", 20 * per_row)
    for rows in (20, 21):
        f(np.ones((rows, 3)))
    assert [given[3] for given in bound[1].runs] == [1, 2]


@pytest.mark.parametrize(
    ("f", "specs", "in_blocks"),
    [
        (rows_apart, [N], True),
        (lambda x, y: x * y, [N, Spec(("n", 3), float)], True),
        (lambda x: ops.sum(x, 0), [N], False),
        (lambda x: (x * 2.0, ops.sum(x)), [N], False),
        (lambda x: ops.softmax(x, 0), [N], False),
        (lambda x: (x, x * 2.0), [N], False),
        (lambda x: [x * 2.0] * 2, [N], False),
        (lambda x: x * 2.0, [Spec((4, 3), float)], False),
        (lambda x, y: x * y, [N, Spec((3,), float)], False),
        (lambda x, y: ops.matmul(x, y), [Spec(("n", "m"), float), Spec(("m", 2), float)], False),
        (lambda x: ops.matmul(x, x, transpose_b=True), [N], False),
        (lambda x: ops.transpose(x) * 2.0, [N], False),
    ],
)
def test_which_functions_are_computed_in_blocks(f, specs, in_blocks):
    compiled = cr.compile(f, *specs, plain=True)
    assert compiled._in_blocks == in_blocks
    sizes = {"n": 7, "m": 3}
    arrays = [
        np.random.default_rng(0).normal(size=[sizes.get(n, n) for n in s.shape]) for s in specs
    ]
    found, expected = compiled(*arrays), f(*arrays)
    for y, e in zip(
        *((z if isinstance(z, list | tuple) else [z]) for z in (found, expected)), strict=True
    ):
        np.testing.assert_allclose(y, e, rtol=1e-12)
    plans = [compiled.plan(n=n, m=3) for n in (7, 9)]
    same = all(isinstance(n, int) for s in specs for n in s.shape)
    assert (plans[0] == plans[1]) == (in_blocks or same)


def test_shapes_of_rows_are_checked():
    f = cr.compile(lambda x, y: x * y, N, N, plain=True)
    with pytest.raises(ShapeError, match=r"input 1 has shape \(4, 3\), expected \[n, 3\]"):
        f(np.ones((5, 3)), np.ones((4, 3)))
    with pytest.raises(ShapeError, match=r"input 0 has shape \(\), expected \[n, 3\]"):
        f(np.ones(()), np.ones((5, 3)))


def test_inputs_of_another_dtype_or_order_are_converted():
    f = cr.compile(lambda x: x * 2.0, N, plain=True)
    x = np.arange(12.0).reshape(3, 4).T
    for given in (x, x.astype(np.float32), x.tolist(), x.astype(int)):
        found = f(given)
        assert found.dtype == float
        np.testing.assert_array_equal(found, 2 * x)


def test_an_input_that_nothing_reads():
    f = cr.compile(lambda x, y: x * 2.0, N, N, plain=True)
    for value in (1.0, 3.0):
        given = np.full((2, 3), value)
        np.testing.assert_array_equal(f(given, given), 2 * given)
    with pytest.raises(ShapeError, match=r"input 1 has shape \(2, 4\)"):
        f(np.ones((2, 3)), np.ones((2, 4)))


@pytest.mark.parametrize("rows", [3, "n"])
def test_parameters_that_change_count_from_the_next_call(rows):
    layer = cr.nn.Linear(3, 2, seed=0).astype(float)
    f = cr.compile(layer, Spec((rows, 3), float), plain=True)
    assert isinstance(f, Compiled)
    x = np.ones((3, 3))
    for shift in (0.0, 1.0, 1.0):
        with cr.no_grad():
            layer.bias.assign(layer.bias.value + shift)
        np.testing.assert_allclose(f(x), layer(x).detach().numpy(), rtol=1e-12)


def test_memory_is_made_anew_for_other_sizes_alone(bound):
    f = cr.compile(lambda x: ops.sum(x, 0), N, threads=3)
    for n in (4, 4, 5, 5, 4):
        np.testing.assert_array_equal(f(np.ones((n, 3))), [n] * 3)
    assert [x.sizes["n"] for x in bound] == [4, 5, 4]
    assert {x.threads for x in bound} == {3}
    assert all(given == () for x in bound for given in x.runs)


@pytest.mark.parametrize("sizes", [(1, 3, 16, 2), (16, 17, 1, 40)])
def test_results_of_few_rows_are_the_callers_own(sizes):
    f = cr.compile(rows_apart, N, plain=True)
    given = [np.random.default_rng(n).normal(size=(n, 3)) for n in sizes]
    found = [f(x) for x in given]
    for x, (first, second) in zip(given, found, strict=True):
        for result, expected in zip((first, second), rows_apart(x), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-12)
            assert result.flags.owndata
            assert result.flags.writeable


@pytest.mark.parametrize("rows", [2, 2 * ROWS + 1])
def test_a_plan_before_the_first_call_changes_no_result(rows):
    f = cr.compile(rows_apart, N, plain=True)
    assert "matmul" in f.plan()
    x = np.random.default_rng(0).normal(size=(rows, 3))
    for found, expected in zip(f(x), rows_apart(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("width", [3, 5, 4])
def test_few_rows_of_a_source_that_is_taken_over(width):
    """It was written for a graph of other sizes."""
    x = np.random.default_rng(0).normal(size=(2, width))
    f = cr.compile(
        lambda x: (ops.tanh(x) * 2.0, ops.sum(x, 1)), Spec(("n", width), float), plain=True
    )
    for found, expected in zip(f(x), (np.tanh(x) * 2.0, x.sum(1)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
