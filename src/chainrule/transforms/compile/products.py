"""Matrix products for compiled programs: in which order their panels are computed.

Each element of C is one chain of multiply-adds over p = 0, 1, ..., k - 1, whatever the sizes are:
a caller who splits the rows or the columns of C between threads, in any way, gets the same bits as
from one call.

The products are compiled once on a machine and cached on disk. Programs call them through an
address, so that no program compiles them again.
"""

from typing import Any

import numba
from llvmlite import ir
from numba import extending

from chainrule.transforms.compile.panels import (
    VOID,
    at,
    copy,
    entry,
    intrinsic,
    multiply_listed_a,
    multiply_listed_b,
    multiply_panel,
    turn_part,
    turn_whole,
    types,
    width_of,
)
from chainrule.transforms.compile.tiles import (
    COPY,
    DEPTH,
    FAR,
    LONG,
    MASKS,
    MUCH,
    PACKED,
    RUN,
    SWAPPED,
    THIN,
    WIDE,
    height_of,
    is_moved,
    packed_size,
)

njit: Any = numba.njit
register_jitable: Any = extending.register_jitable

packed = register_jitable(packed_size)
moved = register_jitable(is_moved)
height_of_block = register_jitable(height_of)
_options = {"nogil": True, "error_model": "numpy"}


@njit(**_options)
def _turn(
    rows: int, columns: int, source: Any, source_row: int, target: Any, target_row: int
) -> None:
    """Copy the transpose of a block."""
    width = width_of(source)
    for i in range(0, rows, width):
        for j in range(0, columns, width):
            x, y = at(source, i * source_row + j), at(target, j * target_row + i)
            r, s = min(rows - i, width), min(columns - j, width)
            if r == width and s == width:
                turn_whole(r, s, x, source_row, y, target_row)
            else:
                turn_part(r, s, x, source_row, y, target_row)


@njit(**_options)
def turn(x: Any, out: Any, rows: int, columns: int, first: int, last: int) -> None:
    """Write the transpose of a matrix; of its rows, those from first to last."""
    _turn_exactly(last - first, columns, at(x, first * columns), columns, at(out, first), rows)


@njit(**_options)
def _turn_exactly(rows: int, columns: int, x: Any, x_row: int, out: Any, out_row: int) -> None:
    """Write the transpose of a matrix, and nothing beside it."""
    width = width_of(x)
    for i in range(0, rows, width):
        for j in range(0, columns, width):
            if rows - i >= width and columns - j >= width:
                source, target = at(x, i * x_row + j), at(out, j * out_row + i)
                turn_whole(width, width, source, x_row, target, out_row)
                continue
            for r in range(i, min(i + width, rows)):
                for s in range(j, min(j + width, columns)):
                    out[s * out_row + r] = x[r * x_row + s]


