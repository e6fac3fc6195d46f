"""`vulnerabilities` of a rule: what rejects an image, what passes, whose VEX settles, and what is missing."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import pytest

from bundler import limits
from bundler.errors import UsageError
from bundler.export.settings import DataRequest
from bundler.moment import format_moment
from bundler.value import replace
from bundler.verify.images import judge_image
from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.policy import parse_policy
from bundler.verify.result import ImageResult
from bundler.verify.vulnerabilities import VulnerabilityData
from bundler.vulnerability.shelf import Owner, ShelfItem, newest, open_matcher, read_vex
from tests.simulators.claims import IDENTITY, NAME, Claims, demand, policy, told, verdict
from tests.simulators.deliveries import NOW, Exporter, LayoutSource, make_site, verify
from tests.simulators.images import Layout
from tests.simulators.osv_records import osv_record, osv_zip, write_folder
from tests.simulators.scannable import FLASK, osv, scannable, shelf_item
from tests.simulators.sigstore_keys import GITHUB
from tests.simulators.tuf_repository import START, TufRepository
from tests.simulators.vex_documents import openvex, raw, statement
from trust_root.delivery import time_basis
from trust_root.site import load_site

AT = START + timedelta(days=60)
CHANGED = START - timedelta(days=1)
OPENVEX = "https://openvex.dev/ns/v0.2.0"
BOTH = ("linux/amd64", "linux/arm64")
AUTHOR = '[[rule.vulnerabilities.vex]]\nunsigned_author = "Example Security Team"'
SIGNED = f"[[rule.vulnerabilities.vex]]\ncertificate_identity = '{IDENTITY}'\ncertificate_oidc_issuer = '{GITHUB}'"


def rule(*more: str, **words: Any) -> str:
    """A policy that demands the index's signature, and this of vulnerabilities."""
    table = {"at_most": '"medium"', **words}
    lines = ["[rule.vulnerabilities]", *(f"{key} = {value}" for key, value in table.items()), *more]
    return policy(demand(), "\n".join(lines))


class Desk:
    """Images judged with data that lies on a shelf."""

    def __init__(self, folder: Path) -> None:
        self.claims = Claims(folder)
        self.folder = folder

    def judge(
        self,
        text: str,
        *items: ShelfItem,
        purls: Sequence[str] = (FLASK,),
        more: Mapping[str, Any] | None = None,
        layout: Layout | None = None,
    ) -> ImageResult:
        if layout is None:
            layout, top, _ = scannable(NAME, purls, more=more)
            self.claims.sign(layout, top, self.claims.release)
        inventory = self.claims.inventory((layout, NAME))
        bench = self.claims.bench(inventory, text, {digest: layout.read(digest) for digest in layout.blobs})
        used = newest(items or [self.data()])
        documents, notes = read_vex(used)
        (self.folder / "index").mkdir(exist_ok=True)
        with open_matcher(used, self.folder / "index", AT) as (matcher, unread):
            data = VulnerabilityData(
                matcher,
                documents,
                (*notes, *unread),
                Owner("main", ""),
                {item.digest: item.modified_at for item in used},
            )
            return judge_image(inventory.images[0], replace(bench, vulnerabilities=data)).result

    @staticmethod
    def data(
        content: bytes | None = None, modified_at: datetime | None = CHANGED, kind: str = "osv", **more: Any
    ) -> ShelfItem:
        content = osv() if content is None else content
        if kind == "osv" and modified_at is not None:
            content = dated(content, modified_at)
        delivered_at = max(START, modified_at or START)
        return shelf_item(content, kind, modified_at=modified_at, delivered_at=delivered_at, **more)


def dated(content: bytes, modified_at: datetime) -> bytes:
    """The same records, all changed at that time; what is no zip stays."""
    if not is_zipfile(io.BytesIO(content)):
        return content
    with ZipFile(io.BytesIO(content)) as archive:
        records = [json.loads(archive.read(name)) for name in archive.namelist()]
    return osv_zip([{**record, "modified": format_moment(modified_at)} for record in records])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def lines(result: ImageResult) -> list[tuple[str, str, str]]:
    return told(result, "vulnerabilities")


