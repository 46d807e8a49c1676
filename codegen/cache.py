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
import re
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
KEY = re.compile(r"[0-9a-f]{32}(\.lock)?")
FILES = ("kernel.py", "kernel.o", "manifest.json")  # in the order in which they are written
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


_left: list[bool] = []


def leave() -> None:
    """From now on this process neither reads nor writes the cache."""
    _left.append(True)


def trouble(place: Path) -> str:
    """Why a folder cannot serve as cache, or "" when it can; it is made when missing."""
    if _left:
        return "it was left out by --no-cache"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = place.stat()
    except OSError as error:
        return f"{place} cannot be made: {error.strerror}"
    if not stat.S_ISDIR(state.st_mode):
        return f"{place} is not a folder"
    if found := _distrust(state):
        return f"{place} {found}"
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} is not writable"


def _distrust(state: os.stat_result) -> str:
    """Why what has this status may hold another user's bytes, or ""."""
    if not hasattr(os, "getuid"):
        return ""
    if state.st_uid != os.getuid():
        return "belongs to another user"
    return "is writable by others; chmod 700 makes it usable" if stat.S_IMODE(state.st_mode) & 0o022 else ""


def _trusted(path: Path) -> bytes:
    """The bytes of a file that only this user can have written; an OSError otherwise."""
    with path.open("rb") as file:
        if _distrust(os.fstat(file.fileno())):
            raise PermissionError(path)
        return file.read()


def read(place: Path) -> tuple[bytes, dict[str, str]] | None:
    """The object code and manifest of a finished folder, or None for anything else."""
    try:
        if _distrust(place.lstat()):
            return None
        manifest = json.loads(_trusted(place / "manifest.json"))
        object_code = _trusted(place / "kernel.o")
    except (OSError, ValueError, RecursionError):
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
        place.chmod(0o700)
        for litter in {f.name for f in place.iterdir()} - set(FILES):  # of processes that were killed while writing
            (place / litter).unlink()
        for name, data in zip(FILES, (text.encode(), object_code), strict=False):
            _put(place / name, data)
        manifest = {"sha256": seal(object_code, symbol), "symbol": symbol, "environment": environment()}
        _put(place / FILES[-1], json.dumps(manifest, sort_keys=True).encode())


def _put(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        # 0600 whatever the umask: what others may write to is not read again.
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
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
    """Remove every kept kernel, and nothing else that stands there; how many there were, and their bytes."""
    base, count, total = folder(), 0, 0
    if not base.is_dir():
        return 0, 0
    for entry in sorted(base.iterdir()):
        if not KEY.fullmatch(entry.name) or entry.is_symlink():
            continue
        if entry.is_dir():
            total += sum(f.stat().st_size for f in entry.iterdir() if f.is_file())
            count += 1
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.suffix == ".lock":
            entry.unlink(missing_ok=True)
    return count, total
