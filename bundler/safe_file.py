"""Files that are whole or absent: temporary file beside the target, fsync, rename, fsync of the folder.

Rules of this module:
- A file under its final name is whole. Whatever is interrupted leaves the old file, or none.
- Every read is bounded. Disk errors become EnvError (exit 6) with the file's name.
- Locks are flock on a file of their own; they vanish with the process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from bundler.errors import EnvError

TEMPORARY_PREFIX = ".sealift-"


def read_bounded(path: Path, max_bytes: int, what: str = "file") -> bytes:
    """Read a regular file of at most `max_bytes`.

    Raises:
        EnvError: absent (``file-absent``), not a regular file, unreadable, or larger (``file-size``).
    """
    with disk_errors(what, path):
        # Non-blocking, so that a FIFO in the place of a file cannot hang us; it means nothing for regular files.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EnvError("file-kind", what, str(path), got="not a regular file", want="a regular file")
    with os.fdopen(descriptor, "rb") as source, disk_errors(what, path):
        raw = source.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise EnvError("file-size", what, str(path), got=f"over {max_bytes} bytes", want=f"at most {max_bytes}")
    return raw


def is_folder(path: Path | str) -> bool:
    """Whether a folder has this name. A name that nothing can have, since it is too long, is no folder's."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def write_atomically(path: Path, raw: bytes, *, mode: int = 0o644, what: str = "file") -> None:
    """Replace `path` by a file that holds `raw`, or leave it as it was."""
    with new_file(path, mode=mode, what=what) as target:
        target.write(raw)


@contextlib.contextmanager
def new_file(path: Path, *, mode: int = 0o644, what: str = "file") -> Iterator[BinaryIO]:
    """A file that appears under `path` when the block ends well, and never otherwise.

    Raises:
        EnvError: there is no such folder (``file-absent``), or what is there is no regular file (``file-kind``); the
            disk.
    """
    _check_replaceable(path, what)
    temporary = temporary_beside(path)
    try:
        with disk_errors(what, path):
            descriptor = _open_new(temporary, mode)
            with os.fdopen(descriptor, "w+b") as target:
                yield target
                sync_file(target)
            temporary.rename(path)
            sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _check_replaceable(path: Path, what: str) -> None:
    """Refuse to put a file in the place of a device, a pipe or a folder, or of a link to one (`/dev/stdout`)."""
    try:
        link = str(path.readlink())
    except OSError:  # no link, or nothing there
        link = ""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:  # nothing is there, or a link to nothing; whatever else is wrong, writing will tell
        regular = True
    if not regular or link.startswith("/proc/"):  # where a redirected standard stream leads, whatever it is
        raise EnvError("file-kind", what, str(path), got="no regular file", want="a regular file, or a new name")


def _open_new(path: Path, mode: int) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except FileNotFoundError as error:  # not the temporary name, which nobody has typed
        raise EnvError("file-absent", "folder", str(path.parent), got="no such folder", want="a folder") from error


def temporary_beside(path: Path) -> Path:
    """A fresh name in the folder of `path`, so that a rename stays on one file system."""
    return path.parent / f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}.tmp"


def sync_file(target: BinaryIO) -> None:
    """Flush Python's and the kernel's buffers to the disk."""
    target.flush()
    os.fsync(target.fileno())


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems (FUSE, SMB) cannot sync folders
            raise
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed runs have left in a folder; the caller holds the lock under which files are written there."""
    with disk_errors("folder", folder):
        for path in folder.glob(f"{TEMPORARY_PREFIX}*.tmp"):
            path.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file if it is there, durably."""
    with disk_errors("file", path):
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)


@contextlib.contextmanager
def locked(path: Path, *, what: str = "lock", wait: bool = False, hints: Sequence[str] = ()) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` (created if need be).

    Args:
        path: the file.
        what: the word for it in errors.
        wait: until another process has let it go.
        hints: ways out where the disk does not let us write it.

    Raises:
        EnvError: another process holds it and `wait` is false (``locked``); the disk.
    """
    with disk_errors(what, path, hints):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with _flocked(descriptor, path, what, wait=wait):
        yield


@contextlib.contextmanager
def locked_folder(folder: Path, *, what: str = "folder", wait: bool = False) -> Iterator[None]:
    """As `locked`, with the folder itself as the lock: nothing is put there."""
    with disk_errors(what, folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with _flocked(descriptor, folder, what, wait=wait):
        yield


@contextlib.contextmanager
def _flocked(descriptor: int, path: Path, what: str, *, wait: bool) -> Iterator[None]:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise EnvError(
                "locked", what, str(path), got="held by another sealift process", want="free",
                hints=["wait until the other run has ended, then try again"],
            ) from error  # fmt: skip
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def disk_errors(what: str, path: Path | str, hints: Sequence[str] = ()) -> Iterator[None]:
    """Turn OSError into EnvError that names the file, with the caller's ways out. BrokenPipeError passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except FileNotFoundError as error:
        which = str(error.filename or path)
        raise EnvError("file-absent", what, which, got="no such file", want="a file", hints=hints) from error
    except OSError as error:
        code = "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "disk"
        raise EnvError(code, what, str(path), got=error.strerror or str(error), want="success", hints=hints) from error
