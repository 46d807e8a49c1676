"""A model at a glance: its leaves and named values, with their shapes and how many numbers are trained, as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from symgrad.expression import sizes
from symgrad.expression.node import topological
from symgrad.expression.ops import Leaf, Named, Parameter

if TYPE_CHECKING:
    from symgrad.training.model import Model


def summary(model: Model) -> str:
    """A line for each leaf and named value of the output, in order of use."""
    rows = [("name", "formula", "shape", "parameters")]
    for node in topological([model.output]):
        if isinstance(node.op, Leaf | Named):
            count = f"{math.prod(node.shape):,}" if isinstance(node.op, Parameter) else ""
            what = type(node.op).__name__.lower() if isinstance(node.op, Leaf) else node.args[0].label
            rows.append((node.op.name, what, sizes.text(node.shape), count))
    widths = [max(len(r[i]) for r in rows) for i in range(4)]
    lines = []
    for row in rows:
        cells = [c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    rule = "─" * (sum(widths) + 6)
    return "\n".join([lines[0], rule, *lines[1:], rule, f"{model.parameter_count:,} parameters"])
