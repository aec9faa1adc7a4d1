"""A program with its memory: what is called, and the table of addresses and sizes it is given."""

import ctypes
import functools
import importlib
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.dims import Dim, resolve
from chainrule.errors import ShapeError
from chainrule.graph import Array
from chainrule.ops.loops import Product
from chainrule.transforms.compile import language
from chainrule.transforms.compile.arena import (
    ALIGN,
    bytes_of,
    empty,
    in_few_pages,
    layout,
    lifetimes,
    room,
)
from chainrule.transforms.compile.calls import (
    MOST_SUMMED,
    Block,
    Call,
    Foreign,
    Inner,
    Partial,
    Places,
    Products,
    Stretch,
)
from chainrule.transforms.compile.frame import base
from chainrule.transforms.compile.schedule import windows_of
from chainrule.transforms.compile.simplify import Node
from chainrule.transforms.compile.source import HEAD, TEAMS, Text
from chainrule.transforms.compile.structure import evaluate

if TYPE_CHECKING:
    from chainrule.transforms.compile.program import Program

MACHINE = "chainrule.transforms.compile.machine"


class Bound:
    """A program with its memory: the table of addresses and sizes that it is called with."""

    def __init__(
        self,
        program: "Program",
        text: Text,
        sizes: dict[str, int],
        short: dict[str, int],
        threads: int,
        plain: bool,
        inner: bool = False,
        arena: Array | None = None,
    ) -> None:
        self.program, self.text = program, text
        self._machine: Any = None if plain else importlib.import_module(MACHINE)
        self.threads = threads
        self.sizes, self.short = sizes, short
        self._kept: list[Any] = []
        self._error: BaseException | None = None
        self._inner: dict[tuple[int, int], InnerBound] = {}
        self._places: dict[int, dict[str, int]] = {}
        self.arrays: dict[int, Array] = {}
        self._allocate(arena)
        self._fill()
        if not (inner and self._machine):  # another program takes an inner one by its address
            source = text.source
            self.call = self._machine.machine_code(source) if self._machine else _plain(source)

    def run(self, start: int = 0, stop: int = 1, short: int = -1, threads: int = 1) -> int:
        """Run steps from start to stop; `short` is the one with the other sizes.

        Gives stop, or the step at which a check failed. The results do not depend on `threads`,
        of which there may be as many as the memory was made for.
        """
        place = self._table_at
        if threads == 1:
            end = self.call(start, stop, short, place, 0, 1)
            self._raise()
            return end
        with _team:  # half of one program and half of another would wait for each other forever
            others = [
                _workers(threads).submit(self.call, start, stop, short, place, thread, threads)
                for thread in range(1, threads)
            ]
            end = self.call(start, stop, short, place, 0, threads)
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

    def _room(self, node: Node) -> tuple[int, ...]:
        """Give the shape of the memory of a node: what is brief needs one turn for each thread."""
        shape = self._shape(node)
        if node.order not in self.text.brief:
            return shape
        rows = self.text.blocks.get(node.order)
        turn = 1 if rows is None else self._value(Block(rows), self.sizes)
        return (self.threads * turn, *shape[1:])

    def _allocate(self, arena: Array | None) -> None:
        """Lay out the arena: each piece lives from its first use to its last.

        That of a program that never runs at the same time serves, too, if it is large enough.
        """
        spans = lifetimes(self.text)
        pieces = {
            node.order: (node, spans[node.order], bytes_of(self._room(node), node.dtype))
            for node in self.text.memory
            if node.op is not None and node.order in spans and not self._is_own(node)
        }
        offsets, self.arena_bytes = layout({k: (span, n) for k, (_, span, n) in pieces.items()})
        fits = arena is not None and len(arena) >= self.arena_bytes
        self.arena = arena if arena is not None and fits else empty(self.arena_bytes, np.uint8)
        self.arena[:] = 0  # now, so that the first step need not wait for pages of memory
        for order, (node, _, _) in pieces.items():
            shape = self._room(node)
            start, size = offsets[order], math.prod(shape) * node.dtype.itemsize
            self.arrays[order] = self.arena[start : start + size].view(node.dtype).reshape(shape)
        scratch = max((self._scratch(c) for c in self.text.calls), default=0)
        self.scratch_bytes = -(-scratch // ALIGN) * ALIGN
        self.scratch = empty(self.scratch_bytes * self.threads, np.uint8)
        self.numbers = np.array(self.text.numbers, np.float64)
        self.meeting = empty(8 * (TEAMS[-1] + 16), np.int64)
        self.meeting[:] = 0
        self.clocks = np.zeros(len(self.text.calls) + 1, np.int64)

    def _is_own(self, node: Node) -> bool:
        """Whether the memory of an op's result outlives a step."""
        ends = {base(x).order for x in self.program.outputs}
        return node.order in ends

    def is_by_tiles(self, call: Call) -> bool:
        """Whether a call multiplies matrices by tiles."""
        return call.products is not None and self._kind(call.products) != call.products.kind

    def _kind(self, n: Products) -> str:
        """Say how matrices are multiplied: by tiles where that pays for all threads together."""
        if not n.sizes or self._machine is None or not self._machine.has_tiles():
            return n.kind
        *sizes, last = (self._value(x, self.sizes) for x in n.sizes)
        if n.kind != "steps":
            sizes.append(last)
        elif last > sizes[-1]:  # rows of a step, of more than are summed up at a time
            return n.kind
        if not self._machine.pays_by_tiles(*sizes, fixed=n.fixed):
            return n.kind
        by_tiles = {"matrices": "tiles", "steps": "steps by tiles"}[n.kind]
        return "fixed by tiles" if n.fixed else by_tiles

    def _scratch(self, call: Call) -> int:
        if not isinstance(call.node.loop, Product) or call.kernel is not None:
            return 0
        m, n = self._shape(call.node)[-2:]
        turned_a, turned_b = (call.node.attrs.get(f"transpose_{x}") for x in "ab")
        k = self._shape(call.node.inputs[0])[-2 if turned_a else -1]
        words = language if self._machine is None else self._machine
        if windows_of(call.node) is not None:
            size = words.windows_scratch_size(n, k)
        elif call.sums is not None:
            rows = self.number(call.sums.shape[1])
            size = words.steps_scratch_size(m, n, MOST_SUMMED, rows, self.threads)
            if call.products is not None and self.is_by_tiles(call):
                k = int(call.products.sizes[2])
                size = max(size, words.tile_steps_scratch_size(m, k, rows, self.threads))
        else:
            turns = turned_a and not turned_b
            parts = language.shares(n, self.threads) if call.by_columns else [n]
            size = max(words.scratch_size(m, p, k, self.threads if turns else 0) for p in parts)
            if call.products is not None and self.is_by_tiles(call):
                size = words.tile_scratch_size(m, n, k)
                if call.products.fixed:
                    size = words.fixed_tile_scratch_size(m, k)
        return int(size) * call.node.dtype.itemsize

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
        fixed = Block | Foreign | Partial | Places | Products
        self._dims = [(k, n) for k, n in self._dims if not isinstance(n, fixed)]
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
            self.table[first + k] = self._value(n, self.short)

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
        if isinstance(n, Inner):
            inner = self.inner(n, sizes)
            return inner.address(n.what)
        if isinstance(n, Block):
            return n.count(self.number(n.rows, self.sizes))
        if isinstance(n, Products):
            machine = self._machine
            if machine is None or (n.kind == "split" and not machine.has_tiles()):
                return 0
            return int(machine.product_address(n.dtype, self._kind(n)))
        if isinstance(n, Stretch):
            return n.count(self.number(n.length, sizes), self.number(n.rows, sizes))
        if isinstance(n, Partial):
            self._kept.append(room(self._shape(n.node), n.node.dtype))
            return int(self._kept[-1].ctypes.data)
        if isinstance(n, Places):
            return self._places_of(n.windows, n.matrices)[n.what]
        return self.number(n, sizes)

    def inner(self, n: Inner, sizes: Mapping[str, int]) -> "InnerBound":
        """Give the memory of the steps inside a node, for sizes of this program."""
        rows = self.number(n.node.shape[1], sizes)
        key = (n.node.order, rows)
        if key not in self._inner:
            self._inner[key] = InnerBound(self, n, sizes, rows)
        return self._inner[key]

    def _places_of(self, windows: Node, matrices: Node) -> dict[str, int]:
        """Find where the elements of windows lie, by cutting windows out of a list of places."""
        if windows.order not in self._places:
            assert windows.op is not None
            (_, *x), (_, *stack, _, _) = map(self._shape, (windows.inputs[0], matrices))
            step = math.prod(x) // math.prod(stack)
            image = np.arange(step).reshape(1, -1, *x[1:])
            attrs = resolve_attrs(windows.attrs, self.sizes)
            found, axes = windows.op.run(image, **attrs), windows.loop.columns(**attrs)
            rows = found[(..., *[0] * axes)].ravel()
            columns = found[(0,) * (found.ndim - axes)].ravel()
            self._kept += [rows, columns]
            gaps = np.flatnonzero(np.diff(columns) != 1)
            self._places[windows.order] = {
                "rows": rows.ctypes.data, "columns": columns.ctypes.data, "step": step,
                "run": int(gaps[0]) + 1 if gaps.size else columns.size,
            }  # fmt: skip
        return self._places[windows.order]

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
            except BaseException as error:  # it comes after the run
                self._error = error

        self._kept.append(ctypes.CFUNCTYPE(None)(call))
        # Where it begins; a cast would let it refer to itself for ever.
        return ctypes.c_void_p.from_buffer(self._kept[-1]).value or 0

    def set(self, node: Node, array: Array) -> None:
        """Let a leaf or an output lie in this array, which is kept alive."""
        memory = self.text.canonical(node)
        if memory is not node:  # an output that only renames the axes of what is computed
            if memory.order not in self.text.moves:
                array = array.reshape(self._shape(memory))
            node = memory
        if node.order in self.program.written.turned:
            turned = self.arrays.get(node.order)
            if turned is None or turned.shape != array.shape[::-1]:
                turned = in_few_pages(array.shape[::-1], array.dtype)
            turned[...] = array.T
            array = turned
        if node.order not in self.text.places:
            self.arrays[node.order] = array
            return
        whole = array.flags.c_contiguous or math.prod(self._shape(node)) == 1
        if array.dtype != node.dtype or not whole:
            raise ShapeError(f"compiled code got {array.dtype} memory for {node.dtype}")
        shape = array.shape[::-1] if node.order in self.program.written.turned else array.shape
        if node.order not in self.text.moves and not self._fits(shape, node):
            raise ShapeError(f"compiled code got memory of {array.shape} for {list(node.shape)}")
        self.begin(node, array)

    def begin(self, node: Node, array: Array) -> None:
        """Let what was set lie in another array, of the same dtype and form."""
        self.arrays[node.order] = array
        place = self.text.places.get(node.order)
        if place is not None:
            self.table[place] = array.ctypes.data

    def _fits(self, shape: Sequence[int], node: Node) -> bool:
        """Whether an array has the sizes that have no name."""
        return node.order in self.text.brief or (
            len(shape) == len(node.shape)
            and all(
                isinstance(n, Dim) or m == self.number(n)
                for m, n in zip(shape, node.shape, strict=True)
            )
        )

    def output(self, end: Node) -> tuple[int, Any]:
        """Say in which memory an output lies, and what it is if that is known."""
        return self.text.canonical(end).order, end.number

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
        place = self.text.moves.get(self.text.canonical(node).order)
        if place is not None:
            self.table[place] = elements * node.dtype.itemsize


class InnerBound:
    """The steps inside a node, with their memory and tables: for the first, the rest, and the last.

    The first step takes its carry from input 0, each of the others from the result of the one
    before. The last has a table of its own if steps read what other steps have left to the next
    ones: there is none before it. The program around writes the addresses into the tables.
    """

    def __init__(self, outer: Bound, n: Inner, sizes: Mapping[str, int], rows: int) -> None:
        node, program = n.node, n.program
        plain = outer._machine is None
        self.bound: Bound = program.bind(
            {"rows": rows}, threads=outer.threads, plain=plain, inner=True
        )
        sign = -1 if node.attrs["reverse"] else 1
        moving = range(int("passes" in node.attrs), node.attrs["body"].count + 1)
        width = int(node.attrs.get("passes", 0))
        self.state = room((rows, width), node.dtype)
        if width:
            self.bound.set(n.leaves[0], self.state)
        for k, leaf in enumerate(n.leaves):
            given = node.inputs[k]
            if given.number is not None:
                self.bound.set(leaf, np.full((), given.number, leaf.dtype))
            elif k in moving:
                self.bound.move(leaf, sign * _elements(outer, given.shape[k > 0 :], sizes))
        self.bound.move(n.result, sign * _elements(outer, node.shape[1:], sizes))
        self.tables = {what: self.bound.table.copy() for what in ("first", "rest", "last")}
        self.turned = {
            k: room((_elements(outer, node.inputs[k].shape, sizes),), leaf.dtype)
            for k, leaf in enumerate(n.leaves)
            if leaf.order in program.written.turned
        }
        by_tiles = {
            call.node.inputs[1].order
            for call in self.bound.text.calls
            if call.products is not None and call.products.fixed and self.bound.is_by_tiles(call)
        }
        self.tiles = {
            k: room((self._tiles_size(leaf),), leaf.dtype)
            for k, leaf in enumerate(n.leaves)
            if leaf.order in by_tiles
        }
        if outer._machine is None:
            self.code = language.keep(self.bound.call)
        else:
            self.code = outer._machine.code_address(program.source)

    def _tiles_size(self, leaf: Node) -> int:
        n, k = self.bound._shape(leaf)
        if leaf.order not in self.bound.program.written.turned:
            n, k = k, n
        return int(self.bound._machine.fixed_tiles_size(n, k))

    def address(self, what: str | int) -> int:
        """Give the address that a program asks for (`Inner`)."""
        if isinstance(what, int):
            return int(self.turned[what].ctypes.data)
        if what == "state":
            return int(self.state.ctypes.data)
        if what.startswith("tiles"):
            tiles = self.tiles.get(int(what.split()[1]))
            return 0 if tiles is None else int(tiles.ctypes.data)
        return self.code if what == "code" else int(self.tables[what].ctypes.data)


def _elements(bound: Bound, shape: Sequence[Any], sizes: Mapping[str, int]) -> int:
    return math.prod([bound.number(n, sizes) for n in shape])


_team = threading.Lock()


def _forget_workers() -> None:
    """After a fork the threads, and whoever holds the lock, are those of the other process."""
    global _team
    _workers.cache_clear()
    _team = threading.Lock()


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
