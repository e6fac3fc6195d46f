"""What lies in the blob cache, and what to throw out of it.

Rules of this module:
- Only files that the cache could have made are looked at or removed; links are never followed.
- Pruning needs the cache for itself: while an export runs it is refused (``locked``). Showing needs no lock.
- Least recently used goes first. Proofs of transparency logs are small and make exports repeat byte for byte, so they
  go only with everything.
- Time is an argument.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bundler.network.blob_cache import BLOBS, LOCK, PARTIAL, PROOFS, RUNS, RUNS_LOCK, remove_litter
from bundler.network.blob_files import BlobFolder
from bundler.safe_file import disk_errors, locked
from bundler.value import dataclass

_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pile:
    """Files of one kind."""

    count: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CacheContents:
    """What a cache holds.

    Attributes:
        blobs: whole ones.
        partials: beginnings of large ones.
        proofs: of transparency logs.
        oldest_use: when the blob that was not used for longest was used; None without blobs.
        newest_use: the same of the one used last.
    """

    folder: Path
    blobs: Pile
    partials: Pile
    proofs: Pile
    oldest_use: datetime | None
    newest_use: datetime | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be."""

    removed: Pile
    kept: Pile


@dataclass(frozen=True, slots=True, order=True)
class _Item:
    used_at: float
    part: Path
    name: str
    size_bytes: int


def show_cache(folder: Path) -> CacheContents:
    """What lies there; an absent cache is an empty one.

    Raises:
        EnvError: unreadable.
    """
    blobs = sorted(_items(folder, BLOBS))
    uses = [_moment(item.used_at) for item in blobs]
    return CacheContents(
        folder=folder,
        blobs=_pile(blobs),
        partials=_pile(list(_items(folder, Path(PARTIAL)))),
        proofs=_pile(list(_items(folder, Path(PROOFS)))),
        oldest_use=uses[0] if uses else None,
        newest_use=uses[-1] if uses else None,
    )


def prune_cache(
    folder: Path,
    *,
    now: datetime,
    max_bytes: int | None = None,
    unused_for: timedelta | None = None,
    everything: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Remove what was not used for some time, then the least recently used until the rest fits.

    Args:
        folder: the cache; an absent one stays absent.
        now: what `unused_for` counts back from.
        max_bytes: how much of blobs and beginnings may stay.
        unused_for: what was not used for longer goes.
        everything: all goes, proofs too.
        dry_run: say what would go, and remove nothing.

    Raises:
        EnvError: an export runs (``locked``), or the disk refuses.
    """
    if not folder.is_dir():
        return Pruned(Pile(), Pile())
    held = contextlib.nullcontext() if dry_run else locked(folder / LOCK, what="cache")
    with held:
        items = sorted([*_items(folder, BLOBS), *_items(folder, Path(PARTIAL))])
        if everything:
            doomed = [*items, *_items(folder, Path(PROOFS))]
        else:
            doomed = list(_choose(items, now, max_bytes, unused_for))
        if not dry_run:
            _remove(folder, doomed)
            _remove_runs(folder)
    gone = set(doomed)
    return Pruned(_pile(doomed), _pile([item for item in items if item not in gone]))


def _choose(items: list[_Item], now: datetime, max_bytes: int | None, unused_for: timedelta | None) -> Iterator[_Item]:
    left_bytes = sum(item.size_bytes for item in items)
    oldest = (now - unused_for).timestamp() if unused_for is not None else None
    for item in items:  # least recently used first
        is_old = oldest is not None and item.used_at < oldest
        if is_old or (max_bytes is not None and left_bytes > max_bytes):
            left_bytes -= item.size_bytes
            yield item


def _items(folder: Path, part: Path) -> Iterator[_Item]:
    """Files below one folder of the cache; nothing when it is absent."""
    place = folder / part
    if not place.is_dir() or place.is_symlink() or place.parent.is_symlink():
        return
    with disk_errors("cache", place), os.scandir(place) as entries:
        for entry in entries:
            facts = entry.stat(follow_symlinks=False)
            named = part == Path(PROOFS) or _HEX.fullmatch(entry.name)
            if named and (stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode)):
                yield _Item(facts.st_mtime, part, entry.name, facts.st_size)


def _remove(folder: Path, items: list[_Item]) -> None:
    for part in sorted({item.part for item in items}):
        opened = BlobFolder(folder / part)
        with contextlib.closing(opened), disk_errors("cache", opened.path):
            for item in items:
                if item.part == part:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(item.name, dir_fd=opened.descriptor)
            opened.sync()


def _remove_runs(folder: Path) -> None:
    if (folder / RUNS).is_dir() and not (folder / RUNS).is_symlink():
        with locked(folder / RUNS_LOCK, what="cache", wait=True):
            remove_litter(folder / RUNS)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(
        min(max(seconds, 0), _LAST_SECOND), UTC
    )  # file systems know years that Python does not


def _pile(items: list[_Item]) -> Pile:
    return Pile(len(items), sum(item.size_bytes for item in items))
