"""Every change of a bundle's bytes is refused by the whole verification, with the exit code that its place calls for.

The bundle is small and whole: a 2-of-3 root, targets, a stream, one image with a keyless signature. Bits are flipped in
the file itself, which is then verified as ever: pin, TUF, state, inventory, bytes, evidence, policy. Three things are
asked of each run: the exit code of the place that was hit, a reason, and a site's state that has not changed. What
`make test` samples, `make test-exhaustive` does in full (THREATS M1, M3 to M6, M13, I24, F1 to F4, F6, F7).
"""

from __future__ import annotations

import io
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.policy import parse_policy
from tests.simulators.campaign import (
    KEYLESS,
    NOW,
    Campaign,
    Part,
    Verdict,
    header_offsets,
    join,
    split,
    verdict,
)
from trust_root.delivery import time_basis
from trust_root.site import load_site

SEEDED = 6_000  # of the whole stack; the reader alone has 20 000 more (test_damage.py)
CHUNKS = 10
EXHAUSTIVE_CHUNKS = 40
BLOCK = 512
EXPECTED = {"readme": {3, 5}, "container": {3}, "metadata": {4}, "inventory": {4}}


class Target:
    """A bundle in a file whose bits can be flipped in place, and a site that judges it."""

    def __init__(self, folder: Path) -> None:
        self.world = Campaign(folder, "main")
        self.bundle = self.world.deliver()
        self.raw = self.bundle.read_bytes()
        self.zones = list(zones(self.raw))
        site = load_site(self.world.state)
        policy = parse_policy(KEYLESS.encode())
        self.request = Request(time_basis(NOW, site.floor), site=site, policy=policy, threads=1)
        self.before = self.world.state_bytes()

    def judge(self, raw: bytes | None = None) -> Verdict:
        """The verdict on the file as it lies there, or on bytes from a pipe; any exception is a bug and passes."""
        source = self.bundle if raw is None else io.BytesIO(raw)
        return verdict(verify_bundle(source, self.request).report)

    def flip(self, positions: Iterable[int]) -> Counter[Verdict]:
        """Flip one bit after the other, each alone, and count the verdicts."""
        counts: Counter[Verdict] = Counter()
        with self.bundle.open("r+b", buffering=0) as file:
            for position in positions:
                offset, bit = divmod(position, 8)
                file.seek(offset)
                file.write(bytes([self.raw[offset] ^ 1 << bit]))
                found = self.judge()
                file.seek(offset)
                file.write(self.raw[offset : offset + 1])
                self.check(found, offset, f"bit {position}")
                counts[found] += 1
        assert self.bundle.read_bytes() == self.raw
        self.check_untouched()
        return counts

    def check(self, found: Verdict, offset: int, what: str) -> None:
        zone = next(zone for zone in self.zones if zone.start <= offset < zone.end)
        code, reason = found
        assert code in EXPECTED[zone.kind], f"{what} in {zone.kind} at {offset}: {found}"
        assert reason, what

    def check_untouched(self) -> None:
        """Nothing that was refused left a trace, and the bundle itself still passes."""
        assert self.world.state_bytes() == self.before
        assert self.judge() == (0, "")


@dataclass(frozen=True)
class Zone:
    """A range of bytes in which a change ends in the same exit codes."""

    start: int
    end: int
    kind: str


def zones(raw: bytes) -> Iterator[Zone]:
    """Where the signed trust metadata and the inventory lie; all else is the container, whose faults are damage."""
    place = 0
    for part in split(raw):
        content, end = place + BLOCK, place + BLOCK + part.size_bytes
        kind = "readme" if part.name == "README" else "container"
        yield Zone(place, content, "container")
        if part.name.startswith("trust/metadata/"):
            kind = "metadata"
        yield Zone(content, end, "inventory" if part.name == "inventory.json" else kind)
        place += len(part.raw)
        yield Zone(end, place, "container")
    yield Zone(place, len(raw), "container")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("flips"))


def chunk(items: list[int], number: int, chunks: int) -> list[int]:
    """Each chunk takes a share of every place, so that all take about as long."""
    return items[number::chunks]


def header_bits(raw: bytes, names: Iterable[str]) -> list[int]:
    wanted = set(names)
    offsets = [offset for part, offset in zip(split(raw), header_offsets(raw), strict=True) if part.name in wanted]
    return [bit for offset in offsets for bit in range(offset * 8, (offset + BLOCK) * 8)]


# -- bits -------------------------------------------------------------------------------------------------------------


