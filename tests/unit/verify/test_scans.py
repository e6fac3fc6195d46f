"""Scan reports beside an image: where they lie, how strong, about which image; and what every report form tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bundler.errors import DamagedError, EnvError
from bundler.evidence.envelope import IN_TOTO
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import EMPTY_CONFIG
from bundler.report.as_text import format_text
from bundler.verify.images import Bench, judge_image
from bundler.verify.result import Report, TimeFact
from bundler.verify.scan_facts import CarriedScan, carried_document, told
from tests.simulators.claims import IDENTITY, NAME, REPOSITORY, Claims, demand, policy
from tests.simulators.images import Layout, layer, statement, two_platforms
from tests.simulators.patched import NAME as ORIGINAL
from tests.simulators.patched import PATCHED_NAME, patched_scene
from tests.simulators.upstream_scans import (
    COSIGN_VULN,
    SARIF_TYPE,
    TRIVY_TYPE,
    VULNS_02,
    attach_file,
    config_of,
    cosign_vuln,
    diff_ids,
    grype,
    sarif,
    trivy,
    vulns,
)
from trust_root.stream_signature import StreamKeys

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
COVERED, UNSIGNED = "covered by the image signature", "unsigned, no covering signature"
SIGNED = "signed, inclusion promise"
Bend = Callable[[Bench], Bench]


class World:
    """An image of two platforms, and its judging."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.layout, self.top, (self.amd64, self.arm64) = two_platforms(NAME)

    def scans(self, bend: Bend = lambda bench: bench) -> tuple[CarriedScan, ...]:
        """What is carried, by a policy that a signature meets."""
        inventory = self.claims.inventory((self.layout, NAME))
        contents = {digest: self.layout.read(digest) for digest in self.layout.blobs}
        bench = self.claims.bench(inventory, policy(demand("signature")), contents)
        return judge_image(inventory.images[0], bend(bench)).result.scans

    def one(self, bend: Bend = lambda bench: bench) -> CarriedScan:
        (scan,) = self.scans(bend)
        return scan

    def attest(self, subject: Descriptor, predicate: Any, kind: str = COSIGN_VULN) -> Descriptor:
        claims = self.claims
        return claims.attest(self.layout, subject, claims.release, kind, predicate=predicate)

    def attach(self, subject: Descriptor, document: Any, *types: str) -> Descriptor:
        return attach_file(self.layout, subject, document, *types)

    def trivy(self, about: Descriptor, *severities: str) -> dict[str, Any]:
        """Trivy's report that names the layers of a manifest."""
        return trivy(*severities, Metadata={"DiffIDs": diff_ids(self.layout, about)})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Claims(tmp_path))


def code(scan: CarriedScan) -> str:
    return scan.failure.code if scan.failure is not None else ""


# -- where it lies, and how strong -------------------------------------------------------------------------------------


def test_a_signed_attestation(world: World) -> None:
    world.attest(world.amd64, cosign_vuln(world.trivy(world.amd64, "HIGH")))
    scan = world.one()
    assert (scan.form, scan.platform, scan.declared) == ("cosign-attestation", "linux/amd64", COSIGN_VULN)
    assert (scan.strength, scan.signers, scan.code, scan.bound_by) == (SIGNED, (IDENTITY,), "", "statement")
    assert scan.scan is not None
    assert (scan.scan.findings, scan.held) == (1, None)


def test_an_attestation_that_nobody_known_signed_is_read_and_not_verified(world: World, tmp_path: Path) -> None:
    other = Claims(tmp_path / "other", seed="somebody else")
    other.attest(world.layout, world.top, other.release, VULNS_02, predicate=vulns([]))
    scan = world.one()
    assert (scan.strength, scan.signers, scan.platform) == ("not verified", (), "")
    assert scan.code
    assert scan.scan is not None


def test_a_statement_about_another_image_is_none_about_this_one(world: World) -> None:
    claims = world.claims
    made = claims.sigstore.attest(world.arm64.digest, claims.release, predicate_type=VULNS_02, predicate=vulns())
    claims.beside(world.layout, world.amd64, "att", made)
    scan = world.one()
    assert (code(scan), scan.scan, scan.strength) == ("subject-mismatch", None, "not verified")


