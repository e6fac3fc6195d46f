"""Scan reports that came with an image, read, each with how strong it is (vulnerability/SCAN.md, "Made upstream").

    where it lies                                   how strong, at best
    signed envelope, Sigstore bundle                signed, as its fact says
    statement in BuildKit's attestation manifest    covered by the image signature
    bare statement in a referrer                    unsigned, no covering signature
    a scanner's file in a referrer                  likewise; or signed, by a signature over that referrer
    a scanner's file under cosign's `.sbom` tag     bound by its tag only
    reports beside a derivation statement           asserted by the stream, where that statement was verified

Rules of this module:
- Nothing here decides anything. Strengths come from the facts of evidence; a report is listed, not believed.
- A statement's subject was checked, or is checked here. Beyond that, a scanner's document that names an image, or
  layers, has to name this one (``scan-report-subject``): whoever attached it may have taken the wrong file. Layers
  decide where they are named; a digest may be that of the manifest, its config, or an index over it. A report that is
  attached to an index and names one platform is about that platform, not about the others.
- What cannot be read stands with its reason. A plain JSON file that does not say that it is a scan report is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from bundler import limits
from bundler.archive.inventory import Evidence
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.cosign import is_envelope, read_layer
from bundler.evidence.derivation import ARTIFACT_TYPE, REPORT_TYPE, PatchedPlatform, parse_derivation
from bundler.evidence.envelope import parse_envelope
from bundler.evidence.kind import BUILDKIT_ATTESTATION, COSIGN_SBOM, REFERRER, scan_form
from bundler.evidence.scan_parts import WHAT, UpstreamScan
from bundler.evidence.upstream_scan import may_be_scan, parse_scan_file, read_scan, scan_layers
from bundler.fields import Fields
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageIndex, ImageManifest
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, replace
from bundler.verify.appraisal import FILE_FAILURES, ITEM_FAILURES, ReadBlob, claimed_statement, file_failure
from bundler.verify.completeness import CompleteImage
from bundler.verify.facts import signers_of
from bundler.verify.opened import ImageEvidence
from bundler.verify.requirements import UNSIGNED
from bundler.verify.result import EvidenceFact
from bundler.verify.scan_facts import CarriedScan
from bundler.verify.strength import AS_REFERRER_SIGNED, BY_TAG, BY_TAG_SIGNED

_NOT_VERIFIED = "not verified"
_BEFORE, _AFTER = "before the patch", "after the patch"


def gather_scans(
    complete: CompleteImage,
    evidence: ImageEvidence,
    facts: tuple[EvidenceFact, ...],
    read_blob: ReadBlob,
    *,
    hold: bool = False,
) -> tuple[CarriedScan, ...]:
    """Every scan report of an image: those about indexes first, then by platform.

    Args:
        complete: the image.
        evidence: as it was opened and judged.
        facts: those of `evidence_facts`, which tells appraisals first and statements after what was unread.
        read_blob: gives a blob's bytes, checked against its digest.
        hold: keep the documents' bytes too.
    """
    gathering = _Gathering(complete, evidence, facts, read_blob)
    found = [*gathering.attested(), *gathering.stated(), *gathering.files()]
    order = {platform: place for place, (platform, _) in enumerate(complete.platforms)}
    found.sort(key=lambda item: order.get(item.platform, -1))
    return tuple(found) if hold else tuple(replace(item, held=None) for item in found)


@dataclass(frozen=True, slots=True)
class _Gathering:
    """An image whose scan reports are looked for."""

    complete: CompleteImage
    evidence: ImageEvidence
    facts: tuple[EvidenceFact, ...]
    read_blob: ReadBlob

    def attested(self) -> Iterator[CarriedScan]:
        """In signed envelopes and Sigstore bundles, whether or not the signature holds."""
        for fact, appraisal in zip(self.facts, self.evidence.appraisals, strict=False):
            if appraisal.kind != "attestation" or scan_form(appraisal.claimed_type) is None:
                continue
            signers = (fact.signer,) if fact.signer else ()
            base = self._base(fact, appraisal.evidence.kind, appraisal.claimed_type, signers)
            try:
                statement = claimed_statement(appraisal)
                statement.check_subject(appraisal.subject)
            except ITEM_FAILURES as error:
                yield replace(base, failure=error)
                continue
            yield self._read(base, statement.raw, partial(read_scan, statement), "statement")

    def stated(self) -> Iterator[CarriedScan]:
        """In statements that nobody signed, whose subject was checked when they were opened."""
        start = len(self.evidence.appraisals) + len(self.evidence.unread)
        for fact, found in zip(self.facts[start:], self.evidence.statements, strict=False):
            if found.statement is None or scan_form(found.predicate_type) is None:
                continue
            form = BUILDKIT_ATTESTATION if found.indexes else REFERRER
            base = self._base(fact, form, found.predicate_type, signers_of(self.facts, self.evidence, found.indexes))
            statement = found.statement.statement
            yield self._read(base, statement.raw, partial(read_scan, statement), "statement")

    def files(self) -> Iterator[CarriedScan]:
        """As files in referrers and under cosign's `.sbom` tags."""
        for evidence, document in self.complete.evidence:
            if not isinstance(document, ImageManifest):
                continue
            if document.artifact_type == ARTIFACT_TYPE:
                yield from self._beside_derivation(evidence, document)
                continue
            for layer, media_type, named in scan_layers(document, evidence.kind):
                base = replace(self._file(evidence, media_type), document=layer.digest)
                yield from self._read_file(base, layer, must=named)

    def _file(self, evidence: Evidence, media_type: str) -> CarriedScan:
        signers = signers_of(self.facts, self.evidence, frozenset({evidence.digest}))
        if evidence.kind == COSIGN_SBOM:
            strength = BY_TAG_SIGNED if signers else BY_TAG
        else:
            strength = AS_REFERRER_SIGNED if signers else UNSIGNED
        platform = self.complete.platform_of(evidence.subject)
        fact = EvidenceFact(evidence.kind, evidence.subject, evidence.digest, platform, strength)
        return self._base(fact, evidence.kind, media_type, signers)

    def _read_file(
        self, base: CarriedScan, layer: Descriptor, *, must: bool, bound_by: str = ""
    ) -> Iterator[CarriedScan]:
        try:
            if not must and layer.size_bytes > limits.SCAN_REPORT_BYTES:
                return
            raw = self._read_layer(layer)
        except FILE_FAILURES as error:
            yield replace(base, failure=file_failure(error))
            return
        if not must and not may_be_scan(raw):
            return
        read = self._read(base, raw, partial(parse_scan_file, raw), bound_by)
        if must or read.failure is None or read.failure.code != "scan-format":
            yield read

    def _read_layer(self, layer: Descriptor) -> bytes:
        if layer.size_bytes > limits.SCAN_REPORT_BYTES:
            got, want = f"{layer.size_bytes} bytes", f"at most {limits.SCAN_REPORT_BYTES}"
            raise MalformedError("limits", WHAT, str(layer.digest), got=got, want=want)
        return read_layer(layer, self.read_blob)

    def _beside_derivation(self, evidence: Evidence, document: ImageManifest) -> Iterator[CarriedScan]:
        """The layers behind a derivation statement, whose bytes say which report is about what (derivation.py)."""
        fact = next((fact for fact in self.facts if fact.digest == evidence.digest), None)
        reports = {layer.digest: layer for layer in document.layers if layer.media_type == REPORT_TYPE}
        strength, code = (_NOT_VERIFIED, "unchecked") if fact is None else (fact.strength, fact.code)
        signers = (fact.signer,) if fact is not None and fact.signer else ()
        plain = replace(self._file(evidence, REPORT_TYPE), strength=strength, code=code, signers=signers)
        try:
            if not document.layers or not is_envelope(document.layers[0].media_type):
                return
            derivation = parse_derivation(parse_envelope(self._read_layer(document.layers[0])).payload)
        except ITEM_FAILURES:
            return  # its own fact says why; nobody knows what the reports are about
        for each in derivation.platforms:
            for subject, digest, role in _roles(each):
                if digest not in reports:
                    continue
                base = replace(plain, subject=subject, platform=each.platform, role=role, document=digest)
                # The report before is about another image; `prove` holds its layers against the original's.
                bound_by = "derivation" if role == _BEFORE else ""
                yield from self._read_file(base, reports[digest], must=True, bound_by=bound_by)

    def _read(self, base: CarriedScan, raw: bytes, read: Callable[[], UpstreamScan], bound_by: str) -> CarriedScan:
        base = replace(base, document=sha256_of(raw), held=raw)
        try:
            scan = read()
            if bound_by == "derivation":
                return replace(base, scan=scan, bound_by=bound_by)
            named, covers = self._named_by(scan, base.subject)
        except ITEM_FAILURES as error:
            return replace(base, failure=error)
        return replace(base, scan=scan, bound_by=bound_by or named, covers=() if base.platform else covers)

    def _named_by(self, scan: UpstreamScan, subject: Digest) -> tuple[str, tuple[str, ...]]:
        """How the scanner's document names this subject, and which platforms of it.

        Raises:
            RejectedError: it names another image, or another platform of this one (code ``scan-report-subject``).
        """
        document = self.complete.graph.documents.get(subject)
        if document is None:
            return "place", ()  # about other evidence, an SBOM for instance: what it names is what that is about
        manifests = self._manifests(document)
        layers = {manifest.digest: self._layers_of(manifest) for manifest in manifests} if scan.layers else {}
        if scan.layers and None not in layers.values() and self._is_whole(document):
            meant = [manifest for manifest in manifests if layers[manifest.digest] == scan.layers]
            if meant:
                return "layers", self._names(meant)
            raise _other("an image with other layers", subject)
        meant = [manifest for manifest in manifests if scan.digests & _own(manifest)]
        if meant:
            return "digest", self._names(meant)
        over = {str(subject), *map(str, self.complete.indexes_over[subject])}
        others = scan.digests & {name for manifest in self._platforms() for name in _own(manifest)}
        if scan.digests & over and not others:
            return "digest", ()
        if scan.digests:
            raise _other(min(others or scan.digests)[:160], subject)
        return "place", ()

    def _names(self, manifests: list[ImageManifest]) -> tuple[str, ...]:
        """The platforms of these manifests."""
        meant = {manifest.digest for manifest in manifests}
        return tuple(child.platform for child in self.complete.image.platforms if child.digest in meant)

    def _manifests(self, document: ImageManifest | ImageIndex) -> list[ImageManifest]:
        """The image manifests that a document is or leads to, as far as they are here."""
        if isinstance(document, ImageManifest):
            return [document]
        return [found for found in self._platforms() if document.digest in self.complete.indexes_over[found.digest]]

    def _platforms(self) -> Iterator[ImageManifest]:
        """The manifests of all platforms, also where only one is looked at."""
        for child in self.complete.image.platforms:
            found = self.complete.graph.documents.get(child.digest)
            if isinstance(found, ImageManifest):
                yield found

    def _is_whole(self, document: ImageManifest | ImageIndex) -> bool:
        return isinstance(document, ImageManifest) or not self.complete.image.omitted

    def _layers_of(self, manifest: ImageManifest) -> tuple[str, ...] | None:
        """The uncompressed layers that its config names; None when that cannot be read."""
        try:
            raw = self.read_blob(manifest.config.digest)
            config = Fields(parse_foreign(raw, "image config", max_bytes=limits.MANIFEST_BYTES), "image config")
            return config.fields("rootfs").texts("diff_ids", maximum=limits.MANIFEST_LAYERS)
        except ITEM_FAILURES:
            return None

    def _base(self, fact: EvidenceFact, form: str, declared: str, signers: tuple[str, ...]) -> CarriedScan:
        return CarriedScan(
            fact.subject, fact.platform, form, fact.digest, None, declared, fact.strength, signers, fact.code
        )


def _own(manifest: ImageManifest) -> frozenset[str]:
    """What a scanner may name an image of one platform by: its manifest, or its config."""
    return frozenset((str(manifest.digest), str(manifest.config.digest)))


def _roles(each: PatchedPlatform) -> tuple[tuple[Digest, Digest, str], ...]:
    """Subject, digest and role of the reports about one platform: one where nothing was patched, else two."""
    if each.original == each.patched:
        return ((each.patched, each.after, ""),)
    return (each.original, each.before, _BEFORE), (each.patched, each.after, _AFTER)


def _other(got: str, subject: Digest) -> RejectedError:
    return RejectedError("scan-report-subject", WHAT, got=f"about {got}", want=f"about {subject}")
