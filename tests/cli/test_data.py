"""`sealift data show`, and vulnerability data from `export` to `verify` on the command line."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.cli.main import main
from bundler.export.settings import DataRequest
from tests.cli.session import Result, call
from tests.simulators.claims import NAME, Claims, demand, policy
from tests.simulators.deliveries import Exporter, LayoutSource, make_site
from tests.simulators.osv_records import osv_record, osv_zip
from tests.simulators.scannable import scannable
from tests.simulators.tuf_repository import TufRepository
from tests.simulators.vex_documents import openvex, raw

RULE = '[rule.vulnerabilities]\nat_most = "medium"\ndata_max_age_days = 60'


@dataclass(frozen=True)
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
    assert site.verify(site.deliver(data=True)).code == 0
    assert site.verify(site.deliver(site.image(), data=False)).code == 0
    done = site.show()
    assert (done.code, done.err) == (0, "")
    assert "osv/PyPI: osv, 2 records, 43 days old" in done.out
    assert "kept of 2 deliveries: 2 SBOMs of 1 images" in done.out
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
    assert "data osv all.zip, 1 records, changed 2026-10-11T00:00:00Z" in capsys.readouterr().out
