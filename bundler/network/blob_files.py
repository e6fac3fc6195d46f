"""Folders of blobs, each file named by the hex of its digest, and the hashing of them.

Rules of this module:
- A folder is opened once and reached through that descriptor, so nobody can swap it for a link to somewhere else.
- Links, devices and folders in the place of a blob are never followed and never read (``file-kind``).
- `check_blob` is what makes bytes a blob: it reads all of them, once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, BinaryIO, cast

from bundler import limits
from bundler.digest import Digest
from bundler.errors import EnvError, RejectedError, UnsupportedError
from bundler.oci.descriptor import Descriptor
from bundler.safe_file import disk_errors

if TYPE_CHECKING:
    from hashlib import _Hash

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO cannot hang us
_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.ENOSYS, errno.EACCES}
)


class BlobFolder:
    """A folder whose files are named by the hex of a sha256 digest."""

    def __init__(self, path: Path) -> None:
        """Open a folder that is there; it is no link.

        Raises:
            EnvError: absent, not a folder, or not readable.
        """
        self.path = path
        with disk_errors("folder", path):
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self) -> None:
        """Release the folder. Files that are open stay so."""
        opened, self.descriptor = self.descriptor, -1  # a thread that comes late meets no other folder
        os.close(opened)

    def size_bytes(self, digest: Digest) -> int | None:
        """Size of a regular file; None when there is none. Contents are not read."""
        with disk_errors("blob", self.path / digest.hex):
            try:
                facts = os.stat(digest.hex, dir_fd=self.descriptor, follow_symlinks=False)
            except FileNotFoundError:
                return None
        return facts.st_size if stat.S_ISREG(facts.st_mode) else None

    def open(self, digest: Digest) -> BinaryIO | None:
        """A stream of a file's bytes, unchecked and unbuffered; None when absent.

        Raises:
            EnvError: not a regular file (``file-kind``), or unreadable.
        """
        with disk_errors("blob", self.path / digest.hex):
            try:
                opened = os.open(digest.hex, _READ, dir_fd=self.descriptor)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):  # a link, or a socket
                    raise self._no_file(digest) from error
                raise
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise self._no_file(digest)
        return cast("BinaryIO", os.fdopen(opened, "rb", buffering=0))

    def discard(self, digest: Digest, desk: BlobFolder) -> None:
        """Take whatever lies under a name out of the folder; `desk` is emptied by its owner."""
        with disk_errors("blob", self.path / digest.hex), contextlib.suppress(FileNotFoundError):
            os.rename(digest.hex, fresh_name(), src_dir_fd=self.descriptor, dst_dir_fd=desk.descriptor)

    def sync(self) -> None:
        """Make the names durable."""
        with disk_errors("folder", self.path):
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                if error.errno != errno.EINVAL:  # some file systems cannot sync folders
                    raise

    def _no_file(self, digest: Digest) -> EnvError:
        return EnvError(
            "file-kind", "blob", str(self.path / digest.hex), got="not a regular file", want="a regular file"
        )


def fresh_name() -> str:
    """A name that nobody else uses."""
    return os.urandom(12).hex()


def require_sha256(digest: Digest) -> None:
    """Refuse digests that format 1 does not carry.

    Raises:
        UnsupportedError: code ``digest-algorithm``.
    """
    if digest.algorithm != "sha256":
        raise UnsupportedError("digest-algorithm", "blob", str(digest), got=digest.algorithm, want="sha256")


def check_blob(
    folder: BlobFolder, descriptor: Descriptor, stop: Event, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Read a blob to its end and compare size and hash with its descriptor.

    Args:
        folder: where it lies.
        descriptor: what it has to be.
        stop: ends the reading when set (``stopped``).
        progress: gets the bytes read so far.

    Raises:
        RejectedError: absent (``incomplete-source``), another size (``blob-size``), other bytes (``blob-digest``).
        EnvError: not a regular file (``file-kind``), unreadable, or stopped.
    """
    digest = descriptor.digest
    stream = folder.open(digest)
    if stream is None:
        raise RejectedError("incomplete-source", "blob", str(digest), got="not there", want="a whole image")
    with stream, disk_errors("blob", folder.path / digest.hex):
        found_bytes = os.fstat(stream.fileno()).st_size
        if found_bytes != descriptor.size_bytes:
            raise RejectedError(
                "blob-size", "blob", str(digest), got=f"{found_bytes} bytes", want=f"{descriptor.size_bytes} bytes"
            )
        state = hashlib.sha256()
        hash_stream(stream, state, descriptor.size_bytes, stop, progress)
    compare_hash(state, digest)


