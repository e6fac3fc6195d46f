"""Where the regular files of a tar archive lie, found without unpacking it (POSIX ustar, pax and GNU headers).

This reads archives of *others* (`oci-archive:`), whose contents are named and hashed by OCI descriptors; bundles are
read by archive/reader.py alone.

Rules of this module:
- One reading: bad checksums, sparse files, unknown types, data behind directories or links, truncated members, and pax
  records that redefine things for all members are refused.
- Bounded: number of members, size of pax and long-name headers. Nothing is read but headers.
- Names are only compared, never used as paths. The same name twice is refused, whatever it is.
- Symbolic links are listed with what they say, for those who resolve them within the archive (docker_archive.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from bundler import limits
from bundler.errors import MalformedError
from bundler.value import dataclass

_BLOCK = 512
_REGULAR = (b"0", b"\0", b"7")
_SYMBOLIC_LINK = b"2"
_FOLDER = b"5"
_EMPTY_KINDS = (b"1", b"2", b"3", b"4", _FOLDER, b"6")
_EXTENSIONS = (b"x", b"g", b"L", b"K")
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,8}) ([^=]+)=")


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in the archive: where its bytes start, and how many there are."""

    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TarIndex:
    """What an archive holds, by name, without a leading `./`: regular files, and the targets of symbolic links."""

    members: dict[str, Member]
    links: dict[str, str]


def index_tar(source: BinaryIO, size_bytes: int, what: str) -> TarIndex:
    """Find the regular files of a tar archive, and its symbolic links.

    Args:
        source: the archive, seekable.
        size_bytes: its size.
        what: how errors name it.

    Raises:
        MalformedError: code ``tar``.
    """
    found = TarIndex({}, {})
    names: set[str] = set()
    for name, kind, member, target in _headers(source, size_bytes, what):
        if kind == _FOLDER:
            continue
        plain = name.removeprefix("./")
        if plain in names:
            raise _malformed(what, f"{plain[:120]!r} twice", "each name once")
        names.add(plain)
        if kind in _REGULAR:
            found.members[plain] = member
        elif kind == _SYMBOLIC_LINK:
            found.links[plain] = target
        if len(names) > limits.LAYOUT_MEMBERS:
            raise _malformed(what, "more members", f"at most {limits.LAYOUT_MEMBERS}")
    return found


def _headers(source: BinaryIO, size_bytes: int, what: str) -> Iterator[tuple[str, bytes, Member, str]]:
    position = 0
    changes: dict[str, str] = {}
    while True:
        source.seek(position)
        header = source.read(_BLOCK)
        if not header.strip(b"\0"):
            if changes:
                raise _malformed(what, "a pax header at the end", "a member after it")
            return  # the end mark, or an archive without one: what is missing shows as a missing blob
        _check_sum(header, what)
        kind = header[156:157]
        size = _number(header[124:136], what)
        if "size" in changes and kind not in _EXTENSIONS:
            size = int(changes["size"])
        start = position + _BLOCK
        position = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        if start + size > size_bytes:
            raise _malformed(what, "cut short", f"{start + size} bytes or more")
        if kind in _EXTENSIONS:
            changes |= _extension(kind, _extension_body(source, size, what), what)
            continue
        if kind not in _REGULAR and (kind not in _EMPTY_KINDS or size):
            raise _malformed(what, f"a member of type {kind!r} with {size} bytes", "files, folders and links")
        target = changes.get("linkpath", _text(header[157:257]))
        yield changes.get("path", _ustar_name(header)), kind, Member(start, size), target
        changes = {}


def _check_sum(header: bytes, what: str) -> None:
    if len(header) != _BLOCK:
        raise _malformed(what, "cut short", "whole blocks")
    wanted = sum(header) - sum(header[148:156]) + 8 * 0x20
    if _number(header[148:156], what) != wanted:
        raise _malformed(what, "a header with a wrong checksum", "an uncompressed tar archive")


def _number(field: bytes, what: str) -> int:
    if field[0] == 0x80:  # GNU base-256, for sizes from 8 GiB
        value = int.from_bytes(field[1:], "big")
        if value > limits.BLOB_BYTES:
            raise _malformed(what, "a size out of bounds", f"at most {limits.BLOB_BYTES}")
        return value
    match = _OCTAL.fullmatch(field)
    if match is None:
        if not field.strip(b" \0"):
            return 0
        raise _malformed(what, f"number {field!r}", "octal digits")
    return int(match[1], 8)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _ustar_name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")


def _extension_body(source: BinaryIO, size: int, what: str) -> bytes:
    if size > limits.TAR_EXTENSION_BYTES:
        raise _malformed(what, f"a header extension of {size} bytes", f"at most {limits.TAR_EXTENSION_BYTES}")
    return source.read(size)


def _extension(kind: bytes, body: bytes, what: str) -> dict[str, str]:
    if kind in (b"K", b"L"):
        return {"linkpath" if kind == b"K" else "path": _text(body)}
    records = dict(_pax_records(body, what))
    if any(key.startswith("GNU.sparse") for key in records):
        raise _malformed(what, "a sparse file", "files stored whole")
    records = {key: value for key, value in records.items() if key in ("path", "linkpath", "size")}
    if kind == b"g" and records:
        raise _malformed(what, "a pax record for all members", "one member each")
    if "size" in records and not (
        records["size"].isascii() and records["size"].isdigit() and len(records["size"]) < 17
    ):
        raise _malformed(what, f"pax size {records['size'][:40]!r}", "digits")
    return records


def _pax_records(body: bytes, what: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(body):
        match = _PAX_RECORD.match(body, position)
        end = position + int(match[1]) if match else 0
        if match is None or end > len(body) or end <= match.end() or body[end - 1 : end] != b"\n":
            raise _malformed(what, "a broken pax record", "`length key=value`")
        yield (
            match[2].decode("utf-8", "surrogateescape"),
            body[match.end() : end - 1].decode("utf-8", "surrogateescape"),
        )
        position = end


def _malformed(what: str, got: str, want: str) -> MalformedError:
    return MalformedError("tar", "archive", what, got=got, want=want)