@pytest.mark.parametrize(("signed", "strength"), [(True, COVERED), (False, UNSIGNED)])
def test_a_statement_in_the_index(world: World, signed: bool, strength: str) -> None:
    claims, layout = world.claims, Layout()
    child = layout.image("linux/amd64", [layer(b"x")])
    raw = statement(child.digest, VULNS_02, vulns([{"method": "nvd", "score": "5.0"}]))
    top = layout.name(layout.index([child, layout.attestation(child, [raw])]), NAME)
    if signed:
        claims.sign(layout, top, claims.release)
    world.layout = layout
    scan = world.one()
    assert (scan.form, scan.strength, scan.signers) == ("buildkit-attestation", strength, (IDENTITY,) if signed else ())
    assert scan.scan is not None
    assert scan.scan.counts is not None
    assert scan.scan.counts["medium"] == 1


def test_a_bare_statement_in_a_referrer(world: World) -> None:
    config = world.layout.blob(b"{}", EMPTY_CONFIG)
    raw = world.layout.blob(statement(world.arm64.digest, COSIGN_VULN, cosign_vuln(None)), IN_TOTO)
    world.layout.name(world.layout.manifest(config, [raw], artifact_type=IN_TOTO, subject=world.arm64))
    scan = world.one()
    assert (scan.form, scan.platform, scan.strength, scan.bound_by) == (
        "referrer",
        "linux/arm64",
        UNSIGNED,
        "statement",
    )


@pytest.mark.parametrize(
    "types", [(TRIVY_TYPE,), ("application/json",), ("application/vnd.oci.image.layer.v1.tar", "trivy/report")]
)
def test_a_scanners_file_in_a_referrer(world: World, types: tuple[str, ...]) -> None:
    world.attach(world.amd64, world.trivy(world.amd64, "LOW"), *types)
    scan = world.one()
    assert (scan.form, scan.strength, scan.bound_by, scan.signers) == ("referrer", UNSIGNED, "layers", ())


def test_a_signed_referrer(world: World) -> None:
    made = world.attach(world.top, grype("High"))
    world.claims.sign(world.layout, made, world.claims.release)
    scan = world.one()
    assert (scan.strength, scan.signers) == ("signed, in a referrer of the image", (IDENTITY,))
    assert (scan.bound_by, scan.platform) == ("place", "")


def test_a_file_under_cosigns_sbom_tag(world: World) -> None:
    raw = json.dumps(trivy()).encode()
    made = world.layout.cosign([(raw, TRIVY_TYPE, {})])
    world.layout.tag_evidence(made, world.top, "sbom", REPOSITORY)
    scan = world.one()
    assert (scan.form, scan.strength) == ("cosign-sbom", "unsigned, bound to the image by its tag only")


def test_sarif_is_named(world: World) -> None:
    world.attach(world.top, sarif(), SARIF_TYPE)
    scan = world.one()
    assert scan.scan is not None
    assert (scan.scan.form, scan.scan.scanner, scan.scan.counts) == ("SARIF", "Trivy", None)


def test_other_files_are_no_scan_reports(world: World) -> None:
    world.attach(world.top, {"any": "thing"}, "application/json")
    world.attach(world.top, {"scanner": "any", "descriptor": 1}, "application/json")
    world.attach(world.top, b"\x1f\x8b", "application/vnd.example.database.tar+gzip", "application/vnd.example.trivy")
    world.attach(world.top, {"bomFormat": "CycloneDX"}, "application/vnd.cyclonedx+json")
    assert world.scans() == ()


@pytest.mark.parametrize(("known", "strength"), [(True, "asserted by stream main"), (False, "not verified")])
def test_reports_beside_a_derivation(tmp_path: Path, known: bool, strength: str) -> None:
    scene, claims = patched_scene(), Claims(tmp_path)
    layout = scene.build()
    inventory = claims.inventory((layout, ORIGINAL), (layout, PATCHED_NAME))
    bench = claims.bench(inventory, None, {digest: layout.read(digest) for digest in layout.blobs})
    bench = replace(bench, stream_keys=StreamKeys("main", (scene.key.public,)) if known else None)
    found = judge_image(next(image for image in inventory.images if image.name == PATCHED_NAME), bench).result.scans
    assert [(scan.platform, scan.role, scan.bound_by) for scan in found] == [
        ("linux/amd64", "before the patch", "derivation"), ("linux/amd64", "after the patch", "layers"),
        ("linux/arm64", "before the patch", "derivation"), ("linux/arm64", "after the patch", "layers"),
    ]  # fmt: skip
    assert {(scan.strength, bool(scan.code), len(scan.signers)) for scan in found} == {
        (strength, not known, int(known))
    }
    assert [scan.scan.findings for scan in found if scan.scan] == [2, 1, 2, 1]
    assert [scan.subject for scan in found[::2]] == [child.digest for child in scene.children.values()]


