"""Published weaknesses of others in this field, as tests of ours (those that touch signatures on images)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from bundler.digest import sha256_of
from bundler.encoding import decode_base64, encode_base64
from bundler.identity.keys import parse_public_key
from bundler.transparency.promise import format_promise, parse_promise
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from tests.simulators.judging import HELD, IDENTITY, SUBJECT, code_of, judge
from tests.simulators.sigstore import SignedLayer, Sigstore
from tests.simulators.sigstore_keys import AT, START
from tests.simulators.sigstore_log import hashedrekord_body

BUNDLE = "dev.sigstore.cosign/bundle"
SIGSTORE = Sigstore("advisories")
MATERIAL = parse_trusted_root(SIGSTORE.trusted_root_json())
SIGNER = SIGSTORE.keyless(IDENTITY)
OTHER_SUBJECT = sha256_of(b"another image manifest")
MINE = [
    SIGSTORE.sign(SUBJECT, SIGNER),
    SIGSTORE.attest(SUBJECT, SIGNER),
    SIGSTORE.attest(SUBJECT, SIGNER, kind="intoto"),
]
THEIRS = [
    SIGSTORE.sign(OTHER_SUBJECT, SIGNER),
    SIGSTORE.attest(OTHER_SUBJECT, SIGNER),
    SIGSTORE.attest(OTHER_SUBJECT, SIGNER, kind="intoto"),
]
PAIRS = pytest.mark.parametrize(("mine", "theirs"), list(zip(MINE, THEIRS, strict=True)))


def code(layer: SignedLayer, material: TrustedMaterial | None = MATERIAL) -> str:
    return code_of(lambda: judge(layer, material))


@PAIRS
def test_cve_2022_23649_promise_of_another_image(mine: SignedLayer, theirs: SignedLayer) -> None:
    """The promise is true, of the same signer and log, and about another image's signature."""
    assert code(mine) == HELD
    assert code(mine.having(bundle=theirs.annotations[BUNDLE])) == "tlog-binding"


def test_cve_2022_35929_predicate_type_of_an_annotation() -> None:
    """A wanted type is met by the signed statement only; the annotation can say what it likes."""
    layer = SIGSTORE.attest(SUBJECT, SIGNER, predicate_type="https://example.org/other")
    verified = judge(layer.having(predicate_type="https://spdx.dev/Document"), MATERIAL)
    assert verified.predicate_type == "https://example.org/other"


@PAIRS
def test_cve_2022_36056_bundle_of_another_signer(mine: SignedLayer, theirs: SignedLayer) -> None:
    """Certificate, promise and signature are each genuine, and do not belong together."""
    stranger = SIGSTORE.keyless("https://evil.example.org/workflow")
    foreign = (SIGSTORE.sign if mine is MINE[0] else SIGSTORE.attest)(SUBJECT, stranger)
    for parts in (("certificate",), ("bundle",), ("certificate", "bundle")):
        names = {name: foreign.annotations[f"dev.sigstore.cosign/{name}"] for name in parts}
        assert code(mine.having(**names)) in {"signature", "tlog-binding"}
    assert code(theirs) in {"digest-mismatch", "subject-mismatch"}


@pytest.mark.parametrize("layer", MINE)
def test_cve_2024_55655_and_cve_2026_48816_time_without_a_promise(layer: SignedLayer) -> None:
    """An integratedTime that no log signed is no time."""
    value = json.loads(layer.annotations[BUNDLE])
    for promise in ("", encode_base64(b"0"), None):
        bundle = json.dumps({**value, "SignedEntryTimestamp": promise})
        assert code(layer.having(bundle=bundle)) in {"set", "field-type"}
    assert code(layer.having(bundle=json.dumps({"Payload": value["Payload"]}))) == "field-missing"
    assert code(layer.having(bundle=None)) == "no-signed-time"


@pytest.mark.parametrize("layer", MINE)
def test_cve_2026_22703_any_entry(layer: SignedLayer) -> None:
    """An attacker logs something of his own; the promise for it says nothing about this layer."""
    attacker = SIGSTORE.key_signer()
    body = hashedrekord_body(b"mine", attacker.sign(b"mine"), attacker.verifier_pem)
    bundle = format_promise(SIGSTORE.rekor.promise(body, at=AT)).decode()
    assert code(layer.having(bundle=bundle)) == "tlog-binding"


@pytest.mark.parametrize("layer", MINE)
def test_cve_2026_24122_expired_intermediate(layer: SignedLayer) -> None:
    short = replace(SIGSTORE.authority, intermediate_validity=(START, AT - timedelta(seconds=1)))
    value = json.loads(SIGSTORE.trusted_root_json())
    value["certificateAuthorities"] = [short.trusted((START, None))]
    assert code(layer, parse_trusted_root(json.dumps(value).encode())) == "cert-expired"


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b'{"critical":null,"optional":null}', b"\xff"])
def test_cve_2026_39395_payload_that_does_not_parse(payload: bytes) -> None:
    assert code(SIGSTORE.sign(SUBJECT, SIGNER, payload=payload)) != HELD
    assert code(SIGSTORE.attest(SUBJECT, SIGNER, statement=payload or b" ")) != HELD


@pytest.mark.parametrize("layer", MINE)
def test_ghsa_fx35_mq7g_6g98_key_in_the_certificates_place(layer: SignedLayer) -> None:
    assert code(layer.having(certificate=SIGNER.public_pem)) == "key-material"
    own = parse_public_key(SIGNER.public_pem.encode())
    assert code_of(lambda: judge(layer, MATERIAL, key=own)) == "key-material"


@pytest.mark.parametrize("layer", MINE)
def test_cve_2024_53267_entry_that_mismatches(layer: SignedLayer) -> None:
    """The body is altered in one field at a time and promised anew by the true log."""
    promise = parse_promise(layer.annotations[BUNDLE].encode())
    strings = [value for value in json.loads(promise.body, object_hook=list_strings) if len(value) > 20]
    assert len(strings) >= 3
    for value in strings:
        changed = promise.body.replace(value.encode(), alter(value).encode())
        fake = format_promise(SIGSTORE.rekor.promise(changed, at=AT)).decode()
        assert code(layer.having(bundle=fake)) in {"tlog-binding", "pem", "base64", "certificate"}


def list_strings(value: dict[str, object]) -> list[str]:
    found: list[str] = []
    for inner in value.values():
        if isinstance(inner, str):
            found.append(inner)
        elif isinstance(inner, list):
            found += [text for item in inner for text in (item if isinstance(item, list) else [item])]
    return found


def alter(text: str) -> str:
    """Another value of the same kind: a hash with one digit changed, or base64 with one byte changed."""
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return ("1" if text[0] == "0" else "0") + text[1:]
    raw = bytearray(decode_base64(text, "test"))
    raw[len(raw) // 2] ^= 1
    return encode_base64(bytes(raw))
