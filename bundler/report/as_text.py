"""A report as text: the verdict first, then per image what held and how strong, on one screen of 80 columns.

Rules of this module:
- Every word that came from outside is escaped, cut when it is long, and broken at 80 columns. Further lines are
  indented, so nothing from outside ever stands where a verdict stands (THREATS I22).
- What was not checked, is weak or was left out is said; nothing that the checks did not prove is stated as a fact.
- Said once: what a check tells in full is not told again as evidence. Notes about annotations that nobody uses are in
  the JSON form alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bundler.digest import Digest
from bundler.moment import format_moment
from bundler.oci.manifest import is_index
from bundler.report.columns import COLUMNS, broken, columns_of, visible
from bundler.report.sizes import readable_size
from bundler.verify.head_facts import BundleFacts, TrustFacts
from bundler.verify.result import Check, EvidenceFact, Explanation, ImageResult, Outcome, Report, Verdict
from bundler.verify.scan_facts import CarriedScan, told
from bundler.wording import counted

_HEADLINE = {
    Verdict.VERIFIED: "VERIFIED",
    Verdict.REJECTED: "REJECTED",
    Verdict.DAMAGED: "DAMAGED",
    Verdict.UNTRUSTED: "NOT TRUSTED",
    Verdict.UNSUPPORTED: "NOT SUPPORTED",
    Verdict.FAILED: "NOT CHECKED",
    Verdict.INTACT: "INTACT, NOT VERIFIED",
}
_MARK = {Outcome.HELD: "ok", Outcome.NOTE: "note", Outcome.UNCHECKED: "unchecked"}
_MARK_COLUMNS = 11
STANDINGS = {
    "first": "first delivery of this stream at this site",
    "next": "next in its stream",
    "gap": "later in its stream; deliveries between are missing",
    "already-accepted": "already accepted",
    "historic": "historic, accepted",
    "audit": "audit at a typed time; rollback was checked, not recorded",
}
_GROWTH_MARKS = {"proved": "ok", "unchanged": "ok", "first": "note", "older": "note", "unproved": "note"}
_MOST_DAMAGES = 20
_MOST_TRIALS = 20
_DEVELOPMENT = "DEVELOPMENT TRUST ROOT: its keys were made for trying things out; this proves nothing to anybody"


def format_text(report: Report) -> str:
    """The report as lines of plain text with a final newline."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from broken(f"{_HEADLINE[report.verdict]}{_coded(report.reason)}: ", report.file, 2)
    if report.trust is not None and report.trust.development:
        yield from broken("  !! ", _DEVELOPMENT, 5)
    for weakness in report.weakened:
        yield from broken("  !! weakened: ", weakness, 5)
    yield from _head(report)
    for damage in report.damages[:_MOST_DAMAGES]:
        yield from broken("  damaged: ", f"{damage.member}: {damage.detail} ({damage.code})", 4)
    if len(report.damages) > _MOST_DAMAGES:
        yield f"  damaged: {len(report.damages) - _MOST_DAMAGES} more members (--json lists all)"
    for fact in report.logs:
        yield from _told(f"  {_GROWTH_MARKS[fact.status]:<{_MARK_COLUMNS}}", f"log {fact.origin}", fact.told)
    for check in report.checks:
        yield from _check(check)
    for image in report.images:
        yield ""
        yield from _image(image, report.bundle)
        for scan in image.scans:
            yield from _scan(scan, image, report.time.at if report.time is not None else None)


def _head(report: Report) -> Iterator[str]:
    bundle, trust = report.bundle, report.trust
    if bundle is not None:
        created = _time(bundle.created_at)
        yield from broken("  ", f"stream {bundle.stream}, sequence {bundle.sequence}, created {created}", 4)
        data = (counted(len(report.data), "source") + " of vulnerability data",) if report.data else ()
        counts = (counted(bundle.images, "image"), *data, counted(bundle.blobs, "blob"))
        contents = (*counts, readable_size(bundle.size_bytes))
        yield from broken("  ", ", ".join(contents), 4)
        if bundle.audience:
            yield from broken("  for the sites: ", ", ".join(bundle.audience), 4)
    if trust is not None:
        yield from _trust(trust, verified=report.verdict is Verdict.VERIFIED)
    if report.time is not None:
        because = f", {report.time.reason}" if report.time.reason else ""
        at = _time(report.time.at)
        yield from broken("  judged at ", f"{at} ({report.time.source}{because})", 4)
    if report.policy_digest is not None:
        yield f"  policy {report.policy_digest}"


def _trust(trust: TrustFacts, *, verified: bool) -> Iterator[str]:
    if trust.pin is None:
        yield f"  trust: not proved; the file's own metadata, root {trust.root_version}"
    else:
        first = min((role.expires_at for role in trust.roles), default=None)
        until = f"; valid until {_time(first)[:10]}" if first else ""
        yield f"  trusted through pin {short(trust.pin)}, root {trust.root_version}{until}"
    stale = ", ".join(role.role for role in trust.roles if role.stale)
    if stale and trust.pin is not None:
        yield from broken("  !! ", f"expired, within this site's grace: {stale}", 5)
    if trust.standing:
        accepted = f" on {_time(trust.accepted_at)}" if trust.accepted_at else ""
        recorded = f"; {trust.recorded}" if trust.recorded else ""
        seen = "verified, " if verified and trust.accepted_at else ""
        yield from broken("  standing: ", f"{seen}{STANDINGS[trust.standing]}{accepted}{recorded}", 4)
    if trust.state is not None:
        yield f"  state {trust.state}"  # for the paper log book
    if trust.today:
        yield from broken("  today: ", trust.today, 4)
    for code, detail in trust.warnings:
        yield from broken(f"  warning ({code}): ", detail, 4)


