"""Loops over rows and their columns as one loop over entries, where the body looks at nothing but whole entries.

A row of ten entries is less than a vector: one after the other they are many. Takes loops, gives loops.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from symgrad.codegen.loops import If, Let, Loop, Statement, Store, lines


def flattened(body: Sequence[Statement]) -> list[Statement]:
    """The same statements with every such nest of two loops as one.

    >>> nest = Loop("i", "first", "last", [Loop("j", "0", "10", [Store("c", "i*10 + j", "a[(i - 2)*10 + j]")])])
    >>> print("\\n".join(lines(flattened([nest]))))
    for j in range(first*10, last*10):
        c[j] = a[(j - 2*10)]
    """
    found: list[Statement] = []
    for s in body:
        if isinstance(s, Loop):
            s = _as_one(Loop(s.index, s.start, s.stop, flattened(s.body), s.step))
        elif isinstance(s, If):
            s = If(s.condition, flattened(s.body))
        found.append(s)
    return found


def _as_one(rows: Loop) -> Loop:
    """A loop over rows whose whole body is a loop over all columns, as one loop; any other as it is."""
    if rows.step != "1" or len(rows.body) != 1 or not isinstance(rows.body[0], Loop):
        return rows
    columns = rows.body[0]
    i, j, width = rows.index, columns.index, columns.stop
    if columns.step != "1" or columns.start != "0" or not all(isinstance(s, Let | Store) for s in columns.body):
        return rows
    times = re.escape(f"*{width}")
    entry = re.compile(rf"(?<![\w.*])(?<![-*] )(?:{i}|\({i} ([-+]) (\w+)\)){times} \+ {j}\b(?! ?\*)")
    elsewhere = re.compile(rf"\b(?:{i}|{j})\b")
    if any(elsewhere.search(entry.sub("", line)) for line in lines(columns.body)):
        return rows

    def place(match: re.Match[str]) -> str:
        return f"({j} {match[1]} {match[2]}*{width})" if match[1] else j

    inner: list[Statement] = []
    for s in columns.body:
        match s:
            case Let(name, value):
                inner.append(Let(name, entry.sub(place, value)))
            case Store(buffer, position, value, add):
                inner.append(Store(buffer, entry.sub(place, position), entry.sub(place, value), add))
    start, stop = (
        end if end == "0" else f"{end}*{width}" if re.fullmatch(r"\w+", end) else f"({end})*{width}"
        for end in (rows.start, rows.stop)
    )
    return Loop(j, start, stop, inner)
