"""What two graphs have in common that differ in sizes alone, so that one program serves both.

>>> from chainrule import Spec, ops, trace
>>> def key_of(n):
...     graph = trace(lambda x: ops.sum(x * x, axis=1), Spec(("rows", n), float))
...     return structure(graph.nodes)
>>> key_of(3)[0] == key_of(5)[0], key_of(3)[1], key_of(5)[1]
(True, [3], [5])
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.dims import Constant, Dim, Size
from chainrule.graph import Tensor

WIDE, LARGE = 512, 1000
"""Sizes from which on programs differ: a product may be shared out by its columns, for one."""

NARROW = 33
"""Inputs below which each step of a recurrence multiplies its own: programs differ here, too."""


@dataclass(frozen=True)
class Times:
    """The product of sizes, worked out when they are known."""

    factors: tuple[Any, ...]


@dataclass(frozen=True)
class Sum:
    """The sum of sizes."""

    terms: tuple[Any, ...]


@dataclass(frozen=True)
class Pieces:
    """How many pieces of so much a size has, of which the last may be smaller."""

    whole: Any
    each: int


def product_of(sizes: Sequence[Any]) -> Any:
    """Give the number of elements of a shape, to be worked out later if it takes arithmetic.

    >>> product_of((1, 3)), product_of((2, 3)), product_of(())
    (3, Times(factors=(2, 3)), 1)
    """
    factors = tuple(n for n in sizes if not (isinstance(n, int) and n == 1))
    return Times(factors) if len(factors) > 1 else factors[0] if factors else 1


def name_of(n: Any) -> str:
    """Give the name that a size has of its own, or nothing.

    >>> name_of(Times((Size.of(3, "in"), Size.of(4, "out")))), name_of(5)
    ('in_out', '')
    """
    if isinstance(n, Times):
        names = [name_of(factor) for factor in n.factors]
        return "_".join(names) if all(names) else ""
    return repr(n) if isinstance(n, Dim) else getattr(n, "name", "")


def at_least(n: Any, least: int) -> bool:
    """Whether a size is known, and so large."""
    return isinstance(n, int) and n >= least


def evaluate(n: Any, sizes: Mapping[str, int], exchange: Mapping[int, int]) -> int:
    """Work a size out, with numbers for names, and numbers for those of an equal structure."""
    if isinstance(n, Times):
        total = 1
        for factor in n.factors:
            total *= evaluate(factor, sizes, exchange)
        return total
    if isinstance(n, Sum):
        return sum(evaluate(term, sizes, exchange) for term in n.terms)
    if isinstance(n, Pieces):
        return -(-evaluate(n.whole, sizes, exchange) // n.each)
    if isinstance(n, Dim):
        total = exchange.get(n.factor, n.factor)
        for name in n.names:
            total *= sizes[name]
        return total
    if isinstance(n, Constant):
        return int(n)
    return exchange.get(int(n), int(n))


def structure(
    tensors: Sequence[Tensor], names: Mapping[int, str] | None = None
) -> tuple[tuple[Any, ...], list[int]]:
    """Give a key that graphs of equal structure share, and the sizes in which they may differ.

    Sizes count by which of them are equal; numbers count as they are.
    """
    names = names or {}
    values: dict[int, int] = {}
    limits = (NARROW, WIDE, LARGE) if any("body" in x.attrs for x in tensors) else (WIDE, LARGE)

    def plain(value: Any) -> Any:
        kind = type(value)
        if kind is Size or kind is int:
            if value < 2:
                return int(value)
            known = values.setdefault(int(value), len(values))
            name = value.name if kind is Size else ""
            return "size", known, bisect_right(limits, value), name
        if kind is Dim:
            return "dim", value.names, plain(value.factor)
        if kind is tuple or kind is list:
            return tuple([plain(item) for item in value])
        if kind is Constant:
            return "constant", int(value)
        if hasattr(value, "graph"):  # the steps of a recurrence
            return keys(value.graph.nodes)
        return str(value) if isinstance(value, np.dtype) else value

    def keys(tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        place = {x.birth: i for i, x in enumerate(tensors)}
        found = []
        for x in tensors:
            number = None
            if type(x) is Tensor and x.op is None and x.value is not None and x.shape == ():
                number = repr(np.asarray(x.value).item())
            found.append((
                x.op.name if x.op else type(x).__name__, x.dtype.char, x.weak, number,
                x.value is None, plain(x.shape), tuple([place[y.birth] for y in x.inputs]),
                tuple([(k, plain(v)) for k, v in x.attrs.items()]),
                x.scope.path() if x.scope else "", names.get(x.birth),
            ))  # fmt: skip
        return tuple(found)

    return keys(tensors), list(values)


def same(graph: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether two lists of nodes are one graph: the same ops of the same nodes and numbers."""
    twin = {x.birth: y.birth for x, y in zip(graph, other, strict=False)}
    return len(graph) == len(other) and all(
        x.op is y.op
        and x.shape == y.shape
        and (x.dtype, x.weak) == (y.dtype, y.weak)
        and [twin[i.birth] for i in x.inputs] == [i.birth for i in y.inputs]
        and _alike(x.attrs, y.attrs)
        and (x.op is not None or _equal(x.value, y.value))
        for x, y in zip(graph, other, strict=True)
    )


def _alike(attrs: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether attributes are equal; bodies of recurrences are compared node by node."""
    return attrs.keys() == other.keys() and all(
        same(x.graph.nodes, other[k].graph.nodes)
        if hasattr(x, "graph")
        else x is other[k] or x == other[k]
        for k, x in attrs.items()
    )


def _equal(x: Any, y: Any) -> bool:
    if x is None or y is None or x is y:
        return x is y
    return bool(np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f"))
