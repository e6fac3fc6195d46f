"""`sealift dashboard` and `sealift scan --html` over real bundles: verdicts, what was fixed and brought, exit codes."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bundler.export.settings import DataRequest
from tests.cli.session import Result, call
from tests.cli.test_scanning import HIGH, LOW, sbom
from tests.simulators.claims import demand, policy
from tests.simulators.deliveries import Exporter, LayoutSource, change_settings, make_site, verify
from tests.simulators.images import SPDX
from tests.simulators.scannable import FLASK as FLASK_OLD
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_keys import AT
from tests.simulators.tuf_repository import START, TufRepository
from tests.simulators.vex_documents import openvex, statement
from tests.simulators.vulnerability_data import write_zip
from tests.unit.deliver.test_image_inspection import IDENTITY, ISSUER, NAME, World
from tests.unit.verify.test_keeping import POLICY as KEEP_POLICY
from tests.unit.verify.test_keeping import House

POLICY = f"""format = 1

[[rule]]
images = ["registry.example.org/app"]

[[rule.signature]]
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"
"""
FLASK, FLASK_MENDED = "pkg:pypi/flask@2.2.2", "pkg:pypi/flask@2.3.0"
OPENSSL = "pkg:deb/debian/libssl3@3.0.8-1?upstream=openssl&distro=debian-12"
UNKNOWN = "pkg:npm/left-pad@1.3.0"


class Scene:
    """Two deliveries of one image: the second mends flask and brings openssl; its arm64 has no SBOM."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sigstore = Sigstore("inspection")
        repository = TufRepository("main", targets={"trusted_root/x.json": sigstore.trusted_root_json()})
        exporter = Exporter(repository, folder)
        self.bundles = []
        for number, purls in enumerate(((FLASK, "pkg:pypi/clean@1"), (FLASK_MENDED, OPENSSL, UNKNOWN))):
            world = World(folder)
            world.sigstore, world.signer = sigstore, sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER)
            world.finish()
            world.sign()
            for child in world.children[: 2 - number]:
                world.attach(SPDX, sbom(*purls), child)
            world.layout.write(folder / f"layout{number}")
            source = LayoutSource("oci", folder / f"layout{number}", NAME, NAME)
            self.bundles.append(exporter.deliver(source, at=START))
        self.state = make_site(folder / "state", repository.pin)
        self.policy = folder / "policy.toml"
        self.policy.write_text(POLICY)
        self.data = write_zip(folder / "osv.zip", [HIGH, LOW])

    def dashboard(self, *words: str | Path, files: tuple[Path, ...] | None = None) -> Result:
        return call(
            "dashboard", *(files or self.bundles), "--data", self.data, "--index", self.folder / "index",
            "--state", self.state, "--at", "2026-11-01", "--reason", "test", *words,
        )  # fmt: skip

    def document(self, *words: str | Path, files: tuple[Path, ...] | None = None) -> dict[str, Any]:
        return json.loads(self.dashboard("--json", *words, files=files).out)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


def test_two_deliveries(scene: Scene) -> None:
    document = scene.document("--policy", scene.policy)
    (image,) = document["images"]
    assert (image["name"], image["verdict"], image["signers"], image["sequence"]) == (NAME, "verified", [IDENTITY], 2)
    assert [past["open"]["total"] for past in image["history"]] == [1, 1]
    change = image["change"]
    assert (change["before"], change["platforms"]) == (1, ["linux/amd64"])
    assert [(item["id"], item["package"]["name"]) for item in change["fixed"]] == [("CVE-2023-30861", "flask")]
    assert [(item["id"], item["package"]["name"]) for item in change["brought"]] == [("CVE-2023-0464", "openssl")]
    assert {note["reason"] for note in image["notes"]} == {"sbom-missing", "no-data"}
    assert image["incomplete"] is True
    assert [(item["sequence"], item["verdict"], item["trusted"]) for item in document["deliveries"]] == [
        (1, "verified", True), (2, "verified", True),
    ]  # fmt: skip
    assert (document["site"], document["data"][0]["age_days"]) == ("plant", 244)


