"""Scans of SBOMs that syft makes of a real file system, with records that hit real packages in it.

The packages are this machine's dpkg database and this interpreter's site-packages. For each of some dozens of packages
there are records just above, just at and just below its version; what a scan must find follows from them alone. PyPI is
also asked the way pip-audit asks: by packaging's own versions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from bundler.evidence.sbom import Sbom, parse_sbom
from bundler.vulnerability.match import Matcher
from bundler.vulnerability.purls import locate
from bundler.vulnerability.scan import Scanned, scan_packages
from tests.cli.session import call
from tests.simulators.images import SPDX
from tests.simulators.osv_match_vectors import affected, record, span
from tests.simulators.real_tree import syft_documents
from tests.simulators.vulnerability_data import matcher, write_zip
from tests.unit.deliver.test_image_inspection import World

FORMATS = ("spdx-json@2.3", "cyclonedx-json@1.6")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return syft_documents(tmp_path_factory.mktemp("syft"), FORMATS)


def read(documents: dict[str, dict[str, Any]], name: str = FORMATS[0]) -> Sbom:
    return parse_sbom(json.dumps(documents[name]).encode())


def sources(sbom: Sbom, kind: str) -> dict[str, str]:
    """Source package and version of each distribution package; name and version of others."""
    found: dict[str, str] = {}
    for package in sbom.packages:
        if package.purl.startswith(f"pkg:{kind}/"):
            (target,) = locate(package).targets
            found[target.name] = target.version
    return found


def around(ecosystem: str, packages: dict[str, str]) -> list[dict[str, Any]]:
    """For each package a record that ends above its version, one at it, one of it alone, one long before."""
    records = []
    for number, (name, version) in enumerate(sorted(packages.items())):
        above, least = (f"{version}.1", "0.dev0") if ecosystem == "PyPI" else (f"{version}+later1", "0~")
        for word, text in (
            ("above", f"introduced 0, fixed {above}"),
            ("at", f"introduced 0, fixed {version}"),
            ("last", f"introduced {version}, last_affected {version}"),
            ("before", f"introduced 0, fixed {least}"),
        ):
            made = record(f"{ecosystem.partition(':')[0]}-{number}-{word}", affected(ecosystem, name, span(text)))
            records.append(made)
    return records


def scan(sbom: Sbom, asked: Matcher) -> Scanned:
    return scan_packages(sbom.packages, "linux/amd64", asked)


def test_hundreds_of_real_packages(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    sbom = read(documents)
    debian, pypi = sources(sbom, "deb"), sources(sbom, "pypi")
    assert len(debian) > 80
    assert len(pypi) > 20
    with matcher(tmp_path, around("Debian:12", debian), around("PyPI", pypi)) as asked:
        scanned = scan(sbom, asked)
        others = [scan(read(documents, name), asked) for name in FORMATS]
    words = {finding.record_id.rpartition("-")[2] for finding in scanned.findings}
    assert words == {"above", "last"}
    hit = {(finding.package.ecosystem, finding.package.name) for finding in scanned.findings}
    assert hit == {("Debian:12", name) for name in debian} | {("PyPI", name) for name in pypi}
    assert {note.code for note in scanned.notes} <= {"ecosystem-unknown", "no-package"}
    assert "no-package" in {note.code for note in scanned.notes}  # the directory itself
    by_purl = [{(item.package.purl, item.record_id) for item in other.findings} for other in others]
    assert by_purl[0] == by_purl[1]  # SPDX and CycloneDX of the same tree


def test_binary_packages_are_found_by_their_source(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    sbom = read(documents)
    binaries = [package for package in sbom.packages if "upstream=" in package.purl and "pkg:deb/" in package.purl]
    assert len(binaries) > 30
    wanted = locate(binaries[0]).targets[0]
    below = {
        package.purl
        for package in sbom.packages
        if package.purl.startswith("pkg:deb/") and locate(package).targets[0].name == wanted.name
    }
    with matcher(tmp_path, [record("DSA-1", affected("Debian:12", wanted.name, span("introduced 0")))]) as asked:
        assert {finding.package.purl for finding in scan(sbom, asked).findings} == below


@pytest.mark.parametrize("distance", [-1, 0, 1])
def test_pypi_agrees_with_packaging(documents: dict[str, dict[str, Any]], tmp_path: Path, distance: int) -> None:
    """pip-audit's way: a version of packaging between those of the record."""
    sbom = read(documents)
    versions = {canonicalize_name(name): Version(text) for name, text in sources(sbom, "pypi").items()}
    fixes = {}
    for name, version in versions.items():
        major = max(version.release[0] + distance, 0)
        fixes[name] = f"{major}.{version.release[1] if len(version.release) > 1 else 0}"
    records = [
        record(f"X-{name}", affected("PyPI", name, span(f"introduced 0, fixed {fixes[name]}"))) for name in fixes
    ]
    with matcher(tmp_path, records) as asked:
        found = {canonicalize_name(finding.package.name) for finding in scan(sbom, asked).findings}
    assert found == {name for name, version in versions.items() if version < Version(fixes[name])}


def test_signed_carried_scanned(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """The whole way: attested, exported, delivered, scanned by the command."""
    world = World(tmp_path, "linux/amd64")
    world.finish()
    world.attach(SPDX, documents[FORMATS[0]])
    sbom = read(documents)
    pypi = sources(sbom, "pypi")
    data = write_zip(tmp_path / "osv.zip", around("PyPI", pypi))
    result = call(
        "scan", world.bundle(), "--data", data, "--index", tmp_path / "index", "--state", tmp_path / "state", "--json",
        "--at", "2026-11-01", "--reason", "test",
    )  # fmt: skip
    document = json.loads(result.out)
    (image,) = document["images"]
    assert (result.code, image["strength"], image["packages"]) == (
        1,
        "signed, inclusion promise",
        len(sbom.packages) - 1,
    )
    assert {item["package"]["name"] for item in image["findings"]} == set(pypi)
    assert image["judged"] == len([package for package in sbom.packages if package.purl.startswith("pkg:pypi/")])
    assert {note["reason"] for note in image["notes"]} >= {"no-data", "no-package"}
