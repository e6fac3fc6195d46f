"""Managed keys of every kind in Sigstore bundles: Rekor 1, Rekor 2 and none, by file and by digest."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.errors import RejectedError
from bundler.evidence.envelope import IN_TOTO, pre_authentication_encoding
from bundler.evidence.sigstore_bundle import SigstoreBundle, format_bundle
from bundler.identity.keys import parse_public_key
from bundler.verify.blob import hash_artifact, known_digest, verify_blob
from bundler.verify.material import parse_trusted_root
from bundler.verify.policy import KeylessSigner, TextRule
from tests.simulators.ed25519ph import PrehashingSigner
from tests.simulators.good_bundles import statement
from tests.simulators.judging import HELD, IDENTITY, code_of
from tests.simulators.sigstore import Signer
from tests.simulators.sigstore_bundles import FILE, FILE_DIGEST, WholeSigstore, ed25519_key
from tests.simulators.sigstore_certificates import der
from tests.simulators.sigstore_keys import GITHUB, PrivateKey
from tests.simulators.sigstore_log import dsse_v2_body, hashedrekord_v2_body

SIGSTORE = WholeSigstore("managed keys")
MATERIAL = parse_trusted_root(SIGSTORE.trusted_root_json())
ABOUT = statement(FILE_DIGEST)
# The key, how Rekor 2 names it, and the hash that fits it.
KEYS: dict[str, tuple[PrivateKey, str, str]] = {
    "P-256": (ec.generate_private_key(ec.SECP256R1()), "PKIX_ECDSA_P256_SHA_256", "SHA2_256"),
    "P-384": (ec.generate_private_key(ec.SECP384R1()), "PKIX_ECDSA_P384_SHA_384", "SHA2_384"),
    "P-521": (ec.generate_private_key(ec.SECP521R1()), "PKIX_ECDSA_P521_SHA_512", "SHA2_512"),
    "RSA 2048": (rsa.generate_private_key(65537, 2048), "PKIX_RSA_PKCS1V15_2048_SHA256", "SHA2_256"),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate(), "PKIX_ED25519", "SHA2_512"),
}


def verdicts(bundle: SigstoreBundle, key: PrivateKey) -> list[str]:
    """Strength or code, by file and by digest."""
    signer = parse_public_key(Signer(key).public_pem.encode())
    told: list[str] = []
    for artifact in (hash_artifact(io.BytesIO(FILE)), known_digest(FILE_DIGEST)):
        try:
            told.append(verify_blob(format_bundle(bundle), artifact, signer=signer, material=MATERIAL).strength)
        except RejectedError as error:
            told.append(error.code)
    return told


def in_rekor_2(name: str, content: bytes, kind: str) -> SigstoreBundle:
    key, details, algorithm = KEYS[name]
    bundle = SIGSTORE.bundle(content, Signer(key), log="none")
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = bundle.content.signature
    if kind == "dsse 0.0.2":
        body = dsse_v2_body(content, signature, spki, details=details, certificate=False)
    else:
        message = content if content == FILE else pre_authentication_encoding(IN_TOTO, content)
        knobs = {"algorithm": algorithm, "details": details, "certificate": False}
        body = hashedrekord_v2_body(message, signature, spki, **knobs)
    return replace(bundle, entries=(SIGSTORE.entry_2(body, kind),))


@pytest.mark.parametrize("name", KEYS)
def test_statements(name: str) -> None:
    key = KEYS[name][0]
    for kind in ("dsse 0.0.1", "intoto 0.0.1", "intoto 0.0.2"):
        assert verdicts(SIGSTORE.bundle(ABOUT, Signer(key), kind=kind), key) == ["proof"] * 2
    for kind in ("hashedrekord 0.0.2", "dsse 0.0.2"):
        assert verdicts(in_rekor_2(name, ABOUT, kind), key) == ["proof"] * 2
    assert verdicts(SIGSTORE.bundle(ABOUT, Signer(key), log="none"), key) == ["time"] * 2
    assert verdicts(SIGSTORE.bundle(ABOUT, Signer(key), log="none", stamped=False), key) == ["none"] * 2


@pytest.mark.parametrize("name", KEYS)
def test_files(name: str) -> None:
    """A digest serves where it is what was signed and logged."""
    key = KEYS[name][0]
    by_digest = {"Ed25519": "artifact-needed"}.get(name, "proof")
    assert verdicts(SIGSTORE.bundle(FILE, Signer(key)), key) == ["proof", by_digest]
    longer = "tlog-binding" if name in ("P-384", "P-521") else by_digest
    assert verdicts(in_rekor_2(name, FILE, "hashedrekord 0.0.2"), key) == ["proof", longer]


def test_ed25519_prehashed() -> None:
    """How cosign signs what it logs with an Ed25519 key: Rekor knows hashes only."""
    key, _, algorithm = KEYS["Ed25519"]
    signer = PrehashingSigner(key)
    for content in (FILE, ABOUT):
        assert verdicts(SIGSTORE.bundle(content, signer, log="none"), key)[0] == "time"
    bundle = SIGSTORE.bundle(FILE, signer, log="none")
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    knobs = {"algorithm": algorithm, "details": "PKIX_ED25519_PH", "certificate": False}
    body = hashedrekord_v2_body(FILE, bundle.content.signature, spki, **knobs)
    logged = replace(bundle, entries=(SIGSTORE.entry_2(body, "hashedrekord 0.0.2"),))
    assert verdicts(logged, key) == ["proof", "artifact-needed"]
    assert verdicts(logged, SIGSTORE.new_key()) == ["signature"] * 2
    plain = SIGSTORE.bundle(FILE, Signer(key), log="none")
    mixed = replace(logged, content=plain.content)
    assert verdicts(mixed, key)[0] == "timestamp-imprint"


def test_ed25519_prehashed_under_a_certificate() -> None:
    """A certificate's key signs content too: sigstore-go takes Ed25519ph alone for files."""
    key = ed25519_key("with a certificate")
    plain = SIGSTORE.keyless(IDENTITY, key=key)
    signer = PrehashingSigner(key, plain.certificate)
    wanted = KeylessSigner(TextRule(IDENTITY), TextRule(GITHUB), None)
    bundle = SIGSTORE.bundle(FILE, signer, log="none")
    assert signer.certificate is not None
    for details, expected in (("PKIX_ED25519_PH", HELD), ("PKIX_ECDSA_P256_SHA_256", "tlog-binding")):
        knobs = {"algorithm": "SHA2_512", "details": details}
        body = hashedrekord_v2_body(FILE, bundle.content.signature, der(signer.certificate), **knobs)
        logged = format_bundle(replace(bundle, entries=(SIGSTORE.entry_2(body, "hashedrekord 0.0.2"),)))
        for content, told in ((FILE, expected), (FILE + b"x", "digest-mismatch")):
            artifact = hash_artifact(io.BytesIO(content))
            found = code_of(lambda a=artifact, raw=logged: verify_blob(raw, a, signer=wanted, material=MATERIAL))  # type: ignore[misc]
            assert found == told
    other = SIGSTORE.bundle(FILE, PrehashingSigner(ed25519_key("another"), plain.certificate), log="none")
    artifact = hash_artifact(io.BytesIO(FILE))
    raw = format_bundle(replace(other, entries=()))
    assert code_of(lambda: verify_blob(raw, artifact, signer=wanted, material=MATERIAL)) == "signature"


@pytest.mark.parametrize("name", KEYS)
def test_another_key_of_the_same_kind_or_another_kind(name: str) -> None:
    others = [key for other, (key, _, _) in KEYS.items() if other != name]
    for bundle in (SIGSTORE.bundle(ABOUT, Signer(KEYS[name][0])), in_rekor_2(name, ABOUT, "dsse 0.0.2")):
        for key in (*others, SIGSTORE.new_key()):
            assert verdicts(bundle, key) == ["signature"] * 2


@pytest.mark.parametrize("name", KEYS)
def test_an_entry_that_names_another_kind_of_key(name: str) -> None:
    for other in KEYS:
        if other == name:
            continue
        key = KEYS[name][0]
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        bundle = SIGSTORE.bundle(ABOUT, Signer(key), log="none")
        body = dsse_v2_body(ABOUT, bundle.content.signature, spki, details=KEYS[other][1], certificate=False)
        named = replace(bundle, entries=(SIGSTORE.entry_2(body, "dsse 0.0.2"),))
        assert verdicts(named, key) == ["tlog-binding"] * 2
