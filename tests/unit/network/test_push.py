"""Pushing to an honest registry: blobs, parts, mounts, manifests, sessions that go on, logins."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import DamagedError, EnvError, MalformedError
from bundler.network.access import Access
from bundler.network.push import Abilities, Targets
from bundler.network.registry import Registries
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX, OCI_MANIFEST
from bundler.oci.reference import parse_reference
from tests.simulators import registry_lies as lies
from tests.simulators.flaky_wire import FlakyWire
from tests.simulators.images import two_platforms
from tests.simulators.layout_walk import walk_layout
from tests.simulators.push_scene import MIB, PushScene, Thing, push_scene, thing
from tests.simulators.registry import Basic, Bearer, Registry
from tests.simulators.registry_scene import NAME, QUICK, small_image
from tests.simulators.registry_writes import Writes
from tests.simulators.tls import LoopbackAuthority

ABSENT = Digest("sha256", "0" * 64)
PATIENT = replace(QUICK, retries=4)


def push_image(it: PushScene, name: str = NAME) -> Descriptor:
    """A small image, as a load pushes it."""
    layout, image, _ = small_image()
    target, walked = it.other(name), walk_layout(layout)
    for digest, content in walked.blobs.items():
        item = Thing(b"".join(content.pieces()))
        assert item.descriptor.digest == digest
        target.push_blob(item.descriptor, item.content)
    for descriptor, raw in walked.manifests:
        target.push_manifest(raw, descriptor.media_type, descriptor.digest)
    return image


def index(*children: Descriptor, **more: Any) -> bytes:
    """An index that names children."""
    entries = [{"mediaType": item.media_type, "digest": str(item.digest), "size": item.size_bytes} for item in children]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}).encode()


@pytest.mark.parametrize("size_bytes", [0, 1, 2, 70_000, MIB, MIB + 1, 9 * MIB + 5])
def test_a_blob(size_bytes: int) -> None:
    shown: list[int] = []
    with push_scene() as it:
        item = thing(size_bytes)
        assert it.target.push_blob(item.descriptor, item.content, watch=shown.append) == "pushed"
        assert it.holds(item)
        assert sum(shown) == size_bytes
        assert it.writes.sessions == {}
        whole = size_bytes <= MIB
        assert it.asked() == ["HEAD blobs", "POST uploads", *([] if whole else ["PATCH uploads"]), "PUT uploads"]
        assert it.target.push_blob(item.descriptor, item.content) == "present"
        assert item.offsets == [0]


def test_blobs_that_are_not_asked_for_are_read_once_and_in_order() -> None:
    with push_scene() as it:
        item = thing(20 * MIB + 17)
        it.target.push_blob(item.descriptor, item.content, part_bytes=3 * MIB)
        assert it.holds(item)
        assert item.offsets == [0]
        parts = it.registry.asked("PATCH", "uploads")
        assert len(parts) == 7
        assert parts[1].headers["content-range"] == f"{3 * MIB}-{6 * MIB - 1}"
        assert {part.headers["content-type"] for part in parts} == {"application/octet-stream"}


def test_the_smallest_part_of_a_registry_is_kept() -> None:
    with push_scene(writes=Writes(min_part_bytes=5 * MIB)) as it:
        item = thing(12 * MIB)
        it.target.push_blob(item.descriptor, item.content, part_bytes=1 * MIB)
        assert it.holds(item)
        assert [len(part.body) for part in it.registry.asked("PATCH", "uploads")] == [5 * MIB, 5 * MIB, 2 * MIB]


def pushed_through(wire: FlakyWire, item: Thing, access: Access = QUICK, part_bytes: int | None = None) -> int:
    """Push over a line that breaks; how many bytes were shown in all."""
    shown: list[int] = []
    with Registries(access, {}) as registries:
        target = Targets(registries).repository(parse_reference(f"127.0.0.1:{wire.port}/{NAME}"))
        assert target.push_blob(item.descriptor, item.content, part_bytes=part_bytes, watch=shown.append) == "pushed"
    return sum(shown)


@pytest.mark.parametrize("part_bytes", [None, 4 * MIB])
def test_a_line_that_breaks(part_bytes: int | None) -> None:
    """The session is asked how far it came, and the rest is sent; all bytes are hashed once more from a state on."""
    with push_scene() as it, FlakyWire(it.registry.port, [3 * MIB, 9 * MIB, 15 * MIB]) as wire:
        item = thing(18 * MIB + 3)
        assert pushed_through(wire, item, part_bytes=part_bytes) == item.descriptor.size_bytes
        assert wire.times_cut == 3
        assert it.holds(item)
        assert len(it.registry.asked("POST", "uploads")) == 1
        sent_bytes = sum(len(part.body) for part in it.registry.asked("PATCH", "uploads"))
        assert sent_bytes == item.descriptor.size_bytes
        assert len(item.offsets) <= 4
        assert set(item.offsets) <= {0, 4 * MIB, 8 * MIB, 12 * MIB, 16 * MIB}


@pytest.mark.parametrize("writes", [Writes(forgets_broken=True), Writes(has_status=False)])
def test_a_registry_that_forgets_gets_a_new_session(writes: Writes) -> None:
    with push_scene(writes=writes) as it, FlakyWire(it.registry.port, [3 * MIB]) as wire:
        item = thing(7 * MIB)
        assert pushed_through(wire, item) == 7 * MIB
        assert it.holds(item)
        assert len(it.registry.asked("POST", "uploads")) == 2
        assert writes.sessions == {}


@pytest.mark.parametrize("notices", [(0.0,), (0.0, 0.0), (0.0, 0.4), (0.2, 0.5), (0.0, 0.0, 0.0)])
def test_a_registry_that_hears_late_that_a_line_broke(notices: tuple[float, ...]) -> None:
    """It says 0, or takes in what is on its way: it is asked again, and nothing is sent twice. One retry is enough."""
    writes = Writes(notices=notices)
    with push_scene(writes=writes) as it, FlakyWire(it.registry.port, [9 * MIB]) as wire:
        item = thing(12 * MIB)
        assert pushed_through(wire, item, replace(QUICK, retries=1)) == 12 * MIB
        assert it.holds(item)
        assert len(it.registry.asked("POST", "uploads")) == 1
        assert sum(len(part.body) for part in it.registry.asked("PATCH", "uploads")) == 12 * MIB
        assert writes.sessions == {}


def test_a_part_of_which_a_registry_hears_nothing() -> None:
    """It is asked a few times, and believed at last; what it confirmed before is kept."""
    writes = Writes(notices=(0.0,) * limits.PUSH_LOOKS)
    with push_scene(writes=writes) as it, FlakyWire(it.registry.port, [9 * MIB]) as wire:
        item = thing(12 * MIB)
        assert pushed_through(wire, item, replace(QUICK, retries=1)) == 12 * MIB
        assert it.holds(item)
        assert len(it.registry.asked("GET", "uploads")) == limits.PUSH_LOOKS
        assert len(it.registry.asked("POST", "uploads")) == 2
        assert writes.sessions == {}


@pytest.mark.parametrize("size_bytes", [1000, 3 * MIB])
@pytest.mark.parametrize(
    "lie",
    [lies.drop_unasked, lies.drop_when_done, lies.status(500), lies.status(503), lies.status(429, Retry_After="0")],
)
def test_one_fault_at_any_request(size_bytes: int, lie: Any) -> None:
    """Whatever the registry had done when the connection was lost."""
    for number in range(1, 5):
        with push_scene(PATIENT) as it:
            it.registry.at(number + 1, lie)  # the first one is the try over https
            item = thing(size_bytes)
            assert it.target.push_blob(item.descriptor, item.content) in ("pushed", "present")
            assert it.holds(item)
            raw = index()
            it.registry.at(len(it.registry.log) + 1, lie)
            it.target.push_manifest(raw, OCI_INDEX, "1")
            assert it.store.tags["1"] == sha256_of(raw)


def test_a_registry_that_says_absent_in_other_words() -> None:
    """Harbor's NOT_FOUND, of tags, digests, and repositories that are not there yet. Only under 404."""
    with push_scene() as it:
        it.registry.on("/manifests/", lies.absent_in_other_words, method="GET")
        assert it.target.find_manifest("1") is None
        assert it.target.find_manifest(ABSENT) is None
        image = push_image(it)
        assert it.target.find_manifest("1") is None
        assert it.target.get_manifest(image.digest).digest == image.digest
        for number in (400, 403):
            it.registry.on("/manifests/", lies.status(number, "NOT_FOUND"), method="GET")
            with pytest.raises(EnvError):
                it.target.find_manifest("1")


