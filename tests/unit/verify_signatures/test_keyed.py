"""Signatures made with a publisher's key, with and without a promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bundler.identity.keys import KeyIdentity, PublicKey, parse_public_key
from bundler.transparency.promise import format_promise, parse_promise
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from tests.simulators.ed25519ph import PrehashingSigner
from tests.simulators.judging import HELD, IDENTITY, SUBJECT, code_of, judge
from tests.simulators.sigstore import SignedLayer, Signer, Sigstore
from tests.simulators.sigstore_keys import AT, START
from tests.simulators.sigstore_log import hashedrekord_body

SIGSTORE = Sigstore("keyed")
MATERIAL = parse_trusted_root(SIGSTORE.trusted_root_json())
SIGNER = SIGSTORE.key_signer()
KEY = parse_public_key(SIGNER.public_pem.encode())
LOGGED = [
    SIGSTORE.sign(SUBJECT, SIGNER),
    SIGSTORE.attest(SUBJECT, SIGNER),
    SIGSTORE.attest(SUBJECT, SIGNER, kind="intoto"),
]
UNLOGGED = [SIGSTORE.sign(SUBJECT, SIGNER, at=None), SIGSTORE.attest(SUBJECT, SIGNER, at=None)]


def code(layer: SignedLayer, material: TrustedMaterial | None = MATERIAL, **how: Any) -> str:
    return code_of(lambda: judge(layer, material, **{"key": KEY, **how}))


@pytest.mark.parametrize("layer", LOGGED)
def test_with_a_promise(layer: SignedLayer) -> None:
    verified = judge(layer, MATERIAL, key=KEY)
    assert verified.signer == KeyIdentity(KEY.fingerprint)
    assert verified.strength == "promise"
    assert [time.at for time in verified.times] == [AT]
    assert verified.scts == ()
    assert str(verified.signer) == f"key {KEY.fingerprint}"


@pytest.mark.parametrize("layer", UNLOGGED)
@pytest.mark.parametrize("material", [MATERIAL, None])
def test_without_a_promise_it_says_so(layer: SignedLayer, material: TrustedMaterial | None) -> None:
    verified = judge(layer, material, key=KEY)
    assert (verified.strength, verified.log, verified.times) == ("none", None, ())


@pytest.mark.parametrize("layer", LOGGED)
def test_a_promise_that_is_there_must_hold(layer: SignedLayer) -> None:
    promise = parse_promise(layer.annotations["dev.sigstore.cosign/bundle"].encode())
    later = format_promise(replace(promise, integrated_time=promise.integrated_time + 1)).decode()
    assert code(layer.having(bundle=later)) == "set"
    assert code(layer.having(bundle="{}")) == "field-missing"
    assert code(layer, None) == "log-unknown"
    assert code(layer, parse_trusted_root(Sigstore("other").trusted_root_json())) == "log-unknown"
    closed = parse_trusted_root(SIGSTORE.trusted_root_json(log_window=(START, START)))
    assert code(layer, closed) == "log-window"


@pytest.mark.parametrize("layer", LOGGED)
def test_unless_the_policy_says_ignore(layer: SignedLayer) -> None:
    promise = parse_promise(layer.annotations["dev.sigstore.cosign/bundle"].encode())
    broken = layer.having(bundle=format_promise(replace(promise, log_index=99)).decode())
    for each in (layer, broken):
        verified = judge(each, None, key=KEY, ignore_log=True)
        assert (verified.strength, verified.times, verified.log) == ("none", (), None)
        assert "log entry: ignored, as the policy says" in verified.not_verified
    assert code(layer, subject=replace(SUBJECT, hex="00" * 32), ignore_log=True) in {
        "digest-mismatch",
        "subject-mismatch",
    }


@pytest.mark.parametrize("layer", [*LOGGED, *UNLOGGED])
def test_another_key(layer: SignedLayer) -> None:
    other = parse_public_key(SIGSTORE.key_signer().public_pem.encode())
    assert code(layer, key=other) == "signature"
    assert code(layer, key=other, ignore_log=True) == "signature"


@pytest.mark.parametrize("layer", [*LOGGED, *UNLOGGED])
def test_no_key_given(layer: SignedLayer) -> None:
    assert code(layer, key=None) == "key-material"


def test_the_entry_must_name_the_key() -> None:
    layer = LOGGED[0]
    other = SIGSTORE.key_signer()
    stolen = SIGSTORE.sign(SUBJECT, other)  # a true promise for another signer's signature over the same payload
    assert code(layer.having(bundle=stolen.annotations["dev.sigstore.cosign/bundle"])) == "tlog-binding"


def test_the_entry_must_not_name_a_certificate() -> None:
    keyless = SIGSTORE.keyless(IDENTITY, key=SIGNER.key)
    layer = LOGGED[0]
    raw = SIGNER.sign(layer.raw)
    body = hashedrekord_body(layer.raw, raw, keyless.verifier_pem)
    bundle = format_promise(SIGSTORE.rekor.promise(body, at=AT)).decode()
    assert code(layer.having(bundle=bundle)) == "tlog-binding"


@pytest.mark.parametrize(
    "signer",
    [
        Signer(ec.generate_private_key(ec.SECP384R1())),
        Signer(ec.generate_private_key(ec.SECP521R1())),
        Signer(ed25519.Ed25519PrivateKey.generate()),
        PrehashingSigner(ed25519.Ed25519PrivateKey.generate()),
        Signer(rsa.generate_private_key(65537, 2048)),
    ],
    ids=["p384", "p521", "ed25519", "ed25519ph", "rsa"],
)
def test_other_kinds_of_keys(signer: Signer) -> None:
    key: PublicKey = parse_public_key(signer.public_pem.encode())
    for layer in (SIGSTORE.sign(SUBJECT, signer), SIGSTORE.attest(SUBJECT, signer)):
        assert code(layer, key=key) == HELD
        assert code(layer) == "signature"
