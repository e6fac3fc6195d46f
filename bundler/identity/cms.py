"""CMS SignedData as timestamps use it (RFC 5652, RFC 5816): one content, one signer, signed attributes.

Rules of this module:
- DER only, so that there is one spelling. Version 3, content inside, exactly one SignerInfo.
- The signer is found by its identifier, never by its position in the bag of certificates (CVE-2026-39984). The bag is
  unsigned: its certificates may name the signer's, and nobody trusts them for standing there.
- What is signed are the attributes, re-tagged as a SET. They have to stand in DER's order already, so the bytes that
  are checked are those in hand. Each attribute stands once; contentType and messageDigest bind the content.
- One digest algorithm (SHA-2) for content and attributes, named by SignerInfo; the signature algorithm has to fit it
  and the key. Nothing weaker is tried.
- Unsigned attributes are cut and ignored: they can change nothing. A bag that holds certificates holds the signer's.
  Revocation lists are refused, for nobody here would heed them: a trusted root tells a revocation by its windows.
"""

from __future__ import annotations

import hashlib

from bundler import limits
from bundler.errors import MalformedError, RejectedError
from bundler.identity.certificate import Certificate, issuer_and_serial
from bundler.identity.der import (
    EXPLICIT_0,
    EXPLICIT_1,
    IMPLICIT_0,
    INTEGER,
    NULL,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DerReader,
    format_der,
    parse_der,
)
from bundler.identity.keys import Scheme
from bundler.value import dataclass, field

SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SUBJECT_KEY_IDENTIFIER = "2.5.29.14"

# hashlib's names.
DIGESTS = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_RSA = {"sha256": Scheme.RSA_PKCS1_SHA256, "sha384": Scheme.RSA_PKCS1_SHA384, "sha512": Scheme.RSA_PKCS1_SHA512}
# Signature algorithm and digest algorithm together give the scheme (RFC 5754). Ed25519 signs the attributes themselves,
# and the digest is that of the content alone. RFC 8419 wants SHA-512 there; Sigstore's timestamp-authority writes the
# SHA-2 that it is set to, SHA-256 by default, and nothing gets weaker than with the other keys.
_SCHEMES = {
    ("1.2.840.10045.4.3.2", "sha256"): Scheme.ECDSA_SHA256,
    ("1.2.840.10045.4.3.3", "sha384"): Scheme.ECDSA_SHA384,
    ("1.2.840.10045.4.3.4", "sha512"): Scheme.ECDSA_SHA512,
    ("1.2.840.113549.1.1.11", "sha256"): Scheme.RSA_PKCS1_SHA256,
    ("1.2.840.113549.1.1.12", "sha384"): Scheme.RSA_PKCS1_SHA384,
    ("1.2.840.113549.1.1.13", "sha512"): Scheme.RSA_PKCS1_SHA512,
    **{("1.3.101.112", digest): Scheme.ED25519 for digest in ("sha256", "sha384", "sha512")},
    **{("1.2.840.113549.1.1.1", digest): scheme for digest, scheme in _RSA.items()},
}
_VERSION = 3
_VERSION_BY_SERIAL, _VERSION_BY_KEY = 1, 3


@dataclass(frozen=True, slots=True)
class SignerIdentifier:
    """Which certificate signed: by issuer (DER) and serial number (INTEGER content), or by subject key identifier."""

    issuer: bytes = b""
    serial: bytes = b""
    key_identifier: bytes | None = None

    def matches(self, certificate: Certificate) -> bool:
        """Whether it names this certificate. Private lookup: what it finds is verified afterwards."""
        if self.key_identifier is None:
            return (certificate.issuer, certificate.serial) == (self.issuer, self.serial)
        value = certificate.extensions.get(SUBJECT_KEY_IDENTIFIER)
        return value is not None and value == format_der(OCTET_STRING, self.key_identifier)


