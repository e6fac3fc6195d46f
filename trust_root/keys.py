"""Public keys of the trust root, signatures by them, and what counts as one signer.

Rules of this module:
- Key ids are hints, never gates: who signed is counted by key material (SHA-256 of the SubjectPublicKeyInfo), so one
  key under two ids counts once.
- Ed25519 is what we make unless told otherwise: its signatures are the same each time, so bundles can be reproduced.
  ECDSA on P-256 and P-384 is there too, since hardware tokens often know nothing else; then only the low of the two
  values of s is a signature, in DER, so that nobody can respell it.
- One spelling per key: Ed25519 as 64 hex digits; ECDSA as a PEM block on one line (canonical JSON has no line breaks).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bundler.digest import Digest, sha256_of
from bundler.encoding import format_pem, parse_pem
from bundler.errors import MalformedError
from bundler.strict_json import format_canonical
from bundler.value import dataclass
from trust_root.tuf_library import Key, SSlibKey

PublicKey = Ed25519PublicKey | ec.EllipticCurvePublicKey
PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey

ED25519 = ("ed25519", "ed25519")
ECDSA_P256 = ("ecdsa", "ecdsa-sha2-nistp256")
ECDSA_P384 = ("ecdsa", "ecdsa-sha2-nistp384")
KINDS: Mapping[str, tuple[str, str]] = {"ed25519": ED25519, "ecdsa-p256": ECDSA_P256, "ecdsa-p384": ECDSA_P384}
# Order of the group, FIPS 186-5 via SEC 2: a signature's s is taken from the lower half.
_CURVES: Mapping[tuple[str, str], tuple[type[ec.EllipticCurve], hashes.HashAlgorithm, int]] = {
    ECDSA_P256: (
        ec.SECP256R1,
        hashes.SHA256(),
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ),
    ECDSA_P384: (
        ec.SECP384R1,
        hashes.SHA384(),
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    ),
}
_ED25519_PUBLIC = re.compile(r"[a-f0-9]{64}", re.ASCII)
_ED25519_SIGNATURE = re.compile(r"[a-f0-9]{128}", re.ASCII)
_ECDSA_SIGNATURE = re.compile(r"(?:[a-f0-9]{2}){8,110}", re.ASCII)
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/]{60,300}={0,2})-----END PUBLIC KEY-----", re.ASCII)


class InvalidKeySignatureError(Exception):
    """A signature that does not verify. Only `trust_root.metadata` sees it, and says there whose it was."""


class Signer(Protocol):
    """Somebody who can sign: a key file in hand, a token, a service."""

    @property
    def public(self) -> Key:
        """The public half as TUF knows it."""

    @property
    def material(self) -> Digest:
        """What this signer counts as."""

    def sign(self, payload: bytes) -> str:
        """Signature over `payload`, in hex, in the one spelling that `verify_key_signature` takes."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in hand, with its public half as TUF knows it."""

    private: PrivateKey
    public: Key

    def sign(self, payload: bytes) -> str:
        """Signature over `payload`, in hex. With Ed25519 it is the same each time (RFC 8032)."""
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(payload).hex()
        algorithm = _CURVES[self.public.keytype, self.public.scheme][1]
        return format_ecdsa(self.public, *decode_dss_signature(self.private.sign(payload, ec.ECDSA(algorithm))))

    @property
    def material(self) -> Digest:
        """What this signer counts as."""
        return key_material(self.public)


def generate_key(kind: tuple[str, str] = ED25519) -> SigningKey:
    """A new key of one of the three kinds, from the system's random source."""
    if kind == ED25519:
        return signing_key(Ed25519PrivateKey.generate())
    return signing_key(ec.generate_private_key(_CURVES[kind][0]()))


def signing_key(private: PrivateKey) -> SigningKey:
    """Wrap a private key; raises as `tuf_key`."""
    return SigningKey(private, tuf_key(private.public_key()))


def ecdsa_digest(key: Key, payload: bytes) -> bytes:
    """The hash that an ECDSA key signs, for a signer that takes hashes only."""
    digest = hashes.Hash(_CURVES[key.keytype, key.scheme][1])
    digest.update(payload)
    return digest.finalize()


def format_ecdsa(key: Key, r: int, s: int) -> str:
    """The one spelling of an ECDSA signature: DER in hex, the lower of the two values of s."""
    order = _CURVES[key.keytype, key.scheme][2]
    return encode_dss_signature(r, min(s, order - s)).hex()


