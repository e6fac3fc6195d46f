"""Signed timestamps (RFC 3161 with RFC 5816): a time that a trusted authority vouched for, over one message.

Rules of this module:
- A TimeStampResp whose status is granted. `grantedWithMods` is refused: nobody here can say what was modified, and no
  authority in use answers that way. A granted response that names a failure is refused too.
- The response's own signature is always checked (CVE-2025-52556), before what it says is read.
- The signer is the certificate that the SignerInfo names, nowhere taken by position (CVE-2026-39984). It comes from the
  trusted root if that lists one below the authority; then no other may sign. Else it comes with the response, and is
  worth what its chain is. ESSCertID or ESSCertIDv2 has to name the same certificate.
- The certificates above it come from the trusted root only. ExtendedKeyUsage is timeStamping alone, and critical (RFC
  3161 section 2.3). Every certificate is valid at the time stamped, and the authority's window holds, ends included.
- Nobody looks at a clock: a timestamp stays good after its certificates have expired, for the trusted root says until
  when an authority counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from bundler import limits
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError
from bundler.identity.certificate import TIME_STAMPING, Certificate, parse_certificate
from bundler.identity.chain import CertificateAuthority, check_links, check_valid
from bundler.identity.cms import (
    SignedData,
    malformed,
    named_certificates,
    parse_digest_algorithm,
    parse_signed_data,
    verify_signed_data,
)
from bundler.identity.der import (
    BIT_STRING,
    EXPLICIT_4,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    UTF8_STRING,
    DerReader,
    format_der,
    format_oid,
    parse_der,
    parse_utf8_string,
)
from bundler.identity.tst_info import TstInfo, parse_tst_info
from bundler.value import dataclass, field

TST_INFO = "1.2.840.113549.1.9.16.1.4"
SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"

_EXTENDED_KEY_USAGE, _KEY_USAGE = "2.5.29.37", "2.5.29.15"
_TIME_STAMPING_ONLY = format_der(SEQUENCE, format_der(OBJECT_IDENTIFIER, format_oid(TIME_STAMPING)))
_SIGNING_BITS = 0xC0  # digitalSignature, nonRepudiation: the first two bits of KeyUsage
_GRANTED = 0


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A granted response that was read; nobody vouches for it yet. What it says is still unread: `signed.content`."""

    raw: bytes = field(repr=False)
    signed: SignedData = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedTimestamp:
    """A trusted authority saw the message at this time.

    Attributes:
        at: UTC, with microseconds.
        authority: the authority's address in the trusted root; of its subject nothing is taken.
        signer: fingerprint of the certificate that signed.
    """

    at: datetime
    authority: str
    signer: Digest


def open_timestamp(raw: bytes, message: bytes, authorities: Sequence[CertificateAuthority]) -> VerifiedTimestamp:
    """Verify a timestamp over `message`.

    Args:
        raw: a TimeStampResp in DER.
        message: the bytes that were stamped (a raw signature, or what the format says); they are hashed here.
        authorities: the time-stamping authorities of the trusted root.

    Raises:
        RejectedError: ``timestamp`` (malformed), ``timestamp-status`` (not granted), ``timestamp-untrusted`` (no
            authority of the trusted root issued it), ``timestamp-signer`` (ESSCertID names another certificate),
            ``timestamp-usage`` (a certificate not for stamping time), ``timestamp-signature``, ``timestamp-imprint``
            (another message), ``tsa-expired`` (a certificate of the chain), ``tsa-window`` (the authority's).
    """
    try:
        return _open(parse_timestamp(raw), message, authorities)
    except MalformedError as error:
        if error.code == "timestamp":
            raise
        raise _foreign(error) from error


