"""`require` and `provenance` of a rule, for each platform: what vouches for a statement, and what it has to say.

Rules of this module:
- A requirement is met by a signed attestation that met an attestation demand of the rule, or by a statement in an index
  that an image signature covers which met a signature demand on that index. Unsigned statements count only where the
  rule says `allow_unsigned`, and the check says so.
- With a `provenance` table, only provenance that says so meets `provenance`; it is read from inside the statement that
  was vouched for, and from nowhere else. Where a demand wants several signers, as many of them have to say so: one
  signer's word about builder and source is not that of the others.
- Nothing found is MISSING; found and wrong is FAILED; found, sound, and vouched for by nobody named is UNTRUSTED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.evidence.kind import provenance_version, sbom_format
from bundler.evidence.provenance import read_provenance
from bundler.evidence.statement import Statement
from bundler.value import dataclass, field
from bundler.verify.completeness import CompleteImage
from bundler.verify.meeting import different
from bundler.verify.opened import FoundStatement, ImageEvidence
from bundler.verify.policy import Rule
from bundler.verify.result import Check, Outcome
from bundler.verify.signatures import VerifiedSignature

UNSIGNED = "unsigned, no covering signature"
COVERED = "covered by the image signature"
SIGNED = "signed"
_SBOM_FORMATS = {"spdx": "SPDX", "cyclonedx": "CycloneDX"}


@dataclass(frozen=True, slots=True)
class Attested:
    """Attestations of one demand about one subject, which together meet it.

    Attributes:
        threshold: so many different signers have to say what is asked for.
        signed: what each signer of the demand has signed.
    """

    subject: Digest
    predicate_type: str
    threshold: int
    signed: tuple[tuple[VerifiedSignature, ...], ...]

    def read(self, read: Callable[[Statement], str]) -> str:
        """What the statements say, as `read` has it: in the words of the first of enough different signers.

        Raises:
            RejectedError: of `read`, for the first statement that it refuses; too few are left.
        """
        said: dict[int, str] = {}
        refusals: list[RejectedError] = []
        for verified in (each for by_one in self.signed for each in by_one):
            if verified.statement is None or id(verified) in said:
                continue
            try:
                said[id(verified)] = read(verified.statement)
            except RejectedError as error:
                refusals.append(error)
        agreeing = different([[each for each in by_one if id(each) in said] for by_one in self.signed])
        if len(agreeing) < self.threshold:
            raise refusals[0]
        return said[id(agreeing[0])]


@dataclass(slots=True)
class Met:
    """What the demands of a rule established, for `require` to build on.

    Attributes:
        signed_indexes: subjects whose image signature met a demand.
        attested: attestations that met a demand.
    """

    signed_indexes: set[Digest] = field(default_factory=set)
    attested: list[Attested] = field(default_factory=list)


def is_requirement(requirement: str, predicate_type: str) -> bool:
    """Whether a statement of this predicate type is what `require` names."""
    if requirement == "provenance":
        return provenance_version(predicate_type) is not None
    found = sbom_format(predicate_type)
    return found is not None and _SBOM_FORMATS.get(requirement, found) == found


def check_requirement(
    requirement: str, complete: CompleteImage, evidence: ImageEvidence, rule: Rule, met: Met
) -> Iterable[Check]:
    """One check for each platform of the bundle."""
    for platform, digest in complete.platforms:
        about = {digest, *complete.indexes_over[digest]}
        yield _Place(requirement, rule, platform, digest).check(about, evidence, met)
    if not complete.platforms:
        yield _Place(requirement, rule, "", complete.image.digest).missing("the image has no platform")


def vouched_sboms(
    rule: Rule, digest: Digest, complete: CompleteImage, evidence: ImageEvidence, met: Met
) -> Iterator[tuple[Statement, str]]:
    """Every SBOM statement about one platform that something vouches for, with its strength.

    Unlike a check, which is content with the first that holds, this gives all of them.
    """
    about = {digest, *complete.indexes_over.get(digest, ())}
    for attested in met.attested:
        if attested.subject in about and is_requirement("sbom", attested.predicate_type):
            for verified in (each for by_one in attested.signed for each in by_one):
                if verified.statement is not None:
                    yield verified.statement, SIGNED
    for found in evidence.statements:
        if found.subject != digest or found.statement is None or not is_requirement("sbom", found.predicate_type):
            continue
        covered = bool(found.indexes & met.signed_indexes)
        if covered or rule.allow_unsigned:
            yield found.statement.statement, COVERED if covered else UNSIGNED


@dataclass(frozen=True, slots=True)
class _Place:
    """One requirement at one platform."""

    requirement: str
    rule: Rule
    platform: str
    digest: Digest

    def check(self, about: set[Digest], evidence: ImageEvidence, met: Met) -> Check:
        """Try what is signed first, then what is covered, then what nobody signed."""
        failures: list[RejectedError] = []
        statements = [found for found in evidence.statements if found.subject == self.digest]
        for predicate_type, read, strength in self._vouched(about, statements, met):
            try:
                said = read()
            except RejectedError as error:
                failures.append(error)
                continue
            detail = f"{predicate_type}{said}"
            return Check(self.requirement, Outcome.HELD, about=self.platform, detail=detail, strength=strength)
        if failures:
            return Check(self.requirement, Outcome.FAILED, failures[0].code, self.platform, str(failures[0]))
        return self._nothing(statements, evidence)

    @property
    def family(self) -> str:
        """`sbom` or `provenance`: how reason codes begin."""
        return "provenance" if self.requirement == "provenance" else "sbom"

    def missing(self, detail: str) -> Check:
        """Nothing is there."""
        return Check(self.requirement, Outcome.MISSING, f"{self.family}-missing", self.platform, detail)

    def _vouched(
        self, about: set[Digest], statements: list[FoundStatement], met: Met
    ) -> Iterator[tuple[str, Callable[[], str], str]]:
        """Predicate type, what reads it, and the strength of what vouches for it."""
        for attested in sorted(met.attested, key=lambda item: item.predicate_type):
            if attested.subject in about and is_requirement(self.requirement, attested.predicate_type):
                yield attested.predicate_type, partial(attested.read, self._read), SIGNED
        for covered in (True, False):
            for found in statements:
                if found.statement is None or not is_requirement(self.requirement, found.predicate_type):
                    continue
                if bool(found.indexes & met.signed_indexes) is covered and (covered or self.rule.allow_unsigned):
                    strength = COVERED if covered else UNSIGNED
                    yield found.predicate_type, partial(self._read, found.statement.statement), strength

    def _read(self, statement: Statement) -> str:
        """What the statement says, where the rule wants to know; empty where it does not."""
        if self.requirement != "provenance" or self.rule.provenance is None:
            return ""
        provenance = read_provenance(statement)
        self.rule.provenance.check(provenance)
        # Of a build at a tag, the branch is told too: nothing else shows that it was demanded and held.
        branch = provenance.source_branch if provenance.source_tag else None
        said = (provenance.builder, provenance.source, provenance.source_ref, branch)
        named = zip(("builder", "source", "ref", "branch"), said, strict=True)
        return "".join(f", {name} {value}" for name, value in named if value is not None)

    def _nothing(self, statements: list[FoundStatement], evidence: ImageEvidence) -> Check:
        unsigned = [found for found in statements if is_requirement(self.requirement, found.predicate_type)]
        if unsigned:
            kind = unsigned[0].predicate_type
            return Check(self.requirement, Outcome.FAILED, f"{self.family}-unsigned", self.platform, kind, UNSIGNED)
        broken = [found.failure for found in statements if found.failure is not None]
        if broken:
            return Check(self.requirement, Outcome.FAILED, broken[0].code, self.platform, str(broken[0]))
        claimed = [appraisal.claimed_type for appraisal in evidence.appraisals]
        unproved = [predicate_type for predicate_type in claimed if is_requirement(self.requirement, predicate_type)]
        if unproved:
            detail = f"an attestation ({unproved[0]}) is there, but met no attestation demand of the rule"
            return Check(self.requirement, Outcome.UNTRUSTED, f"{self.family}-untrusted", self.platform, detail)
        return self.missing(f"none about {self.digest}")
