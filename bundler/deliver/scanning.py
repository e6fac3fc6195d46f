"""A bundle's SBOMs against vulnerability data: for `sealift scan`.

Rules of this module:
- The head's trust is checked first; evidence is judged as `sealift inspect` does (image_inspection.py). Each result
  says how strong its SBOM is bound and signed.
- An SBOM whose signature or proof does not hold is not scanned. A platform about which no other SBOM is there is named,
  with `sbom-missing`: nothing found must never mean nothing looked at.
- A scanner of the site (trivy, grype) can judge instead; then everything is its word, and no package counts as judged.
- A platform of a patched image without an SBOM of its own is judged by its original's, by name (originals.py).
- VEX stands beside findings; whose word settles them is said by the site's policy (vex_beside.py).
- One image that cannot be judged does not keep the others from being scanned; its error stands in `failures`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
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
from bundler.deliver.originals import Origin, ScanReading, find_origin, mended, scan_originals
from bundler.deliver.readings import Reading, missing_platforms, read_all
from bundler.deliver.vex_beside import Hearing
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError, SealiftError, TrustError, UsageError
from bundler.evidence.derivation import PREDICATE_TYPE as DERIVATION
from bundler.evidence.sbom import sbom_document
from bundler.network.sbom_scanner import SbomScanner
from bundler.value import dataclass, field, replace
from bundler.verify.policy import Rule
from bundler.verify.scan_facts import CarriedScan
from bundler.verify.vex_word import attached_vex, carried_vex, told_apart, word_of
from bundler.vulnerability.findings import Note, ScanResult
from bundler.vulnerability.match import Matcher
from bundler.vulnerability.scan import SbomPlace, data_notes, finding_order, scan_sbom, tell_apart
from bundler.vulnerability.scanner_report import parse_grype_report, parse_trivy_report
from bundler.vulnerability.vex import Subject, VexBook, VexSource
from trust_root.delivery import TimeBasis
from trust_root.site import Site

_PATCHED = "it was patched, and its original in this bundle has no such SBOM either"


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
        policy: digest of the one that says whose VEX counts; None where nobody's does.
    """

    head: InspectedHead | None
    results: tuple[ScanResult, ...]
    failures: tuple[SealiftError, ...]
    notes: tuple[Note, ...]
    images: tuple[tuple[str, Digest], ...] = ()
    upstream: tuple[tuple[str, CarriedScan], ...] = ()
    policy: Digest | None = None


def scan_bundle(
    source: Path | str,
    site: Site | TrustError,
    basis: TimeBasis,
    matcher: Matcher,
    *,
    hearing: Hearing | None = None,
    wanted: str | None = None,
    platform: str | None = None,
) -> BundleScan:
    """Scan one image of a bundle, or all.

    Args:
        source: the bundle's path, or `-`.
        site: the site's state, or the error that says why there is none.
        basis: the time basis.
        matcher: the data, and as of when.
        hearing: VEX that travelled as data, and whose word is taken; None: nobody's.
        wanted: the image's name or digest; None for all.
        platform: of this platform only.

    Raises:
        UsageError: no such image (``image-choice``) or platform (``platform-absent``).
        DamagedError, UnsupportedError, EnvError, TrustError: as `inspect_bundle`.
        EnvError: a damaged index, or a package of the extra `scan` is absent.
    """
    judge = _Judge(partial(_by_data, matcher), hearing or Hearing(site))
    found = _scan_images(source, site, basis, judge, wanted=wanted, platform=platform)
    return replace(found, notes=(*data_notes(matcher), *found.notes))


def scan_bundle_with(
    source: Path | str,
    site: Site | TrustError,
    basis: TimeBasis,
    scanner: SbomScanner,
    *,
    hearing: Hearing | None = None,
    wanted: str | None = None,
    platform: str | None = None,
) -> BundleScan:
    """Like `scan_bundle`, by a scanner of this machine with its own database.

    Args:
        source, site, basis, hearing, wanted, platform: as `scan_bundle`.
        scanner: trivy or grype.

    Raises:
        UsageError, DamagedError, UnsupportedError, EnvError, TrustError: as `scan_bundle`.
        EnvError: the scanner is absent, failed, stalled or lied (``trivy-absent`` and the like).
    """
    version = scanner.version()
    with tempfile.TemporaryDirectory(prefix="sealift-scan-") as folder:
        run = _ScannerRun(scanner, f"{scanner.name} {version}", Path(folder), scanner.database_at(), basis.at)
        judge = _Judge(partial(_by_scanner, run), hearing or Hearing(site))
        found = _scan_images(source, site, basis, judge, wanted=wanted, platform=platform)
    note = Note("scanner-silent", f"{scanner.name} {version}", "does not say which packages it could not judge")
    return replace(found, notes=(note, *found.notes))


