"""An image's SBOMs against vulnerability data, as a rule's `vulnerabilities` demands (POLICY.md, "Vulnerabilities").

Rules of this module:
- Scanned is every SBOM that the rule vouches for, of every platform: what another tool listed counts too.
- No data, or none that could judge a single package, is MISSING. Data that is too old is FAILED: it proves nothing
  about today. A platform without an SBOM is told by `require` (an SBOM is always required here).
- VEX settles a finding only where the rule takes its author's word; every other statement is told and settles nothing.
  Signed VEX of the image itself counts by its signer; unsigned VEX by the name in it, and only where the image's own
  stream carried it.
- What could not be judged is told with its number; `sealift scan` names each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from bundler.digest import Digest, sha256_of
from bundler.errors import RejectedError
from bundler.evidence.sbom import read_sbom
from bundler.value import dataclass, field, replace
from bundler.verify.completeness import CompleteImage
from bundler.verify.data import age_days
from bundler.verify.opened import ImageEvidence
from bundler.verify.patch_vex import PatchVex
from bundler.verify.policy import Rule
from bundler.verify.policy_vulnerabilities import VulnerabilityRule
from bundler.verify.requirements import SIGNED, UNSIGNED, Met, vouched_sboms
from bundler.verify.result import Check, Outcome
from bundler.verify.vex_word import attached_vex, carried_vex, told_apart, word_of
from bundler.vulnerability.database import Database
from bundler.vulnerability.findings import UNKNOWN_COUNTS_AS, Finding, Note, ScanResult
from bundler.vulnerability.match import Matcher
from bundler.vulnerability.scan import SbomPlace, finding_order, scan_sbom
from bundler.vulnerability.shelf import Owner, ShelfDocument
from bundler.vulnerability.vex import Subject, VexBook, VexSource, settling
from bundler.wording import counted

NAME = "vulnerabilities"
_SHOWN = 5
_CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class VulnerabilityData:
    """What images are held against.

    Attributes:
        matcher: over all OSV data.
        documents: VEX that travels as data.
        notes: what of the data could not be read.
        owner: whose bundle it is.
        modified_at: when data was last changed, by its digest, as inventories bound it.
    """

    matcher: Matcher
    documents: tuple[ShelfDocument, ...]
    notes: tuple[Note, ...]
    owner: Owner
    modified_at: Mapping[Digest, datetime | None] = field(hash=False)

    def age(self, database: Database) -> timedelta:
        """How old data is; what does not tell is older than anything."""
        changed_at = self.changed_at(database)
        return timedelta.max if changed_at is None else self.matcher.at - changed_at

    def changed_at(self, database: Database) -> datetime | None:
        """When data was last changed: as its inventory says, and no later than anything in it says."""
        claimed = self.modified_at.get(database.digest)
        found = database.changed_at
        return None if claimed is None or found is None else min(claimed, found)

    def misdated(self) -> Iterator[Note]:
        """Data of which an inventory says that it is younger than anything in it."""
        for database in self.matcher.databases:
            claimed, found = self.modified_at.get(database.digest), database.changed_at
            if claimed is not None and (found is None or claimed > found):
                told = f"last changed {found.date() if found else 'at no time that can be'}, not {claimed.date()}"
                yield Note("data-misdated", database.name, f"{told}, as its bundle says")

    def told(self, database: Database) -> str:
        """How old, for people."""
        days = age_days(self.changed_at(database), self.matcher.at)
        return "of unknown age" if days is None else f"{days} day{'' if days == 1 else 's'} old"


@dataclass(frozen=True, slots=True)
class Platform:
    """What one platform's SBOMs show."""

    name: str
    scans: tuple[ScanResult, ...]
    notes: tuple[Note, ...]


