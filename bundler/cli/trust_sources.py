"""Where a trust repository is: a folder or a web address, typed after `--from`; here HTTP meets trust_root's fetch.

Rules of this module:
- Metadata stands below `metadata/` or at the top; the repository itself says which, by what is there. Targets stand
  below `targets/`, unless another place is named.
- A path from metadata never leaves the repository's address: no `..`, no query, no fragment.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from bundler.errors import EnvError, UsageError
from bundler.network.access import Access
from bundler.network.trust_files import TrustFiles
from bundler.value import dataclass
from trust_root.fetch import Fetch, below, directory_fetch, path_parts

_KEPT = "%!$&'()*+,;=:@~"  # a target's path is part of a URL already (TUF section 4.5); only what is none is escaped


@dataclass(frozen=True, slots=True)
class TrustSource:
    """A trust repository.

    Attributes:
        place: as it was typed.
        metadata, targets: get files below the two places.
    """

    place: str
    metadata: Fetch
    targets: Fetch


@contextlib.contextmanager
def open_source(
    place: str, *, pinned_version: int | None = None, targets: str | None = None, access: Access | None = None
) -> Iterator[TrustSource]:
    """Open what was typed after `--from`: a folder, or an http or https address.

    Args:
        place: the repository.
        pinned_version: version of the pinned root, to find out where metadata stands.
        targets: another place for targets.
        access: how patient to be.

    Raises:
        UsageError: neither a folder nor an address (code ``source``).
        EnvError: it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        files = TrustFiles(access or Access(), os.environ)
        stack.callback(files.close)
        whole = place_fetch(place, files)
        metadata = below(whole, "metadata") if _has_metadata_folder(whole, pinned_version) else whole
        yield TrustSource(place, metadata, place_fetch(targets, files) if targets else below(whole, "targets"))


def place_fetch(place: str, files: TrustFiles) -> Fetch:
    """What gets files from a typed folder or address."""
    if place.startswith(("http://", "https://")):
        return http_fetch(place, files)
    try:
        return directory_fetch(Path(place))
    except EnvError as error:
        raise UsageError(
            "source", "--from", place, got=error.got, want="a folder, or an http or https address"
        ) from error


def http_fetch(base: str, files: TrustFiles) -> Fetch:
    """What gets files below the address `base`."""
    start = base if base.endswith("/") else f"{base}/"

    def fetch(path: str, max_bytes: int) -> bytes | None:
        parts = [quote(part, safe=_KEPT) for part in path_parts(path)]
        return files.fetch(f"{start}{'/'.join(parts)}", max_bytes)

    return fetch


def _has_metadata_folder(fetch: Fetch, pinned_version: int | None) -> bool:
    from bundler import limits

    wanted = ["timestamp.json"] if pinned_version is None else [f"{pinned_version}.root.json", "timestamp.json"]
    return any(fetch(f"metadata/{name}", limits.TUF_METADATA_BYTES) is not None for name in wanted)
