"""Faults at system calls of a real program, by strace: killed at a call, or the call fails.

points = writing_points(command, folder)        # one clean run: every call that changes something
run_with(command, points[3], KILL)              # another run, killed at the entry of that very call
run_with(command, points[3], "error=EIO")       # … or the call fails

A point is a call's name and its number among the main thread's calls of that name, so a second run meets it again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

STRACE = shutil.which("strace")
KILL = "signal=SIGKILL"
WRITING = (
    "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat", "unlink",
    "unlinkat", "mkdir", "mkdirat", "rmdir", "ftruncate", "fchmod", "chmod",
)  # fmt: skip
_LINE = re.compile(r"(\d+) +([a-z0-9_]+)\((.*)")
_CREATES = re.compile(r"O_CREAT|O_WRONLY|O_RDWR")


@dataclass(frozen=True)
class Point:
    """The `number`th call of this name."""

    call: str
    number: int


@dataclass(frozen=True)
class Ended:
    """How a run ended; a killed one has a negative code."""

    code: int
    out: str
    err: str


def writing_points(command: Sequence[str | Path], folder: Path, work: Path) -> list[Point]:
    """Run once and give every call that changes something: all of WRITING, and files opened for writing in `folder`.

    Raises:
        AssertionError: the run failed.
    """
    log = work / "strace.log"
    ended = _strace(command, ["-y", "-e", f"trace=openat,{','.join(WRITING)}"], log)
    assert ended.code == 0, ended
    return list(_points(log.read_text(errors="replace").splitlines(), folder))


def run_with(command: Sequence[str | Path], point: Point, fault: str, work: Path) -> Ended:
    """Run with one fault at one point."""
    inject = f"inject={point.call}:{fault}:when={point.number}"
    return _strace(command, ["-e", f"trace={point.call}", "-e", inject], work / "strace.log")


def spread(points: Sequence[Point], count: int) -> list[Point]:
    """Some of the points, evenly spread, the first and the last among them."""
    if count >= len(points):
        return list(points)
    return [points[round(place * (len(points) - 1) / (count - 1))] for place in range(count)]


def _points(lines: Sequence[str], folder: Path) -> Iterator[Point]:
    counts: Counter[str] = Counter()
    main = None
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        main = main or match[1]
        if match[1] != main:
            continue
        counts[match[2]] += 1
        if match[2] != "openat" or (str(folder) in match[3] and _CREATES.search(match[3])):
            yield Point(match[2], counts[match[2]])


def _strace(command: Sequence[str | Path], options: Sequence[str], log: Path) -> Ended:
    assert STRACE is not None
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "SEALIFT_KEY_PASSPHRASE": ""}
    done = subprocess.run(
        [STRACE, "-f", "-q", "-o", str(log), *options, *map(str, command)],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
