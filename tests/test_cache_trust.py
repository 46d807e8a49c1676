"""The kernel cache under attack and by accident: permissions, kills, damage, upgrades, many processes, no home."""

import importlib.metadata
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_kernel_cache import cache, files, flip, flips, fresh, right  # noqa: F401 - cache is a fixture
from test_nothing_lost import in_its_own_process

from symgrad.codegen import cache as store
from symgrad.codegen import host, native

SMALL = """
import symgrad as sg
x = sg.variable("x", ("N", 3))
kernel = sg.compile(sg.sum(sg.tanh(x * 3)), dtype="float64", threads=1)
print(kernel.cached, kernel({"x": [[0.1, 0.2, 0.3]]}))
"""


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.rigorous)])
def test_kills_while_compiling_leave_no_wrong_number(count):
    found = in_its_own_process("compiling", count)
    assert found["codes"][str(-signal.SIGKILL)] == count and set(found["codes"]) <= {str(-signal.SIGKILL), "0"}
    assert found["wrong"] == 0 and found["not kept"] == 0


@pytest.mark.parametrize("part", ["kernel.o", "manifest.json"])
def test_every_truncation_is_found_out(cache, part):  # noqa: F811
    whole = (cache / part).read_bytes()
    assert store.read(cache) is not None
    for length in reversed(range(len(whole))):
        os.truncate(cache / part, length)
        assert store.read(cache) is None, length
    again = fresh()
    assert not again.cached and right(again)


def test_a_thousand_flipped_bits_are_found_out(cache):  # noqa: F811
    """Of the object code every one; of the manifest all but those in the description of the environment."""
    good = {path: path.read_bytes() for path in files(cache)}
    flipped = 0
    for path, whole in good.items():
        for number in flips(500):
            flip(path, number)
            found, flipped = store.read(cache), flipped + 1
            assert found is None or (path.name == "manifest.json" and found[0] == good[cache / "kernel.o"])
            path.write_bytes(whole)
    assert flipped == 1000 and fresh().cached


def test_only_the_owner_may_have_written_what_is_loaded(cache):  # noqa: F811
    base = cache.parent
    for path in (cache, cache / "kernel.o", cache / "manifest.json"):
        before = stat.S_IMODE(path.stat().st_mode)
        assert before & 0o077 == 0, f"{path.name} {before:o}"
        for mode in (0o020, 0o002):
            path.chmod(before | mode)
            assert store.read(cache) is None
            path.chmod(before)
        assert store.read(cache) is not None
    for mode in (0o720, 0o707):
        base.chmod(mode)
        assert "writable by others" in store.trouble(base)
    again = fresh()
    assert not again.cached and right(again)
    base.chmod(0o755)  # readable by others is no danger
    assert store.trouble(base) == "" and fresh().cached


def test_files_are_the_owners_whatever_the_umask(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(tmp_path / "new"))
    old = os.umask(0o000)
    try:
        assert not fresh().cached and fresh().cached
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert not [f for f in (tmp_path / "new").glob("*/*") if f.stat().st_mode & 0o077]


def test_a_folder_of_another_user_is_not_used(cache, monkeypatch):  # noqa: F811
    monkeypatch.setattr(os, "getuid", lambda: cache.stat().st_uid + 1)
    assert "belongs to another user" in store.trouble(cache.parent) and store.read(cache) is None
    assert not fresh().cached and right(fresh())


def test_a_link_to_somewhere_else_is_not_followed(cache, tmp_path):  # noqa: F811
    elsewhere = tmp_path / "elsewhere"
    cache.rename(elsewhere)
    elsewhere.chmod(0o777)
    cache.symlink_to(elsewhere)
    assert store.read(cache) is None


