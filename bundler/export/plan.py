"""From collected images to what the file will hold: the images listed, and every blob once, in the file's order.

Rules of this module:
- A name occurs once. The same image may bear several names; its blobs travel once.
- Across images, as within one, a digest has one size and one role (oci/graph.py).
- Vulnerability data comes after the images.
- Order: by rank of the media type (archive/storage.py), then as the images, in the order asked for, reach the blobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import BinaryIO

from bundler.archive.inventory import Data, Image
from bundler.archive.storage import blob_rank, may_compress
from bundler.digest import Digest
from bundler.errors import UsageError
from bundler.export.collect import CollectedImage
from bundler.export.data import CollectedData
from bundler.network.source import BlobPlace
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import check_agree
from bundler.value import dataclass

_MEMBER_OVERHEAD_BYTES = 512 + 511  # a header, and at most the padding


class OwnBlobs:
    """Blobs that the exporter made or took from evidence: held in memory."""

    place = "the exporter"

    def __init__(self, blobs: Mapping[Digest, bytes]) -> None:
        self._blobs = blobs

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of its bytes."""
        return BytesIO(self._blobs[descriptor.digest])

    def has_hashed(self, digest: Digest) -> bool:
        """No: they are hashed like all others."""
        del digest
        return False


@dataclass(frozen=True, slots=True)
class PlannedBlob:
    """A blob to carry, where its bytes come from, and the image that first needs it."""

    descriptor: Descriptor
    source: BlobPlace
    image_name: str

    @property
    def may_compress(self) -> bool:
        """Whether it will be tried as a zstd frame."""
        return may_compress(self.descriptor.media_type, self.descriptor.size_bytes)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the bundle will hold, before any blob was read."""

    images: tuple[Image, ...]
    blobs: tuple[PlannedBlob, ...]
    data: tuple[Data, ...] = ()

    @property
    def content_bytes(self) -> int:
        """Bytes of all blobs as registries hold them; all of them are read and hashed."""
        return sum(blob.descriptor.size_bytes for blob in self.blobs)

    def least_bytes(self, *, compress: bool) -> int:
        """Bytes that the bundle needs even if all that may be compressed vanished."""
        raw = sum(blob.descriptor.size_bytes for blob in self.blobs if not (compress and blob.may_compress))
        return raw + len(self.blobs) * 512

    def most_bytes(self, *, compress: bool) -> int:
        """Bytes that bundle and staged frames take at most, should nothing gain but the least that pays."""
        staged = sum(blob.descriptor.size_bytes for blob in self.blobs if compress and blob.may_compress)
        return self.content_bytes + staged + len(self.blobs) * _MEMBER_OVERHEAD_BYTES


def make_plan(collected: Sequence[CollectedImage], data: Sequence[CollectedData] = ()) -> Plan:
    """Plan a bundle of these images, in this order, and of this data.

    Raises:
        UsageError: neither (``images``), or two under one name (``name-twice``).
        MalformedError: images that disagree about a blob (``digest-size``, ``digest-role``).
    """
    if not collected and not data:
        raise UsageError("images", "export", got="no image", want="at least one")
    names: set[str] = set()
    for item in collected:
        if item.image.name in names:
            raise UsageError("name-twice", "image", item.image.name, got="named twice", want="each name once")
        names.add(item.image.name)
    blobs: dict[Digest, PlannedBlob] = {}
    for item in collected:
        made = OwnBlobs(item.made)
        for node in item.nodes:
            source = made if node.digest in item.made else item.source
            known = blobs.setdefault(node.digest, PlannedBlob(node, source, item.image.name))
            check_agree(known.descriptor, node)
    for found in data:
        for node in found.nodes:
            known = blobs.setdefault(node.digest, PlannedBlob(node, found.source, found.data.source))
            check_agree(known.descriptor, node)
    ordered = sorted(blobs.values(), key=lambda blob: blob_rank(blob.descriptor.media_type))
    return Plan(tuple(item.image for item in collected), tuple(ordered), tuple(item.data for item in data))
