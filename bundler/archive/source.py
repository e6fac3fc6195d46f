"""Where a bundle's bytes come from: a regular file, read in any order, or a pipe, read once from front to end.

Rules of this module:
- A file is read with `preadv` into the caller's buffers: no shared position (threads read at once), no `mmap` (its
  pages count as memory, and a file that is truncated meanwhile would kill the process with SIGBUS).
- Short reads are continued; a read that ends early gives fewer bytes, and the caller decides what that means. EINTR is
  Python's business (PEP 475).
- A medium that fails to give bytes (EIO) is damage, code ``read-error``; what cannot be opened is the environment.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from bundler.errors import DamagedError, EnvError
from bundler.safe_file import disk_errors


class Source(Protocol):
    """Reads the head of a bundle, from front to end."""

    def read_into(self, view: memoryview) -> int:
        """Fill `view` with the next bytes; fewer only at the end of the source.

        Raises:
            DamagedError: code ``read-error``.
        """
        ...


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class FileSource:
    """A regular file. `read_into` moves a position of its own; `fill` does not."""

    def __init__(self, path: Path) -> None:
        with disk_errors("bundle", path):
            # Non-blocking, so that a FIFO in the place of a file cannot hang us; it means nothing for regular files.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise _kind_error(path, status.st_mode)
        self._opened = (status.st_size, status.st_mtime_ns)
        self._position = 0

    @property
    def size_bytes(self) -> int:
        """Size of the file when it was opened."""
        return self._opened[0]

    def read_into(self, view: memoryview) -> int:
        """See `Source`."""
        count = self.fill(view, self._position)
        self._position += count
        return count

    def fill(self, view: memoryview, offset: int) -> int:
        """Fill `view` with the bytes at `offset`; fewer only at the end of the file. Threads may call it at once.

        Raises:
            DamagedError: code ``read-error``.
        """
        done = 0
        try:
            while done < len(view):
                count = os.preadv(self._descriptor, [view[done:]], offset + done)
                if not count:
                    break
                done += count
        except OSError as error:
            raise _read_error(error, offset + done) from error
        return done

    def check_unchanged(self) -> None:
        """Compare size and time of change with those at opening.

        Raises:
            DamagedError: code ``file-changed``.
        """
        try:
            status = os.fstat(self._descriptor)
        except OSError as error:
            raise _read_error(error, 0) from error
        if (status.st_size, status.st_mtime_ns) != self._opened:
            raise DamagedError("file-changed", "bundle", got="size or time of change moved", want="a file at rest")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _kind_error(path: Path, mode: int) -> EnvError:
    if stat.S_ISDIR(mode):
        return EnvError("file-kind", "bundle", str(path), got="a folder", want="a regular file")
    hint = "a pipe or a device is read from standard input, with `-` as the file's name"
    return EnvError("file-kind", "bundle", str(path), got="no regular file", want="a regular file", hints=[hint])


class StreamSource:
    """Anything that can be read once, from front to end: standard input, a tape, a diode's receiver."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = cast("_Readable", stream)  # BinaryIO does not declare readinto; every binary stream has it
        self._position = 0

    def read_into(self, view: memoryview) -> int:
        """See `Source`."""
        done = 0
        try:
            while done < len(view):
                count = self._stream.readinto(view[done:])
                if not count:
                    break
                done += count
        except OSError as error:
            raise _read_error(error, self._position + done) from error
        self._position += done
        return done

    def close(self) -> None:
        """Leave the stream to whoever opened it."""


def _read_error(error: OSError, offset: int) -> DamagedError:
    return DamagedError("read-error", "bundle", f"offset {offset}", got=error.strerror or str(error), want="bytes")
