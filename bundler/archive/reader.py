"""Reads a bundle: from a file in any order, from a pipe in one pass (FORMAT.md, "Order of checks").

Rules of this module:
- Order: README, `trust/` (nothing trusted yet), then `read_inventory` with the length and digest that the verified
  trust metadata names, then everything else, derived from the inventory. Nothing is parsed before it is hashed.
- The head raises: without it nothing can be said. After it, faults are collected (damage.py) and reading goes on.
- Each byte is read once. Memory: a few buffers, libzstd's window for each thread, and what `keep` asks for.
- What was checked is what is used: `read_blob` hashes what it returns, also when the file was checked before; a pipe
  gives only what was kept.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from bundler import limits
from bundler.archive.chunks import ProvedBlob, StoredHash
from bundler.archive.contents import Blob, Inventory
from bundler.archive.damage import Damage, Integrity
from bundler.archive.head import read_exactly, read_head, read_padding
from bundler.archive.inventory import parse_inventory
from bundler.archive.member_check import DerivedSink, FrameSink, KeepSink, RawSink, Sink, SkipSink, open_stored
from bundler.archive.names import INVENTORY_NAME
from bundler.archive.parallel import default_threads
from bundler.archive.plan import Member, Plan, plan_members
from bundler.archive.scan import Progress, scan_file, scan_headers, scan_stream
from bundler.archive.source import FileSource, StreamSource
from bundler.archive.ustar import format_header, padding_bytes
from bundler.digest import Digest, sha256_of
from bundler.errors import DamagedError, EnvError, MalformedError, RejectedError, TrustError
from bundler.value import replace

__all__ = ["ArchiveReader", "Damage", "Integrity", "open_archive"]

STANDARD_INPUT = "-"


def open_archive(source: Path | str | BinaryIO) -> ArchiveReader:
    """Open a bundle and read its head.

    Args:
        source: a file's path, `-` for standard input, or a binary stream that stands at the bundle's first byte.

    Returns:
        a reader to be used in a `with` statement.

    Raises:
        EnvError: no such file, or not a regular one (``file-absent``, ``file-kind``).
        UnsupportedError: another format number (``format``).
        DamagedError: not a bundle, or one with a damaged head.
    """
    if isinstance(source, (str, Path)) and str(source) != STANDARD_INPUT:
        return ArchiveReader(FileSource(Path(source)))
    return ArchiveReader(StreamSource(_standard_input() if isinstance(source, (str, Path)) else source))


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # so Python says that the descriptor was closed
        raise EnvError("file-absent", "bundle", "standard input", got="closed", want="a pipe")
    return sys.stdin.buffer


class ArchiveReader:
    """One open bundle. Made by `open_archive`; its methods are called in the order in which they stand here."""

    def __init__(self, source: FileSource | StreamSource) -> None:
        self._source = source
        self._plan: Plan | None = None
        self._members: Mapping[Digest, Member] = {}
        self._kept: dict[Digest, bytes] = {}
        self._hashes: dict[Digest, StoredHash] = {}
        self._proved: frozenset[Digest] = frozenset()
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(source.close)
            self._head = read_head(source)
            on_failure.pop_all()

    @property
    def trust_files(self) -> Mapping[str, bytes]:
        """The files below `trust/`, by name (`metadata/1.root.json`, `targets/<hex>`); nothing is trusted yet."""
        return self._head.trust_files

    def read_inventory(self, size_bytes: int, digest: Digest) -> Inventory:
        """Read the inventory that the verified trust metadata names.

        Args:
            size_bytes: its length in the stream's metadata.
            digest: its hash there.

        Raises:
            DamagedError: the header is not derived from `size_bytes` (``header``), the padding is not zero, or the
                bundle ends too early.
            TrustError: the content has another hash (``inventory-digest``).
            UnsupportedError, MalformedError: it is not an inventory of this format (inventory.py).
        """
        if size_bytes > limits.INVENTORY_BYTES:
            raise MalformedError("limits", "inventory", got=f"{size_bytes} bytes", want=f"{limits.INVENTORY_BYTES}")
        if self._head.inventory_header != format_header(INVENTORY_NAME, size_bytes):
            raise DamagedError(
                "header", "bundle member", INVENTORY_NAME, got="another header", want="the signed length's"
            )
        raw = read_exactly(self._source, size_bytes, INVENTORY_NAME)
        got = sha256_of(raw)
        if got != digest:
            raise TrustError("inventory-digest", "inventory", got=str(got), want=f"{digest}, as the stream signed")
        read_padding(self._source, size_bytes, INVENTORY_NAME)
        inventory = parse_inventory(raw)
        head_end = self._head.end_offset + size_bytes + padding_bytes(size_bytes)
        self._plan = plan_members(head_end, inventory)
        self._members = {member.blob.digest: member for member in self._plan.members if member.blob}
        return inventory

    def read_members(
        self,
        *,
        threads: int | None = None,
        keep: Callable[[Blob], bool] | None = None,
        prove: bool = False,
        progress: Progress | None = None,
    ) -> Integrity:
        """Read and check everything after the inventory, each byte once.

        Args:
            threads: how many members of a file are read at once; by default as many as cores, up to a limit.
            keep: blobs whose content `read_blob` will give without reading again. From a file, what does not fit into
                `limits.KEPT_IN_MEMORY_BYTES` is read again instead.
            prove: seal every chunk, so that `proved_blob` can hand out blobs afterwards (files only).
            progress: told the bytes done so far; may be called from other threads, never from two at once.

        Raises:
            EnvError: what is to be kept from a pipe does not fit into memory (``pipe-memory``).
        """
        plan = self._require_plan()
        wanted = self._choose_kept(keep) if keep else frozenset()
        self._proved = frozenset()  # what a pass before this one proved is asked again

        def sink_for(member: Member) -> Sink:
            return self._sink(member, wanted, prove=prove)

        if isinstance(self._source, FileSource):
            done = scan_file(self._source, plan, sink_for, threads=threads or default_threads(), progress=progress)
            self._proved = frozenset(self._hashes) - done.damaged
            return done
        return scan_stream(self._source, plan, sink_for, progress=progress)

    def check_headers(self, *, keep: Callable[[Blob], bool] | None = None) -> Integrity:
        """Check headers, padding, derived members and the end, without hashing blobs.

        Args:
            keep: for pipes, blobs that `read_blob` will give afterwards; the others pass unread. From a file any blob
                can be read at any time.

        Raises:
            EnvError: what is to be kept from a pipe does not fit into memory (``pipe-memory``).
        """
        plan = self._require_plan()
        if isinstance(self._source, FileSource):
            return scan_headers(self._source, plan)
        wanted = self._choose_kept(keep) if keep else frozenset()
        return scan_stream(self._source, plan, lambda member: self._header_sink(member, wanted), progress=None)

    def prove_blobs(self, wanted: Collection[Digest]) -> frozenset[Digest]:
        """Read and check these blobs only, so that `proved_blob` can hand them out (files only).

        Returns:
            those that are damaged.

        Raises:
            EnvError: the bundle came through a pipe (``pipe``).
        """
        plan = self._require_plan()
        members = tuple(member for member in plan.members if member.blob is not None and member.blob.digest in wanted)
        if not members:
            return frozenset()
        if isinstance(self._source, StreamSource):
            raise _read_once(next(iter(wanted)))

        def sink_for(member: Member) -> Sink:
            return self._sink(member, frozenset(), prove=True)

        some = replace(plan, members=members)
        self._proved -= {member.blob.digest for member in members if member.blob is not None}  # until this pass ended
        done = scan_file(self._source, some, sink_for, threads=default_threads(), progress=None)
        self._proved |= {member.blob.digest for member in members if member.blob is not None} - done.damaged
        return done.damaged

    def read_blob(self, digest: Digest, max_bytes: int) -> bytes:
        """The content of a blob, hashed before it is used.

        Args:
            digest: which blob.
            max_bytes: how large it may be.

        Raises:
            RejectedError: the inventory lists no such blob (``blob-absent``).
            MalformedError: it is larger than `max_bytes` (``limits``).
            DamagedError: its bytes are not what was signed.
            EnvError: the bundle came through a pipe, and the blob was not kept (``pipe``).
        """
        member, blob = self._listed(digest)
        if blob.size_bytes > max_bytes:
            raise MalformedError(
                "limits", "blob", str(digest), got=f"{blob.size_bytes} bytes", want=f"at most {max_bytes}"
            )
        kept = self._kept.get(digest)
        return kept if kept is not None else self._read_again(member, blob)

    def still_has(self, digest: Digest) -> bool:
        """Whether a listed blob's bytes can still be read: always from a file; of a pipe, what was kept."""
        return digest in self._kept or (digest in self._members and isinstance(self._source, FileSource))

    def proved_blob(self, digest: Digest) -> ProvedBlob:
        """A blob that was found whole by `read_members(prove=True)`; its chunks are proved again as they are read.

        Raises:
            RejectedError: the inventory lists no such blob (``blob-absent``).
            DamagedError: it was found damaged (``blob-digest``).
            EnvError: the bundle came through a pipe (``pipe``).
        """
        member, blob = self._listed(digest)
        if isinstance(self._source, StreamSource):
            raise _read_once(digest)
        if digest not in self._proved:
            raise DamagedError("blob-digest", "blob", str(digest), got="other bytes", want="what was signed")
        seals = self._hashes[digest].seals
        if seals is None:
            raise RuntimeError("only what was sealed is remembered")
        return ProvedBlob(blob, seals, member.content_offset, self._source.fill)

    def close(self) -> None:
        """Close the file; a stream is left open."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _listed(self, digest: Digest) -> tuple[Member, Blob]:
        member = self._members.get(digest)
        if member is None or member.blob is None:
            raise RejectedError("blob-absent", "blob", str(digest), got="not in the bundle", want="listed")
        return member, member.blob

    def _require_plan(self) -> Plan:
        if self._plan is None:
            raise RuntimeError("read_inventory comes first")
        return self._plan

    def _choose_kept(self, keep: Callable[[Blob], bool]) -> frozenset[Digest]:
        chosen: set[Digest] = set()
        total_bytes = 0
        for member in self._require_plan().members:
            blob = member.blob
            if blob is None or not keep(blob):
                continue
            if total_bytes + blob.size_bytes > limits.KEPT_IN_MEMORY_BYTES:
                if isinstance(self._source, StreamSource):
                    raise EnvError(
                        "pipe-memory",
                        "bundle",
                        got=f"over {limits.KEPT_IN_MEMORY_BYTES} bytes of manifests and evidence",
                        want="a file",
                        hints=["write the stream to a file first; a file needs no such memory"],
                    )
                continue
            total_bytes += blob.size_bytes
            chosen.add(blob.digest)
        return frozenset(chosen)

    def _sink(self, member: Member, wanted: frozenset[Digest], *, prove: bool = False) -> Sink:
        blob = member.blob
        if blob is None:
            return DerivedSink(member.derived or b"")
        stored_hash = StoredHash(seal=prove)
        if prove:
            self._hashes[blob.digest] = stored_hash
        if blob.digest in wanted:
            return KeepSink(blob, stored_hash, self._kept.__setitem__)
        return RawSink(blob, stored_hash) if blob.stored == "raw" else FrameSink(blob, stored_hash)

    def _header_sink(self, member: Member, wanted: frozenset[Digest]) -> Sink:
        if member.blob is None or member.blob.digest in wanted:
            return self._sink(member, wanted)
        return SkipSink()

    def _read_again(self, member: Member, blob: Blob) -> bytes:
        if isinstance(self._source, StreamSource):
            raise _read_once(blob.digest)
        stored = bytearray(blob.stored_size_bytes)
        count = self._source.fill(memoryview(stored), member.content_offset)
        if count < len(stored):
            raise DamagedError("truncated", "blob", str(blob.digest), got=f"{count} bytes", want=f"{len(stored)}")
        return open_stored(blob, bytes(stored))


def _read_once(digest: Digest) -> EnvError:
    return EnvError(
        "pipe",
        "blob",
        str(digest),
        got="a pipe that is read only once",
        want="a file",
        hints=["write the stream to a file first"],
    )
