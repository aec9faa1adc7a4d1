"""Of a large computation, the elements to write out: those on which one weight has most effect."""

from collections.abc import Iterator

import numpy as np

from chainrule.graph import Array, Tensor
from chainrule.transforms.explain.expression import Expression, Index, Ref, Written
from chainrule.transforms.explain.reading import Trace
from chainrule.transforms.explain.record import evaluate
from chainrule.transforms.explain.writing import computed


def most_affected(
    trace: Trace, node: Tensor, index: Index, row: int
) -> tuple[tuple[Tensor, Index], ...]:
    """Give an element, its gradient, and one of each node that depends on it, in one row.

    It is the one through which a change of that element changes the loss most.
    """
    changes = _changes(trace, node, index)
    chosen: list[tuple[Tensor, Index]] = [(node, index)]
    for x in trace.shown("forward", "loss"):
        own = _place(trace, x, changes[x.birth], row) if x.birth in changes else None
        if own is not None:
            chosen.append((x, own))
    gradients = [
        (trace.gradient_of[x.birth], own) for x, own in chosen if x.birth in trace.gradient_of
    ]
    return (*chosen, *gradients)


def most_contributing(trace: Trace, node: Tensor, index: Index) -> tuple[tuple[Tensor, Index], ...]:
    """Give an element, and of each node before it one that it owes most to."""
    chosen = {node.birth: (node, index)}
    stack = [(node, index)]
    while stack:
        x, i = stack.pop()
        for ref in _by_size(trace.define(x, i)):
            if ref.node.birth not in chosen and ref.index is not None and ref.node.op is not None:
                chosen[ref.node.birth] = (ref.node, ref.index)
                stack.append((ref.node, ref.index))
    return tuple(chosen.values())


def _by_size(x: Expression) -> Iterator[Ref]:
    """Give the elements in an expression, those in the largest terms first."""
    if isinstance(x, Ref):
        yield x
    elif isinstance(x, Written):
        for term in sorted(x.inputs, key=lambda y: -abs(np.nan_to_num(computed(y)))):
            yield from _by_size(term)


def _changes(trace: Trace, node: Tensor, index: Index) -> dict[int, Array]:
    """Give how much every later node of the forward pass changes if an element does."""
    value = np.array(node.value, dtype=float)
    value[index] += 1e-3 * max(1.0, abs(float(value[index])))
    end = len(trace.nodes) if trace.loss is None else trace.nodes.index(trace.loss) + 1
    nodes = trace.nodes[:end]
    known = {x.birth: x.value for x in nodes if x.op is None or x.birth < node.birth}
    known[node.birth] = value.astype(node.dtype) if node.dtype.kind == "f" else node.value
    now = evaluate(nodes, known, {})
    found = {}
    for x in nodes:
        if x is node or x.op is None or x.dtype.kind != "f":
            continue
        with np.errstate(invalid="ignore"):
            change = np.abs(np.nan_to_num(np.asarray(now[x.birth], float) - x.value))
        rounding = 32 * np.finfo(x.dtype).eps * np.max(np.abs(np.nan_to_num(x.value)), initial=0.0)
        found[x.birth] = np.where(change > rounding, change, 0.0)
    return found


def _place(trace: Trace, x: Tensor, change: Array, row: int) -> Index | None:
    """Give the element whose change matters most, in a row if the node has rows."""
    size = change
    g = trace.gradient_of.get(x.birth)
    if g is not None:
        size = size * np.abs(np.nan_to_num(g.value)) + 1e-12 * size
    if size.ndim and trace.fact(x, "rows"):
        size = np.where(np.arange(len(size)).reshape(-1, *[1] * (size.ndim - 1)) == row, size, -1)
    if not size.size or np.max(size) <= 0:
        return None
    return tuple(int(n) for n in np.unravel_index(np.argmax(size), size.shape))
