"""Inclusion promises: read, opened, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import MalformedError, RejectedError
from bundler.identity.keys import parse_spki
from bundler.moment import Window
from bundler.strict_json import MAX_SAFE_INTEGER
from bundler.transparency.log import TransparencyLog
from bundler.transparency.promise import Promise, format_promise, open_promise, parse_promise, signed_message
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_keys import AT, START
from tests.simulators.sigstore_log import Log

SIGSTORE = Sigstore("promise")
BODY = b'{"apiVersion":"0.0.1"}'
PROMISE = SIGSTORE.rekor.promise(BODY, at=AT)
SECOND = timedelta(seconds=1)


def log(of: Log = SIGSTORE.rekor, window: Window | None = None) -> TransparencyLog:
    return TransparencyLog(of.url, of.log_id, parse_spki(of.spki), window or Window(START))


def test_good() -> None:
    opened = open_promise(PROMISE, [log()])
    assert (opened.integrated_at, opened.body, opened.log_index) == (AT, BODY, 7)
    assert opened.log.url == SIGSTORE.rekor.url


def test_what_is_signed_is_canonical_json() -> None:
    value = json.loads(signed_message(PROMISE))
    assert list(value) == sorted(value) == ["body", "integratedTime", "logID", "logIndex"]
    assert json.dumps(value, separators=(",", ":")).encode() == signed_message(PROMISE)


@settings(derandomize=True, deadline=None)
@given(
    st.binary(max_size=50),
    st.integers(1, 253_402_300_799),
    st.binary(min_size=32, max_size=32),
    st.integers(0, MAX_SAFE_INTEGER),
    st.binary(max_size=80),
)
def test_round_trip(body: bytes, time: int, log_id: bytes, index: int, signature: bytes) -> None:
    promise = Promise(body, time, log_id, index, signature)
    assert parse_promise(format_promise(promise)) == promise


@pytest.mark.parametrize("window", [Window(START, AT), Window(AT)])
def test_both_ends_of_the_window_belong_to_it(window: Window) -> None:
    open_promise(PROMISE, [log(window=window)])


def refused(promise: Promise, *logs: TransparencyLog, code: str) -> None:
    with pytest.raises(RejectedError) as error:
        open_promise(promise, logs or (log(),))
    assert error.value.code == code


@pytest.mark.parametrize("window", [Window(START, AT - SECOND), Window(AT + SECOND)])
def test_outside_the_window(window: Window) -> None:
    refused(PROMISE, log(window=window), code="log-window")


@pytest.mark.parametrize(
    "promise",
    [
        replace(PROMISE, body=BODY + b" "),
        replace(PROMISE, integrated_time=PROMISE.integrated_time + 1),
        replace(PROMISE, log_index=8),
        replace(PROMISE, signature=b""),
        replace(PROMISE, signature=PROMISE.signature[:-1]),
    ],
)
def test_every_field_is_signed(promise: Promise) -> None:
    refused(promise, code="set")


def test_the_log_is_found_by_id_only() -> None:
    other = SIGSTORE.new_log("https://rekor.example.org/other")
    refused(PROMISE, log(other), code="log-unknown")
    refused(other.promise(BODY, at=AT), code="log-unknown")
    refused(other.promise(BODY, at=AT, log_id=SIGSTORE.rekor.log_id), log(other), log(), code="set")
    with pytest.raises(RejectedError) as error:
        open_promise(PROMISE, [])
    assert error.value.code == "log-unknown"


def changed(**payload: Any) -> dict[str, Any]:
    value = json.loads(format_promise(PROMISE))
    value["Payload"] |= payload
    return dict(value)


def without(field: str) -> dict[str, Any]:
    value = changed()
    del value["Payload"][field]
    return value


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"Payload": {}},
        {**changed(), "extra": 1},
        {**changed(), "payload": {}},
        {**changed(), "SignedEntryTimestamp": None},
        {**changed(), "SignedEntryTimestamp": "QR=="},
        {**changed(), "Payload": []},
        changed(extra=1),
        *[without(field) for field in ("body", "integratedTime", "logIndex", "logID")],
        changed(body="e30"),
        changed(body={}),
        changed(integratedTime=-1),
        changed(integratedTime=0),
        changed(integratedTime=1.0),
        changed(integratedTime=True),
        changed(integratedTime="1"),
        changed(integratedTime=10**13),
        changed(logIndex=-1),
        changed(logIndex=2**53),
        changed(logID="00"),
        changed(logID=SIGSTORE.rekor.log_id.hex().upper()),
        changed(logID=" " + SIGSTORE.rekor.log_id.hex()[1:]),
        changed(logID="zz" * 32),
    ],
)
def test_other_shapes_are_refused(value: object) -> None:
    with pytest.raises(MalformedError):
        parse_promise(json.dumps(value).encode())


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'{"Payload":1,"Payload":2}', b"\xff", b'{"a":NaN}'])
def test_not_even_a_document(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_promise(raw)
