"""Entries of Rekor version 1, as their bodies say it; version 2 is in entry_v2.py, what they bind in binding.py.

Kinds: hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.1 and 0.0.2 (rekor `pkg/types/*/v0.0.*`).

Rules of this module:
- Bodies are read strictly: the fields of the kind, nothing else.
- Certificates are kept as DER, keys as SubjectPublicKeyInfo, signatures as bytes, hashes in lower-case hex.
- intoto 0.0.2 holds each signature as base64 of base64, and the payload likewise where it is there at all; its
  verifiers are PEM in base64, or in base64 twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from bundler import limits
from bundler.encoding import decode_base64, parse_loose_pem
from bundler.errors import MalformedError, RejectedError
from bundler.fields import Fields
from bundler.strict_json import parse_foreign
from bundler.transparency.entry_v2 import LoggedContent, LoggedEnvelope, parse_dsse_v2, parse_hashed_rekord_v2
from bundler.value import dataclass

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


@dataclass(frozen=True, slots=True)
class LoggedIntotoV2:
    """intoto 0.0.2: an envelope by its payload's hash (some entries hold the payload too) and its signatures.

    `envelope` is the hash of some spelling of the envelope, that of the client that logged it: it binds nothing.
    """

    payload_type: str
    payload: LoggedHash
    payload_bytes: bytes | None
    signatures: tuple[tuple[bytes, LoggedVerifier], ...]
    envelope: LoggedHash
    kind: str = "intoto 0.0.2"


LogEntry = HashedRekord | LoggedDsse | LoggedIntoto | LoggedIntotoV2 | LoggedContent | LoggedEnvelope


def parse_entry(body: bytes) -> LogEntry:
    """Read the body of a log entry.

    Raises:
        RejectedError: a kind or version that binds nothing we know (code ``tlog-kind``).
        MalformedError: not of the shape of its kind.
    """
    fields = Fields(parse_foreign(body, _WHAT, max_bytes=limits.LOG_ENTRY_BYTES), _WHAT)
    fields.exactly("apiVersion", "kind", "spec")
    kind = f"{fields.text('kind')} {fields.text('apiVersion')}"
    parsers: dict[str, Callable[[Fields], LogEntry]] = {
        "hashedrekord 0.0.1": _parse_hashed_rekord,
        "dsse 0.0.1": _parse_dsse,
        "intoto 0.0.1": _parse_intoto,
        "intoto 0.0.2": _parse_intoto_v2,
        "hashedrekord 0.0.2": parse_hashed_rekord_v2,
        "dsse 0.0.2": parse_dsse_v2,
    }
    parse = parsers.get(kind)
    if parse is None:
        raise RejectedError(
            "tlog-kind", _WHAT, got=kind[:80], want="hashedrekord or dsse 0.0.1 or 0.0.2, intoto 0.0.1 or 0.0.2"
        )
    return parse(fields.fields("spec"))


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


def _parse_intoto_v2(spec: Fields) -> LoggedIntotoV2:
    spec.exactly("content")
    content = spec.fields("content")
    content.exactly("envelope", "hash", "payloadHash")
    envelope = content.fields("envelope")
    envelope.only("payload", "payloadType", "signatures")
    signatures = []
    for signature in envelope.each("signatures", maximum=limits.LOG_ENTRIES):
        signature.only("keyid", "publicKey", "sig")
        signature.optional_text("keyid")
        raw = _decode_twice(signature.text("sig"), "signature")
        signatures.append((raw, _parse_verifier(signature.text("publicKey"), encoded_twice=True)))
    return LoggedIntotoV2(
        payload_type=envelope.text("payloadType"),
        payload=_parse_hash(content.fields("payloadHash")),
        payload_bytes=_decode_twice(envelope.text("payload"), "payload") if "payload" in envelope else None,
        signatures=tuple(signatures),
        envelope=_parse_hash(content.fields("hash")),
    )


def _decode_twice(text: str, which: str) -> bytes:
    inner = decode_base64(text, _WHAT, which)
    try:
        return decode_base64(inner.decode("ascii"), _WHAT, which)
    except UnicodeDecodeError as error:
        raise MalformedError("log-entry", _WHAT, which, got="not ASCII", want="base64 of base64") from error


def _parse_hash(fields: Fields) -> LoggedHash:
    fields.exactly("algorithm", "value")
    logged = LoggedHash(fields.text("algorithm"), fields.text("value"))
    size = _HASH_BYTES.get(logged.algorithm)
    if size is None or len(logged.value) != 2 * size or not set(logged.value) <= set("0123456789abcdef"):
        raise MalformedError(
            "log-entry", _WHAT, fields.where, got=f"{logged.algorithm}:{logged.value}"[:100], want="SHA-2 in hex"
        )
    return logged


def _parse_verifier(text: str, *, encoded_twice: bool = False) -> LoggedVerifier:
    """A PEM block in base64: a certificate or a key.

    The log keeps the block as the client wrote it, lines of any length; it is proved byte for byte and compared as DER.
    """
    raw = decode_base64(text, _WHAT, "verifier")
    if encoded_twice and not raw.startswith(b"-----"):
        raw = _decode_twice(text, "verifier")
    try:
        label, der = parse_loose_pem(raw.decode("ascii"), _WHAT)
    except UnicodeDecodeError as error:
        raise MalformedError("log-entry", _WHAT, "verifier", got="not ASCII", want="PEM") from error
    if label not in _LABELS:
        raise MalformedError("log-entry", _WHAT, "verifier", got=f"PEM {label}"[:80], want="CERTIFICATE or PUBLIC KEY")
    return LoggedVerifier(_LABELS[label], der)
