"""First step of *compile*: a traced graph becomes a shorter list of nodes.

Ops that are written in others for compiled code (`loops.Parts`) are taken apart, what is computed
twice is computed once, arithmetic of known numbers is done, and what changes nothing is left out.

>>> from chainrule import Spec, ops, trace
>>> graph = trace(lambda x: (ops.exp(x) * 1.0 + ops.exp(x), ops.exp(x)), Spec(("n",), float))
>>> [str(node) for node in simplify(graph.output)[0] if node.op]
['exp', 'add']
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.dims import Dim, Shape
from chainrule.graph import OPS, Op, Scope, Tensor, ancestors, placeholder, tracing
from chainrule.ops.loops import Element, Map, Parts, Reduce, Scatter

_NEUTRAL: dict[str, tuple[Any, ...]] = {"{} + {}": (0, 0), "{} - {}": (None, 0),
                                        "{} * {}": (1, 1), "{} / {}": (None, 1)}  # fmt: skip
"""For a formula, the numbers that leave the other input as it is, by the place they stand at."""


_CHOICE = "{1} if {0} else {2}"


@dataclass(frozen=True, eq=False)
class Scatters:
    """A sum of nodes that put elements into a result, written into one memory.

    With `start`, input 0 is added to them. What `covers` the result puts one into each place.
    """

    nodes: "tuple[Node, ...]"
    start: bool
    covers: bool


KEPT = Map("{}")
"""How a leaf's value before its update is computed."""


class Node:
    """A node of the simplified graph: an op on nodes, or a leaf (`op` is None).

    A leaf is a number (`number`), or what `leaf` holds or will hold. `loop` is the fact by which
    the op is compiled, None where it has none that holds here; `name` what a person calls it.
    """

    __slots__ = (
        "attrs", "dtype", "inputs", "leaf", "loop", "name", "number", "op", "order", "scope",
        "shape", "weak",
    )  # fmt: skip

    op: Op | None
    inputs: "tuple[Node, ...]"
    attrs: dict[str, Any]
    shape: Shape
    dtype: np.dtype[Any]
    weak: bool
    scope: Scope | None
    leaf: Tensor | None
    number: Any
    loop: Any
    name: str | None
    order: int

    def __str__(self) -> str:
        return self.op.name if self.op else repr(self.number)


def simplify(
    outputs: Sequence[Tensor],
    changing: Sequence[Tensor] = (),
    *,
    updated: Iterable[Tensor] = (),
    parts: bool | Callable[[Op], bool] = True,
    names: Mapping[int, str] | None = None,
    beside: Sequence[Tensor] = (),
) -> tuple[list[Node], list[Node]]:
    """Give the nodes that the outputs depend on, inputs before readers, and those of the outputs.

    `changing` are leaves whose value is not the same in every run, whatever they hold now. Of those
    that a run has `updated` at its end, `identity` is the value before, a node of its own. Without
    `parts` no op is taken apart; it may be a function that says which ones are. `names` are names
    of tensors, by their birth. What only the last outputs, those `beside`, depend on comes after
    all else, whose nodes are the same without.
    """
    work = _Simplifier({x.birth for x in changing}, parts, {x.birth for x in updated})
    work.readers = {x.birth: 1 for x in outputs}
    work.walk(ancestors(outputs))
    work.walk(ancestors(beside))
    outputs = [*outputs, *beside]
    for birth, name in (names or {}).items():
        if birth in work.found:
            work.found[birth].name = name
    roots = [work.found[x.birth] for x in outputs]
    return reachable(roots), roots


def reachable(roots: Iterable[Node], stored: Container[int] = ()) -> list[Node]:
    """Give roots and what they are computed from, in order; not what lies above the stored."""
    seen: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.order not in seen:
            seen[node.order] = node
            if node.order not in stored:
                stack.extend(node.inputs)
    return [seen[order] for order in sorted(seen)]


