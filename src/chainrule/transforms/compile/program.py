"""A program: the source of a graph, the memory it works in, and the calls that run it.

>>> from chainrule import Spec, ops, trace
>>> graph = trace(lambda x: ops.sum(ops.exp(x), axis=1), Spec(("rows", 3), float))
>>> program = Program(graph.inputs, [graph.output])
>>> print(program.source)
def loop_1(x0, x1, n0, first, last):
    apart()
    for i0 in range(first, last):
        s0 = float64(0.0)
        for j in range(n0):
            t0 = x0[i0 * n0 + j]
            t1 = exp(t0)
            s0 = plus(s0, t1)
        x1[i0] = s0
...
"""

import ctypes
import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from chainrule.dims import Dim, resolve
from chainrule.errors import GraphError, ShapeError
from chainrule.graph import Array, Tensor, ancestors
from chainrule.ops.loops import Product
from chainrule.transforms.compile import language
from chainrule.transforms.compile.frame import base, type_name
from chainrule.transforms.compile.schedule import Schedule
from chainrule.transforms.compile.simplify import Node, simplify
from chainrule.transforms.compile.source import HEAD, Call, Foreign, Products, Text
from chainrule.transforms.compile.structure import evaluate, structure

_MACHINE = "chainrule.transforms.compile.machine"

ALIGN = 64
"""Bytes of a cache line, where every piece of memory begins."""

KINDS = ("float32", "float64", "int64", "int32", "uint64", "bool_")


class Program:
    """A graph as generated source.

    `inputs` are leaves that get an array for each run, `outputs` what comes out, `updates` leaves
    and their new values, written in place after everything else. Of `streams`, inputs or outputs,
    every step takes or gives the next piece. `checks` are numbers that end the run before the
    updates of a step where they are not finite. `names` are names of tensors, by
    their birth, for the source. With `turn`, weights may be kept transposed.

    A graph that differs from an earlier one in its sizes alone takes its source over.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        updates: Mapping[Tensor, Tensor] | None = None,
        *,
        streams: Sequence[Tensor] = (),
        checks: Sequence[Tensor] = (),
        names: Mapping[int, str] | None = None,
        turn: bool = False,
    ) -> None:
        ends = Ends(tuple(inputs), tuple(outputs), dict(updates or {}), tuple(streams),
                    tuple(checks), turn)  # fmt: skip
        tensors = ancestors(ends.every)
        key, sizes = structure(tensors, names)
        place = {x.birth: i for i, x in enumerate(tensors)}
        key = (key, ends.described(place))
        known = _written.get(key)
        if known is None:
            known = _written[key] = Written(ends, tensors, names or {}, sizes)
            while len(_written) > _KEPT:
                del _written[next(iter(_written))]
        self.written = known
        self.exchange = {
            old: new for old, new in zip(known.sizes, sizes, strict=True) if old != new
        }
        self.leaf_of = {order: tensors[i] for order, i in known.leaf_places.items()}
        self.leaves = {x.birth: node for x, node in zip(ends.leaves, known.leaves, strict=True)}
        if known.text.has_foreign:  # its attributes are those of this graph
            del _written[key]

    @property
    def text(self) -> Text:
        """The source, and what its table has to hold."""
        return self.written.text

    @property
    def outputs(self) -> list[Node]:
        """Nodes of the outputs."""
        return self.written.outputs

    @property
    def source(self) -> str:
        """The program as Python that a person can read."""
        return self.text.source

    @property
    def is_ready(self) -> bool:
        """Whether Numba is loaded, and has compiled this source already, here or elsewhere."""
        machine = sys.modules.get(_MACHINE)
        return machine is not None and bool(machine.is_compiled(self.source))

    def bind(
        self,
        sizes: Mapping[str, int],
        short: Mapping[str, int] | None = None,
        threads: int = 1,
        *,
        plain: bool = False,
    ) -> "Bound":
        """Make the memory for named dimensions of these sizes, and the machine code.

        `short` are the sizes of a last step that differs. With `plain` the source runs as it
        stands, uncompiled.
        """
        return Bound(self, self.text, dict(sizes), dict(short or sizes), threads, plain)


_KEPT = 64
"""How many sources are kept for graphs of equal structure."""

_written: "dict[Any, Written]" = {}


class Ends(NamedTuple):
    """What goes in and comes out of a graph: the arguments of `Program`."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    updates: dict[Tensor, Tensor]
    streams: tuple[Tensor, ...]
    checks: tuple[Tensor, ...]
    turn: bool = False

    @property
    def leaves(self) -> list[Tensor]:
        """What is set from outside: what is updated, and the inputs."""
        return [*self.updates, *self.inputs]

    @property
    def every(self) -> list[Tensor]:
        """All ends: results, checks, new values, leaves."""
        return [*self.outputs, *self.checks, *self.updates.values(), *self.leaves]

    def parts(self, roots: list[Node]) -> tuple[list[Node], list[Node], list[Node], list[Node]]:
        """Divide the nodes of `every`: outputs, checks, new values, leaves."""
        first = len(self.outputs)
        second = first + len(self.checks)
        third = second + len(self.updates)
        return roots[:first], roots[first:second], roots[second:third], roots[third:]

    def described(self, place: dict[int, int]) -> tuple[Any, ...]:
        """Say which tensors the ends are, by their places."""
        counts = len(self.outputs), len(self.checks), len(self.updates), self.turn
        places = tuple(place[x.birth] for x in self.every)
        return counts, places, tuple(place[x.birth] for x in self.streams)


