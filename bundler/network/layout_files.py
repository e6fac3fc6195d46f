"""The files of an OCI layout, in a folder or in a tar archive, read in place.

Rules of this module:
- Only three names exist: `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`, the last made from a checked digest.
- A folder's links may point anywhere within the folder and nowhere else; only regular files are read.
- Streams stay usable after the layout is closed.
- A compressed archive is refused: it is read in place, in any order.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from bundler import limits
from bundler.digest import Digest
from bundler.errors import EnvError, RejectedError, UnsupportedError
from bundler.network.tar_index import Member, index_tar
from bundler.safe_file import disk_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MARK = "oci-layout"
INDEX = "index.json"

# How compressed data begins: RFC 1952, RFC 8878, the bzip2 and xz formats.
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
_MAGIC_BYTES = max(map(len, _COMPRESSED))


def blob_name(digest: Digest) -> str:
    """Where a layout keeps a blob (image-spec image-layout.md "Blobs")."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


class LayoutFiles(Protocol):
    """Named files, read only."""

    def size_bytes(self, name: str) -> int | None:
        """Size of a file; None when there is none of that name."""

    def open(self, name: str) -> BinaryIO | None:
        """A stream of a file's bytes; None when there is none of that name."""

    def close(self) -> None:
        """Release what is held open."""


class FolderFiles:
    """A layout's folder."""

    def __init__(self, folder: Path) -> None:
        with disk_errors("layout", folder):
            self._root = folder.resolve(strict=True)
        if not self._root.is_dir():
            raise EnvError("file-kind", "layout", str(folder), got="not a folder", want="an OCI layout's folder")

    def size_bytes(self, name: str) -> int | None:
        """Size of a regular file; None when absent."""
        path = self._locate(name)
        if path is None:
            return None
        with disk_errors("layout", path):
            return path.stat().st_size

    def open(self, name: str) -> BinaryIO | None:
        """A stream of a regular file; None when absent."""
        path = self._locate(name)
        return open_regular(path) if path is not None else None

    def close(self) -> None:
        """Nothing is held open."""

    def _locate(self, name: str) -> Path | None:
        path = self._root / name
        with disk_errors("layout", path):
            try:
                real = path.resolve(strict=True)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except RuntimeError:  # Python 3.11 and 3.12 say a loop of links so
                real = Path("/")
        if not real.is_relative_to(self._root):
            raise RejectedError(
                "layout-link", "layout file", str(path), got="a link out of the layout", want="a file within it"
            )
        return real


class ArchiveFiles:
    """A layout in an uncompressed tar archive (`oci-archive:`)."""

    def __init__(self, path: Path) -> None:
        self._source = open_regular(path)
        try:
            with disk_errors("archive", path):
                _refuse_compressed(self._source, path)
                size_bytes = os.fstat(self._source.fileno()).st_size
                index = index_tar(self._source, size_bytes, str(path))
        except BaseException:
            self._source.close()
            raise
        self._members = index.members
        self.links = index.links
        """Symbolic links, which `open` does not follow: what they say, by name."""

    def names(self) -> Iterable[str]:
        """Names of all regular files, as they stand in the archive."""
        return self._members.keys()

    def size_bytes(self, name: str) -> int | None:
        """Size of a member; None when absent."""
        member = self._members.get(name)
        return member.size_bytes if member else None

    def open(self, name: str) -> BinaryIO | None:
        """A stream over a member's bytes, with a descriptor of its own; None when absent."""
        member = self._members.get(name)
        return cast("BinaryIO", _Slice(os.dup(self._source.fileno()), member)) if member else None

    def close(self) -> None:
        """Close the archive."""
        self._source.close()


class _Slice(io.RawIOBase):
    """A part of a file, read with `pread`, so that slices do not move each other."""

    def __init__(self, descriptor: int, member: Member) -> None:
        self._descriptor = descriptor
        self._next = member.offset
        self._end = member.offset + member.size_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._end - self._next)]
        count = os.preadv(self._descriptor, [view], self._next) if view else 0
        self._next += count
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def compression(stream: BinaryIO) -> str | None:
    """How a stream that stands at its start is compressed; None when it is not."""
    magic = read_at_most(stream, _MAGIC_BYTES)
    return next((form for mark, form in _COMPRESSED.items() if magic.startswith(mark)), None)


def _refuse_compressed(source: BinaryIO, path: Path) -> None:
    form = compression(source)
    if form is not None:
        raise UnsupportedError(
            "compressed-archive", "archive", str(path), got=form, want="a plain tar archive",
            hints=["unpack the file first, such as: gzip -dc FILE > FILE.tar"],
        )  # fmt: skip


def read_at_most(stream: BinaryIO, size_bytes: int) -> bytes:
    """The stream's next bytes, at most `size_bytes` of them."""
    parts: list[bytes] = []
    while size_bytes > 0:
        part = stream.read(min(size_bytes, limits.READ_BUFFER_BYTES))
        if not part:
            break
        parts.append(part)
        size_bytes -= len(part)
    return b"".join(parts)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, unbuffered.

    Raises:
        EnvError: absent, unreadable, or not a regular file (``file-kind``).
    """
    with disk_errors("file", path):
        # Non-blocking, so that a FIFO in the place of a file cannot hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise EnvError("file-kind", "file", str(path), got="not a regular file", want="a regular file")
        return cast("BinaryIO", os.fdopen(descriptor, "rb", buffering=0))
