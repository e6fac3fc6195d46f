"""Rows told once: what comes back is what was taken in, and what several tables have is there once."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.report.as_html import format_html
from bundler.report.dashboard_html import format_dashboard
from bundler.report.row_pool import Cell, RowPool
from bundler.vulnerability.dashboard import dashboard_document
from tests.simulators.pages import large_page
from tests.simulators.vulnerable import AT, ten_deliveries

CELLS: st.SearchStrategy[Cell] = (
    st.none() | st.integers() | st.booleans() | st.text(max_size=3) | st.sampled_from(["1", "0", "", "</script>"])
)
TABLES: st.SearchStrategy[list[list[list[Cell]]]] = st.lists(
    st.lists(st.lists(CELLS, max_size=4), max_size=5), max_size=5
)


def drawn(pool: dict[str, Any], places: list[int]) -> list[list[Cell]]:
    """A table as the script makes it."""
    return [[pool["cells"][cell] for cell in pool["rows"][place]] for place in places]


def blocks(html: str) -> tuple[dict[str, Any], dict[int, list[int]]]:
    """The pool of a page, and its tables by number."""
    found = dict(re.findall(r'<script type="application/json" id="([a-z0-9-]+)">(.*?)</script>', html, re.DOTALL))
    tables = {int(name[9:]): json.loads(text) for name, text in found.items() if name.startswith("packages-")}
    return json.loads(found["row-pool"]), tables


@settings(derandomize=True, deadline=None)
@given(TABLES)
def test_what_comes_back_is_what_was_taken_in(tables: list[list[list[Cell]]]) -> None:
    pool = RowPool()
    places = [pool.take(rows) for rows in tables]
    told = pool.document()
    back = [drawn(told, some) for some in places]
    assert repr(back) == repr(tables)  # 1, True and "1" are not the same


def test_a_row_of_many_tables_is_there_once() -> None:
    pool = RowPool()
    rows: list[list[Cell]] = [["CVE-1", "high", 7], ["CVE-2", "high", 7]]
    assert [pool.take(rows) for _ in range(50)] == [[0, 1]] * 50
    assert pool.document() == {"cells": ["CVE-1", "high", 7, "CVE-2"], "rows": [[0, 1, 2], [3, 1, 2]]}


def test_every_row_of_a_page_is_in_its_pool() -> None:
    report, exhibits = large_page(6, 120)
    pool, tables = blocks(format_html(report, exhibits))
    names = {row[0] for places in tables.values() for row in drawn(pool, places)}
    assert names == {package.name for item in exhibits if item for paper in item.papers if paper.sbom
                     for package in paper.sbom.packages}  # fmt: skip


def test_findings_of_a_dashboard_are_in_its_pool_in_their_order() -> None:
    document = dashboard_document(ten_deliveries(4, 3), AT)
    pool, tables = blocks(format_dashboard(document))
    told = {tuple(str(row[0]).split(", ")[0] for row in drawn(pool, places)) for places in tables.values()}
    assert told == {
        ids
        for image in document["images"]
        for excused in (False, True)
        if (ids := tuple(item["id"] for item in image["findings"] if bool(item["excused"]) is excused))
    }
