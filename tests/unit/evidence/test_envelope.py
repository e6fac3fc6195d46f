"""DSSE envelopes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.encoding import encode_base64
from bundler.errors import MalformedError
from bundler.evidence.envelope import IN_TOTO, format_envelope, parse_envelope, pre_authentication_encoding

GOOD: dict[str, Any] = {
    "payloadType": IN_TOTO,
    "payload": encode_base64(b"{}"),
    "signatures": [{"keyid": "", "sig": encode_base64(b"signature")}],
}


def test_pae_counts_bytes() -> None:
    """The example of the specification, and one that is not ASCII."""
    assert pre_authentication_encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pre_authentication_encoding("é", "ü".encode()) == b"DSSEv1 2 \xc3\xa9 2 \xc3\xbc"


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60), st.text(alphabet="0aF", max_size=5))
def test_round_trip(payload: bytes, signature: bytes, keyid: str) -> None:
    raw = format_envelope(IN_TOTO, payload, signature, keyid)
    envelope = parse_envelope(raw)
    assert (envelope.raw, envelope.payload, envelope.signature) == (raw, payload, signature)
    assert envelope.signed_bytes == pre_authentication_encoding(IN_TOTO, payload)


def test_unknown_fields_and_a_missing_keyid_are_allowed() -> None:
    raw = json.dumps({**GOOD, "more": 1, "signatures": [{"sig": "AAAA", "cert": "x"}]}).encode()
    assert parse_envelope(raw).signature == bytes(3)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signatures": []}, "dsse"),
        ({"signatures": GOOD["signatures"] * 2}, "dsse"),
        ({"signatures": GOOD["signatures"] * 100}, "limits"),
        ({"signatures": None}, "field-type"),
        ({"signatures": [1]}, "field-type"),
        ({"signatures": [{}]}, "field-missing"),
        ({"signatures": [{"sig": "AAAA", "keyid": 1}]}, "field-type"),
        ({"signatures": [{"sig": "AAAA", "Sig": "BBBB"}]}, "field-case"),
        ({"signatures": [{"sig": "QR=="}]}, "base64"),
        ({"signatures": [{"sig": "_-=="}]}, "base64"),
        ({"payload": "e30"}, "base64"),
        ({"payload": "e30=\n"}, "base64"),
        ({"payload": {}}, "field-type"),
        ({"payloadType": "application/vnd.in-toto+json "}, "dsse-payload-type"),
        ({"payloadType": "application/json"}, "dsse-payload-type"),
        ({"payloadType": ""}, "dsse-payload-type"),
        ({"payloadType": None}, "field-type"),
        ({"PayloadType": IN_TOTO}, "field-case"),
    ],
)
def test_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_envelope(json.dumps({**GOOD, **change}).encode())
    assert error.value.code == code


@pytest.mark.parametrize("field", list(GOOD))
def test_every_field_is_needed(field: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_envelope(json.dumps({key: value for key, value in GOOD.items() if key != field}).encode())
    assert error.value.code == "field-missing"


def test_a_field_twice() -> None:
    raw = format_envelope(IN_TOTO, b"{}", b"s").replace(b'"payload":', b'"payload":"AAAA","payload":')
    with pytest.raises(MalformedError) as error:
        parse_envelope(raw)
    assert error.value.code == "json-duplicate-key"
