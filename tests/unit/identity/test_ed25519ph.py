"""Ed25519ph: the standard's vector, `cryptography` as a second opinion on the arithmetic, and near misses."""

from __future__ import annotations

from hashlib import sha512

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from bundler.digest import Content
from bundler.errors import RejectedError
from bundler.identity.ed25519ph import verify_prehashed
from bundler.identity.keys import Scheme, wrap_public_key
from tests.simulators.ed25519ph import sign_prehashed

# RFC 8032 section 7.3: TEST abc.
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42")
)
PUBLIC = bytes.fromhex("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
SIGNATURE = bytes.fromhex(
    "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
    "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
)
PREHASH = sha512(b"abc").digest()
ORDER = 2**252 + 27742317777372353535851937790883648493


def holds(public: bytes, signature: bytes, prehash: bytes, **more: bytes) -> bool:
    try:
        verify_prehashed(public, signature, prehash, **more)
    except RejectedError as error:
        return {"signature": False}[error.code]
    return True


def test_the_standards_vector() -> None:
    assert KEY.public_key().public_bytes_raw() == PUBLIC
    assert holds(PUBLIC, SIGNATURE, PREHASH)
    assert sign_prehashed(KEY, b"abc") == SIGNATURE
    assert not holds(PUBLIC, SIGNATURE, sha512(b"abd").digest())


@pytest.mark.parametrize("number", range(8))
def test_the_arithmetic_is_that_of_ed25519(number: int) -> None:
    """Without the prefix it is plain Ed25519, which the library knows."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(sha512(bytes([number])).digest()[:32])
    public, message = key.public_key().public_bytes_raw(), bytes(number)
    signature = key.sign(message)
    assert holds(public, signature, message, prefix=b"")
    assert not holds(public, signature, message + b"x", prefix=b"")
    assert not holds(public, signature, message)


def test_near_misses() -> None:
    scalar = int.from_bytes(SIGNATURE[32:], "little")
    again = SIGNATURE[:32] + (scalar + ORDER).to_bytes(32, "little")
    for bad in (again, SIGNATURE[:-1], SIGNATURE + b"\0", b"", bytes(64), SIGNATURE[32:] + SIGNATURE[:32]):
        assert not holds(PUBLIC, bad, PREHASH)
    for bit in range(0, 512, 37):
        turned = bytearray(SIGNATURE)
        turned[bit // 8] ^= 1 << bit % 8
        assert not holds(PUBLIC, bytes(turned), PREHASH)


@pytest.mark.parametrize(
    "public",
    [
        (2**255 - 19 + 1).to_bytes(32, "little"),  # y = 1 in another encoding
        (1 | 1 << 255).to_bytes(32, "little"),  # x = 0 with a sign
        (2).to_bytes(32, "little"),  # no point
        PUBLIC[:31], PUBLIC + b"\0", b"",
    ],
)  # fmt: skip
def test_keys_that_are_none(public: bytes) -> None:
    assert not holds(public, SIGNATURE, PREHASH)
    assert not holds(public, bytes([1]) + bytes(63), PREHASH)


def test_only_publishers_keys_take_it() -> None:
    """Logs, witnesses and certificates sign plain Ed25519."""
    plain = wrap_public_key(KEY.public_key())
    publisher = plain.for_publishers()
    assert publisher == plain
    assert publisher.for_publishers() == publisher
    publisher.verify(SIGNATURE, b"abc")
    publisher.verify(KEY.sign(b"abc"), b"abc")
    publisher.verify_content(SIGNATURE, Content(hashes={"sha512": PREHASH}))
    for key in (plain, publisher.restricted_to(Scheme.ED25519)):
        with pytest.raises(RejectedError):
            key.verify(SIGNATURE, b"abc")
    with pytest.raises(RejectedError):
        publisher.verify(SIGNATURE, b"abd")
    with pytest.raises(RejectedError) as error:
        publisher.verify_content(SIGNATURE, Content(hashes={"sha256": bytes(32)}))
    assert error.value.code == "artifact-needed"
