"""Where every member after the inventory lies: arithmetic over the inventory, nothing stored (FORMAT.md, "Members").

Rules of this module:
- `oci-layout`, `index.json`, then the blobs in inventory order; an offset is the sum of the rounded sizes before it, so
  there is no second index that could disagree with the first.
- The size of the whole file follows as well.
"""

from __future__ import annotations

from bundler.archive.contents import Blob, Inventory
from bundler.archive.layout import OCI_LAYOUT, layout_index
from bundler.archive.names import INDEX_NAME, LAYOUT_NAME
from bundler.archive.ustar import BLOCK_BYTES, end_bytes, format_header, member_bytes
from bundler.value import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One member. Exactly one of `blob` and `derived` (the expected content) is set."""

    name: str
    offset: int
    size_bytes: int
    blob: Blob | None = None
    derived: bytes | None = None

    @property
    def content_offset(self) -> int:
        """Where the content starts in the file."""
        return self.offset + BLOCK_BYTES

    @property
    def end_offset(self) -> int:
        """Where the next member starts."""
        return self.offset + member_bytes(self.size_bytes)

    @property
    def header(self) -> bytes:
        """The 512 bytes that must stand at `offset`."""
        return format_header(self.name, self.size_bytes)


@dataclass(frozen=True, slots=True)
class Plan:
    """All members after the inventory, and the size that the file must have (bytes)."""

    members: tuple[Member, ...]
    members_end: int
    file_bytes: int


def plan_members(head_end: int, inventory: Inventory) -> Plan:
    """Derive the rest of the file.

    Args:
        head_end: offset of the first byte after the inventory's padding.
        inventory: the verified inventory.
    """
    members: list[Member] = []
    offset = head_end
    for name, content in ((LAYOUT_NAME, OCI_LAYOUT), (INDEX_NAME, layout_index(inventory))):
        members.append(Member(name, offset, len(content), derived=content))
        offset = members[-1].end_offset
    for blob in inventory.blobs:
        members.append(Member(blob.member_name, offset, blob.stored_size_bytes, blob=blob))
        offset = members[-1].end_offset
    return Plan(tuple(members), offset, offset + end_bytes(offset))
