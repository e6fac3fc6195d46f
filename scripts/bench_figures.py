"""The lines of `make bench`'s table: what was measured, its goal, and whether it is met.

Each figure is measured by a module of its own (bench_*.py); this one holds it against its budget, and prints.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bench_export import can_measure, measure_export
from scripts.bench_load import measure_load
from scripts.bench_scan import measure_scan
from scripts.bench_serve import MANY, can_measure_serve, measure_serve
from scripts.bench_signatures import measure_signatures

if TYPE_CHECKING:
    from scripts.bench import Scene

MB, GIB = 10**6, 1 << 30


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None
    detail: str = ""


def measure_scans(folder: Path, records: int) -> list[Figure]:
    """Vulnerability data indexed, and SBOMs scanned; each in a fresh process."""
    told = measure_scan(folder, records)
    indexed = f"{told.zip_mb:.0f} MB of zip, {told.index_mb:.0f} MB of index; again {told.open_seconds:.1f} s"
    fleet = f"3 000 different packages; {told.fleet_findings} findings, {told.fleet_mib:.0f} MiB"
    figures = [
        Figure(f"{records} OSV records indexed, once", told.index_seconds, "s", detail=indexed),
        Figure("… memory", told.index_mib, "MiB", "<= 150", told.index_mib <= 150),
        Figure("200 SBOMs of 500 scanned", told.fleet_seconds, "s", "<= 15", told.fleet_seconds <= 15, fleet),
        Figure(
            "… 100 000 different packages", told.different_seconds, "s",
            detail=f"{told.different_findings} findings, {told.different_mib:.0f} MiB",
        ),
    ]  # fmt: skip
    if told.grype is None:
        print("bench: grype is missing (`make peers`): no scan is measured beside ours", file=sys.stderr)
        return figures
    each = told.grype.seconds / told.grype.sboms
    detail = f"{told.grype.findings} findings in {told.grype.sboms}, a process each"
    return [
        *figures,
        Figure(f"grype {told.grype.version}, one SBOM", each, "s", detail=detail),
        Figure("one of our 200 / one of grype's", told.fleet_seconds / 200 / each, "x"),
    ]


def measure_exports(folder: Path, rounds: int, layer_bytes: int, layers: int) -> list[Figure]:
    """Export from a registry; nothing where skopeo or docker-registry is missing."""
    if not can_measure():
        print("bench: skopeo or docker-registry is missing: export from a registry is not measured", file=sys.stderr)
        return []
    told = measure_export(folder, rounds, layer_bytes, layers)
    return [
        Figure("skopeo copy, cp, fsync", told.skopeo_seconds, "s", detail=f"median of {rounds}"),
        Figure(
            "export, cold cache / skopeo", told.cold_ratio, "x", "<= 1.25", told.cold_ratio <= 1.25,
            "{:.3f} to {:.3f}".format(*told.cold_spread),
        ),
        Figure(
            "export, warm cache / skopeo", told.warm_ratio, "x", "<= 1.25", told.warm_ratio <= 1.25,
            "{:.3f} to {:.3f}".format(*told.warm_spread),
        ),
        Figure("export, peak memory", told.peak_mib, "MiB", "<= 150", told.peak_mib <= 150),
        Figure("cache and bundle / blobs, on disk", told.disk_ratio, "x", "<= 2.01", told.disk_ratio <= 2.01),
    ]  # fmt: skip


def measure_serving(folder: Path, scene: Scene, rounds: int) -> list[Figure]:
    """Serving 1 GiB of the large bundle's layers; nothing where docker-registry or curl is missing."""
    if not can_measure_serve():
        print("bench: docker-registry or curl is missing: serving is not measured", file=sys.stderr)
        return []
    count = max(1, GIB // max(path.stat().st_size for path in scene.layers))
    told = measure_serve(folder, scene.bundle, scene.layers[:count], scene.policy, scene.state, rounds)
    one, many = ("{:.3f} to {:.3f}".format(*spread) for spread in (told.one_spread, told.many_spread))
    return [
        Figure("serve, one pull of 1 GiB", told.one_bytes_per_second / MB, "MB/s", detail=f"median of {rounds}"),
        Figure("serve / docker-registry, one", told.one_ratio, "x", ">= 1", told.one_ratio >= 1, one),
        Figure(f"serve, {MANY} pulls at once", told.many_bytes_per_second / MB, "MB/s"),
        Figure(f"serve / docker-registry, {MANY}", told.many_ratio, "x", ">= 1", told.many_ratio >= 1, many),
        Figure("serve, peak memory, one", told.peak_one_mib, "MiB", "<= 200", told.peak_one_mib <= 200),
        Figure(f"serve, peak memory, {MANY}", told.peak_many_mib, "MiB", "<= 200", told.peak_many_mib <= 200),
    ]


def measure_loads(folder: Path, rounds: int, layer_bytes: int, layers: int) -> list[Figure]:
    """Load into a registry; nothing where skopeo or docker-registry is missing."""
    if not can_measure():
        print("bench: skopeo or docker-registry is missing: load into a registry is not measured", file=sys.stderr)
        return []
    told = measure_load(folder, rounds, layer_bytes, layers)
    spread = "{:.3f} to {:.3f}".format(*told.spread)
    return [
        Figure("skopeo copy into a registry", told.skopeo_seconds, "s", detail=f"median of {rounds}"),
        Figure("load / skopeo", told.ratio, "x", "<= 1.25", told.ratio <= 1.25, spread),
        Figure("load, all there already", told.again_seconds, "s"),
        Figure("load, peak memory", told.peak_mib, "MiB", "<= 150", told.peak_mib <= 150),
    ]


def measure_signature_times(count: int, rounds: int, many: int) -> list[Figure]:
    """One signature of each kind, and many in one bundle."""
    told = measure_signatures(count, rounds, many)
    figures = [Figure(f"one signature, {name}", took, "ms", "<= 3", took <= 3) for name, took in told.ours.items()]
    for name, took in told.theirs.items():
        ratio = told.ours[name] / took
        figures.append(Figure(f"{name}, ours / sigstore", ratio, "x", detail=f"sigstore {took:.2f} ms"))
    each = told.bundle_seconds / many * 1000
    name = f"{many} signatures, one bundle"
    return [
        *figures,
        Figure(name, told.bundle_seconds, "s", f"<= {many * 3 / 1000:.0f}", each <= 3, f"{each:.2f} ms each"),
    ]


def print_table(figures: Sequence[Figure]) -> None:
    """The figures as people read them."""
    print(f"{'figure':<34} {'value':>9}       {'goal':<9} met   detail")
    for figure in figures:
        digits = 3 if figure.unit in ("x", "s") else 2 if figure.value < 10 else 0
        value = f"{figure.value:.{digits}f}"
        met = {None: "", True: "yes", False: "NO"}[figure.met]
        print(f"{figure.name:<34} {value:>9} {figure.unit:<5} {figure.goal:<9} {met:<5} {figure.detail}")
