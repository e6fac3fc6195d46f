"""What is told of scan reports that came with an image: values, and their phrases for people.

Rules of this module:
- Scanner, dates and counts are the document's own words, and every phrase says so. How strong the document is bound and
  signed stands beside.
- An age is counted to the time of the verdict. A date that lies after it is told as that, never as fresh.
- What is not told (a date, a count) is said to be absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bundler.digest import Digest
from bundler.errors import SealiftError
from bundler.moment import format_moment
from bundler.value import dataclass, field
from bundler.wording import counted

if TYPE_CHECKING:
    from bundler.evidence.scan_parts import UpstreamScan

_DAY = timedelta(days=1)
_BOUND = {
    "statement": "its statement names this image",
    "layers": "it names exactly the layers",
    "digest": "it names this image by digest",
    "derivation": "the derivation statement names it",
    "place": "it does not say which image it is about; only its place does",
}


@dataclass(frozen=True, slots=True)
class CarriedScan:
    """One scan report about one manifest or index of an image.

    Attributes:
        subject, platform: what it is about; the platform is empty for an index.
        form: what it was found as, in the inventory's words.
        manifest: digest of the manifest that holds it.
        document: digest of the document itself: a file, or a statement.
        declared: its predicate type, or the media type or artifact type that says what it is.
        strength: in the words of REPORT.md and INSPECT.md.
        signers: who signed it, or what covers it; empty when nobody did.
        code: why it is not verified; empty when it is, or when nobody signed it.
        bound_by: what ties its content to the subject: `statement`, `layers`, `digest`, `derivation`, `place`; empty
            when it could not be read.
        covers: platforms whose layers or digests it names, where it is about an index: a scanner looks at one platform,
            whatever it is attached to. Empty where it does not say, and for what is about one platform anyway.
        role: `before the patch` or `after the patch`, for reports that a derivation statement names.
        failure: why it could not be read; then `scan` is not set.
        held: its bytes, where they were asked for.
    """

    subject: Digest
    platform: str
    form: str
    manifest: Digest
    document: Digest | None
    declared: str
    strength: str
    signers: tuple[str, ...] = ()
    code: str = ""
    bound_by: str = ""
    covers: tuple[str, ...] = ()
    role: str = ""
    scan: UpstreamScan | None = None
    failure: SealiftError | None = None
    held: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def reason(self) -> str:
        """Why it cannot be read, or else why it is not verified."""
        return self.failure.code if self.failure is not None else self.code


def carried_document(carried: CarriedScan, at: datetime | None) -> dict[str, Any]:
    """A scan report as plain values.

    Args:
        carried: the report.
        at: the time of the verdict, to which ages are counted.
    """
    return {
        "subject": str(carried.subject),
        "platform": carried.platform,
        "form": carried.form,
        "manifest": str(carried.manifest),
        "document": None if carried.document is None else str(carried.document),
        "predicate_type": carried.declared,
        "strength": carried.strength,
        "signers": list(carried.signers),
        "reason": carried.reason,
        "message": str(carried.failure) if carried.failure is not None else "",
        "bound_by": carried.bound_by,
        "covers": list(carried.covers),
        "role": carried.role,
        "scan": None if carried.scan is None else _scan_document(carried.scan, at),
        "told": list(told(carried, at)),
    }


def _scan_document(scan: UpstreamScan, at: datetime | None) -> dict[str, Any]:
    return {
        "format": scan.form,
        "result": scan.result,
        "scanner": scan.scanner,
        "version": scan.version,
        "scanned": _time(scan.scanned_at),
        "age_days": _age(scan.scanned_at, at),
        "database": scan.database,
        "database_updated": _time(scan.database_at),
        "database_age_days": _age(scan.database_at, at),
        "findings": scan.findings,
        "counts": None if scan.counts is None else dict(scan.counts),
        "suppressed": scan.suppressed,
        "targets": scan.targets,
        "target": scan.target,
    }


def told(carried: CarriedScan, at: datetime | None) -> Iterator[str]:
    """What people read of it, one phrase after the other; its strength stands beside."""
    if carried.failure is not None:
        yield f"cannot be read: {carried.failure}"
    scan = carried.scan
    if scan is None:
        return
    said = not scan.version or scan.scanner.endswith(f"@{scan.version}")  # a package URL says it too
    version = "" if said else f" {scan.version}"
    by = f"{scan.scanner or 'a scanner that it does not name'}{version}"
    inside = f" with {scan.result} inside" if scan.result not in ("", "unknown") else ""
    yield f"by its own word: {by}, {_when('scanned', scan.scanned_at, at)} ({scan.form}{inside})"
    data = f" ({scan.database})" if scan.database else ""
    yield f"its database{data}: {_when('of', scan.database_at, at)}"
    yield _found(scan)
    alone = f"by what it names it is about {', '.join(carried.covers)} alone" if carried.covers else ""
    yield "; ".join(word for word in (carried.role, _BOUND[carried.bound_by], alone) if word)


def _found(scan: UpstreamScan) -> str:
    looked = "" if scan.targets is None else f" in {counted(scan.targets, 'part')} that it looked at"
    aside = f"; {scan.suppressed} set aside by the scanner itself" if scan.suppressed else ""
    if scan.counts is None:
        return f"findings are not counted here{aside}"
    words = [f"{count} {severity}" for severity, count in scan.counts.items() if count]
    return f"{', '.join(words) or 'nothing found'}{looked}{aside}"


def _when(word: str, moment: datetime | None, at: datetime | None) -> str:
    if moment is None:
        return "date not told"
    days = _age(moment, at)
    if days is None:
        age = ""
    elif days < 0:
        age = f", {counted(-days, 'day')} AFTER the time of this verdict"
    else:
        age = f", {counted(days, 'day')} old"
    return f"{word} {moment.date()}{age}"


def _age(moment: datetime | None, at: datetime | None) -> int | None:
    """Whole days from then to now; negative for a date that lies after it."""
    return None if moment is None or at is None else (at - moment) // _DAY


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment.replace(microsecond=0))
