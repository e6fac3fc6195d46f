"""The pending record of a trust repository: numbers that may have left the house in a file nobody knows of.

Two places: `pending` is the export under way; `settled` is an earlier one that ended in the dark and counts as
published until a later export is committed. Canonical JSON, parse beside format; the path is percent-encoded, since a
file's name may hold bytes that JSON cannot.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from bundler import limits
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError, TrustError
from bundler.fields import Fields
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_canonical
from bundler.value import dataclass

_VERSIONS = ("sequence", "stream_version", "snapshot_version", "timestamp_version")


@dataclass(frozen=True, slots=True)
class Pending:
    """One export's numbers, the digest of its inventory, and the file that it was writing."""

    sequence: int
    inventory: Digest
    stream_version: int
    snapshot_version: int
    timestamp_version: int
    temporary: str


@dataclass(frozen=True, slots=True)
class PendingFile:
    """Both places."""

    settled: Pending | None
    pending: Pending | None


def parse_pending(raw: bytes) -> PendingFile:
    """Parse the record, the inverse of `format_pending`.

    Raises:
        TrustError: code ``pending-damaged``; guessing a sequence could sign two histories.
    """
    try:
        fields = Fields(parse_canonical(raw, "pending", max_bytes=limits.SETTINGS_BYTES), "pending")
        fields.exactly("settled", "pending")
        return PendingFile(_parse(fields, "settled"), _parse(fields, "pending"))
    except MalformedError as error:
        raise TrustError(
            "pending-damaged",
            "trust repository",
            "pending",
            got=str(error),
            want="what sealift wrote",
            hints=["find out which sequence left last, then put the repository back from a backup that knows it"],
        ) from error


def format_pending(record: PendingFile) -> bytes:
    """Bytes of the record, the inverse of `parse_pending`."""
    return format_canonical({"settled": _format(record.settled), "pending": _format(record.pending)}, "pending")


def _parse(fields: Fields, key: str) -> Pending | None:
    if fields.raw(key) is None:
        return None
    item = fields.fields(key)
    item.exactly(*_VERSIONS, "inventory", "temporary")
    sequence, stream, snapshot, timestamp = (
        item.integer(name, minimum=1, maximum=MAX_SAFE_INTEGER) for name in _VERSIONS
    )
    temporary = os.fsdecode(unquote_to_bytes(item.text("temporary")))
    if _quote(temporary) != item.text("temporary"):
        raise MalformedError("not-canonical", "pending", key, got="another spelling of a path", want="the one spelling")
    return Pending(sequence, parse_digest(item.text("inventory")), stream, snapshot, timestamp, temporary)


def _quote(path: str) -> str:
    return quote_from_bytes(os.fsencode(path))


def _format(record: Pending | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "sequence": record.sequence,
        "inventory": str(record.inventory),
        "stream_version": record.stream_version,
        "snapshot_version": record.snapshot_version,
        "timestamp_version": record.timestamp_version,
        "temporary": _quote(record.temporary),
    }
