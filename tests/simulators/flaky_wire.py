"""A line to a server on loopback that breaks: after so many bytes from the client, all its connections are cut.

with FlakyWire(registry.port, cuts=[3_000_000, 5_000_000]) as wire:
    ...                                                       # talk to 127.0.0.1:wire.port
with FlakyWire(registry.port, jams_at=3_000_000) as wire:     # then nothing gets through, and nothing is cut

The server hears of a cut first, and the client when the server is done with what it had: else a client that asks at
once how far it came would hear now this and now that.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

_PIECE_BYTES = 64 * 1024
_NOTICE_SECONDS = 20  # for a server that does not close: the client is not kept waiting for ever


@dataclass(eq=False)
class _Line:
    """One connection from a client, and ours to the server."""

    client: socket.socket
    server: socket.socket
    is_cut: bool = False
    server_is_done: threading.Event = field(default_factory=threading.Event)

    def cut(self) -> None:
        """Nothing more goes either way; returns when the server has closed."""
        self.is_cut = True
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_WR)
        self.server_is_done.wait(_NOTICE_SECONDS)
        self.close()

    def close(self) -> None:
        for connection in (self.client, self.server):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


class FlakyWire:
    """The line. `cuts` are counts of bytes from the client over all connections; each cuts once."""

    def __init__(self, port: int, cuts: Sequence[int] = (), *, jams_at: int | None = None) -> None:
        self._jams_at = jams_at
        self._ended = threading.Event()
        self._target = port
        self._cuts = sorted(cuts)
        self._carried = 0
        self._open: set[_Line] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.times_cut = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            lines = set(self._open)
        for line in lines:
            line.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[..., None], *args: _Line) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                line = _Line(client, socket.create_connection(("127.0.0.1", self._target)))
                with self._lock:
                    self._open.add(line)
                self._start(self._carry_up, line)
                self._start(self._carry_down, line)

    def _carry_up(self, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while not line.is_cut and (piece := line.client.recv(_PIECE_BYTES)):
                left = self._count(len(piece))
                if self._jams_at is not None and self._carried > self._jams_at:
                    self._ended.wait()
                line.server.sendall(piece[:left])
                if left < len(piece):
                    self._cut_all()
        if not line.is_cut:
            self._close(line)

    def _carry_down(self, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while piece := line.server.recv(_PIECE_BYTES):
                if not line.is_cut:
                    line.client.sendall(piece)
        line.server_is_done.set()
        if not line.is_cut:
            self._close(line)

    def _count(self, size_bytes: int) -> int:
        """How many of these bytes get through."""
        with self._lock:
            self._carried += size_bytes
            if not self._cuts or self._carried <= self._cuts[0]:
                return size_bytes
            self.times_cut += 1
            beyond = self._carried - self._cuts.pop(0)
            self._carried -= beyond
            return max(size_bytes - beyond, 0)

    def _cut_all(self) -> None:
        with self._lock:
            lines, self._open = self._open, set()
        for line in lines:
            line.cut()

    def _close(self, line: _Line) -> None:
        with self._lock:
            self._open.discard(line)
        line.close()
