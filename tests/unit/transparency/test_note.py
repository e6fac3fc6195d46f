"""Signed notes: one spelling, bounded, and nothing but what C2SP signed-note describes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.errors import MalformedError
from bundler.transparency.note import Note, NoteSignature, format_note, parse_note

TEXT = b"log.example.org\n3\nroot\n"
SIGNATURE = NoteSignature("log.example.org", b"abcd", b"signature")
NOTE = Note(TEXT, (SIGNATURE,))
RAW = format_note(NOTE)
LINE = RAW[len(TEXT) + 1 :]

NAMES = st.text(min_size=1, max_size=20).filter(
    lambda name: (
        "+" not in name
        and not any(c.isspace() or ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F or 0xD800 <= ord(c) <= 0xDFFF for c in name)
    )
)
SIGNATURES = st.builds(NoteSignature, NAMES, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))
TEXTS = st.lists(st.text("abcäß— 123=+/", min_size=1), min_size=1).map(lambda lines: ("\n".join(lines) + "\n").encode())


def test_good() -> None:
    assert RAW == b"log.example.org\n3\nroot\n\n\xe2\x80\x94 log.example.org YWJjZHNpZ25hdHVyZQ==\n"
    assert parse_note(RAW) == NOTE


@settings(derandomize=True, deadline=None)
@given(TEXTS, st.lists(SIGNATURES, min_size=1, max_size=5, unique_by=lambda one: (one.name, one.key_hash)))
def test_round_trip(text: bytes, signatures: list[NoteSignature]) -> None:
    note = Note(text, tuple(signatures))
    assert parse_note(format_note(note)) == note


@settings(derandomize=True, deadline=None)
@given(st.integers(0, len(RAW) * 8 - 1))
def test_a_flipped_bit_is_refused_or_shows(bit: int) -> None:
    changed = bytearray(RAW)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        note = parse_note(bytes(changed))
    except MalformedError:
        return
    assert note != NOTE
    assert format_note(note) == changed


def refused(raw: bytes, code: str = "checkpoint") -> None:
    with pytest.raises(MalformedError) as error:
        parse_note(raw)
    assert error.value.code == code


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT,
        TEXT + b"\n",
        TEXT + LINE,
        RAW[:-1],
        RAW + b"\n",
        RAW + b" ",
        TEXT + b"\n\n" + b"\n",
        RAW.replace(b"\n", b"\r\n"),
        RAW.replace(b"3", b"\x00"),
        RAW.replace(b"3", b"\t"),
        RAW.replace(b"3", b"\x7f"),
        RAW.replace(b"3", "\u0085".encode()),
        RAW.replace(b"3", b"\xff"),
        RAW.replace("\u2014".encode(), b"-"),
        RAW.replace("\u2014 ".encode(), "\u2014".encode()),
        RAW.replace("\u2014 ".encode(), "\u2014  ".encode()),
        RAW.replace(b" YWJj", b"  YWJj"),
        RAW.replace(b"==\n", b"== \n"),
        RAW.replace(b"==\n", b"== x\n"),
        RAW.replace(LINE, "\u2014 a+b YWJjZHNpZ25hdHVyZQ==\n".encode()),
        RAW.replace(LINE, "\u2014 a\u00a0b YWJjZHNpZ25hdHVyZQ==\n".encode()),
        RAW.replace(LINE, "\u2014  YWJjZHNpZ25hdHVyZQ==\n".encode()),
        RAW.replace(LINE, "\u2014 name YWJjZA==\n".encode()),
        RAW.replace(LINE, "\u2014 name \n".encode()),
        RAW + b"not a signature\n",
        RAW + LINE,
    ],
)
def test_other_shapes(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize("spelling", [b"YWJjZHNpZ25hdHVyZQ", b"YWJjZHNpZ25hdHVyZR==", b"YWJjZHNpZ25hdHVyZQ==="])
def test_base64_has_one_spelling(spelling: bytes) -> None:
    refused(RAW.replace(b"YWJjZHNpZ25hdHVyZQ==", spelling), "base64")


def test_one_key_hash_under_two_names_and_two_hashes_under_one_name() -> None:
    others = (NoteSignature("log.example.org", b"abce", b"x"), NoteSignature("other", b"abcd", b"x"))
    note = Note(TEXT, (SIGNATURE, *others))
    assert parse_note(format_note(note)) == note


def test_the_last_blank_line_parts_text_and_signatures() -> None:
    raw = b"a\n\nb\n\n" + LINE
    assert parse_note(raw).text == b"a\n\nb\n"


def test_limits() -> None:
    many = [f"\u2014 s{number} {base64.b64encode(b'12345').decode()}\n".encode() for number in range(101)]
    assert len(parse_note(TEXT + b"\n" + b"".join(many[:100])).signatures) == limits.NOTE_SIGNATURES
    refused(TEXT + b"\n" + b"".join(many))
    long = b"x" * (limits.NOTE_BYTES - len(RAW)) + RAW
    assert len(parse_note(long).text) == limits.NOTE_BYTES - len(RAW) + len(TEXT)
    refused(b"x" + long)
