"""Numba's side of *compile*: generated source becomes machine code, kept on disk.

The words of `language` get their meaning as machine code here; what they compute is told there.
This module imports Numba, and is imported when the first program is compiled.
"""

import atexit
import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding, ir
from numba import cfunc, extending, njit, types
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys

from chainrule.atomic import atomic_write
from chainrule.errors import ConfigError
from chainrule.transforms.compile import language, maths, number, products, vector
from chainrule.transforms.compile.products import at

if tuple(int(n) for n in numba.__version__.split(".")[:2]) < (0, 62):
    need = f"compiled steps need numba 0.62 or newer, here is {numba.__version__}"
    raise ConfigError(f'{need}: pip install -U "chainrule[fast]"')

intrinsic: Any = extending.intrinsic
register_jitable: Any = extending.register_jitable
pointer: Any = types.CPointer

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
_KERNEL = _OPTIONS | {"fastmath": {"contract"}, "no_cpython_wrapper": True,
                      "no_cfunc_wrapper": True}  # fmt: skip

_KEPT = 500
"""Programs kept on disk, of about 200 kB each."""

compilations = 0
"""How many programs this process has compiled; those read from the disk do not count."""


def _memory(dtype: Any) -> Any:
    """Make the function that turns an address into memory of a dtype."""

    @intrinsic
    def memory(context: Any, address: Any) -> Any:
        kind = pointer(dtype)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(kind))

        return kind(types.int64), generate

    return memory


@intrinsic
def _apart(context: Any) -> Any:
    """Mark the pointers that the function takes, and keep it a function of its own.

    LLVM then makes vector instructions without asking at run time whether memory overlaps.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for argument in builder.function.args[2:]:  # after the result and the exception
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _narrow(context: Any) -> Any:
    """Ask for small code: LLVM then computes the end of a line in one masked vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("optsize")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _call_python(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), []).as_pointer()
        builder.call(builder.inttoptr(args[0], kind), [])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def _address_of(context: Any, memory: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(memory), generate


@intrinsic
def _run_steps(
    context: Any, code: Any, start: Any, stop: Any, table: Any, thread: Any, threads: Any
) -> Any:
    """Run steps of another program, of which none is short."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = ir.IntType(64)
        function = builder.inttoptr(args[0], ir.FunctionType(whole, [whole] * 6).as_pointer())
        start, stop, table, thread, threads = args[1:]
        builder.call(function, [start, stop, ir.Constant(whole, -1), table, thread, threads])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@intrinsic
def _add(context: Any, memory: Any, value: Any) -> Any:
    """Add to a whole number in one piece, and give what it was before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", args[0], args[1], "seq_cst")

    return types.int64(pointer(types.int64), types.int64), generate


@intrinsic
def _look(context: Any, memory: Any) -> Any:
    """Read a whole number that another thread may have written."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(args[0], "acquire", 8)

    return types.int64(pointer(types.int64)), generate


@intrinsic
def _cycles(context: Any) -> Any:
    """Read the clock of the processor."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [])
        name = "llvm.readcyclecounter"
        return builder.call(builder.module.declare_intrinsic(name, fnty=kind), [])

    return types.int64(), generate


@register_jitable
def _tick(clocks: Any, i: int, count: int) -> None:
    now: Any = _cycles()
    clocks[i] += now - clocks[count]
    clocks[count] = now


_yield = types.ExternalFunction("sched_yield", types.int32())
_PATIENCE = 4000


@register_jitable
def _meet(meeting: Any, threads: int) -> None:
    """Count the threads that have come; wait for the others, and let them run if it lasts."""
    turn = _look(at(meeting, 8))
    if _add(meeting, 1) == threads - 1:
        _add(meeting, -threads)
        _add(at(meeting, 8), 1)
        return
    tries = 0
    while _look(at(meeting, 8)) == turn:
        tries += 1
        if tries > _PATIENCE:
            _yield()


_WORDS: dict[str, Any] = language.WORDS | {
    "address_of": _address_of,
    "apart": _apart,
    "argsort": register_jitable(language.argsort),
    "at": at,
    "bool_s": _memory(types.uint8),
    "call_python": _call_python,
    "cumsum": register_jitable(language.cumsum),
    "cumsum_reversed": register_jitable(language.cumsum_reversed),
    "float32s": _memory(types.float32),
    "float64s": _memory(types.float64),
    "int32s": _memory(types.int32),
    "int64s": _memory(types.int64),
    "meet": _meet,
    "narrow": _narrow,
    "product": products.call_product,
    "tick": _tick,
    "turn": products.turn,
    "run_steps": _run_steps,
    "share": register_jitable(language.share),
    "uint64s": _memory(types.uint64),
}


def multiply(a: Any, times: int) -> None:
    """Multiply the first two of three square matrices into the third, so many times."""
    n = a.shape[1]
    scratch = np.empty(products.scratch_size(n, n, n) + 16, a.dtype)
    start = -scratch.ctypes.data % 64 // a.itemsize
    whole, place = ctypes.c_int64, ctypes.c_void_p
    kind = ctypes.CFUNCTYPE(
        None, whole, whole, whole, whole, whole, place, whole, place, whole, place, whole, place
    )
    function = kind(products.address(a.dtype.name))
    first, second, third = (x.ctypes.data for x in a)
    for _ in range(times):
        function(0, 0, n, n, n, first, n, second, n, third, n, scratch[start:].ctypes.data)


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
    for module in (language, maths, number, products, vector, sys.modules[__name__]):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(f"{numba.__version__} {llvmlite.__version__} {np.__version__}".encode())
    digest.update(sys.version.encode())
    digest.update(f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features()}".encode())
    return digest.hexdigest()


_VERSIONS = _versions()
_loaded: dict[str, Callable[..., int]] = {}
_SOURCE, _OBJECT, _ENTRY, _SUM = "program.py", "program.o", "entry", "sha256"
_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 6)


