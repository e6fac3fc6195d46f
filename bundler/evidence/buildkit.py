"""BuildKit's attestation manifests inside an image index (buildkit docs/attestations/attestation-storage.md).

Two forms: the older has an image config, the newer (dockerfile 1.26) is an OCI artifact with `subject`.

Rules of this module:
- These statements are unsigned. The index's digest binds them, so a signature over the index covers them, and one over
  a platform manifest does not.
- A statement counts only for the platform manifest that the index's descriptor names; every statement must have that
  digest among its subjects, and so must `subject` when it is there.
- The annotation `in-toto.io/predicate-type` is a hint; it must agree with the statement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.envelope import IN_TOTO
from bundler.evidence.statement import Statement, parse_statement
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import EMPTY_CONFIG, OCI_CONFIG, ImageManifest

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
    return tuple(_read(manifest.digest, layer, subject, read) for layer in manifest.layers)


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


def _read(manifest: Digest, layer: Descriptor, subject: Digest, read: Callable[[Digest], bytes]) -> BuildkitStatement:
    if layer.media_type != IN_TOTO:
        raise MalformedError(
            "evidence-type", "attestation layer", str(layer.digest), got=layer.media_type, want=IN_TOTO
        )
    if layer.size_bytes > limits.EVIDENCE_BLOB_BYTES:
        raise MalformedError(
            "limits", _WHAT, got=f"{layer.size_bytes} bytes", want=f"at most {limits.EVIDENCE_BLOB_BYTES}"
        )
    raw = read(layer.digest)
    if layer.digest.algorithm != "sha256" or sha256_of(raw) != layer.digest or len(raw) != layer.size_bytes:
        raise MalformedError("blob-digest", "attestation layer", str(layer.digest), got="other bytes", want="its bytes")
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
