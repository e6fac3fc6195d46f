"""What a bundle holds, told without reading its layers: for `sealift inspect`.

Rules of this module:
- The head's trust is checked first, by the same code as `verify`. Where it does not hold, the same facts are told with
  `failure` set, so that whoever prints them says NOT VERIFIED.
- Headers of all members are compared (that is reading 512 bytes each); contents of layers are not read, and the result
  says so. Predicate types come from annotations here: they are claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bundler import limits
from bundler.archive.inventory import Evidence, Image, Inventory, data_fields
from bundler.archive.layout import BLOB_TYPES
from bundler.archive.reader import ArchiveReader, open_archive
from bundler.digest import Digest
from bundler.errors import MalformedError, TrustError
from bundler.moment import format_moment
from bundler.oci.manifest import ImageManifest, parse_manifest
from bundler.value import dataclass, field
from bundler.verify.head import open_unproved, trust_facts, unproved_facts
from bundler.verify.head_facts import TrustFacts
from trust_root.acceptance import check_pin_stands, judging_material
from trust_root.delivery import TimeBasis
from trust_root.newest import find_newest
from trust_root.site import Site, open_for_site
from trust_root.stream_signature import StreamKeys, stream_keys

INSPECTION_VERSION = 1
_PREDICATE_ANNOTATIONS = ("in-toto.io/predicate-type", "predicateType")


@dataclass(frozen=True, slots=True)
class InspectedHead:
    """A bundle's head.

    Attributes:
        trust: what was proved, or with `failure` what the file says of itself.
        failure: why the head is not trusted; None when it is.
        own_targets: path and size of the targets that the bundle carries.
        targets: the newest accepted ones of site and bundle, by which evidence is judged; the bundle's own with
            `failure`.
        keys: those that signed its stream, by the same measure.
    """

    file: str
    inventory: Inventory
    inventory_digest: Digest
    trust: TrustFacts
    failure: TrustError | None
    own_targets: tuple[tuple[str, int], ...]
    targets: Mapping[str, bytes] = field(hash=False, repr=False)
    keys: StreamKeys | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """Facts of one bundle; `failure` says why its head is not trusted, None when it is."""

    file: str
    inventory: Inventory
    inventory_digest: Digest
    trust: TrustFacts
    failure: TrustError | None
    targets: tuple[tuple[str, int], ...]
    claimed_types: dict[Digest, tuple[str, ...]]


def inspect_bundle(source: Path | str, site: Site | TrustError, basis: TimeBasis) -> Inspection:
    """Read a bundle's head, inventory and evidence manifests.

    Args:
        source: a path, or `-`.
        site: the site's state, or the error that says why there is none.
        basis: the time basis.

    Raises:
        DamagedError, UnsupportedError, EnvError, MalformedError: not a bundle that can be told about.
        TrustError: its own metadata is not even consistent.
    """
    with open_archive(source) as archive:
        head = open_head(archive, site, basis, str(source))
        claiming = {item.digest for item in _manifests_of_evidence(head.inventory)}
        archive.check_headers(keep=lambda blob: blob.digest in claiming).require_whole()
        return Inspection(
            file=head.file,
            inventory=head.inventory,
            inventory_digest=head.inventory_digest,
            trust=head.trust,
            failure=head.failure,
            targets=head.own_targets,
            claimed_types=dict(_claimed_types(archive, head.inventory)),
        )


def open_head(archive: ArchiveReader, site: Site | TrustError, basis: TimeBasis, file: str) -> InspectedHead:
    """Check a bundle's head and read its inventory.

    Args:
        archive: the bundle.
        site: the site's state, or the error that says why there is none.
        basis: the time basis.
        file: how the bundle is called in what is told.

    Raises:
        DamagedError, UnsupportedError, MalformedError, TrustError: as `inspect_bundle`.
    """
    failure = site if isinstance(site, TrustError) else None
    trust, trusted = None, None
    targets: Mapping[str, bytes] = {}
    if not isinstance(site, TrustError):
        try:
            opened = open_for_site(site, archive.trust_files, basis)
            held = site.held(opened.roots.pin)
            check_pin_stands(held, opened.trusted)
            _, targets, _ = judging_material(held, opened, find_newest(held, opened), site.judge_of(held))
            trust, trusted = trust_facts(site, opened), opened.trusted
        except TrustError as error:
            failure = error
    if trust is None or trusted is None:
        trusted = open_unproved(archive.trust_files, basis.at)
        trust, targets = unproved_facts(trusted), trusted.targets
    inventory = archive.read_inventory(trusted.inventory_size_bytes, trusted.inventory_digest)
    own_targets = tuple(sorted((path, len(raw)) for path, raw in trusted.targets.items()))
    keys = stream_keys(trusted)
    return InspectedHead(file, inventory, trusted.inventory_digest, trust, failure, own_targets, targets, keys)


def _claimed_types(archive: ArchiveReader, inventory: Inventory) -> Iterator[tuple[Digest, tuple[str, ...]]]:
    for evidence in _manifests_of_evidence(inventory):
        raw = archive.read_blob(evidence.digest, limits.MANIFEST_BYTES)
        try:
            manifest = parse_manifest(raw, evidence.media_type)
        except MalformedError:
            continue  # verify says what is wrong with it; here it only goes without claims
        if isinstance(manifest, ImageManifest):
            said = [layer.annotations.get(key) for layer in manifest.layers for key in _PREDICATE_ANNOTATIONS]
            yield evidence.digest, tuple(dict.fromkeys(claim for claim in said if claim))


def _manifests_of_evidence(inventory: Inventory) -> tuple[Evidence, ...]:
    """Each once; blobs of our own (log entries, signature files) are no manifests, and claim no type."""
    every = (item for image in inventory.images for item in image.evidence if item.kind not in BLOB_TYPES)
    return tuple({item.digest: item for item in every}.values())


def inspection_document(inspection: Inspection) -> dict[str, Any]:
    """The inspection as plain values, for `--json`."""
    inventory, failure = inspection.inventory, inspection.failure
    return {
        "inspection": INSPECTION_VERSION,
        "file": inspection.file,
        "trusted": failure is None,
        "reason": failure.code if failure else "",
        "message": str(failure) if failure else "",
        "pin": str(inspection.trust.pin) if inspection.trust.pin else None,
        "root_version": inspection.trust.root_version,
        "development": inspection.trust.development,
        "roles": [
            {"role": role.role, "version": role.version, "expires": format_moment(role.expires_at)}
            for role in inspection.trust.roles
        ],
        "targets": [{"path": path, "size": size} for path, size in inspection.targets],
        "stream": inventory.stream,
        "sequence": inventory.sequence,
        "previous": str(inventory.previous) if inventory.previous else None,
        "inventory": str(inspection.inventory_digest),
        "created": format_moment(inventory.created_at),
        "audience": list(inventory.audience),
        "tool": inventory.tool,
        "blobs": len(inventory.blobs),
        "size": sum(blob.size_bytes for blob in inventory.blobs),
        "stored_size": sum(blob.stored_size_bytes for blob in inventory.blobs),
        "images": [_image(image, inspection) for image in inventory.images],
        "data": [data_fields(data) for data in inventory.data],
    }


def head_document(head: InspectedHead) -> dict[str, Any]:
    """A bundle's head alone as plain values: which bundle, and whether it is trusted."""
    return {
        "inspection": INSPECTION_VERSION,
        "file": head.file,
        "trusted": head.failure is None,
        "reason": head.failure.code if head.failure else "",
        "message": str(head.failure) if head.failure else "",
        "pin": str(head.trust.pin) if head.trust.pin else None,
        "development": head.trust.development,
        "stream": head.inventory.stream,
        "sequence": head.inventory.sequence,
    }


