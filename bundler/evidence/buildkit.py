"""BuildKit's attestation manifests inside an image index (buildkit docs/attestations/attestation-storage.md).

Two forms: the older has an image config, the newer (dockerfile 1.26) is an OCI artifact with `subject`.

Rules of this module:
- These statements are unsigned. The index's digest binds them, so a signature over the index covers them, and one over
  a platform manifest does not.
- A statement counts only for the platform manifest that the index's descriptor names; every statement must have that
  digest among its subjects, and so must `subject` when it is there.
- A layer may also be a signed envelope (`vnd.in-toto…+dsse`); that is an item like any other (cosign.py), and signed by
  whoever signed it.
- The annotation `in-toto.io/predicate-type` is a hint; it must agree with the statement.
"""

from __future__ import annotations

from collections.abc import Callable

from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.cosign import CosignItem, is_envelope, read_layer
from bundler.evidence.envelope import IN_TOTO
from bundler.evidence.kind import BUILDKIT_ATTESTATION
from bundler.evidence.statement import Statement, parse_statement
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import EMPTY_CONFIG, OCI_CONFIG, ImageManifest
from bundler.value import dataclass

ARTIFACT_TYPE = "application/vnd.docker.attestation.manifest.v1+json"
PREDICATE_TYPE = "in-toto.io/predicate-type"

_WHAT = "attestation manifest"


@dataclass(frozen=True, slots=True)
class BuildkitStatement:
    """A statement in an index. Its subject was checked; nobody signed it.

    Attributes:
        manifest: digest of the attestation manifest.
        layer: digest of the statement.
        subject: the platform manifest it is about.
    """

    manifest: Digest
    layer: Digest
    subject: Digest
    statement: Statement

    @property
    def predicate_type(self) -> str:
        """From inside the statement."""
        return self.statement.predicate_type


def read_statements(
    manifest: ImageManifest, subject: Digest, read: Callable[[Digest], bytes]
) -> tuple[BuildkitStatement, ...]:
    """All statements of an attestation manifest, in its order.

    Args:
        manifest: as parsed from bytes whose digest was checked.
        subject: `vnd.docker.reference.digest` of the descriptor in the index.
        read: gives a blob's bytes; hashed again here.

    Raises:
        RejectedError: about something else (code ``subject-mismatch``).
        MalformedError: not an attestation manifest (``evidence-type``), or a statement that does not parse.
        SealiftError: whatever `read` raises.
    """
    _check_form(manifest)
    if manifest.subject is not None and manifest.subject.digest != subject:
        raise RejectedError("subject-mismatch", _WHAT, got=f"subject {manifest.subject.digest}", want=str(subject))
    return tuple(read_statement(manifest.digest, layer, subject, read) for layer in manifest.layers)


def read_envelopes(manifest: ImageManifest, read: Callable[[Digest], bytes]) -> tuple[CosignItem, ...]:
    """The signed envelopes of an attestation manifest.

    Raises:
        MalformedError: too large (``limits``) or other bytes (``blob-digest``).
        SealiftError: whatever `read` raises.
    """
    return tuple(
        CosignItem(
            BUILDKIT_ATTESTATION, manifest.digest, place, layer.media_type, read_layer(layer, read), layer.annotations
        )
        for place, layer in enumerate(manifest.layers)
        if is_envelope(layer.media_type)
    )


def _check_form(manifest: ImageManifest) -> None:
    form = (manifest.artifact_type, manifest.config.media_type)
    if form not in ((None, OCI_CONFIG), (ARTIFACT_TYPE, EMPTY_CONFIG), (ARTIFACT_TYPE, OCI_CONFIG)):
        raise MalformedError(
            "evidence-type",
            _WHAT,
            str(manifest.digest),
            got=f"{form[0]}, config {form[1]}",
            want="one of BuildKit's forms",
        )


def read_statement(
    manifest: Digest, layer: Descriptor, subject: Digest, read: Callable[[Digest], bytes]
) -> BuildkitStatement:
    """One statement that stands bare in a layer.

    Raises:
        RejectedError: about something else (``subject-mismatch``), or of another type than annotated
            (``predicate-type``).
        MalformedError: another layer type (``evidence-type``), other bytes (``blob-digest``), or no statement.
    """
    if layer.media_type != IN_TOTO:
        raise MalformedError(
            "evidence-type", "attestation layer", str(layer.digest), got=layer.media_type, want=IN_TOTO
        )
    raw = read_layer(layer, read)
    statement = parse_statement(raw)
    statement.check_subject(subject)
    said = layer.annotations.get(PREDICATE_TYPE)
    if said is not None and said != statement.predicate_type:
        raise RejectedError(
            "predicate-type",
            "statement",
            str(layer.digest),
            got=statement.predicate_type[:160],
            want=f"{said[:160]}, as annotated",
        )
    return BuildkitStatement(manifest, layer.digest, subject, statement)
