"""`sealift verify-blob`, as a user types it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.evidence.sigstore_bundle import format_bundle
from bundler.identity.certificate import parse_certificate
from scripts.sigstore_conformance_client import run
from tests.cli.session import call
from tests.simulators.claims import NAME, demand, policy
from tests.simulators.deliveries import Exporter, LayoutSource, make_site
from tests.simulators.images import two_platforms
from tests.simulators.judging import IDENTITY
from tests.simulators.sigstore_bundles import FILE, V01, WholeSigstore
from tests.simulators.sigstore_certificates import der
from tests.simulators.sigstore_keys import GITHUB, to_json
from tests.simulators.tuf_repository import TufRepository
from trust_root.pin import pin_root
from trust_root.site import load_site

SIGSTORE = WholeSigstore("verify-blob")
DIGEST = str(sha256_of(FILE))
WHO = ("--certificate-identity", IDENTITY, "--certificate-oidc-issuer", GITHUB)


@dataclass(frozen=True)
class Files:
    """What lies in the folder."""

    artifact: str
    bundle: str
    keyed: str
    key: str
    root: str
    state: str

    def words(self, artifact: str = "", bundle: str = "") -> tuple[str, ...]:
        """The command up to the signer."""
        return ("verify-blob", artifact or self.artifact, "--bundle", bundle or self.bundle, "--state", self.state)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    team = SIGSTORE.key_signer()
    contents = {
        "artifact": FILE,
        "bundle": format_bundle(SIGSTORE.bundle(FILE, SIGSTORE.keyless(IDENTITY))),
        "keyed": format_bundle(SIGSTORE.bundle(FILE, team, log="none", stamped=False)),
        "key": team.public_pem.encode(),
        "root": SIGSTORE.trusted_root_json(),
    }
    for name, raw in contents.items():
        (tmp_path / name).write_bytes(raw)
    return Files(*(str(tmp_path / name) for name in (*contents, "no-state")))


def test_a_file_and_its_digest(files: Files) -> None:
    for artifact in (files.artifact, DIGEST):
        result = call(*files.words(artifact), *WHO, "--trusted-root", files.root)
        assert (result.code, result.err) == (0, "")
        assert result.out.splitlines()[:3] == [f"verified  {DIGEST}", "  signed, inclusion proof", f"  by {IDENTITY}"]


def test_json(files: Files) -> None:
    result = call(*files.words(), *WHO, "--trusted-root", files.root, "--json")
    value = json.loads(result.out)
    assert (value["verdict"], value["signer"], value["issuer"]) == ("verified", IDENTITY, GITHUB)
    assert value["logs"][0]["kind"] == "hashedrekord 0.0.1"
    failed = call(*files.words("sha256:" + "0" * 64), *WHO, "--trusted-root", files.root, "--json")
    assert (failed.code, json.loads(failed.out)["error"]["reason"]) == (1, "digest-mismatch")


def test_a_root_certificate_inside(files: Files, tmp_path: Path) -> None:
    """As in npm's and SLSA's first Sigstore bundles: refused, unless typed in full, and then it shows."""
    signer = SIGSTORE.keyless(IDENTITY)
    chain = tuple(parse_certificate(der(each)) for each in SIGSTORE.authority.chain)
    made = {
        "chain": replace(SIGSTORE.bundle(FILE, signer, media_type=V01), chain=chain),
        "self-signed": replace(SIGSTORE.bundle(FILE, signer, media_type=V01), certificate=chain[-1]),
    }
    for name, bundle in made.items():
        (tmp_path / name).write_bytes(format_bundle(bundle))
    words = (*files.words(bundle=str(tmp_path / "chain")), *WHO, "--trusted-root", files.root)
    assert "bundle-root-cert" in call(*words).err
    allowed = call(*words, "--allow-root-certificate", "--json")
    assert allowed.code == 0
    assert ["root certificate" in phrase for phrase in json.loads(allowed.out)["weakened"]] == [True]
    assert "weaker: a root certificate" in call(*words, "--allow-root-certificate").out
    fine = call(*files.words(), *WHO, "--trusted-root", files.root, "--allow-root-certificate", "--json")
    assert json.loads(fine.out)["weakened"] == []
    itself = (*files.words(bundle=str(tmp_path / "self-signed")), *WHO, "--trusted-root", files.root)
    assert "bundle-root-cert" in call(*itself, "--allow-root-certificate").err


def test_a_pattern_for_the_identity(files: Files) -> None:
    rest = ("--certificate-oidc-issuer", GITHUB, "--trusted-root", files.root)
    assert call(*files.words(), "--certificate-identity-regexp", r"^https://example\.org/.*$", *rest).code == 0
    assert call(*files.words(), "--certificate-identity-regexp", r"^https://example\.com/.*$", *rest).code == 1
    loose = call(*files.words(), "--certificate-identity-regexp", "example", *rest)
    assert loose.code == 2
    assert "write ^example$" in loose.err


def test_a_key(files: Files) -> None:
    assert call(*files.words(bundle=files.keyed), "--key", files.key).code == 0
    assert call(*files.words(), "--key", files.key, "--trusted-root", files.root).code == 1
    assert "[key-material]" in call(*files.words(bundle=files.keyed), *WHO, "--trusted-root", files.root).err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--certificate-identity", IDENTITY),
        ("--certificate-oidc-issuer", GITHUB),
        (*WHO, "--certificate-identity-regexp", "^x$"),
        (*WHO, "--key", "x"),
        ("--certificate-identity", "", "--certificate-oidc-issuer", GITHUB),
        ("--key", "/does/not/exist"),
    ],
)
def test_a_signer_half_named(files: Files, words: tuple[str, ...]) -> None:
    result = call(*files.words(), *words, "--trusted-root", files.root)
    assert (result.code, result.out) == (2, "")


def test_no_trusted_root(files: Files) -> None:
    result = call(*files.words(), *WHO)
    assert result.code == 1
    assert "[trusted-root-missing]" in result.err
    assert "hint: name one: --trusted-root" in result.err


@pytest.mark.parametrize(("log", "code"), [("rekor-1", "log-unknown"), ("none", "timestamp-untrusted")])
def test_a_key_and_what_only_a_trusted_root_can_judge(files: Files, tmp_path: Path, log: str, code: str) -> None:
    team = SIGSTORE.key_signer()
    (tmp_path / "key").write_text(team.public_pem)
    (tmp_path / "bundle").write_bytes(format_bundle(SIGSTORE.bundle(FILE, team, log=log)))
    words = (*files.words(bundle=str(tmp_path / "bundle")), "--key", str(tmp_path / "key"))
    result = call(*words)
    assert (result.code, f"[{code}]" in result.err, "hint: name one: --trusted-root" in result.err) == (1, True, True)
    assert call(*words, "--trusted-root", files.root).code == 0


def test_files_that_are_not_there(files: Files) -> None:
    rest = (*WHO, "--trusted-root", files.root)
    assert call(*files.words("/does/not/exist"), *rest).code == 2
    assert call(*files.words(bundle="/does/not/exist"), *rest).code == 2
    assert call(*files.words("sha256:abc"), *rest).code == 2


def test_a_file_that_is_called_like_a_digest(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is meant; so a file of that name cannot stand in for it."""
    (tmp_path / DIGEST).write_bytes(b"something else")
    monkeypatch.chdir(tmp_path)
    assert call(*files.words(DIGEST), *WHO, "--trusted-root", files.root).code == 0


