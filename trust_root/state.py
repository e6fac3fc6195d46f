"""What a site remembers, as one document: parse beside format, nothing of disks.

    state.json   canonical JSON: generation, time floor, digest of site.toml, the log's last line, per pin roots,
                 newest targets, versions of the exporters' keys, and the streams' accepted inventories; and the
                 checkpoints of transparency logs (logs.py); and, where something is kept of deliveries, the
                 digest of the list of it (keeping.py)

Rules of this module:
- The document holds digests; the bytes that they name (settings, roots, targets) lie beside it.
- A generation is written whole. Its log line is part of it (`log_line`) and names the digest of all the rest, so that
  a log which missed it by a power cut can be completed, while a log that was cut, a state that was put back from an old
  copy, and a bit that rotted in either are noticed.
- A pin is never taken out. One that was given up names the pin in its place, and its history stays readable.
- Whatever does not parse exactly is TrustError ``state-damaged``: state is never rebuilt in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bundler import limits
from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_canonical
from bundler.value import dataclass, replace
from trust_root.logs import LogRecord, format_logs, parse_logs
from trust_root.roles import SNAPSHOT, TIMESTAMP, parse_stream
from trust_root.settings import parse_site_name
from trust_root.state_log import damaged, format_log_line

STATE_FORMAT = 1
_MANY = 10_000_000  # the file's size bounds the lists


@dataclass(frozen=True, slots=True)
class Accepted:
    """One inventory that this site accepted."""

    sequence: int
    inventory: Digest
    previous: Digest | None
    created_at: datetime
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """What a site knows of a stream; `accepted` is sorted by sequence, the last one is the newest."""

    version: int
    metadata: Digest
    accepted: tuple[Accepted, ...]

    @property
    def newest(self) -> Accepted:
        """The accepted inventory with the highest sequence."""
        return self.accepted[-1]


@dataclass(frozen=True, slots=True)
class OnlineVersion:
    """The highest version of timestamp or snapshot seen from one exporter's key."""

    role: str
    key: Digest
    version: int


@dataclass(frozen=True, slots=True)
class Retirement:
    """How a pin was given up: `trust reanchor` put another one in its place.

    Attributes:
        at: when.
        successor: the pin in its place.
        operators: names of those who did it.
        reason: what they typed.
    """

    at: datetime
    successor: Digest
    operators: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class PinRecord:
    """What a site knows below one pinned root.

    Attributes:
        pin: SHA-256 of the pinned root.
        pinned_at: when it was pinned.
        roots: (version, digest), ascending.
        targets: (version, digest) of the newest accepted targets' metadata, or None before the first bundle.
        online: versions by role and key.
        streams: records by stream name.
        retired: how it was given up, or None while bundles are trusted from it on.
    """

    pin: Digest
    pinned_at: datetime
    roots: tuple[tuple[int, Digest], ...]
    targets: tuple[int, Digest] | None
    online: tuple[OnlineVersion, ...]
    streams: Mapping[str, StreamRecord]
    retired: Retirement | None = None


@dataclass(frozen=True, slots=True)
class SiteState:
    """One generation of all that a site remembers.

    Attributes:
        generation: counts up by one with each change.
        floor: the latest time that an accepted bundle proved, or None.
        site: the site's name, or None.
        settings: SHA-256 of `site.toml`, as it was last accepted by hand.
        pins: one record per pinned root, sorted by digest.
        log_lines: how many lines the log has, this generation's included.
        log_line: the last of them, without its line feed.
        logs: checkpoints of transparency logs, sorted by tree.
        kept: digest of the list of what is kept of deliveries (keeping.py), or None.
    """

    generation: int
    floor: datetime | None
    site: str | None
    settings: Digest
    pins: tuple[PinRecord, ...]
    log_lines: int = 0
    log_line: str = ""
    logs: tuple[LogRecord, ...] = ()
    kept: Digest | None = None


