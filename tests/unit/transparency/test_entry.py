"""Log entries: what they say, and what they are bound to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import Content
from bundler.encoding import encode_base64, format_pem
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.envelope import IN_TOTO, pre_authentication_encoding
from bundler.transparency.binding import Claim, EnvelopeParts, check_binds
from bundler.transparency.entry import (
    HashedRekord,
    LoggedDsse,
    LoggedHash,
    LoggedIntoto,
    LoggedIntotoV2,
    LoggedVerifier,
    parse_entry,
)
from bundler.transparency.entry_v2 import LoggedContent, LoggedEnvelope
from tests.simulators.judging import code_of
from tests.simulators.sigstore_log import (
    dsse_body,
    dsse_v2_body,
    hashedrekord_body,
    hashedrekord_v2_body,
    intoto_body,
    intoto_v2_body,
)

ENVELOPE, PAYLOAD, SIGNATURE = b"envelope", b"payload", b"signature"
CERTIFICATE = LoggedVerifier("certificate", b"a certificate")
KEY = LoggedVerifier("key", b"a key")
PEM = format_pem("CERTIFICATE", CERTIFICATE.der)
KEY_PEM = format_pem("PUBLIC KEY", KEY.der)
HASHEDREKORD = hashedrekord_body(PAYLOAD, SIGNATURE, PEM)
DSSE = dsse_body(ENVELOPE, PAYLOAD, SIGNATURE, PEM)
INTOTO = intoto_body(ENVELOPE, PAYLOAD, PEM)
INTOTO_V2 = intoto_v2_body(ENVELOPE, PAYLOAD, SIGNATURE, PEM)
HASHEDREKORD_V2 = hashedrekord_v2_body(PAYLOAD, SIGNATURE, CERTIFICATE.der)
PAE_V2 = hashedrekord_v2_body(pre_authentication_encoding(IN_TOTO, PAYLOAD), SIGNATURE, CERTIFICATE.der)
DSSE_V2 = dsse_v2_body(PAYLOAD, SIGNATURE, CERTIFICATE.der)


def hashed(raw: bytes) -> LoggedHash:
    return LoggedHash("sha256", hashlib.sha256(raw).hexdigest())


def test_six_kinds() -> None:
    assert parse_entry(HASHEDREKORD) == HashedRekord(hashed(PAYLOAD), SIGNATURE, CERTIFICATE)
    assert parse_entry(DSSE) == LoggedDsse(hashed(ENVELOPE), hashed(PAYLOAD), ((SIGNATURE, CERTIFICATE),))
    assert parse_entry(INTOTO) == LoggedIntoto(hashed(ENVELOPE), hashed(PAYLOAD), CERTIFICATE)
    assert parse_entry(intoto_body(ENVELOPE, None, KEY_PEM)) == LoggedIntoto(hashed(ENVELOPE), None, KEY)
    expected = LoggedIntotoV2(IN_TOTO, hashed(PAYLOAD), None, ((SIGNATURE, CERTIFICATE),), hashed(ENVELOPE))
    assert parse_entry(INTOTO_V2) == expected
    p256 = ("SHA2_256", "PKIX_ECDSA_P256_SHA_256", "certificate")
    assert parse_entry(HASHEDREKORD_V2) == LoggedContent(*p256)
    assert parse_entry(DSSE_V2) == LoggedEnvelope(*p256)


def bind_payload(body: bytes, payload: bytes, signature: bytes, verifier: LoggedVerifier) -> None:
    check_binds(parse_entry(body), body, Claim(Content(payload), signature, verifier, "ECDSA P-256"))


def bind_envelope(
    body: bytes, *parts: bytes, verifier: LoggedVerifier = CERTIFICATE, exact: bool = True, payload_type: str = IN_TOTO
) -> None:
    envelope, payload, signature = parts or (ENVELOPE, PAYLOAD, SIGNATURE)
    inside = EnvelopeParts(payload_type, payload, (envelope,) if envelope else (), exact)
    content = Content(pre_authentication_encoding(payload_type, payload))
    check_binds(parse_entry(body), body, Claim(content, signature, verifier, "ECDSA P-256", inside))


def test_bound() -> None:
    bind_payload(HASHEDREKORD, PAYLOAD, SIGNATURE, CERTIFICATE)
    bind_payload(hashedrekord_body(PAYLOAD, SIGNATURE, KEY_PEM), PAYLOAD, SIGNATURE, KEY)
    bind_envelope(DSSE)
    bind_envelope(INTOTO)
    bind_envelope(intoto_body(ENVELOPE, None, PEM))
    bind_envelope(INTOTO_V2)
    bind_payload(HASHEDREKORD_V2, PAYLOAD, SIGNATURE, CERTIFICATE)
    bind_envelope(PAE_V2)
    bind_envelope(DSSE_V2)


def test_bound_without_the_envelopes_bytes() -> None:
    """As in a Sigstore bundle. Only intoto 0.0.1 needs them: it holds nothing else that binds the signature."""
    for body in (DSSE, INTOTO_V2, DSSE_V2, PAE_V2):
        bind_envelope(body, b"", PAYLOAD, SIGNATURE, exact=False)
    bind_envelope(INTOTO, ENVELOPE, PAYLOAD, SIGNATURE, exact=False)
    assert code_of(lambda: bind_envelope(INTOTO, b"", PAYLOAD, SIGNATURE, exact=False)) == "tlog-binding"
    assert code_of(lambda: bind_envelope(INTOTO, b"another", PAYLOAD, SIGNATURE, exact=False)) == "tlog-binding"


def test_a_plain_entry_over_what_an_envelope_signs() -> None:
    """Rekor 1 has kinds of its own for envelopes; the same signature in a plain entry is another claim."""
    pae = pre_authentication_encoding(IN_TOTO, PAYLOAD)
    body = hashedrekord_body(pae, SIGNATURE, PEM)
    assert code_of(lambda: bind_payload(body, pae, SIGNATURE, CERTIFICATE)) == "held"
    assert code_of(lambda: bind_envelope(body)) == "tlog-binding"


def test_the_payload_within_an_entry() -> None:
    value = json.loads(INTOTO_V2)
    envelope = value["spec"]["content"]["envelope"]
    for payload, expected in ((PAYLOAD, "held"), (b"another", "tlog-binding")):
        envelope["payload"] = encode_base64(encode_base64(payload).encode())
        assert code_of(lambda: bind_envelope(json.dumps(value).encode())) == expected
    del envelope["payload"]
    envelope["payloadType"] = "application/json"
    assert code_of(lambda: bind_envelope(json.dumps(value).encode())) == "tlog-binding"


@pytest.mark.parametrize("body", [HASHEDREKORD_V2, PAE_V2, DSSE_V2])
def test_version_2_is_compared_whole(body: bytes) -> None:
    bind = (
        (lambda raw: bind_payload(raw, PAYLOAD, SIGNATURE, CERTIFICATE)) if body == HASHEDREKORD_V2 else bind_envelope
    )
    assert code_of(lambda: bind(body)) == "held"
    for other in (
        json.dumps(json.loads(body)).encode(),
        body.replace(b"P256_SHA_256", b"P384_SHA_384"),
        body.replace(b"SHA2_256", b"SHA2_512"),
        body.replace(b"x509Certificate", b"publicKey"),
        body.replace(encode_base64(SIGNATURE).encode(), encode_base64(b"another").encode()),
        body.replace(encode_base64(CERTIFICATE.der).encode(), encode_base64(b"another").encode()),
    ):
        assert other != body
        assert code_of(lambda raw=other: bind(raw)) == "tlog-binding"  # type: ignore[misc]


def test_version_2_by_a_key() -> None:
    body = hashedrekord_v2_body(PAYLOAD, SIGNATURE, KEY.der, certificate=False)
    bind_payload(body, PAYLOAD, SIGNATURE, KEY)
    assert code_of(lambda: bind_payload(body, PAYLOAD, SIGNATURE, CERTIFICATE)) == "tlog-binding"
    longer = hashedrekord_v2_body(PAYLOAD, SIGNATURE, KEY.der, certificate=False, algorithm="SHA2_512")
    bind_payload(longer, PAYLOAD, SIGNATURE, KEY)


def test_content_known_by_its_hash() -> None:
    content = Content(hashes={"sha256": hashlib.sha256(PAYLOAD).digest()})
    for body in (HASHEDREKORD, HASHEDREKORD_V2):
        claim = Claim(content, SIGNATURE, CERTIFICATE, "ECDSA P-256")
        check_binds(parse_entry(body), body, claim)
        assert content.hash("sha512") is None
    longer = hashedrekord_v2_body(PAYLOAD, SIGNATURE, CERTIFICATE.der, algorithm="SHA2_512")
    assert code_of(lambda: check_binds(parse_entry(longer), longer, claim)) == "tlog-binding"


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_bound_by_a_longer_hash(algorithm: str) -> None:
    value = json.loads(HASHEDREKORD)
    value["spec"]["data"]["hash"] = {"algorithm": algorithm, "value": hashlib.new(algorithm, PAYLOAD).hexdigest()}
    bind_payload(json.dumps(value).encode(), PAYLOAD, SIGNATURE, CERTIFICATE)


@pytest.mark.parametrize(
    ("payload", "signature", "verifier"),
    [
        (b"another", SIGNATURE, CERTIFICATE),
        (PAYLOAD, b"another", CERTIFICATE),
        (PAYLOAD, SIGNATURE, LoggedVerifier("certificate", b"another")),
        (PAYLOAD, SIGNATURE, LoggedVerifier("key", CERTIFICATE.der)),
    ],
)
def test_payload_of_another(payload: bytes, signature: bytes, verifier: LoggedVerifier) -> None:
    with pytest.raises(RejectedError) as error:
        bind_payload(HASHEDREKORD, payload, signature, verifier)
    assert error.value.code == "tlog-binding"


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (DSSE, (b"another", PAYLOAD, SIGNATURE)),
        (DSSE, (ENVELOPE, b"another", SIGNATURE)),
        (DSSE, (ENVELOPE, PAYLOAD, b"another")),
        (INTOTO, (b"another", PAYLOAD, SIGNATURE)),
        (INTOTO, (ENVELOPE, b"another", SIGNATURE)),
        (INTOTO_V2, (ENVELOPE, b"another", SIGNATURE)),
        (INTOTO_V2, (ENVELOPE, PAYLOAD, b"another")),
        (DSSE_V2, (ENVELOPE, b"another", SIGNATURE)),
        (PAE_V2, (ENVELOPE, b"another", SIGNATURE)),
        (HASHEDREKORD_V2, ()),
        (dsse_body(ENVELOPE, PAYLOAD, SIGNATURE, KEY_PEM), ()),
        (intoto_v2_body(ENVELOPE, PAYLOAD, SIGNATURE, KEY_PEM), ()),
        (intoto_body(ENVELOPE, PAYLOAD, KEY_PEM), ()),
        (HASHEDREKORD, ()),
    ],
)
def test_envelope_of_another(body: bytes, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(RejectedError) as error:
        bind_envelope(body, *parts)
    assert error.value.code == "tlog-binding"


def test_kinds_for_envelopes_do_not_bind_payloads() -> None:
    for body in (DSSE, INTOTO, INTOTO_V2, DSSE_V2, PAE_V2):
        with pytest.raises(RejectedError) as error:
            bind_payload(body, PAYLOAD, SIGNATURE, CERTIFICATE)
        assert error.value.code == "tlog-binding"


def test_exactly_one_logged_signature() -> None:
    for count in (0, 2):
        value = json.loads(DSSE)
        value["spec"]["signatures"] *= count
        with pytest.raises(RejectedError) as error:
            bind_envelope(json.dumps(value).encode())
        assert error.value.code == "tlog-binding"


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("rekord", "0.0.1"),
        ("hashedrekord", "0.0.3"),
        ("dsse", "0.0.3"),
        ("intoto", "0.0.3"),
        ("", ""),
        ("DSSE", "0.0.1"),
    ],
)
def test_kinds_that_bind_nothing_we_know(kind: str, version: str) -> None:
    body = json.dumps({**json.loads(DSSE), "kind": kind, "apiVersion": version}).encode()
    with pytest.raises(RejectedError) as error:
        parse_entry(body)
    assert error.value.code == "tlog-kind"


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path, *(found for key, inner in value.items() for found in leaves(inner, (*path, key)))]
    if isinstance(value, list):
        return [path, *(found for key, inner in enumerate(value) for found in leaves(inner, (*path, key)))]
    return [path]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize(
    "body",
    [HASHEDREKORD, DSSE, INTOTO, INTOTO_V2, HASHEDREKORD_V2, DSSE_V2],
    ids=["hashedrekord", "dsse", "intoto", "intoto 2", "hashedrekord 2", "dsse 2"],
)
def test_every_field_has_its_type_and_no_other_field(body: bytes) -> None:
    value = json.loads(body)
    for path in leaves(value):
        candidates: tuple[Any, ...] = (
            None,
            0,
            "",
            "!",
            True,
            [],
            {},
            [{}],
            encode_base64(b"\xff"),
            encode_base64(PEM.lower().encode()),
        )
        for new in candidates:
            refuse(json.dumps(replaced(value, path, new)).encode())
        inner = value
        for key in path:
            inner = inner[key]
        if isinstance(inner, dict):
            refuse(json.dumps(replaced(value, path, {**inner, "extra": 1})).encode())


def refuse(body: bytes) -> None:
    """Refused when read; or at the latest when bound, as signatures and lists may be empty."""
    with pytest.raises(RejectedError):
        bind_envelope(body)
    with pytest.raises(RejectedError):
        bind_payload(body, PAYLOAD, SIGNATURE, CERTIFICATE)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(RejectedError):
        parse_entry(raw)


def test_a_body_that_is_not_text() -> None:
    for pem in ("-----BEGIN X-----\nAAAA\n-----END X-----\n", "é", ""):
        with pytest.raises(MalformedError):
            parse_entry(intoto_body(ENVELOPE, PAYLOAD, pem))
