"""The reader: from a file and from a pipe, each byte once, within bounds, and never more than was proved."""

from __future__ import annotations

import errno
import io
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.archive import source as source_module
from bundler.archive.contents import Blob
from bundler.archive.damage import END
from bundler.archive.head import readme_text
from bundler.archive.inventory import format_inventory, parse_inventory
from bundler.archive.parallel import Loan, each_with_buffer
from bundler.archive.reader import ArchiveReader, Integrity, open_archive
from bundler.archive.ustar import format_header
from bundler.digest import Digest, sha256_of
from bundler.errors import (
    DamagedError,
    EnvError,
    MalformedError,
    RejectedError,
    SealiftError,
    TrustError,
    UnsupportedError,
)
from tests.simulators.bundles import (
    OCI_LAYER,
    BuiltBundle,
    build_bundle,
    layers_only,
    sample_trust_files,
    seeded_flips,
    verdict_of,
    walk_members,
)

MIB = 1 << 20
Opener = Callable[[bytes], ArchiveReader]


@pytest.fixture(scope="module")
def built() -> BuiltBundle:
    return build_bundle()


@pytest.fixture(params=["file", "stream", "pipe"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens bytes as a file, as a stream in memory, or through a pipe that drips."""
    threads: list[threading.Thread] = []
    streams: list[io.FileIO] = []

    def as_file(raw: bytes) -> ArchiveReader:
        (tmp_path / "a.bundle.tar").write_bytes(raw)
        return open_archive(tmp_path / "a.bundle.tar")

    def as_pipe(raw: bytes) -> ArchiveReader:
        read_end, write_end = os.pipe()
        threads.append(threading.Thread(target=drip, args=(write_end, raw)))
        threads[-1].start()
        streams.append(io.FileIO(read_end, "rb"))
        return open_archive(streams[-1])

    yield {"file": as_file, "stream": lambda raw: open_archive(io.BytesIO(raw)), "pipe": as_pipe}[request.param]
    for stream in streams:
        stream.close()
    for thread in threads:
        thread.join()


def drip(write_end: int, raw: bytes) -> None:
    with os.fdopen(write_end, "wb", buffering=0) as target:
        for start in range(0, len(raw), 5000):
            try:
                target.write(raw[start : start + 5000])
            except BrokenPipeError:
                return


def read_all(archive: ArchiveReader, built: BuiltBundle, **options: Any) -> Integrity:
    assert archive.read_inventory(built.inventory_size_bytes, built.inventory_digest) == built.inventory
    return archive.read_members(**options)


# -- good bundles ------------------------------------------------------------------------------------------------------


def test_a_good_bundle(opener: Opener, built: BuiltBundle) -> None:
    with opener(built.raw) as archive:
        assert dict(archive.trust_files) == sample_trust_files()
        integrity = read_all(archive, built, keep=lambda blob: True)
        assert integrity == Integrity((), len(built.raw))
        integrity.require_whole()
        for digest, content in built.contents.items():
            assert archive.read_blob(digest, len(content)) == content


def test_headers_only(opener: Opener, built: BuiltBundle) -> None:
    with opener(built.raw) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        assert archive.check_headers().damages == ()


def test_headers_from_a_pipe_with_what_inspection_needs(opener: Opener, built: BuiltBundle) -> None:
    with opener(built.raw) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        assert archive.check_headers(keep=small).damages == ()
        for blob in filter(small, built.inventory.blobs):
            assert archive.read_blob(blob.digest, MIB) == built.contents[blob.digest]


def test_headers_tell_every_fault_but_those_of_contents(opener: Opener, built: BuiltBundle) -> None:
    raw = bytearray(built.raw)
    header, content, padding = built.inventory.blobs[1], built.inventory.blobs[2], built.inventory.blobs[3]
    raw[built.offset_of(header.member_name) + 100] ^= 1
    raw[built.offset_of(content.member_name) + 512] ^= 1
    raw[built.offset_of(padding.member_name) + 512 + padding.stored_size_bytes] ^= 1
    raw[built.offset_of("index.json") + 600] ^= 1
    raw[-1] ^= 1
    with opener(bytes(raw)) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        integrity = archive.check_headers()
    assert [(damage.member, damage.digest, damage.code) for damage in integrity.damages] == [
        ("index.json", None, "derived-content"),
        (header.member_name, None, "header"),
        (padding.member_name, None, "padding"),
        (END, None, "end"),
    ]


@pytest.mark.parametrize("extra", [b"\0", bytes(4096), b"more"])
def test_nothing_may_follow_the_end(opener: Opener, built: BuiltBundle, extra: bytes) -> None:
    for check in (ArchiveReader.check_headers, ArchiveReader.read_members):
        with opener(built.raw + extra) as archive:
            archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
            assert [(damage.member, damage.code) for damage in check(archive).damages] == [(END, "trailing-data")]


def test_headers_of_a_truncated_bundle(opener: Opener, built: BuiltBundle) -> None:
    victim = built.inventory.blobs[-1]
    with opener(built.raw[: built.offset_of(victim.member_name) + 513]) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        integrity = archive.check_headers()
    assert integrity.damaged == {victim.digest}
    assert {damage.code for damage in integrity.damages} == {"truncated"}


def test_headers_of_a_file_do_not_read_contents(built: BuiltBundle, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    with open_archive(path) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        integrity = archive.check_headers()
    contents = sum(blob.stored_size_bytes for blob in built.inventory.blobs)
    assert integrity.bytes_read == len(built.raw) - contents


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same(built: BuiltBundle, tmp_path: Path, threads: int) -> None:
    path = tmp_path / "a"
    raw = bytearray(built.raw)
    for blob in built.inventory.blobs[2:5]:
        raw[built.offset_of(blob.member_name) + 600] ^= 1
    path.write_bytes(raw)
    told: list[int] = []
    with open_archive(path) as archive:
        integrity = read_all(archive, built, threads=threads, progress=told.append)
    assert [damage.member for damage in integrity.damages if damage.code == "blob-digest"] == [
        blob.member_name for blob in built.inventory.blobs[2:5] if blob.stored_size_bytes > 88
    ]
    assert told == sorted(told)
    assert told[-1] == len(raw) == integrity.bytes_read


def test_standard_input(built: BuiltBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(built.raw)))
    with open_archive("-") as archive:
        assert read_all(archive, built).damages == ()


def test_a_bundle_without_blobs(opener: Opener) -> None:
    built = build_bundle(*layers_only([]))
    with opener(built.raw) as archive:
        assert read_all(archive, built).damages == ()


def test_empty_and_odd_sizes(opener: Opener) -> None:
    random = Random(2)
    contents = [random.randbytes(size) for size in (0, 1, 511, 512, 513, 65535, 65536, 65537, 3 * MIB)]
    built = build_bundle(*layers_only([*contents, bytes(200_000), b"text " * 100_000]))
    assert {blob.stored for blob in built.inventory.blobs} == {"raw", "zstd"}
    with opener(built.raw) as archive:
        assert read_all(archive, built).damages == ()


# -- each byte once, constant memory -----------------------------------------------------------------------------------


def test_each_byte_of_a_file_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built = build_bundle(*layers_only([Random(number).randbytes((3 - number) * MIB) for number in range(2)]))
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    seen = bytearray(len(built.raw))
    real = os.preadv

    def counting(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        count = real(descriptor, buffers, offset)
        seen[offset : offset + count] = bytes(value + 1 for value in seen[offset : offset + count])
        return count

    monkeypatch.setattr(source_module.os, "preadv", counting)
    with open_archive(path) as archive:
        assert read_all(archive, built).damages == ()
    assert seen == b"\1" * len(seen)


@pytest.mark.parametrize("way", ["file", "stream"])
def test_memory_does_not_grow_with_the_bundle(way: str, tmp_path: Path) -> None:
    noise = Random(1).randbytes(10 * MIB)
    packed = bytes(range(256)) * (64 * 1024)
    built = build_bundle(*layers_only([noise, packed, noise[1:], noise[2:]]))
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    tracemalloc.start()
    with path.open("rb") as stream, open_archive(path if way == "file" else stream) as archive:
        assert read_all(archive, built, threads=2).damages == ()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MIB


def test_short_reads_are_continued(built: BuiltBundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    real = os.preadv

    def short(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        return real(descriptor, [buffers[0][:333]], offset)

    monkeypatch.setattr(source_module.os, "preadv", short)
    with open_archive(path) as archive:
        assert read_all(archive, built).damages == ()


# -- what cannot be opened ---------------------------------------------------------------------------------------------


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, code in (
        (tmp_path / "absent", "file-absent"),
        (tmp_path / "fifo", "file-kind"),
        (tmp_path / "folder", "file-kind"),
        (Path("/dev/null"), "file-kind"),
        (tmp_path / "loop", "disk"),
    ):
        with pytest.raises(EnvError) as error:
            open_archive(path)
        assert error.value.code == code


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        bytes(512),
        bytes(10240),
        b"\x1f\x8b\x08" + bytes(2000),
        b"PK\x03\x04" + bytes(2000),
        format_header("other", 10) + bytes(4000),
        readme_text() + bytes(4096),
        b"\n" + format_header("README", 10) + bytes(4000),
    ],
)
def test_what_is_no_bundle(opener: Opener, raw: bytes) -> None:
    with pytest.raises(DamagedError) as error:
        opener(raw)
    assert error.value.code == "not-a-bundle"


@pytest.mark.parametrize("number", [2, 3, 10, 999_999_999])
def test_another_format_number_is_unsupported(opener: Opener, built: BuiltBundle, number: int) -> None:
    text = readme_text().replace(b"format 1\n", b"format %d\n" % number, 1) + b"and more"
    raw = format_header("README", len(text)) + text + built.raw[2048:]
    with pytest.raises(UnsupportedError) as error:
        opener(raw)
    assert error.value.code == "format"


def test_another_format_number_in_a_file_that_ends_early(opener: Opener) -> None:
    """Whatever the next format's README is like: its number is told, and nothing else is looked at."""
    with pytest.raises(UnsupportedError) as error:
        opener(bytes(512) + b"Sealift bundle, format 2\n")
    assert error.value.code == "format"
    with pytest.raises(DamagedError) as damaged:
        opener(format_header("README", len(readme_text())) + b"Sealift bundle, format 1\n")
    assert damaged.value.code == "truncated"


@pytest.mark.parametrize("number", [b"0", b"01", b"1.0", b"-1", b"", b" 1", b"1 ", b"1\r", b"x", b"1" * 10])
def test_a_number_in_another_spelling_is_no_bundle(opener: Opener, number: bytes) -> None:
    text = readme_text().replace(b"format 1\n", b"format " + number + b"\n", 1)
    with pytest.raises(DamagedError) as error:
        opener(format_header("README", len(text)) + text + bytes(20_000))
    assert error.value.code == "not-a-bundle"


def test_another_text_under_the_known_number_is_damage(opener: Opener, built: BuiltBundle) -> None:
    raw = bytearray(built.raw)
    raw[2000] ^= 1
    with pytest.raises(DamagedError) as error:
        opener(bytes(raw))
    assert error.value.code == "readme"


def test_a_failed_open_leaves_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"no bundle")
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(DamagedError):
            open_archive(path)
    assert sorted(os.listdir("/proc/self/fd")) == before


# -- caps of the head --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "value"), [("TRUST_METADATA_BYTES", 9), ("TRUST_TARGET_BYTES", 9), ("TRUST_TOTAL_BYTES", 60), ("ROOTS", 0)]
)
def test_trust_files_are_capped(
    opener: Opener, built: BuiltBundle, monkeypatch: pytest.MonkeyPatch, cap: str, value: int
) -> None:
    monkeypatch.setattr(limits, cap, value)
    with pytest.raises(DamagedError) as error:
        opener(built.raw)
    assert error.value.code == "limits"


