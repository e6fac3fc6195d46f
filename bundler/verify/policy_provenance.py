"""What provenance has to say: who built the image, from which source, at which ref.

Rules of this module:
- Compared is what the statement itself says (evidence/provenance.py), after something vouched for it: a signed
  attestation that met a demand, or an index signature that covers it.
- What is demanded and not said does not hold.
"""

from __future__ import annotations

from bundler.errors import RejectedError
from bundler.evidence.provenance import Provenance
from bundler.fields import Fields
from bundler.value import dataclass
from bundler.verify.policy_text import REGEXP, TextRule, has_text_rule, parse_text_rule, wrong

_KEYS = ("builder", "source", "source_ref")


@dataclass(frozen=True, slots=True)
class ProvenanceRule:
    """Each is None where the policy does not ask."""

    builder: TextRule | None
    source: TextRule | None
    source_ref: TextRule | None

    def check(self, provenance: Provenance) -> None:
        """Compare what provenance says.

        Raises:
            RejectedError: code ``provenance-builder`` or ``provenance-source``.
        """
        self._check("provenance-builder", "builder", self.builder, provenance.builder)
        self._check("provenance-source", "source", self.source, provenance.source)
        self._check("provenance-source", "source_ref", self.source_ref, provenance.source_ref)

    def __str__(self) -> str:
        rules = zip(_KEYS, (self.builder, self.source, self.source_ref), strict=True)
        return ", ".join(f"{name} {rule}" for name, rule in rules if rule is not None)

    @staticmethod
    def _check(code: str, what: str, rule: TextRule | None, found: str | None) -> None:
        if rule is not None and (found is None or not rule.holds(found)):
            got = "not said" if found is None else found[:300]
            raise RejectedError(code, "provenance", what, got=got, want=str(rule))


def parse_provenance_rule(fields: Fields) -> ProvenanceRule:
    """Read the table `provenance` of a rule.

    Raises:
        UsageError: it demands nothing (code ``policy``).
        MalformedError: an unknown key.
    """
    fields.only(*_KEYS, *(f"{key}{REGEXP}" for key in _KEYS))
    builder, source, source_ref = (
        parse_text_rule(fields, key) if has_text_rule(fields, key) else None for key in _KEYS
    )
    if builder is None and source is None and source_ref is None:
        raise wrong(fields.where, "it demands nothing", "`builder`, `source` or `source_ref`")
    return ProvenanceRule(builder, source, source_ref)
