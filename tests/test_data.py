"""The data readers: MNIST as published, every accepted form of file and what becomes of it, the Dataset itself."""

import gzip
import hashlib
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import symgrad.data
from symgrad.data import Dataset, image, load, mnist
from symgrad.data.sources import IDX_NAMES, MNIST_FOLDER
from symgrad.data.table import read_csv
from symgrad.errors import ConfigurationError, DataError, NotFoundError

X, Y = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([0, 1, 2, 1])
PICTURES = (np.arange(24) % 251).astype(np.uint8).reshape(4, 2, 3)


def csv(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "arrays.npz"
    np.savez(path, **arrays)
    return path


def idx_file(array: np.ndarray) -> bytes:
    return struct.pack(f">2xBB{array.ndim}I", 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def test_the_shipped_files_are_the_published_ones() -> None:
    rows = re.findall(r"\| (\S+) \| ([\d,]+) \| ([0-9a-f]{32}) \|", (MNIST_FOLDER / "SOURCE.md").read_text())
    assert {name for name, _, _ in rows} == set(IDX_NAMES.values())
    for name, size, checksum in rows:
        data = gzip.decompress((MNIST_FOLDER / f"{name}.gz").read_bytes())
        assert len(data) == int(size.replace(",", ""))
        assert hashlib.md5(data, usedforsecurity=False).hexdigest() == checksum


def test_mnist_is_whole() -> None:
    data = mnist()
    assert data.x_test is not None and data.y_test is not None
    assert data.x_train.shape == (60000, 784) and data.x_test.shape == (10000, 784)
    assert data.x_train.dtype == data.x_test.dtype == np.uint8
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.image_shape == (28, 28) and data.feature_shape == (784,) and data.name == "mnist"
    assert np.array_equal(load().x_test, data.x_test) and np.array_equal(load("mnist").y_test, data.y_test)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("tested", [False, True])
def test_idx_folder(tmp_path: Path, compressed: bool, tested: bool) -> None:
    for part, name in IDX_NAMES.items():
        if tested or part.endswith("train"):
            content = idx_file(PICTURES if part[0] == "x" else Y)
            path = tmp_path / (name + ".gz" * compressed)
            path.write_bytes(gzip.compress(content) if compressed else content)
    data = load(tmp_path)
    assert np.array_equal(data.x_train, PICTURES.reshape(4, 6)) and data.x_train.dtype == np.uint8
    assert np.array_equal(data.y_train, Y) and data.y_train.dtype == np.int64
    assert data.image_shape == (2, 3) and (data.x_test is not None) == tested


def test_a_large_idx_file_unpacks_in_many_pieces(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3000, 28, 28))
    (tmp_path / f"{IDX_NAMES['x_train']}.gz").write_bytes(gzip.compress(idx_file(pictures), 1))
    (tmp_path / IDX_NAMES["y_train"]).write_bytes(idx_file(np.zeros(3000)))
    assert np.array_equal(load(str(tmp_path)).x_train, pictures.reshape(3000, 784))


@pytest.mark.parametrize("dtype", ["u1", "i2", "<i8", ">i4", "f4", ">f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_keeps_kind_and_width(tmp_path: Path, dtype: str, order: str) -> None:
    data = load(npz(tmp_path, x_train=np.array(X, dtype, order=order), y_train=Y.astype(np.int32)))
    assert data.x_train.dtype == np.dtype(dtype).newbyteorder("=") and data.x_train.flags.c_contiguous
    assert np.array_equal(data.x_train, X) and data.y_train.dtype == np.int64 and data.x_test is None


def test_npz_shapes_and_small_kinds(tmp_path: Path) -> None:
    data = load(npz(tmp_path, x_train=PICTURES, y_train=Y[:, None], x_test=PICTURES[:1], y_test=Y[:1, None]))
    assert data.x_train.shape == (4, 6) and data.image_shape == (2, 3) and data.y_train.shape == (4,)
    data = load(npz(tmp_path, x_train=X > 5, y_train=X.astype(np.float16)))
    assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.float32 and data.y_train.shape == (4, 3)


def test_csv_labels(tmp_path: Path) -> None:
    data = load(csv(tmp_path, "\ufeffa, b,Label\r\n1,2.5,1\r\n\r\n-3,4e1,0\r\n\r\n"))
    assert data.x_train.dtype == np.float32 and data.x_train.tolist() == [[1, 2.5], [-3, 40]]
    assert data.y_train.dtype == np.int64 and data.y_train.tolist() == [1, 0] and data.x_test is None
    data = load(csv(tmp_path, 'kind,a\n"cat, old",1\ndog,2\ncat,3\n'), label="kind")
    assert data.classes == ("cat", "cat, old", "dog") and data.y_train.tolist() == [1, 2, 0]
    assert load(csv(tmp_path, "a,b\n1,0.5\n2,3\n")).y_train.dtype == np.float32
    assert load(csv(tmp_path, "y,label\n1,5\n")).y_train.tolist() == [5]
    features, labels, classes = read_csv(csv(tmp_path, "y,label\n1,5\n"), label="y")
    assert features.tolist() == [[5]] and labels.tolist() == [1] and classes is None
    with pytest.raises(DataError, match="no column 'z' for the labels; its columns are 'y', 'label'"):
        load(tmp_path / "table.csv", label="z")


def test_sources_that_do_not_exist_or_are_something_else(tmp_path: Path) -> None:
    for name in ("missing.npz", "missing", "bad\0name.csv"):
        with pytest.raises(NotFoundError):
            load(tmp_path / name)
    with pytest.raises(NotFoundError, match="does not exist"):
        image(tmp_path / "missing.png")
    with pytest.raises(NotFoundError, match="train-images"):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="no known kind"):
        load(tmp_path / "notes.txt")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        image(tmp_path / "folder.png")
    with pytest.raises(ConfigurationError, match="only be named for a CSV"):
        load("mnist", label="digit")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.csv")
    with pytest.raises(DataError, match="device or a pipe"):
        load(tmp_path / "data.csv")


def test_dataset_split_and_limit() -> None:
    data = Dataset("d", X, Y, X[:2], Y[:2])
    x, y, x_held, y_held = data.split(1)
    assert x.tolist() == X[:3].tolist() and y.tolist() == [0, 1, 2]
    assert x_held.tolist() == X[3:].tolist() and y_held.tolist() == [1]
    assert [len(part) for part in data.split(0)] == [4, 4, 0, 0]
    small = data.limit(3)
    assert small.x_test is not None and (len(small.x_train), len(small.y_train), len(small.x_test)) == (3, 3, 2)
    for validation in (-1, 4, 5):
        with pytest.raises(ConfigurationError, match="choose 0 to 3"):
            data.split(validation)
    with pytest.raises(ConfigurationError, match="at least 1"):
        data.limit(0)


def digit() -> np.ndarray:
    """A white L on black, as MNIST has it."""
    array = np.zeros((28, 28), np.uint8)
    array[4:24, 8:11] = array[21:24, 8:20] = 255
    return array


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "I;16"])
@pytest.mark.parametrize("inverted", [False, True])
def test_png_in_every_mode(tmp_path: Path, mode: str, inverted: bool) -> None:
    pixels = 255 - digit() if inverted else digit()
    wide = Image.fromarray(pixels.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    wide.save(tmp_path / "digit.png")
    assert np.array_equal(image(tmp_path / "digit.png"), digit().reshape(784))


def test_png_transparent_and_resized(tmp_path: Path) -> None:
    ink = np.zeros((28, 28, 4), np.uint8)
    ink[..., 3] = digit()
    Image.fromarray(ink).save(tmp_path / "ink.png")
    assert np.array_equal(image(tmp_path / "ink.png"), digit().reshape(784))
    large = np.kron(255 - digit(), np.ones((10, 10), np.uint8))[:, 40:240]
    Image.fromarray(large).save(tmp_path / "large.png")
    found = image(tmp_path / "large.png").reshape(28, 28).astype(int)
    assert found.shape == (28, 28) and np.abs(found - digit()).mean() < 3 and found[0, 0] == 0


@pytest.mark.parametrize("array", [digit(), digit().reshape(784), digit()[None, :, :, None], digit() / 255.0])
def test_npy_pictures(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "digit.npy", array)
    assert np.array_equal(image(str(tmp_path / "digit.npy")), digit().reshape(784))


def test_the_public_names() -> None:
    assert symgrad.data.__all__ == ["Dataset", "image", "load", "mnist"]
