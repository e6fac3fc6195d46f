"""The head of a bundle: README and the members below `trust/`, read under caps, with nothing trusted yet.

Rules of this module (FORMAT.md, "Order of checks"):
- The first line of README is judged before anything else: another format number is unsupported, no such line is not a
  bundle. Then header, text and padding must be exactly format 1's.
- Below `trust/`, name and size come from the header, which has one spelling (ustar.py); names must stand in the one
  order (names.py); sizes are bounded one by one and in sum before anything is read.
- The name of a target is the hash of its content. All else about these files is the trust root's business.
- Reading stops after the header of `inventory.json`: what stands there is compared, never interpreted, once the trust
  metadata has told the inventory's length and digest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from bundler import limits
from bundler.archive.names import INVENTORY_NAME, TRUST_PREFIX, TrustOrder
from bundler.archive.source import Source
from bundler.archive.ustar import (
    BLOCK_BYTES,
    README_NAME,
    format_header,
    member_bytes,
    padding_bytes,
    parse_header,
)
from bundler.digest import sha256_of
from bundler.errors import DamagedError, UnsupportedError
from bundler.value import dataclass
from bundler.version import FORMAT_VERSION

_FIRST_LINE = re.compile(rb"Sealift bundle, format ([1-9][0-9]{0,8})\n")
_TARGETS = "targets/"


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the inventory's content.

    Attributes:
        trust_files: content by name below `trust/`.
        inventory_header: the 512 bytes before the inventory, not compared yet.
        end_offset: where the inventory's content starts.
    """

    trust_files: Mapping[str, bytes]
    inventory_header: bytes
    end_offset: int


@cache
def readme_text() -> bytes:
    """The constant content of README, part of the format number."""
    return Path(__file__).with_name("bundle_readme.txt").read_bytes()


def read_head(source: Source) -> Head:
    """Read up to the content of the inventory.

    Raises:
        UnsupportedError: another format number (code ``format``).
        DamagedError: not a bundle (``not-a-bundle``), or one whose head does not derive.
    """
    offset = _read_readme(source)
    order = TrustOrder()
    files: dict[str, bytes] = {}
    total_bytes = 0
    while True:
        header = read_exactly(source, BLOCK_BYTES, "header")
        name, size_bytes = parse_header(header)
        if name == INVENTORY_NAME:
            break
        short_name = name.removeprefix(TRUST_PREFIX)
        if short_name == name:
            raise DamagedError("trust-order", "member", name, got="not here", want="a name below trust/")
        total_bytes += size_bytes
        _check_size(name, size_bytes, order.accept(short_name))
        _check_size("trust/", total_bytes, limits.TRUST_TOTAL_BYTES)
        files[short_name] = _read_content(source, name, size_bytes)
        _check_target_name(short_name, files[short_name])
        offset += member_bytes(size_bytes)
    order.finish()
    return Head(MappingProxyType(files), header, offset + BLOCK_BYTES)


def read_exactly(source: Source, size_bytes: int, member: str) -> bytes:
    """The next `size_bytes` of the head.

    Raises:
        DamagedError: the source ends before (code ``truncated``).
    """
    buffer = bytearray(size_bytes)
    count = source.read_into(memoryview(buffer))
    if count < size_bytes:
        raise DamagedError("truncated", "bundle", member, got=f"an end after {count} bytes", want=f"{size_bytes}")
    return bytes(buffer)


def read_padding(source: Source, size_bytes: int, member: str) -> None:
    """Read the padding after a content of `size_bytes`.

    Raises:
        DamagedError: a byte that is not zero (code ``padding``), or an early end.
    """
    if any(read_exactly(source, padding_bytes(size_bytes), member)):
        raise DamagedError("padding", "bundle member", member, got="a byte that is not zero", want="zeros")


def _read_readme(source: Source) -> int:
    text = readme_text()
    expected = format_header(README_NAME, len(text)) + text + bytes(padding_bytes(len(text)))
    first = bytearray(2 * BLOCK_BYTES)
    count = source.read_into(memoryview(first))
    match = _FIRST_LINE.match(first, BLOCK_BYTES)  # what was not read is zeros, which no first line holds
    if match is None:
        if 0 < count < len(first) and expected.startswith(first[:count]):
            raise DamagedError("truncated", "bundle", README_NAME, got=f"an end after {count} bytes", want="a bundle")
        raise DamagedError("not-a-bundle", "bundle", got="another beginning", want="a file that `sealift export` wrote")
    version = int(match[1])
    if version != FORMAT_VERSION:
        raise UnsupportedError(
            "format", "bundle", got=f"format {version}", want=f"format {FORMAT_VERSION}", hints=["use a newer sealift"]
        )
    rest = read_exactly(source, len(expected) - len(first), README_NAME)
    if first + rest != expected:
        raise DamagedError("readme", "bundle member", README_NAME, got="another text or header", want="format 1's")
    return len(expected)


def _read_content(source: Source, name: str, size_bytes: int) -> bytes:
    content = read_exactly(source, size_bytes, name)
    read_padding(source, size_bytes, name)
    return content


def _check_target_name(short_name: str, content: bytes) -> None:
    if short_name.startswith(_TARGETS):
        digest = sha256_of(content)
        if digest.hex != short_name.removeprefix(_TARGETS):
            raise DamagedError("trust-target-digest", "bundle member", short_name, got=str(digest), want="its name")


def _check_size(name: str, size_bytes: int, maximum: int) -> None:
    if size_bytes > maximum:
        raise DamagedError("limits", "bundle member", name, got=f"{size_bytes} bytes", want=f"at most {maximum}")
