"""One signature or attestation, verified whole (EVIDENCE: content, time, identity, log; in this order).

Rules of this module:
- Content first: the signature holds over the bytes in hand, and these are about the subject asked for.
- Then times: a log's time counts only under its verified promise. Then, at every time, the certificate's chain, the
  authority's window and the certificate's SCT. Last, the log entry must name this very content, signature and signer.
- A certificate or a key, never both, never neither: an item is verified the way the caller demanded.
- Without a promise a keyless item has no time and is refused; one made by a key is accepted with strength `none`, and
  says so. A promise that is there must hold; only `ignore_log`, typed in the policy, sets it aside, for keys alone.
- What was not checked is listed in `not_verified`. Whether the signer is the one wanted is the policy's question, so
  one verified item can be held against many demands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.evidence.cosign import CHAIN, PREDICATE_TYPE, CosignItem, CosignParts, parse_item
from bundler.evidence.kind import EvidenceKind
from bundler.evidence.simple_signing import parse_simple_signing
from bundler.evidence.statement import Statement, parse_statement
from bundler.identity.certificate import Certificate
from bundler.identity.chain import verify_chain
from bundler.identity.fulcio import CertificateIdentity, read_identity
from bundler.identity.keys import KeyIdentity, PublicKey
from bundler.identity.sct import VerifiedTimestamp, verify_embedded_scts
from bundler.transparency.entry import (
    LogEntry,
    LoggedVerifier,
    check_binds_envelope,
    check_binds_payload,
    parse_entry,
)
from bundler.transparency.promise import VerifiedPromise, open_promise
from bundler.verify.material import TrustedMaterial

Strength = Literal["promise", "none"]
Signer = CertificateIdentity | KeyIdentity

__all__ = [
    "CertificateIdentity",
    "KeyIdentity",
    "LogFact",
    "Signer",
    "Strength",
    "VerifiedSignature",
    "VerifiedTime",
    "verify_item",
]


@dataclass(frozen=True, slots=True)
class VerifiedTime:
    """A time that somebody trusted vouched for."""

    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class LogFact:
    """Where a log promised to hold the entry about this item."""

    log_url: str
    log_id: bytes
    log_index: int
    integrated_at: datetime
    entry_kind: str


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature or attestation about `subject` that holds.

    Attributes:
        kind: `cosign-signature` or `cosign-attestation`.
        subject: what it is about: the digest the caller computed.
        manifest, position: where it stands.
        signer: who signed, as a trusted authority or the key says.
        times: verified times; empty for a key without a promise.
        log: the promise, if one was verified.
        strength: how well it was logged: `promise`, or `none`.
        scts: the certificate's promises by certificate logs; empty for keys.
        statement, predicate_type: of an attestation; None for a signature.
        claimed_reference: of a signature: the signer's `docker-reference`, a claim; None for an attestation.
        not_verified: what the item carries and this verification did not use or check, one phrase each.
    """

    kind: EvidenceKind
    subject: Digest
    manifest: Digest
    position: int
    signer: Signer
    times: tuple[VerifiedTime, ...]
    log: LogFact | None
    strength: Strength
    scts: tuple[VerifiedTimestamp, ...]
    statement: Statement | None = field(repr=False)
    claimed_reference: str | None
    not_verified: tuple[str, ...]

    @property
    def predicate_type(self) -> str | None:
        """From inside the signed statement; None for a signature."""
        return self.statement.predicate_type if self.statement else None


@dataclass(frozen=True, slots=True)
class _Content:
    """What the signed bytes say, once the signature over them held."""

    statement: Statement | None
    claimed_reference: str | None


