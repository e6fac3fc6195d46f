"""One source of the vulnerability data that a site keeps, as a file again: for scanners with databases of their own.

Rules of this module:
- Every byte is hashed before the file appears under its name (trust_root/kept.py): damaged data is no file.
- Whose word it is has to be clear: data of one name from two streams is asked about, never chosen.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bundler.errors import UnsupportedError, UsageError
from bundler.safe_file import disk_errors, new_file
from bundler.vulnerability.recollection import recall
from bundler.vulnerability.remembered import RememberedData
from trust_root.kept import open_kept_content
from trust_root.site import Site

_WHAT = "vulnerability data"


def take_data(
    site: Site, source: str, out: Path, *, kind: str | None = None, stream: str | None = None
) -> RememberedData:
    """Write what a site keeps under one name to a file.

    Args:
        site: whose.
        source: the data's name.
        out: the file; one that is there is replaced.
        kind: of this kind only.
        stream: of this stream only.

    Returns:
        what it is.

    Raises:
        UsageError: no such data, or several (``data-choice``).
        UnsupportedError: an artifact of several layers (``data-layers``).
        TrustError: the state is damaged (``state-damaged``). EnvError: the disk.
    """
    item = _choose(site, source, kind, stream)
    if len(item.contents) != 1:
        raise UnsupportedError("data-layers", _WHAT, source, got=f"{len(item.contents)} layers", want="one file")
    with (
        open_kept_content(site, item.contents[0][0]) as content,
        new_file(out, what=_WHAT) as target,
        disk_errors(_WHAT, out),
    ):
        shutil.copyfileobj(content, target)
    return item


def _choose(site: Site, source: str, kind: str | None, stream: str | None) -> RememberedData:
    kept = recall(site).data
    found = [
        item for item in kept if item.source == source and kind in (None, item.kind) and stream in (None, item.stream)
    ]
    if len(found) == 1:
        return found[0]
    hints = [f"there is {item.kind} {item.source} of stream {item.stream}" for item in found or kept]
    got = f"{len(found)} of that name" if found else "none of that name"
    raise UsageError("data-choice", _WHAT, source, got=got, want="exactly one; see --kind and --stream", hints=hints)
