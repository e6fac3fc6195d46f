"""Signing by Ed25519ph, as cosign does with Ed25519 keys (RFC 8032 section 5.1.6); `cryptography` cannot."""

from __future__ import annotations

from hashlib import sha512

from cryptography.hazmat.primitives.asymmetric import ed25519

from bundler.identity.ed25519ph import _BASE, _ORDER, _PREFIX, _encode, _times
from tests.simulators.sigstore import Signer


def sign_prehashed(key: ed25519.Ed25519PrivateKey, message: bytes) -> bytes:
    """R and S over the SHA-512 of `message`."""
    expanded = sha512(key.private_bytes_raw()).digest()
    secret = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | 1 << 254
    prehash = sha512(message).digest()
    nonce = _number(expanded[32:] + prehash)
    encoded = _encode(_times(nonce, _BASE))
    challenge = _number(encoded + key.public_key().public_bytes_raw() + prehash)
    return encoded + ((nonce + challenge * secret) % _ORDER).to_bytes(32, "little")


class PrehashingSigner(Signer):
    """A publisher with an Ed25519 key, by today's cosign."""

    def sign(self, message: bytes) -> bytes:
        """By Ed25519ph."""
        assert isinstance(self.key, ed25519.Ed25519PrivateKey)
        return sign_prehashed(self.key, message)


def _number(raw: bytes) -> int:
    return int.from_bytes(sha512(_PREFIX + raw).digest(), "little") % _ORDER
