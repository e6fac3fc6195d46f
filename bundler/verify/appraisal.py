"""Evidence of one image, opened and judged item by item: the work that demands are measured against.

Rules of this module:
- One bad item hides nothing: each is opened and judged alone, and its failure is kept with its reason.
- An item is verified against a signer's material once and remembered; matching identities comes after, and separately.
- What the policy does not ask for is judged too, as far as the keyring allows, and reported without counting.
- A statement in an index (BuildKit) is unsigned. Who covers it is decided in demands.py, never here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bundler.archive.inventory import Evidence
from bundler.digest import Digest
from bundler.errors import DamagedError, RejectedError, SealiftError, UnsupportedError
from bundler.evidence.buildkit import BuildkitStatement, read_statements
from bundler.evidence.cosign import CosignItem, claimed_predicate_type, read_items
from bundler.evidence.kind import COSIGN_ATTESTATION, COSIGN_SIGNATURE
from bundler.identity.keys import KeyIdentity, PublicKey
from bundler.oci.manifest import ImageManifest
from bundler.verify.completeness import AttestationManifest, CompleteImage
from bundler.verify.keyring import Keyring
from bundler.verify.policy import Demand, KeylessSigner, Signer
from bundler.verify.signatures import VerifiedSignature, verify_item

ReadBlob = Callable[[Digest], bytes]
# What may be wrong with one item and leave the others standing. Trust, disk and usage errors end the run instead.
ITEM_FAILURES = (RejectedError, DamagedError, UnsupportedError)
_KIND = {COSIGN_SIGNATURE: "signature", COSIGN_ATTESTATION: "attestation"}


@dataclass(slots=True)
class Appraisal:
    """One signature or attestation about one subject, and what came of judging it."""

    evidence: Evidence
    item: CosignItem
    keyring: Keyring
    met: bool = False
    _claimed_type: str | None = None
    _judged: dict[tuple[str | None, Digest | None, bool], VerifiedSignature | SealiftError] = field(
        default_factory=dict
    )

    @property
    def kind(self) -> str:
        """`signature` or `attestation`."""
        return _KIND[self.item.kind]

    @property
    def subject(self) -> Digest:
        """What the exporter found it for; `verify_item` proves that it speaks of that."""
        return self.evidence.subject

    @property
    def claimed_type(self) -> str:
        """The predicate type that an attestation's statement names, whoever signed it; empty when it has none."""
        if self._claimed_type is None:  # asked for by every demand; the statement may be large
            self._claimed_type = claimed_predicate_type(self.item) or ""
        return self._claimed_type

    def claims(self, predicate_type: str | None) -> bool:
        """Whether a demand for this predicate type (None: a signature) could be about this item.

        What cannot be read may be anything, so it counts: then the demand fails with the reason, not as missing.
        """
        if predicate_type is None or self.kind == "signature":
            return predicate_type is None and self.kind == "signature"
        return self.claimed_type in ("", predicate_type)

    def meet(self, demand: Demand) -> VerifiedSignature:
        """Verify the item as the demand wants it, and match the signer.

        Raises:
            RejectedError: a code of `verify_item`, ``identity-mismatch``, ``issuer-mismatch``, ``predicate-mismatch``,
                or a code of the keyring.
        """
        verified = self._verify(demand.signer)
        if verified.predicate_type != demand.predicate_type:
            raise RejectedError(
                "predicate-mismatch", "attestation", str(self.evidence.digest), got=str(verified.predicate_type),
                want=str(demand.predicate_type),
            )  # fmt: skip
        check_signer(verified, demand.signer)
        self.met = True
        return verified

    def judge_alone(self) -> VerifiedSignature:
        """Verify the item without a demand: with the only trusted root, or any published key.

        Raises:
            SealiftError: the reason why it cannot be called verified.
        """
        known = next((found for found in self._judged.values() if isinstance(found, VerifiedSignature)), None)
        if known is not None:
            return known
        if self.item.has_certificate:
            return self._remember(None, None, ignore_tlog=False)
        failure: SealiftError = RejectedError(
            "key-unknown", self.kind, str(self.evidence.digest), got="made with a key", want="a published key"
        )
        for name in self.keyring.key_names:
            try:
                return self._remember(None, self.keyring.published_key(name), ignore_tlog=False)
            except ITEM_FAILURES as error:
                failure = error
        raise failure

    def _verify(self, signer: Signer) -> VerifiedSignature:
        if isinstance(signer, KeylessSigner):
            return self._remember(signer.trusted_root, None, ignore_tlog=False)
        key = self.keyring.publisher_key(signer)
        return self._remember(signer.trusted_root, key, ignore_tlog=signer.ignore_tlog)

    def _remember(self, root: str | None, key: PublicKey | None, *, ignore_tlog: bool) -> VerifiedSignature:
        place = (root, key.fingerprint if key else None, ignore_tlog)
        if place not in self._judged:
            try:
                self._judged[place] = self._judge(root, key, ignore_tlog=ignore_tlog)
            except ITEM_FAILURES as error:
                self._judged[place] = error
        found = self._judged[place]
        if isinstance(found, SealiftError):
            raise found
        return found

    def _judge(self, root: str | None, key: PublicKey | None, *, ignore_tlog: bool) -> VerifiedSignature:
        material = self.keyring.trusted_root(root) if key is None else self.keyring.any_trusted_root(root)
        return verify_item(self.item, self.subject, material=material, key=key, ignore_log=ignore_tlog)


