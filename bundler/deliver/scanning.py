"""A bundle's SBOMs against vulnerability data: for `sealift scan`.

Rules of this module:
- The head's trust is checked first; evidence is judged as `sealift inspect` does (image_inspection.py). Each result
  says how strong its SBOM is bound and signed.
- An SBOM whose signature or proof does not hold is not scanned. A platform about which no other SBOM is there is named,
  with `sbom-missing`: nothing found must never mean nothing looked at.
- One image that cannot be judged does not keep the others from being scanned; its error stands in `failures`.
"""

from __future__ import annotations

from pathlib import Path

from bundler.archive.inventory import Image
from bundler.deliver.image_inspection import (
    ImageInspection,
    choose_image,
    choose_platform,
    open_image_inspections,
)
from bundler.deliver.inspection import InspectedHead
from bundler.deliver.readings import Reading, missing_platforms, read_all
from bundler.errors import RejectedError, SealiftError, TrustError, UsageError
from bundler.value import dataclass, field
from bundler.vulnerability.findings import Note, ScanResult
from bundler.vulnerability.match import Matcher
from bundler.vulnerability.scan import SbomPlace, data_notes, scan_sbom
from trust_root.delivery import TimeBasis
from trust_root.site import Site


@dataclass(frozen=True, slots=True)
class BundleScan:
    """What was found in a bundle.

    Attributes:
        head: the bundle's head, and why it is not trusted, if it is not.
        results: one for each SBOM that was scanned: images in the inventory's order, indexes first, then platforms.
        failures: images and platforms that could not be scanned, and why.
        notes: what is wrong with the data itself.
    """

    head: InspectedHead
    results: tuple[ScanResult, ...]
    failures: tuple[SealiftError, ...]
    notes: tuple[Note, ...]


def scan_bundle(
    source: Path | str,
    site: Site | TrustError,
    basis: TimeBasis,
    matcher: Matcher,
    *,
    wanted: str | None = None,
    platform: str | None = None,
) -> BundleScan:
    """Scan one image of a bundle, or all.

    Args:
        source: the bundle's path, or `-`.
        site: the site's state, or the error that says why there is none.
        basis: the time basis.
        matcher: the data, and as of when.
        wanted: the image's name or digest; None for all.
        platform: of this platform only.

    Raises:
        UsageError: no such image (``image-choice``) or platform (``platform-absent``).
        DamagedError, UnsupportedError, EnvError, TrustError: as `inspect_bundle`.
        EnvError: a damaged index, or a package of the extra `scan` is absent.
    """
    with open_image_inspections(source, site, basis) as bundle:
        images = bundle.head.inventory.images if wanted is None else [choose_image(bundle.head.inventory, wanted)]
        found = FoundInImages()
        for image in images:
            try:
                inspection = bundle.open(image, choose_platform(image, platform))
                scan_image(inspection, matcher, found)
            except RejectedError as error:
                found.failures.append(error)
            except UsageError as error:  # this image has not that platform
                if wanted is not None:
                    raise
                found.failures.append(error)
        return BundleScan(bundle.head, tuple(found.results), tuple(found.failures), data_notes(matcher))


@dataclass(slots=True)
class FoundInImages:
    """Results and failures, as images are scanned one after the other."""

    results: list[ScanResult] = field(default_factory=list)
    failures: list[SealiftError] = field(default_factory=list)


def scan_image(inspection: ImageInspection, matcher: Matcher, found: FoundInImages) -> None:
    """Scan every SBOM of one image that can be relied on.

    Raises:
        EnvError: as `scan_bundle`.
    """
    readings = read_all("sbom", inspection.judged, inspection.read_blob)
    usable = tuple(reading for reading in readings if reading.sbom is not None and not reading.code)
    found.results += [_scan_reading(reading, inspection.image, matcher) for reading in usable]
    found.failures += [reading.failure for reading in readings if reading.failure is not None]
    missing = missing_platforms(usable, inspection.judged.complete)
    if missing or not usable:
        found.failures.append(_missing(inspection, missing, readings))


def _scan_reading(reading: Reading, image: Image, matcher: Matcher) -> ScanResult:
    place = SbomPlace(image.name, reading.subject, reading.platform, reading.manifest, reading.strength)
    if reading.sbom is None:
        raise TypeError(reading.form)  # `usable` has no such
    return scan_sbom(reading.sbom, place, matcher)


def _missing(inspection: ImageInspection, missing: tuple[str, ...], readings: tuple[Reading, ...]) -> RejectedError:
    unproved = [
        f"{reading.form} about {reading.platform or 'the index'}: {reading.code}"
        for reading in readings
        if reading.code
    ]
    about = ", ".join(missing) or inspection.platform or "it"
    return RejectedError(
        "sbom-missing", "SBOM", f"of {inspection.image.name}", got=f"none that can be relied on about {about}",
        want="one", hints=[f"not relied on: {text}" for text in unproved],
    )  # fmt: skip
