"""The README's tour shows what its commands print now."""

from __future__ import annotations

from pathlib import Path

from scripts.readme_tour import plain, run_tour


def test_tour_is_current(root: Path) -> None:
    before = (root / "README.md").read_text(encoding="utf-8")
    after = run_tour(before)
    assert before.count("$ sealift") >= 7
    assert plain(after).splitlines() == plain(before).splitlines()


def test_a_stale_tour_is_noticed() -> None:
    stale = "```console\n$ sealift --version\nsealift 0.0.0\nbundle format 1\n```"
    assert plain(run_tour(stale)) != plain(stale)
