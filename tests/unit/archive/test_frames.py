"""Frames: written one way, read within bounds (THREATS F10)."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.archive.frames import FrameReader, Stored, compress_to, decompress
from bundler.archive.zstd_frame import FrameWalker
from bundler.digest import sha256_of
from bundler.errors import DamagedError
from tests.simulators.bad_frames import CONTENT, FrameCase, frame_cases
from tests.simulators.bundles import flip_bit
from tests.simulators.zstd_frames import frame, run_blocks

MIB = 1 << 20
TEXT = b"".join(b"line %d of a text that packs well\n" % number for number in range(100_000))
CASES = [pytest.param(case, id=case.title) for case in frame_cases()]


def compress(content: bytes) -> tuple[bytes, Stored]:
    target = io.BytesIO()
    stored = compress_to(io.BytesIO(content), target, len(content))
    return target.getvalue(), stored


@pytest.mark.parametrize("size_bytes", [0, 1, 255, 256, 65535, 65536, 131072, 131073, MIB, 2 * MIB, 3 * MIB + 1])
def test_round_trip_at_every_kind_of_size(size_bytes: int) -> None:
    for content in (bytes(size_bytes), TEXT[:size_bytes], Random(1).randbytes(size_bytes)):
        raw, stored = compress(content)
        assert stored == Stored(len(raw), sha256_of(raw), sha256_of(content))
        assert decompress(raw, len(content)) == content


def test_what_a_frame_declares() -> None:
    raw, _ = compress(TEXT)
    declared = zstandard.get_frame_parameters(raw)
    assert declared.content_size == len(TEXT)
    assert declared.window_size <= 8 * MIB
    assert declared.has_checksum
    assert declared.dict_id == 0


def test_the_bytes_are_the_same_for_any_number_of_threads_but_zero() -> None:
    content = TEXT * 4
    raw, _ = compress(content)
    for threads in (1, 2, 4):
        other = zstandard.ZstdCompressor(level=3, threads=threads, write_checksum=True, write_dict_id=False)
        assert other.compress(content) == raw


def test_the_bytes_do_not_depend_on_how_the_source_reads() -> None:
    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 70_001) if size is not None and size >= 0 else size)

    target = io.BytesIO()
    compress_to(Dripping(TEXT), target, len(TEXT))
    assert target.getvalue() == compress(TEXT)[0]


@pytest.mark.parametrize("size_bytes", [0, len(TEXT) - 1, len(TEXT) + 1, 10 * len(TEXT)])
def test_a_source_of_another_size_is_refused(size_bytes: int) -> None:
    with pytest.raises(DamagedError) as error:
        compress_to(io.BytesIO(TEXT), io.BytesIO(), size_bytes)
    assert error.value.code == "content-size"


def test_a_target_that_takes_little_at_a_time_gets_all() -> None:
    class Narrow(io.BytesIO):
        def write(self, raw: bytes | memoryview) -> int:  # type: ignore[override]
            return super().write(raw[:1000])

    target = Narrow()
    compress_to(io.BytesIO(TEXT), target, len(TEXT))
    assert target.getvalue() == compress(TEXT)[0]


@pytest.mark.parametrize("case", CASES)
def test_cases(case: FrameCase) -> None:
    for pieces in ([case.frame], [case.frame[position : position + 1] for position in range(len(case.frame))]):
        if len(pieces) > 10_000:
            continue
        if case.code == "good":
            assert b"".join(feed(pieces, case.content_bytes)) == case.content
            continue
        with pytest.raises(DamagedError) as error:
            list(feed(pieces, case.content_bytes))
        assert error.value.code == case.code


def feed(pieces: list[bytes], content_bytes: int) -> Iterator[bytes]:
    reader = FrameReader(content_bytes)
    for piece in pieces:
        yield from reader.feed(memoryview(piece))
    reader.finish()


def test_vectors(root: Path) -> None:
    paths = sorted((root / "tests/vectors/archive/frames").iterdir())
    assert len(paths) > 50
    for path in paths:
        code, _, size = path.stem.split("--")
        if code == "good":
            assert len(decompress(path.read_bytes(), int(size))) == int(size)
            continue
        with pytest.raises(DamagedError) as error:
            decompress(path.read_bytes(), int(size))
        assert error.value.code == code, path.name


def test_vectors_of_others(shared: Path) -> None:
    """Of zstd's own test files only one has a checksum and a size; the good and the broken ones alike are refused."""
    paths = sorted((shared / "vectors" / "zstd").glob("*.zst"))
    assert paths
    verdicts = {path.name: judge(path.read_bytes()) for path in paths}
    assert verdicts.pop("golden-decompression-rle-first-block.zst") == "good"
    assert set(verdicts.values()) == {"frame-checksum"}


