"""Target registries that lie, refuse or fail (THREATS S5 to S7, F19): each with its exit code and reason.

In every case: nothing but an error of ours is raised, and no image's tag was moved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bundler.deliver.load_names import Naming
from bundler.deliver.load_registry import Terms
from bundler.deliver.load_sparse import DERIVED_FROM
from bundler.deliver.verified import VerifiedBundle
from bundler.digest import sha256_of
from bundler.errors import SealiftError
from bundler.network.registry import Registries
from bundler.oci.annotations import format_fallback_tag
from bundler.oci.descriptor import Platform
from bundler.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, ImageIndex, parse_manifest
from tests.simulators.load_scene import NAME, QUICK, Delivery, Load, found, untyped_image
from tests.simulators.registry import Exchange, Registry, Reply
from tests.simulators.registry_lies import (
    absent_in_other_words,
    answer,
    endless_body,
    endless_headers,
    gibberish,
    header,
    honest,
    other_bytes,
    redirect,
    reset_after,
    stall,
    status,
    truncated_document,
)
from tests.simulators.registry_writes import Writes

REPOSITORY = "team/app"
NOTHING = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % OCI_INDEX.encode()
OTHER = sha256_of(b"another")
MANIFEST_PUT, OWN_TAG, UPLOAD = r"/manifests/sha256:", r"/manifests/1$", r"/blobs/uploads/"
STORED = r"/blobs/uploads/.*digest="

Setup = Callable[[Registry, Writes], None]


@pytest.fixture(scope="module")
def connections() -> Iterator[Registries]:
    with Registries(QUICK) as opened:
        yield opened


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifiedBundle]:
    """An image of which one platform was left at home, under two tags."""
    folder = tmp_path_factory.mktemp("sparse")
    names = (NAME, NAME.replace(":1", ":stable"))
    made = Delivery.make(folder / "made", Platform("linux", "amd64"), names=names)
    with made.opened(folder / "state") as bundle:
        yield bundle


def respelt(raw: bytes) -> bytes:
    return json.dumps(json.loads(raw), indent=1).encode()


def writing(**options: object) -> Setup:
    """A registry with other options."""

    def prepare(_: Registry, writes: Writes) -> None:
        for name, value in options.items():
            setattr(writes, name, value)

    return prepare


def on(pattern: str, behaviour: Callable[[Exchange], None], method: str | None = None, after: int = 0) -> Setup:
    """A behaviour from the `after`th such request on."""

    def prepare(registry: Registry, _: Writes) -> None:
        registry.on(pattern, behaviour, method=method)
        if after:
            registry.on(pattern, honest, method=method, times=after)

    return prepare


def both(*setups: Setup) -> Setup:
    def prepare(registry: Registry, writes: Writes) -> None:
        for setup in setups:
            setup(registry, writes)

    return prepare


def said_but_not_done(exchange: Exchange) -> None:
    exchange.send(Reply(201, {"Location": exchange.path}))


def forgetting_a_manifest(exchange: Exchange) -> None:
    """Takes a manifest, and another one is gone."""
    reply = exchange.normal()
    store = exchange.registry.repository(REPOSITORY)
    store.manifests.pop(next(iter(store.manifests)))
    exchange.send(reply)


def moving_the_tag(exchange: Exchange) -> None:
    """Somebody else sets the image's tag while blobs are brought."""
    exchange.registry.repository(REPOSITORY).put_manifest(b'{"schemaVersion":2,"manifests":[]}', OCI_INDEX, "1")
    exchange.send(exchange.normal())


def pinned_subject(exchange: Exchange) -> None:
    reply = exchange.normal()
    reply.headers["OCI-Subject"] = str(OTHER)
    exchange.send(reply)