class _Simplifier:
    """Nodes found so far: by birth of their tensor, and by what they compute."""

    def __init__(
        self, changing: set[int], parts: bool | Callable[[Op], bool], updated: set[int]
    ) -> None:
        self.changing, self.updated = changing, updated
        self.parts = parts if callable(parts) else lambda op: bool(parts)
        self.joins = parts is True
        self.found: dict[int, Node] = {}
        self.readers: dict[int, int] = {}
        self.known: dict[Any, Node] = {}
        self.count = 0

    def walk(self, tensors: Sequence[Tensor]) -> None:
        for x in tensors:
            for y in x.inputs:
                self.readers[y.birth] = self.readers.get(y.birth, 0) + 1
        for x in tensors:
            if x.birth not in self.found:
                self.found[x.birth] = self._leaf(x) if x.op is None else self._node(x)

    def _leaf(self, x: Tensor) -> Node:
        plain = type(x) is Tensor and not x.requires_grad and x.birth not in self.changing
        if plain and x.value is not None and x.shape == ():
            return self._number(np.asarray(x.value).item(), x)
        return self._new(x.birth, x, None, (), {}, leaf=x)

    def _number(self, number: Any, x: Tensor) -> Node:
        key = ("number", repr(number), x.dtype.char, x.weak)
        return self.known.get(key) or self._new(key, x, None, (), {}, number=number)

    def _node(self, x: Tensor) -> Node:
        op = x.op
        assert op is not None
        inputs = tuple([self.found[y.birth] for y in x.inputs])
        loop = fact(op, inputs, x.attrs)
        if isinstance(loop, Parts) and self.parts(op):
            return self._taken_apart(x, loop, inputs)
        if isinstance(loop, Map):
            same = self._neutral(loop, x, inputs) or self._folded(op, x, inputs)
            if same is not None:
                return same
        if isinstance(loop, Map) and loop.template == "{} + {}" and self.joins:
            joined = self._joined(x, inputs)
            if joined is not None:
                return joined
        if isinstance(loop, Element) and loop.order and _is_same(inputs[0], x):
            if x.inputs[0].birth not in self.updated:
                return inputs[0]
            loop = KEPT
        if isinstance(loop, Reduce) and not loop.position and _all_ones(inputs[0], x.attrs):
            loop = Element(order=True) if inputs[0].dtype == x.dtype else loop
        if isinstance(loop, Element) and loop.order and inputs[0].number is not None:
            loop = Element(lambda p: p.read(0, []))
        key = (op.name, *[y.order for y in inputs], *_frozen(x.attrs))
        return self.known.get(key) or self._new(key, x, op, inputs, x.attrs, loop=loop)

    def _joined(self, x: Tensor, inputs: Sequence[Node]) -> Node | None:
        """Join a sum with the scattered elements in it, if nothing else reads these."""
        nodes: list[Node] = []
        starts: list[Node] = []
        for y, node in zip(x.inputs, inputs, strict=True):
            if node.number is not None or not _is_same(node, x):
                return None
            alone = self.readers.get(y.birth, 0) == 1
            if alone and isinstance(node.loop, Scatter) and not node.loop.covers:
                nodes.append(node)
            elif alone and isinstance(node.loop, Scatters):
                nodes += node.loop.nodes
                starts += node.inputs[: node.loop.start]
            else:
                starts.append(node)
        if not nodes or len(starts) > 1:
            return None
        key = ("scatters", *[n.order for n in (*starts, *nodes)], bool(starts))
        given = (*starts, *[y for n in nodes for y in n.inputs])
        loop = Scatters(tuple(nodes), bool(starts), not starts and _cover(nodes))
        return self.known.get(key) or self._new(key, x, x.op, given, {}, loop=loop)

    def _new(
        self, key: Any, x: Tensor, op: Op | None, inputs: tuple[Node, ...], attrs: dict[str, Any],
        leaf: Tensor | None = None, number: Any = None, loop: Any = None,
    ) -> Node:  # fmt: skip
        node = Node()
        node.op, node.inputs, node.attrs, node.loop = op, inputs, attrs, loop
        node.shape, node.dtype, node.weak, node.scope = x.shape, x.dtype, x.weak, x.scope
        node.leaf, node.number, node.name = leaf, number, None
        node.order = self.count
        self.count += 1
        self.known[key] = node
        return node

    def _taken_apart(self, x: Tensor, parts: Parts, inputs: tuple[Node, ...]) -> Node:
        """Trace the op as other ops, and take their nodes for it."""
        stand_ins = [placeholder(y.shape, y.dtype, weak=y.weak) for y in x.inputs]
        for stand_in, node in zip(stand_ins, inputs, strict=True):
            self.found[stand_in.birth] = node
        with tracing():
            result = parts.function(*stand_ins, **x.attrs)
        tensors = ancestors([result])
        for tensor in tensors:
            tensor.scope = x.scope
        self.walk(tensors)
        return self.found[result.birth]

    def _neutral(self, loop: Map, x: Tensor, inputs: tuple[Node, ...]) -> Node | None:
        """Give the input that is the result, where a choice or a number makes it so."""
        if loop.template == _CHOICE and inputs[0].number is not None:
            taken = inputs[1 if inputs[0].number else 2]
            return taken if _is_same(taken, x) else None
        if loop.template == "{}":
            return inputs[0] if _is_same(inputs[0], x) else None
        for i, number in enumerate(_NEUTRAL.get(loop.template, ())):
            given = 0 if is_zero(inputs[i]) else inputs[i].number
            if None not in (number, given) and given == number and _is_same(inputs[1 - i], x):
                return inputs[1 - i]
        return None

    def _folded(self, op: Op, x: Tensor, inputs: tuple[Node, ...]) -> Node | None:
        """Do the arithmetic of numbers."""
        if not all(y.number is not None for y in inputs):
            return None
        with np.errstate(all="ignore"):
            result = op.run(*[y.number for y in inputs], **x.attrs)
        return self._number(np.asarray(result, x.dtype).item(), x)


