"""Descriptors and manifests: one meaning per document (THREATS E2)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import MalformedError, SealiftError, UnsupportedError
from bundler.fields import Fields
from bundler.oci.annotations import attested_digest, format_evidence_tag, parse_evidence_tag
from bundler.oci.descriptor import Descriptor, Platform, parse_descriptor, parse_platform
from bundler.oci.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    ImageIndex,
    ImageManifest,
    parse_manifest,
)

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
DATA = b"data"
CONFIG = {"mediaType": OCI_CONFIG, "digest": str(sha256_of(b"{}")), "size": 2}
LAYER = {"mediaType": LAYER_TYPE, "digest": str(sha256_of(DATA)), "size": len(DATA)}
CHILD = {"mediaType": OCI_MANIFEST, "digest": str(sha256_of(DATA)), "size": len(DATA)}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [CHILD]}


def raw(value: object) -> bytes:
    return json.dumps(value).encode()


def descriptor(**values: Any) -> Descriptor:
    return parse_descriptor(Fields(LAYER | values, "descriptor"))


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def test_a_manifest_keeps_its_bytes() -> None:
    document = raw(MANIFEST | {"annotations": {"a": "b"}, "subject": CHILD, "artifactType": "application/x", "new": 1})
    manifest = parse_manifest(document, OCI_MANIFEST)
    assert isinstance(manifest, ImageManifest)
    assert (manifest.raw, manifest.digest, manifest.media_type) == (document, sha256_of(document), OCI_MANIFEST)
    assert manifest.config.media_type == OCI_CONFIG
    assert [layer.size_bytes for layer in manifest.layers] == [4]
    assert manifest.subject is not None
    assert (manifest.artifact_type, manifest.annotations) == ("application/x", {"a": "b"})


def test_an_index_lists_its_children() -> None:
    platform = {"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1", "os.features": ["x"]}
    index = parse_manifest(raw(INDEX | {"manifests": [CHILD | {"platform": platform}]}), OCI_INDEX)
    assert isinstance(index, ImageIndex)
    assert str(index.manifests[0].platform) == "linux/arm/v7"
    assert index.subject is None


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (without(MANIFEST, "mediaType"), OCI_MANIFEST),
        (without(INDEX, "mediaType"), OCI_INDEX),
        (MANIFEST | {"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST),
        (INDEX | {"mediaType": DOCKER_LIST}, DOCKER_LIST),
        (INDEX | {"manifests": []}, OCI_INDEX),
        (MANIFEST | {"layers": []}, OCI_MANIFEST),
        (MANIFEST | {"subject": None, "annotations": None, "artifactType": ""}, OCI_MANIFEST),
    ],
)
def test_what_may_be_absent(document: dict[str, Any], media_type: str) -> None:
    assert parse_manifest(raw(document), media_type).media_type == media_type


BOTH = {**MANIFEST, **INDEX}
SCHEMA_1 = {"schemaVersion": 1, "name": "x", "tag": "y", "fsLayers": [], "history": [], "signatures": []}
CROSSED = {
    "an index that is also a manifest": (BOTH, OCI_INDEX, "manifest-ambiguous"),
    "a manifest that is also an index": (BOTH | {"mediaType": OCI_MANIFEST}, OCI_MANIFEST, "manifest-ambiguous"),
    "both, saying neither, as index": (without(BOTH, "mediaType"), OCI_INDEX, "manifest-ambiguous"),
    "both, saying neither, as manifest": (without(BOTH, "mediaType"), OCI_MANIFEST, "manifest-ambiguous"),
    "an index with layers only": (INDEX | {"layers": []}, OCI_INDEX, "manifest-ambiguous"),
    "an index with a null config": (INDEX | {"config": None}, OCI_INDEX, "manifest-ambiguous"),
    "a manifest with empty manifests": (MANIFEST | {"manifests": []}, OCI_MANIFEST, "manifest-ambiguous"),
    "an index served as manifest": (INDEX, OCI_MANIFEST, "manifest-type"),
    "a manifest served as index": (MANIFEST, OCI_INDEX, "manifest-type"),
    "OCI served as Docker": (MANIFEST, DOCKER_MANIFEST, "manifest-type"),
    "Docker that does not say so": (without(MANIFEST, "mediaType"), DOCKER_MANIFEST, "manifest-type"),
    "schema 2 with schema 1's parts": (MANIFEST | {"fsLayers": []}, OCI_MANIFEST, "manifest-ambiguous"),
    "a list that does not say so": (without(INDEX, "mediaType"), DOCKER_LIST, "manifest-type"),
    "a manifest with Manifests": (MANIFEST | {"Manifests": [CHILD]}, OCI_MANIFEST, "field-case"),
    "a manifest with two config": (MANIFEST | {"Config": CONFIG}, OCI_MANIFEST, "field-case"),
    "a long s": (MANIFEST | {"layer\u017f": [LAYER]}, OCI_MANIFEST, "field-case"),
    "a null mediaType": (MANIFEST | {"mediaType": None}, OCI_MANIFEST, "field-type"),
}


@pytest.mark.parametrize("case", CROSSED)
def test_crossed_documents_are_refused(case: str) -> None:
    document, media_type, code = CROSSED[case]
    with pytest.raises(MalformedError) as error:
        parse_manifest(raw(document), media_type)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("document", "media_type", "code"),
    [
        (SCHEMA_1, "application/vnd.docker.distribution.manifest.v1+json", "schema-1"),
        (SCHEMA_1, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema-1"),
        (SCHEMA_1, DOCKER_MANIFEST, "schema-1"),
        (MANIFEST, "application/json", "manifest-type"),
        (MANIFEST, LAYER_TYPE, "manifest-type"),
        (MANIFEST, "", "manifest-type"),
    ],
)
def test_kinds_that_we_do_not_read(document: dict[str, Any], media_type: str, code: str) -> None:
    with pytest.raises(UnsupportedError) as error:
        parse_manifest(raw(document), media_type)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (MANIFEST | {"schemaVersion": 3}, "field-value"),
        (MANIFEST | {"schemaVersion": 1}, "field-value"),
        (MANIFEST | {"schemaVersion": "2"}, "field-type"),
        (without(MANIFEST, "schemaVersion"), "field-missing"),
        (without(MANIFEST, "config"), "field-missing"),
        (without(MANIFEST, "layers"), "field-missing"),
        (MANIFEST | {"layers": None}, "field-type"),
        (MANIFEST | {"layers": [None]}, "field-type"),
        (MANIFEST | {"layers": [LAYER] * (limits.MANIFEST_LAYERS + 1)}, "limits"),
        (MANIFEST | {"annotations": {"a": 1}}, "field-type"),
        (MANIFEST | {"annotations": {"a": "x" * limits.ANNOTATION_CHARACTERS}}, "limits"),
        (MANIFEST | {"subject": []}, "field-type"),
        (MANIFEST | {"artifactType": "nothing"}, "media-type"),
        ([], "field-type"),
    ],
)
def test_broken_manifests_are_refused(document: object, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_manifest(raw(document), OCI_MANIFEST)
    assert error.value.code == code


def test_an_index_has_bounded_children_and_size() -> None:
    with pytest.raises(MalformedError) as error:
        parse_manifest(raw(INDEX | {"manifests": [CHILD] * (limits.INDEX_CHILDREN + 1)}), OCI_INDEX)
    assert error.value.code == "limits"
    with pytest.raises(MalformedError) as error:
        parse_manifest(raw(INDEX).ljust(limits.MANIFEST_BYTES + 1), OCI_INDEX)
    assert error.value.code == "json-size"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"digest": "sha256:../../x"}, "digest"),
        ({"digest": 1}, "field-type"),
        ({"size": -1}, "field-value"),
        ({"size": True}, "field-value"),
        ({"size": 1.0}, "field-type"),
        ({"size": limits.BLOB_BYTES + 1}, "field-value"),
        ({"mediaType": ""}, "media-type"),
        ({"mediaType": "a/b\n"}, "media-type"),
        ({"mediaType": "../x"}, "media-type"),
        ({"mediaType": "a/" + "b" * 128}, "media-type"),
        ({"data": "!!"}, "descriptor-data"),
        ({"data": base64.b64encode(b"dat").decode()}, "descriptor-data"),
        ({"data": base64.b64encode(b"DATA").decode()}, "descriptor-data"),
        ({"data": 1}, "field-type"),
        ({"urls": "x"}, "field-type"),
        ({"urls": ["x"] * (limits.DESCRIPTOR_URLS + 1)}, "limits"),
        ({"platform": {"os": "linux"}}, "field-missing"),
        ({"platform": {"os": "linux", "architecture": ""}}, "platform"),
        ({"platform": {"os": "li/nux", "architecture": "x"}}, "platform"),
        ({"platform": {"os": "linux", "architecture": "x", "variant": "\x1b"}}, "platform"),
        ({"platform": {"os": "linux", "architecture": "x", "OS": "windows"}}, "field-case"),
        ({"Digest": str(sha256_of(b""))}, "field-case"),
        ({"annotations": []}, "field-type"),
    ],
)
def test_broken_descriptors_are_refused(values: dict[str, Any], code: str) -> None:
    with pytest.raises(MalformedError) as error:
        descriptor(**values)
    assert error.value.code == code


def test_descriptor_extras() -> None:
    assert descriptor(data=base64.b64encode(DATA).decode()) == descriptor(data=None, future=1)
    assert descriptor(platform={"os": "", "architecture": ""}).platform is None
    assert descriptor(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1").media_type.endswith("0.1")
    assert hash(descriptor(annotations={"a": "b"})) == hash(descriptor())
    assert not descriptor(urls=[]).is_foreign
    assert descriptor(urls=["https://example.org/x"]).is_foreign
    for kind in (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ):
        assert descriptor(mediaType=kind).is_foreign


@pytest.mark.parametrize(
    ("wanted", "there", "covered"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64/v9", "linux/arm64", False),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/v7", "linux/arm", False),
        ("linux/amd64/v2", "linux/amd64", False),
    ],
)
def test_platforms_cover(wanted: str, there: str, covered: bool) -> None:
    assert parse_platform(wanted).covers(parse_platform(there)) is covered


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd64\n", "l nux/x", "linux//v1"])
def test_platforms_that_are_none(text: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_platform(text)
    assert error.value.code == "platform"


def test_attested_digest() -> None:
    subject = str(sha256_of(b""))
    tied = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject}
    assert attested_digest(descriptor(annotations=tied)) == sha256_of(b"")
    assert attested_digest(descriptor()) is None
    with pytest.raises(MalformedError):
        attested_digest(descriptor(annotations={"vnd.docker.reference.type": "attestation-manifest"}))


@pytest.mark.parametrize("prefix", ["", "registry.example.org/app:", "app:prefix-", "a/b:x."])
def test_evidence_tags(prefix: str) -> None:
    for suffix in ("sig", "att", "sbom"):
        tag = format_evidence_tag(sha256_of(b""), suffix)
        assert parse_evidence_tag(prefix + tag) == (sha256_of(b""), suffix)


@pytest.mark.parametrize("name", ["", "latest", "sha256-abc.sig", "xsha256-" + "a" * 64 + ".sig", "sha256-" + "a" * 64])
def test_names_that_are_no_evidence_tags(name: str) -> None:
    assert parse_evidence_tag(name) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*LAYER, "os", "platform"]), inner),
    max_leaves=6,
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from([MANIFEST, INDEX]), st.sampled_from([*MANIFEST, *INDEX, "subject", "annotations"]), JSON)
def test_no_document_gets_another_exception(document: dict[str, Any], key: str, value: object) -> None:
    try:
        parse_manifest(raw(document | {key: value}), str(document["mediaType"]))
    except SealiftError:
        return


def test_platform_prints_without_what_is_absent() -> None:
    assert str(Platform("linux", "amd64")) == "linux/amd64"
