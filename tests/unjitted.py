"""Runs a kernel's generated source as plain Python: the very text that Numba compiles, every index checked by NumPy."""

import numpy as np

from symgrad.codegen import tiles
from symgrad.codegen.multiply import block_entries
from symgrad.codegen.runtime import namespace


def call(kernel, arrays):
    """What the kernel returns, computed by its source unjitted in one thread."""
    machine = kernel._machine

    def run(values, threads):
        real = machine.assembled.program.real
        own = {
            "work": np.empty(tiles.WORK_BYTES // np.dtype(real).itemsize, real),
            "block": np.full(block_entries(machine.assembled.block) + 1, np.nan, real),
            "meeting": np.zeros(64, np.int64),
        }
        for name, array in values.items():
            if name in machine.assembled.temporaries and array.dtype.kind == "f":
                array.fill(np.nan)  # what is read before it is written shows
        slots = machine.assembled.slots
        table = [None] * len(slots)
        for name, slot in slots.items():
            table[slot.place] = own[name] if name in own else values[name]
        words = namespace(real)
        exec(compile(kernel.source, "<kernel>", "exec"), words)
        with np.errstate(all="ignore"):
            words[machine.assembled.program.name](0, 1, table)

    compiled, machine.run = machine.run, run
    try:
        return kernel(arrays)
    finally:
        machine.run = compiled
