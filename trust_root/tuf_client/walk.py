"""From a pinned root to a verified target in any TUF repository: the client workflow of TUF 1.0.31 section 5.

    from trust_root.fetch import below, directory_fetch
    from trust_root.tuf_client.walk import refresh

    source = directory_fetch(Path("mirror"))            # or http_fetch(URL) of bundler/cli/trust_sources.py
    walk = refresh(pinned_root, source, at)             # roots, timestamp, snapshot, targets: all verified
    found = walk.find_target("trusted_root.json")       # through delegations, if need be; TrustError when absent
    raw = walk.download(found, below(source, "targets"))
    walk.roots, walk.targets.body.version, walk.targets.raw, found.role, found.facts.custom

Rules of this module:
- Every run walks from the root that it is given; what the store holds is verified again and holds versions back.
- The time is an argument, one for the whole walk. `allow_expired` is for a loud option; `walk.expired` then tells.
- Each file is kept in the store as soon as it was verified; a later failure leaves the earlier files.
- No limit is silent: too many roots, or too many roles in a search, is an error, never "no more" or "not found".
- A delegated role is verified under the role that led to it, in each search, also when its file is at hand.
"""

from __future__ import annotations

from datetime import datetime

from bundler import limits
from bundler.digest import Digest
from bundler.errors import TooLongError, TrustError
from bundler.value import dataclass
from trust_root.fetch import Fetch
from trust_root.roles import TARGETS
from trust_root.tuf_client import workflow
from trust_root.tuf_client.delegations import Delegate
from trust_root.tuf_client.documents import (
    Document,
    RootBody,
    SnapshotBody,
    TargetFacts,
    TargetsBody,
    TimestampBody,
)
from trust_root.tuf_client.signers import Authority
from trust_root.tuf_client.source import Source
from trust_root.tuf_client.store import MemoryStore, Store
from trust_root.tuf_client.workflow import Expired, Judge


@dataclass(frozen=True, slots=True)
class FoundTarget:
    """A target that verified metadata lists.

    Attributes:
        facts: path, length, hashes, custom.
        role: who lists it: `targets` or a delegated role.
        role_version: that role's version.
        role_expires_at: until when its metadata is valid.
    """

    facts: TargetFacts
    role: str
    role_version: int
    role_expires_at: datetime


def refresh(
    pinned_root: bytes,
    fetch: Fetch,
    at: datetime,
    store: Store | None = None,
    *,
    allow_expired: bool = False,
) -> Walk:
    """Bring the four top-level roles up to date, each verified (sections 5.3 to 5.6).

    Args:
        pinned_root: the root from which trust starts.
        fetch: the repository's metadata.
        at: the time at which expiry is judged, UTC.
        store: what is kept between runs; None: nothing.
        allow_expired: accept expired metadata and tell so in `Walk.expired`.

    Raises:
        TrustError: ``metadata-form``, ``threshold``, ``version-mismatch``, ``rollback``, ``root-fork``, ``expired``,
            ``metadata-hash``, ``hash-algorithm``, ``delegation``, ``metadata-absent``, ``limits``.
        UnsupportedError: another major version of the specification (``spec-version``).
        EnvError: the repository or the store cannot be read.
    """
    source = Source(fetch, store if store is not None else MemoryStore(), Judge(at, allow_expired))
    roots = source.roots(pinned_root)
    source.judge.check(roots[-1])
    timestamp = source.timestamp(roots[-1])
    snapshot = source.snapshot(roots[-1], timestamp)
    walk = Walk(source, roots, timestamp, snapshot)
    walk.open_role(TARGETS, roots[-1].body.roles[TARGETS])
    return walk


