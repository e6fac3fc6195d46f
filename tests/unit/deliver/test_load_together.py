"""Several who load at once: registries have no "only if it is still that one" for tags, and docker-registry forgets for
a moment what another brings as well. Loads look again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bundler import limits
from bundler.deliver.verified import VerifiedBundle
from bundler.digest import sha256_of
from bundler.errors import SealiftError
from bundler.network.registry import Registries
from bundler.oci.annotations import format_fallback_tag
from bundler.oci.manifest import OCI_INDEX, OCI_MANIFEST
from tests.simulators.load_scene import QUICK, Delivery, Load, small_image
from tests.simulators.registry import Behaviour, Exchange, Registry, Store
from tests.simulators.registry_lies import answer, honest, status
from tests.simulators.registry_writes import Writes

REPOSITORY = "team/app"
OTHER = sha256_of(b"another's referrer")
SECONDS = 20
NOBODY = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % OCI_INDEX.encode()


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifiedBundle]:
    """The same image with one more referrer, from another exporter."""
    folder = tmp_path_factory.mktemp("more")
    image = small_image()
    image.refer(image.top, b"one more", "application/vnd.example.note")
    with Delivery.make(folder / "made", image=image).opened(folder / "state") as bundle:
        yield bundle


@pytest.fixture(scope="module")
def connections() -> Iterator[Registries]:
    with Registries(replace(QUICK, retries=2)) as opened:
        yield opened


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry(writes=Writes(takes_sparse=True), referrers_api=False) as running:
        yield running


@pytest.fixture
def tag(small: VerifiedBundle, more: VerifiedBundle) -> str:
    assert small.images[0].image.digest == more.images[0].image.digest
    return format_fallback_tag(small.images[0].image.digest)


def listed(store: Store, tag: str) -> set[str]:
    """Digests of the entries under a tag."""
    return {entry["digest"] for entry in json.loads(store.manifests[store.tags[tag]][0])["manifests"]}


def ours(bundle: VerifiedBundle) -> set[str]:
    """What a bundle says about its image by `subject`."""
    held = Load("127.0.0.1:1", bundle).placed[0].held
    documents = [(item.digest, item.subject) for item in held.all_documents]
    return {str(digest) for digest, subject in documents if subject and subject.digest == held.image.digest}


def put_other(store: Store, tag: str, *, keeps: bool) -> None:
    """Somebody else's index under the tag: with their entry, and with what is there or without."""
    there = json.loads(store.manifests[store.tags[tag]][0])["manifests"] if keeps and tag in store.tags else []
    entry = {"mediaType": OCI_MANIFEST, "digest": str(OTHER), "size": 7}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*there, entry]}
    store.put_manifest(json.dumps(index).encode(), OCI_INDEX, tag)


def test_two_loads_that_ask_before_either_sends(
    small: VerifiedBundle, more: VerifiedBundle, registry: Registry, connections: Registries, tag: str
) -> None:
    """The one that sends last takes the other's entry away; the other looks again, and adds it."""
    first_has_asked, second_is_done, second_may_look = (threading.Event() for _ in range(3))

    def hold(exchange: Exchange) -> None:
        first_has_asked.set()
        assert second_is_done.wait(SECONDS)
        exchange.send(exchange.normal())
        second_may_look.set()

    def pass_on(exchange: Exchange) -> None:
        exchange.send(exchange.normal())
        second_is_done.set()

    def look(exchange: Exchange) -> None:
        if second_is_done.is_set():
            assert second_may_look.wait(SECONDS)
        exchange.send(exchange.normal())

    registry.on(f"/manifests/{tag}$", honest, method="PUT")
    registry.on(f"/manifests/{tag}$", pass_on, method="PUT", times=1)
    registry.on(f"/manifests/{tag}$", hold, method="PUT", times=1)
    registry.on(f"/manifests/{tag}$", look, method="GET")
    with ThreadPoolExecutor(2) as pool, Registries(QUICK) as others:
        first = pool.submit(Load(registry.host, small, connections=connections).run)
        assert first_has_asked.wait(SECONDS)
        second = pool.submit(Load(registry.host, more, connections=others).run)
        assert tag in first.result(SECONDS).fallbacks_set
        loaded = second.result(SECONDS)
    assert loaded.fallbacks_set.count(tag) == 1
    assert len(registry.asked("PUT", f"/manifests/{tag}$")) == 3
    assert listed(registry.repository(REPOSITORY), tag) == ours(small) | ours(more)


def test_an_entry_that_another_takes_away_comes_back(
    small: VerifiedBundle, registry: Registry, connections: Registries, tag: str
) -> None:
    store = registry.repository(REPOSITORY)

    def overwrite(exchange: Exchange) -> None:
        reply = exchange.normal()
        put_other(store, tag, keeps=False)
        exchange.send(reply)

    registry.on(f"/manifests/{tag}$", overwrite, method="PUT", times=1)
    loaded = Load(registry.host, small, connections=connections).run()
    assert listed(store, tag) == ours(small) | {str(OTHER)}
    assert loaded.fallbacks_set.count(tag) == 1
    assert loaded.tags_set
    registry.reform()
    again = Load(registry.host, small, connections=connections).run()
    assert (again.documents_pushed, again.fallbacks_set) == (0, ())


