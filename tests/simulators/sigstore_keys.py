"""Keys of the simulated Sigstore, how it signs, and small things that all its parts share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

GITHUB = "https://token.actions.githubusercontent.com"
START = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2040, 1, 1, tzinfo=UTC)
AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LEAF_LIFETIME = timedelta(minutes=10)

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
Window = tuple[datetime | None, datetime | None]


def key_source(seed: str) -> Callable[[ec.EllipticCurve], ec.EllipticCurvePrivateKey]:
    """Makes keys: a function of the seed and of how many came before, or random ones without a seed."""
    count = 0

    def make(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
        nonlocal count
        count += 1
        if not seed:
            return ec.generate_private_key(curve)
        return ec.derive_private_key(int.from_bytes(hashlib.sha256(f"{seed} {count}".encode()).digest()) >> 1, curve)

    return make


def sign(key: PrivateKey, message: bytes) -> bytes:
    """A signature as cosign makes it: SHA-256 for every curve and for RSA PKCS #1."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def as_window(window: Window) -> dict[str, str]:
    """`validFor`; a None is left out."""
    names = zip(("start", "end"), window, strict=True)
    return {name: moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for name, moment in names if moment}


def to_json(value: object) -> bytes:
    """JSON bytes, the same for the same value."""
    return json.dumps(value, separators=(",", ":")).encode()
