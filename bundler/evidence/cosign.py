"""cosign's items: one signature or attestation with what lies beside it (cosign specs/SIGNATURE_SPEC.md).

They are layers of `.sig` and `.att` manifests and of cosign's first referrers, containers/image `signature-N` files
(containers_signature.py), and envelopes as layers of other referrers and of BuildKit's attestation manifests.

Rules of this module:
- A manifest gives items. One bad item does not hide a good one, so each is read when it is judged, and fails alone.
- Annotations carry the certificate, the log's promise and a timestamp. The annotations `chain` and `predicateType` are
  never used: intermediates come from the trusted root, the predicate type from inside the statement.
- An empty annotation is an absent one, as for cosign. White space is stripped in the base64 of the signature only: real
  ones hold newlines.
- A timestamp is over the raw signature, but over the whole envelope of an attestation (cosign `verify.go`).
- The number of layers and the size of each are bounded (CVE-2023-46737, CVE-2024-29902).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

from bundler import limits
from bundler.digest import Content, Digest, sha256_of
from bundler.encoding import ASCII_SPACE, decode_base64, parse_pem
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.envelope import Envelope, parse_envelope
from bundler.evidence.kind import (
    BUILDKIT_ATTESTATION,
    CONTAINERS_SIGNATURE,
    COSIGN_ATTESTATION,
    COSIGN_SIGNATURE,
    REFERRER,
    EvidenceKind,
)
from bundler.evidence.signed import Signed
from bundler.evidence.statement import parse_statement
from bundler.fields import Fields
from bundler.identity.certificate import Certificate, parse_certificate
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageManifest
from bundler.strict_json import parse_foreign
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.transparency.promise import Promise, parse_promise
from bundler.value import dataclass, field

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE_ENVELOPE = "application/vnd.dsse.envelope.v1+json"

SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
BUNDLE = "dev.sigstore.cosign/bundle"
TIMESTAMP = "dev.sigstore.cosign/rfc3161timestamp"
PREDICATE_TYPE = "predicateType"

_WITHOUT_SPACE = str.maketrans("", "", ASCII_SPACE)
_IN_TOTO_DSSE = re.compile(r"application/vnd\.in-toto[a-z0-9.-]*\+dsse", re.ASCII)

Role = Literal["signature", "attestation"]


@dataclass(frozen=True, slots=True)
class CosignItem:
    """One signature or attestation as it stands in a manifest. Nothing in it is verified.

    Attributes:
        kind: what it was found as: `cosign-signature`, `cosign-attestation`, `referrer`, …
        manifest: digest of the manifest, or of the file, that holds it.
        position: number of the layer, from 0.
        media_type: of the layer.
        raw: the layer: a simple signing payload or a DSSE envelope.
        annotations: of the layer.
    """

    kind: EvidenceKind
    manifest: Digest
    position: int
    media_type: str
    raw: bytes = field(repr=False)
    annotations: Mapping[str, str] = field(repr=False, hash=False)

    @property
    def role(self) -> Role:
        """Whether it is an image signature or an attestation."""
        return "attestation" if is_envelope(self.media_type) else "signature"

    @property
    def claimed_type(self) -> str | None:
        """The predicate type that an attestation claims. Good for finding candidates, never for a verdict.

        None for a signature, and for what cannot be read.
        """
        return claimed_predicate_type(self)

    @property
    def has_certificate(self) -> bool:
        """Whether it claims to be keyless."""
        return bool(self.annotations.get(CERTIFICATE))

    @property
    def has_promise(self) -> bool:
        """Whether it carries a log's promise."""
        return bool(self.annotations.get(BUNDLE))

    @property
    def has_timestamp(self) -> bool:
        """Whether it carries an RFC 3161 timestamp."""
        return bool(self.annotations.get(TIMESTAMP))


@dataclass(frozen=True, slots=True)
class CosignParts:
    """An item taken apart; still nothing verified.

    Attributes:
        signature: the raw signature.
        signed_bytes: what it must be over: the payload, or the envelope's PAE.
        envelope: for attestations.
        timestamp: an RFC 3161 response.
    """

    signature: bytes
    signed_bytes: bytes = field(repr=False)
    envelope: Envelope | None
    certificate: Certificate | None
    promise: Promise | None
    timestamp: bytes | None = field(default=None, repr=False)


def is_envelope(media_type: str) -> bool:
    """Whether a layer of this type is a DSSE envelope around a statement."""
    return media_type == DSSE_ENVELOPE or _IN_TOTO_DSSE.fullmatch(media_type) is not None


def read_items(manifest: ImageManifest, kind: EvidenceKind, read: Callable[[Digest], bytes]) -> tuple[CosignItem, ...]:
    """The items of a `.sig` (kind `cosign-signature`) or `.att` (`cosign-attestation`) manifest, in its order.

    Args:
        manifest: as parsed from bytes whose digest was checked.
        kind: what the manifest was found as.
        read: gives a blob's bytes; hashed again here.

    Raises:
        MalformedError: too many layers, or one too large (code ``limits``); not its digest (``blob-digest``).
        SealiftError: whatever `read` raises.
    """
    if len(manifest.layers) > limits.MANIFEST_LAYERS:
        raise _too_much(f"{len(manifest.layers)} layers", limits.MANIFEST_LAYERS)
    return tuple(
        CosignItem(kind, manifest.digest, position, layer.media_type, read_layer(layer, read), layer.annotations)
        for position, layer in enumerate(manifest.layers)
    )


