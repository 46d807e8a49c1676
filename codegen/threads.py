"""Threads: the barrier and the denormal switch of the native library, as LLVM IR.

    symgrad_barrier(int64 *state, threads)         state: BARRIER_WORDS zeros; every thread passes or none
    symgrad_flush_denormals() -> old               tiny results become zero in this thread until
    symgrad_restore_denormals(old)                 the old state is put back

The threads themselves are Python's (`pool.py`, whose Pool is also to be had from here). This module must not know what
they compute.
"""

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numpy.typing import NDArray

from symgrad.codegen.emit import I8, I32, I64, VOID, define, external, number
from symgrad.codegen.pool import Pool as Pool

BARRIER, FLUSH, RESTORE = "symgrad_barrier", "symgrad_flush_denormals", "symgrad_restore_denormals"
BARRIER_WORDS = 16
GENERATION = 8  # the word that waiting threads read, on another cache line than the count that arriving threads write
SPINS = 4000  # polls, some tens of microseconds, before the processor is offered to another thread
MXCSR_FLUSH = 0x8040  # flush to zero, denormals are zero
FPCR_FLUSH = 1 << 24  # flush to zero


def add_barrier(module: ir.Module) -> None:
    """Define `symgrad_barrier`: a count of arrivals, and a generation that the last one to arrive moves on.

    The generation is read before arriving, so it cannot move in between; the acquire and release order everything that
    any thread wrote before the barrier before everything that any thread reads after it.
    """
    function, builder = define(module, BARRIER, VOID, [("state", I64.as_pointer()), ("threads", I64)], internal=False)
    state, threads = function.args
    with builder.if_then(builder.icmp_signed("<=", threads, number(1))):
        builder.ret_void()
    generation = builder.gep(state, [number(GENERATION)])
    before = builder.load_atomic(generation, "acquire", 8)
    arrived = builder.add(builder.atomic_rmw("add", state, number(1), "acq_rel"), number(1))
    with builder.if_then(builder.icmp_signed("==", arrived, threads)):
        builder.store_atomic(number(0), state, "monotonic", 8)
        builder.store_atomic(builder.add(before, number(1)), generation, "release", 8)
        builder.ret_void()
    entry = builder.block
    wait, again, spin, rest, done = (builder.append_basic_block(n) for n in ("wait", "again", "spin", "rest", "done"))
    builder.branch(wait)
    builder.position_at_end(wait)
    polls = builder.phi(I64)
    now = builder.load_atomic(generation, "acquire", 8)
    builder.cbranch(builder.icmp_signed("==", now, before), again, done)
    builder.position_at_end(again)
    following = builder.add(polls, number(1))
    builder.cbranch(builder.icmp_signed("<", polls, number(SPINS)), spin, rest)
    builder.position_at_end(spin)
    emit_pause(builder)
    builder.branch(wait)
    builder.position_at_end(rest)
    windows = "windows" in module.triple
    give_way = external(module, "SwitchToThread" if windows else "sched_yield", ir.FunctionType(I32, []))
    builder.call(give_way, [])
    builder.branch(wait)
    for value, source in ((number(0), entry), (following, spin), (following, rest)):
        polls.add_incoming(value, source)
    builder.position_at_end(done)
    builder.ret_void()


def emit_pause(builder: ir.IRBuilder) -> None:
    """Tell the processor that this is a waiting loop, where it has a word for that."""
    if is_x86(builder.module):
        builder.call(external(builder.module, "llvm.x86.sse2.pause", ir.FunctionType(VOID, [])), [])
    elif is_arm(builder.module):
        hint = external(builder.module, "llvm.aarch64.hint", ir.FunctionType(VOID, [I32]))
        builder.call(hint, [ir.Constant(I32, 1)])


def is_x86(module: ir.Module) -> bool:
    return str(module.triple).startswith(("x86", "i386", "i686"))


def is_arm(module: ir.Module) -> bool:
    return str(module.triple).startswith(("aarch64", "arm64"))


def add_denormals(module: ir.Module) -> None:
    """Define `symgrad_flush_denormals` and `symgrad_restore_denormals`; on other processors they do nothing."""
    _, builder = define(module, FLUSH, I64, [], internal=False)
    old = emit_control_word(builder)
    flush = MXCSR_FLUSH if is_x86(module) else FPCR_FLUSH
    emit_set_control_word(builder, builder.or_(old, number(flush)))
    builder.ret(old)
    function, builder = define(module, RESTORE, VOID, [("old", I64)], internal=False)
    emit_set_control_word(builder, function.args[0])
    builder.ret_void()


def emit_control_word(builder: ir.IRBuilder) -> ir.Value:
    """This thread's floating-point control register."""
    if is_x86(builder.module):
        slot = builder.alloca(I32)
        emit_mxcsr(builder, "st", slot)
        return builder.zext(builder.load(slot), I64)
    if is_arm(builder.module):
        return builder.call(external(builder.module, "llvm.aarch64.get.fpcr", ir.FunctionType(I64, [])), [])
    return number(0)


def emit_set_control_word(builder: ir.IRBuilder, value: ir.Value) -> None:
    """Write this thread's floating-point control register."""
    if is_x86(builder.module):
        slot = builder.alloca(I32)
        builder.store(builder.trunc(value, I32), slot)
        emit_mxcsr(builder, "ld", slot)
    elif is_arm(builder.module):
        builder.call(external(builder.module, "llvm.aarch64.set.fpcr", ir.FunctionType(VOID, [I64])), [value])


def emit_mxcsr(builder: ir.IRBuilder, direction: str, slot: ir.Value) -> None:
    kind = ir.FunctionType(VOID, [I8.as_pointer()])
    intrinsic = external(builder.module, f"llvm.x86.sse.{direction}mxcsr", kind)
    builder.call(intrinsic, [builder.bitcast(slot, I8.as_pointer())])


def barrier_twin(state: NDArray[np.int64], threads: int) -> None:
    """The barrier for generated source that runs unjitted, in one thread."""
    assert threads == 1 and state.size >= BARRIER_WORDS, "unjitted source runs in one thread"


def flush_denormals_twin() -> int:
    """NumPy computes with denormals; nothing to change."""
    return 0


def restore_denormals_twin(old: int) -> None:
    """The counterpart of `flush_denormals_twin`."""
