"""SBOMs that syft makes of a real file system: hundreds of packages, in every format that it writes and we read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundler.evidence.sbom import Sbom, parse_sbom
from tests.unit.deliver.test_image_inspection import World

FORMATS = ("spdx-json@2.2", "spdx-json@2.3", "cyclonedx-json@1.4", "cyclonedx-json@1.5", "cyclonedx-json@1.6")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What syft says of this interpreter's packages and of a package database with some hundred entries."""
    syft = Path(sys.executable).parent / "syft"
    if not syft.exists():
        pytest.skip("syft is absent: it comes with requirements/dev.txt")
    folder = tmp_path_factory.mktemp("syft")
    tree = folder / "tree"
    database = tree / "var/lib/dpkg"
    database.mkdir(parents=True)
    status = Path("/var/lib/dpkg/status")
    (database / "status").write_bytes(status.read_bytes() if status.exists() else dpkg_status())
    (tree / "etc").mkdir()
    (tree / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    outputs = [word for name in FORMATS for word in ("-o", f"{name}={folder / name}")]
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "HOME": str(folder)}
    subprocess.run([syft, "scan", "-q", f"dir:{tree}", *outputs], env=environment, check=True, capture_output=True)
    return {name: json.loads((folder / name).read_bytes()) for name in FORMATS}


def dpkg_status() -> bytes:
    """A package database, where the machine has none."""
    entry = (
        "Package: library-{0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.{0}-1\nMaintainer: X\n\n"
    )
    return "".join(entry.format(number) for number in range(300)).encode()


def read(document: dict[str, Any]) -> Sbom:
    return parse_sbom(json.dumps(document).encode())


@pytest.mark.parametrize("name", FORMATS)
def test_every_package_is_read(documents: dict[str, dict[str, Any]], name: str) -> None:
    document = documents[name]
    sbom = read(document)
    word, _, version = name.partition("@")
    assert (sbom.format, sbom.version) == ({"spdx-json": "SPDX", "cyclonedx-json": "CycloneDX"}[word], version)
    assert sbom.created_at is not None
    assert any("syft" in tool for tool in sbom.tools)
    if sbom.format == "SPDX":
        expected = {(item["name"], item.get("versionInfo", "")) for item in document["packages"]}
        assert sbom.identity == document["documentNamespace"]
        assert sbom.relationships == len(document["relationships"])
    else:
        expected = {
            (item["name"], item.get("version", "")) for item in document["components"] if item["type"] != "file"
        }
        assert sbom.identity == document["serialNumber"]
    assert {(item.name, item.version) for item in sbom.packages} == expected
    assert len(sbom.packages) > 100


def test_formats_agree(documents: dict[str, dict[str, Any]]) -> None:
    found = [
        {(item.name, item.version, item.purl) for item in read(document).packages if item.purl.startswith("pkg:deb/")}
        for document in documents.values()
    ]
    assert len(found[0]) > 100
    assert all(packages == found[0] for packages in found)


@pytest.mark.parametrize("name", ["spdx-json@2.3", "cyclonedx-json@1.6"])
def test_signed_carried_and_read(documents: dict[str, dict[str, Any]], name: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.finish()
    kind = "https://spdx.dev/Document" if name.startswith("spdx") else "https://cyclonedx.org/bom"
    world.attach(kind, documents[name])
    (reading,) = world.readings("sbom")
    assert reading.strength == "signed, inclusion promise"
    assert reading.sbom == read(documents[name])
