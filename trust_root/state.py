"""What a site remembers, as one document: parse beside format, nothing of disks.

    state.json   canonical JSON: generation, time floor, the log's last line, and per pin
                 roots, newest targets, versions of the exporters' keys, and the streams' accepted inventories
    log.jsonl    one canonical JSON object a line; each names the SHA-256 of the line before it

Rules of this module:
- The document holds digests; the bytes that they name (roots, targets) lie beside it by content.
- A generation is written whole. Its log line is part of it (`log_line`) and names the digest of all the rest, so that
  a log which missed it by a power cut can be completed, while a log that was cut, a state that was put back from an old
  copy, and a bit that rotted in either are noticed.
- Whatever does not parse exactly is TrustError ``state-damaged``: state is never rebuilt in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bundler import limits
from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError, TrustError
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_canonical
from trust_root.roles import SNAPSHOT, TIMESTAMP, parse_stream

STATE_FORMAT = 1
ALARM = "alarm"  # the one kind of log line that belongs to no generation
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
class PinRecord:
    """What a site knows below one pinned root.

    Attributes:
        pin: SHA-256 of the pinned root.
        pinned_at: when it was pinned.
        roots: (version, digest), ascending.
        targets: (version, digest) of the newest accepted targets' metadata, or None before the first bundle.
        online: versions by role and key.
        streams: records by stream name.
    """

    pin: Digest
    pinned_at: datetime
    roots: tuple[tuple[int, Digest], ...]
    targets: tuple[int, Digest] | None
    online: tuple[OnlineVersion, ...]
    streams: Mapping[str, StreamRecord]


@dataclass(frozen=True, slots=True)
class SiteState:
    """One generation of all that a site remembers.

    Attributes:
        generation: counts up by one with each change.
        floor: the latest time that an accepted bundle proved, or None.
        pins: one record per pinned root, sorted by digest.
        log_lines: how many lines the log has, this generation's included.
        log_line: the last of them, without its line feed.
    """

    generation: int
    floor: datetime | None
    pins: tuple[PinRecord, ...]
    log_lines: int
    log_line: str


def parse_state(raw: bytes) -> SiteState:
    """Parse `state.json`, the inverse of `format_state`.

    Raises:
        TrustError: code ``state-damaged``.
    """
    with damaged("state.json"):
        fields = Fields(parse_canonical(raw, "state.json", max_bytes=limits.STATE_FILE_BYTES), "state.json")
        fields.exactly("format", "generation", "floor", "log", "pins")
        if fields.integer("format") != STATE_FORMAT:
            raise MalformedError("state-format", "state.json", got=str(fields.integer("format")), want="1")
        log = fields.fields("log")
        log.exactly("lines", "last")
        pins = tuple(_parse_pin(item) for item in fields.each("pins", maximum=_MANY))
        _check_ascending("state.json", [str(pin.pin) for pin in pins])
        state = SiteState(
            fields.integer("generation", minimum=1),
            None if fields.raw("floor") is None else parse_moment(fields.text("floor")),
            pins,
            log.integer("lines", minimum=1),
            log.text("last"),
        )
        _check_log_line(state)
        return state


def format_state(state: SiteState) -> bytes:
    """Bytes of `state.json`, the inverse of `parse_state`."""
    value = _body(state.generation, state.floor, state.pins)
    return format_canonical({**value, "log": {"lines": state.log_lines, "last": state.log_line}}, "state.json")


def next_state(
    generation: int, floor: datetime | None, pins: tuple[PinRecord, ...], log: Sequence[str], line: Mapping[str, Any]
) -> SiteState:
    """A generation with its log line, which names the digest of all else that the generation holds."""
    body = sha256_of(format_canonical(_body(generation, floor, pins), "state.json"))
    before = log[-1] if log else None
    text = format_log_line(before, {**line, "generation": generation, "state": str(body)})
    return SiteState(generation, floor, pins, len(log) + 1, text)


def _body(generation: int, floor: datetime | None, pins: Sequence[PinRecord]) -> dict[str, Any]:
    return {
        "format": STATE_FORMAT,
        "generation": generation,
        "floor": None if floor is None else format_moment(floor),
        "pins": [_format_pin(pin) for pin in pins],
    }


def format_log_line(before: str | None, line: Mapping[str, Any]) -> str:
    """A log line that names the line before it; the first one names null."""
    previous = None if before is None else str(sha256_of(before.encode()))
    return format_canonical({**line, "previous": previous}, "log.jsonl").decode()


def format_log(lines: Sequence[str]) -> bytes:
    """Bytes of `log.jsonl`, the inverse of `parse_log`."""
    return "".join(f"{line}\n" for line in lines).encode()


def parse_log(raw: bytes) -> tuple[str, ...]:
    """The lines of `log.jsonl`, each proved to follow the one before it.

    Raises:
        TrustError: code ``state-damaged``.
    """
    with damaged("log.jsonl"):
        text = raw.decode("utf-8", errors="replace")
        if text and not text.endswith("\n"):
            raise MalformedError("log", "log.jsonl", got="a torn last line", want="whole lines")
        lines = tuple(text.split("\n")[:-1])
        before: str | None = None
        for number, line in enumerate(lines, 1):
            fields = Fields(parse_canonical(line.encode("utf-8", errors="replace"), f"log.jsonl line {number}"), "log")
            wanted = None if before is None else str(sha256_of(before.encode()))
            if fields.raw("previous") != wanted or not fields.text("kind"):
                raise MalformedError("log", "log.jsonl", f"line {number}", got="a broken chain", want=str(wanted))
            before = line
        return lines


def log_kind(line: str) -> str:
    """Kind of a line that `parse_log` gave."""
    return Fields(parse_canonical(line.encode(), "log.jsonl"), "log.jsonl").text("kind")


@contextmanager
def damaged(which: str) -> Iterator[None]:
    """Turn MalformedError into TrustError ``state-damaged``."""
    try:
        yield
    except MalformedError as error:
        raise state_damaged(which, str(error)) from error


def state_damaged(which: str, got: str) -> TrustError:
    """The error for state that is not what this site wrote."""
    return TrustError(
        "state-damaged",
        "state",
        which,
        got=got,
        want="what sealift wrote",
        hints=["put the folder back from a backup, or pin anew into another folder (--state); nothing was rebuilt"],
    )


def _parse_pin(fields: Fields) -> PinRecord:
    fields.exactly("pin", "pinned", "roots", "targets", "online", "streams")
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
    body = sha256_of(format_canonical(_body(state.generation, state.floor, state.pins), "state.json"))
    if line.raw("generation") != state.generation or line.raw("state") != str(body):
        raise MalformedError("state", "state.json", "log.last", got="of another generation", want=str(body))


def _check_ascending(where: str, keys: list[str]) -> None:
    if keys != sorted(set(keys)):
        raise MalformedError("state", "state.json", where, got="out of order or twice", want="each once, sorted")
