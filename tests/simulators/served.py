"""Bundles that are served on loopback, and a client that says exactly what it is told to.

scene = Scene(tmp_path, trusted_root)
scene.add(layout_folder, "registry.example.org/team/app:1")      # each call is the next delivery
with scene.serve() as server:
    ask(server.address.port, "/v2/team/app/tags/list").json()
    Wire(port).send(b"GET /v2/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n").read()
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from bundler.deliver.serve import Place, Server, open_bundles, open_server
from bundler.deliver.verified import Opened
from bundler.network.server.listener import Address
from bundler.oci.descriptor import Descriptor
from bundler.verify.pipeline import Request
from bundler.verify.policy import parse_policy
from tests.simulators.deliveries import NOW, START, Exporter, LayoutSource, make_site
from tests.simulators.images import Layout, sbom_statement
from tests.simulators.tuf_repository import TufRepository
from trust_root.delivery import time_basis
from trust_root.site import load_site

OPEN_POLICY = """format = 1
[[rule]]
images = ["**"]
require = ["sbom"]
allow_unsigned = true
"""
_SECONDS = 60
_SMALL_WINDOW_BYTES = 128 * 1024


@dataclass
class Scene:
    """An exporter, a site, and what the site judges by."""

    folder: Path
    policy: str = OPEN_POLICY
    trusted_root: bytes = b""
    clock: datetime = NOW
    files: list[Path] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    repository: TufRepository = field(init=False)
    exporters: dict[str, Exporter] = field(default_factory=dict)
    state: Path = field(init=False)

    def __post_init__(self) -> None:
        targets = {"trusted_root/demo.json": self.trusted_root} if self.trusted_root else {}
        self.repository = TufRepository("main", targets=targets)
        self.state = make_site(self.folder / "state", self.repository.pin)

    def add(self, *images: tuple[Path, str], stream: str = "main", at: datetime = START) -> Path:
        """The next delivery of a stream, of layouts with their names."""
        if stream not in self.exporters:
            if stream != "main":
                self.repository.add_stream(stream)
            self.exporters[stream] = Exporter(self.repository, self.folder, stream)
        sources = [LayoutSource("oci", path, name) for path, name in images]
        self.files.append(self.exporters[stream].deliver(*sources, at=at))
        return self.files[-1]

    def judge(self, *, historic: bool = False, read_only: bool = False) -> Request:
        """What the site judges by, as of `clock`."""
        site = load_site(self.state, read_only=read_only)
        policy = parse_policy(self.policy.encode())
        return Request(time_basis(self.clock, site.floor), site=site, policy=policy, historic=historic, threads=1)

    @contextlib.contextmanager
    def open(self, *files: Path, historic: bool = False) -> Iterator[tuple[Opened, ...]]:
        """The bundles, verified."""
        with open_bundles(files or self.files, lambda: self.judge(historic=historic), lambda _: None) as held:
            yield held

    @contextlib.contextmanager
    def serve(self, *files: Path, historic: bool = False, tls: tuple[Path, Path] | None = None) -> Iterator[Server]:
        """A server for these bundles, or all."""
        with self.open(*files, historic=historic) as held, self.run(held, tls=tls) as server:
            yield server

    @contextlib.contextmanager
    def run(self, held: tuple[Opened, ...], tls: tuple[Path, Path] | None = None) -> Iterator[Server]:
        """A server for what is open."""
        bundles = [one.bundle for one in held if one.bundle is not None]
        assert len(bundles) == len(held), [(one.run.report.reason, one.run.report.failure) for one in held]
        place = Place(Address("127.0.0.1", 0), tls)
        with open_server(bundles, place, write=self.lines.append, clock=lambda: self.clock) as server:
            yield server


def with_sbom(layout: Layout, image: Descriptor, name: str) -> Descriptor:
    """An index of an image and the SBOM that the policy demands, named."""
    return layout.name(layout.index([image, layout.attestation(image, [sbom_statement(image)])]), name)


@dataclass(frozen=True)
class Reply:
    """An answer. `is_whole` tells whether all of the promised body came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the distribution-spec."""
        return str(self.json()["errors"][0]["code"])


class Wire:
    """One connection, byte by byte."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, *, small_window: bool = False) -> None:
        self.buffer = bytearray()
        plain = socket.socket()
        try:
            plain.settimeout(_SECONDS)
            if small_window:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_WINDOW_BYTES)
            plain.connect(("127.0.0.1", port))
            self.socket = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        except OSError:
            plain.close()
            raise

    def send(self, raw: bytes) -> Wire:
        """Send bytes as they are."""
        self.socket.sendall(raw)
        return self

    def read(self, *, with_body: bool = True) -> Reply | None:
        """The next answer; None when the server ends the connection without one."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", 0)) if with_body else 0
        while len(self.buffer) < size and self._more():
            pass
        body = bytes(self.buffer[:size])
        del self.buffer[:size]
        return Reply(int(first.split()[1]), headers, body, len(body) == size)

    def is_ended(self) -> bool:
        """Whether the server ends the connection, without another byte."""
        return not self.buffer and not self._more()

    def close(self) -> None:
        """Close it."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(1 << 20)
        except ConnectionError:
            return False
        self.buffer += piece
        return bool(piece)


def ask(port: int, target: str, method: str = "GET", **headers: str) -> Reply:
    """One request on a connection of its own. `Range="bytes=0-1"`; `_` in names stands for `-`."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""])
    with Wire(port) as wire:
        reply = wire.send(head.encode()).read(with_body=method != "HEAD")
    assert reply is not None
    return reply
