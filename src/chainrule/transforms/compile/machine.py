"""Machine code: programs and products, kept on disk and loaded by LLVM.

What was compiled before is loaded without Numba, which takes longer to import than all the rest.
This module is imported when the first program is bound.

>>> product_address("float32") != 0
True
"""

import atexit
import contextlib
import ctypes
import functools
import hashlib
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import numpy as np
from llvmlite import binding

from chainrule.atomic import atomic_write
from chainrule.transforms.compile.tiles import BYTES
from chainrule.transforms.compile.tiles import fixed_tile_scratch_size as fixed_tile_scratch_size
from chainrule.transforms.compile.tiles import fixed_tiles_size as fixed_tiles_size
from chainrule.transforms.compile.tiles import pays_by_tiles as pays_by_tiles
from chainrule.transforms.compile.tiles import scratch_size as scratch_size
from chainrule.transforms.compile.tiles import steps_scratch_size as steps_scratch_size
from chainrule.transforms.compile.tiles import tile_scratch_size as tile_scratch_size
from chainrule.transforms.compile.tiles import tile_steps_scratch_size as tile_steps_scratch_size
from chainrule.transforms.compile.tiles import windows_scratch_size as windows_scratch_size

COMPILER = "chainrule.transforms.compile.compiler"

_KEPT = 500
"""Programs kept on disk, of about 200 kB each."""

_FAILING = {"NRT_Free", "numba_do_raise", "numba_gil_ensure", "numba_gil_release",
            "numba_runtime_build_excinfo_struct", "numba_unpickle"}  # fmt: skip
"""Functions of Numba that a program calls when it raises an exception, which no program does."""

compilations = 0
"""How many programs this process has compiled; those read from the disk do not count."""


class Code(NamedTuple):
    """An object file, the name of its function, and the names that it needs from outside."""

    binary: bytes
    entry: str
    needs: list[str]


class Loaded(NamedTuple):
    """A function in memory, and the engine that owns its code."""

    address: int
    engine: Any


def multiply(a: Any, times: int) -> None:
    """Multiply the first two of three square float32 matrices into the third, so many times."""
    n, by_tiles = a.shape[1], has_tiles()
    size = tile_scratch_size(n, n, n) if by_tiles else scratch_size(n, n, n)
    scratch = np.empty(size + 16, a.dtype)
    start = -scratch.ctypes.data % 64 // a.itemsize
    whole, place = ctypes.c_int64, ctypes.c_void_p
    kind = ctypes.CFUNCTYPE(
        None, *[whole] * 6, place, whole, place, whole, place, whole, place
    )  # fmt: skip
    function = kind(product_address(a.dtype.name, "tiles" if by_tiles else "matrices"))
    first, second, third = (x.ctypes.data for x in a)
    for _ in range(times):
        function(0, 0, 0, n, n, n, first, n, second, n, third, n, scratch[start:].ctypes.data)


def cache_folder() -> Path:
    """Give the folder of compiled programs: CHAINRULE_CACHE, or one below the user's cache.

    Where that cannot be written, it is a folder that goes with the process.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("CHAINRULE_CACHE") or Path(base) / "chainrule")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return _passing_folder()
    return folder if os.access(folder, os.W_OK | os.X_OK) else _passing_folder()


@functools.cache
def _passing_folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="chainrule-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _tidy(folder: Path) -> None:
    """Remove the programs that were compiled longest ago, where there are very many."""
    made = {}
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process has just moved or removed it
            made[path] = path.stat().st_mtime
    for old in sorted(made, key=made.__getitem__)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _versions() -> str:
    """Say on what machine code depends, besides the source of the program."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    digest.update(f"{version('numba')} {llvmlite.__version__} {np.__version__}".encode())
    digest.update(sys.version.encode())
    digest.update(f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features()}".encode())
    return digest.hexdigest()


_VERSIONS = _versions()
_loaded: dict[str, Loaded] = {}
_SOURCE, _OBJECT, _ENTRY, _SUM = "program.py", "program.o", "entry.json", "sha256"
_ASK_FOR_TILES = 158, 0x1023, 18
"""Numbers of the system call `arch_prctl`, of its ARCH_REQ_XCOMP_PERM, and of the tiles' data."""

_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 6)
"""Whole numbers are passed as if they were addresses, which takes Python half as long."""


