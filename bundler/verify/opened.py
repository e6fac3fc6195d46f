"""Evidence of one image, opened: every kind of it becomes items to judge, unsigned statements, or a reason why not.

Rules of this module:
- One bad piece hides nothing: each is opened alone, and its failure is kept with its reason.
- What a referrer holds is told by its own manifest (evidence/referrer.py). Kinds that nobody checks are listed so.
- A log entry completes the evidence that the inventory says it augments, and nothing else.
- A bare statement is unsigned. Who covers it is decided in demands.py, never here; one in a referrer, which no index
  names, is covered by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from bundler.archive.inventory import Evidence
from bundler.digest import Digest
from bundler.errors import RejectedError, SealiftError
from bundler.evidence.buildkit import BuildkitStatement, read_envelopes, read_statement, read_statements
from bundler.evidence.containers_signature import parse_containers_signature
from bundler.evidence.cosign import is_envelope, read_items
from bundler.evidence.kind import (
    BUILDKIT_ATTESTATION,
    CONTAINERS_SIGNATURE,
    COSIGN_ATTESTATION,
    COSIGN_SIGNATURE,
    LOG_ENTRY,
    REFERRER,
)
from bundler.evidence.referrer import Item, describe, read_referrer
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageIndex, ImageManifest
from bundler.transparency.log_entry import TransparencyLogEntry, parse_log_entry_bytes
from bundler.value import dataclass, field, replace
from bundler.verify.appraisal import ITEM_FAILURES, Appraisal, ReadBlob
from bundler.verify.completeness import AttestationManifest, CompleteImage
from bundler.verify.keyring import Keyring

Document = ImageManifest | ImageIndex | None


@dataclass(frozen=True, slots=True)
class FoundStatement:
    """An unsigned statement, read and bound to its subject; or the reason why it is not.

    Attributes:
        indexes: those that lead to it; empty for one in a referrer.
    """

    subject: Digest
    manifest: Digest
    indexes: frozenset[Digest]
    statement: BuildkitStatement | None
    failure: SealiftError | None = None

    @property
    def predicate_type(self) -> str:
        """From inside the statement; empty when it could not be read."""
        return self.statement.predicate_type if self.statement else ""


@dataclass(frozen=True, slots=True)
class FetchedEntry:
    """A log entry that the exporter fetched, to complete a promise."""

    evidence: Evidence
    entry: TransparencyLogEntry


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """All evidence of one image that could be opened, and what could not.

    Attributes:
        appraisals: signatures and attestations.
        statements: unsigned statements.
        unread: evidence that could not be opened, with the reason.
        entries: log entries fetched at export.
        listed: evidence that no check of this version judges, with what it is by its own word.
    """

    appraisals: tuple[Appraisal, ...]
    statements: tuple[FoundStatement, ...]
    unread: tuple[tuple[Evidence, SealiftError], ...]
    entries: tuple[FetchedEntry, ...] = ()
    listed: tuple[tuple[Evidence, str], ...] = ()


@dataclass(slots=True)
class _Opened:
    """What is being gathered."""

    items: list[tuple[Evidence, Item]] = field(default_factory=list)
    statements: list[FoundStatement] = field(default_factory=list)
    unread: list[tuple[Evidence, SealiftError]] = field(default_factory=list)
    entries: list[FetchedEntry] = field(default_factory=list)
    listed: list[tuple[Evidence, str]] = field(default_factory=list)


def open_evidence(
    complete: CompleteImage, keyring: Keyring, read_blob: ReadBlob, at: datetime | None = None
) -> ImageEvidence:
    """Open every piece of evidence of an image; failures become values, so that one does not hide another.

    Args:
        complete: the image.
        keyring: what its signatures will be held against.
        read_blob: gives a blob's bytes.
        at: the time of the verification, beyond which no verified time may lie.
    """
    found = _Opened()
    for evidence, document in complete.evidence:
        try:
            _open_one(evidence, document, read_blob, found)
        except ITEM_FAILURES as error:
            found.unread.append((evidence, error))
    _open_attestation_manifests(complete, read_blob, found)
    documents = {**complete.graph.documents, **{seen.digest: known for seen, known in complete.evidence if known}}
    appraisals = [
        Appraisal(evidence, item, keyring, at, _proofs_for(evidence, found.entries), documents[evidence.subject].raw)
        for evidence, item in found.items
    ]
    return ImageEvidence(
        tuple(appraisals), tuple(found.statements), tuple(found.unread), tuple(found.entries), tuple(found.listed)
    )


def _open_one(evidence: Evidence, document: Document, read_blob: ReadBlob, found: _Opened) -> None:
    if evidence.kind in (COSIGN_SIGNATURE, COSIGN_ATTESTATION) and isinstance(document, ImageManifest):
        kind = COSIGN_SIGNATURE if evidence.kind == COSIGN_SIGNATURE else COSIGN_ATTESTATION
        found.items += [(evidence, item) for item in read_items(document, kind, read_blob)]
        if not document.layers:
            found.listed.append((evidence, "it holds none"))
    elif evidence.kind == CONTAINERS_SIGNATURE:
        found.items.append((evidence, parse_containers_signature(read_blob(evidence.digest))))
    elif evidence.kind == LOG_ENTRY:
        entry = parse_log_entry_bytes(read_blob(evidence.digest))
        if entry.log_id.hex() != evidence.log:
            raise RejectedError(
                "log-entry", "log entry", str(evidence.digest), got=f"of log {entry.log_id.hex()}"[:160],
                want=f"{evidence.log}, as the inventory says",
            )  # fmt: skip
        found.entries.append(FetchedEntry(evidence, entry))
    elif evidence.kind == REFERRER and document is not None:
        _open_referrer(evidence, document, read_blob, found)
    else:
        found.listed.append((evidence, describe(document) if document is not None else evidence.media_type))


def _open_referrer(
    evidence: Evidence, document: ImageManifest | ImageIndex, read_blob: ReadBlob, found: _Opened
) -> None:
    referrer = read_referrer(document, read_blob)
    found.items += [(evidence, item) for item in referrer.items]
    for layer in referrer.statements:
        found.statements.append(_open_bare(evidence, layer, read_blob))
    found.unread += [(evidence, error) for error in referrer.failures]
    if referrer.items or referrer.statements or referrer.failures:
        found.listed += [(evidence, f"layer {layer.media_type}") for layer in referrer.others]
    else:
        found.listed.append((evidence, referrer.form))


def _open_bare(evidence: Evidence, layer: Descriptor, read_blob: ReadBlob) -> FoundStatement:
    try:
        statement = read_statement(evidence.digest, layer, evidence.subject, read_blob)
    except ITEM_FAILURES as error:
        return FoundStatement(evidence.subject, evidence.digest, frozenset(), None, error)
    return FoundStatement(evidence.subject, evidence.digest, frozenset(), statement)


def _proofs_for(evidence: Evidence, entries: Sequence[FetchedEntry]) -> tuple[TransparencyLogEntry, ...]:
    about = (evidence.digest, evidence.subject)
    return tuple(each.entry for each in entries if (each.evidence.augments, each.evidence.subject) == about)


def _open_attestation_manifests(complete: CompleteImage, read_blob: ReadBlob, found: _Opened) -> None:
    """BuildKit's, in the image's indexes: bare statements, and signed envelopes."""
    for place in complete.attestations:
        manifest = complete.graph.documents[place.digest]
        if isinstance(manifest, ImageIndex):
            error = RejectedError(
                "evidence-mismatch", "attestation manifest", str(place.digest), got="an index", want="a manifest"
            )
            found.statements.append(FoundStatement(place.subject, place.digest, place.indexes, None, error))
            continue
        bare = tuple(layer for layer in manifest.layers if not is_envelope(layer.media_type))
        if bare or not manifest.layers:
            # Layer by layer, so that one bad statement does not hide the others.
            parts = [replace(manifest, layers=(layer,)) for layer in bare] or [manifest]
            found.statements += [each for part in parts for each in _open_statement(part, place, read_blob)]
        if len(bare) < len(manifest.layers):
            _open_envelopes(complete, place, manifest, read_blob, found)


def _open_statement(part: ImageManifest, place: AttestationManifest, read_blob: ReadBlob) -> Iterator[FoundStatement]:
    try:
        statements = read_statements(part, place.subject, read_blob)
    except ITEM_FAILURES as error:
        yield FoundStatement(place.subject, place.digest, place.indexes, None, error)
        return
    for each in statements:
        yield FoundStatement(place.subject, place.digest, place.indexes, each)


def _open_envelopes(
    complete: CompleteImage, place: AttestationManifest, manifest: ImageManifest, read_blob: ReadBlob, found: _Opened
) -> None:
    entries = [
        evidence
        for evidence in complete.image.evidence
        if (evidence.kind, evidence.digest, evidence.subject) == (BUILDKIT_ATTESTATION, place.digest, place.subject)
    ]
    for evidence in entries:
        try:
            found.items += [(evidence, item) for item in read_envelopes(manifest, read_blob)]
        except ITEM_FAILURES as error:
            found.unread.append((evidence, error))
