"""Every form of evidence beside an image, from its layout through the inventory to checks and facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bundler.archive.inventory import Evidence, Inventory
from bundler.digest import sha256_of
from bundler.evidence import containers_signature as files
from bundler.evidence.cosign import BUNDLE, CosignItem
from bundler.evidence.envelope import IN_TOTO, format_envelope, pre_authentication_encoding
from bundler.evidence.kind import CONTAINERS_SIGNATURE
from bundler.evidence.referrer import COSIGN_ARTIFACT, NOTATION
from bundler.evidence.sigstore_bundle import MessageSignature, format_bundle
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import EMPTY_CONFIG
from bundler.transparency.log_entry import TransparencyLogEntry, format_log_entry
from bundler.transparency.promise import format_promise
from bundler.verify.images import judge_image
from bundler.verify.result import EvidenceFact, ImageResult
from bundler.verify.strength import FETCHED, LOGGED, NOT_LOGGED, PROVED, STAMPED
from tests.simulators.claims import IDENTITY, NAME, ROOT, Claims, add_blob, demand, on_image, policy, told, verdict
from tests.simulators.deliveries import Change
from tests.simulators.images import SLSA, Layout, provenance_statement, sbom_statement, two_platforms
from tests.simulators.sigstore import SignedLayer
from tests.simulators.sigstore_bundles import V03_NEW, WholeSigstore, ed25519_key, statement_bytes
from tests.simulators.sigstore_keys import PrivateKey
from tests.simulators.sigstore_log import hashedrekord_body

SIGNED = policy(demand("signature"))
ATTESTED = policy(demand("attestation", SLSA))
NOTHING = "not verified"
LOG_ENTRY = "application/vnd.sealift.log-entry.v1+json"


@pytest.fixture
def whole() -> WholeSigstore:
    return WholeSigstore("every form")


@pytest.fixture
def claims(tmp_path: Path, whole: WholeSigstore) -> Claims:
    made = Claims(tmp_path)
    made.sigstore = whole
    made.release = whole.keyless(IDENTITY)
    made.targets = {ROOT: whole.trusted_root_json(), "keys/team.pub": made.team.public_pem.encode()}
    return made


def refer(
    layout: Layout, subject: Descriptor, layers: list[tuple[bytes, str, Mapping[str, str]]], artifact_type: str | None,
    *, config_type: str = EMPTY_CONFIG,
) -> Descriptor:  # fmt: skip
    """A referrer of `subject`."""
    stored = [replace(layout.blob(raw, kind), annotations=dict(notes)) for raw, kind, notes in layers]
    config = layout.blob(b"{}", config_type)
    return layout.name(layout.manifest(config, stored, artifact_type=artifact_type, subject=subject))


def fact_of(result: ImageResult, kind: str) -> EvidenceFact:
    (fact,) = [fact for fact in result.evidence if fact.kind == kind]
    return fact


# -- Sigstore bundles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", ["rekor-1", "rekor-2"])
def test_an_image_signature_of_cosign_3(claims: Claims, whole: WholeSigstore, log: str) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    raw = format_bundle(whole.bundle(statement_bytes(top.digest), claims.release, log=log))
    refer(layout, top, [(raw, V03_NEW, {})], V03_NEW)
    result = claims.judge(layout, SIGNED)
    assert verdict(result) == ("verified", "")
    fact = fact_of(result, "signature")
    assert (fact.strength, fact.signer, fact.demanded, fact.predicate_type) == (PROVED, IDENTITY, True, "")
    assert result.checks[0].strength == PROVED
    assert verdict(claims.judge(layout, ATTESTED)) == ("rejected", "attestation-missing")
    other = policy(demand("signature", identity="https://example.org/other"))
    assert verdict(claims.judge(layout, other)) == ("rejected", "identity-mismatch")


def test_an_attestation_in_a_referrer(claims: Claims, whole: WholeSigstore) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    raw = format_bundle(whole.bundle(statement_bytes(top.digest, SLSA), claims.release))
    refer(layout, top, [(raw, V03_NEW, {})], V03_NEW)
    result = claims.judge(layout, policy(demand("attestation", SLSA), require='["provenance"]'))
    assert verdict(result) == ("verified", "")
    assert fact_of(result, "attestation").predicate_type == SLSA
    assert verdict(claims.judge(layout, SIGNED)) == ("rejected", "signature-missing")


def test_a_plain_signature_over_the_manifest(claims: Claims, whole: WholeSigstore) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    raw = format_bundle(whole.bundle(layout.read(top.digest), claims.release))
    refer(layout, top, [(raw, V03_NEW, {})], V03_NEW)
    assert verdict(claims.judge(layout, SIGNED)) == ("verified", "")


@pytest.mark.parametrize(
    ("key", "algorithm"), [(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()), (ed25519_key("plain"), None)]
)
def test_a_plain_signature_that_needs_the_manifests_bytes(
    claims: Claims, whole: WholeSigstore, key: PrivateKey, algorithm: hashes.HashAlgorithm | None
) -> None:
    """P-384 signs SHA-384, Ed25519 the bytes themselves; the digest alone would not do."""
    layout, top, (amd64, _) = two_platforms(NAME, attested=False)
    signer = whole.keyless(IDENTITY, key=key)
    for content, expected in ((layout.read(top.digest), ""), (layout.read(amd64.digest), "signature")):
        signature = (
            key.sign(content, ec.ECDSA(algorithm))
            if isinstance(key, ec.EllipticCurvePrivateKey) and algorithm is not None
            else signer.sign(content)
        )
        plain = whole.bundle(content, signer)
        body = hashedrekord_body(content, signature, signer.verifier_pem)
        entry = whole.entry(body, "hashedrekord 0.0.1")
        made = replace(plain, content=MessageSignature(signature), entries=(entry,))
        again = Layout(dict(layout.blobs), list(layout.entries))
        refer(again, top, [(format_bundle(made), V03_NEW, {})], V03_NEW)
        assert claims.judge(again, SIGNED).reason == expected


def test_one_bad_layer_hides_no_good_one(claims: Claims, whole: WholeSigstore) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    good = format_bundle(whole.bundle(statement_bytes(top.digest), claims.release))
    refer(layout, top, [(b"{}", V03_NEW, {}), (good, V03_NEW, {}), (b"?", "application/jose+json", {})], V03_NEW)
    result = claims.judge(layout, SIGNED)
    assert verdict(result) == ("verified", "")
    told_of = [(fact.kind, fact.code) for fact in result.evidence]
    assert told_of == [("signature", ""), ("referrer", "field-missing"), ("referrer", "unchecked")]
    assert "application/jose+json" in result.evidence[-1].detail


@pytest.mark.parametrize(
    ("raw", "code"), [(b"{}", "field-missing"), (b"{", "json"), (b'{"mediaType":"x"}', "bundle-version")]
)
def test_a_bundle_that_does_not_parse_is_a_failure_and_not_missing(claims: Claims, raw: bytes, code: str) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    refer(layout, top, [(raw, V03_NEW, {})], V03_NEW)
    for wanted in (SIGNED, ATTESTED):
        result = claims.judge(layout, wanted)
        assert verdict(result) == ("rejected", code)
        assert (fact_of(result, "referrer").strength, fact_of(result, "referrer").code) == (NOTHING, code)


def test_a_bundle_of_another_image(claims: Claims, whole: WholeSigstore) -> None:
    layout, top, (amd64, _) = two_platforms(NAME, attested=False)
    raw = format_bundle(whole.bundle(statement_bytes(amd64.digest), claims.release))
    refer(layout, top, [(raw, V03_NEW, {})], V03_NEW)
    assert verdict(claims.judge(layout, SIGNED)) == ("rejected", "subject-mismatch")


def test_a_private_instance_that_stamps_and_does_not_log(claims: Claims, whole: WholeSigstore) -> None:
    """GitHub's for private repositories: its trusted root holds no logs."""
    layout, top, _ = two_platforms(NAME, attested=False)
    raw = format_bundle(whole.bundle(statement_bytes(top.digest, SLSA), claims.release, log="none"))
    refer(layout, top, [(raw, V03_NEW, {})], V03_NEW)
    assert verdict(claims.judge(layout, ATTESTED)) == ("rejected", "not-logged")
    private = {**whole.trusted_root_value(), "tlogs": [], "ctlogs": []}
    claims.targets[ROOT] = json.dumps(private).encode()
    result = claims.judge(layout, ATTESTED)
    assert verdict(result) == ("verified", "")
    assert fact_of(result, "attestation").strength == STAMPED