def hash_stream(
    stream: BinaryIO, state: _Hash, size_bytes: int, stop: Event, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Feed at most `size_bytes` of a stream to a hash; returns how many there were."""
    buffer = memoryview(bytearray(min(limits.BLOB_PIECE_BYTES, size_bytes) or 1))
    done = 0
    while done < size_bytes:
        raise_if_stopped(stop)
        count = os.readv(stream.fileno(), [buffer[: size_bytes - done]])
        if not count:
            break
        state.update(buffer[:count])
        done += count
        progress(done)
    return done


def compare_hash(state: _Hash, digest: Digest) -> None:
    """Compare a finished hash with the digest it has to be.

    Raises:
        RejectedError: code ``blob-digest``.
    """
    if state.hexdigest() != digest.hex:
        raise RejectedError("blob-digest", "blob", str(digest), got=f"sha256:{state.hexdigest()}", want="that digest")


def place(source: BlobFolder, digest: Digest, target: BlobFolder, desk: BlobFolder) -> None:
    """Put a file of `source` into `target` too, replacing what is there: a hard link, or else a copy.

    Raises:
        RejectedError: absent in `source` (``incomplete-source``).
        EnvError: not a regular file (``file-kind``), or the disk refuses.
    """
    name = fresh_name()
    with disk_errors("blob", source.path / digest.hex):
        try:
            os.link(digest.hex, name, src_dir_fd=source.descriptor, dst_dir_fd=desk.descriptor, follow_symlinks=False)
        except FileNotFoundError as error:
            raise RejectedError(
                "incomplete-source", "blob", str(digest), got="not there", want="a whole image"
            ) from error
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _copy(source, digest, desk, name)
    settle(desk, name, target, digest)


def settle(desk: BlobFolder, name: str, target: BlobFolder, digest: Digest) -> None:
    """Move a file from the desk to its name in a folder, replacing what is there."""
    with disk_errors("blob", target.path / digest.hex):
        try:
            os.rename(name, digest.hex, src_dir_fd=desk.descriptor, dst_dir_fd=target.descriptor)
        except IsADirectoryError:
            target.discard(digest, desk)
            os.rename(name, digest.hex, src_dir_fd=desk.descriptor, dst_dir_fd=target.descriptor)
        with contextlib.suppress(FileNotFoundError):  # a rename over another link of the same file does nothing
            os.unlink(name, dir_fd=desk.descriptor)


def new_on_desk(desk: BlobFolder, name: str) -> BinaryIO:
    """A fresh file on the desk, unbuffered, to be read and written."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with disk_errors("staged blob", desk.path / name):
        return cast("BinaryIO", os.fdopen(os.open(name, flags, 0o600, dir_fd=desk.descriptor), "r+b", buffering=0))


def write_all(target: BinaryIO, piece: bytes | memoryview) -> None:
    """Write a whole piece to an unbuffered file; a disk that fills up is an OSError, never a short file."""
    view = memoryview(piece)
    while view:
        view = view[os.write(target.fileno(), view) :]


def _copy(source: BlobFolder, digest: Digest, desk: BlobFolder, name: str) -> None:
    stream = source.open(digest)
    if stream is None:
        raise RejectedError("incomplete-source", "blob", str(digest), got="not there", want="a whole image")
    with stream, new_on_desk(desk, name) as target:
        while piece := stream.read(limits.BLOB_PIECE_BYTES):
            write_all(target, piece)


def raise_if_stopped(stop: Event) -> None:
    """End work that nobody waits for any more.

    Raises:
        EnvError: code ``stopped``.
    """
    if stop.is_set():
        raise EnvError("stopped", "export", got="stopped", want="to go on")