def deliver(folder: Path, roots: dict[str, bytes]) -> tuple[TufRepository, Path]:
    """A trust root that publishes these trusted roots, and a bundle with an image that a signer of SIGSTORE signed."""
    now = datetime.now(UTC).replace(microsecond=0)
    folder.mkdir()
    signer = SIGSTORE.keyless(IDENTITY, at=now - timedelta(hours=2))
    layout, top, _ = two_platforms(NAME, attested=False)
    layout.tag_evidence(
        layout.cosign([SIGSTORE.sign(top.digest, signer, at=now - timedelta(hours=2))]),
        top,
        "sig",
        NAME.partition(":")[0],
    )
    targets = {f"trusted_root/{name}.json": raw for name, raw in roots.items()}
    repository = TufRepository("main", at=now - timedelta(hours=1), targets=targets)
    source = LayoutSource("oci", layout.write(folder / "layout"), NAME)
    return repository, Exporter(repository, folder).deliver(source, at=now)


def accept(bundle: Path, state: Path, root: str | None = None) -> None:
    rules = state.parent / "policy.toml"
    rules.write_text(policy(demand("signature", **({"trusted_root": f'"{root}"'} if root else {}))))
    result = call("verify", bundle, "--policy", rules, "--state", state, "--quiet")
    assert result.code == 0, result.err


