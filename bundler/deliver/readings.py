"""SBOMs and provenance of one image, read, each with how strong it is: for `sealift inspect`.

    where it lies                         how strong, at best
    signed envelope, Sigstore bundle      signed, as its fact says
    BuildKit's statement in an index      covered by the image signature
    bare statement in a referrer          unsigned, no covering signature
    bare SBOM in a referrer               likewise; or signed, by a signature over that referrer
    cosign's `.sbom` tag                  unsigned, bound to the image by its tag only

Rules of this module:
- Strengths come from verify/facts.py. Who signed is told beside them: without a policy nobody says that it is the right
  one.
- A signed envelope that was not verified is read all the same, and said not to be verified. Its subject is checked.
- What cannot be read, and what may be an SBOM or provenance but cannot even be told apart, stands with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from bundler.digest import Digest
from bundler.errors import RejectedError, SealiftError
from bundler.evidence.cosign import read_layer
from bundler.evidence.kind import (
    BUILDKIT_ATTESTATION,
    COSIGN_ATTESTATION,
    COSIGN_SBOM,
    REFERRER,
    provenance_version,
    sbom_format,
)
from bundler.evidence.provenance_details import ProvenanceDetails, read_details
from bundler.evidence.sbom import Sbom, media_type_format, parse_sbom, read_sbom, sbom_layers
from bundler.evidence.statement import Statement
from bundler.oci.manifest import ImageManifest
from bundler.value import dataclass, field
from bundler.verify.appraisal import FILE_FAILURES, ITEM_FAILURES, Appraisal, ReadBlob, claimed_statement, file_failure
from bundler.verify.completeness import CompleteImage
from bundler.verify.facts import signers_of
from bundler.verify.opened import FoundStatement, ImageEvidence
from bundler.verify.requirements import UNSIGNED
from bundler.verify.result import EvidenceFact
from bundler.verify.strength import AS_REFERRER_SIGNED, BY_TAG, BY_TAG_SIGNED

ReadingKind = Literal["sbom", "provenance"]
UNPROVED = "by the file's own keys"


@dataclass(frozen=True, slots=True)
class Reading:
    """One SBOM or provenance.

    Attributes:
        subject, platform: what it is about; the platform is empty for an index.
        form: what it was found as, in the inventory's words.
        manifest: digest of the manifest that holds it.
        strength: in the words of REPORT.md, or that only a tag binds it.
        signers: who signed it, or what covers it; empty when nobody did.
        code: why it is not verified; empty when it is, or when nobody signed it.
        failure: why it could not be read; then neither `sbom` nor `provenance` is set.
        held: what an SBOM was read from: its statement, or a bare document's bytes.
    """

    kind: ReadingKind
    subject: Digest
    platform: str
    form: str
    manifest: Digest
    predicate_type: str
    strength: str
    signers: tuple[str, ...] = ()
    code: str = ""
    sbom: Sbom | None = field(default=None, repr=False)
    provenance: ProvenanceDetails | None = field(default=None, repr=False)
    failure: SealiftError | None = None
    held: Statement | bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Judged:
    """One image's evidence with a fact for each piece, as `evidence_facts` gave them.

    Attributes:
        proved: whether the head's trust holds; else strengths are by the file's own keys.
    """

    complete: CompleteImage
    evidence: ImageEvidence
    facts: tuple[EvidenceFact, ...]
    proved: bool = True

    def strength(self, word: str) -> str:
        """A strength as it is told: one that rests on keys says when they are the file's own."""
        if self.proved or word.startswith("unsigned") or word.endswith(f"({UNPROVED})"):
            return word
        return f"{word} ({UNPROVED})"

    @property
    def appraised(self) -> Iterator[tuple[EvidenceFact, Appraisal]]:
        """Signatures and attestations with their facts, which come first."""
        return zip(self.facts, self.evidence.appraisals, strict=False)

    @property
    def stated(self) -> Iterator[tuple[EvidenceFact, FoundStatement]]:
        """Unsigned statements with their facts, which stand behind those of what was unread."""
        start = len(self.evidence.appraisals) + len(self.evidence.unread)
        return zip(self.facts[start:], self.evidence.statements, strict=False)

    def signers_of(self, subjects: frozenset[Digest]) -> tuple[str, ...]:
        """Who signed any of these, by signatures that hold."""
        return signers_of(self.facts, self.evidence, subjects)


def read_all(kind: ReadingKind, judged: Judged, read_blob: ReadBlob) -> tuple[Reading, ...]:
    """Every SBOM, or all provenance, of an image: indexes first, then by platform."""
    readings = [*_attested(kind, judged), *_stated(kind, judged), *_unread(kind, judged)]
    if kind == "sbom":
        readings += _bare(judged, read_blob)
    order = {digest: place for place, (_, digest) in enumerate(judged.complete.platforms)}
    return tuple(sorted(readings, key=lambda reading: order.get(reading.subject, -1)))


