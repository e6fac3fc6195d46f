"""Sigstore bundles in every form, whole: good ones, and one thing wrong at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bundler.digest import Content, sha256_of
from bundler.encoding import encode_base64
from bundler.evidence.envelope import Envelope
from bundler.evidence.referrer import COSIGN_SIGN, BundleItem
from bundler.evidence.sigstore_bundle import SigstoreBundle, format_bundle, parse_bundle
from bundler.identity.certificate import parse_certificate
from bundler.identity.keys import PublicKey, parse_public_key
from bundler.transparency.promise import format_promise
from bundler.verify.blob import VerifiedBlob, hash_artifact, known_digest, verify_blob
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.policy import KeylessSigner, TextRule
from bundler.verify.signatures import VerifiedSignature, verify_item
from bundler.verify.strength import FETCHED, LOGGED, NOT_LOGGED, PROVED, STAMPED, strength_of
from tests.simulators.judging import HELD, IDENTITY, SUBJECT, code_of, judge
from tests.simulators.sigstore import SLSA
from tests.simulators.sigstore_bundles import (
    FILE,
    FILE_DIGEST,
    V01,
    V02,
    V03,
    V03_NEW,
    WITNESS,
    WholeSigstore,
    statement_bytes,
)
from tests.simulators.sigstore_certificates import der
from tests.simulators.sigstore_keys import AT, GITHUB, LEAF_LIFETIME, START
from tests.simulators.sigstore_log import hashedrekord_body

SIGSTORE = WholeSigstore("bundles")
MATERIAL = parse_trusted_root(SIGSTORE.trusted_root_json())
SIGNER = SIGSTORE.keyless(IDENTITY)
KEYED = SIGSTORE.key_signer()
KEY = parse_public_key(KEYED.public_pem.encode())
WANTED = KeylessSigner(TextRule(IDENTITY), TextRule(GITHUB), None)
STATEMENT = statement_bytes(SUBJECT)
ABOUT_FILE = statement_bytes(FILE_DIGEST, SLSA)
SECOND = timedelta(seconds=1)

ENVELOPES = {
    "dsse 0.0.1": SIGSTORE.bundle(STATEMENT, SIGNER),
    "intoto 0.0.2": SIGSTORE.bundle(STATEMENT, SIGNER, kind="intoto 0.0.2"),
    "intoto 0.0.1": SIGSTORE.bundle(STATEMENT, SIGNER, kind="intoto 0.0.1"),
    "hashedrekord 0.0.2": SIGSTORE.bundle(STATEMENT, SIGNER, log="rekor-2"),
    "dsse 0.0.2": SIGSTORE.bundle(STATEMENT, SIGNER, log="rekor-2", kind="dsse 0.0.2"),
}
FILES = {
    "hashedrekord 0.0.1": SIGSTORE.bundle(FILE, SIGNER),
    "hashedrekord 0.0.2": SIGSTORE.bundle(FILE, SIGNER, log="rekor-2"),
}
FIRST, SECOND_LOG = ENVELOPES["dsse 0.0.1"], ENVELOPES["hashedrekord 0.0.2"]


def item(bundle: SigstoreBundle) -> BundleItem:
    """A Sigstore bundle as a referrer holds it, by way of its JSON."""
    return BundleItem(sha256_of(b"a referrer"), 0, parse_bundle(format_bundle(bundle)))


def verified(bundle: SigstoreBundle, material: TrustedMaterial | None = MATERIAL, **how: Any) -> VerifiedSignature:
    return verify_item(item(bundle), how.pop("subject", SUBJECT), material=material, **how)


def code(bundle: SigstoreBundle, material: TrustedMaterial | None = MATERIAL, **how: Any) -> str:
    return code_of(lambda: verified(bundle, material, **how))


def blob(
    bundle: SigstoreBundle, artifact: Content | None = None, signer: KeylessSigner | PublicKey = WANTED, **how: Any
) -> VerifiedBlob:
    content = known_digest(FILE_DIGEST) if artifact is None else artifact
    material = how.pop("material", MATERIAL)
    return verify_blob(format_bundle(bundle), content, signer=signer, material=material, **how)


def with_entry(bundle: SigstoreBundle, **change: Any) -> SigstoreBundle:
    return replace(bundle, entries=(replace(bundle.entries[0], **change),))


def with_proof(bundle: SigstoreBundle, **change: Any) -> SigstoreBundle:
    proof = bundle.entries[0].proof
    assert proof is not None
    return with_entry(bundle, proof=replace(proof, **change))


# -- good ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENVELOPES)
def test_an_image_signature_of_cosign_3(kind: str) -> None:
    found = verified(ENVELOPES[kind])
    assert (found.role, found.predicate_type, strength_of(found)) == ("signature", None, PROVED)
    assert found.log is not None
    assert found.log.entry_kind == kind
    assert found.statement is not None
    assert found.statement.predicate_type == COSIGN_SIGN
    assert [time.at for time in found.times] == [AT]


def test_an_attestation() -> None:
    found = verified(SIGSTORE.bundle(statement_bytes(SUBJECT, SLSA), SIGNER))
    assert (found.role, found.predicate_type) == ("attestation", SLSA)


@pytest.mark.parametrize("media_type", [V02, V03, V03_NEW])
@pytest.mark.parametrize("kind", FILES)
def test_a_file(kind: str, media_type: str) -> None:
    bundle = replace(FILES[kind], media_type=media_type)
    for artifact in (known_digest(FILE_DIGEST), Content(FILE)):
        found = blob(bundle, artifact)
        assert (found.digest, found.strength, found.statement) == (FILE_DIGEST, "proof", None)
    assert code_of(lambda: blob(bundle, known_digest(SUBJECT))) == "digest-mismatch"
    assert code_of(lambda: blob(bundle, Content(FILE + b"\n"))) == "digest-mismatch"


def test_a_statement_about_a_file() -> None:
    bundle = SIGSTORE.bundle(ABOUT_FILE, SIGNER)
    found = blob(bundle)
    assert found.statement is not None
    assert found.statement.predicate_type == SLSA
    assert code_of(lambda: blob(bundle, known_digest(SUBJECT))) == "subject-mismatch"


def hashed(*algorithms: str, of: bytes = FILE) -> dict[str, str]:
    return {name: hashlib.new(name, of).hexdigest() for name in algorithms}


@pytest.mark.parametrize(
    ("subjects", "by_file", "by_digest"),
    [
        ([hashed("sha512")], HELD, "artifact-needed"),  # npm's
        ([hashed("sha384")], HELD, "artifact-needed"),
        ([hashed("sha256", "sha512")], HELD, HELD),
        ([{**hashed("sha256"), "gitCommit": "0" * 40}], HELD, HELD),
        ([hashed("sha256", of=b"x"), hashed("sha512")], HELD, "artifact-needed"),
        ([hashed("sha256", of=b"x"), hashed("sha256", "sha512")], HELD, HELD),
        ([hashed("sha256", "sha512", of=b"x")], "subject-mismatch", "subject-mismatch"),
        ([{**hashed("sha256"), **hashed("sha512", of=b"x")}], "subject-mismatch", HELD),
        ([hashed("sha512", of=b"x")], "subject-mismatch", "artifact-needed"),
        ([{"sha512": hashed("sha512")["sha512"].upper()}], "subject-mismatch", "artifact-needed"),
        ([{"gitCommit": "0" * 40}], "subject-mismatch", "subject-mismatch"),
    ],
)
def test_subjects_of_a_statement_about_a_file(subjects: list[dict[str, str]], by_file: str, by_digest: str) -> None:
    value = {**json.loads(ABOUT_FILE), "subject": [{"digest": digests} for digests in subjects]}
    bundle = SIGSTORE.bundle(json.dumps(value, separators=(",", ":")).encode(), SIGNER)
    assert code_of(lambda: blob(bundle, Content(FILE))) == by_file
    assert code_of(lambda: blob(bundle, known_digest(FILE_DIGEST))) == by_digest


def test_a_plain_signature_over_the_manifest_is_an_image_signature() -> None:
    found = verified(FILES["hashedrekord 0.0.1"], subject=FILE_DIGEST)
    assert (found.role, found.statement) == ("signature", None)
    assert code(FILES["hashedrekord 0.0.1"]) == "digest-mismatch"


def test_a_file_read_from_a_stream(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILE)
    with path.open("rb") as stream:
        assert hash_artifact(stream) == Content(FILE)


def test_version_0_1_with_a_promise_and_no_checkpoint() -> None:
    old = replace(FIRST, media_type=V01)
    assert strength_of(verified(old)) == PROVED
    bare = with_proof(old, checkpoint=None)
    assert strength_of(verified(bare)) == LOGGED
    assert "inclusion proof without a checkpoint: counts for nothing" in verified(bare).not_verified
    assert code(with_proof(bare, log_index=0)) == "inclusion-proof"
    assert strength_of(verified(with_entry(old, proof=None))) == LOGGED


def test_a_witness() -> None:
    for bundle in (FIRST, SECOND_LOG):
        cosigned = replace(bundle, entries=(SIGSTORE.cosigned(bundle.entries[0]),))
        assert strength_of(verified(cosigned)) == PROVED
        found = verified(cosigned, witnesses=(SIGSTORE.witness,))
        assert strength_of(found) == f"{PROVED}, 1 witness"
        assert found.log is not None
        assert found.log.witnesses == (WITNESS,)


def test_two_logs_of_one_operator_count_as_one() -> None:
    """protobuf-specs `sigstore_trustroot.proto`: two proofs from logs by the same operator count as one."""
    both = replace(SECOND_LOG, entries=(FIRST.entries[0], *SECOND_LOG.entries))
    for operators, count in ((("x.org", "x.org"), 1), (("x.org", "y.org"), 2), (("x.org", ""), 2)):
        value = SIGSTORE.trusted_root_value()
        for log, operator in zip(value["tlogs"], operators, strict=True):
            log["operator"] = operator
        assert verified(both, parse_trusted_root(json.dumps(value).encode())).log_count == count


def test_logs_without_an_address() -> None:
    """`cosign trusted-root create` writes none unless it is told; Rekor 2 cannot do without, for its origin."""
    value = SIGSTORE.trusted_root_value()
    for log in (*value["tlogs"], *value["ctlogs"]):
        del log["baseUrl"]
    del value["tlogs"][1]  # its id is made of its name
    found = verified(FIRST, parse_trusted_root(json.dumps(value).encode()))
    assert found.log is not None
    assert found.log.log_url == found.times[0].source == f"log {SIGSTORE.rekor.log_id.hex()}"
    value["tlogs"].append({**SIGSTORE.rekor_2.trusted((START, None)), "baseUrl": ""})
    value["tlogs"][1]["logId"] = {"keyId": encode_base64(hashlib.sha256(SIGSTORE.rekor_2.spki).digest())}
    by_key = parse_trusted_root(json.dumps(value).encode())
    unnamed = with_entry(SECOND_LOG, log_id=by_key.logs[1].log_id)
    assert code(unnamed, by_key) == "checkpoint-origin"


def test_two_logs_count_as_two_and_one_as_one() -> None:
    """CVE-2026-49834: thresholds count logs, not entries."""
    both = replace(SECOND_LOG, entries=(FIRST.entries[0], *SECOND_LOG.entries))
    assert verified(both).log_count == 2
    one = replace(FIRST, entries=(FIRST.entries[0], ENVELOPES["intoto 0.0.2"].entries[0]))
    assert (len(verified(one).logs), verified(one).log_count) == (2, 1)
    broken = replace(SECOND_LOG.entries[0], log_index=0)
    assert code(replace(both, entries=(FIRST.entries[0], broken))) == "inclusion-proof"
    twice = replace(FIRST, entries=(FIRST.entries[0], replace(FIRST.entries[0], log_index=1)))
    assert code(twice) == "duplicate-evidence"


def test_an_entry_of_a_log_that_the_site_does_not_know_refuses_a_good_one_too() -> None:
    """All entries are checked; one whose log's name was changed would else go by unseen (THREATS I12)."""
    both = replace(SECOND_LOG, entries=(FIRST.entries[0], *SECOND_LOG.entries))
    assert verified(both).log_count == 2
    value = SIGSTORE.trusted_root_value()
    for log in value["tlogs"]:
        assert code(both, parse_trusted_root(json.dumps({**value, "tlogs": [log]}).encode())) == "log-unknown"
    strange = replace(FIRST.entries[0], log_id=bytes(32), log_index=1)
    assert code(replace(both, entries=(*both.entries, strange))) == "log-unknown"
    assert code(FIRST) == "held"
    assert code(replace(FIRST, entries=(*FIRST.entries, strange))) == "log-unknown"


