"""Scan reports that came with an image, in every command that lists them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundler.deliver.raw_scans import raw_scans
from bundler.digest import sha256_of
from bundler.errors import RejectedError
from tests.cli.session import Result, call, run
from tests.simulators.images import SPDX
from tests.simulators.osv_vectors import affected, record, span
from tests.simulators.sboms import spdx2
from tests.simulators.upstream_scans import (
    COSIGN_VULN,
    TRIVY_TYPE,
    attach_file,
    config_of,
    cosign_vuln,
    diff_ids,
    grype,
    trivy,
)
from tests.simulators.vulnerability_data import write_zip
from tests.unit.deliver.test_image_inspection import IDENTITY, ISSUER, NAME, World

POLICY = f"""format = 1
[[rule]]
images = ["**"]
[[rule.signature]]
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"
[[rule.attestation]]
predicate_type = "{COSIGN_VULN}"
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"
"""


class Scene:
    """An image whose index has a signed predicate, and one platform a file of trivy with a hostile name in it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        world = self.world
        world.finish()
        world.sign()
        inside = trivy("CRITICAL", "LOW", Metadata={"DiffIDs": diff_ids(world.layout, world.children[0])})
        world.attach(COSIGN_VULN, cosign_vuln(inside))
        for child in world.children:
            world.attach(SPDX, spdx2(), child)
        self.file = json.dumps(trivy("HIGH", ArtifactName="evil\x1b[31m\u202e")).encode()
        attach_file(world.layout, world.children[1], self.file)
        self.bundle = world.bundle()
        self.folder, self.state = folder, folder / "state"
        self.policy = folder / "policy.toml"
        self.policy.write_text(POLICY)

    def inspect(self, *words: str | Path) -> Result:
        return call("inspect", self.bundle, "--scans", *words, "--state", self.state)

    def verify(self, *words: str | Path) -> Result:
        typed = ("--policy", self.policy, "--state", self.state, "--at", "2026-11-01", "--reason", "test")
        return call("verify", self.bundle, *typed, *words)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


def told(result: Result) -> str:
    return " ".join(result.out.split())


def test_the_screen(scene: Scene) -> None:
    result = scene.inspect()
    assert (result.code, result.err) == (0, "")
    assert "\x1b" not in result.out
    assert [line for line in result.out.splitlines() if len(line) > 80] == []
    out = told(result)
    assert f"by {IDENTITY} in cosign-attestation" in out
    assert "scan report about the whole of sha256:" in out
    assert "pkg:github/aquasecurity/trivy@0.68.1, scanned 2026-10-20" in out
    assert "(cosign vuln v1 with Trivy inside) its database: date not told 1 critical, 1 low in 2 parts" in out
    assert "scan report about linux/arm64: unsigned, no covering signature in referrer" in out
    assert str(sha256_of(scene.file)) in result.out.split()


def test_the_document(scene: Scene) -> None:
    document = json.loads(scene.inspect("--json").out)
    assert (document["trusted"], document["missing"], len(document["scans"])) == (True, [], 2)
    first, second = document["scans"]
    assert (first["platform"], first["bound_by"], first["signers"]) == ("", "statement", [IDENTITY])
    assert (second["platform"], second["predicate_type"], second["scan"]["target"]) == (
        "linux/arm64", TRIVY_TYPE, "evil\x1b[31m\u202e",
    )  # fmt: skip
    assert second["scan"]["counts"] == {
        "critical": 0, "high": 1, "medium": 0, "low": 0, "negligible": 0, "unknown": 0,
    }  # fmt: skip


def test_of_one_platform(scene: Scene) -> None:
    for platform, about in (("linux/amd64", ("", ["linux/amd64"])), ("linux/arm64", ("linux/arm64", []))):
        document = json.loads(scene.inspect("--json", "--platform", platform).out)
        assert [(item["platform"], item["covers"]) for item in document["scans"]] == [about]


