"""The native library as Numba sees it: intrinsics that call its symbols, for kernels that Numba compiles.

The library must be in memory (`native.load`) when code with such a call is linked. The calls use no Numba runtime: no
exceptions, no reference counts. The twins that unjitted source calls instead are `native.TWINS`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from symgrad.codegen.emit import FLOATS, I8, I64, VOID, external, loop, number, prefetch
from symgrad.codegen.host import LINE
from symgrad.codegen.threads import BARRIER, FLUSH, RESTORE
from symgrad.codegen.tiles import symbol


def flat(kind: Any) -> bool:
    """Whether a Numba type is a one-dimensional contiguous array, or a bare pointer to one as kernels have them."""
    return isinstance(kind, types.CPointer) or (isinstance(kind, types.Array) and kind.ndim == 1 and kind.layout == "C")


def data_pointer(context: Any, builder: ir.IRBuilder, kind: Any, value: ir.Value) -> ir.Value:
    """The address of an array's first element."""
    return value if isinstance(kind, types.CPointer) else context.make_array(kind)(context, builder, value).data


def product(symbol_of: Mapping[str, str]) -> Callable[..., Any]:
    """The intrinsic of a product in the native library, by the dtype of its matrices; see `tiles`."""

    @intrinsic
    def matmul(  # type: ignore[no-untyped-def]
        typing_context,
        a, a_start, a_row, a_col, b, b_start, b_row, b_col, c, c_start, c_row, rows, columns, depth, runs, a_run, b_run,
        add, work,
    ):  # fmt: skip
        """C[rows, columns] = A[rows, depth] @ B[depth, columns] within flat arrays."""
        if not (flat(a) and flat(b) and flat(c) and flat(work) and a.dtype == b.dtype == c.dtype):
            return None
        if str(a.dtype) not in symbol_of:
            return None
        name, scalar = symbol_of[str(a.dtype)], FLOATS[str(a.dtype)]
        integer = types.int64
        signature = types.void(
            a, integer, integer, integer, b, integer, integer, integer, c, integer, integer, integer, integer, integer,
            integer, integer, integer, integer, work,
        )  # fmt: skip

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            pointer = scalar.as_pointer()

            def place(position: int) -> ir.Value:
                data = data_pointer(context, builder, signature.args[position], arguments[position])
                return builder.gep(builder.bitcast(data, pointer), [arguments[position + 1]])

            a_row, a_col, b_row, b_col = (arguments[i] for i in (2, 3, 6, 7))
            scratch = builder.bitcast(data_pointer(context, builder, signature.args[18], arguments[18]), pointer)
            values = [place(0), a_row, a_col, place(4), b_row, b_col, place(8), *arguments[10:18], scratch]
            function = external(builder.module, name, ir.FunctionType(VOID, [value.type for value in values]))
            builder.call(function, values)
            return context.get_dummy_value()

        return signature, generate

    called: Callable[..., Any] = matmul
    return called


@intrinsic
def barrier(typing_context, state, threads):  # type: ignore[no-untyped-def]
    """Wait until `threads` threads have called it with the same flat int64 array of BARRIER_WORDS."""
    if not (flat(state) and state.dtype == types.int64):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        function = external(builder.module, BARRIER, ir.FunctionType(VOID, [I64.as_pointer(), I64]))
        builder.call(function, [data_pointer(context, builder, signature.args[0], arguments[0]), arguments[1]])
        return context.get_dummy_value()

    return types.void(state, types.int64), generate


@intrinsic
def flush_denormals(typing_context):  # type: ignore[no-untyped-def]
    """Tiny results become zero in this thread; gives the state to restore."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.call(external(builder.module, FLUSH, ir.FunctionType(I64, [])), [])

    return types.int64(), generate


@intrinsic
def restore_denormals(typing_context, old):  # type: ignore[no-untyped-def]
    """Undo `flush_denormals`, given what it returned."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        builder.call(external(builder.module, RESTORE, ir.FunctionType(VOID, [I64])), [arguments[0]])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def fetch(typing_context, values, start, count):  # type: ignore[no-untyped-def]
    """Ask for some entries of a flat array, which are needed soon, to be brought into the core's cache."""
    if not flat(values):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        kind = context.get_value_type(signature.args[0].dtype)
        item = number(context.get_abi_sizeof(kind))
        data = builder.gep(data_pointer(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        first = builder.bitcast(data, I8.as_pointer())
        with loop(builder, number(0), builder.mul(arguments[2], item), number(LINE)) as place:
            prefetch(builder, builder.gep(first, [place]))
        return context.get_dummy_value()

    return types.void(values, types.int64, types.int64), generate


INTRINSICS: dict[str, Callable[..., Any]] = {
    "matmul": product({dtype: symbol(dtype) for dtype in FLOATS}),
    "matmul_bfloat16": product({"float32": symbol("bfloat16")}),
    "barrier": barrier,
    "flush_denormals": flush_denormals,
    "restore_denormals": restore_denormals,
    "fetch": fetch,
}
