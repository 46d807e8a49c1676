"""The notebooks are run, cell by cell, as a reader would."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

matplotlib.use("Agg")  # pictures are drawn, no window opens

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path, capsys):
    document = json.loads(path.read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in document["cells"] if c["cell_type"] == "code"]
    words: dict[str, object] = {}
    for number, cell in enumerate(cells):
        exec(compile(ast.parse(cell), f"{path.name}, cell {number}", "exec"), words)
        plt.close("all")
    assert cells and capsys.readouterr().out
    assert all(not c.get("outputs") for c in document["cells"]), "outputs are not committed"


def test_there_are_notebooks():
    assert NOTEBOOKS