# -- by a key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("log", "expected"), [("rekor-1", PROVED), ("rekor-2", PROVED), ("none", STAMPED)])
def test_by_a_key(log: str, expected: str) -> None:
    bundle = SIGSTORE.bundle(STATEMENT, KEYED, log=log)
    assert strength_of(verified(bundle, key=KEY)) == expected
    assert code(bundle) == "key-material"
    other = parse_public_key(SIGSTORE.key_signer().public_pem.encode())
    assert code(bundle, key=other) == "signature"
    file = SIGSTORE.bundle(FILE, KEYED, log=log)
    assert blob(file, signer=KEY).strength in ("proof", "time")


def test_by_a_key_and_unlogged() -> None:
    bundle = SIGSTORE.bundle(STATEMENT, KEYED, log="none", stamped=False)
    assert strength_of(verified(bundle, key=KEY)) == NOT_LOGGED
    assert strength_of(verified(bundle, None, key=KEY)) == NOT_LOGGED


def test_key_material() -> None:
    """A certificate where a key was demanded, and the other way round (GHSA-fx35-mq7g-6g98)."""
    own = parse_public_key(SIGNER.public_pem.encode())
    assert code(FIRST, key=own) == "key-material"
    assert code_of(lambda: blob(FILES["hashedrekord 0.0.1"], signer=own)) == "key-material"


