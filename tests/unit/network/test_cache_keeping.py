"""`cache show` and `cache prune`: by last use, only what is the cache's, never during an export."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.cli.cache import parse_age
from bundler.digest import sha256_of
from bundler.errors import EnvError, UsageError
from bundler.network.blob_cache import open_cache
from bundler.network.cache_keeping import Pile, prune_cache, show_cache
from tests.cli.session import call

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three blobs of 100, 200 and 300 bytes, last used 40, 20 and 10 days ago; one beginning, 5 days; one proof."""
    folder = tmp_path / "cache"
    with open_cache(folder) as cache:
        for number, days in ((1, 40), (2, 20), (3, 10)):
            raw = bytes(100 * number)
            cache.keep(sha256_of(raw), raw)
            age(folder / "blobs/sha256" / sha256_of(raw).hex, days)
    (folder / "partial" / ("f" * 64)).write_bytes(bytes(1000))
    age(folder / "partial" / ("f" * 64), 5)
    (folder / "proofs" / "x.json").write_bytes(b"{}")
    return folder


def age(path: Path, days: float) -> None:
    used_at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (used_at, used_at))


def sizes(folder: Path) -> list[int]:
    return sorted(path.stat().st_size for part in ("blobs/sha256", "partial") for path in (folder / part).iterdir())


def test_show(folder: Path) -> None:
    contents = show_cache(folder)
    assert (contents.blobs, contents.partials, contents.proofs) == (Pile(3, 600), Pile(1, 1000), Pile(1, 2))
    assert contents.oldest_use == NOW - timedelta(days=40)
    assert contents.newest_use == NOW - timedelta(days=10)


def test_an_absent_cache_is_empty_and_stays_absent(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    assert show_cache(folder).blobs == Pile()
    assert prune_cache(folder, now=NOW, everything=True).removed == Pile()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("unused_for", "max_bytes", "left"),
    [
        (timedelta(days=30), None, [200, 300, 1000]),
        (timedelta(days=15), None, [300, 1000]),
        (timedelta(days=1), None, []),
        (timedelta(days=60), None, [100, 200, 300, 1000]),
        (None, 1600, [100, 200, 300, 1000]),
        (None, 1599, [200, 300, 1000]),
        (None, 1000, [1000]),
        (None, 0, []),
        (timedelta(days=30), 1300, [300, 1000]),
    ],
)
def test_prune_goes_by_last_use(
    folder: Path, unused_for: timedelta | None, max_bytes: int | None, left: list[int]
) -> None:
    before = sizes(folder)
    planned = prune_cache(folder, now=NOW, unused_for=unused_for, max_bytes=max_bytes, dry_run=True)
    assert sizes(folder) == before
    assert prune_cache(folder, now=NOW, unused_for=unused_for, max_bytes=max_bytes) == planned
    assert sizes(folder) == left
    assert planned.kept == Pile(len(left), sum(left))
    assert planned.removed == Pile(len(before) - len(left), sum(before) - sum(left))
    assert (folder / "proofs" / "x.json").exists()


def test_everything(folder: Path) -> None:
    assert prune_cache(folder, now=NOW, everything=True).removed == Pile(5, 1602)
    assert sizes(folder) == []
    assert list((folder / "proofs").iterdir()) == []
    with open_cache(folder):
        pass


def test_prune_waits_for_no_export(folder: Path) -> None:
    before = sizes(folder)
    with open_cache(folder):
        with pytest.raises(EnvError, match="held by another") as caught:
            prune_cache(folder, now=NOW, everything=True)
        assert caught.value.code == "locked"
        assert prune_cache(folder, now=NOW, everything=True, dry_run=True).removed.count == 5
    assert sizes(folder) == before


def test_prune_removes_staging_folders_of_killed_runs(folder: Path) -> None:
    (folder / "runs" / "dead").mkdir()
    prune_cache(folder, now=NOW, max_bytes=10_000)
    assert list((folder / "runs").iterdir()) == []


def test_what_is_not_the_caches_is_left_alone(folder: Path, tmp_path: Path) -> None:
    mine = [folder / "notes.txt", folder / "blobs/sha256/notes.txt", folder / "blobs/readme", folder / "partial/x"]
    for path in mine:
        path.write_bytes(b"mine")
    (folder / "blobs/sha256" / ("a" * 64)).mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (folder / "blobs/sha256" / ("b" * 64)).symlink_to(outside)
    prune_cache(folder, now=NOW, everything=True)
    assert all(path.read_bytes() == b"mine" for path in [*mine, outside])
    assert not (folder / "blobs/sha256" / ("b" * 64)).is_symlink()


@pytest.mark.parametrize("part", ["blobs", "blobs/sha256", "partial", "proofs"])
def test_folders_that_are_links_are_not_followed(folder: Path, tmp_path: Path, part: str) -> None:
    moved = tmp_path / "moved"
    (folder / part).rename(moved)
    (folder / part).symlink_to(moved)
    count = sum(1 for path in moved.rglob("*") if path.is_file())
    assert count
    prune_cache(folder, now=NOW, everything=True)
    assert sum(1 for path in moved.rglob("*") if path.is_file()) == count


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("30d", 720), ("8w", 1344), ("0h", 0)])
def test_ages(text: str, hours: int) -> None:
    assert parse_age(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 d", "30m", "1d1h", "999999d", "٣d"])
def test_no_ages(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_age(text)
    assert caught.value.code == "age"


def test_the_command_shows(folder: Path) -> None:
    document = json.loads(call("cache", "show", "--cache", folder, "--json").out)
    assert document["blobs"] == {"count": 3, "size": 600}
    assert document["oldest_use"] == "2026-10-14T00:00:00Z"
    shown = call("cache", "show", "--cache", folder)
    assert shown.code == 0
    assert "3 files, 600 bytes" in shown.out


def test_the_command_prunes(folder: Path) -> None:
    dry = call("cache", "prune", "--cache", folder, "--max-size", "1K", "--dry-run", "--json")
    assert json.loads(dry.out) == {
        "dry_run": True,
        "removed": {"count": 3, "size": 600},
        "kept": {"count": 1, "size": 1000},
    }
    assert call("cache", "prune", "--cache", folder, "--max-size", "1K").out.startswith(
        "removed 3 files, 600 bytes; 1 file"
    )
    assert call("cache", "prune", "--cache", folder, "--unused-for", "5000w").out.startswith("removed 0 files")
    assert call("cache", "prune", "--cache", folder, "--all").code == 0
    assert sizes(folder) == []


@pytest.mark.parametrize("options", [(), ("--max-size", "big"), ("--unused-for", "long"), ("--dry-run",)])
def test_the_command_needs_something_to_go_by(folder: Path, options: tuple[str, ...]) -> None:
    before = sizes(folder)
    assert call("cache", "prune", "--cache", folder, *options).code == 2
    assert sizes(folder) == before


@pytest.mark.parametrize("command", [("cache",), ("cache", "show"), ("cache", "prune")])
def test_help_has_examples(command: tuple[str, ...]) -> None:
    result = call(*command, "--help")
    assert result.code == 0
    assert "Examples:" in result.out
