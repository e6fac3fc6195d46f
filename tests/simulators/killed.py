"""A run that is killed before its next rename (or removal) of a file, as a power cut would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


class Killed(BaseException):
    """Nothing catches it."""


def is_killed(
    monkeypatch: pytest.MonkeyPatch, count: int, act: Callable[[], object], names: Sequence[str] = ("rename",)
) -> bool:
    """Run `act`, which dies before the call after `count` calls of these methods of Path; whether it did die."""
    left = [count]

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*arguments, **options)

        return call

    for name in names:
        monkeypatch.setattr(Path, name, counting(getattr(Path, name)))
    try:
        act()
    except Killed:
        return True
    finally:
        monkeypatch.undo()
    return False
