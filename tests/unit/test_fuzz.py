"""The fuzzer itself: its good inputs are good, its changes reach every target, and it finds a bug put there."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.fuzz import FindingError, play
from tests.simulators.fuzz_targets import Target, targets

TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_a_round(name: str) -> None:
    target, told = TARGETS[name], Counter[str]()
    assert all(target.check(good, good) for good in target.seeds)
    play(target, 1, told, examples=25)
    assert told["inputs"] >= 25


def test_it_finds_what_is_wrong() -> None:
    def broken(_good: bytes, raw: bytes) -> bool:
        assert b"null" not in raw
        return False

    target = Target((b'{"a":{"b":[1,2,3],"c":"text"}}',), broken)
    with pytest.raises(FindingError) as found:
        play(target, 1, Counter(), examples=300)
    assert b"null" in found.value.raw
