"""What a verification can show beside its verdict: chains, SBOMs, provenance. For the HTML report and for `diff`.

Rules of this module:
- Nothing here decides anything: facts and checks were made before, and stay as they are.
- A chain is shown only of a signature that was verified, and only with what verified it.
- An SBOM or provenance that cannot be read is shown with the reason, never left out.
- Only what is shown is kept: the documents themselves, which can be large, are let go.
"""

from __future__ import annotations

from collections.abc import Iterator

from bundler.digest import Digest
from bundler.errors import SealiftError
from bundler.evidence import cosign
from bundler.evidence.kind import provenance_version, sbom_format
from bundler.evidence.provenance_details import ProvenanceDetails, read_details
from bundler.evidence.referrer import BundleItem
from bundler.evidence.sbom import Sbom, media_type_format, parse_sbom, read_sbom, sbom_layers
from bundler.evidence.statement import Statement
from bundler.identity.keys import KeyIdentity
from bundler.oci.manifest import ImageManifest
from bundler.value import dataclass
from bundler.verify.appraisal import FILE_FAILURES, ITEM_FAILURES, Appraisal, ReadBlob, file_failure
from bundler.verify.completeness import CompleteImage
from bundler.verify.opened import FoundStatement, ImageEvidence
from bundler.verify.requirements import UNSIGNED
from bundler.verify.result import EvidenceFact
from bundler.verify.signatures import LogFact, VerifiedSignature, VerifiedTime


@dataclass(frozen=True, slots=True)
class Chain:
    """What leads from the accepted targets to one verified signature.

    Attributes:
        fact: the signature, as the report tells it.
        target: path of the accepted target that its trust comes from; empty for a key that the policy itself holds.
        authority: who issued the certificate, as the trusted root says; empty for keys.
        extensions: what the certificate says of the workflow, by name.
        times: verified times, and who vouches for them.
        logs: log entries that hold, the strongest first.
    """

    fact: EvidenceFact
    target: str
    authority: str
    extensions: tuple[tuple[str, str], ...]
    times: tuple[VerifiedTime, ...]
    logs: tuple[LogFact, ...]


@dataclass(frozen=True, slots=True)
class Paper:
    """An SBOM or provenance about one manifest of an image.

    Attributes:
        kind: `sbom` or `provenance`.
        subject, platform: what it is about; the platform is empty for an index.
        manifest: digest of the manifest that holds it.
        strength: how strong it is, in the words of REPORT.md.
        signer: of a signed one.
        failure: why it could not be read; then neither `sbom` nor `provenance` is set.
    """

    kind: str
    subject: Digest
    platform: str
    manifest: Digest
    predicate_type: str
    strength: str
    signer: str = ""
    sbom: Sbom | None = None
    provenance: ProvenanceDetails | None = None
    failure: SealiftError | None = None


@dataclass(frozen=True, slots=True)
class Exhibits:
    """What can be shown of one image."""

    chains: tuple[Chain, ...] = ()
    papers: tuple[Paper, ...] = ()


def gather_exhibits(
    complete: CompleteImage, evidence: ImageEvidence, facts: tuple[EvidenceFact, ...], read_blob: ReadBlob
) -> Exhibits:
    """What can be shown of an image.

    Args:
        complete: the image.
        evidence: as it was opened and judged.
        facts: those of `evidence_facts`, which tells appraisals first and statements after what was unread.
        read_blob: gives a blob's bytes, checked against its digest.
    """
    judged = list(zip(facts, evidence.appraisals, strict=False))
    statements = facts[len(evidence.appraisals) + len(evidence.unread) :]
    papers = [paper for fact, appraisal in judged for paper in _attested(fact, appraisal)]
    papers += [
        paper for fact, found in zip(statements, evidence.statements, strict=False) for paper in _stated(fact, found)
    ]
    papers += _bare(complete, read_blob)
    order = {digest: position for position, (_, digest) in enumerate(complete.platforms)}
    papers.sort(key=lambda paper: order.get(paper.subject, -1))
    return Exhibits(tuple(chain for fact, appraisal in judged for chain in _chain(fact, appraisal)), tuple(papers))


def _chain(fact: EvidenceFact, appraisal: Appraisal) -> Iterator[Chain]:
    verified = appraisal.held
    if verified is None or fact.code:
        return
    target, authority = _vouching(appraisal, verified)
    who = verified.signer
    extensions = () if isinstance(who, KeyIdentity) else tuple(sorted(who.extensions.items()))
    yield Chain(fact, target, authority, extensions, verified.times, verified.logs)


def _vouching(appraisal: Appraisal, verified: VerifiedSignature) -> tuple[str, str]:
    """The target and, of a certificate, the authority that vouch for the signer."""
    keyring, who = appraisal.keyring, verified.signer
    if isinstance(who, KeyIdentity):
        named = (name for name in keyring.key_names if keyring.holds(name, who.fingerprint))
        return next((f"keys/{name}.pub" for name in named), ""), ""
    name = appraisal.trusted_root_name
    material = keyring.trusted_root(name)
    if isinstance(appraisal.item, BundleItem):
        certificate = appraisal.item.bundle.certificate
    else:
        certificate = cosign.take_apart(appraisal.item).certificate
    issuers = [
        authority.uri
        for authority in material.authorities
        if certificate is not None and authority.chain[0].subject == certificate.issuer
    ]
    return f"trusted_root/{name or keyring.root_names[0]}.json", issuers[0] if issuers else ""


def _attested(fact: EvidenceFact, appraisal: Appraisal) -> Iterator[Paper]:
    verified = appraisal.held
    if verified is not None and verified.role == "attestation" and verified.statement is not None and not fact.code:
        yield from _paper(fact, verified.statement, fact.signer)


def _stated(fact: EvidenceFact, found: FoundStatement) -> Iterator[Paper]:
    if found.statement is not None:
        yield from _paper(fact, found.statement.statement, "")


def _bare(complete: CompleteImage, read_blob: ReadBlob) -> Iterator[Paper]:
    """SBOMs without a statement: cosign's `.sbom` tags, and files in referrers."""
    for found, document in complete.evidence:
        if not isinstance(document, ImageManifest):
            continue
        for layer, media_type in sbom_layers(document, found.kind):
            sbom, failure = None, None
            try:
                sbom = parse_sbom(read_blob(layer.digest), media_type_format(media_type))
            except FILE_FAILURES as error:
                failure = file_failure(error)
            yield Paper(
                "sbom", found.subject, complete.platform_of(found.subject), found.digest, media_type, UNSIGNED,
                sbom=sbom, failure=failure,
            )  # fmt: skip


def _paper(fact: EvidenceFact, statement: Statement, signer: str) -> Iterator[Paper]:
    kind = "sbom" if sbom_format(statement.predicate_type) else "provenance"
    if kind == "provenance" and provenance_version(statement.predicate_type) is None:
        return
    sbom, provenance, failure = None, None, None
    try:
        if kind == "sbom":
            sbom = read_sbom(statement)
        else:
            provenance = read_details(statement)
    except ITEM_FAILURES as error:
        failure = error
    yield Paper(
        kind, fact.subject, fact.platform, fact.digest, statement.predicate_type, fact.strength, signer, sbom,
        provenance, failure,
    )  # fmt: skip
