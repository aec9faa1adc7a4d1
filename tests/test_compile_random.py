"""Random expressions: the generated source gives what NumPy gives, for values and gradients.

A recipe is a list of ops and whole numbers. Each op takes tensors from a pool that starts with the
inputs, and puts its result there; one that does not fit the tensors it is given is left out.
"""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import Spec, ops, trace
from chainrule.graph import shape_of
from chainrule.transforms.compile import Compiled
from chainrule.tree import flatten

ELEMENTS = 60


class Cook:
    """Follows a recipe; `pick` says which of the possible choices a number stands for."""

    def __init__(self, pool):
        self.pool = list(pool)

    def follow(self, recipe):
        for name, *numbers in recipe:
            self.numbers = list(numbers)
            x = self.pick(self.pool)
            result = getattr(self, name)(x, shape_of(x))
            if result is not None and known_size(shape_of(result)) <= ELEMENTS:
                self.pool.append(result)
        return self.pool

    def pick(self, choices):
        choices = list(choices)
        return choices[self.numbers.pop() % len(choices)] if choices else None

    def axes(self, shape):
        ways = [c for k in range(1, len(shape) + 1) for c in itertools.combinations(range(len(shape)), k)]
        return self.pick([None, *ways]) if shape else None

    def partner(self, x, fits):
        return self.pick([y for y in self.pool if fits(shape_of(x), shape_of(y))])

    # The methods below are ops by their name in a recipe.

    def function(self, x, shape):
        return self.pick(FUNCTIONS)(x)

    def arithmetic(self, x, shape):
        y = self.partner(x, broadcasts)
        a, b = self.pick([(x, y), (y, x)])
        return self.pick(ARITHMETIC)(a, b)

    def choose(self, x, shape):
        y = self.partner(x, broadcasts)
        z = self.partner(x, lambda a, b: broadcasts(a, b) and broadcasts(shape_of(y), b))
        return None if z is None else ops.where(ops.less(y, z), *self.pick([(x, y), (x, 0.0), (0.5, x), (z, x)]))

    def total(self, x, shape):
        axes, keep = self.axes(shape), self.pick([False, True])
        return self.pick([ops.sum, ops.mean, ops.var])(x, axes, keep)

    def largest(self, x, shape):
        axes, keep = self.axes(shape), self.pick([False, True])
        over = range(len(shape)) if axes is None else axes
        if any(shape[a] == 0 for a in over):
            return None
        return self.pick([ops.max, ops.min, ops.logsumexp])(x, axes, keep)

    def along(self, x, shape):
        axis = self.pick(range(len(shape)))
        if axis is None or shape[axis] == 0:
            return None
        return self.pick([ops.softmax, ops.log_softmax, ops.cumsum, ops.sort])(x, axis)

    def position(self, x, shape):
        axis = self.pick(range(len(shape)))
        if axis is None or shape[axis] == 0:
            return None
        found = ops.argmax(x, axis, True)
        if self.pick([True, False]):
            return ops.take_along(x, found, axis)
        return ops.cast(found, dtype=np.dtype(float))

    def transpose(self, x, shape):
        return ops.transpose(x, self.pick(itertools.permutations(range(len(shape)))))

    def reshape(self, x, shape):
        named = [n for n in shape if not isinstance(n, int)]
        if named:
            at = next(a for a, n in enumerate(shape) if not isinstance(n, int))
            rest = known_size(shape[:at] + shape[at + 1 :])
            if len(named) > 1:
                return None
            return ops.reshape(x, self.pick([(n, *s) if a else (*s, n) for n in named for s in forms(rest) for a in (0, 1)] if rest else []) or shape)
        return ops.reshape(x, self.pick(forms(known_size(shape))))

    def slice(self, x, shape):
        axis = self.pick([a for a, n in enumerate(shape) if isinstance(n, int)])
        if axis is None:
            return None
        keys = [slice(1, None), slice(None, -1), slice(None, None, 2), slice(None, None, -1), slice(-2, None, -2), slice(1, 3), slice(0, 0)]
        keys += [0, -1] if shape[axis] else []
        return ops.getitem(x, (slice(None),) * axis + (self.pick(keys),))

    def newaxis(self, x, shape):
        axis = self.pick(range(len(shape) + 1))
        return ops.getitem(x, (slice(None),) * axis + (None,))

    def take(self, x, shape):
        axis = self.pick([a for a, n in enumerate(shape) if isinstance(n, int) and n])
        if axis is None:
            return None
        i = self.pick([[0], [-1, 0], [[0, -1], [0, 0]], []])
        return ops.take(x, np.array(i, int) % max(shape[axis], 1) - self.pick([0, shape[axis]]), axis)

    def concat(self, x, shape):
        axis = self.pick([a for a, n in enumerate(shape) if isinstance(n, int)])
        if axis is None:
            return None
        y = self.partner(x, lambda a, b: len(a) == len(b) and all(n == m or k == axis for k, (n, m) in enumerate(zip(a, b, strict=True))))
        return ops.concat(self.pick([[x, y], [y, x], [x, y, x], [x]]), axis)

    def matmul(self, x, shape):
        turn_a, turn_b = self.pick([False, True]), self.pick([False, True])
        y = self.partner(x, lambda a, b: multiplies(a, b, turn_a, turn_b))
        if y is None:
            return None
        return ops.matmul(x, y, turn_a, turn_b)

    def constant(self, x, shape):
        if not all(isinstance(n, int) for n in shape):
            return ops.mul(x, self.pick([0.0, 1.0, -0.3, 2.0]))
        return ops.add(ops.uniform(3, shape), ops.mul(x, self.pick([0.0, 1.0, -0.3, 2.0])))