def read_layer(layer: Descriptor, read: Callable[[Digest], bytes]) -> bytes:
    """The bytes of one layer of evidence.

    Raises:
        MalformedError: too large (code ``limits``), or not its digest (``blob-digest``).
        SealiftError: whatever `read` raises.
    """
    if layer.size_bytes > limits.EVIDENCE_BLOB_BYTES:
        raise _too_much(f"{layer.size_bytes} bytes", limits.EVIDENCE_BLOB_BYTES)
    raw = read(layer.digest)
    if layer.digest.algorithm != "sha256" or sha256_of(raw) != layer.digest or len(raw) != layer.size_bytes:
        raise MalformedError("blob-digest", "evidence layer", str(layer.digest), got="other bytes", want="its bytes")
    return raw


def parse_item(item: CosignItem) -> CosignParts:
    """Take an item apart.

    Raises:
        RejectedError: the certificate annotation holds a key (code ``key-material``; GHSA-fx35-mq7g-6g98).
        MalformedError: another media type (``evidence-type``), no signature (``signature``), or a part that does not
            parse.
    """
    _check_kind(item)
    certificate = _parse_certificate(item.annotations.get(CERTIFICATE, ""))
    promise = parse_promise(item.annotations[BUNDLE].encode("utf-8", "surrogatepass")) if item.has_promise else None
    timestamp = _parse_timestamp(item.annotations.get(TIMESTAMP, ""))
    said = item.annotations.get(SIGNATURE, "")
    if item.role == "attestation":
        if said:
            raise MalformedError("signature", "attestation", SIGNATURE, got="a second signature", want="none")
        envelope = parse_envelope(item.raw)
        return CosignParts(envelope.signature, envelope.signed_bytes, envelope, certificate, promise, timestamp)
    signature = decode_base64(said.translate(_WITHOUT_SPACE), "signature", SIGNATURE)
    if not signature:
        raise MalformedError("signature", "signature", SIGNATURE, got="no signature", want="one")
    return CosignParts(signature, item.raw, None, certificate, promise, timestamp)


def take_apart(item: CosignItem) -> Signed:
    """The item in the shape that the verification core takes.

    Raises:
        RejectedError: as `parse_item`.
    """
    parts = parse_item(item)
    return Signed(
        signature=parts.signature,
        content=Content(parts.signed_bytes),
        envelope=parts.envelope,
        certificate=parts.certificate,
        entries=(_as_entry(parts.promise),) if parts.promise else (),
        timestamps=(parts.timestamp,) if parts.timestamp is not None else (),
        stamped=item.raw if parts.envelope else parts.signature,
    )


def _as_entry(promise: Promise) -> TransparencyLogEntry:
    """The annotation names no kind: the body says it."""
    return TransparencyLogEntry(
        log_index=promise.log_index,
        log_id=promise.log_id,
        kind="",
        version="",
        integrated_time=promise.integrated_time,
        signed_entry_timestamp=promise.signature,
        proof=None,
        body=promise.body,
    )


def claimed_predicate_type(item: CosignItem) -> str | None:
    """The predicate type that an attestation claims. Good for finding candidates, never for a verdict.

    Returns:
        None for a signature, and for what cannot be read.
    """
    if item.role != "attestation":
        return None
    try:
        return parse_statement(parse_envelope(item.raw).payload).predicate_type
    except MalformedError:
        return None


def _check_kind(item: CosignItem) -> None:
    fits = {
        COSIGN_SIGNATURE: item.media_type == SIMPLE_SIGNING,
        COSIGN_ATTESTATION: item.media_type == DSSE_ENVELOPE,
        CONTAINERS_SIGNATURE: item.media_type == SIMPLE_SIGNING,
        REFERRER: item.media_type == SIMPLE_SIGNING or is_envelope(item.media_type),
        BUILDKIT_ATTESTATION: is_envelope(item.media_type),
    }
    if not fits.get(item.kind, False):
        raise MalformedError(
            "evidence-type", item.kind, got=item.media_type[:160], want=f"{SIMPLE_SIGNING} or an envelope, as its kind"
        )


def _parse_timestamp(text: str) -> bytes | None:
    if not text:
        return None
    what = "timestamp annotation"
    fields = Fields(
        parse_foreign(text.encode("utf-8", "surrogatepass"), what, max_bytes=2 * limits.TIMESTAMP_BYTES), what
    )
    fields.exactly("SignedRFC3161Timestamp")
    return decode_base64(fields.text("SignedRFC3161Timestamp"), what, TIMESTAMP)


def _parse_certificate(text: str) -> Certificate | None:
    if not text:
        return None
    label, der = parse_pem(text, "certificate annotation")
    if label != "CERTIFICATE":
        raise RejectedError("key-material", "certificate annotation", got=f"PEM {label}"[:80], want="a certificate")
    return parse_certificate(der)


def _too_much(got: str, limit: int) -> MalformedError:
    return MalformedError("limits", "evidence manifest", got=got, want=f"at most {limit}")
