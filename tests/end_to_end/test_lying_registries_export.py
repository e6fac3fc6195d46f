"""Registries that refuse, lie or forget while an image is exported (THREATS E1, E2, E6 to E9, F19).

No answer to a question about evidence passes for absence: the export ends, names image, subject and place, and leaves
nothing behind. Only `may_lack` with the right words goes on, and then the answer stands in the inventory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bundler.archive.inventory import Image
from bundler.digest import Digest
from bundler.oci.annotations import format_evidence_tag, format_fallback_tag
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX, OCI_MANIFEST
from tests.cli.session import Result
from tests.simulators import registry_lies as lies
from tests.simulators.images import SIMPLE_SIGNING, Layout, as_json, to_json, two_platforms
from tests.simulators.real_registry import find_program
from tests.simulators.registry import Behaviour, Registry, Store
from tests.simulators.registry_scene import referrer
from tests.simulators.sigstore import simple_signing
from tests.simulators.station import Station

WORDS = {
    "referrers": ("attestation", "provenance", "sbom", "signature"),
    "fallback-tag": ("attestation", "provenance", "sbom", "signature"),
    "tag-sig": ("signature",),
    "tag-att": ("attestation", "provenance", "sbom"),
    "tag-sbom": ("sbom",),
}
ALL_WORDS = WORDS["referrers"]
NOWHERE = "http://127.0.0.1:1{target}"


@pytest.fixture(scope="module", autouse=True)
def skopeo() -> str:
    return find_program("skopeo")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Station:
    return Station(tmp_path_factory.mktemp("station"), {})


@dataclass
class Scene:
    """An image of two platforms, whose index has a `.sig` tag and a referrer, in a registry that can be told to lie."""

    station: Station
    registry: Registry
    store: Store
    layout: Layout
    top: Descriptor
    child: Descriptor

    @property
    def name(self) -> str:
        return f"{self.registry.host}/team/app:1"

    def export(self, *words: str, require: str = "", may_lack: tuple[str, ...] = ()) -> Result:
        """Export, without patience."""
        lists = {"require": [require] if require else [], "may_lack": list(may_lack)}
        image = self.station.settings(self.name, **{name: json.dumps(value) for name, value in lists.items()})
        return self.station.export(*image, *words, "--tls-verify=false", "--retry-times", "0")

    def image(self) -> Image:
        """As the last bundle lists it."""
        (image,) = self.station.inventory().images
        return image

    def check_refused(self, done: Result, code: int, reason: str, *said: str) -> None:
        assert (done.code, f"[{reason}]" in done.err) == (code, True), done.err
        for text in (self.name, *said):
            assert text in done.err
        assert self.station.left() == []

    def check_exported(self, done: Result) -> Image:
        assert done.code == 0, done.err
        assert self.station.litter() == []
        return self.image()


@pytest.fixture(params=[True])
def scene(request: pytest.FixtureRequest, station: Station) -> Iterator[Scene]:
    layout, top, (child, _) = two_platforms("registry.example.org/team/app:1", attested=False)
    signed = layout.cosign([(simple_signing(top.digest, "registry.example.org/team/app"), SIMPLE_SIGNING, {})])
    layout.tag_evidence(signed, top, "sig", "registry.example.org/team/app")
    with Registry(referrers_api=request.param) as registry:
        store = registry.repository("team/app")
        store.load(layout)
        referrer(store, top)
        yield Scene(station, registry, store, layout, top, child)


def questions(subject: Digest) -> dict[str, str]:
    """What is asked about a subject, by place."""
    tags = {f"tag-{suffix}": format_evidence_tag(subject, suffix) for suffix in ("sig", "att", "sbom")}
    tags["fallback-tag"] = format_fallback_tag(subject)
    asked = {place: f"/manifests/{tag.replace('.', '[.]')}$" for place, tag in tags.items()}
    return {"referrers": f"/referrers/{subject}$", **asked}


def without_referrers(found: dict[str, str]) -> dict[str, str]:
    return {place: pattern for place, pattern in found.items() if place != "referrers"}


# -- no answer, on each place, about the index and about a child

REFUSALS: dict[str, tuple[Behaviour, str]] = {
    "401": (lies.status(401, "UNAUTHORIZED"), "registry-auth"),
    "403": (lies.status(403, "DENIED"), "registry-denied"),
    "403 that says absent": (lies.status(403, "MANIFEST_UNKNOWN"), "registry-denied"),
    "400 that says absent": (lies.status(400, "MANIFEST_UNKNOWN"), "registry-answer"),
    "429": (lies.status(429, "TOOMANYREQUESTS"), "registry-busy"),
    "500": (lies.status(500), "registry-server"),
    "page of a proxy": (lies.answer(200, b"<html>log in</html>", "text/html"), "registry-answer"),
    "another kind of JSON": (lies.answer(200, b"{}"), "registry-answer"),
    "to a host that is not there": (lies.redirect(NOWHERE), "network"),
    "no answer": (lies.drop_unasked, "network"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_is_no_answer_is_no_absence(scene: Scene, refusal: str) -> None:
    behaviour, reason = REFUSALS[refusal]
    both = refusal in {"401", "403", "429", "500"}
    for subject in (scene.child.digest, scene.top.digest)[: 1 + both]:
        for place, pattern in questions(subject).items():
            scene.registry.reform()
            scene.registry.on(pattern, behaviour)
            done = scene.export()
            scene.check_refused(done, 6, reason, f"about {subject}, place {place}")


@pytest.mark.parametrize(
    "behaviour",
    [
        lies.answer(404, b"404 page not found", "text/plain"),
        lies.status(404, "NAME_UNKNOWN"),  # the repository has just served the image
        lies.status(404, "NOT_FOUND"),
    ],
)
def test_a_404_that_does_not_say_manifest_unknown(scene: Scene, behaviour: Behaviour) -> None:
    """No absence of a tag; on the referrers path it means that there is no such API."""
    for place, pattern in without_referrers(questions(scene.child.digest)).items():
        scene.registry.reform()
        scene.registry.on(pattern, behaviour)
        scene.check_refused(scene.export(), 6, "registry-answer", f"place {place}")
    scene.registry.reform()
    scene.registry.on("/referrers/", behaviour)
    image = scene.check_exported(scene.export())
    assert {item.answer for item in image.searches if item.place == "referrers"} == {"absent; no referrers API"}


def test_a_redirect_is_followed_and_judged_like_any_answer(scene: Scene) -> None:
    """As registry.k8s.io does it: every request is sent on to the host that holds the repository."""
    with Registry(referrers_api=True) as other:
        other.repositories = scene.registry.repositories
        scene.registry.on("/manifests/|/referrers/", lies.redirect(f"{other.url}{{target}}"))
        image = scene.check_exported(scene.export())
        assert sorted(item.kind for item in image.evidence) == ["cosign-signature", "referrer"]
        other.on(questions(scene.top.digest)["tag-att"], lies.status(403, "DENIED"))
        scene.check_refused(scene.export(), 6, "registry-denied", "place tag-att")


def test_questions_are_repeated_before_they_count_as_unanswered(scene: Scene) -> None:
    for behaviour in (lies.status(429, "TOOMANYREQUESTS", Retry_After="0"), lies.status(503), lies.drop_unasked):
        scene.registry.reform()
        for pattern in questions(scene.top.digest).values():
            scene.registry.on(pattern, behaviour, times=1)
        image = scene.station.exported(scene.name, "--tls-verify=false", "--retry-times", "1")
        assert {item.answer for item in image.searches} == {"found", "absent"}
        assert all(len(scene.registry.asked("GET", item)) == 2 for item in questions(scene.top.digest).values())
    scene.registry.reform()
    for pattern in questions(scene.top.digest).values():
        scene.registry.on(pattern, lies.status(429, "TOOMANYREQUESTS", Retry_After="0"))
    done = scene.station.export(scene.name, "--tls-verify=false", "--retry-times", "2")
    scene.check_refused(done, 6, "registry-busy", f"about {scene.top.digest}, place referrers")
    assert len(scene.registry.asked("GET", questions(scene.top.digest)["referrers"])) == 3


# -- answers of the wrong kind: each has a code, and names where


def test_evidence_of_the_wrong_kind(scene: Scene) -> None:
    """An index under cosign's tag, a manifest under the fallback tag or from the referrers API."""
    index = scene.store.put_manifest(to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}), OCI_INDEX)
    for subject in (scene.top.digest, scene.child.digest):
        for place, pattern in questions(subject).items():
            scene.registry.reform()
            about = f"about {subject}, place {place}"
            if place == "referrers":
                raw, media_type = scene.store.manifests[scene.child.digest]
                scene.registry.on(pattern, lies.answer(200, raw, media_type))
                scene.check_refused(scene.export(), 6, "registry-answer", about)
                continue
            wrong = scene.child.digest if place == "fallback-tag" else index.digest
            raw, media_type = scene.store.manifests[wrong]
            if wrong == subject:
                continue  # GitLab's way of saying that there is none
            scene.registry.on(pattern, lies.answer(200, raw, media_type))
            reason = "referrers" if place == "fallback-tag" else "evidence-type"
            scene.check_refused(scene.export(), 1, reason, about)


