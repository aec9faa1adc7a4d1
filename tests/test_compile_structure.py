"""When two graphs are one, and when they are not."""

import numpy as np
import pytest

from chainrule import Spec, ops, trace
from chainrule.graph import constant
from chainrule.scan import scan
from chainrule.transforms.compile.structure import same

NAN = np.array([1.0, np.nan])


def nodes(f, shape=("rows", 4), dtype=float):
    return trace(f, Spec(shape, dtype)).nodes


def steps(scale):
    def f(x):
        xs = ops.concat([ops.reshape(x, (1, *x.shape))] * 3, axis=0)
        return scan(lambda h, x: h * scale + x, x, [xs])

    return f


ALIKE = {
    "ops": (lambda x: ops.sum(ops.exp(x), axis=1), lambda x: ops.sum(ops.exp(x), axis=1)),
    "numbers": (lambda x: x * constant(NAN[:1]), lambda x: x * constant(NAN[:1].copy())),
    "NaN": (lambda x: x * constant(np.array(np.nan)), lambda x: x * constant(np.array(np.nan))),
    "steps": (steps(2.0), steps(2.0)),
}
OTHERS = {
    "op": (ops.exp, ops.tanh),
    "number": (lambda x: x * 2.0, lambda x: x * 3.0),
    "array": (lambda x: x * constant(NAN[:1]), lambda x: x * constant(NAN[:1] + 1)),
    "weak number": (lambda x: x * 2.0, lambda x: x * constant(np.array(2.0))),
    "attribute": (lambda x: ops.sum(x, axis=0), lambda x: ops.sum(x, axis=1)),
    "input": (
        lambda x: ops.exp(x) - ops.exp(ops.exp(x)),
        lambda x: ops.exp(ops.exp(x)) - ops.exp(x),
    ),
    "length": (lambda x: x, ops.exp),
    "steps": (steps(2.0), steps(3.0)),
}


@pytest.mark.parametrize(("f", "g"), ALIKE.values(), ids=list(ALIKE))
def test_graphs_traced_twice_are_one(f, g):
    assert same(nodes(f), nodes(g))


@pytest.mark.parametrize(("f", "g"), OTHERS.values(), ids=list(OTHERS))
def test_every_difference_counts(f, g):
    assert not same(nodes(f), nodes(g))
    assert not same(nodes(g), nodes(f))


def test_shapes_and_dtypes_count():
    f = ALIKE["ops"][0]
    assert not same(nodes(f), nodes(f, shape=("rows", 5)))
    assert not same(nodes(f), nodes(f, dtype=np.float32))
