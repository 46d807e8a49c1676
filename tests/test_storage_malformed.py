"""A table of model files that must be refused with file and reason, every truncation and every bit flip of one."""

import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symgrad.errors import ModelError, NotFoundError
from symgrad.storage import checkpoint, header

VALUES = np.arange(6, dtype=np.float32)
ENTRY = {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}
META = {"symgrad": header.envelope("0" * 64, "{}")}


def raw(text: str | bytes, data: bytes = VALUES.tobytes()) -> bytes:
    """A file with this header and this data, however wrong."""
    encoded = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(encoded)) + encoded + data


def built(entries: Any, metadata: Any = META, data: bytes = VALUES.tobytes()) -> bytes:
    return raw(json.dumps({"__metadata__": metadata, **entries}), data)


def entry(**changes: Any) -> bytes:
    """A file with one tensor whose entry is right but for `changes`; None removes a field."""
    return built({"w": {key: value for key, value in (ENTRY | changes).items() if value is not None}})


def document(text: str) -> bytes:
    """A file with a right checksum, so that only the document `text` can be wrong."""
    metadata = {"symgrad": header.envelope(checkpoint._digest({}, text), text)}
    return raw(json.dumps({"__metadata__": metadata}), b"")


def overlapping(first: list[int], second: list[int]) -> bytes:
    offsets = {"a": first, "b": second}
    return built({n: {"dtype": "U8", "shape": [o[1] - o[0]], "data_offsets": o} for n, o in offsets.items()})


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "only 0 bytes"),
    "seven bytes": (bytes(7), "only 7 bytes"),
    "length only": (bytes(8), "not valid JSON"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "impossibly long"),
    "text": (b"hello, this is not a model", "impossibly long"),
    "huge length": (struct.pack("<Q", 2**63) + b"{}", "impossibly long"),
    "length above the limit": (struct.pack("<Q", header.LARGEST_HEADER + 1) + b"{}", "impossibly long"),
    "length above the file": (struct.pack("<Q", 100) + b"{}", "does not fit"),
    "not JSON": (raw("{"), "not valid JSON"),
    "JSON and more": (raw("{}{}"), "not valid JSON"),
    "not UTF-8": (raw(b'{"\xff":1}'), "not valid JSON"),
    "UTF-16": (raw("{}".encode("utf-16")), "not valid JSON"),
    "byte order mark": (raw(b"\xef\xbb\xbf{}"), "not valid JSON"),
    "list": (raw("[]"), "not a JSON object"),
    "null": (raw("null"), "not a JSON object"),
    "deep": (raw("[" * 100_000), "nested too deeply"),
    "deep objects": (raw('{"a":' * 100_000), "nested too deeply"),
    "NaN": (raw('{"w": NaN}'), "NaN is not allowed"),
    "Infinity": (raw('{"w": -Infinity}'), "-Infinity is not allowed"),
    "overflow": (raw('{"w": 1e999}'), "too large"),
    "many digits": (raw('{"w": ' + "9" * 10_000 + "}"), "not valid JSON"),
    "duplicate tensor": (raw('{"w": 1, "w": 1}'), "'w' appears twice"),
    "duplicate field": (raw('{"w": {"dtype": "F32", "dtype": "F64"}}'), "'dtype' appears twice"),
    "no metadata": (raw(json.dumps({"w": ENTRY})), "not written by symgrad"),
    "foreign metadata": (built({"w": ENTRY}, {"format": "pt"}), "not written by symgrad"),
    "more metadata": (built({"w": ENTRY}, META | {"format": "pt"}), "not written by symgrad"),
    "metadata list": (built({"w": ENTRY}, ["symgrad"]), "not written by symgrad"),
    "metadata not text": (built({"w": ENTRY}, {"symgrad": {}}), "not written by symgrad"),
    "no digest": (built({"w": ENTRY}, {"symgrad": "{}"}), "document is damaged"),
    "short digest": (built({"w": ENTRY}, {"symgrad": header.envelope("0" * 63, "{}")}), "document is damaged"),
    "wrong digest": (built({"w": ENTRY}), "checksum"),
    "upper-case digest": (document("{}").replace(b'\\"digest\\":\\"', b'\\"Digest\\":\\"'), "document is damaged"),
    "entry is a list": (built({"w": [1]}), "its entry must hold"),
    "entry is null": (built({"w": None}), "its entry must hold"),
    "no dtype": (entry(dtype=None), "its entry must hold"),
    "no shape": (entry(shape=None), "its entry must hold"),
    "no offsets": (entry(data_offsets=None), "its entry must hold"),
    "extra field": (entry(code="import os"), "its entry must hold"),
    "unknown dtype": (entry(dtype="F31"), "dtype 'F31' is none of"),
    "object dtype": (entry(dtype="O"), "dtype 'O' is none of"),
    "boolean dtype": (entry(dtype="BOOL"), "dtype 'BOOL' is none of"),
    "dtype a number": (entry(dtype=4), "is none of"),
    "dtype a list": (entry(dtype=["F32"]), "is none of"),
    "long dtype": (entry(dtype="F" * 10_000), "is none of"),
    "shape a number": (entry(shape=6), "is no shape"),
    "shape a text": (entry(shape="6"), "is no shape"),
    "negative size": (entry(shape=[-6]), "is no shape"),
    "two negative sizes": (entry(shape=[-2, -3]), "is no shape"),
    "real size": (entry(shape=[6.0]), "is no shape"),
    "boolean size": (entry(shape=[6, True]), "is no shape"),
    "huge size": (entry(shape=[2**63]), "is no shape"),
    "huge empty": (entry(shape=[0, 2**40, 2**40], data_offsets=[0, 0]), "is no shape"),
    "33 axes": (entry(shape=[6] + [1] * 32), "is no shape"),
    "shape too large": (entry(shape=[7]), "do not fit"),
    "shape too small": (entry(shape=[5]), "do not fit"),
    "wider dtype": (entry(dtype="F64"), "do not fit"),
    "one offset": (entry(data_offsets=[0]), "are no offsets"),
    "three offsets": (entry(data_offsets=[0, 24, 24]), "are no offsets"),
    "offsets a text": (entry(data_offsets="0,24"), "are no offsets"),
    "negative offset": (entry(data_offsets=[-24, 0]), "are no offsets"),
    "offsets reversed": (entry(data_offsets=[24, 0]), "do not fit"),
    "huge offsets": (entry(data_offsets=[2**64, 2**64 + 24]), "are no offsets"),
    "data later": (entry(data_offsets=[8, 32]), "begins at byte 8 instead of 0"),
    "gap": (overlapping([0, 10], [14, 24]), "begins at byte 14 instead of 10"),
    "overlap": (overlapping([0, 14], [10, 24]), "begins at byte 10 instead of 14"),
    "same place": (overlapping([0, 24], [0, 24]), "begins at byte 0 instead of 24"),
    "data missing": (built({"w": ENTRY}, data=b""), "truncated or damaged"),
    "data cut off": (built({"w": ENTRY}, data=bytes(23)), "truncated or damaged"),
    "data too long": (built({"w": ENTRY}, data=bytes(25)), "truncated or damaged"),
    "data without tensors": (built({}), "truncated or damaged"),
    **{
        f"name {name!r:.20}": (built({name: ENTRY}), "bad name")
        for name in ("", ".", "..", "../x", "/etc/x", "a\\b", "a\nb", "\x1b[2J", "a\0b", "__x", "x" * 201, "\u202e")
    },
    "document a list": (document("[]"), "document is not a JSON object"),
    "document not JSON": (document("{'a': 1}"), "document is not valid JSON"),
    "document with NaN": (document('{"a": NaN}'), "NaN is not allowed"),
    "document with overflow": (document('{"a": 1e400}'), "too large"),
    "document with duplicates": (document('{"a": 1, "a": 2}'), "'a' appears twice"),
    "document deep": (document('{"a": ' + "[" * 150 + "]" * 150 + "}"), "more than 100 levels"),
    "document very deep": (document('{"a": ' + "[" * 50_000), "nested too deeply"),
    "document empty": (document(""), "document is not valid JSON"),
}  # fmt: skip