def test_lists_with_entries_that_are_not_there(scene: Scene) -> None:
    """A listed referrer that the registry does not give is a failure, not a shorter list; likewise one that is none."""
    gone = {"mediaType": OCI_MANIFEST, "digest": f"sha256:{'0' * 64}", "size": 7}
    layer = {"mediaType": "application/octet-stream", "digest": f"sha256:{'1' * 64}", "size": 7}
    for entry, reason in ((gone, "incomplete-source"), (layer, "referrers")):
        raw = to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})
        for place in ("referrers", "fallback-tag"):
            scene.registry.reform()
            scene.registry.on(questions(scene.child.digest)[place], lies.answer(200, raw, OCI_INDEX))
            scene.check_refused(scene.export(), 1, reason, entry["digest"], f"place {place}")


def test_parts_of_evidence_that_are_not_there(scene: Scene, tmp_path: Path) -> None:
    signed = scene.store.tags[format_evidence_tag(scene.top.digest, "sig")]
    part = json.loads(scene.store.manifests[signed][0])["layers"][0]["digest"]
    scene.registry.on(f"/blobs/{part}", lies.status(404, "BLOB_UNKNOWN"))
    cold = ("--cache", str(tmp_path / "cache"))
    scene.check_refused(scene.export(*cold), 1, "incomplete-source", part)
    scene.registry.on(f"/blobs/{part}", lies.status(403, "DENIED"))
    scene.check_refused(scene.export(*cold), 6, "registry-denied", part)


