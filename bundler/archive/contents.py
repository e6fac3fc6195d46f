"""What an inventory lists: plain values. Their JSON is inventory.py's, their rules are inventory_rules.py's."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from bundler.digest import Digest
from bundler.value import dataclass, field

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
    """A manifest, or a blob of our own, that holds evidence about `subject`, and where the exporter found it.

    `augments`, `log` and `fetched_at` belong to log entries alone (kind `log-entry`): whose promise the entry completes
    (a piece of evidence of the same image), the log's id in hex, and when the exporter asked the log.
    """

    kind: str
    subject: Digest
    digest: Digest
    media_type: str
    size_bytes: int
    found_by: str
    augments: Digest | None = None
    log: str = ""
    fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """One place where evidence about `subject` was looked for, and what answered."""

    subject: Digest
    place: str
    answer: str


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its top-level manifest or index, and what belongs to it. `name` is asserted by the stream only.

    `digest_origin` is `source` when the digest is the one that its source has for it, `synthesised` when the exporter
    made the manifest itself, because the source has none.
    """

    name: str
    digest: Digest
    media_type: str
    size_bytes: int
    source: str
    platforms: tuple[PlatformChild, ...]
    omitted: tuple[Omission, ...]
    evidence: tuple[Evidence, ...]
    searches: tuple[Search, ...]
    digest_origin: str = "source"


@dataclass(frozen=True, slots=True)
class GrowthProof:
    """Consistency proof from a tree of `tree_size` leaves to the one of the checkpoint beside it (RFC 9162, 2.1.4)."""

    tree_size: int
    hashes: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogGrowth:
    """The newest checkpoint that a log gave the exporter, with proofs that it continues earlier ones.

    `log` is the log's id in hex; `checkpoint` the signed note, whose origin tells the tree; `fetched_at` when the log
    was asked, not after the inventory's `created`. Nothing of it is verified here.
    """

    log: str
    checkpoint: bytes = field(repr=False)
    fetched_at: datetime
    proofs: tuple[GrowthProof, ...]


@dataclass(frozen=True, slots=True)
class Data:
    """Vulnerability data that travels, as the exporter had it: nobody else vouches for it.

    Attributes:
        kind: one of `DATA_TYPES` (layout.py).
        source: what the exporter calls it; the normalised reference of an artifact.
        modified_at: the latest change of anything in it, not after `created`; None where nothing tells.
        records: how many records or documents it has; None where they are not counted.
        digest, media_type, size_bytes: its blob, or the manifest of an artifact.
    """

    kind: str
    source: str
    modified_at: datetime | None
    records: int | None
    digest: Digest
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """The whole list. `previous` is None exactly when `sequence` is 1; an empty `audience` means any site.

    `logs` is empty unless the exporter asked logs how they grew; `data` unless vulnerability data travels.
    """

    stream: str
    sequence: int
    previous: Digest | None
    audience: tuple[str, ...]
    created_at: datetime
    tool: str
    images: tuple[Image, ...]
    blobs: tuple[Blob, ...]
    logs: tuple[LogGrowth, ...] = ()
    data: tuple[Data, ...] = ()
