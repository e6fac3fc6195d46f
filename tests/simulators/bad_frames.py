"""Frames that must be refused, and some odd ones that must not (THREATS F10): code, title, signed size, stored bytes.

The code `good` marks frames that the format allows. Every frame here would be hashed truthfully by the inventory: what
is tested is the guard behind the hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.simulators.zstd_frames import RAW, RESERVED, RLE, block, frame, raw_blocks, run_blocks, skippable

CONTENT = b"what the inventory signed " * 40
MIB = 1 << 20


@dataclass(frozen=True)
class FrameCase:
    """One frame. `content` is what it must give when the code is `good`."""

    code: str
    title: str
    content_bytes: int
    frame: bytes
    content: bytes = b""


def frame_cases() -> Iterator[FrameCase]:
    """Every case."""
    yield from _good()
    yield from _sizes()
    yield from _headers()
    yield from _blocks()
    yield from _around()


def _case(code: str, title: str, raw: bytes, size_bytes: int = len(CONTENT)) -> FrameCase:
    return FrameCase(code, title, size_bytes, raw)


def _good() -> Iterator[FrameCase]:
    size = len(CONTENT)
    yield FrameCase("good", "raw-blocks", size, frame(CONTENT), CONTENT)
    yield FrameCase("good", "single-segment", size, frame(CONTENT, window=None), CONTENT)
    yield FrameCase("good", "size-in-8-bytes", size, frame(CONTENT, size_field_bytes=8), CONTENT)
    yield FrameCase("good", "size-in-2-bytes", size, frame(CONTENT, size_field_bytes=2), CONTENT)
    yield FrameCase("good", "window-8-mib", size, frame(CONTENT, window=13 << 3), CONTENT)
    ended = [block(RAW, CONTENT), block(RAW, b"", last=True)]
    yield FrameCase("good", "empty-last-block", size, frame(CONTENT, blocks=ended), CONTENT)
    zeros = bytes(MIB)
    yield FrameCase("good", "runs-of-zeros", MIB, frame(zeros, blocks=run_blocks(b"\0", MIB)), zeros)
    nested = frame(CONTENT)
    yield FrameCase("good", "a-frame-in-a-frame", len(nested), frame(nested), nested)
    yield FrameCase("good", "no-content", 0, frame(b"", window=None, size_field_bytes=4), b"")


def _sizes() -> Iterator[FrameCase]:
    size = len(CONTENT)
    yield _case("frame-size", "declares-one-more", frame(CONTENT, declared_bytes=size + 1))
    yield _case("frame-size", "declares-one-less", frame(CONTENT, declared_bytes=size - 1))
    yield _case("frame-size", "declares-nothing", frame(CONTENT, declared_bytes=None))
    yield _case("frame-size", "declares-2-63", frame(CONTENT, declared_bytes=2**63, size_field_bytes=8))
    yield _case("frame-size", "declares-all-ones", frame(CONTENT, declared_bytes=2**64 - 1, size_field_bytes=8))
    yield _case("frame-content", "gives-less-than-it-declares", frame(CONTENT[:-1], declared_bytes=size))
    longer = frame(CONTENT + b"!", declared_bytes=size)
    yield _case("frame-content", "gives-more-than-it-declares", longer)
    zeros = 256 * MIB
    bomb = run_blocks(b"\0", zeros)
    yield _case("frame-size", "bomb-1-to-32000", frame(CONTENT, declared_bytes=zeros, blocks=bomb))
    yield _case("frame-content", "bomb-that-hides", frame(CONTENT, declared_bytes=100_000, blocks=bomb), 100_000)


def _headers() -> Iterator[FrameCase]:
    yield _case("frame-window", "window-2-gib", frame(CONTENT, window=21 << 3))
    yield _case("frame-window", "window-8-mib-and-an-eighth", frame(CONTENT, window=13 << 3 | 1))
    yield _case("frame-window", "window-largest", frame(CONTENT, window=0xFF))
    large = 8 * MIB + 1
    runs = run_blocks(b"\0", large)
    yield _case("frame-window", "single-segment-over-8-mib", frame(bytes(large), window=None, blocks=runs), large)
    for length in (1, 2, 4):
        yield _case("frame-dictionary", f"dictionary-id-{length}", frame(CONTENT, dictionary=b"\x07" * length))
    yield _case("frame-dictionary", "dictionary-id-zero", frame(CONTENT, dictionary=b"\0"))
    yield _case("frame-checksum", "checksum-off", frame(CONTENT, checksum=False))
    yield _case("frame-content", "checksum-wrong", frame(CONTENT, checksum_bytes=b"\0\0\0\0"))
    yield _case("frame-header", "reserved-bit", frame(CONTENT, reserved=0x08))
    yield _case("frame-header", "unused-bit", frame(CONTENT, reserved=0x10))
    yield _case("frame-magic", "magic-v0.7", frame(CONTENT, magic=b"\x27\xb5\x2f\xfd"))
    yield _case("frame-magic", "no-magic", frame(CONTENT, magic=b""))
    yield _case("frame-magic", "gzip", b"\x1f\x8b\x08\x00" + bytes(30))
    yield _case("frame-magic", "the-content-itself", CONTENT)
    yield _case("frame-truncated", "empty", b"")


def _blocks() -> Iterator[FrameCase]:
    whole = raw_blocks(CONTENT)
    yield _case("frame-block", "empty-block-within", frame(CONTENT, blocks=[block(RAW, b""), *whole]))
    yield _case("frame-block", "empty-run", frame(CONTENT, blocks=[block(RLE, b"x", 0), *whole]))
    yield _case("frame-block", "empty-run-at-the-end", frame(CONTENT, blocks=[block(RAW, CONTENT), b"\x03\0\0x"]))
    yield _case("frame-block", "empty-compressed", frame(CONTENT, blocks=[block(2, b""), *whole]))
    yield _case("frame-block", "reserved-type", frame(CONTENT, blocks=[block(RESERVED, CONTENT, last=True)]))
    huge = bytes(128 * 1024 + 1)
    yield _case("frame-block", "block-over-128-kib", frame(huge, blocks=[block(RAW, huge, last=True)]), len(huge))
    over = bytes(2048)
    yield _case("frame-block", "block-over-window", frame(over, window=0, blocks=[block(RAW, over, last=True)]), 2048)
    yield _case("frame-content", "compressed-garbage", frame(CONTENT, blocks=[block(2, b"\xff" * 9, last=True)]))
    many = [block(RAW, b"")] * 1000
    yield _case("frame-block", "a-thousand-empty-blocks", frame(CONTENT, blocks=[*many, *whole]))


def _around() -> Iterator[FrameCase]:
    good = frame(CONTENT)
    yield _case("frame-trailing", "two-frames", good + good)
    yield _case("frame-trailing", "second-frame-empty", good + frame(b"", window=None))
    yield _case("frame-trailing", "skippable-after", good + skippable(b"hidden"))
    yield _case("frame-magic", "skippable-before", skippable(b"hidden") + good)
    yield _case("frame-magic", "only-skippable", skippable(b"hidden"))
    yield _case("frame-trailing", "one-byte-after", good + b"\0")
    yield _case("frame-trailing", "newline-after", good + b"\n")
    yield _case("frame-truncated", "without-checksum-bytes", good[:-4])
    yield _case("frame-truncated", "one-byte-short", good[:-1])
    yield _case("frame-truncated", "only-the-header", good[:10])
    yield _case("frame-truncated", "only-the-magic", good[:4])
    no_last = frame(CONTENT, blocks=[block(RAW, CONTENT)], checksum_bytes=b"")
    yield _case("frame-truncated", "no-last-block", no_last)
