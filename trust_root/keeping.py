"""Contents that a site keeps of accepted deliveries, beside its state.

    kept/<sha256>         the contents
    content/<sha256>      the list of them: a document of whoever keeps them; the state names its digest

Rules of this module:
- The list belongs to a generation of the state: it is written before it, and named in it, so a list that was cut, put
  back from an old copy, or changed is noticed (`state-damaged`).
- Contents are written before the list that names them, and removed after a list that does not. What a killed run has
  left is removed with the next change.
- Everything is hashed again when it is read, before its first byte is handed out.
- What the contents mean is not known here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, TrustError
from bundler.safe_file import disk_errors, new_file, read_bounded, temporary_beside
from bundler.value import dataclass
from trust_root.state_log import state_damaged

_FOLDER = "kept"
_WHAT = "kept content"


@dataclass(frozen=True, slots=True)
class KeptNow:
    """The list of what is kept after a delivery, and the contents that it names."""

    raw: bytes
    contents: frozenset[Digest]


Keep = Callable[[Path, bytes | None], KeptNow]
"""Writes what is to be kept of a delivery: given the state folder and the list before, under the lock."""


def keep_now(keep: Keep | None, folder: Path, before: Digest | None) -> KeptNow | None:
    """Have it written; the caller holds the lock, and names the list in the generation that follows.

    Raises:
        TrustError: the list before is not what was written (``state-damaged``). EnvError: the disk.
    """
    return None if keep is None else keep(folder, None if before is None else read_list(folder, before))


def kept_path(folder: Path, digest: Digest) -> Path:
    """Where a content lies."""
    return folder / _FOLDER / digest.hex


def write_kept(folder: Path, digest: Digest, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a content unless it is there, whole; what is damaged is written anew. The caller holds the state's lock.

    Raises:
        TrustError: the pieces are another content (``state-damaged``). EnvError: the disk.
    """
    path = kept_path(folder, digest)
    if _is_whole(path, digest):
        return
    with disk_errors(_WHAT, path.parent):
        path.parent.mkdir(mode=0o700, exist_ok=True)
    state = hashlib.sha256()
    with new_file(path, mode=0o600, what=_WHAT) as target:
        for piece in pieces:
            state.update(piece)
            target.write(piece)
        if state.hexdigest() != digest.hex:
            raise state_damaged(f"{_FOLDER}/{digest.hex}", "other bytes, while it was written")


def _is_whole(path: Path, digest: Digest) -> bool:
    if not path.is_file():
        return False
    with disk_errors(_WHAT, path), path.open("rb") as source:
        return _hash(source) == digest.hex


def _hash(source: BinaryIO) -> str:
    state = hashlib.sha256()
    while piece := source.read(limits.READ_BUFFER_BYTES):
        state.update(piece)
    return state.hexdigest()


@contextlib.contextmanager
def open_kept(folder: Path, digest: Digest) -> Iterator[BinaryIO]:
    """A content, hashed, at its beginning.

    Raises:
        TrustError: it is gone or other bytes (``state-damaged``). EnvError: the disk.
    """
    path = kept_path(folder, digest)
    if not path.is_file():
        raise _content_damaged(path, "absent")
    with disk_errors(_WHAT, path), path.open("rb") as source:
        if _hash(source) != digest.hex:
            raise _content_damaged(path, "other bytes")
        source.seek(0)
        yield source


def read_list(folder: Path, digest: Digest) -> bytes:
    """The list that a generation names.

    Raises:
        TrustError: it is gone or other bytes (``state-damaged``). EnvError: the disk.
    """
    path = folder / "content" / digest.hex
    try:
        raw = read_bounded(path, limits.STATE_FILE_BYTES, _WHAT)
    except EnvError as error:
        if error.code in {"file-absent", "file-size", "file-kind"}:
            raise _list_damaged(path, error.got) from error
        raise
    if sha256_of(raw) != digest:
        raise _list_damaged(path, "other bytes")
    return raw


def sweep_kept(folder: Path, wanted: Iterable[Digest], old_list: Digest | None, new_list: Digest | None) -> None:
    """Remove whatever the newest list does not name; the caller holds the state's lock."""
    place = folder / _FOLDER
    names = {digest.hex for digest in wanted}
    with disk_errors(_WHAT, place):
        if place.is_dir():
            for path in place.iterdir():
                if path.name not in names and path.is_file():
                    path.unlink(missing_ok=True)
        if old_list is not None and old_list != new_list:
            (folder / "content" / old_list.hex).unlink(missing_ok=True)


@contextlib.contextmanager
def anonymous_file(folder: Path) -> Iterator[BinaryIO]:
    """A file without a name in `folder`, for reading and writing, gone with the block or the process."""
    path = temporary_beside(folder / _FOLDER)
    with disk_errors("working file", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        path.unlink()
    with os.fdopen(descriptor, "w+b") as target:
        yield target


def _list_damaged(path: Path, got: str) -> TrustError:
    return state_damaged(f"content/{path.name}", got)


def _content_damaged(path: Path, got: str) -> TrustError:
    error = state_damaged(f"{_FOLDER}/{path.name}", got)
    again = (
        "verify the bundle that brought it once more (an older one with --historic): what it brought is written again"
    )
    error.hints = (again, *error.hints)
    return error