def judge(raw: bytes) -> str:
    size_bytes = min(zstandard.get_frame_parameters(raw).content_size, 2 * MIB)
    try:
        content = decompress(raw, size_bytes)
    except DamagedError as error:
        return error.code
    assert content == zstandard.ZstdDecompressor().decompress(raw)
    return "good"


def test_every_truncation_and_extension_is_refused() -> None:
    raw, _ = compress(TEXT[:100_000])
    for end in range(0, len(raw), 7):
        with pytest.raises(DamagedError):
            decompress(raw[:end], 100_000)
    for extra in (b"\0", b"\n", raw, raw[:9], bytes(4096)):
        with pytest.raises(DamagedError) as error:
            decompress(raw + extra, 100_000)
        assert error.value.code == "frame-trailing"


def test_a_flipped_bit_never_gives_another_content() -> None:
    """The checksum has 32 bits and is no defence; but no flip may raise anything odd, or give more than is declared."""
    raw, _ = compress(TEXT[:66_000])
    for position in range(0, len(raw) * 8, 11):
        try:
            content = decompress(flip_bit(raw, position), 66_000)
        except DamagedError:
            continue
        assert content == TEXT[:66_000]


def test_garbage_raises_nothing_odd() -> None:
    random = Random(3)
    head = frame(CONTENT)[:10]
    for _ in range(3000):
        raw = head + random.randbytes(random.randrange(1, 60))
        with pytest.raises(DamagedError):
            decompress(raw, len(CONTENT))


def test_a_bomb_costs_no_memory() -> None:
    """256 MiB of zeros in 8 kB, truthfully declared: it is read, one block at a time."""
    size_bytes = 256 * MIB
    raw = frame(b"", declared_bytes=size_bytes, blocks=run_blocks(b"\0", size_bytes), checksum_bytes=b"\0\0\0\0")
    assert len(raw) < 9000
    largest = given = 0
    tracemalloc.start()
    reader = FrameReader(size_bytes)
    for part in reader.feed(memoryview(raw)[:-4]):
        largest = max(largest, len(part))
        given += len(part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert given == size_bytes
    assert largest <= 128 * 1024
    assert peak < 4 * MIB
    with pytest.raises(DamagedError) as error:  # the checksum is not that of zeros
        list(reader.feed(memoryview(raw)[-4:]))
    assert error.value.code == "frame-content"


@settings(derandomize=True, deadline=None, max_examples=60)
@given(content=st.binary(max_size=3000), cuts=st.lists(st.integers(1, 50), max_size=20))
def test_the_walker_does_not_depend_on_where_pieces_end(content: bytes, cuts: list[int]) -> None:
    raw = compress(content * 50)[0]
    walker = FrameWalker(len(content) * 50)
    left = memoryview(raw)
    sizes = iter(cuts)
    while left:
        piece = left[: next(sizes, len(left))]
        while piece:
            count = walker.step(piece)
            assert 1 <= count <= len(piece)
            piece, left = piece[count:], left[count:]
    walker.finish()
