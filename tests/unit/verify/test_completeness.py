"""The inventory against the documents that it lists: what an exporter's key could sign that is not so (E8, E9, I14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.archive.inventory import Blob, Evidence, Image, Inventory, Omission, PlatformChild
from bundler.digest import Digest, sha256_of
from bundler.errors import RejectedError
from bundler.evidence.kind import BUILDKIT_ATTESTATION
from bundler.oci import annotations as words
from bundler.oci.descriptor import Descriptor, Platform
from bundler.oci.manifest import EMPTY_CONFIG, OCI_INDEX, OCI_MANIFEST
from bundler.verify.completeness import check_no_strays, open_image
from bundler.verify.images import judge_image
from bundler.verify.result import Outcome
from tests.simulators.claims import NAME, REPOSITORY, Claims, add_blob, demand, on_image, policy, told, verdict
from tests.simulators.images import (
    IN_TOTO,
    OCI_LAYER,
    Layout,
    as_json,
    layer,
    sbom_statement,
    to_json,
    two_platforms,
)
from tests.simulators.judging import HELD, code_of
from tests.simulators.tuf_repository import START

SIGNED = policy(demand())
ZERO = Digest("sha256", "0" * 64)
Change = Callable[[Inventory], Inventory]


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def built(claims: Claims) -> tuple[Layout, Descriptor, tuple[Descriptor, Descriptor]]:
    """An index over two platforms with statements, signed."""
    layout, top, children = two_platforms(NAME)
    claims.sign(layout, top, claims.release)
    return layout, top, children


def without_blob(pick: Callable[[Inventory], Digest]) -> Change:
    def change(inventory: Inventory) -> Inventory:
        gone = pick(inventory)
        return replace(inventory, blobs=tuple(blob for blob in inventory.blobs if blob.digest != gone))

    return change


def of_type(part: str) -> Callable[[Inventory], Digest]:
    return lambda inventory: next(blob.digest for blob in inventory.blobs if part in blob.media_type)


def edit_blob(part: str, **fields: object) -> Change:
    def change(inventory: Inventory) -> Inventory:
        target = of_type(part)(inventory)
        blobs = tuple(
            replace(blob, **fields) if blob.digest == target else blob  # type: ignore[arg-type]
            for blob in inventory.blobs
        )
        return replace(inventory, blobs=blobs)

    return change


def evidence(edit: Callable[[tuple[Evidence, ...]], tuple[Evidence, ...]]) -> Change:
    return lambda inventory: on_image(evidence=edit(inventory.images[0].evidence))(inventory)


def platforms(edit: Callable[[tuple[PlatformChild, ...]], tuple[PlatformChild, ...]]) -> Change:
    return lambda inventory: on_image(platforms=edit(inventory.images[0].platforms))(inventory)


def beside(items: tuple[Evidence, ...]) -> Evidence:
    return next(item for item in items if item.kind != BUILDKIT_ATTESTATION)


ATTACKS: dict[str, tuple[Change, str]] = {
    "config missing": (without_blob(of_type("config")), "incomplete"),
    "layer missing": (without_blob(of_type("layer")), "incomplete"),
    "statement missing": (without_blob(of_type("in-toto")), "incomplete"),
    "signature payload missing": (without_blob(of_type("simplesigning")), "incomplete"),
    "index missing": (without_blob(of_type("index")), "incomplete"),
    "child missing": (without_blob(lambda inventory: inventory.images[0].platforms[0].digest), "incomplete"),
    "evidence missing": (without_blob(lambda inventory: beside(inventory.images[0].evidence).digest), "incomplete"),
    "layer of another size": (edit_blob("layer", size_bytes=1), "incomplete"),
    "config of another size": (edit_blob("config", size_bytes=1), "incomplete"),
    "index of another size": (edit_blob("index", size_bytes=1), "incomplete"),
    "index as manifest": (edit_blob("index", media_type=OCI_MANIFEST), "incomplete"),
    "layer as manifest": (edit_blob("layer", media_type=OCI_MANIFEST), "digest-role"),
    "manifest as layer": (edit_blob("image.manifest", media_type=OCI_LAYER), "digest-role"),
    "platform invented": (platforms(lambda items: (*items, PlatformChild("linux/s390x", items[0].digest))),
                          "platforms-mismatch"),
    "platform hidden": (platforms(lambda items: items[:1]), "platforms-mismatch"),
    "platforms none": (platforms(lambda _: ()), "platforms-mismatch"),
    "platform renamed": (platforms(lambda items: (replace(items[0], platform="linux/s390x"), items[1])),
                         "platforms-mismatch"),
    "platforms swapped": (platforms(lambda items: (replace(items[0], digest=items[1].digest),
                                                   replace(items[1], digest=items[0].digest))), "platforms-mismatch"),
    "platforms reordered": (platforms(lambda items: items[::-1]), "platforms-mismatch"),
    "attestation manifest hidden": (
        evidence(lambda items: tuple(item for item in items if item is not items[0])), "evidence-mismatch"),
    "attestation manifest about the other": (
        evidence(lambda items: (replace(items[0], subject=items[1].subject), *items[1:])), "evidence-mismatch"),
    "attestation manifest invented": (
        evidence(lambda items: (*items, replace(beside(items), kind=BUILDKIT_ATTESTATION))), "evidence-mismatch"),
    "evidence about a stranger": (
        evidence(lambda items: (*items[:-1], replace(items[-1], subject=ZERO))), "evidence-subject"),
    "evidence is the image's own manifest": (
        evidence(lambda items: (*items, replace(beside(items), digest=items[0].subject))), "digest-role"),
    "evidence is an attestation manifest": (
        evidence(lambda items: (*items, replace(items[0], kind="cosign-attestation"))), "digest-role"),
    "omission of nothing": (
        on_image(omitted=(Omission(ZERO, OCI_MANIFEST, 1, "linux/s390x"),)), "omission-unknown"),
    "omission of what is there": (
        lambda inventory: on_image(omitted=(Omission(inventory.images[0].platforms[0].digest, OCI_MANIFEST, 1,
                                                     "linux/amd64"),))(inventory), "omission-unknown"),
    "image of another type": (on_image(media_type=OCI_MANIFEST), "incomplete"),
    "image of another size": (on_image(size_bytes=5), "incomplete"),
    "image is one of its children": (
        lambda inventory: on_image(digest=inventory.images[0].platforms[0].digest)(inventory), "incomplete"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_inventory_that_lies_is_rejected(claims: Claims, attack: str) -> None:
    change, code = ATTACKS[attack]
    layout, _, _ = built(claims)
    result = claims.judge(layout, SIGNED, change=change)
    assert told(result) == [("failed", code, "")]
    assert result.checks[0].name == "completeness"
    assert result.evidence == ()


def test_the_honest_inventory_is_complete(claims: Claims) -> None:
    layout, top, (amd64, arm64) = built(claims)
    judged = claims.judged(layout, SIGNED)
    assert verdict(judged.result) == ("verified", "")
    assert judged.complete is not None
    assert judged.complete.platforms == (("linux/amd64", amd64.digest), ("linux/arm64", arm64.digest))
    assert judged.complete.indexes_over[amd64.digest] == {top.digest}
    assert judged.complete.platform_of(top.digest) == ""


def test_each_blob_is_needed(claims: Claims) -> None:
    """THREATS E9: the closure without any one blob."""
    layout, _, _ = built(claims)
    inventory = claims.inventory((layout, NAME))
    contents = {digest: layout.read(digest) for digest in layout.blobs}
    assert len(inventory.blobs) == 18
    for blob in inventory.blobs:
        lacking = replace(inventory, blobs=tuple(item for item in inventory.blobs if item is not blob))
        result = judge_image(lacking.images[0], claims.bench(lacking, SIGNED, contents)).result
        assert told(result) == [("failed", "incomplete", "")]
        assert str(blob.digest) in result.checks[0].detail


# -- omissions --------------------------------------------------------------------------------------------------------

OMITTING: dict[str, Callable[[tuple[Omission, ...]], tuple[Omission, ...]]] = {
    "one not listed": lambda items: items[1:],
    "none listed": lambda _: (),
    "another size": lambda items: (replace(items[0], size_bytes=items[0].size_bytes + 1), *items[1:]),
    "another type": lambda items: (replace(items[0], media_type=OCI_INDEX), *items[1:]),
    "another platform": lambda items: (replace(items[0], platform="linux/s390x"), *items[1:]),
    "one invented": lambda items: (*items, Omission(ZERO, OCI_MANIFEST, 1, "linux/s390x")),
    "one twice": lambda items: (*items, replace(items[0], platform="linux/s390x")),
}


@pytest.mark.parametrize("attack", OMITTING)
def test_omissions_are_exactly_those_of_the_index(claims: Claims, attack: str) -> None:
    layout, _, _ = built(claims)
    text = policy(demand(), allow_omitted="true")

    def change(inventory: Inventory) -> Inventory:
        return on_image(omitted=OMITTING[attack](inventory.images[0].omitted))(inventory)

    assert verdict(claims.judge(layout, text, platforms=["linux/amd64"])) == ("verified", "")
    result = claims.judge(layout, text, platforms=["linux/amd64"], change=change)
    assert result.reason in ("omission-unknown", "incomplete")


def test_a_layer_cannot_be_omitted(claims: Claims) -> None:
    layout, _, _ = built(claims)

    def change(inventory: Inventory) -> Inventory:
        blob = next(blob for blob in inventory.blobs if "layer" in blob.media_type)
        omission = Omission(blob.digest, blob.media_type, blob.size_bytes, "unknown")
        return on_image(omitted=(omission,))(without_blob(lambda _: blob.digest)(inventory))

    assert verdict(claims.judge(layout, policy(demand(), allow_omitted="true"), change=change)) == (
        "rejected",
        "incomplete",
    )


# -- what an index can hide -------------------------------------------------------------------------------------------


def hiding(
    claims: Claims, *entries: Callable[[Layout, Descriptor, Descriptor], Descriptor], nested: bool = False
) -> str:
    """An index with a signed amd64 image and an unsigned stranger, entered as told; gives the reason."""
    layout = Layout()
    good = layout.image("linux/amd64", [layer(b"good", seed=1)])
    bad = layout.image("linux/amd64", [layer(b"bad", seed=2)])
    made = [entry(layout, good, bad) for entry in entries]
    children = [made[0], layout.index(made[1:])] if nested else made
    layout.name(layout.index([*children, good]), NAME)
    claims.sign(layout, good, claims.release)
    return claims.judge(layout, SIGNED).reason


def marked(platform: Platform | None, *, bad: bool = True) -> Callable[[Layout, Descriptor, Descriptor], Descriptor]:
    """The stranger, entered as if it were an attestation manifest about the good image."""

    def entry(layout: Layout, good: Descriptor, stranger: Descriptor) -> Descriptor:
        notes = {words.REFERENCE_TYPE: words.ATTESTATION_MANIFEST, words.REFERENCE_DIGEST: str(good.digest)}
        return replace(stranger if bad else good, platform=platform, annotations=notes)

    return entry


def as_itself(layout: Layout, good: Descriptor, stranger: Descriptor) -> Descriptor:
    return stranger


NOWHERE = Platform("unknown", "unknown")


def test_an_unsigned_platform_is_noticed(claims: Claims) -> None:
    assert hiding(claims, as_itself) == "signature-missing"


@pytest.mark.parametrize(
    "platform", [Platform("linux", "amd64"), None, Platform("unknown", "amd64"), Platform("unknown", "unknown", "v1")]
)
def test_an_image_marked_as_attestation_does_not_hide(claims: Claims, platform: Platform | None) -> None:
    """Runtimes choose by platform and know nothing of the annotation, or of none at all: then by the config."""
    assert hiding(claims, marked(platform)) == "platforms-mismatch"


@pytest.mark.parametrize("nested", [False, True])
def test_an_image_marked_here_and_plain_there_does_not_hide(claims: Claims, nested: bool) -> None:
    assert hiding(claims, marked(NOWHERE), as_itself, nested=nested) == "platforms-mismatch"
    assert hiding(claims, as_itself, marked(NOWHERE), nested=nested) == "platforms-mismatch"


@pytest.mark.parametrize("first", [0, 1])
def test_marked_once_is_marked_everywhere(claims: Claims, first: int) -> None:
    """The other entry runs nowhere either; two readers could still disagree on what it is."""

    def unmarked(layout: Layout, good: Descriptor, stranger: Descriptor) -> Descriptor:
        return replace(stranger, platform=NOWHERE)

    entries = (marked(NOWHERE), unmarked)
    assert hiding(claims, entries[first], entries[1 - first]) == "platforms-mismatch"


def test_the_image_itself_marked_as_attestation_does_not_hide(claims: Claims) -> None:
    assert hiding(claims, marked(NOWHERE, bad=False)) == "platforms-mismatch"


def test_what_runs_nowhere_may_be_marked(claims: Claims) -> None:
    assert hiding(claims, marked(NOWHERE)) == ""


def test_a_mark_without_a_digest(claims: Claims) -> None:
    def entry(layout: Layout, good: Descriptor, stranger: Descriptor) -> Descriptor:
        return replace(stranger, platform=NOWHERE, annotations={words.REFERENCE_TYPE: words.ATTESTATION_MANIFEST})

    layout = Layout()
    good = layout.image("linux/amd64", [layer(b"good", seed=1)])
    layout.name(layout.index([good, entry(layout, good, layout.image("linux/amd64", [layer(b"x", seed=3)]))]), NAME)
    with pytest.raises(RejectedError) as error:  # the exporter's walk refuses it by the same code
        claims.judge(layout, SIGNED)
    assert error.value.code == "digest"


def test_an_index_marked_as_attestation_hides_no_platform(claims: Claims) -> None:
    layout = Layout()
    good = layout.image("linux/amd64", [layer(b"good", seed=1)])
    bad = layout.image("linux/arm64", [layer(b"bad", seed=2)])
    notes = {words.REFERENCE_TYPE: words.ATTESTATION_MANIFEST, words.REFERENCE_DIGEST: str(good.digest)}
    entry = replace(layout.index([bad]), platform=NOWHERE, annotations=notes)
    top = layout.index([good, entry])
    inventory = whole(layout, top, [("linux/amd64", good), ("linux/arm64", bad)], [entry])
    bench = claims.bench(inventory, SIGNED, {digest: layout.read(digest) for digest in layout.blobs})
    complete = open_image(inventory.images[0], inventory, bench.read_blob)
    assert [platform for platform, _ in complete.platforms] == ["linux/amd64", "linux/arm64"]
    result = judge_image(inventory.images[0], bench).result
    assert [fact.code for fact in result.evidence] == ["evidence-mismatch"]


# -- inventories written by hand --------------------------------------------------------------------------------------


def whole(
    layout: Layout, top: Descriptor, children: list[tuple[str, Descriptor]], attested: list[Descriptor] | None = None
) -> Inventory:
    """An inventory that lists all blobs of a layout, written without the exporter's care."""
    types = dict.fromkeys(layout.blobs, "application/octet-stream")
    for digest in layout.blobs:
        raw = layout.read(digest)
        if raw.startswith(b'{"schemaVersion"'):
            document = json.loads(raw)
            types[digest] = document["mediaType"]
            parts = [document["config"], *document["layers"]] if "config" in document else document["manifests"]
            for part in parts:
                types[Digest("sha256", part["digest"][7:])] = part["mediaType"]
    evidence_items = tuple(
        Evidence(
            BUILDKIT_ATTESTATION, Digest("sha256", item.annotations[words.REFERENCE_DIGEST][7:]), item.digest,
            item.media_type, item.size_bytes, "index",
        )
        for item in attested or []
    )  # fmt: skip
    image = Image(
        NAME, top.digest, top.media_type, top.size_bytes, "oci",
        tuple(PlatformChild(platform, child.digest) for platform, child in children), (), evidence_items, (),
    )  # fmt: skip
    sizes = {digest: len(layout.read(digest)) for digest in layout.blobs}
    blobs = [Blob(digest, sizes[digest], types[digest], "raw", sizes[digest], digest) for digest in layout.blobs]
    return Inventory("main", 1, None, (), START, "test", (image,), tuple(blobs))


