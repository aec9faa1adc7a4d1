"""What generated code is written in, besides Python: memory, shares of work, products, lines.

Each function has a plain meaning here, so that generated code runs as it stands, slowly, without a
compiler. `chainrule.transforms.compile.compiler` gives Numba the same meanings as machine code.
A piece of memory is a flat array here and a pointer there: both are indexed from 0.
"""

import ctypes
import importlib.abc
import importlib.util
import sys
import time
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from chainrule.transforms.compile import maths

_FAR = 2**40  # elements that a piece of memory could have; its end is known to who planned it


def _memory(address: int, dtype: Any) -> Any:
    kind = np.ctypeslib.as_ctypes_type(dtype) * _FAR
    return np.ctypeslib.as_array(kind.from_address(int(address)))


def float32s(address: int) -> Any:
    """Memory of float32 numbers at an address."""
    return _memory(address, np.float32)


def float64s(address: int) -> Any:
    """Memory of float64 numbers at an address."""
    return _memory(address, np.float64)


def int64s(address: int) -> Any:
    """Memory of int64 numbers at an address."""
    return _memory(address, np.int64)


def int32s(address: int) -> Any:
    """Memory of int32 numbers at an address."""
    return _memory(address, np.int32)


def uint64s(address: int) -> Any:
    """Memory of uint64 numbers at an address."""
    return _memory(address, np.uint64)


def bool_s(address: int) -> Any:
    """Memory of truth values at an address."""
    return _memory(address, np.bool_)


def at(memory: Any, start: int) -> Any:
    """Give the memory from an element on."""
    return memory[start:]


def apart() -> None:
    """Promise the compiler that the pieces of memory that a function takes do not overlap."""


def narrow() -> None:
    """Say that lines are often shorter than a few vectors: their ends are to be vectors too."""


def share(n: int, thread: int, threads: int) -> int:
    """Where the part of a thread begins when n things are shared out; many, in pieces of 16.

    >>> [share(100, thread, 2) for thread in range(3)], share(8, 1, 2)
    ([0, 48, 100], 4)
    """
    if thread >= threads:
        return n
    begin = n * thread // threads
    return begin // 16 * 16 if n >= 32 * threads else begin


def shares(n: int, threads: int) -> set[int]:
    """How many of n things a thread may get, if there are so many threads or fewer.

    >>> sorted(shares(9, 2))
    [4, 5, 9]
    """
    ends = [[share(n, i, some) for i in range(some + 1)] for some in range(1, threads + 1)]
    return {last - first for each in ends for first, last in pairwise(each)}


def meet(meeting: Any, threads: int) -> None:
    """Wait until every thread has come here."""


def flush_to_zero(on: bool) -> None:
    """Take numbers too small for all their digits for 0, or no longer; plain code keeps them.

    A processor takes a hundred times as long for them. The means that an optimizer keeps for a
    weight without a gradient would stay such numbers for ever.
    """


def tick(clocks: Any, i: int, count: int) -> None:
    """Add the time since the last tick to clock i of so many."""
    now = time.perf_counter_ns()
    clocks[i] += now - clocks[count]
    clocks[count] = now


def call_python(address: int) -> None:
    """Call a function of Python that takes nothing, at an address."""
    ctypes.CFUNCTYPE(None)(int(address))()


_kept: list[Any] = []


def keep(program: Any) -> int:
    """Keep a plain program, for `run_steps` to find by a number."""
    _kept.append(program)
    return len(_kept) - 1


def run_steps(code: int, start: int, stop: int, table: int, thread: int, threads: int) -> None:
    """Run steps of another program."""
    _kept[code](start, stop, -1, table, thread, threads)


def address_of(memory: Any) -> int:
    """Give the address of memory."""
    return int(memory.ctypes.data)


def product(address: int, *matrices: Any) -> None:
    """C[m, n] = A B; what is passed is that of `add_product`, but for what is done."""
    add_product(address, 0, *matrices)


def add_product(
    address: int,
    done: int,
    transpose_a: bool,
    transpose_b: bool,
    m: int,
    n: int,
    k: int,
    a: Any,
    lda: int,
    b: Any,
    ldb: int,
    c: Any,
    ldc: int,
    scratch: Any,
) -> None:
    """C[m, n] += A B, where C is a sum of so many terms that are done; C = A B if none are.

    Rows of the matrices are lda, ldb and ldc elements apart. `address` is that of machine code
    which computes products, and is not used here.
    """
    if not m or not n:
        return
    result, k = _matrix(c, m, n, ldc), max(k, 0)
    left = _matrix(a, k, m, lda).T if transpose_a else _matrix(a, m, k, lda)
    right = _matrix(b, n, k, ldb).T if transpose_b else _matrix(b, k, n, ldb)
    result[...] = result + left @ right if done > 0 else left @ right


def steps_product(
    address: int,
    done: int,
    again: bool,
    m: int,
    n: int,
    steps: int,
    rows: int,
    a: Any,
    lda: int,
    next_a: int,
    b: Any,
    ldb: int,
    next_b: int,
    c: Any,
    ldc: int,
    scratch: Any,
) -> None:
    """C[m, n] = the sum of A^T B over some steps, each of so many rows; or C +=, if terms are done.

    In the next step A and B begin `next_a` and `next_b` elements later. It comes `again` if the
    last call with this scratch had the same A, which machine code has turned there.
    """
    if not m or not n:
        return
    steps = max(steps, 0)
    result, size = _matrix(c, m, n, ldc), c.itemsize
    left = np.lib.stride_tricks.as_strided(
        a, (steps, rows, m), (next_a * size, lda * size, size)
    ).reshape(steps * rows, m)
    right = np.lib.stride_tricks.as_strided(
        b, (steps, rows, n), (next_b * size, ldb * size, size)
    ).reshape(steps * rows, n)
    result[...] = result + left.T @ right if done > 0 else left.T @ right


