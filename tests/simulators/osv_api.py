"""An OSV service on loopback, for tools that ask one: `POST /v1/query` with a PyPI package and a version.

Which records are about a version is found by the algorithm of the OSV schema ("Evaluation"), with packaging's versions:
written down again here, so that agreement with ours means something.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tests.simulators.registry import Exchange, Registry, Reply

Json = dict[str, Any]
_ORDER = ("fixed", "introduced", "last_affected", "limit")


@contextmanager
def osv_api(records: Sequence[Json]) -> Iterator[str]:
    """The address to give as `--osv-url`."""

    def query(exchange: Exchange) -> None:
        asked = json.loads(exchange.body)
        name, version = canonicalize_name(asked["package"]["name"]), Version(asked["version"])
        found = [
            record for record in records if any(_is_affected(entry, name, version) for entry in record["affected"])
        ]
        body = json.dumps({"vulns": found} if found else {}).encode()
        exchange.send(Reply(200, {"Content-Type": "application/json"}, body))

    with Registry() as server:
        server.on("^/v1/query$", query, method="POST")
        yield f"{server.url}/v1/query"


def _is_affected(entry: Json, name: str, version: Version) -> bool:
    package = entry["package"]
    if package["ecosystem"] != "PyPI" or canonicalize_name(package["name"]) != name:
        return False
    listed = any(_version(text) == version for text in entry.get("versions", ()))
    return listed or any(_in_range(found, version) for found in entry.get("ranges", ()))


def _in_range(found: Json, version: Version) -> bool:
    events = [(kind, text) for event in found["events"] for kind, text in event.items()]
    versions = {text: Version("0.dev0") if text == "0" else _version(text) for _, text in events}
    if found["type"] != "ECOSYSTEM" or None in versions.values():
        return False
    limits = [text for kind, text in events if kind == "limit"]
    if limits and not any(text == "*" or version < Version(text) for text in limits):
        return False
    is_in = False
    # At one version: `fixed` is before it, `last_affected` behind it.
    for kind, text in sorted(events, key=lambda event: (versions[event[1]], _ORDER.index(event[0]))):
        edge = versions[text]
        assert edge is not None
        if kind == "introduced" and version >= edge:
            is_in = True
        elif (kind == "fixed" and version >= edge) or (kind == "last_affected" and version > edge):
            is_in = False
    return is_in


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("9999!0") if text == "*" else None
