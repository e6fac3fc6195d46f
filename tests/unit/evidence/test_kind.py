"""Predicate types are recognised whole."""

from __future__ import annotations

import pytest

from bundler.evidence.kind import provenance_version, sbom_format


@pytest.mark.parametrize(
    ("predicate_type", "expected"),
    [
        ("https://spdx.dev/Document", "SPDX"),
        ("https://spdx.dev/Document/v2.3", "SPDX"),
        ("https://spdx.dev/Document-v2.2", "SPDX"),
        ("https://cyclonedx.org/bom", "CycloneDX"),
        ("https://cyclonedx.org/bom/v1.4", "CycloneDX"),
        ("https://cyclonedx.org/schema", "CycloneDX"),
        ("https://syft.dev/bom", "Syft"),
        ("https://spdx.dev/Documents", None),
        ("https://spdx.dev/Document/", None),
        ("https://spdx.dev/Document/v2.3/x", None),
        ("https://spdx.dev/Document\n", None),
        ("https://spdx_dev/Document", None),
        ("http://spdx.dev/Document", None),
        ("https://cyclonedx.org/bomb", None),
        ("x https://cyclonedx.org/bom", None),
        ("https://slsa.dev/provenance/v1", None),
        ("", None),
    ],
)
def test_sbom(predicate_type: str, expected: str | None) -> None:
    assert sbom_format(predicate_type) == expected


@pytest.mark.parametrize(
    ("predicate_type", "expected"),
    [
        ("https://slsa.dev/provenance/v0.1", "v0.1"),
        ("https://slsa.dev/provenance/v0.2", "v0.2"),
        ("https://slsa.dev/provenance/v1", "v1"),
        ("https://slsa.dev/provenance/v11", None),
        ("https://slsa.dev/provenance/v0x2", None),
        ("https://slsa.dev/provenance", None),
        ("https://slsa.dev/verification_summary/v1", None),
        ("https://slsa.dev/provenance/v1\n", None),
    ],
)
def test_provenance(predicate_type: str, expected: str | None) -> None:
    assert provenance_version(predicate_type) == expected
