"""RFC 3161 timestamps: every sentence of the module's rules, good and bad, and every code."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.identity.chain import CertificateAuthority
from bundler.identity.der import format_der, parse_elements
from bundler.identity.timestamp import VerifiedTimestamp, open_timestamp, parse_timestamp
from bundler.moment import Window
from bundler.verify.material import parse_trusted_root
from tests.simulators.sigstore_certificates import der
from tests.simulators.sigstore_keys import AT, END, START
from tests.simulators.sigstore_tsa import TIME_STAMPING, TimestampAuthority, accuracy, attribute, extension

MESSAGE = b"a signature"
TSA = TimestampAuthority()
OTHER = TimestampAuthority("other", host="other.example.org")
NAMESAKE = TimestampAuthority("namesake")
TICK = timedelta(seconds=1)


def opened(
    *,
    tsa: TimestampAuthority = TSA,
    message: bytes = MESSAGE,
    trusted: list[CertificateAuthority] | None = None,
    **knobs: Any,
) -> VerifiedTimestamp:
    raw = tsa.stamp(MESSAGE, **knobs)
    return open_timestamp(raw, message, [tsa.authority()] if trusted is None else trusted)


def code(**given: Any) -> str:
    with pytest.raises(RejectedError) as error:
        opened(**given)
    return error.value.code


def refused(raw: bytes, trusted: CertificateAuthority | None = None) -> str:
    with pytest.raises(RejectedError) as error:
        open_timestamp(raw, MESSAGE, [trusted or TSA.authority()])
    return error.value.code


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_good() -> None:
    found = opened()
    assert found.at == AT
    assert found.authority == "https://timestamp.example.org/api/v1/timestamp"
    assert found.signer == sha256_of(der(TSA.signer))


# Forms that are all good.


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("imprint_digest", ["sha256", "sha384", "sha512"])
def test_every_digest(digest: str, imprint_digest: str) -> None:
    assert opened(digest=digest, imprint_digest=imprint_digest, null_parameters=True).at == AT


@pytest.mark.parametrize("embed", [True, False])
@pytest.mark.parametrize("by_key_identifier", [True, False])
def test_signer_of_the_trusted_root(embed: bool, by_key_identifier: bool) -> None:
    assert opened(embed=embed, by_key_identifier=by_key_identifier).at == AT
    assert opened(certificates=[], by_key_identifier=by_key_identifier).at == AT


@pytest.mark.parametrize("by_key_identifier", [True, False])
def test_signer_that_comes_with_the_response(by_key_identifier: bool) -> None:
    trusted = [TSA.authority(pinned=False)]
    assert opened(trusted=trusted, by_key_identifier=by_key_identifier).at == AT
    # Without one there is nobody to ask.
    assert code(trusted=trusted, embed=False, by_key_identifier=by_key_identifier) == "timestamp-untrusted"


def test_every_kind_of_key() -> None:
    keys = [ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP521R1())]
    for key in [*keys, rsa_key()]:
        for digest in ("sha256", "sha512"):
            assert opened(tsa=TimestampAuthority(key=key), digest=digest).at == AT
    edwards = TimestampAuthority(key=ed25519.Ed25519PrivateKey.generate())
    for digest in ("sha256", "sha384", "sha512"):  # RFC 8419 says SHA-512; Sigstore's authority has SHA-256 unless told
        assert opened(tsa=edwards, digest=digest).at == AT
        assert code(tsa=edwards, digest=digest, message_digest=bytes(32)) == "timestamp-signature"
        assert code(digest=digest, signed_by=edwards.key) == "timestamp-signature"


@pytest.mark.parametrize(
    "oid", ["1.2.840.113549.1.1.11", "1.2.840.113549.1.1.1"], ids=["sha256WithRSAEncryption", "rsaEncryption"]
)
def test_rsa_under_both_names(oid: str) -> None:
    assert opened(tsa=TimestampAuthority(key=rsa_key()), algorithm=oid).at == AT


@pytest.mark.parametrize("ess", [("v1",), ("v2",), ("v1", "v2")])
@pytest.mark.parametrize("ess_place", [True, False])
def test_certificate_identifiers(ess: tuple[str, ...], ess_place: bool) -> None:
    assert opened(ess=ess, ess_place=ess_place).at == AT


@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_second_version_names_its_digest(digest: str) -> None:
    assert opened(ess_digest=digest).at == AT


@pytest.mark.parametrize(
    "rest",
    [
        accuracy(1),
        accuracy(None, 500),
        accuracy(0, 1, 999),
        b"\1\1\xff",
        format_der(0x02, b"\xff"),
        accuracy(1) + b"\1\1\xff" + format_der(0x02, b"\x11\x22"),
        format_der(0xA1, extension("1.2.3", critical=False)),
    ],
    ids=["accuracy", "millis", "all-three", "ordering", "negative-nonce", "several", "extension"],
)
def test_optional_parts(rest: bytes) -> None:
    assert opened(after_time=rest).at == AT


def test_name_of_the_authority() -> None:
    own = format_der(0xA0, format_der(0xA4, TSA.signer.subject.public_bytes()))
    assert opened(after_time=own).at == AT
    other = format_der(0xA0, format_der(0xA4, OTHER.signer.subject.public_bytes()))
    assert code(after_time=other) == "timestamp-signer"
    named = TimestampAuthority(names=[x509.DNSName("tsa.example.org")])
    assert opened(tsa=named, after_time=format_der(0xA0, format_der(0x82, b"tsa.example.org"))).at == AT
    assert code(tsa=named, after_time=format_der(0xA0, format_der(0x82, b"tsb.example.org"))) == "timestamp-signer"


def test_what_nobody_signs_or_uses_is_ignored() -> None:
    assert opened(unsigned=True, certificates=[der(TSA.chain[2]), der(TSA.signer)]).at == AT
    assert opened(attributes=[attribute("1.2.3.4", b"\5\0")]).at == AT
    assert opened(status_extra=format_der(0x30, format_der(0x0C, b"Operation Okay"))).at == AT
    assert opened(serial=b"\xff").at == AT


# The response.


@pytest.mark.parametrize("status", [1, 2, 3, 4, 5, -1, 255])
def test_not_granted(status: int) -> None:
    assert code(status=status) == "timestamp-status"


def test_granted_with_a_failure() -> None:
    assert code(status_extra=format_der(0x03, b"\x07\x80")) == "timestamp-status"


def test_text_of_the_status_is_text() -> None:
    assert code(status_extra=format_der(0x30, format_der(0x0C, b"\xff"))) == "timestamp"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        TSA.stamp(MESSAGE) + b"\0",
        TSA.stamp(MESSAGE)[:-1],
        TSA.stamp(MESSAGE, after_token=b"\5\0"),
        format_der(0x30, format_der(0x30, b"\2\1\0")),
        b"\0" * (limits.TIMESTAMP_BYTES + 1),
        b"\x30" * 5000,
    ],
    ids=["empty", "one", "indefinite", "trailing", "cut", "after-token", "no-token", "large", "nested"],
)
def test_not_a_response(raw: bytes) -> None:
    assert refused(raw) == "timestamp"
    with pytest.raises(RejectedError):
        parse_timestamp(raw)


def test_a_bare_token_is_no_response() -> None:
    whole = TSA.stamp(MESSAGE)
    assert refused(whole[whole.index(b"\x30\x82", 4) :]) == "timestamp"


def test_parsed() -> None:
    raw = TSA.stamp(MESSAGE)
    assert parse_timestamp(raw).raw == raw


# SignedData.


@pytest.mark.parametrize(
    "knobs",
    [
        {"data_version": 1},
        {"data_version": 5},
        {"signer_version": 3},
        {"signer_version": 2},
        {"signer_version": 1, "by_key_identifier": True},
        {"signers": 0},
        {"signers": 2},
        {"content_type": "1.2.840.113549.1.7.1"},
        {"listed_digests": ()},
        {"listed_digests": ("sha512",)},
        {"listed_digests": ("sha1", "sha256")},
        {"crls": True},
        {"digest": "sha1"},
        {"imprint_digest": "sha1"},
        {"algorithm": "1.2.840.10045.4.3.4"},
        {"algorithm": "1.2.840.113549.1.1.10"},
        {"unsorted": True},
        {"attributes": [attribute("1.2.3.4", b"\5\0")] * 2},
        {"attributes": [attribute("1.2.3.4")]},
        {"attributes": [attribute("1.2.840.113549.1.9.4", format_der(0x04, b""))]},
        {"certificates": [der(TSA.signer)] * 2},
        {"certificates": [format_der(0x30, b"")]},
        {"certificates": [der(TSA.chain[2])]},
        {"certificates": [format_der(0xA1, b"")]},
        {"certificates": [der(TSA.chain[2])] * (limits.CERTIFICATES_IN_CHAIN + 1)},
    ],
    ids=lambda knobs: "-".join(f"{key}={str(value)[:12]}" for key, value in knobs.items()),
)
def test_another_form(knobs: dict[str, Any]) -> None:
    assert code(**knobs) == "timestamp"


def test_more_digests_may_be_listed() -> None:
    assert opened(listed_digests=("sha256", "sha512")).at == AT


@pytest.mark.parametrize(
    "knobs",
    [
        {"message_digest": b"\0" * 32},
        {"message_digest": b""},
        {"without": ("message-digest",)},
        {"without": ("content-type",)},
        {"content_type_attribute": "1.2.840.113549.1.7.1"},
        {"signature": b""},
        {"signature": b"\x30\x06\2\1\1\2\1\1"},
        {"signed_by": TSA.other_key},
        {"signed_by": ec.generate_private_key(ec.SECP256R1())},
        {"signed_by": rsa_key()},
        {"signed_by": ed25519.Ed25519PrivateKey.generate(), "digest": "sha512"},
    ],
    ids=lambda knobs: "-".join(f"{key}={str(value)[:12]}" for key, value in knobs.items()),
)
def test_not_signed(knobs: dict[str, Any]) -> None:
    """The response's own signature (CVE-2025-52556), and what binds the content to it."""
    assert code(**knobs) == "timestamp-signature"


