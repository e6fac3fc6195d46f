"""The same advisories for us, for trivy and for grype: OSV records turned into rows of their databases.

Only records with one package and ranges of versions; what a database of theirs cannot say is left out and told by
`ValueError`: a distribution's rows have nothing but the version that mends (trivy).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.simulators.grype_database import DEBIAN, GrypeAdvisory, write_grype_database
from tests.simulators.trivy_database import write_trivy_database

Json = dict[str, Any]
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"  # 7.5, high
_TRIVY = {
    "PyPI": "pip::GitHub Security Advisory Pip",
    "npm": "npm::GitHub Security Advisory Npm",
    "Go": "go::GitHub Security Advisory Go",
    "Maven": "maven::GitHub Security Advisory Maven",
    "RubyGems": "rubygems::GitHub Security Advisory RubyGems",
    "Debian:12": "debian 12",
}
_GRYPE = {
    "PyPI": "python",
    "npm": "npm",
    "Go": "go-module",
    "Maven": "java-archive",
    "RubyGems": "gem",
    "Debian:12": "deb",
}


def trivy_cache(folder: Path, records: Iterable[Json], *, schema: int = 2) -> Path:
    """A cache folder of trivy with a database of these records."""
    buckets: dict[str, dict[str, dict[str, Any]]] = {"vulnerability": {}, "data-source": {}}
    for record in records:
        ecosystem, name, spans = _parts(record)
        bucket = _TRIVY[ecosystem]
        buckets["data-source"][bucket] = {"ID": "debian" if "::" not in bucket else "ghsa", "Name": bucket, "URL": ""}
        row: Json
        if "::" in bucket:
            row = {
                "VulnerableVersions": [_words(*span, ", ") for span in spans],
                "PatchedVersions": [fixed for _, fixed, _ in spans if fixed],
            }
        else:
            ((introduced, fixed, last),) = spans
            if introduced or last:
                raise ValueError(record["id"])
            row = {"FixedVersion": fixed}
        buckets.setdefault(bucket, {}).setdefault(name, {})[record["id"]] = row
        told = {
            "Title": f"about {name}",
            "Severity": "HIGH",
            "VendorSeverity": {"nvd": 3},
            "CVSS": {"nvd": {"V3Vector": VECTOR}},
        }
        buckets["vulnerability"][record["id"]] = told
    return write_trivy_database(folder, buckets, schema=schema)


def can_hold(name: str, record: Json) -> bool:
    """Whether their database can say it."""
    try:
        ecosystem, _, spans = _parts(record)
    except ValueError:
        return False
    only_fixed = len(spans) == 1 and not spans[0][0] and not spans[0][2]
    return ecosystem in _TRIVY and (name != "trivy" or "::" in _TRIVY[ecosystem] or only_fixed)


def grype_file(path: Path, records: Iterable[Json]) -> Path:
    """A file that grype imports."""
    return write_grype_database(path, [advisory for record in records for advisory in _grype(record)])


def _grype(record: Json) -> Iterator[GrypeAdvisory]:
    ecosystem, name, spans = _parts(record)
    release = DEBIAN if ecosystem == "Debian:12" else None
    for introduced, fixed, last in spans:
        words = _words(introduced, fixed, last, ", ")
        yield GrypeAdvisory(record["id"], _GRYPE[ecosystem], name, words, fixed, release, vector=VECTOR)


def _parts(record: Json) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Ecosystem, name, and spans: introduced (empty: from the beginning), fixed, last affected."""
    (entry,) = record["affected"]
    spans = []
    for found in entry.get("ranges", ()):
        if found["type"] not in ("ECOSYSTEM", "SEMVER"):
            raise ValueError(record["id"])
        events = [next(iter(event.items())) for event in found["events"]]
        if (len(events) % 2 and len(events) > 1) or entry.get("versions"):
            raise ValueError(record["id"])
        for (begins, introduced), (ends, last) in zip(events[::2], [*events[1::2], ("never", "")], strict=False):
            if begins != "introduced" or ends not in ("fixed", "last_affected", "never"):
                raise ValueError(record["id"])
            spans.append(
                (
                    "" if introduced == "0" else introduced,
                    last if ends == "fixed" else "",
                    last if ends == "last_affected" else "",
                )
            )
    if not spans:
        raise ValueError(record["id"])
    return entry["package"]["ecosystem"], entry["package"]["name"], spans


def _words(introduced: str, fixed: str, last: str, between: str) -> str:
    words = [f">={introduced}"] if introduced else []
    words += [f"<{fixed}"] if fixed else []
    words += [f"<={last}"] if last else []
    return between.join(words) or ">=0"
