"""The commit protocol: whole or nothing, at every failure and at every kill (THREATS E11, E14 to E16)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bundler.archive.inventory import Inventory
from bundler.archive.reader import open_archive
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, RejectedError, SealiftError, TrustError, UsageError
from bundler.export import publish as publish_module
from bundler.export.pipeline import collect_images
from bundler.export.plan import make_plan
from bundler.export.settings import ImageRequest
from bundler.export.space import check_space, free_bytes
from bundler.oci.descriptor import parse_platform
from bundler.oci.manifest import OCI_CONFIG
from tests.simulators.images import OCI_LAYER, Layout, layer, two_platforms
from tests.unit.export.conftest import AT, NAME, Place
from trust_root.client import open_trust
from trust_root.repository import Repository
from trust_root.state_export import PinHead, SiteHeads, StreamHead


def open_bundle(path: Path) -> Inventory:
    """Read a bundle from its own root on: trust, inventory, every byte."""
    with open_archive(path) as archive:
        files = dict(archive.trust_files)
        trusted = open_trust(files["metadata/1.root.json"], files, AT)
        inventory = archive.read_inventory(trusted.inventory_size_bytes, trusted.inventory_digest)
        archive.read_members().require_whole()
        assert trusted.sequence == inventory.sequence
        return inventory


def state_of(place: Place) -> dict[str, str]:
    """Digest of every file of the repository but the lock."""
    return {
        str(path.relative_to(place.repository)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.repository.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_an_export_is_whole_and_committed(place: Place) -> None:
    done = place.export(audience=("plant-8", "plant-7", "plant-7"))
    inventory = open_bundle(done.path)
    assert inventory == done.inventory
    assert done.size_bytes == done.path.stat().st_size
    assert (inventory.sequence, inventory.previous, inventory.audience) == (1, None, ("plant-7", "plant-8"))
    assert [image.name for image in inventory.images] == [NAME]
    assert inventory.created_at == AT
    assert done.development
    assert place.litter() == []
    assert place.titles == ["reading images", "writing bundle", "checking bundle"]


def test_the_next_export_names_the_one_before(place: Place) -> None:
    first = place.export()
    second = place.export()
    inventory = open_bundle(second.path)
    assert (inventory.sequence, inventory.previous) == (2, first.inventory_digest)


def test_compression_where_it_pays(place: Place) -> None:
    images = (ImageRequest(f"oci:{place.folder / 'plain'}"),)
    packed = place.export(images=images)
    raw = place.export(images=images, compress=False)
    (blob,) = [blob for blob in packed.inventory.blobs if blob.stored == "zstd"]
    assert blob.media_type == OCI_LAYER
    assert {blob.stored for blob in raw.inventory.blobs} == {"raw"}
    assert packed.size_bytes < raw.size_bytes / 2
    open_bundle(packed.path)
    open_bundle(raw.path)


def test_what_compresses_badly_stays_raw(place: Place) -> None:
    layout = Layout()
    layout.name(layout.image("linux/amd64", [layer(size_bytes=100_000)]), NAME)
    layout.write(place.folder / "random")
    done = place.export(images=(ImageRequest(f"oci:{place.folder / 'random'}"),))
    assert {blob.stored for blob in done.inventory.blobs} == {"raw"}
    assert place.litter() == []


def test_several_images_share_blobs(place: Place) -> None:
    images = tuple(
        ImageRequest(f"oci:{place.folder / name}", as_name)
        for name, as_name in (("app", None), ("plain", None), ("app", "registry.example.org/copy"))
    )
    inventory = open_bundle(place.export(images=images).path)
    assert [image.name for image in inventory.images] == [
        NAME,
        "registry.example.org/plain:2",
        "registry.example.org/copy:latest",
    ]
    assert len({blob.digest for blob in inventory.blobs}) == len(inventory.blobs)


# -- refused before anything happens


def refused(place: Place, family: type[SealiftError], code: str, **changes: Any) -> None:
    before = state_of(place)
    with pytest.raises(family) as error:
        place.export(**changes)
    assert error.value.code == code
    assert state_of(place) == before
    assert place.litter() == []


def test_what_is_refused_at_the_start(place: Place) -> None:
    refused(place, UsageError, "stream", stream="other")
    refused(place, UsageError, "no-repository", repository=place.out)
    refused(place, UsageError, "keys-in-repository", keys=place.repository / "keys")
    refused(place, EnvError, "file-absent", keys=place.folder / "none")
    refused(place, UsageError, "target-folder", target=place.folder / "none" / "x")
    refused(place, UsageError, "images", images=())
    refused(place, UsageError, "name", audience=("a b",))
    refused(place, TrustError, "expires-soon", created_at=AT + timedelta(days=340))
    missing = ImageRequest(f"oci:{place.folder / 'app'}", require=frozenset({"signature"}))
    refused(place, RejectedError, "evidence-missing", images=(missing,))


def test_expiring_metadata_can_be_allowed(place: Place) -> None:
    place.export(created_at=AT + timedelta(days=340), allow_expiring=True)
    refused(place, TrustError, "expired", created_at=AT + timedelta(days=366), allow_expiring=True)


def test_another_exporters_key(place: Place) -> None:
    shutil.copy(place.folder / "keys" / "root-1.pem", place.folder / "keys" / "exporter.pem")
    refused(place, UsageError, "exporter-key")


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_target_is_never_overwritten(place: Place, kind: str) -> None:
    target = place.out / "there.bundle.tar"
    if kind == "file":
        target.write_bytes(b"old")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    refused(place, UsageError, "target-exists", target=target)


@pytest.mark.parametrize("links", [True, False])
def test_a_target_that_appears_meanwhile_is_not_overwritten(
    place: Place, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    request = place.request()
    without_links(monkeypatch, links)
    before = state_of(place)
    with pytest.raises(UsageError) as error:
        place.export(request, lambda _: ignore(request.target.write_bytes(b"other")))
    assert error.value.code == "target-exists"
    assert request.target.read_bytes() == b"other"
    assert state_of(place) == before
    assert place.litter() == []


def ignore(_value: object) -> None:
    """For callbacks that give nothing back."""


def without_links(monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """A file system like FAT, which has no hard links."""

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", fail)


def test_a_file_system_without_links(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(monkeypatch, links=False)
    open_bundle(place.export().path)
    assert place.litter() == []


# -- failures on the way: nothing is left


def fail_with(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


FAILURES = {
    "policy": RejectedError("issuer-mismatch", "bundle"),
    "interrupt": KeyboardInterrupt(),
    "disk": OSError(28, "No space left on device"),
}
STEPS: dict[str, tuple[object, str]] = {
    "pending": (Repository, "write_pending"),
    "sign": (Repository, "sign"),
    "open": (os, "open"),
    "write": (publish_module, "write_bundle"),
    "sync": (publish_module, "sync_file"),
    "read back": (publish_module, "open_image"),
    "link": (os, "link"),
}


@pytest.mark.parametrize("failure", ["interrupt", "disk"])
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_before_the_name_undoes_everything(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str, failure: str
) -> None:
    before = state_of(place)
    owner, name = STEPS[step]
    original = getattr(owner, name)

    def once(*args: Any, **kwargs: Any) -> Any:
        if step == "open" and not str(args[0]).startswith(str(place.out)):
            return original(*args, **kwargs)
        if step == "open" and not args[1] & os.O_CREAT:
            return original(*args, **kwargs)
        raise FAILURES[failure]

    monkeypatch.setattr(owner, name, once)
    with pytest.raises((KeyboardInterrupt, EnvError, OSError)):
        place.export()
    monkeypatch.undo()
    assert list(place.out.iterdir()) == []
    assert state_of(place) == before
    assert open_bundle(place.export().path).sequence == 1


@pytest.mark.parametrize("failure", ["policy", "interrupt"])
def test_a_bundle_that_the_policy_rejects_leaves_nothing(place: Place, failure: str) -> None:
    before = state_of(place)
    seen: list[Path] = []

    def judge(path: Path) -> None:
        seen.append(path)
        open_bundle(path)
        raise FAILURES[failure]

    with pytest.raises((RejectedError, KeyboardInterrupt)):
        place.export(verify_file=judge)
    assert seen[0].parent == place.out
    assert list(place.out.iterdir()) == []
    assert state_of(place) == before


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("name", ["sync_folder", "remove"])
def test_a_failure_after_the_name_keeps_the_numbers(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, links: bool
) -> None:
    request = place.request()
    without_links(monkeypatch, links)
    monkeypatch.setattr(publish_module, name, fail_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        place.export(request)
    monkeypatch.undo()
    first = open_bundle(request.target)
    assert (place.repository / "pending").exists()
    after = place.export()
    assert (after.inventory.sequence, first.sequence) == (2, 1)
    assert after.inventory.previous is not None
    assert place.litter() == []
    assert len(list(place.out.iterdir())) == 2


def test_a_failing_commit_keeps_the_numbers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    request = place.request()
    monkeypatch.setattr(Repository, "commit", fail_with(EnvError("disk-full", "trust repository")))
    with pytest.raises(EnvError):
        place.export(request)
    monkeypatch.undo()
    open_bundle(request.target)
    assert place.export().inventory.sequence == 2
    assert place.litter() == []


def test_no_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_bytes(place.out) > 0
    with pytest.raises(EnvError) as error:
        check_space(place.out, 1 << 62)
    assert error.value.code == "disk-full"
    monkeypatch.setattr("bundler.export.space.free_bytes", lambda _: 1000)
    refused(place, EnvError, "disk-full")


# -- sources that change or lie


def damage(place: Place, media_type: str, change: Callable[[bytes], bytes]) -> Digest:
    """Change a blob of the app's layout in place; gives its digest."""
    with ExitStack() as opened:
        plan = make_plan(collect_images((ImageRequest(f"oci:{place.folder / 'app'}"),), place.connection(), opened))
    blob = next(item.descriptor for item in plan.blobs if item.descriptor.media_type == media_type)
    path = place.folder / "app" / "blobs" / "sha256" / blob.digest.hex
    path.write_bytes(change(path.read_bytes()))
    return blob.digest


