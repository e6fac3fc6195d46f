"""Signed certificate timestamps embedded in a certificate (RFC 6962 sections 3.2, 3.3).

Rules of this module:
- What the log signed is the precertificate: TBSCertificate without the SCT extension, cut at exact byte positions, with
  SHA-256 of the issuer's key before it and the SCT's own extensions behind it.
- The log's key is found by log id, never by trial, and the SCT's time must lie in the key's window, ends included.
- SCTs by logs that the trusted root does not hold do not count. Those by known logs must all hold; at least one must.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bundler.errors import MalformedError, RejectedError
from bundler.identity.certificate import Certificate
from bundler.identity.der import EXPLICIT_3, OCTET_STRING, SEQUENCE, format_der, parse_der, parse_elements
from bundler.identity.keys import PublicKey
from bundler.moment import Window
from bundler.value import dataclass

SCT_LIST = "1.3.6.1.4.1.11129.2.4.2"

_SCT_LIST_OID = bytes.fromhex("060a2b06010401d679020402")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_V1, _CERTIFICATE_TIMESTAMP, _PRECERT_ENTRY = 0, 0, 1
_HASH_SHA256, _SIGNATURE_RSA, _SIGNATURE_ECDSA = 4, 1, 3


@dataclass(frozen=True, slots=True)
class CertificateLog:
    """A certificate transparency log of the trusted root."""

    url: str
    log_id: bytes
    key: PublicKey
    window: Window


@dataclass(frozen=True, slots=True)
class SignedTimestamp:
    """One SCT as it stands in a certificate; not verified yet."""

    log_id: bytes
    milliseconds: int
    extensions: bytes
    algorithm: tuple[int, int]
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifiedTimestamp:
    """The certificate was promised to this log at this time."""

    log_url: str
    at: datetime


def verify_embedded_scts(
    leaf: Certificate, issuer: Certificate, logs: Sequence[CertificateLog]
) -> tuple[VerifiedTimestamp, ...]:
    """Check the SCTs of `leaf`, which `issuer` signed.

    Raises:
        RejectedError: none, none by a known log, or one that does not hold (code ``sct``).
    """
    value = leaf.extensions.get(SCT_LIST)
    if value is None:
        raise _refused("no embedded SCT", "at least one")
    try:
        timestamps = parse_sct_list(parse_der(value, OCTET_STRING).content)
        precertificate = cut_sct_list(leaf.tbs)
    except MalformedError as error:
        raise _refused(str(error), "a list of SCTs") from error
    verified = []
    for timestamp in timestamps:
        log = next((log for log in logs if log.log_id == timestamp.log_id), None)
        if log is not None:
            verified.append(_verify(timestamp, log, issuer.spki_sha256, precertificate))
    if not verified:
        raise _refused("only SCTs by unknown logs", "one by a log of the trusted root")
    return tuple(verified)


def cut_sct_list(tbs: bytes) -> bytes:
    """TBSCertificate without its SCT list: what the log saw (RFC 6962 section 3.2).

    Raises:
        MalformedError: the extension is absent or stands twice (code ``der``).
    """
    fields = parse_elements(parse_der(tbs, SEQUENCE).content)
    if not fields or fields[-1].tag != EXPLICIT_3:
        raise MalformedError("der", "certificate", got="no extensions", want="an SCT list")
    extensions = parse_elements(parse_der(fields[-1].content, SEQUENCE).content)
    kept = [extension.raw for extension in extensions if not extension.content.startswith(_SCT_LIST_OID)]
    if len(kept) != len(extensions) - 1:
        raise MalformedError("der", "certificate", got="no SCT list, or several", want="exactly one")
    inner = format_der(SEQUENCE, b"".join(kept))
    last = format_der(EXPLICIT_3, inner) if kept else b""
    return format_der(SEQUENCE, b"".join(field.raw for field in fields[:-1]) + last)


def parse_sct_list(raw: bytes) -> tuple[SignedTimestamp, ...]:
    """Read a SignedCertificateTimestampList (RFC 6962 section 3.3).

    Raises:
        MalformedError: any byte missing or left over, or another version (code ``sct-list``).
    """
    whole = _Reader(raw)
    inner = _Reader(whole.vector())
    whole.end()
    timestamps = []
    while inner.left:
        timestamps.append(_parse_sct(inner.vector()))
    return tuple(timestamps)


def _parse_sct(raw: bytes) -> SignedTimestamp:
    reader = _Reader(raw)
    if reader.number(1) != _V1:
        raise _malformed("another version", "version 1")
    timestamp = SignedTimestamp(
        log_id=reader.take(32),
        milliseconds=reader.number(8),
        extensions=reader.vector(),
        algorithm=(reader.number(1), reader.number(1)),
        signature=reader.vector(),
    )
    reader.end()
    return timestamp


def _verify(
    timestamp: SignedTimestamp, log: CertificateLog, issuer_key_hash: bytes, precertificate: bytes
) -> VerifiedTimestamp:
    kind = _SIGNATURE_RSA if log.key.algorithm.startswith("RSA") else _SIGNATURE_ECDSA
    if timestamp.algorithm != (_HASH_SHA256, kind):
        raise _refused(f"signature algorithm {timestamp.algorithm}", f"{(_HASH_SHA256, kind)}, as the log's key")
    message = b"".join(
        (
            bytes([_V1, _CERTIFICATE_TIMESTAMP]),
            timestamp.milliseconds.to_bytes(8, "big"),
            _PRECERT_ENTRY.to_bytes(2, "big"),
            issuer_key_hash,
            len(precertificate).to_bytes(3, "big"),
            precertificate,
            len(timestamp.extensions).to_bytes(2, "big"),
            timestamp.extensions,
        )
    )
    try:
        log.key.verify(timestamp.signature, message)
        at = _EPOCH + timedelta(milliseconds=timestamp.milliseconds)
    except (RejectedError, OverflowError) as error:
        raise _refused("an SCT that its log did not sign", f"one by {log.url}") from error
    if at not in log.window:
        raise _refused(f"an SCT of {at.isoformat()}", f"the window of {log.url}: {log.window}")
    return VerifiedTimestamp(log.url, at)


class _Reader:
    """TLS presentation language (RFC 5246 section 4): fixed numbers and vectors with a two-byte length."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._raw) - self._position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise _malformed("a cut list", f"{count} more bytes")
        self._position += count
        return self._raw[self._position - count : self._position]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def vector(self) -> bytes:
        return self.take(self.number(2))

    def end(self) -> None:
        if self.left:
            raise _malformed(f"{self.left} bytes left over", "none")


def _refused(got: str, want: str) -> RejectedError:
    return RejectedError("sct", "certificate timestamp", got=got, want=want)


def _malformed(got: str, want: str) -> MalformedError:
    return MalformedError("sct-list", "SCT list", got=got, want=want)