def check_vulnerabilities(
    data: VulnerabilityData,
    complete: CompleteImage,
    evidence: ImageEvidence,
    rule: Rule,
    met: Met,
    *,
    patch: PatchVex | None = None,
    further: tuple[ImageEvidence, ...] = (),
) -> Iterator[Check]:
    """The checks of one image under a rule with `vulnerabilities`.

    Args:
        data: what it is held against.
        complete, evidence, met: the image; of a patched one, the original.
        rule: the rule.
        patch: of a patched image, what was mended of the original.
        further: more evidence whose VEX counts: the patched image's own.

    Raises:
        EnvError: a damaged index, or a package of the extra `scan` is absent.
    """
    wanted = rule.vulnerabilities
    if wanted is None:
        return
    if not data.matcher.databases:
        which = "OSV data that can be read" if data.notes else "OSV data"
        detail = f"neither this bundle nor this site has {which}; carry some ([[vulnerability-data]])"
        yield Check(NAME, Outcome.MISSING, "vulnerability-data-missing", detail=detail)
        yield from _told(data.notes)
        return
    work = _Work(data, complete, evidence, rule, wanted, met, patch, further)
    yield from work.age()
    book = VexBook(work.vex(), data.matcher.at)
    for platform, digest in complete.platforms if patch is None else patch.platforms:
        yield from work.check(work.scan(platform, digest, book))
    yield from _told((*data.notes, *data.misdated(), *book.notes, *(patch.notes if patch else ()), *work.unread))


def _told(notes: Sequence[Note]) -> Iterator[Check]:
    for note in notes:
        yield Check(NAME, Outcome.NOTE, note.code, note.subject, note.detail)


@dataclass(slots=True)
class _Weighed:
    """What a rule says of one platform's findings.

    Attributes:
        open: those above what it allows, worst first.
        within: how many it lets pass; `unknown` of them have no severity.
        settled: how many would be open without VEX; `whose` word that is.
    """

    open: list[Finding] = field(default_factory=list)
    within: int = 0
    unknown: int = 0
    settled: int = 0
    whose: set[str] = field(default_factory=set)

    @property
    def told(self) -> str:
        """What is to be said beside the number of findings, for people."""
        words = (
            [f"{self.unknown} of them without a severity, which counts as {UNKNOWN_COUNTS_AS}"] if self.unknown else []
        )
        words += [f"{self.settled} settled by VEX of {', '.join(sorted(self.whose))}"] if self.settled else []
        return "; ".join(words)


