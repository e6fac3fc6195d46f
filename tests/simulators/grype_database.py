"""A vulnerability database as grype imports it (schema 6), written for tests: an SQLite file with its tables.

    advisory = GrypeAdvisory("CVE-2026-1", "deb", "openssl", "< 3.0.9-1", "3.0.9-1", release=DEBIAN)
    write_grype_database(folder / "vulnerability.db", [advisory])        # then: grype db import …/vulnerability.db

Grype itself adds indexes and what else its version has, when it imports the file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEBIAN = ("debian", "12", "bookworm")
TIME = "2026-11-01 00:00:00+00:00"
SCHEMA = (6, 1, 0)
_TABLES = """
CREATE TABLE blobs (id integer PRIMARY KEY AUTOINCREMENT, value text NOT NULL);
CREATE TABLE db_metadata (
    build_timestamp datetime NOT NULL, model integer NOT NULL, revision integer NOT NULL, addition integer NOT NULL
);
CREATE TABLE providers (
    id text, version text, processor text, date_captured datetime, input_digest text, PRIMARY KEY (id)
);
CREATE TABLE vulnerability_handles (
    id integer PRIMARY KEY AUTOINCREMENT, name text NOT NULL, status text NOT NULL, published_date datetime,
    modified_date datetime, withdrawn_date datetime, provider_id text NOT NULL, blob_id integer
);
CREATE TABLE operating_systems (
    id integer PRIMARY KEY AUTOINCREMENT, name text, release_id text, major_version text, minor_version text,
    label_version text, codename text, channel text
);
CREATE TABLE packages (id integer PRIMARY KEY AUTOINCREMENT, ecosystem text, name text);
CREATE TABLE affected_package_handles (
    id integer PRIMARY KEY AUTOINCREMENT, vulnerability_id integer NOT NULL, operating_system_id integer,
    package_id integer, blob_id integer
);
"""


@dataclass(frozen=True)
class GrypeAdvisory:
    """One vulnerability of one package.

    Attributes:
        name: its id.
        kind: `deb`, `python`, `npm`, … as grype calls package kinds.
        package: its name; of a distribution the source package's.
        constraint: versions that are affected, e.g. `>= 1, < 2`.
        fixed: the version that mends it, or empty.
        release: distribution, its major version and its code name; nothing for other packages.
        aliases: other ids.
        vector: CVSS 3.1, or empty.
    """

    name: str
    kind: str
    package: str
    constraint: str
    fixed: str = ""
    release: tuple[str, str, str] | None = None
    aliases: tuple[str, ...] = ()
    vector: str = ""


_FORMATS = {
    "deb": "dpkg",
    "apk": "apk",
    "rpm": "rpm",
    "python": "python",
    "npm": "semver",
    "go-module": "go",
    "java-archive": "maven",
    "gem": "gem",
}


def write_grype_database(
    path: Path, advisories: Iterable[GrypeAdvisory], *, schema: tuple[int, int, int] = SCHEMA, time: str = TIME
) -> Path:
    """Write the file; `time` is when it was built."""
    with sqlite3.connect(path) as connection:
        connection.executescript(_TABLES)
        _insert(connection, "db_metadata (build_timestamp, model, revision, addition)", time, *schema)
        _insert(connection, "providers (id, version, processor, date_captured)", "test", "1", "test", time)
        releases: dict[tuple[str, str, str], int] = {}
        packages: dict[tuple[str, str], int] = {}
        for advisory in advisories:
            if advisory.release is not None and advisory.release not in releases:
                columns = "name, release_id, major_version, codename, minor_version, label_version, channel"
                values = (advisory.release[0], *advisory.release, "", "", "")
                releases[advisory.release] = _insert(connection, f"operating_systems ({columns})", *values)
            package = (advisory.kind, advisory.package)
            if package not in packages:
                packages[package] = _insert(connection, "packages (ecosystem, name)", *package)
            release = releases[advisory.release] if advisory.release is not None else None
            _add(connection, advisory, packages[package], release)
    connection.close()
    return path


def _add(connection: sqlite3.Connection, advisory: GrypeAdvisory, package: int, release: int | None) -> None:
    severities = [{"scheme": "CVSS", "value": {"vector": advisory.vector, "version": "3.1"}, "rank": 1}]
    told = {
        "id": advisory.name, "description": f"about {advisory.package}", "aliases": list(advisory.aliases),
        "severities": severities if advisory.vector else [],
    }  # fmt: skip
    version = {"type": _FORMATS[advisory.kind], "constraint": advisory.constraint}
    fix = {"version": advisory.fixed, "state": "fixed" if advisory.fixed else "not-fixed"}
    columns = "vulnerability_handles (name, status, published_date, modified_date, provider_id, blob_id)"
    blob = _blob(connection, told)
    vulnerability = _insert(connection, columns, advisory.name, "active", TIME, TIME, "test", blob)
    ranges = _blob(connection, {"ranges": [{"version": version, "fix": fix}]})
    columns = "affected_package_handles (vulnerability_id, operating_system_id, package_id, blob_id)"
    _insert(connection, columns, vulnerability, release, package, ranges)


def _blob(connection: sqlite3.Connection, value: object) -> int:
    return _insert(connection, "blobs (value)", json.dumps(value))


def _insert(connection: sqlite3.Connection, columns: str, *values: object) -> int:
    marks = ", ".join("?" * len(values))
    row = connection.execute(f"INSERT INTO {columns} VALUES ({marks})", values).lastrowid
    assert row is not None
    return row
