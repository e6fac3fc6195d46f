"""One repository and what is kept of it: each role's metadata, from the store if it still holds, else fetched.

Rules of this module:
- A kept root is never replaced by a lower one: a repository that now ends before it, or shows another root of its
  version, is refused. Every other kept file that does not hold any more is passed over, and replaced.
- The way back when a thief raised versions out of reach (5.3.11): what was signed by keys that the root has dropped
  does not hold any more, so that it holds nothing back either. When that is the snapshot, the version of it that the
  timestamp names is forgotten with it. This needs no memory of the rotation, so that an interrupted run loses nothing;
  and where enough of the present keys vouch for a kept file, a rotation is no way around it.
- A kept snapshot is used as it is only if the timestamp still names it, by version, length and hashes.
"""

from __future__ import annotations

from bundler import limits
from bundler.errors import TooLongError, TrustError, UnsupportedError
from bundler.value import dataclass
from trust_root.fetch import Fetch
from trust_root.roles import ROOT, SNAPSHOT, TIMESTAMP
from trust_root.tuf_client import workflow
from trust_root.tuf_client.documents import Document, RootBody, SnapshotBody, TargetsBody, TimestampBody
from trust_root.tuf_client.signers import Authority
from trust_root.tuf_client.store import Store, quote_role
from trust_root.tuf_client.workflow import Judge


@dataclass(frozen=True, slots=True)
class Source:
    """A repository's metadata, what is kept of it, and the time."""

    fetch: Fetch
    store: Store
    judge: Judge

    def roots(self, pinned: bytes) -> tuple[Document[RootBody], ...]:
        """From the pinned root to the newest (5.3). The newest has still to be judged."""
        kept = self._kept_root()
        chain = [workflow.open_first_root(pinned)]
        self._keep_root(chain[-1], kept)
        while (raw := self.fetch(f"{chain[-1].body.version + 1}.root.json", limits.TUF_METADATA_BYTES)) is not None:
            if len(chain) > limits.ROOTS:
                raise TrustError("limits", "trust metadata", "roots", got="more", want=f"{limits.ROOTS} to follow")
            root = workflow.open_next_root(chain[-1], raw)
            chain.append(root)
            self._keep_root(root, kept)
        if kept is not None and chain[-1].body.version < kept.body.version:
            got = f"the newest root is version {chain[-1].body.version}"
            raise TrustError("rollback", "trust metadata", ROOT, got=got, want=f"{kept.body.version}, which was seen")
        return tuple(chain)

    def timestamp(self, root: Document[RootBody]) -> Document[TimestampBody]:
        """The newest timestamp (5.4)."""
        kept = self._kept_timestamp(root)
        forgotten = self.store.load(SNAPSHOT) is not None and self._kept_snapshot(root) is None
        raw = self._fetched("timestamp.json", None)
        timestamp = workflow.open_timestamp(root, raw, kept, snapshot_forgotten=forgotten)
        self.judge.check(timestamp)
        if timestamp is not kept:
            self.store.save(TIMESTAMP, timestamp.raw)
        return timestamp

    def snapshot(self, root: Document[RootBody], timestamp: Document[TimestampBody]) -> Document[SnapshotBody]:
        """The snapshot that the timestamp names (5.5)."""
        kept = self._kept_snapshot(root)
        facts = timestamp.body.snapshot
        if kept is not None and self._still_named(kept, timestamp.body):
            return kept
        name = _file_name(SNAPSHOT, facts.version, root.body)
        raw = self._fetched(name, facts.length)
        snapshot = workflow.open_snapshot(root, timestamp.body, raw, kept.body if kept else None)
        self.judge.check(snapshot)
        self.store.save(SNAPSHOT, snapshot.raw)
        return snapshot

    def targets(self, root: RootBody, snapshot: SnapshotBody, role: str, authority: Authority) -> Document[TargetsBody]:
        """Metadata of targets or a delegated role (5.6), under `authority`."""
        facts = workflow.listed_facts(snapshot, role)
        kept = self.store.load(role)
        if kept is not None:
            try:
                targets = workflow.open_targets(role, authority, facts, kept)
                self.judge.check(targets)
            except (TrustError, UnsupportedError):
                pass  # older, or no longer signed by those who may: the repository's own file decides
            else:
                return targets
        raw = self._fetched(_file_name(role, facts.version, root), facts.length)
        targets = workflow.open_targets(role, authority, facts, raw)
        self.judge.check(targets)
        self.store.save(role, raw)
        return targets

    def _kept_root(self) -> Document[RootBody] | None:
        raw = self.store.load(ROOT)
        return None if raw is None else workflow.open_first_root(raw)

    def _keep_root(self, root: Document[RootBody], kept: Document[RootBody] | None) -> None:
        if kept is not None and root.body.version <= kept.body.version:
            if root.body.version == kept.body.version and root.raw != kept.raw:
                which = f"root version {kept.body.version}"
                raise TrustError("root-fork", "trust metadata", which, got=str(root.digest), want=str(kept.digest))
            return
        self.store.save(ROOT, root.raw)

    def _kept_timestamp(self, root: Document[RootBody]) -> Document[TimestampBody] | None:
        raw = self.store.load(TIMESTAMP)
        try:
            return None if raw is None else workflow.open_timestamp(root, raw)
        except (TrustError, UnsupportedError):
            return None

    def _kept_snapshot(self, root: Document[RootBody]) -> Document[SnapshotBody] | None:
        raw = self.store.load(SNAPSHOT)
        try:
            return None if raw is None else workflow.open_cached_snapshot(root, raw)
        except (TrustError, UnsupportedError):
            return None

    def _still_named(self, kept: Document[SnapshotBody], timestamp: TimestampBody) -> bool:
        try:
            workflow.check_named_snapshot(kept, timestamp)
            self.judge.check(kept)
        except TrustError:
            return False
        return True

    def _fetched(self, name: str, length: int | None) -> bytes:
        """A file that has to be there, with no more bytes than signed metadata gives it."""
        try:
            raw = self.fetch(name, _bound(length))
        except TooLongError as error:
            if length is None or length > limits.TUF_METADATA_BYTES:
                raise
            raise TrustError(
                "metadata-hash", "trust metadata", name[:240], got="more bytes", want=f"{length} bytes"
            ) from error
        if raw is None:
            raise TrustError("metadata-absent", "trust metadata", name[:240], got="no such file", want="a file")
        return raw


def _file_name(role: str, version: int, root: RootBody) -> str:
    """The name of a role's file in the repository (6.2)."""
    return f"{version}.{quote_role(role)}.json" if root.consistent_snapshot else f"{quote_role(role)}.json"


def _bound(length: int | None) -> int:
    return limits.TUF_METADATA_BYTES if length is None else min(length, limits.TUF_METADATA_BYTES)
