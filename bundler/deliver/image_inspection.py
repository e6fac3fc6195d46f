"""One image in a bundle, looked into: its SBOMs, provenance, signatures, in a moment, whatever the bundle's size.

Rules of this module:
- The head's trust is checked first, as for the whole bundle (inspection.py). Where it does not hold, evidence is judged
  by what the file itself brings, and every strength says so.
- Only the blobs that are needed are read, each by its place in the signed inventory, and hashed. Layers of the image
  are not read, other members are not looked at: that is what verify does.
- Evidence is judged alone, without a policy: who signed is told, not whether that is the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bundler import limits
from bundler.archive.inventory import Image, Inventory
from bundler.archive.reader import STANDARD_INPUT, open_archive
from bundler.deliver.inspection import InspectedHead, open_head
from bundler.deliver.readings import Judged, signed_subjects
from bundler.digest import Digest
from bundler.errors import MalformedError, TrustError, UsageError
from bundler.evidence.derivation import ARTIFACT_TYPE
from bundler.evidence.kind import BUILDKIT_ATTESTATION
from bundler.oci.descriptor import parse_platform
from bundler.oci.platforms import UNKNOWN
from bundler.oci.reference import parse_reference
from bundler.value import dataclass, field, replace
from bundler.verify.completeness import CompleteImage, open_image
from bundler.verify.documents import is_document
from bundler.verify.facts import evidence_facts
from bundler.verify.keyring import Keyring
from bundler.verify.opened import open_evidence
from bundler.verify.requirements import Met
from bundler.verify.result import EvidenceFact
from bundler.verify.scan_facts import CarriedScan
from trust_root.delivery import TimeBasis
from trust_root.site import Site


@dataclass(frozen=True, slots=True)
class ImageInspection:
    """One image, judged as far as goes without a policy.

    Attributes:
        head: the bundle's head, and why it is not trusted, if it is not.
        platform: the platform that was asked for, as the inventory names it; None for all.
        judged: the image's evidence.
        read_blob: reads a document of the bundle, hashed.
        at: the time of this look, to which ages are counted.
        open_other: opens an image of the same bundle.
    """

    head: InspectedHead
    image: Image
    platform: str | None
    judged: Judged
    read_blob: Callable[[Digest], bytes]
    at: datetime
    open_other: Callable[[Image, str | None], ImageInspection] = field(repr=False, compare=False)

    def scans(self, *, hold: bool = False) -> tuple[CarriedScan, ...]:
        """Scan reports about the image or the platform that was asked for; with `hold`, with their bytes."""
        from bundler.verify.scans import gather_scans  # noqa: PLC0415  other looks do not need it

        judged = self.judged
        found = gather_scans(judged.complete, judged.evidence, judged.facts, self.read_blob, hold=hold)
        found = tuple(scan if scan.code else replace(scan, strength=judged.strength(scan.strength)) for scan in found)
        about = self.platform
        if about is None:
            return found
        return tuple(
            scan for scan in found if scan.platform in ("", about) and (not scan.covers or about in scan.covers)
        )


@contextmanager
def open_image_inspection(
    source: Path | str, site: Site | TrustError, basis: TimeBasis, wanted: str | None, platform: str | None = None
) -> Iterator[ImageInspection]:
    """Open one image of a bundle.

    Args:
        source: the bundle's path, or `-`.
        site: the site's state, or the error that says why there is none.
        basis: the time basis.
        wanted: the image's name or digest; None when the bundle has only one.
        platform: look at this platform only.

    Raises:
        UsageError: no such image, or several (``image-choice``); no such platform (``platform-absent``).
        RejectedError: the image is not complete, or has no one meaning.
        DamagedError, UnsupportedError, EnvError, TrustError: as `inspect_bundle`.
    """
    with open_image_inspections(source, site, basis) as bundle:
        image = choose_image(bundle.head.inventory, wanted)
        yield bundle.open(image, choose_platform(image, platform))


@dataclass(frozen=True, slots=True)
class ImageInspections:
    """A bundle whose images can be looked into, one after the other. `open` judges one, as a platform or whole."""

    head: InspectedHead
    open: Callable[[Image, str | None], ImageInspection]


@contextmanager
def open_image_inspections(source: Path | str, site: Site | TrustError, basis: TimeBasis) -> Iterator[ImageInspections]:
    """Open a bundle to look into several of its images; the head is checked once.

    Raises:
        DamagedError, UnsupportedError, EnvError, TrustError: as `inspect_bundle`; `open` raises RejectedError as
            `open_image_inspection`.
    """
    with open_archive(source) as archive:
        head = open_head(archive, site, basis, str(source))
        if str(source) == STANDARD_INPUT:
            archive.check_headers(keep=is_document).require_whole()

        def read_blob(digest: Digest) -> bytes:
            return archive.read_blob(digest, limits.EVIDENCE_BLOB_BYTES)

        def look(image: Image, platform: str | None) -> ImageInspection:
            complete = open_image(image, head.inventory, read_blob)
            if platform is not None:
                complete = _narrowed(complete, platform)
            judged = _judge(complete, head, basis, read_blob)
            return ImageInspection(head, image, platform, judged, read_blob, basis.at, look)

        yield ImageInspections(head, look)


def choose_image(inventory: Inventory, wanted: str | None) -> Image:
    """The image that somebody means by its name, with or without tag and digest, or by its digest alone.

    Raises:
        UsageError: none or several (``image-choice``).
    """
    if wanted is None:
        found = list(inventory.images)
    else:
        found = [image for image in inventory.images if wanted in (image.name, str(image.digest))]
        found = found or _by_reference(inventory, wanted)
    if len(found) != 1:
        names = [f"{image.name} {image.digest}" for image in (found or inventory.images)]
        raise UsageError(
            "image-choice", "image", (wanted or "")[:300], got=f"{len(found)} images of the bundle",
            want="exactly one, by its name or digest", hints=names[: limits.HINTS],
        )  # fmt: skip
    return found[0]


def _by_reference(inventory: Inventory, wanted: str) -> list[Image]:
    try:
        meant = parse_reference(wanted)
    except MalformedError:
        return []
    typed_tag = f":{meant.tag}" in wanted
    found = []
    for image in inventory.images:
        name = parse_reference(image.name)
        fits = name.name == meant.name and meant.digest in (None, image.digest)
        if fits and (not typed_tag or name.tag == meant.tag):
            found.append(image)
    return [image for image in found if parse_reference(image.name).tag == meant.tag] or found


def choose_platform(image: Image, wanted: str | None) -> str | None:
    """The platform of the image that somebody means; None when none was named.

    Raises:
        UsageError: it has none such, several, or it was left out (``platform-absent``).
    """
    if wanted is None:
        return None
    try:
        meant = parse_platform(wanted)
    except MalformedError as error:
        raise UsageError(error.code, "platform", wanted[:80], got=error.got, want=error.want) from error
    names = [child.platform for child in image.platforms]
    found = [name for name in names if name != UNKNOWN and meant.covers(parse_platform(name))]
    if len(found) == 1:
        return found[0]
    left_out = [omission.platform for omission in image.omitted if omission.platform not in (UNKNOWN, "")]
    hints = [f"left out by the exporter: {', '.join(left_out)}"] if left_out else []
    raise UsageError(
        "platform-absent", "platform", wanted, got=f"{len(found)} among {', '.join(names) or 'none'}", want="one",
        hints=hints,
    )  # fmt: skip


def _narrowed(complete: CompleteImage, platform: str) -> CompleteImage:
    """The image without attestation manifests about other platforms, which then need not be read."""
    digests = {digest for name, digest in complete.platforms if name == platform}
    kept = tuple(place for place in complete.attestations if place.subject in digests)
    others = {digest for name, digest in complete.platforms if name != platform}
    beside = tuple(opened for opened in complete.beside if opened.evidence.subject not in others)
    evidence = tuple(
        item for item in complete.image.evidence if item.kind != BUILDKIT_ATTESTATION or item.subject in digests
    )
    platforms = tuple(entry for entry in complete.platforms if entry[0] == platform)
    return replace(
        complete,
        image=replace(complete.image, evidence=evidence),
        attestations=kept,
        beside=beside,
        platforms=platforms,
    )


def _judge(
    complete: CompleteImage, head: InspectedHead, basis: TimeBasis, read_blob: Callable[[Digest], bytes]
) -> Judged:
    evidence = open_evidence(complete, Keyring(head.targets), read_blob, basis.at)
    facts = evidence_facts(complete, evidence, Met(signed_indexes=signed_subjects(evidence)))
    facts = with_stream_claims(facts, complete, head, read_blob)
    judged = Judged(complete, evidence, facts, proved=head.failure is None)
    facts = tuple(fact if fact.code else replace(fact, strength=judged.strength(fact.strength)) for fact in facts)
    return replace(judged, facts=facts)


def says_derived(complete: CompleteImage) -> bool:
    """Whether something beside an image says that it was made from another one; nothing is proved by that."""
    documents = (document for _, document in complete.evidence)
    return any(document is not None and document.artifact_type == ARTIFACT_TYPE for document in documents)


def with_stream_claims(
    facts: tuple[EvidenceFact, ...],
    complete: CompleteImage,
    head: InspectedHead,
    read_blob: Callable[[Digest], bytes],
) -> tuple[EvidenceFact, ...]:
    """The facts, with derivation statements told as the word of the stream whose key signed them."""
    if not says_derived(complete):
        return facts
    from bundler.verify.derivation import find_claims  # noqa: PLC0415  few images are patched
    from bundler.verify.derived import Derived, with_claims  # noqa: PLC0415

    return with_claims(facts, Derived(find_claims(complete, read_blob, head.keys), None, ()))
