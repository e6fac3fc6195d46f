"""Checkpoints weighed against those that a site remembers: forks, rollbacks, proofs, and what is remembered after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import SealiftError, TrustError
from bundler.identity.keys import parse_spki
from bundler.moment import Window
from bundler.transparency.checkpoint import open_checkpoint
from bundler.transparency.log import TransparencyLog
from bundler.verify.log_growth import LogReview, WeighedLogs, unproved_growth, weigh_logs
from bundler.verify.sightings import OpenedGrowth, Sighting
from tests.simulators.log_tree import consistency_path, leaf, root_of, signed_checkpoint
from tests.simulators.sigstore_keys import START
from tests.simulators.sigstore_log import Log
from trust_root.logs import LogRecord

KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = Log("https://rekor.example.org", KEY).spki
LOG = TransparencyLog("https://rekor.example.org", Log("", KEY).log_id, parse_spki(SPKI), Window(START))
ORIGIN = "rekor.example.org - 7"
LEAVES = [leaf(b"%d" % number) for number in range(300)]
FORK = [leaf(b"another"), *LEAVES[1:]]
DAY = timedelta(days=1)


def sighting(
    size: int, day: int = 0, *, fetched: bool = False, leaves: Sequence[bytes] = LEAVES, origin: str = ORIGIN,
    seconds: int = 0,
) -> Sighting:  # fmt: skip
    note = signed_checkpoint(origin, size, root_of(leaves[:size]), KEY)
    when = START + day * DAY + timedelta(seconds=seconds)
    return Sighting(open_checkpoint(note.encode(), LOG), when, fetched)


def growth(
    size: int, *froms: int, day: int = 0, leaves: Sequence[bytes] = LEAVES, origin: str = ORIGIN, seconds: int = 0
) -> OpenedGrowth:
    proofs = {first: tuple(consistency_path(first, leaves[:size])) for first in froms}
    return OpenedGrowth(sighting(size, day, fetched=True, leaves=leaves, origin=origin, seconds=seconds), proofs)


def weigh(
    *shown: Sighting | OpenedGrowth, records: tuple[LogRecord, ...] = (), stream: str = "main", sequence: int = 1
) -> WeighedLogs:
    return weigh_logs(review(*shown, stream=stream, sequence=sequence), records)


def review(*shown: Sighting | OpenedGrowth, stream: str = "main", sequence: int = 1) -> LogReview:
    sightings = tuple(item for item in shown if isinstance(item, Sighting))
    growths = tuple(item for item in shown if isinstance(item, OpenedGrowth))
    return LogReview(stream, sequence, sightings, growths, frozenset({LOG.log_id}))


def code(
    *shown: Sighting | OpenedGrowth, records: tuple[LogRecord, ...] = (), stream: str = "main", sequence: int = 1
) -> str:
    with pytest.raises(SealiftError) as error:
        weigh(*shown, records=records, stream=stream, sequence=sequence)
    assert isinstance(error.value, TrustError)
    return error.value.code


def sizes(weighed: WeighedLogs) -> tuple[int, list[int]]:
    (record,) = weighed.records
    return record.head.tree_size, [item.tree_size for item in record.loose]


def only(weighed: WeighedLogs) -> tuple[str, int | None, int, int]:
    (fact,) = weighed.facts
    return fact.status, fact.from_size, fact.to_size, fact.unproved


def test_the_first_sight_is_remembered() -> None:
    first = weigh(sighting(10), sighting(20), sighting(5))
    assert sizes(first) == (20, [5, 10])
    assert only(first) == ("first", None, 20, 2)
    assert weigh(sighting(10), sighting(20), sighting(5), records=first.records).records == first.records


def test_a_first_growth_is_the_head_and_proves_the_others() -> None:
    first = weigh(sighting(10), sighting(20), sighting(64), growth(50, 10, 20))
    assert sizes(first) == (50, [64])
    assert only(first) == ("first", None, 50, 1)


def test_growth_is_proved_from_the_remembered_head() -> None:
    known = weigh(sighting(10)).records
    grown = weigh(sighting(12), growth(20, 10, 12), records=known)
    assert (sizes(grown), only(grown)) == ((20, []), ("proved", 10, 20, 0))
    assert (grown.records[0].head.fetched, grown.records[0].head.sequence) == (True, 1)


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        ((sighting(12),), ("unproved", 10, 12, 1)),
        ((sighting(10),), ("unproved", 10, 10, 0)),
        ((sighting(4),), ("unproved", 10, 4, 1)),
        ((growth(20),), ("unproved", 10, 20, 1)),
        ((growth(20, 9),), ("unproved", 10, 20, 1)),
        ((growth(10),), ("unchanged", 10, 10, 0)),
        ((sighting(4), growth(10, 4)), ("unchanged", 10, 10, 0)),
        ((sighting(4), growth(10)), ("unchanged", 10, 10, 1)),
    ],
)
def test_what_is_not_proved_stays_beside_the_head(
    shown: tuple[Sighting | OpenedGrowth, ...], status: tuple[str, int, int, int]
) -> None:
    known = weigh(sighting(10)).records
    weighed = weigh(*shown, records=known)
    assert weighed.records[0].head == known[0].head
    assert only(weighed) == status
    assert len(sizes(weighed)[1]) == status[3]


def test_an_older_answer_than_what_was_seen_is_no_alarm() -> None:
    """An exporter asked on day 1; the site saw more on day 2, from somebody else, before that bundle arrived."""
    known = weigh(sighting(30, day=2, fetched=True), stream="other").records
    weighed = weigh(growth(20, 10, day=1), records=known)
    assert (only(weighed), sizes(weighed)) == (("older", 30, 20, 1), (30, [20]))


def test_a_checkpoint_in_others_evidence_may_be_small() -> None:
    known = weigh(growth(100, day=1)).records
    assert only(weigh(sighting(5, day=9), records=known))[0] == "unproved"


FORKED: dict[str, tuple[tuple[Sighting | OpenedGrowth, ...], tuple[Sighting, ...]]] = {
    "one size, two roots, in one bundle": ((sighting(10), sighting(10, leaves=FORK)), ()),
    "against the head": ((sighting(10, leaves=FORK),), (sighting(10),)),
    "against a loose one": ((sighting(7, leaves=FORK),), (sighting(10), sighting(7))),
    "a fetched one": ((growth(10, leaves=FORK),), (sighting(10),)),
    "a proof within the other tree": ((growth(20, 10, leaves=FORK),), (sighting(10),)),
    "a proof that leaves a loose one out": ((growth(20, 10, 7),), (sighting(10), sighting(7, leaves=FORK))),
}


@pytest.mark.parametrize("case", FORKED)
def test_a_log_that_shows_two_trees_is_an_alarm(case: str) -> None:
    shown, before = FORKED[case]
    known = weigh(*before).records if before else ()
    assert code(*shown, records=known) == "log-fork"


@pytest.mark.parametrize("change", ["short", "long", "flipped", "empty"])
def test_a_proof_that_does_not_hold_is_an_alarm(change: str) -> None:
    honest = growth(20, 10)
    proof = honest.proofs[10]
    changed = {
        "short": proof[:-1],
        "long": (*proof, bytes(32)),
        "flipped": (bytes([proof[0][0] ^ 1, *proof[0][1:]]), *proof[1:]),
        "empty": (),
    }[change]
    known = weigh(sighting(10)).records
    assert code(replace(honest, proofs={10: changed}), records=known) == "log-fork"


def test_a_log_that_was_asked_later_and_shows_less_is_an_alarm() -> None:
    known = weigh(sighting(100, day=1)).records
    assert code(growth(99, day=2), records=known, sequence=2) == "log-rollback"
    assert code(sighting(99, day=3, fetched=True, seconds=1), records=known, sequence=2) == "log-rollback"
    assert code(sighting(99, day=3, fetched=True, seconds=1), sighting(100, day=1)) == "log-rollback"


def test_a_tip_is_later_than_what_earlier_deliveries_of_its_stream_brought() -> None:
    known = weigh(sighting(100, day=1), sequence=5).records
    assert code(growth(99, day=1, seconds=1), records=known, sequence=6) == "log-rollback"
    weigh(growth(99, day=1), records=known, sequence=6)
    weigh(growth(99, day=1, seconds=1), records=known, sequence=4)  # an older delivery, shown again


def test_streams_of_one_name_below_two_pins_are_two() -> None:
    """Their sequences say nothing of each other, and their exporters' clocks may differ."""
    ours, others = sha256_of(b"our pin"), sha256_of(b"another pin")

    def known(day: int, sequence: int) -> tuple[LogRecord, ...]:
        return weigh_logs(replace(review(sighting(100, day), sequence=sequence), pin=others), ()).records

    def asked(sequence: int) -> LogReview:
        return replace(review(growth(99, day=4), sequence=sequence), pin=ours)

    weigh_logs(asked(6), known(day=3, sequence=5))
    with pytest.raises(TrustError) as error:
        weigh_logs(asked(4), known(day=1, sequence=5))
    assert error.value.code == "log-rollback"


