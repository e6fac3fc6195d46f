"""`sealift data show`, and vulnerability data from `export` to `verify` on the command line."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.archive.inventory import Inventory
from bundler.cli.main import main
from bundler.digest import sha256_of
from bundler.export.settings import DataRequest
from bundler.value import dataclass, replace
from tests.cli.session import Result, call, undocumented
from tests.simulators.claims import NAME, Claims, demand, policy
from tests.simulators.deliveries import Exporter, LayoutSource, make_site
from tests.simulators.osv_records import osv_record, osv_zip
from tests.simulators.scannable import scannable
from tests.simulators.tuf_repository import TufRepository
from tests.simulators.vex_documents import openvex, raw
from tests.unit.export.test_data import trivy_layout
from trust_root.pin import pin_root

RULE = '[rule.vulnerabilities]\nat_most = "medium"\ndata_max_age_days = 60'


@dataclass(frozen=True, slots=True)
class Site:
    """Bundles, a policy, and a site's state."""

    folder: Path
    exporter: Exporter
    claims: Claims
    now: datetime

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def deliver(self, *images: LayoutSource, days: int = 43, data: bool = True) -> Path:
        modified = (self.now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        dump, vex = self.folder / f"{days}.zip", self.folder / "vex.json"
        dump.write_bytes(
            osv_zip([osv_record(aliases=["CVE-2026-1"], modified=modified), osv_record("GHSA-2", name="x")])
        )
        vex.write_bytes(raw(openvex(timestamp=modified)))
        requests = [DataRequest("osv", str(dump), "osv/PyPI"), DataRequest("openvex", str(vex), "vex.json")]
        return self.exporter.deliver(*images, at=self.now, data=requests if data else [])

    def image(self) -> LayoutSource:
        layout, top, _ = scannable(NAME)
        self.claims.sign(layout, top, self.claims.release)
        return LayoutSource("oci", layout.write(self.folder / "image"), NAME)

    def verify(self, bundle: Path, *more: str) -> Result:
        path = self.folder / "policy.toml"
        path.write_text(policy(demand(), *more))
        return call("verify", bundle, "--policy", path, "--state", self.state, "--quiet")

    def show(self, *words: str | Path) -> Result:
        return call("data", "show", *words, *(() if self.state in words else ("--state", self.state)))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    now = datetime.now(UTC).replace(microsecond=0)
    claims = Claims(tmp_path)
    repository = TufRepository("main", at=now - timedelta(hours=1), targets=claims.targets)
    make_site(tmp_path / "state", repository.pin, clock=now)
    return Site(tmp_path, Exporter(repository, tmp_path), claims, now)


def test_of_a_bundle(site: Site) -> None:
    bundle = site.deliver()
    done = site.show(bundle)
    assert (done.code, done.err) == (0, "")
    changed = (site.now - timedelta(days=43)).date()
    assert f"  osv/PyPI: osv, 2 records, 43 days old (changed {changed})\n" in done.out
    assert f"  vex.json: openvex, 1 record, 43 days old (changed {changed})\n" in done.out
    document = json.loads(site.show(bundle, "--json").out)
    assert (document["trusted"], document["place"]) == (True, str(bundle))
    assert [(item["kind"], item["age_days"], item["records"]) for item in document["data"]] == [
        ("openvex", 43, 1),
        ("osv", 43, 2),
    ]


def test_the_size_of_an_artifact_is_that_of_its_data(site: Site) -> None:
    layout = trivy_layout(site.folder / "trivy")
    request = DataRequest("trivy-db", f"oci:{layout}")
    bundle = site.exporter.deliver(at=site.now, data=[request])
    (data,) = json.loads(site.show(bundle, "--json").out)["data"]
    assert data["size"] == len(b"a database")
    assert ", 10 bytes\n" in site.show(bundle).out
    incomplete = site.exporter.deliver(at=site.now, data=[request], change=_without_layers)
    done = site.show(incomplete)
    assert (done.code, "incomplete" in done.err) == (1, True)


def _without_layers(inventory: Inventory) -> Inventory:
    return replace(inventory, blobs=tuple(blob for blob in inventory.blobs if "trivy" not in blob.media_type))


def test_inspect_tells_of_it(site: Site) -> None:
    bundle = site.deliver()
    done = call("inspect", bundle, "--state", site.state)
    assert done.code == 0
    assert "vulnerability data osv/PyPI\n  osv, 2 records, changed " in done.out
    document = json.loads(call("inspect", bundle, "--state", site.state, "--json").out)
    assert [(item["kind"], item["records"]) for item in document["data"]] == [("openvex", 1), ("osv", 2)]


def test_of_a_bundle_without_a_pin(site: Site, tmp_path: Path) -> None:
    bundle = site.deliver()
    done = call("data", "show", bundle, "--state", tmp_path / "nowhere")
    assert done.code == 4
    assert done.out.startswith("NOT VERIFIED: no-pin: ")
    assert "43 days old" in done.out
    assert call("data", "show", bundle, "--state", tmp_path / "nowhere", "--untrusted").code == 0


def test_of_a_site(site: Site) -> None:
    empty = site.show()
    assert (empty.code, empty.out) == (
        0,
        f"{site.state}\n  no vulnerability data\n  kept of 0 deliveries: 0 SBOMs of 0 images\n",
    )
    page = call("help", "data").out
    for place in (site.state, site.deliver(site.image())):
        assert undocumented(json.loads(site.show(place, "--json").out), page) == set()
    assert site.verify(site.deliver(data=True)).code == 0
    assert site.verify(site.deliver(site.image(), data=False)).code == 0
    done = site.show()
    assert (done.code, done.err) == (0, "")
    assert "osv/PyPI: osv, 2 records, 43 days old" in done.out
    assert "kept of 2 deliveries: 2 SBOMs of 1 image" in done.out
    assert site.show(site.state).out == done.out
    document = json.loads(site.show("--json").out)
    assert (document["deliveries"], document["sboms"], document["images"]) == (2, 2, 1)
    assert [item["reason"] for item in document["data"]] == ["", ""]


def test_what_rotted_at_a_site(site: Site) -> None:
    assert site.verify(site.deliver()).code == 0
    for path in (site.state / "kept").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    done = site.show()
    assert done.code == 4
    assert done.out.count("DAMAGED") == 2
    assert "[state-damaged]" in done.err
    assert {item["reason"] for item in json.loads(site.show("--json").out)["data"]} == {"state-damaged"}


def test_names_from_outside_are_escaped_and_fit(site: Site) -> None:
    dump = site.folder / "x.zip"
    dump.write_bytes(osv_zip([osv_record()]))
    name = "osv/\u202eevil " + "word " * 40
    bundle = site.exporter.deliver(at=site.now, data=[DataRequest("osv", str(dump), name.replace("\u202e", ""))])
    done = site.show(bundle)
    assert max(map(len, done.out.splitlines())) <= 80 or str(bundle) in done.out


def test_verify_uses_what_the_site_keeps_and_says_its_age(site: Site) -> None:
    assert site.verify(site.deliver()).code == 0
    bundle = site.deliver(site.image(), data=False)
    done = site.verify(bundle, RULE)
    assert done.code == 1
    text = " ".join(done.out.split())
    assert "REJECTED (vulnerability-severity)" in text
    assert "CVE-2026-1 in flask 1.0 (critical, fixed in 2.0)" in text
    assert "(43 days old)" in text
    assert [path.suffix for path in sorted((site.state / "vulnerabilities").glob("osv-*"))].count(".sqlite") == 1
    assert site.verify(bundle, RULE.replace("medium", "critical")).code == 0
    old = RULE.replace("medium", "critical").replace("60", "42")
    assert "vulnerability-data-old" in site.verify(bundle, old).out


def test_runs_that_write_nothing_make_no_index_at_the_site(site: Site) -> None:
    bundle = site.deliver(site.image())
    path = site.folder / "policy.toml"
    path.write_text(policy(demand(), RULE))
    moment = site.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    words = ("verify", bundle, "--policy", path, "--state", site.state, "--quiet")

    def files() -> dict[Path, bytes]:
        return {each: each.read_bytes() for each in site.state.rglob("*") if each.is_file() and each.name != "lock"}

    before = files()
    for more in (("--read-only",), ("--at", moment, "--reason", "audit 12"), ("--integrity-only",)):
        done = call(*(words[:2] if more == ("--integrity-only",) else words), *more)
        assert done.code == (0 if more == ("--integrity-only",) else 1)
        assert ("vulnerability-severity" in done.out) is (done.code == 1)
        assert files() == before
    assert call(*words).code == 1
    assert (site.state / "vulnerabilities").is_dir()


def test_old_indexes_are_removed(site: Site) -> None:
    folder = site.state / "vulnerabilities"
    folder.mkdir()
    stale, young = folder / f"osv-{'a' * 64}.1.sqlite", folder / f"osv-{'b' * 64}.1.sqlite"
    for path in (stale, young):
        path.write_bytes(b"")
    long_ago = (site.now - timedelta(days=2)).timestamp()
    os.utime(stale, (long_ago, long_ago))
    site.verify(site.deliver(site.image()), RULE)
    assert (stale.exists(), young.exists()) == (False, True)


def test_export_reads_the_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "all.zip").write_bytes(osv_zip([osv_record()]))
    settings = tmp_path / "sealift.toml"
    settings.write_text('[[vulnerability-data]]\nkind = "osv"\nsource = "all.zip"\n')
    assert main(["export", "-f", str(settings), "--dry-run", "--json", "--cache", str(tmp_path / "cache")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(item["source"], item["records"]) for item in document["data"]] == [("all.zip", 1)]
    assert main(["export", "-f", str(settings), "--dry-run", "--cache", str(tmp_path / "cache")]) == 0
    assert "data osv all.zip, 1 record, changed 2026-10-11T00:00:00Z" in capsys.readouterr().out


def scan(site: Site, *words: str | Path) -> Result:
    return call("scan", *words, "--index", site.folder / "index")


def test_scan_of_what_a_site_keeps(site: Site) -> None:
    """The image came first, without data; the data weeks later, alone."""
    assert site.verify(site.deliver(site.image(), data=False)).code == 0
    assert "no-vulnerability-data" in scan(site, site.state).err
    assert site.verify(site.deliver()).code == 0
    done = scan(site, site.state)
    assert done.code == 1
    assert done.out.startswith(f"{site.state}: what this site keeps of accepted deliveries\n"[:20])
    assert "43 days old" in " ".join(done.out.split())
    assert "critical" in done.out
    document = json.loads(scan(site, site.state, "--json").out)
    assert (document["trusted"], document["pin"], document["failing"]) == (True, None, 2)
    assert [(item["image"], item["platform"]) for item in document["images"]] == [
        (NAME, "linux/amd64"),
        (NAME, "linux/arm64"),
    ]
    assert {item["strength"] for item in document["images"]} == {"covered by the image signature"}
    one = json.loads(scan(site, site.state, NAME, "--platform", "linux/arm64", "--json").out)
    assert [item["platform"] for item in one["images"]] == ["linux/arm64"]
    assert "[image-choice]" in scan(site, site.state, "registry.example.org/other").err
    assert scan(site, site.state, "--with", "trivy").code == 2


def test_scan_of_a_bundle_by_what_the_site_keeps(site: Site) -> None:
    assert site.verify(site.deliver()).code == 0
    bundle = site.deliver(site.image(), data=False)
    done = scan(site, bundle, "--state", site.state, "--json")
    assert done.code == 1
    assert [item["source"] for item in json.loads(done.out)["data"]] == ["osv/PyPI of stream main"]


def test_scan_of_a_bundle_by_what_it_brings_itself(site: Site) -> None:
    """Neither accepted nor typed: the data in the file is used, and its VEX is shown and settles nothing."""
    bundle = site.deliver(site.image())
    done = scan(site, bundle, "--state", site.state, "--json")
    assert done.code == 1
    document = json.loads(done.out)
    assert [item["source"] for item in document["data"]] == ["osv/PyPI of stream main"]
    assert document["failing"] == 2
    assert site.verify(site.deliver(days=50)).code == 0
    again = json.loads(scan(site, bundle, "--state", site.state, "--json").out)
    assert [item["age_days"] for item in again["data"]] == [43]  # the newer of the two


def test_vex_that_comes_with_a_bundle_is_shown(site: Site) -> None:
    about = {
        "vulnerability": {"name": "CVE-2026-1"}, "products": [{"@id": "pkg:pypi/flask"}], "status": "not_affected",
        "justification": "vulnerable_code_not_present",
    }  # fmt: skip
    layout, top, _ = scannable(NAME, more={"https://openvex.dev/ns/v0.2.0": openvex(about)})
    site.claims.sign(layout, top, site.claims.release)
    image = LayoutSource("oci", layout.write(site.folder / "vexed"), NAME)
    dump, vex = site.folder / "osv.zip", site.folder / "about.json"
    dump.write_bytes(osv_zip([osv_record(aliases=["CVE-2026-1"])]))
    vex.write_bytes(raw(openvex(about, **{"@id": "https://example.org/vex/2"})))
    carried = [DataRequest("openvex", str(vex), "vex")]
    bundle = site.exporter.deliver(image, at=site.now, data=carried)
    document = json.loads(scan(site, bundle, "--data", dump, "--state", site.state, "--json").out)
    (finding, _) = [finding for image in document["images"] for finding in image["findings"]]
    assert [(item["document"], item["accepted"]) for item in finding["vex"]] == [
        ("https://example.org/vex/1", False),
        ("https://example.org/vex/2", False),
    ]
    assert (finding["excused"], document["failing"]) == (False, 2)
    # Whose word counts is for the policy to say, in whatever way the document came.
    for author, settled in (("Example Security Team", True), ("Example Security", False)):
        rule = f'[rule.vulnerabilities]\nat_most = "none"\nvex = [{{ unsigned_author = "{author}" }}]'
        path = site.folder / "policy.toml"
        path.write_text(policy(demand(), rule))
        words = ("--data", dump, "--state", site.state, "--policy", path)
        told = json.loads(scan(site, bundle, *words, "--json").out)
        assert {one["accepted"] for item in told["images"] for it in item["findings"] for one in it["vex"]} == {settled}
        assert (told["excused"], told["failing"]) == ((2, 0) if settled else (0, 2))
        assert ("not_affected (unsigned)" in scan(site, bundle, *words).out) == settled
        shown = json.loads(call("dashboard", bundle, *words, "--index", site.folder / "index", "--json").out)
        assert shown["totals"]["open"]["under_vex"] == int(settled)


def test_data_in_a_bundle_that_is_damaged_is_not_used(site: Site) -> None:
    bundle = site.deliver(site.image())
    whole = bundle.read_bytes()
    content = (site.folder / "43.zip").read_bytes()
    bundle.write_bytes(whole.replace(content, content[:-30] + bytes(30)))
    done = scan(site, bundle, "--state", site.state)
    assert done.code == 2
    assert "[no-vulnerability-data]" in done.err
    assert "osv/PyPI: [" in done.err


def test_nothing_to_scan_is_no_success(site: Site) -> None:
    bundle = site.deliver()
    done = scan(site, bundle, "--state", site.state)
    assert (done.code, "[no-images]" in done.err, "NOT SCANNED" in done.out) == (1, True, True)
    assert site.verify(bundle).code == 0
    done = scan(site, site.state)
    assert (done.code, "[no-images]" in done.err) == (1, True)
    assert site.verify(site.deliver(site.image(), data=False)).code == 0
    done = scan(site, site.state, "--platform", "linux/s390x")
    assert (done.code, "[sbom-missing]" in done.err) == (1, True)
    assert scan(site, site.state, "--platform", "bad").code == 2


def test_typed_vex_settles_and_is_shown(site: Site) -> None:
    assert site.verify(site.deliver(site.image())).code == 0
    statement = {
        "vulnerability": {"name": "CVE-2026-1"},
        "products": [{"@id": "pkg:pypi/flask"}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_present",
    }
    path = site.folder / "typed.json"
    path.write_bytes(raw(openvex(statement, timestamp="2026-01-01T00:00:00Z")))
    done = scan(site, site.state, "--vex", path, "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert (document["failing"], document["excused"]) == (0, 2)
    (verdict,) = document["images"][0]["findings"][0]["vex"]
    assert (verdict["accepted"], verdict["strength"]) == (True, "unsigned, named on the command line")
    assert "not_affected" in scan(site, site.state, "--vex", path).out


def test_typed_vex_about_the_index_and_bad_ones(site: Site) -> None:
    assert site.verify(site.deliver(site.image())).code == 0
    digest = json.loads(scan(site, site.state, "--json").out)["images"][0]["digest"]
    path = site.folder / "vex"
    path.mkdir()
    assert "[vex-empty]" in scan(site, site.state, "--vex", path).err
    (path / "a.json").write_bytes(raw(openvex()))
    assert scan(site, site.state, "--vex", path).code == 1
    about = {"vulnerability": {"name": "CVE-2026-1"}, "status": "fixed", "products": [{"@id": f"pkg:oci/app@{digest}"}]}
    (path / "b.json").write_bytes(raw(openvex(about, timestamp="2026-01-01T00:00:00Z")))
    assert json.loads(scan(site, site.state, "--vex", path, "--json").out)["excused"] == 1
    (path / "c.json").write_bytes(b"{}")
    done = scan(site, site.state, "--vex", path)
    assert (done.code, "[field-missing]" in done.err) == (2, True)


def dashboard(site: Site, *words: str | Path, state: Path | None = None) -> Result:
    return call("dashboard", *words, "--index", site.folder / "index", "--state", state or site.state, "--json")


def test_dashboard_of_bundles_by_what_they_bring(site: Site, tmp_path: Path) -> None:
    """Nothing was accepted yet: the newest data of the bundles is used, but nothing of one that is not trusted."""
    image = site.deliver(site.image(), data=False)
    assert "[no-vulnerability-data]" in dashboard(site, image).err
    data = site.deliver()
    document = json.loads(dashboard(site, image, data).out)
    assert ([item["age_days"] for item in document["data"]], document["totals"]["open"]["critical"]) == ([43], 1)
    elsewhere = make_site(tmp_path / "elsewhere", TufRepository("main").pin, clock=site.now)
    assert "[no-vulnerability-data]" in dashboard(site, image, data, state=elsewhere).err


def test_taken_out_again(site: Site, tmp_path: Path) -> None:
    assert site.verify(site.deliver(site.image())).code in (0, 1)
    bundle = site.deliver(site.image())
    path = tmp_path / "plain.toml"
    path.write_text(policy(demand()))
    assert call("verify", bundle, "--policy", path, "--state", site.state, "--quiet").code == 0
    out = tmp_path / "out.zip"
    done = call("data", "get", "osv/PyPI", "-o", out, "--state", site.state)
    assert (done.code, done.out, "osv osv/PyPI of stream main 2, sha256:" in done.err) == (0, "", True)
    assert out.read_bytes() == (tmp_path / "43.zip").read_bytes()
    for words in (("osv/npm",), ("osv/PyPI", "--kind", "openvex"), ("osv/PyPI", "--stream", "other")):
        none = call("data", "get", *words, "-o", tmp_path / "none", "--state", site.state)
        assert (none.code, "[data-choice]" in none.err, (tmp_path / "none").exists()) == (2, True, False)
        assert "hint: there is osv/PyPI: --kind osv --stream main\n" in none.err
    assert call("data", "get", "osv/PyPI", "-o", out, "--pin", "main", "--state", site.state).code == 2


def test_two_pins_with_one_stream_name_are_told_apart(site: Site, tmp_path: Path) -> None:
    other = Exporter(TufRepository("main", at=site.now, targets=site.claims.targets), tmp_path / "other")
    other.folder.mkdir()
    pin_root(site.state, other.repository.pin, sha256_of(other.repository.pin), site.now, add=True)
    again = replace(site, exporter=other)
    assert (site.verify(site.deliver()).code, again.verify(again.deliver(days=9)).code) == (0, 0)
    out = tmp_path / "out.zip"
    words = ("data", "get", "osv/PyPI", "-o", out, "--state", site.state)
    unclear = call(*words, "--stream", "main")
    assert (unclear.code, "[data-choice]" in unclear.err, out.exists()) == (2, True, False)
    hints = [line.partition("osv/PyPI: ")[2].split() for line in unclear.err.splitlines() if "hint: " in line]
    assert sorted(hint[-1] for hint in hints) == sorted(
        str(sha256_of(exporter.repository.pin)) for exporter in (site.exporter, other)
    )
    for hint in hints:  # what a hint says can be typed
        taken = call(*words, *hint)
        assert (taken.code, taken.err.startswith("osv osv/PyPI of stream main 1")) == (0, True)
        days = 43 if hint[-1] == str(sha256_of(site.exporter.repository.pin)) else 9
        assert out.read_bytes() == (tmp_path / f"{days}.zip").read_bytes()
    assert call(*words, "--pin", str(sha256_of(b"none"))).code == 2
    listed = json.loads(site.show("--json").out)["data"]
    assert {item["pin"] for item in listed} == {hint[-1] for hint in hints}
    assert site.show().out.replace("\n      ", " ").count("below pin sha256:") == 4


def test_what_rotted_is_not_taken_out(site: Site, tmp_path: Path) -> None:
    assert site.verify(site.deliver(site.image())).code in (0, 1)
    digest = json.loads(site.show("--json").out)["data"][1]["digest"]
    (kept,) = [path for path in site.state.rglob("*") if path.name.endswith(digest.partition(":")[2])]
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    done = call("data", "get", "osv/PyPI", "-o", tmp_path / "out", "--state", site.state)
    assert (done.code, "[state-damaged]" in done.err, (tmp_path / "out").exists()) == (4, True, False)
