"""A blob's content in chunks of one size, whichever way it is stored.

Rules of this module:
- Chunk `n` begins at `n * CHUNK_BYTES` of the content. What is stored raw can be read anywhere; a frame can only be
  unpacked from its start, so readers of frames are parked where they stopped and go on from there.
- Few frames are unpacked at once, and few readers parked: each has a window and buffers. A request for the end of a
  large frame costs time, not memory.
- Whoever waits for a turn to unpack holds nothing that others wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from bundler import limits
from bundler.archive.chunks import CHUNK_BYTES, ProvedBlob
from bundler.digest import Digest
from bundler.errors import DamagedError, EnvError
from bundler.value import dataclass, field


class Content:
    """One blob, as the pool asks for it. Thread-safe."""

    def __init__(self, blob: ProvedBlob, frames: Frames) -> None:
        self._blob = blob
        self._frames = frames
        self.digest: Digest = blob.blob.digest

    @property
    def size_bytes(self) -> int:
        """Size of the content."""
        return self._blob.size_bytes

    def chunk_size(self, number: int) -> int:
        """Size of a chunk, in bytes."""
        return min(CHUNK_BYTES, self.size_bytes - number * CHUNK_BYTES)

    def turn(self, seconds: float) -> AbstractContextManager[None]:
        """What `read_chunk` has to stand in; take it before anything that others wait for.

        Raises:
            EnvError: none came in so many seconds (``serve-busy``).
        """
        return nullcontext() if self._is_raw else self._frames.turn(seconds)

    @property
    def _is_raw(self) -> bool:
        return self._blob.blob.stored == "raw"

    def read_chunk(self, number: int, room: memoryview) -> memoryview:
        """One chunk, proved, in the room that the caller has for it.

        Raises:
            DamagedError: the file no longer holds what was verified.
        """
        if not self._is_raw:
            return self._frames.read_chunk(self._blob, number, room[: self.chunk_size(number)])
        return self._blob.read_chunk(number, room)


@dataclass(slots=True)
class _Reader:
    """A frame that is being unpacked, and where it stands."""

    digest: Digest
    number: int
    pieces: Iterator[memoryview]
    left: memoryview = field(default_factory=lambda: memoryview(b""))

    def read(self, room: memoryview) -> memoryview:
        """The next chunk, as long as the room."""
        done = 0
        while done < len(room):
            if not self.left:
                self.left = next(self.pieces, memoryview(b""))
            if not self.left:
                raise DamagedError("frame-size", "zstd frame", got="less content than was verified", want="all of it")
            part = self.left[: len(room) - done]
            room[done : done + len(part)] = part
            done += len(part)
            self.left = self.left[len(part) :]
        self.number += 1
        return room


class Frames:
    """Readers of frames, for all contents of a server. Thread-safe."""

    def __init__(self) -> None:
        self._parked: list[_Reader] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(limits.SERVE_FRAMES)

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """The right to unpack; see `Content.turn`."""
        if not self._slots.acquire(timeout=seconds):
            raise EnvError("serve-busy", "server", got="no turn to unpack a frame in time", want="fewer clients")
        try:
            yield
        finally:
            self._slots.release()

    def read_chunk(self, blob: ProvedBlob, number: int, room: memoryview) -> memoryview:
        """One chunk of a frame's content, by the parked reader that stands nearest before it."""
        reader = self._take(blob.blob.digest, number)
        if reader is None:
            reader = _Reader(blob.blob.digest, number, blob.read(number * CHUNK_BYTES))
        while reader.number < number:
            reader.read(memoryview(bytearray(CHUNK_BYTES)))
        chunk = reader.read(room)
        if reader.number * CHUNK_BYTES < blob.size_bytes:
            self._park(reader)
        return chunk

    def _take(self, digest: Digest, number: int) -> _Reader | None:
        with self._lock:
            fit = [reader for reader in self._parked if reader.digest == digest and reader.number <= number]
            if not fit:
                return None
            nearest = max(fit, key=lambda reader: reader.number)
            self._parked = [reader for reader in self._parked if reader is not nearest]
            return nearest

    def _park(self, reader: _Reader) -> None:
        with self._lock:
            self._parked.append(reader)
            del self._parked[: -limits.SERVE_FRAMES]
