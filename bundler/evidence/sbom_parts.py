"""What every SBOM says, whatever its format, and how its fields are taken: for the readers of each format.

Rules of this module:
- There may be tens of thousands of packages: they are read from plain dicts, and paths are made for errors only.
- A key that another parser would fold to a known one is refused (oci/spelling.py); each new key is looked at once.
- Identifiers that stand twice are refused: relationships would point at either.
- What a document says is no package is kept among the packages and says so (`no_package`): nobody can judge it, and
  nobody has to. That takes the document's word for what it lists, no more than its silence would. A package URL goes
  before any such word: a "file" that has one is a package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from bundler import limits
from bundler.errors import MalformedError
from bundler.evidence.kind import SbomFormat
from bundler.value import dataclass, field

WHAT = "SBOM"
_PURL = re.compile("pkg:/*[A-Za-z][A-Za-z0-9.+-]*/+[^/?#]", re.ASCII)  # slashes before a type mean nothing (purl-spec)
_IMAGE_PURL = re.compile("pkg:/*(oci|docker)/", re.ASCII | re.IGNORECASE)
_GENERIC_PURL = re.compile("pkg:/*generic/", re.ASCII | re.IGNORECASE)
# CycloneDX's words. Not here, as they can be software with holes of its own: `platform` (runtimes), `container` (an
# image inside the image), `firmware`, `device-driver`, `application`.
_NO_PACKAGES = ("operating-system", "file", "device", "data", "machine-learning-model", "cryptographic-asset")
# What the one thing may be said to be that a whole document is about, for it to be the image or folder itself.
_SUBJECTS = ("", "container", "source", "archive", "file", "operating-system", "device", "other")
TRIVY_PLACE = "lang-pkgs"  # Trivy's class of an `application` that is the file in which it found packages
SPDX: SbomFormat = "SPDX"
CYCLONEDX: SbomFormat = "CycloneDX"

JsonObject = dict[str, Any]


class Package(NamedTuple):
    """One package as the document claims it. A tuple, because fifty thousand of them are made at once.

    Attributes:
        purl: its package URL; empty when it has none.
        licence: an SPDX expression, or names joined by commas; empty when nothing is asserted.
        supplier: as the document names it; empty when it does not.
        source: name of the source package that a distribution built it from, where something else than the purl tells.
        source_version: of that.
        no_package: what it is instead, in CycloneDX's words: `operating-system`, `file`, `data`, …; empty for packages.
    """

    name: str
    version: str
    purl: str = ""
    licence: str = ""
    supplier: str = ""
    source: str = ""
    source_version: str = ""
    no_package: str = ""


@dataclass(frozen=True, slots=True)
class Sbom:
    """An SBOM that was read. Everything in it is a claim of whoever made it.

    Attributes:
        format: `SPDX` or `CycloneDX`.
        version: of the format, e.g. `2.3`.
        name: what it says it describes; may be empty for CycloneDX.
        identity: its namespace, IRI or serial number; may be empty for CycloneDX.
        created_at: when it says it was made; None when CycloneDX does not.
        tools: what made it.
        packages: in the document's order.
        relationships: how many edges it has.
        files: how many files it lists beside the packages.
    """

    format: SbomFormat
    version: str
    name: str
    identity: str
    created_at: datetime | None
    tools: tuple[str, ...]
    packages: tuple[Package, ...] = field(repr=False)
    relationships: int
    files: int


class Spelling:
    """Refuses keys that only fold to a known one."""

    __slots__ = ("_folded", "_known", "_seen", "_what")

    def __init__(self, *known: str, what: str = WHAT) -> None:
        self._what = what
        self._known = frozenset(known)
        self._folded = {name.casefold(): name for name in known}
        self._seen: set[str] = set()

    def check(self, value: JsonObject, where: str) -> None:
        """Check the keys of one object.

        Raises:
            MalformedError: code ``field-case``.
        """
        if value.keys() <= self._seen:
            return
        for key in value.keys() - self._seen:
            meant = self._folded.get(key.casefold())
            if meant is not None and key not in self._known:
                raise MalformedError("field-case", self._what, where, got=key[:80], want=meant)
        self._seen |= value.keys()


class Identifiers:
    """Identifiers of one document, each at most once."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def add(self, identifier: str, where: str) -> None:
        """Take one in.

        Raises:
            MalformedError: it stands twice (code ``sbom-identifier``).
        """
        if identifier in self._seen:
            raise MalformedError("sbom-identifier", WHAT, where, got=f"{identifier[:160]} twice", want="each once")
        self._seen.add(identifier)


def text_of(value: JsonObject, key: str, where: str) -> str:
    """A text; empty when it is absent or null.

    Raises:
        MalformedError: another type (``field-type``), or longer than any real one (``limits``).
    """
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise MalformedError("field-type", WHAT, f"{where}.{key}", got=type(found).__name__, want="str")
    if len(found) > limits.SBOM_TEXT_CHARACTERS:
        raise MalformedError(
            "limits", WHAT, f"{where}.{key}", got=f"{len(found)} characters", want=f"{limits.SBOM_TEXT_CHARACTERS}"
        )
    return found


