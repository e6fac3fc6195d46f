"""Sigstore bundles, versions 0.1, 0.2 and 0.3 (protobuf-specs `sigstore_bundle.proto`, in protobuf JSON).

Rules of this module:
- Strict: unknown fields, duplicate keys, other spellings of base64, none or two of what stands for one thing: refused.
  Null is the same as absent (ProtoJSON): npm's registry and older sigstore-js write it.
- The version says what must be there (code ``bundle-version``): 0.1 a promise in every log entry; from 0.2 on a proof
  with a checkpoint in every one; 0.3 one certificate instead of a chain, and only 0.3.
- At most 32 log entries and 32 timestamps, none of them twice (``duplicate-evidence``): nobody counts one as two.
- No root certificate travels inside (``bundle-root-cert``). Of a chain only the leaf is used: intermediates come from
  the trusted root. npm's and SLSA's first bundles (0.1) hold one all the same: a caller who says so may read them.
- `publicKey.hint` and `messageDigest` are not signed. The hint is never used; the digest must agree, proving nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bundler import limits
from bundler.digest import Content
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.envelope import Envelope, read_envelope
from bundler.evidence.signed import Signed
from bundler.fields import Fields
from bundler.identity.certificate import Certificate, parse_certificate
from bundler.strict_json import parse_foreign
from bundler.transparency.log_entry import TransparencyLogEntry, format_log_entry, parse_log_entry
from bundler.value import dataclass, field

_WHAT = "Sigstore bundle"
MEDIA_TYPE_PREFIX = "application/vnd.dev.sigstore.bundle"
VERSIONS = {
    f"{MEDIA_TYPE_PREFIX}+json;version=0.1": "0.1",
    f"{MEDIA_TYPE_PREFIX}+json;version=0.2": "0.2",
    f"{MEDIA_TYPE_PREFIX}+json;version=0.3": "0.3",
    f"{MEDIA_TYPE_PREFIX}.v0.3+json": "0.3",
}
HASHES = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over a file, and the digest that the bundle claims for it (`hash_algorithm` None: no claim)."""

    signature: bytes
    hash_algorithm: str | None = None
    hash_value: bytes = b""


@dataclass(frozen=True, slots=True)
class SigstoreBundle:
    """A Sigstore bundle that was read. Nothing in it is verified.

    Attributes:
        raw: the document.
        media_type: as it stands in the document; `version` follows from it.
        certificate: the signer's; None when it was made with a key.
        chain: further certificates of version 0.1 and 0.2; never used.
        key_hint: `publicKey.hint`; None with a certificate. Never used, never shown.
        entries: log entries.
        timestamps: RFC 3161 responses, in DER.
        content: the signature over a file, or a DSSE envelope (whose `raw` is empty: its bytes are not known).
    """

    raw: bytes = field(repr=False, compare=False)
    media_type: str
    certificate: Certificate | None
    chain: tuple[Certificate, ...]
    key_hint: str | None
    entries: tuple[TransparencyLogEntry, ...]
    timestamps: tuple[bytes, ...] = field(repr=False)
    content: MessageSignature | Envelope

    @property
    def holds_root(self) -> bool:
        """Whether a root certificate travels inside, against the specification."""
        return any(certificate.is_root for certificate in self.chain)

    @property
    def version(self) -> str:
        """`0.1`, `0.2` or `0.3`."""
        return VERSIONS[self.media_type]


def parse_bundle(raw: bytes, *, allow_root: bool = False) -> SigstoreBundle:
    """Read a Sigstore bundle.

    Args:
        raw: the document.
        allow_root: take a root certificate above the signer's; like the rest of the chain it is not used.

    Raises:
        RejectedError: ``bundle-version``, ``duplicate-evidence`` or ``bundle-root-cert``.
        MalformedError: ``limits``, ``key-material`` (no or several kinds of key), ``dsse``, ``dsse-payload-type``,
            or another shape.
    """
    fields = Fields(parse_foreign(raw, _WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), _WHAT)
    media_type = fields.text("mediaType")
    if media_type not in VERSIONS:
        raise _version(media_type[:160], f"one of {', '.join(VERSIONS)}")
    fields.only("mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope")
    material = fields.fields("verificationMaterial")
    material.only(
        "certificate", "x509CertificateChain", "publicKey", "tlogEntries", "timestampVerificationData"
    )  # fmt: skip
    certificates, hint = _parse_key_material(material, allow_root=allow_root)
    bundle = SigstoreBundle(
        raw=raw,
        media_type=media_type,
        certificate=certificates[0] if certificates else None,
        chain=certificates[1:],
        key_hint=hint,
        entries=_parse_entries(material),
        timestamps=_parse_timestamps(material),
        content=_parse_content(fields),
    )
    _check_version(bundle, in_chain=material.holds("x509CertificateChain"), alone=material.holds("certificate"))
    _check_duplicates(bundle)
    return bundle


