"""Digests are data: hostile strings never get past the grammar (THREATS E3, CVE-2024-3727)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError

A = "a" * 64
HOSTILE: list[object] = [
    "",
    ":",
    "sha256",
    "sha256:",
    f"sha256:{A[:-1]}",
    f"sha256:{A}a",
    f"sha256:{A.upper()}",
    f"SHA256:{A}",
    f"Sha256:{A}",
    f"sha256:{'g' * 64}",
    f"sha256:{'a' * 63}/",
    f"sha256:{'a' * 61}../",
    "sha256:../../../../etc/passwd",
    f"sha256:../{A[3:]}",
    f"../sha256:{A}",
    f"/sha256:{A}",
    f"sha256/{A}",
    f"sha256-{A}",
    f"sha256::{A}",
    f"sha256:sha256:{A}",
    f" sha256:{A}",
    f"sha256:{A} ",
    f"sha256:{A}\n",
    f"sha256:{A}\0",
    f"\0sha256:{A}",
    f"sha256:{A}\r\n",
    f"sha256:{A}?x=1",
    f"sha256:{A}#x",
    f"sha256:{A}%00",
    f"sha256:%61{A[3:]}",
    f"sha256:{'а' * 64}",  # noqa: RUF001 - Cyrillic on purpose
    f"sha256:{'１' * 64}",  # noqa: RUF001 - full-width digits on purpose
    f"sha256:{'٣' * 64}",
    f"sha512:{A}",
    f"sha256:{A}{A}",
    f"sha384:{'a' * 96}",
    f"md5:{'a' * 32}",
    f"sha256+b64:{A}",
    f"http://example.org/sha256:{A}",
    f"sha256:{A};sha256:{A}",
    None,
    7,
    b"sha256:" + A.encode(),
    ["sha256", A],
    {"sha256": A},
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda value: repr(value)[:50])
def test_hostile_digests_are_refused(text: object) -> None:
    assert len(HOSTILE) >= 40
    with pytest.raises(MalformedError) as error:
        parse_digest(text)
    assert error.value.code == "digest"


@pytest.mark.parametrize("text", [f"sha256:{A}", f"sha512:{A}{A}"])
def test_digests_are_parsed_and_formatted(text: str) -> None:
    assert str(parse_digest(text)) == text


@pytest.mark.parametrize(("algorithm", "hexadecimal"), [("sha256", "../x"), ("md5", "a" * 32), ("sha256", A + "\n")])
def test_a_digest_cannot_be_made_past_its_grammar(algorithm: str, hexadecimal: str) -> None:
    with pytest.raises(MalformedError):
        Digest(algorithm, hexadecimal)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=64))
def test_digest_of_bytes(raw: bytes) -> None:
    assert parse_digest(str(sha256_of(raw))) == sha256_of(raw) == sha256_of(memoryview(raw))
