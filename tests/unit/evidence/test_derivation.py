"""The derivation statement: one form, parse and format inverse, nothing else read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError
from bundler.evidence.derivation import (
    Derivation,
    Original,
    PatchedPlatform,
    Tool,
    format_derivation,
    parse_derivation,
)
from bundler.strict_json import format_canonical

AT = datetime(2026, 11, 20, 6, tzinfo=UTC)

digests = st.binary(min_size=1, max_size=4).map(sha256_of)
names = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc"]), min_size=1, max_size=20
)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))  # noqa: DTZ001


@st.composite
def platforms(draw: st.DrawFn) -> PatchedPlatform:
    original, before = draw(digests), draw(digests)
    if draw(st.booleans()):
        return PatchedPlatform(draw(names), original, original, before, before, None)
    patched = draw(digests.filter(lambda digest: digest != original))
    after = draw(digests.filter(lambda digest: digest != before))
    return PatchedPlatform(draw(names), original, patched, before, after, draw(st.none() | digests))


derivations = st.builds(
    Derivation,
    name=names,
    image=digests,
    original=st.builds(Original, names, digests),
    platforms=st.lists(platforms(), min_size=1, max_size=3, unique_by=lambda each: each.platform).map(tuple),
    lost=st.sets(names, max_size=3).map(lambda texts: tuple(sorted(texts))),
    had=st.sets(names, max_size=3).map(lambda texts: tuple(sorted(texts))),
    tools=st.lists(st.builds(Tool, names, names), max_size=3).map(tuple),
    scanned_at=moments,
    patched_at=moments,
)


@given(derivations)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_parse_and_format_are_inverse(derivation: Derivation) -> None:
    raw = format_derivation(derivation)
    assert parse_derivation(raw) == derivation
    assert format_derivation(parse_derivation(raw)) == raw


def small() -> dict[str, Any]:
    one, two, three, four = (sha256_of(text) for text in (b"1", b"2", b"3", b"4"))
    platform = PatchedPlatform("linux/amd64", one, two, three, four, None)
    derivation = Derivation("app:1-patched", two, Original("app:1", one), (platform,), (), (), (), AT, AT)
    document: dict[str, Any] = json.loads(format_derivation(derivation))
    return document


def put(path: str, value: Any) -> bytes:
    """The small statement with one field changed; without a value, removed."""
    document = small()
    *heads, last = path.split(".")
    place: Any = document
    for head in heads:
        place = place[int(head)] if head.isdigit() else place[head]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return format_canonical(document)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("_type", "https://in-toto.io/Statement/v0.1", "statement-type"),
        ("predicateType", "https://sealift.dev/derivation/v2", "predicate-type"),
        ("subject", [], "derivation"),
        ("subject.0.digest", {"sha256": "a" * 64}, "derivation"),
        ("subject.0.digest", {"sha512": "a" * 128}, "field-unknown"),
        ("subject.0.name", "", "derivation"),
        ("more", 1, "field-unknown"),
        ("predicate.more", 1, "field-unknown"),
        ("predicate.original", None, "field-missing"),
        ("predicate.original.digest", "sha256:A", "digest"),
        ("predicate.original.digest", "sha512:" + "a" * 128, "derivation"),
        ("predicate.platforms", [], "derivation"),
        ("predicate.platforms.0.platform", "", "derivation"),
        ("predicate.platforms.0.patched", "sha256:" + "b" * 64, "derivation"),
        ("predicate.platforms.0.after", str(sha256_of(b"3")), "derivation"),
        ("predicate.platforms.0.original", str(sha256_of(b"2")), "derivation"),
        ("predicate.lost", ["b", "a"], "derivation"),
        ("predicate.had", ["a", "a"], "derivation"),
        ("predicate.tools", [{"name": "trivy", "version": ""}], "derivation"),
        ("predicate.tools", [{"name": "t", "version": "1"}] * 17, "limits"),
        ("predicate.scanned", "2026-11-20", "time"),
        ("predicate.patched", 1, "field-type"),
    ],
)
def test_any_other_form_is_refused(path: str, value: Any, code: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_derivation(put(path, value))
    assert caught.value.code == code


def test_another_spelling_is_refused() -> None:
    for raw in (json.dumps(small()).encode(), format_canonical(small()) + b"\n", b"", b"[]", b"{}"):
        with pytest.raises(MalformedError):
            parse_derivation(raw)


def test_a_platform_twice_is_refused() -> None:
    document = small()
    document["predicate"]["platforms"] *= 2
    with pytest.raises(MalformedError, match="each once"):
        parse_derivation(format_canonical(document))


def test_one_platform_in_two_versions_is_two() -> None:
    """Windows: one platform, several values of `os.version`."""
    document = small()
    (one,) = document["predicate"]["platforms"]
    other = str(sha256_of(b"5"))
    document["predicate"]["platforms"].append({**one, "original": other, "patched": other, "after": one["before"]})
    document["subject"].append({"name": "app:1-patched", "digest": {"sha256": sha256_of(b"5").hex}})
    derivation = parse_derivation(format_canonical(document))
    assert [each.platform for each in derivation.platforms] == ["linux/amd64", "linux/amd64"]


def test_documents_are_named_once() -> None:
    derivation = parse_derivation(format_canonical(small()))
    assert derivation.documents == (sha256_of(b"3"), sha256_of(b"4"))
    assert isinstance(derivation.image, Digest)
