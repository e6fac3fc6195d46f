"""What a client keeps of a repository between two runs: the newest metadata, one file for each role.

Rules of this module:
- Files are kept byte for byte, each under its role's name, percent-encoded, without a version: `targets.json`.
- Nothing in a store is believed because it is there: it is verified again in each run, and only holds versions back.
- A file is whole or absent (safe_file.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from bundler import limits
from bundler.errors import EnvError
from bundler.safe_file import read_bounded, write_atomically

_WHAT = "cached trust metadata"


class Store(Protocol):
    """Metadata by role."""

    def load(self, role: str) -> bytes | None:
        """The bytes kept for a role; None when there are none."""

    def save(self, role: str, raw: bytes) -> None:
        """Keep the bytes for a role."""


class MemoryStore:
    """Keeps everything in memory: each run starts from the pinned root."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def load(self, role: str) -> bytes | None:
        """The bytes kept for a role; None when there are none."""
        return self._files.get(role)

    def save(self, role: str, raw: bytes) -> None:
        """Keep the bytes for a role."""
        self._files[role] = raw


class FolderStore:
    """Keeps files in a folder, which exists.

    Every method raises EnvError when the disk fails, or a file is larger than metadata may be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, role: str) -> bytes | None:
        """The bytes kept for a role; None when there are none."""
        try:
            return read_bounded(self._place(role), limits.TUF_METADATA_BYTES, _WHAT)
        except EnvError as error:
            if error.code == "file-absent":
                return None
            raise

    def save(self, role: str, raw: bytes) -> None:
        """Keep the bytes for a role."""
        write_atomically(self._place(role), raw, what=_WHAT)

    def _place(self, role: str) -> Path:
        return self._folder / f"{quote_role(role)}.json"


def quote_role(role: str) -> str:
    """A role's name as part of a file's name or a URL: no `/` is left in it, and with `.json` it is no `..`."""
    return quote(role, safe="")
