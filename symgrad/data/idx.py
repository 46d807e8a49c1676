"""The IDX format of the MNIST files, plain or gzip-compressed.

A magic number (0, 0, type of the items, number of dimensions), the sizes as big-endian 32-bit integers, the items.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
Takes a path, gives an array; must not know which files make a data set.
"""

import math
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from symgrad.errors import DataError
from symgrad.storage.reading import LARGEST_INPUT, opened

_TYPES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}
_REMEDY = "Download or unpack the file again."
_CHUNK = 2**18
# Deflate cannot shrink anything by more than 1032 : 1, so a small file that declares more than that is lying.
_LARGEST_RATIO = 1032


class _Source(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


def images(path: Path) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Pictures as rows, uint8 of shape (n, rows * columns), and (rows, columns).

    Raises NotFoundError, DataError (damaged, another format, no pictures), StorageError.
    """
    array = _read(path, rank=3)
    count, rows, columns = array.shape
    return array.reshape(count, rows * columns), (rows, columns)


def labels(path: Path) -> NDArray[np.uint8]:
    """Labels as in the file, uint8 of shape (n,). Raises what `images` does."""
    return _read(path, rank=1)


def _read(path: Path, rank: int) -> NDArray[np.uint8]:
    with opened(path, "IDX file", DataError) as (file, size):
        if path.suffix != ".gz":
            return _parsed(file, path, rank, size)
        try:
            return _parsed(_Inflater(file, path), path, rank, size * _LARGEST_RATIO)
        except zlib.error as problem:
            raise DataError(f"{path} is not a sound gzip file ({problem}). {_REMEDY}") from problem


def _parsed(source: _Source, path: Path, rank: int, at_most: int) -> NDArray[np.uint8]:
    """Header, sizes, items, and nothing behind them; `at_most` bounds what the file can hold."""
    magic = _exactly(source, 4, path, "magic number").tobytes()
    if magic[:2] == b"\x1f\x8b":
        raise DataError(f"{path} is gzip-compressed but not named so; add .gz to its name.")
    if magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise DataError(f"{path} is not an IDX file (it begins with the bytes {magic.hex(' ')}). {_REMEDY}")
    if magic[2] != 0x08:
        raise DataError(f"{path} holds {_TYPES[magic[2]]}; pictures and labels must be unsigned bytes.")
    if magic[3] != rank:
        expected = "pictures: (count, rows, columns)" if rank == 3 else "labels: (count)"
        raise DataError(f"{path} has {magic[3]} dimensions where {rank} are expected ({expected}); is it misnamed?")
    shape = tuple(int(n) for n in _exactly(source, 4 * rank, path, "sizes").view(">u4"))
    count = math.prod(shape)
    if count == 0:
        raise DataError(f"{path} is empty: its header declares the sizes {shape}. {_REMEDY}")
    if count > min(at_most, LARGEST_INPUT):
        raise DataError(
            f"{path}: its header declares {count:,} bytes of data {shape}, more than such a file can hold; "
            f"it is truncated or damaged. {_REMEDY}"
        )
    items = _exactly(source, count, path, f"data, declared as {shape}")
    if source.readinto(memoryview(bytearray(1))):
        raise DataError(f"{path} goes on after the {count:,} bytes of data that its header declares. {_REMEDY}")
    return items.reshape(shape)


def _exactly(source: _Source, count: int, path: Path, what: str) -> NDArray[np.uint8]:
    """The next `count` bytes; `what` names them in the error."""
    items = np.empty(count, np.uint8)
    got = source.readinto(items.data) or 0
    if got < count:
        raise DataError(f"{path} is truncated: {got:,} of {count:,} bytes of its {what}. {_REMEDY}")
    return items


class _Inflater:
    """A gzip file that unpacks no more than it is asked for, three times faster than gzip.GzipFile."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._stream = zlib.decompressobj(wbits=31)
        self._pending = b""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer as far as the data goes; when it ends sooner, check that the file ends properly too."""
        position = 0
        while position < len(buffer) and not self._stream.eof:
            self._pending = self._pending or self._file.read(_CHUNK)
            if not self._pending:
                raise DataError(f"{self._path} is truncated: its compressed data ends in the middle. {_REMEDY}")
            output = self._stream.decompress(self._pending, len(buffer) - position)
            self._pending = self._stream.unconsumed_tail
            buffer[position : position + len(output)] = output
            position += len(output)
        if position < len(buffer) and (self._stream.unused_data or self._file.read(1)):
            raise DataError(f"{self._path}: other bytes follow its compressed data. {_REMEDY}")
        return position
