"""Ed25519ph: Ed25519 over the SHA-512 of a message (RFC 8032 sections 5.1 and 5.1.7), which `cryptography` lacks.

cosign signs with it whenever a publisher's key is Ed25519 and the signature is logged, because Rekor knows hashes only.

Rules of this module:
- Verification only. Nothing here is secret, so nothing has to take the same time for every value.
- As strict as Go's and OpenSSL's Ed25519: S is below the group's order, the key is a point in its one encoding, and R
  is compared as bytes with what the equation gives, so that other encodings of R cannot hold.
- The prefix keeps these signatures apart from plain Ed25519: neither ever holds as the other.
"""

from __future__ import annotations

from hashlib import sha512

from bundler.errors import RejectedError

SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_PREHASHED, _NO_CONTEXT = b"\x01", b"\x00"
_PREFIX = b"SigEd25519 no Ed25519 collisions" + _PREHASHED + _NO_CONTEXT  # "dom2"

_Point = tuple[int, int, int, int]  # X, Y, Z, T with x = X/Z, y = Y/Z, x * y = T/Z (section 5.1.4)


def verify_prehashed(public: bytes, signature: bytes, prehash: bytes, prefix: bytes = _PREFIX) -> None:
    """Check a signature over a message whose SHA-512 is at hand (RFC 8032 section 5.1.7).

    Args:
        public: the 32 bytes of the key.
        signature: R and S, 64 bytes.
        prehash: SHA-512 of the message.
        prefix: keeps the variants of Ed25519 apart. Tests take the empty one, of plain Ed25519, to hold the arithmetic
            against `cryptography`.

    Raises:
        RejectedError: it is none (code ``signature``).
    """
    encoded_r, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    if len(signature) != SIGNATURE_BYTES or scalar >= _ORDER:
        raise _refused()
    x, y, z, t = _decode(public)
    challenge = int.from_bytes(sha512(prefix + encoded_r + public + prehash).digest(), "little") % _ORDER
    reached = _add(_times(scalar, _BASE), _times(challenge, (_P - x, y, z, _P - t)))
    if _encode(reached) != encoded_r:
        raise _refused()


def _add(one: _Point, other: _Point) -> _Point:
    """Holds for all points, equal ones too (section 5.1.4)."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    for bit in f"{scalar:b}":
        result = _add(result, result)
        if bit == "1":
            result = _add(result, point)
    return result


def _encode(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _decode(encoded: bytes) -> _Point:
    """A point (section 5.1.3)."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if len(encoded) != 32 or y >= _P or v * x * x % _P != u or (x == 0 and sign):
        raise _refused()
    x = x if x & 1 == sign else _P - x
    return x, y, 1, x * y % _P


def _refused() -> RejectedError:
    return RejectedError("signature", "signature", got="not by this key over these bytes", want="a sound one")


_BASE = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
