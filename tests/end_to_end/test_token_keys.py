"""A trust root on tokens, the whole way: holders and exporter on SoftHSM2, a bundle, a site that verifies it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("pkcs11")

from bundler.digest import sha256_of
from tests.cli.session import Result, call
from tests.simulators.images import two_platforms
from tests.simulators.sigstore import Sigstore
from tests.simulators.tokens import PIN, Tokens, shared_tokens
from trust_root.repository import read_repository

NAME = "registry.example.org/app:1"
POLICY = """format = 1
[[rule]]
images = ["registry.example.org/*"]
[[rule.signature]]
key = "team"
"""


@pytest.fixture
def tokens() -> Tokens:
    return shared_tokens()


def ok(*words: str | Path) -> Result:
    done = call(*words)
    assert done.code == 0, (words, done.out, done.err)
    return done


def test_from_the_token_to_the_site(tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALIFT_PKCS11_PIN", PIN)
    monkeypatch.setenv("SEALIFT_STATE", "state")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    uris = {
        name: tokens.uri(name, label) for name, label in (("alice", "root"), ("bob", "root"), ("exporter", "online"))
    }
    for name, uri in uris.items():
        ok("trust", "key", name, "--keys", "public", "--pkcs11", uri)
    ok(
        "trust", "init", "repo", "--holder", "public/alice.pub", "--holder", "public/bob.pub",
        "--exporter", "public/exporter.pub", "--stream", "plant",
    )  # fmt: skip
    for uri in uris.values():
        ok("trust", "sign", "repo", "--key", uri, "--yes")
    sigstore = Sigstore()
    signer = sigstore.key_signer()
    Path("team.pub").write_bytes(signer.public_pem.encode())
    Path("demo.json").write_bytes(sigstore.trusted_root_json())
    ok("trust", "publish", "repo", "--publisher-key", "team=team.pub", "--trusted-root", "demo=demo.json")
    for uri in uris.values():
        ok("trust", "sign", "repo", "--key", uri, "--yes")
    layout, top, _ = two_platforms(NAME)
    signed = sigstore.sign(top.digest, signer, at=datetime.now(UTC).replace(microsecond=0))
    layout.tag_evidence(layout.cosign([signed]), top, "sig", "registry.example.org/app")
    layout.write(tmp_path / "app")
    ok("export", "oci:app", "-o", "x.bundle.tar", "--repository", "repo", "--key", uris["exporter"], "--proofs", "none")

    schemes = {key.scheme for key in read_repository(Path("repo")).chain.newest.signed.keys.values()}
    assert schemes == {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"}
    pin = Path("repo/metadata/1.root.json")
    ok("trust", "pin", pin, "--sha256", sha256_of(pin.read_bytes()).hex, "--site", "plant-7")
    Path("policy.toml").write_text(POLICY)
    report = json.loads(ok("verify", "x.bundle.tar", "--policy", "policy.toml", "--json").out)
    assert report["verdict"] == "verified"
    assert list(Path("public").glob("*.pem")) == []
