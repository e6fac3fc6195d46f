"""Programs of others, run for real: `crane`, `oras`, `regctl`, `cosign`, `grype`, `trivy` and `pip-audit`, as
`make peers` makes them.

They are optional: without one, its tests are skipped, in CI too. Each call has a home folder of its own, and whatever
would leave the machine meets a proxy that is not there (Go's clients ask no proxy for loopback).

    client = Peer("crane", tmp_path)
    client("manifest", "127.0.0.1:5000/team/app:1")        # stdout; it has to succeed
    client.fails("manifest", "127.0.0.1:5000/team/none:1") # stderr; it has to fail
    Peer("cosign", tmp_path, cosign_material(trusted_root, tmp_path))
"""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / ".peers" / "bin"
_SECONDS = 60
_LOGS = ("tlogs", "ctlogs")
_NOWHERE = "http://127.0.0.1:9"


def is_any_built() -> bool:
    """Whether there is anything to compare with."""
    return FOLDER.is_dir() and any(FOLDER.iterdir())


@dataclass(frozen=True)
class Peer:
    """One client, by name. `home` is a folder for it to write to, `environment` what it has to know besides."""

    name: str
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (FOLDER / self.name).exists():
            pytest.skip(f"{self.name} is not built; `make peers` does that where Go is installed")

    def __call__(self, *words: str | Path) -> bytes:
        """Run it; what it prints."""
        done = self._run(words)
        assert done.returncode == 0, f"{self.name} {words}: {done.stderr.decode()}"
        return done.stdout

    def fails(self, *words: str | Path) -> str:
        """Run it; what it says when it fails."""
        done = self._run(words)
        assert done.returncode != 0, f"{self.name} {words}: {done.stdout!r}"
        return done.stderr.decode()

    def says(self, *words: str | Path) -> bytes:
        """Run it; what it prints, where its exit code tells what it found."""
        return self._run(words).stdout

    def _run(self, words: tuple[str | Path, ...]) -> subprocess.CompletedProcess[bytes]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "LANG")}
        env = {**kept, "HOME": str(self.home), "HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE, **self.environment}
        return subprocess.run(
            [FOLDER / self.name, *map(str, words)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=env,
            cwd=self.home,
            check=False,
            timeout=_SECONDS,
        )


def cosign_material(trusted_root: Path, folder: Path) -> dict[str, str]:
    """The same trusted material as files that cosign 2 is told of by its environment, for the forms before its bundles.

    It takes one key of each kind: the transparency log's that gave promises (the first), the newest certificate log's.
    """
    root = json.loads(trusted_root.read_bytes())
    logs, certificate_logs = ([_pem("PUBLIC KEY", item["publicKey"]) for item in root[kind]] for kind in _LOGS)
    authorities = [
        _pem("CERTIFICATE", certificate)
        for authority in root["certificateAuthorities"]
        for certificate in authority["certChain"]["certificates"]
    ]
    files = {
        "SIGSTORE_ROOT_FILE": "".join(authorities),
        "SIGSTORE_REKOR_PUBLIC_KEY": logs[0],
        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": certificate_logs[-1],
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in files}


def _pem(label: str, holder: Mapping[str, str]) -> str:
    return f"-----BEGIN {label}-----\n{textwrap.fill(holder['rawBytes'], 64)}\n-----END {label}-----\n"