def test_ignored_logs_are_said() -> None:
    bundle = with_entry(SIGSTORE.bundle(STATEMENT, KEYED), log_index=1)
    assert code(bundle, key=KEY) == "set"
    found = verified(bundle, key=KEY, ignore_log=True)
    assert (found.strength, found.not_verified) == ("none", ("log entry: ignored, as the policy says",))


# -- TSA only --------------------------------------------------------------------------------------------------------


def test_time_stamped_and_not_logged() -> None:
    """GitHub's private instance: no logs in its trusted root, so a timestamp is all there can be."""
    bundle = SIGSTORE.bundle(STATEMENT, SIGNER, log="none")
    private = replace(MATERIAL, logs=(), certificate_logs=())
    found = verified(bundle, private)
    assert (strength_of(found), found.log, found.scts, found.signed_at) == (STAMPED, None, (), AT)
    assert code(bundle) == "not-logged"
    assert code(replace(bundle, timestamps=()), private) == "no-signed-time"
    assert code(FIRST, private) == "log-unknown"


# -- downgrade, removal, change --------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[Callable[[], SigstoreBundle], str]] = {
    "no log entry": (lambda: replace(FIRST, entries=()), "no-signed-time"),
    "no log entry, stamped": (lambda: replace(SECOND_LOG, entries=()), "not-logged"),
    "no proof": (lambda: with_entry(FIRST, proof=None), "bundle-version"),
    "no checkpoint": (lambda: with_proof(FIRST, checkpoint=None), "bundle-version"),
    "no promise, no timestamp": (lambda: with_entry(FIRST, signed_entry_timestamp=None), "no-signed-time"),
    "0.1 without promise": (
        lambda: with_entry(replace(FIRST, media_type=V01), signed_entry_timestamp=None), "bundle-version",
    ),
    "promise without its time": (lambda: with_entry(FIRST, integrated_time=None), "set"),
    "time + 1": (lambda: with_entry(FIRST, integrated_time=int(AT.timestamp()) + 1), "set"),
    "index + 1": (lambda: with_entry(FIRST, log_index=FIRST.entries[0].log_index + 1), "set"),
    "proof index + 1": (lambda: with_proof(FIRST, log_index=0), "inclusion-proof"),
    "another log id": (lambda: with_entry(FIRST, log_id=bytes(32)), "log-unknown"),
    "log id of the other log": (lambda: with_entry(FIRST, log_id=SIGSTORE.rekor_2.log_id), "set"),
    "another kind claimed": (lambda: with_entry(FIRST, kind="hashedrekord"), "tlog-kind"),
    "another version claimed": (lambda: with_entry(SECOND_LOG, version="0.0.1"), "tlog-kind"),
    "entry of another": (lambda: replace(FIRST, entries=SIGSTORE.bundle(ABOUT_FILE, SIGNER).entries), "tlog-binding"),
    "rekor 2 without timestamp": (lambda: replace(SECOND_LOG, timestamps=()), "no-signed-time"),
    "rekor 2 index": (lambda: with_entry(SECOND_LOG, log_index=0), "inclusion-proof"),
    "rekor 2 with a promise": (
        lambda: with_entry(SECOND_LOG, signed_entry_timestamp=b"0", integrated_time=int(AT.timestamp())), "set",
    ),
    "timestamp of another": (lambda: replace(SECOND_LOG, timestamps=(SIGSTORE.tsa.stamp(b"x"),)), "timestamp-imprint"),
    "timestamp too late": (
        lambda: replace(
            SECOND_LOG, timestamps=(SIGSTORE.tsa.stamp(SECOND_LOG.content.signature, at=AT + LEAF_LIFETIME + SECOND),)
        ),
        "cert-expired",
    ),
    "one good and one late timestamp": (
        lambda: replace(
            SECOND_LOG,
            timestamps=(
                *SECOND_LOG.timestamps,
                SIGSTORE.tsa.stamp(SECOND_LOG.content.signature, at=AT + 3 * LEAF_LIFETIME),
            ),
        ),
        "cert-expired",
    ),
    "timestamp twice": (lambda: replace(SECOND_LOG, timestamps=SECOND_LOG.timestamps * 2), "duplicate-evidence"),
    "33 timestamps": (lambda: replace(SECOND_LOG, timestamps=tuple(bytes([n]) for n in range(33))), "limits"),
    "33 entries": (lambda: replace(FIRST, entries=FIRST.entries * 33), "limits"),
    "certificate of another": (
        lambda: replace(FIRST, certificate=SIGSTORE.bundle(STATEMENT, SIGSTORE.keyless(IDENTITY)).certificate),
        "signature",
    ),
    "no certificate": (lambda: replace(FIRST, certificate=None, key_hint=""), "key-material"),
    "a statement of another": (
        lambda: replace(FIRST, content=SIGSTORE.bundle(statement_bytes(FILE_DIGEST), SIGNER).content),
        "subject-mismatch",
    ),
    "payload changed": (
        lambda: replace(FIRST, content=Envelope(b"", "application/vnd.in-toto+json", STATEMENT + b" ", b"1")),
        "signature",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_has_its_code(change: str) -> None:
    make, expected = CHANGES[change]
    assert code(make()) == expected


def test_what_may_be_taken_away() -> None:
    """A promise beside a proof and a timestamp says nothing more: taking it away changes no strength, only a time."""
    stamped = SIGSTORE.bundle(STATEMENT, SIGNER, stamped=True)
    found = verified(with_entry(stamped, signed_entry_timestamp=None))
    assert strength_of(found) == PROVED
    assert found.log is not None
    assert (found.log.log_index, found.log.integrated_at) == (None, None)


def test_another_checkpoint() -> None:
    proof = FIRST.entries[0].proof
    assert proof is not None
    assert proof.checkpoint is not None
    other = SIGSTORE.proof(SIGSTORE.tree, 1, "rekor.other.example - 1", SIGSTORE.rekor.key).checkpoint
    assert code(with_proof(FIRST, checkpoint=other)) in {"checkpoint-signature", "inclusion-proof"}
    assert code(with_proof(FIRST, root_hash=bytes(32))) == "inclusion-proof"
    assert code(with_proof(FIRST, tree_size=proof.tree_size + 1)) == "inclusion-proof"
    unsigned = proof.checkpoint.partition(b"\n\n")[0] + "\n\n— x AAAAAAAA\n".encode()
    assert code(with_proof(FIRST, checkpoint=unsigned)) == "checkpoint-signature"


def test_rekor_2_under_another_origin() -> None:
    """Signed by the log's own key under Rekor 1's form of origin: not what the trusted root's address says."""
    tree = SIGSTORE.rekor_2.tree
    index = tree.bodies.index(SECOND_LOG.entries[0].body)
    for origin in (f"{SIGSTORE.rekor_2.host} - 7", "log.other.example"):
        proof = SIGSTORE.proof(tree, index, origin, SIGSTORE.rekor_2.key)
        assert code(with_entry(SECOND_LOG, proof=proof)) == "checkpoint-origin"


def test_roots_inside() -> None:
    intermediate, anchor = (parse_certificate(der(each)) for each in SIGSTORE.authority.chain)
    old = replace(FIRST, media_type=V02)
    assert code(replace(old, chain=(intermediate,))) == HELD
    assert code(replace(old, chain=(intermediate, anchor))) == "bundle-root-cert"


def test_message_digest() -> None:
    bundle = FILES["hashedrekord 0.0.1"]
    assert not isinstance(bundle.content, Envelope)
    for change, expected in (
        ({"hash_algorithm": None}, HELD),
        ({"hash_value": bytes(32)}, "digest-mismatch"),
        ({"hash_algorithm": "SHA2_512"}, "digest-mismatch"),
        ({"hash_algorithm": "SHA2_999"}, "field-value"),
    ):
        content = replace(bundle.content, **change)  # type: ignore[arg-type]
        assert code_of(lambda content=content: blob(replace(bundle, content=content))) == expected  # type: ignore[misc]


def test_no_time_after_the_verification() -> None:
    for bundle in (FIRST, SECOND_LOG):
        for at, expected in ((AT - timedelta(days=1), HELD), (AT - timedelta(days=1, seconds=1), "time-in-future")):
            assert code(bundle, at=at) == expected


# -- proofs that were fetched at export ------------------------------------------------------------------------------


def test_a_fetched_proof() -> None:
    layer = SIGSTORE.sign(SUBJECT, SIGNER, at=None)
    body = hashedrekord_body(layer.raw, SIGNER.sign(layer.raw), SIGNER.verifier_pem)
    entry = SIGSTORE.entry(body, "hashedrekord 0.0.1")
    assert entry.promise is not None
    promised = layer.having(bundle=format_promise(entry.promise).decode())
    assert strength_of(judge(promised, MATERIAL)) == LOGGED
    assert strength_of(judge(promised, MATERIAL, proofs=(entry,))) == FETCHED
    proof = entry.proof
    assert proof is not None
    for change in ({"log_index": 1}, {"log_id": bytes(32)}, {"integrated_time": 1}, {"body": b"{}"}, {"proof": None}):
        other = replace(entry, **change)  # type: ignore[arg-type]
        assert strength_of(judge(promised, MATERIAL, proofs=(other,))) == LOGGED
    broken: list[tuple[Any, str]] = [
        (replace(entry, proof=replace(proof, log_index=0)), "inclusion-proof"),
        (replace(entry, proof=replace(proof, checkpoint=None)), "checkpoint"),
        (replace(entry, signed_entry_timestamp=b"0"), "set"),
    ]
    for other, expected in broken:
        assert code_of(lambda other=other: judge(promised, MATERIAL, proofs=(other,))) == expected  # type: ignore[misc]


# -- windows ---------------------------------------------------------------------------------------------------------

BEFORE, AFTER = (START, AT - SECOND), (AT + SECOND, None)
WINDOWS: list[tuple[str, dict[str, tuple[datetime, datetime | None]], SigstoreBundle, str]] = [
    ("log key ended before the integrated time", {"log_window": BEFORE}, FIRST, "log-window"),
    ("log key starts after the integrated time", {"log_window": AFTER}, FIRST, "log-window"),
    ("certificate log's key ended before the SCT", {"certificate_log_window": BEFORE}, FIRST, "sct"),
    ("authority's window ended before signing", {"authority_window": BEFORE}, FIRST, "ca-window"),
    ("authority's window starts after signing", {"authority_window": AFTER}, FIRST, "ca-window"),
    ("rekor 2 key ended before the timestamp", {"rekor_2_window": BEFORE}, SECOND_LOG, "log-window"),
    ("rekor 2 key starts after the timestamp", {"rekor_2_window": AFTER}, SECOND_LOG, "log-window"),
    ("timestamp authority's window ended before", {"timestamp_window": BEFORE}, SECOND_LOG, "tsa-window"),
    ("timestamp authority's window starts after", {"timestamp_window": AFTER}, SECOND_LOG, "tsa-window"),
]


@pytest.mark.parametrize(("windows", "bundle", "expected"), [case[1:] for case in WINDOWS], ids=[c[0] for c in WINDOWS])
def test_windows_that_others_miss(windows: dict[str, Any], bundle: SigstoreBundle, expected: str) -> None:
    assert code(bundle, parse_trusted_root(SIGSTORE.trusted_root_json(**windows))) == expected
    closed = dict.fromkeys(windows, (START, AT))
    opened = dict.fromkeys(windows, (AT, None))
    for ends in (closed, opened):
        assert code(bundle, parse_trusted_root(SIGSTORE.trusted_root_json(**ends))) == HELD


def test_a_trusted_root_whose_id_is_not_the_keys() -> None:
    """One of the nine windows and bindings that others miss (EVIDENCE 3); origin and index of Rekor 2 are above."""
    value = SIGSTORE.trusted_root_value()
    value["tlogs"][1]["logId"] = value["tlogs"][0]["logId"]
    assert code_of(lambda: parse_trusted_root(json.dumps(value).encode())) == "trust-root-malformed"


def test_a_proof_without_a_promise_is_judged_at_the_timestamp() -> None:
    stamped = with_entry(SIGSTORE.bundle(STATEMENT, SIGNER, stamped=True), signed_entry_timestamp=None)
    late = parse_trusted_root(SIGSTORE.trusted_root_json(log_window=(AT + SECOND, None)))
    assert code(stamped) == HELD
    assert code(stamped, late) == "log-window"