def test_content_is_bound() -> None:
    """A TSTInfo that was exchanged: the time of one answer in another."""
    raw = TSA.stamp(MESSAGE)
    later = raw.replace(b"20260301120000Z", b"20260301120001Z")
    assert later != raw
    assert refused(later) == "timestamp-signature"


def test_unreadable_content_is_not_read_before_its_signature() -> None:
    raw = TSA.stamp(MESSAGE)
    assert refused(raw.replace(b"20260301120000Z", b"never!!!!!!!!!!")) == "timestamp-signature"


# Who signed.


def test_signer_is_not_chosen_by_position() -> None:
    """CVE-2026-39984: the first certificate of the bag is the authority's, the signature is somebody else's."""
    forger = TimestampAuthority("forger")
    forged = forger.issue(TSA.knobs, serial=4)
    knobs = {"signed_by": forger.key, "trusted": [TSA.authority(pinned=False)]}
    assert code(certificates=[der(TSA.signer), der(forged)], **knobs) == "timestamp-signature"
    assert code(certificates=[der(TSA.signer), der(forged)], identifier=x509_identifier(forged), **knobs) == (
        "timestamp-untrusted"
    )
    foreign = OTHER.stamp(MESSAGE, certificates=[der(TSA.signer), der(OTHER.signer)])
    assert refused(foreign) == "timestamp-untrusted"
    assert refused(foreign, TSA.authority(pinned=False)) == "timestamp-untrusted"
    swapped = TSA.stamp(MESSAGE, certificates=[der(OTHER.signer), der(TSA.signer)])
    assert open_timestamp(swapped, MESSAGE, [TSA.authority(pinned=False)]).at == AT


