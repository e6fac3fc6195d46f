"""The state folder: pinned by hand, never rebuilt in silence, never half written, never lost between two runs."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits, safe_file
from bundler.digest import Digest, sha256_of
from bundler.errors import SealiftError, TrustError, UsageError
from tests.simulators.tuf_repository import START, TufRepository, altered
from tests.simulators.tuf_site import Parcel, Place
from trust_root import state_folder
from trust_root.delivery import time_basis
from trust_root.pin import format_fingerprint, parse_fingerprint, pin_root
from trust_root.settings import SiteSettings, format_settings, parse_settings
from trust_root.site import compare_with_site, load_site, open_for_site
from trust_root.state import (
    Accepted,
    OnlineVersion,
    PinRecord,
    Retirement,
    SiteState,
    StreamRecord,
    format_state,
    next_state,
    parse_state,
)
from trust_root.state_log import format_log, format_log_line, parse_log

DAY = timedelta(days=1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, TufRepository("main", "other", targets={"keys/vendor.pub": b"key"}))


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(SealiftError) as error:
        act()
    return error.value.code


class TestPin:
    def test_nothing_pinned(self, tmp_path: Path) -> None:
        with pytest.raises(TrustError) as error:
            load_site(tmp_path / "state")
        assert error.value.code == "no-pin"
        assert "sealift trust pin" in error.value.hints[0]
        assert not (tmp_path / "state").exists()

    def test_folder_and_settings(self, place: Place) -> None:
        assert (place.state.stat().st_mode & 0o777) == 0o700
        site = place.site()
        assert (site.name, site.floor, site.settings.grace) == ("plant-7", None, timedelta(0))
        assert '"kind":"pin"' in site.loaded.log[0]

    def test_a_state_that_cannot_be_written_names_the_way_out(self, place: Place) -> None:
        (place.state / "lock").unlink(missing_ok=True)
        (place.state / "lock").mkdir()  # cannot be opened for writing, not even by root
        with pytest.raises(SealiftError) as error:
            place.take(place.make("main", b"one"))
        assert (error.value.code, error.value.exit_code) == ("disk", 6)
        assert "--read-only" in error.value.hints[0]

    def test_a_fingerprint_that_does_not_fit(self, tmp_path: Path) -> None:
        root = TufRepository("main").pin
        other = sha256_of(b"other")
        assert code_of(lambda: pin_root(tmp_path / "s", root, other, START)) == "fingerprint-mismatch"
        assert not (tmp_path / "s").exists()

    def test_a_root_below_its_own_threshold(self, tmp_path: Path) -> None:
        repository = TufRepository("main")
        root = altered(repository.pin, lambda signed: None, repository.holders[:1])
        assert code_of(lambda: pin_root(tmp_path / "s", root, sha256_of(root), START)) == "threshold"
        assert not (tmp_path / "s").exists()

    def test_a_root_with_a_broken_signature(self, tmp_path: Path) -> None:
        repository = TufRepository("main")
        head, _, tail = repository.pin.partition(b'"sig":"')
        root = head + b'"sig":"' + (b"1" if tail[:1] != b"1" else b"2") + tail[1:]
        assert code_of(lambda: pin_root(tmp_path / "s", root, sha256_of(root), START)) == "metadata-signature"

    def test_a_later_root_signed_by_keys_it_no_longer_names(self, tmp_path: Path) -> None:
        repository = TufRepository("main")
        repository.add_root(holders=TufRepository("main").holders)
        place = Place.__new__(Place)
        place.state, place.repository, place.name, place.last = tmp_path / "s", repository, None, {}
        assert pin_root(place.state, repository.roots[1], sha256_of(repository.roots[1]), START).version == 2
        assert place.take(place.make("main", b"one")).status == "first"
        assert sorted(place.site().loaded.pins[0].roots) == [1, 2]

    def test_again_says_so_and_changes_nothing(self, place: Place) -> None:
        before = place.bytes_of_state()
        pin = place.repository.pin
        assert pin_root(place.state, pin, sha256_of(pin), START, site_name="plant-7").already
        assert place.bytes_of_state() == before

    def test_another_needs_to_be_asked_for(self, place: Place) -> None:
        root = TufRepository("main").pin
        assert code_of(lambda: pin_root(place.state, root, sha256_of(root), START)) == "pin-exists"
        assert not pin_root(place.state, root, sha256_of(root), START, add=True).already
        assert len(place.site().loaded.pins) == 2

    def test_a_newer_root_of_a_pinned_one_is_covered(self, place: Place) -> None:
        root = place.repository.add_root()
        place.take(place.make("main", b"one"))
        assert code_of(lambda: pin_root(place.state, root, sha256_of(root), START, add=True)) == "pin-covered"

    def test_the_sites_name_stays(self, place: Place) -> None:
        pin = place.repository.pin
        fingerprint = sha256_of(pin)
        assert code_of(lambda: pin_root(place.state, pin, fingerprint, START, site_name="plant-8")) == "site-name"

    def test_an_interrupted_first_pin_can_be_repeated(self, place: Place) -> None:
        for name in ("state.json", "log.jsonl"):
            (place.state / name).unlink()
        assert code_of(place.site) == "no-pin"
        pin = place.repository.pin
        assert not pin_root(place.state, pin, sha256_of(pin), START).already
        assert place.site().name == "plant-7"

    def test_fingerprints_are_read_as_people_write_them(self) -> None:
        digest = sha256_of(b"x")
        for text in (
            digest.hex,
            digest.hex.upper(),
            format_fingerprint(digest),
            f"sha256:{digest.hex}",
            ":".join(digest.hex),
        ):
            assert parse_fingerprint(text) == digest
        for text in ("", "0" * 63, "0" * 65, "g" * 64):
            assert code_of(lambda text=text: parse_fingerprint(text)) == "fingerprint"


class TestSettings:
    @pytest.mark.parametrize(
        "text",
        [
            "sites = 'x'",
            "site = 1",
            "site = ''",
            "site = 'a b'",
            "[time]\nmode = 'lax'",
            "[time]\nmode = 'grace'",
            "[time]\ngrace_days = 3",
            "[time]\nmode = 'grace'\ngrace_days = 0",
            "[time]\nmode = 'grace'\ngrace_days = true",
            "[time]\nmax_age_days = 1.5",
            "[time]\nas_of = 'export'",
            "[policy]\nsha256 = 'x'",
            "[policy]\npath = ''",
            "[policy]\npath = 'p'\nsha256 = 'ABC'",
            "[policy]\npath = 'p'\nmore = 1",
            "site = 'a'\nsite = 'b'",
            "\x00",
        ],
    )
    def test_refused(self, text: str) -> None:
        with pytest.raises(UsageError) as error:
            parse_settings(text.encode())
        assert error.value.code == "site-settings"

    def test_not_text(self) -> None:
        assert code_of(lambda: parse_settings(b"\xff")) == "site-settings"
        assert code_of(lambda: parse_settings(b"#" * 2_000_000)) == "site-settings"

    def test_absent_is_strict(self) -> None:
        assert parse_settings(b"") == SiteSettings()

    @given(
        st.builds(
            SiteSettings,
            name=st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
            grace=st.integers(0, 900).map(lambda days: timedelta(days=days)),
            max_age=st.none() | st.integers(1, 900).map(lambda days: timedelta(days=days)),
        )
    )
    @settings(derandomize=True, deadline=None, max_examples=50)
    def test_round_trip(self, value: SiteSettings) -> None:
        assert parse_settings(format_settings(value)) == value

    def test_a_policy_is_told(self) -> None:
        text = f'[policy]\npath = "policy.toml"\nsha256 = "{"a" * 64}"\n'
        value = parse_settings(text.encode())
        assert (str(value.policy_path), value.policy_digest) == ("policy.toml", Digest("sha256", "a" * 64))
        assert parse_settings(format_settings(value)) == value


digests = st.binary(min_size=1, max_size=4).map(sha256_of)
moments = st.integers(0, 10**9).map(lambda seconds: START + timedelta(seconds=seconds))
numbers = st.integers(1, 2**53 - 1)
accepted = st.lists(
    st.builds(Accepted, numbers, digests, st.none() | digests, moments, moments),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item.sequence,
).map(lambda items: tuple(sorted(items, key=lambda item: item.sequence)))
pins = st.builds(
    PinRecord,
    digests,
    moments,
    st.tuples(st.integers(1, 90), st.lists(digests, min_size=1, max_size=3)).map(
        lambda pair: tuple(enumerate(pair[1], pair[0]))
    ),
    st.none() | st.tuples(numbers, digests),
    st.lists(
        st.builds(OnlineVersion, st.sampled_from(["snapshot", "timestamp"]), digests, numbers),
        max_size=3,
        unique_by=lambda item: (item.role, item.key),
    ).map(lambda items: tuple(sorted(items, key=lambda item: (item.role, item.key)))),
    st.dictionaries(st.sampled_from(["a", "main", "x-1"]), st.builds(StreamRecord, numbers, digests, accepted)),
)
retirements = st.builds(Retirement, moments, digests, st.just(("A. Adams", "B. Brown")), st.text("ab \\é", max_size=9))


def with_a_pin_given_up(state: SiteState) -> st.SearchStrategy[SiteState]:
    """The same state, or one in which the second pin stands in the place of the first."""
    if len(state.pins) < 2:
        return st.just(state)
    first, second, *others = state.pins
    given_up = retirements.map(lambda how: replace(first, retired=replace(how, successor=second.pin)))
    return st.none().map(lambda _: state) | given_up.map(lambda pin: replace(state, pins=(pin, second, *others)))


states = st.builds(
    next_state,
    st.builds(
        SiteState,
        numbers.map(lambda number: number - 1),
        st.none() | moments,
        st.sampled_from([None, "plant-7"]),
        digests,
        st.lists(pins, max_size=3, unique_by=lambda pin: pin.pin).map(
            lambda items: tuple(sorted(items, key=lambda pin: str(pin.pin)))
        ),
    ).flatmap(with_a_pin_given_up),
    st.lists(st.just("line"), max_size=3),
    st.just({"kind": "pin"}),
)


@given(states)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_state_round_trip(state: SiteState) -> None:
    assert parse_state(format_state(state)) == state


def test_log_round_trip() -> None:
    lines: list[str] = []
    for kind in ("pin", "accepted", "alarm"):
        lines.append(format_log_line(lines[-1] if lines else None, {"kind": kind, "text": 'with "quotes"'}))
    assert list(parse_log(format_log(lines))) == lines
    for broken in (lines[1:], [lines[0], lines[2]], [lines[1], lines[0]], [*lines, "{}"], [*lines, "x"]):
        assert code_of(lambda broken=broken: parse_log(format_log(broken))) == "state-damaged"
    assert code_of(lambda: parse_log(format_log(lines)[:-1])) == "state-damaged"
    assert code_of(lambda: parse_log(b"\xff\n")) == "state-damaged"


class TestDamage:
    @pytest.fixture
    def used(self, place: Place) -> Place:
        place.repository.add_root()
        place.take(place.make("main", b"one"))
        place.take(place.make("main", b"two"))
        return place

    def files(self, place: Place) -> list[Path]:
        return [path for path in sorted(place.state.rglob("*")) if path.is_file() and path.name != "lock"]

    def test_every_file_flipped_is_noticed(self, used: Place) -> None:
        for path in self.files(used):
            raw = path.read_bytes()
            wanted = "settings-changed" if path.name == "site.toml" else "state-damaged"
            for position in range(0, len(raw), max(1, len(raw) // 40)):
                path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
                assert code_of(used.site) == wanted
            path.write_bytes(raw)

    def test_every_file_truncated_or_gone_is_noticed(self, used: Place) -> None:
        for path in self.files(used):
            raw = path.read_bytes()
            wanted = "settings-changed" if path.name == "site.toml" else "state-damaged"
            path.write_bytes(raw[: len(raw) // 2])
            assert code_of(used.site) == wanted
            path.unlink()
            assert code_of(used.site) == wanted
            path.write_bytes(raw)

    def test_an_older_state_put_back_is_noticed(self, used: Place) -> None:
        old = (used.state / "state.json").read_bytes()
        used.take(used.make("main", b"three"))
        (used.state / "state.json").write_bytes(old)
        assert code_of(used.site) == "state-damaged"

    def test_an_older_log_put_back_is_noticed(self, used: Place) -> None:
        old = (used.state / "log.jsonl").read_bytes()
        used.take(used.make("main", b"three"))
        used.take(used.make("main", b"four"))
        (used.state / "log.jsonl").write_bytes(old)
        assert code_of(used.site) == "state-damaged"

    def test_a_pin_replaced(self, used: Place) -> None:
        (path,) = (used.state / "pins").iterdir()
        path.write_bytes(TufRepository("main").pin)
        assert code_of(used.site) == "state-damaged"

    def test_roots_that_do_not_follow_the_pin(self, used: Place) -> None:
        """Somebody rewrites state.json and the contents consistently; the chain from the pin still tells."""
        thieves = used.repository.fork()
        strangers = TufRepository("main").holders
        forged = thieves.add_root(holders=strangers, signers=strangers)
        site = used.site()
        state, (record,) = site.loaded.state, site.loaded.state.pins
        record = replace(record, roots=(*record.roots, (3, sha256_of(forged))))
        state = next_state(replace(state, pins=(record,)), site.loaded.log, {"kind": "roots"})
        (used.state / "content" / sha256_of(forged).hex).write_bytes(forged)
        (used.state / "state.json").write_bytes(format_state(state))
        (used.state / "log.jsonl").write_bytes(format_log((*site.loaded.log, state.log_line)))
        with pytest.raises(TrustError) as error:
            used.site()
        assert (error.value.code, "threshold" in error.value.got) == ("state-damaged", True)

    def test_roots_that_hold_another_one_in_the_place_of_the_pin(self, used: Place) -> None:
        """A sound chain of somebody else's, consistent with itself; the pinned file is untouched."""
        forged = TufRepository("main").pin
        site = used.site()
        (record,) = site.loaded.state.pins
        record = replace(record, roots=((1, sha256_of(forged)),))
        state = next_state(replace(site.loaded.state, pins=(record,)), site.loaded.log, {"kind": "roots"})
        (used.state / "content" / sha256_of(forged).hex).write_bytes(forged)
        (used.state / "state.json").write_bytes(format_state(state))
        (used.state / "log.jsonl").write_bytes(format_log((*site.loaded.log, state.log_line)))
        with pytest.raises(TrustError) as error:
            used.site()
        assert (error.value.code, "equals the pin" in error.value.got) == ("state-damaged", True)

    def test_leftovers_of_a_killed_run_do_no_harm(self, used: Place) -> None:
        (used.state / ".sealift-0123456789abcdef.tmp").write_bytes(b"half")
        (used.state / "content" / ("0" * 64)).write_bytes(b"unreferenced")
        assert used.site().loaded.state.generation == 4

    def test_a_log_that_misses_only_the_states_own_line_is_completed(self, used: Place) -> None:
        path = used.state / "log.jsonl"
        whole = path.read_bytes()
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
        assert format_log(used.site().loaded.log) == whole
        assert path.read_bytes() != whole  # reading writes nothing
        used.take(used.make("main", b"three"))
        assert path.read_bytes().startswith(whole)

    def test_alarms_may_follow(self, used: Place) -> None:
        used.site().note_alarm(TrustError("equivocation", "stream", "main\n\x1b[31m", got="x"), START)
        assert "\\\\x1b" in used.site().loaded.log[-1]
        assert used.take(used.make("main", b"three")).status == "next"