def parse_timestamp(raw: bytes) -> Timestamp:
    """Read a TimeStampResp (RFC 3161 section 2.4.2) that was granted.

    Raises:
        MalformedError: code ``timestamp``.
        RejectedError: code ``timestamp-status``.
    """
    if len(raw) > limits.TIMESTAMP_BYTES:
        raise malformed(f"{len(raw)} bytes", f"at most {limits.TIMESTAMP_BYTES}")
    try:
        response = DerReader(parse_der(raw, SEQUENCE).content, "TimeStampResp")
        _check_status(response.inside(SEQUENCE, "PKIStatusInfo"))
        token = response.take(SEQUENCE)
        response.end()
        signed = parse_signed_data(token.raw)
    except MalformedError as error:
        if error.code == "timestamp":
            raise
        raise _foreign(error) from error
    if signed.content_type != TST_INFO:
        raise malformed(f"content {signed.content_type}", "TSTInfo")
    return Timestamp(raw, signed)


def _check_status(info: DerReader) -> None:
    """PKIStatusInfo: granted, perhaps with a text, which nobody signed and nobody here prints."""
    status = info.integer()
    if (texts := info.maybe(SEQUENCE)) is not None:
        for text in DerReader(texts.content, "statusString").all(UTF8_STRING):
            parse_utf8_string(text.raw)
    failure = info.maybe(BIT_STRING)
    info.end()
    if status != _GRANTED or failure is not None:
        raise RejectedError("timestamp-status", "timestamp", got="a response that was not granted", want="granted")


def _open(timestamp: Timestamp, message: bytes, authorities: Sequence[CertificateAuthority]) -> VerifiedTimestamp:
    embedded = _embedded_signer(timestamp.signed)
    first: RejectedError | None = None
    for authority in authorities:
        path = _path(timestamp.signed, embedded, authority)
        if path is None:
            continue
        try:
            return _verify(timestamp.signed, message, path, authority)
        except RejectedError as error:
            # The same authority may stand in the trusted root twice, with two keys or two windows.
            first = error if first is None or first.code == "timestamp-untrusted" else first
    raise first or _refused(
        "timestamp-untrusted", "no authority of the trusted root", "one that issued the signer's certificate"
    )


def _embedded_signer(signed: SignedData) -> Certificate | None:
    """The certificate in the bag that the signer identifier names; None if the bag is empty."""
    read = [parse_certificate(der, "timestamp's certificate") for der in named_certificates(signed)]
    found = [certificate for certificate in read if signed.identifier.matches(certificate)]
    if len(found) > 1 or (signed.certificates and not found):
        raise malformed(f"{len(found)} certificates that the signer identifier names", "one, or no certificate at all")
    return found[0] if found else None


def _path(
    signed: SignedData, embedded: Certificate | None, authority: CertificateAuthority
) -> tuple[Certificate, ...] | None:
    """Signer first, anchor last, if the signer can be this authority's."""
    top = authority.chain[0]
    if not top.ca:
        return authority.chain if signed.identifier.matches(top) and embedded in (None, top) else None
    if embedded is None or embedded.issuer != top.subject:
        return None
    return (embedded, *authority.chain)


def _verify(
    signed: SignedData, message: bytes, path: tuple[Certificate, ...], authority: CertificateAuthority
) -> VerifiedTimestamp:
    """Whose certificate, for what, the signature; then what was said; then whether it may be said at that time."""
    signer = path[0]
    try:
        check_links(path, TIME_STAMPING)
    except RejectedError as error:
        raise _refused("timestamp-untrusted", error.got, error.want) from error
    _check_usage(signer)
    _check_certificate_ids(signed, signer)
    verify_signed_data(signed, signer)
    info = parse_tst_info(signed.content)
    _check_name(info, signer)
    if hashlib.new(info.digest, message).digest() != info.imprint:
        raise _refused("timestamp-imprint", "a timestamp of another message", f"the {info.digest} of this one")
    for at in (info.at, info.later):
        _check_time(at, path, authority)
    return VerifiedTimestamp(info.at, authority.uri, signer.fingerprint)


def _check_time(at: datetime, path: tuple[Certificate, ...], authority: CertificateAuthority) -> None:
    try:
        check_valid(path, at)
    except RejectedError as error:
        raise RejectedError(
            "tsa-expired", "timestamp's certificate", error.which, got=error.got, want=error.want
        ) from error
    if at not in authority.window:
        raise RejectedError(
            "tsa-window", "timestamp", authority.uri, got=f"not trusted at {at.isoformat()}", want=str(authority.window)
        )