def machine_code(source: str) -> Callable[..., int]:
    """Compile a program, or read it from the disk if this or another process has compiled it."""
    return _CALL(code_address(source))


def code_address(source: str) -> int:
    """Give the address of a program that other programs call; it holds in this process."""
    name = f"chainrule_program_{_key(source)}"
    return _address(source, lambda path: _compiler().compiled(source, name, path))


def product_address(dtype: str, kind: str = "matrices") -> int:
    """Give the address of the product of float32 or float64 matrices; it holds in this process."""
    source = f"# a product, by products.py\n{kind} {dtype}\n"
    return _address(source, lambda path: _compiler().compiled_product(dtype, kind))


@functools.cache
def has_tiles() -> bool:
    """Whether there is a matrix unit, AMX, and Linux lets this process use it."""
    features = binding.get_host_cpu_features()
    if not all(features.get(name) for name in ("amx-tile", "amx-bf16", "avx512f")):
        return False
    if sys.platform != "linux" or BYTES < 64:
        return False
    return int(ctypes.CDLL(None).syscall(*_ASK_FOR_TILES)) == 0


def is_compiled(source: str) -> bool:
    """Whether a program was compiled before, and need only be read."""
    key = _key(source)
    return key in _loaded or (cache_folder() / key / _SUM).exists()


def _compiler() -> Any:
    """Import Numba, which takes a while."""
    return importlib.import_module(COMPILER)


def _address(source: str, compiled: Callable[[Path], Code]) -> int:
    key = _key(source)
    if key not in _loaded:
        _loaded[key] = _from_disk(key) or _made(source, key, compiled)
    return _loaded[key].address


@functools.lru_cache(maxsize=256)
def _key(source: str) -> str:
    bare = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith("#"))
    return hashlib.sha256((_VERSIONS + bare).encode()).hexdigest()[:32]


def _from_disk(key: str) -> Loaded | None:
    """Read a program whose files are as they were written; others are removed."""
    folder = cache_folder() / key
    if not folder.exists():
        return None
    try:
        if (folder / _SUM).read_text() == _sum(folder):
            entry, needs = json.loads((folder / _ENTRY).read_text())
            return _linked(Code((folder / _OBJECT).read_bytes(), entry, needs))
    except Exception:  # whatever is wrong with the files, they can be made anew
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _made(source: str, key: str, compiled: Callable[[Path], Code]) -> Loaded:
    """Compile a program in a folder of its own, which gets its place when it is complete."""
    global compilations
    whole = cache_folder()
    folder = Path(tempfile.mkdtemp(prefix="new-", dir=whole))
    try:
        with atomic_write(folder / _SOURCE) as file:
            file.write(source.encode())
        code = compiled(folder / _SOURCE)
        compilations += 1
        program = _linked(code)
        with contextlib.suppress(OSError):  # another process was faster, or the disk is full
            (folder / _OBJECT).write_bytes(code.binary)
            (folder / _ENTRY).write_text(json.dumps([code.entry, code.needs]))
            (folder / _SUM).write_text(_sum(folder))
            os.rename(folder, whole / key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _tidy(whole)
    return program


def _sum(folder: Path) -> str:
    """Give a digest of the files of a program."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _SUM:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _linked(code: Code) -> Loaded:
    """Load machine code; what has just been compiled is loaded as what was on the disk.

    Numba's own copy in this process would not do. It compiles each loop once by itself and once
    as a part of the program, and calls the first where it is there, that is, in the process that
    compiled it. LLVM may fuse other products with sums in the second, so that the same program
    would give other bits in the next process.
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    for name in code.needs:  # of those of the process, the engine knows
        if binding.address_of_symbol(name) is None:
            _provide(name)
    engine.add_object_file(binding.ObjectFileRef.from_data(code.binary))
    engine.finalize_object()
    return Loaded(engine.get_function_address(code.entry), engine)


def _provide(name: str) -> None:
    """Let LLVM know a function that code may call; Numba brings its own ones with it."""
    if name in _FAILING:
        binding.add_symbol(name, ctypes.cast(_failed, ctypes.c_void_p).value)
        return
    _compiler()
    if binding.address_of_symbol(name) is None:
        raise RuntimeError(f"a compiled program needs {name}, which is not there")


@ctypes.CFUNCTYPE(None)
def _failed() -> None:
    """End the process: a program raised an exception, which its source cannot do."""
    os.write(2, b"chainrule: a compiled program failed; please report this\n")
    os.abort()
