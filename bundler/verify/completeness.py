"""Completeness: the signed inventory and the documents that it lists say the same (THREATS E8, E9, M5, I14).

Rules of this module:
- Every image is walked from its digest. Whatever its indexes and manifests name is either a blob of the inventory, with
  equal size, or listed as omitted; and nothing is listed as omitted that no index names.
- Platforms and attestation manifests of an image are derived here and compared with what the inventory says, so an
  exporter can neither hide an attestation manifest nor invent a platform.
- What an index marks as an attestation manifest can run nowhere: its platform is `unknown/unknown`, in every entry that
  names it. Otherwise an image could hide from the platforms behind an annotation that no container runtime reads.
- A digest plays one role: a document or a blob, an image's manifest or evidence beside it.
- Every blob of the inventory belongs to some image, evidence or data, under a media type that they give it. Nothing
  travels that nobody asked for.
- A document that could not be read because its bytes are damaged makes its image DAMAGED, not incomplete.
"""

from __future__ import annotations

from collections.abc import Callable

from bundler.archive.inventory import Blob, Evidence, Image, Inventory
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.kind import BUILDKIT_ATTESTATION
from bundler.oci.annotations import attested_digest
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import ImageGraph, walk
from bundler.oci.manifest import ImageIndex, ImageManifest, is_document_type
from bundler.oci.platforms import platform_manifests
from bundler.value import dataclass
from bundler.verify.beside import OpenedEvidence, open_beside

ReadBlob = Callable[[Digest], bytes]
_RUNS_NOWHERE = "unknown/unknown"


@dataclass(frozen=True, slots=True)
class AttestationManifest:
    """A BuildKit attestation manifest in an index: what it is about, and which indexes lead to it."""

    subject: Digest
    digest: Digest
    indexes: frozenset[Digest]


@dataclass(frozen=True, slots=True)
class CompleteImage:
    """An image whose closure was walked and agrees with the inventory.

    Attributes:
        image: its entry in the inventory.
        graph: every document of it.
        platforms: platform and digest of each image manifest in the bundle.
        indexes_over: for each manifest, all indexes that lead to it (the signed index covers what hangs below it).
        attestations: attestation manifests found in its indexes.
        beside: evidence that lies beside the image.
    """

    image: Image
    graph: ImageGraph
    platforms: tuple[tuple[str, Digest], ...]
    indexes_over: dict[Digest, frozenset[Digest]]
    attestations: tuple[AttestationManifest, ...]
    beside: tuple[OpenedEvidence, ...]

    @property
    def evidence(self) -> tuple[tuple[Evidence, ImageManifest | ImageIndex | None], ...]:
        """Evidence beside the image with its document, None for a blob."""
        return tuple((opened.evidence, opened.document) for opened in self.beside)

    def platform_of(self, digest: Digest) -> str:
        """The platform of a manifest of this image; empty for an index."""
        return next((platform for platform, known in self.platforms if known == digest), "")

    @property
    def subjects(self) -> frozenset[Digest]:
        """Every digest that evidence of this image can be about."""
        return frozenset(self.graph.documents)


def open_image(image: Image, inventory: Inventory, read_blob: ReadBlob) -> CompleteImage:
    """Walk one image and compare it with the inventory.

    Raises:
        RejectedError: ``incomplete``, ``omission-unknown``, ``platforms-mismatch``, ``evidence-mismatch``,
            ``evidence-subject``, ``digest-role``, or a code of the parsers.
        UnsupportedError: a child or a digest of a kind that this version does not know.
        DamagedError: a document whose bytes are damaged (from `read_blob`).
    """
    blobs = {blob.digest: blob for blob in inventory.blobs}
    omitted = {omission.digest for omission in image.omitted}
    top = Descriptor(image.media_type, image.digest, image.size_bytes)

    def read(descriptor: Descriptor) -> bytes:
        require_blob(blobs, descriptor, "image", image.name)
        return read_blob(descriptor.digest)

    graph = walk(top, read, omit=lambda descriptor: descriptor.digest in omitted)
    for node in graph.nodes:
        require_blob(blobs, node, "image", image.name)
    _compare_omissions(image, graph)
    _check_nothing_hides(image, graph)
    platforms = platform_manifests(graph, read)
    listed = tuple((child.platform, child.digest) for child in image.platforms)
    if listed != platforms:
        raise RejectedError(
            "platforms-mismatch", "image", image.name, got=f"platforms {_names(listed)} in the inventory",
            want=f"{_names(platforms)}, as its index says",
        )  # fmt: skip
    over = _indexes_over(graph)
    attestations = _attestation_manifests(graph, over)
    _compare_attestations(image, attestations)

    def require(descriptor: Descriptor) -> None:
        require_blob(blobs, descriptor, "image", image.name)

    beside = open_beside(image, graph.documents, read, require)
    return CompleteImage(image, graph, platforms, over, attestations, beside)


def check_no_strays(inventory: Inventory, images: tuple[CompleteImage, ...], data: tuple[Descriptor, ...] = ()) -> None:
    """Refuse blobs that belong to no image, evidence or data, or that none of these gives the listed media type.

    Args:
        inventory: lists the blobs.
        images: all images.
        data: every node of all vulnerability data.

    Raises:
        RejectedError: code ``unreferenced-blob``, or ``blob-mismatch`` for the media type.
    """
    used = _media_types(images)
    for node in data:
        used.setdefault(node.digest, set()).add(node.media_type)
    for blob in inventory.blobs:
        if blob.digest not in used:
            raise RejectedError(
                "unreferenced-blob", "blob", str(blob.digest), got="listed, but in no image, evidence or data",
                want="only what they need",
            )  # fmt: skip
        if blob.media_type not in used[blob.digest]:
            raise RejectedError(
                "blob-mismatch", "blob", str(blob.digest), got=f"listed as {blob.media_type}",
                want=" or ".join(sorted(used[blob.digest]))[:300],
            )  # fmt: skip


