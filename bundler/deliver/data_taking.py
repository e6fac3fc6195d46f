"""One source of the vulnerability data that a site keeps, as a file again: for scanners with databases of their own.

Rules of this module:
- Every byte is hashed before the file appears under its name (trust_root/kept.py): damaged data is no file.
- Whose word it is has to be clear: data of one name from two streams, or below two pinned roots, is asked about, never
  chosen. The hints are what to type.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bundler import limits
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError, UnsupportedError, UsageError
from bundler.safe_file import disk_errors, new_file
from bundler.vulnerability.recollection import recall
from bundler.vulnerability.remembered import RememberedData
from trust_root.kept import open_kept_content
from trust_root.site import Site

_WHAT = "vulnerability data"


def take_data(
    site: Site, source: str, out: Path, *, kind: str | None = None, stream: str | None = None, pin: str | None = None
) -> RememberedData:
    """Write what a site keeps under one name to a file.

    Args:
        site: whose.
        source: the data's name.
        out: the file; one that is there is replaced.
        kind: of this kind only.
        stream: of this stream only.
        pin: of what came below this pinned root only, by its digest.

    Returns:
        what it is.

    Raises:
        UsageError: no such data, or several (``data-choice``); a pin that is no digest.
        UnsupportedError: an artifact of several layers (``data-layers``).
        TrustError: the state is damaged (``state-damaged``). EnvError: the disk.
    """
    item = _choose(recall(site).data, source, (kind, stream, None if pin is None else _read_pin(pin)))
    if len(item.contents) != 1:
        raise UnsupportedError("data-layers", _WHAT, source, got=f"{len(item.contents)} layers", want="one file")
    with (
        open_kept_content(site, item.contents[0][0]) as content,
        new_file(out, what=_WHAT) as target,
        disk_errors(_WHAT, out),
    ):
        shutil.copyfileobj(content, target)
    return item


def _read_pin(text: str) -> Digest:
    try:
        return parse_digest(text)
    except MalformedError as error:
        raise UsageError(error.code, "option", "--pin", got=text[:80], want="the digest of a pinned root") from error


def _choose(
    kept: Sequence[RememberedData], source: str, typed: tuple[str | None, str | None, Digest | None]
) -> RememberedData:
    named = [item for item in kept if item.source == source]
    found = [item for item in named if all(word in (None, had) for word, had in zip(typed, _place(item), strict=True))]
    if len(found) == 1:
        return found[0]
    hints = [_hint(item, kept) for item in found or named or kept]
    got = f"{len(found)} that fit" if named else "none of that name"
    raise UsageError(
        "data-choice", _WHAT, source, got=got, want="exactly one; see --kind, --stream and --pin",
        hints=hints[: limits.HINTS],
    )  # fmt: skip


def _place(item: RememberedData) -> tuple[str, str, Digest]:
    return item.kind, item.stream, item.pin


def _hint(item: RememberedData, kept: Sequence[RememberedData]) -> str:
    """What to type for one item; a pin only where one is needed."""
    alike = {
        other.pin for other in kept if (other.source, other.kind, other.stream) == (item.source, *_place(item)[:2])
    }
    pin = f" --pin {item.pin}" if len(alike) > 1 else ""
    return f"there is {item.source}: --kind {item.kind} --stream {item.stream}{pin}"
