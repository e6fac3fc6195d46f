"""From a source to a whole image: closure, platforms, evidence, searches, names (THREATS E6 to E9)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bundler import limits
from bundler.archive.inventory import Blob, Inventory, format_inventory, parse_inventory
from bundler.errors import MalformedError, RejectedError, SealiftError, UsageError
from bundler.evidence.sigstore_bundle import format_bundle
from bundler.export.collect import CollectedImage, collect
from bundler.export.plan import Plan, make_plan
from bundler.export.required import check_required
from bundler.export.resolve import choose_name, open_source
from bundler.export.settings import ImageRequest
from bundler.network.access import Access
from bundler.network.connection import Connection
from bundler.network.layout import open_layout
from bundler.network.registry_source import RegistrySource
from bundler.oci.descriptor import Descriptor, parse_platform
from bundler.oci.manifest import EMPTY_CONFIG, OCI_CONFIG, OCI_INDEX, is_index, is_manifest
from tests.simulators.images import (
    DOCKER_LAYER,
    DSSE,
    OCI_LAYER,
    SIMPLE_SIGNING,
    SLSA,
    SPDX,
    Layout,
    layer,
    provenance_statement,
    sbom_statement,
    statement,
    to_json,
    two_platforms,
)
from tests.simulators.sigstore_bundles import V03_NEW, WholeSigstore
from tests.unit.export.conftest import AT, NAME

REPOSITORY = "registry.example.org/app"
PLACES = {"layout-referrers", "fallback-tag", "tag-sig", "tag-att", "tag-sbom"}


def collected(layout: Layout, folder: Path, *platforms: str, reference: str | None = NAME) -> CollectedImage:
    source = open_layout("oci", layout.write(folder), reference)
    return collect(source, NAME, tuple(map(parse_platform, platforms)))


def inventory_of(plan: Plan) -> Inventory:
    blobs = tuple(
        Blob(item.digest, item.size_bytes, item.media_type, "raw", item.size_bytes, item.digest)
        for item in (planned.descriptor for planned in plan.blobs)
    )
    return Inventory("main", 1, None, (), AT, "test", plan.images, blobs)


def simple_signing(subject: Descriptor) -> bytes:
    return to_json(
        {
            "critical": {
                "identity": {"docker-reference": REPOSITORY},
                "image": {"docker-manifest-digest": str(subject.digest)},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def envelope(subject: Descriptor, predicate_type: str = SLSA) -> bytes:
    payload = base64.b64encode(statement(subject.digest, predicate_type, {})).decode()
    signatures = [{"keyid": "", "sig": "AAAA"}]
    return to_json({"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": signatures})


def sign(layout: Layout, subject: Descriptor, about: Descriptor | None = None, suffix: str = "sig") -> Descriptor:
    """Evidence under `subject`'s tag whose content is about `about`."""
    raw, kind = {
        "sig": (simple_signing(about or subject), SIMPLE_SIGNING),
        "att": (envelope(about or subject), DSSE),
        "sbom": (b"{}", "text/spdx+json"),
    }[suffix]
    made = layout.cosign([(raw, kind, {})])
    return layout.tag_evidence(made, subject, suffix, REPOSITORY)


@pytest.mark.parametrize("artifact", [False, True])
def test_all_of_it(tmp_path: Path, artifact: bool) -> None:
    layout, top, (amd64, arm64) = two_platforms(NAME, artifact=artifact)
    sign(layout, top)
    sign(layout, arm64, suffix="att")
    sign(layout, amd64, suffix="sbom")
    found = collected(layout, tmp_path)
    assert {node.digest for node in found.nodes} == set(layout.blobs)
    assert [(child.platform, child.digest) for child in found.image.platforms] == [
        ("linux/amd64", amd64.digest),
        ("linux/arm64", arm64.digest),
    ]
    assert [(item.kind, item.subject, item.found_by) for item in found.image.evidence] == [
        ("buildkit-attestation", amd64.digest, "index"),
        ("buildkit-attestation", arm64.digest, "index"),
        ("cosign-signature", top.digest, "tag-sig"),
        ("cosign-sbom", amd64.digest, "tag-sbom"),
        ("cosign-attestation", arm64.digest, "tag-att"),
    ]
    answers = {(search.subject, search.place): search.answer for search in found.image.searches}
    subjects = {node.digest for node in found.nodes if is_index(node.media_type) or is_manifest(node.media_type)}
    assert set(answers) == {(subject, place) for subject in subjects for place in PLACES} | {
        (item.digest, "index") for item in (amd64, arm64)
    }
    assert [key for key, answer in answers.items() if answer == "found"] == [
        (amd64.digest, "index"),
        (arm64.digest, "index"),
        (top.digest, "tag-sig"),
        (amd64.digest, "tag-sbom"),
        (arm64.digest, "tag-att"),
    ]
    inventory = inventory_of(make_plan([found]))
    assert parse_inventory(format_inventory(inventory)) == inventory


