"""SBOMs: each format read, each way to be malformed refused with its code."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import MalformedError, RejectedError, SealiftError
from bundler.evidence.kind import SbomFormat
from bundler.evidence.sbom import Package, Sbom, media_type_format, parse_sbom, read_sbom, sbom_document
from bundler.evidence.statement import parse_statement
from bundler.moment import parse_moment
from tests.simulators.images import SPDX, statement
from tests.simulators.sboms import cyclonedx, spdx2, spdx3

CYCLONEDX = "https://cyclonedx.org/bom"
Change = Callable[[dict[str, Any]], object]
MADE = parse_moment("2026-01-02T03:04:05Z")
PACKAGES = (
    Package("openssl", "3.0.11", "pkg:deb/debian/openssl@3.0.11", "Apache-2.0", "Organization: Debian"),
    Package("musl", "1.2.4", "", "MIT", ""),
)


def parse(document: object, declared: SbomFormat | None = None) -> Sbom:
    return parse_sbom(json.dumps(document).encode(), declared)


def code_of(document: object, declared: SbomFormat | None = None) -> str:
    with pytest.raises(RejectedError) as error:
        parse(document, declared)
    return error.value.code


def changed(make: Callable[[], dict[str, Any]], change: Change) -> dict[str, Any]:
    document = copy.deepcopy(make())
    change(document)
    return document


# -- SPDX 2 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.2", "2.3"])
def test_spdx_2(version: str) -> None:
    sbom = parse(spdx2(version))
    assert sbom == Sbom(
        "SPDX", version, "app", "https://example.org/sbom/1", MADE, ("syft-1.18.1", "buildkit-v0.12.4"), PACKAGES, 3, 1
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda it: it.update(spdxVersion="SPDX-2.1"), "sbom-version"),
        (lambda it: it.update(spdxVersion="SPDX-2.4"), "sbom-version"),
        (lambda it: it.update(spdxVersion=2.3), "field-type"),
        (lambda it: it.update(packages=[]), "sbom-empty"),
        (lambda it: it.pop("packages"), "sbom-empty"),
        (lambda it: it.update(packages={}), "field-type"),
        (lambda it: it.update(packages=["x"]), "field-type"),
        (lambda it: it.update(Packages=[]), "field-case"),
        (lambda it: it.pop("name"), "field-missing"),
        (lambda it: it.pop("documentNamespace"), "field-missing"),
        (lambda it: it.pop("SPDXID"), "field-missing"),
        (lambda it: it.update(SPDXID="DOCUMENT"), "sbom-identifier"),
        (lambda it: it.pop("creationInfo"), "field-missing"),
        (lambda it: it["creationInfo"].update(creators=[]), "field-missing"),
        (lambda it: it["creationInfo"].update(creators=[1]), "field-type"),
        (lambda it: it["creationInfo"].update(created="yesterday"), "time"),
        (lambda it: it["creationInfo"].pop("created"), "time"),
        (lambda it: it["packages"][0].pop("name"), "field-missing"),
        (lambda it: it["packages"][0].update(name=""), "field-missing"),
        (lambda it: it["packages"][0].update(name=["x"]), "field-type"),
        (lambda it: it["packages"][0].update(versionINFO="1"), "field-case"),
        (lambda it: it["packages"][0].update(SPDXID=it["packages"][1]["SPDXID"]), "sbom-identifier"),
        (lambda it: it["packages"][0].update(SPDXID="SPDXRef-DOCUMENT"), "sbom-identifier"),
        (lambda it: it["packages"][0].update(name="x" * (limits.SBOM_TEXT_CHARACTERS + 1)), "limits"),
        (lambda it: it["packages"][0]["externalRefs"][1].update(referenceLocator="openssl"), "purl"),
        (lambda it: it["packages"][0].update(externalRefs={}), "field-type"),
        (lambda it: it["packages"][0].update(externalRefs=[None]), "field-type"),
        (lambda it: it["packages"][0]["externalRefs"][1].update(referenceLocator="pkg:deb"), "purl"),
        (lambda it: it.update(relationships="x"), "field-type"),
        (lambda it: it.update(files=[{"SPDXID": it["packages"][0]["SPDXID"]}]), "sbom-identifier"),
        (lambda it: it.update(files=[{}]), "field-missing"),
        (lambda it: it.update(documentDescribes=[1]), "field-type"),
        (lambda it: it["packages"][0].update(hasFiles="x"), "field-type"),
        (lambda it: it.update(documentDescribes=["x"], relationships=[{"relationshipType": 1}]), "field-type"),
    ],
)
def test_bad_spdx_2(change: Change, code: str) -> None:
    assert code_of(changed(spdx2, change)) == code


def test_what_spdx_2_may_lack() -> None:
    document = changed(spdx2, lambda it: (it.pop("relationships"), it.pop("files"), it.pop("dataLicense")))
    sbom = parse(document)
    assert (sbom.relationships, sbom.files) == (0, 0)


def test_short_relationships_are_counted_unless_they_are_written_out() -> None:
    first = spdx2()["packages"][0]["SPDXID"]

    def edge(kind: str, start: str, end: str) -> dict[str, str]:
        return {"relationshipType": kind, "spdxElementId": start, "relatedSpdxElement": end}

    def count(*edges: dict[str, str], describes: list[str], files: list[str]) -> int:
        document = {**spdx2(), "documentDescribes": describes, "relationships": list(edges)}
        document["packages"][0]["hasFiles"] = files
        return parse(document).relationships

    written = [edge("DESCRIBES", "SPDXRef-DOCUMENT", first), edge("CONTAINED_BY", "SPDXRef-f", first)]
    assert count(describes=[first], files=["SPDXRef-f", "SPDXRef-g"]) == 3
    assert count(*written, describes=[first], files=["SPDXRef-f"]) == 2
    assert count(*written, describes=[first], files=["SPDXRef-f", "SPDXRef-g"]) == 3
    assert count(*written, describes=[], files=[]) == 2
    assert count(edge("DEPENDS_ON", "SPDXRef-DOCUMENT", first), describes=[first], files=[]) == 2


PLACE = {"annotations": [{"annotator": "Tool: trivy-0.58.1", "comment": "Class: lang-pkgs"}]}
OCI_PURL, NPM_PURL, ODD_PURL = "pkg:oci/app@sha256%3Aab?arch=amd64", "pkg:npm/a@1", "pkg:generic/a@1"


def spdx2_purl(locator: str) -> dict[str, Any]:
    return {"externalRefs": [{"referenceType": "purl", "referenceLocator": locator}]}


@pytest.mark.parametrize(
    ("more", "subject", "told"),
    [
        ({"primaryPackagePurpose": "OPERATING-SYSTEM", "versionInfo": "12"}, False, "operating-system"),
        ({"primaryPackagePurpose": "OPERATING_SYSTEM"}, False, "operating-system"),
        ({"primaryPackagePurpose": "FILE"}, False, "file"),
        ({"primaryPackagePurpose": "DEVICE"}, False, "device"),
        ({"primaryPackagePurpose": "APPLICATION", **PLACE}, False, "application"),
        ({"primaryPackagePurpose": "APPLICATION", "attributionTexts": ["Class: lang-pkgs"]}, False, "application"),
        ({"primaryPackagePurpose": "APPLICATION", "versionInfo": "1", **PLACE}, False, ""),
        ({"primaryPackagePurpose": "APPLICATION", **PLACE, **spdx2_purl(NPM_PURL)}, False, ""),
        ({"primaryPackagePurpose": "APPLICATION"}, False, ""),
        ({"primaryPackagePurpose": "LIBRARY", **PLACE}, False, ""),
        ({"primaryPackagePurpose": "LIBRARY"}, True, ""),
        ({"primaryPackagePurpose": "NOASSERTION"}, False, ""),
        ({"primaryPackagePurpose": "FIRMWARE"}, True, ""),
        ({"primaryPackagePurpose": "CONTAINER"}, False, ""),  # an image inside the image: nobody knows what it holds
        ({"primaryPackagePurpose": "CONTAINER"}, True, "container"),
        ({"primaryPackagePurpose": "CONTAINER", **spdx2_purl(OCI_PURL)}, True, "container"),
        ({"primaryPackagePurpose": "CONTAINER", **spdx2_purl(OCI_PURL)}, False, ""),
        ({"primaryPackagePurpose": "SOURCE"}, True, "source"),
        ({"primaryPackagePurpose": "SOURCE"}, False, ""),
        ({"primaryPackagePurpose": "FILE", **spdx2_purl(NPM_PURL)}, True, ""),
        ({"primaryPackagePurpose": "FILE", **spdx2_purl(ODD_PURL)}, True, ""),
        ({}, True, "subject"),
        ({}, False, ""),
    ],
)
@pytest.mark.parametrize("described_by", ["field", "DESCRIBES", "DESCRIBE", "DESCRIBED_BY"])
def test_what_spdx_2_says_is_no_package(more: dict[str, Any], subject: bool, told: str, described_by: str) -> None:
    document = spdx2()
    start, own = "SPDXRef-DOCUMENT", "SPDXRef-thing"
    document["packages"].append({"name": "thing", "SPDXID": own, **more})
    if subject and described_by == "field":
        document["documentDescribes"] = [own]
    elif subject:
        ends = (own, start) if described_by == "DESCRIBED_BY" else (start, own)
        keys = ("spdxElementId", "relatedSpdxElement")
        document["relationships"].append({"relationshipType": described_by, **dict(zip(keys, ends, strict=True))})
    assert [package.no_package for package in parse(document).packages] == ["", "", told]


def test_of_several_things_that_a_document_describes_none_is_the_image() -> None:
    document = spdx2()
    document["documentDescribes"] = [package["SPDXID"] for package in document["packages"]]
    assert not any(package.no_package for package in parse(document).packages)


@pytest.mark.parametrize(
    ("more", "subject", "told"),
    [
        ({"software_primaryPurpose": "operatingSystem"}, False, "operating-system"),
        ({"software_primaryPurpose": "model"}, False, "machine-learning-model"),
        ({"software_primaryPurpose": "data"}, False, "data"),
        ({"software_primaryPurpose": "file", "software_packageUrl": NPM_PURL}, False, ""),
        ({"software_primaryPurpose": "container"}, False, ""),
        ({"software_primaryPurpose": "container", "software_packageUrl": OCI_PURL}, True, "container"),
        ({"software_primaryPurpose": "library"}, True, ""),
        ({}, True, "subject"),
        ({}, False, ""),
        ({"type": "ai_AIPackage"}, False, "machine-learning-model"),
        ({"type": "dataset_DatasetPackage"}, False, "data"),
        ({"type": "ai_AIPackage", "software_packageUrl": NPM_PURL}, False, ""),
    ],
)
def test_what_spdx_3_says_is_no_package(more: dict[str, Any], subject: bool, told: str) -> None:
    document = spdx3()
    thing = {"type": "software_Package", "spdxId": "urn:thing", "name": "thing", "creationInfo": "_:info", **more}
    document["@graph"].append(thing)
    whole = next(element for element in document["@graph"] if element["type"] == "SpdxDocument")
    whole["rootElement"] = ["urn:thing"] if subject else ["urn:sbom"]
    document["@graph"].append(
        {"type": "software_Sbom", "spdxId": "urn:sbom", "creationInfo": "_:info", "rootElement": whole["rootElement"]}
    )
    assert [package.no_package for package in parse(document).packages] == ["", "", told]


TRIVY_PLACE = {"properties": [{"name": "aquasecurity:trivy:Class", "value": "lang-pkgs"}]}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"type": "operating-system", "version": "12"}, "operating-system"),
        ({"type": "device"}, "device"),
        ({"type": "data"}, "data"),
        ({"type": "machine-learning-model"}, "machine-learning-model"),
        ({"type": "cryptographic-asset"}, "cryptographic-asset"),
        ({"type": "machine-learning-model", "purl": "pkg:huggingface/a@1"}, ""),
        ({"type": "operating-system", "purl": NPM_PURL}, ""),
        ({"type": "file", "purl": NPM_PURL}, ""),  # and a package at all
        ({"type": "application"}, ""),
        ({"type": "application", **TRIVY_PLACE}, "application"),
        ({"type": "application", "version": "1", **TRIVY_PLACE}, ""),
        ({"type": "application", "purl": NPM_PURL, **TRIVY_PLACE}, ""),
        ({"type": "library", **TRIVY_PLACE}, ""),
        ({"type": "platform"}, ""),
        ({"type": "container"}, ""),
        ({"type": "container", "purl": OCI_PURL}, ""),
        ({"type": "firmware"}, ""),
        ({"type": "framework"}, ""),
        ({"type": "of-tomorrow"}, ""),
    ],
)
def test_what_cyclonedx_says_is_no_package(more: dict[str, Any], told: str) -> None:
    document = changed(cyclonedx, lambda it: it.update(components=[{"name": "thing", **more}]))
    assert [package.no_package for package in parse(document).packages] == [told]


@pytest.mark.parametrize("kind", ["purl", "http://spdx.org/rdf/references/purl"])
def test_package_urls_by_short_and_long_names(kind: str) -> None:
    reference = {"referenceCategory": "PACKAGE_MANAGER", "referenceType": kind, "referenceLocator": "pkg:npm/@a/b@1"}
    document = changed(spdx2, lambda it: it["packages"][0].update(externalRefs=[reference]))
    assert parse(document).packages[0].purl == "pkg:npm/@a/b@1"


@pytest.mark.parametrize(
    ("locators", "purls"),
    [
        (["pkg:deb/debian/x@1", "pkg:pypi/x@1"], ["pkg:deb/debian/x@1", "pkg:pypi/x@1"]),
        (
            ["pkg:rpm/redhat/x@1?repository_id=a", "pkg:rpm/redhat/x@1?repository_id=b"],
            ["pkg:rpm/redhat/x@1?repository_id=a"],
        ),
        (["pkg:generic/x@1", "pkg:apk/wolfi/x@1"], ["pkg:apk/wolfi/x@1"]),
        (["pkg:generic/x@1", "pkg:generic/x@2"], ["pkg:generic/x@1", "pkg:generic/x@2"]),
        (["pkg:npm/x@2", "pkg:npm/x@1", "pkg:npm/x@2"], ["pkg:npm/x@2", "pkg:npm/x@1"]),
    ],
)
def test_a_package_with_several_package_urls_is_each_of_them(locators: list[str], purls: list[str]) -> None:
    references = [{"referenceType": "purl", "referenceLocator": locator} for locator in locators]
    of_two = parse(changed(spdx2, lambda it: it["packages"][0].update(externalRefs=references)))
    identifiers = [{"externalIdentifierType": "packageUrl", "identifier": locator} for locator in locators[1:]]
    more = {"software_packageUrl": locators[0], "externalIdentifier": identifiers}
    of_three = parse(changed(spdx3, lambda it: element(it, "software_Package").update(more)))
    for sbom in (of_two, of_three):
        assert [package.purl for package in sbom.packages] == [*purls, ""]
        assert {package.name for package in sbom.packages} == {"openssl", "musl"}


def test_what_a_package_need_not_say() -> None:
    bare = {"name": "x", "SPDXID": "SPDXRef-x", "versionInfo": None, "externalRefs": None, "supplier": "NOASSERTION"}
    assert parse({**spdx2(), "packages": [{**bare, "licenseConcluded": "NONE"}]}).packages == (
        Package("x", "", "", "NONE", ""),
    )


def test_a_concluded_licence_goes_before_a_declared_one() -> None:
    document = changed(spdx2, lambda it: it["packages"][0].update(licenseConcluded="MIT"))
    assert parse(document).packages[0].licence == "MIT"
    document = changed(spdx2, lambda it: it["packages"][0].update(licenseDeclared="NOASSERTION"))
    assert parse(document).packages[0].licence == ""


# -- SPDX 3 -----------------------------------------------------------------------------------------------------------


def test_spdx_3() -> None:
    sbom = parse(spdx3())
    supplied = (PACKAGES[0]._replace(supplier="Debian"), PACKAGES[1])
    assert sbom == Sbom("SPDX", "3.0.1", "app", "https://example.org/sbom/1#document", MADE, ("syft",), supplied, 5, 1)


def test_spdx_3_with_its_creation_information_inside() -> None:
    document = spdx3()
    graph = document["@graph"]
    info = next(item for item in graph if item["type"] == "CreationInfo")
    for item in graph:
        if "creationInfo" in item:
            item["creationInfo"] = {key: value for key, value in info.items() if key != "@id"}
    document["@graph"] = [item for item in graph if item is not info]
    assert parse(document) == parse(spdx3())


def element(document: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in document["@graph"] if item["type"] == kind)
    return found


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda it: it.update({"@context": "https://spdx.org/rdf/3.1.0/spdx-context.jsonld"}), "sbom-version"),
        (lambda it: it.update({"@context": "https://spdx.org/rdf/other"}), "sbom-version"),
        (lambda it: it.update({"@context": "https://example.org/context"}), "sbom-format"),
        (lambda it: it.update({"@context": ["https://spdx.org/rdf/3.0.1/spdx-context.jsonld"]}), "sbom-format"),
        (lambda it: it.update({"@graph": {}}), "field-type"),
        (lambda it: it.update({"@Graph": []}), "field-case"),
        (lambda it: it["@graph"].append(dict(element(it, "SpdxDocument"), spdxId="x:2")), "sbom-identifier"),
        (lambda it: it["@graph"].append(element(it, "software_Package")), "sbom-identifier"),
        (lambda it: it["@graph"].remove(element(it, "SpdxDocument")), "sbom-identifier"),
        (lambda it: it["@graph"].append({"type": "software_Package"}), "field-missing"),
        (lambda it: it["@graph"].append({"spdxId": "x:3"}), "field-missing"),
        (lambda it: it["@graph"].append({"spdxId": "x:3", "Type": "software_Package"}), "field-case"),
        (lambda it: it["@graph"].append("x"), "field-type"),
        (lambda it: element(it, "CreationInfo").update(specVersion="3.1"), "sbom-version"),
        (lambda it: element(it, "CreationInfo").update(created="now"), "time"),
        (lambda it: element(it, "CreationInfo").update(createdUsing=[5]), "field-type"),
        (lambda it: it["@graph"].append({"@id": "_:2", "type": "CreationInfo", "specVersion": "2.0"}), "sbom-version"),
        (lambda it: element(it, "SpdxDocument").update(creationInfo="_:none"), "field-missing"),
        (lambda it: element(it, "software_Package").pop("name"), "field-missing"),
        (lambda it: element(it, "software_Package").update(software_packageUrl="x"), "purl"),
        (lambda it: element(it, "Relationship").update(to=[{}]), "field-type"),
        (lambda it: it.update({"@graph": [i for i in it["@graph"] if i["type"] != "software_Package"]}), "sbom-empty"),
    ],
)
def test_bad_spdx_3(change: Change, code: str) -> None:
    assert code_of(changed(spdx3, change)) == code


@pytest.mark.parametrize("kind", ["ai_AIPackage", "dataset_DatasetPackage"])
def test_models_and_datasets_are_packages(kind: str) -> None:
    document = changed(spdx3, lambda it: element(it, "software_Package").update(type=kind))
    assert parse(document).packages == parse(spdx3()).packages


def test_an_sbom_names_the_whole_where_there_is_no_document() -> None:
    def without(document: dict[str, Any]) -> None:
        element(document, "SpdxDocument")["type"] = "software_Sbom"

    assert parse(changed(spdx3, without)) == parse(spdx3())
    document = changed(spdx3, without)
    document["@graph"].append(dict(element(document, "software_Sbom"), spdxId="x:2"))
    assert code_of(document) == "sbom-identifier"
    document = spdx3()
    several = [dict(element(document, "SpdxDocument"), type="software_Sbom", spdxId=f"x:{number}") for number in (1, 2)]
    document["@graph"] += several
    assert parse(document) == parse(spdx3())


def licensed(to: str, *elements: dict[str, Any]) -> dict[str, Any]:
    """SPDX 3 whose second package has this concluded licence."""
    document = spdx3()
    next(item for item in document["@graph"] if item.get("relationshipType") == "hasConcludedLicense")["to"] = [to]
    document["@graph"] += [{"creationInfo": "_:info", **item} for item in elements]
    return document


def licence_set(kind: str, name: str, *members: str) -> dict[str, Any]:
    word = "expandedlicensing_member"
    return {"type": f"expandedlicensing_{kind}LicenseSet", "spdxId": name, word: list(members)}


MIT, BSD = "https://spdx.org/licenses/MIT", "http://spdx.org/licenses/BSD-3-Clause"
EXPANDED = "expandedlicensing_"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (licensed(MIT), "MIT"),
        (licensed(MIT, {"type": f"{EXPANDED}ListedLicense", "spdxId": MIT, "name": "MIT License"}), "MIT"),
        (licensed("x:mine", {"type": f"{EXPANDED}CustomLicense", "spdxId": "x:mine", "name": "Mine"}), "Mine"),
        (licensed("x:elsewhere"), "x:elsewhere"),
        (licensed("https://spdx.org/rdf/3.0.1/terms/Licensing/None"), "NONE"),
        (licensed(f"{EXPANDED}NoneLicense"), "NONE"),
        # What asserts nothing gives way to what is declared.
        (licensed("https://spdx.org/rdf/3.0.1/terms/Licensing/NoAssertion"), "Apache-2.0"),
        (licensed(f"{EXPANDED}NoAssertionLicense"), "Apache-2.0"),
        (licensed("x:s", licence_set("Conjunctive", "x:s", MIT, BSD)), "MIT AND BSD-3-Clause"),
        (
            licensed("x:s", licence_set("Disjunctive", "x:s", MIT, "x:t"), licence_set("Conjunctive", "x:t", MIT, BSD)),
            "MIT OR (MIT AND BSD-3-Clause)",
        ),
        (
            licensed("x:l", {"type": f"{EXPANDED}OrLaterOperator", "spdxId": "x:l", f"{EXPANDED}subjectLicense": MIT}),
            "MIT+",
        ),
        (
            licensed(
                "x:w",
                {
                    "type": f"{EXPANDED}WithAdditionOperator",
                    "spdxId": "x:w",
                    f"{EXPANDED}subjectExtendableLicense": MIT,
                    f"{EXPANDED}subjectAddition": "x:a",
                },
                {"type": f"{EXPANDED}CustomLicenseAddition", "spdxId": "x:a", "name": "an exception"},
            ),
            "MIT WITH an exception",
        ),
    ],
)
def test_licences_of_spdx_3(document: dict[str, Any], told: str) -> None:
    assert parse(document).packages[1].licence == told


LONG = {"type": "simplelicensing_SimpleLicensingText", "spdxId": "x:0", "name": "x" * 1000}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (licensed("x:s", licence_set("Conjunctive", "x:s", "x:s")), "sbom-identifier"),
        (
            licensed("x:s", licence_set("Conjunctive", "x:s", "x:t"), licence_set("Conjunctive", "x:t", "x:s")),
            "sbom-identifier",
        ),
        (
            licensed("x:0", *(licence_set("Conjunctive", f"x:{place}", f"x:{place + 1}") for place in range(5000))),
            "limits",
        ),
        (
            licensed("x:20", LONG, *(licence_set("Disjunctive", f"x:{n}", *[f"x:{n - 1}"] * 9) for n in range(1, 21))),
            "limits",
        ),
        (licensed("x:s", {**licence_set("Conjunctive", "x:s"), f"{EXPANDED}member": [{}]}), "field-type"),
    ],
)
def test_licences_that_have_no_end(document: dict[str, Any], code: str) -> None:
    assert code_of(document) == code


# -- CycloneDX --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"])
def test_cyclonedx(version: str) -> None:
    sbom = parse(cyclonedx(version))
    packages = (PACKAGES[0]._replace(supplier="Debian"), PACKAGES[1], Package("org.example/inner", "", "", "A, B", "X"))
    identity = "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79"
    assert sbom == Sbom("CycloneDX", version, "app 1", identity, MADE, ("syft 1.18.1",), packages, 3, 1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda it: it.update(specVersion="1.1"), "sbom-version"),
        (lambda it: it.update(specVersion="1.8"), "sbom-version"),
        (lambda it: it.update(specVersion=1.6), "field-type"),
        (lambda it: it.pop("specVersion"), "field-missing"),
        (lambda it: it.update(bomFormat="cyclonedx"), "sbom-format"),
        (lambda it: it.update(bomFormat=None), "field-missing"),
        (lambda it: it.update(BomFormat="CycloneDX"), "field-case"),
        (lambda it: it.update(components=[]), "sbom-empty"),
        (lambda it: it.pop("components"), "sbom-empty"),
        (lambda it: it.update(components=[{"type": "file", "name": "/etc/passwd"}]), "sbom-empty"),
        (lambda it: it.update(components={}), "field-type"),
        (lambda it: it["components"][0].pop("type"), "field-missing"),
        (lambda it: it["components"][0].pop("name"), "field-missing"),
        (lambda it: it["components"][0].update(version=3), "field-type"),
        (lambda it: it["components"][0].update(Purl="pkg:x/y"), "field-case"),
        (lambda it: it["components"][0].update(purl="openssl"), "purl"),
        (lambda it: it["components"][0].update({"bom-ref": "musl"}), "sbom-identifier"),
        (lambda it: it["components"][0].update(licenses=[{"license": {}}]), "field-missing"),
        (lambda it: it["components"][0].update(licenses=["MIT"]), "field-type"),
        (lambda it: it["metadata"]["component"].update({"bom-ref": "musl"}), "sbom-identifier"),
        (lambda it: it["metadata"]["component"].update(purl="traefik"), "purl"),
        (lambda it: it["metadata"]["component"].update(purl=1), "field-type"),
        (lambda it: it["metadata"]["component"].update(components=[{"type": "library"}]), "field-missing"),
        (lambda it: it["metadata"]["component"].update(components="x"), "field-type"),
        # What the SBOM is about is no list of its parts.
        (lambda it: (it.pop("components"), it["metadata"]["component"].update(purl=NPM_PURL)), "sbom-empty"),
        (lambda it: it.update(serialNumber="3e671687-395b-41f5-a30f-a58921a69b79"), "sbom-identifier"),
        (lambda it: it.update(serialNumber="urn:uuid:3e671687"), "sbom-identifier"),
        (lambda it: it.update(serialNumber=7), "field-type"),
        (lambda it: it["metadata"].update(timestamp="2026"), "time"),
        (lambda it: it["metadata"].update(tools="x"), "field-type"),
        (lambda it: it.update(dependencies=["x"]), "field-type"),
        (lambda it: it.update(dependencies=[{"dependsOn": [1]}]), "field-type"),
        (lambda it: it.update(dependencies=[{"provides": "x"}]), "field-type"),
    ],
)
def test_bad_cyclonedx(change: Change, code: str) -> None:
    assert code_of(changed(cyclonedx, change)) == code


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"type": "application", "purl": NPM_PURL}, ["app"]),
        ({"purl": OCI_PURL}, []),
        ({"purl": "pkg:docker/app@1"}, []),
        ({"components": [{"type": "library", "name": "x", "purl": NPM_PURL}]}, ["x"]),
        ({"components": [{"bom-ref": "musl", "type": "library", "name": "musl"}]}, ["musl"]),  # in both places
        ({"components": [{"type": "file", "name": "x"}, {"type": "file", "name": "y", "purl": NPM_PURL}]}, ["y"]),
    ],
)
def test_what_cyclonedx_is_about_is_part_of_it(more: dict[str, Any], names: list[str]) -> None:
    before, after = parse(cyclonedx()), parse(changed(cyclonedx, lambda it: it["metadata"]["component"].update(more)))
    assert [package.name for package in after.packages[len(before.packages) :]] == names
    assert after.packages[: len(before.packages)] == before.packages


def test_what_cyclonedx_may_lack() -> None:
    sbom = parse({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [{"type": "library", "name": "x"}]})
    assert sbom == Sbom("CycloneDX", "1.5", "", "", None, (), (Package("x", ""),), 0, 0)


def test_concluded_licences_go_before_declared_ones_in_cyclonedx_too() -> None:
    def licence(*licences: dict[str, Any]) -> str:
        change = changed(cyclonedx, lambda it: it["components"][0].update(licenses=list(licences)))
        return parse(change).packages[0].licence

    declared = {"license": {"id": "MIT", "acknowledgement": "declared"}}
    concluded = {"license": {"name": "Mine", "acknowledgement": "concluded"}}
    assert licence(declared, concluded) == "Mine"
    assert licence(declared, {"license": {"id": "ISC"}}) == "MIT, ISC"
    assert licence({"expression": "MIT OR ISC", "acknowledgement": "concluded"}) == "MIT OR ISC"


def test_what_components_provide_is_counted() -> None:
    document = changed(cyclonedx, lambda it: it["dependencies"].append({"ref": "y", "provides": ["musl", "x"]}))
    assert parse(document).relationships == parse(cyclonedx()).relationships + 2


def test_serial_numbers_in_capitals_are_read() -> None:
    serial = "urn:uuid:3E671687-395B-41F5-A30F-A58921A69B79"
    assert parse({**cyclonedx(), "serialNumber": serial}).identity == serial
    assert parse({**cyclonedx(), "serialNumber": ""}).identity == ""


# -- any of them ------------------------------------------------------------------------------------------------------


TRIVY = "aquasecurity:trivy:"


@pytest.mark.parametrize(
    ("properties", "source"),
    [
        ({"SrcName": "openssl", "SrcVersion": "3.0.11", "SrcRelease": "1~deb12u2"}, ("openssl", "3.0.11-1~deb12u2")),
        ({"SrcName": "vim", "SrcVersion": "9.0", "SrcRelease": "1", "SrcEpoch": "2"}, ("vim", "2:9.0-1")),
        ({"SrcName": "musl", "SrcVersion": "1.2.3-r4", "SrcEpoch": "0"}, ("musl", "1.2.3-r4")),
        ({"SrcName": "musl"}, ("musl", "")),
        ({"PkgType": "alpine"}, ("", "")),
    ],
)
def test_source_packages_as_trivy_tells_them_in_cyclonedx(properties: dict[str, str], source: tuple[str, str]) -> None:
    told = [{"name": f"{TRIVY}{name}", "value": value} for name, value in properties.items()]
    told += [{"name": f"{TRIVY}SrcName", "value": "second"}] if "SrcName" in properties else [{"name": "x"}]
    first = parse(changed(cyclonedx, lambda it: it["components"][0].update(properties=told))).packages[0]
    assert (first.source, first.source_version) == source


@pytest.mark.parametrize("properties", ["x", ["x"], [{"name": 1}], [{"name": f"{TRIVY}SrcName", "value": 1}]])
def test_properties_that_are_none(properties: object) -> None:
    document = changed(cyclonedx, lambda it: it["components"][0].update(properties=properties))
    assert code_of(document) == "field-type"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("built package from: openssl 3.0.11-1~deb12u2", ("openssl", "3.0.11-1~deb12u2")),
        ("built package from: vim 2:9.0-1", ("vim", "2:9.0-1")),
        ("acquired package info from DPKG DB: /var/lib/dpkg/status", ("", "")),
        ("built package from: openssl", ("", "")),
        ("built package from: a b c", ("", "")),
    ],
)
def test_source_packages_as_trivy_tells_them_in_spdx(text: str, source: tuple[str, str]) -> None:
    first = parse(changed(spdx2, lambda it: it["packages"][0].update(sourceInfo=text))).packages[0]
    assert (first.source, first.source_version) == source


@pytest.mark.parametrize("document", [{}, {"hello": 1}, {"@graph": []}])
def test_neither_format(document: object) -> None:
    assert code_of(document) == "sbom-format"


@pytest.mark.parametrize("document", [[], "x", None, 5])
def test_no_object(document: object) -> None:
    assert code_of(document) == "field-type"


def test_another_format_than_declared() -> None:
    assert code_of(spdx2(), "CycloneDX") == "sbom-format"
    assert code_of(cyclonedx(), "SPDX") == "sbom-format"
    assert code_of(spdx2(), "Syft") == "sbom-format"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "json"),
        (b"SPDXVersion: SPDX-2.3\n", "json"),
        (b'{"spdxVersion":"SPDX-2.3","spdxVersion":"SPDX-2.3"}', "json-duplicate-key"),
        (b"\xff", "json-encoding"),
        (b'{"components":' * 100, "json-depth"),
    ],
)
def test_no_json(raw: bytes, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_sbom(raw)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("kind", "document", "found"),
    [(SPDX, spdx2(), "SPDX"), (SPDX, spdx3(), "SPDX"), (CYCLONEDX, cyclonedx(), "CycloneDX")],
)
def test_in_a_statement(kind: str, document: dict[str, Any], found: str) -> None:
    assert read_sbom(parse_statement(statement(sha256_of(b""), kind, document))).format == found


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (SPDX, cyclonedx()),
        (CYCLONEDX, spdx2()),
        ("https://slsa.dev/provenance/v1", spdx2()),
        ("https://syft.dev/bom", {}),
    ],
)
def test_in_a_statement_of_another_kind(kind: str, document: dict[str, Any]) -> None:
    with pytest.raises(RejectedError) as error:
        read_sbom(parse_statement(statement(sha256_of(b""), kind, document)))
    assert error.value.code == "sbom-format"


@pytest.mark.parametrize(("kind", "document"), [(SPDX, spdx2()), (CYCLONEDX, cyclonedx())])
def test_in_the_predicate_of_cosign_1(kind: str, document: dict[str, Any]) -> None:
    predicate = {"Data": document, "Timestamp": "2022-01-02T03:04:05Z"}
    assert read_sbom(parse_statement(statement(sha256_of(b""), kind, predicate))) == parse(document)
    for other in ({**predicate, "more": 1}, {"Data": "SPDXVersion: SPDX-2.3", "Timestamp": ""}, {"Data": predicate}):
        with pytest.raises(RejectedError) as error:
            read_sbom(parse_statement(statement(sha256_of(b""), kind, other)))
        assert error.value.code in ("sbom-format", "field-type")


@pytest.mark.parametrize(("kind", "document"), [(SPDX, spdx2()), (CYCLONEDX, cyclonedx())])
def test_a_predicate_that_is_one_text(kind: str, document: dict[str, Any]) -> None:
    """`cosign attest --type spdx` writes the file's text."""
    text = json.dumps(document)
    for predicate in (text, f"\n{text}\n", {"Data": text, "Timestamp": ""}):
        held = parse_statement(statement(sha256_of(b""), kind, predicate))
        assert read_sbom(held) == parse(document)
        assert parse_sbom(sbom_document(held)) == parse(document)
    for predicate, code in (
        ("SPDXVersion: SPDX-2.3", "sbom-format"), ("", "sbom-format"), (json.dumps(text), "sbom-format"),
        (text[:-1], "json"), (text.replace("{", '{"a":1,"a":2,', 1), "json-duplicate-key"),
    ):  # fmt: skip
        with pytest.raises(RejectedError) as error:
            read_sbom(parse_statement(statement(sha256_of(b""), kind, predicate)))
        assert error.value.code == code


