"""The terminal: progress on long work, and the one door to rich.

Rules: progress goes to stderr and only to a terminal (and not with `--quiet` or TERM=dumb); rich is imported when the
first bar is drawn, so short commands never pay for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

Advance = Callable[[int], None]


def _nothing(_bytes_done: int) -> None:
    """Progress that nobody watches."""


@contextlib.contextmanager
def progress(title: str, total_bytes: int | None, *, quiet: bool = False) -> Iterator[Advance]:
    """A bar with bytes, rate and time left; yields a function to be told how many more bytes are done.

    Args:
        title: what is being done, e.g. `verifying`.
        total_bytes: all there is to do, or None when unknown.
        quiet: draw nothing.
    """
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=total_bytes)
        yield lambda done: bars.advance(task, done)
