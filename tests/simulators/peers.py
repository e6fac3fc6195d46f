"""Registry clients of others, run for real: `crane`, `oras`, `regctl` and `cosign`, as `make peers` builds them.

They are optional: without one, its tests are skipped, in CI too. Each call has a home folder of its own, and whatever
would leave the machine meets a proxy that is not there (Go's clients ask no proxy for loopback).

    client = Peer("crane", tmp_path)
    client("manifest", "127.0.0.1:5000/team/app:1")        # stdout; it has to succeed
    client.fails("manifest", "127.0.0.1:5000/team/none:1") # stderr; it has to fail
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / ".peers" / "bin"
_SECONDS = 60
_NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Peer:
    """One client, by name. `home` is a folder for it to write to."""

    name: str
    home: Path

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

    def _run(self, words: tuple[str | Path, ...]) -> subprocess.CompletedProcess[bytes]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "LANG")}
        env = {**kept, "HOME": str(self.home), "HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE}
        return subprocess.run(
            [FOLDER / self.name, *map(str, words)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=env,
            cwd=self.home,
            check=False,
            timeout=_SECONDS,
        )
