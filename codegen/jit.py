"""Generated source to object code, by Numba: the one module that imports it, and the only one that executes text.

The words of the source are compiled inline; nothing in the result refers to Numba's runtime (no exceptions, no
allocation), so that the object code can be loaded later without importing Numba.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen import elimination
from symgrad.codegen.elementary import ELEMENTARY
from symgrad.codegen.emit import I64, external
from symgrad.codegen.host import host
from symgrad.codegen.intrinsics import INTRINSICS
from symgrad.codegen.loops import Block, Program
from symgrad.codegen.runtime import DTYPES, share, uniform
from symgrad.codegen.source import block_source, entry_source

# By name, because Numba's own annotations differ from release to release.
numba: Any = importlib.import_module("numba")
compiler: Any = importlib.import_module("numba.core.compiler")
config: Any = importlib.import_module("numba.core.config")
cpu: Any = importlib.import_module("numba.core.cpu")
types: Any = importlib.import_module("numba.core.types")
cpu_target: Any = importlib.import_module("numba.core.registry").cpu_target
global_compiler_lock: Any = importlib.import_module("numba.core.compiler_lock").global_compiler_lock
intrinsic: Any = importlib.import_module("numba.extending").intrinsic

# No nnan, no ninf: a NaN must stay visible.
FASTMATH = {"contract", "reassoc", "arcp", "nsz"}
TABLE = types.CPointer(types.int64)
SHARE = numba.njit(share, error_model="numpy", _nrt=False)  # compiled once a process
ELIMINATION = {
    name: numba.njit(f, error_model="numpy", fastmath=FASTMATH, _nrt=False) for name, f in elimination.FUNCTIONS.items()
}
UNIFORM = numba.njit(uniform, error_model="numpy", _nrt=False)
SIGNATURE = (types.int64, types.int64, TABLE)


def _reader(dtype: str) -> Callable[..., Any]:
    """An intrinsic that sees the address at a place of the table as entries of a dtype.

    A bare pointer, not an array: an array's index may be negative and would wrap around, and the test for that keeps
    every loop from being vectorised.
    """
    kind = types.CPointer(numba.from_dtype(np.dtype("uint8" if dtype == "bool_" else dtype)))

    @intrinsic
    def read(typing_context, table, place):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            address = builder.load(builder.gep(arguments[0], [arguments[1]]))
            return builder.inttoptr(address, context.get_value_type(kind))

        return kind(TABLE, types.int64), generate

    reader: Callable[..., Any] = read
    return reader


@intrinsic
def size(typing_context, table, place):  # type: ignore[no-untyped-def]
    """A size out of the table."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.load(builder.gep(arguments[0], [arguments[1]]))

    return types.int64(TABLE, types.int64), generate


@intrinsic
def cycles(typing_context):  # type: ignore[no-untyped-def]
    """The processor's cycle counter."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.call(external(builder.module, "llvm.readcyclecounter", ir.FunctionType(I64, [])), [])

    return types.int64(), generate


def namespace(real: str) -> dict[str, Any]:
    """The globals of generated source when Numba compiles it."""
    words = {
        "real": np.dtype(real).type,
        "int64": np.int64,
        "float64": np.float64,
        "inf": float("inf"),
        "nan": float("nan"),
    }
    readers = {f"{dtype}_array": _reader(dtype) for dtype in DTYPES}
    functions = {name: row.compiled for name, row in ELEMENTARY.items()}
    own = {"size": size, "share": SHARE, "uniform": UNIFORM, "cycles": cycles}
    return {**functions, **ELIMINATION, **INTRINSICS, **readers, **words, **own}


def compile_program(program: Program) -> tuple[list[bytes], str]:
    """The object code of every block and of the entry, and the symbol of the entry."""
    target = host()
    config.CPU_NAME, config.CPU_FEATURES = target.cpu, target.features  # before Numba asks LLVM the first time
    words = namespace(program.real)
    objects = []
    for block in program.blocks:
        kinds = tuple(_kind(kind) for _, kind in block.parameters)
        code, described = _compiled(block_source(block), block.name, kinds, words)
        objects.append(code)
        words[block.name] = _caller(block, described, kinds)
    code, described = _compiled(entry_source(program), program.name, SIGNATURE, words)
    return [*objects, code], str(described.llvm_func_name)


def _kind(kind: str) -> Any:
    return types.int64 if kind == "size" else types.CPointer(numba.from_dtype(np.dtype(_stored(kind))))


def _stored(kind: str) -> str:
    return "uint8" if kind == "bool_" else kind


def _caller(block: Block, described: Any, kinds: tuple[Any, ...]) -> Any:
    """A call of a compiled block by its symbol: its code is not compiled again into the caller's."""
    signature = types.void(*kinds)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        context.call_internal_no_propagate(builder, described, signature, arguments)
        return context.get_dummy_value()

    words: dict[str, Any] = {"result": (signature, generate)}
    names = ", ".join(name for name, _ in block.parameters)  # an intrinsic's own signature tells Numba the arguments
    exec(f"def {block.name}(typing_context, {names}):\n    return result", words)
    return intrinsic(words[block.name])


def _compiled(text: str, function: str, signature: tuple[Any, ...], words: dict[str, Any]) -> tuple[bytes, Any]:
    """The object code of one function of generated source, and Numba's description of the symbol that stands there."""
    globals_ = dict(words)
    exec(compile(text, f"<symgrad {function}>", "exec"), globals_)
    made = globals_[function]
    made.__name__ = made.__qualname__ = f"{function}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    flags = compiler.Flags()
    flags.nrt = False
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    flags.fastmath = cpu.FastMathOptions(FASTMATH)
    flags.enable_looplift = False
    with global_compiler_lock:
        library = cpu_target.target_context.codegen().create_library("symgrad")
        library.enable_object_caching()  # keeps the object code of the one time that LLVM generates it
        typing, context = cpu_target.typing_context, cpu_target.target_context
        result = compiler.compile_extra(typing, context, made, signature, types.none, flags, {}, library=library)
        return bytes(library._get_compiled_object()), result.fndesc
