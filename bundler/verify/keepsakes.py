"""What a site keeps of a delivery that it accepts, for later scans (vulnerability/remembered.py has the list).

Rules of this module:
- Chosen while images are judged, written only with the generation that records the delivery, under the state's lock.
- Kept of an image: the blobs that hold its SBOMs and VEX, as they came, with their signatures; each with its strength
  as it was judged. One whose signature or proof does not hold is not kept.
- With signed VEX the manifest that holds its signature is kept: whose word is taken later is judged by it again.
- Kept of a patched image whose derivation was proved: the statement, and Copa's VEX. The original's SBOMs are kept with
  the original, which is in the same delivery.
- Kept of vulnerability data: the blobs, hashed again while they are copied.
- What cannot be had any more (a pipe went by) or is larger than a site keeps is told, and does not refuse the delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bundler import limits
from bundler.archive.inventory import Inventory
from bundler.archive.reader import ArchiveReader
from bundler.digest import Digest, sha256_of
from bundler.evidence.cosign import CosignItem
from bundler.evidence.derivation import PREDICATE_TYPE as DERIVATION
from bundler.evidence.derivation import VEX_TYPE as COPA_VEX
from bundler.evidence.kind import VEX_TYPES, sbom_format
from bundler.evidence.sbom import sbom_layers
from bundler.oci.manifest import ImageManifest
from bundler.value import dataclass, field, replace
from bundler.verify.appraisal import Appraisal
from bundler.verify.completeness import CompleteImage
from bundler.verify.data import CompleteData, Keepsakes
from bundler.verify.derivation import Proved
from bundler.verify.derived import asserted
from bundler.verify.opened import ImageEvidence
from bundler.verify.requirements import UNSIGNED
from bundler.verify.result import EvidenceFact, ImageResult
from bundler.vulnerability.findings import Note
from bundler.vulnerability.remembered import (
    SBOM,
    VEX,
    Paper,
    Remembered,
    RememberedData,
    RememberedDelivery,
    RememberedImage,
    cut_to_fit,
    format_remembered,
    merge,
    parse_remembered,
    shown,
    without,
)
from trust_root.delivery import Delivery, TimeBasis
from trust_root.keeping import KeptNow, write_kept
from trust_root.settings import KeepSettings


def keep_nothing(_folder: Path, _before: bytes | None) -> KeptNow:
    """What a site keeps that shall keep nothing: an empty list (`trust_root.keeping.Keep`)."""
    return KeptNow(format_remembered(Remembered()), frozenset())


def gather_papers(
    complete: CompleteImage, evidence: ImageEvidence, facts: tuple[EvidenceFact, ...], proved: Proved | None = None
) -> tuple[Paper, ...]:
    """SBOMs and VEX of an image, and what says that it was patched.

    Args:
        complete: the image.
        evidence: as it was opened and judged.
        facts: those of `evidence_facts`, in its order: appraisals, what was unread, statements.
        proved: its derivation, where it was proved.
    """
    found: list[Paper] = [] if proved is None else list(_derived(proved))
    signed: list[Paper] = []
    for fact, appraisal in zip(facts, evidence.appraisals, strict=False):
        signed += _attested(fact, appraisal)
    found += signed
    statements = facts[len(evidence.appraisals) + len(evidence.unread) :]
    for fact, item in zip(statements, evidence.statements, strict=False):
        if item.statement is not None:
            content = sha256_of(item.statement.statement.raw)
            found += _paper(fact, item.predicate_type, "statement", content)
    for known, document in complete.evidence:
        if isinstance(document, ImageManifest):
            for layer, media_type in sbom_layers(document, known.kind):
                platform = complete.platform_of(known.subject)
                found.append(
                    Paper(
                        SBOM, "document", shown(media_type), platform, known.subject, known.digest, UNSIGNED, "",
                        layer.digest,
                    )
                )  # fmt: skip
    found += _holders(complete, signed)
    return tuple(dict.fromkeys(found))


def _derived(proved: Proved) -> Iterator[Paper]:
    """The derivation statement that was proved, and Copa's documents. The list's form knows two kinds of papers: these
    stand among VEX, and are told apart by what they are declared to be. Who does not know them calls them unread.
    """
    claim = proved.claim
    derivation, manifest = claim.derivation, claim.manifest
    yield Paper(
        VEX, "envelope", DERIVATION, "", derivation.image, manifest.digest, asserted(claim), f"key {claim.signer}",
        manifest.layers[0].digest,
    )  # fmt: skip
    for each in derivation.platforms:
        if each.vex is not None:
            yield Paper(
                VEX, "document", COPA_VEX, shown(each.platform), each.patched, manifest.digest, asserted(claim), "",
                each.vex,
            )  # fmt: skip


def _holders(complete: CompleteImage, signed: Iterable[Paper]) -> Iterator[Paper]:
    """Manifests that hold signatures of VEX documents: with them a signature can be judged again."""
    manifests = {item.digest: manifest for item, manifest in complete.evidence if isinstance(manifest, ImageManifest)}
    for paper in signed:
        if paper.kind == VEX and paper.manifest in manifests:
            yield replace(paper, form="document", declared=manifests[paper.manifest].media_type, content=paper.manifest)


def _attested(fact: EvidenceFact, appraisal: Appraisal) -> Iterator[Paper]:
    verified = appraisal.held
    if verified is None or verified.role != "attestation" or verified.statement is None or fact.code:
        return
    item = appraisal.item
    if isinstance(item, CosignItem):
        yield from _paper(fact, verified.statement.predicate_type, "envelope", sha256_of(item.raw))
    else:
        yield from _paper(fact, verified.statement.predicate_type, "sigstore-bundle", sha256_of(item.bundle.raw))


def _paper(fact: EvidenceFact, predicate_type: str, form: str, content: Digest) -> Iterator[Paper]:
    kind = SBOM if sbom_format(predicate_type) else VEX if predicate_type in VEX_TYPES else None
    if kind is not None:
        yield Paper(
            kind, form, shown(predicate_type), fact.platform, fact.subject, fact.digest, fact.strength,
            shown(fact.signer), content,
        )  # fmt: skip


@dataclass(slots=True)
class Keeper:
    """Writes what is to be kept of one accepted delivery. `keep` is handed to `Site.record`."""

    archive: ArchiveReader
    inventory: Inventory
    delivery: Delivery
    pin: Digest
    results: tuple[ImageResult, ...]
    keepsakes: Keepsakes
    settings: KeepSettings
    basis: TimeBasis
    _told: list[Note] = field(default_factory=list)

    def keep(self, folder: Path, before: bytes | None) -> KeptNow:
        """Write contents and give the list.

        Raises:
            EnvError: the disk. DamagedError: the bundle changed. TrustError: ``state-damaged``.
        """
        remembered = without(parse_remembered(before), sboms=self.settings.sboms, data=self.settings.data)
        images = tuple(self._images())
        added = RememberedDelivery(
            self.pin, self.delivery.stream, self.delivery.sequence, self.delivery.inventory, self.delivery.created_at,
            self.basis.clock.replace(microsecond=0), images,
        )  # fmt: skip
        known = next((item for item in remembered.deliveries if item.place == added.place), None)
        if known is not None:  # accepted again: what came then in a file may go by in a pipe now
            richer = images if any(image.papers for image in images) else known.images
            added = replace(added, accepted_at=known.accepted_at, images=richer)
        data = tuple(self._data()) if self.settings.data else ()
        merged = merge(remembered, added, data, self.settings.deliveries)
        after, raw = cut_to_fit(merged, added, limits.KEPT_LIST_BYTES)
        self._told = [*self._replaced(remembered, data), *_forgotten(merged, after)]
        wanted = after.contents
        for digest, size_bytes in self._contents(added.images, data):
            if digest in wanted:
                write_kept(folder, digest, self._pieces(digest, size_bytes))
        return KeptNow(raw, wanted)

    def mend(self, folder: Path, before: bytes | None) -> None:
        """Write again what the list names and this bundle brings, where it was lost or damaged; nothing else changes.

        Args:
            folder: the state folder.
            before: the list.

        Raises:
            TrustError: ``state-damaged``. EnvError: the disk. DamagedError: the bundle changed.
        """
        wanted = parse_remembered(before).contents
        for digest, size_bytes in self._contents(tuple(self._images()), tuple(self._data())):
            if digest in wanted:
                write_kept(folder, digest, self._pieces(digest, size_bytes))

    def left_out(self) -> tuple[Note, ...]:
        """What is not kept, and why; asked after `keep`."""
        notes = []
        for item in self.keepsakes.data if self.settings.data else ():
            if not self._can_keep(item):
                detail = "not kept at this site: a pipe was read, or it is larger than a site keeps"
                notes.append(Note("data-not-kept", item.data.source, detail))
        notes += self._papers_left_out() if self.settings.sboms else ()
        return (*notes, *self._told)

    def _papers_left_out(self) -> Iterator[Note]:
        there = [sum(map(self._has, papers)) for papers in self.keepsakes.papers]
        lost = sum(map(len, self.keepsakes.papers)) - sum(there)
        cut = sum(max(count - limits.KEPT_PAPERS, 0) for count in there)
        for count, why in (
            (lost, "went by in a pipe and are not kept at this site"),
            (cut, f"are more than a site keeps of one image, {limits.KEPT_PAPERS}"),
        ):
            if count:
                yield Note("sbom-not-kept", "SBOMs and VEX documents", f"{count} of them {why}")

    def _images(self) -> Iterator[RememberedImage]:
        for result, papers in zip(self.results, self.keepsakes.papers, strict=True):
            signers = [fact.signer for fact in result.evidence if fact.demanded and fact.signer]
            yield RememberedImage(
                result.name,
                result.digest,
                shown(result.rule),
                tuple(dict.fromkeys(map(shown, signers))),
                tuple((shown(platform), digest) for platform, digest in result.platforms),
                tuple(filter(self._has, papers))[: limits.KEPT_PAPERS] if self.settings.sboms else (),
            )

    def _data(self) -> Iterator[RememberedData]:
        for item in filter(self._can_keep, self.keepsakes.data):
            data = item.data
            yield RememberedData(
                self.pin, self.delivery.stream, self.delivery.sequence, self.delivery.created_at, data.kind,
                data.source, data.modified_at, data.records, data.digest, data.media_type,
                tuple((part.digest, part.size_bytes) for part in item.payload),
            )  # fmt: skip

    def _replaced(self, before: Remembered, data: Sequence[RememberedData]) -> Iterator[Note]:
        """What came and is older than what is kept, or takes the place of much more."""
        kept = {item.place: item for item in before.data}
        for item in data:
            known = kept.get(item.place)
            if known is None or known.digest == item.digest:
                continue
            if item.freshness < known.freshness:
                had = f"of {known.modified_at.date()}" if known.modified_at else "of an unknown date"
                detail = f"not kept: this site has newer data of this name, {had}, from {known.stream} {known.sequence}"
                yield Note("data-older", item.source, detail)
            elif item.records is not None and known.records is not None and 2 * item.records < known.records:
                detail = f"{item.records} records take the place of {known.records}: was all of it exported?"
                yield Note("data-shrank", item.source, detail)

    def _contents(
        self, images: Sequence[RememberedImage], data: Sequence[RememberedData]
    ) -> Iterator[tuple[Digest, int]]:
        sizes = {blob.digest: blob.size_bytes for blob in self.inventory.blobs}
        for image in images:
            for paper in image.papers:
                if paper.content in sizes:
                    yield paper.content, sizes[paper.content]
        for item in data:
            yield from item.contents

    def _pieces(self, digest: Digest, size_bytes: int) -> Iterable[bytes | memoryview]:
        if size_bytes <= limits.KEPT_IN_MEMORY_BYTES:
            return (self.archive.read_blob(digest, limits.KEPT_IN_MEMORY_BYTES),)
        return self.archive.proved_blob(digest).read()

    def _has(self, paper: Paper) -> bool:
        return self.archive.still_has(paper.content)

    def _can_keep(self, item: CompleteData) -> bool:
        size_bytes = sum(part.size_bytes for part in item.payload)
        return size_bytes <= limits.KEPT_DATA_BYTES and all(
            self.archive.still_has(part.digest) for part in item.payload
        )


def _forgotten(merged: Remembered, after: Remembered) -> Iterator[Note]:
    lost = len(merged.deliveries) - len(after.deliveries)
    if lost:
        detail = (
            f"{lost} of the deliveries accepted first are forgotten: a site's list holds {limits.KEPT_LIST_BYTES} bytes"
        )
        yield Note("delivery-forgotten", "older deliveries", detail)
