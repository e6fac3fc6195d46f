"""One X.509 certificate, read strictly (RFC 5280), with its exact bytes kept.

Rules of this module:
- `der` is the certificate; equality is equality of `der`. Names and keys are compared as they stand in it.
- Everything that a check needs later is read here once, so that a certificate in hand cannot fail to answer. Duplicate
  extensions, extensions that do not parse and other encodings are refused.
- The algorithm of the signature stands in a certificate twice, equal (RFC 5280 section 4.1.1.2). The signature is
  checked with the issuer's key as it was read once: reading it anew takes most of the time of a check.
- A critical extension that no check of ours looks at is refused (RFC 5280 section 4.2).
- Nothing here says whom a certificate belongs to, or that anybody trusts it: chain.py and fulcio.py do.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.encoding import parse_pem
from bundler.errors import MalformedError, RejectedError
from bundler.identity.der import EXPLICIT_3, SEQUENCE, Element, parse_der, parse_elements
from bundler.identity.keys import PublicKey, Scheme, wrap_public_key
from bundler.moment import Window
from bundler.value import dataclass, field

if TYPE_CHECKING:
    from cryptography import x509  # imported where a certificate is read: it takes longer than reading a hundred

CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0"

# Positions in TBSCertificate, which in version 3 starts with the version.
_SERIAL, _ALGORITHM, _ISSUER, _SUBJECT, _SPKI = 1, 2, 3, 5, 6
_SERIAL_BYTES = 20
_AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("0603551d23")
_AUTHORITY_SERIAL = 0x82

_CHECKED_EXTENSIONS = frozenset(
    {
        "2.5.29.19",  # BasicConstraints
        "2.5.29.15",  # KeyUsage
        "2.5.29.37",  # ExtendedKeyUsage
        "2.5.29.17",  # SubjectAlternativeName
    }
)
_SCHEMES = {
    "1.2.840.10045.4.3.2": Scheme.ECDSA_SHA256,
    "1.2.840.10045.4.3.3": Scheme.ECDSA_SHA384,
    "1.2.840.10045.4.3.4": Scheme.ECDSA_SHA512,
    "1.2.840.113549.1.1.11": Scheme.RSA_PKCS1_SHA256,
    "1.2.840.113549.1.1.12": Scheme.RSA_PKCS1_SHA384,
    "1.2.840.113549.1.1.13": Scheme.RSA_PKCS1_SHA512,
    "1.3.101.112": Scheme.ED25519,
}
_Parts = list[tuple[Element, ...]]  # of each extension: OID, perhaps `critical`, value
_Extension = TypeVar("_Extension", bound="x509.ExtensionType")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was read. Nobody vouches for it yet.

    Attributes:
        der: the whole certificate.
        tbs: its signed part, TBSCertificate.
        algorithm, signature: of its issuer; the algorithm as an OID.
        serial: content of the serial number's INTEGER.
        issuer, subject: the names, as DER.
        spki: SubjectPublicKeyInfo as it stands in the certificate.
        validity: notBefore to notAfter, both included.
        ca: whether BasicConstraints says that it is an authority; `path_length` is its bound, if any.
        can_sign_content, can_sign_certificates: KeyUsage; None when the extension is absent.
        purposes: the OIDs of ExtendedKeyUsage; None when the extension is absent.
        extensions: the value of every extension, as DER, by OID.
        critical: OIDs of the extensions that are marked critical.
    """

    der: bytes
    tbs: bytes = field(compare=False, repr=False)
    algorithm: str = field(compare=False, repr=False)
    signature: bytes = field(compare=False, repr=False)
    serial: bytes = field(compare=False, repr=False)
    issuer: bytes = field(compare=False, repr=False)
    subject: bytes = field(compare=False, repr=False)
    spki: bytes = field(compare=False, repr=False)
    key: PublicKey = field(compare=False, repr=False)
    validity: Window = field(compare=False)
    ca: bool = field(compare=False)
    path_length: int | None = field(compare=False)
    can_sign_content: bool | None = field(compare=False)
    can_sign_certificates: bool | None = field(compare=False)
    purposes: frozenset[str] | None = field(compare=False)
    names: tuple[x509.GeneralName, ...] = field(compare=False, repr=False)
    extensions: dict[str, bytes] = field(compare=False, repr=False)
    critical: frozenset[str] = field(compare=False, repr=False)

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 of the certificate."""
        return sha256_of(self.der)

    @property
    def is_root(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.issuer == self.subject

    @property
    def spki_sha256(self) -> bytes:
        """SHA-256 of the key as it stands in the certificate (RFC 6962 "issuer_key_hash")."""
        return sha256(self.spki).digest()

    def check_issued_by(self, issuer: Certificate) -> None:
        """Check that `issuer` signed this certificate and that the names chain.

        Raises:
            RejectedError: code ``cert-chain``.
        """
        if self.issuer != issuer.subject:
            raise _chain_error("another issuer name", "the subject of the certificate above")
        if self.algorithm not in _SCHEMES:
            raise _chain_error(f"signature algorithm {self.algorithm}", "SHA-2")
        try:
            issuer.key.accepting(_SCHEMES[self.algorithm]).verify(self.signature, self.tbs)
        except RejectedError as error:
            raise _chain_error("a signature that is not by its issuer", "a valid one") from error


def parse_certificate_pem(text: str, what: str = "certificate") -> Certificate:
    """Read a text that is exactly one PEM block `CERTIFICATE`.

    Raises:
        MalformedError: code ``pem``, ``base64`` or ``certificate``.
    """
    label, der = parse_pem(text, what)
    if label != "CERTIFICATE":
        raise _malformed(what, f"PEM {label}", "PEM CERTIFICATE")
    return parse_certificate(der, what)


@lru_cache(maxsize=limits.CACHED_CERTIFICATES)
def parse_certificate(der: bytes, what: str = "certificate") -> Certificate:
    """Read one certificate in DER. The last ones are remembered: those of authorities come again and again.

    Raises:
        MalformedError: not one certificate, or one that this module refuses (code ``certificate``, ``key``, ``der``).
    """
    from cryptography import x509  # noqa: PLC0415  see above

    if len(der) > limits.CERTIFICATE_BYTES:
        raise _malformed(what, f"{len(der)} bytes", f"at most {limits.CERTIFICATE_BYTES}")
    fields = _cut(der)
    parts = _extension_parts(fields)
    _check_serial_numbers(fields, parts, what)
    try:
        parsed = x509.load_der_x509_certificate(der)
        if parsed.public_bytes(Encoding.DER) != der or parsed.version is not x509.Version.v3:
            raise _malformed(what, "another encoding or version", "X.509 version 3 in DER")
        return _read(parsed, fields, parts, what)
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        x509.InvalidVersion,
    ) as error:
        raise _malformed(what, str(error)[:120], "one X.509 certificate in DER") from error


def issuer_and_serial(der: bytes) -> tuple[bytes, bytes]:
    """Issuer (as DER) and content of the serial number of a certificate that need not be one we would accept.

    Raises:
        MalformedError: not even cut like a certificate (code ``certificate`` or ``der``).
    """
    fields = _cut(der)
    return fields[_ISSUER].raw, fields[_SERIAL].content


def _cut(der: bytes) -> tuple[Element, ...]:
    """The fields of a version 3 TBSCertificate (RFC 5280 section 4.1), as they stand."""
    certificate = parse_elements(parse_der(der, SEQUENCE).content)
    fields = parse_elements(certificate[0].content) if certificate and certificate[0].tag == SEQUENCE else ()
    if len(fields) <= _SPKI or len(certificate) <= 1:
        raise _malformed("certificate", "too few fields", "X.509 version 3")
    if certificate[1].raw != fields[_ALGORITHM].raw:
        raise _malformed("certificate", "two algorithms for one signature", "the same inside and outside")
    return fields


def _read(parsed: x509.Certificate, fields: tuple[Element, ...], parts: _Parts, what: str) -> Certificate:
    from cryptography import x509  # noqa: PLC0415  see above

    extensions = parsed.extensions
    _check_critical(extensions, what)
    constraints = _extension(extensions, x509.BasicConstraints)
    usage = _extension(extensions, x509.KeyUsage)
    purposes = _extension(extensions, x509.ExtendedKeyUsage)
    names = _extension(extensions, x509.SubjectAlternativeName)
    return Certificate(
        der=parsed.public_bytes(Encoding.DER),
        tbs=parsed.tbs_certificate_bytes,
        algorithm=parsed.signature_algorithm_oid.dotted_string,
        signature=parsed.signature,
        serial=fields[_SERIAL].content,
        issuer=fields[_ISSUER].raw,
        subject=fields[_SUBJECT].raw,
        spki=fields[_SPKI].raw,
        key=wrap_public_key(parsed.public_key(), what),
        validity=_validity(parsed, what),
        ca=constraints is not None and constraints.ca,
        path_length=constraints.path_length if constraints else None,
        can_sign_content=usage.digital_signature if usage else None,
        can_sign_certificates=usage.key_cert_sign if usage else None,
        purposes=frozenset(purpose.dotted_string for purpose in purposes) if purposes else None,
        names=tuple(names) if names else (),
        extensions=_values(extensions, parts),
        critical=frozenset(item.oid.dotted_string for item in extensions if item.critical),
    )


def _check_critical(extensions: x509.Extensions, what: str) -> None:
    for extension in extensions:
        if extension.critical and extension.oid.dotted_string not in _CHECKED_EXTENSIONS:
            raise _malformed(what, f"critical extension {extension.oid.dotted_string}", "none that we do not check")


def _extension(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    found = [extension.value for extension in extensions if isinstance(extension.value, kind)]
    return found[0] if found else None


def _values(extensions: x509.Extensions, raw: _Parts) -> dict[str, bytes]:
    """Every extension's value by OID, as it stands (`extnValue` without its OCTET STRING header)."""
    return {extension.oid.dotted_string: parts[-1].content for extension, parts in zip(extensions, raw, strict=True)}


