"""One signature or attestation of an image, judged: the work that demands are measured against.

Rules of this module:
- Each item is judged alone, and its failure is kept with its reason.
- An item is verified against a signer's material once and remembered; matching identities comes after, and separately.
- What the policy does not ask for is judged too, as far as the keyring allows, and reported without counting.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bundler.archive.inventory import Evidence
from bundler.digest import Digest
from bundler.errors import DamagedError, EnvError, MalformedError, RejectedError, SealiftError, UnsupportedError
from bundler.evidence.envelope import Envelope, parse_envelope
from bundler.evidence.referrer import BundleItem, Item
from bundler.evidence.statement import Statement, parse_statement
from bundler.identity.keys import PublicKey
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.value import dataclass, field
from bundler.verify.keyring import Keyring
from bundler.verify.policy import Demand, KeylessSigner, Signer
from bundler.verify.signatures import Trust, VerifiedSignature, verify_against
from bundler.verify.signers import check_signer

ReadBlob = Callable[[Digest], bytes]
# What may be wrong with one item and leave the others standing. Trust, disk and usage errors end the run instead.
ITEM_FAILURES = (RejectedError, DamagedError, UnsupportedError)
# Likewise with one file, whose bytes may have gone by in a pipe; see `file_failure`.
FILE_FAILURES = (*ITEM_FAILURES, EnvError)


@dataclass(slots=True)
class Appraisal:
    """One signature or attestation about one subject, and what came of judging it."""

    evidence: Evidence
    item: Item
    keyring: Keyring
    at: datetime | None = None
    proofs: tuple[TransparencyLogEntry, ...] = ()
    subject_raw: bytes | None = field(default=None, repr=False)
    met: bool = False
    _claimed_type: str | None = None
    _judged: dict[tuple[str | None, Digest | None, bool], VerifiedSignature | SealiftError] = field(
        default_factory=dict
    )

    @property
    def kind(self) -> str:
        """`signature` or `attestation`."""
        return self.item.role

    @property
    def subject(self) -> Digest:
        """What the exporter found it for; `verify_against` proves that it speaks of that."""
        return self.evidence.subject

    @property
    def claimed_type(self) -> str:
        """The predicate type that an attestation's statement names, whoever signed it; empty when it has none."""
        if self._claimed_type is None:  # asked for by every demand; the statement may be large
            self._claimed_type = self.item.claimed_type or ""
        return self._claimed_type

    def claims(self, predicate_type: str | None) -> bool:
        """Whether a demand for this predicate type (None: a signature) could be about this item.

        What cannot be read may be anything, so it counts: then the demand fails with the reason, not as missing.
        """
        if isinstance(self.item, BundleItem) and self.kind == "attestation" and not self.claimed_type:
            return True
        if predicate_type is None or self.kind == "signature":
            return predicate_type is None and self.kind == "signature"
        return self.claimed_type in ("", predicate_type)

    def meet(self, demand: Demand) -> VerifiedSignature:
        """Verify the item as the demand wants it, and match the signer.

        Raises:
            RejectedError: a code of `verify_against` or of `check_signer`, ``predicate-mismatch``, ``log-strength``,
                ``log-threshold``, or a code of the keyring.
        """
        verified = self._verify(demand.signer)
        if verified.role != demand.kind or verified.predicate_type != demand.predicate_type:
            raise RejectedError(
                "predicate-mismatch", "attestation", str(self.evidence.digest), got=str(verified.predicate_type),
                want=str(demand.predicate_type),
            )  # fmt: skip
        check_signer(verified.signer, demand.signer)
        if demand.log is not None:
            demand.log.check(verified)
        self.met = True
        return verified

    @property
    def held(self) -> VerifiedSignature | None:
        """The item as it was verified, if it ever was."""
        return next((found for found in self._judged.values() if isinstance(found, VerifiedSignature)), None)

    @property
    def trusted_root_name(self) -> str | None:
        """Name of the trusted root that `held` was verified with; None: the only one that there is."""
        return next((root for (root, _, _), found in self._judged.items() if found is self.held), None)

    def judge_alone(self) -> VerifiedSignature:
        """Verify the item without a demand: with the only trusted root, or any published key.

        Raises:
            SealiftError: the reason why it cannot be called verified.
        """
        if self.held is not None:
            return self.held
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
        trust = Trust(material, key, ignore_tlog, self.proofs, self.keyring.witnesses, self.at)
        return verify_against(self.item, self.subject, trust, self.subject_raw)


def file_failure(error: SealiftError) -> SealiftError:
    """What is wrong with one file, when that leaves the others standing.

    Files may have the media type of an image layer (`oras attach`), and of a pipe such blobs are not kept.

    Raises:
        EnvError: the disk, or anything else than a blob that went by in a pipe (``pipe``).
    """
    if isinstance(error, EnvError) and error.code != "pipe":
        raise error
    return error


def claimed_statement(appraisal: Appraisal) -> Statement:
    """The statement of an attestation, whether or not its signature holds.

    Raises:
        MalformedError: it holds none (code ``evidence-type``), or one that does not parse.
    """
    if appraisal.held is not None and appraisal.held.statement is not None:
        return appraisal.held.statement
    item = appraisal.item
    content = item.bundle.content if isinstance(item, BundleItem) else parse_envelope(item.raw)
    if not isinstance(content, Envelope):
        raise MalformedError("evidence-type", "attestation", str(item.manifest), got="no statement", want="one")
    return parse_statement(content.payload)