def test_a_lost_answer_to_the_last_request() -> None:
    with push_scene() as it:
        it.registry.on("digest=", lies.drop_when_done, method="PUT", times=1)
        item = thing(3 * MIB)
        assert it.target.push_blob(item.descriptor, item.content) == "pushed"
        assert it.holds(item)
        assert len(it.registry.asked("PUT", "uploads")) == 1
        assert it.writes.sessions == {}


def test_content_that_is_not_the_blob_is_never_told_to_be_whole() -> None:
    with push_scene() as it:
        for size_bytes in (1000, 3 * MIB):
            item = thing(size_bytes)
            other = Thing(bytes(size_bytes))
            short, long = Thing(item.raw[:-1]), Thing(item.raw + b"x")
            for content, code in ((other, "blob-digest"), (short, "blob-size"), (long, "blob-size")):
                with pytest.raises(DamagedError) as caught:
                    it.target.push_blob(item.descriptor, content.content)
                assert caught.value.code == code
        assert it.registry.asked("PUT", "") == []
        assert it.writes.sessions == {}
        assert it.store.blobs == {}


def test_content_that_fails_ends_the_upload() -> None:
    def content(_: int) -> Any:
        yield memoryview(bytes(2 * MIB))
        raise DamagedError("chunk", "blob", got="other bytes", want="those that were verified")

    with push_scene() as it:
        with pytest.raises(DamagedError) as caught:
            it.target.push_blob(thing(4 * MIB).descriptor, content)
        assert caught.value.code == "chunk"
        assert it.writes.sessions == {}
        assert len(it.writes.cancelled) == 1


