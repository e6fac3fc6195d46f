"""`sealift serve` against Debian's docker-registry: the part of `make bench` that needs docker-registry and curl.

    one         one client pulls 1 GiB in layers, one after the other
    many        16 clients do so at once
    peak        memory of the server's process, the verification before it included, after each of the two

Rules:
- Both servers run at once, idle while the other is measured; rounds are interleaved and the ratio is taken within one.
- The registry gets the same layer files by hard link, in its own storage form, so that both read the same page cache.
- A client is one `curl` that throws away what it gets. What it got is compared by length here; that serve's bytes are
  right is what its tests are for.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.simulators.real_registry import PROGRAM, real_registry

SEALIFT = Path(sys.executable).parent / "sealift"
REPOSITORY = "bench/image"
MANY = 16
_KIB = 1024


@dataclass(frozen=True)
class ServeFigures:
    """What the rounds gave: how many times as fast as the registry serve is, and its memory."""

    one_ratio: float
    one_spread: tuple[float, float]
    one_bytes_per_second: float
    many_ratio: float
    many_spread: tuple[float, float]
    many_bytes_per_second: float
    peak_one_mib: float
    peak_many_mib: float


@dataclass(frozen=True)
class Sides:
    """Base URLs of both servers."""

    ours: str
    theirs: str


def can_measure_serve() -> bool:
    """Whether the programs are there."""
    return shutil.which("curl") is not None and shutil.which(PROGRAM) is not None


def measure_serve(
    folder: Path, bundle: Path, layers: Sequence[Path], policy: Path, state: Path, rounds: int, many_rounds: int = 1
) -> ServeFigures:
    """Serve `bundle`; each pull is all of `layers`, which are files named by their digests' hex."""
    folder.mkdir(parents=True)
    payload = sum(path.stat().st_size for path in layers)
    names = [path.name for path in layers]
    _fill(folder / "registry" / "storage", layers)
    with real_registry(folder / "registry") as registry, _serve(bundle, policy, state) as (url, process):
        sides = Sides(url, registry.url)
        _measure(sides, names, payload, 1, 1)  # warms both, and the page cache
        one = _measure(sides, names, payload, 1, rounds)
        peak_one = _peak_mib(process)
        many = _measure(sides, names, payload, MANY, many_rounds)
        peak_many = _peak_mib(process)
    return ServeFigures(*_told(one, payload), *_told(many, payload * MANY), peak_one, peak_many)


def _measure(sides: Sides, names: Sequence[str], payload: int, clients: int, rounds: int) -> list[tuple[float, float]]:
    """Seconds of ours and theirs, for each round."""
    return [
        (_pull(sides.ours, names, payload, clients), _pull(sides.theirs, names, payload, clients))
        for _ in range(rounds)
    ]


def _told(seconds: Sequence[tuple[float, float]], payload: int) -> tuple[float, tuple[float, float], float]:
    ratios = sorted(theirs / ours for ours, theirs in seconds)
    speed = payload / statistics.median(ours for ours, _ in seconds)
    return statistics.median(ratios), (ratios[0], ratios[-1]), speed


def _pull(base: str, names: Sequence[str], payload: int, clients: int) -> float:
    """Seconds until all clients have everything."""
    words = ["curl", "--silent", "--fail", "--write-out", "%{size_download}\n"]
    for name in names:
        words += ["--output", os.devnull, f"{base}/v2/{REPOSITORY}/blobs/sha256:{name}"]
    start = time.perf_counter()
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
    told = [process.communicate()[0] for process in running]
    seconds = time.perf_counter() - start
    got = [sum(map(int, text.split())) for text in told]
    if got != [payload] * clients:
        sys.exit(f"bench: {base}: {got} bytes, expected {payload} each")
    return seconds


def _fill(storage: Path, layers: Sequence[Path]) -> None:
    """Blobs in the registry's storage form: content by digest, and a link for the repository."""
    base = storage / "docker" / "registry" / "v2"
    for path in layers:
        data = base / "blobs" / "sha256" / path.name[:2] / path.name / "data"
        link = base / "repositories" / REPOSITORY / "_layers" / "sha256" / path.name / "link"
        data.parent.mkdir(parents=True)
        link.parent.mkdir(parents=True)
        os.link(path, data)
        link.write_text(f"sha256:{path.name}")


@contextmanager
def _serve(bundle: Path, policy: Path, state: Path) -> Iterator[tuple[str, int]]:
    words = [SEALIFT, "serve", bundle, "--policy", policy, "--listen", "127.0.0.1:0", "--json", "--quiet"]
    environment = {**os.environ, "SEALIFT_STATE": str(state)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                told = json.loads(line)
                if told["event"] == "serving":
                    yield told["url"], process.pid
                    break
            else:
                sys.exit("bench: sealift serve did not start")
        finally:
            process.terminate()


def _peak_mib(process: int) -> float:
    """The high-water mark that the kernel keeps for a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / _KIB
