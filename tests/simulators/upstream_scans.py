"""Scan reports as scanners, cosign and in-toto's tools write them, and an image that they are about."""

from __future__ import annotations

import json
from typing import Any

from bundler.digest import parse_digest
from bundler.oci.descriptor import Descriptor
from tests.simulators.images import Layout

COSIGN_VULN = "https://cosign.sigstore.dev/attestation/vuln/v1"
VULNS_01, VULNS_02 = "https://in-toto.io/attestation/vulns/v0.1", "https://in-toto.io/attestation/vulns/v0.2"
SCOUT = "https://scout.docker.com/vulnerabilities/v0.1"
TRIVY_TYPE = "application/vnd.aquasec.trivy.report.v1+json"
SARIF_TYPE = "application/sarif+json"
SCANNED, DATED = "2026-10-20T06:00:00Z", "2026-10-19T18:00:00Z"


def trivy(*severities: str, **more: Any) -> dict[str, Any]:
    """As `trivy image --format json` writes it; `Metadata` and the rest by name."""
    found = [
        {"VulnerabilityID": f"CVE-2026-{number}", "PkgName": "demo", "InstalledVersion": "1", "Severity": severity}
        for number, severity in enumerate(severities)
    ]
    return {
        "SchemaVersion": 2, "CreatedAt": "2026-10-20T06:00:00.123456789Z", "ArtifactName": "demo:1",
        "ArtifactType": "container_image", "Trivy": {"Version": "0.68.1"}, "Metadata": {},
        "Results": [{"Target": "demo", "Class": "os-pkgs", "Vulnerabilities": found}, {"Target": "app"}],
    } | more  # fmt: skip


def grype(*severities: str, newer: bool = True, target: Any = None, **more: Any) -> dict[str, Any]:
    """As `grype --output json` writes it, since 0.88 or before."""
    built = {"built": DATED, "schemaVersion": "v6.0.2", "from": "https://grype.example.org/v6.tar.zst"}
    older = {"built": DATED, "schemaVersion": 5, "location": "/cache/5", "error": None}
    return {
        "matches": [{"vulnerability": {"id": f"CVE-{at}", "severity": each}} for at, each in enumerate(severities)],
        "source": {"type": "image", "target": {"userInput": "demo:1"} if target is None else target},
        "descriptor": {
            "name": "grype", "version": "0.90.0", "timestamp": "2026-10-20T06:00:00.5Z",
            "db": {"status": built, "providers": {}} if newer else older,
        },
    } | more  # fmt: skip


def sarif(**more: Any) -> dict[str, Any]:
    """SARIF with one result, whose level is no severity."""
    driver = {"name": "Trivy", "version": "0.68.1", "rules": []}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": [{"level": "error"}]}]} | more


def cosign_vuln(result: Any, **scanner: Any) -> dict[str, Any]:
    """cosign's predicate, as `trivy --format cosign-vuln` writes it."""
    return {
        "invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy@0.68.1", "version": "0.68.1", "db": {"uri": "", "version": ""},
            "result": result,
        } | scanner,
        "metadata": {"scanStartedOn": "2026-10-20T05:59:00Z", "scanFinishedOn": SCANNED},
    }  # fmt: skip


def vulns(*ratings: list[dict[str, Any]], **scanner: Any) -> dict[str, Any]:
    """in-toto's predicate, with one entry for each list of ratings."""
    return {
        "scanner": {
            "uri": "https://scanner.example.org", "version": "7", "result": [
                {"id": f"CVE-{number}", "severity": each} for number, each in enumerate(ratings)
            ],
            "db": {"uri": "https://data.example.org", "version": "v6", "lastUpdate": DATED},
        } | scanner,
        "metadata": {"scanStartedOn": "2026-10-20T05:59:00Z", "scanFinishedOn": SCANNED},
    }  # fmt: skip


def attach_file(
    layout: Layout, subject: Descriptor, document: Any, media_type: str = TRIVY_TYPE, artifact_type: str = ""
) -> Descriptor:
    """A scanner's file as a referrer, as `oras attach` makes it."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    config = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    kind = artifact_type or media_type
    made = layout.manifest(config, [layout.blob(raw, media_type)], artifact_type=kind, subject=subject)
    return layout.name(made)


def config_of(layout: Layout, manifest: Descriptor) -> str:
    """Digest of an image's config."""
    found: str = json.loads(layout.read(manifest.digest))["config"]["digest"]
    return found


def diff_ids(layout: Layout, manifest: Descriptor) -> list[str]:
    """The uncompressed layers of an image."""
    found: list[str] = json.loads(layout.read(parse_digest(config_of(layout, manifest))))["rootfs"]["diff_ids"]
    return found
