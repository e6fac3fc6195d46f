"""`oci-layout` and `index.json`: functions of the inventory, so that registry tools can read a bundle (FORMAT.md).

Rules of this module:
- One descriptor for each image, in inventory order; then one for each evidence manifest that a registry holds as a
  manifest of its own, in inventory order. Attestation manifests inside an index are reached through it and not listed.
- An image's name is its reference; an evidence manifest's is `<repository>:sha256-<hex of its subject>.<suffix>`.
- The same name with the same digest is listed once; with another digest the inventory is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bundler.archive.contents import Evidence, Image, Inventory
from bundler.errors import MalformedError, UnsupportedError
from bundler.oci.annotations import REF_NAME, format_evidence_tag
from bundler.oci.manifest import OCI_INDEX
from bundler.oci.reference import parse_reference
from bundler.strict_json import format_canonical

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

_IN_INDEX = ""
_TAG_SUFFIXES = {
    "buildkit-attestation": _IN_INDEX,
    "cosign-signature": "sig",
    "cosign-attestation": "att",
    "cosign-sbom": "sbom",
}
EVIDENCE_KINDS = frozenset(_TAG_SUFFIXES)


def layout_index(inventory: Inventory) -> bytes:
    """The bytes of `index.json`.

    Raises:
        MalformedError: two different manifests would bear one name (code ``layout-name``).
        UnsupportedError: a kind of evidence that this version does not know (code ``evidence-kind``).
    """
    named: dict[str, str] = {}
    entries: list[dict[str, Any]] = []
    for name, item in _named_items(inventory):
        digest = str(item.digest)
        if name in named:
            if named[name] != digest:
                raise MalformedError("layout-name", "inventory", name[:300], got=digest, want=f"{named[name]} only")
            continue
        named[name] = digest
        entries.append(
            {
                "mediaType": item.media_type,
                "digest": digest,
                "size": item.size_bytes,
                "annotations": {REF_NAME: name},
            }
        )
    return format_canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, "index.json")


def _named_items(inventory: Inventory) -> Iterator[tuple[str, Image | Evidence]]:
    for image in inventory.images:
        yield image.name, image
    for image in inventory.images:
        repository = parse_reference(image.name).name
        for evidence in image.evidence:
            suffix = _tag_suffix(evidence)
            if suffix != _IN_INDEX:
                yield f"{repository}:{format_evidence_tag(evidence.subject, suffix)}", evidence


def _tag_suffix(evidence: Evidence) -> str:
    suffix = _TAG_SUFFIXES.get(evidence.kind)
    if suffix is None:
        raise UnsupportedError(
            "evidence-kind", "inventory", str(evidence.digest), got=evidence.kind[:80], hints=["use a newer sealift"]
        )
    return suffix
