"""A trust repository on disk: one root and targets, one stream, and the exporter's place in it.

    metadata/<n>.root.json …          every root, 1 to newest
    metadata/timestamp.json           replaced last: the moment at which a change counts
    metadata/<n>.snapshot.json  <n>.targets.json  <n>.<stream>.json     the ones that timestamp leads to
    targets/<sha256>                  top-level targets by content
    pending                           an export under way, or one that ended in the dark
    lock                              held by `export` and `publish` (flock)

Rules of this module (FORMAT, "Commit protocol of an export"):
- Under the lock: read sequence and versions, `write_pending`, `sign`, then `commit` or `abandon`.
- A pending record that is found counts as published: the next export takes sequence + 1 and each version + 1, names it
  as `previous`, and removes its temporary file. It is kept until a later commit, also when that export is abandoned.
- New files are written under new names, then `timestamp.json` is replaced; what is no longer called for goes last.
  Killed at any moment, the repository holds the old state, the new one, or the old one and a pending record.
- No private key is ever here, and nothing depends on a clock: same state, same time, same bytes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from bundler.value import dataclass

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, TrustError, UsageError
from bundler.moment import format_moment
from bundler.safe_file import locked, read_bounded, remove, write_atomically
from trust_root.authoring import InventoryFacts, make_stream, sign_metadata, sign_online
from trust_root.client import RootChain, VerifiedMetadata, open_trust, verify_chain, verify_metadata
from trust_root.keys import SigningKey
from trust_root.metadata import parse_snapshot, parse_targets, parse_timestamp
from trust_root.pending import Pending, PendingFile, format_pending, parse_pending
from trust_root.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, parse_inventory_path

METADATA, TARGET_FILES = "metadata", "targets"
_OURS = re.compile(r"[1-9][0-9]*\.[a-z0-9-]+\.json", re.ASCII)
_TEMPORARY = re.compile(r"\.sealift-[a-f0-9]{16}\.tmp", re.ASCII)


@dataclass(frozen=True, slots=True)
class Publication:
    """The numbers of one export.

    Attributes:
        stream, sequence, previous: what the inventory says of itself.
        stream_version, snapshot_version, timestamp_version: of the metadata that will be signed.
        created_at: the time of signing, UTC, whole seconds; expiries count from it.
    """

    stream: str
    sequence: int
    previous: Digest | None
    stream_version: int
    snapshot_version: int
    timestamp_version: int
    created_at: datetime


class Repository:
    """A trust repository, read and verified. `open_repository` makes it and holds its lock; `show` reads without.

    Attributes:
        folder: where it is.
        chain: its roots.
        metadata: all its metadata, verified.
        contents: top-level targets by target path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._load()
        written = self._read_pending_file()
        self._pending = (written.pending or written.settled) if written else None
        self._signed: tuple[Publication, Mapping[str, bytes]] | None = None

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self.metadata.stream_name

    @property
    def pin(self) -> bytes:
        """Root 1."""
        return self.chain.roots[0]

    @property
    def development(self) -> bool:
        """Whether the root is for development only."""
        return self.chain.development

    def files(self) -> dict[str, bytes]:
        """What a bundle of the current state carries below `trust/`, in the order of the file."""
        return dict(self._files)

    @property
    def pending(self) -> Pending | None:
        """An export that ended in the dark, or is under way: its numbers count as published."""
        return self._pending

    def sweep(self) -> None:
        """Remove the temporary file of an export that ended in the dark."""
        if self._pending is not None:
            with contextlib.suppress(EnvError):  # its disk may be gone; the file is not under a final name
                _remove_temporary(self._pending)

    def next_publication(self, created_at: datetime) -> Publication:
        """The numbers of the next export; a pending record counts as published."""
        listed = next(iter(self.metadata.stream.signed.targets.items()), None)
        sequence = 0 if listed is None else parse_inventory_path(listed[0])[1]
        previous = None if listed is None else Digest("sha256", listed[1].hashes["sha256"])
        pending = self._pending
        if pending is not None and pending.sequence > sequence:
            sequence, previous = pending.sequence, pending.inventory
        return Publication(
            self.stream, sequence + 1, previous, *self._next_versions(), created_at.replace(microsecond=0)
        )

    def check_lifetime(self, created_at: datetime, days: int = 30) -> None:
        """Refuse to export with root or targets that end within `days` of `created_at`.

        Raises:
            TrustError: code ``expires-soon``.
        """
        until = created_at + timedelta(days=days)
        soon = [(role, self.metadata.roles[role].expires_at) for role in (ROOT, TARGETS)]
        soon = [(role, when) for role, when in soon if when <= until]
        if soon:
            listed = ", ".join(f"{role} on {format_moment(when)}" for role, when in soon)
            raise TrustError(
                "expires-soon",
                "trust metadata",
                got=f"ends: {listed}",
                want=f"alive for {days} days after {format_moment(created_at.replace(microsecond=0))}",
                hints=["sealift trust publish signs the targets anew; the root's holders sign a new root"],
            )

    def write_pending(self, publication: Publication, inventory: Digest, temporary: Path) -> None:
        """Write down, before anything is signed, that these numbers may leave the house.

        Args:
            publication: from `next_publication`.
            inventory: digest of the inventory that will be signed.
            temporary: the file that is being written; removed if this export ends in the dark.
        """
        record = Pending(
            publication.sequence,
            inventory,
            publication.stream_version,
            publication.snapshot_version,
            publication.timestamp_version,
            str(temporary.absolute()),
        )
        self._write_pending(PendingFile(settled=self._pending, pending=record))

    def sign(self, publication: Publication, inventory_raw: bytes, signer: SigningKey) -> Mapping[str, bytes]:
        """Sign the stream, snapshot and timestamp for an inventory; nothing is written here.

        Returns:
            everything below `trust/` for the bundle, in the order of the file.

        Raises:
            UsageError: the key is not this repository's exporter's (``exporter-key``).
            TrustError: the result does not verify, e.g. root or targets have expired at `created_at`.
        """
        written = self._read_pending_file()
        if written is None or written.pending is None or written.pending.inventory != sha256_of(inventory_raw):
            raise EnvError("pending", "pending record", got="not of this inventory", want="written before signing")
        self._check_exporter(signer)
        facts = InventoryFacts(publication.sequence, len(inventory_raw), sha256_of(inventory_raw))
        stream = make_stream(self.stream, publication.stream_version, publication.created_at, facts)
        stream_raw = sign_metadata(stream, [signer])
        targets = self.metadata.targets
        changed = sign_online(
            root=self._root(),
            targets=(targets.signed.version, targets.raw),
            stream=(self.stream, publication.stream_version, stream_raw),
            versions=(publication.snapshot_version, publication.timestamp_version),
            at=publication.created_at,
            signer=signer,
        )
        files = _assemble(self.chain, changed, {f"{TARGET_FILES}/{sha256_of(raw).hex}": raw for raw in self._raws()})
        open_trust(self.pin, files, publication.created_at)
        self._signed = (publication, MappingProxyType(files))
        return self._signed[1]

    def commit(self, publication: Publication) -> None:
        """The bundle stands under its final name: make its metadata the repository's, and drop the pending record."""
        if self._signed is None or self._signed[0] != publication:
            raise EnvError("pending", "publication", str(publication.sequence), got="not signed", want="signed before")
        self._install(self._signed[1])
        remove(self.folder / "pending")
        self._pending, self._signed = None, None
        self._prune()

    def abandon(self, publication: Publication) -> None:
        """Nothing has left: remove the temporary file, then free the numbers again.

        An older record, of an export that ended in the dark, stays.
        """
        written = self._read_pending_file()
        if written is None or written.pending is None or written.pending.sequence != publication.sequence:
            return
        _remove_temporary(written.pending)
        self._signed = None
        if written.settled is not None:
            self._write_pending(PendingFile(settled=written.settled, pending=None))
        else:
            remove(self.folder / "pending")

    def replace_targets(
        self, targets_raw: bytes, contents: Mapping[str, bytes], signer: SigningKey, at: datetime
    ) -> None:
        """Put new targets in place, with a new snapshot and timestamp (a publication; no export).

        Args:
            targets_raw: the signed targets' metadata.
            contents: all targets by target path.
            signer: the exporter's key.
            at: the time of signing.

        Raises:
            UsageError: ``exporter-key``. TrustError: the result does not verify. EnvError: the disk.
        """
        self._check_exporter(signer)
        stream = self.metadata.stream
        _, snapshot_version, timestamp_version = self._next_versions()
        changed = sign_online(
            root=self._root(),
            targets=(parse_targets(targets_raw).signed.version, targets_raw),
            stream=(self.stream, stream.signed.version, stream.raw),
            versions=(snapshot_version, timestamp_version),
            at=at,
            signer=signer,
        )
        files = _assemble(
            self.chain, changed, {f"{TARGET_FILES}/{sha256_of(raw).hex}": raw for raw in contents.values()}
        )
        verify_metadata(self.chain, files)
        self._install(files)
        self._prune()

    def _next_versions(self) -> tuple[int, int, int]:
        pending = self._pending
        roles = self.metadata.roles
        stream, snapshot, timestamp = (roles[role].version for role in ("stream", SNAPSHOT, TIMESTAMP))
        if pending is not None:
            stream = max(stream, pending.stream_version)
            snapshot = max(snapshot, pending.snapshot_version)
            timestamp = max(timestamp, pending.timestamp_version)
        return stream + 1, snapshot + 1, timestamp + 1

    def _check_exporter(self, signer: SigningKey) -> None:
        root = self.chain.newest.signed
        delegations = self.metadata.targets.signed.delegations
        roles = [root.roles[SNAPSHOT], root.roles[TIMESTAMP]]
        if delegations is not None and delegations.roles is not None:
            roles.append(delegations.roles[self.stream])
        if any(signer.public.keyid not in role.keyids for role in roles):
            raise UsageError(
                "exporter-key",
                "key",
                signer.public.keyid[:16],
                got="not the exporter's key of this repository",
                want=f"the key of stream {self.stream}",
            )

    def _load(self) -> None:
        roots = tuple(_read_roots(self.folder))
        self.chain = verify_chain(roots)
        self._files = _read_files(self.folder, roots)
        self.metadata: VerifiedMetadata = verify_metadata(self.chain, self._files, newer_root_allowed=True)
        self.contents = {
            path: self._files[f"{TARGET_FILES}/{target.hashes['sha256']}"]
            for path, target in self.metadata.targets.signed.targets.items()
        }

    def _root(self) -> tuple[int, bytes]:
        newest = self.chain.newest
        return newest.signed.version, newest.raw

    def _raws(self) -> Sequence[bytes]:
        return tuple(self.contents.values())

    def _install(self, files: Mapping[str, bytes]) -> None:
        last = f"{METADATA}/{TIMESTAMP}.json"
        for name in [*(name for name in files if name != last), last]:
            if self._files.get(name) != files[name]:
                write_atomically(self.folder / name, files[name], what="trust repository")
        self._load()

    def _prune(self) -> None:
        for folder, grammar in ((METADATA, _OURS), (TARGET_FILES, re.compile("[a-f0-9]{64}"))):
            for path in sorted((self.folder / folder).iterdir()):
                if grammar.fullmatch(path.name) and f"{folder}/{path.name}" not in self._files:
                    remove(path)

    def _read_pending_file(self) -> PendingFile | None:
        path = self.folder / "pending"
        return parse_pending(read_bounded(path, limits.SETTINGS_BYTES, "pending record")) if path.exists() else None

    def _write_pending(self, record: PendingFile) -> None:
        write_atomically(self.folder / "pending", format_pending(record), what="pending record")


