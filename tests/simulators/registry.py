"""A registry on loopback, as the distribution specification has it, that can be told to lie.

    with Registry(referrers_api=True) as registry:
        store = registry.repository("team/app")
        top = store.load(folder)                     # or a Layout being built
        store.tags["1.0"] = top.digest
        registry.on(r"/manifests/1\\.0", status(403, "DENIED"), times=1)
        ...                                          # registry.host is what references begin with
        assert registry.asked("GET", "/manifests/")

Speaks HTTP/1.1 or TLS, without, with basic or with bearer authentication, with pages and ranges. Everything that was
asked is in `registry.log`. Lies are in registry_lies.py, writing is in registry_writes.py.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, urlsplit

from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX
from tests.simulators.images import Content, Held, Layout
from tests.simulators.layout_walk import walk_layout


@dataclass
class Reply:
    """An answer before it is sent."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Content = b""


@dataclass
class Exchange:
    """One request, and ways to answer it."""

    registry: Registry
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    handler: BaseHTTPRequestHandler

    def normal(self) -> Reply:
        """What an honest registry answers."""
        return self.registry.answer(self)

    def send(self, reply: Reply) -> None:
        """Send an answer as it is."""
        write_reply(self.handler, reply, with_body=self.method != "HEAD")

    def write(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self.handler.wfile.write(raw)

    def drop(self) -> None:
        """Close the connection, with a reset if bytes are on their way."""
        self.handler.close_connection = True
        with contextlib.suppress(OSError):
            self.handler.connection.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float) -> bool:
        """Wait; True when the registry was stopped meanwhile."""
        return self.registry.stopped.wait(seconds)


Behaviour = Callable[[Exchange], None]


@dataclass
class _Rule:
    pattern: re.Pattern[str]
    method: str | None
    behaviour: Behaviour
    left: int | None


