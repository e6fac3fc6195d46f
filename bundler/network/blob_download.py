"""One blob from a registry into a file, by our own client: resumed after drops, hashed on the way.

Rules of this module:
- What the file already holds is read again and hashed, then the rest is asked for with Range. A server that does not
  know Range is asked for the whole, a few times.
- Every attempt that brought bytes earns a further one, up to `limits.BLOB_DROPS`; attempts that brought none are
  counted by `Access.retries`.
- A finished blob whose hash is wrong is thrown away and fetched once more. Then it is an error.
- Beginnings of large blobs lie in the cache under their digest, one process at a time (flock), and outlive drops, kills
  and runs. Whoever waits for the lock looks into the cache first when it has it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from threading import Event, Lock
from typing import BinaryIO, Protocol, Self, cast

from bundler import limits
from bundler.errors import EnvError, RejectedError
from bundler.network.access import Access
from bundler.network.blob_cache import BlobCache
from bundler.network.blob_files import (
    compare_hash,
    fresh_name,
    hash_stream,
    new_on_desk,
    raise_if_stopped,
    require_sha256,
    write_all,
)
from bundler.oci.descriptor import Descriptor
from bundler.safe_file import disk_errors

Progress = Callable[[int], None]

# Faults that may pass; anything else is an answer.
_PASSING = frozenset({"connection-lost", "network", "stalled", "registry-busy", "registry-server"})
_NO_RANGE = "range-unsupported"
_PARTIAL_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class BlobStream(Protocol):
    """Bytes of a blob on their way."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def read(self, max_bytes: int, /) -> bytes:
        """The next bytes; raises EnvError when they do not come."""

    def abort(self) -> None:
        """Wake up a thread that waits in `read`; it fails there."""


class BlobSource(Protocol):
    """A repository of a registry, as far as blobs are concerned (network/registry.Repository)."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def skopeo_name(self) -> str:
        """What skopeo has to be told."""

    def open_blob(self, descriptor: Descriptor, *, offset: int = 0) -> BlobStream:
        """The blob's bytes from `offset` on, never more than the descriptor says."""

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there; raises EnvError when the registry does not clearly say."""


class Errand:
    """What all downloads of one run share: patience, the signal to stop, and the streams that have to be woken then."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.stop = Event()
        self._streams: set[BlobStream] = set()
        self._lock = Lock()

    @contextlib.contextmanager
    def reading(self, stream: BlobStream) -> Iterator[BlobStream]:
        """A stream that `halt` wakes while the block runs."""
        with self._lock:
            self._streams.add(stream)
        try:
            raise_if_stopped(self.stop)
            yield stream
        finally:
            with self._lock:
                self._streams.discard(stream)

    def halt(self) -> None:
        """End all work soon: set `stop`, and wake whoever waits for bytes."""
        self.stop.set()
        with self._lock:
            for stream in self._streams:
                stream.abort()


def download_small(
    cache: BlobCache, source: BlobSource, descriptor: Descriptor, errand: Errand, progress: Progress
) -> None:
    """Bring a blob into the staging folder and the cache.

    Raises:
        RejectedError: the registry lacks it (``incomplete-source``), or sends other bytes twice (``blob-digest``).
        EnvError: the registry, the network or the disk fails.
    """
    require_sha256(descriptor.digest)
    name = fresh_name()
    with new_on_desk(cache.desk, name) as target:
        _Download(source, descriptor, target, errand, progress).bring()
    cache.stage_from_desk(name, descriptor.digest)
    cache.admit(descriptor.digest)


def download_large(
    cache: BlobCache, source: BlobSource, descriptor: Descriptor, errand: Errand, progress: Progress
) -> None:
    """As `download_small`, but what has come stays in the cache's `partial` folder until the rest is there."""
    require_sha256(descriptor.digest)
    with _held_partial(cache, descriptor, errand.stop) as target:
        if cache.take(descriptor, errand.stop, progress):
            return  # another run has brought it while we waited
        _Download(source, descriptor, target, errand, progress).bring()
        with disk_errors("blob", cache.partials.path / descriptor.digest.hex):
            os.fsync(target.fileno())
        cache.finish_partial(descriptor.digest)


