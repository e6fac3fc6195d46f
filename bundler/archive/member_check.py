"""One member, checked from its bytes as they come by: header, content, padding.

Rules of this module:
- Each byte is looked at once. A check takes the member's bytes in pieces of any size, in order; it never raises for bad
  bytes, it tells them in `finish`, so that the reader goes on with the other members.
- The hash of the stored bytes decides first: what a frame does is told only if its bytes are the signed ones.
- A content that is kept is hashed before it is decompressed. A frame that is only hashed is decompressed from the same
  buffer that feeds the stored hash, before that hash is known. That is safe because nothing of it is released: output
  is bounded by the signed size and thrown away block by block, libzstd's memory is bounded by the 8 MiB window.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from bundler.archive.chunks import StoredHash
from bundler.archive.contents import Blob
from bundler.archive.damage import Damage, damage_of
from bundler.archive.frames import FrameReader, decompress
from bundler.archive.plan import Member
from bundler.archive.ustar import BLOCK_BYTES
from bundler.digest import Digest, sha256_of
from bundler.errors import DamagedError


class Sink(Protocol):
    """Takes a member's content and judges it at the end."""

    def feed(self, piece: memoryview) -> None:
        """The next bytes of the content."""
        ...

    def finish(self) -> None:
        """Raise DamagedError if the content is not what it must be."""
        ...


class MemberCheck:
    """Checks one member against what the inventory derives."""

    def __init__(self, member: Member, sink: Sink) -> None:
        self._member = member
        self._sink = sink
        self._header = bytearray()
        self._content_left = member.size_bytes
        self._dirty_padding = False

    def feed(self, piece: memoryview) -> None:
        """Take the next bytes of the member."""
        if len(self._header) < BLOCK_BYTES:
            count = BLOCK_BYTES - len(self._header)
            self._header += piece[:count]
            piece = piece[count:]
        content = piece[: self._content_left]
        if content:
            self._content_left -= len(content)
            self._sink.feed(content)
        padding = piece[len(content) :]
        if padding and any(padding):
            self._dirty_padding = True

    def skip_content(self) -> None:
        """Go on with the padding, when only headers are checked."""
        self._content_left = 0

    def finish(self, stop: DamagedError | None) -> tuple[Damage, ...]:
        """Every fault of the member.

        Args:
            stop: why reading stopped early, if it did.
        """
        name, blob = self._member.name, self._member.blob
        digest = blob.digest if blob else None
        damages: list[Damage] = []
        if len(self._header) == BLOCK_BYTES and self._header != self._member.header:
            damages.append(Damage(name, None, "header", "not the header that the inventory derives"))
        if self._content_left == 0 and len(self._header) == BLOCK_BYTES:
            try:
                self._sink.finish()
            except DamagedError as error:
                damages.append(damage_of(error, name, digest))
            digest = None
        if self._dirty_padding:
            damages.append(Damage(name, None, "padding", "a byte that is not zero"))
        if stop is not None:
            damages.append(damage_of(stop, name, digest))
        return tuple(damages)


class SkipSink:
    """Content that nobody judges (headers only)."""

    def feed(self, piece: memoryview) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class DerivedSink:
    """Content that the inventory derives whole."""

    def __init__(self, expected: bytes) -> None:
        self._expected = memoryview(expected)
        self._same = True

    def feed(self, piece: memoryview) -> None:
        """Compare."""
        self._same = self._same and self._expected[: len(piece)] == piece
        self._expected = self._expected[len(piece) :]

    def finish(self) -> None:
        """Raise if a byte differed (code ``derived-content``)."""
        if not self._same or self._expected:
            raise DamagedError("derived-content", "content", got="other bytes", want="what the inventory derives")


class RawSink:
    """A blob stored as it is: hashed."""

    def __init__(self, blob: Blob, stored_hash: StoredHash) -> None:
        self._blob = blob
        self._hash = stored_hash

    def feed(self, piece: memoryview) -> None:
        """Hash."""
        self._hash.update(piece)

    def finish(self) -> None:
        """Raise if the hash is another (code ``blob-digest``)."""
        _check_stored(self._blob, self._hash.finish())


class FrameSink:
    """A blob stored as a frame: the stored bytes and the content are hashed, the content is thrown away."""

    def __init__(self, blob: Blob, stored_hash: StoredHash) -> None:
        self._blob = blob
        self._stored_hash = stored_hash
        self._content_hash = hashlib.sha256()
        self._reader = FrameReader(blob.size_bytes)
        self._fault: DamagedError | None = None

    def feed(self, piece: memoryview) -> None:
        """Hash, decompress, hash; after a fault in the frame only the first."""
        self._stored_hash.update(piece)
        if self._fault is None:
            try:
                for part in self._reader.feed(piece):
                    self._content_hash.update(part)
            except DamagedError as error:
                self._fault = error

    def finish(self) -> None:
        """Raise for other stored bytes, then for a bad frame, then for another content."""
        _check_stored(self._blob, self._stored_hash.finish())
        if self._fault is not None:
            raise self._fault
        self._reader.finish()
        _check_content(self._blob, Digest("sha256", self._content_hash.hexdigest()))


class KeepSink:
    """A small blob whose content is handed to `keep` once it is proved."""

    def __init__(self, blob: Blob, stored_hash: StoredHash, keep: Callable[[Digest, bytes], None]) -> None:
        self._blob = blob
        self._hash = stored_hash
        self._keep = keep
        self._stored = bytearray()

    def feed(self, piece: memoryview) -> None:
        """Hash and collect; the signed size bounds it."""
        self._hash.update(piece)
        self._stored += piece

    def finish(self) -> None:
        """Judge the hash, decompress, hash; then keep."""
        _check_stored(self._blob, self._hash.finish())
        self._keep(self._blob.digest, _open_checked(self._blob, bytes(self._stored)))


def open_stored(blob: Blob, stored: bytes) -> bytes:
    """The content of a blob from its stored bytes: hash, decompress within bounds, hash.

    Raises:
        DamagedError: ``blob-digest``, ``frame-…`` or ``content-digest``.
    """
    _check_stored(blob, sha256_of(stored))
    return _open_checked(blob, stored)


def _open_checked(blob: Blob, stored: bytes) -> bytes:
    if blob.stored == "raw":
        return stored
    content = decompress(stored, blob.size_bytes)
    _check_content(blob, sha256_of(content))
    return content


def _check_stored(blob: Blob, digest: Digest) -> None:
    if digest != blob.stored_digest:
        raise DamagedError("blob-digest", "blob", str(blob.digest), got=str(digest), want=str(blob.stored_digest))


def _check_content(blob: Blob, digest: Digest) -> None:
    if digest != blob.digest:
        raise DamagedError("content-digest", "blob", str(blob.digest), got=str(digest), want="the blob's own")
