"""Patched images and VEX: `scan` and `dashboard`, of a bundle and of what a site remembers, decide as `verify` does."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler.deliver import remembered_originals, remembered_vex
from bundler.digest import sha256_of
from bundler.evidence.derivation import PREDICATE_TYPE, VEX_TYPE
from bundler.export.settings import DataRequest
from bundler.oci.descriptor import Descriptor
from bundler.vulnerability.recollection import recall
from tests.cli.session import Result, call
from tests.simulators.claims import OTHER_IDENTITY, demand
from tests.simulators.deliveries import verify
from tests.simulators.images import Layout, layer
from tests.simulators.patched import GONE, LEFT, NAME, PATCHED_NAME, PLATFORMS, Scene
from tests.simulators.patched_site import OPENSSL, Town, site_policy, vex_rule
from tests.simulators.scannable import spdx
from tests.simulators.scanner_stub import ScannerStub, trivy_finding, trivy_report
from tests.simulators.sigstore import Sigstore
from trust_root.site import load_site

SETTLED = site_policy(vex_rule())
AMD, ARM = PLATFORMS


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Accepted at a site, too."""
    made = Town(tmp_path_factory.mktemp("town"))
    made.accept(SETTLED)
    return made


def look(town: Town, command: str, *words: str | Path, policy: str = "", file: bool = True) -> Result:
    """One command about the bundle, or about what the site remembers."""
    named: list[str | Path] = [town.bundle] if file else [town.state] if command == "scan" else []
    index = ("--index", town.folder / "index", "--state", town.state)
    return call(command, *named, *words, *index, *town.words(policy))


def document(town: Town, command: str, *words: str | Path, **knobs: Any) -> dict[str, Any]:
    return json.loads(look(town, command, *words, "--json", **knobs).out)  # type: ignore[no-any-return]


def opinions(scanned: dict[str, Any], name: str = PATCHED_NAME) -> list[tuple[str, str, bool, bool]]:
    """Of one image: platform, vulnerability, whether it is settled, whether anybody's word is taken."""
    return [
        (image["platform"], finding["id"], finding["excused"], any(said["accepted"] for said in finding["vex"]))
        for image in scanned["images"]
        if image["image"] == name
        for finding in image["findings"]
    ]


def notes(scanned: dict[str, Any], platform: str = AMD) -> dict[str, str]:
    (image,) = [one for one in scanned["images"] if (one["image"], one["platform"]) == (PATCHED_NAME, platform)]
    return {note["reason"]: note["detail"] for note in image["notes"]}


OPEN = [(platform, name, False, False) for platform in PLATFORMS for name in (GONE, LEFT)]
CLOSED = [(platform, name, True, True) for platform in PLATFORMS for name in (GONE, LEFT)]


# -- a patched image is judged by its original's SBOM, by name ---------------------------------------------------------


@pytest.mark.parametrize("file", [True, False])
def test_the_sbom_of_the_original_stands_in_by_name(town: Town, file: bool) -> None:
    scanned = document(town, "scan", PATCHED_NAME, file=file)
    assert opinions(scanned) == OPEN
    assert scanned["not_scanned"] == []
    manifests = {str(child.digest) for child in town.scene.children.values()}
    for image in scanned["images"]:
        original = image["original"]
        assert (original["image"], original["digest"]) == (NAME, str(town.scene.original_top.digest))
        assert original["subject"] in manifests
        assert image["digest"] not in manifests
        assert (original["derivation"], image["strength"]) == (
            "asserted by stream main", "covered by the image signature",
        )  # fmt: skip
    told = notes(scanned)
    assert f"of its original, {NAME} " in told["sbom-of-original"]
    assert told["sbom-of-original"].endswith("it lists what was there before the patch")
    assert "in no SBOM" in told["vulnerability-patch-unlisted"]
    assert told["vex-author"].endswith("the rule does not take its word")
    assert ("patch-scanned" in told) == file  # reports are not kept
    assert {item["status"] for image in scanned["images"] for one in image["findings"] for item in one["vex"]} == {
        "fixed", "not_affected",
    }  # fmt: skip


