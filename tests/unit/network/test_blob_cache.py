"""The blob cache: nothing in it is believed, nothing in use can be pulled away, and kills leave only litter."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, RejectedError, UnsupportedError, UsageError
from bundler.network import blob_files
from bundler.network.blob_cache import BlobCache, default_cache_folder, open_cache
from bundler.oci.descriptor import Descriptor
from tests.simulators.images import OCI_LAYER

RAW = b"a layer's bytes" * 1000
DIGEST = sha256_of(RAW)
BLOB = Descriptor(OCI_LAYER, DIGEST, len(RAW))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def path(folder: Path) -> Path:
    """Where the blob lies in the cache, put there by an earlier run."""
    with open_cache(folder) as cache:
        stage(cache, RAW)
        cache.check_in(BLOB)
    return folder / "blobs/sha256" / DIGEST.hex


def stage(cache: BlobCache, raw: bytes, digest: Digest = DIGEST) -> Path:
    """What skopeo would leave."""
    staged = cache.shared_blobs / "sha256" / digest.hex
    staged.write_bytes(raw)
    return staged


def read(cache: BlobCache, digest: Digest = DIGEST) -> bytes | None:
    stream = cache.staged.open(digest)
    if stream is None:
        return None
    with stream:
        return stream.read()


def on_desks(folder: Path) -> list[Path]:
    return list((folder / "runs").glob("*"))


def test_a_blob_comes_in_hashed_and_is_taken_hashed(folder: Path, path: Path) -> None:
    assert path.read_bytes() == RAW
    with open_cache(folder) as cache:
        assert cache.holds(BLOB)
        assert read(cache) is None
        seen: list[int] = []
        assert cache.take(BLOB, progress=seen.append)
        assert seen[-1] == len(RAW)
        assert read(cache) == RAW
        assert cache.evicted == []
    assert on_desks(folder) == []


def test_what_is_not_there(folder: Path) -> None:
    with open_cache(folder) as cache:
        assert not cache.holds(BLOB)
        assert not cache.take(BLOB)
        assert cache.read(DIGEST, 100) is None
        assert cache.evicted == []


@pytest.mark.parametrize("raw", [RAW[:-1] + b"?", RAW[:-1], RAW + b"?", b""])
def test_other_bytes_never_come_in(folder: Path, raw: bytes) -> None:
    with open_cache(folder) as cache:
        stage(cache, raw)
        with pytest.raises(RejectedError) as caught:
            cache.check_in(BLOB)
        assert caught.value.code == ("blob-digest" if len(raw) == len(RAW) else "blob-size")
        assert read(cache) is None
    assert list((folder / "blobs/sha256").iterdir()) == []


def flip(path: Path) -> None:
    path.write_bytes(RAW[:100] + b"?" + RAW[101:])


def truncate(path: Path) -> None:
    path.write_bytes(RAW[:100])


def grow(path: Path) -> None:
    path.write_bytes(RAW + b"?")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def link_out(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_bytes(RAW)


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "poison", [flip, truncate, grow, empty, link, link_out, dangle, make_folder, make_fifo], ids=lambda f: f.__name__
)
def test_poison_is_evicted_and_counted(folder: Path, path: Path, poison: Callable[[Path], None]) -> None:
    poison(path)
    with open_cache(folder) as cache:
        assert not cache.take(BLOB)
        assert cache.evicted == [DIGEST]
        assert read(cache) is None
        assert not path.exists(follow_symlinks=False) if sys.version_info >= (3, 12) else not os.path.lexists(path)
        stage(cache, RAW)
        cache.check_in(BLOB)
    assert path.read_bytes() == RAW
    assert Path("/etc/passwd").exists()
    assert on_desks(folder) == []


@pytest.mark.parametrize("poison", [flip, truncate, link, make_folder, make_fifo], ids=lambda f: f.__name__)
def test_poisoned_documents_are_evicted(folder: Path, path: Path, poison: Callable[[Path], None]) -> None:
    poison(path)
    with open_cache(folder) as cache:
        assert cache.read(DIGEST, len(RAW)) is None
        assert cache.evicted == [DIGEST]
        cache.keep(DIGEST, RAW)
        assert cache.read(DIGEST, len(RAW)) == RAW


def test_a_hard_link_to_a_blob_cannot_change_what_is_used(folder: Path, path: Path, tmp_path: Path) -> None:
    """Whoever can write into the file through another name is found out, and that file is left alone."""
    other = tmp_path / "other"
    other.hardlink_to(path)
    with other.open("r+b") as file:
        file.write(b"?")
    changed = other.read_bytes()
    with open_cache(folder) as cache:
        assert not cache.take(BLOB)
        assert cache.evicted == [DIGEST]
        stage(cache, RAW)
        cache.check_in(BLOB)
        assert read(cache) == RAW
    assert other.read_bytes() == changed
    assert path.read_bytes() == RAW


def test_a_good_blob_replaces_a_bad_one_that_came_meanwhile(folder: Path) -> None:
    with open_cache(folder) as cache:
        stage(cache, RAW)
        target = folder / "blobs/sha256" / DIGEST.hex
        target.mkdir()
        cache.check_in(BLOB)
        assert target.read_bytes() == RAW


def test_documents_are_kept_by_their_own_hash_only(folder: Path) -> None:
    with open_cache(folder) as cache:
        with pytest.raises(RejectedError, match="that digest") as caught:
            cache.keep(DIGEST, b"something else")
        assert caught.value.code == "blob-digest"
        cache.keep(DIGEST, RAW)
        cache.keep(DIGEST, RAW)
        assert cache.read(DIGEST, len(RAW)) == RAW
        assert cache.read(DIGEST, len(RAW) - 1) is None
        assert cache.evicted == []


def test_only_sha256(folder: Path) -> None:
    digest = Digest("sha512", "0" * 128)
    with open_cache(folder) as cache:
        for work in (
            lambda: cache.take(Descriptor(OCI_LAYER, digest, 1)),
            lambda: cache.check_in(Descriptor(OCI_LAYER, digest, 1)),
            lambda: cache.read(digest, 1),
            lambda: cache.keep(digest, b""),
        ):
            with pytest.raises(UnsupportedError) as caught:
                work()
            assert caught.value.code == "digest-algorithm"


def test_all_folders_are_ours_alone(folder: Path, path: Path) -> None:
    del path
    with open_cache(folder) as cache:
        cache.folder("proofs")
        for place, _, _ in os.walk(folder):
            assert stat.S_IMODE(Path(place).stat().st_mode) == 0o700


@pytest.mark.parametrize("part", ["blobs", "blobs/sha256", "partial", "runs", "proofs"])
def test_a_folder_that_is_a_link_is_refused(folder: Path, path: Path, part: str, tmp_path: Path) -> None:
    del path
    (folder / part).rename(tmp_path / "moved")
    (folder / part).symlink_to(tmp_path / "moved")
    with pytest.raises(EnvError) as caught, open_cache(folder):
        pass
    assert caught.value.code == "file-kind"


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(EnvError), open_cache(place):
            pass


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV])
def test_without_hard_links_it_copies(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(blob_files.os, "link", refuse)
    with open_cache(folder) as cache:
        stage(cache, RAW)
        cache.check_in(BLOB)
    path = folder / "blobs/sha256" / DIGEST.hex
    assert path.read_bytes() == RAW
    with open_cache(folder) as cache:
        assert cache.take(BLOB)
        assert read(cache) == RAW
        path.write_bytes(b"?" * len(RAW))
        assert read(cache) == RAW
        assert not cache.take(BLOB)
        assert cache.evicted == [DIGEST]


def test_hashing_can_be_stopped(folder: Path, path: Path) -> None:
    stop = Event()
    stop.set()
    with open_cache(folder) as cache:
        with pytest.raises(EnvError) as caught:
            cache.take(BLOB, stop)
        assert caught.value.code == "stopped"
        assert read(cache) is None
    assert path.read_bytes() == RAW


def test_what_is_in_use_cannot_be_pulled_away(folder: Path, path: Path) -> None:
    with open_cache(folder) as cache:
        assert cache.take(BLOB)
        path.unlink()
        assert read(cache) == RAW


def test_two_runs_at_once_do_not_see_each_other(folder: Path, path: Path) -> None:
    with open_cache(folder) as one, open_cache(folder) as two:
        assert one.calls != two.calls
        assert one.take(BLOB)
        assert read(two) is None
        assert two.take(BLOB)
        flip(path)  # the same file as in both staging folders
        assert not two.take(BLOB)
        stage(two, RAW)
        two.check_in(BLOB)
        assert path.read_bytes() == RAW
    assert on_desks(folder) == []


CHILD = """
import sys, time
from pathlib import Path
from bundler.digest import sha256_of
from bundler.network import blob_cache, blob_files
from bundler.oci.descriptor import Descriptor
raw = b"a layer's bytes" * 1000
blob = Descriptor("application/x", sha256_of(raw), len(raw))
def wait(*_, **__):
    print("here", flush=True)
    time.sleep(60)
