"""From a pinned root to trusted targets: the whole workflow of TUF 1.0.31 section 5, over bytes in hand.

    pin ── roots 1…N ── timestamp ── snapshot ─┬─ targets ── trusted material, publishers' keys
                                               └─ the stream ── the inventory's length and hash

Rules of this module:
- Pure: no disk, no sockets, no clock; the time is an argument. Each bundle is opened from the pin afresh.
- The pin's version is among the roots, byte for byte, and the roots are a chain (root_chain.py). Only the newest root's
  expiry counts.
- The snapshot names the newest root too (as early TUF did), so that a carrier cannot leave out a rotation.
- Nothing is parsed before its length and hash, or for roots and timestamp its signatures' bytes, are bounded.
- Everything in `files` is called for by the metadata, and everything called for is there: no slack, no silent limit.
- Every refusal is a TrustError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from bundler.digest import Digest, sha256_of
from bundler.errors import TrustError
from bundler.moment import format_moment
from bundler.value import dataclass
from trust_root.metadata import (
    AnySignedFile,
    SignedFile,
    parse_snapshot,
    parse_stream_metadata,
    parse_targets,
    parse_timestamp,
    root_authority,
    stream_authority,
    verify_signatures,
)
from trust_root.metadata_form import SNAPSHOT_FILES
from trust_root.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, parse_inventory_path
from trust_root.root_chain import RootChain, check_version, listed_roots, open_root_chain
from trust_root.tuf_library import MetaFile, Snapshot, TargetFile, Targets, Timestamp

STREAM = "stream"  # the fifth role in `TrustedTargets.roles`, whatever the stream's name
_TIMESTAMP_NAME = "metadata/timestamp.json"


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """What is known of one role's metadata after it was verified.

    Attributes:
        version: its version.
        expires_at: when it ends.
        threshold: how many keys had to sign.
        signers: key material of those that did, sorted.
        digest: SHA-256 of the file.
    """

    version: int
    expires_at: datetime
    threshold: int
    signers: tuple[Digest, ...]
    digest: Digest


@dataclass(frozen=True, slots=True)
class VerifiedMetadata:
    """The metadata of one repository, every signature, version, length and hash verified; expiry not yet judged."""

    chain: RootChain
    timestamp: SignedFile[Timestamp]
    snapshot: SignedFile[Snapshot]
    targets: SignedFile[Targets]
    stream: SignedFile[Targets]
    stream_name: str
    roles: Mapping[str, RoleFacts]


@dataclass(frozen=True, slots=True)
class TrustedTargets:
    """What a bundle's trust metadata proves, from the pin on.

    Attributes:
        pin_digest: SHA-256 of the pinned root.
        roots: all roots, version 1 first (with `later_roots`).
        root_version: the newest root's version.
        development: some root is marked for development only.
        roles: facts of root, timestamp, snapshot, targets and stream.
        stream: the stream's name.
        inventory_path, inventory_size_bytes, inventory_digest, sequence: the stream's one target.
        targets: top-level targets by path.
        targets_metadata: bytes of the targets' metadata; the site keeps them.
        stale: roles that have expired, but within `grace`.
    """

    pin_digest: Digest
    roots: tuple[bytes, ...]
    root_version: int
    development: bool
    roles: Mapping[str, RoleFacts]
    stream: str
    inventory_path: str
    inventory_size_bytes: int
    inventory_digest: Digest
    sequence: int
    targets: Mapping[str, bytes]
    targets_metadata: bytes
    stale: tuple[str, ...]


def open_trust(
    pinned_root: bytes,
    files: Mapping[str, bytes],
    at: datetime,
    *,
    later_roots: Sequence[bytes] = (),
    grace: timedelta = timedelta(0),
) -> TrustedTargets:
    """Verify a bundle's trust metadata from the pin on.

    Args:
        pinned_root: the pinned root's bytes.
        files: everything below `trust/`, e.g. `metadata/1.root.json`, `metadata/timestamp.json`, `targets/<sha256>`.
        at: the time at which expiry is judged, UTC.
        later_roots: roots that follow the bundle's newest one, if the newest root known elsewhere shall judge.
        grace: how long after its expiry metadata is still accepted (and then listed in `stale`).

    Raises:
        TrustError: codes ``pin-not-in-bundle``, ``root-chain``, ``threshold``, ``metadata-signature``,
            ``metadata-canonical``, ``metadata-form``, ``version-mismatch``, ``metadata-hash``, ``target-hash``,
            ``delegation``, ``missing-trust-member``, ``extra-trust-member``, ``limits``, ``expired``.
    """
    chain = open_root_chain(pinned_root, files).extended(later_roots)
    return open_targets(sha256_of(pinned_root), chain, files, at, grace=grace)


def open_targets(
    pin_digest: Digest, chain: RootChain, files: Mapping[str, bytes], at: datetime, *, grace: timedelta = timedelta(0)
) -> TrustedTargets:
    """The second half of `open_trust`, under a chain of roots that was opened already."""
    verified = verify_metadata(chain, files)
    listed = verified.stream.signed.targets
    if len(listed) != 1:
        raise TrustError("delegation", "stream", verified.stream_name, got="no inventory", want="one inventory")
    path, target = next(iter(listed.items()))
    targets = open_target_files(verified, files)
    stale = check_expiry(verified.roles, at, grace)
    return TrustedTargets(
        pin_digest=pin_digest,
        roots=chain.roots,
        root_version=chain.newest.signed.version,
        development=chain.development,
        roles=verified.roles,
        stream=verified.stream_name,
        inventory_path=path,
        inventory_size_bytes=target.length,
        inventory_digest=Digest("sha256", target.hashes["sha256"]),
        sequence=parse_inventory_path(path)[1],
        targets=MappingProxyType(targets),
        targets_metadata=verified.targets.raw,
        stale=stale,
    )


def verify_metadata(chain: RootChain, files: Mapping[str, bytes]) -> VerifiedMetadata:
    """Verify the metadata under the newest root, and that nothing else is there."""
    root = chain.newest.signed
    timestamp = parse_timestamp(_member(files, _TIMESTAMP_NAME), "timestamp.json")
    who_timestamp = verify_signatures(timestamp, root_authority(root, TIMESTAMP))

    meta = timestamp.signed.snapshot_meta
    name = f"{meta.version}.snapshot.json"
    snapshot = parse_snapshot(_described(files, name, meta), name)
    who_snapshot = verify_signatures(snapshot, root_authority(root, SNAPSHOT))
    check_version(name, snapshot.signed.version, meta.version)

    _check_listed_root(files, snapshot.signed.meta["root.json"])

    meta = snapshot.signed.meta["targets.json"]
    name = f"{meta.version}.targets.json"
    targets = parse_targets(_described(files, name, meta), name)
    who_targets = verify_signatures(targets, root_authority(root, TARGETS))
    check_version(name, targets.signed.version, meta.version)

    stream_name = next(key for key in snapshot.signed.meta if key not in SNAPSHOT_FILES).removesuffix(".json")
    meta = snapshot.signed.meta[f"{stream_name}.json"]
    name = f"{meta.version}.{stream_name}.json"
    stream, who_stream = open_stream(targets.signed, stream_name, _described(files, name, meta), name)
    check_version(name, stream.signed.version, meta.version)

    _check_members(files, chain, timestamp, snapshot, targets)
    facts = {
        ROOT: _facts(chain.newest, root.roles[ROOT].threshold, chain.signers[-1]),
        TIMESTAMP: _facts(timestamp, root.roles[TIMESTAMP].threshold, who_timestamp),
        SNAPSHOT: _facts(snapshot, root.roles[SNAPSHOT].threshold, who_snapshot),
        TARGETS: _facts(targets, root.roles[TARGETS].threshold, who_targets),
        STREAM: _facts(stream, stream_authority(targets.signed, stream_name).role.threshold, who_stream),
    }
    return VerifiedMetadata(chain, timestamp, snapshot, targets, stream, stream_name, MappingProxyType(facts))


def open_stream(
    targets: Targets, stream_name: str, raw: bytes, name: str
) -> tuple[SignedFile[Targets], tuple[Digest, ...]]:
    """Verify a stream's metadata under the delegation of `targets`; its inventory must be the stream's own.

    Raises:
        TrustError: ``delegation``, or the codes of metadata and signatures.
    """
    stream = parse_stream_metadata(raw, name)
    signers = verify_signatures(stream, stream_authority(targets, stream_name))
    for path in stream.signed.targets:
        if parse_inventory_path(path)[0] != stream_name:
            raise TrustError("delegation", "stream", stream_name, got=path, want=f"bundles/{stream_name}/<n>.json")
    return stream, signers


def check_expiry(roles: Mapping[str, RoleFacts], at: datetime, grace: timedelta) -> tuple[str, ...]:
    """Judge all roles at one time.

    Returns:
        the roles that have expired, but within `grace`.

    Raises:
        TrustError: a role has expired by more (``expired``), with all such roles and their dates.
    """
    expired = [(name, facts.expires_at) for name, facts in roles.items() if at >= facts.expires_at]
    dead = [(name, when) for name, when in expired if at - when >= grace]
    if dead:
        listed = ", ".join(f"{name} on {format_moment(when)}" for name, when in dead)
        raise TrustError(
            "expired",
            "trust metadata",
            got=f"expired: {listed}",
            want=f"alive at {format_moment(at.replace(microsecond=0))}",
            hints=[
                'to allow it for some time: mode = "grace" and grace_days in the [time] table of site.toml',
                "to judge it as of another time: --at TIME --reason TEXT (nothing is recorded)",
            ],
        )
    return tuple(name for name, _ in expired)


def _member(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise TrustError("missing-trust-member", "bundle member", f"trust/{name}", got="absent", want="present")
    return files[name]


def _described(files: Mapping[str, bytes], name: str, meta: MetaFile) -> bytes:
    raw = _member(files, f"metadata/{name}")
    if meta.length != len(raw) or meta.hashes != {"sha256": sha256_of(raw).hex}:
        raise TrustError("metadata-hash", "trust metadata", name, got="other bytes", want="those that are listed")
    return raw


def _check_listed_root(files: Mapping[str, bytes], meta: MetaFile) -> None:
    """The newest root is the one that the snapshot names, so that no carrier can leave a revocation out."""
    name, newest = f"{meta.version}.root.json", len(listed_roots(files))
    _described(files, name, meta)
    if meta.version != newest:
        raise TrustError("version-mismatch", "trust metadata", "roots", got=f"1 to {newest}", want=f"1 to {name}")


def open_target_files(verified: VerifiedMetadata, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Contents of the top-level targets by target path.

    Raises:
        TrustError: ``target-hash``, ``missing-trust-member``.
    """
    return {path: _open_target(path, target, files) for path, target in verified.targets.signed.targets.items()}