@contextlib.contextmanager
def open_repository(folder: Path) -> Iterator[Repository]:
    """Open a trust repository and hold its lock until the block ends.

    Raises:
        UsageError: there is none (``no-repository``). EnvError: another process holds it (``locked``), or the disk.
        TrustError: its metadata does not verify.
    """
    _check_repository(folder)
    with locked(folder / "lock", what="trust repository"):
        repository = Repository(folder)
        repository.sweep()
        yield repository


def read_repository(folder: Path) -> Repository:
    """Read a trust repository without its lock, to look at it only; raises as `open_repository`."""
    _check_repository(folder)
    return Repository(folder)


def _check_repository(folder: Path) -> None:
    if not (folder / METADATA / "1.root.json").is_file():
        raise UsageError(
            "no-repository",
            "trust repository",
            str(folder),
            got="no metadata/1.root.json",
            want="a trust repository",
            hints=["sealift trust init REPO --keys DIR --stream NAME"],
        )


def _assemble(chain: RootChain, metadata: Mapping[str, bytes], targets: Mapping[str, bytes]) -> dict[str, bytes]:
    roots = {f"{METADATA}/{version}.root.json": raw for version, raw in enumerate(chain.roots, 1)}
    return {**roots, **metadata, **{name: targets[name] for name in sorted(targets)}}