def test_a_platform_is_kept_with_its_attestations_and_the_index_untouched(tmp_path: Path) -> None:
    layout, top, (amd64, arm64) = two_platforms(NAME)
    sign(layout, arm64)
    found = collected(layout, tmp_path, "linux/amd64")
    assert [child.platform for child in found.image.platforms] == ["linux/amd64"]
    index = json.loads(layout.read(top.digest))
    left_out = [index["manifests"][1]["digest"], index["manifests"][3]["digest"]]
    assert [str(item.digest) for item in found.image.omitted] == left_out
    assert [item.platform for item in found.image.omitted] == ["linux/arm64", "unknown/unknown"]
    assert top.digest in {node.digest for node in found.nodes}
    assert {item.subject for item in found.image.evidence} == {amd64.digest}
    attestation = found.image.evidence[0].digest
    assert {search.subject for search in found.image.searches} == {top.digest, amd64.digest, attestation}


def test_what_is_omitted_need_not_be_there(tmp_path: Path) -> None:
    layout, _, (_, arm64) = two_platforms(NAME, attested=False)
    del layout.blobs[arm64.digest]
    assert len(collected(layout, tmp_path, "linux/amd64").image.omitted) == 1


def test_attestations_before_their_subjects_and_about_others(tmp_path: Path) -> None:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(seed=1)])
    arm64 = layout.image("linux/arm64/v8", [layer(seed=2)])
    gone = layout.image("linux/s390x", [layer(seed=3)])
    children = [
        *(layout.attestation(item, [sbom_statement(item)]) for item in (arm64, amd64, gone)),
        arm64,
        amd64,
    ]
    layout.name(layout.index(children), NAME)
    found = collected(layout, tmp_path, "linux/arm64")
    assert {item.digest for item in found.image.omitted} == {amd64.digest, children[1].digest}
    assert {item.subject for item in found.image.evidence} == {arm64.digest, gone.digest}


def test_nested_indexes_and_children_without_platform(tmp_path: Path) -> None:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(seed=1)])
    arm64 = layout.image("linux/arm64", [layer(seed=2)])
    inner = layout.index([replace(amd64, platform=None), replace(arm64, platform=None)])
    top = layout.name(layout.index([inner]), NAME)
    found = collected(layout, tmp_path, "linux/arm64")
    assert [(child.platform, child.digest) for child in found.image.platforms] == [("linux/arm64", arm64.digest)]
    assert [(item.digest, item.platform) for item in found.image.omitted] == [(amd64.digest, "unknown")]
    assert [search.subject for search in found.image.searches if search.place == "tag-sig"] == [
        top.digest,
        inner.digest,
        arm64.digest,
    ]


def test_one_manifest_alone(tmp_path: Path) -> None:
    layout = Layout()
    top = layout.name(layout.image("linux/arm/v7", [layer()], docker=True), NAME)
    found = collected(layout, tmp_path)
    assert [(child.platform, child.digest) for child in found.image.platforms] == [("linux/arm/v7", top.digest)]
    assert {search.place for search in found.image.searches} == PLACES
    assert any(node.media_type == DOCKER_LAYER for node in found.nodes)
    assert collected(layout, tmp_path, "linux/arm").image == found.image


