"""`sealift export` as typed: options, pairing of names, output, exit codes."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bundler.cli.export import pair_names
from bundler.cli.main import main
from tests.simulators.images import Layout, layer, two_platforms
from tests.simulators.sigstore import Sigstore
from trust_root.ceremony import create, publish

NAME = "registry.example.org/app:1"
NOW = datetime.now(UTC).replace(microsecond=0)
POLICY = """format = 1
[[rule]]
images = ["registry.example.org/*"]
[[rule.signature]]
key = "KEY"
"""


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one publisher's key, and an app signed with it."""
    folder = tmp_path_factory.mktemp("ceremony")
    create(
        folder / "repository", folder / "keys", "main", lambda _: b"pass", NOW, threshold=1, holders=1,
        development=True,
    )  # fmt: skip
    sigstore = Sigstore()
    signer = sigstore.key_signer()
    add = {
        "keys/team.pub": signer.public_pem.encode(),
        "trusted_root/demo.json": sigstore.trusted_root_json(),
    }
    publish(folder / "repository", folder / "keys", lambda _: b"pass", NOW, add=add)
    layout, top, _ = two_platforms(NAME)
    made = layout.cosign([sigstore.sign(top.digest, signer, at=NOW)])
    layout.tag_evidence(made, top, "sig", "registry.example.org/app")
    layout.write(folder / "app")
    nameless = Layout()
    nameless.name(nameless.image("linux/amd64", [layer(seed=1)]), "latest")
    nameless.write(folder / "nameless")
    return folder


@pytest.fixture
def place(ceremony: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ceremony, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALIFT_KEY_PASSPHRASE", "pass")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


WHERE = ("--repository", "repository", "--keys", "keys")


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["export", *arguments]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out, captured.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    out, _ = run(capsys, *arguments, "--json", code=code)
    value: dict[str, Any] = json.loads(out)
    return value


def test_export_as_text(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "oci:app", "-o", "x.bundle.tar", *WHERE, "--stream", "main")
    assert out.startswith("exported x.bundle.tar\n")
    assert "stream main, sequence 1" in out
    assert "evidence 2 buildkit-attestation, 1 cosign-signature" in out
    assert "development only" in err
    assert (place / "x.bundle.tar").is_file()


def test_export_as_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = run_json(
        capsys, "oci:app", "oci:nameless", "--name", "x/y", "-o", "x.bundle.tar", *WHERE, "--audience", "plant-7",
        "--platform", "linux/amd64", "--compression", "none",
    )  # fmt: skip
    assert [image["name"] for image in value["images"]] == [NAME, "docker.io/x/y:latest"]
    assert [item["platform"] for item in value["images"][0]["omitted"]] == ["linux/arm64", "unknown/unknown"]
    assert (value["audience"], value["sequence"], value["previous"]) == (["plant-7"], 1, None)
    assert value["size_bytes"] == (place / "x.bundle.tar").stat().st_size


@pytest.mark.parametrize("words", [["-f", "sealift.toml"], ["--file=sealift.toml"]])
def test_export_from_settings(place: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    (place / "sealift.toml").write_text(
        'stream = "main"\nrepository = "repository"\nkeys = "keys"\naudience = ["plant-1"]\nrequire = ["signature"]\n'
        '[[image]]\nsource = "oci:app"\n[[image]]\nsource = "oci:nameless"\nname = "n"\nmay_lack = ["signature"]\n'
    )
    value = run_json(capsys, *words, "-o", "x.bundle.tar", "--audience", "plant-2")
    assert value["audience"] == ["plant-2"]
    assert len(value["images"]) == 2


def test_the_key_itself(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = (place / "keys" / "exporter.pem").rename(place / "mine.pem")
    run(capsys, "oci:app", "-o", "1.bundle.tar", "--repository", "repository", "--key", "mine.pem")
    run(capsys, "oci:app", "-o", "2.bundle.tar", *WHERE, "--key", "mine.pem")
    run(capsys, "oci:app", "-o", "3.bundle.tar", *WHERE, code=6)
    (place / "inner").mkdir()
    (place / "inner" / "sealift.toml").write_text(
        'repository = "../repository"\nkey = "../mine.pem"\n[[image]]\nsource = "oci:../app"\n'
    )
    value = run_json(capsys, "-f", "inner/sealift.toml", "-o", "3.bundle.tar")
    assert value["sequence"] == 3
    shutil.copy(key, place / "repository" / "mine.pem")
    words = ("oci:app", "-o", "4.bundle.tar", "--repository", "repository", "--key")
    assert "[keys-in-repository]" in run(capsys, *words, "repository/mine.pem", code=2)[1]
    assert "[exporter-key]" in run(capsys, *words, "keys/root-1.pem", code=2)[1]
    assert "[pkcs11-uri]" in run(capsys, *words, "pkcs11:token=x", code=2)[1]


def test_dry_run_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(str(path) for path in place.rglob("*"))
    value = run_json(capsys, "oci:app", "--dry-run")
    assert (value["dry_run"], value["images"][0]["name"], value["free_bytes"]) == (True, NAME, None)
    assert 0 < value["needed_bytes"]["least"] <= value["needed_bytes"]["most"]
    out, _ = run(capsys, "oci:app", "--dry-run", "-o", "x.bundle.tar")
    assert out.startswith("would export 1 image, ")
    assert "space free" in out
    assert sorted(str(path) for path in place.rglob("*")) == before


def test_policy_accepts(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "policy.toml").write_text(POLICY.replace("KEY", "team"))
    run(capsys, "oci:app", "-o", "x.bundle.tar", *WHERE, "--policy", "policy.toml", "--audience", "plant-7")
    assert (place / "x.bundle.tar").is_file()


def test_policy_rejects(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "policy.toml").write_text(POLICY.replace("KEY", "nobody"))
    _, err = run(capsys, "oci:app", "-o", "x.bundle.tar", *WHERE, "--policy", "policy.toml", code=1)
    assert "REJECTED" in err
    assert "nothing was published" in err
    assert list(place.glob("*.tar")) == []
    assert not (place / "repository" / "pending").exists()


def test_source_date_epoch(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(NOW.timestamp()) + 5))
    assert run_json(capsys, "oci:app", "-o", "x.bundle.tar", *WHERE)["created"].endswith("Z")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(NOW.timestamp()) + 200_000))
    _, err = run(capsys, "oci:app", "-o", "y.bundle.tar", *WHERE, code=2)
    assert "source-date-epoch" in err
    _, err = run(capsys, "oci:app", "-o", "y.bundle.tar", *WHERE, "--development", "--allow-expiring")
    assert "warning: --development" in err
    assert "warning: --allow-expiring" in err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["oci:app", *WHERE], 2, "usage"),
        (["oci:app", "-o", "x", "--keys", "keys"], 2, "usage"),
        (["-o", "x", *WHERE], 2, "usage"),
        (["oci:app", "-f", "sealift.toml", "-o", "x"], 2, "usage"),
        (["-f", "none.toml", "-o", "x"], 6, "file-absent"),
        (["oci:nameless", "-o", "x", *WHERE], 2, "name-missing"),
        (["oci:app", "--name", "UPPER/x/Y", "-o", "x", *WHERE], 2, "reference"),
        (["oci:app", "--name", "a", "--name", "b", "-o", "x", *WHERE], 2, "usage"),
        (["oci:app", "--platform", "linux", "-o", "x", *WHERE], 2, "platform"),
        (["oci:app", "--platform", "linux/s390x", "-o", "x", *WHERE], 2, "platform-absent"),
        (["docker://Nginx", "-o", "x", *WHERE], 2, "source"),
        (["containers-storage:nginx", "-o", "x", *WHERE], 2, "source"),
        (["oci:app", "-o", "x", *WHERE, "--large-blobs", "1X"], 2, "size"),
        (["oci:app", "-o", "x", *WHERE, "--evidence-repository", "A b"], 2, "reference"),
        (["oci:app", "-o", "x", *WHERE, "--proofs", "none", "--require-inclusion-proof"], 2, "usage"),
        (["127.0.0.1:1/app", "-o", "x", *WHERE, "--retry-times", "0", "--cache", "c"], 6, "network"),
        (["oci:none", "-o", "x", *WHERE], 6, "file-absent"),
        (["oci:app", "-o", "keys", *WHERE], 2, "target-exists"),
        (["oci:app", "-o", "x", *WHERE, "--stream", "other"], 2, "stream"),
        (["oci:app", "-o", "x", "--repository", "app", "--keys", "keys"], 2, "no-repository"),
        (["oci:app", "-o", "x", *WHERE, "--policy", "none.toml"], 2, "file"),
        (["oci:app", "-o", "x", *WHERE, "--compression", "gzip"], 2, "usage"),
        (["oci:app", "-o", "x", *WHERE, "--audience", "not a name"], 2, "name"),
        (["oci:app", "-o", "x", *WHERE, "--nothing"], 2, "usage"),
    ],
)
def test_mistakes(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, reason: str
) -> None:
    assert run_json(capsys, *arguments, code=code)["error"]["reason"] == reason
    assert not (place / "x").exists()


