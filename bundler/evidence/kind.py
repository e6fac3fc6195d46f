"""Kinds of evidence, and the predicate types by which SBOMs, provenance, scan reports and VEX are known.

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
_SCAN = re.compile(
    r"https://cosign\.sigstore\.dev/attestation/(vuln)/(v[0-9]+(?:\.[0-9]+)*)"
    r"|https://in-toto\.io/attestation/(vulns)(?:/(v[0-9]+(?:\.[0-9]+)*))?"
    r"|https://scout\.docker\.com/(vulnerabilities)/(v[0-9]+(?:\.[0-9]+)*)",
    re.ASCII,
)
_SCAN_MAKERS = {"vuln": "cosign vuln", "vulns": "in-toto vulns", "vulnerabilities": "Docker Scout"}
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


def scan_form(predicate_type: str) -> str | None:
    """What form of scan report a statement of this predicate type holds, e.g. `cosign vuln v1`; None when it is none.

    Versions that nobody here can read are recognised too, so that they are told and not passed over.
    """
    match = _SCAN.fullmatch(predicate_type)
    if match is None:
        return None
    family, *version = (word for word in match.groups() if word)
    return " ".join((_SCAN_MAKERS[family], *version))


# OpenVEX documents as predicates, under the address of their context, with or without its version.
VEX_TYPES = ("https://openvex.dev/ns", "https://openvex.dev/ns/v0.2.0")
