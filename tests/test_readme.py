"""What the README shows is run: its Python blocks, its model file, its formulas."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import symgrad as sg

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]


def test_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PYTHON[0])
    words: dict[str, object] = {}
    for block in PYTHON[1:]:
        exec(compile(block, "README", "exec"), words)
    printed = capsys.readouterr().out
    for promised in re.findall(r"print\(.*?\)\s+# (2 xᵀ.*)", "".join(PYTHON)):
        assert promised in printed
    arguments = [sys.executable, "-m", "symgrad", "gradients", "mine.py", "-p", "hidden=64"]
    assert "∂L/∂W₁ = xᵀ" in subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


def test_shown_commands_print_what_is_shown():
    shown = [text for language, text in BLOCKS if language == "console" and text.startswith("$ symgrad")]
    assert shown
    for block in shown:
        line, _, expected = block.partition("\n")
        result = subprocess.run([sys.executable, "-m", *shlex.split(line[2:])], capture_output=True, text=True)
        assert result.returncode == (1 if " check " in line else 0), result.stderr
        digits = r"\de[-+]\d+"  # the size of rounding errors is the machine's
        printed, promised = re.sub(digits, "", result.stdout), re.sub(digits, "", expected)
        whole, _, rest = promised.partition("  ...\n")
        assert printed.startswith(whole) and not rest and (promised != whole or printed == whole)


def test_shown_error_is_the_error():
    (shown,) = [text for _, text in BLOCKS if text.startswith("ShapeError")]
    x, w = (sg.variable("pixels", ("N", 784), "uint8") / 255).named("x"), sg.parameter("W1", (785, 512))
    with pytest.raises(sg.ShapeError) as caught:
        x @ w
    assert "ShapeError: " + re.sub(r"\w+\.py:\d+", "mine.py:7", str(caught.value)) == shown.strip()
