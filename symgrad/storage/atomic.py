"""Writing a whole file so that a reader finds the old contents or the new, whatever happens in between.

Temporary file in the same folder, fsync, rename, fsync of the folder. Takes bytes; must not know what they mean.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from pathlib import Path

from symgrad.errors import OutputError, StorageError, SymgradError

# What the user can put right by naming another place; any other failure is the machine's (a full disk, a bad sector).
_CANNOT_CREATE = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "ENOENT", "ENOTDIR", "EISDIR", "EROFS", "ENAMETOOLONG", "ELOOP", "EEXIST", "EINVAL")
)
_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{16}\.tmp")
_LEFTOVER_SECONDS = 3600.0


def write(path: str | Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, or leave it exactly as it was.

    A symbolic link is followed. When the call returns, the bytes have reached the disk. Raises OutputError when no
    file can be created there (no such folder, no permission, a folder or device of that name) and StorageError when
    writing fails (disk full, I/O error); both leave the old file intact and no temporary file behind.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.bin"
    >>> write(path, b"1234")
    >>> path.read_bytes()
    b'1234'
    """
    try:
        target = _checked_target(path)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        _write_synced(temporary, data)
        try:
            os.replace(temporary, target)
        except BaseException:
            _remove(temporary)
            raise
    except (OSError, ValueError) as problem:
        raise _translated(problem, path) from problem
    try:
        _sync_folder(target.parent)
    except OSError as problem:
        raise StorageError(
            f"{path} was written, but the folder could not be flushed to the disk ({problem.strerror}); "
            "the file may not survive a power loss. Check the disk."
        ) from problem


def make_folder(path: str | Path) -> Path:
    """Create the folder `path` with its parents unless it exists, and return it.

    Raises OutputError when it cannot be created or is not a folder, StorageError on a full disk or an I/O error.

    >>> import tempfile
    >>> make_folder(Path(tempfile.mkdtemp()) / "runs" / "first").is_dir()
    True
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as problem:
        raise _translated(problem, path) from problem
    return Path(path)


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left in `folder`; the age keeps those of a living writer safe.

    Nothing depends on it but disk space, so every failure is ignored.

    >>> remove_leftovers("a folder that does not exist")
    """
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _LEFTOVER.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFTOVER_SECONDS:
                        os.unlink(entry.path)


def _checked_target(path: str | Path) -> Path:
    """The file that `path` stands for, links resolved; renaming over /dev/null would destroy it for everybody."""
    target = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a device or a pipe")
    return target


def _write_synced(temporary: Path, data: bytes) -> None:
    """Create `temporary` with `data` in it, on the disk; remove it again if that fails."""
    # os.open and not tempfile: the file shall have the permissions that the user's umask gives, not 0600.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        _remove(temporary)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can (Windows cannot open a folder)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        # Some network file systems have no fsync for folders; there is nothing that we or the user could do.
        if problem.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _translated(problem: OSError | ValueError, path: str | Path) -> SymgradError:
    """The user's error for a failure of the system while `path` was being created."""
    reason = (problem.strerror or str(problem)) if isinstance(problem, OSError) else str(problem)
    if isinstance(problem, ValueError) or problem.errno in _CANNOT_CREATE:
        return OutputError(f"cannot create {str(path)!r}: {reason}; name a place in an existing, writable folder.")
    return StorageError(
        f"writing {path} failed: {reason}; what was saved before is intact. Free some space or check the disk."
    )
