"""`oci-layout` and `index.json`: functions of the inventory, so that registry tools can read a bundle (FORMAT.md).

Rules of this module:
- One descriptor for each image, in inventory order; then one for each evidence manifest that a registry holds as a
  manifest of its own, in inventory order; then one for each artifact among the vulnerability data, named by its source.
  Attestation manifests inside an index are reached through it and not listed;
  nor are blobs of ours, which no registry holds.
- An image's name is its reference; cosign's evidence is named `<repository>:sha256-<hex of its subject>.<suffix>`;
  referrers have none, they are found by their own `subject`.
- The same name with the same digest is listed once; with another digest the inventory is refused. What bears no name
  is listed once, and not at all when the same digest stands there under a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bundler.archive.contents import Data, Evidence, Image, Inventory
from bundler.errors import MalformedError, UnsupportedError
from bundler.evidence.kind import (
    BUILDKIT_ATTESTATION,
    CONTAINERS_SIGNATURE,
    COSIGN_ATTESTATION,
    COSIGN_SBOM,
    COSIGN_SIGNATURE,
    LOG_ENTRY,
    REFERRER,
)
from bundler.oci.annotations import REF_NAME, format_evidence_tag
from bundler.oci.manifest import OCI_INDEX, is_manifest
from bundler.oci.reference import parse_reference
from bundler.strict_json import format_canonical

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

# Evidence that no registry holds: one blob each, whose bytes we made or took over, and its media type.
BLOB_TYPES: Mapping[str, str] = {
    CONTAINERS_SIGNATURE: "application/vnd.sealift.containers-signature",
    LOG_ENTRY: "application/vnd.sealift.log-entry.v1+json",
}

# Vulnerability data that is a blob of ours, by kind: a file as it came, or a folder's files packed into a zip archive
# without compression, so that frames work on it. Any kind may also be an artifact: a manifest of a registry's.
DATA_TYPES: Mapping[str, tuple[str, ...]] = {
    "csaf": ("application/vnd.sealift.csaf.v1+json", "application/vnd.sealift.csaf.v1.records"),
    "grype-db": ("application/vnd.sealift.grype-db.v1",),
    "openvex": ("application/vnd.sealift.openvex.v1+json", "application/vnd.sealift.openvex.v1.records"),
    "osv": ("application/vnd.sealift.osv.v1+zip", "application/vnd.sealift.osv.v1.records"),
    "trivy-db": ("application/vnd.sealift.trivy-db.v1",),
}
TAG_SUFFIXES: Mapping[str, str] = {COSIGN_SIGNATURE: "sig", COSIGN_ATTESTATION: "att", COSIGN_SBOM: "sbom"}
EVIDENCE_KINDS = frozenset({BUILDKIT_ATTESTATION, REFERRER, *BLOB_TYPES, *TAG_SUFFIXES})


def layout_index(inventory: Inventory) -> bytes:
    """The bytes of `index.json`.

    Raises:
        MalformedError: two different manifests would bear one name (code ``layout-name``).
        UnsupportedError: a kind of evidence that this version does not know (code ``evidence-kind``).
    """
    items = list(_listed_items(inventory))
    named = _names(items)
    listed: set[tuple[str, str]] = set()
    entries: list[dict[str, Any]] = []
    for name, item in items:
        digest = str(item.digest)
        if (name, digest) in listed or (not name and digest in named):
            continue
        listed.add((name, digest))
        entry: dict[str, Any] = {"mediaType": item.media_type, "digest": digest, "size": item.size_bytes}
        entries.append(entry | {"annotations": {REF_NAME: name}} if name else entry)
    return format_canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, "index.json")


def _names(items: list[tuple[str, Image | Evidence | Data]]) -> set[str]:
    """Digests that bear a name, each name standing for one digest."""
    named: dict[str, str] = {}
    for name, item in items:
        digest = str(item.digest)
        if name and named.setdefault(name, digest) != digest:
            raise MalformedError("layout-name", "inventory", name[:300], got=digest, want=f"{named[name]} only")
    return set(named.values())


def _listed_items(inventory: Inventory) -> Iterator[tuple[str, Image | Evidence | Data]]:
    """What index.json lists, with its name, or an empty one."""
    for image in inventory.images:
        yield image.name, image
    for image in inventory.images:
        repository = parse_reference(image.name).name
        for evidence in image.evidence:
            if evidence.kind not in EVIDENCE_KINDS:
                raise _unknown_kind(evidence)
            if evidence.kind in TAG_SUFFIXES:
                yield f"{repository}:{format_evidence_tag(evidence.subject, TAG_SUFFIXES[evidence.kind])}", evidence
            elif evidence.kind == REFERRER:
                yield "", evidence
    yield from ((data.source, data) for data in inventory.data if is_manifest(data.media_type))


def _unknown_kind(evidence: Evidence) -> UnsupportedError:
    return UnsupportedError(
        "evidence-kind", "inventory", str(evidence.digest), got=evidence.kind[:80], hints=["use a newer sealift"]
    )
