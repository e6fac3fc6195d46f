"""The fuzzer itself: its good inputs are good, its changes reach every target, and it finds a bug put there."""

from __future__ import annotations

import pkgutil
import sys
from collections import Counter

import pytest

import bundler
import trust_root
from scripts.fuzz import EXAMPLES, FindingError, main, play
from tests.simulators.fuzz_targets import Target, targets

TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_a_round(name: str) -> None:
    target, told = TARGETS[name], Counter[str]()
    assert all(target.check(good, good) for good in target.seeds)
    play(target, 1, told, examples=25)
    assert told["inputs"] >= 25


def test_rounds_are_bounded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("fuzz", "--seconds", "600", "--rounds", "2", "--seed", "1", "--target", "note")
    monkeypatch.setattr("sys.argv", list(words))
    main()
    assert f"fuzz: {2 * EXAMPLES} inputs, no finding" in capsys.readouterr().out


def test_all_of_ours_is_imported() -> None:
    """Else what hypothesis draws would depend on which tests ran before (tests/conftest.py)."""
    packages = (bundler, trust_root)
    names = {found.name for item in packages for found in pkgutil.walk_packages(item.__path__, f"{item.__name__}.")}
    assert len(names) > 200
    assert names <= sys.modules.keys()


def test_it_finds_what_is_wrong() -> None:
    def broken(_good: bytes, raw: bytes) -> bool:
        assert b"null" not in raw
        return False

    target = Target((b'{"a":{"b":[1,2,3],"c":"text"}}',), broken)
    with pytest.raises(FindingError) as found:
        play(target, 1, Counter(), examples=300)
    assert b"null" in found.value.raw
