"""How quick a scan is: the part of `make bench` about vulnerabilities; alone: `python -m scripts.bench_scan`.

    index        300 000 OSV records in a zip, made into an index, once
    open         the same data again: hashed, the index hashed
    scan         200 SBOMs of 500 packages, read from JSON and matched: of one fleet (3 000 different packages in
                 all), and all different (100 000)

Rules:
- Everything is made here from numbers: records in four ecosystems, half of the packages have some, some have hundreds.
- Each figure is of a fresh process, without the start of the interpreter; memory is the kernel's high-water mark.
- Grype stands beside where it is to be had, with the same records (bench_scan_peers.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bundler.evidence.sbom import parse_sbom
from bundler.vulnerability.database import open_database
from bundler.vulnerability.match import Matcher
from bundler.vulnerability.scan import require_packages, scan_packages
from scripts.bench_scan_peers import PeerFigures, measure_grype

ROOT = Path(__file__).resolve().parent.parent
AT = datetime(2026, 11, 1, tzinfo=UTC)
RECORDS, SBOMS, PACKAGES, FLEET = 300_000, 200, 500, 3_000
BESIDE = 20  # SBOMs that grype scans
ECOSYSTEMS = (("PyPI", "pkg:pypi/{}@{}"), ("npm", "pkg:npm/{}@{}"), ("Go", "pkg:golang/example.org/{}@v{}"),
              ("Debian:12", "pkg:deb/debian/{}@{}?distro=debian-12&upstream={}"))  # fmt: skip
_VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


@dataclass(frozen=True)
class ScanFigures:
    """Seconds and MiB of each step, and what was found."""

    zip_mb: float
    index_seconds: float
    index_mib: float
    index_mb: float
    open_seconds: float
    fleet_seconds: float
    fleet_mib: float
    fleet_findings: int
    different_seconds: float
    different_mib: float
    different_findings: int
    grype: PeerFigures | None


def measure_scan(folder: Path, records: int = RECORDS, sboms: int = SBOMS, packages: int = PACKAGES) -> ScanFigures:
    """Make data and SBOMs below `folder`, then measure in fresh processes."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "osv.zip"
    make_data(data, records)
    for name, pool in (("fleet", FLEET), ("different", sboms * packages)):
        make_sboms(folder / name, sboms, packages, pool, records)
    index = _child("open", data, folder / "index")
    again = _child("open", data, folder / "index")
    fleet = _child("scan", data, folder / "index", folder / "fleet")
    different = _child("scan", data, folder / "index", folder / "different")
    (written,) = (folder / "index").glob("*.sqlite")
    return ScanFigures(
        zip_mb=data.stat().st_size / 1e6,
        index_seconds=index["seconds"],
        index_mib=index["mib"],
        index_mb=written.stat().st_size / 1e6,
        open_seconds=again["seconds"],
        fleet_seconds=fleet["seconds"],
        fleet_mib=fleet["mib"],
        fleet_findings=fleet["findings"],
        different_seconds=different["seconds"],
        different_mib=different["mib"],
        different_findings=different["findings"],
        grype=measure_grype(folder / "grype", data, folder / "fleet", min(sboms, BESIDE)),
    )


def make_data(path: Path, records: int) -> None:
    """A zip of records; a tenth of them are about a hundredth of the packages."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for number in range(records):
            target.writestr(f"B-{number:07d}.json", json.dumps(_record(number, records)))


def _record(number: int, records: int) -> dict[str, Any]:
    ecosystem, _ = ECOSYSTEMS[number % len(ECOSYSTEMS)]
    package = number % max(records // 1000, 1) if number % 10 == 0 else number // 2
    name = _name(package)
    full = f"example.org/{name}" if ecosystem == "Go" else name
    fixed = f"1.{number % 20}.{number % 7}{'-1' if ecosystem.startswith('Debian') else ''}"
    kind = "SEMVER" if ecosystem in ("npm", "Go") else "ECOSYSTEM"
    return {
        "schema_version": "1.6.0", "id": f"B-{number:07d}", "modified": "2026-09-19T00:00:00Z",
        "published": "2025-01-01T00:00:00Z", "aliases": [f"CVE-2025-{number}"], "summary": f"Record {number}",
        "details": "Some words about what is wrong and how it is mended. " * 20,
        "severity": [{"type": "CVSS_V3", "score": _VECTOR}],
        "references": [{"type": "WEB", "url": f"https://example.org/{number}/{place}"} for place in range(5)],
        "affected": [{
            "package": {"ecosystem": ecosystem, "name": full, "purl": f"pkg:x/{name}"},
            "ranges": [{"type": kind, "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            "versions": [f"0.{place}.0" for place in range(20)] if ecosystem == "PyPI" else [],
        }],
    }  # fmt: skip


def _name(number: int) -> str:
    return f"package-{number}"


def make_sboms(folder: Path, sboms: int, packages: int, pool: int, records: int) -> None:
    """SPDX documents whose packages are drawn from a pool, in turns; every package has a version below some fixes."""
    folder.mkdir(parents=True, exist_ok=True)
    for sbom in range(sboms):
        chosen = ((sbom * packages + place) * 7 % pool for place in range(packages))
        document = {
            "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"image-{sbom}",
            "documentNamespace": f"https://example.org/{sbom}",
            "creationInfo": {"creators": ["Tool: bench"], "created": "2026-01-01T00:00:00Z"},
            "packages": list(_packages(chosen, records)),
        }  # fmt: skip
        (folder / f"{sbom:04d}.json").write_text(json.dumps(document))


def _packages(chosen: Iterator[int], records: int) -> Iterator[dict[str, Any]]:
    for place, number in enumerate(chosen):
        ecosystem, form = ECOSYSTEMS[number % len(ECOSYSTEMS)]
        revision = "-1" if ecosystem.startswith("Debian") else ""
        name, version = _name(number % records), f"1.{number % 25}.{number % 5}{revision}"
        yield {
            "name": name, "SPDXID": f"SPDXRef-{place}", "versionInfo": version, "downloadLocation": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                "referenceLocator": form.format(name, version, name),
            }],
        }  # fmt: skip


def _child(*words: str | Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.bench_scan", "--child", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def child(step: str, data: Path, index: Path, sboms: Path | None) -> dict[str, Any]:
    """One step, in the process that is measured."""
    require_packages()
    findings = 0
    started = time.perf_counter()
    with open_database(data, index) as database:
        if step == "scan" and sboms is not None:
            started = time.perf_counter()
            matcher = Matcher([database], AT)
            for path in sorted(sboms.iterdir()):
                packages = parse_sbom(path.read_bytes()).packages
                findings += len(scan_packages(packages, "linux/amd64", matcher).findings)
    return {"seconds": time.perf_counter() - started, "mib": _peak_mib(), "findings": findings}


def _peak_mib() -> float:
    """The high-water mark of this process alone; what a parent had before it started us does not count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) / 1024


def main() -> None:
    """Measure and tell, or be one of the measured processes."""
    parser = argparse.ArgumentParser(description="Measure scans.")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--sboms", type=int, default=SBOMS)
    parser.add_argument("--packages", type=int, default=PACKAGES)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        step, data, index, *sboms = options.child
        print(json.dumps(child(step, Path(data), Path(index), Path(sboms[0]) if sboms else None)))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure_scan(Path(folder), options.records, options.sboms, options.packages)
    for name, value in asdict(figures).items():
        told = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        print(f"{name:20} {told}")


if __name__ == "__main__":
    main()