@dataclass(frozen=True, slots=True)
class FoundStatement:
    """An unsigned statement in an index, read and bound to its platform; or the reason why it is not."""

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
class ImageEvidence:
    """All evidence of one image that could be opened, and what could not."""

    appraisals: tuple[Appraisal, ...]
    statements: tuple[FoundStatement, ...]
    unread: tuple[tuple[Evidence, SealiftError], ...]


def open_evidence(complete: CompleteImage, keyring: Keyring, read_blob: ReadBlob) -> ImageEvidence:
    """Open every piece of evidence of an image; failures become values, so that one does not hide another."""
    appraisals: list[Appraisal] = []
    unread: list[tuple[Evidence, SealiftError]] = []
    for evidence, manifest in complete.evidence:
        if evidence.kind not in _KIND:
            continue
        try:
            kind = COSIGN_SIGNATURE if evidence.kind == COSIGN_SIGNATURE else COSIGN_ATTESTATION
            appraisals += [Appraisal(evidence, item, keyring) for item in read_items(manifest, kind, read_blob)]
        except ITEM_FAILURES as error:
            unread.append((evidence, error))
    return ImageEvidence(tuple(appraisals), tuple(_open_statements(complete, read_blob)), tuple(unread))


def _open_statements(complete: CompleteImage, read_blob: ReadBlob) -> list[FoundStatement]:
    found: list[FoundStatement] = []
    for place in complete.attestations:
        manifest = complete.graph.documents[place.digest]
        if isinstance(manifest, ImageManifest):
            # Layer by layer, so that one bad statement does not hide the others.
            parts = [replace(manifest, layers=(layer,)) for layer in manifest.layers] or [manifest]
            found += [each for part in parts for each in _open_statement(part, place, read_blob)]
        else:
            error = RejectedError(
                "evidence-mismatch", "attestation manifest", str(place.digest), got="an index", want="a manifest"
            )
            found.append(FoundStatement(place.subject, place.digest, place.indexes, None, error))
    return found


def _open_statement(part: ImageManifest, place: AttestationManifest, read_blob: ReadBlob) -> list[FoundStatement]:
    try:
        statements = read_statements(part, place.subject, read_blob)
    except ITEM_FAILURES as error:
        return [FoundStatement(place.subject, place.digest, place.indexes, None, error)]
    return [FoundStatement(place.subject, place.digest, place.indexes, each) for each in statements]


def check_signer(verified: VerifiedSignature, signer: Signer) -> None:
    """Compare who signed with whom the policy names.

    Raises:
        RejectedError: ``issuer-mismatch`` or ``identity-mismatch``. Keys need no comparison: the signature was verified
            with the very key that the policy names.
    """
    if not isinstance(signer, KeylessSigner):
        return
    who = verified.signer
    if isinstance(who, KeyIdentity):
        raise RejectedError("key-material", "signature", got="made with a key", want=f"a certificate of {signer}")
    if not signer.issuer.holds(who.issuer):
        raise RejectedError("issuer-mismatch", "signer", who.san, got=f"issuer {who.issuer}", want=str(signer.issuer))
    if not signer.identity.holds(who.san):
        raise RejectedError("identity-mismatch", "signer", who.san, got="another identity", want=str(signer.identity))
