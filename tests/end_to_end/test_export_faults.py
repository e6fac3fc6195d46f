"""Caches that are warm, poisoned or shared, programs that lie, disks that are full, kills and Ctrl-C: what users meet.

Whatever ends an export leaves no bundle, no pending record and no staging folder behind, and the next run completes.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import Digest, sha256_of
from bundler.oci.descriptor import Descriptor
from tests.simulators import registry_lies as lies
from tests.simulators.images import Layout, layer
from tests.simulators.real_registry import find_program
from tests.simulators.registry import Exchange, Registry
from tests.simulators.skopeo_stub import SkopeoStub
from tests.simulators.station import Station

PLAIN = ("--tls-verify=false", "--retry-times", "0")
LAYER_BYTES = 1_500_000
PATIENCE = 120


@pytest.fixture(scope="module", autouse=True)
def skopeo() -> str:
    return find_program("skopeo")


@pytest.fixture(scope="module")
def stations(tmp_path_factory: pytest.TempPathFactory) -> tuple[Station, Station]:
    return tuple(Station(tmp_path_factory.mktemp("station"), {}) for _ in range(2))  # type: ignore[return-value]


@dataclass
class Scene:
    """A registry with one image of two platforms, whose first layer is larger than the other parts; and a new cache."""

    registry: Registry
    station: Station
    layout: Layout
    large: Descriptor

    @property
    def name(self) -> str:
        return f"{self.registry.host}/team/app:1"

    @property
    def cached(self) -> Path:
        return self.station.cache / "blobs/sha256"

    def check_exported(self, *words: str) -> None:
        """Export, find every byte in the bundle, and nothing left."""
        self.station.exported(self.name, "--compression", "none", *PLAIN, *words)
        self.check_bundle()

    def check_bundle(self) -> None:
        assert set(self.station.blobs()) == set(self.layout.blobs)
        assert self.station.litter() == []
        for path in self.cached.iterdir():
            assert not path.is_symlink()
            assert sha256_of(path.read_bytes()).hex == path.name

    def refused(self, code: int, reason: str, *words: str) -> str:
        """An export that has to fail, leaving nothing; what it says."""
        done = self.station.export(self.name, *PLAIN, *words)
        assert (done.code, f"[{reason}]" in done.err) == (code, True), done.err
        assert self.station.left() == []
        return done.err

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        return self.station.program(self.name, "--compression", "none", *PLAIN, *words, **options)

    def wait_for(self, pattern: str) -> None:
        """Until the registry is asked."""
        deadline = time.monotonic() + PATIENCE
        while not self.registry.asked("GET", pattern):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @property
    def of_large(self) -> str:
        return f"/blobs/{self.large.digest}$"


@pytest.fixture
def scene(stations: tuple[Station, Station], tmp_path: Path) -> Iterator[Scene]:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(b"amd64", seed=1, size_bytes=LAYER_BYTES)])
    arm64 = layout.image("linux/arm64", [layer(b"arm64", seed=2)])
    layout.name(layout.index([amd64, arm64]), "registry.example.org/team/app:1")
    (large,) = (digest for digest in layout.blobs if len(layout.read(digest)) > LAYER_BYTES)
    with Registry() as registry:
        registry.repository("team/app").load(layout)
        stations[0].cache = tmp_path / "cache"
        yield Scene(registry, stations[0], layout, Descriptor("layer", large, len(layout.read(large))))


def ended(program: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Exit code and messages of a program that ends by itself."""
    _, err = program.communicate(timeout=PATIENCE)
    return program.returncode, err.decode()


