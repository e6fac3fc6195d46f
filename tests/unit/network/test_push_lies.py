"""Pushing to a registry that refuses, fails or lies (THREATS E4, E5, S5 to S7, F19): the promised reason."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.errors import EnvError, SealiftError
from bundler.network.push import Targets
from bundler.network.registry import Registries
from bundler.oci.manifest import OCI_INDEX
from bundler.oci.reference import parse_reference
from tests.simulators import registry_lies as lies
from tests.simulators.flaky_wire import FlakyWire
from tests.simulators.push_scene import MIB, PushScene, push_scene, thing
from tests.simulators.registry import Basic, Behaviour, Exchange, Registry, Reply
from tests.simulators.registry_scene import FOR_LIES, NAME, QUICK
from tests.simulators.registry_writes import Writes
from tests.simulators.tls import LoopbackAuthority

EMPTY = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
SMALL, LARGE = 1000, 3 * MIB


def refused(it: PushScene, size_bytes: int = LARGE, **options: Any) -> EnvError:
    """Push a blob, which has to fail."""
    item = thing(size_bytes)
    with pytest.raises(EnvError) as caught:
        it.target.push_blob(item.descriptor, item.content, **options)
    return caught.value


def refused_manifest(it: PushScene, raw: bytes = EMPTY, target: str = "1") -> EnvError:
    """Push an index, which has to fail."""
    with pytest.raises(EnvError) as caught:
        it.target.push_manifest(raw, OCI_INDEX, target)
    return caught.value


REFUSALS: list[tuple[Behaviour, str]] = [
    (lies.status(401), "registry-auth"),
    (lies.status(403), "registry-denied"),
    (lies.status(403, "DENIED", "quota exceeded"), "registry-denied"),
    (lies.status(404, "NAME_UNKNOWN"), "push-name"),
    (lies.status(400, "NAME_INVALID"), "push-name"),
    (lies.status(405, "UNSUPPORTED"), "push-refused"),
    (lies.status(409, "CONFLICT"), "push-refused"),
    (lies.status(412), "push-refused"),
    (lies.status(413), "push-refused"),
    (lies.status(429), "registry-busy"),
    (lies.status(500), "registry-server"),
    (lies.status(507), "registry-server"),
    (lies.status(200), "registry-answer"),
    (lies.status(204), "registry-answer"),
    (lies.redirect("/elsewhere"), "registry-redirect"),
    (lies.redirect("https://other.example.org/", 308), "registry-redirect"),
    (lies.drop_unasked, "network"),
    (lies.gibberish, "registry-answer"),
]


@pytest.mark.parametrize(("lie", "code"), REFUSALS)
def test_a_registry_that_refuses(lie: Behaviour, code: str) -> None:
    """At the start of a blob, in its middle, at its end; and for a manifest. The same words each time."""
    with push_scene() as it:
        for method in ("POST", "PATCH", "PUT"):
            it.registry.reform()
            it.writes.sessions.clear()
            it.registry.on("uploads|manifests", lie, method=method)
            error = refused(it)
            assert error.code == code
            assert it.target.name in error.which
            assert len(it.registry.log) < 30
            assert it.store.blobs == {}
            # What was opened is given up, unless nobody would hear it.
            assert len(it.writes.sessions) == (1 if code == "network" and method != "POST" else 0)
        assert refused_manifest(it).code == code
        assert it.store.tags == {}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("MANIFEST_BLOB_UNKNOWN", "push-blob-unknown"),
        ("MANIFEST_UNVERIFIED", "push-blob-unknown"),
        ("BLOB_UNKNOWN", "push-blob-unknown"),
        ("MANIFEST_UNKNOWN", "push-blob-unknown"),
        ("MANIFEST_INVALID", "push-refused"),
        ("TAG_INVALID", "push-refused"),
        ("SIZE_INVALID", "push-changed"),
        ("DIGEST_INVALID", "push-changed"),
        ("NAME_INVALID", "push-name"),
        ("SOMETHING_NEW", "push-refused"),
    ],
)
@pytest.mark.parametrize("number", [400, 404])
def test_why_a_manifest_is_refused(fault: str, code: str, number: int) -> None:
    with push_scene() as it:
        it.registry.on("/manifests/", lies.status(number, fault, "because"), method="PUT")
        error = refused_manifest(it)
        assert error.code == code
        assert error.got == f"HTTP {number} {fault}: 'because'"
        assert error.want


@pytest.mark.parametrize("number", [200, 401, 403, 429, 500])
def test_codes_count_only_under_their_statuses(number: int) -> None:
    with push_scene(replace(QUICK, retries=0)) as it:
        it.registry.on("/manifests/", lies.status(number, "MANIFEST_BLOB_UNKNOWN"), method="PUT")
        assert not refused_manifest(it).code.startswith("push")


@pytest.mark.parametrize(
    ("writes", "code"),
    [
        (Writes(is_read_only=True), "push-refused"),
        (Writes(is_denied=True), "registry-denied"),
        (Writes(name_parts=1), "push-name"),
        (Writes(quota_bytes=2 * MIB), "registry-denied"),
    ],
)
def test_registries_with_rules(writes: Writes, code: str) -> None:
    with push_scene(writes=writes) as it:
        error = refused(it)
        assert error.code == code
        assert error.hints
        assert writes.sessions == {}


def test_a_tag_that_the_registry_keeps() -> None:
    with push_scene(writes=Writes(keeps_tags=True)) as it:
        it.target.push_manifest(EMPTY, OCI_INDEX, "1")
        it.target.push_manifest(EMPTY, OCI_INDEX, "1")
        error = refused_manifest(it, EMPTY + b"\n")
        assert error.code == "push-refused"
        assert "TAG_INVALID" in error.got
        assert it.store.tags == {"1": sha256_of(EMPTY)}


@pytest.mark.parametrize(
    ("location", "code"),
    [
        (None, "registry-answer"),
        ("", "registry-answer"),
        ("ftp://x/", "registry-answer"),
        ("http://user:pass@x/", "registry-answer"),
        ("http://[", "registry-answer"),
        ("/a b", "registry-answer"),
        ("/a#b", "registry-answer"),
        ("http://127.0.0.1:1/", "network"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_locations_that_lead_nowhere(method: str, location: str | None, code: str) -> None:
    with push_scene() as it:
        it.registry.on("/uploads/", lies.header("Location", location), method=method)
        assert refused(it).code == code


@contextlib.contextmanager
def logged_in(folder: Path, **options: Any) -> Iterator[PushScene]:
    """A scene in which the client knows a password."""
    path = folder / "auth.json"
    with push_scene(replace(QUICK, authfile=path), auth=Basic("user", "pass"), **options) as it:
        path.write_text(json.dumps({"auths": {it.registry.host: {"auth": "dXNlcjpwYXNz"}}}))
        yield it


def test_an_upload_at_another_host_gets_no_credentials(tmp_path: Path) -> None:
    """Registries may keep uploads elsewhere; who we are stays at the registry, and is not told to who asks for it."""
    with logged_in(tmp_path) as it, Registry(writes=Writes()) as storage:
        for size_bytes in (SMALL, LARGE):
            there = storage.url + _opened(storage)
            it.registry.on("/uploads/", lies.header("Location", there), method="POST")
            item = thing(size_bytes)
            it.target.push_blob(item.descriptor, item.content)
            content = storage.repository("storage").blobs[item.descriptor.digest]
            assert b"".join(content.pieces()) == item.raw
        assert storage.log
        assert all("authorization" not in entry.headers for entry in storage.log)
        assert any("authorization" in entry.headers for entry in it.registry.log)
        storage.reform()
        storage.on("", lies.status(401, WWW_Authenticate='Basic realm="registry"'))
        assert refused(it).code == "registry-auth"
        assert all("authorization" not in entry.headers for entry in storage.log)


def _opened(registry: Registry) -> str:
    """An upload that was opened beforehand."""
    writes = registry.writes
    assert isinstance(writes, Writes)
    exchange = Exchange(registry, "POST", "/v2/storage/blobs/uploads/", {}, {}, b"", None)  # type: ignore[arg-type]
    reply = writes.answer(registry, exchange)
    assert reply is not None
    return reply.headers["Location"]


def test_never_from_https_to_http(tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    access = replace(QUICK, tls_verify=True, cert_dir=authority.cert_dir(tmp_path / "certs"))
    context = authority.server_context(authority.issue("registry"))
    with push_scene(access, tls=context) as it, Registry(writes=Writes()) as plain:
        for location in (f"http://{it.registry.host}/v2/x", f"{plain.url}/v2/x"):
            it.registry.on("/uploads/", lies.header("Location", location), method="POST")
            error = refused(it)
            assert error.code == "registry-redirect"
            assert error.hints
        assert plain.log == []


@pytest.mark.parametrize(
    "said", ["0-3145728", "0-99999999999", "5-9", "bytes 0-5/6", "x", "0-" + "9" * 30, "-5", "0--1"]
)
def test_ranges_that_cannot_be(said: str) -> None:
    with push_scene() as it:
        it.registry.on("/uploads/", lies.header("Range", said), method="PATCH")
        assert refused(it).code == "registry-answer"
        assert it.registry.asked("PUT", "") == []
        assert it.writes.sessions == {}


def test_a_registry_that_loses_what_it_had() -> None:
    with push_scene() as it:
        honest_first = lies.alternating(lies.honest, lies.header("Range", "0-5"))
        it.registry.on("/uploads/", honest_first, method="PATCH")
        assert refused(it, part_bytes=MIB).code == "registry-answer"


def test_ranges_that_some_registries_write() -> None:
    for said in (None, "bytes=0-3145727", "0-3145727"):
        with push_scene() as it:
            it.registry.on("/uploads/", lies.header("Range", said), method="PATCH")
            item = thing(LARGE)
            assert it.target.push_blob(item.descriptor, item.content) == "pushed"
            assert it.holds(item)


def test_success_without_end() -> None:
    """202 to each part, but nothing is kept."""

    def behave(exchange: Exchange) -> None:
        exchange.send(Reply(202, {"Location": exchange.path, "Range": "0-0"}))

    for method in ("PATCH", ""):
        with push_scene() as it:
            it.registry.on("/uploads/", behave, method=method or None)
            error = refused(it)
            assert error.code == "registry-answer"
            assert len(it.registry.log) < 40


def test_a_registry_that_takes_parts_in_half() -> None:
    """It says so, and the rest follows; each step has to bring something."""

    def behave(exchange: Exchange) -> None:
        exchange.body = exchange.body[:600_000]
        exchange.headers["content-length"] = str(len(exchange.body))
        exchange.send(exchange.normal())

    with push_scene() as it:
        it.registry.on("/uploads/", behave, method="PATCH")
        item, shown = thing(LARGE), list[int]()
        assert it.target.push_blob(item.descriptor, item.content, watch=shown.append) == "pushed"
        assert it.holds(item)
        assert sum(shown) == LARGE


def test_drops_without_end_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.PUSH_DROPS", 5)
    writes = Writes()

    def behave(exchange: Exchange) -> None:
        exchange.body = exchange.body[:2000]
        exchange.headers["content-length"] = "2000"
        exchange.send(exchange.normal())

    with push_scene(writes=writes) as it:
        it.registry.on("/uploads/", behave, method="PATCH")
        assert refused(it).code == "registry-answer"
        assert len(it.registry.asked("PATCH", "")) == 6
        assert writes.sessions == {}


@pytest.mark.parametrize("size_bytes", [SMALL, LARGE])
def test_another_digest_than_was_sent(size_bytes: int) -> None:
    other = str(sha256_of(b"other"))
    with push_scene() as it:
        it.registry.on("/uploads/|/manifests/", lies.header("Docker-Content-Digest", other), method="PUT")
        error = refused(it, size_bytes)
        assert error.code == "push-changed"
        assert other in error.got
        assert refused_manifest(it).code == "push-changed"
        it.registry.on("/uploads/|/manifests/", lies.header("Docker-Content-Digest", None), method="PUT")
        assert it.target.push_manifest(EMPTY, OCI_INDEX, "1")


def test_a_mount_of_something_else() -> None:
    with push_scene() as it:
        item = thing(SMALL)
        it.registry.repository("team/base").put_blob(item.raw)
        it.registry.on("mount=", lies.header("Docker-Content-Digest", str(sha256_of(b"other"))), method="POST")
        assert refused(it, SMALL, mount_from=[f"{it.registry.host}/team/base"]).code == "push-changed"


def test_a_mount_that_did_not_happen() -> None:
    """201, but the blob is not there: it is uploaded."""
    with push_scene() as it:
        item = thing(SMALL)
        it.registry.on("mount=", lies.status(201, Location="/v2/x"), method="POST")
        names = [f"{it.registry.host}/team/base"]
        assert it.target.push_blob(item.descriptor, item.content, mount_from=names) == "pushed"
        assert it.holds(item)


def test_a_registry_that_writes_manifests_anew() -> None:
    """S7: told, or found out by reading back."""

    def change(raw: bytes) -> bytes:
        return json.dumps(json.loads(raw), indent=1).encode()

    with push_scene(writes=Writes(change=change)) as it:
        assert refused_manifest(it).code == "push-changed"
    with push_scene(writes=Writes(change=change, says_sent_digest=True)) as it:
        it.target.push_manifest(EMPTY, OCI_INDEX, "1")
        assert it.target.find_manifest(sha256_of(EMPTY)) is None
        found = it.target.find_manifest("1")
        assert found is not None
        assert found.digest != sha256_of(EMPTY)


def test_a_registry_that_drops_blobs() -> None:
    with push_scene(writes=Writes(drops_blobs=True)) as it:
        item = thing(SMALL)
        assert it.target.push_blob(item.descriptor, item.content) == "pushed"
        assert not it.target.has_blob(item.descriptor)


@pytest.mark.parametrize("said", ["x", str(sha256_of(b"other")), "sha256:0"])
def test_a_subject_that_was_not_named(said: str) -> None:
    for raw in (EMPTY, EMPTY[:-1] + b',"subject":' + _descriptor() + b"}"):
        with push_scene() as it:
            it.registry.on("/manifests/", lies.header("OCI-Subject", said), method="PUT")
            assert refused_manifest(it, raw).code == "registry-answer"


def _descriptor() -> bytes:
    return json.dumps({"mediaType": OCI_INDEX, "digest": str(sha256_of(EMPTY)), "size": len(EMPTY)}).encode()


@pytest.mark.parametrize(
    "lie",
    [lies.stall, lies.drip_head(0.01), lies.endless_headers, lies.drip(0.05)],
    ids=["stall", "drip_head", "endless_headers", "drip"],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_answers_that_do_not_end(method: str, lie: Behaviour) -> None:
    with push_scene(FOR_LIES) as it:
        if lie is not lies.stall:
            it.registry.on("/uploads/", lies.status(403, "DENIED"), method="DELETE")
        it.registry.on("/uploads/", lie, method=method)
        start = time.monotonic()
        item = thing(LARGE)
        with contextlib.suppress(EnvError):
            it.target.push_blob(item.descriptor, item.content)
        assert time.monotonic() - start < 28  # it takes some three; the least of them would take 30
        assert len(it.registry.log) < 20


def test_a_line_that_jams_while_we_send() -> None:
    with push_scene(FOR_LIES) as it, FlakyWire(it.registry.port, jams_at=2 * MIB) as wire:
        with Registries(FOR_LIES, {}) as registries:
            target = Targets(registries).repository(parse_reference(f"127.0.0.1:{wire.port}/{NAME}"))
            item = thing(24 * MIB)
            with pytest.raises(EnvError) as caught:
                target.push_blob(item.descriptor, item.content)
        assert caught.value.code == "stalled"
        assert it.store.blobs == {}


@contextlib.contextmanager
def eager_server(answers: Callable[[str, int], bytes]) -> Iterator[int]:
    """Reads no body: answers as soon as it knows what is asked, and closes. Gives its port."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    head = connection.recv(65536)
                    connection.sendall(answers(head.split(b" ", 1)[0].decode("latin-1"), port))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield port
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("status", ["413 Too Large", "202 Accepted"])
def test_an_answer_before_the_content_was_sent(status: str) -> None:
    """Never taken for success, whatever the registry says about what it has."""

    def answers(method: str, port: int) -> bytes:
        location = f"Location: http://127.0.0.1:{port}/v2/x"
        heads = {
            "HEAD": "404 Not Found",
            "POST": f"202 Accepted\r\n{location}",
            "PATCH": f"{status}\r\n{location}",
            "GET": f"204 No Content\r\n{location}\r\nRange: 0-9",
            "PUT": "201 Created",
            "DELETE": "204 No Content",
        }
        return f"HTTP/1.1 {heads.get(method, '400 What')}\r\nConnection: close\r\n\r\n".encode()

    with eager_server(answers) as port, Registries(replace(FOR_LIES, retries=1), {}) as registries:
        target = Targets(registries).repository(parse_reference(f"127.0.0.1:{port}/{NAME}"))
        item = thing(24 * MIB)
        with pytest.raises(EnvError) as caught:
            target.push_blob(item.descriptor, item.content)
        assert caught.value.code in {"push-refused", "registry-answer", "network", "connection-lost", "stalled"}


