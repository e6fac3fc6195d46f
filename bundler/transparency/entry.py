"""Entries of Rekor version 1, and what binds them to the signature in hand.

Kinds: hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.1 (rekor `pkg/types/*/v0.0.1`).

Rules of this module:
- A log accepts anybody's entry. One proves something about a signature only when it names the same content, the same
  signature and the same key or certificate (CVE-2022-23649, CVE-2022-36056, CVE-2026-22703).
- Certificates are compared as DER, keys as SubjectPublicKeyInfo; signatures as bytes; hashes are computed here.
- intoto 0.0.1 holds no signature: the hash of the whole envelope binds it.
- Bodies are read strictly: the fields of the kind, nothing else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from bundler import limits
from bundler.encoding import decode_base64, parse_pem
from bundler.errors import MalformedError, RejectedError
from bundler.fields import Fields
from bundler.strict_json import parse_foreign

_WHAT = "log entry"
_HASH_BYTES = {"sha256": 32, "sha384": 48, "sha512": 64}
_LABELS: dict[str, Literal["certificate", "key"]] = {"CERTIFICATE": "certificate", "PUBLIC KEY": "key"}


@dataclass(frozen=True, slots=True)
class LoggedVerifier:
    """Who signed, as a log entry names it: a certificate or a key (SubjectPublicKeyInfo), in DER."""

    kind: Literal["certificate", "key"]
    der: bytes


@dataclass(frozen=True, slots=True)
class LoggedHash:
    """A hash in a log entry."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class HashedRekord:
    """hashedrekord 0.0.1: a signature over content with this hash."""

    artifact: LoggedHash
    signature: bytes
    verifier: LoggedVerifier
    kind: str = "hashedrekord 0.0.1"


@dataclass(frozen=True, slots=True)
class LoggedDsse:
    """dsse 0.0.1: an envelope by the hash of its bytes and of its payload, with its signatures."""

    envelope: LoggedHash
    payload: LoggedHash
    signatures: tuple[tuple[bytes, LoggedVerifier], ...]
    kind: str = "dsse 0.0.1"


@dataclass(frozen=True, slots=True)
class LoggedIntoto:
    """intoto 0.0.1: an envelope by the hash of its bytes; older entries lack the hash of the payload."""

    envelope: LoggedHash
    payload: LoggedHash | None
    verifier: LoggedVerifier
    kind: str = "intoto 0.0.1"


LogEntry = HashedRekord | LoggedDsse | LoggedIntoto


def parse_entry(body: bytes) -> LogEntry:
    """Read the body of a log entry.

    Raises:
        RejectedError: a kind or version that binds nothing we know (code ``tlog-kind``).
        MalformedError: not of the shape of its kind.
    """
    fields = Fields(parse_foreign(body, _WHAT, max_bytes=limits.LOG_ENTRY_BYTES), _WHAT)
    fields.exactly("apiVersion", "kind", "spec")
    kind = f"{fields.text('kind')} {fields.text('apiVersion')}"
    spec = fields.fields("spec")
    if kind == "hashedrekord 0.0.1":
        return _parse_hashed_rekord(spec)
    if kind == "dsse 0.0.1":
        return _parse_dsse(spec)
    if kind == "intoto 0.0.1":
        return _parse_intoto(spec)
    raise RejectedError("tlog-kind", _WHAT, got=kind[:80], want="hashedrekord 0.0.1, dsse 0.0.1 or intoto 0.0.1")


def check_binds_payload(entry: LogEntry, payload: bytes, signature: bytes, verifier: LoggedVerifier) -> None:
    """Check that the entry is about this signature over this payload (simple signing).

    Raises:
        RejectedError: code ``tlog-binding``.
    """
    if not isinstance(entry, HashedRekord):
        raise _unbound(f"an entry of kind {entry.kind}", "hashedrekord 0.0.1 for a signature over a payload")
    _check_hash(entry.artifact, payload, "the signed payload")
    if entry.signature != signature:
        raise _unbound("another signature", "the signature in hand")
    _check_verifier(entry.verifier, verifier)


