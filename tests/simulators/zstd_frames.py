"""zstd frames built field by field, so that each may lie (RFC 8878, 3.1.1). Deterministic: no encoder is involved.

`frame(content)` is a good frame of the one kind that format 1 allows; every keyword spoils one thing. The checksum of
the content is taken from an encoder, for it is the same whoever computes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import zstandard

MAGIC = b"\x28\xb5\x2f\xfd"
RAW, RLE, COMPRESSED, RESERVED = range(4)
BLOCK_BYTES = 128 * 1024


def block(kind: int, payload: bytes, size_bytes: int | None = None, *, last: bool = False) -> bytes:
    """A block: three bytes of header, then `payload`. For a run, `size_bytes` is how often the one byte repeats."""
    size = len(payload) if size_bytes is None else size_bytes
    return (int(last) | kind << 1 | size << 3).to_bytes(3, "little") + payload


def raw_blocks(content: bytes, *, largest: int = BLOCK_BYTES) -> list[bytes]:
    """`content` in raw blocks, the last one marked."""
    pieces = [content[start : start + largest] for start in range(0, len(content), largest)] or [b""]
    return [block(RAW, piece, last=position == len(pieces) - 1) for position, piece in enumerate(pieces)]


def run_blocks(byte: bytes, count: int) -> list[bytes]:
    """A run of one byte in blocks of 128 KiB: 32 768 times smaller than what it gives."""
    whole, rest = divmod(count, BLOCK_BYTES)
    sizes = [BLOCK_BYTES] * whole + ([rest] if rest else [])
    return [block(RLE, byte, size, last=position == len(sizes) - 1) for position, size in enumerate(sizes)]


def frame(
    content: bytes,
    *,
    magic: bytes = MAGIC,
    window: int | None = 0x58,
    declared_bytes: int | None = -1,
    size_field_bytes: int = 4,
    dictionary: bytes = b"",
    dictionary_flag: int | None = None,
    reserved: int = 0,
    checksum: bool = True,
    checksum_bytes: bytes | None = None,
    blocks: Sequence[bytes] | None = None,
) -> bytes:
    """One frame.

    Args:
        content: what it holds.
        window: the window descriptor (0x58 is 2 MiB); None for a single segment.
        declared_bytes: the size in the header; -1 the true one, None no field.
        size_field_bytes: 2, 4 or 8 bytes for it.
        dictionary: the id's bytes; `dictionary_flag` overrides the flag that fits them.
        reserved: the bits 0x18 of the descriptor.
        checksum: whether the header announces one; `checksum_bytes` overrides it.
        blocks: the blocks; by default raw ones.
    """
    flag = {0: 0, 1: 1, 2: 2, 4: 3}[len(dictionary)] if dictionary_flag is None else dictionary_flag
    declared = len(content) if declared_bytes == -1 else declared_bytes
    size_flag = 0 if declared is None else {2: 1, 4: 2, 8: 3}[size_field_bytes]
    descriptor = size_flag << 6 | (0x20 if window is None else 0) | reserved | (4 if checksum else 0) | flag
    size_field = b"" if declared is None else (declared - (256 if size_field_bytes == 2 else 0))
    header = magic + bytes([descriptor]) + (b"" if window is None else bytes([window])) + dictionary
    if size_field != b"":
        header += int(size_field).to_bytes(size_field_bytes, "little")
    body = b"".join(raw_blocks(content) if blocks is None else blocks)
    return header + body + ((checksum_of(content) if checksum_bytes is None else checksum_bytes) if checksum else b"")


def skippable(payload: bytes, number: int = 0) -> bytes:
    """A skippable frame (RFC 8878, 3.1.2)."""
    return bytes([0x50 + number, 0x2A, 0x4D, 0x18]) + len(payload).to_bytes(4, "little") + payload


def checksum_of(content: bytes) -> bytes:
    """The low four bytes of XXH64, as they end a frame."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)[-4:]
