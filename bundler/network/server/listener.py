"""Listens, and gives each connection a thread of its own; bounded in number, for all and for each client.

Rules of this module:
- A connection over a bound is told so in one small packet and closed; it costs no thread.
- Nothing here judges: `converse` gets a connection and owns it; what it raises is a bug and ends that connection only
  (the thread's traceback is Python's own).
- `stop` first asks (no further requests), then cuts after some seconds. Threads are daemons, so that a client that
  hangs cannot keep the process.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bundler import limits
from bundler.errors import EnvError, UsageError
from bundler.network.server.connection import Connection
from bundler.value import dataclass

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", re.ASCII)
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
_ACCEPT_PAUSE_SECONDS = 0.05  # when the process has no descriptors left, or the network fails

Converse = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `str()` gives `host:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name, which can mean anything
            return False


def parse_address(text: str) -> Address:
    """Parse `127.0.0.1:5000`, `[::1]:5000` or `localhost:5000`; port 0 means any that is free.

    Raises:
        UsageError: another form (``listen``).
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) > 65535:
        raise UsageError("listen", "option", "--listen", got=repr(text[:160]), want="host:port, e.g. 127.0.0.1:5000")
    return Address(match[1] or match[2], int(match[3]))


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A TLS context for a server, 1.2 or later.

    Raises:
        EnvError: the files cannot be used (``server-tls``).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An empty password: a key that needs one is refused instead of asked for on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
        raise EnvError(
            "server-tls", "certificate and key", f"{certificate}, {key}", got=why or "cannot be used",
            want="PEM, a pair, no password",
        ) from error  # fmt: skip
    return context


def check_address(address: Address) -> None:
    """Find out before long work whether an address can be had.

    Raises:
        EnvError: it cannot (``listen-failed``).
    """
    _listen(address).close()


class Listener:
    """A listening socket with its connections. `start` it once, `stop` it once."""

    def __init__(self, address: Address, converse: Converse, context: ssl.SSLContext | None = None) -> None:
        self._converse = converse
        self._context = context
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._open: set[Connection] = set()
        self._clients: Counter[str] = Counter()
        self._is_stopped = False
        self._socket = _listen(address)
        self.address = Address(address.host, self._socket.getsockname()[1])

    def start(self) -> None:
        """Accept connections from now on."""
        threading.Thread(target=self._accept_all, name="listener", daemon=True).start()

    def stop(self, grace_seconds: float) -> None:
        """Accept no more, let answers under way end, and cut those that take longer."""
        with self._lock:
            self._is_stopped = True
            waiting = list(self._open)
        # Wakes the accepting thread as well; closing alone would leave it waiting.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in waiting:
            connection.stop()
        with self._ended:
            self._ended.wait_for(lambda: not self._open, grace_seconds)
            left = list(self._open)
        for connection in left:
            connection.cut()
        with self._ended:
            self._ended.wait_for(lambda: not self._open, 1.0)

    def _accept_all(self) -> None:
        while not self._is_stopped:
            try:
                accepted, peer = self._socket.accept()
            except OSError as error:
                if self._is_stopped:
                    return
                # Whatever went wrong, with this client or with the network (accept(2)), the next one is waited for.
                if error.errno not in (errno.ECONNABORTED, errno.EPROTO):
                    time.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            self._take(accepted, str(peer[0]))

    def _take(self, accepted: socket.socket, client: str) -> None:
        connection = Connection(accepted, client, self._context)
        with self._lock:
            is_full = (
                self._is_stopped
                or len(self._open) >= limits.SERVE_CONNECTIONS
                or self._clients[client] >= limits.SERVE_CLIENT_CONNECTIONS
            )
            if not is_full:
                self._open.add(connection)
                self._clients[client] += 1
        if is_full:
            self._turn_away(accepted)
            return
        try:
            threading.Thread(target=self._serve, args=(connection,), name=f"client {client}", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            self._forget(connection)
            connection.abort()

    def _turn_away(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):
            accepted.setblocking(False)
            if self._context is None:
                accepted.send(_BUSY)
        accepted.close()

    def _serve(self, connection: Connection) -> None:
        try:
            self._converse(connection)
        finally:
            connection.close()
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        with self._ended:
            self._open.discard(connection)
            self._clients[connection.client] -= 1
            if not self._clients[connection.client]:
                del self._clients[connection.client]
            self._ended.notify_all()


def _listen(address: Address) -> socket.socket:
    try:
        family, kind, number, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, number)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(limits.SERVE_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise EnvError(
            "listen-failed", "address", str(address), got=error.strerror or str(error), want="one that is free",
            hints=["another program may listen there; --listen 127.0.0.1:0 takes any free port"],
        ) from error  # fmt: skip
    return listening
