"""Products that add their terms to those of other products."""

import numpy as np
import pytest

from chainrule import Spec, ops, trace
from chainrule.ops import exp, matmul, sin
from chainrule.transforms.compile.program import Program
from chainrule.tree import flatten
from turns import Turns

RNG = np.random.default_rng(0)
H, X = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 3))
U, W, B = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 3)), RNG.normal(size=2)


def of_x(x):
    return matmul(x, W, transpose_b=True)


def in_two_dtypes(h, x):
    """The sum is one of float64, its products are not."""
    h, x, u, w = (ops.cast(y, dtype=np.dtype(np.float32)) for y in (h, x, U, W))
    return matmul(h, u) + (matmul(x, w, transpose_b=True) + B)


def one_is_read_twice(h, x):
    first = matmul(h, U)
    return first + of_x(x), ops.sum(first)


def inner_sum_is_read_twice(h, x):
    inner = matmul(h, U) + B
    return inner + of_x(x), ops.sum(inner)


def the_same_twice(h, x):
    first = matmul(h, U)
    return exp(first + first) + x[:, :2]


def piles(h, x):
    pile = ops.reshape(h, (6, 2, 2))
    return exp(matmul(pile, pile) + matmul(pile, sin(pile))), x


@pytest.mark.parametrize(
    ("f", "added"),
    [
        (lambda h, x: ops.tanh(matmul(h, U) + of_x(x)), 1),
        (lambda h, x: ops.tanh(matmul(h, U) + (of_x(x) + B)), 1),
        (lambda h, x: ops.tanh((B + of_x(x)) + matmul(h, U)), 1),
        (lambda h, x: exp(matmul(h, U) + matmul(sin(h), U) + of_x(x)), 2),
        (lambda h, x: matmul(h, U) + of_x(x), 1),
        (lambda h, x: matmul(h[:0], U) + of_x(x[:0]), 1),
        (lambda h, x: matmul(h[:, :0], U[:0]) + of_x(x), 1),
        (in_two_dtypes, 0),
        (one_is_read_twice, 0),
        (inner_sum_is_read_twice, 0),
        (the_same_twice, 0),
        (lambda h, x: exp(of_x(x) + matmul(h[:1], U)), 0),
        (lambda h, x: exp(matmul(h, x, transpose_a=True) + matmul(sin(h), x, transpose_a=True)), 0),
        (piles, 0),
    ],
)
def test_a_product_is_added_where_the_other_one_lies(f, added):
    graph = trace(f, Spec(H.shape, float), Spec(X.shape, float))
    program, expected = Program(graph.inputs, flatten(graph.output)), flatten(f(H, X))
    assert program.text.source.count("add_product(") == added
    for threads in (1, 2, 3):
        bound = program.bind({}, plain=True, threads=threads)
        for x, array in zip(graph.inputs, (H, X), strict=True):
            bound.set(program.leaves[x.birth], array)
        bound.arena[...] = 0xFF  # NaN
        Turns(threads, seed=threads).run(program.text.source, bound.table.ctypes.data)
        for i, y in enumerate(expected):
            np.testing.assert_allclose(bound.result(i), y, rtol=1e-12 if added else 1e-6)
