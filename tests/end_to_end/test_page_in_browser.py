"""The HTML pages in a real browser: search, order, keyboard, no complaint, no request, hostile text, accessibility.

axe-core judges accessibility (rules of WCAG 2, levels A and AA); it comes with the package axe-core-python.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bundler.report.as_html import format_html
from bundler.report.diff_html import format_diff_html
from tests.simulators.browser import PROGRAM, Browser, Page
from tests.simulators.pages import hostile_page, large_page, package

HOSTILE = "<img src=https://evil.example/x onerror=alert(1)></script><script>alert(2)</script>\u202e'\"&"
FACTS = ("platforms", "omitted", "signers", "log_strength", "not_verified", "builders", "sources")
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if shutil.which(PROGRAM) is None:
        if os.environ.get("CI"):
            pytest.fail(f"no {PROGRAM}, which make setup installs")
        pytest.skip(f"no {PROGRAM}: install it to run the tests of pages")
    with Browser() as running:
        yield running


def changed(number: int, before: str, after: str) -> dict[str, Any]:
    sides = {"before": [before] if before else [], "after": [after] if after else []}
    return {"package": f"pkg:deb/debian/lib{number}", "versions": sides, "licences": {"before": [], "after": []}}


def diff_document(text: str = "text") -> dict[str, Any]:
    side = {
        "file": text, "trusted": True, "reason": "", "message": "", "stream": "main", "sequence": 1, "inventory": text,
        "created": "2026-11-01T12:00:00Z", "images": 8, "stored_size": 5_000_000,
        "pin": "sha256:" + 64 * "b",
    }  # fmt: skip
    pair = {"removed": [text], "added": [text]}
    data = {"records": 12_345, "modified": "2026-11-01T12:00:00Z", "digest": "sha256:" + 64 * "c"}
    packages = {
        "platform": "linux/amd64", "sboms": {"before": ["SPDX"], "after": ["SPDX"]}, "same": 3,
        "added": [changed(number, "", "1.0") for number in range(30)],
        "removed": [changed(number, "1.0", "") for number in range(100, 110)],
        "changed": [changed(number, "1.0", "1.1") for number in range(200, 220)],
    }  # fmt: skip
    version = {"name": text, "digest": "sha256:" + 64 * "a", "size": 1000}
    images = [
        {"name": f"{text}{change}{number}", "change": change, "before": None if change == "added" else version,
         "after": None if change == "removed" else version, "packages": [packages] if change == "moved" else [],
         **dict.fromkeys(FACTS, pair)}
        for number in range(2)
        for change in ("added", "removed", "moved", "replaced", "evidence")
    ]  # fmt: skip
    return {
        "diff": 1, "trusted": True, "different": True, "before": side, "after": side, "same": 3, "images": images,
        "bytes": {"shared": 1, "gone": 2, "new": 3},
        "data": [{"source": text, "kind": "osv", "change": "removed", "before": data, "after": None}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    texts = {
        "large": format_html(*large_page()),
        "hostile": format_html(*hostile_page(HOSTILE)),
        "small": format_html(*large_page(2, 60)),
        "diff": format_diff_html(diff_document()),
        "hostile-diff": format_diff_html(diff_document(HOSTILE)),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def check_calm(page: Page, path: Path) -> None:
    """Nothing was complained about, and nothing but the page itself was ever asked for."""
    assert page.complaints == []
    assert page.requests == [path.resolve().as_uri()]


def rows(page: Page, selector: str) -> list[list[str]]:
    return [line.split("\t") for line in page.texts(f"{selector} tbody tr:not([hidden])")]


def test_packages_of_an_image_are_searched_ordered_and_paged(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["small"])
    first = "[data-packages='1']"
    assert page.text(f"{first} .package-status") == "1 to 10 of 30"
    assert [row[0] for row in rows(page, first)] == [
        package(number).name for number in (0, 10, 20, 1, 11, 21, 2, 12, 22, 3)
    ]
    page.run(f"document.querySelector(\"{first} [data-column='1']\").click()")
    by_version = [row[1] for row in rows(page, first)]
    assert by_version[0] == "1.0.0"
    page.run(f"document.querySelector(\"{first} [data-column='1']\").click()")
    assert rows(page, first)[0][1] == "1.16.16"
    assert page.run(f"document.querySelector(\"{first} [aria-sort]\").getAttribute('aria-sort')") == "descending"
    page.run(f"document.querySelector('{first} .package-on').click()".replace("'1'", '"1"'))
    assert page.text(f"{first} .package-page") == "Page 2 of 3"
    page.type(f"{first} .package-search", "libc GPL")
    page.wait(f"document.querySelector(`{first} .package-status`).textContent.startsWith('1 to')")
    page.wait(f"document.querySelector(`{first} .package-status`).textContent.includes('30 in all')")
    assert all("libc" in row[0] and "GPL" in row[2] for row in rows(page, first))
    page.type(f"{first} .package-search", "no such package")
    page.wait(f"document.querySelector(`{first} .package-status`).textContent === 'none of 30'")
    page.type(f"{first} .package-search", "")
    page.wait(f"document.querySelector(`{first} .package-status`).textContent === '1 to 10 of 30'")
    page.run(f"const s = document.querySelector(`{first} select`); s.value = '0'; s.dispatchEvent(new Event('change'))")
    assert len(rows(page, first)) == 30
    check_calm(page, pages["small"])


def test_a_package_is_found_in_all_images_and_leads_to_its_own(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["large"])
    page.type("#find-text", "LicenseRef-Rare")
    page.wait("document.querySelector('#find-status').textContent === '1 found'")
    assert rows(page, "#find-package")[0][:2] == ["libc42", "1.8.42"]
    assert not page.run("document.querySelector('#image-2 > details').open")
    page.run("document.querySelector('#find-package tbody a').click()")
    page.wait("document.querySelector('#image-2 > details').open")
    page.type("#find-text", "pkg:deb")
    page.wait("document.querySelector('#find-status').textContent === '5000 found; the first 200 are shown'")
    check_calm(page, pages["large"])


def test_the_list_of_images_is_filtered(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["large"])
    assert page.text("#image-status") == "200 images"
    page.type("#image-filter", "app-17")
    page.wait("document.querySelector('#image-status').textContent === '11 of 200 images'")
    assert page.run("document.querySelector('#image-18').hidden") is False
    assert page.run("document.querySelector('#image-19').hidden") is True
    page.type("#image-filter", "")
    page.run("document.querySelector('#image-refused').click()")
    page.wait("document.querySelector('#image-status').textContent === '4 of 200 images'")
    assert page.run("document.querySelectorAll('article details[open] > .inside').length") == 4


def test_everything_is_reached_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["small"])
    page.press("Tab")
    assert page.focused("class") == "skip"
    page.press("Enter")
    page.wait("document.activeElement.id === 'content'")
    reached = []
    for _ in range(60):
        page.press("Tab")
        reached.append(page.run("document.activeElement.className || document.activeElement.tagName"))
        if reached[-1] == "BODY":  # once around
            break
        assert page.run("document.activeElement.matches(':focus-visible')")
    assert {"A", "SUMMARY", "package-search", "package-rows", "BUTTON", "package-on"} <= set(reached)
    page.focus("[data-column='2']")
    page.press("Enter")
    assert (
        page.run("document.querySelector('[data-column=\"2\"]').parentElement.getAttribute('aria-sort')") == "ascending"
    )
    page.press(" ")
    assert (
        page.run("document.querySelector('[data-column=\"2\"]').parentElement.getAttribute('aria-sort')")
        == "descending"
    )
    page.focus("article summary")
    page.press("Enter")
    assert page.run("document.querySelector('article details').open") is False


@pytest.mark.parametrize("name", ["hostile", "hostile-diff"])
def test_hostile_text_stays_text(browser: Browser, pages: dict[str, Path], name: str) -> None:
    page = browser.open(pages[name])
    page.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    if name == "hostile":
        page.type("#find-text", "evil")
        page.wait("document.querySelector('#find-status').textContent.endsWith('found')")
        assert "<img src=https://evil.example/x" in page.text("#find-package tbody")
    assert page.run("document.querySelectorAll('img, iframe, object, embed, link, base, form').length") == 0
    assert page.run("[...document.scripts].filter((script) => script.type === '').length") == 1
    assert page.run("document.body.innerText.includes('onerror=alert(1)')")
    assert page.run("/[\\u202a-\\u202e]/.test(document.documentElement.textContent)") is False
    check_calm(page, pages[name])


def test_the_policy_stops_what_could_ever_get_in(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["small"])
    page.run(
        "const made = document.createElement('img'); made.src = 'https://evil.example/x'; document.body.append(made);"
        "const code = document.createElement('script'); code.textContent = 'window.ran = 1';"
        "document.body.append(code);"
    )
    page.wait("true")
    assert page.run("window.ran === undefined")
    assert page.run("fetch('https://evil.example/').then(() => 'sent', () => 'stopped')") == "stopped"
    page.wait_for_complaint("Content Security Policy")


@pytest.mark.parametrize(("name", "dark"), [("small", False), ("small", True), ("hostile", False), ("diff", True)])
def test_axe_finds_no_violation(browser: Browser, pages: dict[str, Path], name: str, dark: bool) -> None:
    found = find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("no axe-core-python in this environment")
    page = browser.open(pages[name], dark=dark)
    page.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    page.run(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8") + "; true")
    result = page.run(f"axe.run(document, {{runOnly: {AXE_TAGS!r}, resultTypes: ['violations']}})")
    told = [
        (item["id"], item["impact"], [node["html"][:120] for node in item["nodes"]][:3])
        for item in result["violations"]
    ]
    assert told == []


@pytest.mark.parametrize("name", ["small", "hostile", "diff"])
@pytest.mark.parametrize("width", [320, 1440])
def test_no_page_is_wider_than_the_window(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    page = browser.open(pages[name], width=width)
    page.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_platforms_are_not_broken(browser: Browser, pages: dict[str, Path], width: int) -> None:
    page = browser.open(pages["small"], width=width)
    lines = page.run(
        "[...document.querySelectorAll('.platform')].map((cell) => {"
        " const range = document.createRange(); range.selectNodeContents(cell);"
        " return [cell.innerText, range.getClientRects().length]; })"
    )
    assert ["linux/amd64", 1] in lines
    assert [text for text, count in lines if count != 1] == []


def test_checks_are_read_without_scrolling_on_a_telephone(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.open(pages["small"], width=390)
    wide = "[...document.querySelectorAll('.checks')].map((it) => it.offsetWidth - it.parentElement.clientWidth)"
    assert page.run(f"Math.max(...{wide})") <= 0
    assert page.run("document.querySelector('.checks tbody td:last-child').getBoundingClientRect().right") <= 390


def test_what_is_below_the_window_is_drawn_too(browser: Browser, pages: dict[str, Path]) -> None:
    """Whoever takes a picture of the whole page, or searches in it, gets all of it."""
    page = browser.open(pages["diff"])
    found = page.run("[...document.querySelectorAll('*')].map((each) => getComputedStyle(each).contentVisibility)")
    assert set(found) == {"visible"}


def test_on_paper_every_image_is_open_and_afterwards_as_it_was(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    page = browser.open(pages["small"])
    count = "document.querySelectorAll('.image > details:not([open])').length"
    page.run("document.querySelector('#image-2 > details').open = false")
    assert page.run(count) == 1
    page.run(f"addEventListener('beforeprint', () => {{ window.shut = {count}; }})")
    page.print(tmp_path / "page.pdf")
    assert page.run("window.shut") == 0
    assert page.run(count) == 1
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")


def test_without_its_script_the_page_still_tells(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    text = pages["small"].read_text(encoding="utf-8")
    path = tmp_path / "silent.html"
    path.write_text(text.replace('"use strict";', "", 1), encoding="utf-8")  # another hash: the policy stops it
    page = browser.open(path)
    assert page.run("document.documentElement.classList.contains('scripted')") is False
    assert page.run("getComputedStyle(document.querySelector('.sbom .tools')).display") == "none"
    assert "the first 10 of 30" in page.text("[data-packages='1'] caption")
    assert len(rows(page, "[data-packages='1']")) == 10
