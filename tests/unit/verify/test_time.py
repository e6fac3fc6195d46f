"""Time, as a site meets it: expiry, grace, a clock that is wrong, a floor, audits, and what may be written when.

Each case with exit code and reason (DESIGN section 4, "Time basis", "What is written when"; THREATS T1, T2, T3, F16).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.cli.main import main
from bundler.errors import TrustError, UsageError
from tests.simulators.campaign import DAY, KEYED, NOW, START, TEAM_KEY, Campaign, verdict
from tests.simulators.sigstore_keys import AT
from trust_root.delivery import time_basis
from trust_root.roles import lifetime
from trust_root.site import load_site

ACCEPTED = (0, "")
SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)
EXPIRY = START + lifetime("main")  # timestamp, snapshot, targets and stream of a bundle signed at START
GRACE = 'site = "plant"\n[time]\nmode = "grace"\ngrace_days = 30\n'
MAX_AGE = 'site = "plant"\n[time]\nmax_age_days = 10\n'


@pytest.fixture
def world(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path, "alpha", "beta")


# -- expiry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (EXPIRY - SECOND, ACCEPTED),
        (EXPIRY, (4, "expired")),
        (EXPIRY + SECOND, (4, "expired")),
        (EXPIRY + 10 * YEAR, (4, "expired")),
    ],
)
def test_expiry_to_the_second(world: Campaign, clock: datetime, expected: tuple[int, str]) -> None:
    bundle = world.deliver("alpha")
    before = world.state_bytes()
    assert world.judge(bundle, clock=clock) == expected
    assert (world.state_bytes() == before) == (expected != ACCEPTED)


def test_an_expired_bundle_tells_the_dates_and_the_way_out(world: Campaign) -> None:
    report = world.report(world.deliver("alpha"), clock=EXPIRY)
    assert report.failure is not None
    assert "stream on 2027-11-01T12:00:00Z" in report.failure.got
    assert any("--at" in hint for hint in report.failure.hints)
    assert any("grace_days" in hint for hint in report.failure.hints)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (EXPIRY, ACCEPTED),
        (EXPIRY + 30 * DAY - SECOND, ACCEPTED),
        (EXPIRY + 30 * DAY, (4, "expired")),
        (EXPIRY + 30 * DAY + SECOND, (4, "expired")),
    ],
)
def test_grace_to_the_second(world: Campaign, clock: datetime, expected: tuple[int, str]) -> None:
    world.settings(GRACE)
    report = world.report(world.deliver("alpha"), clock=clock)
    assert verdict(report) == expected
    if expected == ACCEPTED:
        assert report.trust is not None
        stale = {role.role for role in report.trust.roles if role.stale}
        assert stale == {"timestamp", "snapshot", "targets", "stream"}
        assert len(report.trust.warnings) == 4
        assert all("grace of 30 days" in line for _, line in report.trust.warnings)


def test_only_the_newest_roots_expiry_counts(tmp_path: Path) -> None:
    world = Campaign(tmp_path, "alpha")
    world.repository.add_root(START + 2 * YEAR)
    later = START + 4 * YEAR
    world.repository.publish(later)
    assert world.judge(world.deliver("alpha", at=later), clock=later) == ACCEPTED  # root 1 is dead for a year


def test_the_newest_root_of_the_site_may_have_expired_too(tmp_path: Path) -> None:
    """A short-lived root 2, once known, counts for every bundle: a root that has ended vouches for nothing."""
    world = Campaign(tmp_path, "alpha", "beta")
    one = world.deliver("alpha")
    world.repository.add_root(START, lives=30 * DAY)
    assert world.judge(world.deliver("beta")) == ACCEPTED
    assert world.judge(one, clock=START + 29 * DAY) == (4, "rollback")
    assert world.judge(one, clock=START + 30 * DAY) == (4, "expired")


def test_an_accepted_bundle_expires_like_any_other(world: Campaign) -> None:
    bundle = world.deliver("alpha")
    assert world.judge(bundle) == ACCEPTED
    assert world.judge(bundle, clock=EXPIRY) == (4, "expired")
    assert world.judge(bundle, clock=EXPIRY, historic=True) == (4, "expired")
    assert world.judge(bundle, clock=EXPIRY, at=NOW) == ACCEPTED


def test_max_age(world: Campaign) -> None:
    world.settings(MAX_AGE)
    bundle = world.deliver("alpha")
    assert world.judge(bundle, clock=START + 10 * DAY + SECOND) == (4, "too-old")
    assert world.judge(bundle, clock=START + 10 * DAY) == ACCEPTED
    assert world.judge(bundle, clock=START + 10 * DAY + SECOND) == (4, "too-old")


# -- a clock that is wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        (NOW + DAY, ACCEPTED),
        (NOW + DAY + SECOND, (4, "created-in-future")),
        (NOW + 300 * DAY, (4, "created-in-future")),
    ],
)
def test_created_in_the_future(world: Campaign, created: datetime, expected: tuple[int, str]) -> None:
    bundle = world.deliver("alpha", at=created)
    before = world.state_bytes()
    assert world.judge(bundle) == expected
    assert (world.state_bytes() == before) == (expected != ACCEPTED)


def test_created_in_the_future_is_measured_by_the_clock_not_by_the_floor(world: Campaign) -> None:
    """Else each bundle could push the floor a day further, and the next one with it."""
    assert world.judge(world.deliver("alpha", at=NOW + DAY)) == ACCEPTED
    assert world.judge(world.deliver("alpha", at=NOW + DAY + SECOND)) == (4, "created-in-future")
    assert load_site(world.state).floor == NOW + DAY


def test_the_floor_is_what_bundles_proved_never_the_clock(world: Campaign) -> None:
    assert load_site(world.state).floor is None
    assert world.judge(world.deliver("alpha", at=START), clock=NOW + 100 * DAY) == ACCEPTED
    assert load_site(world.state).floor == START


def test_the_floor_learns_from_verified_log_times(tmp_path: Path) -> None:
    """The image was signed in March; a bundle that says it was created in January still proves March."""
    world = Campaign(tmp_path, "alpha")
    january = datetime(2026, 1, 1, tzinfo=UTC)
    world.repository.streams["alpha"].signed_at = january
    assert world.judge(world.deliver("alpha", at=january), clock=START) == ACCEPTED
    assert load_site(world.state).floor == AT


def test_no_evidence_pushes_the_floor_past_the_clock(tmp_path: Path) -> None:
    """A log time far after the clock (the clock is wrong, or the log is) is not believed, and leaves no trace."""
    world = Campaign(tmp_path, "alpha")
    early = AT - 30 * DAY
    world.repository.streams["alpha"].signed_at = early
    assert world.judge(world.deliver("alpha", at=early), clock=early) == (1, "time-in-future")
    assert load_site(world.state).floor is None


def test_the_floor_never_goes_down(world: Campaign) -> None:
    assert world.judge(world.deliver("alpha", at=START + DAY)) == ACCEPTED
    assert world.judge(world.deliver("beta", at=START)) == ACCEPTED
    assert load_site(world.state).floor == START + DAY


@pytest.mark.parametrize("rejected", [None, KEYED])
def test_refusals_do_not_move_the_floor(world: Campaign, rejected: str | None) -> None:
    code, _ = world.judge(world.deliver("alpha", at=NOW), rejected)
    assert code == 1
    assert load_site(world.state).floor is None


LADDER = [-30 * YEAR, -YEAR, -2 * DAY, -DAY - SECOND, -DAY, -SECOND, 0 * DAY, SECOND, DAY, 300 * DAY, YEAR, 30 * YEAR]


@pytest.mark.parametrize("step", LADDER, ids=str)
def test_the_clock_ladder(world: Campaign, step: timedelta) -> None:
    """F16: the clock from thirty years behind the floor to thirty years after it."""
    floor = START + 100 * DAY
    first, second = world.deliver("alpha", at=floor), world.deliver("alpha", at=floor)
    assert world.judge(first, clock=floor) == ACCEPTED
    clock = floor + step
    before = world.state_bytes()
    if step < -DAY:
        with pytest.raises(TrustError) as error:
            world.judge(second, clock=clock)
        assert error.value.code == "clock-behind"
        assert error.value.exit_code == 4
        assert world.state_bytes() == before
        return
    report = world.report(second, clock=clock)
    dead = max(clock, floor) >= EXPIRY  # targets were signed at START; the rest lives longer
    assert verdict(report) == ((4, "expired") if dead else ACCEPTED)
    assert report.time is not None
    assert (report.time.at, report.time.source) == (max(clock, floor), "floor" if step < 0 * DAY else "clock")


def test_a_clock_set_back_revives_nothing(world: Campaign) -> None:
    """T1: the battery died, the clock says yesterday; the floor still says that the bundle has expired."""
    old = world.deliver("alpha")
    world.repository.publish(EXPIRY)
    assert world.judge(world.deliver("beta", at=EXPIRY + SECOND), clock=EXPIRY + DAY) == ACCEPTED
    assert world.judge(old, clock=EXPIRY - DAY / 2) == (4, "expired")
    with pytest.raises(TrustError, match="clock"):
        world.judge(old, clock=NOW)


def test_the_floor_set_by_hand_is_the_way_out(world: Campaign) -> None:
    assert world.judge(world.deliver("alpha", at=START + 300 * DAY), clock=START + 300 * DAY) == ACCEPTED
    with pytest.raises(TrustError):
        world.judge(world.deliver("beta"), clock=NOW)
    load_site(world.state).set_floor(START, "the clock was a year ahead", NOW)
    assert world.judge(world.deliver("beta"), clock=NOW) == ACCEPTED


# -- audits -----------------------------------------------------------------------------------------------------------


def test_an_audit_needs_a_reason(world: Campaign) -> None:
    bundle = world.deliver("alpha")
    for at, reason in ((NOW, None), (NOW, ""), (NOW, "  "), (None, "because")):
        with pytest.raises(UsageError) as error:
            time_basis(NOW, None, at, reason)
        assert error.value.code == "at-reason"
    assert world.judge(bundle, at=NOW) == ACCEPTED


def test_an_audit_refuses_nothing_for_its_age_and_tells_todays_verdict(world: Campaign) -> None:
    bundles = [world.deliver("alpha") for _ in range(3)]
    assert world.judge(bundles[1]) == ACCEPTED
    assert world.judge(bundles[2]) == ACCEPTED
    before = world.state_bytes()
    for bundle, today in ((bundles[0], "never-accepted"), (bundles[1], "superseded"), (bundles[2], None)):
        report = world.report(bundle, at=START + DAY)
        assert verdict(report) == ACCEPTED
        assert report.trust is not None
        assert report.trust.standing == "audit"
        assert report.trust.today.startswith(f"refused ({today})" if today else "would be accepted")
        assert report.trust.recorded == "rollback was checked, not recorded"
        assert report.time is not None
        assert (report.time.at, report.time.source, report.time.reason) == (START + DAY, "typed", "test")
    assert world.state_bytes() == before


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (EXPIRY - SECOND, ACCEPTED),
        (EXPIRY, (4, "expired")),
        (START - DAY, ACCEPTED),
        (START - DAY - SECOND, (4, "created-in-future")),
        (datetime(1970, 1, 1, tzinfo=UTC), (4, "created-in-future")),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), (4, "expired")),
    ],
)
def test_an_audit_judges_expiry_and_creation_at_the_typed_time(
    world: Campaign, at: datetime, expected: tuple[int, str]
) -> None:
    before = world.state_bytes()
    assert world.judge(world.deliver("alpha"), at=at, clock=START + 10 * YEAR) == expected
    assert world.state_bytes() == before


def test_an_audit_of_a_bundle_whose_stream_was_revoked_says_so(world: Campaign) -> None:
    one = world.deliver("alpha")
    world.repository.revoke_stream("alpha")
    assert world.judge(world.deliver("beta")) == ACCEPTED
    report = world.report(one, at=NOW)
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert report.trust.today.startswith("refused (no-longer-accepted)")


def test_an_audit_judges_evidence_by_the_newest_material(world: Campaign) -> None:
    one = world.deliver("alpha", keyed=True)
    world.repository.publish(remove=[TEAM_KEY])
    assert world.judge(world.deliver("beta")) == ACCEPTED
    report = world.report(one, KEYED, at=NOW)
    assert verdict(report) == (1, "key-unknown")
    then = [check.detail for check in report.checks if check.name == "material-then"]
    assert then == ["by the bundle's own trusted material: verified; the newest material decides"]


def test_an_audit_sets_no_clock_right(world: Campaign) -> None:
    """A clock far behind the floor stops a verification; an audit names its own time and goes on."""
    bundle = world.deliver("alpha", at=START + 100 * DAY)
    assert world.judge(bundle, clock=START + 100 * DAY) == ACCEPTED
    assert world.judge(bundle, clock=START, at=START + 100 * DAY) == ACCEPTED


# -- what may be written ----------------------------------------------------------------------------------------------


def new_root_bundle(world: Campaign) -> Path:
    world.repository.add_root()
    return world.deliver("alpha")


@pytest.mark.parametrize("knobs", [{"read_only": True}, {"at": NOW}, {"read_only": True, "at": NOW}], ids=str)
def test_read_only_and_audits_write_nothing_at_all(world: Campaign, knobs: dict[str, object]) -> None:
    """Not a byte, not a file, not a time of change; roots included. The lock is a file too."""
    assert world.judge(world.deliver("beta")) == ACCEPTED
    genuine = new_root_bundle(world)
    before = world.state_bytes()
    times = stamps(world.state)
    report = world.report(genuine, **knobs)
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert report.trust.recorded == "rollback was checked, not recorded"
    assert world.judge(genuine, None, **knobs) == (1, "no-policy")
    assert world.state_bytes() == before
    assert stamps(world.state) == times


def test_read_only_works_where_nothing_can_be_written(world: Campaign) -> None:
    bundle = new_root_bundle(world)
    folders = [world.state, *(path for path in world.state.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert world.judge(bundle, read_only=True) == ACCEPTED
        if os.geteuid():
            assert world.judge(bundle)[0] == 6
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_read_only_checks_rollback_all_the_same(world: Campaign) -> None:
    one, two = world.deliver("alpha"), world.deliver("alpha")
    assert world.judge(two) == ACCEPTED
    assert world.judge(one, read_only=True) == (4, "never-accepted")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda raw: raw[:-1], (3, "truncated")),
        (lambda raw: raw + b"\0", (3, "trailing-data")),
        (lambda raw: raw[:1000] + b"!" + raw[1001:], (3, "readme")),
    ],
)
def test_refusals_leave_the_state_untouched(world: Campaign, spoil: object, expected: tuple[int, str]) -> None:
    assert callable(spoil)
    bundle = world.deliver("alpha")
    before, times = world.state_bytes(), stamps(world.state)
    assert world.judge(world.write(spoil(bundle.read_bytes()))) == expected
    assert world.judge(bundle, KEYED) == (1, "key-material")
    assert world.judge(bundle, None) == (1, "no-policy")
    assert world.state_bytes() == before
    assert stamps(world.state) == times


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of everything in a folder, itself included."""
    found = [folder, *folder.rglob("*")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


# -- without a pin ----------------------------------------------------------------------------------------------------


def test_without_a_pin_nothing_is_trusted_and_nothing_made(
    world: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """I4: never trust on first use."""
    bundle = world.deliver("alpha")
    empty = tmp_path / "empty-state"
    assert main(["verify", str(bundle), "--state", str(empty)]) == 4
    assert not empty.exists()
    captured = capsys.readouterr()
    assert "trust pin" in captured.err
    assert "VERIFIED" not in captured.out