# -- about which image ------------------------------------------------------------------------------------------------


def digests(world: World) -> dict[str, str]:
    return {
        "index": str(world.top.digest), "amd64": str(world.amd64.digest), "arm64": str(world.arm64.digest),
        "amd64 config": config_of(world.layout, world.amd64), "arm64 config": config_of(world.layout, world.arm64),
        "other": f"sha256:{'5' * 64}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "named", "bound_by"),
    [
        ("amd64", ("amd64",), "digest"), ("amd64", ("amd64 config",), "digest"), ("amd64", ("index",), "digest"),
        ("amd64", ("index", "amd64 config"), "digest"), ("index", ("index",), "digest"),
        ("index", ("arm64",), "digest"),
        ("index", ("arm64 config",), "digest"), ("amd64", (), "place"), ("index", (), "place"),
        ("amd64", ("other", "amd64"), "digest"), ("amd64", ("arm64",), ""), ("amd64", ("arm64 config",), ""),
        ("amd64", ("index", "arm64 config"), ""), ("amd64", ("other",), ""), ("index", ("other",), ""),
    ],
)  # fmt: skip
def test_digests_that_a_report_names(world: World, subject: str, named: tuple[str, ...], bound_by: str) -> None:
    known = digests(world)
    names = [f"registry.example.org/app@{known[name]}" for name in named if "config" not in name]
    image = next((known[name] for name in named if "config" in name), "")
    about = world.top if subject == "index" else world.amd64
    world.attach(about, trivy("LOW", Metadata={"RepoDigests": names, "ImageID": image}))
    world.attach(about, grype("Low", target={"repoDigests": names, "imageID": image, "manifestDigest": ""}))
    found = [(scan.bound_by, code(scan)) for scan in world.scans()]
    assert found == [(bound_by, "" if bound_by else "scan-report-subject")] * 2


@pytest.mark.parametrize(
    ("subject", "layers", "bound_by"),
    [("amd64", "amd64", "layers"), ("index", "arm64", "layers"), ("amd64", "arm64", ""), ("index", "", "")],
)
def test_layers_decide(world: World, subject: str, layers: str, bound_by: str) -> None:
    about = {"amd64": world.amd64, "arm64": world.arm64}.get(layers)
    metadata = {
        "DiffIDs": diff_ids(world.layout, about) if about else [f"sha256:{'5' * 64}"],
        "RepoDigests": [f"app@{world.top.digest}", f"app@{world.amd64.digest}"],
    }
    world.attach(world.top if subject == "index" else world.amd64, trivy(Metadata=metadata))
    scan = world.one()
    assert (scan.bound_by, code(scan)) == (bound_by, "" if bound_by else "scan-report-subject")
    assert scan.covers == (("linux/arm64",) if layers == "arm64" and bound_by else ())


def test_a_report_of_one_platform_about_the_index_is_told_as_that(world: World) -> None:
    world.attest(world.top, cosign_vuln(world.trivy(world.arm64, "LOW")))
    scan = world.one()
    assert (scan.platform, scan.bound_by, scan.covers) == ("", "statement", ("linux/arm64",))
    assert list(told(scan, AT))[-1].endswith("by what it names it is about linux/arm64 alone")
    assert carried_document(scan, AT)["covers"] == ["linux/arm64"]


def test_a_signed_predicate_whose_document_is_about_another_image_is_refused(world: World) -> None:
    world.attest(world.amd64, cosign_vuln(world.trivy(world.arm64, "LOW")))
    scan = world.one()
    assert (code(scan), scan.scan, scan.strength) == ("scan-report-subject", None, SIGNED)


