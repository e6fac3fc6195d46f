"""Work over many items in a few threads, each with one reused buffer.

Rules of this module:
- Threads pay because `hashlib` and `preadv` release the interpreter's lock; nothing here starts a process.
- Results come back in the order of the items, whatever the order in which threads finished.
- The first exception stops all threads and is raised again; so does Ctrl-C in the calling thread. Whoever works long on
  one item looks at `Loan.stop`; what it then returns is thrown away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bundler import limits
from bundler.archive.buffers import aligned_buffer
from bundler.value import dataclass

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Loan:
    """What a worker may use: a buffer that no other thread touches meanwhile, and the sign to give up."""

    buffer: memoryview
    stop: threading.Event


def default_threads() -> int:
    """As many threads as this process may use cores, within the limit that memory sets."""
    return min(len(os.sched_getaffinity(0)), limits.VERIFY_THREADS)


def each_with_buffer(
    items: Sequence[_Item], work: Callable[[_Item, Loan], _Result], *, threads: int, buffer_bytes: int
) -> list[_Result]:
    """Call `work(item, loan)` for every item.

    Args:
        items: in the order in which they are started: put the largest first, so that no thread ends late.
        work: what to do with one.
        threads: how many at once, at least 1.
        buffer_bytes: size of each thread's buffer.

    Returns:
        the results in the order of `items`.
    """
    run = _Run(items, work, buffer_bytes)
    count = min(threads, len(items))
    if count > 1:
        _run_threads(run, count)
    else:
        run.take_items()
    return [run.results[position] for position in range(len(items))]


def _run_threads(run: _Run[_Item, _Result], count: int) -> None:
    from concurrent.futures import ThreadPoolExecutor, as_completed  # noqa: PLC0415  inspect needs no threads

    with ThreadPoolExecutor(count, thread_name_prefix="sealift") as pool:
        futures = [pool.submit(run.take_items) for _ in range(count)]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            run.stop.set()


class _Run(Generic[_Item, _Result]):
    def __init__(self, items: Sequence[_Item], work: Callable[[_Item, Loan], _Result], buffer_bytes: int) -> None:
        self._items = items
        self._work = work
        self._buffer_bytes = buffer_bytes
        self._lock = threading.Lock()
        self._next = 0
        self.results: dict[int, _Result] = {}
        self.stop = threading.Event()

    def take_items(self) -> None:
        loan = Loan(aligned_buffer(self._buffer_bytes), self.stop)
        while (position := self._take()) is not None:
            self.results[position] = self._work(self._items[position], loan)

    def _take(self) -> int | None:
        with self._lock:
            if self.stop.is_set() or self._next >= len(self._items):
                return None
            self._next += 1
            return self._next - 1