def parse_state(raw: bytes) -> SiteState:
    """Parse `state.json`, the inverse of `format_state`.

    Raises:
        TrustError: code ``state-damaged``.
    """
    with damaged("state.json"):
        fields = Fields(parse_canonical(raw, "state.json", max_bytes=limits.STATE_FILE_BYTES), "state.json")
        kept = ("kept",) if "kept" in fields else ()
        fields.exactly("format", "generation", "floor", "site", "settings", "log", "pins", "logs", *kept)
        if fields.integer("format") != STATE_FORMAT:
            raise MalformedError("state-format", "state.json", got=str(fields.integer("format")), want="1")
        log = fields.fields("log")
        log.exactly("lines", "last")
        pins = tuple(_parse_pin(item) for item in fields.each("pins", maximum=_MANY))
        _check_pins(pins)
        state = SiteState(
            fields.integer("generation", minimum=1),
            None if fields.raw("floor") is None else parse_moment(fields.text("floor")),
            None if fields.raw("site") is None else parse_site_name(fields.text("site")),
            parse_digest(fields.text("settings")),
            pins,
            log.integer("lines", minimum=1),
            log.text("last"),
            parse_logs(fields, "logs"),
            parse_digest(fields.text("kept")) if kept else None,
        )
        _check_log_line(state)
        return state


def format_state(state: SiteState) -> bytes:
    """Bytes of `state.json`, the inverse of `parse_state`."""
    return format_canonical({**_body(state), "log": {"lines": state.log_lines, "last": state.log_line}}, "state.json")


def next_state(state: SiteState, log: Sequence[str], line: Mapping[str, Any]) -> SiteState:
    """The generation after `state`, with its log line, which names the digest of all else that it holds.

    Args:
        state: the state before, with what shall change changed in it.
        log: the lines so far.
        line: what happened.
    """
    after = replace(state, generation=state.generation + 1)
    text = format_log_line(
        log[-1] if log else None, {**line, "generation": after.generation, "state": str(_body_digest(after))}
    )
    return replace(after, log_lines=len(log) + 1, log_line=text)


def _body(state: SiteState) -> dict[str, Any]:
    return {
        "format": STATE_FORMAT,
        "generation": state.generation,
        "floor": None if state.floor is None else format_moment(state.floor),
        "site": state.site,
        "settings": str(state.settings),
        "pins": [_format_pin(pin) for pin in state.pins],
        "logs": format_logs(state.logs),
        **({} if state.kept is None else {"kept": str(state.kept)}),
    }


def _body_digest(state: SiteState) -> Digest:
    return sha256_of(format_canonical(_body(state), "state.json"))


def _parse_pin(fields: Fields) -> PinRecord:
    fields.exactly("pin", "pinned", "roots", "targets", "online", "streams", "retired")
    roots = tuple(_parse_versioned(item) for item in fields.each("roots", maximum=limits.ROOTS))
    versions = [version for version, _ in roots]
    if not roots or versions != list(range(versions[0], versions[0] + len(versions))):
        raise MalformedError("state", "state.json", "roots", got="a gap", want="consecutive versions")
    streams = {item.text("stream"): _parse_stream_record(item) for item in fields.each("streams", maximum=_MANY)}
    _check_ascending("streams", [item.text("stream") for item in fields.each("streams", maximum=_MANY)])
    online = tuple(_parse_online(item) for item in fields.each("online", maximum=_MANY))
    _check_ascending("online", [f"{item.role} {item.key}" for item in online])
    return PinRecord(
        parse_digest(fields.text("pin")),
        parse_moment(fields.text("pinned")),
        roots,
        None if fields.raw("targets") is None else _parse_versioned(fields.fields("targets")),
        online,
        streams,
        None if fields.raw("retired") is None else _parse_retirement(fields.fields("retired")),
    )


def _format_pin(pin: PinRecord) -> dict[str, Any]:
    return {
        "pin": str(pin.pin),
        "pinned": format_moment(pin.pinned_at),
        "roots": [_format_versioned(*root) for root in pin.roots],
        "targets": None if pin.targets is None else _format_versioned(*pin.targets),
        "online": [{"role": item.role, "key": str(item.key), "version": item.version} for item in pin.online],
        "streams": [
            {
                "stream": name,
                "version": pin.streams[name].version,
                "metadata": str(pin.streams[name].metadata),
                "accepted": [_format_accepted(item) for item in pin.streams[name].accepted],
            }
            for name in sorted(pin.streams)
        ],
        "retired": None if pin.retired is None else _format_retirement(pin.retired),
    }


