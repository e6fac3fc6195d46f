"""Fetching: cold, warm, dropped, poisoned, interrupted, on a full disk; two images, two runs, no skopeo at all."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, RejectedError, SealiftError, UnsupportedError
from bundler.network.access import Access
from bundler.network.blob_cache import open_cache
from bundler.network.fetching import Fetcher, ImageWork, ManifestWork
from bundler.network.skopeo import Skopeo
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_MANIFEST
from tests.simulators.blob_source import MemoryRepository, Patterned
from tests.simulators.ctrl_c import pressed_when
from tests.simulators.images import OCI_LAYER
from tests.simulators.skopeo_stub import SkopeoStub

ACCESS = Access(stall_seconds=60, retries=2, backoff_seconds=0.01)
SMALL = (b"config", b"layer one" * 100, b"layer two" * 1000)
EVIDENCE = b"evidence" * 50
LARGE = Patterned(3_000_000, seed=1)
LARGE_FROM = 1_000_000


def described(raw: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER, sha256_of(raw), len(raw))


def manifest(name: str, *blobs: Descriptor) -> ManifestWork:
    raw = f"manifest of {name}".encode()
    return ManifestWork(Descriptor(OCI_MANIFEST, sha256_of(raw), len(raw)), raw, blobs)


class World:
    """A cache, a registry and a program for skopeo, which outlive runs."""

    def __init__(self, folder: Path, *, body: str = "honest()", by_skopeo: Sequence[bytes] = SMALL) -> None:
        self.folder = folder
        self.repository = MemoryRepository()
        self.large = self.repository.add(LARGE)
        self.evidence = self.repository.add(EVIDENCE)
        self.skopeo = SkopeoStub(folder / "bin", body, by_skopeo)
        self.blobs = folder / "cache/blobs/sha256"
        self.partial = folder / "cache/partial"

    def image(self, name: str = "app", *, large: bool = True) -> ImageWork:
        blobs = [*map(described, SMALL), *([self.large] if large else [])]
        return ImageWork(name, self.repository, (manifest(name, *blobs),), (self.evidence,))

    @contextlib.contextmanager
    def run(self, *, access: Access = ACCESS, jobs: int = 4) -> Iterator[Fetcher]:
        with open_cache(self.folder / "cache") as cache:
            skopeo = Skopeo(access, str(self.skopeo.path))
            yield Fetcher(cache, skopeo, access, large_bytes=LARGE_FROM, jobs=jobs)
        assert list((self.folder / "cache/runs").iterdir()) == []

    def fetch(self, *works: ImageWork, access: Access = ACCESS) -> None:
        """Fetch, and read all that was promised."""
        with self.run(access=access) as fetcher:
            fetcher.fetch(works)
            check_all(fetcher, *works)

    def fails(self, *works: ImageWork, access: Access = ACCESS) -> SealiftError:
        with self.run(access=access) as fetcher, pytest.raises((EnvError, RejectedError)) as caught:
            fetcher.fetch(works)
        return caught.value


def check_all(fetcher: Fetcher, *works: ImageWork) -> None:
    wanted = {digest: blob for work in works for digest, blob in work.blobs().items()}
    assert fetcher.checked >= wanted.keys()
    for digest, blob in wanted.items():
        with fetcher.open(blob) as stream:
            assert sha256_of(stream.read()) == digest


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_cold_then_warm(world: World) -> None:
    """A second run downloads no blob again and starts no program."""
    world.fetch(world.image())
    assert len(world.skopeo.calls) == 1
    assert sorted(world.repository.requests) == sorted([(world.large.digest, 0), (world.evidence.digest, 0)])
    world.repository.requests.clear()
    world.fetch(world.image())
    assert len(world.skopeo.calls) == 1
    assert world.repository.requests == []
    assert not list(world.partial.iterdir())


def test_progress_and_ends_are_told_in_this_thread(world: World) -> None:
    here = threading.get_ident()
    told: dict[str, list[int]] = {"one": [], "two": []}
    done: list[str] = []

    def report(name: str, count: int) -> None:
        assert threading.get_ident() == here
        told[name].append(count)

    works = [world.image("one"), world.image("two", large=False)]
    with world.run() as fetcher:
        fetcher.fetch(works, report, done.append)
    assert sorted(done) == ["one", "two"]
    for work in works:
        assert told[work.name] == sorted(told[work.name])
        assert told[work.name][-1] == work.size_bytes


def test_what_two_images_need_is_fetched_once(world: World) -> None:
    world.fetch(world.image("one"), world.image("two"), world.image("three", large=False))
    assert len(world.skopeo.calls) == 1
    assert len(world.repository.requests) == 2


def test_platforms_are_fetched_each_by_its_manifest(tmp_path: Path) -> None:
    parts = [bytes([number]) * 1000 for number in range(8)]
    world = World(tmp_path, by_skopeo=parts)
    works = [
        ImageWork(
            f"image {number}", world.repository, (manifest(f"a{number}", *map(described, parts[number : number + 3])),)
        )
        for number in range(6)
    ]
    world.fetch(*works)
    assert {path.name for path in world.blobs.iterdir()} == {sha256_of(raw).hex for raw in parts}


def test_an_image_whose_only_missing_blob_is_large_needs_no_skopeo(world: World) -> None:
    work = ImageWork("large", world.repository, (manifest("large", world.large),))
    world.fetch(work)
    assert world.skopeo.calls == []


def test_a_registry_that_skopeo_cannot_be_told_of_needs_no_skopeo(world: World) -> None:
    """An IPv6 address: `invalid reference format`, says skopeo 1.9.3."""
    world.repository.name = "[::1]:5000/app"
    for raw in SMALL:
        world.repository.add(raw)
    world.fetch(world.image())
    assert world.skopeo.calls == []
    assert {digest for digest, _ in world.repository.requests} == world.image().blobs().keys()


def test_skopeo_finds_the_large_blob_in_place(tmp_path: Path) -> None:
    body = f'assert os.path.getsize(SHARED + "/{LARGE.descriptor().digest.hex}") == {LARGE.size_bytes}\nhonest()'
    world = World(tmp_path, body=body)
    world.fetch(world.image())


def test_missing_bytes_know_the_cache_and_beginnings(world: World) -> None:
    work = world.image()
    with world.run() as fetcher:
        assert fetcher.missing_bytes([work, work]) == work.size_bytes
    world.repository.drops[world.large.digest] = [1_200_000, 0, 0, 0]
    world.fails(work)
    with world.run() as fetcher:
        assert fetcher.missing_bytes([work]) <= work.size_bytes - 1_200_000


# Drops.

DROPS = [1, 2, 1000, 100_000, 599_999, 1_000_000, 17, 300_000, 400_000, 1]


def test_ten_drops_in_one_blob(world: World) -> None:
    world.repository.drops[world.large.digest] = [*DROPS]
    assert sum(DROPS) < LARGE.size_bytes
    world.fetch(world.image(), access=replace(ACCESS, retries=0))
    offsets = [offset for digest, offset in world.repository.requests if digest == world.large.digest]
    assert offsets == sorted(offsets)
    assert len(offsets) == 11


def test_small_blobs_are_resumed_too(world: World) -> None:
    world.repository.drops[world.evidence.digest] = [3, 5, 7]
    world.fetch(ImageWork("evidence", world.repository, (), (world.evidence,)))
    assert [offset for _, offset in world.repository.requests] == [0, 3, 8, 15]


def test_drops_without_progress_are_counted(world: World) -> None:
    world.repository.drops[world.evidence.digest] = [0] * 3
    error = world.fails(ImageWork("evidence", world.repository, (), (world.evidence,)))
    assert error.code == "connection-lost"
    assert error.hints == ("image evidence",)
    world.repository.drops[world.evidence.digest] = [0] * 2
    world.fetch(ImageWork("evidence", world.repository, (), (world.evidence,)))


def test_drops_with_progress_end_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BLOB_DROPS", 20)
    world.repository.drops[world.evidence.digest] = [1] * 1000
    assert world.fails(ImageWork("evidence", world.repository, (), (world.evidence,))).code == "connection-lost"
    assert len(world.repository.requests) == 21


def test_without_range_it_starts_over_a_few_times(world: World) -> None:
    world.repository.ranges = False
    world.repository.drops[world.large.digest] = [1000, 1000]
    world.fetch(world.image())
    world.repository.requests.clear()
    world.blobs.joinpath(world.large.digest.hex).unlink()
    world.repository.drops[world.large.digest] = [1000] * 1000
    assert world.fails(world.image()).code == "range-unsupported"
    assert len(world.repository.requests) < 10


@pytest.mark.parametrize("code", ["network", "stalled", "registry-busy", "registry-server"])
def test_faults_that_pass(world: World, code: str) -> None:
    world.repository.errors = [EnvError(code, "blob"), EnvError(code, "blob")]
    world.fetch(ImageWork("evidence", world.repository, (), (world.evidence,)))


@pytest.mark.parametrize("code", ["registry-auth", "registry-denied", "registry-tls", "credentials"])
def test_answers_are_not_asked_for_again(world: World, code: str) -> None:
    world.repository.errors = [EnvError(code, "blob")]
    assert world.fails(ImageWork("evidence", world.repository, (), (world.evidence,))).code == code
    assert len(world.repository.requests) == 1


def test_a_blob_that_the_registry_lacks(world: World) -> None:
    del world.repository.blobs[world.evidence.digest]
    error = world.fails(world.image())
    assert error.code == "incomplete-source"
    assert error.exit_code == 1


@pytest.mark.parametrize("large", [True, False])
def test_wrong_bytes_are_fetched_once_more(world: World, large: bool) -> None:
    blob = world.large if large else world.evidence
    work = ImageWork("wrong", world.repository, (), (blob,))
    world.repository.wrong = 1
    world.fetch(work)
    assert len(world.repository.requests) == 2
    (world.blobs / blob.digest.hex).unlink()
    world.repository.wrong = 2
    assert world.fails(work).code == "blob-digest"
    assert list(world.partial.iterdir()) == []
    assert list(world.blobs.iterdir()) == []
    world.fetch(work)


# The cache between runs.


@pytest.mark.parametrize("raw", [b"", b"?" * 9000, b"layer two" * 999])
def test_a_poisoned_blob_is_evicted_and_fetched_once_more(world: World, raw: bytes) -> None:
    world.fetch(world.image())
    (world.blobs / sha256_of(SMALL[2]).hex).write_bytes(raw)
    (world.blobs / world.large.digest.hex).write_bytes(bytes(LARGE.size_bytes))
    world.repository.requests.clear()
    world.fetch(world.image())
    assert len(world.skopeo.calls) == 2
    assert world.repository.requests == [(world.large.digest, 0)]
    assert (world.blobs / sha256_of(SMALL[2]).hex).read_bytes() == SMALL[2]


def test_a_beginning_is_used_by_the_next_run(world: World) -> None:
    world.repository.drops[world.large.digest] = [2_000_000, 0, 0, 0]
    assert world.fails(world.image()).code == "connection-lost"
    assert (world.partial / world.large.digest.hex).stat().st_size == 2_000_000
    world.repository.requests.clear()
    world.fetch(world.image())
    assert (world.large.digest, 2_000_000) in world.repository.requests
    assert list(world.partial.iterdir()) == []


@pytest.mark.parametrize("poison", ["flipped", "too-long", "other", "link", "hard-link", "folder", "fifo", "whole"])
def test_a_poisoned_beginning_does_no_harm(world: World, poison: str, tmp_path: Path) -> None:
    world.partial.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    path = world.partial / world.large.digest.hex
    good = LARGE.part(0, 1_500_000)
    if poison == "flipped":
        path.write_bytes(good[:700] + b"?" + good[701:])
    elif poison == "too-long":
        path.write_bytes(LARGE.part(0, LARGE.size_bytes) + b"?")
    elif poison == "other":
        path.write_bytes(bytes(LARGE.size_bytes))
    elif poison == "link":
        path.symlink_to(victim)
    elif poison == "hard-link":
        path.hardlink_to(victim)
    elif poison == "folder":
        path.mkdir()
    elif poison == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(LARGE.part(0, LARGE.size_bytes))
    world.fetch(ImageWork("large", world.repository, (), (world.large,)))
    assert victim.read_bytes() == b"mine"
    assert list(world.partial.iterdir()) == []
    assert len(world.repository.requests) == (0 if poison == "whole" else 2 if poison == "flipped" else 1)


def test_two_runs_at_once_bring_a_large_blob_once(world: World) -> None:
    meanwhile = threading.Event()
    world.repository.before_read = lambda _: time.sleep(0.05) if meanwhile.is_set() else meanwhile.set()
    work = ImageWork("large", world.repository, (), (world.large,))
    with open_cache(world.folder / "cache") as first, open_cache(world.folder / "cache") as second:
        one, two = (Fetcher(cache, None, ACCESS, large_bytes=LARGE_FROM) for cache in (first, second))
        threads = [threading.Thread(target=fetcher.fetch, args=([work],)) for fetcher in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_all(one, work)
        check_all(two, work)
    assert len(world.repository.requests) == 1


# Ends in the middle.


def sleeps(late: Path) -> str:
    """What a program does that leaves a mark unless it is ended."""
    return f'time.sleep(60)\nopen({str(late)!r}, "w")'


def test_an_error_stops_the_others_within_moments(tmp_path: Path) -> None:
    world = World(tmp_path, body=sleeps(tmp_path / "late"))
    world.repository.hang = True
    missing = described(b"missing")
    work = replace(world.image(), others=(missing, world.evidence))
    stuck = replace(ACCESS, stall_seconds=60)

    def fail_soon(offset: int) -> None:
        time.sleep(0.3)

    world.repository.before_read = fail_soon
    assert world.fails(work, access=stuck).code == "incomplete-source"
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize("where", ["skopeo", "client"])
def test_ctrl_c_ends_everything_within_moments(tmp_path: Path, where: str) -> None:
    world = World(tmp_path, body=sleeps(tmp_path / "late"))
    world.repository.hang = where == "client"
    come = {world.large.digest.hex, world.evidence.digest.hex}

    def waits() -> bool:
        if where == "client":
            return len(world.repository.requests) == 2
        return bool(world.skopeo.calls) and {path.name for path in world.blobs.iterdir()} == come

    with world.run(access=replace(ACCESS, stall_seconds=60)) as fetcher, pressed_when(waits):
        fetcher.fetch([world.image()])
    assert not (tmp_path / "late").exists()
    for number in world.skopeo.calls:
        state = Path(f"/proc/{number}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    if where == "skopeo":  # what had come stays
        assert {path.name for path in world.blobs.iterdir()} == come


def test_a_full_disk_breaks_nothing(world: World) -> None:
    """A bound on file sizes stands in for it: the system refuses to write on, in the middle of a blob."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
        error = world.fails(world.image())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert error.code == "disk"
    assert os.strerror(errno.EFBIG) in str(error)
    world.repository.requests.clear()
    world.fetch(world.image())
    assert (world.large.digest, 2_000_000) in world.repository.requests


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A file system of that size; skipped where nobody may mount one."""
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here; a bound on file sizes stands in for it in the test before")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("who", ["client", "skopeo"])
def test_a_disk_that_is_full(tmp_path: Path, who: str) -> None:
    """ENOSPC in our own writing and in skopeo's: said so, nothing broken kept, and done when there is room."""
    body = """
try:
    honest()
except OSError as error:
    sys.exit(f"level=fatal msg=writing blob: {os.strerror(error.errno).lower()}")
"""
    parts = [bytes([number]) * 700_000 for number in range(3)]
    with small_disk(tmp_path / "cache", 2_000_000) as disk:
        world = World(tmp_path, body=body, by_skopeo=parts)
        large = ImageWork("app", world.repository, (), (world.large,))
        several = ImageWork("app", world.repository, (manifest("app", *map(described, parts)),))
        work = large if who == "client" else several
        error = world.fails(work)
        assert error.code == "disk-full"
        assert error.exit_code == 6
        for path in world.blobs.iterdir():
            assert sha256_of(path.read_bytes()).hex == path.name
        subprocess.run(["mount", "-o", "remount,size=20000000", str(disk)], check=True)
        world.fetch(work)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.network.test_fetching import World
