"""Programs that pretend to be copa and do what a test says: patch, lie, hang, flood, die.

A stub is a Python script whose body is given as text. It finds in scope: WHICH (`repository@digest`), TAG (as told),
VEX (the file it has to write), REPORT (the report it was given), ARGUMENTS, `push()` (makes the patched image appear in
the registry under TAG), `write_vex(status, product)`, `honest()`.
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
PUSHED = []
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
    with urllib.request.urlopen({push!r} + TAG.rpartition(":")[2]) as answer:
        PUSHED.append(answer.read().decode())

def write_vex(status="fixed", product=None):
    # As Copa 0.11 writes it (pkg/vex/openvex.go): no version in the context, no name, no percent-encoding
    import json
    product = product or "pkg:oci/app@sha256:" + (PUSHED[-1] if PUSHED else "0" * 64)
    parts = [dict([("@id", "pkg:deb/debian/openssl@1.2?arch=amd64")])]
    write(VEX, json.dumps(dict([
        ("@context", "https://openvex.dev/ns"), ("@id", "https://openvex.dev/docs/public/vex-" + TAG),
        ("author", "Project Copacetic"), ("timestamp", "2026-11-20T06:00:00.114768055Z"), ("version", 1),
        ("tooling", "Project Copacetic"),
        ("statements", [dict(
            vulnerability=dict([("@id", "CVE-2026-0001")]), status=status,
            products=[dict([("@id", product), ("subcomponents", parts)])],
        )]),
    ])).encode())

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
        exchange.send(Reply(200, body=waiting[tag].encode()))

    registry.on(_PUSHED, push)
