"""Generated source to object code, by Numba: the one module that imports it, and the only one that executes text.

The words of the source are compiled inline; nothing in the result refers to Numba's runtime (no exceptions, no
allocation), so that the object code can be loaded later without importing Numba.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen.elementary import ELEMENTARY
from symgrad.codegen.emit import I64, external
from symgrad.codegen.host import host
from symgrad.codegen.intrinsics import INTRINSICS
from symgrad.codegen.runtime import DTYPES, share

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
    return {**functions, **INTRINSICS, **readers, **words, "size": size, "share": SHARE, "cycles": cycles}


def compile_object(text: str, function: str, real: str) -> tuple[bytes, str]:
    """The object code of a function of generated source, and the symbol under which it stands there."""
    target = host()
    config.CPU_NAME, config.CPU_FEATURES = target.cpu, target.features  # before Numba asks LLVM the first time
    words = namespace(real)
    exec(compile(text, f"<symgrad {function}>", "exec"), words)
    flags = compiler.Flags()
    flags.nrt = False
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    flags.fastmath = cpu.FastMathOptions(FASTMATH)
    flags.enable_looplift = False
    with global_compiler_lock:
        return _emit(words[function], flags)


def _emit(function: Callable[..., Any], flags: Any) -> tuple[bytes, str]:
    library = cpu_target.target_context.codegen().create_library("symgrad")
    library.enable_object_caching()  # keeps the object code of the one time that LLVM generates it
    typing, context = cpu_target.typing_context, cpu_target.target_context
    result = compiler.compile_extra(typing, context, function, SIGNATURE, types.none, flags, {}, library=library)
    return bytes(library._get_compiled_object()), str(result.fndesc.llvm_func_name)
