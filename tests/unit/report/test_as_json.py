"""The JSON report: every key documented and always there, the same bytes for the same report, nothing raw in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import TrustError
from bundler.report.as_json import REPORT_VERSION, format_report, report_document
from bundler.verify.data import STRENGTH
from bundler.verify.requirements import COVERED, UNSIGNED
from bundler.verify.result import VERDICT_OF_EXIT, GrowthStatus, Outcome, Report, Verdict
from bundler.verify.strength import FETCHED, LOGGED, NOT_LOGGED, PROVED, STAMPED
from tests.simulators.claims import NAME, Claims, demand, policy
from tests.simulators.deliveries import Exporter, LayoutSource, make_site, verify
from tests.simulators.images import two_platforms
from tests.simulators.reports import full_report
from tests.simulators.tuf_repository import TufRepository

WORD = re.compile(r"`([a-z_]+)`")
# Words in the rows that are values, not keys.
VALUES = {"clock", "floor", "typed", "first", "next", "gap", "historic", "audit"}


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "bundler/report/REPORT.md").read_text(encoding="utf-8")


def table(page: str, title: str) -> dict[str, str]:
    """First cells and second cells of the table whose first column has this title."""
    block = page.split(f"| {title} | ")[1].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    rows = [line.strip("|").split(" | ", 1) for line in block]
    return {first.strip(): second.strip() for first, second in rows}


def paragraph(page: str, start: str) -> set[str]:
    text = page.split(f"\n{start}: ")[1].split("\n\n", maxsplit=1)[0]
    return set(WORD.findall(text))


def keys(value: Any) -> set[str]:
    """All keys at any depth."""
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys(inner)}
    return {key for inner in value for key in keys(inner)} if isinstance(value, list) else set()


def test_top_level_keys_are_those_of_the_page_in_its_order(page: str) -> None:
    documented = [word for first in table(page, "key") for word in WORD.findall(first)]
    assert list(report_document(full_report())) == documented
    assert list(report_document(Report("f", "t"))) == documented


@pytest.mark.parametrize("key", ["time", "trust", "bundle", "integrity", "logs", "data"])
def test_keys_of_each_part_are_those_of_the_page(page: str, key: str) -> None:
    documented = set(WORD.findall(table(page, "key")[f"`{key}`"])) - VALUES
    assert keys(report_document(full_report())[key]) == documented


def test_keys_of_an_image_a_check_and_evidence_are_those_of_the_page(page: str) -> None:
    (image,) = report_document(full_report())["images"]
    own = {key for key, value in image.items() if key not in ("checks", "evidence", "scans")}
    nested = {key for name in ("platforms", "omitted", "searches") for key in keys(image[name])}
    assert own | nested | {"checks", "evidence", "scans"} == paragraph(page, "An image")
    assert keys(image["checks"]) == paragraph(page, "A check")
    kinds = {"signature", "attestation", "statement", "sbom", "referrer", "log-entry"}
    assert keys(image["evidence"]) == paragraph(page, "Evidence") - kinds


def test_keys_of_a_scan_report_are_those_of_the_page(page: str) -> None:
    read, failed = report_document(full_report())["images"][0]["scans"]
    assert set(read) == set(failed) == paragraph(page, "A scan report")
    assert set(read["scan"]) == paragraph(page, "Its own word")
    assert (failed["scan"], failed["reason"], failed["document"]) == (None, "some-code", None)


def test_values_are_those_of_the_page(page: str) -> None:
    outcomes = [word for first in table(page, "outcome") for word in WORD.findall(first)]
    assert sorted(outcomes) == sorted(outcome.value for outcome in Outcome)
    assert set(re.findall("`([a-z-]+)`", table(page, "key")["`verdict`"])) == {verdict.value for verdict in Verdict}
    strengths = {first.strip("`") for first in table(page, "strength")}
    logged = {f"{PROVED}, 2 witnesses", PROVED, FETCHED, LOGGED, STAMPED, NOT_LOGGED}
    patched = {"asserted by stream …", "proved by digests", "the scanner's word"}
    assert strengths == {*logged, *patched, "signed", COVERED, UNSIGNED, "not verified", STRENGTH}
    growths = {first.strip("`") for first in table(page, "growth")}
    assert growths == set(get_args(GrowthStatus))
    assert set(map(int, re.findall("[0-9]+", table(page, "key")["`exit_code`"]))) == {0, *VERDICT_OF_EXIT}
    assert f"version {REPORT_VERSION}" in page.splitlines()[0]


def test_every_key_is_there_in_an_empty_report() -> None:
    empty, full = report_document(Report("f", "t")), report_document(full_report())
    assert set(empty) == set(full)
    assert (empty["trust"], empty["bundle"], empty["time"], empty["policy"]) == (None, None, None, None)
    assert (empty["exit_code"], empty["reason"], empty["verdict"]) == (1, "nothing-checked", "rejected")


def test_the_failure_is_told_with_its_hints() -> None:
    failure = TrustError("expired", "timestamp", got="old", want="new", hints=["way out"])
    made = json.loads(format_report(full_report(failure=failure)))
    assert (made["exit_code"], made["reason"], made["message"]) == (4, "expired", str(failure))
    assert made["hints"] == ["way out"]


@given(st.text(alphabet=st.characters(), max_size=60))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_nothing_raw_reaches_a_terminal_and_nothing_is_lost(text: str) -> None:
    raw = format_report(full_report(text))
    assert all(" " <= char <= "~" or char == "\n" for char in raw)
    assert json.loads(raw) == report_document(full_report(text))


@pytest.mark.parametrize("text", ["\x7f", "\x1b[2J", "\ud800", "\u202e", "\u2028", '"', "\\", "\\u007f", "\\\x7f"])
def test_canaries(text: str) -> None:
    raw = format_report(full_report(text))
    assert all(" " <= char <= "~" or char == "\n" for char in raw)
    assert json.loads(raw)["file"] == text


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    """THREATS A5: two sites, two runs, one bundle."""
    claims = Claims(tmp_path)
    layout, top, _ = two_platforms(NAME)
    claims.sign(layout, top, claims.release)
    repository = TufRepository("main", holders=1, threshold=1, targets=claims.targets)
    source = LayoutSource("oci", layout.write(tmp_path / "layout"), NAME, NAME)
    bundle = Exporter(repository, tmp_path).deliver(source)
    text = policy(demand(), require='["sbom"]')
    made = [
        format_report(verify(bundle, make_site(tmp_path / name, repository.pin), text).report) for name in ("a", "b")
    ]
    assert made[0] == made[1]
    weaker = format_report(verify(bundle, tmp_path / "a", text + "\n", record=False).report)
    assert json.loads(weaker)["policy"] != json.loads(made[0])["policy"]
