"""Copa's VEX at the far side: what it settles of the original's findings, and whose word that is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError, UnsupportedError
from bundler.value import replace
from bundler.verify.images import judge_image
from bundler.verify.result import Check, ImageResult
from bundler.verify.vulnerabilities import VulnerabilityData
from bundler.vulnerability.copa_vex import Mended, parse_copa_vex
from bundler.vulnerability.shelf import Owner, open_matcher
from tests.simulators.claims import Claims, demand, told, verdict
from tests.simulators.images import to_json
from tests.simulators.osv_records import osv_record
from tests.simulators.patched import COPA, GONE, LEFT, NAME, PATCHED_NAME, Scene, copa_vex, patched_scene
from tests.simulators.scannable import osv, shelf_item, spdx
from tests.simulators.tuf_repository import START
from trust_root.stream_signature import StreamKeys

AT = START + timedelta(days=60)
AMD, ARM = "linux/amd64", "linux/arm64"
OPENSSL = "pkg:deb/debian/openssl@1.1?arch=amd64&distro=debian-12"
TAKEN = f'[[rule.vulnerabilities.vex]]\nunsigned_author = "{COPA}"'
ABOUT = sha256_of(b"patched")


def record(name: str, number: int = 1, fixed: str | None = "1.2") -> dict[str, Any]:
    return osv_record(f"DSA-{number}", ecosystem="Debian:12", name="openssl", fixed=fixed, aliases=[name])


class Desk:
    """A patched image, judged with data about its original's packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.claims = Claims(folder)
        self.scene: Scene = patched_scene()
        self.scene.papers = lambda child: [spdx(child, [OPENSSL])]

    def vex(self, *mended: tuple[str, str], author: str = COPA, **more: Any) -> None:
        """What Copa says of both platforms, about no digest."""
        for platform in (AMD, ARM):
            said = {**copa_vex(platform, ABOUT, *mended), "author": author, **more}
            for item in said["statements"]:
                item["products"][0]["@id"] = "pkg:oci/app"
            self.scene.vex[platform] = to_json(said)

    def judge(self, *more: str, records: tuple[dict[str, Any], ...] = (record(GONE),)) -> ImageResult:
        self.scene.build()
        layout = self.scene.layout
        self.claims.sign(layout, self.scene.original_top, self.claims.release)
        inventory = self.claims.inventory((layout, NAME), (layout, PATCHED_NAME))
        contents = {digest: layout.read(digest) for digest in layout.blobs}
        lines = ["format = 1", "[[rule]]", f'images = ["{PATCHED_NAME}"]', f'derived_from = ["{NAME}"]', demand()]
        policy = "\n".join([*lines, "[rule.vulnerabilities]", 'at_most = "medium"', *more])
        bench = replace(
            self.claims.bench(inventory, policy, contents), stream_keys=StreamKeys("main", (self.scene.key.public,))
        )
        item = shelf_item(osv(*records), modified_at=START, delivered_at=START)
        with open_matcher([item], self.folder, AT) as (matcher, notes):
            data = VulnerabilityData(matcher, (), notes, Owner("main", ""), {item.digest: item.modified_at})
            return judge_image(inventory.images[1], replace(bench, vulnerabilities=data)).result


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def verdicts(result: ImageResult) -> list[Check]:
    """What the rule says of each platform, without the scanner's word."""
    return [check for check in result.checks if check.name == "vulnerabilities" and check.outcome.value != "note"]


def codes(result: ImageResult) -> list[str]:
    return [
        code for outcome, code, _ in told(result, "vulnerabilities") if outcome == "note" and code.startswith("vex-")
    ]


def test_what_copa_mended_is_settled_where_its_word_is_taken(desk: Desk) -> None:
    result = desk.judge(TAKEN)
    assert verdict(result) == ("verified", "")
    one, two = verdicts(result)
    assert (one.about, two.about) == (AMD, ARM)
    assert one.detail.startswith("of the original: 0 findings within bounds; 1 settled by VEX of 'Project Copacetic'")
    assert "named in the statement of stream main" in one.detail
    unlisted = [check.about for check in result.checks if check.code == "vulnerability-patch-unlisted"]
    assert unlisted == [AMD, ARM]


def test_nobody_takes_copas_word_unasked(desk: Desk) -> None:
    result = desk.judge()
    assert verdict(result) == ("rejected", "vulnerability-severity")
    assert codes(result) == ["vex-author", "vex-author"]


def test_what_it_does_not_name_stays_open(desk: Desk) -> None:
    result = desk.judge(TAKEN, records=(record(GONE), record(LEFT, 2, None)))
    assert verdict(result) == ("rejected", "vulnerability-severity")
    assert LEFT in verdicts(result)[0].detail
    assert GONE not in verdicts(result)[0].detail


@pytest.mark.parametrize(
    "mended",
    [
        (GONE, "pkg:deb/debian/libssl3@1.2?arch=amd64"),
        (GONE, "pkg:apk/debian/openssl@1.2?arch=amd64"),
        ("CVE-2026-9999", "pkg:deb/debian/openssl@1.2?arch=amd64"),
    ],
)
def test_another_package_kind_or_vulnerability_settles_nothing(desk: Desk, mended: tuple[str, str]) -> None:
    desk.vex(mended)
    assert verdict(desk.judge(TAKEN)) == ("rejected", "vulnerability-severity")


