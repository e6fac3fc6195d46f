"""Scan reports that came with an image: each form read, dates that are not told, severities, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.kind import REFERRER, scan_form
from bundler.evidence.scan_parts import SEVERITIES, UpstreamScan, rated, severity_of
from bundler.evidence.statement import parse_statement
from bundler.evidence.upstream_scan import may_be_scan, parse_scan_file, read_scan, scan_layers
from bundler.oci.manifest import ImageManifest, parse_manifest
from tests.simulators.images import Layout, layer, statement
from tests.simulators.upstream_scans import (
    COSIGN_VULN,
    SARIF_TYPE,
    SCOUT,
    TRIVY_TYPE,
    VULNS_01,
    VULNS_02,
    attach_file,
    cosign_vuln,
    grype,
    sarif,
    trivy,
    vulns,
)

SUBJECT = sha256_of(b"image")
AT, DATED = datetime(2026, 10, 20, 6, 0, tzinfo=UTC), datetime(2026, 10, 19, 18, 0, tzinfo=UTC)


def stated(predicate: Any, predicate_type: str = COSIGN_VULN) -> UpstreamScan:
    return read_scan(parse_statement(statement(SUBJECT, predicate_type, predicate)))


def file(document: Any) -> UpstreamScan:
    return parse_scan_file(json.dumps(document).encode())


def some(scan: UpstreamScan) -> dict[str, int]:
    assert scan.counts is not None
    assert tuple(scan.counts) == SEVERITIES
    return {word: count for word, count in scan.counts.items() if count}


# -- scanners' own documents -------------------------------------------------------------------------------------------


def test_trivy() -> None:
    scan = file(
        trivy("CRITICAL", "HIGH", "HIGH", "UNKNOWN", Metadata={"DiffIDs": ["sha256:aa"], "ImageID": "sha256:bb"})
    )
    assert (scan.form, scan.scanner, scan.version, scan.target) == ("Trivy", "Trivy", "0.68.1", "demo:1")
    assert scan.scanned_at == AT.replace(microsecond=123456)
    assert (scan.database, scan.database_at) == ("", None)
    assert some(scan) == {"critical": 1, "high": 2, "unknown": 1}
    assert (scan.findings, scan.targets, scan.suppressed) == (4, 2, 0)
    assert (scan.layers, scan.digests) == (("sha256:aa",), {"sha256:bb"})


def test_what_trivy_set_aside_is_told_and_nothing_looked_at_is_not_nothing_found() -> None:
    aside = [{"Type": "vulnerability", "Status": "not_affected"}, {"Type": "secret"}]
    scan = file(trivy(Results=[{"Target": "x", "ExperimentalModifiedFindings": aside}]))
    assert (scan.findings, scan.suppressed, scan.targets) == (0, 1, 1)
    assert [file(trivy(Results=None)).targets, file(trivy(Results=[])).targets] == [0, 0]


@pytest.mark.parametrize("newer", [True, False])
def test_grype(newer: bool) -> None:
    target = {
        "userInput": "demo:1", "imageID": "sha256:aa", "manifestDigest": "sha256:bb", "repoDigests": ["demo@sha256:cc"],
    }  # fmt: skip
    scan = file(grype("Critical", "Negligible", "", newer=newer, target=target, ignoredMatches=[{}, {}]))
    assert (scan.form, scan.scanner, scan.version, scan.target) == ("Grype", "grype", "0.90.0", "demo:1")
    assert (scan.database_at, scan.scanned_at) == (DATED, AT.replace(microsecond=500000))
    assert scan.database == ("https://grype.example.org/v6.tar.zst" if newer else "/cache/5")
    assert some(scan) == {"critical": 1, "negligible": 1, "unknown": 1}
    assert (scan.suppressed, scan.digests) == (2, frozenset({"sha256:aa", "sha256:bb", "sha256:cc"}))


def test_grype_of_a_folder_names_it() -> None:
    assert file(grype(target="/some/folder")).target == "/some/folder"


def test_sarif_is_named_and_not_counted() -> None:
    scan = file(sarif())
    assert (scan.form, scan.scanner, scan.version, scan.counts, scan.findings) == (
        "SARIF",
        "Trivy",
        "0.68.1",
        None,
        None,
    )


# -- predicates -------------------------------------------------------------------------------------------------------


def test_cosign_with_a_scanners_document_inside() -> None:
    scan = stated(cosign_vuln(trivy("LOW")))
    assert (scan.form, scan.result, scan.version) == ("cosign vuln v1", "Trivy", "0.68.1")
    assert scan.scanner == "pkg:github/aquasecurity/trivy@0.68.1"
    assert (scan.scanned_at, scan.database_at, some(scan)) == (AT, None, {"low": 1})


def test_what_the_predicate_does_not_say_the_document_inside_does() -> None:
    scan = stated(cosign_vuln(grype("High"), uri="", version=None, db=None))
    assert (scan.scanner, scan.version, scan.database_at) == ("grype", "0.90.0", DATED)


@pytest.mark.parametrize("result", [{"what": "ever"}, "text", [1], {"runs": 3, "version": "2.1.0"}])
def test_a_result_of_no_known_form_is_not_nothing_found(result: Any) -> None:
    scan = stated(cosign_vuln(result))
    assert (scan.result, scan.counts) == ("unknown", None)


def test_cosign_without_a_result() -> None:
    assert (stated(cosign_vuln(None)).result, stated(cosign_vuln(None)).counts) == ("", None)


def test_the_bare_predicate_as_a_file() -> None:
    assert file(cosign_vuln(trivy("LOW"))) == stated(cosign_vuln(trivy("LOW")))


@pytest.mark.parametrize("predicate_type", [VULNS_01, VULNS_02])
def test_in_toto(predicate_type: str) -> None:
    ratings: tuple[list[dict[str, Any]], ...] = (
        [{"method": "nvd", "score": "9.8"}, {"method": "vendor", "score": "low"}],
        [],
        [{"method": "epss", "score": "0.9"}],
    )
    scan = stated(vulns(*ratings), predicate_type)
    assert scan.form == f"in-toto vulns {predicate_type.rpartition('/')[2]}"
    assert (scan.scanner, scan.version, scan.database) == (
        "https://scanner.example.org",
        "7",
        "https://data.example.org v6",
    )
    assert (scan.database_at, scan.scanned_at) == (DATED, AT)
    assert some(scan) == {"critical": 1, "unknown": 2}


def test_an_empty_result_says_more_than_none() -> None:
    assert stated(vulns(), VULNS_02).findings == 0
    assert stated(vulns(result=None), VULNS_02).findings == 0
    predicate = vulns()
    del predicate["scanner"]["result"]
    assert stated(predicate, VULNS_02).counts is None


def test_docker_scout_is_named() -> None:
    assert stated({"any": "thing"}, SCOUT) == UpstreamScan("Docker Scout v0.1")


# -- dates and severities ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("never", ["", None, "0001-01-01T00:00:00Z"])
def test_dates_that_go_writes_for_none_are_not_told(never: str | None) -> None:
    predicate = vulns(db={"lastUpdate": never})
    predicate["metadata"] = {"scanFinishedOn": never, "scanStartedOn": "2026-10-20T06:00:00Z"}
    scan = stated(predicate, VULNS_01)
    assert (scan.database_at, scan.scanned_at) == (None, AT)


@pytest.mark.parametrize(
    ("method", "score", "severity"),
    [
        ("nvd", "10.0", "critical"), ("CVSS_v3", "7.0", "high"), ("cvss", "6.99", "medium"), ("cvss", "0.1", "low"),
        ("cvss", "0.0", "negligible"), ("cvss", "10.1", "unknown"), ("cvss", "nan", "unknown"),
        ("epss", "9.8", "unknown"),
        ("", "High", "high"), ("redhat", "Important", "high"), ("x", "moderate", "medium"), ("x", "urgent", "unknown"),
        ("cvss", "CVSS:3.1/AV:N", "unknown"), ("cvss", "9" * 5000, "unknown"),
    ],
)  # fmt: skip
def test_severities(method: str, score: str, severity: str) -> None:
    assert rated(method, score) == severity


def test_scores_as_numbers_are_read_as_words_are() -> None:
    numbers = ([{"method": "cvss", "score": 9.8}], [{"method": "cvss", "score": 5}])
    assert some(stated(vulns(*numbers), VULNS_02)) == {"critical": 1, "medium": 1}
    assert severity_of("\x1b[31mHIGH") == "unknown"


# -- what is refused --------------------------------------------------------------------------------------------------

BAD_TRIVY: dict[str, tuple[dict[str, Any], str]] = {
    "another schema": ({"SchemaVersion": 3}, "scan-version"),
    "a schema of text": ({"SchemaVersion": "2"}, "field-type"),
    "results of text": ({"Results": "none"}, "field-type"),
    "a result of text": ({"Results": ["none"]}, "field-type"),
    "findings of text": ({"Results": [{"Vulnerabilities": "none"}]}, "field-type"),
    "a severity of a number": ({"Results": [{"Vulnerabilities": [{"Severity": 5}]}]}, "field-type"),
    "a severity that Go would fold": ({"Results": [{"Vulnerabilities": [{"severity": "LOW"}]}]}, "field-case"),
    "findings that Go would fold": ({"Results": [{"vulnerabilities": []}]}, "field-case"),
    "results that Go would fold": ({"results": []}, "field-case"),
    "no time": ({"CreatedAt": "yesterday"}, "time"),
    "a long name": ({"ArtifactName": "x" * (limits.SCAN_TEXT_CHARACTERS + 1)}, "limits"),
    "many names": ({"Metadata": {"RepoDigests": ["x"] * (limits.SCAN_NAMES + 1)}}, "limits"),
    "layers of numbers": ({"Metadata": {"DiffIDs": [1]}}, "field-type"),
}


@pytest.mark.parametrize("case", BAD_TRIVY)
def test_trivy_is_refused(case: str) -> None:
    change, code = BAD_TRIVY[case]
    with pytest.raises(RejectedError) as bare:
        file(trivy("LOW") | change)
    with pytest.raises(RejectedError) as inside:
        stated(cosign_vuln(trivy("LOW") | change))
    assert (bare.value.code, inside.value.code) == (code, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"matches": {}}, "field-type"), ({"matches": [1]}, "field-type"), ({"matches": [{}]}, "field-type"),
        ({"matches": [{"vulnerability": {"severity": 1}}]}, "field-type"),
        ({"matches": [{"vulnerability": {"Severity": "Low"}}]}, "field-case"), ({"Matches": []}, "field-case"),
        ({"descriptor": "grype"}, "field-type"), ({"descriptor": {"db": {"built": "soon"}}}, "time"),
    ],
)  # fmt: skip
def test_grype_is_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(RejectedError) as caught:
        file(grype() | change)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"scanner": None}, "field-type"), ({"scanner": {"result": {}}}, "field-type"),
        ({"scanner": {"result": [{"severity": []}]}}, "field-type"),
        ({"scanner": {"result": [{"id": ""}]}}, "field-type"),
        ({"scanner": {"result": [{"id": "x", "severity": {}}]}}, "field-type"),
        ({"scanner": {"result": [{"id": "x", "severity": [{"score": True}]}]}}, "field-type"),
        ({"scanner": {"result": [{"id": "x", "Severity": []}]}}, "field-case"),
        ({"scanner": {"Result": []}}, "field-case"), ({"Scanner": {}}, "field-case"),
        ({"scanner": {"version": 7}}, "field-type"), ({"metadata": {"scanFinishedOn": "now"}}, "time"),
        ({"scanner": {"db": {"lastUpdate": 7}}}, "field-type"),
    ],
)  # fmt: skip
def test_predicates_are_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(RejectedError) as caught:
        stated(vulns() | change, VULNS_02)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "json"), (b"[]", "scan-format"), (b"{}", "scan-format"), (b"<html>", "json"),
        (b'{"SchemaVersion":2,"SchemaVersion":2,"Results":[]}', "json-duplicate-key"),
        (b'{"version":"2.2.0","runs":[]}', "scan-version"), (b'{"matches":[]}', "scan-format"),
        (b'{"SchemaVersion":2,"Results":' + b"[" * 100, "json-depth"),
    ],
)  # fmt: skip
def test_files_are_refused(raw: bytes, code: str) -> None:
    with pytest.raises(RejectedError) as caught:
        parse_scan_file(raw)
    assert caught.value.code == code


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCAN_FINDINGS", 3)
    two: list[dict[str, Any]] = [{"Vulnerabilities": [{}, {}]}] * 2
    with pytest.raises(MalformedError) as caught:
        file(trivy(Results=two))
    assert caught.value.code == "limits"
    monkeypatch.setattr(limits, "SCAN_REPORT_BYTES", 10)
    with pytest.raises(MalformedError) as large:
        file(trivy())
    assert large.value.code == "json-size"


@pytest.mark.parametrize(
    ("predicate_type", "form"),
    [
        (f"{COSIGN_VULN}.1", "scan-version"), (COSIGN_VULN.replace("v1", "v2"), "scan-version"),
        ("https://in-toto.io/attestation/vulns", "scan-version"), (f"{VULNS_01}0", "scan-version"),
        (f"{VULNS_01}/x", "scan-format"), (f"{COSIGN_VULN} ", "scan-format"),
        ("https://cosign.sigstore.dev/attestation/v1", "scan-format"), (f"x{VULNS_01}", "scan-format"),
    ],
)  # fmt: skip
def test_other_versions_are_told_and_other_types_are_none(predicate_type: str, form: str) -> None:
    with pytest.raises(RejectedError) as caught:
        stated(vulns(), predicate_type)
    assert caught.value.code == form
    assert (scan_form(predicate_type) is None) == (form == "scan-format")


# -- where to look ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media_type", "artifact_type", "found"),
    [
        (TRIVY_TYPE, "", (TRIVY_TYPE, True)), (SARIF_TYPE, "", (SARIF_TYPE, True)),
        ("application/json", "application/vnd.example.thing", ("application/json", False)),
        ("application/json; charset=utf-8", "example/scan", ("example/scan", True)),
        ("application/vnd.oci.image.layer.v1.tar", "grype/json", ("grype/json", True)),
        ("application/vnd.oci.image.layer.v1.tar", "application/vnd.example", None),
        ("application/vnd.aquasec.trivy.db.layer.v1.tar+gzip", "application/vnd.aquasec.trivy.config.v1+json", None),
        ("application/vnd.in-toto+json", "example/scan", None), ("application/spdx+json", "trivy/sbom", None),
        ("application/vnd.scanner.thing", "application/scandal+json", None),
    ],
)  # fmt: skip
def test_layers_that_may_be_scan_reports(media_type: str, artifact_type: str, found: tuple[str, bool] | None) -> None:
    layout = Layout()
    image = layout.image("linux/amd64", [layer(b"x")])
    made = attach_file(layout, image, b"{}", media_type, artifact_type)
    manifest = parse_manifest(layout.read(made.digest), made.media_type)
    assert isinstance(manifest, ImageManifest)
    assert [item[1:] for item in scan_layers(manifest, REFERRER)] == ([found] if found else [])
    assert list(scan_layers(manifest, "cosign-signature")) == []


def test_plain_json_is_read_only_where_it_may_be_one() -> None:
    assert may_be_scan(json.dumps(trivy()).encode())
    assert not may_be_scan(b'{"config": {}}')


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["scanner", "metadata", "matches", "SchemaVersion", "Results", "runs", "version"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=8), inside, max_size=2),
            max_leaves=5,
        ),
    )
)
def test_any_shape_is_read_or_refused(document: dict[str, Any]) -> None:
    for read in (file, lambda value: stated(value, VULNS_02), stated):
        try:
            assert isinstance(read(document), UpstreamScan)
        except RejectedError:
            continue
