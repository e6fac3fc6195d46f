"""What was patched and delivered last, so that a weekly run carries only what has changed (`--export-delta`).

    {"format": 2, "images": […], "data": […]}
    an image    name, original, sequence, stream, repository, platforms
    a platform  platform, original, patched, media_type, size, left ["CVE-… in PACKAGE", …]
    data        digest, sequence, stream: what the last bundle had that had any

Rules of this module:
- The record is the exporter's own note, a file beside the settings. It decides what need not be sent again, never what
  is believed: a lost or stale record makes the next bundle larger.
- An image is unchanged when its original has the digest recorded, the same platforms are asked for, it was delivered in
  this stream, and a scan of what was patched then, with today's database, finds nothing that copa could mend and that
  was not there already when it was delivered (what copa did not mend then, it will not mend today).
- A record ahead of the stream is of another repository; it counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bundler import limits
from bundler.archive.inventory import Inventory
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError, RejectedError, UsageError
from bundler.export.collect import CollectedImage
from bundler.export.patch import PatchedImage, open_original
from bundler.export.patch_platform import Workshop, named, read_platform
from bundler.export.settings import ImageRequest
from bundler.fields import Fields
from bundler.network.registry_source import RegistrySource
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import walk
from bundler.oci.manifest import ImageManifest
from bundler.oci.reference import parse_reference
from bundler.safe_file import read_bounded, write_atomically
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_canonical
from bundler.value import dataclass

_WHAT = "patch record"
_FORMAT = 2
_KEYS = ("name", "original", "sequence", "stream", "repository", "platforms")


@dataclass(frozen=True, slots=True)
class DeliveredPlatform:
    """One platform of an image that was delivered.

    Attributes:
        original, patched: its manifest before and after, as descriptor of the latter.
        left: what copa could have mended by the report about the latter, as `ID in PACKAGE`, sorted.
    """

    platform: str
    original: Digest
    patched: Descriptor
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivered:
    """One image that was delivered, patched or found to need no patch.

    Attributes:
        name, original: the original's reference and digest.
        stream, sequence: the bundle that carried it.
        repository: where its patched manifests are.
    """

    name: str
    original: Digest
    stream: str
    sequence: int
    repository: str
    platforms: tuple[DeliveredPlatform, ...]


@dataclass(frozen=True, slots=True)
class DeliveredData:
    """Vulnerability data that was delivered, and the bundle that carried it."""

    digest: Digest
    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Record:
    """All that was delivered: images by name, each once; data by digest, each once."""

    images: tuple[Delivered, ...] = ()
    data: tuple[DeliveredData, ...] = ()

    def data_of(self, stream: str, sequence: int) -> frozenset[Digest]:
        """Data that the bundles of a stream carried so far."""
        return frozenset(each.digest for each in self.data if each.stream == stream and each.sequence <= sequence)


def load_record(path: Path) -> Record:
    """Read a record; empty where there is none.

    Raises:
        UsageError: it is none (code ``patch-record``). EnvError: the disk.
    """
    if not path.exists():
        return Record()
    try:
        return parse_record(read_bounded(path, limits.STATE_FILE_BYTES, _WHAT))
    except MalformedError as error:
        raise UsageError(
            "patch-record", _WHAT, str(path), got=str(error), want="what sealift patch wrote",
            hints=["remove it: the next bundle then carries every image"],
        ) from error  # fmt: skip


def save_record(path: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    write_atomically(path, format_record(record), what=_WHAT)


def parse_record(raw: bytes) -> Record:
    """Read a record's bytes.

    Raises:
        MalformedError: not canonical, another format, or another shape.
    """
    fields = Fields(parse_canonical(raw, _WHAT, max_bytes=limits.STATE_FILE_BYTES), _WHAT)
    fields.exactly("format", "images", "data")
    fields.integer("format", minimum=_FORMAT, maximum=_FORMAT)
    images = tuple(map(_delivered, fields.each("images", maximum=limits.INVENTORY_IMAGES)))
    data = tuple(map(_delivered_data, fields.each("data", maximum=limits.INVENTORY_DATA)))
    for which, keys in (("images", [each.name for each in images]), ("data", [str(each.digest) for each in data])):
        if keys != sorted(set(keys)):
            raise MalformedError("order", _WHAT, which, got="unsorted or repeated", want="sorted, each once")
    return Record(images, data)


def format_record(record: Record) -> bytes:
    """The record's bytes; the inverse of `parse_record`."""
    images = [_fields(each) for each in sorted(record.images, key=lambda each: each.name)]
    data = [
        {"digest": str(each.digest), "stream": each.stream, "sequence": each.sequence}
        for each in sorted(record.data, key=lambda each: str(each.digest))
    ]
    return format_canonical({"format": _FORMAT, "images": images, "data": data}, _WHAT)


