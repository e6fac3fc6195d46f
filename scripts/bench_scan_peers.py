"""Scans beside grype, where `make peers` has built it or the machine has it: the same records, the same SBOMs.

    grype        one process for each SBOM, as grype works; its database made of the records once, which is not timed
    ours         `scan_packages` in one process for all (bench_scan.py)

Rules:
- Grype's database is written by tests/simulators from the records of the run and imported by grype itself.
- Lists of single versions are left out of its rows: the ranges of those records hold them all.
- What it found is told, so that a figure of a scan that found nothing can be seen. Rows of Go hit nothing there (why,
  nobody has found out); in all others both find the same.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.network.sbom_scanner import SbomScanner
from bundler.vulnerability.scanner_report import parse_grype_report
from tests.simulators.other_scanners import grype_file

BUILT = Path(__file__).resolve().parent.parent / ".peers" / "bin" / "grype"


@dataclass(frozen=True)
class PeerFigures:
    """What grype took for some SBOMs, in seconds in all, and how much it found."""

    version: str
    sboms: int
    seconds: float
    findings: int


def measure_grype(folder: Path, data: Path, sboms: Path, count: int) -> PeerFigures | None:
    """Scan the first `count` SBOMs; None where grype is absent."""
    program = str(BUILT) if BUILT.exists() else shutil.which("grype")
    if program is None:
        return None
    folder.mkdir(parents=True)
    environment = {"PATH": os.defpath, "HOME": str(folder), "HTTPS_PROXY": "http://127.0.0.1:9"}
    database = folder / "database"
    file = grype_file(folder / "vulnerability.db", _records(data))
    command = [program, "db", "import", str(file)]
    subprocess.run(command, env={**environment, "GRYPE_DB_CACHE_DIR": str(database)}, check=True, capture_output=True)
    scanner = SbomScanner("grype", program, database=database, environ=environment)
    version, findings = scanner.version(), 0
    chosen = [path.read_bytes() for path in sorted(sboms.iterdir())[:count]]
    started = time.perf_counter()
    for number, raw in enumerate(chosen):
        report = scanner.scan(raw, folder / f"run-{number}", "sbom")
        findings += len(parse_grype_report(report, "sbom").findings)
    return PeerFigures(version, len(chosen), time.perf_counter() - started, findings)


def _records(data: Path) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(data) as source:
        for name in source.namelist():
            record: dict[str, Any] = json.loads(source.read(name))
            for affected in record["affected"]:
                affected["versions"] = []
            yield record