def _media_types(images: tuple[CompleteImage, ...]) -> dict[Digest, set[str]]:
    """Every digest that some image or evidence names, with the media types that they give it."""
    used: dict[Digest, set[str]] = {}
    for image in images:
        documents = [*image.graph.documents.values(), *(opened.document for opened in image.beside)]
        nodes = [*image.graph.nodes, *(node for opened in image.beside for node in opened.nodes)]
        for document in documents:
            if isinstance(document, ImageManifest):
                nodes += [document.config, *document.layers]
        for node in nodes:
            used.setdefault(node.digest, set()).add(node.media_type)
    return used


def require_blob(blobs: dict[Digest, Blob], descriptor: Descriptor, what: str, which: str) -> Blob:
    """The blob that a descriptor of an image or of data means.

    Raises:
        RejectedError: not among the blobs, or another one (``incomplete``). MalformedError: ``digest-role``.
    """
    blob = blobs.get(descriptor.digest)
    if blob is None:
        raise RejectedError(
            "incomplete", what, which, got=f"no blob {descriptor.digest} ({descriptor.media_type})",
            want="every blob that its manifests name",
        )  # fmt: skip
    document = is_document_type(descriptor.media_type)
    if document != is_document_type(blob.media_type):
        raise MalformedError(
            "digest-role", "blob", str(blob.digest), got=f"{descriptor.media_type} in {which}",
            want=f"{blob.media_type}, as the inventory says",
        )  # fmt: skip
    if blob.size_bytes != descriptor.size_bytes or (document and blob.media_type != descriptor.media_type):
        raise RejectedError(
            "incomplete", what, which, got=f"blob {blob.digest} of {blob.size_bytes} bytes, {blob.media_type}",
            want=f"{descriptor.size_bytes} bytes, {descriptor.media_type}",
        )  # fmt: skip
    return blob


def _check_nothing_hides(image: Image, graph: ImageGraph) -> None:
    """Refuse an attestation manifest that a runtime could take for an image."""
    entries = [
        entry for index in graph.documents.values() if isinstance(index, ImageIndex) for entry in index.manifests
    ]
    attested = {entry.digest for entry in entries if attested_digest(entry) is not None}
    for entry in entries:
        if entry.digest not in attested:
            continue
        marked = attested_digest(entry) is not None
        if not marked or str(entry.platform or "none") != _RUNS_NOWHERE:
            raise RejectedError(
                "platforms-mismatch", "image", image.name,
                got=f"attestation manifest {entry.digest} "
                + (f"with platform {entry.platform or 'none'}" if marked else "also listed as an image"),
                want=f"only as an attestation manifest, platform {_RUNS_NOWHERE}",
            )  # fmt: skip


def _compare_omissions(image: Image, graph: ImageGraph) -> None:
    listed = {
        (omission.digest, omission.media_type, omission.size_bytes, omission.platform) for omission in image.omitted
    }
    found = {
        (entry.digest, entry.media_type, entry.size_bytes, str(entry.platform or "unknown")) for entry in graph.omitted
    }
    if listed != found:
        differing = min(listed ^ found)
        raise RejectedError(
            "omission-unknown", "image", image.name, got=f"omission {differing[0]} differs from its index",
            want="omissions exactly as the index lists them",
        )  # fmt: skip


def _indexes_over(graph: ImageGraph) -> dict[Digest, frozenset[Digest]]:
    """For each document, every index above it. Walks each edge once; documents stand in walking order."""
    over: dict[Digest, set[Digest]] = {digest: set() for digest in graph.documents}
    pending = [graph.top.digest]
    while pending:
        document = graph.documents[pending.pop()]
        if not isinstance(document, ImageIndex):
            continue
        above = over[document.digest] | {document.digest}
        for child in document.manifests:
            known = over.get(child.digest)
            if known is not None and not above <= known:
                known |= above
                pending.append(child.digest)
    return {digest: frozenset(above) for digest, above in over.items()}


def _attestation_manifests(graph: ImageGraph, over: dict[Digest, frozenset[Digest]]) -> tuple[AttestationManifest, ...]:
    found: dict[tuple[Digest, Digest], AttestationManifest] = {}
    for document in graph.documents.values():
        if not isinstance(document, ImageIndex):
            continue
        for child in document.manifests:
            subject = attested_digest(child)
            if subject is not None and child.digest in graph.documents:
                indexes = over[document.digest] | {document.digest}
                key = (subject, child.digest)
                known = found[key].indexes if key in found else frozenset()
                found[key] = AttestationManifest(subject, child.digest, indexes | known)
    return tuple(found.values())


def _compare_attestations(image: Image, attestations: tuple[AttestationManifest, ...]) -> None:
    listed = {(item.subject, item.digest) for item in image.evidence if item.kind == BUILDKIT_ATTESTATION}
    found = {(item.subject, item.digest) for item in attestations}
    if listed != found:
        subject, digest = min(listed ^ found)
        raise RejectedError(
            "evidence-mismatch", "image", image.name, got=f"attestation manifest {digest} about {subject}",
            want="attestation manifests exactly as the index lists them",
        )  # fmt: skip


def _names(platforms: tuple[tuple[str, Digest], ...]) -> str:
    return ", ".join(platform for platform, _ in platforms) or "none"
