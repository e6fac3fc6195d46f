"""SPDX 3.0 in JSON-LD, as tools write it: one `@graph` of elements (spdx.github.io/spdx-spec/v3.0.1, "Serialization").

Rules of this module:
- JSON-LD in general is not read: the context must be SPDX's own, and elements stand in `@graph`. `creationInfo` and
  agents may stand inside or be named.
- At most one SpdxDocument; without it the one Sbom names the whole. Every element has an identifier, once.
  The specification's version is each CreationInfo's, so all must be 3.0.
- AI models and datasets are packages, too: their classes are subclasses of Package. Without a package URL they, and
  what is no package by its purpose, say so; so does the one root element, where it is the image or folder itself.
- A package that has package URLs of several things is listed once for each, as in SPDX 2.
- Licences stand in relationships: a concluded one goes before a declared one (spdx3_licences.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from bundler.errors import MalformedError, RejectedError
from bundler.evidence.sbom_parts import (
    SPDX,
    WHAT,
    Identifiers,
    JsonObject,
    Package,
    Sbom,
    Spelling,
    check_packages,
    check_purl,
    list_of,
    needed_text_of,
    no_package,
    objects_of,
    text_of,
    without_twins,
)
from bundler.evidence.spdx3_licences import Licences
from bundler.moment import parse_foreign_moment

_CONTEXT = re.compile(r"https://spdx\.org/rdf/(v?[0-9.]+)/spdx-context\.jsonld", re.ASCII)
_VERSION = re.compile(r"3\.0(\.[0-9]+)?", re.ASCII)
_ELEMENT_KEYS = (
    *("type", "spdxId", "@id", "name", "creationInfo", "specVersion", "created", "createdUsing"),
    *("software_packageVersion", "software_packageUrl", "externalIdentifier", "suppliedBy", "originatedBy"),
    *("from", "to", "relationshipType", "simplelicensing_licenseExpression"),
    *("software_primaryPurpose", "rootElement"),
)
_LICENCES = {"hasConcludedLicense": 0, "hasDeclaredLicense": 1}
_PACKAGES = ("software_Package", "ai_AIPackage", "dataset_DatasetPackage")
_PURPOSES = {  # where SPDX's word is another than CycloneDX's
    "operatingSystem": "operating-system",
    "model": "machine-learning-model",
    "ai_AIPackage": "machine-learning-model",
    "dataset_DatasetPackage": "data",
}
_WHOLES = ("SpdxDocument", "software_Sbom", "Bom")  # what may name the whole, the best first

_Elements = Mapping[str, JsonObject]


def is_spdx3(document: JsonObject) -> bool:
    """Whether a document says that it is SPDX 3."""
    context = document.get("@context")
    return "@graph" in document and isinstance(context, str) and context.startswith("https://spdx.org/rdf/")


def parse_spdx3(document: JsonObject) -> Sbom:
    """Read a document.

    Raises:
        RejectedError: another version (code ``sbom-version``).
        MalformedError: as `parse_sbom`.
    """
    Spelling("@context", "@graph").check(document, "document")
    context = needed_text_of(document, "@context", "document")
    match = _CONTEXT.fullmatch(context)
    if match is None or not _VERSION.fullmatch(match[1].removeprefix("v")):
        raise RejectedError("sbom-version", WHAT, got=context[:160], want="SPDX 3.0's context")
    elements = _read_elements(document)
    by_type = _by_type(elements)
    identity = _whole(by_type)
    info = _creation_info(elements, elements[identity], identity)
    relationships = [name for kind, names in by_type.items() if kind.endswith("Relationship") for name in names]
    return Sbom(
        format=SPDX,
        version=_check_versions(elements, by_type, info),
        name=text_of(elements[identity], "name", identity),
        identity=identity,
        created_at=parse_foreign_moment(info.get("created")),
        tools=tuple(_names(elements, info, "createdUsing")),
        packages=_packages(
            elements,
            (name for name, element in elements.items() if element["type"] in _PACKAGES),
            _licences(elements, relationships),
            _subject(elements, by_type),
        ),
        relationships=sum(len(_ends(elements[name], "to", name)) for name in relationships),
        files=len(by_type.get("software_File", [])),
    )


def _whole(by_type: Mapping[str, list[str]]) -> str:
    """The element that names the whole."""
    for kind in _WHOLES:
        found = by_type.get(kind, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise MalformedError("sbom-identifier", WHAT, got=f"{len(found)} {kind}", want="exactly one")
    raise MalformedError("sbom-identifier", WHAT, got="no SpdxDocument", want="exactly one")


def _read_elements(document: JsonObject) -> dict[str, JsonObject]:
    """All elements by identifier."""
    spelling, identifiers = Spelling(*_ELEMENT_KEYS), Identifiers()
    found: dict[str, JsonObject] = {}
    for element, where in objects_of(document, "@graph", "document"):
        spelling.check(element, where)
        identifier = text_of(element, "spdxId", where) or needed_text_of(element, "@id", where)
        identifiers.add(identifier, where)
        found[identifier] = element
    return found


def _by_type(elements: _Elements) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for identifier, element in elements.items():
        found.setdefault(needed_text_of(element, "type", identifier), []).append(identifier)
    return found


def _check_versions(elements: _Elements, by_type: Mapping[str, list[str]], info: JsonObject) -> str:
    infos = [info, *(elements[name] for name in by_type.get("CreationInfo", []))]
    for each in infos:
        version = needed_text_of(each, "specVersion", "CreationInfo")
        if not _VERSION.fullmatch(version):
            raise RejectedError("sbom-version", WHAT, got=f"SPDX {version}"[:80], want="SPDX 3.0")
    return text_of(info, "specVersion", "CreationInfo")


def _creation_info(elements: _Elements, element: JsonObject, where: str) -> JsonObject:
    said = element.get("creationInfo")
    found = elements.get(said) if isinstance(said, str) else said
    if not isinstance(found, dict):
        raise MalformedError("field-missing", WHAT, f"{where}.creationInfo", got="not there", want="a CreationInfo")
    return found


def _subject(elements: _Elements, by_type: Mapping[str, list[str]]) -> str:
    """The one root element of everything that names a whole; empty where there are several."""
    wholes = [name for kind in _WHOLES for name in by_type.get(kind, [])]
    roots: set[str] = set()
    for name in wholes:
        said = elements[name].get("rootElement")
        roots |= {end for end in (said if isinstance(said, list) else [said]) if isinstance(end, str)}
    roots.difference_update(wholes)
    return roots.pop() if len(roots) == 1 else ""


def _purpose(package: JsonObject, where: str) -> str:
    """What it is for, in CycloneDX's words."""
    said = text_of(package, "software_primaryPurpose", where)
    return _PURPOSES.get(said) or said or _PURPOSES.get(package["type"], "")


