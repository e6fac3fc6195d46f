"""Which vulnerability data there is, and how old: in a bundle, or at a site. For `sealift data show`.

Rules of this module:
- Of a bundle the head is checked, as `inspect` does; of contents only artifacts' manifests are read, and the result
  says so. Size is that of the data itself, not of its manifest.
- Of a site every content is hashed: what rotted there is told as damage, not as data.
- Ages are whole days from the latest change that the data's inventory tells, to the time given.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bundler import limits
from bundler.archive.inventory import Data
from bundler.archive.reader import ArchiveReader, open_archive
from bundler.deliver.inspection import InspectedHead, open_head
from bundler.digest import Digest
from bundler.errors import SealiftError, TrustError
from bundler.moment import format_moment
from bundler.value import dataclass
from bundler.verify.data import age_days, open_data
from bundler.verify.data_facts import DataFact
from bundler.vulnerability.recollection import recall
from bundler.vulnerability.remembered import SBOM, Remembered, RememberedData
from trust_root.delivery import TimeBasis
from trust_root.kept import open_kept_content
from trust_root.site import Site

LISTING_VERSION = 1


@dataclass(frozen=True, slots=True)
class ListedData:
    """One source of data.

    Attributes:
        stream, sequence: of the bundle that brought it.
        pin: of the root that the stream stands below; None where a head leads back to none.
        failure: why what the site keeps of it cannot be used.
    """

    fact: DataFact
    stream: str
    sequence: int
    pin: Digest | None
    failure: SealiftError | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """All data of one place.

    Attributes:
        place: the bundle, or the state folder.
        failure: why a bundle's head is not trusted; None when it is, and for a site.
        deliveries, images, sboms: how much of accepted deliveries a site keeps; None for a bundle.
    """

    place: str
    at: datetime
    data: tuple[ListedData, ...]
    failure: TrustError | None = None
    deliveries: int | None = None
    images: int | None = None
    sboms: int | None = None


def list_bundle(source: Path, site: Site | TrustError, basis: TimeBasis) -> Listing:
    """What a bundle brings.

    Raises:
        DamagedError, UnsupportedError, EnvError, MalformedError: not a bundle that can be told about.
        TrustError: its own metadata is not even consistent. RejectedError: an artifact lacks a part (``incomplete``).
    """
    with open_archive(source) as archive:
        head = open_head(archive, site, basis, str(source))
        carried = tuple(_carried(archive, head, basis.at))
    return Listing(str(source), basis.at, carried, head.failure)


def list_site(site: Site, at: datetime) -> Listing:
    """What a site keeps.

    Raises:
        TrustError: the list is damaged (``state-damaged``). EnvError: the disk.
    """
    remembered = recall(site)
    images = [image for delivery in remembered.deliveries for image in delivery.images]
    sboms = {paper.content for image in images for paper in image.papers if paper.kind == SBOM}
    return Listing(
        str(site.folder),
        at,
        tuple(_kept(site, remembered, at)),
        deliveries=len(remembered.deliveries),
        images=len({image.digest for image in images}),
        sboms=len(sboms),
    )


def listing_document(listing: Listing) -> dict[str, Any]:
    """The listing as plain values, for `--json`."""
    failure = listing.failure
    return {
        "listing": LISTING_VERSION,
        "place": listing.place,
        "at": format_moment(listing.at.replace(microsecond=0)),
        "trusted": failure is None,
        "reason": failure.code if failure else "",
        "data": [_data_document(item) for item in listing.data],
        "deliveries": listing.deliveries,
        "images": listing.images,
        "sboms": listing.sboms,
    }


def _data_document(item: ListedData) -> dict[str, Any]:
    fact = item.fact
    return {
        "kind": fact.kind,
        "source": fact.source,
        "stream": item.stream,
        "sequence": item.sequence,
        "pin": str(item.pin) if item.pin else None,
        "modified": format_moment(fact.modified_at) if fact.modified_at else None,
        "age_days": fact.age_days,
        "records": fact.records,
        "digest": str(fact.digest),
        "media_type": fact.media_type,
        "size": fact.size_bytes,
        "reason": item.failure.code if item.failure else "",
    }


def _carried(archive: ArchiveReader, head: InspectedHead, at: datetime) -> Iterator[ListedData]:
    inventory = head.inventory

    def read(digest: Digest) -> bytes:
        return archive.read_blob(digest, limits.MANIFEST_BYTES)

    for data in inventory.data:
        size_bytes = sum(part.size_bytes for part in open_data(data, inventory, read).payload)
        yield ListedData(_fact(data, size_bytes, at), inventory.stream, inventory.sequence, head.trust.pin)


def _kept(site: Site, remembered: Remembered, at: datetime) -> Iterator[ListedData]:
    for item in remembered.data:
        failure: TrustError | None = None
        for digest, _ in item.contents:
            try:
                with open_kept_content(site, digest):
                    pass
            except TrustError as error:
                failure = error
        fact = _fact(item, sum(size for _, size in item.contents), at)
        yield ListedData(fact, item.stream, item.sequence, item.pin, failure)


def _fact(item: Data | RememberedData, size_bytes: int, at: datetime) -> DataFact:
    days = age_days(item.modified_at, at)
    return DataFact(
        item.kind, item.source, item.modified_at, days, item.records, item.digest, item.media_type, size_bytes
    )
