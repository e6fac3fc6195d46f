"""Writes a bundle: the same inputs give the same bytes (FORMAT.md, "Reproducible").

Rules of this module:
- Nothing ambient gets in: no clock, no umask, no user, no locale. Every header is `format_header(name, size)`.
- Streaming: each blob is copied through one buffer and hashed again on the way; a difference from the inventory ends
  the export, for the source changed after it was hashed.
- Crash safety (temporary file, fsync, rename) is the caller's: `safe_file.new_file` and FORMAT's commit protocol.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from typing import BinaryIO

from bundler import limits
from bundler.archive.contents import Blob, Inventory
from bundler.archive.head import readme_text
from bundler.archive.inventory import format_inventory
from bundler.archive.names import INVENTORY_NAME, TRUST_PREFIX, ordered_trust_names
from bundler.archive.plan import plan_members
from bundler.archive.ustar import README_NAME, format_header, padding_bytes
from bundler.errors import DamagedError

Progress = Callable[[int], None]


def write_bundle(
    target: BinaryIO,
    trust_files: Mapping[str, bytes],
    inventory: Inventory,
    open_stored: Callable[[Blob], BinaryIO],
    progress: Progress | None = None,
) -> int:
    """Write a whole bundle.

    Args:
        target: takes the bytes from its present position on; only `write` is used.
        trust_files: content by name below `trust/`; the whole set that the order demands.
        inventory: what the bundle holds; its bytes are what the trust files sign.
        open_stored: opens the stored bytes of a blob (the content itself, or its frame); closed after the copy.
        progress: told the bytes written so far.

    Returns:
        the size of the bundle in bytes.

    Raises:
        DamagedError: trust files that are not one whole set (``trust-order``), or stored bytes that are not what the
            inventory says (``blob-size``, ``blob-digest``).
        MalformedError, UnsupportedError: the inventory breaks a rule.
        OSError: from `target` and from what `open_stored` opened; the caller knows the files' names.
    """
    sheet = _Sheet(target, progress)
    sheet.write_member(README_NAME, readme_text())
    for name in ordered_trust_names(trust_files):
        sheet.write_member(TRUST_PREFIX + name, trust_files[name])
    sheet.write_member(INVENTORY_NAME, format_inventory(inventory))
    plan = plan_members(sheet.done_bytes, inventory)
    for member in plan.members:
        sheet.write(member.header)
        if member.blob is None:
            sheet.write(member.derived or b"")
        else:
            with contextlib.closing(open_stored(member.blob)) as stored:
                _copy(stored, sheet, member.blob)
        sheet.write(bytes(padding_bytes(member.size_bytes)))
    sheet.write(bytes(plan.file_bytes - sheet.done_bytes))
    return plan.file_bytes


class _Sheet:
    """Counts what is written."""

    def __init__(self, target: BinaryIO, progress: Progress | None) -> None:
        self._target = target
        self._progress = progress
        self.done_bytes = 0

    def write_member(self, name: str, content: bytes) -> None:
        self.write(format_header(name, len(content)))
        self.write(content)
        self.write(bytes(padding_bytes(len(content))))

    def write(self, raw: bytes | memoryview) -> None:
        """Write all of `raw`, also to a raw file, whose `write` may take less."""
        view = memoryview(raw)
        while view:
            view = view[self._target.write(view) :]
        self.done_bytes += len(raw)
        if self._progress is not None:
            self._progress(self.done_bytes)


def _copy(stored: BinaryIO, sheet: _Sheet, blob: Blob) -> None:
    stored_hash = hashlib.sha256()
    left = blob.stored_size_bytes
    while piece := stored.read(min(limits.READ_BUFFER_BYTES, left + 1)):
        left -= len(piece)
        if left < 0:
            break
        stored_hash.update(piece)
        sheet.write(piece)
    if left:
        got = "more bytes" if left < 0 else f"{left} bytes less"
        raise DamagedError("blob-size", "blob", str(blob.digest), got=got, want=f"{blob.stored_size_bytes} bytes")
    if stored_hash.hexdigest() != blob.stored_digest.hex:
        raise DamagedError(
            "blob-digest", "blob", str(blob.digest), got=f"sha256:{stored_hash.hexdigest()}", want="as it was hashed"
        )
