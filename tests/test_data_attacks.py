"""Data files on the command line: over 130 malformed ones end with exit code 65, one paragraph, and little memory.

The tables of test_data_malformed.py, which look at the readers, and more: real bombs, lying archives, odd labels.
"""

import gzip
import io
import signal
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from test_data_malformed import (
    BAD_CSV,
    BAD_GZ,
    BAD_IDX,
    BAD_NPZ,
    TEST_X,
    TRAIN_X,
    TRAIN_Y,
    X,
    Y,
    archive,
    idx,
    idx_folder,
    npy,
    npz,
)

from symgrad.cli import app
from symgrad.data import load
from symgrad.errors import SymgradError

MODEL = """\
import symgrad as sg


def model(columns=3):
    x, y = sg.variable("x", ("N", columns)), sg.labels("y", ("N",), classes=3)
    z = x @ sg.parameter("W", (columns, 3))
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y))
"""
ZEROS = bytes(2**26)  # 64 MB, which deflate makes 65 kB of


def header(text: str) -> bytes:
    """An array in NumPy's format with this header, however wrong."""
    data = (text + " " * (-(len(text) + 11) % 64) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(data)) + data + X.tobytes()


def described(descr: object = "<f4", order: object = False, shape: object = (4, 3)) -> bytes:
    return header(f"{{'descr': {descr!r}, 'fortran_order': {order!r}, 'shape': {shape!r}, }}")


def stored(**members: bytes) -> bytes:
    return archive(**{"x_train": npy(X), "y_train": npy(Y), **members})


def lying(old: bytes, new: bytes) -> bytes:
    """A sound archive in which some bytes are others."""
    data = stored()
    assert old in data
    return data.replace(old, new)


def deflated(**members: bytes) -> bytes:
    return archive(zipfile.ZIP_DEFLATED, **{"x_train": npy(X), "y_train": npy(Y), **members})


def sizes(change: int) -> bytes:
    """An archive whose directory states another unpacked size for its first array."""
    data = bytearray(deflated())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"PK\x01\x02"))
    data[at + 24 : at + 28] = struct.pack("<I", change)
    return bytes(data)


