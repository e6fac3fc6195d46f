"""Scanners of others agree with `sealift scan` about the same SBOM and the same advisories: run for real.

Skipped where they are not there (`make peers`). What differs, and why: SCAN.md, "Beside other scanners".
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.errors import EnvError
from bundler.evidence.sbom import Sbom, parse_sbom
from bundler.network.access import Access
from bundler.network.sbom_scanner import SbomScanner, ScannerName
from bundler.network.scanner import Scanner
from bundler.vulnerability.ecosystems import format_ecosystem
from bundler.vulnerability.findings import Finding
from bundler.vulnerability.purls import Purl, locate, read_purl
from bundler.vulnerability.scan import scan_packages
from bundler.vulnerability.scan_report import parse_scan_report
from bundler.vulnerability.scanner_report import ScannerWord, parse_grype_report, parse_trivy_report
from tests.simulators.images import Held, Layer, Layout, layer
from tests.simulators.osv_match_vectors import affected, record, span
from tests.simulators.other_scanners import VECTOR, can_hold, grype_file, trivy_cache
from tests.simulators.peers import FOLDER, Peer
from tests.simulators.real_registry import push_layout, real_registry
from tests.simulators.real_tree import syft_documents
from tests.simulators.vulnerability_data import matcher
from tests.unit.vulnerability.test_match import MATCHES

Json = dict[str, Any]
AT = datetime(2026, 11, 1, tzinfo=UTC)
# Vectors whose purls others judge in another way.
DIFFERING: dict[ScannerName, set[str]] = {
    "grype": {
        "debian-by-source-and-release",  # a release by its code name
        "debian-package-built-again",  # for us 1.2-3+b1 is built of the source 1.2-3
        "range-fixed-where-introduced",  # empty for it; for us introduced goes last, as at ends that touch
    },
    "trivy": {
        "debian-by-source-and-release",  # it does not know of `upstream`
        "range-that-touch",  # the version that ends one range and begins the next is safe by its kind of rows
        "range-fixed-where-introduced",  # as for grype
    },
}
FORMATS = ("spdx-json@2.3", "cyclonedx-json@1.6")
NAMES: tuple[ScannerName, ...] = ("trivy", "grype")


class World:
    """SBOMs of a real tree, advisories about what is in it, and databases of them for everybody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        documents = syft_documents(folder, FORMATS)
        # Of a folder, syft's CycloneDX is about a `file`, which trivy refuses; of an image it is about a `container`.
        documents[FORMATS[1]]["metadata"]["component"]["type"] = "container"
        self.sboms = {name: json.dumps(text).encode() for name, text in documents.items()}
        self.records = list(advisories(parse_sbom(self.sboms[FORMATS[0]])))

    def database(self, name: ScannerName) -> Path:
        """The folder of it; made once."""
        place = self.folder / f"{name}-database"
        if not place.exists():
            make_database(name, place, self.records)
        return place

    def ask(self, name: ScannerName, sbom: bytes, folder: Path, **environ: str) -> ScannerWord:
        return ask(name, self.database(name), sbom, folder, **environ)


def make_database(name: ScannerName, place: Path, records: Iterable[Json]) -> None:
    if name == "trivy":
        trivy_cache(place, records)
        return
    grype = Peer("grype", place, {"GRYPE_DB_CACHE_DIR": str(place)})  # skips, before anything is made
    place.mkdir()
    grype("db", "import", grype_file(place / "vulnerability.db", records))


def ask(name: ScannerName, database: Path, sbom: bytes, folder: Path, **environ: str) -> ScannerWord:
    """As `sealift scan --with` does it."""
    Peer(name, folder)  # skips
    environ = {"PATH": os.defpath, "HOME": str(folder), "HTTPS_PROXY": "http://127.0.0.1:9", **environ}
    scanner = SbomScanner(name, str(FOLDER / name), database=database, environ=environ)
    raw = scanner.scan(sbom, folder / "run", "it")
    return parse_trivy_report(raw, "here") if name == "trivy" else parse_grype_report(raw, "here")


def advisories(sbom: Sbom) -> Iterable[Json]:
    """Just above, at and far below the version of each package."""
    targets = {
        (format_ecosystem(target.ecosystem), target.name): target
        for item in sbom.packages
        if item.purl
        for target in known(item)
    }
    for number, target in enumerate(targets.values()):
        ecosystem, version = format_ecosystem(target.ecosystem), target.version
        above, least = (f"{version}.1", "0.dev0") if ecosystem == "PyPI" else (f"{version}+later1", "0~")
        spans = {
            "1": f"introduced 0, fixed {above}",
            "2": f"introduced 0, fixed {version}",
            "3": f"introduced 0, fixed {least}",
        }
        if ecosystem == "PyPI":
            spans["4"] = f"introduced {version}, last_affected {version}"
        for word, text in spans.items():
            rating = [{"type": "CVSS_V3", "score": VECTOR}]
            yield record(f"CVE-2026-{number}{word}", affected(ecosystem, target.name, span(text)), severity=rating)


