"""A bundle as one delivery of a history: verdicts, signers, and what is open in each image. For `sealift dashboard`.

Rules of this module:
- Verdicts are those of `verify`, carried out here with every byte read and nothing recorded; without a policy there are
  none, and that is said. An older delivery that this site accepted is judged as one (`historic`).
- Of a file whose trust does not hold only its head is told, as what the file claims; no image of it counts.
- VEX settles what the policy of today lets it settle (vex_beside.py): of the image itself, and what a site keeps.
- An image that cannot be scanned, and a platform without an SBOM that can be relied on, stand among the image's gaps.
"""

from __future__ import annotations

from pathlib import Path

from bundler.archive.inventory import Image
from bundler.deliver.image_inspection import ImageInspections, open_image_inspections
from bundler.deliver.inspection import InspectedHead
from bundler.deliver.scanning import FoundInImages, scan_image
from bundler.deliver.vex_beside import Hearing
from bundler.errors import DamagedError, RejectedError, SealiftError, TrustError
from bundler.value import dataclass
from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.policy import Policy
from bundler.verify.result import ImageResult, Report
from bundler.vulnerability.findings import Note
from bundler.vulnerability.history import DeliveredImage, Delivery
from bundler.vulnerability.match import Matcher
from bundler.vulnerability.shelf import ShelfDocument
from trust_root.delivery import TimeBasis
from trust_root.site import Site

NOT_JUDGED = "not judged"
_UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True)
class Desk:
    """What every bundle is judged by.

    Attributes:
        site: the site's state, opened to read only, or the error that says why there is none.
        policy: the site's policy; None: nothing is verified.
        documents: VEX that this site keeps.
    """

    site: Site | TrustError
    basis: TimeBasis
    matcher: Matcher
    policy: Policy | None
    documents: tuple[ShelfDocument, ...] = ()


def gather_delivery(source: Path, desk: Desk) -> Delivery:
    """Judge and scan one bundle.

    Raises:
        DamagedError: its head or the evidence cannot be read, or it changed meanwhile (code ``file-changed``).
        UnsupportedError, EnvError, TrustError: as `scan_bundle`.
    """
    report = _verify(source, desk)
    with open_image_inspections(source, desk.site, desk.basis) as bundle:
        head = bundle.head
        failure = head.failure or (report.failure if report is not None else None)
        if failure is not None and not isinstance(failure, TrustError):
            raise failure
        if failure is not None:
            return _delivery(head, source, (_UNTRUSTED, failure.code), ())
        if report is None:
            images = tuple(_image(image, None, bundle, desk) for image in head.inventory.images)
            return _delivery(head, source, (NOT_JUDGED, ""), images)
        if report.bundle is None or report.bundle.inventory != head.inventory_digest:
            raise DamagedError("file-changed", "bundle", str(source), got="another inventory", want="a file at rest")
        results = zip(head.inventory.images, report.images, strict=True)
        images = tuple(_image(image, result, bundle, desk) for image, result in results)
        return _delivery(head, source, (report.verdict.value, report.reason), images, report)


def _verify(source: Path, desk: Desk) -> Report | None:
    if desk.policy is None or isinstance(desk.site, TrustError):
        return None
    request = Request(basis=desk.basis, site=desk.site, policy=desk.policy, historic=True)
    return verify_bundle(source, request).report


def _delivery(
    head: InspectedHead,
    source: Path,
    verdict: tuple[str, str],
    images: tuple[DeliveredImage, ...],
    report: Report | None = None,
) -> Delivery:
    inventory = head.inventory
    accepted = report.trust.accepted_at if report is not None and report.trust is not None else None
    return Delivery(
        inventory.stream, inventory.sequence, head.inventory_digest, inventory.created_at, source.name, *verdict,
        images, accepted, trusted=head.failure is None and verdict[0] != _UNTRUSTED,
    )  # fmt: skip


def _image(image: Image, result: ImageResult | None, bundle: ImageInspections, desk: Desk) -> DeliveredImage:
    found = FoundInImages()
    try:
        hearing = Hearing(desk.site, desk.policy, desk.documents)
        scan_image(bundle.open(image, None), desk.matcher, hearing, found)
    except RejectedError as error:
        found.failures.append(error)
    except DamagedError as error:
        if result is None:  # nothing else would say so
            raise
        found.failures.append(error)
    return DeliveredImage(
        image.name,
        image.digest,
        NOT_JUDGED if result is None else result.verdict.value,
        "" if result is None else result.reason,
        _signers(result),
        tuple(found.results),
        tuple(sorted({*map(_gap, found.failures), *found.notes})),
    )


def _signers(result: ImageResult | None) -> tuple[str, ...]:
    """Who met a demand of the policy."""
    facts = () if result is None else result.evidence
    return tuple(dict.fromkeys(fact.signer for fact in facts if fact.demanded and fact.signer and not fact.code))


def _gap(error: SealiftError) -> Note:
    hints = "; ".join(error.hints)
    detail = ", ".join(part for part in (error.got, f"expected {error.want}" if error.want else "", hints) if part)
    return Note(error.code, f"{error.what} {error.which}".strip(), detail)
