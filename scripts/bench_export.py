"""Export from a registry on loopback against skopeo: the part of `make bench` that needs skopeo and docker-registry.

    skopeo      `skopeo copy --all docker://… oci:FOLDER`, then `cp` of the blobs into one folder, and fsync of them
    cold        `sealift export` with an empty cache
    warm        the same with the cache that this left
    peak        memory of the export's own process, and how much disk was used

Rules:
- Three runs stand next to each other in each round; the ratio is taken within a round.
- The whole command is timed, the start of the interpreter included, on both sides.
- skopeo's copy is into a fresh folder each time, as an export's is.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.simulators.images import Layout, big_layer
from tests.simulators.real_registry import PROGRAM, RealRegistry, real_registry

NAME = "bench/image:1"
SEALIFT = Path(sys.executable).parent / "sealift"
PLATFORMS = ("linux/amd64", "linux/arm64")
# Runs a command, then says how it went and how much memory it took at most.
LAUNCHER = """
import json, os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print("\\n" + json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss]))
"""


@dataclass(frozen=True)
class ExportFigures:
    """What the rounds gave; seconds are medians."""

    skopeo_seconds: float
    cold_ratio: float
    warm_ratio: float
    cold_spread: tuple[float, float]
    warm_spread: tuple[float, float]
    peak_mib: float
    disk_ratio: float


def can_measure() -> bool:
    """Whether the programs are there."""
    return shutil.which("skopeo") is not None and shutil.which(PROGRAM) is not None


def measure_export(folder: Path, rounds: int, layer_bytes: int, layers: int) -> ExportFigures:
    """Two platforms with `layers` layers each, half of them shared; all of it through loopback."""
    folder.mkdir(parents=True)
    with real_registry(folder / "registry") as registry:
        payload = _fill(registry, folder / "image", layer_bytes, layers)
        environment = _prepare(folder)
        skopeo, cold, warm, peaks, disks = [], [], [], [], []
        for number in range(rounds):
            skopeo.append(_skopeo(registry, folder))
            shutil.rmtree(folder / "cache", ignore_errors=True)
            seconds, peak = _export(registry, folder, environment, f"cold-{number}")
            cold.append(seconds)
            peaks.append(peak)
            disks.append(_disk_bytes(folder / "cache") + _disk_bytes(folder / "out"))
            warm.append(_export(registry, folder, environment, f"warm-{number}")[0])
            shutil.rmtree(folder / "out")
    colds = sorted(ours / theirs for ours, theirs in zip(cold, skopeo, strict=True))
    warms = sorted(ours / theirs for ours, theirs in zip(warm, skopeo, strict=True))
    return ExportFigures(
        statistics.median(skopeo),
        statistics.median(colds),
        statistics.median(warms),
        (colds[0], colds[-1]),
        (warms[0], warms[-1]),
        max(peaks),
        max(disks) / payload,
    )


def _fill(registry: RealRegistry, folder: Path, layer_bytes: int, layers: int) -> int:
    """Push the image with skopeo; bytes of its blobs."""
    layout = Layout()
    shared = [big_layer(layer_bytes, seed) for seed in range(layers // 2)]
    images = []
    for number, platform in enumerate(PLATFORMS):
        own = [big_layer(layer_bytes, (number + 1) * 1000 + seed) for seed in range(layers - len(shared))]
        images.append(layout.image(platform, shared + own))
    layout.name(layout.index(images), NAME)
    layout.write(folder)
    run_command(["skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
          "--quiet", f"oci:{folder}:{NAME}", f"docker://127.0.0.1:{registry.port}/{NAME}"])  # fmt: skip
    payload = sum(path.stat().st_size for path in (folder / "blobs" / "sha256").iterdir())
    shutil.rmtree(folder)
    return payload


def _prepare(folder: Path) -> dict[str, str]:
    environment = {**os.environ, "SEALIFT_KEY_PASSPHRASE": secrets.token_hex(16)}
    words = ["trust", "init", str(folder / "repository"), "--keys", str(folder / "keys"), "--stream", "bench"]
    run_command([str(SEALIFT), *words], environment)
    return environment


def _skopeo(registry: RealRegistry, folder: Path) -> float:
    """Seconds of the copy, the second copy and the fsync."""
    layout, blobs = folder / "skopeo", folder / "skopeo-blobs"
    start = time.perf_counter()
    run_command(["skopeo", "--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--quiet",
          f"docker://127.0.0.1:{registry.port}/{NAME}", f"oci:{layout}:x"])  # fmt: skip
    run_command(["cp", "-r", str(layout / "blobs" / "sha256"), str(blobs)])
    for path in [*blobs.iterdir(), blobs]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    seconds = time.perf_counter() - start
    shutil.rmtree(layout)
    shutil.rmtree(blobs)
    return seconds


def _export(registry: RealRegistry, folder: Path, environment: dict[str, str], title: str) -> tuple[float, float]:
    """Seconds and peak MiB of one export."""
    (folder / "out").mkdir(exist_ok=True)
    target = folder / "out" / f"{title}.bundle.tar"
    command = [
        str(SEALIFT), "export", f"127.0.0.1:{registry.port}/{NAME}", "--tls-verify=false", "--quiet",
        "--cache", str(folder / "cache"), "-o", str(target),
        "--repository", str(folder / "repository"), "--keys", str(folder / "keys"),
    ]  # fmt: skip
    start = time.perf_counter()
    told = run_command([sys.executable, "-I", "-S", "-c", LAUNCHER, *command], environment)
    seconds = time.perf_counter() - start
    exit_code, kib = json.loads(told.splitlines()[-1])
    if exit_code:
        sys.exit(f"bench: export: exit code {exit_code}")
    if title.startswith("warm"):
        target.unlink()
    return seconds, kib / 1024


def _disk_bytes(folder: Path) -> int:
    """Bytes on disk; what is linked twice counts once."""
    seen = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            facts = path.lstat()
            seen[facts.st_ino] = facts.st_blocks * 512
    return sum(seen.values())


def run_command(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """Run one command that has to end well; what it printed."""
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {command[0]}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