def test_a_blob_that_another_repository_holds_is_mounted() -> None:
    with push_scene() as it:
        item = thing(3 * MIB)
        source = it.other("team/base")
        source.push_blob(item.descriptor, item.content)
        it.registry.reform()
        assert it.target.push_blob(item.descriptor, item.content, mount_from=[source.name]) == "mounted"
        assert it.holds(item)
        assert it.asked() == ["HEAD blobs", "POST uploads", "HEAD blobs"]
        assert it.registry.asked("POST", f"mount={item.descriptor.digest}&from=team/base")


@pytest.mark.parametrize("sources", [["team/none"], ["team/none", "team/base"], ["team/base", "team/none"]])
@pytest.mark.parametrize("mounts", [True, False])
def test_mounts_that_do_not_work_become_uploads(sources: list[str], mounts: bool) -> None:
    with push_scene(writes=Writes(mounts=mounts)) as it:
        item = thing(2 * MIB)
        it.registry.repository("team/base").put_blob(item.raw)
        names = [f"{it.registry.host}/{source}" for source in sources]
        outcome = it.target.push_blob(item.descriptor, item.content, mount_from=names)
        assert outcome == ("mounted" if mounts and "team/base" in sources else "pushed")
        assert it.holds(item)
        assert it.writes.sessions == {}


@pytest.mark.parametrize("lie", [*map(lies.status, (400, 404, 405, 403, 401)), lies.status(404, "NAME_UNKNOWN")])
def test_a_registry_that_does_not_know_mounts(lie: Any) -> None:
    with push_scene() as it:
        it.registry.on("mount=", lie, method="POST")
        item = thing(1000)
        name = f"{it.registry.host}/team/base"
        assert it.target.push_blob(item.descriptor, item.content, mount_from=[name]) == "pushed"
        assert it.holds(item)


def test_mounts_from_here_only() -> None:
    with push_scene() as it:
        item = thing(1000)
        names = ["registry.example.org/team/base", it.target.name, "docker.io/library/x"]
        assert it.target.push_blob(item.descriptor, item.content, mount_from=names) == "pushed"
        assert it.registry.asked("POST", "mount") == []
        with pytest.raises(MalformedError):
            it.target.push_blob(thing(10, 1).descriptor, item.content, mount_from=[f"{it.registry.host}/a/../b"])


def test_few_sources_are_asked() -> None:
    with push_scene(writes=Writes(mounts=False)) as it:
        item = thing(1000)
        names = [f"{it.registry.host}/team/b{number}" for number in range(20)]
        assert it.target.push_blob(item.descriptor, item.content, mount_from=names) == "pushed"
        assert len(it.registry.asked("POST", "mount")) == 4
        assert it.writes.sessions == {}
        assert len(it.writes.cancelled) == 3


