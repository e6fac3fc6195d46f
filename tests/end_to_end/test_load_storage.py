"""Loading into storages with the real skopeo: containers-storage with the vfs driver, and a stand-in for Docker's API.

Where the kernel or the user may not write such a storage, the tests that need it are skipped with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.digest import Digest, sha256_of
from bundler.network.access import Access
from bundler.network.skopeo import Skopeo
from scripts.make_demo_images import APP, TOOL
from tests.cli.session import Result, call
from tests.delivered import Delivered, deliver
from tests.simulators.docker_daemon import DockerDaemon
from tests.simulators.real_registry import find_program
from tests.simulators.skopeo_stub import storage_stub

PLATFORM = ("--platform", "linux/amd64")


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    return deliver(tmp_path_factory.mktemp("delivered"))


@pytest.fixture
def vfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A storage of this test's own, as CONTAINERS_STORAGE_CONF tells skopeo."""
    find_program("skopeo")
    config = tmp_path / "storage.conf"
    config.write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path / "run"}"\ngraphroot = "{tmp_path / "root"}"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(config))
    if os.geteuid() != 0:
        pytest.skip("containers-storage without root needs user namespaces, which this test does not set up")
    return config


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDaemon]:
    find_program("skopeo")
    with DockerDaemon() as running:
        monkeypatch.setenv("DOCKER_HOST", running.url)
        yield running


def load(delivered: Delivered, to: str, *more: str) -> Result:
    options: list[str | Path] = [
        "--policy",
        delivered.policy,
        "--state",
        delivered.state,
        "--quiet",
        "--json",
        *PLATFORM,
    ]
    return call("load", delivered.bundle, "--to", to, *options, *more)


def stored(name: str) -> bytes:
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", f"containers-storage:{name}"], capture_output=True, check=True, timeout=60
    )
    return done.stdout


def child(delivered: Delivered, name: str) -> str:
    listed = json.loads(call("inspect", delivered.bundle, "--state", delivered.state, "--json").out)
    (image,) = (image for image in listed["images"] if image["name"] == name)
    (found,) = (item["digest"] for item in image["platforms"] if item["platform"] == "linux/amd64")
    return str(found)


def test_podmans_storage_keeps_digests(delivered: Delivered, vfs: Path) -> None:
    planned = load(delivered, "containers-storage:", "--dry-run")
    assert planned.code == 0, planned
    assert [image["present"] for image in json.loads(planned.out)["images"]] == [False, False]

    done = load(delivered, "containers-storage:")
    if done.code == 6 and ("not permitted" in done.err or "mount" in done.err):
        pytest.skip(f"this kernel or user cannot write a containers-storage: {done.err[-200:]}")
    assert done.code == 0, done
    for image in json.loads(done.out)["images"]:
        assert image["to"] == f"containers-storage:{image['name']}"
        assert "changed" not in image
        assert sha256_of(stored(image["name"])) == Digest("sha256", image["digest"].partition(":")[2])
    assert {str(sha256_of(stored(name))) for name in (APP,)} == {child(delivered, APP)}
    log = [json.loads(line) for line in (delivered.state / "log.jsonl").read_text().splitlines()]
    assert {image["to"] for image in log[-1]["images"]} == {f"containers-storage:{name}" for name in (APP, TOOL)}

    again = load(delivered, "containers-storage:")
    assert [image["present"] for image in json.loads(again.out)["images"]] == [True, True]

    # A name that stands for another image, as somebody else made it
    swapped = ("--rewrite", "registry.example.org/team/app=registry.example.org/line/3")
    assert load(delivered, "containers-storage:", *swapped).code == 0
    copied = ["skopeo", "--insecure-policy", "copy", f"containers-storage:{TOOL}"]
    subprocess.run(
        [*copied, "containers-storage:registry.example.org/line/3:1"], check=True, capture_output=True, timeout=60
    )
    conflict = load(delivered, "containers-storage:", *swapped)
    assert (conflict.code, "[tag-conflict]" in conflict.err) == (1, True), conflict
    assert load(delivered, "containers-storage:", "--overwrite-tags", *swapped).code == 0
    assert str(sha256_of(stored("registry.example.org/line/3:1"))) == child(delivered, APP)