def source(purl: Purl) -> str:
    return purl.qualifiers.get("upstream", purl.name).partition("@")[0]


def own_source(packages: Iterable[Any]) -> set[tuple[str, str, str]]:
    """Packages that are of a source of their own name."""
    purls = [read_purl(item.purl) for item in packages if item.purl.startswith("pkg:deb/")]
    return {(purl.kind, purl.name, purl.version) for purl in purls if source(purl) == purl.name}


def known(item: Any) -> Iterable[Any]:
    kinds = ("pkg:deb/debian/", "pkg:pypi/")
    return locate(item).targets if item.purl.startswith(kinds) else ()


def shown(findings: Iterable[Finding]) -> set[tuple[str, str, str, str]]:
    """Kind, name and version of the package, and the vulnerability."""
    found = set()
    for finding in findings:
        purl = read_purl(finding.package.purl)
        found.add((purl.kind, purl.name, purl.version, finding.record_id))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    if not any((FOLDER / name).exists() for name in NAMES):  # before a tree is made that nobody looks at
        pytest.skip("trivy and grype are not built; `make peers` does that where Go is installed")
    return World(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMATS)
def test_real_packages(world: World, tmp_path: Path, name: ScannerName, form: str) -> None:
    word = world.ask(name, world.sboms[form], tmp_path)
    packages = parse_sbom(world.sboms[form]).packages
    with matcher(world.folder, world.records) as asked:
        own = scan_packages(packages, "linux/amd64", asked).findings
    wanted = shown(own)
    assert len(wanted) > 300
    told = {note.code: note.subject for note in word.notes(packages, name, AT) if note.subject in ("pkg:deb", name)}
    if (name, form) == ("trivy", FORMATS[0]):  # syft's SPDX does not name the distribution as trivy wants it
        assert told["scanner-unseen"] == "pkg:deb"
        wanted = {item for item in wanted if item[0] != "deb"}
    else:
        assert "scanner-unseen" not in told
    if name == "trivy":  # it does not know of what source others' SBOMs say that a package is
        built = {item[1:3] for item in wanted if item[0] == "deb" and item[:3] not in own_source(packages)}
        assert ("scanner-source" in told) == bool(built)
        wanted = {item for item in wanted if item[1:3] not in built}
    if name == "grype":  # the kernel's headers are no kernel: a rule of its own
        headers = {item for item in wanted if item[1] == "linux-libc-dev"}
        assert word.ignored == len(headers)
        wanted -= headers
        assert word.database_at == AT
    assert shown(word.findings) == wanted
    assert {(finding.severity, finding.score) for finding in word.findings} == {("high", "7.5")}
    fixes = {(item.package.purl, item.record_id): item.fixed_in for item in own}
    theirs = {(item.package.purl, item.record_id): item.fixed_in for item in word.findings}
    assert {key: fixes[key] for key in theirs.keys() & fixes.keys()} == {
        key: theirs[key] for key in theirs.keys() & fixes
    }
    assert len(theirs.keys() & fixes) > 20


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_the_machine_hide_nothing(world: World, tmp_path: Path, name: ScannerName) -> None:
    (tmp_path / ".grype.yaml").write_text(
        "only-fixed: true\nfail-on-severity: low\nignore:\n  - package: {type: python}\n"
    )
    hiding = {"TRIVY_SEVERITY": "LOW", "TRIVY_EXIT_CODE": "3", "TRIVY_SERVER": "http://127.0.0.1:9"}
    hiding |= {"GRYPE_FAIL_ON_SEVERITY": "low", "GRYPE_ONLY_NOTFIXED": "true", "GRYPE_DB_AUTO_UPDATE": "true"}
    found = world.ask(name, small("pkg:pypi/flask@2.2.2"), tmp_path, **hiding)
    assert found.findings == ()
    packages = parse_sbom(world.sboms[FORMATS[1]]).packages
    purl = next(item.purl for item in packages if item.purl.startswith("pkg:pypi/"))
    (tmp_path / "second").mkdir()
    assert len(world.ask(name, small(purl), tmp_path / "second", HOME=str(tmp_path), **hiding).findings) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_database_that_is_none(world: World, tmp_path: Path, name: ScannerName) -> None:
    """What the real programs say of it, and that we pass it on."""
    file = world.database(name) / ("db/metadata.json" if name == "trivy" else "6/vulnerability.db")
    cut = tmp_path / "cut" / file.parent.name
    shutil.copytree(file.parent, cut)
    (cut / file.name).write_bytes(file.read_bytes()[:60])
    for number, place in enumerate((tmp_path / "none", tmp_path / "cut")):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(EnvError) as caught:
            ask(name, place, small("pkg:pypi/flask@2.2.2"), tmp_path / str(number))
        assert caught.value.code == f"{name}-failed"
        assert "no message" not in caught.value.got
        assert "--scanner-db" in caught.value.hints[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_vectors(tmp_path: Path, name: ScannerName) -> None:
    """Each purl of the vectors about PyPI and Debian, under a name of its own."""
    cases = list(vectors(name))
    records = [found for found, *_ in cases]
    sbom = small(*(purl for _, purl, *_ in cases))
    make_database(name, tmp_path / "database", records)
    with matcher(tmp_path, records) as asked:
        own = {item.record_id for item in scan_packages(parse_sbom(sbom).packages, "here", asked).findings}
    theirs = {item.record_id for item in ask(name, tmp_path / "database", sbom, tmp_path).findings}
    assert len(cases) > 30
    assert own == {found["id"] for found, _, verdict, _ in cases if verdict == "affected"}
    assert {title for found, *_, title in cases if found["id"] in own ^ theirs} == DIFFERING[name]


def vectors(name: ScannerName) -> Iterator[tuple[Json, str, str, str]]:
    """Record, purl, what a scan must say, and the title of the vector."""
    number = 0
    for path in MATCHES:
        case = json.loads(path.read_text())
        found = case["record"]
        (package, *more) = (entry.get("package", {}) for entry in found["affected"])
        if more or package.get("name") not in ("demo", "openssl", "zlib") or "withdrawn" in found:
            continue
        for verdict in ("affected", "not"):
            for item in case.get(verdict, ()):
                number += 1
                asked = f"{package['name']}-{number}"
                entry = {**found["affected"][0], "package": {**package, "name": asked}}
                made = {**found, "id": f"CVE-2026-{number}", "affected": [entry]}
                purl = item if isinstance(item, str) else item[0]
                if can_hold(name, made):
                    yield made, renamed(purl, package["name"], asked), verdict, path.stem


def renamed(purl: str, name: str, asked: str) -> str:
    if f"upstream={name}" in purl:
        return purl.replace(f"upstream={name}", f"upstream={asked}")
    return re.sub(rf"/{name}@", f"/{asked}@", purl, flags=re.IGNORECASE)


def small(*purls: str) -> bytes:
    """An SBOM of Debian 12 with these packages."""
    system = {"type": "operating-system", "bom-ref": "os", "name": "debian", "version": "12"}
    parts = [
        {"type": "library", "bom-ref": str(number), "name": parts.name, "version": parts.version, "purl": purl}
        for number, purl in enumerate(purls)
        for parts in [read_purl(purl)]
    ]
    return json.dumps(
        {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [system, *parts]}
    ).encode()


def tree(files: dict[str, str]) -> Layer:
    """A layer with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return Layer(Held(buffer.getvalue()), "")


def test_trivy_scans_an_image_for_sealift_patch(tmp_path: Path) -> None:
    """The call that `sealift patch` makes: by digest, from a registry; the report names the image's own layers."""
    Peer("trivy", tmp_path)
    status = "Package: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.1-1\n\n"
    release = 'ID=debian\nVERSION_ID="12"\n'
    layout = Layout()
    layers = [
        tree({"etc/os-release": release, "etc/debian_version": "12.5\n", "var/lib/dpkg/status": status}),
        layer(b"x"),
    ]
    top = layout.image("linux/amd64", layers)
    layout.name(top, "1")
    records = [record("CVE-2026-1", affected("Debian:12", "openssl", span("introduced 0, fixed 3.0.2-1")))]
    cache = trivy_cache(tmp_path / "cache", records)
    environ = {"PATH": os.defpath, "HOME": str(tmp_path), "TRIVY_CACHE_DIR": str(cache), "TRIVY_IGNORE_UNFIXED": "x"}
    with real_registry(tmp_path / "registry") as registry:
        push_layout(registry, layout, "team/app", "1")
        scanner = Scanner(Access(tls_verify=False), str(FOLDER / "trivy"), environ=environ)
        raw = scanner.scan(f"{registry.host}/team/app", top.digest, tmp_path / "run", update=False)
    report = parse_scan_report(raw)
    report.check_about([sha256_of(b"".join(each.content.pieces())) for each in layers], "it")
    (found,) = report.mendable
    assert (found.vulnerability, found.package, found.fixed) == ("CVE-2026-1", "openssl", "3.0.2-1")
    assert scanner.version() == "0.58.1"