@pytest.mark.parametrize("platform", ["linux/arm/v6", "linux/arm/v7"])
def test_one_manifest_for_two_platforms_is_found_by_both(tmp_path: Path, platform: str) -> None:
    layout = Layout()
    arm = layout.image("linux/arm/v6", [layer(seed=1)])
    children = [arm, replace(arm, platform=parse_platform("linux/arm/v7")), layout.image("linux/amd64", [])]
    layout.name(layout.index(children), NAME)
    found = collected(layout, tmp_path, platform)
    assert [(child.platform, child.digest) for child in found.image.platforms] == [("linux/arm/v6", arm.digest)]
    assert [item.platform for item in found.image.omitted] == ["linux/amd64"]
    with pytest.raises(UsageError) as error:
        collected(layout, tmp_path, "linux/arm/v8")
    assert error.value.code == "platform-absent"


@pytest.mark.parametrize("platform", ["linux/s390x", "linux/arm64/v9", "windows/amd64"])
def test_a_platform_that_is_not_there(tmp_path: Path, platform: str) -> None:
    for number, layout in enumerate((two_platforms(NAME)[0], Layout())):
        if not layout.entries:
            layout.name(layout.image("linux/amd64", []), NAME)
        with pytest.raises(UsageError) as error:
            collected(layout, tmp_path / str(number), "linux/amd64", platform)
        assert error.value.code == "platform-absent"


def test_platforms_that_are_there_are_told_where_none_was_asked_for(tmp_path: Path) -> None:
    """Once: not among none."""
    with pytest.raises(UsageError) as error:
        collected(two_platforms(NAME)[0], tmp_path, "linux/s390x")
    assert error.value.got == "not among linux/amd64, linux/arm64"