def test_a_docker_daemon_keeps_no_digests(delivered: Delivered, daemon: DockerDaemon) -> None:
    """Against a stand-in for the daemon's API on loopback, as skopeo uses it: no Docker runs here."""
    refused = load(delivered, "docker-daemon:")
    assert (refused.code, "[digest-change]" in refused.err) == (2, True)
    assert not daemon.log

    done = load(delivered, "docker-daemon:", "--allow-digest-change")
    assert done.code == 0, done
    assert set(daemon.images) == {APP, TOOL}
    for image in json.loads(done.out)["images"]:
        assert "no digests" in image["changed"]["why"]
    conflict = load(delivered, "docker-daemon:", "--allow-digest-change")
    assert (conflict.code, "[tag-conflict]" in conflict.err) == (1, True), conflict
    assert load(delivered, "docker-daemon:", "--allow-digest-change", "--overwrite-tags").code == 0


def test_a_docker_daemon_that_refuses(delivered: Delivered, daemon: DockerDaemon) -> None:
    daemon.refuses = True
    done = load(delivered, "docker-daemon:", "--allow-digest-change")
    assert (done.code, "[skopeo-failed]" in done.err) == (6, True)


@pytest.mark.parametrize(
    ("copy", "inspect", "code", "reason"),
    [
        ("pass", "sys.exit(1)", 6, "skopeo-failed"),  # says that all went well, and the storage has nothing
        ("pass", "print('{}')", 1, "tag-conflict"),
        ("open(DONE, 'w')", "print('{}') if os.path.exists(DONE) else sys.exit(1)", 1, "load-lost"),
        ("open(DONE, 'w')", "print() if os.path.exists(DONE) else sys.exit(1)", 1, "load-lost"),
        ("sys.exit(1)", "sys.exit(1)", 6, "skopeo-failed"),
        ("os.kill(os.getpid(), 9)", "sys.exit(1)", 6, "skopeo-failed"),
        ("sys.stderr.write('no space left on device'); sys.exit(1)", "sys.exit(1)", 6, "disk-full"),
    ],
    ids=["nothing", "other", "another digest", "an empty answer", "fails", "dies", "full"],
)
def test_a_skopeo_that_lies(
    delivered: Delivered,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    copy: str,
    inspect: str,
    code: int,
    reason: str,
) -> None:
    stub = storage_stub(tmp_path / "bin", copy=copy, inspect=inspect)
    monkeypatch.setenv("PATH", str(stub.parent))
    done = load(delivered, "containers-storage:")
    assert (done.code, f"[{reason}]" in done.err) == (code, True), done


def test_a_skopeo_that_hangs(delivered: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = storage_stub(tmp_path / "bin", copy="time.sleep(60)", inspect="sys.exit(1)")
    monkeypatch.setattr("bundler.network.skopeo.Skopeo.__init__.__kwdefaults__", {"environ": None, "call_seconds": 1.0})
    monkeypatch.setenv("PATH", str(stub.parent))
    done = load(delivered, "containers-storage:")
    assert (done.code, "[skopeo-stalled]" in done.err) == (6, True), done


@pytest.mark.parametrize(
    ("environment", "flags"),
    [
        ({}, []),
        ({"DOCKER_HOST": "unix:///run/user/7/docker.sock"}, ["--dest-daemon-host=unix:///run/user/7/docker.sock"]),
        ({"DOCKER_HOST": "tcp://127.0.0.1:2375"}, ["--dest-daemon-host=http://127.0.0.1:2375"]),
        (
            {"DOCKER_HOST": "tcp://d.example:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"},
            ["--dest-daemon-host=tcp://d.example:2376", "--dest-cert-dir=/certs"],
        ),
    ],
    ids=["none", "socket", "plain", "tls"],
)
def test_skopeo_is_told_where_the_daemon_is(tmp_path: Path, environment: dict[str, str], flags: list[str]) -> None:
    stub = storage_stub(tmp_path / "bin", copy="open(DONE, 'w').write(chr(10).join(sys.argv))", inspect="sys.exit(1)")
    skopeo = Skopeo(Access(), str(stub), environ=environment)
    skopeo.copy_into_storage("127.0.0.1:1/a@sha256:0", "docker-daemon:a:1", tmp_path / "call")
    words = (stub.parent / "done").read_text().split("\n")
    assert [word for word in words if "daemon-host" in word or "cert-dir" in word] == flags
