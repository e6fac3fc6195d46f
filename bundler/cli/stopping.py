"""Waiting until somebody says stop: SIGTERM or Ctrl-C, however close to the beginning of the wait it comes.

Rules of this module:
- Python runs a handler between two steps of the main thread only. A signal that comes just before that thread sleeps
  would be heard when it wakes: after minutes. So the wait is for a pipe, into which Python's own C handler writes at
  once (`signal.set_wakeup_fd`).
- A handler takes no lock: what waits may hold it (`threading.Event` has one).
- The second signal ends the process at once.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether somebody said stop, and a way to wait for it."""

    def __init__(self, woken: int) -> None:
        self._woken = woken
        self._is_asked = False

    def ask(self) -> None:
        """Say it."""
        self._is_asked = True

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether it was said. Other signals may end a wait early."""
        if not self._is_asked and select.select([self._woken], [], [], seconds)[0]:
            os.read(self._woken, 64)
        return self._is_asked


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Asked by SIGTERM or Ctrl-C while the block runs. Only the main thread may."""
    reader, writer = os.pipe()
    for end_of_pipe in (reader, writer):
        os.set_blocking(end_of_pipe, False)
    stop = Stop(reader)
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def end(number: int, _frame: object) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop.ask()

    woken_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in before:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        os.close(reader)
        os.close(writer)
