"""Atomic writing with every system call failing in turn, checkpoints there and back, the newest checkpoint."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symgrad.errors import ModelError, NotFoundError, OutputError, StorageError
from symgrad.storage import atomic, checkpoint

TENSORS = {
    "W1": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b1": np.zeros(0, np.float64),
    "η": np.array(-0.0),
    "step": np.array([7], np.uint64),
    "b1 (first moment)": np.array([np.nan, np.inf], np.float32),
}
DOCUMENT = {"epoch": 3, "nested": {"list": [1, 2.5, None, True, "α\n"]}, "loss": 0.1}


class Failing:
    """A stand-in for a function of `os` that fails at its n-th call."""

    def __init__(self, function: Any, code: int, at: int = 1) -> None:
        self.function, self.code, self.left = function, code, at

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.function(*arguments, **options)


def test_write_creates_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    for data in (b"first", b"", bytes(2**20)):
        atomic.write(str(path), data)
        assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["file.bin"]


def test_write_keeps_the_users_permissions_and_follows_links(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic.write(tmp_path / "file", b"1")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    (tmp_path / "link").symlink_to(tmp_path / "file")
    atomic.write(tmp_path / "link", b"2")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"2"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "close", "replace"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, exists: bool
) -> None:
    path = tmp_path / "file.bin"
    if exists:
        path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, Failing(getattr(os, call), code))
        expected = OutputError if code in (errno.EACCES, errno.EROFS) else StorageError
        with pytest.raises(expected, match=r"file\.bin"):
            atomic.write(path, b"new contents")
    assert os.listdir(tmp_path) == (["file.bin"] if exists else [])
    assert not exists or path.read_bytes() == b"old"
    atomic.write(path, b"new contents")


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_ctrl_c_while_writing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            atomic.write(tmp_path / "file.bin", b"new")
    assert os.listdir(tmp_path) == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:3])))
    atomic.write(tmp_path / "file.bin", b"0123456789")
    assert (tmp_path / "file.bin").read_bytes() == b"0123456789"


def test_the_folder_is_flushed_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda d: (calls.append("folder" if stat.S_ISDIR(os.fstat(d).st_mode) else "file"), sync(d))
    )
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("rename"), replace(*paths)))
    atomic.write(tmp_path / "file.bin", b"1")
    assert calls == ["file", "rename", "folder"]
    monkeypatch.setattr(os, "fsync", Failing(sync, errno.EINVAL, at=2))
    atomic.write(tmp_path / "file.bin", b"2")  # a file system without fsync of folders
    monkeypatch.setattr(os, "fsync", Failing(sync, errno.EIO, at=2))
    with pytest.raises(StorageError, match="power loss"):
        atomic.write(tmp_path / "file.bin", b"3")


def test_places_where_nothing_can_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    places = ["missing/x", "file/x", ".", "x" * 300, "nul\0", "loop"]
    for name in places:
        with pytest.raises(OutputError, match="cannot create"):
            atomic.write(tmp_path / name, b"1")
    with pytest.raises(OutputError, match="device"):
        atomic.write(os.devnull, b"1")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with pytest.raises(OutputError):
        atomic.make_folder(tmp_path / "file" / "x")
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]
    assert atomic.make_folder(tmp_path / "a" / "b").is_dir() and atomic.make_folder(tmp_path / "a" / "b").is_dir()


def test_leftovers_of_killed_processes_are_removed_when_old(tmp_path: Path) -> None:
    old, young = tmp_path / f".x.{'0' * 16}.tmp", tmp_path / f".x.{'1' * 16}.tmp"
    kept = tmp_path / "x.tmp"
    for path in (old, young, kept):
        path.write_bytes(b"")
    for path in (old, kept):
        os.utime(path, (0, 0))
    atomic.remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [young.name, "x.tmp"]


def test_checkpoint_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, TENSORS, DOCUMENT)
    tensors, document = checkpoint.load(path)
    assert document == DOCUMENT and set(tensors) == set(TENSORS)
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype and tensors[name].shape == array.shape
        assert tensors[name].tobytes() == array.tobytes()
        tensors[name][...] = 1  # writable, and nobody else's memory
    checkpoint.save(path, {}, {})
    assert checkpoint.load(path) == ({}, {})


@pytest.mark.parametrize("kind", ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_every_kind_in_every_layout(tmp_path: Path, kind: str) -> None:
    values = np.arange(24).reshape(4, 6)
    layouts = {"c": values, "f": np.asfortranarray(values), "cut": values[::2, ::-1], "t": values.T}
    tensors = {name: array.astype(kind, order="K") for name, array in layouts.items()}
    tensors["big"] = values.astype(">" + kind)
    checkpoint.save(tmp_path / "m", tensors, {})
    found, _ = checkpoint.load(tmp_path / "m")
    for name, array in tensors.items():
        assert np.array_equal(found[name], array) and found[name].dtype == np.dtype(kind)


def test_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    files = set()
    for turn in range(10):
        order = sorted(TENSORS, reverse=bool(turn % 2))
        document = {name: DOCUMENT[name] for name in sorted(DOCUMENT, reverse=bool(turn % 2))}
        checkpoint.save(tmp_path / "m", {name: TENSORS[name] for name in order}, document)
        files.add((tmp_path / "m").read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", "a\nb", "a\0", "..", "__metadata__", "x" * 201, "\ud800"])
def test_names_that_cannot_be_stored(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot name an array"):
        checkpoint.save(tmp_path / "m", {name: np.zeros(1)}, {})


def test_contents_that_cannot_be_stored(tmp_path: Path) -> None:
    deep: Any = 0
    for _ in range(200):
        deep = [deep]
    for array in (np.array([None]), np.zeros(1, complex), np.array(["a"]), np.zeros(1, np.float16), np.zeros(1, bool)):
        with pytest.raises(ModelError, match="a holds"):
            checkpoint.save(tmp_path / "m", {"a": array}, {})
    documents = [{"x": float("nan")}, {"x": float("inf")}, {"x": np.float32(1)}, {"x": deep}, {(1, 2): 3}]
    for document in [*documents, {"x": "y" * 2**24}]:
        with pytest.raises(ModelError, match="document"):
            checkpoint.save(tmp_path / "m", {}, document)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_newest_passes_over_damaged_ones(tmp_path: Path) -> None:
    names = [checkpoint.checkpoint_name(*at) for at in ((0, 5), (1, 9), (1,), (2, 3), (2, 10), (9,), (10,), (12345,))]
    for epoch, name in enumerate(names):
        checkpoint.save(tmp_path / name, TENSORS, {"n": epoch})
    for name in ("best.safetensors", "epoch-9999.txt", ".epoch-9999.safetensors.0.tmp"):
        (tmp_path / name).write_bytes(b"")
    for count in range(len(names), 0, -1):
        found = checkpoint.newest(tmp_path)
        assert found.path == tmp_path / names[count - 1]
        assert [path.name for path, _ in found.skipped] == names[count:][::-1]
        assert all(str(path) in reason for path, reason in found.skipped)
        found.path.write_bytes(found.path.read_bytes()[:-1])
    assert checkpoint.newest(tmp_path).path is None and len(checkpoint.newest(tmp_path).skipped) == len(names)
    for missing in (tmp_path / "missing", tmp_path / "best.safetensors"):
        with pytest.raises(NotFoundError):
            checkpoint.newest(missing)