class TestKilled:
    """Stop before each write that `record` makes: afterwards the site is the old one or the new one, and works."""

    @pytest.mark.parametrize("survives", range(12))
    def test_at_any_write(self, place: Place, monkeypatch: pytest.MonkeyPatch, survives: int) -> None:
        place.take(place.make("main", b"one"))
        place.repository.add_root()
        place.repository.publish(keys__b_dot_pub=b"more")
        two = place.make("main", b"two")
        self._stop_after(monkeypatch, survives, lambda: place.take(two))
        monkeypatch.undo()
        sequence = place.site().loaded.pins[0].record.streams["main"].newest.sequence
        assert sequence in {1, 2}
        assert place.take(two).status == ("next" if sequence == 1 else "already-accepted")

    def _stop_after(self, monkeypatch: pytest.MonkeyPatch, count: int, act: Callable[[], object]) -> None:
        class Killed(BaseException):
            pass

        left = [count]
        real = Path.rename

        def rename(self: Path, target: Path) -> Path:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(self, target)

        monkeypatch.setattr(Path, "rename", rename)
        with contextlib.suppress(Killed):
            act()

    def test_full_disk(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.take(place.make("main", b"one"))
        two = place.make("main", b"two")

        def no_space(target: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(safe_file, "sync_file", no_space)
        assert code_of(lambda: place.take(two)) == "disk-full"
        monkeypatch.undo()
        assert place.take(two).status == "next"

    def test_a_generation_too_large_to_be_read_again(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.take(place.make("main", b"one"))
        before = place.bytes_of_state()
        monkeypatch.setattr(
            limits, "STATE_FILE_BYTES", max(len(before[name]) for name in ("state.json", "log.jsonl")) + 20
        )
        assert code_of(lambda: place.take(place.make("main", b"two"))) == "file-size"
        monkeypatch.undo()
        after = place.bytes_of_state()
        assert (after["state.json"], after["log.jsonl"]) == (before["state.json"], before["log.jsonl"])


class TestTwoAtOnce:
    def opened(self, place: Place, parcel: Parcel) -> tuple[object, ...]:
        site = place.site()
        basis = time_basis(START, site.floor)
        opened = open_for_site(site, parcel.files, basis)
        return site, opened, parcel.delivery, compare_with_site(site, opened, parcel.delivery, basis)

    def test_the_same_bundle(self, place: Place) -> None:
        parcel = place.make("main", b"one")
        first, second = self.opened(place, parcel), self.opened(place, parcel)
        assert first[0].record(*first[1:]).status == "first"  # type: ignore[attr-defined]
        assert second[0].record(*second[1:]).status == "already-accepted"  # type: ignore[attr-defined]

    def test_an_older_one_that_was_slower(self, place: Place) -> None:
        one = self.opened(place, place.make("main", b"one"))
        two = self.opened(place, place.make("main", b"two"))
        assert two[0].record(*two[1:]).status == "first"  # type: ignore[attr-defined]
        assert code_of(lambda: one[0].record(*one[1:])) == "never-accepted"  # type: ignore[attr-defined]

    def test_another_history(self, place: Place) -> None:
        twin = place.repository.fork()
        one = self.opened(place, place.make("main", b"one"))
        other = self.opened(place, place.make("main", b"uno", repository=twin))
        assert one[0].record(*one[1:]).status == "first"  # type: ignore[attr-defined]
        assert code_of(lambda: other[0].record(*other[1:])) == "equivocation"  # type: ignore[attr-defined]

    def test_newer_material_meanwhile(self, place: Place) -> None:
        one = place.make("main", b"one")
        place.take(one)
        again = self.opened(place, one)
        place.repository.publish(keys__b_dot_pub=b"more")
        place.take(place.make("other", b"one"))
        assert code_of(lambda: again[0].record(*again[1:])) == "state-changed"  # type: ignore[attr-defined]

    def test_two_streams_lose_nothing(self, place: Place) -> None:
        main, other = (self.opened(place, place.make(name, b"one")) for name in ("main", "other"))
        main[0].record(*main[1:])  # type: ignore[attr-defined]
        other[0].record(*other[1:])  # type: ignore[attr-defined]
        assert set(place.site().loaded.pins[0].record.streams) == {"main", "other"}

    def test_a_generation_written_between_state_and_log(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Loading takes no lock: what it reads is of one moment all the same."""
        parcel, reading = place.make("main", b"one"), state_folder._read_log
        parcels = [parcel]

        def read_log(folder: Path) -> bytes:
            if parcels:
                place.take(parcels.pop())
            return reading(folder)

        monkeypatch.setattr(state_folder, "_read_log", read_log)
        assert place.site().loaded.pins[0].record.streams["main"].newest.inventory == parcel.delivery.inventory

    def test_writers_without_a_pause(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        path = place.state / "state.json"
        reading = state_folder._read_log

        def read_log(folder: Path) -> bytes:
            path.write_bytes(path.read_bytes() + b" ")
            return reading(folder)

        monkeypatch.setattr(state_folder, "_read_log", read_log)
        assert code_of(place.site) == "state-busy"

    def test_eight_processes(self, tmp_path: Path) -> None:
        names = [f"s{number}" for number in range(8)]
        place = Place(tmp_path, TufRepository(*names))
        parcels = [place.make(name, name.encode()) for name in names]
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=place.take, args=(parcel,)) for parcel in parcels]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 8
        assert set(place.site().loaded.pins[0].record.streams) == set(names)
        assert len(place.site().loaded.log) == 9


def test_a_state_folder_can_be_moved(place: Place, tmp_path: Path) -> None:
    place.take(place.make("main", b"one"))
    shutil.move(place.state, tmp_path / "elsewhere")
    place.state = tmp_path / "elsewhere"
    assert place.take(place.make("main", b"two")).status == "next"
