"""Log entries: what they say, and what they are bound to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.encoding import encode_base64, format_pem
from bundler.errors import MalformedError, RejectedError
from bundler.transparency.entry import (
    HashedRekord,
    LoggedDsse,
    LoggedHash,
    LoggedIntoto,
    LoggedVerifier,
    check_binds_envelope,
    check_binds_payload,
    parse_entry,
)
from tests.simulators.sigstore_log import dsse_body, hashedrekord_body, intoto_body

ENVELOPE, PAYLOAD, SIGNATURE = b"envelope", b"payload", b"signature"
CERTIFICATE = LoggedVerifier("certificate", b"a certificate")
KEY = LoggedVerifier("key", b"a key")
PEM = format_pem("CERTIFICATE", CERTIFICATE.der)
KEY_PEM = format_pem("PUBLIC KEY", KEY.der)
HASHEDREKORD = hashedrekord_body(PAYLOAD, SIGNATURE, PEM)
DSSE = dsse_body(ENVELOPE, PAYLOAD, SIGNATURE, PEM)
INTOTO = intoto_body(ENVELOPE, PAYLOAD, PEM)


def hashed(raw: bytes) -> LoggedHash:
    return LoggedHash("sha256", hashlib.sha256(raw).hexdigest())


def test_three_kinds() -> None:
    assert parse_entry(HASHEDREKORD) == HashedRekord(hashed(PAYLOAD), SIGNATURE, CERTIFICATE)
    assert parse_entry(DSSE) == LoggedDsse(hashed(ENVELOPE), hashed(PAYLOAD), ((SIGNATURE, CERTIFICATE),))
    assert parse_entry(INTOTO) == LoggedIntoto(hashed(ENVELOPE), hashed(PAYLOAD), CERTIFICATE)
    assert parse_entry(intoto_body(ENVELOPE, None, KEY_PEM)) == LoggedIntoto(hashed(ENVELOPE), None, KEY)


def bind_payload(body: bytes, payload: bytes, signature: bytes, verifier: LoggedVerifier) -> None:
    check_binds_payload(parse_entry(body), payload, signature, verifier)


def bind_envelope(body: bytes, *parts: bytes, verifier: LoggedVerifier = CERTIFICATE) -> None:
    envelope, payload, signature = parts or (ENVELOPE, PAYLOAD, SIGNATURE)
    check_binds_envelope(parse_entry(body), envelope, payload, signature, verifier)


def test_bound() -> None:
    bind_payload(HASHEDREKORD, PAYLOAD, SIGNATURE, CERTIFICATE)
    bind_payload(hashedrekord_body(PAYLOAD, SIGNATURE, KEY_PEM), PAYLOAD, SIGNATURE, KEY)
    bind_envelope(DSSE)
    bind_envelope(INTOTO)
    bind_envelope(intoto_body(ENVELOPE, None, PEM))


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_bound_by_a_longer_hash(algorithm: str) -> None:
    value = json.loads(HASHEDREKORD)
    value["spec"]["data"]["hash"] = {"algorithm": algorithm, "value": hashlib.new(algorithm, PAYLOAD).hexdigest()}
    bind_payload(json.dumps(value).encode(), PAYLOAD, SIGNATURE, CERTIFICATE)


@pytest.mark.parametrize(
    ("payload", "signature", "verifier"),
    [
        (b"another", SIGNATURE, CERTIFICATE),
        (PAYLOAD, b"another", CERTIFICATE),
        (PAYLOAD, SIGNATURE, LoggedVerifier("certificate", b"another")),
        (PAYLOAD, SIGNATURE, LoggedVerifier("key", CERTIFICATE.der)),
    ],
)
def test_payload_of_another(payload: bytes, signature: bytes, verifier: LoggedVerifier) -> None:
    with pytest.raises(RejectedError) as error:
        bind_payload(HASHEDREKORD, payload, signature, verifier)
    assert error.value.code == "tlog-binding"


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (DSSE, (b"another", PAYLOAD, SIGNATURE)),
        (DSSE, (ENVELOPE, b"another", SIGNATURE)),
        (DSSE, (ENVELOPE, PAYLOAD, b"another")),
        (INTOTO, (b"another", PAYLOAD, SIGNATURE)),
        (INTOTO, (ENVELOPE, b"another", SIGNATURE)),
        (dsse_body(ENVELOPE, PAYLOAD, SIGNATURE, KEY_PEM), ()),
        (intoto_body(ENVELOPE, PAYLOAD, KEY_PEM), ()),
        (HASHEDREKORD, ()),
    ],
)
def test_envelope_of_another(body: bytes, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(RejectedError) as error:
        bind_envelope(body, *parts)
    assert error.value.code == "tlog-binding"


def test_kinds_for_envelopes_do_not_bind_payloads() -> None:
    for body in (DSSE, INTOTO):
        with pytest.raises(RejectedError) as error:
            bind_payload(body, PAYLOAD, SIGNATURE, CERTIFICATE)
        assert error.value.code == "tlog-binding"


def test_exactly_one_logged_signature() -> None:
    for count in (0, 2):
        value = json.loads(DSSE)
        value["spec"]["signatures"] *= count
        with pytest.raises(RejectedError) as error:
            bind_envelope(json.dumps(value).encode())
        assert error.value.code == "tlog-binding"


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("rekord", "0.0.1"),
        ("hashedrekord", "0.0.2"),
        ("dsse", "0.0.2"),
        ("intoto", "0.0.2"),
        ("", ""),
        ("DSSE", "0.0.1"),
    ],
)
def test_kinds_that_bind_nothing_we_know(kind: str, version: str) -> None:
    body = json.dumps({**json.loads(DSSE), "kind": kind, "apiVersion": version}).encode()
    with pytest.raises(RejectedError) as error:
        parse_entry(body)
    assert error.value.code == "tlog-kind"


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path, *(found for key, inner in value.items() for found in leaves(inner, (*path, key)))]
    if isinstance(value, list):
        return [path, *(found for key, inner in enumerate(value) for found in leaves(inner, (*path, key)))]
    return [path]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("body", [HASHEDREKORD, DSSE, INTOTO], ids=["hashedrekord", "dsse", "intoto"])
def test_every_field_has_its_type_and_no_other_field(body: bytes) -> None:
    value = json.loads(body)
    for path in leaves(value):
        candidates: tuple[Any, ...] = (
            None,
            0,
            "",
            "!",
            True,
            [],
            {},
            [{}],
            encode_base64(b"\xff"),
            encode_base64(PEM.lower().encode()),
        )
        for new in candidates:
            refuse(json.dumps(replaced(value, path, new)).encode())
        inner = value
        for key in path:
            inner = inner[key]
        if isinstance(inner, dict):
            refuse(json.dumps(replaced(value, path, {**inner, "extra": 1})).encode())


def refuse(body: bytes) -> None:
    """Refused when read; or at the latest when bound, as signatures and lists may be empty."""
    with pytest.raises(RejectedError):
        check_binds_envelope(parse_entry(body), ENVELOPE, PAYLOAD, SIGNATURE, CERTIFICATE)
    with pytest.raises(RejectedError):
        check_binds_payload(parse_entry(body), PAYLOAD, SIGNATURE, CERTIFICATE)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(RejectedError):
        parse_entry(raw)


def test_a_body_that_is_not_text() -> None:
    for pem in ("-----BEGIN X-----\nAAAA\n-----END X-----\n", "é", ""):
        with pytest.raises(MalformedError):
            parse_entry(intoto_body(ENVELOPE, PAYLOAD, pem))