def check_binds_envelope(
    entry: LogEntry, envelope: bytes, payload: bytes, signature: bytes, verifier: LoggedVerifier
) -> None:
    """Check that the entry is about this DSSE envelope, byte for byte, its one signature and its signer.

    Raises:
        RejectedError: code ``tlog-binding``.
    """
    if isinstance(entry, HashedRekord):
        raise _unbound(f"an entry of kind {entry.kind}", "dsse 0.0.1 or intoto 0.0.1 for an envelope")
    _check_hash(entry.envelope, envelope, "the envelope's bytes")
    if entry.payload is not None:
        _check_hash(entry.payload, payload, "the envelope's payload")
    if isinstance(entry, LoggedIntoto):
        _check_verifier(entry.verifier, verifier)
        return
    if len(entry.signatures) != 1 or entry.signatures[0][0] != signature:
        raise _unbound("other signatures", "the one signature in hand")
    _check_verifier(entry.signatures[0][1], verifier)


def _check_hash(logged: LoggedHash, raw: bytes, of: str) -> None:
    computed = hashlib.new(logged.algorithm, raw).hexdigest()
    if computed != logged.value:
        raise _unbound(f"{logged.algorithm} {logged.value}", f"{computed}, the hash of {of}")


def _check_verifier(logged: LoggedVerifier, verifier: LoggedVerifier) -> None:
    if logged != verifier:
        raise _unbound(f"another {logged.kind}", f"the {verifier.kind} in hand")


def _parse_hashed_rekord(spec: Fields) -> HashedRekord:
    spec.exactly("data", "signature")
    data, signature = spec.fields("data"), spec.fields("signature")
    data.exactly("hash")
    signature.exactly("content", "publicKey")
    key = signature.fields("publicKey")
    key.exactly("content")
    return HashedRekord(
        artifact=_parse_hash(data.fields("hash")),
        signature=decode_base64(signature.text("content"), _WHAT, "signature"),
        verifier=_parse_verifier(key.text("content")),
    )


def _parse_dsse(spec: Fields) -> LoggedDsse:
    spec.exactly("envelopeHash", "payloadHash", "signatures")
    signatures = []
    for signature in spec.each("signatures", maximum=limits.LOG_ENTRIES):
        signature.exactly("signature", "verifier")
        raw = decode_base64(signature.text("signature"), _WHAT, "signature")
        signatures.append((raw, _parse_verifier(signature.text("verifier"))))
    return LoggedDsse(
        envelope=_parse_hash(spec.fields("envelopeHash")),
        payload=_parse_hash(spec.fields("payloadHash")),
        signatures=tuple(signatures),
    )


def _parse_intoto(spec: Fields) -> LoggedIntoto:
    spec.exactly("content", "publicKey")
    content = spec.fields("content")
    content.only("hash", "payloadHash")
    return LoggedIntoto(
        envelope=_parse_hash(content.fields("hash")),
        payload=_parse_hash(content.fields("payloadHash")) if "payloadHash" in content else None,
        verifier=_parse_verifier(spec.text("publicKey")),
    )


def _parse_hash(fields: Fields) -> LoggedHash:
    fields.exactly("algorithm", "value")
    logged = LoggedHash(fields.text("algorithm"), fields.text("value"))
    size = _HASH_BYTES.get(logged.algorithm)
    if size is None or len(logged.value) != 2 * size or not set(logged.value) <= set("0123456789abcdef"):
        raise MalformedError(
            "log-entry", _WHAT, fields.where, got=f"{logged.algorithm}:{logged.value}"[:100], want="SHA-2 in hex"
        )
    return logged


def _parse_verifier(text: str) -> LoggedVerifier:
    """A PEM block in base64: a certificate or a key."""
    raw = decode_base64(text, _WHAT, "verifier")
    try:
        label, der = parse_pem(raw.decode("ascii"), _WHAT)
    except UnicodeDecodeError as error:
        raise MalformedError("log-entry", _WHAT, "verifier", got="not ASCII", want="PEM") from error
    if label not in _LABELS:
        raise MalformedError("log-entry", _WHAT, "verifier", got=f"PEM {label}"[:80], want="CERTIFICATE or PUBLIC KEY")
    return LoggedVerifier(_LABELS[label], der)


def _unbound(got: str, want: str) -> RejectedError:
    return RejectedError("tlog-binding", _WHAT, got=got, want=want)
