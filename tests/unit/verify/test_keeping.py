"""What a site keeps of accepted deliveries: SBOMs and data, whole, bounded, hashed again when read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bundler.digest import Digest, sha256_of
from bundler.errors import TrustError, UsageError
from bundler.export.settings import DataRequest
from bundler.verify.pipeline import Request, Verification, verify_bundle
from bundler.verify.policy import parse_policy
from bundler.verify.settle import settle
from bundler.vulnerability.recollection import kept_items, recall, recall_sbom, recall_vex
from bundler.vulnerability.remembered import (
    Remembered,
    RememberedData,
    RememberedDelivery,
    format_remembered,
    merge,
    parse_remembered,
)
from tests.simulators.claims import NAME, Claims, demand, policy
from tests.simulators.deliveries import NOW, Exporter, LayoutSource, change_settings, make_site, verify
from tests.simulators.osv_records import osv_record, osv_zip
from tests.simulators.scannable import FLASK, scannable
from tests.simulators.tuf_repository import START, TufRepository
from tests.simulators.vex_documents import openvex, raw, statement
from trust_root.delivery import time_basis
from trust_root.pin import pin_root
from trust_root.settings import KeepSettings, SiteSettings, format_settings, parse_settings
from trust_root.site import load_site

POLICY = policy(demand())
RULE = policy(demand(), '[rule.vulnerabilities]\nat_most = "medium"\nolder_than_days = 1')
OPENVEX = "https://openvex.dev/ns/v0.2.0"


class House:
    """An exporter of a signed image, and a site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.claims = Claims(folder)
        self.exporter = Exporter(TufRepository("main", targets=self.claims.targets), folder)
        self.state = make_site(folder / "state", self.exporter.repository.pin)

    def image(self, number: int = 1, purls: Sequence[str] = (FLASK,), *, signed_sbom: bool = False) -> LayoutSource:
        layout, top, (amd64, _) = scannable(NAME, purls, seed=10 * number)
        self.claims.sign(layout, top, self.claims.release)
        if signed_sbom:
            predicate = openvex(statement(products=[{"@id": FLASK}]))
            self.claims.attest(layout, amd64, self.claims.release, OPENVEX, predicate=predicate)
        return LayoutSource("oci", layout.write(self.folder / f"image-{number}"), NAME)

    def data(self, name: str = "osv/PyPI", modified: str = "2025-12-01T00:00:00Z") -> DataRequest:
        path = self.folder / f"{modified[:10]}-{name.replace('/', '-')}.zip"
        path.write_bytes(osv_zip([osv_record(aliases=["CVE-2026-1"], modified=modified)]))
        return DataRequest("osv", str(path), name)

    def recall(self) -> Remembered:
        return recall(load_site(self.state))

    def kept(self) -> set[str]:
        folder = self.state / "kept"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def accepted(run: Verification) -> Verification:
    assert run.report.failure is None
    assert run.report.exit_code == 0, run.report.reason
    return run


def test_sboms_and_data_are_kept(house: House) -> None:
    bundle = house.exporter.deliver(house.image(signed_sbom=True), data=[house.data()])
    accepted(verify(bundle, house.state, POLICY))
    (delivery,) = house.recall().deliveries
    assert (delivery.stream, delivery.sequence, delivery.created_at, delivery.accepted_at) == ("main", 1, START, NOW)
    (image,) = delivery.images
    assert image.name == NAME
    assert len(image.signers) == 1
    assert [(paper.kind, paper.form, paper.platform) for paper in image.papers] == [
        ("vex", "envelope", "linux/amd64"),
        ("sbom", "statement", "linux/amd64"),
        ("sbom", "statement", "linux/arm64"),
        ("vex", "document", "linux/amd64"),  # what holds the signature of the first
    ]
    assert image.papers[1].strength == "covered by the image signature"
    site = load_site(house.state)
    assert recall_sbom(site, image.papers[1]).packages[0].purl == FLASK
    assert recall_vex(site, image.papers[0]).author == "Example Security Team"
    (item,) = kept_items(site)
    assert (item.owner.stream, item.kind, item.source) == ("main", "osv", "osv/PyPI")
    with item.open() as source:
        assert sha256_of(source.read()) == item.digest
    assert house.kept() == {digest.hex for digest in house.recall().contents}


