"""A whole Sigstore in memory: certificate authority, certificate log, Rekor 1 with promises, and signers.

Times are arguments; with a seed, so are all keys, and two runs give the same bytes. Nothing of pytest is needed: the
demo uses it too.

    sigstore = Sigstore()
    signer = sigstore.keyless("https://example.org/.github/workflows/release.yml@refs/tags/v1", at=AT)
    signature = sigstore.sign(subject, signer, at=AT)                        # one layer of a .sig manifest
    attestation = sigstore.attest(subject, signer, at=AT, predicate_type=SLSA, predicate={})
    layout.cosign([signature])                                               # tests/simulators/images.py, or
    stored = store([signature])                                              # manifest and blobs by digest
    material = sigstore.trusted_root_json()

Near misses are knobs of `keyless` (certificate), `Log.promise`, `Authority` (chain), `trusted_root_json` (windows);
whatever else should be wrong is replaced in a layer's annotations with `SignedLayer.having`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.digest import Digest, sha256_of
from bundler.encoding import encode_base64
from bundler.evidence import cosign
from bundler.evidence.envelope import IN_TOTO, format_envelope, pre_authentication_encoding
from bundler.evidence.statement import STATEMENT_V01
from bundler.identity.der import OCTET_STRING, format_der
from bundler.identity.sct import SCT_LIST, cut_sct_list
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_CONFIG, OCI_MANIFEST, ImageManifest, parse_manifest
from bundler.transparency.promise import format_promise
from tests.simulators.sigstore_certificates import (
    Authority,
    CertificateKnobs,
    certificate_builder,
    leaf_extensions,
    pem,
    with_key_identifiers,
)
from tests.simulators.sigstore_keys import AT, GITHUB, START, PrivateKey, Window, key_source, sign, to_json
from tests.simulators.sigstore_log import Log, dsse_body, hashedrekord_body, intoto_body

SLSA = "https://slsa.dev/provenance/v1"


class SignedLayer(NamedTuple):
    """One layer of a `.sig` or `.att` manifest: what `Layout.cosign` takes."""

    raw: bytes
    media_type: str
    annotations: Mapping[str, str]

    def having(self, **annotations: str | None) -> SignedLayer:
        """A copy with annotations replaced by their short name (`bundle`, `certificate`, …); None removes one."""
        names = {
            "signature": cosign.SIGNATURE,
            "certificate": cosign.CERTIFICATE,
            "chain": cosign.CHAIN,
            "bundle": cosign.BUNDLE,
            "timestamp": cosign.TIMESTAMP,
            "predicate_type": cosign.PREDICATE_TYPE,
        }
        changed = {**self.annotations, **{names[name]: value for name, value in annotations.items()}}
        return self._replace(annotations={name: value for name, value in changed.items() if value is not None})


@dataclass(frozen=True)
class Stored:
    """A manifest with all its blobs (itself included), for whoever writes layouts."""

    descriptor: Descriptor
    blobs: Mapping[Digest, bytes]

    @property
    def manifest(self) -> ImageManifest:
        """The manifest, parsed."""
        parsed = parse_manifest(self.blobs[self.descriptor.digest], self.descriptor.media_type)
        assert isinstance(parsed, ImageManifest)
        return parsed


@dataclass(frozen=True)
class Signer:
    """A key, with a certificate when it is keyless."""

    key: PrivateKey
    certificate: x509.Certificate | None = None
    chain: Sequence[x509.Certificate] = ()

    @property
    def public_pem(self) -> str:
        """The public key."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def verifier_pem(self) -> str:
        """What a log entry names: the certificate, or the key."""
        return pem(self.certificate) if self.certificate else self.public_pem

    @property
    def annotations(self) -> dict[str, str]:
        """What cosign writes beside the signature."""
        if self.certificate is None:
            return {}
        return {cosign.CERTIFICATE: pem(self.certificate), cosign.CHAIN: "".join(map(pem, self.chain))}

    def sign(self, message: bytes) -> bytes:
        """A signature as cosign makes it."""
        return sign(self.key, message)


