"""What binds a log entry to the signature in hand (CVE-2022-23649, CVE-2022-36056, CVE-2026-22703).

Rules of this module:
- A log accepts anybody's entry. One proves something about a signature only when it names the same content, the same
  signature and the same key or certificate. Whatever it names beside these must agree too.
- Certificates are compared as DER, keys as SubjectPublicKeyInfo, signatures as bytes; hashes are computed here.
- Entries of version 2 are written anew from what is in hand, and compared byte for byte.
- An envelope's bytes are known when it travels as a file (`.att`); then their hash must be the logged one. In a
  Sigstore bundle they are not. There, payload and signature bind; intoto 0.0.1 holds no signature, so the hash must be
  that of the envelope as cosign spells it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bundler.digest import Content
from bundler.errors import RejectedError
from bundler.transparency.entry import (
    HashedRekord,
    LogEntry,
    LoggedDsse,
    LoggedHash,
    LoggedIntoto,
    LoggedIntotoV2,
    LoggedVerifier,
)
from bundler.transparency.entry_v2 import (
    HASHES,
    KEY_DETAILS,
    LoggedContent,
    LoggedEnvelope,
    format_dsse_v2,
    format_hashed_rekord_v2,
)
from bundler.value import dataclass, field

_WHAT = "log entry"


@dataclass(frozen=True, slots=True)
class EnvelopeParts:
    """A DSSE envelope, as far as log entries name it.

    Attributes:
        spellings: the envelope's bytes: the one that is known, or those that it may have had when it was logged.
        exact: whether the bytes are known, so that every hash of them must agree.
    """

    payload_type: str
    payload: bytes = field(repr=False)
    spellings: Sequence[bytes] = field(repr=False)
    exact: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """What an entry has to be about.

    Attributes:
        content: what the signature is over: a payload, an artifact, or an envelope's PAE.
        key_algorithm: of the signer's key, as `identity.keys` names it.
        envelope: for DSSE; None for a plain signature.
    """

    content: Content
    signature: bytes
    verifier: LoggedVerifier
    key_algorithm: str
    envelope: EnvelopeParts | None = None


def check_binds(entry: LogEntry, body: bytes, claim: Claim) -> None:
    """Check that an entry is about this very signature.

    Args:
        entry: as read from `body`.
        body: the entry's bytes, as promised or proved.
        claim: what is in hand.

    Raises:
        RejectedError: code ``tlog-binding``.
    """
    if isinstance(entry, LoggedContent):
        _check_content_v2(entry, body, claim)
    elif isinstance(entry, HashedRekord):
        _check_hashed_rekord(entry, claim)
    elif claim.envelope is None:
        raise _unbound(f"an entry of kind {entry.kind}", "hashedrekord for a signature without an envelope")
    elif isinstance(entry, LoggedDsse):
        _check_dsse(entry, claim, claim.envelope)
    elif isinstance(entry, LoggedIntoto):
        _check_intoto(entry, claim, claim.envelope)
    elif isinstance(entry, LoggedIntotoV2):
        _check_intoto_v2(entry, claim, claim.envelope)
    else:
        _check_envelope_v2(entry, body, claim, claim.envelope)


def _check_hashed_rekord(entry: HashedRekord, claim: Claim) -> None:
    if claim.envelope is not None:
        raise _unbound(f"an entry of kind {entry.kind}", "dsse or intoto for an envelope")
    hashed = claim.content.hash(entry.artifact.algorithm)
    if hashed is None or hashed.hex() != entry.artifact.value:
        raise _unbound(f"{entry.artifact.algorithm} {entry.artifact.value}", "the hash of what was signed")
    if entry.signature != claim.signature:
        raise _unbound("another signature", "the signature in hand")
    _check_verifier(entry.verifier, claim.verifier)


def _check_dsse(entry: LoggedDsse, claim: Claim, envelope: EnvelopeParts) -> None:
    if envelope.exact:
        _check_spelling(entry.envelope, envelope)
    _check_hash(entry.payload, envelope.payload, "the envelope's payload")
    _check_only_signature(entry.signatures, claim)


def _check_intoto(entry: LoggedIntoto, claim: Claim, envelope: EnvelopeParts) -> None:
    _check_spelling(entry.envelope, envelope)
    if entry.payload is not None:
        _check_hash(entry.payload, envelope.payload, "the envelope's payload")
    _check_verifier(entry.verifier, claim.verifier)


def _check_intoto_v2(entry: LoggedIntotoV2, claim: Claim, envelope: EnvelopeParts) -> None:
    if entry.payload_type != envelope.payload_type:
        raise _unbound(f"payload type {entry.payload_type[:80]}", envelope.payload_type)
    _check_hash(entry.payload, envelope.payload, "the envelope's payload")
    if entry.payload_bytes is not None and entry.payload_bytes != envelope.payload:
        raise _unbound("another payload", "the payload in hand")
    _check_only_signature(entry.signatures, claim)


def _check_content_v2(entry: LoggedContent, body: bytes, claim: Claim) -> None:
    """For an envelope, the content is its PAE."""
    _check_choice(entry, claim)
    hashed = claim.content.hash(HASHES[entry.hash_algorithm])
    if hashed is None or format_hashed_rekord_v2(entry, hashed, claim.signature, claim.verifier.der) != body:
        raise _unbound("an entry about another signature, content or signer", "the entry of this very signature")


def _check_envelope_v2(entry: LoggedEnvelope, body: bytes, claim: Claim, envelope: EnvelopeParts) -> None:
    _check_choice(entry, claim)
    hashed = hashlib.new(HASHES[entry.hash_algorithm], envelope.payload).digest()
    if format_dsse_v2(entry, hashed, claim.signature, claim.verifier.der) != body:
        raise _unbound("an entry about another signature, payload or signer", "the entry of this very signature")


def _check_choice(entry: LoggedContent | LoggedEnvelope, claim: Claim) -> None:
    if KEY_DETAILS[entry.key_details] != claim.key_algorithm or entry.verifier_kind != claim.verifier.kind:
        raise _unbound(f"{entry.verifier_kind} {entry.key_details}", f"{claim.verifier.kind} {claim.key_algorithm}")


def _check_only_signature(logged: Sequence[tuple[bytes, LoggedVerifier]], claim: Claim) -> None:
    if len(logged) != 1 or logged[0][0] != claim.signature:
        raise _unbound("other signatures", "the one signature in hand")
    _check_verifier(logged[0][1], claim.verifier)


def _check_spelling(logged: LoggedHash, envelope: EnvelopeParts) -> None:
    if not any(_hash(logged, spelling) == logged.value for spelling in envelope.spellings):
        raise _unbound(f"{logged.algorithm} {logged.value}", "the hash of the envelope's bytes")


def _check_hash(logged: LoggedHash, raw: bytes, of: str) -> None:
    if _hash(logged, raw) != logged.value:
        raise _unbound(f"{logged.algorithm} {logged.value}", f"{_hash(logged, raw)}, the hash of {of}")


def _hash(logged: LoggedHash, raw: bytes) -> str:
    return hashlib.new(logged.algorithm, raw).hexdigest()


def _check_verifier(logged: LoggedVerifier, verifier: LoggedVerifier) -> None:
    if logged != verifier:
        raise _unbound(f"another {logged.kind}", f"the {verifier.kind} in hand")


def _unbound(got: str, want: str) -> RejectedError:
    return RejectedError("tlog-binding", _WHAT, got=got, want=want)
