"""Every blob of all images of a run into its staging folder, hashed: from the cache, by skopeo, by our own client.

Rules of this module:
- The cache is asked first, and what it gives is hashed. A run that finds everything there starts no skopeo and asks no
  registry for a blob.
- Blobs from `large_bytes` on, and evidence, come by our own client; the rest of a manifest by one call of skopeo, which
  waits until the manifest's large blobs are there. Where skopeo cannot read a repository's name, all come by our own
  client. What two images need is fetched once.
- skopeo's success is not believed: each blob that must have arrived is hashed, most of them while it still fetches
  others. What is missing or wrong after its call is asked for once more, then it is an error.
- skopeo's exit code says nothing about the cause. When a call fails, our own client asks for what is missing, and only
  a clear "absent" makes the source incomplete.
- `report` and `image_done` are called in the caller's thread.
- Whatever ends a fetch early (an error, Ctrl-C) ends all of it within moments: programs are killed, streams woken. What
  was hashed is in the cache by then, beginnings of large blobs too. Who waits for a connection is left behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import BinaryIO

from bundler import limits
from bundler.digest import Digest
from bundler.errors import EnvError, RejectedError, SealiftError
from bundler.network.access import Access
from bundler.network.blob_cache import BlobCache
from bundler.network.blob_download import Errand, download_large, download_small
from bundler.network.blob_files import fresh_name
from bundler.network.crew import start
from bundler.network.fetch_work import Done, FetchProgress, ImageWork, ManifestWork, Report, all_blobs, refuse_absent
from bundler.network.skopeo import Skopeo
from bundler.oci.descriptor import Descriptor
from bundler.value import dataclass

__all__ = ["Fetcher", "ImageWork", "ManifestWork"]

_LIES = {"incomplete-source": "not written, although skopeo reported success", "file-kind": "not a regular file"}


class Fetcher:
    """Brings blobs into the run's staging folder and hands them out. One for each run."""

    def __init__(
        self,
        cache: BlobCache,
        skopeo: Skopeo | None,
        access: Access,
        *,
        large_bytes: int = limits.LARGE_BLOB_BYTES,
        jobs: int = 4,
    ) -> None:
        """Nothing is started.

        Args:
            cache: with this run's staging folder.
            skopeo: None for the one in PATH.
            access: for retries.
            large_bytes: blobs of this size or more are fetched resumably.
            jobs: how many downloads and calls of skopeo run at once.
        """
        self.cache = cache
        self._skopeo = skopeo or Skopeo(access)
        self._access = access
        self._large_bytes = large_bytes
        self._jobs = jobs
        self._checked: set[Digest] = set()

    @property
    def checked(self) -> frozenset[Digest]:
        """Blobs that lie in the staging folder and were hashed in this run."""
        return frozenset(self._checked)

    def missing_bytes(self, works: Iterable[ImageWork]) -> int:
        """Bytes still to be fetched, for a look at the free space: neither cached nor begun. Nothing is hashed."""
        missing = all_blobs(works)
        total = 0
        for digest, blob in missing.items():
            if digest not in self._checked and not self.cache.holds(blob):
                begun = self.cache.partials.size_bytes(digest) or 0
                total += max(0, blob.size_bytes - begun)
        return total

    def fetch(
        self,
        works: Sequence[ImageWork],
        report: Report = lambda _name, _done_bytes: None,
        image_done: Done = lambda _name: None,
    ) -> None:
        """Bring every blob of all images.

        Args:
            works: the images.
            report: gets an image's name and how many of its bytes are there in all; never less than before.
            image_done: gets the name of an image whose blobs are all there and hashed.

        Raises:
            RejectedError: a registry lacks a blob (``incomplete-source``), or what comes is not what its digest says
                (``blob-digest``, ``blob-size``); two descriptors disagree (``digest-size``).
            EnvError: skopeo, network or disk. The cache keeps what came.
            UnsupportedError: no sha256 digest.
        """
        all_blobs(works)
        progress = FetchProgress(works, self._checked, report, image_done)
        fetch = _Fetch(self.cache, self._skopeo, Errand(self._access), checked=self._checked, progress=progress)
        fetch.run(works, self._jobs, self._large_bytes)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob that was fetched. Whoever uses its bytes hashes them.

        Raises:
            RejectedError: it was not fetched (``incomplete-source``).
        """
        stream = self.cache.staged.open(descriptor.digest) if descriptor.digest in self._checked else None
        if stream is None:
            raise RejectedError(
                "incomplete-source", "blob", str(descriptor.digest), got="not fetched", want="a whole image"
            )
        return stream

    def cached(self, digest: Digest) -> bytes | None:
        """A small document of the cache, hashed; None when absent."""
        return self.cache.read(digest, limits.EVIDENCE_BLOB_BYTES)

    def keep(self, digest: Digest, raw: bytes) -> None:
        """Add a small document to the cache; its bytes have to be the digest's."""
        self.cache.keep(digest, raw)


