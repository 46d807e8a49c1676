"""The commands that look at a model from outside: its graph as a picture, what it costs, a report on one page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.cli import find
from symgrad.cli.inspect import show_json
from symgrad.inspection.cost import Cost, conventions, model_costs, model_sizes
from symgrad.inspection.graph import model_graph
from symgrad.storage import atomic


def graph_command(
    name: str, parameters: Sequence[str], format: str, operations: bool, gradient: bool, out: str | None
) -> None:
    """The graph of a model's loss and output, to a file or to stdout."""
    text = model_graph(find.find_model(name, parameters), format, operations, gradient)
    if out is None:
        print(text, end="")
    else:
        atomic.write(out, text.encode())
        print(f"wrote {out}")


def cost_command(name: str, parameters: Sequence[str], batch: int | None, as_json: bool) -> None:
    """Operations, bytes and memory of a model's passes, as formulas and as numbers at a batch size."""
    model = find.find_model(name, parameters)
    found = model_costs(model)
    values, footer = model_sizes(model, found, batch), conventions(model.training.dtype)
    if as_json:
        rows = {form: {p: _facts(c, values) for p, c in passes.items()} for form, passes in found.items()}
        show_json({"model": model.name, "sizes": values, **rows, "conventions": footer})
        return
    print(", ".join([model.name, model.training.dtype, *(f"{size} = {value}" for size, value in values.items())]))
    for form, passes in found.items():
        for part, value in passes.items():
            print(f"\n{part}, {form}")
            for what, formula, number in value.rows(values):
                print(f"  {what:<11} {number:>11}   {formula}")
    print("\n" + "\n".join(textwrap.wrap(footer, 100)))


def _facts(found: Cost, values: Mapping[str, int]) -> dict[str, Any]:
    """A cost as data: each formula as text, and its number where the sizes are known."""
    bound = found.at(values) if set(found.names) <= set(values) else None
    counted = {"operations": "flops", "bytes": "bytes", "memory": "memory"}
    return {
        key: {"formula": str(getattr(found, name)), "number": bound and getattr(bound, name)}
        for key, name in counted.items()
    }
