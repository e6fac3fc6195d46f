"""What a site hands to its exporters: how far it has come, for the next delivery to begin there.

    {"format":1,"kind":"sealift-site-state","site":…,"generation":…,"state":…,"floor":…,"pins":[…],"logs":[…]}

Rules of this module:
- Canonical JSON, parse beside format. Nothing secret, and nothing that the site ever reads back: whoever alters it can
  make the exporter bring too little or too much, and the site compares with its own memory.
- `state` is the digest that stands in the paper log book, so that an auditor can tell which generation was handed out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bundler import limits
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError, UnsupportedError
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_canonical
from bundler.value import dataclass
from trust_root.logs import LogRecord, format_logs, parse_logs
from trust_root.roles import parse_stream
from trust_root.settings import parse_site_name
from trust_root.state import PinRecord
from trust_root.state_folder import Snapshot

KIND = "sealift-site-state"
FORMAT = 1
_WHAT = "site state"


@dataclass(frozen=True, slots=True)
class StreamHead:
    """The newest delivery of a stream that the site accepted."""

    stream: str
    sequence: int
    inventory: Digest


@dataclass(frozen=True, slots=True)
class PinHead:
    """Below one pin: versions of the newest root and targets, and the streams' newest deliveries."""

    pin: Digest
    root_version: int
    targets_version: int | None
    retired: bool
    streams: tuple[StreamHead, ...]


@dataclass(frozen=True, slots=True)
class SiteHeads:
    """How far a site has come.

    Attributes:
        site: its name, if it has one.
        generation, state: number and digest of the state's document.
        floor: its time floor, or None.
        pins: sorted by digest.
        logs: the transparency logs' checkpoints that it has verified.
    """

    site: str | None
    generation: int
    state: Digest
    floor: datetime | None
    pins: tuple[PinHead, ...]
    logs: tuple[LogRecord, ...] = ()


def heads_of(name: str | None, loaded: Snapshot) -> SiteHeads:
    """How far the site `name` has come, from the generation in hand."""
    state = loaded.state
    pins = tuple(map(_head, state.pins))
    return SiteHeads(name, state.generation, loaded.digest, state.floor, pins, state.logs)


def format_heads(heads: SiteHeads) -> bytes:
    """The file's bytes, the inverse of `parse_heads`."""
    document = {
        "format": FORMAT,
        "kind": KIND,
        "site": heads.site,
        "generation": heads.generation,
        "state": str(heads.state),
        "floor": None if heads.floor is None else format_moment(heads.floor),
        "pins": [_format_pin(pin) for pin in heads.pins],
        "logs": format_logs(heads.logs),
    }
    return format_canonical(document, _WHAT)


def parse_heads(raw: bytes) -> SiteHeads:
    """Parse what `trust state --export` wrote.

    Raises:
        MalformedError: another form. UnsupportedError: a later format (``format``).
    """
    fields = Fields(parse_canonical(raw, _WHAT, max_bytes=limits.STATE_FILE_BYTES), _WHAT)
    if fields.text("kind") != KIND:
        raise MalformedError("field-value", _WHAT, "kind", got=fields.text("kind")[:40], want=KIND)
    if fields.integer("format", minimum=1) != FORMAT:
        raise UnsupportedError("format", _WHAT, got=f"format {fields.integer('format')}", want=f"format {FORMAT}")
    fields.exactly("format", "kind", "site", "generation", "state", "floor", "pins", "logs")
    return SiteHeads(
        None if fields.raw("site") is None else parse_site_name(fields.text("site")),
        fields.integer("generation", minimum=1, maximum=MAX_SAFE_INTEGER),
        parse_digest(fields.text("state")),
        None if fields.raw("floor") is None else parse_moment(fields.text("floor")),
        tuple(_parse_pin(item) for item in fields.each("pins", maximum=limits.TRUST_TARGETS)),
        parse_logs(fields, "logs"),
    )


def _head(record: PinRecord) -> PinHead:
    return PinHead(
        record.pin,
        record.roots[-1][0],
        None if record.targets is None else record.targets[0],
        record.retired is not None,
        tuple(
            StreamHead(name, record.streams[name].newest.sequence, record.streams[name].newest.inventory)
            for name in sorted(record.streams)
        ),
    )


def _format_pin(pin: PinHead) -> dict[str, Any]:
    return {
        "pin": str(pin.pin),
        "root": pin.root_version,
        "targets": pin.targets_version,
        "retired": pin.retired,
        "streams": [
            {"stream": item.stream, "sequence": item.sequence, "inventory": str(item.inventory)} for item in pin.streams
        ],
    }


def _parse_pin(fields: Fields) -> PinHead:
    fields.exactly("pin", "root", "targets", "retired", "streams")
    targets = None
    if fields.raw("targets") is not None:
        targets = fields.integer("targets", minimum=1, maximum=MAX_SAFE_INTEGER)
    return PinHead(
        parse_digest(fields.text("pin")),
        fields.integer("root", minimum=1, maximum=MAX_SAFE_INTEGER),
        targets,
        fields.boolean("retired"),
        tuple(_parse_stream(item) for item in fields.each("streams", maximum=limits.TRUST_STREAMS)),
    )


def _parse_stream(fields: Fields) -> StreamHead:
    fields.exactly("stream", "sequence", "inventory")
    return StreamHead(
        parse_stream(fields.text("stream")),
        fields.integer("sequence", minimum=1, maximum=MAX_SAFE_INTEGER),
        parse_digest(fields.text("inventory")),
    )
