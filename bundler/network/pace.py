"""Connections that cannot hang: every wait for bytes is bounded, also against a peer that drips them (THREATS E5).

Rules of this module:
- Below urllib3, each single read from the socket is timed. Only the time that we wait counts: a slow reader is no fault
  of the peer.
- The head of an answer (status line, headers) is whole within `stall_seconds` of waiting.
- After it, each window of `stall_seconds` of waiting must bring `limits.SLOWEST_BYTES_PER_SECOND` on average.
- Documents have a time for the whole of them besides.
- What is no content is bounded in bytes too: status lines and headers, interim answers, chunk heads and trailers.
  Otherwise a fast peer could send those for ever. And nothing is read "to the end", as http.client does for a chunk
  of size -1.
- What is sent goes out in pieces of `limits.SENT_BYTES`, each within `stall_seconds`.
- A breach is a TimeoutError, which urllib3 wraps as its own; http.py makes it ours (``stalled``).
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from bundler import limits


class Pace:
    """How fast one answer has to come. Used by one thread."""

    __slots__ = ("_deadline", "_in_head", "_left_bytes", "_received", "_response", "_stall_seconds", "_waited")

    def __init__(self, stall_seconds: float, total_seconds: float | None = None) -> None:
        self._stall_seconds = stall_seconds
        self._deadline = None if total_seconds is None else time.monotonic() + total_seconds
        self._in_head = True
        self._waited = 0.0
        self._received = 0
        self._left_bytes = limits.ANSWER_OVERHEAD_BYTES
        self._response: http.client.HTTPResponse | None = None

    def watch(self, response: http.client.HTTPResponse) -> None:
        """The answer that this pace is for."""
        self._response = response

    def drop(self) -> None:
        """Close an answer that urllib3 would not take: nobody else holds it."""
        if self._response is not None:
            self._response.close()

    def expect(self, size_bytes: int) -> None:
        """So much content is wanted next: bounds what may come from the wire for it."""
        self._left_bytes = limits.ANSWER_OVERHEAD_BYTES + limits.CHUNKING_FACTOR * size_bytes

    def patience(self) -> float:
        """Seconds that the next read may wait.

        Raises:
            TimeoutError: none are left.
        """
        left = self._stall_seconds - self._waited
        if self._deadline is not None:
            left = min(left, self._deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError("too slow")
        return left

    def count(self, waited: float, received_bytes: int) -> None:
        """Note one read.

        Raises:
            TimeoutError: too slow, or bytes without end that are no content.
        """
        self._waited += waited
        self._received += received_bytes
        self._left_bytes -= received_bytes
        if self._left_bytes < 0:
            raise TimeoutError("bytes without end that are no content")
        if self._in_head or self._waited < self._stall_seconds:
            return
        if self._received < limits.SLOWEST_BYTES_PER_SECOND * self._waited:
            raise TimeoutError("too slow")
        self._waited, self._received = 0.0, 0

    def end_head(self) -> None:
        """The headers are whole; a new window starts with the body."""
        self._in_head = False
        self._waited, self._received = 0.0, 0


_current: ContextVar[Pace | None] = ContextVar("pace", default=None)


@contextlib.contextmanager
def paced(pace: Pace) -> Iterator[None]:
    """Answers to requests made in this block, by this thread, keep `pace`."""
    token = _current.set(pace)
    try:
        yield
    finally:
        _current.reset(token)


class _PacedReader(io.RawIOBase):
    """The socket's own reader, timed."""

    def __init__(self, reader: io.RawIOBase, connection: socket.socket, pace: Pace) -> None:
        self._reader = reader
        self._connection = connection
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._connection.settimeout(self._pace.patience())
        start = time.monotonic()
        received = self._reader.readinto(buffer)
        self._pace.count(time.monotonic() - start, received or 0)
        return received

    def readall(self) -> bytes:
        raise http.client.HTTPException("a read without a bound")

    def close(self) -> None:
        self._reader.close()
        super().close()


class PacedResponse(http.client.HTTPResponse):
    """Python's response, reading through the timed reader."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._pace = _current.get()
        if self._pace is not None and isinstance(self.fp, io.BufferedReader):
            self.fp = io.BufferedReader(_PacedReader(self.fp.detach(), sock, self._pace))
            self._pace.watch(self)

    def begin(self) -> None:
        """Read status line and headers, past interim answers (RFC 9110, 15.2); Python knows 100 only."""
        super().begin()
        while http.client.SWITCHING_PROTOCOLS < self.status < http.client.OK:
            self.headers = self.msg = None  # type: ignore[assignment]  # as if nothing had been read
            super().begin()
        if self._pace is not None:
            self._pace.end_head()


def _give_time(connection: socket.socket | None) -> None:
    """The time for the next piece that is sent; `sendall` measures it as a whole."""
    pace = _current.get()
    if pace is not None and connection is not None:
        connection.settimeout(pace.patience())


class _PacedConnection(HTTPConnection):
    response_class = PacedResponse

    def send(self, data: Any) -> None:
        _give_time(self.sock)
        super().send(data)


class _PacedTlsConnection(HTTPSConnection):
    response_class = PacedResponse

    def send(self, data: Any) -> None:
        _give_time(self.sock)
        super().send(data)

    def connect(self) -> None:
        super().connect()
        # Spares a warning of urllib3 for each connection without `tls_verify`; nothing else reads this. What is checked
        # is the context's business (tls.py).
        self.is_verified = True


class _PacedPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PacedConnection


class _PacedTlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PacedTlsConnection


POOLS = {"http": _PacedPool, "https": _PacedTlsPool}
