"""Opening files that somebody else wrote: what can go wrong before the first byte is understood, as our errors.

Takes a path and gives an open binary file with its size. It must not know any format: the readers in
`symgrad.data` and `symgrad.storage.checkpoint` do.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from symgrad.errors import NotFoundError, StorageError, SymgradError

LARGEST_INPUT = 8 * 2**30
"""No input file, and nothing that one unpacks to, may be larger than this many bytes."""


def shown(text: object, limit: int = 60) -> str:
    """A name out of a file as an error message may print it: quoted, escaped, cut at `limit` characters.

    >>> shown("W1")
    "'W1'"
    """
    return repr(text) if len(str(text)) <= limit else repr(str(text)[:limit] + "…")


@contextmanager
def opened(path: str | Path, what: str, damaged: type[SymgradError]) -> Iterator[tuple[BufferedReader, int]]:
    """Open a regular file for reading; yields the file and its size in bytes.

    `what` names the kind of file in messages ("CSV file"); `damaged` is the error for something that is no such file.
    Raises NotFoundError for a missing or unreadable file, `damaged` for a folder, device, pipe or a file above
    LARGEST_INPUT, StorageError when the system fails while the file is being read.

    >>> from symgrad.errors import DataError
    >>> with opened(__file__, "Python file", DataError) as (file, size):
    ...     len(file.read()) == size
    True
    """
    # Looked at before opening, because opening a pipe that nobody writes to would wait for ever.
    size = _regular_size(path, what, damaged)
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below; only what follows the opening is an I/O error
    except OSError as problem:
        raise NotFoundError(f"{what} {path} cannot be opened: {problem.strerror}; check its permissions.") from problem
    with file:
        try:
            yield file, size
        except OSError as problem:
            raise StorageError(f"{what} {path}: reading failed half-way: {problem.strerror or problem}.") from problem
        except MemoryError as problem:
            raise damaged(f"{what} {path} ({size:,} bytes) does not fit into memory; give a smaller file.") from problem


def _regular_size(path: str | Path, what: str, damaged: type[SymgradError]) -> int:
    """The size in bytes of what must be a regular file."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as problem:
        raise NotFoundError(f"{what} {path} does not exist; check the path.") from problem
    except (OSError, ValueError) as problem:
        raise NotFoundError(f"{what} {shown(str(path), 200)} cannot be opened: {problem}; check the path.") from problem
    if stat.S_ISDIR(status.st_mode):
        raise damaged(f"{path} is a folder where a {what} is expected; name a file inside it.")
    if not stat.S_ISREG(status.st_mode):
        raise damaged(f"{path} is a device or a pipe where a {what} is expected; save its contents to a file first.")
    if status.st_size > LARGEST_INPUT:
        raise damaged(
            f"{what} {path} is {status.st_size:,} bytes; at most {LARGEST_INPUT:,} are read. Give a smaller file."
        )
    return status.st_size
