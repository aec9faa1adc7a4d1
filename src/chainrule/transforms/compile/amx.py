"""Products of float32 matrices by the matrix unit of x86 (AMX), where a processor has one.

The unit multiplies numbers of half precision, which have 11 bits, and adds up in float32. So a
float32 number x is made a sum of two halves: with a power of two s that brings the largest number
of its row (of A) or column (of B) near to the largest half, upper = half(s x) and lower =
half(s x - upper). Three products of halves, added up, are the product of two numbers up to 2^-21
of it at most, 2^-24 most of the time: a sum of many has a smaller error than one that float32 adds
up term by term. Of numbers far below the largest one of their row or column 2^-39 of that is lost.

Units that know no halves have bfloat16, of 8 bits: three parts, and six products of them (Henry,
Tang and Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
Computations", 2019).

An element of C depends on its row of A and its column of B alone: a caller who splits rows or
columns between threads gets the same bits. A row or a column with an infinity or NaN is multiplied
by `product`.
"""

from typing import Any

import numba
from numba import extending

from chainrule.transforms.compile.amx_words import (
    begin_tiles,
    end_tiles,
    multiply_tiles,
    put_tile,
    split_columns,
    split_rows,
)
from chainrule.transforms.compile.panels import (
    address_of,
    at,
    copy,
    entry,
    intrinsic,
    memory_of,
    turn_whole,
    types,
)
from chainrule.transforms.compile.products import called, product, steps_product
from chainrule.transforms.compile.tiles import LENGTH, RESULT, panels_kept, split_size

njit: Any = numba.njit
register_jitable: Any = extending.register_jitable
_options = {"nogil": True, "error_model": "numpy"}

size_of_panel = register_jitable(split_size)
kept_at_once = register_jitable(panels_kept)
memory_of_numbers, memory_of_integers = memory_of(types.float32), memory_of(types.int64)


@njit(**_options)
def _split(
    count: int, k: int, x: Any, row: int, by_rows: bool, turned: bool, out: Any, factors: Any
) -> int:
    """Split up to 32 rows or columns of k numbers into tiles; give how many are not finite."""
    if by_rows:
        for s in range(0, count, 16):
            split_rows(min(16, count - s), k, at(x, s * row), row, at(out, s * 16), at(factors, s))
    else:
        split_columns(count, k, x, row, out, factors)
    for p in range(0, size_of_panel(k) if turned else 0, 256):  # tile by tile, of two by turns
        if p // 256 % 2 * 16 < count:
            turn_whole(16, 16, at(out, p), 16, at(out, p), 16)
    return int(_count_infinite(count, factors))


@njit(**_options)
def _count_infinite(count: int, factors: Any) -> int:
    """Count the rows or columns whose factor is NaN."""
    infinite = 0
    for i in range(count):
        infinite += factors[i] != factors[i]
    return infinite


@njit(**_options)
def _put(
    done: int, swapped: bool, high: int, wide: int, out: Any, of_left: Any, of_right: Any, c: Any,
    ldc: int,
) -> None:  # fmt: skip
    """Take a panel of up to 32 rows and columns to C; those of C^T if B was on the left."""
    for i in range(0, high, 16):
        for j in range(0, wide, 16):
            tile, rows, columns = at(out, 32 * i + j), min(16, high - i), min(16, wide - j)
            of_rows, of_columns, target = at(of_left, i), at(of_right, j), at(c, i * ldc + j)
            if swapped:
                rows, columns, of_rows, of_columns = columns, rows, of_columns, of_rows
                target = at(c, j * ldc + i)
            put_tile(swapped, rows, columns, tile, of_rows, of_columns, target, ldc, done)


@njit(**_options)
def _multiply_infinite(
    done: int, transpose_a: int, transpose_b: int, m: int, n: int, k: int, a: Any, lda: int,
    b: Any, ldb: int, c: Any, ldc: int, of_rows: Any, of_columns: Any, scratch: Any,
) -> None:  # fmt: skip
    """Multiply the rows and columns whose factor is NaN, each element once."""
    a_row, b_column = (1 if transpose_a else lda), (ldb if transpose_b else 1)
    for i in range(-1, m):
        if i >= 0 and of_rows[i] == of_rows[i]:
            continue
        row, rows = max(i, 0), (1 if i >= 0 else m)  # first the columns, through all rows
        for j in range(n):
            if (of_columns[j] == of_columns[j]) == (i >= 0):
                product(
                    done, transpose_a, transpose_b, rows, 1, k, at(a, row * a_row), lda,
                    at(b, j * b_column), ldb, at(c, row * ldc + j), ldc, scratch,
                )  # fmt: skip