class _Download:
    """One blob on its way into a file that may hold its beginning."""

    def __init__(
        self, source: BlobSource, descriptor: Descriptor, target: BinaryIO, errand: Errand, progress: Progress
    ) -> None:
        self._source = source
        self._descriptor = descriptor
        self._target = target
        self._errand = errand
        self._progress = progress
        self._state = hashlib.sha256()
        self._done_bytes = 0
        self._restarts = 0

    def bring(self) -> None:
        """Fetch what is missing; a blob with another hash is fetched once more, from its start."""
        self._read_what_is_there()
        for again in (False, True):
            self._fetch()
            try:
                compare_hash(self._state, self._descriptor.digest)
            except RejectedError:
                self._start_over()
                if again:
                    raise
            else:
                return

    def _fetch(self) -> None:
        failures = drops = 0
        retries = self._errand.access.retries
        while self._done_bytes < self._descriptor.size_bytes:
            before = self._done_bytes
            try:
                self._read_on()
            except EnvError as error:
                raise_if_stopped(self._errand.stop)
                drops += 1
                failures = 0 if self._done_bytes > before else failures + 1
                if error.code == _NO_RANGE and self._restarts < retries:
                    self._restarts += 1
                    self._start_over()
                elif error.code not in _PASSING or failures > retries or drops > limits.BLOB_DROPS:
                    raise
                elif failures:
                    seconds = self._errand.access.backoff_seconds * 2 ** (failures - 1)
                    self._errand.stop.wait(min(seconds, limits.RETRY_PAUSE_SECONDS))

    def _read_on(self) -> None:
        size_bytes = self._descriptor.size_bytes
        with (
            self._source.open_blob(self._descriptor, offset=self._done_bytes) as opened,
            self._errand.reading(opened) as stream,
        ):
            while self._done_bytes < size_bytes:
                raise_if_stopped(self._errand.stop)
                piece = stream.read(min(limits.BLOB_PIECE_BYTES, size_bytes - self._done_bytes))
                if not piece:
                    raise EnvError(
                        "connection-lost", "blob", str(self._descriptor.digest), got=f"{self._done_bytes} bytes",
                        want=f"{size_bytes} bytes",
                    )  # fmt: skip
                self._write(piece)

    def _write(self, piece: bytes) -> None:
        with disk_errors("blob", str(self._descriptor.digest)):
            write_all(self._target, piece)
        self._state.update(piece)
        self._done_bytes += len(piece)
        self._progress(self._done_bytes)

    def _read_what_is_there(self) -> None:
        with disk_errors("blob", str(self._descriptor.digest)):
            there_bytes = os.fstat(self._target.fileno()).st_size
            if there_bytes > self._descriptor.size_bytes:
                self._start_over()
                return
            os.lseek(self._target.fileno(), 0, os.SEEK_SET)
            self._done_bytes = hash_stream(self._target, self._state, there_bytes, self._errand.stop, self._progress)

    def _start_over(self) -> None:
        with disk_errors("blob", str(self._descriptor.digest)):
            os.ftruncate(self._target.fileno(), 0)
            os.lseek(self._target.fileno(), 0, os.SEEK_SET)
        self._state = hashlib.sha256()
        self._done_bytes = 0


@contextlib.contextmanager
def _held_partial(cache: BlobCache, descriptor: Descriptor, stop: Event) -> Iterator[BinaryIO]:
    """The file with a blob's beginning, ours while the block runs; one that is empty at its end is removed."""
    name, folder = descriptor.digest.hex, cache.partials
    while (target := _try_partial(cache, descriptor)) is None:
        stop.wait(limits.WATCH_SECONDS)
        raise_if_stopped(stop)
    with target:
        try:
            yield target
        finally:
            if os.fstat(target.fileno()).st_size == 0:
                with contextlib.suppress(FileNotFoundError), disk_errors("blob", folder.path / name):
                    os.unlink(name, dir_fd=folder.descriptor)


def _try_partial(cache: BlobCache, descriptor: Descriptor) -> BinaryIO | None:
    """The file, locked; None when another process holds it or has just finished with it."""
    digest, folder = descriptor.digest, cache.partials
    with disk_errors("blob", folder.path / digest.hex):
        try:
            opened = os.open(digest.hex, _PARTIAL_FLAGS, 0o600, dir_fd=folder.descriptor)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise
            folder.discard(digest, cache.desk)  # a link, a folder, a socket: not ours
            return None
        target = cast("BinaryIO", os.fdopen(opened, "r+b", buffering=0))
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            facts = os.fstat(opened)
            if facts.st_nlink == 1 and stat.S_ISREG(facts.st_mode):
                return target
            # No name any more: finished by its holder. Several names: writing would change somebody's file.
            if facts.st_nlink:
                folder.discard(digest, cache.desk)
        except BlockingIOError:
            pass
        except BaseException:
            target.close()
            raise
        target.close()
        return None
