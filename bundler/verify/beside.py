"""Evidence that lies beside an image: manifests, indexes and blobs that the inventory lists for it (THREATS E7, I14).

Rules of this module:
- Evidence is about a document of the image, or about other evidence of the same image that is a manifest. So every
  chain of subjects ends in the image; evidence about evidence (a signed SBOM, a referrer of a referrer) is kept whole.
- A referrer says itself what it is about: its own `subject` must be the digest that the inventory names. Where other
  evidence has a `subject`, it must agree.
- Evidence is complete: whatever its manifests name is among the blobs.
- Evidence is never a document of the image itself. Only a referrer may also stand in the image's index: its own bytes
  bind it to its subject wherever it lies.
- A log entry shares the subject of the evidence that it completes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bundler.archive.inventory import Evidence, Image
from bundler.archive.layout import BLOB_TYPES
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.kind import BUILDKIT_ATTESTATION, REFERRER
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import Read, walk
from bundler.oci.manifest import ImageIndex, ImageManifest
from bundler.value import dataclass, field


@dataclass(frozen=True, slots=True)
class OpenedEvidence:
    """One piece of evidence beside the image.

    Attributes:
        evidence: its entry in the inventory.
        document: its manifest or index; None for a blob.
        nodes: everything of it in the bundle.
        documents: its manifests and indexes by digest, `document` among them; none for a blob.
    """

    evidence: Evidence
    document: ImageManifest | ImageIndex | None
    nodes: tuple[Descriptor, ...]
    documents: Mapping[Digest, ImageManifest | ImageIndex] = field(hash=False)


def open_beside(
    image: Image,
    documents: dict[Digest, ImageManifest | ImageIndex],
    read: Read,
    require: Callable[[Descriptor], None],
) -> tuple[OpenedEvidence, ...]:
    """Open all evidence that lies beside an image.

    Args:
        image: its entry in the inventory.
        documents: the image's own documents.
        read: gives a document's bytes.
        require: refuses a descriptor that is not among the blobs as it says.

    Raises:
        RejectedError: ``evidence-subject``, ``evidence-mismatch``, or from `require`.
        MalformedError: ``digest-role``, or a code of the parsers.
    """
    beside = [evidence for evidence in image.evidence if evidence.kind != BUILDKIT_ATTESTATION]
    _check_subjects(image, beside, frozenset(documents))
    opened = []
    for evidence in beside:
        if evidence.digest in documents and evidence.kind != REFERRER:
            raise MalformedError(
                "digest-role", "evidence", str(evidence.digest), got=f"a manifest of {image.name} itself",
                want="evidence beside it",
            )  # fmt: skip
        descriptor = Descriptor(evidence.media_type, evidence.digest, evidence.size_bytes)
        require(descriptor)
        opened.append(_open_one(evidence, descriptor, read, require))
    return tuple(opened)


def _open_one(
    evidence: Evidence, descriptor: Descriptor, read: Read, require: Callable[[Descriptor], None]
) -> OpenedEvidence:
    if evidence.kind in BLOB_TYPES:
        return OpenedEvidence(evidence, None, (descriptor,), {})
    graph = walk(descriptor, read)
    for node in graph.nodes:
        require(node)
    document = graph.documents[descriptor.digest]
    if isinstance(document, ImageIndex) and evidence.kind != REFERRER:
        raise RejectedError("evidence-mismatch", "evidence", str(evidence.digest), got="an index", want="a manifest")
    said = document.subject.digest if document.subject is not None else None
    if said != evidence.subject and (said is not None or evidence.kind == REFERRER):
        raise RejectedError(
            "evidence-subject", "evidence", str(evidence.digest), got=f"subject {said or 'none'}",
            want=f"{evidence.subject}, as the inventory says",
        )  # fmt: skip
    return OpenedEvidence(evidence, document, graph.nodes, graph.documents)


def _check_subjects(image: Image, beside: list[Evidence], documents: frozenset[Digest]) -> None:
    """Every chain of subjects ends in a document of the image."""
    known = set(documents)
    waiting = list(beside)
    while waiting:
        about = [evidence for evidence in waiting if evidence.subject in known]
        if not about:
            raise RejectedError(
                "evidence-subject", "evidence", str(waiting[0].digest), got=f"about {waiting[0].subject}",
                want=f"about a manifest or index of {image.name}, or evidence of it",
            )  # fmt: skip
        known |= {evidence.digest for evidence in about if evidence.kind not in BLOB_TYPES}
        waiting = [evidence for evidence in waiting if evidence.subject not in known]
    subjects = {(evidence.digest, evidence.subject) for evidence in beside}
    for evidence in beside:
        if evidence.augments is not None and (evidence.augments, evidence.subject) not in subjects:
            raise RejectedError(
                "evidence-subject", "log entry", str(evidence.digest), got=f"about {evidence.subject}",
                want=f"the subject of {evidence.augments}, which it completes",
            )  # fmt: skip