def test_a_wrong_passphrase(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALIFT_KEY_PASSPHRASE", "wrong")
    _, err = run(capsys, "oci:app", "-o", "x", *WHERE, code=2)
    assert "[passphrase]" in err
    assert "wrong" not in err


def test_control_characters_are_escaped(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout()
    layout.name(layout.image("linux/amd64", [layer(seed=1)]), "a\x1b[2J\nb")
    layout.name(layout.image("linux/amd64", [layer(seed=2)]), "c\u202e")
    layout.write(place / "odd")
    out, err = run(capsys, "oci:odd", "-o", "x", *WHERE, code=2)
    for unsafe in ("\x1b", "\u202e"):
        assert unsafe not in out + err
    assert "\\x1b[2J\\x0ab" in err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "--help")
    assert "Examples:" in out
    assert "oci-archive:FILE[:REF]" in out


WITH_VALUE = frozenset({"--name", "-o", "--output", "--platform"})


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        ("A --name a B", [(0, "a")]),
        ("A B --name b", [(1, "b")]),
        ("A --name a B --name=b", [(0, "a"), (1, "b")]),
        ("--name a A", [(-1, "a")]),
        ("-o X A --platform P --name a --json", [(0, "a")]),
        ("-oX A --name a", [(0, "a")]),
        ("A --name --json", [(0, "--json")]),
        ("A --name", [(0, "")]),
        ("A -- --name a", []),
    ],
)
def test_names_are_paired_with_the_image_before(line: str, pairs: list[tuple[int, str]]) -> None:
    assert list(pair_names(line.split(), WITH_VALUE)) == pairs


def test_as_many_names_as_images_pair_in_order(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = run_json(capsys, "oci:app", "oci:nameless", "--name", "a", "--name", "b", "--dry-run")
    assert [image["name"] for image in value["images"]] == ["docker.io/library/a:latest", "docker.io/library/b:latest"]