def test_a_scanner_of_the_site_is_given_the_sbom_of_the_original(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = trivy_finding(
        VulnerabilityID=GONE, PkgName="openssl", PkgIdentifier={"PURL": OPENSSL}, InstalledVersion="1.1"
    )
    stub = ScannerStub(tmp_path / "bin", "trivy", trivy_report(finding))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    words = (PATCHED_NAME, "--with", "trivy", "--json", "--state", town.state)
    scanned = json.loads(call("scan", town.bundle, *words, *town.words(SETTLED)).out)
    assert opinions(scanned) == [(platform, GONE, True, True) for platform in PLATFORMS]
    assert {image["original"]["image"] for image in scanned["images"]} == {NAME}
    assert len(stub.calls) == 2


def _with_an_sbom_of_its_own(scene: Scene) -> None:
    def papers(layout: Layout) -> list[Descriptor]:
        patched = scene.patched[AMD].add(layout)
        return [layout.attestation(patched, [spdx(patched, [OPENSSL.replace("1.1", "1.2")])])]

    scene.further = papers


def test_an_sbom_of_its_own_goes_first(tmp_path: Path) -> None:
    town = Town(tmp_path, _with_an_sbom_of_its_own)
    town.accept(site_policy())
    for file in (True, False):
        scanned = document(town, "scan", PATCHED_NAME, file=file)
        assert opinions(scanned) == [one for one in OPEN if one[0] == ARM]
        assert [image["original"] is None for image in scanned["images"]] == [True, False]


def test_what_the_scanner_saw_is_its_word(town: Town) -> None:
    told = notes(document(town, "scan", PATCHED_NAME))["patch-scanned"]
    assert told.startswith("the scanner's word, in reports asserted by stream main: 1 of 2 went, 1 are left, 0 came")


@pytest.mark.parametrize("file", [True, False])
def test_one_platform_and_the_original_itself(town: Town, file: bool) -> None:
    scanned = document(town, "scan", PATCHED_NAME, "--platform", ARM, file=file)
    assert opinions(scanned) == [one for one in OPEN if one[0] == ARM]
    assert document(town, "scan", NAME, file=file)["images"][0]["original"] is None


def test_the_screen_the_page_and_sarif_name_the_original(town: Town, tmp_path: Path) -> None:
    page, sarif = tmp_path / "scan.html", tmp_path / "scan.sarif"
    out = " ".join(look(town, "scan", PATCHED_NAME, "--html", page, "--sarif", sarif).out.split())
    assert f"linux/amd64, by the SBOM of its original {NAME} (SPDX 2.3)" in out
    assert f"fixed (not accepted) critical 9.8 {LEFT}" in out
    (run,) = json.loads(sarif.read_text())["runs"]
    assert {result["properties"]["sbomOf"] for result in run["results"]} == {f"{NAME} {town.scene.original_top.digest}"}
    assert all("by the SBOM of" in result["message"]["text"] for result in run["results"])
    assert not any("suppressions" in result for result in run["results"])
    assert f"of the original {NAME}, from before the patch" in page.read_text(encoding="utf-8")


def test_words_that_nobody_signed_are_told_as_that(town: Town) -> None:
    out = " ".join(look(town, "scan", PATCHED_NAME, policy=SETTLED).out.split())
    assert "fixed (the stream's word) critical" in out
    assert "whose VEX counts: policy sha256:" in out
    assert document(town, "scan", policy=SETTLED)["policy"] == str(sha256_of(SETTLED.encode()))
    assert document(town, "scan")["policy"] is None
    told = " ".join(look(town, "dashboard", policy=SETTLED).out.split())
    assert "under VEX: 3, of them by unsigned words alone: 1" in told
    assert f"patched: {PATCHED_NAME} is judged by the SBOM of its original, {NAME}" in told


def test_strict_counts_what_no_sbom_lists(town: Town) -> None:
    settled = look(town, "scan", PATCHED_NAME, policy=SETTLED)
    assert (settled.code, "nothing open" in settled.out) == (0, True)
    assert look(town, "scan", PATCHED_NAME, "--strict", policy=SETTLED).code == 1


def _lose_one_and_leave_one(scene: Scene) -> None:
    further = "linux/s390x"
    scene.original[further] = replace(copy.deepcopy(scene.original[ARM]), platform=further)
    scene.patched[ARM] = scene.original[ARM]


def test_platforms_that_were_lost_or_not_patched_are_told(tmp_path: Path) -> None:
    town = Town(tmp_path, _lose_one_and_leave_one)
    town.accept(SETTLED.replace("derived_from", "allow_omitted = true\nderived_from"))
    for file in (True, False):
        scanned = document(town, "scan", PATCHED_NAME, policy=SETTLED, file=file)
        lost = [note["subject"] for note in scanned["data_notes"] if note["reason"] == "platform-lost"]
        assert lost == [f"linux/s390x of {PATCHED_NAME}"]
        assert [image["original"] is None for image in scanned["images"]] == [False, True]
        assert notes(scanned, ARM)["sbom-of-original"].endswith("this platform is the original's own, not patched")
        assert "vulnerability-patch-unlisted" not in notes(scanned, ARM)
        assert opinions(scanned) == [(AMD, GONE, True, True), (AMD, LEFT, True, True),
                                     (ARM, GONE, False, False), (ARM, LEFT, True, True)]  # fmt: skip


def _swap_a_layer(scene: Scene) -> None:
    scene.patched[ARM].layers[0] = layer(b"other", seed=99, size_bytes=64)


def test_what_is_not_proved_lends_nothing(tmp_path: Path) -> None:
    forged = Town(tmp_path, _swap_a_layer, sign_patched=True)
    done = look(forged, "scan", PATCHED_NAME, "--json", policy=SETTLED)
    scanned = json.loads(done.out)
    assert (done.code, scanned["images"], [one["reason"] for one in scanned["not_scanned"]]) == (
        1, [], ["sbom-missing"],
    )  # fmt: skip
    assert "the derivation is not proved: [lineage-layers]" in done.err
    assert document(forged, "dashboard", policy=SETTLED)["totals"]["patched"] == 0
    # A site that accepts the image for its own signature keeps no derivation, and judges nothing by it.
    forged.accept("\n".join(["format = 1", "[[rule]]", f'images = ["{NAME}", "{PATCHED_NAME}"]', demand()]))
    scanned = document(forged, "scan", PATCHED_NAME, file=False)
    assert (scanned["images"], [one["reason"] for one in scanned["not_scanned"]]) == ([], ["sbom-missing"] * 2)


# -- whose word settles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["scan", "dashboard"])
def test_nobodys_word_is_taken_without_a_policy(town: Town, command: str) -> None:
    findings = [finding for image in document(town, command)["images"] for finding in image["findings"]]
    assert findings
    assert not any(finding["excused"] or said["accepted"] for finding in findings for said in finding["vex"])


def test_scan_settles_what_verify_settles(town: Town) -> None:
    scanned = document(town, "scan", policy=SETTLED)
    assert opinions(scanned) == CLOSED
    assert [one[1:] for one in opinions(scanned, NAME)] == [(GONE, False, False), (LEFT, True, True)] * 2
    report = verify(town.bundle, town.state, site_policy(vex_rule(at_most="none")), record=False).report
    assert {image.name: image.reason for image in report.images} == {NAME: "vulnerability-severity", PATCHED_NAME: ""}


@pytest.mark.parametrize("file", [True, False])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (site_policy(vex_rule(signer=OTHER_IDENTITY)), {GONE: True, LEFT: False}),
        (site_policy(vex_rule(author="Somebody")), {GONE: False, LEFT: True}),
        (site_policy(vex_rule(), derived_from=""), {GONE: False, LEFT: False}),
    ],
    ids=["another signer", "another author", "no derived_from"],
)
def test_a_word_that_the_rule_does_not_name_settles_nothing(
    town: Town, policy: str, expected: dict[str, bool], *, file: bool
) -> None:
    scanned = document(town, "scan", PATCHED_NAME, policy=policy, file=file)
    assert {name: settled for _, name, settled, _ in opinions(scanned)} == expected
    told = document(town, "dashboard", policy=policy, file=file)
    (image,) = [one for one in told["images"] if one["name"] == PATCHED_NAME]
    assert {finding["id"]: finding["excused"] for finding in image["findings"]} == expected