def test_the_pinned_signer_only() -> None:
    """Another certificate by the same authority: its name and number are in no trusted root that lists the signer."""
    second = TSA.issue(TSA.knobs, serial=4, key=TSA.other_key)
    identifier = x509_identifier(second)
    knobs = {"certificates": [der(second)], "signed_by": TSA.other_key, "ess_for": second, "identifier": identifier}
    assert code(**knobs) == "timestamp-untrusted"
    assert opened(**knobs, trusted=[TSA.authority(pinned=False)]).at == AT


def test_embedded_certificate_is_not_the_pinned_one() -> None:
    """The same issuer and number, another certificate."""
    twin = TSA.issue(TSA.knobs, key=TSA.other_key)
    assert code(certificates=[der(twin)]) == "timestamp-untrusted"
    assert code(certificates=[der(twin), der(TSA.signer)]) == "timestamp"


def x509_identifier(certificate: x509.Certificate) -> bytes:
    number = certificate.serial_number.to_bytes(1, "big")
    return format_der(0x30, certificate.issuer.public_bytes() + format_der(0x02, number))


def test_key_identifier_of_nobody() -> None:
    identifier = format_der(0x80, b"\0" * 20)
    assert code(by_key_identifier=True, identifier=identifier, embed=False) == "timestamp-untrusted"
    assert code(by_key_identifier=True, identifier=identifier) == "timestamp"
    without = TimestampAuthority(key_identifier=False)
    assert code(tsa=without, by_key_identifier=True, embed=False) == "timestamp-untrusted"


