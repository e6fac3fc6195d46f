"""Where long work shows how far it is: what it calls, and the form that shows nothing.

Rules of this module:
- Whoever works knows nothing of terminals; the caller hands in what shows it (cli/console.py), or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """Shows how far one piece of work is; called from one thread at a time."""

    def advance(self, more_bytes: int) -> None:
        """So many more bytes are done."""

    def reach(self, done_bytes: int) -> None:
        """So many bytes are done in all."""


class Bars(Protocol):
    """Shows how far several pieces of work are, by name; called from one thread at a time."""

    def reach(self, name: str, done_bytes: int) -> None:
        """So many bytes of it are done in all."""

    def finish(self, name: str) -> None:
        """It is done."""


class _SilentBars:
    def reach(self, name: str, done_bytes: int) -> None:
        """Nobody watches."""

    def finish(self, name: str) -> None:
        """Nobody watches."""


class _Silence:
    def advance(self, more_bytes: int) -> None:
        """Nobody watches."""

    def reach(self, done_bytes: int) -> None:
        """Nobody watches."""


@contextmanager
def silent(_title: str, _total_bytes: int) -> Iterator[Bar]:
    """Progress that nobody watches."""
    yield _Silence()


@contextmanager
def silent_each(_title: str, _totals: Mapping[str, int]) -> Iterator[Bars]:
    """Progress of several things that nobody watches."""
    yield _SilentBars()
