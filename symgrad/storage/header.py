"""The header of a safetensors file, checked by our own rules before the library or anybody else believes it.

Takes the header's bytes and the number of bytes behind it; gives the tensors' entries and our document. Every
objection is a ValueError whose text completes "model file PATH: …"; `checkpoint` says it to the user. Needed because
safetensors 0.8 accepts duplicate keys, NaN, and names such as `../x`. Must not know files or what a document means.
"""

import json
import math
import re
from typing import Any, NamedTuple

from symgrad.storage.reading import shown

LARGEST_HEADER = 8 * 2**20
"""Bytes; enough for about 50,000 operations, and the most that is parsed within a second whatever is in it."""

DEEPEST_DOCUMENT = 100
LONGEST_NAME = 200
_LARGEST_TENSOR = 2**48
_LARGEST_RANK = 32

ITEM_BYTES = {"F64": 8, "F32": 4, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1}
"""The kinds of numbers that a model file may hold, by their safetensors names, and the size of each."""

_ENVELOPE = re.compile(r'\{"digest":"([0-9a-f]{64})","document":(.*)\}', re.DOTALL)


class Entry(NamedTuple):
    """One tensor as the header declares it; `begin` and `end` are byte offsets behind the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def envelope(digest: str, document: str) -> str:
    """The one metadata value that we write. One, because safetensors writes several in random order."""
    return f'{{"digest":"{digest}","document":{document}}}'


def parse(header: bytes, data_bytes: int) -> tuple[list[Entry], str, str]:
    """Check a header of a file with `data_bytes` behind it; gives the entries in file order, the digest, the document.

    >>> text = '{"__metadata__":{"symgrad":' + json.dumps(envelope("0" * 64, "{}")) + "}}"
    >>> parse(text.encode(), 0)[2]
    '{}'
    """
    root = strict_json(header, "the header")
    if not isinstance(root, dict):
        raise ValueError("the header is not a JSON object")
    metadata = root.pop("__metadata__", None)
    if not isinstance(metadata, dict) or set(metadata) != {"symgrad"} or not isinstance(metadata["symgrad"], str):
        raise ValueError("it was not written by symgrad (the header holds no symgrad document)")
    found = _ENVELOPE.fullmatch(metadata["symgrad"])
    if found is None:
        raise ValueError("the header's symgrad document is damaged")
    entries = [_entry(name, value) for name, value in root.items()]
    return _in_file_order(entries, data_bytes), found[1], found[2]


def parse_document(text: str) -> dict[str, Any]:
    """The JSON object that the caller of `checkpoint.save` gave.

    >>> parse_document('{"epoch":3}')
    {'epoch': 3}
    """
    document = strict_json(text, "the document")
    if not isinstance(document, dict):
        raise ValueError("the document is not a JSON object")
    level: list[Any] = [document]
    for _ in range(DEEPEST_DOCUMENT):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return document
    raise ValueError(f"the document is nested more than {DEEPEST_DOCUMENT} levels deep")


def strict_json(text: str | bytes, place: str) -> Any:
    """JSON without what the standard library tolerates: duplicate keys, NaN, infinity, numbers that overflow.

    >>> strict_json("[1, 2.5]", "the header")
    [1, 2.5]
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        return json.loads(
            decoded, object_pairs_hook=_without_duplicates, parse_constant=_refused, parse_float=_finite
        )
    except RecursionError:
        raise ValueError(f"{place} is nested too deeply") from None
    except ValueError as problem:
        raise ValueError(f"{place} is not valid JSON: {problem}") from problem


def name_problem(name: str) -> str | None:
    """What is wrong with a tensor's name; None when nothing is.

    >>> name_problem("../x")
    'it contains a path separator'
    """
    if not name or len(name) > LONGEST_NAME:
        return f"a name has 1 to {LONGEST_NAME} characters"
    if "/" in name or "\\" in name:
        return "it contains a path separator"
    if not name.isprintable():
        return "it contains a control character"
    if name in (".", "..") or name.startswith("__"):
        return "it is reserved"
    return None


def _entry(name: str, value: Any) -> Entry:
    """One tensor's declaration, every field checked."""
    where = f"tensor {shown(name)}"
    if problem := name_problem(name):
        raise ValueError(f"{where}: bad name: {problem}")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where}: its entry must hold exactly dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError(f"{where}: dtype {shown(dtype)} is none of {', '.join(ITEM_BYTES)}")
    if not _sizes(shape) or len(shape) > _LARGEST_RANK or math.prod(max(1, n) for n in shape) > _LARGEST_TENSOR:
        raise ValueError(f"{where}: {shown(shape)} is no shape")
    if not _sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{where}: {shown(offsets)} are no offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
        raise ValueError(f"{where}: offsets {begin} to {end} do not fit {dtype} of shape {tuple(shape)}")
    return Entry(name, dtype, tuple(shape), begin, end)


def _in_file_order(entries: list[Entry], data_bytes: int) -> list[Entry]:
    """The entries sorted by place, which must cover the data without gap, overlap or rest."""
    ordered = sorted(entries, key=lambda entry: (entry.begin, entry.end))
    position = 0
    for entry in ordered:
        if entry.begin != position:
            raise ValueError(f"tensor {shown(entry.name)} begins at byte {entry.begin} instead of {position}")
        position = entry.end
    if position != data_bytes:
        raise ValueError(f"its tensors take {position:,} bytes but {data_bytes:,} are there: truncated or damaged")
    return ordered


def _sizes(value: Any) -> bool:
    """A list of non-negative integers; `type` because True is an int to isinstance."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= _LARGEST_TENSOR for n in value)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {shown(key)} appears twice")
        result[key] = value
    return result


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not allowed")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is too large")
    return number
