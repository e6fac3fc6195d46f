"""Sigstore bundles: read strictly, written back, taken apart."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import Content
from bundler.errors import RejectedError
from bundler.evidence.envelope import Envelope
from bundler.evidence.sigstore_bundle import (
    VERSIONS,
    SigstoreBundle,
    format_bundle,
    parse_bundle,
    take_bundle_apart,
)
from tests.simulators.judging import HELD, IDENTITY, SUBJECT, code_of
from tests.simulators.sigstore_bundles import FILE, V01, V02, V03, V03_NEW, WholeSigstore, statement_bytes

SIGSTORE = WholeSigstore("bundle parts")
SIGNER = SIGSTORE.keyless(IDENTITY)
ENVELOPE = SIGSTORE.bundle(statement_bytes(SUBJECT), SIGNER, stamped=True)
MESSAGE = SIGSTORE.bundle(FILE, SIGNER, log="rekor-2")
KEYED = SIGSTORE.bundle(FILE, SIGSTORE.key_signer())
ALL = pytest.mark.parametrize("bundle", [ENVELOPE, MESSAGE, KEYED], ids=["envelope", "message", "keyed"])


def value_of(bundle: SigstoreBundle) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(format_bundle(bundle))
    return found


def code(value: object) -> str:
    return code_of(lambda: parse_bundle(value if isinstance(value, bytes) else json.dumps(value).encode()))


@ALL
@pytest.mark.parametrize("media_type", [V02, V03, V03_NEW])
def test_round_trip(bundle: SigstoreBundle, media_type: str) -> None:
    other = replace(bundle, media_type=media_type)
    raw = format_bundle(other)
    assert parse_bundle(raw) == other
    assert format_bundle(parse_bundle(raw)) == raw
    assert parse_bundle(raw).raw == raw
    assert parse_bundle(raw).version == VERSIONS[media_type]


def test_version_0_1_needs_promises() -> None:
    assert code(value_of(replace(ENVELOPE, media_type=V01))) == HELD
    assert code(value_of(replace(MESSAGE, media_type=V01))) == "bundle-version"


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in paths(item, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


def get(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@ALL
def test_every_object_refuses_unknown_fields(bundle: SigstoreBundle) -> None:
    value = value_of(bundle)
    for path in paths(value):
        inner = get(value, path)
        if isinstance(inner, dict):
            assert code(put(value, path, {**inner, "extra": 1})) == "field-unknown", path


@ALL
def test_other_types_never_crash(bundle: SigstoreBundle) -> None:
    value = value_of(bundle)
    for path in paths(value):
        for new in (None, 0, -1, 1.5, True, "", "!", "AA=", [], {}, [{}], "é", 2**64 - 1):
            code(put(value, path, new))  # refused with a code, or a value of the same kind; anything else is a bug


@ALL
def test_keys_twice(bundle: SigstoreBundle) -> None:
    raw = format_bundle(bundle)
    for name in ("mediaType", "tlogEntries", "rawBytes", "signature", "logIndex", "integratedTime"):
        field = f'"{name}":'.encode()
        if field in raw:
            assert code(raw.replace(field, field + b"0," + field, 1)) == "json-duplicate-key"


def test_one_of_each() -> None:
    value = value_of(ENVELOPE)
    message = value_of(MESSAGE)["messageSignature"]
    assert code({**value, "messageSignature": message}) == "signature"
    assert code({key: item for key, item in value.items() if key != "dsseEnvelope"}) == "signature"
    material = value["verificationMaterial"]
    for more in ({"publicKey": {"hint": "x"}}, {"x509CertificateChain": {"certificates": [material["certificate"]]}}):
        assert code({**value, "verificationMaterial": {**material, **more}}) == "key-material"
    none = {key: item for key, item in material.items() if key != "certificate"}
    assert code({**value, "verificationMaterial": none}) == "key-material"
    chain = {**none, "x509CertificateChain": {"certificates": []}}
    assert code({**value, "mediaType": V02, "verificationMaterial": chain}) == "key-material"


def test_a_chain_in_version_0_3() -> None:
    value = value_of(replace(ENVELOPE, media_type=V02))
    assert "x509CertificateChain" in value["verificationMaterial"]
    assert code(value) == HELD
    assert code({**value, "mediaType": V03}) == "bundle-version"


@pytest.mark.parametrize(
    "media_type", ["", "application/json", V01 + " ", V01.replace("0.1", "0.4"), V03_NEW.replace("v0.3", "v0.4")]
)
def test_unknown_versions(media_type: str) -> None:
    assert code({**value_of(ENVELOPE), "mediaType": media_type}) == "bundle-version"


def test_absent_timestamps() -> None:
    value = value_of(KEYED)
    for data in (None, {}, {"rfc3161Timestamps": []}):
        material = {**value["verificationMaterial"], "timestampVerificationData": data}
        assert parse_bundle(json.dumps({**value, "verificationMaterial": material}).encode()) == KEYED


def test_null_is_absent() -> None:
    """npm's registry writes `"inclusionProof":null`; ProtoJSON lets it do so with any field."""
    for bundle in (ENVELOPE, MESSAGE, KEYED):
        value = value_of(bundle)
        material = value["verificationMaterial"]
        absent = {"messageSignature", "dsseEnvelope"} - set(value)
        unused = {"certificate", "x509CertificateChain", "publicKey"} - set(material)
        spelled = {**dict.fromkeys(unused), **material}
        assert parse_bundle(
            json.dumps({**dict.fromkeys(absent), **value, "verificationMaterial": spelled}).encode()
        ) == (bundle)
        assert code({**value, "verificationMaterial": {**material, "unknown": None}}) == "field-unknown"
        assert code({**value, "verificationMaterial": dict.fromkeys(material)}) == "key-material"
        assert code({**value, "mediaType": None}) == "field-type"
    old = replace(ENVELOPE, media_type=V01)
    value = value_of(old)
    (entry,) = value["verificationMaterial"]["tlogEntries"]
    unproved = parse_bundle(json.dumps(value).replace(json.dumps(entry["inclusionProof"]), "null").encode())
    assert unproved == replace(old, entries=(replace(old.entries[0], proof=None),))
    assert code({**value, "mediaType": V02} | _with_entry(value, inclusionProof=None)) == "bundle-version"
    assert code(value | _with_entry(value, inclusionPromise=None)) == "bundle-version"


