"""Tar as others write it, and as attackers bend it (THREATS F8, F9): every way to spell a header but ours.

`dialects(name, size)` and `hostile_headers(size)` give headers of 512 bytes with a right checksum unless that is the
point; `extra_members()` gives whole members (PAX, GNU long names) that change the meaning of the one after them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from bundler.archive.ustar import format_header

_FIELDS = {
    "name": (0, 100),
    "mode": (100, 8),
    "uid": (108, 8),
    "gid": (116, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "checksum": (148, 8),
    "type": (156, 1),
    "linkname": (157, 100),
    "magic": (257, 8),
    "uname": (265, 32),
    "gname": (297, 32),
    "devmajor": (329, 8),
    "devminor": (337, 8),
    "prefix": (345, 155),
    "rest": (500, 12),
}

HOSTILE_NAMES: dict[str, bytes] = {
    "parent": b"../etc/passwd",
    "parent-inside": b"blobs/../../etc/passwd",
    "parent-last": b"blobs/..",
    "only-parent": b"..",
    "absolute": b"/etc/passwd",
    "absolute-double": b"//etc/passwd",
    "backslash": b"blobs\\sha256\\a",
    "backslash-parent": b"..\\windows\\system32",
    "drive": b"c:/windows/system32",
    "drive-backslash": b"C:\\windows",
    "unc": b"\\\\server\\share",
    "url": b"https://example.com/a",
    "stream": b"readme:evil",
    "nul-inside": b"inventory.json\0.evil",
    "newline": b"inventory.json\n",
    "carriage-return": b"inventory.json\r",
    "escape": b"\x1b[2Jinventory.json",
    "tab": b"inventory\t.json",
    "delete": b"inventory.json\x7f",
    "space-last": b"inventory.json ",
    "space-first": b" inventory.json",
    "upper-hex": b"blobs/sha256/" + b"A" * 64,
    "upper-name": b"Inventory.json",
    "upper-trust": b"TRUST/metadata/1.root.json",
    "readme-lower-tail": b"README.md",
    "readme-below": b"trust/README",
    "tilde": b"~root/.ssh/authorized_keys",
    "dollar": b"$HOME/a",
    "glob": b"blobs/*",
    "percent": b"blobs/%2e%2e/a",
    "semicolon": b"a;rm",
    "quote": b"a'b",
    "pipe": b"a|b",
    "dash-first-option": b"--checkpoint-action=exec=sh",
    "utf8-dots": "blobs/\u2025/a".encode(),
    "utf8-slash": "blobs\u2215sha256".encode(),
    "utf8-fullwidth": "\uff49nventory.json".encode(),
    "utf8-cyrillic": "invent\u043ery.json".encode(),
    "utf8-bidi": "inventory\u202ejson.".encode(),
    "utf8-zero-width": "inventory\u200b.json".encode(),
    "utf8-combining": "inventory.jso\u0301n".encode(),
    "utf8-bom": b"\xef\xbb\xbfinventory.json",
    "latin-1": b"inventory\xe9.json",
    "invalid-utf8": b"inventory\xff.json",
    "overlong-slash": b"blobs\xc0\xafsha256",
    "100-bytes-upper": b"B" * 100,
    "empty": b"",
    "at": b"a@b",
    "plus": b"a+b",
    "equals": b"a=b",
    "hash": b"a#b",
    "bracket": b"a[b]",
    "brace": b"a{b}",
    "less": b"<a>",
    "ampersand": b"a&b",
    "exclamation": b"!a",
    "question": b"a?",
    "comma": b"a,b",
    "caret": b"a^b",
    "backtick": b"`a`",
}

# Names within the grammar of names that no member may bear: the order refuses them.
MISPLACED_NAMES = (
    "trust",
    "trust/",
    "trust/metadata",
    "trust/metadata/root.json",
    "trust/metadata/0.root.json",
    "trust/metadata/01.root.json",
    "trust/metadata/2.root.json",
    "trust/metadata/1.root.json.",
    "trust/metadata/1.root.json/",
    "trust/metadata//1.root.json",
    "trust/metadata/./1.root.json",
    "trust/metadata/../1.root.json",
    "trust/metadata/1.timestamp.json",
    "trust/metadata/timestamp.json",
    "trust/metadata/1.snapshot.json",
    "trust/metadata/1.main.json",
    "trust/targets/" + "a" * 63,
    "trust/targets/" + "a" * 65,
    "trust/targets/" + "a" * 64,
    "trust/other",
    "inventory.json.",
    "inventory",
    "oci-layout",
    "index.json",
    "blobs/sha256/" + "a" * 64,
    "readme",
    "..",
    ".",
    "/",
    "-",
)


def patched(header: bytes, **fields: bytes) -> bytes:
    """A header with some fields replaced (padded with NUL) and, unless it is one of them, a right checksum."""
    block = bytearray(header)
    for field, value in fields.items():
        start, length = _FIELDS[field]
        if len(value) > length:
            raise ValueError(field, value)
        block[start : start + length] = value.ljust(length, b"\0")
    if "checksum" not in fields:
        block[148:156] = b"%06o\0 " % checksum(bytes(block))
    return bytes(block)


def checksum(block: bytes) -> int:
    """The sum over a header whose checksum field counts as spaces."""
    return sum(block) - sum(block[148:156]) + 8 * 32


def hostile_headers(size_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Headers that are ours but for a hostile name."""
    for title, name in HOSTILE_NAMES.items():
        yield f"name-{title}", patched(format_header("a", size_bytes), name=name)


