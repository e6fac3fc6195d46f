"""Logs of the simulated Sigstore: Rekor 1 with promises, certificate logs with SCTs, and the bodies of entries."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.encoding import encode_base64
from bundler.evidence.envelope import IN_TOTO
from bundler.transparency.promise import Promise, signed_message
from tests.simulators.sigstore_keys import Window, as_window, sign, to_json


@dataclass(frozen=True)
class Log:
    """A log with its own key: Rekor, or a certificate log."""

    url: str
    key: ec.EllipticCurvePrivateKey

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo."""
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def log_id(self) -> bytes:
        """SHA-256 of the key (RFC 6962)."""
        return hashlib.sha256(self.spki).digest()

    def promise(self, body: bytes, *, at: datetime, index: int = 7, log_id: bytes | None = None) -> Promise:
        """A promise for an entry. `log_id` lets it claim to be another log's."""
        unsigned = Promise(body, int(at.timestamp()), log_id or self.log_id, index, b"")
        return replace(unsigned, signature=sign(self.key, signed_message(unsigned)))

    def timestamp(
        self, precertificate: bytes, issuer_key_hash: bytes, *, at: datetime, extensions: bytes = b""
    ) -> bytes:
        """An SCT (RFC 6962 section 3.2)."""
        milliseconds = (int(at.timestamp() * 1000)).to_bytes(8, "big")
        tail = len(extensions).to_bytes(2, "big") + extensions
        message = (
            b"\0\0" + milliseconds + b"\0\1" + issuer_key_hash
            + len(precertificate).to_bytes(3, "big") + precertificate + tail
        )  # fmt: skip
        signature = sign(self.key, message)
        return b"\0" + self.log_id + milliseconds + tail + b"\4\3" + len(signature).to_bytes(2, "big") + signature

    def trusted(self, window: Window) -> dict[str, Any]:
        """Its entry in a trusted root."""
        return {
            "baseUrl": self.url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": encode_base64(self.spki),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": as_window(window),
            },
            "logId": {"keyId": encode_base64(self.log_id)},
        }


def hashedrekord_body(payload: bytes, signature: bytes, verifier_pem: str) -> bytes:
    """A hashedrekord 0.0.1 entry."""
    return _body(
        "hashedrekord",
        {
            "data": {"hash": _hash(payload)},
            "signature": {"content": encode_base64(signature), "publicKey": {"content": _encoded(verifier_pem)}},
        },
    )


def dsse_body(envelope: bytes, payload: bytes, signature: bytes, verifier_pem: str) -> bytes:
    """A dsse 0.0.1 entry."""
    signatures = [{"signature": encode_base64(signature), "verifier": _encoded(verifier_pem)}]
    return _body("dsse", {"envelopeHash": _hash(envelope), "payloadHash": _hash(payload), "signatures": signatures})


def intoto_body(envelope: bytes, payload: bytes | None, verifier_pem: str) -> bytes:
    """An intoto 0.0.1 entry; older ones lack the payload's hash."""
    content = {"hash": _hash(envelope), **({"payloadHash": _hash(payload)} if payload is not None else {})}
    return _body("intoto", {"content": content, "publicKey": _encoded(verifier_pem)})


def intoto_v2_body(envelope: bytes, payload: bytes, signature: bytes, verifier_pem: str, **more: str) -> bytes:
    """An intoto 0.0.2 entry: the signature is base64 of base64; `more` are further fields of the envelope."""
    signatures = [{"publicKey": _encoded(verifier_pem), "sig": _encoded(encode_base64(signature))}]
    inner = {"payloadType": IN_TOTO, "signatures": signatures, **more}
    content = {"envelope": inner, "hash": _hash(envelope), "payloadHash": _hash(payload)}
    return _body("intoto", {"content": content}, "0.0.2")


def hashedrekord_v2_body(content: bytes, signature: bytes, der: bytes, **knobs: Any) -> bytes:
    """A hashedrekord 0.0.2 entry, as Rekor 2 writes it. `content` is a payload, an artifact or an envelope's PAE."""
    data = _hash_v2(content, knobs.get("algorithm", "SHA2_256"))
    spec = {"data": data, "signature": _signature_v2(signature, der, **knobs)}
    return _body("hashedrekord", {"hashedRekordV002": spec}, "0.0.2")


def dsse_v2_body(payload: bytes, signature: bytes, der: bytes, **knobs: Any) -> bytes:
    """A dsse 0.0.2 entry."""
    hashed = _hash_v2(payload, knobs.get("algorithm", "SHA2_256"))
    spec = {"payloadHash": hashed, "signatures": [_signature_v2(signature, der, **knobs)]}
    return _body("dsse", {"dsseV002": spec}, "0.0.2")


def _signature_v2(signature: bytes, der: bytes, *, certificate: bool = True, **knobs: Any) -> dict[str, Any]:
    name = "x509Certificate" if certificate else "publicKey"
    details = knobs.get("details", "PKIX_ECDSA_P256_SHA_256")
    verifier = {"keyDetails": details, name: {"rawBytes": encode_base64(der)}}
    return {"content": encode_base64(signature), "verifier": verifier}


def _hash_v2(raw: bytes, algorithm: str) -> dict[str, str]:
    return {"algorithm": algorithm, "digest": encode_base64(hashlib.new(f"sha{algorithm[-3:]}", raw).digest())}


def _body(kind: str, spec: object, version: str = "0.0.1") -> bytes:
    return to_json({"apiVersion": version, "kind": kind, "spec": spec})


def _hash(raw: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(raw).hexdigest()}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
