"""Entries of Rekor version 2: hashedrekord 0.0.2 and dsse 0.0.2 (rekor-tiles, `api/proto/rekor/v2`; protobuf-specs).

Rules of this module:
- The log writes each body in one canonical spelling. So a body is never merely read: `check_binds` of binding.py has it
  written anew from what is in hand, and compares all bytes.
- What a body chooses, the hash and the kind of key, is read here from a short list, and must fit the key in hand.
"""

from __future__ import annotations

from typing import Any, Literal

from bundler import limits
from bundler.encoding import encode_base64
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.strict_json import format_canonical
from bundler.value import dataclass

_WHAT = "log entry"
HASHES = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}

# Kinds of keys as the log names them, and as `identity.keys` does.
KEY_DETAILS = {
    "PKIX_ECDSA_P256_SHA_256": "ECDSA P-256",
    "PKIX_ECDSA_P384_SHA_384": "ECDSA P-384",
    "PKIX_ECDSA_P384_SHA_256": "ECDSA P-384",
    "PKIX_ECDSA_P521_SHA_512": "ECDSA P-521",
    "PKIX_ECDSA_P521_SHA_256": "ECDSA P-521",
    "PKIX_ED25519": "Ed25519",
    "PKIX_ED25519_PH": "Ed25519",
    **{
        f"PKIX_RSA_{padding}_{bits}_SHA256": f"RSA {bits}"
        for bits in (2048, 3072, 4096)
        for padding in ("PKCS1V15", "PSS")
    },
}


@dataclass(frozen=True, slots=True)
class LoggedContent:
    """hashedrekord 0.0.2: what the body chose; the rest of it is compared as a whole."""

    hash_algorithm: str
    key_details: str
    verifier_kind: Literal["certificate", "key"]
    kind: str = "hashedrekord 0.0.2"


@dataclass(frozen=True, slots=True)
class LoggedEnvelope:
    """dsse 0.0.2: likewise."""

    hash_algorithm: str
    key_details: str
    verifier_kind: Literal["certificate", "key"]
    kind: str = "dsse 0.0.2"


def parse_hashed_rekord_v2(spec: Fields) -> LoggedContent:
    """Read what a hashedrekord 0.0.2 body chose.

    Raises:
        MalformedError: another shape.
    """
    spec.exactly("hashedRekordV002")
    inner = spec.fields("hashedRekordV002")
    inner.exactly("data", "signature")
    details, kind = _parse_signature(inner.fields("signature"))
    return LoggedContent(_parse_hash(inner.fields("data")), details, kind)


def parse_dsse_v2(spec: Fields) -> LoggedEnvelope:
    """Read what a dsse 0.0.2 body chose. One signature, as in every envelope that we accept.

    Raises:
        MalformedError: another shape.
    """
    spec.exactly("dsseV002")
    inner = spec.fields("dsseV002")
    inner.exactly("payloadHash", "signatures")
    signatures = list(inner.each("signatures", maximum=limits.LOG_ENTRIES))
    if len(signatures) != 1:
        raise MalformedError("log-entry", _WHAT, inner.where, got=f"{len(signatures)} signatures", want="exactly one")
    details, kind = _parse_signature(signatures[0])
    return LoggedEnvelope(_parse_hash(inner.fields("payloadHash")), details, kind)


def format_hashed_rekord_v2(entry: LoggedContent, hashed: bytes, signature: bytes, verifier_der: bytes) -> bytes:
    """The body that a log writes for this signature over content with this hash."""
    spec = {"data": _hash(entry, hashed), "signature": _signature(entry, signature, verifier_der)}
    return _format("hashedrekord", {"hashedRekordV002": spec})


def format_dsse_v2(entry: LoggedEnvelope, hashed: bytes, signature: bytes, verifier_der: bytes) -> bytes:
    """The body that a log writes for this signature in an envelope whose payload has this hash."""
    spec = {"payloadHash": _hash(entry, hashed), "signatures": [_signature(entry, signature, verifier_der)]}
    return _format("dsse", {"dsseV002": spec})


def _format(kind: str, spec: Any) -> bytes:
    return format_canonical({"apiVersion": "0.0.2", "kind": kind, "spec": spec}, _WHAT)


def _hash(entry: LoggedContent | LoggedEnvelope, hashed: bytes) -> dict[str, str]:
    return {"algorithm": entry.hash_algorithm, "digest": encode_base64(hashed)}


def _signature(entry: LoggedContent | LoggedEnvelope, signature: bytes, verifier_der: bytes) -> dict[str, Any]:
    name = "x509Certificate" if entry.verifier_kind == "certificate" else "publicKey"
    verifier = {"keyDetails": entry.key_details, name: {"rawBytes": encode_base64(verifier_der)}}
    return {"content": encode_base64(signature), "verifier": verifier}


def _parse_hash(fields: Fields) -> str:
    fields.exactly("algorithm", "digest")
    algorithm = fields.text("algorithm")
    if algorithm not in HASHES:
        raise MalformedError("log-entry", _WHAT, fields.where, got=algorithm[:80], want=" or ".join(HASHES))
    return algorithm


def _parse_signature(fields: Fields) -> tuple[str, Literal["certificate", "key"]]:
    fields.exactly("content", "verifier")
    verifier = fields.fields("verifier")
    is_certificate = "x509Certificate" in verifier
    verifier.exactly("keyDetails", "x509Certificate" if is_certificate else "publicKey")
    details = verifier.text("keyDetails")
    if details not in KEY_DETAILS:
        raise MalformedError("log-entry", _WHAT, verifier.where, got=details[:80], want="a kind of key that is known")
    return details, "certificate" if is_certificate else "key"
