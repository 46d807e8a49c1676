"""The chapters of a report about a run: curves of training, confusions, the worst mistakes, the first weights.

Takes a model and the outcome of its run, gives sections of a page; what does not apply is left out in a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from symgrad.formulas.names import text as shown
from symgrad.inspection.charts import LARGEST, curves, matrix
from symgrad.inspection.outcome import Outcome, confusion, first_weights, mistakes
from symgrad.inspection.page import Section, figure, paragraph, plain, table
from symgrad.inspection.pictures import grey, image, sheet
from symgrad.training.model import Model

WORST, UNITS, COLUMNS = 24, 64, 16
ZOOM, ENLARGED = 84, 2  # the width of a mistake on the page; how much larger weights are shown


def trained_sections(model: Model, seen: Outcome) -> list[Section]:
    """All chapters about a run."""
    return [training_section(seen), classes_section(seen), weights_section(model, seen)]


def training_section(seen: Outcome) -> Section:
    """Loss and metrics over the epochs, and their values on the test data."""
    values = ", ".join(f"{name} {value:.4f}" for name, value in seen.values.items())
    about = f"Checkpoint {seen.place}. On {len(seen.x):,} rows of {seen.dataset.name}: {values}."
    charts = [
        figure(curves(lines, name), f"{name} over {len(seen.records)} epochs", "chart")
        for name, lines in _series(seen.records).items()
    ]
    rest = [f'<div class="figures">{"".join(charts)}</div>'] if charts else [paragraph("No epoch was finished yet.")]
    return Section("training", "Training", (paragraph(about), *rest))


def _series(records: Sequence[Mapping[str, float]]) -> dict[str, dict[str, list[float]]]:
    """Curves by what they measure: on the training data, and on the validation data where there are some."""
    names = [n for n in (records[0] if records else ()) if n not in ("epoch", "seconds") and not n.startswith("val_")]
    found: dict[str, dict[str, list[float]]] = {}
    for name in names:
        columns = {"training": name, "validation": f"val_{name}"}
        found[name] = {
            label: [float(record.get(column, math.nan)) for record in records]
            for label, column in columns.items()
            if any(column in record for record in records)
        }
    return found


def classes_section(seen: Outcome) -> Section:
    """The confusion matrix and the worst mistakes of a classifier."""
    counts = confusion(seen.output, seen.truth)
    if counts is None:
        left_out = "The model does not tell classes apart: there is no confusion matrix, and there are no mistakes."
        return Section("classes", "Confusions and mistakes", (paragraph(left_out),))
    right = int(np.trace(counts))
    parts = [paragraph(f"{right:,} of {len(seen.truth):,} rows are told right, {len(seen.truth) - right:,} wrong.")]
    if len(counts) <= LARGEST:
        parts.append(matrix(counts, seen.classes))
    else:
        parts.append(paragraph(f"A matrix of {len(counts)} classes is too large for a page and is left out."))
    worst = mistakes(seen.output, seen.truth, WORST)
    return Section("classes", "Confusions and mistakes", (*parts, *(_worst(seen, worst) if worst else [])))


def _worst(seen: Outcome, rows: Sequence[int]) -> list[str]:
    """The worst mistakes as pictures, or as a table where rows are no pictures."""
    shape, names = seen.dataset.image_shape, seen.classes
    heading = "<h3>The worst mistakes</h3>"
    guess, truth = seen.output[rows].argmax(axis=1), seen.truth[rows]
    if shape is None:
        cells = [
            (f"{row}", names[t], names[g], f"{seen.output[row, g]:.4f}")
            for row, t, g in zip(rows, truth, guess, strict=True)
        ]
        about = "The rows are no pictures, so they are listed by their number, from 0."
        return [
            heading,
            paragraph(about),
            table(("row", "truth", "taken for", "with"), [tuple(map(plain, c)) for c in cells], (0, 3)),
        ]
    figures = [
        figure(
            image(grey(seen.x[row], shape), f"row {row}", ZOOM),
            f"{names[t]}, taken for {names[g]} ({seen.output[row, g]:.0%}), row {row}",
        )
        for row, t, g in zip(rows, truth, guess, strict=True)
    ]
    return [heading, f'<div class="figures">{"".join(figures)}</div>']


def weights_section(model: Model, seen: Outcome) -> Section:
    """The weights that each unit of the first layer gives to the features, as pictures."""
    shape = seen.dataset.image_shape
    found = first_weights(model, math.prod(shape)) if shape is not None else None
    if shape is None or found is None:
        left_out = "The inputs are no pictures, or no parameter weighs them one by one: there is nothing to show."
        return Section("weights", "First weights", (paragraph(left_out),))
    name, weights = found
    strongest = np.sort(np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:UNITS])
    columns = min(COLUMNS, len(strongest))
    pixels = sheet(weights[:, strongest], shape, columns)
    which = (
        "all units" if len(strongest) == weights.shape[1] else f"the {len(strongest)} units with the largest weights"
    )
    caption = (
        f"{shown(name)}: {which} of {weights.shape[1]}, in their order; red is positive, blue negative, white zero."
    )
    return Section("weights", "First weights", (
        figure(image(pixels, f"weights of {name}", ENLARGED * pixels.shape[1]), caption),
    ))  # fmt: skip
