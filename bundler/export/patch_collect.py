"""Patched images join the bundle: collected from the registry, over an index of ours, with the signed statement beside.

Rules of this module:
- The original is in the bundle as any image is; what the two share travels once.
- An image of several platforms gets an index that the exporter makes: one entry for each platform of the original that
  is carried, in its order. No registry has its digest, and the inventory says so (`synthesised`).
- What the original brings is not fetched again; blobs that only the patch has come from the patched repository.
- The statement is signed here, after everything that it speaks of is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, BinaryIO

from bundler.archive.inventory import Evidence
from bundler.digest import Digest, sha256_of
from bundler.errors import RejectedError
from bundler.evidence.kind import REFERRER
from bundler.export.collect import CollectedImage, collect
from bundler.export.patch import PatchedImage
from bundler.export.patch_statement import MadeReferrer, make_referrer
from bundler.network.connection import Connection
from bundler.network.registry_source import RegistrySource
from bundler.network.source import ResolvedImage
from bundler.oci.descriptor import Descriptor, Platform, parse_platform
from bundler.oci.manifest import OCI_INDEX, OCI_MANIFEST, ImageManifest, parse_manifest
from bundler.oci.platforms import UNKNOWN
from bundler.oci.reference import parse_reference
from bundler.strict_json import format_canonical
from bundler.value import replace
from trust_root.keys import Signer

FOUND_BY = "exporter"


class PatchedSource(RegistrySource):
    """A source: the patched manifests in their registry, under an index of ours where there are several."""

    def __init__(self, connection: Connection, patched: PatchedImage, original: CollectedImage) -> None:
        """Nothing is asked yet."""
        single = f"{patched.repository.name}@{patched.platforms[0].manifest.digest}"
        reference = patched.repository if patched.is_index else parse_reference(single)
        super().__init__(connection, reference, patched.patched_name)
        self._index = make_index(patched) if patched.is_index else None
        self._original = original
        self._original_nodes = {node.digest for node in original.nodes}

    @property
    def made(self) -> dict[Digest, bytes]:
        """The index, if it is ours."""
        return {} if self._index is None else {sha256_of(self._index): self._index}

    def resolve(self) -> ResolvedImage:
        """The index of ours, or the only manifest."""
        if self._index is None:
            return super().resolve()
        return ResolvedImage(Descriptor(OCI_INDEX, sha256_of(self._index), len(self._index)), None, "synthesised")

    def read_document(self, descriptor: Descriptor) -> bytes:
        """The index of ours, what the original has, or what the registry gives."""
        if descriptor.digest in self.made:
            return self.made[descriptor.digest]
        if descriptor.digest in self._original_nodes:
            return self._original.source.read_document(descriptor)
        return super().read_document(descriptor)

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Likewise."""
        if descriptor.digest in self.made:
            return BytesIO(self.made[descriptor.digest])
        return super().open_blob(descriptor)


def make_index(patched: PatchedImage) -> bytes:
    """The index over the platforms of a patched image (OCI image-spec image-index.md), in canonical form."""
    entries = []
    for each in patched.platforms:
        entry: dict[str, Any] = {
            "mediaType": each.manifest.media_type,
            "digest": str(each.manifest.digest),
            "size": each.manifest.size_bytes,
        }
        if each.fact.platform != UNKNOWN:
            entry["platform"] = _platform(each.target or parse_platform(each.fact.platform))
        entries.append(entry)
    return format_canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, "index")


def _platform(target: Platform) -> dict[str, str]:
    variant = {"variant": target.variant} if target.variant else {}
    version = {"os.version": target.os_version} if target.os_version else {}  # Windows has one platform in several
    return {"architecture": target.architecture, "os": target.os, **version, **variant}


def join(
    patched: Sequence[PatchedImage], connection: Connection
) -> Callable[[tuple[CollectedImage, ...], Signer], tuple[CollectedImage, ...]]:
    """For `Hooks.further`: collects these patched images, signs what is said of them, and hands them on."""

    def further(collected: tuple[CollectedImage, ...], signer: Signer) -> tuple[CollectedImage, ...]:
        return tuple(_join_one(each, collected, connection, signer) for each in patched if each.changed)

    return further


def _join_one(
    patched: PatchedImage, collected: Sequence[CollectedImage], connection: Connection, signer: Signer
) -> CollectedImage:
    original = next(item for item in collected if item.image.name == patched.name)
    if original.image.digest != patched.digest:
        raise RejectedError(
            "derivation-original", "original image", patched.name, got=str(original.image.digest),
            want=f"{patched.digest}, which was patched",
        )  # fmt: skip
    source = PatchedSource(connection, patched, original)
    found = collect(source, patched.patched_name)
    image = found.image
    subject = Descriptor(image.media_type, image.digest, image.size_bytes)
    derivation = replace(patched.derivation, image=image.digest)
    referrer = make_referrer(derivation, patched.documents, subject, signer)
    return _with_statement(_without(found, {node.digest for node in original.nodes}), referrer, source.made)


def _without(found: CollectedImage, brought: set[Digest]) -> CollectedImage:
    """Leave out what the original brings; the plan takes it from there."""
    return replace(
        found,
        nodes=tuple(node for node in found.nodes if node.digest not in brought),
        platform_manifests=tuple(each for each in found.platform_manifests if each.digest not in brought),
    )


def _with_statement(found: CollectedImage, referrer: MadeReferrer, made: dict[Digest, bytes]) -> CollectedImage:
    node = referrer.descriptor
    evidence = Evidence(REFERRER, found.image.digest, node.digest, node.media_type, node.size_bytes, FOUND_BY)
    manifest = parse_manifest(referrer.raw, OCI_MANIFEST)
    known = {each.digest for each in found.nodes}
    manifests = {node.digest: manifest} if isinstance(manifest, ImageManifest) else {}
    return replace(
        found,
        image=replace(found.image, evidence=(*found.image.evidence, evidence)),
        nodes=(*found.nodes, *(each for each in referrer.nodes if each.digest not in known)),
        evidence_manifests={**found.evidence_manifests, **manifests},
        made={**found.made, **made, **referrer.made},
    )
