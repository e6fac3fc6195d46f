"""A skopeo that is missing, too old, hangs, lies, floods or dies half-way (THREATS E10, F18)."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event, Timer

import pytest

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import EnvError, RejectedError, SealiftError
from bundler.network.access import Access
from bundler.network.blob_cache import open_cache
from bundler.network.fetching import Fetcher, ImageWork, ManifestWork
from bundler.network.skopeo import Skopeo, readable_tail
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_MANIFEST
from tests.simulators.blob_source import MemoryRepository
from tests.simulators.images import OCI_LAYER
from tests.simulators.skopeo_stub import SkopeoStub

ACCESS = Access(stall_seconds=60, retries=1, backoff_seconds=0.01)
HASTY = replace(ACCESS, stall_seconds=0.5, retries=0)  # for programs that hang
BLOBS = (b"config", b"layer one" * 100, b"layer two" * 1000)
FIRST = sha256_of(BLOBS[0]).hex
LAST = sha256_of(BLOBS[2]).hex


def descriptor(raw: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER, sha256_of(raw), len(raw))


def image(*blobs: bytes, name: str = "registry.example.org/app:1") -> ImageWork:
    raw = b"manifest of " + name.encode()
    manifest = Descriptor(OCI_MANIFEST, sha256_of(raw), len(raw))
    work = ManifestWork(manifest, raw, tuple(map(descriptor, blobs)))
    return ImageWork(name, MemoryRepository(), (work,))


@contextlib.contextmanager
def fetcher(
    tmp_path: Path, stub: SkopeoStub | Path, *, access: Access = ACCESS, environ: Mapping[str, str] | None = None
) -> Iterator[Fetcher]:
    """A fetcher over a stub; nothing of its run may be left at the end."""
    path = stub.path if isinstance(stub, SkopeoStub) else stub
    cache = tmp_path / "cache"
    try:
        with open_cache(cache) as opened:
            yield Fetcher(opened, Skopeo(access, str(path), environ=environ), access)
    finally:
        assert list((cache / "runs").iterdir()) == []
        assert not alive(set(stub.calls) if isinstance(stub, SkopeoStub) else set())


def alive(groups: set[int]) -> list[str]:
    """Processes of these groups that run; a killed one may take a moment to go, and a zombie is gone."""
    for _ in range(3000):
        running = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                state, _, group = path.read_text().rpartition(")")[2].split()[:3]
                if int(group) in groups and state != "Z":
                    running.append(path.parent.name)
        if not running:
            break
        time.sleep(0.02)
    return running


def cached(tmp_path: Path) -> set[bytes]:
    return {path.read_bytes() for path in (tmp_path / "cache/blobs/sha256").iterdir()}


def refused(tmp_path: Path, body: str, *, version: str | None = None, access: Access = ACCESS) -> SealiftError:
    """Fetch with a stub that must fail."""
    more = {"version": version} if version is not None else {}
    stub = SkopeoStub(tmp_path / "bin", body, BLOBS, **more)
    with fetcher(tmp_path, stub, access=access) as opened, pytest.raises((EnvError, RejectedError)) as caught:
        opened.fetch([image(*BLOBS)])
    return caught.value


def test_an_honest_one_brings_everything(tmp_path: Path) -> None:
    stub = SkopeoStub(tmp_path / "bin", "honest()", BLOBS)
    told: list[tuple[str, int]] = []
    done: list[str] = []
    work = image(*BLOBS)
    with fetcher(tmp_path, stub) as opened:
        assert opened.missing_bytes([work]) == work.size_bytes
        opened.fetch([work], lambda name, count: told.append((name, count)), done.append)
        assert opened.missing_bytes([work]) == 0
        assert opened.checked == {sha256_of(raw) for raw in BLOBS}
        for raw in BLOBS:
            with opened.open(descriptor(raw)) as stream:
                assert stream.read() == raw
    assert cached(tmp_path) == set(BLOBS)
    assert len(stub.calls) == 1
    assert done == [work.name]
    assert told[-1] == (work.name, work.size_bytes)
    assert [count for _, count in told] == sorted(count for _, count in told)


TARGET = f'os.unlink(SHARED + "/{LAST}")'
LIES = {
    "wrong-bytes": ("blob-digest", f'BLOBS["{LAST}"] = BLOBS["{LAST}"].replace(b"w", b"W")\nhonest()'),
    "truncated": ("blob-size", f'BLOBS["{LAST}"] = BLOBS["{LAST}"][:-1]\nhonest()'),
    "nothing": ("skopeo-lied", ""),
    "one-missing": ("skopeo-lied", f'del BLOBS["{LAST}"]\nhonest()'),
    "everything-and-exit-1": ("skopeo-failed", 'honest()\nsys.exit("level=fatal msg=oops")'),
    "exit-125": ("skopeo-failed", "sys.exit(125)"),
    "hang": ("skopeo-stalled", "time.sleep(60)"),
    "hang-deaf": ("skopeo-stalled", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"),
    "hang-half-way": ("skopeo-stalled", 'open(FOLDER + "/oci-put-blob1", "wb").write(b"x" * 10)\ntime.sleep(60)'),
    "symlink": ("skopeo-lied", f'honest()\n{TARGET}\nos.symlink("/etc/passwd", SHARED + "/{LAST}")'),
    "symlink-to-good-bytes": (
        "skopeo-lied",
        f'honest()\nos.rename(SHARED + "/{LAST}", SHARED + "/x")\nos.symlink("x", SHARED + "/{LAST}")',
    ),
    "folder": ("skopeo-lied", f'honest()\n{TARGET}\nos.mkdir(SHARED + "/{LAST}")'),
    "fifo": ("skopeo-lied", f'honest()\n{TARGET}\nos.mkfifo(SHARED + "/{LAST}")'),
    "other-folder": (
        "skopeo-lied",
        'if CALL == 0:\n    os.rename(SHARED, SHARED + "x")\n    os.symlink("/etc", SHARED)',
    ),
    "half-then-killed": (
        "skopeo-failed",
        f'open(FOLDER + "/oci-put-blob1", "wb").write(BLOBS["{LAST}"][:50])\nos.kill(os.getpid(), signal.SIGKILL)',
    ),
    "half-under-the-final-name": (
        "blob-size",
        f'open(SHARED + "/{LAST}", "wb").write(BLOBS["{LAST}"][:50])\ndel BLOBS["{LAST}"]\nhonest()',
    ),
    "too-much": ("skopeo-lied", 'open(FOLDER + "/oci-put-blob1", "wb").truncate(1 << 30)\ntime.sleep(60)'),
    "disk-full": ("disk-full", 'sys.exit("writing blob: write /x: no space left on device")'),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_an_error_and_leaves_nothing(tmp_path: Path, lie: str) -> None:
    code, body = LIES[lie]
    error = refused(tmp_path, body, access=HASTY if "hang" in lie else ACCESS)
    assert error.code == code
    assert "image registry.example.org/app:1" in error.hints
    assert cached(tmp_path) <= set(BLOBS)


def test_files_beside_the_blobs_are_ignored(tmp_path: Path) -> None:
    body = 'honest()\nput("f" * 64, b"extra")\nput("0" * 64, b"extra")\nput("../x", b"extra")'
    stub = SkopeoStub(tmp_path / "bin", body, BLOBS)
    with fetcher(tmp_path, stub) as opened:
        opened.fetch([image(*BLOBS)])
        with pytest.raises(RejectedError, match="not fetched") as caught:
            opened.open(Descriptor(OCI_LAYER, replace(sha256_of(b""), hex="f" * 64), 5))
    assert caught.value.code == "incomplete-source"
    assert cached(tmp_path) == set(BLOBS)


def test_what_is_wrong_once_is_asked_for_again(tmp_path: Path) -> None:
    body = f'if CALL == 0:\n    BLOBS["{LAST}"] = b"?" * len(BLOBS["{LAST}"])\nhonest()'
    stub = SkopeoStub(tmp_path / "bin", body, BLOBS)
    with fetcher(tmp_path, stub) as opened:
        opened.fetch([image(*BLOBS)])
    assert len(stub.calls) == 2
    assert cached(tmp_path) == set(BLOBS)


def test_a_failure_that_passes_is_tried_again(tmp_path: Path) -> None:
    stub = SkopeoStub(tmp_path / "bin", 'if CALL == 0:\n    sys.exit("level=fatal msg=reset")\nhonest()', BLOBS)
    with fetcher(tmp_path, stub) as opened:
        opened.fetch([image(*BLOBS)])
    assert len(stub.calls) == 2


def test_what_arrived_before_a_failure_is_kept(tmp_path: Path) -> None:
    kept = str(tmp_path / "cache/blobs/sha256" / FIRST)
    wait = f"while not os.path.exists({kept!r}):\n    time.sleep(0.01)"
    body = f'put("{FIRST}", BLOBS["{FIRST}"])\n{wait}\nsys.exit("level=fatal msg=reset")'
    error = refused(tmp_path, body, access=replace(ACCESS, retries=0))
    assert error.code == "skopeo-failed"
    assert cached(tmp_path) == {BLOBS[0]}


@pytest.mark.parametrize("clear", [True, False])
def test_after_a_failure_the_registry_is_asked_what_is_absent(tmp_path: Path, clear: bool) -> None:
    stub = SkopeoStub(tmp_path / "bin", 'sys.exit("level=fatal msg=oops")', BLOBS)
    work = image(*BLOBS)
    repository = work.repository
    assert isinstance(repository, MemoryRepository)
    repository.whole = False
    repository.add(BLOBS[0])
    repository.errors = [] if clear else [EnvError("registry-denied", "registry")]
    with fetcher(tmp_path, stub) as opened, pytest.raises((EnvError, RejectedError)) as caught:
        opened.fetch([work])
    assert caught.value.code == ("incomplete-source" if clear else "skopeo-failed")
    if clear:
        assert "2 of 3 blobs absent" in str(caught.value)
        assert f"absent: {sha256_of(BLOBS[2])}" in caught.value.hints


def test_a_full_disk_is_not_tried_again(tmp_path: Path) -> None:
    stub = SkopeoStub(tmp_path / "bin", LIES["disk-full"][1], BLOBS)
    with fetcher(tmp_path, stub) as opened, pytest.raises(EnvError, match="no space left"):
        opened.fetch([image(*BLOBS)])
    assert len(stub.calls) == 1


def test_a_flood_costs_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    body = 'for _ in range(3000):\n    os.write(2, b"no " * 10000 + b"\\n")\nsys.exit("the last line")'
    error = refused(tmp_path, body, access=replace(ACCESS, retries=0))
    assert error.code == "skopeo-failed"
    assert error.got.endswith("the last line")
    assert len(error.got) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB; 90 MB were written


def test_a_child_that_stays_is_ended_with_it(tmp_path: Path) -> None:
    late = tmp_path / "late"
    body = f'honest()\nif os.fork() == 0:\n    time.sleep(60)\n    open({str(late)!r}, "w")'
    stub = SkopeoStub(tmp_path / "bin", body, BLOBS)
    with fetcher(tmp_path, stub) as opened:
        opened.fetch([image(*BLOBS)])
    assert not late.exists()


def test_a_child_in_another_session_holds_nobody_up(tmp_path: Path) -> None:
    """It holds the pipes open, and says nothing; we do not wait for it."""
    child = tmp_path / "child"
    body = f"""