def reason(claims: Claims, layout: Layout, inventory: Inventory) -> str:
    bench = claims.bench(inventory, SIGNED, {digest: layout.read(digest) for digest in layout.blobs})
    return code_of(lambda: check_no_strays(inventory, (open_image(inventory.images[0], inventory, bench.read_blob),)))


def test_a_child_that_the_inventory_does_not_list(claims: Claims) -> None:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(b"a", seed=1)])
    ghost = replace(amd64, digest=ZERO, platform=Platform("linux", "arm64"))
    top = layout.index([amd64, ghost])
    assert reason(claims, layout, whole(layout, top, [("linux/amd64", amd64)])) == "incomplete"


def test_indexes_nested_too_deep(claims: Claims) -> None:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(b"a", seed=1)])
    top = amd64
    for _ in range(4):
        top = layout.index([top])
    assert reason(claims, layout, whole(layout, top, [("linux/amd64", amd64)])) == HELD
    top = layout.index([top])
    assert reason(claims, layout, whole(layout, top, [("linux/amd64", amd64)])) == "limits"


def test_an_index_that_seems_to_hold_itself(claims: Claims) -> None:
    """A cycle needs a hash collision; bytes that claim one are caught by their hash."""
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(b"a", seed=1)])
    inner = layout.index([amd64])
    cyclic = to_json(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [as_json(replace(inner, size_bytes=300))]}
    )
    top = replace(inner, digest=inner.digest, size_bytes=len(cyclic))
    inventory = whole(layout, inner, [("linux/amd64", amd64)])
    inventory = on_image(size_bytes=top.size_bytes)(edit_blob("index", size_bytes=len(cyclic))(inventory))
    bench = claims.bench(inventory, SIGNED, {**{d: layout.read(d) for d in layout.blobs}, inner.digest: cyclic})
    with pytest.raises(RejectedError) as error:
        open_image(inventory.images[0], inventory, bench.read_blob)
    assert error.value.code == "blob-digest"


@pytest.mark.parametrize("kind", ["cosign-signature", "cosign-attestation", "cosign-sbom", "something-new"])
def test_evidence_that_is_an_index(claims: Claims, kind: str) -> None:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(b"a", seed=1)])
    other = layout.index([layout.image("linux/arm64", [layer(b"b", seed=2)])])
    inventory = whole(layout, amd64, [("linux/amd64", amd64)])
    item = Evidence(kind, amd64.digest, other.digest, other.media_type, other.size_bytes, "tag")
    assert reason(claims, layout, on_image(evidence=(item,))(inventory)) == "evidence-mismatch"


def test_evidence_whose_own_subject_is_another(claims: Claims) -> None:
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(b"a", seed=1)])
    arm64 = layout.image("linux/arm64", [layer(b"b", seed=2)])
    top = layout.index([amd64, arm64])
    parts = layout.blob(b"{}", EMPTY_CONFIG), [layout.blob(sbom_statement(arm64), IN_TOTO)]
    about = layout.manifest(parts[0], parts[1], artifact_type=IN_TOTO, subject=arm64)
    inventory = whole(layout, top, [("linux/amd64", amd64), ("linux/arm64", arm64)])
    for subject, code in ((arm64, HELD), (amd64, "evidence-subject"), (top, "evidence-subject")):
        item = Evidence("referrer", subject.digest, about.digest, about.media_type, about.size_bytes, "tag")
        assert reason(claims, layout, on_image(evidence=(item,))(inventory)) == code