def verify_item(
    item: CosignItem,
    subject: Digest,
    *,
    material: TrustedMaterial | None = None,
    key: PublicKey | None = None,
    ignore_log: bool = False,
) -> VerifiedSignature:
    """Verify one item of a `.sig` or `.att` manifest.

    Args:
        item: as read by `evidence.cosign.read_items`.
        subject: digest of the manifest or index that it must be about, computed by the caller.
        material: the trusted root: authorities and logs. Needed for keyless items, and for promises.
        key: the publisher's key; None demands a keyless item.
        ignore_log: for keys: do not check a promise. Without effect on keyless items, whose time comes from it.

    Raises:
        RejectedError: the first check that does not hold; the code names it.
    """
    parts = parse_item(item)
    if (parts.certificate is None) == (key is None):
        raise _wrong_material(has_certificate=parts.certificate is not None)
    signing_key = key if parts.certificate is None else parts.certificate.key
    if signing_key is None:
        raise _wrong_material(has_certificate=False)
    content = _verify_content(item, parts, signing_key, subject)
    use_log = parts.promise is not None and not (ignore_log and key is not None)
    promise = _open_promise(parts, material) if use_log else None
    times = _times(promise)
    scts: tuple[VerifiedTimestamp, ...] = ()
    signer: Signer = KeyIdentity(signing_key.fingerprint)
    if parts.certificate is not None:
        signer, scts = _verify_certificate(parts.certificate, times, material)
    entry = _verify_binding(item, parts, promise, signing_key) if promise else None
    return VerifiedSignature(
        kind=item.kind,
        subject=subject,
        manifest=item.manifest,
        position=item.position,
        signer=signer,
        times=times,
        log=_log_fact(promise, entry) if promise and entry else None,
        strength="promise" if promise else "none",
        scts=scts,
        statement=content.statement,
        claimed_reference=content.claimed_reference,
        not_verified=_not_verified(item, log_ignored=parts.promise is not None and promise is None),
    )


def _verify_content(item: CosignItem, parts: CosignParts, key: PublicKey, subject: Digest) -> _Content:
    """The signature holds, and what it signs is about `subject`."""
    key.verify(parts.signature, parts.signed_bytes)
    if parts.envelope is not None:
        statement = parse_statement(parts.envelope.payload)
        statement.check_subject(subject)
        return _Content(statement, None)
    payload = parse_simple_signing(item.raw)
    payload.check_manifest(subject)
    return _Content(None, payload.claimed_reference)


def _open_promise(parts: CosignParts, material: TrustedMaterial | None) -> VerifiedPromise | None:
    return open_promise(parts.promise, material.logs if material else ()) if parts.promise else None


def _times(promise: VerifiedPromise | None) -> tuple[VerifiedTime, ...]:
    return (VerifiedTime(promise.integrated_at, promise.log.url),) if promise else ()


def _verify_certificate(
    certificate: Certificate, times: tuple[VerifiedTime, ...], material: TrustedMaterial | None
) -> tuple[CertificateIdentity, tuple[VerifiedTimestamp, ...]]:
    """Chain at every time, then the promises of the certificate logs, then the name."""
    authorities = material.authorities if material else ()
    path = verify_chain(certificate, authorities, [time.at for time in times])
    scts = verify_embedded_scts(certificate, path.issuer, material.certificate_logs if material else ())
    return read_identity(certificate), scts


def _verify_binding(item: CosignItem, parts: CosignParts, promise: VerifiedPromise, key: PublicKey) -> LogEntry:
    """The promised entry is about this item."""
    entry = parse_entry(promise.body)
    if parts.certificate is not None:
        verifier = LoggedVerifier("certificate", parts.certificate.der)
    else:
        verifier = LoggedVerifier("key", key.spki)
    if parts.envelope is not None:
        check_binds_envelope(entry, item.raw, parts.envelope.payload, parts.signature, verifier)
    else:
        check_binds_payload(entry, item.raw, parts.signature, verifier)
    return entry


def _log_fact(promise: VerifiedPromise, entry: LogEntry) -> LogFact:
    return LogFact(promise.log.url, promise.log.log_id, promise.log_index, promise.integrated_at, entry.kind)


def _not_verified(item: CosignItem, *, log_ignored: bool) -> tuple[str, ...]:
    """What is malleable or not looked at (EVIDENCE 2.6), so that no report takes it for verified."""
    notes = []
    if item.annotations.get(CHAIN):
        notes.append("annotation chain: not used, intermediates come from the trusted root")
    if item.annotations.get(PREDICATE_TYPE):
        notes.append("annotation predicateType: not used, the type comes from the statement")
    if item.has_timestamp:
        notes.append("RFC 3161 timestamp: not checked")
    if log_ignored:
        notes.append("inclusion promise: ignored, as the policy says")
    return tuple(notes)


def _wrong_material(*, has_certificate: bool) -> RejectedError:
    got, want = (
        ("a certificate", "a signature by the key given")
        if has_certificate
        else ("no certificate", "a keyless signature, or a key to check with")
    )
    return RejectedError("key-material", "signature", got=got, want=want)
