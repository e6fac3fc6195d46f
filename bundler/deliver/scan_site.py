"""Images that a site accepted earlier, against data of today: for `sealift scan STATE`.

Rules of this module:
- Every image that the site remembers is scanned once, as it came in the newest delivery that has it.
- What is said of SBOMs is what remembered_deliveries.py says: strengths as they were judged on the day of acceptance.
- A platform of which no SBOM was kept is a failure with its name, as in a bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bundler import limits
from bundler.deliver.remembered_deliveries import Memory
from bundler.deliver.scanning import BundleScan, nothing_to_scan
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError, SealiftError, UsageError
from bundler.oci.descriptor import Platform, parse_platform
from bundler.oci.platforms import UNKNOWN
from bundler.oci.reference import parse_reference
from bundler.vulnerability.findings import Note, ScanResult
from bundler.vulnerability.history import DeliveredImage, Delivery
from bundler.vulnerability.scan import data_notes

_LACKING = ("sbom-missing",)


def scan_site(memory: Memory, *, wanted: str | None = None, platform: str | None = None) -> BundleScan:
    """Scan one remembered image, or all.

    Args:
        memory: the site, the data, and VEX that travelled as data.
        wanted: the image's name or digest; None for all.
        platform: of this platform only.

    Raises:
        UsageError: no such image (``image-choice``), or no platform at all (``platform``).
        TrustError: ``state-damaged``, ``state-changed``. EnvError: the disk, a damaged index.
    """
    meant = None if platform is None else _read_platform(platform)
    images = list(_newest(list(memory.deliveries())))
    chosen = [image for image in images if wanted is None or _is_meant(image, wanted)]
    if wanted is not None and not chosen:
        raise UsageError(
            "image-choice", "image", wanted[:300], got="no image that this site remembers", want="one of them",
            hints=[f"{image.name} {image.digest}" for image in images[: limits.HINTS]],
        )  # fmt: skip
    results: list[ScanResult] = []
    failures: list[SealiftError] = []
    notes: set[Note] = set(data_notes(memory.matcher))
    for image in chosen:
        scans = [scan for scan in image.scans if _covers(meant, scan)]
        results += scans
        if meant is not None and not scans:
            failures.append(_without_sbom(image, f"SBOM about {platform}", "none that this site has kept"))
        for note in image.gaps:
            if note.code not in _LACKING:
                notes.add(note)
            elif meant is None:
                failures.append(_without_sbom(image, note.subject, note.detail))
    if not chosen:
        failures.append(nothing_to_scan("this site", "it remembers none"))
    tops = tuple((image.name, image.digest) for image in chosen)
    return BundleScan(None, tuple(results), tuple(failures), tuple(sorted(notes)), tops)


def _read_platform(text: str) -> Platform:
    try:
        return parse_platform(text)
    except MalformedError as error:
        raise UsageError(error.code, "platform", text[:80], got=error.got, want=error.want) from error


def _covers(meant: Platform | None, scan: ScanResult) -> bool:
    """Whether an SBOM is about the platform that somebody means, or about all of them."""
    if meant is None or scan.platform in ("", UNKNOWN):
        return meant is None or not scan.platform
    return meant.covers(parse_platform(scan.platform))


def _without_sbom(image: DeliveredImage, what: str, got: str) -> RejectedError:
    return RejectedError("sbom-missing", what, f"of {image.name}", got=got, want="one")


def _newest(deliveries: Sequence[Delivery]) -> Iterator[DeliveredImage]:
    """Each image once, from the newest delivery that has it, in the order of names."""
    found: dict[tuple[str, Digest], DeliveredImage] = {}
    for delivery in sorted(deliveries, key=lambda item: (item.created_at, item.stream, item.sequence)):
        found |= {(image.name, image.digest): image for image in delivery.images}
    yield from (found[place] for place in sorted(found, key=lambda place: (place[0], str(place[1]))))


def _is_meant(image: DeliveredImage, wanted: str) -> bool:
    if wanted in (image.name, str(image.digest)):
        return True
    try:
        return str(parse_reference(wanted)) == image.name
    except MalformedError:
        return False
