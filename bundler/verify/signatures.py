"""One signature or attestation about one image, verified whole, whatever form it lies in.

Rules of this module:
- The form is taken apart (evidence/), the core judges (signed.py), and what the signed bytes say is read here: they
  must be about the subject asked for.
- What was not checked is listed in `not_verified`, and nothing that can be altered unseen is told as verified. Whether
  the signer is the one wanted is the policy's question, so one verified item can be held against many demands.
"""

from __future__ import annotations

from datetime import datetime

from bundler.digest import Content, Digest
from bundler.errors import RejectedError
from bundler.evidence import cosign
from bundler.evidence.cosign import CosignItem, Role
from bundler.evidence.envelope import Envelope
from bundler.evidence.kind import EvidenceKind
from bundler.evidence.referrer import BundleItem, Item, role_of
from bundler.evidence.signed import Signed
from bundler.evidence.sigstore_bundle import SigstoreBundle, take_bundle_apart
from bundler.evidence.simple_signing import parse_simple_signing
from bundler.evidence.statement import Statement, parse_statement
from bundler.identity.fulcio import CertificateIdentity
from bundler.identity.keys import KeyIdentity, PublicKey
from bundler.identity.sct import VerifiedTimestamp
from bundler.transparency.checkpoint import Witness
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.value import dataclass, field
from bundler.verify.logged import LogFact
from bundler.verify.material import TrustedMaterial
from bundler.verify.signed import Signer, Strength, Trust, VerifiedTime, Vouched, verify_signed

__all__ = [
    "CertificateIdentity",
    "KeyIdentity",
    "LogFact",
    "Signer",
    "Strength",
    "Trust",
    "VerifiedSignature",
    "VerifiedTime",
    "verify_against",
    "verify_item",
]


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature or attestation about `subject` that holds.

    Attributes:
        kind: what it was found as.
        role: an image signature, or an attestation.
        subject: what it is about: the digest the caller computed.
        manifest, position: where it stands.
        signer: who signed, as a trusted authority or the key says.
        times: verified times; empty for a key without a log entry or timestamp.
        logs: log entries that hold, the strongest first.
        strength: `proof`, `promise`, `time` (a timestamp, no log) or `none`.
        scts: the certificate's promises by certificate logs; empty for keys.
        statement: of an envelope; None for a plain signature.
        claimed_reference: of simple signing: the signer's `docker-reference`, a claim; None otherwise.
        not_verified: what the item carries and this verification did not use or check, one phrase each.
    """

    kind: EvidenceKind
    role: Role
    subject: Digest
    manifest: Digest
    position: int
    signer: Signer
    times: tuple[VerifiedTime, ...]
    logs: tuple[LogFact, ...]
    strength: Strength
    scts: tuple[VerifiedTimestamp, ...]
    statement: Statement | None = field(repr=False)
    claimed_reference: str | None
    not_verified: tuple[str, ...]

    @property
    def predicate_type(self) -> str | None:
        """Of an attestation, from inside the signed statement; None for an image signature."""
        return self.statement.predicate_type if self.statement and self.role == "attestation" else None

    @property
    def log(self) -> LogFact | None:
        """The strongest log entry."""
        return self.logs[0] if self.logs else None

    @property
    def log_count(self) -> int:
        """How many different logs hold it: entries in one log count once (CVE-2026-49834), and logs of one operator."""
        return len({fact.voice for fact in self.logs})

    @property
    def signed_at(self) -> datetime | None:
        """The earliest time that somebody trusted vouched for."""
        return min((time.at for time in self.times), default=None)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What the signed bytes say."""

    role: Role
    statement: Statement | None
    claimed_reference: str | None