def test_later_data_judges_an_image_that_came_without(house: House) -> None:
    """The data comes first, alone; then an image without any: what the site keeps judges it."""
    accepted(verify(house.exporter.deliver(data=[house.data()]), house.state, POLICY))
    run = verify(house.exporter.deliver(house.image()), house.state, RULE)
    assert (run.report.exit_code, run.report.reason) == (1, "vulnerability-severity")
    assert (house.state / "vulnerabilities").exists() is False  # the simulator gives no working folder


def test_newer_data_takes_the_place_of_older(house: House) -> None:
    accepted(verify(house.exporter.deliver(data=[house.data(), house.data("osv/npm")]), house.state, POLICY))
    before = house.kept()
    newer = house.data(modified="2025-12-20T00:00:00Z")
    accepted(verify(house.exporter.deliver(data=[newer]), house.state, POLICY))
    assert [(item.source, item.sequence) for item in house.recall().data] == [("osv/PyPI", 2), ("osv/npm", 1)]
    assert len(house.kept()) == 2
    assert house.kept() != before
    older = house.data(modified="2025-11-01T00:00:00Z")
    accepted(verify(house.exporter.deliver(data=[older]), house.state, POLICY))
    assert [(item.source, item.sequence) for item in house.recall().data] == [("osv/PyPI", 2), ("osv/npm", 1)]


def test_only_so_many_deliveries(house: House) -> None:
    change_settings(house.state, 'site = "plant"\n[keep]\ndeliveries = 2\n')
    for number in range(1, 4):
        accepted(verify(house.exporter.deliver(house.image(number)), house.state, POLICY))
    remembered = house.recall()
    assert [item.sequence for item in remembered.deliveries] == [2, 3]
    assert house.kept() == {digest.hex for digest in remembered.contents}


def test_a_site_that_keeps_nothing(house: House) -> None:
    change_settings(house.state, 'site = "plant"\n[keep]\nsboms = false\ndata = false\n')
    accepted(verify(house.exporter.deliver(house.image(), data=[house.data()]), house.state, POLICY))
    assert house.recall() == Remembered()
    assert house.kept() == set()


def test_a_site_that_keeps_data_only(house: House) -> None:
    change_settings(house.state, 'site = "plant"\n[keep]\nsboms = false\n')
    accepted(verify(house.exporter.deliver(house.image(), data=[house.data()]), house.state, POLICY))
    assert house.recall().deliveries[0].images[0].papers == ()
    assert len(house.kept()) == 1


def test_what_is_refused_or_only_looked_at_leaves_nothing(house: House) -> None:
    bundle = house.exporter.deliver(house.image(), data=[house.data()])
    assert verify(bundle, house.state, None).report.exit_code == 1
    accepted(verify(bundle, house.state, POLICY, read_only=True))
    accepted(verify(bundle, house.state, POLICY, at=NOW))
    assert house.kept() == set()
    assert house.recall() == Remembered()


def test_accepted_again_changes_nothing(house: House) -> None:
    bundle = house.exporter.deliver(house.image(), data=[house.data()])
    accepted(verify(bundle, house.state, POLICY))
    before = load_site(house.state).loaded.state
    accepted(verify(bundle, house.state, POLICY, clock=NOW + timedelta(hours=1)))
    after = load_site(house.state).loaded.state
    assert (after.kept, after.generation) == (before.kept, before.generation)


def test_from_a_pipe_small_things_are_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.PIPED_DATA_BYTES", 10)
    bundle = house.exporter.deliver(house.image(), data=[house.data()])
    site = load_site(house.state)
    request = Request(
        time_basis(NOW, site.floor, None, None), site=site, policy=parse_policy(POLICY.encode()), threads=1
    )
    run = verify_bundle(io.BytesIO(bundle.read_bytes()), request, lambda run, archive: settle(run, site, archive))
    accepted(run)
    assert "data-not-kept" in {check.code for check in run.report.checks}
    assert len(house.recall().deliveries[0].images[0].papers) == 2
    accepted(verify(bundle, house.state, POLICY))  # now from a file
    assert len(house.recall().data) == 1


