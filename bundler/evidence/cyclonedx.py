"""CycloneDX 1.2 to 1.7 in JSON (ECMA-424; cyclonedx.org/docs/1.7/json). 1.2 is the first with JSON.

Rules of this module:
- Packages are components of every type but `file` without a package URL (Syft lists files among them), also those
  inside others. Those that are no packages by their type say so, and so do Trivy's `application`s that are the files in
  which it found packages.
- `metadata.component` names what the SBOM is about. What stands inside it is part of that, and listed as well; itself
  it is a package where others are listed and it has the package URL of one: a program can have holes of its own.
- Licences are an expression, or names joined by commas: the format says not how several go together. Concluded ones go
  before declared ones, where it tells them apart (1.6).
- Serial number, time and tools are optional there, and told when they are there. A serial number is a UUID's URN.
- Trivy names a distribution's source package among its own properties (`aquasecurity:trivy:SrcName` and the like); Syft
  has it in the package URL. The first of a name counts.
- Edges are what components depend on, and what they provide (1.6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bundler import limits
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.sbom_parts import (
    CYCLONEDX,
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
    is_image_purl,
    list_of,
    needed_text_of,
    no_package,
    object_of,
    objects_of,
    text_of,
    texts_of,
)
from bundler.moment import parse_foreign_moment

_KEYS = ("bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "dependencies")
_VERSIONS = ("1.2", "1.3", "1.4", "1.5", "1.6", "1.7")
_COMPONENT_KEYS = (
    *("type", "bom-ref", "group", "name", "version", "purl", "licenses"),
    *("supplier", "publisher", "components", "properties"),
)
_FILE = "file"
_APPLICATION = "application"
_SOURCE = "aquasecurity:trivy:Src"
_CLASS = "aquasecurity:trivy:Class"
_SERIAL_NUMBER = re.compile("urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def is_cyclonedx(document: JsonObject) -> bool:
    """Whether a document says that it is CycloneDX."""
    return "bomFormat" in document


def parse_cyclonedx(document: JsonObject) -> Sbom:
    """Read a document.

    Raises:
        RejectedError: another version (code ``sbom-version``).
        MalformedError: as `parse_sbom`.
    """
    Spelling(*_KEYS).check(document, "document")
    said = needed_text_of(document, "bomFormat", "document")
    if said != CYCLONEDX:
        raise RejectedError("sbom-format", WHAT, got=said[:80], want=CYCLONEDX)
    version = needed_text_of(document, "specVersion", "document")
    if version not in _VERSIONS:
        raise RejectedError("sbom-version", WHAT, got=f"CycloneDX {version}"[:80], want=", ".join(_VERSIONS))
    metadata = object_of(document, "metadata", "document")
    created = metadata.get("timestamp")
    packages, files = _listed(document, object_of(metadata, "component", "metadata"))
    return Sbom(
        format=CYCLONEDX,
        version=version,
        name=_subject_name(metadata),
        identity=_serial_number(document),
        created_at=None if created is None else parse_foreign_moment(created),
        tools=tuple(_tools(metadata)),
        packages=packages,
        relationships=_count_edges(document),
        files=files,
    )


def _listed(document: JsonObject, about: JsonObject) -> tuple[tuple[Package, ...], int]:
    """All packages, and how many files stand beside them.

    Args:
        document: the whole.
        about: what it is about, or an empty object.
    """
    where = "metadata.component"
    components = _Components(text_of(about, "bom-ref", where))
    components.read(document, "document")
    inside = _Components("")  # some tools list the same parts in both places
    inside.read(about, where)
    purl = text_of(about, "purl", where)
    if purl and (components.packages or inside.packages) and not is_image_purl(purl):
        inside.take(about, where)
    packages = (*components.packages, *inside.packages)
    check_packages(len(packages), where)
    return packages, components.files + inside.files


class _Components:
    """Components gathered from all levels; depth is bounded by `parse_foreign`."""

    def __init__(self, taken: str) -> None:
        self.packages: list[Package] = []
        self.files = 0
        self._identifiers = Identifiers()
        if taken:
            self._identifiers.add(taken, "metadata.component")
        self._spelling = Spelling(*_COMPONENT_KEYS)

    def read(self, parent: JsonObject, where: str) -> None:
        """Take in the components of one parent, and theirs."""
        for component, place in objects_of(parent, "components", where):
            self.take(component, place)
            if component.get("components"):
                self.read(component, place)

    def take(self, component: JsonObject, where: str) -> None:
        """Take in one component, without those inside it."""
        self._spelling.check(component, where)
        reference = text_of(component, "bom-ref", where)
        if reference:
            self._identifiers.add(reference, where)
        if needed_text_of(component, "type", where) == _FILE and not component.get("purl"):
            self.files += 1
        else:
            self._add(component, where)

    def _add(self, component: JsonObject, where: str) -> None:
        check_packages(len(self.packages) + 1, where)
        name, group = needed_text_of(component, "name", where), text_of(component, "group", where)
        purl = text_of(component, "purl", where)
        supplier = text_of(object_of(component, "supplier", where), "name", where)
        source = _source(component, where) if component.get("properties") else ("", "")
        self.packages.append(
            Package(
                f"{group}/{name}" if group else name,
                text_of(component, "version", where),
                check_purl(purl, where) if purl else "",
                ", ".join(_licences(component, where)) if component.get("licenses") else "",
                supplier or text_of(component, "publisher", where),
                *source,
                no_package(component["type"], purl, is_place=_is_place(component, where)),
            )
        )


def _is_place(component: JsonObject, where: str) -> bool:
    """Whether it is a lock file or program in which Trivy found packages: those stand beside it."""
    if component["type"] != _APPLICATION or component.get("version") or not component.get("properties"):
        return False
    properties = [item for item, _ in objects_of(component, "properties", where)]
    return any(item.get("name") == _CLASS and item.get("value") == TRIVY_PLACE for item in properties)


def _source(component: JsonObject, where: str) -> tuple[str, str]:
    """Name and version of the source package, as Trivy tells them."""
    told: dict[str, str] = {}
    for item, place in objects_of(component, "properties", where):
        name = text_of(item, "name", place)
        if name.startswith(_SOURCE):
            told.setdefault(name.removeprefix(_SOURCE), text_of(item, "value", place))
    epoch, release = told.get("Epoch", ""), told.get("Release", "")
    version = told.get("Version", "")
    if not version:
        return told.get("Name", ""), ""
    whole = f"{version}-{release}" if release else version
    return told.get("Name", ""), f"{epoch}:{whole}" if epoch not in ("", "0") and ":" not in whole else whole


def _licences(component: JsonObject, where: str) -> list[str]:
    """All of them; only the concluded ones where there are such."""
    found, concluded = [], []
    for choice, place in objects_of(component, "licenses", where):
        licence = choice if choice.get("expression") else object_of(choice, "license", place)
        said = next((text for key in ("expression", "id", "name") if (text := text_of(licence, key, place))), "")
        if not said:
            raise MalformedError("field-missing", WHAT, place, got="neither id, name nor expression", want="one")
        found.append(said)
        if licence.get("acknowledgement") == "concluded":
            concluded.append(said)
    return concluded or found


def _serial_number(document: JsonObject) -> str:
    found = text_of(document, "serialNumber", "document")
    if found and not _SERIAL_NUMBER.fullmatch(found):
        raise MalformedError("sbom-identifier", WHAT, "serialNumber", got=found[:80], want="urn:uuid:…")
    return found


def _subject_name(metadata: JsonObject) -> str:
    component = object_of(metadata, "component", "metadata")
    name, version = text_of(component, "name", "metadata"), text_of(component, "version", "metadata")
    return f"{name} {version}".strip()


def _tools(metadata: JsonObject) -> Iterator[str]:
    """The older form is an array of tools; the newer one has components and services."""
    said = metadata.get("tools")
    if isinstance(said, dict):
        tools = [*objects_of(said, "components", "tools"), *objects_of(said, "services", "tools")]
    else:
        tools = list(objects_of(metadata, "tools", "metadata", maximum=limits.SBOM_TOOLS))
    for tool, where in tools[: limits.SBOM_TOOLS]:
        yield f"{text_of(tool, 'name', where)} {text_of(tool, 'version', where)}".strip()


def _count_edges(document: JsonObject) -> int:
    edges = 0
    for position, dependency in enumerate(list_of(document, "dependencies", "document")):
        where = f"dependencies[{position}]"
        for key in ("dependsOn", "provides"):
            edges += len(texts_of(as_object(dependency, where), key, where))
    return edges
