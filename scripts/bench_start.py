"""How soon a command answers: the part of `make bench` that measures short commands.

    whole command     from its start to its end, as typed
    first blob        `sealift verify` from its start until the first blob is about to be read: the interpreter,
                      imports, the head, trust and the site's state

Rules:
- Each run is a fresh process, the next to come after one of an empty interpreter, whose time is told beside it.
- The best of the runs counts, since others on the machine only ever add; the median stands beside it, and the best time
  of the processor (user and system), which waiting does not touch.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The command line as typed, cut short where the first blob would be read. The clock is the machine's, so that the time
# before Python's first line counts too.
FIRST_BLOB = """
import os, sys, time
from bundler.cli.main import run
from bundler.archive.reader import ArchiveReader
def stop(*_, **__):
    os.write(1, str(time.clock_gettime(time.CLOCK_MONOTONIC)).encode())
    os._exit(0)
ArchiveReader.read_members = stop
run()
"""


@dataclass(frozen=True)
class Start:
    """Milliseconds of one command: best and median wall time, best processor time; and an empty interpreter's best."""

    best_ms: float
    median_ms: float
    processor_ms: float
    empty_ms: float

    @property
    def detail(self) -> str:
        """All but the best, in words."""
        return f"median {self.median_ms:.0f}, CPU {self.processor_ms:.0f}; an empty python {self.empty_ms:.0f}"


def measure_start(
    command: Sequence[str | Path], environment: Mapping[str, str], rounds: int, *, until_told: bool = False
) -> Start:
    """Run a command, and an empty interpreter, in turns.

    Args:
        command: what to run; it has to end well.
        environment: its environment.
        rounds: how often.
        until_told: the command prints the moment (of CLOCK_MONOTONIC, in seconds) that counts as its end.
    """
    measured, empty = [], []
    _once(command, environment, until_told=until_told)  # compiles, and fills the page cache
    for _ in range(rounds):
        empty.append(_once([sys.executable, "-c", "pass"], environment, until_told=False))
        measured.append(_once(command, environment, until_told=until_told))
    walls = [wall for wall, _ in measured]
    return Start(
        min(walls),
        statistics.median(walls),
        min(processor for _, processor in measured),
        min(wall for wall, _ in empty),
    )


def first_blob_command(arguments: Sequence[str | Path]) -> list[str | Path]:
    """`sealift` with these arguments, which ends where the first blob would be read and says when that was."""
    return [sys.executable, "-c", FIRST_BLOB, *arguments]


def _once(command: Sequence[str | Path], environment: Mapping[str, str], *, until_told: bool) -> tuple[float, float]:
    """Milliseconds of wall and of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = subprocess.run(command, env=dict(environment), check=False, capture_output=True, text=True)
    end = float(done.stdout) if until_told and not done.returncode else time.clock_gettime(time.CLOCK_MONOTONIC)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"bench: {' '.join(map(os.fspath, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (end - start) * 1000, used * 1000