def test_media_types_of_bare_ones() -> None:
    assert media_type_format("text/spdx+json") == "SPDX"
    assert media_type_format("application/vnd.cyclonedx+json; version=1.6") == "CycloneDX"
    for other in ("text/spdx", "application/vnd.cyclonedx+xml", "application/vnd.syft+json", ""):
        with pytest.raises(MalformedError) as error:
            media_type_format(other)
        assert error.value.code == "evidence-type"


def test_packages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SBOM_PACKAGES", 1)
    assert [code_of(make()) for make in (spdx2, spdx3, cyclonedx)] == ["limits"] * 3


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def combined() -> dict[str, Any]:
    """SPDX 3 with licences inside licences."""
    return licensed("x:s", licence_set("Disjunctive", "x:s", MIT, "x:t"), licence_set("Conjunctive", "x:t", MIT, BSD))


@settings(derandomize=True, deadline=None, max_examples=300)
@given(make=st.sampled_from([spdx2, spdx3, cyclonedx, combined]), data=st.data(), value=JSON)
def test_whatever_stands_anywhere_gives_an_sbom_or_our_error(
    make: Callable[[], dict[str, Any]], data: st.DataObject, value: object
) -> None:
    document: Any = make()
    place = document
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            place[key] = value
            break
        place = inner
    with contextlib.suppress(SealiftError):
        assert parse(document).packages


# -- made by a real tool ----------------------------------------------------------------------------------------------


def test_buildkit_two_platforms(shared: Path) -> None:
    folder = shared / "real/images/buildkit-two-platforms/blobs/sha256"
    sboms = [
        read_sbom(parse_statement(path.read_bytes()))
        for path in sorted(folder.iterdir())
        if path.stat().st_size < 5000
        and b'"https://spdx.dev/Document"' in path.read_bytes()
        and path.read_bytes().startswith(b'{"_type"')
    ]
    assert [(sbom.format, sbom.version, sbom.name, len(sbom.packages), sbom.relationships) for sbom in sboms] == [
        ("SPDX", "2.3", "sbom", 1, 1)
    ] * 2
    assert {sbom.tools for sbom in sboms} == {("syft-v0.105.0", "buildkit-v0.12.4")}
