"""One exchange over HTTP: a request, an answer with a bounded body. No judgement, no redirects, no repetition.

Rules of this module:
- This is the only door to urllib3 (with pace.py below it), and no exception of urllib3, http.client, ssl or the system
  leaves it: connecting is ``network``, certificates are ``registry-tls``, silence and dripping are ``stalled``, what
  breaks off is ``connection-lost``, an answer that has no meaning is ``registry-answer``.
- Nothing is decoded: we ask for `identity` and refuse another content encoding, so that bytes are those that we hash.
- Messages name the question (`which`), never the URL: a redirect's URL can hold a signature, which is a credential.
- Every body has an upper bound, every wait has one (pace.py).
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self, cast

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from bundler import limits
from bundler.errors import EnvError, TooLongError
from bundler.network.access import Access
from bundler.network.pace import POOLS, Pace, paced
from bundler.network.proxies import Proxy, find_proxy
from bundler.network.tls import TlsContexts
from bundler.network.urls import Url
from bundler.value import dataclass, field
from bundler.version import VERSION

_READ_BYTES = 64 * limits.KIB
_NO_TLS = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG")  # what OpenSSL, old and new, makes of plain text


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body that need not fit in memory.

    `pieces` is called once for each time that it is sent, and gives exactly `size_bytes` or raises an error of ours.
    """

    size_bytes: int
    pieces: Callable[[], Iterator[memoryview]]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `repr` shows no header and no body: they hold credentials."""

    method: str
    url: Url = field(repr=False)
    which: str
    """The question in words, for messages: `registry.example.org/app manifest 1.0`."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | Body | Callable[[], bytes] | None = field(default=None, repr=False)
    """A function is asked anew each time that the request is sent."""
    certs_host: str | None = None
    """The registry's name for its certificate folder; None for hosts that a registry named."""
    streams: bool = False
    """Whether a body is a blob, which has no time limit as a whole."""
    quiet_seconds: float = 0.0
    """Silence before the answer that is no fault: a registry that hashes what it was sent says nothing meanwhile."""


class Answer:
    """An answer whose body is still on the wire. Close it, or read it to its end."""

    def __init__(self, request: Request, response: urllib3.BaseHTTPResponse, pace: Pace) -> None:
        self.url = request.url
        self.which = request.which
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._pace = pace
        self._method = request.method

    def header(self, name: str) -> str:
        """A header's value, several joined by commas; empty when absent."""
        return self.headers.get(name, "").strip()

    @property
    def length_bytes(self) -> int | None:
        """What Content-Length says; None when it is absent or no number."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None

    def read(self, size_bytes: int) -> bytes:
        """Up to that many bytes of the body; empty at its end only.

        Raises:
            EnvError: ``stalled`` or ``connection-lost``.
        """
        self._pace.expect(size_bytes)
        with _our_errors(self.which, head=False):
            return self._response.read(size_bytes)

    def read_whole(self, max_bytes: int) -> bytes:
        """The whole body, then the answer is closed.

        Raises:
            EnvError: as `read`; encoded, or more than `max_bytes`: TooLongError (``registry-answer``).
        """
        with self:
            self.check_encoding()
            self._check_size(self.length_bytes or 0, max_bytes)
            raw = bytearray()
            while piece := self.read(min(_READ_BYTES, max_bytes + 1 - len(raw))):
                raw += piece
                self._check_size(len(raw), max_bytes)
            return bytes(raw)

    def discard(self) -> None:
        """Read the rest of a short body and close; the connection serves again. A long body costs its connection.

        Raises:
            EnvError: as `read`.
        """
        with self:
            left = limits.ERROR_BODY_BYTES
            while left and (piece := self.read(left)):
                left -= len(piece)

    def check_encoding(self) -> None:
        """Refuse a body that is not in its own bytes."""
        encoding = self.header("Content-Encoding").lower()
        if encoding not in ("", "identity"):
            raise answer_error(self.which, f"Content-Encoding {encoding[:40]!r}", "bytes as they are")

    def abort(self) -> None:
        """Wake up a thread that waits in `read`: it gets no more bytes. Called from another thread."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # closed, or read to its end, meanwhile
            self._response.shutdown()

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_size(self, size_bytes: int, max_bytes: int) -> None:
        if size_bytes > max_bytes and self._method != "HEAD":
            found = answer_error(self.which, f"more than {max_bytes} bytes", f"at most {max_bytes}")
            raise TooLongError(found.code, found.what, found.which, got=found.got, want=found.want, hints=found.hints)


@contextlib.contextmanager
def _dropped_on_error(pace: Pace) -> Iterator[None]:
    try:
        yield
    except BaseException:
        pace.drop()
        raise