honest()
if os.fork() == 0:
    os.setsid()
    with open({str(child)!r} + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(file.name, {str(child)!r})
    time.sleep(60)
while not os.path.exists({str(child)!r}):
    time.sleep(0.01)
"""
    stub = SkopeoStub(tmp_path / "bin", body, BLOBS)
    with fetcher(tmp_path, stub) as opened:
        opened.fetch([image(*BLOBS)])
    os.kill(int(child.read_text()), signal.SIGKILL)  # it is there to be killed


@pytest.mark.parametrize(
    "version",
    [
        'print("skopeo version 1.7.9")',
        'print("skopeo version 0.99.0")',
        'print("skopeo Version 1,9")',
        'print("skopeo version 1.9.3\\nskopeo version 1.9.3")',
        'print("version " + "9" * 10000)',
        "pass",
    ],
)
def test_another_version_is_refused(tmp_path: Path, version: str) -> None:
    assert refused(tmp_path, "honest()", version=version).code == "skopeo-version"


@pytest.mark.parametrize(
    "version",
    [
        "skopeo version 1.8.0",
        "skopeo version 2.0",
        "skopeo version 1.14.2-dev commit: abc",
        "skopeo version 1.18.0+ds1",
    ],
)
def test_versions_that_are_new_enough(tmp_path: Path, version: str) -> None:
    stub = SkopeoStub(tmp_path, "", (), version=f"print({version!r})")
    assert Skopeo(ACCESS, str(stub.path)).check() == version.removeprefix("skopeo version ")


def test_a_version_that_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SKOPEO_VERSION_SECONDS", 0.2)
    assert refused(tmp_path, "honest()", version="time.sleep(60)").code == "skopeo-stalled"


def test_a_version_that_fails(tmp_path: Path) -> None:
    assert refused(tmp_path, "honest()", version="sys.exit(3)").code == "skopeo-failed"


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_an_absent_one_is_named_with_a_way_out(tmp_path: Path, program: str) -> None:
    with pytest.raises(EnvError, match="not found") as caught:
        Skopeo(ACCESS, program).check()
    assert caught.value.code == "skopeo-absent"
    assert "install" in caught.value.hints[0]


@pytest.mark.parametrize("text", ["#!/no/such/interpreter\n", "\x00\x01"])
def test_what_cannot_be_started(tmp_path: Path, text: str) -> None:
    program = tmp_path / "skopeo"
    program.write_text(text)
    program.chmod(0o755)
    with pytest.raises(EnvError, match="cannot be started") as caught:
        Skopeo(ACCESS, str(program)).check()
    assert caught.value.code == "skopeo-failed"


def test_no_skopeo_is_needed_for_what_is_cached(tmp_path: Path) -> None:
    with fetcher(tmp_path, SkopeoStub(tmp_path / "bin", "honest()", BLOBS)) as opened:
        opened.fetch([image(*BLOBS)])
    with fetcher(tmp_path, Path("/no/such/program")) as opened:
        opened.fetch([image(*BLOBS)])
        assert len(opened.checked) == len(BLOBS)


def test_the_environment_is_a_short_list(tmp_path: Path) -> None:
    body = f'honest()\nopen({str(tmp_path / "seen")!r}, "w").write(repr((dict(os.environ), sys.argv)))'
    stub = SkopeoStub(tmp_path / "bin", body, BLOBS)
    environ = {
        "PATH": os.environ["PATH"], "HOME": "/h", "LANG": "de_DE", "LC_ALL": "de_DE", "LD_PRELOAD": "",
        "SEALIFT_KEY_PASSPHRASE": "canary", "https_proxy": "http://proxy.example.org", "AWS_REGION": "x",
        "CONTAINERS_REGISTRIES_CONF": "/x", "REGISTRY_AUTH_FILE": "mine/auth.json", "DOCKER_CONFIG": "/d",
    }  # fmt: skip
    access = replace(ACCESS, authfile=Path("auth.json"), cert_dir=Path("/certs"), tls_verify=False)
    with fetcher(tmp_path, stub, access=access, environ=environ) as opened:
        opened.fetch([image(*BLOBS)])
    seen, arguments = eval((tmp_path / "seen").read_text())  # our own stub wrote it
    assert seen.pop("TMPDIR").startswith(str(tmp_path / "cache/runs"))
    seen.pop("LC_CTYPE", None)  # Python's own
    assert seen == {
        "PATH": os.environ["PATH"], "HOME": "/h", "LC_ALL": "C.UTF-8", "https_proxy": "http://proxy.example.org",
        "AWS_REGION": "x", "REGISTRY_AUTH_FILE": str(Path.cwd() / "mine/auth.json"), "DOCKER_CONFIG": "/d",
    }  # fmt: skip
    assert f"--authfile={Path.cwd() / 'auth.json'}" in arguments
    assert {"--src-cert-dir=/certs", "--src-tls-verify=false", "--preserve-digests"} <= set(arguments)
    assert arguments[-2].startswith("docker://registry.example.org/app@sha256:")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {0}",
        'authorization="Basic {0}"',
        '{{"auths": {{"r": {{"auth": "{0}"}}}}}}',
        'Get "https://user:{0}@registry.example.org/v2/": 401',
        'Get "https://storage.example.org/x?X-Amz-Signature={0}&b=1": 403',
        "invalid identitytoken: {0}",
        "password={0}",
        "header.{0}{0}{0}.signature",
    ],
)
def test_secrets_are_not_shown(tmp_path: Path, text: str) -> None:
    canary = "Q2FuYXJ5Q2Fu"
    error = refused(tmp_path, f"sys.exit({text.format(canary)!r})", access=replace(ACCESS, retries=0))
    assert error.code == "skopeo-failed"
    assert canary not in repr((str(error), error.hints))


def test_digests_names_and_causes_are_shown_escaped() -> None:
    digest = f"sha256:{'ab' * 32}"
    shown = readable_tail(f"reading manifest {digest} in r.example.org:5000/team/app: \x1b[31mdenied\n".encode())
    assert shown == f"reading manifest {digest} in r.example.org:5000/team/app: \\x1b[31mdenied"
    assert len(readable_tail(b"word " * 10_000)) <= limits.PROGRAM_CHARACTERS_SHOWN
    assert readable_tail(b"\xff\xfe") == "��"


def test_stopping_ends_it_within_moments(tmp_path: Path) -> None:
    late = tmp_path / "late"
    stub = SkopeoStub(tmp_path / "bin", f'time.sleep(60)\nopen({str(late)!r}, "w")', BLOBS)
    stop = Event()
    folder, shared = tmp_path / "call", tmp_path / "shared"
    timer = Timer(0.3, stop.set)
    timer.start()
    with pytest.raises(EnvError, match="stopped") as caught:
        Skopeo(Access(), str(stub.path)).copy_manifest("r/app", sha256_of(b""), folder, shared, stop=stop)
    assert caught.value.code == "stopped"
    assert not late.exists()
    assert not folder.exists()
    timer.join()


def test_a_call_that_moves_but_never_ends(tmp_path: Path) -> None:
    body = 'for number in range(600):\n    open(FOLDER + "/oci-put-blob", "a").write("x")\n    time.sleep(0.1)'
    stub = SkopeoStub(tmp_path / "bin", body, BLOBS)
    skopeo = Skopeo(replace(ACCESS, retries=0, stall_seconds=60), str(stub.path), call_seconds=0.8)
    with pytest.raises(EnvError, match="not finished in time") as caught:
        skopeo.copy_manifest("r/app", sha256_of(b""), tmp_path / "call", tmp_path)
    assert caught.value.code == "skopeo-stalled"


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed (make setup installs it)")
def test_the_real_one_has_a_version() -> None:
    assert Skopeo(Access()).check()[0].isdigit()
