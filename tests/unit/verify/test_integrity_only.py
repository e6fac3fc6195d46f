"""`--integrity-only`: bytes against the file's own metadata. It needs no pin, and it proves nothing else."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.cli.main import main
from bundler.report.as_text import format_text
from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.result import Report, Verdict
from tests.simulators.campaign import DAY, NOW, START, Campaign, split, trust_of, verdict, with_trust
from tests.simulators.tuf_repository import altered
from trust_root.delivery import time_basis

INTACT = "INTACT, NOT VERIFIED"


@pytest.fixture
def world(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path, "main")


def check(source: Path | bytes, clock: datetime = NOW) -> Report:
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    return verify_bundle(opened, Request(time_basis(clock, None), integrity_only=True)).report


def test_intact_is_not_verified(world: Campaign) -> None:
    report = check(world.deliver())
    assert verdict(report) == (0, "")
    assert report.verdict is Verdict.INTACT
    text = format_text(report)
    assert text.startswith(INTACT)
    assert "trust: not proved; the file's own metadata, root 1" in text
    assert "\nVERIFIED" not in text
    assert (report.images, report.checks, report.policy_digest) == ((), (), None)
    assert report.trust is not None
    assert (report.trust.pin, report.trust.standing, report.trust.recorded) == (None, "", "")


def test_it_needs_no_pin_and_makes_nothing(world: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty-state"
    bundle = world.deliver()
    assert main(["verify", str(bundle), "--integrity-only", "--state", str(empty)]) == 0
    assert capsys.readouterr().out.startswith(INTACT)
    assert main(["verify", str(bundle), "--integrity-only", "--json", "--state", str(empty)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["exit_code"], document["images"]) == ("intact-not-verified", 0, [])
    assert document["trust"]["pin"] is None
    assert not empty.exists()


def test_it_writes_nothing_where_there_is_a_site(world: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    world.repository.add_root()
    bundle = world.deliver()
    before = world.state_bytes()
    assert main(["verify", str(bundle), "--integrity-only", "--state", str(world.state)]) == 0
    assert world.state_bytes() == before
    assert capsys.readouterr().out.startswith(INTACT)


@pytest.mark.parametrize("words", [["--policy", "p"], ["--at", "2027-01-01", "--reason", "x"], ["--historic"]])
def test_it_stands_alone(world: Campaign, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody may take it for a verification by a policy."""
    assert main(["verify", str(world.deliver()), "--integrity-only", *words]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("years", [0, 2, 20, 200])
def test_it_works_on_expired_metadata(world: Campaign, years: int) -> None:
    report = check(world.deliver(), START + timedelta(days=365) * years)
    assert verdict(report) == (0, "")
    assert report.verdict is Verdict.INTACT


def test_it_works_before_anything_was_made(world: Campaign) -> None:
    """There is no clock to be wrong: nothing is judged by time."""
    assert verdict(check(world.deliver(), datetime(1970, 1, 1, tzinfo=UTC))) == (0, "")


def test_it_passes_for_anybodys_bundle_so_it_proves_nothing(world: Campaign, tmp_path: Path) -> None:
    stranger = Campaign(tmp_path / "stranger", "main").deliver()
    assert verdict(check(stranger)) == (0, "")
    assert world.judge(stranger) == (4, "pin-not-in-bundle")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda raw: raw.replace(b"the only layer", b"the 0nly layer"), (3, "blob-digest")),
        (lambda raw: raw[:-1], (3, "truncated")),
        (lambda raw: raw[: len(raw) // 2], (3, "truncated")),
        (lambda raw: raw + bytes(512), (3, "trailing-data")),
        (lambda raw: raw.replace(b'image.ref.name":"', b'image.ref.nam3":"'), (3, "derived-content")),
        (lambda raw: raw.replace(b'"tool":"sealift', b'"tool":"Sealift'), (4, "inventory-digest")),
        (lambda raw: raw[:512] + b"Sealift bundle, format 2\n" + raw[537:], (5, "format")),
    ],
)
def test_damage_is_damage(world: Campaign, spoil: object, expected: tuple[int, str]) -> None:
    assert callable(spoil)
    raw = world.deliver().read_bytes()
    assert verdict(check(raw)) == (0, "")
    spoiled = spoil(raw)
    assert verdict(check(spoiled)) == expected
    assert not format_text(check(spoiled)).startswith(INTACT)


def test_metadata_that_does_not_hold_together_is_refused(world: Campaign) -> None:
    """The file's own metadata has to be consistent: signatures, chain, hashes. Only its first root is believed."""
    world.repository.add_root()
    bundle = world.deliver().read_bytes()
    files = trust_of(bundle)
    stranger = world.repository.streams["main"].key
    files["metadata/2.root.json"] = altered(files["metadata/2.root.json"], lambda _: None, [stranger])
    assert verdict(check(with_trust(bundle, files))) == (4, "metadata-signature")


def test_no_claim_of_any_image_is_judged(world: Campaign) -> None:
    """A bundle whose image nobody trusts is as intact as any other; no image is listed, so none looks verified."""
    report = check(world.deliver(keyed=True))
    assert verdict(report) == (0, "")
    assert report.images == ()
    assert report.bundle is not None
    assert report.bundle.images == 1
    assert report.members == len(split(world.deliver(keyed=True).read_bytes()))


def test_two_runs_say_the_same(world: Campaign) -> None:
    bundle = world.deliver()
    assert format_text(check(bundle)) == format_text(check(bundle))
    assert format_text(check(bundle, NOW + DAY)) != ""
