"""A line to a server on loopback that breaks: after so many bytes from the client, all its connections are cut.

with FlakyWire(registry.port, cuts=[3_000_000, 5_000_000]) as wire:
    ...                                                       # talk to 127.0.0.1:wire.port
with FlakyWire(registry.port, jams_at=3_000_000) as wire:     # then nothing gets through, and nothing is cut
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Self

_PIECE_BYTES = 64 * 1024


class FlakyWire:
    """The line. `cuts` are counts of bytes from the client over all connections; each cuts once."""

    def __init__(self, port: int, cuts: Sequence[int] = (), *, jams_at: int | None = None) -> None:
        self._jams_at = jams_at
        self._ended = threading.Event()
        self._target = port
        self._cuts = sorted(cuts)
        self._carried = 0
        self._open: set[socket.socket] = set()
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
        self._cut_all()
        for thread in self._threads:
            thread.join()

    def _start(self, work: object, *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._open |= {client, server}
                self._start(self._carry_up, client, server)
                self._start(self._carry_down, server, client)

    def _carry_up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(_PIECE_BYTES):
                left = self._count(len(piece))
                if self._jams_at is not None and self._carried > self._jams_at:
                    self._ended.wait()
                server.sendall(piece[:left])
                if left < len(piece):
                    self._cut_all()
        self._close(client, server)

    def _carry_down(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(_PIECE_BYTES):
                client.sendall(piece)
        self._close(client, server)

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
            connections, self._open = self._open, set()
        self._close(*connections)

    def _close(self, *connections: socket.socket) -> None:
        with self._lock:
            self._open -= set(connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
