"""Every file of a site's state, edited, cut, removed, put back from an older copy or exchanged with another: it is
noticed, or what is loaded is exactly what was written (DESIGN section 4; THREATS I5, T9).

The state has a history: deliveries of two streams, a rotation, an alarm, a floor set by hand, edited settings, a pin
given up. `make test` takes a sample of the places in each file, `make test-exhaustive` every bit and every length.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.errors import EnvError, SealiftError
from tests.simulators.deliveries import change_settings
from tests.simulators.tuf_repository import START, TufRepository
from tests.simulators.tuf_site import Place
from trust_root.reanchor import reanchor

NOTICED = {"state-damaged", "settings-changed"}
SAMPLES = 12


class Past:
    """A site with a history: its folder now, and what every file was at each generation before."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder, TufRepository("main", "other", targets={"keys/vendor.pub": b"key"}))
        self.older: list[dict[str, bytes]] = []
        for step in self.steps():
            self.older.append(self.place.bytes_of_state())
            step()
        self.now = self.place.bytes_of_state()
        self.loaded = self.place.site().loaded

    def steps(self) -> Iterator[Callable[[], object]]:
        place, repository = self.place, self.place.repository
        twin = repository.fork()
        one = place.make("main", b"one")
        yield lambda: place.take(one)
        yield repository.add_root
        yield lambda: place.take(place.make("other", b"uno"))
        forged = place.make("main", b"other one", repository=twin)
        yield lambda: outcome(lambda: place.take(forged))
        yield lambda: place.site().set_floor(START, "a drill", START)
        yield lambda: change_settings(place.state, 'site = "plant-7"\n[time]\nmax_age_days = 300\n', START)
        successor = TufRepository("main")
        yield lambda: reanchor(
            place.state, successor.pin, sha256_of(successor.pin), START, operators=("A", "B"), reason="a drill"
        )
        place.last.clear()
        yield lambda: place.take(place.make("main", b"first", repository=successor))

    def path(self, name: str) -> Path:
        return self.place.state / name

    def write(self, name: str, raw: bytes) -> None:
        path = self.path(name)
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(raw)

    def put_back(self) -> None:
        """Everything as it is now."""
        for name in set(self.place.bytes_of_state()) - set(self.now):
            self.path(name).unlink()
        for name, raw in self.now.items():
            if not self.path(name).is_file() or self.path(name).is_symlink() or self.path(name).read_bytes() != raw:
                self.write(name, raw)

    def check(self, what: str, *, same: bool = False) -> str:
        """Load: noticed, or (only where `same` is allowed) exactly what was written. Then put everything back."""
        found = outcome(self.place.site)
        if found == "":
            assert same, f"{what} was not noticed"
            assert self.place.site().loaded == self.loaded, what
        else:
            assert found in NOTICED, f"{what}: {found}"
        self.put_back()
        return found


def outcome(act: Callable[[], object]) -> str:
    """Reason code, or nothing."""
    try:
        act()
    except SealiftError as error:
        return error.code
    return ""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    made = Past(tmp_path_factory.mktemp("past"))
    assert len(made.older) == 9 - 1
    assert {name.partition("/")[0] for name in made.now} == {"site.toml", "state.json", "log.jsonl", "pins", "content"}
    return made


def referenced(past: Past) -> list[str]:
    """The files that count: contents that newer ones have replaced are kept and not read again."""
    unread = {f"content/{sha256_of(raw).hex}" for raw in unreferenced(past)}
    return [name for name in past.now if name not in unread]


def unreferenced(past: Past) -> Iterator[bytes]:
    named = past.now["state.json"]
    targets = [raw for pin in past.loaded.pins for raw in pin.targets.values()]
    for name, raw in past.now.items():
        digest = sha256_of(raw).hex.encode()
        if name.startswith("content/") and digest not in named and raw not in targets:
            yield raw