class Written:
    """The source of all graphs of one structure, without the tensors of any of them.

    `sizes` are those of the graph that it was written for; another graph exchanges them for its
    own. `leaf_places` says for each leaf which of the tensors of a graph it is.
    """

    def __init__(
        self, ends: Ends, tensors: Sequence[Tensor], names: Mapping[int, str], sizes: list[int]
    ) -> None:
        self.sizes = sizes
        nodes, roots = simplify(ends.every, ends.leaves, names=names)
        self.outputs, self.checks, news, self.leaves = ends.parts(roots)
        olds = self.leaves[: len(ends.updates)]
        changed = {x.order for x in olds}
        if any(base(x).order in changed for x in news):
            raise GraphError("two leaves exchange their values, which compiled code cannot do")
        if any(base(x).order in changed for x in self.outputs):
            raise GraphError("an output is a leaf that is updated, which compiled code cannot do")
        _check_kinds(nodes)
        self.updated = changed
        self.schedule = Schedule(
            nodes, [*self.outputs, *self.checks], list(zip(olds, news, strict=True))
        )
        births = {x.birth for x in ends.streams}
        self._moving = {
            base(node).order
            for x, node in zip([*ends.leaves, *ends.outputs], [*self.leaves, *self.outputs],
                               strict=True)
            if x.birth in births
        }  # fmt: skip
        self.turned = _always_turned(nodes) - changed if ends.turn else set()
        self.text = self.write()
        place = {x.birth: i for i, x in enumerate(tensors)}
        self.leaf_places = {}
        for node in nodes:
            if node.leaf is not None:
                self.leaf_places[node.order] = place[node.leaf.birth]
                node.leaf = None  # a source outlives the graphs that it is for

    def write(self, *, timed: bool = False) -> Text:
        """Write the source; with `timed`, clocks stand between the statements."""
        return Text(self.schedule, self._moving, self.checks, self.turned, timed)


def _always_turned(nodes: Sequence[Node]) -> set[int]:
    """Give the constant matrices that are only ever multiplied by their transpose.

    A program that changes no weights keeps these transposed, which its products read faster.
    """

    def turns(node: Node, place: int) -> bool:
        flag = bool(node.attrs.get("transpose_b"))
        return isinstance(node.loop, Product) and place == 1 and flag and len(node.shape) == 2

    found = {x.order for x in nodes if x.leaf is not None and x.leaf.value is not None}
    for node in nodes:
        for place, x in enumerate(node.inputs):
            if not turns(node, place):
                found.discard(x.order)
    return {x.order for x in nodes if x.order in found and len(x.shape) == 2}


def _check_kinds(nodes: Sequence[Node]) -> None:
    for node in nodes:
        if node.number is None and type_name(node.dtype) not in KINDS:
            raise GraphError(f"compiled code has no {node.dtype}, which {node} gives")


