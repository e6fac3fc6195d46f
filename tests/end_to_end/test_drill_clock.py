"""Drills of wrong clocks and odd dates: thirty years back and ahead, leap days, 2038, 2100 and the last year there is
(DESIGN section 4, "Time basis"; THREATS T1 to T3, T14).

The clock of the installed program is moved with libfaketime at some points; the whole ladder runs in this process, with
the command's clock replaced. Either way: a promised exit code and reason, never a bug (exit 70).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.simulators.campaign import changed
from tests.simulators.deliveries import NOW
from tests.simulators.drill import FAKETIME, Drill
from tests.simulators.tuf_repository import START

ACCEPTED = (0, "")
DAY = timedelta(days=1)
YEAR = timedelta(days=365)
ENDS = START + YEAR  # of timestamp, snapshot, targets and stream
needs_faketime = pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime")


@pytest.fixture
def drill(tmp_path: Path) -> Drill:
    return Drill(tmp_path)


LADDER = [
    # clock, verdict of a first bundle, verdict of a next one at a site that has accepted the first
    (datetime(1, 1, 1, tzinfo=UTC), (4, "created-in-future"), (4, "clock-behind")),
    (datetime(1970, 1, 1, tzinfo=UTC), (4, "created-in-future"), (4, "clock-behind")),
    (NOW - 30 * YEAR, (4, "created-in-future"), (4, "clock-behind")),
    (NOW - 10 * YEAR, (4, "created-in-future"), (4, "clock-behind")),
    (NOW - YEAR, (4, "created-in-future"), (4, "clock-behind")),
    (START - DAY - timedelta(seconds=1), (4, "created-in-future"), (4, "clock-behind")),
    (START - DAY, ACCEPTED, ACCEPTED),
    (START, ACCEPTED, ACCEPTED),
    (ENDS - timedelta(seconds=1), ACCEPTED, ACCEPTED),
    (ENDS, (4, "expired"), (4, "expired")),
    (NOW + 3 * YEAR, (4, "expired"), (4, "expired")),
    (NOW + 10 * YEAR, (4, "expired"), (4, "expired")),
    (NOW + 30 * YEAR, (4, "expired"), (4, "expired")),
    (datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), (4, "expired"), (4, "expired")),
    (datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC), (4, "expired"), (4, "expired")),
    (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), (4, "expired"), (4, "expired")),
]


@pytest.mark.parametrize(("clock", "first", "following"), LADDER, ids=[str(step[0].date()) for step in LADDER])
def test_the_ladder(drill: Drill, clock: datetime, first: tuple[int, str], following: tuple[int, str]) -> None:
    one, two = drill.world.deliver(), drill.world.deliver()
    fresh = drill.world.state_bytes()
    drill.now = clock
    assert drill.verify(one) == first
    if first != ACCEPTED:
        assert drill.world.state_bytes() == fresh
        drill.now = NOW
        assert drill.verify(one) == ACCEPTED
        drill.now = clock
    assert drill.verify(two) == following


@pytest.mark.parametrize("clock", [NOW - 30 * YEAR, NOW + 30 * YEAR], ids=["behind", "ahead"])
def test_an_audit_needs_no_clock(drill: Drill, clock: datetime) -> None:
    one = drill.world.deliver()
    assert drill.verify(one) == ACCEPTED
    before = drill.world.state_bytes()
    drill.now = clock
    report = drill.report(one, "--at", "2026-11-02T00:00Z", "--reason", "audit 12")
    assert (report["exit_code"], report["time"]["source"]) == (0, "typed")
    assert "would be accepted" not in report["trust"]["today"] or clock < NOW
    assert drill.world.state_bytes() == before


def test_a_wrong_floor_and_its_way_out(drill: Drill) -> None:
    """The exporter's clock and the site's were both years ahead for a day; a hand sets the floor back, on record."""
    one = drill.world.deliver(at=START + 200 * DAY)
    drill.now = START + 200 * DAY
    assert drill.verify(one) == ACCEPTED
    drill.now = NOW
    two = drill.world.deliver(at=NOW)
    assert drill.verify(two) == (4, "clock-behind")
    code, error = drill.trust("state", "--set-floor", "2027-11-01T00:00Z", "--reason", "in the future")
    assert (code, error["reason"]) == (2, "set-floor")
    code, told = drill.trust("state", "--set-floor", "2026-11-01", "--reason", "clocks were in 2027, ticket 9")
    assert (code, told["floor"]) == (0, "2026-11-01T00:00:00Z")
    assert drill.verify(two) == ACCEPTED
    assert [line["kind"] for line in drill.log()][-2:] == ["set-floor", "accepted"]


# -- odd dates --------------------------------------------------------------------------------------------------------

ODD = [
    datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC),
    datetime(2032, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(2100, 2, 28, 12, 0, 0, tzinfo=UTC),
    datetime(2100, 3, 1, 0, 0, 0, tzinfo=UTC),
    datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),
    datetime(4000, 2, 29, 0, 0, 0, tzinfo=UTC),
]
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("at", ODD, ids=[date.isoformat() for date in ODD])
def test_deliveries_on_odd_dates(drill: Drill, at: datetime) -> None:
    """Root, targets and stream are signed anew on that day; the site takes a delivery then, and the next day's."""
    drill.repository.add_root(at)
    drill.repository.publish(at)
    drill.now = at
    assert drill.verify(drill.world.deliver(at=at)) == ACCEPTED
    assert drill.trust("state")[1]["floor"] == at.isoformat().replace("+00:00", "Z")
    drill.now = at + DAY
    two = drill.world.deliver(at=at + DAY)
    assert drill.verify(two) == ACCEPTED
    drill.now = at + DAY + YEAR
    assert drill.verify(two) == (4, "expired")


