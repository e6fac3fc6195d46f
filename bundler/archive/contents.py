"""What an inventory lists: plain values. Their JSON is inventory.py's, their rules are inventory_rules.py's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bundler.digest import Digest

Storage = Literal["raw", "zstd"]


@dataclass(frozen=True, slots=True)
class Blob:
    """Content as the registry holds it, and how it is stored in the file."""

    digest: Digest
    size_bytes: int
    media_type: str
    stored: Storage
    stored_size_bytes: int
    stored_digest: Digest

    @property
    def member_name(self) -> str:
        """The member that holds it: `blobs/sha256/<hex>`, with `.zst` when it is stored as a frame."""
        return f"blobs/{self.digest.algorithm}/{self.digest.hex}{'.zst' if self.stored == 'zstd' else ''}"


@dataclass(frozen=True, slots=True)
class PlatformChild:
    """A platform manifest that the bundle holds."""

    platform: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Omission:
    """A descriptor of an index whose content was left out on purpose."""

    digest: Digest
    media_type: str
    size_bytes: int
    platform: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A manifest that holds evidence about `subject`, and where the exporter found it."""

    kind: str
    subject: Digest
    digest: Digest
    media_type: str
    size_bytes: int
    found_by: str


@dataclass(frozen=True, slots=True)
class Search:
    """One place where evidence about `subject` was looked for, and what answered."""

    subject: Digest
    place: str
    answer: str


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its top-level manifest or index, and what belongs to it. `name` is asserted by the stream only."""

    name: str
    digest: Digest
    media_type: str
    size_bytes: int
    source: str
    platforms: tuple[PlatformChild, ...]
    omitted: tuple[Omission, ...]
    evidence: tuple[Evidence, ...]
    searches: tuple[Search, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The whole list. `previous` is None exactly when `sequence` is 1; an empty `audience` means any site."""

    stream: str
    sequence: int
    previous: Digest | None
    audience: tuple[str, ...]
    created_at: datetime
    tool: str
    images: tuple[Image, ...]
    blobs: tuple[Blob, ...]
