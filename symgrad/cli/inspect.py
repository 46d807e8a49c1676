"""The commands that show: gradients, summary, source, models, info, cache."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from symgrad.cli import find
from symgrad.expression.node import topological
from symgrad.expression.ops import Leaf, Named, Parameter

if TYPE_CHECKING:
    from symgrad.training.model import Model


def show_json(value: Any) -> None:
    """Data on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None, allow_nan=False))


def summary_command(name: str, parameters: Sequence[str], as_json: bool) -> None:
    """Named nodes, shapes and counts."""
    model = find.find_model(name, parameters)
    if not as_json:
        print(model.summary())
        return
    nodes = [n for n in topological([model.output]) if isinstance(n.op, Leaf | Named)]
    rows = [
        {
            "name": n.name,
            "kind": type(n.op).__name__.lower(),
            "shape": [s if isinstance(s, int) else str(s) for s in n.shape],
            "parameters": math.prod(n.shape) if isinstance(n.op, Parameter) else 0,
        }
        for n in nodes
    ]
    show_json({"model": model.name, "nodes": rows, "parameters": model.parameter_count})


def numbers(model: Model) -> dict[str, str]:
    """What a model computes with."""
    return {"dtype": model.training.dtype, "precision": model.training.factors}


def source_command(name: str, parameters: Sequence[str], as_json: bool, **changes: Any) -> None:
    """The generated module, with other settings of training when given."""
    model = find.find_model(name, parameters)
    model.compile(**changes)
    text = model.source_text()
    if as_json:
        show_json({"model": model.name, **numbers(model), "source": text})
    else:
        print(text, end="")


def profile_command(
    name: str, parameters: Sequence[str], source: str | None, batch: str | None, as_json: bool, **changes: Any
) -> None:
    """A training step taken apart, with other settings of training when given."""
    from symgrad import data
    from symgrad.training.profile import profile

    model = find.find_model(name, parameters)
    dataset = data.load(source)
    model.compile(batch_size=find.step_rows(batch, len(dataset.x_train)), **changes)
    found = profile(model, dataset.x_train, dataset.y_train)
    if as_json:
        show_json({"model": model.name, **numbers(model), **dataclasses.asdict(found)})
        return
    print(f"{'µs':>9} {'share':>6} {'GFLOP/s':>8} {'of peak':>7} {'bytes':>11}  formula")
    for row in found.rows:
        formula = textwrap.shorten(row.formula, 60, placeholder=" …")
        print(
            f"{row.microseconds:9.1f} {row.share:6.1%} {row.rate:8.1f} {row.rate / found.peak:7.1%} "
            f"{row.bytes:11,}  {formula}"
        )
    kind = f"{model.training.precision} " if model.training.precision else ""
    print(f"{found.waiting:9.1f} {found.waiting / found.step:6.1%}  waiting for other threads")
    print(
        f"a step of {found.batch_size} rows takes {found.step:.0f} µs on {found.threads} threads, "
        f"{found.rate:.0f} GFLOP/s of {found.peak:.0f} with nothing but {kind}multiply-adds\n"
        "(counted as the formulas have them, also where zeros are left out);\n"
        f"the counters cost {max(0.0, found.overhead):.1%}; data, weights and buffers take {found.memory / 1e6:.0f} MB"
    )


def models_command(as_json: bool) -> None:
    """The models that ship, with their first line of documentation."""
    import importlib

    rows: list[dict[str, Any]] = []
    for name, module in find.shipped().items():
        about = (importlib.import_module(module).__doc__ or "").strip().splitlines()[0]
        rows.append({"model": name, "about": about, "parameters": find.find_model(name, []).parameter_count})
    if as_json:
        show_json(rows)
        return
    width = max(len(r["model"]) for r in rows)
    for row in rows:
        print(f"{row['model']:<{width}}  {row['parameters']:>9,} parameters  {row['about']}")


def info_command(as_json: bool) -> None:
    """What this installation runs on."""
    import platform
    from importlib.metadata import version

    from symgrad import __version__
    from symgrad.codegen import cache
    from symgrad.codegen.host import facts
    from symgrad.codegen.machine import default_threads

    folder = cache.folder()
    kernels = sum(1 for f in folder.glob("*/manifest.json")) if folder.is_dir() else 0
    packages = {p: version(p) for p in ("numpy", "numba", "llvmlite", "sympy", "safetensors", "typer", "rich")}
    value = {
        "symgrad": __version__,
        "python": platform.python_version(),
        **packages,
        **facts(),
        "threads": default_threads(),
        "cache": str(folder),
        "kernels": kernels,
        "cache trouble": cache.trouble(folder) or "none",
    }
    if as_json:
        show_json(value)
        return
    width = max(map(len, value))
    for key, item in value.items():
        print(f"{key:<{width}}  {item}")


def cache_clear_command(as_json: bool) -> None:
    """Remove every kept kernel."""
    from symgrad.codegen import cache

    count, total = cache.clear()
    if as_json:
        show_json({"removed": count, "bytes": total, "folder": str(cache.folder())})
    else:
        print(f"removed {count} kernels, {total / 1e6:.1f} MB, from {cache.folder()}")