def test_a_site_settles_what_it_settled_from_the_file(town: Town) -> None:
    assert opinions(document(town, "scan", PATCHED_NAME, policy=SETTLED, file=False)) == CLOSED


def test_vex_of_the_patched_image_itself_counts_everywhere(tmp_path: Path) -> None:
    """A Sigstore bundle in a referrer of the patched image."""
    town = Town(tmp_path, vex_on_patched=True)
    told = verify(town.bundle, town.state, site_policy(vex_rule(at_most="none")), record=False).report.images
    assert {image.name: image.reason for image in told} == {NAME: "vulnerability-severity", PATCHED_NAME: ""}
    town.accept(SETTLED)
    for file in (True, False):
        assert opinions(document(town, "scan", PATCHED_NAME, policy=SETTLED, file=file)) == CLOSED
    stranger = site_policy(vex_rule(signer=OTHER_IDENTITY))
    refused = verify(town.bundle, town.state, stranger.replace("critical", "none"), record=False).report.images
    assert refused[1].reason == "vulnerability-severity"


def test_a_signature_that_holds_no_more_settles_nothing(tmp_path: Path) -> None:
    """The authority that vouched for the signer is gone from what the site trusts by now."""
    town = Town(tmp_path)
    town.accept(SETTLED)
    town.exporter.repository.publish(trusted_root__demo_dot_json=Sigstore("another").trusted_root_json())
    newer = town.exporter.deliver(data=[DataRequest("osv", str(town.osv), "osv/Debian")])
    assert verify(newer, town.state, SETTLED).report.exit_code == 0
    told = document(town, "dashboard", policy=SETTLED, file=False)
    (image,) = [one for one in told["images"] if one["name"] == PATCHED_NAME]
    assert {finding["id"]: finding["excused"] for finding in image["findings"]} == {GONE: True, LEFT: False}
    (note,) = [note for note in image["notes"] if note["reason"] == "vex-unjudged"]
    assert "does not hold by what this site knows by now" in note["detail"]