def test_each_blob_removed_in_turn_is_named(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    sign(layout, top)
    folder = layout.write(tmp_path)
    for digest in layout.blobs:
        path = folder / "blobs" / "sha256" / digest.hex
        for change in (b"", path.read_bytes() + b"x"):
            raw = path.read_bytes()
            if change:
                path.write_bytes(change)
            else:
                path.unlink()
            with pytest.raises(RejectedError) as error:
                collect(open_layout("oci", folder, NAME), NAME)
            path.write_bytes(raw)
            assert error.value.code in ("incomplete-source", "blob-size")
            assert any(digest.hex in text for text in (error.value.which, *error.value.hints))
            assert f"image {NAME}, from oci:{folder}" in error.value.hints


def test_another_index_than_its_digest(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = layout.write(tmp_path)
    path = folder / "blobs" / "sha256" / top.digest.hex
    path.write_bytes(path.read_bytes().replace(b"amd64", b"arm64"))
    with pytest.raises(RejectedError) as error:
        collect(open_layout("oci", folder, NAME), NAME)
    assert error.value.code == "blob-digest"


def test_two_signatures_for_one_subject_are_ambiguous(tmp_path: Path) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    sign(layout, top)
    other = layout.cosign([(simple_signing(amd64), SIMPLE_SIGNING, {})])
    layout.tag_evidence(other, top, "sig", "registry.example.org/mirror")
    with pytest.raises(RejectedError) as error:
        collected(layout, tmp_path)
    assert error.value.code == "evidence-ambiguous"


def test_the_same_evidence_found_twice_is_listed_once(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(None)
    made = layout.cosign([(simple_signing(top), SIMPLE_SIGNING, {})])
    layout.save_as_cosign(top, signatures=made)
    layout.tag_evidence(made, top, "sig", REPOSITORY)
    found = collected(layout, tmp_path, reference=None)
    assert [item.found_by for item in found.image.evidence if item.kind == "cosign-signature"] == ["tag-sig"]
    answers = {search.place: search.answer for search in found.image.searches if search.subject == top.digest}
    assert (answers["cosign-layout-sig"], answers["cosign-layout-att"]) == ("found", "absent")


def test_evidence_that_is_an_index_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, top, _ = two_platforms(NAME)
    layout.tag_evidence(layout.index([]), top, "sig", REPOSITORY)
    with pytest.raises(MalformedError) as error:
        collected(layout, tmp_path / "index")
    assert error.value.code == "evidence-type"
    layout, top, _ = two_platforms(NAME)
    sign(layout, top)
    monkeypatch.setattr(limits, "EVIDENCE_BLOB_BYTES", 10)
    with pytest.raises(MalformedError) as error:
        collected(layout, tmp_path / "large")
    assert error.value.code == "limits"


# -- plan


def test_the_order_of_the_file(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    sign(layout, top)
    first = collected(layout, tmp_path / "one")
    other = Layout()
    other.name(other.image("linux/amd64", [layer(seed=50)]), NAME)
    second = collected(other, tmp_path / "two")
    second = replace(second, image=replace(second.image, name="registry.example.org/other:1"))
    plan = make_plan([second, first])
    types = [blob.descriptor.media_type for blob in plan.blobs]
    assert types[0] == OCI_INDEX
    assert types.index(OCI_CONFIG) > types.index(OCI_INDEX)
    assert types[-3:] == [OCI_LAYER, OCI_LAYER, OCI_LAYER + "+gzip"]
    assert plan.blobs[-3].image_name == "registry.example.org/other:1"
    assert plan.content_bytes == sum(blob.descriptor.size_bytes for blob in plan.blobs)
    assert plan.least_bytes(compress=True) <= plan.most_bytes(compress=True)


def test_one_image_under_two_names_travels_once(tmp_path: Path) -> None:
    layout, _, _ = two_platforms(NAME)
    one = collected(layout, tmp_path)
    two = replace(one, image=replace(one.image, name="registry.example.org/copy:1"))
    plan = make_plan([one, two])
    assert len(plan.images) == 2
    assert len(plan.blobs) == len(one.nodes)
    format_inventory(inventory_of(plan))


def test_names_occur_once_and_something_is_there(tmp_path: Path) -> None:
    one = collected(two_platforms(NAME)[0], tmp_path)
    with pytest.raises(UsageError) as error:
        make_plan([one, one])
    assert error.value.code == "name-twice"
    with pytest.raises(UsageError) as error:
        make_plan([])
    assert error.value.code == "images"


def test_images_agree_about_a_blob(tmp_path: Path) -> None:
    one = collected(two_platforms(NAME)[0], tmp_path)
    blob = one.nodes[-1]
    two = replace(one, image=replace(one.image, name="x.example.org/y:1"), nodes=(replace(blob, size_bytes=1),))
    with pytest.raises(MalformedError) as error:
        make_plan([one, two])
    assert error.value.code == "digest-size"


# -- required evidence


def test_required_evidence_that_is_there(tmp_path: Path) -> None:
    layout, top, (amd64, arm64) = two_platforms(NAME)
    sign(layout, top)
    for item in (amd64, arm64):
        sign(layout, item, suffix="att")
    check_required(collected(layout, tmp_path), frozenset({"signature", "attestation", "sbom", "provenance"}))


@pytest.mark.parametrize("word", ["signature", "attestation", "sbom", "provenance"])
def test_required_evidence_that_is_missing(tmp_path: Path, word: str) -> None:
    layout, _, _ = two_platforms(NAME, attested=False)
    found = collected(layout, tmp_path)
    check_required(found, frozenset())
    with pytest.raises(RejectedError) as error:
        check_required(found, frozenset({word}))
    assert error.value.code == "evidence-missing"
    assert error.value.what == word
    assert any("tag-sig: absent" in hint for hint in error.value.hints)


@pytest.mark.parametrize(("word", "suffix"), [("signature", "sig"), ("attestation", "att"), ("provenance", "att")])
def test_evidence_about_another_image_does_not_count(tmp_path: Path, word: str, suffix: str) -> None:
    layout, top, (amd64, _) = two_platforms(NAME, attested=False)
    sign(layout, top, about=amd64, suffix=suffix)
    with pytest.raises(RejectedError) as error:
        check_required(collected(layout, tmp_path), frozenset({word}))
    assert error.value.code == "evidence-missing"
    assert any("does not count" in hint and "mismatch" in hint for hint in error.value.hints)


def test_evidence_for_one_platform_of_two_is_not_enough(tmp_path: Path) -> None:
    layout, _, (amd64, arm64) = two_platforms(NAME, attested=False)
    sign(layout, amd64)
    with pytest.raises(RejectedError) as error:
        check_required(collected(layout, tmp_path / "one"), frozenset({"signature"}))
    assert error.value.got == "not there for every platform"
    sign(layout, arm64)
    check_required(collected(layout, tmp_path / "two"), frozenset({"signature"}))


def test_buildkit_statements_about_another_platform_do_not_count(tmp_path: Path) -> None:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer()])
    other = layout.image("linux/arm64", [])
    swapped = layout.attestation(amd64, [sbom_statement(other), provenance_statement(amd64)])
    layout.name(layout.index([amd64, swapped]), NAME)
    with pytest.raises(RejectedError) as error:
        check_required(collected(layout, tmp_path), frozenset({"sbom"}))
    assert error.value.code == "evidence-missing"


def test_one_bad_item_does_not_hide_a_good_one(tmp_path: Path) -> None:
    layout, top, (amd64, _) = two_platforms(NAME, attested=False)
    nothing: Mapping[str, str] = {}
    items = [(raw, DSSE, nothing) for raw in (envelope(amd64), b"junk", envelope(top, SPDX))]
    layout.tag_evidence(layout.cosign(items), top, "att", REPOSITORY)
    check_required(collected(layout, tmp_path), frozenset({"attestation", "sbom"}))
    with pytest.raises(RejectedError):
        check_required(collected(layout, tmp_path), frozenset({"provenance"}))


def test_plain_signatures_over_the_manifest_count(tmp_path: Path) -> None:
    whole = WholeSigstore("required")
    for about, expected in ((0, ""), (1, "evidence-missing")):
        layout, top, (amd64, _) = two_platforms(NAME, attested=False)
        content = layout.read((top, amd64)[about].digest)
        bundles = [format_bundle(whole.bundle(content, whole.key_signer())), b"{}"]
        layers = [layout.blob(raw, V03_NEW) for raw in bundles]
        empty = layout.blob(b"{}", EMPTY_CONFIG)
        layout.name(layout.manifest(empty, layers, artifact_type=V03_NEW, subject=top))
        code = ""
        hints: tuple[str, ...] = ()
        try:
            check_required(collected(layout, tmp_path / str(about)), frozenset({"signature"}))
        except RejectedError as error:
            code, hints = error.code, error.hints
        assert code == expected
        assert [hint.rpartition("[")[2] for hint in hints[:2]] == ["field-missing]", "digest-mismatch]"][: len(hints)]


def test_signed_envelopes_among_buildkits_statements_count(tmp_path: Path) -> None:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer()])
    made = layout.attestation(amd64, [sbom_statement(amd64), b'{"predicateType": "junk"}'])
    document = json.loads(layout.read(made.digest))
    signed = layout.blob(envelope(amd64), "application/vnd.in-toto.provenance+dsse")
    document["layers"].append({"mediaType": signed.media_type, "digest": str(signed.digest), "size": signed.size_bytes})
    again = layout.blob(to_json(document), made.media_type)
    again = replace(made, digest=again.digest, size_bytes=again.size_bytes)
    layout.name(layout.index([amd64, again]), NAME)
    check_required(collected(layout, tmp_path), frozenset({"sbom", "attestation", "provenance"}))


