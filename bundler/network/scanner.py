"""trivy scans images for vulnerabilities; this is the only module that starts it.

Rules of this module:
- One platform's manifest by digest in each call, from its registry (`--image-src remote`), vulnerabilities only, as
  JSON into a file. What it writes is read by vulnerability/scan_report.py and held against the image's own layers.
- The second scan of a run uses the database of the first (`--skip-db-update`), so that two reports differ by the image
  alone. Nothing is asked of the network beside registry and database: no version check, no telemetry.
- Settings in its environment that hide findings (`TRIVY_SEVERITY`, `TRIVY_IGNORE_UNFIXED`, …) or scan elsewhere
  (`TRIVY_SERVER`) do not reach it: of its names it gets those of databases and credentials. It finds an empty settings
  file, for nobody would see what another one leaves out.
- Its own time limit (5 minutes) is ours.
- See tool.py for what a run may do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from threading import Event

from bundler import limits
from bundler.digest import Digest
from bundler.errors import EnvError
from bundler.network.access import Access
from bundler.network.tool import Program, Tool, make_folder
from bundler.safe_file import write_atomically

_REPORT = "report.json"
SETTINGS, NO_SETTINGS = "settings.yaml", b"{}\n"
TRIVY = Tool(
    "trivy",
    re.compile(r"^Version: v?((\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?)\b", re.ASCII | re.MULTILINE),
    (0, 50),
    # `--image-src`, `--scanners vuln` and the schema are those of this version; none older was thought of.
    (
        *("TRIVY_CACHE_DIR", "TRIVY_DB_REPOSITORY", "TRIVY_JAVA_DB_REPOSITORY", "TRIVY_SKIP_JAVA_DB_UPDATE"),
        *("TRIVY_USERNAME", "TRIVY_PASSWORD", "TRIVY_REGISTRY_TOKEN"),
    ),
    "install trivy 0.50 or later (https://trivy.dev)",
)


class Scanner:
    """The trivy program of this machine."""

    def __init__(
        self,
        access: Access,
        program: str = "",
        *,
        environ: Mapping[str, str] | None = None,
        seconds: float = limits.SCAN_SECONDS,
    ) -> None:
        """Nothing is started yet; arguments as those of `Skopeo`."""
        self._program = Program(TRIVY, program, environ)
        self._tls_verify = access.tls_verify
        self._seconds = seconds

    def version(self) -> str:
        """Its version.

        Raises:
            EnvError: ``trivy-absent``, ``trivy-failed``, ``trivy-version`` or ``trivy-stalled``.
        """
        return self._program.ask_version(["--version"])

    def scan(self, repository: str, digest: Digest, folder: Path, *, update: bool, stop: Event | None = None) -> bytes:
        """Scan one manifest.

        Args:
            repository: `registry/path`, as the registry's clients write it.
            digest: the manifest of one platform.
            folder: must not exist; holds what trivy writes, and is the caller's to remove.
            update: whether the database may be fetched first.
            stop: ends the scan when set.

        Returns:
            the report's bytes, not judged.

        Raises:
            EnvError: as `version`, or ``trivy-lied``.
        """
        which = f"{repository}@{digest}"
        arguments = ["image", "--quiet", "--format", "json", "--output", _REPORT, "--scanners", "vuln"]
        arguments += ["--image-src", "remote", "--no-progress", *([] if update else ["--skip-db-update"])]
        settings = {"TRIVY_SKIP_VERSION_CHECK": "true", "TRIVY_DISABLE_TELEMETRY": "true"}
        if not self._tls_verify:
            settings |= {"TRIVY_INSECURE": "true", "TRIVY_NON_SSL": "true"}
        arguments += ["--timeout", format_timeout(self._seconds), "--config", SETTINGS]
        make_folder(folder)
        write_atomically(folder / SETTINGS, NO_SETTINGS, what="settings of trivy")
        self._program.run([*arguments, which], folder, which, seconds=self._seconds, settings=settings, stop=stop)
        return self._program.read_output(folder / _REPORT, limits.SCAN_REPORT_BYTES, which)

    def lied(self, which: str, got: str) -> EnvError:
        """The error for a scan that succeeded by trivy's word, and did not (``trivy-lied``)."""
        return self._program.lied(which, got)


def format_timeout(seconds: float) -> str:
    """A little more than `seconds`, in the words of Go: so we end it, and not it itself."""
    return f"{int(seconds) + 1}s"