def codes(run: Verification) -> list[tuple[str, str]]:
    return [(check.code, check.about) for check in run.report.checks if check.name == "kept"]


def test_data_that_is_older_or_much_less_is_told(house: House) -> None:
    """Old data after newer changes nothing; data that lost most of its records is used, with a word."""
    path = house.folder / "many.zip"
    records = [osv_record(f"GHSA-{number}", modified="2026-01-01T00:00:00Z") for number in range(5)]
    path.write_bytes(osv_zip(records))
    many = DataRequest("osv", str(path), "osv/PyPI")
    assert codes(accepted(verify(house.exporter.deliver(data=[many]), house.state, POLICY))) == []
    older = accepted(verify(house.exporter.deliver(data=[house.data()]), house.state, POLICY))
    assert codes(older) == [("data-older", "osv/PyPI")]
    assert house.recall().data[0].sequence == 1
    less = house.data(modified="2026-02-01T00:00:00Z")
    assert codes(accepted(verify(house.exporter.deliver(data=[less]), house.state, POLICY))) == [
        ("data-shrank", "osv/PyPI")
    ]
    assert house.recall().data[0].sequence == 3


def test_a_full_list_forgets_the_oldest_and_refuses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted(verify(house.exporter.deliver(house.image(1)), house.state, POLICY))
    monkeypatch.setattr("bundler.limits.KEPT_LIST_BYTES", 2 * len(format_remembered(house.recall())))
    for number in (2, 3, 4):
        run = accepted(verify(house.exporter.deliver(house.image(number)), house.state, POLICY))
    assert ("delivery-forgotten", "older deliveries") in codes(run)
    kept = [item.sequence for item in house.recall().deliveries]
    assert kept == list(range(kept[0], 5))
    assert 1 < kept[0] <= 4
    assert house.kept() == {digest.hex for digest in house.recall().contents}


def test_more_papers_of_one_image_than_a_site_keeps_are_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = house.exporter.deliver(house.image())
    monkeypatch.setattr("bundler.limits.KEPT_PAPERS", 2)
    assert codes(accepted(verify(bundle, house.state, POLICY))) == []
    monkeypatch.setattr("bundler.limits.KEPT_PAPERS", 1)
    run = accepted(verify(bundle, make_site(house.folder / "other", house.exporter.repository.pin), POLICY))
    (told,) = (check for check in run.report.checks if check.name == "kept")
    assert (told.code, told.detail) == ("sbom-not-kept", "1 of them are more than a site keeps of one image, 1")
    (image,) = recall(load_site(house.folder / "other")).deliveries[0].images
    assert len(image.papers) == 1


def test_what_is_switched_off_goes_with_the_next_delivery(house: House) -> None:
    accepted(verify(house.exporter.deliver(house.image(), data=[house.data()]), house.state, POLICY))
    change_settings(house.state, 'site = "plant"\n[keep]\nsboms = false\n')
    accepted(verify(house.exporter.deliver(house.image(2)), house.state, POLICY))
    remembered = house.recall()
    assert ([item.sequence for item in remembered.deliveries], len(remembered.data)) == ([1, 2], 1)
    assert not any(image.papers for item in remembered.deliveries for image in item.images)
    assert len(house.kept()) == 1
    change_settings(house.state, 'site = "plant"\n[keep]\nsboms = false\ndata = false\n')
    accepted(verify(house.exporter.deliver(house.image(3)), house.state, POLICY))
    assert (house.recall(), house.kept()) == (Remembered(), set())


