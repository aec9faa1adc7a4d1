"""The statements of a program: what each reads and writes, and where threads have to meet."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.ops.loops import Product, Reduce
from chainrule.transforms.compile.emit import Kernel
from chainrule.transforms.compile.frame import squeezed
from chainrule.transforms.compile.simplify import Node, same_shape

BLOCK = 960
"""Rows that two calls take at a time: for so many a product packs its other matrix once."""

SUMMED, MOST_SUMMED = 128, 512
"""Rows of a recurrence that several calls sum up one after the other, while a cache holds them, and
rows where it does not hold the results: they are read and written for each such block of rows."""


@dataclass
class Call:
    """One statement of the program: a kernel, a product, or a function of Python.

    `share` is the size whose range threads share out; `local` are the pieces of memory of which a
    thread then touches its part alone. What is not shared is done by thread `owner`. If there is a
    `team`, 0 or 1, every second thread has a share; all have one if their number is odd.
    """

    node: Node
    kernel: Kernel | None = None
    name: str = ""
    reads: set[int] = field(default_factory=set)
    writes: set[int] = field(default_factory=set)
    share: Any = None
    local: set[int] = field(default_factory=set)
    owner: int = 0
    team: int | None = None
    by_columns: bool = False
    halved: bool = False
    meets: bool = False
    products: "Products | None" = None
    """How it multiplies matrices, if it does."""
    joins: bool = False
    """Whether only the next call reads what this one writes: both go through blocks of rows."""
    sums: Node | None = None
    """A recurrence of whose rows it is a sum: the next calls of this kind go through some steps of
    it together. If there is no team, each of two has one half of the rows of a step."""

    @property
    def is_product(self) -> bool:
        """Whether it multiplies matrices."""
        return self.kernel is None and isinstance(self.node.loop, Product)


@dataclass(frozen=True)
class Products:
    """The address of the machine code that multiplies matrices, windows or steps, of a dtype.

    With `sizes`, of C and then the terms of each element, matrices are multiplied by tiles where
    that pays. B may be `fixed`, so that its tiles are made once for many products.
    """

    dtype: str
    kind: str = "matrices"
    sizes: tuple[Any, ...] = ()
    fixed: bool = False


@dataclass(frozen=True, eq=False)
class Places:
    """Where in memory the windows of a node are: a list of its `rows` or `columns`, or a number.

    `run` is how many columns follow each other, `step` the elements from one matrix of windows to
    the next. `matrices` is the stack of matrices that a product reads in place of the windows.
    """

    windows: Node
    matrices: Node
    what: str


@dataclass(frozen=True)
class Block:
    """So many of some rows as two calls take at a time of which one joins the other."""

    rows: Any

    def count(self, rows: int) -> int:
        """Divide rows into equal blocks.

        >>> Block("rows").count(100), Block("rows").count(1000)
        (100, 500)
        """
        return max(-(-rows // max(-(-rows // BLOCK), 1)), 1)


@dataclass(frozen=True)
class Stretch:
    """So many of the steps of a recurrence as have about so many rows, which are summed up."""

    length: Any
    rows: Any
    most: int

    def count(self, length: int, rows: int) -> int:
        """Divide steps of so many rows into equal stretches.

        >>> [Stretch("length", "rows", 128).count(*size) for size in ((64, 32), (10, 60), (9, 200))]
        [4, 2, 1]
        """
        most = max(self.most // max(rows, 1), 1)
        return -(-length // -(-length // most))


@dataclass(frozen=True, eq=False)
class Partial:
    """Memory for what one of two teams has summed up, in the form of a node."""

    node: Node


@dataclass(frozen=True)
class Foreign:
    """An op without a loop fact: the program calls Python for it, at an address."""

    node: Node


@dataclass(frozen=True, eq=False)
class Inner:
    """What a program needs of the steps inside a node: their `code`, or a table, as `first`.

    A number asks for memory in which that input lies transposed, `tiles` and a number for that of
    its tiles, which is 0 where there are none, `state` for that of a carry that is not kept.
    `leaves` are the nodes of the inputs in the program of a step, `result` that of the carry. A
    step may write its result `over` its part of these inputs.
    """

    node: Node
    program: Any
    leaves: list[Node]
    result: Node
    over: list[int]
    what: str | int = "code"


def comment(call: Call) -> str:
    """Say which layers and ops a statement computes."""
    nodes = call.kernel.roots if call.kernel is not None else [call.node]
    texts: dict[str, None] = {}
    for node in nodes:
        where = node.scope.path() if node.scope else ""
        what = node.op.name if node.op else "copy"
        texts[f"{where}: {what}" if where else what] = None
    return ", ".join(texts)


def set_owners(calls: Sequence[Call]) -> None:
    """Deal sums over whole matrices, such as those of the gradient norm, to the threads in turn."""
    dealt = 0
    for call in calls:
        kernel = call.kernel
        if kernel is not None and kernel.share is None and all(
            isinstance(x.loop, Reduce) and len(squeezed(x.inputs[0].shape)) > 1 and not x.shape
            for x in kernel.roots
        ):  # fmt: skip
            call.owner = dealt
            dealt += 1


def joined(calls: Sequence[Call], kept: set[int]) -> list[Call]:
    """Put a product of rows right before the one call that reads it, row by row.

    Memory for a block of its rows is then enough. `kept` outlives a step.
    """
    found = list(calls)
    for call in calls:
        users = [c for c in found if (c.reads | c.writes) & call.writes]
        if len(users) != 2 or users[0] is not call or not _go_together(call, users[1], kept):
            continue
        here, there = found.index(call), found.index(users[1])
        if not any(_touch(call, c) for c in found[here + 1 : there]):
            found[here:there] = [*found[here + 1 : there], call]
            call.joins = True
    return found


def gathered(calls: Sequence[Call]) -> list[Call]:
    """Put sums over rows of a recurrence right after the first of those rows, where they can."""
    found = list(calls)
    for call in calls:
        here = found.index(call)
        others = [i for i in range(here) if _sum_up_the_same(found[i], call)]
        if others and not any(_touch(call, c) for c in found[others[-1] + 1 : here]):
            found.insert(others[-1] + 1, found.pop(here))
    return found


def _go_together(first: Call, second: Call, kept: set[int]) -> bool:
    node = first.node
    return (
        first.is_product and len(node.shape) == 2 and first.sums is None
        and second.kernel is not None and not _in_turns(second)
        and first.share is not None and same_shape([first.share], node.shape[:1])
        and first.team is None and second.team is None
        and same_shape([first.share], [second.share])
        and not (first.writes & kept) and first.writes <= first.local & second.local
    )  # fmt: skip


def _touch(a: Call, b: Call) -> bool:
    return bool(a.writes & (b.reads | b.writes) or a.reads & b.writes)


def set_meetings(calls: Sequence[Call], check_at: int) -> None:
    """Say before which calls threads have to meet: where one needs what another has made."""
    since: list[Call] = []
    for i, call in enumerate(calls):
        if i == check_at:
            since = []
        both = calls[i : i + 1 + call.joins]
        if not (i and calls[i - 1].joins) and any(
            _disturbs(earlier, c) for earlier in since for c in both
        ):
            call.meets = True
            since = []
        since.append(call)


def runs(calls: Sequence[Call], checks: Container[int | None]) -> list[list[Call]]:
    """Gather calls that follow each other without a meeting and share out the same thing.

    What a call has made of a turn is still in the cache when the next one reads it, if all do the
    same turn before they go on. A turn has to be worth the calls: a matrix at least. So it is with
    rows that several calls sum up. Before some calls, `checks` are made.
    """
    found: list[list[Call]] = []
    for i, call in enumerate(calls):
        run = found[-1] if found else []
        alone = not run or call.meets or call.joins or i in checks
        together = not alone and (
            _sum_up_the_same(run[-1], call)
            or (_in_turns(call) and any(call.reads & x.writes for x in run)
                and _in_turns(run[-1]) and same_shape([run[-1].share], [call.share]))
        )  # fmt: skip
        if together or (run and run[-1].joins):
            run.append(call)
        else:
            found.append([call])
    return found


def _sum_up_the_same(first: Call, second: Call) -> bool:
    return (
        first.sums is not None and first.sums is second.sums
        and first.team == second.team and same_shape([first.share], [second.share])
    )  # fmt: skip


def brief(found: Sequence[Sequence[Call]], kept: set[int]) -> set[int]:
    """Give what is written and read within single turns: it needs memory for one turn, not for all.

    That memory is still in the cache when it is read, and the next turn writes over it there.
    """
    users: dict[int, list[int]] = {}
    for i, run in enumerate(found):
        for call in run:
            for order in call.reads | call.writes:
                users.setdefault(order, []).append(i)
    return {
        order
        for i, run in enumerate(found)
        if len(run) > 1
        for order in set().union(*(call.writes for call in run)) - kept
        if set(users[order]) == {i}
        and all(order in call.local for call in run if order in call.reads | call.writes)
    }


def _in_turns(call: Call) -> bool:
    """Whether each turn of what threads share computes a matrix or more."""
    return all(
        len(squeezed(x.shape)) > 2 and same_shape([x.shape[0]], [call.share])
        for x in (call.kernel.roots if call.kernel is not None else [call.node])
    )


def goes_alone(calls: Sequence[Call], moving: set[int]) -> bool:
    """Whether a thread touches its part alone of all that is written or moves, in every call."""
    written = {order for call in calls for order in call.writes} | moving
    return bool(calls) and all(
        call.share is not None
        and same_shape([call.share], [calls[0].share])
        and (call.reads | call.writes) & written <= call.local
        for call in calls
    )


def _disturbs(earlier: Call, call: Call) -> bool:
    common = (earlier.writes & (call.reads | call.writes)) | (earlier.reads & call.writes)
    if not common:
        return False
    if earlier.share is None or call.share is None:
        both = earlier.share is None and call.share is None
        return not (both and earlier.owner == call.owner)
    return not (same_shape([earlier.share], [call.share]) and common <= earlier.local & call.local)
