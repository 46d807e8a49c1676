"""Where everything lies that a kernel is called with, for one set of sizes: found once, used in every call."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from symgrad.codegen.host import LINE
from symgrad.codegen.liveness import arranged
from symgrad.codegen.machine import rooms
from symgrad.codegen.names import size_text
from symgrad.codegen.program import Assembled, stored_in
from symgrad.expression.node import Expr


class Frame:
    """The row of sizes and addresses for one set of sizes, and where the buffers go that are new in every call."""

    def __init__(self, assembled: Assembled, constants: Mapping[str, np.ndarray], extents: Mapping[str, int]) -> None:
        slots = assembled.slots
        self.row = [0] * len(slots)
        for name in assembled.sizes:
            self.row[slots[size_text(name)].place] = extents[name]
        for slot, array in constants.items():
            self.row[slots[slot].place] = array.ctypes.data
        buffers = set(assembled.temporaries.values())
        wanted = {stored_in(e, buffers) for e in assembled.schedule.outputs.values()}
        self.results: list[tuple[int, Expr, int, str]] = []  # slot, node, entries, dtype
        inside: dict[str, int] = {}
        for slot, node, count, dtype in rooms(assembled, extents):
            if node in wanted:
                self.results.append((slots[slot].place, node, count, dtype))
            else:
                inside[slot] = count * np.dtype(dtype).itemsize
        offsets, total = arranged(inside, assembled.lives)
        self.offsets = [(slots[slot].place, o) for slot, o in offsets.items()]  # slot, bytes from the scratch's start
        self.scratch = total + LINE