@pytest.mark.parametrize("media_type", [OCI_LAYER, OCI_CONFIG, "application/vnd.in-toto+json"])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "blob-digest"),
        (lambda raw: raw[:-1], "incomplete-source"),
        (lambda raw: raw + b"\0", "incomplete-source"),
    ],
)
def test_blobs_that_are_not_what_they_should_be(
    place: Place, media_type: str, change: Callable[[bytes], bytes], code: str
) -> None:
    digest = damage(place, media_type, change)
    before = state_of(place)
    with pytest.raises(RejectedError) as error:
        place.export()
    assert error.value.code == code
    assert any(digest.hex in text for text in (error.value.which, *error.value.hints))
    assert f"image {NAME}, from oci:{place.folder / 'app'}" in error.value.hints
    assert state_of(place) == before
    assert place.litter() == []


@pytest.mark.parametrize(("name", "stored"), [("app", "raw"), ("plain", "zstd")])
def test_bytes_that_change_between_hashing_and_writing(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, stored: str
) -> None:
    """The source, or a staged frame, is changed after it was hashed: the writer notices."""
    sign = Repository.sign

    def change_then_sign(*args: Any) -> Any:
        frames = [path for path in place.out.glob(".sealift-*.export/*") if path.is_file()]
        assert bool(frames) == (stored == "zstd")
        if stored == "raw":
            damage(place, OCI_LAYER, lambda raw: raw[:-1] + b"x")
        for frame in frames:
            frame.write_bytes(frame.read_bytes()[:-1] + b"x")
        return sign(*args)

    monkeypatch.setattr(Repository, "sign", change_then_sign)
    with pytest.raises(SealiftError) as error:
        place.export(images=(ImageRequest(f"oci:{place.folder / name}"),))
    assert (error.value.code, error.value.exit_code) == ("blob-digest", 1)
    assert any(f"from oci:{place.folder / name}" in hint for hint in error.value.hints)
    assert list(place.out.iterdir()) == []
    assert not (place.repository / "pending").exists()


