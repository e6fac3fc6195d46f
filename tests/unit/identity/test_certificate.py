"""One certificate: what is read out of it, and which ones are refused at once."""

from __future__ import annotations

import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from bundler.encoding import format_pem
from bundler.errors import MalformedError, RejectedError, SealiftError
from bundler.identity.certificate import (
    _CHECKED_EXTENSIONS,
    _SCHEMES,
    CODE_SIGNING,
    Certificate,
    parse_certificate,
    parse_certificate_pem,
)
from bundler.identity.der import SEQUENCE, format_der
from bundler.identity.keys import Scheme
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_certificates import certificate_builder, der, fulcio_extension, pem
from tests.simulators.sigstore_keys import AT, LEAF_LIFETIME

SIGSTORE = Sigstore("certificate")
SIGNER = SIGSTORE.keyless("https://example.org/app", extensions={9: "builder"})


def leaf() -> x509.Certificate:
    assert SIGNER.certificate is not None
    return SIGNER.certificate


def test_what_is_read() -> None:
    parsed = parse_certificate(der(leaf()))
    assert parsed.der == der(leaf())
    assert parsed.tbs == leaf().tbs_certificate_bytes
    assert parsed.issuer == leaf().issuer.public_bytes()
    assert parsed.subject == leaf().subject.public_bytes()
    public = leaf().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert parsed.spki == parsed.key.spki == public
    assert (parsed.validity.start, parsed.validity.end) == (AT, AT + LEAF_LIFETIME)
    assert (parsed.ca, parsed.can_sign_content, parsed.can_sign_certificates) == (False, True, False)
    assert parsed.purposes == frozenset({CODE_SIGNING})
    assert parsed.fingerprint.hex == leaf().fingerprint(hashes.SHA256()).hex()
    assert parsed == parse_certificate_pem(pem(leaf()))
    assert hash(parsed) == hash(parse_certificate(der(leaf())))


def test_extension_values_stand_under_their_own_oid() -> None:
    parsed = parse_certificate(der(leaf()))
    values = {extension.oid.dotted_string: extension.value.public_bytes() for extension in leaf().extensions}
    assert parsed.extensions == values


def test_issued_by() -> None:
    intermediate, anchor = (parse_certificate(der(item)) for item in SIGNER.chain)
    parse_certificate(der(leaf())).check_issued_by(intermediate)
    intermediate.check_issued_by(anchor)
    namesake = SIGSTORE.new_authority()
    for child, issuer in (
        (parse_certificate(der(leaf())), anchor),
        (parse_certificate(der(leaf())), parse_certificate(der(namesake.intermediate))),
        (intermediate, intermediate),
    ):
        with pytest.raises(RejectedError) as error:
            child.check_issued_by(issuer)
        assert error.value.code == "cert-chain"


def test_a_weak_signature_hash_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = SIGSTORE.authority.root.subject
    builder = certificate_builder(name, name, key.public_key(), 5, (AT, AT + LEAF_LIFETIME))
    weak = parse_certificate(der(builder.sign(key, hashes.SHA224())))
    with pytest.raises(RejectedError) as error:
        weak.check_issued_by(weak)
    assert error.value.code == "cert-chain"


def refused(raw: bytes) -> None:
    with pytest.raises(MalformedError) as error:
        parse_certificate(raw)
    assert error.value.code in {"certificate", "der", "key"}


def test_the_algorithm_stands_in_it_twice() -> None:
    """RFC 5280 section 4.1.1.2: what stands outside of the signed part is what stands inside."""
    raw = der(leaf())
    sha384, sha256 = bytes.fromhex("06082a8648ce3d040303"), bytes.fromhex("06082a8648ce3d040302")
    outside = raw.rindex(sha384)
    assert raw.index(sha384) < outside
    with pytest.raises(MalformedError) as refused:
        parse_certificate(raw[:outside] + sha256 + raw[outside + len(sha256) :])
    assert refused.value.code == "certificate"


def test_not_one_certificate() -> None:
    raw = der(leaf())
    for broken in (b"", raw[:-1], raw + b"\0", raw + raw, raw[4:], bytes(1000), bytes(1 << 20), b"\x30\x00"):
        refused(broken)


def test_a_large_certificate() -> None:
    certificate = SIGSTORE.keyless("https://example.org/app", extensions={9: "x" * 65_536}).certificate
    assert certificate is not None
    refused(der(certificate))


def test_an_empty_extension() -> None:
    usage = bytes.fromhex("300e0603551d0f0101ff0404030207 80")
    raw = der(leaf())
    assert raw.count(usage) == 1
    # The same number of bytes: an empty extension, and one that nobody knows.
    filler = bytes.fromhex("3000") + bytes.fromhex("300c06032a0304040500000000ff")[:14]
    assert len(filler) == len(usage)
    refused(raw.replace(usage, filler))