def copied(node: Node, order: int) -> Node:
    """Give a node of its own that takes what another one is."""
    copy = Node()
    copy.op, copy.inputs, copy.attrs, copy.loop = OPS["identity"], (node,), {}, KEPT
    copy.shape, copy.dtype, copy.weak, copy.scope = node.shape, node.dtype, node.weak, node.scope
    copy.leaf, copy.number, copy.name, copy.order = None, None, None, order
    return copy


def above(roots: Iterable[Node]) -> set[int]:
    """Give the numbers of the nodes that roots depend on, and their own."""
    return {node.order for node in reachable(roots)}


def fact(op: Op, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Give the loop fact of an op that holds for these inputs, or None."""
    for loop in op.loops:
        only = getattr(loop, "only", None)
        if only is None or only(*inputs, **attrs):
            return loop
    return None


def same_shape(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two shapes are equal, names of dimensions included."""
    return tuple(a) == tuple(b)


def _is_same(node: Node, x: Tensor) -> bool:
    """Whether a node has the shape and dtype of a tensor."""
    return node.dtype == x.dtype and node.weak == x.weak and same_shape(node.shape, x.shape)


def is_zero(x: Node) -> bool:
    """Whether a node has elements of the number 0 alone, moved about."""
    linear = x.op is not None and x.op.kind == "multilinear" and len(x.inputs) == 1
    return linear and x.inputs[0].number is not None and bool(x.inputs[0].number == 0)


def _cover(nodes: Sequence[Node]) -> bool:
    """Whether nodes put elements into ranges of one axis that follow each other, to its end."""
    spans = [node.loop.span(**node.attrs) for node in nodes]
    if None in spans or len({axis for axis, _, _ in spans}) != 1:
        return False
    axis, at = spans[0][0], 0
    for _, start, stop in sorted(spans):
        if start != at:
            return False
        at = stop
    return not isinstance(nodes[0].shape[axis], Dim) and bool(at == nodes[0].shape[axis])


def nest_of(node: Node, k: int) -> int:
    """Give the first input of a scatter that is written in the same loops as input k."""
    if not node.loop.covers:
        return k
    shapes = [x.shape for x in node.inputs]
    return next(j for j, shape in enumerate(shapes) if same_shape(shape, shapes[k]))


def _all_ones(x: Node, attrs: dict[str, Any]) -> bool:
    axes = attrs["axis"] if isinstance(attrs["axis"], tuple) else (attrs["axis"],)
    return all(isinstance(x.shape[i], int) and x.shape[i] == 1 for i in axes)


def _frozen(attrs: dict[str, Any]) -> tuple[Any, ...]:
    return tuple((k, str(v) if isinstance(v, np.dtype | Dim) else v) for k, v in attrs.items())
