"""Vulnerability data in a bundle: described truly, packed the same everywhere, complete; refused where it is not."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bundler.archive.inventory import Data, Inventory
from bundler.archive.reader import open_archive
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, SealiftError, UsageError
from bundler.export import pipeline
from bundler.export.data_pack import PackedFolder
from bundler.export.pipeline import export_bundle
from bundler.export.settings import DataRequest, parse_settings
from bundler.network.connection import Connection
from bundler.vulnerability.osv_source import ZipSource
from tests.simulators.images import EMPTY_CONFIG, Held, Layout
from tests.simulators.osv_records import osv_record, osv_zip, write_folder
from tests.simulators.registry import Registry
from tests.simulators.registry_scene import QUICK
from tests.simulators.vex_documents import csaf, openvex, raw
from tests.unit.export.conftest import AT, Place
from tests.unit.export.test_export import open_bundle
from trust_root.client import open_trust

RECORDS = [osv_record(), osv_record("GHSA-dddd-eeee-ffff", modified="2026-10-20T10:00:00.5Z")]
TRIVY = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"


def read_blob(bundle: Path, digest: Digest) -> bytes:
    with open_archive(bundle) as archive:
        files = dict(archive.trust_files)
        trusted = open_trust(files["metadata/1.root.json"], files, AT)
        archive.read_inventory(trusted.inventory_size_bytes, trusted.inventory_digest)
        return archive.read_blob(digest, 1 << 20)


def request(kind: str, path: Path, name: str | None = None) -> DataRequest:
    return DataRequest(kind, str(path), name)


def exported(place: Place, *requests: DataRequest, **changes: Any) -> Inventory:
    done = place.export(data=requests, **changes)
    inventory = open_bundle(done.path)
    assert inventory == done.inventory
    assert place.litter() == []
    return inventory


def test_a_bundle_of_data_alone(place: Place) -> None:
    path = place.folder / "all.zip"
    path.write_bytes(osv_zip(RECORDS))
    inventory = exported(place, request("osv", path, "osv/PyPI"), images=())
    assert inventory.images == ()
    assert inventory.data == (
        Data(
            "osv", "osv/PyPI", datetime(2026, 10, 20, 10, tzinfo=UTC), 2, sha256_of(path.read_bytes()),
            "application/vnd.sealift.osv.v1+zip", path.stat().st_size,
        ),
    )  # fmt: skip
    assert [blob.digest for blob in inventory.blobs] == [inventory.data[0].digest]


def test_data_beside_images_in_one_order(place: Place) -> None:
    path, document = place.folder / "all.zip", place.folder / "vex.json"
    path.write_bytes(osv_zip(RECORDS))
    document.write_bytes(raw(openvex()))
    other = place.folder / "csaf.json"
    other.write_bytes(raw(csaf(**_finished("2026-10-30T00:00:00Z"))))
    inventory = exported(place, request("osv", path), request("openvex", document), request("csaf", other))
    assert len(inventory.images) == 1
    assert [(data.kind, data.source, data.records) for data in inventory.data] == [
        ("csaf", "csaf.json", 1),
        ("openvex", "vex.json", 1),
        ("osv", "all.zip", 2),
    ]


def _finished(date: str) -> dict[str, Any]:
    document = csaf()["document"]
    document["tracking"]["current_release_date"] = date
    return {"document": document}


def test_a_folder_is_packed_the_same_whatever_its_order(place: Place, tmp_path: Path) -> None:
    first = write_folder(tmp_path / "one" / "osv", RECORDS)
    second = write_folder(tmp_path / "two" / "osv", RECORDS[::-1])
    (second / "README").write_text("left aside")
    one, two = (exported(place, request("osv", folder), images=()) for folder in (first, second))
    assert one.data == two.data
    (data,) = one.data
    assert (data.source, data.records, data.media_type) == ("osv", 2, "application/vnd.sealift.osv.v1.records")
    content = read_blob(place.out / "1.bundle.tar", data.digest)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["GHSA-aaaa-bbbb-cccc.json", "GHSA-dddd-eeee-ffff.json"]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_packing_reads_back_with_our_reader_and_with_others(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    records = [osv_record(f"GHSA-{number:04}") for number in range(300)]
    write_folder(folder, records)
    (folder / "größer").mkdir()
    (folder / "größer" / "ä.json").write_text("{}")
    content = PackedFolder(folder).read()
    assert content is not None
    found = dict(ZipSource(io.BytesIO(content), "x").records(lambda _name: None))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == found
    assert len(found) == 301


def test_zip64_where_it_must_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "many", [osv_record(f"GHSA-{number:04}") for number in range(40)])
    monkeypatch.setattr("bundler.export.data_pack._MAX_16", 30)
    content = PackedFolder(folder).read()
    assert content is not None
    end = content.rindex(b"PK\x05\x06")
    assert b"PK\x06\x06" in content
    content = content[: end + 8] + b"\xff\xff\xff\xff" + content[end + 12 :]  # as if there were 65 535 entries
    assert len(list(ZipSource(io.BytesIO(content), "x").records(lambda _name: None))) == 40


def test_changes_after_the_bundle_do_not_make_data_fresh(place: Place) -> None:
    path = place.folder / "all.zip"
    path.write_bytes(osv_zip([RECORDS[0], osv_record("GHSA-2099", modified="2099-01-01T00:00:00Z")]))
    (data,) = exported(place, request("osv", path), images=()).data
    assert data.modified_at == datetime(2026, 10, 11, tzinfo=UTC)
    assert data.records == 2


def test_records_that_cannot_be_read_are_told(place: Place) -> None:
    path = place.folder / "all.zip"
    path.write_bytes(osv_zip([RECORDS[0], {"id": "GHSA-bad"}]))
    done = place.export(data=(request("osv", path),))
    assert any("1 record of all.zip cannot be read" in warning for warning in done.warnings)
    assert done.inventory.data[0].records == 1


def trivy_layout(folder: Path, created: str | None = "2026-10-25T06:00:00Z") -> Path:
    layout = Layout()
    database = layout.blob(Held(b"a database"), TRIVY)
    annotations = {"org.opencontainers.image.created": created} if created else {}
    config = layout.blob(b"{}", EMPTY_CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": config.media_type, "digest": str(config.digest), "size": config.size_bytes},
        "layers": [{"mediaType": TRIVY, "digest": str(database.digest), "size": database.size_bytes}],
        "annotations": annotations,
    }
    manifest = layout.blob(json.dumps(document).encode(), "application/vnd.oci.image.manifest.v1+json")
    layout.name(manifest, "ghcr.example/trivy-db:2")
    layout.write(folder)
    return folder


def test_an_artifact_travels_whole(place: Place) -> None:
    layout = trivy_layout(place.folder / "trivy")
    inventory = exported(place, DataRequest("trivy-db", f"oci:{layout}"), images=())
    (data,) = inventory.data
    assert (data.source, data.records) == ("ghcr.example/trivy-db:2", None)
    assert data.modified_at == datetime(2026, 10, 25, 6, tzinfo=UTC)
    assert sorted(blob.media_type for blob in inventory.blobs) == sorted([data.media_type, EMPTY_CONFIG, TRIVY])


def test_an_artifact_from_a_registry(place: Place) -> None:
    """Manifest, config and layer come by our own client; evidence is not looked for, and nothing goes to skopeo."""
    layout = trivy_layout(place.folder / "trivy")
    with Registry() as registry:
        registry.repository("aqua/trivy-db").load(layout, "2")
        source = f"docker://{registry.host}/aqua/trivy-db:2"
        request = place.request(data=(DataRequest("trivy-db", source),), images=())
        with Connection(QUICK, lambda: place.folder / "cache") as connection:
            done = export_bundle(request, place.hooks(), connection)
        assert not registry.asked("GET", "/referrers/")
    inventory = open_bundle(done.path)
    (data,) = inventory.data
    assert data.source == f"{registry.host}/aqua/trivy-db:2"
    assert sorted(blob.media_type for blob in inventory.blobs) == sorted([data.media_type, EMPTY_CONFIG, TRIVY])


def test_an_artifact_without_a_date_has_none(place: Place) -> None:
    for number, created in enumerate((None, "soon", "2030-01-01T00:00:00Z")):
        layout = trivy_layout(place.folder / f"trivy-{number}", created)
        (data,) = exported(place, DataRequest("trivy-db", f"oci:{layout}"), images=()).data
        assert data.modified_at is None


def test_a_database_file_is_carried_as_it_is(place: Place) -> None:
    path = place.folder / "grype.tar.zst"
    path.write_bytes(b"a database")
    (data,) = exported(place, request("grype-db", path), images=()).data
    assert (data.media_type, data.records, data.modified_at) == ("application/vnd.sealift.grype-db.v1", None, None)


def _no_zip(folder: Path) -> DataRequest:
    (folder / "x").write_bytes(b"no zip")
    return request("osv", folder / "x")


def _empty_zip(folder: Path) -> DataRequest:
    (folder / "x").write_bytes(osv_zip([]))
    return request("osv", folder / "x")


def _bad_only(folder: Path) -> DataRequest:
    (folder / "x").write_bytes(osv_zip([{"id": "GHSA-bad"}]))
    return request("osv", folder / "x")


def _bad_vex(folder: Path) -> DataRequest:
    (folder / "x").mkdir()
    (folder / "x" / "good.json").write_bytes(raw(openvex()))
    (folder / "x" / "bad.json").write_bytes(b'{"@context": "https://openvex.dev/ns/v9"}')
    return request("openvex", folder / "x")


def _link(folder: Path) -> DataRequest:
    (folder / "x").mkdir()
    (folder / "x" / "a.json").symlink_to("/etc/hostname")
    return request("osv", folder / "x")


def _empty_folder(folder: Path) -> DataRequest:
    (folder / "x").mkdir()
    return request("osv", folder / "x")


def _folder_of_a_database(folder: Path) -> DataRequest:
    (folder / "x").mkdir()
    return request("trivy-db", folder / "x")


def _absent(folder: Path) -> DataRequest:
    return request("osv", folder / "nothing")


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("data-kind", _no_zip),
        ("data-empty", _empty_zip),
        ("field-missing", _bad_only),
        ("vex-version", _bad_vex),
        ("data-link", _link),
        ("data-empty", _empty_folder),
        ("data-kind", _folder_of_a_database),
        ("file-absent", _absent),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_bad_data_is_refused_and_nothing_is_left(place: Place, code: str, make: Any) -> None:
    with pytest.raises(SealiftError) as error:
        place.export(data=(make(place.folder),), images=())
    assert error.value.code == code
    assert place.litter() == []


def test_one_name_twice(place: Place) -> None:
    path = place.folder / "all.zip"
    path.write_bytes(osv_zip(RECORDS))
    with pytest.raises(UsageError) as error:
        place.export(data=(request("osv", path), request("osv", path)))
    assert error.value.code == "name-twice"


def test_a_file_that_changes_meanwhile_ends_the_export(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.folder / "all.zip"
    path.write_bytes(osv_zip(RECORDS))
    plan = pipeline.make_plan

    def change(*given: Any) -> Any:
        made = plan(*given)
        content = bytearray(path.read_bytes())
        content[40] ^= 1
        path.write_bytes(content)
        return made

    monkeypatch.setattr(pipeline, "make_plan", change)
    with pytest.raises(SealiftError) as error:
        place.export(data=(request("osv", path),))
    assert error.value.code == "blob-digest"
    assert place.litter() == []


def test_settings(tmp_path: Path) -> None:
    text = '[[vulnerability-data]]\nkind = "osv"\nsource = "osv/PyPI.zip"\nname = "osv/PyPI"\n'
    (only,) = parse_settings(text.encode(), tmp_path).data
    assert only == DataRequest("osv", "osv/PyPI.zip", "osv/PyPI", tmp_path)
    for wrong in (text.replace('osv"\nsource', 'nvd"\nsource'), text + 'url = "x"\n', text.replace("osv/PyPI.zip", "")):
        with pytest.raises(MalformedError):
            parse_settings(wrong.encode(), tmp_path)
    with pytest.raises(MalformedError):
        parse_settings(b'stream = "main"\n', tmp_path)


def test_nothing_at_all_is_no_export(place: Place) -> None:
    with pytest.raises(UsageError) as error:
        place.export(replace(place.request(), images=()))
    assert error.value.code == "images"
