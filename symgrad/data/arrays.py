"""NumPy's `.npz` and `.npy` files, read without trusting their headers and without ever unpickling.

Takes an open file or a path, gives arrays of real or integer numbers in native byte order; must not know what the
arrays are for. A size is compared with the bytes that are really there before anything is allocated.
"""

import errno
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from symgrad.errors import DataError
from symgrad.storage.reading import LARGEST_INPUT, opened, shown

_LARGEST_RATIO = 1032  # of deflate
_ENCRYPTED = 0x1
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, IndexError, struct.error,
    NotImplementedError, OverflowError, RuntimeError,
)  # fmt: skip - what zipfile raises, depending on which byte is wrong


def read_npz(path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
    """The named arrays of an `.npz` file; `optional` ones may be missing.

    Raises NotFoundError, StorageError, and DataError for a damaged or foreign file, a missing or repeated name,
    Python objects, and sizes that are not there.
    """
    with opened(path, "npz file", DataError) as (file, _):
        try:
            with zipfile.ZipFile(file) as archive:
                return _members(archive, path, required, optional)
        except (*_DAMAGED, OSError) as problem:
            # A damaged offset makes zipfile seek to a negative place; any other OSError is the disk's.
            if isinstance(problem, OSError) and problem.errno != errno.EINVAL:
                raise
            raise DataError(
                f"{path} is not a sound npz file ({problem}); write it again with numpy.savez."
            ) from problem


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an `.npy` file. Raises NotFoundError, StorageError, DataError."""
    with opened(path, "npy file", DataError) as (file, size):
        return read_array(file, size, str(path))


def read_array(stream: IO[bytes], size: int, place: str) -> NDArray[Any]:
    """One array in NumPy's format from a stream of `size` bytes; `place` names it in errors (DataError).

    >>> import io
    >>> stream = io.BytesIO()
    >>> np.save(stream, np.arange(3))
    >>> read_array(io.BytesIO(stream.getvalue()), len(stream.getvalue()), "counts")
    array([0, 1, 2])
    """
    shape, fortran_order, dtype = _header(stream, place)
    if dtype.hasobject:
        raise DataError(f"{place} holds Python objects, which are never unpickled; save it as a plain numeric array.")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError(f"{place} holds {shown(str(dtype))}; only real and integer numbers up to 64 bits are read.")
    if len(shape) > 32 or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise DataError(f"{place} has the impossible shape {shown(shape)}; the file is damaged, write it again.")
    declared, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if declared != there:
        raise DataError(
            f"{place}: its header declares {declared:,} bytes ({dtype}, shape {shown(shape)}) but {there:,} are there; "
            "the file is truncated or damaged, write it again."
        )
    data = stream.read(declared)
    if len(data) < declared:
        raise DataError(f"{place} is truncated: {len(data):,} of {declared:,} bytes; write it again.")
    items = np.frombuffer(data, dtype)
    array = items.reshape(shape[::-1]).T if fortran_order else items.reshape(shape)
    return np.array(array, dtype.newbyteorder("="), order="C")


def _members(
    archive: zipfile.ZipFile, path: Path, required: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    """Find each wanted name exactly once, check what it unpacks to, read it."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    names = [info.filename.removesuffix(".npy") for info in infos]
    result = {}
    for name in required + optional:
        if names.count(name) > 1:
            raise DataError(f"{path} contains {name} {names.count(name)} times; write it again with numpy.savez.")
        if name in names:
            result[name] = _member(archive, infos[names.index(name)], f"{path}: {name}")
        elif name in required:
            found = ", ".join(shown(other) for other in names[:10]) or "no arrays"
            raise DataError(
                f"{path} has no array {name}; it holds {found}. Save the arrays as "
                f"numpy.savez({shown(path.name)}, {', '.join(f'{n}={n}' for n in required + optional)})."
            )
    return result


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str) -> NDArray[Any]:
    """One array of the archive, after looking for zip bombs and passwords."""
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"{place} is encrypted; save the file without a password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{place} is compressed by an unusual method; write the file with numpy.savez_compressed.")
    if info.file_size > min(info.compress_size * _LARGEST_RATIO, LARGEST_INPUT):
        raise DataError(
            f"{place} claims to unpack {info.compress_size:,} bytes to {info.file_size:,}, which is impossible or too "
            "much; the file is damaged, write it again."
        )
    with archive.open(info) as stream:
        array = read_array(stream, info.file_size, place)
        # Only at the end of the stream does zipfile compare the checksum.
        stream.read(1)
    return array


def _header(stream: IO[bytes], place: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and kind of number; NumPy reads at most 10,000 characters of header, as a literal."""
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version}")
        return npy.read_array_header_1_0(stream) if version == (1, 0) else npy.read_array_header_2_0(stream)
    except OSError:
        raise
    except Exception as problem:  # NumPy lets the exceptions of ast, tokenize and its dtype parser through
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise DataError(
            f"{place} is not a sound array in NumPy's format ({shown(reason, 120)}); write it again with numpy.save."
        ) from problem