@pytest.mark.parametrize("gone", ["1.root", "timestamp", "1.snapshot", "1.targets", "1.main"])
def test_each_metadata_file_is_called_for(opener: Opener, built: BuiltBundle, gone: str) -> None:
    """The one before `targets/` too: what follows it has no place without it, and the inventory none after it."""
    for files in (built.raw, build_bundle(trust_files=_without_targets()).raw):
        places = [*walk_members(files)]
        start = dict(places)[f"trust/metadata/{gone}.json"]
        end = min(offset for _, offset in places if offset > start)
        with pytest.raises(DamagedError) as error:
            opener(files[:start] + files[end:])
        assert error.value.code == "trust-order"


def _without_targets() -> dict[str, bytes]:
    return {name: raw for name, raw in sample_trust_files().items() if name.startswith("metadata/")}


def test_a_claimed_size_costs_no_memory() -> None:
    huge = format_header("trust/metadata/1.root.json", 1 << 60)
    text = readme_text()
    raw = format_header("README", len(text)) + text + bytes(-len(text) % 512) + huge + bytes(5000)
    with pytest.raises(DamagedError) as error:
        open_archive(io.BytesIO(raw))
    assert error.value.code == "limits"


# -- the inventory -----------------------------------------------------------------------------------------------------


def test_an_inventory_with_another_hash(opener: Opener, built: BuiltBundle) -> None:
    with opener(built.raw) as archive:
        with pytest.raises(TrustError) as error:
            archive.read_inventory(built.inventory_size_bytes, sha256_of(b"another"))
        assert error.value.code == "inventory-digest"


