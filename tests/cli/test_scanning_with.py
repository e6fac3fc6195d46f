"""`sealift scan --with`: what trivy and grype say of each SBOM, offline flags, and each lie they can tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.errors import EnvError, MalformedError
from bundler.evidence.sbom import Package as SbomPackage
from bundler.network.sbom_scanner import SbomScanner, ScannerName
from bundler.vulnerability.scanner_report import ScannerWord, parse_grype_report, parse_trivy_report
from tests.cli.session import Result, call
from tests.cli.test_scanning import PURLS, Scene, sbom
from tests.simulators.scanner_stub import (
    VERSIONS,
    ScannerStub,
    grype_finding,
    grype_report,
    trivy_finding,
    trivy_report,
)
from tests.simulators.vulnerability_data import AT

REPORTS: dict[str, Any] = {"trivy": trivy_report(trivy_finding()), "grype": grype_report(grype_finding())}
NAMES: tuple[ScannerName, ...] = ("trivy", "grype")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"), *PURLS)


def scan(scene: Scene, *words: str | Path) -> Result:
    return call(
        "scan", scene.bundle, "--state", scene.folder / "state", "--at", "2026-11-01", "--reason", "test", *words
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_sbom_is_given_to_the_scanner(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stub = ScannerStub(tmp_path / "bin", name, REPORTS[name])
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    hiding = ("SECRET_TOKEN", "TRIVY_SEVERITY", "TRIVY_SERVER", "GRYPE_ONLY_FIXED")
    for variable in hiding:
        monkeypatch.setenv(variable, "x")
    result = scan(scene, "--with", name, "--scanner-db", tmp_path / "db", "--json")
    document = json.loads(result.out)
    assert (result.code, document["scanner"], document["data"], document["judged"]) == (1, name, [], 0)
    assert [(image["platform"], image["strength"]) for image in document["images"]] == [
        ("linux/amd64", "signed, inclusion promise"), ("linux/arm64", "signed, inclusion promise"),
    ]  # fmt: skip
    (finding,) = document["images"][0]["findings"]
    assert (finding["id"], finding["severity"], finding["score"]) == ("CVE-2023-30861", "high", "7.5")
    assert finding["package"]["purl"] == "pkg:pypi/flask@2.2.2"
    assert [note["reason"] for note in document["data_notes"]] == ["scanner-silent"]
    told = [note["detail"] for note in document["images"][0]["notes"] if note["reason"] == "scanner-data"]
    assert told == (["its database is of 2026-10-20, 11 days old"] if name == "trivy" else [])
    assert finding["sources"][0].startswith(f"{name} 0.")
    assert len(stub.calls) == 2
    for arguments, environment in stub.calls:
        assert {environment[key] for key in hiding} == {None}
        assert arguments[-2:] == ["--config", "settings.yaml"]
        if name == "trivy":
            assert {"--offline-scan", "--skip-db-update", "--list-all-pkgs"} <= set(arguments)
            assert environment["TRIVY_CACHE_DIR"] == str(tmp_path / "db")
        else:
            assert environment["GRYPE_DB_AUTO_UPDATE"] == "false"
            assert "--quiet" not in arguments  # it would not say why it failed
            assert environment["GRYPE_DB_CACHE_DIR"] == str(tmp_path / "db")


def test_the_scanner_gets_the_sbom_as_it_was_attested(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told.json"
    ScannerStub(tmp_path / "bin", "trivy", REPORTS["trivy"], f"json.dump(SBOM, open({str(told)!r}, 'w')); honest()")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert scan(scene, "--with", "trivy", "--platform", "linux/arm64", "--fail-on", "never").code == 0
    assert json.loads(told.read_text()) == sbom(*PURLS)


def test_the_screen_says_whose_word_it_is(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ScannerStub(tmp_path / "bin", "trivy", REPORTS["trivy"])
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    out = " ".join(scan(scene, "--with", "trivy").out.split())
    assert "note [scanner-silent]: trivy 0.58.1: does not say which packages it could not judge" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("pass", "lied"),
        ("open(OUTPUT, 'w')", "lied"),
        ("os.symlink('/etc/passwd', OUTPUT)", "lied"),
        ("os.mkdir(OUTPUT)", "lied"),
        ("open(OUTPUT, 'w').write('{')", "lied"),
        ("open(OUTPUT, 'w').write('[]')", "lied"),
        ('open(OUTPUT, \'w\').write(\'{"matches": 1, "Results": 1, "SchemaVersion": 2}\')', "lied"),
        ("open(OUTPUT, 'w').truncate(1 << 30)", "lied"),
        ("honest(); sys.exit(1)", "failed"),
        ("honest(); os.kill(os.getpid(), 9)", "failed"),
        ("sys.stderr.write('no database\\x1b[2J'); sys.exit(1)", "failed"),
    ],
)
def test_lies_have_names(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str, reason: str
) -> None:
    ScannerStub(tmp_path / "bin", name, REPORTS[name], body)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    result = scan(scene, "--with", name, "--fail-on", "never")
    assert (result.code, f"[{name}-{reason}]" in result.err, result.out) == (6, True, "")
    assert "\x1b" not in result.err


@pytest.mark.parametrize("name", NAMES)
def test_a_scanner_that_hangs_is_ended(tmp_path: Path, name: ScannerName) -> None:
    stub = ScannerStub(tmp_path / "bin", name, b"", "time.sleep(60)")
    with pytest.raises(EnvError) as caught:
        SbomScanner(name, str(stub.path), seconds=0.5).scan(b"{}", tmp_path / "run", "it")
    assert caught.value.code == f"{name}-stalled"


@pytest.mark.parametrize("name", NAMES)
def test_absent_and_too_old(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    result = scan(scene, "--with", name)
    assert (result.code, f"[{name}-absent]" in result.err, "hint: install" in result.err) == (6, True, True)
    ScannerStub(
        tmp_path / "bin", name, REPORTS[name], version={"trivy": "Version: 0.1.0", "grype": "grype 0.1.0"}[name]
    )
    assert f"[{name}-version]" in scan(scene, "--with", name).err


@pytest.mark.parametrize(
    "words", [("--with", "trivy", "--data", "x"), ("--with", "grype", "--index", "x"), ("--scanner-db", "x")]
)
def test_options_that_do_not_fit(scene: Scene, words: tuple[str, ...]) -> None:
    result = scan(scene, *words)
    assert (result.code, "[usage]" in result.err) == (2, True)


# -- reports ----------------------------------------------------------------------------------------------------------


def trivy(*found: dict[str, Any], **more: Any) -> Any:
    return parse_trivy_report(json.dumps(trivy_report(*found) | more).encode(), "here").findings


def grype(*found: dict[str, Any]) -> Any:
    return parse_grype_report(json.dumps(grype_report(*found)).encode(), "here").findings


def test_a_trivy_finding() -> None:
    (finding,) = trivy(trivy_finding(), trivy_finding())
    assert (finding.record_id, finding.aliases, finding.fixed_in) == ("CVE-2023-30861", (), ("2.3.2", "2.2.5"))
    assert (finding.package.name, finding.package.version, finding.package.where) == ("flask", "2.2.2", "here")
    assert (finding.published_at.year, finding.modified_at.year) == (2023, 2024)
    (bare,) = trivy({"VulnerabilityID": "X-1", "PkgName": "x"})
    assert (bare.severity, bare.score, bare.fixed_in, bare.package.purl) == ("unknown", "", (), "")
    assert trivy(Results=None) == ()


def notes(word: ScannerWord, *purls: str) -> list[tuple[str, str, str]]:
    packages = [SbomPackage(purl or "x", "1", purl) for purl in purls]
    return [(note.code, note.subject, note.detail) for note in word.notes(packages, "it 1", AT)]


def test_what_trivy_did_not_look_at_is_told() -> None:
    purls = ("pkg:deb/debian/a@1?arch=amd64&distro=debian-12", "pkg:pypi/Flask@2.2.2", "pkg:pypi/gone@1", "", "pkg:")
    seen = [{"Name": "flask", "Identifier": {"PURL": "pkg:pypi/flask@2.2.2"}}, {"Name": "x", "Identifier": {}}, {}]
    raw = json.dumps(trivy_report() | {"Results": [{"Packages": seen}, {"Packages": None}]}).encode()
    assert notes(parse_trivy_report(raw, "here"), *purls) == [
        ("scanner-unseen", "no package URL", "2 of 2 packages that it 1 did not look at"),
        ("scanner-unseen", "pkg:deb", "1 of 1 packages that it 1 did not look at"),
        ("scanner-unseen", "pkg:pypi", "1 of 2 packages that it 1 did not look at"),
    ]
    assert notes(parse_trivy_report(raw, "here"), "pkg:pypi/flask@2.2.2") == []


def test_what_trivy_looks_for_under_another_name_is_told() -> None:
    place = "pkg:deb/debian/{}@1?distro=debian-12"
    libssl, bash = place.format("libssl3") + "&upstream=openssl", place.format("bash")
    for source, told in (("libssl3", 1), ("openssl", 0), ("", 0)):
        seen = [{"SrcName": source, "Identifier": {"PURL": libssl}}, {"SrcName": "bash", "Identifier": {"PURL": bash}}]
        raw = json.dumps(trivy_report() | {"Results": [{"Packages": seen}]}).encode()
        detail = "1 of 2 packages that it 1 knows by another source than the SBOM names"
        assert notes(parse_trivy_report(raw, "here"), libssl, bash) == [("scanner-source", "pkg:deb", detail)] * told


def test_what_grype_left_out_is_told() -> None:
    raw = json.dumps(grype_report() | {"ignoredMatches": [grype_finding(), grype_finding()]}).encode()
    told = [("scanner-ignored", "it 1", "2 findings left out by its own rules")]
    assert notes(parse_grype_report(raw, "here"), "pkg:pypi/a@1") == told


@pytest.mark.parametrize(
    ("said", "day"),
    [
        (VERSIONS["trivy"], "2026-10-20"),
        ("Version: 0.58.1\nVulnerability DB:\n  UpdatedAt: 2026-10-01 00:00:00 +0000 UTC\n", "2026-10-01"),
        ("Version: 0.58.1\nJava DB:\n  Version: 1\n  UpdatedAt: 2026-01-01 00:00:00 +0000 UTC\n", ""),
        ("Version: 0.58.1\nVulnerability DB:\n  UpdatedAt: 2026-13-41 00:00:00 +0000 UTC\n", ""),
        ("Version: 0.58.1\nVulnerability DB:\n  UpdatedAt: never\n", ""),
        ("Version: 0.58.1", ""),
    ],
)
def test_how_old_trivys_database_is(tmp_path: Path, said: str, day: str) -> None:
    stub = ScannerStub(tmp_path / "bin", "trivy", b"", version=said)
    at = SbomScanner("trivy", str(stub.path)).database_at()
    assert (at.date().isoformat() if at else "") == day


@pytest.mark.parametrize("below", ["status", ""])
def test_how_old_grypes_database_is(below: str) -> None:
    built = {"built": "2026-09-30T01:00:00Z", "path": "/x"}
    told = {"name": "grype", "version": "1", "db": {"status": built} if below else built}
    raw = json.dumps(grype_report() | {"descriptor": told}).encode()
    assert notes(parse_grype_report(raw, "here")) == [
        ("scanner-data", "it 1", "its database is of 2026-09-30, 31 days old")
    ]
    for other in ({"db": 1}, {"db": {"status": None}}, {}):
        raw = json.dumps(grype_report() | {"descriptor": other}).encode()
        assert notes(parse_grype_report(raw, "here")) == []


def test_a_grype_finding() -> None:
    (finding,) = grype(grype_finding())
    assert (finding.record_id, finding.aliases, finding.fixed_in) == (
        "CVE-2023-30861", ("GHSA-m2qf-hxjv-5gpq",), ("2.2.5",),
    )  # fmt: skip
    (bare,) = grype({"vulnerability": {"id": "X-1", "severity": "Negligible"}, "artifact": {"name": "x"}})
    assert (bare.severity, bare.fixed_in) == ("low", ())


@pytest.mark.parametrize(
    "call_it",
    [
        lambda: trivy(SchemaVersion=1),
        lambda: trivy({"PkgName": "x"}),
        lambda: trivy(trivy_finding(VulnerabilityID="")),
        lambda: trivy(trivy_finding(PkgName="x" * (limits.OSV_NAME_CHARACTERS + 1))),
        lambda: trivy(trivy_finding(PublishedDate="soon")),
        lambda: grype({"vulnerability": {}, "artifact": {}}),
        lambda: grype(grype_finding(artifact=None)),
        lambda: parse_grype_report(b"{}", "here"),
        lambda: parse_trivy_report(b'{"SchemaVersion":2,"SchemaVersion":2}', "here"),
    ],
)
def test_what_is_no_report_is_refused(call_it: Any) -> None:
    with pytest.raises(MalformedError):
        call_it()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    key=st.sampled_from(sorted({*trivy_finding(), *grype_finding()})),
    value=st.none() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=2) | st.just({"a": {}}),
)
def test_any_value_is_read_or_refused(key: str, value: Any) -> None:
    for ask, make in ((trivy, trivy_finding), (grype, grype_finding)):
        try:
            (finding,) = ask(make(**{key: value}))
        except MalformedError:
            continue
        assert finding.record_id
