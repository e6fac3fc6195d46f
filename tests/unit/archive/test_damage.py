"""No changed byte passes: flips, truncations, extensions, swaps, tar dialects and hostile names (THREATS F1 to F9).

The trust metadata is no part of this: `judge_by_reader` takes a changed byte below trust/ as refused by TUF, and holds
the inventory to the length and digest that TUF would have signed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import combinations
from random import Random

import pytest

from bundler.archive.damage import END
from bundler.archive.frames import compress_to
from bundler.archive.reader import open_archive
from bundler.archive.ustar import format_header
from bundler.errors import DamagedError, SealiftError
from tests.simulators.bad_frames import frame_cases
from tests.simulators.bundles import (
    OCI_LAYER,
    BuiltBundle,
    blob_of,
    blob_with_frame,
    build_bundle,
    flip_bit,
    judge_by_reader,
    layers_only,
    refuse_flips,
    sample_head,
    seeded_flips,
    walk_members,
)
from tests.simulators.tar_dialects import MISPLACED_NAMES, dialects, extra_members, hostile_headers, patched

SEED = 20261123
CODES_OF_FLIPS = {
    *("not-a-bundle", "format", "readme", "trust", "trust-target-digest", "header", "inventory-digest"),
    *("derived-content", "blob-digest", "padding", "end"),
}


@pytest.fixture(scope="module")
def built() -> BuiltBundle:
    return build_bundle()


@pytest.fixture(scope="module")
def small() -> BuiltBundle:
    """Two little blobs: the smallest bundle that has all kinds of members."""
    return build_bundle(*layers_only([b"one", b"two" * 300]))


@pytest.fixture(scope="module")
def members(built: BuiltBundle) -> list[tuple[str, bytes]]:
    """Every member with its header and padding."""
    return list(split(built.raw))


def split(raw: bytes) -> Iterator[tuple[str, bytes]]:
    for name, offset in walk_members(raw):
        size_bytes = int(raw[offset + 124 : offset + 135], 8)
        yield name, raw[offset : offset + 512 + size_bytes + -size_bytes % 512]


def joined(parts: list[tuple[str, bytes]] | list[bytes]) -> bytes:
    raw = b"".join(part if isinstance(part, bytes) else part[1] for part in parts)
    return raw + bytes(1024 + -(len(raw) + 1024) % 4096)


def refuse(built: BuiltBundle, raw: bytes) -> str:
    code = judge_by_reader(built)(raw)
    assert code != "OK"
    return code


def test_the_judge_accepts_the_good_bundle(built: BuiltBundle, members: list[tuple[str, bytes]]) -> None:
    assert judge_by_reader(built)(built.raw) == "OK"
    assert joined(members) == built.raw


# -- F1: bits ----------------------------------------------------------------------------------------------------------


def test_20000_seeded_flips(built: BuiltBundle) -> None:
    counts = refuse_flips(judge_by_reader(built), seeded_flips(built.raw, 20_000, SEED))
    assert set(counts) <= CODES_OF_FLIPS
    assert sum(counts.values()) == 20_000


def test_every_bit_of_every_header(small: BuiltBundle) -> None:
    positions = [
        (offset + byte) * 8 + bit for _, offset in walk_members(small.raw) for byte in range(512) for bit in range(8)
    ]
    flips = ((position, flip_bit(small.raw, position)) for position in positions)
    counts = refuse_flips(judge_by_reader(small), flips)
    assert set(counts) <= {"readme", "header"}
    assert sum(counts.values()) == len(positions)


@pytest.mark.exhaustive
def test_every_bit(built: BuiltBundle) -> None:
    flips = ((position, flip_bit(built.raw, position)) for position in range(len(built.raw) * 8))
    counts = refuse_flips(judge_by_reader(built), flips)
    assert set(counts) <= CODES_OF_FLIPS
    assert sum(counts.values()) == len(built.raw) * 8


# -- F2 to F4: bytes that come, go, or are cut off ---------------------------------------------------------------------


def test_every_truncation(small: BuiltBundle) -> None:
    judge = judge_by_reader(small)
    for end in range(len(small.raw)):
        code = judge(small.raw[:end])
        assert code in {"truncated", "not-a-bundle"}, end


def test_a_truncated_bundle_tells_what_is_whole(built: BuiltBundle) -> None:
    for blob in built.inventory.blobs:
        content_end = built.offset_of(blob.member_name) + 512 + blob.stored_size_bytes
        for end, lost in ((content_end, False), (content_end - 1, True)):
            with open_archive(io.BytesIO(built.raw[:end])) as archive:
                archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
                integrity = archive.read_members()
            assert (blob.digest in integrity.damaged) is lost
            later = built.inventory.blobs[built.inventory.blobs.index(blob) + 1 :]
            assert {other.digest for other in later} <= integrity.damaged
            assert integrity.damages[-1].member == END


def test_insertions_and_deletions_at_every_boundary(built: BuiltBundle) -> None:
    judge = judge_by_reader(built)
    offsets = [offset for _, offset in walk_members(built.raw)]
    for offset in [*offsets, *(offset + 512 for offset in offsets), len(built.raw) - 1]:
        for count in (1, 511, 512, 513, 4096):
            assert judge(built.raw[:offset] + bytes(count) + built.raw[offset:]) != "OK"
            assert judge(built.raw[:offset] + b"\xff" * count + built.raw[offset:]) != "OK"
            assert judge(built.raw[:offset] + built.raw[offset + count :]) != "OK"


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 1024, 4095, 4096, 10240])
def test_extensions(built: BuiltBundle, count: int) -> None:
    for extra in (bytes(count), b"\xff" * count, (built.raw * 2)[:count]):
        assert refuse(built, built.raw + extra) == "trailing-data"
        assert refuse(built, extra + built.raw) in {"not-a-bundle", "header", "trust-order", "readme"}


def test_two_bundles_in_one_file(built: BuiltBundle, small: BuiltBundle) -> None:
    assert refuse(built, built.raw + small.raw) == "trailing-data"
    assert refuse(built, built.raw + built.raw) == "trailing-data"
    assert refuse(built, small.raw + built.raw) in {"header", "inventory-digest"}


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_another_number_of_end_blocks(built: BuiltBundle, members: list[tuple[str, bytes]], blocks: int) -> None:
    content = b"".join(raw for _, raw in members)
    if len(content) + blocks * 512 != len(built.raw):
        assert refuse(built, content + bytes(blocks * 512)) in {"truncated", "trailing-data"}


def test_another_blocking_factor(built: BuiltBundle, members: list[tuple[str, bytes]]) -> None:
    content = b"".join(raw for _, raw in members)
    for factor in (512, 10240, 65536):
        raw = content + bytes(1024 + -(len(content) + 1024) % factor)
        if len(raw) != len(built.raw):
            refuse(built, raw)


def test_every_byte_of_padding_and_end_must_be_zero(built: BuiltBundle) -> None:
    judge = judge_by_reader(built)
    for offset, code in zero_places(built.raw):
        changed = bytearray(built.raw)
        changed[offset] = 1
        assert judge(bytes(changed)) == code


def zero_places(raw: bytes) -> Iterator[tuple[int, str]]:
    end = 0
    for name, offset in walk_members(raw):
        size_bytes = int(raw[offset + 124 : offset + 135], 8)
        end = offset + 512 + size_bytes + -size_bytes % 512
        for place in range(offset + 512 + size_bytes, end, 37):
            yield place, "readme" if name == "README" else "padding"
    for place in range(end, len(raw), 37):
        yield place, "end"


# -- F6, F7: members swapped, repeated, missing, foreign ---------------------------------------------------------------


def test_all_pairs_swapped(built: BuiltBundle, members: list[tuple[str, bytes]]) -> None:
    judge = judge_by_reader(built)
    for one, other in combinations(range(len(members)), 2):
        changed = list(members)
        changed[one], changed[other] = changed[other], changed[one]
        assert judge(joined(changed)) != "OK"


def test_all_pairs_of_contents_swapped(built: BuiltBundle, members: list[tuple[str, bytes]]) -> None:
    judge = judge_by_reader(built)
    for one, other in combinations(range(len(members)), 2):
        changed = list(members)
        changed[one] = (members[one][0], members[one][1][:512] + members[other][1][512:])
        changed[other] = (members[other][0], members[other][1][:512] + members[one][1][512:])
        assert judge(joined(changed)) != "OK"


def test_members_removed_and_repeated(built: BuiltBundle, members: list[tuple[str, bytes]]) -> None:
    judge = judge_by_reader(built)
    for position, member in enumerate(members):
        assert judge(joined([*members[:position], *members[position + 1 :]])) != "OK"
        assert judge(joined([*members[:position], member, *members[position:]])) != "OK"
        assert judge(joined([*members, member])) != "OK"
        assert judge(joined([member, *members])) != "OK"


def test_200_permutations(built: BuiltBundle, members: list[tuple[str, bytes]]) -> None:
    judge = judge_by_reader(built)
    random = Random(SEED)
    for _ in range(200):
        changed = random.sample(members, len(members))
        assert changed == members or judge(joined(changed)) != "OK"


def test_members_of_another_bundle(built: BuiltBundle, members: list[tuple[str, bytes]], small: BuiltBundle) -> None:
    judge = judge_by_reader(built)
    for _, foreign in split(small.raw):
        for position in range(len(members)):
            changed = [raw for _, raw in members]
            same = changed[position] == foreign
            changed[position] = foreign
            assert same or judge(joined(changed)) != "OK"


# -- F8, F9: tar as others write it ------------------------------------------------------------------------------------


def test_dialects_at_every_member(built: BuiltBundle) -> None:
    judge = judge_by_reader(built)
    for name, offset in walk_members(built.raw):
        size_bytes = int(built.raw[offset + 124 : offset + 135], 8)
        for title, header in dialects(name, size_bytes):
            raw = built.raw[:offset] + header + built.raw[offset + 512 :]
            code = judge(raw)
            assert code in {"header", "readme"}, (name, title, code)


def test_hostile_names_at_every_member(built: BuiltBundle) -> None:
    judge = judge_by_reader(built)
    for name, offset in walk_members(built.raw):
        size_bytes = int(built.raw[offset + 124 : offset + 135], 8)
        for title, header in hostile_headers(size_bytes):
            code = judge(built.raw[:offset] + header + built.raw[offset + 512 :])
            assert code in {"header", "readme"}, (name, title, code)


def test_misplaced_names(built: BuiltBundle, members: list[tuple[str, bytes]]) -> None:
    judge = judge_by_reader(built)
    for name in MISPLACED_NAMES:
        extra = patched(format_header("a", 3), name=name.encode()) + b"abc".ljust(512, b"\0")
        for position in range(len(members) + 1):
            changed = [raw for _, raw in members]
            assert judge(joined([*changed[:position], extra, *changed[position:]])) != "OK", (name, position)


def test_extra_members_everywhere(built: BuiltBundle, members: list[tuple[str, bytes]]) -> None:
    judge = judge_by_reader(built)
    contents = [raw for _, raw in members]
    for title, extra in extra_members():
        for position in range(len(members) + 1):
            code = judge(joined([*contents[:position], extra, *contents[position:]]))
            assert code != "OK", (title, position)


def test_a_target_under_another_name(built: BuiltBundle) -> None:
    name = next(name for name, _ in walk_members(built.raw) if name.startswith("trust/targets/"))
    offset = built.offset_of(name)
    size_bytes = int(built.raw[offset + 124 : offset + 135], 8)
    header = format_header(f"trust/targets/{'a' * 64}", size_bytes)
    raw = built.raw[:offset] + header + built.raw[offset + 512 :]
    with pytest.raises(DamagedError) as error:
        open_archive(io.BytesIO(raw))
    assert error.value.code == "trust-target-digest"


# -- F10 in place: frames that the inventory hashes truthfully ---------------------------------------------------------


@pytest.mark.parametrize("kept", [False, True])
def test_bad_frames_in_a_bundle(kept: bool) -> None:
    for case in frame_cases():
        size_bytes = case.content_bytes
        if size_bytes >= 65_536 and len(case.frame) * 10 <= size_bytes * 9:
            judge_frame(case.frame, case.content or bytes(size_bytes), case.code, kept=kept)


@pytest.mark.parametrize("kept", [False, True])
def test_frames_with_the_right_content_and_another_end_or_beginning(kept: bool) -> None:
    """All of the content comes out, and its hash is right: only the frame's own end tells."""
    content = b"one text" * 20_000
    good = compress(content)
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0none"
    cases = {
        "good": [good],
        "frame-truncated": [good[:-1], good[:-4]],
        "frame-content": [good[:-1] + bytes([good[-1] ^ 1])],
        "frame-trailing": [good + b"\0", good + good, good + skippable, good + compress(b"")],
        "frame-magic": [skippable + good],
    }
    for code, frames in cases.items():
        for frame in frames:
            judge_frame(frame, content, code, kept=kept)


