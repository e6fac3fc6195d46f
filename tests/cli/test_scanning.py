"""`sealift scan`: screens, JSON, SARIF, exit codes, what is not judged, hostile data and SBOMs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from bundler.cli.main import sealift
from tests.cli.session import Result, call
from tests.delivered import Delivered
from tests.simulators.images import SPDX
from tests.simulators.osv_vectors import affected, make_zip, record, span
from tests.simulators.sboms import spdx2
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_keys import AT
from tests.simulators.vulnerability_data import write_folder, write_zip
from tests.unit.deliver.test_image_inspection import NAME, World
from tests.unit.vulnerability.test_match import V3, V3_LOW

FLASK = affected("PyPI", "flask", span("introduced 0, fixed 2.2.5"))
HIGH = record(
    "GHSA-m2qf-hxjv-5gpq", FLASK, aliases=["CVE-2023-30861"], summary="cookies \x1b[31mshared\u202e",
    severity=[{"type": V3.kind, "score": V3.text}],
)  # fmt: skip
LOW = record(
    "DEBIAN-CVE-2023-0464", affected("Debian:12", "openssl", span("introduced 0, fixed 3.0.9-1")),
    upstream=["CVE-2023-0464"], severity=[{"type": V3_LOW.kind, "score": V3_LOW.text}],
)  # fmt: skip
PURLS = (
    "pkg:pypi/Flask@2.2.2",
    "pkg:deb/debian/libssl3@3.0.8-1?upstream=openssl&distro=debian-12",
    "pkg:npm/left-pad@1.3.0",
    "pkg:pypi/clean@1.0",
)


def sbom(*purls: str) -> dict[str, Any]:
    document = spdx2()
    document["packages"] = [
        {
            "name": f"package-{number}",
            "SPDXID": f"SPDXRef-{number}",
            "downloadLocation": "NOASSERTION",
            "externalRefs": [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
            ],
        }
        for number, purl in enumerate(purls)
    ]
    document["relationships"] = []
    return document


class Scene:
    """A bundle of one image with an SBOM for each platform, and data."""

    def __init__(self, folder: Path, *purls: str) -> None:
        self.folder = folder
        self.world = World(folder)
        self.world.finish()
        self.world.sign()
        for child in self.world.children:
            self.world.attach(SPDX, sbom(*purls), child)
        self.bundle = self.world.bundle()
        self.data = write_zip(folder / "osv.zip", [HIGH, LOW])

    def scan(self, *words: str | Path, data: Path | None = None) -> Result:
        return call(
            "scan", self.bundle, "--data", data or self.data, "--index", self.folder / "index",
            "--state", self.folder / "state", "--at", "2026-11-01", "--reason", "test", *words,
        )  # fmt: skip

    def document(self, *words: str | Path, data: Path | None = None) -> dict[str, Any]:
        return json.loads(self.scan(*words, "--json", data=data).out)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"), *PURLS)


def test_the_screen(scene: Scene) -> None:
    result = scene.scan()
    out = " ".join(result.out.split())
    assert result.code == 1
    assert "head trusted through pin" in out
    assert "2 records, newest of 2026-03-01, 244 days old" in out
    assert "linux/amd64, by its SBOM (SPDX 2.3): signed, inclusion promise" in out
    assert "1 critical, 1 low; 2 fixable; 3 of 4 packages judged, 1 NOT" in out
    assert "critical 9.8 CVE-2023-30861 Flask 2.2.2 2.2.5".lower() in out.lower()
    assert "note [no-data]: pkg:npm/left-pad@1.3.0: none of the data is about npm" in out
    assert out.endswith("4 findings in 2 SBOMs; 4 at or above --fail-on; 2 packages could not be judged")
    assert "\x1b" not in result.out + result.err
    assert [line for line in result.out.splitlines() if len(line) > 100] == []


def test_the_document(scene: Scene) -> None:
    document = scene.document(NAME, "--platform", "linux/arm64")
    (image,) = document["images"]
    assert (document["scan"], document["trusted"], document["failing"], document["fail_on"]) == (1, True, 2, "any")
    assert (image["image"], image["platform"], image["packages"], image["judged"]) == (NAME, "linux/arm64", 4, 3)
    first, second = image["findings"]
    assert (first["id"], first["aliases"], first["severity"]) == (
        "CVE-2023-30861", ["GHSA-m2qf-hxjv-5gpq"], "critical",
    )  # fmt: skip
    assert second["package"] == {
        "purl": PURLS[1], "name": "openssl", "version": "3.0.8-1", "ecosystem": "Debian:12", "where": "linux/arm64",
    }  # fmt: skip
    assert document["data"][0]["age_days"] == 244
    assert document == scene.document(NAME, "--platform", "linux/arm64")


@pytest.mark.parametrize(
    ("words", "code", "failing"),
    [
        ((), 1, 4),
        (("--fail-on", "low"), 1, 4),
        (("--fail-on", "medium"), 1, 2),
        (("--fail-on", "critical"), 1, 2),
        (("--fail-on", "never"), 0, 0),
        (("--fail-on", "never", "--strict"), 1, 0),
    ],
)
def test_exit_codes(scene: Scene, words: tuple[str, ...], code: int, failing: int) -> None:
    assert scene.scan(*words).code == code
    assert scene.document(*words)["failing"] == failing


def test_nothing_found_is_said_with_what_was_not_judged(scene: Scene, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "osv", [record("X-1", affected("PyPI", "other", span("introduced 0")))])
    result = scene.scan(data=data)
    assert result.code == 0
    assert "nothing found; 2 of 4 packages judged, 2 NOT" in " ".join(result.out.split())


def test_sarif_is_written_beside(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "scan.sarif"
    scene.scan("--sarif", out)
    log = json.loads(out.read_text())
    assert len(log["runs"][0]["results"]) == 4
    before = out.read_bytes()
    scene.scan("--sarif", out)
    assert out.read_bytes() == before


def test_lists_are_cut_and_all_prints_all(tmp_path: Path) -> None:
    records = [record(f"X-{number}", FLASK) for number in range(40)]
    scene = Scene(tmp_path, "pkg:pypi/flask@1", *[f"pkg:generic/x{number}@1" for number in range(9)])
    data = write_zip(tmp_path / "many.zip", records)
    short, long = scene.scan(data=data).out, scene.scan("--all", data=data).out
    assert "… and 10 more (--all prints all, --json too)" in short
    assert "note [ecosystem-unknown]: … and 6 more" in short
    assert "… and" not in long
    assert long.count("X-") == 80


# -- trust ------------------------------------------------------------------------------------------------------------


def test_without_a_pin(scene: Scene, tmp_path: Path) -> None:
    words = (
        "scan",
        scene.bundle,
        "--data",
        scene.data,
        "--index",
        scene.folder / "index",
        "--state",
        tmp_path / "none",
    )
    result = call(*words, "--fail-on", "never")
    assert (result.code, "NOT VERIFIED" in result.out, "[no-pin]" in result.err) == (4, True, True)
    assert "by the file's own keys" in " ".join(result.out.split())
    assert call(*words, "--fail-on", "never", "--untrusted").code == 0
    assert not (tmp_path / "none").exists()


def test_an_image_without_an_sbom_is_named(delivered: Delivered, tmp_path: Path) -> None:
    data = write_zip(tmp_path / "osv.zip", [HIGH])
    words = ("--data", data, "--index", tmp_path / "index", "--state", delivered.state, "--fail-on", "never")
    result = call("scan", delivered.bundle, *words)
    assert (result.code, "[sbom-missing]" in result.err) == (1, True)
    assert "NOT SCANNED: SBOM of registry.example.org/team/tool:7" in " ".join(result.out.split())
    assert call("scan", delivered.bundle, "registry.example.org/team/app:1", *words).code == 0


def test_an_sbom_whose_signature_does_not_hold_is_not_scanned(tmp_path: Path) -> None:
    world = World(tmp_path, "linux/amd64")
    world.finish()
    other = Sigstore("other")  # nobody at this site trusts it
    signer = other.keyless("https://else.example.org", at=AT, issuer="https://else.example.org")
    made = other.attest(world.top.digest, signer, predicate_type=SPDX, predicate=sbom(*PURLS))
    world.tag(world.top, "att", made)
    data = write_zip(tmp_path / "osv.zip", [HIGH])
    result = call(
        "scan", world.bundle(), "--data", data, "--index", tmp_path / "index", "--state", tmp_path / "state", "--json",
        "--at", "2026-11-01", "--reason", "test",
    )  # fmt: skip
    document = json.loads(result.out)
    assert (result.code, document["images"]) == (1, [])
    assert [item["reason"] for item in document["not_scanned"]] == ["sbom-missing"]
    assert "hint: not relied on: cosign-attestation about the index: " in result.err


# -- usage and hostile data -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("x.zip", make_zip({"../x.json": b"{}"}), "zip-name"),
        ("x.zip", make_zip({"x.json": b"{}"}), "data-empty"),
        ("x.zip", b"PK\x03\x04nothing", "zip"),
        ("x.json", json.dumps(HIGH).encode(), "data-form"),
    ],
)
def test_data_that_is_none_is_a_usage_error(scene: Scene, tmp_path: Path, name: str, raw: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(raw)
    result = scene.scan(data=tmp_path / name)
    assert (result.code, f"[{reason}]" in result.err, result.out) == (2, True, "")


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--at", "soon", "--reason", "x"), 2, "usage"),
        (("--fail-on", "sometimes"), 2, "usage"),
        (("no/such:image",), 2, "image-choice"),
        (("--platform", "windows/amd64"), 1, "platform-absent"),
        ((NAME, "--platform", "windows/amd64"), 2, "platform-absent"),
    ],
)
def test_what_does_not_fit(scene: Scene, words: tuple[str, ...], code: int, reason: str) -> None:
    result = scene.scan(*words)
    assert (result.code, f"[{reason}]" in result.err) == (code, True)


def test_without_data(scene: Scene) -> None:
    result = call("scan", scene.bundle)
    assert (result.code, "[no-vulnerability-data]" in result.err) == (2, True)
    absent = call("scan", scene.bundle, "--data", scene.folder / "none")
    assert (absent.code, "[file-absent]" in absent.err) == (6, True)


def test_without_the_extra(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packageurl", None)
    result = scene.scan()
    assert (result.code, "[extra-absent]" in result.err, "sealift[scan]" in result.err) == (6, True, True)


def test_a_bad_record_is_named_and_the_rest_is_used(scene: Scene, tmp_path: Path) -> None:
    files = {"good.json": json.dumps(HIGH).encode(), "bad\u202e.json": b"{]", "twice.json": b'{"id":1,"id":1}'}
    (tmp_path / "x.zip").write_bytes(make_zip(files))
    result = scene.scan(data=tmp_path / "x.zip")
    assert (result.code, result.out.count("note [record-refused]")) == (1, 2)
    assert "\u202e" not in result.out
    assert r"bad\u202e.json" in result.out


def test_help_names_examples_and_the_page() -> None:
    result = call("scan", "--help")
    assert (result.code, "Examples:" in result.out, "sealift help scan" in result.out) == (0, True, True)
    page = call("help", "scan").out
    assert page.startswith("# Scan")
    command = sealift.get_command(click.Context(sealift), "scan")
    assert command is not None
    options = {word for parameter in command.params for word in parameter.opts}
    assert {word for word in options if word.startswith("--")} - {"--help"} <= set(result.out.replace(",", " ").split())