def _open_target(path: str, target: TargetFile, files: Mapping[str, bytes]) -> bytes:
    raw = _member(files, f"targets/{target.hashes['sha256']}")
    if target.length != len(raw) or target.hashes != {"sha256": sha256_of(raw).hex}:
        raise TrustError("target-hash", "target", path, got="other bytes", want=f"sha256:{target.hashes['sha256']}")
    return raw


def _check_members(
    files: Mapping[str, bytes],
    chain: RootChain,
    timestamp: SignedFile[Timestamp],
    snapshot: SignedFile[Snapshot],
    targets: SignedFile[Targets],
) -> None:
    wanted = {f"metadata/{version}.root.json" for version in range(1, len(chain.files) + 1)}
    wanted |= {_TIMESTAMP_NAME, f"metadata/{timestamp.signed.snapshot_meta.version}.snapshot.json"}
    wanted |= {f"metadata/{meta.version}.{name}" for name, meta in snapshot.signed.meta.items()}
    wanted |= {f"targets/{target.hashes['sha256']}" for target in targets.signed.targets.values()}
    extra = sorted(set(files) - wanted)
    if extra:
        raise TrustError("extra-trust-member", "bundle member", f"trust/{extra[0]}", got="not called for", want="none")


def _facts(file: AnySignedFile, threshold: int, signers: tuple[Digest, ...]) -> RoleFacts:
    return RoleFacts(file.signed.version, file.signed.expires, threshold, signers, file.digest)
