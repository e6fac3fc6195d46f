"""Blobs from Debian's registry by the real skopeo and our own client: bare, with a password, with an own authority."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.errors import EnvError, RejectedError
from bundler.network.access import Access
from bundler.network.blob_cache import open_cache
from bundler.network.fetching import Fetcher, ImageWork, ManifestWork
from bundler.network.registry import Registries, Repository
from bundler.network.skopeo import Skopeo
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageIndex, parse_manifest
from bundler.oci.reference import parse_reference
from tests.simulators.images import Layout, layer, two_platforms
from tests.simulators.real_registry import RealRegistry, push_layout, real_registry
from tests.simulators.tls import LoopbackAuthority

REPOSITORY = "team/app"
FAST = {"stall_seconds": 10.0, "retries": 1, "backoff_seconds": 0.05}
LOGIN = ("robot", "c4n4ry-Pa55word")


@pytest.fixture(autouse=True)
def skopeo() -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (make setup installs it)")


class Counted(Skopeo):
    """The real skopeo, and how often it was called."""

    def __init__(self, access: Access, program: str = "skopeo") -> None:
        super().__init__(access, program)
        self.calls = 0

    def copy_manifest(self, *arguments: Any, **more: Any) -> None:
        self.calls += 1
        super().copy_manifest(*arguments, **more)


@contextmanager
def fetcher(folder: Path, access: Access, *, large_bytes: int = 1 << 30) -> Iterator[tuple[Fetcher, Counted]]:
    with open_cache(folder) as cache:
        program = Counted(access)
        yield Fetcher(cache, program, access, large_bytes=large_bytes), program
    assert list((folder / "runs").iterdir()) == []


def needed(repository: Repository, digest: str, name: str) -> ImageWork:
    """What an image needs: index or manifest, read as an export reads them."""
    fetched = repository.get_manifest(digest)
    parsed = parse_manifest(fetched.raw, fetched.media_type)
    children = [(item.digest, item.media_type) for item in parsed.manifests] if isinstance(parsed, ImageIndex) else []
    works = []
    for child, media_type in children or [(fetched.digest, fetched.media_type)]:
        raw = repository.get_manifest(str(child)).raw
        image = parse_manifest(raw, media_type)
        assert not isinstance(image, ImageIndex)
        works.append(ManifestWork(Descriptor(media_type, child, len(raw)), raw, (image.config, *image.layers)))
    return ImageWork(name, repository, tuple(works))


def fetch_all(
    registry: RealRegistry, access: Access, folder: Path, tops: list[Descriptor], *, large_bytes: int = 1 << 30
) -> int:
    """Fetch images, check every byte; returns how often skopeo was called."""
    with ExitStack() as opened:
        registries = opened.enter_context(Registries(access))
        repository = registries.repository(parse_reference(f"{registry.host}/{REPOSITORY}:1"))
        found, program = opened.enter_context(fetcher(folder, access, large_bytes=large_bytes))
        works = [needed(repository, str(top.digest), f"image {number}") for number, top in enumerate(tops)]
        found.fetch(works)
        for digest, blob in {key: item for work in works for key, item in work.blobs().items()}.items():
            with found.open(blob) as stream:
                assert sha256_of(stream.read()) == digest
        return program.calls


def docker_list() -> Layout:
    """A Docker manifest list: skopeo cannot copy it whole with its digests kept."""
    layout = Layout()
    children = [
        layout.image(f"linux/{name}", [layer(name.encode(), seed=9, size_bytes=3000, packed="gzip")], docker=True)
        for name in ("amd64", "arm64")
    ]
    layout.name(layout.index(children, docker=True), "registry.example.org/team/app:docker")
    return layout


@pytest.mark.parametrize("protection", ["plain", "password", "tls"])
def test_cold_then_warm(tmp_path: Path, protection: str) -> None:
    """OCI index with attestations and Docker list together; the second time nothing is fetched."""
    authority = LoopbackAuthority(tmp_path / "ca") if protection == "tls" else None
    login = LOGIN if protection == "password" else None
    with real_registry(tmp_path / "registry", login=login, authority=authority) as registry:
        access = access_to(registry, tmp_path)
        tops = [
            push_layout(registry, two_platforms("x:1")[0], REPOSITORY, "1"),
            push_layout(registry, docker_list(), REPOSITORY),
        ]
        cache = tmp_path / "cache: colon and space"
        assert fetch_all(registry, access, cache, tops) == 6
        assert fetch_all(registry, access, cache, tops) == 0


def access_to(registry: RealRegistry, folder: Path) -> Access:
    cert_dir = None
    if registry.authority is not None:
        (folder / "certs").mkdir()
        cert_dir = registry.authority.cert_dir(folder / "certs")
    authfile = folder / "auth.json"
    token = base64.b64encode(":".join(registry.login).encode()).decode() if registry.login else None
    authfile.write_text(json.dumps({"auths": {registry.host: {"auth": token}} if token else {}}))
    return Access(authfile=authfile, cert_dir=cert_dir, tls_verify=registry.authority is not None, **FAST)


def test_large_layers_come_first_and_skopeo_finds_them(tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image("linux/amd64", [layer(seed=1, size_bytes=500_000), layer(b"small", seed=2)])
    layout.name(image, "x:1")
    with real_registry(tmp_path / "registry") as registry:
        top = push_layout(registry, layout, REPOSITORY)
        access = access_to(registry, tmp_path)
        assert fetch_all(registry, access, tmp_path / "cache", [top], large_bytes=400_000) == 1
        assert list((tmp_path / "cache/partial").iterdir()) == []


def test_a_poisoned_cache_is_mended(tmp_path: Path) -> None:
    with real_registry(tmp_path / "registry") as registry:
        top = push_layout(registry, two_platforms("x:1", attested=False)[0], REPOSITORY)
        access = access_to(registry, tmp_path)
        fetch_all(registry, access, tmp_path / "cache", [top])
        blobs = tmp_path / "cache/blobs/sha256"
        for path in blobs.iterdir():
            raw = path.read_bytes()
            path.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
        assert fetch_all(registry, access, tmp_path / "cache", [top]) == 2
        assert all(sha256_of(path.read_bytes()).hex == path.name for path in blobs.iterdir())


def test_a_damaged_registry(tmp_path: Path) -> None:
    """A layer whose bytes changed on the registry's disk: neither client takes it, nothing bad is kept."""
    with real_registry(tmp_path / "registry") as registry:
        layout = Layout()
        image = layout.image("linux/amd64", [layer(seed=1, size_bytes=50_000), layer(b"small", seed=2)])
        layout.name(image, "x:1")
        top = push_layout(registry, layout, REPOSITORY)
        stored = max(registry.storage.rglob("data"), key=lambda path: path.stat().st_size)
        raw = stored.read_bytes()
        stored.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        access = access_to(registry, tmp_path)
        for large_bytes, code in ((1 << 30, "skopeo-failed"), (40_000, "blob-digest")):
            with pytest.raises((EnvError, RejectedError)) as caught:
                fetch_all(registry, access, tmp_path / "cache", [top], large_bytes=large_bytes)
            assert caught.value.code == code
        blobs = tmp_path / "cache/blobs/sha256"
        assert all(sha256_of(path.read_bytes()).hex == path.name for path in blobs.iterdir())
        assert list((tmp_path / "cache/partial").iterdir()) == []


