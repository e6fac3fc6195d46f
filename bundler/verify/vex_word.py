"""Whose word about vulnerabilities is taken, and all VEX of one image with that answer: the same for every command.

Rules of this module:
- A word is taken only where the rule for this very image names whose it is: a signer, whose signature is verified here
  and now; or the name that an unsigned document gives itself, where the image's own stream carried that document.
- Without a rule nobody's word is taken. Every other statement is shown and settles nothing.
- A document that cannot be read, or whose signature does not hold, is told (`vex-unread`), never left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bundler import limits
from bundler.errors import RejectedError, UnsupportedError
from bundler.evidence.kind import VEX_TYPES
from bundler.evidence.statement import Statement
from bundler.strict_json import parse_foreign
from bundler.value import dataclass
from bundler.verify.appraisal import ITEM_FAILURES, Appraisal
from bundler.verify.opened import ImageEvidence
from bundler.verify.policy import Demand, Rule
from bundler.verify.policy_signer import Signer
from bundler.verify.requirements import SIGNED, UNSIGNED
from bundler.verify.result import EvidenceFact
from bundler.verify.signatures import VerifiedSignature
from bundler.vulnerability.findings import Note
from bundler.vulnerability.openvex import read_openvex
from bundler.vulnerability.shelf import Owner, ShelfDocument
from bundler.vulnerability.vex import VexDocument, VexSource


@dataclass(frozen=True, slots=True)
class VexWord:
    """Whose word is taken about one image.

    Attributes:
        owner: the stream that carried the image.
        signers: whose signed VEX is taken.
        authors: names in unsigned VEX that are taken, where `owner` carried it.
    """

    owner: Owner
    signers: tuple[Signer, ...] = ()
    authors: tuple[str, ...] = ()

    def takes(self, author: str, owner: Owner) -> bool:
        """Whether the word of an unsigned document is taken.

        Args:
            author: as the document names itself.
            owner: the stream that carried it.
        """
        return owner == self.owner and author in self.authors

    def judge(self, appraisal: Appraisal) -> tuple[VerifiedSignature, bool]:
        """A signed document as it was verified, and whether its signer's word is taken.

        Raises:
            RejectedError, DamagedError, UnsupportedError: its signature does not hold.
        """
        for signer in self.signers:
            try:
                return appraisal.meet(Demand((signer,), appraisal.claimed_type)), True
            except ITEM_FAILURES:
                continue
        return appraisal.judge_alone(), False

    @property
    def shown_only(self) -> VexWord:
        """Nobody's word, about the same image."""
        return VexWord(self.owner)


def word_of(rule: Rule | None, owner: Owner) -> VexWord:
    """Whose word a rule takes; nobody's without one.

    Args:
        rule: the one that applies to the image.
        owner: the stream that carried the image.
    """
    wanted = None if rule is None else rule.vulnerabilities
    return VexWord(owner) if wanted is None else VexWord(owner, wanted.vex_signers, wanted.vex_authors)


def attached_vex(
    word: VexWord, evidence: ImageEvidence, facts: Sequence[EvidenceFact] = ()
) -> Iterator[VexSource | Note]:
    """VEX of an image itself: signed attestations, then unsigned statements. What cannot be read is a note.

    Args:
        word: whose word is taken.
        evidence: the image's.
        facts: those of `evidence_facts`, whose strengths say more than signed or not; may be left out.
    """
    for place, appraisal in enumerate(evidence.appraisals):
        if appraisal.claimed_type in VEX_TYPES:
            yield from _attested(word, appraisal, facts[place].strength if facts else SIGNED)
    start = len(evidence.appraisals) + len(evidence.unread)
    for place, found in enumerate(evidence.statements, start):
        if found.statement is not None and found.predicate_type in VEX_TYPES:
            said = _read(found.statement.statement)
            if isinstance(said, VexDocument):
                strength = facts[place].strength if facts else UNSIGNED
                accepted = word.takes(said.author, word.owner)
                yield VexSource(said, f"statement {found.manifest}", strength, accepted)
            else:
                yield said


def told_apart(said: Iterable[VexSource | Note]) -> tuple[list[VexSource], list[Note]]:
    """The documents that were heard, and what is to be said about those that could not be, both in their order."""
    sources: list[VexSource] = []
    notes: list[Note] = []
    for each in said:
        if isinstance(each, Note):
            notes.append(each)
        else:
            sources.append(each)
    return sources, notes


def carried_vex(word: VexWord, documents: Iterable[ShelfDocument]) -> Iterator[VexSource]:
    """VEX that travelled as data."""
    for item in documents:
        strength = f"unsigned, as stream {item.owner.stream} had it"
        yield VexSource(item.document, item.place, strength, word.takes(item.document.author, item.owner))


def _attested(word: VexWord, appraisal: Appraisal, strength: str) -> Iterator[VexSource | Note]:
    place = f"attestation {appraisal.evidence.digest}"
    try:
        verified, accepted = word.judge(appraisal)
    except ITEM_FAILURES as error:
        yield Note("vex-unread", place, f"[{error.code}] {error}")
        return
    said = _read(verified.statement) if verified.statement else None
    if isinstance(said, VexDocument):
        yield VexSource(said, place, strength, accepted, signer=str(verified.signer))
    elif said is not None:
        yield said


def _read(statement: Statement) -> VexDocument | Note:
    try:
        whole = parse_foreign(statement.raw, "statement", max_bytes=limits.EVIDENCE_BLOB_BYTES)
        return read_openvex(whole.get("predicate"))
    except (RejectedError, UnsupportedError) as error:
        return Note("vex-unread", statement.predicate_type, f"[{error.code}] {error}")
