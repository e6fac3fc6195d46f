"""`sealift load` into a registry against skopeo: the part of `make bench` that needs skopeo and docker-registry.

    skopeo      `skopeo copy --all --preserve-digests oci:… docker://…` of the image; without that option it would
                compress layers, and take longer
    load        `sealift load` of the bundle with that image: verification, push, and everything read back
    again       the same once more, when all is there
    peak        memory of the load's own process

Rules:
- Both get a fresh registry in each round; runs stand next to each other, and the ratio is taken within a round.
- The whole command is timed, the start of the interpreter included, on both sides. Page cache warm on both sides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from scripts.bench_export import LAUNCHER, PLATFORMS, SEALIFT, can_measure, run_command
from tests.simulators.images import Layout, big_layer
from tests.simulators.real_registry import real_registry
from tests.simulators.sigstore import Sigstore

NAME = "registry.example.org/bench/image:1"
IDENTITY = "https://ci.example.org/bench/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.ci.example.org"
POLICY = f"""format = 1
[[rule]]
images = ["registry.example.org/bench/image"]
[[rule.signature]]
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"
"""
_MIB = 1 << 20
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class LoadFigures:
    """What the rounds gave; seconds are medians."""

    skopeo_seconds: float
    ratio: float
    spread: tuple[float, float]
    again_seconds: float
    peak_mib: float


def measure_load(folder: Path, rounds: int, layer_bytes: int, layers: int) -> LoadFigures:
    """Two platforms with `layers` layers each, half of them shared, into registries on loopback."""
    folder.mkdir(parents=True)
    _make(folder, layer_bytes, layers)
    skopeo, ours, again, peaks = [], [], [], []
    for number in range(rounds):
        skopeo.append(_fresh(folder, f"skopeo-{number}", lambda host: _skopeo(folder, host))[0])
        (first, peak), (second, _) = _fresh(
            folder, f"load-{number}", lambda host: (_load(folder, host), _load(folder, host))
        )
        ours.append(first)
        again.append(second)
        peaks.append(peak)
    ratios = sorted(mine / theirs for mine, theirs in zip(ours, skopeo, strict=True))
    return LoadFigures(
        statistics.median(skopeo), statistics.median(ratios), (ratios[0], ratios[-1]), statistics.median(again),
        max(peaks),
    )  # fmt: skip


def _make(folder: Path, layer_bytes: int, layers: int) -> None:
    """The image as a layout, its bundle, a site that pinned the bundle's trust root, and a policy."""
    signed_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    sigstore, layout = Sigstore(), Layout()
    shared = [big_layer(layer_bytes, seed) for seed in range(layers // 2)]
    images = []
    for number, platform in enumerate(PLATFORMS):
        own = [big_layer(layer_bytes, (number + 1) * 1000 + seed) for seed in range(layers - len(shared))]
        images.append(layout.image(platform, shared + own))
    top = layout.name(layout.index(images), NAME)
    repository = NAME.rpartition(":")[0]
    signer = sigstore.keyless(IDENTITY, issuer=ISSUER, at=signed_at)
    signature = layout.cosign([sigstore.sign(top.digest, signer, at=signed_at, reference=repository)])
    layout.tag_evidence(signature, top, "sig", repository)
    layout.write(folder / "image")
    (folder / "trusted_root.json").write_bytes(sigstore.trusted_root_json())
    (folder / "policy.toml").write_text(POLICY)
    environment = {**os.environ, "SEALIFT_KEY_PASSPHRASE": secrets.token_hex(16)}

    def sealift(*words: str | Path) -> None:
        run_command([str(SEALIFT), *map(str, words)], environment)

    keys = (folder / "repository", "--keys", folder / "keys")
    sealift("trust", "init", *keys, "--stream", "bench")
    sealift("trust", "publish", *keys, "--trusted-root", f"bench={folder / 'trusted_root.json'}")
    sealift(
        "export", f"oci:{folder / 'image'}:{NAME}", "-o", folder / "bench.bundle.tar",
        "--repository", *keys, "--stream", "bench", "--quiet",
    )  # fmt: skip
    root = folder / "repository" / "metadata" / "1.root.json"
    digest = hashlib.sha256(root.read_bytes()).hexdigest()
    sealift("trust", "pin", root, "--sha256", digest, "--site", "bench", "--state", folder / "state")


def _fresh(folder: Path, title: str, work: Callable[[str], _Result]) -> _Result:
    """Work with a registry that holds nothing; it and its content are gone afterwards."""
    with real_registry(folder / title) as registry:
        result = work(registry.host)
    shutil.rmtree(folder / title)
    return result


def _skopeo(folder: Path, host: str) -> tuple[float, float]:
    return _timed(
        [
            shutil.which("skopeo") or "skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests",
            "--quiet", "--dest-tls-verify=false", f"oci:{folder / 'image'}:{NAME}", f"docker://{host}/bench/image:1",
        ]
    )  # fmt: skip


def _load(folder: Path, host: str) -> tuple[float, float]:
    return _timed(
        [
            str(SEALIFT), "load", str(folder / "bench.bundle.tar"), "--to", host, "--tls-verify=false", "--quiet",
            "--policy", str(folder / "policy.toml"), "--state", str(folder / "state"),
        ]
    )  # fmt: skip


def _timed(command: list[str]) -> tuple[float, float]:
    """Seconds and peak MiB of a whole command."""
    start = time.perf_counter()
    told = run_command([sys.executable, "-I", "-S", "-c", LAUNCHER, *command])
    seconds = time.perf_counter() - start
    exit_code, kib = json.loads(told.splitlines()[-1])
    if exit_code:
        sys.exit(f"bench: {command[0]}: exit code {exit_code}\n{told}")
    return seconds, kib / 1024


def main() -> None:
    """This part alone."""
    parser = argparse.ArgumentParser(description="Measure `sealift load` against skopeo.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layer", type=int, default=64 * _MIB)
    parser.add_argument("--layers", type=int, default=11)
    options = parser.parse_args()
    if not can_measure():
        sys.exit("bench: skopeo or docker-registry is missing")
    with TemporaryDirectory() as folder:
        print(measure_load(Path(folder) / "load", options.rounds, options.layer, options.layers))


if __name__ == "__main__":
    main()