@pytest.mark.parametrize("ess", [("v1",), ("v2",), ("v1", "v2")])
@pytest.mark.parametrize("ess_place", [True, False])
def test_identifier_of_another_certificate(ess: tuple[str, ...], ess_place: bool) -> None:
    twin = TSA.issue(TSA.knobs, key=TSA.other_key)
    assert code(ess=ess, ess_place=ess_place, ess_for=twin) == "timestamp-signer"


def test_no_identifier_of_the_certificate() -> None:
    assert code(ess=()) == "timestamp-signer"


def test_place_of_another_certificate() -> None:
    """The right digest beside another issuer's name."""
    digest = parse_timestamp(TSA.stamp(MESSAGE)).signed.attributes["1.2.840.113549.1.9.16.2.47"][0]
    wrong = digest.replace(b"example.org", b"example.net")
    assert wrong != digest
    assert code(ess=(), attributes=[attribute("1.2.840.113549.1.9.16.2.47", wrong)]) == "timestamp-signer"


@pytest.mark.parametrize(
    "value", [b"\x30\x02\x30\x00", b"\x30\x00", b"\x30\x04\x30\x02\x30\x00", b"\x02\x01\x00", b"\x30\x02\x02\x00"]
)
def test_malformed_identifier(value: bytes) -> None:
    assert code(ess=(), attributes=[attribute("1.2.840.113549.1.9.16.2.47", value)]) == "timestamp"
    assert code(ess=(), attributes=[attribute("1.2.840.113549.1.9.16.2.12", value)]) == "timestamp"


@pytest.mark.parametrize(
    "knobs",
    [
        {"purposes": ()},
        {"purposes": ("1.3.6.1.5.5.7.3.3",)},
        {"purposes": (TIME_STAMPING, "1.3.6.1.5.5.7.3.3")},
        {"purposes": ("2.5.29.37.0",)},
        {"purposes_critical": False},
        {"content_usage": False},
    ],
    ids=lambda knobs: "-".join(f"{key}={value}" for key, value in knobs.items()),
)
@pytest.mark.parametrize("pinned", [True, False])
def test_certificate_for_something_else(knobs: dict[str, Any], pinned: bool) -> None:
    tsa = TimestampAuthority(**knobs)
    assert code(tsa=tsa, trusted=[tsa.authority(pinned=pinned)]) == "timestamp-usage"


@pytest.mark.parametrize("knobs", [{"content_usage": None}, {"non_repudiation": True}, {"ca": False}])
def test_certificate_that_may_sign(knobs: dict[str, Any]) -> None:
    assert opened(tsa=TimestampAuthority(**knobs)).at == AT


def test_an_authority_does_not_sign_itself() -> None:
    tsa = TimestampAuthority(ca=True)
    assert code(tsa=tsa, trusted=[tsa.authority(pinned=False)]) == "timestamp-usage"


# The chain.


def test_no_authority() -> None:
    assert code(trusted=[]) == "timestamp-untrusted"
    assert code(trusted=[OTHER.authority(), OTHER.authority(pinned=False)]) == "timestamp-untrusted"


@pytest.mark.parametrize("pinned", [True, False])
def test_a_namesake_with_other_keys(pinned: bool) -> None:
    found = code(trusted=[NAMESAKE.authority(pinned=pinned)], embed=not pinned)
    assert found == ("timestamp-signer" if pinned else "timestamp-untrusted")


def test_the_right_one_among_several() -> None:
    several = [OTHER.authority(), NAMESAKE.authority(), NAMESAKE.authority(pinned=False), TSA.authority()]
    assert opened(trusted=several).at == AT
    assert opened(trusted=several[::-1]).at == AT


