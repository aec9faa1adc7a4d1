"""Which loops there are: nodes that lie in memory, gathered into groups that share their loops.

A *root* is a node whose elements a loop computes: a reduction, or a formula that a product, an
output or another kernel reads. Roots with the same outer loops that read the same data form a
group; what they need of formulas that are no roots is computed inside. A group runs in *phases*,
one inner loop each: a phase may read the reductions of the phases before it.
"""

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.dims import Dim
from chainrule.ops.loops import Along, Element, Product, Reduce, Scatter, Steps
from chainrule.transforms.compile.frame import (
    INNER,
    OUTER,
    Frame,
    base,
    is_expensive,
    keeps_axes,
    regroups,
    squeezed,
)
from chainrule.transforms.compile.simplify import (
    Node,
    Scatters,
    above,
    nest_of,
    reachable,
    same_shape,
)
from chainrule.transforms.compile.structure import Pieces


@dataclass
class Root:
    """A node with its loops: sizes of the outer and inner ones, and the index they make."""

    node: Node
    outer: list[Any]
    inner: list[Any]
    index: list[str]
    outer_names: list[str]
    inner_names: list[str]
    columns: bool = False
    frame: Frame = field(default_factory=lambda: Frame(set()))

    @classmethod
    def whole(cls, node: Node) -> "Root":
        """Give the root of a node whose loops are not those of a group."""
        return cls(node, [], [], ["whole"] * len(node.shape), [], [])

    @property
    def home(self) -> tuple[str, ...]:
        """Index of the result at which the loops compute it."""
        if not isinstance(self.node.loop, Reduce) or "whole" in self.index:
            return tuple(self.index)
        kept = iter(self.outer_names + (self.inner_names[-1:] if self.columns else []))
        return tuple("0" if is_one(n) else next(kept) for n in self.node.shape)


@dataclass
class Group:
    """Roots with the same outer loops."""

    outer: list[Any]
    roots: list[Root] = field(default_factory=list)
    phases: list[tuple[list[Any], list[Root]]] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)

    @property
    def members(self) -> dict[int, Root]:
        """Roots by the number of their node."""
        return {root.node.order: root for root in self.roots}


@dataclass
class Single:
    """A node that is computed as a whole: a product, a scatter, a function of lines."""

    node: Node


Step = Group | Single


def is_one(n: Any) -> bool:
    """Whether a size is 1 whatever the names stand for."""
    return isinstance(n, int) and n == 1


def is_single(node: Node) -> bool:
    """Whether a node is computed as a whole."""
    return node.op is not None and (
        node.loop is None or isinstance(node.loop, Product | Scatter | Scatters | Along | Steps)
    )


def held(x: Node) -> tuple[Node, Any]:
    """Give the node in whose memory a matrix lies, row after row, and the column where it begins.

    Columns cut out of what lies in memory are read there; the node has the columns of a whole row.
    """
    cut = base(x)
    span = cut.loop.span(*cut.inputs, **cut.attrs) if isinstance(cut.loop, Element) else None
    if span is None or len(x.shape) != 2 or x.shape[-1] != cut.shape[-1]:
        return x, 0
    axis, start, _ = span
    lies = base(cut.inputs[0]).op is None or is_single(base(cut.inputs[0]))
    return (cut.inputs[0], start) if lies and axis == len(cut.shape) - 1 else (x, 0)


def windows_of(node: Node) -> Node | None:
    """Give the windows that are the second matrices of a stack of products, if they are.

    They are not cut out: the products read them where they lie.
    """
    if not isinstance(node.loop, Product) or len(squeezed(node.shape)) < 3:
        return None
    x, windows = node.inputs[1], base(node.inputs[1])
    if not isinstance(windows.loop, Element) or node.attrs.get("transpose_a"):
        return None
    axes = windows.loop.columns(**windows.attrs)
    if not axes or any(isinstance(n, Dim) for n in (*x.shape[-2:], *windows.shape[1:])):
        return None
    stack = node.shape[:-2]
    if isinstance(stack[0], Pieces):
        stack = (stack[0].whole, *stack[1:])
    whole = same_shape(x.shape[:-2], stack) and same_shape(x.shape[:1], windows.shape[:1])
    return windows if whole and x.shape[-1] == math.prod(windows.shape[-axes:]) else None


