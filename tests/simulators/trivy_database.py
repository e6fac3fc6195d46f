"""A vulnerability database as trivy keeps it (schema 2), written for tests: `db/trivy.db` and `db/metadata.json`.

    write_trivy_database(cache, {
        "debian 12": {"openssl": {"CVE-2026-1": {"FixedVersion": "3.0.9-1"}}},
        "pip::GitHub Security Advisory Pip": {"flask": {"CVE-2026-2": {"VulnerableVersions": ["<2.2.5"]}}},
        "vulnerability": {"CVE-2026-1": {"Title": "…"}},
    })

`trivy.db` is a bbolt file. Of that format only what a reader needs is written: two meta pages, an empty list of free
pages, and one leaf page (with as many overflow pages as it takes) for each bucket.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PAGE = 4096
_MAGIC, _VERSION = 0xED0CDAED, 2
_META, _LEAF, _FREE = 0x04, 0x02, 0x10
_IS_BUCKET = 0x01
_HEADER, _ELEMENT = struct.Struct("<QHHI"), struct.Struct("<IIII")
TIME = "2026-11-01T00:00:00Z"


def write_trivy_database(cache: Path, buckets: Mapping[str, Any], *, schema: int = 2) -> Path:
    """Write it into trivy's cache folder; a bucket is a mapping whose values are buckets, and else JSON.

    A value of a bucket two levels down, and one of `vulnerability` and `data-source`, is JSON.
    """
    folder = cache / "db"
    folder.mkdir(parents=True)
    (folder / "trivy.db").write_bytes(_Bolt().file(buckets))
    told = {"Version": schema, "NextUpdate": TIME, "UpdatedAt": TIME, "DownloadedAt": TIME}
    (folder / "metadata.json").write_text(json.dumps(told))
    return cache


class _Bolt:
    """The pages of one file."""

    def __init__(self) -> None:
        self._pages: list[bytes] = []

    def file(self, buckets: Mapping[str, Any]) -> bytes:
        """All of it."""
        roots = {
            name: self._bucket({key: _json(value) for key, value in inner.items()})
            if name in ("vulnerability", "data-source")
            else self._bucket(
                {
                    package: self._bucket({key: _json(value) for key, value in rows.items()})
                    for package, rows in inner.items()
                }
            )
            for name, inner in buckets.items()
        }
        root = self._bucket(roots)[1:]
        free = _HEADER.pack(2, _FREE, 0, 0).ljust(_PAGE, b"\0")
        used = 3 + sum(len(page) for page in self._pages) // _PAGE
        metas = [_meta(number, root, used) for number in (0, 1)]
        return b"".join([*metas, free, *self._pages])

    def _bucket(self, items: Mapping[str, bytes]) -> bytes:
        """Add its page; its value in the bucket above, after a byte that says what it is."""
        number = 3 + sum(len(page) for page in self._pages) // _PAGE
        heads, body = [], bytearray()
        ordered = sorted((key.encode(), value) for key, value in items.items())
        for place, (key, value) in enumerate(ordered):
            at = (len(ordered) - place) * _ELEMENT.size + len(body)
            heads.append(_ELEMENT.pack(value[0], at, len(key), len(value) - 1))
            body += key + value[1:]
        size = _HEADER.size + len(ordered) * _ELEMENT.size + len(body)
        pages = -(-size // _PAGE)
        header = _HEADER.pack(number, _LEAF, len(ordered), pages - 1)
        self._pages.append(b"".join([header, *heads, bytes(body)]).ljust(pages * _PAGE, b"\0"))
        return bytes([_IS_BUCKET]) + struct.pack("<QQ", number, 0)


def _meta(number: int, root: bytes, used: int) -> bytes:
    body = struct.pack("<IIII", _MAGIC, _VERSION, _PAGE, 0) + root + struct.pack("<QQQ", 2, used, number + 1)
    page = _HEADER.pack(number, _META, 0, 0) + body + struct.pack("<Q", _fnv(body))
    return page.ljust(_PAGE, b"\0")


def _fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


def _json(value: Any) -> bytes:
    """A value that is no bucket."""
    return b"\0" + json.dumps(value).encode()
