"""Programs that pretend to be trivy or grype and do what a test says with an SBOM: scan, lie, hang, die.

A stub is a Python script whose body is given as text. It finds in scope: ARGUMENTS, SBOM (the document), OUTPUT (the
file that it has to write), REPORT (an honest report), `honest()`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

VERSIONS = {
    "trivy": """Version: 0.58.1
Vulnerability DB:
  Version: 2
  UpdatedAt: 2026-10-20 06:12:54.103 +0000 UTC
  NextUpdate: 2026-10-21 06:12:54.103 +0000 UTC
  DownloadedAt: 2026-10-20 07:00:00 +0000 UTC
Java DB:
  Version: 1
  UpdatedAt: 2026-01-01 00:00:00 +0000 UTC
""",
    "grype": "grype 0.87.0",
}
_SCRIPT = """#!{python} -SE
import json, os, sys, time
if sys.argv[1:] == ["--version"]:
    print({version!r})
    sys.exit(0)
ARGUMENTS = sys.argv[1:]
names = ("TRIVY_CACHE_DIR", "GRYPE_DB_CACHE_DIR", "GRYPE_DB_AUTO_UPDATE", "TRIVY_DISABLE_TELEMETRY", "SECRET_TOKEN",
         "TRIVY_SEVERITY", "TRIVY_SERVER", "GRYPE_ONLY_FIXED")
with open({log!r}, "a") as log:
    log.write(json.dumps([ARGUMENTS, {{name: os.environ.get(name) for name in names}}]) + "\\n")
SBOM = json.load(open("sbom.json"))
OUTPUT = "report.json"
REPORT = {report!r}

def honest():
    with open(OUTPUT, "wb") as file:
        file.write(REPORT)

{body}
"""


class ScannerStub:
    """One such program."""

    def __init__(
        self, folder: Path, name: str, report: dict[str, Any] | bytes, body: str = "honest()", version: str = ""
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / name
        self._log = folder / f"{name}-calls"
        raw = report if isinstance(report, bytes) else json.dumps(report).encode()
        script = _SCRIPT.format(
            python=sys.executable, log=str(self._log), report=raw, version=version or VERSIONS[name], body=body
        )
        self.path.write_text(script)
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[tuple[list[str], dict[str, str | None]]]:
        """Arguments and environment of each scan."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [tuple(json.loads(line)) for line in lines]


def trivy_report(*found: dict[str, Any]) -> dict[str, Any]:
    """As `trivy sbom --format json` writes it."""
    return {
        "SchemaVersion": 2, "ArtifactName": "sbom.json", "ArtifactType": "spdx",
        "Results": [{"Target": "Python", "Type": "python-pkg"}, {"Target": "x", "Vulnerabilities": list(found)}],
    }  # fmt: skip


def trivy_finding(**more: Any) -> dict[str, Any]:
    """One finding, with what trivy writes beside."""
    return {
        "VulnerabilityID": "CVE-2023-30861", "PkgID": "flask@2.2.2", "PkgName": "flask",
        "PkgIdentifier": {"PURL": "pkg:pypi/flask@2.2.2", "UID": "1"}, "InstalledVersion": "2.2.2",
        "FixedVersion": "2.3.2, 2.2.5", "Status": "fixed", "Severity": "HIGH", "Title": "flask:\n cookies \x1b[31m",
        "CVSS": {"ghsa": {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", "V3Score": 7.5}, "nvd": {}},
        "PublishedDate": "2023-05-02T18:15:52.373Z", "LastModifiedDate": "2024-01-01T00:00:00Z", "NewThing": [1],
    } | more  # fmt: skip


def grype_report(*found: dict[str, Any]) -> dict[str, Any]:
    """As `grype sbom:… --output json` writes it."""
    return {"matches": list(found), "source": {"type": "sbom"}, "descriptor": {"name": "grype", "version": "0.87.0"}}


def grype_finding(**more: Any) -> dict[str, Any]:
    """One match."""
    return {
        "vulnerability": {
            "id": "GHSA-m2qf-hxjv-5gpq", "severity": "High", "description": "cookies",
            "cvss": [{"version": "3.1", "vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
            "fix": {"versions": ["2.2.5"], "state": "fixed"},
        },
        "relatedVulnerabilities": [{"id": "CVE-2023-30861"}],
        "artifact": {"name": "flask", "version": "2.2.2", "type": "python", "purl": "pkg:pypi/flask@2.2.2"},
    } | more  # fmt: skip