@njit(**_options)
def _multiply(
    m: int, n: int, k: int, a: Any, a_row: int, a_step: int, b: Any, ldb: int, turned: bool,
    c: Any, ldc: int, scratch: Any, side: Any, done: int,
) -> None:  # fmt: skip
    """Compute C of A, with any strides, and B, which is stored transposed if `turned`.

    At the `side`, where that pays, a transposed A is turned, and an A whose rows are a multiple of
    a page apart is copied: a cache would hold few of them.
    """
    width = width_of(a)
    panel = width * (WIDE if m <= THIN else 2)
    far = k * n > FAR
    page = 64 * width  # rows so far apart lie in the same few places of a cache
    alike = ldb % page == 0 and k >= 64
    packs = turned or not MASKS or ((m * k * n >= MUCH or alike) and m >= 32) or m >= 768
    steps, block = DEPTH, width * PACKED
    if turned and m < 96:
        steps, block = 128, max(panel, 4 * width)  # few rows reuse it: pack into the L1 cache
    elif far and not packs:
        steps = 32  # walk along the rows of B
    moves = not turned if a_step > 1 else a_row % page == 0 and k >= 64
    moves = moves and moved(m, n)
    height = height_of_block(k, width)
    for p in range(0, k, steps):
        depth = min(steps, k - p)
        for i in range(0, m, height):
            x, x_row, x_step = at(a, i * a_row + p * a_step), a_row, a_step
            if moves:
                rows, x_row, x_step = min(height, m - i), depth + width, 1
                if a_step == 1:
                    copy(rows, depth, x, a_row, side, x_row)
                else:
                    _turn(depth, rows, x, a_step, side, x_row)
                x = side
            for j in range(0, n, panel):
                y, y_row = at(b, p * ldb + j), ldb
                if packs:
                    y, y_row = at(scratch, j % block * (depth + width)), panel
                if packs and j % block == 0:
                    count = depth if turned else 8  # either way, read along the rows of B
                    for q in range(0, depth, count):
                        for s in range(j, min(n, j + block), panel):
                            columns, rows = min(panel, n - s), min(count, depth - q)
                            target = at(scratch, (s - j) * (depth + width) + q * panel)
                            if turned:
                                _turn(columns, rows, at(b, s * ldb + p), ldb, target, panel)
                            else:
                                source = at(b, (p + q) * ldb + s)
                                copy(rows, columns, source, ldb, target, panel)
                multiply_panel(
                    min(height, m - i), min(panel, n - j), depth, x, x_row, x_step, y, y_row,
                    at(c, i * ldc + j), ldc, done + p,
                )  # fmt: skip


@register_jitable
def product(
    done: int, transpose_a: int, transpose_b: int, m: int, n: int, k: int, a: Any, lda: int,
    b: Any, ldb: int, c: Any, ldc: int, scratch: Any,
) -> None:  # fmt: skip
    """Compute C = op(A) op(B), or add it to C if that is a sum of terms that are `done`."""
    if k <= 0:
        for i in range(m if done <= 0 else 0):
            for j in range(n):
                c[i * ldc + j] = 0
        return
    a_row, a_step = (1, lda) if transpose_a else (lda, 1)
    turned = transpose_b != 0
    # Few columns would leave lanes empty: compute the long rows of C^T = B^T A^T. So it is done,
    # too, where A lies transposed: its rows, in place of its columns, are read in order.
    few = n < SWAPPED[0] and m * n < SWAPPED[1]
    far = transpose_a != 0 and not turned and k >= LONG and few
    swaps = n < m and (2 * n <= width_of(a) or far)
    copies = swaps and (n > 1 or ldc > 1)
    result, result_row, side = c, ldc, at(scratch, packed(k))
    if copies:
        result, result_row, side = side, m, at(side, m * n)
    if swaps:
        a_row, a_step = (ldb, 1) if transpose_b else (1, ldb)
        m, n, a, b, ldb, turned = n, m, b, a, lda, transpose_a == 0
    if copies and done > 0:
        _turn_exactly(n, m, c, ldc, result, result_row)
    _multiply(m, n, k, a, a_row, a_step, b, ldb, turned, result, result_row, scratch, side, done)
    if copies:
        _turn_exactly(m, n, result, result_row, c, ldc)


@register_jitable
def steps_product(
    done: int, again: int, m: int, n: int, steps: int, rows: int, a: Any, lda: int, next_a: int,
    b: Any, ldb: int, next_b: int, c: Any, ldc: int, scratch: Any,
) -> None:  # fmt: skip
    """Compute the sum of A^T B over so many `steps`, or add it to C if terms are `done`.

    A and B have so many `rows` in each step, and begin `next_a` and `next_b` elements later in the
    next one. The last call with this scratch had the same A, steps and rows if it comes `again`.
    """
    if rows >= RUN or rows * steps <= 0:
        for s in range(max(steps, 1)):
            product(
                done + s * rows, 1, 0, m, n, rows if steps > 0 else 0, at(a, s * next_a), lda,
                at(b, s * next_b), ldb, c, ldc, scratch,
            )  # fmt: skip
        return
    _multiply_steps(done, again, m, n, steps, rows, a, lda, next_a, b, ldb, next_b, c, ldc, scratch)