def sample(length: int, count: int = SAMPLES) -> list[int]:
    return sorted({*range(0, length, max(1, length // count)), max(0, length - 1)})


def test_flipped_bits(past: Past) -> None:
    for name in referenced(past):
        raw = past.now[name]
        for place in sample(len(raw)):
            past.write(name, raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :])
            past.check(f"bit {place % 8} of byte {place} of {name}")


def test_cut_and_prolonged(past: Past) -> None:
    for name in referenced(past):
        raw = past.now[name]
        for length in sample(len(raw), 8):
            past.write(name, raw[:length])
            past.check(f"{name} cut to {length}", same=length == raw.rfind(b"\n", 0, -1) + 1 and name == "log.jsonl")
        for more in (b"\n", b" ", b"\0", raw):
            past.write(name, raw + more)
            past.check(f"{name} and {more[:1]!r}")


def test_removed(past: Past) -> None:
    for name in referenced(past):
        past.path(name).unlink()
        past.check(f"without {name}")


def test_something_else_in_its_place(past: Past) -> None:
    for name in referenced(past):
        past.path(name).unlink()
        past.path(name).mkdir()
        assert outcome(past.place.site) in NOTICED | {"file-kind"}, name
        past.put_back()
        past.path(name).unlink()
        os.mkfifo(past.path(name))
        assert outcome(past.place.site) in NOTICED | {"file-kind"}, name
        past.put_back()


def test_older_copies_of_one_file(past: Past) -> None:
    """Each file alone put back as it was at any generation; only a log that lacks its last line is completed."""
    for number, older in enumerate(past.older):
        for name, raw in older.items():
            if raw == past.now[name]:
                continue
            past.write(name, raw)
            last = number == len(past.older) - 1 and name == "log.jsonl"
            past.check(f"{name} of generation {number + 1}", same=last)


def test_older_copies_of_all_but_one_file(past: Past) -> None:
    """The whole folder put back, but for one file that was overlooked."""
    for older in past.older[1:]:
        for kept in ("state.json", "log.jsonl", "site.toml"):
            if older[kept] == past.now[kept]:
                continue
            for name, raw in older.items():
                if name != kept:
                    past.write(name, raw)
            found = outcome(past.place.site)
            if found == "":  # the log of the generation before lacks the last line only, and is completed
                assert past.place.site().loaded == past.loaded
            else:
                assert found in NOTICED, kept
            past.put_back()


def test_a_whole_folder_put_back_is_known_by_its_digest_alone(past: Past) -> None:
    digests = set()
    for older in past.older:
        for name in past.now:
            past.path(name).unlink()
        for name, raw in older.items():
            past.write(name, raw)
        digests.add(past.place.site().loaded.digest)
        past.put_back()
    assert len(digests) == len({older["state.json"] for older in past.older})
    assert past.loaded.digest not in digests


def test_two_files_exchanged(past: Past) -> None:
    for one, other in itertools.combinations(referenced(past), 2):
        if past.now[one] == past.now[other]:
            continue
        past.write(one, past.now[other])
        past.write(other, past.now[one])
        past.check(f"{one} and {other} exchanged")


def test_state_and_log_removed(past: Past) -> None:
    """Not a site that was never pinned: contents of deliveries are there."""
    for name in ("state.json", "log.jsonl"):
        past.path(name).unlink()
    past.check("state and log")


def test_whole_folders_removed(past: Past) -> None:
    for name in ("pins", "content"):
        shutil.rmtree(past.path(name))
        past.check(name)


def test_the_lock_holds_nothing(past: Past) -> None:
    lock = past.path("lock")
    for change in (lock.unlink, lambda: lock.write_bytes(b"anything")):
        change()
        past.place.site().set_floor(START, "nothing changes", START)
    past.put_back()
    assert past.place.site().loaded == past.loaded
    lock.unlink(missing_ok=True)
    lock.symlink_to("/dev/null")
    with pytest.raises(EnvError):
        past.place.site().set_floor(START, "x", START)
    lock.unlink()


@pytest.mark.exhaustive
def test_every_bit_and_every_length(past: Past) -> None:
    for name in referenced(past):
        raw = past.now[name]
        for place, bit in itertools.product(range(len(raw)), range(8)):
            past.path(name).write_bytes(raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :])
            assert outcome(past.place.site) in NOTICED, (name, place, bit)
        for length in range(len(raw)):
            past.path(name).write_bytes(raw[:length])
            found = outcome(past.place.site)
            assert found in NOTICED or past.place.site().loaded == past.loaded, (name, length)
        past.put_back()