def add_to(x: Any, y: Any, first: int, last: int) -> None:
    """Add elements from first to last of y to those of x."""
    for i in range(first, last):
        x[i] = x[i] + y[i]


def windows_product(
    address: int,
    turned: bool,
    m: int,
    n: int,
    k: int,
    a: Any,
    lda: int,
    x: Any,
    rows: int,
    columns: int,
    run: int,
    c: Any,
    ldc: int,
    times: int,
    next_a: int,
    next_x: int,
    scratch: Any,
) -> None:
    """C[m, n] = A B, or A B^T if turned, where B[i, j] is x[rows[i] + columns[j]].

    `rows` and `columns` are addresses of lists; so many columns as a `run` follow each other in x.
    If turned, C is the sum of so many `times` products, which begin `next_a`, `next_x` apart.
    """
    first, second = (n, k) if turned else (k, n)
    places = int64s(rows)[:first, None] + int64s(columns)[:second]
    result = _matrix(c, m, n, ldc)
    for i in range(times):
        windows = x[i * next_x + places]
        each = _matrix(a[i * next_a :], m, k, lda) @ (windows.T if turned else windows)
        result[...] = each if i == 0 else result + each


def _matrix(x: Any, rows: int, columns: int, step: int) -> Any:
    size = x.itemsize
    shape, strides = (rows, columns), (step * size, size)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def split_matrix(address: int, *matrix: Any) -> None:
    """Make tiles of a matrix for all products with it, which only machine code does."""


def turn(x: Any, out: Any, rows: int, columns: int, first: int, last: int) -> None:
    """Write the transpose of a matrix; of its rows, those from first to last."""
    for i in range(first, last):
        for j in range(columns):
            out[j * rows + i] = x[i * columns + j]


def take_columns(x: Any, out: Any, across: int, columns: int, first: int, last: int) -> None:
    """Copy the first columns of rows from first to last of a matrix that has more of them."""
    for i in range(first, last):
        for j in range(columns):
            out[i * columns + j] = x[i * across + j]


def scratch_size(m: int, n: int, k: int, parts: int = 0) -> int:
    """How many elements of scratch a product needs."""
    return 0


def steps_scratch_size(m: int, n: int, k: int, rows: int, parts: int) -> int:
    """How many elements of scratch a sum of products over steps needs."""
    return 0


def windows_scratch_size(n: int, k: int) -> int:
    """How many elements of scratch a product of windows needs."""
    return 0


def cumsum(x: Any, out: Any, before: int, length: int, after: int) -> None:
    """Sum up along the middle one of three axes."""
    for i in range(before):
        for j in range(after):
            for k in range(length):
                place = (i * length + k) * after + j
                out[place] = x[place]
                if k:
                    out[place] += out[place - after]


def cumsum_reversed(x: Any, out: Any, before: int, length: int, after: int) -> None:
    """Sum up from the end along the middle one of three axes."""
    for i in range(before):
        for j in range(after):
            for k in range(length):
                place = (i * length + length - 1 - k) * after + j
                out[place] = x[place]
                if k:
                    out[place] += out[place + after]


def argsort(x: Any, out: Any, before: int, length: int, after: int) -> None:
    """Give the order of the elements along the middle one of three axes: stable, NaN last."""
    for i in range(before):
        for j in range(after):
            start = i * length * after + j
            for k in range(length):
                value = x[start + k * after]
                place = k
                while place > 0:
                    other = x[start + out[start + (place - 1) * after] * after]
                    if other <= value or value != value:
                        break
                    out[start + place * after] = out[start + (place - 1) * after]
                    place -= 1
                out[start + place * after] = k


WORDS: dict[str, Any] = {
    function.__name__: function
    for function in (
        add_product, add_to, address_of, apart, argsort, at, bool_s, call_python, cumsum,
        cumsum_reversed, float32s, flush_to_zero, float64s, int32s, int64s, meet, narrow, product,
        run_steps, share, split_matrix, steps_product, take_columns, tick, turn, uint64s,
        windows_product,
        maths.absolute, maths.cos, maths.exp, maths.expm1, maths.floor, maths.is_finite, maths.log,
        maths.log1p, maths.maximum, maths.minimum, maths.ndtr, maths.plus, maths.power,
        maths.sigmoid, maths.sign, maths.silu, maths.sin, maths.softplus, maths.sqrt, maths.tanh,
        maths.uniform,
    )
} | {
    "bool_": np.bool_, "float32": np.float32, "float64": np.float64, "inf": float("inf"),
    "int32": np.int32, "int64": np.int64, "nan": float("nan"), "uint8": np.uint8,
    "uint64": np.uint64,
}  # fmt: skip
"""All words, with their plain meaning."""


class _Text(importlib.abc.InspectLoader):
    """Makes a module of text that this package has generated."""

    def __init__(self, source: str, path: str) -> None:
        self.source, self.path = source, path

    def get_source(self, fullname: str) -> str:
        return self.source

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_source(fullname), self.path)


def module_of(source: str, name: str, path: str, words: dict[str, Any]) -> ModuleType:
    """Make a module of generated source, which may use the words."""
    spec = importlib.util.spec_from_loader(name, loader := _Text(source, path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(words)
    sys.modules[name] = module
    loader.exec_module(module)
    return module