def _image(image: ImageResult, bundle: BundleFacts | None) -> Iterator[str]:
    yield from broken(f"{_HEADLINE[image.verdict]}{_coded(image.reason)}  ", image.name, 4)
    yield f"  {image.digest}"
    if image.digest_origin != "source":
        yield "  !! made by the exporter: no registry has this digest, nobody outside signed it"
    yield f"  name asserted by stream {bundle.stream if bundle else '?'}"
    if image.rule:
        yield from broken("  rule: ", image.rule, 4)
    if image.explanation is not None:
        yield from _explanation(image.explanation)
    platforms = ", ".join(platform for platform, _ in image.platforms) or "none named"
    size = f"; {readable_size(image.size_bytes)}" if image.size_bytes else ""
    yield from broken("  platforms: ", f"{platforms}{size}", 4)
    if image.omitted:
        yield from broken("  omitted: ", ", ".join(platform for platform, _ in image.omitted), 4)
    for check in image.checks:
        yield from _check(check)
    told = {(check.detail, check.about, check.strength) for check in image.checks}
    untold = [fact for fact in image.evidence if (fact.predicate_type, fact.platform, fact.strength) not in told]
    if untold:
        yield "  evidence:"
    for fact in untold:
        yield from _evidence(fact, image)


def _explanation(explanation: Explanation) -> Iterator[str]:
    """Which rules were tried, the deciding one last, and what it demands."""
    yield "  why:"
    hidden = len(explanation.trials) - _MOST_TRIALS
    if hidden > 0:
        yield f"    {hidden} rules before these do not apply (--json lists all)"
    for trial in explanation.trials[-_MOST_TRIALS:]:
        yield from broken("    ", f"{trial.rule}: {'applies' if trial.applies else 'no'}, {trial.because}", 8)
    if not explanation.trials:
        yield "    there is no policy"
    elif not explanation.trials[-1].applies:
        yield "    no rule applies"
    for demand in explanation.demands:
        yield from broken("    demands ", demand, 8)


def _check(check: Check) -> Iterator[str]:
    # What holds only because the policy lets unsigned statements count does not look like the rest.
    weak = check.outcome is Outcome.HELD and check.strength.startswith("unsigned")
    mark = "weak" if weak else _MARK.get(check.outcome, check.outcome.upper())
    head = " ".join(part for part in (check.name, check.about, _bracketed(check.code)) if part)
    yield from _told(
        f"  {mark:<{_MARK_COLUMNS}}", f"{head}: {check.strength}" if check.strength else head, check.detail
    )


def _told(start: str, head: str, detail: str) -> Iterator[str]:
    """One line where it fits, else what it is about first, and the detail on lines of its own."""
    joint = "; " if ": " in head else ": "
    whole = f"{head}{joint}{detail}" if detail else head
    indent = 2 + _MARK_COLUMNS
    if columns_of(visible(whole)) <= COLUMNS - len(start):
        yield from broken(start, whole, indent)
        return
    yield from broken(start, head, indent + 2)
    yield from broken(" " * (indent + 2), detail, indent + 4)


def _evidence(fact: EvidenceFact, image: ImageResult) -> Iterator[str]:
    head = f"{fact.kind} {fact.predicate_type}".strip() + f" about {fact.platform or _unnamed(image, fact.subject)}"
    strength = f"{'met a demand; ' if fact.demanded else ''}{fact.strength} {_bracketed(fact.code)}".rstrip()
    if columns_of(visible(f"{head}: {strength}")) <= COLUMNS - 4:
        yield from broken("    ", f"{head}: {strength}", 8)
    else:
        yield from broken("    ", f"{head}:", 8)
        yield from broken("      ", strength, 8)
    if fact.code:
        yield from broken("      ", fact.detail, 8)
        return
    if fact.signer and not fact.demanded:
        yield from broken("      by ", fact.signer, 8)
    if fact.issuer and not fact.demanded:
        yield from broken("      issuer ", fact.issuer, 8)
    if fact.log:
        when = f", {_time(fact.signed_at)}" if fact.signed_at else ""
        yield from broken("      log ", f"{fact.log}, entry {fact.log_index}{when}", 8)
    for note in fact.detail.split("; "):
        if note and not note.startswith("annotation "):
            yield from broken("      ", note, 8)


def _scan(carried: CarriedScan, image: ImageResult, at: datetime | None) -> Iterator[str]:
    """A scan report that came with the image; it decided nothing."""
    about = carried.platform or _unnamed(image, carried.subject)
    head = f"scan report about {about}: {carried.strength} {_bracketed(carried.reason)}"
    yield from broken("  ", head.rstrip(), 6)
    for phrase in told(carried, at):
        yield from broken("      ", phrase, 8)


def _unnamed(image: ImageResult, subject: Digest) -> str:
    """A subject that is no platform; what is no index (a chart, say) is not called one."""
    if image.digest != subject:
        return short(subject)
    return "the index" if is_index(image.media_type) else "the image"


def _time(moment: datetime) -> str:
    return format_moment(moment.replace(microsecond=0))


def _coded(code: str) -> str:
    return f" ({code})" if code else ""


def _bracketed(code: str) -> str:
    return f"[{code}]" if code else ""


def short(digest: Digest) -> str:
    """The first twelve digits, for people; never for comparing."""
    return f"{digest.algorithm}:{digest.hex[:12]}…"