def needed_text_of(value: JsonObject, key: str, where: str) -> str:
    """A text that must not be empty.

    Raises:
        MalformedError: absent or empty (``field-missing``), or as `text_of`.
    """
    found = text_of(value, key, where)
    if not found:
        raise MalformedError("field-missing", WHAT, f"{where}.{key}", got="absent or empty", want="a text")
    return found


def object_of(value: JsonObject, key: str, where: str) -> JsonObject:
    """An object; empty when it is absent or null.

    Raises:
        MalformedError: another type (``field-type``).
    """
    found = value.get(key)
    return {} if found is None else as_object(found, f"{where}.{key}")


def as_object(value: Any, where: str) -> JsonObject:
    """The value, when it is an object.

    Raises:
        MalformedError: another type (``field-type``).
    """
    if not isinstance(value, dict):
        raise MalformedError("field-type", WHAT, where, got=type(value).__name__, want="object")
    return value


def list_of(value: JsonObject, key: str, where: str, *, maximum: int = limits.SBOM_ITEMS) -> list[Any]:
    """An array; empty when it is absent or null.

    Raises:
        MalformedError: another type (``field-type``), or too many items (``limits``).
    """
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise MalformedError("field-type", WHAT, f"{where}.{key}", got=type(found).__name__, want="array")
    if len(found) > maximum:
        raise MalformedError("limits", WHAT, f"{where}.{key}", got=f"{len(found)} items", want=f"at most {maximum}")
    return found


def objects_of(
    value: JsonObject, key: str, where: str, *, maximum: int = limits.SBOM_ITEMS
) -> Iterator[tuple[JsonObject, str]]:
    """The objects of an array, each with its place.

    Raises:
        MalformedError: as `list_of` and `as_object`.
    """
    for position, item in enumerate(list_of(value, key, where, maximum=maximum)):
        place = f"{where}.{key}[{position}]"
        yield as_object(item, place), place


def texts_of(value: JsonObject, key: str, where: str, *, maximum: int = limits.SBOM_ITEMS) -> list[str]:
    """The texts of an array.

    Raises:
        MalformedError: as `list_of`, or an item of another type (``field-type``).
    """
    found = list_of(value, key, where, maximum=maximum)
    for position, item in enumerate(found):
        if not isinstance(item, str):
            raise MalformedError("field-type", WHAT, f"{where}.{key}[{position}]", got=type(item).__name__, want="str")
    return found


def check_purl(text: str, where: str) -> str:
    """A package URL by its scheme, and that it has a type and a name; the rest is for whoever compares packages.

    Raises:
        MalformedError: something else (code ``purl``).
    """
    if not _PURL.match(text):
        raise MalformedError("purl", WHAT, where, got=text[:80], want="pkg:TYPE/NAME…")
    return text


def is_image_purl(text: str) -> bool:
    """Whether a package URL names a container image."""
    return _IMAGE_PURL.match(text) is not None


def check_packages(count: int, where: str) -> None:
    """Bound how many packages there are.

    Raises:
        MalformedError: more than any real SBOM has (code ``limits``).
    """
    if count > limits.SBOM_PACKAGES:
        raise MalformedError("limits", WHAT, where, got="more packages", want=f"at most {limits.SBOM_PACKAGES}")


def without_twins(purls: Iterable[str]) -> list[str]:
    """Package URLs of one package, each coordinate once, in order; one empty text where it has none.

    Those that differ behind the version alone (in the repositories in which one file lies) mean one thing, and a
    generic one beside others says nothing that they do not.
    """
    listed = list(purls)
    if len(listed) < 2:  # nearly always, and an SBOM has tens of thousands
        return listed or [""]
    found: dict[str, str] = {}
    for purl in listed:
        found.setdefault(purl.partition("?")[0], purl)
    telling = [purl for purl in found.values() if not _GENERIC_PURL.match(purl)]
    return telling or list(found.values()) or [""]


def no_package(said: str, purl: str, *, is_subject: bool = False, is_place: bool = False) -> str:
    """What a component is that is no package; empty for packages, and for whatever nobody can say it of.

    Args:
        said: the document's word for what it is: `type` of CycloneDX, `primaryPackagePurpose` of SPDX.
        purl: its package URL, or empty.
        is_subject: whether it is the one thing that the whole document is about.
        is_place: whether the tool says that it is the file in which it found packages.
    """
    if purl and not (is_subject and is_image_purl(purl)):
        return ""
    kind = said.lower().replace("_", "-")
    if is_subject and kind in _SUBJECTS:
        return kind or "subject"
    return kind if kind in _NO_PACKAGES or (is_place and kind == "application") else ""