# -- may_lack


@pytest.mark.parametrize("place", WORDS)
def test_what_may_be_lacking_need_not_be_answered(scene: Scene, place: str) -> None:
    subject = scene.child.digest
    scene.registry.on(questions(subject)[place], lies.status(403, "DENIED", "\x1b[2Jask your administrator"))
    image = scene.check_exported(scene.export(may_lack=WORDS[place]))
    (said,) = (item.answer for item in image.searches if (item.subject, item.place) == (subject, place))
    assert said.startswith("no answer: HTTP 403 DENIED")
    assert said.isprintable()
    assert all(
        item.answer in {"found", "absent"} for item in image.searches if (item.subject, item.place) != (subject, place)
    )
    for word in WORDS[place]:
        others = tuple(item for item in ALL_WORDS if item != word)
        scene.check_refused(scene.export(may_lack=others), 6, "registry-denied", f"place {place}")


def test_only_what_is_lacking_is_lacked(scene: Scene) -> None:
    """`may_lack` is about places without an answer; what another place gives travels, and what is required stays so."""
    for pattern in questions(scene.top.digest).values():
        scene.registry.on(pattern, lies.status(500))
    image = scene.check_exported(scene.export(may_lack=ALL_WORDS))
    assert image.evidence == ()
    answers = [item.answer for item in image.searches if item.subject == scene.top.digest and item.place != "index"]
    assert [answer.startswith("no answer: HTTP 500") for answer in answers] == [True] * 5
    others = tuple(word for word in ALL_WORDS if word != "signature")
    scene.check_refused(scene.export(require="signature", may_lack=others), 6, "registry-server")


# -- registries with ways of their own


def test_gitlab_answers_the_fallback_tag_with_the_subject(scene: Scene) -> None:
    for subject in (scene.top, scene.child):
        scene.store.tags[format_fallback_tag(subject.digest)] = subject.digest
    image = scene.check_exported(scene.export())
    answers = {item.subject: item.answer for item in image.searches if item.place == "fallback-tag"}
    expected = "absent; the tag gives the subject itself"
    assert (answers[scene.top.digest], answers[scene.child.digest]) == (expected, expected)
    assert len(image.evidence) == 2


