"""Content digests: data, never paths or URLs, until their grammar was checked (CVE-2024-3727).

Source of the grammar: OCI image-spec, descriptor.md "Digests"; registered algorithms sha256 and sha512 only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from bundler.errors import MalformedError
from bundler.value import dataclass, field

_GRAMMAR = re.compile(r"(sha256):([a-f0-9]{64})|(sha512):([a-f0-9]{128})")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest whose grammar was checked. `str()` gives `sha256:<hex>`."""

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        if not _GRAMMAR.fullmatch(f"{self.algorithm}:{self.hex}"):
            raise MalformedError(
                "digest", "digest", f"{self.algorithm}:{self.hex}"[:160], got="not a digest", want="sha256:<64 hex>"
            )

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def parse_digest(text: object) -> Digest:
    """Parse `sha256:<hex>` or `sha512:<hex>`, lower case only.

    Raises:
        MalformedError: anything else, whatever its type (code ``digest``).
    """
    if not isinstance(text, str) or not _GRAMMAR.fullmatch(text):
        raise MalformedError("digest", "digest", repr(text)[:160], got="not a digest", want="sha256:<64 hex>")
    algorithm, _, hexadecimal = text.partition(":")
    return Digest(algorithm, hexadecimal)


def sha256_of(raw: bytes | bytearray | memoryview) -> Digest:
    """Digest of bytes in hand."""
    return Digest("sha256", hashlib.sha256(raw).hexdigest())


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that somebody signed: in hand (`raw`), or known by their hashes alone, because they are too many to hold.

    Attributes:
        raw: the bytes; None when only hashes are known.
        hashes: hash values by algorithm (`sha256`, …), for content that is not in hand.
    """

    raw: bytes | None = field(repr=False, default=None)
    hashes: Mapping[str, bytes] = field(hash=False, default_factory=dict)

    def hash(self, algorithm: str) -> bytes | None:
        """The value by `algorithm`, one of sha256, sha384 and sha512; None when it is not known."""
        return self.hashes.get(algorithm) if self.raw is None else hashlib.new(algorithm, self.raw).digest()
