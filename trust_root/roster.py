"""Who holds what, as a list that can be changed, and the proposals that such changes make.

Rules of this module:
- Pure: facts and times in, a proposal without signatures out.
- A roster is read from the newest root and targets, those that wait for the exporter included; every change is made on
  it, and then root and targets are written from it, so that they cannot disagree.
- A key stands once: nobody holds two, nobody is both holder and exporter, no two streams share one. Whoever counts as
  two people would make two of three into one.
- Whoever may sign the root may sign the targets. Snapshot and timestamp are for every exporter, each in its own folder.
- A root for development stays one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bundler.digest import sha256_of
from bundler.errors import TrustError, UsageError
from bundler.value import dataclass, replace
from trust_root.authoring import KeyGroup, make_root, make_targets, sign_metadata
from trust_root.keys import key_material
from trust_root.metadata import holder_names, is_development
from trust_root.proposal import OpenProposal, Proposal
from trust_root.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from trust_root.tuf_library import Key, Root, Targets

MAX_HOLDERS = 16


@dataclass(frozen=True, slots=True)
class Held:
    """A public key and the name of who holds it."""

    name: str
    key: Key


@dataclass(frozen=True, slots=True)
class Roster:
    """Who holds what.

    Attributes:
        holders: the keys that sign root and targets.
        root_threshold, targets_threshold: how many of them have to.
        exporters: each stream's keys.
        names: names by key id.
        development: the root is marked for development.
    """

    holders: tuple[Key, ...]
    root_threshold: int
    targets_threshold: int
    exporters: Mapping[str, KeyGroup]
    names: Mapping[str, str]
    development: bool = False

    def name_of(self, key: Key) -> str:
        """The holder's name, else the first digits of the key's fingerprint."""
        return self.names.get(key.keyid) or short_name(key)


def short_name(key: Key) -> str:
    """The first 16 digits of a key's fingerprint."""
    return key_material(key).hex[:16]


def roster_of(root: Root, targets: Targets, *, development: bool = False) -> Roster:
    """The roster that a root and targets tell."""
    delegations = targets.delegations
    roles = dict(delegations.roles or {}) if delegations is not None else {}
    keys = delegations.keys if delegations is not None else {}
    return Roster(
        tuple(root.keys[key_id] for key_id in root.roles[ROOT].keyids),
        root.roles[ROOT].threshold,
        root.roles[TARGETS].threshold,
        {name: KeyGroup(tuple(keys[key_id] for key_id in role.keyids), role.threshold) for name, role in roles.items()},
        dict(holder_names(root)),
        development or is_development(root),
    )


def first_roster(
    holders: Sequence[Held], threshold: int, stream: str, exporter: Held, *, development: bool = False
) -> Roster:
    """The roster of a new trust root; raises as `checked_roster`."""
    return checked_roster(
        Roster(
            tuple(held.key for held in holders),
            threshold,
            threshold,
            {stream: KeyGroup((exporter.key,))},
            _named((*holders, exporter)),
            development,
        )
    )


def with_holders(
    roster: Roster, *, add: Sequence[Held] = (), remove: Sequence[str] = (), threshold: int | None = None
) -> Roster:
    """Other holders or another threshold.

    Args:
        roster: as it is.
        add: new holders.
        remove: names, or the first 8 or more digits of fingerprints.
        threshold: signatures needed, for root and targets alike.

    Raises:
        UsageError: ``holder`` (nobody or several are meant), ``holder-name``, ``key-twice``, ``threshold``.
    """
    gone = {_meant(roster, text).keyid for text in remove}
    return checked_roster(
        replace(
            roster,
            holders=(*(key for key in roster.holders if key.keyid not in gone), *(held.key for held in add)),
            root_threshold=threshold or roster.root_threshold,
            targets_threshold=threshold or roster.targets_threshold,
            names=_named(add, {key_id: name for key_id, name in roster.names.items() if key_id not in gone}),
        )
    )


def with_exporter(roster: Roster, stream: str, exporter: Held | None) -> Roster:
    """A stream with another exporter, or a new stream; without one, the stream is gone. Raises as `checked_roster`."""
    old = {key.keyid for key in roster.exporters[stream].keys} if stream in roster.exporters else set()
    exporters = {name: group for name, group in roster.exporters.items() if name != stream}
    names = {key_id: name for key_id, name in roster.names.items() if key_id not in old}
    if exporter is not None:
        exporters[stream] = KeyGroup((exporter.key,))
        names = _named([exporter], names)
    return checked_roster(replace(roster, exporters=exporters, names=names))


