"""Chunks that are proved before they are handed out: what was verified is what is used (THREATS S1, S2, I15).

While the one verification pass hashes a blob's stored bytes, each `CHUNK_BYTES` of them are sealed (seals.py; 16 bytes
for each chunk, so 1 MB for 256 GB). Later a chunk is good if its seal holds.

Rules of this module:
- The seals never leave memory, and count only after a pass that ended with the signed hash.
- A chunk is proved in the buffer that is then handed out; it is never read again in between.
- A content that is stored as a frame is decompressed from proved chunks. The pass has shown that this frame gives the
  signed content, and decompression has no choices.
- Nothing is cached here; whoever serves many readers bounds how many chunks are in memory at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bundler.archive.contents import Blob
from bundler.archive.frames import FrameReader
from bundler.digest import Digest

if TYPE_CHECKING:
    from bundler.archive.seals import Seals

CHUNK_BYTES = 4 * 1024 * 1024

Fill = Callable[[memoryview, int], int]


class StoredHash:
    """SHA-256 of a member's stored bytes; with `seal`, every chunk is sealed as well."""

    def __init__(self, *, seal: bool = False) -> None:
        self._hash = hashlib.sha256()
        self._left_bytes = CHUNK_BYTES
        self.seals: Seals | None = None
        if seal:
            from bundler.archive.seals import Seals  # noqa: PLC0415  inspect hands nothing on

            self.seals = Seals()

    def update(self, piece: memoryview) -> None:
        """The next stored bytes."""
        self._hash.update(piece)
        if self.seals is None:
            return
        while piece:
            part = piece[: self._left_bytes]
            self.seals.update(part)
            self._left_bytes -= len(part)
            piece = piece[len(part) :]
            if not self._left_bytes:
                self.seals.end_chunk()
                self._left_bytes = CHUNK_BYTES

    def finish(self) -> Digest:
        """The digest of all bytes so far; the last chunk ends here."""
        if self.seals is not None:
            self.seals.end_chunk()
        return Digest("sha256", self._hash.hexdigest())


class ProvedBlob:
    """One blob of a verified file, read in chunks each of which is proved first. Threads may read it at once."""

    def __init__(self, blob: Blob, seals: Seals, content_offset: int, fill: Fill) -> None:
        self.blob = blob
        self._seals = seals
        self._offset = content_offset
        self._fill = fill

    @property
    def size_bytes(self) -> int:
        """Size of the content."""
        return self.blob.size_bytes

    def read(self, start: int = 0, end: int | None = None) -> Iterator[memoryview]:
        """The content from `start` to `end` (bytes, half open), in pieces of at most `CHUNK_BYTES`.

        A piece is proved before it is yielded. Of a frame everything before `start` is decompressed and dropped.

        Raises:
            DamagedError: the file no longer holds what was verified (code ``chunk``), or its medium fails
                (``read-error``).
        """
        last = self.size_bytes if end is None else min(end, self.size_bytes)
        if self.blob.stored == "raw":
            return self._read_raw(start, last)
        return self._read_frame(start, last)

    def read_chunk(self, number: int, room: memoryview) -> memoryview:
        """Chunk `number` of a content that is stored raw, in the room that the caller has for it.

        Raises:
            DamagedError: as `read`; then the room holds bytes that nobody may use.
        """
        if self.blob.stored != "raw":
            raise RuntimeError("only what is stored raw can be read anywhere")
        return self._chunk(number, room)

    def _read_raw(self, start: int, end: int) -> Iterator[memoryview]:
        position = start
        while position < end:
            number, skip = divmod(position, CHUNK_BYTES)
            piece = self._chunk(number)[skip : skip + end - position]
            yield piece
            position += len(piece)

    def _read_frame(self, start: int, end: int) -> Iterator[memoryview]:
        reader = FrameReader(self.blob.size_bytes)
        position = 0
        for number in range(len(self._seals)):
            if position >= end:
                return
            ready = bytearray()
            for part in reader.feed(self._chunk(number)):
                wanted = memoryview(part)[max(start - position, 0) : max(end - position, 0)]
                position += len(part)
                ready += wanted
                if len(ready) >= CHUNK_BYTES:
                    yield memoryview(ready)
                    ready = bytearray()
            if ready:
                yield memoryview(ready)

    def _chunk(self, number: int, room: memoryview | None = None) -> memoryview:
        """One chunk of the stored bytes, read once and proved."""
        start = number * CHUNK_BYTES
        size_bytes = min(CHUNK_BYTES, self.blob.stored_size_bytes - start)
        view = memoryview(bytearray(size_bytes)) if room is None else room[:size_bytes]
        count = self._fill(view, self._offset + start)
        self._seals.verify_chunk(number, view[:count], str(self.blob.digest), start)
        return view
