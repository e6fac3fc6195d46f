"""The walk over an image: closure, order, bounds, roles (THREATS E8, E9, I14, I19)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError, SealiftError, UnsupportedError
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import ImageGraph, walk
from bundler.oci.manifest import DOCKER_MANIFEST, EMPTY_CONFIG, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.simulators.images import OCI_LAYER, Layout, as_json, layer, to_json, two_platforms


def walked(layout: Layout, top: Descriptor) -> ImageGraph:
    return walk(top, lambda descriptor: layout.read(descriptor.digest))


def test_two_platforms_with_attestations() -> None:
    layout, top, (amd64, arm64) = two_platforms()
    graph = walked(layout, top)
    types = [node.media_type for node in graph.nodes]
    assert types[:5] == [OCI_INDEX, *[OCI_MANIFEST] * 4]
    assert types[5:9] == [OCI_CONFIG] * 4
    assert {node.digest for node in graph.nodes} == set(layout.blobs)
    assert [child.digest for child in graph.children()[:2]] == [amd64.digest, arm64.digest]
    assert graph.omitted == ()
    assert graph == walked(layout, top)


def test_what_is_omitted_is_not_read_and_listed() -> None:
    layout, top, (amd64, arm64) = two_platforms(attested=False)
    del layout.blobs[arm64.digest]
    graph = walk(top, lambda item: layout.read(item.digest), omit=lambda item: item.digest == arm64.digest)
    assert [item.digest for item in graph.omitted] == [arm64.digest]
    assert str(graph.omitted[0].platform) == "linux/arm64"
    assert [child.digest for child in graph.children()] == [amd64.digest]


def test_a_child_listed_twice_is_omitted_only_if_no_way_enters_it() -> None:
    layout = Layout()
    image = layout.image("linux/amd64", [layer(seed=1)])
    again = replace(image, platform=None, annotations={"second": "yes"})
    top = layout.index([image, again])
    graph = walk(top, lambda item: layout.read(item.digest), omit=lambda item: bool(item.annotations))
    assert graph.omitted == ()
    graph = walk(top, lambda item: layout.read(item.digest), omit=lambda item: item.media_type == OCI_MANIFEST)
    assert [item.digest for item in graph.omitted] == [image.digest]


@pytest.mark.parametrize(("change", "code"), [(b"x", "blob-size"), (b"", "blob-digest")])
def test_documents_are_hashed_before_they_are_parsed(change: bytes, code: str) -> None:
    layout, top, _ = two_platforms()
    good = layout.read(top.digest)

    def read(descriptor: Descriptor) -> bytes:
        return good + change if change else b"{" * len(good)

    with pytest.raises(RejectedError) as error:
        walk(top, read)
    assert error.value.code == code


def test_every_document_is_checked() -> None:
    layout, top, _ = two_platforms()
    for document in walked(layout, top).documents:

        def read(descriptor: Descriptor, changed: Digest = document) -> bytes:
            raw = layout.read(descriptor.digest)
            return raw[:-1] + b" " if descriptor.digest == changed else raw

        with pytest.raises(RejectedError) as error:
            walk(top, read)
        assert error.value.code == "blob-digest"


def test_nesting_is_bounded() -> None:
    layout = Layout()
    top = layout.image("linux/amd64", [layer()])
    for _ in range(limits.INDEX_NESTING):
        top = layout.index([replace(top, platform=None)])
    assert len(walked(layout, top).nodes) == limits.INDEX_NESTING + 3
    top = layout.index([top])
    with pytest.raises(MalformedError) as error:
        walked(layout, top)
    assert error.value.code == "limits"


def test_the_number_of_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, top, _ = two_platforms()
    monkeypatch.setattr(limits, "IMAGE_NODES", len(layout.blobs))
    walked(layout, top)
    monkeypatch.setattr(limits, "IMAGE_NODES", len(layout.blobs) - 1)
    with pytest.raises(MalformedError) as error:
        walked(layout, top)
    assert error.value.code == "limits"


def test_a_diamond_is_read_once() -> None:
    layout = Layout()
    image = layout.image("linux/amd64", [layer()])
    top = layout.index([layout.index([image]), layout.index([image, image])])
    reads: list[Digest] = []

    def read(descriptor: Descriptor) -> bytes:
        reads.append(descriptor.digest)
        return layout.read(descriptor.digest)

    walk(top, read)
    assert len(reads) == len(set(reads)) == 4


def test_a_huge_document_is_not_even_read() -> None:
    top = Descriptor(OCI_INDEX, sha256_of(b""), limits.MANIFEST_BYTES + 1)
    with pytest.raises(MalformedError) as error:
        walk(top, lambda _: pytest.fail("was read"))
    assert error.value.code == "limits"


def test_the_empty_blob_may_be_config_and_layer() -> None:
    layout = Layout()
    empty = layout.blob(b"{}", EMPTY_CONFIG)
    top = layout.manifest(empty, [empty], artifact_type="application/x")
    assert [node.digest for node in walked(layout, top).nodes] == [top.digest, empty.digest]


def test_two_layer_types_for_one_blob_the_first_counts() -> None:
    layout = Layout()
    config = layout.blob(b"{}", OCI_CONFIG)
    one = layout.blob(b"layer", OCI_LAYER)
    two = replace(one, media_type=OCI_LAYER + "+gzip")
    top = layout.index([layout.manifest(config, [one]), layout.manifest(config, [two])])
    assert [node.media_type for node in walked(layout, top).nodes if node.digest == one.digest] == [OCI_LAYER]


def role_cases() -> dict[str, tuple[Layout, Descriptor, str, type[SealiftError]]]:
    cases: dict[str, tuple[Layout, Descriptor, str, type[SealiftError]]] = {}

    def case(name: str, code: str, kind: type[SealiftError], *extra: Descriptor, index: bool = False) -> Layout:
        layout = Layout()
        config = layout.blob(b"{}", OCI_CONFIG)
        image = layout.manifest(config, [layout.blob(b"layer", OCI_LAYER)])
        swapped = tuple(replace(item, digest=image.digest, size_bytes=image.size_bytes) for item in extra)
        top = layout.index([image, *swapped]) if index else layout.index([image, layout.manifest(config, swapped)])
        cases[name] = (layout, top, code, kind)
        return layout

    blank = Descriptor(OCI_LAYER, sha256_of(b""), 0)
    case("a manifest as layer", "digest-role", MalformedError, blank)
    case("a layer called manifest", "digest-role", MalformedError, replace(blank, media_type=OCI_MANIFEST))
    case("two manifest types", "digest-role", MalformedError, replace(blank, media_type=DOCKER_MANIFEST), index=True)
    case("a manifest as index", "digest-role", MalformedError, replace(blank, media_type=OCI_INDEX), index=True)
    case("a foreign layer", "foreign-layer", RejectedError, replace(blank, urls=("https://example.org",)))
    case("an unknown child", "digest-role", MalformedError, blank, index=True)
    return cases


@pytest.mark.parametrize("name", role_cases())
def test_a_digest_has_one_role(name: str) -> None:
    layout, top, code, kind = role_cases()[name]
    with pytest.raises(kind) as error:
        walked(layout, top)
    assert error.value.code == code


def test_children_of_unknown_kinds_are_unsupported_unless_omitted() -> None:
    layout = Layout()
    odd = layout.blob(b"x", "application/vnd.example.thing")
    top = layout.index([odd])
    with pytest.raises(UnsupportedError) as error:
        walked(layout, top)
    assert error.value.code == "manifest-type"
    assert walk(top, lambda item: layout.read(item.digest), omit=lambda _: True).omitted == (
        replace(odd, platform=None),
    )


def test_one_size_for_one_digest() -> None:
    layout = Layout()
    config = layout.blob(b"{}", OCI_CONFIG)
    blob = layout.blob(b"layer", OCI_LAYER)
    top = layout.manifest(config, [blob, replace(blob, size_bytes=6)])
    with pytest.raises(MalformedError) as error:
        walked(layout, top)
    assert error.value.code == "digest-size"


def test_an_omission_cannot_hide_a_role() -> None:
    layout = Layout()
    blob = layout.blob(b"layer", OCI_LAYER)
    image = layout.manifest(layout.blob(b"{}", OCI_CONFIG), [blob])
    top = layout.index([image, replace(blob, media_type=OCI_MANIFEST)])
    with pytest.raises(MalformedError) as error:
        walk(top, lambda item: layout.read(item.digest), omit=lambda item: item.digest == blob.digest)
    assert error.value.code == "digest-role"


def test_sha512_is_unsupported() -> None:
    layout = Layout()
    raw = to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
    odd = Descriptor(OCI_MANIFEST, Digest("sha512", "a" * 128), 1)
    top = layout.blob(raw.replace(b"[]", to_json([as_json(odd)])), OCI_INDEX)
    with pytest.raises(UnsupportedError) as error:
        walked(layout, top)
    assert error.value.code == "digest-algorithm"


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_foreign_layers_are_refused(kind: str) -> None:
    layout = Layout()
    top = layout.manifest(layout.blob(b"{}", OCI_CONFIG), [layout.blob(b"layer", kind)])
    with pytest.raises(RejectedError) as error:
        walked(layout, top)
    assert error.value.code == "foreign-layer"