def take_bundle_apart(bundle: SigstoreBundle, artifact: Content) -> Signed:
    """A Sigstore bundle in the shape that the verification core takes.

    Args:
        bundle: as read.
        artifact: what a plain signature must be over; an envelope brings its own content.

    Raises:
        MalformedError: the digest that it claims for the artifact is another one (code ``digest-mismatch``).
    """
    content = bundle.content
    if isinstance(content, Envelope):
        signed, envelope = Content(content.signed_bytes), content
    else:
        signed, envelope = artifact, None
        if content.hash_algorithm is not None:
            _check_message_digest(artifact, HASHES[content.hash_algorithm], content.hash_value)
    return Signed(
        signature=content.signature,
        content=signed,
        envelope=envelope,
        certificate=bundle.certificate,
        entries=bundle.entries,
        timestamps=bundle.timestamps,
        stamped=content.signature,
    )


def format_bundle(bundle: SigstoreBundle) -> bytes:
    """A Sigstore bundle that `parse_bundle` reads as this value."""
    material: dict[str, Any] = {"tlogEntries": [json.loads(format_log_entry(entry)) for entry in bundle.entries]}
    if bundle.certificate is None:
        material["publicKey"] = {"hint": bundle.key_hint} if bundle.key_hint else {}
    else:
        certificates = [{"rawBytes": encode_base64(item.der)} for item in (bundle.certificate, *bundle.chain)]
        if bundle.version == "0.3":
            material["certificate"] = certificates[0]
        else:
            material["x509CertificateChain"] = {"certificates": certificates}
    stamps = [{"signedTimestamp": encode_base64(stamp)} for stamp in bundle.timestamps]
    material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
    value = {"mediaType": bundle.media_type, "verificationMaterial": material, **_content_value(bundle.content)}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _content_value(content: MessageSignature | Envelope) -> dict[str, Any]:
    if isinstance(content, Envelope):
        signature = {"sig": encode_base64(content.signature), "keyid": content.keyid}
        payload = encode_base64(content.payload)
        envelope = {"payload": payload, "payloadType": content.payload_type, "signatures": [signature]}
        return {"dsseEnvelope": envelope}
    value: dict[str, Any] = {"signature": encode_base64(content.signature)}
    if content.hash_algorithm is not None:
        value["messageDigest"] = {"algorithm": content.hash_algorithm, "digest": encode_base64(content.hash_value)}
    return {"messageSignature": value}


def _parse_key_material(material: Fields, *, allow_root: bool) -> tuple[tuple[Certificate, ...], str | None]:
    """The certificates, leaf first; or none, and the hint of a key."""
    named = [name for name in ("certificate", "x509CertificateChain", "publicKey") if material.holds(name)]
    if len(named) != 1:
        raise MalformedError(
            "key-material", _WHAT, got=f"{len(named)} of certificate, chain and key", want="exactly one"
        )
    if named == ["publicKey"]:
        key = material.fields("publicKey")
        key.only("hint")
        return (), key.text("hint") if key.holds("hint") else ""
    if named == ["certificate"]:
        items = [material.fields("certificate")]
    else:
        chain = material.fields("x509CertificateChain")
        chain.exactly("certificates")
        items = list(chain.each("certificates", maximum=limits.CERTIFICATES_IN_CHAIN))
    if not items:
        raise MalformedError("key-material", _WHAT, got="an empty chain", want="at least the signer's certificate")
    certificates = tuple(_parse_certificate(item) for item in items)
    for certificate in certificates[:1] if allow_root else certificates:
        if certificate.is_root:
            raise RejectedError(
                "bundle-root-cert", _WHAT, str(certificate.fingerprint), got="a root certificate inside", want="none"
            )
    return certificates, None


def _parse_certificate(fields: Fields) -> Certificate:
    fields.exactly("rawBytes")
    return parse_certificate(decode_base64(fields.text("rawBytes"), _WHAT, fields.where))