def test_layers_that_the_registry_lost_are_named(tmp_path: Path) -> None:
    """skopeo's exit code does not tell; our own question does."""
    with real_registry(tmp_path / "registry") as registry:
        layout = Layout()
        image = layout.image("linux/amd64", [layer(seed=1, size_bytes=50_000), layer(b"small", seed=2)])
        layout.name(image, "x:1")
        top = push_layout(registry, layout, REPOSITORY)
        stored = max(registry.storage.rglob("data"), key=lambda path: path.stat().st_size)
        lost = f"sha256:{stored.parent.name}"
        for path in registry.storage.rglob(stored.parent.name):
            shutil.rmtree(path)
        with pytest.raises(RejectedError, match="1 of 3 blobs absent") as caught:
            fetch_all(registry, access_to(registry, tmp_path), tmp_path / "cache", [top])
    assert caught.value.code == "incomplete-source"
    assert any(lost in hint for hint in caught.value.hints)


def test_a_registry_that_is_gone(tmp_path: Path) -> None:
    access = Access(tls_verify=False, **FAST)
    with real_registry(tmp_path / "registry") as registry:
        top = push_layout(registry, two_platforms("x:1", attested=False)[0], REPOSITORY)
        with Registries(access) as registries:
            repository = registries.repository(parse_reference(f"{registry.host}/{REPOSITORY}:1"))
            work = needed(repository, str(top.digest), "app")
    with fetcher(tmp_path / "cache", access) as (found, _), pytest.raises(EnvError) as caught:
        found.fetch([work])
    assert caught.value.code == "skopeo-failed"
    assert "connection refused" in caught.value.got


def test_a_wrong_password_is_never_shown(tmp_path: Path) -> None:
    with real_registry(tmp_path / "registry", login=LOGIN) as registry:
        top = push_layout(registry, two_platforms("x:1", attested=False)[0], REPOSITORY)
        access = access_to(registry, tmp_path)
        with Registries(access) as registries:
            repository = registries.repository(parse_reference(f"{registry.host}/{REPOSITORY}:1"))
            work = needed(repository, str(top.digest), "app")
        wrong = base64.b64encode(b"robot:wr0ng-Pa55word").decode()
        assert access.authfile is not None
        access.authfile.write_text(json.dumps({"auths": {registry.host: {"auth": wrong}}}))
        with fetcher(tmp_path / "cache", access) as (found, _), pytest.raises(EnvError) as caught:
            found.fetch([work])
    assert caught.value.code == "skopeo-failed"
    shown = str(caught.value) + repr(caught.value.hints)
    assert wrong not in shown
    assert "wr0ng" not in shown