def test_upgrades_and_other_processors_have_kernels_of_their_own(monkeypatch):
    def key():
        store.environment.cache_clear()
        return store.key_of("source", "float32")

    plain, version = key(), importlib.metadata.version
    assert key() == plain
    keys = {plain}
    for package in ("numba", "llvmlite", "numpy"):
        monkeypatch.setattr(importlib.metadata, "version", lambda p, package=package: "99.9" if p == package else version(p))
        keys.add(key())
    monkeypatch.setattr(importlib.metadata, "version", version)
    here = host.host()
    for changed in ({"cpu": "other"}, {"features": here.features + ",+more"}, {"triple": "other-unknown-linux"}):
        other = host.Host(**{**here.__dict__, **changed})
        monkeypatch.setattr(store, "host", lambda other=other: other)
        keys.add(key())
    monkeypatch.setattr(store, "host", lambda: here)
    monkeypatch.setattr(native, "source_digest", lambda: "other")
    keys.add(key())
    monkeypatch.undo()
    assert len(keys) == 8 and key() == plain
    assert len({store.key_of("a", "b"), store.key_of("ab"), store.key_of("a", "b", ""), store.key_of("", "ab")}) == 4


def test_sixteen_processes_that_want_the_same_kernel_at_once(tmp_path, monkeypatch):
    """One compiles, the others wait for it; every result is right, and nobody is left waiting."""
    place = tmp_path / "cold"
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(place))
    code = "import killing, json, os\n" + "killing.compiled(0)\n"
    code += "children = [killing.forked(lambda: 10 * killing.compiled(77)[1] + killing.compiled(77)[0]) for _ in range(16)]\n"
    code += "print(json.dumps([killing.ended(child) for child in children]))"
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=where, capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout) == [11] * 16 and done.stderr == ""
    assert len(list(place.glob("*/manifest.json"))) == 3  # the two kernels and the library


def small(**environment):
    done = subprocess.run(
        [sys.executable, "-c", SMALL], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place that nobody can write to, root included")
def test_a_home_that_cannot_be_written():
    own = {"HOME": "/proc/self", "XDG_CACHE_HOME": "/proc/self/cache", "SYMGRAD_CACHE_DIR": ""}
    cached, value = small(**own)
    assert cached == "False" and np.isclose(float(value), np.tanh([0.3, 0.6, 0.9]).sum())


def test_no_cache_neither_reads_nor_writes(tmp_path):
    place, source = tmp_path / "kernels", Path(__file__).parent / "test_data_attacks.py"
    (tmp_path / "mine.py").write_text(source.read_text().split('MODEL = """\\\n')[1].split('"""')[0])
    np.savez(tmp_path / "data.npz", x_train=np.ones((9, 3), "f4"), y_train=np.arange(9) % 3)
    words = [sys.executable, "-m", "symgrad", "train", "mine.py", "--data", "data.npz", "--epochs", "1", "--out", "run", "--no-cache"]
    own = {**os.environ, "SYMGRAD_CACHE_DIR": str(place)}
    done = subprocess.run(words, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "kernel compiled in" in done.stdout and not place.exists(), done.stderr


def test_clearing_removes_kernels_and_nothing_else(cache):  # noqa: F811
    base = cache.parent
    (base / "thesis").mkdir()
    (base / "thesis" / "chapter.tex").write_text("years of work")
    (base / "notes.lock").write_text("mine")
    count, total = store.clear()
    assert count == 2 and total > 1000 and sorted(f.name for f in base.iterdir()) == ["notes.lock", "thesis"]
    assert (base / "thesis" / "chapter.tex").read_text() == "years of work"


def test_litter_of_a_killed_writer_goes_with_the_next_kernel(cache):  # noqa: F811
    (cache / "kernel.o.12345").write_bytes(b"half")
    (cache / "manifest.json").unlink()
    assert not fresh().cached and sorted(f.name for f in cache.iterdir()) == sorted(store.FILES)


def test_a_compiler_that_fails_says_so_once(cache, monkeypatch):  # noqa: F811
    """An OSError of the compiler is not mistaken for one of the lock."""

    def broken():
        raise OSError("no compiler")

    with pytest.raises(OSError, match="no compiler"):
        store.fetch("0" * 32, broken)