@pytest.mark.parametrize("scene", [False], indirect=True)
def test_ghcr_lists_wrong_types_and_other_things(scene: Scene) -> None:
    """No referrers API; a fallback tag with entries about something else, and artifact types that are not theirs."""
    about_top = next(iter(scene.store.referrers(scene.top.digest)))
    about_child = referrer(scene.store, scene.child, 1)
    entries = [
        {**about_top, "artifactType": OCI_MANIFEST},
        {"mediaType": about_child.media_type, "digest": str(about_child.digest), "size": about_child.size_bytes},
        {"mediaType": OCI_MANIFEST, "digest": str(scene.child.digest), "size": scene.child.size_bytes},
    ]
    raw = to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    scene.store.put_manifest(raw, OCI_INDEX, format_fallback_tag(scene.top.digest))
    image = scene.check_exported(scene.export())
    referrers = [(item.subject, str(item.digest)) for item in image.evidence if item.kind == "referrer"]
    assert referrers == [(scene.top.digest, about_top["digest"])]
    (said,) = (
        item.answer for item in image.searches if (item.subject, item.place) == (scene.top.digest, "fallback-tag")
    )
    assert said == "found; 2 listed about something else"


# -- what moves, shrinks or forgets meanwhile


def test_a_tag_that_moves_changes_nothing(scene: Scene) -> None:
    """E1: the tag is asked for once; everything later goes by digest."""
    other, top, _ = two_platforms(None, seed=50, attested=False)
    other.name(top)
    moved = scene.store.load(other)
    honest = scene.store.manifests[scene.top.digest]
    scene.store.tags["1"] = moved.digest
    scene.registry.on("/manifests/1$", lies.answer(200, *honest), times=1)
    image = scene.check_exported(scene.export("--cache", str(scene.station.folder / "cache-moves")))
    assert image.digest == scene.top.digest
    assert scene.child.digest in {child.digest for child in image.platforms}
    assert len(scene.registry.asked("GET", "/manifests/1$")) == 1
    assert scene.check_exported(scene.export()).digest == moved.digest


def test_evidence_that_is_no_longer_listed_is_missed_where_it_is_required(scene: Scene) -> None:
    """E6: a shorter list cannot be told from an honest one; who states what must be there notices."""
    assert len(scene.check_exported(scene.export(require="signature")).evidence) == 2
    del scene.store.tags[format_evidence_tag(scene.top.digest, "sig")]
    scene.check_refused(scene.export(require="signature"), 1, "evidence-missing", "signature", "tag-sig: absent")
    assert len(scene.check_exported(scene.export()).evidence) == 1
    empty = to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
    scene.registry.on("/referrers/", lies.answer(200, empty, OCI_INDEX))
    for word in ALL_WORDS:
        scene.check_refused(scene.export(require=word), 1, "evidence-missing", word)
    assert scene.check_exported(scene.export()).evidence == ()


def test_a_repository_that_forgets_its_name(scene: Scene) -> None:
    """NAME_UNKNOWN after it has served the image: an error at every later question, and at once without the cache."""
    forgets = lies.status(404, "NAME_UNKNOWN")
    scene.registry.on("/manifests/sha256-", forgets)
    scene.check_refused(scene.export(), 6, "registry-answer", "NAME_UNKNOWN")
    scene.registry.on("/manifests/sha256:", forgets)
    done = scene.export("--cache", str(scene.station.folder / "cache-forgets"))
    scene.check_refused(done, 6, "registry-answer", "NAME_UNKNOWN")
    scene.registry.reform()
    scene.registry.on("/manifests/1$", forgets)
    scene.check_refused(scene.export(), 1, "image-absent")


# -- evidence in a repository of its own (cosign's COSIGN_REPOSITORY)


def move_signature(scene: Scene) -> tuple[Store, Digest]:
    """The `.sig` manifest with its parts into another repository, which also gets a referrer of the index."""
    tag = format_evidence_tag(scene.top.digest, "sig")
    signature = scene.store.tags.pop(tag)
    raw, media_type = scene.store.manifests.pop(signature)
    other = scene.registry.repository("evidence/app")
    other.put_manifest(raw, media_type, tag)
    document = json.loads(raw)
    for part in (document["config"], *document["layers"]):
        digest = Digest("sha256", part["digest"][7:])
        other.blobs[digest] = scene.store.blobs.pop(digest)
    referrer(other, scene.top, 7)
    return other, signature


