"""Verdict, reason and exit code: derived from checks, damage and failure, never set (DESIGN section 5)."""

from __future__ import annotations

import itertools

import pytest

from bundler.digest import Digest
from bundler.errors import (
    DamagedError,
    EnvError,
    MalformedError,
    RejectedError,
    SealiftError,
    TrustError,
    UnsupportedError,
    UsageError,
)
from bundler.verify.head_facts import TrustFacts
from bundler.verify.result import Check, DamageFact, ImageResult, Outcome, Report, Verdict

ZERO = Digest("sha256", "0" * 64)
HELD = Check("signature", Outcome.HELD)
PROVED = TrustFacts(ZERO, 1, development=False, roles=(), standing="first")
NOTE = Check("omissions", Outcome.NOTE)
UNCHECKED = Check("sbom", Outcome.UNCHECKED)
REFUSING = (
    Outcome.FAILED, Outcome.MISSING, Outcome.UNTRUSTED, Outcome.DAMAGED, Outcome.OMITTED, Outcome.POLICY,
)  # fmt: skip


def image(*checks: Check) -> ImageResult:
    return ImageResult("registry.example.org/app:1", ZERO, "a/b", (), (), "", checks, (), (), 0)


def refusing(outcome: Outcome, code: str = "") -> Check:
    return Check("signature", outcome, code or f"code-{outcome.value}")


def report(*images: ImageResult, **fields: object) -> Report:
    made = Report("x.bundle.tar", "sealift", images=images, trust=PROVED)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("outcome", Outcome)
def test_which_outcomes_refuse(outcome: Outcome) -> None:
    assert refusing(outcome).refuses == (outcome in REFUSING)


@pytest.mark.parametrize("checks", [(), (NOTE,), (UNCHECKED,), (NOTE, UNCHECKED)])
def test_an_image_about_which_nothing_held_is_rejected(checks: tuple[Check, ...]) -> None:
    assert image(*checks).verdict is Verdict.REJECTED
    assert report(image(HELD), image(*checks)).exit_code == 1
    assert report(image(*checks)).reason == "nothing-checked"


@pytest.mark.parametrize("outcome", REFUSING)
@pytest.mark.parametrize("position", range(3))
def test_one_refusal_among_what_holds(outcome: Outcome, position: int) -> None:
    checks = [HELD, HELD, NOTE]
    checks.insert(position, refusing(outcome))
    wanted = Verdict.DAMAGED if outcome is Outcome.DAMAGED else Verdict.REJECTED
    assert (image(*checks).verdict, image(*checks).reason) == (wanted, f"code-{outcome.value}")
    assert report(image(HELD), image(*checks)).exit_code == 1


def test_the_first_refusal_gives_the_reason_and_damage_goes_first() -> None:
    made = image(HELD, refusing(Outcome.MISSING, "first"), refusing(Outcome.FAILED, "second"))
    assert made.reason == "first"
    assert image(*made.checks, refusing(Outcome.DAMAGED, "third")).reason == "third"


def test_what_holds_is_verified() -> None:
    made = report(image(HELD, NOTE), image(HELD))
    assert (made.exit_code, made.verdict, made.reason) == (0, Verdict.VERIFIED, "")


def test_empty_is_not_success() -> None:
    assert (report().exit_code, report().verdict, report().reason) == (1, Verdict.REJECTED, "nothing-checked")
    with_policy = report(checks=(Check("images", Outcome.MISSING, "no-images"),))
    assert (with_policy.exit_code, with_policy.reason) == (1, "no-images")


def test_a_check_of_the_bundle_rejects_verified_images() -> None:
    made = report(image(HELD), checks=(refusing(Outcome.FAILED, "unreferenced-blob"),))
    assert (made.exit_code, made.verdict, made.reason) == (1, Verdict.REJECTED, "unreferenced-blob")
    assert report(image(HELD), checks=(NOTE,)).exit_code == 0


DAMAGE = (DamageFact("blobs/sha256/x", None, "blob-digest", ""), DamageFact("oci-layout", None, "header", ""))


def test_damage_beats_claims() -> None:
    for images in ((image(HELD),), (image(refusing(Outcome.FAILED)),), ()):
        made = report(*images, damages=DAMAGE)
        assert (made.exit_code, made.verdict, made.reason) == (3, Verdict.DAMAGED, "blob-digest")


FAILURES: list[tuple[type[SealiftError], int, Verdict]] = [
    (RejectedError, 1, Verdict.REJECTED),
    (MalformedError, 1, Verdict.REJECTED),
    (UsageError, 2, Verdict.FAILED),
    (DamagedError, 3, Verdict.DAMAGED),
    (TrustError, 4, Verdict.UNTRUSTED),
    (UnsupportedError, 5, Verdict.UNSUPPORTED),
    (EnvError, 6, Verdict.FAILED),
]


@pytest.mark.parametrize(("kind", "code", "verdict"), FAILURES)
def test_the_failure_that_ended_the_run_decides(kind: type[SealiftError], code: int, verdict: Verdict) -> None:
    for damages, images, alone in itertools.product(((), DAMAGE), ((), (image(HELD),)), (False, True)):
        made = report(*images, damages=damages, integrity_only=alone, failure=kind("some-code", "x"))
        assert (made.exit_code, made.verdict, made.reason) == (code, verdict, "some-code")


def test_integrity_alone_never_says_verified() -> None:
    made = report(integrity_only=True)
    assert (made.exit_code, made.verdict, made.reason) == (0, Verdict.INTACT, "")
    assert report(integrity_only=True, damages=DAMAGE).exit_code == 3


def test_exit_zero_has_no_reason_and_others_have_one() -> None:
    """Over every small combination of what a report can hold."""
    checks = [(), (NOTE,), (refusing(Outcome.POLICY),)]
    images = [(), (image(HELD),), (image(),), (image(NOTE),), (image(HELD), image(refusing(Outcome.MISSING)))]
    failures = [None, TrustError("a-code", "x"), RejectedError("b-code", "x")]
    for check, group, damages, failure, alone in itertools.product(
        checks, images, ((), DAMAGE), failures, (False, True)
    ):
        made = report(*group, checks=check, damages=damages, failure=failure, integrity_only=alone)
        assert (made.exit_code == 0) == (made.reason == "")
        assert (made.verdict is Verdict.VERIFIED) == (made.exit_code == 0 and not alone)
        if made.verdict is Verdict.VERIFIED:
            assert group
            assert all(item.verdict is Verdict.VERIFIED for item in group)


def test_without_a_pin_nothing_is_verified() -> None:
    unproved = TrustFacts(None, 1, development=False, roles=(), standing="")
    for trust in (None, unproved):
        made = report(image(HELD), trust=trust)
        assert (made.exit_code, made.verdict) == (1, Verdict.REJECTED)
        assert report(image(HELD), trust=trust, integrity_only=True).verdict is Verdict.INTACT