def test_a_critical_finding_rejects_each_platform(desk: Desk) -> None:
    result = desk.judge(rule())
    assert verdict(result) == ("rejected", "vulnerability-severity")
    assert lines(result) == [("failed", "vulnerability-severity", platform) for platform in BOTH]
    (first, _) = [check for check in result.checks if check.name == "vulnerabilities"]
    assert "CVE-2026-1 in flask 1.0 (critical, fixed in 2.0)" in first.detail
    assert "osv/PyPI of stream main (61 days old); 1 of 1 packages judged" in first.detail
    assert first.strength == "covered by the image signature"


@pytest.mark.parametrize(
    ("words", "record", "passes"),
    [
        ({"at_most": '"critical"'}, {}, True),
        ({"at_most": '"high"'}, {}, False),
        ({"at_most": '"medium"'}, {"severity": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"}, True),
        ({"fixable_only": "true"}, {"fixed": None}, True),
        ({"fixable_only": "false"}, {"fixed": None}, False),
        ({"fixable_only": "true"}, {}, False),
        ({"older_than_days": "30"}, {"published": "2026-01-01T00:00:00Z"}, None),
        ({}, {"name": "django"}, True),
        ({}, {"fixed": "1.0"}, True),
    ],
)
def test_bounds(desk: Desk, words: dict[str, str], record: dict[str, Any], passes: bool | None) -> None:
    result = desk.judge(rule(**words), desk.data(osv(osv_record(**record), osv_record("GHSA-x", name="other"))))
    wanted = AT - datetime.fromisoformat("2026-01-01T00:00:00+00:00") < timedelta(days=30) if passes is None else passes
    assert (verdict(result)[0] == "verified") is wanted


def test_older_than(desk: Desk) -> None:
    for days, passes in ((9, True), (10, False), (11, False)):
        published = (AT - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        result = desk.judge(rule(older_than_days=10), desk.data(osv(osv_record(published=published))))
        assert (verdict(result)[0] == "verified") is passes


def test_data_that_is_too_old(desk: Desk) -> None:
    clean = osv(osv_record(name="django"), osv_record("GHSA-2", name="flask", fixed="0.5"))
    result = desk.judge(rule(data_max_age_days=60), desk.data(clean))
    assert lines(result)[0] == ("failed", "vulnerability-data-old", "osv/PyPI of stream main")
    assert verdict(desk.judge(rule(data_max_age_days=61), desk.data(clean)))[0] == "verified"
    assert verdict(desk.judge(rule(data_max_age_days=61), desk.data(clean, None)))[1] == "vulnerability-data-old"


def test_younger_data_about_the_same_stands_for_older(desk: Desk) -> None:
    old = desk.data(osv(osv_record(name="django")), source="a")
    young = desk.data(osv(osv_record(name="django")) + b"", AT - timedelta(days=1), source="b", stream="other")
    assert verdict(desk.judge(rule(data_max_age_days=7), old, young))[0] == "verified"
    debian = desk.data(osv(osv_record(ecosystem="Debian:12")), AT - timedelta(days=1), source="b")
    assert verdict(desk.judge(rule(data_max_age_days=7), old, debian))[1] == "vulnerability-data-old"


def test_of_one_name_the_newest_is_used(desk: Desk) -> None:
    older = desk.data(osv(osv_record(name="django")))
    newer = desk.data(osv(), AT - timedelta(days=1))
    assert verdict(desk.judge(rule(), older, newer))[1] == "vulnerability-severity"
    assert verdict(desk.judge(rule(), newer, older))[1] == "vulnerability-severity"


def test_no_data_is_missing(desk: Desk) -> None:
    document = desk.data(raw(openvex()), kind="openvex", source="vex.json")
    assert lines(desk.judge(rule(), document)) == [("missing", "vulnerability-data-missing", "")]


def test_data_that_judges_no_package_is_missing(desk: Desk) -> None:
    result = desk.judge(rule(), desk.data(osv(osv_record(ecosystem="Debian:12"))))
    assert lines(result) == [("missing", "vulnerability-data-missing", platform) for platform in BOTH]


def test_data_that_cannot_be_read_is_told(desk: Desk) -> None:
    result = desk.judge(rule(), desk.data(b"PK\x03\x04 no zip"))
    assert lines(result) == [
        ("missing", "vulnerability-data-missing", ""), ("note", "data-unread", "osv/PyPI of stream main"),
    ]  # fmt: skip


def test_an_image_without_an_sbom(desk: Desk) -> None:
    layout = Layout()
    top = layout.index([layout.image("linux/amd64", [])])
    layout.name(top, NAME)
    desk.claims.sign(layout, top, desk.claims.release)
    result = desk.judge(rule(), layout=layout)
    assert told(result, "sbom") == [("missing", "sbom-missing", "linux/amd64")]
    assert lines(result) == [("missing", "vulnerability-sbom-missing", "linux/amd64")]


def test_an_sbom_that_nobody_vouches_for_is_not_scanned(desk: Desk) -> None:
    layout, _, (amd64, arm64) = scannable(NAME)
    for item in (amd64, arm64):
        desk.claims.sign(layout, item, desk.claims.release)
    result = desk.judge(rule(), layout=layout)
    assert lines(result) == [("missing", "vulnerability-sbom-missing", platform) for platform in BOTH]


# -- VEX --------------------------------------------------------------------------------------------------------------


def flask_statement(**more: Any) -> dict[str, Any]:
    return statement(products=[{"@id": FLASK}], timestamp="2026-01-01T00:00:00Z", **more)


def vex_item(*statements: dict[str, Any], stream: str = "main") -> ShelfItem:
    content = raw(openvex(*(statements or (flask_statement(),)), timestamp="2026-01-01T00:00:00Z"))
    return Desk.data(content, kind="openvex", source="vex.json", stream=stream)


def test_unsigned_vex_counts_by_its_author_where_the_rule_takes_it(desk: Desk) -> None:
    accepted = desk.judge(rule(AUTHOR), desk.data(), vex_item())
    assert verdict(accepted)[0] == "verified"
    assert "1 settled by VEX" in next(check.detail for check in accepted.checks if check.name == "vulnerabilities")
    assert verdict(desk.judge(rule(), desk.data(), vex_item()))[1] == "vulnerability-severity"


def test_vex_of_another_stream_settles_nothing(desk: Desk) -> None:
    result = desk.judge(rule(AUTHOR), desk.data(), vex_item(stream="other"))
    assert verdict(result)[1] == "vulnerability-severity"


def test_unread_vex_is_told(desk: Desk) -> None:
    bad = desk.data(b"{}", kind="openvex", source="vex.json")
    assert ("note", "vex-unread", "vex.json of stream main") in lines(desk.judge(rule(AUTHOR), desk.data(), bad))


def test_contradictions_are_told(desk: Desk) -> None:
    later = flask_statement(status="affected", last_updated="2026-01-02T00:00:00Z")
    result = desk.judge(rule(AUTHOR), desk.data(), vex_item(flask_statement(), later))
    assert verdict(result)[1] == "vulnerability-severity"
    assert "vex-contradiction" in {code for _, code, _ in lines(result)}


def test_signed_vex_counts_by_its_signer(desk: Desk) -> None:
    def judge(text: str, signer: Any) -> ImageResult:
        layout, top, _ = scannable(NAME)
        desk.claims.sign(layout, top, desk.claims.release)
        predicate = openvex(flask_statement(), timestamp="2026-01-01T00:00:00Z")
        desk.claims.attest(layout, top, signer, OPENVEX, predicate=predicate)
        return desk.judge(text, layout=layout)

    assert verdict(judge(rule(SIGNED), desk.claims.release))[0] == "verified"
    assert verdict(judge(rule(SIGNED), desk.claims.other))[1] == "vulnerability-severity"
    assert verdict(judge(rule(AUTHOR), desk.claims.release))[1] == "vulnerability-severity"


def test_vex_inside_the_index_is_as_unsigned_as_its_author(desk: Desk) -> None:
    more = {OPENVEX: openvex(flask_statement(), timestamp="2026-01-01T00:00:00Z")}
    assert verdict(desk.judge(rule(AUTHOR), more=more))[0] == "verified"
    assert verdict(desk.judge(rule(SIGNED), more=more))[1] == "vulnerability-severity"


# -- the policy's words -----------------------------------------------------------------------------------------------


def test_an_sbom_is_always_required() -> None:
    (only,) = parse_policy(rule().encode()).rules
    assert only.require == ("sbom",)
    (only,) = parse_policy(
        policy(demand(), "[rule.vulnerabilities]\nat_most = 'low'", require='["spdx"]').encode()
    ).rules
    assert only.require == ("spdx",)
    assert any("vulnerabilities at most low" in phrase for phrase in only.demanded)


@pytest.mark.parametrize(
    "text",
    [
        rule(at_most='"severe"'),
        rule(at_most='"unknown"'),
        rule(data_max_age_days=0),
        rule(older_than_days='"30"'),
        rule(fixable="true"),
        rule("[[rule.vulnerabilities.vex]]\nunsigned_author = ' '"),
        rule("[[rule.vulnerabilities.vex]]"),
        rule(AUTHOR, AUTHOR),
        rule(SIGNED + "\nunsigned_author = 'x'"),
        rule(vex="[]"),
        policy(demand(), "[rule.vulnerabilities]"),
    ],
)
def test_policies_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_policy(text.encode())
    assert error.value.code == "policy"


# -- a whole run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept_bytes", [limits.KEPT_IN_MEMORY_BYTES, 0])
def test_a_bundle_brings_images_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int) -> None:
    """Large data goes through a file without a name, small data does not."""
    monkeypatch.setattr(limits, "KEPT_IN_MEMORY_BYTES", kept_bytes)
    claims = Claims(tmp_path)
    layout, top, _ = scannable(NAME)
    claims.sign(layout, top, claims.release)
    path = layout.write(tmp_path / "image")
    records = write_folder(tmp_path / "osv", [osv_record(aliases=["CVE-2026-1"], modified="2026-01-01T00:00:00Z")])
    exporter = Exporter(TufRepository("main", targets=claims.targets), tmp_path)
    bundle = exporter.deliver(LayoutSource("oci", path, NAME), data=[DataRequest("osv", str(records))])
    site = make_site(tmp_path / "state", exporter.repository.pin)
    run = verify(bundle, site, rule())
    assert run.report.failure is None
    assert (run.report.exit_code, run.report.reason) == (1, "vulnerability-severity")
    assert [fact.records for fact in run.report.data] == [1]
    assert verify(bundle, site, rule(at_most='"critical"')).report.exit_code == 0


def test_data_that_went_by_in_a_pipe_is_missing_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PIPED_DATA_BYTES", 0)
    claims = Claims(tmp_path)
    layout, top, _ = scannable(NAME)
    claims.sign(layout, top, claims.release)
    records = write_folder(tmp_path / "osv", [osv_record(modified="2026-01-01T00:00:00Z")])
    exporter = Exporter(TufRepository("main", targets=claims.targets), tmp_path)
    source = LayoutSource("oci", layout.write(tmp_path / "image"), NAME)
    bundle = exporter.deliver(source, data=[DataRequest("osv", str(records))])
    site = load_site(make_site(tmp_path / "state", exporter.repository.pin), read_only=True)
    request = Request(time_basis(NOW, None), site=site, policy=parse_policy(rule().encode()), threads=1)
    (piped,) = verify_bundle(io.BytesIO(bundle.read_bytes()), request).report.images
    (read,) = verify_bundle(bundle, request).report.images
    assert verdict(piped) == ("rejected", "vulnerability-data-missing")
    assert lines(piped) == [("missing", "vulnerability-data-missing", ""), ("note", "data-unread", "osv")]
    assert verdict(read) == ("rejected", "vulnerability-severity")


# -- what data claims, and whose it is --------------------------------------------------------------------------------


def test_an_inventory_that_makes_data_look_young_is_not_believed(desk: Desk) -> None:
    """The date of the data is no later than anything in it."""
    claimed = AT - timedelta(days=1)
    old = shelf_item(osv(osv_record(name="other")), modified_at=claimed, delivered_at=claimed)
    result = desk.judge(rule(data_max_age_days=14), old)
    assert verdict(result) == ("rejected", "vulnerability-data-old")
    assert ("note", "data-misdated", "osv/PyPI of stream main") in lines(result)
    honest = desk.judge(rule(), desk.data())
    assert "data-misdated" not in {code for _, code, _ in lines(honest)}


@pytest.mark.parametrize(("days", "passes"), [(1, True), (61, True), (63, False), (100_000, False)])
def test_published_later_than_can_be_counts_as_published_at_no_known_time(desk: Desk, days: int, passes: bool) -> None:
    published = format_moment(START + timedelta(days=days))
    data = desk.data(osv(osv_record(published=published)))
    assert (verdict(desk.judge(rule(older_than_days=70), data))[0] == "verified") is passes


def test_a_finding_without_severity_passes_only_with_a_word(desk: Desk) -> None:
    nameless = {**osv_record(), "severity": []}
    result = desk.judge(rule(at_most='"high"'), desk.data(osv(nameless)))
    assert verdict(result)[0] == "verified"
    (first, _) = [check for check in result.checks if check.name == "vulnerabilities"]
    assert "1 finding within bounds; 1 of them without a severity, which counts as high; " in first.detail


def test_whose_vex_settles_is_told(desk: Desk) -> None:
    result = desk.judge(rule(AUTHOR), desk.data(), vex_item())
    told_of = [check.detail for check in result.checks if check.name == "vulnerabilities" and not check.code]
    assert all(
        "1 settled by VEX of 'Example Security Team' (unsigned, as stream main had it)" in one for one in told_of
    )
    assert told_of


def test_a_stream_of_the_same_name_under_another_root_is_another(desk: Desk) -> None:
    """It can neither settle findings nor push data out, however new its own is."""
    vex = replace(vex_item(), owner=Owner("main", "sha256:other"))
    assert verdict(desk.judge(rule(AUTHOR), desk.data(), vex))[1] == "vulnerability-severity"
    empty = desk.data(osv(osv_record(name="other")), AT - timedelta(days=1), pin="sha256:other")
    assert verdict(desk.judge(rule(), desk.data(), empty))[1] == "vulnerability-severity"
    assert verdict(desk.judge(rule(), desk.data(), replace(empty, owner=Owner("main", ""))))[0] == "verified"


@pytest.mark.parametrize(("stream", "code"), [("main", ""), ("other", "vulnerability-severity")])
def test_aliases_by_another_stream_settle_nothing_more(desk: Desk, stream: str, code: str) -> None:
    """`main` knows two vulnerabilities, VEX settles one; whoever calls them one speaks for his own data alone."""
    ids = ["CVE-2026-1", "CVE-2026-2"]
    found = desk.data(osv(*(osv_record(each) for each in ids)), source="osv/a")
    joining = desk.data(osv(osv_record("EVIL-1", aliases=ids)), source="osv/b", stream=stream)
    result = desk.judge(rule(AUTHOR), found, joining, vex_item())
    assert verdict(result) == ("rejected" if code else "verified", code)
    assert (("note", "vex-partial") in {line[:2] for line in lines(result)}) is bool(code)
