"""trivy and grype scan SBOMs with the databases that a site has; this is the only module that starts them for that.

Rules of this module:
- One SBOM in each call, as a file in a fresh folder; the report comes back as a file, and is read by
  vulnerability/scanner_report.py. Nothing of the image is given away.
- Offline flags are always given: no database is fetched, no version is asked for, nothing is told to anybody. A scanner
  without a database fails, and says so.
- A scanner's own settings (`TRIVY_SEVERITY`, `TRIVY_SERVER`, rules in `~/.grype.yaml`, …) can hide findings or send the
  SBOM elsewhere, and nobody would see it. So it gets none: of its environment only where its database is, and an empty
  settings file.
- See tool.py for what a run may do, and for the lies that it survives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Literal

from bundler import limits
from bundler.errors import EnvError, MalformedError
from bundler.moment import parse_foreign_moment
from bundler.network.scanner import NO_SETTINGS, SETTINGS, TRIVY, format_timeout
from bundler.network.tool import Program, Tool, make_folder
from bundler.safe_file import disk_errors, write_atomically
from bundler.value import replace

ScannerName = Literal["trivy", "grype"]
_REPORT, _SBOM = "report.json", "sbom.json"
_SBOM_TRIVY = replace(TRIVY, environment=("TRIVY_CACHE_DIR",))
GRYPE = Tool(
    "grype",
    re.compile(r"^grype v?((\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?)\b", re.ASCII | re.MULTILINE),
    (0, 70),
    ("GRYPE_DB_CACHE_DIR",),
    "install grype 0.70 or later (https://github.com/anchore/grype), or scan with --data",
)
_TRIVY = ("--quiet", "--format", "json", "--output", _REPORT, "--offline-scan", "--skip-db-update", "--list-all-pkgs")
# Not `--quiet`: that keeps grype from saying why it failed. Trivy says it all the same.
_GRYPE = ("--output", "json", "--file", _REPORT)
_SETTINGS: dict[ScannerName, dict[str, str]] = {
    "trivy": {
        "TRIVY_SKIP_JAVA_DB_UPDATE": "true",
        "TRIVY_SKIP_VERSION_CHECK": "true",
        "TRIVY_DISABLE_TELEMETRY": "true",
    },
    "grype": {
        "GRYPE_DB_AUTO_UPDATE": "false",
        "GRYPE_CHECK_FOR_APP_UPDATE": "false",
        "GRYPE_DB_VALIDATE_AGE": "false",  # the age is told by us, not refused by it
    },
}
_TRIVY_DATABASE = re.compile(
    r"^Vulnerability DB:\n(?:  \w+: .*\n)*?  UpdatedAt: (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? \+0000 UTC$",
    re.ASCII | re.MULTILINE,
)
_CACHES: dict[ScannerName, str] = {"trivy": "TRIVY_CACHE_DIR", "grype": "GRYPE_DB_CACHE_DIR"}


class SbomScanner:
    """A scanner of this machine."""

    def __init__(
        self,
        name: ScannerName,
        program: str = "",
        *,
        database: Path | None = None,
        environ: Mapping[str, str] | None = None,
        seconds: float = limits.SCAN_SECONDS,
    ) -> None:
        """Nothing is started yet.

        Args:
            name: which one.
            program: its name or path; by default its own name.
            database: the folder with its database; by default where it keeps its own.
            environ: the environment to choose from; by default our own.
            seconds: the longest that one scan may take.
        """
        self.name = name
        self._program = Program(_SBOM_TRIVY if name == "trivy" else GRYPE, program, environ)
        self._settings = dict(_SETTINGS[name])
        if database is not None:
            self._settings[_CACHES[name]] = str(database.absolute())
        self._seconds = seconds

    def version(self) -> str:
        """Its version.

        Raises:
            EnvError: ``trivy-absent``, ``grype-absent``, ``…-failed``, ``…-version`` or ``…-stalled``.
        """
        return self._program.ask_version(["--version"])

    def database_at(self) -> datetime | None:
        """Of when trivy's database is; None where it does not say. Grype says it in each report.

        Raises:
            EnvError: as `version`.
        """
        if self.name != "trivy":
            return None
        match = _TRIVY_DATABASE.search(self._program.ask(["--version"], self._settings))
        if match is None:
            return None
        try:
            return parse_foreign_moment(f"{match[1]}T{match[2]}Z")
        except MalformedError:
            return None

    def scan(self, sbom: bytes, folder: Path, which: str, *, stop: Event | None = None) -> bytes:
        """Scan one SBOM.

        Args:
            sbom: the document, SPDX or CycloneDX in JSON.
            folder: must not exist; holds what the scanner reads and writes, and is the caller's to remove.
            which: what it is about, for messages.
            stop: ends the scan when set.

        Returns:
            the report's bytes, not judged.

        Raises:
            EnvError: as `version`, or ``…-lied``.
        """
        make_folder(folder)
        with disk_errors("SBOM for a scanner", folder):
            write_atomically(folder / _SBOM, sbom)
            write_atomically(folder / SETTINGS, NO_SETTINGS)
        timeout = ("--timeout", format_timeout(self._seconds))
        arguments = ["sbom", *_TRIVY, *timeout, _SBOM] if self.name == "trivy" else [f"sbom:{_SBOM}", *_GRYPE]
        arguments += ["--config", SETTINGS]
        try:
            self._program.run(arguments, folder, which, seconds=self._seconds, settings=self._settings, stop=stop)
        except EnvError as error:
            if error.code != f"{self.name}-failed":
                raise
            hint = "it fetches no database here; --scanner-db names the folder of one"
            raise EnvError(error.code, error.what, error.which, got=error.got, want=error.want, hints=[hint]) from error
        return self._program.read_output(folder / _REPORT, limits.SCAN_REPORT_BYTES, which)

    def lied(self, which: str, got: str) -> EnvError:
        """The error for a scan that succeeded by the scanner's word, and did not (``trivy-lied``, ``grype-lied``)."""
        return self._program.lied(which, got)
