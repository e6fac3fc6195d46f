"""Vulnerability data that a bundle brings, ready to be used by a look at the bundle: for `sealift scan FILE`.

Rules of this module:
- The head is checked as `inspect` does. What leads back to no pin is used only where whoever looks says so, as it does
  of the SBOMs.
- Only the data's own members are read, and hashed before a byte of them is used. What is damaged or incomplete is told
  and not used.
- A pipe is read once, by those who read the SBOMs: what it brings is told, and not used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler import limits
from bundler.archive.reader import STANDARD_INPUT, open_archive
from bundler.deliver.inspection import open_head
from bundler.deliver.vex_beside import owner_of_head
from bundler.digest import Digest
from bundler.errors import TrustError
from bundler.value import replace
from bundler.verify.data import judge_data
from bundler.verify.result import Outcome
from bundler.verify.vulnerability_stage import Carried, brought_items
from bundler.vulnerability.findings import Note
from bundler.vulnerability.shelf import ShelfItem
from trust_root.delivery import TimeBasis
from trust_root.site import Site

Brought = tuple[tuple[ShelfItem, ...], tuple[Note, ...]]


@contextmanager
def open_brought_data(
    source: Path | str,
    site: Site | TrustError,
    basis: TimeBasis,
    place: Path,
    kinds: Collection[str],
    *,
    trusted_only: bool = False,
) -> Iterator[Brought]:
    """What a bundle brings, and notes about what of it cannot be used.

    Args:
        source: the bundle's path, or `-`.
        site: the site's state, or the error that says why there is none.
        basis: the time basis.
        place: a folder that large data can go through.
        kinds: of data that is wanted.
        trusted_only: nothing of a bundle whose head leads back to no pin.

    Raises:
        DamagedError, UnsupportedError, EnvError, MalformedError, TrustError: as `open_head`.
    """
    if str(source) == STANDARD_INPUT:  # read once, by those who read the SBOMs
        yield (), (Note("data-unread", "standard input", "what this bundle brings is used only from a file"),)
        return
    with open_archive(source) as archive:
        head = open_head(archive, site, basis, str(source))
        if trusted_only and head.failure is not None:
            yield (), ()
            return

        def read_blob(digest: Digest) -> bytes:
            return archive.read_blob(digest, limits.EVIDENCE_BLOB_BYTES)

        wanted = tuple(item for item in head.inventory.data if item.kind in kinds)
        inventory = replace(head.inventory, data=wanted)
        first = judge_data(inventory, read_blob, frozenset(), basis.at)
        parts = {part.digest for item in first.complete for part in item.payload}
        judged = judge_data(inventory, read_blob, archive.prove_blobs(parts), basis.at)
        items, notes = brought_items(Carried(archive, inventory, judged.complete, owner_of_head(head, site)), place)
        failed = [check for check in judged.checks if check.outcome is not Outcome.HELD]
        yield items, (*notes, *(Note("data-unread", check.about, f"[{check.code}] {check.detail}") for check in failed))