@dataclass(frozen=True, slots=True)
class SignedData:
    """A SignedData that was read; not verified yet.

    Attributes:
        content_type: eContentType, dotted.
        content: the bytes of eContent.
        certificates: the bag, each as DER, unread.
        identifier: which certificate signed.
        digest: hashlib's name of the digest algorithm.
        scheme: how `signature` was made.
        attributes: values of each signed attribute (each as DER), by OID.
        signed_bytes: what the signature is over: the attributes as a SET.
    """

    content_type: str
    content: bytes = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    identifier: SignerIdentifier
    digest: str
    scheme: Scheme
    attributes: dict[str, tuple[bytes, ...]] = field(repr=False)
    signed_bytes: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def only_value(self, oid: str, tag: int) -> bytes | None:
        """Content of a signed attribute that has exactly one value with this tag; None when it is absent.

        Raises:
            MalformedError: several values, or another type (code ``timestamp``).
        """
        values = self.attributes.get(oid)
        if values is None:
            return None
        if len(values) != 1:
            raise malformed(f"attribute {oid} with {len(values)} values", "exactly one")
        return parse_der(values[0], tag).content


def parse_signed_data(raw: bytes) -> SignedData:
    """Read a ContentInfo that holds a SignedData (RFC 5652 sections 3 and 5).

    Raises:
        MalformedError: code ``timestamp`` or ``der``.
    """
    info = DerReader(parse_der(raw, SEQUENCE).content, "ContentInfo")
    if (kind := info.oid()) != SIGNED_DATA:
        raise malformed(f"content {kind}", "SignedData")
    data = DerReader(info.wrapped(EXPLICIT_0, SEQUENCE).content, "SignedData")
    info.end()
    if (version := data.integer()) != _VERSION:
        raise malformed("another version of SignedData", f"version {_VERSION}")
    digests = {parse_digest_algorithm(item.content) for item in data.inside(SET, "digestAlgorithms").all(SEQUENCE)}
    content = data.inside(SEQUENCE, "encapContentInfo")
    content_type = content.oid()
    octets = content.wrapped(EXPLICIT_0, OCTET_STRING).content
    content.end()
    bag = data.maybe(EXPLICIT_0)
    certificates = DerReader(bag.content, "certificates").all(SEQUENCE) if bag else ()
    if len(certificates) > limits.CERTIFICATES_IN_CHAIN:
        raise malformed(f"{len(certificates)} certificates", f"at most {limits.CERTIFICATES_IN_CHAIN}")
    if data.maybe(EXPLICIT_1) is not None:
        raise malformed("revocation lists", "none: they would not be heeded")
    signers = data.inside(SET, "signerInfos").all(SEQUENCE)
    data.end()
    if len(signers) != 1:
        raise malformed(f"{len(signers)} signers", "exactly one")
    signed = _parse_signer(signers[0].content, content_type, octets, tuple(item.raw for item in certificates))
    if signed.digest not in digests:
        raise malformed("a digest algorithm that digestAlgorithms does not list", f"version {version} lists it")
    return signed


def verify_signed_data(signed: SignedData, signer: Certificate) -> None:
    """Check that `signer` signed the content: its type, its digest, and the signature over both.

    Raises:
        RejectedError: code ``timestamp-signature``.
        MalformedError: an attribute of another form (code ``timestamp`` or ``der``).
    """
    content_type = signed.attributes.get(CONTENT_TYPE)
    if content_type is None or [parse_oid_value(value) for value in content_type] != [signed.content_type]:
        raise _unsigned("no contentType attribute, or another type", signed.content_type)
    digest = signed.only_value(MESSAGE_DIGEST, OCTET_STRING)
    if digest is None or digest != hashlib.new(signed.digest, signed.content).digest():
        raise _unsigned("no messageDigest attribute, or another content", "the digest of the content")
    try:
        signer.key.accepting(signed.scheme).verify(signed.signature, signed.signed_bytes)
    except (RejectedError, MalformedError) as error:
        raise _unsigned(error.got, f"a signature by the certificate {signer.fingerprint}") from error


def named_certificates(signed: SignedData) -> tuple[bytes, ...]:
    """Certificates of the bag that the signer identifier names by issuer and serial number.

    A bag whose certificates cannot even be cut is refused. By key identifier all are candidates: the caller reads them.

    Raises:
        MalformedError: code ``certificate`` or ``der``.
    """
    wanted = (signed.identifier.issuer, signed.identifier.serial)
    names = [(issuer_and_serial(der), der) for der in signed.certificates]
    if signed.identifier.key_identifier is not None:
        return signed.certificates
    return tuple(der for name, der in names if name == wanted)