def test_the_same_authority_with_two_windows() -> None:
    closed, current = TSA.authority(Window(START, AT - TICK)), TSA.authority(Window(AT))
    assert opened(trusted=[closed, current]).at == AT
    assert code(trusted=[closed, closed]) == "tsa-window"


@pytest.mark.parametrize("knobs", [{"issuer_ca": False}, {"issuer_purposes": ("1.3.6.1.5.5.7.3.3",)}])
def test_an_issuer_that_may_not(knobs: dict[str, Any]) -> None:
    assert code(tsa=TimestampAuthority(**knobs)) == "timestamp-untrusted"


@pytest.mark.parametrize("issuer_purposes", [(), ("2.5.29.37.0",)])
def test_an_issuer_for_everything(issuer_purposes: tuple[str, ...]) -> None:
    assert opened(tsa=TimestampAuthority(issuer_purposes=issuer_purposes)).at == AT


# Time.


@pytest.mark.parametrize("at", [AT, AT + TICK, AT.replace(microsecond=1), AT.replace(microsecond=120000)])
def test_times(at: datetime) -> None:
    assert opened(at=at).at == at


@pytest.mark.parametrize(
    "text",
    [
        b"20260301120000", b"202603011200Z", b"20260301120000.Z", b"20260301120000.10Z", b"20260301120000.0Z",
        b"20260301120000,1Z", b"20260301120000+0000", b"20260301120060Z", b"20260301240000Z", b"20260229120000Z",
        b"00000301120000Z", b"260301120000Z", b"20261301120000Z", b"20260301120000z", b" 20260301120000Z", b"",
        b"99991231235959.9999999Z", "\uff12\uff10260301120000Z".encode(), b"-2026030112000Z",
    ],
)  # fmt: skip
def test_other_spellings_of_time(text: bytes) -> None:
    assert code(gen_time=text) == "timestamp"


@pytest.mark.parametrize(("at", "good"), [(AT - TICK, False), (AT, True), (AT + TICK, True), (AT + 2 * TICK, False)])
def test_both_ends_of_the_authoritys_window_belong_to_it(at: datetime, good: bool) -> None:
    trusted = [TSA.authority(Window(AT, AT + TICK))]
    if good:
        assert opened(at=at, trusted=trusted).at == at
    else:
        assert code(at=at, trusted=trusted) == "tsa-window"


def test_a_fraction_finer_than_a_microsecond() -> None:
    text = b"20260301120000.0000001Z"
    assert opened(gen_time=text).at == AT
    assert opened(gen_time=text, trusted=[TSA.authority(Window(AT))]).at == AT
    # A tenth of a microsecond after the end is after the end.
    assert code(gen_time=text, trusted=[TSA.authority(Window(START, AT))]) == "tsa-window"


@pytest.mark.parametrize("which", ["signer_validity", "chain_validity"])
@pytest.mark.parametrize("pinned", [True, False])
def test_every_certificate_is_valid_at_that_time(which: str, pinned: bool) -> None:
    for validity in ((START, AT - TICK), (AT + TICK, END)):
        tsa = TimestampAuthority(**{which: validity})
        assert code(tsa=tsa, trusted=[tsa.authority(pinned=pinned)]) == "tsa-expired"
    for validity in ((START, AT), (AT, END)):
        tsa = TimestampAuthority(**{which: validity})
        assert opened(tsa=tsa, trusted=[tsa.authority(pinned=pinned)]).at == AT


# What was stamped.


def test_another_message() -> None:
    assert code(message=b"another signature") == "timestamp-imprint"
    assert code(message=b"") == "timestamp-imprint"


@pytest.mark.parametrize("imprint", [b"", b"\0" * 31, b"\0" * 64])
def test_imprint_of_another_length(imprint: bytes) -> None:
    assert code(imprint=imprint) == "timestamp"


def test_imprint_is_the_digest_it_names() -> None:
    assert code(imprint=b"\0" * 32) == "timestamp-imprint"


