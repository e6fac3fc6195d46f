"""DER: one reading, or none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import MalformedError
from bundler.identity.der import SEQUENCE, UTF8_STRING, format_der, parse_der, parse_elements, parse_utf8_string


@settings(derandomize=True, deadline=None)
@given(st.sampled_from([0x02, 0x04, 0x0C, 0x30, 0xA3]), st.binary(max_size=70_000))
def test_round_trip(tag: int, content: bytes) -> None:
    element = parse_der(format_der(tag, content), tag)
    assert element.content == content
    assert format_der(tag, element.content) == element.raw


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=40))
def test_what_parses_is_canonical(raw: bytes) -> None:
    try:
        elements = parse_elements(raw)
    except MalformedError:
        return
    assert b"".join(format_der(element.tag, element.content) for element in elements) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x30",
        b"\x30\x01",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01\x00",
        b"\x30\x82\x00\x80" + bytes(128),
        b"\x30\x85\x00\x00\x00\x00\x01\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x82\x01",
        b"\x3f\x01\x00",
        b"\x30\x00\x00",
        b"\x31\x00",
    ],
)
def test_other_encodings_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError) as error:
        parse_der(raw, SEQUENCE)
    assert error.value.code == "der"


def test_long_tags_are_refused() -> None:
    with pytest.raises(MalformedError):
        parse_elements(b"\x1f\x01\x00")


def test_utf8_string() -> None:
    assert parse_utf8_string(format_der(UTF8_STRING, "é".encode())) == "é"
    for raw in (format_der(UTF8_STRING, b"\xff"), format_der(0x13, b"a"), b"a"):
        with pytest.raises(MalformedError):
            parse_utf8_string(raw)
