"""The terminal: progress on long work, and the one door to rich.

Rules: progress goes to stderr and only to a terminal (and not with `--quiet` or TERM=dumb); rich is imported when the
first bar is drawn, so short commands never pay for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator


class Bar:
    """A progress bar, or the absence of one. Callable from one thread at a time."""

    def __init__(self, show: Callable[[int], None] = lambda _: None) -> None:
        self._show = show
        self._done_bytes = 0

    def advance(self, more_bytes: int) -> None:
        """So many more bytes are done."""
        self.reach(self._done_bytes + more_bytes)

    def reach(self, done_bytes: int) -> None:
        """So many bytes are done in all."""
        self._done_bytes = done_bytes
        self._show(done_bytes)


@contextlib.contextmanager
def progress(title: str, total_bytes: int | None, *, quiet: bool = False) -> Iterator[Bar]:
    """A bar with bytes, rate and time left.

    Args:
        title: what is being done, e.g. `verifying`.
        total_bytes: all there is to do, or None when unknown.
        quiet: draw nothing.
    """
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    rate_and_rest = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}")
    with Progress(text, BarColumn(), *rate_and_rest, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=total_bytes)
        yield Bar(lambda done_bytes: bars.update(task, completed=done_bytes))
