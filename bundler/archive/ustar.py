"""Tar headers: one spelling for each (name, size), and nothing else (FORMAT.md, "Headers").

Rules of this module:
- A header is derived, then compared. `parse_header` takes name and size out of a block, but only after formatting them
  again gave the same 512 bytes; so dialects of tar (PAX, GNU long names, links, sparse files, signed checksums,
  negative sizes) cannot occur, and two readers cannot disagree (CVE-2025-62518).
- Fields: mode 0000444; uid, gid, mtime, devmajor, devminor 0; type `0`; magic `ustar`, NUL, `00`; no user, group,
  prefix or link name. These are the bytes that `tar --format=ustar --numeric-owner` writes.
- Size: 11 octal digits and NUL; GNU base-256 from 8 GiB on, and only then.
- Names have 1 to 100 bytes of `[a-z0-9._/-]`, and each part between slashes starts with a letter or digit (so no `..`,
  no absolute path); the constant `README` is the one exception.
"""

from __future__ import annotations

import re

from bundler.errors import DamagedError

BLOCK_BYTES = 512
RECORD_BYTES = 4096  # the file's size is a multiple of this
END_BYTES = 2 * BLOCK_BYTES
README_NAME = "README"

NAME_BYTES = 100
_PART = r"[a-z0-9][a-z0-9._-]*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_OCTAL_LIMIT = 8**11  # 8 GiB
_SIZE_LIMIT = 2**62  # what base-256 readers hold in a signed 64-bit integer, with room to round up
_MODE = b"0000444\0"
_ZERO = b"0000000\0"
_MTIME = b"00000000000\0"
_REGULAR = b"0"
_MAGIC = b"ustar\x0000"
_NO_CHECKSUM = b" " * 8
_SIZE_AT = 124
_CHECKSUM_AT = 148


def format_header(name: str, size_bytes: int) -> bytes:
    """The 512 bytes that stand before a member.

    Args:
        name: the member's name; the caller derived it, so its grammar is a precondition.
        size_bytes: length of the member's content.

    Raises:
        ValueError: a name or a size that the format cannot hold (our own bug).
    """
    if not _is_name(name) or not 0 <= size_bytes < _SIZE_LIMIT:
        raise ValueError(name, size_bytes)
    before = b"".join((name.encode("ascii").ljust(100, b"\0"), _MODE, _ZERO, _ZERO, _format_size(size_bytes), _MTIME))
    after = b"".join((_REGULAR, bytes(100), _MAGIC, bytes(32), bytes(32), _ZERO, _ZERO, bytes(155), bytes(12)))
    checksum = sum(before) + sum(_NO_CHECKSUM) + sum(after)
    return before + b"%06o\0 " % checksum + after


def parse_header(block: bytes) -> tuple[str, int]:
    """Name and size of a member; `format_header` of the result is `block`.

    Raises:
        DamagedError: any other block (code ``header``).
    """
    if len(block) == BLOCK_BYTES:
        name = block[:100].rstrip(b"\0").decode("latin-1")
        size_bytes = _parse_size(block[_SIZE_AT : _SIZE_AT + 12])
        if _is_name(name) and size_bytes is not None and format_header(name, size_bytes) == block:
            return name, size_bytes
    raise DamagedError("header", "bundle header", got="not a header of this format", want="one spelling, one meaning")


def padding_bytes(size_bytes: int) -> int:
    """Zero bytes after a content of `size_bytes`."""
    return -size_bytes % BLOCK_BYTES


def member_bytes(size_bytes: int) -> int:
    """Bytes that a member takes in the file: header, content, padding."""
    return BLOCK_BYTES + size_bytes + padding_bytes(size_bytes)


def end_bytes(members_end: int) -> int:
    """Zero bytes after the last member: two blocks, then up to a multiple of 4096."""
    return END_BYTES + -(members_end + END_BYTES) % RECORD_BYTES


def _is_name(name: str) -> bool:
    return name == README_NAME or (len(name) <= NAME_BYTES and _NAME.fullmatch(name) is not None)


def _format_size(size_bytes: int) -> bytes:
    if size_bytes < _OCTAL_LIMIT:
        return b"%011o\0" % size_bytes
    return b"\x80" + size_bytes.to_bytes(11, "big")


def _parse_size(field: bytes) -> int | None:
    """The number, if it is below the limit; whether it is spelled our way is the caller's comparison."""
    if field[0] == 0x80:
        size_bytes = int.from_bytes(field[1:], "big")
        return size_bytes if size_bytes < _SIZE_LIMIT else None
    if re.fullmatch(rb"[0-7]{11}\0", field):
        return int(field[:11], 8)
    return None