# -- two at once, litter


def heads(pin: bytes, sequence: int, inventory: Digest, stream: str = "main") -> tuple[SiteHeads]:
    """What a site hands out that has accepted this much."""
    streams = (StreamHead(stream, sequence, inventory),)
    pins = (PinHead(sha256_of(pin), 1, 1, retired=False, streams=streams),)
    return (SiteHeads("plant-7", 3, sha256_of(b"state"), None, pins),)


def test_a_repository_that_was_put_back_from_an_old_copy_signs_nothing(place: Place, tmp_path: Path) -> None:
    pin = Repository(place.repository).pin
    first = place.export()
    shutil.copytree(place.repository, tmp_path / "old copy")
    second = place.export()
    shutil.rmtree(place.repository)
    shutil.copytree(tmp_path / "old copy", place.repository)
    known = heads(pin, 2, second.inventory_digest)
    refused(place, TrustError, "repository-behind", since=known)
    refused(place, TrustError, "repository-behind", since=heads(pin, 1, sha256_of(b"another history")))
    refused(place, TrustError, "repository-behind", since=(*heads(pin, 1, first.inventory_digest), *known))
    shutil.rmtree(place.repository)
    with tarfile.open(second.path) as bundle:  # the way back: the trust files of the last bundle
        bundle.extractall(tmp_path, [one for one in bundle if one.name.startswith("trust/")], filter="data")
    (tmp_path / "trust").rename(place.repository)
    assert place.export(since=known).inventory.sequence == 3


