"""cosign's manifests, item by item."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.cosign import CosignItem, claimed_predicate_type, parse_item, read_items
from bundler.evidence.kind import COSIGN_ATTESTATION, COSIGN_SBOM, COSIGN_SIGNATURE
from tests.simulators.judging import IDENTITY, SUBJECT, item_of
from tests.simulators.sigstore import SLSA, Sigstore, store
from tests.simulators.sigstore_certificates import der

SIGSTORE = Sigstore("cosign")
SIGNER = SIGSTORE.keyless(IDENTITY)
SIGNATURE = SIGSTORE.sign(SUBJECT, SIGNER)
ATTESTATION = SIGSTORE.attest(SUBJECT, SIGNER)
KEY_MADE = SIGSTORE.sign(SUBJECT, SIGSTORE.key_signer(), at=None)


def refused(item: CosignItem, code: str) -> None:
    with pytest.raises(RejectedError) as error:
        parse_item(item)
    assert error.value.code == code


def test_items_in_order() -> None:
    stored = store([SIGNATURE, KEY_MADE])
    items = read_items(stored.manifest, COSIGN_SIGNATURE, stored.blobs.__getitem__)
    assert [item.position for item in items] == [0, 1]
    assert [item.has_certificate for item in items] == [True, False]
    assert [item.has_promise for item in items] == [True, False]
    assert {item.manifest for item in items} == {stored.descriptor.digest}
    assert not any(item.has_timestamp for item in items)


def test_parts() -> None:
    parts = parse_item(item_of(SIGNATURE))
    assert parts.signed_bytes == SIGNATURE.raw
    assert parts.certificate is not None
    assert SIGNER.certificate is not None
    assert parts.certificate.der == der(SIGNER.certificate)
    assert parts.envelope is None
    attested = parse_item(item_of(ATTESTATION))
    assert attested.envelope is not None
    assert attested.signed_bytes == attested.envelope.signed_bytes


def test_one_bad_layer_does_not_hide_a_good_one() -> None:
    stored = store([SIGNATURE._replace(media_type="text/plain"), SIGNATURE.having(bundle="{"), SIGNATURE])
    items = read_items(stored.manifest, COSIGN_SIGNATURE, stored.blobs.__getitem__)
    refused(items[0], "evidence-type")
    refused(items[1], "json")
    parse_item(items[2])


def test_newlines_in_the_signature_only() -> None:
    text = SIGNATURE.annotations["dev.cosignproject.cosign/signature"]
    assert parse_item(item_of(SIGNATURE.having(signature=f" {text[:20]}\r\n\t{text[20:]}\n"))).signature
    for bad in (f"{text}\u2003", f"{text}\x1c", text[:-1], f"{text}="):
        refused(item_of(SIGNATURE.having(signature=bad)), "base64")


def test_no_signature() -> None:
    for none in (None, "", " \n"):
        refused(item_of(SIGNATURE.having(signature=none)), "signature")


def test_an_attestation_has_its_signature_in_the_envelope() -> None:
    refused(item_of(ATTESTATION.having(signature="AAAA")), "signature")
    parse_item(item_of(ATTESTATION.having(signature=None)))


def test_empty_annotations_are_absent_ones() -> None:
    parts = parse_item(item_of(SIGNATURE.having(certificate="", bundle="")))
    assert (parts.certificate, parts.promise) == (None, None)


def test_exactly_one_certificate() -> None:
    pem = SIGNATURE.annotations["dev.sigstore.cosign/certificate"]
    for bad in (pem + pem, pem + SIGNATURE.annotations["dev.sigstore.cosign/chain"], "x", pem[:-30]):
        refused(item_of(SIGNATURE.having(certificate=bad)), "pem")
    refused(item_of(SIGNATURE.having(certificate=SIGNER.public_pem)), "key-material")


def test_the_media_type_is_that_of_the_kind() -> None:
    refused(replace(item_of(SIGNATURE), kind=COSIGN_ATTESTATION), "evidence-type")
    refused(replace(item_of(ATTESTATION), kind=COSIGN_SIGNATURE), "evidence-type")
    refused(replace(item_of(SIGNATURE), kind=COSIGN_SBOM), "evidence-type")


def test_claimed_predicate_type() -> None:
    assert claimed_predicate_type(item_of(ATTESTATION)) == SLSA
    assert claimed_predicate_type(item_of(ATTESTATION.having(predicate_type="https://spdx.dev/Document"))) == SLSA
    assert claimed_predicate_type(item_of(SIGNATURE)) is None
    assert claimed_predicate_type(item_of(ATTESTATION._replace(raw=b"{}"))) is None


def test_blobs_are_hashed_again() -> None:
    stored = store([SIGNATURE])
    for lie in (b"", SIGNATURE.raw + b" ", bytes(len(SIGNATURE.raw))):
        with pytest.raises(MalformedError) as error:
            read_items(stored.manifest, COSIGN_SIGNATURE, dict.fromkeys(stored.blobs, lie).__getitem__)
        assert error.value.code == "blob-digest"


def test_cve_2023_46737_and_2024_29902_endless_attachments() -> None:
    """Refused by what the manifest says, before a byte is read."""

    def read(_: object) -> bytes:
        raise AssertionError

    manifest = store([SIGNATURE]).manifest
    many = replace(manifest, layers=manifest.layers * (limits.MANIFEST_LAYERS + 1))
    large = replace(manifest, layers=(replace(manifest.layers[0], size_bytes=limits.EVIDENCE_BLOB_BYTES + 1),))
    for hostile in (many, large):
        with pytest.raises(MalformedError) as error:
            read_items(hostile, COSIGN_SIGNATURE, read)
        assert error.value.code == "limits"


def test_hostile_annotations_stay_our_errors() -> None:
    for text in ("\ud800", "\0", "\x00" * 10, "[" * 100_000, '{"a":' * 100, "é"):
        for name in ("bundle", "certificate", "signature"):
            item = item_of(SIGNATURE)
            names = {key for key in item.annotations if key.endswith(name)}
            with pytest.raises(RejectedError):
                parse_item(replace(item, annotations={**item.annotations, **dict.fromkeys(names, text)}))


def test_manifest_digest_is_kept() -> None:
    assert item_of(SIGNATURE).manifest == store([SIGNATURE]).descriptor.digest != sha256_of(b"")
