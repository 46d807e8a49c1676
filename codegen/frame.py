"""Where everything lies that a kernel is called with, for one set of sizes: found once, used in every call."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from symgrad.codegen.host import LINE
from symgrad.codegen.machine import rooms
from symgrad.codegen.names import size_text
from symgrad.codegen.program import Assembled
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
        wanted = {_stored(e, set(assembled.temporaries.values())) for e in assembled.schedule.outputs.values()}
        self.results: list[tuple[int, Expr, int, str]] = []  # slot, node, entries, dtype
        self.offsets: list[tuple[int, int]] = []  # slot, bytes from the start of the scratch
        self.scratch = LINE
        for slot, node, count, dtype in rooms(assembled, extents):
            if node in wanted:
                self.results.append((slots[slot].place, node, count, dtype))
            else:
                self.offsets.append((slots[slot].place, self.scratch - LINE))
                self.scratch += -(-count * np.dtype(dtype).itemsize // LINE) * LINE


def _stored(node: Expr, buffers: Collection[Expr]) -> Expr:
    """The buffer that an output is, or is a view of; a leaf or a number where it is neither."""
    while node not in buffers and node.args:
        node = node.args[0]
    return node
