"""Kinds of evidence, and the predicate types by which SBOMs, provenance and VEX are recognised.

Rules of this module:
- The type that counts stands inside the statement; annotations and tags are hints.
- A type is recognised by its whole text, never by a prefix: `https://spdx.dev/Documents` is nothing.
"""

from __future__ import annotations

import re
from typing import Literal

EvidenceKind = Literal[
    "buildkit-attestation",
    "cosign-signature",
    "cosign-attestation",
    "cosign-sbom",
    "referrer",
    "containers-signature",
    "log-entry",
]

BUILDKIT_ATTESTATION: EvidenceKind = "buildkit-attestation"
COSIGN_SIGNATURE: EvidenceKind = "cosign-signature"
COSIGN_ATTESTATION: EvidenceKind = "cosign-attestation"
COSIGN_SBOM: EvidenceKind = "cosign-sbom"
REFERRER: EvidenceKind = "referrer"
CONTAINERS_SIGNATURE: EvidenceKind = "containers-signature"
LOG_ENTRY: EvidenceKind = "log-entry"

_VERSION = r"(?:[/-]v?[0-9]+(?:\.[0-9]+)*)?"
_SPDX = re.compile(rf"https://spdx\.dev/Document{_VERSION}", re.ASCII)
_CYCLONEDX = re.compile(rf"https://cyclonedx\.org/(?:bom|schema){_VERSION}", re.ASCII)
_SYFT = re.compile(rf"https://syft\.dev/bom{_VERSION}", re.ASCII)
_PROVENANCE = re.compile(r"https://slsa\.dev/provenance/(v0\.1|v0\.2|v1)", re.ASCII)

SbomFormat = Literal["SPDX", "CycloneDX", "Syft"]


def sbom_format(predicate_type: str) -> SbomFormat | None:
    """What kind of SBOM a statement of this predicate type holds; None when it is none."""
    if _SPDX.fullmatch(predicate_type):
        return "SPDX"
    if _CYCLONEDX.fullmatch(predicate_type):
        return "CycloneDX"
    return "Syft" if _SYFT.fullmatch(predicate_type) else None


def provenance_version(predicate_type: str) -> str | None:
    """The SLSA provenance version (`v0.1`, `v0.2`, `v1`) of this predicate type; None when it is none."""
    match = _PROVENANCE.fullmatch(predicate_type)
    return match[1] if match else None


# OpenVEX documents as predicates, under the address of their context, with or without its version.
VEX_TYPES = ("https://openvex.dev/ns", "https://openvex.dev/ns/v0.2.0")