def test_times_may_be_a_day_from_the_truth_at_either_end() -> None:
    known = weigh(sighting(100, day=1)).records
    weigh(growth(99, day=3), records=known, stream="other")
    assert code(growth(99, day=3, seconds=1), records=known, stream="other") == "log-rollback"


def test_a_kept_proof_after_an_export_that_was_dated_earlier_is_no_rollback() -> None:
    """Monday's commit is exported on Tuesday, after Tuesday's; then Tuesday's proof comes again from the cache."""
    tuesday = sighting(100, day=2, fetched=True)
    known = weigh(tuesday, sequence=1).records
    known = weigh(growth(110, 100, day=1), records=known, sequence=2).records
    weigh(tuesday, growth(120, 100, 110, day=2, seconds=3600), records=known, sequence=3)


def test_trees_are_told_apart_by_origin() -> None:
    other = "rekor.example.org - 8"
    known = weigh(sighting(100), sighting(3, origin=other, leaves=FORK)).records
    assert [(record.origin, record.head.tree_size) for record in known] == [(ORIGIN, 100), (other, 3)]
    grown = weigh(growth(200, 100), growth(5, 3, origin=other, leaves=FORK), records=known)
    assert [fact.status for fact in grown.facts] == ["proved", "proved"]


def test_a_state_that_holds_what_the_log_did_not_sign_is_damaged() -> None:
    (record,) = weigh(sighting(10), sighting(7)).records
    larger = replace(record.head, tree_size=11)
    for changed in (
        replace(record, head=replace(record.head, note=b"x")),
        replace(record, head=larger),
        replace(record, head=replace(record.head, root_hash=bytes(32))),
        replace(record, loose=(replace(record.loose[0], tree_size=8),)),
    ):
        assert code(sighting(12), records=(changed,)) == "state-damaged"