def test_nobody_goes_on_for_ever(small: VerifiedBundle, registry: Registry, connections: Registries, tag: str) -> None:
    store = registry.repository(REPOSITORY)

    def overwrite(exchange: Exchange) -> None:
        reply = exchange.normal()
        put_other(store, tag, keeps=False)
        exchange.send(reply)

    registry.on(f"/manifests/{tag}$", overwrite, method="PUT")
    with pytest.raises(SealiftError) as caught:
        Load(registry.host, small, connections=connections).run()
    assert (caught.value.exit_code, caught.value.code) == (1, "load-lost")
    assert len(registry.asked("PUT", f"/manifests/{tag}$")) == limits.FALLBACK_LOOKS
    assert "1" not in store.tags


def others_add_at_first(registry: Registry, tag: str, answer_to_ours: Behaviour) -> None:
    """Ours is not taken the first time, and meanwhile somebody else adds an entry."""

    def behave(exchange: Exchange) -> None:
        put_other(registry.repository(REPOSITORY), tag, keeps=True)
        answer_to_ours(exchange)

    registry.on(f"/manifests/{tag}$", behave, method="PUT", times=1)


def test_what_others_add_while_a_registry_is_busy_stays(
    small: VerifiedBundle, registry: Registry, connections: Registries, tag: str
) -> None:
    """What is sent after a wait is made anew: the bytes from before would take the other's entry away for good."""
    others_add_at_first(registry, tag, status(429, "TOOMANYREQUESTS", Retry_After="0"))
    Load(registry.host, small, connections=connections).run()
    assert listed(registry.repository(REPOSITORY), tag) == ours(small) | {str(OTHER)}
    assert len(registry.asked("PUT", f"/manifests/{tag}$")) == 2


def test_an_index_that_cannot_be_added_to_after_a_wait(
    small: VerifiedBundle, registry: Registry, connections: Registries, tag: str
) -> None:
    store = registry.repository(REPOSITORY)

    def busy(exchange: Exchange) -> None:
        store.put_manifest(b'{"schemaVersion":2,"manifests":5}', OCI_INDEX, tag)
        status(503)(exchange)

    registry.on(f"/manifests/{tag}$", busy, method="PUT", times=1)
    with pytest.raises(SealiftError) as caught:
        Load(registry.host, small, connections=connections).run()
    assert caught.value.code == "load-fallback"
    assert store.tags == {tag: sha256_of(b'{"schemaVersion":2,"manifests":5}')}


# -- docker-registry writes the link to a blob or manifest anew when it comes once more, and lacks it meanwhile


@pytest.mark.parametrize(
    ("method", "what", "before", "lie"),
    [
        ("PUT", "/manifests/{image}$", 0, status(404, "MANIFEST_BLOB_UNKNOWN")),
        ("GET", "/manifests/{image}$", 1, status(404, "MANIFEST_UNKNOWN")),
        ("HEAD", "/blobs/{blob}$", 2, status(404)),
        ("GET", "/referrers/{image}$", 0, answer(200, NOBODY, OCI_INDEX)),
    ],
    ids=["blob of a manifest", "manifest", "blob", "list of referrers"],
)
def test_what_is_not_there_for_a_moment(
    small: VerifiedBundle, connections: Registries, method: str, what: str, before: int, lie: Behaviour
) -> None:
    """After so many questions of the plan and of who brings it: overlooked once; for ever, no image's tag is moved."""
    held = Load("127.0.0.1:1", small).placed[0].held
    pattern = what.format(image=held.image.digest, blob=next(iter(held.blobs())).digest)
    for times in (1, None):
        with Registry(writes=Writes()) as registry:
            registry.on(pattern, lie, method=method, times=times)
            registry.on(pattern, honest, method=method, times=before)
            load = Load(registry.host, small, connections=connections)
            if times:
                assert "1" in load.run().tags_set
            else:
                with pytest.raises(SealiftError):
                    load.run()
                assert "1" not in registry.repository(REPOSITORY).tags
            assert len(registry.asked(method, pattern)) == before + 2


def test_an_entry_that_is_not_there_for_a_moment(
    small: VerifiedBundle, registry: Registry, connections: Registries, tag: str
) -> None:
    """docker-registry takes no index whose entries it lacks; what is sent then is made anew as well."""
    store = registry.repository(REPOSITORY)
    others_add_at_first(registry, tag, status(400, "MANIFEST_BLOB_UNKNOWN"))
    Load(registry.host, small, connections=connections).run()
    assert listed(store, tag) == ours(small) | {str(OTHER)}
    registry.reform()
    del store.tags[tag]
    registry.on(f"/manifests/{tag}$", status(400, "MANIFEST_BLOB_UNKNOWN"), method="PUT")
    with pytest.raises(SealiftError) as caught:
        Load(registry.host, small, connections=connections).run()
    assert caught.value.code == "push-blob-unknown"
    assert len(registry.asked("PUT", f"/manifests/{tag}$")) == 2
