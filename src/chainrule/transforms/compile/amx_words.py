"""Words for products by the matrix unit of x86 (AMX), written in LLVM's instructions.

The unit multiplies tiles of numbers of 16 bits and adds up in float32. A float32 number is here the
sum of parts, times a power of two that its row or column shares; `amx.py` says how products are
made of them. A tile has 16 rows of 64 bytes. Those of the left matrix hold 32 numbers of each of 16
rows; those of the right one for each of 16 columns 16 pairs of numbers, row by row.

What belongs to the same 32 numbers of k lies together: the first part of two tiles, then the next
ones, `STEP` bytes in all.
"""

from typing import Any

from llvmlite import ir

from chainrule.transforms.compile.panels import VOID, Emitter, cgutils, intrinsic, types, written
from chainrule.transforms.compile.tiles import PARTS

TILE, DEPTH = 1024, 32  # bytes of a tile; numbers of k in a step
STEP = 2 * PARTS * TILE
ORDER = {2: ((1, 0), (0, 0), (0, 1)), 3: ((2, 0), (1, 0), (0, 0), (0, 1), (1, 1), (0, 2))}[PARTS]
"""Which parts of A and of B are multiplied; what is left out is below the last bit of the sum."""
_I8, _I16, _I32, _I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
_POINTER = ir.PointerType()
_WHOLE, _HALF = ir.VectorType(_I32, 16), ir.VectorType(ir.HalfType(), 16)
_SHORT = ir.VectorType(_I16, 16)
_SIGN, _EXPONENT = 0x7FFFFFFF, 23
_LARGEST = 14
"""Exponent that the largest number of a row or column gets; those of half precision end at 15."""


class _Splitter(Emitter):
    """Writes a function that splits float32 numbers, 16 at a time, into parts."""

    def same(self, n: int) -> Any:
        """Give a vector of the same whole number."""
        return ir.Constant(_WHOLE, [n] * 16)

    def magnitude(self, x: Any) -> Any:
        """Give numbers without their sign, as bits: of those a larger number has larger ones."""
        return self.builder.and_(self.builder.bitcast(x, _WHOLE), self.same(_SIGN))

    def larger(self, x: Any, y: Any) -> Any:
        """Give the larger of whole numbers, lane by lane."""
        return self.builder.select(self.builder.icmp_signed(">", x, y), x, y)

    def scales(self, largest: Any) -> tuple[Any, Any]:
        """Give the powers of two by which to multiply before, and after, NaN after infinity."""
        builder = self.builder
        exponent = builder.lshr(largest, self.same(_EXPONENT))
        field = builder.sub(self.same(2 * 127 + _LARGEST), exponent)
        most = self.same(2 * 127 - 1)
        field = builder.select(builder.icmp_signed("<", field, most), field, most)
        back = builder.sub(self.same(2 * 127), field)
        infinite = builder.icmp_signed("==", exponent, self.same(255))
        nan = self.same(0x7FC00000)
        before, after = (builder.shl(x, self.same(_EXPONENT)) for x in (field, back))
        after = builder.select(infinite, nan, after)
        return builder.bitcast(before, self.vector), builder.bitcast(after, self.vector)

    def split(self, x: Any, scale: Any) -> list[Any]:
        """Give the parts of numbers, as 16 bits, the largest ones first."""
        builder, parts = self.builder, []
        x = builder.fmul(x, scale)
        for _ in range(PARTS):
            part, near = self.half(x) if PARTS == 2 else self.brain(x)
            parts.append(part)
            x = builder.fsub(x, near)
        return parts

    def half(self, x: Any) -> tuple[Any, Any]:
        """Round numbers to 11 bits: halves, and the same as float32."""
        half = self.builder.fptrunc(x, _HALF)
        return self.builder.bitcast(half, _SHORT), self.builder.fpext(half, self.vector)

    def brain(self, x: Any) -> tuple[Any, Any]:
        """Round numbers to 8 bits: the upper half of a float32, and the same as float32."""
        builder = self.builder
        upper = builder.lshr(
            builder.add(builder.bitcast(x, _WHOLE), self.same(2**15)), self.same(16)
        )
        near = builder.bitcast(builder.shl(upper, self.same(16)), self.vector)
        return builder.trunc(upper, _SHORT), near


