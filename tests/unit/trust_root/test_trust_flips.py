"""Every bit of every metadata file of a bundle with three roots counts: flipped, it is refused (THREATS F1, I2, I3).

`make test` flips one bit of every fourth byte, another one each time; `make test-exhaustive` all of them. The pin is
the first root or the last; a refusal is always a TrustError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from bundler.errors import TrustError
from tests.simulators.tuf_repository import START, TufRepository
from trust_root.client import open_trust
from trust_root.keys import generate_key

STEP = 4
PARTS = 8


@pytest.fixture(scope="module")
def repository() -> TufRepository:
    """Three roots, each rotation with another holder's key."""
    made = TufRepository("main", targets={"keys/vendor.pub": b"a key"})
    for number in range(2):
        before, after = list(made.holders), list(made.holders)
        after[number] = generate_key()
        made.add_root(holders=after, signers=[*before[:2], *after[:2]])
    made.export("main", b"an inventory")
    return made


@pytest.fixture(scope="module")
def files(repository: TufRepository) -> Mapping[str, bytes]:
    made = repository.files()
    assert len([name for name in made if name.endswith("root.json")]) == 3
    for pin in repository.roots:
        open_trust(pin, made, START)
    return made


def flip_all(pin: bytes, files: Mapping[str, bytes], bits: Iterator[tuple[str, int, int]]) -> int:
    """Flip each bit alone; gives how many were refused, which is all of them."""
    count = 0
    for name, offset, bit in bits:
        raw = bytearray(files[name])
        raw[offset] ^= 1 << bit
        try:
            open_trust(pin, {**files, name: bytes(raw)}, START)
        except TrustError:
            count += 1
            continue
        pytest.fail(f"bit {bit} of byte {offset} of {name} may be flipped")
    return count


def every_bit(files: Mapping[str, bytes], part: int) -> Iterator[tuple[str, int, int]]:
    for name, raw in files.items():
        for offset in range(part, len(raw), PARTS):
            yield from ((name, offset, bit) for bit in range(8))


def test_one_bit_of_every_fourth_byte(repository: TufRepository, files: Mapping[str, bytes]) -> None:
    bits = ((name, offset, offset // STEP % 8) for name in files for offset in range(0, len(files[name]), STEP))
    assert flip_all(repository.pin, files, bits) > 2_000


@pytest.mark.parametrize("pinned", [1, 3])
def test_first_and_last_byte_of_every_file(repository: TufRepository, files: Mapping[str, bytes], pinned: int) -> None:
    bits = ((name, offset, bit) for name in files for offset in (0, len(files[name]) - 1) for bit in range(8))
    assert flip_all(repository.roots[pinned - 1], files, bits) == len(files) * 16


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(PARTS))
def test_every_bit(repository: TufRepository, files: Mapping[str, bytes], part: int) -> None:
    assert flip_all(repository.pin, files, every_bit(files, part)) > 8_000
