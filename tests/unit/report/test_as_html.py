"""The HTML report: text from outside stays text, nothing is loaded, equal reports give equal pages, size stays sane."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import MalformedError, TrustError, UsageError
from bundler.report import html_page
from bundler.report.as_html import format_html
from bundler.report.html_page import embedded_json
from bundler.verify.exhibits import Exhibits, Paper
from bundler.verify.result import Check, ImageResult, Outcome, Report, Verdict
from tests.simulators.pages import hostile_page, large_page
from tests.simulators.reports import AT, DIGEST, full_report

CANARIES = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<!--<script>", "]]>", "</title><b>", "</style>",
    '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "{{ 7 * 7 }}", "{% raw %}", "&lt;b&gt;", "&#60;b&#62;",
    "javascript:alert(1)", "https://evil.example/x.png", "<svg/onload=alert(1)>", "\u2028\u2029",
    "\u202everified\u202c", "\x00\x1b[2J\x7f", "\ud800", "\ufeff", "a\nb", "x" * 5000, "\uff1cscript\uff1e", "`${1}`",
    "\\u003cscript>", "",
]  # fmt: skip
# Elements and attributes by which a page could load or run something, or leave.
LOADING = {
    "img",
    "iframe",
    "object",
    "embed",
    "link",
    "base",
    "form",
    "audio",
    "video",
    "source",
    "image",
    "use",
    "frame",
}
OURS = {"content-security-policy"}


class Reader(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.styles: list[str] = []
        self.text: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag in ("script", "style"):
            self._inside = tag
            if tag == "script":
                self.scripts.append((attributes, ""))
            else:
                self.styles.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self._inside == "style":
            self.styles[-1] += data
        else:
            self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def check_closed(page: str) -> Reader:
    """The page loads nothing, runs nothing but its own script, and leads nowhere."""
    page.encode()  # no lone surrogate is left
    reader = read(page)
    for tag, attributes in reader.elements:
        assert tag not in LOADING
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("style", "src", "srcset", "action", "formaction", "data", "background", "ping"), (
                tag,
                name,
            )
            if name in ("href", "xlink:href"):
                assert re.fullmatch(r"#[a-z0-9-]+", value), (tag, value)
    running = [text for attributes, text in reader.scripts if attributes.get("type") != "application/json"]
    assert running == [html_page._part("page.js")]
    assert reader.styles == [html_page._part("page.css")]
    for attributes, text in reader.scripts:
        if attributes:
            json.loads(text)
            assert not set(text) & set("<>&\u2028\u2029")
    return reader


@pytest.mark.parametrize("canary", CANARIES)
def test_text_from_outside_stays_text(canary: str) -> None:
    calm = check_closed(format_html(*hostile_page("calm")))
    reader = check_closed(format_html(*hostile_page(canary)))
    if canary:  # what is empty has no line
        # Only the pictures have more lines for longer texts.
        tags, calm_tags = ([tag for tag, _ in each.elements if tag != "text"] for each in (reader, calm))
        assert tags == calm_tags
    assert all(char.isprintable() or char in " \n\u202f" for part in reader.text for char in part)


@given(st.text(max_size=80))
@settings(derandomize=True, deadline=None, max_examples=25)
def test_any_text_stays_text(text: str) -> None:
    check_closed(format_html(*hostile_page(text)))


def test_hostile_text_is_still_readable() -> None:
    reader = read(format_html(*hostile_page("<b>&amp;\u202e")))
    assert any("<b>&amp;\\u202e" in part for part in reader.text)


def test_huge_texts_are_cut_and_say_so() -> None:
    page = format_html(*hostile_page("x" * 1_000_000))
    assert len(page) < 3_000_000
    assert "(996000 more characters: --json)" in page


def test_the_policy_allows_this_pages_own_style_and_script_only() -> None:
    reader = read(format_html(full_report()))
    (policy,) = [given["content"] for tag, given in reader.elements if given.get("http-equiv", "").lower() in OURS]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert (rules["base-uri"], rules["form-action"]) == ("'none'", "'none'")
    (script,) = [text for attributes, text in reader.scripts if not attributes]
    for name, text in (("script-src", script), ("style-src", reader.styles[0])):
        assert rules[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert "unsafe" not in policy


def test_nothing_of_ours_names_a_place_to_load_from() -> None:
    for name in (
        "page.css",
        "page.js",
        "base.html",
        "report.html",
        "image.html",
        "parts.html",
        "paper.html",
        "diff.html",
    ):
        text = html_page._part(name)
        assert not re.search(
            r"https?://|@import|url\(|fetch\(|XMLHttp|WebSocket|innerHTML|outerHTML|eval\(|\|safe", text
        ), name


def test_equal_reports_give_equal_pages() -> None:
    assert format_html(*hostile_page("text")) == format_html(*hostile_page("text"))


def test_the_verdict_comes_first() -> None:
    image = ImageResult("a:1", DIGEST, "t", (), (), "", (Check("signature", Outcome.HELD),), (), (), 0)
    verified = replace(full_report(), damages=(), failure=None, checks=(), images=(image,))
    for report, word in (
        (verified, "Verified"),
        (replace(verified, checks=(Check("policy", Outcome.POLICY, "no-policy"),)), "Rejected"),
        (full_report(), "Damaged"),
        (full_report(failure=TrustError("expired", "role", hints=["a way out"])), "Not trusted"),
        (Report("f", "t", integrity_only=True), "Intact, not verified"),
    ):
        page = format_html(report)
        assert re.search(r"<h1>.*?<span>([^<]*)</span></h1>", page, re.DOTALL)[1] == word  # type: ignore[index]
        assert page.index(f"<span>{word}") < page.index("At a glance")
        assert f"<title>{word}: " in page


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_held_looks_good(outcome: Outcome) -> None:
    image = ImageResult("a:1", DIGEST, "t", (), (), "", (Check("signature", outcome, "some-code"),), (), (), 0)
    page = format_html(Report("f", "t", images=(image,)))
    row = re.search(r"<th scope=\"row\"[^>]*>signature</th>\s*<td[^>]*>(.*?)</td>", page, re.DOTALL)
    assert row is not None
    assert ("badge good" in row[1]) == (outcome is Outcome.HELD)


def test_what_holds_unsigned_does_not_look_good() -> None:
    check = Check("sbom", Outcome.HELD, "", "linux/amd64", "x", "unsigned, no covering signature")
    page = format_html(Report("f", "t", images=(ImageResult("a:1", DIGEST, "t", (), (), "", (check,), (), (), 0),)))
    assert "badge warn" in page
    assert ">weak<" in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def test_what_is_missing_has_its_place() -> None:
    checks = (
        Check("sbom", Outcome.MISSING, "sbom-missing", "linux/arm64", "no SBOM"),
        Check("signature", Outcome.HELD),
    )
    image = ImageResult("a:1", DIGEST, "t", (), (("linux/s390x", DIGEST),), "", checks, (), (), 0)
    page = format_html(Report("f", "t", images=(image,)))
    gaps = page[page.index('<div class="gaps">') :]
    gaps = gaps[: gaps.index("</div>")]
    assert "sbom linux/arm64: no SBOM" in gaps
    assert "platform linux/s390x" in gaps


def header(page: str) -> str:
    return page[page.index("<header") : page.index("</header>")]


def test_why_is_said_beside_the_verdict() -> None:
    checks = (Check("signature", Outcome.HELD), Check("sbom", Outcome.MISSING, "sbom-missing", "linux/arm64", "none"))
    refused = ImageResult("a:1", DIGEST, "t", (), (), "", checks, (), (), 0)
    nothing = replace(refused, name="b:1", checks=())
    good = replace(refused, name="c:1", checks=checks[:1])
    told = header(format_html(Report("f", "t", images=(good, refused, nothing))))
    assert "<strong>a:1:</strong> sbom linux/arm64: none <code>sbom-missing</code>" in told
    assert "<strong>b:1:</strong>  <code>nothing-checked</code>" in told
    assert "c:1" not in told
    many = header(format_html(Report("f", "t", images=tuple(replace(refused, name=f"i{n}:1") for n in range(9)))))
    assert many.count("<strong>") == 3


def test_what_refuses_the_whole_file_is_not_put_on_its_images() -> None:
    """The sentence and the reasons are those of the report, also where every image is verified."""
    report = replace(full_report(), damages=(), failure=None, integrity_only=False)
    report.images = tuple(replace(image, checks=(Check("signature", Outcome.HELD),)) for image in report.images)
    report.checks = (Check("log-growth", Outcome.MISSING, "log-growth-missing", detail="nobody proved it"),)
    assert (report.verdict, report.reason, bool(report.images)) == (Verdict.REJECTED, "log-growth-missing", True)
    page = " ".join(format_html(report).partition("<main")[0].rpartition("<header")[2].split())
    assert "Something that this site asks of the file as a whole does not hold." in page
    assert "do not meet" not in page
    assert "nobody proved it <code>log-growth-missing</code>" in page


def test_an_image_that_the_exporter_made_says_so() -> None:
    image = ImageResult("a:1", DIGEST, "t", (), (), "", (Check("signature", Outcome.HELD),), (), (), 0)
    page = format_html(Report("f", "t", images=(image,)))
    assert "<dt>Digest from</dt><dd>its source</dd>" in page
    assert "made here" not in page
    page = format_html(Report("f", "t", images=(replace(image, digest_origin="synthesised"),)))
    assert "the exporter, who made the manifest (synthesised)" in page
    assert "nobody outside signed it" in page[page.index('<div class="gaps">') :]


def test_what_is_not_there_is_told_from_what_cannot_be_read() -> None:
    image = ImageResult("a:1", DIGEST, "t", (), (), "", (Check("signature", Outcome.HELD),), (), (), 0)
    page = format_html(Report("f", "t", images=(image,)))
    assert "There is no SBOM of this image in the file." in page
    assert "There is no provenance of this image in the file." in page
    failed = Paper("sbom", DIGEST, "", DIGEST, "t", "s", failure=MalformedError("purl", "SBOM"))
    page = format_html(Report("f", "t", images=(image,)), (Exhibits((), (failed,)),))
    assert "No SBOM of this image could be read:" in page
    assert "There is no SBOM" not in page


def test_commands_are_quoted() -> None:
    image = ImageResult("a b:1", DIGEST, "t", (), (), "", (), (), (), 0)
    reader = read(format_html(Report("it's a file; rm", "t", images=(image,))))
    text = "".join(reader.text)
    assert "sealift inspect 'it'\"'\"'s a file; rm' 'a b:1' --sbom" in text
    assert "tar -xOf FILE README" in "".join(read(format_html(Report("-", "t"))).text)


def test_two_hundred_images_and_five_thousand_packages() -> None:
    report, exhibits = large_page()
    page = format_html(report, exhibits)
    assert len(page) < 6_000_000
    reader = check_closed(page)
    blocks = [
        json.loads(text) for attributes, text in reader.scripts if attributes.get("id", "").startswith("packages-")
    ]
    assert (len(blocks), sum(map(len, blocks))) == (200, 5000)
    assert len(reader.elements) < 80_000


def test_embedded_json_ends_nothing_and_gives_the_same_values() -> None:
    value = {"a": ["</script>", "<!--", "&", "ü", 1, None]}
    text = embedded_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set(text) & set("<>&")


def test_without_jinja2_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    html_page._environment.cache_clear()
    try:
        with pytest.raises(UsageError) as caught:
            html_page.require_renderer()
    finally:
        html_page._environment.cache_clear()
    assert (caught.value.code, caught.value.exit_code) == ("html", 2)
    assert "sealift[report]" in caught.value.hints[0]


def test_times_and_sizes_are_for_people() -> None:
    page = format_html(replace(full_report(), bytes_read=1_500_000))
    assert "1.5 MB" in page
    assert f"{AT:%Y-%m-%d %H:%M:%S} UTC" in page