@pytest.mark.parametrize(
    "rest",
    [
        b"\1\1\0",
        b"\1\1\1",
        b"\1\1\xff\1\1\xff",
        accuracy(-1),
        accuracy(1, 0),
        accuracy(1, 1000),
        accuracy(1, None, 1000),
        accuracy(2**31),
        format_der(0x30, b"\5\0"),
        format_der(0x02, b"\0\1"),
        format_der(0x02, b""),
        format_der(0x02, b"\1") + accuracy(1),
        format_der(0xA1, extension("1.2.3", critical=True)),
        format_der(0xA1, extension("1.2.3", critical=False) * 2),
        format_der(0xA1, b""),
        format_der(0xA1, b"\5\0"),
        b"\5\0",
    ],
)
def test_malformed_optional_parts(rest: bytes) -> None:
    assert code(after_time=rest) == "timestamp"


@pytest.mark.parametrize("knobs", [{"info_version": 2}, {"serial": b"\0\1"}, {"serial": b""}, {"serial": b"\1" * 65}])
def test_malformed_info(knobs: dict[str, Any]) -> None:
    assert code(**knobs) == "timestamp"


# Every bit.


@cache
def real(shared: Path, case: str) -> tuple[bytes, bytes, tuple[CertificateAuthority, ...]]:
    """Timestamp, signature and authorities of a real Sigstore bundle."""
    bundles = shared / "real" / "sigstore-bundles"
    path = bundles / case if case.endswith(".json") else bundles / case / "bundle.sigstore.json"
    document = json.loads(path.read_bytes())
    stamps = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    if "messageSignature" in document:
        signature = document["messageSignature"]["signature"]
    else:
        signature = document["dsseEnvelope"]["signatures"][0]["sig"]
    trusted = path.parent / "trusted_root.json"
    if not trusted.exists():
        trusted = shared / "real" / "trust" / "trusted_root.public-good.json"
    authorities = parse_trusted_root(trusted.read_bytes()).timestamp_authorities
    return base64.b64decode(stamps[0]["signedTimestamp"]), base64.b64decode(signature), authorities


GOOD = {
    "cosign-v3-image-signature.sigstore.json": datetime(2026, 4, 9, 7, 23, 29, tzinfo=UTC),
    "managed-key-happy-path": datetime(2025, 12, 18, 17, 4, 39, tzinfo=UTC),
    "rekor2-happy-path": datetime(2025, 6, 12, 12, 2, 20, tzinfo=UTC),
    "rekor2-dsse-happy-path": datetime(2026, 5, 13, 19, 23, 33, tzinfo=UTC),
    "rekor2-timestamp-with-incorrect-time_fail": datetime(2025, 7, 15, 10, 33, 31, tzinfo=UTC),
    "intoto-with-custom-trust-root": datetime(2023, 2, 1, tzinfo=UTC),
    "trust-root-tsa-validity-end-inclusive": datetime(2025, 6, 12, 12, 2, 20, tzinfo=UTC),
}
BAD = {
    "rekor2-timestamp-outside-tsa-cert-validity_fail": "tsa-expired",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": "timestamp-untrusted",
}


@pytest.mark.parametrize(("case", "at"), GOOD.items())
def test_real_timestamps(shared: Path, case: str, at: datetime) -> None:
    raw, signature, authorities = real(shared, case)
    assert open_timestamp(raw, signature, authorities).at == at
    with pytest.raises(RejectedError) as error:
        open_timestamp(raw, signature + b"\0", authorities)
    assert error.value.code == "timestamp-imprint"


@pytest.mark.parametrize(("case", "expected"), BAD.items())
def test_real_timestamps_that_do_not_count(shared: Path, case: str, expected: str) -> None:
    raw, signature, authorities = real(shared, case)
    with pytest.raises(RejectedError) as error:
        open_timestamp(raw, signature, authorities)
    assert error.value.code == expected


def test_real_window_that_ends_with_the_stamp(shared: Path) -> None:
    raw, signature, (authority, *_) = real(shared, "trust-root-tsa-validity-end-inclusive")
    assert authority.window.end is not None
    shorter = Window(authority.window.start, authority.window.end - TICK)
    with pytest.raises(RejectedError) as error:
        open_timestamp(raw, signature, [CertificateAuthority(authority.uri, authority.chain, shorter)])
    assert error.value.code == "tsa-window"


