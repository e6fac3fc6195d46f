"""Patched images under a policy: `derived_from`, and what is told of a derivation that no rule asks for (POLICY.md).

Rules of this module:
- With `derived_from`, the derivation has to be proved, and all that the rule demands of signatures, attestations and
  content is demanded of the original. Platforms are demanded of the patched image: it is what will run.
- Without it, a derivation decides nothing: a patched image that nobody signed fails as any other does. It is told.
- What the patched image lost is said by name: platforms (they refuse it, unless the rule has `allow_omitted`), SBOMs
  and provenance (those of the original speak of what was there before the patch).
- Which vulnerabilities went is the scanner's word in the exporter's statement, and is a note, never a proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bundler.digest import Digest
from bundler.errors import DamagedError, SealiftError
from bundler.evidence.derivation import PREDICATE_TYPE
from bundler.evidence.kind import COSIGN_SBOM, provenance_version, sbom_format
from bundler.value import dataclass, replace
from bundler.verify.appraisal import ITEM_FAILURES
from bundler.verify.completeness import CompleteImage
from bundler.verify.demands import check_demands, check_platforms
from bundler.verify.derivation import (
    Claim,
    FoundClaims,
    Proved,
    ProvedPlatform,
    ReadBlob,
    Surroundings,
    find_claims,
    prove,
)
from bundler.verify.facts import UNCHECKED
from bundler.verify.opened import ImageEvidence, open_evidence
from bundler.verify.policy import Rule
from bundler.verify.requirements import Met
from bundler.verify.result import Check, EvidenceFact, Outcome

if TYPE_CHECKING:
    from bundler.verify.vulnerabilities import VulnerabilityData

_NAME = "derivation"
_SHOWN_IDS = 20
SCANNERS_WORD = "the scanner's word"
_OF_THE_ORIGINAL = "of the original: "


@dataclass(frozen=True, slots=True)
class Derived:
    """What became of an image's derivation statements.

    Attributes:
        proved: the first that holds; None when none does.
        failures: of the others, and of those that nobody of the stream signed.
    """

    found: FoundClaims
    proved: Proved | None
    failures: tuple[SealiftError, ...]


def judge_derivation(complete: CompleteImage, rule: Rule | None, around: Surroundings) -> Derived:
    """Find and prove what is said of an image's origin; failures become values."""
    wanted = rule.derived_from if rule is not None else ()
    found = find_claims(complete, around.read_blob, around.keys)
    failures = [error for _, error in found.failures]
    for claim in found.claims:
        try:
            return Derived(found, prove(claim, complete, around, wanted), tuple(failures))
        except ITEM_FAILURES as error:
            failures.append(error)
    return Derived(found, None, tuple(failures))


def check_derived(
    derived: Derived,
    complete: CompleteImage,
    evidence: ImageEvidence,
    rule: Rule,
    around: Surroundings,
    *,
    data: VulnerabilityData | None = None,
) -> tuple[Check, ...]:
    """All checks of an image under a rule with `derived_from`; `data` is there when a rule asks for it."""
    proved = derived.proved
    if proved is None:
        return (_unproved(derived.failures), *check_platforms(complete, rule))
    old = open_evidence(proved.original, around.keyring, around.read_blob, around.at)
    demands, met = check_demands(proved.original, old, rule)
    if data is not None and rule.vulnerabilities is not None:
        demands = (*demands, *_open_findings(data, proved, (old, evidence), rule, met, read_blob=around.read_blob))
    return (
        *_told(proved, evidence, old, allow_lost=rule.allow_omitted),
        *(replace(check, detail=_OF_THE_ORIGINAL + check.detail) for check in demands),
        *check_platforms(complete, rule),
    )


def _open_findings(
    data: VulnerabilityData,
    proved: Proved,
    evidence: tuple[ImageEvidence, ImageEvidence],
    rule: Rule,
    met: Met,
    *,
    read_blob: ReadBlob,
) -> Iterator[Check]:
    """The original's SBOMs against the data, with what the patch mended beside the findings; VEX of both counts."""
    from bundler.verify.patch_vex import PatchVex  # noqa: PLC0415  few runs need it
    from bundler.verify.vulnerabilities import check_vulnerabilities  # noqa: PLC0415  few runs need it

    authors = rule.vulnerabilities.vex_authors if rule.vulnerabilities is not None else ()
    patch = PatchVex(proved.claim.derivation, proved.claim.stream, read_blob, authors, data.matcher.at)
    old, new = evidence
    return check_vulnerabilities(data, proved.original, old, rule, met, patch=patch, further=(new,))


def note_derivation(derived: Derived, evidence: ImageEvidence, around: Surroundings) -> tuple[Check, ...]:
    """What is told of a derivation where no rule asks for it: facts, which decide nothing."""
    if derived.proved is None:
        checks: tuple[Check, ...] = (_unproved(derived.failures),) if derived.failures else ()
    else:
        old = open_evidence(derived.proved.original, around.keyring, around.read_blob, around.at)
        checks = tuple(_told(derived.proved, evidence, old, allow_lost=False))
    return tuple(replace(check, outcome=Outcome.NOTE) for check in checks)