def test_the_sites_own_trusted_root(files: Files, tmp_path: Path) -> None:
    """What a site accepted with a bundle serves files too; nothing before that."""
    repository, bundle = deliver(tmp_path / "one", {"main": SIGSTORE.trusted_root_json()})
    state = make_site(tmp_path / "state", repository.pin, clock=datetime.now(UTC))
    words = ("verify-blob", files.artifact, "--bundle", files.bundle, "--state", str(state), *WHO)
    assert "[trusted-root-missing]" in call(*words).err
    accept(bundle, state)
    assert call(*words).code == 0
    assert call(*words, "--trusted-root-name", "main").code == 0
    assert "[trusted-root-missing]" in call(*words, "--trusted-root-name", "staging").err
    both = call(*words, "--trusted-root-name", "main", "--trusted-root", files.root)
    assert (both.code, "a file and a name" in both.err) == (2, True)
    now = datetime.now(UTC).replace(microsecond=0)
    load_site(state).set_floor(now + timedelta(days=2), "a delivery proved it", now)
    late = call(*words)  # a clock that is behind makes nothing young again
    assert (late.code, "[clock-behind]" in late.err) == (4, True)


def test_a_name_without_a_site(files: Files) -> None:
    """Whoever names a trusted root means it, also beside a key that could do without."""
    for words in ((*files.words(), *WHO), (*files.words(bundle=files.keyed), "--key", files.key)):
        result = call(*words, "--trusted-root-name", "main")
        assert (result.code, "[trusted-root-missing]" in result.err) == (1, True)


def test_one_of_several_trusted_roots(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One has to be named; the client of the public suite names the one that the suite means."""
    roots = {"public-good": SIGSTORE.trusted_root_json(), "staging": WholeSigstore("another").trusted_root_json()}
    repository, bundle = deliver(tmp_path / "one", roots)
    state = make_site(tmp_path / "state", repository.pin, clock=datetime.now(UTC))
    accept(bundle, state, "public-good")
    words = ("verify-blob", files.artifact, "--bundle", files.bundle, "--state", str(state), *WHO)
    unnamed = call(*words)
    assert (unnamed.code, "[trusted-root-ambiguous]" in unnamed.err) == (1, True)
    assert "hint: --trusted-root-name public-good" in unnamed.err
    assert call(*words, "--trusted-root-name", "public-good").code == 0
    assert "[log-unknown]" in call(*words, "--trusted-root-name", "staging").err
    monkeypatch.setenv("SEALIFT_STATE", str(state))
    suite = ["--bundle", files.bundle, *WHO]
    assert run(["verify-bundle", *suite, files.artifact]) == 0
    assert run(["verify-bundle", *suite, DIGEST]) == 0
    assert "[log-unknown]" not in capsys.readouterr().err
    assert run(["verify-bundle", "--staging", *suite, files.artifact]) == 1
    assert "[log-unknown]" in capsys.readouterr().err
    assert run(["verify-bundle", "--staging", *suite, "--trusted-root", files.root, files.artifact]) == 0


def test_the_suites_client_and_one_trusted_root(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The only one serves whatever it is called, except in place of `staging`."""
    suite = ["--bundle", files.bundle, *WHO, files.artifact]
    monkeypatch.setenv("SEALIFT_STATE", files.state)
    for staging in ([], ["--staging"]):
        assert run(["verify-bundle", *staging, *suite]) == 1
        assert "[trusted-root-missing]" in capsys.readouterr().err
    repository, bundle = deliver(tmp_path / "one", {"main": SIGSTORE.trusted_root_json()})
    state = make_site(tmp_path / "state", repository.pin, clock=datetime.now(UTC))
    accept(bundle, state)
    monkeypatch.setenv("SEALIFT_STATE", str(state))
    assert run(["verify-bundle", *suite]) == 0
    assert run(["verify-bundle", "--staging", *suite]) == 1
    assert "[trusted-root-missing]" in capsys.readouterr().err


def test_two_trust_roots_that_publish_another_one_under_one_name(files: Files, tmp_path: Path) -> None:
    """Neither is taken: which of them counts would be chance. One that both publish alike counts."""
    mine = SIGSTORE.trusted_root_json()
    theirs = to_json({**SIGSTORE.trusted_root_value(), "timestampAuthorities": []})
    first, bundle = deliver(tmp_path / "one", {"main": mine, "same": mine})
    second, other = deliver(tmp_path / "two", {"main": theirs, "same": mine})
    now = datetime.now(UTC)
    state = make_site(tmp_path / "state", first.pin, clock=now)
    pin_root(state, second.pin, sha256_of(second.pin), now, add=True)
    accept(bundle, state, "main")
    accept(other, state, "main")
    words = ("verify-blob", files.artifact, "--bundle", files.bundle, "--state", str(state), *WHO)
    refused = call(*words, "--trusted-root-name", "main")
    assert (refused.code, "[trusted-root-ambiguous]" in refused.err) == (1, True)
    assert call(*words, "--trusted-root-name", "same").code == 0
