"""RELIABILITY.md states what the tests state: commands that exist, counts that are theirs."""

import re
from pathlib import Path

import pytest
from test_data_attacks import FILES
from test_model_file_attacks import FIELDS, NODES
from test_parse import attack_texts
from test_storage_malformed import BAD

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "RELIABILITY.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| what")]


def test_every_row_has_an_anchor_a_figure_and_a_command():
    assert len(ROWS) >= 25 and all(len(row) == 4 and all(cell.strip() for cell in row) for row in ROWS)


@pytest.mark.parametrize("command", [command for row in ROWS for command in re.findall(r"`([^`]+)`", row[3])])
def test_the_command_of_a_row_exists(command):
    files = re.findall(r"tests/\w+\.py", command)
    assert files and all((ROOT / file).is_file() for file in files)
    source = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    chosen = re.search(r'-k (?:"([^"]+)"|(\w+))', command)
    for word in (chosen[1] or chosen[2]).split(" or ") if chosen else ():
        assert re.search(rf"def test_\w*{word}", source), f"no test of {files} is called {word}"


def test_the_counts_are_those_of_the_tables():
    documents = sum(map(len, FIELDS.values())) + sum(len(v) for node in NODES.values() for v in node.values())
    kinds = [sum(name.startswith(kind) for name, *_ in FILES) for kind in ("idx", "gz", "npz", "csv")]
    assert f"{documents + len(BAD)} ({len(BAD)} headers, {documents} documents" in TEXT
    assert f"{len(FILES)} ({kinds[0]} IDX, {kinds[1]} gzip, {kinds[2]} npz, {kinds[3]} CSV)" in TEXT
    assert f"{len(attack_texts('canary'))} refused" in TEXT


def test_security_says_who_is_trusted():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert all(words in text for words in ("may be untrusted", "must be trusted", "--no-cache", "Python model files"))
