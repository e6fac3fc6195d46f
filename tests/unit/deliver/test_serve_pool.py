"""The pool of chunks: proved once, shared, bounded; and the log, bounded too."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.archive.buffers import aligned_buffer
from bundler.archive.chunks import CHUNK_BYTES
from bundler.deliver.serving.pool import ChunkPool
from bundler.deliver.serving.request_log import Line, RequestLog
from bundler.digest import Digest
from bundler.errors import DamagedError, EnvError
from tests.simulators.deliveries import NOW

LIMIT = 3 * CHUNK_BYTES
WAIT_SECONDS = 60


class Counted:
    """A content that counts how often it was read, fails when told to, and waits when told to."""

    def __init__(self, number: int = 0, size_bytes: int = 10 * CHUNK_BYTES) -> None:
        self.digest = Digest("sha256", f"{number:064x}")
        self.size_bytes = size_bytes
        self.reads: list[int] = []
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()
        self.turns: threading.Semaphore | None = None

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        if self.turns is None:
            yield
            return
        if not self.turns.acquire(timeout=seconds):
            raise EnvError("serve-busy", "server")
        try:
            yield
        finally:
            self.turns.release()

    def chunk_size(self, number: int) -> int:
        return min(CHUNK_BYTES, self.size_bytes - number * CHUNK_BYTES)

    def read_chunk(self, number: int, room: memoryview) -> memoryview:
        assert self.gate.wait(WAIT_SECONDS)
        self.reads.append(number)
        view = room[: self.chunk_size(number)]
        view[:1] = bytes([number])
        if self.fails:
            raise DamagedError("chunk", "blob")
        return view


@pytest.fixture
def pool() -> ChunkPool:
    return ChunkPool(LIMIT)


def test_a_chunk_is_read_once(pool: ChunkPool) -> None:
    content = Counted()
    for _ in range(3):
        with pool.lease(content, 2) as chunk:
            assert (len(chunk), chunk[0], chunk.readonly) == (CHUNK_BYTES, 2, True)
    assert content.reads == [2]
    pool.close()


def test_a_chunk_is_read_once_for_all_who_want_it_at_once(pool: ChunkPool) -> None:
    content = Counted()
    content.gate.clear()
    together = threading.Barrier(9)

    def want() -> int:
        together.wait(WAIT_SECONDS)
        with pool.lease(content, 1) as chunk:
            return chunk[0]

    with ThreadPoolExecutor(8) as crowd:
        answers = [crowd.submit(want) for _ in range(8)]
        together.wait(WAIT_SECONDS)
        content.gate.set()
        assert [answer.result(WAIT_SECONDS) for answer in answers] == [1] * 8
    assert content.reads == [1]
    pool.close()


def test_chunks_stay_until_room_is_wanted(pool: ChunkPool) -> None:
    content = Counted()
    for number in (0, 1, 2, 0, 3, 0, 1):
        with pool.lease(content, number) as chunk:
            assert chunk[0] == number
    assert content.reads == [0, 1, 2, 3, 1]
    assert pool.peak_bytes == LIMIT
    pool.close()


def test_a_chunk_in_use_is_never_given_away(pool: ChunkPool) -> None:
    content = Counted()
    with pool.lease(content, 0) as first, pool.lease(content, 1) as second:
        for number in (2, 3, 4, 5):
            with pool.lease(content, number):
                pass
        assert (first[0], second[0]) == (0, 1)
    pool.close()


def test_who_wants_room_waits_for_it(pool: ChunkPool) -> None:
    content = Counted()
    got = threading.Event()

    def want() -> None:
        with pool.lease(content, 9):
            got.set()

    with pool.lease(content, 0), pool.lease(content, 1):
        with pool.lease(content, 2):
            waiting = threading.Thread(target=want)
            waiting.start()
            assert not got.wait(0.05)
        assert got.wait(WAIT_SECONDS)
    waiting.join(WAIT_SECONDS)
    pool.close()


def test_nobody_waits_without_end(pool: ChunkPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.SERVE_CHUNK_WAIT_SECONDS", 0.02)
    content = Counted()
    with pool.lease(content, 0), pool.lease(content, 1), pool.lease(content, 2):
        with pytest.raises(EnvError) as caught, pool.lease(content, 3):
            pass
        assert caught.value.code == "serve-busy"
    with pool.lease(content, 3):
        pass
    pool.close()


def test_a_failure_is_told_to_all_and_kept_for_none(pool: ChunkPool) -> None:
    content = Counted()
    content.fails = True
    for _ in range(2):
        with pytest.raises(DamagedError), pool.lease(content, 0):
            pass
    assert content.reads == [0, 0]
    content.fails = False
    with pool.lease(content, 0) as chunk:
        assert chunk[0] == 0
    others = [pool.lease(content, number) for number in (1, 2)]
    for other in others:
        other.__enter__()
    for other in others:
        other.__exit__(None, None, None)
    assert pool.peak_bytes <= LIMIT
    pool.close()


def test_reading_ahead_takes_no_room_from_anybody(pool: ChunkPool) -> None:
    content = Counted()
    with pool.lease(content, 0), pool.lease(content, 1), pool.lease(content, 2):
        pool.prepare(content, 3)
        pool.close()  # waits for what is being read
    assert content.reads == [0, 1, 2]


def test_reading_ahead_fails_in_silence(pool: ChunkPool) -> None:
    content = Counted()
    content.fails = True
    pool.prepare(content, 0)
    pool.close()
    pool.prepare(content, 1)  # after the end: nothing
    assert content.reads == [0]
    content.fails = False
    with pool.lease(content, 0) as chunk:
        assert chunk[0] == 0


def test_small_chunks_take_small_room(pool: ChunkPool) -> None:
    small = [Counted(number, 1000) for number in range(100)]
    for content in small:
        with pool.lease(content, 0) as chunk:
            assert len(chunk) == 1000
    assert pool.peak_bytes == 100_000
    large = Counted(1000)
    for number in range(5):
        with pool.lease(large, number):
            pass
    assert pool.peak_bytes <= LIMIT
    for content in small:
        with pool.lease(content, 0):
            pass
    assert pool.peak_bytes <= LIMIT
    pool.close()


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), max_size=30))
def test_any_order_stays_within_the_limit(wanted: list[tuple[int, int, bool]]) -> None:
    pool = ChunkPool(LIMIT)
    contents = [Counted(0), Counted(1), Counted(2, 5000), Counted(3, CHUNK_BYTES + 1)]
    for which, place, fails in wanted:
        content = contents[which]
        number = min(place, (content.size_bytes - 1) // CHUNK_BYTES)
        content.fails = fails
        try:
            with pool.lease(content, number) as chunk:
                assert (chunk[0], len(chunk)) == (number, content.chunk_size(number))
        except DamagedError:
            assert fails
    assert pool.peak_bytes <= LIMIT
    pool.close()


def test_who_waits_for_a_turn_holds_no_room(pool: ChunkPool) -> None:
    """Frames whose ends are far away fill no room while they wait: others get theirs."""
    slow, quick = Counted(1), Counted(2)
    slow.turns = threading.Semaphore(1)
    slow.gate.clear()

    def take(number: int) -> int:
        with pool.lease(slow, number) as chunk:
            return chunk[0]

    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(take, number) for number in range(8)]
        for number in range(4):
            with pool.lease(quick, number) as chunk:
                assert chunk[0] == number
        assert slow.reads == []
        slow.gate.set()
        assert [outcome.result(WAIT_SECONDS) for outcome in waiting] == list(range(8))


def test_who_gets_no_turn_is_told(pool: ChunkPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.SERVE_CHUNK_WAIT_SECONDS", 0.01)
    content = Counted()
    content.turns = threading.Semaphore(0)
    with pytest.raises(EnvError) as caught, pool.lease(content, 0):
        pass
    assert caught.value.code == "serve-busy"
    pool.prepare(content, 1)
    pool.close()
    assert content.reads == []
    content.turns.release()
    with pool.lease(content, 0) as chunk:
        assert chunk[0] == 0


@pytest.mark.parametrize("size_bytes", [1, 63, 64, 65, 4096, CHUNK_BYTES])
def test_buffers_are_as_long_as_wanted(size_bytes: int) -> None:
    buffer = aligned_buffer(size_bytes)
    assert (len(buffer), buffer.readonly, bytes(buffer[:64])) == (size_bytes, False, bytes(min(size_bytes, 64)))


def test_the_log_is_escaped_cut_and_counted() -> None:
    lines: list[str] = []
    now = [NOW]
    log = RequestLog(lines.append, lambda: now[0])
    log.tell(Line("::1", "GET", "/\x1b[2J\u202e" + "a" * 5000, 404, 10, "note"))
    assert "\\x1b[2J\\u202e" in lines[0]
    assert len(lines[0]) < 600
    for _ in range(1000):
        log.tell(Line("::1", "", "", 0, 0))
    log.note("never dropped")
    assert len(lines) == 201
    now[0] += timedelta(seconds=1)
    log.tell(Line("::1", "GET", "/", 200, 1))
    assert lines[-2].endswith("801 more requests, not shown")
    assert lines[-1].endswith("::1 GET / 200 1")


def test_a_log_that_cannot_be_written_stops_nothing_and_is_counted() -> None:
    lines: list[str] = []
    now, is_full = [NOW], [True]

    def write(line: str) -> None:
        if is_full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        lines.append(line)

    log = RequestLog(write, lambda: now[0])
    for _ in range(3):
        log.tell(Line("::1", "GET", "/", 200, 1))
        log.note("a note")
        now[0] += timedelta(seconds=1)
    is_full[0] = False
    log.tell(Line("::1", "GET", "/", 200, 1))
    assert [line.partition(" ")[2] for line in lines] == ["6 more requests, not shown", "::1 GET / 200 1"]