def test_a_signature_that_was_not_kept_settles_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the state of an older version."""
    monkeypatch.setattr(remembered_vex, "is_signature_of", lambda _paper: False)
    scanned = document(town, "scan", PATCHED_NAME, policy=SETTLED, file=False)
    assert [one[1:] for one in opinions(scanned)] == [(GONE, True, True), (LEFT, False, False)] * 2
    assert [note["reason"] for note in scanned["data_notes"]] == ["vex-unjudged"]


def test_the_state_of_an_older_version_is_read(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no statement about the patch: the image is not judged, and that is told."""
    monkeypatch.setattr(remembered_originals, "is_about_patch", lambda _paper: False)
    done = look(town, "scan", PATCHED_NAME, "--json", policy=SETTLED, file=False)
    scanned = json.loads(done.out)
    assert (done.code, scanned["images"], len(scanned["not_scanned"])) == (1, [], 2)


def test_what_is_kept_of_a_patch_has_the_form_of_the_list(town: Town) -> None:
    """The version before reads the same list: its keys and words are those that it knows."""
    image = next(one for one in recall(load_site(town.state)).deliveries[0].images if one.name == PATCHED_NAME)
    assert [(paper.kind, paper.form, paper.platform, paper.declared) for paper in image.papers] == [
        ("vex", "envelope", "", PREDICATE_TYPE),
        ("vex", "document", AMD, VEX_TYPE),
        ("vex", "document", ARM, VEX_TYPE),
    ]


@pytest.mark.parametrize("file", [True, False])
def test_an_original_of_another_name_is_not_proved(town: Town, *, file: bool) -> None:
    policy = site_policy(vex_rule(), derived_from="registry.example.org/else")
    done = look(town, "scan", PATCHED_NAME, policy=policy, file=file)
    assert (done.code, "derivation-name" in done.out + done.err, "[sbom-missing]" in done.err) == (1, True, True)


def test_without_a_pin_nobodys_word_is_taken(town: Town, tmp_path: Path) -> None:
    words = ("--data", town.osv, "--index", town.folder / "index", "--state", tmp_path / "none", "--untrusted")
    done = call("scan", town.bundle, PATCHED_NAME, *words, *town.words(SETTLED), "--json")
    scanned = json.loads(done.out)
    assert (done.code, opinions(scanned)) == (1, OPEN)
    assert all("(by the file's own keys)" in image["original"]["derivation"] for image in scanned["images"])


def test_a_policy_of_another_site_is_refused(town: Town) -> None:
    done = look(town, "scan", policy=SETTLED.replace("format = 1", 'format = 1\nsite = "elsewhere"'))
    assert (done.code, "[policy-site]" in done.err) == (4, True)


# -- dashboard ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [True, False])
def test_the_dashboard_judges_patched_images(town: Town, tmp_path: Path, file: bool) -> None:
    told = document(town, "dashboard", file=file, policy=SETTLED)
    images = {image["name"]: image for image in told["images"]}
    assert (told["totals"]["patched"], told["totals"]["unscanned"], images[PATCHED_NAME]["incomplete"]) == (1, 0, True)
    assert {sbom["original"]["image"] for sbom in images[PATCHED_NAME]["sboms"]} == {NAME}
    assert {sbom["original"] for sbom in images[NAME]["sboms"]} == {None}
    settled = {finding["id"]: finding["excused"] for finding in images[PATCHED_NAME]["findings"]}
    assert settled == {GONE: True, LEFT: True}
    page = tmp_path / "dashboard.html"
    look(town, "dashboard", "--html", page, file=file, policy=SETTLED)
    text = page.read_text(encoding="utf-8")
    assert "1 image judged by SBOMs of the original: what a patch put on top is in none of them." in text
    assert f"of the original {NAME}, from before the patch; asserted by stream main" in text
