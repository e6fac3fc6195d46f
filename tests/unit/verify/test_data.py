"""Vulnerability data in a bundle that is verified: complete, told with its age, and enough for a bundle by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bundler.archive.inventory import Inventory
from bundler.archive.ustar import BLOCK_BYTES
from bundler.export.settings import DataRequest
from bundler.oci.manifest import is_manifest
from bundler.report.as_html import format_html
from bundler.report.as_text import format_text
from bundler.verify.pipeline import Verification
from tests.simulators.bundles import walk_members
from tests.simulators.claims import demand, policy
from tests.simulators.deliveries import NOW, Change, Exporter, make_site, verify
from tests.simulators.osv_records import osv_record, osv_zip
from tests.simulators.tuf_repository import TufRepository
from tests.unit.export.test_data import trivy_layout

POLICY = policy(demand())


@pytest.fixture
def exporter(tmp_path: Path) -> Exporter:
    return Exporter(TufRepository("main"), tmp_path)


def osv_request(folder: Path, *, modified: str = "2025-12-01T00:00:00Z") -> DataRequest:
    path = folder / "all.zip"
    path.write_bytes(osv_zip([osv_record(modified=modified)]))
    return DataRequest("osv", str(path), "osv/PyPI")


def judged(exporter: Exporter, *requests: DataRequest, change: Change = lambda inventory: inventory) -> Verification:
    bundle = exporter.deliver(data=requests, change=change)
    state = exporter.folder / f"state-{exporter.sequence}"
    return verify(bundle, make_site(state, exporter.repository.pin), POLICY)


def test_data_alone_is_a_bundle(exporter: Exporter, tmp_path: Path) -> None:
    run = judged(exporter, osv_request(tmp_path))
    assert run.report.exit_code == 0, run.report.reason
    (fact,) = run.report.data
    assert fact.modified_at is not None
    assert fact.age_days == (NOW - fact.modified_at).days
    assert fact.told.startswith("osv, 1 record, ")
    (check,) = [check for check in run.report.checks if check.name == "data"]
    assert (check.outcome, check.about, check.strength) == ("held", "osv/PyPI", "as the exporter had it")
    assert "0 images, 1 source of vulnerability data, 1 blob" in format_text(run.report)
    assert "The file holds vulnerability data and no image." in format_html(run.report, run.exhibits)


def test_without_a_policy_nothing_is_verified(exporter: Exporter, tmp_path: Path) -> None:
    bundle = exporter.deliver(data=[osv_request(tmp_path)])
    run = verify(bundle, make_site(tmp_path / "state", exporter.repository.pin), None)
    assert (run.report.exit_code, run.report.reason) == (1, "no-policy")


def test_nothing_at_all_is_not_verified(exporter: Exporter, tmp_path: Path) -> None:
    bundle = exporter.deliver(
        data=[osv_request(tmp_path)], change=lambda inventory: replace(inventory, data=(), blobs=())
    )
    run = verify(bundle, make_site(tmp_path / "state", exporter.repository.pin), POLICY)
    assert (run.report.exit_code, run.report.reason) == (1, "no-images")


def test_a_blob_of_data_that_no_entry_names(exporter: Exporter, tmp_path: Path) -> None:
    other = DataRequest("osv", osv_request(tmp_path).source, "again")

    def drop(inventory: Inventory) -> Inventory:
        return replace(inventory, data=inventory.data[1:])

    trivy = DataRequest("trivy-db", f"oci:{trivy_layout(tmp_path / 'trivy')}")
    assert judged(exporter, other, trivy).report.exit_code == 0
    assert judged(exporter, other, trivy, change=drop).report.reason == "unreferenced-blob"


def test_an_artifact_without_its_layer(exporter: Exporter, tmp_path: Path) -> None:
    def drop(inventory: Inventory) -> Inventory:
        return replace(inventory, blobs=tuple(blob for blob in inventory.blobs if "trivy" not in blob.media_type))

    trivy = DataRequest("trivy-db", f"oci:{trivy_layout(tmp_path / 'trivy')}")
    run = judged(exporter, trivy, change=drop)
    assert (run.report.exit_code, run.report.reason) == (1, "incomplete")
    assert run.report.data == ()
    (whole,) = judged(exporter, trivy).report.data
    assert whole.size_bytes > len(b"a database")
    assert is_manifest(whole.media_type)


def test_damaged_data(exporter: Exporter, tmp_path: Path) -> None:
    bundle = exporter.deliver(data=[osv_request(tmp_path)])
    raw = bytearray(bundle.read_bytes())
    offset = next(offset for name, offset in walk_members(bytes(raw)) if name.startswith("blobs/"))
    raw[offset + BLOCK_BYTES] ^= 1
    bundle.write_bytes(raw)
    run = verify(bundle, make_site(tmp_path / "state", exporter.repository.pin), POLICY)
    assert run.report.exit_code == 3
    assert run.report.data == ()
    assert ("data", "damaged") in {(check.name, check.outcome) for check in run.report.checks}


def test_data_without_a_date_says_so(exporter: Exporter, tmp_path: Path) -> None:
    (tmp_path / "grype.db").write_bytes(b"a database")
    (fact,) = judged(exporter, DataRequest("grype-db", str(tmp_path / "grype.db"))).report.data
    assert (fact.told, fact.age_days) == ("grype-db, age unknown", None)


def test_age_is_in_days(exporter: Exporter, tmp_path: Path) -> None:
    modified = (NOW - timedelta(days=43)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (fact,) = judged(exporter, osv_request(tmp_path, modified=modified)).report.data
    assert fact.age.startswith("43 days old")
