"""PKCS#11: URIs with one meaning; keys on SoftHSM2 tokens as holders and exporter; what a wrong token cannot do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import sha256_of
from bundler.errors import MalformedError, SealiftError

pytest.importorskip("pkcs11")

from tests.simulators.laptops import Desk
from tests.simulators.tokens import PIN, Tokens, shared_tokens
from trust_root import tokens as room
from trust_root.client import open_trust
from trust_root.keys import verify_key_signature
from trust_root.repository import open_repository
from trust_root.tokens import TokenAddress, format_address, open_token_key, parse_address

MODULE = "?module-path=/x.so"


def text() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


class TestAddress:
    @given(
        st.builds(
            TokenAddress, text(), st.none() | text(), st.none() | text(), st.binary(min_size=1), st.none() | text()
        )
    )
    @settings(derandomize=True, deadline=None, max_examples=100)
    def test_round_trip(self, address: TokenAddress) -> None:
        assert parse_address(format_address(address)) == address

    def test_what_others_write(self) -> None:
        uri = "pkcs11:id=%01%ff;token=My%20token;object=root;type=private?module-path=/usr/lib/x.so"
        assert parse_address(uri) == TokenAddress("My token", None, "root", b"\x01\xff", "/usr/lib/x.so")

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "pkcs11:",
            "file:token=a;object=b",
            "pkcs11:token=a",
            "pkcs11:object=b",
            "pkcs11:token=a;object=b;object=c",
            "pkcs11:token=a;object=b;type=public",
            "pkcs11:token=a;object=b;slot-id=1",
            "pkcs11:token=a;object=b;",
            "pkcs11:token=;object=b",
            "pkcs11:token=a;object=%zz",
            "pkcs11:token=a;object=%ff",
            "pkcs11:token=a;object=b c",
            "pkcs11:token=a;object=b?pin-value=1234",
            "pkcs11:token=a;object=b?pin-source=/etc/pin",
            "pkcs11:token=a;object=b?module-name=x",
        ],
    )
    def test_refused(self, uri: str) -> None:
        with pytest.raises(MalformedError) as error:
            parse_address(uri)
        assert error.value.code == "pkcs11-uri"

    def test_no_message_repeats_a_pin(self) -> None:
        with pytest.raises(SealiftError) as error:
            open_token_key("pkcs11:token=a;object=b?pin-value=1234", lambda _name: b"", None)
        assert error.value.code == "pkcs11-uri"
        assert "1234" not in str(error.value)

    def test_no_driver(self) -> None:
        for module, code in ((None, "pkcs11-module"), ("/absent.so", "token"), ("/bin/sh", "token")):
            with pytest.raises(SealiftError) as error:
                open_token_key("pkcs11:token=a;object=b", lambda _name: b"", module)
            assert error.value.code == code


@pytest.fixture
def tokens() -> Tokens:
    return shared_tokens()


def pin(_name: str) -> bytes:
    return PIN.encode()


class TestTokens:
    @pytest.mark.parametrize(("token", "scheme"), [("alice", "nistp256"), ("bob", "nistp384")])
    def test_signatures_have_the_one_spelling(self, tokens: Tokens, token: str, scheme: str) -> None:
        key = open_token_key(tokens.uri(token, "root"), pin, None)
        assert key.public.scheme.endswith(scheme)
        for number in range(8):  # s is in the upper half every other time
            verify_key_signature(key.public, key.sign(bytes([number])), bytes([number]))

    @pytest.mark.parametrize(
        ("token", "label", "code"),
        [("nobody", "root", "token-key"), ("alice", "nothing", "token-key"), ("odd", "twin", "token-key"),
         ("odd", "k1", "token-key")],
    )  # fmt: skip
    def test_which_key(self, tokens: Tokens, token: str, label: str, code: str) -> None:
        with pytest.raises(SealiftError) as error:
            open_token_key(tokens.uri(token, label), pin, None)
        assert error.value.code == code

    def test_a_public_half_alone_does_not_sign(self, tokens: Tokens) -> None:
        key = open_token_key(tokens.uri("odd", "half"), pin, None)
        with pytest.raises(SealiftError) as error:
            key.sign(b"x")
        assert error.value.code == "token-key"

    @pytest.mark.parametrize("wrong", [b"0000", b"", b"x" * 300, b"\xff\xfe"])
    def test_the_wrong_pin(self, tokens: Tokens, wrong: bytes) -> None:
        key = open_token_key(tokens.uri("alice", "root"), lambda _name: wrong, None)
        with pytest.raises(SealiftError) as error:
            key.sign(b"x")
        assert error.value.code in {"pin", "token"}

    def test_a_token_that_signs_wrongly(self, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
        key = open_token_key(tokens.uri("alice", "root"), pin, None)
        monkeypatch.setattr(room, "ecdsa_digest", lambda _key, _payload: bytes(32))
        with pytest.raises(SealiftError) as error:
            key.sign(b"x")
        assert error.value.code == "token"


class TestCeremony:
    def test_holders_and_exporter_on_tokens(
        self, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
        desk = Desk(tmp_path, monkeypatch)
        env = {"SEALIFT_PKCS11_PIN": PIN}
        places = {"alice": "root", "bob": "root", "exporter": "online"}
        for name, label in places.items():
            desk.ok("key", name, "--keys", "public", "--pkcs11", tokens.uri(name, label), env=env)
        desk.key("carol")
        desk.ok(
            "init", "carried", "--holder", "public/alice.pub", "--holder", "public/bob.pub",
            "--holder", "carol/carol.pub", "--exporter", "public/exporter.pub", "--stream", "plant",
        )  # fmt: skip
        assert {path.suffix for path in Path("public").iterdir()} == {".pub"}
        for name in ("alice", "bob"):
            uri = tokens.uri(name, "root")
            assert desk.refused("sign", "carried", "--key", uri, "--yes", env={"SEALIFT_PKCS11_PIN": "0"}) == "pin"
            desk.ok("sign", "carried", "--key", uri, "--yes", env=env)
        uri = "pkcs11:token=exporter;object=online"
        assert desk.refused("sign", "carried", "--key", uri, "--yes", env=env) == "pkcs11-module"
        env["SEALIFT_PKCS11_MODULE"] = tokens.module
        desk.ok("sign", "carried", "--key", uri, "--yes", env=env)
        schemes = {key["name"]: key["fingerprint"] for key in desk.json("show", "carried")["root"]["roles"][0]["keys"]}
        assert set(schemes) == {"alice", "bob", "carol"}
        signer = open_token_key(tokens.uri("exporter", "online"), pin, None)
        with open_repository(Path("carried")) as repository:
            publication = repository.next_publication(desk.now)
            repository.write_pending(publication, sha256_of(b"x"), Path("out.tar"))
            files = repository.sign(publication, b"x", signer)
            assert open_trust(repository.pin, files, desk.now).stream == "plant"
        assert PIN not in json.dumps([path.read_bytes().decode() for path in Path("carried").rglob("*.json")])