def test_the_last_year_there_is(drill: Drill) -> None:
    """What is signed then ends with the calendar."""
    at = datetime(9999, 6, 1, tzinfo=UTC)
    drill.repository.add_root(at)
    drill.repository.publish(at)
    drill.now = at
    bundle = drill.world.deliver(at=at)
    assert drill.verify(bundle) == ACCEPTED
    drill.now = LAST - timedelta(seconds=1)
    assert drill.verify(bundle) == ACCEPTED
    drill.now = LAST
    assert drill.verify(bundle) == (4, "expired")
    assert drill.verify(bundle, "--at", "9999-12-31T23:59:58Z", "--reason", "audit") == ACCEPTED


def test_the_first_year_there_is(drill: Drill) -> None:
    """An exporter without a clock: `created` in the year 1 is old, and no site stumbles over a floor that far back."""
    bundle = drill.world.deliver(change=changed(created_at=datetime(1, 1, 1, tzinfo=UTC)))
    assert drill.verify(bundle) == ACCEPTED
    assert drill.trust("state")[1]["floor"] == "2026-03-01T12:00:00Z"  # what the image's log proved
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    assert drill.trust("state")[1]["floor"] == "2026-11-01T12:00:00Z"


@pytest.mark.parametrize(
    "typed", ["2026-12-31T23:59:60Z", "2027-02-29", "10000-01-01", "0000-01-01", "2026-11-02T24:00Z"]
)
def test_times_that_are_none(drill: Drill, typed: str) -> None:
    """A leap second is in no calendar that a computer keeps: whoever types one is told."""
    assert drill.verify(drill.world.deliver(), "--at", typed, "--reason", "audit") == (2, "usage")


# -- the program's own clock ------------------------------------------------------------------------------------------

FAKED = [
    ("1996-11-01 12:00:00", (4, "created-in-future"), (4, "clock-behind")),
    ("2026-11-02 12:00:00", ACCEPTED, ACCEPTED),
    ("2027-11-01 11:59:00", ACCEPTED, ACCEPTED),
    ("2027-11-01 12:00:00", (4, "expired"), (4, "expired")),
    ("2038-01-19 03:14:08", (4, "expired"), (4, "expired")),
    ("2056-11-01 12:00:00", (4, "expired"), (4, "expired")),
]


@needs_faketime
@pytest.mark.parametrize(("at", "first", "following"), FAKED, ids=[step[0] for step in FAKED])
def test_a_program_with_a_wrong_clock(
    drill: Drill, at: str, first: tuple[int, str], following: tuple[int, str]
) -> None:
    one = drill.world.deliver()
    assert drill.program_verdict(f"@{at}", one) == first
    if first != ACCEPTED:
        assert drill.verify(one) == ACCEPTED
    assert drill.program_verdict(f"@{at}", drill.world.deliver()) == following


@needs_faketime
def test_other_programs_with_a_wrong_clock(drill: Drill) -> None:
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    drill.repository.rotate_stream("main")
    revocation = drill.write_revocation()
    behind = drill.program("@1996-11-01 12:00:00", "trust", "refresh", "--from", revocation)
    assert (behind.code, "[clock-behind]" in behind.err) == (4, True)
    ahead = drill.program("@2056-11-01 12:00:00", "trust", "refresh", "--from", revocation)
    assert ahead.code == 0, ahead.err
    shown = drill.program("@2056-11-01 12:00:00", "trust", "state")
    assert (shown.code, "EXPIRED" in shown.out) == (0, True)
