"""An exporter whose key is ECDSA, as hardware tokens have it, for `TufRepository`."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from bundler.digest import Digest
from trust_root.keys import key_material, tuf_key

_ORDERS = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}


class EcdsaSigner:
    """Signs like `SigningKey`, with the low s that we demand."""

    def __init__(self, curve: ec.EllipticCurve) -> None:
        self.private = ec.generate_private_key(curve)
        self.public = tuf_key(self.private.public_key())
        self._order = _ORDERS[curve.name]
        self._hash = hashes.SHA256() if curve.name == "secp256r1" else hashes.SHA384()

    @property
    def material(self) -> Digest:
        """What this signer counts as."""
        return key_material(self.public)

    def sign(self, payload: bytes) -> str:
        """A signature in hex."""
        r, s = decode_dss_signature(self.private.sign(payload, ec.ECDSA(self._hash)))
        return encode_dss_signature(r, min(s, self._order - s)).hex()


def high_s(signature: bytes, curve: ec.EllipticCurve) -> bytes:
    """The same signature in its other spelling, which mathematics accepts."""
    r, s = decode_dss_signature(bytes.fromhex(signature.decode()))
    return encode_dss_signature(r, _ORDERS[curve.name] - s).hex().encode()
