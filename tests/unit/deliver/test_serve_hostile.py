"""Clients that attack, dawdle, flood or vanish; and the server afterwards: alive, and every digest right."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bundler.archive.chunks import CHUNK_BYTES
from bundler.deliver.serve import Server
from bundler.digest import Digest, sha256_of
from tests.simulators.hostile_requests import HOSTILE, Hostile, get
from tests.simulators.images import Layout, big_layer
from tests.simulators.served import Scene, Wire, ask, with_sbom
from tests.simulators.tls import LoopbackAuthority

NAME = "registry.example.org/team/app:1"
BLOB_BYTES = 5 * CHUNK_BYTES + 1


class World:
    """A server with one image that has one large layer."""

    def __init__(self, folder: Path) -> None:
        layout = Layout()
        image = layout.image("linux/amd64", [big_layer(BLOB_BYTES, 1)])
        self.top = with_sbom(layout, image, NAME).digest
        self.blob = next(digest for digest in layout.blobs if self.size(layout, digest) == BLOB_BYTES)
        self.scene = Scene(folder)
        self.scene.add((layout.write(folder / "layout"), NAME))

    @staticmethod
    def size(layout: Layout, digest: Digest) -> int:
        return sum(len(piece) for piece in layout.blobs[digest].pieces())

    @property
    def blob_target(self) -> bytes:
        return f"/v2/team/app/blobs/{self.blob}".encode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def running(world: World) -> Iterator[Server]:
    with world.scene.serve() as server:
        yield server


@pytest.fixture
def server(world: World) -> Iterator[Server]:
    """One of its own, for tests that change its limits."""
    with world.scene.serve() as server:
        yield server


def check_sound(world: World, server: Server) -> None:
    """The server answers, and what it gives is right."""
    port = server.address.port
    assert sha256_of(ask(port, "/v2/team/app/manifests/1").body) == world.top
    assert sha256_of(ask(port, world.blob_target.decode()).body) == world.blob


def test_there_are_enough() -> None:
    assert len(HOSTILE) >= 60
    assert len({item.name for item in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda item: item.name)
def test_hostile_requests(running: Server, hostile: Hostile) -> None:
    with Wire(running.address.port) as wire:
        reply = wire.send(hostile.raw).read()
        assert reply is not None
        assert reply.status in hostile.statuses
        assert reply.is_whole
        if hostile.ends:
            assert wire.is_ended(), "what came after the refused request was answered"
        else:
            again = wire.send(get(b"/v2/")).read()
            assert again is not None
            assert again.status == 200


def test_after_all_hostile_requests_everything_is_right(world: World, running: Server) -> None:
    for hostile in HOSTILE:
        with Wire(running.address.port) as wire:
            wire.send(hostile.raw[: len(hostile.raw) // 2])
    check_sound(world, running)
    assert not [line for line in world.scene.lines if "bug" in line]


def test_the_log_shows_no_control_characters(world: World, running: Server) -> None:
    ask(running.address.port, "/v2/x?last=\x7f\x1b[2J".replace("\x7f", "").replace("\x1b", "%1b"))
    assert all(line.isprintable() and len(line) < 600 for line in world.scene.lines)


def test_requests_one_after_the_other_in_one_packet(running: Server) -> None:
    with Wire(running.address.port) as wire:
        wire.send(get(b"/v2/") + get(b"/v2/_catalog") + get(b"/v2/team/app/manifests/none"))
        replies = [wire.read() for _ in range(3)]
    assert [reply.status for reply in replies if reply] == [200, 200, 404]


def test_a_request_that_comes_byte_by_byte(running: Server) -> None:
    with Wire(running.address.port) as wire:
        for byte in get(b"/v2/"):
            wire.send(bytes([byte]))
        reply = wire.read()
    assert reply is not None
    assert reply.status == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_connections_end_when_the_client_says_so(running: Server, version: str) -> None:
    more = "Connection: close\r\n" if version == "1.1" else ""
    with Wire(running.address.port) as wire:
        reply = wire.send(f"GET /v2/ HTTP/{version}\r\nHost: a\r\n{more}\r\n".encode()).read()
        assert reply is not None
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert wire.is_ended()


# -- time and room ----------------------------------------------------------------------------------------------------


def test_a_head_that_never_ends(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr("bundler.limits.REQUEST_HEAD_SECONDS", 0.2)
    with Wire(server.address.port) as wire:
        wire.send(b"GET /v2/ HTTP/1.1\r\n")
        assert wire.is_ended()


def test_silence(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr("bundler.limits.REQUEST_IDLE_SECONDS", 0.2)
    with Wire(server.address.port) as wire:
        assert wire.is_ended()


def test_a_client_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch, world: World, server: Server) -> None:
    monkeypatch.setattr("bundler.limits.SERVE_HOLD_SECONDS", 0.1)
    monkeypatch.setattr("bundler.limits.SERVE_PIECE_SECONDS", 0.2)
    with Wire(server.address.port, small_window=True) as wire:
        wire.send(get(world.blob_target))
        until(lambda: any(f"{world.blob} 200" in line and "client-slow" in line for line in world.scene.lines))
        reply = wire.read()
    assert reply is None or not reply.is_whole
    monkeypatch.undo()  # a busy machine makes slow clients of us too
    check_sound(world, server)


def test_a_slow_client_gets_all_and_holds_nothing(
    monkeypatch: pytest.MonkeyPatch, world: World, server: Server
) -> None:
    monkeypatch.setattr("bundler.limits.SERVE_HOLD_SECONDS", 0.01)
    with Wire(server.address.port, small_window=True) as wire:
        wire.send(get(world.blob_target))
        # In the end the server waits for us, and holds a copy of a piece.
        until(lambda: server.pool.peak_bytes and all(not entry.users for entry in tuple(server.pool._entries.values())))
        reply = wire.read()
    assert reply is not None
    assert sha256_of(reply.body) == world.blob


def test_slow_clients_do_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch, world: World, tmp_path: Path) -> None:
    """More clients that read nothing than there is room for chunks; another one is served all the same."""
    monkeypatch.setattr("bundler.limits.SERVE_HOLD_SECONDS", 0.05)
    with world.scene.open() as held, world.scene.run(held) as server:
        server.pool._limit_bytes = 2 * CHUNK_BYTES
        wires = [Wire(server.address.port, small_window=True) for _ in range(8)]
        for number, wire in enumerate(wires):
            start = number % 5 * CHUNK_BYTES
            wire.send(get(world.blob_target, f"Range: bytes={start}-\r\n".encode()) * 2)
        check_sound(world, server)
        assert server.pool.peak_bytes <= 2 * CHUNK_BYTES
        for wire in wires:
            wire.close()


def test_clients_that_vanish(world: World, running: Server) -> None:
    for _ in range(20):
        with Wire(running.address.port) as wire:
            wire.send(get(world.blob_target))
            wire.socket.recv(1000)
    check_sound(world, running)


def test_too_many_connections(monkeypatch: pytest.MonkeyPatch, world: World, server: Server) -> None:
    monkeypatch.setattr("bundler.limits.SERVE_CONNECTIONS", 3)
    wires = [Wire(server.address.port) for _ in range(3)]
    for wire in wires:
        assert wire.send(get(b"/v2/")).read() is not None
    with Wire(server.address.port) as late:
        reply = late.read()
        assert reply is None or reply.status == 503
        assert late.is_ended()
    wires.pop().close()
    until(lambda: _answers(server.address.port))
    for wire in wires:
        assert wire.send(get(b"/v2/")).read() is not None
        wire.close()


def test_too_many_connections_of_one_client(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr("bundler.limits.SERVE_CLIENT_CONNECTIONS", 1)
    with Wire(server.address.port) as first:
        assert first.send(get(b"/v2/")).read() is not None
        with Wire(server.address.port) as second:
            reply = second.read()
            assert reply is None or reply.status == 503


@pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.EPERM, errno.EMFILE, errno.ECONNABORTED])
def test_a_connection_that_cannot_be_accepted_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, world: World, code: int
) -> None:
    """What went wrong with the network before a connection was taken comes out of accept(2)."""

    class Failing(socket.socket):
        failures = 0

        def accept(self) -> tuple[socket.socket, object]:
            if self.failures < 3:
                self.failures += 1
                raise OSError(code, os.strerror(code))
            return super().accept()

    monkeypatch.setattr("bundler.network.server.listener.socket.socket", Failing)
    with world.scene.open() as held, world.scene.run(held) as server:
        assert isinstance(server._listener._socket, Failing)
        until(lambda: _answers(server.address.port))
        check_sound(world, server)


def test_two_hundred_clients_at_once(world: World, running: Server) -> None:
    """Each pulls the manifest and two chunks of the layer; everything is right, within the memory for chunks."""
    ready = threading.Barrier(200)

    def pull(number: int) -> bool:
        start = number % 5 * CHUNK_BYTES
        with Wire(running.address.port) as wire:
            ready.wait(60)
            manifest = wire.send(get(b"/v2/team/app/manifests/1")).read()
            blob = wire.send(get(world.blob_target, f"Range: bytes={start}-{start + 99_999}\r\n".encode())).read()
        assert manifest is not None
        assert blob is not None
        return sha256_of(manifest.body) == world.top and len(blob.body) == 100_000 and blob.is_whole

    with ThreadPoolExecutor(200) as crowd:
        assert all(crowd.map(pull, range(200)))
    check_sound(world, running)
    assert running.pool.peak_bytes <= 64 * 1024 * 1024


def test_a_flood_of_requests_does_not_flood_the_log(world: World, server: Server) -> None:
    before = len(world.scene.lines)  # the scene's clock stands still: all of it is one second
    with Wire(server.address.port) as wire:
        for _ in range(500):
            assert wire.send(get(b"/v2/")).read() is not None
    assert len(world.scene.lines) - before <= 200


# -- stopping, TLS ----------------------------------------------------------------------------------------------------


def test_a_stop_lets_answers_end_and_takes_no_more(world: World) -> None:
    with world.scene.open() as held, world.scene.run(held) as server:
        idle, busy = Wire(server.address.port), Wire(server.address.port, small_window=True)
        assert idle.send(get(b"/v2/")).read() is not None
        busy.send(get(world.blob_target))
        first = busy.socket.recv(1000)
        ending = threading.Thread(target=server.stop)
        ending.start()
        assert idle.is_ended()
        busy.buffer += first
        reply = busy.read()
        ending.join()
        assert reply is not None
        assert sha256_of(reply.body) == world.blob
        assert busy.is_ended()
        with pytest.raises(OSError, match="refused"):
            Wire(server.address.port)
        idle.close()
        busy.close()


def test_a_stop_cuts_what_takes_too_long(world: World) -> None:
    with world.scene.open() as held, world.scene.run(held) as server:
        wire = Wire(server.address.port, small_window=True)
        wire.send(get(world.blob_target))
        head = wire.socket.recv(100)
        server.stop(0.1)
        wire.buffer += head
        reply = wire.read()
        assert reply is not None
        assert not reply.is_whole
        wire.close()


def test_tls(world: World, tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    pair = authority.issue("server")
    context = ssl.create_default_context(cafile=authority.certificate)
    with world.scene.serve(tls=(pair.certificate, pair.key)) as server:
        assert server.url == f"https://127.0.0.1:{server.address.port}"
        with Wire(server.address.port, context) as wire:
            assert wire.socket.version() in ("TLSv1.2", "TLSv1.3")  # type: ignore[attr-defined]
            reply = wire.send(get(world.blob_target)).read()
            assert reply is not None
            assert sha256_of(reply.body) == world.blob
        with Wire(server.address.port) as plain:  # a client without TLS is told nothing, and nobody waits
            plain.send(get(b"/v2/"))
            plain.read()
        with Wire(server.address.port, context) as wire:
            assert wire.send(get(b"/v2/")).read() is not None


def test_tls_with_a_slow_client(monkeypatch: pytest.MonkeyPatch, world: World, tmp_path: Path) -> None:
    monkeypatch.setattr("bundler.limits.SERVE_HOLD_SECONDS", 0.02)
    authority = LoopbackAuthority(tmp_path / "ca")
    pair = authority.issue("server")
    context = ssl.create_default_context(cafile=authority.certificate)
    with (
        world.scene.serve(tls=(pair.certificate, pair.key)) as server,
        Wire(server.address.port, context, small_window=True) as wire,
    ):
        wire.send(get(world.blob_target))
        until(lambda: server.pool.peak_bytes)
        time.sleep(0.2)  # so that it waits for us, on most machines
        reply = wire.read()
    assert reply is not None
    assert sha256_of(reply.body) == world.blob


def until(holds: object) -> None:
    """Wait until something holds; it will, or the test fails after some seconds."""
    deadline = time.monotonic() + 60
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _answers(port: int) -> bool:
    try:
        return ask(port, "/v2/").status == 200
    except (AssertionError, OSError):
        return False
