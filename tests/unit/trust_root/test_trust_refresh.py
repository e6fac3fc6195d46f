"""Newer roots and targets without a delivery: from a repository, a bundle or a revocation file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import EnvError, TrustError
from tests.simulators.tuf_repository import START, TufRepository, altered
from tests.simulators.tuf_site import Place, but_for_the_log
from trust_root.delivery import time_basis
from trust_root.fetch import below, directory_fetch
from trust_root.newest import OpenedRoots, accepted_targets
from trust_root.pin import pin_root
from trust_root.reanchor import reanchor
from trust_root.refresh import FetchedFiles, RefreshedTargets, refresh_roots, refresh_targets, root_files
from trust_root.revocation import format_revocation, parse_revocation

DAY = timedelta(days=1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, TufRepository("main", "other", targets={"keys/vendor.pub": b"key"}))


def refresh(
    place: Place, files: Mapping[str, bytes], *, read_only: bool = False
) -> tuple[OpenedRoots, RefreshedTargets]:
    site = place.site(read_only=read_only)
    basis = time_basis(START, site.floor)
    roots = refresh_roots(site, files, basis)
    return roots, refresh_targets(site, roots, files, basis)


def refused(place: Place, files: Mapping[str, bytes]) -> str:
    with pytest.raises(TrustError) as error:
        refresh(place, files)
    assert error.value.exit_code == 4
    return error.value.code


def held(place: Place) -> tuple[int, int | None]:
    """Newest root and targets."""
    (pin,) = place.site().loaded.pins
    return max(pin.roots), None if pin.record.targets is None else pin.record.targets[0]


def revoke(place: Place, parcel_roots: list[bytes]) -> None:
    """What `trust refresh --from REVOCATION` does."""
    site = place.site()
    roots = parse_revocation(format_revocation(parcel_roots))
    refresh_roots(site, root_files(roots), time_basis(START, site.floor))


class TestFromFiles:
    """A bundle's files, or a repository's: the same rules."""

    def test_newer_roots_and_targets_are_kept_and_nothing_is_accepted(self, place: Place) -> None:
        place.repository.add_root()
        place.repository.publish(keys__new_dot_pub=b"more")
        place.make("main", b"one")
        roots, targets = refresh(place, place.repository.files("main"))
        assert ([number for number, _ in roots.new_roots], targets) == ([2], RefreshedTargets(2, newer=True))
        assert held(place) == (2, 2)
        record = place.site().loaded.pins[0].record
        assert (dict(record.streams), record.online, place.site().floor) == ({}, (), None)
        assert [json.loads(line)["kind"] for line in place.site().loaded.log] == ["pin", "roots", "targets"]

    def test_a_stream_that_has_delivered_nothing_yet(self, place: Place) -> None:
        assert refresh(place, place.repository.files("main"))[1].newer

    def test_targets_are_of_use_where_a_later_root_was_pinned(self, place: Place, tmp_path: Path) -> None:
        """Before a bundle came, such a site has no roots below its pin."""
        newest = place.repository.add_root()
        place.state = tmp_path / "later"
        pin_root(place.state, newest, sha256_of(newest), START)
        refresh(place, place.repository.files())
        (pin,) = place.site().loaded.pins
        assert sorted(pin.roots) == [2]
        assert accepted_targets(pin, START, timedelta(0)) == {"keys/vendor.pub": b"key"}

    def test_again_changes_nothing(self, place: Place) -> None:
        refresh(place, place.repository.files("main"))
        before = place.bytes_of_state()
        roots, targets = refresh(place, place.repository.files("main"))
        assert (roots.new_roots, targets.newer) == ((), False)
        assert place.bytes_of_state() == before

    def test_read_only_writes_nothing(self, place: Place) -> None:
        place.repository.add_root()
        before = place.bytes_of_state()
        refresh(place, place.repository.files("main"), read_only=True)
        assert place.bytes_of_state() == before

    def test_deliveries_on_their_way_are_still_accepted(self, place: Place) -> None:
        one, two = place.make("main", b"one"), place.make("main", b"two")
        refresh(place, place.repository.files("main"))
        assert place.take(one).status == "first"
        assert place.take(two).status == "next"

    def test_a_key_revoked_in_the_newer_targets_is_revoked_for_what_comes(self, place: Place) -> None:
        one = place.make("main", b"one")
        place.take(one)
        place.repository.publish(remove=["keys/vendor.pub"])
        place.make("main", b"two")
        refresh(place, place.repository.files("main"))
        assert place.take(one).targets == {}

    def test_older_targets_are_a_rollback(self, place: Place) -> None:
        old = place.repository.files("main")
        place.repository.publish(keys__b_dot_pub=b"more")
        place.take(place.make("other", b"one"))
        before = place.bytes_of_state()
        assert refused(place, old) == "rollback"
        assert place.bytes_of_state() == before

    def test_fewer_roots_are_a_rollback(self, place: Place) -> None:
        old = place.repository.files("main")
        revoke(place, [place.repository.pin, place.repository.add_root()])
        assert refused(place, old) == "rollback"

    def test_an_older_timestamp_of_the_same_key_is_a_rollback(self, place: Place) -> None:
        old = place.repository.files("main")
        place.take(place.make("main", b"one"))
        assert refused(place, old) == "rollback"

    def test_roots_stay_though_the_rest_has_expired(self, place: Place) -> None:
        place.repository.add_root()
        place.repository.streams["main"].signed_at = START - 500 * DAY
        assert refused(place, place.repository.files("main")) == "expired"
        assert held(place) == (2, None)

    def test_a_fork_is_an_alarm(self, place: Place) -> None:
        thief = place.repository.fork()
        place.repository.add_root()
        place.take(place.make("main", b"one"))
        thief.add_root(threshold=1)
        before = place.bytes_of_state()
        assert refused(place, thief.files("main")) == "root-fork"
        assert but_for_the_log(place.bytes_of_state()) == but_for_the_log(before)
        assert '"root-fork"' in place.site().loaded.log[-1]

    def test_targets_of_one_version_signed_twice_are_an_alarm(self, place: Place) -> None:
        twin = place.repository.fork()
        place.repository.publish(keys__b_dot_pub=b"ours")
        refresh(place, place.repository.files("main"))
        twin.publish(keys__b_dot_pub=b"theirs")
        assert refused(place, twin.files("main")) == "targets-fork"
        assert '"targets-fork"' in place.site().loaded.log[-1]

    def test_an_alarm_that_repeats_is_one_line(self, place: Place) -> None:
        thief = place.repository.fork()
        place.repository.add_root()
        place.take(place.make("main", b"one"))
        thief.add_root(threshold=1)
        for _ in range(3):
            refused(place, thief.files("main"))
        assert sum('"alarm"' in line for line in place.site().loaded.log) == 1

    def test_another_trust_root(self, place: Place) -> None:
        assert refused(place, TufRepository("main").files("main")) == "pin-not-in-bundle"

    def test_a_pin_that_was_given_up_learns_nothing(self, place: Place) -> None:
        new = TufRepository("main").pin
        reanchor(place.state, new, sha256_of(new), START, operators=("A", "B"), reason="keys burnt")
        place.repository.add_root()
        before = place.bytes_of_state()
        assert refused(place, place.repository.files("main")) == "pin-retired"
        assert place.bytes_of_state() == before

    def test_targets_that_the_site_lost_to_a_recovery_are_replaced_by_lower_ones(self, place: Place) -> None:
        """T5: stolen target keys drove the version up; when all who signed are gone, new holders start low again."""
        repository = place.repository
        repository.targets_version = 2**31
        refresh(place, repository.files("main"))
        repository.add_root(holders=TufRepository("x").holders)
        repository.targets_version = 5
        repository.streams["main"].snapshot_version += 1
        repository.streams["main"].timestamp_version += 1
        refresh(place, repository.files("main"))
        assert held(place) == (2, 5)


class TestRevocation:
    def test_old_keys_are_refused_and_what_was_accepted_is_historic(self, place: Place) -> None:
        one, two = place.make("main", b"one"), place.make("main", b"two")
        assert place.take(one).status == "first"
        place.repository.rotate_stream("main")
        revoke(place, place.repository.roots)
        assert held(place)[0] == 2
        for parcel in (one, two):
            with pytest.raises(TrustError) as error:
                place.take(parcel)
            assert error.value.code == "no-longer-accepted"
        assert place.take(one, historic=True).status == "historic"
        with pytest.raises(TrustError) as error:
            place.take(two, historic=True)
        assert error.value.code == "no-longer-accepted"
        assert place.take(place.make("main", b"three", previous=one.delivery.inventory, sequence=2)).status == "next"

    def test_it_is_no_publication(self, place: Place) -> None:
        with pytest.raises(TrustError) as error:
            refresh(place, root_files(tuple(place.repository.roots)))
        assert error.value.code == "missing-trust-member"


class TestFetchedFiles:
    def source(self, place: Place, asked: list[str], files: Mapping[str, bytes]) -> FetchedFiles:
        def fetch(path: str, max_bytes: int) -> bytes | None:
            asked.append(path)
            return files.get(path)

        found = FetchedFiles(below(fetch, "metadata"), below(fetch, "targets"))
        found.fetch_roots()
        return found

    def test_it_asks_for_no_more_than_it_needs_and_once(self, place: Place) -> None:
        place.repository.add_root()
        files, asked = place.repository.files("main"), list[str]()
        refresh(place, self.source(place, asked, files))
        assert asked[:3] == ["metadata/1.root.json", "metadata/2.root.json", "metadata/3.root.json"]
        assert sorted(set(asked) - {"metadata/3.root.json"}) == sorted(files)
        assert len(asked) == len(set(asked))

    def test_a_timestamp_by_strangers_leads_nowhere(self, place: Place) -> None:
        files, asked = place.repository.files("main"), list[str]()
        stranger = TufRepository("main").streams["main"].key
        files["metadata/timestamp.json"] = altered(files["metadata/timestamp.json"], lambda _: None, [stranger])
        assert refused(place, self.source(place, asked, files)) == "metadata-signature"
        assert asked[-1] == "metadata/timestamp.json"

    @pytest.mark.parametrize("name", ["metadata/timestamp.json", "metadata/1.snapshot.json", "metadata/1.targets.json"])
    def test_a_file_that_is_not_there(self, place: Place, name: str) -> None:
        files = place.repository.files("main")
        del files[name]
        assert refused(place, self.source(place, [], files)) == "missing-trust-member"

    def test_roots_without_end(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "ROOTS", 5)
        with pytest.raises(TrustError) as error:
            FetchedFiles(lambda _path, _max: b"{}", lambda _path, _max: None).fetch_roots()
        assert error.value.code == "limits"

    def test_more_bytes_than_a_bundle_may_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "TRUST_TOTAL_BYTES", 10)
        with pytest.raises(TrustError) as error:
            FetchedFiles(lambda _path, _max: b"1234", lambda _path, _max: None).fetch_roots()
        assert error.value.code == "limits"

    def test_names_of_neither_folder(self) -> None:
        files = FetchedFiles(lambda _path, _max: b"x", lambda _path, _max: b"x")
        names: list[object] = ["elsewhere/x", 7]
        assert ([name in files for name in names], len(files), list(files)) == ([False, False], 0, [])

    def test_a_folder(self, place: Place, tmp_path: Path) -> None:
        place.repository.write(tmp_path / "repository")
        whole = directory_fetch(tmp_path / "repository")
        files = FetchedFiles(below(whole, "metadata"), below(whole, "targets"))
        files.fetch_roots()
        assert refresh(place, files)[1].newer

    def test_a_source_that_fails_is_no_absence(self, place: Place) -> None:
        def fetch(path: str, max_bytes: int) -> bytes | None:
            raise EnvError("trust-unreachable", "trust repository", path)

        with pytest.raises(EnvError):
            FetchedFiles(fetch, fetch).fetch_roots()