def has_died(number: int) -> bool:
    """Whether a process is gone, or about to be."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def children_of(number: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{number}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found += [int(word) for word in (thread / "children").read_text().split()]
    return found


# -- the cache


def test_a_second_export_fetches_no_blob_and_starts_no_skopeo(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.check_exported()
    first = scene.station.inventory()
    assert scene.registry.asked("GET", "/blobs/")
    scene.registry.reform()
    stub = SkopeoStub(tmp_path / "bin", "sys.exit(1)", [], version="open(LOG, 'a').write('0\\n')")
    monkeypatch.setenv("PATH", str(stub.path.parent))
    scene.check_exported()
    assert stub.calls == []
    assert scene.registry.asked("GET", "/blobs/") == []
    second = scene.station.inventory()
    assert (second.images, second.blobs) == (first.images, first.blobs)


def flip(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def link(path: Path) -> None:
    path.rename(path.parent.parent.parent / "victim")
    path.symlink_to(path.parent.parent.parent / "victim")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("poison", [flip, truncate, link, make_folder])
def test_a_poisoned_cache_heals(scene: Scene, poison: Callable[[Path], None]) -> None:
    """Documents and layers alike: what is not what its name says is thrown away and fetched again."""
    scene.check_exported()
    for path in [*scene.cached.iterdir()]:
        poison(path)
    scene.check_exported()


def test_two_exports_at_once_share_a_cache(scene: Scene, stations: tuple[Station, Station]) -> None:
    one, other = stations
    other.cache = one.cache
    words = (scene.name, "--compression", "none", *PLAIN)
    programs = [station.program(*words) for station in stations]
    for program in programs:
        code, err = ended(program)
        assert code == 0, err
    scene.check_bundle()
    assert other.blobs() == one.blobs()
    assert other.litter() == []


# -- ends in the middle


@pytest.mark.parametrize("way", ["skopeo", "client"])
def test_kill_while_fetching(scene: Scene, way: str) -> None:
    """The next run removes what the killed one left, goes on where it was, and completes."""
    words = ("--large-blobs", "1M") if way == "client" else ()
    scene.registry.on(scene.of_large, lies.stall_after(1_200_000))
    program = scene.start(*words)
    scene.wait_for(scene.of_large)
    if way == "client":
        wait_for_size(scene.station.cache / "partial" / scene.large.digest.hex, 1_000_000)
    program.kill()
    ended(program)
    assert not scene.station.bundle.exists()
    assert not (scene.station.repository / "pending").exists()
    assert len([*(scene.station.cache / "runs").iterdir()]) == 1
    scene.registry.reform()
    scene.check_exported(*words)
    if way == "client":
        (again,) = scene.registry.asked("GET", scene.of_large)
        assert int(again.headers["range"].removeprefix("bytes=").partition("-")[0]) >= 1_000_000


def wait_for_size(path: Path, size_bytes: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists() or path.stat().st_size < size_bytes:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("way", ["skopeo", "client", "question"])
def test_ctrl_c(scene: Scene, way: str) -> None:
    words = ("--large-blobs", "1M") if way == "client" else ()
    pattern = "/referrers/" if way == "question" else scene.of_large
    scene.registry.on(pattern, lies.stall)
    program = scene.start(*words)
    scene.wait_for(pattern)
    started = children_of(program.pid)
    assert started or way != "skopeo"
    program.send_signal(signal.SIGINT)
    code, err = ended(program)
    assert code == 130
    assert "interrupted" in err
    assert scene.station.left() == []
    assert all(map(has_died, started))
    scene.registry.reform()
    scene.check_exported(*words)


# -- large blobs


def test_a_large_blob_is_resumed_across_runs(scene: Scene) -> None:
    """Dropped again and again in one run, given up, and gone on with in the next."""
    words = ("--large-blobs", "1M")
    sent = [0]

    def drop(exchange: Exchange) -> None:
        sent[0] += 1
        (lies.reset_after(300_000) if sent[0] <= 3 else lies.drop_unasked)(exchange)

    scene.registry.on(scene.of_large, drop)
    err = scene.refused(6, "network", *words)
    assert str(scene.large.digest) in err
    begun = (scene.station.cache / "partial" / scene.large.digest.hex).stat().st_size
    assert 600_000 <= begun <= 900_000
    scene.registry.reform()
    scene.check_exported(*words)
    (again,) = scene.registry.asked("GET", scene.of_large)
    assert again.headers["range"].startswith(f"bytes={begun}-")
    assert not [*(scene.station.cache / "partial").iterdir()]


# -- disks


def bound_files() -> None:
    """In the child: no file may grow beyond this. Python and Go take the signal for an error of the write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LAYER_BYTES // 2, LAYER_BYTES // 2))


