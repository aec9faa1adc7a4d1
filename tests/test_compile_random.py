"""Random expressions: the generated source gives what NumPy gives, for values and gradients.

A recipe is a list of ops and whole numbers. Each op takes tensors from a pool that starts with the
inputs and puts its result there; the numbers choose among what fits. What does not fit is left out.
"""

import random
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import Spec, ops, trace
from chainrule.dims import product, resolve
from chainrule.graph import shape_of
from chainrule.transforms.compile import Compiled, Program
from chainrule.tree import flatten
from turns import Turns

FLOAT = np.dtype(float)
ELEMENTS = 60
FULL = slice(None)

FUNCTIONS = [
    ops.tanh, ops.sin, ops.cos, ops.sigmoid, ops.softplus, ops.silu, ops.neg, ops.abs, ops.square,
    ops.stop_gradient, ops.ndtr, ops.floor, ops.norm,
    lambda x: ops.exp(ops.tanh(x)), lambda x: ops.sqrt(x * x + 1.0), lambda x: ops.log1p(x * x),
    lambda x: 2.0 / (x * x + 0.7), lambda x: x * 1.0 + 0.0, lambda x: 1.5 - x * 0.3,
    lambda x: ops.expm1(ops.sin(x)), lambda x: ops.clip(x, -0.5, 0.7), lambda x: ops.pow(x, 3.0),
    lambda x: ops.cast(ops.less(x, 0.2), dtype=FLOAT), lambda x: x * 0.0,
]  # fmt: skip
ARITHMETIC = [
    ops.add, ops.sub, ops.mul, ops.maximum, ops.minimum, lambda x, y: x / (y * y + 0.5),
    lambda x, y: x * y + y, lambda x, y: ops.pow(y * y + 0.5, ops.tanh(x)),
]  # fmt: skip
SLICES = [
    slice(1, None), slice(None, -1), slice(None, None, 2), slice(None, None, -1),
    slice(-2, None, -2), slice(1, 3), slice(0, 0),
]  # fmt: skip


