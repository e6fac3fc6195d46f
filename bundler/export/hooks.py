"""What an export asks of its caller: a passphrase, a judgement of the finished file, and where to show progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.progress import Bar, Bars, silent, silent_each
from bundler.value import dataclass
from trust_root.key_files import Passphrase
from trust_root.keys import Signer

if TYPE_CHECKING:
    from bundler.export.collect import CollectedImage


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
        verify_file: judges the finished file before it gets its name; raises to end the export.
        progress: begins a piece of work, by title and number of bytes, and shows how far it is.
        progress_each: the same for several things at once: a title, and the number of bytes of each by name.
        signer: opens the exporter's key; None: it is `exporter.pem` in the request's folder of keys.
        further: gives images that are made from those collected, and may sign what it says of them.
    """

    passphrase: Passphrase
    verify_file: Callable[[Path], None] = accept
    progress: Callable[[str, int], AbstractContextManager[Bar]] = silent
    progress_each: Callable[[str, Mapping[str, int]], AbstractContextManager[Bars]] = silent_each
    signer: Callable[[], Signer] | None = None
    further: Callable[[tuple[CollectedImage, ...], Signer], tuple[CollectedImage, ...]] = nothing_further