def test_the_table_is_large_enough() -> None:
    assert len(BAD) >= 85


@pytest.mark.parametrize("name", BAD)
def test_refused_with_file_and_reason(tmp_path: Path, name: str) -> None:
    data, text = BAD[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    assert message.startswith(f"model file {path}: ") and text in message, message
    assert message.isprintable() and len(message) < 600 and time.perf_counter() - started < 20  # no hang


def small_file(path: Path) -> bytes:
    checkpoint.save(path, {"W": VALUES.reshape(2, 3), "b": np.zeros(2)}, {"epoch": 1, "name": "naïve\n", "loss": 0.5})
    return path.read_bytes()


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    data = small_file(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"model\.safetensors"):
            checkpoint.load(path)


def test_every_bit_flip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    data = small_file(path)
    checkpoint.load(path)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(ModelError):
            checkpoint.load(path)
            pytest.fail(f"bit {bit} of {data[bit // 8 - 20 : bit // 8 + 20]!r}")


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * 2_700_000 + "[]]",
        "{" + ",".join(f'"{n}":{{}}' for n in range(680_000)) + "}",
        '"' + "x" * 8_000_000,
    ],
    ids=["lists", "tensors", "open text"],
)
def test_a_header_as_large_as_allowed_takes_no_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw(text))
    assert header.LARGEST_HEADER * 0.9 < len(text) <= header.LARGEST_HEADER
    started = time.process_time()
    with pytest.raises(ModelError):
        checkpoint.load(path)
    assert time.process_time() - started < 20  # no blow-up; the promise of one second is for an idle machine


def test_files_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        checkpoint.load(tmp_path / "missing")
    with pytest.raises(ModelError, match="is a folder"):
        checkpoint.load(tmp_path)
    with pytest.raises(ModelError, match="device"):
        checkpoint.load(os.devnull)