FUNCTIONS = [
    ops.tanh, ops.sin, ops.cos, ops.sigmoid, ops.softplus, ops.silu, ops.neg, ops.abs, ops.square,
    ops.stop_gradient, ops.ndtr, ops.floor,
    lambda x: ops.exp(ops.tanh(x)), lambda x: ops.sqrt(x * x + 1.0), lambda x: ops.log1p(x * x),
    lambda x: 2.0 / (x * x + 0.7), lambda x: x * 1.0 + 0.0, lambda x: 1.5 - x * 0.3,
    lambda x: ops.expm1(ops.sin(x)), lambda x: ops.clip(x, -0.5, 0.7), lambda x: ops.pow(x, 3.0),
    lambda x: ops.cast(ops.less(x, 0.2), dtype=np.dtype(float)), lambda x: ops.norm(x),
]  # fmt: skip
ARITHMETIC = [
    ops.add, ops.sub, ops.mul, ops.maximum, ops.minimum, lambda x, y: x / (y * y + 0.5),
    lambda x, y: x * y + y, lambda x, y: ops.pow(y * y + 0.5, ops.tanh(x)),
]  # fmt: skip
OPS = [
    "function", "arithmetic", "choose", "total", "largest", "along", "position", "transpose",
    "reshape", "slice", "newaxis", "take", "concat", "matmul", "constant",
]  # fmt: skip


def known_size(shape):
    size = 1
    for n in shape:
        size *= n if isinstance(n, int) else 1
    return size


def broadcasts(a, b):
    return all(n == m or 1 in (n, m) for n, m in zip(a[::-1], b[::-1], strict=False))


def multiplies(a, b, turn_a, turn_b):
    if not a or not b:
        return False
    left = a[-2] if turn_a and len(a) > 1 else a[-1]
    right = b[-1] if (turn_b and len(b) > 1) or len(b) == 1 else b[-2]
    return left == right and broadcasts(a[:-2], b[:-2])


def forms(n):
    """Give shapes of n elements."""
    if n == 0:
        return [(0,), (0, 2), (3, 0)]
    pairs = [(d, n // d) for d in range(1, n + 1) if n % d == 0]
    return [(n,), *pairs, *[(d, 1, e) for d, e in pairs], *[(d, 2, e // 2) for d, e in pairs if e % 2 == 0]]


SIZES = st.sampled_from([1, 2, 3, 4, 1, 2, 3, 0])
SHAPES = st.lists(SIZES, max_size=3).map(tuple)
NUMBERS = st.integers(0, 1 << 16)
RECIPES = st.lists(st.tuples(st.sampled_from(OPS), *[NUMBERS] * 6), min_size=1, max_size=10)


def made(shapes, recipe, ends):
    """Give the function of a recipe: the last results, and the one that ends says."""

    def f(*inputs):
        pool = Cook(inputs).follow(recipe)
        return [pool[-1 - e % len(pool)] for e in ends]

    return f


def loss_of(f):
    def loss(*inputs):
        return sum(ops.sum(ops.sin(y) if k else y * 0.7) for k, y in enumerate(f(*inputs)))

    return loss


def arrays_for(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s) for s in shapes]


def evaluated(graph, arrays):
    """Give the results of NumPy, and the largest number on the way."""
    values = {x.birth: a for x, a in zip(graph.inputs, arrays, strict=True)}
    sizes = {}
    for x, a in zip(graph.inputs, arrays, strict=True):
        sizes |= {str(n): m for n, m in zip(x.shape, a.shape, strict=True) if not isinstance(n, int)}
    from chainrule.dims import resolve
    for node in graph.nodes:
        if node.birth not in values:
            attrs = {k: resolve(v, sizes) for k, v in node.attrs.items()}
            values[node.birth] = node.value if node.op is None else node.op.run(*[values[x.birth] for x in node.inputs], **attrs)
    far = max([1.0, *(float(np.max(np.abs(v))) for v in values.values() if np.size(v) and np.asarray(v).dtype.kind == "f")])
    return [np.asarray(values[x.birth]) for x in flatten(graph.output)], far
