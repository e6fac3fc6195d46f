"""What a site remembers of transparency logs: checkpoints that it has verified, so that it notices when a log forks.

Rules of this module:
- A tree is known by the log's id and the checkpoint's origin: the shards of one log are trees of their own. The id is
  derived from the log's key, so nobody else can put words into its mouth, whatever pin a bundle came under.
- Of each tree one checkpoint is the `head`: proofs of growth start there. `loose` ones were verified too, and not yet
  proved to lie on the head's line; of these the largest are kept (`limits.LOG_LOOSE`).
- Each checkpoint keeps the note that the log signed, so that two that contradict each other convict the log.
- Nothing here can verify a note: whoever uses a checkpoint opens it again (bundler/verify/log_growth.py).
- `parse_logs` and `format_logs` are inverse. They write the site's state and what `trust state --export` hands out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bundler import limits
from bundler.digest import Digest, parse_digest
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.strict_json import MAX_SAFE_INTEGER
from bundler.value import dataclass, field

_HEX = re.compile(r"(?:[0-9a-f]{2}){1,64}", re.ASCII)
_ROOT = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEYS = ("size", "root", "note", "seen", "fetched", "stream", "sequence")


@dataclass(frozen=True, slots=True)
class LogCheckpoint:
    """A checkpoint that this site has verified.

    Attributes:
        tree_size: leaves, at least 1.
        root_hash: 32 bytes.
        note: the signed note: what the log signed, and its own signature.
        seen_at: the tree had this size by then: when the exporter asked the log, or, for a checkpoint that came in
            others' evidence, when the bundle was made.
        fetched: whether the exporter asked the log for it.
        stream: of the bundle that brought it; its exporter's clock is the one of `seen_at`.
        sequence: of that bundle.
        pin: below which it came; None where the state was written before this was remembered. Two exporters below two
            pins may call their streams alike.
    """

    tree_size: int
    root_hash: bytes
    note: bytes = field(repr=False)
    seen_at: datetime
    fetched: bool
    stream: str
    sequence: int
    pin: Digest | None = None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One tree of one log: its head, and the checkpoints not proved to lie on its line, ascending by size."""

    log_id: bytes
    origin: str
    head: LogCheckpoint
    loose: tuple[LogCheckpoint, ...] = ()

    @property
    def tree(self) -> tuple[bytes, str]:
        """What tells one tree from another."""
        return self.log_id, self.origin

    @property
    def checkpoints(self) -> tuple[LogCheckpoint, ...]:
        """The head, then the loose ones."""
        return self.head, *self.loose


def parse_logs(fields: Fields, key: str) -> tuple[LogRecord, ...]:
    """Read the list under `key`, the inverse of `format_logs`.

    Raises:
        MalformedError: any other shape, order, or a tree or size twice.
    """
    records = tuple(_parse_record(item) for item in fields.each(key, maximum=limits.LOG_TREES))
    trees = [record.tree for record in records]
    if trees != sorted(set(trees)):
        raise MalformedError("order", fields.what, key, got="out of order or twice", want="each tree once, sorted")
    return records


def format_logs(records: Sequence[LogRecord]) -> list[dict[str, Any]]:
    """The list, sorted by tree, as values for canonical JSON."""
    return [
        {
            "log": record.log_id.hex(),
            "origin": record.origin,
            "head": _format(record.head),
            "loose": [_format(item) for item in record.loose],
        }
        for record in sorted(records, key=lambda record: record.tree)
    ]


def _parse_record(fields: Fields) -> LogRecord:
    fields.exactly("log", "origin", "head", "loose")
    loose = tuple(_parse(item) for item in fields.each("loose", maximum=limits.LOG_LOOSE))
    head = _parse(fields.fields("head"))
    sizes = [item.tree_size for item in loose]
    if sizes != sorted(set(sizes)) or head.tree_size in sizes:
        raise MalformedError("order", fields.what, f"{fields.where}.loose", got="out of order or twice", want="sorted")
    return LogRecord(bytes.fromhex(_text(fields, "log", _HEX)), fields.text("origin"), head, loose)


def _parse(fields: Fields) -> LogCheckpoint:
    fields.exactly(*_KEYS, *(("pin",) if "pin" in fields else ()))
    note = decode_base64(fields.text("note"), fields.what, f"{fields.where}.note")
    if not 0 < len(note) <= limits.NOTE_BYTES:
        raise MalformedError(
            "limits", fields.what, f"{fields.where}.note", got=f"{len(note)} bytes", want=f"1 to {limits.NOTE_BYTES}"
        )
    return LogCheckpoint(
        tree_size=fields.integer("size", minimum=1, maximum=MAX_SAFE_INTEGER),
        root_hash=bytes.fromhex(_text(fields, "root", _ROOT)),
        note=note,
        seen_at=parse_moment(fields.text("seen")),
        fetched=fields.boolean("fetched"),
        stream=fields.text("stream"),
        sequence=fields.integer("sequence", minimum=1, maximum=MAX_SAFE_INTEGER),
        pin=parse_digest(fields.text("pin")) if "pin" in fields else None,
    )


def _format(item: LogCheckpoint) -> dict[str, Any]:
    return {
        "size": item.tree_size,
        "root": item.root_hash.hex(),
        "note": encode_base64(item.note),
        "seen": format_moment(item.seen_at),
        "fetched": item.fetched,
        "stream": item.stream,
        "sequence": item.sequence,
        **({} if item.pin is None else {"pin": str(item.pin)}),
    }


def _text(fields: Fields, key: str, grammar: re.Pattern[str]) -> str:
    text = fields.text(key)
    if not grammar.fullmatch(text):
        path = f"{fields.where}.{key}"
        raise MalformedError("field-value", fields.what, path, got=repr(text[:80]), want=grammar.pattern)
    return text
