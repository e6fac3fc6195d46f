"""Programs that pretend to be copa and do what a test says: patch, lie, hang, flood, die.

A stub is a Python script whose body is given as text. It finds in scope: WHICH (`repository@digest`), TAG (as told),
VEX (the file it has to write), REPORT (the report it was given), ARGUMENTS, `push()` (makes the patched image appear in
the registry under TAG), `write_vex()`, `honest()`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.simulators.registry import Exchange, Registry, Reply, Store

VERSION = "copa version 0.11.0"
_PUSHED = "/v2/pushed-by-copa/"

_SCRIPT = """#!{python} -SE
import os, signal, sys, time
if sys.argv[1:] == ["--version"]:
    print({version!r})
    sys.exit(0)
ARGUMENTS = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(str(os.getpid()) + " " + " ".join(ARGUMENTS) + "\\n")

def told(option):
    return ARGUMENTS[ARGUMENTS.index(option) + 1]

WHICH, TAG, VEX, REPORT = told("--image"), told("--tag"), told("--output"), open(told("--report"), "rb").read()

def write(path, raw):
    with open(path, "wb") as file:
        file.write(raw)

def push():
    import urllib.request
    urllib.request.urlopen({push!r} + TAG.rpartition(":")[2]).close()

def write_vex():
    write(VEX, b'{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"' + TAG.encode() + b'"}}')

def honest():
    push()
    write_vex()

{body}
"""


class CopaStub:
    """One such program. `serve` tells what its pushes make of a registry's tags."""

    def __init__(self, folder: Path, host: str, body: str = "honest()", *, version: str = VERSION) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "copa"
        self._log = folder / "copa-calls"
        script = _SCRIPT.format(
            python=sys.executable, log=str(self._log), version=version, push=f"http://{host}{_PUSHED}", body=body
        )
        self.path.write_text(script)
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each patch that was started."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line.split(" ")[1:] for line in lines]


def serve_pushes(registry: Registry, store: Store, waiting: dict[str, str]) -> None:
    """Let pushes appear in `store`: `waiting` has the hex of the manifest that each tag will stand for."""

    def push(exchange: Exchange) -> None:
        tag = exchange.path.removeprefix(_PUSHED)
        found = [digest for digest in store.manifests if digest.hex == waiting[tag]]
        store.tags[tag] = found[0]
        exchange.send(Reply(200))

    registry.on(_PUSHED, push)
