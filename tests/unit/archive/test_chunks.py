"""Proved chunks: after one pass every range comes out right, and a byte that changed since never comes out at all."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.archive import chunks
from bundler.archive.chunks import ProvedBlob, StoredHash
from bundler.archive.reader import ArchiveReader, open_archive
from bundler.digest import Digest, sha256_of
from bundler.errors import DamagedError, EnvError, RejectedError
from tests.simulators.bundles import BuiltBundle, build_bundle, sample_inventory

CHUNK = 4096


@pytest.fixture(scope="module")
def built() -> BuiltBundle:
    return build_bundle(*sample_inventory(layer_bytes=5 * CHUNK + 17))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", CHUNK)


@pytest.fixture
def opened(built: BuiltBundle, tmp_path: Path) -> Iterator[ArchiveReader]:
    (tmp_path / "b.tar").write_bytes(built.raw)
    with open_archive(tmp_path / "b.tar") as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        archive.read_members(prove=True).require_whole()
        yield archive


def whole(blob: ProvedBlob, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(bytes(piece) for piece in blob.read(start, end))


def test_every_blob_comes_out_as_it_was_signed(built: BuiltBundle, opened: ArchiveReader) -> None:
    stored = {blob.stored for blob in built.inventory.blobs}
    assert stored == {"raw", "zstd"}
    for digest, content in built.contents.items():
        assert whole(opened.proved_blob(digest)) == content


def test_every_range_is_the_range(built: BuiltBundle, opened: ArchiveReader) -> None:
    for blob in sorted(built.inventory.blobs, key=lambda blob: blob.size_bytes)[-2:]:
        content, random = built.contents[blob.digest], Random(1)
        edges = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, len(content) - 1, len(content), len(content) + 9]
        ranges = [(a, b) for a in edges for b in edges] + [
            (random.randrange(len(content)), random.randrange(len(content) + 1)) for _ in range(50)
        ]
        for start, end in ranges:
            assert whole(opened.proved_blob(blob.digest), start, end) == content[start:end], (start, end)


def test_pieces_are_never_larger_than_a_chunk(built: BuiltBundle, opened: ArchiveReader) -> None:
    for digest in built.contents:
        for piece in opened.proved_blob(digest).read():
            assert 0 < len(piece) <= CHUNK + 128 * 1024  # a frame gives whole blocks


def test_a_byte_that_changed_after_the_pass_is_never_handed_out(
    built: BuiltBundle, opened: ArchiveReader, tmp_path: Path
) -> None:
    largest = max(built.inventory.blobs, key=lambda blob: blob.stored_size_bytes)
    start = built.offset_of(largest.member_name) + 512
    content = built.contents[largest.digest]
    for at in (0, CHUNK - 1, CHUNK, 3 * CHUNK + 5, largest.stored_size_bytes - 1):
        flip(tmp_path / "b.tar", start + at)
        given: list[bytes] = []
        with pytest.raises(DamagedError) as caught:
            given.extend(bytes(piece) for piece in opened.proved_blob(largest.digest).read())
        assert caught.value.code == "chunk"
        assert b"".join(given) == content[: at // CHUNK * CHUNK]
        flip(tmp_path / "b.tar", start + at)
    assert whole(opened.proved_blob(largest.digest)) == content


def test_a_frame_that_changed_after_the_pass_is_never_handed_out(
    built: BuiltBundle, opened: ArchiveReader, tmp_path: Path
) -> None:
    frame = next(blob for blob in built.inventory.blobs if blob.stored == "zstd")
    start = built.offset_of(frame.member_name) + 512
    for at in range(frame.stored_size_bytes):
        flip(tmp_path / "b.tar", start + at)
        with pytest.raises(DamagedError) as caught:
            whole(opened.proved_blob(frame.digest))
        assert caught.value.code == "chunk"
        flip(tmp_path / "b.tar", start + at)


def test_a_file_cut_after_the_pass(built: BuiltBundle, opened: ArchiveReader, tmp_path: Path) -> None:
    largest = max(built.inventory.blobs, key=lambda blob: blob.stored_size_bytes)
    os.truncate(tmp_path / "b.tar", built.offset_of(largest.member_name) + 512 + CHUNK + 1)
    with pytest.raises(DamagedError) as caught:
        whole(opened.proved_blob(largest.digest))
    assert caught.value.code == "chunk"


def test_what_was_damaged_in_the_pass_is_never_proved(built: BuiltBundle, tmp_path: Path) -> None:
    largest = max(built.inventory.blobs, key=lambda blob: blob.stored_size_bytes)
    (tmp_path / "b.tar").write_bytes(built.raw)
    flip(tmp_path / "b.tar", built.offset_of(largest.member_name) + 600)
    with open_archive(tmp_path / "b.tar") as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        assert archive.read_members(prove=True).damaged == {largest.digest}
        assert refusal(archive, largest.digest) == "blob-digest"
        others = set(built.contents) - {largest.digest}
        assert all(whole(archive.proved_blob(digest)) == built.contents[digest] for digest in others)


def test_nothing_is_proved_without_the_pass(built: BuiltBundle, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(built.raw)
    with open_archive(tmp_path / "b.tar") as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        digest = next(iter(built.contents))
        assert refusal(archive, digest) == "blob-digest"
        archive.read_members().require_whole()  # without `prove`
        assert refusal(archive, digest) == "blob-digest"
        with pytest.raises(RejectedError) as caught:
            archive.proved_blob(sha256_of(b"not listed"))
        assert caught.value.code == "blob-absent"


def test_a_later_pass_takes_back_what_an_earlier_one_proved(built: BuiltBundle, tmp_path: Path) -> None:
    largest = max(built.inventory.blobs, key=lambda blob: blob.stored_size_bytes)
    (tmp_path / "b.tar").write_bytes(built.raw)
    with open_archive(tmp_path / "b.tar") as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        assert not archive.prove_blobs([largest.digest])
        before = archive.proved_blob(largest.digest)
        flip(tmp_path / "b.tar", built.offset_of(largest.member_name) + 600)
        assert archive.prove_blobs([largest.digest]) == {largest.digest}
        assert refusal(archive, largest.digest) == "blob-digest"  # not by the seals of the bytes that are damaged
        with pytest.raises(DamagedError) as caught:
            whole(before)
        assert caught.value.code == "chunk"


def test_a_pass_that_ends_early_proves_nothing(built: BuiltBundle, opened: ArchiveReader) -> None:
    def stop(_done_bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.read_members(prove=True, progress=stop)
    assert {refusal(opened, digest) for digest in built.contents} == {"blob-digest"}


def test_a_pipe_cannot_be_read_again(built: BuiltBundle) -> None:
    with open_archive(io.BytesIO(built.raw)) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        archive.read_members(prove=True)
        with pytest.raises(EnvError) as caught:
            archive.proved_blob(next(iter(built.contents)))
        assert caught.value.code == "pipe"


def sealed(pieces: list[bytes]) -> StoredHash:
    made = StoredHash(seal=True)
    for piece in pieces:
        made.update(memoryview(piece))
    assert made.finish() == sha256_of(b"".join(pieces))
    return made


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=3 * CHUNK), max_size=8))
def test_seals_do_not_depend_on_how_the_bytes_came(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    seals = sealed(pieces).seals
    assert seals is not None
    assert len(seals) == -(-len(raw) // CHUNK)
    for number in range(len(seals)):
        seals.verify_chunk(number, memoryview(raw)[number * CHUNK :][:CHUNK], "blob", 0)


@pytest.mark.parametrize(
    "other",
    [
        lambda chunk: chunk[:-1], lambda chunk: chunk + b"\0", lambda _: b"", lambda chunk: bytes(len(chunk)),
        lambda chunk: bytes([chunk[0] ^ 1]) + chunk[1:], lambda chunk: chunk[:-1] + bytes([chunk[-1] ^ 0x80]),
        lambda chunk: chunk[16:32] + chunk[:16] + chunk[32:],
    ],
)  # fmt: skip
def test_no_other_bytes_fit_a_seal(other: Callable[[bytes], bytes]) -> None:
    raw = Random(7).randbytes(3 * CHUNK)
    seals = sealed([raw]).seals
    assert seals is not None
    with pytest.raises(DamagedError) as caught:
        seals.verify_chunk(1, memoryview(other(raw[CHUNK : 2 * CHUNK])), "blob", CHUNK)
    assert caught.value.code == "chunk"


def test_a_seal_holds_for_its_own_chunk_and_blob_only() -> None:
    """Equal chunks, too, have seals of their own: no number and no key is used twice."""
    raw = bytes(2 * CHUNK)
    one, two = sealed([raw]).seals, sealed([raw]).seals
    assert one is not None
    assert two is not None
    assert len({*one._tags, *two._tags}) == 4
    assert one._key.key != two._key.key


def test_memory_holds_one_chunk(opened: ArchiveReader, built: BuiltBundle) -> None:
    largest = max(built.inventory.blobs, key=lambda blob: blob.stored_size_bytes)
    blob = opened.proved_blob(largest.digest)
    tracemalloc.start()
    for piece in blob.read():
        del piece
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * CHUNK


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def refusal(archive: ArchiveReader, digest: Digest) -> str:
    with pytest.raises(DamagedError) as caught:
        archive.proved_blob(digest)
    return caught.value.code
