"""Numba's side of *compile*: generated source becomes machine code.

The words of `language` get their meaning as machine code here; what they compute is told there.
This module imports Numba, and is imported when a program is compiled that was not compiled before.
"""

from pathlib import Path
from typing import Any

import numba
from llvmlite import binding, ir
from numba import cfunc, core, extending, njit, types

from chainrule.errors import ConfigError
from chainrule.transforms.compile import (
    amx,
    language,
    products,
    vector,  # noqa: F401  (it gives exp, log and other words their meaning)
)
from chainrule.transforms.compile.machine import Code
from chainrule.transforms.compile.panels import address_of, at, memory_of

if tuple(int(n) for n in numba.__version__.split(".")[:2]) < (0, 62):
    need = f"compiled steps need numba 0.62 or newer, here is {numba.__version__}"
    raise ConfigError(f'{need}: pip install -U "chainrule[fast]"')

cgutils: Any = core.cgutils
intrinsic: Any = extending.intrinsic
register_jitable: Any = extending.register_jitable
pointer: Any = types.CPointer

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
_KERNEL = _OPTIONS | {"fastmath": {"contract"}, "no_cpython_wrapper": True,
                      "no_cfunc_wrapper": True}  # fmt: skip


_LONGEST = '"prefer-vector-width"="512"'  # llvmlite's own `add` knows no attributes with values


@intrinsic
def _apart(context: Any) -> Any:
    """Mark the pointers that the function takes, and keep it a function of its own.

    LLVM then makes vector instructions without asking at run time whether memory overlaps, and the
    longest ones that there are: on some processors it takes half of that unless it is told.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for argument in builder.function.args[2:]:  # after the result and the exception
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        builder.function.attributes.add("noinline")
        set.add(builder.function.attributes, _LONGEST)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _narrow(context: Any) -> Any:
    """Ask for small code: LLVM then computes the end of a line in one masked vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("optsize")
        return context.get_dummy_value()

    return types.void(), generate


_X86 = binding.get_process_triple().startswith(("x86_64", "i686"))
_FLUSH = 0x8040
"""Bits of the control register of x86 by which such results, and such inputs, are 0."""


@intrinsic
def _flush_to_zero(context: Any, on: Any) -> Any:
    """Set, or clear, the bits for this thread; other processors go on as they are."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _X86:
            word = ir.IntType(32)
            place = cgutils.alloca_once(builder, word)
            access = ir.FunctionType(ir.VoidType(), [place.type])
            load, store = (
                cgutils.get_or_insert_function(builder.module, access, f"llvm.x86.sse.{name}mxcsr")
                for name in ("st", "ld")
            )
            builder.call(load, [place])
            now = builder.load(place)
            cleared = builder.and_(now, ir.Constant(word, ~_FLUSH & 0xFFFFFFFF))
            bits = builder.or_(now, ir.Constant(word, _FLUSH))
            builder.store(builder.select(args[0], bits, cleared), place)
            builder.call(store, [place])
        return context.get_dummy_value()

    return types.void(types.boolean), generate


@intrinsic
def _call_python(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), []).as_pointer()
        builder.call(builder.inttoptr(args[0], kind), [])
        return context.get_dummy_value()

    return types.void(types.int64), generate


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
    "address_of": address_of,
    "apart": _apart,
    "argsort": register_jitable(language.argsort),
    "at": at,
    "bool_s": memory_of(types.uint8),
    "call_python": _call_python,
    "cumsum": register_jitable(language.cumsum),
    "cumsum_reversed": register_jitable(language.cumsum_reversed),
    "float32s": memory_of(types.float32),
    "flush_to_zero": _flush_to_zero,
    "float64s": memory_of(types.float64),
    "int32s": memory_of(types.int32),
    "int64s": memory_of(types.int64),
    "meet": _meet,
    "narrow": _narrow,
    "product": products.call_product,
    "add_product": products.call_add_product,
    "add_to": njit(**_OPTIONS)(language.add_to),
    "take_columns": njit(**_OPTIONS)(language.take_columns),
    "tick": _tick,
    "turn": products.turn,
    "run_steps": _run_steps,
    "share": register_jitable(language.share),
    "split_matrix": amx.call_split_matrix,
    "steps_product": products.call_steps_product,
    "uint64s": memory_of(types.uint64),
    "windows_product": products.call_windows_product,
}


def compiled(source: str, name: str, path: Path) -> Code:
    """Compile a program; `path` is where its source lies."""
    module = language.module_of(source, name, str(path), _WORDS)
    for word, function in list(vars(module).items()):
        if word.startswith("loop_"):
            setattr(module, word, njit(**_KERNEL)(function))
    whole = types.int64
    signature = whole(whole, whole, whole, whole, whole, whole)
    return _code(cfunc(signature, **_OPTIONS)(module.program))


def compiled_product(dtype: str, kind: str) -> Code:
    """Compile the product of matrices, of windows or of steps, of a dtype, float32 or float64."""
    scalar = {"float32": types.float32, "float64": types.float64}[dtype]
    function, signature = {
        "matrices": (products.product, products.signature),
        "windows": (products.windows_product, products.windows_signature),
        "steps": (products.steps_product, products.steps_signature),
        "tiles": (amx.tile_product, products.signature),
        "steps by tiles": (amx.tile_steps_product, products.steps_signature),
        "fixed by tiles": (amx.fixed_tile_product, products.signature),
        "split": (amx.split_matrix, amx.split_signature),
    }[kind]
    return _code(cfunc(signature(scalar), **_OPTIONS)(function))


def _code(function: Any) -> Code:
    """Give the object file of a function, its name in there, and what that needs from outside."""
    library = function._library
    module = library._final_module
    outside = [*module.functions, *module.global_variables]
    needs = [x.name for x in outside if x.is_declaration and not x.name.startswith("llvm.")]
    return Code(library._get_compiled_object(), function.native_name, needs)
