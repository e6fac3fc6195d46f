"""A drill: a site that is run by hand, on the real command line, at whatever time the drill says it is.

    drill = Drill(tmp_path, "main")
    bundle = drill.world.deliver()
    drill.verify(bundle) == (0, "")                          # exit code and reason
    drill.now += timedelta(days=400)
    drill.run("trust", "refresh", "--from", repository)      # exit code, stdout, stderr

Commands run in this process, with their clock replaced; `program` runs the installed program with libfaketime, so that
the process's own clock is the one that is wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from tests.cli.session import SEALIFT, Result, call
from tests.simulators.campaign import KEYLESS, Campaign, Verdict
from tests.simulators.deliveries import NOW
from tests.simulators.tuf_repository import TufRepository
from trust_root.revocation import format_revocation

CLOCKS = ("bundler.cli.verify", "bundler.cli.trust_refresh", "bundler.cli.inspect", "trust_root.cli_common")
FAKETIME = next(
    (
        path
        for path in map(Path, ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"))
        if (path / "faketime" / "libfaketime.so.1").exists()
    ),
    None,
)


class Drill:
    """One world of exporters and one site.

    Attributes:
        world: makes bundles; its repository signs and rotates.
        now: the site's clock.
    """

    def __init__(self, folder: Path, *streams: str) -> None:
        self.folder = folder
        self.world = Campaign(folder, *(streams or ("main",)))
        self.now = NOW
        self.policy = folder / "policy.toml"
        self.policy.write_text(KEYLESS)

    @property
    def repository(self) -> TufRepository:
        """The trust root's side."""
        return self.world.repository

    def run(self, *words: str | Path) -> Result:
        """One command line, at the drill's time, for the drill's site."""
        with clock_at(self.now):
            return call(*words, "--state", self.world.state)

    def verify(self, bundle: Path, *words: str) -> Verdict:
        """Exit code and reason of `sealift verify`."""
        report = self.report(bundle, *words)
        return report["exit_code"], report["reason"]

    def report(self, bundle: Path, *words: str) -> dict[str, Any]:
        """The JSON report of `sealift verify`, or of what stopped it before."""
        done = self.run("verify", bundle, "--policy", self.policy, "--quiet", "--json", *words)
        return as_report(done)

    def trust(self, *words: str | Path) -> tuple[int, dict[str, Any]]:
        """Exit code and JSON result of `sealift trust …`; of a refusal, its reason."""
        done = self.run("trust", *words, "--json")
        document = json.loads(done.out)
        return done.code, document.get("error", document)

    def program(self, at: str, *words: str | Path) -> Result:
        """The installed program at a time of libfaketime's: `2027-03-01 00:00:00`, `-30y`, …"""
        assert FAKETIME is not None
        environment = {
            **os.environ,
            "LD_PRELOAD": str(FAKETIME / "faketime" / "libfaketime.so.1"),
            "FAKETIME": at,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }
        done = subprocess.run(
            [SEALIFT, *map(str, words), "--state", str(self.world.state)],
            capture_output=True, env=environment, timeout=120, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def program_verdict(self, at: str, bundle: Path, *words: str) -> Verdict:
        """Exit code and reason of `sealift verify` as a program at a time of libfaketime's."""
        done = self.program(at, "verify", bundle, "--policy", self.policy, "--quiet", "--json", *words)
        report = as_report(done)
        return report["exit_code"], report["reason"]

    def write_repository(self, stream: str = "main") -> Path:
        """The exporter's repository as a folder, as it is carried or served."""
        folder = self.folder / f"repository-{stream}-{len(self.repository.roots)}-{self.repository.targets_version}"
        self.repository.write(folder, stream)
        return folder

    def write_revocation(self) -> Path:
        """The root chain as a revocation file."""
        path = self.folder / "revocation.json"
        path.write_bytes(format_revocation(self.repository.roots))
        return path

    def log(self) -> list[dict[str, Any]]:
        """The site's log."""
        return [json.loads(line) for line in (self.world.state / "log.jsonl").read_text().splitlines()]


def as_report(done: Result) -> dict[str, Any]:
    """The report that a run printed; an error before there was one has exit code and reason too."""
    document: dict[str, Any] = json.loads(done.out)
    report: dict[str, Any] = document.get("error", document)
    assert report["exit_code"] == done.code
    assert "Traceback" not in done.err
    return report


@contextmanager
def clock_at(now: datetime) -> Iterator[None]:
    """Every command of this process reads this time."""
    with ExitStack() as stack:
        for name in CLOCKS:
            stack.enter_context(mock.patch.object(import_module(name), "clock", return_value=now))
        yield
