"""SPDX 2.2 and 2.3 in JSON (spdx.github.io/spdx-spec/v2.3, "Document Creation", "Package", "Relationship").

Rules of this module:
- What clause 6 and 7 of the specification call mandatory and what ties things together must be there: the document's
  SPDXID, name, namespace, creators and time; each package's SPDXID and name. `downloadLocation` and `dataLicense` say
  nothing that is used here.
- A package that has package URLs of several things is listed once for each: which of them it is, nobody here can say.
- NOASSERTION says nothing. A concluded licence goes before a declared one.
- Trivy names a distribution's source package in `sourceInfo`, in words of its own; Syft has it in the package URL.
- What is no package by its purpose says so. So does the one package that the whole document describes, where it is
  the image or folder itself, and Trivy's `APPLICATION`s that are the files in which it found packages.
- `documentDescribes` and `hasFiles` are older, shorter ways to write relationships: those that do not stand among
  `relationships` too are counted with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bundler import limits
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.sbom_parts import (
    SPDX,
    TRIVY_PLACE,
    WHAT,
    Identifiers,
    JsonObject,
    Package,
    Sbom,
    Spelling,
    as_object,
    check_packages,
    check_purl,
    list_of,
    needed_text_of,
    no_package,
    object_of,
    objects_of,
    text_of,
    texts_of,
    without_twins,
)
from bundler.moment import parse_foreign_moment

_KEYS = (
    *("spdxVersion", "SPDXID", "name", "documentNamespace", "creationInfo"),
    *("packages", "files", "relationships", "documentDescribes"),
)
_VERSIONS = ("SPDX-2.2", "SPDX-2.3")
_PACKAGE_KEYS = (
    *("SPDXID", "name", "versionInfo", "externalRefs"),
    *("licenseConcluded", "licenseDeclared", "supplier", "originator", "hasFiles", "sourceInfo"),
    "primaryPackagePurpose",
)
_REFERENCE_KEYS = ("referenceCategory", "referenceType", "referenceLocator")
_RELATIONSHIP_KEYS = ("relationshipType", "spdxElementId", "relatedSpdxElement")
_DESCRIBES = ("DESCRIBES", "DESCRIBE")  # the second is that of early Trivy
_TURNED = {"DESCRIBED_BY": "DESCRIBES", "CONTAINED_BY": "CONTAINS"}
_PURL = ("purl", "http://spdx.org/rdf/references/purl", "https://spdx.org/rdf/references/purl")
_TOOL = "Tool: "
_PLACE = f"Class: {TRIVY_PLACE}"
_BUILT_FROM = re.compile(r"built package from: (\S{1,200}) (\S{1,200})")


def is_spdx2(document: JsonObject) -> bool:
    """Whether a document says that it is SPDX 2."""
    return "spdxVersion" in document


def parse_spdx2(document: JsonObject) -> Sbom:
    """Read a document.

    Raises:
        RejectedError: another version (code ``sbom-version``).
        MalformedError: as `parse_sbom`.
    """
    Spelling(*_KEYS).check(document, "document")
    version = needed_text_of(document, "spdxVersion", "document")
    if version not in _VERSIONS:
        raise RejectedError("sbom-version", WHAT, got=version[:80], want=" or ".join(_VERSIONS))
    identifiers = Identifiers()
    identifiers.add(_identifier(document, "document"), "document")
    info = object_of(document, "creationInfo", "document")
    creators = texts_of(info, "creators", "creationInfo", maximum=limits.SBOM_TOOLS)
    if not creators:
        raise MalformedError("field-missing", WHAT, "creationInfo.creators", got="none", want="at least one")
    return Sbom(
        format=SPDX,
        version=version.removeprefix("SPDX-"),
        name=needed_text_of(document, "name", "document"),
        identity=needed_text_of(document, "documentNamespace", "document"),
        created_at=parse_foreign_moment(info.get("created")),
        tools=tuple(item.removeprefix(_TOOL) for item in creators if item.startswith(_TOOL)),
        packages=_packages(document, identifiers),
        relationships=_count_relationships(document),
        files=_count_files(document, identifiers),
    )


def _count_files(document: JsonObject, identifiers: Identifiers) -> int:
    files = 0
    for file, where in objects_of(document, "files", "document"):
        identifiers.add(_identifier(file, where), where)
        files += 1
    return files


def _count_relationships(document: JsonObject) -> int:
    """Edges, with the short ones that are not written out too."""
    relationships = list_of(document, "relationships", "document")
    short = {("DESCRIBES", document["SPDXID"], end) for end in texts_of(document, "documentDescribes", "document")}
    for package in list_of(document, "packages", "document"):  # objects all: they were read before
        if package.get("hasFiles"):
            name = package["SPDXID"]
            short.update(("CONTAINS", name, end) for end in texts_of(package, "hasFiles", name))
    if short:
        for relationship, where in objects_of(document, "relationships", "document"):
            kind, start, end = (text_of(relationship, key, where) for key in _RELATIONSHIP_KEYS)
            short.discard((kind, start, end))
            short.discard((_TURNED.get(kind, ""), end, start))
    return len(relationships) + len(short)


def _packages(document: JsonObject, identifiers: Identifiers) -> tuple[Package, ...]:
    spelling, reference_spelling = Spelling(*_PACKAGE_KEYS), Spelling(*_REFERENCE_KEYS)
    subject = _subject(document)
    found = []
    for package, where in objects_of(document, "packages", "document", maximum=limits.SBOM_PACKAGES):
        spelling.check(package, where)
        identifiers.add(_identifier(package, where), where)
        found += _package(package, where, reference_spelling, is_subject=package["SPDXID"] == subject)
        check_packages(len(found), where)
    return tuple(found)


def _package(package: JsonObject, where: str, spelling: Spelling, *, is_subject: bool) -> list[Package]:
    """One package, once for each thing that its package URLs name."""
    name, version = needed_text_of(package, "name", where), _asserted(package, "versionInfo", where)
    licence = _asserted(package, "licenseConcluded", where) or _asserted(package, "licenseDeclared", where)
    supplier = _asserted(package, "supplier", where) or _asserted(package, "originator", where)
    source = _source(package, where) if package.get("sourceInfo") else ("", "")
    purpose, is_place = _asserted(package, "primaryPackagePurpose", where), _is_place(package)
    return [
        Package(
            name, version, purl, licence, supplier, *source,
            no_package(purpose, purl, is_subject=is_subject, is_place=is_place),
        )
        for purl in without_twins(_purls(package, where, spelling))
    ]  # fmt: skip


def _subject(document: JsonObject) -> str:
    """The one thing that the document says it describes; empty where there are several."""
    start = document["SPDXID"]
    described = set(texts_of(document, "documentDescribes", "document"))
    for item in list_of(document, "relationships", "document"):
        if not isinstance(item, dict):
            continue
        kind, one, other = (item.get(key) for key in _RELATIONSHIP_KEYS)
        if (kind in _DESCRIBES and one == start) or (kind == "DESCRIBED_BY" and other == start):
            described.add(str(other if kind in _DESCRIBES else one))
    return described.pop() if len(described) == 1 else ""


def _is_place(package: JsonObject) -> bool:
    """Whether it is a lock file or program in which Trivy found packages: those stand beside it.

    Trivy says that in an annotation; it stood among the attributions once.
    """
    if package.get("versionInfo"):
        return False
    said: list[Any] = [package.get("attributionTexts"), package.get("annotations")]
    texts = [item for part in said if isinstance(part, list) for item in part]
    return any((item.get("comment") if isinstance(item, dict) else item) == _PLACE for item in texts)


def _source(package: JsonObject, where: str) -> tuple[str, str]:
    """Name and version of the source package, as Trivy tells them."""
    match = _BUILT_FROM.fullmatch(text_of(package, "sourceInfo", where))
    return (match[1], match[2]) if match else ("", "")


def _purls(package: JsonObject, where: str, spelling: Spelling) -> Iterator[str]:
    for reference in list_of(package, "externalRefs", where):
        spelling.check(as_object(reference, where), where)
        if reference.get("referenceType") in _PURL:
            yield check_purl(text_of(reference, "referenceLocator", where), where)


def _identifier(value: JsonObject, where: str) -> str:
    found = needed_text_of(value, "SPDXID", where)
    if not found.startswith("SPDXRef-"):
        raise MalformedError("sbom-identifier", WHAT, where, got=found[:160], want="SPDXRef-…")
    return found


def _asserted(value: JsonObject, key: str, where: str) -> str:
    found = value.get(key)
    return "" if found is None or found == "NOASSERTION" else text_of(value, key, where)
