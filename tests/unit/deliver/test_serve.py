"""What the registry answers: the rows of the OCI distribution-spec for pull, content discovery and referrers.

The rows are those of the specification 1.1 ("Pull", "Content Discovery", "Listing Referrers", "Error Codes") and of its
conformance suite, in our own words; the suite itself runs in read-only mode against `sealift serve`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.archive.chunks import CHUNK_BYTES
from bundler.deliver.serve import Server
from bundler.digest import Digest, sha256_of
from bundler.oci.annotations import format_fallback_tag
from bundler.oci.descriptor import Descriptor
from tests.simulators.evidence_image import EvidenceImage, evidence_image
from tests.simulators.images import Layout, big_layer, layer
from tests.simulators.served import Reply, Scene, Wire, ask, with_sbom

NAME = "registry.example.org/team/app:1"
BIG = "registry.example.org/team/big:1"
ABSENT = Digest("sha256", "0" * 64)
INDEX = "application/vnd.oci.image.index.v1+json"
RAW_BYTES = 2 * CHUNK_BYTES + 12_345
FRAME_TEXT = b"compresses well. " * 700_000


class World:
    """A server with an image that has all evidence, and one with large layers."""

    def __init__(self, folder: Path) -> None:
        self.image: EvidenceImage = evidence_image()
        self.image.layout.write(folder / "app")
        self.big = Layout()
        made = self.big.image("linux/amd64", [big_layer(RAW_BYTES, 7), layer(FRAME_TEXT, seed=3)])
        with_sbom(self.big, made, BIG)
        self.big.write(folder / "big")
        self.big_manifest = json.loads(self.big.read(made.digest))
        self.scene = Scene(folder, trusted_root=self.image.sigstore.trusted_root_json())
        self.scene.add((folder / "app", NAME), (folder / "big", BIG))
        self.port = 0

    def get(self, target: str, method: str = "GET", **headers: str) -> Reply:
        return ask(self.port, f"/v2/{target}", method, **headers)

    def layer(self, number: int) -> Descriptor:
        found = self.big_manifest["layers"][number]
        return Descriptor(found["mediaType"], Digest("sha256", found["digest"][7:]), found["size"])

    def content(self, number: int) -> bytes:
        return b"".join(self.big.blobs[self.layer(number).digest].pieces())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("served"))
    with made.scene.serve() as server:
        made.port = server.address.port
        yield made


def is_sound(reply: Reply, digest: Digest) -> bool:
    return reply.is_whole and sha256_of(reply.body) == digest and reply.headers["docker-content-digest"] == str(digest)


# -- pull -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["", "/"])
def test_base(world: World, target: str) -> None:
    reply = ask(world.port, f"/v2{target}")
    assert (reply.status, reply.json()) == (200, {})
    assert reply.headers["docker-distribution-api-version"] == "registry/2.0"


def test_manifests_come_by_tag_and_by_digest(world: World) -> None:
    top = world.image.top
    for reference in ("1", str(top.digest)):
        reply = world.get(f"team/app/manifests/{reference}")
        assert (reply.status, reply.headers["content-type"]) == (200, top.media_type)
        assert is_sound(reply, top.digest)
        head = world.get(f"team/app/manifests/{reference}", "HEAD")
        assert (head.status, head.headers) == (200, reply.headers)


def test_every_document_and_blob_is_what_was_exported(world: World) -> None:
    with Wire(world.port) as wire:
        for digest in world.image.carried:
            raw = world.image.layout.read(digest)
            kind = "manifests" if raw.startswith(b'{"schemaVersion"') or b'"schemaVersion"' in raw[:200] else "blobs"
            reply = wire.send(f"GET /v2/team/app/{kind}/{digest} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).read()
            assert reply is not None
            assert (reply.status, reply.body) == (200, raw), (kind, digest)
            assert is_sound(reply, digest)


def test_nothing_is_converted_whatever_is_accepted(world: World) -> None:
    reply = world.get("team/app/manifests/1", Accept="application/vnd.docker.distribution.manifest.v1+json")
    assert (reply.status, reply.headers["content-type"]) == (200, world.image.top.media_type)
    assert is_sound(reply, world.image.top.digest)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("team/app/manifests/.INVALID_MANIFEST_NAME", 404),
        ("team/app/manifests/none", 404),
        (f"team/app/manifests/{ABSENT}", 404),
        (f"team/app/blobs/{ABSENT}", 404),
        ("not/there/manifests/1", 404),
        ("not/there/tags/list", 404),
        (f"not/there/blobs/{ABSENT}", 404),
        ("team/app/blobs/sha256:abc", 400),
        ("team/app/manifests/sha256:totallywrong", 400),
        ("team/app/blobs/latest", 400),
        ("Team/App/tags/list", 400),
    ],
)
def test_what_is_absent_or_odd(world: World, target: str, status: int, method: str) -> None:
    assert world.get(target, method).status == status


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("team/app/manifests/none", "MANIFEST_UNKNOWN"),
        (f"team/app/blobs/{ABSENT}", "BLOB_UNKNOWN"),
        ("not/there/manifests/1", "NAME_UNKNOWN"),
        ("team/app/blobs/sha256:abc", "DIGEST_INVALID"),
        ("Team/App/tags/list", "NAME_INVALID"),
        ("elsewhere", "UNSUPPORTED"),
        ("_catalog?n=x", "UNSUPPORTED"),
    ],
)
def test_errors_have_the_specifications_form(world: World, target: str, code: str) -> None:
    reply = world.get(target)
    assert (reply.code, reply.headers["content-type"]) == (code, "application/json")
    assert set(reply.json()["errors"][0]) == {"code", "message", "detail"}


def test_a_blob_of_another_repository_is_not_here(world: World) -> None:
    reply = world.get(f"team/app/blobs/{world.layer(0).digest}")
    assert (reply.status, reply.code) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_nothing_can_be_written(world: World, method: str) -> None:
    for target in ("team/app/manifests/1", f"team/app/blobs/{ABSENT}", "team/app/blobs/uploads/", "_catalog"):
        reply = world.get(target, method)
        assert (reply.status, reply.code, reply.headers["allow"]) == (405, "UNSUPPORTED", "GET, HEAD")


def test_a_push_of_something_odd_is_told_before_that_it_is_a_push(world: World) -> None:
    with Wire(world.port) as wire:
        head = "PUT /v2/team/app/manifests/sha256:totallywrong HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nblah"
        reply = wire.send(head.encode()).read()
        assert reply is not None
        assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
        assert wire.is_ended()


def test_a_tag_that_is_known_already(world: World) -> None:
    for target, digest in (
        ("team/app/manifests/1", world.image.top.digest),
        (f"team/big/blobs/{world.layer(0).digest}", world.layer(0).digest),
    ):
        for tags in (f'"{digest}"', f'"x", W/"{digest}"', "*"):
            reply = world.get(target, If_None_Match=tags)
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", f'"{digest}"')
        assert world.get(target, If_None_Match=f'"{ABSENT}"').status == 200


# -- blobs in parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_large_blobs_come_whole(world: World, number: int) -> None:
    blob = world.layer(number)
    reply = world.get(f"team/big/blobs/{blob.digest}")
    assert (reply.status, len(reply.body)) == (200, blob.size_bytes)
    assert is_sound(reply, blob.digest)
    assert (reply.headers["content-type"], reply.headers["accept-ranges"]) == ("application/octet-stream", "bytes")
    head = world.get(f"team/big/blobs/{blob.digest}", "HEAD", Range="bytes=0-1")
    assert (head.status, head.headers) == (200, reply.headers)


def test_layers_are_stored_in_both_ways(world: World) -> None:
    with world.scene.open() as held:
        assert held[0].bundle is not None
        stored = {blob.digest: blob.stored for blob in held[0].bundle.inventory.blobs}
    assert [stored[world.layer(number).digest] for number in (0, 1)] == ["raw", "zstd"]


EDGES = (0, 1, 4095, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, RAW_BYTES - 1, RAW_BYTES)


@pytest.mark.parametrize("number", [0, 1])
def test_a_sweep_of_ranges(world: World, number: int) -> None:
    content, digest = world.content(number), world.layer(number).digest
    with Wire(world.port) as wire:
        for start in EDGES:
            for end in EDGES:
                if start < end <= len(content):
                    reply = part(wire, digest, f"bytes={start}-{end - 1}")
                    assert (reply.status, reply.body) == (206, content[start:end]), (start, end)
                    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"


@pytest.mark.parametrize("number", [0, 1])
def test_a_pull_that_goes_on_where_it_stopped(world: World, number: int) -> None:
    content, digest = world.content(number), world.layer(number).digest
    step = len(content) // 7
    got = b""
    while len(got) < len(content):
        with Wire(world.port) as wire:
            got += part(wire, digest, f"bytes={len(got)}-{len(got) + step}").body
    assert got == content


def part(wire: Wire, digest: Digest, wanted: str) -> Reply:
    head = f"GET /v2/team/big/blobs/{digest} HTTP/1.1\r\nHost: a\r\nRange: {wanted}\r\n\r\n"
    reply = wire.send(head.encode()).read()
    assert reply is not None
    assert reply.is_whole
    return reply


def test_ranges_without_bytes(world: World) -> None:
    blob = world.layer(0)
    reply = world.get(f"team/big/blobs/{blob.digest}", Range=f"bytes={blob.size_bytes}-")
    assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{blob.size_bytes}")


def test_if_range(world: World) -> None:
    digest = world.image.amd64.digest
    manifest = json.loads(world.image.layout.read(digest))
    config = manifest["config"]["digest"]
    whole = world.get(f"team/app/blobs/{config}", Range="bytes=0-1", If_Range='"other"')
    some = world.get(f"team/app/blobs/{config}", Range="bytes=0-1", If_Range=f'"{config}"')
    assert (whole.status, some.status, len(some.body)) == (200, 206, 2)
    assert sha256_of(whole.body) == Digest("sha256", config[7:])


def test_a_range_of_a_manifest_is_ignored(world: World) -> None:
    reply = world.get("team/app/manifests/1", Range="bytes=0-1")
    assert reply.status == 200
    assert is_sound(reply, world.image.top.digest)


# -- content discovery ------------------------------------------------------------------------------------------------


def tags_of(reply: Reply) -> list[str]:
    return [str(tag) for tag in reply.json()["tags"]]


def test_tags_are_listed_in_order(world: World) -> None:
    reply = world.get("team/app/tags/list")
    tags = tags_of(reply)
    assert (reply.status, reply.json()["name"]) == (200, "team/app")
    assert "1" in tags
    assert tags == sorted(tags)
    assert len(tags) == 1 + sum(kind.startswith("cosign-") for kind, *_ in world.image.evidence)
    assert not [tag for tag in tags if tag.startswith("sha256-") and "." not in tag]
    assert world.get("team/app/tags/list", "HEAD").status == 200


def test_tags_in_pages(world: World) -> None:
    every = tags_of(world.get("team/app/tags/list"))
    got: list[str] = []
    target = "team/app/tags/list?n=2"
    while True:
        reply = world.get(target)
        assert reply.status == 200
        assert len(tags_of(reply)) <= 2
        got += tags_of(reply)
        if "link" not in reply.headers:
            break
        link = reply.headers["link"]
        assert link.startswith("</v2/")
        assert link.endswith('>; rel="next"')
        target = link.removeprefix("</v2/").removesuffix('>; rel="next"')
    assert got == every
    assert tags_of(world.get(f"team/app/tags/list?last={every[2]}")) == every[3:]
    assert tags_of(world.get(f"team/app/tags/list?n=2&last={every[0]}")) == every[1:3]
    assert tags_of(world.get("team/app/tags/list?n=0")) == []
    assert "link" not in world.get("team/app/tags/list?n=0").headers
    assert tags_of(world.get("team/app/tags/list?last=~")) == []


def test_the_catalog_has_each_repository_once(world: World) -> None:
    assert world.get("_catalog").json() == {"repositories": ["team/app", "team/big"]}
    first = world.get("_catalog?n=1")
    assert (first.json(), first.headers["link"]) == (
        {"repositories": ["team/app"]},
        '</v2/_catalog?n=1&last=team%2Fapp>; rel="next"',
    )
    assert world.get("_catalog?last=team/app").json() == {"repositories": ["team/big"]}
    assert world.get("_catalog?ns=registry.example.org").json() == {"repositories": ["team/app", "team/big"]}
    assert world.get("_catalog?ns=docker.io").json() == {"repositories": []}


# -- referrers --------------------------------------------------------------------------------------------------------


def listed(reply: Reply) -> list[dict[str, Any]]:
    document = reply.json()
    assert (reply.status, reply.headers["content-type"]) == (200, INDEX)
    assert (document["schemaVersion"], document["mediaType"]) == (2, INDEX)
    return list(document["manifests"])


def test_referrers_of_every_subject(world: World) -> None:
    image = world.image
    for subject, wanted in image.listed.items():
        found = listed(world.get(f"team/app/referrers/{subject}"))
        assert {entry["digest"] for entry in found} >= {str(item.digest) for item in wanted}
        for entry in found:
            raw = image.layout.read(Digest("sha256", entry["digest"][7:]))
            document = json.loads(raw)
            assert document["subject"]["digest"] == str(subject)
            assert (entry["size"], entry["mediaType"]) == (len(raw), document["mediaType"])
            assert entry["artifactType"] == document.get("artifactType", document.get("config", {}).get("mediaType"))


def test_referrers_by_type(world: World) -> None:
    subject = world.image.top.digest
    every = listed(world.get(f"team/app/referrers/{subject}"))
    for kind in {entry["artifactType"] for entry in every}:
        for spelled in (kind, kind.replace("/", "%2F").replace("+", "%2B")):
            reply = world.get(f"team/app/referrers/{subject}?artifactType={spelled}")
            assert reply.headers["oci-filters-applied"] == "artifactType"
            assert listed(reply) == [entry for entry in every if entry["artifactType"] == kind]
    assert listed(world.get(f"team/app/referrers/{subject}?artifactType=application/none")) == []
    assert "oci-filters-applied" not in world.get(f"team/app/referrers/{subject}").headers


def test_referrers_of_nothing(world: World) -> None:
    assert listed(world.get(f"team/app/referrers/{ABSENT}")) == []
    assert world.get("team/app/referrers/sha256:abc").code == "DIGEST_INVALID"
    assert world.get(f"not/there/referrers/{ABSENT}").code == "NAME_UNKNOWN"


def test_the_fallback_tag_says_the_same(world: World) -> None:
    subject = world.image.top.digest
    reply = world.get(f"team/app/manifests/{format_fallback_tag(subject)}")
    assert reply.headers["content-type"] == INDEX
    assert listed(reply) == listed(world.get(f"team/app/referrers/{subject}"))
    again = world.get(f"team/app/manifests/{reply.headers['docker-content-digest']}")
    assert (again.status, again.body) == (200, reply.body)
    assert world.get(f"team/app/manifests/{format_fallback_tag(ABSENT)}").status == 404


def test_many_referrers_come_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.SERVE_REFERRERS_BYTES", 300)
    subject = world.image.top.digest
    got: list[str] = []
    target = f"team/app/referrers/{subject}"
    for _ in range(20):
        reply = world.get(target)
        got += [entry["digest"] for entry in listed(reply)]
        if "link" not in reply.headers:
            break
        target = reply.headers["link"].removeprefix("</v2/").removesuffix('>; rel="next"')
    monkeypatch.undo()
    assert got == [entry["digest"] for entry in listed(world.get(f"team/app/referrers/{subject}"))]
    assert len(got) > 1


# -- names ------------------------------------------------------------------------------------------------------------


def test_names_short_full_and_by_namespace(world: World) -> None:
    for target in (
        "team/app/manifests/1",
        "registry.example.org/team/app/manifests/1",
        "team/app/manifests/1?ns=registry.example.org",
        "registry.example.org/team/app/manifests/1?ns=registry.example.org",
    ):
        assert is_sound(world.get(target), world.image.top.digest), target
    assert world.get("team/app/manifests/1?ns=docker.io").code == "NAME_UNKNOWN"


def test_health(world: World) -> None:
    reply = ask(world.port, "/healthz")
    assert (reply.status, reply.json()) == (200, {"status": "serving"})


def test_browsers_run_nothing(world: World) -> None:
    for target in ("/v2/", "/v2/team/app/manifests/1", "/", f"/v2/team/big/blobs/{world.layer(0).digest}"):
        headers = ask(world.port, target, "HEAD").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; sandbox"


# -- several bundles --------------------------------------------------------------------------------------------------


def made(folder: Path, name: str, seed: int) -> tuple[tuple[Path, str], Digest]:
    layout = Layout()
    image = with_sbom(layout, layout.image("linux/amd64", [layer(b"x", seed=seed)]), name)
    path = layout.write(folder / f"layout-{seed}")
    return (path, name), image.digest


def digest_of(server: Server, target: str) -> str | None:
    reply = ask(server.address.port, f"/v2/{target}")
    return reply.headers.get("docker-content-digest")


def test_the_newest_delivery_says_what_a_tag_means(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    old, first = made(tmp_path, "registry.example.org/app:1", 1)
    new, second = made(tmp_path, "registry.example.org/app:1", 2)
    scene.add(old)
    scene.add(new)
    with scene.open():
        pass
    for files in (scene.files, scene.files[::-1]):
        with scene.serve(*files, historic=True) as server:
            assert digest_of(server, "app/manifests/1") == str(second)
            assert digest_of(server, f"app/manifests/{first}") == str(first)
            assert [offer.digest for offer in server.offers] == [second]


def test_the_same_path_of_two_registries(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    one, first = made(tmp_path, "registry.example.org/app:1", 1)
    two, second = made(tmp_path, "127.0.0.1:5000/app:1", 2)
    scene.add(one, two)
    with scene.serve() as server:
        reply = ask(server.address.port, "/v2/app/manifests/1")
        assert (reply.status, reply.code) == (404, "NAME_UNKNOWN")
        assert "127.0.0.1_5000/app" in reply.json()["errors"][0]["message"]
        assert digest_of(server, "registry.example.org/app/manifests/1") == str(first)
        assert digest_of(server, "127.0.0.1_5000/app/manifests/1") == str(second)
        assert digest_of(server, "app/manifests/1?ns=127.0.0.1:5000") == str(second)
        assert {offer.path for offer in server.offers} == {"registry.example.org/app", "127.0.0.1_5000/app"}