def test_bounds() -> None:
    known = weigh(*(sighting(size) for size in range(2, 80)), sighting(100)).records
    assert [item.tree_size for item in known[0].loose] == list(range(80 - limits.LOG_LOOSE, 80))
    many = [sighting(1, origin=f"rekor.example.org - {number}") for number in range(1, limits.LOG_TREES + 2)]
    assert code(*many) == "log-trees"
    note = signed_checkpoint(ORIGIN, 2**53, bytes(32), KEY)
    assert code(Sighting(open_checkpoint(note.encode(), LOG), START, False)) == "log-trees"


def test_what_a_policy_that_asks_for_growth_misses() -> None:
    known = weigh(sighting(10)).records

    def missed(*shown: Sighting | OpenedGrowth) -> int:
        asked = review(*shown)
        return len(unproved_growth(asked, known, weigh_logs(asked, known)))

    assert missed(growth(20, 10)) == missed(growth(10)) == missed(sighting(10), growth(10)) == 0
    assert missed() == missed(sighting(12)) == missed(growth(20)) == missed(sighting(12), growth(20, 10)) == 1
    elsewhere = LogReview("main", 1, (), ())
    assert unproved_growth(elsewhere, known, weigh_logs(elsewhere, known)) == ()
    asked = review(sighting(5))
    assert unproved_growth(asked, (), weigh_logs(asked, ())) == ()  # a first sight has nothing to grow from


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_an_honest_log_is_never_an_alarm(steps: list[tuple[int, bool, bool]]) -> None:
    """Whatever an honest log shows, in whatever pieces, the head only moves up, and each step can be repeated."""
    records: tuple[LogRecord, ...] = ()
    size, head = 1, 0
    for day, (more, asked, complete) in enumerate(steps):
        size = min(size + more, len(LEAVES))
        shown: list[Sighting | OpenedGrowth] = [sighting(max(1, size - more), day)]
        if asked:
            known = [point.tree_size for record in records for point in record.checkpoints]
            froms = {*known, max(1, size - more)} if complete else set(known[1:])
            shown.append(growth(size, *(first for first in froms if first < size), day=day))
        weighed = weigh(*shown, records=records, sequence=day + 1)
        assert weigh(*shown, records=weighed.records, sequence=day + 1).records == weighed.records
        if asked and complete:
            assert sizes(weighed) == (size, [])
        assert weighed.records[0].head.tree_size >= head
        head = weighed.records[0].head.tree_size
        records = weighed.records


def test_times_are_of_the_first_sight() -> None:
    known = weigh(sighting(10, day=3)).records
    again = weigh(sighting(10, day=5), records=known)
    assert again.records[0].head.seen_at == START + 3 * DAY
    assert isinstance(again.records[0].head.seen_at, datetime)