class Bound:
    """A program with its memory: the table of addresses and sizes that it is called with."""

    def __init__(
        self,
        program: Program,
        text: Text,
        sizes: dict[str, int],
        short: dict[str, int],
        threads: int,
        plain: bool,
    ) -> None:
        self.program, self.text = program, text
        self._machine: Any = None if plain else importlib.import_module(_MACHINE)
        self.threads = threads
        self.sizes, self.short = sizes, short
        self._kept: list[Any] = []
        self._error: BaseException | None = None
        self.arrays: dict[int, Array] = {}
        self._allocate()
        self._fill()
        source = text.source
        self._call = self._machine.machine_code(source) if self._machine else _plain(source)

    def run(self, start: int = 0, stop: int = 1, short: int = -1, threads: int = 1) -> int:
        """Run steps from start to stop; `short` is the one with the other sizes.

        Gives stop, or the step at which a check failed. The results do not depend on `threads`,
        of which there may be as many as the memory was made for.
        """
        place = self._table_at
        if threads == 1:
            end = self._call(start, stop, short, place, 0, 1)
            self._raise()
            return end
        others = [
            _workers(threads).submit(self._call, start, stop, short, place, thread, threads)
            for thread in range(1, threads)
        ]
        end = self._call(start, stop, short, place, 0, threads)
        for other in others:
            other.result()
        self._raise()
        return end

    def _raise(self) -> None:
        """Pass on what an op that runs through Python has raised."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def number(self, n: Any, sizes: Mapping[str, int] | None = None) -> int:
        """Work a size out, for a whole step unless other sizes are given."""
        return evaluate(n, self.sizes if sizes is None else sizes, self.program.exchange)

    def _shape(self, node: Node) -> tuple[int, ...]:
        return tuple(self.number(n) for n in node.shape)

    def _allocate(self) -> None:
        """Lay out the arena: each piece lives from its first use to its last."""
        spans = lifetimes(self.text)
        pieces = {
            node.order: (node, spans[node.order], _bytes(self._shape(node), node.dtype))
            for node in self.text.memory
            if node.op is not None and node.order in spans and not self._is_own(node)
        }
        offsets, self.arena_bytes = layout({k: (span, n) for k, (_, span, n) in pieces.items()})
        self.arena = empty(self.arena_bytes, np.uint8)
        self.arena[:] = 0  # now, so that the first step need not wait for pages of memory
        for order, (node, _, _) in pieces.items():
            shape = self._shape(node)
            start, size = offsets[order], int(np.prod(shape)) * node.dtype.itemsize
            self.arrays[order] = self.arena[start : start + size].view(node.dtype).reshape(shape)
        scratch = max((self._scratch(c) for c in self.text.calls), default=0)
        self.scratch_bytes = -(-scratch // ALIGN) * ALIGN
        self.scratch = empty(self.scratch_bytes * self.threads, np.uint8)
        self.numbers = np.array(self.text.numbers, np.float64)
        self.meeting = empty(4 * ALIGN, np.int64)
        self.meeting[:] = 0
        self.clocks = np.zeros(len(self.text.calls) + 1, np.int64)

    def _is_own(self, node: Node) -> bool:
        """Whether the memory outlives a step: outputs, leaves, and what is written over them."""
        if node.op is None:
            return True
        ends = {base(x).order for x in self.program.outputs}
        return node.order in ends

    def _scratch(self, call: Call) -> int:
        if not isinstance(call.node.loop, Product) or call.kernel is not None:
            return 0
        m, n = self._shape(call.node)[-2:]
        k = self._shape(call.node.inputs[0])[-2 if call.node.attrs.get("transpose_a") else -1]
        products = language if self._machine is None else self._machine.products
        return int(products.scratch_size(m, n, k)) * call.node.dtype.itemsize

    def _fill(self) -> None:
        """Write the table."""
        text = self.text
        moves = text.stream_nodes
        length = HEAD + len(text.memory) + len(moves) + 2 * len(text.sizes)
        self.table = empty(8 * length, np.int64)
        self.table[:] = 0
        self._table_at = self.table.ctypes.data
        for k, x in enumerate((self.numbers, self.meeting, self.scratch)):
            self.table[k] = x.ctypes.data
        self.table[3] = self.scratch_bytes
        self.table[4] = self.clocks.ctypes.data
        self._first = HEAD + len(text.memory) + len(moves)
        for k, n in enumerate(text.sizes):
            self.table[self._first + k] = self._value(n, self.sizes)
            self.table[self._first + len(text.sizes) + k] = self.table[self._first + k]
        self._dims = [(k, n) for k, n in enumerate(text.sizes) if not isinstance(n, int)]
        self._dims = [(k, n) for k, n in self._dims if not isinstance(n, Foreign | Products)]
        self.reshape(self.short)
        for node in text.memory:
            if node.order in self.arrays:
                self.set(node, self.arrays[node.order])
            elif node.op is None:
                self._own_leaf(node)
            else:
                self.set(node, room(self._shape(node), node.dtype))

    def reshape(self, short: Mapping[str, int]) -> None:
        """Give the last, shorter step other sizes."""
        self.short = self.short | dict(short)
        first = self._first + len(self.text.sizes)
        for k, n in self._dims:
            self.table[first + k] = self.number(n, self.short)

    def timed(self) -> "Bound":
        """Give the same program with clocks, on a copy of all that it changes."""
        text = self.program.written.write(timed=True)
        plain = self._machine is None
        other = Bound(self.program, text, self.sizes, self.short, self.threads, plain)
        fixed = {node.order for node in self.program.leaves.values()}
        fixed -= self.program.written.updated
        for node in text.memory:
            if node.order in self.arrays and (node.op is None or self._is_own(node)):
                array = self.arrays[node.order]
                array = array.T if node.order in self.program.written.turned else array
                other.set(node, array if node.order in fixed else array.copy())
        moves = len(text.stream_nodes)
        place = HEAD + len(text.memory)
        other.table[place : place + moves] = self.table[place : place + moves]
        return other

    def multiply(self, n: int, times: int) -> None:
        """Multiply two matrices of n rows and columns, as the program does."""
        a = np.ones((3, n, n), np.float32)
        if self._machine is None:
            for _ in range(times):
                np.matmul(a[0], a[1], out=a[2])
            return
        self._machine.multiply(a, times)

    def _own_leaf(self, node: Node) -> None:
        """Give a constant its place; inputs get theirs when they are set."""
        leaf = self.program.leaf_of[node.order]
        if leaf.value is not None:
            self.set(node, np.asarray(leaf.value, node.dtype, order="C"))

    def _value(self, n: Any, sizes: dict[str, int]) -> int:
        if isinstance(n, Foreign):
            return self._callback(n.node)
        if isinstance(n, Products):
            return 0 if self._machine is None else int(self._machine.products.address(n.dtype))
        return self.number(n, sizes)

    def _callback(self, node: Node) -> int:
        """Make a function for compiled code that runs an op through NumPy."""
        op = node.op
        assert op is not None
        text = self.text

        def array(x: Node) -> Array:
            memory: Array = self.arrays[text.canonical(x).order]
            return memory.reshape(self._shape(x))

        def call() -> None:
            try:
                with np.errstate(all="ignore"):
                    values = [x.number if x.number is not None else array(x) for x in node.inputs]
                    array(node)[...] = op.run(*values, **resolve_attrs(node.attrs, self.sizes))
            except BaseException as error:  # compiled code cannot pass it on
                self._error = error

        made = ctypes.CFUNCTYPE(None)(call)
        self._kept.append(made)
        return ctypes.cast(made, ctypes.c_void_p).value or 0

    def set(self, node: Node, array: Array) -> None:
        """Let a leaf or an output lie in this array, which is kept alive."""
        if node.order in self.program.written.turned:
            array = np.asarray(array.T, order="C")
        self.arrays[node.order] = array
        place = self.text.places.get(node.order)
        if place is None:
            return
        whole = array.flags.c_contiguous or not node.shape
        if array.dtype != node.dtype or not whole:
            raise ShapeError(f"compiled code got {array.dtype} memory for {node.dtype}")
        shape = array.shape[::-1] if node.order in self.program.written.turned else array.shape
        if node.order not in self.text.moves and not self._fits(shape, node):
            raise ShapeError(f"compiled code got memory of {array.shape} for {list(node.shape)}")
        self.table[place] = array.__array_interface__["data"][0]

    def _fits(self, shape: Sequence[int], node: Node) -> bool:
        """Whether an array has the sizes that have no name."""
        return len(shape) == len(node.shape) and all(
            isinstance(n, Dim) or m == self.number(n)
            for m, n in zip(shape, node.shape, strict=True)
        )

    def result(self, i: int) -> Array:
        """Give a copy of an output."""
        node = self.program.outputs[i]
        shape = self._shape(node)
        if node.number is not None:
            return np.full(shape, node.number, node.dtype)[()]
        memory = self.text.canonical(node)
        array = self.arrays.get(memory.order)
        if array is None:  # a constant that no statement reads
            array = np.asarray(self.program.leaf_of[memory.order].value)
        return np.array(array.reshape(shape))[()]

    def move(self, node: Node, elements: int) -> None:
        """Say how many elements of an input or output of many steps one step takes."""
        place = self.text.moves.get(node.order)
        if place is not None:
            self.table[place] = elements * node.dtype.itemsize


def _forget_workers() -> None:
    """After a fork the threads are those of the other process."""
    _workers.cache_clear()


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work, besides the one that asks."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="chainrule")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def _plain(source: str) -> Callable[..., int]:
    """Give a program as Python that is not compiled."""
    module = language.module_of(source, "chainrule_plain", "<program>", language.WORDS)

    def program(*arguments: int) -> int:
        with np.errstate(all="ignore"):
            return int(module.program(*arguments))

    return program


def resolve_attrs(attrs: dict[str, Any], sizes: dict[str, int]) -> dict[str, Any]:
    """Give the attributes of an op with sizes for names."""
    return {key: resolve(value, sizes) for key, value in attrs.items()}


def empty(count: int, dtype: Any) -> Array:
    """Make memory for so many bytes at the start of a cache line."""
    itemsize = np.dtype(dtype).itemsize
    room = np.empty(max(count, 1) + ALIGN, np.uint8)
    start = -room.ctypes.data % ALIGN
    size = -(-max(count, itemsize) // itemsize) * itemsize
    if start + size > room.size:
        return empty(size, dtype)
    return room[start : start + size].view(dtype)


def room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Make an array without contents that begins at a cache line."""
    count = int(np.prod(shape, dtype=np.int64))
    return empty(count * dtype.itemsize, dtype)[:count].reshape(shape)


