"""Another pin in the place of a lost one, a site that lost its memory, edited settings, and what a site hands out."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import sha256_of
from bundler.errors import MalformedError, SealiftError, TrustError, UnsupportedError
from bundler.strict_json import format_canonical
from tests.simulators.deliveries import change_settings
from tests.simulators.tuf_repository import START, TufRepository
from tests.simulators.tuf_site import Parcel, Place
from trust_root.delivery import time_basis
from trust_root.pin import pin_root
from trust_root.reanchor import Reanchored, check_operators, check_reason, reanchor
from trust_root.site import load_site, open_for_site
from trust_root.standing import stand_again
from trust_root.state import PinRecord, Retirement
from trust_root.state_export import PinHead, SiteHeads, StreamHead, format_heads, heads_of, parse_heads

DAY = timedelta(days=1)
TWO = ("A. Adams", "B. Brown")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, TufRepository("main", targets={"keys/vendor.pub": b"old"}))


@pytest.fixture
def successor() -> TufRepository:
    """The trust root that is made when the old one's keys are lost."""
    return TufRepository("main", targets={"keys/vendor.pub": b"new"})


def anew(place: Place, repository: TufRepository, **options: object) -> Reanchored:
    chosen = {"operators": TWO, "reason": "two of three keys burnt", **options}
    return reanchor(place.state, repository.pin, sha256_of(repository.pin), START, **chosen)  # type: ignore[arg-type]


def refused(place: Place, parcel: Parcel, **options: bool) -> str:
    before = place.bytes_of_state()
    with pytest.raises(TrustError) as error:
        place.take(parcel, **options)  # type: ignore[arg-type]
    assert (error.value.exit_code, place.bytes_of_state()) == (4, before)
    return error.value.code


def code_of(act: object) -> str:
    with pytest.raises(SealiftError) as error:
        act()  # type: ignore[operator]
    return error.value.code