def tuf_key(public: PublicKey) -> Key:
    """A public key in TUF's form, its id being the SHA-256 of that form.

    Raises:
        MalformedError: a curve other than P-256 and P-384 (code ``key``).
    """
    if isinstance(public, Ed25519PublicKey):
        (key_type, scheme), text = ED25519, public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    else:
        kinds = [kind for kind, (curve, _, _) in _CURVES.items() if isinstance(public.curve, curve)]
        if not kinds:
            raise MalformedError("key", "key", public.curve.name, got="another curve", want="P-256 or P-384")
        key_type, scheme = kinds[0]
        text = _pem_line(_subject_public_key_info(public))
    value = {"keytype": key_type, "keyval": {"public": text}, "scheme": scheme}
    return SSlibKey(hashlib.sha256(format_canonical(value)).hexdigest(), key_type, scheme, {"public": text})


def parse_public_key(raw: bytes, which: str) -> Key:
    """A public key file: one PEM block `PUBLIC KEY`, the inverse of `format_public_key`.

    Args:
        raw: the file.
        which: its name.

    Raises:
        MalformedError: something else, or a key of another kind (codes ``pem``, ``base64``, ``key``).
    """
    try:
        label, der = parse_pem(raw.decode("ascii"), f"public key {which}")
        public = load_der_public_key(der) if label == "PUBLIC KEY" else None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedError("key", "public key", which, got="not a key", want="a PEM public key") from error
    if not isinstance(public, PublicKey):
        raise MalformedError("key", "public key", which, got="another kind", want="Ed25519, or ECDSA on P-256 or P-384")
    return tuf_key(public)


def format_public_key(key: Key) -> bytes:
    """A public key file, as `openssl pkey -pubout` writes it."""
    return format_pem("PUBLIC KEY", _subject_public_key_info(load_public_key(key))).encode("ascii")


def key_material(key: Key) -> Digest:
    """SHA-256 of the key's SubjectPublicKeyInfo: equal for equal keys, whatever their ids.

    Raises:
        MalformedError: not a key that we know (code ``key``).
    """
    return sha256_of(_subject_public_key_info(load_public_key(key)))


def load_public_key(key: Key) -> PublicKey:
    """The key itself; every spelling but one is refused.

    Raises:
        MalformedError: unknown type or scheme, or a bad or respelled value (code ``key``).
    """
    kind = (key.keytype, key.scheme)
    text = key.keyval.get("public")
    if set(key.keyval) != {"public"} or key.unrecognized_fields or not isinstance(text, str):
        raise _bad_key(key, "unknown fields")
    if kind == ED25519:
        if not _ED25519_PUBLIC.fullmatch(text):
            raise _bad_key(key, "not 64 hex digits")
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    if kind not in _CURVES:
        raise _bad_key(key, f"{key.keytype}/{key.scheme}"[:80])
    return _load_ecdsa(key, text, _CURVES[kind][0])


def verify_key_signature(key: Key, signature: str, payload: bytes) -> None:
    """Verify one signature, given in hex, over `payload`.

    Raises:
        InvalidKeySignatureError: it does not hold, or is not the one spelling of it.
        MalformedError: the key is not one that we know (code ``key``).
    """
    public = load_public_key(key)
    try:
        if isinstance(public, Ed25519PublicKey):
            if not _ED25519_SIGNATURE.fullmatch(signature):
                raise InvalidKeySignatureError
            public.verify(bytes.fromhex(signature), payload)
            return
        _, algorithm, order = _CURVES[key.keytype, key.scheme]
        public.verify(_low_s(signature, order), payload, ec.ECDSA(algorithm))
    except InvalidSignature as error:
        raise InvalidKeySignatureError from error


def _low_s(signature: str, order: int) -> bytes:
    if not _ECDSA_SIGNATURE.fullmatch(signature):
        raise InvalidKeySignatureError
    raw = bytes.fromhex(signature)
    try:
        r, s = decode_dss_signature(raw)
    except ValueError as error:
        raise InvalidKeySignatureError from error
    if s > order // 2 or encode_dss_signature(r, s) != raw:
        raise InvalidKeySignatureError
    return raw


def _load_ecdsa(key: Key, text: str, curve: type[ec.EllipticCurve]) -> PublicKey:
    match = _PEM.fullmatch(text)
    if match is None:
        raise _bad_key(key, "not a PEM block on one line")
    try:
        public = load_der_public_key(base64.b64decode(match[1], validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise _bad_key(key, "not a public key") from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, curve):
        raise _bad_key(key, "a key of another kind")
    if _pem_line(_subject_public_key_info(public)) != text:
        raise _bad_key(key, "another spelling")
    return public


def _subject_public_key_info(public: PublicKey) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem_line(der: bytes) -> str:
    return f"-----BEGIN PUBLIC KEY-----{base64.b64encode(der).decode('ascii')}-----END PUBLIC KEY-----"


def _bad_key(key: Key, got: str) -> MalformedError:
    return MalformedError("key", "key", key.keyid[:64], got=got, want="Ed25519, or ECDSA on P-256 or P-384")
