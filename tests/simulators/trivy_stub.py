"""Programs that pretend to be trivy and do what a test says: scan, lie, hang, flood, die.

A stub is a Python script whose body is given as text. It finds in scope: WHICH (`repository@digest`), HEX (that
digest), REPORTS (what an honest trivy says of it, by hex), OUTPUT (the file it has to write), ARGUMENTS, `honest()`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

VERSION = """Version: 0.58.1
Vulnerability DB:
  Version: 2
  UpdatedAt: 2026-11-20 06:12:54.103 +0000 UTC"""

_SCRIPT = """#!{python} -SE
import os, signal, sys, time
REPORTS = {reports!r}
if sys.argv[1:] == ["--version"]:
    print({version!r})
    sys.exit(0)
ARGUMENTS = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(str(os.getpid()) + " " + " ".join(ARGUMENTS) + "\\n")
WHICH = ARGUMENTS[-1]
HEX = WHICH.rpartition(":")[2]
OUTPUT = ARGUMENTS[ARGUMENTS.index("--output") + 1]

def write(path, raw):
    with open(path, "wb") as file:
        file.write(raw)

def honest():
    write(OUTPUT, REPORTS[HEX])

{body}
"""


class TrivyStub:
    """One such program."""

    def __init__(
        self, folder: Path, reports: Mapping[str, bytes], body: str = "honest()", *, version: str = VERSION
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "trivy"
        self._log = folder / "trivy-calls"
        script = _SCRIPT.format(
            python=sys.executable, log=str(self._log), reports=dict(reports), version=version, body=body
        )
        self.path.write_text(script)
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each scan that was started."""
        return [line.split(" ")[1:] for line in self._lines()]

    @property
    def pids(self) -> list[int]:
        """The process id of each."""
        return [int(line.split(" ")[0]) for line in self._lines()]

    def _lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []
