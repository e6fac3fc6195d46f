"""A scan as one HTML page: what is open in each image, what could not be judged, and how old the data is.

Rules of this module:
- An image's platforms are shown together: a vulnerability in one version of a package stands once, with the platforms
  that have it where they are not all.
- The headline says the worst that is known. What could not be scanned or judged keeps it from being a good one; a head
  that is not trusted stands above everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bundler import limits
from bundler.moment import parse_moment
from bundler.report.dashboard_html import (
    HEADS,
    KINDS,
    data_warnings,
    finding_tables,
    headline_of,
    search_index,
    told_data,
)
from bundler.report.html_page import render, told_number
from bundler.vulnerability.dashboard import counts_document, exposure_document
from bundler.vulnerability.document import original_document
from bundler.vulnerability.findings import ScanResult
from bundler.vulnerability.history import SHOWN, add_counts, count, merge_findings

_FEW = 3


def format_scan_html(document: Mapping[str, Any], results: Sequence[ScanResult]) -> str:
    """The page.

    Args:
        document: as `sealift scan --json` prints it.
        results: those that it was made of.

    Raises:
        UsageError: jinja2 is not installed (code ``html``).
    """
    images = list(_images(results, parse_moment(document["at"])))
    failed = len(document["not_scanned"])
    totals = {
        "images": len(images) or min(1, failed),
        "unscanned": 0 if images else failed,
        "incomplete": failed + document["packages"] - document["judged"] + _patched(document),
        "open": counts_document(add_counts(image["counts"] for image in images)),
    }
    tone, headline = headline_of(totals) if document["trusted"] else ("bad", "Not trusted")
    return render(
        "scan.html",
        {
            "document": document,
            "totals": totals,
            "tone": tone,
            "headline": headline,
            "images": images,
            "index": search_index(images),
            "warnings": [*_warnings(document), *data_warnings(document["data"])],
            "data_told": told_data(document["data"]),
            "severities": SHOWN,
            "few": len(images) <= _FEW,
            "heads": HEADS,
            "kinds": KINDS,
            "most": limits.PAGE_FINDINGS,
        },
    )


def _patched(document: Mapping[str, Any]) -> int:
    """How many SBOMs are of an image from before a patch: what the patch put on top is in none of them."""
    return sum(result["original"] is not None for result in document["images"])


def _warnings(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for failure in document["not_scanned"]:
        yield "Not scanned.", f"{failure['message']} [{failure['reason']}]"
    if left := document["packages"] - document["judged"]:
        told = f"{told_number(left)} of {told_number(document['packages'])} packages"
        yield "Not all packages judged.", f"{told} could not be looked up or compared."
    if _patched(document):
        yield "Patched.", "Some images are judged by SBOMs of their originals: what a patch put on top is in none."


def _images(results: Sequence[ScanResult], at: datetime) -> Iterator[dict[str, Any]]:
    """Each image once, in the order of the results."""
    for number, name in enumerate(dict.fromkeys(result.image for result in results), 1):
        scans = [result for result in results if result.image == name]
        exposures = merge_findings(scans)
        counts = count(exposures)
        notes = sorted({note for scan in scans for note in scan.notes})
        yield {
            **finding_tables(
                [exposure_document(exposure, at) for exposure in exposures], [scan.platform for scan in scans]
            ),
            "number": number,
            "name": name,
            "counts": counts,
            "open": counts_document(counts),
            "incomplete": any(scan.judged < scan.packages or scan.original is not None for scan in scans),
            "sboms": [
                {
                    "platform": scan.platform,
                    "kind": scan.sbom_kind,
                    "strength": scan.strength,
                    "packages": scan.packages,
                    "judged": scan.judged,
                    "original": original_document(scan.original),
                }
                for scan in scans
            ],
            "notes": [{"reason": note.code, "subject": note.subject, "detail": note.detail} for note in notes],
        }
