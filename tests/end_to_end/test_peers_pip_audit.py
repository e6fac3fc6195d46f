"""pip-audit agrees with `sealift scan` about PyPI: run for real, with an OSV service on loopback.

Skipped where it is not there (`make peers`). What differs, and why: SCAN.md, "Beside other scanners".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.version import InvalidVersion, Version

from bundler.vulnerability.scan import scan_packages
from tests.simulators.osv_api import osv_api
from tests.simulators.osv_match_vectors import affected, record, span
from tests.simulators.peers import Peer
from tests.simulators.vulnerability_data import matcher, package
from tests.unit.vulnerability.test_match import MATCHES

Json = dict[str, Any]
Told = dict[str, dict[str, list[str]]]  # package → ids of each finding, joined → versions that mend it

FIRST = affected("PyPI", "three-names", span("introduced 0, fixed 2.0"))
ALIASES = (
    record("GHSA-aaaa-bbbb-cccc", FIRST, aliases=["CVE-2026-1"]),
    record("PYSEC-2026-1", FIRST, aliases=["CVE-2026-1"]),
    record("PYSEC-2026-2", affected("PyPI", "Folded_Name", span("introduced 0, fixed 2.0"))),
)
PINNED = (("three-names", "1.0"), ("folded.name", "1.0"), ("nobody-knows", "1.0"))


def vectors() -> list[tuple[Json, str, str]]:
    """Each record about `demo` with each version that it is asked about, and a name for the two alone."""
    found: list[tuple[Json, str]] = []
    for path in MATCHES:
        case = json.loads(path.read_text())
        if case["record"]["affected"][0]["package"] == {"ecosystem": "PyPI", "name": "demo"}:
            asked = [
                item if isinstance(item, str) else item[0] for key in case if key != "record" for item in case[key]
            ]
            found += [(case["record"], purl.partition("@")[2]) for purl in asked]
    return [(item, text, f"demo-{number}") for number, (item, text) in enumerate(found) if is_version(text)]


def is_version(text: str) -> bool:
    """Whether pip-audit takes it at all."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def renamed(found: Json, name: str) -> Json:
    entry = {**found["affected"][0], "package": {"ecosystem": "PyPI", "name": name}}
    return {**found, "id": f"PYSEC-{name}", "affected": [entry]}


def theirs(folder: Path, records: Sequence[Json], pinned: Sequence[tuple[str, str]]) -> Told:
    """What pip-audit says."""
    tool = Peer("pip-audit", folder, {"NO_PROXY": "127.0.0.1"})
    (folder / "requirements.txt").write_text("".join(f"{name}=={version}\n" for name, version in pinned))
    words = ("-r", folder / "requirements.txt", "--no-deps", "--disable-pip", "--cache-dir", folder / "cache")
    with osv_api(records) as address:
        out = tool.says(*words, "-s", "osv", "--osv-url", address, "-f", "json", "--progress-spinner", "off")
    return {
        item["name"]: {joined(found["id"], *found["aliases"]): found["fix_versions"] for found in item["vulns"]}
        for item in json.loads(out)["dependencies"]
    }


def ours(folder: Path, records: Sequence[Json], pinned: Sequence[tuple[str, str]]) -> Told:
    names = {f"pkg:pypi/{name}@{version}": name.replace(".", "-") for name, version in pinned}
    told: Told = {name: {} for name in names.values()}
    with matcher(folder, records) as asked:
        for finding in scan_packages([package(purl) for purl in names], "linux/amd64", asked).findings:
            ids = joined(finding.record_id, *finding.aliases)
            told[names[finding.package.purl]][ids] = list(finding.fixed_in)
    return told


def joined(*ids: str) -> str:
    return " ".join(sorted(set(ids)))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Told, Told]:
    folder = tmp_path_factory.mktemp("pip-audit")
    records = [*ALIASES, *(renamed(found, name) for found, _, name in vectors())]
    pinned = [*PINNED, *((name, version) for _, version, name in vectors())]
    return theirs(folder, records, pinned), ours(folder, records, pinned)


def test_the_same_is_found(both: tuple[Told, Told]) -> None:
    told, found = both
    assert sum(map(len, found.values())) > 20
    # It takes any withdrawal, even one yet to come.
    later = {name for item, _, name in vectors() if item.get("withdrawn", "") > "2030"}
    assert {name for name in found if set(found[name]) != set(told[name])} == later


def test_aliases_are_one_finding(both: tuple[Told, Told]) -> None:
    told, found = both
    assert list(found["three-names"]) == list(told["three-names"]) == ["CVE-2026-1 GHSA-aaaa-bbbb-cccc PYSEC-2026-1"]
    assert list(found["folded-name"]) == list(told["folded-name"]) == ["PYSEC-2026-2"]
    assert found["nobody-knows"] == told["nobody-knows"] == {}


def test_versions_that_mend(both: tuple[Told, Told]) -> None:
    """It names those of a package's first range, older ones too; we those later than the version of all ranges."""
    told, found = both
    asked = {name: (item, Version(text)) for item, text, name in vectors()}
    for name, (item, version) in asked.items():
        for ids in found[name].keys() & told[name].keys():
            later = [text for text in told[name][ids] if Version(text) > version]
            one_range = len([each for each in item["affected"][0].get("ranges", ()) if each["type"] == "ECOSYSTEM"]) < 2
            assert found[name][ids] == later or not one_range, name
    assert found["three-names"] == told["three-names"]
