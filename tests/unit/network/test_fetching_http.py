"""Fetching by our own client over HTTP: drops, stalls, servers without ranges, Ctrl-C while nothing comes."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.errors import EnvError, RejectedError, SealiftError
from bundler.network.access import Access
from bundler.network.blob_cache import open_cache
from bundler.network.fetching import Fetcher, ImageWork
from bundler.network.registry import Registries
from bundler.oci.descriptor import Descriptor
from bundler.oci.reference import parse_reference
from tests.simulators import registry_lies as lies
from tests.simulators.blob_source import Patterned
from tests.simulators.ctrl_c import pressed_when
from tests.simulators.registry import Exchange, Registry, Reply

LARGE = Patterned(3_000_000, seed=4)
LARGE_FROM = 1_000_000
ACCESS = Access(tls_verify=False, stall_seconds=20, retries=2, backoff_seconds=0.01)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as started:
        yield started


@pytest.fixture
def blob(registry: Registry) -> Descriptor:
    return registry.repository("team/app").put_blob(LARGE.part(0, LARGE.size_bytes))


def fetch(registry: Registry, blob: Descriptor, folder: Path, *, access: Access = ACCESS, large: bool = True) -> None:
    """Fetch one blob and read it."""
    with Registries(access, {}) as registries, open_cache(folder) as cache:
        repository = registries.repository(parse_reference(f"{registry.host}/team/app:1"))
        fetcher = Fetcher(cache, None, access, large_bytes=LARGE_FROM if large else 1 << 40)
        fetcher.fetch([ImageWork("app", repository, (), (blob,))])
        assert fetcher.checked == {blob.digest}


def fails(registry: Registry, blob: Descriptor, folder: Path, *, large: bool = True) -> SealiftError:
    with pytest.raises((EnvError, RejectedError)) as caught:
        fetch(registry, blob, folder, large=large)
    return caught.value


def offsets(registry: Registry) -> list[int]:
    asked = [
        re.fullmatch(r"bytes=(\d+)-", item.headers.get("range", "bytes=0-"))
        for item in registry.asked("GET", "/blobs/")
    ]
    return [int(match[1]) for match in asked if match]


@pytest.mark.parametrize("large", [True, False])
def test_ten_drops(registry: Registry, blob: Descriptor, tmp_path: Path, large: bool) -> None:
    for count in (1, 70_000, 500_000, 3, 250_000, 65_536, 1_000_000, 100, 2, 400_000):
        registry.on("/blobs/", lies.reset_after(count), times=1)
    fetch(registry, blob, tmp_path, large=large)
    asked = offsets(registry)
    assert len(asked) == 11
    assert asked == sorted(asked)


@pytest.mark.parametrize("large", [True, False])
def test_a_stall_is_a_drop(registry: Registry, blob: Descriptor, tmp_path: Path, large: bool) -> None:
    registry.on("/blobs/", lies.stall_after(1_500_000), times=1)
    fetch(registry, blob, tmp_path, access=replace(ACCESS, stall_seconds=2), large=large)
    assert 0 < offsets(registry)[1] <= 1_500_000


def test_a_server_without_ranges(registry: Registry, blob: Descriptor, tmp_path: Path) -> None:
    def whole(exchange: Exchange) -> None:
        exchange.headers.pop("range", None)
        exchange.send(exchange.normal())

    registry.on("/blobs/", whole)
    registry.on("/blobs/", lies.reset_after(1_000_000), times=1)
    fetch(registry, blob, tmp_path)
    registry.on("/blobs/", lies.reset_after(1_000_000), times=1)
    (tmp_path / "blobs/sha256" / blob.digest.hex).unlink()
    fetch(registry, blob, tmp_path)


def test_an_earlier_part_is_no_answer(registry: Registry, blob: Descriptor, tmp_path: Path) -> None:
    """206 with another range than the one asked for is not appended; the blob is fetched from its start."""

    def earlier(exchange: Exchange) -> None:
        exchange.headers["range"] = "bytes=5-"
        exchange.send(exchange.normal())

    registry.on("/blobs/", earlier, times=1)
    registry.on("/blobs/", lies.reset_after(1_000_000), times=1)
    fetch(registry, blob, tmp_path)
    assert offsets(registry)[-1] == 0


def test_the_next_run_goes_on(registry: Registry, blob: Descriptor, tmp_path: Path) -> None:
    registry.on("/blobs/", lies.status(500), times=40)
    registry.on("/blobs/", lies.reset_after(2_000_000), times=1)
    assert fails(registry, blob, tmp_path).code == "registry-server"
    held = (tmp_path / "partial" / blob.digest.hex).stat().st_size
    assert held > 1_000_000
    registry.on("/blobs/", lies.honest)
    fetch(registry, blob, tmp_path)
    assert offsets(registry)[-1] == held


@pytest.mark.parametrize("large", [True, False])
def test_a_flipped_bit_is_fetched_once_more(registry: Registry, blob: Descriptor, tmp_path: Path, large: bool) -> None:
    def flip(exchange: Exchange) -> None:
        exchange.send(Reply(200, {}, b"?" + LARGE.part(1, LARGE.size_bytes)))

    registry.on("/blobs/", flip, times=1)
    fetch(registry, blob, tmp_path, large=large)
    (tmp_path / "blobs/sha256" / blob.digest.hex).unlink()
    registry.on("/blobs/", flip)
    assert fails(registry, blob, tmp_path, large=large).code == "blob-digest"
    assert [path for part in ("blobs/sha256", "partial", "runs") for path in (tmp_path / part).iterdir()] == []


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (lies.status(404, "BLOB_UNKNOWN"), "incomplete-source"),
        (lies.status(403, "DENIED"), "registry-denied"),
        (lies.status(404, "NAME_UNKNOWN"), "registry-answer"),
        (lies.drop_unasked, "network"),
        (lies.gibberish, "registry-answer"),
        (lies.reset_after(0), "connection-lost"),
    ],
)
def test_answers(registry: Registry, blob: Descriptor, tmp_path: Path, behaviour: lies.Behaviour, code: str) -> None:
    registry.on("/blobs/", behaviour)
    error = fails(registry, blob, tmp_path)
    assert error.code == code
    assert "image app" in error.hints


@pytest.mark.parametrize("behaviour", [lies.stall_after(100_000), lies.stall], ids=["body", "head"])
def test_ctrl_c_while_nothing_comes(
    registry: Registry, blob: Descriptor, tmp_path: Path, behaviour: lies.Behaviour
) -> None:
    """The client would wait for 25 seconds, and ask again."""
    registry.on("/blobs/", behaviour)
    with pressed_when(lambda: registry.asked("GET", "/blobs/")):
        fetch(registry, blob, tmp_path, access=replace(ACCESS, stall_seconds=25))
    assert len(registry.asked("GET", "/blobs/")) == 1
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.exhaustive
def test_two_gibibytes_with_ten_drops(registry: Registry, tmp_path: Path) -> None:
    """A model's layer, made on the fly, over a connection that drops ten times: resumed, in flat memory."""
    content = Patterned(2 << 30, seed=7)
    blob = content.descriptor()
    drops = [content.size_bytes // 11 + number for number in range(10)]

    def serve(exchange: Exchange) -> None:
        start = int(exchange.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        end = min(start + drops.pop(0), content.size_bytes) if drops else content.size_bytes
        headers = {"Content-Range": f"bytes {start}-{content.size_bytes - 1}/{content.size_bytes}"} if start else {}
        reply = Reply(206 if start else 200, headers)
        exchange.write(lies.head(reply, content.size_bytes - start))
        for offset in range(start, end, 1 << 20):
            exchange.write(content.part(offset, min(1 << 20, end - offset)))
        if end < content.size_bytes:
            exchange.drop()

    registry.repository("team/app")
    registry.on("/blobs/", serve)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fetch(registry, blob, tmp_path)
    assert len(offsets(registry)) == 11
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000  # KiB, the server's part in it
