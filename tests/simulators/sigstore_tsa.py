"""A time-stamping authority in memory: a root, an intermediate, a signer, and every form of answer, good or bad.

    tsa = TimestampAuthority("seed")
    raw = tsa.stamp(message, at=AT)                      # a TimeStampResp
    tsa.authority(), tsa.trusted(window)                 # what a trusted root holds

Near misses are knobs: `TsaKnobs` of the certificates, `StampKnobs` of one answer. What is signed is signed after all
knobs were applied, so an answer is wrong in the one point that was turned. Times are arguments, keys come from a seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from bundler.encoding import encode_base64
from bundler.identity.certificate import parse_certificate
from bundler.identity.chain import CertificateAuthority
from bundler.identity.der import format_der, format_integer, format_oid
from bundler.moment import Window as Interval
from tests.simulators.sigstore_certificates import certificate_builder, der, purposes, usage
from tests.simulators.sigstore_keys import AT, END, START, PrivateKey, Window, as_window, key_source

TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_DIGEST_OIDS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_ECDSA = {
    "sha1": "1.2.840.10045.4.1",
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
_RSA, _ED25519 = "1.2.840.113549.1.1.1", "1.3.101.112"
_NULL = b"\5\0"


@dataclass(frozen=True)
class TsaKnobs:
    """What the certificates are like.

    Attributes:
        key: the signer's; P-384 as Sigstore's when None.
        purposes, purposes_critical: ExtendedKeyUsage of the signer; empty leaves it out.
        content_usage: whether KeyUsage has digitalSignature; None leaves the extension out.
        non_repudiation: whether KeyUsage has nonRepudiation alone.
        ca: BasicConstraints of the signer; None leaves the extension out.
        issuer_purposes, issuer_ca: of the intermediate.
        names: alternative names of the signer.
        signer_validity, chain_validity: of the certificates.
        key_identifier: whether the signer has a SubjectKeyIdentifier.
    """

    key: PrivateKey | None = None
    purposes: Sequence[str] = (TIME_STAMPING,)
    purposes_critical: bool = True
    content_usage: bool | None = True
    non_repudiation: bool = False
    ca: bool | None = None
    issuer_purposes: Sequence[str] = (TIME_STAMPING,)
    issuer_ca: bool = True
    names: Sequence[x509.GeneralName] = ()
    signer_validity: tuple[datetime, datetime] = (START, END)
    chain_validity: tuple[datetime, datetime] = (START, END)
    key_identifier: bool = True


@dataclass(frozen=True)
class StampKnobs:
    """What one answer is like. The defaults make one as Sigstore's authority does; None leaves a part out.

    Attributes:
        status, status_extra: PKIStatus, and what follows it (DER).
        imprint, imprint_digest: the digest stamped and its algorithm.
        gen_time: GeneralizedTime's content in place of the time.
        after_time: all that follows genTime in TSTInfo, as DER.
        version, info_version, data_version, signer_version: numbers.
        digest: of the content and of the attributes.
        null_parameters: whether digest algorithms carry NULL.
        listed_digests: `digestAlgorithms`; the digest alone when None.
        certificates: the bag; `embed` False leaves it out, an empty one stays as an empty bag.
        by_key_identifier: the form of the signer identifier.
        ess: which of v1 and v2 name the signer's certificate; `ess_digest` of v2.
        ess_for: the certificate that they name; the signer's when None.
        ess_place: whether they hold issuer and serial number.
        attributes: more signed attributes; `without` leaves some out, `unsorted` turns their order around.
        message_digest, content_type_attribute: values of the attributes.
        content_type: of the content.
        algorithm: OID of the signature algorithm.
        signature: in place of the right one; `signed_by` is another key.
        signers: how many SignerInfos.
        crls, unsigned: whether there are a CRL and an unsigned attribute.
        after_token: what follows the token.
    """

    status: int = 0
    status_extra: bytes = b""
    imprint: bytes | None = None
    imprint_digest: str = "sha256"
    gen_time: bytes | None = None
    after_time: bytes = b""
    info_version: int = 1
    serial: bytes = b"\x01"
    data_version: int = 3
    signer_version: int | None = None
    digest: str = "sha256"
    null_parameters: bool = False
    listed_digests: Sequence[str] | None = None
    embed: bool = True
    certificates: Sequence[bytes] | None = None
    by_key_identifier: bool = False
    identifier: bytes | None = None
    ess: Sequence[str] = ("v2",)
    ess_digest: str = "sha256"
    ess_for: x509.Certificate | None = None
    ess_place: bool = True
    attributes: Sequence[bytes] = ()
    without: Sequence[str] = ()
    unsorted: bool = False
    message_digest: bytes | None = None
    content_type_attribute: str | None = None
    content_type: str = "1.2.840.113549.1.9.16.1.4"
    algorithm: str | None = None
    signature: bytes | None = None
    signed_by: PrivateKey | None = None
    signers: int = 1
    crls: bool = False
    unsigned: bool = False
    after_token: bytes = b""


class TimestampAuthority:
    """A root, an intermediate and a signer."""

    def __init__(self, seed: str = "tsa", *, host: str = "example.org", **knobs: Any) -> None:
        """`knobs` are those of `TsaKnobs`."""
        keys = key_source(seed)
        self.knobs = TsaKnobs(**knobs)
        self.uri = f"https://timestamp.{host}/api/v1/timestamp"
        self._host = host
        self._root_key, self._issuer_key = keys(ec.SECP384R1()), keys(ec.SECP384R1())
        self.key: PrivateKey = self.knobs.key or keys(ec.SECP384R1())
        self.other_key = keys(ec.SECP384R1())

    @property
    def signer(self) -> x509.Certificate:
        """The certificate that signs timestamps."""
        return self.issue(self.knobs)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """Signer, intermediate, root."""
        return self.signer, self._intermediate(), self._root()

    def issue(self, knobs: TsaKnobs, *, serial: int = 3, key: PrivateKey | None = None) -> x509.Certificate:
        """A certificate by the intermediate, for the signer's name."""
        public = (key or self.key).public_key()
        builder = certificate_builder(
            self._name("intermediate"), self._name("signer"), public, serial, knobs.signer_validity
        )
        if knobs.content_usage is not None:
            builder = builder.add_extension(_usage(knobs), critical=True)
        if knobs.purposes:
            builder = builder.add_extension(purposes(knobs.purposes), critical=knobs.purposes_critical)
        if knobs.ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca=knobs.ca, path_length=None), critical=True)
        if knobs.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(knobs.names), critical=False)
        if knobs.key_identifier:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        return builder.sign(self._issuer_key, hashes.SHA384(), ecdsa_deterministic=True)

    def authority(self, window: Interval | None = None, *, pinned: bool = True) -> CertificateAuthority:
        """As a trusted root gives it; `pinned` with the signer's certificate."""
        chain = tuple(parse_certificate(der(item)) for item in self.chain[0 if pinned else 1 :])
        return CertificateAuthority(self.uri, chain, window or Interval(START))

    def trusted(self, window: Window = (START, None), *, pinned: bool = True) -> dict[str, Any]:
        """Its entry in a trusted root's JSON."""
        return {
            "subject": {"organization": self._host, "commonName": "sigstore-tsa"},
            "uri": self.uri,
            "certChain": {
                "certificates": [{"rawBytes": encode_base64(der(item))} for item in self.chain[0 if pinned else 1 :]]
            },
            "validFor": as_window(window),
        }

    def stamp(self, message: bytes, *, at: datetime = AT, **knobs: Any) -> bytes:
        """A TimeStampResp over `message`; `knobs` are those of `StampKnobs`."""
        given = StampKnobs(**knobs)
        info = tst_info(message, at, given)
        return _sequence(
            _sequence(_integer(given.status), given.status_extra), self.token(info, given), given.after_token
        )

    def token(self, info: bytes, knobs: StampKnobs) -> bytes:
        """The TimeStampToken around a TSTInfo."""
        listed = (knobs.digest,) if knobs.listed_digests is None else knobs.listed_digests
        bag = [der(self.signer)] if knobs.certificates is None else list(knobs.certificates)
        parts = [
            _integer(knobs.data_version),
            format_der(0x31, b"".join(_algorithm(_DIGEST_OIDS[name], null=knobs.null_parameters) for name in listed)),
            _sequence(_oid(knobs.content_type), format_der(0xA0, format_der(0x04, info))),
            format_der(0xA0, b"".join(bag)) if knobs.embed else b"",
            format_der(0xA1, _sequence(b"\5\0")) if knobs.crls else b"",
            format_der(0x31, self._signer_info(info, knobs) * knobs.signers),
        ]
        return _sequence(_oid("1.2.840.113549.1.7.2"), format_der(0xA0, _sequence(*parts)))

    def _signer_info(self, info: bytes, knobs: StampKnobs) -> bytes:
        attributes = self._attributes(info, knobs)
        version = 3 if knobs.by_key_identifier else 1
        key = knobs.signed_by or self.key
        signature = _sign(key, format_der(0x31, attributes), knobs.digest)
        return _sequence(
            _integer(version if knobs.signer_version is None else knobs.signer_version),
            self._identifier(knobs) if knobs.identifier is None else knobs.identifier,
            _algorithm(_DIGEST_OIDS[knobs.digest], null=knobs.null_parameters),
            format_der(0xA0, attributes),
            _algorithm(knobs.algorithm or _signature_oid(key, knobs.digest), null=isinstance(key, rsa.RSAPrivateKey)),
            format_der(0x04, signature if knobs.signature is None else knobs.signature),
            format_der(0xA1, attribute("1.2.3.4", _integer(1))) if knobs.unsigned else b"",
        )

    def _identifier(self, knobs: StampKnobs) -> bytes:
        signer = parse_certificate(der(self.signer))
        if knobs.by_key_identifier:
            return format_der(0x80, x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()).digest)
        return _sequence(signer.issuer, format_der(0x02, signer.serial))

    def _attributes(self, info: bytes, knobs: StampKnobs) -> bytes:
        digest = hashlib.new(knobs.digest, info).digest() if knobs.message_digest is None else knobs.message_digest
        named = {
            "content-type": attribute("1.2.840.113549.1.9.3", _oid(knobs.content_type_attribute or knobs.content_type)),
            "signing-time": attribute("1.2.840.113549.1.9.5", format_der(0x17, b"260301120000Z")),
            "message-digest": attribute("1.2.840.113549.1.9.4", format_der(0x04, digest)),
            **{f"ess-{version}": self._ess(version, knobs) for version in knobs.ess},
        }
        every = [value for name, value in named.items() if name not in knobs.without] + list(knobs.attributes)
        return b"".join(sorted(every, reverse=knobs.unsorted))

    def _ess(self, version: str, knobs: StampKnobs) -> bytes:
        certificate = parse_certificate(der(knobs.ess_for or self.signer))
        place = _sequence(
            _sequence(format_der(0xA4, certificate.issuer)), format_der(0x02, certificate.serial)
        )  # fmt: skip
        place = place if knobs.ess_place else b""
        if version == "v1":
            hashed = format_der(0x04, hashlib.sha1(certificate.der).digest())
            return attribute("1.2.840.113549.1.9.16.2.12", _sequence(_sequence(_sequence(hashed, place))))
        hashed = format_der(0x04, hashlib.new(knobs.ess_digest, certificate.der).digest())
        named = b"" if knobs.ess_digest == "sha256" else _algorithm(_DIGEST_OIDS[knobs.ess_digest])
        return attribute("1.2.840.113549.1.9.16.2.47", _sequence(_sequence(_sequence(named, hashed, place))))

    def _intermediate(self) -> x509.Certificate:
        knobs = self.knobs
        builder = certificate_builder(
            self._name("root"), self._name("intermediate"), self._issuer_key.public_key(), 2, knobs.chain_validity
        )
        length = 0 if knobs.issuer_ca else None
        builder = builder.add_extension(x509.BasicConstraints(ca=knobs.issuer_ca, path_length=length), critical=True)
        builder = builder.add_extension(usage(certificates=True), critical=True)
        if knobs.issuer_purposes:
            builder = builder.add_extension(purposes(knobs.issuer_purposes), critical=False)
        return builder.sign(self._root_key, hashes.SHA384(), ecdsa_deterministic=True)

    def _root(self) -> x509.Certificate:
        name = self._name("root")
        builder = certificate_builder(name, name, self._root_key.public_key(), 1, (START, END))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(usage(certificates=True), critical=True)
        return builder.sign(self._root_key, hashes.SHA384(), ecdsa_deterministic=True)

    def _name(self, common: str) -> x509.Name:
        oid = x509.NameOID
        return x509.Name(
            [
                x509.NameAttribute(oid.ORGANIZATION_NAME, self._host),
                x509.NameAttribute(oid.COMMON_NAME, f"tsa-{common}"),
            ]
        )