@pytest.mark.parametrize("difference", [-1, 1, 512])
def test_an_inventory_of_another_length(opener: Opener, built: BuiltBundle, difference: int) -> None:
    with opener(built.raw) as archive:
        with pytest.raises(DamagedError) as error:
            archive.read_inventory(built.inventory_size_bytes + difference, built.inventory_digest)
        assert error.value.code == "header"


def test_an_inventory_over_the_limit_is_not_read(opener: Opener, built: BuiltBundle) -> None:
    with opener(built.raw) as archive:
        with pytest.raises(MalformedError) as error:
            archive.read_inventory(limits.INVENTORY_BYTES + 1, built.inventory_digest)
        assert error.value.code == "limits"


def test_nothing_is_read_before_the_inventory(built: BuiltBundle) -> None:
    with open_archive(io.BytesIO(built.raw)) as archive:
        for call in (archive.read_members, archive.check_headers):
            with pytest.raises(RuntimeError):
                call()
        with pytest.raises(RejectedError) as error:
            archive.read_blob(built.inventory.blobs[0].digest, MIB)
        assert error.value.code == "blob-absent"


def test_the_inventory_is_hashed_before_it_is_parsed(built: BuiltBundle) -> None:
    raw = bytearray(built.raw)
    start = built.offset_of("inventory.json") + 512
    raw[start : start + 3] = b"{{{"
    with open_archive(io.BytesIO(bytes(raw))) as archive, pytest.raises(TrustError) as error:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
    assert error.value.code == "inventory-digest"


