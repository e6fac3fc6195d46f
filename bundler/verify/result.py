"""What a verification found: checks, facts about evidence, verdicts. Values only; report/ gives them to readers.

Rules of this module:
- A check has one outcome. MISSING is never FAILED, and neither is silence: what was not checked is said (`unchecked`).
- A verdict is derived, never set: an image is verified only if at least one demand held and no check failed; a bundle
  only if every image is, and there is at least one, or vulnerability data. Empty is not success.
- Nothing here reads a clock, a disk or a terminal, so equal inputs give equal reports (THREATS A5).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from bundler.digest import Digest
from bundler.errors import SealiftError
from bundler.moment import format_moment
from bundler.value import dataclass, field

if TYPE_CHECKING:  # what it holds; who only asks for the head does without what reads evidence
    from bundler.verify.data_facts import DataFact
    from bundler.verify.head_facts import BundleFacts, TrustFacts
    from bundler.verify.policy import RuleTrial
    from bundler.verify.scan_facts import CarriedScan


class Outcome(StrEnum):
    """How one check ended."""

    HELD = "held"
    FAILED = "failed"  # evidence is there and wrong
    MISSING = "missing"  # evidence is not there
    UNTRUSTED = "untrusted"  # evidence is sound, but not by whom the policy names
    DAMAGED = "damaged"  # bytes are not what was signed
    OMITTED = "omitted"  # left out on purpose, and listed
    POLICY = "policy"  # no rule, or a rule that cannot be applied
    NOTE = "note"  # a fact worth saying that decides nothing
    UNCHECKED = "unchecked"  # carried, listed, not judged


REFUSALS = frozenset(
    {Outcome.FAILED, Outcome.MISSING, Outcome.UNTRUSTED, Outcome.DAMAGED, Outcome.OMITTED, Outcome.POLICY}
)


class Verdict(StrEnum):
    """What became of an image, or of the bundle."""

    VERIFIED = "verified"
    REJECTED = "rejected"
    DAMAGED = "damaged"
    UNTRUSTED = "untrusted"  # the head: pin, TUF, state
    UNSUPPORTED = "unsupported"
    FAILED = "failed"  # environment
    INTACT = "intact-not-verified"


VERDICT_OF_EXIT = {
    1: Verdict.REJECTED,
    2: Verdict.FAILED,
    3: Verdict.DAMAGED,
    4: Verdict.UNTRUSTED,
    5: Verdict.UNSUPPORTED,
    6: Verdict.FAILED,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict about one thing.

    Attributes:
        name: what was checked, e.g. `signature`, `sbom`, `completeness`.
        outcome: how it ended.
        code: reason code; empty when it held.
        about: platform or digest that it speaks of; empty for the whole image.
        detail: one sentence for people.
        strength: how strong what held is: `signed`, `covered by the image signature`, `unsigned`, …
    """

    name: str
    outcome: Outcome
    code: str = ""
    about: str = ""
    detail: str = ""
    strength: str = ""

    @property
    def refuses(self) -> bool:
        """Whether this outcome rejects the image."""
        return self.outcome in REFUSALS


@dataclass(frozen=True, slots=True)
class EvidenceFact:
    """One signature, attestation or statement: what it is, and how strong.

    `strength` is one of the words of strength.py, `covered by the image signature`, `unsigned, no covering signature`,
    `not verified`.
    """

    kind: str
    subject: Digest
    digest: Digest
    platform: str
    strength: str
    predicate_type: str = ""
    signer: str = ""
    issuer: str = ""
    log: str = ""
    log_index: int | None = None
    signed_at: datetime | None = None
    claimed_reference: str = ""
    code: str = ""
    detail: str = ""
    demanded: bool = False


def evidence_document(fact: EvidenceFact) -> dict[str, Any]:
    """One piece of evidence as plain values, in the order of REPORT.md."""
    return {
        "kind": fact.kind,
        "subject": str(fact.subject),
        "platform": fact.platform,
        "digest": str(fact.digest),
        "predicate_type": fact.predicate_type,
        "strength": fact.strength,
        "demanded": fact.demanded,
        "signer": fact.signer,
        "issuer": fact.issuer,
        "log": fact.log,
        "log_index": fact.log_index,
        "signed_at": None if fact.signed_at is None else format_moment(fact.signed_at.replace(microsecond=0)),
        "claimed_reference": fact.claimed_reference,
        "reason": fact.code,
        "detail": fact.detail,
    }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a rule decided: every rule that was tried on the image, in order, and all that the last one demands.

    `demands` is empty when no rule applies.
    """

    trials: tuple[RuleTrial, ...]
    demands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageResult:
    """All checks of one image.

    Attributes:
        digest_origin: `source`, or `synthesised`: the exporter made the manifest, and no registry knows its digest.
        scans: scan reports that came with it; they decide nothing.
    """

    name: str
    digest: Digest
    media_type: str
    platforms: tuple[tuple[str, Digest], ...]
    omitted: tuple[tuple[str, Digest], ...]
    rule: str
    checks: tuple[Check, ...]
    evidence: tuple[EvidenceFact, ...]
    searches: tuple[tuple[Digest, str, str], ...]
    size_bytes: int
    explanation: Explanation | None = None
    digest_origin: str = "source"
    scans: tuple[CarriedScan, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Derived from the checks; an image about which nothing held is not verified."""
        outcomes = {check.outcome for check in self.checks}
        if Outcome.DAMAGED in outcomes:
            return Verdict.DAMAGED
        if outcomes & REFUSALS or Outcome.HELD not in outcomes:
            return Verdict.REJECTED
        return Verdict.VERIFIED

    @property
    def reason(self) -> str:
        """Code of the first check that refuses; empty when verified."""
        ordered = sorted(self.checks, key=lambda check: check.outcome is not Outcome.DAMAGED)
        found = next((check.code for check in ordered if check.refuses), "")
        return found or ("" if self.verdict is Verdict.VERIFIED else "nothing-checked")


