"""Hash every blob, and compress those that gain: step 1 of the commit protocol (archive/FORMAT.md).

Rules of this module:
- Whatever a source hands out is hashed. Bytes that are not what the descriptor names end the export with the image, the
  blob and the place. Only what this run has hashed already, when it came, is not read twice before it is written: the
  writer hashes it again.
- Frames lie in the workspace under the digest of their bytes until the file is written; the writer hashes them again.
- A frame that gains too little is thrown away at once, and the blob stays raw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from bundler import limits
from bundler.archive.frames import compress_to
from bundler.archive.inventory import Blob
from bundler.archive.storage import pays
from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.export.collect import naming
from bundler.export.plan import Plan, PlannedBlob
from bundler.oci.descriptor import Descriptor
from bundler.safe_file import disk_errors

Progress = Callable[[int], None]


class Staged:
    """Blobs that were hashed, with how each is stored; opens their stored bytes for the writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._planned: dict[Digest, PlannedBlob] = {}
        self.blobs: list[Blob] = []

    def add(self, planned: PlannedBlob, *, compress: bool, progress: Progress) -> None:
        """Read one blob to its end, hashing it, and stage its frame if that pays."""
        compress = compress and planned.may_compress
        if not compress and planned.source.has_hashed(planned.descriptor.digest):
            progress(planned.descriptor.size_bytes)
            self._note(planned, None)
            return
        with naming(planned.image_name, planned.source), _checked(planned, progress) as content:
            frame = self._try_frame(content, planned) if compress else None
            if frame is None:
                content.exhaust()
        self._note(planned, frame)

    def _note(self, planned: PlannedBlob, frame: Blob | None) -> None:
        self._planned[planned.descriptor.digest] = planned
        self.blobs.append(frame or _raw(planned.descriptor))

    def open_stored(self, blob: Blob) -> BinaryIO:
        """The stored bytes of a staged blob, for the writer, who hashes them."""
        if blob.stored == "zstd":
            path = self._folder / blob.stored_digest.hex
            with disk_errors("staged frame", path):
                return path.open("rb")
        planned = self._planned[blob.digest]
        with naming(planned.image_name, planned.source):
            return planned.source.open_blob(planned.descriptor)

    def origin_of(self, digest: str) -> str:
        """The image and the place that a staged blob is from, for messages."""
        found = (item for item in self._planned.values() if str(item.descriptor.digest) == digest)
        return "; ".join(f"image {item.image_name}, from {item.source.place}" for item in found)

    def _try_frame(self, content: CheckedStream, planned: PlannedBlob) -> Blob | None:
        descriptor = planned.descriptor
        temporary = self._folder / f"{descriptor.digest.hex}.part"
        with disk_errors("staged frame", temporary):
            with temporary.open("xb") as target:
                stored = compress_to(cast("BinaryIO", content), target, descriptor.size_bytes)
            if not pays(descriptor.size_bytes, stored.size_bytes):
                temporary.unlink()
                return None
            temporary.rename(self._folder / stored.digest.hex)
        return Blob(
            descriptor.digest, descriptor.size_bytes, descriptor.media_type, "zstd", stored.size_bytes, stored.digest
        )


def stage(plan: Plan, folder: Path, *, compress: bool, progress: Progress) -> Staged:
    """Hash all blobs of a plan, and stage the frames of those that gain.

    Args:
        plan: what to carry.
        folder: an empty folder for the frames, beside the target.
        compress: false for `--compression none`.
        progress: told of content bytes read.

    Raises:
        RejectedError: a source's bytes are not what a descriptor names (``blob-size``, ``blob-digest``).
        EnvError: reading or writing failed.
    """
    staged = Staged(folder)
    for planned in plan.blobs:
        staged.add(planned, compress=compress, progress=progress)
    return staged


class CheckedStream:
    """A blob's bytes on their way, counted and hashed; never gives more than the descriptor's size."""

    def __init__(self, stream: BinaryIO, descriptor: Descriptor, progress: Progress) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._progress = progress
        self._state = hashlib.sha256()
        self._count = 0

    def read(self, size_bytes: int) -> bytes:
        """The next bytes, at most `size_bytes`; empty at the end.

        Raises:
            RejectedError: more or fewer bytes than the descriptor says (``blob-size``).
        """
        with disk_errors("blob", str(self._descriptor.digest)):
            raw = self._stream.read(size_bytes)
        self._count += len(raw)
        if self._count > self._descriptor.size_bytes or (not raw and self._count < self._descriptor.size_bytes):
            raise RejectedError(
                "blob-size",
                "blob",
                str(self._descriptor.digest),
                got=f"{self._count} bytes" + (" or more" if raw else ""),
                want=f"{self._descriptor.size_bytes}",
            )
        self._state.update(raw)
        self._progress(len(raw))
        return raw

    def exhaust(self) -> None:
        """Read what is left."""
        while self.read(limits.READ_BUFFER_BYTES):
            pass

    def check(self) -> None:
        """After the end: refuse other bytes than the descriptor names.

        Raises:
            RejectedError: code ``blob-digest``.
        """
        digest = Digest("sha256", self._state.hexdigest())
        if digest != self._descriptor.digest:
            raise RejectedError(
                "blob-digest", "blob", str(self._descriptor.digest), got=str(digest), want="that digest"
            )


@contextmanager
def _checked(planned: PlannedBlob, progress: Progress) -> Iterator[CheckedStream]:
    with planned.source.open_blob(planned.descriptor) as stream:
        content = CheckedStream(stream, planned.descriptor, progress)
        yield content
        content.check()


def _raw(descriptor: Descriptor) -> Blob:
    return Blob(
        descriptor.digest,
        descriptor.size_bytes,
        descriptor.media_type,
        "raw",
        descriptor.size_bytes,
        descriptor.digest,
    )