world = World(Path({folder!r}))
def die(offset):
    if offset >= 2_000_000:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
world.repository.before_read = die
world.fetch(world.image())
"""


def test_a_kill_loses_nothing(world: World, root: Path) -> None:
    script = CHILD.format(root=str(root), folder=str(world.folder))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(list((world.folder / "cache/runs").iterdir())) == 1
    world.fetch(world.image())
    assert [offset for digest, offset in world.repository.requests if digest == world.large.digest] == [2_097_152]


CHILD_WITH_SKOPEO = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.network.test_fetching import WAITS_ONCE, World
world = World(Path({folder!r}), body=WAITS_ONCE)
world.fetch(world.image())
"""
WAITS_ONCE = 'if CALL == 0:\n    put("0" * 64, b"x")\n    time.sleep(60)\nhonest()'


def test_a_kill_while_skopeo_runs(tmp_path: Path, root: Path) -> None:
    """Our process is gone, skopeo goes on in a folder that the next run removes; the next run completes."""
    script = CHILD_WITH_SKOPEO.format(root=str(root), folder=str(tmp_path))
    world = World(tmp_path, body=WAITS_ONCE)
    child = subprocess.Popen([sys.executable, "-c", script])
    started = (tmp_path / "cache/runs", "*/shared/sha256/00*")
    by_client = [world.blobs / world.large.digest.hex, world.blobs / world.evidence.digest.hex]
    while not (list(started[0].glob(started[1])) and all(path.exists() for path in by_client)):
        assert child.poll() is None
        time.sleep(0.05)
    child.kill()
    child.wait()
    orphans = world.skopeo.calls
    try:
        world.fetch(world.image())
        assert len(world.skopeo.calls) == 2
        assert world.repository.requests == []  # what had come is there
    finally:
        for number in orphans:
            os.kill(number, signal.SIGKILL)


