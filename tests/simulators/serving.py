"""`sealift serve` as a program of its own, for as long as a block lasts.

with serving(bundle, "--policy", policy, "--state", state) as served:
    served.address, served.offers, served.process
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.session import SEALIFT

_SECONDS = 60


@dataclass
class Serving:
    """A server that runs. `err` is filled when it has ended."""

    process: subprocess.Popen[str]
    url: str
    offers: list[dict[str, Any]]
    err: str = ""

    @property
    def address(self) -> str:
        """What references begin with."""
        return self.url.partition("://")[2]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it and give its exit code."""
        self.process.send_signal(number)
        self.err += self.process.communicate(timeout=_SECONDS)[1]
        return self.process.returncode


@contextlib.contextmanager
def serving(*words: str | Path) -> Iterator[Serving]:
    """Start it on a free port; it has to come up."""
    command = [SEALIFT, "serve", *map(str, words), "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            assert process.stdout is not None
            offers: list[dict[str, Any]] = []
            for line in process.stdout:
                told = json.loads(line)
                if told["event"] == "serving":
                    break
                offers.append(told)
            else:
                raise AssertionError(process.communicate()[1])
            yield Serving(process, told["url"], offers)
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=_SECONDS)
