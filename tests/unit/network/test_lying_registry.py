"""Registries that lie, drip, drop and lead astray (THREATS E1 to E5, F19): each ends in a code, and none hangs us."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from bundler.errors import SealiftError
from bundler.network.registry import FetchedManifest
from bundler.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, parse_manifest
from tests.simulators import registry_lies as lies
from tests.simulators.registry import Behaviour, Exchange, Registry
from tests.simulators.registry_scene import FOR_LIES, QUICK, Scene, referrer, scene

PATIENT = replace(QUICK, retries=1)
SIGNATURE = "sha256-" + "0" * 64 + ".sig"
OTHER_SIDE = "http://localhost:1/v2/team/app/manifests/1"

Question = Callable[[Scene], object]


def by_tag(it: Scene) -> object:
    return it.repository.get_manifest("1")


def by_digest(it: Scene) -> object:
    return it.repository.get_manifest(str(it.image.digest))


def evidence(it: Scene) -> object:
    return it.repository.find_manifest(SIGNATURE)


def elsewhere(it: Scene) -> object:
    return it.repository.find_manifest(SIGNATURE, served=False)


def referrers(it: Scene) -> object:
    return it.repository.referrers(it.image.digest)


def tags(it: Scene) -> object:
    return it.repository.tags()


def whole_blob(it: Scene) -> object:
    with it.repository.open_blob(it.blob) as stream:
        return read_all(stream.read)


def rest_of_blob(it: Scene) -> object:
    with it.repository.open_blob(it.blob, offset=100) as stream:
        return read_all(stream.read)


def small_blob(it: Scene) -> object:
    return it.repository.read_blob(it.blob, 1 << 20)


def has_blob(it: Scene) -> object:
    return it.repository.has_blob(it.blob)


def read_all(read: Callable[[int], bytes]) -> bytes:
    raw = b""
    while piece := read(4096):
        raw += piece
    return raw


@dataclass(frozen=True)
class Lie:
    """A behaviour, the questions that it is told to, and the code that each must end in."""

    name: str
    behaviour: Behaviour
    questions: tuple[Question, ...]
    code: str


def index_page(*entries: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}).encode()


MANIFESTS = (by_tag, by_digest, evidence)
LISTS = (referrers, tags)
BLOBS = (whole_blob, rest_of_blob, small_blob)
ALL = MANIFESTS + LISTS + BLOBS
LONG = ", ".join(["Basic"] * 4000)

LIES = [
    # Absence that is none (issue: "Absent is HTTP status 404, and only that").
    Lie("400 MANIFEST_UNKNOWN", lies.status(400, "MANIFEST_UNKNOWN"), (*MANIFESTS, referrers), "registry-answer"),
    Lie("403 MANIFEST_UNKNOWN", lies.status(403, "MANIFEST_UNKNOWN"), ALL, "registry-denied"),
    Lie("401 MANIFEST_UNKNOWN", lies.status(401, "MANIFEST_UNKNOWN"), ALL, "registry-auth"),
    Lie("500 MANIFEST_UNKNOWN", lies.status(500, "MANIFEST_UNKNOWN"), ALL, "registry-server"),
    Lie("410 gone", lies.status(410, "MANIFEST_UNKNOWN"), ALL, "registry-answer"),
    Lie(
        "404 without a code",
        lies.answer(404, b"not found", "text/plain"),
        (*MANIFESTS, tags, *BLOBS),
        "registry-answer",
    ),
    Lie("404 with another code", lies.status(404, "NOT_FOUND"), (*MANIFESTS, tags, *BLOBS), "registry-answer"),
    Lie(
        "404 with two codes",
        lies.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"},{"code":"DENIED"}]}'),
        MANIFESTS,
        "registry-answer",
    ),
    Lie(
        "404 with a code said twice",
        lies.answer(404, b'{"errors":[{"code":"DENIED","code":"MANIFEST_UNKNOWN"}]}'),
        MANIFESTS,
        "registry-answer",
    ),
    Lie("404 BLOB_UNKNOWN for a manifest", lies.status(404, "BLOB_UNKNOWN"), MANIFESTS, "registry-answer"),
    Lie("404 MANIFEST_UNKNOWN for a blob", lies.status(404, "MANIFEST_UNKNOWN"), BLOBS, "registry-answer"),
    Lie(
        "404 as a 200",
        lies.answer(200, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'),
        (*MANIFESTS, referrers),
        "registry-answer",
    ),
    Lie("204", lies.status(204), ALL, "registry-answer"),
    # One meaning (E2).
    Lie(
        "content type of a text",
        lies.header("Content-Type", "text/plain"),
        (by_tag, by_digest, referrers),
        "registry-answer",
    ),
    Lie("no content type", lies.header("Content-Type", None), (by_tag, by_digest, referrers), "registry-answer"),
    Lie("content type of an index", lies.header("Content-Type", OCI_INDEX), (by_tag, by_digest), "registry-answer"),
    Lie("two content types", lies.header("Content-Type", f"{OCI_MANIFEST}, {OCI_INDEX}"), (by_tag,), "registry-answer"),
    Lie(
        "schema 1",
        lies.header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (by_tag,),
        "schema-1",
    ),
    Lie(
        "digest header of other bytes",
        lies.header("Docker-Content-Digest", "sha256:" + "0" * 64),
        (by_tag, by_digest),
        "registry-answer",
    ),
    Lie(
        "digest header that is none (E3)",
        lies.header("Docker-Content-Digest", "sha256:../../etc/passwd"),
        (by_tag,),
        "registry-answer",
    ),
    Lie("other bytes for a digest", lies.other_bytes, (by_digest,), "registry-answer"),
    Lie("another spelling for a digest", lies.other_spelling, (by_digest,), "registry-answer"),
    Lie("truncated document", lies.truncated_document, (by_tag, by_digest, referrers, tags), "registry-answer"),
    Lie(
        "a document with a key twice",
        lies.answer(200, b'{"schemaVersion":2,"schemaVersion":2}', OCI_MANIFEST),
        (by_tag, referrers),
        "registry-answer",
    ),
    Lie(
        "gzip", lies.header("Content-Encoding", "gzip"), (by_tag, by_digest, whole_blob, small_blob), "registry-answer"
    ),
    Lie(
        "a manifest over 4 MiB",
        lies.answer(200, b" " * (4 << 20) + b" {}", OCI_MANIFEST),
        (by_tag, evidence),
        "registry-answer",
    ),
    # Listings.
    Lie(
        "a list that is no index",
        lies.answer(200, b'{"manifests":[]}', "application/json"),
        (referrers,),
        "registry-answer",
    ),
    Lie("an index by type only", lies.answer(200, b"[]", OCI_INDEX), (referrers,), "registry-answer"),
    Lie(
        "a hostile digest in the list (E3)",
        lies.answer(200, index_page({"mediaType": OCI_MANIFEST, "digest": "sha256:/../../x", "size": 1}), OCI_INDEX),
        (referrers,),
        "registry-answer",
    ),
    Lie("no list of tags", lies.answer(200, b'{"tags":"1"}'), (tags,), "registry-answer"),
    Lie("a hostile tag", lies.answer(200, b'{"tags":["../../x"]}'), (tags,), "registry-answer"),
    Lie("next page at another host (E4)", lies.header("Link", f'<{OTHER_SIDE}>; rel="next"'), LISTS, "registry-answer"),
    Lie(
        "next page without a scheme (E4)",
        lies.header("Link", '<//localhost:1/v2/x>; rel="next"'),
        LISTS,
        "registry-answer",
    ),
    Lie(
        "next page at another port (E4)",
        lies.header("Link", '<http://127.0.0.1:1/v2/x>; rel="next"'),
        LISTS,
        "registry-answer",
    ),
    Lie(
        "next page with a user (E4)",
        lies.header("Link", '<http://a:b@127.0.0.1:1/v2/>; rel="next"'),
        LISTS,
        "registry-answer",
    ),
    Lie("next page outside the API", lies.header("Link", '</admin>; rel="next"'), LISTS, "registry-answer"),
    Lie("next page of a file", lies.header("Link", '<file:///etc/passwd>; rel="next"'), LISTS, "registry-answer"),
    Lie("two next pages", lies.header("Link", '</v2/a>; rel="next", </v2/b>; rel=next'), LISTS, "registry-answer"),
    Lie("a filtered list", lies.header("OCI-Filters-Applied", "artifactType"), (referrers,), "registry-answer"),
    Lie("a Link that cannot be read", lies.header("Link", "/v2/a; rel=next"), LISTS, "registry-answer"),
    Lie(
        "the same page again",
        lambda exchange: lies.header("Link", f'<{exchange.path}>; rel="next"')(exchange),
        LISTS,
        "registry-answer",
    ),
    # Time and size (E5).
    Lie("no answer", lies.stall, (by_tag, referrers, whole_blob), "stalled"),
    Lie("silence in the body", lies.stall_after(10), (by_tag, whole_blob), "stalled"),
    Lie("drip", lies.drip(0.02), (by_tag, whole_blob), "stalled"),
    Lie("drip in the headers", lies.drip_head(0.02), (by_tag,), "stalled"),
    Lie("endless headers", lies.endless_headers, (by_tag, whole_blob), "registry-answer"),
    Lie("endless body", lies.endless_body, (by_tag, by_digest, small_blob), "registry-answer"),
    Lie("endless trailer", lies.endless_chunks, (by_tag,), "stalled"),
    # Connections.
    Lie("no word", lies.drop_unasked, (by_tag, referrers, whole_blob), "network"),
    Lie(
        "broken off",
        lies.reset_after(10),
        (by_tag, evidence, referrers, tags, whole_blob, rest_of_blob, small_blob),
        "connection-lost",
    ),
    Lie("not HTTP", lies.gibberish, (by_tag, referrers, whole_blob), "registry-answer"),
    Lie(
        "a longer Content-Length",
        lies.header("Content-Length", "99999"),
        (whole_blob, rest_of_blob, small_blob),
        "registry-answer",
    ),
    Lie(
        "a shorter Content-Length",
        lies.header("Content-Length", "10"),
        (whole_blob, rest_of_blob, small_blob, by_digest),
        "registry-answer",
    ),
    Lie("no number as Content-Length", lies.header("Content-Length", "5, 6"), (by_tag,), "registry-answer"),
    # Ranges.
    Lie("all of it for a range", lies.answer(200, b"x" * 10), (rest_of_blob,), "range-unsupported"),
    Lie("another range", lies.header("Content-Range", "bytes 0-9/10"), (rest_of_blob,), "range-unsupported"),
    Lie("no range said", lies.header("Content-Range", None), (rest_of_blob,), "range-unsupported"),
    Lie("416", lies.status(416), (rest_of_blob,), "range-unsupported"),
    Lie("206 unasked", lies.answer(206, b"x"), (whole_blob, small_blob), "registry-answer"),
    # Redirects (E4).
    Lie("in a circle", lies.redirect("{target}"), ALL, "registry-redirect"),
    Lie("without a place", lies.status(307), ALL, "registry-redirect"),
    Lie("to a file", lies.redirect("file:///etc/passwd"), ALL, "registry-redirect"),
    Lie("to a user", lies.redirect("http://a:b@127.0.0.1:1/"), ALL, "registry-redirect"),
    Lie("to no port", lies.redirect("http://127.0.0.1:99999/"), ALL, "registry-redirect"),
    Lie("to nobody", lies.redirect("http://127.0.0.1:1/x"), (by_tag,), "network"),
    # Challenges.
    Lie("no challenge", lies.status(401), ALL, "registry-auth"),
    Lie("an unknown challenge", lies.status(401, WWW_Authenticate="Negotiate"), (by_tag,), "registry-auth"),
    Lie(
        "a challenge that cannot be read",
        lies.status(401, WWW_Authenticate='Bearer realm="'),
        (by_tag,),
        "registry-auth",
    ),
    Lie("a challenge without end", lies.status(401, WWW_Authenticate=LONG), (by_tag,), "registry-auth"),
    Lie(
        "a realm of a file",
        lies.status(401, WWW_Authenticate='Bearer realm="file:///etc/passwd"'),
        (by_tag,),
        "registry-auth",
    ),
    Lie(
        "a realm that is nobody",
        lies.status(401, WWW_Authenticate='Bearer realm="http://127.0.0.1:1/"'),
        (by_tag,),
        "network",
    ),
    # Limits of the registry's patience.
    Lie("429 for ever", lies.status(429, "TOOMANYREQUESTS", Retry_After="0"), ALL, "registry-busy"),
    Lie("503 for ever", lies.status(503, "UNAVAILABLE", Retry_After="0"), ALL, "registry-server"),
    Lie("500 without a body", lies.status(500), ALL, "registry-server"),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
def test_each_lie_ends_in_its_code(lie: Lie) -> None:
    with scene(FOR_LIES if lie.code == "stalled" else PATIENT) as it:
        it.registry.on("/v2/.+", lie.behaviour)
        for question in lie.questions:
            with pytest.raises(SealiftError) as caught:
                question(it)
            assert caught.value.code == lie.code, f"{question.__name__}: {caught.value}"
        # The client is as good as before.
        it.registry.on("/v2/.+", lies.honest)
        assert at_last(by_digest, it)
        assert at_last(whole_blob, it)


def at_last(question: Question, it: Scene) -> object:
    """The answer; who does not wait long may miss it while the machine is busy, and asks again."""
    for _ in range(9):
        try:
            return question(it)
        except SealiftError as error:
            if error.code != "stalled":
                raise
    return question(it)


def test_there_are_many_lies() -> None:
    assert len({lie.name for lie in LIES}) == len(LIES) > 60


def test_has_blob_judges_by_status_too() -> None:
    for behaviour, code in (
        (lies.status(403), "registry-denied"),
        (lies.status(500), "registry-server"),
        (lies.status(400), "registry-answer"),
    ):
        with scene(PATIENT) as it:
            it.registry.on("/blobs/", behaviour)
            with pytest.raises(SealiftError) as caught:
                has_blob(it)
            assert caught.value.code == code


def test_name_unknown_is_no_absence_for_a_repository_that_has_served() -> None:
    with scene(PATIENT) as it:
        by_tag(it)
        it.registry.on("/manifests/", lies.status(404, "NAME_UNKNOWN"))
        for question in (evidence, elsewhere, by_tag):
            with pytest.raises(SealiftError) as caught:
                question(it)
            assert caught.value.code == "registry-answer"


def test_name_unknown_is_absence_where_nothing_was_served() -> None:
    with scene(PATIENT) as it:
        it.registry.on("/manifests/", lies.status(404, "NAME_UNKNOWN"))
        assert elsewhere(it) is None
        with pytest.raises(SealiftError) as caught:
            evidence(it)
        assert caught.value.code == "registry-answer"
        with pytest.raises(SealiftError) as caught:
            by_tag(it)
        assert caught.value.code == "image-absent"


def test_404_of_any_body_means_no_referrers_api_but_only_at_the_start() -> None:
    for behaviour in (
        lies.answer(404, b"404 page not found\n", "text/plain"),
        lies.status(404),
        lies.status(404, "NAME_UNKNOWN"),
        lies.status(404, "UNSUPPORTED"),
    ):
        with scene(PATIENT, page_size=1) as it:
            it.registry.on("/referrers/", behaviour)
            assert referrers(it) is None
            it.registry.on("/referrers/", lies.honest)
            for number in range(3):
                referrer(it.store, it.image, number)
            assert len(it.repository.referrers(it.image.digest) or ()) == 3
            it.registry.on(r"/referrers/.*last=2", behaviour)
            with pytest.raises(SealiftError) as caught:
                referrers(it)
            assert caught.value.code == "registry-answer"


@pytest.mark.parametrize("question", LISTS)
def test_pages_without_end(question: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.LIST_PAGES", 30)
    with scene(PATIENT) as it:
        it.registry.on("/(referrers|tags)/", lies.endless_pages)
        with pytest.raises(SealiftError) as caught:
            question(it)
        assert caught.value.code == "registry-answer"
        assert len(it.registry.asked("GET", "/(referrers|tags)/")) == 30


def test_more_entries_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.REFERRERS", 2)
    monkeypatch.setattr("bundler.limits.TAGS", 2)
    with scene(PATIENT, page_size=1) as it:
        for number in range(3):
            referrer(it.store, it.image, number)
            it.store.tags[f"tag-{number}"] = it.image.digest
        for question in LISTS:
            with pytest.raises(SealiftError) as caught:
                question(it)
            assert caught.value.code == "registry-answer"


def test_an_endless_blob_is_read_to_its_size_and_no_further() -> None:
    """The bytes are wrong, which whoever reads them finds out by hashing; they are not too many."""
    with scene(PATIENT) as it:
        it.registry.on("/blobs/", lies.endless_body)
        raw = whole_blob(it)
        assert isinstance(raw, bytes)
        assert len(raw) == it.blob.size_bytes
        assert hashlib.sha256(raw).hexdigest() != it.blob.digest.hex


def test_a_tag_that_moves_is_not_asked_twice_by_digest_questions() -> None:
    """E1: what the tag said first stays what is fetched by digest."""
    with scene(PATIENT) as it:
        first = it.repository.get_manifest("1")
        it.store.tags["1"] = referrer(it.store, it.image).digest
        assert it.repository.get_manifest(str(first.digest)).raw == first.raw
        assert it.repository.get_manifest("1").digest != first.digest


def parsed(fetched: FetchedManifest) -> object:
    return parse_manifest(fetched.raw, fetched.media_type)


CROSSED = [
    (OCI_INDEX, OCI_INDEX, ("manifests", "layers")),
    (OCI_INDEX, OCI_INDEX, ("manifests", "config")),
    (OCI_MANIFEST, OCI_MANIFEST, ("manifests", "layers", "config")),
    (DOCKER_LIST, DOCKER_LIST, ("manifests", "layers")),
    (DOCKER_MANIFEST, DOCKER_MANIFEST, ("manifests", "layers", "config")),
    (OCI_INDEX, OCI_MANIFEST, ("manifests",)),
    (OCI_MANIFEST, OCI_INDEX, ("layers", "config")),
    (OCI_MANIFEST, DOCKER_MANIFEST, ("layers", "config")),
    (DOCKER_MANIFEST, OCI_MANIFEST, ("layers", "config")),
    (OCI_INDEX, DOCKER_LIST, ("manifests",)),
    (DOCKER_LIST, OCI_INDEX, ("manifests",)),
    (DOCKER_LIST, DOCKER_MANIFEST, ("layers", "config")),
]


@pytest.mark.parametrize(("served_as", "said", "marks"), CROSSED)
def test_a_crossed_document_has_no_meaning(served_as: str, said: str, marks: tuple[str, ...]) -> None:
    """E2: either here (types differ), or when the document is parsed with the type that it was served as."""
    raw, media_type = lies.crossed(served_as, said, *marks)
    with scene(PATIENT) as it:
        it.store.put_manifest(raw, media_type, "crossed")
        with pytest.raises(SealiftError) as caught:
            parsed(it.repository.get_manifest("crossed"))
        assert caught.value.code == ("registry-answer" if served_as != said else "manifest-ambiguous")


@pytest.mark.parametrize("kind", ["busy", "server", "dropped", "broken off"])
def test_what_passes_is_asked_again(kind: str) -> None:
    trouble = {
        "busy": lies.status(429, "TOOMANYREQUESTS", Retry_After="0"),
        "server": lies.status(503),
        "dropped": lies.drop_unasked,
        "broken off": lies.reset_after(5),
    }[kind]
    for question in (by_tag, referrers, tags, small_blob):
        with scene() as it:
            referrer(it.store, it.image)
            it.registry.on("/v2/.+", trouble, times=2)
            assert question(it)


def test_what_is_final_is_asked_once() -> None:
    for behaviour in (lies.status(403), lies.status(400), lies.status(404), lies.gibberish):
        with scene() as it:
            it.registry.on("/v2/.+", behaviour)
            with pytest.raises(SealiftError):
                by_tag(it)
            assert len(it.registry.asked("GET", "/manifests/")) == 1


def test_words_of_a_registry_are_cut_short() -> None:
    with scene(PATIENT) as it:
        it.registry.on("/v2/.+", lies.status(403, "DENIED", "go away\n" * 1000))
        with pytest.raises(SealiftError) as caught:
            by_tag(it)
        assert "HTTP 403 DENIED: 'go away go away" in str(caught.value)
        assert len(str(caught.value)) < 600


def test_a_redirect_is_followed_without_credentials_and_checked_as_any_answer() -> None:
    with Registry() as other, scene() as it:
        elsewhere_store = other.repository("team/app")
        elsewhere_store.manifests.update(it.store.manifests)
        elsewhere_store.blobs.update(it.store.blobs)
        elsewhere_store.tags.update(it.store.tags)
        it.registry.on("/v2/.+", lies.redirect(other.url + "{target}"))
        for question in (by_tag, by_digest, small_blob, rest_of_blob):
            assert question(it)
        assert all("authorization" not in item.headers for item in other.log)
        elsewhere_store.manifests[it.image.digest] = (b"{}", OCI_MANIFEST)
        with pytest.raises(SealiftError) as caught:
            by_digest(it)
        assert caught.value.code == "registry-answer"


def test_a_challenge_from_elsewhere_is_not_answered() -> None:
    with Registry() as other, scene() as it:
        asks = lies.status(401, WWW_Authenticate=f'Bearer realm="{other.url}/token"')
        other.on("/v2/", asks)
        it.registry.on("/v2/.+", lies.redirect(other.url + "{target}"))
        with pytest.raises(SealiftError) as caught:
            by_tag(it)
        assert caught.value.code == "registry-auth"
        assert other.asked("GET", "/token") == []


def test_server_side_of_a_lie_ends_too() -> None:
    """The simulator itself leaves nothing behind: stop it in the middle of a lie."""
    seen: list[Exchange] = []

    def note(exchange: Exchange) -> None:
        seen.append(exchange)
        lies.stall(exchange)

    with scene(FOR_LIES) as it:
        it.registry.on("/v2/.+", note)
        with pytest.raises(SealiftError):
            by_tag(it)
    assert seen