@dataclass(frozen=True)
class Logged:
    """One request that came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Basic:
    """Basic authentication."""

    user_name: str
    password: str


@dataclass
class Bearer:
    """Tokens from `/token` of the same host, or from `realm`.

    Attributes:
        user_name, password: who gets tokens; without a user name everybody does.
        refresh_token: also gets tokens, by POST (an identity token).
        may_push: whether tokens are for writing too, when that is asked for.
        seconds: how long tokens live.
        expires_in: what the answer says; as `seconds` when None.
    """

    user_name: str = ""
    password: str = ""
    refresh_token: str | None = None
    may_push: bool = True
    seconds: float = 300
    expires_in: int | None = None
    realm: str | None = None
    service: str = "registry.example.org"
    issued: dict[str, tuple[str, float]] = field(default_factory=dict)


@dataclass
class Store:
    """One repository."""

    manifests: dict[Digest, tuple[bytes, str]] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    blobs: dict[Digest, Content] = field(default_factory=dict)

    def put_manifest(self, raw: bytes, media_type: str, *tags: str) -> Descriptor:
        """Store a manifest, whatever its bytes are."""
        digest = sha256_of(raw)
        self.manifests[digest] = (raw, media_type)
        self.tags.update(dict.fromkeys(tags, digest))
        return Descriptor(media_type, digest, len(raw))

    def put_blob(self, raw: bytes, media_type: str = "application/octet-stream") -> Descriptor:
        """Store a blob."""
        digest = sha256_of(raw)
        self.blobs[digest] = Held(raw)
        return Descriptor(media_type, digest, len(raw))

    def load(self, layout: Path | Layout, *tags: str) -> Descriptor:
        """Store a whole layout; `tags` name its first entry. Names in index.json become tags too."""
        walked = walk_layout(layout)
        self.blobs.update(walked.blobs)
        self.manifests.update({item.digest: (raw, item.media_type) for item, raw in walked.manifests})
        self.tags.update(walked.tags)
        self.tags.update(dict.fromkeys(tags, walked.first.digest))
        return walked.first

    def referrers(self, subject: Digest) -> list[dict[str, Any]]:
        """Descriptors of manifests with that subject."""
        found = []
        for digest, (raw, media_type) in self.manifests.items():
            document = json.loads(raw) if raw[:1] == b"{" else {}
            if document.get("subject", {}).get("digest") == str(subject):
                kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
                entry = {"mediaType": media_type, "digest": str(digest), "size": len(raw)}
                if kind:
                    entry["artifactType"] = kind
                if document.get("annotations"):
                    entry["annotations"] = document["annotations"]
                found.append(entry)
        return found


class Writer(Protocol):
    """Answers requests that write (registry_writes.py)."""

    def answer(self, registry: Registry, exchange: Exchange) -> Reply | None:
        """None: it is no such request."""


class Registry:
    """The server. A context manager; every connection is closed when it ends."""

    def __init__(
        self,
        *,
        referrers_api: bool = True,
        auth: Basic | Bearer | None = None,
        tls: ssl.SSLContext | None = None,
        page_size: int | None = None,
        writes: Writer | None = None,
    ) -> None:
        self.referrers_api = referrers_api
        self.auth = auth
        self.tls = tls
        self.page_size = page_size
        self.writes = writes
        self.repositories: dict[str, Store] = {}
        self.log: list[Logged] = []
        self.stopped = threading.Event()
        self._rules: list[_Rule] = []
        self._numbered: dict[int, Behaviour] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.close_all()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """What references begin with."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def repository(self, name: str) -> Store:
        """The repository, made when it is new."""
        return self.repositories.setdefault(name, Store())

    def on(self, pattern: str, behaviour: Behaviour, *, method: str | None = None, times: int | None = None) -> None:
        """Misbehave for targets (path and query) that the pattern is found in; the newest rule that fits counts."""
        with self._lock:
            self._rules.insert(0, _Rule(re.compile(pattern), method, behaviour, times))

    def at(self, number: int, behaviour: Behaviour) -> None:
        """Misbehave at the request with this number, from 1 on, once; counted since the start or `reform`."""
        with self._lock:
            self._numbered[number] = behaviour

    def reform(self) -> None:
        """Be honest again, and forget what was asked."""
        with self._lock:
            self._rules.clear()
            self._numbered.clear()
            self.log.clear()

    def asked(self, method: str, pattern: str) -> list[Logged]:
        """What was asked so far."""
        with self._lock:
            return [item for item in self.log if item.method == method and re.search(pattern, item.target)]

    def handle(self, exchange: Exchange, target: str) -> None:
        """Log a request, and answer it by the first rule that fits, or honestly."""
        with self._lock:
            self.log.append(Logged(exchange.method, target, exchange.headers, exchange.body))
            numbered = self._numbered.get(len(self.log))
            rule = next((rule for rule in self._rules if self._fits(rule, exchange.method, target)), None)
            if rule and rule.left is not None:
                rule.left -= 1
        if numbered:
            numbered(exchange)
        elif rule:
            rule.behaviour(exchange)
        else:
            exchange.send(exchange.normal())

    def answer(self, exchange: Exchange) -> Reply:
        """What an honest registry answers."""
        if exchange.path == "/token" and isinstance(self.auth, Bearer):
            return _give_token(self.auth, exchange)
        if (refusal := _authenticate(self, exchange)) is not None:
            return refusal
        if exchange.path in ("/v2", "/v2/"):
            return Reply(200, {"Content-Type": "application/json"}, b"{}")
        if self.writes is not None and (reply := self.writes.answer(self, exchange)) is not None:
            return reply
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|referrers|tags)/([^/]+)", exchange.path)
        if match is None or exchange.method not in ("GET", "HEAD"):
            return Reply(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        name, kind, last = match.groups()
        if kind == "referrers" and not self.referrers_api:
            return Reply(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404 page not found\n")
        if name not in self.repositories:
            return fault(404, "NAME_UNKNOWN", "repository name not known to registry")
        store = self.repositories[name]
        answers = {"manifests": _manifest, "blobs": _blob, "referrers": _referrers, "tags": _tags}
        return answers[kind](self, store, last, exchange)

    @staticmethod
    def _fits(rule: _Rule, method: str, target: str) -> bool:
        return rule.left != 0 and rule.method in (None, method) and rule.pattern.search(target) is not None


def fault(status: int, code: str, message: str = "") -> Reply:
    """An answer with an error body."""
    body = {"errors": [{"code": code, "message": message or code.lower(), "detail": None}]}
    return Reply(status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(body).encode())


def _manifest(_: Registry, store: Store, last: str, __: Exchange) -> Reply:
    digest = store.tags.get(last)
    with contextlib.suppress(MalformedError):
        digest = digest or parse_digest(last)
    if digest not in store.manifests:
        return fault(404, "MANIFEST_UNKNOWN", "manifest unknown")
    raw, media_type = store.manifests[digest]
    return Reply(200, {"Content-Type": media_type, "Docker-Content-Digest": str(digest)}, raw)


def _blob(_: Registry, store: Store, last: str, exchange: Exchange) -> Reply:
    content = store.blobs.get(parse_digest(last))
    if content is None:
        return fault(404, "BLOB_UNKNOWN", "blob unknown to registry")
    headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": last, "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", exchange.headers.get("range", ""))
    if asked is None:
        return Reply(200, headers, content)
    raw = b"".join(content.pieces())
    start, end = int(asked[1]), min(int(asked[2] or len(raw)), len(raw) - 1)
    if start >= len(raw):
        return Reply(416, {"Content-Range": f"bytes */{len(raw)}"})
    return Reply(206, {**headers, "Content-Range": f"bytes {start}-{end}/{len(raw)}"}, raw[start : end + 1])


def _referrers(registry: Registry, store: Store, last: str, exchange: Exchange) -> Reply:
    entries, link = _page(registry, store.referrers(parse_digest(last)), exchange)
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    return Reply(200, {"Content-Type": OCI_INDEX, **link}, body)


def _tags(registry: Registry, store: Store, _: str, exchange: Exchange) -> Reply:
    entries, link = _page(registry, sorted(store.tags), exchange)
    return Reply(200, {"Content-Type": "application/json", **link}, json.dumps({"name": "x", "tags": entries}).encode())


def _page(registry: Registry, entries: list[Any], exchange: Exchange) -> tuple[list[Any], dict[str, str]]:
    start = int(exchange.query.get("last", ["0"])[0])
    size = registry.page_size or len(entries) or 1
    end = start + size
    link = {"Link": f'<{exchange.path}?n={size}&last={end}>; rel="next"'} if end < len(entries) else {}
    return entries[start:end], link


def _authenticate(registry: Registry, exchange: Exchange) -> Reply | None:
    auth, sent = registry.auth, exchange.headers.get("authorization", "")
    if isinstance(auth, Basic) and sent != _basic(auth.user_name, auth.password):
        return _refusal('Basic realm="registry"')
    if isinstance(auth, Bearer):
        scopes, until = auth.issued.get(sent.removeprefix("Bearer "), ("", 0.0))
        wanted = _needed(exchange)
        if not sent or until < time.monotonic() or not all(_covers(scopes, scope) for scope in wanted):
            realm = auth.realm or f"{registry.url}/token"
            asked = f',scope="{" ".join(wanted)}"' if wanted else ""
            return _refusal(f'Bearer realm="{realm}",service="{auth.service}"{asked}')
    return None


def _needed(exchange: Exchange) -> list[str]:
    """The scopes that a request needs."""
    match = re.fullmatch(r"/v2/(.+?)/(?:manifests|blobs/uploads|blobs|referrers|tags)/[^/]*", exchange.path)
    if match is None:
        return []
    actions = "pull" if exchange.method in ("GET", "HEAD") else "pull,push"
    sources = [f"repository:{name}:pull" for name in exchange.query.get("from", ())]
    return [f"repository:{match[1]}:{actions}", *sources]


def _covers(scopes: str, wanted: str) -> bool:
    name, _, actions = wanted.rpartition(":")
    granted = (scope.rpartition(":") for scope in scopes.split())
    return any(name == own and set(actions.split(",")) <= set(has.split(",")) for own, _, has in granted)


def _refusal(challenge: str) -> Reply:
    reply = fault(401, "UNAUTHORIZED", "authentication required")
    reply.headers["WWW-Authenticate"] = challenge
    return reply


def _give_token(auth: Bearer, exchange: Exchange) -> Reply:
    given = parse_qs(exchange.body.decode()) if exchange.method == "POST" else exchange.query
    if exchange.method == "POST":
        allowed = auth.refresh_token is not None and given.get("refresh_token") == [auth.refresh_token]
    else:
        allowed = (
            exchange.headers.get("authorization", "") == _basic(auth.user_name, auth.password) or not auth.user_name
        )
    if not allowed:
        return fault(401, "UNAUTHORIZED", "incorrect username or password")
    token = secrets.token_urlsafe(24)
    scopes = " ".join(given.get("scope", ()))
    auth.issued[token] = (scopes if auth.may_push else scopes.replace(",push", ""), time.monotonic() + auth.seconds)
    said = int(auth.seconds) if auth.expires_in is None else auth.expires_in
    body = {("access_token" if exchange.method == "POST" else "token"): token, "expires_in": said}
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _basic(user_name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user_name}:{password}".encode()).decode()


def write_reply(handler: BaseHTTPRequestHandler, reply: Reply, *, with_body: bool) -> None:
    """Send status, headers with the right length unless given, and the body."""
    body = Held(reply.body) if isinstance(reply.body, bytes) else reply.body
    size = len(reply.body) if isinstance(reply.body, bytes) else sum(len(piece) for piece in body.pieces())
    handler.send_response(reply.status)
    headers = {"Content-Length": str(size), **reply.headers}
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    for piece in body.pieces() if with_body else ():
        handler.wfile.write(piece)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        # Nagle's algorithm would hold back small answers.
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        exchange = Exchange(self.server.registry, self.command, parts.path, parse_qs(parts.query), headers, body, self)
        self.server.registry.handle(exchange, self.path)

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a slow handshake holds up nobody."""
        with self._tracked(request):
            try:
                first = request.recv(1, socket.MSG_PEEK)
                if self.registry.tls is not None:
                    request = self.registry.tls.wrap_socket(request, server_side=True)
                elif first == b"\x16":
                    return  # TLS, but we speak plain HTTP
                with self._tracked(request):
                    super().finish_request(request, client_address)
            except OSError:
                pass  # the client left, or did not like our certificate
            finally:
                with contextlib.suppress(OSError):
                    request.close()

    def close_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _tracked(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
            if self.registry.stopped.is_set():  # accepted just before, and nobody else will end it
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are part of the game."""