def _write_split_rows(module: Any, name: str, scalar: Any) -> Any:
    """Write the splitting of up to 16 rows of k numbers, `stride` apart, into tiles from `out` on.

    `factors` get the powers of two by which products have to be multiplied.
    """
    arguments = [_I64, _I64, _POINTER, _I64, _POINTER, _POINTER]
    e = _Splitter(module, name, scalar, arguments)
    rows, k, x, stride, out, factors = e.function.args
    builder = e.builder
    vectors = builder.sdiv(k, _I64(16))
    end = e.times(vectors, 16)
    rest = builder.sub(k, end)
    some = builder.icmp_signed(">", rest, _I64(0))
    largest = cgutils.alloca_once(builder, _WHOLE)
    scales = cgutils.alloca_once(builder, ir.ArrayType(scalar, 16))
    scales = builder.inttoptr(builder.ptrtoint(scales, _I64), _POINTER)
    with cgutils.for_range(builder, rows) as row:
        source = e.at(x, builder.mul(row.index, stride))
        builder.store(ir.Constant(_WHOLE, None), largest)
        with cgutils.for_range(builder, vectors) as part:
            size = e.magnitude(e.load(e.at(source, e.times(part.index, 16))))
            builder.store(e.larger(builder.load(largest), size), largest)
        with builder.if_then(some):
            size = e.magnitude(e.load(e.at(source, end), e.first(rest)))
            builder.store(e.larger(builder.load(largest), size), largest)
        most = builder.load(largest)
        for far in (8, 4, 2, 1):
            lanes = ir.Constant(_WHOLE, [lane ^ far for lane in range(16)])
            most = e.larger(most, builder.shuffle_vector(most, most, lanes))
        before, after = e.scales(most)
        builder.store(builder.extract_element(after, _I32(0)), e.at(factors, row.index), align=4)
        builder.store(builder.extract_element(before, _I32(0)), e.at(scales, row.index), align=4)

    def put(first: Any, count: Any, mask: Any = None) -> None:
        """Split a number of steps, from one on, row by row."""
        with cgutils.for_range(builder, count) as step:
            p = builder.add(first, step.index)
            tile = e.bytes_at(out, e.times(p, STEP))
            column = e.at(x, e.times(p, DEPTH))
            with cgutils.for_range(builder, rows) as row:
                source = e.at(column, builder.mul(row.index, stride))
                scale = e.spread(builder.load(e.at(scales, row.index), typ=scalar, align=4))
                target = e.bytes_at(tile, e.times(row.index, 64))
                for v in range(2):
                    masked = mask and mask[v]
                    x_part = e.load(e.at(source, _I64(16 * v)), masked)
                    for i, part in enumerate(e.split(x_part, scale)):
                        place = e.bytes_at(target, _I64(2 * i * TILE + 32 * v))
                        builder.store(part, place, align=32)

    whole = builder.sdiv(k, _I64(DEPTH))
    put(_I64(0), whole)
    left = builder.sub(k, e.times(whole, DEPTH))
    with builder.if_then(builder.icmp_signed(">", left, _I64(0))):
        put(whole, _I64(1), [e.first(left), e.first(builder.sub(left, _I64(16)))])
    builder.ret_void()
    return e.function


