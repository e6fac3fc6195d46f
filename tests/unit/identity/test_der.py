"""DER: one reading, or none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import MalformedError
from bundler.identity.der import (
    BOOLEAN,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    UTF8_STRING,
    DerReader,
    format_der,
    format_integer,
    format_oid,
    parse_der,
    parse_elements,
    parse_integer,
    parse_oid,
    parse_utf8_string,
)


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


@settings(derandomize=True, deadline=None)
@given(st.integers(-(2**200), 2**200))
def test_integers_round_trip(value: int) -> None:
    assert parse_integer(format_integer(value)) == value


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=6))
def test_an_integer_has_one_spelling(content: bytes) -> None:
    try:
        value = parse_integer(content)
    except MalformedError:
        assert not content or content[0] in (0, 0xFF)
        return
    assert format_integer(value) == content


@pytest.mark.parametrize("content", [b"", b"\0\x7f", b"\0\0", b"\xff\x80", b"\xff\xff"])
def test_integers_that_are_padded(content: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_integer(content)


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**40), max_size=8))
def test_object_identifiers_round_trip(first: int, second: int, rest: list[int]) -> None:
    text = ".".join(map(str, (first, second, *rest)))
    assert parse_oid(format_oid(text)) == text


@pytest.mark.parametrize(
    "text", ["2.999.3", "1.2.840.113549.1.9.16.1.4", "0.0", "2.5.29.37", "1.3.6.1.4.1.57264.1.8", "2.100000000000"]
)
def test_object_identifiers(text: str) -> None:
    assert parse_oid(format_oid(text)) == text


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=70))
def test_an_object_identifier_has_one_spelling(content: bytes) -> None:
    try:
        text = parse_oid(content)
    except MalformedError:
        return
    assert format_oid(text) == content


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x2a\x80\x01", b"\x2a\x86", b"\x80\x01", b"\x01" * 65])
def test_other_object_identifiers(content: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_oid(content)


def test_reader_takes_what_is_named() -> None:
    content = b"".join(
        (
            format_der(INTEGER, b"\5"),
            format_der(BOOLEAN, b"\xff"),
            format_der(SEQUENCE, format_der(0x06, b"\x2a\x03")),
            format_der(OCTET_STRING, b"x"),
            format_der(OCTET_STRING, b"y"),
        )
    )
    reader = DerReader(content, "thing")
    assert reader.maybe(SEQUENCE) is None
    assert reader.integer() == 5
    assert reader.default_false()
    assert not reader.default_false()
    inner = reader.inside(SEQUENCE, "inner")
    assert inner.oid() == "1.2.3"
    inner.end()
    assert [element.content for element in reader.all(OCTET_STRING)] == [b"x", b"y"]
    reader.end()
    with pytest.raises(MalformedError):
        reader.take(INTEGER)


@pytest.mark.parametrize("content", [b"\0", b"\1", b"", b"\xff\xff"])
def test_false_is_left_out_and_true_has_one_spelling(content: bytes) -> None:
    with pytest.raises(MalformedError):
        DerReader(format_der(BOOLEAN, content), "thing").default_false()


def test_reader_refuses_what_is_left() -> None:
    reader = DerReader(format_der(INTEGER, b"\5") + format_der(OCTET_STRING, b""), "thing")
    with pytest.raises(MalformedError) as error:
        reader.end()
    assert error.value.code == "der"
    with pytest.raises(MalformedError):
        reader.all(INTEGER)
    assert DerReader(format_der(INTEGER, b"\5"), "thing").any()[0].content == b"\5"
