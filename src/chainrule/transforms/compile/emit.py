"""Kernels: the source of each group of loops, and what a call of it has to pass.

A kernel is a Python function on pieces of memory and whole numbers. Sizes are arguments, so the
same text serves layers of every width, and kernels with the same text are one function.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.dims import Constant, product
from chainrule.ops.loops import Along, Reduce, Steps
from chainrule.transforms.compile.frame import (
    INNER,
    OUTER,
    TOP,
    Frame,
    assignment,
    base,
    fold,
    literal,
    lowest,
    squeezed,
)
from chainrule.transforms.compile.schedule import Group, Root, is_one, write
from chainrule.transforms.compile.simplify import Node, same_shape
from chainrule.transforms.compile.structure import WIDE, product_of

INDENT = "    "
_FEW = 32
"""Elements of a window that are taken in one by one, without a loop."""


@dataclass
class Kernel:
    """A function in source, without its name, and the arguments of one call.

    `pointers` are nodes whose memory it takes, `sizes` and `numbers` what follows. `share` is the
    size whose range may be split between threads, None if the kernel runs on one; each turn then
    stands for `stride` elements. `local` are the nodes of which a thread touches its part alone.
    """

    lines: list[str]
    pointers: list[Node]
    sizes: list[Any]
    numbers: list[float]
    share: Any
    roots: list[Node]
    stride: Any = 1
    local: set[int] = field(default_factory=set)
    writes: list[Node] = field(default_factory=list)
    work: list[list[Any]] = field(default_factory=list)
    """Sizes of the loop nests."""
    sums: Node | None = None
    """If it is a sum over rows of a recurrence, that one: it takes those of some steps at a time,
    from a first to a last row."""

    @property
    def text(self) -> str:
        """Source of the function after its name."""
        return "\n".join(self.lines)


def group_kernel(group: Group, memory: set[int], shares: dict[int, Node]) -> Kernel:
    """Write the loops of a group."""
    if group.roots[0].columns:
        return _columns(group.roots[0], memory, shares)
    return _Rows(group, memory, shares, flat=_can_be_flat(group)).kernel()


def _can_be_flat(group: Group) -> bool:
    """Whether every array is read and written in its order, so that one loop serves."""
    inner, roots = group.phases[0]
    sizes = [*group.outer, *inner]
    if len(group.phases) != 1 or not sizes or any(r.frame.indexed for r in roots):
        return False
    reductions = [r.node.loop for r in roots if isinstance(r.node.loop, Reduce)]
    if reductions and (group.outer or any(loop.position for loop in reductions)):
        return False
    names = [*roots[0].outer_names, *roots[0].inner_names]
    return all(
        not squeezed(x.shape)
        or (
            [i for n, i in zip(x.shape, at, strict=True) if not is_one(n)] == names
            and same_shape(squeezed(x.shape), sizes)
        )
        for root in roots
        for x, at in root.frame.loads
    )


class _Rows:
    """The loops of a group whose roots have the same outer loops."""

    def __init__(
        self, group: Group, memory: set[int], shares: dict[int, Node], flat: bool = False
    ) -> None:
        self.group, self.memory = group, memory
        inner = group.phases[0][0]
        self.sizes = [*group.outer, *inner]
        self.frame = Frame(memory, self.sizes if flat else None)
        self.frame.shares = shares
        self.frame.own = set(group.members)
        self.flat = flat
        self.body: list[str] = []
        self.states = 0
        self.work: list[list[Any]] = []

    def kernel(self) -> Kernel:
        group, frame = self.group, self.frame
        outer = [] if self.flat else group.outer
        self._outer_loops(outer)
        splits_inner = not outer and len(group.phases) == 1 and bool(group.phases[0][0])
        splits_inner &= not any(isinstance(r.node.loop, Reduce) for r in group.roots)
        for inner, roots in group.phases:
            self._phase([product_of(self.sizes)] if self.flat and self.sizes else inner, roots,
                        splits_inner)  # fmt: skip
        share, split = (outer[0], "i0") if outer else (None, "")
        if splits_inner:
            share, split = self.sizes[0], "j"
        lines = list(frame.lines[TOP])
        if outer and self._is_narrow():
            lines.insert(0, "narrow()")
        for depth, _ in enumerate(outer):
            span = "first, last" if depth == 0 else frame.size(outer[depth])
            lines.append(INDENT * depth + f"for i{depth} in range({span}):")
        lines += [INDENT * len(outer) + line for line in self.body]
        kernel = finished(frame, lines, share, group.roots, self.memory, self.work, split)
        if self.flat and share is not None:
            kernel.stride = product_of(self.sizes[1:])
            kernel.local |= {x.order for x in kernel.pointers if squeezed(x.shape)}
        return kernel

    def _is_narrow(self) -> bool:
        """Whether several loops, of which some are sums, go over the same short line."""
        lines = [inner[-1] for inner, _ in self.group.phases if inner]
        return len(lines) > 1 and all(isinstance(n, int) and n < WIDE for n in lines)

    def _outer_loops(self, outer: Sequence[Any]) -> None:
        for depth, span in enumerate(outer):
            self.frame.loop(f"i{depth}", OUTER, span)

    def _phase(self, inner: Sequence[Any], roots: Sequence[Root], split: bool) -> None:
        frame = self.frame
        for name, span in zip(roots[0].inner_names, roots[0].inner, strict=True):
            frame.loop(name, INNER, span)
        if self.flat:
            frame.loop("k", INNER, 1)
            for name in (*roots[0].outer_names, *roots[0].inner_names):
                frame.levels[name] = INNER
        starts: list[str] = []
        updates: list[str] = []
        stores: list[str] = []
        ends: list[str] = []
        for root in roots:
            if isinstance(root.node.loop, Reduce):
                self._reduce(root, starts, updates, ends)
            else:
                self._map(root, stores if inner else ends)
        self.body += frame.lines[OUTER]
        frame.lines[OUTER] = []
        if inner:
            names = ["k"] if self.flat else roots[0].inner_names
            self.body += starts
            for depth, (name, n) in enumerate(zip(names, inner, strict=True)):
                span = "first, last" if split and depth == 0 else frame.size(n)
                self.body.append(INDENT * depth + f"for {name} in range({span}):")
            statements = frame.lines[INNER] + updates + stores
            self.body += [INDENT * len(inner) + line for line in statements]
            outer = [] if self.flat else self.group.outer
            self.work.append([*outer, *inner])
        else:
            self.body += starts + frame.lines[INNER] + updates
        self.body += ends
        frame.lines[INNER] = []
        frame.forget()
        for root in roots:
            if inner and not isinstance(root.node.loop, Reduce):
                frame.local.pop(root.node.order, None)

    def _reduce(self, root: Root, starts: list[str], updates: list[str], ends: list[str]) -> None:
        frame, node = self.frame, root.node
        value = write(root, frame, frame.stored)
        state = f"s{self.states}"
        self.states += 1
        start, statements = fold(frame, node, value, state, (root.inner_names or ["0"])[-1])
        starts.append(f"{state} = {start}")
        result = state
        if node.loop.position:
            result = f"{state}_at"
            starts.append(f"{result} = 0")
        updates += statements
        frame.levels[result] = OUTER
        frame.local[node.order] = (root.home, result)
        if node.order in self.memory:
            ends.append(self._store(root, result))

    def _map(self, root: Root, stores: list[str]) -> None:
        value = write(root, self.frame, self.frame.stored)
        self.frame.local[root.node.order] = (root.home, value)
        if root.node.order in self.memory:
            stores.append(self._store(root, value))

    def _store(self, root: Root, value: str) -> str:
        address = self.frame.address(root.node.shape, root.home)
        return assignment(f"{self.frame.pointer(root.node)}[{address}]", value, root.node.dtype)


def _columns(root: Root, memory: set[int], shares: dict[int, Node]) -> Kernel:
    """Write a reduction whose results lie side by side in the innermost loop."""
    frame = Frame(memory)
    frame.shares = shares
    turns = root.inner[:-1]
    few = all(isinstance(n, Constant) for n in turns) and math.prod(map(int, turns)) <= _FEW
    sums = None if few else _summed(root)
    nest = _few_turns(root, frame) if few else _many_turns(root, frame, sums)
    lines = list(frame.lines[TOP])
    if few:
        lines.insert(0, "narrow()")
    for depth, n in enumerate(root.outer):
        span = "first, last" if depth == 0 else frame.size(n)
        lines.append(INDENT * depth + f"for i{depth} in range({span}):")
    lines += [INDENT * len(root.outer) + line for line in [*frame.lines[OUTER], *nest]]
    share = root.outer[0] if root.outer else root.inner[-1]
    split = "i0" if root.outer else "j"
    work = [[*root.outer, *root.inner]]
    return finished(frame, lines, share, [root], memory, work, split, sums)


def _summed(root: Root) -> Node | None:
    """Give the recurrence of whose rows a root is the sum."""
    one = root.node.op is not None and root.node.op.name == "sum" and not root.outer
    found = [base(x) for x, _ in root.frame.loads if one and len(root.inner) == 2]
    return next((x for x in found if sums_up(root.inner[0], x)), None)


def sums_up(rows: Any, x: Node) -> bool:
    """Whether so many rows are those of all steps of a recurrence."""
    steps = isinstance(x.loop, Steps) and x.shape[0] != 0
    return steps and same_shape([rows], [product(x.shape[:2])])


def _many_turns(root: Root, frame: Frame, sums: Node | None) -> list[str]:
    """Start a line of results, and take in one line of elements after the other."""
    node = root.node
    value = write(root, frame, frame.stored)
    place, start = _line_of(root, frame)
    step = assignment(place, node.loop.step.format(place, x=value), node.dtype)
    last = frame.size(root.inner[-1])
    columns = last if root.outer else "first, last"
    lines = [f"for j in range({columns}):", INDENT + f"{place} = {start}"]
    if sums is None:
        sizes = [frame.size(n) for n in root.inner[:-1]]
        spans = list(zip(root.inner_names, sizes, strict=False))
    else:
        lines = ["if begin == 0:", *[INDENT + line for line in lines]]
        rows = frame.size(sums.shape[1])
        spans = [("one", "begin, end"), ("r0", f"one * {rows} + top, one * {rows} + bottom")]
    spans.append(("j", columns))
    for depth, (name, span) in enumerate(spans):
        lines.append(INDENT * depth + f"for {name} in range({span}):")
    return lines + [INDENT * len(spans) + line for line in [*frame.lines[INNER], step]]


def _few_turns(root: Root, frame: Frame) -> list[str]:
    """Take in all elements of one result after the other, written out."""
    for name, span in zip(root.outer_names, root.outer, strict=True):
        frame.loop(name, OUTER, span)
    frame.loop(root.inner_names[-1], INNER, root.inner[-1])
    node, dtype = root.node, None if root.node.loop.position else root.node.dtype
    place, state = _line_of(root, frame)
    for turn in itertools.product(*[range(int(n)) for n in root.inner[:-1]]):
        at = dict(zip(root.inner_names, map(str, turn), strict=False))
        value = frame.read(node.inputs[0], [at.get(i, i) for i in root.index], dtype)
        state = frame.put(node.loop.step.format(state, x=value), INNER)
    columns = frame.size(root.inner[-1]) if root.outer else "first, last"
    store = assignment(place, state, node.dtype)
    lines = [*frame.lines[INNER], store]
    return [f"for j in range({columns}):", *[INDENT + line for line in lines]]


def _line_of(root: Root, frame: Frame) -> tuple[str, str]:
    """Give the place of a result of a line, and the number it starts with."""
    node = root.node
    place = f"{frame.pointer(node)}[{frame.address(node.shape, root.home)}]"
    start = lowest(node.dtype) if node.loop.start == "lowest" else literal(0, node.dtype)
    return place, start


def along_kernel(node: Node, memory: set[int], shares: dict[int, Node]) -> Kernel:
    """Write the call of a function for every line of the input."""
    loop, x = node.loop, node.inputs[0]
    assert isinstance(loop, Along)
    axis = node.attrs["axis"]
    frame = Frame(memory)
    frame.shares = shares
    out, given = frame.pointer(node), frame.pointer(base(x))
    counts = [product_of(x.shape[:axis]), x.shape[axis], product_of(x.shape[axis + 1 :])]
    before, length, after = (frame.size(n) for n in counts)
    lines = [f"{loop.function(node.attrs)}({given}, {out}, {before}, {length}, {after})"]
    return finished(frame, lines, None, [Root.whole(node)], memory, [list(x.shape)])


def copy_kernel(source: Node, target: Node, memory: set[int], shares: dict[int, Node]) -> Kernel:
    """Write a loop that copies the memory of one node to that of another."""
    frame = Frame(memory)
    frame.shares = shares
    to = frame.pointer(target)
    if source.number is not None:
        value = frame.number(source.number, target.dtype)
    else:
        value = f"{frame.pointer(base(source))}[k]"
    sizes = squeezed(target.shape)
    body = [*frame.lines[TOP], "for k in range(first, last):", INDENT + f"{to}[k] = {value}"]
    share = sizes[0] if sizes else 1
    kernel = finished(frame, body, share, [Root.whole(target)], memory, [sizes])
    kernel.stride = product_of(sizes[1:])
    kernel.local = {x.order for x in kernel.pointers} if sizes else set()
    return kernel


def finished(
    frame: Frame,
    lines: list[str],
    share: Any,
    roots: Sequence[Root],
    memory: set[int],
    work: list[list[Any]],
    split: str = "",
    sums: Node | None = None,
) -> Kernel:
    """Put a kernel together; `split` is the variable of the loop that threads share."""
    pointers = [node for _, node in frame.pointers.values()]
    names = [name for name, _ in frame.pointers.values()]
    names += [name for name, _ in frame.sizes.values()]
    names += [name for name, _ in frame.numbers.values()]
    names += ["begin", "end", "top", "bottom"] if sums is not None else []
    names += ["first", "last"] if share is not None else []
    touched = [(x, at) for x, at in frame.loads]
    touched += [(root.node, root.home) for root in roots if root.node.order in memory]
    apart = {frame.shares.get(base(x).order, base(x)).order for x, at in touched
             if not _starts_with(x, at, split)}  # fmt: skip
    return Kernel(
        [f"({', '.join(names)}):", INDENT + "apart()", *[INDENT + line for line in lines]],
        pointers,
        [n for _, n in frame.sizes.values()],
        [value for _, value in frame.numbers.values()],
        share,
        [root.node for root in roots],
        local={x.order for x in pointers} - apart if share is not None else set(),
        writes=[root.node for root in roots if root.node.order in memory],
        work=work,
        sums=sums,
    )


def _starts_with(x: Node, at: Sequence[str], split: str) -> bool:
    """Whether the first axis of a load is the one that threads share, in its memory too."""
    places = [i for n, i in zip(x.shape, at, strict=True) if not is_one(n)]
    first, of_memory = squeezed(x.shape)[:1], squeezed(base(x).shape)[:1]
    return bool(places) and places[0] == split and same_shape(first, of_memory)
