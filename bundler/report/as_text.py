"""A report as text: the verdict first, then per image what held and how strong, on about one screen.

Rules: every word that came from outside is escaped; what was not checked, is weak or was left out is said; nothing that
the checks did not prove is stated as a fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bundler.digest import Digest
from bundler.escaping import escape
from bundler.moment import format_moment
from bundler.verify.result import (
    Check,
    EvidenceFact,
    ImageResult,
    Outcome,
    Report,
    TrustFacts,
    Verdict,
)

_HEADLINE = {
    Verdict.VERIFIED: "VERIFIED",
    Verdict.REJECTED: "REJECTED",
    Verdict.DAMAGED: "DAMAGED",
    Verdict.UNTRUSTED: "NOT TRUSTED",
    Verdict.UNSUPPORTED: "NOT SUPPORTED",
    Verdict.FAILED: "NOT CHECKED",
    Verdict.INTACT: "INTACT, NOT VERIFIED",
}
_MOST_DAMAGES = 20


def format_text(report: Report) -> str:
    """The report as lines of plain text with a final newline."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    reason = f" ({report.reason})" if report.reason else ""
    yield f"{_HEADLINE[report.verdict]}{reason}: {escape(report.file)}"
    if report.trust is not None and report.trust.development:
        yield "  !! DEVELOPMENT TRUST ROOT: its keys were made for trying things out; this proves nothing to anybody"
    for weakness in report.weakened:
        yield f"  !! weakened: {escape(weakness)}"
    yield from _head(report)
    for damage in report.damages[:_MOST_DAMAGES]:
        yield f"  damaged: {escape(damage.member)}: {escape(damage.detail)} ({damage.code})"
    if len(report.damages) > _MOST_DAMAGES:
        yield f"  damaged: {len(report.damages) - _MOST_DAMAGES} more members (--json lists all)"
    for check in report.checks:
        yield f"  {_check_line(check)}"
    for image in report.images:
        yield ""
        yield from _image(image, report)


def _head(report: Report) -> Iterator[str]:
    bundle, trust = report.bundle, report.trust
    if bundle is not None:
        yield (
            f"  stream {bundle.stream}, sequence {bundle.sequence}, created {format_moment(bundle.created_at)}: "
            f"{bundle.images} images, {bundle.blobs} blobs, {readable_size(bundle.size_bytes)}"
        )
        if bundle.audience:
            yield f"  for the sites: {', '.join(bundle.audience)}"
    if trust is not None:
        yield from _trust(trust)
    if report.time is not None:
        because = f", {escape(report.time.reason)}" if report.time.reason else ""
        yield f"  judged at {format_moment(report.time.at.replace(microsecond=0))} ({report.time.source}{because})"
    if report.policy_digest is not None:
        yield f"  policy {report.policy_digest}"


def _trust(trust: TrustFacts) -> Iterator[str]:
    if trust.pin is None:
        yield f"  trust: not proved; the file's own metadata, root {trust.root_version}"
    else:
        first = min((role.expires_at for role in trust.roles), default=None)
        until = f"; metadata valid until {format_moment(first)[:10]}" if first else ""
        yield f"  trusted through pin {short(trust.pin)}, root {trust.root_version}{until}"
    if trust.standing:
        accepted = f" on {format_moment(trust.accepted_at)}" if trust.accepted_at else ""
        yield f"  standing: {trust.standing}{accepted}"
    if trust.today:
        yield f"  today: {escape(trust.today)}"
    if trust.recorded:
        yield f"  {trust.recorded}"
    for code, detail in trust.warnings:
        yield f"  warning ({code}): {escape(detail)}"


def _image(image: ImageResult, report: Report) -> Iterator[str]:
    reason = f" ({image.reason})" if image.reason else ""
    stream = report.bundle.stream if report.bundle else "?"
    yield f"{_HEADLINE[image.verdict]}{reason}  {escape(image.name)}"
    yield f"  {image.digest}  (name asserted by stream {stream})"
    if image.rule:
        yield f"  rule: {escape(image.rule)}"
    platforms = ", ".join(platform for platform, _ in image.platforms)
    yield f"  platforms: {escape(platforms) or 'none named'}; {readable_size(image.size_bytes)}"
    if image.omitted:
        yield f"  omitted: {escape(', '.join(platform for platform, _ in image.omitted))}"
    for check in image.checks:
        yield f"  {_check_line(check)}"
    if image.evidence:
        yield "  evidence:"
        yield from (f"    {_evidence_line(fact)}" for fact in image.evidence)


def _check_line(check: Check) -> str:
    mark = {Outcome.HELD: "ok", Outcome.NOTE: "note", Outcome.UNCHECKED: "unchecked"}.get(check.outcome)
    outcome = mark or check.outcome.upper()
    return _join(
        f"{outcome:<9}", check.name, check.about, f"[{check.code}]" if check.code else "", check.strength, check.detail
    )


def _evidence_line(fact: EvidenceFact) -> str:
    about = fact.platform or short(fact.subject)
    by = f"by {fact.signer}" if fact.signer else ""
    issuer = f"(issuer {fact.issuer})" if fact.issuer else ""
    log = f"log {fact.log} entry {fact.log_index}" if fact.log else ""
    when = f"at {format_moment(fact.signed_at)}" if fact.signed_at else ""
    code = f"[{fact.code}]" if fact.code else ""
    return _join(
        f"{fact.kind} {fact.predicate_type}".strip(),
        f"about {about}:",
        fact.strength,
        code,
        by,
        issuer,
        when,
        log,
        fact.detail,
    )


def _join(*parts: str) -> str:
    return " ".join(escape(part) for part in parts if part)


def short(digest: Digest) -> str:
    """The first twelve digits, for people; never for comparing."""
    return f"{digest.algorithm}:{digest.hex[:12]}…"


def readable_size(size_bytes: int) -> str:
    """`1.5 MB`, in powers of 1000 as media are sold."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError(size_bytes)


def joined(lines: Iterable[str]) -> str:
    """Lines with a final newline, or nothing."""
    text = "\n".join(lines)
    return f"{text}\n" if text else ""