def verify_item(
    item: Item,
    subject: Digest,
    *,
    material: TrustedMaterial | None = None,
    key: PublicKey | None = None,
    ignore_log: bool = False,
    proofs: tuple[TransparencyLogEntry, ...] = (),
    witnesses: tuple[Witness, ...] = (),
    at: datetime | None = None,
) -> VerifiedSignature:
    """Verify one item; arguments as those of `Trust`.

    Args:
        item: as read by `read_items`, `read_referrer` or `parse_containers_signature`.
        subject: digest of the manifest or index that it must be about, computed by the caller.
        material: the trusted root: authorities and logs. Needed for keyless items, log entries and timestamps.
        key: the publisher's key; None demands a keyless item.
        ignore_log: for keys: do not look at log entries. Without effect on keyless items, whose time comes from them.
        proofs: log entries that were fetched at export, to complete promises that came without proof.
        witnesses: whose cosignatures on checkpoints count.
        at: the time of the verification, beyond which no verified time may lie.

    Raises:
        RejectedError: the first check that does not hold; the code names it.
    """
    return verify_against(item, subject, Trust(material, key, ignore_log, proofs, witnesses, at))


def verify_against(item: Item, subject: Digest, trust: Trust, subject_raw: bytes | None = None) -> VerifiedSignature:
    """Like `verify_item`, with all that it is held against in one value.

    Args:
        item, subject: as for `verify_item`.
        trust: what it is held against.
        subject_raw: the bytes of `subject`, if they are at hand: a plain signature by Ed25519, or over a longer hash,
            cannot be checked by the digest alone (code ``artifact-needed``).
    """
    if isinstance(item, BundleItem):
        signed = take_bundle_apart(item.bundle, _content_of(subject, subject_raw))
        meaning, vouched = verify_signed(signed, trust, lambda: _read_bundle(item.bundle, subject))
        notes = _bundle_notes(item.bundle)
    else:
        signed = cosign.take_apart(item)
        meaning, vouched = verify_signed(signed, trust, lambda: _read_item(item, signed, subject))
        notes = _item_notes(item)
    return VerifiedSignature(
        kind=item.kind,
        role=meaning.role,
        subject=subject,
        manifest=item.manifest,
        position=item.position,
        signer=vouched.signer,
        times=vouched.times,
        logs=vouched.logs,
        strength=vouched.strength,
        scts=vouched.scts,
        statement=meaning.statement,
        claimed_reference=meaning.claimed_reference,
        not_verified=(*notes, *_log_notes(signed, vouched)),
    )


def _content_of(subject: Digest, raw: bytes | None) -> Content:
    known = bytes.fromhex(subject.hex)
    if raw is None:
        return Content(hashes={subject.algorithm: known})
    content = Content(raw)
    if content.hash(subject.algorithm) != known:
        raise RejectedError("digest-mismatch", "signed manifest", str(subject), got="other bytes", want="its bytes")
    return content


def _read_item(item: CosignItem, signed: Signed, subject: Digest) -> _Meaning:
    if signed.envelope is not None:
        return _Meaning("attestation", _read_statement(signed.envelope, subject), None)
    payload = parse_simple_signing(item.raw)
    payload.check_manifest(subject)
    return _Meaning("signature", None, payload.claimed_reference)


def _read_bundle(bundle: SigstoreBundle, subject: Digest) -> _Meaning:
    """A plain signature was held against the subject's digest already."""
    if not isinstance(bundle.content, Envelope):
        return _Meaning("signature", None, None)
    statement = _read_statement(bundle.content, subject)
    return _Meaning(role_of(bundle, statement.predicate_type), statement, None)


def _read_statement(envelope: Envelope, subject: Digest) -> Statement:
    statement = parse_statement(envelope.payload)
    statement.check_subject(subject)
    return statement


def _item_notes(item: CosignItem) -> list[str]:
    """What is malleable or not looked at (EVIDENCE 2.6), so that no report takes it for verified."""
    notes = []
    if item.annotations.get(cosign.CHAIN):
        notes.append("annotation chain: not used, intermediates come from the trusted root")
    if item.annotations.get(cosign.PREDICATE_TYPE):
        notes.append("annotation predicateType: not used, the type comes from the statement")
    return notes


def _bundle_notes(bundle: SigstoreBundle) -> list[str]:
    return ["certificates of the chain: not used, intermediates come from the trusted root"] if bundle.chain else []


def _log_notes(signed: Signed, vouched: Vouched) -> list[str]:
    if signed.entries and not vouched.logs:
        return ["log entry: ignored, as the policy says"]
    if any(entry.proof is not None and entry.proof.checkpoint is None for entry in signed.entries):
        return ["inclusion proof without a checkpoint: counts for nothing"]
    return []
