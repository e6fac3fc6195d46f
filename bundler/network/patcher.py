"""copa patches images by a scanner's report; this is the only module that starts it.

Rules of this module:
- One platform's manifest by digest in each call, with that platform's report; the result goes to a registry under a tag
  of its own (`--push`). Its digest is asked of the registry afterwards, never of copa.
- What came is judged by the caller: lineage (vulnerability/lineage.py), and a second scan.
- Copa's VEX document (OpenVEX) is a file like any other that a program must have written.
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
from bundler.network.tool import Program, Tool, make_folder
from bundler.safe_file import write_atomically
from bundler.value import dataclass

_REPORT, _VEX = "report.json", "vex.json"
COPA = Tool(
    "copa",
    re.compile(r"^copa version v?((\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?)\b", re.ASCII | re.MULTILINE),
    (0, 11),  # pushes what it has patched (`--push`)
    ("BUILDKIT_HOST", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "COPA_*"),
    "install copa 0.11 or later (https://project-copacetic.github.io/copacetic), and start buildkitd",
)


@dataclass(frozen=True, slots=True)
class PatchOrder:
    """One platform to patch.

    Attributes:
        repository: `registry/path` of the original.
        digest: its manifest for this platform.
        tag: what copa is to call the result: a tag, in the same repository, or a whole reference elsewhere.
        report: the scanner's report about that manifest.
    """

    repository: str
    digest: Digest
    tag: str
    report: bytes


class Patcher:
    """The copa program of this machine."""

    def __init__(
        self,
        program: str = "",
        *,
        buildkit: str = "",
        environ: Mapping[str, str] | None = None,
        seconds: float = limits.PATCH_SECONDS,
    ) -> None:
        """Nothing is started yet.

        Args:
            program: name or path.
            buildkit: address of buildkitd; empty: as copa finds it.
            environ: the environment to choose from; by default our own.
            seconds: the longest that one patch may take.
        """
        self._program = Program(COPA, program, environ)
        self._buildkit = buildkit
        self._seconds = seconds

    def version(self) -> str:
        """Its version.

        Raises:
            EnvError: ``copa-absent``, ``copa-failed``, ``copa-version`` or ``copa-stalled``.
        """
        return self._program.ask_version(["--version"])

    def patch(self, order: PatchOrder, folder: Path, *, stop: Event | None = None) -> bytes:
        """Patch one manifest and push the result.

        Args:
            order: what, and where to.
            folder: must not exist; holds what copa reads and writes, and is the caller's to remove.
            stop: ends the patch when set.

        Returns:
            the VEX document's bytes, not judged.

        Raises:
            EnvError: as `version`, or ``copa-lied``.
        """
        which = f"{order.repository}@{order.digest}"
        make_folder(folder)
        write_atomically(folder / _REPORT, order.report, what="scan report")
        arguments = ["patch", "--image", which, "--report", _REPORT, "--tag", order.tag, "--push"]
        arguments += ["--format", "openvex", "--output", _VEX, "--timeout", f"{int(self._seconds) + 1}s"]
        arguments += ["--addr", self._buildkit] if self._buildkit else []
        self._program.run(arguments, folder, which, seconds=self._seconds, stop=stop)
        return self._program.read_output(folder / _VEX, limits.SCAN_REPORT_BYTES, which)

    def lied(self, which: str, got: str) -> EnvError:
        """The error for a patch that succeeded by copa's word, and did not (``copa-lied``)."""
        return self._program.lied(which, got)