def renamed(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(name, npy(X))
        file.writestr("y_train.npy", npy(Y))
    return stream.getvalue()


GOOD = gzip.compress(idx(4, 2, 3))
MORE_GZ = [
    ("bomb behind the pictures", gzip.compress(idx(4, 2, 3) + ZEROS)),
    ("bomb with a lying header", gzip.compress(idx(2**20, 2**6, 2**6, items=ZEROS))),
    ("gzip in gzip", gzip.compress(GOOD)),
    ("other method", GOOD[:2] + b"\x07" + GOOD[3:]),
    ("reserved flags", GOOD[:3] + b"\xe0" + GOOD[4:]),
    ("wrong length", GOOD[:-4] + b"\xff\xff\xff\xff"),
    ("zlib instead", zlib.compress(idx(4, 2, 3))),
    ("noise inside", GOOD[:12] + bytes(b ^ 0x55 for b in GOOD[12:20]) + GOOD[20:]),
]
MORE_IDX = [
    ("no dimensions", TRAIN_X, b"\0\0\x08\0"),
    ("four dimensions", TRAIN_X, idx(4, 2, 3, 1)),
    ("255 dimensions", TRAIN_X, b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"x"),
    ("little-endian sizes", TRAIN_X, struct.pack("<2xBB3I", 8, 3, 4, 2, 3)[:4] + struct.pack("<3I", 4, 2, 3) + bytes(24)),
    ("empty test set", TEST_X, idx(0, 2, 3)),
    ("numpy file", TRAIN_Y, npy(Y)),
]  # fmt: skip
MORE_NPZ = [
    ("bomb with a small header", deflated(x_train=npy(X) + ZEROS)),
    ("bomb with a large header", deflated(x_train=described(shape=(2**40, 3)) + ZEROS)),
    ("more unpacked than deflate can", sizes(2**32 - 2)),
    ("size one too small", sizes(len(npy(X)) - 1)),
    ("size one too large", sizes(len(npy(X)) + 1)),
    ("path upwards", renamed("../x_train.npy")),
    ("path from the root", renamed("/x_train.npy")),
    ("folder", renamed("x_train.npy/")),
    ("name in the local header", lying(b"x_train.npy\x93", b"z_train.npy\x93")),
    ("encrypted", lying(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")),
    ("no directory", stored()[:-22]),
    ("directory elsewhere", stored()[:-6] + b"\xff\xff\xff\x00\x00\x00"),
    ("a class as kind", stored(x_train=header("{'descr': __import__('os').system('touch canary'), 'shape': (4, 3)}"))),
    ("objects by another name", stored(x_train=described("|O8"))),
    ("pickled objects", stored(x_train=described("|O8", shape=(1,))[:128] + b"\x80\x04cos\nsystem\n")),
    ("void", stored(x_train=described("|V4"))),
    ("nested kinds", stored(x_train=described([("a", [("b", "<f4")])]))),
    ("16-byte reals", stored(x_train=described("<f16", shape=(1, 3)))),
    ("dates", stored(x_train=described("<M8[s]", shape=(2, 3)))),
    ("no kind", stored(x_train=described(None))),
    ("order 2", stored(x_train=described(order="C"))),
    ("shape of one number", stored(x_train=described(shape=12))),
    ("shape of texts", stored(x_train=described(shape=("4", "3")))),
    ("shape of truths", stored(x_train=described(shape=(True, 12)))),
    ("shape of reals", stored(x_train=described(shape=(4.0, 3.0)))),
    ("shape beyond 64 bits", stored(x_train=described(shape=(2**64, 3)))),
    ("two huge sizes and a zero", stored(x_train=described(shape=(2**62, 2**62, 0)))),
    ("33 axes", stored(x_train=described(shape=(4, 3) + (1,) * 31))),
    ("200 axes", stored(x_train=described(shape=(1,) * 200))),
    ("header of 60,000 characters", stored(x_train=header("{" + " " * 60_000 + "}"))),
    ("deep header", stored(x_train=header("(" * 5000))),
    ("header not closed", stored(x_train=header("{'descr': '<f4', "))),
    ("extra key", stored(x_train=header("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3), 'code': 1}"))),
    ("header longer than the file", stored(x_train=b"\x93NUMPY\x01\x00\xff\xff{")),
    ("labels below 0", npz(x_train=X, y_train=Y - 1)),
    ("labels above the classes", npz(x_train=X, y_train=Y + 1)),
    ("labels far above", npz(x_train=X, y_train=Y + 2**40)),
    ("real labels", npz(x_train=X, y_train=Y * 0.5)),
    ("one-hot labels", npz(x_train=X, y_train=np.eye(3)[Y])),
    ("other columns", npz(x_train=X[:, :2], y_train=Y)),
]
MORE_CSV = [
    ("ragged at the end", b"a,b,c,label\n1,2,3,0\n1,2,3,1\n1,2,3\n"),
    ("UTF-16", "a,b,c,label\n1,2,3,0\n".encode("utf-16")),
    ("a spreadsheet's formula", b"a,b,c,label\n=cmd|' /C calc'!A0,2,3,0\n"),
    ("hexadecimal", b"a,b,c,label\n0x10,2,3,0\n"),
    ("infinity", b"a,b,c,label\ninf,2,3,0\n"),
    ("only labels", b"label\n1\n"),
    ("binary", bytes(range(256)) * 4),
    ("one endless line", b"a,b,c,label\n" + b"1," * 10_000 + b"1\n"),
    ("a hundred thousand columns", b",".join(b"%d" % n for n in range(100_000)) + b"\n1\n"),
    ("label beyond 53 bits", b"a,b,c,label\n1,2,3,9007199254740994\n"),
    ("label below 0", b"a,b,c,label\n1,2,3,-1\n"),
    ("label above the classes", b"a,b,c,label\n1,2,3,3\n"),
    ("half a label", b"a,b,c,label\n1,2,3,0.5\n"),
    ("escape sequences", b"a,b,c,label\n\x1b[2J,2,3,0\n"),
    ("quotes in the middle", b'a,b,c,label\n1"2",2,3,0\n'),
    ("old Macintosh", b"a,b,c,label\r1,2,3,0\r1,2\r"),
]
FILES = (
    [(f"idx {name}", file, data) for name, file, data, _ in BAD_IDX if data is not None]
    + [(f"idx {name}", file, data) for name, file, data in MORE_IDX]
    + [(f"gz {name}", f"{TRAIN_X}.gz", data) for name, data, *_ in [*BAD_GZ, *MORE_GZ]]
    + [(f"npz {name}", "d.npz", data) for name, data, *_ in [*BAD_NPZ, *MORE_NPZ]]
    + [(f"csv {name}", "d.csv", data) for name, data, *_ in [*BAD_CSV, *MORE_CSV]]
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model; signal handlers as they were."""
    folder, before = tmp_path_factory.mktemp("attacks"), signal.getsignal(signal.SIGTERM)
    (folder / "mine.py").write_text(MODEL)
    yield folder
    signal.signal(signal.SIGTERM, before)


def test_the_table_is_large_enough() -> None:
    assert len(FILES) >= 140 and len({name for name, *_ in FILES}) == len(FILES)
    assert all(sum(name.startswith(kind) for name, *_ in FILES) >= 18 for kind in ("idx", "gz", "npz", "csv"))


@pytest.mark.parametrize(("name", "file", "data"), FILES, ids=[name for name, *_ in FILES])
def test_a_malformed_file_is_exit_code_65(place, tmp_path, monkeypatch, capsys, name, file, data):
    monkeypatch.chdir(tmp_path)
    source = file
    if not file.startswith("d."):
        idx_folder(tmp_path)
        (tmp_path / file.removesuffix(".gz")).unlink()
        source = "."
    (tmp_path / file).write_bytes(data)
    tracemalloc.start()
    try:
        load(source)
    except SymgradError:
        refused = True
    else:
        refused = False  # sound by itself: it does not fit the model
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24 + 3 * len(data), f"{peak:,} bytes"
    model = ["-p", "columns=6"] if source == "." else []
    code = app.run(["train", str(place / "mine.py"), *model, "--data", source, "--validation", "0", "--epochs", "1"])
    errors = capsys.readouterr().err
    assert code == 65 and errors.startswith("error: ") and len(errors) < 700, (code, errors)
    assert "\x1b" not in errors and "Traceback" not in errors and "internal error" not in errors
    assert not refused or file.removesuffix(".gz") in errors or "rows" in errors, errors
    assert not Path("canary").exists() and (refused or "runs" in [p.name for p in tmp_path.iterdir()])