def _bytes(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


# The arena.


def lifetimes(text: Text) -> dict[int, tuple[int, int]]:
    """Give the first and the last call that touches each piece of memory.

    Between two meetings of threads no order is known, so a piece lives for whole stretches.
    """
    stretch, stretches = 0, []
    for i, call in enumerate(text.calls):
        stretch += call.meets or i == text.check_at
        stretches.append(stretch)
    spans: dict[int, tuple[int, int]] = {}
    for call, now in zip(text.calls, stretches, strict=True):
        for order in call.reads | call.writes:
            first, last = spans.get(order, (now, now))
            spans[order] = min(first, now), max(last, now)
    for x in text.checks:
        order = text.canonical(x).order
        spans[order] = spans[order][0], max(spans[order][1], stretches[-1])
    return spans


def layout(pieces: Mapping[int, tuple[tuple[int, int], int]]) -> tuple[dict[int, int], int]:
    """Give each piece an offset so that pieces alive together do not overlap: largest first.

    >>> layout({1: ((0, 1), 100), 2: ((1, 2), 64), 3: ((2, 3), 100)})
    ({1: 0, 3: 0, 2: 128}, 192)
    """
    placed: list[tuple[tuple[int, int], int, int]] = []
    offsets: dict[int, int] = {}
    for order in sorted(pieces, key=lambda k: (-pieces[k][1], pieces[k][0])):
        (first, last), size = pieces[order]
        size = max(-(-size // ALIGN) * ALIGN, ALIGN)
        start = 0
        for _, begin, end in sorted(
            (p for p in placed if p[0][0] <= last and first <= p[0][1]), key=lambda p: p[1]
        ):
            if start + size <= begin:
                break
            start = max(start, end)
        offsets[order] = start
        placed.append(((first, last), start, start + size))
    return offsets, max((end for _, _, end in placed), default=0)
