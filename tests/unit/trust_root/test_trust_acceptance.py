"""A bundle and a site's memory: every sentence of DESIGN section 4 about the comparison, kept and broken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.errors import TrustError, UsageError
from tests.simulators.deliveries import change_settings
from tests.simulators.tuf_repository import START, TufRepository
from tests.simulators.tuf_site import Parcel, Place, but_for_the_log
from trust_root.delivery import time_basis
from trust_root.keys import generate_key
from trust_root.metadata import parse_targets
from trust_root.newest import accepted_targets
from trust_root.pin import pin_root
from trust_root.reanchor import reanchor
from trust_root.refresh import refresh_roots, root_files

DAY = timedelta(days=1)
OLD_LOG = {"trusted_root/public-good.json": b'{"log":"open"}', "keys/vendor.pub": b"key 1"}


@pytest.fixture
def repository() -> TufRepository:
    return TufRepository("main", "other", targets=OLD_LOG)


@pytest.fixture
def place(tmp_path: Path, repository: TufRepository) -> Place:
    return Place(tmp_path, repository)


def code_of(place: Place, parcel: Parcel, at: datetime = START, **options: bool | datetime) -> str:
    """Reason code of a refusal, after proving that it changed nothing but, for an alarm, the log."""
    before = place.bytes_of_state()
    with pytest.raises(TrustError) as error:
        place.take(parcel, at, **options)  # type: ignore[arg-type]
    after = place.bytes_of_state()
    assert error.value.exit_code == 4
    if error.value.code in {"root-fork", "targets-fork", "equivocation"} and "typed" not in options:
        assert after["log.jsonl"] != before["log.jsonl"]
        assert but_for_the_log(after) == but_for_the_log(before)
    else:
        assert after == before
    return error.value.code


class TestSequence:
    def test_first_any_sequence(self, place: Place) -> None:
        standing = place.take(place.make("main", b"seven", sequence=7))
        assert (standing.status, standing.warnings, standing.recorded) == ("first", (), True)

    def test_next(self, place: Place) -> None:
        place.take(place.make("main", b"one"))
        assert place.take(place.make("main", b"two")).status == "next"

    def test_gap_names_the_missing_numbers(self, place: Place) -> None:
        place.take(place.make("main", b"one"))
        standing = place.take(place.make("main", b"five", sequence=5, previous=sha256_of(b"four")))
        assert (standing.status, standing.missing) == ("gap", (2, 4))
        assert standing.warnings == ("gap: sequences 2 to 4 of stream main never arrived here",)

    def test_gap_of_one(self, place: Place) -> None:
        place.take(place.make("main", b"one"))
        standing = place.take(place.make("main", b"three", sequence=3, previous=sha256_of(b"two")))
        assert standing.warnings == ("gap: sequence 2 of stream main never arrived here",)

    def test_the_newest_again(self, place: Place) -> None:
        parcel = place.make("main", b"one")
        place.take(parcel)
        before = place.bytes_of_state()
        standing = place.take(parcel, START + DAY)
        assert (standing.status, standing.accepted_at) == ("already-accepted", START)
        assert place.bytes_of_state() == before

    def test_an_older_accepted_one(self, place: Place) -> None:
        one = place.make("main", b"one")
        place.take(one)
        place.take(place.make("main", b"two"), START + DAY)
        assert code_of(place, one, START + DAY) == "superseded"
        before = place.bytes_of_state()
        standing = place.take(one, START + DAY, historic=True)
        assert (standing.status, standing.accepted_at) == ("historic", START)
        assert place.bytes_of_state() == before

    def test_an_older_one_never_accepted(self, place: Place) -> None:
        place.take(place.make("main", b"one"))
        missed = place.make("main", b"two")
        place.make("main", b"three")
        place.take(place.make("main", b"four"))
        assert code_of(place, missed) == "never-accepted"
        assert code_of(place, missed, historic=True) == "never-accepted"

    def test_the_same_sequence_with_another_inventory(self, place: Place, repository: TufRepository) -> None:
        twin = repository.fork()
        place.take(place.make("main", b"one"))
        assert code_of(place, place.make("main", b"stolen", repository=twin)) == "equivocation"

    def test_the_same_sequence_under_a_later_version_of_the_stream(
        self, place: Place, repository: TufRepository
    ) -> None:
        twin = repository.fork()
        place.take(place.make("main", b"one"))
        twin.streams["main"].version += 3
        assert code_of(place, place.make("main", b"stolen", repository=twin)) == "equivocation"

    def test_a_stolen_sequence_of_an_older_accepted_one(self, place: Place, repository: TufRepository) -> None:
        twin = repository.fork()
        place.take(place.make("main", b"one"))
        place.take(place.make("main", b"two"))
        assert code_of(place, place.make("main", b"stolen", repository=twin)) == "equivocation"

    def test_a_previous_that_is_not_ours(self, place: Place) -> None:
        place.take(place.make("main", b"one"))
        assert code_of(place, place.make("main", b"two", previous=sha256_of(b"x"))) == "equivocation"

    def test_a_previous_that_is_ours_but_of_another_sequence(self, place: Place) -> None:
        one = place.make("main", b"one")
        place.take(one)
        parcel = place.make("main", b"five", sequence=5, previous=one.delivery.inventory)
        assert code_of(place, parcel) == "equivocation"

    def test_a_missed_one_that_its_successor_does_not_name(self, place: Place) -> None:
        place.take(place.make("main", b"one"))
        place.take(place.make("main", b"three", sequence=3, previous=sha256_of(b"two")))
        forged = place.make("main", b"other two", sequence=2, previous=sha256_of(b"one"))
        assert code_of(place, forged) == "equivocation"

    def test_the_same_stream_version_with_other_content(self, place: Place, repository: TufRepository) -> None:
        place.take(place.make("main", b"one"))
        repository.streams["main"].version -= 1
        assert code_of(place, place.make("main", b"two")) == "equivocation"

    def test_two_streams_do_not_disturb_each_other(self, place: Place) -> None:
        for round_ in range(3):
            for stream in ("main", "other"):
                parcel = place.make(stream, f"{stream} {round_}".encode())
                assert place.take(parcel).status == ("first" if round_ == 0 else "next")

    def test_an_equivocation_is_told_even_if_it_is_not_for_this_site(
        self, place: Place, repository: TufRepository
    ) -> None:
        twin = repository.fork()
        place.take(place.make("main", b"one"))
        parcel = place.make("main", b"stolen", repository=twin, audience=("elsewhere",))
        assert code_of(place, parcel) == "equivocation"
        assert '"code":"equivocation"' in place.site().loaded.log[-1]


class TestIdentity:
    def test_an_exporter_who_wraps_anothers_inventory(self, place: Place) -> None:
        parcel = place.make("main", b"one")
        assert code_of(place, replace(parcel, delivery=replace(parcel.delivery, stream="other"))) == "stream-mismatch"

    def test_a_sequence_that_the_path_denies(self, place: Place) -> None:
        parcel = place.make("main", b"one")
        delivery = replace(parcel.delivery, sequence=2, previous=sha256_of(b"x"))
        assert code_of(place, replace(parcel, delivery=delivery)) == "sequence-mismatch"

    def test_no_previous_exactly_when_it_is_the_first(self, place: Place) -> None:
        parcel = place.make("main", b"one")
        delivery = replace(parcel.delivery, previous=sha256_of(b"x"))
        assert code_of(place, replace(parcel, delivery=delivery)) == "sequence-mismatch"

    def test_another_inventory(self, place: Place) -> None:
        parcel = place.make("main", b"one")
        delivery = replace(parcel.delivery, inventory=sha256_of(b"x"))
        assert code_of(place, replace(parcel, delivery=delivery)) == "inventory-digest"


class TestVersions:
    def test_lower_targets(self, place: Place, repository: TufRepository) -> None:
        old = repository.targets_raw()
        repository.publish(keys__b_dot_pub=b"2")
        place.take(place.make("main", b"one"))
        repository.streams["other"].targets_raw = old
        assert code_of(place, place.make("other", b"one")) == "rollback"

    def test_lower_root(self, place: Place, repository: TufRepository) -> None:
        behind = repository.fork()
        repository.add_root()
        place.take(place.make("main", b"one"))
        assert code_of(place, place.make("other", b"one", repository=behind)) == "rollback"

    def test_lower_stream_version(self, place: Place, repository: TufRepository) -> None:
        place.take(place.make("main", b"one"))
        place.take(place.make("main", b"two"))
        repository.streams["main"].version -= 2
        assert code_of(place, place.make("main", b"three")) == "rollback"

    @pytest.mark.parametrize("field", ["timestamp_version", "snapshot_version"])
    def test_lower_version_by_the_same_key(self, place: Place, repository: TufRepository, field: str) -> None:
        place.take(place.make("main", b"one"))
        place.take(place.make("main", b"two"))
        stream = repository.streams["main"]
        setattr(stream, field, getattr(stream, field) - 2)
        assert code_of(place, place.make("main", b"three")) == "rollback"

    def test_lower_online_versions_by_another_key_are_no_rollback(
        self, place: Place, repository: TufRepository
    ) -> None:
        repository.streams["main"].timestamp_version = repository.streams["main"].snapshot_version = 90
        place.take(place.make("main", b"one"))
        assert place.take(place.make("other", b"one")).status == "first"

    def test_the_newest_again_although_targets_moved_on(self, place: Place, repository: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        repository.publish(keys__b_dot_pub=b"2")
        repository.add_root()
        place.take(place.make("other", b"one"))
        standing = place.take(one)
        assert standing.status == "already-accepted"
        assert standing.targets["keys/b.pub"] == b"2"

    def test_nothing_goes_down_when_the_newest_comes_again(self, place: Place, repository: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        repository.publish(keys__b_dot_pub=b"2")
        repository.add_root()
        place.take(place.make("other", b"one"))
        before = place.bytes_of_state()
        place.take(one)
        assert place.bytes_of_state() == before

    def test_nothing_goes_down_when_it_comes_again_in_older_metadata(
        self, place: Place, repository: TufRepository
    ) -> None:
        one = place.make("main", b"one")
        place.take(one)
        stream = repository.streams["main"]
        stream.version, stream.snapshot_version, stream.timestamp_version = 7, 8, 9
        assert place.take(Parcel(repository.files(), one.delivery)).status == "already-accepted"
        before = place.bytes_of_state()
        assert place.take(one).status == "already-accepted"
        assert place.bytes_of_state() == before

    def test_two_targets_of_one_version(self, place: Place, repository: TufRepository) -> None:
        twin = repository.fork()
        repository.publish(keys__b_dot_pub=b"2")
        twin.publish(keys__b_dot_pub=b"3")
        place.take(place.make("main", b"one"))
        assert code_of(place, place.make("other", b"one", repository=twin)) == "targets-fork"

    def test_targets_that_a_new_root_does_not_accept_hold_nobody_up(
        self, place: Place, repository: TufRepository
    ) -> None:
        """Recovery from a fast-forward: stolen target keys pushed the version up, a new root takes them out."""
        repository.targets_version = 2**50
        place.take(place.make("main", b"one"))
        repository.add_root(holders=[generate_key() for _ in range(3)])
        repository.targets_version = 2
        standing = place.take(place.make("main", b"two"))
        assert (standing.status, standing.targets_version) == ("next", 2)
        assert any("no longer hold under root 2" in line for line in standing.warnings)
        held = place.site().loaded.pins[0]
        assert held.record.targets is not None
        assert held.record.targets[0] == 2


class TestRotation:
    def test_a_bundle_by_a_rotated_key_is_refused(self, place: Place, repository: TufRepository) -> None:
        behind = repository.fork()
        repository.rotate_stream("main")
        place.take(place.make("main", b"one"))
        stolen = place.make("main", b"two", sequence=2, previous=sha256_of(b"one"), repository=behind)
        assert code_of(place, stolen) == "no-longer-accepted"

    def test_the_newest_accepted_one_by_a_rotated_key(self, place: Place, repository: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        repository.rotate_stream("main")
        place.take(place.make("other", b"one"))
        assert code_of(place, one) == "no-longer-accepted"
        standing = place.take(one, historic=True)
        assert (standing.status, standing.accepted_at) == ("historic", START)

    def test_an_older_accepted_one_by_a_rotated_key(self, place: Place, repository: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        repository.rotate_stream("main")
        place.take(place.make("main", b"two"))
        assert code_of(place, one) == "superseded"
        assert place.take(one, historic=True).status == "historic"

    def test_a_stream_taken_out_of_the_targets_alone(self, place: Place, repository: TufRepository) -> None:
        """Its online key may still stand in the root; without a delegation it has no voice."""
        one = place.make("other", b"one")
        place.take(one)
        gone = repository.streams.pop("other")
        repository.add_root(online=[repository.streams["main"].key, gone.key])
        repository.publish()
        place.take(place.make("main", b"one"))
        assert code_of(place, one) == "no-longer-accepted"

    def test_newer_roots_land_even_if_the_bundle_is_refused(self, place: Place, repository: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        twin = repository.fork()
        twin.rotate_stream("main")
        revoking = place.make("other", b"one", repository=twin, audience=("elsewhere",))
        with pytest.raises(TrustError) as error:
            place.take(revoking)
        assert error.value.code == "audience"
        site = place.site()
        assert sorted(site.loaded.pins[0].roots) == [1, 2]
        assert '"kind":"roots"' in site.loaded.log[-1]
        assert "other" not in site.loaded.pins[0].record.streams
        assert code_of(place, one) == "no-longer-accepted"

    @pytest.mark.parametrize("stay", [0, 1])
    def test_targets_by_holders_that_were_retired_are_of_no_use_any_more(
        self, place: Place, repository: TufRepository, stay: int
    ) -> None:
        """Without a bundle at hand: all who signed them are gone, or too few of them are left."""
        place.take(place.make("main", b"one"))
        (pin,) = place.site().loaded.pins
        assert accepted_targets(pin, START, timedelta(0)) == OLD_LOG
        kept = repository.holders[:stay]
        repository.add_root(holders=[*kept, *(generate_key() for _ in range(3 - stay))])
        with pytest.raises(TrustError):
            place.take(place.make("other", b"one", audience=("elsewhere",)))
        (pin,) = place.site().loaded.pins
        assert sorted(pin.roots) == [1, 2]
        with pytest.raises(TrustError) as error:
            accepted_targets(pin, START, timedelta(0))
        assert error.value.code == "targets-retired"

    @pytest.mark.parametrize("grace", [timedelta(0), 5 * DAY])
    def test_targets_without_a_bundle_expire_to_the_second(self, place: Place, grace: timedelta) -> None:
        place.take(place.make("main", b"one"))
        (pin,) = place.site().loaded.pins
        assert pin.targets_metadata is not None
        end = parse_targets(pin.targets_metadata).signed.expires + grace
        assert accepted_targets(pin, end - timedelta(seconds=1), grace) == OLD_LOG
        with pytest.raises(TrustError) as error:
            accepted_targets(pin, end, grace)
        assert error.value.code == "expired"

    def test_newer_roots_land_even_if_the_rest_has_expired(self, place: Place, repository: TufRepository) -> None:
        repository.add_root(START + 360 * DAY)
        with pytest.raises(TrustError) as error:
            place.take(place.make("main", b"one"), START + 400 * DAY)
        assert error.value.code == "expired"
        assert sorted(place.site().loaded.pins[0].roots) == [1, 2]

    def test_a_fork_by_retired_keys(self, place: Place, repository: TufRepository) -> None:
        thieves = repository.fork()
        repository.add_root(holders=[generate_key() for _ in range(3)])
        place.take(place.make("main", b"one"))
        thieves.streams["main"].key = generate_key()
        thieves.add_root()
        assert code_of(place, place.make("main", b"evil", repository=thieves)) == "root-fork"
        assert '"code":"root-fork"' in place.site().loaded.log[-1]

    def test_a_fork_that_is_longer(self, place: Place, repository: TufRepository) -> None:
        thieves = repository.fork()
        repository.add_root(holders=[generate_key() for _ in range(3)])
        place.take(place.make("main", b"one"))
        for _ in range(4):
            thieves.add_root()
        assert code_of(place, place.make("main", b"evil", repository=thieves)) == "root-fork"

    def test_a_fork_under_an_older_pin_of_the_same_trust_root(
        self, place: Place, repository: TufRepository, tmp_path: Path
    ) -> None:
        thieves = repository.fork()
        newest = repository.add_root(holders=[generate_key() for _ in range(3)])
        second = Place.__new__(Place)
        second.state, second.repository, second.name, second.last = tmp_path / "second", repository, None, {}
        pin_root(second.state, newest, sha256_of(newest), START)
        second.take(second.make("main", b"one"))
        with pytest.raises(UsageError) as error:
            pin_root(second.state, repository.pin, sha256_of(repository.pin), START, add=True)
        assert error.value.code == "pin-covered"
        thieves.add_root()
        assert code_of(second, second.make("main", b"evil", repository=thieves)) == "pin-not-in-bundle"

    @pytest.mark.parametrize("seen_before", [True, False])
    def test_two_pins_of_one_trust_root_still_see_a_fork(self, tmp_path: Path, seen_before: bool) -> None:
        repository = TufRepository("main")
        thieves = repository.fork()
        newest = repository.add_root(holders=[generate_key() for _ in range(3)])
        place = Place(tmp_path, repository)
        pin_root(place.state, newest, sha256_of(newest), START, add=True)
        if seen_before:
            place.take(place.make("main", b"one"))
        thieves.add_root()
        assert code_of(place, place.make("main", b"evil", repository=thieves)) == "root-fork"

    @pytest.mark.parametrize("read_only", [True, False])
    def test_an_older_pin_beside_a_newer_one_forgets_no_revocation(self, tmp_path: Path, read_only: bool) -> None:
        """The newer pin has learned of the rotation, the older one has not; they belong to one trust root."""
        place, repository, stolen = newer_pin_first(tmp_path)
        repository.rotate_stream("main")
        site = place.site()
        refresh_roots(site, root_files(tuple(repository.roots)), time_basis(START, None))
        pin_root(place.state, repository.pin, sha256_of(repository.pin), START, add=True)
        with pytest.raises(TrustError) as error:
            place.take(place.make("main", b"evil", repository=stolen), read_only=read_only)
        assert error.value.code == "no-longer-accepted"
        place.last.clear()
        assert place.take(place.make("main", b"one"), read_only=read_only).status == "first"

    def test_an_older_pin_brings_nothing_back_below_one_that_was_given_up(self, tmp_path: Path) -> None:
        place, repository, _ = newer_pin_first(tmp_path)
        other = TufRepository("main").pin
        reanchor(place.state, other, sha256_of(other), START, operators=("A", "B"), reason="stolen")
        pin_root(place.state, repository.pin, sha256_of(repository.pin), START, add=True)
        assert code_of(place, place.make("main", b"one")) == "pin-retired"


def newer_pin_first(folder: Path) -> tuple[Place, TufRepository, TufRepository]:
    """A site that has pinned root 2, the repository, and a copy of it as it is now."""
    repository = TufRepository("main")
    newest = repository.add_root()
    place = Place.__new__(Place)
    place.state, place.repository, place.name, place.last = folder / "state", repository, None, {}
    pin_root(place.state, newest, sha256_of(newest), START)
    return place, repository, repository.fork()


class TestPins:
    def test_a_bundle_from_another_root(self, place: Place) -> None:
        stranger = TufRepository("main")
        assert code_of(place, place.make("main", b"one", repository=stranger)) == "pin-not-in-bundle"

    def test_each_pin_has_a_memory_of_its_own(self, place: Place) -> None:
        second = TufRepository("main")
        pin_root(place.state, second.pin, sha256_of(second.pin), START, add=True)
        assert place.take(place.make("main", b"one")).status == "first"
        place.last.clear()
        assert place.take(place.make("main", b"uno", repository=second)).status == "first"


class TestMaterial:
    def test_the_newest_targets_judge_older_bundles(self, place: Place, repository: TufRepository) -> None:
        one = place.make("main", b"one")
        assert dict(place.take(one).targets) == OLD_LOG
        closed = b'{"log":"closed"}'
        repository.publish(trusted_root__public__good=b"", remove=["keys/vendor.pub"])
        del repository.contents["trusted_root/public/good"]
        repository.contents["trusted_root/public-good.json"] = closed
        place.take(place.make("main", b"two"))
        standing = place.take(one, historic=True)
        assert dict(standing.targets) == {"trusted_root/public-good.json": closed}

    def test_newer_targets_of_the_bundle_judge_at_once(self, place: Place, repository: TufRepository) -> None:
        place.take(place.make("main", b"one"))
        repository.publish(remove=["keys/vendor.pub"])
        assert "keys/vendor.pub" not in place.take(place.make("main", b"two")).targets

    def test_when_no_targets_hold_any_more_history_says_so(self, place: Place, repository: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        repository.add_root(holders=[generate_key() for _ in range(3)])
        with pytest.raises(TrustError):
            place.take(place.make("other", b"one", audience=("elsewhere",)))
        standing = place.take(one, historic=True)
        assert standing.status == "historic"
        assert any("no targets known here hold" in line for line in standing.warnings)

    @pytest.mark.parametrize("given_up", [False, True])
    def test_stolen_and_retired_keys_put_nothing_in_the_place_of_what_was_accepted(
        self, place: Place, repository: TufRepository, given_up: bool
    ) -> None:
        """The thief wraps an accepted inventory in targets of its own; keys that count have signed none yet."""
        one = place.make("main", b"one")
        place.take(one)
        thieves = repository.fork()
        place.take(place.make("main", b"two"))
        if given_up:
            new = TufRepository("main").pin
            reanchor(place.state, new, sha256_of(new), START, operators=("A", "B"), reason="stolen")
        else:
            repository.add_root(holders=[generate_key() for _ in range(3)])
            with pytest.raises(TrustError):
                place.take(place.make("other", b"one", audience=("elsewhere",)))
        thieves.contents, thieves.targets_version = {**OLD_LOG, "keys/vendor.pub": b"the thief's"}, 99
        standing = place.take(Parcel(thieves.files("main"), one.delivery), historic=True)
        assert (standing.status, dict(standing.targets), standing.targets_version) == ("historic", OLD_LOG, 1)


class TestTime:
    def test_created_in_the_future(self, place: Place) -> None:
        assert place.take(place.make("main", b"one", START + DAY)).status == "first"
        later = place.make("main", b"two", START + DAY + timedelta(seconds=1))
        assert code_of(place, later) == "created-in-future"

    def test_the_floor_is_what_was_proved(self, place: Place) -> None:
        place.take(place.make("main", b"one"), START + 20 * DAY, evidence_times=[START + 3 * DAY, START - DAY])
        assert place.site().floor == START + 3 * DAY
        place.take(place.make("main", b"two", START + DAY), START + 20 * DAY)
        assert place.site().floor == START + 3 * DAY

    def test_no_evidence_pushes_the_floor_past_the_present(self, place: Place) -> None:
        place.take(place.make("main", b"one"), evidence_times=[START + 9000 * DAY])
        assert place.site().floor == START

    def test_the_floor_stands_in_for_a_slow_clock(self, place: Place) -> None:
        place.take(place.make("main", b"one", START + DAY), START + DAY)
        basis = time_basis(START + timedelta(hours=1), place.site().floor)
        assert (basis.source, basis.at) == ("floor", START + DAY)

    def test_a_clock_behind(self, place: Place) -> None:
        place.take(place.make("main", b"one", START + 10 * DAY), START + 10 * DAY)
        with pytest.raises(TrustError) as error:
            place.take(place.make("main", b"two", START), START + 9 * DAY - timedelta(seconds=1))
        assert error.value.code == "clock-behind"
        assert any("--set-floor" in hint for hint in error.value.hints)
        place.site().set_floor(START, "the clock stood in 2031", START)
        assert place.take(place.make("main", b"three", START, sequence=3, previous=sha256_of(b"two"))).status == "gap"
        assert any('"kind":"set-floor"' in line for line in place.site().loaded.log)

    def test_a_floor_in_the_first_year_there_is(self, place: Place) -> None:
        first = datetime(1, 1, 1, tzinfo=UTC)
        parcel = place.make("main", b"one")
        parcel = replace(parcel, delivery=replace(parcel.delivery, created_at=first))
        place.take(parcel, evidence_times=[datetime(9999, 12, 31, tzinfo=UTC)])
        assert place.site().floor == first
        assert place.take(place.make("main", b"two")).status == "next"

    def test_a_refused_bundle_never_moves_the_floor(self, place: Place) -> None:
        code_of(place, place.make("main", b"one", START + DAY, audience=("elsewhere",)), START + DAY)
        assert place.site().floor is None

    def test_expired_and_its_ways_out(self, place: Place) -> None:
        parcel = place.make("main", b"one")
        assert code_of(place, parcel, START + 400 * DAY) == "expired"
        change_settings(place.state, 'site = "plant-7"\n[time]\nmode = "grace"\ngrace_days = 40\n')
        standing = place.take(parcel, START + 400 * DAY)
        assert standing.status == "first"
        assert "timestamp expired on 2027-11-01T12:00:00Z, within the site's grace of 40 days" in standing.warnings

    def test_too_old(self, place: Place) -> None:
        change_settings(place.state, 'site = "plant-7"\n[time]\nmax_age_days = 30\n')
        parcel = place.make("main", b"one")
        assert code_of(place, parcel, START + 30 * DAY + timedelta(seconds=1)) == "too-old"
        assert place.take(parcel, START + 30 * DAY).status == "first"

    def test_a_typed_time_needs_a_reason(self) -> None:
        for at, reason in ((START, None), (START, " "), (None, "because")):
            with pytest.raises(UsageError) as error:
                time_basis(START, None, at, reason)
            assert error.value.code == "at-reason"


class TestAudience:
    def test_named(self, place: Place) -> None:
        assert place.take(place.make("main", b"one", audience=("x", "plant-7"))).status == "first"

    def test_not_named(self, place: Place) -> None:
        assert code_of(place, place.make("main", b"one", audience=("plant-8",))) == "audience"

    def test_a_site_without_a_name(self, tmp_path: Path) -> None:
        place = Place(tmp_path, TufRepository("main"), name=None)
        assert code_of(place, place.make("main", b"one", audience=("plant-7",))) == "audience"
        assert place.take(place.make("main", b"two", audience=())).status == "first"


class TestAudit:
    def test_it_judges_at_its_time_and_writes_nothing(self, place: Place, repository: TufRepository) -> None:
        repository.add_root()
        parcel = place.make("main", b"one")
        before = place.bytes_of_state()
        standing = place.take(parcel, START + 4000 * DAY, typed=START + 2 * DAY)
        assert (standing.status, standing.recorded) == ("audit", False)
        assert standing.today is not None
        assert (standing.today.accepted, standing.today.code) == (False, "expired")
        assert place.bytes_of_state() == before

    def test_older_ones_are_not_refused_for_being_older(self, place: Place) -> None:
        one, two = place.make("main", b"one"), None
        place.take(one)
        missed = place.make("main", b"two")
        two = place.make("main", b"three")
        place.take(two)
        for parcel, code in ((one, "superseded"), (missed, "never-accepted"), (two, "already-accepted")):
            standing = place.take(parcel, typed=START)
            assert standing.today is not None
            assert (standing.status, standing.today.code) == ("audit", code)
        assert place.take(one, typed=START).accepted_at == START

    def test_both_verdicts_after_a_rotation(self, place: Place, repository: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        repository.rotate_stream("main")
        place.take(place.make("other", b"one"))
        standing = place.take(one, typed=START)
        assert standing.status == "audit"
        assert standing.today is not None
        assert (standing.today.accepted, standing.today.code) == (False, "no-longer-accepted")

    def test_a_rollback_is_told_not_refused(self, place: Place, repository: TufRepository) -> None:
        old = repository.targets_raw()
        repository.publish(keys__b_dot_pub=b"2")
        place.take(place.make("main", b"one"))
        repository.streams["other"].targets_raw = old
        standing = place.take(place.make("other", b"one"), typed=START)
        assert standing.today is not None
        assert standing.today.code == "rollback"
        assert standing.targets["keys/b.pub"] == b"2"

    def test_forks_and_equivocation_are_refused_all_the_same(self, place: Place, repository: TufRepository) -> None:
        twin, thieves = repository.fork(), repository.fork()
        repository.add_root(holders=[generate_key() for _ in range(3)])
        place.take(place.make("main", b"one"))
        for _ in range(2):
            twin.add_root()
        assert code_of(place, place.make("main", b"x", repository=twin), typed=START) == "root-fork"
        thieves.roots, thieves.holders = list(repository.roots), list(repository.holders)
        assert code_of(place, place.make("main", b"y", repository=thieves), typed=START) == "equivocation"

    def test_audience_and_creation_still_bind(self, place: Place) -> None:
        parcel = place.make("main", b"one", audience=("elsewhere",))
        assert code_of(place, parcel, typed=START) == "audience"
        parcel = place.make("main", b"two")
        assert code_of(place, parcel, typed=START - DAY - timedelta(seconds=1)) == "created-in-future"

    def test_a_dead_clock_is_no_hindrance(self, place: Place) -> None:
        parcel = place.make("main", b"one", START + 10 * DAY)
        place.take(parcel, START + 10 * DAY)
        standing = place.take(parcel, START - 9000 * DAY, typed=START + 10 * DAY)
        assert standing.status == "audit"


class TestReadOnly:
    def test_it_writes_nothing_roots_included(self, place: Place, repository: TufRepository) -> None:
        repository.add_root()
        before = place.bytes_of_state()
        standing = place.take(place.make("main", b"one"), read_only=True)
        assert (standing.status, standing.recorded) == ("first", False)
        assert place.bytes_of_state() == before

    def test_alarms_are_raised_but_not_written(self, place: Place, repository: TufRepository) -> None:
        twin = repository.fork()
        place.take(place.make("main", b"one"))
        before = place.bytes_of_state()
        with pytest.raises(TrustError) as error:
            place.take(place.make("main", b"stolen", repository=twin), read_only=True)
        assert error.value.code == "equivocation"
        assert place.bytes_of_state() == before