with blob_cache.open_cache(Path(sys.argv[1])) as cache:
    (cache.shared_blobs / "sha256" / blob.digest.hex).write_bytes(raw)
    module, name = sys.argv[2].split(".")
    setattr(getattr(sys.modules["bundler.network." + module], name.split(":")[0]), name.split(":")[1], wait)
    cache.check_in(blob)
"""


@contextlib.contextmanager
def halted_child(folder: Path, where: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that admits a blob and halts within one call."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), where], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(
    "where", ["blob_cache.os:fsync", "blob_files.os:link", "blob_files.os:rename", "blob_files.os:unlink"]
)
def test_a_kill_while_a_blob_comes_in_leaves_it_whole_or_absent(folder: Path, where: str) -> None:
    with halted_child(folder, where) as child:
        with open_cache(folder):
            assert len(on_desks(folder)) == 2  # another's run is no litter
        assert len(on_desks(folder)) == 1
        child.send_signal(signal.SIGKILL)
        child.wait()
    with open_cache(folder) as cache:
        assert len(on_desks(folder)) == 1  # the killed one's is
        assert cache.take(BLOB) == (where == "blob_files.os:unlink")
        assert cache.evicted == []
        stage(cache, RAW)
        cache.check_in(BLOB)
    assert [item.name for item in (folder / "blobs/sha256").iterdir()] == [DIGEST.hex]


def test_use_is_marked(folder: Path, path: Path) -> None:
    os.utime(path, (1, 1))
    with open_cache(folder) as cache:
        assert cache.take(BLOB)
    assert path.stat().st_mtime > 1
    os.utime(path, (1, 1))
    with open_cache(folder) as cache:
        assert cache.read(DIGEST, len(RAW)) == RAW
    assert path.stat().st_mtime > time.time() - 1000


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/sealift"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/sealift"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/sealift"),
    ],
)
def test_the_default_folder(environ: dict[str, str], expected: str) -> None:
    assert default_cache_folder(environ) == Path(expected)


def test_no_default_folder_without_a_home() -> None:
    with pytest.raises(UsageError):
        default_cache_folder({})