@njit(**_options)
def _multiply_steps(
    done: int, again: int, m: int, n: int, steps: int, rows: int, a: Any, lda: int, next_a: int,
    b: Any, ldb: int, next_b: int, c: Any, ldc: int, scratch: Any,
) -> None:  # fmt: skip
    """Turn the rows of all steps of A, and pack those of B, side by side."""
    width = width_of(a)
    panel, k = 2 * width, steps * rows
    side, x_row, height = at(scratch, panel * k), k + width, height_of_block(k, width)
    for i in range(0, m, height):
        count = min(height, m - i)
        for s in range(0 if again != 0 and m <= height else steps):
            _turn(rows, count, at(a, s * next_a + i), lda, at(side, s * rows), x_row)
        for j in range(0, n, panel):
            columns = min(panel, n - j)
            for s in range(steps):
                source = at(b, s * next_b + j)
                copy(rows, columns, source, ldb, at(scratch, s * rows * panel), panel)
            multiply_panel(
                count, columns, k, side, x_row, 1, scratch, panel, at(c, i * ldc + j), ldc, done
            )


@register_jitable
def windows_product(
    turned: int, m: int, n: int, k: int, a: Any, lda: int, x: Any, rows: int, columns: int,
    run: int, c: Any, ldc: int, times: int, next_a: int, next_x: int, scratch: Any,
) -> None:  # fmt: skip
    """Compute C = A B, or A B^T if `turned`, where B[i, j] is x[rows[i] + columns[j]].

    `rows` and `columns` are addresses of lists; so many columns as a `run` follow each other in x.
    If `turned`, C is the sum of so many `times` such products, of which each begins `next_a` and
    `next_x` elements after the one before.
    """
    if turned != 0:
        _by_turned_windows(
            m, n, k, a, lda, x, rows, columns, c, ldc, times, next_a, next_x, scratch
        )
        return
    width = width_of(a)
    wasted = (n // run) * (-(-run // width) * width) - -(-n // width) * width
    if MASKS and m * wasted <= COPY * n:
        _by_windows(m, n, k, a, lda, x, rows, columns, run, c, ldc)
    else:
        _by_packed_windows(m, n, k, a, lda, x, rows, columns, run, c, ldc, scratch)


@njit(**_options)
def _by_windows(
    m: int, n: int, k: int, a: Any, lda: int, x: Any, rows: int, columns: int, run: int, c: Any,
    ldc: int,
) -> None:  # fmt: skip
    """Read the windows where they lie, run by run."""
    panel = width_of(a) * (WIDE if m <= THIN else 2)
    for j in range(0, n, run):
        begin = at(x, entry(columns, j))
        for s in range(0, run, panel):
            multiply_listed_b(
                m, min(panel, run - s), k, a, lda, 1, at(begin, s), rows, at(c, j + s), ldc, 0
            )


@njit(**_options)
def _by_packed_windows(
    m: int, n: int, k: int, a: Any, lda: int, x: Any, rows: int, columns: int, run: int, c: Any,
    ldc: int, scratch: Any,
) -> None:  # fmt: skip
    """Copy the windows, as many at a time as a tile is wide."""
    panel = width_of(a) * (WIDE if m <= THIN else 2)
    for j in range(0, n, panel):
        count = min(panel, n - j)
        for p in range(0, k, DEPTH):
            depth = min(DEPTH, k - p)
            done = 0
            while done < count and run > 1:
                begin = at(x, entry(columns, j + done))
                piece = min(run - (j + done) % run, count - done)
                for q in range(depth):
                    source = at(begin, entry(rows, p + q))
                    copy(1, piece, source, 0, at(scratch, q * panel + done), 0)
                done += piece
            for q in range(depth if run == 1 else 0):
                begin = at(x, entry(rows, p + q))
                for i in range(count):
                    scratch[q * panel + i] = begin[entry(columns, j + i)]
            multiply_panel(
                m, count, depth, at(a, p), lda, 1, scratch, panel, at(c, j), ldc, p
            )  # fmt: skip


@njit(**_options)
def _by_turned_windows(
    m: int, n: int, k: int, a: Any, lda: int, x: Any, rows: int, columns: int, c: Any, ldc: int,
    times: int, next_a: int, next_x: int, scratch: Any,
) -> None:  # fmt: skip
    """Compute C^T = B A^T, of which A^T is packed, add up the next ones, and turn it back."""
    width = width_of(a)
    panel = 2 * width
    result = at(scratch, packed(k))
    for s in range(0, m, panel):
        count = min(panel, m - s)
        for i in range(times):
            for p in range(0, k, DEPTH):
                depth = min(DEPTH, k - p)
                _turn(count, depth, at(a, i * next_a + s * lda + p), lda, scratch, panel)
                multiply_listed_a(
                    n, count, depth, at(x, i * next_x), rows, columns + 8 * p, scratch, panel,
                    result, panel, i + p,
                )  # fmt: skip
        _turn_exactly(n, count, result, panel, at(c, s * ldc), ldc)


def windows_signature(scalar: Any) -> Any:
    """Give the types of the arguments of a product of windows."""
    size, pointer = types.int64, types.CPointer(scalar)
    left, windows, sums = (pointer, size), (pointer, *[size] * 3), (pointer, *[size] * 4)
    return types.void(*[size] * 4, *left, *windows, *sums, pointer)


def steps_signature(scalar: Any) -> Any:
    """Give the types of the arguments of a sum of products over steps."""
    size, pointer = types.int64, types.CPointer(scalar)
    matrix = pointer, size, size
    return types.void(*[size] * 6, *matrix, *matrix, pointer, size, pointer)


def signature(scalar: Any) -> Any:
    """Give the types of the arguments of a product."""
    size, pointer = types.int64, types.CPointer(scalar)
    return types.void(*[size] * 6, pointer, size, pointer, size, pointer, size, pointer)


@intrinsic
def call_product(
    context: Any, address: Any, transpose_a: Any, transpose_b: Any, m: Any, n: Any, k: Any,
    a: Any, lda: Any, b: Any, ldb: Any, c: Any, ldc: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Compute C[m, n] = op(A) op(B), where op transposes if its flag is not 0, and k terms add up.

    Rows are stored `ld` elements apart. Any size may be 0. C overlaps no other matrix, and
    `scratch`, of `scratch_size(m, n, k)` elements, belongs to this call alone. NaN and infinities
    behave as in plain loops, and nothing outside the matrices is read or written.
    """
    return called(signature(a.dtype), 0)


@intrinsic
def call_add_product(
    context: Any, address: Any, done: Any, transpose_a: Any, transpose_b: Any, m: Any, n: Any,
    k: Any, a: Any, lda: Any, b: Any, ldb: Any, c: Any, ldc: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Add the terms of a product to C, which is a sum of so many that are `done`; 0: is not yet."""
    return called(signature(a.dtype))


@intrinsic
def call_windows_product(
    context: Any, address: Any, turned: Any, m: Any, n: Any, k: Any, a: Any, lda: Any, x: Any,
    rows: Any, columns: Any, run: Any, c: Any, ldc: Any, times: Any, next_a: Any, next_x: Any,
    scratch: Any,
) -> Any:  # fmt: skip
    """Compute C = A B, or A B^T if `turned`, where B[i, j] is x[rows[i] + columns[j]]."""
    return called(windows_signature(a.dtype))


@intrinsic
def call_steps_product(
    context: Any, address: Any, done: Any, again: Any, m: Any, n: Any, steps: Any, rows: Any,
    a: Any, lda: Any, next_a: Any, b: Any, ldb: Any, next_b: Any, c: Any, ldc: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Add the products of the rows of all steps, A^T B, to C, if terms are done, or write them."""
    return called(steps_signature(a.dtype))


def called(expected: Any, *numbers: int) -> Any:
    """Call a function at an address, with some numbers before the arguments that are passed."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = [context.get_value_type(x) for x in expected.args]
        function = builder.inttoptr(args[0], ir.FunctionType(VOID, kinds).as_pointer())
        builder.call(function, [*map(ir.IntType(64), numbers), *args[1:]])
        return context.get_dummy_value()

    return types.void(types.int64, *expected.args[len(numbers) :]), generate
