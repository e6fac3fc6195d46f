"""The members below trust/ stand in one order."""

from __future__ import annotations

from random import Random

import pytest

from bundler import limits
from bundler.archive.names import TrustOrder, ordered_trust_names
from bundler.errors import DamagedError

ROOTS = [f"metadata/{number}.root.json" for number in range(1, 13)]
ROLES = ["metadata/timestamp.json", "metadata/8.snapshot.json", "metadata/3.targets.json", "metadata/9.main.json"]
TARGETS = [f"targets/{letter * 64}" for letter in "0af"]
GOOD = [*ROOTS, *ROLES, *TARGETS]


def accept(names: list[str]) -> None:
    order = TrustOrder()
    for name in names:
        order.accept(name)
    order.finish()


def refuse(names: list[str], code: str = "trust-order") -> None:
    with pytest.raises(DamagedError) as error:
        accept(names)
    assert error.value.code == code


def test_the_one_order() -> None:
    accept(GOOD)
    accept([*ROOTS[:1], *ROLES])
    assert ordered_trust_names(Random(1).sample(GOOD, len(GOOD))) == tuple(GOOD)


def test_each_metadata_file_is_needed() -> None:
    for name in ROLES + ROOTS[:-1]:
        refuse([other for other in GOOD if other != name])
        with pytest.raises(DamagedError):
            ordered_trust_names(other for other in GOOD if other != name)
    accept([name for name in GOOD if name != ROOTS[-1]])
    refuse([])
    refuse(ROOTS)


def test_each_end_within_the_metadata_is_refused() -> None:
    for length in range(len(ROOTS) + len(ROLES)):
        refuse(GOOD[:length])


def test_repetitions_are_refused() -> None:
    for position, name in enumerate(GOOD):
        refuse([*GOOD[: position + 1], name, *GOOD[position + 1 :]])
        refuse([*GOOD, name])


def test_swaps_are_refused() -> None:
    for one in range(len(GOOD)):
        for other in range(one):
            names = list(GOOD)
            names[one], names[other] = names[other], names[one]
            refuse(names)


@pytest.mark.parametrize(
    "name",
    [
        "metadata/root.json",
        "metadata/0.root.json",
        "metadata/013.root.json",
        "metadata/14.root.json",
        "metadata/1.root",
        "metadata/1.timestamp.json",
        "metadata/01.main.json",
        "metadata/1.Main.json",
        "metadata/1.-main.json",
        "metadata/1." + "a" * 32 + ".json",
        "metadata/1.main.json.json",
        "metadata/10000000000000000.main.json",
        "metadata/1.other.json",
        "targets/" + "a" * 63,
        "targets/" + "a" * 65,
        "targets/" + "A" * 64,
        "targets/" + "a" * 64 + ".json",
        "keys/a.pub",
        "",
    ],
)
def test_no_place_takes_an_unknown_name(name: str) -> None:
    for position in range(len(GOOD) + 1):
        refuse([*GOOD[:position], name, *GOOD[position:]])


@pytest.mark.parametrize("reserved", ["root", "targets", "snapshot", "timestamp"])
def test_a_stream_has_no_reserved_name(reserved: str) -> None:
    refuse([*ROOTS, *ROLES[:3], f"metadata/99.{reserved}.json"])


def test_sizes_are_bounded_by_kind() -> None:
    order = TrustOrder()
    assert {order.accept(name) for name in [*ROOTS, *ROLES]} == {limits.TRUST_METADATA_BYTES}
    assert order.accept(TARGETS[0]) == limits.TRUST_TARGET_BYTES


def test_counts_are_bounded() -> None:
    refuse([f"metadata/{number}.root.json" for number in range(1, limits.ROOTS + 2)], "limits")
    refuse([*ROOTS, *ROLES, *(f"targets/{number:064x}" for number in range(limits.TRUST_TARGETS + 1))], "limits")
    accept([*ROOTS, *ROLES, *(f"targets/{number:064x}" for number in range(limits.TRUST_TARGETS))])
