"""A ceremony over several laptops: each person has a folder with a key and a copy of the carried repository.

    desk = Desk(tmp_path, monkeypatch)
    desk.key("alice"); …
    desk.ok("init", "carried", "--holder", "alice/alice.pub", …)
    desk.carry("carried", "bob/carried")

Commands run in this process, at a clock that the test sets. Key files are unencrypted: scrypt would be all the time.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bundler.errors import SealiftError
from trust_root import cli_common
from trust_root.cli import trust
from trust_root.key_files import write_key_pair
from trust_root.keys import ED25519, SigningKey, generate_key

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
HOLDERS = ("alice", "bob", "carol")


class Desk:
    """Where people meet: folders below one, and the command line."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.now = START
        self._runner = CliRunner()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(cli_common, "clock", lambda: self.now)
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)

    def key(self, name: str, kind: tuple[str, str] = ED25519) -> SigningKey:
        """Make `<name>/<name>.pem` and `.pub`."""
        key = generate_key(kind)
        write_key_pair(self.folder / name, name, key, lambda _name: b"", development=True)
        return key

    def run(self, *words: str, env: dict[str, str] | None = None) -> Result:
        """One command of `sealift trust`."""
        given = {"SEALIFT_KEY_PASSPHRASE": "", "SEALIFT_STATE": "state", **(env or {})}
        return self._runner.invoke(trust, words, env=given)

    def ok(self, *words: str, env: dict[str, str] | None = None) -> str:
        """A command that ends well; what it said on stdout."""
        result = self.run(*words, env=env)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.stdout

    def json(self, *words: str, env: dict[str, str] | None = None) -> Any:
        """The same with `--json`."""
        return json.loads(self.ok(*words, "--json", env=env))

    def refused(self, *words: str, env: dict[str, str] | None = None) -> str:
        """A command that is refused; its reason code."""
        result = self.run(*words, env=env)
        assert isinstance(result.exception, SealiftError), (words, result.output, result.exception)
        return result.exception.code

    def sign(self, repository: str, name: str, *more: str) -> Any:
        """Somebody signs."""
        return self.json("sign", repository, "--key", f"{name}/{name}.pem", "--yes", *more)

    def carry(self, source: str, target: str) -> str:
        """A copy on a stick."""
        shutil.copytree(self.folder / source, self.folder / target)
        return target

    def found(self, repository: str = "carried", *, stream: str = "plant", threshold: int = 2) -> None:
        """A repository with alice, bob and carol, founded."""
        for name in (*HOLDERS, "exporter"):
            self.key(name)
        holders = [word for name in HOLDERS for word in ("--holder", f"{name}/{name}.pub")]
        self.ok(
            "init", repository, *holders, "--exporter", "exporter/exporter.pub", "--stream", stream,
            "--threshold", str(threshold),
        )  # fmt: skip
        for name in (*HOLDERS[:threshold], "exporter"):
            self.sign(repository, name)
