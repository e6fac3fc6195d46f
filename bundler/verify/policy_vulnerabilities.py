"""`vulnerabilities` of a rule: how severe, how fresh the data, and whose VEX counts (POLICY.md, "Vulnerabilities").

Rules of this module:
- What is not typed is the strictest: all findings count, fixable or not, however new; nobody's VEX settles anything.
  Only the age of the data has no bound of its own: a site that wants one says it.
- A VEX author is a signer, as everywhere, or a name that an unsigned document gives itself. The latter is as strong as
  the stream that carried it, and only there is it taken.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bundler import limits
from bundler.fields import Fields
from bundler.value import dataclass
from bundler.verify.policy_signer import SIGNER_KEYS, Signer, names_signer, parse_signer
from bundler.verify.policy_text import wrong
from bundler.vulnerability.findings import SEVERITIES, Finding, Severity, severity_rank

_KEYS = ("at_most", "fixable_only", "older_than_days", "data_max_age_days", "vex")
_MAX_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class VulnerabilityRule:
    """What SBOMs may show when they are held against vulnerability data.

    Attributes:
        at_most: the highest severity that passes.
        fixable_only: findings without a version that mends them pass.
        older_than: findings that were published less long ago pass; None: none of them does.
        data_max_age: how long ago data may have been changed last; None: any time.
        vex_signers: whose signed VEX settles findings.
        vex_authors: names in unsigned VEX that settle findings, where the image's own stream carried it.
    """

    at_most: Severity
    fixable_only: bool = False
    older_than: timedelta | None = None
    data_max_age: timedelta | None = None
    vex_signers: tuple[Signer, ...] = ()
    vex_authors: tuple[str, ...] = ()

    def counts(self, finding: Finding, at: datetime, until: datetime) -> bool:
        """Whether a finding that nothing settles rejects the image.

        Args:
            finding: one.
            at: the time of the verdict.
            until: publications after it cannot be; such a date counts as none.
        """
        if severity_rank(finding.severity) <= severity_rank(self.at_most):
            return False
        if self.fixable_only and not finding.fixable:
            return False
        published = finding.published_at
        if self.older_than is None or published is None or published > until:
            return True
        return at - published >= self.older_than

    def __str__(self) -> str:
        parts = [f"at most {self.at_most}"]
        if self.fixable_only:
            parts.append("where a fix is known")
        if self.older_than is not None:
            parts.append(f"where published {_days(self.older_than)} ago or earlier")
        if self.data_max_age is not None:
            parts.append(f"by data no older than {_days(self.data_max_age)}")
        whose = [*map(str, self.vex_signers), *(f"{author!r} (unsigned)" for author in self.vex_authors)]
        return ", ".join([*parts, *([f"VEX of {', '.join(whose)}"] if whose else [])])


def parse_vulnerability_rule(fields: Fields) -> VulnerabilityRule:
    """Read the table `vulnerabilities` of a rule.

    Raises:
        UsageError: a severity that is none, or a VEX author that is none or twice (code ``policy``).
        MalformedError: an unknown key, or a value of another type.
    """
    fields.only(*_KEYS)
    word = fields.text("at_most")
    severity = next((known for known in SEVERITIES if known == word), None)
    if severity is None:
        raise wrong(f"{fields.where}.at_most", repr(word[:40]), " or ".join(SEVERITIES))
    signers, authors = _parse_vex(fields)
    return VulnerabilityRule(
        severity,
        "fixable_only" in fields and fields.boolean("fixable_only"),
        _parse_days(fields, "older_than_days"),
        _parse_days(fields, "data_max_age_days"),
        signers,
        authors,
    )


def _parse_vex(fields: Fields) -> tuple[tuple[Signer, ...], tuple[str, ...]]:
    signers: list[Signer] = []
    authors: list[str] = []
    if "vex" not in fields:
        return (), ()
    for item in fields.each("vex", maximum=limits.VEX_AUTHORS):
        item.only(*SIGNER_KEYS, "unsigned_author")
        if "unsigned_author" not in item:
            signers.append(parse_signer(item))
        elif names_signer(item) or not item.text("unsigned_author").strip():
            raise wrong(item.where, "an author beside a signer, or an empty one", "one of the two")
        else:
            authors.append(item.text("unsigned_author"))
    if not signers and not authors:
        raise wrong(f"{fields.where}.vex", "empty", "at least one, or no such key")
    if len(set(signers)) != len(signers) or len(set(authors)) != len(authors):
        raise wrong(f"{fields.where}.vex", "one author twice", "each once")
    return tuple(signers), tuple(authors)


def _parse_days(fields: Fields, key: str) -> timedelta | None:
    return timedelta(days=fields.integer(key, minimum=1, maximum=_MAX_DAYS)) if key in fields else None


def _days(span: timedelta) -> str:
    return f"{span.days} day{'' if span.days == 1 else 's'}"