class TestReanchor:
    def test_what_it_writes(self, place: Place, successor: TufRepository) -> None:
        old = place.repository.pin
        done = anew(place, successor)
        assert (done.pin, done.version, done.replaces) == (sha256_of(successor.pin), 1, sha256_of(old))
        assert done.state == place.site().loaded.digest
        records = {pin.record.pin: pin.record for pin in place.site().loaded.pins}
        assert records[done.pin].retired is None
        retired = records[done.replaces].retired
        assert retired is not None
        assert (retired.successor, retired.operators, retired.reason) == (done.pin, TWO, "two of three keys burnt")
        line = json.loads(place.site().loaded.log[-1])
        assert (line["kind"], line["operators"], line["replaces"]) == ("reanchor", list(TWO), str(done.replaces))

    def test_deliveries_below_both_pins(self, place: Place, successor: TufRepository) -> None:
        one, two = place.make("main", b"one"), place.make("main", b"two")
        never = place.make("main", b"three")
        place.take(one)
        place.take(two)
        anew(place, successor)
        assert refused(place, one) == "pin-retired"
        assert refused(place, two) == "pin-retired"
        assert refused(place, never) == "pin-retired"
        assert refused(place, never, historic=True) == "pin-retired"
        standing = place.take(two, historic=True)
        assert (standing.status, standing.targets) == ("historic", {"keys/vendor.pub": b"old"})
        assert standing.warnings[0].endswith("two of three keys burnt")
        place.last.clear()
        first = place.make("main", b"uno", repository=successor)
        assert place.take(first).status == "first"
        again = place.take(one, historic=True)
        assert (again.status, again.targets) == ("historic", {"keys/vendor.pub": b"new"})

    def test_judged_again_by_the_pin_in_its_place(self, place: Place, successor: TufRepository) -> None:
        """Whoever serves a delivery of the old pin asks again and again: the trust that was given up never judges."""
        one = place.make("main", b"one")
        place.take(one)
        anew(place, successor)
        place.last.clear()
        place.take(place.make("main", b"uno", repository=successor))
        site, basis = place.site(), time_basis(START, START)
        opened = open_for_site(site, one.files, basis)
        again = stand_again(site, opened, one.delivery, basis, historic=True)
        assert (again.status, again.targets) == ("historic", {"keys/vendor.pub": b"new"})
        assert code_of(lambda: stand_again(site, opened, one.delivery, basis)) == "pin-retired"

    def test_an_audit_tells_what_would_be_said_today(self, place: Place, successor: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        anew(place, successor)
        standing = place.take(one, typed=START)
        assert standing.today is not None
        assert (standing.status, standing.today.code) == ("audit", "pin-retired")

    def test_roots_of_the_old_pin_are_not_kept_any_more(self, place: Place, successor: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        anew(place, successor)
        place.repository.add_root()
        assert refused(place, place.make("main", b"two")) == "pin-retired"
        assert sorted(place.site().held(sha256_of(place.repository.pin)).roots) == [1]

    def test_twice_in_a_row(self, place: Place, successor: TufRepository) -> None:
        one = place.make("main", b"one")
        place.take(one)
        anew(place, successor)
        third = TufRepository("main", targets={"keys/vendor.pub": b"third"})
        anew(place, third)
        place.last.clear()
        assert place.take(place.make("main", b"1", repository=third)).status == "first"
        assert place.take(one, historic=True).targets == {"keys/vendor.pub": b"third"}
        assert place.site().judge_of(place.site().loaded.pins[0]).record.pin == sha256_of(third.pin)

    def test_the_pin_to_give_up_is_named_if_there_are_several(self, place: Place, successor: TufRepository) -> None:
        other = TufRepository("x").pin
        pin_root(place.state, other, sha256_of(other), START, add=True)
        assert code_of(lambda: anew(place, successor)) == "pin-choice"
        assert code_of(lambda: anew(place, successor, replaces=sha256_of(b"?"))) == "pin-choice"
        assert anew(place, successor, replaces=sha256_of(other)).replaces == sha256_of(other)

    def test_refused(self, place: Place, successor: TufRepository) -> None:
        newer = place.repository.add_root()
        place.take(place.make("main", b"one"))
        before = place.bytes_of_state()
        assert code_of(lambda: anew(place, place.repository)) == "pin-exists"
        assert (
            code_of(lambda: reanchor(place.state, newer, sha256_of(newer), START, operators=TWO, reason="x"))
            == "pin-covered"
        )
        wrong = sha256_of(b"?")
        assert (
            code_of(lambda: reanchor(place.state, successor.pin, wrong, START, operators=TWO, reason="x"))
            == "fingerprint-mismatch"
        )
        assert place.bytes_of_state() == before

    def test_not_onto_the_next_root_of_the_same_trust_root(self, place: Place, successor: TufRepository) -> None:
        """Each of its bundles holds the pin that would be given up, so that nothing would pass here any more."""
        place.take(place.make("main", b"one"))
        before = place.bytes_of_state()
        newer, stranger = place.repository.add_root(), successor.add_root()
        chosen = {"operators": TWO, "reason": "x"}
        assert code_of(lambda: reanchor(place.state, newer, sha256_of(newer), START, **chosen)) == "pin-covered"  # type: ignore[arg-type]
        assert place.bytes_of_state() == before
        assert reanchor(place.state, stranger, sha256_of(stranger), START, **chosen).version == 2  # type: ignore[arg-type]

    def test_a_pin_that_came_meanwhile_is_never_made_anew(self, place: Place, successor: TufRepository) -> None:
        """Two runs pin the same root: the later one would forget what was accepted below it since."""
        slow, digest = place.site(), sha256_of(successor.pin)
        pin_root(place.state, successor.pin, digest, START, add=True)
        one, two = (place.make("main", name, repository=successor) for name in (b"one", b"two"))
        place.take(one)
        place.take(two)
        fresh = PinRecord(digest, START, ((1, digest),), None, (), {})
        how = Retirement(START, digest, TWO, "x")
        assert code_of(lambda: slow.add_pin(successor.pin, fresh, START)) == "state-changed"
        late = place.site()
        anew(place, TufRepository("main"), replaces=sha256_of(place.repository.pin))
        gone = sha256_of(place.repository.pin)
        assert code_of(lambda: late.replace_pin(successor.pin, fresh, gone, how)) == "state-changed"
        assert refused(place, one) == "superseded"

    def test_what_was_given_up_is_not_pinned_again(self, place: Place, successor: TufRepository) -> None:
        anew(place, successor)
        old = place.repository.pin
        assert code_of(lambda: pin_root(place.state, old, sha256_of(old), START, add=True)) == "pin-retired"
        assert code_of(lambda: anew(place, place.repository)) == "pin-exists"

    @pytest.mark.parametrize(
        "typed", [(), ("A",), ("A", "A"), ("A. Adams", "a.  adams "), ("A", ""), ("A", "\x1b[31m"), ("A", "B" * 81)]
    )
    def test_two_different_people(self, typed: tuple[str, ...]) -> None:
        assert code_of(lambda: check_operators(typed)) == "operators"

    def test_a_reason(self) -> None:
        assert check_reason(" keys\x1bburnt ") == "keys\\x1bburnt"
        for typed in ("", "  ", "x" * 1001):
            assert code_of(lambda typed=typed: check_reason(typed)) == "reason"


class TestLostState:
    """T9: the state is gone or old; what the site had seen stands in the paper log book."""

    def test_a_lowest_sequence_for_one_run(self, place: Place) -> None:
        parcels = [place.make("main", bytes([number])) for number in range(4)]
        lost = Place(place.folder / "new", place.repository)
        with pytest.raises(TrustError) as error:
            lost.take(parcels[1], min_sequence=3)
        assert (error.value.code, error.value.exit_code) == ("below-minimum", 4)
        assert lost.take(parcels[2], min_sequence=3).status == "first"
        assert lost.take(parcels[2], min_sequence=4).status == "already-accepted"
        assert lost.take(parcels[3], min_sequence=4).status == "next"

    def test_a_lowest_sequence_in_the_settings_is_by_stream(self, tmp_path: Path) -> None:
        place = Place(tmp_path, TufRepository("main", "other"))
        change_settings(place.state, 'site = "plant-7"\n[min_sequence]\nmain = 2\n', START)
        assert refused(place, place.make("main", b"one")) == "below-minimum"
        assert place.take(place.make("other", b"one")).status == "first"
        assert place.take(place.make("main", b"two")).status == "first"

    def test_an_audit_is_not_held_up_and_says_so(self, place: Place) -> None:
        one = place.make("main", b"one")
        change_settings(place.state, 'site = "plant-7"\n[min_sequence]\nmain = 2\n', START)
        today = place.take(one, typed=START).today
        assert today is not None
        assert today.code == "below-minimum"

    def test_a_state_put_back_whole_has_an_older_digest(self, place: Place, tmp_path: Path) -> None:
        """Nothing inside the folder can tell; the digest in the log book does."""
        place.take(place.make("main", b"one"))
        shutil.copytree(place.state, tmp_path / "backup")
        place.take(place.make("main", b"two"))
        digest, generation = place.site().loaded.digest, place.site().loaded.state.generation
        shutil.rmtree(place.state)
        shutil.move(tmp_path / "backup", place.state)
        assert place.site().loaded.digest != digest
        assert place.site().loaded.state.generation == generation - 1


class TestSettings:
    def test_an_edit_stops_the_site_until_it_is_accepted(self, place: Place) -> None:
        one = place.make("main", b"one")
        (place.state / "site.toml").write_text('site = "plant-7"\n[time]\nmode = "grace"\ngrace_days = 900\n')
        assert code_of(lambda: place.take(one)) == "settings-changed"
        load_site(place.state, new_settings=True).accept_settings("ticket 4711", START)
        assert place.take(one).status == "first"
        lines = [json.loads(line) for line in place.site().loaded.log]
        assert [line["kind"] for line in lines] == ["pin", "settings", "accepted"]
        assert (lines[1]["site"], lines[1]["reason"]) == ("plant-7", "ticket 4711")

    def test_no_settings_is_an_edit_too(self, place: Place) -> None:
        (place.state / "site.toml").unlink()
        assert code_of(place.site) == "settings-changed"

    def test_nonsense_is_not_accepted(self, place: Place) -> None:
        (place.state / "site.toml").write_text("what = 1\n")
        assert code_of(lambda: load_site(place.state, new_settings=True)) == "site-settings"

    def test_a_run_that_began_with_other_settings(self, place: Place) -> None:
        site = place.site()
        change_settings(place.state, 'site = "plant-7"\n# note\n', START)
        assert code_of(lambda: site.set_floor(START, "x", START)) == "state-changed"

    def test_a_state_from_another_site(self, place: Place) -> None:
        """T10: the folder was copied, and the name edited to fit."""
        (place.state / "site.toml").write_text('site = "plant-8"\n')
        site = load_site(place.state, new_settings=True)
        assert code_of(lambda: site.accept_settings("copied", START)) == "site-renamed"
        site.accept_settings("plant-7 is called plant-8 now", START, rename=True)
        assert place.site().name == "plant-8"

    def test_a_site_without_a_name_gets_one(self, tmp_path: Path) -> None:
        place = Place(tmp_path, TufRepository("main"), name=None)
        change_settings(place.state, 'site = "plant-9"\n', START)
        assert place.site().loaded.state.site == "plant-9"


class TestExport:
    def test_what_a_site_hands_out(self, place: Place, successor: TufRepository) -> None:
        place.take(place.make("main", b"one"))
        done = anew(place, successor)
        site = place.site()
        heads = parse_heads(format_heads(heads_of(site.name, site.loaded)))
        assert (heads.site, heads.generation, heads.state) == ("plant-7", 3, done.state)
        stream = StreamHead("main", 1, sha256_of(b"one"))
        assert PinHead(done.replaces, 1, 1, True, (stream,)) in heads.pins
        assert PinHead(done.pin, 1, None, False, ()) in heads.pins

    @given(
        st.builds(
            SiteHeads,
            st.none() | st.just("plant-7"),
            st.integers(1, 2**53 - 1),
            st.binary(max_size=3).map(sha256_of),
            st.none() | st.integers(0, 10**9).map(lambda seconds: START + timedelta(seconds=seconds)),
            st.lists(
                st.builds(
                    PinHead,
                    st.binary(max_size=3).map(sha256_of),
                    st.integers(1, 99),
                    st.none() | st.integers(1, 2**53 - 1),
                    st.booleans(),
                    st.lists(st.builds(StreamHead, st.just("main"), st.integers(1, 99), st.just(sha256_of(b"x")))).map(
                        tuple
                    ),
                ),
                max_size=2,
            ).map(tuple),
        )
    )
    @settings(derandomize=True, deadline=None, max_examples=50)
    def test_round_trip(self, heads: SiteHeads) -> None:
        assert parse_heads(format_heads(heads)) == heads

    def test_refused(self, place: Place) -> None:
        site = place.site()
        document = json.loads(format_heads(heads_of(site.name, site.loaded)))
        for key, value in (("kind", "other"), ("extra", 1), ("site", 7), ("generation", 0), ("pins", None)):
            with pytest.raises(MalformedError):
                parse_heads(format_canonical({**document, key: value}))
        with pytest.raises(UnsupportedError):
            parse_heads(format_canonical({**document, "format": 2}))
        with pytest.raises(MalformedError):
            parse_heads(b"{}")