def _write_split_columns(module: Any, name: str, scalar: Any) -> Any:
    """Write the splitting of up to 32 columns of k rows, `stride` apart, into tiles of pairs."""
    arguments = [_I64, _I64, _POINTER, _I64, _POINTER, _POINTER]
    e = _Splitter(module, name, scalar, arguments)
    columns, k, x, stride, out, factors = e.function.args
    builder = e.builder
    masks = [e.first(columns), e.first(builder.sub(columns, _I64(16)))]
    largest = [cgutils.alloca_once(builder, _WHOLE) for _ in masks]
    for place in largest:
        builder.store(ir.Constant(_WHOLE, None), place)

    def row(i: Any, *, checked: bool = False) -> list[Any]:
        """Load a row, or 0 for one past the last."""
        place, parts = e.at(x, builder.mul(i, stride)), masks
        if checked:
            inside = builder.icmp_signed("<", i, k)
            parts = [builder.select(inside, mask, ir.Constant(mask.type, None)) for mask in masks]
        return [e.load(e.at(place, _I64(16 * v)), mask) for v, mask in enumerate(parts)]

    with cgutils.for_range(builder, k) as one:
        for place, numbers in zip(largest, row(one.index), strict=True):
            builder.store(e.larger(builder.load(place), e.magnitude(numbers)), place)
    scales = []
    for v, place in enumerate(largest):
        before, after = e.scales(builder.load(place))
        scales.append(before)
        e.store(after, e.at(factors, _I64(16 * v)))

    def put(pair: Any, *, checked: bool = False) -> None:
        """Split a pair of rows, and let the numbers of a column lie side by side."""
        i = e.times(pair, 2)
        first, second = row(i, checked=checked), row(builder.add(i, _I64(1)), checked=checked)
        place = builder.add(
            e.times(builder.lshr(pair, _I64(4)), STEP), e.times(builder.and_(pair, _I64(15)), 64)
        )
        for v, scale in enumerate(scales):
            parts = zip(e.split(first[v], scale), e.split(second[v], scale), strict=True)
            for part, both in enumerate(parts):
                a, b = (builder.zext(x, _WHOLE) for x in both)
                target = e.bytes_at(out, builder.add(place, _I64((2 * part + v) * TILE)))
                builder.store(builder.or_(a, builder.shl(b, e.same(16))), target, align=64)

    whole = builder.sdiv(k, _I64(2))
    with cgutils.for_range(builder, whole) as pair:
        put(pair.index)
    pairs = e.times(builder.sdiv(builder.add(k, _I64(DEPTH - 1)), _I64(DEPTH)), DEPTH // 2)
    with cgutils.for_range(builder, builder.sub(pairs, whole)) as pair:
        put(builder.add(whole, pair.index), checked=True)
    builder.ret_void()
    return e.function


def _write_tiles(
    module: Any, name: str, scalar: Any, rows: int, columns: int, swapped: bool
) -> Any:
    """Write the product of so many tiles of rows and of columns over `steps` of k, into `out`.

    `out` has 32 columns, and behind 32 rows of them place for a tile. The order of what is added up
    does not depend on whether A is on the left or, `swapped`, B.
    """
    e = Emitter(module, name, scalar, [_I64, _POINTER, _POINTER, _POINTER])
    steps, left, right, out = e.function.args
    builder = e.builder
    how = {2: "tdpfp16ps", 3: "tdpbf16ps"}[PARTS]
    sums = [(i, j, _I8(2 * i + j)) for i in range(rows) for j in range(columns)]
    for _, _, tile in sums:
        e.call("llvm.x86.tilezero", VOID, tile)

    def load(matrix: Any, count: int, tile: int, *, part: int) -> None:
        for i in range(count):
            place = e.bytes_at(matrix, _I64((2 * part + i) * TILE))
            e.call("llvm.x86.tileloadd64", VOID, _I8(tile + i), place, _I64(64))

    def multiply() -> None:
        for i, j, tile in sums:
            e.call(f"llvm.x86.{how}", VOID, tile, _I8(4 + i), _I8(6 + j))

    with cgutils.for_range(builder, steps) as step:
        start = e.times(step.index, STEP)
        a, b = (e.bytes_at(left, start), rows, 4), (e.bytes_at(right, start), columns, 6)
        loaded: tuple[int, int] | tuple[None, None] = None, None
        for parts in ORDER:
            for matrix, part, before in zip(
                (b, a) if swapped else (a, b), parts, loaded, strict=True
            ):
                if part != before:
                    load(*matrix, part=part)
            multiply()
            loaded = parts
        # After eight steps without a store the next one takes as long as 50 products of tiles.
        e.call("llvm.x86.tilestored64", VOID, _I8(4), e.bytes_at(out, _I64(4 * TILE)), _I64(64))
    for i, j, tile in sums:
        place = e.bytes_at(out, _I64(2 * i * TILE + 64 * j))
        e.call("llvm.x86.tilestored64", VOID, tile, place, _I64(128))
    builder.ret_void()
    return e.function


def _write_panel(module: Any, name: str, scalar: Any) -> Any:
    """Write the product of up to 32 rows and up to 32 columns: one or two tiles of each."""
    arguments = [_I64, _I64, _I64, _I64, *[_POINTER] * 4, _I64]
    e = Emitter(module, name, scalar, arguments)
    rows, columns, swapped, *rest, c, ldc = e.function.args
    builder = e.builder
    with cgutils.for_range(builder, builder.select(e.flag(swapped), columns, rows)) as row:
        place = e.at(c, builder.mul(row.index, ldc))
        for line in (0, 16):
            e.fetch(e.at(place, _I64(line)))

    def either(condition: Any, choices: list[Any]) -> None:
        """Call the function that three conditions choose."""
        if not condition:
            rows, columns, swapped = choices
            kind = f"{name}_{1 + rows}_{1 + columns}_{swapped}"
            tiles = _write_tiles(module, kind, scalar, 1 + rows, 1 + columns, swapped)
            builder.call(tiles, rest)
            return
        with builder.if_else(condition[0]) as (then, otherwise):
            for chosen, branch in ((True, then), (False, otherwise)):
                with branch:
                    either(condition[1:], [*choices, chosen])

    wide = [builder.icmp_signed(">", n, _I64(16)) for n in (rows, columns)]
    either([*wide, e.flag(swapped)], [])
    builder.ret_void()
    return e.function


def _write_put(module: Any, name: str, scalar: Any) -> Any:
    """Write where a tile of results goes: C gets it, or what it adds, times both factors.

    Where a factor is NaN, C stays as it is. The tile has 32 columns around it; if it is `turned`,
    its rows are columns of C.
    """
    arguments = [_I64, _I64, _I64, _POINTER, _POINTER, _POINTER, _POINTER, _I64, _I64]
    e = _Splitter(module, name, scalar, arguments)
    turned, rows, columns, tile, of_rows, of_columns, c, ldc, done = e.function.args
    builder = e.builder
    mask = e.first(columns)
    nan = ir.Constant(e.vector, [float("nan")] * 16)
    load = f"llvm.masked.load.{e.suffix}.p0"
    across = e.call(load, e.vector, of_columns, _I32(4), mask, nan)
    with builder.if_then(e.flag(turned)):
        block = e.transposed([e.load(e.at(tile, _I64(32 * i))) for i in range(16)])
        for i, x in enumerate(block):
            e.store(x, e.at(tile, _I64(32 * i)))
    more = builder.icmp_signed(">", done, _I64(0))
    with cgutils.for_range(builder, rows) as row:
        x = e.load(e.at(tile, e.times(row.index, 32)))
        factor = e.spread(builder.load(e.at(of_rows, row.index), typ=scalar, align=4))
        known = builder.fcmp_ordered("ord", factor, across)
        less = builder.fcmp_ordered("<", factor, across)
        for scale in (builder.select(less, factor, across), builder.select(less, across, factor)):
            x = builder.fmul(x, scale)  # the smaller one first, lest a number is infinite between
        target = e.at(c, builder.mul(row.index, ldc))
        with builder.if_else(more) as (then, otherwise):
            with then:
                e.store(builder.fadd(x, e.load(target, known)), target, known)
            with otherwise:
                e.store(x, target, known)
    builder.ret_void()
    return e.function


_CONFIG = [1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8]
"""What tells the unit that all eight tiles have 16 rows of 64 bytes."""


def _order(builder: Any, name: str, *args: Any) -> None:
    """Tell the unit something."""
    kind = ir.FunctionType(VOID, [x.type for x in args])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), args)


