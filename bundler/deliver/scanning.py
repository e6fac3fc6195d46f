"""A bundle's SBOMs against vulnerability data: for `sealift scan`.

Rules of this module:
- The head's trust is checked first; evidence is judged as `sealift inspect` does (image_inspection.py). Each result
  says how strong its SBOM is bound and signed.
- An SBOM whose signature or proof does not hold is not scanned. A platform about which no other SBOM is there is named,
  with `sbom-missing`: nothing found must never mean nothing looked at.
- A scanner of the site (trivy, grype) can judge instead; then everything is its word, and no package counts as judged.
- One image that cannot be judged does not keep the others from being scanned; its error stands in `failures`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from bundler import limits
from bundler.deliver.image_inspection import (
    ImageInspection,
    choose_image,
    choose_platform,
    open_image_inspections,
)
from bundler.deliver.inspection import InspectedHead
from bundler.deliver.readings import Reading, missing_platforms, read_all
from bundler.deliver.vex_beside import apply_vex, attached_vex
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError, SealiftError, TrustError, UsageError
from bundler.evidence.derivation import PREDICATE_TYPE as DERIVATION
from bundler.evidence.sbom import sbom_document
from bundler.network.sbom_scanner import SbomScanner
from bundler.value import dataclass, field, replace
from bundler.verify.scan_facts import CarriedScan
from bundler.vulnerability.findings import Note, ScanResult
from bundler.vulnerability.match import Matcher
from bundler.vulnerability.scan import SbomPlace, data_notes, finding_order, scan_sbom, tell_apart
from bundler.vulnerability.scanner_report import parse_grype_report, parse_trivy_report
from bundler.vulnerability.vex import VexBook, VexSource
from trust_root.delivery import TimeBasis
from trust_root.site import Site

_PATCHED = "it was patched: the SBOM in this bundle is of its original, and lists what was there before"

ScanReading = Callable[[Reading, SbomPlace], ScanResult]


@dataclass(frozen=True, slots=True)
class BundleScan:
    """What was found in a bundle, or in what a site remembers.

    Attributes:
        head: the bundle's head, and why it is not trusted, if it is not; None for a site.
        results: one for each SBOM that was scanned: images in the inventory's order, indexes first, then platforms.
        failures: images and platforms that could not be scanned, and why.
        notes: what is wrong with the data itself.
        images: name and digest of the images that were looked at.
        upstream: scan reports that came with an image, by its name: beside the results, never among them.
    """

    head: InspectedHead | None
    results: tuple[ScanResult, ...]
    failures: tuple[SealiftError, ...]
    notes: tuple[Note, ...]
    images: tuple[tuple[str, Digest], ...] = ()
    upstream: tuple[tuple[str, CarriedScan], ...] = ()


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
    found = _scan_images(source, site, basis, partial(_by_data, matcher), wanted=wanted, platform=platform)
    return replace(found, notes=(*data_notes(matcher), *found.notes))


def scan_bundle_with(
    source: Path | str,
    site: Site | TrustError,
    basis: TimeBasis,
    scanner: SbomScanner,
    *,
    wanted: str | None = None,
    platform: str | None = None,
) -> BundleScan:
    """Like `scan_bundle`, by a scanner of this machine with its own database.

    Args:
        source, site, basis, wanted, platform: as `scan_bundle`.
        scanner: trivy or grype.

    Raises:
        UsageError, DamagedError, UnsupportedError, EnvError, TrustError: as `scan_bundle`.
        EnvError: the scanner is absent, failed, stalled or lied (``trivy-absent`` and the like).
    """
    version = scanner.version()
    with tempfile.TemporaryDirectory(prefix="sealift-scan-") as folder:
        run = _ScannerRun(scanner, f"{scanner.name} {version}", Path(folder), scanner.database_at(), basis.at)
        scan = partial(_by_scanner, run)
        found = _scan_images(source, site, basis, scan, wanted=wanted, platform=platform)
    note = Note("scanner-silent", f"{scanner.name} {version}", "does not say which packages it could not judge")
    return replace(found, notes=(note, *found.notes))


def _scan_images(
    source: Path | str,
    site: Site | TrustError,
    basis: TimeBasis,
    scan: ScanReading,
    *,
    wanted: str | None,
    platform: str | None,
) -> BundleScan:
    with open_image_inspections(source, site, basis) as bundle:
        images = bundle.head.inventory.images if wanted is None else [choose_image(bundle.head.inventory, wanted)]
        found = FoundInImages()
        for image in images:
            try:
                inspection = bundle.open(image, choose_platform(image, platform))
                found.upstream += [(image.name, carried) for carried in inspection.scans()]
                _scan_readings(inspection, scan, found)
            except RejectedError as error:
                found.failures.append(error)
            except UsageError as error:  # this image has not that platform
                if wanted is not None:
                    raise
                found.failures.append(error)
        if not images:
            found.failures.append(nothing_to_scan(f"bundle {source}", "it brings none"))
        tops = tuple((image.name, image.digest) for image in images)
        return BundleScan(bundle.head, tuple(found.results), tuple(found.failures), (), tops, tuple(found.upstream))


def nothing_to_scan(place: str, got: str) -> RejectedError:
    """Nothing found must not mean that nothing was there to look at (``no-images``)."""
    hint = "images accepted earlier: sealift scan STATE"
    return RejectedError("no-images", "images", f"of {place}", got=got, want="at least one", hints=[hint])


@dataclass(slots=True)
class FoundInImages:
    """Results, failures, and what is to be said of VEX, as images are scanned one after the other."""

    results: list[ScanResult] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    failures: list[SealiftError] = field(default_factory=list)
    upstream: list[tuple[str, CarriedScan]] = field(default_factory=list)


def scan_image(inspection: ImageInspection, matcher: Matcher, found: FoundInImages) -> None:
    """Scan every SBOM of one image that can be relied on.

    Raises:
        EnvError: as `scan_bundle`.
    """
    _scan_readings(inspection, partial(_by_data, matcher), found)


def _scan_readings(inspection: ImageInspection, scan: ScanReading, found: FoundInImages) -> None:
    readings = read_all("sbom", inspection.judged, inspection.read_blob)
    usable = tuple(reading for reading in readings if reading.sbom is not None and not reading.code)
    found.failures += [reading.failure for reading in readings if reading.failure is not None]
    results = []
    for reading in usable:
        place = SbomPlace(inspection.image.name, reading.subject, reading.platform, reading.manifest, reading.strength)
        results.append(scan(reading, place))
    said = list(attached_vex(inspection.judged, inspection.read_blob))
    book = VexBook([source for source in said if isinstance(source, VexSource)], inspection.at)
    beside, notes = apply_vex(results, book, inspection.image.name, inspection.image.digest)
    found.results += beside
    found.notes += [*sorted(notes), *(note for note in said if isinstance(note, Note))]
    missing = missing_platforms(usable, inspection.judged.complete)
    if missing or not usable:
        found.failures.append(_missing(inspection, missing, readings))


def _by_data(matcher: Matcher, reading: Reading, place: SbomPlace) -> ScanResult:
    if reading.sbom is None:
        raise TypeError(reading.form)  # whoever calls has left those out
    return scan_sbom(reading.sbom, place, matcher)


@dataclass(frozen=True, slots=True)
class _ScannerRun:
    """A scanner, its name with its version, a folder for its files, of when its database is, as of when ages count."""

    scanner: SbomScanner
    name: str
    folder: Path
    database_at: datetime | None
    at: datetime


def _by_scanner(run: _ScannerRun, reading: Reading, place: SbomPlace) -> ScanResult:
    """What trivy or grype say of one SBOM.

    Raises:
        EnvError: as `scan_bundle_with`; a report that is none counts as a lie.
    """
    if reading.sbom is None or reading.held is None:
        raise TypeError(reading.form)  # whoever calls has left those out
    which = f"SBOM about {place.platform or place.digest} of {place.image}"
    work = Path(tempfile.mkdtemp(dir=run.folder)) / "run"
    raw = run.scanner.scan(sbom_document(reading.held), work, which)
    parse = parse_trivy_report if run.scanner.name == "trivy" else parse_grype_report
    try:
        word = parse(raw, place.platform or str(place.digest))
    except MalformedError as error:
        raise run.scanner.lied(which, str(error)[: limits.PROGRAM_CHARACTERS_SHOWN]) from error
    word = replace(word, database_at=word.database_at or run.database_at)
    findings = tuple(replace(finding, sources=(run.name,)) for finding in word.findings)
    packages, told = tell_apart(reading.sbom.packages, place.platform or str(place.digest))
    return ScanResult(
        image=place.image,
        digest=place.digest,
        platform=place.platform,
        sbom=place.sbom,
        sbom_kind=f"{reading.sbom.format} {reading.sbom.version}",
        strength=place.strength,
        packages=len(packages),
        judged=0,
        findings=tuple(sorted(findings, key=finding_order)),
        notes=(*told, *word.notes(packages, run.name, run.at)),
        data=(),
    )


def _missing(inspection: ImageInspection, missing: tuple[str, ...], readings: tuple[Reading, ...]) -> RejectedError:
    unproved = [
        f"{reading.form} about {reading.platform or 'the index'}: {reading.code}"
        for reading in readings
        if reading.code
    ]
    about = ", ".join(missing) or inspection.platform or "it"
    patched = any(fact.predicate_type == DERIVATION for fact in inspection.judged.facts)
    return RejectedError(
        "sbom-missing", "SBOM", f"of {inspection.image.name}", got=f"none that can be relied on about {about}",
        want="one", hints=[*(f"not relied on: {text}" for text in unproved), *([_PATCHED] if patched else [])],
    )  # fmt: skip
