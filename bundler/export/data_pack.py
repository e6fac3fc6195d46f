"""A folder's files as one blob: a zip without compression, the same bytes on every machine (archive/FORMAT.md).

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.

Rules of this module:
- Only `*.json`, in ascending order of their names (bytes of UTF-8); everything else in the folder is left aside. Links
  are refused: they lead out of what was named.
- Dated 1980-01-01, as the format's first day; no modes, no owners, no comments; zip64 only where it must be.
- Nothing is written: the bytes are made as they are read, once to hash them and once to write the bundle. A file that
  changes in between gives another digest, and ends the export.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from bundler import limits
from bundler.errors import MalformedError
from bundler.safe_file import disk_errors, read_bounded
from bundler.value import dataclass

_WHAT = "vulnerability data"
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF
_VERSION, _VERSION_64 = 20, 45
_UTF8 = 1 << 11
_FIRST_DAY = (1 << 5) | 1  # 1980-01-01


@dataclass(frozen=True, slots=True)
class _Written:
    name: bytes
    crc: int
    size_bytes: int
    offset: int


class PackedFolder(io.RawIOBase):
    """The packed form of a folder, as a stream that is read once from its beginning."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._pieces = _pack(folder)
        self._rest = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fill `target` as far as there are bytes."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _pack(folder: Path) -> Iterator[bytes]:
    written: list[_Written] = []
    offset = 0
    for label, path in packed_files(folder):
        raw = read_file(path)
        entry = _Written(label, zlib.crc32(raw), len(raw), offset)
        written.append(entry)
        yield _local(entry)
        yield raw
        offset += _LOCAL.size + len(label) + len(raw)
        if offset > limits.OSV_TOTAL_BYTES:
            raise MalformedError("limits", _WHAT, str(folder), got="more bytes", want=f"{limits.OSV_TOTAL_BYTES}")
    start = offset
    for entry in written:
        line = _central(entry)
        offset += len(line)
        yield line
    yield _end(len(written), offset - start, start)


def read_file(path: Path) -> bytes:
    """One file as it is packed.

    Raises:
        EnvError: unreadable, or larger than a reader would take (``file-size``).
    """
    return read_bounded(path, limits.OSV_RECORD_BYTES, _WHAT)


def packed_files(folder: Path) -> list[tuple[bytes, Path]]:
    """Every `*.json` with its name in the zip, sorted.

    Raises:
        MalformedError: none (``data-empty``), links (``data-link``), names that others would read otherwise
            (``zip-name``), too many or too deep (``limits``). EnvError: the disk.
    """
    found: list[tuple[bytes, Path]] = []
    pending = [(folder, 0)]
    while pending:
        place, depth = pending.pop()
        if depth > limits.OSV_FOLDER_DEPTH:
            raise MalformedError("limits", _WHAT, str(place), got="deeper", want=f"{limits.OSV_FOLDER_DEPTH} folders")
        with disk_errors(_WHAT, place), os.scandir(place) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_symlink():
                    raise MalformedError("data-link", _WHAT, entry.path, got="a symbolic link", want="files")
                if entry.is_dir():
                    pending.append((path, depth + 1))
                elif entry.name.endswith(".json"):
                    found.append((_label(path, folder), path))
        if len(found) > limits.OSV_RECORDS:
            raise MalformedError("limits", _WHAT, str(folder), got="more files", want=f"{limits.OSV_RECORDS}")
    if not found:
        raise MalformedError("data-empty", _WHAT, str(folder), got="no *.json", want="some")
    return sorted(found)


def _label(path: Path, folder: Path) -> bytes:
    name = path.relative_to(folder).as_posix()
    try:
        label = name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedError("zip-name", _WHAT, ascii(name)[:160], got="not UTF-8", want="a name") from error
    if len(name) > limits.OSV_NAMES_CHARACTERS or "\\" in name or not name.isprintable():
        raise MalformedError("zip-name", _WHAT, name[:160], got="a name that others read otherwise", want="another")
    return label


def _flags(name: bytes) -> int:
    return 0 if name.isascii() else _UTF8


def _local(entry: _Written) -> bytes:
    size = entry.size_bytes
    fixed = (_VERSION, _flags(entry.name), 0, 0, _FIRST_DAY, entry.crc, size, size, len(entry.name), 0)
    return _LOCAL.pack(b"PK\x03\x04", *fixed) + entry.name


def _central(entry: _Written) -> bytes:
    large = entry.offset >= _MAX_32
    extra = struct.pack("<2HQ", 1, 8, entry.offset) if large else b""
    version = _VERSION_64 if large else _VERSION
    size, offset = entry.size_bytes, _MAX_32 if large else entry.offset
    fixed = (version, version, _flags(entry.name), 0, 0, _FIRST_DAY, entry.crc, size, size)
    return _CENTRAL.pack(b"PK\x01\x02", *fixed, len(entry.name), len(extra), 0, 0, 0, 0, offset) + entry.name + extra


def _end(count: int, length: int, start: int) -> bytes:
    large = count >= _MAX_16 or length >= _MAX_32 or start >= _MAX_32
    parts = b""
    if large:
        sizes = (count, count, length, start)
        parts = _END_64.pack(b"PK\x06\x06", _END_64.size - 12, _VERSION_64, _VERSION_64, 0, 0, *sizes)
        parts += _LOCATOR.pack(b"PK\x06\x07", 0, start + length, 1)
    count, length, start = min(count, _MAX_16), min(length, _MAX_32), min(start, _MAX_32)
    return parts + _END.pack(b"PK\x05\x06", 0, 0, count, count, length, start, 0)