@dataclass(frozen=True, slots=True)
class _Task:
    """A piece of work. Runs when `needs` are there and nobody else is bringing one of `brings`."""

    run: Callable[[], None]
    brings: frozenset[Digest]
    needs: frozenset[Digest] = frozenset()


class _Fetch:
    """One call of `Fetcher.fetch`."""

    def __init__(
        self,
        cache: BlobCache,
        skopeo: Skopeo,
        errand: Errand,
        *,
        checked: set[Digest],
        progress: FetchProgress,
    ) -> None:
        self._cache = cache
        self._skopeo = skopeo
        self._errand = errand
        self._checked = checked
        self._progress = progress

    def run(self, works: Sequence[ImageWork], jobs: int, large_bytes: int) -> None:
        """Take what is cached, fetch the rest."""
        running: dict[Future[None], _Task] = {}
        with ThreadPoolExecutor(limits.HASHING_THREADS) as self._hashers:
            try:
                self._work_off(running, jobs, self._taking(works))
                self._work_off(running, jobs, self._fetching(works, large_bytes))
            except BaseException:
                self._errand.halt()
                self._hashers.shutdown(wait=True, cancel_futures=True)
                wait(running, timeout=limits.HALT_SECONDS)
                raise

    def _work_off(self, running: dict[Future[None], _Task], jobs: int, tasks: Iterable[_Task]) -> None:
        waiting = list(tasks)
        while waiting or running:
            for task in [*waiting]:
                if len(running) >= jobs:
                    break
                if task.needs <= self._checked and not any(task.brings & other.brings for other in running.values()):
                    waiting.remove(task)
                    running[start(task.run)] = task
            done, _ = wait(running, timeout=limits.WATCH_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                future.result()
            self._progress.tell()
        self._progress.tell()

    def _taking(self, works: Sequence[ImageWork]) -> Iterator[_Task]:
        for digest, blob in all_blobs(works).items():
            if digest not in self._checked and self._cache.holds(blob):
                yield _Task(partial(self._take, blob), frozenset({digest}))

    def _fetching(self, works: Sequence[ImageWork], large_bytes: int) -> Iterator[_Task]:
        """Downloads first, since calls of skopeo wait for some of them."""
        readable = [work for work in works if _is_readable(work.repository.skopeo_name)]
        manifests = [(work, manifest) for work in readable for manifest in work.manifests]
        by_skopeo = {blob.digest for _, item in manifests for blob in item.blobs if blob.size_bytes < large_bytes}
        planned = by_skopeo | self._checked
        for work in works:
            for digest, blob in work.blobs().items():
                if digest not in planned:
                    planned.add(digest)
                    way = download_large if blob.size_bytes >= large_bytes else download_small
                    yield _Task(partial(self._download, way, work, blob), frozenset({digest}))
        for work, manifest in manifests:
            missing = frozenset(blob.digest for blob in manifest.blobs) - self._checked
            if missing:
                large = frozenset(blob.digest for blob in manifest.blobs if blob.size_bytes >= large_bytes)
                yield _Task(partial(self._copy, work, manifest), missing, large)

    def _take(self, blob: Descriptor) -> None:
        if self._cache.take(blob, self._errand.stop, partial(self._progress.reach, blob.digest)):
            self._checked.add(blob.digest)

    def _download(self, way: Callable[..., None], work: ImageWork, blob: Descriptor) -> None:
        with _naming(work.name):
            way(self._cache, work.repository, blob, self._errand, partial(self._progress.reach, blob.digest))
        self._checked.add(blob.digest)

    def _copy(self, work: ImageWork, manifest: ManifestWork) -> None:
        """Let skopeo bring a manifest's blobs, and hash them; what is not there after two calls is an error."""
        for again in (False, True):
            missing = {blob.digest: blob for blob in manifest.blobs if blob.digest not in self._checked}
            if not missing:
                return
            arrivals = _Arrivals(
                self._cache, self._hashers, self._errand,
                missing=missing, checked=self._checked, progress=self._progress,
            )  # fmt: skip
            with _naming(work.name):
                try:
                    self._call_skopeo(work, manifest, arrivals, tuple(missing.values()))
                except EnvError as error:
                    if error.code == "skopeo-failed":
                        refuse_absent(work, missing.values(), error)
                    raise
                arrivals.settle(last_chance=again)
            self._progress.reach(manifest.descriptor.digest, 0)

    def _call_skopeo(
        self, work: ImageWork, manifest: ManifestWork, arrivals: _Arrivals, missing: tuple[Descriptor, ...]
    ) -> None:
        self._skopeo.copy_manifest(
            work.repository.skopeo_name,
            manifest.descriptor.digest,
            self._cache.calls / fresh_name(),
            self._cache.shared_blobs,
            blobs=missing,
            watch=partial(self._look, manifest, arrivals),
            stop=self._errand.stop,
        )

    def _look(self, manifest: ManifestWork, arrivals: _Arrivals, unfinished_bytes: int) -> None:
        self._progress.reach(manifest.descriptor.digest, unfinished_bytes)
        arrivals.look()


class _Arrivals:
    """Blobs that one call of skopeo has to bring; each is hashed as soon as it lies under its name."""

    def __init__(
        self,
        cache: BlobCache,
        hashers: ThreadPoolExecutor,
        errand: Errand,
        *,
        missing: dict[Digest, Descriptor],
        checked: set[Digest],
        progress: FetchProgress,
    ) -> None:
        self._cache = cache
        self._hashers = hashers
        self._errand = errand
        self._awaited = dict(missing)
        self._checked = checked
        self._progress = progress
        self._hashing: list[Future[None]] = []

    def look(self) -> None:
        """Hand what has arrived to the hashers."""
        for digest in [*self._awaited]:
            if self._cache.staged.size_bytes(digest) is not None:
                self._hashing.append(self._hashers.submit(self._check_in, self._awaited.pop(digest)))

    def settle(self, *, last_chance: bool) -> None:
        """After the call: whatever has not arrived, or is not what it should be.

        Raises:
            RejectedError: other bytes (``blob-digest``, ``blob-size``).
            EnvError: skopeo said success and it was none (``skopeo-lied``).
        """
        self._hashing += [self._hashers.submit(self._check_in, blob) for blob in self._awaited.values()]
        self._awaited = {}
        for future in self._hashing:
            try:
                future.result()
            except (RejectedError, EnvError) as error:
                if error.code not in {*_LIES, "blob-digest", "blob-size"}:
                    raise
                if last_chance:
                    raise self._told(error) from error

    def _check_in(self, blob: Descriptor) -> None:
        self._cache.check_in(blob, self._errand.stop, partial(self._progress.reach, blob.digest))
        self._checked.add(blob.digest)

    def _told(self, error: RejectedError | EnvError) -> RejectedError | EnvError:
        if error.code not in _LIES:
            error.hints = (*error.hints, "skopeo brought it twice so")
            return error
        return EnvError("skopeo-lied", error.what, error.which, got=_LIES[error.code], want="the blob")


def _is_readable(skopeo_name: str) -> bool:
    """Whether skopeo can be told of it: older ones (1.9.3 does) refuse an IPv6 address in brackets."""
    return not skopeo_name.startswith("[")


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Add to an error which image it is about."""
    try:
        yield
    except SealiftError as error:
        error.hints = (*error.hints, f"image {name}")
        raise