class Cook:
    """Follows a recipe."""

    def __init__(self, pool):
        self.pool = list(pool)

    def follow(self, recipe):
        for name, *self.numbers in recipe:
            x = self.pick(self.pool)
            result = getattr(self, name)(x, shape_of(x))
            if result is not None and known(shape_of(result)) <= ELEMENTS:
                self.pool.append(result)
        return self.pool

    def pick(self, choices):
        choices = list(choices)
        return choices[self.numbers.pop() % len(choices)] if choices else None

    def axes(self, shape):
        axes = range(len(shape))
        return self.pick([None, *(c for k in axes for c in combinations(axes, k + 1))])

    def axis(self, shape, empty=True):
        """Pick an axis whose size is a number."""
        return self.pick([a for a, n in enumerate(shape) if isinstance(n, int) and (n or empty)])

    def partner(self, x, fits):
        return self.pick([y for y in self.pool if fits(shape_of(x), shape_of(y))])

    # Ops, by their name in a recipe.

    def function(self, x, shape):
        return self.pick(FUNCTIONS)(x)

    def arithmetic(self, x, shape):
        y = self.partner(x, broadcasts)
        return self.pick(ARITHMETIC)(*self.pick([(x, y), (y, x)]))

    def choose(self, x, shape):
        y = self.partner(x, broadcasts)
        z = self.partner(x, lambda a, b: broadcasts(a, b) and broadcasts(shape_of(y), b))
        return ops.where(ops.less(y, z), *self.pick([(x, y), (x, 0.0), (0.5, x), (z, x)]))

    def total(self, x, shape):
        axes, keep = self.axes(shape), self.pick([False, True])
        return self.pick([ops.sum, ops.mean, ops.var])(x, axes, keep)

    def count(self, x, shape):
        """Sum truth values, and cumulate their sums."""
        axes, keep = self.axes(shape), self.pick([False, True])
        return ops.cast(ops.sum(ops.less(x, 0.3), axes, keep), dtype=FLOAT)

    def largest(self, x, shape):
        axes, keep = self.axes(shape), self.pick([False, True])
        if any(shape[a] == 0 for a in (range(len(shape)) if axes is None else axes)):
            return None
        return self.pick([ops.max, ops.min, ops.logsumexp])(x, axes, keep)

    def along(self, x, shape):
        axis = self.axis(shape, empty=False)
        lines = [ops.softmax, ops.log_softmax, ops.cumsum, ops.sort]
        return None if axis is None else self.pick(lines)(x, axis)

    def position(self, x, shape):
        axis = self.axis(shape, empty=False)
        if axis is None:
            return None
        found = ops.argmax(x, axis, True)
        return self.pick([ops.take_along(x, found, axis), ops.cast(found, dtype=FLOAT)])

    def transpose(self, x, shape):
        return ops.transpose(x, self.pick(permutations(range(len(shape)))))

    def reshape(self, x, shape):
        named = [n for n in shape if not isinstance(n, int)]
        fits = forms(known(shape))
        if named and known(shape):
            fits = [s[:k] + tuple(named) + s[k:] for s in fits for k in (0, len(s))]
        return ops.reshape(x, shape if named and not known(shape) else self.pick(fits))

    def slice(self, x, shape):
        axis = self.axis(shape)
        if axis is None:
            return None
        return ops.getitem(x, (FULL,) * axis + (self.pick(SLICES + [0, -1] * (shape[axis] > 0)),))

    def newaxis(self, x, shape):
        return ops.getitem(x, (FULL,) * self.pick(range(len(shape) + 1)) + (None,))

    def take(self, x, shape):
        axis = self.axis(shape, empty=False)
        if axis is None:
            return None
        places = np.array(self.pick([[0], [-1, 0], [[0, -1], [0, 0]], []]), int) % shape[axis]
        return ops.take(x, places - self.pick([0, shape[axis]]), axis)

    def concat(self, x, shape):
        axis = self.axis(shape)
        if axis is None:
            return None
        rest = shape[:axis] + shape[axis + 1 :]
        y = self.partner(x, lambda a, b: len(a) == len(b) and b[:axis] + b[axis + 1 :] == rest
                         and isinstance(b[axis], int))  # fmt: skip
        return ops.concat(self.pick([[x, y], [y, x], [x, y, x], [x]]), axis)

    def matmul(self, x, shape):
        turns = self.pick([False, True]), self.pick([False, True])
        y = self.partner(x, lambda a, b: multiplies(a, b, *turns))
        return None if y is None else ops.matmul(x, y, *turns)

    def noise(self, x, shape):
        fixed = all(isinstance(n, int) for n in shape)
        return x * ops.uniform(3, shape) if fixed else None


OPS = [name for name in vars(Cook) if name not in
       ("follow", "pick", "axes", "axis", "partner") and name[0] != "_"]  # fmt: skip


def known(shape):
    """Give the number of elements, but for named dimensions."""
    return int(product(tuple(n for n in shape if isinstance(n, int))))


def broadcasts(a, b):
    return all(n == m or 1 in (n, m) for n, m in zip(a[::-1], b[::-1], strict=False))


def multiplies(a, b, turn_a, turn_b):
    if not a or not b:
        return False
    left = a[-2] if turn_a and len(a) > 1 else a[-1]
    right = b[-1] if turn_b or len(b) == 1 else b[-2]
    return left == right and broadcasts(a[:-2], b[:-2])


