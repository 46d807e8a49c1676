"""Kernels on disk: damage means compiling again, never other numbers; the same source in every process and CPU."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad.codegen.host import host

x, w = sg.variable("x", ("N", 5)), sg.parameter("w", (5, 4))
EXPRESSIONS = [sg.mean(sg.tanh(x @ w)), *sg.gradient(sg.mean(sg.tanh(x @ w) ** 2), [w, x])]
GIVEN = {"x": np.linspace(-1, 1, 35).reshape(7, 5), "w": np.linspace(-2, 1, 20).reshape(5, 4)}
WANT = [sg.evaluate(e, GIVEN) for e in EXPRESSIONS]

# Prints the source and the results of a network's kernel, and how often each identity fired.
SCRIPT = """
import hashlib, numpy as np, symgrad as sg
from symgrad.calculus.simplify import simplified
x, y = sg.variable("x", ("N", 19)), sg.labels("y", ("N",), classes=5)
w1, b1, w2 = sg.parameter("w1", (19, 33)), sg.parameter("b1", (33,)), sg.parameter("w2", (33, 5))
z = sg.relu(x @ w1 + b1).named("h") @ w2
loss = sg.softmax_cross_entropy(z, y) + sg.mean(sg.softplus(w1)) + sg.sum(sg.exp(b1) / sg.sum(sg.exp(b1)) * b1)
expressions = [loss, *sg.gradient(loss, [w1, b1, w2])]
rng = np.random.default_rng(0)
given = {"x": rng.uniform(-1, 1, (61, 19)), "y": np.arange(61) % 5, "w1": rng.uniform(-1, 1, (19, 33)),
         "b1": rng.uniform(-1, 1, 33), "w2": rng.uniform(-1, 1, (33, 5))}
kernel = sg.compile(expressions, dtype="float64", threads=2)
for got, e in zip(kernel(given), expressions):
    np.testing.assert_allclose(got, sg.evaluate(e, given), rtol=1e-11, atol=1e-13)
print(kernel.source)
print([r.identity.name for r in simplified(expressions).steps])
print("\\n".join(map(sg.formula, sg.simplify(expressions))))
"""


def fresh():
    return sg.compile(EXPRESSIONS, dtype="float64", threads=1)


def right(kernel):
    return all(np.allclose(a, b, rtol=1e-12, atol=1e-15) for a, b in zip(kernel(GIVEN), WANT, strict=True))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An own cache with one kernel in it, and that kernel's folder."""
    place = tmp_path / "cache"
    place.mkdir(mode=0o700)
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(place))
    kernel = fresh()
    assert not kernel.cached and right(kernel)
    folders = [f for f in place.iterdir() if f.is_dir() and kernel.source == (f / "kernel.py").read_text()]
    assert len(folders) == 1
    return folders[0]


def files(folder):
    return sorted(f for f in folder.iterdir() if f.suffix in (".o", ".json"))


def test_the_second_time_comes_from_disk(cache):
    again = fresh()
    assert again.cached and right(again) and again.compile_seconds < 0.5
    assert cache.parent.stat().st_mode & 0o777 == 0o700 and cache.stat().st_mode & 0o777 == 0o700
    assert not sg.compile(EXPRESSIONS, dtype="float32").cached


@pytest.mark.parametrize("part", ["kernel.o", "manifest.json"])
@pytest.mark.parametrize("keep", [0.0, 0.25, 0.5, 0.99])
def test_a_truncated_file_means_compiling_again(cache, part, keep):
    whole = (cache / part).read_bytes()
    (cache / part).write_bytes(whole[: int(len(whole) * keep)])
    again = fresh()
    assert not again.cached and right(again)
    assert fresh().cached


@pytest.mark.parametrize("part", ["kernel.o", "manifest.json"])
def test_a_missing_file_or_a_folder_in_its_place(cache, part):
    (cache / part).unlink()
    assert right(fresh())
    (cache / part).unlink()
    (cache / part).mkdir()
    assert right(fresh())


def flips(count):
    return np.random.default_rng(7).integers(0, 1 << 40, count).tolist()


def flip(path, number):
    data = bytearray(path.read_bytes())
    data[number % len(data)] ^= 1 << (number >> 20) % 8
    path.write_bytes(bytes(data))


def test_flipped_bits_never_give_wrong_numbers(cache):
    """What does not match its seal is not loaded: reading finds out, compiling again heals."""
    from symgrad.codegen import cache as store

    good = {f: f.read_bytes() for f in files(cache)}
    for path in good:
        for number in flips(100):
            flip(path, number)
            found = store.read(cache)
            if found is not None:  # a letter of the environment's description, which decides nothing
                assert path.name == "manifest.json" and found[0] == good[cache / "kernel.o"]
                assert right(fresh())
            path.write_bytes(good[path])
    flip(cache / "kernel.o", 12345)
    again = fresh()
    assert not again.cached and right(again)


@pytest.mark.rigorous
def test_damage_heals_every_time(cache):
    """Each time the kernel is compiled again and right; that every damage is found out stands in test_cache_trust."""
    good = {f: f.read_bytes() for f in files(cache)}
    for path, whole in good.items():
        for number in flips(300):
            flip(path, number)
            assert right(fresh())
            path.write_bytes(whole)
        for length in range(0, len(whole), max(1, len(whole) // 200)):
            path.write_bytes(whole[:length])
            assert right(fresh())


def test_a_cache_that_cannot_be_written_or_trusted_is_not_used(tmp_path, monkeypatch):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    a_file = tmp_path / "file"
    a_file.write_text("")
    for place in (open_to_all, a_file, a_file / "below"):
        monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(place))
        kernel = fresh()
        assert not kernel.cached and right(kernel)
    assert list(open_to_all.iterdir()) == []


def test_a_cache_taken_away_while_in_use(cache):
    kernel = fresh()
    shutil.rmtree(cache.parent)
    assert right(kernel) and right(fresh())


def in_a_process(**environment):
    """What SCRIPT prints in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **environment}, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_bytes_in_every_process():
    """Nothing that reaches output depends on hashing, on addresses, or on what was built before."""
    outputs = {in_a_process(PYTHONHASHSEED=seed) for seed in ("0", "1", "4242")}
    assert len(outputs) == 1


@pytest.mark.parametrize("name", ["haswell", "generic"])
def test_lesser_processors(name, tmp_path):
    """The script compares with the interpreter itself."""
    here = host()
    if name == "haswell" and not (here.triple.startswith("x86_64") and here.vector_bytes >= 32 and here.has_fma):
        pytest.skip("this machine cannot run code for haswell")
    assert in_a_process(NUMBA_CPU_NAME=name, SYMGRAD_CACHE_DIR=str(tmp_path)) == in_a_process(
        SYMGRAD_CACHE_DIR=str(tmp_path)
    )
