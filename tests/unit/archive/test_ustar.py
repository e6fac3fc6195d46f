"""Tar headers have one spelling."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.archive.ustar import (
    END_BYTES,
    RECORD_BYTES,
    end_bytes,
    format_header,
    member_bytes,
    padding_bytes,
    parse_header,
)
from bundler.errors import DamagedError
from tests.simulators.bundles import flip_bit
from tests.simulators.tar_dialects import HOSTILE_NAMES, dialects, hostile_headers, patched

EIGHT_GIB = 8 << 30
PART = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
NAMES = st.lists(PART, min_size=1, max_size=4).map("/".join)
SIZES = st.one_of(
    st.integers(0, 2**62 - 1), st.sampled_from([0, 1, 511, 512, 513, EIGHT_GIB - 1, EIGHT_GIB, 2**62 - 1])
)


@settings(derandomize=True, deadline=None)
@given(NAMES, SIZES)
def test_parse_and_format_are_inverse(name: str, size_bytes: int) -> None:
    header = format_header(name, size_bytes)
    assert len(header) == 512
    assert parse_header(header) == (name, size_bytes)


def test_exact_bytes() -> None:
    header = format_header("inventory.json", 0o1234)
    assert header[:100] == b"inventory.json".ljust(100, b"\0")
    assert header[100:136] == b"0000444\0" + b"0000000\0" * 2 + b"00000001234\0"
    assert header[136:148] == b"00000000000\0"
    assert header[148:156] == b"%06o\0 " % (sum(header) - sum(header[148:156]) + 256)
    assert header[156:257] == b"0" + bytes(100)
    assert header[257:345] == b"ustar\x0000" + bytes(64) + b"0000000\0" * 2
    assert header[345:] == bytes(167)


@pytest.mark.parametrize(
    ("size_bytes", "field"),
    [
        (EIGHT_GIB - 1, b"77777777777\0"),
        (EIGHT_GIB, b"\x80\0\0\0\0\0\0\x02\0\0\0\0"),
    ],
)
def test_size_turns_to_base_256_at_8_gib(size_bytes: int, field: bytes) -> None:
    assert format_header("a", size_bytes)[124:136] == field


@pytest.mark.parametrize("size_bytes", [0, 1, EIGHT_GIB - 1, EIGHT_GIB, 40 << 30])
def test_python_reads_the_same(size_bytes: int) -> None:
    info = tarfile.TarInfo.frombuf(format_header("blobs/sha256/aa", size_bytes), "ascii", "strict")
    assert (info.name, info.size, info.mode, info.mtime, info.uid, info.type) == (
        "blobs/sha256/aa",
        size_bytes,
        0o444,
        0,
        0,
        tarfile.REGTYPE,
    )


def test_python_writes_the_same_but_for_empty_device_numbers() -> None:
    target = io.BytesIO()
    info = tarfile.TarInfo("blobs/sha256/aa")
    info.size, info.mode = 3, 0o444
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(b"abc"))
    ours = format_header("blobs/sha256/aa", 3)
    assert target.getvalue()[:512] == patched(ours, devmajor=b"", devminor=b"")


def test_every_flipped_bit_is_refused() -> None:
    for header in (format_header("README", 1), format_header("a" * 100, EIGHT_GIB)):
        for position in range(len(header) * 8):
            refuse(flip_bit(header, position))


@pytest.mark.parametrize("length", [0, 1, 511, 513, 1024])
def test_other_lengths_are_refused(length: int) -> None:
    refuse((format_header("a", 0) * 2)[:length])


def test_zero_blocks_are_no_header() -> None:
    refuse(bytes(512))


@pytest.mark.parametrize("size_bytes", [0, 7, 1000])
def test_dialects_are_refused(size_bytes: int) -> None:
    titles = [title for title, _ in dialects("blobs/sha256/" + "a" * 64, size_bytes)]
    assert len(titles) == len(set(titles)) > 70
    for _, header in dialects("blobs/sha256/" + "a" * 64, size_bytes):
        refuse(header)


def test_hostile_names_are_refused() -> None:
    assert len(HOSTILE_NAMES) >= 60
    for _, header in hostile_headers(10):
        refuse(header)


def test_vectors_are_refused(root: Path) -> None:
    paths = sorted((root / "tests/vectors/archive/headers").iterdir())
    assert len(paths) > 130
    for path in paths:
        refuse(path.read_bytes())


@pytest.mark.parametrize(
    "name", ["", "README.md", "a" * 101, "/a", "a/", "a//b", "../a", "a/../b", ".a", "A", "a b", "é"]
)
def test_names_that_the_format_cannot_hold(name: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        format_header(name, 0)


@pytest.mark.parametrize("size_bytes", [-1, 2**62])
def test_sizes_that_the_format_cannot_hold(size_bytes: int) -> None:
    with pytest.raises(ValueError, match=r".*"):
        format_header("a", size_bytes)


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**50))
def test_padding_and_end(size_bytes: int) -> None:
    assert (size_bytes + padding_bytes(size_bytes)) % 512 == 0
    assert 0 <= padding_bytes(size_bytes) < 512
    assert member_bytes(size_bytes) == 512 + size_bytes + padding_bytes(size_bytes)
    end = end_bytes(size_bytes * 512)
    assert END_BYTES <= end < END_BYTES + RECORD_BYTES
    assert (size_bytes * 512 + end) % RECORD_BYTES == 0


def refuse(header: bytes) -> None:
    with pytest.raises(DamagedError) as error:
        parse_header(header)
    assert error.value.code == "header"
