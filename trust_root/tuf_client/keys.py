"""Public keys as TUF repositories of others write them, and signatures by them.

Rules of this module:
- What counts as one signer is the key itself (SHA-256 of its SubjectPublicKeyInfo), under whatever ids it stands.
  TUF 1.0.31 section 4.2.1 lets a threshold count each key once; a count of key ids could be met by one key.
- Key ids are names: nothing says that they are hashes, and none is recomputed.
- A key of a kind that we do not know, or whose value cannot be read, signs nothing. It does not spoil the metadata that
  lists it: who rotates to a new algorithm lists it before all clients know it.
- Kinds: Ed25519; ECDSA on P-256, P-384 and P-521, also under the old type names and as a bare point in hex (Sigstore's
  roots 1 to 4); RSA from 2048 bits with PSS or PKCS #1 1.5 and SHA-256, -384 or -512.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.fields import Fields
from bundler.value import dataclass, field
from trust_root.keys import InvalidKeySignatureError

_Verify = Callable[[bytes, bytes], None]
_HASHES: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
_CURVES: Mapping[str, tuple[type[ec.EllipticCurve], Callable[[], ec.EllipticCurve], hashes.HashAlgorithm]] = {
    "ecdsa-sha2-nistp256": (ec.SECP256R1, ec.SECP256R1, hashes.SHA256()),
    "ecdsa-sha2-nistp384": (ec.SECP384R1, ec.SECP384R1, hashes.SHA384()),
    "ecdsa-sha2-nistp521": (ec.SECP521R1, ec.SECP521R1, hashes.SHA512()),
}
_RSA_SCHEME = re.compile(r"(rsassa-pss|rsa-pkcs1v15)-sha(256|384|512)", re.ASCII)
_RSA_LEAST_BITS = 2048
_HEX = re.compile(r"(?:[A-Fa-f0-9]{2}){1,4096}", re.ASCII)


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key that we can use.

    Attributes:
        material: what its owner counts as.
    """

    material: Digest
    _verify: _Verify = field(repr=False, compare=False)

    def verify(self, signature: str, payload: bytes) -> None:
        """Verify one signature, given in hex.

        Raises:
            InvalidKeySignatureError: it does not hold.
        """
        if not _HEX.fullmatch(signature):
            raise InvalidKeySignatureError
        try:
            self._verify(bytes.fromhex(signature), payload)
        except (InvalidSignature, ValueError) as error:
            raise InvalidKeySignatureError from error


def parse_key(fields: Fields) -> VerifyingKey | None:
    """A key object of a root or of delegations (section 4.2.2); None for one that we cannot use.

    Raises:
        MalformedError: without `keytype`, `scheme` and `keyval`.
    """
    kind, scheme = fields.text("keytype"), fields.text("scheme")
    public = fields.fields("keyval").raw("public")
    if not isinstance(public, str) or len(public) > limits.KEY_FILE_BYTES:
        return None
    try:
        if (kind, scheme) == ("ed25519", "ed25519"):
            return _ed25519(public)
        if kind in ("ecdsa", scheme) and scheme in _CURVES:
            return _ecdsa(scheme, public)
        if kind == "rsa" and (match := _RSA_SCHEME.fullmatch(scheme)):
            return _rsa(match[1], _HASHES[match[2]](), public)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return None


def _ed25519(text: str) -> VerifyingKey | None:
    if not _HEX.fullmatch(text):
        return None
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    return VerifyingKey(_material(key), key.verify)


def _ecdsa(scheme: str, text: str) -> VerifyingKey | None:
    curve, make_curve, algorithm = _CURVES[scheme]
    if _HEX.fullmatch(text):
        point = ec.EllipticCurvePublicKey.from_encoded_point(make_curve(), bytes.fromhex(text))
    else:
        loaded = load_pem_public_key(text.encode())
        if not isinstance(loaded, ec.EllipticCurvePublicKey) or not isinstance(loaded.curve, curve):
            return None
        point = loaded

    def verify(signature: bytes, payload: bytes) -> None:
        point.verify(signature, payload, ec.ECDSA(algorithm))

    return VerifyingKey(_material(point), verify)


def _rsa(name: str, algorithm: hashes.HashAlgorithm, text: str) -> VerifyingKey | None:
    key = load_pem_public_key(text.encode())
    if not isinstance(key, rsa.RSAPublicKey) or not _RSA_LEAST_BITS <= key.key_size <= limits.RSA_KEY_BITS:
        return None
    is_pss = name == "rsassa-pss"

    def verify(signature: bytes, payload: bytes) -> None:
        scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO) if is_pss else padding.PKCS1v15()
        key.verify(signature, payload, scheme, algorithm)

    return VerifyingKey(_material(key), verify)


def _material(key: Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> Digest:
    return sha256_of(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