@pytest.mark.parametrize("status", ["not_affected", "under_investigation", "affected"])
def test_fixed_is_all_that_copa_can_say(desk: Desk, status: str) -> None:
    said = copa_vex("x", ABOUT)["statements"]
    said[0]["status"] = status
    desk.vex(statements=said)
    result = desk.judge(TAKEN)
    assert (verdict(result), codes(result)) == (("rejected", "vulnerability-severity"), ["vex-unread"] * 2)


def test_a_document_about_another_manifest_settles_nothing(desk: Desk) -> None:
    """Last week's document, named in this week's statement."""
    for platform in (AMD, ARM):
        desk.scene.vex[platform] = to_json(copa_vex(platform, ABOUT))
    result = desk.judge(TAKEN)
    assert (verdict(result), codes(result)) == (("rejected", "vulnerability-severity"), ["vex-unread"] * 2)
    assert "subject-mismatch" in next(check.detail for check in result.checks if check.code == "vex-unread")


def test_a_document_of_a_later_time_says_nothing_yet(desk: Desk) -> None:
    desk.vex(timestamp="2099-01-01T00:00:00Z")
    result = desk.judge(TAKEN)
    assert (verdict(result), codes(result)) == (("rejected", "vulnerability-severity"), ["vex-later"] * 2)


def test_without_an_sbom_of_the_original_nothing_is_judged(desk: Desk) -> None:
    desk.scene.papers = None
    result = desk.judge(TAKEN)
    assert verdict(result)[0] == "rejected"
    assert {check.code for check in verdicts(result)} == {"vulnerability-sbom-missing"}


def test_a_lineage_that_does_not_hold_settles_nothing(desk: Desk) -> None:
    desk.scene.patched[AMD].layers.reverse()
    result = desk.judge(TAKEN)
    assert (verdict(result), verdicts(result)) == (("rejected", "lineage-layers"), [])


# -- the document -----------------------------------------------------------------------------------------------------


def read(document: dict[str, Any], about: Digest = ABOUT) -> list[tuple[str, str, str, str]]:
    found = parse_copa_vex(to_json(document), about)
    return [(each.vulnerability, each.kind, each.package, each.version) for each in found.mended]


def test_as_copa_writes_it() -> None:
    """Epochs and tildes are not percent-encoded, nor is the digest (copa 0.11, pkg/vex/openvex.go)."""
    mended = ((GONE, "pkg:deb/debian/vim@2:9.0~1+b1?arch=amd64"), (GONE, "pkg:deb/debian/vim-tiny@2:9.0?arch=amd64"))
    assert read(copa_vex("x", ABOUT, *mended)) == [
        (GONE, "deb", "vim", "2:9.0~1+b1"), (GONE, "deb", "vim-tiny", "2:9.0"),
    ]  # fmt: skip


def test_in_the_words_of_openvex_0_2_0() -> None:
    document = copa_vex("x", ABOUT)
    document["@context"] = "https://openvex.dev/ns/v0.2.0"
    (statement,) = document["statements"]
    statement["vulnerability"] = {"@id": "https://nvd.nist.gov/vuln/detail/X", "name": GONE}
    statement["products"][0]["@id"] = f"pkg:oci/app@{str(ABOUT).replace(':', '%3A')}?tag=1"
    statement["products"][0]["subcomponents"] = [{"identifiers": {"purl": "pkg:rpm/redhat/openssl@1%3A3.0"}}]
    assert read(document) == [(GONE, "rpm", "openssl", "1:3.0")]


def test_parts_that_cannot_be_read_are_counted() -> None:
    document = copa_vex("x", ABOUT, (GONE, "pkg:deb/debian/openssl"), (LEFT, "openssl"), (LEFT, "pkg:deb/openssl@1"))
    found = parse_copa_vex(to_json(document), ABOUT)
    assert found.mended == (Mended(LEFT, "deb", "openssl", "1"),)
    assert found.unread > 0


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"@context": "https://openvex.dev/ns/v9"}, UnsupportedError, "vex-version"),
        ({"@context": "x"}, MalformedError, "vex-version"),
        ({"author": " "}, MalformedError, "field-value"),
        ({"timestamp": "yesterday"}, MalformedError, "time"),
        ({"statements": {}}, MalformedError, "field-type"),
        ({"statements": [{"vulnerability": {}, "status": "fixed"}]}, MalformedError, "vex-statement"),
        ({"statements": [{"vulnerability": "CVE-1", "status": "fixed"}]}, MalformedError, "field-type"),
        (
            {"statements": [{"vulnerability": {"@id": "CVE-\x1b[1m"}, "status": "fixed"}]},
            MalformedError,
            "vex-statement",
        ),
    ],
)
def test_other_documents_are_refused(change: dict[str, Any], kind: type[Exception], code: str) -> None:
    with pytest.raises(kind) as caught:
        read({**copa_vex("x", ABOUT), **change})
    assert getattr(caught.value, "code", "") == code


def test_a_document_about_another_image_is_refused() -> None:
    with pytest.raises(RejectedError) as caught:
        read(copa_vex("x", ABOUT), sha256_of(b"another"))
    assert caught.value.code == "subject-mismatch"