def _scan_images(
    source: Path | str,
    site: Site | TrustError,
    basis: TimeBasis,
    judge: _Judge,
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
                _scan_readings(inspection, judge, found)
            except RejectedError as error:
                found.failures.append(error)
            except UsageError as error:  # this image has not that platform
                if wanted is not None:
                    raise
                found.failures.append(error)
        if not images:
            found.failures.append(nothing_to_scan(f"bundle {source}", "it brings none"))
        tops = tuple((image.name, image.digest) for image in images)
        notes = tuple(sorted(set(found.notes)))
        return BundleScan(bundle.head, tuple(found.results), tuple(found.failures), notes, tops, tuple(found.upstream))


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


@dataclass(frozen=True, slots=True)
class _Judge:
    """How one SBOM is judged, and what is heard beside its findings."""

    scan: ScanReading
    hearing: Hearing


def scan_image(inspection: ImageInspection, matcher: Matcher, hearing: Hearing, found: FoundInImages) -> None:
    """Scan every SBOM of one image that can be relied on; of a patched one, where it has none, its original's.

    Raises:
        EnvError: as `scan_bundle`.
    """
    _scan_readings(inspection, _Judge(partial(_by_data, matcher), hearing), found)


def _scan_readings(inspection: ImageInspection, judge: _Judge, found: FoundInImages) -> None:
    image, rule = inspection.image, judge.hearing.rule(inspection.head, inspection.image.name, inspection.image.digest)
    readings = read_all("sbom", inspection.judged, inspection.read_blob)
    usable = tuple(reading for reading in readings if reading.sbom is not None and not reading.code)
    found.failures += [reading.failure for reading in readings if reading.failure is not None]
    missing = missing_platforms(usable, inspection.judged.complete)
    origin, unproved = find_origin(inspection, rule)
    book = VexBook(_heard(inspection, judge.hearing, rule, origin, found), inspection.at)
    found.notes += book.notes
    for reading in usable:
        place = SbomPlace(image.name, reading.subject, reading.platform, reading.manifest, reading.strength)
        digests = frozenset({image.digest, reading.subject})
        found.results.append(_beside(judge.scan(reading, place), digests, book, found))
    borrowed = []
    if origin is not None:
        for result, digests in scan_originals(origin, inspection, missing, judge.scan):
            borrowed.append(mended(origin, _beside(result, digests, book, found)))
    found.results += borrowed
    covered = {result.platform for result in borrowed}
    missing = tuple(platform for platform in missing if platform not in covered)
    if missing or not (usable or borrowed):
        found.failures.append(_missing(inspection, missing, readings, unproved))


def _beside(result: ScanResult, digests: frozenset[Digest], book: VexBook, found: FoundInImages) -> ScanResult:
    """A result with statements beside its findings."""
    applied = book.apply(result.findings, Subject(result.image, digests))
    found.notes += applied.notes
    return replace(result, findings=applied.findings)


def _heard(
    inspection: ImageInspection, hearing: Hearing, rule: Rule | None, origin: Origin | None, found: FoundInImages
) -> Iterator[VexSource]:
    """VEX of the image, of the one that it was patched from, and what travelled as data; the rest is noted."""
    word = word_of(rule, hearing.owner(inspection.head))
    said = list(attached_vex(word, inspection.judged.evidence, inspection.judged.facts))
    if origin is not None:
        found.notes += origin.notes
        old = origin.inspection.judged
        derived = word if rule is not None and rule.derived_from else word.shown_only
        said += attached_vex(derived, old.evidence, old.facts)
    sources, notes = told_apart(said)
    found.notes += notes
    yield from sources
    yield from carried_vex(word, hearing.documents)


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
        original=place.original,
    )


def _missing(
    inspection: ImageInspection,
    missing: tuple[str, ...],
    readings: tuple[Reading, ...],
    derivations: tuple[SealiftError, ...],
) -> RejectedError:
    unproved = [
        f"{reading.form} about {reading.platform or 'the index'}: {reading.code}"
        for reading in readings
        if reading.code
    ]
    about = ", ".join(missing) or inspection.platform or "it"
    unproved += [f"its original's, as the derivation is not proved: [{error.code}] {error}" for error in derivations]
    patched = any(fact.predicate_type == DERIVATION for fact in inspection.judged.facts)
    return RejectedError(
        "sbom-missing", "SBOM", f"of {inspection.image.name}", got=f"none that can be relied on about {about}",
        want="one", hints=[*(f"not relied on: {text}" for text in unproved), *([_PATCHED] if patched else [])],
    )  # fmt: skip