def compress(content: bytes) -> bytes:
    target = io.BytesIO()
    compress_to(io.BytesIO(content), target, len(content))
    return target.getvalue()


@pytest.mark.parametrize("kept", [False, True])
def test_a_good_frame_with_another_content(kept: bool) -> None:
    blob = blob_of(b"one text" * 20_000, OCI_LAYER)
    built = build_bundle(*layers_only([b"one text" * 20_000]))
    raw = built.raw[built.offset_of(blob.member_name) + 512 :][: blob.stored_size_bytes]
    judge_frame(raw, b"two text" * 20_000, "content-digest", kept=kept)


def judge_frame(frame: bytes, content: bytes, code: str, *, kept: bool) -> None:
    """Put a frame into a bundle whose inventory hashes it truthfully, and see what the reader says."""
    blob = blob_with_frame(content, frame)
    built = build_bundle(sample_head(blobs=[blob]), {blob.digest: content}, frames={blob.digest: frame})
    with open_archive(io.BytesIO(built.raw)) as archive:
        archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
        integrity = archive.read_members(keep=lambda _: kept)
        if code == "good":
            assert integrity.damages == ()
            assert not kept or archive.read_blob(blob.digest, len(content)) == content
            return
        assert [(damage.digest, damage.code) for damage in integrity.damages] == [(blob.digest, code)]
        with pytest.raises(SealiftError):
            archive.read_blob(blob.digest, len(content))