def read_by(node: Node) -> list[Node]:
    """Give what a node that is computed as a whole reads."""
    windows = windows_of(node)
    if windows is not None:
        return [node.inputs[0], windows.inputs[0]]
    if isinstance(node.loop, Product) and len(node.shape) == 2:
        return [held(x)[0] for x in node.inputs]
    return list(node.inputs)


def _that_are_read(nodes: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
    """Leave out what nothing computes from, since its readers look elsewhere."""
    read = {x.order for x in roots}
    for node in reversed(nodes):
        if node.order in read:
            read |= {x.order for x in (read_by(node) if is_single(node) else node.inputs)}
    return [node for node in nodes if node.op is None or node.order in read]


class Schedule:
    """The steps in their order, and which nodes lie in memory.

    `updates` are pairs of a leaf and the node of its new value; their steps come last, after all
    that computes `outputs`: `updates_from` is the first of them. Nodes that are `given` lie in
    memory already.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Node],
        updates: Sequence[tuple[Node, Node]],
        given: Container[int] = (),
    ) -> None:
        self.given = given
        self.nodes = _that_are_read(nodes, [*outputs, *(new for _, new in updates)])
        self.outputs = outputs
        self.updates = updates
        self.scalar: set[int] = set()
        for node in self.nodes:
            if not node.shape and all(x.order in self.scalar for x in node.inputs):
                self.scalar.add(node.order)
        promoted: set[int] = set()
        self._written: dict[tuple[int, str], Root] = {}
        while True:
            self._build(promoted)
            again = self._computed_twice() | self._waited_for()
            if not again - promoted:
                break
            promoted |= again
        self.memory = self._in_memory()

    def _build(self, promoted: set[int]) -> None:
        self.steps: list[Step] = []
        self.where: dict[int, int] = {}
        self.stored = self._stored(promoted)
        first = above(self.outputs)
        self._place_all([node for node in self.nodes if node.order in first], 0)
        self.updates_from = len(self.steps)
        rest = [node for node in self.nodes if node.order not in first]
        self._place_all(rest, self.updates_from)
        for step in self.steps:
            if isinstance(step, Group):
                _into_phases(step)

    def _place_all(self, nodes: Sequence[Node], least: int) -> None:
        """Find a place for each node; numbers that need no array come first, for all to use."""
        early = {node.order for node in nodes if node.order in self.scalar}
        for node in sorted(nodes, key=lambda node: node.order not in early):
            self._place(node, least)

    def _stored(self, promoted: set[int]) -> set[int]:
        """Give the nodes that other steps may load: leaves, roots, and what is whole."""
        kept = {base(x).order for x in self.outputs} | {base(new).order for _, new in self.updates}
        kept |= promoted
        for node in self.nodes:
            if node.number is None and (node.op is None or isinstance(node.loop, Reduce)):
                kept.add(node.order)
            if node.order in self.given:
                kept.add(node.order)
                continue
            if is_single(node):
                kept.add(node.order)
                if not isinstance(node.loop, Scatter | Scatters):
                    kept |= {base(x).order for x in read_by(node)}
            if _renames(node) and not keeps_axes(node) and not regroups(node):
                kept.add(base(node).order)
        return {node.order for node in self.nodes if node.order in kept and not _renames(node)}

    def _place(self, node: Node, least: int) -> None:
        if node.op is None or node.order not in self.stored or node.order in self.given:
            return
        if is_single(node):
            self.where[node.order] = len(self.steps)
            self.steps.append(Single(node))
            return
        forms = [_as_reduction] if isinstance(node.loop, Reduce) else [_as_rows, _as_numbers]
        for form in forms:
            root = self._rooted(node, form)
            place = self._group_for(root, least)
            if place is not None:
                break
        else:
            root, place = self._rooted(node, forms[0]), len(self.steps)
            self.steps.append(Group(root.outer))
        group = self.steps[place]
        assert isinstance(group, Group)
        group.roots.append(root)
        group.touched |= _touched(root) | {node.order}
        self.where[node.order] = place

    def _rooted(self, node: Node, form: Callable[[Node], Root]) -> Root:
        """Give a node its loops and write its element, if that is not known from before."""
        known = self._written.get((node.order, form.__name__))
        if known is not None and not any(
            x.order in self.stored and x is not node for x in known.frame.computed
        ):
            return known
        root = form(node)
        write(root, root.frame, self.stored)
        self._written[node.order, form.__name__] = root
        return root

    def _group_for(self, root: Root, least: int) -> int | None:
        """Find the first group that the root can join."""
        if root.columns:
            return None
        loads = [(base(x), at) for x, at in root.frame.loads]
        needed = max([least, *(self.where[x.order] for x, _ in loads if x.order in self.where)])
        touched = _touched(root)
        for place in range(needed, len(self.steps)):
            group = self.steps[place]
            if not isinstance(group, Group) or group.roots[0].columns:
                continue
            if not same_shape(group.outer, root.outer):
                continue
            related = bool(touched & group.touched) or (
                not root.outer and not root.inner
                and (all(not r.node.shape for r in [root, *group.roots])
                     or any(x.order in group.members for x, _ in loads))
            )  # fmt: skip
            if related and all(self._is_local(x, at, root, group) for x, at in root.frame.loads):
                return place
        return None

    @staticmethod
    def _is_local(x: Node, at: tuple[str, ...], root: Root, group: Group) -> bool:
        """Whether a load of what the group computes stays within one turn of the outer loops."""
        writer = group.members.get(base(x).order)
        if writer is None:
            return True
        names = [i for n, i in zip(x.shape, at, strict=True) if not is_one(n)]
        if isinstance(writer.node.loop, Reduce):
            return names == root.outer_names
        return names[: len(root.outer_names)] == root.outer_names and base(x) is x

    def loaded_by(self, node: Node) -> list[Node]:
        """Give what lies in memory and is read by a node that is computed as a whole."""
        return [base(x) for x in reachable(read_by(node), self.stored)]

    def _computed_twice(self) -> set[int]:
        """Give the formulas that are dear and would be computed in more than one loop."""
        seen: dict[int, set[tuple[int, int]]] = {}
        for i, step in enumerate(self.steps):
            for p, root in _phased(step):
                for node in root.frame.computed:
                    if is_expensive(node):
                        seen.setdefault(node.order, set()).add((i, p))
            if isinstance(step, Single) and isinstance(step.node.loop, Scatter | Scatters):
                for k, x in enumerate(step.node.inputs):
                    for node in reachable([x], self.stored):
                        if is_expensive(node):
                            seen.setdefault(node.order, set()).add((i, nest_of(step.node, k)))
        return {order for order, places in seen.items() if len(places) > 1}

    def _waited_for(self) -> set[int]:
        """Give the formulas that a dear one reads, and that are dear themselves, in one scatter.

        They get a loop of their own: an element would wait for one function after the other.
        """
        found: set[int] = set()
        for step in self.steps:
            if not isinstance(step, Single) or not isinstance(step.node.loop, Scatter | Scatters):
                continue
            dear: set[int] = set()
            for node in reachable(step.node.inputs, self.stored):
                below = {base(x).order for x in node.inputs} & dear
                if is_expensive(node):
                    found |= below
                if (is_expensive(node) or below) and node.order not in self.stored:
                    dear.add(node.order)
        return found

    def _in_memory(self) -> set[int]:
        """Give the nodes that need memory: all stored but what lives within a turn of a loop."""
        needed = {base(x).order for x in self.outputs}
        needed |= {base(new).order for _, new in self.updates}
        for step in self.steps:
            if isinstance(step, Single):
                needed.add(step.node.order)
                needed |= {x.order for x in self.loaded_by(step.node)}
                continue
            for p, root in _phased(step):
                for x, at in root.frame.loads:
                    source = base(x)
                    writer = step.members.get(source.order)
                    if writer is None or not self._stays(writer, root, step, p, x, at):
                        needed.add(source.order)
        return needed & self.stored | {
            node.order for node in self.nodes if node.op is None and node.number is None
        }

    @staticmethod
    def _stays(
        writer: Root, reader: Root, group: Group, phase: int, x: Node, at: tuple[str, ...]
    ) -> bool:
        """Whether a reader of the same group finds the value in a variable."""
        if base(x) is not x or at != writer.home:
            return False
        if not writer.inner or isinstance(writer.node.loop, Reduce):
            return True
        return any(writer in roots and reader in roots for _, roots in group.phases)


def _renames(node: Node) -> bool:
    return isinstance(node.loop, Element) and node.loop.order


def _touched(root: Root) -> set[int]:
    return {base(x).order for x, _ in root.frame.loads if x.shape}


def _phased(step: Step) -> list[tuple[int, Root]]:
    if isinstance(step, Single):
        return []
    return [(p, root) for p, (_, roots) in enumerate(step.phases) for root in roots]


# The loops of a node.


def _as_rows(node: Node) -> Root:
    """Loops over all axes but the last outside, and over the last inside."""
    sizes = squeezed(node.shape)
    return _mapped(node, sizes[:-1], sizes[-1:])


def _as_numbers(node: Node) -> Root:
    """All loops outside: a number for each turn of them."""
    return _mapped(node, squeezed(node.shape), [])


def _mapped(node: Node, outer: list[Any], inner: list[Any]) -> Root:
    outer_names = [f"i{k}" for k in range(len(outer))]
    inner_names = ["j"] * len(inner)
    names = iter(outer_names + inner_names)
    index = ["0" if is_one(n) else next(names) for n in node.shape]
    return Root(node, outer, inner, index, outer_names, inner_names)


def _as_reduction(node: Node) -> Root:
    """Loops over what is kept outside and what is reduced inside.

    Where the last axis is kept, it is the innermost loop all the same ("columns"): memory is then
    read in order, and the results of a line grow side by side.
    """
    given = node.inputs[0]
    axes = node.attrs["axis"] if isinstance(node.attrs["axis"], tuple) else (node.attrs["axis"],)
    real = [a for a, n in enumerate(given.shape) if not is_one(n)]
    reduced = [a for a in real if a in axes]
    kept = [a for a in real if a not in axes]
    columns = bool(kept) and bool(reduced) and kept[-1] > reduced[-1] and not node.loop.position
    last = kept.pop() if columns else reduced[-1] if reduced else None
    outer_names = [f"i{k}" for k in range(len(kept))]
    inside = [a for a in reduced if a != last]
    inner_names = [f"r{k}" for k in range(len(inside))] + (["j"] if last is not None else [])
    inside += [last] if last is not None else []
    names = dict(zip(kept + inside, outer_names + inner_names, strict=True))
    index = [names.get(a, "0") for a in range(len(given.shape))]
    outer, inner = ([given.shape[a] for a in axes_] for axes_ in (kept, inside))
    return Root(node, outer, inner, index, outer_names, inner_names, columns)


def write(root: Root, frame: Frame, stored: set[int]) -> str:
    """Write the element of a root into a frame; for a reduction the element that it takes in."""
    for name, span in zip(root.outer_names, root.outer, strict=True):
        frame.loop(name, OUTER, span)
    for name, span in zip(root.inner_names, root.inner, strict=True):
        frame.loop(name, INNER, span)
    frame.stored = stored
    node = root.node
    if isinstance(node.loop, Reduce):
        return frame.read(node.inputs[0], root.index, None if node.loop.position else node.dtype)
    return frame.compute(node, root.index)


def _into_phases(group: Group) -> None:
    """Put each root into the first inner loop that comes after what it needs."""
    phase_of: dict[int, int] = {}
    for root in group.roots:
        least = 0
        for x, at in root.frame.loads:
            writer = group.members.get(base(x).order)
            if writer is None or writer is root:
                continue
            same = (
                not isinstance(writer.node.loop, Reduce) and at == writer.home
                and same_shape(writer.inner, root.inner)
            )  # fmt: skip
            least = max(least, phase_of[writer.node.order] + (0 if same else 1))
        for p in range(least, len(group.phases)):
            if same_shape(group.phases[p][0], root.inner):
                break
        else:
            p = len(group.phases)
            group.phases.append((root.inner, []))
        group.phases[p][1].append(root)
        phase_of[root.node.order] = p