def dialects(name: str, size_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Other spellings of the header for `name` and `size_bytes`, by title."""
    good = format_header(name, size_bytes)
    for title, fields in {**_spellings(size_bytes), **_types(), **_owners()}.items():
        yield title, patched(good, **fields)
    yield from _checksums(good)


def _spellings(size_bytes: int) -> dict[str, dict[str, bytes]]:
    return {
        "size-base-256": {"size": b"\x80" + size_bytes.to_bytes(11, "big")},
        "size-base-256-negative": {"size": b"\xff" * 12},
        "size-base-256-huge": {"size": b"\x80" + b"\xff" * 11},
        "size-octal-12-digits": {"size": b"%012o" % size_bytes},
        "size-octal-space": {"size": b"%011o " % size_bytes},
        "size-octal-space-nul": {"size": b"%010o \0" % size_bytes},
        "size-leading-spaces": {"size": b"%11o\0" % size_bytes},
        "size-short": {"size": b"%o\0" % size_bytes},
        "size-signed": {"size": b"+%010o\0" % size_bytes},
        "size-negative": {"size": b"-%010o\0" % size_bytes},
        "size-decimal-digit": {"size": b"00000000009\0"},
        "size-hexadecimal": {"size": b"0x%09x\0" % size_bytes},
        "size-empty": {"size": b""},
        "magic-v7": {"magic": b""},
        "magic-gnu": {"magic": b"ustar  \0"},
        "magic-no-version": {"magic": b"ustar\0  "},
        "magic-version-1": {"magic": b"ustar\x0001"},
        "magic-upper": {"magic": b"USTAR\x0000"},
        "mode-644": {"mode": b"0000644\0"},
        "mode-set-uid": {"mode": b"0004444\0"},
        "mode-with-type": {"mode": b"0100444\0"[:8]},
        "mode-spaces": {"mode": b"   444 \0"},
        "mode-v7": {"mode": b"000444 \0"},
        "mode-empty": {"mode": b""},
        "mtime-1": {"mtime": b"00000000001\0"},
        "mtime-space": {"mtime": b"00000000000 "},
        "mtime-empty": {"mtime": b""},
        "mtime-base-256": {"mtime": b"\x80" + bytes(11)},
        "prefix": {"prefix": b"etc"},
        "prefix-after-nul": {"prefix": b"\0etc"},
        "linkname": {"linkname": b"/etc/passwd"},
        "linkname-after-nul": {"linkname": b"\0etc"},
        "name-after-nul": {"name": b"a\0b"},
        "rest-not-zero": {"rest": b"\0" * 11 + b"x"},
        "star-prefix": {"prefix": bytes(131) + b"00000000000\0" + b"00000000000\0", "rest": bytes(8) + b"tar\0"},
    }


def _types() -> dict[str, dict[str, bytes]]:
    kinds = {
        "v7-regular": b"\0",
        "hard-link": b"1",
        "symbolic-link": b"2",
        "character-device": b"3",
        "block-device": b"4",
        "folder": b"5",
        "fifo": b"6",
        "contiguous": b"7",
        "reserved-8": b"8",
        "pax": b"x",
        "pax-global": b"g",
        "pax-solaris": b"X",
        "gnu-long-name": b"L",
        "gnu-long-link": b"K",
        "gnu-sparse": b"S",
        "gnu-volume": b"V",
        "gnu-multivolume": b"M",
        "gnu-folder": b"D",
        "gnu-old-name": b"N",
        "space": b" ",
        "high": b"\xb0",
    }
    return {f"type-{title}": {"type": kind} for title, kind in kinds.items()}


def _owners() -> dict[str, dict[str, bytes]]:
    cases = {
        "uid": b"0001750\0",
        "gid": b"0001750\0",
        "devmajor": b"0000001\0",
        "devminor": b"0000001\0",
        "uname": b"root",
        "gname": b"root",
    }
    empty = {f"{field}-empty": {field: b""} for field in ("uid", "gid", "devmajor", "devminor")}
    return {f"{field}-set": {field: value} for field, value in cases.items()} | empty


def _checksums(good: bytes) -> Iterator[tuple[str, bytes]]:
    total = checksum(good)
    yield "checksum-wrong", patched(good, checksum=b"%06o\0 " % (total + 1))
    yield "checksum-7-digits", patched(good, checksum=b"%07o\0" % total)
    yield "checksum-space-nul", patched(good, checksum=b"%06o \0" % total)
    yield "checksum-leading-space", patched(good, checksum=b"%6o\0 " % total)
    yield "checksum-two-nuls", patched(good, checksum=b"%06o\0\0" % total)
    yield "checksum-empty", patched(good, checksum=b"")
    high = patched(good, name=b"caf\xe9")
    signed = sum(struct.unpack("512b", high)) - sum(struct.unpack("8b", high[148:156])) + 8 * 32
    yield "checksum-signed", patched(high, checksum=b"%06o\0 " % signed)


def extra_members() -> Iterator[tuple[str, bytes]]:
    """Whole members that would change how the next one is read."""
    for title, record in {
        "path": b"path=../evil",
        "size": b"size=0",
        "size-large": b"size=99999999999",
        "linkpath": b"linkpath=/etc/passwd",
        "comment": b"comment=hello",
        "charset": b"hdrcharset=BINARY",
        "sparse": b"GNU.sparse.major=1",
    }.items():
        for kind in ("x", "g"):
            yield f"pax-{kind}-{title}", _member(f"pax{kind}", kind, _pax_record(record))
    for kind in ("L", "K"):
        yield f"gnu-{kind}", _member("longlink", kind, b"../evil\0")
    yield "gnu-volume", _member("volume", "V", b"")
    yield "empty-file", _member("empty", "0", b"")


def _pax_record(record: bytes) -> bytes:
    length = len(record) + 3
    while len(b"%d " % length) + len(record) + 1 != length:
        length += 1
    return b"%d %s\n" % (length, record)


def _member(name: str, kind: str, content: bytes) -> bytes:
    header = patched(format_header(name, len(content)), type=kind.encode())
    return header + content + bytes(-len(content) % 512)
