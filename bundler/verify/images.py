"""One image, from its entry in the inventory to its result: damage, completeness, evidence, policy.

Rules of this module:
- Damage beats claims: an image with a damaged blob is DAMAGED, whatever its evidence says; the others are still judged.
- An image that is not complete is rejected before any of its evidence is believed.
- No policy, or no rule: rejected, and what was found is still shown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from bundler.archive.inventory import Image, Inventory
from bundler.digest import Digest
from bundler.errors import DamagedError
from bundler.evidence.kind import COSIGN_SBOM, REFERRER, scan_form
from bundler.value import dataclass, field, replace
from bundler.verify.appraisal import ITEM_FAILURES
from bundler.verify.completeness import CompleteImage, open_image
from bundler.verify.demands import check_image
from bundler.verify.derivation import Proved, Surroundings
from bundler.verify.derived import check_derived, judge_derivation, note_derivation, with_claims
from bundler.verify.facts import evidence_facts, signed_times
from bundler.verify.keyring import Keyring
from bundler.verify.opened import ImageEvidence, open_evidence
from bundler.verify.policy import Policy, Rule
from bundler.verify.requirements import Met
from bundler.verify.result import Check, EvidenceFact, Explanation, ImageResult, Outcome
from bundler.verify.scan_facts import CarriedScan
from bundler.verify.sightings import SeenLogs, seen_logs
from trust_root.stream_signature import StreamKeys

if TYPE_CHECKING:
    from bundler.verify.exhibits import Exhibits
    from bundler.verify.vulnerabilities import VulnerabilityData
    from bundler.vulnerability.remembered import Paper

ReadBlob = Callable[[Digest], bytes]


@dataclass(frozen=True, slots=True)
class Judged:
    """An image's result, its closure if it has one, verified times of evidence that met demands, what can be shown of
    it, what its evidence shows of logs, and what of it is worth keeping.
    """

    result: ImageResult
    complete: CompleteImage | None
    times: tuple[datetime, ...]
    exhibits: Exhibits | None = None
    seen: SeenLogs = field(default_factory=SeenLogs)
    papers: tuple[Paper, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """What every image of a bundle is judged with.

    No signature may be of a time after `at`; with `explain`, results say which rule decided and why; with `exhibit`,
    what can be shown of each image is gathered. Derivation statements count that `stream_keys` signed.
    `vulnerabilities` is there when a rule asks for it; with `keep`, SBOMs and VEX that are worth keeping are named.
    """

    inventory: Inventory
    policy: Policy | None
    keyring: Keyring
    damaged: frozenset[Digest]
    read_blob: ReadBlob
    at: datetime | None = None
    explain: bool = False
    exhibit: bool = False
    stream_keys: StreamKeys | None = None
    vulnerabilities: VulnerabilityData | None = None
    keep: bool = False


def judge_image(image: Image, bench: Bench) -> Judged:
    """Judge one image; what is wrong with it becomes checks, and nothing here ends the run but disk errors."""
    rule = bench.policy.rule_for(image.name, image.digest, bench.inventory.stream) if bench.policy else None
    try:
        complete = open_image(image, bench.inventory, bench.read_blob)
    except DamagedError as error:
        check = Check("integrity", Outcome.DAMAGED, error.code, error.which, str(error))
        return Judged(_result(image, bench, rule, (check,)), None, ())
    except ITEM_FAILURES as error:
        check = Check("completeness", Outcome.FAILED, error.code, detail=str(error))
        return Judged(_result(image, bench, rule, (check,)), None, ())
    evidence = open_evidence(complete, bench.keyring, bench.read_blob, bench.at)
    met = Met()
    checks: tuple[Check, ...]
    around = Surroundings(bench.inventory, bench.keyring, bench.read_blob, bench.stream_keys, bench.at)
    derived = judge_derivation(complete, rule, around)
    if rule is not None and rule.derived_from:
        checks = check_derived(derived, complete, evidence, rule, around, data=bench.vulnerabilities)
    elif rule is not None:
        checks, met = check_image(complete, evidence, rule)
        if bench.vulnerabilities is not None:
            checks += _vulnerabilities(bench.vulnerabilities, complete, evidence, rule, met)
    elif bench.policy is None:
        checks = (Check("policy", Outcome.POLICY, "no-policy", detail="verify was given no policy"),)
    else:
        checks = (Check("policy", Outcome.POLICY, "no-rule", detail="no rule of the policy names this image"),)
    if rule is None or not rule.derived_from:
        checks = (*checks, *note_derivation(derived, evidence, around))
    checks = (*_damage(complete, bench.damaged), *checks)
    facts = with_claims(evidence_facts(complete, evidence, met), derived)
    size_bytes = sum(node.size_bytes for node in complete.graph.nodes)
    exhibits = _exhibits(complete, evidence, facts, bench.read_blob) if bench.exhibit else None
    seen = seen_logs(evidence, bench.inventory.created_at)
    papers = _papers(complete, evidence, facts, derived.proved) if bench.keep else ()
    scans = _scans(complete, evidence, facts, bench.read_blob)
    result = replace(_result(image, bench, rule, checks, facts=facts, size_bytes=size_bytes), scans=scans)
    return Judged(result, complete, signed_times(evidence), exhibits, seen, papers)


def _exhibits(
    complete: CompleteImage, evidence: ImageEvidence, facts: tuple[EvidenceFact, ...], read_blob: ReadBlob
) -> Exhibits:
    from bundler.verify.exhibits import gather_exhibits  # noqa: PLC0415  only pages and comparisons show them

    return gather_exhibits(complete, evidence, facts, read_blob)


def _scans(
    complete: CompleteImage, evidence: ImageEvidence, facts: tuple[EvidenceFact, ...], read_blob: ReadBlob
) -> tuple[CarriedScan, ...]:
    """Scan reports that came with the image; most have none, and their runs need no reader of them."""
    types = [appraisal.claimed_type for appraisal in evidence.appraisals if appraisal.kind == "attestation"]
    types += [found.predicate_type for found in evidence.statements]
    files = any(found.kind in (REFERRER, COSIGN_SBOM) for found, _ in complete.evidence)
    if not files and not any(map(scan_form, types)):
        return ()
    from bundler.verify.scans import gather_scans  # noqa: PLC0415

    return gather_scans(complete, evidence, facts, read_blob)


def _papers(
    complete: CompleteImage, evidence: ImageEvidence, facts: tuple[EvidenceFact, ...], proved: Proved | None
) -> tuple[Paper, ...]:
    from bundler.verify.keepsakes import gather_papers  # noqa: PLC0415  a run that keeps nothing does not need it

    return gather_papers(complete, evidence, facts, proved)


def _vulnerabilities(
    data: VulnerabilityData, complete: CompleteImage, evidence: ImageEvidence, rule: Rule, met: Met
) -> tuple[Check, ...]:
    from bundler.verify.vulnerabilities import check_vulnerabilities  # noqa: PLC0415  few runs need it

    return tuple(check_vulnerabilities(data, complete, evidence, rule, met))


def _damage(complete: CompleteImage, damaged: frozenset[Digest]) -> tuple[Check, ...]:
    digests = [node.digest for node in complete.graph.nodes]
    digests += [node.digest for opened in complete.beside for node in opened.nodes]
    return tuple(
        Check("integrity", Outcome.DAMAGED, "blob-digest", str(digest), "its bytes are not what was signed")
        for digest in dict.fromkeys(digests)
        if digest in damaged
    )


def _result(
    image: Image,
    bench: Bench,
    rule: Rule | None,
    checks: tuple[Check, ...],
    *,
    facts: tuple[EvidenceFact, ...] = (),
    size_bytes: int = 0,
) -> ImageResult:
    return ImageResult(
        name=image.name,
        digest=image.digest,
        media_type=image.media_type,
        platforms=tuple((child.platform, child.digest) for child in image.platforms),
        omitted=tuple((omission.platform, omission.digest) for omission in image.omitted),
        rule=rule.label if rule else "",
        checks=checks,
        evidence=facts,
        searches=tuple((search.subject, search.place, search.answer) for search in image.searches),
        size_bytes=size_bytes,
        explanation=_explain(image, bench, rule) if bench.explain else None,
        digest_origin=image.digest_origin,
    )


def _explain(image: Image, bench: Bench, rule: Rule | None) -> Explanation:
    if bench.policy is None:
        return Explanation((), ())
    trials = bench.policy.explain(image.name, image.digest, bench.inventory.stream)
    return Explanation(trials, rule.demanded if rule else ())
