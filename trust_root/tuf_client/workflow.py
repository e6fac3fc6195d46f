"""The checks of the client workflow, over bytes in hand (TUF 1.0.31 section 5.3 to 5.6).

    root N ── root N+1 … ── timestamp ── snapshot ── targets ── delegated roles

Rules of this module:
- Pure: no disk, no sockets, no clock. What is given back was verified; what does not hold raises TrustError.
- Lengths and hashes come first, where a signed file gave them; then the form, signatures, versions. Expiry is judged
  apart, at one time for all (`Judge`), because cached and intermediate files are used although they have expired.
- Root N+1 is signed by a threshold of root N and of itself, and its version is exactly N+1 (5.3.4, 5.3.5).
- No version goes back: of the timestamp, of the snapshot that it names, of any file that the snapshot names; and no
  file vanishes from the snapshot (5.4.3, 5.5.5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from bundler.errors import MalformedError, TrustError
from bundler.moment import format_moment
from bundler.value import dataclass, field
from trust_root.roles import ROOT, SNAPSHOT, TIMESTAMP
from trust_root.tuf_client.documents import (
    Body,
    Document,
    FileFacts,
    RootBody,
    SnapshotBody,
    TargetFacts,
    TargetsBody,
    TimestampBody,
    parse_root,
    parse_snapshot,
    parse_targets,
    parse_timestamp,
)
from trust_root.tuf_client.signers import Authority

_T = TypeVar("_T")

_HASHES: Mapping[str, Callable[[bytes], str]] = {
    "sha256": lambda raw: hashlib.sha256(raw).hexdigest(),
    "sha384": lambda raw: hashlib.sha384(raw).hexdigest(),
    "sha512": lambda raw: hashlib.sha512(raw).hexdigest(),
    "blake2b": lambda raw: hashlib.blake2b(raw).hexdigest(),
    "blake2b-256": lambda raw: hashlib.blake2b(raw, digest_size=32).hexdigest(),
}


@dataclass(frozen=True, slots=True)
class Expired:
    """A role whose metadata had expired, where that was allowed."""

    role: str
    version: int
    expires_at: datetime


@dataclass(slots=True)
class Judge:
    """Judges expiry at one time, fixed when a refresh starts (5.1).

    Attributes:
        at: the time, UTC.
        allow_expired: note what has expired instead of refusing it. Only for a loud option.
        expired: what was allowed.
    """

    at: datetime
    allow_expired: bool = False
    expired: list[Expired] = field(default_factory=list)

    def check(self, document: Document[Body]) -> None:
        """Raise TrustError (``expired``) for metadata that is not alive any more (5.3.10, 5.4.4, 5.5.6, 5.6.5)."""
        when = document.body.expires_at
        if self.at < when:
            return
        found = Expired(document.name, document.body.version, when)
        if not self.allow_expired:
            which = f"{document.name} version {document.body.version}"
            got = f"expired on {format_moment(when.replace(microsecond=0))}"
            want = f"alive at {format_moment(self.at.replace(microsecond=0))}"
            raise TrustError("expired", "trust metadata", which, got=got, want=want)
        if found not in self.expired:
            self.expired.append(found)


def open_first_root(raw: bytes) -> Document[RootBody]:
    """A root that is trusted for another reason (it is pinned): it must be signed by itself all the same.

    Raises:
        TrustError: ``metadata-form`` or ``threshold``.
    """
    root = _parsed(parse_root, raw, ROOT)
    _verify(root, root.body.roles[ROOT])
    return root


def open_next_root(before: Document[RootBody], raw: bytes) -> Document[RootBody]:
    """The root after `before`: signed by a threshold of both, and exactly one version higher (5.3.4, 5.3.5).

    Raises:
        TrustError: ``metadata-form``, ``threshold`` or ``version-mismatch``.
    """
    root = _parsed(parse_root, raw, ROOT)
    _verify(root, before.body.roles[ROOT])
    _verify(root, root.body.roles[ROOT])
    _check_version(root, before.body.version + 1)
    return root


def open_timestamp(
    root: Document[RootBody],
    raw: bytes,
    before: Document[TimestampBody] | None = None,
    *,
    snapshot_forgotten: bool = False,
) -> Document[TimestampBody]:
    """A timestamp signed as `root` says; the older one itself when their versions are equal (5.4.2, 5.4.3).

    `snapshot_forgotten`: the snapshot that `before` names was signed by keys that `root` has dropped.

    Raises:
        TrustError: ``metadata-form``, ``threshold``, or ``rollback`` of its own version or of the snapshot's.
    """
    timestamp = _parsed(parse_timestamp, raw, TIMESTAMP)
    _verify(timestamp, root.body.roles[TIMESTAMP])
    if before is None:
        return timestamp
    if timestamp.body.version == before.body.version:
        return before
    _check_not_lower(TIMESTAMP, timestamp.body.version, before.body.version)
    if not snapshot_forgotten:
        _check_not_lower("snapshot.json in timestamp", timestamp.body.snapshot.version, before.body.snapshot.version)
    return timestamp


def open_cached_snapshot(root: Document[RootBody], raw: bytes) -> Document[SnapshotBody]:
    """A snapshot that was verified once: still signed as `root` says. It may be older than the timestamp says."""
    snapshot = _parsed(parse_snapshot, raw, SNAPSHOT)
    _verify(snapshot, root.body.roles[SNAPSHOT])
    return snapshot


def open_snapshot(
    root: Document[RootBody], timestamp: TimestampBody, raw: bytes, before: SnapshotBody | None = None
) -> Document[SnapshotBody]:
    """The snapshot that the timestamp names (5.5.2 to 5.5.5).

    Raises:
        TrustError: ``metadata-hash``, ``hash-algorithm``, ``metadata-form``, ``threshold``, ``version-mismatch``, or
            ``rollback`` of a file that `before` names.
    """
    check_content(SNAPSHOT, raw, timestamp.snapshot.length, timestamp.snapshot.hashes)
    snapshot = open_cached_snapshot(root, raw)
    check_named_snapshot(snapshot, timestamp)
    for name, facts in before.meta.items() if before else ():
        now = snapshot.body.meta.get(name)
        if now is None:
            raise TrustError("rollback", "trust metadata", SNAPSHOT, got=f"{name[:80]} has vanished", want="listed")
        _check_not_lower(f"{name[:80]} in snapshot", now.version, facts.version)
    return snapshot


def check_named_snapshot(snapshot: Document[SnapshotBody], timestamp: TimestampBody) -> None:
    """Raise TrustError unless the timestamp names this very snapshot (``metadata-hash``, ``version-mismatch``)."""
    facts = timestamp.snapshot
    check_content(SNAPSHOT, snapshot.raw, facts.length, facts.hashes)
    _check_version(snapshot, facts.version)


def listed_facts(snapshot: SnapshotBody, role: str) -> FileFacts:
    """What the snapshot says of a role's file.

    Raises:
        TrustError: nothing (code ``delegation``).
    """
    facts = snapshot.meta.get(f"{role}.json")
    if facts is None:
        raise TrustError("delegation", "trust metadata", f"{role[:80]}.json", got="not in the snapshot", want="listed")
    return facts


def open_targets(role: str, authority: Authority, facts: FileFacts, raw: bytes) -> Document[TargetsBody]:
    """Metadata of targets or of a delegated role, under the delegator that led here (5.6.2 to 5.6.4).

    Raises:
        TrustError: ``metadata-hash``, ``hash-algorithm``, ``metadata-form``, ``threshold`` or ``version-mismatch``.
    """
    check_content(role, raw, facts.length, facts.hashes)
    targets = _parsed(lambda value: parse_targets(value, role), raw, role)
    _verify(targets, authority)
    _check_version(targets, facts.version)
    return targets


def verify_target(facts: TargetFacts, raw: bytes) -> bytes:
    """The bytes of a target, if they are those that were signed (5.7.3).

    Raises:
        TrustError: ``target-hash`` or ``hash-algorithm``.
    """
    try:
        check_content(facts.path, raw, facts.length, facts.hashes)
    except TrustError as error:
        if error.code != "metadata-hash":
            raise
        raise TrustError("target-hash", "target", facts.path[:160], got=error.got, want=error.want) from error
    return raw


def check_content(which: str, raw: bytes, length: int | None, hashes: Mapping[str, str]) -> None:
    """Raise TrustError unless length and every hash hold (``metadata-hash``), all by algorithms that we know."""
    if length is not None and len(raw) != length:
        raise TrustError("metadata-hash", "trust metadata", which, got=f"{len(raw)} bytes", want=f"{length} bytes")
    for algorithm, value in hashes.items():
        if algorithm not in _HASHES:
            known = ", ".join(_HASHES)
            raise TrustError(
                "hash-algorithm", "trust metadata", which, got=repr(algorithm)[:40], want=f"one of {known}"
            )
        if (got := _HASHES[algorithm](raw)) != value:
            raise TrustError("metadata-hash", "trust metadata", which, got=f"{algorithm}:{got}", want=value[:128])


def _verify(document: Document[Body], authority: Authority) -> None:
    authority.verify(f"{document.name} version {document.body.version}", document.payload, document.signatures)


def _check_version(document: Document[Body], want: int) -> None:
    got = document.body.version
    if got != want:
        raise TrustError("version-mismatch", "trust metadata", document.name, got=f"version {got}", want=f"{want}")


def _check_not_lower(which: str, got: int, before: int) -> None:
    if got < before:
        raise TrustError("rollback", "trust metadata", which, got=f"version {got}", want=f"{before} or higher")


def _parsed(parse: Callable[[bytes], _T], raw: bytes, name: str) -> _T:
    with _as_trust_error(name):
        return parse(raw)


@contextmanager
def _as_trust_error(name: str) -> Iterator[None]:
    try:
        yield
    except MalformedError as error:
        which = f"{name}: {error.what} {error.which}".rstrip()[:240]
        raise TrustError("metadata-form", "trust metadata", which, got=error.got, want=error.want) from error
