"""SBOMs as tools write them: the same two packages in each format, with what the formats can say of them."""

from __future__ import annotations

from typing import Any


def spdx2(version: str = "2.3", packages: int = 0) -> dict[str, Any]:
    """SPDX 2; with `packages`, so many more, as syft writes them."""
    document: dict[str, Any] = {
        "spdxVersion": f"SPDX-{version}",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "app",
        "documentNamespace": "https://example.org/sbom/1",
        "creationInfo": {
            "creators": ["Organization: Anchore, Inc", "Tool: syft-1.18.1", "Tool: buildkit-v0.12.4"],
            "created": "2026-01-02T03:04:05Z",
        },
        "packages": [
            {
                "name": "openssl",
                "SPDXID": "SPDXRef-Package-openssl",
                "versionInfo": "3.0.11",
                "supplier": "Organization: Debian",
                "downloadLocation": "NOASSERTION",
                "licenseConcluded": "NOASSERTION",
                "licenseDeclared": "Apache-2.0",
                "externalRefs": [
                    {
                        "referenceCategory": "SECURITY",
                        "referenceType": "cpe23Type",
                        "referenceLocator": "cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*",
                    },
                    {
                        "referenceCategory": "PACKAGE-MANAGER",
                        "referenceType": "purl",
                        "referenceLocator": "pkg:deb/debian/openssl@3.0.11",
                    },
                ],
            },
            {
                "name": "musl",
                "SPDXID": "SPDXRef-Package-musl",
                "versionInfo": "1.2.4",
                "downloadLocation": "NOASSERTION",
                "licenseDeclared": "MIT",
            },
        ],
        "files": [{"fileName": "etc/os-release", "SPDXID": "SPDXRef-File-1"}],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relatedSpdxElement": end, "relationshipType": "CONTAINS"}
            for end in ("SPDXRef-Package-openssl", "SPDXRef-Package-musl", "SPDXRef-File-1")
        ],
    }
    document["packages"] += [_many(number) for number in range(packages)]
    return document


def _many(number: int) -> dict[str, Any]:
    name, version = f"library-{number}", f"1.{number}-2+deb12u1"
    return {
        "name": name,
        "SPDXID": f"SPDXRef-Package-deb-{name}",
        "versionInfo": version,
        "supplier": "Person: Maintainers of it <maintainers@example.org>",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "sourceInfo": "acquired package info from DPKG DB: /var/lib/dpkg/status",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "LGPL-2.1-or-later AND MIT",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {
                "referenceCategory": "SECURITY",
                "referenceType": "cpe23Type",
                "referenceLocator": f"cpe:2.3:a:{name}:{name}:{version}:*:*:*:*:*:*:*",
            },
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:deb/debian/{name}@{version}?arch=amd64",
            },
        ],
    }


def spdx3() -> dict[str, Any]:
    """SPDX 3.0.1, as one graph."""
    base = "https://example.org/sbom/1#"

    def element(kind: str, place: str, **more: object) -> dict[str, Any]:
        return {"type": kind, "spdxId": f"{base}{place}", "creationInfo": "_:info", **more}

    def relation(number: int, kind: str, start: str, *ends: str) -> dict[str, Any]:
        to = [f"{base}{end}" for end in ends]
        return element("Relationship", f"r{number}", relationshipType=kind, **{"from": f"{base}{start}"}, to=to)

    packages = [
        element(
            "software_Package", "openssl", name="openssl", software_packageVersion="3.0.11",
            software_packageUrl="pkg:deb/debian/openssl@3.0.11", suppliedBy=f"{base}debian",
        ),
        element("software_Package", "musl", name="musl", software_packageVersion="1.2.4"),
    ]  # fmt: skip
    info = {
        "type": "CreationInfo", "@id": "_:info", "specVersion": "3.0.1", "created": "2026-01-02T03:04:05Z",
        "createdBy": [f"{base}debian"], "createdUsing": [f"{base}syft"],
    }  # fmt: skip
    licence = "simplelicensing_licenseExpression"
    return {
        "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
        "@graph": [
            info,
            element("SpdxDocument", "document", name="app", rootElement=[f"{base}openssl"]),
            element("Organization", "debian", name="Debian"),
            element("Tool", "syft", name="syft"),
            *packages,
            element("software_File", "file", name="etc/os-release"),
            element("simplelicensing_LicenseExpression", "apache", **{licence: "Apache-2.0"}),
            element("simplelicensing_LicenseExpression", "mit", **{licence: "MIT"}),
            relation(1, "contains", "document", "openssl", "musl"),
            relation(2, "hasDeclaredLicense", "musl", "apache"),
            relation(3, "hasConcludedLicense", "musl", "mit"),
            relation(4, "hasDeclaredLicense", "openssl", "apache"),
        ],
    }


def cyclonedx(version: str = "1.6") -> dict[str, Any]:
    """CycloneDX; up to 1.4 tools are an array, later an object."""
    tool = {"vendor": "anchore", "name": "syft", "version": "1.18.1"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": version,
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "version": 1,
        "metadata": {
            "timestamp": "2026-01-02T03:04:05Z",
            "tools": [tool] if version in ("1.2", "1.3", "1.4") else {"components": [{"type": "application", **tool}]},
            "component": {"type": "container", "name": "app", "version": "1"},
        },
        "components": [
            {
                "bom-ref": "openssl",
                "type": "library",
                "name": "openssl",
                "version": "3.0.11",
                "purl": "pkg:deb/debian/openssl@3.0.11",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "supplier": {"name": "Debian"},
                "publisher": "somebody",
            },
            {
                "bom-ref": "musl",
                "type": "library",
                "name": "musl",
                "version": "1.2.4",
                "licenses": [{"expression": "MIT"}],
                "components": [
                    {
                        "type": "library",
                        "group": "org.example",
                        "name": "inner",
                        "publisher": "X",
                        "licenses": [{"license": {"name": "A"}}, {"license": {"id": "B"}}],
                    }
                ],
            },
            {"type": "file", "name": "/etc/os-release"},
        ],
        "dependencies": [
            {"ref": "openssl", "dependsOn": ["musl"]},
            {"ref": "musl", "dependsOn": ["openssl", "x"]},
            {"ref": "x"},
        ],
    }