def test_evidence_in_another_repository(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, signature = move_signature(scene)
    elsewhere = f"{scene.registry.host}/evidence/app"
    cold = ("--cache", str(tmp_path / "cache"))
    assert signature not in {item.digest for item in scene.check_exported(scene.export(*cold)).evidence}
    image = scene.check_exported(scene.export(*cold, "--evidence-repository", elsewhere, require="signature"))
    assert {item.found_by for item in image.evidence if item.digest == signature} == {"tag-sig"}
    assert len([item for item in image.evidence if item.kind == "referrer"]) == 2
    about_top = {item.place: item.answer for item in image.searches if item.subject == scene.top.digest}
    assert {place: about_top[place] for place in about_top if " in " in place} == {
        f"referrers in {elsewhere}": "found",
        f"fallback-tag in {elsewhere}": "absent",
        f"tag-sig in {elsewhere}": "found",
        f"tag-att in {elsewhere}": "absent",
        f"tag-sbom in {elsewhere}": "absent",
    }
    assert {place for place in about_top if " in " not in place} == {"referrers", "fallback-tag"}
    monkeypatch.setenv("COSIGN_REPOSITORY", elsewhere)
    assert scene.check_exported(scene.export(*cold)).evidence == image.evidence
    for pattern in ("/evidence/app/referrers/", r"/evidence/app/manifests/.*\.att", "/evidence/app/manifests/"):
        scene.registry.on(pattern, lies.status(403, "DENIED"))
        scene.check_refused(scene.export(*cold), 6, "registry-denied", elsewhere, f" in {elsewhere}")
    assert other.tags


@pytest.mark.parametrize("scene", [False], indirect=True)
def test_referrers_in_another_repository_without_the_api(scene: Scene, tmp_path: Path) -> None:
    """What the fallback tag lists there, an index with parts of its own among it, comes from there, warm or cold."""
    other = scene.registry.repository("evidence/app")
    plain = referrer(other, scene.top, 7)
    note = other.put_blob(b"a part that only this repository has", "text/plain")
    config = other.put_blob(b"{}", "application/vnd.oci.empty.v1+json")
    artifact = {"schemaVersion": 2, "artifactType": "text/plain"}
    inner = other.put_manifest(
        to_json(artifact | {"mediaType": OCI_MANIFEST, "config": as_json(config), "layers": [as_json(note)]}),
        OCI_MANIFEST,
    )
    nested = other.put_manifest(
        to_json(artifact | {"mediaType": OCI_INDEX, "manifests": [as_json(inner)], "subject": as_json(scene.top)}),
        OCI_INDEX,
    )
    listed = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [as_json(plain), as_json(nested)]}
    other.put_manifest(to_json(listed), OCI_INDEX, format_fallback_tag(scene.top.digest))
    words = ("--evidence-repository", f"{scene.registry.host}/evidence/app", "--cache", str(tmp_path / "cache"))
    for pattern in ("nothing", "/blobs/"):  # then without layers and configs in the cache
        for path in (tmp_path / "cache/blobs/sha256").glob("*"):
            if pattern == "/blobs/" and b"schemaVersion" not in path.read_bytes()[:40]:
                path.unlink()
        image = scene.check_exported(scene.export(*words))
        assert {item.digest for item in image.evidence if item.kind == "referrer"} == {plain.digest, nested.digest}
        assert note.digest in {blob.digest for blob in scene.station.inventory().blobs}


def test_the_other_repository_need_not_be_there(scene: Scene) -> None:
    """Until it has served something, NAME_UNKNOWN is an honest answer; after that it is none."""
    elsewhere = f"{scene.registry.host}/evidence/app"
    image = scene.check_exported(scene.export("--evidence-repository", elsewhere))
    assert {item.answer for item in image.searches if item.place.startswith("tag-")} == {"absent"}
    assert [item.kind for item in image.evidence] == ["referrer"]
    move_signature(scene)
    for tag in (r"\.att$", r"\.sig$"):  # either may be asked first
        scene.registry.reform()
        scene.registry.on(f"/evidence/app/manifests/.*{tag}", lies.status(404, "NAME_UNKNOWN"), times=1)
        done = scene.export("--evidence-repository", elsewhere)
        scene.check_refused(done, 6, "registry-answer", "NAME_UNKNOWN", f" in {elsewhere}")
    scene.registry.reform()
    scene.registry.on("/evidence/app/", lies.status(403, "NAME_UNKNOWN"))
    scene.check_refused(scene.export("--evidence-repository", elsewhere), 6, "registry-denied", elsewhere)