def test_what_sites_know_of_others_says_nothing(place: Place) -> None:
    pin, digest = Repository(place.repository).pin, sha256_of(b"theirs")
    first = place.export(since=(*heads(b"another trust root", 7, digest), *heads(pin, 7, digest, "other")))
    assert place.export(since=heads(pin, 1, first.inventory_digest)).inventory.sequence == 2


def test_two_exports_of_one_repository_at_once(place: Place) -> None:
    def second(_: Path) -> None:
        with pytest.raises(EnvError) as error:
            place.export()
        assert error.value.code == "locked"

    place.export(verify_file=second)


def test_litter_of_the_dead_goes_and_that_of_the_living_stays(place: Place, ceremony: Path) -> None:
    dead = place.out / ".sealift-0123456789abcdef.export"
    dead.mkdir()
    (dead / "frame").write_bytes(b"x")
    link = place.out / ".sealift-fedcba9876543210.export"
    link.symlink_to(place.folder / "app")
    other = place.folder / "other"
    shutil.copytree(ceremony / "repository", other)

    def meanwhile(_: Path) -> None:
        living = set(place.out.glob(".sealift-*.export"))
        place.export(repository=other)
        assert set(place.out.glob(".sealift-*.export")) == living

    place.export(verify_file=meanwhile)
    assert place.litter() == [link.name]
    assert (place.folder / "app" / "index.json").exists()


# -- reproducible, and nothing ambient


RUN = """
    import os, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from bundler.export.hooks import Hooks
    from bundler.export.pipeline import ExportRequest, export_bundle
    from bundler.export.settings import ImageRequest
    from bundler.network.access import Access
    from bundler.network.connection import Connection
    repository, keys, app, plain, target = map(Path, sys.argv[1:6])
    images = tuple(ImageRequest(f"oci:{path}") for path in (app, plain))
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    request = ExportRequest(images, target, repository, keys, None, ("plant-7",), at)
    os.umask(int(os.environ["TEST_UMASK"], 8))
    if "TEST_FILE_BYTES" in os.environ:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["TEST_FILE_BYTES"]),) * 2)
    export_bundle(request, Hooks(lambda name: b""), Connection(Access(), lambda: target.parent / "cache"))
"""


def run_export(place: Place, target: Path, repository: Path, **environment: str) -> subprocess.Popen[bytes]:
    arguments = [repository, place.folder / "keys", place.folder / "app", place.folder / "plain", target]
    command = [sys.executable, "-c", textwrap.dedent(RUN), *map(str, arguments)]
    return subprocess.Popen(
        command, env=os.environ | {"TEST_UMASK": "022"} | environment, cwd=Path(__file__).parents[3]
    )


