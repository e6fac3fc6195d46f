"""Answers that attack the client below the words of the specification (THREATS E4, E5)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from bundler import limits
from bundler.errors import SealiftError
from bundler.network.connection import Connection
from bundler.network.http import Answer, Request
from bundler.network.pace import Pace
from bundler.network.registry import Registries
from bundler.network.registry_source import RegistrySource
from bundler.network.urls import parse_url
from bundler.oci.manifest import OCI_INDEX
from bundler.oci.reference import parse_reference
from tests.simulators import registry_lies as lies
from tests.simulators.registry import Basic, Exchange, Registry
from tests.simulators.registry_scene import NAME, QUICK, Scene, referrer, scene, small_image

ONCE = replace(QUICK, retries=0)


def whole_blob(it: Scene) -> bytes:
    with it.repository.open_blob(it.blob) as stream:
        raw = b""
        while piece := stream.read(4096):
            raw += piece
    return raw


@pytest.mark.parametrize("listing", ["referrers", "tags"])
def test_a_listing_that_was_led_away_gets_no_credentials_for_its_next_page(tmp_path: Path, listing: str) -> None:
    """The registry redirects a listing; the other host names a next page of its own, and asks who we are."""
    layout, image, _ = small_image()
    page = {
        "referrers": {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []},
        "tags": {"name": NAME, "tags": []},
    }[listing]
    with Registry() as thief, Registry(auth=Basic("user", "canary")) as registry:
        registry.repository(NAME).load(layout, "1")
        kind = OCI_INDEX if listing == "referrers" else "application/json"
        first = lies.answer(200, json.dumps(page).encode(), kind, Link='</v2/next>; rel="next"')
        thief.on("/v2/team", first)
        thief.on("/v2/next", lies.status(401, WWW_Authenticate='Basic realm="mine"'))
        authfile = tmp_path / "auth.json"
        authfile.write_text(json.dumps({"auths": {registry.host: {"username": "user", "password": "canary"}}}))
        with Registries(replace(ONCE, authfile=authfile), {}) as registries:
            repository = registries.repository(parse_reference(f"{registry.host}/{NAME}:1"))
            repository.get_manifest("1")  # logged in from here on
            registry.on("/referrers/|/tags/", lies.redirect(thief.url + "{target}"))
            with pytest.raises(SealiftError) as caught:
                repository.referrers(image.digest) if listing == "referrers" else repository.tags()
        assert caught.value.code == "registry-answer"
        assert len(thief.log) == 1
        assert all("authorization" not in item.headers for item in thief.log)


def hints_without_end(exchange: Exchange) -> None:
    while not exchange.wait(0):
        exchange.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1000)


def interim_without_end(exchange: Exchange) -> None:
    while not exchange.wait(0):
        exchange.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def chunked(first: bytes, again: bytes) -> Any:
    def behave(exchange: Exchange) -> None:
        exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + first)
        while not exchange.wait(0):
            exchange.write(again)

    return behave


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (interim_without_end, "stalled"),
        (hints_without_end, "stalled"),
        (chunked(b"0\r\n", b"X-More: again\r\n" * 1000), "stalled"),
        (chunked(b"1\r\nx\r\n-1\r\n", b"x" * 65536), "connection-lost"),
    ],
    ids=["interim answers", "early hints", "trailers", "a chunk of size -1"],
)
def test_a_blob_whose_answer_has_no_end_and_no_content(
    behaviour: Any, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if behaviour is hints_without_end:  # headers take Python long to read
        monkeypatch.setattr(limits, "ANSWER_OVERHEAD_BYTES", limits.ANSWER_OVERHEAD_BYTES // 8)
    with scene(ONCE) as it:
        it.registry.on("/blobs/", behaviour)
        with pytest.raises(SealiftError) as caught:
            whole_blob(it)
        assert caught.value.code == code


def test_content_in_small_chunks_is_content() -> None:
    def behave(exchange: Exchange) -> None:
        body = it.store.blobs[it.blob.digest]
        raw = b"".join(body.pieces())
        pieces = b"".join(b"1\r\n" + raw[place : place + 1] + b"\r\n" for place in range(len(raw)))
        exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")

    with scene(ONCE) as it:
        it.registry.on("/blobs/", behave)
        assert len(whole_blob(it)) == it.blob.size_bytes


def test_waking_a_reader_whose_answer_has_ended_is_no_error() -> None:
    """urllib3 has given the connection back by then, and says so with a RuntimeError."""

    class Ended(urllib3.HTTPResponse):
        def shutdown(self) -> None:
            raise RuntimeError("Cannot shutdown as connection has already been released to the pool")

    Answer(Request("GET", parse_url("http://a/", "test"), "test"), Ended(b""), Pace(1)).abort()


def test_two_threads_that_ask_at_once_do_not_mix_mirrors() -> None:
    """One finds the image at the first mirror while the other, refused there, goes on to the second."""
    layout, _, _ = small_image()
    with Registry() as first, Registry() as second:
        first.repository("library/nginx").load(layout, "1")
        second.repository("library/nginx").load(layout, "2")
        access = replace(ONCE, mirrors=(first.url, second.url))
        with Registries(access, {}) as registries:
            repository = registries.repository(parse_reference("nginx:2"))

            def meanwhile(exchange: Exchange) -> None:
                repository.get_manifest("1")
                lies.status(503)(exchange)

            first.on("/manifests/2", meanwhile)
            with pytest.raises(SealiftError) as caught:
                repository.get_manifest("2")
        assert caught.value.code == "registry-server"
        assert repository.endpoint == first.host


def test_manifests_of_one_image_are_bounded_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layout, image, _ = small_image()
    with Registry() as registry:
        store = registry.repository(NAME)
        store.load(layout, "1")
        for number in range(5):
            referrer(store, image, number)
        reference = parse_reference(f"{registry.host}/{NAME}:1")
        with Connection(QUICK, lambda: tmp_path / "cache") as connection:
            source = RegistrySource(connection, reference, "test")
            source.resolve()
            monkeypatch.setattr(limits, "IMAGE_DOCUMENTS_BYTES", 2000)
            place = next(place for place in source.places(image.digest) if place.name == "referrers")
            with pytest.raises(SealiftError) as caught:
                place.ask()
        assert caught.value.code == "limits"
