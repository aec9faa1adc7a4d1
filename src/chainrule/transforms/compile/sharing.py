"""Memory that serves two nodes: what may be written over that of another."""

from collections.abc import Mapping, Sequence

from chainrule.ops.loops import Product, Reduce, Scatter
from chainrule.transforms.compile.frame import base, squeezed
from chainrule.transforms.compile.schedule import Group, Root, Schedule, Step, held
from chainrule.transforms.compile.simplify import KEPT, Node, Scatters, same_shape


def sharing(schedule: Schedule, over: Mapping[int, Sequence[int]]) -> dict[int, Node]:
    """Give the nodes that are written over the memory of another, which nobody reads later.

    `over` says of nodes with steps inside over which of their inputs a step may write.
    """
    shares: dict[int, Node] = {}
    last_use = _last_uses(schedule)
    leaf_of = {base(new).order: leaf for leaf, new in schedule.updates}
    fixed = {base(x).order for x in schedule.outputs} | set(leaf_of)
    for i, step in enumerate(schedule.steps):
        if not isinstance(step, Group):
            if isinstance(step.node.loop, Product) and len(step.node.inputs) > 2:
                x = base(step.node.inputs[2])  # to which it adds
                shares[step.node.order] = shares.get(x.order, x)
            leaf = leaf_of.get(step.node.order)
            if leaf and i >= schedule.updates_from and last_use.get(leaf.order, -1) < i:
                if isinstance(step.node.loop, Scatter | Scatters):
                    shares[step.node.order] = leaf
                continue
            for k in over.get(step.node.order, ()):
                x, before = base(step.node.inputs[k]), step.node.attrs.get("before", ())
                reads = [j for j, y in enumerate(step.node.inputs) if base(y) is x]
                once = [j for j in reads if j not in before] == [k]
                over_by = last_use[x.order] == i or _read_before_columns(
                    x, step.node.attrs.get("passes", 0), schedule.steps[i + 1 :], schedule
                )
                if once and x.op is not None and x.order not in fixed and over_by:
                    shares[step.node.order] = shares.get(x.order, x)
                    break
            continue
        if step.roots[0].columns:
            continue
        taken: set[int] = set()
        for root in step.roots:
            node = root.node
            if node.order not in schedule.memory or isinstance(node.loop, Reduce):
                continue
            if node.order in leaf_of:
                leaf = leaf_of[node.order]
                if i >= schedule.updates_from and _may_overwrite(leaf, root, step, last_use, i):
                    shares[node.order] = leaf
                continue
            loaded = {base(x).order: base(x) for x, _ in root.frame.loads}
            for x in sorted(loaded.values(), key=lambda x: x.order):  # what has lain there longest
                if x.op is None or x.order in fixed or x.order in taken or x.order not in last_use:
                    continue
                if node.order not in fixed and _may_overwrite(x, root, step, last_use, i):
                    taken.add(x.order)
                    shares[node.order] = shares.get(x.order, x)
                    break
    return shares


def lie_in_leaves(schedule: Schedule, shares: dict[int, Node], check: Node) -> dict[int, Node]:
    """Let gradients lie in leaves that nothing reads, once it is known that `check` is finite.

    That is for what is read last where such a leaf is updated. Gives what lies in which leaf.
    """
    lying: dict[int, Node] = {}
    last_use, where = _last_uses(schedule), _places(schedule)
    known = where.get(base(check).order, len(schedule.steps))
    used = set(shares) | {x.order for x in [*shares.values(), *map(base, schedule.outputs)]}
    for leaf, new in schedule.updates:
        i = where.get(new.order, 0)
        group = schedule.steps[i]
        unread = leaf.order not in last_use and shares.get(new.order) is leaf
        if not unread or not isinstance(group, Group):
            continue
        root = group.members[new.order]
        for x in (base(x) for other in group.roots for x, _ in other.frame.loads):
            made = where.get(x.order, -1)
            if (
                x.order not in used and x.order in schedule.memory and known < made < i
                and _may_overwrite(x, root, group, last_use, i)
            ):  # fmt: skip
                shares[x.order] = leaf
                lying[leaf.order] = x
                used.add(x.order)
                break
    return lying


def exchanges(
    schedule: Schedule, shares: dict[int, Node], lying: Mapping[int, Node]
) -> list[tuple[Node, Node]]:
    """Let new weights be written where gradients lie, in leaves that keep the old ones.

    Both leaves then exchange their memory at the end of a step, and nothing is copied. Gives these
    pairs; none where Python is called, which would not know.
    """
    found: list[tuple[Node, Node]] = []
    if any(not isinstance(step, Group) and step.node.loop is None for step in schedule.steps):
        return found
    last_use, where = _last_uses(schedule), _places(schedule)
    news = {leaf.order: new for leaf, new in schedule.updates}
    for leaf, kept in schedule.updates:
        if kept.loop != KEPT or leaf.order not in lying:
            continue
        old = kept.inputs[0]
        new = news.get(old.order)
        if new is None or shares.get(new.order) is not old:
            continue
        i = where[new.order]
        group = schedule.steps[i]
        assert isinstance(group, Group)
        if _may_overwrite(lying[leaf.order], group.members[new.order], group, last_use, i):
            shares[new.order] = leaf
            found.append((old, leaf))
    return found


def _places(schedule: Schedule) -> dict[int, int]:
    """Give the step that computes each node."""
    return {
        order: i
        for i, step in enumerate(schedule.steps)
        for order in (step.members if isinstance(step, Group) else [step.node.order])
    }


def _read_before_columns(x: Node, first: int, steps: Sequence[Step], schedule: Schedule) -> bool:
    """Whether some steps read x in products alone, of columns before the first written over."""
    for step in steps:
        if isinstance(step, Group):
            if any(base(y) is x for root in step.roots for y, _ in root.frame.loads):
                return False
        elif any(y is x for y in schedule.loaded_by(step.node)) and not (
            _multiplies_columns(step.node, x, first)
        ):
            return False
    return True


def _multiplies_columns(node: Node, x: Node, first: int) -> bool:
    """Whether a node is a product of two matrices, which takes of x columns before the first."""
    lie = [(held(matrix), matrix) for matrix in node.inputs]
    ends = [start + y.shape[1] for (lies, start), y in lie if base(lies) is x and lies is not y]
    reads = sum(base(lies) is x for (lies, _), _ in lie)
    two = isinstance(node.loop, Product) and len(node.shape) == 2
    return two and len(ends) == reads and max(ends) <= first


def _may_overwrite(x: Node, root: Root, group: Group, last_use: dict[int, int], step: int) -> bool:
    """Whether a root may be stored over x: same form, and nobody reads x elsewhere or later."""
    if last_use.get(x.order, step) != step or x.dtype != root.node.dtype:
        return False
    phase = {id(r): p for p, (_, roots) in enumerate(group.phases) for r in roots}
    form, home = squeezed(root.node.shape), [i for i in root.home if i != "0"]
    for other in group.roots:
        for y, at in other.frame.loads:
            if base(y) is x and not (
                same_shape(squeezed(y.shape), form) and [i for i in at if i != "0"] == home
                and phase[id(other)] <= phase[id(root)]
            ):  # fmt: skip
                return False
    return True


def _last_uses(schedule: Schedule) -> dict[int, int]:
    """Give the last step that loads each node, or a node with the same memory."""
    last: dict[int, int] = {}
    for i, step in enumerate(schedule.steps):
        if isinstance(step, Group):
            loaded = [base(x) for root in step.roots for x, _ in root.frame.loads]
        else:
            loaded = schedule.loaded_by(step.node)
        for x in loaded:
            last[x.order] = i
    return last
