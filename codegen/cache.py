"""Object code on disk: one folder for each kernel, its name a hash of all that decides its bytes.

A folder counts only when its manifest, written last, states the hash of the object file; whatever else is found there
(a truncated file, a flipped bit, a killed compile) means compiling again, never a traceback and never other numbers.
The cache belongs to one user: its folder is 0700, and one that others may write to is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import stat
from collections.abc import Callable, Iterator
from functools import cache as once
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from symgrad.codegen import native
from symgrad.codegen.host import host

WAIT = 120.0  # seconds for another process that compiles the same kernel
PACKAGES = ("numba", "llvmlite", "numpy")


@once
def environment() -> str:
    """What object code depends on besides its source: packages, Python, processor, our own machine code."""
    target = host()
    words = [f"{p} {importlib.metadata.version(p)}" for p in PACKAGES]
    own = "".join(
        hashlib.sha256(Path(__file__).with_name(n).read_bytes()).hexdigest()
        for n in ("elementary.py", "formulas.py", "jit.py", "intrinsics.py", "runtime.py")
    )
    return " | ".join(
        [*words, platform.python_version(), target.triple, target.cpu, target.features, native.source_digest(), own]
    )


def key_of(*parts: str) -> str:
    """The name of a kernel's folder."""
    digest = hashlib.sha256()
    for part in (environment(), *parts):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:32]


def folder() -> Path:
    """Where kernels are kept: the user's own cache folder, or SYMGRAD_CACHE_DIR."""
    chosen = os.environ.get("SYMGRAD_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("symgrad")) / "kernels"


def trouble(place: Path) -> str:
    """Why a folder cannot serve as cache, or "" when it can; it is made when missing."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = place.stat()
    except OSError as error:
        return f"{place} cannot be made: {error.strerror}"
    if hasattr(os, "getuid"):
        if state.st_uid != os.getuid():
            return f"{place} belongs to another user"
        if stat.S_IMODE(state.st_mode) & 0o022:
            return f"{place} is writable by others; chmod 700 makes it usable"
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} is not writable"


def read(place: Path) -> tuple[bytes, dict[str, str]] | None:
    """The object code and manifest of a finished folder, or None for anything else."""
    try:
        manifest = json.loads((place / "manifest.json").read_bytes())
        object_code = (place / "kernel.o").read_bytes()
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or not all(isinstance(v, str) for v in manifest.values()):
        return None
    sealed = seal(object_code, manifest.get("symbol", ""))
    return (object_code, manifest) if manifest.get("sha256") == sealed else None


def seal(object_code: bytes, symbol: str) -> str:
    """The hash that a manifest states."""
    return hashlib.sha256(symbol.encode() + b"\0" + object_code).hexdigest()


def write(place: Path, object_code: bytes, symbol: str, text: str) -> None:
    """Keep a kernel; the manifest last. What cannot be written is not kept."""
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, exist_ok=True)
        for name, data in (("kernel.py", text.encode()), ("kernel.o", object_code)):
            _put(place / name, data)
        manifest = {"sha256": seal(object_code, symbol), "symbol": symbol, "environment": environment()}
        _put(place / "manifest.json", json.dumps(manifest, sort_keys=True).encode())


def _put(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    lock = FileLock(str(place) + ".lock", timeout=WAIT)
    with contextlib.suppress(Timeout, OSError):  # then compile for ourselves; writing is atomic
        lock.acquire()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.release()


def fetch(key: str, make: Callable[[], tuple[bytes, str]], text: str = "") -> tuple[bytes, str, bool]:
    """Object code, its symbol, and whether it came from the cache; made and kept when it is not there."""
    base = folder()
    if trouble(base):
        return *make(), False
    place = base / key
    found = read(place)
    if found is None:
        with _locked(place):
            found = read(place)
            if found is None:
                object_code, symbol = make()
                write(place, object_code, symbol, text)
                return object_code, symbol, False
    return found[0], found[1]["symbol"], True


def clear() -> tuple[int, int]:
    """Remove every kept kernel; how many there were, and their bytes."""
    base, count, total = folder(), 0, 0
    if not base.is_dir():
        return 0, 0
    for entry in sorted(base.iterdir()):
        if entry.is_dir():
            total += sum(f.stat().st_size for f in entry.iterdir() if f.is_file())
            count += 1
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.suffix == ".lock":
            entry.unlink(missing_ok=True)
    return count, total