TABLE: dict[str, tuple[Setup, int, str]] = {
    # What was stored
    "re-serialises manifests": (writing(change=respelt), 6, "push-changed"),
    "re-serialises, and says the digest that was sent": (
        writing(change=respelt, says_sent_digest=True),
        1,
        "load-lost",
    ),
    "drops blobs": (writing(drops_blobs=True), 6, "push-blob-unknown"),
    "drops blobs, and takes manifests without": (writing(drops_blobs=True, takes_absent_parts=True), 1, "load-lost"),
    "says 201 to manifests and keeps none": (on(MANIFEST_PUT, said_but_not_done, "PUT"), 1, "load-lost"),
    "loses a manifest later": (on(MANIFEST_PUT, forgetting_a_manifest, "PUT", after=4), 1, "load-lost"),
    "gives manifests with other bytes": (on(MANIFEST_PUT, other_bytes, "GET", after=5), 6, "registry-answer"),
    "gives half of a manifest": (on(MANIFEST_PUT, truncated_document, "GET", after=5), 6, "registry-answer"),
    "gives manifests as another type": (
        on(MANIFEST_PUT, header("Content-Type", OCI_INDEX), "GET", after=5),
        6,
        "registry-answer",
    ),
    "says another digest of a manifest": (
        on(MANIFEST_PUT, header("Docker-Content-Digest", str(OTHER)), "PUT"),
        6,
        "push-changed",
    ),
    "says another digest of a blob": (
        on(STORED, header("Docker-Content-Digest", str(OTHER)), "PUT"),
        6,
        "push-changed",
    ),
    "has blobs of another size": (on(r"/blobs/sha256:", header("Content-Length", "3"), "HEAD"), 1, "load-lost"),
    "forgets referrers": (on(r"/referrers/", answer(200, NOTHING, OCI_INDEX)), 1, "load-lost"),
    "lists a manifest as a referrer of another": (on(MANIFEST_PUT, pinned_subject, "PUT"), 6, "registry-answer"),
    "sets evidence tags to nothing": (on(r"/manifests/sha256-", said_but_not_done, "PUT"), 1, "load-lost"),
    "sets the tag to nothing": (on(OWN_TAG, said_but_not_done, "PUT"), 1, "load-lost"),
    # What it refuses
    "is read-only": (writing(is_read_only=True), 6, "push-refused"),
    "denies": (writing(is_denied=True), 6, "registry-denied"),
    "is full": (writing(quota_bytes=500), 6, "registry-denied"),
    "takes no nested names": (writing(name_parts=1), 6, "push-name"),
    "takes no manifests": (on(MANIFEST_PUT, status(400, "MANIFEST_INVALID"), "PUT"), 6, "push-refused"),
    "takes no manifests of this size": (on(MANIFEST_PUT, status(413), "PUT"), 6, "push-refused"),
    "takes no tags": (on(OWN_TAG, status(409, "TAG_INVALID"), "PUT"), 6, "push-refused"),
    "401 midway": (on(MANIFEST_PUT, status(401, "UNAUTHORIZED"), "PUT", after=2), 6, "registry-auth"),
    "403 midway": (on(MANIFEST_PUT, status(403, "DENIED"), "PUT", after=2), 6, "registry-denied"),
    "403 at the tag": (on(OWN_TAG, status(403, "DENIED"), "PUT"), 6, "registry-denied"),
    "404 to questions about uploads": (on(UPLOAD, status(404, "BLOB_UPLOAD_UNKNOWN")), 6, "push-refused"),
    # How it fails
    "429": (on(MANIFEST_PUT, status(429, "TOOMANYREQUESTS"), "PUT", after=1), 6, "registry-busy"),
    "429 at uploads": (on(UPLOAD, status(429, "TOOMANYREQUESTS"), "POST", after=1), 6, "registry-busy"),
    "500 at a manifest": (on(MANIFEST_PUT, status(500), "PUT", after=1), 6, "registry-server"),
    "503 at a blob": (on(STORED, status(503), "PUT", after=1), 6, "registry-server"),
    "500 at the question for referrers": (on(r"/referrers/", status(500)), 6, "registry-server"),
    "500 at the tag": (on(OWN_TAG, status(500), "PUT"), 6, "registry-server"),
    "no HTTP": (on(UPLOAD, gibberish), 6, "registry-answer"),
    "headers without end": (on(UPLOAD, endless_headers, "POST"), 6, "registry-answer"),
    "a manifest without end": (on(OWN_TAG, endless_body, "GET"), 6, "registry-answer"),
    "an upload without answer": (on(STORED, stall, "PUT"), 6, "stalled"),
    "an answer that breaks off": (on(MANIFEST_PUT, reset_after(10), "GET", after=5), 6, "connection-lost"),
    "sends manifests elsewhere": (on(MANIFEST_PUT, redirect("/elsewhere"), "PUT"), 6, "registry-redirect"),
    # Somebody else
    "the tag is set meanwhile": (on(UPLOAD, moving_the_tag, "POST"), 1, "tag-conflict"),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_registry_that(case: str, small: VerifiedBundle, connections: Registries) -> None:
    prepare, exit_code, reason = TABLE[case]
    writes = Writes()
    with Registry(writes=writes) as registry:
        prepare(registry, writes)
        with pytest.raises(SealiftError) as caught:
            Load(registry.host, small, connections=connections).run(Terms(jobs=1))
        assert (caught.value.exit_code, caught.value.code) == (exit_code, reason), caught.value
        own = registry.repository(REPOSITORY).tags.get("1")
        assert own != small.images[0].image.digest
        assert not registry.asked("DELETE", "/manifests/")


def test_a_tag_that_the_registry_keeps(small: VerifiedBundle, connections: Registries) -> None:
    """`--overwrite-tags` asks for it; a registry with immutable tags says no."""
    with Registry(writes=Writes(keeps_tags=True)) as registry:
        there = registry.repository(REPOSITORY).put_manifest(b'{"schemaVersion":2,"manifests":[]}', OCI_INDEX, "1")
        load = Load(registry.host, small, connections=connections)
        with pytest.raises(SealiftError) as caught:
            load.run(Terms())
        assert caught.value.code == "tag-conflict"
        assert not registry.asked("POST", "")
        with pytest.raises(SealiftError) as caught:
            load.run(Terms(overwrite_tags=True))
        assert caught.value.code == "push-refused"
        assert registry.repository(REPOSITORY).tags["1"] == there.digest


FOREIGN: dict[str, tuple[bytes, str]] = {
    "an image": (b'{"schemaVersion":2,"config":{"mediaType":"x/y","digest":"%s","size":1},"layers":[]}', OCI_MANIFEST),
    "a Docker list": (b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % DOCKER_LIST.encode(), DOCKER_LIST),
    "no list": (b'{"schemaVersion":2,"manifests":5}', OCI_INDEX),
    "a list of numbers": (b'{"schemaVersion":2,"manifests":[5]}', OCI_INDEX),
    "an entry without digest": (b'{"schemaVersion":2,"manifests":[{"mediaType":"x/y","size":1}]}', OCI_INDEX),
    "a digest that is a list": (
        b'{"schemaVersion":2,"manifests":[{"mediaType":"x/y","size":1,"digest":[]}]}',
        OCI_INDEX,
    ),
    "an object for a list": (b'{"schemaVersion":2,"manifests":{"digest":1}}', OCI_INDEX),
    "two kinds at once": (b'{"schemaVersion":2,"manifests":[],"layers":[]}', OCI_INDEX),
}


@pytest.mark.parametrize("referrers_api", [True, False])
def test_a_registry_that_says_absent_in_other_words(
    small: VerifiedBundle, connections: Registries, *, referrers_api: bool
) -> None:
    """Harbor's NOT_FOUND for all that is not there yet; and no tag is taken for free that is not."""
    with Registry(writes=Writes(), referrers_api=referrers_api) as registry:
        registry.on("/manifests/", absent_in_other_words, method="GET")
        load = Load(registry.host, small, connections=connections)
        assert "1" in load.run().tags_set
        assert load.run().documents_pushed == 0
        store = registry.repository(REPOSITORY)
        there = store.put_manifest(NOTHING, OCI_INDEX, "1")
        with pytest.raises(SealiftError) as caught:
            load.run()
        assert caught.value.code == "tag-conflict"
        assert store.tags["1"] == there.digest


@pytest.mark.parametrize("case", FOREIGN)
def test_what_stands_under_a_fallback_tag(case: str, small: VerifiedBundle, connections: Registries) -> None:
    raw, media_type = FOREIGN[case]
    with Registry(writes=Writes(), referrers_api=False) as registry:
        tag = format_fallback_tag(small.images[0].image.digest)
        there = registry.repository(REPOSITORY).put_manifest(raw.replace(b"%s", str(OTHER).encode()), media_type, tag)
        with pytest.raises(SealiftError) as caught:
            Load(registry.host, small, connections=connections).run()
        assert (caught.value.exit_code, caught.value.code) == (1, "load-fallback")
        assert registry.repository(REPOSITORY).tags == {tag: there.digest}
        assert not registry.asked("POST", "")


def test_entries_and_fields_of_others_under_a_fallback_tag_stay(small: VerifiedBundle, connections: Registries) -> None:
    entry = {"mediaType": OCI_MANIFEST, "digest": str(OTHER), "size": 7, "annotations": {"whose": "another's"}}
    index = {"schemaVersion": 2, "manifests": [entry], "annotations": {"made.by": "another"}}
    with Registry(writes=Writes(takes_sparse=True), referrers_api=False) as registry:
        store = registry.repository(REPOSITORY)
        tag = format_fallback_tag(small.images[0].image.digest)
        store.put_manifest(json.dumps(index).encode(), OCI_INDEX, tag)
        load = Load(registry.host, small, connections=connections)
        assert tag in load.run().fallbacks_set
        after = json.loads(store.manifests[store.tags[tag]][0])
        assert (after["manifests"][0], after["annotations"]) == (entry, index["annotations"])
        assert len(after["manifests"]) > 1
        assert load.run().fallbacks_set == ()


def test_an_index_under_a_fallback_tag_without_room(small: VerifiedBundle, connections: Registries) -> None:
    padding = {"schemaVersion": 2, "manifests": [], "annotations": {"x": "y" * (4 * 1024 * 1024 - 100)}}
    with Registry(writes=Writes(), referrers_api=False) as registry:
        tag = format_fallback_tag(small.images[0].image.digest)
        registry.repository(REPOSITORY).put_manifest(json.dumps(padding).encode(), OCI_INDEX, tag)
        with pytest.raises(SealiftError) as caught:
            Load(registry.host, small, connections=connections).run()
        assert caught.value.code == "load-fallback"


def test_a_sparse_index_stays_as_it_is_where_it_is_taken(sparse: VerifiedBundle, connections: Registries) -> None:
    with Registry(writes=Writes(takes_sparse=True)) as registry:
        first, second = Load(registry.host, sparse, connections=connections).run_all()
        original = sparse.images[0].image.digest
        assert (first.digest, second.digest) == (original, original)
        assert not first.derived.indexes
        tags = registry.repository(REPOSITORY).tags
        assert (tags["1"], tags["stable"]) == (original, original)


@pytest.mark.parametrize(
    "refusal",
    [None, status(400, "MANIFEST_INVALID", "manifest invalid"), status(404, "MANIFEST_UNKNOWN")],
    ids=["names the child", "calls it invalid", "calls the child unknown"],
)
def test_a_sparse_index_that_is_refused(
    sparse: VerifiedBundle, connections: Registries, refusal: Callable[[Exchange], None] | None
) -> None:
    original = sparse.images[0].image.digest
    with Registry(writes=Writes(takes_sparse=refusal is not None)) as registry:
        if refusal is not None:
            registry.on(f"/manifests/{original}", refusal, method="PUT")
        load = Load(registry.host, sparse, connections=connections)
        with pytest.raises(SealiftError) as caught:
            load.run_all()
        assert (caught.value.exit_code, caught.value.code) == (1, "load-sparse")
        assert not registry.repository(REPOSITORY).tags

        loaded = load.run_all(Terms(derive_sparse=True))
        store = registry.repository(REPOSITORY)
        (digest,) = {item.digest for item in loaded}
        assert {store.tags["1"], store.tags["stable"]} == {digest} != {original}
        derived = parse_manifest(*store.manifests[digest])
        assert isinstance(derived, ImageIndex)
        assert derived.annotations[DERIVED_FROM] == str(original)
        assert {child.digest for child in derived.manifests} <= store.manifests.keys()
        before = found(store)
        assert [item.documents_pushed for item in load.run_all(Terms(derive_sparse=True))] == [0, 0]
        assert found(store) == before


def test_what_has_nothing_to_do_with_the_sparse_index_is_told_as_it_is(
    sparse: VerifiedBundle, connections: Registries
) -> None:
    with Registry(writes=Writes(drops_blobs=True)) as registry, pytest.raises(SealiftError) as caught:
        Load(registry.host, sparse, connections=connections).run_all(Terms(derive_sparse=True))
    assert caught.value.code == "push-blob-unknown"


def test_a_manifest_that_only_its_type_tells_apart(tmp_path: Path, connections: Registries) -> None:
    """It holds no type of its own, so the registry's word is the only one, and nothing but a comparison catches it."""
    made = Delivery.make(tmp_path / "made", image=untyped_image())
    with made.opened(tmp_path / "state") as bundle, Registry(writes=Writes()) as registry:
        load = Load(registry.host, bundle, connections=connections)
        own = f"/manifests/{bundle.images[0].image.digest}"
        registry.on(own, header("Content-Type", DOCKER_MANIFEST), method="GET")
        with pytest.raises(SealiftError) as caught:
            load.run()
        assert (caught.value.exit_code, caught.value.code) == (1, "load-lost")
        assert not registry.repository(REPOSITORY).tags
        registry.reform()
        assert load.run().tags_set


def test_blobs_with_other_bytes(small: VerifiedBundle, connections: Registries) -> None:
    """By presence and size they look right; `--compare-blobs` reads them."""
    with Registry(writes=Writes()) as registry:
        load = Load(registry.host, small, connections=connections)
        registry.on(r"/blobs/sha256:", other_bytes, method="GET")
        assert load.run().tags_set
        with pytest.raises(SealiftError) as caught:
            load.run(Terms(compare_blobs=True))
        assert (caught.value.exit_code, caught.value.code) == (1, "load-lost")
        registry.reform()
        load.run(Terms(compare_blobs=True))
        read = {item.target.rpartition("/")[2] for item in registry.asked("GET", "/blobs/")}
        assert read == {str(blob.digest) for blob in small.images[0].blobs()}


def test_names_that_the_site_typed(small: VerifiedBundle, connections: Registries) -> None:
    with Registry(writes=Writes()) as registry:
        naming = Naming(rewrites=(("registry.example.org/team", "line/3"),))
        loaded = Load(registry.host, small, "mirror", naming=naming, connections=connections).run()
        assert str(loaded.planned.placed.name) == f"{registry.host}/mirror/line/3/app:1"
        assert [name for name, store in registry.repositories.items() if store.tags] == ["mirror/line/3/app"]
