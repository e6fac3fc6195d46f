"""Dashboards and scans in a real browser: ten deliveries of twenty images; order, search, keyboard, no complaint, no
request, hostile text, accessibility, narrow windows, paper.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from bundler.report.dashboard_html import format_dashboard
from bundler.report.scan_html import format_scan_html
from bundler.vulnerability.dashboard import dashboard_document
from bundler.vulnerability.document import scan_document
from bundler.vulnerability.findings import ScanResult
from bundler.vulnerability.history import Delivery
from tests.end_to_end.test_page_in_browser import AXE_TAGS, HOSTILE, check_calm
from tests.simulators.browser import PROGRAM, Browser, Page
from tests.simulators.vulnerable import AT, DATA, hostile_deliveries, ten_deliveries

HEAD = {"trusted": True, "reason": "", "message": "", "pin": "sha256:" + 64 * "a", "stream": "main", "sequence": 19}
NAMES = ["dashboard", "hostile", "scan", "hostile-scan"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if shutil.which(PROGRAM) is None:
        if os.environ.get("CI"):
            pytest.fail(f"no {PROGRAM}, which make setup installs")
        pytest.skip(f"no {PROGRAM}: install it to run the tests of pages")
    with Browser() as running:
        yield running


def scan_page(delivery: Delivery, file: str) -> str:
    results: list[ScanResult] = [result for image in delivery.images for result in image.scans]
    return format_scan_html({**HEAD, "file": file, **scan_document(results, DATA, (), (), AT)}, results)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    deliveries = {"good": ten_deliveries(), "hostile": hostile_deliveries(HOSTILE)}
    texts = {
        "dashboard": format_dashboard(dashboard_document(deliveries["good"], AT, "plant-7")),
        "small": format_dashboard(dashboard_document(ten_deliveries(4, 3), AT)),
        "hostile": format_dashboard(dashboard_document(deliveries["hostile"], AT, HOSTILE)),
        "scan": scan_page(deliveries["good"][-1], "app.bundle.tar"),
        "hostile-scan": scan_page(deliveries["hostile"][-1], HOSTILE),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def open_all(page: Page) -> None:
    page.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


def column(page: Page, number: int) -> list[str]:
    """What stands in one column of the images' table, without what stands beneath."""
    rows = "[...document.querySelectorAll('#image-table tbody tr:not([hidden])')]"
    found: list[str] = page.run(f"{rows}.map((row) => row.cells[{number}].innerText.split('\\n')[0].trim())")
    return found


def press_head(page: Page, name: str) -> str:
    """Press a column's head; how the column is then ordered."""
    head = f"[...document.querySelectorAll('#image-table thead th')].find((it) => it.innerText.trim() === '{name}')"
    page.run(f"{head}.querySelector('button').click()")
    assert page.run("document.querySelectorAll('#image-table [aria-sort]').length") == 1
    return str(page.run(f"{head}.getAttribute('aria-sort')"))


def test_images_are_ordered_by_any_column(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["dashboard"])
    assert len(column(page, 0)) == 20
    assert press_head(page, "High") == "descending"
    numbers = column(page, 4)
    assert numbers[-1] == "?"  # not judged stands last, whichever way
    assert [int(text) for text in numbers[:-1]] == sorted((int(text) for text in numbers[:-1]), reverse=True)
    assert press_head(page, "High") == "ascending"
    numbers = column(page, 4)
    assert numbers[-1] == "?"
    assert [int(text) for text in numbers[:-1]] == sorted(int(text) for text in numbers[:-1])
    assert press_head(page, "Image") == "ascending"
    names = column(page, 0)
    assert names == sorted(names)
    assert press_head(page, "Verdict") == "ascending"
    assert column(page, 1)[0] == "rejected"
    assert press_head(page, "Change") == "descending"
    check_calm(page, pages["dashboard"])


def test_images_are_filtered(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["dashboard"])
    assert page.text("#image-status") == "20 images"
    page.type("#image-filter", "vault")
    page.wait("document.querySelector('#image-status').textContent === '1 of 20 images'")
    assert page.run("document.querySelectorAll('article:not([hidden])').length") == 1
    page.type("#image-filter", "")
    page.run("document.querySelector('#image-refused').click()")
    page.wait("document.querySelector('#image-status').textContent === '17 of 20 images'")
    assert "registry.example.org/platform/etcd:1.19" in column(page, 0)  # not judged is not harmless


def test_a_vulnerability_is_found_in_all_images_and_leads_to_its_own(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["dashboard"])
    page.type("#find-text", "CVE-2026-1904")
    page.wait("document.querySelector('#find-status').textContent === '1 found'")
    cells = page.texts("#find-package tbody td, #find-package tbody th")
    assert (cells[0], cells[3].rpartition("/")[2], cells[4]) == ("CVE-2026-1904", "vault:1.19", "under VEX")
    assert page.run("document.querySelectorAll('article details[open]').length") == 0
    page.run("document.querySelector('#find-package tbody a').click()")
    page.wait("document.querySelectorAll('article > details[open]').length === 1")
    page.type("#find-text", "openssl critical")
    page.wait("document.querySelector('#find-status').textContent.endsWith(' found')")
    check_calm(page, pages["dashboard"])


