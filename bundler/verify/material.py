"""Trusted material: what a Sigstore `trusted_root.json` holds (protobuf-specs, `sigstore_trustroot.proto`).

Rules of this module:
- Every key and authority has a window with a start (code `trust-root-malformed` otherwise); both ends belong to it.
- A log is known by its id. The id is not taken on trust: it must be the one that the log's key gives, SHA-256 of the
  key (RFC 6962), or for logs of Rekor 2 the note key id (C2SP signed-note) under the log's host name. No id stands
  twice, and no key under two ids: one log would count as two. Logs of one `operator` do count as one.
- A log may lack its address: `cosign trusted-root create` writes none unless it is told. It is then called by its id.
- Fields that we do not know are refused: one may narrow what another one allows.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.encoding import decode_base64
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.identity.certificate import Certificate, parse_certificate
from bundler.identity.chain import CertificateAuthority
from bundler.identity.keys import PublicKey, Scheme, parse_pkcs1, parse_spki
from bundler.identity.sct import CertificateLog
from bundler.moment import Window, parse_foreign_moment
from bundler.strict_json import parse_foreign
from bundler.transparency.log import TransparencyLog, note_key_id, possible_names
from bundler.value import dataclass, field

_WHAT = "trusted root"
_PREFIX = "application/vnd.dev.sigstore.trustedroot"
MEDIA_TYPES = frozenset({f"{_PREFIX}+json;version=0.1", f"{_PREFIX}.v0.1+json", f"{_PREFIX}.v0.2+json"})

_Read = Callable[[bytes, str], PublicKey]
_KEY_DETAILS: dict[str, tuple[_Read, str, Scheme]] = {
    "PKIX_ECDSA_P256_SHA_256": (parse_spki, "ECDSA P-256", Scheme.ECDSA_SHA256),
    "PKIX_ECDSA_P384_SHA_384": (parse_spki, "ECDSA P-384", Scheme.ECDSA_SHA384),
    "PKIX_ECDSA_P521_SHA_512": (parse_spki, "ECDSA P-521", Scheme.ECDSA_SHA512),
    "PKIX_ECDSA_P384_SHA_256": (parse_spki, "ECDSA P-384", Scheme.ECDSA_SHA256),
    "PKIX_ECDSA_P521_SHA_256": (parse_spki, "ECDSA P-521", Scheme.ECDSA_SHA256),
    "PKIX_ED25519": (parse_spki, "Ed25519", Scheme.ED25519),
    "PKCS1_RSA_PKCS1V5": (parse_pkcs1, "RSA", Scheme.RSA_PKCS1_SHA256),
    "PKCS1_RSA_PSS": (parse_pkcs1, "RSA", Scheme.RSA_PSS_SHA256),
    "PKIX_RSA_PKCS1V5": (parse_spki, "RSA", Scheme.RSA_PKCS1_SHA256),
    "PKIX_RSA_PSS": (parse_spki, "RSA", Scheme.RSA_PSS_SHA256),
    **{
        f"PKIX_RSA_{padding}_{bits}_SHA256": (parse_spki, f"RSA {bits}", scheme)
        for bits in (2048, 3072, 4096)
        for padding, scheme in (("PKCS1V15", Scheme.RSA_PKCS1_SHA256), ("PSS", Scheme.RSA_PSS_SHA256))
    },
}


@dataclass(frozen=True, slots=True)
class TrustedMaterial:
    """Authorities and logs, with their windows. `raw` is the document; whoever holds it knows why it is trusted."""

    raw: bytes = field(repr=False)
    logs: tuple[TransparencyLog, ...]
    authorities: tuple[CertificateAuthority, ...]
    certificate_logs: tuple[CertificateLog, ...]
    timestamp_authorities: tuple[CertificateAuthority, ...]

    @property
    def digest(self) -> Digest:
        """SHA-256 of the document."""
        return sha256_of(self.raw)


def parse_trusted_root(raw: bytes) -> TrustedMaterial:
    """Read a `trusted_root.json`, whose bytes the caller has checked against TUF metadata or a pin.

    Raises:
        MalformedError: anything that this module does not take (code ``trust-root-malformed``).
    """
    try:
        return _parse(raw)
    except MalformedError as error:
        if error.code == "trust-root-malformed":
            raise
        raise _malformed(f"{error.what} {error.which}".strip(), f"{error.got} ({error.code})", error.want) from error


def _parse(raw: bytes) -> TrustedMaterial:
    fields = Fields(parse_foreign(raw, _WHAT, max_bytes=limits.TRUSTED_ROOT_BYTES), _WHAT)
    fields.only("mediaType", "tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities")
    if fields.text("mediaType") not in MEDIA_TYPES:
        raise _malformed("mediaType", fields.text("mediaType")[:160], f"{_PREFIX} version 0.1 or 0.2")
    logs = [TransparencyLog(*_parse_log(log), _operator(log)) for log in _each(fields, "tlogs")]
    certificate_logs = [CertificateLog(*_parse_log(log)) for log in _each(fields, "ctlogs")]
    for where, found in (("tlogs", logs), ("ctlogs", certificate_logs)):
        _check_distinct([log.log_id for log in found], where, "log id")
        _check_distinct([log.key.spki for log in found], where, "log's key")
    return TrustedMaterial(
        raw=raw,
        logs=tuple(logs),
        authorities=tuple(map(_parse_authority, _each(fields, "certificateAuthorities"))),
        certificate_logs=tuple(certificate_logs),
        timestamp_authorities=tuple(map(_parse_authority, _each(fields, "timestampAuthorities"))),
    )


def _each(fields: Fields, key: str) -> list[Fields]:
    """Protobuf JSON leaves empty lists out."""
    return list(fields.each(key, maximum=limits.TRUSTED_ROOT_AUTHORITIES)) if key in fields else []


def _parse_log(fields: Fields) -> tuple[str, bytes, PublicKey, Window]:
    """Address (or what it is called), id, key and window."""
    fields.only("baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator")
    if fields.text("hashAlgorithm") != "SHA2_256":
        raise _malformed(fields.where, fields.text("hashAlgorithm")[:80], "hashAlgorithm SHA2_256")
    url = fields.optional_text("baseUrl") or ""
    key, window = _parse_key(fields.fields("publicKey"))
    log_id = _parse_log_id(fields.fields("logId"))
    if log_id not in _expected_ids(key, url):
        raise _malformed(fields.where, f"logId {log_id.hex()}"[:100], "the id that the log's key gives")
    return url or f"log {log_id.hex()}", log_id, key, window


def _operator(fields: Fields) -> str:
    return fields.optional_text("operator") or ""


def _parse_key(fields: Fields) -> tuple[PublicKey, Window]:
    fields.only("rawBytes", "keyDetails", "validFor")
    details = fields.text("keyDetails")
    if details not in _KEY_DETAILS:
        raise _malformed(fields.where, f"keyDetails {details[:80]}", "a kind of key that this version checks")
    read, algorithm, scheme = _KEY_DETAILS[details]
    key = read(decode_base64(fields.text("rawBytes"), _WHAT, fields.where), _WHAT)
    if key.algorithm != algorithm and not (algorithm == "RSA" and key.algorithm.startswith("RSA ")):
        raise _malformed(fields.where, f"{key.algorithm} under {details}", algorithm)
    return key.restricted_to(scheme), _parse_window(fields)


def _parse_log_id(fields: Fields) -> bytes:
    fields.exactly("keyId")
    return decode_base64(fields.text("keyId"), _WHAT, fields.where)


def _expected_ids(key: PublicKey, url: str) -> set[bytes]:
    return {sha256(key.spki).digest(), *(note_key_id(name, key) for name in possible_names(url) if name)}


def _parse_authority(fields: Fields) -> CertificateAuthority:
    fields.only("subject", "uri", "certChain", "validFor", "operator")
    chain = fields.fields("certChain")
    chain.exactly("certificates")
    certificates = tuple(
        _parse_certificate(item) for item in chain.each("certificates", maximum=limits.CERTIFICATES_IN_CHAIN)
    )
    if not certificates:
        raise _malformed(chain.where, "no certificate", "at least one")
    return CertificateAuthority(fields.optional_text("uri") or "", certificates, _parse_window(fields))


def _parse_certificate(fields: Fields) -> Certificate:
    fields.exactly("rawBytes")
    return parse_certificate(decode_base64(fields.text("rawBytes"), _WHAT, fields.where))


def _parse_window(fields: Fields) -> Window:
    window = fields.fields("validFor")
    window.only("start", "end")
    start = parse_foreign_moment(window.text("start"))
    end = parse_foreign_moment(window.text("end")) if "end" in window else None
    if end is not None and end < start:
        raise _malformed(window.where, "an end before the start", "a window")
    return Window(start, end)


def _check_distinct(items: list[bytes], where: str, what: str) -> None:
    if len(set(items)) != len(items):
        raise _malformed(where, f"a {what} twice", "each once")


def _malformed(where: str, got: str, want: str) -> MalformedError:
    return MalformedError("trust-root-malformed", _WHAT, where, got=got, want=want)
