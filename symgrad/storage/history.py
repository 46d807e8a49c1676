"""An append-only file of JSON lines, one record an epoch; a kill while writing costs at most the last line.

Takes and gives plain dictionaries; must not know what a record means.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from symgrad.errors import DataError, OutputError, StorageError
from symgrad.storage.reading import opened


def append(path: str | Path, record: Mapping[str, Any]) -> None:
    """Add `record` (JSON values, finite numbers) as one line; when the call returns, it is on the disk.

    A last line that a killed process left unfinished is cut off first. Raises OutputError when the file cannot be
    created, StorageError when writing fails, ValueError for NaN or infinity.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "history.jsonl"
    >>> append(path, {"epoch": 1, "loss": 0.25})
    >>> read(path)
    [{'epoch': 1, 'loss': 0.25}]
    """
    line = json.dumps(dict(record), allow_nan=False).encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except (OSError, ValueError) as problem:
        raise OutputError(f"cannot open the history file {path}: {problem}; name a writable folder.") from problem
    try:
        position = _end_of_last_line(descriptor)
        os.ftruncate(descriptor, position)
        os.lseek(descriptor, position, os.SEEK_SET)
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    except OSError as problem:
        raise StorageError(
            f"writing the history file {path} failed: {problem.strerror}; earlier records are intact. "
            "Free some space or check the disk."
        ) from problem
    finally:
        os.close(descriptor)


def read(path: str | Path) -> list[dict[str, Any]]:
    """All records, oldest first; an unfinished last line is left out.

    Raises NotFoundError when the file is missing, DataError naming the line when another line is damaged.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "history.jsonl"
    >>> path.write_text('{"epoch": 1}' + chr(10) + '{"epo')
    18
    >>> read(path)
    [{'epoch': 1}]
    """
    with opened(path, "history file", DataError) as (file, _):
        lines = file.read().split(b"\n")
    records = []
    # What follows the last newline is empty or was never acknowledged.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("it is not a JSON object")
        except (ValueError, RecursionError) as problem:
            raise DataError(
                f"history file {path}, line {number}: {problem}; remove that line or start with a new output folder."
            ) from problem
        records.append(record)
    return records


def _end_of_last_line(descriptor: int) -> int:
    """The offset behind the last newline: where the next record belongs."""
    position = os.lseek(descriptor, 0, os.SEEK_END)
    while position > 0:
        start = max(0, position - 4096)
        os.lseek(descriptor, start, os.SEEK_SET)
        newline = os.read(descriptor, position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0
