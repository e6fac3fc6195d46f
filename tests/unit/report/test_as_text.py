"""The text report: verdict first, nothing unverified as verified, nothing from outside where a verdict stands (I22)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import TrustError
from bundler.oci.manifest import OCI_MANIFEST
from bundler.report.as_text import format_text, short
from bundler.report.sizes import readable_size
from bundler.verify.result import Check, ImageResult, Outcome, Report
from tests.simulators.claims import IDENTITY, NAME, REPOSITORY, Claims, demand, policy
from tests.simulators.deliveries import Exporter, LayoutSource, make_site, verify
from tests.simulators.images import SPDX, two_platforms
from tests.simulators.reports import DIGEST, full_report
from tests.simulators.tuf_repository import TufRepository

WIDTH = 80
CANARIES = [
    "\x1b[2J\x1b[32mVERIFIED\x1b[0m", "x\nVERIFIED: y", "x\r\nVERIFIED  y", "x\x85VERIFIED", "x\u2028VERIFIED",
    "\u202edeifirev\u202c", "\u2066x\u2069", "a\u200bb", "\x00", "\x07", "\x7f", "\x9b31m", "\ufeff", "\ud800",
    "x" * 500, "/" * 200, " " * 200 + "VERIFIED", "x" + "\u3000" * 90 + "VERIFIED", "\uff36\uff25\uff32" * 60,
    "-" * 78 + "VERIFIED: x", "a/" * 100, "", " ",
]  # fmt: skip


def width(text: str) -> int:
    return sum(1 if char.isascii() else 2 for char in text)


def check_safe(text: str, headline: str) -> None:
    lines = text.splitlines()
    assert text == "\n".join(lines) + "\n"  # splitlines knows every line separator of Unicode
    assert all(char.isprintable() for line in lines for char in line)
    # The mark of something cut off, the only non-ASCII of ours, counts as two.
    assert max(map(width, lines)) <= WIDTH + 1
    assert lines[0].startswith(headline)
    at_margin = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert all(line.startswith("DAMAGED (some-code)") for line in at_margin)
    assert len(at_margin) == 1


@pytest.mark.parametrize("canary", CANARIES)
def test_text_from_outside_stays_in_its_place(canary: str) -> None:
    check_safe(format_text(full_report(canary)), "DAMAGED (blob-digest):")


@given(st.text(max_size=300))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_any_text_stays_in_its_place(text: str) -> None:
    check_safe(format_text(full_report(text, TrustError("expired", "x"))), "NOT TRUSTED (expired):")


def test_huge_texts_are_cut_and_say_so() -> None:
    text = format_text(full_report("x" * 1_000_000))
    assert len(text) < 200_000
    assert "999400 more characters: --json" in text.replace("\n", " ").replace("  ", "")


def test_the_same_report_gives_the_same_text() -> None:
    assert format_text(full_report()) == format_text(full_report())


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_held_reads_ok(outcome: Outcome) -> None:
    check = Check("signature", outcome, "some-code")
    text = format_text(Report("f", "t", checks=(check,)))
    assert (" ok " in text) == (outcome is Outcome.HELD)
    assert text.startswith("REJECTED")


def test_what_holds_unsigned_does_not_read_ok() -> None:
    check = Check("sbom", Outcome.HELD, "", "linux/amd64", SPDX, "unsigned, no covering signature")
    image = ImageResult(NAME, DIGEST, "a/b", (), (), "", (check,), (), (), 0)
    text = format_text(Report("f", "t", images=(image,)))
    assert " ok " not in text
    assert "  weak       sbom linux/amd64: unsigned, no covering signature" in text


def test_integrity_alone_never_reads_verified() -> None:
    text = format_text(Report("f", "t", integrity_only=True))
    assert text.startswith("INTACT, NOT VERIFIED: f\n")


def test_an_image_that_the_exporter_made_says_so() -> None:
    image = ImageResult(NAME, DIGEST, "a/b", (), (), "", (Check("signature", Outcome.HELD),), (), (), 0)
    assert "made by the exporter" not in format_text(Report("f", "t", images=(image,)))
    text = format_text(Report("f", "t", images=(replace(image, digest_origin="synthesised"),)))
    assert "  !! made by the exporter: no registry has this digest, nobody outside signed it\n" in text


def test_sizes_and_short_digests() -> None:
    sizes = [readable_size(number) for number in (0, 999, 1000, 1_500_000, 10**9, 10**12, 10**16)]
    assert sizes == ["0 bytes", "999 bytes", "1.0 kB", "1.5 MB", "1.0 GB", "1.0 TB", "10000.0 TB"]
    assert short(DIGEST) == f"sha256:{DIGEST.hex[:12]}…"


def test_damages_are_capped() -> None:
    assert "10 more members" in format_text(full_report())


@pytest.fixture
def delivered(tmp_path: Path) -> Report:
    claims = Claims(tmp_path)
    layout, top, (amd64, _) = two_platforms(NAME)
    claims.sign(layout, top, claims.release)
    claims.beside(layout, top, "att", claims.sigstore.attest(top.digest, claims.other))
    layout.tag_evidence(layout.cosign([(b"x", "text/spdx", {})]), amd64, "sbom", REPOSITORY)
    repository = TufRepository("main", holders=1, threshold=1, targets=claims.targets)
    source = LayoutSource("oci", layout.write(tmp_path / "layout"), NAME, NAME)
    bundle = Exporter(repository, tmp_path).deliver(source)
    state = make_site(tmp_path / "state", repository.pin)
    return verify(bundle, state, policy(demand(), require='["sbom"]')).report


def test_what_is_no_index_is_not_called_one(delivered: Report) -> None:
    assert " about the index:" in format_text(delivered)
    (image,) = delivered.images
    delivered.images = (replace(image, media_type=OCI_MANIFEST),)
    text = format_text(delivered)
    assert ("the index" in text, " about the image:" in text) == (False, True)


def test_a_real_report_fits_a_screen(delivered: Report) -> None:
    text = format_text(delivered)
    lines = text.splitlines()
    assert lines[0].startswith("VERIFIED: ")
    assert len(lines) <= 40
    assert max(map(len, lines)) <= WIDTH
    assert f"\nVERIFIED  {NAME}\n" in text
    assert "\n  name asserted by stream main\n" in text
    assert "\n  platforms: linux/amd64, linux/arm64; " in text
    assert IDENTITY in "".join(line.strip() for line in lines)


def test_what_a_check_told_is_not_told_again(delivered: Report) -> None:
    text = format_text(delivered)
    covered = "covered by the image signature"
    assert text.count(f"sbom linux/amd64: {covered}") == 1
    assert f"statement {SPDX}" not in text  # said by the check
    assert "statement https://slsa.dev/provenance/v1 about linux/amd64" in text  # no check spoke of it
    assert "annotation" not in text
    assert "".join(line.strip() for line in text.splitlines()).count(IDENTITY) == 1


def test_evidence_that_was_not_demanded_is_told_in_full(delivered: Report) -> None:
    text = format_text(delivered)
    assert "attestation https://slsa.dev/provenance/v1 about the index:\n      signed, inclusion promise\n" in text
    assert "\n      issuer https://token.actions.githubusercontent.com\n" in text
    assert "\n      log https://rekor.example.org, entry " in text
    assert "sbom about linux/amd64: not verified [unchecked]" in text


def test_an_omission_is_told(delivered: Report) -> None:
    (image,) = delivered.images
    omitting = replace(image, omitted=(("linux/s390x", DIGEST),))
    delivered.images = (omitting,)
    assert "\n  omitted: linux/s390x\n" in format_text(delivered)
