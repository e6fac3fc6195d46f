"""Certificates of the simulated Sigstore: an authority with an intermediate, and leaves good or bad in one point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bundler.encoding import encode_base64, format_pem
from bundler.identity.der import UTF8_STRING, format_der
from bundler.identity.fulcio import ISSUER, ISSUER_RAW, OTHER_NAME
from bundler.identity.fulcio_names import ARC
from tests.simulators.sigstore_keys import END, GITHUB, LEAF_LIFETIME, START, PrivateKey, Window, as_window
from tests.simulators.sigstore_log import Log


@dataclass
class Authority:
    """A root and an intermediate, as Fulcio has. Every field is a knob; certificates are made from them on demand.

    Attributes:
        path_length: of the root (the intermediate always has 0).
        intermediate_ca: BasicConstraints of the intermediate.
        intermediate_usage: whether its KeyUsage has keyCertSign.
        intermediate_purposes: its ExtendedKeyUsage.
        root_validity, intermediate_validity: of the certificates (the authority's window is another thing).
    """

    root_key: ec.EllipticCurvePrivateKey
    key: ec.EllipticCurvePrivateKey
    uri: str = "https://fulcio.example.org"
    organization: str = "sigstore.example.org"
    path_length: int | None = None
    intermediate_ca: bool = True
    intermediate_usage: bool = True
    intermediate_purposes: Sequence[str] = ("1.3.6.1.5.5.7.3.3",)
    root_validity: tuple[datetime, datetime] = (START, END)
    intermediate_validity: tuple[datetime, datetime] = (START, END)

    @property
    def root(self) -> x509.Certificate:
        """The anchor, self-signed."""
        name = self._name("root")
        builder = certificate_builder(name, name, self.root_key.public_key(), 1, self.root_validity)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=self.path_length), critical=True)
        builder = builder.add_extension(usage(certificates=True), critical=True)
        builder = with_key_identifiers(builder, self.root_key.public_key())
        return builder.sign(self.root_key, hashes.SHA384(), ecdsa_deterministic=True)

    @property
    def intermediate(self) -> x509.Certificate:
        """The issuer of leaves."""
        builder = certificate_builder(
            self._name("root"), self._name("intermediate"), self.key.public_key(), 2, self.intermediate_validity
        )
        length = 0 if self.intermediate_ca else None
        builder = builder.add_extension(
            x509.BasicConstraints(ca=self.intermediate_ca, path_length=length), critical=True
        )
        builder = builder.add_extension(usage(certificates=self.intermediate_usage), critical=True)
        if self.intermediate_purposes:
            builder = builder.add_extension(purposes(self.intermediate_purposes), critical=False)
        builder = with_key_identifiers(builder, self.key.public_key(), self.root_key.public_key())
        return builder.sign(self.root_key, hashes.SHA384(), ecdsa_deterministic=True)

    @property
    def chain(self) -> tuple[x509.Certificate, x509.Certificate]:
        """Issuer of leaves first."""
        return self.intermediate, self.root

    def trusted(self, window: Window) -> dict[str, Any]:
        """Its entry in a trusted root."""
        return {
            "subject": {"organization": self.organization, "commonName": "sigstore"},
            "uri": self.uri,
            "certChain": {"certificates": [{"rawBytes": encode_base64(der(item))} for item in self.chain]},
            "validFor": as_window(window),
        }

    def _name(self, common: str) -> x509.Name:
        oid = x509.NameOID
        return x509.Name(
            [
                x509.NameAttribute(oid.ORGANIZATION_NAME, self.organization),
                x509.NameAttribute(oid.COMMON_NAME, f"sigstore-{common}"),
            ]
        )


@dataclass(frozen=True)
class CertificateKnobs:
    """What a leaf is like. The defaults make a good one.

    Attributes:
        names: alternative names in place of the identity.
        issuer_raw, issuer_der: extensions .1 and .8; None leaves one out.
        extensions: more of Fulcio's, by number, as text.
        content_usage: whether KeyUsage has digitalSignature; None leaves the extension out.
        purposes: ExtendedKeyUsage; empty leaves it out.
        scts: how many SCTs are embedded.
        sct_at: their time; None for the start of the validity.
        sct_log: another log than the instance's.
        sct_position: where the SCT list stands among the extensions; None for last.
        unknown_critical: adds a critical extension that nobody knows.
        key: the signer's; a new one when None.
    """

    names: Sequence[x509.GeneralName] | None = None
    issuer_raw: str | None = GITHUB
    issuer_der: str | None = GITHUB
    extensions: Mapping[int, str] = field(default_factory=dict)
    content_usage: bool | None = True
    purposes: Sequence[str] = ("1.3.6.1.5.5.7.3.3",)
    ca: bool | None = None
    scts: int = 1
    sct_at: datetime | None = None
    sct_log: Log | None = None
    sct_extensions: bytes = b""
    sct_position: int | None = None
    unknown_critical: bool = False
    lifetime: timedelta = LEAF_LIFETIME
    key: PrivateKey | None = None
    issued_by: Authority | None = None


def leaf_extensions(identity: str, knobs: CertificateKnobs) -> list[tuple[x509.ExtensionType, bool]]:
    """The extensions of a Fulcio leaf, without SCTs."""
    found: list[tuple[x509.ExtensionType, bool]] = []
    if knobs.content_usage is not None:
        found.append((usage(content=knobs.content_usage), True))
    if knobs.purposes:
        found.append((purposes(knobs.purposes), False))
    if knobs.ca is not None:
        found.append((x509.BasicConstraints(ca=knobs.ca, path_length=None), True))
    names = [general_name(identity)] if knobs.names is None else knobs.names
    if names:
        found.append((x509.SubjectAlternativeName(names), True))
    if knobs.issuer_raw is not None:
        found.append((fulcio_extension(ISSUER_RAW, knobs.issuer_raw.encode()), False))
    if knobs.issuer_der is not None:
        found.append((fulcio_extension(ISSUER, format_der(UTF8_STRING, knobs.issuer_der.encode())), False))
    for number, text in knobs.extensions.items():
        raw = text.encode() if number <= 6 else format_der(UTF8_STRING, text.encode())
        found.append((fulcio_extension(f"{ARC}.{number}", raw), False))
    if knobs.unknown_critical:
        found.append((fulcio_extension("1.2.3.4.5", b"\5\0"), True))
    return found


def general_name(identity: str) -> x509.GeneralName:
    """An identity as Fulcio writes it: URI, e-mail, or its OtherName for what is neither."""
    if "://" in identity:
        return x509.UniformResourceIdentifier(identity)
    if "@" in identity:
        return x509.RFC822Name(identity)
    return x509.OtherName(x509.ObjectIdentifier(OTHER_NAME), format_der(UTF8_STRING, identity.encode()))


def fulcio_extension(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    """Any extension by OID."""
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)


def certificate_builder(
    issuer: x509.Name, subject: x509.Name, key: Any, serial: int, validity: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    """A builder with everything but extensions."""
    builder = x509.CertificateBuilder(issuer, subject, key, serial)
    return builder.not_valid_before(validity[0]).not_valid_after(validity[1])


def with_key_identifiers(builder: x509.CertificateBuilder, key: Any, issuer_key: Any = None) -> x509.CertificateBuilder:
    """SubjectKeyIdentifier, and AuthorityKeyIdentifier unless self-signed: as Fulcio's have them."""
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    if issuer_key is None:
        return builder
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)


def usage(*, content: bool = False, certificates: bool = False) -> x509.KeyUsage:
    """KeyUsage with digitalSignature or keyCertSign; with neither, cRLSign, since one bit must be set."""
    return x509.KeyUsage(
        digital_signature=content, key_cert_sign=certificates, crl_sign=not content, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def purposes(oids: Sequence[str]) -> x509.ExtendedKeyUsage:
    """ExtendedKeyUsage."""
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in oids])


def der(certificate: x509.Certificate) -> bytes:
    """A certificate's bytes."""
    return certificate.public_bytes(Encoding.DER)


def pem(certificate: x509.Certificate) -> str:
    """A certificate as one PEM block."""
    return format_pem("CERTIFICATE", der(certificate))