def seeded_positions(raw: bytes) -> list[int]:
    """20 000 bits: one of each byte of each header, the rest anywhere."""
    drawn = random.Random(20_261_123)
    positions = [(offset + byte) * 8 + drawn.randrange(8) for offset in header_offsets(raw) for byte in range(BLOCK)]
    anywhere = drawn.sample(range(len(raw) * 8), SEEDED)
    return [*positions, *anywhere][:SEEDED]


def test_the_bundle_is_small_and_passes(target: Target) -> None:
    assert len(target.raw) < 80_000
    assert target.judge() == (0, "")
    assert target.judge(target.raw) == (0, "")


@pytest.mark.parametrize("number", range(CHUNKS))
def test_seeded_flips(target: Target, number: int) -> None:
    counts = target.flip(chunk(seeded_positions(target.raw), number, CHUNKS))
    assert sum(counts.values()) == SEEDED // CHUNKS


def test_every_bit_of_every_header_before_the_inventory(target: Target) -> None:
    names = [part.name for part in split(target.raw) if part.name == "README" or part.name.startswith("trust/")]
    counts = target.flip(header_bits(target.raw, names))
    assert sum(counts.values()) == len(names) * BLOCK * 8
    assert {code for code, _ in counts} == {3}


def test_every_bit_of_the_first_line(target: Target) -> None:
    """The digit of the format number is the one place where a flip may say `too new` instead of `damaged`."""
    start, length = BLOCK, len("Sealift bundle, format 1\n")
    counts = target.flip(range(start * 8, (start + length) * 8))
    assert counts[5, "format"] == 3  # 1 becomes 3, 5 or 9; 0 is no format's number, and the others are no digits
    assert sum(counts.values()) == length * 8


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(EXHAUSTIVE_CHUNKS))
def test_every_bit(target: Target, number: int, record_property: pytest.RecordProperty) -> None:
    bits = list(range(len(target.raw) * 8))
    counts = target.flip(chunk(bits, number, EXHAUSTIVE_CHUNKS))
    assert sum(counts.values()) == len(chunk(bits, number, EXHAUSTIVE_CHUNKS))
    record_property("verdicts", {f"{code} {reason}": count for (code, reason), count in sorted(counts.items())})


# -- lengths ----------------------------------------------------------------------------------------------------------


def truncated(target: Target, lengths: Iterable[int]) -> Counter[Verdict]:
    """Verdicts on the first bytes of the bundle only, from a pipe."""
    counts: Counter[Verdict] = Counter()
    for length in lengths:
        found = target.judge(target.raw[:length])
        assert found[0] == 3, f"{length} bytes: {found}"
        assert found[1] in ("truncated", "not-a-bundle"), f"{length} bytes: {found}"
        counts[found] += 1
    target.check_untouched()
    return counts


def test_truncation_at_every_boundary_and_seeded(target: Target) -> None:
    edges = {near for block in range(0, len(target.raw) + 1, BLOCK) for near in (block - 1, block, block + 1)}
    lengths = {*edges, *random.Random(3).sample(range(len(target.raw)), 300)}
    truncated(target, sorted(length for length in lengths if 0 <= length < len(target.raw)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(8))
def test_every_truncation(target: Target, number: int) -> None:
    truncated(target, chunk(list(range(len(target.raw))), number, 8))


def test_a_file_truncated_says_the_same_as_a_pipe(target: Target) -> None:
    for length in random.Random(4).sample(range(len(target.raw)), 60):
        path = target.world.write(target.raw[:length], "cut")
        assert verdict(verify_bundle(path, target.request).report) == target.judge(target.raw[:length])


def extended(target: Target, tail: bytes) -> None:
    """A longer bundle, from a pipe and from a file."""
    assert target.judge(target.raw + tail) == (3, "trailing-data")
    path = target.world.write(target.raw + tail, "longer")
    assert verdict(verify_bundle(path, target.request).report) == (3, "trailing-data")


def test_extensions(target: Target) -> None:
    drawn = random.Random(5)
    sizes = [1, 2, 3, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, *drawn.sample(range(4, 4095), 40)]
    for size in sizes:
        extended(target, bytes(size))
        extended(target, drawn.randbytes(size))
    extended(target, target.raw)
    extended(target, target.raw[-4096:])
    extended(target, target.raw[: 3 * BLOCK])


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(4))
def test_every_extension(target: Target, number: int) -> None:
    for size in chunk(list(range(1, 4097)), number, 4):
        extended(target, bytes(size))
        extended(target, random.Random(size).randbytes(size))
    target.check_untouched()