def test_an_image() -> None:
    with push_scene() as it:
        assert it.target.find_manifest("1", served=False) is None  # no such repository yet
        image = push_image(it)
        raw = it.target.get_manifest(image.digest).raw
        pushed = it.target.push_manifest(raw, image.media_type, "1")
        assert (pushed.digest, pushed.has_listed_subject) == (image.digest, False)
        assert it.target.get_manifest("1").digest == image.digest
        assert it.store.tags == {"1": image.digest}
        assert it.target.tags() == ("1",)


def test_a_referrer() -> None:
    for referrers_api, lists in ((True, True), (False, False)):
        with push_scene(referrers_api=referrers_api) as it:
            image = push_image(it)
            subject = {"mediaType": image.media_type, "digest": str(image.digest), "size": image.size_bytes}
            raw = index(subject=subject, artifactType="application/vnd.example")
            pushed = it.target.push_manifest(raw, OCI_INDEX, sha256_of(raw))
            assert pushed.has_listed_subject is lists
            found = it.target.referrers(image.digest)
            assert (found is not None and [item.digest for item in found] == [sha256_of(raw)]) is lists


def test_a_manifest_before_its_parts() -> None:
    with push_scene() as it:
        layout, image, _ = small_image()
        raw = layout.read(image.digest)
        with pytest.raises(EnvError) as caught:
            it.target.push_manifest(raw, image.media_type, image.digest)
        assert caught.value.code == "push-blob-unknown"
        assert "MANIFEST_BLOB_UNKNOWN" in caught.value.got


@pytest.mark.parametrize("takes_sparse", [True, False])
def test_a_sparse_index(takes_sparse: bool) -> None:
    with push_scene(writes=Writes(takes_sparse=takes_sparse)) as it:
        image = push_image(it)
        raw = index(image, Descriptor(OCI_MANIFEST, ABSENT, 5))
        if takes_sparse:
            assert it.target.push_manifest(raw, OCI_INDEX, sha256_of(raw)).digest == sha256_of(raw)
        else:
            with pytest.raises(EnvError) as caught:
                it.target.push_manifest(raw, OCI_INDEX, sha256_of(raw))
            assert caught.value.code == "push-blob-unknown"


def test_an_index_of_two_platforms_from_several_threads() -> None:
    with push_scene() as it, ThreadPoolExecutor(4) as pool:
        layout, top, _ = two_platforms()
        walked = walk_layout(layout)
        items = [Thing(b"".join(content.pieces())) for content in walked.blobs.values()] * 2
        outcomes = list(pool.map(lambda item: it.target.push_blob(item.descriptor, item.content), items))
        assert outcomes.count("pushed") >= len(items) // 2
        for descriptor, raw in walked.manifests:
            if descriptor.digest != top.digest:
                it.target.push_manifest(raw, descriptor.media_type, descriptor.digest)
        it.target.push_manifest(layout.read(top.digest), top.media_type, "2")
        assert it.store.tags == {"2": top.digest}
        assert it.writes.sessions == {}


@pytest.mark.parametrize("target", ["", "../x", "a/b", "a?b", "a b", "-a", "x" * 129, "a\r\nb", "tag%2f", "sha256:0"])
def test_what_is_no_name_never_becomes_a_url(target: str) -> None:
    with push_scene() as it:
        with pytest.raises(MalformedError) as caught:
            it.target.push_manifest(index(), OCI_INDEX, target)
        assert caught.value.code in ("tag", "digest")
        assert it.registry.log == []


def test_a_manifest_under_another_digest_is_not_sent() -> None:
    with push_scene() as it:
        with pytest.raises(MalformedError) as caught:
            it.target.push_manifest(index(), OCI_INDEX, ABSENT)
        assert caught.value.code == "blob-digest"
        assert it.registry.log == []


@pytest.mark.parametrize("relative", [True, False])
def test_locations(relative: bool) -> None:
    writes = Writes()
    with push_scene(writes=writes) as it:
        base = "" if relative else it.registry.url
        writes.locations = lambda path: f"{base}{path}?_state=a%2Bb"
        item = thing(2 * MIB)
        it.target.push_blob(item.descriptor, item.content)
        assert it.holds(item)
        assert it.registry.asked("PUT", rf"\?_state=a%2Bb&digest={item.descriptor.digest}$")