class Walk:
    """A repository's metadata, verified. Made by `refresh` only.

    Attributes:
        chain: the roots from the pinned one to the newest.
        timestamp, snapshot: their metadata.
    """

    def __init__(
        self,
        source: Source,
        chain: tuple[Document[RootBody], ...],
        timestamp: Document[TimestampBody],
        snapshot: Document[SnapshotBody],
    ) -> None:
        self.chain = chain
        self.timestamp = timestamp
        self.snapshot = snapshot
        self._source = source
        self._opened: dict[tuple[str, frozenset[Digest], int], Document[TargetsBody]] = {}

    @property
    def root(self) -> Document[RootBody]:
        """The newest root."""
        return self.chain[-1]

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The roots' bytes, from the pinned one to the newest."""
        return tuple(root.raw for root in self.chain)

    @property
    def targets(self) -> Document[TargetsBody]:
        """The top-level targets."""
        return self.open_role(TARGETS, self.root.body.roles[TARGETS])

    @property
    def expired(self) -> tuple[Expired, ...]:
        """What had expired and was allowed; grows while searches reach more roles."""
        return tuple(self._source.judge.expired)

    def find_target(self, path: str) -> FoundTarget:
        """Search a target through the delegations, depth first in their order (section 5.6.7).

        A role is visited once: its file is one and the same, whoever leads to it.

        Raises:
            TrustError: nobody lists it (``target-absent``), the search goes too far (``limits``), or a role on the way
                does not hold (codes of `refresh`).
        """
        waiting = [Delegate(TARGETS, self.root.body.roles[TARGETS], terminating=False)]
        visited = set[str]()
        while waiting:
            role = waiting.pop()
            if role.name in visited:
                continue
            if len(visited) >= limits.TUF_ROLES_VISITED:
                raise TrustError(
                    "limits", "target", path[:160], got="more roles to ask", want=f"{len(visited)} at most"
                )
            visited.add(role.name)
            document = self.open_role(role.name, role.authority)
            if (facts := document.body.targets.get(path)) is not None:
                return FoundTarget(facts, role.name, document.body.version, document.body.expires_at)
            followers, terminated = _followers(document.body, path)
            waiting = [*([] if terminated else waiting), *reversed(followers)]
        raise TrustError(
            "target-absent", "target", path[:160], got="listed by no role", want="a target of the repository"
        )

    def open_role(self, name: str, authority: Authority) -> Document[TargetsBody]:
        """The metadata of targets or a delegated role, verified under `authority`; kept for later calls."""
        key = (name, authority.members, authority.threshold)
        if key not in self._opened:
            self._opened[key] = self._source.targets(self.root.body, self.snapshot.body, name, authority)
        return self._opened[key]

    def target_paths(self, facts: TargetFacts) -> tuple[str, ...]:
        """Where a target's bytes can be, below the place of targets: with a hash in the name if the root says so.

        Section 6.2: a target stands under at least one of its hashes, so that each is tried.
        """
        if not self.root.body.consistent_snapshot:
            return (facts.path,)
        folder, slash, name = facts.path.rpartition("/")
        return tuple(f"{folder}{slash}{value}.{name}" for value in facts.hashes.values())

    def download(self, found: FoundTarget, fetch: Fetch) -> bytes:
        """The bytes of a target, verified (section 5.7).

        Args:
            found: what `find_target` gave.
            fetch: the place of targets.

        Raises:
            TrustError: absent (``target-absent``), other bytes (``target-hash``), or too large (``limits``).
        """
        facts = found.facts
        if facts.length > limits.TUF_TARGET_BYTES:
            want = f"at most {limits.TUF_TARGET_BYTES}"
            raise TrustError("limits", "target", facts.path[:160], got=f"{facts.length} bytes", want=want)
        for path in self.target_paths(facts):
            try:
                raw = fetch(path, facts.length)
            except TooLongError as error:
                want = f"{facts.length} bytes"
                raise TrustError("target-hash", "target", facts.path[:160], got="more bytes", want=want) from error
            if raw is not None:
                return workflow.verify_target(facts, raw)
        raise TrustError(
            "target-absent", "target", facts.path[:160], got="no such file", want="the file that is listed"
        )


def _followers(body: TargetsBody, path: str) -> tuple[list[Delegate], bool]:
    """The roles to ask next about `path`, and whether the search ends with them."""
    followers: list[Delegate] = []
    for role in body.delegations.for_path(path) if body.delegations else ():
        followers.append(role)
        if role.terminating:
            return followers, True
    return followers, False