def test_two_roots_may_each_have_a_stream_of_one_name(house: House) -> None:
    """What the other's brings says nothing about this one's images: neither newer data nor VEX."""
    other = Exporter(TufRepository("main"), house.folder / "other")
    root = other.repository.pin
    pin_root(house.state, root, sha256_of(root), NOW, add=True)
    trusting = f'{RULE}\n[[rule.vulnerabilities.vex]]\nunsigned_author = "Example Security Team"'
    accepted(verify(house.exporter.deliver(data=[house.data()]), house.state, POLICY))
    bundle = house.exporter.deliver(house.image())
    empty, vex = house.folder / "empty.zip", house.folder / "vex.json"
    empty.write_bytes(osv_zip([osv_record("GHSA-9", name="other", modified="2026-10-30T00:00:00Z")]))
    vex.write_bytes(raw(openvex(statement(products=[{"@id": FLASK}]), timestamp="2026-10-30T00:00:00Z")))
    brought = [DataRequest("osv", str(empty), "osv/PyPI"), DataRequest("openvex", str(vex), "vex")]
    accepted(verify(other.deliver(data=brought), house.state, POLICY))
    assert verify(bundle, house.state, trusting).report.reason == "vulnerability-severity"
    accepted(verify(house.exporter.deliver(house.image(2), data=brought), house.state, trusting))


def test_damage_is_noticed_when_it_is_read(house: House) -> None:
    accepted(verify(house.exporter.deliver(house.image(), data=[house.data()]), house.state, POLICY))
    site = load_site(house.state)
    (image,) = recall(site).deliveries[0].images
    path = house.state / "kept" / image.papers[0].content.hex
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(TrustError) as error:
        recall_sbom(site, image.papers[0])
    assert error.value.code == "state-damaged"
    path.unlink()
    with pytest.raises(TrustError) as error:
        recall_sbom(site, image.papers[0])
    assert error.value.code == "state-damaged"


@pytest.mark.parametrize("lost", [False, True])
def test_what_rotted_is_written_again_by_its_bundle(house: House, lost: bool) -> None:
    first = house.exporter.deliver(house.image(), data=[house.data()])
    accepted(verify(first, house.state, POLICY))
    whole = {path: path.read_bytes() for path in (house.state / "kept").iterdir()}

    def rot() -> None:
        for path in whole:
            path.unlink() if lost else path.write_bytes(b"rotten")

    rot()
    with pytest.raises(TrustError) as error:
        recall_sbom(load_site(house.state), house.recall().deliveries[0].images[0].papers[0])
    assert "verify the bundle that brought it once more" in error.value.hints[0]
    accepted(verify(first, house.state, POLICY))
    assert {path: path.read_bytes() for path in whole} == whole
    accepted(verify(house.exporter.deliver(house.image(2)), house.state, POLICY))
    rot()
    state = load_site(house.state).loaded.digest
    accepted(verify(first, house.state, POLICY, historic=True))
    assert {path: path.read_bytes() for path in whole} == whole
    assert load_site(house.state).loaded.digest == state


def test_a_list_that_was_changed_or_lost(house: House) -> None:
    accepted(verify(house.exporter.deliver(house.image()), house.state, POLICY))
    site = load_site(house.state)
    kept = site.loaded.state.kept
    assert kept is not None
    path = house.state / "content" / kept.hex
    raw = path.read_bytes()
    for change in (lambda: path.write_bytes(raw.replace(b'"sbom"', b'"vex"', 1)), path.unlink):
        change()
        with pytest.raises(TrustError) as error:
            recall(site)
        assert error.value.code == "state-damaged"


def test_a_state_without_its_word_about_what_is_kept_is_damaged(house: House) -> None:
    accepted(verify(house.exporter.deliver(house.image()), house.state, POLICY))
    path = house.state / "state.json"
    raw = path.read_bytes()
    start = raw.index(b'"kept":"')
    path.write_bytes(raw[:start] + raw[raw.index(b",", start) + 1 :])
    with pytest.raises(TrustError) as error:
        load_site(house.state)
    assert error.value.code == "state-damaged"


