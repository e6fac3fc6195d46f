"""A report as one HTML page for people: the verdict first, then each image with who signed it and what is in it.

The page loads nothing and sends nothing; see html_page.py for how it is kept safe. The same report and exhibits give
the same bytes. What it shows beyond the JSON form (chains, packages, provenance) are the exhibits that a verification
gathers when it is asked to (`Request.exhibit`).
"""

from __future__ import annotations

from bundler.report.html_page import render
from bundler.report.html_view import report_view
from bundler.verify.exhibits import Exhibits
from bundler.verify.result import Report


def format_html(report: Report, exhibits: tuple[Exhibits | None, ...] = ()) -> str:
    """The report as an HTML page.

    Args:
        report: the verdicts.
        exhibits: of each image, in the report's order; empty where none were gathered.

    Raises:
        UsageError: jinja2 is not installed (code ``html``).
    """
    return render("report.html", report_view(report, exhibits))