def _with_entry(value: dict[str, Any], **fields: Any) -> dict[str, Any]:
    material = value["verificationMaterial"]
    return {"verificationMaterial": {**material, "tlogEntries": [{**material["tlogEntries"][0], **fields}]}}


def test_dsse() -> None:
    value = value_of(ENVELOPE)
    signature = value["dsseEnvelope"]["signatures"][0]
    for signatures, expected in (
        ([], "dsse"),
        ([signature] * 2, "dsse"),
        ([{**signature, "keyid": "any"}], HELD),
        ([{**signature, "keyid": None}], HELD),
        ([{**signature, "keyid": 1}], "field-type"),
    ):
        assert code(put(value, ("dsseEnvelope", "signatures"), signatures)) == expected
    assert code(put(value, ("dsseEnvelope", "payloadType"), "application/json")) == "dsse-payload-type"
    assert code(put(value, ("dsseEnvelope", "signatures", 0, "sig"), "")) == "signature"


@ALL
def test_other_spellings_of_base64(bundle: SigstoreBundle) -> None:
    value = value_of(bundle)
    for path in paths(value):
        text = get(value, path)
        if isinstance(text, str) and len(text) > 60 and "\n" not in text and ":" not in text:
            for other in (
                text + "\n",
                text[:40] + "\n" + text[40:],
                text.rstrip("=") + "!",
                text.replace("+", "-") + " ",
            ):
                assert code(put(value, path, other)) == "base64", path


def test_numbers_as_text_or_numbers() -> None:
    value = value_of(ENVELOPE)
    place = ("verificationMaterial", "tlogEntries", 0, "logIndex")
    assert parse_bundle(json.dumps(put(value, place, int(get(value, place)))).encode()) == ENVELOPE
    for other in ("01", "+1", "-1", " 1", "1.0", str(2**63), "", "x"):
        assert code(put(value, place, other)) == "field-value"


def test_taken_apart() -> None:
    signed = take_bundle_apart(ENVELOPE, Content(FILE))
    assert isinstance(ENVELOPE.content, Envelope)
    assert signed.content.raw == ENVELOPE.content.signed_bytes
    assert signed.stamped == signed.signature
    assert take_bundle_apart(MESSAGE, Content(FILE)).content == Content(FILE)
    with pytest.raises(RejectedError) as error:
        take_bundle_apart(MESSAGE, Content(FILE + b"x"))
    assert error.value.code == "digest-mismatch"


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(RejectedError):
        parse_bundle(raw)
