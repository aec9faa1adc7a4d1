"""What a recurrence keeps of its gates: the logistic function of their sums, computed once.

On the way back the slope of a gate is s(z) s(-z), with the logistic function s. The layer keeps z;
where nothing but these two reads it, a step keeps the smaller of them in its place, with the sign
of z. It tells both, and the slope, to the last places, however far z is from 0; the larger one
alone would not, since 1 - s(z) loses the digits of s(-z).

>>> kept = kept_of(np.array([-50.0, 0.0, 3.0]))
>>> np.round(logistic_of(kept), 8).tolist()
[0.0, 0.5, 0.95257413]
>>> (logistic_of(-kept)[2] == ops.sigmoid(-3.0)).item()
True
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.carries import cuts_of, span_of
from chainrule.graph import Tensor, Value, dtype_of
from chainrule.ops.linear import reshape_op
from chainrule.ops.loops import Steps
from chainrule.ops.moving import ALL, concat_op, slice_op
from chainrule.transforms.compile.simplify import Node, same_shape
from chainrule.transforms.run import Graph

Rule = Callable[[Tensor, dict[int, Value]], Value | None]
"""Computes a node of a step from what has been computed before it, if it has another way."""


@dataclass(frozen=True, eq=False)
class Read:
    """That columns are read, from where to where; by a node of a step, if that cuts them out."""

    start: float
    stop: float
    steps: Node | None = None
    cut: Tensor | None = None


_ALL_OF_IT = Read(0, np.inf)


def smaller_of(z: Value) -> Value:
    """Give the smaller of s(z) and s(-z), at least the least normal number."""
    smaller, least = ops.sigmoid(ops.neg(ops.abs(z))), np.finfo(dtype_of(z)).tiny.item()
    return ops.where(ops.less(smaller, least), least, smaller)


def kept_of(z: Value) -> Value:
    """Give what is kept of z: the smaller of s(z) and s(-z), with the sign of z."""
    smaller = smaller_of(z)
    return ops.where(ops.less(z, 0.0), ops.neg(smaller), smaller)


def gate_of(z: Value) -> Value:
    """Give s(z) in a step that keeps the smaller of it and s(-z)."""
    smaller = smaller_of(z)
    return ops.where(ops.less(z, 0.0), smaller, ops.sub(1.0, smaller))


def logistic_of(kept: Value) -> Value:
    """Give s(z) of what is kept of z, and of that with the other sign s(-z)."""
    return ops.where(ops.less(0.0, kept), ops.sub(1.0, kept), ops.neg(kept))


def keep_gates(steps: Node, nodes: Sequence[Node], roots: Sequence[Node]) -> None:
    """Let steps keep gates in place of their sums, where only their slopes are asked for later."""
    graph = steps.attrs["body"].graph
    if graph.output.op is not concat_op or len(graph.output.shape) != 2:
        return
    reads = [*_reads(steps, nodes, roots), *_reads_of_input(graph, 0)]
    sums: set[int] = set()
    found: list[Read] = []
    start = 0
    for x in graph.output.inputs:
        stop = start + int(x.shape[1])
        here = [r for r in reads if r.start < stop and start < r.stop]
        if here and all((r.start, r.stop) == (start, stop) and _is_of_slope(r) for r in here):
            sums.add(x.birth)
            found += here
        start = stop

    if sums:
        _rewrite(steps, _kept(graph.output, sums))
    for later in {r.steps.order: r.steps for r in found if r.steps is not None}.values():
        cuts = [r.cut for r in found if r.steps is later]
        _rewrite(later, _taken({cut.birth for cut in cuts if cut is not None}))


def _kept(output: Tensor, sums: set[int]) -> Rule:
    """Give the rule by which steps keep the smaller values of gates in place of their sums."""

    def rule(node: Tensor, found: dict[int, Value]) -> Value | None:
        if node is output:
            parts = [
                kept_of(found[x.birth]) if x.birth in sums else found[x.birth] for x in node.inputs
            ]
            return ops.concat(parts, axis=1)
        gate = node.op is ops.sigmoid and node.inputs[0].birth in sums
        return gate_of(found[node.inputs[0].birth]) if gate else None

    return rule


def _taken(cuts: set[int]) -> Rule:
    """Give the rule by which steps compute gates, and their slopes, from what is kept."""

    def rule(node: Tensor, found: dict[int, Value]) -> Value | None:
        if _logistic_by(node, cuts) is not None:
            return logistic_of(found[node.inputs[0].birth])
        if node.op is not ops.mul:
            return None
        first, second = (_logistic_by(x, cuts) for x in node.inputs)
        if first is None or second is None or first[0] is not second[0] or first[1] == second[1]:
            return None
        smaller = ops.abs(found[first[0].birth])
        return ops.mul(smaller, ops.sub(1.0, smaller))

    return rule


def _logistic_by(node: Tensor, cuts: set[int]) -> tuple[Tensor, bool] | None:
    """Give z, and whether its sign is changed before, if a node is s(z) or s(-z) of a cut."""
    x = node.inputs[0] if node.op is ops.sigmoid else node
    changed = x.op is ops.neg
    z = x.inputs[0] if changed else x
    return (z, changed) if node.op is ops.sigmoid and z.birth in cuts else None


def _rewrite(steps: Node, rule: Rule) -> None:
    steps.attrs = steps.attrs | {"body": steps.attrs["body"].rewritten(rule)}


def _reads(x: Node, nodes: Sequence[Node], roots: Sequence[Node]) -> list[Read]:
    """Give which columns of a node are read; its last axis is that of columns."""
    found = [_ALL_OF_IT] if any(y is x for y in roots) else []
    for node in nodes:
        for k in [k for k, y in enumerate(node.inputs) if y is x]:
            if isinstance(node.loop, Steps):
                found += _reads_of_steps(node, k)
            elif node.op in (reshape_op, slice_op) and same_shape(node.shape[-1:], x.shape[-1:]):
                found += _reads(node, nodes, roots)
            else:
                found.append(_read_of_slice(node))
    return found


def _reads_of_steps(steps: Node, k: int) -> list[Read]:
    """Give which columns of input k steps read; of the step before they read what it has left."""
    graph, before = steps.attrs["body"].graph, steps.attrs.get("before", {})
    if k == 0 or k >= len(graph.inputs):
        return [_ALL_OF_IT]
    reads = _reads_of_input(graph, k)
    return reads if k in before else [Read(r.start, r.stop, steps, r.cut) for r in reads]


def _reads_of_input(graph: Graph, k: int) -> list[Read]:
    x = graph.inputs[k]
    cuts = cuts_of(graph, x)
    whole = x is graph.output or any(y is x for node in graph.nodes for y in node.inputs)
    return [Read(*span_of(cut), cut=cut) for cut in cuts] or [_ALL_OF_IT] * whole


def _read_of_slice(node: Node) -> Read:
    slices: Any = node.attrs["slices"] if node.op is slice_op else ()
    start, stop, step = slices[-1] if len(slices) == len(node.inputs[0].shape) else ALL
    if start is None or stop is None or step != 1 or start < 0:
        return _ALL_OF_IT
    return Read(start, stop)


def _is_of_slope(read: Read) -> bool:
    """Whether other steps compute s(z) and s(-z) alone of the columns that they read."""
    if read.steps is None or read.cut is None:
        return False
    graph = read.steps.attrs["body"].graph
    readers = _readers(graph, read.cut)
    mirrored = [
        y for node in readers if node.op is ops.neg for y in _readers(graph, node) or [node]
    ]
    return all(
        y.op is ops.sigmoid for y in [*(x for x in readers if x.op is not ops.neg), *mirrored]
    )


def _readers(graph: Graph, x: Tensor) -> list[Tensor]:
    whole = [graph.output] if x is graph.output else []
    return whole + [node for node in graph.nodes if any(y is x for y in node.inputs)]