@intrinsic
def begin_tiles(context: Any) -> Any:
    """Let this thread use tiles."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        config = ir.Constant(ir.ArrayType(_I8, 64), _CONFIG)
        place = cgutils.global_constant(builder, "tiles", config)
        _order(builder, "ldtilecfg", builder.bitcast(place, _POINTER))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def end_tiles(context: Any) -> Any:
    """Give the unit back, so that tiles need not be kept when another thread comes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _order(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def split_rows(context: Any, rows: Any, k: Any, x: Any, stride: Any, out: Any, factors: Any) -> Any:
    """Split up to 16 rows."""
    return written("split_rows", _write_split_rows, rows, k, x, stride, out, factors)


@intrinsic
def split_columns(
    context: Any, columns: Any, k: Any, x: Any, stride: Any, out: Any, factors: Any
) -> Any:
    """Split up to 32 columns."""
    return written("split_columns", _write_split_columns, columns, k, x, stride, out, factors)


@intrinsic
def multiply_tiles(
    context: Any, rows: Any, columns: Any, swapped: Any, steps: Any, left: Any, right: Any,
    out: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """Multiply up to 32 rows by up to 32 columns of which the parts lie in tiles.

    The cache gets ready for C, to which `out` goes next.
    """
    args = rows, columns, swapped, steps, left, right, out, c, ldc
    return written("panel", _write_panel, *args)


@intrinsic
def put_tile(
    context: Any, turned: Any, rows: Any, columns: Any, tile: Any, of_rows: Any, of_columns: Any,
    c: Any, ldc: Any, done: Any,
) -> Any:  # fmt: skip
    """Take a tile of the product to C, or add it to terms that are `done`."""
    args = turned, rows, columns, tile, of_rows, of_columns, c, ldc, done
    return written("put_tile", _write_put, *args)
