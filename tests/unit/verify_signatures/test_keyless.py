"""Keyless signatures and attestations, whole: good ones, and one thing wrong at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.encoding import encode_base64
from bundler.evidence.cosign import CosignParts, parse_item
from bundler.evidence.envelope import IN_TOTO, format_envelope
from bundler.evidence.kind import COSIGN_ATTESTATION, COSIGN_SIGNATURE
from bundler.identity.fulcio import CertificateIdentity
from bundler.identity.keys import parse_public_key
from bundler.transparency.promise import format_promise, parse_promise
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.signatures import LogFact, verify_item
from tests.simulators.judging import HELD, IDENTITY, SUBJECT, code_of, item_of, judge
from tests.simulators.sigstore import SLSA, SignedLayer, Sigstore, format_statement
from tests.simulators.sigstore_keys import AT, GITHUB, LEAF_LIFETIME, START
from tests.simulators.sigstore_log import dsse_body, hashedrekord_body, intoto_body

SIGSTORE = Sigstore("keyless")
MATERIAL = parse_trusted_root(SIGSTORE.trusted_root_json())
SIGNER = SIGSTORE.keyless(IDENTITY, extensions={9: "builder"})
SIGNATURE = SIGSTORE.sign(SUBJECT, SIGNER)
DSSE = SIGSTORE.attest(SUBJECT, SIGNER)
INTOTO = SIGSTORE.attest(SUBJECT, SIGNER, kind="intoto")
ALL = pytest.mark.parametrize("layer", [SIGNATURE, DSSE, INTOTO], ids=["signature", "dsse", "intoto"])
SECOND = timedelta(seconds=1)


def code(layer: SignedLayer, material: TrustedMaterial | None = MATERIAL, **how: Any) -> str:
    return code_of(lambda: judge(layer, material, **how))


@ALL
def test_good(layer: SignedLayer) -> None:
    verified = judge(layer, MATERIAL)
    assert isinstance(verified.signer, CertificateIdentity)
    assert (verified.signer.san, verified.signer.issuer) == (IDENTITY, GITHUB)
    assert dict(verified.signer.extensions) == {"build-signer-uri": "builder"}
    assert [time.at for time in verified.times] == [AT]
    assert verified.strength == "promise"
    assert verified.subject == SUBJECT
    assert [sct.log_url for sct in verified.scts] == [SIGSTORE.certificate_log.url]


def test_what_the_report_needs() -> None:
    signature, dsse, intoto = (judge(layer, MATERIAL) for layer in (SIGNATURE, DSSE, INTOTO))
    assert (signature.kind, signature.predicate_type, signature.statement) == (COSIGN_SIGNATURE, None, None)
    assert signature.claimed_reference == "registry.example.org/app"
    assert (dsse.kind, dsse.predicate_type, dsse.claimed_reference) == (COSIGN_ATTESTATION, SLSA, None)
    assert dsse.log == LogFact(SIGSTORE.rekor.url, SIGSTORE.rekor.log_id, 7, AT, "dsse 0.0.1")
    assert [item.log.entry_kind for item in (signature, intoto) if item.log] == ["hashedrekord 0.0.1", "intoto 0.0.1"]


def test_what_is_malleable_is_named_and_not_believed() -> None:
    hostile = DSSE.having(predicate_type="https://spdx.dev/Document", chain="junk")
    verified = judge(hostile, MATERIAL)
    assert verified.predicate_type == SLSA
    assert [note.partition(":")[0] for note in verified.not_verified] == [
        "annotation chain",
        "annotation predicateType",
    ]
    assert judge(SIGNATURE.having(chain=None), MATERIAL).not_verified == ()


@ALL
def test_about_something_else(layer: SignedLayer) -> None:
    expected = "digest-mismatch" if layer is SIGNATURE else "subject-mismatch"
    assert code(layer, subject=sha256_of(b"another manifest")) == expected


@ALL
def test_no_promise_is_no_time(layer: SignedLayer) -> None:
    assert code(layer.having(bundle=None)) == "no-signed-time"
    assert code(layer.having(bundle=""), ignore_log=True) == "no-signed-time"
    assert code(layer.having(bundle=None, timestamp='{"SignedRFC3161Timestamp":"AAAA"}')) == "timestamp"


@ALL
def test_ignore_log_has_no_effect_on_keyless(layer: SignedLayer) -> None:
    assert judge(layer, MATERIAL, ignore_log=True).strength == "promise"
    assert code(layer.having(bundle=with_promise(layer, integrated_time=1)), ignore_log=True) == "set"


@ALL
def test_key_material(layer: SignedLayer) -> None:
    own = parse_public_key(SIGNER.public_pem.encode())
    assert code(layer, key=own) == "key-material"
    assert code(layer.having(certificate=None)) == "key-material"
    assert code(layer.having(certificate=SIGNER.public_pem)) == "key-material"


@ALL
def test_no_trusted_root(layer: SignedLayer) -> None:
    assert code(layer, None) == "log-unknown"


@ALL
def test_another_instance(layer: SignedLayer) -> None:
    other = Sigstore("other")
    theirs = parse_trusted_root(other.trusted_root_json())
    assert code(layer, theirs) == "log-unknown"
    assert code(layer, replace(theirs, logs=MATERIAL.logs)) == "cert-chain"
    assert code(layer, replace(MATERIAL, certificate_logs=theirs.certificate_logs)) == "sct"


def with_promise(layer: SignedLayer, **change: Any) -> str:
    promise = parse_promise(layer.annotations["dev.sigstore.cosign/bundle"].encode())
    return format_promise(replace(promise, **change)).decode()


@ALL
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"integrated_time": int(AT.timestamp()) + 1}, "set"),
        ({"log_index": 8}, "set"),
        ({"body": b"{}"}, "set"),
        ({"signature": b"junk"}, "set"),
        ({"log_id": bytes(32)}, "log-unknown"),
    ],
)
def test_altered_promise(layer: SignedLayer, change: dict[str, Any], expected: str) -> None:
    assert code(layer.having(bundle=with_promise(layer, **change))) == expected


@ALL
def test_promise_by_another_log_that_claims_this_ones_id(layer: SignedLayer) -> None:
    body = parse_promise(layer.annotations["dev.sigstore.cosign/bundle"].encode()).body
    fake = SIGSTORE.new_log("https://rekor.example.net").promise(body, at=AT, log_id=SIGSTORE.rekor.log_id)
    assert code(layer.having(bundle=format_promise(fake).decode())) == "set"


@ALL
@pytest.mark.parametrize("at", [AT - SECOND, AT + LEAF_LIFETIME + SECOND])
def test_signed_when_the_certificate_was_not_valid(layer: SignedLayer, at: Any) -> None:
    body = parse_promise(layer.annotations["dev.sigstore.cosign/bundle"].encode()).body
    late = SIGSTORE.rekor.promise(body, at=at)
    assert code(layer.having(bundle=format_promise(late).decode())) == "cert-expired"


@ALL
def test_altered_content(layer: SignedLayer) -> None:
    if layer is SIGNATURE:
        assert code(layer._replace(raw=layer.raw.replace(b"example", b"evil...", 1))) == "signature"
    else:
        value = json.loads(layer.raw)
        other = encode_base64(format_statement(SUBJECT, SLSA, {"evil": 1}))
        assert code(layer._replace(raw=json.dumps({**value, "payload": other}).encode())) == "signature"


@ALL
def test_certificate_of_another_signer(layer: SignedLayer) -> None:
    """Same identity, same authority, but not the key that signed."""
    again = SIGSTORE.keyless(IDENTITY)
    assert code(layer.having(certificate=again.annotations["dev.sigstore.cosign/certificate"])) == "signature"


@ALL
def test_another_certificate_for_the_same_key(layer: SignedLayer) -> None:
    """The signature and the chain hold; the log entry names the other certificate."""
    again = SIGSTORE.keyless("https://example.org/another", key=SIGNER.key)
    assert code(layer.having(certificate=again.annotations["dev.sigstore.cosign/certificate"])) == "tlog-binding"


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"content_usage": False}, "cert-usage"),
        ({"purposes": ()}, "cert-usage"),
        ({"scts": 0}, "sct"),
        ({"sct_log": SIGSTORE.new_log("https://ctfe.example.org/unknown")}, "sct"),
        ({"sct_at": START - SECOND}, "sct"),
        ({"unknown_critical": True}, "certificate"),
        ({"issued_by": SIGSTORE.new_authority()}, "cert-chain"),
        ({"issuer_raw": "https://one.example.org", "issuer_der": "https://two.example.org"}, "cert-identity"),
        ({"names": []}, "cert-identity"),
        ({"sct_extensions": b"\1\2\3"}, HELD),
    ],
)
@pytest.mark.parametrize("attested", [False, True])
def test_near_misses_of_the_certificate(knobs: dict[str, Any], expected: str, attested: bool) -> None:
    signer = SIGSTORE.keyless(IDENTITY, **knobs)
    layer = SIGSTORE.attest(SUBJECT, signer) if attested else SIGSTORE.sign(SUBJECT, signer)
    assert code(layer) == expected


def logged(layer: SignedLayer, body: bytes) -> SignedLayer:
    return layer.having(bundle=format_promise(SIGSTORE.rekor.promise(body, at=AT)).decode())


def parts_of(layer: SignedLayer) -> CosignParts:
    return parse_item(item_of(layer))


@pytest.mark.parametrize(
    "body",
    [
        lambda raw, signature, pem: hashedrekord_body(b"another", signature, pem),
        lambda raw, signature, pem: hashedrekord_body(raw, b"another", pem),
        lambda raw, signature, pem: hashedrekord_body(raw, signature, SIGNER.public_pem),
        lambda raw, signature, pem: dsse_body(raw, raw, signature, pem),
        lambda raw, signature, pem: intoto_body(raw, raw, pem),
    ],
)
def test_a_true_promise_for_another_signature_entry(body: Callable[[bytes, bytes, str], bytes]) -> None:
    """CVE-2026-22703: the log did promise this entry, and it is not about what is in hand."""
    entry = body(SIGNATURE.raw, parts_of(SIGNATURE).signature, SIGNER.verifier_pem)
    assert code(logged(SIGNATURE, entry)) == "tlog-binding"


@pytest.mark.parametrize(
    "body",
    [
        lambda raw, payload, signature, pem: dsse_body(b"another", payload, signature, pem),
        lambda raw, payload, signature, pem: dsse_body(raw, b"another", signature, pem),
        lambda raw, payload, signature, pem: dsse_body(raw, payload, b"another", pem),
        lambda raw, payload, signature, pem: dsse_body(raw, payload, signature, SIGNER.public_pem),
        lambda raw, payload, signature, pem: intoto_body(b"another", payload, pem),
        lambda raw, payload, signature, pem: intoto_body(raw, b"another", pem),
        lambda raw, payload, signature, pem: intoto_body(raw, payload, SIGNER.public_pem),
        lambda raw, payload, signature, pem: hashedrekord_body(raw, signature, pem),
        lambda raw, payload, signature, pem: hashedrekord_body(payload, signature, pem),
    ],
)
def test_a_true_promise_for_another_envelope_entry(body: Callable[[bytes, bytes, bytes, str], bytes]) -> None:
    parts = parts_of(DSSE)
    assert parts.envelope is not None
    entry = body(DSSE.raw, parts.envelope.payload, parts.signature, SIGNER.verifier_pem)
    assert code(logged(DSSE, entry)) == "tlog-binding"


def test_kinds_that_are_not_known_yet() -> None:
    entry = b'{"apiVersion":"0.0.1","kind":"rekord","spec":{}}'
    assert code(logged(SIGNATURE, entry)) == "tlog-kind"


def test_an_older_intoto_entry_without_the_payloads_hash() -> None:
    assert code(logged(INTOTO, intoto_body(INTOTO.raw, None, SIGNER.verifier_pem))) == HELD


def test_the_envelope_is_bound_byte_for_byte() -> None:
    """Re-encoded JSON has the same signature, and another hash than the log holds."""
    for layer in (DSSE, INTOTO):
        assert code(layer._replace(raw=json.dumps(json.loads(layer.raw)).encode())) == "tlog-binding"
        keyid = layer.raw.replace(b'"keyid":""', b'"keyid":"x"')
        assert code(layer._replace(raw=keyid)) == "tlog-binding"


def test_ghsa_r2xv_vpr2_42m9_a_signature_over_the_payload_alone() -> None:
    payload = format_statement(SUBJECT, SLSA, {})
    envelope = format_envelope(IN_TOTO, payload, SIGNER.sign(payload))
    body = dsse_body(envelope, payload, SIGNER.sign(payload), SIGNER.verifier_pem)
    assert code(logged(DSSE._replace(raw=envelope), body)) == "signature"


def test_two_envelope_signatures() -> None:
    value = json.loads(DSSE.raw)
    value["signatures"] *= 2
    assert code(DSSE._replace(raw=json.dumps(value).encode())) == "dsse"


def test_a_signed_statement_that_is_none() -> None:
    for statement, expected in (
        (b'{"_type":"https://in-toto.io/Statement/v9","predicateType":"x","subject":[]}', "statement-type"),
        (b"not JSON", "json"),
    ):
        assert code(SIGSTORE.attest(SUBJECT, SIGNER, statement=statement)) == expected


def test_cve_2026_39395_a_signed_payload_that_does_not_parse() -> None:
    for payload in (b"", b"not JSON", b"{}", b'{"critical":{}}'):
        assert code(SIGSTORE.sign(SUBJECT, SIGNER, payload=payload)) != HELD


def test_one_item_many_identities() -> None:
    """Verification does not depend on whom a policy wants; the identity is in the result."""
    item = item_of(SIGNATURE)
    assert verify_item(item, SUBJECT, material=MATERIAL) == verify_item(item, SUBJECT, material=MATERIAL)