def test_vulnerabilities_stand_worst_first_and_are_ordered_as_people_mean(
    browser: Browser, pages: dict[str, Path]
) -> None:
    page = browser.open(pages["dashboard"])
    page.run("document.querySelector('article > details').open = true")
    table = "article [data-packages]"
    page.wait(f"document.querySelector('{table} .package-status').textContent.startsWith('1 to 10')")
    page.run(f"const s = document.querySelector('{table} select'); s.value = '0'; s.dispatchEvent(new Event('change'))")
    kinds = f"[...document.querySelector('{table}').querySelectorAll('tbody tr')].map((row) => row.cells[%d].innerText)"
    order = ["critical", "high", "unknown", "medium", "low", "none"]
    words = [text.split(" ")[0] for text in page.run(kinds % 1)]
    assert words == sorted(words, key=order.index)
    assert set(words) > {"critical", "high", "low"}
    page.run(f"document.querySelector(`{table} [data-column='5']`).click()")
    days = [int(text) for text in page.run(kinds % 5)]
    assert days == sorted(days)
    page.type(f"{table} .package-search", "libxml2 high")
    page.wait(f"document.querySelector('{table} .package-status').textContent.includes('in all')")
    assert {text.split(" ")[0] for text in page.run(kinds % 1)} == {"high"}


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_calm_and_hostile_text_stays_text(browser: Browser, pages: dict[str, Path], name: str) -> None:
    page = browser.open(pages[name])
    open_all(page)
    page.type("#find-text", "evil" if "hostile" in name else "openssl")
    page.wait("document.querySelector('#find-status').textContent.endsWith('found')")
    assert page.run("document.querySelectorAll('img, iframe, object, embed, link, base, form').length") == 0
    assert page.run("[...document.scripts].filter((script) => script.type === '').length") == 1
    assert page.run("document.body.innerText.includes('onerror=alert(1)')") is ("hostile" in name)
    assert page.run("/[\\u202a-\\u202e]/.test(document.documentElement.textContent)") is False
    check_calm(page, pages[name])


@pytest.mark.parametrize(
    ("name", "dark", "width"),
    [("small", False, 1280), ("small", True, 390), ("hostile", False, 390), ("hostile-scan", True, 1280)],
)
def test_axe_finds_no_violation(browser: Browser, pages: dict[str, Path], name: str, *, dark: bool, width: int) -> None:
    found = find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("no axe-core-python in this environment")
    page = browser.open(pages[name], dark=dark, width=width)
    page.run("[...document.querySelectorAll('article > details')].slice(0, 2).forEach((part) => { part.open = true; })")
    page.run(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8") + "; true")
    result = page.run(f"axe.run(document, {{runOnly: {AXE_TAGS!r}, resultTypes: ['violations']}})")
    told = [
        (item["id"], item["impact"], [node["html"][:120] for node in item["nodes"]][:3])
        for item in result["violations"]
    ]
    assert told == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [320, 1440])
def test_no_page_is_wider_than_the_window(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    page = browser.open(pages[name], width=width)
    open_all(page)
    assert page.run("document.documentElement.scrollWidth") <= width


def test_the_table_of_images_needs_no_scrolling_on_a_desk(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["dashboard"], width=1280)
    table = "document.querySelector('#image-table')"
    assert page.run(f"{table}.offsetWidth - {table}.parentElement.clientWidth") <= 0
    chart = "document.querySelector('#image-table svg.chart')"
    assert page.run(f"{chart}.getBoundingClientRect().right") <= 1280


def test_charts_have_words(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["dashboard"])
    assert page.run("[...document.querySelectorAll('svg:not([aria-hidden])')].every((it) => it.querySelector('title'))")
    told = page.run("document.querySelector('svg.chart title').textContent")
    assert told.count("; delivery ") == 9
    assert "delivery 19: " in told
    assert page.run("document.querySelectorAll('svg.chart:not(.small) .number').length") >= 10


def test_every_head_is_reached_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["dashboard"])
    page.focus("#image-table thead button")
    page.press("Enter")
    assert page.run("document.querySelector('#image-table thead th').getAttribute('aria-sort')") == "ascending"
    for _ in range(10):
        page.press("Tab")
    assert page.run("document.activeElement.textContent") == "Change"
    page.press(" ")
    assert page.run("document.activeElement.parentElement.getAttribute('aria-sort')") == "descending"
    assert page.run("document.activeElement.matches(':focus-visible')")


def test_without_scripts_the_numbers_are_there(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["scan"])
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.call("Page.reload")
    page.wait("document.readyState === 'complete' && !document.documentElement.classList.contains('scripted')")
    assert len(column(page, 0)) == 19
    assert page.run("getComputedStyle(document.querySelector('#find-package')).display") == "none"
    assert page.run("document.querySelectorAll('#image-table thead button:not(:disabled)').length") == 0
    assert len(page.texts("[data-packages] tbody tr")) > 100


def test_paper_has_the_words_of_heads(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    """A browser repeats heads on each sheet, but draws no buttons there."""
    page = browser.open(pages["dashboard"])
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.run("getComputedStyle(document.querySelector('#image-table thead button')).display") == "contents"
    page.print(tmp_path / "dashboard.pdf")
    assert (tmp_path / "dashboard.pdf").stat().st_size > 50_000