# What is asked for.


def test_one_digest_with_two_sizes(world: World) -> None:
    other = replace(world.evidence, size_bytes=1)
    assert world.fails(replace(world.image(), others=(world.evidence, other))).code == "digest-size"


def test_only_sha256(world: World) -> None:
    blob = Descriptor(OCI_LAYER, Digest("sha512", "0" * 128), 1)
    with world.run() as fetcher, pytest.raises(UnsupportedError):
        fetcher.fetch([ImageWork("x", world.repository, (), (blob,))])


def test_an_empty_blob_needs_no_request(world: World) -> None:
    work = ImageWork("empty", world.repository, (), (described(b""),))
    world.fetch(work)
    world.fetch(work)
    assert world.repository.requests == []


def test_nothing_is_handed_out_that_was_not_fetched(world: World) -> None:
    world.fetch(world.image())
    with world.run() as fetcher, pytest.raises(RejectedError, match="not fetched") as caught:
        fetcher.open(world.evidence)
    assert caught.value.code == "incomplete-source"


def test_documents_come_from_the_cache_hashed(world: World) -> None:
    raw = b"a manifest"
    with world.run() as fetcher:
        assert fetcher.cached(sha256_of(raw)) is None
        fetcher.keep(sha256_of(raw), raw)
        assert fetcher.cached(sha256_of(raw)) == raw
        (world.blobs / sha256_of(raw).hex).write_bytes(b"a manifesT")
        assert fetcher.cached(sha256_of(raw)) is None
        assert fetcher.cache.evicted == [sha256_of(raw)]


@pytest.mark.exhaustive
def test_two_gibibytes_with_ten_drops_in_flat_memory(tmp_path: Path) -> None:
    content = Patterned(2 << 30, seed=7)
    repository = MemoryRepository()
    blob = repository.add(content)
    repository.drops[blob.digest] = [content.size_bytes // 11 + number for number in range(10)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_cache(tmp_path / "cache") as cache:
        fetcher = Fetcher(cache, None, ACCESS)
        fetcher.fetch([ImageWork("model", repository, (), (blob,))])
        assert fetcher.checked == {blob.digest}
    assert len(repository.requests) == 11
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB
