"""An image with SBOMs that name real packages, and vulnerability data that is about them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, BinaryIO

from bundler.digest import sha256_of
from bundler.oci.descriptor import Descriptor
from bundler.vulnerability.shelf import Owner, ShelfItem
from tests.simulators.images import SLSA, SPDX, Layout, layer, provenance_statement, statement
from tests.simulators.osv_records import osv_record, osv_zip

FLASK = "pkg:pypi/flask@1.0"
RECORD = osv_record(aliases=["CVE-2026-1"])


def spdx(subject: Descriptor, purls: Sequence[str]) -> bytes:
    """A statement with an SPDX SBOM about `subject`."""
    packages = [
        {
            "name": purl.rpartition("/")[2].partition("@")[0],
            "versionInfo": purl.rpartition("@")[2].partition("?")[0],
            "SPDXID": f"SPDXRef-{number}",
            "downloadLocation": "NOASSERTION",
            "externalRefs": [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
            ],
        }
        for number, purl in enumerate(purls)
    ]
    predicate = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "sbom",
        "documentNamespace": f"https://example.org/sbom/{subject.digest.hex}",
        "creationInfo": {"creators": ["Tool: simulator"], "created": "2026-01-01T00:00:00Z"},
        "packages": packages,
    }
    return statement(subject.digest, SPDX, predicate)


def scannable(
    name: str,
    purls: Sequence[str] = (FLASK,),
    *,
    more: Mapping[str, Any] | None = None,
    seed: int = 1,
) -> tuple[Layout, Descriptor, tuple[Descriptor, Descriptor]]:
    """An index over two platforms, each with an SBOM of these packages and provenance in BuildKit's manifests.

    Args:
        name: its reference.
        purls: of the packages.
        more: further predicates about each platform, by predicate type.
        seed: for images of other bytes.
    """
    layout = Layout()
    platforms = [
        layout.image(platform, [layer(platform.encode(), seed=seed + number, size_bytes=300)])
        for number, platform in enumerate(("linux/amd64", "linux/arm64"))
    ]
    children = list(platforms)
    for item in platforms:
        further = [statement(item.digest, kind, predicate) for kind, predicate in (more or {}).items()]
        children.append(layout.attestation(item, [spdx(item, purls), provenance_statement(item), *further]))
    top = layout.index(children)
    layout.name(top, name)
    return layout, top, (platforms[0], platforms[1])


def shelf_item(
    content: bytes, kind: str = "osv", *, source: str = "osv/PyPI", stream: str = "main", pin: str = "",
    modified_at: datetime | None = None, delivered_at: datetime,
) -> ShelfItem:  # fmt: skip
    """Data in memory."""

    @contextmanager
    def open_content() -> Iterator[BinaryIO]:
        yield io.BytesIO(content)

    return ShelfItem(Owner(stream, pin), kind, source, modified_at, delivered_at, sha256_of(content), open_content)


def osv(*records: Mapping[str, Any]) -> bytes:
    """A dump of these records, or of the one about flask."""
    return osv_zip(list(records) or [RECORD])


__all__ = ["FLASK", "RECORD", "SLSA", "osv", "scannable", "shelf_item", "spdx"]
