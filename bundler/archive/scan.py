"""Goes through all members after the inventory, once, and collects every fault (damage.py).

Rules of this module:
- A file is scanned in threads, largest member first; a stream from front to end in one. Both end in the same checks:
  zeros after the last member, the exact size, nothing behind it.
- A fault in one member never hides another: reading goes on behind it. A stream that ended or failed is not read again;
  what it did not give is told member by member.
- Faults are told in the order of the file, so the same bytes give the same list, whatever the threads did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from bundler import limits
from bundler.archive.damage import END, Damage, Integrity, damage_of
from bundler.archive.member_check import DerivedSink, MemberCheck, Sink, SkipSink
from bundler.archive.parallel import Loan, each_with_buffer
from bundler.archive.plan import Member, Plan
from bundler.archive.source import FileSource, StreamSource
from bundler.errors import DamagedError

SinkFor = Callable[[Member], Sink]
Progress = Callable[[int], None]
_Fill = Callable[[memoryview, int], int]


def scan_file(
    source: FileSource, plan: Plan, sink_for: SinkFor, *, threads: int, progress: Progress | None
) -> Integrity:
    """Read every member of a file.

    Args:
        source: the file.
        plan: where its members must lie.
        sink_for: what is done with a member's content; called once for each, in any thread.
        threads: how many members are read at once.
        progress: told the bytes done so far, head included; called from any thread, never from two at once.
    """
    meter = _Meter(plan.members[0].offset, progress)
    largest_first = sorted(plan.members, key=lambda member: member.size_bytes, reverse=True)

    def check(member: Member, loan: Loan) -> tuple[Damage, ...]:
        return _check_member(_Tap(source.fill, loan, meter), member, sink_for(member))

    found = each_with_buffer(largest_first, check, threads=threads, buffer_bytes=_buffer_bytes(plan))
    by_offset = sorted(zip(largest_first, found, strict=True), key=lambda pair: pair[0].offset)
    damages = [damage for _, member_damages in by_offset for damage in member_damages]
    damages += _check_end(source.fill, plan, meter)
    damages += _check_file(source, plan)
    return Integrity(tuple(damages), meter.done_bytes)


def scan_stream(source: StreamSource, plan: Plan, sink_for: SinkFor, *, progress: Progress | None) -> Integrity:
    """Read every member of a stream that stands right after the inventory; arguments as for `scan_file`."""
    meter = _Meter(plan.members[0].offset, progress)
    buffer = memoryview(bytearray(_buffer_bytes(plan)))
    cursor = _StreamCursor(source)
    tap = _Tap(cursor.fill, Loan(buffer, threading.Event()), meter)
    damages: list[Damage] = []
    for member in plan.members:
        damages += _check_member(tap, member, sink_for(member))
    damages += _check_end(cursor.fill, plan, meter)
    damages += _check_nothing_behind(source, cursor, buffer[:1])
    return Integrity(tuple(damages), meter.done_bytes)


def scan_headers(source: FileSource, plan: Plan) -> Integrity:
    """Check headers, padding, derived members and the end of a file, without reading the contents of blobs."""
    meter = _Meter(plan.members[0].offset, None)
    tap = _Tap(source.fill, Loan(memoryview(bytearray(_buffer_bytes(plan))), threading.Event()), meter)
    damages: list[Damage] = []
    for member in plan.members:
        damages += _check_header(tap, source.size_bytes, member)
    damages += _check_end(source.fill, plan, meter)
    damages += _check_file(source, plan)
    return Integrity(tuple(damages), meter.done_bytes)


def _buffer_bytes(plan: Plan) -> int:
    """Large enough to keep the disk busy, no larger than the largest member."""
    largest = max(member.end_offset - member.offset for member in plan.members)
    return min(limits.READ_BUFFER_BYTES, largest)


class _Meter:
    """Counts bytes over all threads."""

    def __init__(self, start: int, progress: Progress | None) -> None:
        self._lock = threading.Lock()
        self._progress = progress
        self.done_bytes = start

    def add(self, count: int) -> None:
        with self._lock:
            self.done_bytes += count
            if self._progress is not None:
                self._progress(self.done_bytes)


class _Tap:
    """Hands bytes from a source to a check, through one buffer."""

    def __init__(self, fill: _Fill, loan: Loan, meter: _Meter) -> None:
        self._fill = fill
        self._loan = loan
        self._meter = meter

    def feed(self, check: MemberCheck, offset: int, end: int) -> None:
        while offset < end and not self._loan.stop.is_set():
            view = self._loan.buffer[: end - offset]
            count = self._fill(view, offset)
            check.feed(view[:count])
            offset += count
            self._meter.add(count)
            if count < len(view):
                raise _truncated(offset)


class _StreamCursor:
    """`fill` over a stream: offsets only ever grow, so they are not looked at; after a failure nothing is read."""

    def __init__(self, source: StreamSource) -> None:
        self._source = source
        self.stopped: DamagedError | None = None

    def fill(self, view: memoryview, offset: int) -> int:
        if self.stopped is not None:
            raise self.stopped.with_traceback(None)
        try:
            count = self._source.read_into(view)
        except DamagedError as error:
            self.stopped = error
            raise
        if count < len(view):
            self.stopped = _truncated(offset + count)
        return count


def _check_member(tap: _Tap, member: Member, sink: Sink) -> tuple[Damage, ...]:
    check = MemberCheck(member, sink)
    try:
        tap.feed(check, member.offset, member.end_offset)
    except DamagedError as stop:
        return check.finish(stop)
    return check.finish(None)


def _check_header(tap: _Tap, file_bytes: int, member: Member) -> tuple[Damage, ...]:
    if member.derived is not None:
        return _check_member(tap, member, DerivedSink(member.derived))
    check = MemberCheck(member, SkipSink())
    content_end = member.content_offset + member.size_bytes
    try:
        tap.feed(check, member.offset, member.content_offset)
        if content_end > file_bytes:
            raise _truncated(file_bytes)
        check.skip_content()
        tap.feed(check, content_end, member.end_offset)
    except DamagedError as stop:
        return check.finish(stop)
    return check.finish(None)


def _check_end(fill: _Fill, plan: Plan, meter: _Meter) -> list[Damage]:
    """The zeros after the last member: less than nine blocks."""
    zeros = memoryview(bytearray(plan.file_bytes - plan.members_end))
    try:
        count = fill(zeros, plan.members_end)
    except DamagedError as error:
        return [damage_of(error, END, None)]
    meter.add(count)
    damages = [Damage(END, None, "end", "a byte that is not zero")] if any(zeros[:count]) else []
    if count < len(zeros):
        damages.append(damage_of(_truncated(plan.members_end + count), END, None))
    return damages


def _check_file(source: FileSource, plan: Plan) -> list[Damage]:
    if source.size_bytes > plan.file_bytes:
        return [_trailing(f"{source.size_bytes - plan.file_bytes} bytes")]
    try:
        source.check_unchanged()
    except DamagedError as error:
        return [damage_of(error, END, None)]
    return []


def _check_nothing_behind(source: StreamSource, cursor: _StreamCursor, one_byte: memoryview) -> list[Damage]:
    if cursor.stopped is not None:
        return []
    try:
        return [_trailing("more")] if source.read_into(one_byte) else []
    except DamagedError as error:
        return [damage_of(error, END, None)]


def _trailing(amount: str) -> Damage:
    return Damage(END, None, "trailing-data", f"{amount} behind the end")


def _truncated(offset: int) -> DamagedError:
    return DamagedError("truncated", "bundle", got=f"the file ends at offset {offset}", want="more")
