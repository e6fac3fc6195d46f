"""A dashboard as one HTML page, from plain values (DASHBOARD.md): how they came is not known here.

Rules of this module:
- The headline says the worst that is known. What could not be judged keeps it from being a good one.
- Nothing here counts or compares anew: numbers are the document's.
- Of very many findings of one image the worst are in the page; that there are more is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bundler import limits
from bundler.report.charts import Chart, draw_chart, told_counts
from bundler.report.html_page import FIRST_ROWS, render, told_number
from bundler.vulnerability.findings import Severity, severity_rank
from bundler.vulnerability.history import SHOWN

OLD_DATA_DAYS = 30  # from here on the page says so in its head
_FEW = 3
_MANY, _FIRST_OF_MANY = 20, 5  # of so many images, fewer rows of each stand in the page twice: as a table and as data
_LARGE_PLOT, _MIDDLE_PLOT, _SMALL_PLOT = 150, 84, 26
TONES = {"verified": "good", "not judged": "note", "intact-not-verified": "warn"}  # all others are bad
HEADS = ("Vulnerability", "Severity", "Package", "Installed", "Fixed in", "Known days", "Summary")
KINDS = ("", "severity", "", "", "", "right", "")
_STATED = ("status", "author", "strength", "stated", "accepted", "justification", "detail")  # shown of a VEX statement
_GRAVE_ONES = tuple(severity for severity in SHOWN if severity_rank(severity) >= severity_rank("high"))


def format_dashboard(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: as `sealift dashboard --json` prints it.

    Raises:
        UsageError: jinja2 is not installed (code ``html``).
    """
    images = [_image(image, number) for number, image in enumerate(_worst_first(document["images"]), 1)]
    totals = document["totals"]
    trusted = [delivery for delivery in document["deliveries"] if delivery["trusted"]]
    tone, headline = headline_of(totals)
    return render(
        "dashboard.html",
        {
            "document": document,
            "totals": totals,
            "tone": tone,
            "headline": headline,
            "images": images,
            "several_streams": len({one["stream"] for one in trusted}) > 1,
            "index": search_index(images),
            "charts": list(_charts(trusted)),
            "trusted": len(trusted),
            "warnings": [*_untrusted(document["deliveries"]), *_warnings(totals), *data_warnings(document["data"])],
            "data_told": told_data(document["data"]),
            "severities": SHOWN,
            "tones": TONES,
            "few": len(images) <= _FEW,
            "first_rows": FIRST_ROWS if len(images) <= _MANY else _FIRST_OF_MANY,
            "heads": HEADS,
            "kinds": KINDS,
            "most": limits.PAGE_FINDINGS,
        },
    )


def headline_of(totals: Mapping[str, Any]) -> tuple[str, str]:
    """Tone and words for the top of a page.

    Args:
        totals: with `images`, `unscanned`, `incomplete` and `open`.
    """
    counts = totals["open"]
    if counts["total"]:
        return _headline_of_open(counts)
    if not totals["images"]:
        return "note", "No image to judge"
    if totals["unscanned"] == totals["images"]:
        return "warn", "Nothing could be judged"
    if totals["unscanned"] or totals["incomplete"]:
        return "warn", "None known, not all judged"
    return "good", "None known"


def _headline_of_open(counts: Mapping[str, int]) -> tuple[str, str]:
    grave = [f"{told_number(counts[severity])} {severity}" for severity in SHOWN[:2] if counts[severity]]
    if grave:
        return "bad", f"{' and '.join(grave)} open"
    total = told_number(counts["total"])
    if counts["unknown"]:  # counts as high wherever something is decided by severity
        return "bad", f"{total} open, {told_number(counts['unknown'])} of unknown severity"
    return "warn", f"{total} open, none above medium"