def _parse_entries(material: Fields) -> tuple[TransparencyLogEntry, ...]:
    if not material.holds("tlogEntries"):
        return ()
    return tuple(parse_log_entry(item) for item in material.each("tlogEntries", maximum=limits.LOG_ENTRIES))


def _parse_timestamps(material: Fields) -> tuple[bytes, ...]:
    if not material.holds("timestampVerificationData"):
        return ()
    data = material.fields("timestampVerificationData")
    data.only("rfc3161Timestamps")
    if not data.holds("rfc3161Timestamps"):
        return ()
    stamps = []
    for item in data.each("rfc3161Timestamps", maximum=limits.TIMESTAMPS):
        item.exactly("signedTimestamp")
        stamps.append(decode_base64(item.text("signedTimestamp"), _WHAT, item.where))
    return tuple(stamps)


def _parse_content(fields: Fields) -> MessageSignature | Envelope:
    named = [name for name in ("messageSignature", "dsseEnvelope") if fields.holds(name)]
    if len(named) != 1:
        raise MalformedError("signature", _WHAT, got=f"{len(named)} of message signature and envelope", want="one")
    if named == ["dsseEnvelope"]:
        envelope = fields.fields("dsseEnvelope")
        envelope.exactly("payload", "payloadType", "signatures")
        for signature in envelope.each("signatures", maximum=limits.LOG_ENTRIES):
            signature.only("sig", "keyid")
        return _with_signature(read_envelope(envelope, b""))
    message = fields.fields("messageSignature")
    message.only("messageDigest", "signature")
    algorithm, value = _parse_message_digest(message)
    return _with_signature(MessageSignature(_decode(message, "signature"), algorithm, value))


def _with_signature(content: MessageSignature | Envelope) -> MessageSignature | Envelope:
    if not content.signature:
        raise MalformedError("signature", _WHAT, got="no signature", want="one")
    return content


def _parse_message_digest(message: Fields) -> tuple[str | None, bytes]:
    if not message.holds("messageDigest"):
        return None, b""
    claimed = message.fields("messageDigest")
    claimed.exactly("algorithm", "digest")
    algorithm = claimed.text("algorithm")
    if algorithm not in HASHES:
        raise MalformedError("field-value", _WHAT, f"{claimed.where}.algorithm", got=algorithm[:80], want="SHA-2")
    return algorithm, _decode(claimed, "digest")


def _decode(fields: Fields, key: str) -> bytes:
    return decode_base64(fields.text(key), _WHAT, f"{fields.where}.{key}")


def _check_message_digest(artifact: Content, algorithm: str, claimed: bytes) -> None:
    """`messageDigest` is signed by nobody, but a wrong one tells that something was put together."""
    computed = artifact.hash(algorithm)
    if computed != claimed:
        got = f"messageDigest {algorithm} {claimed.hex()}"
        raise MalformedError("digest-mismatch", _WHAT, got=got, want=computed.hex() if computed else "a known hash")


def _check_version(bundle: SigstoreBundle, *, in_chain: bool, alone: bool) -> None:
    if bundle.version == "0.3" and in_chain:
        raise _version("a certificate chain", "one certificate in version 0.3")
    if bundle.version != "0.3" and alone:
        raise _version("one certificate", f"a certificate chain in version {bundle.version}")
    for entry in bundle.entries:
        if bundle.version == "0.1" and entry.promise is None:
            raise _version("a log entry without an inclusion promise", "one in version 0.1")
        if bundle.version != "0.1" and (entry.proof is None or entry.proof.checkpoint is None):
            raise _version("a log entry without a proof and its checkpoint", f"both in version {bundle.version}")


def _check_duplicates(bundle: SigstoreBundle) -> None:
    places = [(entry.log_id, entry.log_index) for entry in bundle.entries]
    bodies = [(entry.log_id, entry.body) for entry in bundle.entries]
    groups: tuple[tuple[str, Sequence[object]], ...] = (
        ("log entry", places),
        ("log entry", bodies),
        ("timestamp", bundle.timestamps),
    )
    for name, items in groups:
        if len(set(items)) != len(items):
            raise RejectedError("duplicate-evidence", _WHAT, got=f"a {name} twice", want="each once")


def _version(got: str, want: str) -> RejectedError:
    return RejectedError("bundle-version", _WHAT, got=got, want=want)