def test_bytes_in_front(target: Target) -> None:
    for head in (b"\0", bytes(BLOCK), target.raw[:BLOCK], bytes(4096), b"\x1f\x8b", target.raw[: 2 * BLOCK]):
        code, reason = target.judge(head + target.raw)
        assert (code, reason) in ((3, "not-a-bundle"), (3, "readme"))


def test_bytes_inserted_and_removed_at_boundaries(target: Target) -> None:
    """F2: 1, 511, 512, 513 and 4096 bytes more or less in front of each member and behind it."""
    edges = [*header_offsets(target.raw), len(target.raw)]
    for edge, size in itertools.product(edges, (1, 511, 512, 513, 4096)):
        for raw in (target.raw[:edge] + bytes(size) + target.raw[edge:], target.raw[:edge] + target.raw[edge + size :]):
            if raw != target.raw:
                code, reason = target.judge(raw)
                assert code in (3, 4), (edge, size, code, reason)
    target.check_untouched()


def test_two_bundles_one_after_the_other(target: Target) -> None:
    later = target.world.deliver().read_bytes()
    for first, second in ((target.raw, later), (later, target.raw), (target.raw, target.raw)):
        assert target.judge(first + second) == (3, "trailing-data")
    assert target.judge(later) == (0, "")


# -- members ----------------------------------------------------------------------------------------------------------


def refuse(target: Target, parts: list[Part], what: object) -> Verdict:
    found = target.judge(join(parts))
    assert found[0] in (3, 4), (what, found)
    assert found[1], what
    return found


def test_members_of_two_valid_bundles_mixed(target: Target) -> None:
    """M13: each member of one bundle replaced by each member of the other: two deliveries of one stream."""
    ours, theirs = split(target.raw), split(target.world.deliver().read_bytes())
    count = 0
    for place, part in itertools.product(range(len(ours)), theirs):
        if part.raw != ours[place].raw:
            refuse(target, [*ours[:place], part, *ours[place + 1 :]], (ours[place].name, part.name))
            count += 1
    assert count > 250
    target.check_untouched()


def test_the_heads_and_the_bodies_of_two_valid_bundles_mixed(target: Target) -> None:
    """Every cut between two members: the first from one bundle, the rest from the other."""
    ours, theirs = split(target.raw), split(target.world.deliver().read_bytes())
    for cut in range(1, len(ours)):
        for parts in (ours[:cut] + theirs[cut:], theirs[:cut] + ours[cut:]):
            if join(parts) not in (target.raw, join(theirs)):
                refuse(target, parts, cut)


def test_contents_exchanged_under_their_headers(target: Target) -> None:
    """F6: all pairs of members of one bundle; contents, then names."""
    parts = split(target.raw)
    for first, second in itertools.combinations(range(len(parts)), 2):
        one, two = parts[first], parts[second]
        for new_one, new_two in (
            (Part(one.name, one.header, two.content, two.size_bytes), Part(two.name, two.header, one.content, 0)),
            (two, one),
        ):
            mixed = list(parts)
            mixed[first], mixed[second] = new_one, new_two
            if join(mixed) != target.raw:
                refuse(target, mixed, (one.name, two.name))


def test_members_duplicated_and_missing(target: Target) -> None:
    """F7, and GHSA-class double entries: adjacent, at the end, at the front, gone."""
    parts = split(target.raw)
    for place, part in enumerate(parts):
        for mixed in (
            [*parts[:place], part, *parts[place:]],
            [*parts, part],
            [*parts[:1], part, *parts[1:]],
            [*parts[:place], *parts[place + 1 :]],
        ):
            refuse(target, mixed, part.name)


def test_members_in_another_order(target: Target) -> None:
    drawn = random.Random(6)
    parts = split(target.raw)
    for _ in range(200):
        mixed = [parts[0], *drawn.sample(parts[1:], len(parts) - 1)] if drawn.random() < 0.9 else parts[::-1]
        if mixed != parts:
            refuse(target, mixed, [part.name for part in mixed])


def test_seeded_runs_of_bytes_overwritten(target: Target) -> None:
    """Not one bit but many: holes of zeros, of ones, of noise, and pieces moved."""
    drawn = random.Random(7)
    for _ in range(400):
        size = drawn.choice((2, 16, 512, 4096, 10_000))
        start = drawn.randrange(len(target.raw) - size)
        piece = drawn.choice((bytes(size), b"\xff" * size, drawn.randbytes(size), target.raw[-size - start :][:size]))
        raw = target.raw[:start] + piece + target.raw[start + len(piece) :]
        if raw != target.raw:
            code, reason = target.judge(raw)
            assert code in (3, 4, 5), (start, size, code, reason)
            assert reason
    target.check_untouched()