class Sigstore:
    """One instance: authority, certificate log, transparency log."""

    def __init__(self, seed: str = "", *, host: str = "example.org") -> None:
        """A seed makes keys a function of it; without one they are random."""
        self._keys = key_source(seed)
        self.host = host
        self.authority = Authority(self.new_key(ec.SECP384R1()), self.new_key(ec.SECP384R1()), f"https://fulcio.{host}")
        self.certificate_log = self.new_log(f"https://ctfe.{host}/2026")
        self.rekor = self.new_log(f"https://rekor.{host}")
        self._serial = 1000

    def new_key(self, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
        """Another key, P-256 unless said otherwise."""
        return self._keys(curve or ec.SECP256R1())

    def new_log(self, url: str) -> Log:
        """Another log with a key of its own."""
        return Log(url, self.new_key())

    def new_authority(self, **knobs: Any) -> Authority:
        """Another authority."""
        return Authority(self.new_key(ec.SECP384R1()), self.new_key(ec.SECP384R1()), **knobs)

    def key_signer(self, curve: ec.EllipticCurve | None = None) -> Signer:
        """A publisher with a key of its own and no certificate."""
        return Signer(self.new_key(curve))

    def keyless(self, identity: str, *, at: datetime = AT, issuer: str = GITHUB, **knobs: Any) -> Signer:
        """A signer with a certificate valid from `at` for ten minutes; `knobs` are those of `CertificateKnobs`."""
        given = CertificateKnobs(**{"issuer_raw": issuer, "issuer_der": issuer, **knobs})
        key = given.key or self.new_key()
        authority = given.issued_by or self.authority
        self._serial += 1
        extensions = leaf_extensions(identity, given)
        certificate = self._issue(authority, key, extensions, at, given)
        if given.scts:
            scts = self._timestamps(authority, certificate, at, given)
            value = format_der(OCTET_STRING, len(scts).to_bytes(2, "big") + scts)
            embedded = (x509.UnrecognizedExtension(x509.ObjectIdentifier(SCT_LIST), value), False)
            position = len(extensions) if given.sct_position is None else given.sct_position
            extensions.insert(position, embedded)
            certificate = self._issue(authority, key, extensions, at, given)
        return Signer(key, certificate, authority.chain)

    def sign(
        self,
        subject: Digest,
        signer: Signer,
        *,
        at: datetime | None = AT,
        reference: str = "registry.example.org/app",
        payload: bytes | None = None,
        log: Log | None = None,
    ) -> SignedLayer:
        """A layer of a `.sig` manifest; `at` None leaves the log out."""
        raw = simple_signing(subject, reference) if payload is None else payload
        signature = signer.sign(raw)
        annotations = {cosign.SIGNATURE: encode_base64(signature), **signer.annotations}
        if at is not None:
            body = hashedrekord_body(raw, signature, signer.verifier_pem)
            annotations[cosign.BUNDLE] = format_promise((log or self.rekor).promise(body, at=at)).decode()
        return SignedLayer(raw, cosign.SIMPLE_SIGNING, annotations)

    def attest(
        self,
        subject: Digest,
        signer: Signer,
        *,
        at: datetime | None = AT,
        predicate_type: str = SLSA,
        predicate: object = None,
        kind: str = "dsse",
        statement: bytes | None = None,
        log: Log | None = None,
    ) -> SignedLayer:
        """A layer of an `.att` manifest, logged as `dsse` or `intoto`; `at` None leaves the log out."""
        payload = statement or format_statement(subject, predicate_type, {} if predicate is None else predicate)
        signature = signer.sign(pre_authentication_encoding(IN_TOTO, payload))
        envelope = format_envelope(IN_TOTO, payload, signature)
        annotations = {cosign.SIGNATURE: "", cosign.PREDICATE_TYPE: predicate_type, **signer.annotations}
        if at is not None:
            if kind == "dsse":
                body = dsse_body(envelope, payload, signature, signer.verifier_pem)
            else:
                body = intoto_body(envelope, payload, signer.verifier_pem)
            annotations[cosign.BUNDLE] = format_promise((log or self.rekor).promise(body, at=at)).decode()
        return SignedLayer(envelope, cosign.DSSE_ENVELOPE, annotations)

    def trusted_root_json(
        self,
        *,
        log_window: Window = (START, None),
        certificate_log_window: Window = (START, None),
        authority_window: Window = (START, None),
    ) -> bytes:
        """This instance's trusted root. A window whose start is None leaves the start out, as no good file does."""
        return to_json(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [self.rekor.trusted(log_window)],
                "certificateAuthorities": [self.authority.trusted(authority_window)],
                "ctlogs": [self.certificate_log.trusted(certificate_log_window)],
            }
        )

    def _issue(
        self, authority: Authority, key: PrivateKey, extensions: Sequence[Any], at: datetime, knobs: CertificateKnobs
    ) -> x509.Certificate:
        builder = certificate_builder(
            authority.intermediate.subject, x509.Name([]), key.public_key(), self._serial, (at, at + knobs.lifetime)
        )
        builder = with_key_identifiers(builder, key.public_key(), authority.key.public_key())
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(authority.key, hashes.SHA384(), ecdsa_deterministic=True)

    def _timestamps(
        self, authority: Authority, precertificate: x509.Certificate, at: datetime, knobs: CertificateKnobs
    ) -> bytes:
        log = knobs.sct_log or self.certificate_log
        spki = authority.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        timestamp = log.timestamp(
            precertificate.tbs_certificate_bytes,
            hashlib.sha256(spki).digest(),
            at=knobs.sct_at or at,
            extensions=knobs.sct_extensions,
        )
        return (len(timestamp).to_bytes(2, "big") + timestamp) * knobs.scts


def store(layers: Sequence[SignedLayer]) -> Stored:
    """A `.sig` or `.att` manifest over these layers, as cosign writes it."""
    blobs = {sha256_of(layer.raw): layer.raw for layer in layers}
    config = to_json(
        {
            "architecture": "", "created": "0001-01-01T00:00:00Z", "os": "",
            "rootfs": {"type": "layers", "diff_ids": [str(sha256_of(layer.raw)) for layer in layers]}, "config": {},
        }
    )  # fmt: skip
    manifest = to_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "size": len(config), "digest": str(sha256_of(config))},
            "layers": [
                {
                    "mediaType": layer.media_type,
                    "size": len(layer.raw),
                    "digest": str(sha256_of(layer.raw)),
                    "annotations": dict(layer.annotations),
                }
                for layer in layers
            ],
        }
    )
    blobs |= {sha256_of(config): config, sha256_of(manifest): manifest}
    return Stored(Descriptor(OCI_MANIFEST, sha256_of(manifest), len(manifest)), blobs)


def simple_signing(subject: Digest, reference: str) -> bytes:
    """The payload of a cosign image signature."""
    return to_json(
        {
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": str(subject)},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def format_statement(subject: Digest, predicate_type: str, predicate: object) -> bytes:
    """An in-toto statement as cosign writes it."""
    return to_json(
        {
            "_type": STATEMENT_V01,
            "predicateType": predicate_type,
            "subject": [{"name": "registry.example.org/app", "digest": {subject.algorithm: subject.hex}}],
            "predicate": predicate,
        }
    )


def precertificate_of(certificate: x509.Certificate) -> bytes:
    """What the certificate log saw."""
    return cut_sct_list(certificate.tbs_certificate_bytes)
