"""Published weaknesses of others, as tests of ours: those that touch Sigstore bundles, proofs and timestamps.

Those of cosign's own items are in test_advisories.py; those of timestamps alone (CVE-2025-52556, CVE-2026-39984) beside
identity/timestamp.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.evidence.envelope import IN_TOTO, Envelope
from bundler.evidence.referrer import BundleItem
from bundler.evidence.sigstore_bundle import MessageSignature, SigstoreBundle, format_bundle, parse_bundle
from bundler.identity.keys import parse_public_key
from bundler.transparency.proof import InclusionProof
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.signatures import verify_item
from tests.simulators.judging import HELD, IDENTITY, SUBJECT, code_of
from tests.simulators.log_tree import checkpoint_text
from tests.simulators.sigstore import SLSA
from tests.simulators.sigstore_bundles import V01, WholeSigstore, statement_bytes
from tests.simulators.sigstore_certificates import der
from tests.simulators.sigstore_keys import AT, START
from tests.simulators.sigstore_log import hashedrekord_v2_body

SIGSTORE = WholeSigstore("bundle advisories")
MATERIAL = parse_trusted_root(SIGSTORE.trusted_root_json())
SIGNER = SIGSTORE.keyless(IDENTITY)
FIRST = SIGSTORE.bundle(statement_bytes(SUBJECT), SIGNER)
SECOND = SIGSTORE.bundle(statement_bytes(SUBJECT), SIGNER, log="rekor-2")
BOTH = pytest.mark.parametrize("bundle", [FIRST, SECOND], ids=["rekor 1", "rekor 2"])
OTHER = sha256_of(b"another image manifest")


def code(bundle: SigstoreBundle, material: TrustedMaterial = MATERIAL, **how: Any) -> str:
    item = BundleItem(sha256_of(b"a referrer"), 0, parse_bundle(format_bundle(bundle)))
    return code_of(lambda: verify_item(item, SUBJECT, material=material, **how))


def bundle_code(bundle: SigstoreBundle) -> str:
    return code_of(lambda: parse_bundle(format_bundle(bundle)))


@BOTH
def test_cve_2022_23649_and_cve_2022_36056_entry_of_another(bundle: SigstoreBundle) -> None:
    """Everything is genuine, and does not belong together."""
    log = "rekor-2" if bundle is SECOND else "rekor-1"
    of_another = SIGSTORE.bundle(statement_bytes(OTHER), SIGNER, log=log)
    by_another = SIGSTORE.bundle(statement_bytes(SUBJECT), SIGSTORE.keyless("https://evil.example.org/x"), log=log)
    for other in (of_another, by_another):
        assert code(replace(bundle, entries=other.entries)) == "tlog-binding"
    assert code(replace(bundle, certificate=by_another.certificate)) == "signature"
    assert code(replace(bundle, content=by_another.content)) == "signature"


@BOTH
def test_cve_2026_22703_any_entry(bundle: SigstoreBundle) -> None:
    attacker = SIGSTORE.key_signer()
    log = "rekor-2" if bundle is SECOND else "rekor-1"
    own = SIGSTORE.bundle(b"mine", attacker, log=log)
    assert code(replace(bundle, entries=own.entries)) == "tlog-binding"


def test_cve_2022_35929_only_the_signed_type_counts() -> None:
    attested = SIGSTORE.bundle(statement_bytes(SUBJECT, SLSA), SIGNER)
    item = BundleItem(OTHER, 0, parse_bundle(format_bundle(attested)))
    found = verify_item(item, SUBJECT, material=MATERIAL)
    assert (found.role, found.predicate_type) == ("attestation", SLSA)


@pytest.mark.parametrize("integrated", [1, int(AT.timestamp()), None])
def test_cve_2024_55655_and_cve_2026_48816_time_with_a_proof_alone(integrated: int | None) -> None:
    """A proof shows that an entry is there, and nothing of when: `integratedTime` without promise is no time."""
    entry = replace(FIRST.entries[0], signed_entry_timestamp=None, integrated_time=integrated)
    assert code(replace(FIRST, entries=(entry,))) == "no-signed-time"
    late = replace(SECOND.entries[0], integrated_time=integrated)
    assert code(replace(SECOND, entries=(late,), timestamps=())) == "no-signed-time"


def test_cve_2024_45395_endless_entries() -> None:
    for many in (33, 1000):
        entries = tuple(replace(FIRST.entries[0], log_index=number) for number in range(many))
        assert bundle_code(replace(FIRST, entries=entries)) == "limits"
        stamps = tuple(str(number).encode() for number in range(many))
        assert bundle_code(replace(SECOND, timestamps=stamps)) == "limits"
    subjects = json.loads(statement_bytes(SUBJECT))
    subjects["subject"] *= 1025
    assert code(SIGSTORE.bundle(json.dumps(subjects).encode(), SIGNER, envelope=True)) == "limits"


def test_cve_2026_49834_two_entries_in_one_log_are_one() -> None:
    again = SIGSTORE.bundle(statement_bytes(SUBJECT), SIGNER, kind="intoto 0.0.2").entries
    item = BundleItem(OTHER, 0, parse_bundle(format_bundle(replace(FIRST, entries=FIRST.entries + again))))
    found = verify_item(item, SUBJECT, material=MATERIAL)
    assert (len(found.logs), found.log_count) == (2, 1)


@BOTH
def test_cve_2024_53267_entry_that_mismatches(bundle: SigstoreBundle) -> None:
    """The body is altered, and logged anew by the true log."""
    body = json.loads(bundle.entries[0].body)
    spec = body["spec"]
    if bundle is SECOND:
        spec["hashedRekordV002"]["data"]["digest"] = "A" * 43 + "="
        fake = SIGSTORE.entry_2(json.dumps(body).encode(), "hashedrekord 0.0.2")
    else:
        spec["payloadHash"]["value"] = "0" * 64
        fake = SIGSTORE.entry(json.dumps(body).encode(), "dsse 0.0.1")
    assert code(replace(bundle, entries=(fake,))) == "tlog-binding"


@BOTH
def test_cve_2024_54140_checkpoint_by_nobody(bundle: SigstoreBundle) -> None:
    entry = bundle.entries[0]
    proof = entry.proof
    assert proof is not None
    attacker = SIGSTORE.new_key()
    is_v2 = bundle is SECOND
    tree = SIGSTORE.rekor_2.tree if is_v2 else SIGSTORE.tree
    origin = SIGSTORE.rekor_2.host if is_v2 else "rekor.example.org - 1193050959916656506"
    forged = SIGSTORE.proof(tree, tree.bodies.index(entry.body), origin, attacker)
    unsigned = replace(proof, checkpoint=checkpoint_text(origin, proof.tree_size, proof.root_hash).encode())
    for other, expected in ((forged, "checkpoint-signature"), (unsigned, "checkpoint")):
        assert code(replace(bundle, entries=(replace(entry, proof=other),))) == expected


def test_cve_2026_24122_expired_intermediate() -> None:
    short = replace(SIGSTORE.authority, intermediate_validity=(START, AT.replace(hour=0)))
    value = {**SIGSTORE.trusted_root_value(), "certificateAuthorities": [short.trusted((START, None))]}
    expired = parse_trusted_root(json.dumps(value).encode())
    for bundle in (FIRST, SECOND):
        assert code(bundle, expired) == "cert-expired"


@pytest.mark.parametrize("payload", [b"", b"{", b"null", b"[]", b'{"_type":1}', b"\xff"])
def test_cve_2026_39395_payload_that_does_not_parse(payload: bytes) -> None:
    assert code(SIGSTORE.bundle(payload, SIGNER, envelope=True)) not in (HELD, "signature")


@BOTH
def test_ghsa_fx35_mq7g_6g98_a_certificates_key_is_no_key(bundle: SigstoreBundle) -> None:
    own = parse_public_key(SIGNER.public_pem.encode())
    assert code(bundle, key=own) == "key-material"
    assert code(replace(bundle, certificate=None, key_hint="")) == "key-material"
    assert code(replace(bundle, certificate=None, key_hint=""), key=own) == "tlog-binding"


def test_ghsa_r2xv_vpr2_42m9_signed_without_pae() -> None:
    payload = statement_bytes(SUBJECT)
    content = Envelope(b"", IN_TOTO, payload, SIGNER.sign(payload))
    assert code(replace(FIRST, content=content)) == "signature"
    # The other way round: an envelope's signature offered as one over a file.
    assert isinstance(FIRST.content, Envelope)
    plain = replace(FIRST, content=MessageSignature(FIRST.content.signature))
    assert code(plain) == "signature"


def test_a_content_hash_that_another_key_signed() -> None:
    """Rekor 2 binds the key inside the body: an entry naming another one is another entry."""
    assert isinstance(SECOND.content, Envelope)
    other = SIGSTORE.keyless(IDENTITY, key=SIGNER.key)
    assert other.certificate is not None
    body = hashedrekord_v2_body(SECOND.content.signed_bytes, SECOND.content.signature, der(other.certificate))
    fake = SIGSTORE.entry_2(body, "hashedrekord 0.0.2")
    assert code(replace(SECOND, entries=(fake,))) == "tlog-binding"


def test_a_proof_of_another_tree_size() -> None:
    proof = SECOND.entries[0].proof
    assert isinstance(proof, InclusionProof)
    for change in ({"tree_size": 0}, {"tree_size": 1}, {"hashes": ()}, {"hashes": proof.hashes * 2}):
        other = replace(proof, **change)  # type: ignore[arg-type]
        assert code(replace(SECOND, entries=(replace(SECOND.entries[0], proof=other),))) == "inclusion-proof"


def test_version_0_1_keeps_its_promise() -> None:
    """A downgrade to the version that needs no proof still needs a promise."""
    assert bundle_code(replace(SECOND, media_type=V01)) == "bundle-version"
