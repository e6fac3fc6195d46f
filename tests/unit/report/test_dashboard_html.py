"""The pages of dashboards and scans, as text: headlines that never flatter, hostile text, determinism, limits."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bundler import limits
from bundler.errors import RejectedError, SealiftError
from bundler.report.dashboard_html import data_warnings, finding_row, format_dashboard, headline_of, told_data
from bundler.report.scan_html import format_scan_html
from bundler.value import replace
from bundler.vulnerability.dashboard import dashboard_document
from bundler.vulnerability.document import scan_document
from bundler.vulnerability.findings import Note, ScanResult
from bundler.vulnerability.history import SHOWN, Delivery
from tests.simulators.vulnerable import (
    AT,
    DATA,
    delivered,
    delivery,
    finding,
    hostile_deliveries,
    scan,
    ten_deliveries,
    vex,
)

APP, DB = "registry.example.org/app:1", "registry.example.org/db:1"
HOSTILE = "<img src=https://evil.example/x onerror=alert(1)></script><script>alert(2)</script>\u202e\x1b[31m'\"&"


def page(*deliveries: Delivery) -> str:
    return format_dashboard(dashboard_document(deliveries, AT, "plant-7"))


def scanned(*results: ScanResult, failures: tuple[SealiftError, ...] = (), **changes: Any) -> str:
    document = scan_document(results, DATA, (), failures, AT)
    head = {"file": "app.bundle.tar", "trusted": True, "reason": "", "message": "", "pin": "sha256:" + 64 * "a",
            "stream": "main", "sequence": 3}  # fmt: skip
    return format_scan_html({**head, **document, **changes}, results)


def headline(html: str) -> tuple[str, str]:
    tone = re.search(r'<header class="verdict (\w+)">', html)
    words = re.search(r"<h1>.*?<span>(.*?)</span></h1>", html, re.DOTALL)
    assert tone is not None
    assert words is not None
    return tone[1], words[1]


@pytest.mark.parametrize(
    ("numbers", "rest", "told"),
    [
        ((2, 3, 0, 0, 0), {}, ("bad", "2 critical and 3 high open")),
        ((0, 1, 9, 0, 0), {}, ("bad", "1 high open")),
        ((0, 0, 1, 2, 0), {}, ("warn", "3 open, none above medium")),
        ((0, 0, 1, 0, 2), {}, ("bad", "3 open, 2 of unknown severity")),
        ((0, 0, 0, 0, 0), {"unscanned": 1}, ("warn", "None known, not all judged")),
        ((0, 0, 0, 0, 0), {"incomplete": 1}, ("warn", "None known, not all judged")),
        ((0, 0, 0, 0, 0), {"unscanned": 4}, ("warn", "Nothing could be judged")),
        ((0, 0, 0, 0, 0), {"images": 0}, ("note", "No image to judge")),
        ((0, 0, 0, 0, 0), {}, ("good", "None known")),
    ],
)
def test_headlines(numbers: tuple[int, ...], rest: dict[str, int], told: tuple[str, str]) -> None:
    counts: dict[str, int] = {**dict(zip(SHOWN, numbers, strict=True)), "total": sum(numbers)}
    assert headline_of({"images": 4, "unscanned": 0, "incomplete": 0, "open": counts, **rest}) == told


def test_data_that_is_old_undated_or_absent_is_warned_of() -> None:
    ages = [{"source": name, "age_days": age} for name, age in (("a", 29), ("b", 30), ("c", None))]
    assert [told for _, told in data_warnings(ages)] == [
        "b is 30 days old: what came up since is not in it.", "c does not tell how old it is.",
    ]  # fmt: skip
    assert [what for what, _ in data_warnings([])] == ["No vulnerability data."]
    assert told_data(ages) == "compared with data of unknown age"
    assert told_data(ages[:2]) == "compared with data that is 29 to 30 days old"
    assert told_data(ages[:1]) == "compared with data that is 29 days old"
    assert told_data([]) == "compared with no data"


def test_a_dashboard_says_everything() -> None:
    html = page(*ten_deliveries())
    assert headline(html)[0] == "bad"
    for text in (
        "of the site plant-7",
        "19<small> of 20</small></span> images verified",
        "osv-debian.zip is 43 days old",
        "1 image without an SBOM that could be read",
        "signature-missing",
        "purl-absent",
        "not accepted",
        "psirt@example.org",
    ):
        assert text in html, text
    assert html.count('<article class="image"') == 20


def test_an_image_that_the_newest_delivery_lacks_is_marked() -> None:
    html = page(delivery(1, delivered(APP, scan(APP)), delivered(DB, scan(DB))), delivery(2, delivered(APP, scan(APP))))
    assert html.count("not in the newest delivery") == 1


def test_what_is_not_trusted_is_warned_of_and_not_drawn() -> None:
    false = replace(delivery(7, delivered(APP)), trusted=False, verdict="untrusted", reason="root-fork", images=())
    html = page(false, delivery(1, delivered(APP, scan(APP))))
    assert "main-7.bundle.tar [root-fork]: nothing in it is counted." in html
    assert "from 1 delivery," in html
    assert "delivery 7:" not in html


def test_what_nobody_verified_is_not_called_unsigned() -> None:
    html = page(delivery(1, delivered(APP, scan(APP), verdict="not judged")))
    assert "signatures not checked" in html
    assert "no signature" not in html


def test_hostile_text_stays_text() -> None:
    for html in (page(*hostile_deliveries(HOSTILE)), scanned(*hostile_scans(HOSTILE), file=HOSTILE)):
        assert "<img" not in html
        assert html.count("<script") == html.count("</script>")
        assert html.count("alert(2)") > 10
        assert not set("\u202e\x1b") & set(html)
        assert "onerror" not in re.sub(r'"[^"]*"', "", re.sub(r">[^<]*<", "><", html))


def hostile_scans(text: str) -> list[ScanResult]:
    return [result for delivery in hostile_deliveries(text) for image in delivery.images for result in image.scans]


def test_equal_values_give_equal_bytes() -> None:
    deliveries = ten_deliveries(4, 3)
    assert page(*deliveries) == page(*reversed(deliveries))


def test_of_very_many_findings_the_worst_are_in_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_FINDINGS", 3)
    found = [finding(number, f"lib{number}", "1", "critical" if number == 7 else "low") for number in range(9)]
    html = page(delivery(1, delivered(APP, scan(APP, *found))))
    assert "The worst 3 of 9 are listed" in html
    assert "CVE-2026-1007" in html
    assert "CVE-2026-1008" not in html


def test_what_vex_says_of_many_is_told_once_with_all_of_them() -> None:
    same = [finding(number, f"lib{number}", "1", "low", vex("not_affected", accepted=False)) for number in range(230)]
    other = finding(300, "libother", "1", "low", vex("not_affected", accepted=True))
    html = page(delivery(1, delivered(APP, scan(APP, *same, other))))
    table = re.search(r"<summary>VEX statements: (.*?)</summary>.*?<tbody>(.*?)</tbody>", html, re.DOTALL)
    assert table is not None
    assert table[1] == "231 statements"
    assert re.findall(r"not accepted|accepted", table[2]) == ["not accepted", "accepted"]
    (many, one) = re.findall(r'<th scope="row">(.*?)</th>', table[2])
    assert many.startswith("CVE-2026-1000 (lib0), CVE-2026-1001 (lib1), ")
    assert many.count("CVE-") == 200
    assert many.endswith(" and 30 more: --json has all")
    assert one == "CVE-2026-1300 (libother)"


def test_of_many_images_fewer_rows_stand_twice() -> None:
    found = [finding(number, f"lib{number}", "1", "low") for number in range(30)]
    few, many = (
        page(delivery(1, *(delivered(f"registry.example.org/{name}:1", scan(APP, *found)) for name in range(count))))
        for count in (20, 21)
    )
    assert "the first 10 of 30" in few
    assert "the first 5 of 30" in many


def test_a_platform_is_named_where_it_is_not_all() -> None:
    document = dashboard_document(
        [delivery(1, delivered(APP, scan(APP, finding(1)), scan(APP, finding(2), platform="linux/arm64")))], AT
    )
    rows = [finding_row(item, {"linux/amd64", "linux/arm64"}) for item in document["images"][0]["findings"]]
    assert [row[2] for row in rows] == ["openssl (linux/amd64)", "openssl (linux/arm64)"]
    assert finding_row(document["images"][0]["findings"][0], {"linux/amd64"})[2] == "openssl"


def test_a_scan_page_merges_platforms_and_tells_vex() -> None:
    both = [
        scan(APP, finding(1), finding(2, "curl", "1", "low", vex()), platform=p) for p in ("linux/amd64", "linux/arm64")
    ]
    html = scanned(*both)
    assert headline(html) == ("bad", "1 high open")
    assert "1 image by 2 SBOMs" in html
    assert "1 vulnerability that an accepted VEX statement settles" in html
    assert html.count('<article class="image"') == 1


def test_a_scan_of_nothing_and_one_that_failed_are_never_green() -> None:
    missing = RejectedError("sbom-missing", "SBOM", f"of {APP}", got="none", want="one")
    assert headline(scanned()) == ("note", "No image to judge")
    assert headline(scanned(failures=(missing,))) == ("warn", "Nothing could be judged")
    assert headline(scanned(scan(APP), failures=(missing,))) == ("warn", "None known, not all judged")
    assert headline(scanned(scan(APP, judged=1))) == ("warn", "None known, not all judged")
    assert headline(scanned(scan(APP))) == ("good", "None known")
    assert "[sbom-missing]" in scanned(failures=(missing,))


def test_a_scan_without_trust_says_so_first() -> None:
    html = scanned(scan(APP), trusted=False, message="root: expired", reason="expired", pin=None)
    assert headline(html) == ("bad", "Not trusted")
    assert "What follows is only what the file says of itself." in html


def test_notes_are_listed_and_cut() -> None:
    notes = tuple(Note("purl-absent", f"package {number:03}", "no package URL") for number in range(300))
    html = scanned(scan(APP, notes=notes, judged=10))
    assert "290 more" in html
    assert "and 100 more: --json has all" in html
