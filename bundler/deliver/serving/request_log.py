"""One line for each request: who, what, how it ended; escaped, cut and never more than so many in a second.

A client can ask a thousand times a second; what does not fit is counted and told, so that no client can fill a disk or
hide itself in a flood without a trace. Lines that cannot be written (a full disk, a reader that went away) are counted
too: no answer breaks off for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from bundler import limits
from bundler.escaping import escape
from bundler.moment import format_moment
from bundler.value import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """What is told of one request. `note` says what went wrong."""

    client: str
    method: str
    target: str
    status: int
    size_bytes: int
    note: str = ""


class RequestLog:
    """Writes lines. Thread-safe.

    Args:
        write: takes one line without its line feed; an OSError of it is counted as a line that was not written.
        clock: the time.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], datetime]) -> None:
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._second: datetime | None = None
        self._written = 0
        self._dropped = 0

    def tell(self, line: Line) -> None:
        """One request."""
        status = str(line.status or "-")
        parts = [line.client, line.method or "-", line.target or "-", status, str(line.size_bytes), line.note]
        self._add(" ".join(part for part in parts if part), is_bounded=True)

    def note(self, text: str) -> None:
        """Something about the server itself: never dropped."""
        self._add(text, is_bounded=False)

    def _add(self, text: str, *, is_bounded: bool) -> None:
        now = self._clock().replace(microsecond=0)
        with self._lock:
            if now != self._second:
                self._second, self._written = now, 0
                if self._dropped and self._put(now, f"{self._dropped} more requests, not shown"):
                    self._dropped = 0
            if is_bounded and self._written >= limits.SERVE_LOG_LINES_PER_SECOND:
                self._dropped += 1
                return
            self._written += 1
            self._dropped += not self._put(now, escape(text)[: limits.SERVE_LOG_CHARACTERS])

    def _put(self, now: datetime, text: str) -> bool:
        try:
            self._write(f"{format_moment(now)} {text}")
        except OSError:
            return False
        return True
