"""Panels of a matrix product, written in LLVM's vector instructions.

A tile of C stays in registers while k runs. Each element of C is one chain of multiply-adds over
p = 0, 1, ..., k - 1, whatever the sizes are. What is defined here as an `intrinsic` is a word of
`products.py`, which says in which order the panels of a product are computed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
from llvmlite import ir
from numba import core, extending

from chainrule.transforms.compile.tiles import (
    BYTES,
    LISTED,
    MASKS,
    SIZES,
    THIN,
    WIDE,
)

# Some versions of Numba have types, others not.
types: Any = numba.types
intrinsic: Any = extending.intrinsic
cgutils: Any = core.cgutils
VOID = ir.VoidType()
_I32, _I64, _POINTER = ir.IntType(32), ir.IntType(64), ir.PointerType()


class Emitter:
    """Writes an LLVM function over vectors of one scalar type."""

    def __init__(self, module: Any, name: str, scalar: Any, arguments: list[Any]) -> None:
        self.module, self.scalar = module, scalar
        self.size = 4 if isinstance(scalar, ir.FloatType) else 8
        self.width = BYTES // self.size
        self.vector = ir.VectorType(scalar, self.width)
        self.suffix = f"v{self.width}f{8 * self.size}"
        self.function = ir.Function(module, ir.FunctionType(VOID, arguments), name)
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self.function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))

    def at(self, pointer: Any, offset: Any) -> Any:
        """Move a pointer by elements."""
        return self.builder.gep(pointer, [offset], source_etype=self.scalar)

    def bytes_at(self, pointer: Any, offset: Any) -> Any:
        """Move a pointer by bytes."""
        return self.builder.gep(pointer, [offset], source_etype=ir.IntType(8))

    def flag(self, x: Any) -> Any:
        """Say whether a whole number is not 0."""
        return self.builder.icmp_signed("!=", x, _I64(0))

    def fetch(self, pointer: Any) -> None:
        """Bring memory that will be written into the nearest cache."""
        self.call("llvm.prefetch.p0", VOID, pointer, _I32(1), _I32(3), _I32(1))

    def times(self, x: Any, n: int) -> Any:
        """Multiply an index."""
        return self.builder.mul(x, _I64(n))

    def entry(self, address: Any, i: int) -> Any:
        """Load a number from a list of 64-bit integers."""
        pointer = self.builder.inttoptr(self.builder.add(address, _I64(8 * i)), _POINTER)
        return self.builder.load(pointer, typ=_I64, align=8)

    def opaque(self, x: Any) -> Any:
        """Hide from LLVM how a number was computed.

        It would derive each row's pointer from the row above; this chain of additions takes
        longer than the multiply-adds.
        """
        return self.builder.asm(ir.FunctionType(x.type, [x.type]), "", "=r,0", [x], False)

    def shuffle(self, x: Any, y: Any, lanes: list[int]) -> Any:
        """Pick lanes of two vectors."""
        kind = ir.VectorType(_I32, self.width)
        return self.builder.shuffle_vector(x, y, ir.Constant(kind, lanes))

    def transposed(self, block: list[Any]) -> list[Any]:
        """Transpose a block that is as many vectors high as a vector is long."""
        width = self.width
        for far in (2**t for t in range(width.bit_length() - 1)):  # exchange lanes so far apart
            upper = [lane + width - far if lane & far else lane for lane in range(width)]
            lower = [lane + width if lane & far else lane + far for lane in range(width)]
            for i in range(width):
                if i & far == 0:
                    x, y = block[i], block[i + far]
                    block[i], block[i + far] = self.shuffle(x, y, upper), self.shuffle(x, y, lower)
        return block

    def spread(self, x: Any) -> Any:
        """Copy a number to all lanes of a vector."""
        nothing = ir.Constant(ir.VectorType(x.type, self.width), ir.Undefined)
        first = self.builder.insert_element(nothing, x, _I32(0))
        return self.shuffle(first, nothing, [0] * self.width)

    def first(self, count: Any) -> Any:
        """Give the mask of the first lanes."""
        lanes = ir.Constant(ir.VectorType(_I64, self.width), list(range(self.width)))
        return self.builder.icmp_signed("<", lanes, self.spread(count))

    def call(self, name: str, result: Any, *args: Any) -> Any:
        """Call an LLVM intrinsic."""
        kind = ir.FunctionType(result, [x.type for x in args])
        callee = cgutils.get_or_insert_function(self.module, kind, name)
        return self.builder.call(callee, args)

    def load(self, pointer: Any, mask: Any = None) -> Any:
        """Load a vector; where a mask is false, read nothing and give zero."""
        if mask is None:
            return self.builder.load(pointer, typ=self.vector, align=self.size)
        name, zeros = f"llvm.masked.load.{self.suffix}.p0", ir.Constant(self.vector, None)
        return self.call(name, self.vector, pointer, _I32(self.size), mask, zeros)

    def store(self, x: Any, pointer: Any, mask: Any = None) -> None:
        """Store a vector, nothing where a mask is false."""
        if mask is None:
            self.builder.store(x, pointer, align=self.size)
        else:
            name = f"llvm.masked.store.{self.suffix}.p0"
            self.call(name, VOID, x, pointer, _I32(self.size), mask)


def _tile(module: Any, scalar: Any, rows: int, vectors: int, listed: str = "") -> Any:
    """Write the product of some rows of A and some vectors' columns of B, the last one partial.

    If A is `listed`, the rows of A and its columns begin at elements that two lists name, whose
    addresses come as `a_row` and `a_step`; if B is, its rows do, with `ldb` for their list. What
    of C will be written next begins `ahead` elements further.
    """
    name = f"tile_{rows}_{vectors}_{scalar}_{listed}"
    arguments = [_I64, _POINTER, _I64, _I64, _POINTER, _I64, _POINTER, *[_I64] * 4]
    e = Emitter(module, name, scalar, arguments)
    k, a, a_row, a_step, b, ldb, c, ldc, last, done, ahead = e.function.args
    builder, entry = e.builder, e.builder.block
    more, start, loop, end = (
        e.function.append_basic_block(x) for x in ("more", "start", "loop", "end")
    )
    places = [(i, v) for i in range(rows) for v in range(vectors)]
    masks = [None] * (vectors - 1) + [e.first(last)]
    targets = {(i, v): e.at(e.at(c, e.times(ldc, i)), _I64(v * e.width)) for i, v in places}
    if listed == "a":
        distances, firsts = [e.opaque(e.entry(a_row, i)) for i in range(rows)], [a]
    else:  # three distances, and a pointer for every four rows, leave registers free
        distances = [e.opaque(e.times(a_row, i)) for i in range(min(rows, 4))]
        firsts = [e.at(a, e.opaque(e.times(a_row, i))) for i in range(0, rows, 4)]
    for place in (x for x in places if x[1] * BYTES % 64 == 0):
        e.fetch(e.at(targets[place], ahead))
    builder.cbranch(builder.icmp_signed(">", done, _I64(0)), more, start)

    builder.position_at_end(more)
    loaded = {(i, v): e.load(targets[i, v], masks[v]) for i, v in places}
    builder.branch(start)

    builder.position_at_end(start)
    begin = {place: builder.phi(e.vector) for place in places}
    for place, phi in begin.items():
        phi.add_incoming(ir.Constant(e.vector, None), entry)
        phi.add_incoming(loaded[place], more)
    builder.branch(loop)

    builder.position_at_end(loop)
    left, b_now = builder.phi(_I64), builder.phi(_I64 if listed == "b" else _POINTER)
    a_now = [builder.phi(_I64 if listed == "a" else _POINTER) for _ in firsts]
    sums = {place: builder.phi(e.vector) for place in places}
    b_masks = masks if MASKS else [None] * vectors  # packed rows of B are whole vectors
    b_first = e.at(b, e.entry(b_now, 0)) if listed == "b" else b_now
    b_row = [e.load(e.at(b_first, _I64(v * e.width)), b_masks[v]) for v in range(vectors)]
    new = {}
    column = [e.at(a, e.entry(a_now[0], 0))] if listed == "a" else []
    for i in range(rows):
        place = e.at(column[0], distances[i]) if column else e.at(a_now[i // 4], distances[i % 4])
        factor = e.spread(builder.load(place, typ=scalar, align=e.size))
        for v in range(vectors):
            # It is fused where the CPU can, in every tile alike.
            name = f"llvm.fmuladd.{e.suffix}"
            new[i, v] = e.call(name, e.vector, factor, b_row[v], sums[i, v])
    next_left = builder.sub(left, _I64(1))
    if listed == "a":
        steps = [(a_now[0], a_step, builder.add(a_now[0], _I64(8)))]
    else:
        steps = [(x, first, e.at(x, a_step)) for x, first in zip(a_now, firsts, strict=True)]
    later_b = builder.add(b_now, _I64(8)) if listed == "b" else e.at(b_now, ldb)
    for phi, first, following in [
        (left, k, next_left),
        (b_now, ldb if listed == "b" else b, later_b),
        *steps,
        *((sums[place], begin[place], new[place]) for place in places),
    ]:
        phi.add_incoming(first, start)
        phi.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed(">", next_left, _I64(0)), loop, end)

    # A whole vector needs no mask, with which AMD's processors store for as long as twelve without.
    builder.position_at_end(end)
    with builder.if_else(builder.icmp_signed("==", last, _I64(e.width))) as (whole, part):
        for ends, kinds in ((whole, [None] * vectors), (part, masks)):
            with ends:
                for i, v in places:
                    e.store(new[i, v], targets[i, v], kinds[v])
    builder.ret_void()
    return e.function


def _write_panel(module: Any, name: str, scalar: Any, listed: str = "") -> Any:
    """Write the loop over the tiles of a panel of C, from its top down.

    Its arguments are m, columns (up to WIDE vectors), k; A, its stride between rows and between
    steps of k; B, C, with their strides; and whether C holds the sum of `done` > 0 steps. For what
    is `listed`, the addresses of lists stand in place of strides.
    """
    sizes = LISTED if listed == "a" else SIZES
    arguments = [_I64, _I64, _I64, _POINTER, _I64, _I64, _POINTER, _I64, _POINTER, _I64, _I64]
    e = Emitter(module, name, scalar, arguments)
    m, columns, k, a, a_row, a_step, b, ldb, c, ldc, done = e.function.args
    builder = e.builder
    left, a_now, c_now = (cgutils.alloca_once_value(builder, x) for x in (m, a, c))
    a_rows = cgutils.alloca_once_value(builder, a_row)
    for vectors in range(1, WIDE + 1):
        last = builder.sub(columns, _I64((vectors - 1) * e.width))
        some = builder.icmp_signed(">", last, _I64(0))
        whole = builder.icmp_signed("<=", last, _I64(e.width))
        with builder.if_then(builder.and_(some, whole)):
            for rows in sizes if vectors <= 2 else range(THIN, 0, -1):
                check, body, after = (
                    builder.append_basic_block(x) for x in ("check", "body", "after")
                )
                builder.branch(check)
                builder.position_at_end(check)
                count = builder.load(left, typ=_I64)
                fits = builder.icmp_signed(">=", count, _I64(rows))
                if rows == SIZES[0]:  # two of the next size, not one and a small rest
                    two = builder.icmp_signed("!=", count, _I64(2 * SIZES[1]))
                    fits = builder.and_(fits, two)
                builder.cbranch(fits, body, after)
                builder.position_at_end(body)
                x, y = builder.load(a_now, typ=_POINTER), builder.load(c_now, typ=_POINTER)
                x_row = builder.load(a_rows, typ=_I64)
                tile = _tile(module, scalar, rows, vectors, listed)
                # Below the last tile are rows that another thread may be writing.
                below = builder.icmp_signed(">", count, _I64(rows))
                ahead = builder.select(below, e.times(ldc, rows), _I64(0))
                builder.call(tile, [k, x, x_row, a_step, b, ldb, y, ldc, last, done, ahead])
                builder.store(builder.sub(count, _I64(rows)), left)
                if listed == "a":
                    builder.store(builder.add(x_row, _I64(8 * rows)), a_rows)
                else:
                    builder.store(e.at(x, e.times(a_row, rows)), a_now)
                builder.store(e.at(y, e.times(ldc, rows)), c_now)
                builder.branch(check)
                builder.position_at_end(after)
    builder.ret_void()
    return e.function


def _write_copy(module: Any, name: str, scalar: Any) -> Any:
    """Write the copying of a block: rows, columns; source, its stride; target, its stride."""
    arguments = [_I64, _I64, _POINTER, _I64, _POINTER, _I64]
    e = Emitter(module, name, scalar, arguments)
    rows, columns, source, source_row, target, target_row = e.function.args
    builder = e.builder
    vectors = builder.sdiv(columns, _I64(e.width))
    end = e.times(vectors, e.width)
    mask = e.first(builder.sub(columns, end))
    some = builder.icmp_signed(">", columns, end)
    with cgutils.for_range(builder, rows) as row:
        x = e.at(source, builder.mul(row.index, source_row))
        y = e.at(target, builder.mul(row.index, target_row))
        with cgutils.for_range(builder, vectors) as part:
            start = e.times(part.index, e.width)
            e.store(e.load(e.at(x, start)), e.at(y, start))
        with builder.if_then(some):
            e.store(e.load(e.at(x, end), mask), e.at(y, end), mask)
    builder.ret_void()
    return e.function


def _write_turn(module: Any, name: str, scalar: Any, whole: bool) -> Any:
    """Write the transposition of a block, one vector wide and high, or less if not `whole`.

    Its arguments are rows, columns; source, its stride; target, its stride. The target gets a
    whole block.
    """
    arguments = [_I64, _I64, _POINTER, _I64, _POINTER, _I64]
    e = Emitter(module, name, scalar, arguments)
    rows, columns, source, source_row, target, target_row = e.function.args
    builder, width = e.builder, e.width
    mask = None if whole else e.first(columns)
    block = []
    for i in range(width):
        row = _I64(i)
        if not whole:  # rows past the last repeat it, in lanes that reach no element of C
            last = builder.sub(rows, _I64(1))
            row = builder.select(builder.icmp_signed("<", row, last), row, last)
        block.append(e.load(e.at(source, builder.mul(row, source_row)), mask))
    for i, x in enumerate(e.transposed(block)):
        e.store(x, e.at(target, e.times(target_row, i)))
    builder.ret_void()
    return e.function


def written(name: str, write: Callable[[Any, str, Any], Any], *args: Any) -> Any:
    """Make an intrinsic of a function of integers and pointers."""
    pointers = [isinstance(x, types.CPointer) for x in args]
    kinds = [x if p else types.int64 for x, p in zip(args, pointers, strict=True)]
    scalar = args[pointers.index(True)].dtype

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        full_name = f"{name}_{scalar}"
        function = builder.module.globals.get(full_name) or write(
            builder.module, full_name, context.get_data_type(scalar)
        )
        values = [
            builder.bitcast(x, _POINTER) if p else x for x, p in zip(values, pointers, strict=True)
        ]
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(*kinds), generate


def _panel(listed: str) -> Any:
    """Give the word that multiplies all rows of A by a panel of B."""

    @intrinsic
    def multiply(
        context: Any, m: Any, columns: Any, k: Any, a: Any, a_row: Any, a_step: Any, b: Any,
        ldb: Any, c: Any, ldc: Any, done: Any,
    ) -> Any:  # fmt: skip
        args = m, columns, k, a, a_row, a_step, b, ldb, c, ldc, done
        return written(f"panel_{listed}", partial(_write_panel, listed=listed), *args)

    return multiply


def _block(name: str, write: Callable[[Any, str, Any], Any]) -> Any:
    """Give a word that takes a block of numbers to another place."""

    @intrinsic
    def move(context: Any, rows: Any, columns: Any, x: Any, x_row: Any, y: Any, y_row: Any) -> Any:
        return written(name, write, rows, columns, x, x_row, y, y_row)

    return move


multiply_panel, multiply_listed_a, multiply_listed_b = (_panel(listed) for listed in ("", "a", "b"))
copy = _block("copy", _write_copy)
turn_whole = _block("turn_whole", partial(_write_turn, whole=True))
turn_part = _block("turn_part", partial(_write_turn, whole=False))


@intrinsic
def at(context: Any, pointer: Any, offset: Any) -> Any:
    """Move a pointer by elements."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = context.get_data_type(pointer.dtype)
        return builder.gep(args[0], [args[1]], source_etype=scalar)

    return pointer(pointer, types.int64), generate


@intrinsic
def entry(context: Any, address: Any, i: Any) -> Any:
    """Read an entry of a list of 64-bit integers."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.add(args[0], builder.mul(args[1], _I64(8)))
        return builder.load(builder.inttoptr(place, _POINTER), typ=_I64, align=8)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def width_of(context: Any, pointer: Any) -> Any:
    """Give the elements of a vector of what the pointer points to."""
    width = BYTES // (pointer.dtype.bitwidth // 8)
    return types.int64(pointer), lambda context, builder, signature, args: _I64(width)


def memory_of(dtype: Any) -> Any:
    """Make the function that turns an address into memory of a dtype."""

    @intrinsic
    def memory(context: Any, address: Any) -> Any:
        kind = types.CPointer(dtype)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(kind))

        return kind(types.int64), generate

    return memory


@intrinsic
def address_of(context: Any, memory: Any) -> Any:
    """Give the address of memory."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], _I64)

    return types.int64(memory), generate
