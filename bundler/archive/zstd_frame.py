"""The grammar of one zstd frame, without decompressing anything (RFC 8878, 3.1.1; FORMAT.md, "Frames"; THREATS F10).

Rules of this module:
- Exactly one frame. Its header declares the content size that the inventory signed, a checksum, no dictionary, and a
  window of at most 8 MiB; reserved bits are zero. Skippable frames, other magics and bytes after the frame are refused.
- The walker says how many of the next bytes belong to one part of the frame (header, block, checksum). Whoever feeds
  the decompressor part by part gets at most one block (128 KiB) of output for each call, whatever the frame says.
- Only the last block may be empty: a multi-threaded encoder ends so when the content fills its last job. So the work a
  frame causes is bounded by its stored size.
"""

from __future__ import annotations

from bundler import limits
from bundler.errors import DamagedError
from bundler.value import dataclass

MAX_BLOCK_BYTES = 128 * 1024

_MAGIC = b"\x28\xb5\x2f\xfd"
_SIZE_FIELD_BYTES = (0, 2, 4, 8)
_CHECKSUM_BYTES = 4
_BLOCK_HEADER_BYTES = 3
_RAW, _RLE, _RESERVED = 0, 1, 3
_HEADER, _BLOCK_HEADER, _BLOCK, _CHECKSUM, _END = range(5)


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a frame's header declares. Sizes in bytes."""

    header_bytes: int
    content_bytes: int
    window_bytes: int


def frame_header_bytes(descriptor: int) -> int:
    """Length of the header, magic included, from its fifth byte."""
    single_segment = bool(descriptor & 0x20)
    size_flag = descriptor >> 6
    size_bytes = 1 if size_flag == 0 and single_segment else _SIZE_FIELD_BYTES[size_flag]
    return len(_MAGIC) + 1 + (0 if single_segment else 1) + (0, 1, 2, 4)[descriptor & 0x03] + size_bytes


def parse_frame_header(raw: bytes) -> FrameHeader:
    """Parse a whole frame header of the one kind that format 1 allows.

    Raises:
        DamagedError: ``frame-magic``, ``frame-header`` (reserved bits), ``frame-dictionary``, ``frame-checksum``
            (none), ``frame-size`` (none declared), ``frame-window``.
    """
    if raw[:4] != _MAGIC:
        raise _refused("frame-magic", raw[:4].hex(), _MAGIC.hex())
    descriptor = raw[4]
    if descriptor & 0x18:
        raise _refused("frame-header", "reserved bits", "zero")
    if descriptor & 0x03:
        raise _refused("frame-dictionary", "a dictionary", "none")
    if not descriptor & 0x04:
        raise _refused("frame-checksum", "no checksum", "one")
    single_segment = bool(descriptor & 0x20)
    size_field = raw[5 if single_segment else 6 :]
    if not size_field:
        raise _refused("frame-size", "no content size", "the size of the content")
    content_bytes = int.from_bytes(size_field, "little") + (256 if len(size_field) == 2 else 0)
    window_bytes = content_bytes if single_segment else _window_bytes(raw[5])
    if window_bytes > limits.ZSTD_WINDOW_BYTES:
        raise _refused("frame-window", f"{window_bytes} bytes", f"at most {limits.ZSTD_WINDOW_BYTES}")
    return FrameHeader(len(raw), content_bytes, window_bytes)


class FrameWalker:
    """Follows one frame through its stored bytes, handed over in pieces of any size."""

    def __init__(self, content_bytes: int) -> None:
        self._content_bytes = content_bytes
        self._state = _HEADER
        self._pending = bytearray()
        self._wanted = 5
        self._left = 0
        self._last = False
        self._max_block_bytes = MAX_BLOCK_BYTES

    @property
    def header_accepted(self) -> bool:
        """Whether the whole frame header was read, and is one that the format allows."""
        return self._state != _HEADER

    def step(self, piece: memoryview) -> int:
        """How many bytes at the start of `piece` belong to the part of the frame that comes next.

        Args:
            piece: the next stored bytes, at least one.

        Returns:
            a count from 1 to `len(piece)`: all of it within one block, or within one header or checksum.

        Raises:
            DamagedError: the frame breaks its grammar, or `piece` lies after its end (code ``frame-trailing``).
        """
        if self._state == _BLOCK:
            return self._step_block(piece)
        if self._state == _END:
            raise _refused("frame-trailing", "bytes after the frame", "none")
        count = min(self._wanted - len(self._pending), len(piece))
        self._pending += piece[:count]
        if len(self._pending) == self._wanted:
            self._finish_part()
        return count

    def finish(self) -> None:
        """After the last piece.

        Raises:
            DamagedError: the frame has not ended (code ``frame-truncated``).
        """
        if self._state != _END:
            raise _refused("frame-truncated", "an end within the frame", "a whole frame")

    def _step_block(self, piece: memoryview) -> int:
        count = min(self._left, len(piece))
        self._left -= count
        if not self._left:
            self._after_block()
        return count

    def _finish_part(self) -> None:
        part = bytes(self._pending)
        if self._state == _HEADER:
            whole = frame_header_bytes(part[4]) if part[:4] == _MAGIC else len(part)
            if whole > len(part):
                self._wanted = whole
                return
            self._start_blocks(parse_frame_header(part))
        elif self._state == _BLOCK_HEADER:
            self._start_block(int.from_bytes(part, "little"))
        else:
            self._state = _END
        self._pending.clear()

    def _start_blocks(self, header: FrameHeader) -> None:
        if header.content_bytes != self._content_bytes:
            raise _refused("frame-size", f"{header.content_bytes} bytes declared", f"{self._content_bytes}")
        self._max_block_bytes = min(MAX_BLOCK_BYTES, header.window_bytes)
        self._state, self._wanted = _BLOCK_HEADER, _BLOCK_HEADER_BYTES

    def _start_block(self, header: int) -> None:
        self._last, kind, size_bytes = bool(header & 1), header >> 1 & 3, header >> 3
        if kind == _RESERVED:
            raise _refused("frame-block", "a block of the reserved type", "raw, run or compressed")
        if size_bytes > self._max_block_bytes:
            raise _refused("frame-block", f"a block of {size_bytes} bytes", f"at most {self._max_block_bytes}")
        if size_bytes == 0 and not (kind == _RAW and self._last):
            raise _refused("frame-block", "an empty block within the frame", "content in each block but the last")
        self._left = 1 if kind == _RLE else size_bytes
        if self._left:
            self._state = _BLOCK
        else:
            self._after_block()

    def _after_block(self) -> None:
        if self._last:
            self._state, self._wanted = _CHECKSUM, _CHECKSUM_BYTES
        else:
            self._state, self._wanted = _BLOCK_HEADER, _BLOCK_HEADER_BYTES


def _window_bytes(descriptor: int) -> int:
    base = 1 << (10 + (descriptor >> 3))
    return base + base // 8 * (descriptor & 7)


def _refused(code: str, got: str, want: str) -> DamagedError:
    return DamagedError(code, "zstd frame", got=got, want=want)
