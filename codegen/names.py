"""Names, sizes and positions as text of generated source: identifiers are made here, from what people called things.

A size keeps its own name where that is safe; everything else gets a name that is used once. Knows sizes, no expression.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from symgrad.codegen import elimination, scalar_text
from symgrad.expression.sizes import Shape, Size

Index = tuple[str, ...]
# Words with a meaning in generated source.
RESERVED = {
    *"""
    thread threads table size real matmul matmul_bfloat16 barrier meeting work block share rows range int64 min max abs
    power nan inf steps False True float32 float64 uint8 print len float int bool sum np training
    kernel first step noise_key uniform spent clock cycles first_step last_step batch_size total_rows
    fetch flush_denormals restore_denormals over_root
    """.split(),
    *scalar_text.TEXT,
    *elimination.FUNCTIONS,
}


class Names:
    """Identifiers for generated code, each used once, from what people called things where that is safe."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def fresh(self, wish: str) -> str:
        """A new identifier close to the wish; never a word with a meaning of its own."""
        safe = (
            re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", wish, re.ASCII)
            and not keyword.iskeyword(wish)
            and wish not in RESERVED
        )
        base = (
            wish
            if safe and not wish.startswith("kept_") and not wish.endswith("_array")
            else re.sub(r"[^A-Za-z0-9]", "_", f"v_{wish}", flags=re.ASCII)
        )
        name, number = base, 2
        while name in self.used or name in RESERVED or name.endswith("_array") or name.startswith("kept_"):
            name, number = f"{base}_{number}", number + 1
        self.used.add(name)
        return name


def size_name(name: str) -> str:
    """What a size is called in generated code: its own name, unless that means something there or is not ASCII."""
    taken = name in RESERVED or keyword.iskeyword(name)
    taken = taken or name.startswith(("_", "kept_", "size_")) or name.endswith("_array")
    plain = "".join(c if c.isascii() else f"{ord(c):x}" for c in name)
    return f"size_{plain}" if taken or plain != name else name


def size_text(size: Size) -> str:
    """A size in generated code."""
    if isinstance(size, int | str):
        return size_name(size) if isinstance(size, str) else str(size)
    return "(" + re.sub(r"[^\W\d]\w*", lambda found: size_name(found[0]), str(size)) + ")"


def product_text(factors: Sequence[str]) -> str:
    """A product of sizes and indices, ones left out."""
    kept = [f for f in factors if f != "1"]
    return "*".join(kept) if kept else "1"


def position(shape: Shape, index: Index) -> str:
    """The place of an entry in a buffer that is laid out row by row."""
    terms = []
    for axis, i in enumerate(index):
        if i != "0":
            terms.append(product_text([i if re.fullmatch(r"\w+", i) else f"({i})", *map(size_text, shape[axis + 1 :])]))
    return " + ".join(terms) if terms else "0"
