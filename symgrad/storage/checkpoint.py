"""Model files and checkpoints: named arrays and a JSON document in one safetensors file.

Reading runs no code, and every bit that could change an array, a name or the document is covered by a SHA-256 sum
(against accidents, not against forgers). Must not know what the arrays and the document mean.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from symgrad.errors import ModelError, NotFoundError, SymgradError
from symgrad.storage import atomic, header
from symgrad.storage.reading import opened, shown

SUFFIX = ".safetensors"
_NAME = re.compile(r"epoch-(\d{1,9})(?:-step-(\d{1,9}))?" + re.escape(SUFFIX), re.ASCII)
_DTYPE_NAMES = {
    np.dtype(f"{'f' if name[0] == 'F' else name[0].lower()}{size}"): name for name, size in header.ITEM_BYTES.items()
}


@dataclass(frozen=True)
class Newest:
    """The newest usable checkpoint of a folder, and those newer that are damaged, each with the reason."""

    path: Path | None
    skipped: tuple[tuple[Path, str], ...]


def save(path: str | Path, tensors: Mapping[str, NDArray[Any]], document: Mapping[str, Any]) -> None:
    """Write arrays and a JSON document to one file, atomically; equal contents give equal bytes.

    Names are up to 200 printable characters without path separators; arrays are real or integer, of any shape;
    the document holds JSON values only (string keys, finite numbers). Raises ModelError for anything else, OutputError
    when the file cannot be created, StorageError when writing fails; the old file is then intact.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / checkpoint_name(3)
    >>> save(path, {"b1": np.zeros(2, np.float32)}, {"epoch": 3})
    >>> load(path)
    ({'b1': array([0., 0.], dtype=float32)}, {'epoch': 3})
    """
    arrays = {name: _storable(name, tensors[name], path) for name in sorted(tensors)}
    try:
        text = json.dumps(dict(document), allow_nan=False, sort_keys=True, separators=(",", ":"))
        header.parse_document(text)
    except (ValueError, TypeError, RecursionError) as problem:
        raise ModelError(f"model file {path} was not written: its document is not storable: {problem}.") from problem
    metadata = {"symgrad": header.envelope(_digest(arrays, text), text)}
    data = safetensors.numpy.save(arrays, metadata)
    if (length := int.from_bytes(data[:8], "little")) > header.LARGEST_HEADER:
        raise ModelError(
            f"model file {path} was not written: its document and names take {length:,} bytes; "
            f"at most {header.LARGEST_HEADER:,} can be read back. Make the model smaller."
        )
    atomic.write(path, data)


def load(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `save` wrote: the arrays by name (own, writable memory) and the document.

    Raises NotFoundError for a missing file, ModelError naming file and reason for one that is damaged, truncated or
    of another kind, StorageError when the disk fails.
    """
    with opened(path, "model file", ModelError) as (file, size):
        try:
            return _parsed(file, size)
        except (ValueError, SafetensorError) as problem:
            raise ModelError(f"model file {path}: {problem}. Use another checkpoint, or train again.") from problem


def checkpoint_name(epoch: int, step: int | None = None) -> str:
    """The file name after `epoch` whole epochs or, in the middle of one, after `step` steps of epoch `epoch`.

    >>> checkpoint_name(3), checkpoint_name(4, step=120)
    ('epoch-0003.safetensors', 'epoch-0004-step-000120.safetensors')
    """
    return f"epoch-{epoch:04d}{SUFFIX}" if step is None else f"epoch-{epoch:04d}-step-{step:06d}{SUFFIX}"


def newest(folder: str | Path) -> Newest:
    """The newest checkpoint in `folder`, by the numbers in the names of `checkpoint_name`, that loads without error.

    Damaged ones are passed over and reported in `skipped`; `path` is None when none is left. Raises NotFoundError when
    the folder is missing or unreadable.

    >>> import tempfile
    >>> newest(tempfile.mkdtemp())
    Newest(path=None, skipped=())
    """
    try:
        found = {entry: match for entry in Path(folder).iterdir() if (match := _NAME.fullmatch(entry.name))}
    except OSError as problem:
        raise NotFoundError(f"no checkpoints in {folder}: {problem.strerror}; check the path.") from problem
    skipped = []
    # A whole epoch comes after all its steps.
    for path in sorted(found, key=lambda path: _order(found[path]), reverse=True):
        try:
            load(path)
        except SymgradError as problem:
            skipped.append((path, str(problem)))
        else:
            return Newest(path, tuple(skipped))
    return Newest(None, tuple(skipped))


def _order(match: re.Match[str]) -> tuple[int, float]:
    return int(match[1]), math.inf if match[2] is None else int(match[2])


def _parsed(file: BinaryIO, size: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and document of an open file; a ValueError for whatever is wrong with it."""
    prefix = file.read(8)
    if len(prefix) < 8:
        raise ValueError(f"it has only {size} bytes: truncated, or not a model file")
    length = int.from_bytes(prefix, "little")
    if length > header.LARGEST_HEADER:
        raise ValueError("its header is impossibly long: damaged, or not a model file")
    if length > size - 8:
        raise ValueError(f"its header of {length:,} bytes does not fit into the file's {size:,}: truncated")
    text = file.read(length)
    entries, digest, document = header.parse(text, size - 8 - length)
    views = safetensors.numpy.load(prefix + text + file.read())
    # Copied in sorted order: writable whatever the library returns, and the digest's order.
    arrays = {entry.name: np.array(views[entry.name]) for entry in sorted(entries)}
    assert all(arrays[e.name].shape == e.shape and _DTYPE_NAMES[arrays[e.name].dtype] == e.dtype for e in entries)
    if _digest(arrays, document) != digest:
        raise ValueError("its contents do not match its checksum: damaged")
    return arrays, header.parse_document(document)


def _digest(arrays: Mapping[str, NDArray[Any]], document: str) -> str:
    """SHA-256 over names, kinds, shapes, document and values; `arrays` must be in sorted order and contiguous."""
    declared = [[name, _DTYPE_NAMES[array.dtype], list(array.shape)] for name, array in arrays.items()]
    digest = hashlib.sha256(json.dumps(declared).encode() + b"\n" + document.encode() + b"\n")
    for array in arrays.values():
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _storable(name: str, array: NDArray[Any], path: str | Path) -> NDArray[Any]:
    """The array in C order and little-endian, or a ModelError."""
    if problem := header.name_problem(name):
        raise ModelError(f"model file {path} was not written: {shown(name)} cannot name an array: {problem}.")
    plain = np.asarray(array, order="C")
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    if plain.dtype not in _DTYPE_NAMES:
        kinds = ", ".join(str(dtype) for dtype in _DTYPE_NAMES)
        raise ModelError(f"model file {path} was not written: {name} holds {plain.dtype}; storable are {kinds}.")
    return plain
