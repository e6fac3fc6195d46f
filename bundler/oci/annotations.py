"""Well-known annotations and tags by which tools tie things to an image. They are hints: digests decide.

Sources: OCI image-spec annotations.md; BuildKit docs/attestations/attestation-storage.md; cosign
pkg/oci/remote/remote.go (`sha256-<hex>.sig|.att|.sbom`) and pkg/oci/layout (`kind`).
"""

from __future__ import annotations

import re

from bundler.digest import Digest, parse_digest
from bundler.oci.descriptor import Descriptor

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
ATTESTATION_MANIFEST = "attestation-manifest"
KIND = "kind"
COSIGN_IMAGE = "dev.cosignproject.cosign/image"
COSIGN_INDEX = "dev.cosignproject.cosign/imageIndex"
COSIGN_SIGNATURES = "dev.cosignproject.cosign/sigs"
COSIGN_ATTESTATIONS = "dev.cosignproject.cosign/atts"

EVIDENCE_SUFFIXES = ("sig", "att", "sbom")
_EVIDENCE_TAG = re.compile(r"(?:.*[^A-Za-z0-9])?sha256-([a-f0-9]{64})\.(sig|att|sbom)", re.ASCII | re.DOTALL)

_FALLBACK_TAG = re.compile(r"sha256-[a-f0-9]{64}", re.ASCII)


def attested_digest(descriptor: Descriptor) -> Digest | None:
    """The platform manifest that an in-index attestation manifest says it is about; None for other descriptors.

    Raises:
        MalformedError: it is an attestation manifest, but names no digest (code ``digest``).
    """
    if descriptor.annotations.get(REFERENCE_TYPE) != ATTESTATION_MANIFEST:
        return None
    return parse_digest(descriptor.annotations.get(REFERENCE_DIGEST))


def format_evidence_tag(subject: Digest, suffix: str) -> str:
    """cosign's tag for evidence about `subject`: `sha256-<hex>.sig`, `.att` or `.sbom`."""
    return f"{subject.algorithm}-{subject.hex}.{suffix}"


def parse_evidence_tag(name: str) -> tuple[Digest, str] | None:
    """Subject and suffix of a name that ends in cosign's tag, with or without a repository or prefix before it.

    Returns:
        None when `name` does not end in such a tag.
    """
    match = _EVIDENCE_TAG.fullmatch(name)
    return (Digest("sha256", match[1]), match[2]) if match else None


def format_fallback_tag(subject: Digest) -> str:
    """The tag of the index of referrers where a registry has no referrers API (OCI distribution-spec, "Referrers Tag
    Schema").
    """
    return f"{subject.algorithm}-{subject.hex}"


def is_fallback_tag(tag: str) -> bool:
    """Whether a tag is of the form that `format_fallback_tag` gives."""
    return _FALLBACK_TAG.fullmatch(tag) is not None
