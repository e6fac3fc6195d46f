"""VEX documents made by hand, as plain JSON values that tests change."""

from __future__ import annotations

import json
from typing import Any

IMAGE = "registry.example/team/app:1"
DIGEST = "sha256:" + "a" * 64
PLATFORM = "sha256:" + "b" * 64
OPENSSL = "pkg:deb/debian/openssl@3.0.11-1?arch=amd64&distro=debian-12"


def openvex(*statements: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An OpenVEX document of 2026-11-01."""
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.org/vex/1",
        "author": "Example Security Team",
        "timestamp": "2026-11-01T00:00:00Z",
        "version": 1,
        "statements": list(statements) or [statement()],
        **more,
    }


def statement(**more: Any) -> dict[str, Any]:
    """The image is not affected by CVE-2026-1."""
    return {
        "vulnerability": {"name": "CVE-2026-1", "aliases": ["GHSA-aaaa-bbbb-cccc"]},
        "products": [{"@id": f"pkg:oci/app@{DIGEST}"}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        **more,
    }


def csaf(**more: Any) -> dict[str, Any]:
    """A CSAF document: openssl as a component of an image, known not to be affected."""
    branches = [
        {
            "category": "product_name",
            "name": "openssl",
            "branches": [{"category": "product_version", "name": "1", "product": _product("openssl", OPENSSL)}],
        }
    ]
    tree = {
        "branches": branches,
        "full_product_names": [_product("app", f"pkg:oci/app@{DIGEST}")],
        "relationships": [
            {
                "category": "default_component_of",
                "full_product_name": {"name": "openssl in app", "product_id": "app:openssl"},
                "product_reference": "openssl",
                "relates_to_product_reference": "app",
            }
        ],
        "product_groups": [{"group_id": "all", "product_ids": ["app:openssl"]}],
    }
    vulnerability = {
        "cve": "CVE-2026-1",
        "product_status": {"known_not_affected": ["app:openssl"]},
        "flags": [{"label": "vulnerable_code_not_present", "product_ids": ["app:openssl"]}],
    }
    return {
        "document": {
            "category": "csaf_vex",
            "csaf_version": "2.0",
            "publisher": {"category": "vendor", "name": "Example Vendor", "namespace": "https://example.org"},
            "title": "app",
            "tracking": {
                "id": "EX-2026-1",
                "status": "final",
                "version": "1",
                "initial_release_date": "2026-10-01T00:00:00Z",
                "current_release_date": "2026-11-01T00:00:00Z",
            },
        },
        "product_tree": tree,
        "vulnerabilities": [vulnerability],
        **more,
    }


def _product(name: str, purl: str) -> dict[str, Any]:
    return {"product_id": name, "name": name, "product_identification_helper": {"purl": purl}}


def raw(document: dict[str, Any]) -> bytes:
    """Its bytes."""
    return json.dumps(document).encode()
