"""Where a trust repository's files come from: a function that the caller hands in.

Rules of this module:
- trust_root opens no connection. A `Fetch` takes a path below the repository and gives the file's bytes, unverified.
- Only "it is not there" is None. Whatever is unclear (no answer, no permission, too many bytes) is an error.
- Paths are data from others: a folder is never left through them.
- A folder holds a percent-encoded name as it is, or decoded, as a web server looks for it there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from bundler.errors import EnvError, TooLongError, TrustError
from bundler.safe_file import read_bounded


class Fetch(Protocol):
    """Gets one file of a trust repository."""

    def __call__(self, path: str, max_bytes: int) -> bytes | None:
        """The bytes of a file, or None when the repository says that it has no such file.

        Args:
            path: below the repository, parts joined by `/`, e.g. `3.root.json`. Role names in it are percent-encoded.
            max_bytes: a larger file is refused, and no more than one byte above is read.

        Raises:
            EnvError: no answer, or an unclear one. TooLongError: more than `max_bytes`.
            TrustError: the path leads out of the repository (code ``fetch-path``).
        """


def directory_fetch(folder: Path) -> Fetch:
    """Files of a repository in a folder: a copy on a stick, or a mounted share.

    Raises:
        EnvError: there is no such folder (code ``file-absent``).
    """
    if not folder.is_dir():
        raise EnvError("file-absent", "trust repository", str(folder), got="no such folder", want="a folder")

    def read(parts: tuple[str, ...], max_bytes: int) -> bytes | None:
        try:
            return read_bounded(folder.joinpath(*parts), max_bytes, "file of the trust repository")
        except EnvError as error:
            if error.code == "file-absent":
                return None
            if error.code == "file-size":
                raise TooLongError(error.code, error.what, error.which, got=error.got, want=error.want) from error
            raise

    def fetch(path: str, max_bytes: int) -> bytes | None:
        raw = read(path_parts(path), max_bytes)
        decoded = _decoded_parts(path) if raw is None else ()
        return read(decoded, max_bytes) if decoded else raw

    return fetch


def _decoded_parts(path: str) -> tuple[str, ...]:
    """The parts of a path once it is decoded; none if that changes nothing, or leads elsewhere."""
    decoded = unquote(path)
    try:
        return path_parts(decoded) if decoded != path else ()
    except TrustError:
        return ()


def below(fetch: Fetch, folder: str) -> Fetch:
    """The same source, with all paths below `folder`, e.g. `metadata`."""
    prefix = folder.strip("/")
    path_parts(prefix)

    def fetch_below(path: str, max_bytes: int) -> bytes | None:
        return fetch(f"{prefix}/{path}", max_bytes)

    return fetch_below


def path_parts(path: str) -> tuple[str, ...]:
    """The parts of a path that stays below where it starts.

    Raises:
        TrustError: empty, absolute, `.` or `..` in it, a NUL or a backslash (code ``fetch-path``).
    """
    parts = tuple(path.split("/"))
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        raise TrustError("fetch-path", "path in a trust repository", path[:160], got="leads elsewhere", want="a/b.json")
    return parts
