"""Pushing into Debian's docker-registry: plain, with a password, with TLS; and what it says when it refuses."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.digest import Digest, sha256_of
from bundler.errors import DamagedError, EnvError
from bundler.network.access import Access
from bundler.network.push import Abilities, Target, Targets
from bundler.network.registry import Registries
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX, OCI_MANIFEST
from bundler.oci.reference import parse_reference
from tests.simulators.flaky_wire import FlakyWire
from tests.simulators.images import two_platforms
from tests.simulators.layout_walk import walk_layout
from tests.simulators.push_scene import MIB, Thing, thing
from tests.simulators.real_registry import RealRegistry, real_registry
from tests.simulators.registry_scene import QUICK
from tests.simulators.tls import LoopbackAuthority


def target_of(registries: Registries, registry: RealRegistry, name: str = "team/deep/app") -> Target:
    """The client's view of a repository."""
    return Targets(registries).repository(parse_reference(f"{registry.host}/{name}"))


def push_all(target: Target) -> Descriptor:
    """An index of two platforms with attestations, as a load pushes it."""
    layout, top, _ = two_platforms()
    walked = walk_layout(layout)
    for content in walked.blobs.values():
        item = Thing(b"".join(content.pieces()))
        assert target.push_blob(item.descriptor, item.content) == "pushed"
        assert target.push_blob(item.descriptor, item.content) == "present"
    for descriptor, raw in sorted(walked.manifests, key=lambda pair: pair[0].media_type == OCI_INDEX):
        assert target.push_manifest(raw, descriptor.media_type, descriptor.digest).digest == descriptor.digest
    target.push_manifest(layout.read(top.digest), top.media_type, "1.0")
    for descriptor, raw in walked.manifests:
        assert target.get_manifest(descriptor.digest).raw == raw
    return top


@pytest.mark.parametrize("form", ["plain", "password", "tls"])
def test_an_image_with_everything(tmp_path: Path, form: str) -> None:
    authority = LoopbackAuthority(tmp_path / "ca") if form == "tls" else None
    login = ("user", "secret") if form == "password" else None
    with (
        real_registry(tmp_path / "registry", login=login, authority=authority) as registry,
        Registries(_access(tmp_path, registry), {}) as registries,
    ):
        target = target_of(registries, registry)
        assert target.abilities() == Abilities(referrers_api=False)
        assert target.find_manifest("1.0", served=False) is None
        top = push_all(target)
        assert target.get_manifest("1.0").digest == top.digest
        assert target.tags() == ("1.0",)
        base = target_of(registries, registry, "base")
        item = thing(3 * MIB)
        assert base.push_blob(item.descriptor, item.content, part_bytes=MIB) == "pushed"
        assert target.push_blob(item.descriptor, item.content, mount_from=[base.name]) == "mounted"
        assert target.read_blob(item.descriptor, 4 * MIB) == item.raw


def _access(folder: Path, registry: RealRegistry) -> Access:
    if registry.authority:
        return replace(QUICK, tls_verify=True, cert_dir=registry.authority.cert_dir(folder / "certs"))
    if registry.login:
        path = folder / "auth.json"
        packed = base64.b64encode(":".join(registry.login).encode()).decode()
        path.write_text(json.dumps({"auths": {registry.host: {"auth": packed}}}))
        return replace(QUICK, authfile=path)
    return QUICK


def test_what_it_refuses(tmp_path: Path) -> None:
    with real_registry(tmp_path) as registry, Registries(QUICK, {}) as registries:
        target = target_of(registries, registry)
        absent = {"mediaType": OCI_MANIFEST, "digest": str(Digest("sha256", "1" * 64)), "size": 5}
        sparse = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [absent]}).encode()
        with pytest.raises(EnvError) as caught:
            target.push_manifest(sparse, OCI_INDEX, sha256_of(sparse))
        assert caught.value.code == "push-blob-unknown"
        wrong = Descriptor("a/b", Digest("sha256", "1" * 64), 3 * MIB)
        with pytest.raises(DamagedError):
            target.push_blob(wrong, thing(3 * MIB).content)
        assert not target.has_blob(wrong)
        assert not list(tmp_path.rglob("_uploads/*/data"))


def test_without_a_login(tmp_path: Path) -> None:
    with real_registry(tmp_path, login=("user", "secret")) as registry, Registries(QUICK, {}) as registries:
        item = thing(1000)
        with pytest.raises(EnvError) as caught:
            target_of(registries, registry).push_blob(item.descriptor, item.content)
        assert caught.value.code == "registry-auth"


@pytest.mark.parametrize("part_bytes", [None, 4 * MIB])
def test_a_line_that_breaks(tmp_path: Path, part_bytes: int | None) -> None:
    """docker-registry 2 forgets an upload whose part broke off: a new one is made."""
    with real_registry(tmp_path) as registry, FlakyWire(registry.port, [3 * MIB, 12 * MIB]) as wire:
        with Registries(QUICK, {}) as registries:
            target = Targets(registries).repository(parse_reference(f"127.0.0.1:{wire.port}/team/app"))
            item = thing(9 * MIB)
            assert target.push_blob(item.descriptor, item.content, part_bytes=part_bytes) == "pushed"
            assert target.read_blob(item.descriptor, 16 * MIB) == item.raw
        assert wire.times_cut == 2
