"""Signatures that others made in production. Every fact below was checked with other tools."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundler.digest import Digest, sha256_of
from bundler.evidence.cosign import claimed_predicate_type
from bundler.identity.fulcio import CertificateIdentity
from bundler.identity.keys import KeyIdentity, parse_public_key
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.signatures import VerifiedSignature, verify_item
from tests.simulators.judging import code_of, read_saved_layout, read_signature_file

WORKFLOW = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
GITHUB = "https://token.actions.githubusercontent.com"
REKOR = "https://rekor.sigstore.dev"
PROVENANCE = "https://slsa.dev/provenance/v0.2"


@pytest.fixture(scope="module")
def material(shared: Path) -> TrustedMaterial:
    return parse_trusted_root((shared / "real/trust/trusted_root.public-good.json").read_bytes())


def generator(shared: Path, version: str, material: TrustedMaterial) -> VerifiedSignature:
    subject, items = read_saved_layout(shared / "real" / "images" / f"slsa-generator-{version}")
    assert len(items) == 1
    assert claimed_predicate_type(items[0]) == PROVENANCE
    return verify_item(items[0], subject, material=material)


@pytest.mark.parametrize(
    ("version", "kind", "index", "at"),
    [
        ("v1.4.0", "intoto 0.0.1", 10957770, datetime(2023, 1, 11, 16, 52, 57, tzinfo=UTC)),
        ("v1.10.0", "dsse 0.0.1", 80008005, datetime(2024, 3, 21, 10, 34, 4, tzinfo=UTC)),
    ],
)
def test_slsa_generators(
    shared: Path, material: TrustedMaterial, version: str, kind: str, index: int, at: datetime
) -> None:
    verified = generator(shared, version, material)
    assert isinstance(verified.signer, CertificateIdentity)
    assert (verified.signer.san, verified.signer.issuer) == (f"{WORKFLOW}@refs/tags/{version}", GITHUB)
    assert verified.predicate_type == PROVENANCE
    assert verified.strength == "promise"
    assert verified.log is not None
    assert (verified.log.log_url, verified.log.entry_kind, verified.log.log_index) == (REKOR, kind, index)
    assert [time.at for time in verified.times] == [at]
    assert verified.scts[0].log_url == "https://ctfe.sigstore.dev/2022"


def test_extensions_of_an_older_and_a_newer_certificate(shared: Path, material: TrustedMaterial) -> None:
    old, new = (generator(shared, version, material).signer for version in ("v1.4.0", "v1.10.0"))
    assert isinstance(old, CertificateIdentity)
    assert isinstance(new, CertificateIdentity)
    assert old.extensions["github-workflow-trigger"] == "workflow_dispatch"
    assert "runner-environment" not in old.extensions
    assert new.extensions["runner-environment"] == "github-hosted"
    assert new.extensions["source-repository-digest"] == "d37a7f740ee7404914456f24dcd90e865a0509e8"
    assert len(new.extensions) == 19


def test_one_images_attestation_offered_for_another(shared: Path, material: TrustedMaterial) -> None:
    layouts = [read_saved_layout(shared / "real/images" / f"slsa-generator-{each}") for each in ("v1.4.0", "v1.10.0")]
    for (subject, _), (_, items) in (layouts, layouts[::-1]):
        assert code_of(lambda s=subject, i=items[0]: verify_item(i, s, material=material)) == "subject-mismatch"


def subject_of(folder: Path) -> Digest:
    return sha256_of((folder / "manifest.json").read_bytes())


def test_keyless_signature(shared: Path, material: TrustedMaterial) -> None:
    folder = shared / "real/cosign-dir/keyless-public-good"
    verified = verify_item(read_signature_file(folder / "signature-1"), subject_of(folder), material=material)
    assert isinstance(verified.signer, CertificateIdentity)
    assert (verified.signer.san, verified.signer.san_kind) == ("mitr@redhat.com", "email")
    assert verified.signer.issuer == "https://github.com/login/oauth"
    assert verified.log is not None
    assert verified.log.entry_kind == "hashedrekord 0.0.1"
    assert verified.claimed_reference == "192.168.64.2:5000/cosign-signed/fulcio-rekor-1"


def test_key_made_signature_that_was_not_logged(shared: Path) -> None:
    folder = shared / "real/cosign-dir/key-signed"
    key = parse_public_key((folder.parent / "cosign.pub").read_bytes())
    verified = verify_item(read_signature_file(folder / "signature-1"), subject_of(folder), key=key)
    assert verified.signer == KeyIdentity(key.fingerprint)
    assert (verified.strength, verified.times) == ("none", ())


def test_a_manifest_that_was_modified_after_signing(shared: Path) -> None:
    folder = shared / "real/cosign-dir/key-signed-modified-manifest"
    key = parse_public_key((folder.parent / "cosign.pub").read_bytes())
    item = read_signature_file(folder / "signature-1")
    assert code_of(lambda: verify_item(item, subject_of(folder), key=key)) == "digest-mismatch"


def test_another_sigstore_instance(shared: Path) -> None:
    staging = parse_trusted_root((shared / "real/trust/trusted_root.staging.json").read_bytes())
    subject, items = read_saved_layout(shared / "real/images/slsa-generator-v1.4.0")
    assert code_of(lambda: verify_item(items[0], subject, material=staging)) == "log-unknown"


def test_the_trusted_root_as_it_was_before_rotations(shared: Path, material: TrustedMaterial) -> None:
    """The certificate log and authority of 2021 do not vouch for certificates of 2023."""
    from dataclasses import replace  # noqa: PLC0415

    subject, items = read_saved_layout(shared / "real/images/slsa-generator-v1.4.0")
    for change, expected in (
        ({"authorities": material.authorities[:1]}, "cert-chain"),
        ({"certificate_logs": material.certificate_logs[:1]}, "sct"),
        ({"logs": material.logs[1:]}, "log-unknown"),
    ):
        old = replace(material, **change)  # type: ignore[arg-type]
        assert code_of(lambda old=old: verify_item(items[0], subject, material=old)) == expected  # type: ignore[misc]
