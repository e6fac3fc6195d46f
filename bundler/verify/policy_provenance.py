"""What provenance has to say: who built the image, from which source, at which ref, branch or tag.

Rules of this module:
- Compared is what the statement itself says (evidence/provenance.py), after something vouched for it: a signed
  attestation that met a demand, or an index signature that covers it.
- What is demanded and not said does not hold.
- `source_branch`, `source_tag` and `source_versioned_tag` mean what slsa-verifier's options of these names mean, and so
  does a `source` that is written without its scheme: it is `https`. Everything else is compared as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bundler.errors import RejectedError
from bundler.fields import Fields
from bundler.value import dataclass
from bundler.verify.policy_text import (
    REGEXP,
    TextRule,
    VersionRule,
    has_text_rule,
    parse_text_rule,
    parse_version_rule,
    wrong,
)

if TYPE_CHECKING:
    from bundler.evidence.provenance import Provenance

_KEYS = ("builder", "source", "source_ref", "source_branch", "source_tag")
_VERSIONED = "source_versioned_tag"
_WITHOUT_SCHEME = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?/[^:@#]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProvenanceRule:
    """Each is None where the policy does not ask."""

    builder: TextRule | None
    source: TextRule | None
    source_ref: TextRule | None
    source_branch: TextRule | None
    source_tag: TextRule | None
    source_versioned_tag: VersionRule | None

    def check(self, provenance: Provenance) -> None:
        """Compare what provenance says.

        Raises:
            RejectedError: code ``provenance-builder`` or ``provenance-source``.
        """
        for name, rule in self._rules():
            found: str | None = getattr(provenance, "source_tag" if name == _VERSIONED else name)
            if found is None or not rule.holds(found):
                code = "provenance-builder" if name == "builder" else "provenance-source"
                got = "not said" if found is None else found[:300]
                raise RejectedError(code, "provenance", name, got=got, want=str(rule))

    def __str__(self) -> str:
        return ", ".join(f"{name} {rule}" for name, rule in self._rules())

    def _rules(self) -> Iterator[tuple[str, TextRule | VersionRule]]:
        """What is demanded, in the order of the policy's words."""
        for name in (*_KEYS, _VERSIONED):
            rule: TextRule | VersionRule | None = getattr(self, name)
            if rule is not None:
                yield name, rule


def parse_provenance_rule(fields: Fields) -> ProvenanceRule:
    """Read the table `provenance` of a rule.

    Raises:
        UsageError: it demands nothing, or a branch or tag by its whole ref (code ``policy``).
        MalformedError: an unknown key.
    """
    fields.only(*_KEYS, *(f"{key}{REGEXP}" for key in _KEYS), _VERSIONED)
    rules = [parse_text_rule(fields, key) if has_text_rule(fields, key) else None for key in _KEYS]
    builder, source, ref, branch, tag = rules
    for key, rule in (("source_branch", branch), ("source_tag", tag)):
        if rule is not None and (rule.exact or "").startswith("refs/"):
            raise wrong(f"{fields.where}.{key}", rule.exact or "", "its short name, or `source_ref`")
    versioned = parse_version_rule(fields, _VERSIONED)
    if versioned is None and not any(rules):
        raise wrong(fields.where, "it demands nothing", "`builder`, `source`, `source_branch` or the like")
    return ProvenanceRule(builder, _with_scheme(source), ref, branch, tag, versioned)


def _with_scheme(source: TextRule | None) -> TextRule | None:
    """`github.com/team/app` is `https://github.com/team/app`."""
    if source is None or source.exact is None or not _WITHOUT_SCHEME.fullmatch(source.exact):
        return source
    return TextRule(exact=f"https://{source.exact}")
