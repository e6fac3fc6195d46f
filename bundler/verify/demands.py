"""One image against one rule: every demand becomes checks, and every piece of evidence a fact (POLICY.md).

Rules of this module:
- A demand holds if it is met on the image's top digest, or on every platform in the bundle. An attestation never meets
  a signature demand. Who counts is decided in meeting.py, what `require` asks for in requirements.py.
- Nothing found is MISSING; found and wrong is FAILED; found, sound, and by somebody else is UNTRUSTED. Too few of the
  signers are MISSING too, unless what else is there is broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bundler.digest import Digest
from bundler.evidence.kind import CONTAINERS_SIGNATURE, REFERRER
from bundler.verify.completeness import CompleteImage
from bundler.verify.meeting import Failure, Meeting, meet_demand
from bundler.verify.opened import ImageEvidence
from bundler.verify.policy import Demand, KeySigner, Rule
from bundler.verify.requirements import Attested, Met, check_requirement
from bundler.verify.result import Check, Outcome
from bundler.verify.signatures import VerifiedSignature
from bundler.verify.strength import strength_of, weakest

_TOO_FEW = "too-few-signers"
_UNTRUSTED = frozenset({"identity-mismatch", "issuer-mismatch", "extension-mismatch"})
_NOISE = _UNTRUSTED | {_TOO_FEW, "key-material"}
_POLICY = frozenset({"trusted-root-missing", "trusted-root-ambiguous", "key-unknown"})


def check_image(complete: CompleteImage, evidence: ImageEvidence, rule: Rule) -> tuple[tuple[Check, ...], Met]:
    """All checks of one image under its rule, in the order of the rule."""
    checks, met = check_demands(complete, evidence, rule)
    return (*checks, *check_platforms(complete, rule)), met


def check_demands(complete: CompleteImage, evidence: ImageEvidence, rule: Rule) -> tuple[tuple[Check, ...], Met]:
    """The checks of signatures, attestations and what `require` names."""
    met = Met()
    checks = [_check_demand(demand, complete, evidence, met) for demand in rule.demands]
    for requirement in rule.require:
        checks += check_requirement(requirement, complete, evidence, rule, met)
    return tuple(checks), met


def _check_demand(demand: Demand, complete: CompleteImage, evidence: ImageEvidence, met: Met) -> Check:
    top = complete.image.digest
    on_top = meet_demand(demand, top, evidence)
    if on_top.verified:
        _note_met(demand, top, on_top, met)
        return _held(demand, on_top.verified, "")
    children = [digest for _, digest in complete.platforms if digest != top]
    results = [(digest, meet_demand(demand, digest, evidence)) for digest in children]
    holding = [(digest, result) for digest, result in results if result.verified]
    if children and len(holding) == len(children):
        for digest, result in holding:
            _note_met(demand, digest, result, met)
        return _held(demand, [each for _, result in holding for each in result.verified], "on every platform")
    failures = [*on_top.failures, *(failure for _, result in results for failure in result.failures)]
    kinds = {f"cosign-{demand.kind}", REFERRER} | ({CONTAINERS_SIGNATURE} if demand.kind == "signature" else set())
    failures += [(None, error) for found, error in evidence.unread if found.kind in kinds]
    return _refused(demand, failures, evidence, len(holding), len(children))


def _note_met(demand: Demand, subject: Digest, meeting: Meeting, met: Met) -> None:
    if demand.predicate_type is None:
        met.signed_indexes.add(subject)
    else:
        met.attested.append(Attested(subject, demand.predicate_type, demand.threshold, meeting.signed))


def _held(demand: Demand, verified: Sequence[VerifiedSignature], where: str) -> Check:
    """What held, by everybody who signed, and only as strong as the weakest of them."""
    signers = ", ".join(dict.fromkeys(str(item.signer) for item in verified))
    detail = f"{demand.predicate_type or ''} by {signers}".strip()
    if any(isinstance(signer, KeySigner) and signer.ignore_tlog for signer in demand.signers):
        detail += "; log entries are not checked (insecure_ignore_tlog)"
    return Check(demand.kind, Outcome.HELD, about=where, detail=detail, strength=strength_of(weakest(verified)))


def _refused(
    demand: Demand,
    failures: Sequence[Failure],
    evidence: ImageEvidence,
    holding: int,
    children: int,
) -> Check:
    if not failures:
        others = sorted(set(_other_types(demand, evidence)))
        found = f"found instead: {', '.join(others)[:300]}" if others else "none in the bundle"
        partly = f"; {holding} of {children} platforms have one" if holding else ""
        return Check(demand.kind, Outcome.MISSING, f"{demand.kind}-missing", detail=f"{demand}: {found}{partly}")
    # The attempt that came closest says most: some of the signers, another signer, a failure, an unusable policy.
    _, error = max(failures, key=lambda failure: _closeness(failure[1].code))
    outcome = Outcome.FAILED
    if error.code in _UNTRUSTED:
        outcome = Outcome.UNTRUSTED
    elif error.code in _POLICY:
        outcome = Outcome.POLICY
    elif error.code == _TOO_FEW and all(failure.code in _NOISE for _, failure in failures):
        outcome = Outcome.MISSING
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    # A mismatch names whom the demand wants by itself.
    wanted = (demand.predicate_type or "image signature") if outcome is Outcome.UNTRUSTED else str(demand)
    return Check(demand.kind, outcome, error.code, detail=f"{wanted}: {error}{more}")


def _closeness(code: str) -> int:
    return 2 * (code == _TOO_FEW) + (code in _UNTRUSTED) - (code in _POLICY)


def _other_types(demand: Demand, evidence: ImageEvidence) -> Iterable[str]:
    for appraisal in evidence.appraisals:
        yield appraisal.claimed_type or appraisal.kind
    if demand.predicate_type is not None:
        for statement in evidence.statements:
            if statement.predicate_type == demand.predicate_type:
                yield "an unsigned statement of that type"


def check_platforms(complete: CompleteImage, rule: Rule) -> Iterable[Check]:
    """The checks of platforms that have to be there, and of those that were left out."""
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
