"""Our client against Debian's docker-registry: plain, with a password, with TLS from an authority of our own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.digest import Digest
from bundler.errors import EnvError, RejectedError
from bundler.network.access import Access
from bundler.network.registry import Registries, Repository
from bundler.oci.annotations import format_evidence_tag
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageIndex, parse_manifest
from bundler.oci.reference import parse_reference
from tests.simulators.images import Layout, two_platforms
from tests.simulators.layout_walk import walk_layout
from tests.simulators.real_registry import RealRegistry, push_layout, real_registry
from tests.simulators.tls import LoopbackAuthority

LOGIN = ("user", "canary-d10a")
NAME = "team/app"
KINDS = ("plain", "htpasswd", "tls")


@pytest.fixture(scope="module", params=KINDS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealRegistry, Access]]:
    folder = tmp_path_factory.mktemp("registry")
    kind = str(request.param)
    login = LOGIN if "htpasswd" in kind else None
    authority = LoopbackAuthority(folder / "ca") if "tls" in kind else None
    with real_registry(folder, login=login, authority=authority) as registry:
        yield registry, reach(registry, folder)


def reach(registry: RealRegistry, folder: Path) -> Access:
    """How a user would reach it."""
    authfile = folder / "auth.json"
    packed = base64.b64encode(":".join(registry.login).encode()).decode() if registry.login else ""
    authfile.write_text(json.dumps({"auths": {registry.host: {"auth": packed}}}))
    return Access(
        authfile=authfile,
        cert_dir=registry.authority.cert_dir(folder / "certs") if registry.authority else None,
        tls_verify=registry.authority is not None,
        retries=1,
        backoff_seconds=0.01,
    )


def check_everything(repository: Repository, layout: Path | Layout) -> None:
    """Each manifest and blob comes out as it went in."""
    walked = walk_layout(layout)
    for descriptor, raw in walked.manifests:
        fetched = repository.get_manifest(descriptor.digest)
        assert (fetched.raw, fetched.media_type) == (raw, descriptor.media_type)
    for digest, content in walked.blobs.items():
        raw = b"".join(content.pieces())
        descriptor = Descriptor("application/octet-stream", digest, len(raw))
        assert repository.has_blob(descriptor)
        assert repository.read_blob(descriptor, 1 << 28) == raw
        offset = len(raw) // 2
        with repository.open_blob(descriptor, offset=offset) as stream:
            rest = b""
            while piece := stream.read(1 << 20):
                rest += piece
        assert rest == raw[offset:]


def test_an_image_comes_out_as_it_went_in(served: tuple[RealRegistry, Access]) -> None:
    registry, access = served
    layout, top, children = two_platforms()
    layout.tag_evidence(layout.cosign([(b"{}", "application/json", {})]), top, "sig", "registry.example.org/app")
    push_layout(registry, layout, NAME, "1.0")
    with Registries(access, {}) as registries:
        repository = registries.repository(parse_reference(f"{registry.host}/{NAME}"))
        index = repository.get_manifest("1.0")
        assert index.digest == top.digest
        parsed = parse_manifest(index.raw, index.media_type)
        assert isinstance(parsed, ImageIndex)
        assert {child.digest for child in children} <= {child.digest for child in parsed.manifests}
        check_everything(repository, layout)
        assert repository.find_manifest(format_evidence_tag(top.digest, "sig")) is not None
        assert repository.find_manifest(format_evidence_tag(top.digest, "att")) is None
        assert repository.referrers(top.digest) is None  # 2.8 has no such API and says so in plain text
        assert set(repository.tags()) == {"1.0", "1", format_evidence_tag(top.digest, "sig")}


@pytest.mark.parametrize("name", ["slsa-generator-v1.4.0", "slsa-generator-v1.10.0"])
def test_real_images_with_their_attestations(tmp_path: Path, shared: Path, name: str) -> None:
    layout = shared / "real" / "images" / name
    with real_registry(tmp_path) as registry, Registries(reach(registry, tmp_path), {}) as registries:
        top = push_layout(registry, layout, NAME, "1")
        repository = registries.repository(parse_reference(f"{registry.host}/{NAME}"))
        assert repository.get_manifest("1").digest == top.digest
        check_everything(repository, layout)


def test_what_is_absent(served: tuple[RealRegistry, Access]) -> None:
    registry, access = served
    push_layout(registry, two_platforms()[0], NAME, "1.0")
    absent = Digest("sha256", "0" * 64)
    with Registries(access, {}) as registries:
        repository = registries.repository(parse_reference(f"{registry.host}/{NAME}"))
        nowhere = registries.repository(parse_reference(f"{registry.host}/not/there"))
        assert repository.find_manifest("none") is None
        assert repository.find_manifest(absent) is None
        assert nowhere.find_manifest("none", served=False) is None
        for question in (
            lambda: repository.get_manifest("none"),
            lambda: nowhere.get_manifest("none"),
            nowhere.tags,
            lambda: repository.open_blob(Descriptor("application/octet-stream", absent, 5)),
        ):
            with pytest.raises(RejectedError):
                question()
        assert not repository.has_blob(Descriptor("application/octet-stream", absent, 5))


def test_without_what_it_asks_for(served: tuple[RealRegistry, Access], tmp_path: Path) -> None:
    registry, access = served
    nobody = tmp_path / "auth.json"
    nobody.write_text("{}")
    wanted = []
    if registry.login:
        wanted.append((replace(access, authfile=nobody), {"registry-auth"}))
    if registry.authority:
        wanted.append((replace(access, cert_dir=None), {"registry-tls"}))
    else:
        wanted.append((replace(access, tls_verify=True), {"registry-tls"}))
    for without, codes in wanted:
        with Registries(without, {}) as registries:
            with pytest.raises(EnvError) as caught:
                registries.repository(parse_reference(f"{registry.host}/{NAME}")).get_manifest("1.0")
            assert caught.value.code in codes
            assert LOGIN[1] not in str(caught.value)


def test_tls_verify_false_takes_any_certificate(served: tuple[RealRegistry, Access]) -> None:
    registry, access = served
    push_layout(registry, two_platforms()[0], NAME, "1.0")
    with Registries(replace(access, cert_dir=None, tls_verify=False), {}) as registries:
        repository = registries.repository(parse_reference(f"{registry.host}/{NAME}"))
        assert repository.get_manifest("1.0")


def test_a_wrong_password(tmp_path: Path) -> None:
    with real_registry(tmp_path, login=LOGIN) as registry:
        access = reach(replace(registry, login=("user", "other")), tmp_path)
        with Registries(access, {}) as registries, pytest.raises(EnvError) as caught:
            registries.repository(parse_reference(f"{registry.host}/{NAME}")).get_manifest("1.0")
        assert caught.value.code == "registry-auth"