def _packages(
    elements: _Elements, names: Iterable[str], licences: Mapping[str, str], subject: str
) -> tuple[Package, ...]:
    found: list[Package] = []
    spelling = Spelling("externalIdentifierType", "identifier")
    for name in names:
        package = elements[name]
        suppliers = ", ".join(_names(elements, package, "suppliedBy")) or ", ".join(
            _names(elements, package, "originatedBy")
        )
        found += (
            Package(
                needed_text_of(package, "name", name),
                text_of(package, "software_packageVersion", name),
                purl,
                licences.get(name, ""),
                suppliers,
                no_package=no_package(_purpose(package, name), purl, is_subject=name == subject),
            )
            for purl in without_twins(_purls(package, name, spelling))
        )
        check_packages(len(found), name)
    return tuple(found)


def _purls(package: JsonObject, where: str, spelling: Spelling) -> Iterator[str]:
    said = text_of(package, "software_packageUrl", where)
    if said:
        yield check_purl(said, where)
    if not package.get("externalIdentifier"):
        return
    for identifier, place in objects_of(package, "externalIdentifier", where):
        spelling.check(identifier, place)
        if identifier.get("externalIdentifierType") == "packageUrl":
            yield check_purl(text_of(identifier, "identifier", place), place)


def _licences(elements: _Elements, relationships: Iterable[str]) -> dict[str, str]:
    """Licence expressions by package; the concluded one where there are both."""
    licences = Licences(elements)
    found: dict[str, tuple[int, str]] = {}
    for name in relationships:
        relationship = elements[name]
        rank = _LICENCES.get(text_of(relationship, "relationshipType", name))
        if rank is None:
            continue
        said = ", ".join(text for end in _ends(relationship, "to", name) if (text := licences.tell(end)))
        for package in _ends(relationship, "from", name):
            known = found.get(package)
            if said and (known is None or rank < known[0]):
                found[package] = (rank, said)
    return {package: said for package, (_, said) in found.items()}


def _names(elements: _Elements, value: JsonObject, key: str) -> Iterator[str]:
    """Names of the agents or tools that a field refers to, or its references where they stand elsewhere."""
    said = value.get(key)
    for item in said if isinstance(said, list) else [said]:
        if isinstance(item, dict):
            yield text_of(item, "name", key)
        elif isinstance(item, str):
            known = elements.get(item)
            yield (text_of(known, "name", item) if known else "") or item
        elif item is not None:
            raise MalformedError("field-type", WHAT, key, got=type(item).__name__, want="a reference")


def _ends(relationship: JsonObject, key: str, where: str) -> list[str]:
    said = relationship.get(key)
    ends = [said] if isinstance(said, str) else list_of(relationship, key, where)
    if not all(isinstance(end, str) for end in ends):
        raise MalformedError("field-type", WHAT, f"{where}.{key}", got="an element inside", want="references")
    return ends
