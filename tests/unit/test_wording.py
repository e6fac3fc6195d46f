"""Words around numbers."""

from __future__ import annotations

from bundler.wording import counted


def test_one_has_no_s() -> None:
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
