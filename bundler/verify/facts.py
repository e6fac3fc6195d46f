"""What is said of each piece of evidence: its strength, its signer, or why it is not verified.

Rules of this module:
- A fact is printed as verified only if `verify_against` returned it; claims (`docker-reference`) are named claims.
- Evidence that the policy did not ask for is judged as far as the keyring allows, and shown without counting.
- A log entry fetched at export shows in the strength of what it completes; one that completes nothing is shown itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bundler.digest import Digest
from bundler.identity.keys import KeyIdentity
from bundler.verify.appraisal import ITEM_FAILURES, Appraisal
from bundler.verify.completeness import CompleteImage
from bundler.verify.opened import FetchedEntry, FoundStatement, ImageEvidence
from bundler.verify.requirements import COVERED, UNSIGNED, Met
from bundler.verify.result import EvidenceFact
from bundler.verify.signatures import LogFact
from bundler.verify.strength import strength_of

UNCHECKED = "unchecked"
_NOT_VERIFIED = "not verified"
_LISTED_ONLY = "not checked: this version lists this kind of evidence only"
_NOTHING_COMPLETED = "not used: no promise that holds is about the same entry"


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
    facts += [_unused(complete, entry) for entry in evidence.entries if not _is_used(entry, evidence)]
    facts += [
        EvidenceFact(
            _plain(found.kind), found.subject, found.digest, complete.platform_of(found.subject), _NOT_VERIFIED,
            code=UNCHECKED, detail=f"{_LISTED_ONLY} ({form})",
        )
        for found, form in evidence.listed
    ]  # fmt: skip
    return tuple(facts)


def signed_times(evidence: ImageEvidence) -> tuple[datetime, ...]:
    """Verified times of all evidence that met a demand; the site's time floor learns from them."""
    times: list[datetime] = []
    for appraisal in evidence.appraisals:
        if appraisal.met:
            times += [time.at for time in appraisal.judge_alone().times]
    return tuple(times)


def signers_of(
    facts: tuple[EvidenceFact, ...], evidence: ImageEvidence, subjects: frozenset[Digest]
) -> tuple[str, ...]:
    """Who signed any of these, by signatures that hold; `facts` are those of `evidence_facts`."""
    judged = zip(facts, evidence.appraisals, strict=False)
    found = [fact for fact, item in judged if item.kind == "signature" and fact.subject in subjects]
    return tuple(dict.fromkeys(fact.signer for fact in found if fact.signer and not fact.code))


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
        signed_at=(log.integrated_at if log else None) or verified.signed_at,
        claimed_reference=verified.claimed_reference or "",
        detail="; ".join(note for note in verified.not_verified if keyless or "chain" not in note),
        demanded=appraisal.met,
    )


def _is_used(fetched: FetchedEntry, evidence: ImageEvidence) -> bool:
    place = (fetched.entry.log_id, fetched.entry.log_index)
    return any((fact.log_id, fact.log_index) == place for fact in _completed(fetched, evidence) if fact.fetched)


def _completed(fetched: FetchedEntry, evidence: ImageEvidence) -> Iterator[LogFact]:
    for appraisal in evidence.appraisals:
        about = (appraisal.evidence.digest, appraisal.subject)
        if about == (fetched.evidence.augments, fetched.evidence.subject):
            yield from appraisal.held.logs if appraisal.held else ()


def _unused(complete: CompleteImage, fetched: FetchedEntry) -> EvidenceFact:
    found = fetched.evidence
    return EvidenceFact(
        found.kind, found.subject, found.digest, complete.platform_of(found.subject), _NOT_VERIFIED,
        code=UNCHECKED, detail=_NOTHING_COMPLETED,
    )  # fmt: skip


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


def _plain(kind: str) -> str:
    """The inventory's kind in the report's words: `signature`, `attestation`, `sbom`, `referrer`, `log-entry`."""
    return kind.removeprefix("cosign-").removeprefix("containers-")
