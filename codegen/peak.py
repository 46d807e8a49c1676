"""What the processor can do at best: multiply-adds between registers and nothing else, as LLVM IR.

    symgrad_peak_f32(values, rounds)

and _f64, and _bf16 for pairs. CHAINS sums go on in vector registers, `rounds` times one multiply-add each, and are
stored in `values`, which holds CHAINS vectors. Products are judged beside it.
"""

from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen.emit import I64, SUFFIX, VOID, define, element, end_loop, number
from symgrad.codegen.factors import Single

CHAINS = 12  # enough for two units of latency 4 or 5, and with two factors no more than 16 registers


def symbol(dtype: str) -> str:
    """The exported name for "float32", "float64" or "bfloat16" factors."""
    return f"symgrad_peak_{SUFFIX[dtype]}"


def operations(factors: Single, rounds: int) -> int:
    """Floating-point operations of a call: a multiply-add is two."""
    return 2 * CHAINS * factors.each * factors.vector.lanes * rounds


def add_peak(module: ir.Module, factors: Single, name: str) -> None:
    """Define the function for one kind of factors."""
    vector = factors.vector
    parameters = [("values", vector.scalar.as_pointer()), ("rounds", I64)]
    function, builder = define(module, name, VOID, parameters, internal=False)
    values, rounds = function.args
    cells = [element(builder, values, (number(i), number(vector.lanes))) for i in range(CHAINS)]
    start = [vector.load(builder, cell) for cell in cells]
    before, body, done = builder.block, *(builder.append_basic_block(name) for name in ("round", "done"))
    builder.branch(body)
    builder.position_at_end(body)
    count = builder.phi(I64, "count")
    sums = [builder.phi(vector.type) for _ in cells]
    updated = [factors.multiply_add(builder, start[0], start[1], total) for total in sums]
    end_loop(builder, count, rounds, list(zip(sums, start, updated, strict=True)), before, body, done)
    for cell, total in zip(cells, updated, strict=True):
        vector.store(builder, total, cell)
    builder.ret_void()