def _check_usage(signer: Certificate) -> None:
    """RFC 3161 section 2.3: one ExtendedKeyUsage, timeStamping, critical; a key that may sign; no authority."""
    usage = signer.extensions.get(_KEY_USAGE)
    if signer.ca:
        raise _refused("timestamp-usage", "an authority's certificate", "that of a signer")
    if signer.extensions.get(_EXTENDED_KEY_USAGE) != _TIME_STAMPING_ONLY or _EXTENDED_KEY_USAGE not in signer.critical:
        raise _refused(
            "timestamp-usage", "a certificate for something else", "ExtendedKeyUsage timeStamping alone, critical"
        )
    if usage is not None and not int.from_bytes(parse_der(usage, BIT_STRING).content[1:2]) & _SIGNING_BITS:
        raise _refused("timestamp-usage", "a key that may not sign", "KeyUsage digitalSignature or nonRepudiation")


def _check_certificate_ids(signed: SignedData, signer: Certificate) -> None:
    """ESSCertID and ESSCertIDv2 (RFC 5035, RFC 5816): at least one, and each that is there names the signer first.

    SHA-1 in ESSCertID is what RFC 3161 says. It has no weight of its own: issuer and serial number or key identifier
    named the certificate already, and the chain decides whether it counts.
    """
    old = signed.only_value(SIGNING_CERTIFICATE, SEQUENCE)
    new = signed.only_value(SIGNING_CERTIFICATE_V2, SEQUENCE)
    if old is None and new is None:
        raise _refused("timestamp-signer", "no attribute signingCertificate", "ESSCertID or ESSCertIDv2")
    if old is not None:
        first = _first_id(old)
        _check_id(first, hashlib.sha1(signer.der, usedforsecurity=False).digest(), signer)
    if new is not None:
        first = _first_id(new)
        algorithm = first.maybe(SEQUENCE)
        digest = parse_digest_algorithm(algorithm.content) if algorithm else "sha256"
        _check_id(first, hashlib.new(digest, signer.der).digest(), signer)


def _first_id(content: bytes) -> DerReader:
    """SigningCertificate(V2): identifiers, the signer's first, then perhaps policies (which decide nothing here)."""
    attribute = DerReader(content, "signingCertificate")
    identifiers = DerReader(attribute.take(SEQUENCE).content, "certs").all(SEQUENCE)
    attribute.maybe(SEQUENCE)
    attribute.end()
    if not identifiers:
        raise malformed("an empty signingCertificate", "the signer's certificate")
    return DerReader(identifiers[0].content, "ESSCertID")


def _check_id(identifier: DerReader, digest: bytes, signer: Certificate) -> None:
    hashed = identifier.take(OCTET_STRING).content
    named = True
    if (place := identifier.maybe(SEQUENCE)) is not None:
        reader = DerReader(place.content, "issuerSerial")
        names = reader.inside(SEQUENCE, "issuer").any()
        serial = reader.take(INTEGER).content
        reader.end()
        named = [name.raw for name in names] == [format_der(EXPLICIT_4, signer.issuer)] and serial == signer.serial
    identifier.end()
    if hashed != digest or not named:
        raise _refused("timestamp-signer", "ESSCertID of another certificate", f"that of {signer.fingerprint}")


def _check_name(info: TstInfo, signer: Certificate) -> None:
    """RFC 3161 section 2.4.2: `tsa`, if there, is one of the signer's names."""
    if info.authority_name is None:
        return
    names = [format_der(EXPLICIT_4, signer.subject)]
    alternative = signer.extensions.get("2.5.29.17")
    if alternative is not None:
        names += [name.raw for name in DerReader(parse_der(alternative, SEQUENCE).content, "names").any()]
    if info.authority_name not in names:
        raise _refused("timestamp-signer", "the name of another authority", "one of the certificate's")


def _foreign(error: MalformedError) -> MalformedError:
    return malformed(f"{error.what} {error.which}".strip() + f": {error.got} ({error.code})", error.want)


def _refused(code: str, got: str, want: str) -> RejectedError:
    return RejectedError(code, "timestamp", got=got, want=want)