def test_the_other_repository_is_the_same(scene: Scene) -> None:
    same = scene.check_exported(scene.export("--evidence-repository", f"{scene.registry.host}/team/app"))
    assert same == scene.check_exported(scene.export())


# -- lists in pages that lead astray


def test_pages_of_referrers_that_lead_astray(scene: Scene) -> None:
    """E4: to another host, to themselves, on without end, or to a page that is not there: never a shorter list."""
    asked = questions(scene.top.digest)["referrers"].removesuffix("$")
    for link in ("http://127.0.0.1:1/v2/", "//127.0.0.1:1/v2/", f"/v2/team/app/referrers/{scene.top.digest}"):
        scene.registry.on(asked, lies.header("Link", f'<{link}>; rel="next"'))
        scene.check_refused(scene.export(), 6, "registry-answer", "place referrers")
        scene.registry.reform()
    scene.registry.on(asked, lies.endless_pages)
    scene.check_refused(scene.export(), 6, "registry-answer", "place referrers")
    scene.registry.reform()
    scene.registry.on(asked, lies.header("Link", f'</v2/team/app/referrers/{scene.top.digest}?last=1>; rel="next"'))
    scene.registry.on(r"\?last=1", lies.status(404))
    scene.check_refused(scene.export(), 6, "registry-answer", "place referrers")


# -- children and layers


def test_children_missing_and_swapped(scene: Scene, tmp_path: Path) -> None:
    """E8, with a cold cache each time: what the index names is what travels, or nothing does."""
    honest = scene.store.manifests.copy()
    other = scene.layout.image("linux/amd64", [])
    scene.store.load(scene.layout)
    swapped = (scene.layout.read(other.digest), OCI_MANIFEST)
    del scene.store.manifests[scene.child.digest]
    done = scene.export("--cache", str(tmp_path / "missing"))
    scene.check_refused(done, 1, "incomplete-source", str(scene.child.digest))
    scene.store.manifests[scene.child.digest] = swapped
    done = scene.export("--cache", str(tmp_path / "swapped"))
    scene.check_refused(done, 6, "registry-answer", str(scene.child.digest))
    scene.store.manifests |= honest
    scene.check_exported(scene.export("--cache", str(tmp_path / "missing")))


@pytest.mark.parametrize("change", ["gone", "denied", "flipped", "shorter", "longer"])
def test_layers_that_are_not_what_they_should_be(scene: Scene, tmp_path: Path, change: str) -> None:
    """Whatever skopeo makes of it, the export ends; with the same cache it completes once the registry is honest."""
    (layer,) = json.loads(scene.layout.read(scene.child.digest))["layers"]
    raw = scene.layout.read(Digest("sha256", layer["digest"][7:]))
    behaviours = {
        "gone": lies.status(404, "BLOB_UNKNOWN"),
        "denied": lies.status(403, "DENIED"),
        "flipped": lies.answer(200, raw[:-1] + bytes([raw[-1] ^ 1])),
        "shorter": lies.answer(200, raw[:-1]),
        "longer": lies.answer(200, raw + b"\0"),
    }
    scene.registry.on(f"/blobs/{layer['digest']}", behaviours[change])
    done = scene.export("--cache", str(tmp_path / "cache"))
    code, reason = (6, "skopeo-failed") if change in {"denied", "flipped"} else (1, "incomplete-source")
    scene.check_refused(done, code, reason, "skopeo" if code == 6 else layer["digest"])
    assert list((tmp_path / "cache/runs").iterdir()) == []
    scene.registry.reform()
    scene.check_exported(scene.export("--cache", str(tmp_path / "cache")))


def test_layers_that_lie_elsewhere(scene: Scene) -> None:
    """E9: an image with foreign layers is sparse, and refused."""
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": f"sha256:{'2' * 64}",
        "size": 7,
        "urls": ["https://elsewhere.example.org/layer"],
    }
    raw, media_type = scene.store.manifests[scene.child.digest]
    sparse = json.loads(raw) | {"layers": [foreign]}
    scene.store.put_manifest(to_json(sparse), media_type, "1")
    scene.check_refused(scene.export(), 1, "foreign-layer", foreign["digest"])