def test_secrets_show_nowhere_even_if_the_registry_echoes_them(tmp_path: Path) -> None:
    def echo(exchange: Exchange) -> None:
        lies.status(400, "MANIFEST_INVALID", f"you are {exchange.headers.get('authorization', '')} pass")(exchange)

    with logged_in(tmp_path) as it:
        it.registry.on("/manifests/", echo, method="PUT")
        item = thing(SMALL)
        it.target.push_blob(item.descriptor, item.content)
        error = refused_manifest(it)
        assert "dXNlcjpwYXNz" not in f"{error} {error!r}"
        assert "***" in error.got


def test_a_run_that_ends_wakes_who_waits() -> None:
    access = replace(QUICK, backoff_seconds=30.0)
    with Registry(writes=Writes()) as registry, Registries(access, {}) as registries:
        registry.on("/uploads/", lies.status(503), method="PATCH")
        target = Targets(registries).repository(parse_reference(f"{registry.host}/{NAME}"))
        item, raised = thing(LARGE), list[SealiftError]()

        def push() -> None:
            try:
                target.push_blob(item.descriptor, item.content)
            except SealiftError as error:
                raised.append(error)

        thread = threading.Thread(target=push)
        thread.start()
        while not registry.asked("PATCH", ""):
            time.sleep(0.01)
        registries.close()
        thread.join(10)
        assert [error.code for error in raised] == ["network"]


@pytest.mark.parametrize("patient", [True, False])
def test_a_registry_that_hashes_for_long_before_it_answers(patient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence after the last request is no fault for as long as slow disks take to read the blob."""
    if patient:
        monkeypatch.setattr("bundler.limits.REGISTRY_HASHING_BYTES_PER_SECOND", LARGE / 20)

    def slowly(exchange: Exchange) -> None:
        exchange.wait(0.9 if patient else 30)
        exchange.send(exchange.normal())

    with push_scene(replace(FOR_LIES, retries=9 if patient else 0)) as it:
        it.registry.on("digest=", slowly, method="PUT")
        item = thing(LARGE)
        if patient:
            assert it.target.push_blob(item.descriptor, item.content) == "pushed"
            assert len(it.registry.asked("PUT", "digest=")) == 1
        else:
            assert refused(it).code == "stalled"
