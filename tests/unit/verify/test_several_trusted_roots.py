"""Several trusted roots side by side: the policy says which one an image uses; reports tell where each came from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.report.as_text import format_text
from bundler.verify.pipeline import Verification
from tests.simulators.claims import IDENTITY, NAME, demand, policy
from tests.simulators.deliveries import Exporter, LayoutSource, make_site, verify
from tests.simulators.images import two_platforms
from tests.simulators.sigstore import Sigstore
from tests.simulators.tuf_repository import START, TufRepository
from trust_root.origins import Origin, Walked, WalkedRole, WalkedRoot, format_origin, origin_path

OURS, THEIRS = Sigstore("one instance"), Sigstore("another instance")
ROOT = WalkedRoot(3, sha256_of(b"root 3"))
ROLES = (WalkedRole("root", 3, START), WalkedRole("targets", 7, START + timedelta(days=9)))
WALKED = Walked("https://tuf.example.org/", "trusted_root.json", "targets", ROOT, ROOT, ROLES, ())


def judged(tmp_path: Path, *demands: str, targets: dict[str, bytes] | None = None) -> Verification:
    """An image signed in the first instance, at a site that trusts both."""
    layout, top, _ = two_platforms(NAME, attested=False)
    repository = NAME.partition(":")[0]
    signature = layout.cosign([OURS.sign(top.digest, OURS.keyless(IDENTITY), reference=repository)])
    layout.tag_evidence(signature, top, "sig", repository)
    roots = {
        "trusted_root/one.json": OURS.trusted_root_json(),
        "trusted_root/another.json": THEIRS.trusted_root_json(),
    }
    trust = TufRepository("main", targets=roots if targets is None else targets)
    bundle = Exporter(trust, tmp_path).deliver(LayoutSource("oci", layout.write(tmp_path / "layout"), NAME))
    return verify(bundle, make_site(tmp_path / "state", trust.pin), policy(*demands))


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("one", (0, "")),
        ("another", (1, "log-unknown")),
        ("third", (1, "trusted-root-missing")),
        (None, (1, "trusted-root-ambiguous")),
    ],
)
def test_the_policy_says_which_one_counts(tmp_path: Path, name: str | None, outcome: tuple[int, str]) -> None:
    more = {} if name is None else {"trusted_root": f'"{name}"'}
    report = judged(tmp_path, demand(**more)).report
    assert (report.exit_code, report.reason) == outcome


def test_one_root_needs_no_name(tmp_path: Path) -> None:
    report = judged(tmp_path, demand(), targets={"trusted_root/one.json": OURS.trusted_root_json()}).report
    assert report.exit_code == 0


def targets_with(origin: Origin) -> dict[str, bytes]:
    return {"trusted_root/one.json": OURS.trusted_root_json(), origin_path("one"): format_origin(origin)}


def test_the_report_tells_where_it_came_from(tmp_path: Path) -> None:
    origin = Origin(sha256_of(OURS.trusted_root_json()), START, WALKED)
    report = judged(tmp_path, demand(), targets=targets_with(origin)).report
    assert (report.exit_code, report.weakened) == (0, ())
    (check,) = [check for check in report.checks if check.name == "trusted-root"]
    assert (check.about, check.detail) == ("one", origin.told)
    assert "https://tuf.example.org/" in format_text(report)


def test_a_chain_that_had_expired_weakens_the_report(tmp_path: Path) -> None:
    late = replace(WALKED, expired=ROLES[:1])
    origin = Origin(sha256_of(OURS.trusted_root_json()), START, late)
    report = judged(tmp_path, demand(), targets=targets_with(origin)).report
    assert report.exit_code == 0
    assert any("--accept-expired-sigstore-root, root 3 had expired" in text for text in report.weakened)


def test_an_origin_about_other_bytes_is_not_told(tmp_path: Path) -> None:
    origin = Origin(sha256_of(b"other bytes"), START, WALKED)
    report = judged(tmp_path, demand(), targets=targets_with(origin)).report
    assert (report.exit_code, [check for check in report.checks if check.name == "trusted-root"]) == (0, [])
