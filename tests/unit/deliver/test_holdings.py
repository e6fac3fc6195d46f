"""What a registry gets of a bundle: all documents in a sound order, all tags, nothing that registries do not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.deliver.holdings import HeldImage, Repository, descriptor_of, referrer_descriptor
from bundler.deliver.verified import VerifiedBundle, open_verified
from bundler.digest import Digest
from bundler.errors import EnvError
from bundler.oci.manifest import ImageIndex
from bundler.verify.pipeline import Request
from bundler.verify.policy import parse_policy
from tests.simulators.deliveries import NOW, Exporter, LayoutSource, make_site
from tests.simulators.evidence_image import EvidenceImage, evidence_image
from tests.simulators.tuf_repository import TufRepository
from trust_root.delivery import time_basis
from trust_root.site import load_site

OPEN_POLICY = (
    'format = 1\n[[rule]]\nimages = ["**"]\nplatforms = ["linux/amd64", "linux/arm64"]\nallow_unsigned = true\n'
)
NAME = "registry.example.org/team/app:1"


@pytest.fixture(scope="module")
def image() -> EvidenceImage:
    return evidence_image()


@pytest.fixture(scope="module")
def delivered(image: EvidenceImage, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("held")
    repository = TufRepository("main", targets={"trusted_root/demo.json": image.sigstore.trusted_root_json()})
    image.layout.write(folder / "layout")
    (folder / "policy.toml").write_text(image.policy())
    bundle = Exporter(repository, folder).deliver(LayoutSource("oci", folder / "layout", NAME))
    return bundle, make_site(folder / "state", repository.pin)


def test_documents_come_before_what_names_them(delivered: tuple[Path, Path]) -> None:
    held = only_image(delivered)
    seen: set[Digest] = set()
    for document in held.all_documents:
        if isinstance(document, ImageIndex):
            assert {child.digest for child in document.manifests} <= seen
        seen.add(document.digest)
    assert held.documents[-1].digest == held.image.digest
    assert not held.is_sparse


def test_evidence_comes_after_what_it_is_about(delivered: tuple[Path, Path]) -> None:
    held = only_image(delivered)
    seen = {document.digest for document in held.documents}
    assert len(held.evidence) > 8
    for item in held.evidence:
        assert item.evidence.subject in seen
        seen |= {document.digest for document in item.documents}


def test_everything_that_travels_is_held(image: EvidenceImage, delivered: tuple[Path, Path]) -> None:
    held = only_image(delivered)
    digests = {document.digest for document in held.all_documents} | {blob.digest for blob in held.blobs()}
    assert digests == set(image.carried)


def test_tags_are_the_images_own_and_cosigns(image: EvidenceImage, delivered: tuple[Path, Path]) -> None:
    held = only_image(delivered)
    assert held.tags["1"] == held.image.digest
    suffixes = {"cosign-signature": "sig", "cosign-attestation": "att", "cosign-sbom": "sbom"}
    wanted = {
        f"sha256-{subject.hex}.{suffixes[kind]}": digest for kind, subject, digest in image.evidence if kind in suffixes
    }
    assert {tag: digest for tag, digest in held.tags.items() if tag != "1"} == wanted


def test_a_repository_lists_referrers_by_subject(image: EvidenceImage, delivered: tuple[Path, Path]) -> None:
    held = only_image(delivered)
    repository = Repository()
    repository.add(held)
    wanted = {(subject, digest) for kind, subject, digest in image.evidence if kind == "referrer"}
    listed = {(subject, digest) for subject, found in repository.referrers.items() for digest in found}
    assert wanted <= listed
    for document in repository.manifests.values():
        assert descriptor_of(document).size_bytes == len(document.raw)
        assert referrer_descriptor(document)["digest"] == str(document.digest)


def test_every_blob_can_be_read(delivered: tuple[Path, Path]) -> None:
    bundle, state = delivered
    site = load_site(state)
    with open_verified(bundle, request(state), site) as opened:
        assert opened.bundle is not None
        for image in opened.bundle.images:
            for blob in image.blobs():
                assert sum(len(piece) for piece in opened.bundle.blob(blob.digest).read()) == blob.size_bytes


def test_a_report_that_does_not_pass_gives_no_bundle(delivered: tuple[Path, Path]) -> None:
    bundle, state = delivered
    site = load_site(state)
    with open_verified(bundle, Request(time_basis(NOW, site.floor, None, None), site=site), site) as opened:
        assert opened.bundle is None
        assert opened.run.report.exit_code == 1


def test_standard_input_cannot_be_held(delivered: tuple[Path, Path]) -> None:
    site = load_site(delivered[1])
    with pytest.raises(EnvError) as caught, open_verified(Path("-"), request(delivered[1]), site):
        pass
    assert caught.value.code == "pipe"


def request(state: Path) -> Request:
    site = load_site(state)
    policy = parse_policy((state.parent / "policy.toml").read_bytes())
    return Request(time_basis(NOW, site.floor, None, None), site=site, policy=policy, threads=1)


def held_bundle(delivered: tuple[Path, Path]) -> VerifiedBundle:
    bundle, state = delivered
    with open_verified(bundle, request(state), load_site(state)) as opened:
        assert opened.bundle is not None, opened.run.report
        return opened.bundle


def only_image(delivered: tuple[Path, Path]) -> HeldImage:
    (image,) = held_bundle(delivered).images
    return image