def after(record: Record, patched: Sequence[PatchedImage], inventory: Inventory) -> Record:
    """The record after a bundle with these images was exported; what it had of data takes the place of all before."""
    stream, sequence = inventory.stream, inventory.sequence
    new = {each.name: _of(each, stream, sequence) for each in patched}
    images = (*(each for each in record.images if each.name not in new), *new.values())
    data = tuple(DeliveredData(digest, stream, sequence) for digest in {each.digest for each in inventory.data})
    return Record(images, data or record.data)


def changed_only(
    requests: Sequence[ImageRequest], record: Record, shop: Workshop, stream: str, sequence: int
) -> tuple[ImageRequest, ...]:
    """Those images that have changed since they were delivered, or never were.

    Args:
        requests: all images.
        record: what was delivered.
        shop: scans what was patched.
        stream: the stream of the repository that exports now. sequence: its last bundle.

    Raises:
        EnvError: trivy or a registry.
    """
    known = {each.name: each for each in record.images if each.stream == stream and each.sequence <= sequence}
    return tuple(request for request in requests if not _is_unchanged(request, known, shop))


def _is_unchanged(request: ImageRequest, known: dict[str, Delivered], shop: Workshop) -> bool:
    origin, collected = open_original(request, shop.connection)
    image = collected.image
    last = known.get(image.name)
    if last is None or last.original != image.digest:
        return False
    if [(each.platform, each.original) for each in last.platforms] != _platforms(collected):
        return False
    elsewhere = RegistrySource(shop.connection, parse_reference(last.repository), last.repository)
    for each in last.platforms:
        source = origin if each.patched.digest == each.original else elsewhere
        try:
            document = walk(each.patched, source.read_document).documents[each.patched.digest]
        except RejectedError:
            return False  # it is gone from the registry
        if not isinstance(document, ImageManifest):
            return False
        _, report = shop.scan(source.repository.name, read_platform(source, document))
        if not set(named(report)) <= set(each.left):
            return False
    shop.say(f"unchanged {image.name}")
    return True


def _platforms(collected: CollectedImage) -> list[tuple[str, Digest]]:
    return [(child.platform, child.digest) for child in collected.image.platforms]


def _of(patched: PatchedImage, stream: str, sequence: int) -> Delivered:
    platforms = tuple(
        DeliveredPlatform(each.fact.platform, each.fact.original, each.manifest, each.mendable)
        for each in patched.platforms
    )
    return Delivered(patched.name, patched.digest, stream, sequence, patched.repository.name, platforms)


def _fields(delivered: Delivered) -> dict[str, Any]:
    return {
        "name": delivered.name,
        "original": str(delivered.original),
        "stream": delivered.stream,
        "sequence": delivered.sequence,
        "repository": delivered.repository,
        "platforms": [
            {
                "platform": each.platform,
                "original": str(each.original),
                "patched": str(each.patched.digest),
                "media_type": each.patched.media_type,
                "size": each.patched.size_bytes,
                "left": list(each.left),
            }
            for each in delivered.platforms
        ],
    }


def _delivered(fields: Fields) -> Delivered:
    fields.exactly(*_KEYS)
    return Delivered(
        name=str(parse_reference(fields.text("name"))),
        original=parse_digest(fields.text("original")),
        stream=fields.text("stream"),
        sequence=fields.integer("sequence", minimum=1, maximum=MAX_SAFE_INTEGER),
        repository=parse_reference(fields.text("repository")).name,
        platforms=tuple(_delivered_platforms(fields)),
    )


def _delivered_data(fields: Fields) -> DeliveredData:
    fields.exactly("digest", "stream", "sequence")
    sequence = fields.integer("sequence", minimum=1, maximum=MAX_SAFE_INTEGER)
    return DeliveredData(parse_digest(fields.text("digest")), fields.text("stream"), sequence)


def _delivered_platforms(fields: Fields) -> Iterator[DeliveredPlatform]:
    for item in fields.each("platforms", maximum=limits.INDEX_CHILDREN):
        item.exactly("platform", "original", "patched", "media_type", "size", "left")
        size_bytes = item.integer("size", maximum=limits.MANIFEST_BYTES)
        patched = Descriptor(item.text("media_type"), parse_digest(item.text("patched")), size_bytes)
        left = item.texts("left", maximum=limits.SCAN_FINDINGS)
        yield DeliveredPlatform(item.text("platform"), parse_digest(item.text("original")), patched, left)
