"""Killed, or refused by the disk, at every call that writes: afterwards the old state or the new one, never half
(DESIGN section 3, "Crash-safe"; THREATS I16, I17, "Crash campaign").

The installed program runs under strace, which kills it at the entry of one system call, or lets that call fail with EIO
or ENOSPC. Each point costs most of a second, so `make test` takes some points of each command, evenly spread over its
run; `make test-exhaustive` takes all of them with all three faults. After each: what is on disk verifies and is old or
new, nothing is left of the run once the next one has passed, and the same command, typed again, succeeds.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.safe_file import TEMPORARY_PREFIX
from tests.cli.session import SEALIFT, call
from tests.simulators.campaign import KEYLESS, Campaign, tree_bytes
from tests.simulators.deliveries import Exporter, make_site
from tests.simulators.faults import KILL, STRACE, Point, run_with, spread, writing_points
from tests.simulators.tuf_repository import TufRepository
from trust_root.ceremony import create
from trust_root.keys import generate_key
from trust_root.repository import read_repository
from trust_root.revocation import format_revocation
from trust_root.site import load_site
from trust_root.state_folder import is_pinned

pytestmark = pytest.mark.skipif(STRACE is None, reason="needs strace")
FAULTS = (KILL, "error=EIO", "error=ENOSPC")
EXIT_ENVIRONMENT = 6
DISK_CODES = ("disk", "disk-full", "file-absent")


@dataclass
class Case:
    """One command, what it starts from, and how to tell old from new.

    Attributes:
        folder: what it writes.
        words: the command line.
        position: what the folder holds now; None where nothing is (a site without a pin).
        old, new: positions before and after.
        between: positions on the way that are whole in themselves: newer roots are kept before a delivery is accepted.
        settled: exit code of a repeated run after the new position was reached.
    """

    folder: Path
    words: list[str | Path]
    position: Callable[[Path], object]
    old: object
    new: object
    between: tuple[object, ...] = ()
    settled: int = 0

    def __post_init__(self) -> None:
        self.aside = self.folder.with_name(f"{self.folder.name}-aside")
        if self.folder.exists():
            shutil.copytree(self.folder, self.aside)

    def start_again(self) -> None:
        """Everything as it was."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        if self.aside.exists():
            shutil.copytree(self.aside, self.folder)

    @property
    def command(self) -> list[str | Path]:
        return [SEALIFT, *self.words]


@pytest.fixture(scope="module")
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, now: datetime) -> dict[str, Path]:
    """A site that has accepted a first delivery; a second one that brings a new root and new targets; a revocation."""
    folder = tmp_path_factory.mktemp("crashes")
    world = Campaign(folder / "images", "main")
    repository = TufRepository("main", at=now - timedelta(hours=2), targets=world.repository.contents)
    exporter = Exporter(repository, folder / "exporter")
    one = exporter.deliver(world.source(), at=now - timedelta(hours=1))
    holders = [generate_key(), *repository.holders[1:]]
    repository.add_root(now, holders=holders, signers=[*repository.holders, *holders])
    repository.publish(now, keys__more_dot_pub=b"more")
    two = exporter.deliver(world.source(), at=now)
    made = {"one": one, "two": two, "state": folder / "state", "policy": folder / "policy.toml"}
    made["policy"].write_text(KEYLESS)
    make_site(made["state"], repository.pin, clock=now)
    assert verify(made, "one") == 0
    made["revocation"] = folder / "revocation.json"
    made["revocation"].write_bytes(format_revocation(repository.roots))
    made["root"] = folder / "1.root.json"
    made["root"].write_bytes(repository.pin)
    made["successor"] = folder / "new.root.json"
    made["successor"].write_bytes(TufRepository("main", at=now).pin)
    return made


def verify_words(site: dict[str, Path], bundle: str) -> list[str | Path]:
    return ["verify", site[bundle], "--policy", site["policy"], "--state", site["state"], "--quiet", "--threads", "1"]


def verify(site: dict[str, Path], bundle: str) -> int:
    return call(*verify_words(site, bundle)).code


def memory(state: Path) -> object:
    """What a site remembers, but for the log and the times: newest root, targets, sequences, pins."""
    if not is_pinned(state):
        return None
    loaded = load_site(state).loaded
    return [
        (
            max(pin.roots),
            pin.record.targets,
            [(name, record.newest.inventory) for name, record in sorted(pin.record.streams.items())],
            pin.record.retired is not None,
        )
        for pin in loaded.pins
    ]


def repository_versions(folder: Path) -> tuple[int, dict[str, int]]:
    metadata = read_repository(folder).metadata
    return len(metadata.chain.files), {name: facts.version for name, facts in metadata.roles.items()}


def copied(case_folder: Path, original: Path) -> Path:
    shutil.copytree(original, case_folder)
    return case_folder


def case_pin(site: dict[str, Path], folder: Path, now: datetime) -> Case:
    fingerprint = sha256_of(site["root"].read_bytes()).hex
    words = ["trust", "pin", site["root"], "--sha256", fingerprint, "--site", "plant", "--state", folder / "state"]
    reference = make_site(folder / "reference", site["root"].read_bytes(), clock=now)
    return Case(folder / "state", words, memory, None, memory(reference))


def case_verify(site: dict[str, Path], folder: Path, now: datetime) -> Case:
    state = copied(folder / "state", site["state"])
    here = {**site, "state": state}
    after = {**site, "state": copied(folder / "reference", site["state"])}
    assert verify(after, "two") == 0
    roots = copied(folder / "roots", site["state"])
    assert call("trust", "refresh", "--from", site["revocation"], "--state", roots).code == 0
    return Case(state, verify_words(here, "two"), memory, memory(state), memory(after["state"]), (memory(roots),))


