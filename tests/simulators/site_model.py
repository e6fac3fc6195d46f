"""What a site must say of a bundle, in a hundred lines: DESIGN section 4 as a model, to be held against the real thing.

The model knows bundles by their facts (who signed what, which versions, what came before), never by their bytes, and
imports nothing of the production rooms. Evidence and damage are none of its business.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DAY = timedelta(days=1)
Verdict = tuple[int, str, str]  # exit code, reason, standing


class RefusedError(Exception):
    """Why not."""


@dataclass(frozen=True)
class Facts:
    """One bundle. `key` is the exporter's, for its role as for snapshot and timestamp."""

    stream: str
    sequence: int
    inventory: str
    previous: str | None
    created: datetime
    expires: datetime
    audience: tuple[str, ...]
    key: str
    role: tuple[int, str]  # version and content of the stream's metadata
    online: tuple[int, int]  # snapshot, timestamp
    roots: tuple[bytes, ...]
    targets: bytes

    @property
    def targets_version(self) -> int:
        return version_of(self.targets)


@dataclass
class StreamMemory:
    role: tuple[int, str]
    accepted: dict[int, tuple[str, str | None]] = field(default_factory=dict)  # sequence: inventory, previous

    @property
    def newest(self) -> int:
        return max(self.accepted)


@dataclass
class SiteModel:
    """One site below one pin."""

    name: str
    roots: tuple[bytes, ...]
    targets: bytes | None = None
    floor: datetime | None = None
    online: dict[str, tuple[int, int]] = field(default_factory=dict)
    streams: dict[str, StreamMemory] = field(default_factory=dict)

    def judge(self, bundle: Facts, clock: datetime, *, historic: bool = False, rejected: bool = False) -> Verdict:
        """The verdict; remembers what has to be remembered. `rejected`: some claim of an image will not hold."""
        if self.floor is not None and clock < self.floor - DAY:
            return 4, "clock-behind", ""
        if any(ours != theirs for ours, theirs in zip(self.roots, bundle.roots, strict=False)):
            return 4, "root-fork", ""
        self.roots = max(self.roots, bundle.roots, key=len)  # even if the bundle is refused
        try:
            status = self._stand(bundle, clock, historic=historic)
        except RefusedError as refusal:
            return 4, refusal.args[0], ""
        if rejected:
            return 1, "no-policy", status
        if status != "historic":
            self._remember(bundle)
        return 0, "", status

    def _stand(self, bundle: Facts, clock: datetime, *, historic: bool) -> str:
        """First what the bundle is in itself, then how it stands here: a standing, or RefusedError."""
        memory = self.streams.get(bundle.stream)
        known = memory is not None and bundle.inventory in [item for item, _ in memory.accepted.values()]
        refuse("metadata-signature", not trusts(bundle.roots[-1], bundle.targets, bundle))
        refuse("expired", max(clock, self.floor or clock) >= bundle.expires)
        refuse("equivocation", memory is not None and not known and self._equivocates(bundle, memory))
        refuse("created-in-future", bundle.created > clock + DAY)
        refuse("audience", bundle.audience != () and self.name not in bundle.audience)
        if known:
            return self._stand_again(bundle, historic=historic)
        refuse("no-longer-accepted", not self._still_trusted(bundle))
        refuse("never-accepted", memory is not None and bundle.sequence < memory.newest)
        refuse("rollback", self._rolls_back(bundle, memory))
        if memory is None:
            return "first"
        return "next" if bundle.sequence == memory.newest + 1 else "gap"

    def _stand_again(self, bundle: Facts, *, historic: bool) -> str:
        memory = self.streams[bundle.stream]
        newest = memory.accepted[memory.newest][0] == bundle.inventory
        if newest and self._still_trusted(bundle):
            return "already-accepted"
        refuse("no-longer-accepted" if newest else "superseded", not historic)
        return "historic"

    def _equivocates(self, bundle: Facts, memory: StreamMemory) -> bool:
        before, after = memory.accepted.get(bundle.sequence - 1), memory.accepted.get(bundle.sequence + 1)
        places = [number for number, (inventory, _) in memory.accepted.items() if inventory == bundle.previous]
        return (
            bundle.sequence in memory.accepted
            or (before is not None and before[0] != bundle.previous)
            or (after is not None and after[1] != bundle.inventory)
            or any(number != bundle.sequence - 1 for number in places)
            or (bundle.role[0] == memory.role[0] and bundle.role != memory.role)
        )

    def _still_trusted(self, bundle: Facts) -> bool:
        """By the newest root and the newest targets that site or bundle knows."""
        newer = self.targets is not None and version_of(self.targets) > bundle.targets_version
        return trusts(self.roots[-1], self.targets if newer and self.targets else bundle.targets, bundle)

    def _rolls_back(self, bundle: Facts, memory: StreamMemory | None) -> bool:
        seen = self.online.get(bundle.key, (0, 0))
        return (
            len(bundle.roots) < len(self.roots)
            or (self.targets is not None and bundle.targets_version < version_of(self.targets))
            or (memory is not None and bundle.role[0] < memory.role[0])
            or bundle.online[0] < seen[0]
            or bundle.online[1] < seen[1]
        )

    def _remember(self, bundle: Facts) -> None:
        memory = self.streams.setdefault(bundle.stream, StreamMemory(bundle.role))
        memory.accepted[bundle.sequence] = (bundle.inventory, bundle.previous)
        memory.role = max(memory.role, bundle.role, key=lambda role: role[0])
        seen = self.online.get(bundle.key, (0, 0))
        self.online[bundle.key] = (max(seen[0], bundle.online[0]), max(seen[1], bundle.online[1]))
        if self.targets is None or bundle.targets_version > version_of(self.targets):
            self.targets = bundle.targets
        self.floor = max(bundle.created, self.floor or bundle.created)


def version_of(metadata: bytes) -> int:
    """The version of a metadata file."""
    return int(json.loads(metadata)["signed"]["version"])


def trusts(root: bytes, targets: bytes, bundle: Facts) -> bool:
    """Whether a root lets the bundle's exporter sign timestamps, and targets delegate the stream to that key."""
    roles = json.loads(targets)["signed"]["delegations"]["roles"]
    delegated = {role["name"]: role["keyids"] for role in roles}.get(bundle.stream)
    return bundle.key in json.loads(root)["signed"]["roles"]["timestamp"]["keyids"] and delegated == [bundle.key]


def refuse(reason: str, holds: bool) -> None:
    """Raise RefusedError if that is so."""
    if holds:
        raise RefusedError(reason)