def forms(n):
    """Give shapes of n elements."""
    if n == 0:
        return [(0,), (0, 2), (3, 0)]
    pairs = [(d, n // d) for d in range(1, n + 1) if n % d == 0]
    return [(n,), *pairs, *((d, 1, e) for d, e in pairs), *((2, n // 2),) * (n % 2 == 0)]


# Cases: shapes of the inputs, the size that "n" stands for, the recipe, which results come out.

NUMBERS = st.integers(0, 1 << 16)
SHAPES = st.tuples(
    st.booleans(), st.lists(st.sampled_from([1, 2, 3, 4, 1, 2, 3, 0]), max_size=3)
).map(lambda drawn: ("n", *drawn[1][1:]) if drawn[0] and drawn[1] else tuple(drawn[1]))
CASES = st.tuples(
    st.lists(SHAPES, min_size=1, max_size=3),
    st.sampled_from([1, 2, 3, 4, 0]),
    st.lists(st.tuples(st.sampled_from(OPS), *[NUMBERS] * 6), min_size=3, max_size=12),
    st.lists(st.sampled_from([0, 1, 2, 3, 5]), min_size=1, max_size=3),
    st.booleans(),
)


def random_case(seed):
    """Draw a case without Hypothesis, for many at once."""
    r = random.Random(seed)
    shapes = [tuple(r.choices([1, 2, 3, 4], k=r.randint(0, 3))) for _ in range(r.randint(1, 3))]
    recipe = [(r.choice(OPS), *r.choices(range(1 << 16), k=6)) for _ in range(r.randint(1, 12))]
    return shapes, 0, recipe, r.choices([0, 1, 2, 3], k=r.randint(1, 3)), r.random() < 0.5


def prepared(case, n="n"):
    """Trace a case; give its graph, its inputs, what NumPy gives, and the largest number there."""
    shapes, size, recipe, ends, gradient = case

    def results(*inputs):
        pool = Cook(inputs).follow(recipe)
        return [pool[-1 - e % len(pool)] for e in ends]

    def loss(*inputs):
        return sum(ops.sum(ops.sin(y) if k else y * 0.7) for k, y in enumerate(results(*inputs)))

    f = cr.value_and_grad(loss, argnums=tuple(range(len(shapes)))) if gradient else results
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=tuple(size if k == "n" else k for k in s)) for s in shapes]
    try:
        graph = trace(f, *[Spec(tuple(n if k == "n" else k for k in s), float) for s in shapes])
        expected, largest = evaluated(graph, arrays, {n: size})
    except ValueError:  # the largest of no elements, or names where there must be numbers
        return None
    fine = largest < 1e8 and all(np.isfinite(y).all() for y in expected)
    return (graph, arrays, expected, largest) if fine else None


def evaluated(graph, arrays, sizes):
    values = {x.birth: a for x, a in zip(graph.inputs, arrays, strict=True)}
    with np.errstate(all="ignore"):
        for x in graph.nodes:
            if x.birth not in values:
                inputs = [values[y.birth] for y in x.inputs]
                attrs = {key: resolve(value, sizes) for key, value in x.attrs.items()}
                values[x.birth] = x.value if x.op is None else x.op.run(*inputs, **attrs)
    sizes = [np.max(np.abs(v), initial=1.0) for v in values.values()]
    return [np.asarray(values[x.birth]) for x in flatten(graph.output)], max(sizes)


def agree(found, expected, largest):
    for y, e in zip(found, expected, strict=True):
        assert (np.shape(y), np.asarray(y).dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(y, e, rtol=1e-11, atol=1e-11 * largest)


@settings(max_examples=200)
@given(CASES)
def test_random_expressions(case):
    assume(ready := prepared(case))
    graph, arrays, expected, largest = ready
    agree(flatten(Compiled(graph, plain=True)(*arrays)), expected, largest)


@settings(max_examples=200)
@given(CASES, st.integers(2, 3), st.integers(0, 100))
def test_threads_meet_where_they_must(case, threads, seed):
    assume(ready := prepared(case))
    graph, arrays, expected, largest = ready
    program = Program(graph.inputs, flatten(graph.output))
    bound = program.bind({"n": case[1]}, plain=True, threads=threads)
    for x, array in zip(graph.inputs, arrays, strict=True):
        bound.set(program.leaves[x.birth], array)
    bound.arena[...] = 0xFF  # NaN
    Turns(threads, seed).run(program.source, bound.table.ctypes.data)
    agree([bound.result(i) for i in range(len(expected))], expected, largest)


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 100])
def test_random_expressions_by_numba(start):
    pytest.importorskip("numba")
    cases = [random_case(seed) for seed in range(start, start + 60)]
    ready = [case for case in map(prepared, cases) if case]
    inputs = [x for graph, *_ in ready for x in graph.inputs]
    outputs = [y for graph, *_ in ready for y in flatten(graph.output)]
    arrays = [a for _, given, *_ in ready for a in given]
    program = Program(inputs, outputs)
    bound = program.bind({}, threads=2)
    found = []
    for threads in (1, 2, 2):
        bound.arena[...] = 0xFF
        for x, array in zip(inputs, arrays, strict=True):
            bound.set(program.leaves[x.birth], array)
        bound.run(threads=threads)
        found.append([bound.result(i) for i in range(len(outputs))])
        rest = iter(found[-1])
        for _, _, expected, largest in ready:
            agree([next(rest) for _ in expected], expected, largest)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


# Expressions that were wrong once.

N = ("n", 3)
REGRESSIONS = {
    "a leaf comes out": (lambda x: (x, x * 2.0), [N]),
    "a result comes out twice": (lambda x: [ops.exp(x)] * 2, [N]),
    "a reshaped leaf comes out": (lambda x: ops.reshape(x, (x.shape[0], 3, 1)), [N]),
    "a reshaped result comes out": (lambda x: ops.reshape(x * 2.0, (x.shape[0], 3, 1)), [N]),
    "rows with all rows": (lambda x: ops.sum(ops.matmul(x, x, transpose_b=True), 1), [N]),
    "rows with rows": (lambda x: ops.matmul(x, x, transpose_b=True), [N]),
    "rows with rows, elementwise": (lambda x: ops.sum(x[:, None, 0] * x[None, :, 0], 1), [N]),
    "other rows": (lambda x: ops.take(x, ops.argmax(x, 1), 0), [N]),
    "a constant comes out": (lambda x: (x * 2.0, np.ones(3)), [(2, 3)]),
    "argmax over the first axis": (lambda x: ops.argmax(x, 0), [(5, 3)]),
    "gradient of max over the first axis": (
        cr.value_and_grad(lambda x: ops.sum(ops.max(x, 0) * 2.0)), [(5, 3)]),
    "argmax over one": (lambda x: ops.argmax(x, 1), [(3, 1)]),
    "count of one": (lambda x: ops.sum(ops.less(x, 0.0), 1), [(3, 1)]),
    "cumsum of truth values": (lambda x: ops.cumsum(ops.less(x, 0.0), 0), [(3, 2)]),
    "cumsum of inf": (lambda x: ops.cumsum(x / 0.0, 0), [(3, 2)]),
    "an element of a softmax": (lambda x: ops.softmax(x)[:1], [(4,)]),
    "gradient of a product of vectors": (
        cr.value_and_grad(lambda x: ops.matmul(x, x) * 0.7), [("n",)]),
    "stacks that broadcast": (lambda x, y: ops.matmul(x, y), [(3, 1, 2, 2), (3, 2, 2)]),
    "a slice of a slice": (lambda x: x[::2][1:], [(6,)]),
    "a slice of a slice backwards": (lambda x: x[::-1][1:3], [(4,)]),
    "sums of two matrices": (
        lambda x, y: ops.stack([ops.sum(x * x), ops.sum(y * y)]), [(3, 4), (5, 2)]),
    "one part": (lambda x: x[:, :2] + ops.concat([x[:, :1]], 1), [(3, 3)]),
}  # fmt: skip


@pytest.mark.parametrize("name", REGRESSIONS)
def test_once_wrong(name):
    f, shapes = REGRESSIONS[name]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=tuple(300 if n == "n" else n for n in s)) for s in shapes]
    graph = trace(f, *[Spec(s, float) for s in shapes])
    with np.errstate(all="ignore"):
        expected, largest = flatten(graph(*arrays)), 1e3
    agree(flatten(Compiled(graph, plain=True)(*arrays)), map(np.asarray, expected), largest)


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (REGRESSIONS["sums of two matrices"][0], [(3, 4), (5, 2)]),
        (lambda x: ops.matmul(h := ops.matmul(x, x, transpose_b=True), h, transpose_b=True),
         [(3, 2)]),
    ],
    ids=["no loop is shared", "a product of one array with itself"],
)  # fmt: skip
def test_meetings_once_forgotten(f, shapes):
    arrays = [np.random.default_rng(0).normal(size=s) for s in shapes]
    graph = trace(f, *[Spec(s, float) for s in shapes])
    program = Program(graph.inputs, flatten(graph.output))
    for seed in range(4):
        bound = program.bind({}, plain=True, threads=2)
        for x, array in zip(graph.inputs, arrays, strict=True):
            bound.set(program.leaves[x.birth], array)
        bound.arena[...] = 0xFF
        Turns(2, seed).run(program.source, bound.table.ctypes.data)
        agree([bound.result(0)], [np.asarray(f(*arrays))], 1e3)
