"""The commands that look at a model from outside: its graph as a picture, what it costs, a report on one page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.cli import find
from symgrad.cli.apply import test_arrays
from symgrad.cli.inspect import show_json
from symgrad.errors import ModelError
from symgrad.formulas import formula
from symgrad.inspection.cost import Cost, conventions, model_costs, model_sizes
from symgrad.inspection.graph import model_graph
from symgrad.inspection.outcome import Outcome, outcome
from symgrad.inspection.report import report
from symgrad.storage import atomic
from symgrad.training import saved
from symgrad.training.model import Model


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
            for what, text, number in value.rows(values):
                print(f"  {what:<11} {number:>11}   {text}")
    print("\n" + "\n".join(textwrap.wrap(footer, 100)))


def report_command(name: str, parameters: Sequence[str], run: str | None, out: str | None) -> None:
    """Everything about a model, and about a run of it, on one page."""
    model = find.find_model(name, parameters)
    seen = _outcome(model, name, run) if run is not None else None
    path = out or f"{model.name}-report.html"
    data = report(model, seen).encode()
    atomic.write(path, data)
    print(f"wrote {path}, {len(data) / 1000:,.0f} kB")


def _outcome(model: Model, name: str, run: str) -> Outcome:
    """What the newest checkpoint of a run does on its test data; the model gets its weights.

    Raises ModelError when the run is of another model, and what reading checkpoints and data raises.
    """
    path = find.find_checkpoint(run)
    trained, progress, about = saved.load_progress(path)
    about = find.checked_about(about, path)
    if _formulas(trained) != _formulas(model):
        arguments = "".join(f" -p {key}={value}" for key, value in trained.arguments.items())
        raise ModelError(
            f"{path} is a run of another model than {name}: for its report write "
            f"`symgrad report {trained.source or trained.name}{arguments} --run {run}`"
        )
    model.training, model.threads = trained.training, about.get("threads")
    model.weights = trained.weights
    dataset, x, y = test_arrays(about.get("data"), about.get("label"), about.get("limit"))
    return outcome(model, str(path), progress.records, dataset, x, y)


def _formulas(model: Model) -> str:
    """What a model computes, entry by entry, with the shapes of its parameters."""
    shapes = ", ".join(f"{name} {parameter.shape}" for name, parameter in model.parameters.items())
    return formula({"output": model.output, "L": model.loss}, notation="index") + shapes


def _facts(found: Cost, values: Mapping[str, int]) -> dict[str, Any]:
    """A cost as data: each formula as text, and its number where the sizes are known."""
    bound = found.at(values) if set(found.names) <= set(values) else None
    counted = {"operations": "flops", "bytes": "bytes", "memory": "memory"}
    return {
        key: {"formula": str(getattr(found, name)), "number": bound and getattr(bound, name)}
        for key, name in counted.items()
    }