def test_a_manifest_as_a_layer(claims: Claims) -> None:
    layout = Layout()
    inner = layout.image("linux/amd64", [layer(b"a", seed=1)])
    config = layout.blob(b'{"os":"linux","architecture":"amd64"}', "application/vnd.oci.image.config.v1+json")
    as_named = layout.manifest(config, [replace(inner, platform=None)])
    assert reason(claims, layout, whole(layout, as_named, [("linux/amd64", as_named)])) == "digest-role"


def test_one_digest_as_document_and_as_layer(claims: Claims) -> None:
    layout = Layout()
    inner = layout.image("linux/amd64", [layer(b"a", seed=1)])
    config = layout.blob(b'{"os":"linux","architecture":"arm64"}', "application/vnd.oci.image.config.v1+json")
    outer = replace(
        layout.manifest(config, [replace(inner, media_type=OCI_LAYER, platform=None)]),
        platform=Platform("linux", "arm64"),
    )
    top = layout.index([inner, outer])
    assert reason(claims, layout, whole(layout, top, [("linux/amd64", inner), ("linux/arm64", outer)])) == "digest-role"


@pytest.mark.parametrize("media_type", ["application/octet-stream", OCI_LAYER + "+zstd", EMPTY_CONFIG])
def test_a_blob_under_a_type_that_nobody_gives_it(claims: Claims, media_type: str) -> None:
    """Otherwise what is kept from a pipe, or compressed, would follow the exporter's word alone."""
    layout, _, _ = built(claims)
    inventory = claims.inventory((layout, NAME))
    assert reason(claims, layout, inventory) == HELD
    for part in ("layer", "config", "in-toto", "simplesigning"):
        assert reason(claims, layout, edit_blob(part, media_type=media_type)(inventory)) == "blob-mismatch"


