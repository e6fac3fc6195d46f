"""The inventory: our signed list of images, evidence and blobs (FORMAT.md, "Inventory").

Rules of this module:
- Canonical JSON only; `format_inventory(parse_inventory(raw)) == raw`.
- `format`, then `critical`, are judged before any other field: a newer format is unsupported, not malformed.
- Unknown fields are refused, at every level; nothing has a default. `logs` and `data` are there exactly when they are
  not empty.
- A parsed inventory is consistent in itself (inventory_rules.py); so is one that the exporter built, when it is
  formatted. What the listed manifests say is not known here: verify/completeness.py compares it.
- The caller has compared the bytes with length and digest in the stream's signed metadata before they come here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bundler import limits
from bundler.archive.contents import (
    Blob,
    Data,
    Evidence,
    GrowthProof,
    Image,
    Inventory,
    LogGrowth,
    Omission,
    PlatformChild,
    Search,
    Storage,
)
from bundler.archive.growth import format_growth, parse_growth
from bundler.archive.inventory_rules import check_rules
from bundler.archive.layout import layout_index
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError, UnsupportedError
from bundler.evidence.kind import LOG_ENTRY
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_canonical
from bundler.version import FORMAT_VERSION

__all__ = [
    "Blob",
    "Data",
    "Evidence",
    "GrowthProof",
    "Image",
    "Inventory",
    "LogGrowth",
    "Omission",
    "PlatformChild",
    "Search",
    "Storage",
    "data_fields",
    "format_inventory",
    "layout_index",
    "parse_inventory",
]

KNOWN_CRITICAL: frozenset[str] = frozenset()  # names whose meaning a reader must know; format 1 starts with none

_WHAT = "inventory"
_KEYS = (
    *("format", "critical", "stream", "sequence", "previous"),
    *("audience", "created", "tool", "images", "blobs"),
)
_OPTIONAL_KEYS = ("logs", "data")
_IMAGE_KEYS = (
    *("name", "digest", "digest_origin", "media_type", "size", "source"),
    *("platforms", "omitted", "evidence", "searches"),
)
_EVIDENCE_KEYS = ("kind", "subject", "digest", "media_type", "size", "found_by")
_DATA_KEYS = ("kind", "source", "modified", "records", "digest", "media_type", "size")
_LOG_ENTRY_KEYS = ("augments", "log", "fetched_at")


def parse_inventory(raw: bytes) -> Inventory:
    """Parse and check the bytes of `inventory.json`.

    Raises:
        UnsupportedError: another format (code ``format``), a critical name that this version does not know
            (``critical``), or a kind of evidence or of digest that it does not know.
        MalformedError: anything else that is not exactly an inventory of format 1.
    """
    fields = Fields(parse_canonical(raw, _WHAT, max_bytes=limits.INVENTORY_BYTES), _WHAT)
    _check_format(fields)
    fields.exactly(*_KEYS, *(key for key in _OPTIONAL_KEYS if key in fields))
    return check_rules(
        Inventory(
            stream=fields.text("stream"),
            sequence=fields.integer("sequence", minimum=1, maximum=MAX_SAFE_INTEGER),
            previous=None if fields.raw("previous") is None else _digest(fields, "previous"),
            audience=fields.texts("audience", maximum=limits.AUDIENCE_SITES),
            created_at=parse_moment(fields.text("created")),
            tool=fields.text("tool"),
            images=tuple(map(_parse_image, fields.each("images", maximum=limits.INVENTORY_IMAGES))),
            blobs=tuple(map(_parse_blob, fields.each("blobs", maximum=limits.INVENTORY_BLOBS))),
            logs=tuple(map(parse_growth, _some(fields, "logs", limits.LOG_TREES))),
            data=tuple(map(_parse_data, _some(fields, "data", limits.INVENTORY_DATA))),
        )
    )


def format_inventory(inventory: Inventory) -> bytes:
    """The bytes of `inventory.json`; `parse_inventory` of them gives `inventory`.

    Raises:
        MalformedError, UnsupportedError: the inventory breaks a rule; nothing that a reader would refuse gets written.
    """
    check_rules(inventory)
    raw = format_canonical(
        {
            "format": FORMAT_VERSION,
            "critical": [],
            "stream": inventory.stream,
            "sequence": inventory.sequence,
            "previous": None if inventory.previous is None else str(inventory.previous),
            "audience": inventory.audience,
            "created": format_moment(inventory.created_at),
            "tool": inventory.tool,
            "images": [_image_fields(image) for image in inventory.images],
            "blobs": [_blob_fields(blob) for blob in inventory.blobs],
            **({"logs": [format_growth(growth) for growth in inventory.logs]} if inventory.logs else {}),
            **({"data": [data_fields(data) for data in inventory.data]} if inventory.data else {}),
        },
        _WHAT,
    )
    if len(raw) > limits.INVENTORY_BYTES:
        raise MalformedError("limits", _WHAT, got=f"{len(raw)} bytes", want=f"at most {limits.INVENTORY_BYTES}")
    return raw


def _some(fields: Fields, key: str, maximum: int) -> Iterator[Fields]:
    """Entries of a list that stands there only when it has some; an empty one would be a second spelling of none."""
    if key not in fields:
        return
    if not fields.items(key, maximum=maximum):
        raise MalformedError("field-value", _WHAT, key, got="an empty list", want=f"no such field, or some {key}")
    yield from fields.each(key, maximum=maximum)


def _check_format(fields: Fields) -> None:
    version = fields.integer("format", maximum=MAX_SAFE_INTEGER)
    if version != FORMAT_VERSION:
        raise UnsupportedError(
            "format", _WHAT, "format", got=str(version), want=str(FORMAT_VERSION), hints=["use a newer sealift"]
        )
    critical = fields.texts("critical", maximum=limits.CRITICAL_NAMES)
    if list(critical) != sorted(set(critical)):
        raise MalformedError("order", _WHAT, "critical", got="unsorted or repeated names", want="sorted, each once")
    unknown = [name for name in critical if name not in KNOWN_CRITICAL]
    if unknown:
        raise UnsupportedError(
            "critical", _WHAT, "critical", got=unknown[0][:80], want="a known name", hints=["use a newer sealift"]
        )


def _parse_image(fields: Fields) -> Image:
    fields.exactly(*_IMAGE_KEYS)
    return Image(
        name=fields.text("name"),
        digest=_digest(fields, "digest"),
        media_type=fields.text("media_type"),
        size_bytes=_size(fields, "size"),
        source=fields.text("source"),
        platforms=tuple(map(_parse_platform, fields.each("platforms", maximum=limits.IMAGE_NODES))),
        omitted=tuple(map(_parse_omission, fields.each("omitted", maximum=limits.IMAGE_NODES))),
        evidence=tuple(map(_parse_evidence, fields.each("evidence", maximum=limits.IMAGE_EVIDENCE))),
        searches=tuple(map(_parse_search, fields.each("searches", maximum=limits.IMAGE_SEARCHES))),
        digest_origin=fields.text("digest_origin"),
    )


def _parse_platform(fields: Fields) -> PlatformChild:
    fields.exactly("platform", "digest")
    return PlatformChild(fields.text("platform"), _digest(fields, "digest"))


def _parse_omission(fields: Fields) -> Omission:
    fields.exactly("digest", "media_type", "size", "platform")
    return Omission(
        _digest(fields, "digest"), fields.text("media_type"), _size(fields, "size"), fields.text("platform")
    )


def _parse_evidence(fields: Fields) -> Evidence:
    kind = fields.text("kind")
    is_log_entry = kind == LOG_ENTRY
    fields.exactly(*_EVIDENCE_KEYS, *(_LOG_ENTRY_KEYS if is_log_entry else ()))
    return Evidence(
        kind=kind,
        subject=_digest(fields, "subject"),
        digest=_digest(fields, "digest"),
        media_type=fields.text("media_type"),
        size_bytes=_size(fields, "size"),
        found_by=fields.text("found_by"),
        augments=_digest(fields, "augments") if is_log_entry else None,
        log=fields.text("log") if is_log_entry else "",
        fetched_at=parse_moment(fields.text("fetched_at")) if is_log_entry else None,
    )


def _parse_search(fields: Fields) -> Search:
    fields.exactly("subject", "place", "answer")
    return Search(_digest(fields, "subject"), fields.text("place"), fields.text("answer"))


def _parse_blob(fields: Fields) -> Blob:
    fields.exactly("digest", "size", "media_type", "stored", "stored_size", "stored_digest")
    return Blob(
        digest=_digest(fields, "digest"),
        size_bytes=_size(fields, "size"),
        media_type=fields.text("media_type"),
        stored=_storage(fields),
        stored_size_bytes=_size(fields, "stored_size"),
        stored_digest=_digest(fields, "stored_digest"),
    )


def _parse_data(fields: Fields) -> Data:
    fields.exactly(*_DATA_KEYS)
    return Data(
        kind=fields.text("kind"),
        source=fields.text("source"),
        modified_at=None if fields.raw("modified") is None else parse_moment(fields.text("modified")),
        records=None if fields.raw("records") is None else fields.integer("records", maximum=MAX_SAFE_INTEGER),
        digest=_digest(fields, "digest"),
        media_type=fields.text("media_type"),
        size_bytes=_size(fields, "size"),
    )


def _storage(fields: Fields) -> Storage:
    text = fields.text("stored")
    if text == "raw":
        return "raw"
    if text == "zstd":
        return "zstd"
    raise MalformedError("stored", _WHAT, f"{fields.where}.stored", got=repr(text)[:40], want="raw or zstd")


def _digest(fields: Fields, key: str) -> Digest:
    return parse_digest(fields.text(key))


def _size(fields: Fields, key: str) -> int:
    return fields.integer(key, maximum=limits.BLOB_BYTES)


def _image_fields(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "digest": str(image.digest),
        "digest_origin": image.digest_origin,
        "media_type": image.media_type,
        "size": image.size_bytes,
        "source": image.source,
        "platforms": [{"platform": child.platform, "digest": str(child.digest)} for child in image.platforms],
        "omitted": [_omission_fields(omission) for omission in image.omitted],
        "evidence": [_evidence_fields(evidence) for evidence in image.evidence],
        "searches": [
            {"subject": str(search.subject), "place": search.place, "answer": search.answer}
            for search in image.searches
        ],
    }


def _omission_fields(omission: Omission) -> dict[str, Any]:
    return {
        "digest": str(omission.digest),
        "media_type": omission.media_type,
        "size": omission.size_bytes,
        "platform": omission.platform,
    }


def _evidence_fields(evidence: Evidence) -> dict[str, Any]:
    value: dict[str, Any] = {
        "kind": evidence.kind,
        "subject": str(evidence.subject),
        "digest": str(evidence.digest),
        "media_type": evidence.media_type,
        "size": evidence.size_bytes,
        "found_by": evidence.found_by,
    }
    if evidence.augments is not None and evidence.fetched_at is not None:
        value |= {
            "augments": str(evidence.augments),
            "log": evidence.log,
            "fetched_at": format_moment(evidence.fetched_at),
        }
    return value


def _blob_fields(blob: Blob) -> dict[str, Any]:
    return {
        "digest": str(blob.digest),
        "size": blob.size_bytes,
        "media_type": blob.media_type,
        "stored": blob.stored,
        "stored_size": blob.stored_size_bytes,
        "stored_digest": str(blob.stored_digest),
    }


def data_fields(data: Data) -> dict[str, Any]:
    """One entry of `data` as the inventory spells it; other documents spell it the same."""
    return {
        "kind": data.kind,
        "source": data.source,
        "modified": None if data.modified_at is None else format_moment(data.modified_at),
        "records": data.records,
        "digest": str(data.digest),
        "media_type": data.media_type,
        "size": data.size_bytes,
    }