def test_the_order_of_files_changes_nothing_and_nothing_is_recorded(scene: Scene) -> None:
    before = {path: path.read_bytes() for path in scene.state.rglob("*") if path.is_file()}
    told = scene.document("--policy", scene.policy)
    assert told == scene.document("--policy", scene.policy, files=tuple(reversed(scene.bundles)))
    assert told == scene.document("--policy", scene.policy, files=(*scene.bundles, scene.bundles[0]))
    assert before == {path: path.read_bytes() for path in scene.state.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", [(), ("--without-verifying",)])
def test_without_verifying_there_is_no_verdict(scene: Scene, words: tuple[str, ...]) -> None:
    result = scene.dashboard("--json", *words)
    document = json.loads(result.out)
    assert (document["images"][0]["verdict"], document["images"][0]["signers"]) == ("not judged", [])
    assert document["totals"]["verified"] == 0
    assert "no image was verified" in result.err
    assert result.code == 0


def test_what_the_policy_refuses_is_told_and_counted(scene: Scene, tmp_path: Path) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text(POLICY.replace(IDENTITY, IDENTITY + "x"))
    document = scene.document("--policy", strict)
    assert [delivery["verdict"] for delivery in document["deliveries"]] == ["rejected", "rejected"]
    (image,) = document["images"]
    assert (image["verdict"], image["signers"], image["open"]["total"]) == ("rejected", [], 1)
    assert image["reason"]


def test_the_page_and_the_table(scene: Scene, tmp_path: Path) -> None:
    page = tmp_path / "dashboard.html"
    result = scene.dashboard("--policy", scene.policy, "--html", page)
    text = page.read_text(encoding="utf-8")
    assert (result.code, result.out) == (0, "")
    assert "1 open, none above medium" in text
    assert "CVE-2023-30861" in text
    assert "\x1b" not in text
    again = tmp_path / "again.html"
    scene.dashboard("--policy", scene.policy, "--html", again)
    assert page.read_bytes() == again.read_bytes()
    out = " ".join(scene.dashboard("--policy", scene.policy).out.split())
    assert "1 images from 2 deliveries" not in out
    assert "1 image from 2 deliveries" in out
    assert "the last deliveries fixed 1 and brought 1" in out


def test_a_bundle_of_another_root_is_not_counted(scene: Scene, tmp_path: Path) -> None:
    stranger = Scene(tmp_path)
    result = scene.dashboard("--json", "--policy", scene.policy, files=(scene.bundles[0], stranger.bundles[1]))
    document = json.loads(result.out)
    assert result.code == 4
    assert [(item["trusted"], item["images"]) for item in document["deliveries"]] == [(True, 1), (False, 0)]
    assert document["images"][0]["sequence"] == 1
    assert "not trusted: main-1.bundle.tar" in result.err
    assert scene.dashboard(files=(stranger.bundles[0],)).code == 4


def test_a_file_that_ends_early_is_damage(scene: Scene, tmp_path: Path) -> None:
    broken, page = tmp_path / "broken.bundle.tar", tmp_path / "x.html"
    raw = scene.bundles[0].read_bytes()
    broken.write_bytes(raw[: len(raw) // 2])
    assert scene.dashboard("--html", page, files=(broken,)).code == 3
    assert not page.exists()  # without a verdict nothing in the page would say so
    assert scene.dashboard("--html", page, "--policy", scene.policy, files=(broken,)).code == 3
    assert "damaged" in page.read_text(encoding="utf-8")
    assert scene.dashboard(files=(tmp_path / "absent",)).code == 6


def test_a_damaged_layer_is_told_and_counted(scene: Scene, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bundle.tar"
    raw = bytearray(scene.bundles[1].read_bytes())
    place = raw.index(b"linux/amd64".ljust(20, b"\0"))  # in a layer, which is stored as it is
    raw[place] ^= 1
    broken.write_bytes(raw)
    result = scene.dashboard("--json", "--policy", scene.policy, files=(broken,))
    (image,) = json.loads(result.out)["images"]
    assert (result.code, image["verdict"], image["open"]["total"]) == (3, "damaged", 1)


def test_usage(scene: Scene, tmp_path: Path) -> None:
    empty = ("dashboard", "--state", scene.state, "--at", "2026-11-01", "--reason", "test")
    for words in ((), (scene.bundles[0],), ("--data", scene.data, "--index", tmp_path / "index")):
        result = call(*empty, *words)
        assert (result.code, result.out) == (2, "")
    assert "this site remembers no delivery" in result.err
    assert call("dashboard", "-", "--data", scene.data).code == 2
    assert call("dashboard", scene.bundles[0], "--data", scene.data, "--state", tmp_path / "none").code == 4
    assert scene.dashboard("--html", tmp_path / "absent" / "x.html").code == 6
    assert scene.dashboard("--policy", tmp_path / "absent").code == 2


DAY = "2025-12-01T00:00:00Z"
AUTHOR = "Example Security Team"
TAKEN = '[rule.vulnerabilities]\nat_most = "critical"\nvex = [{ unsigned_author = "Example Security Team" }]'
BOUND = policy(demand(), TAKEN)


class Remembering:
    """A site that accepted data, an image, and the image again with another SBOM."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder)
        vex = folder / "vex.json"
        vex.write_text(json.dumps(openvex(statement(products=[{"@id": FLASK_OLD}]), timestamp=DAY)))
        data = [self.house.data(), DataRequest("openvex", str(vex), "team/vex")]
        self.accept(self.house.exporter.deliver(self.house.image(1, ("pkg:pypi/clean@1",)), data=data))
        self.accept(self.house.exporter.deliver(self.house.image(2, (FLASK_OLD,)), at=START + timedelta(hours=1)))
        self.policy = folder / "policy.toml"
        self.policy.write_text(BOUND)

    def accept(self, bundle: Path) -> None:
        run = verify(bundle, self.house.state, KEEP_POLICY)
        assert run.report.exit_code == 0, run.report.reason

    def dashboard(self, *words: str | Path) -> Result:
        return call(
            "dashboard", "--state", self.house.state, "--at", "2026-01-05", "--reason", "test",
            "--index", self.house.folder / "index", *words,
        )  # fmt: skip


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Remembering:
    return Remembering(tmp_path_factory.mktemp("remembering"))


def test_a_site_tells_what_it_remembers(remembering: Remembering) -> None:
    result = remembering.dashboard("--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert [(item["sequence"], item["verdict"], item["source"]) for item in document["deliveries"]] == [
        (1, "verified", "this site's state"), (2, "verified", "this site's state"),
    ]  # fmt: skip
    assert all(item["accepted"] for item in document["deliveries"])
    (image,) = document["images"]
    assert (image["verdict"], len(image["signers"])) == ("verified", 1)
    assert [past["open"]["total"] for past in image["history"]] == [0, 1]
    assert [item["package"]["name"] for item in image["change"]["brought"]] == ["flask"]
    assert [sbom["strength"] for sbom in image["sboms"]] == ["covered by the image signature"] * 2
    assert [item["source"] for item in document["data"]] == ["osv/PyPI of stream main"]


def test_vex_settles_where_the_policy_takes_its_author(remembering: Remembering) -> None:
    without = json.loads(remembering.dashboard("--json").out)["images"][0]
    (verdict,) = without["findings"][0]["vex"]
    assert (verdict["author"], verdict["accepted"], without["open"]["under_vex"]) == (AUTHOR, False, 0)
    taken = json.loads(remembering.dashboard("--json", "--policy", remembering.policy).out)["images"][0]
    assert (taken["findings"][0]["vex"][0]["accepted"], taken["open"]["total"], taken["open"]["under_vex"]) == (
        True, 0, 1,
    )  # fmt: skip


def test_an_image_whose_sboms_were_not_kept_is_not_judged(remembering: Remembering, tmp_path: Path) -> None:
    house = House(tmp_path)
    change_settings(house.state, 'site = "plant"\n[keep]\nsboms = false\n')
    run = verify(house.exporter.deliver(house.image(), data=[house.data()]), house.state, KEEP_POLICY)
    assert run.report.exit_code == 0, run.report.reason
    result = remembering.dashboard("--json", "--state", house.state)
    (image,) = json.loads(result.out)["images"]
    assert (image["verdict"], image["open"], image["change"]) == ("verified", None, None)
    assert [(note["reason"], note["subject"]) for note in image["notes"]] == [
        ("sbom-missing", "SBOM about linux/amd64"), ("sbom-missing", "SBOM about linux/arm64"),
    ]  # fmt: skip
    page = tmp_path / "page.html"
    assert remembering.dashboard("--html", page, "--state", house.state).code == 0
    assert "Nothing could be judged" in page.read_text(encoding="utf-8")


def test_what_was_changed_in_the_state_is_not_believed(remembering: Remembering, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(remembering.house.state, state, symlinks=True)
    for path in (state / "kept").iterdir():
        path.chmod(0o600)
        path.write_bytes(path.read_bytes().replace(b"flask", b"clean"))
    result = remembering.dashboard("--json", "--state", state)
    assert (result.code, json.loads(result.out)["error"]["reason"]) == (4, "state-damaged")


def test_a_scan_has_its_page(scene: Scene, tmp_path: Path) -> None:
    page = tmp_path / "scan.html"
    result = call(
        "scan", scene.bundles[1], "--data", scene.data, "--index", scene.folder / "index", "--state", scene.state,
        "--at", "2026-11-01", "--reason", "test", "--json", "--html", page,
    )  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert result.code == 1
    assert json.loads(result.out)["not_scanned"][0]["reason"] == "sbom-missing"
    assert "[sbom-missing]" in text
    assert "CVE-2023-0464" in text


def test_the_help_page_and_its_words() -> None:
    assert call("help", "dashboard").out.startswith("# Dashboard\n")
    told = call("dashboard", "--help")
    assert (told.code, "--without-verifying" in told.out, "Exit codes:" in told.out) == (0, True, True)