def _read_roots(folder: Path) -> Iterator[bytes]:
    for version in range(1, limits.ROOTS + 2):
        path = folder / METADATA / f"{version}.root.json"
        if not path.exists():
            return
        yield read_bounded(path, limits.TRUST_METADATA_BYTES, "trust metadata")


def _read_files(folder: Path, roots: Sequence[bytes]) -> dict[str, bytes]:
    """The files that `timestamp.json` leads to. They are verified after this; here they only say what to read."""

    def read(name: str, max_bytes: int = limits.TRUST_METADATA_BYTES) -> bytes:
        return read_bounded(folder / name, max_bytes, "trust metadata")

    timestamp_name = f"{METADATA}/{TIMESTAMP}.json"
    files = {f"{METADATA}/{version}.root.json": raw for version, raw in enumerate(roots, 1)}
    files[timestamp_name] = read(timestamp_name)
    snapshot_name = f"{METADATA}/{parse_timestamp(files[timestamp_name]).signed.snapshot_meta.version}.snapshot.json"
    files[snapshot_name] = read(snapshot_name)
    meta = parse_snapshot(files[snapshot_name]).signed.meta
    targets_name = f"{METADATA}/{meta['targets.json'].version}.targets.json"
    for name in sorted((name for name in meta if name != "root.json"), key=lambda name: name != "targets.json"):
        files[f"{METADATA}/{meta[name].version}.{name}"] = read(f"{METADATA}/{meta[name].version}.{name}")
    listed = {target.hashes["sha256"] for target in parse_targets(files[targets_name]).signed.targets.values()}
    for hexadecimal in sorted(listed):
        name = f"{TARGET_FILES}/{hexadecimal}"
        files[name] = read(name, limits.TRUST_TARGET_BYTES)
    return files


def _remove_temporary(pending: Pending) -> None:
    path = Path(pending.temporary)
    if _TEMPORARY.fullmatch(path.name):  # only a name that our writer makes
        remove(path)
