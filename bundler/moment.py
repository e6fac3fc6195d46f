"""Points in time: aware datetimes in UTC, and their exact text (RFC 3339, THREATS T14).

Rules: no naive datetime anywhere; nothing here reads a clock (the clock is the command line's door); text that we sign
has whole seconds and ends in `Z`; text of others may have fractions.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from bundler.errors import MalformedError
from bundler.value import dataclass

_HOUR = r"(?:[01]\d|2[0-3])"  # some versions of Python read 24:00, which is a second spelling of the next day
_SIGNED = re.compile(rf"\d{{4}}-\d\d-\d\dT{_HOUR}:\d\d:\d\dZ", re.ASCII)
_FOREIGN = re.compile(rf"(\d{{4}}-\d\d-\d\dT{_HOUR}:\d\d:\d\d)(?:\.(\d{{1,9}}))?(Z|[+-]{_HOUR}:[0-5]\d)", re.ASCII)
_TYPED = re.compile(rf"\d{{4}}-\d\d-\d\d(T{_HOUR}:\d\d(:\d\d)?Z)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """A closed interval of time: both ends belong to it. Without an end it is still open."""

    start: datetime
    end: datetime | None = None

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment and (self.end is None or moment <= self.end)

    def __str__(self) -> str:
        return f"{self.start.isoformat()} to {self.end.isoformat() if self.end else 'now'}"


def format_moment(moment: datetime) -> str:
    """`2026-11-23T00:00:00Z`. The moment must be aware and have whole seconds."""
    if moment.tzinfo is None or moment.microsecond:
        raise ValueError(moment)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def parse_moment(text: object) -> datetime:
    """Parse the exact form that `format_moment` writes.

    Raises:
        MalformedError: any other form (code ``time``).
    """
    if not isinstance(text, str) or not _SIGNED.fullmatch(text):
        raise _malformed(text)
    return _from_iso(text[:-1], text)


def parse_foreign_moment(text: object) -> datetime:
    """Parse an RFC 3339 time of others: fractions (cut to microseconds) and numeric offsets are allowed.

    Raises:
        MalformedError: not RFC 3339 (code ``time``).
    """
    match = _FOREIGN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _malformed(text)
    whole, fraction, offset = match.groups()
    micro = f".{(fraction or '0')[:6].ljust(6, '0')}"
    return _from_iso(f"{whole}{micro}{'' if offset == 'Z' else offset}", text)


def parse_typed_moment(text: str) -> datetime:
    """Parse what a person types after `--at`: `2027-03-01`, `2027-03-01T00:00Z` or with seconds, always UTC.

    Raises:
        MalformedError: anything else (code ``time``).
    """
    if not _TYPED.fullmatch(text):
        raise _malformed(text)
    return _from_iso(text.removesuffix("Z"), text)


def _from_iso(iso: str, text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError as error:
        raise _malformed(text) from error
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise _malformed(text) from error


def _malformed(text: object) -> MalformedError:
    return MalformedError("time", "time", repr(text)[:80], got="not a point in time", want="YYYY-MM-DDTHH:MM:SSZ")
