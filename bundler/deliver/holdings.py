"""What a verified bundle holds, as a registry sees it: repositories with manifests, blobs, tags and referrers.

`load` pushes holdings and `serve` answers from them, so that both give the same names to the same content.

Rules of this module:
- Only names of the signed inventory, and tags derived from them (cosign's evidence tags), never anything else
  (THREATS S5; containerd CVE-2026-50195, docker CVE-2014-9358).
- Content that registries do not hold stays out: log entries that the exporter fetched are no upstream artefacts, and
  signature files lie beside registries.
- Documents come in the order in which a registry must get them: what is named before what names it, evidence after its
  subject's image, tags last.
- Every document is exactly the bytes that were verified; nothing is made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bundler.archive.inventory import Evidence, Image, Inventory
from bundler.archive.layout import BLOB_TYPES, TAG_SUFFIXES
from bundler.digest import Digest
from bundler.evidence.kind import BUILDKIT_ATTESTATION
from bundler.oci.annotations import format_evidence_tag
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageIndex, ImageManifest
from bundler.oci.reference import Reference, parse_reference
from bundler.value import dataclass, field
from bundler.verify.completeness import CompleteImage, ReadBlob, open_image

Document = ImageManifest | ImageIndex


@dataclass(frozen=True, slots=True)
class HeldEvidence:
    """One piece of evidence that a registry can hold.

    Attributes:
        evidence: its entry in the inventory.
        documents: its manifests, what is named before what names it; the last is the evidence itself.
        tag: cosign's tag for it; None for a referrer, which is found by its own `subject`.
    """

    evidence: Evidence
    documents: tuple[Document, ...]
    tag: str | None


@dataclass(frozen=True, slots=True)
class HeldImage:
    """One image of a bundle.

    Attributes:
        image: its entry in the inventory.
        reference: its name, parsed.
        documents: its manifests and indexes, what is named before what names it; the last is the image itself.
        omitted: children of its indexes that the exporter left out on purpose.
        evidence: what lies beside it, evidence before evidence about it.
    """

    image: Image
    reference: Reference
    documents: tuple[Document, ...]
    omitted: frozenset[Digest]
    evidence: tuple[HeldEvidence, ...]

    @property
    def is_sparse(self) -> bool:
        """Whether an index of it names a child that the bundle does not hold."""
        return bool(self.omitted)

    @property
    def all_documents(self) -> tuple[Document, ...]:
        """The image's documents, then its evidence's, each digest once, in the order in which a registry gets them."""
        every = [*self.documents, *(document for held in self.evidence for document in held.documents)]
        return tuple({document.digest: document for document in every}.values())

    @property
    def tags(self) -> Mapping[str, Digest]:
        """Tag to digest: the image's own, when its name has one, and cosign's tags for its evidence."""
        found = {held.tag: held.evidence.digest for held in self.evidence if held.tag is not None}
        return found | ({self.reference.tag: self.image.digest} if self.reference.tag else {})

    def blobs(self) -> Iterator[Descriptor]:
        """Configs and layers of all its documents, each digest once."""
        seen: set[Digest] = set()
        for document in self.all_documents:
            for blob in blobs_of(document):
                if blob.digest not in seen:
                    seen.add(blob.digest)
                    yield blob


@dataclass(slots=True)
class Repository:
    """Everything that one repository name gets from one or more bundles."""

    manifests: dict[Digest, Document] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    referrers: dict[Digest, dict[Digest, Document]] = field(default_factory=dict)

    def add(self, image: HeldImage) -> None:
        """Take in an image; a tag that is there with another digest is replaced, so add the newest delivery last."""
        for document in image.all_documents:
            self.manifests[document.digest] = document
            if document.subject is not None:
                self.referrers.setdefault(document.subject.digest, {})[document.digest] = document
        for blob in image.blobs():
            self.blobs.setdefault(blob.digest, blob)
        self.tags |= image.tags


def held_images(inventory: Inventory, read_blob: ReadBlob) -> tuple[HeldImage, ...]:
    """All images of a verified inventory, in its order.

    Args:
        inventory: verified.
        read_blob: gives a document's bytes.

    Raises:
        RejectedError, MalformedError, UnsupportedError, DamagedError: as `open_image`; not after a verification that
            ended well.
    """
    return tuple(_held_image(open_image(image, inventory, read_blob)) for image in inventory.images)


def blobs_of(document: Document) -> tuple[Descriptor, ...]:
    """Config and layers of a manifest; none of an index."""
    return (document.config, *document.layers) if isinstance(document, ImageManifest) else ()


def descriptor_of(document: Document) -> Descriptor:
    """The descriptor that names a document."""
    return Descriptor(document.media_type, document.digest, len(document.raw))


def referrer_descriptor(document: Document) -> Mapping[str, object]:
    """The entry of a referrers list for a document with a `subject` (OCI distribution-spec 1.1, "Listing Referrers").

    The artifact type is the manifest's own; a manifest without one is known by its config's media type.
    """
    entry: dict[str, object] = {
        "mediaType": document.media_type,
        "digest": str(document.digest),
        "size": len(document.raw),
    }
    artifact_type = document.artifact_type
    if artifact_type is None and isinstance(document, ImageManifest):
        artifact_type = document.config.media_type
    if artifact_type is not None:
        entry["artifactType"] = artifact_type
    if document.annotations:
        entry["annotations"] = dict(document.annotations)
    return entry


def _held_image(complete: CompleteImage) -> HeldImage:
    image = complete.image
    evidence = tuple(
        HeldEvidence(opened.evidence, _named_first(opened.documents, opened.evidence.digest), _tag(opened.evidence))
        for opened in sorted(complete.beside, key=lambda item: _depth(item.evidence, image))
        if opened.evidence.kind not in BLOB_TYPES
    )
    return HeldImage(
        image,
        parse_reference(image.name),
        _named_first(complete.graph.documents, image.digest),
        frozenset(omission.digest for omission in image.omitted),
        evidence,
    )


def _named_first(documents: Mapping[Digest, Document], top: Digest) -> tuple[Document, ...]:
    """Children before the indexes that list them; bounded, for the walk that gave `documents` was."""
    ordered: dict[Digest, Document] = {}

    def enter(digest: Digest) -> None:
        document = documents.get(digest)
        if document is None or digest in ordered:
            return
        if isinstance(document, ImageIndex):
            for child in document.manifests:
                enter(child.digest)
        ordered[digest] = document

    enter(top)
    return tuple(ordered.values())


def _depth(evidence: Evidence, image: Image) -> int:
    """How many subjects lie between evidence and the image: evidence about evidence comes after it."""
    subjects = {item.digest: item.subject for item in image.evidence if item.kind != BUILDKIT_ATTESTATION}
    depth, subject = 0, evidence.subject
    while subject in subjects and depth < len(subjects):
        depth, subject = depth + 1, subjects[subject]
    return depth


def _tag(evidence: Evidence) -> str | None:
    suffix = TAG_SUFFIXES.get(evidence.kind)
    return None if suffix is None else format_evidence_tag(evidence.subject, suffix)
