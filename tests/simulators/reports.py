"""Reports made by hand: one that is full, and any number with hostile text in every place that takes text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from bundler.digest import sha256_of
from bundler.errors import MalformedError, SealiftError
from bundler.evidence.scan_parts import SEVERITIES, UpstreamScan
from bundler.verify.data_facts import DataFact
from bundler.verify.head_facts import BundleFacts, RoleFact, TrustFacts
from bundler.verify.policy import RuleTrial
from bundler.verify.result import (
    Check,
    DamageFact,
    EvidenceFact,
    Explanation,
    GrowthStatus,
    ImageResult,
    LogGrowthFact,
    Outcome,
    Report,
    TimeFact,
)
from bundler.verify.scan_facts import CarriedScan

AT = datetime(2026, 11, 2, 12, 0, 0, 987654, tzinfo=UTC)
DIGEST = sha256_of(b"a thing")


def full_scans(text: str) -> tuple[CarriedScan, ...]:
    """A scan report that was read, and one that was not."""
    counts = dict.fromkeys(SEVERITIES, 3)
    scan = UpstreamScan(text, text, text, text, text, AT, AT, counts, 2, 1, text, frozenset({text}), (text,))
    read = CarriedScan(DIGEST, text, text, DIGEST, DIGEST, text, text, (text, text), "", "statement", (text,), "", scan)
    failure = MalformedError("some-code", text, text, got=text, want=text)
    return read, CarriedScan(DIGEST, "", text, DIGEST, None, text, text, failure=failure)


def full_report(text: str = "some text", failure: SealiftError | None = None) -> Report:
    """A report with something in every place; `text` wherever text comes from outside."""
    checks = tuple(
        Check("signature", outcome, "" if outcome is Outcome.HELD else "some-code", text, text, strength)
        for outcome in Outcome
        for strength in ("", text)
    )
    facts = tuple(
        EvidenceFact(
            kind, DIGEST, DIGEST, platform, "signed, inclusion promise", text, text, text, text, 7, AT, text, code,
            text, demanded,
        )
        for kind in ("signature", "statement")
        for platform in ("", text)
        for code in ("", "some-code")
        for demanded in (True, False)
    )  # fmt: skip
    image = ImageResult(
        text,
        DIGEST,
        text,
        ((text, DIGEST),),
        ((text, DIGEST),),
        text,
        checks,
        facts,
        ((DIGEST, text, text),),
        1234,
        Explanation(tuple(RuleTrial(text, applies, text) for applies in (False, True)) * 15, (text, text)),
        scans=full_scans(text),
    )
    return Report(
        file=text,
        tool=text,
        time=TimeFact(AT, "typed", text),
        bundle=BundleFacts("main", 3, DIGEST, AT, (text, text), text, DIGEST, 1, 2, 3_000_000),
        trust=TrustFacts(
            DIGEST, 2, True, (RoleFact("root", 2, AT, stale=True),), "first", text, AT, (("gap", text),), text, text
        ),
        policy_digest=DIGEST,
        damages=tuple(DamageFact(text, digest, "blob-digest", text) for digest in (None, DIGEST)) * 15,
        images=(image,),
        checks=checks,
        data=(DataFact("osv", text, AT, 43, 7, DIGEST, "application/json", 9),),
        logs=tuple(
            LogGrowthFact(text, b"id", text, status, True, 100, 150, 2, AT) for status in get_args(GrowthStatus)
        ),
        failure=failure,
        weakened=(text, text),
    )