def accepted_flips(raw: bytes, message: bytes, authorities: tuple[CertificateAuthority, ...], bits: Any) -> list[int]:
    """Bits that can be turned without anybody noticing. Any other exception than ours ends the test."""
    found: list[int] = []
    for bit in bits:
        turned = bytearray(raw)
        turned[bit // 8] ^= 1 << bit % 8
        try:
            open_timestamp(bytes(turned), message, authorities)
        except RejectedError:
            continue
        found.append(bit)
    return found


def sample(raw: bytes, count: int) -> list[int]:
    return Random(3161).sample(range(len(raw) * 8), count)


@pytest.mark.parametrize("case", ["rekor2-happy-path", "cosign-v3-image-signature.sigstore.json"])
def test_no_bit_of_a_real_timestamp_can_be_turned(shared: Path, case: str) -> None:
    raw, signature, authorities = real(shared, case)
    assert accepted_flips(raw, signature, authorities, sample(raw, 600)) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", ["rekor2-happy-path", "cosign-v3-image-signature.sigstore.json"])
def test_every_bit_of_a_real_timestamp(shared: Path, case: str) -> None:
    raw, signature, authorities = real(shared, case)
    assert accepted_flips(raw, signature, authorities, range(len(raw) * 8)) == []


def test_no_bit_of_a_simulated_timestamp_can_be_turned() -> None:
    raw = TSA.stamp(MESSAGE, after_time=accuracy(1))
    for pinned in (True, False):
        assert accepted_flips(raw, MESSAGE, (TSA.authority(pinned=pinned),), sample(raw, 250)) == []


# Every element.

Tree = list[list[Any]]
TAGS = (1, 2, 3, 4, 5, 6, 0x0C, 0x17, 0x18, 0x30, 0x31, 0x80, 0x81, 0x82, 0xA0, 0xA1, 0xA3, 0xA4)


def tree(content: bytes) -> Tree:
    """DER as nested lists of tag and content; octet strings are opened where they hold DER."""
    found: Tree = []
    for element in parse_elements(content):
        value: Any = element.content
        if element.content and (element.tag & 0x20 or element.tag == 4):
            with suppress(MalformedError):
                value = tree(element.content)
        found.append([element.tag, value])
    return found


def flat(parts: Tree) -> bytes:
    return b"".join(format_der(tag, value if isinstance(value, bytes) else flat(value)) for tag, value in parts)


def places(parts: Tree) -> list[tuple[Tree, int]]:
    found = [(parts, number) for number in range(len(parts))]
    for _, value in parts:
        found += [] if isinstance(value, bytes) else places(value)
    return found


def mutate(parts: Tree, chance: Random) -> None:
    """Remove, double, retag, refill, empty, copy or shuffle something."""
    siblings, number = chance.choice(places(parts))
    match chance.randrange(7):
        case 0:
            del siblings[number]
        case 1:
            siblings.insert(number, deepcopy(siblings[number]))
        case 2:
            siblings[number][0] = chance.choice(TAGS)
        case 3:
            siblings[number][1] = chance.randbytes(chance.choice((1, 2, 5, 20, 32, 200)))
        case 4:
            siblings[number][1] = b""
        case 5:
            others, other = chance.choice(places(parts))
            siblings[number] = deepcopy(others[other])
        case _:
            chance.shuffle(siblings)


def signed_part(raw: bytes) -> Tree:
    """A response without what nobody signs: the list of digest algorithms and the bag of certificates."""
    parts = tree(raw)
    data = parts[0][1][1][1][1][1][0][1]
    data[1][1] = b""
    if data[3][0] == 0xA0:
        del data[3]
    return parts


def test_structured_mutations() -> None:
    """What passes differs from the original in its unsigned parts only, and no exception is another's."""
    rest = accuracy(1) + format_der(0xA0, format_der(0xA4, TSA.signer.subject.public_bytes()))
    raw = TSA.stamp(MESSAGE, after_time=rest, ess=("v1", "v2"))
    authorities = [TSA.authority(), TSA.authority(pinned=False)]
    chance, passed = Random(5816), 0
    for _ in range(600):
        mutant = tree(raw)
        mutate(mutant, chance)
        for authority in authorities:
            try:
                open_timestamp(flat(mutant), MESSAGE, [authority])
            except RejectedError:
                continue
            passed += 1
            assert signed_part(flat(mutant)) == signed_part(raw)
    assert passed > 0


@pytest.mark.parametrize("size", range(0, 1200, 97))
def test_a_cut_timestamp(size: int) -> None:
    raw = TSA.stamp(MESSAGE)
    assert refused(raw[: size % len(raw)]) == "timestamp"