def test_a_report_about_the_index_that_is_of_one_platform_leaves_the_others_without(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.finish()
    layers = {"DiffIDs": diff_ids(world.layout, world.children[0])}
    attach_file(world.layout, world.top, trivy(Metadata=layers))
    bundle = world.bundle()
    result = call("inspect", bundle, "--scans", "--state", tmp_path / "state")
    assert result.code == 1
    assert "no scan report about linux/arm64" in told(result)
    assert "linux/amd64 alone" in told(result)


def test_raw_is_the_document_by_its_digest(scene: Scene, tmp_path: Path) -> None:
    listed = [item["document"] for item in json.loads(scene.inspect("--json").out)["scans"]]
    both = run("inspect", scene.bundle, "--scans", "--raw", "--state", scene.state)
    assert (both.code, list(json.loads(both.out))) == (0, listed)
    assert f"linux/arm64: {listed[1]}: unsigned, no covering signature" in both.err
    assert scene.file.decode() in both.out
    one = scene.world.look(raw_scans, "linux/amd64")[0]
    assert [str(sha256_of(one))] == listed[:1]
    assert json.loads(one)["predicateType"] == COSIGN_VULN


def test_raw_goes_with_one_view_alone(scene: Scene) -> None:
    assert (scene.inspect("--raw", "--json").code, call("inspect", scene.bundle, NAME, "--raw").code) == (2, 2)


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.finish()
    attach_file(world.layout, world.children[0], grype("Low"))
    bundle = world.bundle()
    result = call("inspect", bundle, "--scans", "--state", tmp_path / "state")
    assert (result.code, "none about linux/arm64" in result.err) == (1, True)
    assert "no scan report about linux/arm64" in told(result)
    with pytest.raises(RejectedError) as caught:
        world.look(raw_scans, "linux/arm64")
    assert caught.value.code == "scan-missing"


def test_one_about_another_image_is_a_failure(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.finish()
    other = config_of(world.layout, world.children[0])
    attach_file(world.layout, world.children[1], trivy(Metadata={"ImageID": other}))
    attach_file(world.layout, world.top, grype())
    bundle = world.bundle()
    for platform in ((), ("--platform", "linux/arm64")):
        result = call("inspect", bundle, "--scans", *platform, "--state", tmp_path / "state")
        assert result.code == 1
        assert "[scan-report-subject]" in told(result)
    with pytest.raises(RejectedError) as caught:
        world.look(raw_scans)
    assert caught.value.code == "scan-report-subject"


def test_the_report_lists_them_and_a_policy_can_demand_a_signed_one(scene: Scene, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = scene.verify("--html", page)
    assert result.code == 0, result.err
    out = told(result)
    assert COSIGN_VULN in out
    assert "scan report about linux/arm64: unsigned, no covering signature by its own word: Trivy 0.68.1" in out
    assert "scanned 2026-10-20, 11 days old" in out
    text = page.read_text()
    assert "Scan reports that came with it" in text
    assert "scanned 2026-10-20, 11 days old" in text
    assert "\x1b" not in text
    (image,) = json.loads(scene.verify("--json").out)["images"]
    assert [scan["scan"]["age_days"] for scan in image["scans"]] == [11, 11]


def test_through_a_pipe_they_are_the_same(scene: Scene) -> None:
    typed = ("--policy", scene.policy, "--state", scene.state, "--at", "2026-11-01", "--reason", "test", "--json")
    piped = run("verify", "-", *typed, stdin=scene.bundle.read_bytes())
    (image,), (other,) = (json.loads(text)["images"] for text in (piped.out, scene.verify("--json").out))
    assert image["scans"] == other["scans"]


def test_beside_a_scan_and_in_none_of_its_counts(scene: Scene, tmp_path: Path) -> None:
    data = write_zip(tmp_path / "osv.zip", [record("A-1", affected("PyPI", "none", span("introduced 0")))])
    page = tmp_path / "scan.html"
    typed: tuple[Any, ...] = (
        "scan",
        scene.bundle,
        "--data",
        data,
        "--index",
        tmp_path / "index",
        "--state",
        scene.state,
    )
    plain = call(*typed, "--html", page)
    document = json.loads(call(*typed, "--json").out)
    assert (document["counts"]["critical"], [item["image"] for item in document["upstream"]]) == (0, [NAME, NAME])
    out = told(plain)
    assert "made upstream, and in none of the counts here:" in out
    assert out.index("made upstream") < out.index("1 critical, 1 low in 2 parts") < out.index("0 findings in")
    assert "\x1b" not in plain.out
    assert "Made upstream" in page.read_text()