def _extension_parts(fields: tuple[Element, ...]) -> _Parts:
    """OID, perhaps `critical`, and value of every extension."""
    if fields[-1].tag != EXPLICIT_3:
        return []
    extensions = parse_elements(parse_der(fields[-1].content, SEQUENCE).content)
    parts = [parse_elements(extension.content) for extension in extensions]
    if not all(parts):
        raise _malformed("certificate", "an empty extension", "an OID and a value")
    return parts


def _check_serial_numbers(fields: tuple[Element, ...], extensions: _Parts, what: str) -> None:
    """The certificate's and, in AuthorityKeyIdentifier, the issuer's. The library warns where RFC 5280 refuses."""
    serials = [fields[_SERIAL].content]
    for parts in extensions:
        if parts[0].raw == _AUTHORITY_KEY_IDENTIFIER:
            identifier = parse_elements(parse_der(parts[-1].content, SEQUENCE).content)
            serials += [element.content for element in identifier if element.tag == _AUTHORITY_SERIAL]
    for serial in serials:
        if not any(serial) or serial[0] >= 0x80 or len(serial) > _SERIAL_BYTES:
            raise _malformed(what, "a serial number that is not positive, or too long", "RFC 5280 section 4.1.2.2")


def _validity(parsed: x509.Certificate, what: str) -> Window:
    window = Window(parsed.not_valid_before_utc, parsed.not_valid_after_utc)
    if window.end is not None and window.end < window.start:
        raise _malformed(what, "a validity that ends before it starts", str(window))
    return window


def _chain_error(got: str, want: str) -> RejectedError:
    return RejectedError("cert-chain", "certificate", got=got, want=want)


def _malformed(what: str, got: str, want: str) -> MalformedError:
    return MalformedError("certificate", what, got=got, want=want)
