"""What an export asks of its caller: a passphrase, a judgement of the finished file, and where to show progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bundler.value import dataclass
from trust_root.key_files import Passphrase
from trust_root.keys import Signer

if TYPE_CHECKING:
    from bundler.export.collect import CollectedImage


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


def accept(_path: Path) -> None:
    """No judgement beyond the exporter's own checks."""


def nothing_further(_collected: tuple[CollectedImage, ...], _signer: Signer) -> tuple[CollectedImage, ...]:
    """No images beside those asked for."""
    return ()


@dataclass(frozen=True, slots=True)
class Hooks:
    """The caller's part.

    Attributes:
        passphrase: gives the passphrase for the key file of this name.
        signer: opens the exporter's key; None: it is `exporter.pem` in the request's folder of keys.
        verify_file: judges the finished file before it gets its name; raises to end the export.
        progress: begins a piece of work, by title and number of bytes, and shows how far it is.
        progress_each: the same for several things at once: a title, and the number of bytes of each by name.
        further: gives images that are made from those collected, and may sign what it says of them.
    """

    passphrase: Passphrase
    signer: Callable[[], Signer] | None = None
    verify_file: Callable[[Path], None] = accept
    progress: Callable[[str, int], AbstractContextManager[Bar]] = silent
    progress_each: Callable[[str, Mapping[str, int]], AbstractContextManager[Bars]] = silent_each
    further: Callable[[tuple[CollectedImage, ...], Signer], tuple[CollectedImage, ...]] = nothing_further
