"""Public keys: what is read, what is refused, what they verify."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.digest import sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.identity.keys import PublicKey, Scheme, parse_pkcs1, parse_public_key, parse_spki, wrap_public_key

SPKI = PublicFormat.SubjectPublicKeyInfo
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA_2048 = rsa.generate_private_key(65537, 2048)
MESSAGE = b"message"


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, SPKI)


def refused(work: object, code: str = "key") -> None:
    assert callable(work)
    with pytest.raises(MalformedError) as error:
        work()
    assert error.value.code == code


@pytest.mark.parametrize("key", [P256, ED25519, RSA_2048], ids=["p256", "ed25519", "rsa"])
def test_a_pem_on_one_line(key: ec.EllipticCurvePrivateKey) -> None:
    """As npm's registry publishes its key."""
    head, *body, foot = pem(key).decode().splitlines()
    assert parse_public_key("\n".join((head, "".join(body), foot)).encode()) == parse_public_key(pem(key))


@pytest.mark.parametrize("key", [P256, ED25519, RSA_2048], ids=["p256", "ed25519", "rsa"])
def test_pem_and_der_are_the_same_key(key: ec.EllipticCurvePrivateKey) -> None:
    der = key.public_key().public_bytes(Encoding.DER, SPKI)
    parsed = parse_public_key(pem(key))
    assert parsed == parse_public_key(der) == parse_public_key(b"\n" + pem(key).replace(b"\n", b"\r\n") + b"\n\n")
    assert parsed.spki == der
    assert parsed.fingerprint == sha256_of(der)
    assert hash(parsed) == hash(parse_public_key(der))


@pytest.mark.parametrize(
    ("curve", "algorithms"),
    [
        (ec.SECP256R1(), [hashes.SHA256()]),
        (ec.SECP384R1(), [hashes.SHA384(), hashes.SHA256()]),
        (ec.SECP521R1(), [hashes.SHA512(), hashes.SHA256()]),
    ],
    ids=["p256", "p384", "p521"],
)
def test_ecdsa_with_the_hash_of_the_curve_and_cosigns(
    curve: ec.EllipticCurve, algorithms: list[hashes.HashAlgorithm]
) -> None:
    key = ec.generate_private_key(curve)
    public = wrap_public_key(key.public_key())
    for algorithm in algorithms:
        signature = key.sign(MESSAGE, ec.ECDSA(algorithm))
        public.verify(signature, MESSAGE)
        wrong(public, signature, b"another message")
    wrong(public, key.sign(MESSAGE, ec.ECDSA(hashes.SHA224())), MESSAGE)


def test_ed25519() -> None:
    public = parse_public_key(pem(ED25519))
    public.verify(ED25519.sign(MESSAGE), MESSAGE)
    wrong(public, ED25519.sign(MESSAGE), b"")
    assert public.ed25519_bytes == ED25519.public_key().public_bytes_raw()
    assert parse_public_key(pem(P256)).ed25519_bytes is None


def test_rsa_both_paddings() -> None:
    public = parse_public_key(pem(RSA_2048))
    algorithm = hashes.SHA256()
    pss = padding.PSS(padding.MGF1(algorithm), 32)
    public.verify(RSA_2048.sign(MESSAGE, padding.PKCS1v15(), algorithm), MESSAGE)
    public.verify(RSA_2048.sign(MESSAGE, pss, algorithm), MESSAGE)
    wrong(public, RSA_2048.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA1()), MESSAGE)
    wrong(public.restricted_to(Scheme.RSA_PKCS1_SHA256), RSA_2048.sign(MESSAGE, pss, algorithm), MESSAGE)


@pytest.mark.parametrize("key", [P256, ED25519, RSA_2048], ids=["p256", "ed25519", "rsa"])
@pytest.mark.parametrize("signature", [b"", b"\0", b"0", bytes(64), bytes(256), b"\x30\x06\x02\x01\x00\x02\x01\x00"])
def test_no_signature_at_all(key: ec.EllipticCurvePrivateKey, signature: bytes) -> None:
    wrong(parse_public_key(pem(key)), signature, MESSAGE)


def test_every_bit_of_a_signature_counts() -> None:
    public = parse_public_key(pem(P256))
    signature = P256.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    for bit in range(8 * len(signature)):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        wrong(public, bytes(flipped), MESSAGE)
    wrong(public, signature + b"\0", MESSAGE)


def test_another_key() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    wrong(parse_public_key(pem(other)), P256.sign(MESSAGE, ec.ECDSA(hashes.SHA256())), MESSAGE)


def test_weak_and_foreign_keys_are_refused() -> None:
    for key in (
        rsa.generate_private_key(65537, 1024).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ec.generate_private_key(ec.SECP224R1()).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
    ):
        refused(lambda key=key: parse_spki(key.public_bytes(Encoding.DER, SPKI)))


def test_other_encodings_are_refused() -> None:
    der = P256.public_key().public_bytes(Encoding.DER, SPKI)
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    for raw in (b"", der[:-1], der + b"\0", compressed, b"\x30" * 100, bytes(65)):
        refused(lambda raw=raw: parse_public_key(raw))
    pkcs1 = RSA_2048.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    refused(lambda: parse_public_key(pkcs1))
    assert parse_pkcs1(pkcs1) == parse_public_key(pem(RSA_2048))
    refused(lambda: parse_pkcs1(der))
    refused(lambda: parse_pkcs1(RSA_2048.public_key().public_bytes(Encoding.DER, SPKI)))


def test_a_key_file_holds_one_public_key() -> None:
    refused(lambda: parse_public_key(pem(P256) + pem(P256)), "pem")
    refused(lambda: parse_public_key(b"-----BEGIN PUBLIC KEY-----\n"), "pem")
    refused(lambda: parse_public_key(pem(P256).replace(b"PUBLIC KEY", b"CERTIFICATE")))
    refused(lambda: parse_public_key(b"-----\xff"))
    refused(lambda: parse_public_key(pem(P256) + b"\n" * (1 << 16)))


def test_a_scheme_that_the_key_does_not_know() -> None:
    refused(lambda: parse_public_key(pem(P256)).restricted_to(Scheme.ED25519))


def test_a_scheme_that_a_protocol_names() -> None:
    """CMS names its digest: then that one counts, also where a signature by itself would not be taken."""
    public = parse_public_key(pem(P256))
    signature = P256.sign(MESSAGE, ec.ECDSA(hashes.SHA512()))
    wrong(public, signature, MESSAGE)
    public.accepting(Scheme.ECDSA_SHA512).verify(signature, MESSAGE)
    wrong(public.accepting(Scheme.ECDSA_SHA256), signature, MESSAGE)
    wide = parse_public_key(pem(RSA_2048))
    for scheme, algorithm in ((Scheme.RSA_PKCS1_SHA384, hashes.SHA384()), (Scheme.RSA_PKCS1_SHA512, hashes.SHA512())):
        wide.accepting(scheme).verify(RSA_2048.sign(MESSAGE, padding.PKCS1v15(), algorithm), MESSAGE)
        wrong(wide, RSA_2048.sign(MESSAGE, padding.PKCS1v15(), algorithm), MESSAGE)
    for scheme in (Scheme.ED25519, Scheme.RSA_PKCS1_SHA512):
        refused(lambda scheme=scheme: public.accepting(scheme))
    refused(lambda: wide.accepting(Scheme.ECDSA_SHA256))


def wrong(key: PublicKey, signature: bytes, message: bytes) -> None:
    with pytest.raises(RejectedError) as error:
        key.verify(signature, message)
    assert error.value.code == "signature"