@dataclass(frozen=True, slots=True)
class DamageFact:
    """A member whose bytes are not what the inventory says."""

    member: str
    digest: Digest | None
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class TimeFact:
    """The time that everything was judged at, and where it came from."""

    at: datetime
    source: str
    reason: str = ""


GrowthStatus = Literal["first", "proved", "unchanged", "older", "unproved"]


@dataclass(frozen=True, slots=True)
class LogGrowthFact:
    """What became of one tree of a log since this site saw it last.

    Attributes:
        log: the log's address.
        origin: which of its trees, in the log's own words.
        status: `first` here; `proved` to have only grown; `unchanged`; `older` than what the site has seen; `unproved`.
        asked: whether the exporter asked the log how it grew.
        from_size: entries of the tree when the site saw it last; None for `first`.
        to_size: entries that the bundle shows.
        unproved: how many checkpoints of this bundle are not proved to lie on that tree.
        fetched_at: when the log was asked.
    """

    log: str
    log_id: bytes
    origin: str
    status: GrowthStatus
    asked: bool
    from_size: int | None
    to_size: int
    unproved: int = 0
    fetched_at: datetime | None = None

    @property
    def told(self) -> str:
        """One phrase for people."""
        beside = f"; {self.unproved} of its checkpoints here not proved to lie on it" if self.unproved else ""
        return f"{self._told}{beside}"

    @property
    def _told(self) -> str:
        start, end = self.from_size, self.to_size
        match self.status:
            case "first":
                return f"first seen at this site, {end} entries"
            case "proved":
                return f"grew from {start} to {end} entries, proved"
            case "unchanged":
                return f"unchanged at {end} entries, as this site knows it"
            case "older":
                return f"{end} entries, older than the {start} that this site has seen"
        if self.asked:
            return f"{end} entries after {start} entries; the proof carried does not start there"
        newer = f"{end} entries" if start is not None and end > start else "nothing"
        return f"{newer} after {start} entries; no proof of growth carried"


@dataclass(slots=True)
class Report:
    """All verdicts of one run, filled stage by stage; `failure` is the error of the first stage that ended the run."""

    file: str
    tool: str
    time: TimeFact | None = None
    bundle: BundleFacts | None = None
    trust: TrustFacts | None = None
    policy_digest: Digest | None = None
    integrity_only: bool = False
    members: int = 0
    bytes_read: int = 0
    damages: tuple[DamageFact, ...] = ()
    images: tuple[ImageResult, ...] = ()
    checks: tuple[Check, ...] = ()
    logs: tuple[LogGrowthFact, ...] = ()
    data: tuple[DataFact, ...] = ()
    failure: SealiftError | None = None
    weakened: tuple[str, ...] = field(default_factory=tuple)

    @property
    def exit_code(self) -> int:
        """DESIGN section 5: the first failing stage decides; damage beats claims."""
        if self.failure is not None:
            return self.failure.exit_code
        if self.damages:
            return 3
        if self.integrity_only:
            return 0
        refused = any(check.refuses for check in self.checks)
        proved = self.trust is not None and self.trust.pin is not None
        something = bool(self.images or self.data)
        held = proved and something and all(image.verdict is Verdict.VERIFIED for image in self.images)
        return 0 if held and not refused else 1

    @property
    def verdict(self) -> Verdict:
        """One word for the whole bundle."""
        if self.exit_code == 0:
            return Verdict.INTACT if self.integrity_only else Verdict.VERIFIED
        return VERDICT_OF_EXIT.get(self.exit_code, Verdict.FAILED)

    @property
    def reason(self) -> str:
        """The reason code that goes with the exit code; empty on success."""
        if self.failure is not None:
            return self.failure.code
        if self.damages:
            return self.damages[0].code
        if self.exit_code == 0:
            return ""
        codes = [check.code for check in self.checks if check.refuses]
        codes += [image.reason for image in self.images if image.reason]
        return codes[0] if codes else "nothing-checked"
