"""The differences of two bundles as one HTML page, from plain values (DIFF.md): how they came is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundler.report.html_page import render

_CHANGES = {
    "added": ("good", "plus", "added"),
    "removed": ("bad", "minus", "removed"),
    "moved": ("warn", "change", "moved"),
    "replaced": ("warn", "change", "replaced"),
    "evidence": ("note", "change", "other evidence"),
}
_FACTS = (
    ("platforms", "Platforms"),
    ("omitted", "Left out"),
    ("signers", "Signed by"),
    ("log_strength", "Strength"),
    ("not_verified", "Not verified"),
    ("builders", "Builders"),
    ("sources", "Sources"),
)


def format_diff_html(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: as `sealift diff --json` prints it.

    Raises:
        UsageError: jinja2 is not installed (code ``html``).
    """
    blocks: list[list[tuple[str, str, str, str]]] = []
    images = []
    for image in document["images"]:
        tables = []
        for platform in image["packages"]:
            blocks.append(
                sorted(_row(kind, item) for kind in ("added", "removed", "changed") for item in platform[kind])
            )
            tables.append({**platform, "number": len(blocks), "rows": blocks[-1]})
        tone, sign, word = _CHANGES[image["change"]]
        facts = [(word, image[key]) for key, word in _FACTS if image[key]["removed"] or image[key]["added"]]
        images.append({**image, "tone": tone, "sign": sign, "word": word, "facts": facts, "tables": tables})
    counts = {change: sum(image["change"] == change for image in images) for change in _CHANGES}
    return render("diff.html", {"diff": document, "images": images, "counts": counts})


def _row(kind: str, item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    sides = [", ".join(item["versions"][side]) for side in ("before", "after")]
    licences = [", ".join(item["licences"][side]) for side in ("before", "after")]
    if licences[0] != licences[1] and kind == "changed":
        sides = [f"{version} ({licence or 'no licence'})" for version, licence in zip(sides, licences, strict=True)]
    return item["package"], kind, *sides
