"""The log of a site's state, `log.jsonl`: append-only and hash-chained; parse beside format, nothing of disks.

Rules of this module:
- One canonical JSON object a line, each naming the SHA-256 of the line before it; the first one names null.
- Each line belongs to one generation of `state.json`, alarms too, so that no line can be cut off unseen.
- Whatever does not parse exactly is TrustError ``state-damaged``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bundler.digest import sha256_of
from bundler.errors import MalformedError, TrustError
from bundler.fields import Fields
from bundler.strict_json import format_canonical, parse_canonical

ALARM = "alarm"  # a line about a bundle that was refused for more than its age
_OWN = frozenset({"at", "generation", "state", "previous"})


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


def repeats(before: str, line: Mapping[str, Any]) -> bool:
    """Whether a line says what the one before it said, but for its time and place in the log."""
    said = Fields(parse_canonical(before.encode(), "log.jsonl"), "log.jsonl")
    keys = set(said.keys()) - _OWN
    return keys == set(line) - _OWN and all(said.raw(key) == line[key] for key in keys)


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