class Http:
    """Connections to every host of a run, kept for the next request. Thread-safe."""

    def __init__(self, access: Access, environ: Mapping[str, str]) -> None:
        self._access = access
        self._environ = environ
        self._tls = TlsContexts(access, environ)
        self._managers: dict[tuple[int, Proxy | None], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def exchange(self, request: Request) -> Answer:
        """Ask once.

        Raises:
            EnvError: no answer (see the module's rules), or a proxy or certificate folder that cannot be used.
        """
        access = self._access
        body, length = _outgoing(request.body() if callable(request.body) else request.body)
        stall_seconds = access.stall_seconds + request.quiet_seconds
        pace = Pace(stall_seconds, None if request.streams else access.document_seconds)
        manager = self._manager(request)
        with _our_errors(request.which, head=True), paced(pace), _dropped_on_error(pace):
            response = manager.request(
                request.method,
                str(request.url),
                body=cast("Iterable[bytes] | None", body),  # goes to `sendall`, which takes any buffer
                headers={
                    "User-Agent": f"sealift/{VERSION}",
                    "Accept-Encoding": "identity",
                    **request.headers,
                    **length,
                },
                timeout=urllib3.Timeout(connect=access.connect_seconds, read=stall_seconds),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        return Answer(request, response, pace)

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()

    def _manager(self, request: Request) -> urllib3.PoolManager:
        origin = request.url.origin
        host, is_registry = request.certs_host or origin.netloc, request.certs_host is not None
        context = self._tls.context(host, is_registry=is_registry)
        proxy = find_proxy(origin, self._environ)
        with self._lock:
            key = (id(context), proxy)  # contexts live as long as we do
            if key not in self._managers:
                self._managers[key] = _make_manager(context, proxy, self._tls)
            return self._managers[key]


def answer_error(which: str, got: str, want: str) -> EnvError:
    """An answer that has no one meaning."""
    return EnvError("registry-answer", "registry", which, got=got, want=want)


def _outgoing(body: bytes | Body | None) -> tuple[Iterable[memoryview] | None, dict[str, str]]:
    """What is sent, and its length. Small pieces: each has its own time to go out (pace.py)."""
    if body is None:
        return None, {}
    if isinstance(body, Body):
        return _cut(body.pieces()), {"Content-Length": str(body.size_bytes)}
    return _cut((memoryview(body),)), {"Content-Length": str(len(body))}


def _cut(pieces: Iterable[memoryview]) -> Iterator[memoryview]:
    for piece in pieces:
        for start in range(0, len(piece), limits.SENT_BYTES):
            yield piece[start : start + limits.SENT_BYTES]


def _make_manager(context: ssl.SSLContext, proxy: Proxy | None, tls: TlsContexts) -> urllib3.PoolManager:
    if proxy is None:
        manager = urllib3.PoolManager(maxsize=limits.CONNECTIONS_TO_ONE_HOST, ssl_context=context)
    else:
        headers = urllib3.make_headers(proxy_basic_auth=proxy.login) if proxy.login else None
        manager = urllib3.ProxyManager(
            str(proxy.origin),
            maxsize=limits.CONNECTIONS_TO_ONE_HOST,
            proxy_headers=headers,
            proxy_ssl_context=tls.context(proxy.origin.netloc, is_registry=False),
            ssl_context=context,
        )
    manager.pool_classes_by_scheme = dict(POOLS)
    return manager


@contextlib.contextmanager
def _our_errors(which: str, *, head: bool) -> Iterator[None]:
    """Turn what urllib3 and everything below it raises into ours."""
    try:
        yield
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        raise _translate(error, which, head=head) from error


def _translate(error: Exception, which: str, *, head: bool) -> EnvError:
    code, got, want, hints = "network", _reason(error), "an answer", tuple[str, ...]()
    if isinstance(error, (SSLError, ssl.SSLError)) and head:
        code, want = "registry-tls", "a trusted connection"
        hints = ("name the folder with the registry's authority: --cert-dir DIR",)
        if got.endswith(_NO_TLS):
            hints = ("it may speak plain http only; --tls-verify=false allows that",)
    elif isinstance(error, (ProxyError, NewConnectionError, NameResolutionError, ConnectTimeoutError)):
        want = "a connection through the proxy" if isinstance(error, ProxyError) else "a connection"
    elif isinstance(error, (ReadTimeoutError, TimeoutError)) or isinstance(_cause(error), TimeoutError):
        code, got = "stalled", "silence, or next to no content"
    elif isinstance(error, IncompleteRead) or not head:
        code, got, want = "connection-lost", "an answer that broke off", "all of it"
    elif not isinstance(error, ProtocolError) or _is_gibberish(_cause(error)):
        code, got, want = "registry-answer", "something that is not HTTP", "an HTTP answer"
    return EnvError(code, "registry", which, got=got, want=want, hints=hints)


def _is_gibberish(cause: object) -> bool:
    return isinstance(cause, http.client.HTTPException) and not isinstance(cause, http.client.RemoteDisconnected)


def _cause(error: Exception) -> object:
    """What urllib3 wrapped: its last argument, or the error that it was raised from."""
    inner = error.args[-1] if error.args and isinstance(error.args[-1], Exception) else error.__cause__
    return inner if inner is not None else error


def _reason(error: Exception) -> str:
    """The system's own words for it; never text with a URL."""
    seen: list[object] = [error]
    while isinstance(inner := _cause(seen[-1]) if isinstance(seen[-1], Exception) else None, Exception):
        if inner in seen:
            break
        seen.append(inner)
    for item in reversed(seen):
        if isinstance(item, ssl.SSLCertVerificationError):
            return f"certificate refused: {item.verify_message}"[:160]
        if isinstance(item, ssl.SSLError):
            return f"TLS failed: {item.reason or 'the connection was closed'}"[:160]
        if isinstance(item, OSError) and item.strerror:
            return item.strerror[:160]
        if isinstance(item, (ConnectTimeoutError, TimeoutError)):
            return "no connection in time"
    return "no connection"
