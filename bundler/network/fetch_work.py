"""What a fetch has to bring, and how far it is.

Rules of this module:
- A blob counts once for each image that needs it; an image's progress never goes back.
- Counted in worker threads, told in the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Lock

from bundler import limits
from bundler.digest import Digest
from bundler.errors import EnvError, RejectedError
from bundler.network.blob_download import BlobSource
from bundler.network.blob_files import require_sha256
from bundler.oci.descriptor import Descriptor
from bundler.value import dataclass

Report = Callable[[str, int], None]
Done = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ManifestWork:
    """A platform's manifest, whose blobs skopeo moves."""

    descriptor: Descriptor
    raw: bytes
    blobs: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class ImageWork:
    """What one image needs.

    Attributes:
        name: for progress and messages.
        repository: where it all lies.
        manifests: by skopeo.
        others: evidence and whatever else is a blob: by our own client.
    """

    name: str
    repository: BlobSource
    manifests: tuple[ManifestWork, ...] = ()
    others: tuple[Descriptor, ...] = ()

    def blobs(self) -> dict[Digest, Descriptor]:
        """Every blob, once."""
        listed = [*self.others, *(blob for manifest in self.manifests for blob in manifest.blobs)]
        return {blob.digest: blob for blob in listed}

    @property
    def size_bytes(self) -> int:
        """All of it, each blob counted once; what `report` counts up to."""
        return sum(blob.size_bytes for blob in self.blobs().values())


def all_blobs(works: Iterable[ImageWork]) -> dict[Digest, Descriptor]:
    """Every blob of all images, once.

    Raises:
        RejectedError: two descriptors of one digest disagree (``digest-size``).
        UnsupportedError: no sha256 digest (``digest-algorithm``).
    """
    found: dict[Digest, Descriptor] = {}
    for work in works:
        for blob in [*work.others, *(blob for manifest in work.manifests for blob in manifest.blobs)]:
            require_sha256(blob.digest)
            known = found.setdefault(blob.digest, blob)
            if known.size_bytes != blob.size_bytes:
                raise RejectedError(
                    "digest-size", "blob", str(blob.digest), got=f"{known.size_bytes} and {blob.size_bytes} bytes",
                    want="one size",
                )  # fmt: skip
    return found


def refuse_absent(work: ImageWork, blobs: Iterable[Descriptor], cause: EnvError) -> None:
    """After a failure without a cause: name the blobs that the registry says it lacks, if there are any.

    Raises:
        RejectedError: code ``incomplete-source``.
    """
    asked = list(blobs)
    try:
        absent = [blob for blob in asked if not work.repository.has_blob(blob)]
    except EnvError:
        return  # no answer is no absence; the failure stands
    if absent:
        raise RejectedError(
            "incomplete-source", "repository", work.repository.name, got=f"{len(absent)} of {len(asked)} blobs absent",
            want="a whole image", hints=[f"absent: {blob.digest}" for blob in absent[: limits.HINTS]],
        ) from cause  # fmt: skip


class FetchProgress:
    """How far each image is, counted in worker threads and told in the caller's."""

    def __init__(self, works: Sequence[ImageWork], checked: set[Digest], report: Report, image_done: Done) -> None:
        self._images = [_ImageProgress(work) for work in works]
        self._checked = checked
        self._report = report
        self._image_done = image_done
        self._moving: dict[Digest, int] = {}
        self._lock = Lock()

    def reach(self, digest: Digest, done_bytes: int) -> None:
        """So much of a blob, or of a manifest's unfinished blobs, is there."""
        with self._lock:
            self._moving[digest] = done_bytes

    def tell(self) -> None:
        """Report every image that moved."""
        with self._lock:
            moving = dict(self._moving)
        for image in self._images:
            if image.finished:
                continue
            there = sum(size for digest, size in image.sizes.items() if digest in self._checked)
            coming = sum(
                min(moving.get(digest, 0), size) for digest, size in image.sizes.items() if digest not in self._checked
            ) + sum(moving.get(digest, 0) for digest in image.manifests)
            reached = min(image.total_bytes, there + coming)
            image.finished = image.sizes.keys() <= self._checked
            if reached > image.told_bytes:
                image.told_bytes = reached
                self._report(image.name, reached)
            if image.finished:
                self._image_done(image.name)


class _ImageProgress:
    """One image's part of the progress."""

    def __init__(self, work: ImageWork) -> None:
        self.name = work.name
        self.sizes = {digest: blob.size_bytes for digest, blob in work.blobs().items()}
        self.manifests = [manifest.descriptor.digest for manifest in work.manifests]
        self.total_bytes = sum(self.sizes.values())
        self.told_bytes = 0
        self.finished = False
