"""Keys and names: one spelling each, and what counts as one signer."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import Key, SSlibKey

from bundler.errors import MalformedError
from tests.simulators.tuf_ecdsa import EcdsaSigner
from trust_root.keys import (
    InvalidKeySignatureError,
    generate_key,
    key_material,
    load_public_key,
    signing_key,
    tuf_key,
    verify_key_signature,
)
from trust_root.roles import (
    format_inventory_path,
    lifetime,
    parse_inventory_path,
    parse_stream,
    parse_target_path,
)

CURVES = [ec.SECP256R1(), ec.SECP384R1()]


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_signatures_verify_and_repeat(seed: bytes, payload: bytes) -> None:
    key = signing_key(Ed25519PrivateKey.from_private_bytes(seed))
    signature = key.sign(payload)
    assert signature == key.sign(payload)
    verify_key_signature(key.public, signature, payload)
    for bad in (signature[:-1], signature.upper() if signature.upper() != signature else "", signature + "00", ""):
        with pytest.raises(InvalidKeySignatureError):
            verify_key_signature(key.public, bad, payload)
    with pytest.raises(InvalidKeySignatureError):
        verify_key_signature(key.public, signature, payload + b"x")


def test_the_id_is_tufs_own() -> None:
    public = Ed25519PrivateKey.generate().public_key()
    assert tuf_key(public).keyid == SSlibKey.from_crypto(public).keyid


def test_material_does_not_depend_on_the_id() -> None:
    key = generate_key().public
    other = Key.from_dict("f" * 64, key.to_dict())
    assert key_material(key) == key_material(other)
    assert key_material(key) != key_material(generate_key().public)


@pytest.mark.parametrize("curve", CURVES)
def test_ecdsa(curve: ec.EllipticCurve) -> None:
    signer = EcdsaSigner(curve)
    signature = signer.sign(b"payload")
    verify_key_signature(signer.public, signature, b"payload")
    raw = bytes.fromhex(signature)
    for bad in (raw + b"\0", raw[:-1], b"\x30\x80" + raw[2:], b""):
        with pytest.raises(InvalidKeySignatureError):
            verify_key_signature(signer.public, bad.hex(), b"payload")
    with pytest.raises(InvalidKeySignatureError):
        verify_key_signature(signer.public, signature, b"other")


def spelled(key: Key, **changes: object) -> Key:
    return Key.from_dict(key.keyid, {**key.to_dict(), **changes})


@pytest.mark.parametrize("curve", CURVES)
def test_one_spelling_of_an_ecdsa_key(curve: ec.EllipticCurve) -> None:
    key = EcdsaSigner(curve).public
    text: str = key.keyval["public"]
    assert "\n" not in text
    wrong = ec.SECP384R1() if curve.name == "secp256r1" else ec.SECP256R1()
    other = EcdsaSigner(wrong).public.keyval["public"]
    for bad in (text + "\n", text.replace("KEY-----", "KEY----- ", 1), text[:40] + "!" + text[41:], "", other):
        with pytest.raises(MalformedError) as error:
            load_public_key(spelled(key, keyval={"public": bad}))
        assert error.value.code == "key"


@pytest.mark.parametrize(
    "changes",
    [
        {"keyval": {"public": "0" * 63}},
        {"keyval": {"public": "G" * 64}},
        {"keyval": {"public": "AB" * 32}},
        {"keyval": {"public": "ab" * 32, "x": "y"}},
        {"more": 1},
    ],
)
def test_refused_ed25519_keys(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError) as error:
        load_public_key(spelled(generate_key().public, **changes))
    assert error.value.code == "key"


def test_other_schemes_are_refused() -> None:
    key = SSlibKey("0" * 64, "rsa", "rsassa-pss-sha256", {"public": "x"})
    with pytest.raises(MalformedError) as error:
        load_public_key(key)
    assert error.value.code == "key"


class TestNames:
    @pytest.mark.parametrize("name", ["a", "0", "main", "plant-7", "a" * 31, "roots"])
    def test_streams(self, name: str) -> None:
        assert parse_stream(name) == name

    @pytest.mark.parametrize(
        "name", ["", "-a", "A", "a" * 32, "root", "targets", "snapshot", "timestamp", "a.b", "a\n", "é", None, 1, "a/b"]
    )
    def test_no_streams(self, name: object) -> None:
        with pytest.raises(MalformedError):
            parse_stream(name)

    @pytest.mark.parametrize("path", ["trusted_root/a.json", "keys/a-b.c.pub", "policies/x_y.toml"])
    def test_targets(self, path: str) -> None:
        assert parse_target_path(path) == path

    @pytest.mark.parametrize(
        "path",
        [
            "trusted_root/.json",
            "trusted_root/a",
            "keys/a.json",
            "keys/../a.pub",
            "/keys/a.pub",
            "keys//a.pub",
            "keys/a.pub\n",
            7,
        ],
    )
    def test_no_targets(self, path: object) -> None:
        with pytest.raises(MalformedError):
            parse_target_path(path)

    @given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True), st.integers(1, 2**53 - 1))
    @settings(derandomize=True, deadline=None, max_examples=40)
    def test_inventory_paths(self, stream: str, sequence: int) -> None:
        assert parse_inventory_path(format_inventory_path(stream, sequence)) == (stream, sequence)

    @pytest.mark.parametrize(
        "path",
        [
            "bundles/main/0.json",
            "bundles/main/01.json",
            "bundles/main/9007199254740992.json",
            "bundles/root/1.json",
            "x",
            None,
        ],
    )
    def test_no_inventory_paths(self, path: object) -> None:
        with pytest.raises(MalformedError):
            parse_inventory_path(path)

    def test_lifetimes(self) -> None:
        assert (lifetime("root").days, lifetime("main").days, lifetime("timestamp").days) == (1095, 365, 365)
