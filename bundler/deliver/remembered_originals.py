"""Patched images as a site remembers them: judged by the SBOMs of their originals, which came in the same delivery.

Rules of this module:
- That a derivation was proved is written in the list, on the day of acceptance: only such statements are kept. They are
  hashed again, read again, and held against the platforms that the list names.
- Everything else is what originals.py says of bundles: an own SBOM goes first, every result names the original, and
  Copa's word settles what the policy of today lets it settle, for originals that its rule names.
- The scanner's reports are not kept: what went by the patch is told by the bundle alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from bundler.deliver.originals import copa_authors, lost_platforms, of_original
from bundler.deliver.vex_beside import rule_for
from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.evidence.derivation import PREDICATE_TYPE, VEX_TYPE, Derivation, PatchedPlatform
from bundler.value import dataclass, replace
from bundler.verify.derivation import choose_original
from bundler.verify.patch_vex import PatchVex
from bundler.verify.patterns import ImagePattern
from bundler.verify.policy import Policy
from bundler.vulnerability.findings import Note, Original, ScanResult
from bundler.vulnerability.recollection import owner_of, recall_derivation, recall_document
from bundler.vulnerability.remembered import SBOM, VEX, Paper, RememberedDelivery, RememberedImage
from bundler.vulnerability.scan import SbomPlace
from trust_root.site import Site


@dataclass(frozen=True, slots=True)
class RememberedOrigin:
    """Where a remembered image comes from.

    Attributes:
        original: in the same delivery.
        paper: the statement.
        derived: whether the policy of today has a rule for the image that names its original.
    """

    original: RememberedImage
    paper: Paper
    patch: PatchVex
    derived: bool

    def places(self, image: RememberedImage, missing: frozenset[Digest]) -> Iterator[tuple[Paper, SbomPlace, Note]]:
        """SBOMs of the original for platforms without one of their own, with what is to be said of each."""
        for each in self.patch.derivation.platforms:
            for paper in self.original.papers if each.patched in missing else ():
                if paper.kind == SBOM and (paper.subject == each.original or not paper.platform):
                    yield paper, *self._place(image, each, paper)

    def _place(self, image: RememberedImage, each: PatchedPlatform, paper: Paper) -> tuple[SbomPlace, Note]:
        original = Original(self.original.name, self.original.digest, paper.subject, self.paper.strength)
        borrowed = None if each.patched == each.original else original
        place = SbomPlace(image.name, each.patched, each.platform, paper.manifest, paper.strength, borrowed)
        return place, of_original(each, original)

    def finish(self, result: ScanResult, said: Note) -> ScanResult:
        """A result with statements beside its findings, and Copa's word too, and all notes about it."""
        made = self._platform(result.digest)
        told = [said, *(note for note in self.patch.notes if note.subject == made.platform)]
        findings = self.patch.apply(made.original, result.findings)
        return replace(result, findings=findings, notes=tuple(sorted({*result.notes, *told})))

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the patched image lost, as was proved when it was accepted."""
        return lost_platforms(self.patch.derivation)

    def digests(self, patched: Digest) -> frozenset[Digest]:
        """Everything that one of the platforms is known by."""
        return self.patch.digests(self._platform(patched).original)

    def _platform(self, patched: Digest) -> PatchedPlatform:
        return next(each for each in self.patch.derivation.platforms if each.patched == patched)


def is_about_patch(paper: Paper) -> bool:
    """Whether a paper among VEX is a derivation statement or Copa's document, which is read here alone."""
    return paper.kind == VEX and paper.declared in (PREDICATE_TYPE, VEX_TYPE)


def recall_origin(
    site: Site, item: RememberedDelivery, image: RememberedImage, policy: Policy | None, at: datetime
) -> RememberedOrigin | Note | None:
    """The original of a remembered image; a note where what is kept of it cannot be used; None where there is none.

    Raises:
        TrustError: ``state-damaged``. EnvError: the disk.
    """
    paper = next((paper for paper in image.papers if is_about_patch(paper) and paper.declared == PREDICATE_TYPE), None)
    if paper is None:
        return None
    owner = owner_of(site, item.pin, item.stream)
    rule = rule_for(policy, image.name, image.digest, owner)
    wanted = () if rule is None else rule.derived_from
    try:
        derivation = recall_derivation(site, paper)
        original = _original(item, image, derivation, wanted)
    except RejectedError as error:
        return Note(error.code, f"derivation of {image.name}", str(error))
    patch = PatchVex(
        _with_kept_vex(derivation, image), owner.stream, lambda digest: recall_document(site, digest),
        copa_authors(rule), at,
    )  # fmt: skip
    return RememberedOrigin(original, paper, patch, bool(wanted))


def _original(
    item: RememberedDelivery, image: RememberedImage, derivation: Derivation, wanted: Sequence[ImagePattern]
) -> RememberedImage:
    """The original, of a name that the rule of today allows it to have.

    Raises:
        RejectedError: ``derivation-platforms``, ``derivation-original``, ``derivation-name``.
    """
    platforms = {digest for _, digest in image.platforms}
    if derivation.image != image.digest or {each.patched for each in derivation.platforms} != platforms:
        raise RejectedError(
            "derivation-platforms", "derivation", image.name, got=str(derivation.image), want="this image's platforms"
        )
    return choose_original(item.images, derivation, wanted)


def _with_kept_vex(derivation: Derivation, image: RememberedImage) -> Derivation:
    """The derivation without documents that went by in a pipe, or are not kept for another reason."""
    kept = {paper.content for paper in image.papers if is_about_patch(paper)}
    platforms = tuple(each if each.vex in kept else replace(each, vex=None) for each in derivation.platforms)
    return replace(derivation, platforms=platforms)
