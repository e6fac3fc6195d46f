"""JSON with one meaning: the JSONTestSuite, what it does not cover, and the canonical form."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.errors import MalformedError
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_canonical, parse_foreign

# `y_` files that we refuse on purpose: two parsers read them differently.
REFUSED_Y = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


def test_json_test_suite(shared: Path) -> None:
    files = sorted((shared / "vectors" / "json").glob("*.json"))
    assert len(files) == 318
    wrong = []
    for path in files:
        accepted = path.name.startswith("y_") and path.name not in REFUSED_Y
        try:
            parse_foreign(path.read_bytes())
            parsed = True
        except MalformedError:
            parsed = False
        if parsed != accepted:
            wrong.append(path.name)
    assert wrong == []


# Own cases, so that the property holds where the suite is absent.
REFUSED = {
    b"": "json",
    b"nul": "json",
    b"[1,]": "json",
    b"[1] 2": "json",
    b"{'a':1}": "json",
    b'{"a":1,}': "json",
    b"[01]": "json",
    b"[+1]": "json",
    b"[.5]": "json",
    b'["\t"]': "json",
    b'["\\x41"]': "json",
    b"[NaN]": "json-number",
    b"[Infinity]": "json-number",
    b"[-Infinity]": "json-number",
    b"[1e400]": "json-number",
    b"[-1e400]": "json-number",
    b"[1e-400]": "json-number",
    b"[18446744073709551616]": "json-number",
    b"[-9223372036854775809]": "json-number",
    b"[" + b"9" * 5000 + b"]": "json-number",
    b'{"a":1,"a":1}': "json-duplicate-key",
    b'{"a":1,"\\u0061":2}': "json-duplicate-key",
    b'{"x":{"a":1,"b":2,"a":3}}': "json-duplicate-key",
    b'\xef\xbb\xbf{"a":1}': "json-encoding",
    '{"a":1}'.encode("utf-16"): "json-encoding",
    b'["\xff"]': "json-encoding",
    b'["\xed\xa0\x80"]': "json-encoding",
    b'["\\ud800"]': "json-surrogate",
    b'["\\udc00\\ud800"]': "json-surrogate",
    b'{"\\ud800":1}': "json-surrogate",
    b"[" * 65 + b"]" * 65: "json-depth",
    b"[" * 100_000: "json-depth",
    b'{"a":' * 100_000: "json-depth",
}


@pytest.mark.parametrize(("raw", "code"), REFUSED.items(), ids=lambda value: repr(value)[:40])
def test_foreign_refuses(raw: bytes, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_foreign(raw)
    assert error.value.code == code


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b' {"a" : [1, -2, 3.5, 1e3, true, false, null]}\n',
        b"[" * 64 + b"]" * 64,
        b'["[[[[[[[[\\"{{{{"]' + b" " * 100,
        b'["\\ud83d\\ude00"]',
        b"[18446744073709551615, -9223372036854775808, 0.0, -0.0, 0e-999]",
        '{"ключ":"значение"}'.encode(),
    ],
    ids=repr,
)
def test_foreign_accepts_what_json_says(raw: bytes) -> None:
    assert parse_foreign(raw) == json.loads(raw)


def test_many_brackets_in_strings_are_not_depth() -> None:
    assert parse_foreign(json.dumps(["[" * 1000, '"{' * 1000]).encode()) == ["[" * 1000, '"{' * 1000]


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.lists(st.sampled_from([b"[", b"{", b"]", b"}", b'"', b"\\", b"x", b"[" * 65, b"]" * 65]), max_size=40))
def test_the_quick_look_at_depth_never_passes_what_the_loop_refuses(parts: list[bytes]) -> None:
    raw = b"".join(parts)
    depth = deepest = 0
    for mark in re.findall(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', raw, re.DOTALL):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(mark, 0)
        deepest = max(deepest, depth)
    code = ""
    try:
        parse_foreign(raw)
    except MalformedError as error:
        code = error.code
    # Behind a stray backslash or quote no parser comes, so brackets there may be counted either way.
    broken = code and (b"\\" in raw or raw.count(b'"') % 2)
    assert broken or (code == "json-depth") == (deepest > limits.JSON_DEPTH)


def test_size_is_bounded() -> None:
    assert parse_foreign(b"[1]", max_bytes=3) == [1]
    with pytest.raises(MalformedError) as error:
        parse_foreign(b"[1] ", max_bytes=3)
    assert error.value.code == "json-size"


CANONICAL = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, MAX_SAFE_INTEGER)
    | st.text(st.characters(exclude_categories=["Cc", "Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(min_codepoint=32, max_codepoint=126)), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None)
@given(CANONICAL)
def test_canonical_round_trip(value: object) -> None:
    raw = format_canonical(value)
    assert parse_canonical(raw) == value
    assert format_canonical(parse_canonical(raw)) == raw
    assert json.loads(raw) == value


SPELLINGS = st.sampled_from(
    [b"[", b"]", b"{", b"}", b",", b":", b'"', b'"a"', b'"b":', b"0", b"1", b"-", b".", b"e2", b"E", b"true", b"null",
     b" ", b"\\", b'\\"', b"\x7f", b"\n", "é".encode(), "\x9f".encode(), b"999999999999999", b"9007199254740992"]
)  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=400)
@given(CANONICAL.map(format_canonical), st.lists(st.tuples(st.integers(0, 60), SPELLINGS), max_size=2))
def test_what_is_canonical_is_what_would_be_written(raw: bytes, changes: list[tuple[int, bytes]]) -> None:
    """By whatever way it is found out: quickly for plain text, by writing it again for the rest."""
    for place, spelling in changes:
        raw = raw[:place] + spelling + raw[place:]
    try:
        wanted = format_canonical(parse_foreign(raw)) == raw
    except MalformedError:
        wanted = False
    try:
        parse_canonical(raw)
    except MalformedError:
        assert not wanted
    else:
        assert wanted


@pytest.mark.parametrize(
    "word", ["[1.5]", "[1e2]", "[1E2]", "[-1]", "[1 ]", '[{"b":1,"a":2}]', "[9007199254740992]", "[1.0]"]
)
def test_other_spellings_within_plain_text(word: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_canonical(f'[{word},"plain",{{"a":999999999999999}}]'.encode())
    assert error.value.code == "not-canonical"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=40))
def test_no_input_gets_another_exception(raw: bytes) -> None:
    for parse in (parse_foreign, parse_canonical):
        try:
            parse(raw)
        except MalformedError:
            continue


@pytest.mark.parametrize(
    "raw",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b" 1",
        b'"\\u0061"',
        b'"\\/"',
        b'"\\n"',
        b'"\x7f"',
        '"\x80"'.encode(),
        '"\x9f"'.encode(),
        b"1.0",
        b"1e2",
        b"-1",
        b"-0",
        b"9007199254740992",
        '{"é":1}'.encode(),
    ],
    ids=repr,
)
def test_canonical_refuses_other_spellings(raw: bytes) -> None:
    with pytest.raises(MalformedError) as error:
        parse_canonical(raw)
    assert error.value.code == "not-canonical"


@pytest.mark.parametrize(
    "value",
    [1.5, -1, MAX_SAFE_INTEGER + 1, "\x00", "\ud800", {"é": 1}, {1: 2}, b"raw", float("nan"), {"a": ...}],
    ids=repr,
)
def test_canonical_is_not_written_for_what_it_lacks(value: object) -> None:
    with pytest.raises(MalformedError) as error:
        format_canonical(value)
    assert error.value.code == "not-canonical"


def test_what_canonical_text_may_hold() -> None:
    """Each next to something that it may not: a space, a tilde, U+00A0; and what others escape or normalise."""
    for text in (" ", "~", "\xa0", "\u2028", "\ufeff", "e\u0301", "\uffff", "\U0001f600", "/", '"', "\\"):
        assert parse_canonical(format_canonical(text)) == text
    deepest = b"[" * limits.JSON_DEPTH + b"]" * limits.JSON_DEPTH
    assert format_canonical(parse_canonical(deepest)) == deepest


def test_canonical_depth_is_bounded_when_written() -> None:
    value: list[object] = []
    for _ in range(limits.JSON_DEPTH * 2):
        value = [value]
    with pytest.raises(MalformedError) as error:
        format_canonical(value)
    assert error.value.code == "not-canonical"
