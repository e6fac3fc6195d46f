"""What a Fulcio certificate says of the signer (Fulcio `docs/oid-info.md`, arc 1.3.6.1.4.1.57264.1).

Rules of this module:
- The issuer is extension `.8` (a DER UTF8String), else `.1` (raw text). Both present and different: refused.
- The identity is the only SubjectAlternativeName: a URI, an e-mail address, or an OtherName `.7`. None, several or
  another kind: refused.
- All other extensions of the arc are reported by name. Those known to be text must be text; of others, what is no text
  is left out. They count only after the certificate's chain was verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from bundler.errors import MalformedError, RejectedError
from bundler.identity.certificate import Certificate
from bundler.identity.der import parse_utf8_string
from bundler.identity.fulcio_names import ARC, EXTENSION_NAMES
from bundler.value import dataclass, field

ISSUER_RAW, OTHER_NAME, ISSUER = f"{ARC}.1", f"{ARC}.7", f"{ARC}.8"
_RAW_TEXT = frozenset(f"{ARC}.{number}" for number in range(1, 7))

SanKind = Literal["uri", "email", "other-name"]


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """Whom an authority vouched for. All text is as it came: escape before printing."""

    issuer: str
    san: str
    san_kind: SanKind
    extensions: Mapping[str, str] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.san} (issuer {self.issuer})"


def read_identity(certificate: Certificate) -> CertificateIdentity:
    """Read the identity out of a certificate whose chain was verified.

    Raises:
        RejectedError: no or several identities, no issuer, or two that differ (code ``cert-identity``).
    """
    san, san_kind = _read_san(certificate)
    return CertificateIdentity(_read_issuer(certificate), san, san_kind, _read_extensions(certificate))


def _read_issuer(certificate: Certificate) -> str:
    old = _text(certificate, ISSUER_RAW)
    new = _text(certificate, ISSUER)
    issuer = old if new is None else new
    if not issuer:
        raise _refused("no issuer", "one issuer")
    if old is not None and old != issuer:
        raise _refused(f"issuers {new!r} and {old!r}"[:200], "one issuer")
    return issuer


def _read_san(certificate: Certificate) -> tuple[str, SanKind]:
    from cryptography import x509  # noqa: PLC0415  as in certificate.py

    if len(certificate.names) != 1:
        raise _refused(f"{len(certificate.names)} alternative names", "exactly one")
    name = certificate.names[0]
    san: tuple[str, SanKind] | None = None
    if isinstance(name, x509.UniformResourceIdentifier):
        san = name.value, "uri"
    elif isinstance(name, x509.RFC822Name):
        san = name.value, "email"
    elif isinstance(name, x509.OtherName) and name.type_id.dotted_string == OTHER_NAME:
        san = _utf8(name.value, OTHER_NAME), "other-name"
    if san is None or not san[0]:
        raise _refused(f"a {type(name).__name__}", "a URI, an e-mail address or an OtherName of Fulcio")
    return san


def _read_extensions(certificate: Certificate) -> Mapping[str, str]:
    texts = {}
    for oid, value in certificate.extensions.items():
        if oid in EXTENSION_NAMES:
            texts[EXTENSION_NAMES[oid]] = _decode(value, oid)
        elif oid.startswith(f"{ARC}.") and oid not in (ISSUER_RAW, ISSUER):
            text = _newer(value)
            if text is not None:
                texts[oid] = text
    return MappingProxyType(texts)


def _newer(value: bytes) -> str | None:
    """An extension that is newer than this program: shown when it is text."""
    try:
        return parse_utf8_string(value)
    except MalformedError:
        return None


def _text(certificate: Certificate, oid: str) -> str | None:
    value = certificate.extensions.get(oid)
    return None if value is None else _decode(value, oid)


def _decode(value: bytes, oid: str) -> str:
    if oid not in _RAW_TEXT:
        return _utf8(value, oid)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(f"extension {oid} that is not UTF-8", "text") from error


def _utf8(value: bytes, oid: str) -> str:
    try:
        return parse_utf8_string(value)
    except MalformedError as error:
        raise _refused(f"extension {oid} that is not a UTF8String", "text") from error


def _refused(got: str, want: str) -> RejectedError:
    return RejectedError("cert-identity", "certificate", got=got, want=want)
