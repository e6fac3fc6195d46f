"""Which delegated roles may speak about a target path (TUF 1.0.31 section 4.5, TAP 15 for hash bins).

Rules of this module:
- Order is priority: the roles are named in the order of the delegation.
- A pattern matches part by part: `*` and `?` never cross a `/`.
- Hash prefixes are compared with the SHA-256 of the path, in lower-case hex.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from bundler.errors import MalformedError
from bundler.value import dataclass
from trust_root.tuf_client.signers import Authority

_PREFIX = re.compile(r"[a-f0-9]{0,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Delegate:
    """A role that was delegated to."""

    name: str
    authority: Authority
    terminating: bool
    paths: tuple[str, ...] = ()
    hash_prefixes: tuple[str, ...] = ()

    def covers(self, path: str) -> bool:
        """Whether the role may speak about `path`."""
        hashed = _path_hash(path).hex() if self.hash_prefixes else ""
        return any(map(hashed.startswith, self.hash_prefixes)) or any(_matches(path, one) for one in self.paths)


@dataclass(frozen=True, slots=True)
class Bins:
    """Hash bins in short: 2^bits roles `<prefix>-<number in hex>`, each terminating, all with the same keys."""

    prefix: str
    bits: int
    authority: Authority

    def bin_for(self, path: str) -> Delegate:
        """The one bin for a path."""
        number = int.from_bytes(_path_hash(path)[:4], "big") >> (32 - self.bits)
        digits = len(f"{2**self.bits - 1:x}")
        return Delegate(f"{self.prefix}-{number:0{digits}x}", self.authority, terminating=True)


@dataclass(frozen=True, slots=True)
class Delegations:
    """All roles that one role delegates to: in a list, or in bins."""

    roles: tuple[Delegate, ...]
    bins: Bins | None

    def for_path(self, path: str) -> Iterator[Delegate]:
        """The roles that may speak about `path`, first things first."""
        if self.bins is not None:
            yield self.bins.bin_for(path)
        yield from (role for role in self.roles if role.covers(path))


def parse_pattern(text: str) -> str:
    """A path pattern.

    Raises:
        MalformedError: a set of characters that is read in two ways (code ``metadata-form``).
    """
    if "[![" in text:
        raise MalformedError("metadata-form", "path pattern", repr(text)[:80], got="not a pattern", want="a/*.b")
    return text


def parse_prefix(text: str) -> str:
    """A prefix of a path's hash.

    Raises:
        MalformedError: not lower-case hex (code ``metadata-form``).
    """
    if not _PREFIX.fullmatch(text):
        raise MalformedError(
            "metadata-form", "path hash prefix", repr(text)[:80], got="not hex", want="up to 64 digits"
        )
    return text


def _matches(path: str, pattern: str) -> bool:
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _path_hash(path: str) -> bytes:
    return hashlib.sha256(path.encode("utf-8", errors="surrogatepass")).digest()
