"""Making TUF metadata: pure functions from facts and keys to the bytes of each file.

Rules of this module:
- Pure: no clock, no disk. With Ed25519 keys the same state and the same time give the same bytes.
- `expires` is the time of signing plus the role's lifetime (roles.py), unless a test asks for another; the calendar's
  last second at most.
- What is written here is read back by metadata.py; python-tuf's classes give the form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from bundler.digest import Digest, sha256_of
from bundler.strict_json import format_canonical
from bundler.value import dataclass
from trust_root.keys import Signer
from trust_root.metadata import format_metadata
from trust_root.roles import (
    DEVELOPMENT_MARK,
    HOLDER_NAMES,
    ONLINE_THRESHOLD,
    ROOT,
    SNAPSHOT,
    SPEC_VERSION,
    TARGETS,
    TIMESTAMP,
    delegated_paths,
    format_inventory_path,
    lifetime,
)
from trust_root.tuf_library import (
    DelegatedRole,
    Delegations,
    Key,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
)
from trust_root.tuf_library import Timestamp as TufTimestamp

_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """The keys of a role and how many of them must sign."""

    keys: tuple[Key, ...]
    threshold: int = ONLINE_THRESHOLD

    @property
    def key_ids(self) -> list[str]:
        """Sorted ids."""
        return sorted(key.keyid for key in self.keys)


@dataclass(frozen=True, slots=True)
class InventoryFacts:
    """What a stream's metadata says of an inventory."""

    sequence: int
    size_bytes: int
    digest: Digest


def make_root(
    version: int,
    signed_at: datetime,
    roles: Mapping[str, KeyGroup],
    *,
    names: Mapping[str, str] | None = None,
    development: bool = False,
    lives: timedelta | None = None,
) -> Root:
    """A root that gives each of the four roles its keys and threshold; `names` tells who holds a key, by key id."""
    keys = {key.keyid: key for name in sorted(roles) for key in roles[name].keys}
    named = {key_id: name for key_id, name in (names or {}).items() if key_id in keys}
    return Root(
        version,
        SPEC_VERSION,
        _expires(ROOT, signed_at, lives),
        keys,
        {name: Role(roles[name].key_ids, roles[name].threshold) for name in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)},
        consistent_snapshot=True,
        unrecognized_fields={
            **({DEVELOPMENT_MARK: True} if development else {}),
            **({HOLDER_NAMES: named} if named else {}),
        },
    )


def make_targets(
    version: int,
    signed_at: datetime,
    contents: Mapping[str, bytes],
    streams: Mapping[str, KeyGroup],
    *,
    lives: timedelta | None = None,
) -> Targets:
    """Top-level targets: contents by target path, and a delegation for each stream."""
    keys = {key.keyid: key for name in sorted(streams) for key in streams[name].keys}
    roles = {
        name: DelegatedRole(
            name, streams[name].key_ids, streams[name].threshold, terminating=True, paths=[delegated_paths(name)]
        )
        for name in sorted(streams)
    }
    return Targets(
        version,
        SPEC_VERSION,
        _expires(TARGETS, signed_at, lives),
        {path: _target(path, len(raw), sha256_of(raw)) for path, raw in contents.items()},
        Delegations(keys, roles),
    )


def make_stream(
    name: str, version: int, signed_at: datetime, inventory: InventoryFacts | None, *, lives: timedelta | None = None
) -> Targets:
    """A stream's metadata: its current inventory, or none before the first export."""
    targets = {}
    if inventory is not None:
        path = format_inventory_path(name, inventory.sequence)
        targets[path] = _target(path, inventory.size_bytes, inventory.digest)
    return Targets(version, SPEC_VERSION, _expires(name, signed_at, lives), targets)


def make_snapshot(
    version: int,
    signed_at: datetime,
    root: tuple[int, bytes],
    targets: tuple[int, bytes],
    stream: tuple[str, int, bytes],
    *,
    lives: timedelta | None = None,
) -> Snapshot:
    """A snapshot of the newest root and the targets (version, bytes) and one stream (name, version, bytes)."""
    name, stream_version, stream_raw = stream
    meta = {
        "root.json": _meta(*root),
        "targets.json": _meta(*targets),
        f"{name}.json": _meta(stream_version, stream_raw),
    }
    return Snapshot(version, SPEC_VERSION, _expires(SNAPSHOT, signed_at, lives), meta)


def make_timestamp(
    version: int, signed_at: datetime, snapshot: tuple[int, bytes], *, lives: timedelta | None = None
) -> TufTimestamp:
    """A timestamp of the snapshot (version, bytes)."""
    return TufTimestamp(version, SPEC_VERSION, _expires(TIMESTAMP, signed_at, lives), _meta(*snapshot))


def sign_metadata(signed: Signed, signers: Iterable[Signer]) -> bytes:
    """The file: `signed` in canonical form, and a signature by each signer."""
    value = signed.to_dict()
    payload = format_canonical(value)
    return format_metadata(value, {signer.public.keyid: signer.sign(payload) for signer in signers})


def sign_online(
    *,
    root: tuple[int, bytes],
    targets: tuple[int, bytes],
    stream: tuple[str, int, bytes],
    versions: tuple[int, int],
    at: datetime,
    signer: Signer,
) -> dict[str, bytes]:
    """Snapshot and timestamp of what stands, signed by the exporter.

    Args:
        root, targets: (version, bytes).
        stream: (name, version, bytes).
        versions: of snapshot and timestamp.
        at: the time of signing.
        signer: the exporter's key.

    Returns:
        the metadata files after the roots, by their names below `trust/`, in the order of a bundle.
    """
    snapshot = sign_metadata(make_snapshot(versions[0], at, root, targets, stream), [signer])
    timestamp = sign_metadata(make_timestamp(versions[1], at, (versions[0], snapshot)), [signer])
    return {
        "metadata/timestamp.json": timestamp,
        f"metadata/{versions[0]}.snapshot.json": snapshot,
        f"metadata/{targets[0]}.targets.json": targets[1],
        f"metadata/{stream[1]}.{stream[0]}.json": stream[2],
    }


def key_group(signers: Sequence[Signer], threshold: int = ONLINE_THRESHOLD) -> KeyGroup:
    """The public halves of some signers, as a role's keys."""
    return KeyGroup(tuple(signer.public for signer in signers), threshold)


def _expires(role: str, signed_at: datetime, lives: timedelta | None) -> datetime:
    at, lasting = signed_at.replace(microsecond=0), lifetime(role) if lives is None else lives
    return _LAST if lasting > _LAST - at else at + lasting


def _target(path: str, size_bytes: int, digest: Digest) -> TargetFile:
    return TargetFile(size_bytes, {"sha256": digest.hex}, path)


def _meta(version: int, raw: bytes) -> MetaFile:
    return MetaFile(version, len(raw), {"sha256": sha256_of(raw).hex})
