"""The revocation file: what goes in comes out byte for byte, and nothing else comes in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import SealiftError, TrustError, UnsupportedError
from bundler.strict_json import format_canonical
from tests.simulators.tuf_repository import TufRepository
from trust_root.revocation import format_revocation, parse_revocation
from trust_root.root_chain import verify_chain


@pytest.fixture(scope="module")
def roots() -> list[bytes]:
    repository = TufRepository("main")
    repository.rotate_stream("main")
    repository.add_root()
    return repository.roots


def code_of(raw: bytes) -> str:
    with pytest.raises(SealiftError) as error:
        parse_revocation(raw)
    return error.value.code


@pytest.mark.parametrize("count", [1, 2, 3])
def test_round_trip(roots: list[bytes], count: int) -> None:
    raw = format_revocation(roots[:count])
    assert parse_revocation(raw) == tuple(roots[:count])
    assert raw.startswith(b"{")
    assert len(raw) < 4096 * count
    verify_chain(parse_revocation(raw))


def test_a_gap_a_swap_and_nothing(roots: list[bytes]) -> None:
    for chosen in ([], roots[1:], [roots[0], roots[2]], [roots[1], roots[0]], [roots[0], roots[0]]):
        with pytest.raises(TrustError) as error:
            format_revocation(chosen)
        assert error.value.code == "root-chain"


def test_another_form(roots: list[bytes]) -> None:
    value = json.loads(format_revocation(roots))
    assert code_of(format_canonical(value | {"more": 1})) == "metadata-form"
    assert code_of(format_canonical(value | {"kind": "bundle"})) == "metadata-form"
    assert code_of(format_canonical(value | {"roots": {}})) == "metadata-form"
    assert code_of(format_canonical(value | {"roots": ["text"]})) == "metadata-form"
    assert code_of(format_canonical({"format": 1, "kind": "sealift-revocation"})) == "metadata-form"
    assert code_of(json.dumps(value).encode()) == "metadata-canonical"
    assert code_of(b"[]") == "metadata-form"
    assert code_of(b"") == "metadata-form"
    with pytest.raises(UnsupportedError):
        parse_revocation(format_canonical(value | {"format": 2}))


def test_too_many_roots(roots: list[bytes]) -> None:
    value = json.loads(roots[0])
    many = format_canonical({"format": 1, "kind": "sealift-revocation", "roots": [value] * 1025})
    assert code_of(many) == "metadata-form"


@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data())
def test_every_change_is_refused_or_is_another_root(roots: list[bytes], data: st.DataObject) -> None:
    raw = bytearray(format_revocation(roots[:2]))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    try:
        changed = parse_revocation(bytes(raw))
    except SealiftError:
        return
    assert changed != tuple(roots[:2])
    with pytest.raises(TrustError):
        verify_chain(changed)