def tst_info(message: bytes, at: datetime, knobs: StampKnobs) -> bytes:
    """A TSTInfo."""
    imprint = hashlib.new(knobs.imprint_digest, message).digest() if knobs.imprint is None else knobs.imprint
    return _sequence(
        _integer(knobs.info_version),
        _oid("1.3.6.1.4.1.57264.2"),
        _sequence(_algorithm(_DIGEST_OIDS[knobs.imprint_digest], null=True), format_der(0x04, imprint)),
        format_der(0x02, knobs.serial),
        format_der(0x18, gen_time(at) if knobs.gen_time is None else knobs.gen_time),
        knobs.after_time,
    )


def gen_time(at: datetime) -> bytes:
    """GeneralizedTime's content as DER writes it."""
    fraction = f".{at.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{at:%Y%m%d%H%M%S}{fraction}Z".encode()


def accuracy(seconds: int | None = None, millis: int | None = None, micros: int | None = None) -> bytes:
    """Accuracy of a TSTInfo."""
    parts = zip((0x02, 0x80, 0x81), (seconds, millis, micros), strict=True)
    return _sequence(*(format_der(tag, format_integer(part)) for tag, part in parts if part is not None))


def attribute(oid: str, *values: bytes) -> bytes:
    """One attribute of a SignerInfo."""
    return _sequence(_oid(oid), format_der(0x31, b"".join(values)))


def extension(oid: str, *, critical: bool) -> bytes:
    """One extension of a TSTInfo."""
    return _sequence(_oid(oid), b"\1\1\xff" if critical else b"", format_der(0x04, b"\5\0"))


def _usage(knobs: TsaKnobs) -> x509.KeyUsage:
    if not knobs.non_repudiation:
        return usage(content=bool(knobs.content_usage))
    return x509.KeyUsage(
        digital_signature=False, content_commitment=True, key_cert_sign=False, crl_sign=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _sign(key: PrivateKey, message: bytes, digest: str) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), HASHES[digest])
    return key.sign(message, ec.ECDSA(HASHES[digest], deterministic_signing=True))


def _signature_oid(key: PrivateKey, digest: str) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _ED25519
    return _RSA if isinstance(key, rsa.RSAPrivateKey) else _ECDSA[digest]


def _algorithm(oid: str, *, null: bool = False) -> bytes:
    return _sequence(_oid(oid), _NULL if null else b"")


def _sequence(*parts: bytes) -> bytes:
    return format_der(0x30, b"".join(parts))


def _integer(value: int) -> bytes:
    return format_der(0x02, format_integer(value))


def _oid(text: str) -> bytes:
    return format_der(0x06, format_oid(text))
