"""Random smooth expressions: forward mode, reverse mode and differences agree, to the second order.

The expressions are those of `test_compile_random`, which compares compiled with eager ones, without
the ops that have kinks or jumps.
"""

from itertools import pairwise

import numpy as np
from hypothesis import assume, given, settings

import chainrule as cr
from chainrule import ops
from test_compile_random import CASES, Cook

FUNCTIONS = [
    ops.tanh, ops.sin, ops.cos, ops.sigmoid, ops.softplus, ops.silu, ops.neg, ops.square, ops.ndtr,
    lambda x: ops.exp(ops.tanh(x)), lambda x: ops.sqrt(x * x + 1.0), lambda x: ops.log1p(x * x),
    lambda x: 2.0 / (x * x + 0.7), lambda x: ops.expm1(ops.sin(x)), lambda x: ops.pow(x, 3.0),
]  # fmt: skip
ARITHMETIC = [
    ops.add, ops.sub, ops.mul, lambda x, y: x / (y * y + 0.5), lambda x, y: x * y + y,
    lambda x, y: ops.pow(y * y + 0.5, ops.tanh(x)),
]  # fmt: skip
SMOOTH = ("function", "arithmetic", "total", "along", "transpose", "reshape", "slice", "newaxis",
          "take", "concat", "matmul")  # fmt: skip


class SmoothCook(Cook):
    """Follows the smooth parts of a recipe."""

    def follow(self, recipe):
        return super().follow([step for step in recipe if step[0] in SMOOTH])

    def function(self, x, shape):
        return self.pick(FUNCTIONS)(x)

    def arithmetic(self, x, shape):
        y = self.partner(x, lambda a, b: broadcast(a, b))
        return self.pick(ARITHMETIC)(*self.pick([(x, y), (y, x)]))

    def along(self, x, shape):
        axis = self.axis(shape, empty=False)
        lines = [ops.softmax, ops.log_softmax, ops.cumsum, ops.logsumexp]
        return None if axis is None else self.pick(lines)(x, axis)


def broadcast(a, b):
    return all(n == m or 1 in (n, m) for n, m in zip(a[::-1], b[::-1], strict=False))


def prepared(case):
    """Give a scalar function of some arrays, and the arrays; nothing where it is not tame."""
    shapes, size, recipe, ends, _ = case

    def f(*inputs):
        pool = SmoothCook(inputs).follow(recipe)
        return sum(ops.sum(ops.sin(pool[-1 - e % len(pool)])) for e in ends)

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=tuple(size if k == "n" else k for k in s)) for s in shapes]
    directions = [rng.normal(size=np.shape(x)) for x in arrays]
    with np.errstate(all="ignore"):
        pool = SmoothCook(arrays).follow(recipe)
    tame = all(np.all(np.abs(x) < 30) for x in pool)
    return (f, arrays, directions) if tame and any(x.size for x in arrays) else None


def inner(a, b):
    return float(sum(np.vdot(x, y) for x, y in zip(a, b, strict=True)))


def along_direction(f, arrays, directions, h):
    ahead = f(*[x + h * d for x, d in zip(arrays, directions, strict=True)])
    behind = f(*[x - h * d for x, d in zip(arrays, directions, strict=True)])
    return float(ahead - behind) / (2 * h)


def differences(f, arrays, directions):
    """Extrapolate differences to h = 0; give the slope, and about how far it may be off."""
    d = [along_direction(f, arrays, directions, h) for h in (2e-3, 1e-3, 5e-4)]
    first, second = ((4 * fine - rough) / 3 for rough, fine in pairwise(d))
    return (16 * second - first) / 15, abs(second - first)


@settings(max_examples=400)
@given(CASES)
def test_forward_reverse_and_differences_agree(case):
    assume(ready := prepared(case))
    f, arrays, directions = ready
    every = tuple(range(len(arrays)))
    gradients = cr.grad(f, argnums=every)(*arrays)
    assert [g.shape for g in gradients] == [np.shape(x) for x in arrays]
    backwards = inner(gradients, directions)
    _, forwards = cr.jvp(f, tuple(arrays), tuple(directions))
    size = 1e-3 + sum(
        float(np.abs(g * d).sum()) for g, d in zip(gradients, directions, strict=True)
    )
    assert abs(float(forwards) - backwards) <= 1e-11 * size
    slope, doubt = differences(f, arrays, directions)
    assert abs(slope - backwards) <= 1e-7 * size + 10 * doubt


@settings(max_examples=200)
@given(CASES)
def test_second_derivatives_are_symmetric_and_those_of_the_first(case):
    assume(ready := prepared(case))
    f, arrays, directions = ready
    every = tuple(range(len(arrays)))
    others = [np.roll(d, 1) * 1.5 for d in directions]
    gradient = cr.grad(f, argnums=every)

    def curved(chosen):
        return cr.jvp(gradient, tuple(arrays), tuple(chosen))[1]

    one, two = inner(curved(directions), others), inner(curved(others), directions)
    size = 1e-3 + sum(float(np.abs(h).sum()) for h in curved(directions))
    assert abs(one - two) <= 1e-10 * size
    slope, doubt = differences(lambda *x: inner(gradient(*x), others), arrays, directions)
    assert abs(slope - one) <= 1e-6 * size + 10 * doubt


def test_the_check_notices_a_wrong_derivative():
    """A function whose gradient lacks a factor of 0.999 fails all three comparisons."""

    def f(x):
        frozen = ops.stop_gradient(x)
        return ops.sum(ops.sin(x * 0.999 + frozen * 0.001))

    x = np.linspace(-1, 1, 5)
    slope, doubt = differences(f, [x], [np.ones(5)])
    wrong = float(cr.grad(f)(x).sum())
    assert abs(slope - wrong) > 1e-7 * 5 + 10 * doubt
