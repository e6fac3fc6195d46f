"""The terminal: progress on long work, tables, and the one door to rich.

Rules: progress goes to stderr and only to a terminal (and not with `--quiet` or TERM=dumb); rich is imported when the
first bar is drawn, so short commands never pay for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bundler.escaping import escape
from bundler.value import dataclass

if TYPE_CHECKING:
    from rich.progress import Progress

_NAME_COLUMNS = 40
_CELL_COLUMNS = 40  # to which plain columns are aligned; longer cells stick out
_TABLE_COLUMNS = 160  # wider ones are hard to follow


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


class Bars:
    """Progress of several things, by name; or the absence of it."""

    def __init__(self, show: Callable[[str, int], None] = lambda _name, _done: None) -> None:
        self._show = show

    def reach(self, name: str, done_bytes: int) -> None:
        """So many bytes of it are done in all."""
        self._show(name, done_bytes)

    def finish(self, name: str) -> None:
        """It is done; its bar stands at its end already."""


@contextlib.contextmanager
def progress_each(title: str, totals: Mapping[str, int], *, quiet: bool = False) -> Iterator[Bars]:
    """A bar for each of several things.

    Args:
        title: what is being done, e.g. `fetching`.
        totals: number of bytes by name.
        quiet: draw nothing.
    """
    if quiet or not _is_watched():
        yield Bars()
        return
    with _bars() as bars:
        tasks = {name: bars.add_task(f"{title} {_short(name)}", total=total) for name, total in totals.items()}
        yield Bars(lambda name, done_bytes: bars.update(tasks[name], completed=done_bytes))


@contextlib.contextmanager
def progress(title: str, total_bytes: int | None, *, quiet: bool = False) -> Iterator[Bar]:
    """A bar with bytes, rate and time left.

    Args:
        title: what is being done, e.g. `verifying`.
        total_bytes: all there is to do, or None when unknown.
        quiet: draw nothing.
    """
    if quiet or not _is_watched():
        yield Bar()
        return
    with _bars() as bars:
        task = bars.add_task(title, total=total_bytes)
        yield Bar(lambda done_bytes: bars.update(task, completed=done_bytes))


def _is_watched() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    rate_and_rest = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    return Progress(text, BarColumn(), *rate_and_rest, console=Console(stderr=True), transient=True)


def _short(name: str) -> str:
    """The end of a long name: that is where images differ."""
    return name if len(name) <= _NAME_COLUMNS else f"…{name[1 - _NAME_COLUMNS :]}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings: a table on a terminal, plain columns in a pipe."""

    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]


Shown = str | Table


def show(items: Iterable[Shown]) -> None:
    """Print lines and tables to stdout.

    On a terminal a table is as wide as that, and folds what is longer. In a pipe nothing is cut or folded, so that
    other programs can search it. Text from outside is escaped.
    """
    table_of = _rich_lines if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else _plain_lines
    for item in items:
        for line in [item] if isinstance(item, str) else table_of(item):
            sys.stdout.write(f"{line}\n")


def _plain_lines(table: Table) -> Iterator[str]:
    rows = [table.headings, *(tuple(escape(cell) for cell in row) for row in table.rows)]
    if len(rows) == 1:
        return
    widths = [min(max(len(row[place]) for row in rows), _CELL_COLUMNS) for place in range(len(table.headings))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _rich_lines(table: Table) -> Iterator[str]:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    if not table.rows:
        return
    console = Console(file=sys.stdout)
    drawn = RichTable(box=None, pad_edge=False, header_style="bold", width=min(console.width, _TABLE_COLUMNS) - 2)
    for heading in table.headings:
        drawn.add_column(heading, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(escape(cell)) for cell in row))
    with console.capture() as drawing:
        console.print(drawn)
    yield from (f"  {line}" for line in drawing.get().splitlines())