def case_refresh(site: dict[str, Path], folder: Path, now: datetime) -> Case:
    words: list[str | Path] = ["trust", "refresh", "--from", site["revocation"], "--state"]
    state, after = copied(folder / "state", site["state"]), copied(folder / "reference", site["state"])
    assert call(*words, after).code == 0
    return Case(state, [*words, state], memory, memory(state), memory(after))


def case_reanchor(site: dict[str, Path], folder: Path, now: datetime) -> Case:
    words: list[str | Path] = ["trust", "reanchor", site["successor"], "--sha256"]
    words += [sha256_of(site["successor"].read_bytes()).hex, "--reason", "lost", "--operator", "A", "--operator", "B"]
    state, after = copied(folder / "state", site["state"]), copied(folder / "reference", site["state"])
    assert call(*words, "--state", after).code == 0
    return Case(state, [*words, "--state", state], memory, memory(state), memory(after), settled=4)


def repository_case(folder: Path, now: datetime, *words: str | Path) -> Case:
    place, keys = folder / "repository", folder / "keys"
    create(place, keys, "main", lambda _: b"", now - timedelta(hours=1), threshold=2, holders=3, development=True)
    after = copied(folder / "reference", place)
    line: list[str | Path] = ["trust", words[0], place, "--keys", keys, *words[1:]]
    done = call("trust", words[0], after, "--keys", keys, *words[1:])
    assert done.code == 0, done
    return Case(place, line, repository_versions, repository_versions(place), repository_versions(after))


def case_publish(site: dict[str, Path], folder: Path, now: datetime) -> Case:
    (folder / "policy.toml").write_text(KEYLESS)
    return repository_case(folder, now, "publish", "--policy", f"site={folder / 'policy.toml'}")


def case_rotate(site: dict[str, Path], folder: Path, now: datetime) -> Case:
    return repository_case(folder, now, "rotate")


CASES = {
    "pin": case_pin,
    "verify": case_verify,
    "refresh": case_refresh,
    "reanchor": case_reanchor,
    "publish": case_publish,
    "rotate": case_rotate,
}


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALIFT_KEY_PASSPHRASE", "")


@pytest.mark.parametrize("name", CASES)
def test_some_points_of_each_command(name: str, site: dict[str, Path], tmp_path: Path, now: datetime) -> None:
    case = CASES[name](site, tmp_path, now)
    points = enumerate_points(case, tmp_path)
    for point in spread(points, 4)[1:]:
        strike(case, point, KILL, tmp_path)
    syncs = [point for point in points if point.call == "fsync"]
    renames = [point for point in points if point.call == "rename"]
    strike(case, syncs[len(syncs) // 2], "error=EIO", tmp_path)
    strike(case, renames[-1], "error=ENOSPC", tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CASES)
def test_every_point_of_each_command(
    name: str, fault: str, site: dict[str, Path], tmp_path: Path, now: datetime
) -> None:
    case = CASES[name](site, tmp_path, now)
    points = enumerate_points(case, tmp_path)
    positions = {repr(strike(case, point, fault, tmp_path)) for point in points}
    assert len(points) > 12
    assert positions == {repr(position) for position in (case.old, *case.between, case.new)}


def enumerate_points(case: Case, work: Path) -> list[Point]:
    points = writing_points(case.command, case.folder, work)
    assert case.position(case.folder) == case.new
    case.start_again()
    assert case.position(case.folder) == case.old
    return points


def has_arrived(case: Case) -> bool:
    """Whether the new position is reached; a repository's versions may be above, for the killed run used some."""
    position = case.position(case.folder)
    if case.position is memory:
        return position == case.new
    roots, versions = repository_versions(case.folder)
    wanted_roots, wanted = case.new  # type: ignore[misc]
    return roots >= wanted_roots and all(versions[name] >= wanted[name] for name in wanted)


def recover(case: Case, told: str) -> None:
    """Type the command again. A proposal that waits is told, and dropped or gone on with by hand."""
    again = call(*case.words)
    if "[proposal-pending]" in again.err:
        assert call("trust", "sign", case.folder, "--discard").code == 0
        again = call(*case.words)
    assert again.code == 0, (told, again)


def strike(case: Case, point: Point, fault: str, work: Path) -> object:
    """One run with one fault; gives the position that it left."""
    ended = run_with(case.command, point, fault, work)
    told = f"{case.words[:2]} {point} {fault}: {ended}"
    if fault == KILL:
        assert ended.code in (-9, 137), told
    else:
        assert ended.code in (0, EXIT_ENVIRONMENT), told
        assert "Traceback" not in ended.err, told
    position = case.position(case.folder)
    assert position in (case.old, *case.between, case.new), told
    if ended.code == 0:
        assert position == case.new, told
    if position != case.new:
        recover(case, told)
        assert has_arrived(case), told
        assert [name for name in tree_bytes(case.folder) if TEMPORARY_PREFIX in name] == [], told
    else:
        assert call(*case.words).code == case.settled, told
    case.start_again()
    return position


def test_a_result_that_cannot_be_written() -> None:
    """`sealift … > report` on a full disk."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([SEALIFT, "help", "reasons"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, b"[disk-full]" in done.stderr) == (EXIT_ENVIRONMENT, True)