def test_the_same_state_gives_the_same_bytes(place: Place) -> None:
    places = [
        {"TEST_UMASK": "022", "TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1", "HOME": "/home/canary-one"},
        {"TEST_UMASK": "077", "TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "2"},
    ]
    bundles = []
    for number, environment in enumerate(places):
        repository = place.folder / f"copy-{number}"
        shutil.copytree(place.repository, repository)
        target = place.out / f"copy-{number}.bundle.tar"
        assert run_export(place, target, repository, **environment).wait() == 0
        bundles.append(target.read_bytes())
    assert bundles[0] == bundles[1]
    for canary in (str(place.folder), place.folder.name, "canary", os.uname().nodename):
        assert canary.encode() not in bundles[0]


@pytest.mark.parametrize("limit", [1_000, 20_000])
def test_a_disk_that_takes_no_more(place: Place, limit: int) -> None:
    """A real short disk, made by a limit on the size of files: the bundle's write fails in the middle."""
    before = state_of(place)
    done = run_export(place, place.out / "x.bundle.tar", place.repository, TEST_FILE_BYTES=str(limit))
    assert done.wait() == 1
    assert list(place.out.iterdir()) == []
    assert state_of(place) == before


def test_another_sequence_gives_the_same_images_and_blobs(place: Place) -> None:
    one, two = place.export().inventory, place.export().inventory
    assert replace(two, sequence=1, previous=None) == one


# -- killed at any moment


WRITING_CALLS = ("write", "fsync", "rename", "link", "linkat", "unlink", "unlinkat", "mkdir", "rmdir")


@pytest.mark.parametrize("moment", ["pending", "written", "linked", "named", "half committed"])
def test_killed_at_a_moment(place: Place, moment: str) -> None:
    """SIGKILL at the joints of the protocol: no file under the final name, or one that verifies; and the next runs."""
    script = {
        "pending": "Repository.sign = die",
        "written": "publish.open_archive = die",
        "linked": "publish.sync_folder = die",
        "named": "Repository.commit = die",
        "half committed": "repository.prune = die",
    }[moment]
    prelude = f"""
        import os, signal
        from bundler.export import publish
        from trust_root import repository
        from trust_root.repository import Repository
        def die(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGKILL)
        {script}
    """
    target = place.out / "killed.bundle.tar"
    arguments = [place.repository, place.folder / "keys", place.folder / "app", place.folder / "plain", target]
    code = textwrap.dedent(prelude) + textwrap.dedent(RUN)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=os.environ | {"TEST_UMASK": "022"}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    check_after_kill(place, target)


def check_after_kill(place: Place, target: Path) -> None:
    """FORMAT's promise, and that the next export goes through and cleans up."""
    killed = open_bundle(target) if target.exists() else None
    after = place.export().inventory
    assert place.litter() == []
    if killed is not None:
        assert after.sequence == killed.sequence + 1
        assert after.previous is not None


@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_killed_at_every_system_call(place: Place, ceremony: Path) -> None:
    """SIGKILL at each system call that writes, one after the other."""
    target = place.out / "killed.bundle.tar"
    arguments = [place.repository, place.folder / "keys", place.folder / "app", place.folder / "plain", target]
    command = [sys.executable, "-c", textwrap.dedent(RUN), *map(str, arguments)]
    environment = os.environ | {"TEST_UMASK": "022", "PYTHONDONTWRITEBYTECODE": "1"}
    kills = 0
    for call in WRITING_CALLS:
        for number in range(1, 400):
            inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"]
            log = place.folder / "strace.log"
            done = subprocess.run(["strace", "-f", "-o", str(log), *inject, *command], env=environment, check=False)
            if done.returncode == 0:
                break
            kills += 1
            check_after_kill(place, target)
            start_again(place, ceremony)
        start_again(place, ceremony)
    assert kills > 25


def start_again(place: Place, ceremony: Path) -> None:
    """The repository as it was before any export, and an empty output folder."""
    shutil.rmtree(place.repository)
    shutil.copytree(ceremony / "repository", place.repository)
    shutil.rmtree(place.out)
    place.out.mkdir()


def test_a_bundle_lists_what_the_plan_says(place: Place) -> None:
    request = place.request()
    with ExitStack() as opened:
        plan = make_plan(collect_images(request.images, place.connection(), opened))
    done = place.export(request)
    assert done.inventory.images == plan.images
    assert [blob.digest for blob in done.inventory.blobs] == [blob.descriptor.digest for blob in plan.blobs]
    assert plan.least_bytes(compress=True) <= done.size_bytes
    with open_archive(done.path) as archive:
        raw = archive.trust_files["metadata/1.root.json"]
    assert sha256_of(raw) == sha256_of((place.repository / "metadata" / "1.root.json").read_bytes())
    assert json.loads(raw)["signed"]["_type"] == "root"


def test_what_another_image_brings_is_not_omitted(place: Place, tmp_path: Path) -> None:
    """One image without arm64, and arm64 under a name of its own: the first is whole after all, and says so."""
    layout, index, (_, arm64) = two_platforms("registry.example.org/team/app:1")
    layout.name(arm64, "registry.example.org/team/app:arm64")
    folder = layout.write(tmp_path / "both")
    images = (
        ImageRequest(f"oci:{folder}:registry.example.org/team/app:1", platforms=(parse_platform("linux/amd64"),)),
        ImageRequest(f"oci:{folder}:registry.example.org/team/app:arm64"),
    )
    filtered, alone = open_bundle(place.export(images=images).path).images
    assert (filtered.digest, filtered.omitted) == (index.digest, ())
    assert [child.platform for child in filtered.platforms] == ["linux/amd64", "linux/arm64"]
    assert len([item for item in filtered.evidence if item.kind == "buildkit-attestation"]) == 2
    assert alone.digest == arm64.digest
    (only,) = open_bundle(place.export(images=images[:1]).path).images
    assert [omission.platform for omission in only.omitted] == ["linux/arm64", "unknown/unknown"]