def checked_roster(roster: Roster) -> Roster:
    """Refuse a roster that counts somebody twice, or that nobody could sign for.

    Raises:
        UsageError: codes ``key-twice``, ``threshold``.
    """
    keys = [*roster.holders, *(key for group in roster.exporters.values() for key in group.keys)]
    seen: set[str] = set()
    for key in keys:
        material = key_material(key).hex
        if material in seen:
            raise UsageError("key-twice", "key", roster.name_of(key), got="stands twice", want="one key, one holder")
        seen.add(material)
    for threshold in (roster.root_threshold, roster.targets_threshold):
        if not 1 <= threshold <= len(roster.holders) <= MAX_HOLDERS:
            raise UsageError(
                "threshold",
                "threshold",
                got=f"{threshold} of {len(roster.holders)}",
                want=f"at least 1, at most the holders, who are at most {MAX_HOLDERS}",
            )
    return roster


def propose_first(roster: Roster, stream: str, at: datetime) -> Proposal:
    """Root 1 and targets 1, without signatures."""
    return Proposal(stream, (_root(roster, 1, at),), _targets(roster, 1, at, {}), {})


def propose_next(
    base: OpenProposal, before: Roster, roster: Roster, at: datetime, contents: Mapping[str, bytes], *, root: bool
) -> Proposal:
    """A proposal that follows what is in place, and what waits for nothing but the exporter.

    Targets are made anew if they are asked for (`root` is False), or if the root or the delegations change who may sign
    them or for whom.

    Args:
        base: what it stands on; nobody's signature may be missing in it.
        before: the roster of `base`.
        roster: the new one.
        at: the time of signing.
        contents: the targets by target path.
        root: whether to make a root.
    """
    kept = base.proposal()
    roots = kept.roots
    if root:
        roots = (*roots, _root(roster, base.newest_root.version + 1, at))
    if root and _same_signers(before, roster) and _same_streams(before, roster) and contents == base.contents:
        return Proposal(kept.stream, roots, kept.targets, kept.contents)
    version = base.newest_targets.signed.version + 1
    return Proposal(kept.stream, roots, _targets(roster, version, at, contents), _by_digest(contents))


def check_base(base: OpenProposal) -> OpenProposal:
    """Refuse to build on something that still waits for holders.

    Raises:
        TrustError: code ``proposal-pending``.
    """
    waiting = [part.file.name for part in base.parts if not part.complete]
    if waiting:
        raise TrustError(
            "proposal-pending",
            "proposal",
            ", ".join(waiting),
            got="waits for signatures",
            want="none that waits",
            hints=["sealift trust sign REPO --key KEY goes on with it", "sealift trust sign REPO --discard drops it"],
        )
    return base


def _root(roster: Roster, version: int, at: datetime) -> bytes:
    online = KeyGroup(tuple(key for group in roster.exporters.values() for key in group.keys))
    groups = {
        ROOT: KeyGroup(roster.holders, roster.root_threshold),
        TARGETS: KeyGroup(roster.holders, roster.targets_threshold),
        SNAPSHOT: online,
        TIMESTAMP: online,
    }
    return sign_metadata(make_root(version, at, groups, names=roster.names, development=roster.development), [])


def _targets(roster: Roster, version: int, at: datetime, contents: Mapping[str, bytes]) -> bytes:
    return sign_metadata(make_targets(version, at, contents, roster.exporters), [])


def _by_digest(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {sha256_of(raw).hex: raw for raw in contents.values()}


def _same_signers(one: Roster, other: Roster) -> bool:
    ids = [{key.keyid for key in roster.holders} for roster in (one, other)]
    return ids[0] == ids[1] and one.targets_threshold == other.targets_threshold


def _same_streams(one: Roster, other: Roster) -> bool:
    groups = [{name: (group.key_ids, group.threshold) for name, group in r.exporters.items()} for r in (one, other)]
    return groups[0] == groups[1]


def _named(helds: Sequence[Held], names: Mapping[str, str] | None = None) -> dict[str, str]:
    named = dict(names or {})
    for held in helds:
        if held.name in named.values():
            raise UsageError("holder-name", "holder", held.name, got="stands twice", want="another name")
        named[held.key.keyid] = held.name
    return named


def _meant(roster: Roster, text: str) -> Key:
    digits = text.lower().removeprefix("sha256:").replace(" ", "")
    meant = [
        key
        for key in roster.holders
        if roster.names.get(key.keyid) == text or (len(digits) >= 8 and key_material(key).hex.startswith(digits))
    ]
    if len(meant) != 1:
        known = ", ".join(sorted(roster.name_of(key) for key in roster.holders))
        raise UsageError("holder", "holder", text, got="nobody" if not meant else "several", want=f"one of: {known}")
    return meant[0]