def test_a_blob_under_two_types_may_be_listed_as_either(claims: Claims) -> None:
    layout = Layout()
    shared = layer(b"shared", seed=1)
    oci, docker = layout.image("linux/amd64", [shared]), layout.image("linux/arm64", [shared], docker=True)
    top = layout.name(layout.index([oci, docker]), NAME)
    inventory = claims.inventory((layout, NAME))
    assert reason(claims, layout, inventory) == HELD
    other = edit_blob("vnd.oci.image.layer", media_type="application/vnd.docker.image.rootfs.diff.tar")(inventory)
    assert reason(claims, layout, other) == HELD
    assert top.digest == inventory.images[0].digest


def test_a_blob_that_nobody_asked_for(claims: Claims) -> None:
    layout, _, _ = built(claims)
    inventory, stray = add_blob(claims.inventory((layout, NAME)), b"contraband", OCI_LAYER)
    assert reason(claims, layout, inventory) == "unreferenced-blob"
    assert stray == sha256_of(b"contraband")


def test_evidence_of_an_omitted_platform_is_a_stray(claims: Claims) -> None:
    layout, _, (_, arm64) = built(claims)
    claims.sign(layout, arm64, claims.release)
    full = claims.inventory((layout, NAME))

    def change(inventory: Inventory) -> Inventory:
        extra = next(item for item in full.images[0].evidence if item.subject == arm64.digest and item.kind[0] == "c")
        return on_image(evidence=(*inventory.images[0].evidence, extra))(replace(inventory, blobs=full.blobs))

    result = claims.judge(layout, policy(demand(), allow_omitted="true"), platforms=["linux/amd64"], change=change)
    assert verdict(result) == ("rejected", "evidence-subject")