# -- sources and names


def test_sources_by_scheme(tmp_path: Path) -> None:
    layout, _, _ = two_platforms(NAME)
    layout.write(tmp_path / "app")
    layout.write_archive(tmp_path / "app.tar")
    for text in ("oci:app", f"oci:app:{NAME}", "oci-archive:app.tar", f"oci-archive:{tmp_path / 'app.tar'}"):
        source = open_source(ImageRequest(text, base=tmp_path), Connection(Access(), lambda: tmp_path / "cache"))
        assert source.place == text
        assert source.kind == text.partition(":")[0]
        source.close()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("./app", "source"),
        ("app/", "source"),
        ("containers-storage:app", "source"),
        ("docker:nginx", "source"),
        ("docker://", "source"),
        ("docker://Nginx", "source"),
        ("OCI:app", "source"),
        ("oci:", "source"),
        ("oci::x", "source"),
    ],
)
def test_sources_that_are_none(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "app").mkdir()
    with pytest.raises(UsageError) as error:
        open_source(ImageRequest(text, base=tmp_path), Connection(Access(), lambda: tmp_path / "cache"))
    assert error.value.code == code
    if text == "./app":
        assert "a folder has that name; did you mean oci:./app?" in error.value.hints


@pytest.mark.parametrize(
    "text", ["docker://user:canary@registry.example.org/app", "user:canary@registry.example.org/app"]
)
def test_no_message_repeats_a_password(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as error:
        open_source(ImageRequest(text, base=tmp_path), Connection(Access(), lambda: tmp_path / "cache"))
    assert error.value.code == "source"
    assert "canary" not in f"{error.value} {error.value.hints} {error.value.__cause__}"


@pytest.mark.parametrize("text", ["nginx", "docker://nginx:latest", "docker.io/library/nginx", "index.docker.io/nginx"])
def test_a_bare_name_is_an_image_in_a_registry(tmp_path: Path, text: str) -> None:
    source = open_source(ImageRequest(text, base=tmp_path), Connection(Access(), lambda: tmp_path / "cache"))
    assert isinstance(source, RegistrySource)
    assert (source.kind, source.place, source.repository.name) == ("docker", text, "docker.io/library/nginx")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("typed", "recorded", "name"),
    [
        (None, "app:1", "docker.io/library/app:1"),
        (None, NAME, NAME),
        ("ghcr.io/x/y", NAME, "ghcr.io/x/y:latest"),
        ("x/y@DIGEST", None, "docker.io/x/y@DIGEST"),
    ],
)
def test_names(tmp_path: Path, typed: str | None, recorded: str | None, name: str) -> None:
    layout = Layout()
    top = layout.name(layout.image("linux/amd64", []), recorded)
    resolved = open_layout("oci", layout.write(tmp_path)).resolve()
    typed = typed.replace("DIGEST", str(top.digest)) if typed else None
    assert choose_name(ImageRequest("oci:x", typed), resolved) == name.replace("DIGEST", str(top.digest))


