"""What a program computes beside the rest, such as statistics: the rest stays as it is.

A loop that computes something else as well may round otherwise: LLVM then fuses other products
with sums. So what is beside gets loops of its own. They read what lies in memory anyway, and
compute again what does not, new weights among it. They come as early as they can, before the rest
writes over what they read.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chainrule.graph import Tensor
from chainrule.ops.loops import Reduce
from chainrule.transforms.compile.frame import base
from chainrule.transforms.compile.schedule import Schedule, Single, Step
from chainrule.transforms.compile.simplify import Node, reachable


class Beside(NamedTuple):
    """Outputs that a program has besides, and leaves with their new values."""

    outputs: tuple[Tensor, ...]
    updates: dict[Tensor, Tensor]

    @property
    def ends(self) -> list[Tensor]:
        """Outputs, new values, leaves."""
        return [*self.outputs, *self.updates.values(), *self.updates]

    def parts(self, roots: list[Node]) -> tuple[list[Node], list[Node], list[Node]]:
        """Divide the nodes of `ends`."""
        first, second = len(self.outputs), len(self.outputs) + len(self.updates)
        return roots[:first], roots[first:second], roots[second:]


def add_beside(
    schedule: Schedule, outputs: Sequence[Node], updates: Sequence[tuple[Node, Node]]
) -> list[Node]:
    """Add steps for outputs, whose own nodes it gives, and for pairs of a leaf and its new value.

    New values are written at the very end, and not at all in a step whose checks fail.
    """
    known = {
        order for order in schedule.memory if schedule.where.get(order, -1) < schedule.updates_from
    }
    count = 1 + max(x.order for x in reachable([*schedule.outputs, *outputs,
                                                *(x for pair in [*updates, *schedule.updates]
                                                  for x in pair)]))  # fmt: skip
    roots = _again([*outputs, *(new for _, new in updates)], known, count)
    outputs, news = roots[: len(outputs)], roots[len(outputs) :]
    pairs = list(zip((leaf for leaf, _ in updates), news, strict=True))
    nodes = reachable([*roots, *(leaf for leaf, _ in pairs)], known)
    sums = [x for x in nodes if isinstance(x.loop, Reduce) and x.order not in known]
    own = Schedule(nodes, [*outputs, *sums], pairs, given=known)
    _insert(schedule, own)
    schedule.nodes = [*schedule.nodes, *(x for x in nodes if x.order not in known)]
    schedule.outputs = [*schedule.outputs, *outputs]
    schedule.updates = [*schedule.updates, *pairs]
    schedule.memory |= own.memory
    schedule.stored |= own.stored
    return outputs


def _again(roots: Sequence[Node], known: set[int], count: int) -> list[Node]:
    """Copy nodes up to those that are known."""
    made: dict[int, Node] = {}
    for node in reachable(roots, known):
        made[node.order] = node
        if node.op is not None and node.order not in known:
            new = made[node.order] = copy.copy(node)
            new.inputs = tuple(made[x.order] for x in node.inputs)
            new.order, new.scope = count, roots[-1].scope
            count += 1
    return [made[x.order] for x in roots]


def _insert(schedule: Schedule, own: Schedule) -> None:
    """Put each step behind the last one that it reads from, and the updates at the end."""
    after: list[int] = []
    for i, step in enumerate(own.steps[: own.updates_from]):
        orders = set(_loaded(step, own))
        before = {own.where[order] for order in orders if order in own.where} - {i}
        places = [schedule.where.get(order, -1) for order in orders]
        after.append(max([-1, *places, *(after[k] for k in before)]))
    early: dict[int, list[Step]] = {}
    for step, place in zip(own.steps, after, strict=False):
        early.setdefault(place, []).append(step)
    first, rest = schedule.steps[: schedule.updates_from], schedule.steps[schedule.updates_from :]
    steps = early.get(-1, [])
    for place, step in enumerate(first):
        steps = [*steps, step, *early.get(place, [])]
    schedule.updates_from = len(steps)
    schedule.steps = [*steps, *rest, *own.steps[own.updates_from :]]


def _loaded(step: Step, own: Schedule) -> Iterable[int]:
    """Give the numbers of the nodes that a step finds in memory."""
    if isinstance(step, Single):
        return [x.order for x in own.loaded_by(step.node)]
    return [base(x).order for root in step.roots for x, _ in root.frame.loads]
