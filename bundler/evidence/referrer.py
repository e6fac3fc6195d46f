"""Referrers: manifests with a `subject` that hold evidence (OCI image-spec 1.1; EVIDENCE: cosign v3, GitHub, Notation).

Rules of this module:
- What a referrer is, is told by its own manifest: artifact type, config and layer types. What an index or a registry
  said about it is a hint that nobody uses here.
- Sigstore bundles (cosign 3, GitHub attestations), cosign's first referrers (layers as in `.sig` and `.att`) and signed
  in-toto envelopes become items; bare in-toto statements are unsigned, and said to be.
- All else, Notation included, is listed: bound by digest, not checked. That goes for single layers too.
- One bad layer hides no good one: its failure is kept with the reason.
- A DSSE statement of cosign's own predicate type is an image signature; so is a Sigstore bundle over the manifest's
  very bytes. Every other statement is an attestation.
"""

from __future__ import annotations

from collections.abc import Callable

from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.cosign import SIMPLE_SIGNING, CosignItem, Role, is_envelope, read_layer
from bundler.evidence.envelope import IN_TOTO, Envelope
from bundler.evidence.kind import REFERRER, EvidenceKind
from bundler.evidence.sigstore_bundle import MEDIA_TYPE_PREFIX, SigstoreBundle, parse_bundle
from bundler.evidence.statement import parse_statement
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageIndex, ImageManifest
from bundler.value import dataclass, field

COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"
COSIGN_ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
NOTATION = "application/vnd.cncf.notary.signature"


@dataclass(frozen=True, slots=True)
class BundleItem:
    """A Sigstore bundle in a referrer. It was read; nothing in it is verified."""

    manifest: Digest
    position: int
    bundle: SigstoreBundle = field(repr=False)
    kind: EvidenceKind = REFERRER

    @property
    def claimed_type(self) -> str | None:
        """The predicate type that its statement claims; None for a plain signature, and for what cannot be read."""
        if not isinstance(self.bundle.content, Envelope):
            return None
        try:
            return parse_statement(self.bundle.content.payload).predicate_type
        except MalformedError:
            return None

    @property
    def role(self) -> Role:
        """Whether it claims to be an image signature or an attestation."""
        return role_of(self.bundle, self.claimed_type)

    @property
    def has_certificate(self) -> bool:
        """Whether it claims to be keyless."""
        return self.bundle.certificate is not None


Item = CosignItem | BundleItem


@dataclass(frozen=True, slots=True)
class Referrer:
    """What a referrer holds.

    Attributes:
        form: what it is, for people.
        items: signatures and attestations.
        statements: layers that are bare statements, signed by nobody.
        failures: why a layer that should be a signature or attestation could not be read.
        others: layers of kinds that nobody here checks.
    """

    form: str
    items: tuple[Item, ...] = ()
    statements: tuple[Descriptor, ...] = ()
    failures: tuple[RejectedError, ...] = ()
    others: tuple[Descriptor, ...] = ()


def role_of(bundle: SigstoreBundle, predicate_type: str | None) -> Role:
    """What a Sigstore bundle with a statement of this predicate type (None: without one) is to an image."""
    plain = not isinstance(bundle.content, Envelope)
    return "signature" if plain or predicate_type == COSIGN_SIGN else "attestation"


def read_referrer(manifest: ImageManifest | ImageIndex, read: Callable[[Digest], bytes]) -> Referrer:
    """Read what a referrer holds.

    Args:
        manifest: as parsed from bytes whose digest was checked.
        read: gives a blob's bytes; hashed again here.

    Raises:
        SealiftError: whatever `read` raises, unless it is a rejection: those are kept in `failures`.
    """
    form = describe(manifest)
    if isinstance(manifest, ImageIndex):
        return Referrer(form)
    items: list[Item] = []
    statements: list[Descriptor] = []
    failures: list[RejectedError] = []
    others: list[Descriptor] = []
    for position, layer in enumerate(manifest.layers):
        if layer.media_type == IN_TOTO:
            statements.append(layer)
            continue
        try:
            item = _read_item(manifest, position, layer, read)
        except RejectedError as error:
            failures.append(error)
            continue
        if item is None:
            others.append(layer)
        else:
            items.append(item)
    return Referrer(form, tuple(items), tuple(statements), tuple(failures), tuple(others))


def _read_item(
    manifest: ImageManifest, position: int, layer: Descriptor, read: Callable[[Digest], bytes]
) -> Item | None:
    """The signature or attestation in a layer; None when it is none that this version checks."""
    if layer.media_type.startswith(MEDIA_TYPE_PREFIX):
        return BundleItem(manifest.digest, position, parse_bundle(read_layer(layer, read)))
    of_cosign = COSIGN_ARTIFACT in (manifest.artifact_type, manifest.config.media_type)
    if is_envelope(layer.media_type) or (of_cosign and layer.media_type == SIMPLE_SIGNING):
        raw = read_layer(layer, read)
        return CosignItem(REFERRER, manifest.digest, position, layer.media_type, raw, layer.annotations)
    return None


def describe(manifest: ImageManifest | ImageIndex) -> str:
    """What a referrer is by its own word, for people. Nothing here was checked."""
    if isinstance(manifest, ImageIndex):
        return f"index {manifest.artifact_type or ''}".strip()
    kind = manifest.artifact_type or manifest.config.media_type
    return "Notation signature" if kind == NOTATION else kind
