"""BuildKit's attestation manifests, in both forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.buildkit import BuildkitStatement, read_statements
from bundler.evidence.kind import provenance_version, sbom_format
from bundler.oci.annotations import attested_digest
from bundler.oci.manifest import ImageIndex, ImageManifest, parse_manifest
from tests.simulators.images import Layout, layer, provenance_statement, sbom_statement

LAYOUT = Layout()
PLATFORM = LAYOUT.image("linux/amd64", [layer(b"hello", seed=1)])
OTHER = LAYOUT.image("linux/arm64", [layer(b"hello", seed=2)])
STATEMENTS = [sbom_statement(PLATFORM), provenance_statement(PLATFORM)]


def manifest(statements: list[bytes] | None = None, *, artifact: bool = False) -> ImageManifest:
    made = LAYOUT.attestation(PLATFORM, STATEMENTS if statements is None else statements, artifact=artifact)
    parsed = parse_manifest(LAYOUT.read(made.digest), made.media_type)
    assert isinstance(parsed, ImageManifest)
    return parsed


def refused(code: str, of: ImageManifest, read: Callable[[Digest], bytes] = LAYOUT.read) -> None:
    with pytest.raises(RejectedError) as error:
        read_statements(of, PLATFORM.digest, read)
    assert error.value.code == code


@pytest.mark.parametrize("artifact", [False, True], ids=["image form", "artifact form"])
def test_both_forms(artifact: bool) -> None:
    found = read_statements(manifest(artifact=artifact), PLATFORM.digest, LAYOUT.read)
    assert [sbom_format(item.predicate_type) for item in found] == ["SPDX", None]
    assert [provenance_version(item.predicate_type) for item in found] == [None, "v1"]
    assert {item.subject for item in found} == {PLATFORM.digest}
    assert [item.statement.raw for item in found] == STATEMENTS


def test_about_another_platform() -> None:
    refused("subject-mismatch", manifest([*STATEMENTS, sbom_statement(OTHER)]))
    with pytest.raises(RejectedError) as error:
        read_statements(manifest(), OTHER.digest, LAYOUT.read)
    assert error.value.code == "subject-mismatch"


def test_the_artifacts_subject_must_agree() -> None:
    refused("subject-mismatch", replace(manifest(artifact=True), subject=OTHER))


@pytest.mark.parametrize(
    "change",
    [{"artifact_type": "application/vnd.dev.sigstore.bundle.v0.3+json"}, {"config": PLATFORM}, {"layers": (PLATFORM,)}],
)
def test_other_forms(change: dict[str, object]) -> None:
    refused("evidence-type", replace(manifest(), **change))  # type: ignore[arg-type]


def test_the_annotation_must_agree() -> None:
    good = manifest()
    lying = replace(good.layers[0], annotations={"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"})
    refused("predicate-type", replace(good, layers=(lying,)))
    silent = replace(good.layers[0], annotations={})
    assert len(read_statements(replace(good, layers=(silent,)), PLATFORM.digest, LAYOUT.read)) == 1


def test_a_signed_envelope_is_no_statement() -> None:
    refused("field-missing", manifest([json.dumps({"predicateType": "x", "payload": ""}).encode()]))


def test_blobs_are_hashed_again_and_bounded() -> None:
    refused("blob-digest", manifest(), lambda _: b"{}")
    good = manifest()
    refused("blob-digest", good, lambda digest: bytes(len(LAYOUT.read(digest))))
    refused("blob-digest", replace(good, layers=(replace(good.layers[0], size_bytes=1),)))
    refused(
        "blob-digest",
        replace(good, layers=(replace(good.layers[0], digest=Digest("sha512", "00" * 64)),)),
        lambda _: b"",
    )
    large = replace(good.layers[0], size_bytes=limits.EVIDENCE_BLOB_BYTES + 1)
    refused("limits", replace(good, layers=(large,)))


def test_an_empty_manifest_gives_nothing() -> None:
    assert read_statements(manifest([]), PLATFORM.digest, LAYOUT.read) == ()


@pytest.mark.parametrize(("name", "count"), [("buildkit-two-platforms", 4), ("slsa-generator-v1.10.0", 1)])
def test_real_ones(shared: Path, name: str, count: int) -> None:
    folder = shared / "real" / "images" / name

    def read(digest: Digest) -> bytes:
        return (folder / "blobs" / digest.algorithm / digest.hex).read_bytes()

    entry = json.loads((folder / "index.json").read_bytes())["manifests"][0]
    raw = read(Digest("sha256", entry["digest"].partition(":")[2]))
    index = parse_manifest(raw, entry["mediaType"])
    assert isinstance(index, ImageIndex)
    found: list[BuildkitStatement] = []
    for child in index.manifests:
        subject = attested_digest(child)
        if subject is not None:
            attested = parse_manifest(read(child.digest), child.media_type)
            assert isinstance(attested, ImageManifest)
            found += read_statements(attested, subject, read)
    assert len(found) == count
    assert all(sha256_of(item.statement.raw) == item.layer for item in found)


def test_malformed_statement() -> None:
    made = LAYOUT.attestation(PLATFORM, [b'{"predicateType":"x"}'])
    parsed = parse_manifest(LAYOUT.read(made.digest), made.media_type)
    assert isinstance(parsed, ImageManifest)
    with pytest.raises(MalformedError):
        read_statements(parsed, PLATFORM.digest, LAYOUT.read)
