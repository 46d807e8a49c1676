"""The commands that show: gradients, summary, source, models, info, cache."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from symgrad.cli import find
from symgrad.errors import NotFoundError
from symgrad.expression.node import Expr, topological
from symgrad.expression.ops import Leaf, Named, Parameter
from symgrad.formulas import Definition, aligned, definitions
from symgrad.formulas.derivation import derivation, one_line
from symgrad.formulas.names import text as shown
from symgrad.proof.stamp import stamp
from symgrad.training.model import Model


SEEDS = 5  # proofs that the check command makes


def show_json(value: Any) -> None:
    """Data on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None, allow_nan=False))


def gradient_formulas(model: Model) -> tuple[list[Definition], list[Definition]]:
    """The gradients of a model by title, and what their names stand for."""
    return definitions({f"∂L/∂{shown(name)}": g for name, g in model.gradients.gradients.items()})


def gradient_lines(model: Model, indent: int = 0) -> list[str]:
    """The formulas as lines of at most 100 columns."""
    main, where = gradient_formulas(model)
    return (
        [*aligned(main, indent), " " * indent + "where", *aligned(where, indent + 2)]
        if where
        else aligned(main, indent)
    )


def gradients_command(name: str, parameters: Sequence[str], as_json: bool) -> None:
    """The gradient formulas of a model."""
    model = find.find_model(name, parameters)
    proof = stamp(model.gradients.derivation, model.gradients.simplified)
    if not as_json:
        print("\n".join([*gradient_lines(model), *textwrap.wrap(str(proof), 100, subsequent_indent="  ")]))
        return
    main, where = gradient_formulas(model)
    show_json(
        {
            "model": model.name,
            "gradients": {
                p: {"formula": str(d).split(" = ", 1)[1], "shape": list(d.node.shape)}
                for p, d in zip(model.parameters, main, strict=True)
            },
            "where": [
                {"name": d.name, "formula": str(d).split(" = ", 1)[1], "shape": list(map(str, d.node.shape))}
                for d in where
            ],
            "checked": dataclasses.asdict(proof),
            "derive_seconds": model.gradients.seconds,
        }
    )


def check_command(name: str, parameters: Sequence[str], as_json: bool) -> None:
    """The proof of a model's gradients at several seeds, and the agreement of its three forms."""
    from symgrad.proof.agreement import agree

    model = find.find_model(name, parameters)
    proofs = [stamp(model.gradients.derivation, model.gradients.simplified, seed) for seed in range(SEEDS)]
    worst = max(proofs, key=lambda proof: proof.differences)
    found = agree(model)
    if as_json:
        facts = {**dataclasses.asdict(found), "times_longer": found.times_longer}
        show_json({"model": model.name, "checked": dataclasses.asdict(worst), "seeds": SEEDS, **facts})
        return
    print("\n".join(textwrap.wrap(f"{SEEDS} times {worst}", 100, subsequent_indent="  ")))
    print(found)


def chosen(model: Model, names: Sequence[str]) -> list[Expr]:
    """The parameters a person names; all of them when none. Raises NotFoundError."""
    for name in names:
        if name not in model.parameters:
            raise NotFoundError(f"{model.name} has no parameter {name!r}; it has {', '.join(model.parameters)}")
    return [model.parameters[name] for name in names] or list(model.parameters.values())


def derive_command(name: str, parameters: Sequence[str], wrt: Sequence[str], as_json: bool) -> None:
    """The derivation of some gradients, or of each in turn."""
    model = find.find_model(name, parameters)
    found = derivation(model.loss, chosen(model, wrt))
    if not as_json:
        print(found)
        return
    steps = [
        {
            "rule": s.rule,
            "statement": s.statement,
            "at": one_line(s.node),
            "incoming": one_line(s.incoming),
            "result": one_line(s.result),
        }
        for s in found
    ]
    rewrites = [
        {
            "identity": r.identity.name,
            "statement": str(r.identity),
            "before": one_line(r.before),
            "after": one_line(r.after),
        }
        for r in found.rewrites
    ]
    results = {t: one_line(g) for t, g in zip(found.titles, found.gradients, strict=True)}
    show_json({"model": model.name, "steps": steps, "simplifications": rewrites, "gradients": results})


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


def source_command(
    name: str, parameters: Sequence[str], dtype: str | None, optimizer: str | None, as_json: bool
) -> None:
    """The generated module."""
    model = find.find_model(name, parameters)
    model.compile(optimizer=optimizer, dtype=dtype)
    text = model.source_text()
    if as_json:
        show_json({"model": model.name, "dtype": model.training.dtype, "source": text})
    else:
        print(text, end="")


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
    from symgrad.codegen.kernel import default_threads

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
