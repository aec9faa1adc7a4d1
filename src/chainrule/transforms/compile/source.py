"""The text of a program: kernels, and one function that runs them step after step.

Sizes, numbers and addresses are arguments, so that the text depends on the structure of the graph
alone, and is compiled once for nets of all widths.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from chainrule.dims import Constant, Dim, Size
from chainrule.ops.loops import Along, Product, Scatter, Steps
from chainrule.transforms.compile import language
from chainrule.transforms.compile.calls import (
    Block,
    Call,
    Foreign,
    Inner,
    Places,
    Products,
    brief,
    comment,
    gathered,
    goes_alone,
    joined,
    runs,
    set_meetings,
    set_owners,
)
from chainrule.transforms.compile.emit import (
    Kernel,
    along_kernel,
    copy_kernel,
    group_kernel,
    sums_up,
)
from chainrule.transforms.compile.frame import base, squeezed, type_name
from chainrule.transforms.compile.multiplication import Multiplication
from chainrule.transforms.compile.recurrence import Recurrence
from chainrule.transforms.compile.scatter import scatter_kernel
from chainrule.transforms.compile.schedule import (
    Group,
    Schedule,
    Step,
    held,
    read_by,
)
from chainrule.transforms.compile.sharing import exchanges, lie_in_leaves, sharing
from chainrule.transforms.compile.simplify import Node, Scatters, same_shape
from chainrule.transforms.compile.structure import (
    LARGE,
    WIDE,
    at_least,
    name_of,
    product_of,
)
from chainrule.transforms.compile.sums import Sums

HEAD = 5
"""Entries of the table before the memory: numbers, meeting point, scratch and its bytes, clocks."""

TEAMS = (40, 56)
"""Places behind the meeting point, of 16 numbers, where the threads of each of two teams meet."""

_RESERVED = {
    *language.WORDS, "begin", "clocks", "end", "first", "last", "mate", "mates", "max", "meeting",
    "min", "numbers", "one", "range", "row", "scratch", "short", "start", "step", "stop", "table",
    "thread", "threads",
}  # fmt: skip


class Text:
    """The source of a program, and what its table has to hold.

    `streams` are leaves whose memory moves on with every step, `checks` numbers that end the
    program before the updates when they are not finite, the first of them before anything that a
    step keeps for the next one is written over. With `timed`, clocks stand between the
    statements. Leaves in `turned` lie transposed in memory; of those that are `fixed` tiles may lie
    there, in which case all products with them know it.
    """

    def __init__(
        self,
        schedule: Schedule,
        streams: set[int],
        checks: Sequence[Node],
        turned: set[int],
        timed: bool = False,
        inner: Mapping[int, Inner] | None = None,
        fixed: Collection[int] = (),
    ) -> None:
        self.turned, self.fixed = turned, fixed
        self.inner = inner or {}
        self.timed = timed
        self.schedule = schedule
        self.checks = checks
        over = {k: x.over for k, x in self.inner.items()}
        self.shares = sharing(schedule, over)
        self._lying = lie_in_leaves(schedule, self.shares, checks[0]) if checks else {}
        self.exchanged = exchanges(schedule, self.shares, self._lying)
        """Pairs of leaves that exchange their memory at the end of a step."""
        others = {leaf.order for _, leaf in self.exchanged}
        self._stored = schedule.memory - {
            new.order for leaf, new in schedule.updates if leaf.order in others
        }
        self.memory: list[Node] = []
        self.sizes: list[Any] = []
        self.numbers: list[float] = []
        self.moving = streams
        self._memory_names: dict[int, str] = {}
        self._size_names: list[str] = []
        self._known_sizes: dict[str, str] = {}
        self._taken: set[str] = set(_RESERVED)
        self.by_turns: tuple[str, str] | None = None
        """Of what a turn of the loop around a statement has the share: names of its ends."""
        self.team: int | None = None
        """Which of two teams of threads computes a statement."""
        self.calls, self.check_at = self._calls()
        ends = [*schedule.outputs, *checks, *(leaf for leaf, _ in schedule.updates)]
        kept = streams | {self.canonical(x).order for x in ends}
        if schedule.updates:
            self.calls = joined(self.calls, kept)
        known = self._known_at()
        self.calls[known : self.check_at] = gathered(self.calls[known : self.check_at])
        set_owners(self.calls)
        set_meetings(self.calls, self.check_at)
        self.first_check_at = self._first_check_at(known)
        self.runs = runs(self.calls, {self.check_at, self.first_check_at})
        self.brief = brief(self.runs, kept)
        self.blocks = {k: x.share for x in self.calls if x.joins for k in x.writes}
        names: dict[str, str] = {}
        for call in self.calls:
            if call.kernel is not None:
                call.name = names.setdefault(call.kernel.text, f"loop_{len(names) + 1}")
        self.source = self._program(names)
        moving = self.stream_nodes
        self.places = {node.order: HEAD + k for k, node in enumerate(self.memory)}
        self.moves = {x.order: HEAD + len(self.memory) + k for k, x in enumerate(moving)}

    def canonical(self, node: Node) -> Node:
        """Give the node whose memory holds a node."""
        node = base(node)
        return self.shares.get(node.order, node)

    @property
    def has_foreign(self) -> bool:
        """Whether the program calls Python for an op, or another program, or reads lists."""
        return any(isinstance(n, Foreign | Inner | Places) for n in self.sizes)

    @property
    def stream_nodes(self) -> list[Node]:
        """Memory that moves on with every step."""
        return [node for node in self.memory if node.order in self.moving]

    @property
    def meet(self) -> list[str]:
        """Statements that wait until all threads that share what is written have come so far."""
        if self.team is None:
            return _MEET
        return ["if mates > 1:", f"    meet(at(meeting, {TEAMS[self.team]}), mates)"]

    @property
    def place_of_thread(self) -> tuple[str, str]:
        """Names of the number of a thread among those that share what is written, and how many."""
        return ("thread", "threads") if self.team is None else ("mate", "mates")

    # Calls.

    def _known_at(self) -> int:
        """Give the place of the first call for which the first check is known."""
        first = {self.canonical(x).order for x in self.checks[:1]}
        calls = enumerate(self.calls[: self.check_at])
        return max((i + 1 for i, call in calls if call.writes & first), default=0)

    def _first_check_at(self, known: int) -> int | None:
        """Give the place of the call before which the first check has to be looked at, if any.

        That is where memory is written that holds something until then; where threads meet before
        anyway, it is there.
        """
        updated = {leaf.order for leaf, _ in self.schedule.updates}
        calls = self.calls[: self.check_at]
        needed = next((i for i, call in enumerate(calls) if call.writes & updated), None)
        if needed is None or not self.checks:
            return None
        for i in range(known, needed):
            if calls[i].meets:
                return i
        if needed > known and calls[needed - 1].joins:
            needed -= 1
        calls[needed].meets = self._meets
        return needed

    def _calls(self) -> tuple[list[Call], int]:
        steps = self.schedule.steps
        calls = [self._call(step) for step in steps]
        for call in calls:
            teams = {
                x.attrs.get("team") for x in (call.kernel.roots if call.kernel else [call.node])
            }
            if len(teams) == 1 and teams != {None}:
                (call.team,), call.local = teams, set()
            if call.sums is not None and call.team is None and not at_least(call.share, LARGE):
                call.halved, call.local = True, set()
        moved = {leaf.order for leaf, _ in self.exchanged}
        for leaf, new in self.schedule.updates:
            if self.canonical(new) is not leaf and leaf.order not in moved:
                kernel = copy_kernel(new, leaf, self._stored, self.shares)
                calls.append(self._of_kernel(leaf, kernel))
        return calls, self.schedule.updates_from

    def _call(self, step: Step) -> Call:
        memory = self._stored
        if isinstance(step, Group):
            return self._of_kernel(step.roots[-1].node, group_kernel(step, memory, self.shares))
        node = step.node
        if isinstance(node.loop, Scatter | Scatters):
            return self._of_kernel(node, scatter_kernel(node, memory, self.shares))
        if isinstance(node.loop, Along):
            return self._of_kernel(node, along_kernel(node, memory, self.shares))
        inputs = [self.canonical(x) for x in read_by(node)]
        call = Call(node, reads={x.order for x in inputs}, writes={self.canonical(node).order})
        if isinstance(node.loop, Steps):
            call.share = node.shape[1]  # the threads share each step
            return call
        if isinstance(node.loop, Product) and self._splits_columns(node):
            call.share, call.by_columns = node.shape[1], True
        elif isinstance(node.loop, Product):
            call.share = node.shape[0] if len(node.shape) == 2 else product_of(node.shape[:-2])
            call.local = {self.canonical(node).order}
            if len(node.shape) == 2 and node.attrs.get("transpose_a"):
                rows = base(held(node.inputs[0])[0])
                whole = sums_up(node.inputs[0].shape[0], rows) and not node.attrs.get("transpose_b")
                call.sums = rows if whole else None
            if len(node.shape) == 2 and not node.attrs.get("transpose_a"):
                call.local.add(inputs[0].order)
            if len(node.shape) > 2:
                lead = squeezed(node.shape[:-2])
                call.local |= {
                    x.order
                    for x, y in zip(inputs, node.inputs, strict=True)
                    if lead and same_shape(squeezed(y.shape[:-2]), lead)
                }
        if len(inputs) > 1 and inputs[0] is inputs[1]:
            call.local.discard(inputs[0].order)  # read as a whole on the other side
        return call

    def _splits_columns(self, node: Node) -> bool:
        """Whether threads share the columns of a product: then each reads only its part of B.

        That pays where B has many columns, as in the wide layer of a small batch; and where it is a
        transposed matrix with long rows that a step updates: a thread then reads the rows that it
        has written itself, since what another one wrote comes slowly.
        """
        (m, n), b = node.shape[-2:], node.inputs[1]
        if len(node.shape) != 2 or node.attrs.get("transpose_a") or not isinstance(m, Dim):
            return False
        own = node.attrs.get("transpose_b") and any(b is leaf for leaf, _ in self.schedule.updates)
        return at_least(n, LARGE) or bool(own and at_least(b.shape[1], WIDE))

    def _of_kernel(self, node: Node, kernel: Kernel) -> Call:
        return Call(
            node,
            kernel,
            reads={x.order for x in kernel.pointers},
            writes={self.canonical(x).order for x in kernel.writes},
            share=kernel.share,
            local=kernel.local,
            sums=kernel.sums,
        )

    # Names in the program.

    def place(self, node: Node) -> str:
        """Name of the memory of a node."""
        node = self.canonical(node)
        if node.order not in self._memory_names:
            named = self._lying.get(node.order, node)
            stem = named.name or (named.op.name if named.op else "constant")
            self._memory_names[node.order] = self.fresh(stem)
            self.memory.append(node)
        return self._memory_names[node.order]

    def fresh(self, stem: str) -> str:
        """Give a name that nothing has yet."""
        stem = re.sub(r"\W", "_", stem)
        stem = f"x_{stem}" if not stem or stem[0].isdigit() else stem
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name

    def size(self, n: Any) -> str:
        """Name of a size; one that has no name of its own gets one for this use alone."""
        if isinstance(n, Constant) or (
            isinstance(n, int) and not isinstance(n, Size) and n in (0, 1)
        ):
            return str(int(n))
        key = name_of(n)
        if key in self._known_sizes:
            return self._known_sizes[key]
        name = self.passed(key or "n", n)
        if key:
            self._known_sizes[key] = name
        return name

    def passed(self, stem: str, n: Any) -> str:
        """Name of a number that comes with the sizes, such as an address."""
        name = self.fresh(stem)
        self.sizes.append(n)
        self._size_names.append(name)
        return name

    def address(self, how: Products) -> str:
        """Name of the address of the machine code that multiplies matrices, windows or steps."""
        kind = "" if how.kind == "matrices" else f"{how.kind}_"
        name = f"multiply_{kind}{how.dtype}"
        if how.sizes:  # each product has its own, for programs do not depend on equal sizes
            return self.passed(name, how)
        if name not in self._known_sizes:
            self._known_sizes[name] = self.passed(name, how)
        return self._known_sizes[name]

    def number(self, value: float) -> str:
        """Name of a number that is passed."""
        self.numbers.append(value)
        return f"numbers[{len(self.numbers) - 1}]"

    # Text.

    def _program(self, kernels: dict[str, str]) -> str:
        steps: list[str] = []
        shared: dict[str, None] = {}
        i = 0
        for run in self.runs:
            if i == self.check_at:
                steps += self._check()
                steps += ["flush_to_zero(True)"] * bool(self.checks)
            if run[0].meets:
                steps += _MEET
            if i == self.first_check_at:
                steps += self._unless_finite(self.checks[:1])
            if run[0].sums is not None:
                steps += Sums(self, run, run[0].sums, shared, i).lines()
                i += len(run)
                continue
            if len(run) > 1:
                self.by_turns = ("begin", "end") if run[0].joins else ("one", "one + 1")
            body: list[str] = []
            for call in run:
                body.append(f"# {comment(call)}")
                body += self._statement(call, shared)
                body += self.tick(i)
                i += 1
            steps += self._in_loop(run, body, shared) if len(run) > 1 else body
            self.by_turns = None
        if self.checks:
            updates = self.check_at < len(self.calls)
            steps += ["flush_to_zero(False)"] if updates else self._check()
        if self._meets:
            steps += _MEET_SHORT if self.apart else _MEET
        for pair in self.exchanged:
            one, other = map(self.place, pair)
            steps.append(f"{one}, {other} = {other}, {one}")
        body = [*self._head(), "for step in range(start, stop):"]
        body += ["    " + line for line in [*self._top(shared), *steps] or ["pass"]]
        body.append("return stop")
        parts = [f"def {name}{text}" for text, name in kernels.items()]
        lines = ["def program(start, stop, short, table, thread, threads):"]
        parts.append("\n".join([*lines, *["    " + line for line in body]]))
        return "\n\n\n".join(parts) + "\n"

    def tick(self, i: int) -> list[str]:
        """Tell the clock of a statement, if there are any."""
        return [f"tick(clocks, {i}, {len(self.calls)})"] if self.timed else []

    def _in_loop(
        self, run: Sequence[Call], body: Sequence[str], shared: dict[str, None]
    ) -> list[str]:
        """Put a loop over turns, or over blocks of rows, around the statements of a run."""
        call, self.by_turns = run[0], None
        first, last = self.part(call.share, 1, shared)
        lines, start = [], f"for one in range({first}, {last}):"
        if call.joins:
            block = self._block(call.share)
            lines = [f"end = min(begin + {block}, {last})"]
            start = f"for begin in range({first}, {last}, {block}):"
        return [start, *["    " + line for line in [*lines, *self._brief_places(run), *body]]]

    def _brief_places(self, run: Sequence[Call]) -> list[str]:
        """Let what lives for one turn begin where this thread has memory for one."""
        lines = []
        mine = self.brief & set().union(*(call.writes for call in run))
        for k, node in enumerate(self.memory):
            if node.order in mine:
                name, kind = self._memory_names[node.order], type_name(node.dtype)
                size = f"{self.size(product_of(node.shape[1:]))} * {node.dtype.itemsize}"
                turns = "thread - one"
                if node.order in self.blocks:
                    turns = f"thread * {self._block(self.blocks[node.order])} - begin"
                lines.append(f"{name} = {kind}s(table[{HEAD + k}] + ({turns}) * {size})")
        return lines

    def _block(self, rows: Any) -> str:
        """Name of the number of rows of a block."""
        key = f"block of {self.size(rows)}"
        if key not in self._known_sizes:
            self._known_sizes[key] = self.passed("block", Block(rows))
        return self._known_sizes[key]

    def _head(self) -> list[str]:
        """Unpack what is the same in every step."""
        lines = ["table = int64s(table)"]
        if self.timed:
            lines += [
                "clocks = int64s(table[4])",
                f"tick(clocks, {len(self.calls)}, {len(self.calls)})",
            ]
        if self.numbers:
            lines.append("numbers = float64s(table[0])")
        if self._meets or self.checks:
            lines.append("meeting = int64s(table[1])")
        if any(c.team is not None or c.halved for c in self.calls):
            lines += [
                "mate = thread if threads % 2 else thread // 2",
                "mates = threads if threads % 2 else threads // 2",
            ]
        kinds = sorted({type_name(c.node.dtype) for c in self.calls if c.is_product})
        lines += [f"scratch_{kind} = {kind}s(table[2] + thread * table[3])" for kind in kinds]
        for k, node in enumerate(self.memory):
            if node.order not in self.moving and node.order not in self.brief:
                name, kind = self._memory_names[node.order], type_name(node.dtype)
                lines.append(f"{name} = {kind}s(table[{HEAD + k}])")
        return lines

    def _top(self, shared: Sequence[str] | dict[str, None]) -> list[str]:
        """Unpack what differs between steps."""
        lines = []
        for k, node in enumerate(self.stream_nodes):
            place, move = HEAD + self.memory.index(node), HEAD + len(self.memory) + k
            name, kind = self._memory_names[node.order], type_name(node.dtype)
            lines.append(f"{name} = {kind}s(table[{place}] + step * table[{move}])")
        count, first = len(self.sizes), HEAD + len(self.memory) + len(self.stream_nodes)
        if count:
            lines.append(f"row = {first + count} if step == short else {first}")
        lines += [
            f"{name} = table[row + {k}]" if k else f"{name} = table[row]"
            for k, name in enumerate(self._size_names)
        ]
        for name in shared:
            lines.append(f"{name}_first = share({name}, thread, threads)")
            lines.append(f"{name}_last = share({name}, thread + 1, threads)")
        return lines

    @property
    def _meets(self) -> bool:
        """Whether there is work for more than one thread."""
        return any(call.share is not None or call.owner for call in self.calls)

    @property
    def apart(self) -> bool:
        """Whether each thread has its part of all steps, and needs nothing of another."""
        return not self.checks and goes_alone(self.calls, self.moving)

    def _check(self) -> list[str]:
        meet = _MEET if self._meets and not self.apart else []
        return [*meet, *self._unless_finite(self.checks[self.first_check_at is not None :])]

    def _unless_finite(self, checks: Sequence[Node]) -> list[str]:
        """End the run before this step does more, unless these numbers are finite."""
        if not checks:
            return []
        asked = " and ".join(f"is_finite({self.place(x)}[0])" for x in checks)
        return [f"if not ({asked}):", "    return step"]

    def _statement(self, call: Call, shared: dict[str, None]) -> list[str]:
        if call.team is None:
            return self._of_all(call, shared)
        return self.of_team(call.team, lambda: self._of_all(call, shared))

    def of_team(self, team: int, write: Callable[[], list[str]]) -> list[str]:
        """Let one of two teams of threads do what is written meanwhile."""
        self.team = team
        lines = write()
        self.team = None
        return [f"if threads % 2 or thread % 2 == {team}:", *["    " + line for line in lines]]

    def _of_all(self, call: Call, shared: dict[str, None]) -> list[str]:
        if call.is_product:
            return Multiplication(self, call, shared).lines()
        if isinstance(call.node.loop, Steps) and call.kernel is None:
            return Recurrence(self, call.node, shared).lines()
        if call.kernel is None:
            for x in (*call.node.inputs, call.node):
                self.place(x)
            name = self.passed(f"{call.node.op}_in_python", Foreign(call.node))
            return ["if thread == 0:", f"    call_python({name})"]
        kernel = call.kernel
        args = [self.place(x) for x in kernel.pointers]
        args += [self.size(n) for n in kernel.sizes]
        args += [self.number(value) for value in kernel.numbers]
        if kernel.share is None:
            owner = f"{call.owner} % threads" if call.owner else "0"
            return [f"if thread == {owner}:", f"    {call.name}({', '.join(args)})"]
        args += self.part(kernel.share, kernel.stride, shared)
        return [f"{call.name}({', '.join(args)})"]

    def part(self, n: Any, stride: Any, shared: dict[str, None]) -> list[str]:
        """Source of the first and the last of what a thread does of n, or a turn of a loop."""
        if self.by_turns:
            times = "" if isinstance(stride, int) and stride == 1 else f" * {self.size(stride)}"
            first, last = self.by_turns
            return [first + times, f"({last}){times}" if times and " " in last else last + times]
        name = self.size(n)
        times = "" if isinstance(stride, int) and stride == 1 else f" * {self.size(stride)}"
        if name.isdigit() or self.team is not None:
            one, all_ = self.place_of_thread
            ends = f"share({name}, {one}, {all_})", f"share({name}, {one} + 1, {all_})"
            return [end + times for end in ends]
        shared[name] = None
        return [f"{name}_first{times}", f"{name}_last{times}"]


_MEET = ["if threads > 1:", "    meet(meeting, threads)"]
_MEET_SHORT = ["if threads > 1 and 0 <= short - step <= 1:", "    meet(meeting, threads)"]
"""Before and after the short step, in which the parts of threads are others."""
