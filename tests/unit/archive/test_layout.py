"""index.json and the places of blobs are functions of the inventory."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bundler.archive.contents import Evidence, Image
from bundler.archive.inventory import format_inventory, layout_index
from bundler.archive.layout import OCI_LAYOUT
from bundler.archive.storage import DOCKER_CONFIG, blob_rank, may_compress, pays
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, UnsupportedError
from bundler.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.simulators.bundles import DSSE, OCI_LAYER, sample_head, sample_inventory

SUBJECT, ATTESTATION, SIGNATURE, OTHER = (sha256_of(name.encode()) for name in ("subject", "att", "sig", "other"))


def image(name: str, *evidence: Evidence) -> Image:
    return Image(name, SUBJECT, OCI_INDEX, 10, "oci", (), (), evidence, ())


def evidence(kind: str, digest: Digest = ATTESTATION) -> Evidence:
    return Evidence(kind, SUBJECT, digest, OCI_MANIFEST, 20, "tag")


def entries(*images: Image) -> list[tuple[str, str]]:
    document = json.loads(layout_index(sample_head(images=images)))
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == OCI_INDEX
    return [
        (entry["annotations"]["org.opencontainers.image.ref.name"], entry["digest"]) for entry in document["manifests"]
    ]


def test_exact_bytes() -> None:
    raw = layout_index(sample_head(images=[image("a.example/b:1", evidence("cosign-signature", SIGNATURE))]))
    name, tag = "a.example/b:1", f"a.example/b:sha256-{SUBJECT.hex}.sig"
    key = "org.opencontainers.image.ref.name"
    assert raw.decode() == (
        f'{{"manifests":[{{"annotations":{{"{key}":"{name}"}},"digest":"{SUBJECT}","mediaType":"{OCI_INDEX}","size":10}},'
        f'{{"annotations":{{"{key}":"{tag}"}},"digest":"{SIGNATURE}","mediaType":"{OCI_MANIFEST}","size":20}}],'
        f'"mediaType":"{OCI_INDEX}","schemaVersion":2}}'
    )
    assert OCI_LAYOUT == b'{"imageLayoutVersion":"1.0.0"}'


def test_images_come_first_then_evidence_in_inventory_order() -> None:
    one = image("a.example:5000/b/c:1", evidence("cosign-attestation"), evidence("cosign-signature", SIGNATURE))
    two = image("a.example/d@" + str(SUBJECT), evidence("cosign-sbom", OTHER))
    assert entries(one, two) == [
        ("a.example:5000/b/c:1", str(SUBJECT)),
        (f"a.example/d@{SUBJECT}", str(SUBJECT)),
        (f"a.example:5000/b/c:sha256-{SUBJECT.hex}.att", str(ATTESTATION)),
        (f"a.example:5000/b/c:sha256-{SUBJECT.hex}.sig", str(SIGNATURE)),
        (f"a.example/d:sha256-{SUBJECT.hex}.sbom", str(OTHER)),
    ]


def test_evidence_inside_an_index_is_not_listed() -> None:
    assert entries(image("a.example/b:1", evidence("buildkit-attestation"))) == [("a.example/b:1", str(SUBJECT))]


def test_the_same_evidence_of_two_tags_is_listed_once() -> None:
    both = entries(
        image("a.example/b:1", evidence("cosign-attestation")), image("a.example/b:2", evidence("cosign-attestation"))
    )
    assert [digest for _, digest in both] == [str(SUBJECT), str(SUBJECT), str(ATTESTATION)]


def test_the_same_evidence_in_two_repositories_has_two_names() -> None:
    one = image("a.example/b:1", evidence("cosign-attestation"))
    two = image("a.example/c:1", evidence("cosign-attestation"))
    assert len(entries(one, two)) == 4


def test_one_name_for_two_manifests_is_refused() -> None:
    one = image("a.example/b:1", evidence("cosign-attestation"))
    two = image("a.example/b:2", evidence("cosign-attestation", OTHER))
    with pytest.raises(MalformedError) as error:
        layout_index(sample_head(images=[one, two]))
    assert error.value.code == "layout-name"


def test_an_unknown_kind_is_unsupported() -> None:
    with pytest.raises(UnsupportedError) as error:
        layout_index(sample_head(images=[image("a.example/b:1", evidence("another"))]))
    assert error.value.code == "evidence-kind"


@pytest.mark.parametrize(
    ("media_type", "rank"),
    [
        (OCI_INDEX, 0),
        (DOCKER_LIST, 0),
        (OCI_MANIFEST, 1),
        (DOCKER_MANIFEST, 1),
        (OCI_CONFIG, 2),
        (DOCKER_CONFIG, 2),
        (DSSE, 3),
        ("application/vnd.in-toto+json", 3),
        ("application/vnd.oci.empty.v1+json", 3),
        ("application/vnd.dev.cosign.simplesigning.v1+json", 3),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", 3),
        (OCI_LAYER, 4),
        (OCI_LAYER + "+gzip", 4),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", 4),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", 4),
    ],
)
def test_rank(media_type: str, rank: int) -> None:
    assert blob_rank(media_type) == rank


@pytest.mark.parametrize(
    ("media_type", "size_bytes", "answer"),
    [
        (OCI_LAYER, 65536, True),
        (OCI_LAYER, 65535, False),
        (DSSE, 1 << 20, True),
        ("application/octet-stream", 1 << 20, True),
        (OCI_LAYER + "+gzip", 1 << 20, False),
        (OCI_LAYER + "+zstd", 1 << 20, False),
        (OCI_LAYER + "+GZIP", 1 << 20, False),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", 1 << 20, False),
        ("application/gzip", 1 << 20, False),
        ("application/vnd.acme.gzipper", 1 << 20, True),
        (OCI_INDEX, 1 << 20, False),
        (DOCKER_MANIFEST, 1 << 20, False),
        (OCI_CONFIG, 1 << 20, False),
        (DOCKER_CONFIG, 1 << 20, False),
    ],
)
def test_may_compress(media_type: str, size_bytes: int, answer: bool) -> None:
    assert may_compress(media_type, size_bytes) is answer


def test_a_frame_pays_from_a_tenth_on() -> None:
    assert pays(100_000, 90_000)
    assert not pays(100_000, 90_001)


def test_two_tags_of_one_image_are_one_blob() -> None:
    sample, _ = sample_inventory()
    twin = dataclasses.replace(sample.images[0], name="registry.example/app:2")
    assert format_inventory(dataclasses.replace(sample, images=(*sample.images, twin)))


def test_referrers_bear_no_name_and_are_listed_once() -> None:
    one = image("a.example/b:1", evidence("referrer", OTHER), evidence("referrer", SIGNATURE))
    two = image("a.example/c:1", evidence("referrer", OTHER), evidence("cosign-signature", SIGNATURE))
    listed = json.loads(layout_index(sample_head(images=[one, two])))["manifests"]
    assert [(entry["digest"], "annotations" in entry) for entry in listed[2:]] == [
        (str(OTHER), False),
        (str(SIGNATURE), True),  # cosign's name is there, so the nameless entry is not
    ]


def test_blobs_of_ours_are_no_entries() -> None:
    kinds = [evidence("containers-signature"), evidence("log-entry", OTHER), evidence("buildkit-attestation")]
    assert entries(image("a.example/b:1", *kinds)) == [("a.example/b:1", str(SUBJECT))]