def test_what_another_run_has_replaced_is_no_damage(house: House) -> None:
    accepted(verify(house.exporter.deliver(data=[house.data()]), house.state, POLICY))
    site = load_site(house.state)
    (item,) = kept_items(site)
    newer = house.data(modified="2025-12-20T00:00:00Z")
    accepted(verify(house.exporter.deliver(data=[newer]), house.state, POLICY))
    with pytest.raises(TrustError) as error, item.open():
        pass
    assert error.value.code == "state-changed"
    with pytest.raises(TrustError) as error:
        recall(site)
    assert error.value.code == "state-changed"


def test_litter_of_killed_runs_goes(house: House) -> None:
    accepted(verify(house.exporter.deliver(house.image(1)), house.state, POLICY))
    (house.state / "kept" / ".sealift-0.tmp").write_bytes(b"half")
    (house.state / "kept" / ("a" * 64)).write_bytes(b"nobody's")
    accepted(verify(house.exporter.deliver(house.image(2)), house.state, POLICY))
    assert house.kept() == {digest.hex for digest in house.recall().contents}


# -- the list ---------------------------------------------------------------------------------------------------------


def delivery(sequence: int, stream: str = "main") -> RememberedDelivery:
    return RememberedDelivery(Digest("sha256", "a" * 64), stream, sequence, Digest("sha256", "b" * 64), START, NOW, ())


def data(sequence: int, modified: int | None = 0, source: str = "osv") -> RememberedData:
    at = None if modified is None else START + timedelta(days=modified)
    digest = Digest("sha256", f"{sequence:064x}")
    return RememberedData(
        Digest("sha256", "a" * 64), "main", sequence, START, "osv", source, at, 1, digest, "x/y", ((digest, 1),)
    )


def test_merge_keeps_the_newest() -> None:
    whole = Remembered()
    for number in (1, 2, 3):
        whole = merge(whole, delivery(number), [data(number, number)], 2)
        whole = merge(whole, delivery(number, "other"), [], 2)
    assert [item.place[1:] for item in whole.deliveries] == [("main", 2), ("main", 3), ("other", 2), ("other", 3)]
    assert [item.sequence for item in whole.data] == [3]
    assert merge(whole, delivery(4), [data(4, 2)], 2).data == whole.data
    assert [item.sequence for item in merge(whole, delivery(4), [data(4, None)], 2).data] == [3]
    assert parse_remembered(format_remembered(whole)) == whole


def test_names_that_change_each_week_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.KEPT_DATA_SOURCES", 2)
    whole = Remembered()
    for number in (1, 2, 3):
        whole = merge(whole, delivery(number), [data(number, number, f"week-{number}")], 2)
    assert [item.source for item in whole.data] == ["week-2", "week-3"]


def test_a_list_out_of_order_is_damaged() -> None:
    for wrong in (
        Remembered((delivery(2), delivery(1))),
        Remembered((delivery(1), delivery(1))),
        Remembered((), (data(1, source="b"), data(1, source="a"))),
    ):
        with pytest.raises(TrustError) as error:
            parse_remembered(format_remembered(wrong))
        assert error.value.code == "state-damaged"
    with pytest.raises(TrustError):
        parse_remembered(b"{}")
    assert parse_remembered(None) == Remembered()


def test_every_flipped_bit_of_the_list_is_noticed() -> None:
    raw = format_remembered(Remembered((replace(delivery(1), sequence=1),), (data(1),)))
    for position in range(0, len(raw) * 8, 7):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        try:
            assert format_remembered(parse_remembered(bytes(changed))) == bytes(changed)
        except TrustError:
            continue


def test_settings() -> None:
    for keep in (KeepSettings(), KeepSettings(sboms=False), KeepSettings(data=False, deliveries=7)):
        assert parse_settings(format_settings(SiteSettings("plant", keep=keep))).keep == keep
    for wrong in (b"[keep]\nsbom = true\n", b"[keep]\ndeliveries = 0\n", b"[keep]\ndata = 1\n"):
        with pytest.raises(UsageError) as error:
            parse_settings(wrong)
        assert error.value.code == "site-settings"