def _parse_retirement(fields: Fields) -> Retirement:
    fields.exactly("at", "successor", "operators", "reason")
    return Retirement(
        parse_moment(fields.text("at")),
        parse_digest(fields.text("successor")),
        fields.texts("operators", maximum=limits.OPERATORS),
        fields.text("reason"),
    )


def _format_retirement(retired: Retirement) -> dict[str, Any]:
    return {
        "at": format_moment(retired.at),
        "successor": str(retired.successor),
        "operators": list(retired.operators),
        "reason": retired.reason,
    }


def _parse_versioned(fields: Fields) -> tuple[int, Digest]:
    fields.exactly("version", "digest")
    return fields.integer("version", minimum=1, maximum=MAX_SAFE_INTEGER), parse_digest(fields.text("digest"))


def _format_versioned(version: int, digest: Digest) -> dict[str, Any]:
    return {"version": version, "digest": str(digest)}


def _parse_online(fields: Fields) -> OnlineVersion:
    fields.exactly("role", "key", "version")
    if fields.text("role") not in {SNAPSHOT, TIMESTAMP}:
        raise MalformedError(
            "state", "state.json", "online", got=fields.text("role")[:40], want="snapshot or timestamp"
        )
    return OnlineVersion(fields.text("role"), parse_digest(fields.text("key")), fields.integer("version", minimum=1))


def _parse_stream_record(fields: Fields) -> StreamRecord:
    fields.exactly("stream", "version", "metadata", "accepted")
    parse_stream(fields.text("stream"))
    accepted = tuple(_parse_accepted(item) for item in fields.each("accepted", maximum=_MANY))
    sequences = [item.sequence for item in accepted]
    if not accepted or sequences != sorted(set(sequences)):
        raise MalformedError("state", "state.json", "accepted", got="out of order", want="ascending sequences")
    return StreamRecord(fields.integer("version", minimum=1), parse_digest(fields.text("metadata")), accepted)


def _parse_accepted(fields: Fields) -> Accepted:
    fields.exactly("sequence", "inventory", "previous", "created", "accepted")
    return Accepted(
        fields.integer("sequence", minimum=1),
        parse_digest(fields.text("inventory")),
        None if fields.raw("previous") is None else parse_digest(fields.text("previous")),
        parse_moment(fields.text("created")),
        parse_moment(fields.text("accepted")),
    )


def _format_accepted(accepted: Accepted) -> dict[str, Any]:
    return {
        "sequence": accepted.sequence,
        "inventory": str(accepted.inventory),
        "previous": None if accepted.previous is None else str(accepted.previous),
        "created": format_moment(accepted.created_at),
        "accepted": format_moment(accepted.accepted_at),
    }


def _check_log_line(state: SiteState) -> None:
    line = Fields(parse_canonical(state.log_line.encode(), "state.json"), "state.json", "log.last")
    body = _body_digest(state)
    if line.raw("generation") != state.generation or line.raw("state") != str(body):
        raise MalformedError("state", "state.json", "log.last", got="of another generation", want=str(body))


def _check_pins(pins: Sequence[PinRecord]) -> None:
    """Sorted, each once; whoever was given up leads to a pin that still stands."""
    _check_ascending("pins", [str(pin.pin) for pin in pins])
    by_digest = {pin.pin: pin for pin in pins}
    for pin in pins:
        followed, current = 0, pin
        while current.retired is not None:
            following = by_digest.get(current.retired.successor)
            followed += 1
            if following is None or followed > len(pins):
                raise MalformedError("state", "state.json", "retired", got="leads nowhere", want="a pin that stands")
            current = following


def _check_ascending(where: str, keys: list[str]) -> None:
    if keys != sorted(set(keys)):
        raise MalformedError("state", "state.json", where, got="out of order or twice", want="each once, sorted")
