"""One zstd frame for each compressed member: written one way, read within bounds (FORMAT.md, "Frames"; THREATS F10).

This is the only module that uses `zstandard`. Rules:
- Written: level 3, one worker thread, never zero (the bytes with one, two and four are the same; with none they
  differ), content size declared, checksum on, no dictionary.
- Read: `FrameWalker` holds the grammar and hands libzstd at most one block in each call, so one call gives at most
  128 KiB; the sum is bounded by the size that the inventory signed; libzstd's window is bounded to 8 MiB. A reader ends
  well only when the frame ended exactly with its input, gave exactly the declared bytes, and its checksum held.
- What comes out is not released to anyone before the hash of the stored bytes is right (member_check.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from bundler import limits
from bundler.archive.storage import may_compress, pays
from bundler.archive.zstd_frame import FrameWalker
from bundler.digest import Digest
from bundler.errors import DamagedError
from bundler.value import dataclass

__all__ = ["FrameReader", "Stored", "compress_to", "decompress", "may_compress", "pays"]

LEVEL = 3
THREADS = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """A frame that was written, and what it holds."""

    size_bytes: int
    digest: Digest
    content_digest: Digest


def compress_to(source: BinaryIO, target: BinaryIO, size_bytes: int) -> Stored:
    """Write the content of `source` as one frame into `target`.

    Args:
        source: the content, read to its end.
        target: takes the frame; only `write` is used.
        size_bytes: length of the content, declared in the frame.

    Returns:
        size and digest of the frame, and the digest of the content that went into it; the caller compares the latter.

    Raises:
        DamagedError: `source` has not exactly `size_bytes` (code ``content-size``).
    """
    compressor = zstandard.ZstdCompressor(
        level=LEVEL, threads=THREADS, write_checksum=True, write_content_size=True, write_dict_id=False
    ).compressobj(size=size_bytes)
    content_hash, stored_hash = hashlib.sha256(), hashlib.sha256()
    stored_bytes = taken_bytes = 0
    while True:
        piece = source.read(min(limits.READ_BUFFER_BYTES, size_bytes - taken_bytes + 1))
        taken_bytes += len(piece)
        if taken_bytes > size_bytes or (not piece and taken_bytes < size_bytes):
            raise DamagedError("content-size", "content", got=f"{taken_bytes} bytes or more", want=f"{size_bytes}")
        content_hash.update(piece)
        frame = compressor.compress(piece) if piece else compressor.flush()
        stored_hash.update(frame)
        stored_bytes += len(frame)
        _write(target, frame)
        if not piece:
            return Stored(
                stored_bytes, Digest("sha256", stored_hash.hexdigest()), Digest("sha256", content_hash.hexdigest())
            )


def decompress(frame: bytes, content_bytes: int) -> bytes:
    """The content of a frame in hand, whose hash was checked.

    Args:
        frame: exactly the stored bytes.
        content_bytes: the size that the inventory signed; the caller bounds it, for it is held in memory.

    Raises:
        DamagedError: not exactly one such frame (codes ``frame-…``).
    """
    reader = FrameReader(content_bytes)
    parts = list(reader.feed(memoryview(frame)))
    reader.finish()
    return b"".join(parts)


class FrameReader:
    """Decompresses one frame from pieces, in steps of one block."""

    def __init__(self, content_bytes: int) -> None:
        self._content_bytes = content_bytes
        self._given_bytes = 0
        self._header = b""
        self._walker = FrameWalker(content_bytes)
        self._object = zstandard.ZstdDecompressor(max_window_size=limits.ZSTD_WINDOW_BYTES).decompressobj()

    def feed(self, piece: memoryview) -> Iterator[bytes]:
        """The content in the next stored bytes, in parts of at most one block; exhaust it before the next call.

        Raises:
            DamagedError: codes ``frame-…``.
        """
        while piece:
            count = self._walker.step(piece)
            part = self._decompress(piece[:count])
            piece = piece[count:]
            self._given_bytes += len(part)
            if self._given_bytes > self._content_bytes:
                raise DamagedError("frame-size", "zstd frame", got="more content", want=f"{self._content_bytes} bytes")
            if part:
                yield part

    def _decompress(self, stored: memoryview) -> bytes:
        """Hand bytes of one part of the frame to libzstd, the header only once the walker has accepted all of it."""
        if not self._walker.header_accepted:
            self._header += stored
            return b""
        try:
            if self._header:
                given = self._object.decompress(self._header + stored)
                self._header = b""
                return given
            return self._object.decompress(stored)
        except zstandard.ZstdError as error:
            raise DamagedError("frame-content", "zstd frame", got=str(error)[:160], want="a whole frame") from error

    def finish(self) -> None:
        """After the last piece.

        Raises:
            DamagedError: the frame has not ended, or gave less than it declared.
        """
        self._walker.finish()
        if not self._object.eof or self._object.unused_data or self._given_bytes != self._content_bytes:
            raise DamagedError(
                "frame-size", "zstd frame", got=f"{self._given_bytes} bytes", want=f"{self._content_bytes}"
            )


def _write(target: BinaryIO, raw: bytes) -> None:
    """Write all of `raw`, also to a raw file, whose `write` may take less."""
    view = memoryview(raw)
    while view:
        view = view[target.write(view) :]