@pytest.mark.parametrize(
    ("typed", "code"),
    [(None, "name-missing"), ("", "reference"), ("UPPER/x", "reference"), (f"x@sha256:{'0' * 64}", "name-digest")],
)
def test_names_that_are_refused(tmp_path: Path, typed: str | None, code: str) -> None:
    layout = Layout()
    layout.name(layout.image("linux/amd64", []), "latest")
    resolved = open_layout("oci", layout.write(tmp_path)).resolve()
    if typed == "UPPER/x":
        typed = "x/UPPER"
    with pytest.raises(SealiftError) as error:
        choose_name(ImageRequest("oci:x", typed), resolved)
    assert (error.value.code, error.value.exit_code) == (code, 2)


def test_the_real_two_platform_image(shared: Path) -> None:
    folder = shared / "real" / "images" / "buildkit-two-platforms"
    found = collect(open_layout("oci", folder), "docker.io/library/test-image:test")
    assert len(list((folder / "blobs" / "sha256").iterdir())) - len(found.nodes) == 21
    check_required(found, frozenset({"sbom", "provenance"}))
    with pytest.raises(RejectedError):
        check_required(found, frozenset({"signature"}))


@pytest.mark.parametrize("version", ["v1.4.0", "v1.10.0"])
def test_the_real_signed_images(shared: Path, version: str) -> None:
    folder = shared / "real" / "images" / f"slsa-generator-{version}"
    found = collect(open_layout("oci", folder), NAME)
    assert len(list((folder / "blobs" / "sha256").iterdir())) == len(found.nodes)
    assert [item.kind for item in found.image.evidence][-1] == "cosign-attestation"
    check_required(found, frozenset({"attestation", "provenance"}))
