"""One client's connection: reads heads of requests, sends answers, and never waits without end.

Rules of this module:
- Every wait has an end: for the first byte of a request, for the rest of its head, for each piece that is sent.
- A client that reads slowly holds a chunk for a second at most. What it gets then are copies of small pieces, for each
  of which the chunk is asked for again: slow clients cost hashing, not memory.
- An answer that cannot be finished ends with a reset (SO_LINGER 0), never with an orderly end.
- A body that nobody asked for is thrown away for a moment, so that the client reads the refusal, and the connection
  ends; no byte of it is ever read as a request.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator

from bundler import limits
from bundler.errors import EnvError
from bundler.network.server.answer import Answer, Part, format_head
from bundler.network.server.request import HEAD_END, Request, head_too_long, parse_request, refusal

_READ_BYTES = 16 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no seconds


class Connection:
    """One accepted connection, used by one thread; `stop` and `cut` may be called by others.

    Attributes:
        client: its address.
        has_answered: something of the last answer was sent.
    """

    def __init__(self, accepted: socket.socket, client: str, context: ssl.SSLContext | None) -> None:
        self.client = client
        self._socket = accepted
        self._context = context
        self._buffer = b""
        self._lock = threading.Lock()
        self._is_idle = False
        self._is_stopped = False
        self.has_answered = False

    def open(self) -> None:
        """Make it ready; with TLS, shake hands.

        Raises:
            EnvError: the client did not manage it (``client-tls``, ``client-gone``).
        """
        with _client_errors():
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(limits.TLS_HANDSHAKE_SECONDS)
            if self._context is not None:
                self._socket = self._context.wrap_socket(self._socket, server_side=True, suppress_ragged_eofs=True)

    def read_request(self) -> Request | None:
        """The next request; None when the client ends, stays silent, or the server stops.

        Raises:
            MalformedError: as `parse_request`. EnvError: ``client-slow``, ``client-gone``.
        """
        with _client_errors():
            if not self._buffer and not self._wait():
                return None
            deadline = time.monotonic() + limits.REQUEST_HEAD_SECONDS
            while HEAD_END not in self._buffer:
                if not self._buffer[:1].isalpha():  # most often a TLS client, which would wait for our hello
                    raise refusal("no request line", "METHOD /path HTTP/1.1")
                if len(self._buffer) > limits.REQUEST_HEAD_BYTES:
                    raise head_too_long()
                piece = self._receive(deadline)
                if not piece:
                    return None
                self._buffer += piece
        head, _, self._buffer = self._buffer.partition(HEAD_END)
        return parse_request(head)

    def send(self, answer: Answer, *, with_body: bool = True, keeps_open: bool = False) -> None:
        """Send an answer.

        Args:
            answer: what to send.
            with_body: False for the answer to a HEAD.
            keeps_open: whether the connection stays.

        Raises:
            EnvError: ``client-slow``, ``client-gone``. SealiftError: what the body's chunks raise; then less than the
            promised length was sent, and the caller has to `abort`.
        """
        head = format_head(answer, keeps_open=keeps_open and not self._is_stopped)
        self.has_answered = False
        with _client_errors():
            if with_body and isinstance(answer.body, Part) and answer.size_bytes:
                self._send_part(head, answer.body)
            elif with_body and isinstance(answer.body, bytes):
                self._send_all(head + answer.body)
            else:
                self._send_all(head)

    @property
    def stays_open(self) -> bool:
        """Whether another request may come: the server is not stopping."""
        return not self._is_stopped

    def drain(self) -> None:
        """Throw away what the client still sends, for a moment, so that it reads our last answer."""
        deadline = time.monotonic() + limits.REQUEST_DRAIN_SECONDS
        left_bytes = limits.REQUEST_DRAIN_BYTES
        with contextlib.suppress(OSError, ValueError):
            self._shut(socket.SHUT_WR)
            while left_bytes > 0 and time.monotonic() < deadline:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
                piece = self._socket.recv(_READ_BYTES)
                if not piece:
                    return
                left_bytes -= len(piece)

    def abort(self) -> None:
        """End it so that the client cannot take what it got for an answer."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Close it; more than once does no harm."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def stop(self) -> None:
        """No further request: a connection that waits for one ends now, others after their answer."""
        with self._lock:
            self._is_stopped = True
            if self._is_idle:
                self._shut(socket.SHUT_RD)

    def cut(self) -> None:
        """End it now, whatever it is doing."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        # Of the socket below TLS: an SSLSocket would forget its keys while another thread uses them.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, how)

    def _wait(self) -> bool:
        """Wait for the first byte of a request; False when none comes."""
        with self._lock:
            if self._is_stopped:
                return False
            self._is_idle = True
        try:
            self._buffer = self._receive(time.monotonic() + limits.REQUEST_IDLE_SECONDS)
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._is_idle = False
        return bool(self._buffer)

    def _receive(self, deadline: float) -> bytes:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        return self._socket.recv(_READ_BYTES)

    def _send_part(self, head: bytes, part: Part) -> None:
        position, is_slow = part.start, False
        while position < part.end:
            sent, piece = self._send_chunk(head, part, position, is_slow=is_slow)
            head = b""
            position += sent + len(piece)
            if piece:
                start = time.monotonic()
                self._send_all(piece)
                is_slow = time.monotonic() - start > limits.SERVE_QUICK_PIECE_SECONDS

    def _send_chunk(self, head: bytes, part: Part, position: int, *, is_slow: bool) -> tuple[int, bytes]:
        """Send from the chunk at `position`; gives what was sent, and a copy of what a slow client gets next.

        The head goes out when the first chunk is in hand, so that a chunk that cannot be proved can still be told.
        No reference to the chunk outlives this call, so that a slow client holds its copy only.
        """
        with part.chunks.lease(position) as chunk:
            if head:
                self._send_all(head, limits.SERVE_HOLD_SECONDS)
            view = chunk[: part.end - position]
            sent = 0
            if not is_slow:
                part.chunks.prepare(position + len(view), part.end)
                sent = self._send_some(view)
            return sent, bytes(view[sent : sent + limits.SERVE_PIECE_BYTES])

    def _send_some(self, view: memoryview) -> int:
        """Send what the client takes within the time for which it may hold a chunk."""
        deadline = time.monotonic() + limits.SERVE_HOLD_SECONDS
        sent = 0
        # TLS wants the same bytes again after a time-out: pieces are as long as those that `_send_chunk` then copies.
        step = limits.SERVE_PIECE_BYTES if self._context is not None else len(view)
        with contextlib.suppress(TimeoutError):
            while sent < len(view) and (left := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left)
                sent += self._socket.send(view[sent : sent + step])
        return sent

    def _send_all(self, raw: bytes, seconds: float | None = None) -> None:
        deadline = time.monotonic() + (limits.SERVE_PIECE_SECONDS if seconds is None else seconds)
        view = memoryview(raw)
        self.has_answered = True
        while view:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            view = view[self._socket.send(view) :]


@contextlib.contextmanager
def _client_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise EnvError("client-slow", "client", got="too slow", want="a client that keeps up") from error
    except OSError as error:  # ssl.SSLError is one too
        what = "client-tls" if isinstance(error, ssl.SSLError) else "client-gone"
        raise EnvError(what, "client", got=type(error).__name__, want="a client that stays") from error
