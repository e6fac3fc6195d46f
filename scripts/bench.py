"""Figures against the budgets of this version: `make bench` prints a table and writes bench-out/bench.json.

    verify throughput    8 equal layers, page cache warm, against one `openssl dgst -sha256` for each core, in parallel,
                         over the same bytes; interleaved rounds, median of the ratios
    peak memory          of `sealift verify`, small and large bundle
    inspect, --help      the whole command; `inspect --sbom` of one image; verify until its first blob (bench_start.py)
    SBOM                 time and peak memory of reading one of 50 000 packages
    export               from a registry on loopback, cold and warm cache, against skopeo (bench_export.py)
    serve                1 GiB, to one client and to 16, against docker-registry (bench_serve.py)
    load                 into a registry on loopback, against skopeo (bench_load.py)
    scan                 300 000 OSV records indexed once, 200 SBOMs of 500 packages scanned (bench_scan.py)
    signatures           one, of three kinds, beside PyPI's `sigstore`; 1 000 in one bundle (bench_signatures.py)

Rules:
- A ratio is taken between runs that stand next to each other, so that a slow machine or a busy moment cancels out.
- "verify" is the work from opening the file to the report, in a fresh process, without the start of the interpreter;
  "sealift verify" is the whole command as typed. Both are told.
- Memory is the high-water mark that the kernel keeps for the process (a small launcher asks for it, so that this
  program's own memory does not count).
- Everything is made here from a seed and removed at the end; `--keep` leaves it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bundler.version import TOOL
from scripts.bench_export import LAUNCHER
from scripts.bench_figures import (
    Figure,
    measure_exports,
    measure_loads,
    measure_scans,
    measure_serving,
    measure_signature_times,
    print_table,
)
from scripts.bench_start import first_blob_command, measure_start
from tests.simulators.images import SPDX, Layout, big_layer, statement
from tests.simulators.sboms import spdx2
from tests.simulators.sigstore import Sigstore

ROOT = Path(__file__).resolve().parent.parent
SEALIFT = Path(sys.executable).parent / "sealift"
MB, MIB = 10**6, 1 << 20
LAYERS = 8
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
# Imports first, then times one verification.
WORK = """
import sys, time
from pathlib import Path
from bundler.cli.options import clock
from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.policy import parse_policy
from trust_root.delivery import time_basis
from trust_root.site import load_site
bundle, policy, state = map(Path, sys.argv[1:])
site = load_site(state, read_only=True)
request = Request(time_basis(clock(), site.floor), site=site, policy=parse_policy(policy.read_bytes()))
start = time.perf_counter()
run = verify_bundle(bundle, request)
seconds = time.perf_counter() - start
print(run.report.exit_code, run.report.bytes_read, seconds)
"""


# Imports first, then reads one SBOM from a file.
SBOM_WORK = """
import json, resource, sys, time
from pathlib import Path
from bundler.evidence.sbom import parse_sbom
raw = Path(sys.argv[1]).read_bytes()
start = time.perf_counter()
sbom = parse_sbom(raw)
seconds = time.perf_counter() - start
print(json.dumps([len(sbom.packages), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""
SBOM_PACKAGES = 50_000


@dataclass(frozen=True)
class Scene:
    """One bundle, the layer files it was made from, and a site that trusts it."""

    bundle: Path
    layers: tuple[Path, ...]
    policy: Path
    state: Path

    @property
    def size_bytes(self) -> int:
        """Size of the bundle."""
        return self.bundle.stat().st_size

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands at this site."""
        return {**os.environ, "SEALIFT_STATE": str(self.state)}

    @property
    def verify(self) -> list[str]:
        """The command as a person types it."""
        return [str(SEALIFT), "verify", str(self.bundle), "--policy", str(self.policy), "--read-only", "--quiet"]


def make_scene(folder: Path, layer_bytes: int) -> Scene:
    """A signed image of 8 equal layers, exported with the command line, at a fresh site."""
    folder.mkdir(parents=True)
    signed_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    sigstore, layout = Sigstore(), Layout()
    image = layout.image("linux/amd64", [big_layer(layer_bytes, seed) for seed in range(LAYERS)])
    attestation = layout.attestation(image, [statement(image.digest, SPDX, spdx2(packages=300))])
    image = layout.name(layout.index([image, attestation]), NAME)
    repository = NAME.partition(":")[0]
    signer = sigstore.keyless(IDENTITY, issuer=ISSUER, at=signed_at)
    signature = layout.cosign([sigstore.sign(image.digest, signer, at=signed_at, reference=repository)])
    layout.tag_evidence(signature, image, "sig", repository)
    layout.write(folder / "image")
    (folder / "trusted_root.json").write_bytes(sigstore.trusted_root_json())
    (folder / "policy.toml").write_text(POLICY)
    export(folder)
    sizes = {path: path.stat().st_size for path in (folder / "image" / "blobs" / "sha256").iterdir()}
    layers = tuple(sorted(path for path, size_bytes in sizes.items() if size_bytes == layer_bytes))
    return Scene(folder / "bench.bundle.tar", layers, folder / "policy.toml", folder / "state")


def export(folder: Path) -> None:
    """Trust root, export, pin: the commands of the README."""
    environment = {
        **os.environ,
        "SEALIFT_KEY_PASSPHRASE": secrets.token_hex(16),
        "SEALIFT_STATE": str(folder / "state"),
    }

    def sealift(*words: str) -> None:
        done = subprocess.run(
            [SEALIFT, *words], cwd=folder, env=environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"bench: sealift {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")

    keys = ("repository", "--keys", "keys")
    sealift("trust", "init", *keys, "--stream", "bench")
    sealift("trust", "publish", *keys, "--trusted-root", "bench=trusted_root.json")
    sealift("export", f"oci:image:{NAME}", "-o", "bench.bundle.tar", "--repository", *keys, "--stream", "bench")
    root = folder / "repository" / "metadata" / "1.root.json"
    sealift("trust", "pin", str(root), "--sha256", hashlib.sha256(root.read_bytes()).hexdigest(), "--site", "bench")


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(command: Sequence[str | Path], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one command that has to end well."""
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def hash_with_openssl(files: Sequence[Path], cores: int) -> None:
    """As many openssl processes as cores, each with its share of the files."""
    shares = [files[number::cores] for number in range(cores)]
    children = [
        subprocess.Popen(["openssl", "dgst", "-sha256", *share], stdout=subprocess.DEVNULL) for share in shares if share
    ]
    codes = [child.wait() for child in children]
    if any(codes):
        sys.exit("bench: openssl failed")


def verify_work(scene: Scene) -> tuple[int, float]:
    """Bytes read and seconds of one verification in a fresh process, imports not counted."""
    command = [sys.executable, "-c", WORK, str(scene.bundle), str(scene.policy), str(scene.state)]
    exit_code, bytes_read, seconds = run(command, scene.environment).stdout.split()[-3:]
    if exit_code != "0":
        sys.exit(f"bench: verify: exit code {exit_code}, expected 0")
    return int(bytes_read), float(seconds)


def measure_throughput(scene: Scene, rounds: int, cores: int) -> list[Figure]:
    """Verify against openssl, in interleaved rounds; the first of each warms the page cache and does not count."""
    payload = sum(path.stat().st_size for path in scene.layers)
    openssl, work, command = [], [], []
    bytes_read = 0
    for number in range(rounds + 1):
        before = timed(lambda: hash_with_openssl(scene.layers, cores))
        bytes_read, seconds = verify_work(scene)
        whole = timed(lambda: run(scene.verify, scene.environment))
        after = timed(lambda: hash_with_openssl(scene.layers, cores))
        if number:
            openssl.append((before + after) / 2)
            work.append(seconds)
            command.append(whole)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(openssl, work, strict=True))
    whole_ratio = statistics.median(ours / theirs for ours, theirs in zip(openssl, command, strict=True))
    spread = sorted(round(ours / theirs, 3) for ours, theirs in zip(openssl, work, strict=True))
    once = bytes_read / scene.size_bytes
    speeds = [payload / statistics.median(seconds) / MB for seconds in (openssl, work, command)]
    return [
        Figure("openssl dgst, one process a core", speeds[0], "MB/s", detail=f"{cores} cores"),
        Figure("verify", speeds[1], "MB/s"),
        Figure("sealift verify, whole command", speeds[2], "MB/s"),
        Figure("verify / openssl", ratio, "x", ">= 0.95", ratio >= 0.95, f"{spread[0]} to {spread[-1]}"),
        Figure("whole command / openssl", whole_ratio, "x", detail="with the interpreter's start"),
        Figure("bytes read / bytes of the file", once, "x", "<= 1.00", once <= 1.0),
    ]


def measure_memory(scene: Scene, label: str) -> Figure:
    """The high-water mark of one verify."""
    done = run([sys.executable, "-I", "-S", "-c", LAUNCHER, *scene.verify], scene.environment)
    exit_code, kib = json.loads(done.stdout.splitlines()[-1])
    if exit_code:
        sys.exit(f"bench: verify: exit code {exit_code}, expected 0")
    peak = kib / 1024
    return Figure(f"verify, peak memory, {label}", peak, "MiB", "<= 150", peak <= 150)


def measure_starts(scenes: Mapping[str, Scene], rounds: int) -> list[Figure]:
    """How soon short commands answer, by the bundle's size."""
    figures = []
    for size, scene in scenes.items():
        for name, words in {"inspect": (), "inspect --sbom": (NAME, "--sbom")}.items():
            told = measure_start([SEALIFT, "inspect", scene.bundle, *words], scene.environment, rounds)
            figures.append(Figure(f"{name}, {size}", told.best_ms, "ms", "<= 200", told.best_ms <= 200, told.detail))
        until = first_blob_command(scene.verify[1:])
        told = measure_start(until, scene.environment, rounds, until_told=True)
        name = f"verify to its first blob, {size}"
        figures.append(Figure(name, told.best_ms, "ms", "<= 150", told.best_ms <= 150, told.detail))
    told = measure_start([SEALIFT, "--help"], os.environ, rounds)
    return [*figures, Figure("--help", told.best_ms, "ms", "<= 100", told.best_ms <= 100, told.detail)]


def measure_sbom(folder: Path, rounds: int) -> list[Figure]:
    """Reading one large SBOM in a fresh process, imports not counted."""
    path = folder / "sbom.json"
    path.write_text(json.dumps(spdx2(packages=SBOM_PACKAGES)))
    size = f"{path.stat().st_size / MB:.0f} MB"
    seconds, peaks = [], []
    for _ in range(rounds):
        count, taken, kib = json.loads(run([sys.executable, "-c", SBOM_WORK, path], dict(os.environ)).stdout)
        if count < SBOM_PACKAGES:
            sys.exit(f"bench: SBOM: {count} packages, expected {SBOM_PACKAGES}")
        seconds.append(taken)
        peaks.append(kib / 1024)
    path.unlink()
    median = statistics.median(seconds)
    detail = f"{size}; {rounds} runs, best {min(seconds):.2f}"
    return [
        Figure("SBOM of 50 000 packages", median, "s", "<= 1", median <= 1, detail),
        Figure("SBOM of 50 000 packages, memory", max(peaks), "MiB", "<= 512", max(peaks) <= 512, size),
    ]


def main() -> None:
    """Make two bundles, measure, tell."""
    parser = argparse.ArgumentParser(description="Measure sealift against its budgets.")
    parser.add_argument("--large", type=int, default=256 * MIB, help="bytes of a layer of the large bundle [256 MiB]")
    parser.add_argument("--small", type=int, default=100 * MB // LAYERS, help="… of the small one [12.5 MB]")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the throughput comparison [7]")
    parser.add_argument("--export-layer", type=int, default=64 * MIB, help="bytes of an exported layer [64 MiB]")
    parser.add_argument("--export-layers", type=int, default=11, help="layers of each of two platforms [11]")
    parser.add_argument("--export-rounds", type=int, default=3, help="rounds of the export comparison [3]")
    parser.add_argument("--signatures", type=int, default=100, help="different signatures of each kind [100]")
    parser.add_argument("--records", type=int, default=300_000, help="OSV records of the scan [300000]")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-out", help="folder [bench-out]")
    parser.add_argument("--keep", action="store_true", help="leave the bundles there")
    options = parser.parse_args()
    shutil.rmtree(options.output, ignore_errors=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as where the tool is installed: compiled once, then read
    cores = len(os.sched_getaffinity(0))
    print("making the bundles …", file=sys.stderr)
    small = make_scene(options.output / "small", options.small)
    large = make_scene(options.output / "large", options.large)
    print("measuring …", file=sys.stderr)
    sizes = [f"{scene.size_bytes / MB:.0f} MB" for scene in (small, large)]
    figures = measure_throughput(large, options.rounds, cores)
    for scene, size in zip((small, large), sizes, strict=True):
        figures.append(measure_memory(scene, size))
    figures += measure_starts(dict(zip(sizes, (small, large), strict=True)), 20)
    figures += measure_sbom(options.output, 5)
    figures += measure_scans(options.output / "scan", options.records)
    figures += measure_signature_times(options.signatures, options.rounds, 1000)
    figures += measure_exports(
        options.output / "export", options.export_rounds, options.export_layer, options.export_layers
    )
    figures += measure_serving(options.output / "serve", large, 3)
    figures += measure_loads(
        options.output / "load", options.export_rounds, options.export_layer, options.export_layers
    )
    print_table(figures)
    facts = {"tool": TOOL, "python": platform.python_version(), "machine": platform.machine(), "cores": cores}
    document = {**facts, "rounds": options.rounds, "figures": [asdict(figure) for figure in figures]}
    if not options.keep:
        for folder in ("small", "large", "export", "serve", "load", "scan"):
            shutil.rmtree(options.output / folder, ignore_errors=True)
    (options.output / "bench.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
