"""Ctrl-C at a moment that is known by what has happened, and not by how long it should have taken.

with pressed_when(lambda: registry.asked("GET", "/blobs/")):
    fetch()                                                       # and KeyboardInterrupt comes out of it
"""

from __future__ import annotations

import _thread
import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest


@contextlib.contextmanager
def pressed_when(is_time: Callable[[], object]) -> Iterator[None]:
    """A block that Ctrl-C has to end, pressed as soon as `is_time`; never before the block, and never after it."""
    over = threading.Event()

    def press() -> None:
        while not is_time():
            if over.wait(0.01):
                return
        if not over.is_set():
            _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt), _beside(press, over):
        yield


@contextlib.contextmanager
def _beside(work: Callable[[], None], over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=work)
    try:
        thread.start()
        yield
    finally:
        over.set()
        thread.join()
