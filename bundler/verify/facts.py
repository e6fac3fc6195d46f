"""What is said of each piece of evidence: its strength, its signer, or why it is not verified.

Rules of this module:
- A fact is printed as verified only if `verify_item` returned it; claims (`docker-reference`) are named claims.
- Evidence that the policy did not ask for is judged as far as the keyring allows, and shown without counting.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bundler.identity.keys import KeyIdentity
from bundler.verify.appraisal import ITEM_FAILURES, Appraisal, FoundStatement, ImageEvidence
from bundler.verify.completeness import CompleteImage
from bundler.verify.demands import COVERED, UNSIGNED, Met, strength_of
from bundler.verify.result import EvidenceFact

_NOT_VERIFIED = "not verified"
_LISTED_ONLY = "not checked: this version lists this kind of evidence only"


def evidence_facts(complete: CompleteImage, evidence: ImageEvidence, met: Met) -> tuple[EvidenceFact, ...]:
    """One fact for each piece of evidence of an image, in the order of the inventory."""
    facts = [_signature(complete, appraisal) for appraisal in evidence.appraisals]
    for found, error in evidence.unread:
        facts.append(
            EvidenceFact(
                _plain(found.kind), found.subject, found.digest, complete.platform_of(found.subject), _NOT_VERIFIED,
                code=error.code, detail=str(error),
            )
        )  # fmt: skip
    facts += [_statement(complete, statement, met) for statement in evidence.statements]
    return (*facts, *_listed_only(complete, evidence))


def signed_times(evidence: ImageEvidence) -> tuple[datetime, ...]:
    """Verified times of all evidence that met a demand; the site's time floor learns from them."""
    times: list[datetime] = []
    for appraisal in evidence.appraisals:
        if appraisal.met:
            times += [time.at for time in appraisal.judge_alone().times]
    return tuple(times)


def _signature(complete: CompleteImage, appraisal: Appraisal) -> EvidenceFact:
    subject, digest = appraisal.subject, appraisal.evidence.digest
    platform = complete.platform_of(subject)
    try:
        verified = appraisal.judge_alone()
    except ITEM_FAILURES as error:
        return EvidenceFact(
            appraisal.kind, subject, digest, platform, _NOT_VERIFIED, code=error.code, detail=str(error)
        )
    who, log = verified.signer, verified.log
    keyless = not isinstance(who, KeyIdentity)
    return EvidenceFact(
        kind=appraisal.kind,
        subject=subject,
        digest=digest,
        platform=platform,
        strength=strength_of(verified),
        predicate_type=verified.predicate_type or "",
        signer=str(who) if isinstance(who, KeyIdentity) else who.san,
        issuer="" if isinstance(who, KeyIdentity) else who.issuer,
        log=log.log_url if log else "",
        log_index=log.log_index if log else None,
        signed_at=log.integrated_at if log else None,
        claimed_reference=verified.claimed_reference or "",
        detail="; ".join(note for note in verified.not_verified if keyless or "chain" not in note),
        demanded=appraisal.met,
    )


def _statement(complete: CompleteImage, found: FoundStatement, met: Met) -> EvidenceFact:
    platform = complete.platform_of(found.subject)
    if found.failure is not None:
        return EvidenceFact(
            "statement", found.subject, found.manifest, platform, _NOT_VERIFIED,
            code=found.failure.code, detail=str(found.failure),
        )  # fmt: skip
    strength = COVERED if found.indexes & met.signed_indexes else UNSIGNED
    return EvidenceFact(
        "statement", found.subject, found.manifest, platform, strength, predicate_type=found.predicate_type
    )


def _listed_only(complete: CompleteImage, evidence: ImageEvidence) -> Iterator[EvidenceFact]:
    """Evidence that is carried and bound by digest, but that no check of this version judges."""
    judged = {appraisal.evidence.digest for appraisal in evidence.appraisals}
    judged |= {found.digest for found, _ in evidence.unread}
    for found, _ in complete.evidence:
        if found.digest not in judged:
            platform = complete.platform_of(found.subject)
            yield EvidenceFact(
                _plain(found.kind), found.subject, found.digest, platform, _NOT_VERIFIED,
                code="unchecked", detail=_LISTED_ONLY,
            )  # fmt: skip


def _plain(kind: str) -> str:
    """The inventory's kind in the report's words: `signature`, `attestation`, `sbom`."""
    return kind.removeprefix("cosign-")
