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
- The metadata is judged by the root that its snapshot names; what is signed from now on, by the newest root.
- No private key is ever here, and nothing depends on a clock: same state, same time, same bytes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, TrustError, UsageError
from bundler.moment import format_moment
from bundler.safe_file import locked, read_bounded, remove, write_atomically
from bundler.value import dataclass
from trust_root.authoring import InventoryFacts, make_stream, sign_metadata, sign_online
from trust_root.client import VerifiedMetadata, check_expiry, open_target_files, open_trust, verify_metadata
from trust_root.keys import Signer
from trust_root.metadata import parse_targets, signers_left, stream_authority
from trust_root.pending import Pending, PendingFile, format_pending, parse_pending
from trust_root.repository_files import (
    TARGET_FILES,
    assemble,
    check_repository,
    clear_leftovers,
    install,
    prune,
    read_files,
    read_roots,
)
from trust_root.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, parse_inventory_path
from trust_root.root_chain import RootChain, verify_chain
from trust_root.tuf_library import Targets

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
        """Remove what killed runs have left here, and the temporary file of an export that ended in the dark."""
        clear_leftovers(self.folder)
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
        least = timedelta(days=days)
        soon = [
            (ROOT, self.chain.newest.signed.expires),
            (TARGETS, self.metadata.roles[TARGETS].expires_at),
        ]
        soon = [(role, when) for role, when in soon if when - created_at <= least]
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

    def sign(self, publication: Publication, inventory_raw: bytes, signer: Signer) -> Mapping[str, bytes]:
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
        check_exporter(self.chain, self.metadata.targets.signed, self.stream, signer)
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
        files = assemble(self.chain, changed, {f"{TARGET_FILES}/{sha256_of(raw).hex}": raw for raw in self._raws()})
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
        prune(self.folder, self._files)

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

    def adopt(
        self, chain: RootChain, targets_raw: bytes, contents: Mapping[str, bytes], signer: Signer, at: datetime
    ) -> None:
        """Put newer roots and targets in place, with a new snapshot and timestamp (no export).

        The stream's metadata stays as it is, unless the new targets have given the stream another key: then the same
        inventory is signed anew.

        Args:
            chain: the roots that shall stand: this repository's, and those that follow.
            targets_raw: the signed targets' metadata.
            contents: all targets by target path.
            signer: the exporter's key, as the new roots and targets name it.
            at: the time of signing.

        Raises:
            UsageError: ``exporter-key``. TrustError: the result does not verify, or has expired. EnvError: the disk.
        """
        at = at.replace(microsecond=0)
        targets = parse_targets(targets_raw)
        check_exporter(chain, targets.signed, self.stream, signer)
        stream_version, snapshot_version, timestamp_version = self._next_versions()
        stream = (self.stream, *self._stream_under(targets.signed, stream_version, at, signer))
        changed = sign_online(
            root=(chain.newest.signed.version, chain.newest.raw),
            targets=(targets.signed.version, targets_raw),
            stream=stream,
            versions=(snapshot_version, timestamp_version),
            at=at,
            signer=signer,
        )
        files = assemble(chain, changed, {f"{TARGET_FILES}/{sha256_of(raw).hex}": raw for raw in contents.values()})
        check_expiry(verify_metadata(chain, files).roles, at, timedelta(0))
        self._install(files)
        prune(self.folder, self._files)

    def _stream_under(self, targets: Targets, version: int, at: datetime, signer: Signer) -> tuple[int, bytes]:
        standing = self.metadata.stream
        authority = stream_authority(targets, self.stream)
        if len(signers_left(standing, authority)) == len(standing.signatures) >= authority.role.threshold:
            return standing.signed.version, standing.raw
        listed = next(iter(standing.signed.targets.items()), None)
        facts = None
        if listed is not None:
            sequence, target = parse_inventory_path(listed[0])[1], listed[1]
            facts = InventoryFacts(sequence, target.length, Digest("sha256", target.hashes["sha256"]))
        return version, sign_metadata(make_stream(self.stream, version, at, facts), [signer])

    def _next_versions(self) -> tuple[int, int, int]:
        pending = self._pending
        roles = self.metadata.roles
        stream, snapshot, timestamp = (roles[role].version for role in ("stream", SNAPSHOT, TIMESTAMP))
        if pending is not None:
            stream = max(stream, pending.stream_version)
            snapshot = max(snapshot, pending.snapshot_version)
            timestamp = max(timestamp, pending.timestamp_version)
        return stream + 1, snapshot + 1, timestamp + 1

    def _load(self, known: RootChain | None = None) -> None:
        """Read and verify. `known` roots were verified already; those that follow them still have to be."""
        roots = tuple(read_roots(self.folder))
        if known is not None and roots[: len(known.roots)] == known.roots:
            self.chain = known.extended(roots[len(known.roots) :])
        else:
            self.chain = verify_chain(roots)
        self._files, root_version = read_files(self.folder, roots)
        judge = RootChain(self.chain.files[:root_version], self.chain.signers[:root_version])
        self.metadata: VerifiedMetadata = verify_metadata(judge, self._files)
        self.contents = open_target_files(self.metadata, self._files)

    def _root(self) -> tuple[int, bytes]:
        newest = self.chain.newest
        return newest.signed.version, newest.raw

    def _raws(self) -> Sequence[bytes]:
        return tuple(self.contents.values())

    def _install(self, files: Mapping[str, bytes]) -> None:
        install(self.folder, self._files, files)
        self._load(self.chain)

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
    check_repository(folder)
    with locked(folder / "lock", what="trust repository"):
        repository = Repository(folder)
        repository.sweep()
        yield repository


def read_repository(folder: Path) -> Repository:
    """Read a trust repository without its lock, to look at it only; raises as `open_repository`."""
    check_repository(folder)
    return Repository(folder)


def check_exporter(chain: RootChain, targets: Targets, stream: str, signer: Signer) -> None:
    """Refuse a key that may not sign snapshot, timestamp and stream.

    Raises:
        UsageError: code ``exporter-key``. TrustError: the stream has no delegation (``delegation``).
    """
    root = chain.newest.signed
    roles = [root.roles[SNAPSHOT], root.roles[TIMESTAMP], stream_authority(targets, stream).role]
    if any(signer.public.keyid not in role.keyids for role in roles):
        raise UsageError(
            "exporter-key",
            "key",
            signer.public.keyid[:16],
            got="not the exporter's key of this repository",
            want=f"the key of stream {stream}",
        )


def _remove_temporary(pending: Pending) -> None:
    path = Path(pending.temporary)
    if _TEMPORARY.fullmatch(path.name):  # only a name that our writer makes
        remove(path)