def state_document(folder: str) -> dict[str, Any]:
    """The same for a site's state, which was hashed when it was loaded: no pin and no stream of its own."""
    return {
        "inspection": INSPECTION_VERSION,
        "file": folder,
        "trusted": True,
        "reason": "",
        "message": "",
        "pin": None,
        "development": False,
        "stream": "",
        "sequence": 0,
    }


def _image(image: Image, inspection: Inspection) -> dict[str, Any]:
    return {
        "name": image.name,
        "digest": str(image.digest),
        "digest_origin": image.digest_origin,
        "media_type": image.media_type,
        "source": image.source,
        "platforms": [{"platform": child.platform, "digest": str(child.digest)} for child in image.platforms],
        "omitted": [
            {"platform": omission.platform, "digest": str(omission.digest), "size": omission.size_bytes}
            for omission in image.omitted
        ],
        "evidence": [_evidence(item, image, inspection) for item in image.evidence],
        "searches": [
            {"subject": str(search.subject), "place": search.place, "answer": search.answer}
            for search in image.searches
        ],
    }


def _evidence(item: Evidence, image: Image, inspection: Inspection) -> dict[str, Any]:
    platform = next((child.platform for child in image.platforms if child.digest == item.subject), "")
    return {
        "kind": item.kind,
        "subject": str(item.subject),
        "platform": platform,
        "digest": str(item.digest),
        "size": item.size_bytes,
        "found_by": item.found_by,
        "claims": list(inspection.claimed_types.get(item.digest, ())),
    }