def test_damage_is_not_incompleteness(claims: Claims) -> None:
    layout, top, (amd64, _) = built(claims)
    for damaged in (top.digest, amd64.digest):
        result = claims.judge(layout, SIGNED, damaged=[damaged])
        assert verdict(result) == ("damaged", "blob-digest")
        assert {check.outcome for check in result.checks} == {Outcome.DAMAGED}


def test_a_damaged_layer_or_signature_is_said_beside_the_claims(claims: Claims) -> None:
    layout, _, _ = built(claims)
    inventory = claims.inventory((layout, NAME))
    for part in ("layer", "simplesigning", "in-toto", "config"):
        damaged = of_type(part)(inventory)
        result = claims.judge(layout, SIGNED, damaged=[damaged])
        assert verdict(result) == ("damaged", "blob-digest")
        assert any(check.about == str(damaged) for check in result.checks)


def test_the_same_repository_is_not_a_namespace(claims: Claims) -> None:
    """Evidence is opened by digest: where it was tagged does not matter, what it says does."""
    layout, top, _ = two_platforms(NAME, attested=False)
    manifest = layout.cosign([claims.sigstore.sign(top.digest, claims.release, reference="elsewhere.example/x")])
    layout.tag_evidence(manifest, top, "sig", REPOSITORY + "/mirror")
    assert verdict(claims.judge(layout, SIGNED)) == ("verified", "")