# -- blobs -------------------------------------------------------------------------------------------------------------


def small(blob: Blob) -> bool:
    return blob.size_bytes < 1000


def test_from_a_file_any_blob_can_be_read_at_any_time(built: BuiltBundle, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    with open_archive(path) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        for digest, content in built.contents.items():
            assert archive.read_blob(digest, len(content)) == content


def test_from_a_pipe_only_kept_blobs_can_be_read(built: BuiltBundle) -> None:
    with open_archive(io.BytesIO(built.raw)) as archive:
        read_all(archive, built, keep=small)
        for blob in built.inventory.blobs:
            if small(blob):
                assert archive.read_blob(blob.digest, MIB) == built.contents[blob.digest]
                continue
            with pytest.raises(EnvError) as error:
                archive.read_blob(blob.digest, MIB)
            assert error.value.code == "pipe"


def test_a_blob_larger_than_asked_for(opener: Opener, built: BuiltBundle) -> None:
    with opener(built.raw) as archive:
        read_all(archive, built, keep=small)
        for digest, content in built.contents.items():
            with pytest.raises(MalformedError) as error:
                archive.read_blob(digest, len(content) - 1)
            assert error.value.code == "limits"


def test_a_blob_that_is_not_listed(opener: Opener, built: BuiltBundle) -> None:
    with opener(built.raw) as archive:
        read_all(archive, built)
        with pytest.raises(RejectedError) as error:
            archive.read_blob(sha256_of(b"another"), MIB)
        assert error.value.code == "blob-absent"


def test_what_a_pipe_keeps_is_bounded(built: BuiltBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEPT_IN_MEMORY_BYTES", 500)
    with open_archive(io.BytesIO(built.raw)) as archive, pytest.raises(EnvError) as error:
        read_all(archive, built, keep=lambda blob: True)
    assert error.value.code == "pipe-memory"


def test_what_a_file_keeps_is_bounded_but_readable(
    built: BuiltBundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "KEPT_IN_MEMORY_BYTES", 500)
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    with open_archive(path) as archive:
        assert read_all(archive, built, keep=lambda blob: True).damages == ()
        for digest, content in built.contents.items():
            assert archive.read_blob(digest, len(content)) == content


@pytest.mark.parametrize("storage", ["raw", "zstd"])
def test_a_damaged_blob_is_never_given(built: BuiltBundle, tmp_path: Path, storage: str) -> None:
    victim = next(blob for blob in reversed(built.inventory.blobs) if blob.stored == storage)
    raw = bytearray(built.raw)
    raw[built.offset_of(victim.member_name) + 512] ^= 1
    path = tmp_path / "a"
    path.write_bytes(raw)
    for source in (path, io.BytesIO(bytes(raw))):
        with open_archive(source) as archive:
            integrity = read_all(archive, built, keep=lambda blob: True)
            assert integrity.damaged == {victim.digest}
            with pytest.raises(SealiftError) as error:
                archive.read_blob(victim.digest, MIB)
            assert error.value.code == ("blob-digest" if source == path else "pipe")
            with pytest.raises(DamagedError) as whole:
                integrity.require_whole()
            assert whole.value.code == "blob-digest"


def test_a_file_that_changes_after_the_check_is_caught(built: BuiltBundle, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    victim = built.inventory.blobs[-1]
    with open_archive(path) as archive:
        assert read_all(archive, built).damages == ()
        with path.open("r+b") as other:
            other.seek(built.offset_of(victim.member_name) + 512)
            other.write(b"!")
        with pytest.raises(DamagedError) as error:
            archive.read_blob(victim.digest, MIB)
        assert error.value.code == "blob-digest"
        os.truncate(path, 20_000)
        with pytest.raises(DamagedError) as error:
            archive.read_blob(victim.digest, MIB)
        assert error.value.code == "truncated"


# -- failing media -----------------------------------------------------------------------------------------------------


def test_a_bad_sector_costs_one_member(built: BuiltBundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    victim = built.inventory.blobs[3]
    sector = built.offset_of(victim.member_name) + 512
    fail_at(monkeypatch, sector)
    with open_archive(path) as archive:
        integrity = read_all(archive, built)
        assert [(damage.member, damage.digest, damage.code) for damage in integrity.damages] == [
            (victim.member_name, victim.digest, "read-error")
        ]
        with pytest.raises(DamagedError) as error:
            archive.read_blob(victim.digest, MIB)
        assert error.value.code == "read-error"


def test_a_bad_sector_in_the_head(built: BuiltBundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    for member in ("README", "trust/metadata/1.root.json"):
        fail_at(monkeypatch, built.offset_of(member) + 512)
        with pytest.raises(DamagedError) as error:
            open_archive(path)
        assert error.value.code == "read-error"
    fail_at(monkeypatch, built.offset_of("inventory.json") + 512)
    with open_archive(path) as archive, pytest.raises(DamagedError) as error:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
    assert error.value.code == "read-error"


def test_a_pipe_that_fails(built: BuiltBundle) -> None:
    class Failing(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            if self.tell() + len(buffer) > built.offset_of(built.inventory.blobs[2].member_name):
                raise OSError(errno.EIO, "Input/output error")
            return super().readinto(buffer)

    with open_archive(Failing(built.raw)) as archive:
        integrity = read_all(archive, built)
    assert [damage.code for damage in integrity.damages] == ["read-error"] * (len(built.inventory.blobs) - 2 + 1)
    assert integrity.damaged == {blob.digest for blob in built.inventory.blobs[2:]}


def fail_at(monkeypatch: pytest.MonkeyPatch, sector: int) -> None:
    """A medium on which the 512 bytes at `sector` cannot be read."""
    real = REAL_PREADV

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset < sector + 512 and offset + len(buffers[0]) > sector:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(source_module.os, "preadv", failing)


REAL_PREADV = os.preadv


@pytest.mark.parametrize("change", ["truncate", "extend", "touch"])
def test_a_file_that_changes_while_it_is_read(
    built: BuiltBundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(built.raw)
    trigger = built.offset_of(built.inventory.blobs[-2].member_name)

    def changing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset == trigger:
            if change == "truncate":
                os.truncate(path, trigger + 100)
            elif change == "extend":
                with path.open("ab") as other:
                    other.write(b"more")
            else:
                os.utime(path, (1, 1))
        return REAL_PREADV(descriptor, buffers, offset)

    monkeypatch.setattr(source_module.os, "preadv", changing)
    with open_archive(path) as archive:
        integrity = read_all(archive, built, threads=1)
    codes = {damage.code for damage in integrity.damages}
    assert codes == ({"truncated", "file-changed"} if change == "truncate" else {"file-changed"})
    assert integrity.damages[-1].member == END


# -- giving up ---------------------------------------------------------------------------------------------------------


class EnoughError(Exception):
    """Raised by whoever watches the progress; stands for Ctrl-C."""


def test_an_exception_of_the_watcher_ends_reading(opener: Opener, built: BuiltBundle) -> None:
    def watch(done_bytes: int) -> None:
        raise EnoughError

    with opener(built.raw) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        with pytest.raises(EnoughError):
            archive.read_members(progress=watch)


def test_one_failing_thread_stops_the_others() -> None:
    started: list[int] = []

    def work(item: int, loan: Loan) -> int:
        started.append(item)
        if item == 0:
            raise EnoughError
        loan.stop.wait(timeout=60)
        return item

    with pytest.raises(EnoughError):
        each_with_buffer(range(1000), work, threads=4, buffer_bytes=1)
    assert len(started) <= 4


def test_results_come_in_the_order_of_the_items() -> None:
    def work(item: int, loan: Loan) -> int:
        loan.buffer[0] = item % 256
        return item * item

    for threads in (1, 2, 7):
        squares = each_with_buffer(range(300), work, threads=threads, buffer_bytes=1)
        assert squares == [item * item for item in range(300)]
    assert each_with_buffer([], work, threads=3, buffer_bytes=1) == []


# -- malleability ------------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=2000), unique=True, max_size=5), st.integers(0, 40))
def test_what_is_accepted_is_written_again_byte_for_byte(contents: list[bytes], repeat: int) -> None:
    built = build_bundle(*layers_only(list({content * 4 ** (repeat % 4): None for content in contents})))
    with open_archive(io.BytesIO(built.raw)) as archive:
        assert read_all(archive, built, keep=lambda blob: True).damages == ()
        kept = {digest: archive.read_blob(digest, len(content)) for digest, content in built.contents.items()}
        again = build_bundle(parse_inventory(format_inventory(built.inventory)), kept, archive.trust_files)
    assert again.raw == built.raw


# -- both ways agree ---------------------------------------------------------------------------------------------------


def test_file_and_stream_agree_on_every_fault(built: BuiltBundle, tmp_path: Path) -> None:
    path = tmp_path / "a"
    for _, raw in seeded_flips(built.raw, 300, seed=11):
        path.write_bytes(raw)
        assert verdict(path, built) == verdict(io.BytesIO(raw), built)
    for end in range(built.head_end, len(built.raw), 777):
        path.write_bytes(built.raw[:end])
        assert verdict(path, built) == verdict(io.BytesIO(built.raw[:end]), built)


def verdict(source: Path | io.BytesIO, built: BuiltBundle) -> list[tuple[str, Digest | None, str]] | str:
    try:
        with open_archive(source) as archive:
            integrity = read_all(archive, built)
    except SealiftError as error:
        return error.code
    return [(damage.member, damage.digest, damage.code) for damage in integrity.damages]


def test_two_verdicts_over_the_same_bytes_are_equal(tmp_path: Path) -> None:
    built = build_bundle(*layers_only([bytes([number]) * 3000 for number in range(40)], OCI_LAYER))
    raw = bytearray(built.raw)
    for blob in built.inventory.blobs[::3]:
        raw[built.offset_of(blob.member_name) + 700] ^= 1
    path = tmp_path / "a"
    path.write_bytes(raw)
    verdicts = {str(verdict(path, built)) for _ in range(5)}
    assert len(verdicts) == 1
    with open_archive(path) as archive:
        assert verdict_of(read_all(archive, built, threads=4)) == "blob-digest"
