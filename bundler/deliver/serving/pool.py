"""Chunks of content in memory: each proved once, shared by all who send it, and never more than there is room for.

Rules of this module:
- A chunk is handed out only after it was proved in the buffer that is handed out (archive/chunks.py); a failure reaches
  everybody who waits for that chunk, and is not kept: who asks again, reads again.
- All chunks together stay below `limits.SERVE_CHUNKS_BYTES`. Chunks that nobody holds stay until room is wanted, the
  one that was wanted longest ago goes first. Who needs room waits in line, for a bounded time; whoever has room and
  reads waits for nobody, so that frames that take long to unpack keep nobody else waiting.
- Reading ahead never takes room that somebody waits for, and never the room of a chunk in use.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bundler import limits
from bundler.archive.buffers import aligned_buffer
from bundler.archive.chunks import CHUNK_BYTES
from bundler.deliver.serving.content import Content
from bundler.digest import Digest
from bundler.errors import DamagedError, EnvError
from bundler.value import dataclass

_SMALL_BYTES = 1024 * 1024  # smaller chunks get a buffer of their own size
_AHEAD = 32  # chunks waiting to be read ahead; more would be forgotten before they are sent

Key = tuple[Digest, int]


@dataclass(slots=True)
class _Entry:
    """A chunk with those who use it; no view while the first of them reads it."""

    room: memoryview
    users: int = 1
    view: memoryview | None = None


class ChunkPool:
    """The chunks of all answers of a server. Thread-safe."""

    def __init__(self, limit_bytes: int = limits.SERVE_CHUNKS_BYTES, *, threads: int = 2) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._spare: list[memoryview] = []
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._changed = threading.Condition()
        self._line: deque[object] = deque()
        self._ahead = ThreadPoolExecutor(threads, thread_name_prefix="prove")
        self._planned: set[Key] = set()
        self.peak_bytes = 0

    @contextmanager
    def lease(self, content: Content, number: int) -> Iterator[memoryview]:
        """One chunk, for as long as the block lasts; whoever keeps the view longer breaks the bound.

        Raises:
            DamagedError: the file no longer holds what was verified. EnvError: no room in time (``serve-busy``).
        """
        entry = self._find(content, number)
        if entry is None:
            with content.turn(limits.SERVE_CHUNK_WAIT_SECONDS):
                entry = self._hold(content, number)
                try:
                    if entry.view is None:
                        self._read(entry, content, number)
                except BaseException:
                    self._release(entry)
                    raise
        view = entry.view
        try:
            if view is None:
                raise RuntimeError("a chunk without bytes")
            yield view
        finally:
            del view
            self._release(entry)

    def prepare(self, content: Content, number: int) -> None:
        """Read a chunk ahead if there is room for it."""
        key = (content.digest, number)
        with self._changed:
            if key in self._entries or key in self._planned or self._line or len(self._planned) >= _AHEAD:
                return
            self._planned.add(key)
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self._ahead.submit(self._read_ahead, content, number)

    def close(self) -> None:
        """No reading ahead any more; what is being read is waited for."""
        self._ahead.shutdown(cancel_futures=True)

    def _find(self, content: Content, number: int) -> _Entry | None:
        """The entry of a chunk that was read, or is being read, held; None when somebody has to read it."""
        key = (content.digest, number)
        with self._changed:
            if not self._is_settled(key):
                self._wait_until(lambda: self._is_settled(key))
            return self._use(key)

    def _use(self, key: Key) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None or entry.view is None:
            return None
        entry.users += 1
        self._entries.move_to_end(key)
        return entry

    def _hold(self, content: Content, number: int) -> _Entry:
        """The entry of a chunk, held. Without a view it is the caller's to read."""
        key = (content.digest, number)
        with self._changed:
            while True:
                if (entry := self._use(key)) is not None:
                    return entry
                if key in self._entries:  # somebody reads it; when that fails, the entry goes and we read ourselves
                    self._wait_until(lambda: self._is_settled(key))
                    continue
                room = self._wait_for_room(key, content.chunk_size(number))
                if room is not None:
                    return self._add(key, room)

    def _is_settled(self, key: Key) -> bool:
        entry = self._entries.get(key)
        return entry is None or entry.view is not None

    def _wait_for_room(self, key: Key, size_bytes: int) -> memoryview | None:
        """Wait in line for room; None when somebody else has begun this chunk meanwhile."""
        room = None if self._line else self._make_room(size_bytes)
        if room is not None:
            return room
        ticket = object()
        self._line.append(ticket)

        def is_served() -> bool:
            nonlocal room
            if key in self._entries:
                return True
            room = self._make_room(size_bytes) if self._line[0] is ticket else None
            return room is not None

        try:
            self._wait_until(is_served)
        finally:
            self._line.remove(ticket)
            self._changed.notify_all()
        return room

    def _wait_until(self, holds: Callable[[], bool]) -> None:
        if not self._changed.wait_for(holds, limits.SERVE_CHUNK_WAIT_SECONDS):
            raise EnvError("serve-busy", "server", got="no room for another chunk in time", want="fewer clients")

    def _make_room(self, size_bytes: int) -> memoryview | None:
        """Room for a chunk: a buffer that is spare, a new one, or that of a chunk that nobody holds; else None."""
        is_large = size_bytes > _SMALL_BYTES
        wanted = CHUNK_BYTES if is_large else size_bytes
        while True:
            if is_large and self._spare:
                return self._spare.pop()
            if self._used_bytes + wanted <= self._limit_bytes:
                room = aligned_buffer(wanted)
                self._used_bytes += wanted
                self.peak_bytes = max(self.peak_bytes, self._used_bytes)
                return room
            if self._spare:
                self._used_bytes -= len(self._spare.pop())
                continue
            idle = next((key for key, entry in self._entries.items() if not entry.users), None)
            if idle is None:
                return None
            self._give_back(self._entries.pop(idle).room)

    def _give_back(self, room: memoryview) -> None:
        """Large buffers are used again: giving memory back and getting it anew costs as much as filling it."""
        if len(room) == CHUNK_BYTES:
            self._spare.append(room)
        else:
            self._used_bytes -= len(room)

    def _add(self, key: Key, room: memoryview) -> _Entry:
        made = self._entries[key] = _Entry(room)
        return made

    def _read(self, entry: _Entry, content: Content, number: int) -> None:
        """Read and prove a chunk, in the content's turn; when that fails, the entry goes."""
        try:
            entry.view = content.read_chunk(number, entry.room).toreadonly()
        finally:
            with self._changed:
                if entry.view is None:
                    del self._entries[content.digest, number]
                    self._give_back(entry.room)
                self._changed.notify_all()

    def _release(self, entry: _Entry) -> None:
        with self._changed:
            entry.users -= 1
            if not entry.users:
                self._changed.notify_all()

    def _read_ahead(self, content: Content, number: int) -> None:
        key = (content.digest, number)
        with self._changed:
            self._planned.discard(key)
        # A failure is told to whoever sends the chunk, who then reads it again; here nobody listens.
        with contextlib.suppress(DamagedError, EnvError), content.turn(0):
            with self._changed:
                if key in self._entries or self._line:
                    return
                room = self._make_room(content.chunk_size(number))
                if room is None:
                    return
                entry = self._add(key, room)
            try:
                self._read(entry, content, number)
            finally:
                self._release(entry)
