"""What a time-stamping authority says: TSTInfo (RFC 3161 section 2.4.2), read after its signature was checked.

Rules of this module:
- DER, version 1, no field twice or out of order, no extension that is critical (we know none).
- The imprint is a SHA-2 digest of the length that its algorithm has.
- genTime is Zulu time with seconds; a fraction is allowed as DER writes it. What is finer than a microsecond is cut,
  and `later` says so: whoever compares with a window looks at both ends of that microsecond.
- policy, serial number, accuracy, ordering and nonce are read and decide nothing: we made no request to compare with.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from bundler.identity.cms import malformed, parse_digest_algorithm
from bundler.identity.der import (
    EXPLICIT_0,
    EXPLICIT_1,
    GENERALIZED_TIME,
    IMPLICIT_0,
    IMPLICIT_1,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    DerReader,
    parse_der,
    parse_integer,
)
from bundler.value import dataclass

_DIGEST_BYTES = {"sha256": 32, "sha384": 48, "sha512": 64}
_GEN_TIME = re.compile(rb"(\d{14})(?:\.(\d*[1-9]))?Z")
_MICROSECOND = timedelta(microseconds=1)
_DIGITS = 6
_SERIAL_BYTES = 64  # RFC 3161: clients must take 160 bits


@dataclass(frozen=True, slots=True)
class TstInfo:
    """What the authority says.

    Attributes:
        policy: its policy, dotted.
        digest, imprint: hashlib's name of the algorithm, and the digest of the message.
        at: genTime, UTC, cut to microseconds.
        later: genTime again, rounded up; equal to `at` unless something was cut.
        accuracy: how far from it the time may be; None when the authority does not say.
        authority_name: GeneralName of the authority as DER; None when absent. A hint.
    """

    policy: str
    digest: str
    imprint: bytes
    at: datetime
    later: datetime
    accuracy: timedelta | None
    authority_name: bytes | None


def parse_tst_info(raw: bytes) -> TstInfo:
    """Read a TSTInfo.

    Raises:
        MalformedError: code ``timestamp`` or ``der``.
    """
    info = DerReader(parse_der(raw, SEQUENCE).content, "TSTInfo")
    if info.integer() != 1:
        raise malformed("another version of TSTInfo", "version 1")
    policy = info.oid()
    imprint = info.inside(SEQUENCE, "messageImprint")
    digest = parse_digest_algorithm(imprint.take(SEQUENCE).content)
    hashed = imprint.take(OCTET_STRING).content
    imprint.end()
    if len(hashed) != _DIGEST_BYTES[digest]:
        raise malformed(f"an imprint of {len(hashed)} bytes", f"{_DIGEST_BYTES[digest]}, as {digest} has")
    _check_number(info)  # some authorities use negative ones
    at, later = parse_gen_time(info.take(GENERALIZED_TIME).content)
    accuracy = _parse_accuracy(found.content) if (found := info.maybe(SEQUENCE)) else None
    info.default_false()  # ordering
    _optional(info, INTEGER)  # nonce
    name = info.maybe(EXPLICIT_0)
    if (extensions := info.maybe(EXPLICIT_1)) is not None:
        _check_extensions(extensions.content)
    info.end()
    return TstInfo(policy, digest, hashed, at, later, accuracy, name.content if name else None)


def parse_gen_time(content: bytes) -> tuple[datetime, datetime]:
    """A GeneralizedTime's content as DER writes it (X.690 section 11.7), rounded down and up to microseconds.

    Raises:
        MalformedError: another form, or no such time (code ``timestamp``).
    """
    match = _GEN_TIME.fullmatch(content)
    if match is None:
        raise malformed("a genTime of another form", "YYYYMMDDhhmmss[.f]Z")
    whole, fraction = match.group(1).decode(), (match.group(2) or b"").decode()
    micro = int(fraction[:_DIGITS].ljust(_DIGITS, "0"))
    try:
        year, *rest = int(whole[:4]), *(int(whole[start : start + 2]) for start in range(4, 14, 2))
        month, day, hour, minute, second = rest
        at = datetime(year, month, day, hour, minute, second, micro, UTC)
        return at, at + _MICROSECOND if len(fraction) > _DIGITS else at
    except (ValueError, OverflowError) as error:
        raise malformed("a genTime that is no time", "YYYYMMDDhhmmss[.f]Z") from error


def _parse_accuracy(content: bytes) -> timedelta:
    """Accuracy: seconds, milliseconds and microseconds, the last two from 1 to 999."""
    reader = DerReader(content, "accuracy")
    seconds, millis, micros = (_optional(reader, tag) for tag in (INTEGER, IMPLICIT_0, IMPLICIT_1))
    reader.end()
    small = [part for part in (millis, micros) if part is not None]
    if not 0 <= (seconds or 0) < 2**31 or not all(1 <= part <= 999 for part in small):
        raise malformed("an accuracy out of range", "seconds, 1 to 999 milliseconds and microseconds")
    return timedelta(seconds=seconds or 0, milliseconds=millis or 0, microseconds=micros or 0)


def _optional(reader: DerReader, tag: int) -> int | None:
    found = reader.maybe(tag)
    return None if found is None else parse_integer(found.content)


def _check_number(info: DerReader) -> None:
    content = info.take(INTEGER).content
    parse_integer(content)
    if len(content) > _SERIAL_BYTES:
        raise malformed("a number that is too long", f"at most {_SERIAL_BYTES} bytes")


def _check_extensions(content: bytes) -> None:
    """Extensions (RFC 5280 section 4.1): each once, none critical."""
    seen: set[str] = set()
    extensions = DerReader(content, "extensions").all(SEQUENCE)
    for extension in extensions:
        reader = DerReader(extension.content, "extension")
        oid = reader.oid()
        critical = reader.default_false()
        reader.take(OCTET_STRING)
        reader.end()
        if critical:
            raise malformed(f"critical extension {oid}", "none that we do not check")
        if oid in seen:
            raise malformed(f"extension {oid} twice", "each once")
        seen.add(oid)
    if not seen:
        raise malformed("an empty list of extensions", "none, or at least one")
