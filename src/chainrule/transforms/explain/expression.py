"""Expressions: how a node, or one element of it, follows from what has a name.

>>> from chainrule import ops, tensor
>>> from chainrule.graph import tracing
>>> w, x = tensor([[0.5, 2.0]]), tensor([[3.0], [4.0]])
>>> with tracing():
...     y = ops.exp(ops.matmul(w, x))
>>> element = Writer({w.birth, x.birth}).define(y, (0, 0))
>>> element.op.name, [[x.index for x in term.inputs] for term in element.inputs[0].inputs]
('exp', [[(0, 0), (0, 0)], [(0, 1), (1, 0)]])

What an element of a linear op is made of, its transpose tells: the cotangent of a single element
has the weights of all that went into it. So no op needs a rule of its own here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from chainrule.graph import OPS, Array, Attrs, Op, Tensor, tracing

Index = tuple[int, ...]

MOST_INLINE = 5
"""How many ops a definition spells out before a part of it gets a name."""


@dataclass(frozen=True)
class Constant:
    """A number that stands in the formula."""

    value: Any


@dataclass(frozen=True)
class Ref:
    """A node that has a name, or one element of it."""

    node: Tensor
    index: Index | None

    @property
    def value(self) -> Any:
        """Number of the element."""
        array = np.asarray(self.node.value)
        return array[self.index].item() if self.index is not None else array


@dataclass(frozen=True)
class Written:
    """An op on expressions; `whole` if they are arrays, not elements."""

    op: Op
    inputs: "tuple[Expression, ...]"
    attrs: Attrs
    whole: bool = False

    def __hash__(self) -> int:
        return hash((self.op.name, self.inputs))


@dataclass(frozen=True)
class Rest:
    """Terms of a long sum that are not written out, and what they add up to."""

    count: int
    value: float


Expression: TypeAlias = Constant | Ref | Written | Rest


def length(x: Expression) -> int:
    """Count the ops of an expression."""
    return 1 + sum(length(y) for y in x.inputs) if isinstance(x, Written) else 0


class Writer:
    """Writes definitions of nodes by those that are `named`, given by their birth numbers."""

    def __init__(self, named: set[int], nodes: Sequence[Tensor] = ()) -> None:
        self.named = named
        self._opened: dict[int, Tensor | None] = {}
        self._known = {
            (x.op, x.inputs): x for x in nodes if x.op is not None and x.op.notation.mirrored
        }

    def define(self, node: Tensor, index: Index | None = None) -> Expression:
        """Say what a node that an op made is computed from, or one of its elements."""
        assert node.op is not None
        mirrored = self._mirrored(node)
        if mirrored is not None:
            return self.define(mirrored, index)
        if index is None:
            inputs = [self._read(x, None) for x in node.inputs]
            if node.op.notation.elements == "choice":
                return _chosen(node.op, inputs, np.asarray(node.inputs[0].value), whole=True)
            return _applied(node.op, inputs, node.attrs, whole=True)
        kinds = {
            "same": self._same, "linear": self._linear, "line": self._line,
            "choice": self._choice, "given": self._given,
        }  # fmt: skip
        return kinds[node.op.notation.elements](node, index)

    def _read(self, node: Tensor, index: Index | None) -> Expression:
        if node.birth in self.named:
            counted = node.op is not None and node.op.notation.elements == "given"
            return Constant(1.0) if counted and np.array_equal(node.value, 1) else Ref(node, index)
        if node.op is None:
            array = np.asarray(node.value)
            return Constant(array[index].item() if index is not None else array[()])
        return self.define(node, index)

    def _mirrored(self, node: Tensor) -> Tensor | None:
        """Give f(-x) by f(x), where that is known."""
        assert node.op is not None
        (x, *_), rule = node.inputs, node.op.notation.mirrored
        if rule is None or x.op is not OPS["neg"]:
            return None
        known = self._known.get((node.op, x.inputs))
        if known is None:
            return None
        with tracing():
            result: Tensor = rule(known)
        return result

    def _same(self, node: Tensor, index: Index) -> Expression:
        """Apply the op to the elements at its place, which broadcasting finds."""
        assert node.op is not None
        inputs = [self._read(x, _broadcast(index, x.shape)) for x in node.inputs]
        return _applied(node.op, inputs, node.attrs)

    def _choice(self, node: Tensor, index: Index) -> Expression:
        """Say which of two elements is taken, and why."""
        assert node.op is not None
        condition = np.asarray(node.inputs[0].value)
        places = [_broadcast(index, x.shape) for x in node.inputs]
        inputs = [self._read(x, i) for x, i in zip(node.inputs, places, strict=True)]
        return _chosen(node.op, inputs, condition[places[0]])

    def _linear(self, node: Tensor, index: Index) -> Expression:
        """Weigh the elements of the inputs as the transpose says."""
        assert node.op is not None
        g = np.zeros(node.shape)
        g[index] = 1.0
        rules = getattr(node.op, "transposes", node.inputs)  # an index has none
        moved = [k for k in range(len(node.inputs)) if rules[k] is not None]
        if len(moved) == 2 and node.op.kind == "multilinear":
            return total(self._products(node, g, moved))
        wanted = [k in moved for k in range(len(node.inputs))]
        values = [x.value for x in node.inputs]
        weights = node.op.vjp(g, node.value, values, node.attrs, wanted)
        terms = []
        for k in moved:
            for place, weight in _weights(weights[k], node.inputs[k]):
                term = self._read(node.inputs[k], place)
                terms.append(product([Constant(weight), term]))
        return total(terms)

    def _products(self, node: Tensor, g: Array, moved: list[int]) -> list[Expression]:
        """Pair the elements of two inputs.

        The second input is replaced by the numbers of its elements, so that the cotangent of the
        first says which element each of its own is multiplied by.
        """
        assert node.op is not None
        first, second = (node.inputs[k] for k in moved)
        serial = np.arange(1.0, np.size(second.value) + 1).reshape(np.shape(second.value))
        values = [x.value for x in node.inputs]
        values[moved[1]] = serial
        wanted = [k == moved[0] for k in range(len(values))]
        partner = node.op.vjp(g, node.value, values, node.attrs, wanted)[moved[0]]
        terms = []
        for place, weight in _weights(partner, first):
            j = np.unravel_index(round(weight) - 1, serial.shape)
            other = self._read(second, tuple(int(n) for n in j))
            terms.append(product([self._read(first, place), other]))
        return terms

    def _line(self, node: Tensor, index: Index) -> Expression:
        """Apply the op to all elements along its axes."""
        assert node.op is not None
        axis = node.attrs["axis"]
        axes = axis if isinstance(axis, tuple) else (axis,)
        (x,) = node.inputs
        rest = iter([n for a, n in enumerate(index) if not node.attrs["keepdims"] or a not in axes])
        ranges = [range(n) if a in axes else [next(rest)] for a, n in enumerate(x.shape)]
        grid = np.array(np.meshgrid(*ranges, indexing="ij")).reshape(len(ranges), -1).T
        inputs = tuple(self._read(x, tuple(int(n) for n in i)) for i in grid)
        return Written(node.op, inputs, {"axis": 0, "keepdims": False})

    def _given(self, node: Tensor, index: Index) -> Expression:
        """Read the op in simpler ones, if it has such a form, or name its element."""
        if node.birth not in self._opened:
            self._opened[node.birth] = self._open(node)
        simple = self._opened[node.birth]
        return Ref(node, index) if simple is None else self._read(simple, index)

    @staticmethod
    def _open(node: Tensor) -> Tensor | None:
        assert node.op is not None
        opened = node.op.notation.opened
        if opened is None:
            return None
        with tracing(), np.errstate(all="ignore"):
            simple: Tensor = opened(*node.inputs, **node.attrs)
        close = np.allclose(simple.value, node.value, rtol=1e-6, equal_nan=True)
        return simple if close else None


def _weights(cotangent: Any, x: Tensor) -> Iterator[tuple[Index, float]]:
    """Give the places in an input whose elements have a weight, and the weights."""
    array = np.asarray(cotangent)
    for i in np.argwhere(array):
        place = tuple(int(n) for n in i)
        yield _broadcast(place, x.shape), array[place]


def _broadcast(index: Index, shape: Sequence[int]) -> Index:
    """Give the place in an input of this shape that belongs to a place in the result."""
    own = index[len(index) - len(shape) :]
    return tuple(0 if n == 1 else i for i, n in zip(own, shape, strict=True))


def _chosen(
    op: Op, inputs: Sequence[Expression], condition: Array, whole: bool = False
) -> Expression:
    """Write a choice; what is not taken anywhere and is 0, such as a mask, is left out."""
    for taken, other in ((1, 2), (2, 1)):
        if np.all(condition == (taken == 1)) and inputs[other] == Constant(0.0):
            return inputs[taken]
    return Written(op, tuple(inputs), {}, whole)


# Sums and products are written without what changes nothing in them.


def total(terms: Sequence[Expression]) -> Expression:
    """Add expressions."""
    if not terms:
        return Constant(0.0)
    return reduce(lambda a, b: _applied(OPS["add"], [a, b], {}), terms)


def product(factors: Sequence[Expression]) -> Expression:
    """Multiply expressions."""
    return reduce(lambda a, b: _applied(OPS["mul"], [a, b], {}), factors)


def _applied(op: Op, inputs: Sequence[Expression], attrs: Attrs, whole: bool = False) -> Expression:
    notation = op.notation
    if notation.text.template == "{0}":
        return inputs[0]
    if notation.joins:
        return _joined(op, inputs, whole)
    *_, last = inputs
    if len(inputs) == 2 and notation.neutral is not None and last == Constant(notation.neutral):
        return inputs[0]
    return Written(op, tuple(inputs), attrs, whole)


def _joined(op: Op, inputs: Sequence[Expression], whole: bool) -> Expression:
    """Put inputs side by side, with what they join in turn, and their constants together."""
    parts: list[Expression] = []
    for x in inputs:
        parts += x.inputs if isinstance(x, Written) and x.op is op else [x]
    constants = [x.value for x in parts if isinstance(x, Constant) and np.ndim(x.value) == 0]
    others = [x for x in parts if not (isinstance(x, Constant) and np.ndim(x.value) == 0)]
    if constants:
        folded = reduce(op.run, constants)
        if folded != op.notation.neutral:
            others.insert(0, Constant(folded))
    if op.notation.repeated:
        others = _counted(op, others, whole)
    if not others:
        return Constant(op.notation.neutral)
    return others[0] if len(others) == 1 else Written(op, tuple(others), {}, whole)


def _counted(op: Op, parts: list[Expression], whole: bool) -> list[Expression]:
    """Write a part that stands several times once: x + x as 2 x, x x as x^2."""
    kept = list(dict.fromkeys(parts))
    short = OPS[op.notation.repeated]
    return [
        part if n == 1 else _applied(short, [part, Constant(float(n))], {}, whole)
        for part in kept
        for n in [parts.count(part)]
    ]
