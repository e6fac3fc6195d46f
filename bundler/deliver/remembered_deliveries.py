"""Deliveries as a site remembers them, against data of today. For `sealift dashboard` without a bundle.

Rules of this module:
- Only accepted deliveries are remembered, so that their images are `verified`: as they were on that day, by the policy
  of that day. How strong each SBOM is was written then, too.
- Every SBOM is hashed again when it is read. A platform without one that was kept is named: it is not judged.
- Whose VEX settles a finding is for the policy of today: signed documents are verified again (remembered_vex.py).
- A patched image is judged by its original's SBOMs, by name (remembered_originals.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bundler.deliver.remembered_originals import RememberedOrigin, is_about_patch, recall_origin
from bundler.deliver.remembered_vex import Recaller, is_signature_of
from bundler.deliver.vex_beside import rule_for
from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.evidence.sbom import Sbom
from bundler.value import dataclass, field, replace
from bundler.verify.policy import Policy
from bundler.verify.vex_word import carried_vex, told_apart, word_of
from bundler.vulnerability.findings import Note, ScanResult
from bundler.vulnerability.history import DeliveredImage, Delivery
from bundler.vulnerability.match import Matcher
from bundler.vulnerability.recollection import owner_of, recall, recall_sbom
from bundler.vulnerability.remembered import SBOM, VEX, Paper, RememberedDelivery, RememberedImage
from bundler.vulnerability.scan import SbomPlace, scan_sbom
from bundler.vulnerability.shelf import ShelfDocument
from bundler.vulnerability.vex import Subject, VexBook, VexSource
from trust_root.site import Site

_SOURCE = "this site's state"
_VERDICT = "verified"


@dataclass(slots=True)
class Memory:
    """What remembered deliveries are held against.

    Attributes:
        documents: VEX that travelled as data.
        policy: the site's policy of today, for whose VEX counts; None: nobody's word is taken.
    """

    site: Site
    matcher: Matcher
    documents: Sequence[ShelfDocument] = ()
    policy: Policy | None = None
    _sboms: dict[Digest, Sbom | RejectedError] = field(default_factory=dict)
    _recallers: dict[Digest, Recaller] = field(default_factory=dict)

    def deliveries(self) -> Iterator[Delivery]:
        """All that the site remembers.

        Raises:
            TrustError: ``state-damaged``, ``state-changed``.
            EnvError: the disk, a damaged index, a package of the extra `scan` is absent.
        """
        remembered = recall(self.site).deliveries
        pins = {(item.stream, item.pin) for item in remembered}
        streams = [stream for stream, _ in pins]
        for item in remembered:
            # Two roots may each have a stream of one name; they have nothing to do with each other.
            stream = item.stream if streams.count(item.stream) == 1 else f"{item.stream} of {item.pin}"
            images = tuple(self._image(item, image) for image in item.images)
            yield Delivery(
                stream, item.sequence, item.inventory, item.created_at, _SOURCE, _VERDICT, "", images, item.accepted_at
            )

    def _image(self, item: RememberedDelivery, image: RememberedImage) -> DeliveredImage:
        gaps: set[Note] = set()
        origin = recall_origin(self.site, item, image, self.policy, self.matcher.at)
        if isinstance(origin, Note):
            gaps.add(origin)
            origin = None
        book = VexBook(self._vex(item, image, origin, gaps), self.matcher.at)
        gaps |= set(book.notes)
        found: list[ScanResult] = []
        for paper in (paper for paper in image.papers if paper.kind == SBOM):
            place = SbomPlace(image.name, paper.subject, paper.platform, paper.manifest, paper.strength)
            found += self._scan(paper, place, book, frozenset({image.digest, paper.subject}), gaps)
        if origin is not None:
            gaps |= set(origin.notes)
            found += self._originals(image, origin, found, book, gaps)
        gaps |= set(_without(image, {scan.digest for scan in found}, {scan.platform for scan in found}))
        return DeliveredImage(
            image.name, image.digest, _VERDICT, "", image.signers, tuple(found), tuple(sorted(gaps))
        )  # fmt: skip

    def _scan(
        self, paper: Paper, place: SbomPlace, book: VexBook, digests: frozenset[Digest], gaps: set[Note]
    ) -> Iterator[ScanResult]:
        """One SBOM with statements beside its findings; nothing where it cannot be read, which is a gap."""
        sbom = self._sbom(paper)
        if isinstance(sbom, RejectedError):
            gaps.add(Note(sbom.code, f"SBOM about {place.platform or 'the whole image'}", sbom.got))
            return
        result = scan_sbom(sbom, place, self.matcher)
        applied = book.apply(result.findings, Subject(place.image, digests))
        gaps |= set(applied.notes)
        yield replace(result, findings=applied.findings)

    def _originals(
        self,
        image: RememberedImage,
        origin: RememberedOrigin,
        found: Sequence[ScanResult],
        book: VexBook,
        gaps: set[Note],
    ) -> list[ScanResult]:
        """By SBOMs of the image that this one was patched from, for platforms without one of their own."""
        subjects, platforms = {scan.digest for scan in found}, {scan.platform for scan in found}
        if image.digest in subjects or "" in platforms:
            return []
        missing = frozenset(digest for name, digest in image.platforms if digest not in subjects)
        return [
            origin.finish(result, said)
            for paper, place, said in origin.places(image, missing)
            for result in self._scan(paper, place, book, origin.digests(place.digest), gaps)
        ]

    def _sbom(self, paper: Paper) -> Sbom | RejectedError:
        """The SBOM, read once: most images of a delivery were in the one before."""
        found = self._sboms.get(paper.content)
        if found is None:
            try:
                found = recall_sbom(self.site, paper)
            except RejectedError as error:
                found = error
            self._sboms[paper.content] = found
        return found

    def _vex(
        self, item: RememberedDelivery, image: RememberedImage, origin: RememberedOrigin | None, gaps: set[Note]
    ) -> Iterator[VexSource]:
        owner = owner_of(self.site, item.pin, item.stream)
        word = word_of(rule_for(self.policy, image.name, image.digest, owner), owner)
        recaller = self._recallers.setdefault(item.pin, Recaller(self.site, item.pin, self.matcher.at))
        said = list(recaller.attached(image, _vex_papers(image), word))
        if origin is not None:
            old, derived = origin.original, word if origin.derived else word.shown_only
            said += recaller.attached(old, _vex_papers(old), derived)
        sources, notes = told_apart(said)
        gaps.update(notes)
        yield from sources
        yield from carried_vex(word, self.documents)


def _vex_papers(image: RememberedImage) -> tuple[Paper, ...]:
    """VEX alone: among it stand what says that an image was patched, and manifests with signatures."""
    found = (paper for paper in image.papers if paper.kind == VEX)
    return tuple(paper for paper in found if not is_about_patch(paper) and not is_signature_of(paper))


def _without(image: RememberedImage, subjects: set[Digest], platforms: set[str]) -> Iterator[Note]:
    """Platforms that no SBOM is about, neither by themselves nor over the whole image."""
    if image.digest in subjects or "" in platforms:
        return
    for platform, digest in image.platforms:
        if digest not in subjects and platform not in platforms:
            yield Note("sbom-missing", f"SBOM about {platform}", "none that this site has kept")
    if not image.platforms and not subjects:
        yield Note("sbom-missing", "SBOM", "none that this site has kept")