def machine_code(source: str) -> Callable[..., int]:
    """Compile a program, or read it from the disk if this or another process has compiled it."""
    key = _key(source)
    if key not in _loaded:
        _loaded[key] = _from_disk(key) or _made(source, key)
    return _loaded[key]


def code_address(source: str) -> int:
    """Give the address of a program that other programs call; it holds in this process."""
    return int(ctypes.cast(machine_code(source), ctypes.c_void_p).value or 0)  # type: ignore[arg-type]


def is_compiled(source: str) -> bool:
    """Whether a program was compiled before, and need only be read."""
    key = _key(source)
    return key in _loaded or (cache_folder() / key / _SUM).exists()


def _key(source: str) -> str:
    bare = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith("#"))
    return hashlib.sha256((_VERSIONS + bare).encode()).hexdigest()[:32]


def _from_disk(key: str) -> Callable[..., int] | None:
    """Read a program whose files are as they were written; others are removed."""
    folder = cache_folder() / key
    if not folder.exists():
        return None
    try:
        if (folder / _SUM).read_text() == _sum(folder):
            return _linked((folder / _OBJECT).read_bytes(), (folder / _ENTRY).read_text())
    except Exception:  # whatever is wrong with the files, they can be made anew
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _made(source: str, key: str) -> Callable[..., int]:
    """Compile a program in a folder of its own, which gets its place when it is complete."""
    global compilations
    whole = cache_folder()
    folder = Path(tempfile.mkdtemp(prefix="new-", dir=whole))
    try:
        with atomic_write(folder / _SOURCE) as file:
            file.write(source.encode())
        code, entry = _compiled(source, key, folder)
        compilations += 1
        program = _linked(code, entry)
        with contextlib.suppress(OSError):  # another process was faster, or the disk is full
            (folder / _OBJECT).write_bytes(code)
            (folder / _ENTRY).write_text(entry)
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


def _compiled(source: str, key: str, folder: Path) -> tuple[bytes, str]:
    """Compile a program; give its machine code as an object file, and the name it is called by."""
    name = f"chainrule_program_{key}"
    module = language.module_of(source, name, str(folder / _SOURCE), _WORDS)
    for word, function in list(vars(module).items()):
        if word.startswith("loop_"):
            setattr(module, word, njit(**_KERNEL)(function))
    whole = types.int64
    signature = whole(whole, whole, whole, whole, whole, whole)
    program: Any = cfunc(signature, **_OPTIONS)(module.program)
    return program._library._get_compiled_object(), program.native_name


def _linked(code: bytes, entry: str) -> Callable[..., int]:
    """Load machine code; what has just been compiled is loaded as what was on the disk.

    Numba's own copy in this process would not do. It compiles each loop once by itself and once
    as a part of the program, and calls the first where it is there, that is, in the process that
    compiled it. LLVM may fuse other products with sums in the second, so that the same program
    would give other bits in the next process.
    """
    # LLVM links no function at all, and says nothing, where it does not know one of them.
    rtsys.initialize(cpu_target.target_context)
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    program: Any = _CALL(engine.get_function_address(entry))
    program.engine = engine  # which owns the code
    return program  # type: ignore[no-any-return]
