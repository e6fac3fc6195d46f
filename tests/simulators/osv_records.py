"""OSV records made by hand, and zips of them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def osv_record(
    record_id: str = "GHSA-aaaa-bbbb-cccc",
    *,
    ecosystem: str = "PyPI",
    name: str = "flask",
    fixed: str | None = "2.0",
    modified: str = "2026-10-11T00:00:00Z",
    published: str = "2026-01-01T00:00:00Z",
    severity: str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    aliases: Sequence[str] = (),
) -> dict[str, Any]:
    """One package, affected from its first version on."""
    events: list[dict[str, str]] = [{"introduced": "0"}]
    if fixed is not None:
        events.append({"fixed": fixed})
    return {
        "schema_version": "1.6.0",
        "id": record_id,
        "modified": modified,
        "published": published,
        "aliases": list(aliases),
        "summary": "a flaw",
        "severity": [{"type": "CVSS_V3", "score": severity}],
        "affected": [
            {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
        ],
    }


def osv_zip(records: Sequence[Mapping[str, Any]]) -> bytes:
    """A dump as OSV publishes it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for record in records:
            archive.writestr(zipfile.ZipInfo(f"{record['id']}.json"), json.dumps(record))
    return target.getvalue()


def write_folder(folder: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """The same as files."""
    folder.mkdir(parents=True)
    for record in records:
        (folder / f"{record['id']}.json").write_text(json.dumps(record))
    return folder