def test_a_scan_of_an_sbom_names_what_the_sbom_is_about(world: World) -> None:
    sbom = world.attach(world.top, {"bomFormat": "CycloneDX"}, "application/vnd.cyclonedx+json")
    world.attach(sbom, grype(target={"imageID": "sha256:aa"}))
    scan = world.one()
    assert (scan.subject, scan.bound_by) == (sbom.digest, "place")


# -- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"not JSON", "json"), ({}, "scan-format"), ({"SchemaVersion": 3, "Results": []}, "scan-version"),
        (b'{"a":1,"a":2}', "json-duplicate-key"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_stands_with_its_reason(world: World, document: Any, reason: str) -> None:
    world.attach(world.top, document)
    world.attach(world.amd64, grype("Low"))
    bad, good = world.scans()
    assert (code(bad), bad.scan, bad.bound_by, bad.reason) == (reason, None, "", reason)
    assert good.scan is not None
    assert next(told(bad, AT)).startswith("cannot be read: ")


def test_a_large_file_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.SCAN_REPORT_BYTES", 100)
    world.attach(world.top, trivy("LOW"))
    world.attach(world.top, trivy("HIGH"), "application/json")
    assert code(world.one()) == "limits"


@pytest.mark.parametrize(
    "error",
    [
        EnvError("pipe", "blob", got="gone", want="a file"),
        DamagedError("blob-digest", "blob", got="other", want="its own"),
    ],
)
def test_a_blob_that_cannot_be_had_hides_nothing(world: World, error: Exception) -> None:
    made = world.attach(world.top, trivy("LOW"))
    report = json.loads(world.layout.read(made.digest))["layers"][0]["digest"]

    def bend(bench: Bench) -> Bench:
        def read(digest: Any) -> bytes:
            if str(digest) == report:
                raise error
            return bench.read_blob(digest)

        return replace(bench, read_blob=read)

    world.attach(world.amd64, grype("Low"))
    bad, good = world.scans(bend)
    assert code(bad) == error.code  # type: ignore[attr-defined]
    assert good.scan is not None


def test_a_disk_that_fails_ends_the_run(world: World) -> None:
    made = world.attach(world.top, trivy("LOW"))
    report = json.loads(world.layout.read(made.digest))["layers"][0]["digest"]

    def bend(bench: Bench) -> Bench:
        def read(digest: Any) -> bytes:
            if str(digest) == report:
                raise EnvError("disk", "blob", got="broken", want="a disk")
            return bench.read_blob(digest)

        return replace(bench, read_blob=read)

    with pytest.raises(EnvError):
        world.scans(bend)


# -- what is told -----------------------------------------------------------------------------------------------------


def test_ages_are_counted_to_the_verdict_and_absent_ones_told(world: World) -> None:
    world.attach(world.top, trivy("CRITICAL", "LOW", "LOW"))
    phrases = " | ".join(told(world.one(), AT))
    assert "by its own word: Trivy 0.68.1, scanned 2026-10-20, 12 days old (Trivy)" in phrases
    assert "its database: date not told" in phrases
    assert "1 critical, 2 low in 2 parts that it looked at" in phrases
    assert "only its place does" in phrases


def test_a_date_after_the_verdict_is_never_fresh(world: World) -> None:
    world.attach(world.top, grype())
    early = datetime(2026, 10, 18, tzinfo=UTC)
    scan = world.one()
    phrases = " | ".join(told(scan, early))
    assert "scanned 2026-10-20, 3 days AFTER the time of this verdict" in phrases
    assert "nothing found" in phrases
    document = carried_document(scan, early)["scan"]
    assert (document["age_days"], document["database_age_days"]) == (-3, -2)
    assert carried_document(scan, None)["scan"]["age_days"] is None


def test_the_text_report_tells_them_and_makes_controls_visible(world: World) -> None:
    world.attach(world.top, trivy("LOW", Trivy={"Version": "1\x1b[2J"}))
    inventory = world.claims.inventory((world.layout, NAME))
    contents = {digest: world.layout.read(digest) for digest in world.layout.blobs}
    result = judge_image(inventory.images[0], world.claims.bench(inventory, None, contents)).result
    text = format_text(Report("f", "t", time=TimeFact(AT, "clock"), images=(result,)))
    assert "scan report about the index: unsigned, no covering signature" in text
    assert "Trivy 1\\x1b[2J, scanned" in text
    assert "\x1b" not in text
