"""Columns of the carries of a recurrence: a step may read only the first, and send on the others.

>>> columns_of(np.arange(6.0).reshape(1, 2, 3), 1, 3).tolist()
[[[1.0, 2.0], [4.0, 5.0]]]
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from chainrule import ops
from chainrule.dims import Shape
from chainrule.graph import Tensor, Value, dtype_of, shape_of
from chainrule.ops.linear import reshape_op
from chainrule.ops.moving import ALL, place, slice_op
from chainrule.tree import flatten

if TYPE_CHECKING:
    from chainrule.transforms.run import Graph


def cuts_of(graph: "Graph", x: Tensor) -> list[Tensor]:
    """Give the nodes that cut columns out of x, if nothing else reads it."""
    found = [node for node in graph.nodes if any(i is x for i in node.inputs)]
    if any(y is x for y in flatten(graph.output)):
        return []
    for node in found:
        *others, (start, stop, step) = node.attrs.get("slices", [ALL])
        whole = set(others) <= {ALL}
        if node.op is not slice_op or not others or not whole or step != 1 or None in (start, stop):
            return []
    return found


def span_of(cut: Tensor) -> tuple[int, int]:
    """Give from where to where a node cuts columns."""
    start, stop, _ = cut.attrs["slices"][-1]
    return start, stop


def columns_of(x: Value, start: int, stop: int) -> Value:
    """Give some columns."""
    shape = shape_of(x)
    if (start, stop) == (0, shape[-1]):
        return x
    everything = [ALL] * (len(shape) - 1)
    return slice_op(x, slices=(*everything, (start, stop, 1)))


def first_columns(x: Value, carried: Shape) -> Value:
    """Give the columns that a step reads of carries."""
    return columns_of(x, 0, carried[-1]) if carried else x


def placed_side_by_side(x: Tensor) -> list[Tensor]:
    """Give the parts that x consists of, from the first column to the last.

    There are none unless it is a sum of what was placed next to each other.
    """
    stack, found = [x], []
    while stack:
        term = unshaped(stack.pop())
        if term.op is ops.add:
            stack += [y for y in term.inputs if not _is_zeros(y)]
        elif term.op is place and len(term.shape) == 2 and term.attrs["slices"][0] == ALL:
            found.append(term)
        else:
            return []
    found.sort(key=lambda term: span_of(term)[0] or 0)
    ends = [0, *[span_of(term)[1] for term in found]]
    follow = [(start, stop, 1) for start, stop in pairwise(ends)]
    whole = [term.attrs["slices"][1] for term in found] == follow and ends[-1] == x.shape[1]
    return [term.inputs[0] for term in found] if whole else []


def unshaped(x: Tensor) -> Tensor:
    """Give the tensor that was given its own shape anew, or x."""
    while x.op is reshape_op and x.shape == x.inputs[0].shape:
        x = x.inputs[0]
    return x


def _is_zeros(x: Tensor) -> bool:
    """Whether x is the number 0, spread over a shape."""
    (given,) = x.inputs if len(x.inputs) == 1 else (x,)
    linear = x.op is not None and x.op.kind == "multilinear"
    return linear and given.op is None and given.shape == () and given.value == 0


def sum_of_columns(given: Sequence[Value], start: int, stop: int) -> Value:
    """Add columns from start to stop; those that one does not have are 0 there."""
    terms = []
    for x in given:
        *rows, width = shape_of(x)
        end = min(stop, width)
        if start < end:
            part = columns_of(x, start, end)
            if end < stop:
                cut = (*[ALL] * len(rows), (0, end - start, 1))
                part = place(part, slices=cut, shape=(*rows, stop - start))
            terms.append(part)
    if not terms:
        shape = (*shape_of(given[0])[:-1], stop - start)
        return ops.broadcast_to(np.zeros((), dtype_of(given[0])), shape)
    return terms[0] if len(terms) == 1 else ops.add(*terms)


def is_of_end(g: Value, width: int, reverse: bool) -> bool:
    """Whether all steps but the last get no cotangent, and that one none of more columns."""
    if getattr(g, "op", None) is not place or len(shape_of(g)) != 3 or shape_of(g)[-1] > width:
        return False
    length = shape_of(g)[0]
    step = (0, 1, 1) if reverse else (length - 1, length, 1)
    return bool(g.attrs["slices"] == (step, ALL, ALL))


def without_zeros(g: Value, carried: Shape) -> Value:
    """Leave out the columns after the last one of a cotangent that is not 0, if a step reads it."""
    filled = _filled(g)
    return _first_filled(g, filled) if carried and filled <= carried[-1] else g


def _filled(g: Value) -> int:
    """Give the columns of a sum of parts that were placed in zeros, up to the last that is not 0.

    So arrives the cotangent of the carries of which only the state was used.
    """
    op, whole = getattr(g, "op", None), shape_of(g)[-1]
    cut = g.attrs["slices"][-1] if op is place else None
    if cut is not None and cut[0] is not None and cut[2] == 1:
        return int(cut[1])
    keeps = cut == ALL or op is ops.add or (
        op is reshape_op and shape_of(g.inputs[0])[-1:] == (whole,)
    )  # fmt: skip
    if not keeps or any(shape_of(x)[-1:] != (whole,) for x in g.inputs):
        return int(whole)
    return max(_filled(x) for x in g.inputs)


def _first_filled(g: Value, width: int) -> Value:
    """Give the first columns of what has no others that are not 0."""
    shape = (*shape_of(g)[:-1], width)
    if shape_of(g) == shape:
        return g
    if g.op is place and g.attrs["slices"][-1] != ALL:
        start, stop, _ = g.attrs["slices"][-1]
        if (start, stop) == (0, width) and set(g.attrs["slices"][:-1]) <= {ALL}:
            return g.inputs[0]
        return place(g.inputs[0], slices=g.attrs["slices"], shape=shape)
    changed = {"shape": shape} if "shape" in g.attrs else {}
    return g.op(*[_first_filled(x, width) for x in g.inputs], **g.attrs | changed)
