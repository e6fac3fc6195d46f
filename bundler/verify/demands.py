"""One image against one rule: every demand becomes checks, and every piece of evidence a fact (POLICY.md).

Rules of this module:
- A demand holds if it is met on the image's top digest, or on every platform in the bundle. An attestation never meets
  a signature demand.
- `require` is met, for each platform, by a signed attestation that met an attestation demand of this rule, or by a
  statement in an index that an image signature covers which met a signature demand on that index. Unsigned statements
  count only where the rule says `allow_unsigned`, and the check says so.
- Nothing found is MISSING; found and wrong is FAILED; found, sound, and by somebody else is UNTRUSTED.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bundler.digest import Digest
from bundler.errors import SealiftError
from bundler.evidence.kind import provenance_version, sbom_format
from bundler.verify.appraisal import ITEM_FAILURES, Appraisal, FoundStatement, ImageEvidence
from bundler.verify.completeness import CompleteImage
from bundler.verify.policy import Demand, KeySigner, Rule
from bundler.verify.result import Check, Outcome
from bundler.verify.signatures import VerifiedSignature

LOGGED = "signed, inclusion promise"
NOT_LOGGED = "signed, not logged"
UNSIGNED = "unsigned, no covering signature"
COVERED = "covered by the image signature"
_UNTRUSTED = frozenset({"identity-mismatch", "issuer-mismatch"})
_POLICY = frozenset({"trusted-root-missing", "trusted-root-ambiguous", "key-unknown"})


@dataclass(slots=True)
class Met:
    """What the demands of a rule established, for `require` to build on."""

    signed_indexes: set[Digest] = field(default_factory=set)
    attested: set[tuple[Digest, str]] = field(default_factory=set)


def check_image(complete: CompleteImage, evidence: ImageEvidence, rule: Rule) -> tuple[tuple[Check, ...], Met]:
    """All checks of one image under its rule, in the order of the rule."""
    met = Met()
    checks = [_check_demand(demand, complete, evidence, met) for demand in rule.demands]
    for requirement in rule.require:
        checks += _check_requirement(requirement, complete, evidence, rule, met)
    checks += _check_platforms(complete, rule)
    return tuple(checks), met


def strength_of(verified: VerifiedSignature) -> str:
    """How strong a verified signature is, in the words of REPORT.md."""
    return LOGGED if verified.strength == "promise" else NOT_LOGGED


def is_requirement(requirement: str, predicate_type: str) -> bool:
    """Whether a statement of this predicate type is an SBOM (`sbom`) or provenance (`provenance`)."""
    if requirement == "sbom":
        return sbom_format(predicate_type) is not None
    return provenance_version(predicate_type) is not None


def _check_demand(demand: Demand, complete: CompleteImage, evidence: ImageEvidence, met: Met) -> Check:
    top = complete.image.digest
    on_top, top_failures = _try_subject(demand, top, evidence)
    if on_top is not None:
        _note_met(demand, top, met)
        return _held(demand, [on_top], "")
    children = [digest for _, digest in complete.platforms if digest != top]
    results = [(digest, *_try_subject(demand, digest, evidence)) for digest in children]
    holding = [(digest, verified) for digest, verified, _ in results if verified is not None]
    if children and len(holding) == len(children):
        for digest, _ in holding:
            _note_met(demand, digest, met)
        return _held(demand, [verified for _, verified in holding], "on every platform")
    failures = [*top_failures, *(failure for _, _, failed in results for failure in failed)]
    failures += [(None, error) for found, error in evidence.unread if found.kind == f"cosign-{demand.kind}"]
    return _refused(demand, failures, evidence, len(holding), len(children))


def _try_subject(
    demand: Demand, subject: Digest, evidence: ImageEvidence
) -> tuple[VerifiedSignature | None, list[tuple[Appraisal | None, SealiftError]]]:
    failures: list[tuple[Appraisal | None, SealiftError]] = []
    for appraisal in evidence.appraisals:
        if appraisal.subject != subject or not appraisal.claims(demand.predicate_type):
            continue
        try:
            return appraisal.meet(demand), failures
        except ITEM_FAILURES as error:
            failures.append((appraisal, error))
    return None, failures


def _note_met(demand: Demand, subject: Digest, met: Met) -> None:
    if demand.predicate_type is None:
        met.signed_indexes.add(subject)
    else:
        met.attested.add((subject, demand.predicate_type))


def _held(demand: Demand, verified: list[VerifiedSignature], where: str) -> Check:
    """What held, by everybody who signed, and only as strong as the weakest of them."""
    signers = ", ".join(dict.fromkeys(str(item.signer) for item in verified))
    detail = f"{demand.predicate_type or ''} by {signers}".strip()
    if isinstance(demand.signer, KeySigner) and demand.signer.ignore_tlog:
        detail += "; log entries are not checked (insecure_ignore_tlog)"
    strengths = {strength_of(item) for item in verified}
    strength = NOT_LOGGED if NOT_LOGGED in strengths else LOGGED
    return Check(demand.kind, Outcome.HELD, about=where, detail=detail, strength=strength)


def _refused(
    demand: Demand,
    failures: list[tuple[Appraisal | None, SealiftError]],
    evidence: ImageEvidence,
    holding: int,
    children: int,
) -> Check:
    if not failures:
        others = sorted(set(_other_types(demand, evidence)))
        found = f"found instead: {', '.join(others)[:300]}" if others else "none in the bundle"
        partly = f"; {holding} of {children} platforms have one" if holding else ""
        return Check(demand.kind, Outcome.MISSING, f"{demand.kind}-missing", detail=f"{demand}: {found}{partly}")
    # The attempt that came closest says most: another signer before a failure, a failure before an unusable policy.
    _, error = max(failures, key=lambda failure: (failure[1].code in _UNTRUSTED) - (failure[1].code in _POLICY))
    outcome = Outcome.FAILED
    if error.code in _UNTRUSTED:
        outcome = Outcome.UNTRUSTED
    elif error.code in _POLICY:
        outcome = Outcome.POLICY
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    # A mismatch names whom the demand wants by itself.
    wanted = (demand.predicate_type or "image signature") if outcome is Outcome.UNTRUSTED else str(demand)
    return Check(demand.kind, outcome, error.code, detail=f"{wanted}: {error}{more}")


def _other_types(demand: Demand, evidence: ImageEvidence) -> Iterable[str]:
    for appraisal in evidence.appraisals:
        yield appraisal.claimed_type or appraisal.kind
    if demand.predicate_type is not None:
        for statement in evidence.statements:
            if statement.predicate_type == demand.predicate_type:
                yield "an unsigned statement of that type"


def _check_requirement(
    requirement: str, complete: CompleteImage, evidence: ImageEvidence, rule: Rule, met: Met
) -> Iterable[Check]:
    for platform, digest in complete.platforms:
        about = {digest, *complete.indexes_over[digest]}
        attested = [kind for subject, kind in sorted(met.attested) if subject in about]
        signed = [kind for kind in attested if is_requirement(requirement, kind)]
        if signed:
            yield Check(requirement, Outcome.HELD, about=platform, detail=signed[0], strength="signed")
        else:
            yield _check_statements(
                requirement, platform, digest, evidence, allow_unsigned=rule.allow_unsigned, met=met
            )
    if not complete.platforms:
        yield Check(requirement, Outcome.MISSING, f"{requirement}-missing", detail="the image has no platform")


def _check_statements(
    requirement: str, platform: str, digest: Digest, evidence: ImageEvidence, *, allow_unsigned: bool, met: Met
) -> Check:
    about = [found for found in evidence.statements if found.subject == digest]
    sound = [found for found in about if is_requirement(requirement, found.predicate_type)]
    for found in sound:
        if found.indexes & met.signed_indexes:
            return Check(requirement, Outcome.HELD, about=platform, detail=found.predicate_type, strength=COVERED)
    if not sound:
        broken = [found for found in about if found.failure is not None]
        return _nothing_sound(requirement, platform, digest, evidence, broken)
    outcome, code = (Outcome.HELD, "") if allow_unsigned else (Outcome.FAILED, f"{requirement}-unsigned")
    return Check(requirement, outcome, code, platform, sound[0].predicate_type, UNSIGNED)


def _nothing_sound(
    requirement: str, platform: str, digest: Digest, evidence: ImageEvidence, broken: list[FoundStatement]
) -> Check:
    if broken and broken[0].failure is not None:
        return Check(requirement, Outcome.FAILED, broken[0].failure.code, platform, str(broken[0].failure))
    claimed = [appraisal.claimed_type for appraisal in evidence.appraisals]
    unproved = [predicate_type for predicate_type in claimed if is_requirement(requirement, predicate_type)]
    if unproved:
        detail = f"an attestation ({unproved[0]}) is there, but met no attestation demand of the rule"
        return Check(requirement, Outcome.UNTRUSTED, f"{requirement}-untrusted", platform, detail)
    return Check(requirement, Outcome.MISSING, f"{requirement}-missing", platform, f"none about {digest}")


def _check_platforms(complete: CompleteImage, rule: Rule) -> Iterable[Check]:
    present = {platform for platform, _ in complete.platforms}
    omitted = {omission.platform for omission in complete.image.omitted}
    for wanted in rule.platforms:
        if _names(wanted, present):
            yield Check("platform", Outcome.HELD, about=wanted, detail="in the bundle")
        elif _names(wanted, omitted):
            yield Check("platform", Outcome.OMITTED, "platform-omitted", wanted, "left out by the exporter")
        else:
            yield Check("platform", Outcome.MISSING, "platform-missing", wanted, "not a platform of this image")
    if not complete.image.omitted:
        return
    what = ", ".join(sorted(omitted))
    if rule.allow_omitted:
        yield Check("omissions", Outcome.NOTE, about=what, detail="left out by the exporter; the rule allows it")
    else:
        yield Check("omissions", Outcome.OMITTED, "platform-omitted", what, "left out, and the rule does not allow it")


def _names(wanted: str, platforms: set[str]) -> bool:
    """Whether `wanted` is there; without a variant it means any variant, and arm64 is arm64/v8 (oci/descriptor.py)."""
    if wanted.count("/") > 1:
        return _plain(wanted) in {_plain(platform) for platform in platforms}
    return any(platform == wanted or platform.startswith(f"{wanted}/") for platform in platforms)


def _plain(platform: str) -> str:
    return platform.removesuffix("/v8") if platform.endswith("/arm64/v8") else platform
