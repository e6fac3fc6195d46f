"""Asking again: back-off without dice, and what `Retry-After` says (RFC 9110, 10.2.3).

Rules of this module:
- Asked again is what may pass: no connection, silence, an answer that broke off, and the statuses 408, 429, 500, 502,
  503 and 504. Certificates, refusals and answers without meaning are final at once.
- Waits double from `backoff_seconds`; `Retry-After` replaces a wait, in seconds or as a date measured by the answer's
  own `Date` (no clock is read here); both are capped.
- What must not be asked twice in the same words (a part of an upload) is asked once; whoever asks looks what has come
  and uses `pause`.
- A wait ends at once when the run does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from bundler import limits
from bundler.errors import EnvError
from bundler.network.access import Access
from bundler.network.http import Answer

PASSING = frozenset({"network", "stalled", "connection-lost"})
PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_T = TypeVar("_T")


class Patience:
    """How often and how long one run asks again. Thread-safe."""

    def __init__(self, access: Access) -> None:
        self._retries = access.retries
        self._backoff_seconds = access.backoff_seconds
        self._over = threading.Event()

    @property
    def retries(self) -> int:
        """How often one question is asked again."""
        return self._retries

    def ask(self, send: Callable[[], Answer], use: Callable[[Answer], _T], *, repeats: bool = True) -> _T:
        """Send, then use the answer; both again after a fault that may pass.

        The last answer is used whatever its status is. `use` closes the answer or hands it on; if it raises, the answer
        is closed here.
        """
        attempt = 0
        while True:
            wished: float | None = None
            is_last = not repeats or attempt >= self._retries
            try:
                answer = send()
                if is_last or answer.status not in PASSING_STATUSES:
                    return _used(answer, use)
                answer.close()
                wished = retry_after_seconds(answer)
            except EnvError as error:
                if is_last or error.code not in PASSING:
                    raise
            self.pause(attempt, wished)
            attempt += 1

    def pause(self, attempt: int, wished: float | None = None) -> None:
        """Wait before asking again.

        Args:
            attempt: how often it was asked again already.
            wished: seconds that the registry wishes (`retry_after_seconds`).

        Raises:
            EnvError: the run was ended meanwhile (code ``network``).
        """
        seconds = min(self._backoff_seconds * 2**attempt, limits.BACKOFF_SECONDS) if wished is None else wished
        if self._over.wait(seconds):
            raise EnvError("network", "registry", got="the run was ended", want="an answer")

    def end(self) -> None:
        """Wake whoever waits; nobody asks again."""
        self._over.set()


def _used(answer: Answer, use: Callable[[Answer], _T]) -> _T:
    try:
        return use(answer)
    except BaseException:
        answer.close()
        raise


def retry_after_seconds(answer: Answer) -> float | None:
    """What `Retry-After` wishes, capped; None when it says nothing that can be read."""
    text = answer.header("Retry-After")
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), limits.RETRY_AFTER_SECONDS))
    until, now = _parse_date(text), _parse_date(answer.header("Date"))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), float(limits.RETRY_AFTER_SECONDS))


def _parse_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text[:64])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None
