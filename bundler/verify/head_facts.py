"""What a bundle's head proved, as values for reports. Apart from result.py, so that `inspect` loads no more."""

from __future__ import annotations

from datetime import datetime

from bundler.digest import Digest
from bundler.value import dataclass


@dataclass(frozen=True, slots=True)
class RoleFact:
    """A TUF role as it was at the time of the verdict."""

    role: str
    version: int
    expires_at: datetime
    stale: bool = False


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """What the head of the file proved."""

    pin: Digest | None
    root_version: int
    development: bool
    roles: tuple[RoleFact, ...]
    standing: str
    site: str = ""
    accepted_at: datetime | None = None
    warnings: tuple[tuple[str, str], ...] = ()
    today: str = ""
    recorded: str = ""
    state: Digest | None = None  # of the site's state after this delivery was accepted, for the paper log book


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """What the signed inventory says of the delivery."""

    stream: str
    sequence: int
    previous: Digest | None
    created_at: datetime
    audience: tuple[str, ...]
    tool: str
    inventory: Digest
    images: int
    blobs: int
    size_bytes: int