def with_claims(facts: Sequence[EvidenceFact], derived: Derived) -> tuple[EvidenceFact, ...]:
    """Facts of evidence, in which verified statements are told as what they are, and others with their reason.

    What else its referrer holds, and nobody reads, are the documents that it names: that goes. Such facts stand behind
    all others (`evidence_facts`), so that facts of signatures and statements keep their places.
    """
    claims = {claim.manifest.digest: claim for claim in derived.found.claims}
    failures = {evidence.digest: error for evidence, error in derived.found.failures}
    told: set[Digest] = set()
    kept: list[EvidenceFact] = []
    for fact in facts:
        if fact.digest not in told:
            kept.append(_fact(fact, claims.get(fact.digest), failures.get(fact.digest)))
        elif fact.digest not in claims or fact.code != UNCHECKED:
            kept.append(fact)
        told.add(fact.digest)
    return tuple(kept)


def _fact(fact: EvidenceFact, claim: Claim | None, failure: SealiftError | None) -> EvidenceFact:
    if claim is not None:
        return replace(
            fact, predicate_type=PREDICATE_TYPE, strength=asserted(claim), signer=f"key {claim.signer}", code="",
            detail="",
        )  # fmt: skip
    return fact if failure is None else replace(fact, code=failure.code, detail=str(failure))


def _unproved(failures: Sequence[SealiftError]) -> Check:
    if not failures:
        detail = "no derivation statement about this image is in the bundle"
        return Check(_NAME, Outcome.MISSING, "derivation-missing", detail=detail)
    error = failures[-1]  # of a statement that was signed, where there is one
    outcome = Outcome.DAMAGED if isinstance(error, DamagedError) else Outcome.FAILED
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return Check(_NAME, outcome, error.code, detail=f"{error}{more}")


def _told(proved: Proved, evidence: ImageEvidence, old: ImageEvidence, *, allow_lost: bool) -> Iterator[Check]:
    image, claim = proved.original.image, proved.claim
    tools = ", ".join(f"{tool.name} {tool.version}" for tool in claim.derivation.tools)
    detail = f"patched from {image.name} {image.digest}, with {tools}"
    yield Check(_NAME, Outcome.HELD, detail=detail, strength=asserted(claim))
    for each in proved.platforms:
        yield _lineage(each)
    for each in proved.platforms:
        yield Check(
            "vulnerabilities", Outcome.NOTE, about=each.platform, detail=told_change(each), strength=SCANNERS_WORD
        )
    for platform in proved.lost:
        detail = "the original has it, the patched image has not"
        if allow_lost:
            yield Check("platform", Outcome.NOTE, about=platform, detail=f"{detail}; the rule allows it")
        else:
            yield Check("platform", Outcome.OMITTED, "platform-lost", platform, detail)
    for kind in ("sbom", "provenance"):
        yield _papers(kind, evidence, old)


def _lineage(each: ProvedPlatform) -> Check:
    if each.lineage is None:
        detail = "the original's own manifest: nothing was patched"
        return Check("lineage", Outcome.HELD, about=each.platform, detail=detail)
    added = len(each.lineage.added)
    parts = [f"all layers of {each.lineage.original}, and {added} on top ({each.lineage.added_bytes} bytes)"]
    parts += [] if each.lineage.history else ["the original has no history to compare"]
    parts += each.lineage.labels[:_SHOWN_IDS]
    return Check("lineage", Outcome.HELD, about=each.platform, detail="; ".join(parts), strength="proved by digests")


def told_change(each: ProvedPlatform) -> str:
    """What the patch did to one platform, in the scanner's words, for people."""
    change = each.change
    count = len(change.gone) + len(change.left)
    detail = f"{len(change.gone)} of {count} went, {len(change.left)} are left, {len(change.new)} came"
    detail += f"; gone: {', '.join(change.gone[:_SHOWN_IDS])}" if change.gone else ""
    detail += f" and {len(change.gone) - _SHOWN_IDS} more" if len(change.gone) > _SHOWN_IDS else ""
    detail += f"; came: {', '.join(change.new[:_SHOWN_IDS])}" if change.new else ""
    detail += f"; with a fix known: {', '.join(change.fixable[:_SHOWN_IDS])}" if change.fixable else ""
    detail += f" and {len(change.fixable) - _SHOWN_IDS} more" if len(change.fixable) > _SHOWN_IDS else ""
    return detail + ("" if change.saw_distribution else "; the scanner looked at no packages of a distribution")


def _papers(kind: str, evidence: ImageEvidence, old: ImageEvidence) -> Check:
    """Whether the patched image has a paper of its own, and whether its original had one."""
    own, before = _about(kind, evidence), _about(kind, old)
    if own:
        detail = "the patched image has its own"
    elif before:
        detail = "lost: the one carried is of the original, from before the patch"
    else:
        detail = "neither the original nor the patched image has one"
    return Check(kind, Outcome.NOTE, detail=detail)


def _about(kind: str, evidence: ImageEvidence) -> frozenset[Digest]:
    """Subjects that have such a paper, whoever vouches for it."""
    types = [(found.subject, found.predicate_type) for found in evidence.statements]
    types += [(appraisal.subject, appraisal.claimed_type) for appraisal in evidence.appraisals]
    is_kind = sbom_format if kind == "sbom" else provenance_version
    bare = {found.subject for found, _ in evidence.listed if found.kind == COSIGN_SBOM and kind == "sbom"}
    return frozenset(subject for subject, predicate_type in types if is_kind(predicate_type) is not None) | bare


def asserted(claim: Claim) -> str:
    """How strong a derivation statement is."""
    return f"asserted by stream {claim.stream}"