@dataclass(slots=True)
class _Work:
    """One image under one rule."""

    data: VulnerabilityData
    complete: CompleteImage
    evidence: ImageEvidence
    rule: Rule
    wanted: VulnerabilityRule
    met: Met
    patch: PatchVex | None = None
    further: tuple[ImageEvidence, ...] = ()
    unread: list[Note] = field(default_factory=list)

    @property
    def at(self) -> datetime:
        return self.data.matcher.at

    def age(self) -> Iterator[Check]:
        """Data that is too old, unless younger data is about all that it is about."""
        bound = self.wanted.data_max_age
        databases = self.data.matcher.databases
        old = [item for item in databases if bound is not None and self.data.age(item) > bound]
        young = [set(item.index.contents.ecosystems) for item in databases if item not in old]
        for database in old:
            about = set(database.index.contents.ecosystems)
            if bound is not None and not any(about <= others for others in young):
                detail = f"{self.data.told(database)}; the rule allows {bound.days} days"
                yield Check(NAME, Outcome.FAILED, "vulnerability-data-old", database.name, detail)

    def scan(self, platform: str, digest: Digest, book: VexBook) -> Platform:
        """All SBOMs of one platform that are vouched for, with VEX beside their findings."""
        scans: list[ScanResult] = []
        notes: set[Note] = set()
        own = frozenset({digest, self.complete.image.digest})
        subject = Subject(self.complete.image.name, own if self.patch is None else self.patch.digests(digest))
        vouched = vouched_sboms(self.rule, digest, self.complete, self.evidence, self.met)
        for statement, strength in {item.raw: (item, strength) for item, strength in vouched}.values():
            try:
                sbom = read_sbom(statement)
            except RejectedError as error:
                self.unread.append(Note(error.code, platform, str(error)))
                continue
            manifest = sha256_of(statement.raw)
            place = SbomPlace(self.complete.image.name, digest, platform, manifest, strength)
            scanned = scan_sbom(sbom, place, self.data.matcher)
            applied = book.apply(scanned.findings, subject)
            findings = applied.findings if self.patch is None else self.patch.apply(digest, applied.findings)
            scans.append(replace(scanned, findings=findings))
            notes |= set(applied.notes)
        return Platform(platform, tuple(scans), tuple(sorted(notes)))

    def check(self, platform: Platform) -> Iterator[Check]:
        """The verdict about one platform."""
        for note in platform.notes:
            yield Check(NAME, Outcome.NOTE, note.code, note.subject, note.detail)
        if not platform.scans:
            detail = "no SBOM that this rule vouches for could be scanned"
            yield Check(NAME, Outcome.MISSING, "vulnerability-sbom-missing", platform.name, detail)
            return
        packages, judged = max((scan.packages, scan.judged) for scan in platform.scans)
        if not any(scan.judged for scan in platform.scans):
            detail = f"none of {packages} packages could be judged by {self._by()}"
            yield Check(NAME, Outcome.MISSING, "vulnerability-data-missing", platform.name, detail)
            return
        strength = min((scan.strength for scan in platform.scans), key=_weakness)
        weighed = self._weigh(platform)
        by = f"{self._by()}; {judged} of {packages} packages judged"
        told = "; ".join(part for part in (weighed.told, by) if part)
        if weighed.open:
            detail = f"{_named(weighed.open)}; {told}"
            yield Check(NAME, Outcome.FAILED, "vulnerability-severity", platform.name, detail, strength)
        else:
            detail = f"{counted(weighed.within, 'finding')} within bounds; {told}"
            yield Check(NAME, Outcome.HELD, about=platform.name, detail=detail, strength=strength)

    def _weigh(self, platform: Platform) -> _Weighed:
        """Every finding of a platform once, as the worst of its SBOMs has it."""
        found: dict[tuple[str, str, str], list[Finding]] = {}
        for finding in sorted((one for scan in platform.scans for one in scan.findings), key=finding_order):
            found.setdefault(_identity(finding), []).append(finding)
        until = max([self.at, *(item.until for item in self.data.matcher.databases if item.until)]) + _CLOCKS_DIFFER
        weighed = _Weighed()
        for group in found.values():
            counting = [one for one in group if self.wanted.counts(one, self.at, until)]
            verdicts = [settling(one) for one in group]
            if not counting:
                weighed.within += 1
                weighed.unknown += group[0].severity == "unknown"
            elif None in verdicts:
                weighed.open.append(counting[0])
            else:
                weighed.settled += 1
                weighed.whose |= {f"{one.author!r} ({one.strength})" for one in verdicts if one is not None}
        return weighed

    def vex(self) -> Iterator[VexSource]:
        """VEX of the image itself, then what travels as data."""
        word = word_of(self.rule, self.data.owner)
        for evidence in (self.evidence, *self.further):
            sources, notes = told_apart(attached_vex(word, evidence))
            self.unread += notes
            yield from sources
        yield from carried_vex(word, self.data.documents)

    def _by(self) -> str:
        return ", ".join(f"{item.name} ({self.data.told(item)})" for item in self.data.matcher.databases)


def _identity(finding: Finding) -> tuple[str, str, str]:
    """What makes two findings of two SBOMs one."""
    return finding.record_id, finding.package.name, finding.package.version


def _weakness(strength: str) -> int:
    return (UNSIGNED, "", SIGNED).index(strength if strength in (UNSIGNED, SIGNED) else "")


def _named(findings: Sequence[Finding]) -> str:
    """The first of them by name, and how many more."""
    parts = []
    for finding in findings[:_SHOWN]:
        package = finding.package
        fixed = f", fixed in {finding.fixed_in[0]}" if finding.fixed_in else ", no fix known"
        parts.append(f"{finding.record_id} in {package.name} {package.version} ({finding.severity}{fixed})")
    more = f" and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
    return f"{'; '.join(parts)}{more}"