def test_abilities() -> None:
    with push_scene() as it:
        assert it.target.abilities() == Abilities(referrers_api=True, is_certain=False)
        push_image(it)
        it.target.push_manifest(index(), OCI_INDEX, "1")
        assert it.target.abilities() == Abilities(referrers_api=True)
        assert {item.method for item in it.registry.log} & {"DELETE", "POST"} == {"POST"}
    with push_scene(referrers_api=False) as it:
        assert it.target.abilities() == Abilities(referrers_api=False)
        assert [item.method for item in it.registry.log if "referrers" in item.target] == ["GET"]
    with push_scene() as it:
        it.registry.on("/referrers/", lies.status(404, "NAME_UNKNOWN"))
        it.target.push_manifest(index(), OCI_INDEX, "1")
        assert it.target.abilities() == Abilities(referrers_api=False)


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lies.status(401), "registry-auth"),
        (lies.status(403, "DENIED"), "registry-denied"),
        (lies.status(500), "registry-server"),
        (lies.answer(200, b"{}", "application/json"), "registry-answer"),
        (lies.status(204), "registry-answer"),
    ],
)
def test_abilities_that_nobody_tells(lie: Any, code: str) -> None:
    with push_scene() as it:
        it.registry.on("/referrers/", lie)
        with pytest.raises(EnvError) as caught:
            it.target.abilities()
        assert caught.value.code == code


def test_a_registry_with_mirrors_is_written_to_itself() -> None:
    with Registry(writes=Writes()) as mirror:
        access = replace(QUICK, mirrors=(f"http://{mirror.host}",))
        with Registries(access, {}) as registries:
            target = Targets(registries).repository(parse_reference("docker.io/team/app"))
            assert target.endpoint == "registry-1.docker.io"
            assert not target.is_mirror
        assert mirror.log == []


def auth_file(folder: Path, host: str, user_name: str = "user", password: str = "pass") -> Access:
    """Access with a login for one host."""
    path = folder / "auth.json"
    token = base64.b64encode(f"{user_name}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": token}}}))
    return replace(QUICK, authfile=path)


@pytest.mark.parametrize("auth", [Basic("user", "pass"), Bearer("user", "pass")])
def test_logins(tmp_path: Path, auth: Basic | Bearer) -> None:
    writes = Writes()
    with Registry(auth=auth, writes=writes) as registry:
        access = auth_file(tmp_path, registry.host)
        with Registries(access, {}) as registries:
            targets = Targets(registries)
            base = targets.repository(parse_reference(f"{registry.host}/team/base"))
            item, small = thing(2 * MIB), thing(100, 1)
            base.push_blob(item.descriptor, item.content)
            target = targets.repository(parse_reference(f"{registry.host}/{NAME}"))
            assert target.push_blob(item.descriptor, item.content, mount_from=[base.name]) == "mounted"
            assert target.push_blob(small.descriptor, small.content) == "pushed"
            target.push_manifest(index(), OCI_INDEX, "1")
        unasked = [
            entry for entry in registry.log if "authorization" not in entry.headers and "/token" not in entry.target
        ]
        assert not [entry for entry in unasked if entry.method in ("PATCH", "PUT")]
        if isinstance(auth, Bearer):
            asked = [entry.target for entry in registry.log if entry.target.startswith("/token")]
            assert all("%3Apull%2Cpush" in target for target in asked)
            assert sum("scope=repository%3Ateam%2Fbase%3Apull&" in f"{target}&" for target in asked) == 1


def test_a_login_that_may_only_read(tmp_path: Path) -> None:
    with Registry(auth=Bearer("user", "pass", may_push=False), writes=Writes()) as registry:
        registry.repository(NAME)
        access = auth_file(tmp_path, registry.host)
        with Registries(access, {}) as registries:
            target = Targets(registries).repository(parse_reference(f"{registry.host}/{NAME}"))
            item = thing(100)
            assert target.find_manifest("1") is None
            with pytest.raises(EnvError) as caught:
                target.push_blob(item.descriptor, item.content)
        assert caught.value.code == "registry-auth"
        assert caught.value.hints


def test_over_tls(tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    access = replace(QUICK, tls_verify=True, cert_dir=authority.cert_dir(tmp_path / "certs"))
    with push_scene(access, tls=authority.server_context(authority.issue("registry"))) as it:
        item = thing(5 * MIB)
        it.target.push_blob(item.descriptor, item.content)
        assert it.holds(item)
