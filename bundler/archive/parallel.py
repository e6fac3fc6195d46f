"""Work over many items in a few threads, each with one reused buffer.

Rules of this module:
- Threads pay because `hashlib` and `preadv` release the interpreter's lock; nothing here starts a process.
- Results come back in the order of the items, whatever the order in which threads finished.
- The first exception stops all threads and is raised again; so does Ctrl-C in the calling thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bundler import limits

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def default_threads() -> int:
    """As many threads as this process may use cores, within the limit that memory sets."""
    return min(len(os.sched_getaffinity(0)), limits.VERIFY_THREADS)


def each_with_buffer(
    items: Sequence[_Item], work: Callable[[_Item, memoryview], _Result], *, threads: int, buffer_bytes: int
) -> list[_Result]:
    """Call `work(item, buffer)` for every item.

    Args:
        items: in the order in which they are started: put the largest first, so that no thread ends late.
        work: gets a buffer that no other thread uses meanwhile.
        threads: how many at once, at least 1.
        buffer_bytes: size of each thread's buffer.

    Returns:
        the results in the order of `items`.
    """
    run = _Run(items, work, buffer_bytes)
    others = [threading.Thread(target=run.take_items, daemon=True) for _ in range(min(threads, len(items)) - 1)]
    try:
        for thread in others:
            thread.start()
        run.take_items()
        for thread in others:
            thread.join()
    finally:
        run.stop()
    if run.error is not None:
        raise run.error
    return [run.results[position] for position in range(len(items))]


class _Run(Generic[_Item, _Result]):
    def __init__(self, items: Sequence[_Item], work: Callable[[_Item, memoryview], _Result], buffer_bytes: int) -> None:
        self._items = items
        self._work = work
        self._buffer_bytes = buffer_bytes
        self._lock = threading.Lock()
        self._next = 0
        self.results: dict[int, _Result] = {}
        self.error: BaseException | None = None

    def take_items(self) -> None:
        buffer = memoryview(bytearray(self._buffer_bytes))
        try:
            while (position := self._take()) is not None:
                self.results[position] = self._work(self._items[position], buffer)
        except BaseException as error:  # noqa: BLE001 - carried to the calling thread, which raises it
            self.error = self.error or error
            self.stop()

    def stop(self) -> None:
        with self._lock:
            self._next = len(self._items)

    def _take(self) -> int | None:
        with self._lock:
            if self._next >= len(self._items):
                return None
            self._next += 1
            return self._next - 1
