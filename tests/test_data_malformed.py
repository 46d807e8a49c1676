"""A table of data files that must be refused with file and reason, and every truncation and bit flip of small ones."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from symgrad.data import image, load
from symgrad.data.sources import IDX_NAMES
from symgrad.errors import DataError, NotFoundError

TRAIN_X, TRAIN_Y, TEST_X, TEST_Y = IDX_NAMES.values()


def idx(*shape: int, items: bytes | None = None, kind: int = 8) -> bytes:
    """An IDX file with the sizes `shape`, whatever its items are."""
    header = struct.pack(f">2xBB{len(shape)}I", kind, len(shape), *shape)
    return header + (bytes(int(np.prod(shape))) if items is None else items)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def npy(array: Any, **replaced: bytes) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    data = stream.getvalue()
    for old, new in replaced.items():
        assert old.encode() in data
        data = data.replace(old.encode(), new)
    return data


def archive(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return stream.getvalue()


def png(array: Any, mode: str | None = None) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(stream, "PNG")
    return stream.getvalue()


X, Y = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([0, 1, 2, 1])
GOOD_IDX = {TRAIN_X: idx(4, 2, 3), TRAIN_Y: idx(4), TEST_X: idx(2, 2, 3), TEST_Y: idx(2)}
BOMB = gzip.compress(struct.pack(">2xBB3I", 8, 3, 1, 2, 3) + bytes(2**24))

# Which file is replaced (None: removed), by what, and what the message must say.
BAD_IDX: list[tuple[str, str, bytes | None, str]] = [
    ("images missing", TRAIN_X, None, "has no train-images"),
    ("labels missing", TRAIN_Y, None, "has no train-labels"),
    ("half a test set", TEST_Y, None, "has no t10k-labels"),
    ("no bytes", TRAIN_X, b"", "0 of 4 bytes of its magic number"),
    ("half a magic", TRAIN_Y, b"\0\0\x08", "3 of 4 bytes"),
    ("text", TRAIN_X, b"<html>not found</html>", "not an IDX file"),
    ("unknown item type", TRAIN_X, idx(4, 2, 3, kind=7), "not an IDX file"),
    ("floats", TRAIN_X, idx(4, 2, 3, kind=0x0D), "32-bit floats"),
    ("labels as images", TRAIN_X, idx(4), "1 dimensions where 3"),
    ("images as labels", TRAIN_Y, idx(4, 2, 3), "3 dimensions where 1"),
    ("no sizes", TRAIN_X, idx(4, 2, 3)[:9], "bytes of its sizes"),
    ("no pictures", TRAIN_X, idx(0, 28, 28), "is empty"),
    ("pictures without pixels", TRAIN_X, idx(4, 0, 28), "is empty"),
    ("no labels", TRAIN_Y, idx(0), "is empty"),
    ("truncated", TRAIN_X, idx(4, 2, 3)[:-1], "more than such a file can hold|truncated"),
    ("sizes of 2**96", TRAIN_X, idx(2**32 - 1, 2**32 - 1, 2**32 - 1, items=b"x"), "more than such a file can hold"),
    ("trailing byte", TRAIN_Y, idx(4) + b"\0", "goes on after"),
    ("fewer labels", TRAIN_Y, idx(3), "x_train has 4 rows but y_train has 3"),
    ("fewer test labels", TEST_Y, idx(1), "x_test has 2 rows but y_test has 1"),
    ("other picture size", TEST_X, idx(2, 3, 3), "apart from the number of rows"),
    ("gzip without .gz", TRAIN_X, gzip.compress(idx(4, 2, 3)), "add .gz"),
]
BAD_GZ: list[tuple[str, bytes, str]] = [
    ("not gzip", idx(4, 2, 3), "not a sound gzip"),
    ("empty", b"", "truncated"),
    ("truncated", gzip.compress(idx(4, 2, 3))[:-9], "truncated"),
    ("checksum cut off", gzip.compress(idx(4, 2, 3))[:-8], "truncated"),
    ("wrong checksum", gzip.compress(idx(4, 2, 3))[:-8] + bytes(8), "not a sound gzip"),
    ("bomb", BOMB, "goes on after"),
    ("lying size", gzip.compress(idx(2**31, 2, 3, items=b"x")), "more than such a file can hold"),
    ("size just above", gzip.compress(idx(5, 2, 3, items=bytes(24))), "24 of 30 bytes"),
    ("trailing bytes", gzip.compress(idx(4, 2, 3)) + b"more", "other bytes follow"),
    ("two members", gzip.compress(idx(4, 2, 3)) * 2, "other bytes follow"),
]
BAD_NPZ: list[tuple[str, bytes, str]] = [
    ("empty", b"", "not a sound npz"),
    ("text", b"x_train,y_train", "not a sound npz"),
    ("truncated", npz(x_train=X, y_train=Y)[:-20], "not a sound npz"),
    ("no labels", npz(x_train=X, y=Y), "no array y_train; it holds 'x_train', 'y'"),
    ("no arrays", archive(), "holds no arrays"),
    ("test without labels", npz(x_train=X, y_train=Y, x_test=X), "y_test is missing"),
    ("objects", npz(x_train=np.array([[None, {}]]), y_train=Y), "never unpickled"),
    ("strings", npz(x_train=X, y_train=np.array(list("abca"))), "only real and integer"),
    ("complex", npz(x_train=X.astype(complex), y_train=Y), "only real and integer"),
    ("structured", npz(x_train=np.zeros((4, 1), [("a", "f4")]), y_train=Y), "only real and integer"),
    ("lengths", npz(x_train=X, y_train=Y[:3]), "4 rows but y_train has 3"),
    ("test columns", npz(x_train=X, y_train=Y, x_test=X[:, 1:], y_test=Y), "apart from the number"),
    ("no rows", npz(x_train=X[:0], y_train=Y[:0]), "is empty"),
    ("no columns", npz(x_train=X[:, :0], y_train=Y), "is empty"),
    ("one axis", npz(x_train=X[:, 0], y_train=Y), "a row for each example"),
    ("scalar labels", npz(x_train=X, y_train=np.int64(3)), "must be (rows,)"),
    ("NaN", npz(x_train=X * [1, 1, np.nan], y_train=Y), "x_train[0, 2]"),
    ("infinite target", npz(x_train=X, y_train=Y * [1.0, 1, np.inf, 1]), "y_train[2]"),
    ("huge label", npz(x_train=X, y_train=Y.astype(np.uint64) + np.uint64(2**63)), "no class number"),
    ("not an array", archive(x_train=b"hello", y_train=npy(Y)), "NumPy's format"),
    ("array cut off", archive(x_train=npy(X)[:-1], y_train=npy(Y)), "47 are there"),
    ("array too long", archive(x_train=npy(X) + b"\0", y_train=npy(Y)), "49 are there"),
    ("lying shape", archive(x_train=npy(X, **{"(4, 3)": b"(9**9,"[:4] + b"9)"}), y_train=npy(Y)), "NumPy's format"),
    ("large shape", archive(x_train=npy(X, **{"(4, 3), }    ": b"(4, 30000), }"}), y_train=npy(Y)), "48 are there"),
    ("negative shape", archive(x_train=npy(X, **{"(4, 3), } ": b"(-4, 3), }"}), y_train=npy(Y)), "shape"),
    ("code in header", archive(x_train=npy(X, **{"False": b"exit("}), y_train=npy(Y)), "NumPy's format"),
    ("version 9", archive(x_train=npy(X, **{"NUMPY\x01": b"NUMPY\x09"}), y_train=npy(Y)), "NumPy's format"),
    ("bzip2", archive(zipfile.ZIP_BZIP2, x_train=npy(X), y_train=npy(Y)), "unusual method"),
    ("wrong checksum", archive(x_train=npy(X), y_train=npy(Y)).replace(X.tobytes(), X[::-1].tobytes()), "CRC"),
]
BAD_CSV: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is empty"),
    ("blank line first", b"\na,label\n1,2\n", "begins with a blank line"),
    ("header only", b"a,b,label\n", "no rows"),
    ("no header", b"1,2,3\n4,5,6\n", "names the columns"),
    ("one column", b"label\n1\n", "at least two"),
    ("semicolons", b"a;b;label\n1;2;3\n", "commas"),
    ("duplicate", b"a,a,label\n1,2,3\n", "line 1: two columns are named 'a'"),
    ("nameless", b"a,,label\n1,2,3\n", "column 2 has no name"),
    ("short row", b"a,b,label\n1,2,3\n\n4,5\n", "line 4: 2 cells where the header has 3"),
    ("long row", b"a,b,label\n1,2,3,4\n", "line 2: 4 cells"),
    ("word", b"a,b,label\n1,2,3\n1,two,3\n", "line 3, column 'b': 'two' is not a number"),
    ("word after the label", b"label,a,b\n1,2,x\n", "line 2, column 'b'"),
    ("empty cell", b"a,b,label\n1,,3\n", "line 2, column 'b': an empty cell"),
    ("digit groups", b"a,b,label\n1,1_000,3\n", "'1_000' is not a number"),
    ("other digits", "a,b,label\n1,٣,3\n".encode(), "is not a number"),
    ("NaN", b"a,b,label\n1,2,3\n1,nan,3\n", "line 3, column 'b': not a finite"),
    ("overflow", b"a,b,label\n1e39,2,3\n", "line 2, column 'a': not a finite"),
    ("no label", b"a,b,label\n1,2,\n", "line 2: the label is missing"),
    ("NaN label", b"a,b,label\n1,2,nan\n", "label nan is not usable"),
    ("mixed labels", b"a,b,label\n1,2,3\n1,2,cat\n", "line 3 has the word 'cat'"),
    ("guessed words", b"a,b,species\n1,2,cat\n", "name the label column"),
    ("latin-1", b"a,b,label\n1,2,\xe9\n", "not UTF-8"),
    ("NUL", b"a,b,label\n1,\0,3\n", "line 2"),
    ("open quote", b'a,b,label\n1,"2,3\n', "not a sound CSV"),
    ("huge field", b"a,b,label\n1," + b"2" * 200_000 + b",3\n", "not a sound CSV"),
]
BAD_PICTURES: list[tuple[str, str, bytes, str]] = [
    ("empty png", "d.png", b"", "not a sound PNG"),
    ("jpeg bytes", "d.png", b"\xff\xd8\xff\xe0" + bytes(40), "not a sound PNG"),
    ("truncated png", "d.png", png(np.eye(28, dtype=np.uint8) * 255)[:-30], "not a sound PNG"),
    ("large png", "d.png", png(np.zeros((4100, 4100), np.uint8)), "at most"),
    ("other suffix", "d.txt", b"hello", "no picture"),
    ("empty npy", "d.npy", b"", "NumPy's format"),
    ("wrong shape", "d.npy", npy(np.zeros((28, 27))), "(28, 27)"),
    ("negative", "d.npy", npy(np.full((28, 28), -1)), "outside 0"),
    ("too large", "d.npy", npy(np.full((28, 28), 256)), "outside 0"),
    ("NaN", "d.npy", npy(np.full((28, 28), np.nan)), "not finite"),
    ("objects", "d.npy", npy(np.full((28, 28), None)), "never unpickled"),
]
FILES = (
    [(f"idx {name}", file, data, text) for name, file, data, text in BAD_IDX]
    + [(f"gz {name}", f"{TRAIN_X}.gz", data, text) for name, data, text in BAD_GZ]
    + [(f"npz {name}", "d.npz", data, text) for name, data, text in BAD_NPZ]
    + [(f"csv {name}", "d.csv", data, text) for name, data, text in BAD_CSV]
    + [(f"picture {name}", file, data, text) for name, file, data, text in BAD_PICTURES]
)


def idx_folder(folder: Path) -> Path:
    for name, data in GOOD_IDX.items():
        (folder / name).write_bytes(data)
    return folder


def test_the_table_is_large_enough() -> None:
    assert len(FILES) >= 90 and len({name for name, *_ in FILES}) == len(FILES)


@pytest.mark.parametrize(("name", "file", "data", "text"), FILES, ids=[name for name, *_ in FILES])
def test_refused_with_file_and_reason(tmp_path: Path, name: str, file: str, data: bytes | None, text: str) -> None:
    reader: Callable[[Path], Any] = load if file.endswith((".npz", ".csv")) else image
    target = tmp_path / file
    if file.startswith(tuple(GOOD_IDX)):
        reader, target = load, idx_folder(tmp_path)
        (tmp_path / file.removesuffix(".gz")).unlink()
    if data is not None:
        (tmp_path / file).write_bytes(data)
    with pytest.raises((DataError, NotFoundError)) as caught:
        reader(target)
    message = str(caught.value)
    assert str(target) in message and "\n" not in message and len(message) < 700
    assert any(part in message for part in text.split("|")), message


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    small = {"d.npz": npz(x_train=X, y_train=Y), f"{TRAIN_X}.gz": gzip.compress(GOOD_IDX[TRAIN_X])}
    idx_folder(tmp_path)
    (tmp_path / TRAIN_X).unlink()
    for name, data in small.items():
        for length in range(len(data)):
            (tmp_path / name).write_bytes(data[:length])
            with pytest.raises(DataError, match=r"d\.npz|train-images"):
                load(tmp_path / name if name == "d.npz" else tmp_path)


@pytest.mark.parametrize("data", [npz(x_train=X, y_train=Y), archive(x_train=npy(X), y_train=npy(Y))])
def test_every_bit_flip_is_refused_or_harmless(tmp_path: Path, data: bytes) -> None:
    refused = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "d.npz").write_bytes(flipped)
        try:
            found = load(tmp_path / "d.npz")
        except DataError:
            refused += 1
        else:  # dates and the like, which nothing reads
            assert np.array_equal(found.x_train, X) and np.array_equal(found.y_train, Y)
    assert refused > 4 * len(data)