@pytest.mark.parametrize("way", ["skopeo", "client"])
def test_a_disk_that_takes_no_more(scene: Scene, way: str) -> None:
    words = ("--large-blobs", "1M") if way == "client" else ()
    code, err = ended(scene.start(*words, preexec_fn=bound_files))
    assert code == 6, err
    assert scene.name in err
    assert scene.station.left() == []
    scene.check_exported(*words)


def test_a_bundle_that_finds_no_room(scene: Scene) -> None:
    """Everything is cached; the bundle itself cannot be written."""
    scene.check_exported()
    code, err = ended(scene.start(preexec_fn=bound_files))
    assert code == 6, err
    assert str(scene.station.bundle) in err
    assert scene.station.left() == []
    scene.check_exported()


@pytest.mark.parametrize("full", ["out", "cache"])
def test_a_file_system_that_is_too_small(scene: Scene, tmp_path: Path, full: str) -> None:
    """Told before anything is fetched."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here; a bound on file sizes stands in for it in the tests before")
    out, cache = scene.station.out, scene.station.cache
    try:
        setattr(scene.station, full, disk)
        scene.refused(6, "disk-full", "--compression", "none")
        assert scene.registry.asked("GET", scene.of_large) == []
    finally:
        scene.station.out, scene.station.cache = out, cache
        subprocess.run(["umount", str(disk)], check=True)


# -- skopeo that is absent, old, or lies

FLIPS = "for name, raw in BLOBS.items():\n    put(name, raw[:-1] + bytes([raw[-1] ^ 1]))"
LINKS = """
for name in BLOBS:
    if not os.path.lexists(SHARED + "/" + name):
        os.symlink("/etc/hostname", SHARED + "/" + name)
"""
LIES = {
    "success without anything": ("", 6, "skopeo-lied"),
    "a message and success": ('print("done", file=sys.stderr)', 6, "skopeo-lied"),
    "other bytes": ("for name in BLOBS:\n    put(name, b'other')", 1, "blob-size"),
    "a flipped bit": (FLIPS, 1, "blob-digest"),
    "links": (LINKS, 6, "skopeo-lied"),
    "failure with everything": ("honest()\nsys.exit(1)", 6, "skopeo-failed"),
    "half, then killed": ("put(*next(iter(BLOBS.items())))\nos.kill(os.getpid(), 9)", 6, "skopeo-failed"),
    "a flood of messages": ("sys.stderr.write('secret ' * 3_000_000)\nsys.exit(2)", 6, "skopeo-failed"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_skopeo_that_lies(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    body, code, reason = LIES[lie]
    stub = SkopeoStub(tmp_path / "bin", body, [scene.layout.read(digest) for digest in of_platforms(scene.layout)])
    honest = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(stub.path.parent))
    err = scene.refused(code, reason)
    assert len(err) < 4000
    assert scene.name in err
    for path in scene.cached.iterdir():
        assert sha256_of(path.read_bytes()).hex == path.name
    monkeypatch.setenv("PATH", honest)
    scene.check_exported()


def of_platforms(layout: Layout) -> list[Digest]:
    """Configs and layers."""
    return [digest for digest in layout.blobs if b'"schemaVersion"' not in layout.read(digest)[:40]]


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (None, "skopeo-absent"),
        ('print("skopeo version 1.7.9")', "skopeo-version"),
        ('print("podman version 5.0.0")', "skopeo-version"),
        ("sys.exit(3)", "skopeo-failed"),
    ],
)
def test_a_skopeo_that_will_not_do(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, reason: str
) -> None:
    stub = SkopeoStub(tmp_path / "bin", "honest()", [], version=version or "")
    if version is None:
        stub.path.unlink()
    monkeypatch.setenv("PATH", str(stub.path.parent))
    err = scene.refused(6, reason)
    assert "skopeo" in err
    assert stub.calls == []
    if reason != "skopeo-failed":
        assert "install skopeo" in err