def test_a_validity_that_ends_before_it_starts() -> None:
    start, end = (moment.strftime("%y%m%d%H%M%SZ").encode() for moment in (AT, AT + LEAF_LIFETIME))
    raw = der(leaf())
    assert raw.count(start) == raw.count(end) == 1
    refused(raw.replace(start, b"?").replace(end, start).replace(b"?", end))


def test_pem_of_something_else() -> None:
    for text in (pem(leaf()) * 2, format_pem("PUBLIC KEY", der(leaf())), "", format_pem("CERTIFICATE", b"x")):
        with pytest.raises(MalformedError):
            parse_certificate_pem(text)


def test_unknown_critical_extension() -> None:
    certificate = SIGSTORE.keyless("https://example.org/app", unknown_critical=True).certificate
    assert certificate is not None
    refused(der(certificate))


@pytest.mark.parametrize("serial", [b"\x00", b"\x80", b"\xff\x01", b"\x01" * 21, b""])
def test_serial_numbers_of_rfc_5280(serial: bytes) -> None:
    old = b"\x02\x02" + leaf().serial_number.to_bytes(2, "big")
    new = b"\x02" + bytes([len(serial)]) + serial
    raw = der(leaf())
    assert raw.count(old) >= 1
    grown = raw.replace(old, new, 1)
    longer = len(new) - len(old)
    # Both lengths around it: certificate and TBSCertificate, two bytes each.
    fixed = bytearray(grown)
    for place in (2, 6):
        fixed[place : place + 2] = (int.from_bytes(raw[place : place + 2], "big") + longer).to_bytes(2, "big")
    refused(bytes(fixed))


@pytest.mark.parametrize(("serial", "good"), [(1, True), (2**151, True), (0, False), (-1, False)])
def test_serial_numbers_of_issuers(serial: int, good: bool) -> None:
    """AuthorityKeyIdentifier with issuer and serial number, as some private authorities write it."""
    content = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
    issuer = format_der(0xA1, format_der(0xA4, leaf().issuer.public_bytes()))
    value = format_der(SEQUENCE, format_der(0x80, bytes(20)) + issuer + format_der(0x82, content))
    key = ec.generate_private_key(ec.SECP256R1())
    builder = certificate_builder(leaf().issuer, leaf().issuer, key.public_key(), 5, (AT, AT + LEAF_LIFETIME))
    builder = builder.add_extension(fulcio_extension("2.5.29.35", value), critical=False)
    raw = der(builder.sign(key, hashes.SHA256()))
    if good:
        parse_certificate(raw)
    else:
        refused(raw)


def test_any_mutation_is_refused_or_another_certificate() -> None:
    """No mutant gets out as anything but our errors, and none is taken for the original."""
    chance = random.Random(7)
    original = parse_certificate(der(leaf()))
    for _ in range(2000):
        mutant = bytearray(der(leaf()))
        for _ in range(chance.randint(1, 3)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        if bytes(mutant) != original.der:
            check_mutant(bytes(mutant), original)


def check_mutant(raw: bytes, original: Certificate) -> None:
    issuer = parse_certificate(der(SIGNER.chain[0]))
    with pytest.raises(SealiftError):
        parse_certificate(raw).check_issued_by(issuer)
    assert raw != original.der


def test_object_identifiers_are_those_that_the_library_names() -> None:
    extensions = ("BASIC_CONSTRAINTS", "KEY_USAGE", "EXTENDED_KEY_USAGE", "SUBJECT_ALTERNATIVE_NAME")
    assert {getattr(ExtensionOID, name).dotted_string for name in extensions} == _CHECKED_EXTENSIONS
    names = {oid.dotted_string: name for name, oid in vars(SignatureAlgorithmOID).items() if not name.startswith("_")}
    assert {names[oid]: scheme for oid, scheme in _SCHEMES.items()} == {
        "ECDSA_WITH_SHA256": Scheme.ECDSA_SHA256,
        "ECDSA_WITH_SHA384": Scheme.ECDSA_SHA384,
        "ECDSA_WITH_SHA512": Scheme.ECDSA_SHA512,
        "RSA_WITH_SHA256": Scheme.RSA_PKCS1_SHA256,
        "RSA_WITH_SHA384": Scheme.RSA_PKCS1_SHA384,
        "RSA_WITH_SHA512": Scheme.RSA_PKCS1_SHA512,
        "ED25519": Scheme.ED25519,
    }