# -- other referrers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["artifact type", "config"])
def test_cosigns_first_referrers(claims: Claims, form: str) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    made: SignedLayer = claims.sigstore.sign(top.digest, claims.release)
    if form == "config":
        refer(layout, top, [made], None, config_type=COSIGN_ARTIFACT)
    else:
        refer(layout, top, [made], COSIGN_ARTIFACT)
    result = claims.judge(layout, SIGNED)
    assert verdict(result) == ("verified", "")
    assert fact_of(result, "signature").strength == LOGGED


def test_cosigns_attestation_referrers(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    refer(layout, top, [claims.sigstore.attest(top.digest, claims.release, predicate_type=SLSA)], IN_TOTO)
    assert verdict(claims.judge(layout, ATTESTED)) == ("verified", "")


def test_a_signed_envelope_of_buildkit(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    payload = statement_bytes(top.digest, SLSA)
    signature = claims.team.sign(pre_authentication_encoding(IN_TOTO, payload))
    raw = format_envelope(IN_TOTO, payload, signature)
    refer(layout, top, [(raw, "application/vnd.in-toto.provenance+dsse", {})], "application/vnd.in-toto+json")
    keyed = policy(demand("attestation", SLSA, key=claims.team.public_pem))
    result = claims.judge(layout, keyed)
    assert verdict(result) == ("verified", "")
    assert fact_of(result, "attestation").strength == NOT_LOGGED
    assert verdict(claims.judge(layout, ATTESTED)) == ("rejected", "key-material")


def test_a_bare_statement_is_unsigned(claims: Claims) -> None:
    layout, top, (amd64, arm64) = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.release)
    for child in (amd64, arm64):
        refer(layout, child, [(sbom_statement(child), IN_TOTO, {})], IN_TOTO)
    wanted = policy(demand("signature"), require='["sbom"]')
    assert verdict(claims.judge(layout, wanted)) == ("rejected", "sbom-unsigned")
    loose = policy(demand("signature"), require='["sbom"]', allow_unsigned="true")
    assert verdict(claims.judge(layout, loose)) == ("verified", "")
    layout, top, (amd64, arm64) = two_platforms(NAME, attested=False)
    refer(layout, amd64, [(provenance_statement(arm64), IN_TOTO, {})], IN_TOTO)
    assert fact_of(claims.judge(layout, SIGNED), "statement").code == "subject-mismatch"


@pytest.mark.parametrize(
    ("artifact_type", "named"), [(NOTATION, "Notation signature"), ("application/x-other", "x-other")]
)
def test_what_nobody_checks_is_listed(claims: Claims, artifact_type: str, named: str) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    refer(layout, top, [(b"{}", "application/jose+json", {})], artifact_type)
    fact = fact_of(claims.judge(layout, SIGNED), "referrer")
    assert (fact.strength, fact.code) == (NOTHING, "unchecked")
    assert named in fact.detail


# -- blobs of ours -----------------------------------------------------------------------------------------------------


def with_blob(raw: bytes, media_type: str, kind: str, subject: Descriptor, **more: object) -> Change:
    """An inventory with one more piece of evidence, which is a blob."""

    def change(inventory: Inventory) -> Inventory:
        inventory, digest = add_blob(inventory, raw, media_type)
        found = Evidence(kind, subject.digest, digest, media_type, len(raw), "test", **more)  # type: ignore[arg-type]
        image = inventory.images[0]
        return on_image(evidence=(*image.evidence, found))(inventory)

    return change


def test_a_signature_file_of_containers_image(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    made = claims.sigstore.sign(top.digest, claims.release)
    item = CosignItem(CONTAINERS_SIGNATURE, top.digest, 0, made.media_type, made.raw, made.annotations)
    raw = files.format_containers_signature(item)
    assert replace(files.parse_containers_signature(raw), manifest=top.digest) == item
    for content, expected in (
        (raw, ""),
        (raw.replace(b"\0sigstore", b"\1sigstore"), "evidence-type"),
        (raw[:-9], "json"),
    ):
        layout.blob(content, files.MEDIA_TYPE)
        change = with_blob(content, files.MEDIA_TYPE, CONTAINERS_SIGNATURE, top)
        result = claims.judge(layout, SIGNED, change=change)
        assert result.reason == expected
        fact = fact_of(result, "signature")
        assert (fact.strength, fact.code, fact.digest) == (
            NOTHING if expected else LOGGED,
            expected,
            sha256_of(content),
        )


def fetched(
    claims: Claims, whole: WholeSigstore, layout: Layout, top: Descriptor
) -> tuple[Descriptor, TransparencyLogEntry]:
    """A `.sig` with a promise only, and the whole entry of the log."""
    made = whole.sign(top.digest, claims.release, at=None)
    body = hashedrekord_body(made.raw, claims.release.sign(made.raw), claims.release.verifier_pem)
    entry = whole.entry(body, "hashedrekord 0.0.1")
    assert entry.promise is not None
    promised = replace_annotation(made, format_promise(entry.promise).decode())
    return claims.beside(layout, top, "sig", promised), entry


def replace_annotation(layer: SignedLayer, promise: str) -> SignedLayer:
    return layer._replace(annotations={**layer.annotations, BUNDLE: promise})


def test_a_log_entry_fetched_at_export(claims: Claims, whole: WholeSigstore) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    signature, entry = fetched(claims, whole, layout, top)
    assert fact_of(claims.judge(layout, SIGNED), "signature").strength == LOGGED
    proof = entry.proof
    assert proof is not None
    for changed, reason, strength in (
        (entry, "", FETCHED),
        (replace(entry, log_index=1), "", LOGGED),
        (replace(entry, proof=replace(proof, log_index=0)), "inclusion-proof", NOTHING),
        (replace(entry, log_id=bytes(32)), "", LOGGED),
    ):
        raw = format_log_entry(changed)
        layout.blob(raw, LOG_ENTRY)
        more = {
            "augments": signature.digest, "log": entry.log_id.hex(), "fetched_at": datetime(2026, 11, 1, tzinfo=UTC),
        }  # fmt: skip
        result = claims.judge(layout, SIGNED, change=with_blob(raw, LOG_ENTRY, "log-entry", top, **more))
        assert (result.reason, fact_of(result, "signature").strength) == (reason, strength)
        listed = [fact.code for fact in result.evidence if fact.kind == "log-entry"]
        if changed is entry:
            assert listed == []
        elif changed.log_id != entry.log_id:
            assert listed == ["log-entry"]
        else:
            assert listed == ["unchecked"]


def test_evidence_about_a_blob_is_about_nothing(claims: Claims) -> None:
    """A manifest can be a subject, its image's or that of other evidence; a signature file cannot."""
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.release)
    first = layout.blob(b"one", files.MEDIA_TYPE)
    layout.blob(b"two", files.MEDIA_TYPE)
    about_image = with_blob(b"one", files.MEDIA_TYPE, CONTAINERS_SIGNATURE, top)
    about_blob = with_blob(b"two", files.MEDIA_TYPE, CONTAINERS_SIGNATURE, first)
    assert claims.judge(layout, SIGNED, change=about_image).reason == ""
    result = claims.judge(layout, SIGNED, change=lambda inventory: about_blob(about_image(inventory)))
    assert result.reason == "evidence-subject"


def test_a_log_entry_about_another_subject_than_what_it_completes(claims: Claims, whole: WholeSigstore) -> None:
    layout, top, children = two_platforms(NAME, attested=False)
    signature, entry = fetched(claims, whole, layout, top)
    raw = format_log_entry(entry)
    layout.blob(raw, LOG_ENTRY)
    more = {"augments": signature.digest, "log": entry.log_id.hex(), "fetched_at": datetime(2026, 11, 1, tzinfo=UTC)}
    change = with_blob(raw, LOG_ENTRY, "log-entry", children[0], **more)
    assert claims.judge(layout, SIGNED, change=change).reason == "evidence-subject"


def test_a_time_after_the_verification(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.release)
    inventory = claims.inventory((layout, NAME))
    contents = {digest: layout.read(digest) for digest in layout.blobs}
    bench = replace(claims.bench(inventory, SIGNED, contents), at=datetime(2025, 1, 1, tzinfo=UTC))
    result = judge_image(inventory.images[0], bench).result
    assert told(result, "signature") == [("failed", "time-in-future", "")]
