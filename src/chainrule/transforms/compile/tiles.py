"""How products of matrices go through registers and caches: the sizes of tiles and of scratch.

>>> scratch_size(256, 256, 256) > 0
True
"""

from llvmlite import binding

_features = binding.get_host_cpu_features()

BYTES = 64 if _features.get("avx512f") else 32 if _features.get("avx2") else 16  # of a vector
# Parts of a number for a matrix unit (AMX): two of half precision, or three bfloat16.
PARTS = 2 if _features.get("amx-fp16") else 3
LANES = BYTES // 4  # floats of a vector; of doubles there are half as many
MASKS = BYTES > 16  # of loads and stores; where a CPU has none, LLVM makes branches of them
SIZES = (12, 8, 6, 4, 3, 2, 1) if BYTES == 64 else (6, 4, 3, 2, 1)  # rows of a tile
LISTED = (10, 8, 5, 4, 3, 2, 1) if BYTES == 64 else SIZES  # if a register holds each one's place
# A tile is two vectors wide, one of up to THIN rows WIDE: long runs of B, and sums to overlap.
THIN, WIDE = (2, 8) if BYTES == 64 else (3, 4)
DEPTH, HEIGHT = 512, 960  # steps of k and rows of A between which a panel of B is reused
NEAR = 640 * 1024  # bytes of such a block of A, which the cache close to the core is to hold
FAR = 2**20  # elements of B that no cache close to the core holds
MUCH = 2**22  # multiply-adds that repay packing B
PACKED = 8  # vectors of B's columns that are packed at a time
SWAPPED = (64, 2**17)  # columns, elements below which C may be computed transposed, to be turned
LONG = 128  # terms from which that repays
MOVED = (64, 128, 2**14)  # rows, columns, elements of C from which on A may be moved before
RUN = 96  # rows of a step of a recurrence from which on they are a product of their own
COPY = 18  # multiply-adds of an element that take as long as copying it
KEPT = 2**18  # elements of scratch in which one matrix is kept in the tiles of a matrix unit
LENGTH = 2048  # terms that are added up by it at a time
RESULT = 32 * 32 + 256  # elements of a panel of results, and of a tile behind it


def height_of(k: int, lanes: int) -> int:
    """Give the rows of a block of A, for vectors of so many numbers: those of several tiles."""
    near = NEAR * lanes // BYTES // max(min(k, DEPTH), 1)
    return min(max(near // 48 * 48, 48), HEIGHT)


def packed_size(k: int) -> int:
    """Give the elements of scratch in which a block of B is packed."""
    return PACKED * LANES * (min(k, DEPTH) + LANES)


def is_moved(m: int, n: int) -> bool:
    """Whether A may be turned or copied before."""
    return m >= MOVED[0] and n >= MOVED[1] and m * n >= MOVED[2]


def turned_size(m: int, k: int) -> int:
    """Give the elements that a block of A takes, for any k up to this one."""
    rows, depth = min(m, HEIGHT), min(k, DEPTH)
    return min(rows * depth, max(NEAR // 4, 48 * depth)) + LANES * (rows + depth + LANES)


def scratch_size(m: int, n: int, k: int, parts: int = 0) -> int:
    """Give the elements of scratch that a product needs; they start at a multiple of 64 bytes.

    If A alone is transposed, `parts` says into how many parts the rows may be divided.
    """
    few = n < min(m, SWAPPED[0]) and m // max(parts, 1) * n < SWAPPED[1]
    swaps = parts > 0 and k >= LONG and few
    result = m * n if 2 * n <= LANES else min(m * n, SWAPPED[1]) if swaps else 0
    return packed_size(k) + result + (turned_size(m, k) if is_moved(m, n) else 0)


def split_size(k: int) -> int:
    """Give the elements that 32 rows, or columns, of k numbers take when they are split."""
    return -(-k // 32) * 512 * PARTS


def panels_kept(rows: int, k: int) -> int:
    """Give how many times 32 of so many rows are kept in tiles at a time."""
    return min(max(KEPT // max(split_size(k), 1), 1), max(-(-rows // 32), 1))


def tile_scratch_size(m: int, n: int, k: int) -> int:
    """Give the elements of scratch of a product by tiles, of up to so many rows and columns."""
    k, most = min(k, LENGTH), max(m, n)
    kept = panels_kept(min(m, n), k)
    tiles = (1 + kept) * split_size(k)
    return RESULT + 32 * kept + -(-most // 32) * 32 + max(tiles, scratch_size(most, 1, k, parts=1))


def tile_steps_scratch_size(m: int, k: int, rows: int, parts: int) -> int:
    """Give the elements of scratch for sums over steps by tiles."""
    tiles = (1 + -(-m // 32)) * split_size(k) + 32 * k
    return RESULT + 32 + -(-m // 32) * 32 + tiles + steps_scratch_size(1, 1, k, rows, parts)


def fixed_tiles_size(n: int, k: int) -> int:
    """Give the elements that the tiles of a matrix of n columns take, and what is told of it."""
    panels = -(-n // 32)
    return 16 + panels * (32 + split_size(k))


def fixed_tile_scratch_size(m: int, k: int) -> int:
    """Give the elements of scratch of a product with a matrix whose tiles are there."""
    return RESULT + 32 + max(split_size(k), scratch_size(m, 1, k, parts=1))


def pays_by_tiles(m: int, n: int, k: int, *, fixed: bool = False) -> bool:
    """Whether a product that two threads share is faster by tiles, which numbers are split for.

    Both ways in cycles, fitted to what 450 products of 32 to 784 took: of multiply-adds, and of
    tiles, numbers that are split, and numbers that are written. Those of B may be there already.
    More than 256 rows count as 256: blocks of so many for each thread are computed alike.

    >>> pays_by_tiles(128, 256, 784), pays_by_tiles(32, 512, 128), pays_by_tiles(32, 64, 64)
    (True, False, False)
    >>> pays_by_tiles(32, 512, 128, fixed=True)
    True
    """
    rows = min(m, 256) / 2
    tiles, split = -(-rows // 16) * -(-n // 16) * -(-k // 32), rows if fixed else rows + n
    by_tiles = 150 * tiles + 0.4 * split * k + 0.25 * rows * n + 500
    return by_tiles < rows * n * k / 28


def steps_scratch_size(m: int, n: int, k: int, rows: int, parts: int) -> int:
    """Give the elements of scratch for sums over steps: of up to k rows, or so many of one step."""
    return max(2 * LANES * k + turned_size(m, k), scratch_size(m, n, rows, parts))


def windows_scratch_size(n: int, k: int) -> int:
    """Give the elements of scratch that a product of windows needs."""
    return packed_size(k) + 2 * LANES * n
