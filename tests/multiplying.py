"""Matrices for the products of compiled programs, and how to call them from Python."""

import ctypes
import itertools
import mmap

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from chainrule.transforms.compile.machine import (
    product_address,
    scratch_size,
    tile_scratch_size,
)
from chainrule.transforms.compile.products import (
    call_add_product,
    call_product,
    call_steps_product,
)

FORMS = list(itertools.product([0, 1], [0, 1]))
"""Whether A and B are stored transposed."""


@intrinsic
def pointer(context, number, like):
    def generate(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(like.dtype)(types.int64, like), generate


@njit
def run(function, done, flags, sizes, a, b, c, strides, scratch):
    x, y, z = pointer(a, scratch), pointer(b, scratch), pointer(c, scratch)
    space = pointer(scratch.ctypes.data, scratch)
    if done < 0:
        call_product(
            function, flags[0], flags[1], sizes[0], sizes[1], sizes[2],
            x, strides[0], y, strides[1], z, strides[2], space,
        )  # fmt: skip
    else:
        call_add_product(
            function, done, flags[0], flags[1], sizes[0], sizes[1], sizes[2],
            x, strides[0], y, strides[1], z, strides[2], space,
        )  # fmt: skip


def scratch_of(dtype, size):
    """Scratch at the start of a cache line, and what lies behind it, all NaN."""
    space = np.full(size + 32, np.nan, dtype)
    start = -space.ctypes.data % 64 // space.itemsize
    return np.split(space[start:], [size])


def multiply(form, a, b, c, done=-1, kind="matrices"):
    """Write op(a) op(b) to c, or add it to what is there of terms that are done."""
    m, n, k = *c.shape, a.shape[0 if form[0] else 1]
    size = scratch_size(m, n, k, parts=int(tuple(form) == (1, 0)))
    scratch, rest = scratch_of(c.dtype, tile_scratch_size(m, n, k) if kind == "tiles" else size)
    strides = tuple(x.strides[0] // x.itemsize for x in (a, b, c))
    run(
        product_address(c.dtype.name, kind), done, form, (m, n, k), a.ctypes.data, b.ctypes.data,
        c.ctypes.data, strides, scratch,
    )  # fmt: skip
    assert np.isnan(rest).all()


def inside(shape, dtype):
    """Give a matrix inside a larger one, all NaN."""
    outer = np.full((shape[0] + 2, shape[1] + 5), np.nan, dtype)
    return outer, outer[1:-1, 2:-3]


def operands(form, m, n, k, dtype, make=inside):
    """Give random matrices whose op(a) is m x k and op(b) is k x n."""
    rng = np.random.default_rng(m + n + k)
    _, a = make((k, m) if form[0] else (m, k), dtype)
    _, b = make((n, k) if form[1] else (k, n), dtype)
    a[:], b[:] = rng.standard_normal(a.shape), rng.standard_normal(b.shape)
    return a, b


def plain(form, a, b):
    return (a.T if form[0] else a), (b.T if form[1] else b)


def between_guards(shape, dtype, last):
    """Give a matrix whose first or last byte touches a page that may not be touched."""
    page, size = mmap.PAGESIZE, int(np.prod(shape)) * np.dtype(dtype).itemsize
    count = -(-size // page)
    pages = mmap.mmap(-1, (count + 2) * page)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    whole = np.frombuffer(pages, np.uint8)
    for guard in (whole.ctypes.data, whole.ctypes.data + (count + 1) * page):
        assert libc.mprotect(guard, page, 0) == 0
    start = (count + 1) * page - size if last else page
    return whole, whole[start : start + size].view(dtype).reshape(shape)


@njit
def run_steps(function, plus, sizes, a, a_steps, b, b_steps, c, ldc, scratch):
    x, y, z = pointer(a, scratch), pointer(b, scratch), pointer(c, scratch)
    call_steps_product(
        function, plus[0], plus[1], sizes[0], sizes[1], sizes[2], sizes[3], x, a_steps[1],
        a_steps[0], y, b_steps[1], b_steps[0], z, ldc, pointer(scratch.ctypes.data, scratch),
    )  # fmt: skip


def multiply_steps(a, b, c, scratch, done=0, again=0, kind="steps"):
    """Write the sum of a[s].T b[s] to c, or add it there."""
    (steps, rows, m), n = a.shape, b.shape[2]
    strides = [tuple(s // c.itemsize for s in x.strides) for x in (a, b, c)]
    run_steps(
        product_address(c.dtype.name, kind), (done, again), (m, n, steps, rows), a.ctypes.data,
        strides[0], b.ctypes.data, strides[1], c.ctypes.data, strides[2][0], scratch,
    )  # fmt: skip
