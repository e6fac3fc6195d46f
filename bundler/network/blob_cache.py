"""Blobs that were fetched before, in a folder of the user's, which nothing trusts.

    CACHE/lock                  shared by runs, exclusive for `sealift cache prune`
    CACHE/blobs/sha256/<hex>    blobs that we hashed before they came here
    CACHE/partial/<hex>         beginnings of large blobs (network/blob_download.py)
    CACHE/proofs/               of the transparency logs, kept by their owner
    CACHE/runs/<random>/        one run's staging folder, locked by its process

Rules of this module:
- A blob comes in only after we have hashed it, by a rename, so a file under its name is whole.
- Every blob used is hashed in every run, whether it is fresh or was here: `take` hard-links it into the run's staging
  folder, so that nobody can pull it away, and hashes it there. What is not what its name says is evicted.
- No link is followed and nothing but regular files is read. All folders are ours alone (0700).
- A staging folder whose lock is free is litter of a run that was killed; the next run removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event

from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, RejectedError, UsageError
from bundler.network.blob_files import (
    BlobFolder,
    check_blob,
    fresh_name,
    new_on_desk,
    place,
    require_sha256,
    settle,
    write_all,
)
from bundler.oci.descriptor import Descriptor
from bundler.safe_file import disk_errors, locked

LOCK = "lock"
RUNS = "runs"
PARTIAL = "partial"
PROOFS = "proofs"
BLOBS = Path("blobs") / "sha256"
RUNS_LOCK = "runs.lock"


def default_cache_folder(environ: Mapping[str, str]) -> Path:
    """Where the cache lies unless told otherwise: `$XDG_CACHE_HOME/sealift`, or `~/.cache/sealift`.

    Raises:
        UsageError: neither variable holds an absolute path (XDG base directory specification).
    """
    for name, tail in (("XDG_CACHE_HOME", "sealift"), ("HOME", ".cache/sealift")):
        path = Path(environ.get(name, ""))
        if path.is_absolute():
            return path / tail
    raise UsageError("usage", "cache folder", got="neither XDG_CACHE_HOME nor HOME is set", want="--cache DIR")


class BlobCache:
    """An open cache, with this run's staging folder. Safe to use from several threads. Made by `open_cache`."""

    def __init__(self, root: Path, run: Path) -> None:
        self.root = root
        self.calls = run / "calls"
        """A folder for the folders of skopeo's calls."""
        self.shared_blobs = run / "shared"
        """What skopeo is given to put blobs into (`sha256/<hex>`)."""
        self.evicted: list[Digest] = []
        """Blobs of the cache that were not what their name said."""
        self._opened = contextlib.ExitStack()
        with self._opened:
            self._blobs = self._open(root / BLOBS)
            self.staged = self._open(run / "shared" / "sha256")
            self.desk = self._open(run / "desk")
            self.partials = self._open(root / PARTIAL)
            self._opened = self._opened.pop_all()

    def close(self) -> None:
        """Release the folders."""
        self._opened.close()

    def folder(self, name: str) -> Path:
        """A folder of another module's in the cache, e.g. `proofs`; made if need be."""
        return _private_folder(self.root / name)

    def holds(self, descriptor: Descriptor) -> bool:
        """Whether a file of this name and size is there. It is not read, so this is a hint."""
        return self._blobs.size_bytes(descriptor.digest) == descriptor.size_bytes

    def take(
        self, descriptor: Descriptor, stop: Event | None = None, progress: Callable[[int], None] = lambda _: None
    ) -> bool:
        """Bring a cached blob into the staging folder, hashed.

        Returns:
            whether it was there. One that was not what its name says is evicted and counted.

        Raises:
            UnsupportedError: no sha256 digest (``digest-algorithm``).
            EnvError: the disk refuses, or `stop` was set.
        """
        digest = descriptor.digest
        require_sha256(digest)
        try:
            place(self._blobs, digest, self.staged, self.desk)
            check_blob(self.staged, descriptor, stop or Event(), progress)
        except RejectedError as error:
            if error.code != "incomplete-source":
                self._evict(digest)
            self.staged.discard(digest, self.desk)
            return False
        except EnvError as error:
            self.staged.discard(digest, self.desk)
            if error.code != "file-kind":
                raise
            self._evict(digest)
            return False
        self._touch(digest)
        return True

    def check_in(
        self, descriptor: Descriptor, stop: Event | None = None, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Hash what was staged under a blob's name, and admit it to the cache. What fails is thrown away.

        Raises:
            RejectedError, EnvError: as `check_blob`.
        """
        require_sha256(descriptor.digest)
        try:
            check_blob(self.staged, descriptor, stop or Event(), progress)
            self.admit(descriptor.digest)
        except BaseException:
            self.staged.discard(descriptor.digest, self.desk)
            raise

    def admit(self, digest: Digest) -> None:
        """Add a staged blob to the cache. The caller has just hashed it."""
        stream = self.staged.open(digest)
        if stream is None:
            raise RejectedError("incomplete-source", "blob", str(digest), got="not there", want="a whole image")
        with stream, disk_errors("blob", self.staged.path / digest.hex):
            os.fsync(stream.fileno())
        place(self.staged, digest, self._blobs, self.desk)
        self._touch(digest)
        self._blobs.sync()

    def finish_partial(self, digest: Digest) -> None:
        """Turn a large blob's file into a blob of the cache and of the staging folder. The caller has hashed it.

        In this order, so that a kill in between loses nothing.
        """
        place(self.partials, digest, self._blobs, self.desk)
        self._blobs.sync()
        place(self._blobs, digest, self.staged, self.desk)
        with disk_errors("blob", self.partials.path / digest.hex), contextlib.suppress(FileNotFoundError):
            os.unlink(digest.hex, dir_fd=self.partials.descriptor)

    def stage_from_desk(self, name: str, digest: Digest) -> None:
        """Move a file from the desk to its blob's name in the staging folder. The caller has hashed it."""
        settle(self.desk, name, self.staged, digest)

    def read(self, digest: Digest, max_bytes: int) -> bytes | None:
        """A small document of the cache, hashed; None when absent. Another's bytes are evicted."""
        require_sha256(digest)
        try:
            stream = self._blobs.open(digest)
        except EnvError as error:
            if error.code != "file-kind":
                raise
            self._evict(digest)
            return None
        if stream is None:
            return None
        with stream, disk_errors("blob", self._blobs.path / digest.hex):
            if os.fstat(stream.fileno()).st_size > max_bytes:
                return None
            raw = stream.read(max_bytes + 1)
        if sha256_of(raw) != digest:
            self._evict(digest)
            return None
        self._touch(digest)
        return raw

    def keep(self, digest: Digest, raw: bytes) -> None:
        """Add a small document to the cache.

        Raises:
            RejectedError: the bytes are not that digest's (``blob-digest``).
        """
        require_sha256(digest)
        if sha256_of(raw) != digest:
            raise RejectedError("blob-digest", "blob", str(digest), got=str(sha256_of(raw)), want="that digest")
        if self._blobs.size_bytes(digest) == len(raw):
            return  # whoever reads it hashes it
        name = fresh_name()
        with new_on_desk(self.desk, name) as target, disk_errors("blob", self.desk.path / name):
            write_all(target, raw)
            os.fsync(target.fileno())
        settle(self.desk, name, self._blobs, digest)
        self._blobs.sync()

    def _open(self, path: Path) -> BlobFolder:
        folder = BlobFolder(path)
        self._opened.callback(folder.close)
        return folder

    def _evict(self, digest: Digest) -> None:
        self.evicted.append(digest)
        self._blobs.discard(digest, self.desk)

    def _touch(self, digest: Digest) -> None:
        """Mark a blob as used now, by the file system's own clock; `prune` goes by it."""
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.utime(digest.hex, dir_fd=self._blobs.descriptor, follow_symlinks=False)


@contextlib.contextmanager
def open_cache(folder: Path) -> Iterator[BlobCache]:
    """Open the cache in `folder`, made if need be, with a staging folder that is gone when the block ends.

    Raises:
        EnvError: it cannot be made or read, or is not a folder.
    """
    root = make_folders(folder)
    with contextlib.ExitStack() as held:
        held.enter_context(_flock(root / LOCK, fcntl.LOCK_SH))
        # Held for this moment, so that nobody takes a staging folder just made for litter.
        with locked(root / RUNS_LOCK, what="cache", wait=True):
            remove_litter(root / RUNS)
            run = root / RUNS / fresh_name()
            held.callback(shutil.rmtree, run, ignore_errors=True)
            for part in (run, run / "shared", run / "shared" / "sha256", run / "calls", run / "desk"):
                _private_folder(part)
            held.enter_context(_flock(run, fcntl.LOCK_EX | fcntl.LOCK_NB))
        cache = BlobCache(root, run)
        held.callback(cache.close)
        yield cache


def make_folders(folder: Path) -> Path:
    """Make the cache's folders, ours alone; returns the cache's real path."""
    with disk_errors("cache", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = folder.resolve(strict=True)
    for part in (BLOBS.parent, BLOBS, PARTIAL, PROOFS, RUNS):
        _private_folder(root / part)
    return root


def remove_litter(runs: Path) -> None:
    """Remove staging folders whose process is gone. The caller holds the lock of `runs`."""
    with disk_errors("cache", runs):
        litter = sorted(path for path in runs.iterdir() if path.is_dir() and not path.is_symlink())
    for path in litter:
        with contextlib.suppress(EnvError), _flock(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(path, ignore_errors=True)


def _private_folder(path: Path) -> Path:
    with disk_errors("cache", path):
        path.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink():
            raise EnvError("file-kind", "cache", str(path), got="a link", want="a folder")
    return path


@contextlib.contextmanager
def _flock(path: Path, kind: int) -> Iterator[None]:
    """Hold a lock on a file (made if need be) or on a folder.

    Raises:
        EnvError: another process holds it and LOCK_NB was asked for (``locked``).
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    with disk_errors("cache", path):
        held = os.open(path, flags if path.is_dir() else flags | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(held, kind)
        except BlockingIOError as error:
            raise EnvError("locked", "cache", str(path), got="in use", want="free") from error
        yield
    finally:
        os.close(held)