def _untrusted(deliveries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for delivery in deliveries:
        if not delivery["trusted"]:
            yield "Not trusted.", f"{delivery['source']} [{delivery['reason']}]: nothing in it is counted."


def _warnings(totals: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What keeps the numbers from being the whole truth."""
    said = []
    if refused := totals["images"] - totals["verified"]:
        said.append(("Not verified.", f"{_images(refused)} in the newest state did not verify, or was not judged."))
    if totals["unscanned"]:
        said.append(("Not judged.", f"{_images(totals['unscanned'])} without an SBOM that could be read: not counted."))
    if left := totals["packages"] - totals["judged"]:
        told = f"{told_number(left)} of {told_number(totals['packages'])} packages"
        said.append(("Not all packages judged.", f"{told} could not be looked up or compared."))
    if patched := totals["patched"]:
        told = f"{_images(patched)} judged by SBOMs of the original"
        said.append(("Patched.", f"{told}: what a patch put on top is in none of them."))
    return said


def data_warnings(data: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Data that is old, without a date, or not there."""
    if not data:
        return [("No vulnerability data.", "Nothing was compared with anything.")]
    said = []
    for source in data:
        if source["age_days"] is None:
            said.append(("Data without a date.", f"{source['source']} does not tell how old it is."))
        elif source["age_days"] >= OLD_DATA_DAYS:
            said.append(
                ("Old data.", f"{source['source']} is {source['age_days']} days old: what came up since is not in it.")
            )
    return said


def told_data(data: Sequence[Mapping[str, Any]]) -> str:
    """`compared with data that is 12 to 43 days old`."""
    ages = sorted({source["age_days"] for source in data if source["age_days"] is not None})
    if not data:
        return "compared with no data"
    if not ages or any(source["age_days"] is None for source in data):
        return "compared with data of unknown age"
    days = f"{ages[0]} day{'' if ages[0] == 1 else 's'}" if len(ages) == 1 else f"{ages[0]} to {ages[-1]} days"
    return f"compared with data that is {days} old"


def _images(number: int) -> str:
    return f"{told_number(number)} image{'' if number == 1 else 's'}"


def _charts(deliveries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Chart, int]]:
    """One chart for each stream."""
    for stream in dict.fromkeys(delivery["stream"] for delivery in deliveries):
        points = [delivery for delivery in deliveries if delivery["stream"] == stream]
        yield stream, draw_chart(points, _LARGE_PLOT), len(points)


def _worst_first(images: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By open vulnerabilities, the worst severity first; what was not judged comes before what is clean."""

    def key(image: Mapping[str, Any]) -> tuple[Any, ...]:
        counts = image["open"]
        numbers = (0,) * len(SHOWN) if counts is None else tuple(-counts[severity] for severity in SHOWN)
        return *numbers, counts is not None, image["verdict"] == "verified", image["stream"], image["name"]

    return sorted(images, key=key)


def _image(image: Mapping[str, Any], number: int) -> dict[str, Any]:
    history = [{"sequence": past["sequence"], "open": past["open"]} for past in image["history"]]
    counts = image["open"]
    change = image["change"]
    return {
        **image,
        **finding_tables(image["findings"], [sbom["platform"] for sbom in image["sboms"]]),
        "number": number,
        "tone": TONES.get(image["verdict"], "bad"),
        "grave": counts is None or image["verdict"] != "verified" or any(counts[key] for key in _GRAVE_ONES),
        "told": told_counts(counts),
        "small": draw_chart(history, _SMALL_PLOT, labels=False),
        "chart": draw_chart(history, _MIDDLE_PLOT),
        "change_rank": "" if change is None else len(change["brought"]) - len(change["fixed"]),
    }


def finding_tables(findings: Sequence[Mapping[str, Any]], platforms: Sequence[str]) -> dict[str, Any]:
    """Findings of one image as rows of tables: those that are open, those under VEX, and every VEX statement.

    Args:
        findings: as `exposure_document` makes them, worst first.
        platforms: those that have an SBOM: a finding in all of them needs no name of a platform.
    """
    everywhere = set(platforms)
    unsettled = [finding for finding in findings if not finding["excused"]]
    settled = [finding for finding in findings if finding["excused"]]
    return {
        "rows": [finding_row(finding, everywhere) for finding in unsettled[: limits.PAGE_FINDINGS]],
        "row_count": len(unsettled),
        "settled": [finding_row(finding, everywhere) for finding in settled[: limits.PAGE_FINDINGS]],
        "settled_count": len(settled),
        "statements": _statements(findings[: limits.PAGE_FINDINGS]),
        "statement_count": sum(len(finding["vex"]) for finding in findings[: limits.PAGE_FINDINGS]),
    }


def _statements(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What VEX says, each thing once, with all that it is said about: a vendor says the same of dozens."""
    said: dict[tuple[Any, ...], dict[str, Any]] = {}
    for finding in findings:
        for verdict in finding["vex"]:
            what = {key: verdict[key] for key in _STATED}
            about = said.setdefault(tuple(what.values()), {**what, "about": []})["about"]
            about.append((finding["id"], finding["package"]["name"]))
    return list(said.values())


def search_index(images: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Which blocks of findings belong to which image, for the search over all of them. Blocks go in pairs."""
    return [
        {"image": image["number"], "name": image["name"], "block": 2 * image["number"] + place, "platforms": state}
        for image in images
        for place, (rows, state) in enumerate((("rows", "open"), ("settled", "under VEX")))
        if image[rows]
    ]


def finding_row(finding: Mapping[str, Any], everywhere: set[str]) -> tuple[Any, ...]:
    """One row, as HEADS names its columns."""
    severity: Severity = finding["severity"]
    platforms = [platform or "whole image" for platform in finding["platforms"]]
    some = "" if set(finding["platforms"]) == everywhere else f" ({', '.join(platforms)})"
    return (
        ", ".join((finding["id"], *finding["aliases"])),
        f"{severity} {finding['score']}".strip(),
        f"{finding['package']['name']}{some}",
        finding["package"]["version"],
        ", ".join(finding["fixed_in"]),
        finding["known_days"],
        finding["summary"],
    )
