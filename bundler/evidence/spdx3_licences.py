"""Licences in SPDX 3.0: expressions, listed licences, and sets of them (spdx-spec v3.0.1, SimpleLicensing and
ExpandedLicensing), as one SPDX expression.

Rules of this module:
- A listed licence is known by its address at spdx.org, whether or not an element describes it.
- NoAssertion says nothing, None is `NONE`. What cannot be looked up is told by its whole identifier.
- Licences may be made of licences: a circle, and depth or length beyond any real one, are refused. Each is put
  together once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bundler import limits
from bundler.errors import MalformedError
from bundler.evidence.sbom_parts import WHAT, JsonObject, list_of, text_of

_LISTED = re.compile(r"https?://spdx\.org/licenses/([0-9A-Za-z.+-]+?)(?:\.html|\.json)?", re.ASCII)
_INDIVIDUAL = re.compile(
    r"(?:https?://spdx\.org/rdf/\S*/|expandedlicensing_)?(NoAssertion|NOASSERTION|None|NONE)(?:License|Element)?",
    re.ASCII,
)
_SETS = {"expandedlicensing_ConjunctiveLicenseSet": " AND ", "expandedlicensing_DisjunctiveLicenseSet": " OR "}
_LATER, _WITH = "expandedlicensing_OrLaterOperator", "expandedlicensing_WithAdditionOperator"


class Licences:
    """The licences of one document, by identifier."""

    __slots__ = ("_depth", "_elements", "_told")

    def __init__(self, elements: Mapping[str, JsonObject]) -> None:
        self._elements = elements
        self._told: dict[str, str | None] = {}
        self._depth = 0

    def tell(self, name: str) -> str:
        """The expression of one licence; empty when it asserts nothing.

        Raises:
            MalformedError: made of itself (code ``sbom-identifier``), too long (``limits``), or of another shape.
        """
        if name in self._told:
            told = self._told[name]
            if told is None:
                raise MalformedError("sbom-identifier", WHAT, name[:160], got="a licence inside itself", want="none")
            return told
        self._told[name] = None  # it is being put together
        self._depth += 1
        if self._depth > limits.SBOM_LICENCE_DEPTH:
            raise MalformedError(
                "limits", WHAT, name[:160], got="deeper", want=f"{limits.SBOM_LICENCE_DEPTH} levels of licences"
            )
        told = self._put_together(name)
        self._depth -= 1
        if len(told) > limits.SBOM_TEXT_CHARACTERS:
            raise MalformedError(
                "limits", WHAT, name[:160], got=f"{len(told)} characters", want=f"{limits.SBOM_TEXT_CHARACTERS}"
            )
        self._told[name] = told
        return told

    def _put_together(self, name: str) -> str:
        listed, individual = _LISTED.fullmatch(name), _INDIVIDUAL.fullmatch(name)
        if listed is not None:
            return listed[1]
        if individual is not None:
            return "NONE" if individual[1].upper() == "NONE" else ""
        element = self._elements.get(name)
        return name if element is None else self._read(element, name)

    def _read(self, element: JsonObject, name: str) -> str:
        kind = element["type"]
        if kind in _SETS:
            return self._join(element, name, _SETS[kind])
        if kind == _LATER:
            return f"{self._part(element, 'expandedlicensing_subjectLicense', name)}+"
        if kind == _WITH:
            licence = self._part(element, "expandedlicensing_subjectExtendableLicense", name)
            return f"{licence} WITH {self._part(element, 'expandedlicensing_subjectAddition', name)}"
        said = text_of(element, "simplelicensing_licenseExpression", name) or text_of(element, "name", name) or name
        return "" if said == "NOASSERTION" else said

    def _join(self, element: JsonObject, name: str, word: str) -> str:
        members, length = [], 0
        for member in list_of(element, "expandedlicensing_member", name):
            if not isinstance(member, str):
                raise MalformedError("field-type", WHAT, name[:160], got="a member inside", want="references")
            told = self.tell(member)
            members.append(f"({told})" if " AND " in told or " OR " in told else told)
            length += len(told)
            if length > limits.SBOM_TEXT_CHARACTERS:
                break  # refused as too long by whoever asked
        return word.join(member for member in members if member)

    def _part(self, element: JsonObject, key: str, name: str) -> str:
        return self.tell(text_of(element, key, name)) or "NOASSERTION"
