"""Programs that pretend to be skopeo and do what a test says: bring blobs, lie, hang, flood, die.

A stub is a Python script whose body is given as text. It finds in scope: BLOBS (bytes by hex of the digest), SHARED
(the folder for blobs by hex), FOLDER (its working folder), CALL (how many calls came before this one), `honest()`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bundler.digest import sha256_of

VERSION = 'print("skopeo version 1.9.3")'

_SCRIPT = """#!{python} -SE
import os, signal, sys, time
LOG = {log!r}
BLOBS = {blobs!r}
if sys.argv[1:] == ["--version"]:
    {version}
    sys.exit(0)
with open(LOG, "a+") as log:
    log.seek(0)
    CALL = len(log.readlines())
    log.write(f"{{os.getpid()}}\\n")
FOLDER = os.getcwd()
SHARED = next(word.partition("=")[2] for word in sys.argv if word.startswith("--dest-shared-blob-dir=")) + "/sha256"

def put(name, raw):
    with open(FOLDER + "/oci-put-blob" + name[-4:].strip("/."), "wb") as file:
        file.write(raw)
    os.rename(file.name, SHARED + "/" + name)

def honest():
    for name, raw in BLOBS.items():
        if not os.path.exists(SHARED + "/" + name):
            put(name, raw)

{body}
"""


class SkopeoStub:
    """One such program."""

    def __init__(self, folder: Path, body: str, blobs: Sequence[bytes], *, version: str = VERSION) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "skopeo"
        self._log = folder / "calls"
        script = _SCRIPT.format(
            python=sys.executable,
            log=str(self._log),
            blobs={sha256_of(raw).hex: raw for raw in blobs},
            version=version,
            body=body,
        )
        self.path.write_text(script)
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[int]:
        """The process id of each copy that was started."""
        return [int(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []


_STORAGE_SCRIPT = """#!{python} -SE
import os, sys, time
DONE = {done!r}
if sys.argv[1:] == ["--version"]:
    {version}
elif "copy" in sys.argv:
    {copy}
else:
    {inspect}
"""


def storage_stub(folder: Path, *, copy: str, inspect: str) -> Path:
    """A program that writes storages as a test says: one line for `copy`, one for `inspect`; DONE is a file's name."""
    folder.mkdir()
    path = folder / "skopeo"
    done = str(folder / "done")
    path.write_text(
        _STORAGE_SCRIPT.format(python=sys.executable, done=done, version=VERSION, copy=copy, inspect=inspect)
    )
    path.chmod(0o755)
    return path