def signed_subjects(evidence: ImageEvidence) -> set[Digest]:
    """What image signatures that hold are about, whoever made them."""
    found = set()
    for appraisal in evidence.appraisals:
        if appraisal.kind != "signature":
            continue
        try:
            found.add(appraisal.judge_alone().subject)
        except ITEM_FAILURES:
            continue  # its fact says why
    return found


def missing_platforms(readings: tuple[Reading, ...], complete: CompleteImage) -> tuple[str, ...]:
    """Platforms that no reading is about, neither by themselves nor by an index over them."""
    told = {reading.subject for reading in readings}
    return tuple(
        platform for platform, digest in complete.platforms if not told & {digest, *complete.indexes_over[digest]}
    )


def is_kind(kind: ReadingKind, predicate_type: str) -> bool:
    """Whether statements of this type are SBOMs, or provenance."""
    recognise: Callable[[str], object] = sbom_format if kind == "sbom" else provenance_version
    return recognise(predicate_type) is not None


def _attested(kind: ReadingKind, judged: Judged) -> Iterator[Reading]:
    for fact, appraisal in judged.appraised:
        if appraisal.kind != "attestation" or not (is_kind(kind, appraisal.claimed_type) or not appraisal.claimed_type):
            continue
        form = appraisal.evidence.kind
        signers = (fact.signer,) if fact.signer else ()
        base = _Base(kind, fact, form, appraisal.claimed_type, signers)
        try:
            statement = claimed_statement(appraisal)
            statement.check_subject(appraisal.subject)
        except ITEM_FAILURES as error:
            yield base.failed(error)
            continue
        yield base.read(statement)


def _stated(kind: ReadingKind, judged: Judged) -> Iterator[Reading]:
    for fact, found in judged.stated:
        form = BUILDKIT_ATTESTATION if found.indexes else REFERRER
        signers = judged.signers_of(found.indexes)
        if found.statement is None and found.failure is not None:
            yield _Base(kind, fact, form, "", signers).failed(found.failure)
        elif found.statement is not None and is_kind(kind, found.predicate_type):
            yield _Base(kind, fact, form, found.predicate_type, signers).read(found.statement.statement)


def _unread(kind: ReadingKind, judged: Judged) -> Iterator[Reading]:
    """What could not even be opened: it may have been one."""
    start = len(judged.evidence.appraisals)
    for fact, (evidence, error) in zip(judged.facts[start:], judged.evidence.unread, strict=False):
        if evidence.kind in (COSIGN_ATTESTATION, REFERRER, BUILDKIT_ATTESTATION):
            yield _Base(kind, fact, evidence.kind, "", ()).failed(error)


def _bare(judged: Judged, read_blob: ReadBlob) -> Iterator[Reading]:
    """SBOMs without a statement: nothing in one says what it is about; its tag does, or its referrer's subject."""
    for evidence, document in judged.complete.evidence:
        if not isinstance(document, ImageManifest):
            continue
        signers = judged.signers_of(frozenset({evidence.digest}))
        if evidence.kind == COSIGN_SBOM:
            strength = BY_TAG_SIGNED if signers else BY_TAG
        else:
            strength = AS_REFERRER_SIGNED if signers else UNSIGNED
        platform = judged.complete.platform_of(evidence.subject)
        fact = EvidenceFact(evidence.kind, evidence.subject, evidence.digest, platform, judged.strength(strength))
        for layer, media_type in sbom_layers(document, evidence.kind):
            base = _Base("sbom", fact, evidence.kind, media_type, signers)
            try:
                declared = media_type_format(media_type)
                raw = read_layer(layer, read_blob)
                sbom = parse_sbom(raw, declared)
            except FILE_FAILURES as error:
                yield base.failed(file_failure(error))
                continue
            yield base.reading(sbom=sbom, held=raw)


@dataclass(frozen=True, slots=True)
class _Base:
    """What is known of a reading before it is read."""

    kind: ReadingKind
    fact: EvidenceFact
    form: str
    predicate_type: str
    signers: tuple[str, ...]

    def read(self, statement: Statement) -> Reading:
        """Read the statement, whose subject was checked."""
        try:
            if self.kind == "sbom":
                return self.reading(sbom=read_sbom(statement), held=statement)
            return self.reading(provenance=read_details(statement))
        except RejectedError as error:
            return self.failed(error)

    def failed(self, error: SealiftError) -> Reading:
        """It could not be read."""
        return self.reading(failure=error)

    def reading(
        self,
        *,
        sbom: Sbom | None = None,
        provenance: ProvenanceDetails | None = None,
        failure: SealiftError | None = None,
        held: Statement | bytes | None = None,
    ) -> Reading:
        """The reading."""
        fact = self.fact
        return Reading(
            self.kind, fact.subject, fact.platform, self.form, fact.digest, self.predicate_type, fact.strength,
            self.signers, fact.code, sbom, provenance, failure, held,
        )  # fmt: skip