@register_jitable
def tile_product(
    done: int, transpose_a: int, transpose_b: int, m: int, n: int, k: int, a: Any, lda: int,
    b: Any, ldb: int, c: Any, ldc: int, scratch: Any,
) -> None:  # fmt: skip
    """Compute C = op(A) op(B), or add it to C if that is a sum of terms that are `done`."""
    for p in range(0, max(k, 1), LENGTH):
        x, y = at(a, p * (lda if transpose_a else 1)), at(b, p * (1 if transpose_b else ldb))
        length = min(LENGTH, k - p)
        _multiply(done + p, transpose_a, transpose_b, m, n, length, x, lda, y, ldb, c, ldc, scratch)


@njit(**_options)
def _multiply(
    done: int, transpose_a: int, transpose_b: int, m: int, n: int, k: int, a: Any, lda: int,
    b: Any, ldb: int, c: Any, ldc: int, scratch: Any,
) -> None:  # fmt: skip
    """Keep tiles of the smaller matrix, x, and let those of the other one, y, pass."""
    of_a, of_b = (a, lda, transpose_a == 0), (b, ldb, transpose_b != 0)
    keeps_a = m <= n
    (x, x_row, x_by_rows), (y, y_row, y_by_rows) = (of_a, of_b) if keeps_a else (of_b, of_a)
    x_next, y_next = (x_row if x_by_rows else 1), (y_row if y_by_rows else 1)
    c_next = (ldc, 1) if keeps_a else (1, ldc)
    kept, passing = min(m, n), max(m, n)
    # The left matrix is split by rows, the right one by columns; what lies the other way is turned.
    turns = (m if transpose_a else 0) + (n if transpose_b else 0)
    swapped = 2 * turns * k > (m + n) * k + m * n
    left = keeps_a != swapped
    size, height = size_of_panel(k), 32 * kept_at_once(kept, k)
    steps = (k + 31) // 32
    out, of_x, of_y = scratch, at(scratch, RESULT), at(scratch, RESULT + height)
    y_tiles = at(of_y, (passing + 31) // 32 * 32)
    x_tiles = at(y_tiles, size)
    begin_tiles()
    for i in range(0, kept, height):
        high, infinite = min(height, kept - i), 0
        for s in range(0, high, 32):
            infinite += _split(
                min(32, high - s), k, at(x, (i + s) * x_next), x_row, x_by_rows,
                x_by_rows != left, at(x_tiles, s // 32 * size), at(of_x, s),
            )  # fmt: skip
        for j in range(0, passing, 32):
            wide, source, factors = min(32, passing - j), at(y, j * y_next), at(of_y, j)
            infinite += _split(
                wide, k, source, y_row, y_by_rows, y_by_rows == left, y_tiles, factors
            )
            for s in range(0, high, 32):
                some, tiles, of_tiles = min(32, high - s), at(x_tiles, s // 32 * size), at(of_x, s)
                target = at(c, (i + s) * c_next[0] + j * c_next[1])
                if left:
                    multiply_tiles(some, wide, swapped, steps, tiles, y_tiles, out, target, ldc)
                    _put(done, swapped, some, wide, out, of_tiles, factors, target, ldc)
                else:
                    multiply_tiles(wide, some, swapped, steps, y_tiles, tiles, out, target, ldc)
                    _put(done, swapped, wide, some, out, factors, of_tiles, target, ldc)
        if infinite > 0:
            first = at(x, i * x_next)
            rows, columns, of_rows, of_columns = (
                (high, passing, of_x, of_y) if keeps_a else (passing, high, of_y, of_x)
            )
            _multiply_infinite(
                done, transpose_a, transpose_b, rows, columns, k, first if keeps_a else a, lda,
                b if keeps_a else first, ldb, at(c, i * c_next[0]), ldc, of_rows, of_columns,
                y_tiles,
            )  # fmt: skip
    end_tiles()


@register_jitable
def tile_steps_product(
    done: int, again: int, m: int, n: int, steps: int, rows: int, a: Any, lda: int, next_a: int,
    b: Any, ldb: int, next_b: int, c: Any, ldc: int, scratch: Any,
) -> None:  # fmt: skip
    """Compute the sum of A^T B over so many `steps`, as `steps_product` does.

    The tiles of A stay in the scratch for a call with the same A that comes `again`.
    """
    k = steps * rows
    size, panels = size_of_panel(k), (m + 31) // 32
    out, of_a, of_b = scratch, at(scratch, RESULT), at(scratch, RESULT + 32 * panels)
    aside = at(of_b, 32)
    b_tiles = at(aside, 32 * k)
    a_tiles = at(b_tiles, size)
    rest = at(a_tiles, panels * size)
    begin_tiles()
    for i in range(0, 0 if again else m, 32):
        _split_steps(
            min(32, m - i), steps, rows, at(a, i), lda, next_a, True, aside,
            at(a_tiles, i // 32 * size), at(of_a, i),
        )  # fmt: skip
    infinite = _count_infinite(m, of_a)
    for j in range(0, n, 32):
        wide = min(32, n - j)
        more = _split_steps(wide, steps, rows, at(b, j), ldb, next_b, False, aside, b_tiles, of_b)
        for i in range(0, m, 32):
            high, tiles, target = min(32, m - i), at(a_tiles, i // 32 * size), at(c, i * ldc + j)
            multiply_tiles(high, wide, 0, (k + 31) // 32, tiles, b_tiles, out, target, ldc)
            _put(done, 0, high, wide, out, at(of_a, i), of_b, target, ldc)
        for i in range(0, m if infinite + more > 0 else 0):
            for q in range(wide):
                if of_a[i] != of_a[i] or of_b[q] != of_b[q]:
                    steps_product(
                        done, 0, 1, 1, steps, rows, at(a, i), lda, next_a, at(b, j + q), ldb,
                        next_b, at(c, i * ldc + j + q), ldc, rest,
                    )  # fmt: skip
    end_tiles()


@njit(**_options)
def _split_steps(
    count: int, steps: int, rows: int, x: Any, row: int, step: int, turned: bool, aside: Any,
    out: Any, factors: Any,
) -> int:  # fmt: skip
    """Split up to 32 columns of the rows of all steps; give how many are not finite."""
    for s in range(steps):
        copy(rows, count, at(x, s * step), row, at(aside, s * rows * 32), 32)
    return int(_split(count, steps * rows, aside, 32, False, turned, out, factors))


@register_jitable
def split_matrix(
    turned: int, n: int, k: int, thread: int, threads: int, b: Any, ldb: int, tiles: Any
) -> None:
    """Split a matrix B, or B^T if `turned`, for `fixed_tile_product`; a thread does its panels.

    Where B lies comes first, for rows of A that are not finite; then the factors of its columns.
    """
    if thread == 0:
        place = memory_of_integers(address_of(tiles))
        place[0], place[1], place[2] = address_of(b), ldb, turned
    size = size_of_panel(k)
    factors = at(tiles, 16)
    panels = at(factors, (n + 31) // 32 * 32)
    for j in range(32 * thread, n, 32 * threads):
        source = at(b, j * (ldb if turned else 1))
        _split(
            min(32, n - j), k, source, ldb, turned != 0, turned != 0, at(panels, j // 32 * size),
            at(factors, j),
        )  # fmt: skip


@register_jitable
def fixed_tile_product(
    done: int, transpose_a: int, transpose_b: int, m: int, n: int, k: int, a: Any, lda: int,
    b: Any, ldb: int, c: Any, ldc: int, scratch: Any,
) -> None:  # fmt: skip
    """Compute C = A op(B) as `tile_product`, where `split_matrix` has written to `b` before."""
    size = size_of_panel(k)
    factors = at(b, 16)
    panels = at(factors, (n + 31) // 32 * 32)
    out, of_a, a_tiles = scratch, at(scratch, RESULT), at(scratch, RESULT + 32)
    infinite = _count_infinite(n, factors)
    begin_tiles()
    for i in range(0, m, 32):
        high, rows = min(32, m - i), at(a, i if transpose_a else i * lda)
        infinite += _split(high, k, rows, lda, transpose_a == 0, transpose_a != 0, a_tiles, of_a)
        for j in range(0, n, 32):
            wide, target = min(32, n - j), at(c, i * ldc + j)
            tiles, of_b = at(panels, j // 32 * size), at(factors, j)
            multiply_tiles(high, wide, 0, (k + 31) // 32, a_tiles, tiles, out, target, ldc)
            _put(done, 0, high, wide, out, of_a, of_b, target, ldc)
        if infinite > 0:
            place = address_of(b)
            _multiply_infinite(
                done, transpose_a, entry(place, 2), high, n, k, rows, lda,
                memory_of_numbers(entry(place, 0)), entry(place, 1), at(c, i * ldc), ldc, of_a,
                factors, a_tiles,
            )  # fmt: skip
    end_tiles()


def split_signature(scalar: Any) -> Any:
    """Give the types of the arguments of the splitting of a matrix."""
    size, pointer = types.int64, types.CPointer(scalar)
    return types.void(*[size] * 5, pointer, size, pointer)


@intrinsic
def call_split_matrix(
    context: Any, address: Any, turned: Any, n: Any, k: Any, thread: Any, threads: Any, b: Any,
    ldb: Any, tiles: Any,
) -> Any:  # fmt: skip
    """Split a matrix for all products with it."""
    return called(split_signature(b.dtype))