def parse_digest_algorithm(content: bytes) -> str:
    """hashlib's name of a DigestAlgorithmIdentifier (RFC 5754 section 2: parameters absent, or NULL).

    Raises:
        MalformedError: another algorithm (code ``timestamp``), or another form (``der``).
    """
    oid = _algorithm(content)
    if oid not in DIGESTS:
        raise malformed(f"digest algorithm {oid}", "SHA-256, SHA-384 or SHA-512")
    return DIGESTS[oid]


def parse_oid_value(raw: bytes) -> str:
    """Dotted text of one OBJECT IDENTIFIER.

    Raises:
        MalformedError: code ``der``.
    """
    reader = DerReader(raw, "attribute")
    oid = reader.oid()
    reader.end()
    return oid


def malformed(got: str, want: str) -> MalformedError:
    """The error for a timestamp of another form."""
    return MalformedError("timestamp", "timestamp", got=got, want=want)


def _parse_signer(content: bytes, content_type: str, octets: bytes, certificates: tuple[bytes, ...]) -> SignedData:
    """SignerInfo (RFC 5652 section 5.3)."""
    info = DerReader(content, "SignerInfo")
    version = info.integer()
    identifier = _parse_identifier(info, version)
    digest = parse_digest_algorithm(info.take(SEQUENCE).content)
    signed = info.take(EXPLICIT_0)
    algorithm = _algorithm(info.take(SEQUENCE).content)
    signature = info.take(OCTET_STRING).content
    if (unsigned := info.maybe(EXPLICIT_1)) is not None:
        _parse_attributes(unsigned.content)
    info.end()
    if (algorithm, digest) not in _SCHEMES:
        raise malformed(f"signature algorithm {algorithm} with {digest}", "ECDSA, RSA PKCS #1 or Ed25519 with SHA-2")
    return SignedData(
        content_type=content_type,
        content=octets,
        certificates=certificates,
        identifier=identifier,
        digest=digest,
        scheme=_SCHEMES[algorithm, digest],
        attributes=_parse_attributes(signed.content),
        signed_bytes=format_der(SET, signed.content),
        signature=signature,
    )


def _parse_identifier(info: DerReader, version: int) -> SignerIdentifier:
    """SignerIdentifier, whose form the version tells (RFC 5652 section 5.3)."""
    if version == _VERSION_BY_KEY:
        return SignerIdentifier(key_identifier=info.take(IMPLICIT_0).content)
    if version != _VERSION_BY_SERIAL:
        raise malformed("another version of SignerInfo", f"{_VERSION_BY_SERIAL} or {_VERSION_BY_KEY}")
    name = info.inside(SEQUENCE, "issuerAndSerialNumber")
    identifier = SignerIdentifier(name.take(SEQUENCE).raw, name.take(INTEGER).content)
    name.end()
    return identifier


def _parse_attributes(content: bytes) -> dict[str, tuple[bytes, ...]]:
    """SET OF Attribute (RFC 5652 section 5.3), in DER's order: ascending as bytes (X.690 section 11.6)."""
    elements = DerReader(content, "attributes").all(SEQUENCE)
    raws = [element.raw for element in elements]
    if not raws or raws != sorted(raws):
        raise malformed("attributes out of order, or none", "at least one, in DER's order")
    attributes: dict[str, tuple[bytes, ...]] = {}
    for element in elements:
        attribute = DerReader(element.content, "attribute")
        oid = attribute.oid()
        values = DerReader(attribute.take(SET).content, oid).any()
        attribute.end()
        if oid in attributes or not values:
            raise malformed(f"attribute {oid} twice, or without a value", "each once, with a value")
        attributes[oid] = tuple(value.raw for value in values)
    return attributes


def _algorithm(content: bytes) -> str:
    """AlgorithmIdentifier whose parameters are absent or NULL: those of every algorithm that we take."""
    reader = DerReader(content, "AlgorithmIdentifier")
    oid = reader.oid()
    if (parameters := reader.maybe(NULL)) is not None and parameters.content:
        raise malformed(f"parameters of {oid}", "none")
    reader.end()
    return oid


def _unsigned(got: str, want: str) -> RejectedError:
    return RejectedError("timestamp-signature", "timestamp", got=got, want=want)
